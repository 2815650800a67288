/*
 * cmd_check.c - can this job learn, and what will it cost? Asked before an hour is spent.
 */
#include "base/size.h"
#include "cli/commands.h"
#include "cli/job_file.h"
#include "cli/output.h"

#include <math.h>

static json_t *with_plan(json_t *o, const struct memory_plan *p)
{
    json_object_set_new(o, "memory_plan", memory_plan_json(p));
    return o;
}

static json_t *as_json(const struct check_report *r, const struct grader *g)
{
    json_t *shadows = json_array();

    for (size_t i = 0; i < grader_count(g); i++)
        if (grader_is_shadow(g, i))
            json_array_append_new(
                shadows,
                json_pack("{s:s, s:s, s:o, s:f}", "name", grader_name(g, i), "type",
                          grader_type(g, i), "reward_mean",
                          isfinite(r->shadow_mean[i]) ? json_real(r->shadow_mean[i]) : json_null(),
                          "error_share", r->shadow_failed[i]));
    return json_pack(
        "{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}",
        "can_learn", r->can_learn, "verdict", r->verdict, "rows_train", (json_int_t)r->n_rows_train,
        "rows_valid", (json_int_t)r->n_rows_valid, "rows_checked", (json_int_t)r->n_rows_checked,
        "samples", (json_int_t)r->n_samples, "max_tokens", (json_int_t)r->max_tokens, "reward_mean",
        r->reward_mean, "any_reward", r->any_reward, "pass_at_k", r->pass_at_k, "flat_share",
        r->flat_share, "flat_share_low", r->flat_share_low, "flat_share_high", r->flat_share_high,
        "best_mean", r->best_mean, "best_low", r->best_low, "best_high", r->best_high,
        "truncated_share", r->truncated_share, "reward_distinct", r->reward_distinct,
        "grader_error_share", r->grader_error_share, "better_share", r->better_share, "tokens_mean",
        r->tokens_mean, "better_a_step", r->better_a_step, "seconds_per_step", r->seconds_per_step,
        "seconds_total", r->seconds_total, "memory_bytes", r->memory_bytes, "shadow_graders",
        shadows);
}

static bool tell_shadows(const struct check_report *r, const struct grader *g, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < grader_count(g); i++) {
        const double failed = 100 * r->shadow_failed[i];

        if (!grader_is_shadow(g, i))
            continue;
        if (isfinite(r->shadow_mean[i]))
            ok = out_printf(err, "  shadow      %.4f on average, by %s; it failed on %.1f %%\n",
                            r->shadow_mean[i], grader_name(g, i), failed);
        else
            ok = out_printf(err, "  shadow      %s failed on every answer\n", grader_name(g, i));
    }
    return ok;
}

/* What it will take, in words. */
struct cost {
    struct buf step, total, memory;
};

static struct cost cost_of(double seconds_per_step, double seconds_total,
                           const struct memory_plan *plan)
{
    char words[512];
    struct cost c;

    buf_init(&c.step, 64);
    buf_init(&c.total, 64);
    buf_init(&c.memory, sizeof words);
    put_seconds(&c.step, seconds_per_step);
    put_seconds(&c.total, seconds_total);
    memory_plan_words(plan, words, sizeof words);
    buf_text(&c.memory, words);
    return c;
}

static void cost_release(struct cost *c)
{
    buf_release(&c->step);
    buf_release(&c->total);
    buf_release(&c->memory);
}

static bool tell(const struct check_report *r, struct error *err)
{
    struct cost cost = cost_of(r->seconds_per_step, r->seconds_total, &r->plan);
    const bool ok = out_printf(
        err,
        "%s\n\n"
        "  rows        %zu to train on, %zu to validate on\n"
        "  asked       %zu of them, %zu answers each, up to %zu tokens\n"
        "  reward      %.4f on average, %.4f the best of each prompt's; %.0f different ones were seen\n"
        "  prompts     %5.1f %%  have an answer that earns something\n"
        "              %5.1f %%  have one that earns everything\n"
        "              %5.1f %%  teach nothing: all answers earned the same\n"
        "  answers     %5.1f %%  earn something; about %.0f of those in a step\n"
        "              %5.1f %%  met the longest length, the mean is %.0f tokens\n"
        "              %5.1f %%  could not be graded\n"
        "  time        %s a step, %s in all\n"
        "  memory      %s\n",
        r->verdict, r->n_rows_train, r->n_rows_valid, r->n_rows_checked, r->n_samples,
        r->max_tokens, r->reward_mean, r->best_mean, r->reward_distinct, 100 * r->any_reward,
        100 * r->pass_at_k, 100 * r->flat_share, 100 * r->better_share, r->better_a_step,
        100 * r->truncated_share, r->tokens_mean, 100 * r->grader_error_share, cost.step.ptr,
        cost.total.ptr, cost.memory.ptr);
    cost_release(&cost);
    return ok;
}

