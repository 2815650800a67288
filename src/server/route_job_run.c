/*
 * route_job_run.c - what a run measured and warned of, and its report.
 */
#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/report.h"
#include "job/report_score.h"
#include "job/run_series.h"
#include "job/run_warnings.h"
#include "server/api_internal.h"
#include "server/job_run.h"
#include "server/routes.h"
#include "server/run_indexes.h"

#include <sys/stat.h>

/* ---- metrics ---- */

#define MOST_COLUMNS 256 /* that one call may name */

static void put_column(struct buf *b, const struct run_series *s, size_t column)
{
    json_write_string(b, str_of(s->column[column]), false);
    for (size_t i = 0; i < s->n_rows; i++) {
        const struct str cell = s->cell[i * s->n_columns + column];

        buf_text(b, i == 0 ? ":[" : ",");
        buf_str(b, cell.len > 0 ? cell : STR("null"));
    }
    buf_text(b, s->n_rows == 0 ? ":[]" : "]");
}

/* By hand rather than through a tree: there are ten thousands of numbers. */
static void put_series(struct buf *b, const struct run_series *s)
{
    buf_text(b, "{\"object\":\"fine_tuning.job.metrics\",\"steps\":[");
    for (size_t i = 0; i < s->n_rows; i++)
        buf_printf(b, "%s%.0f", i > 0 ? "," : "", s->step[i]);
    buf_text(b, "],\"columns\":{");
    for (size_t i = 0; i < s->n_columns; i++) {
        buf_text(b, i > 0 ? "," : "");
        put_column(b, s, i);
    }
    buf_text(b, "},\"names\":[");
    for (size_t i = 0; i < s->n_names; i++) {
        buf_text(b, i > 0 ? "," : "");
        json_write_string(b, str_of(s->name[i]), false);
    }
    buf_printf(b, "],\"has_more\":%s}", s->has_more ? "true" : "false");
}

#define MOST_REPLY ((size_t)256 << 20)

static bool reply_series(struct api_call *c, const struct run_series *s, struct error *err)
{
    struct http_pair headers[API_MAX_HEADERS];
    const size_t n = api_headers(c, headers);
    struct buf b;

    buf_init(&b, MOST_REPLY);
    put_series(&b, s);
    const bool ok = buf_ok(&b, "the metrics of a run", err);
    if (ok)
        http_answer(c->x, 200, "application/json", buf_view(&b), headers, n);
    buf_release(&b);
    return ok;
}

static bool metrics(struct api_call *c, struct error *err)
{
    struct run_series_options opt = {.after_step = -1};
    struct run_series s;
    struct job_run run;
    struct str *wanted;

    if (!job_run_get(c, &run, err) ||
        !query_list(c, "columns", MOST_COLUMNS, &wanted, &opt.n_wanted, err) ||
        !query_number(c, "after_step", &opt.after_step, err) ||
        !query_limit(c, opt.n_wanted > 0 ? 10000 : 100, 100000, &opt.limit, err))
        return false;
    opt.wanted = wanted;
    return run_series_read(run.dir, &opt, c->arena, &s, err) && reply_series(c, &s, err);
}

/* ---- warnings ---- */

/* Whether the line stands for this sample, too. */
static bool line_has(void *ctx, struct rollout_ref ref, size_t sample)
{
    struct rollout_index *ix = ctx;
    struct error ignored;
    json_t *samples = NULL, *one;
    struct buf line;
    bool has = false;
    size_t i;

    buf_init(&line, LIMIT_LINE_BYTES);
    if (rollout_index_read(ix, ref, &line, &ignored) &&
        json_parse(rollout_scan_find(buf_view(&line), "samples"), "samples", &samples, &ignored))
        json_array_foreach(samples, i, one) has =
            has || json_integer_value(one) == (json_int_t)sample;
    json_decref(samples);
    buf_release(&line);
    return has;
}

static json_t *text_json(struct str s)
{
    json_t *v = json_stringn(s.ptr != NULL ? s.ptr : "", s.len);

    return v != NULL ? v : json_null(); /* no UTF-8 */
}

