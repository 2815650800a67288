/*
 * eval_source.h - the "data_source" of a run of an eval: its rows, and what a model is asked of each.
 *
 *     {"type":"jsonl","source"}                                            rows bring their samples along
 *     {"type":"completions"|"responses","source","model","input_messages","sampling_params"}    a model is asked
 *
 *     source   file_content, file_id                {"item":{...},"sample":{...}?} each
 *              stored_completions, responses        what this project has stored: item.input are the messages, item.output the answer;
 *                                                   without a model the stored answer is the sample
 *
 * The seed of a row follows from the run's, so that a run that is begun again asks the same.
 */
#ifndef HONE_SERVER_EVAL_SOURCE_H
#define HONE_SERVER_EVAL_SOURCE_H

#include "server/api.h"

#define EVAL_MAX_ROWS 50000
#define EVAL_MAX_BYTES ((size_t)256 << 20) /* of memory, for all rows of a run together */

struct eval_row {
    json_t *item;   /* an object */
    json_t *sample; /* what the row brings along, or NULL */
};
struct eval_source {
    bool asks, responses;
    struct engine_model model; /* where asks */
    const json_t *params;      /* "sampling_params" or NULL */
    const json_t *messages;    /* "input_messages" or NULL: item.input */
    int64_t seed;
    struct eval_row *rows; /* [n_rows] */
    size_t n_rows;
    json_t *picked; /* ids of what was stored, or NULL */
};
/*
 * Checks all there is to check and reads the rows. schema: the eval's item_schema, or NULL. picked: ids that an earlier call gave, so that the
 * rows are the same again; NULL: they are looked for now. Texts in the arena; views of data_source. ERR_INVALID and the path of the field.
 */
MUST_CHECK bool eval_source_open(struct api *api, const char *project_id, const json_t *data_source,
                                 const json_t *schema, const json_t *picked, struct arena *a,
                                 struct eval_source *out, struct error *err);
void eval_source_release(struct eval_source *s); /* all zeros is fine */

int64_t eval_seed(int64_t run_seed, size_t row);
/* The chat-completions request of a row, a new tree; fails naming what the row lacks. Any thread. */
MUST_CHECK bool eval_source_chat(const struct eval_source *s, size_t row, struct arena *a,
                                 json_t **out, struct error *err);
#endif
