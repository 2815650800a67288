/*
 * cmd_replay.c - a run is done again beside its folder, and each step compared with what the run wrote down.
 */
#include "base/file.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/job_file.h"
#include "cli/output.h"
#include "cli/replay_place.h"
#include "cli/run_job.h"
#include "cli/tee.h"
#include "job/replay.h"
#include "job/run_read.h"
#include "sample/machine.h"
#include "train/checkpoint.h"

#include <stdio.h>

struct replaying {
    struct cli *c;
    const char *dir;
    json_t *job_file, *origin; /* job.json; the head of what is done again */
    struct certified certified;
    bool has_certificate, same_origin;
    size_t from, last, of; /* steps: begun after, compared up to, the run has */
    struct job_parts parts;
    struct replay_place place;
    struct run_job run;
    struct replay_grades *grades;
    struct replay replay;
    struct tee tee;
    struct meter meter;
};

static bool note(const struct replaying *r, struct error *err, const char *text)
{
    return r->c->json ? out_json_new(json_pack("{s:s, s:s}", "type", "note", "message", text), err)
                      : out_printf(err, "  %s\n", text);
}

/* ---- the end ---- */

static bool tell_same(const struct replaying *r, struct error *err)
{
    const struct replay *p = &r->replay;

    if (r->c->json)
        return out_json_new(json_pack("{s:s, s:b, s:I, s:I, s:I, s:s}", "type", "result", "same", 1,
                                      "from", (json_int_t)r->from, "steps",
                                      (json_int_t)(p->step - r->from), "of", (json_int_t)r->of,
                                      "adapter_sha256", p->adapter_sha256),
                            err);
    if (r->from > 0 || p->step < r->of)
        return out_printf(err,
                          "The same model: adapter SHA-256 %s after step %zu; steps %zu to %zu of "
                          "%zu were done again\n",
                          p->adapter_sha256, p->step, r->from + 1, p->step, r->of);
    return out_printf(err, "The same model: adapter SHA-256 %s, %zu steps\n", p->adapter_sha256,
                      p->step);
}

/* step 0: before the first. */
static bool tell_differs(const struct replaying *r, size_t step, const char *what, bool record,
                         const char *text, struct error *err)
{
    r->c->differs = true;
    if (r->c->json)
        return out_json_new(json_pack("{s:s, s:b, s:I, s:s, s:b, s:s}", "type", "result", "same", 0,
                                      "step", (json_int_t)step, "what", what, "record_changed",
                                      record, "message", text),
                            err);
    return out_printf(
        err, "%s%s: %s%s.\n", record ? "Not the same record, " : "Not the same model, ",
        step > 0 ? arena_printf(r->c->arena, "step %zu", step) : "before the first step", text,
        record ? ". Its certificate says what was done again, so this was changed later" : "");
}

/*
 * Something is another one before anything was computed: the end, unless it is to be seen where that leads. Returns whether to go on;
 * *ok as everywhere.
 */
static bool goes_on(const struct replaying *r, const char *what, const char *text, bool *ok,
                    struct error *err)
{
    if (option_on(r->c->options, OPT_ANYWAY)) {
        *ok = note(r, err, text);
        return *ok;
    }
    *ok = tell_differs(r, 0, what, false, text, err);
    return false;
}

/* ---- what is to be done again ---- */

/* The last step in metrics.csv. */
static bool last_of_metrics(const struct replaying *r, size_t *out, struct error *err)
{
    struct run_metrics m;
    struct arena a = {0};
    size_t n_bad = 0;
    const bool ok = run_read_metrics(r->dir, &a, &m, &n_bad, err);

    *out = 0;
    if (ok && m.n_rows > 0 && m.cell[(m.n_rows - 1) * m.n_columns] > 0)
        *out = (size_t)m.cell[(m.n_rows - 1) * m.n_columns];
    arena_release(&a);
    return ok;
}

