/*
 * pretokenizer.h - text is cut into the pieces within which bytes are merged.
 *
 * A pre-tokeniser is a list of steps, each of which cuts further what the one before it left. The patterns are those of
 * Hugging Face `tokenizers`, which are Oniguruma's; pattern.h says how PCRE2 is brought to match the same.
 */
#ifndef HONE_TEXT_PRETOKENIZER_H
#define HONE_TEXT_PRETOKENIZER_H

#include "base/error.h"
#include "base/str.h"

#define PRETOKENIZER_MAX_STEPS 16

enum pretokenizer_kind {
    PRE_PATTERN,      /* cut by a regular expression or a text */
    PRE_PREFIX_BLANK, /* put a blank in front of a piece that has none */
    PRE_METASPACE,    /* a blank becomes a sign that pieces begin with */
    PRE_WHITE,        /* white space parts pieces and goes */
    PRE_WORDS,        /* \w+|[^\w\s]+ of Rust's regular expressions */
    PRE_PUNCTUATION,  /* cut at BERT's punctuation characters */
    PRE_BERT,         /* bert_words of wordpiece.h */
    PRE_LETTERS,      /* steps behind it see each byte as a character, by GPT-2's alphabet */
};

/* Where PRE_METASPACE puts its sign in front: each text, only what a whole text begins with, none. */
enum metaspace_prefix { METASPACE_NEVER, METASPACE_ALWAYS, METASPACE_FIRST };

/* What becomes of a match: a piece of its own, nothing, or a part of a neighbour; named as in tokenizer.json. */
enum split_behavior {
    SPLIT_ISOLATED,
    SPLIT_REMOVED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS
};

struct pretokenizer_step {
    enum pretokenizer_kind kind;
    struct pcre2_real_code_8 *code; /* PRE_PATTERN */
    bool has_jit;
    enum split_behavior behavior; /* PRE_PATTERN, PRE_PUNCTUATION */
    bool invert;                  /* what lies between the matches is what the behaviour is about */
    char sign[4];                 /* PRE_METASPACE, in UTF-8 */
    size_t sign_bytes;
    enum metaspace_prefix prefix;
    bool parts; /* cut in front of each sign */
};

struct pretokenizer { /* all zeros: one piece; read-only once built: any number of threads */
    size_t n_steps;
    struct pretokenizer_step steps[PRETOKENIZER_MAX_STEPS];
};
void pretokenizer_release(struct pretokenizer *p);

/* GPT-2's pattern, that of ByteLevel(use_regex=true). */
#define PATTERN_GPT2                                                                               \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/*
 * Adds a step; ERR_UNSUPPORTED for a pattern that Oniguruma and PCRE2 understand differently, ERR_LIMIT for too many
 * steps.
 */
MUST_CHECK bool pretokenizer_split(struct pretokenizer *p, struct str pattern,
                                   enum split_behavior behavior, bool invert, struct error *err);
MUST_CHECK bool pretokenizer_split_text(struct pretokenizer *p, struct str text,
                                        enum split_behavior behavior, bool invert,
                                        struct error *err);
/* A step of a kind that needs nothing but a behaviour, or not even that; ERR_LIMIT for too many steps. */
MUST_CHECK bool pretokenizer_add(struct pretokenizer *p, enum pretokenizer_kind kind,
                                 enum split_behavior behavior, struct error *err);
/* sign: one character. */
MUST_CHECK bool pretokenizer_metaspace(struct pretokenizer *p, struct str sign,
                                       enum metaspace_prefix prefix, bool parts, struct error *err);

/* Gets each piece, never an empty one, in order; false (with err) stops. Behind PRE_LETTERS a piece may end within a character. */
typedef bool piece_fn(void *ctx, struct str piece, struct error *err);

/*
 * text must be valid UTF-8; is_first: it is what a whole text begins with (METASPACE_FIRST). Fails as fn does, with ERR_LIMIT where a pattern
 * takes too many steps, or ERR_NO_MEMORY.
 */
MUST_CHECK bool pretokenizer_run(const struct pretokenizer *p, struct str text, bool is_first,
                                 piece_fn *fn, void *ctx, struct error *err);
#endif
