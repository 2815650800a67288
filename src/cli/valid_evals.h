/*
 * valid_evals.h - what a run's validations said before training and at its best, as evals/before.json and after.json.
 *
 * A listener to the run: it adds up what each validation answer earned, row by row.
 */
#ifndef HONE_CLI_VALID_EVALS_H
#define HONE_CLI_VALID_EVALS_H

#include "base/arena.h"
#include "train/progress.h"

struct valid_evals {
    const char *run_dir, *data;
    size_t n_rows; /* of the validation file; 0: none */
    double best;   /* the highest validation reward so far; on resume what the checkpoints say */
    size_t step;   /* whose answers are added up */
    double *sum, *mean; /* [n_rows] of the answers to each row */
    size_t *n_answers;  /* [n_rows] */
    bool base_unwritten;
};
void valid_evals_init(struct valid_evals *v, const char *run_dir, const char *data, size_t n_rows,
                      struct arena *a);
struct progress_sink valid_evals_sink(struct valid_evals *v);
#endif
