/*
 * report_changes.c - the tokens of a choice of answers, coloured by how much training changed their log-probability.
 *
 *     pairs, groups  ->  their lines in rollouts/  ->  tokens, as they were drawn
 *     DIR/token_changes.jsonl (report_score.c)     ->  the same under the base model and checkpoints
 *
 * A line of the file:
 *
 *     {"split":"valid","step":40,"item":3,"sample":0,"tokens":[ids],"logprobs":{"base":[-3.1,..],"step-40":[-0.2,..]}}
 *
 * It is a help and no more: a line that is not about tokens that are shown is passed over, and nothing else is made of it.
 */
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/line_file.h"
#include "job/report_internal.h"
#include "job/report_score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CHANGED_TOKENS 200             /* of an answer, its first */
#define PROMPT_MOST ((size_t)64 << 10) /* bytes that are kept to be read again by a model */
#define LINE_MOST ((size_t)1 << 20)
/* A change that has no colour yet, and one that has the full one: as in web/pages/answer.js. */
#define LEAST 0.05
#define FULL 2.0

/* ---- which answers ---- */

static bool same_answer(const struct report_answer *a, const struct report_answer *b)
{
    return a->valid == b->valid && a->step == b->step && a->item == b->item &&
           a->sample == b->sample;
}

static void add(struct report_data *d, const struct report_answer *r)
{
    for (size_t i = 0; i < d->n_changed; i++)
        if (same_answer(d->changed[i].answer, r))
            return;
    d->changed[d->n_changed++].answer = r;
}

static void choose(struct report_data *d)
{
    size_t most = 2 * d->n_pairs;

    for (size_t g = 0; g < d->n_groups; g++)
        most += d->group[g].n;
    d->changed = ARENA_ARRAY(d->arena, struct report_changed, most + 1);
    for (size_t i = 0; i < d->n_pairs; i++) {
        add(d, d->pair[i].before);
        add(d, d->pair[i].after);
    }
    d->n_changed_of_pairs = d->n_changed;
    for (size_t g = 0; g < d->n_groups; g++)
        for (size_t i = 0; i < d->group[g].n; i++)
            add(d, &d->group[g].answer[i]);
}

/* ---- their lines ---- */

struct lines {
    struct report_data *d;
    bool valid;
};

static void read_tokens(struct arena *a, const json_t *line, struct report_changed *c)
{
    json_t *ids = json_object_get(line, "tokens");
    const json_t *pieces = json_object_get(line, "pieces"),
                 *drawn = json_object_get(line, "logprobs");
    const size_t n = size_min(CHANGED_TOKENS, json_array_size(pieces));

    if (n == 0 || json_array_size(pieces) != json_array_size(ids) || c->ids != NULL)
        return;
    struct str *piece = ARENA_ARRAY(a, struct str, n);
    float *logprob = ARENA_ARRAY(a, float, n);
    c->given = report_given(a, line, n);
    c->ids = json_array();
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(drawn, i);

        json_array_append(c->ids, json_array_get(ids, i));
        piece[i] = report_cut(a, json_str(json_array_get(pieces, i)), 200).text;
        logprob[i] = json_is_number(x) && (c->given == NULL || !c->given[i])
                         ? (float)json_number_value(x)
                         : NAN;
    }
    c->n = n;
    c->piece = piece;
    c->logprob = ARENA_ARRAY(a, const float *, REPORT_MODELS);
    c->logprob[0] = logprob;
}

static bool read_line(void *ctx, const json_t *line)
{
    struct lines *l = ctx;
    struct report_data *d = l->d;
    const struct report_answer at = {.valid = l->valid,
                                     .step = report_count(line, "step"),
                                     .item = report_count(line, "item"),
                                     .sample = report_count(line, "sample")};
    const struct str prompt = json_str(json_object_get(line, "prompt"));

    for (size_t i = 0; i < d->n_changed; i++) {
        struct report_changed *c = &d->changed[i];
        const struct report_answer *r = c->answer;

        if (r->valid != at.valid || r->step != at.step || r->item != at.item)
            continue;
        if (prompt.len > 0 && prompt.len <= PROMPT_MOST && c->prompt.len == 0)
            c->prompt = arena_str(d->arena, prompt);
        if (r->sample == at.sample)
            read_tokens(d->arena, line, c);
    }
    return true;
}

