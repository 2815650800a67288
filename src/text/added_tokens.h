/*
 * added_tokens.h - finds the tokens that are cut out of a text before anything else is done with it.
 *
 * Of the tokens that begin at the first place where any does, the longest is taken, as `tokenizers` does; then the
 * flags decide how much white space goes with it, or that it is none after all.
 */
#ifndef HONE_TEXT_ADDED_TOKENS_H
#define HONE_TEXT_ADDED_TOKENS_H

#include "text/tokenizer_internal.h"

struct trie_node {
    uint32_t child, sibling; /* 0: none */
    int32_t token;           /* place in the list of tokens, or -1 */
    unsigned char byte;
};

struct added_cutter { /* read-only once built; all zeros finds nothing */
    const struct added_token *tokens;
    struct trie_node *nodes;
    size_t n_nodes;
    uint32_t first[256]; /* the node of a first byte, or 0 */
};

/* tokens (in the arena, like all else) lives as long as the cutter. The first of equal texts wins. */
MUST_CHECK bool added_cutter_build(struct added_cutter *c, const struct added_token *tokens,
                                   size_t n, struct arena *a, struct error *err);

/*
 * The next part of text from *at on, which it moves: the text of a token (with its white space), and *id is set, or
 * what lies before the next token, and *id is -1. False at the end.
 */
struct cutter_place {
    const struct plain_span
        *plain; /* [n_plain] where no token is taken, in order; plain_at: the next */
    size_t n_plain, plain_at;
    bool no_special; /* nor is any special one */
    size_t at;       /* where looking goes on */
    size_t emitted;  /* text[0..emitted) has been given out */
    bool has_next;   /* a token was found behind a stretch of text: it comes next */
    size_t next_from, next_to;
    token_id next_id;
    size_t white_from, white_to; /* white space seen last */
};
bool added_cutter_next(const struct added_cutter *c, struct str text, struct cutter_place *place,
                       struct str *part, token_id *id);
#endif