/* false with *ok true: it ends here */
static bool read_certificate(struct replaying *r, bool *ok, struct error *err)
{
    const char *path = file_join(r->c->arena, r->dir, CERTIFICATE_FILE);
    struct error why;
    size_t rows;

    *ok = last_of_metrics(r, &rows, err);
    if (!*ok)
        return false;
    r->of = rows;
    if (!file_exists(path)) {
        *ok = note(
            r, err,
            "the run has no certificate: it is compared with metrics.csv, rollouts/, "
            "events.jsonl and its checkpoints, and nobody can tell whether the model and the data "
            "are the same files");
        return *ok;
    }
    r->has_certificate = certified_read(path, &r->certified, &why);
    if (!r->has_certificate)
        return goes_on(r, "certificate", why.message, ok, err);
    const size_t last = certified_last(&r->certified);
    r->of = size_max(rows, last);
    if (last < rows && r->certified.end == NULL)
        return goes_on(
            r, "certificate",
            arena_printf(r->c->arena,
                         "%s ends at step %zu without an end, and metrics.csv goes on to "
                         "step %zu: the certificate is cut short",
                         path, last, rows),
            ok, err);
    return true;
}

/* The certificate's, which is bound to all that was hashed later. */
static const json_t *body_of(const struct replaying *r)
{
    return json_object_get(r->has_certificate ? r->certified.head : r->job_file, "job");
}

static bool open_parts(struct replaying *r, struct error *err)
{
    const json_t *resolved = json_object_get(r->job_file, "resolved");
    const struct str template = json_str(json_object_get(resolved, "template"));
    const json_int_t context = json_integer_value(json_object_get(r->certified.head, "context"));
    struct job_file job = {0};

    if (!json_is_object(body_of(r)))
        return fail(err, ERR_CORRUPT, "%s/job.json has no \"job\"", r->dir);
    if (!job_file_of_run(r->c, r->dir, body_of(r), &job, err))
        return false;
    job.template = template.len > 0 ? arena_text(r->c->arena, template) : NULL;
    job.context = context > 0 ? (size_t)context : 0;
    return job_parts_open_job(r->c, &job, &r->parts, err);
}

/* Versions and kernels promise the same bits, so they are told and no more. */
static bool note_machine(const struct replaying *r, struct error *err)
{
    static const struct {
        const char *key, *name;
    } parts[] = {{"hone", "version of hone"}, {"kernels", "table of kernels"}};
    const json_t *was = r->has_certificate ? r->certified.head : NULL;
    bool ok = true;

    for (size_t i = 0; ok && was != NULL && i < COUNT_OF(parts); i++) {
        const struct str before = json_str(json_object_get(was, parts[i].key)),
                         now = json_str(json_object_get(r->origin, parts[i].key));

        if (!str_eq(before, now))
            ok = note(r, err,
                      arena_printf(r->c->arena,
                                   "another %s: " STR_FMT ", and the run's was " STR_FMT
                                   "; the same bits are expected of both",
                                   parts[i].name, STR_ARG(now), STR_ARG(before)));
    }
    return ok;
}

/* Whether the model, the data and the job are the run's; false with *ok true: it ends here */
static bool check_origin(struct replaying *r, bool *ok, struct error *err)
{
    const json_t *job = json_object_get(r->job_file, "job");
    struct error why;

    *ok = run_job_origin(&r->run, &r->origin, err) && note_machine(r, err);
    if (!*ok)
        return false;
    if (!r->has_certificate)
        return true;
    json_t *noted = json_copy(r->origin);
    json_object_set(noted, "job", (json_t *)(uintptr_t)job); /* what job.json says by now */
    const bool same_job = certificate_same_origin(r->certified.head, noted, &why);
    json_decref(noted);
    r->same_origin = same_job || certificate_same_origin(r->certified.head, r->origin, err);
    return same_job || goes_on(r, why.param[0] != '\0' ? "job" : "origin", why.message, ok, err);
}

/* ---- which steps ---- */

static const char *whole_checkpoints(const struct replaying *r)
{
    const char *list = NULL;

    for (size_t step = 1; step < r->of; step++)
        if (checkpoint_is_whole(r->dir, step))
            list = list == NULL ? arena_printf(r->c->arena, "%zu", step)
                                : arena_printf(r->c->arena, "%.300s, %zu", list, step);
    return list != NULL ? list : "none";
}