/* Each file once. */
static bool read_lines(const char *dir, struct report_data *d, struct error *err)
{
    size_t n_bad = 0; /* told of already */

    for (size_t i = 0; i < d->n_changed; i++) {
        const struct report_answer *r = d->changed[i].answer;
        struct lines l = {.d = d, .valid = r->valid};
        bool done = false;

        for (size_t j = 0; j < i && !done; j++)
            done = d->changed[j].answer->valid == r->valid && d->changed[j].answer->step == r->step;
        if (!done && !run_read_rollouts(dir, r->step, r->valid, read_line, &l, &n_bad, err))
            return false;
    }
    return true;
}

/* ---- the file ---- */

/* "base", "step-12": its place among others; false for any other name. */
static bool order_of(const char *name, size_t *out)
{
    size_t n = strlen(name);

    *out = 0;
    if (strcmp(name, "base") == 0)
        return true;
    if (!str_starts(str_of(name), STR("step-")) || n < 6 || n > 14 ||
        strspn(name + 5, "0123456789") != n - 5)
        return false;
    *out = (size_t)strtoull(name + 5, NULL, 10) + 1;
    return true;
}

/* The place of a model, which is made where there is none; REPORT_MODELS: there is no room, or it is no name of one. */
static size_t place_of(struct report_data *d, const char *name)
{
    size_t order, other, at = 1;

    if (!order_of(name, &order))
        return REPORT_MODELS;
    while (at < d->n_models && order_of(d->model[at], &other) && other < order)
        at++;
    if (at < d->n_models && strcmp(d->model[at], name) == 0)
        return at;
    if (d->n_models == REPORT_MODELS)
        return REPORT_MODELS;
    memmove(&d->model[at + 1], &d->model[at], (d->n_models - at) * sizeof *d->model);
    d->model[at] = arena_text(d->arena, str_of(name));
    for (size_t i = 0; i < d->n_changed; i++) {
        const float **l = d->changed[i].logprob;

        if (l == NULL)
            continue;
        memmove(&l[at + 1], &l[at], (d->n_models - at) * sizeof *l);
        l[at] = NULL;
    }
    d->n_models++;
    return at;
}

static void take_figures(struct report_data *d, struct report_changed *c, const char *model,
                         const json_t *list)
{
    const size_t at = json_array_size(list) == c->n ? place_of(d, model) : REPORT_MODELS;

    if (at == REPORT_MODELS)
        return;
    float *logprob = ARENA_ARRAY(d->arena, float, c->n);
    for (size_t i = 0; i < c->n; i++) {
        const json_t *x = json_array_get(list, i);
        const double value = json_is_number(x) ? json_number_value(x) : (double)NAN;

        logprob[i] = isfinite(value) && (c->given == NULL || !c->given[i])
                         ? (float)fmin(0, fmax(value, -1e4))
                         : NAN;
    }
    c->logprob[at] = logprob;
}

static bool read_kept(void *ctx, struct str text, size_t offset)
{
    struct report_data *d = ctx;
    struct error ignored;
    json_t *line = NULL, *list;
    const char *model;

    (void)offset;
    if (text.len > LINE_MOST || json_has_more(text, 20 * CHANGED_TOKENS) ||
        !json_parse(text, TOKEN_CHANGES_FILE, &line, &ignored))
        return true;
    const struct report_answer at = {.valid =
                                         str_is(json_str(json_object_get(line, "split")), "valid"),
                                     .step = report_count(line, "step"),
                                     .item = report_count(line, "item"),
                                     .sample = report_count(line, "sample")};
    for (size_t i = 0; i < d->n_changed; i++) {
        struct report_changed *c = &d->changed[i];

        if (c->n > 0 && same_answer(c->answer, &at) &&
            json_same(c->ids, json_object_get(line, "tokens")))
            json_object_foreach(json_object_get(line, "logprobs"), model, list)
                take_figures(d, c, model, list);
    }
    json_decref(line);
    return true;
}

