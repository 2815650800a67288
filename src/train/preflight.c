/*
 * preflight.c - measured choices, and the check of a job before it starts.
 */
#include "train/preflight.h"
#include "base/parallel.h"
#include "base/size.h"
#include "model/training_pass.h"
#include "train/answers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A probe draws up to 16 answers to each of 24 prompts, and fewer of each where they are long. */
#define PROBE_ROWS 24
#define PROBE_SAMPLES 16
#define PROBE_TOKENS 16384
#define SHORTEST 1

/* A sample cut after n tokens, as it would have been with that limit. */
static struct sample cut(const struct sample *s, size_t n)
{
    struct sample c = *s;

    if (s->n > n) {
        c.n = n;
        c.end = SAMPLE_LENGTH;
        c.n_thinking = size_min(c.n_thinking, n);
    }
    return c;
}

struct probe {
    size_t longest;
    size_t n_lengths;
    size_t length[16];
    double reward[16]; /* mean, at each length */
};

static bool grade_cut(const struct reinforce_inputs *in, struct grade_queue *queue,
                      const struct answers *x, size_t length, struct arena *a, double *mean)
{
    const size_t n = x->n_rows * x->n_samples;
    struct answer_slot *slots = ARENA_ARRAY(a, struct answer_slot, n);

    for (size_t i = 0; i < n; i++) {
        const struct sample s = cut(x->slots[i].sample, length);
        struct answer_slot *slot = &slots[i];

        prompter_answer(in->prompter, &s, a, &slot->answer);
        slot->input = (struct grade_sample){.output_text = slot->answer.text,
                                            .truncated = s.end == SAMPLE_LENGTH};
        grade_queue_put(queue, in->train->rows[x->items[i / x->n_samples]].item, &slot->input,
                        &slot->grade);
    }
    grade_queue_wait(queue);
    *mean = 0;
    for (size_t i = 0; i < n; i++)
        *mean += slots[i].grade.reward / (double)n;
    return true;
}

static bool probe_lengths(struct engine *e, const struct reinforce_inputs *in,
                          const struct recipe *r, size_t longest, struct probe *out,
                          struct error *err)
{
    const bool wide = PROBE_ROWS * PROBE_SAMPLES * longest <= PROBE_TOKENS;
    const size_t n_rows = size_min(wide ? PROBE_ROWS : PROBE_ROWS / 3, in->train->n_rows);
    const struct answers_options opt = {
        .n_samples = wide ? PROBE_SAMPLES : PROBE_SAMPLES / 2,
        .max_tokens = longest,
        .pick = {.temperature = (float)r->temperature, .top_p = 1, .repetition_penalty = 1},
        .seed = r->seed,
        .purpose = PHILOX_TOKEN,
        .step = 0,
        .stop = in->stop};
    struct arena a = {0};
    struct grade_queue *queue = NULL;
    struct answers x;
    size_t *items = ARENA_ARRAY(&a, size_t, n_rows);

    for (size_t i = 0; i < n_rows; i++)
        items[i] = i * in->train->n_rows / n_rows;
    *out = (struct probe){.longest = longest};
    bool ok = grade_queue_open(in->grader, parallel_threads(), &queue, err) &&
              answers_get(e, NULL, in->prompter, in->train, items, n_rows, queue, &opt, in->sink,
                          &a, &x, err);
    for (size_t length = SHORTEST; ok && length <= longest; length *= 2) {
        out->length[out->n_lengths] = length;
        ok = grade_cut(in, queue, &x, length, &a, &out->reward[out->n_lengths++]);
    }
    grade_queue_close(queue);
    arena_release(&a);
    return ok;
}

/* The shortest length that earns nearly what the best earns, or 0 where none earns anything. */
static size_t shortest_good(const struct probe *p)
{
    double best = 0;

    for (size_t i = 0; i < p->n_lengths; i++)
        best = fmax(best, p->reward[i]);
    for (size_t i = 0; i < p->n_lengths; i++)
        if (best > 0 && p->reward[i] >= 0.9 * best)
            return p->length[i];
    return 0;
}

static bool say(const struct reinforce_inputs *in, const char *text, struct error *err)
{
    return in->sink == NULL || in->sink->event == NULL ||
           in->sink->event(in->sink->ctx, EVENT_INFO, text, err);
}

static bool settle_length(struct engine *e, const struct reinforce_inputs *in, struct recipe *r,
                          struct error *err)
{
    static const size_t probes[] = {32, 256};
    const size_t room = in->model->max_positions / 2;
    char text[256];

