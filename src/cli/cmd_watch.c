/*
 * cmd_watch.c - a job on a server, or a run in a folder, shown as hone train shows its own.
 *
 * It is looked at once a second. What is told goes through the sink of live.h, as if it were told by the training loop; so there
 * is one picture of a run, wherever it goes on.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/live.h"
#include "cli/output.h"
#include "cli/watch_read.h"
#include "cli/watch_source.h"
#include "job/rollout_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECONDS_BETWEEN 1.0 /* one look and the next */
#define SECONDS_AWAY 5.0    /* the same while the server does not answer */
#define DEFAULT_URL "http://127.0.0.1:8080/v1"

struct watching {
    struct cli *c;
    struct watch_source *source;
    const char *dir; /* a run's folder, or NULL */
    struct watch_state state;
    struct live *live; /* NULL with --json */
    struct progress_sink sink;
    char status[32];    /* told last */
    size_t step, total; /* told last */
    size_t answers_of;  /* step whose answers were shown */
    bool has_base, succeeded,
        away; /* answers of the base model were shown; the folder's events say so; no answer now */
    char message[256]; /* told last */
};

/* ---- what is shown ---- */

static bool show_message(struct watching *w, enum event_level level, const char *text,
                         struct error *err)
{
    if (w->live != NULL)
        return w->sink.event(w->sink.ctx, level, text, err);
    return out_json_new(json_pack("{s:s, s:s, s:s}", "type", "watch", "level",
                                  level == EVENT_INFO ? "info" : "warn", "message", text),
                        err);
}

static bool show_metrics(struct watching *w, const json_t *data, struct error *err)
{
    if (w->state.fit) {
        const struct fit_metrics m = watch_fit_step(data);

        w->step = m.step;
        w->total = m.total_steps;
        return w->live == NULL || w->sink.fit_step(w->sink.ctx, &m, err);
    }
    const struct step_metrics m = watch_step(data);
    w->step = m.step;
    w->total = m.total_steps;
    return w->live == NULL || w->sink.step(w->sink.ctx, &m, err);
}

static bool show_event(void *ctx, const json_t *event, struct error *err)
{
    struct watching *w = ctx;
    const char *message = json_string_value(json_object_get(event, "message"));

    if (w->live == NULL && !out_json(event, err))
        return false;
    if (str_is(json_str(json_object_get(event, "type")), "metrics"))
        return show_metrics(w, json_object_get(event, "data"), err);
    if (message == NULL)
        return true;
    snprintf(w->message, sizeof w->message, "%s", message);
    w->succeeded = strcmp(message, "The job has successfully completed") == 0;
    return w->live == NULL || w->sink.event(w->sink.ctx, watch_level(event), message, err);
}

struct answers {
    struct progress_sink *sink;
    bool valid;
    struct buf prompt;
};

static bool show_answer(void *ctx, const json_t *line)
{
    struct answers *a = ctx;
    struct grade_result grade;
    struct error ignored;
    const struct rollout r = watch_rollout(line, a->valid, &a->prompt, &grade);
    bool ok = true;

    for (size_t i = 0; ok && i < rollout_line_samples(line); i++)
        ok = a->sink->rollout(a->sink->ctx, &r, &ignored);
    return ok;
}

/* A picture shows the best and the worst answer of the newest step, and what the base model's were worth. Without them there is one, too. */
static void show_answers(struct watching *w)
{
    struct answers base = {.sink = &w->sink, .valid = true}, newest = {.sink = &w->sink};
    struct error ignored;

    if (w->state.fit || w->step == 0 || w->live == NULL || !live_draws(w->live))
        return;
    buf_init(&base.prompt, LIMIT_LINE_BYTES);
    buf_init(&newest.prompt, LIMIT_LINE_BYTES);
    if (!w->has_base && watch_source_answers(w->source, 0, true, show_answer, &base, &ignored))
        w->has_base = true; /* after the first step there are no more of them */
    if (w->step != w->answers_of &&
        watch_source_answers(w->source, w->step, false, show_answer, &newest, &ignored))
        w->answers_of = w->step;
    buf_release(&base.prompt);
    buf_release(&newest.prompt);
}

