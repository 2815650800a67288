/*
 * eval_item.h - one row of a run: sampled, graded, written down as the API's output item.
 *
 * A row that cannot be sampled, or whose grader failed by its own fault, is "errored": its status is "fail", and sample.error or the result says why.
 */
#ifndef HONE_SERVER_EVAL_ITEM_H
#define HONE_SERVER_EVAL_ITEM_H

#include "grade/grader.h"
#include "server/eval_score.h"
#include "server/eval_source.h"

#define EVAL_ITEM_KIND "eval.run.output_item"

struct eval_work {
    struct api *api;
    const char *run_id, *eval_id;
    int64_t created_at; /* of the run: an item that is made again is the same */
    const struct eval_source *source;
    const json_t *criteria;
    struct grader *grader[EVAL_MAX_CRITERIA]; /* one for each criterion */
    const atomic_bool *stop;
};
char *eval_item_id(const char *run_id, size_t row, struct arena *a);
/*
 * {"item": the API's, "errored": bool, "usage": list}, a new tree. Any thread. ERR_CANCELLED: stop was set, or the server stops; everything else that goes
 * wrong with a row is in the item.
 */
MUST_CHECK bool eval_item_make(const struct eval_work *w, size_t row, json_t **out,
                               struct error *err);
/* The public part of a sample. */
json_t *eval_sample(const char *model, json_t *input, json_t *output, const char *finish_reason);
json_t *eval_error(const struct error *err); /* {"code","message"} */
#endif