/* The adapter that is gone on from is the one that the step ended with; false with *ok true: it ends here */
static bool check_start(struct replaying *r, bool *ok, struct error *err)
{
    const json_t *line = r->has_certificate ? certified_step(&r->certified, r->from) : NULL;
    const struct str known = json_str(json_object_get(line, "adapter"));
    const char *dir = arena_printf(r->c->arena, "%s/checkpoints/step-%zu", r->dir, r->from);
    struct adapter *a = NULL;
    char hex[65];

    *ok = true;
    if (known.len == 0 || r->parts.recipe.lora_rank == 0)
        return true; /* the weights of full fine-tuning show in the step that is done with them */
    *ok = adapter_load(&r->parts.model->config, dir, &a, err);
    if (!*ok)
        return false;
    adapter_sha256(a, hex);
    adapter_close(a);
    return str_is(known, hex) ||
           goes_on(
               r, "checkpoint",
               arena_printf(r->c->arena,
                            "%s is not what step %zu made: the SHA-256 of its values is %s, and "
                            "was " STR_FMT,
                            dir, r->from, hex, STR_ARG(known)),
               ok, err);
}

static bool settle_steps(struct replaying *r, bool *ok, struct error *err)
{
    const struct options *o = r->c->options;

    *ok = true;
    r->last = r->of;
    if (r->of == 0)
        *ok = fail(err, ERR_NOT_FOUND, "the run in %s has done no step yet", r->dir);
    if (option_given(o, OPT_FROM))
        r->from = (size_t)option_int(o, OPT_FROM);
    if (*ok && r->from > 0 && (r->from >= r->of || !checkpoint_is_whole(r->dir, r->from)))
        *ok = fail(err, ERR_NOT_FOUND,
                   "%s has no checkpoint of step %zu with everything to go on from (of %zu steps: "
                   "%.200s); a job with keep_optimizer=1 keeps it in those that stay",
                   r->dir, r->from, r->of, whole_checkpoints(r));
    if (option_given(o, OPT_STEPS))
        r->last = size_min(r->of, r->from + (size_t)option_int(o, OPT_STEPS));
    return *ok && (r->from == 0 || check_start(r, ok, err));
}

/* ---- doing it ---- */

static void on_same(void *ctx, size_t step)
{
    struct replaying *r = ctx;
    struct error gone;

    if (r->c->json)
        (void)!out_json_new(
            json_pack("{s:s, s:I, s:b}", "type", "step", "step", (json_int_t)step, "same", 1),
            &gone);
    else
        meter_show(&r->meter, step - r->from, r->last - r->from, "the same");
}

/* With recorded grades nothing is measured before the first step: the grades of that were not written down. */
static void take_settled(struct replaying *r)
{
    const json_t *settled = r->certified.settled != NULL ? r->certified.settled
                                                         : json_object_get(r->job_file, "resolved");
    const json_int_t max_tokens = json_integer_value(json_object_get(settled, "max_tokens"));

    if (r->parts.recipe.max_tokens == 0 && max_tokens > 0)
        r->parts.recipe.max_tokens = (size_t)max_tokens;
}

static bool loop(struct replaying *r, struct error *err)
{
    const struct progress_sink sink = tee_sink(&r->tee);
    struct known_grades known;

    if (r->parts.method == METHOD_REINFORCEMENT) {
        struct reinforce_inputs in = job_parts_inputs(&r->parts, r->c);
        struct reinforce_result result;

        in.run_dir = r->run.dir;
        in.resume = r->from > 0;
        in.sink = &sink;
        in.tool_record = file_join(r->c->arena, r->dir, TOOL_RECORD_FILE);
        if (r->grades != NULL) {
            known = replay_grades_known(r->grades);
            in.known = &known;
        }
        return reinforce(&in, &result, err);
    }
    struct fit_inputs in = job_parts_fit_inputs(&r->parts, r->c);
    struct fit_result result;

    in.run_dir = r->run.dir;
    in.resume = r->from > 0;
    in.sink = &sink;
    return fit(&in, &result, err);
}

