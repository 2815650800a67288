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
/* Appends the line, line break included: of r and of those alike. */
void rollout_line(struct buf *out, const struct rollout *r, const struct metrics_graders *graders,
                  const struct rollout_tokens *tokens);
#endif
