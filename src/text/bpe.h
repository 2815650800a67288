/*
 * bpe.h - the bytes or characters of one piece of text become tokens, by merging neighbours in the order of their rank.
 *
 * Byte-pair encoding as in Sennrich et al., arXiv:1508.07909: each byte (as in GPT-2) or each character (as in
 * SentencePiece) is a token; while any two neighbours have a merge, the merge of the lowest rank happens, the leftmost
 * first. A character without a token becomes the tokens of its bytes where there are such (byte fallback), or the unknown
 * one.
 */
#ifndef HONE_TEXT_BPE_H
#define HONE_TEXT_BPE_H

#include "text/tokenizer.h"

struct bpe_merge {
    token_id left, right, made;
    uint32_t rank; /* below UINT32_MAX; equal ones happen from the left */
};

struct bpe_slot { /* made < 0: empty */
    token_id left, right, made;
    uint32_t rank;
};

struct bpe_pair {
    uint32_t left, right;
};

#define BPE_PAGES (0x110000 / 256)

/* What a character is to a BPE of characters. */
struct bpe_characters {         /* read-only once built */
    token_id *pages[BPE_PAGES]; /* [256] each; NULL: none of these characters has a token */
    bool fallback; /* of_byte has what stands for the bytes of characters without a token */
    size_t n_tokens;
    const uint32_t
        *loose; /* the character of id n_tokens + i, which only longer tokens have; -> fallback */
    /* Which character may join which: the last of a merge's left and the first of its right token. */
    uint64_t ascii[128][2]; /* bit r of [l]: l and r may */
    uint64_t *pairs;        /* l << 32 | r beyond ASCII; open addressing; 0: empty */
    size_t mask;
};

struct bpe {
    const struct bpe_characters *characters; /* NULL: of bytes */
    token_id of_byte[256];                   /* -1: the vocabulary has no token for the byte */
    token_id
        unknown; /* stands for such a byte; -1: the byte goes without a trace, as in the reference */
    bool fuse_unknown; /* one unknown for a run of such bytes */
    struct bpe_slot
        *slots; /* open addressing over (left, right); a power of two, at most half full */
    size_t mask;
};

/*
 * Builds the table in the arena; all else is the caller's to set. A pair given twice has what is given last.
 */
MUST_CHECK bool bpe_build(struct bpe *b, const struct bpe_merge *merges, size_t n, struct arena *a,
                          struct error *err);

/* For characters: a token for one of them; and which pairs of them merges may join. */
MUST_CHECK bool bpe_characters_put(struct bpe_characters *c, uint32_t character, token_id id,
                                   struct arena *a, struct error *err);
MUST_CHECK bool bpe_characters_join(struct bpe_characters *c, const struct bpe_pair *pairs,
                                    size_t n, struct arena *a, struct error *err);

/*
 * Where the part of piece (valid UTF-8) from at on ends that no merge reaches out of: parts can be merged apart, and a text of
 * many words is one piece to SentencePiece.
 */
size_t bpe_part_end(const struct bpe_characters *c, struct str piece, size_t at);

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
