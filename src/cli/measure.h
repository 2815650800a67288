/*
 * measure.h - one model on one dataset: what train/evaluate.h says, and what only the single answers tell.
 *
 *     pass@k = 1 - C(n - c, k) / C(n, k)      for a row with c of n answers worth 1 or more: Chen et al.,
 *                                             arXiv:2107.03374, equation (1); the mean over rows
 */
#ifndef HONE_CLI_MEASURE_H
#define HONE_CLI_MEASURE_H

#include "cli/output.h"
#include "cli/ranking.h"
#include "cli/session.h"
#include "train/episodes.h"
#include "train/evaluate.h"

struct measure_options {
    const struct dataset *data;
    struct grader *grader;
    struct evaluate_options evaluate;
    struct ranking_options ranking;
    const char *save_answers; /* a file, or NULL */
};

struct measured {
    struct evaluate_result result;
    double top_1, top_5, top_max; /* shares of all answers; where something is ranked */
    size_t *n_solved;             /* [n_rows] answers worth 1 or more */
};

/* Checks every row before anything is spent: what grader and ranking read is there, and the prompt leaves room. */
MUST_CHECK bool measure_check(const struct session *s, const struct measure_options *o,
                              struct error *err);
/* Everything in *out lives in the arena. Shows progress. */
MUST_CHECK bool measure(const struct session *s, const struct measure_options *o, struct arena *a,
                        struct measured *out, struct error *err);
double measured_pass_at(const struct measured *m, size_t k);
/* The object of hone eval --json: n, reward_mean, reward_ci95 [low, high], graders, pass_at_k, ...; a new tree. */
json_t *measured_json(const struct measured *m, const struct session *s,
                      const struct measure_options *o);
#endif
