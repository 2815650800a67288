/*
 * cmd_train.c - a job becomes a run: its folder is written, its progress shown, its end told.
 */
#include "base/file.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/job_file.h"
#include "cli/live.h"
#include "cli/output.h"
#include "cli/run_job.h"
#include "cli/run_place.h"
#include "cli/tee.h"
#include "cli/valid_evals.h"
#include "job/metrics.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

struct training {
    struct cli *c;
    struct job_parts parts;
    struct run_job run;
    struct valid_evals evals;
    struct tee tee;
    struct progress_sink sink;
};

/* ---- what is shown ---- */

static const char *level_name(enum event_level level)
{
    return level == EVENT_ERROR ? "error" : level == EVENT_WARN ? "warn" : "info";
}

/* For scripts: a line for each thing told. What is shown decides nothing: a reader that has gone stops no run. */
static bool json_event(void *ctx, enum event_level level, const char *message, struct error *err)
{
    struct error gone;

    (void)ctx;
    (void)err;
    (void)!out_json_new(json_pack("{s:s, s:s, s:s}", "type", "message", "level", level_name(level),
                                  "message", message),
                        &gone);
    return true;
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* name -> mean of this step; NULL where there is no shadow */
static json_t *shadow_means(const struct grader *g, const struct step_metrics *m)
{
    json_t *o = NULL;

    for (size_t i = 0; i < grader_count(g); i++)
        if (grader_is_shadow(g, i)) {
            o = o != NULL ? o : json_object();
            json_object_set_new(o, grader_name(g, i), number(m->grader_train_mean[i]));
        }
    return o;
}

static bool json_step(void *ctx, const struct step_metrics *m, struct error *err)
{
    const struct training *t = ctx;
    struct error gone;
    json_t *j =
        json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "type", "metrics",
                  "step", (json_int_t)m->step, "total_steps", (json_int_t)m->total_steps,
                  "train_mean_reward", number(m->train_mean_reward), "entropy", number(m->entropy),
                  "kl", number(m->kl), "max_dlogp", number(m->max_dlogp), "completion_tokens_mean",
                  number(m->completion_tokens_mean), "seconds", number(m->seconds_total),
                  "seconds_left", number(m->seconds_left), "adapter_sha256", m->adapter_sha256);
    json_t *shadows = shadow_means(t->parts.grader.grader, m);

    (void)err;
    if (shadows != NULL)
        json_object_set_new(j, "shadow_graders", shadows);
    if (m->has_valid)
        json_object_set_new(j, "full_valid_mean_reward", number(m->valid_mean_reward));
    (void)!out_json_new(j, &gone);
    return true;
}

static void put_measure(json_t *j, const char *name, bool dpo, const struct fit_measure *m)
{
    json_t *o = json_pack("{s:o, s:o}", "loss", number(m->loss), "mean_token_accuracy",
                          number(m->token_accuracy));

    if (dpo) {
        json_object_set_new(o, "rewards/accuracies", number(m->reward_accuracy));
        json_object_set_new(o, "rewards/margins", number(m->reward_margin));
    }
    json_object_set_new(j, name, o);
}

/* What is written down of it, with its type and the time that is left. */
static bool json_fit_step(void *ctx, const struct fit_metrics *m, struct error *err)
{
    const struct training *t = ctx;
    struct error gone;
    json_t *tree = metrics_fit_tree(m, t->parts.method), *j = json_object();
    json_t *data = metrics_fit_data(m, tree);

    (void)err;
    json_object_set_new(j, "type", json_string("metrics"));
    json_object_update(j, data);
    json_object_set_new(j, "seconds_left", number(m->seconds_left));
    json_decref(tree);
    json_decref(data);
    (void)!out_json_new(j, &gone);
    return true;
}

static bool json_checkpoint(void *ctx, const struct checkpoint_info *i, struct error *err)
{
    struct error gone;

    (void)ctx;
    (void)err;
    (void)!out_json_new(json_pack("{s:s, s:I, s:s, s:b, s:o}", "type", "checkpoint", "step",
                                  (json_int_t)i->step, "dir", i->dir, "best", i->best,
                                  "full_valid_mean_reward", number(i->valid_mean_reward)),
                        &gone);
    return true;
}

/* ---- the end ---- */

static bool tell_folder(struct training *t, enum event_level level, const char *message,
                        struct error *err)
{
    const struct progress_sink sink = run_folder_sink(t->run.folder);

    return sink.event(sink.ctx, level, message, err);
}

static bool tell_end(struct training *t, struct error *err)
{
    char message[512];

    snprintf(message, sizeof message, "New fine-tuned model created: %s",
             t->run.model_name != NULL ? t->run.model_name : "");
    return run_folder_end(t->run.folder, err) &&
           (t->run.model_name == NULL || tell_folder(t, EVENT_INFO, message, err)) &&
           tell_folder(t, EVENT_INFO, "The job has successfully completed", err);
}