bool report_changes_find(const char *dir, struct report_data *d, struct error *err)
{
    const char *path = file_join(d->arena, dir, TOKEN_CHANGES_FILE);
    struct error ignored;

    if (d->n_checkpoints > 0)
        d->best_step = d->checkpoint[run_best_checkpoint(d->checkpoint, d->n_checkpoints)].step;
    d->model[0] = "drawn";
    d->n_models = 1;
    choose(d);
    if (!read_lines(dir, d, err))
        return false;
    if (file_exists(path))
        (void)!lines_each(path, read_kept, d, &ignored);
    return true;
}

void report_changes_release(struct report_data *d)
{
    for (size_t i = 0; i < d->n_changed; i++)
        json_decref(d->changed[i].ids);
    d->n_changed = 0;
}

/* ---- between which models ---- */

static bool has_figures(const struct report_changed *c, size_t model)
{
    return c->n > 0 && c->logprob[model] != NULL;
}

/* From the base to the best checkpoint, else the last that there is; false: there are not both. */
static bool choose_models(const struct report_data *d, size_t *from, size_t *to)
{
    char best[32];

    snprintf(best, sizeof best, "step-%zu", d->best_step);
    *from = 1;
    *to = d->n_models - 1;
    for (size_t i = 2; i < d->n_models; i++)
        if (strcmp(d->model[i], best) == 0)
            *to = i;
    return d->n_models >= 3 && strcmp(d->model[1], "base") == 0;
}

static void model_name(struct buf *out, const struct report_data *d, size_t i)
{
    const char *step = d->model[i] + strlen("step-");

    if (i == 0)
        buf_text(out, "the model that drew it");
    else if (strcmp(d->model[i], "base") == 0)
        buf_text(out, "the base model");
    else
        buf_printf(out, "the checkpoint of step %s%s", step,
                   strtoull(step, NULL, 10) == d->best_step ? " (the best)" : "");
}

/* ---- one answer ---- */

/* Of five levels, as the dashboard's shares: 0 hardly changed. */
static int level_of(double change)
{
    const double share = (fabs(change) - LEAST) / (FULL - LEAST);

    return !(share > 0) ? 0 : share < 0.25 ? 1 : share < 0.5 ? 2 : share < 0.75 ? 3 : 4;
}

static void write_token(struct buf *out, const struct report_changed *c, size_t i, size_t from,
                        size_t to)
{
    const double was = (double)c->logprob[from][i], is = (double)c->logprob[to][i];
    const int level = level_of(is - was);
    const char *th = i < c->answer->n_thinking_tokens ? " th" : "";

    if (c->given != NULL && c->given[i])
        buf_text(out, "<i class=\"given\">");
    else if (level > 0)
        buf_printf(out, "<i class=\"%c%d%s\">", is > was ? 'u' : 'd', level, th);
    else
        buf_text(out, th[0] != '\0' ? "<i class=\"th\">" : "<i>");
    html_text(out, c->piece[i].len > 0 ? c->piece[i]
                                       : STR("\xE2\x88\x85")); /* of a part of a character */
    buf_text(out, "</i>");
}

