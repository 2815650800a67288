/*
 * report_curves.c - the columns of metrics.csv as curves, each with a sentence on what to look for.
 */
#include "base/size.h"
#include "job/report_internal.h"

#include <math.h>
#include <stdio.h>

#define MAX_POINTS 600
#define TABLE_ROWS 150

/* ---- columns ---- */

/* Each value with those around it: the curve under the unrest. */
static double *smooth(const struct report_data *d, const double *y)
{
    const size_t n = d->metrics.n_rows, reach = size_max(1, n / 40);
    double *out = ARENA_ARRAY(d->arena, double, n + 1);

    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        size_t count = 0;

        for (size_t j = i - size_min(i, reach); j <= size_min(n - 1, i + reach); j++)
            if (isfinite(y[j])) {
                sum += y[j];
                count++;
            }
        out[i] = count > 0 && isfinite(y[i]) ? sum / (double)count : (double)NAN;
    }
    return out;
}

/* a[i] + factor * b[i] */
static double *plus(const struct report_data *d, const double *a, const double *b, double factor)
{
    const size_t n = d->metrics.n_rows;
    double *out = ARENA_ARRAY(d->arena, double, n + 1);

    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + factor * b[i];
    return out;
}

static bool has_any(const double *y, size_t n)
{
    return isfinite(report_last(y, n, NULL));
}

/* Long runs: the mean of some neighbours for one point. Rare measurements (the validation) survive: nothing is averaged with NaN. */
static void thin_out(const struct report_data *d, struct chart *c)
{
    const size_t width = (c->n + MAX_POINTS - 1) / MAX_POINTS,
                 n = width > 0 ? (c->n + width - 1) / width : 0;
    const double **columns[1 + 3 * CHART_MAX_SERIES];
    size_t n_columns = 0;

    if (width <= 1)
        return;
    columns[n_columns++] = &c->x;
    for (size_t s = 0; s < c->n_series; s++) {
        columns[n_columns++] = &c->series[s].y;
        columns[n_columns++] = &c->series[s].low;
        columns[n_columns++] = &c->series[s].high;
    }
    for (size_t k = 0; k < n_columns; k++) {
        if (*columns[k] == NULL)
            continue;
        double *thin = ARENA_ARRAY(d->arena, double, n + 1);
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            size_t count = 0;

            for (size_t j = i * width; j < size_min(c->n, (i + 1) * width); j++)
                if (isfinite((*columns[k])[j])) {
                    sum += (*columns[k])[j];
                    count++;
                }
            thin[i] = count > 0 ? sum / (double)count : (double)NAN;
        }
        *columns[k] = thin;
    }
    c->n = n;
}

/* ---- figures ---- */

static void write_legend(struct buf *out, const struct chart *c)
{
    buf_text(out, "<ul class=\"legend\">");
    for (size_t s = 0; s < c->n_series; s++) {
        const struct chart_series *e = &c->series[s];

        buf_text(out, "<li><svg viewBox=\"0 0 28 12\" aria-hidden=\"true\">");
        if (e->low != NULL && !c->stacked)
            buf_printf(out, "<path class=\"band %s\" d=\"M0 1H28V11H0Z\"/>", e->style);
        if (c->stacked)
            buf_printf(out, "<path class=\"area %s\" d=\"M4 0H24V12H4Z\"/>", e->style);
        else
            buf_printf(out, "<path class=\"curve %s\" d=\"M0 6H28\"/>", e->style);
        if (e->marks && !c->stacked)
            buf_printf(out, "<g class=\"marks %s\"><circle cx=\"14\" cy=\"6\" r=\"3\"/></g>",
                       e->style);
        buf_text(out, "</svg>");
        html_text(out, str_of(e->name));
        buf_text(out, "</li>");
    }
    buf_text(out, "</ul>");
}

static void add_data(struct report_page *p, const struct chart *c)
{
    buf_printf(&p->chart_data, "%s\"%s\":", p->chart_data.len > 0 ? "," : "", c->id);
    chart_data(&p->chart_data, c);
}

