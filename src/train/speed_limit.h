/*
 * speed_limit.h - the least time that what speed.h measured could take on a machine: its roofline.
 *
 *     prefill  a pass over all prompts' rows, with the logits of their last ones
 *     sample   a pass for each token but the first: a row of every answer, with its logits
 *     train    forward, logits and backward of every row, in one pass each (model/work.h)
 *     step     prefill, sample, and of train what sampling has not computed: logits and backward. What a step does beside that
 *              (computing some rows a second time to compare, the update, the guard) counts as nothing.
 *
 * Of each pass the longer of multiplying and reading. Where answers begin alike their common rows are counted once, as they
 * are computed.
 */
#ifndef HONE_TRAIN_SPEED_LIMIT_H
#define HONE_TRAIN_SPEED_LIMIT_H

#include "model/work.h"
#include "train/speed.h"

struct speed_limit {
    double seconds;
    struct work work; /* of all passes */
    bool reads;       /* reading takes longer than multiplying, all passes together */
};

/* t: of k, as it was measured. rank: of the adapter that prefill and sample work with, 0 for none; the others' is SPEED_RANK. */
struct speed_limit speed_limit_of(const struct model *m, enum speed_part part,
                                  const struct speed_case *k, size_t rank,
                                  const struct speed_time *t, const struct roof *roof);
/* Bytes of weights that a pass reads: what the roof's buffer should have. */
size_t speed_limit_buffer(const struct model *m);
#endif
