/*
 * work_check.c - the request becomes a job's row that is in no table, and this what a job would be trained with.
 */
#include "cli/work_check.h"
#include "cli/check_json.h"
#include "cli/row_job.h"

#define MOST_NOTES 16

/* What is told while it is asked. */
struct telling {
    struct check_work *work;
    json_t *notes;
};

static void on_tick(void *ctx, const char *phase, size_t done, size_t total)
{
    const struct telling *t = ctx;

    check_work_progress(t->work, phase, done, total);
}

/* What was decided and why, such as how long answers may be. */
static bool on_event(void *ctx, enum event_level level, const char *message, struct error *err)
{
    const struct telling *t = ctx;

    (void)level;
    (void)err;
    if (json_array_size(t->notes) < MOST_NOTES)
        json_array_append_new(t->notes, json_string(message));
    return true;
}

static char *text_in(const struct check_work *w, const char *key)
{
    const json_t *v = json_object_get(w->request, key);

    return json_is_string(v) ? arena_text(w->arena, json_str(v)) : NULL;
}

static char *body_of(const struct check_work *w)
{
    struct buf b;

    buf_init(&b, SIZE_MAX);
    json_write(&b, w->request, NULL);
    char *text = arena_text(w->arena, buf_view(&b));
    buf_release(&b);
    return text;
}

static bool ask(struct row_job *r, struct telling *t, json_t **result, struct error *err)
{
    const struct progress_sink sink = {.ctx = t, .tick = on_tick, .event = on_event};

    if (r->parts.method == METHOD_REINFORCEMENT) {
        struct reinforce_inputs in = job_parts_inputs(&r->parts, &r->cli);
        struct check_report report = {0};

        in.run_dir = "";
        in.sink = &sink;
        if (!reinforce_check(&in, &report, err))
            return false;
        *result = check_json(&report, r->parts.grader.grader);
    } else {
        struct fit_inputs in = job_parts_fit_inputs(&r->parts, &r->cli);
        struct fit_report report;

        in.run_dir = "";
        in.sink = &sink;
        if (!fit_check(&in, &report, err))
            return false;
        *result = check_fit_json(&report);
    }
    json_object_set(*result, "notes", t->notes);
    return true;
}

bool work_check(void *ctx, struct check_work *w, json_t **result, struct error *err)
{
    const struct job_row row = {
        .id = (char *)(uintptr_t)w->doc.id,
        .project_id = (char *)(uintptr_t)w->doc.project_id,
        .model = text_in(w, "model"),
        .training_file = text_in(w, "training_file"),
        .validation_file = text_in(w, "validation_file"),
        .body = body_of(w),
        .seed = (int64_t)json_integer_value(json_object_get(w->request, "seed"))};
    struct row_job r = {.store = w->store,
                        .row = &row,
                        .machine = w->machine,
                        .machine_bytes = w->machine_bytes,
                        .arena = w->arena};
    struct telling t = {.work = w, .notes = json_array()};
    int64_t need;

    row_job_init(&r, ctx, &w->stop);
    check_work_progress(w, "reading", 0, 0);
    const bool ok =
        row_job_open(&r, &need, err) && check_work_begin(w, need, err) && ask(&r, &t, result, err);
    row_job_close(&r);
    json_decref(t.notes);
    return ok;
}
