/*
 * replay_internal.h - what the parts of the comparison share.
 */
#ifndef HONE_JOB_REPLAY_INTERNAL_H
#define HONE_JOB_REPLAY_INTERNAL_H

#include "base/file.h"
#include "job/replay.h"

/* Notes a difference; what was found first stands. Always false. */
bool replay_differs(struct replay *r, size_t step, const char *what, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

static inline bool replay_same_bytes(const struct file_map *a, const struct file_map *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->ptr, b->ptr, a->len) == 0);
}

/*
 * Compares the answers of a step, or of its validation. now: the line of the step in the new certificate, or NULL. Fails where a file
 * cannot be read; what differs is in r.
 */
MUST_CHECK bool replay_answers(struct replay *r, size_t step, bool valid, const json_t *now,
                               struct error *err);
#endif
