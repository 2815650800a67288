/*
 * route_rollouts.c - the answers of a run: found, searched, shown; and how likely each of their tokens is to another model.
 *
 * All of a page comes from the index (job/rollout_index.h), which a call makes longer for a short while before it answers: of a run that
 * nobody has looked at yet the first pages may be of its newest part, and say so ("complete").
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/rollout_index.h"
#include "job/run_read.h"
#include "job/run_series.h"
#include "server/api_internal.h"
#include "server/generation.h"
#include "server/job_run.h"
#include "server/rollout_json.h"
#include "server/routes.h"
#include "server/run_indexes.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PAGE_BYTES ((size_t)8 << 20) /* of lines; a page that is longer ends there */
#define WAIT_MS 400                  /* that a call reads or searches, unless it says otherwise */
#define MOST_WAIT_MS 5000
#define SEARCHED_AT_ONCE ((size_t)2048)
#define TRIES 3 /* a run may go back to a checkpoint while it is read */

/* A call that has the index of its run. */
struct reading {
    struct api_call *c;
    struct job_run run;
    struct rollout_index *ix;
    double until; /* clock_seconds() */
    bool whole;   /* all that there is has been read */
    struct buf line, prompt, scratch;
    struct rollout_ref prompt_ref; /* what prompt holds */
    bool has_prompt;
};

static bool reading_begin(struct api_call *c, struct reading *r, struct error *err)
{
    size_t wait_ms = WAIT_MS;
    bool there;

    *r = (struct reading){.c = c};
    if (!job_run_get(c, &r->run, err) ||
        !query_count(c, "wait_ms", MOST_WAIT_MS, &there, &wait_ms, err))
        return false;
    r->until = clock_seconds() + 1e-3 * (double)wait_ms;
    buf_init(&r->line, LIMIT_LINE_BYTES);
    buf_init(&r->prompt, LIMIT_LINE_BYTES);
    buf_init(&r->scratch, LIMIT_LINE_BYTES);
    r->ix = run_indexes_take(c->api->runs, r->run.dir);
    return true;
}

static void reading_end(struct reading *r)
{
    if (r->ix != NULL)
        run_indexes_give(r->c->api->runs, r->ix);
    r->ix = NULL;
    buf_release(&r->line);
    buf_release(&r->prompt);
    buf_release(&r->scratch);
}

/* What a call does with the index. It answers nothing: the index is given back before. */
typedef bool reading_fn(struct reading *r, json_t **out, struct error *err);

/* Where a line is another than the index says, all is read anew. */
static bool with_index(struct api_call *c, reading_fn *fn, json_t **out, struct error *err)
{
    struct reading r;
    bool ok = reading_begin(c, &r, err);

    for (int i = 0; ok; i++) {
        ok = rollout_index_update(r.ix, fmax(0.005, r.until - clock_seconds()), &r.whole, err) &&
             fn(&r, out, err);
        if (ok || err->kind != ERR_CORRUPT || i + 1 == TRIES)
            break;
        rollout_index_forget(r.ix);
        r.has_prompt = false;
        ok = true;
    }
    reading_end(&r);
    return ok;
}

static bool reply_from(struct api_call *c, reading_fn *fn, struct error *err)
{
    json_t *body = NULL;

    return with_index(c, fn, &body, err) && api_reply(c, 200, body);
}

/* ---- one line ---- */

/* The prompt's line of its group; one is read for all of them. */
static bool read_prompt(struct reading *r, struct rollout_ref ref, struct error *err)
{
    struct rollout_ref at;

    if (!rollout_index_prompt(r->ix, ref, &at)) {
        r->has_prompt = false;
        return true;
    }
    if (r->has_prompt && at.file == r->prompt_ref.file && at.line == r->prompt_ref.line)
        return true;
    r->has_prompt = false;
    if (!rollout_index_read(r->ix, at, &r->prompt, err))
        return false;
    r->prompt_ref = at;
    r->has_prompt = true;
    return true;
}

/* r->line holds it already. */
static bool shown(struct reading *r, struct rollout_ref ref, bool whole, json_t **out,
                  struct error *err)
{
    const struct rollout_id id = rollout_index_id(r->ix, ref);

    if (!read_prompt(r, ref, err))
        return false;
    const struct rollout_shown s = {.id = id.text,
                                    .valid = rollout_index_is_valid(r->ix, ref),
                                    .line = buf_view(&r->line),
                                    .prompt_line =
                                        r->has_prompt ? buf_view(&r->prompt) : (struct str){0},
                                    .whole = whole};
    *out = rollout_json(&s);
    return true;
}

