/*
 * rollout_json.h - a line of a run's answers (job/run_folder.h) as the API tells it.
 */
#ifndef HONE_SERVER_ROLLOUT_JSON_H
#define HONE_SERVER_ROLLOUT_JSON_H

#include "job/rollout_index.h"
#include "text/json.h"

#define ROLLOUT_TEXT_BYTES ((size_t)8 << 10) /* of a text in a list */

struct rollout_shown {
    const char *id;
    bool valid;
    struct str line;
    struct str prompt_line; /* where prompt and reference of its group stand; or ptr NULL */
    bool whole;             /* with its tokens, and its texts to their end */
};
/* {"object":"fine_tuning.job.rollout","id",...}: a new tree. What is no JSON in the line is null. */
json_t *rollout_json(const struct rollout_shown *s);
/* A text of a line, cut for a list; *cut is set where it was. */
json_t *rollout_text_json(struct str value, size_t most, bool *cut);
#endif
