/*
 * cmd_check.c - can this job learn, and what will it cost? Asked before an hour is spent.
 */
#include "base/size.h"
#include "cli/check_json.h"
#include "cli/commands.h"
#include "cli/job_file.h"
#include "cli/output.h"

#include <math.h>

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

static bool tell_fit(const struct fit_report *r, struct error *err)
{
    char words[80];
    struct cost cost = cost_of(r->seconds_per_step, r->seconds_total, &r->plan);
    const bool ok = out_printf(
        err,
        "%s\n\n"
        "  rows        %zu to train on, %zu to validate on\n"
        "  tokens      %zu, of which %zu are learned; the longest row has %zu (line %zu)\n"
        "  steps       %zu in %zu epochs, %zu rows each\n"
        "  first batch loss %.4f, right tokens %.1f %%\n"
        "  time        %s a step, %s in all\n"
        "  memory      %s\n",
        check_fit_verdict(r, words), r->n_rows_train, r->n_rows_valid, r->tokens, r->learned,
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
           (c->json ? out_json_new(check_fit_json(&r), err) : tell_fit(&r, err));
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
    ok = ok && (c->json ? out_json_new(check_json(&report, parts.grader.grader), err)
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
