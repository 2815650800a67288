/*
 * run_warnings.h - what a run warned of, with the answers that show it.
 *
 *     events.jsonl  ->  warnings and errors, told once for each kind  ->  the sentence, and what stands behind "(1) step 7, item 3, ..."
 *
 * The ledger (train/ledger.h) writes its examples into the sentence, so that they reach whoever reads events; here they are taken
 * apart again. A sentence that is of another form has none.
 */
#ifndef HONE_JOB_RUN_WARNINGS_H
#define HONE_JOB_RUN_WARNINGS_H

#include "base/arena.h"

#include <stdint.h>

#define RUN_WARNING_EXAMPLES 3

struct run_example {
    size_t step, item, sample;
    struct str told; /* "reward 1.00, shadow 0.20" */
    struct str text; /* of the answer, made visible: \n and \" are two characters */
};
struct run_warning {
    struct str id, level, message; /* of the newest of its kind; message without its examples */
    int64_t created_at;            /* the newest one's */
    size_t first_step, last_step, n;
    struct run_example example[RUN_WARNING_EXAMPLES];
    size_t n_examples;
};
/* Newest first, in the arena. No file yet: none. */
MUST_CHECK bool run_warnings_read(const char *dir, struct arena *a, struct run_warning **out,
                                  size_t *n, struct error *err);
/* Takes the examples out of a message, which all are views of. */
void run_warning_split(struct str message, struct run_warning *out);
#endif
