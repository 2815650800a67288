/*
 * jinja_text.h - what Python's str can do, for the filters and the methods of that name alike.
 *
 * Values given as texts are strs; a result is a Markup where the text was one.
 */
#ifndef HONE_TEXT_JINJA_TEXT_H
#define HONE_TEXT_JINJA_TEXT_H

#include "text/jinja_value.h"

static inline struct str jinja_view(struct jinja_value text)
{
    return (struct str){text.text->ptr, text.text->len};
}

/* A part of text's bytes. */
MUST_CHECK bool jinja_text_part(struct jinja_render *r, struct jinja_value text, struct str part,
                                struct jinja_value *out);

/* chars: a str of what to take off, or none for whitespace. */
MUST_CHECK bool jinja_text_strip(struct jinja_render *r, struct jinja_value text,
                                 struct jinja_value chars, bool left, bool right,
                                 struct jinja_value *out);

enum jinja_letter_case {
    JINJA_TO_LOWER,
    JINJA_TO_UPPER,
    JINJA_TO_CAPITALIZED,
    JINJA_TO_TITLE, /* str.title */
    JINJA_TO_SWAPPED,
    JINJA_TO_FOLDED,
    JINJA_TO_WORDS, /* the filter title */
};
MUST_CHECK bool jinja_text_case(struct jinja_render *r, struct jinja_value text,
                                enum jinja_letter_case to, struct jinja_value *out);

/* At most count times; count < 0: all. */
MUST_CHECK bool jinja_text_replace(struct jinja_render *r, struct jinja_value text, struct str old,
                                   struct str new, int64_t count, struct jinja_value *out);

enum jinja_align { JINJA_ALIGN_LEFT, JINJA_ALIGN_RIGHT, JINJA_ALIGN_CENTER, JINJA_ALIGN_ZEROS };
MUST_CHECK bool jinja_text_pad(struct jinja_render *r, struct jinja_value text, int64_t width,
                               struct str fill, enum jinja_align align, struct jinja_value *out);

/* sep: none for runs of whitespace. */
MUST_CHECK bool jinja_text_split(struct jinja_render *r, struct jinja_value text,
                                 struct jinja_value sep, int64_t max, bool from_right,
                                 struct jinja_value *out);
MUST_CHECK bool jinja_text_lines(struct jinja_render *r, struct jinja_value text, bool keep_ends,
                                 struct jinja_items *out);
/* Joins what an iteration gives, by str() of each; strict: only strs are allowed, as str.join. */
MUST_CHECK bool jinja_text_join(struct jinja_render *r, struct jinja_value sep,
                                struct jinja_value items, bool strict, struct jinja_value *out);
/* Byte offset of the first or last needle in s, or s.len + 1. */
MUST_CHECK bool jinja_text_find(struct jinja_render *r, struct str s, struct str needle, bool last,
                                size_t *out);

enum jinja_class {
    JINJA_ALNUM,
    JINJA_ALPHA,
    JINJA_ASCII,
    JINJA_DECIMAL,
    JINJA_DIGIT,
    JINJA_IDENTIFIER,
    JINJA_LOWERCASE,
    JINJA_NUMERIC,
    JINJA_PRINTABLE,
    JINJA_SPACE,
    JINJA_TITLECASE,
    JINJA_UPPERCASE,
};
bool jinja_text_is(struct str s, enum jinja_class what);
#endif
