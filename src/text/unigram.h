/*
 * unigram.h - one piece of text becomes the tokens whose scores have the greatest sum.
 *
 * Each token has the logarithm of a probability; the best way through a piece is found from left to right (Kudo,
 * arXiv:1804.10959; Viterbi). Where no token is just the next character, the unknown token may stand for it, at a score below
 * all others. A run of unknowns is one, and becomes the tokens of its bytes where there are such (byte fallback). Sums are
 * formed in the reference's order, so that ties fall as there.
 */
#ifndef HONE_TEXT_UNIGRAM_H
#define HONE_TEXT_UNIGRAM_H

#include "text/text_table.h"

struct unigram_edge { /* of the tree of all tokens' bytes */
    uint64_t key;     /* node << 8 | byte; 0: empty (no edge leaves the root, see first) */
    uint32_t to;
    token_id token; /* that ends at to, or -1 */
};

struct unigram {                      /* read-only once built: any number of threads */
    const double *scores;             /* [n_tokens] */
    const struct text_table *by_name; /* token by its text; also some that are none of names */
    const struct str *names;
    token_id unknown;
    double unknown_score;
    token_id of_byte[256]; /* -1: none */
    bool fallback;
    uint32_t first[256];        /* node by a token's first byte; 0: no token begins so */
    token_id first_token[256];  /* token of one byte, or -1 */
    struct unigram_edge *edges; /* open addressing */
    size_t mask;
    const bool *added; /* [n_tokens] tokens that plain text is not read as */
};

/*
 * names[0..n) lives as long as u; one with a NULL pointer is no token. scores, by_name,
 * unknown, of_byte, fallback and added are the caller's to set. ERR_LIMIT where the names were made to fall into one place; ERR_NO_MEMORY.
 */
MUST_CHECK bool unigram_build(struct unigram *u, const struct str *names, size_t n, struct arena *a,
                              struct error *err);

struct
    unigram_scratch { /* working memory, kept between calls; all zeros is fine; one thread at a time */
    void *nodes;
    size_t n_nodes;
};
void unigram_scratch_release(struct unigram_scratch *s);

/*
 * Appends the tokens of piece (valid UTF-8). plain: added tokens are not among them. Time is linear in the piece, times the
 * longest token's length at worst. ERR_NO_MEMORY.
 */
MUST_CHECK bool unigram_encode(const struct unigram *u, struct str piece, bool plain,
                               struct unigram_scratch *s, struct token_list *out,
                               struct error *err);
#endif
