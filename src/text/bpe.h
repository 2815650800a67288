/*
 * bpe.h - the bytes of one piece of text become tokens, by merging neighbours in the order of their rank.
 *
 * Byte-pair encoding as in Sennrich et al., arXiv:1508.07909, on bytes as in GPT-2: each byte is a token; while any two
 * neighbours have a merge, the merge of the lowest rank happens, the leftmost first.
 */
#ifndef HONE_TEXT_BPE_H
#define HONE_TEXT_BPE_H

#include "text/tokenizer.h"

struct bpe_merge { /* its place in the list is its rank */
    token_id left, right, made;
};

struct bpe_slot { /* made < 0: empty */
    token_id left, right, made;
    uint32_t rank;
};

struct bpe {
    token_id of_byte[256]; /* -1: the vocabulary has no token for the byte */
    token_id
        unknown; /* stands for such a byte; -1: the byte goes without a trace, as in the reference */
    bool fuse_unknown; /* one unknown for a run of such bytes */
    struct bpe_slot
        *slots; /* open addressing over (left, right); a power of two, at most half full */
    size_t mask;
};

/*
 * Builds the table in the arena; of_byte, unknown and fuse_unknown are the caller's to set. A pair given twice has
 * its last rank.
 */
MUST_CHECK bool bpe_build(struct bpe *b, const struct bpe_merge *merges, size_t n, struct arena *a,
                          struct error *err);

struct
    bpe_scratch { /* working memory for long pieces, kept between calls; all zeros is fine; one thread at a time */
    void *symbols;
    uint64_t *heap;
    size_t n_symbols;
};
void bpe_scratch_release(struct bpe_scratch *s);

/*
 * Appends the tokens of piece to out. n log n in the length of the piece. Fails with ERR_NO_MEMORY for a long piece;
 * out may then hold some of its tokens.
 */
MUST_CHECK bool bpe_encode(const struct bpe *b, struct str piece, struct bpe_scratch *s,
                           struct token_list *out, struct error *err);
#endif
