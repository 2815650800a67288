/*
 * answer_events.h - the tokens of one answer, as they come, become what its listener is told: text, thinking, calls of tools,
 * log-probabilities.
 *
 * What may still turn out to be the beginning of a stop text waits, and so does what chat_feed.h holds back. All deltas,
 * joined, are the answer.
 */
#ifndef HONE_SERVER_ANSWER_EVENTS_H
#define HONE_SERVER_ANSWER_EVENTS_H

#include "sample/engine.h"
#include "server/chat_feed.h"

struct answer_events_options {
    const struct chat_request *chat; /* NULL: all is text, as in completions */
    const struct prompter *prompter; /* of a chat, as id */
    const char *id;                  /* "chatcmpl-..." */
    const struct model_config *config;
    const struct tokenizer *tokenizer;
    const struct str *stop; /* [n_stop] */
    size_t n_stop;
    bool logprobs, deltas; /* what is wanted */
};

struct answer_events {
    const struct answer_events_options *opt; /* outlives it */
    size_t choice;
    struct chat_feed feed; /* of a chat whose deltas are wanted */
    json_t *fed;           /* its delta, until it is told */

    /* of completions, and of a chat whose log-probabilities are wanted */
    struct held_token *held; /* [n_held] they may be part of a stop text */
    size_t n_held, cap_held;
    size_t n_bytes;          /* of the answer that are out */
    struct chat_stream chat; /* of a chat: what is thinking, which has no entries */
    struct utf8_stream utf8;
    struct buf text; /* since the last delta; of a chat only read by the way */
    struct buf all;  /* the whole text of a completion */

    json_t *undecided;      /* entries of tokens that may be thinking */
    json_t *news, *entries; /* entries since the last delta; all of them */
    size_t n_told;          /* characters that deltas have told */
    double logp_sum;
    size_t n_tokens;
    bool ended;
};
void answer_events_init(struct answer_events *x, const struct answer_events_options *opt,
                        size_t choice);
void answer_events_release(struct answer_events *x); /* all zeros is fine */

void answer_events_token(struct answer_events *x, const struct token_told *t);
/* stop_bytes: of the sample. */
void answer_events_end(struct answer_events *x, size_t stop_bytes);
/* Of completions: a text, and its entries (taken; may be NULL), that come before the answer: the prompt that is echoed. */
void answer_events_echo(struct answer_events *x, struct str text, json_t *entries);
/* What is new since the last call, as a delta event; NULL: nothing. */
json_t *answer_events_delta(struct answer_events *x);
/* {"content":[...], "refusal":null}, or null where none are wanted. */
json_t *answer_events_logprobs(const struct answer_events *x);

/* As a number with the digits that a float has. */
json_t *json_float(float x);
/* {"token", "logprob", "bytes", "top_logprobs"}; logp NULL: it is not known, which is null. */
json_t *token_entry(const struct tokenizer *t, token_id id, const float *logp, size_t n_top,
                    const token_id *top_ids, const float *top_logps);
#endif
