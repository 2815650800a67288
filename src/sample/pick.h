/*
 * pick.h - one row of logits and one uniform number become a token.
 *
 * Without filters a token is drawn by inverting the cumulative distribution in the order of the vocabulary: no sort.
 * Its log-probability is that of softmax(logits / temperature), the very number that training differentiates: before top_p
 * and the like, and before penalties. Biases are another matter: they are added to the logits before all else, and
 * log-probabilities, entropy and the likeliest tokens are those of the biased row, as in OpenAI's interface. A bias is no way of
 * drawing but part of what is asked for: a token that is ruled out should be as unlikely as it is in the answers.
 */
#ifndef HONE_SAMPLE_PICK_H
#define HONE_SAMPLE_PICK_H

#include "tensor/ops.h"
#include "text/tokenizer.h"

struct token_bias {
    token_id id;
    float bias; /* PICK_BAN or less: never */
};
#define PICK_BAN (-100.0f)
#define PICK_MAX_TOP 20

struct pick_options {
    float
        temperature; /* > 0; 0 takes the likeliest (the first of equals), with log-probabilities at 1 */
    float top_p;     /* 1: off */
    size_t top_k;            /* 0: off */
    float min_p;             /* 0: off; drops what is less likely than min_p times the likeliest */
    float frequency_penalty; /* subtracted from a logit for each time its token was produced */
    float presence_penalty;  /* subtracted once when it was */
    float
        repetition_penalty; /* 1: off; divides positive logits and multiplies negative ones (arXiv:1909.05858) */
    const struct token_bias *bias; /* [n_bias] added to logits; a token once at most */
    size_t n_bias;
};
struct pick_options pick_defaults(void); /* temperature 1, everything else off */
/* Nothing but temperature and bias. */
bool pick_is_plain(const struct pick_options *o);
/*
 * Adds the biases to logits [v]; ids that are not in [0, v) are passed over. A ban is a logit so low that the token's
 * probability is 0, at any temperature, but above what a constraint rules out: where it allows nothing else, it goes first.
 */
void pick_bias(const struct pick_options *o, float *logits, size_t v);
static inline float pick_inv_t(const struct pick_options *o)
{
    return o->temperature > 0 ? 1.0f / o->temperature : 1.0f;
}

struct picker { /* scratch for one thread; all zeros to begin with */
    struct arena arena;
    size_t v;
    float *block_sums, *work;
    uint32_t *order;
};
void picker_release(struct picker *p);

struct picked_row { /* a row of logits made ready: as many draws as wanted */
    const float *logits;
    size_t v;
    float inv_t;
    struct softmax_row softmax;
    const float *block_sums;
    float entropy; /* nats */
};
/* entropy costs one more pass; wanted or not */
struct picked_row pick_row(struct picker *p, const float *logits, size_t v, float inv_t,
                           bool want_entropy);
token_id pick_plain(const struct picked_row *r, float u);
token_id pick_greedy(const float *logits, size_t v);
/* With filters and penalties; history are the tokens produced so far. logits is not changed. */
token_id pick_filtered(struct picker *p, const struct pick_options *o, const float *logits,
                       size_t v, const token_id *history, size_t n_history, float u);
float pick_logp(const struct picked_row *r, token_id id);
/*
 * The n likeliest tokens of the row, likelier first, the smaller id among equals, with their log-probabilities: into ids and
 * logps [n]. n at most PICK_MAX_TOP. Returns how many there are: less than n where fewer were not ruled out.
 */
size_t pick_top(const struct picked_row *r, size_t n, token_id *ids, float *logps);
#endif
