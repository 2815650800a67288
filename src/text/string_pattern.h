/*
 * string_pattern.h - a JSON schema's "pattern" (a regular expression of ECMA-262) becomes an automaton.
 *
 * Offered: characters, ., classes, \d \D \w \W \s \S, \t \n \v \f \r \0 \xHH \uHHHH (two for a pair of surrogates) \u{...}, \ before
 * punctuation, groups (x) (?:x) (?<name>x), |, the quantifiers * + ? {n} {n,} {n,m} up to 1000 and their lazy forms, ^ and $
 * anywhere. What is not tied to the beginning or end matches anywhere in the text. A character is a code point.
 *
 * Python's re, which jsonschema asks, reads a few of these otherwise: \d \w \s hold more there, . holds U+2028. A class is what
 * both dialects have in it, so that each text that is accepted matches in both; a text that matches in one alone is not.
 *
 * Refused by name and place: lookaround and \b (they look at what is beside them), backreferences, \p{...}, flags and other
 * dialects' forms.
 */
#ifndef HONE_TEXT_STRING_PATTERN_H
#define HONE_TEXT_STRING_PATTERN_H

#include "text/automaton.h"

#define LIMIT_STRING_PATTERN ((size_t)8192) /* bytes */

enum string_dialect {
    PATTERN_BOTH,  /* texts that match in both dialects */
    PATTERN_EITHER /* all that match in one, and maybe some more: whoever asks what does not match */
};
/*
 * The texts that pattern matches. Memory is a's. Fails with ERR_INVALID for what is no pattern, ERR_UNSUPPORTED for what is not
 * offered, ERR_LIMIT where it takes too many states or steps; with the byte where.
 */
MUST_CHECK bool string_pattern(struct arena *a, struct str pattern, enum string_dialect by,
                               struct automaton *out, struct error *err);
#endif
