/*
 * porter.c - Porter's steps in their order; "m" is his measure, the number of times that a vowel meets a consonant.
 */
#include "grade/porter.h"

#include "base/size.h"

#include <stdbool.h>
#include <string.h>

struct word {
    uint32_t *letter;
    size_t n;
};

/* ---- the shape of a word ---- */

/* Is c a consonant, behind one or behind a vowel? The first letter stands as if behind a vowel: its y is a consonant. */
static bool is_consonant_behind(bool consonant, uint32_t c)
{
    switch (c) {
    case 'a':
    case 'e':
    case 'i':
    case 'o':
    case 'u':
        return false;
    case 'y':
        return !consonant;
    default:
        return true;
    }
}

static bool is_consonant(const uint32_t *letter, size_t at)
{
    bool consonant = false;

    for (size_t i = 0; i <= at; i++)
        consonant = is_consonant_behind(consonant, letter[i]);
    return consonant;
}

/* m of the first n letters */
static size_t measure(const uint32_t *letter, size_t n)
{
    size_t m = 0;
    bool consonant = false;

    for (size_t i = 0; i < n; i++) {
        const bool before = consonant;

        consonant = is_consonant_behind(before, letter[i]);
        m += i > 0 && !before && consonant;
    }
    return m;
}

/* *v*: there is a vowel among the first n letters */
static bool has_vowel(const uint32_t *letter, size_t n)
{
    bool consonant = false;

    for (size_t i = 0; i < n; i++) {
        consonant = is_consonant_behind(consonant, letter[i]);
        if (!consonant)
            return true;
    }
    return false;
}

/* *d: the first n letters end with the same consonant twice */
static bool ends_double(const uint32_t *letter, size_t n)
{
    return n >= 2 && letter[n - 1] == letter[n - 2] && is_consonant(letter, n - 1);
}

/* *o: the first n letters end with consonant, vowel, consonant other than w, x, y; for nltk also all of "up" */
static bool ends_short(const uint32_t *letter, size_t n)
{
    if (n == 2)
        return !is_consonant(letter, 0) && is_consonant(letter, 1);
    if (n < 3 || letter[n - 1] == 'w' || letter[n - 1] == 'x' || letter[n - 1] == 'y')
        return false;
    return is_consonant(letter, n - 3) && !is_consonant(letter, n - 2) &&
           is_consonant(letter, n - 1);
}

/* ---- rules ---- */

