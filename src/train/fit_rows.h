/*
 * fit_rows.h - rows of a file that say what to answer become the tokens that are learned.
 *
 *     supervised   a group a row: an answer for each message of the assistant that is learned, beginnings shared
 *     dpo          a group a row: the better answer and the worse one to the same prompt
 *
 * A row that does not fit the model's positions is refused and not cut: its end would be missing, and an answer without its
 * end teaches the model not to stop.
 */
#ifndef HONE_TRAIN_FIT_ROWS_H
#define HONE_TRAIN_FIT_ROWS_H

#include "sample/prompt.h"
#include "text/dataset.h"
#include "train/progress.h"
#include "train/tree.h"

struct fit_rows {
    size_t n;
    struct tree_group *groups; /* [n] coefficients are 1 */
    size_t *n_learned;         /* [n] tokens that are learned, of all answers of a row */
    size_t *first_answer;      /* [n + 1] of each row, among all rows' answers */
    size_t total_learned, total_tokens,
        longest; /* tokens of the rows; of the longest answer with its prompt */
    size_t longest_line;
    char sha256[65]; /* of all tokens and which of them are learned */
};

enum dataset_format fit_format(enum train_method method);
/* Everything in the arena. max_positions: the model's. Fails with the first row that cannot be learned, naming it. */
MUST_CHECK bool fit_rows_make(const struct prompter *p, const struct dataset *d,
                              enum train_method method, size_t max_positions, struct arena *a,
                              struct fit_rows *out, struct error *err);
/* The same, for what it fails with alone. */
MUST_CHECK bool fit_rows_check(const struct prompter *p, const struct dataset *d,
                               enum train_method method, size_t max_positions, struct error *err);
#endif
