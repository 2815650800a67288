/*
 * check.c - the base model's answers to a few prompts, and what they foretell.
 */
#include "train/check.h"
#include "base/parallel.h"
#include "base/size.h"
#include "train/answers.h"
#include "train/epoch.h"
#include "train/preflight.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* of the prompts must teach, and of the full reward must the best answers earn */
#define LEAST (1.0 / 6)
#define FIRST_ROWS 32
#define FIRST_TOKENS 49152 /* long answers are asked of fewer prompts at first, 8 at least */
#define MOST_TIMES 4       /* as many prompts as at first, where that leaves it open */

struct asked {
    double reward;
    size_t n_tokens;
    bool cut, failed;
};

/* All that was asked so far: answers[n_rows][n_samples]. */
struct survey {
    size_t n_rows, n_samples;
    struct asked *answers;
    double seconds_sampling;
    double shadow_sum[GRADE_MAX_PARTS], shadow_n[GRADE_MAX_PARTS], shadow_failed[GRADE_MAX_PARTS];
};

static bool ask(struct engine *e, const struct reinforce_inputs *in, const struct recipe *r,
                struct grade_queue *queue, const uint32_t *order, size_t n_rows, struct survey *s,
                struct error *err)
{
    struct answers_options opt = answers_of_step(r, 0, in->stop);
    struct arena a = {0};
    struct answers x;
    size_t *items = ARENA_ARRAY(&a, size_t, n_rows);

    const struct tools tools = {.servers = in->tool_servers, .max_given = r->max_tool_tokens};
    if (in->tool_servers != NULL)
        opt.tools = &tools;
    for (size_t i = 0; i < n_rows; i++)
        items[i] = order[s->n_rows + i];
    const bool ok = answers_get(e, in->start, in->prompter, in->train, items, n_rows, queue, &opt,
                                in->sink, &a, &x, err);

    for (size_t i = 0; ok && i < n_rows * s->n_samples; i++) {
        const struct answer_slot *slot = &x.slots[i];

        s->answers[s->n_rows * s->n_samples + i] =
            (struct asked){.reward = slot->grade.reward,
                           .n_tokens = slot->sample->n - slot->sample->n_given,
                           .cut = slot->sample->end == SAMPLE_LENGTH,
                           .failed = grade_grader_failed(&slot->grade)};
        for (size_t k = 0; k < slot->grade.n_parts; k++) {
            const bool measured = grade_part_measured(&slot->grade, k);

            s->shadow_sum[k] += measured ? slot->grade.part[k] : 0;
            s->shadow_n[k] += measured;
            s->shadow_failed[k] += !measured && grade_was_asked(&slot->grade);
        }
    }
    if (ok) {
        s->n_rows += n_rows;
        s->seconds_sampling += x.seconds_sampling;
    }
    arena_release(&a);
    return ok;
}

/* Different rewards, up to a few. */
static size_t distinct_rewards(const struct survey *s)
{
    double seen[16];
    size_t n = 0;

    for (size_t i = 0; i < s->n_rows * s->n_samples && n < COUNT_OF(seen); i++) {
        size_t k = 0;

        while (k < n && fabs(seen[k] - s->answers[i].reward) > 1e-9)
            k++;
        if (k == n)
            seen[n++] = s->answers[i].reward;
    }
    return n;
}

/*
 * The end of the interval of a share of n that was seen, z standard errors to one side (Wilson, 1927). Of a mean of numbers
 * between 0 and 1 it is an end, too, if a wide one: none spreads more than 0 and 1 alone.
 */
static double wilson(double share, double n, double z)
{
    const double zz = z * z / n;

    return (share + zz / 2 + z * sqrt(share * (1 - share) / n + zz / (4 * n))) / (1 + zz);
}