/* One of the small charts; note is HTML of ours. */
static void figure(struct report_page *p, struct buf *out, struct chart *c, const char *note)
{
    const size_t n = p->d->metrics.n_rows;

    c->x = report_column(p->d, "step");
    c->n = n;
    c->width = 340;
    c->height = 190;
    bool any = false;
    for (size_t s = 0; s < c->n_series; s++)
        any |= has_any(c->series[s].y, n);
    if (!any || c->x == NULL)
        return;
    buf_text(out, "<figure><figcaption><h3>");
    html_text(out, str_of(c->title));
    if (!c->stacked && c->n_series == 1) {
        buf_text(out, "<span>");
        chart_number(out, report_last(c->series[0].y, n, NULL), c->unit);
        buf_text(out, "</span>");
    }
    buf_printf(out, "</h3><p>%s</p>", note);
    buf_text(out, "</figcaption>");
    thin_out(p->d, c);
    chart_svg(out, c);
    if (c->n_series > 1)
        write_legend(out, c);
    buf_text(out, "</figure>");
    add_data(p, c);
}

/* A chart of one column. */
static void simple(struct report_page *p, struct buf *out, const char *id, const char *column,
                   const char *title, enum chart_unit unit, const char *note)
{
    const double *y = report_column(p->d, column);
    struct chart c = {.id = id, .title = title, .unit = unit, .n_series = 1, .from_zero = true};

    if (y == NULL)
        return;
    c.series[0] = (struct chart_series){.name = title, .style = "s0", .y = y};
    c.to_one = unit == CHART_SHARE;
    figure(p, out, &c, note);
}

/* ---- the reward ---- */

static void reward_chart(struct report_page *p, struct chart *c)
{
    const struct report_data *d = p->d;
    const size_t n = d->metrics.n_rows;
    const double *train = report_column(d, "train_mean_reward"),
                 *valid = report_column(d, "full_valid_mean_reward");
    const double *std = report_column(d, "reward_std"), *samples = report_column(d, "samples");
    const double *ci = report_column(d, "full_valid_reward_ci95"),
                 *back = report_column(d, "rolled_back");
    double *half = ARENA_ARRAY(d->arena, double, n + 1),
           *flags = ARENA_ARRAY(d->arena, double, n + 1);

    *c = (struct chart){.id = "reward",
                        .title = "Mean reward",
                        .unit = CHART_SCORE,
                        .n = n,
                        .x = report_column(d, "step"),
                        .to_one = true,
                        .flag = flags};
    if (c->x == NULL)
        return;
    for (size_t i = 0; i < n; i++) {
        half[i] = std != NULL && samples != NULL && samples[i] > 0
                      ? 1.96 * std[i] / sqrt(samples[i])
                      : (double)NAN;
        if (back != NULL && back[i] > 0)
            flags[c->n_flags++] = c->x[i];
    }
    if (has_any(train, n)) {
        c->series[c->n_series++] =
            (struct chart_series){.name = "training, each step (95\xE2\x80\xAF% band)",
                                  .style = "raw",
                                  .y = train,
                                  .low = plus(d, train, half, -1),
                                  .high = plus(d, train, half, 1)};
        if (n > 12)
            c->series[c->n_series++] = (struct chart_series){
                .name = "training, moving average", .style = "train", .y = smooth(d, train)};
    }
    if (has_any(valid, n)) {
        struct chart_series s = {.name = "validation (95\xE2\x80\xAF% band)",
                                 .style = "valid",
                                 .y = valid,
                                 .marks = true};

        if (ci != NULL) {
            s.low = plus(d, valid, ci, -1);
            s.high = plus(d, valid, ci, 1);
        }
        c->series[c->n_series++] = s;
    }
}