static const struct {
    const char *status, *phase, *sentence;
} statuses[] = {
    {"validating_files", "waits, its files are checked",
     "The job waits: its files are checked before it begins"},
    {"queued", "queued, waits for a worker", "The job is queued: it waits for a worker"},
    {"running", "running", "The job runs"},
    {"pausing", "pausing", "The job will pause after this step"},
    {"paused", "paused", "The job is paused; it goes on when it is resumed"},
};

static bool show_status(struct watching *w, struct error *err)
{
    const char *status = w->state.status, *before = w->status;
    bool ok = true;

    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        if (strcmp(status, statuses[i].status) != 0)
            continue;
        if (w->live != NULL && strcmp(status, before) != 0 &&
            !(before[0] == '\0' && strcmp(status, "running") == 0))
            ok = show_message(w, EVENT_INFO, statuses[i].sentence, err);
        if (w->live != NULL)
            w->sink.tick(w->sink.ctx, statuses[i].phase, 0, 0);
    }
    if (w->live == NULL && strcmp(status, before) != 0)
        ok = out_json_new(
            json_pack("{s:s, s:s, s:s}", "type", "status", "id", w->state.id, "status", status),
            err);
    snprintf(w->status, sizeof w->status, "%s", status);
    return ok;
}

/* ---- looking ---- */

static bool open_live(struct watching *w, struct error *err)
{
    const struct live_options opt = {.fd = STDOUT_FILENO,
                                     .title = arena_text(w->c->arena, str_of(w->state.name)),
                                     .plain = w->state.fit,
                                     .curve = !w->state.fit,
                                     .run_dir = w->dir};

    if (w->c->json)
        return true;
    if (!live_open(&opt, &w->live, err))
        return false;
    w->sink = live_sink(w->live);
    return true;
}

static bool went_back(struct watching *w, struct error *err)
{
    w->answers_of = 0;
    if (w->live == NULL)
        return true;
    return w->sink.rewind(w->sink.ctx, SIZE_MAX, err) &&
           show_message(w, EVENT_INFO, "The run goes on from its last checkpoint", err);
}

static bool look(struct watching *w, struct error *err)
{
    const bool first = w->status[0] == '\0' && w->live == NULL;

    if (!watch_source_look(w->source, &w->state, err) || (first && !open_live(w, err)) ||
        (w->state.went_back && !went_back(w, err)))
        return false;
    if (w->live != NULL)
        live_hold(w->live, true);
    bool ok = watch_source_tell(w->source, show_event, w, err);
    if (w->dir != NULL && w->state.ended && w->succeeded)
        snprintf(w->state.status, sizeof w->state.status, "succeeded");
    if (ok)
        show_answers(w);
    ok = ok && show_status(w, err);
    if (w->live != NULL)
        live_hold(w->live, false);
    return ok;
}

/* What a look that failed means: try again (true), or not. */
static bool is_away(struct watching *w, struct error *err)
{
    char text[600];
    const bool passes =
        w->status[0] != '\0' && (err->kind == ERR_IO || err->kind == ERR_TIMEOUT) && w->dir == NULL;

    if (!passes)
        return false;
    snprintf(text, sizeof text, "%s; trying again, the job is not touched by it", err->message);
    if (!w->away && !show_message(w, EVENT_WARN, text, err))
        return false;
    w->away = true;
    if (w->live != NULL)
        w->sink.tick(w->sink.ctx, "the server does not answer", 0, 0);
    return true;
}

static bool watch(struct watching *w, struct error *err)
{
    for (;;) {
        const bool ok = look(w, err);

        if (atomic_load(w->c->stop))
            return fail(err, ERR_CANCELLED, "stopped");
        if (!ok && !is_away(w, err))
            return false;
        if (ok && w->away && !show_message(w, EVENT_INFO, "The server answers again", err))
            return false;
        w->away = !ok;
        if (ok && w->state.ended)
            return true;
        if (!clock_sleep_unless(w->c->stop,
                                clock_seconds() + (w->away ? SECONDS_AWAY : SECONDS_BETWEEN)))
            return fail(err, ERR_CANCELLED, "stopped");
    }
}

/* ---- the end ---- */