static void measure(const struct survey *s, struct check_report *c)
{
    const double rows = (double)s->n_rows, all = rows * (double)s->n_samples;
    double least = HUGE_VAL, most = -HUGE_VAL;

    c->n_rows_checked = s->n_rows;
    c->reward_mean = c->any_reward = c->pass_at_k = c->flat_share = c->truncated_share = 0;
    c->grader_error_share = c->better_share = c->tokens_mean = c->best_mean = 0;
    for (size_t i = 0; i < s->n_rows * s->n_samples; i++) {
        least = fmin(least, s->answers[i].reward);
        most = fmax(most, s->answers[i].reward);
    }
    for (size_t i = 0; i < s->n_rows; i++) {
        double best = -HUGE_VAL, worst = HUGE_VAL;

        for (size_t k = 0; k < s->n_samples; k++) {
            const struct asked *x = &s->answers[i * s->n_samples + k];

            best = fmax(best, x->reward);
            worst = fmin(worst, x->reward);
            c->reward_mean += x->reward / all;
            c->tokens_mean += (double)x->n_tokens / all;
            c->truncated_share += x->cut / all;
            c->grader_error_share += x->failed / all;
            c->better_share += (x->reward > least + 1e-6) / all;
        }
        c->best_mean += best / rows;
        c->any_reward += (best > 0) / rows;
        c->pass_at_k += (best >= 1 - 1e-9) / rows;
        c->flat_share += (best - worst <= 1e-6) / rows;
    }
    const double nothing = fmin(0, least), full = most - nothing,
                 share = full > 0 ? (c->best_mean - nothing) / full : 0;

    c->reward_distinct = (double)distinct_rewards(s);
    c->reward_most = most;
    c->best_low = nothing + full * wilson(share, rows, -1.645);
    c->best_high = nothing + full * wilson(share, rows, 1.645);
    c->best_needed = nothing + LEAST * full;
    c->flat_share_low = wilson(c->flat_share, rows, -1.645);
    c->flat_share_high = wilson(c->flat_share, rows, 1.645);
}

static bool enough(double flat_share, double best, const struct check_report *c)
{
    return 1 - flat_share >= LEAST && best >= c->best_needed;
}

/* Whether there is surely too little to learn from, or surely enough. */
static bool sure(const struct check_report *c)
{
    return 1 - c->flat_share_low < LEAST || c->best_high < c->best_needed ||
           enough(c->flat_share_high, c->best_low, c);
}

static void judge(const struct recipe *r, struct check_report *c)
{
    const double teaching = 1 - c->flat_share;
    const size_t n = c->n_samples * c->n_rows_checked;
    const bool slow = teaching * (double)r->refill < 1;
    char text[1000];

    c->can_learn = enough(c->flat_share, c->best_mean, c) && c->grader_error_share < 0.5;
    if (c->grader_error_share >= 0.5)
        snprintf(text, sizeof text, "The grader fails on %.0f %% of the answers: mend it first.",
                 100 * c->grader_error_share);
    else if (c->any_reward == 0)
        snprintf(
            text, sizeof text,
            "This job cannot learn as it is: of %zu answers to %zu prompts none earned anything, so there is nothing "
            "to strengthen. Give partial credit in the grader, make the task easier to begin with, or train first on "
            "a few written answers.",
            n, c->n_rows_checked);
    else if (!c->can_learn && c->reward_mean > 0.9)
        snprintf(text, sizeof text,
                 "There is nothing left to learn: the base model earns %.2f already.",
                 c->reward_mean);
    else if (!c->can_learn)
        snprintf(
            text, sizeof text,
            "This job has hardly anything to learn from: %.0f %% of %zu prompts (likely %.0f to %.0f %%) had answers of different worth "
            "among %zu, the others teach nothing; and the best of the %zu earned %.2f on average (likely %.2f to %.2f) where "
            "%.2f was the most. From a sixth of each on, steps are half full of answers worth strengthening. %.0f of %zu answers earned more "
            "than the least, %.3f is the mean. Give partial credit in the grader, ask for a shorter answer, make the task easier to "
            "begin with, ask more answers a prompt (group_size), or train first on a few written answers.",
            100 * teaching, c->n_rows_checked, 100 * (1 - c->flat_share_high),
            100 * (1 - c->flat_share_low), c->n_samples, c->n_samples, c->best_mean, c->best_low,
            c->best_high, c->reward_most, c->better_share * (double)n, n, c->reward_mean);
    else
        snprintf(
            text, sizeof text,
            "This job can learn%s: %.0f %% of the prompts had answers of different worth among %zu (likely %.0f to %.0f %%), and the "
            "best of them was right for %.0f %%.%s",
            slow ? ", if slowly" : "", 100 * teaching, c->n_samples, 100 * (1 - c->flat_share_high),
            100 * (1 - c->flat_share_low), 100 * c->pass_at_k,
            slow
                ? " Steps will not be full to begin with: more answers a prompt (group_size) would help."
                : "");
    snprintf(c->verdict, sizeof c->verdict, "%s", text);
    if (c->truncated_share > 0.3 && c->can_learn)
        snprintf(c->verdict + strlen(c->verdict), sizeof c->verdict - strlen(c->verdict),
                 " %.0f %% of the answers were cut at %zu tokens.", 100 * c->truncated_share,
                 r->max_tokens);
}

