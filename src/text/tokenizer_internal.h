/*
 * tokenizer_internal.h - what a model file and a tokenizer.json are both turned into before a tokenizer is built of it.
 */
#ifndef HONE_TEXT_TOKENIZER_INTERNAL_H
#define HONE_TEXT_TOKENIZER_INTERNAL_H

#include "base/limits.h"
#include "text/bpe.h"
#include "text/json.h"
#include "text/normal_chain.h"
#include "text/pretokenizer.h"
#include "text/token_decoder.h"
#include "text/tokenizer.h"
#include "text/wordpiece.h"

#define LIMIT_MERGES                                                                               \
    ((size_t)8 << 20) /* lists converted from tiktoken have two to three merges a token */
#define LIMIT_TOKEN_BYTES ((size_t)64 << 10) /* one token's spelling */
#define LIMIT_ADDED_BYTES                                                                          \
    ((size_t)1                                                                                     \
     << 10) /* one added token's text: cutting may look at that many bytes at every place */
#define WORDPIECE_MAX_CHARS 100             /* of a word, where the file does not say */
#define LIMIT_TEXT_BYTES LIMIT_RENDER_BYTES /* one text to encode */

struct added_token {
    struct str text;
    token_id id;
    bool special;
    bool lstrip, rstrip; /* takes the white space before, behind it along */
    bool single_word;    /* only where no word character is beside it */
    bool normalized;     /* looked for in the normalised text, and normalised itself */
};

struct merge_pair {
    struct str left, right;
};

struct wordpiece_parts {
    struct bert_normalizer normalizer;
    struct str prefix;      /* of all pieces but a word's first */
    size_t max_chars;       /* of a word */
    struct str first, last; /* the tokens around a text; len 0: none */
};

enum tokenizer_kind {
    TOKENIZER_BYTES,      /* BPE of bytes, tokens in the byte-level alphabet */
    TOKENIZER_CHARACTERS, /* BPE of characters */
    TOKENIZER_UNIGRAM,
    TOKENIZER_WORDS, /* WordPiece */
};

/* All views live until tokenizer_build returns; pre and normal are taken over (and released on failure, too). */
struct tokenizer_parts {
    const char *what; /* names the source in errors */
    enum tokenizer_kind kind;
    size_t n_tokens;            /* ids are below it */
    const struct str *spelling; /* [n_tokens]; ptr NULL: not in the model's vocabulary */
    size_t n_added;
    const struct added_token *added;
    size_t n_merges;
    const struct merge_pair *merges;
    /*
     * BPE of characters without merges: merges of ids instead, of which those from n_tokens on are the characters loose,
     * which only longer tokens have
     */
    size_t n_joins, n_loose;
    const struct bpe_merge *joins;
    const uint32_t *loose;
    bool
        ignore_merges; /* a piece that is a token is that token, whether merges lead to it or not */
    struct str unknown; /* spelling of what stands for bytes without a token; len 0: nothing does */
    bool fuse_unknown;
    bool
        byte_fallback; /* characters without tokens become <0x00> to <0xFF>; of characters and Unigram */
    const double *scores; /* [n_tokens], Unigram */
    struct normal_chain normal;
    struct pretokenizer pre;
    struct token_decoder decoder;            /* of characters and Unigram */
    const struct wordpiece_parts *wordpiece; /* WordPiece; its normalizer is the only one */
};
MUST_CHECK bool tokenizer_build(struct tokenizer_parts *parts, struct tokenizer **out,
                                struct error *err);

/* "left right" apart; ERR_CORRUPT naming what and the merge's number otherwise. */
MUST_CHECK bool merge_from_text(struct str text, const char *what, size_t number,
                                struct merge_pair *out, struct error *err);

/* A tokenizer.json on its way into parts. what names it in errors; what is made for parts lives in the arena. */
struct tokenizer_reading {
    const char *what;
    struct arena *arena;
    struct tokenizer_parts *parts;
    struct error *err;
};
/* Each false: found, under key, is not what was expected; the kind of key's is understood, and not offered. */
bool reading_wrong(const struct tokenizer_reading *c, const char *key, const json_t *found,
                   const char *expected);
bool reading_unsupported(const struct tokenizer_reading *c, const char *key, struct str kind);
MUST_CHECK bool reading_bool(const struct tokenizer_reading *c, const json_t *obj, const char *key,
                             bool def, bool *out);
/*
 * The chain around its model, for all but WordPiece, into parts: normalizer, pre_tokenizer and decoder. has_bytes: its pre_tokenizer
 * has ByteLevel.
 */
MUST_CHECK bool chain_from_json(const json_t *root, const struct tokenizer_reading *of,
                                bool *has_bytes);

/* GGUF's name of a pre-tokeniser becomes its patterns, normal form and ignore_merges. */
MUST_CHECK bool pretokenizer_named(struct str name, struct pretokenizer *out,
                                   enum normal_form *form, bool *ignore_merges, struct error *err);

/* tokenizer.json's chain where its model is WordPiece, for all but the tokens: into *out and *unknown (views). */
MUST_CHECK bool wordpiece_from_json(const json_t *root, const char *what,
                                    struct wordpiece_parts *out, struct str *unknown,
                                    struct error *err);

/*
 * GPT-2's alphabet, in which every byte is a printable character: the character of a byte; the byte of a character,
 * or -1.
 */
uint32_t byte_to_letter(unsigned char byte);
int letter_to_byte(uint32_t letter);

/* Makes room for n more; ERR_NO_MEMORY. */
MUST_CHECK bool token_list_reserve(struct token_list *l, size_t n, struct error *err);
#endif