static bool find(struct reading *r, struct rollout_ref *out, struct error *err)
{
    return rollout_index_find(r->ix, r->c->id[1], out) ||
           fail(err, ERR_NOT_FOUND,
                "this job has no rollout of this id (step-N-LINE or valid-N-LINE)%s",
                r->whole ? "" : ", or it has not been read yet: try again in a moment");
}

/* ---- the list ---- */

static const struct {
    const char *name;
    size_t at;
} filters[] = {
    {"truncated", offsetof(struct rollout_query, truncated)},
    {"error", offsetof(struct rollout_query, error)},
    {"flat", offsetof(struct rollout_query, flat)},
    {"odd", offsetof(struct rollout_query, odd)},
    {"empty", offsetof(struct rollout_query, empty)},
    {"trained", offsetof(struct rollout_query, trained)},
    {"thinking", offsetof(struct rollout_query, thinking)},
};

static bool read_filters(struct api_call *c, struct rollout_query *q, struct error *err)
{
    struct str *names;
    size_t n;

    if (!query_list(c, "filter", COUNT_OF(filters), &names, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;

        while (k < COUNT_OF(filters) && !str_is(names[i], filters[k].name))
            k++;
        if (k == COUNT_OF(filters))
            return fail_param(err, ERR_INVALID, "filter",
                              "\"filter\" is a list of truncated, error, flat, odd, empty, trained "
                              "and thinking, split by commas");
        *((bool *)((char *)q + filters[k].at)) = true;
    }
    return true;
}

static bool read_order(struct api_call *c, enum rollout_order *out, struct error *err)
{
    const struct str text = http_query(c->x, "order");

    if (text.ptr == NULL || text.len == 0)
        return true;
    if (str_is(text, "asc") || str_is(text, "desc")) {
        *out = str_is(text, "asc") ? ROLLOUT_OLDEST : ROLLOUT_NEWEST;
        return true;
    }
    for (size_t i = 0; rollout_order_name(i) != NULL; i++)
        if (str_is(text, rollout_order_name(i))) {
            *out = (enum rollout_order)i;
            return true;
        }
    return fail_param(err, ERR_INVALID, "order",
                      "\"order\" is one of newest, oldest, best, worst, strengthened, weakened, "
                      "longest, shortest and most_thinking");
}

static bool read_split(struct api_call *c, bool *train, bool *valid, struct error *err)
{
    const struct str text = http_query(c->x, "split");

    if (text.ptr == NULL || text.len == 0)
        return true;
    *train = str_is(text, "train");
    *valid = str_is(text, "valid");
    return *train || *valid ||
           fail_param(err, ERR_INVALID, "split", "\"split\" is neither \"train\" nor \"valid\"");
}

static bool read_query(struct reading *r, struct rollout_query *q, struct error *err)
{
    struct api_call *c = r->c;
    const struct str after = http_query(c->x, "after");

    *q = rollout_query_all();
    if (!read_split(c, &q->train, &q->valid, err) ||
        !query_count(c, "step", UINT32_MAX, &q->has_step, &q->step, err) ||
        !query_count(c, "item", UINT32_MAX, &q->has_item, &q->item, err) ||
        !query_number(c, "min_reward", &q->min_reward, err) ||
        !query_number(c, "max_reward", &q->max_reward, err) || !read_filters(c, q, err) ||
        !read_order(c, &q->order, err))
        return false;
    q->has_after = after.ptr != NULL && after.len > 0;
    return !q->has_after || rollout_index_find(r->ix, after, &q->after) ||
           fail_param(err, ERR_NOT_FOUND, "after", "\"after\" is no rollout of this job");
}

/* A page on its way. */
struct page {
    json_t *data;
    size_t limit, bytes, n_matching;
    struct rollout_ref last; /* the last one that was looked at */
    bool has_last, has_more;
};

/* refs in order, until the page is full or its time is over. */
static bool take_refs(struct reading *r, struct str q, const struct rollout_ref *refs, size_t n,
                      struct page *p, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        json_t *one;

        if (json_array_size(p->data) == p->limit || p->bytes > PAGE_BYTES ||
            (q.len > 0 && p->has_last && clock_seconds() > r->until)) {
            p->has_more = true;
            return true;
        }
        p->last = refs[i];
        p->has_last = true;
        if (q.len > 0 && !rollout_index_says(r->ix, refs[i], q, &r->scratch))
            continue;
        if (!rollout_index_read(r->ix, refs[i], &r->line, err) ||
            !shown(r, refs[i], false, &one, err))
            return false;
        json_array_append_new(p->data, one);
        p->bytes += r->line.len;
    }
    return true;
}