/* How to go on with a run that did not end. */
static const char *how_to_resume(const struct training *t)
{
    const char *job = t->parts.job.file;

    return arena_printf(t->c->arena, "hone train%s%s --out %s --resume", job != NULL ? " " : "",
                        job != NULL ? job : "", t->run.dir);
}

static bool tell_failure(struct training *t, struct error *err)
{
    struct error why = *err, ignored; /* it may have been this file that could not be written */

    (void)!tell_folder(t, why.kind == ERR_CANCELLED ? EVENT_WARN : EVENT_ERROR, why.message,
                       &ignored);
    snprintf(err->message, sizeof err->message, "%.300s; to go on: %.190s", why.message,
             how_to_resume(t));
    return false;
}

static bool tell_result(const struct training *t, const struct reinforce_result *r,
                        struct error *err)
{
    const char *step =
        arena_printf(t->c->arena, "step-%zu", r->best_step > 0 ? r->best_step : r->steps);
    const char *adapter =
        file_join(t->c->arena, file_join(t->c->arena, t->run.dir, "checkpoints"), step);
    const bool valid = t->parts.job.valid != NULL;

    if (t->c->json)
        return out_json_new(
            json_pack("{s:s, s:s, s:s, s:s?, s:I, s:I, s:o, s:o, s:o, s:f, s:s, s:s, s:I, s:I}",
                      "type", "result", "id", run_folder_id(t->run.folder), "run", t->run.dir,
                      "fine_tuned_model", t->run.model_name, "steps", (json_int_t)r->steps,
                      "best_step", (json_int_t)r->best_step, "first_reward",
                      number(r->first_reward), "base_valid_reward",
                      valid ? number(r->base_valid_reward) : json_null(), "best_valid_reward",
                      valid ? number(r->best_valid_reward) : json_null(), "max_dlogp", r->max_dlogp,
                      "adapter_sha256", r->adapter_sha256, "adapter", adapter, "planned_bytes",
                      (json_int_t)r->planned_bytes, "peak_bytes", (json_int_t)r->peak_bytes),
            err);
    return out_printf(
               err,
               "\nDone: %zu steps, %zu tokens trained on; sampled and trained log-probabilities differ by %g\n",
               r->steps, r->trained_tokens, r->max_dlogp) &&
           (!valid || out_printf(err, "  validation  %.4f before, %.4f after step %zu\n",
                                 r->base_valid_reward, r->best_valid_reward, r->best_step)) &&
           out_printf(err,
                      "  adapter     %s\n"
                      "  its values  sha256 %s after the last step\n"
                      "  next        hone report %s\n"
                      "              hone chat --model %s\n",
                      adapter, r->adapter_sha256, t->run.dir, t->run.dir);
}

static bool tell_fit_result(const struct training *t, const struct fit_result *r, struct error *err)
{
    const bool dpo = t->parts.method == METHOD_DPO;
    const char *adapter =
        arena_printf(t->c->arena, "%s/checkpoints/step-%zu", t->run.dir, r->steps);

    if (t->c->json) {
        json_t *j = json_pack(
            "{s:s, s:s, s:s, s:s?, s:s, s:I, s:I, s:I, s:o, s:o, s:s, s:s, s:I, s:I}", "type",
            "result", "id", run_folder_id(t->run.folder), "run", t->run.dir, "fine_tuned_model",
            t->run.model_name, "method", train_method_name(t->parts.method), "steps",
            (json_int_t)r->steps, "n_epochs", (json_int_t)r->n_epochs, "trained_tokens",
            (json_int_t)r->trained_tokens, "first_loss", number(r->first_loss), "last_loss",
            number(r->last_loss), "adapter_sha256", r->adapter_sha256, "adapter", adapter,
            "planned_bytes", (json_int_t)r->planned_bytes, "peak_bytes", (json_int_t)r->peak_bytes);
        if (r->has_valid) {
            put_measure(j, "base_valid", dpo, &r->base_valid);
            put_measure(j, "valid", dpo, &r->valid);
        }
        return out_json_new(j, err);
    }
    return out_printf(err,
                      "\nDone: %zu steps in %zu epochs, %zu tokens learned\n"
                      "  loss        %.4f in the first step, %.4f in the last\n",
                      r->steps, r->n_epochs, r->trained_tokens, r->first_loss, r->last_loss) &&
           (!r->has_valid ||
            out_printf(err,
                       "  validation  %.4f before, %.4f after; right tokens %.1f %%, %.1f %%\n",
                       r->base_valid.loss, r->valid.loss, 100 * r->base_valid.token_accuracy,
                       100 * r->valid.token_accuracy)) &&
           (!r->has_valid || !dpo ||
            out_printf(err, "  pairs       %.1f %% right, by %.3f on average\n",
                       100 * r->valid.reward_accuracy, r->valid.reward_margin)) &&
           out_printf(err,
                      "  adapter     %s\n"
                      "  its values  sha256 %s after the last step\n"
                      "  next        hone chat --model %s\n",
                      adapter, r->adapter_sha256, t->run.dir);
}