    for (size_t i = 0; i < COUNT_OF(probes); i++) {
        struct probe p;

        if (!probe_lengths(e, in, r, size_min(probes[i], room), &p, err))
            return false;
        const size_t good = shortest_good(&p);
        if (good > 0 && (good < p.longest || i + 1 == COUNT_OF(probes))) {
            r->max_tokens = size_min(room, 2 * good);
            snprintf(
                text, sizeof text,
                "Answers may have %zu tokens: on the base model those cut after %zu earn most of what longer ones do.",
                r->max_tokens, good);
            return say(in, text, err);
        }
    }
    r->max_tokens = size_min(room, probes[COUNT_OF(probes) - 1]);
    snprintf(text, sizeof text,
             "Answers may have %zu tokens: the base model's earn nothing at any length up to that.",
             r->max_tokens);
    return say(in, text, err);
}

#define MOST_ANSWERS 128 /* of a group that is fitted, times the multiplier */

/* 256 tokens a prompt, 8 to 64 answers, times the multiplier. */
static size_t first_group_size(const struct recipe *r)
{
    const double k = r->compute_multiplier, g = k * 256.0 / (double)r->max_tokens;

    return (size_t)fmax(4, fmin(64 * k, fmax(8 * k, g)));
}

size_t preflight_group_size(const struct recipe *r, size_t g)
{
    return (size_t)fmax((double)first_group_size(r),
                        fmin((double)g, floor(MOST_ANSWERS * r->compute_multiplier)));
}

bool preflight_settle(struct engine *e, const struct reinforce_inputs *in, struct recipe *r,
                      struct error *err)
{
    if (r->max_tokens == 0 && !settle_length(e, in, r, err))
        return false;
    if (r->group_size == 0) {
        r->group_auto = true;
        r->group_size = first_group_size(r);
    }
    return true;
}

/* ---- hone check ---- */

#define CHECK_ROWS 32
#define CHECK_TOKENS                                                                               \
    49152 /* a minute or two: long answers are asked of fewer prompts, 8 at least */

/* Different rewards, up to a few. */
static size_t distinct_rewards(const struct answers *x)
{
    double seen[16];
    size_t n = 0;

    for (size_t i = 0; i < x->n_rows * x->n_samples && n < COUNT_OF(seen); i++) {
        size_t k = 0;

        while (k < n && fabs(seen[k] - x->slots[i].grade.reward) > 1e-9)
            k++;
        if (k == n)
            seen[n++] = x->slots[i].grade.reward;
    }
    return n;
}

static void measure_rows(const struct answers *x, struct check_report *out)
{
    const double rows = (double)x->n_rows, all = rows * (double)x->n_samples;
    double least = HUGE_VAL;

    for (size_t i = 0; i < x->n_rows * x->n_samples; i++) {
        least = fmin(least, x->slots[i].grade.reward);
        out->tokens_mean += (double)x->slots[i].sample->n / all;
    }
    for (size_t i = 0; i < x->n_rows * x->n_samples; i++)
        out->better_share += (x->slots[i].grade.reward > least + 1e-6) / all;

    for (size_t i = 0; i < x->n_rows; i++) {
        double best = -HUGE_VAL, worst = HUGE_VAL;

        for (size_t s = 0; s < x->n_samples; s++) {
            const struct answer_slot *slot = &x->slots[i * x->n_samples + s];
            const double r = slot->grade.reward;

            best = fmax(best, r);
            worst = fmin(worst, r);
            out->reward_mean += r / all;
            out->truncated_share += (slot->sample->end == SAMPLE_LENGTH) / all;
            out->grader_error_share += (slot->grade.flags != 0) / all;
        }
        out->any_reward += (best > 0) / rows;
        out->pass_at_k += (best >= 1 - 1e-9) / rows;
        out->flat_share += (best - worst <= 1e-6) / rows;
    }
    out->reward_distinct = (double)distinct_rewards(x);
}

/* Fewer prompts with any spread than this, in groups as large as training would draw, and steps are mostly empty. */
#define LEAST_SPREAD 0.10
/*
 * An answer that earns something is found once in so many tokens or more: then each is long as well as rare, and says
 * little about which of its many tokens earned it. Short answers may be rarer: there a step is cheap, and credit is plain.
 */
#define MOST_TOKENS_A_FIND 4096