void report_reward(struct report_page *p, struct buf *out)
{
    struct chart c;

    reward_chart(p, &c);
    if (c.n_series == 0)
        return;
    buf_text(out, "<figure class=\"figure\"><figcaption><h3>Mean reward by step</h3>");
    write_legend(out, &c);
    buf_text(out, "</figcaption>");
    thin_out(p->d, &c);
    for (int tight = 0; tight < 2; tight++) {
        c.width = tight ? 330 : 1120;
        c.height = tight ? 260 : 380;
        buf_printf(out, "<div class=\"%s\">", tight ? "tight" : "wide");
        chart_svg(out, &c);
        buf_text(out, "</div>");
    }
    buf_text(out, "</figure>");
    add_data(p, &c);
}

void report_rolled_back(struct report_page *p, struct buf *out)
{
    const double *back = report_column(p->d, "rolled_back");
    size_t n = 0;

    for (size_t i = 0; back != NULL && i < p->d->metrics.n_rows; i++)
        n += back[i] > 0;
    if (n > 0)
        buf_printf(
            out, "%s marked by a triangle at the upper edge moved the model too far and %s undone.",
            n == 1 ? "One update" : "Updates", n == 1 ? "was" : "were");
}

/* ---- health ---- */

/* "scores/graders/NAME/train_reward_mean" -> NAME */
static bool grader_of(const char *column, const char *prefix, const char *suffix, struct str *name)
{
    const struct str c = str_of(column), before = str_of(prefix), after = str_of(suffix);

    if (c.len < before.len + after.len || !str_starts(c, before) || !str_ends(c, after))
        return false;
    *name = (struct str){c.ptr + before.len, c.len - before.len - after.len};
    return true;
}

static const char *const grader_styles[] = {"s0", "s1", "s2", "s3", "s4", "s5"};

/* A series for each grader that has the column KIND/graders/NAME/SUFFIX, shadows by that name; returns how many shadows. */
static size_t add_graders(const struct report_data *d, struct chart *c, const char *kind,
                          const char *suffix, bool rare)
{
    const char *plain = arena_printf(d->arena, "%s/graders/", kind),
               *shadowed = arena_printf(d->arena, "%s/shadow_graders/", kind);
    size_t n_shadows = 0;

    for (size_t i = 0; i < d->metrics.n_columns && c->n_series < COUNT_OF(grader_styles); i++) {
        const char *column = d->metrics.column[i];
        struct str name;
        const bool shadow = grader_of(column, shadowed, suffix, &name);

        if (!shadow && !grader_of(column, plain, suffix, &name))
            continue;
        const double *y = report_column(d, column);
        if (!has_any(y, d->metrics.n_rows))
            continue;
        c->series[c->n_series] = (struct chart_series){
            .name = arena_printf(d->arena, STR_FMT "%s", STR_ARG(name), shadow ? " (shadow)" : ""),
            .style = grader_styles[c->n_series],
            .y = rare ? y : smooth(d, y),
            .marks = rare};
        c->n_series++;
        n_shadows += shadow;
    }
    return n_shadows;
}

static void grader_charts(struct report_page *p, struct buf *out)
{
    struct chart c = {.id = "graders",
                      .title = "Reward by grader",
                      .unit = CHART_SCORE,
                      .from_zero = true,
                      .to_one = true},
                 valid = c;
    const size_t n_shadows = add_graders(p->d, &c, "scores", "/train_reward_mean", false);

    if (c.n_series > 1)
        figure(
            p, out, &c,
            n_shadows > 0
                ? "Mean score of each grader on training answers, moving average. Shadows are measured and never rewarded: one that falls while the reward rises says that the reward is being gamed."
                : "Mean score of each grader on training answers, moving average. Which part of the reward is being learned?");
    valid.id = "graders-valid";
    valid.title = "Reward by grader, validation";
    (void)add_graders(p->d, &valid, "scores", "/valid_reward_mean", true);
    if (valid.n_series > 1)
        figure(p, out, &valid, "The same on the validation, which training does not see.");
}