static json_t *fit_as_json(const struct fit_report *r)
{
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "method",
        train_method_name(r->method), "rows_train", (json_int_t)r->n_rows_train, "rows_valid",
        (json_int_t)r->n_rows_valid, "tokens", (json_int_t)r->tokens, "learned_tokens",
        (json_int_t)r->learned, "longest_row_tokens", (json_int_t)r->longest, "longest_row_line",
        (json_int_t)r->longest_line, "batch_size", (json_int_t)r->batch_size, "n_epochs",
        (json_int_t)r->n_epochs, "steps", (json_int_t)r->steps, "first_loss", r->first.loss,
        "first_mean_token_accuracy", r->first.token_accuracy, "seconds_per_step",
        r->seconds_per_step, "seconds_total", r->seconds_total, "memory_bytes", r->memory_bytes);
}

static bool tell_fit(const struct fit_report *r, struct error *err)
{
    struct cost cost = cost_of(r->seconds_per_step, r->seconds_total, &r->plan);
    const bool ok = out_printf(
        err,
        "Every row can be learned by method %s.\n\n"
        "  rows        %zu to train on, %zu to validate on\n"
        "  tokens      %zu, of which %zu are learned; the longest row has %zu (line %zu)\n"
        "  steps       %zu in %zu epochs, %zu rows each\n"
        "  first batch loss %.4f, right tokens %.1f %%\n"
        "  time        %s a step, %s in all\n"
        "  memory      %s\n",
        train_method_name(r->method), r->n_rows_train, r->n_rows_valid, r->tokens, r->learned,
        r->longest, r->longest_line, r->steps, r->n_epochs, r->batch_size, r->first.loss,
        100 * r->first.token_accuracy, cost.step.ptr, cost.total.ptr, cost.memory.ptr);
    cost_release(&cost);
    return ok;
}

static bool check_fit(struct cli *c, const struct job_parts *parts, struct error *err)
{
    struct fit_inputs in = job_parts_fit_inputs(parts, c);
    struct fit_report r;

    in.run_dir = "";
    return fit_check(&in, &r, err) &&
           (c->json ? out_json_new(with_plan(fit_as_json(&r), &r.plan), err) : tell_fit(&r, err));
}

static void on_tick(void *ctx, const char *phase, size_t done, size_t total)
{
    struct meter *m = ctx;

    meter_show(m, done, total, phase);
}

static bool run(struct cli *c, struct error *err)
{
    struct job_parts parts = {0};
    struct check_report report = {0};
    struct meter meter = meter_start("answers");
    const struct progress_sink sink = {.ctx = &meter, .tick = on_tick};
    bool ok = job_parts_open(c, &parts, err) && job_parts_check(&parts, NULL, err);

    if (ok && parts.method != METHOD_REINFORCEMENT) {
        ok = check_fit(c, &parts, err);
        job_parts_close(&parts);
        return ok;
    }
    if (ok) {
        struct reinforce_inputs in = job_parts_inputs(&parts, c);

        in.run_dir = "";
        in.sink = &sink;
        ok = reinforce_check(&in, &report, err);
        meter_end(&meter);
    }
    ok =
        ok &&
        (c->json ? out_json_new(with_plan(as_json(&report, parts.grader.grader), &report.plan), err)
                 : tell(&report, err) && tell_shadows(&report, parts.grader.grader, err));
    job_parts_close(&parts);
    if (ok && !report.can_learn) {
        c->quiet_failure = true; /* the verdict says it */
        return false;
    }
    return ok;
}

static const enum option_id ids[] = {JOB_OPTIONS};

const struct command cmd_check = {
    .set = {.command = "check",
            .args = "[JOB.json]",
            .max_args = 1,
            .summary = "can this job learn, and what will it cost? Asks before an hour is spent",
            .details = "Takes what train takes, lets the untrained model answer some of the rows, "
                       "and says in plain words what it saw. The exit status is 1 when the job "
                       "cannot learn. For methods supervised and dpo it reads all rows, computes "
                       "the first batch, and tells tokens, steps, time and memory.",
            .examples = "  hone check examples/rare-disease/job.json\n"
                        "  hone check --model smol --train train.jsonl --grader grader.json\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
