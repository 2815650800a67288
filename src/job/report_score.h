/*
 * report_score.h - what a model says of the answers that a report shows, kept in the run's folder as token_changes.jsonl.
 *
 *     answers that the report shows  ->  each token's log-probability under the base model, the best and the last checkpoint
 *
 * The figures are those of the API's /rollouts/{id}/logprobs: the same forward pass, at the temperature that the answers were drawn with
 * (sample/rescore.h). The file is no part of what a run is: neither its certificate nor a replay looks at it, and it may be deleted.
 */
#ifndef HONE_JOB_REPORT_SCORE_H
#define HONE_JOB_REPORT_SCORE_H

#include "base/error.h"

#include <stdatomic.h>
#include <stddef.h>

#define TOKEN_CHANGES_FILE "token_changes.jsonl"

struct model;
struct report_scorer {
    /* The run's base model, computing as the run did; asked for once, and only where something is missing. It stays the caller's. */
    bool (*model)(void *ctx, const struct model **out, struct error *err);
    void *ctx;
    double seconds;          /* about so long; what is left then is left for the next time */
    const atomic_bool *stop; /* or NULL: ends it as the time does */
};
/*
 * Computes what is missing and writes it down. Nothing where there is no checkpoint with an adapter. *n_left: answers that are shown
 * without. Fails with ERR_NOT_FOUND where run_dir holds no run, and as model does.
 */
MUST_CHECK bool report_score(const char *run_dir, const struct report_scorer *s, size_t *n_left,
                             struct error *err);
#endif