static void judge(const struct recipe *r, struct check_report *c)
{
    const double spread = 1 - c->flat_share;
    char text[512];

    const double tokens_a_find = c->tokens_mean / fmax(c->better_share, 1e-9);
    const bool rare =
        c->better_a_step < (double)r->batch_size && tokens_a_find > MOST_TOKENS_A_FIND;

    c->can_learn = spread >= LEAST_SPREAD && c->grader_error_share < 0.5 && !rare;
    if (c->grader_error_share >= 0.5)
        snprintf(text, sizeof text, "The grader fails on %.0f %% of the answers: mend it first.",
                 100 * c->grader_error_share);
    else if (c->any_reward == 0)
        snprintf(
            text, sizeof text,
            "This job cannot learn as it is: of %zu answers to %zu prompts none earned anything, so there is nothing "
            "to strengthen. Give partial credit in the grader, make the task easier to begin with, or train first on "
            "a few written answers.",
            c->n_samples * c->n_rows_checked, c->n_rows_checked);
    else if (rare)
        snprintf(
            text, sizeof text,
            "This job will hardly learn: %.0f of %zu answers earned anything, one in %.0f tokens that the model writes, so "
            "a step of %zu prompts would see about %.0f even if each were asked %zu times over. Give partial credit in the "
            "grader, ask for a shorter answer, make the task easier to begin with, or train first on a few written answers.",
            c->better_share * (double)(c->n_samples * c->n_rows_checked),
            c->n_samples * c->n_rows_checked, tokens_a_find, r->batch_size, c->better_a_step,
            r->refill);
    else if (!c->can_learn && c->reward_mean > 0.9)
        snprintf(text, sizeof text,
                 "There is nothing left to learn: the base model earns %.2f already.",
                 c->reward_mean);
    else if (!c->can_learn)
        snprintf(
            text, sizeof text,
            "This job will hardly learn: for %.0f %% of the prompts all %zu answers got the same reward (%.3f on "
            "average), so those prompts teach nothing. Give partial credit in the grader, or make the task easier to "
            "begin with.",
            100 * c->flat_share, c->n_samples, c->reward_mean);
    else
        snprintf(
            text, sizeof text,
            "This job can learn: %.0f %% of the prompts had answers of different worth among %zu, and the best of them "
            "was right for %.0f %%.",
            100 * spread, c->n_samples, 100 * c->pass_at_k);
    snprintf(c->verdict, sizeof c->verdict, "%s", text);
    if (c->truncated_share > 0.3 && c->can_learn)
        snprintf(c->verdict + strlen(c->verdict), sizeof c->verdict - strlen(c->verdict),
                 " %.0f %% of the answers were cut at %zu tokens.", 100 * c->truncated_share,
                 r->max_tokens);
}

bool preflight_check(struct engine *e, const struct reinforce_inputs *in, struct recipe *r,
                     size_t total_steps, double fixed_bytes, struct check_report *out,
                     struct error *err)
{
    const struct model *m = in->model;
    struct check_report c = {.n_rows_train = in->train->n_rows,
                             .n_rows_valid = in->valid != NULL ? in->valid->n_rows : 0};
    struct arena a = {0};
    struct grade_queue *queue = NULL;
    struct answers x;

    if (!preflight_settle(e, in, r, err))
        return false;
    c.max_tokens = r->max_tokens;
    c.n_samples = r->group_size;
    const size_t tokens_a_row = size_max(1, c.n_samples * r->max_tokens);
    c.n_rows_checked = size_max(8, size_min(CHECK_ROWS, CHECK_TOKENS / tokens_a_row));
    c.n_rows_checked = size_max(1, size_min(c.n_rows_checked, in->train->n_rows));
    const struct answers_options opt = {
        .n_samples = c.n_samples,
        .max_tokens = r->max_tokens,
        .pick = {.temperature = (float)r->temperature, .top_p = 1, .repetition_penalty = 1},
        .seed = r->seed,
        .purpose = PHILOX_TOKEN,
        .step = 0,
        .stop = in->stop};
    size_t *items = ARENA_ARRAY(&a, size_t, c.n_rows_checked);
    for (size_t i = 0; i < c.n_rows_checked; i++)
        items[i] = i * in->train->n_rows / c.n_rows_checked;
    const struct engine_counts before = engine_counts(e);
    bool ok = grade_queue_open(in->grader, parallel_threads(), &queue, err) &&
              answers_get(e, NULL, in->prompter, in->train, items, c.n_rows_checked, queue, &opt,
                          in->sink, &a, &x, err);
    const double rows_a_prompt =
        (double)(engine_counts(e).rows - before.rows) / (double)c.n_rows_checked;
    grade_queue_close(queue);
    if (ok) {
        /* a step samples portions till enough prompts have spread, then trains on one batch: about twice its sampling */
        const double portion =
            x.seconds_sampling * (double)r->batch_size / (double)c.n_rows_checked;

        measure_rows(&x, &c);
        c.better_a_step = c.better_share * (double)(c.n_samples * r->batch_size * r->refill);
        c.seconds_per_step = portion * (1 + fmin((double)r->refill - 1,
                                                 c.flat_share / fmax(0.05, 1 - c.flat_share))) +
                             2 * portion;
        c.seconds_total = c.seconds_per_step * (double)total_steps;
        c.memory_bytes =
            fixed_bytes + (double)engine_bytes(e) +
            (double)training_pass_bytes(m, r->lora_rank, r->pass_rows, true) +
            fmin(recipe_memory_bytes(r), rows_a_prompt * (double)(r->batch_size * r->refill) *
                                             (double)saved_row_bytes(&m->config, r->lora_rank));
        judge(r, &c);
        *out = c;
    }
    arena_release(&a);
    return ok;
}
