/*
 * report_result.c - the head of the page: what changed, in words and at a glance.
 */
#include "base/size.h"
#include "job/report_internal.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#define EN_DASH "\xE2\x80\x93"
#define MIDDLE_DOT " \xC2\xB7 "

/* ---- what there is to compare ---- */

enum source { FROM_NOTHING, FROM_EVALS, FROM_VALIDATION, FROM_TRAINING };
struct change {
    enum source source;
    double before, after;
    double before_low, before_high, after_low, after_high; /* NaN: not known */
    double before_step, after_step;
    size_t n; /* cases; 0: not known */
};

static double mean_of(const double *y, size_t from, size_t to)
{
    double sum = 0;
    size_t n = 0;

    for (size_t i = from; i < to; i++)
        if (isfinite(y[i])) {
            sum += y[i];
            n++;
        }
    return n > 0 ? sum / (double)n : (double)NAN;
}

static bool change_in_validation(const struct report_data *d, struct change *c)
{
    const double *y = report_column(d, "full_valid_mean_reward"),
                 *ci = report_column(d, "full_valid_reward_ci95");
    const double *step = report_column(d, "step");
    size_t first = d->metrics.n_rows, last = first;

    for (size_t i = 0; y != NULL && step != NULL && i < d->metrics.n_rows; i++)
        if (isfinite(y[i])) {
            first = first == d->metrics.n_rows ? i : first;
            last = i;
        }
    if (first == last)
        return false;
    const double half_before = ci != NULL ? ci[first] : (double)NAN,
                 half_after = ci != NULL ? ci[last] : (double)NAN;
    *c = (struct change){.source = FROM_VALIDATION,
                         .before = y[first],
                         .after = y[last],
                         .before_low = y[first] - half_before,
                         .before_high = y[first] + half_before,
                         .after_low = y[last] - half_after,
                         .after_high = y[last] + half_after,
                         .before_step = step[first],
                         .after_step = step[last]};
    return true;
}

/* Evaluations say most, the validation less, the reward of training least. */
static struct change find_change(const struct report_data *d)
{
    struct change c = {.before_low = (double)NAN,
                       .before_high = (double)NAN,
                       .after_low = (double)NAN,
                       .after_high = (double)NAN};
    const size_t rows = d->metrics.n_rows;

    if (d->n_evals >= 2 && strcmp(d->eval[0].name, "before") == 0 &&
        strcmp(d->eval[1].name, "after") == 0) {
        const struct report_eval *b = &d->eval[0], *a = &d->eval[1];

        return (struct change){.source = FROM_EVALS,
                               .before = b->reward,
                               .after = a->reward,
                               .before_low = b->low,
                               .before_high = b->high,
                               .after_low = a->low,
                               .after_high = a->high,
                               .n = b->n == a->n ? b->n : 0};
    }
    if (change_in_validation(d, &c))
        return c;
    const double *y = report_column(d, "train_mean_reward"), *step = report_column(d, "step");
    if (y == NULL || step == NULL || rows < 4)
        return c;
    const size_t some = size_min(5, rows / 2);
    c.source = FROM_TRAINING;
    c.before = mean_of(y, 0, some);
    c.after = mean_of(y, rows - some, rows);
    c.before_step = step[some - 1];
    c.after_step = step[rows - some];
    if (!isfinite(c.before) || !isfinite(c.after))
        c.source = FROM_NOTHING;
    return c;
}

/* Whether the intervals leave chance as an explanation: half the width of the difference's, or NaN. */
static double half_width(const struct change *c)
{
    const double before = (c->before_high - c->before_low) / 2,
                 after = (c->after_high - c->after_low) / 2;

    return sqrt(before * before + after * after);
}

static void bold(struct buf *out, double x)
{
    buf_printf(out, "<b>%s%.2f</b>", x < 0 ? "\xE2\x88\x92" : "", fabs(x));
}

