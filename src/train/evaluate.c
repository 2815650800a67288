/*
 * evaluate.c - rows in portions: render, sample, grade beside it, tell.
 */
#include "train/evaluate.h"
#include "base/clock.h"
#include "base/mean.h"
#include "base/parallel.h"
#include "base/size.h"
#include "train/answers.h"

#include <math.h>
#include <stdio.h>

static void tell_flags(unsigned flags, size_t *counts)
{
    for (size_t b = 0; b < 16; b++)
        counts[b] += flags >> b & 1u;
}

static void add_row(const struct answers *x, size_t row, const struct grader *g,
                    struct evaluate_result *out)
{
    const size_t n = x->n_samples;
    const double threshold = grader_pass_threshold(g);
    double habit[N_HABITS];
    double sum = 0, best = -HUGE_VAL, worst = HUGE_VAL;
    bool solved = false, some = false;

    for (size_t s = 0; s < n; s++) {
        const struct answer_slot *slot = &x->slots[row * n + s];
        const double r = slot->grade.reward;

        sum += r;
        best = r > best ? r : best;
        worst = r < worst ? r : worst;
        solved = solved || r >= 1 - 1e-9;
        some = some || r > 0;
        out->truncated_share += slot->sample->end == SAMPLE_LENGTH;
        out->completion_tokens_mean += (double)(slot->sample->n - slot->sample->n_given);
        out->reasoning_tokens_mean +=
            (double)(slot->sample->n_thinking_before + slot->sample->n_thinking);
        out->entropy_mean += slot->sample->n_drawn > 0
                                 ? (double)slot->sample->entropy_sum / (double)slot->sample->n_drawn
                                 : 0;
        for (size_t k = 0; k < slot->grade.n_parts; k++) {
            const bool counts = !grader_is_shadow(g, k) || grade_part_measured(&slot->grade, k);

            out->part_mean[k] += counts ? slot->grade.part[k] : 0;
            out->part_n[k] += counts;
            out->part_failed[k] += !counts && grade_was_asked(&slot->grade);
            out->part_seconds[k] += slot->grade.part_seconds[k];
        }
        out->passed_share += slot->grade.reward >= threshold;
        tell_flags(slot->grade.flags, out->grader_errors);
        if (slot->episode.lost != NULL && out->n_lost++ == 0)
            snprintf(out->first_lost, sizeof out->first_lost, "%s", slot->episode.lost);
        if (out->first_error[0] == '\0' && slot->grade.details[0] != '\0')
            memcpy(out->first_error, slot->grade.details, sizeof out->first_error);
    }
    habits_of_row(x, row, NULL, habit);
    for (size_t h = 0; h < N_HABITS; h++)
        out->habit[h] += habit[h];
    out->row_mean[out->n_rows++] = sum / (double)n;
    out->pass_at_k += solved;
    out->any_reward += some;
    out->flat_share += best == worst;
}

static void finish(struct evaluate_result *out)
{
    const double rows = (double)out->n_rows, all = rows * (double)out->n_samples;
    const struct mean reward = mean_of(out->n_rows, out->row_mean);

    out->reward_mean = reward.mean;
    out->reward_ci95 = reward.ci95;
    for (size_t h = 0; h < HABIT_COMMON; h++)
        out->habit[h] /= rows;
    out->pass_at_k /= rows;
    out->any_reward /= rows;
    out->flat_share /= rows;
    out->truncated_share /= all;
    out->completion_tokens_mean /= all;
    out->reasoning_tokens_mean /= all;
    out->entropy_mean /= all;
    for (size_t k = 0; k < out->n_parts; k++) {
        out->part_mean[k] /= (double)out->part_n[k];
        out->part_seconds[k] /= all;
    }
}

bool evaluate(struct engine *e, const struct adapter *adapter, const struct prompter *p,
              const struct dataset *d, struct grader *g, const struct evaluate_options *opt,
              const struct progress_sink *sink, struct arena *a, struct evaluate_result *out,
              struct error *err)
{
    struct evaluate_result r = {.n_samples = opt->greedy ? 1 : opt->n_samples,
                                .n_parts = grader_count(g),
                                .row_mean = ARENA_ARRAY(a, double, d->n_rows)};
    struct grade_queue *queue = NULL;
    struct arena part = {0};
    struct common_answers common;
    const double began = clock_seconds();
    bool ok = grade_queue_open(g, 0, &queue, err);

    common_answers_init(&common, d->n_rows * r.n_samples, a);
    for (size_t from = 0; ok && from < d->n_rows; from += EVALUATE_ROWS) {
        struct answers_options ao = {.n_samples = r.n_samples,
                                     .max_tokens = opt->max_tokens,
                                     .effort = opt->effort,
                                     .pick = opt->pick,
                                     .seed = opt->seed,
                                     .purpose = opt->purpose,
                                     .step = opt->step,
                                     .stop = opt->stop,
                                     .history = opt->history,
                                     .tools = opt->tools,
                                     .known = opt->known};
        const size_t n = size_min(EVALUATE_ROWS, d->n_rows - from);
        struct answers x;

        arena_reset(&part);
        if (opt->greedy)
            ao.pick.temperature = 0;
        size_t *items = ARENA_ARRAY(&part, size_t, n);
        for (size_t i = 0; i < n; i++)
            items[i] = from + i;
        ok = answers_get(e, adapter, p, d, items, n, queue, &ao, sink, &part, &x, err);
        for (size_t i = 0; ok && i < n; i++) {
            add_row(&x, i, g, &r);
            common_answers_put(&common, &x, i);
        }
        if (ok && sink != NULL && sink->rollout != NULL)
            ok = answers_tell(&x, d, opt->step, true, sink, err);
        if (ok && sink != NULL && sink->tick != NULL)
            sink->tick(sink->ctx, "evaluating", from + n, d->n_rows);
    }
    grade_queue_close(queue);
    arena_release(&part);
    if (!ok)
        return false;
    finish(&r);
    r.passed_share = isnan(grader_pass_threshold(g))
                         ? (double)NAN
                         : r.passed_share / (double)(r.n_rows * r.n_samples);
    (void)common_answers_most(&common, &r.habit[HABIT_COMMON]);
    r.seconds = clock_seconds() - began;
    *out = r;
    return true;
}
