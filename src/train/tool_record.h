/*
 * tool_record.h - what tools said in a run, a line a call: so that a run that goes on asks nobody again.
 *
 *     {"step":3,"use":"train","item":7,"again":0,"sample":2,"turn":0,"call":0,"name":"search","arguments":"{..}",
 *      "end":"said","output":"..","seconds":0.2}
 *
 * A line is written before the model is told of it. A run that is resumed draws the same tokens, so it makes the same calls,
 * and finds what was said the first time: its adapter is that of the unbroken run, whatever the tool would say now.
 */
#ifndef HONE_TRAIN_TOOL_RECORD_H
#define HONE_TRAIN_TOOL_RECORD_H

#include "train/tool_servers.h"

/* Which call it is. */
enum tool_use { TOOL_TRAIN, TOOL_VALID, TOOL_LIKELIEST, N_TOOL_USES };
const char *tool_use_name(enum tool_use u); /* "train", "valid", "likeliest" */
struct tool_key {
    enum tool_use use;
    size_t step, item, sample, turn, call;
    size_t again; /* the item was asked so often before in this step */
};

#define TOOL_RECORD_FILE "tool_calls.jsonl" /* in a run's folder */

struct tool_record;
/*
 * path: made where it is missing. Lines of steps from `from` on are read. fresh: what is there is forgotten. A last line that is not
 * whole, after a kill, is taken away; any other that is no such line is ERR_CORRUPT.
 */
MUST_CHECK bool tool_record_open(const char *path, bool fresh, size_t from,
                                 struct tool_record **out, struct error *err);
/* The same of a run that is done: nothing is written. A missing file is an empty one. */
MUST_CHECK bool tool_record_open_done(const char *path, struct tool_record **out,
                                      struct error *err);
void tool_record_close(struct tool_record *r); /* NULL is fine */
bool tool_record_is_done(const struct tool_record *r);
/* Fills what came of a call with this name and these arguments, in its arena; false where there is no such line. */
bool tool_record_find(const struct tool_record *r, const struct tool_key *k, struct tool_ask *ask);
/*
 * A step begins; tool_record_undo_step takes away what was written of it: the run ends because of what its tools did, and who
 * mends them wants them asked again.
 */
void tool_record_begin_step(struct tool_record *r);
MUST_CHECK bool tool_record_undo_step(struct tool_record *r, struct error *err);
MUST_CHECK bool tool_record_put(struct tool_record *r, const struct tool_key *k,
                                const struct tool_ask *ask, struct error *err);
#endif