static bool tell_end(struct watching *w, struct error *err)
{
    const struct watch_state *s = &w->state;
    const bool good = strcmp(s->status, "succeeded") == 0;

    if (w->c->json) {
        w->c->quiet_failure = true;
        return out_json_new(json_pack("{s:s, s:s, s:s, s:I, s:s?, s:s?}", "type", "result", "id",
                                      s->id, "status", s->status, "step", (json_int_t)w->step,
                                      "fine_tuned_model", s->model[0] != '\0' ? s->model : NULL,
                                      "error", s->error[0] != '\0' ? s->error : NULL),
                            err) &&
               (good || fail(err, ERR_CANCELLED, "the job ended as %s", s->status));
    }
    if (good && w->dir != NULL)
        return out_printf(
            err, "\nDone: %zu steps\n  next  hone report %s\n        hone chat --model %s\n",
            w->step, w->dir, w->dir);
    if (good)
        return out_printf(err, "\nDone: %zu steps; the model is %s\n", w->step, s->model);
    if (strcmp(s->status, "failed") == 0)
        return fail(err, ERR_INVALID, "the job failed: %.400s",
                    s->error[0] != '\0' ? s->error : "no reason was written down");
    if (w->dir != NULL)
        return fail(err, ERR_CANCELLED,
                    "nobody works on this run now; it stands at step %zu of %zu (%.200s). hone "
                    "train JOB.json --out %.150s --resume goes on with it",
                    w->step, w->total, w->message, w->dir);
    return fail(err, ERR_CANCELLED, "the job was cancelled at step %zu of %zu", w->step, w->total);
}

/* Ctrl-C: who watches leaves, the job does not notice. */
static bool tell_leaving(struct watching *w, struct error *err)
{
    const char *what = w->dir != NULL ? w->dir : w->state.id;

    return fail(
        err, ERR_CANCELLED,
        "no longer watching; the job itself goes on untouched%s%.40s%s. hone watch %.200s shows it again",
        w->status[0] != '\0' ? " (" : "", w->status, w->status[0] != '\0' ? ")" : "", what);
}

static const char *setting(struct cli *c, enum option_id id, const char *variable)
{
    const char *given = option_text(c->options, id), *other = getenv(variable);

    if (given != NULL && given[0] != '\0')
        return given;
    return other != NULL && other[0] != '\0' ? other : NULL;
}

static bool run(struct cli *c, struct error *err)
{
    struct watching w = {.c = c};
    const char *job = c->options->n_args > 0 ? c->options->args[0] : NULL;
    const char *url = setting(c, OPT_URL, "OPENAI_BASE_URL");
    struct watch_place place = {.job = job, .stop = c->stop};

    if (job != NULL && file_is_dir(job)) {
        w.dir = job;
    } else {
        place.url = url != NULL ? url : DEFAULT_URL;
        place.key = setting(c, OPT_API_KEY, "OPENAI_API_KEY");
    }
    if (!watch_source_open(&place, &w.source, err))
        return false;
    bool ok = watch(&w, err);
    live_close(w.live);
    watch_source_close(w.source);
    if (ok)
        ok = tell_end(&w, err);
    else if (err->kind == ERR_CANCELLED && atomic_load(c->stop))
        ok = tell_leaving(&w, err);
    return ok;
}

static const enum option_id ids[] = {OPT_URL, OPT_API_KEY, OPT_HOME};

const struct command cmd_watch = {
    .set =
        {.command = "watch",
         .args = "[JOB]",
         .max_args = 1,
         .summary = "a job on a server, or a run in a folder, as it goes on",
         .details =
             "JOB is the id of a job on the server (its newest one unless given), or the folder of "
             "a run on this machine. On a terminal the picture of hone train is shown, elsewhere a "
             "line for each event and at the end the reward's curve; with --json the API's event "
             "objects, a line for each change of status, and a result. What happened before is "
             "told first. Ctrl-C ends the watching, never the job. The exit status is 0 when the "
             "job has succeeded.",
         .examples =
             "  hone watch                                      the newest job of the server here\n"
             "  hone watch ftjob-4kq... --url https://gpu.example.com/v1\n"
             "  hone watch runs/demo\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
