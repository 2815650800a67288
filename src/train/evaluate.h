/*
 * evaluate.h - how well a model does on a dataset: sampled answers, graded.
 */
#ifndef HONE_TRAIN_EVALUATE_H
#define HONE_TRAIN_EVALUATE_H

#include "grade/grade_queue.h"
#include "sample/effort.h"
#include "sample/prompt.h"
#include "text/dataset.h"
#include "train/progress.h"

#define EVALUATE_ROWS 64 /* that are sampled at a time */

struct evaluate_options {
    size_t n_samples; /* per row */
    bool greedy;      /* one answer per row at temperature 0 instead */
    size_t max_tokens;
    enum effort effort; /* EFFORT_DEFAULT: as the prompter has it */
    struct pick_options pick;
    uint64_t seed;
    enum philox_purpose purpose;
    uint32_t step; /* counter of the random numbers, and of the rollouts told */
    const atomic_bool *stop;
    struct history *history;          /* of answers to these rows, for speed alone; or NULL */
    const struct known_grades *known; /* train/answers.h; or NULL */
    const struct tools *tools;        /* train/episodes.h; or NULL */
};

struct evaluate_result {
    size_t n_rows, n_samples;        /* samples a row */
    double reward_mean, reward_ci95; /* of the rows' means: 1.96 deviations / sqrt(rows) */
    double
        pass_at_k; /* share of rows with an answer of reward >= 1 (or the best possible), k = n_samples */
    double any_reward;   /* share of rows with an answer of reward > 0 */
    double passed_share; /* of the answers, by the grader's pass_threshold; NaN without one */
    double flat_share;   /* rows whose answers all got the same */
    double truncated_share, completion_tokens_mean, reasoning_tokens_mean, entropy_mean;
    size_t n_parts;
    double part_mean[GRADE_MAX_PARTS], part_seconds[GRADE_MAX_PARTS];
    size_t part_n
        [GRADE_MAX_PARTS]; /* answers in its mean: a shadow's are those that it measured; NaN for none */
    size_t part_failed[GRADE_MAX_PARTS]; /* answers that a shadow failed on */
    double habit[N_HABITS];              /* of a row, mean over rows */
    size_t grader_errors[16];            /* by bit of enum grade_flag */
    char first_error[1024];
    size_t
        n_lost; /* answers whose tools did not answer: they count as the mean of the others of their row, or 0 */
    char first_lost[512]; /* why the first of them is */
    double *row_mean;     /* [n_rows], in the arena */
    double seconds;
};

/* Tells each answer to sink->rollout where sink is given (NULL is fine). */
MUST_CHECK bool evaluate(struct engine *e, const struct adapter *adapter, const struct prompter *p,
                         const struct dataset *d, struct grader *g,
                         const struct evaluate_options *opt, const struct progress_sink *sink,
                         struct arena *a, struct evaluate_result *out, struct error *err);
#endif