/* The whole answer in a sentence; report.js says the same of any two models. */
static void write_sum(struct buf *out, const struct report_changed *c, size_t from, size_t to)
{
    double sum = 0;
    size_t n = 0, n_up = 0, n_down = 0;

    for (size_t i = 0; i < c->n; i++) {
        const double change = (double)c->logprob[to][i] - (double)c->logprob[from][i];

        if (isnan(change))
            continue;
        sum += change;
        n++;
        n_up += change > LEAST;
        n_down += change < -LEAST;
    }
    if (n == 0)
        return;
    if (fabs(sum) < 1e-6) {
        buf_text(out, "Both say the same of this answer.");
        return;
    }
    buf_printf(out, "%s: log-probability ", sum > 0 ? "Likelier" : "Less likely");
    report_signed(out, sum);
    buf_text(out, ", a token ");
    report_signed(out, sum / (double)n);
    buf_printf(out, "; %zu token%s rose, %zu fell.", n_up, n_up == 1 ? "" : "s", n_down);
}

static void write_answer(struct buf *out, const struct report_data *d, size_t index, size_t from,
                         size_t to)
{
    const struct report_changed *c = &d->changed[index];
    const struct report_answer *r = c->answer;

    buf_printf(out, "<div class=\"answer%s\">", report_side(r));
    buf_printf(out,
               "<div class=\"strip changed\" dir=\"auto\" data-changed=\"%zu\" role=\"group\" "
               "aria-label=\"Tokens of sample %zu, row %zu, step %zu%s\">",
               index, r->sample, r->item, r->step, r->valid ? " of the validation" : "");
    for (size_t i = 0; i < c->n; i++)
        write_token(out, c, i, from, to);
    buf_text(out, "</div>");
    if (r->n_tokens > c->n)
        buf_printf(out, "<p class=\"left-out\">%zu more tokens</p>", r->n_tokens - c->n);
    buf_printf(out, "<p class=\"sum\" id=\"sum-%zu\">", index);
    write_sum(out, c, from, to);
    buf_text(out, "</p>");
    report_facts(out, r);
    buf_text(out, "</div>");
}

/* ---- the section ---- */

static void write_options(struct buf *out, const struct report_data *d, const char *id,
                          const char *label, size_t chosen)
{
    buf_printf(out, "<label for=\"%s\">%s</label> <select id=\"%s\">", id, label, id);
    for (size_t i = 0; i < d->n_models; i++) {
        buf_printf(out, "<option value=\"%zu\"%s>", i, i == chosen ? " selected" : "");
        model_name(out, d, i);
        buf_text(out, "</option>");
    }
    buf_text(out, "</select> ");
}

static void write_legend(struct buf *out, const struct report_data *d)
{
    bool any = false;

    for (size_t i = 0; i < d->n_changed; i++)
        any |= d->changed[i].given != NULL;
    buf_text(
        out,
        "<p class=\"key\"><span><span class=\"strip\"><i class=\"d4\">word</i></span> weakened (\xE2\x88\x92"
        "2 or more), wave below</span><span><span class=\"strip\"><i class=\"d1\">word</i></span> a little</span><span>unmarked: hardly "
        "changed</span><span><span class=\"strip\"><i class=\"u1\">word</i></span> a little</span><span><span class=\"strip\"><i "
        "class=\"u4\">word</i></span> strengthened (+2 or more), line below</span>");
    if (any)
        buf_text(
            out,
            "<span><span class=\"strip\"><i class=\"given\">word</i></span> given, not drawn</span>");
    buf_text(out, "</p>");
}

static void data_list(struct buf *out, const float *logprob, size_t n)
{
    if (logprob == NULL) {
        buf_text(out, "null");
        return;
    }
    buf_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(out, ',');
        if (isfinite(logprob[i]))
            buf_printf(out, "%.3f", (double)logprob[i]);
        else
            buf_text(out, "null");
    }
    buf_char(out, ']');
}

