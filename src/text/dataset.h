/*
 * dataset.h - a JSONL file becomes rows: messages for the model, the whole row for the grader.
 *
 * Every row is checked before any compute is spent; a bad one is reported as "train.jsonl, line 14: ...".
 */
#ifndef HONE_TEXT_DATASET_H
#define HONE_TEXT_DATASET_H

#include "text/json.h"

struct dataset_row {
    json_t *item;           /* the whole object, as graders see it */
    const json_t *messages; /* item.messages: a non-empty list, the last from the user */
    const json_t *tools;    /* item.tools, or NULL */
    size_t line;            /* 1 for the first */
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
void dataset_close(struct dataset *d); /* all zeros is fine */

/*
 * Any JSONL file line by line: fn returns false (with err) to stop. what is "path, line N", line is N: 1 for the first,
 * blank ones counted. value is lent: json_incref keeps it. The file is mapped, and read once.
 */
typedef bool dataset_line_fn(void *ctx, json_t *value, const char *what, size_t line,
                             struct error *err);
MUST_CHECK bool jsonl_each(const char *path, dataset_line_fn *fn, void *ctx, struct error *err);
#endif
