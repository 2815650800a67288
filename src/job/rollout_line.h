/*
 * rollout_line.h - one graded answer becomes one line of JSON (its form: run_folder.h).
 */
#ifndef HONE_JOB_ROLLOUT_LINE_H
#define HONE_JOB_ROLLOUT_LINE_H

#include "job/metrics.h"

/* The bytes that a token stands for, which may be part of a character; they live until the next call. */
struct rollout_tokens {
    struct str (*text)(void *ctx, int32_t id); /* NULL: no pieces are written */
    void *ctx;
};

/* How many samples a line stands for. */
size_t rollout_line_samples(const json_t *line);
/*
 * Makes out the line, line break included: of r and of those alike. Where it would be longer than out may get, or have more values
 * than are read (LIMIT_JSON_VALUES), it is cut, and says so (run_folder.h).
 */
void rollout_line(struct buf *out, const struct rollout *r, const struct metrics_graders *graders,
                  const struct rollout_tokens *tokens);
#endif
