/*
 * characters.h - classes of characters as Rust's regular expressions have them, which `tokenizers` is written with.
 */
#ifndef HONE_TEXT_CHARACTERS_H
#define HONE_TEXT_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool char_is_white(uint32_t c); /* \s: Unicode's White_Space */
bool char_is_word(uint32_t c);  /* \w: Alphabetic, M, Nd, Pc, Join_Control */

/* str::to_lowercase, character by character: one to three. It knows capitals that are younger than those of jinja_map_case. */
size_t char_lower(uint32_t c, uint32_t out[3]);

struct char_range {
    uint32_t first, last;
};
/* Is c in one of n ranges, which are in order? */
bool char_in(uint32_t c, const struct char_range *ranges, size_t n);
#endif