static bool fill_page(struct reading *r, struct rollout_query *q, struct str text, struct page *p,
                      struct error *err)
{
    const size_t most = text.len > 0 ? SEARCHED_AT_ONCE : p->limit + 1;
    struct rollout_ref *refs = ARENA_ARRAY(r->c->arena, struct rollout_ref, most);

    for (;;) {
        const size_t n = rollout_index_page(r->ix, q, most, refs, &p->n_matching);

        if (!take_refs(r, text, refs, n, p, err))
            return false;
        if (p->has_more || n < most)
            return true;
        q->has_after = true;
        q->after = refs[n - 1];
    }
}

/* How far the index is. */
static void put_progress(const struct reading *r, json_t *body)
{
    const struct rollout_index_size s = rollout_index_size(r->ix);

    json_object_set_new(body, "complete", json_boolean(r->whole));
    json_object_set_new(body, "read_bytes", json_integer((json_int_t)s.read_bytes));
    json_object_set_new(body, "total_bytes", json_integer((json_int_t)s.total_bytes));
}

static bool list_rollouts(struct reading *r, json_t **out, struct error *err)
{
    const struct str text = http_query(r->c->x, "q");
    struct rollout_query q;
    struct page p = {0};

    if (!read_query(r, &q, err) || !query_limit(r->c, 20, 100, &p.limit, err))
        return false;
    p.data = json_array();
    if (!fill_page(r, &q, text, &p, err)) {
        json_decref(p.data);
        return false;
    }
    const struct rollout_id last =
        p.has_last ? rollout_index_id(r->ix, p.last) : (struct rollout_id){{0}};
    json_t *first = json_object_get(json_array_get(p.data, 0), "id");
    *out = json_pack("{s:s, s:o, s:O?, s:s?, s:b, s:I}", "object", "list", "data", p.data,
                     "first_id", first, "last_id", p.has_last ? last.text : NULL, "has_more",
                     (int)p.has_more, "n_matching", (json_int_t)p.n_matching);
    put_progress(r, *out);
    return true;
}

static bool list(struct api_call *c, struct error *err)
{
    return reply_from(c, list_rollouts, err);
}

/* ---- one ---- */

/* The model that an answer was drawn from: what it is called here where its weights are still there. */
static json_t *drawn_from(struct reading *r, const struct rollout_figures *f, bool valid)
{
    const size_t step = valid || f->step == 0 ? f->step : f->step - 1;
    const char *name = arena_printf(r->c->arena, "step-%zu", step);
    const char *dir =
        file_join(r->c->arena, file_join(r->c->arena, r->run.dir, "checkpoints"), name);

    if (step == 0)
        name = "base";
    else if (!file_is_dir(dir))
        name = NULL;
    return json_pack("{s:I, s:s?}", "step", (json_int_t)step, "model", name);
}

static bool one_rollout(struct reading *r, json_t **out, struct error *err)
{
    struct rollout_ref ref;

    if (!find(r, &ref, err) || !rollout_index_read(r->ix, ref, &r->line, err) ||
        !shown(r, ref, true, out, err))
        return false;
    json_object_set_new(
        *out, "drawn_from",
        drawn_from(r, &rollout_index_entry(r->ix, ref)->is, rollout_index_is_valid(r->ix, ref)));
    return true;
}

static bool retrieve(struct api_call *c, struct error *err)
{
    return reply_from(c, one_rollout, err);
}

/* ---- log-probabilities under another model ---- */

/* What it was drawn with: the step's temperature, else the job's. */
static bool temperature_of(struct reading *r, size_t step, double *out, struct error *err)
{
    const struct str column = STR("temperature");
    const struct run_series_options opt = {
        .wanted = &column, .n_wanted = 1, .after_step = (double)step - 1, .limit = 1};
    struct run_series s;
    json_t *job = NULL;
    struct error ignored;

    *out = 1;
    if (!run_series_read(r->run.dir, &opt, r->c->arena, &s, err))
        return false;
    if (s.n_rows == 1 && s.n_columns == 1 && run_csv_number(s.cell[0]) > 0) {
        *out = run_csv_number(s.cell[0]);
        return true;
    }
    if (run_read_job(r->run.dir, &job, &ignored)) {
        const json_t *t = json_object_get(json_object_get(job, "resolved"), "temperature");

        if (json_is_number(t) && json_number_value(t) > 0)
            *out = json_number_value(t);
        json_decref(job);
    }
    return true;
}

