/*
 * lines.h - JSON lines in, one line of JSON out for each, in order: what --json means for a command that answers.
 *
 * A line that cannot be answered gives {"error":{"message","type","param","code"}} in its place, and the next ones go on.
 * An answer is passed on before the next line is waited for, so a program may talk to a command through two pipes.
 */
#ifndef HONE_CLI_LINES_H
#define HONE_CLI_LINES_H

#include "cli/command.h"
#include "text/json.h"

/* The lines of a file or of standard input. All zeros was never opened. */
struct line_reader {
    const char *name; /* "standard input", or the path */
    int fd_plus_1;
    struct buf held; /* read and not yet given out */
    size_t at;       /* where in it the next line begins */
    size_t number;   /* of the line given last, 1 for the first */
    bool ended;
    const atomic_bool *stop;
};
MUST_CHECK bool line_reader_open(struct line_reader *r, const char *path, const atomic_bool *stop,
                                 struct error *err); /* NULL: standard input */
void line_reader_close(struct line_reader *r);
/*
 * *line lives until the next call; *more is false at the end. A line past LIMIT_LINE_BYTES is skipped over, and told by
 * *too_long. Fails with ERR_IO, or ERR_CANCELLED once the flag is set.
 */
MUST_CHECK bool line_reader_next(struct line_reader *r, struct str *line, bool *too_long,
                                 bool *more, struct error *err);

struct input_line {
    const json_t *value; /* an object */
    size_t number;       /* 1 for the first */
    const char *what;    /* "standard input, line 3", for errors */
};
/* Answers one line; *out is a new tree. a is emptied after each. */
typedef bool line_answer_fn(void *ctx, const struct input_line *in, struct arena *a, json_t **out,
                            struct error *err);
/* Reads --in or standard input to its end. Fails only where reading or writing does, or when asked to stop. */
MUST_CHECK bool lines_answer(struct cli *c, line_answer_fn *fn, void *ctx, struct error *err);

/* Everything of --in, or of standard input. */
MUST_CHECK bool read_input(struct cli *c, struct str *out, struct error *err);
#endif
