/*
 * job_record.c - rows from what is told, and the ends of a job.
 */
#include "job/job_record.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "job/run_read.h"
#include "store/files.h"
#include "train/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* NULL where it has more than LIMIT_LINE_BYTES: a part of it would be no JSON. */
static char *text_of(const json_t *value, struct arena *a)
{
    struct buf b;

    buf_init(&b, LIMIT_LINE_BYTES);
    json_write(&b, value, NULL);
    char *text = b.overflowed ? NULL : arena_text(a, buf_view(&b));
    buf_release(&b);
    return text;
}

static const char *member(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* ---- what a run tells ---- */

static int64_t whole(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);

    return json_is_integer(v) ? json_integer_value(v) : INT64_MIN;
}

/* With the metrics event of the same step, which follows. */
static bool on_progress(void *ctx, size_t step, size_t total_steps, double seconds_left,
                        struct error *err)
{
    struct job_record *r = ctx;

    (void)err;
    r->progress = job_change_none();
    r->progress.step = (int64_t)step;
    r->progress.total_steps = (int64_t)total_steps;
    if (seconds_left >= 0 && seconds_left < 1e9)
        r->progress.estimated_finish = clock_unix() + (int64_t)(seconds_left + 0.5);
    r->has_progress = true;
    return true;
}

/* The newest measurements stand with the checkpoint that is made of them. */
static void note_metrics(struct job_record *r, const json_t *event)
{
    const struct str type = json_str(json_object_get(event, "type"));

    if (!str_is(type, "metrics"))
        return;
    json_decref(r->metrics);
    r->metrics = json_incref(json_object_get(event, "data"));
}

/* ---- what it has used ---- */

static void add_number(json_t *to, const char *key, double more)
{
    json_object_set_new(to, key, json_real(json_number_value(json_object_get(to, key)) + more));
}

static void add_count(json_t *to, const char *key, const json_t *of, const char *train,
                      const char *eval)
{
    const json_int_t more = json_integer_value(json_object_get(of, train)) +
                            json_integer_value(json_object_get(of, eval));

    json_object_set_new(to, key, json_integer(json_integer_value(json_object_get(to, key)) + more));
}

/* usage_metrics with one more step in it: its seconds, and the tokens of models that graders asked. */
static void add_usage(json_t *usage, const json_t *data)
{
    const json_t *timing = json_object_get(json_object_get(data, "timing"), "step");
    const json_t *asked = json_object_get(data, "model_graders_token_usage");
    json_t *models = json_object_get(usage, "model_graders_token_usage");
    const char *name;
    json_t *of;

    add_number(usage, "training_seconds",
               json_number_value(json_object_get(timing, "full_iteration")));
    if (!json_is_object(models)) {
        models = json_object();
        json_object_set_new(usage, "model_graders_token_usage", models);
    }
    json_object_foreach((json_t *)(uintptr_t)asked, name, of)
    {
        json_t *to = json_object_get(models, name);

        if (!json_is_object(to)) {
            to = json_object();
            json_object_set_new(models, name, to);
        }
        add_count(to, "prompt_tokens", of, "train_prompt_tokens", "eval_prompt_tokens");
        add_count(to, "completion_tokens", of, "train_completion_tokens", "eval_completion_tokens");
        add_count(to, "cached_tokens", of, "train_cached_tokens", "eval_cached_tokens");
    }
}

/*
 * A run that goes back to a checkpoint tells steps again: what counts is one that was never told before. The row's step is
 * the furthest, and it is written together with the usage.
 */
static const char *count_usage(struct job_record *r, const json_t *event, int64_t step,
                               struct arena *a)
{
    const struct job_row *job = &r->work->job;
    const json_t *data = json_object_get(event, "data");
    struct error ignored;

