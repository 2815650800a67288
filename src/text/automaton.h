/*
 * automaton.h - sets of texts as deterministic automata over characters: what a pattern, a format and a length leave together.
 *
 * Characters are code points; those that no state tells apart are one class. All automata are trimmed (each state leads to one
 * that accepts) and minimal, so that equal sets have equal automata, the order of states aside.
 */
#ifndef HONE_TEXT_AUTOMATON_H
#define HONE_TEXT_AUTOMATON_H

#include "base/arena.h"

#include <stdint.h>

#define AUTOMATON_NONE UINT32_MAX /* leads nowhere */
#define AUTOMATON_FREE UINT32_MAX /* a length without end */
#define CHAR_END ((uint32_t)0x110000)
#define LIMIT_AUTOMATON_STATES ((uint32_t)8192)
#define LIMIT_AUTOMATON_EDGES ((size_t)8 << 20)
#define LIMIT_AUTOMATON_STEPS ((uint64_t)40000000) /* of making one: some tenths of a second */

struct automaton {
    uint32_t n_states; /* state 0 is the first; there is always one */
    uint32_t n_cuts, n_classes;
    uint32_t *cuts;     /* [n_cuts + 1] run k is cuts[k] .. cuts[k + 1] - 1; from 0 to CHAR_END */
    uint16_t *class_of; /* [n_cuts] */
    uint32_t *next;     /* [n_states, n_classes] */
    uint32_t *accepts;  /* [n_states] 0: no; otherwise a label */
    uint64_t steps;     /* it took to make it, of what it was made of aside */
};

/* Memory is a's. All texts, labelled 1; those of min .. max characters (max AUTOMATON_FREE: any number). */
MUST_CHECK bool automaton_lengths(struct arena *a, uint32_t min, uint32_t max,
                                  struct automaton *out, struct error *err);

/* Of two automata: texts of both; of x and not of y; of x, whose label takes bit `bit` where y has the text, too. */
enum automaton_join { AUTOMATON_AND, AUTOMATON_NOT, AUTOMATON_LABEL };
MUST_CHECK bool automaton_join(struct arena *a, const struct automaton *x,
                               const struct automaton *y, enum automaton_join how, unsigned bit,
                               struct automaton *out, struct error *err);

/* Characters of the shortest text; AUTOMATON_NONE: there is none. */
uint32_t automaton_shortest(const struct automaton *x);
/* The run that holds a character. */
uint32_t automaton_run(const struct automaton *x, uint32_t c);
/* The label of a text of well-formed UTF-8; 0: it is not among them. */
uint32_t automaton_label(const struct automaton *x, struct str text);
/*
 * Whether from each state all numbers of characters between the least and the most, which may be more than max, lead to an end, as far as
 * max: so that counting them beside the automaton is as good as counting in it.
 */
MUST_CHECK bool automaton_lengths_are_even(const struct automaton *x, uint32_t max, bool *even,
                                           struct error *err);
/* For those who make one: drops states that lead nowhere, and joins those that are alike. */
MUST_CHECK bool automaton_reduce(struct arena *a, struct automaton *x, struct error *err);
#endif
