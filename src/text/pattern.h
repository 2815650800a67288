/*
 * pattern.h - a regular expression in Oniguruma's terms becomes one that PCRE2 matches alike.
 *
 * Measured against Hugging Face `tokenizers` over every assigned code point of Unicode 14, the patterns of the known
 * tokenizers differ in one thing only: PCRE2's \s holds U+180E. Other differences are in constructs that these patterns
 * do not use; where such a construct can be said in PCRE2's terms it is, otherwise it is refused:
 *
 *     \s \S        \t-\r U+0085 \p{Z}, and all else
 *     \w \W \b \B  alphabetic, marks, decimal digits, connecting punctuation; outside a class also the No of Latin-1
 *     \h \H        hexadecimal digits                 \v        U+000B
 *     \p{Han}      the script, not its extensions     \u3042    the code point
 *     ^ $          at line ends, too                  {,n}      {0,n}
 *
 * Code points younger than Unicode 14 (PCRE2 10.42) may be classed differently; the bytes come through all the same.
 */
#ifndef HONE_TEXT_PATTERN_H
#define HONE_TEXT_PATTERN_H

#include "base/buf.h"

#define LIMIT_PATTERN_BYTES ((size_t)64 << 10)

struct pcre2_real_code_8;

/*
 * The caller frees *out (pcre2_code_free). *has_jit: machine code was made of it. Fails with ERR_UNSUPPORTED or
 * ERR_LIMIT.
 */
MUST_CHECK bool pattern_compile(struct str onig, struct pcre2_real_code_8 **out, bool *has_jit,
                                struct error *err);

/* A pattern that matches text and nothing else. */
MUST_CHECK bool pattern_compile_text(struct str text, struct pcre2_real_code_8 **out, bool *has_jit,
                                     struct error *err);

/* Working memory of matching; one thread at a time. */
struct pattern_matcher {
    struct pcre2_real_match_data_8 *match;
    struct pcre2_real_match_context_8 *limits;
};
/* For texts of up to len bytes; release it, also where that fails (ERR_NO_MEMORY). */
MUST_CHECK bool pattern_matcher_init(struct pattern_matcher *m, size_t len, struct error *err);
void pattern_matcher_release(struct pattern_matcher *m);

/* Goes through the matches in a text (valid UTF-8) in order; all zeros is the beginning. */
struct pattern_place {
    size_t at, done; /* done: where the last match ended */
    bool any;
};
/*
 * The next match, text[*from..*to), which may be empty; *found false: there is none any more. ERR_LIMIT where the pattern
 * takes too many steps, or ERR_NO_MEMORY.
 */
MUST_CHECK bool pattern_next(struct pattern_matcher *m, struct pcre2_real_code_8 *code,
                             bool has_jit, struct str text, struct pattern_place *place,
                             size_t *from, size_t *to, bool *found, struct error *err);
#endif