static void foretell_cost(const struct recipe *r, const struct survey *s, size_t total_steps,
                          struct check_report *c)
{
    /* a step samples portions till enough prompts have spread, then trains on one batch: about twice its sampling */
    const double rows = (double)s->n_rows,
                 portion = s->seconds_sampling * (double)r->batch_size / rows,
                 more = fmin((double)r->refill - 1, c->flat_share / fmax(0.05, 1 - c->flat_share));

    c->seconds_per_step = portion * (1 + more) + 2 * portion;
    c->seconds_total = c->seconds_per_step * (double)total_steps;
    c->better_a_step = c->better_share * (double)(c->n_samples * r->batch_size * r->refill);
}

bool check_job(struct engine *e, const struct reinforce_inputs *in, struct recipe *r,
               size_t total_steps, struct check_report *out, struct error *err)
{
    const size_t n_train = in->train->n_rows;
    struct arena a = {0};

    if (!preflight_settle(e, in, r, err))
        return false;
    struct check_report c = {.n_rows_train = n_train,
                             .n_rows_valid = in->valid != NULL ? in->valid->n_rows : 0,
                             .max_tokens = r->max_tokens,
                             .n_samples = r->group_size};
    const size_t tokens_a_row = size_max(1, c.n_samples * r->max_tokens);
    const size_t first = size_max(8, size_min(FIRST_ROWS, FIRST_TOKENS / tokens_a_row));
    const size_t most = size_min(MOST_TIMES * first, n_train);
    uint32_t *order = ARENA_ARRAY(&a, uint32_t, n_train);
    struct survey s = {.n_samples = c.n_samples,
                       .answers = ARENA_ARRAY(&a, struct asked, most * c.n_samples)};
    struct grade_queue *queue = NULL;
    bool ok = grade_queue_open(in->grader, 0, &queue, err);

    epoch_order(r->seed, 0, n_train, order);
    while (ok && s.n_rows < most && c.grader_error_share < 0.5 && (s.n_rows == 0 || !sure(&c))) {
        const size_t n = size_min(size_max(first, s.n_rows), most - s.n_rows);

        ok = ask(e, in, r, queue, order, n, &s, err);
        if (ok)
            measure(&s, &c);
    }
    grade_queue_close(queue);
    if (ok) {
        for (size_t k = 0; k < grader_count(in->grader); k++) {
            const double all = (double)(s.n_rows * s.n_samples);

            if (!grader_is_shadow(in->grader, k))
                continue;
            c.shadow_mean[k] = s.shadow_sum[k] / s.shadow_n[k];
            c.shadow_failed[k] = s.shadow_failed[k] / all;
        }
        foretell_cost(r, &s, total_steps, &c);
        judge(r, &c);
        *out = c;
    }
    arena_release(&a);
    return ok;
}