void report_headline(struct report_page *p, struct buf *out)
{
    const struct change c = find_change(p->d);
    const double gain = c.after - c.before, half = half_width(&c);
    const bool chance = isfinite(half) && fabs(gain) <= half;

    if (c.source == FROM_NOTHING) {
        buf_text(out, p->d->metrics.n_rows == 0 ? "No step of this run has ended yet."
                                                : "The run has just begun.");
        return;
    }
    if (c.source == FROM_EVALS && c.n > 0)
        buf_printf(out, "On %zu held-out cases, the mean reward ", c.n);
    else if (c.source == FROM_EVALS)
        buf_text(out, "On held-out cases, the mean reward ");
    else if (c.source == FROM_VALIDATION)
        buf_text(out, "In validation, the mean reward ");
    else
        buf_text(out, "In training, the mean reward ");
    buf_text(out, chance     ? "went from "
                  : gain > 0 ? "rose from "
                  : gain < 0 ? "fell from "
                             : "stayed: from ");
    bold(out, c.before);
    buf_text(out, " to ");
    bold(out, c.after);
    buf_text(out, chance ? ", which may be chance." : ".");
}

static void interval(struct buf *out, double low, double high)
{
    chart_number(out, low, CHART_SCORE);
    buf_text(out, " to ");
    chart_number(out, high, CHART_SCORE);
}

static void write_effort(const struct report_data *d, struct buf *out)
{
    const size_t rows = d->metrics.n_rows;
    const double *seconds = report_column(d, "timing/step/full_iteration"),
                 *step = report_column(d, "step");
    const double *samples = report_column(d, "samples"), *groups = report_column(d, "groups");
    double sum = 0;

    if (rows == 0 || seconds == NULL || step == NULL || samples == NULL || groups == NULL)
        return;
    for (size_t i = 0; i < rows; i++)
        sum += isfinite(seconds[i]) ? seconds[i] : 0;
    buf_printf(out, " It took %.0f step%s", step[rows - 1], step[rows - 1] > 1 ? "s" : "");
    if (groups[rows - 1] > 0)
        buf_printf(out, " of %.0f prompts with %.0f answers each", groups[rows - 1],
                   round(samples[rows - 1] / groups[rows - 1]));
    buf_text(out, " and ");
    chart_number(out, sum, CHART_SECONDS);
    buf_text(out, ".");
}

void report_lead(struct report_page *p, struct buf *out)
{
    const struct change c = find_change(p->d);
    const double half = half_width(&c), gain = c.after - c.before;

    if (c.source == FROM_NOTHING) {
        buf_text(out, "This page fills as the run goes on: write it again later.");
        return;
    }
    if (c.source == FROM_VALIDATION)
        buf_printf(out, "Measured at step %.0f and at step %.0f. ", c.before_step, c.after_step);
    if (c.source == FROM_TRAINING)
        buf_printf(
            out,
            "Means of the first and the last steps; training prompts differ from step to step, and there was no "
            "validation.");
    if (isfinite(half)) {
        buf_text(out, "The 95\xE2\x80\xAF% intervals are ");
        interval(out, c.before_low, c.before_high);
        buf_text(out, " before and ");
        interval(out, c.after_low, c.after_high);
        buf_text(out, " after; the difference is ");
        buf_printf(out, "%s%.2f \xC2\xB1 %.2f", gain < 0 ? "\xE2\x88\x92" : "+", fabs(gain), half);
        buf_text(out, fabs(gain) > 3 * half ? ", far more than chance explains."
                      : fabs(gain) > half   ? ", more than chance explains."
                                            : ", no more than chance explains.");
    }
    write_effort(p->d, out);
}

/* ---- the two figures drawn ---- */

struct scale {
    double min, max, left, right;
};

static double on(const struct scale *s, double x)
{
    return s->left +
           (fmin(s->max, fmax(s->min, x)) - s->min) / (s->max - s->min) * (s->right - s->left);
}