/* The engine's request: {"prompt","tokens","temperature"}, and beside it what was injected. */
static bool score_request(struct reading *r, json_t **out, struct error *err)
{
    struct rollout_ref ref;
    json_t *one = NULL;
    double temperature;

    if (!find(r, &ref, err) || !rollout_index_read(r->ix, ref, &r->line, err) ||
        !temperature_of(r, rollout_index_entry(r->ix, ref)->is.step, &temperature, err) ||
        !shown(r, ref, true, &one, err))
        return false;
    json_t *prompt = json_object_get(one, "prompt"), *tokens = json_object_get(one, "tokens");
    const bool ok = (json_is_string(prompt) && json_array_size(tokens) > 0 &&
                     !json_is_true(json_object_get(one, "cut"))) ||
                    fail(err, ERR_UNSUPPORTED,
                         "the tokens of this rollout were not kept: it was too long, or has none");
    if (ok)
        *out = json_pack("{s:O, s:O, s:f, s:O?}", "prompt", prompt, "tokens", tokens, "temperature",
                         temperature, "injected", json_object_get(one, "injected"));
    json_decref(one);
    return ok;
}

/* "step-12" of the job's own run, which need not be one that the API lists. */
static bool own_checkpoint(struct api_call *c, const struct job_run *run, struct str name,
                           struct engine_model *m)
{
    const struct str number = str_starts(name, STR("step-")) ? str_from(name, 5) : STR("");

    if (number.len == 0 || number.len > 9)
        return false;
    for (size_t i = 0; i < number.len; i++)
        if (number.ptr[i] < '0' || number.ptr[i] > '9')
            return false;
    m->adapter = file_join(c->arena, file_join(c->arena, run->dir, "checkpoints"),
                           arena_text(c->arena, name));
    return file_is_dir(m->adapter);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool find_model(struct api_call *c, const struct job_run *run, struct engine_model *out,
                       struct error *err)
{
    const struct str name = http_query(c->x, "model");
    struct engine_model base, m;