    if (!str_is(json_str(json_object_get(event, "type")), "metrics"))
        return NULL;
    if (r->usage == NULL) {
        if (job->usage == NULL || !json_parse(str_of(job->usage), "usage", &r->usage, &ignored) ||
            !json_is_object(r->usage)) {
            json_decref(r->usage);
            r->usage = json_object();
        }
        r->counted = job->step;
    }
    if (step <= r->counted)
        return NULL;
    r->counted = step;
    add_usage(r->usage, data);
    return text_of(r->usage, a);
}

/*
 * Told again when a run goes on; most often it is there, and so is what came before the row's last step. It is not where the rows
 * are older than the run's folder: both are from a backup.
 */
static bool is_known(const struct job_record *r, const json_t *event)
{
    return whole(json_object_get(event, "data"), "step") < r->work->job.step;
}

/* err is what a write said. The database may be there again when the job is next tried; a full disk stays full until somebody looks. */
static bool note_failure(struct job_record *r, const struct error *err)
{
    r->database_is_away =
        err->kind == ERR_IO && db_pool_dialect(store_db(r->work->store)) == DB_POSTGRES;
    return false;
}

static bool on_event(void *ctx, const json_t *event, const char *key, struct error *err)
{
    struct job_record *r = ctx;
    struct arena a = {0};
    struct job_change c = r->has_progress ? r->progress : job_change_none();
    struct job_event e = {.key = key,
                          .id = member(event, "id"),
                          .level = member(event, "level"),
                          .type = member(event, "type"),
                          .message = member(event, "message"),
                          .data = text_of(json_object_get(event, "data"), &a),
                          .created_at = whole(event, "created_at")};

    if (e.data == NULL) {
        e.data = "{}";
        e.message = arena_printf(&a, "%s (its data is left out: it has more than %zu bytes)",
                                 e.message, LIMIT_LINE_BYTES);
    }
    note_metrics(r, event);
    if (key == NULL && is_known(r, event)) {
        arena_release(&a);
        return true;
    }
    if (key == NULL && str_is(json_str(json_object_get(event, "type")), "metrics"))
        c.step = whole(json_object_get(event, "data"), "step");
    c.usage = count_usage(r, event, c.step, &a);
    r->has_progress = false;
    const bool ok = jobs_change(r->work->store, &r->work->lease, &c, &e, 1, err);
    arena_release(&a);
    return ok || note_failure(r, err);
}

/* The plain numbers of the step's metrics stand with the checkpoint, as the API's typed ones do. */
static char *metrics_of(const struct job_record *r, const json_t *checkpoint, int64_t step,
                        struct arena *a)
{
    json_t *metrics = json_copy(json_object_get(checkpoint, "metrics")), *value;
    const char *key;

    if (metrics == NULL)
        metrics = json_object();
    if (whole(r->metrics, "step") == step)
        json_object_foreach(r->metrics, key, value)
        {
            if (json_is_number(value) && strcmp(key, "total_steps") != 0)
                json_object_set(metrics, key, value);
        }
    char *text = text_of(metrics, a);
    json_decref(metrics);
    return text;
}

/* The steps whose folders are there. */
static bool keep_those_there(struct job_record *r, struct arena *a, struct error *err)
{
    struct run_checkpoint *all;
    size_t n;

    if (!run_read_checkpoints(r->run_dir, a, &all, &n, err))
        return false;
    int64_t *steps = ARENA_ARRAY(a, int64_t, n + 1);
    for (size_t i = 0; i < n; i++)
        steps[i] = (int64_t)all[i].step;
    return checkpoints_keep(r->work->store, &r->work->lease, steps, n, err);
}