static bool do_again(struct replaying *r, struct error *err)
{
    struct replay *p = &r->replay;

    p->opt = (struct replay_options){.was = r->dir,
                                     .now = r->run.folder,
                                     .certified = r->has_certificate ? &r->certified : NULL,
                                     .last = r->last,
                                     .known_grades = r->grades != NULL,
                                     .ctx = r,
                                     .same = on_same};
    p->step = r->from;
    r->tee = (struct tee){.sinks = {run_folder_sink(r->run.folder), replay_sink(p)}, .n = 2};
    r->meter = meter_start("steps");
    const bool ok = loop(r, err);
    meter_end(&r->meter);
    if (p->end == REPLAY_DIFFERS)
        return tell_differs(r, p->step, p->what, p->record_changed, p->text, err);
    if (p->end == REPLAY_SAME || (ok && p->step == r->last))
        return tell_same(r, err);
    if (!ok)
        return fail_while(err, "doing step %zu of %s again", p->step + 1, r->dir);
    return tell_differs(r, p->step, "steps", false,
                        arena_printf(r->c->arena,
                                     "what was done again ends after it, and the run has %zu steps",
                                     r->of),
                        err);
}

static bool open_run(struct replaying *r, struct error *err)
{
    const struct replay_source source = {.dir = r->dir,
                                         .job_file = r->job_file,
                                         .body = r->parts.job.body,
                                         .from = r->from,
                                         .certified = r->has_certificate && r->same_origin};

    if (!replay_place_make(r->c, &source, &r->place, err))
        return false;
    r->run.dir = r->place.dir;
    r->run.resume = r->from > 0;
    r->run.id = arena_text(r->c->arena, json_str(json_object_get(r->job_file, "id")));
    r->run.origin = r->origin;
    return run_job_open(&r->run, err);
}

static bool replay(struct replaying *r, struct error *err)
{
    const bool recorded = option_on(r->c->options, OPT_RECORDED_GRADES);
    bool ok = true;

    if (!read_certificate(r, &ok, err))
        return ok;
    if (!open_parts(r, err))
        return false;
    r->run = (struct run_job){.c = r->c, .parts = &r->parts, .template = r->parts.job.template};
    if (recorded && r->parts.method != METHOD_REINFORCEMENT)
        return misuse(r->c, err, "--recorded-grades: a %s job has no grades",
                      train_method_name(r->parts.method));
    if (!check_origin(r, &ok, err) || !settle_steps(r, &ok, err))
        return ok;
    if (recorded) {
        r->grades = replay_grades_open(r->dir, r->job_file);
        take_settled(r);
    }
    return open_run(r, err) && do_again(r, err);
}

static bool run(struct cli *c, struct error *err)
{
    struct replaying r = {.c = c, .dir = c->options->args[0]};
    const bool ok = run_read_job(r.dir, &r.job_file, err) &&
                    (c->json || out_printf(err, "Doing %s again\n", r.dir)) && replay(&r, err);

    run_job_close(&r.run);
    replay_release(&r.replay);
    replay_place_remove(&r.place);
    replay_grades_close(r.grades);
    job_parts_close(&r.parts);
    certified_release(&r.certified);
    json_decref(r.origin);
    json_decref(r.job_file);
    return ok;
}

static const enum option_id ids[] = {OPT_STEPS,       OPT_FROM,    OPT_RECORDED_GRADES, OPT_ANYWAY,
                                     OPT_MODEL,       OPT_TRAIN,   OPT_VALID,           OPT_OUT,
                                     GRADING_OPTIONS, OPT_THREADS, OPT_KERNELS,         OPT_HOME};

const struct command cmd_replay = {
    .set =
        {.command = "replay",
         .args = "DIR",
         .min_args = 1,
         .max_args = 1,
         .summary = "do a run again, and say whether it is the same model or which step differs",
         .details =
             "DIR is the folder of a run, finished or not. First the job, the model and the data are "
             "compared with the run's certificate, by their SHA-256; then the job is done again and "
             "every step compared: tokens, log-probabilities, scores, advantages, the adapter, "
             "metrics. It stops at the first step that differs and says what differs there. The "
             "exit status is 0 for the same, 3 for another, 1 where the run could not be done again. "
             "--model, --train and --valid say where files lie now; --out keeps what was "
             "done again.",
         .examples = "  hone replay runs/demo\n"
                     "  hone replay runs/demo --steps 3\n"
                     "  hone replay runs/demo --from 40 --steps 5 --json\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