    if (!api_model(c, str_of(run->job.model), &base, err))
        return false;
    m = base;
    if (name.len == 0 || str_is(name, "base"))
        m.name = "base";
    else if (own_checkpoint(c, run, name, &m))
        m.name = arena_text(c->arena, name);
    else if (!api_model(c, name, &m, err))
        return false;
    if (!same_file(m.path, base.path))
        return fail_param(err, ERR_INVALID, "model",
                          "the model \"%s\" is another one than this job's, whose tokens it may "
                          "not know: name \"base\" or a checkpoint of it",
                          m.name);
    m.path = base.path; /* the same, be it by another name */
    m.run = run->dir;   /* the arithmetic that the answer was drawn in */
    *out = m;
    return true;
}

struct scoring {
    char *id, *model;
    double temperature;
    json_t *injected; /* or NULL */
};

static void scoring_release(void *ctx)
{
    struct scoring *x = ctx;

    free(x->id);
    free(x->model);
    json_decref(x->injected);
    free(x);
}

/* Tokens that the model did not draw have none. */
static json_t *logprobs_json(const json_t *event, const json_t *injected)
{
    json_t *list = json_deep_copy(json_object_get(event, "logprobs")), *span;
    size_t i;

    json_array_foreach(injected, i, span)
    {
        const json_int_t from = json_integer_value(json_array_get(span, 0)),
                         n = json_integer_value(json_array_get(span, 1));

        for (json_int_t k = from; k >= 0 && k < from + n && (size_t)k < json_array_size(list); k++)
            json_array_set_new(list, (size_t)k, json_null());
    }
    return list;
}

static void on_scores(struct generation *g, const json_t *event)
{
    struct scoring *x = generation_ctx(g);
    const struct str type = json_str(json_object_get(event, "type"));
    struct error err = {0};

    if (str_is(type, "result")) {
        api_reply(generation_call(g), 200,
                  json_pack("{s:s, s:s, s:s, s:f, s:o}", "object",
                            "fine_tuning.job.rollout.logprobs", "id", x->id, "model", x->model,
                            "temperature", x->temperature, "logprobs",
                            logprobs_json(event, x->injected)));
        scoring_release(x);
    } else if (str_is(type, "error")) {
        generation_error(event, &err);
        api_reply_error(generation_call(g), &err);
        scoring_release(x);
    }
}

static bool logprobs(struct api_call *c, struct error *err)
{
    struct generation_options opt = {
        .op = ENGINE_SCORE, .on_event = on_scores, .release = scoring_release};
    struct job_run run;
    json_t *body = NULL;

    if (!job_run_get(c, &run, err) || !find_model(c, &run, &opt.model, err) ||
        !with_index(c, score_request, &body, err))
        return false;
    struct scoring *x = calloc(1, sizeof *x);
    if (x == NULL)
        abort(); /* a few bytes */
    x->id = strdup(arena_text(c->arena, c->id[1]));
    x->model = strdup(opt.model.name);
    x->temperature = json_number_value(json_object_get(body, "temperature"));
    x->injected = json_incref(json_object_get(body, "injected"));
    json_object_del(body, "injected");
    opt.ctx = x;
    opt.body = body;
    const bool ok = generation_start(c, &opt, err);
    json_decref(body);
    if (!ok)
        scoring_release(x);
    return ok;
}

/* ---- items ---- */

/* One row of the data, and what its groups got. */
struct item {
    const struct rollout_group *group; /* [n] by step */
    size_t n;
    uint32_t number;
    double first, last; /* mean rewards */
};

static double mean_of(const struct rollout_group *g)
{
    return g->n > 0 ? g->reward / g->n : 0;
}

static size_t find_items(const struct rollout_index *ix, const struct rollout_group *group,
                         size_t n, struct item *out)
{
    size_t n_items = 0;

    for (size_t i = 0; i < n; i++) {
        const uint32_t number = rollout_index_entry(ix, group[i].first)->is.item;

        if (n_items == 0 || out[n_items - 1].number != number)
            out[n_items++] =
                (struct item){.group = &group[i], .number = number, .first = mean_of(&group[i])};
        out[n_items - 1].n++;
        out[n_items - 1].last = mean_of(&group[i]);
    }
    return n_items;
}

static int by_hardness(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    return x->last < y->last   ? -1
           : x->last > y->last ? 1
                               : (x->number > y->number) - (x->number < y->number);
}

static int by_gain(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    const double gx = x->last - x->first, gy = y->last - y->first;

    return gx > gy ? -1 : gx < gy ? 1 : (x->number > y->number) - (x->number < y->number);
}

static int by_loss(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    const double gx = x->last - x->first, gy = y->last - y->first;

    return gx < gy ? -1 : gx > gy ? 1 : (x->number > y->number) - (x->number < y->number);
}

typedef int item_order(const void *a, const void *b);

static bool read_item_order(struct api_call *c, item_order **out, struct error *err)
{
    static const struct {
        const char *name;
        item_order *fn;
    } orders[] = {{"item", NULL}, {"hardest", by_hardness}, {"gain", by_gain}, {"loss", by_loss}};
    const struct str text = http_query(c->x, "order");

    *out = NULL;
    if (text.ptr == NULL || text.len == 0)
        return true;
    for (size_t i = 0; i < COUNT_OF(orders); i++)
        if (str_is(text, orders[i].name)) {
            *out = orders[i].fn;
            return true;
        }
    return fail_param(err, ERR_INVALID, "order",
                      "\"order\" is one of item, hardest, gain and loss");
}

static json_t *group_json(const struct rollout_index *ix, const struct rollout_group *g)
{
    return json_pack("{s:I, s:I, s:f}", "step",
                     (json_int_t)rollout_index_entry(ix, g->first)->is.step, "n_answers",
                     (json_int_t)g->n, "mean_reward", mean_of(g));
}

/* id: "train-17", "valid-17" */
static bool item_json(struct reading *r, const struct item *x, bool valid, json_t **out,
                      struct error *err)
{
    json_t *steps = json_array();
    size_t n_answers = 0;
    bool cut = false;

