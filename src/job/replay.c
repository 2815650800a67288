/*
 * replay.c - each thing that the loop tells is looked up in the folder of the run that was.
 */
#include "base/size.h"
#include "base/utf8.h"
#include "job/replay_internal.h"
#include "job/run_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool replay_differs(struct replay *r, size_t step, const char *what, const char *fmt, ...)
{
    va_list ap;

    if (r->end == REPLAY_DIFFERS)
        return false;
    va_start(ap, fmt);
    vsnprintf(r->text, sizeof r->text, fmt, ap);
    va_end(ap);
    r->end = REPLAY_DIFFERS;
    r->step = step;
    r->what = what;
    return false;
}

/* ---- metrics and adapter ---- */

struct row_search {
    size_t step;
    struct arena *arena;
    struct str header, row; /* {NULL, 0}: not found */
};

static bool find_row(void *ctx, struct str line, size_t offset)
{
    struct row_search *s = ctx;

    if (offset == 0)
        s->header = arena_str(s->arena, line);
    else if (line.len > 0 && line.ptr[0] >= '0' && line.ptr[0] <= '9' && /* and so it ends in it */
             strtod(line.ptr, NULL) == (double)s->step)                  /* NOLINT: whole numbers */
        s->row = arena_str(s->arena, line);
    return s->row.ptr == NULL;
}

static bool read_row(const char *dir, size_t step, struct arena *a, struct row_search *out,
                     struct error *err)
{
    const char *path = file_join(a, dir, "metrics.csv");

    *out = (struct row_search){.step = step, .arena = a};
    return !file_exists(path) || lines_each(path, find_row, out, err);
}

/* The cell of a column, or NULL where there is no such column. */
static const char *cell_of(const struct row_search *s, const char *column, struct arena *a)
{
    struct str name, cell;
    size_t at = 0, from = 0;

    while (run_csv_next(s->header, &at, a, &name) && run_csv_next(s->row, &from, a, &cell))
        if (str_is(name, column))
            return arena_text(a, cell);
    return NULL;
}

/* Whether it can be the same: with recorded grades nobody counts a grader's errors, and the likeliest answers are not graded. */
static bool is_compared(const struct replay *r, const char *column)
{
    return metrics_repeats(column) &&
           (!r->opt.known_grades || (strncmp(column, "errors/", 7) != 0 &&
                                     strcmp(column, "full_valid_greedy_reward") != 0));
}

static void compare_rows(struct replay *r, size_t step, const struct row_search *was,
                         const struct row_search *is, struct arena *a)
{
    struct str name, cell;
    size_t at = 0, from = 0;

    while (run_csv_next(is->header, &at, a, &name) && run_csv_next(is->row, &from, a, &cell)) {
        const char *column = arena_text(a, name), *before = cell_of(was, column, a);

        if (before == NULL || !is_compared(r, column) || str_is(cell, before))
            continue;
        (void)replay_differs(r, step, "metrics", "metrics.csv: %.100s was %.80s, and is " STR_FMT,
                             column, before[0] != '\0' ? before : "empty",
                             STR_ARG(utf8_cut(cell, 80)));
        return;
    }
}

static bool compare_metrics(struct replay *r, size_t step, const json_t *line, const json_t *now,
                            struct error *err)
{
    const json_t *hash = json_object_get(line, "metrics"), *own = json_object_get(now, "metrics");
    struct row_search was, is;
    struct arena a = {0};
    bool ok = true;

    if (r->end == REPLAY_DIFFERS)
        return true;
    ok = read_row(r->opt.was, step, &a, &was, err) &&
         read_row(run_folder_dir(r->opt.now), step, &a, &is, err);
    if (ok && was.header.ptr != NULL && was.row.ptr == NULL)
        (void)replay_differs(r, step, "metrics", "metrics.csv has no row of step %zu", step);
    else if (ok && was.row.ptr != NULL)
        compare_rows(r, step, &was, &is, &a);
    if (r->end == REPLAY_DIFFERS)
        r->record_changed = hash != NULL && json_same(hash, own);
    else if (ok && hash != NULL && own != NULL && !r->opt.known_grades &&
             (was.header.ptr == NULL || str_eq(was.header, is.header)) && !json_same(hash, own))
        (void)replay_differs(
            r, step, "metrics",
            "the run's certificate has another hash of the metrics of step %zu than what "
            "was done again has",
            step);
    arena_release(&a);
    return ok;
}

/* "adapter_sha256" of the steps' events, by step: of folders without a certificate. */
static bool take_adapter(void *ctx, const json_t *event)
{
    const json_t *data = json_object_get(event, "data");
    json_t *sum = json_object_get(data, "adapter_sha256");
    char step[32];

    snprintf(step, sizeof step, "%" JSON_INTEGER_FORMAT,
             json_integer_value(json_object_get(data, "step")));
    return !json_is_string(sum) || json_object_set(ctx, step, sum) == 0;
}

static bool find_adapter(struct replay *r, size_t step, const json_t **out, struct error *err)
{
    char key[32];
    size_t n_bad = 0;

    if (r->adapters == NULL) {
        r->adapters = json_object();
        if (!run_read_events(r->opt.was, take_adapter, r->adapters, &n_bad, err))
            return false;
    }
    snprintf(key, sizeof key, "%zu", step);
    *out = json_object_get(r->adapters, key);
    return true;
}

static bool compare_adapter(struct replay *r, size_t step, const json_t *line, const char *sha256,
                            struct error *err)
{
    const json_t *was = json_object_get(line, "adapter");