/* "changes":{"most":2,"least":0.05,"answers":{"3":[[..],[..]]}}: under each model, for the script. */
static void add_data(struct report_page *p)
{
    const struct report_data *d = p->d;
    struct buf *out = &p->chart_data;
    bool first = true;

    buf_printf(out, "%s\"changes\":{\"least\":%g,\"full\":%g,\"answers\":{",
               out->len > 0 ? "," : "", LEAST, FULL);
    for (size_t i = 0; i < d->n_changed; i++) {
        if (d->changed[i].n == 0)
            continue;
        buf_printf(out, "%s\"%zu\":[", first ? "" : ",", i);
        first = false;
        for (size_t k = 0; k < d->n_models; k++) {
            if (k > 0)
                buf_char(out, ',');
            data_list(out, d->changed[i].logprob[k], d->changed[i].n);
        }
        buf_char(out, ']');
    }
    buf_text(out, "}}");
}

/* Answers to one prompt beside each other, from `at` on; how many there were. */
static size_t write_card(struct report_page *p, struct buf *out, size_t at, size_t end, size_t from,
                         size_t to)
{
    const struct report_data *d = p->d;
    const struct report_answer *first = d->changed[at].answer;
    struct buf inner;
    size_t n = 0;

    buf_init(&inner, (size_t)8 << 20);
    for (; at + n < end; n++) {
        const struct report_changed *c = &d->changed[at + n];

        if (c->answer->item != first->item || c->answer->valid != first->valid)
            break;
        if (!has_figures(c, from) || !has_figures(c, to))
            continue;
        buf_printf(&inner, "<div class=\"side\"><h3>%s step %zu</h3>",
                   c->answer->valid ? "Validation at" : "Training", c->answer->step);
        write_answer(&inner, d, at + n, from, to);
        buf_text(&inner, "</div>");
    }
    if (inner.len > 0) {
        buf_text(out, "<article class=\"card\"><header>");
        report_prompt(p, out, first);
        buf_text(out, "</header><div class=\"sides\">");
        buf_str(out, buf_view(&inner));
        buf_text(out, "</div></article>");
    }
    buf_release(&inner);
    return n;
}

void report_changes(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    struct buf cards;
    size_t from, to;

    if (!choose_models(d, &from, &to))
        return;
    buf_init(&cards, (size_t)32 << 20);
    for (size_t at = 0; at < d->n_changed;)
        at +=
            write_card(p, &cards, at,
                       at < d->n_changed_of_pairs ? d->n_changed_of_pairs : d->n_changed, from, to);
    if (cards.len > 0) {
        buf_text(out, "<p class=\"models\" id=\"models\" hidden>");
        write_options(out, d, "from", "From", from);
        write_options(out, d, "to", "to", to);
        buf_text(out, "<button type=\"button\" id=\"swap\">Swap</button></p>");
        write_legend(out, d);
        buf_text(
            out,
            "<p class=\"told\" id=\"told\" role=\"status\" hidden>Point at a token, or go from one to the next by the arrow keys, "
            "to see its figures.</p><div class=\"pairs\">");
        buf_str(out, buf_view(&cards));
        buf_text(out, "</div>");
        add_data(p);
    }
    buf_release(&cards);
}

void report_changes_note(struct report_page *p, struct buf *out)
{
    size_t from, to;

    if (!choose_models(p->d, &from, &to))
        return;
    buf_text(out,
             "How much the log-probability of each token changed from <span id=\"from-name\">");
    model_name(out, p->d, from);
    buf_text(out, "</span> to <span id=\"to-name\">");
    model_name(out, p->d, to);
    buf_text(
        out,
        "</span>: the same tokens, read by both. An answer of before training that was wrong should have become less likely, a right one of "
        "after training likelier.");
}

/* Why the section is not there, where there are answers that it could show. */
void report_changes_lack(struct report_page *p, struct buf *out)
{
    size_t from, to;

    if (p->d->n_changed == 0 || choose_models(p->d, &from, &to))
        return;
    buf_text(
        out,
        "How much training changed the log-probability of each token is not in this file, for the model, or checkpoints that are adapters, "
        "were not at hand when it was written; where they are, <code>hone report</code> adds it.");
}
