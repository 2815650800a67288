/*
 * token_decoder.h - the bytes that a token stands for, from its spelling; and what is taken away at a text's ends.
 *
 * The decoders of Hugging Face `tokenizers` other than that of the byte-level alphabet, as far as each token can be decoded
 * by itself; what a text loses at its beginning or end is kept apart, so that a text can be decoded token by token.
 */
#ifndef HONE_TEXT_TOKEN_DECODER_H
#define HONE_TEXT_TOKEN_DECODER_H

#include "base/arena.h"
#include "base/buf.h"

#define TOKEN_DECODER_MAX_STEPS 8

struct token_decoder_step {
    enum {
        DECODE_REPLACE, /* from becomes to, within a token */
        DECODE_BYTES,   /* <0x41> becomes the byte */
        DECODE_METASPACE, /* from becomes a blank; in a text's first token nothing, where drops_first */
        DECODE_STRIP,     /* from is taken away at the ends, at most start and stop times */
    } kind;
    struct str from, to;
    size_t start, stop;
    bool drops_first;
};

struct token_decoder { /* all zeros: a token is its spelling; read-only once built */
    size_t n_steps;
    struct token_decoder_step steps[TOKEN_DECODER_MAX_STEPS]; /* on each token */
    struct token_decoder_step whole; /* DECODE_STRIP of the whole text; from.len 0: nothing */
};

/* ERR_LIMIT for too many steps. */
MUST_CHECK bool token_decoder_add(struct token_decoder *d, struct token_decoder_step step,
                                  struct error *err);

/* Appends the bytes of a token; first: the one that a text begins with. */
void token_decoder_put(const struct token_decoder *d, struct str token, bool first,
                       struct buf *out);

/* The byte of "<0x0A>", or -1. */
int token_byte(struct str token);

/* text without what DECODE_STRIP takes away. */
struct str token_decoder_strip(const struct token_decoder_step *step, struct str text);
#endif
