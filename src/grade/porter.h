/*
 * porter.h - a word becomes its stem: "relational" and "relate" are both "relat".
 *
 * M. F. Porter, "An algorithm for suffix stripping", Program 14.3 (1980), as nltk 3.9.1's PorterStemmer has it in its
 * default mode, NLTK_EXTENSIONS: words of one and two letters stay, a dozen irregular ones are looked up ("dying" is
 * "die"), and some rules are Martin Porter's later ones or nltk's own; each is marked in porter.c.
 *
 * A letter is a code point. All but a, e, i, o, u and some y count as consonants: digits, marks, other scripts.
 */
#ifndef HONE_GRADE_PORTER_H
#define HONE_GRADE_PORTER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Stems word[0..n), which is in lower case, in its place; gives the stem's length, which is at most n. Time is
 * proportional to n. (nltk, which asks letter by letter whether a y is a vowel, fails on a thousand of them in a row.)
 */
size_t porter_stem(uint32_t *word, size_t n);
#endif