static json_t *example_json(struct rollout_index *ix, const struct run_example *e)
{
    struct rollout_ref ref;
    const bool there =
        rollout_index_find_sample(ix, false, e->step, e->item, e->sample, line_has, ix, &ref);
    const struct rollout_id id = there ? rollout_index_id(ix, ref) : (struct rollout_id){{0}};

    return json_pack("{s:I, s:I, s:I, s:s?, s:o, s:o}", "step", (json_int_t)e->step, "item",
                     (json_int_t)e->item, "sample", (json_int_t)e->sample, "rollout_id",
                     there ? id.text : NULL, "told", text_json(e->told), "text",
                     text_json(e->text));
}

static json_t *warning_json(struct rollout_index *ix, const struct run_warning *w)
{
    json_t *examples = json_array();

    for (size_t i = 0; i < w->n_examples; i++)
        json_array_append_new(examples, example_json(ix, &w->example[i]));
    return json_pack("{s:s, s:o, s:I, s:o, s:o, s:I, s:I, s:I, s:o}", "object",
                     "fine_tuning.job.warning", "id", text_json(w->id), "created_at",
                     (json_int_t)w->created_at, "level", text_json(w->level), "message",
                     text_json(w->message), "first_step", (json_int_t)w->first_step, "last_step",
                     (json_int_t)w->last_step, "count", (json_int_t)w->n, "examples", examples);
}

#define LOOK_SECONDS 0.4 /* at answers that nobody has looked at yet */

static bool list_warnings(struct api_call *c, struct error *err)
{
    struct run_warning *w;
    struct job_run run;
    size_t n;
    bool whole;

    if (!job_run_get(c, &run, err) || !run_warnings_read(run.dir, c->arena, &w, &n, err))
        return false;
    struct rollout_index *ix = run_indexes_take(c->api->runs, run.dir);
    const bool ok = rollout_index_update(ix, LOOK_SECONDS, &whole, err);
    json_t *data = ok ? json_array() : NULL;
    for (size_t i = 0; ok && i < n; i++)
        json_array_append_new(data, warning_json(ix, &w[i]));
    run_indexes_give(c->api->runs, ix);
    return ok && api_reply_list(c, data, false);
}

/* ---- the report ---- */

static int64_t changed_at(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec : -1;
}

/*
 * The page carries its own style and script, and what a model wrote as text. It is sent as a file to be saved, and where a browser shows it
 * nevertheless, it may touch nothing of this server: the sandbox makes it nobody's.
 */
static bool send_report(struct api_call *c, struct error *err)
{
    struct http_pair headers[API_MAX_HEADERS + 4];
    struct job_run run;

    if (!job_run_get(c, &run, err))
        return false;
    const char *path = file_join(c->arena, run.dir, "report.html");
    const int64_t at = changed_at(path),
                  events = changed_at(file_join(c->arena, run.dir, "events.jsonl")),
                  scores = changed_at(file_join(c->arena, run.dir, TOKEN_CHANGES_FILE));
    if (!file_exists(file_join(c->arena, run.dir, "job.json")))
        return fail(err, ERR_NOT_FOUND,
                    "the job has no report yet: it is written once its training has begun");
    if ((at < 0 || at < events || at < scores) && !report_write(run.dir, NULL, err))
        return false;
    size_t n = api_headers(c, headers);
    headers[n++] = (struct http_pair){
        STR("content-security-policy"),
        STR("sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src "
            "'unsafe-inline'; img-src data:; frame-ancestors 'none'")};
    headers[n++] = (struct http_pair){
        STR("content-disposition"),
        str_of(arena_printf(c->arena, "attachment; filename=\"report-%s.html\"", run.job.id))};
    headers[n++] = (struct http_pair){STR("x-content-type-options"), STR("nosniff")};
    headers[n++] = (struct http_pair){STR("cache-control"), STR("no-cache")};
    http_answer_file(c->x, path, "text/html; charset=utf-8", headers, n);
    return true;
}

static bool report(struct api_call *c, struct error *err)
{
    struct job_run run;

    return job_run_get(c, &run, err) && api_later(c, send_report, err);
}

#define JOB "/v1/fine_tuning/jobs/{}"
static const struct api_route routes[] = {
    {HTTP_GET, JOB "/metrics", SCOPE_TRAIN, HTTP_BODY_NONE, metrics, NULL, 0},
    {HTTP_GET, JOB "/warnings", SCOPE_TRAIN, HTTP_BODY_NONE, list_warnings, NULL, 0},
    {HTTP_GET, JOB "/report", SCOPE_TRAIN, HTTP_BODY_NONE, report, NULL, 0},
};
const struct api_table job_run_routes = {routes, COUNT_OF(routes)};