    if (!read_prompt(r, x->group[0].first, err)) {
        json_decref(steps);
        return false;
    }
    for (size_t i = 0; i < x->n; i++) {
        n_answers += x->group[i].n;
        json_array_append_new(steps, group_json(r->ix, &x->group[i]));
    }
    const struct str line = r->has_prompt ? buf_view(&r->prompt) : STR("");
    const struct str prompt = rollout_scan_find(line, "prompt"),
                     reference = rollout_scan_find(line, "reference");
    struct error ignored;
    json_t *row = NULL;
    if (reference.ptr == NULL || reference.len > 8 * ROLLOUT_TEXT_BYTES ||
        !json_parse(reference, "a row", &row, &ignored))
        row = json_null();
    json_t *text =
        prompt.ptr != NULL ? rollout_text_json(prompt, ROLLOUT_TEXT_BYTES, &cut) : json_null();
    *out = json_pack("{s:s, s:o, s:s, s:I, s:o, s:o, s:b, s:I, s:I, s:f, s:f, s:o}", "object",
                     "fine_tuning.job.item", "id",
                     json_string(arena_printf(r->c->arena, "%s-%u", valid ? "valid" : "train",
                                              (unsigned)x->number)),
                     "split", valid ? "valid" : "train", "item", (json_int_t)x->number, "prompt",
                     text, "reference", row, "cut", (int)cut, "n_steps", (json_int_t)x->n,
                     "n_answers", (json_int_t)n_answers, "first_mean_reward", x->first,
                     "last_mean_reward", x->last, "steps", steps);
    return true;
}

/* Where the page begins: behind the item that `after` names. */
static bool find_begin(struct api_call *c, const struct item *items, size_t n, bool valid,
                       size_t *out, struct error *err)
{
    const struct str after = http_query(c->x, "after");
    const struct str prefix = valid ? STR("valid-") : STR("train-");
    size_t i = 0;

    *out = 0;
    if (after.ptr == NULL || after.len == 0)
        return true;
    while (i < n && !(str_starts(after, prefix) &&
                      str_is(str_from(after, prefix.len),
                             arena_printf(c->arena, "%u", (unsigned)items[i].number))))
        i++;
    *out = i + 1;
    return i < n || fail_param(err, ERR_NOT_FOUND, "after", "\"after\" is no item of this job");
}

/* One alone, where the call names it. */
static size_t keep_item(struct item *items, size_t n, size_t number)
{
    size_t i = 0;

    while (i < n && items[i].number != number)
        i++;
    if (i == n)
        return 0;
    items[0] = items[i];
    return 1;
}

static bool list_items_of(struct reading *r, json_t **out, struct error *err)
{
    struct api_call *c = r->c;
    bool train = true, valid = true, ok = true, one_item;
    struct rollout_group *group;
    item_order *order;
    size_t n_groups, limit, from, item = 0;

    if (!read_split(c, &train, &valid, err) || !read_item_order(c, &order, err) ||
        !query_count(c, "item", UINT32_MAX, &one_item, &item, err) ||
        !query_limit(c, 20, 100, &limit, err))
        return false;
    valid = !train; /* one of them: rows of different files have nothing in common */
    rollout_index_groups(r->ix, valid, c->arena, &group, &n_groups);
    struct item *items = ARENA_ARRAY(c->arena, struct item, n_groups + 1);
    const size_t n_all = find_items(r->ix, group, n_groups, items),
                 n = one_item ? keep_item(items, n_all, item) : n_all;
    if (order != NULL && n > 0)
        qsort(items, n, sizeof *items, order);
    if (!find_begin(c, items, n, valid, &from, err))
        return false;
    json_t *data = json_array();
    size_t i = from;
    for (; ok && i < n && i < from + limit; i++) {
        json_t *one;

        ok = item_json(r, &items[i], valid, &one, err);
        if (ok)
            json_array_append_new(data, one);
    }
    if (!ok) {
        json_decref(data);
        return false;
    }
    json_t *first = json_object_get(json_array_get(data, 0), "id"),
           *last = i > from ? json_object_get(json_array_get(data, i - from - 1), "id") : NULL;
    *out = json_pack("{s:s, s:o, s:O?, s:O?, s:b, s:I}", "object", "list", "data", data, "first_id",
                     first, "last_id", last, "has_more", (int)(i < n), "n_matching", (json_int_t)n);
    put_progress(r, *out);
    return true;
}

static bool list_items(struct api_call *c, struct error *err)
{
    return reply_from(c, list_items_of, err);
}

#define ROLLOUTS "/v1/fine_tuning/jobs/{}/rollouts"
static const struct api_route routes[] = {
    {HTTP_GET, ROLLOUTS, SCOPE_TRAIN, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, ROLLOUTS "/{}", SCOPE_TRAIN, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_GET, ROLLOUTS "/{}/logprobs", SCOPE_TRAIN, HTTP_BODY_NONE, logprobs, NULL, 0},
    {HTTP_GET, "/v1/fine_tuning/jobs/{}/items", SCOPE_TRAIN, HTTP_BODY_NONE, list_items, NULL, 0},
};
const struct api_table rollouts_routes = {routes, COUNT_OF(routes)};