static void compare_row(struct buf *out, const struct scale *s, double y, const char *style,
                        const char *name, double value, double low, double high)
{
    const double x = on(s, value);

    buf_printf(out, "<text x=\"0\" y=\"%.0f\">%s</text>", y + 4, name);
    buf_printf(out, "<line class=\"scale\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>",
               s->left, s->right, y, y);
    if (isfinite(low) && isfinite(high))
        buf_printf(out,
                   "<line class=\"reach %s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>",
                   style, on(s, low), on(s, high), y, y);
    if (style[0] == 'w')
        buf_printf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.0f\" r=\"6\"/>", style, x, y);
    else
        buf_printf(
            out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"11\" height=\"11\" rx=\"1.5\"/>",
            style, x - 5.5, y - 5.5);
    const bool at_end = x > s->right - 40;
    buf_printf(out, "<text class=\"val%s\" x=\"%.1f\" y=\"%.0f\">", at_end ? " end" : " mid",
               at_end ? s->right : fmax(x, s->left + 14), y - 14);
    chart_number(out, value, CHART_SCORE);
    buf_text(out, "</text>");
}

static void compare_svg(struct buf *out, const struct change *c, const char *style, int width)
{
    double min = fmin(fmin(0, c->before), c->after), max = fmax(c->before, c->after);
    struct scale s = {.left = 52, .right = width - 8};

    if (max <= 1)
        max = 1;
    s.min = min < 0 ? floor(min * 1.2) : 0;
    s.max = max > 1 ? ceil(max * 1.1) : 1;
    buf_printf(
        out,
        "<svg class=\"%s\" viewBox=\"0 0 %d 132\" role=\"img\" aria-label=\"Mean reward before %.2f and after %.2f\">",
        style, width, c->before, c->after);
    compare_row(out, &s, 32, "was", "before", c->before, c->before_low, c->before_high);
    compare_row(out, &s, 88, "is", "after", c->after, c->after_low, c->after_high);
    for (int i = 0; i <= 4; i++) {
        const double x = s.min + (s.max - s.min) * i / 4;

        buf_printf(out, "<text class=\"%s\" x=\"%.1f\" y=\"124\">",
                   i == 4   ? "end"
                   : i == 0 ? ""
                            : "mid",
                   on(&s, x));
        chart_number(out, x, CHART_SCORE);
        buf_text(out, "</text>");
    }
    buf_text(out, "</svg>");
}

void report_compare(struct report_page *p, struct buf *out)
{
    const struct change c = find_change(p->d);

    if (c.source == FROM_NOTHING)
        return;
    compare_svg(out, &c, "wide", 460);
    compare_svg(out, &c, "tight", 330);
}

/* ---- figures of the run ---- */

static double sum_of(const double *y, size_t n)
{
    double sum = 0;

    for (size_t i = 0; y != NULL && i < n; i++)
        sum += isfinite(y[i]) ? y[i] : 0;
    return sum;
}

double report_last(const double *y, size_t n, size_t *at)
{
    for (size_t i = n; y != NULL && i-- > 0;)
        if (isfinite(y[i])) {
            if (at != NULL)
                *at = i;
            return y[i];
        }
    return (double)NAN;
}

static void tile(struct buf *out, const char *name, const char *style)
{
    buf_printf(out, "<div><dt>%s</dt><dd%s%s%s>", name, style[0] != '\0' ? " class=\"" : "", style,
               style[0] != '\0' ? "\"" : "");
}

static void tile_steps(const struct report_data *d, struct buf *out)
{
    const size_t n = d->metrics.n_rows;
    const double step = report_last(report_column(d, "step"), n, NULL),
                 total = report_last(report_column(d, "total_steps"), n, NULL);

    tile(out, "Steps", "");
    chart_number(out, step, CHART_COUNT);
    if (isfinite(total))
        buf_printf(out, "<small>of %.0f%s</small>", total,
                   d->completed || step >= total ? ", complete" : "");
    buf_text(out, "</dd></div>");
}

