/*
 * line_file.h - a file of lines that only grows, where a line is there whole or not at all.
 *
 * A process may be killed in the middle of a write, and a disk may fill up: what is left of a line after its last line
 * break is cut off when the file is opened again, and at once when the write fails. Readers stop at the last line break.
 * One thread at a time.
 */
#ifndef HONE_JOB_LINE_FILE_H
#define HONE_JOB_LINE_FILE_H

#include "base/error.h"
#include "base/str.h"

#include <limits.h>
#include <stdint.h>

/* All zeros is a file that was never opened. */
struct line_file {
    char path[PATH_MAX];
    int fd_plus_1;
    bool named;   /* the folder that it stands in knows of it, on the disk */
    uint64_t len; /* bytes of whole lines */
};

/* Opens for appending, made when missing; fresh empties it first. */
MUST_CHECK bool line_file_open(struct line_file *f, const char *path, bool fresh,
                               struct error *err);
bool line_file_is_open(const struct line_file *f);
/* line ends in its only line break. A failure leaves the lines before it as they were, and a later try may succeed. */
MUST_CHECK bool line_file_put(struct line_file *f, struct str line, struct error *err);
/* Forgets everything from byte len on: the start of a line. */
MUST_CHECK bool line_file_cut(struct line_file *f, uint64_t len, struct error *err);
MUST_CHECK bool line_file_sync(struct line_file *f,
                               struct error *err); /* on the disk when it returns */
void line_file_close(struct line_file *f);         /* all zeros is fine */

/*
 * Calls fn for each whole line of a file, line break taken away; offset is the line's first byte. fn returns false to
 * stop, which is no failure. What stands after the last line break is not a line. A missing file is ERR_NOT_FOUND.
 */
typedef bool line_fn(void *ctx, struct str line, size_t offset);
MUST_CHECK bool lines_each(const char *path, line_fn *fn, void *ctx, struct error *err);
#endif
