/*
 * eval_stored.h - stored completions and responses as rows of an eval.
 *
 *     item    {"id","model","created_at","metadata","input":[messages],"output":"text"}      sample   {"output_text","output_tools"}
 */
#ifndef HONE_SERVER_EVAL_STORED_H
#define HONE_SERVER_EVAL_STORED_H

#include "store/documents.h"
#include "text/json.h"

/*
 * The ids of what a source of the type stored_completions or responses selects, oldest first: by model, metadata, created_after and
 * created_before (inclusive), limit; of responses also instructions_search, reasoning_effort, temperature, top_p, users, tools. A new list.
 */
MUST_CHECK bool eval_stored_pick(struct store *s, const char *project_id, const json_t *source,
                                 size_t most, json_t **out, struct error *err);
/* {"item","sample"}, a new tree. ERR_NOT_FOUND: it was deleted. */
MUST_CHECK bool eval_stored_row(struct store *s, const char *project_id, bool response,
                                struct str id, json_t **out, struct error *err);
#endif