static bool on_checkpoint(void *ctx, const json_t *checkpoint, const char *dir, struct error *err)
{
    struct job_record *r = ctx;
    struct arena a = {0};
    const int64_t step = whole(checkpoint, "step_number");
    const struct checkpoint_row row = {
        .step = step,
        .created_at = whole(checkpoint, "created_at"),
        .id = arena_text(&a, json_str(json_object_get(checkpoint, "id"))),
        .job_id = r->work->job.id,
        .name =
            arena_text(&a, json_str(json_object_get(checkpoint, "fine_tuned_model_checkpoint"))),
        .metrics = metrics_of(r, checkpoint, step, &a),
        .dir = arena_text(&a, str_of(dir)),
        .kept = true};
    /* whoever lists it finds it as long as the job is there */
    const bool ok = checkpoint_pin(r->run_dir, (uint64_t)step, err) &&
                    checkpoints_put(r->work->store, &r->work->lease, &row, err) &&
                    keep_those_there(r, &a, err);

    arena_release(&a);
    return ok || note_failure(r, err);
}

bool job_record_keep_last(struct job_record *r, struct error *err)
{
    const struct work *w = r->work;
    const struct store_page newest = {.limit = 1};
    const int64_t step = (int64_t)checkpoint_last(r->run_dir);
    struct checkpoint_row *listed;
    size_t n;
    bool more;

    if (step == 0)
        return true;
    if (!checkpoints_list(w->store, w->job.id, &newest, w->arena, &listed, &n, &more, err))
        return false;
    if (n > 0 && listed[0].step == step)
        return true;

    json_t *bare = json_pack("{s:{s:I}}", "metrics", "step", (json_int_t)step);
    const struct checkpoint_row row = {
        .step = step,
        .created_at = clock_unix(),
        .job_id = w->job.id,
        .id = store_id_of("ftckpt_",
                          str_of(arena_printf(w->arena, "%s checkpoint %" PRId64, w->job.id, step)),
                          w->arena), /* the run folder's */
        .name = arena_printf(w->arena, "%s:ckpt-step-%" PRId64, w->job.fine_tuned_model, step),
        .metrics = metrics_of(r, bare, step, w->arena),
        .dir = arena_printf(w->arena, "step-%" PRId64, step),
        .kept = true};
    const char *key = arena_printf(w->arena, "kept %" PRId64, step);
    const char *message = arena_printf(
        w->arena, "Checkpoint created at step %" PRId64 " with Snapshot ID: %s", step, row.name);

    json_decref(bare);
    return checkpoint_pin(r->run_dir, (uint64_t)step, err) &&
           checkpoints_put(w->store, &w->lease, &row, err) &&
           job_record_event(r->work, "info", key, message, err);
}

static bool on_settled(void *ctx, const json_t *resolved, struct error *err)
{
    struct job_record *r = ctx;
    struct arena a = {0};
    struct job_change c = job_change_none();

    c.resolved = text_of(resolved, &a);
    c.total_steps = whole(resolved, "total_steps");
    const bool ok = jobs_change(r->work->store, &r->work->lease, &c, NULL, 0, err);
    arena_release(&a);
    return ok || note_failure(r, err);
}

struct run_listener job_record_listener(struct job_record *r)
{
    return (struct run_listener){.ctx = r,
                                 .event = on_event,
                                 .progress = on_progress,
                                 .checkpoint = on_checkpoint,
                                 .settled = on_settled};
}

void job_record_release(struct job_record *r)
{
    json_decref(r->metrics);
    json_decref(r->usage);
    *r = (struct job_record){0};
}

/* ---- the ends ---- */

static struct job_event event_of(const char *level, const char *key, const char *message)
{
    return (struct job_event){.key = key,
                              .level = level,
                              .type = "message",
                              .message = message,
                              .data = "{}",
                              .created_at = clock_unix()};
}

bool job_record_event(struct work *w, const char *level, const char *key, const char *message,
                      struct error *err)
{
    const struct job_change c = job_change_none();
    const struct job_event e = event_of(level, key, message);

    return jobs_change(w->store, &w->lease, &c, &e, 1, err);
}

static bool end(struct work *w, struct job_change *c, const struct job_event *events, size_t n,
                struct error *err)
{
    c->end_lease = true;
    if (!jobs_change(w->store, &w->lease, c, events, n, err))
        return false;
    w->state = c->status != NULL ? c->status : w->job.status;
    w->code = c->error_code;
    return true;
}

