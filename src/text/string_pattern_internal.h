/*
 * string_pattern_internal.h - a pattern between what reads it into a tree (string_pattern_read.c), whose leaves are sets of
 * characters (string_pattern_sets.c), and what makes an automaton of it (string_pattern.c).
 */
#ifndef HONE_TEXT_STRING_PATTERN_INTERNAL_H
#define HONE_TEXT_STRING_PATTERN_INTERNAL_H

#include "text/string_pattern.h"

/* A set of characters: ranges in order, none touching the next, once ranges_order was called. Memory is an arena's. */
struct ranges {
    struct char_pair {
        uint32_t first, last;
    } * r;
    size_t n, room;
};

void ranges_put(struct arena *a, struct ranges *s, uint32_t first, uint32_t last);
void ranges_add(struct arena *a, struct ranges *out, const struct ranges *s);
void ranges_order(struct ranges *s);
/* Of sets in order, and in order. */
struct ranges ranges_all_but(struct arena *a, const struct ranges *s);
struct ranges ranges_in_both(struct arena *a, const struct ranges *x, const struct ranges *y);

enum dialect { ECMA, PYTHON, N_DIALECTS };
/* The characters of \d, \w or \s, in order. */
struct ranges ranges_shorthand(struct arena *a, char name, enum dialect in);

enum pattern_kind { EMPTY, SET, CONCAT, EITHER, REPEAT, FIRST, LAST };

struct tree {
    enum pattern_kind kind;
    uint32_t set;             /* SET: its number */
    uint32_t min, max;        /* REPEAT; max AUTOMATON_FREE */
    const struct tree *l, *r; /* CONCAT, EITHER; REPEAT: l */
};

struct pattern_tree {
    const struct tree *root;
    const struct ranges *sets; /* [n_sets] each once */
    size_t n_sets;
    uint32_t any; /* the set of all characters */
};
/* Memory is a's. Fails as string_pattern, of limits on states aside. */
MUST_CHECK bool string_pattern_read(struct arena *a, struct str pattern, enum string_dialect by,
                                    struct pattern_tree *out, struct error *err);
#endif
