/*
 * draft.h - what an answer will go on with, guessed from texts like it; and which guesses are worth a row.
 *
 * A row's bits depend neither on the rows beside it nor on whether it was read or sampled, and the random number of a token is a
 * function of its place. So a guessed token may be computed before it is drawn: the draw at its place then draws it or
 * does not, with the very bits that it would have had. Where it does, its row is there already; where it does not, the row
 * is dropped. (Speculative decoding, arXiv:2211.17192, with drafts that cost nothing, as in arXiv:2304.04487; no
 * rejection sampling is needed, since nothing about the draw changes.) What is drafted changes time alone.
 *
 *     text -> guesses (draft_index)  ->  how likely each is taken (draft_odds)  ->  how many rows pay (draft_choose, pace)
 */
#ifndef HONE_SAMPLE_DRAFT_H
#define HONE_SAMPLE_DRAFT_H

#include "base/arena.h"
#include "sample/history.h"

#define DRAFT_MOST 32 /* tokens behind an answer at once */

/* What is known of a guess; by it, how often such guesses were right is counted. */
enum {
    DRAFT_CLASSES =
        10, /* what the answer begins with too; or text, group, prompt by how much agrees before it */
    DRAFT_LIKELY = 5, /* not known, and four ranges of how likely the token was there */
    DRAFT_WRITTEN = DRAFT_CLASSES * DRAFT_LIKELY, /* not drawn but written: it is right */
    DRAFT_KINDS
};

struct drafted {
    token_id id;
    uint8_t kind;
};

uint64_t draft_hash(const token_id *tokens, size_t n);

/* ---- guesses ---- */

/* The texts that the answers to one request may go on as: those given, its prompt, and its own answers as they grow. */
struct draft_index;
struct draft_own { /* an answer of the request: it grows */
    const token_id *tokens;
    const float *logprobs;
    const size_t *n;
};
/* All arrays stay the caller's and outlive the index. NULL for want of memory: then there are no guesses. */
struct draft_index *draft_index_open(const token_id *prompt, size_t n_prompt,
                                     const struct draft_text *texts, size_t n_texts,
                                     const struct draft_own *own, size_t n_own);
void draft_index_close(struct draft_index *x);
/* Answer i has a new last token. Of answers that are equal so far, one is enough. */
void draft_index_grown(struct draft_index *x, size_t i);
/* Guesses for what follows answer i, which has a token at least: into out [most]. Says how many. */
size_t draft_guess(const struct draft_index *x, size_t i, size_t most, struct drafted *out);

/* ---- which of them pay ---- */

/* How often guesses of each kind were right; old ones count less and less. [1]: where several answers may take it. */
struct draft_odds {
    float tried[2][DRAFT_KINDS], right[2][DRAFT_KINDS];
};
float draft_odds_of(const struct draft_odds *o, bool several, size_t kind);
void draft_odds_add(struct draft_odds *o, bool several, size_t kind, bool right);
void draft_odds_age(struct draft_odds *o); /* a pass later */

/*
 * What a pass costs: as much as its m rows and some rows more, the time in which weights are read whatever they meet. How many,
 * is learned from passes that follow each other, so that a machine's other work, which changes slowly, cancels out.
 */
struct pace {
    double log_more; /* logarithm of those rows */
    size_t last_rows;
    double last_seconds; /* of the pass before; 0: there is none to compare with */
};
void pace_begin(struct pace *p);
void pace_add(struct pace *p, size_t m, double seconds);
void pace_break(struct pace *p);                /* something else was done since the last pass */
double pace_of(const struct pace *p, size_t m); /* in rows */

struct draft_offer { /* a node's guesses */
    const struct drafted *guesses;
    size_t n; /* in: guesses; out: those that are worth a row, from the first on */
    bool several;
    float worth; /* what a token sooner saves, in passes: 1 where there is no other node */
};
/*
 * The same for each of m nodes of a run without more to come, where left tokens at most remain and an answer ends with a token
 * in `ends` of cases: a pass is saved only if this node is the last. Where most go on until their limit, they end together,
 * and to have one of them sooner is worth nothing.
 */
float draft_worth_of_last(size_t m, size_t left, double ends);
/*
 * At most `most` guesses are taken, those by which all costs least: what a pass costs beside its rows and the rows of wrong
 * guesses, over the passes that it is worth. A right guess's row would have been computed anyway.
 */
void draft_choose(const struct draft_odds *o, const struct pace *p, size_t most,
                  struct draft_offer *offers, size_t n_offers, struct arena *a);
#endif
