/*
 * shares_internal.h - the rows of a pass divided among threads, each of which takes its own through all layers.
 *
 * A pass over a few dozen rows is some hundreds of short operations. Where each of them is divided by outputs, every operation
 * reads what another core has just written, and all wait for the slowest: two cores lost a quarter to that. Rows that do not see
 * each other need no other's results, so they may go from the embedding to the last norm on one core. The price: every thread reads
 * and unpacks all weights, so a share has rows enough to be worth it, and a pass of few rows, or of one long text, is divided
 * operation by operation as before. A row's bits are the same either way.
 */
#ifndef HONE_MODEL_SHARES_INTERNAL_H
#define HONE_MODEL_SHARES_INTERNAL_H

#include "base/arena.h"
#include "model/forward.h"

#define SHARE_LEAST 12 /* rows: with fewer the weights are read too often */
#define SHARE_MOST                                                                                 \
    64 /* with more an operation is long, and its activations do not fit a core's cache */

struct share {
    size_t row; /* of the batch, the first */
    struct batch b;
    const struct adapted *runs; /* [n_runs] */
    size_t n_runs;
};

/*
 * One share a thread, in the batch's order; or one of everything, which all threads divide: where rows of a span see those of another,
 * where there are too few or too many, where the longest share would take much longer than the mean. pos [b->m]: the rows' positions.
 */
struct share *shares_of(const struct model *m, const struct batch *b, const struct adapted *runs,
                        size_t n_runs, const uint32_t *pos, struct arena *a, size_t *n);

/* Rows for which there is room beside that of a pass of so many: of all shares but the first. */
size_t shares_other_rows(size_t rows);
#endif