static void tile_best(const struct report_data *d, struct buf *out)
{
    const double *y = report_column(d, "full_valid_mean_reward"), *step = report_column(d, "step");
    size_t best = d->metrics.n_rows;

    for (size_t i = 0; y != NULL && step != NULL && i < d->metrics.n_rows; i++)
        if (isfinite(y[i]) && (best == d->metrics.n_rows || y[i] > y[best]))
            best = i;
    if (best == d->metrics.n_rows)
        return;
    tile(out, "Best validation reward", "");
    chart_number(out, y[best], CHART_SCORE);
    buf_printf(out, "<small>at step %.0f</small></dd></div>", step[best]);
}

static void tile_exact(const struct report_data *d, struct buf *out)
{
    const double *y = report_column(d, "max_dlogp");
    double most = (double)NAN;

    for (size_t i = 0; y != NULL && i < d->metrics.n_rows; i++)
        if (isfinite(y[i]))
            most = isnan(most) ? y[i] : fmax(most, y[i]);
    if (isnan(most))
        return;
    tile(out, "Sampler and trainer", most > 0 ? "bad" : "good");
    buf_text(out, most > 0 ? "differ" : "equal");
    buf_text(out, "<small>max\xE2\x80\x89|\xCE\x94logp| ");
    chart_number(out, most, most > 0 ? CHART_NUMBER : CHART_COUNT);
    buf_text(out,
             most > 0 ? ", should be 0</small></dd></div>" : " in every step</small></dd></div>");
}

static void tile_adapter(const struct report_data *d, struct buf *out)
{
    const struct str sha = json_str(json_object_get(d->last, "adapter_sha256"));

    if (sha.len < 12)
        return;
    tile(out, "Adapter", "");
    buf_text(out, "<code>");
    html_text(out, (struct str){sha.ptr, 12});
    buf_text(out, "</code><small>start of its SHA-256</small></dd></div>");
}

void report_tiles(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    const size_t n = d->metrics.n_rows;
    const double sampled = sum_of(report_column(d, "tokens_sampled"), n);
    const double sampling = sum_of(report_column(d, "timing/step/sampling"), n);
    const double memory = report_last(report_column(d, "peak_rss_bytes"), n, NULL);

    tile_steps(d, out);
    tile_best(d, out);
    tile(out, "Answers graded", "");
    chart_number(out, sum_of(report_column(d, "samples"), n), CHART_COUNT);
    buf_text(out, "<small>in training</small></dd></div>");
    tile(out, "Time", "");
    chart_number(out, sum_of(report_column(d, "timing/step/full_iteration"), n), CHART_SECONDS);
    if (sampling > 0) {
        buf_text(out, "<small>sampling ");
        chart_number(out, sampled / sampling, CHART_COUNT);
        buf_text(out, " tokens/s</small>");
    }
    buf_text(out, "</dd></div>");
    if (memory > 0) {
        tile(out, "Peak memory", "");
        chart_number(out, memory, CHART_BYTES);
        buf_text(out, "<small>resident</small></dd></div>");
    }
    tile_exact(d, out);
    tile_adapter(d, out);
}

/* ---- evaluations ---- */

void report_cell(struct buf *out, double x, enum chart_unit unit)
{
    buf_text(out, "<td class=\"num\">");
    chart_number(out, x, unit);
    buf_text(out, "</td>");
}

static double extra_of(const struct report_eval *e, const char *name)
{
    for (size_t i = 0; i < e->n_extra; i++)
        if (strcmp(e->extra_name[i], name) == 0)
            return e->extra[i];
    return (double)NAN;
}

