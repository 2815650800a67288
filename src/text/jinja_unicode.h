/*
 * jinja_unicode.h - characters as Python's str sees them: classes, case, whitespace, line ends.
 */
#ifndef HONE_TEXT_JINJA_UNICODE_H
#define HONE_TEXT_JINJA_UNICODE_H

#include "base/str.h"

#include <stdint.h>

/* The character at s.ptr[*at], which moves behind it. Bytes that are not UTF-8 count as one character, U+FFFD. */
uint32_t jinja_char_next(struct str s, size_t *at);
/* The character that ends before *at, which moves before it. */
uint32_t jinja_char_prev(struct str s, size_t *at);
size_t jinja_char_put(char out[4], uint32_t c); /* UTF-8 of c; bytes written */

bool jinja_is_space(uint32_t c);    /* str.isspace */
bool jinja_is_line_end(uint32_t c); /* str.splitlines */
bool jinja_is_alpha(uint32_t c);
bool jinja_is_decimal(uint32_t c);
bool jinja_is_digit(uint32_t c);
bool jinja_is_numeric(uint32_t c);
bool jinja_is_lower(uint32_t c);
bool jinja_is_upper(uint32_t c);
bool jinja_is_title(uint32_t c);
bool jinja_is_printable(uint32_t c);
bool jinja_is_identifier(uint32_t c); /* may stand in a name beyond ASCII */
static inline bool jinja_is_alnum(uint32_t c)
{
    return jinja_is_alpha(c) || jinja_is_decimal(c) || jinja_is_digit(c) || jinja_is_numeric(c);
}

/* Full case mapping: one to three characters. */
enum jinja_case { JINJA_LOWER, JINJA_UPPER, JINJA_TITLE };
size_t jinja_map_case(enum jinja_case to, uint32_t c, uint32_t out[3]);
/* Is c a letter with case, or a mark that a word's case looks through (the final sigma's rule)? */
bool jinja_is_cased(uint32_t c);
bool jinja_is_case_ignorable(uint32_t c);

/* Without whitespace at the left, the right. */
struct str jinja_lstrip(struct str s);
struct str jinja_rstrip(struct str s);
#endif