    if (r->end == REPLAY_DIFFERS)
        return true;
    if (!json_is_string(was) && !find_adapter(r, step, &was, err))
        return false;
    if (json_is_string(was) && !str_is(json_str(was), sha256))
        (void)replay_differs(
            r, step, "adapter",
            "the update made other values: the adapter's SHA-256 was %.64s, and is %s",
            json_string_value(was), sha256);
    return true;
}

/* ---- what the loop tells ---- */

static bool stop(struct replay *r, struct error *err)
{
    if (r->end == REPLAY_GOES_ON)
        r->end = REPLAY_SAME;
    return fail(err, ERR_CANCELLED, "the replay has ended at step %zu", r->step);
}

/* A checkpoint of it was kept in the run; it will be written again right after the step. */
static bool has_checkpoint(const struct replay *r, size_t step)
{
    char path[PATH_MAX];

    return (size_t)snprintf(path, sizeof path, "%s/checkpoints/step-%zu", r->opt.was, step) <
               sizeof path &&
           file_is_dir(path);
}

static bool compare_step(struct replay *r, size_t step, const char *sha256, struct error *err)
{
    const json_t *line = r->opt.certified != NULL ? certified_step(r->opt.certified, step) : NULL;
    const json_t *now = run_folder_certificate(r->opt.now)->newest;

    if (step > r->opt.last)
        return stop(r, err);
    if (!replay_answers(r, step, false, now, err) || !compare_adapter(r, step, line, sha256, err) ||
        !replay_answers(r, step, true, now, err) || !compare_metrics(r, step, line, now, err))
        return false;
    if (r->end == REPLAY_DIFFERS)
        return stop(r, err);
    r->step = step;
    snprintf(r->adapter_sha256, sizeof r->adapter_sha256, "%s", sha256);
    if (r->opt.same != NULL)
        r->opt.same(r->opt.ctx, step);
    if (step < r->opt.last)
        return true;
    r->waits = has_checkpoint(r, step);
    return r->waits || stop(r, err);
}

static bool on_step(void *ctx, const struct step_metrics *m, struct error *err)
{
    return compare_step(ctx, m->step, m->adapter_sha256, err);
}

static bool on_fit_step(void *ctx, const struct fit_metrics *m, struct error *err)
{
    return compare_step(ctx, m->step, m->adapter_sha256, err);
}

/* The validation before the first step is told of when its answers are followed by those of the first. */
static bool on_rollout(void *ctx, const struct rollout *told, struct error *err)
{
    struct replay *r = ctx;
    const json_t *now = run_folder_certificate(r->opt.now)->newest;

    if (r->waits)
        return stop(r, err);
    if (told->step != 1 || told->sample != 0 || r->end != REPLAY_GOES_ON || now == NULL)
        return true;
    if (json_integer_value(json_object_get(now, "step")) != 0)
        return true;
    return replay_answers(r, 0, true, now, err) && (r->end == REPLAY_GOES_ON || stop(r, err));
}

static bool on_settled(void *ctx, const json_t *values, struct error *err)
{
    struct replay *r = ctx;
    json_t *file = NULL, *value;
    const json_t *was = r->opt.certified != NULL ? r->opt.certified->settled : NULL;
    const char *key;

    if (was == NULL) {
        if (!run_read_job(r->opt.was, &file, err))
            return false;
        was = json_object_get(file, "resolved");
    }
    json_object_foreach((json_t *)(uintptr_t)values, key, value)
    {
        const json_t *before = json_object_get(was, key);

        if (before != NULL && !certificate_leaves_out(key) && !json_same(before, value))
            (void)replay_differs(
                r, 0, "setting",
                "what the job leaves open was settled otherwise: %.64s was %s, and is %s", key,
                json_show(before).text, json_show(value).text);
    }
    json_decref(file);
    return r->end == REPLAY_GOES_ON || stop(r, err);
}

static bool same_bytes(const char *was, const char *is, bool *same, struct error *err)
{
    struct file_map a = {0}, b = {0};
    const bool ok = file_map_open(was, &a, err) && file_map_open(is, &b, err);

    *same = ok && replay_same_bytes(&a, &b);
    file_map_close(&a);
    file_map_close(&b);
    return ok;
}

/* What is used in the end is the file: it must hold what the step made. */
static bool on_checkpoint(void *ctx, const struct checkpoint_info *c, struct error *err)
{
    static const char *const names[] = {"adapter_model.safetensors", "model.safetensors"};
    struct replay *r = ctx;
    struct arena a = {0};
    bool ok = true;

    for (size_t i = 0; ok && r->end == REPLAY_GOES_ON && i < COUNT_OF(names); i++) {
        const char *file = arena_printf(&a, "checkpoints/step-%zu/%s", c->step, names[i]);
        const char *was = file_join(&a, r->opt.was, file), *is = file_join(&a, c->dir, names[i]);
        bool same = true;

        if (!file_exists(was) || !file_exists(is))
            continue;
        ok = same_bytes(was, is, &same, err);
        if (ok && !same) {
            (void)replay_differs(r, c->step, "checkpoint", "%s is not what step %zu made", file,
                                 c->step);
            r->record_changed = r->opt.certified != NULL;
        }
    }
    arena_release(&a);
    return ok && ((r->end == REPLAY_GOES_ON && !r->waits) || stop(r, err));
}

void replay_release(struct replay *r)
{
    json_decref(r->adapters);
    r->adapters = NULL;
}

struct progress_sink replay_sink(struct replay *r)
{
    return (struct progress_sink){.ctx = r,
                                  .rollout = on_rollout,
                                  .step = on_step,
                                  .fit_step = on_fit_step,
                                  .checkpoint = on_checkpoint,
                                  .settled = on_settled};
}