static bool ends_with(const struct word *w, const char *suffix)
{
    const size_t n = strlen(suffix);

    if (w->n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (w->letter[w->n - n + i] != (unsigned char)suffix[i])
            return false;
    return true;
}

/* Puts the text, which is not longer than what goes, in the place of the last n_gone letters. */
static void end_with(struct word *w, size_t n_gone, const char *text)
{
    w->n -= n_gone;
    for (; *text != '\0'; text++)
        w->letter[w->n++] = (unsigned char)*text;
}

struct rule {
    const char *suffix, *instead;
};

/* The first rule whose suffix the word has, and no other, holds where the rest has m > more_than. */
static void apply_first(struct word *w, const struct rule *rules, size_t n_rules, size_t more_than)
{
    for (size_t i = 0; i < n_rules; i++)
        if (ends_with(w, rules[i].suffix)) {
            const size_t n = strlen(rules[i].suffix);

            if (measure(w->letter, w->n - n) > more_than)
                end_with(w, n, rules[i].instead);
            return;
        }
}

/* ---- the steps ---- */

/* Plurals. */
static void step_1a(struct word *w)
{
    if (ends_with(w, "ies"))
        end_with(w, 3, w->n == 4 ? "ie" : "i"); /* nltk: "dies" is "die" */
    else if (ends_with(w, "sses"))
        end_with(w, 4, "ss");
    else if (ends_with(w, "s") && !ends_with(w, "ss"))
        end_with(w, 1, "");
}

/* What -ed or -ing leaves gets the e back that it lost, and loses the consonant that it got. */
static void mend(struct word *w)
{
    const uint32_t last = w->letter[w->n - 1];

    if (ends_with(w, "at") || ends_with(w, "bl") || ends_with(w, "iz"))
        end_with(w, 0, "e");
    else if (ends_double(w->letter, w->n))
        w->n -= last != 'l' && last != 's' && last != 'z';
    else if (measure(w->letter, w->n) == 1 && ends_short(w->letter, w->n))
        end_with(w, 0, "e");
}

/* The past and the gerund. */
static void step_1b(struct word *w)
{
    if (ends_with(w, "ied")) { /* nltk: "died" is "die" */
        end_with(w, 3, w->n == 4 ? "ie" : "i");
    } else if (ends_with(w, "eed")) {
        if (measure(w->letter, w->n - 3) > 0)
            end_with(w, 1, "");
    } else {
        const size_t n = ends_with(w, "ed") ? 2 : ends_with(w, "ing") ? 3 : 0;

        if (n > 0 && has_vowel(w->letter, w->n - n)) {
            w->n -= n;
            mend(w);
        }
    }
}

/* nltk: y behind a consonant that is not all of the rest, so that "enjoy" stays and "fly" is "fli", as "flies" is. */
static void step_1c(struct word *w)
{
    if (w->n > 2 && ends_with(w, "y") && is_consonant(w->letter, w->n - 2))
        w->letter[w->n - 1] = 'i';
}

static void step_2(struct word *w)
{
    static const struct rule rules[] = {
        {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"},
        {"izer", "ize"},    {"bli", "ble"}, /* Porter, later: for abli, able */
        {"entli", "ent"},   {"eli", "e"},       {"ousli", "ous"}, {"ization", "ize"},
        {"ation", "ate"},   {"ator", "ate"},    {"alism", "al"},  {"iveness", "ive"},
        {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"},
        {"biliti", "ble"},  {"fulli", "ful"}, /* nltk */
    };

    /* nltk: what -alli leaves goes through this step, too */
    if (ends_with(w, "alli") && measure(w->letter, w->n - 4) > 0)
        end_with(w, 2, "");
    if (ends_with(w, "logi")) { /* Porter, later; nltk counts the l with the stem */
        if (measure(w->letter, w->n - 3) > 0)
            end_with(w, 1, "");
        return;
    }
    apply_first(w, rules, COUNT_OF(rules), 0);
}

static void step_3(struct word *w)
{
    static const struct rule rules[] = {
        {"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
        {"ical", "ic"},  {"ful", ""},   {"ness", ""},
    };

    apply_first(w, rules, COUNT_OF(rules), 0);
}

static void step_4(struct word *w)
{
    static const struct rule rules[] = {
        {"al", ""},   {"ance", ""}, {"ence", ""},  {"er", ""},   {"ic", ""},  {"able", ""},
        {"ible", ""}, {"ant", ""},  {"ement", ""}, {"ment", ""}, {"ent", ""}, {"ou", ""},
        {"ism", ""},  {"ate", ""},  {"iti", ""},   {"ous", ""},  {"ive", ""}, {"ize", ""},
    };

    if (ends_with(w, "ion")) {
        if (ends_with(w, "sion") || ends_with(w, "tion"))
            w->n -= measure(w->letter, w->n - 3) > 1 ? 3 : 0;
        return;
    }
    apply_first(w, rules, COUNT_OF(rules), 1);
}

static void step_5a(struct word *w)
{
    if (ends_with(w, "e")) {
        const size_t m = measure(w->letter, w->n - 1);

        w->n -= m > 1 || (m == 1 && !ends_short(w->letter, w->n - 1));
    }
}

static void step_5b(struct word *w)
{
    if (ends_with(w, "ll"))
        w->n -= measure(w->letter, w->n - 1) > 1;
}

/* nltk's table of what the rules get wrong; gives whether the word is in it. */
static bool is_irregular(struct word *w)
{
    static const struct rule table[] = {
        {"sky", "sky"},         {"skies", "sky"},        {"dying", "die"},
        {"lying", "lie"},       {"tying", "tie"},        {"news", "news"},
        {"innings", "inning"},  {"inning", "inning"},    {"outings", "outing"},
        {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
        {"howe", "howe"},       {"proceed", "proceed"},  {"exceed", "exceed"},
        {"succeed", "succeed"},
    };

    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (w->n == strlen(table[i].suffix) && ends_with(w, table[i].suffix)) {
            end_with(w, w->n, table[i].instead);
            return true;
        }
    return false;
}

size_t porter_stem(uint32_t *word, size_t n)
{
    struct word w = {word, n};

    if (n <= 2 || is_irregular(&w))
        return w.n;
    step_1a(&w);
    step_1b(&w);
    step_1c(&w);
    step_2(&w);
    step_3(&w);
    step_4(&w);
    step_5a(&w);
    step_5b(&w);
    return w.n;
}