/* For people the run is drawn, or told in lines where there is no terminal; for scripts it is told in JSON. */
static bool run_and_show(struct training *t, struct reinforce_result *result,
                         struct fit_result *fitted, struct error *err)
{
    const bool reinforcement = t->parts.method == METHOD_REINFORCEMENT;
    const struct live_options opt = {
        .fd = STDOUT_FILENO,
        .title = arena_printf(t->c->arena, "%s, %s", model_plain_name(t->run.dir, t->c->arena),
                              model_plain_name(t->parts.job.model.name, t->c->arena)),
        .plain = !reinforcement,
        .run_dir = t->run.resume ? t->run.dir : NULL,
        .grader = t->parts.grader.grader,
    };
    struct live *live = NULL;

    t->tee = (struct tee){.sinks = {run_folder_sink(t->run.folder)}, .n = 1};
    if (reinforcement)
        t->tee.sinks[t->tee.n++] = valid_evals_sink(&t->evals);
    if (t->c->json)
        t->tee.sinks[t->tee.n++] = (struct progress_sink){.ctx = t,
                                                          .event = json_event,
                                                          .step = json_step,
                                                          .fit_step = json_fit_step,
                                                          .checkpoint = json_checkpoint};
    else if (!out_printf(err, "The run is in %s\n", t->run.dir) || !out_flush(err) ||
             !live_open(&opt, &live, err))
        return false;
    if (live != NULL)
        t->tee.sinks[t->tee.n++] = live_sink(live);
    t->sink = tee_sink(&t->tee);
    struct reinforce_inputs in = job_parts_inputs(&t->parts, t->c);
    struct fit_inputs fit_in = job_parts_fit_inputs(&t->parts, t->c);
    in.run_dir = fit_in.run_dir = t->run.dir;
    in.resume = fit_in.resume = t->run.resume;
    in.sink = fit_in.sink = &t->sink;
    const bool ok = reinforcement ? reinforce(&in, result, err) : fit(&fit_in, fitted, err);
    live_close(live);
    return ok;
}

static bool train(struct training *t, struct error *err)
{
    struct reinforce_result result = {0};
    struct fit_result fitted = {0};
    const char *valid = t->parts.job.valid;

    valid_evals_init(&t->evals, t->run.dir, valid != NULL ? valid : "", t->parts.valid.n_rows,
                     t->c->arena);
    if (!run_and_show(t, &result, &fitted, err) || !tell_end(t, err))
        return tell_failure(t, err);
    return t->parts.method == METHOD_REINFORCEMENT ? tell_result(t, &result, err)
                                                   : tell_fit_result(t, &fitted, err);
}

static bool run(struct cli *c, struct error *err)
{
    struct training t = {.c = c};
    bool ok = job_parts_open(c, &t.parts, err) && job_parts_check(&t.parts, NULL, err);

    t.run =
        (struct run_job){.c = c, .parts = &t.parts, .resume = option_on(c->options, OPT_RESUME)};
    ok = ok && run_place(c, &t.parts.job, t.run.resume, &t.run.dir, err) &&
         template_option(c, &t.run.template, err) && run_job_open(&t.run, err) && train(&t, err);
    run_job_close(&t.run);
    job_parts_close(&t.parts);
    return ok;
}

static const enum option_id ids[] = {JOB_OPTIONS, OPT_OUT, OPT_RESUME};

const struct command cmd_train = {
    .set =
        {.command = "train",
         .args = "[JOB.json]",
         .max_args = 1,
         .summary =
             "train by reinforcement (sample answers, grade them, strengthen what led to good ones), "
             "on given answers, or on preferences",
         .details =
             "The job's \"method\" is reinforcement, supervised or dpo; without one it is "
             "supervised. A job is the body of the API's POST /v1/fine_tuning/jobs, with paths where "
             "the API has file ids: relative to the job's own folder, or to this one. "
             "Options stand above what it says. The run's folder is --out, else "
             "runs/NAME in the store; --resume alone goes on with the run in --out. "
             "Ctrl-C stops after a checkpoint.",
         .examples =
             "  hone train examples/rare-disease/job.json --out runs/demo\n"
             "  hone train examples/rare-disease/job.json --out runs/demo --resume\n"
             "  hone train --model smol --train train.jsonl --valid valid.jsonl --grader grader.json \\\n"
             "            --set max_steps=100 --set batch_size=16\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
