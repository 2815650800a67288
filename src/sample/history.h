/*
 * history.h - what was answered to a prompt before, so that answers to come can be drafted (sample/draft.h) and their
 * length expected.
 *
 * Nothing that is sampled depends on what is kept here, only how long it takes: a run that is resumed begins with none.
 */
#ifndef HONE_SAMPLE_HISTORY_H
#define HONE_SAMPLE_HISTORY_H

#include "text/tokenizer.h"

/* A text that answers may go on as; whoever gives it owns it. */
struct draft_text {
    const token_id *tokens; /* [n] */
    const float *logprobs;  /* [n] with which they were drawn; or NULL */
    size_t n;
};

#define HISTORY_TEXTS 32 /* of one prompt: the latest that differ */

struct history;
/* At most about max_bytes of texts; the prompts that were longest without one go first. */
struct history *history_open(size_t max_bytes);
void history_close(struct history *h);
size_t history_bytes(const struct history *h);
/* Copies an answer to the prompt. What history_find returned is invalid afterwards. */
void history_add(struct history *h, const token_id *prompt, size_t n_prompt,
                 const struct draft_text *answer);
/* What is known of the prompt, the latest first; *n: 0 where nothing is. */
const struct draft_text *history_find(const struct history *h, const token_id *prompt,
                                      size_t n_prompt, size_t *n);
#endif