/* Failures of each grader in a step, of all kinds. */
static void failure_chart(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    const size_t n = d->metrics.n_rows;
    struct chart c = {
        .id = "failures", .title = "Grader errors", .unit = CHART_COUNT, .from_zero = true};
    struct str names[COUNT_OF(grader_styles)] = {{0}};
    double most = 0;

    for (size_t i = 0; i < d->metrics.n_columns; i++) {
        const char *column = d->metrics.column[i];
        struct str name;
        size_t at = 0;

        if (!grader_of(column, "errors/graders/", "_count", &name))
            continue;
        const size_t slash = str_find(name, STR("/train_"), 0);
        if (slash == name.len)
            continue;
        name.len = slash;
        while (at < c.n_series && !str_eq(names[at], name))
            at++;
        if (at == COUNT_OF(grader_styles))
            continue;
        double *sum = at < c.n_series ? (double *)(uintptr_t)c.series[at].y
                                      : ARENA_ARRAY(d->arena, double, n + 1);
        const double *y = report_column(d, column);
        for (size_t k = 0; k < n; k++) {
            sum[k] += isfinite(y[k]) ? y[k] : 0;
            most = fmax(most, sum[k]);
        }
        if (at == c.n_series) {
            names[at] = name;
            c.series[c.n_series++] = (struct chart_series){
                .name = arena_text(d->arena, name), .style = grader_styles[at], .y = sum};
        }
    }
    if (most > 0)
        figure(p, out, &c, "Training answers of a step that a grader failed on; they count as 0.");
}

static void latency_chart(struct report_page *p, struct buf *out)
{
    struct chart c = {
        .id = "latency", .title = "Time of a grader", .unit = CHART_SECONDS, .from_zero = true};

    (void)add_graders(p->d, &c, "timing", "/train_execution_latency_mean", false);
    if (c.n_series > 0)
        figure(
            p, out, &c,
            "Mean seconds to grade an answer, moving average. It counts where steps wait for graders.");
}

static void flat_chart(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    const size_t n = d->metrics.n_rows;
    const double *groups = report_column(d, "groups"), *flat = report_column(d, "flat_groups");
    const double *zero = report_column(d, "flat_groups_all_zero"),
                 *one = report_column(d, "flat_groups_all_one");
    double *shares[3];
    struct chart c = {.id = "flat",
                      .title = "Prompts without signal",
                      .unit = CHART_SHARE,
                      .to_one = true,
                      .stacked = true,
                      .n_series = 3};
    static const char *const names[] = {"every answer got 0", "every answer got 1",
                                        "all the same, in between"};
    static const char *const styles[] = {"s0", "s1", "s3"};

    if (groups == NULL || flat == NULL || zero == NULL || one == NULL)
        return;
    for (size_t s = 0; s < 3; s++) {
        shares[s] = ARENA_ARRAY(d->arena, double, n + 1);
        c.series[s] = (struct chart_series){.name = names[s], .style = styles[s], .y = shares[s]};
    }
    for (size_t i = 0; i < n; i++) {
        const bool any = groups[i] > 0;

        shares[0][i] = any ? zero[i] / groups[i] : (double)NAN;
        shares[1][i] = any ? one[i] / groups[i] : (double)NAN;
        shares[2][i] = any ? fmax(0, flat[i] - zero[i] - one[i]) / groups[i] : (double)NAN;
    }
    figure(
        p, out, &c,
        "Where all answers earn the same there is nothing to prefer. Many zeros: too hard. Many ones: learned.");
}

static void length_chart(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    const size_t n = d->metrics.n_rows;
    const double *all = report_column(d, "completion_tokens_mean"),
                 *thinking = report_column(d, "reasoning_tokens_mean");
    const double *valid = report_column(d, "valid_completion_tokens_mean");
    struct chart c = {.id = "length", .title = "Length of an answer", .from_zero = true};
    bool thinks = false;

    if (all == NULL)
        return;
    for (size_t i = 0; thinking != NULL && i < n; i++)
        thinks |= thinking[i] > 0;
    c.series[c.n_series++] = (struct chart_series){.name = "all tokens", .style = "s0", .y = all};
    if (thinks)
        c.series[c.n_series++] =
            (struct chart_series){.name = "thinking", .style = "s1", .y = thinking};
    if (has_any(valid, n))
        c.series[c.n_series++] =
            (struct chart_series){.name = "validation", .style = "s2", .y = valid, .marks = true};
    figure(p, out, &c,
           "Mean tokens of an answer. Growing without end often means that length is rewarded.");
}

