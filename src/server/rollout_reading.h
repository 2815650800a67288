/*
 * rollout_reading.h - calls that look at a run's answers: each has the run's index (job/rollout_index.h) while it reads.
 *
 * Of a run that nobody has looked at yet the first pages may be of its newest part, and say so ("complete").
 */
#ifndef HONE_SERVER_ROLLOUT_READING_H
#define HONE_SERVER_ROLLOUT_READING_H

#include "job/rollout_index.h"
#include "server/api.h"
#include "server/job_run.h"

/* A call that has the index of its run. */
struct rollout_reading {
    struct api_call *c;
    struct job_run run;
    struct rollout_index *ix;
    double until; /* clock_seconds() */
    bool whole;   /* all that there is has been read */
    struct buf line, prompt, scratch;
    struct rollout_ref prompt_ref; /* what prompt holds */
    bool has_prompt;
};

/* What a call does with the index. It answers nothing: the index is given back before. */
typedef bool rollout_reading_fn(struct rollout_reading *r, json_t **out, struct error *err);

/* Runs fn with the index of the run that the call names; where a line is another than the index says, all is read anew. */
MUST_CHECK bool rollout_reading_run(struct api_call *c, rollout_reading_fn *fn, json_t **out,
                                    struct error *err);
/* The same, and answers what fn made. */
MUST_CHECK bool rollout_reading_reply(struct api_call *c, rollout_reading_fn *fn,
                                      struct error *err);

/* The call's "wait_ms" has passed by r->until; "split": both stay as they are where it is not given. */
MUST_CHECK bool rollout_reading_split(struct api_call *c, bool *train, bool *valid,
                                      struct error *err);
/* The rollout that the call's second id names. */
MUST_CHECK bool rollout_reading_find(struct rollout_reading *r, struct rollout_ref *out,
                                     struct error *err);
/* The prompt's line of its group into r->prompt; one is read for all of them. Without one has_prompt is false. */
MUST_CHECK bool rollout_reading_prompt(struct rollout_reading *r, struct rollout_ref ref,
                                       struct error *err);
/* A rollout as the API shows it; its line stands in r->line. */
MUST_CHECK bool rollout_reading_json(struct rollout_reading *r, struct rollout_ref ref, bool whole,
                                     json_t **out, struct error *err);
/* How far the index is: "complete", "read_bytes", "total_bytes". */
void rollout_reading_progress(const struct rollout_reading *r, json_t *body);
#endif
