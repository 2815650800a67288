/*
 * dataset.h - a JSONL file becomes rows: messages for the model, and what is graded or learned of them.
 *
 * Every row is checked before any compute is spent; a bad one is reported as "train.jsonl, line 14: ...".
 */
#ifndef HONE_TEXT_DATASET_H
#define HONE_TEXT_DATASET_H

#include "text/json.h"

enum dataset_format {
    DATASET_PROMPTS,    /* what the model answers: method reinforcement, and evaluations */
    DATASET_SUPERVISED, /* conversations whose assistant's messages are learned: method supervised */
    DATASET_PREFERENCE, /* a prompt with a better and a worse answer: method dpo */
};

struct dataset_row {
    json_t *item;           /* the whole object, as graders see it */
    const json_t *messages; /* a non-empty list; NULL in a row of prompt and completion */
    const json_t *tools;    /* a list, or NULL */
    size_t line;            /* 1 for the first */
    const json_t *prompt, *completion;  /* supervised, without messages: strings */
    const json_t *preferred, *rejected; /* preference: the assistant's messages */
};

struct dataset {
    char *path;
    size_t n_rows;
    struct dataset_row *rows;
    size_t size_bytes;
};

/*
 * Reads and checks every row: an object whose messages are objects with a role (system, developer, user, assistant,
 * tool) and content, a string or a list of text parts; of an assistant's message that calls tools the content may be
 * missing. Blank lines are skipped; a UTF-8 byte order mark is tolerated. Fails with ERR_INVALID for the first bad
 * row or where there is no row at all, ERR_UNSUPPORTED for parts other than text, ERR_LIMIT for a file, a line or
 * rows past base/limits.h.
 */
MUST_CHECK bool dataset_open(const char *path, struct dataset *out, struct error *err);
/*
 * The same for any format:
 *
 *     DATASET_PROMPTS     {"messages": [..., {"role": "user", ...}], "tools"?, ...}
 *     DATASET_SUPERVISED  {"messages": [..., {"role": "assistant", ...}], "tools"?, "parallel_tool_calls"?, "functions"?}
 *                         or {"prompt": "...", "completion": "..."}
 *     DATASET_PREFERENCE  {"input": {"messages": [...], "tools"?, "parallel_tool_calls"?},
 *                         "preferred_output": [{assistant}], "non_preferred_output": [{assistant}]}: text alone
 *
 * Supervised: an assistant's message may have "weight" 0, not learned, or 1; at least one is learned. Of what is
 * deprecated the present form is made: functions become tools, a function_call becomes tool_calls, the role function tool.
 * The arguments of tool calls, a string of JSON in the file, become the object that chat templates want. A row of another
 * format fails saying which method takes it.
 */
MUST_CHECK bool dataset_open_as(const char *path, enum dataset_format format, struct dataset *out,
                                struct error *err);
/* Whether one row would be taken; fails as dataset_open_as does. */
MUST_CHECK bool dataset_takes(const json_t *item, enum dataset_format format, const char *what,
                              struct error *err);
void dataset_close(struct dataset *d); /* all zeros is fine */

const char *dataset_method(enum dataset_format format); /* "reinforcement", "supervised", "dpo" */

/*
 * Shows fn every line that is not blank, good or bad, without keeping any: row as it would be trained on (row->item is lent and in
 * the present form), or NULL and in why what dataset_open_as would fail with, were it the first bad line. fn returns false to
 * end it. name stands in messages for path. Fails where the file as a whole cannot be read. A limit of rows is not looked at.
 */
struct dataset_line {
    struct str text; /* as it stands, without its end; any bytes */
    size_t line;
    const struct dataset_row *row;
    const struct error *why;
};
typedef bool dataset_look_fn(void *ctx, const struct dataset_line *line);
MUST_CHECK bool dataset_look(const char *path, const char *name, enum dataset_format format,
                             dataset_look_fn *fn, void *ctx, struct error *err);
/* Whose format the first line has, by its keys; DATASET_PROMPTS where it does not tell. */
enum dataset_format dataset_guess(const char *path);

/*
 * Any JSONL file line by line: fn returns false (with err) to stop. what is "path, line N", line is N: 1 for the first,
 * blank ones counted. value is lent: json_incref keeps it. The file is mapped, and read once.
 */
typedef bool dataset_line_fn(void *ctx, json_t *value, const char *what, size_t line,
                             struct error *err);
MUST_CHECK bool jsonl_each(const char *path, dataset_line_fn *fn, void *ctx, struct error *err);
#endif