bool job_validated(struct work *w, int64_t memory_bytes, struct error *err)
{
    struct job_change c = job_change_none();
    const struct job_event e =
        event_of("info", "validated", "Files validated, moving job to queued state");

    c.status = "queued";
    c.memory_bytes = memory_bytes;
    return end(w, &c, &e, 1, err);
}

bool job_started(struct work *w, struct error *err)
{
    struct job_change c = job_change_none();

    c.status = "running";
    if (!jobs_change(w->store, &w->lease, &c, NULL, 0, err))
        return false;
    w->job.status = arena_text(w->arena, STR("running"));
    return true;
}

/* The job's result file, under an id that is its own: made once, however often it is asked for. */
static bool add_result(struct work *w, const char *metrics_csv, const char **id, struct error *err)
{
    struct stored_file f = {
        .id =
            store_id_of("file-", str_of(arena_printf(w->arena, "%s results", w->job.id)), w->arena),
        .project_id = w->job.project_id,
        .filename = arena_text(w->arena, STR("step_metrics.csv")),
        .purpose = arena_text(w->arena, STR("fine-tune-results")),
        .status = arena_text(w->arena, STR("processed")),
        .created_at = clock_unix()};
    struct str text;
    char *path;

    *id = f.id;
    return file_read(metrics_csv, LIMIT_DATA_BYTES, w->arena, &text, err) &&
           files_incoming(w->store, w->arena, &path, err) && file_put(path, text, err) &&
           files_add(w->store, path, &f, w->arena, err);
}

bool job_succeeded(struct work *w, const char *model, const char *metrics_csv,
                   int64_t trained_tokens, struct error *err)
{
    struct job_change c = job_change_none();
    const char *file;

    if (!add_result(w, metrics_csv, &file, err))
        return fail_while(err, "keeping the result file of %s", w->job.id);
    const struct job_event events[] = {
        event_of("info", "created model",
                 arena_printf(w->arena, "New fine-tuned model created: %s", model)),
        event_of("info", "succeeded", "The job has successfully completed"),
    };
    c.status = "succeeded";
    c.fine_tuned_model = model;
    c.last_checkpoint = model;
    c.result_files = arena_printf(w->arena, "[\"%s\"]", file);
    c.trained_tokens = trained_tokens;
    c.estimated_finish = 0;
    return end(w, &c, events, 2, err);
}

bool job_paused(struct work *w, const char *model, const char *why, struct error *err)
{
    struct job_change c = job_change_none();
    const struct job_event e =
        event_of("info", arena_printf(w->arena, "paused %" PRId64, w->lease.attempt), why);

    c.status = "paused";
    c.fine_tuned_model = model;
    c.estimated_finish = 0;
    w->why = arena_text(w->arena, str_of(why));
    return end(w, &c, &e, 1, err);
}

const char *job_error_code(const struct error *why)
{
    return strcmp(why->param, "training_file") == 0     ? "invalid_training_file"
           : strcmp(why->param, "validation_file") == 0 ? "invalid_validation_file"
           : why->kind == ERR_NO_MEMORY                 ? "out_of_memory"
           : why->kind == ERR_IO                        ? "server_error"
                                                        : "invalid_job";
}

bool job_failed(struct work *w, const struct error *why, struct error *err)
{
    struct job_change c = job_change_none();
    const struct job_event e = event_of("error", "failed", why->message);

    c.status = "failed";
    c.error_code = job_error_code(why);
    c.error_param = why->param[0] != '\0' ? why->param : NULL;
    c.error_message = why->message;
    c.estimated_finish = 0;
    w->why = arena_text(w->arena, str_of(why->message));
    return end(w, &c, &e, 1, err);
}

bool job_requeued(struct work *w, struct error *err)
{
    struct job_change c = job_change_none();

    if (strcmp(w->job.status, "validating_files") != 0)
        c.status = "queued";
    return end(w, &c, NULL, 0, err);
}