void report_evals(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    const struct report_eval *widest = &d->eval[0];

    if (d->n_evals == 0)
        return;
    for (size_t i = 1; i < d->n_evals; i++)
        if (d->eval[i].n_extra > widest->n_extra)
            widest = &d->eval[i];
    buf_text(
        out,
        "<thead><tr><th scope=\"col\">Evaluation</th><th scope=\"col\" class=\"num\">Cases</th><th scope=\"col\" "
        "class=\"num\">Mean reward</th><th scope=\"col\" class=\"num\">95\xE2\x80\xAF% interval</th>");
    for (size_t i = 0; i < widest->n_extra; i++) {
        buf_text(out, "<th scope=\"col\" class=\"num\">");
        html_text(out, str_of(widest->extra_name[i]));
        buf_text(out, "</th>");
    }
    buf_text(out, "</tr></thead><tbody>");
    for (size_t i = 0; i < d->n_evals; i++) {
        const struct report_eval *e = &d->eval[i];

        buf_text(out, "<tr><th scope=\"row\">");
        html_text(out, str_of(e->name));
        buf_text(out, "</th>");
        report_cell(out, e->n > 0 ? (double)e->n : (double)NAN, CHART_COUNT);
        report_cell(out, e->reward, CHART_SCORE);
        buf_text(out, "<td class=\"num\">");
        if (isfinite(e->low) && isfinite(e->high))
            interval(out, e->low, e->high);
        else
            buf_text(out, EN_DASH);
        buf_text(out, "</td>");
        for (size_t k = 0; k < widest->n_extra; k++)
            report_cell(out, extra_of(e, widest->extra_name[k]), CHART_NUMBER);
        buf_text(out, "</tr>");
    }
    buf_text(out, "</tbody>");
}

/* ---- names and times ---- */

/* The last part of a path. */
static struct str base_name(struct str path)
{
    size_t from = path.len;

    while (from > 0 && path.ptr[from - 1] != '/')
        from--;
    return from < path.len ? str_from(path, from) : path;
}

static void write_date(struct buf *out, int64_t unix_time)
{
    const time_t t = (time_t)unix_time;
    struct tm tm;
    char text[64];

    if (unix_time <= 0 || gmtime_r(&t, &tm) == NULL)
        return;
    strftime(text, sizeof text, "%e %B %Y, %H:%M UTC", &tm);
    buf_text(out, text[0] == ' ' ? text + 1 : text);
}

static struct str job_text(const struct report_data *d, const char *key)
{
    return json_str(json_object_get(json_object_get(d->job_file, "job"), key));
}

void report_title(struct report_page *p, struct buf *out)
{
    const struct str suffix = job_text(p->d, "suffix"), model = base_name(job_text(p->d, "model"));

    html_text(out, suffix.len > 0 ? suffix : model.len > 0 ? model : STR("A run"));
}

void report_kicker(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    const struct str model = base_name(job_text(d, "model")), suffix = job_text(d, "suffix");
    const int64_t at = d->last_event_at != 0
                           ? d->last_event_at
                           : json_integer_value(json_object_get(d->job_file, "created_at"));

    buf_text(out, "Reinforcement fine-tuning");
    if (model.len > 0) {
        buf_text(out, " of ");
        html_text(out, model);
    }
    if (suffix.len > 0) {
        buf_text(out, MIDDLE_DOT);
        html_text(out, suffix);
    }
    if (at > 0) {
        buf_text(out, MIDDLE_DOT);
        write_date(out, at);
    }
}

void report_footer(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;

    buf_text(out, "Written by hone");
    const struct str version = json_str(json_object_get(d->job_file, "version"));
    if (version.len > 0) {
        buf_char(out, ' ');
        html_text(out, version);
    }
    buf_text(out, " from the run\xE2\x80\x99s own files; job ");
    html_text(out, json_str(json_object_get(d->job_file, "id")));
    buf_text(out, ". The page is complete in itself and asks no host for anything.");
    if (d->n_bad > 0)
        buf_printf(
            out,
            " %zu damaged line%s of the run\xE2\x80\x99s files could not be read and %s left out.",
            d->n_bad, d->n_bad == 1 ? "" : "s", d->n_bad == 1 ? "is" : "are");
}