/* Several columns of the ledger in one chart. */
static void ledger_chart(struct report_page *p, struct buf *out, const char *id, const char *title,
                         size_t n, const char *const *columns, const char *const *names,
                         const char *note)
{
    static const char *const styles[] = {"s0", "s1", "s2", "s3"};
    const struct report_data *d = p->d;
    struct chart c = {
        .id = id, .title = title, .unit = CHART_SHARE, .from_zero = true, .to_one = true};

    for (size_t i = 0; i < n; i++) {
        const double *y = report_column(d, arena_printf(d->arena, "ledger/train_%s", columns[i]));

        if (y != NULL && has_any(y, d->metrics.n_rows)) {
            c.series[c.n_series] = (struct chart_series){
                .name = names[i], .style = styles[c.n_series], .y = smooth(d, y)};
            c.n_series++;
        }
    }
    if (c.n_series > 0)
        figure(p, out, &c, note);
}

static void ledger_charts(struct report_page *p, struct buf *out)
{
    static const char *const alike[] = {"common_share", "same_reference_share", "distinct_share"},
                             *const alike_names[] = {"the commonest answer",
                                                     "as the references explain",
                                                     "different ones, to one prompt"},
                             *const form[] = {"json_share", "markup_share", "symbols_share",
                                              "ended_share"},
                             *const form_names[] = {"JSON", "Markdown", "characters, no letters",
                                                    "ended by themselves"};

    ledger_chart(
        p, out, "alike", "Answers that are alike", COUNT_OF(alike), alike, alike_names,
        "Moving averages. The commonest answer far above what the references explain: the same is said whatever is asked.");
    ledger_chart(
        p, out, "form", "Form of the answers", COUNT_OF(form), form, form_names,
        "Moving averages over training answers. A form that nobody asked for may be what is rewarded.");
    simple(p, out, "repetition", "ledger/train_repetition", "Repetition", CHART_SHARE,
           "Runs of four tokens that an answer has said before. Loops are a cheap way to be long.");
}

static void time_chart(struct report_page *p, struct buf *out)
{
    static const struct {
        const char *column, *name, *style;
    } parts[] = {
        {"timing/step/sampling", "sampling", "s0"},
        {"timing/step/training", "training", "s1"},
        {"timing/step/eval", "validation", "s2"},
        {"timing/step/grading_wait", "waiting for graders", "s3"},
    };
    const struct report_data *d = p->d;
    struct chart c = {
        .id = "time", .title = "Time of a step", .unit = CHART_SECONDS, .stacked = true};

    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        const double *y = report_column(d, parts[i].column);

        if (y != NULL)
            c.series[c.n_series++] =
                (struct chart_series){.name = parts[i].name, .style = parts[i].style, .y = y};
    }
    if (c.n_series > 0)
        figure(
            p, out, &c,
            "Where the seconds go. Grading runs beside sampling; only what it makes the step wait counts here.");
}

void report_charts(struct report_page *p, struct buf *out)
{
    grader_charts(p, out);
    simple(
        p, out, "entropy", "entropy", "Entropy", CHART_NUMBER,
        "How open its choices are, in nats a token. A fall is learning; near zero, while the reward is low, is collapse: it always says the same.");
    simple(
        p, out, "kl", "kl", "Change by one update", CHART_NUMBER,
        "KL divergence between the model before and after the update, in nats a token. Jumps mean that the learning rate is high.");
    flat_chart(p, out);
    simple(p, out, "truncated", "truncated_share", "Cut off at the limit", CHART_SHARE,
           "Answers that met the token limit before they ended.");
    length_chart(p, out);
    ledger_charts(p, out);
    simple(p, out, "rate", "learning_rate", "Learning rate", CHART_NUMBER,
           "The step size that the optimizer worked with.");
    simple(p, out, "norm", "grad_norm", "Gradient norm", CHART_NUMBER,
           "Before clipping. It should stay of one size.");
    failure_chart(p, out);
    latency_chart(p, out);
    time_chart(p, out);
    simple(p, out, "speed", "tokens_per_second", "Sampling speed", CHART_NUMBER,
           "Tokens a second, over all answers that are sampled at once.");
}

