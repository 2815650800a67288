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

/* What becomes of a match: a piece of its own, nothing, or a part of a neighbour; named as in tokenizer.json. */
enum split_behavior {
    SPLIT_ISOLATED,
    SPLIT_REMOVED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS
};

struct pretokenizer_step {
    struct pcre2_real_code_8 *code; /* NULL: put a blank in front of a piece that has none */
    bool has_jit;
    enum split_behavior behavior;
    bool invert; /* what lies between the matches is what the behaviour is about */
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
MUST_CHECK bool pretokenizer_prefix_blank(struct pretokenizer *p, struct error *err);

/* Gets each piece, never an empty one, in order; false (with err) stops. */
typedef bool piece_fn(void *ctx, struct str piece, struct error *err);

/* text must be valid UTF-8. Fails as fn does, with ERR_LIMIT where a pattern takes too many steps, or ERR_NO_MEMORY. */
MUST_CHECK bool pretokenizer_run(const struct pretokenizer *p, struct str text, piece_fn *fn,
                                 void *ctx, struct error *err);
#endif