void report_exactness(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    const double *y = report_column(d, "max_dlogp"), *step = report_column(d, "step");
    size_t worst = d->metrics.n_rows, n = 0;

    for (size_t i = 0; y != NULL && step != NULL && i < d->metrics.n_rows; i++)
        if (isfinite(y[i])) {
            n++;
            if (y[i] > 0 && (worst == d->metrics.n_rows || y[i] > y[worst]))
                worst = i;
        }
    if (n == 0)
        return;
    if (worst == d->metrics.n_rows) {
        buf_printf(
            out,
            "<div class=\"exact\"><p><b>max\xE2\x80\x89|\xCE\x94logp| = 0 in all %zu steps.</b> The log-probability that each token was "
            "sampled with is the one it was trained with, bit for bit: sampler and trainer are one program.</p></div>",
            n);
        return;
    }
    buf_text(out, "<div class=\"exact broken\"><p><b>max\xE2\x80\x89|\xCE\x94logp| is not 0:</b> ");
    chart_number(out, y[worst], CHART_NUMBER);
    buf_printf(
        out,
        " at step %.0f. The log-probabilities that tokens were sampled with differ from those they were trained with. This "
        "should not happen; please report it.</p></div>",
        step[worst]);
}

/* ---- the figures themselves ---- */

static const struct {
    const char *column, *name;
    enum chart_unit unit;
} table_columns[] = {
    {"step", "Step", CHART_COUNT},
    {"train_mean_reward", "Training reward", CHART_SCORE},
    {"full_valid_mean_reward", "Validation reward", CHART_SCORE},
    {"entropy", "Entropy", CHART_NUMBER},
    {"kl", "KL", CHART_NUMBER},
    {"flat_groups", "Flat groups", CHART_COUNT},
    {"truncated_share", "Cut off", CHART_SHARE},
    {"completion_tokens_mean", "Tokens", CHART_NUMBER},
    {"learning_rate", "Learning rate", CHART_NUMBER},
    {"grad_norm", "Gradient norm", CHART_NUMBER},
    {"timing/step/full_iteration", "Time", CHART_SECONDS},
};

static size_t table_stride(const struct report_data *d)
{
    return (d->metrics.n_rows + TABLE_ROWS - 1) / TABLE_ROWS;
}

void report_table(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    const size_t n = d->metrics.n_rows;
    const double *columns[COUNT_OF(table_columns)];

    if (n == 0)
        return;
    buf_text(out, "<thead><tr>");
    for (size_t c = 0; c < COUNT_OF(table_columns); c++) {
        columns[c] = report_column(d, table_columns[c].column);
        buf_printf(out, "<th scope=\"col\" class=\"num\">%s</th>", table_columns[c].name);
    }
    buf_text(out, "</tr></thead><tbody>");
    for (size_t k = 0; k < n; k += table_stride(d)) {
        const size_t i = k + table_stride(d) >= n ? n - 1 : k; /* the last row is the newest */

        buf_text(out, "<tr>");
        for (size_t c = 0; c < COUNT_OF(table_columns); c++)
            report_cell(out, columns[c] != NULL ? columns[c][i] : (double)NAN,
                        table_columns[c].unit);
        buf_text(out, "</tr>");
    }
    buf_text(out, "</tbody>");
}

void report_table_caption(struct report_page *p, struct buf *out)
{
    const size_t stride = table_stride(p->d);

    if (stride <= 1)
        buf_text(out, "Every step. All columns are in metrics.csv of the run\xE2\x80\x99s folder.");
    else
        buf_printf(
            out,
            "Every %zuth step. All steps and columns are in metrics.csv of the run\xE2\x80\x99s folder.",
            stride);
}
