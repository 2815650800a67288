/*
 * grammar.h - which bytes may follow: a pushdown automaton over bytes, for JSON and whatever else nests.
 *
 * A grammar has rules, one for each kind of value. A rule is a deterministic automaton over bytes whose states may also
 * call: at such a state a value begins, one of a set of rules (a union), and when it is complete the automaton goes on in
 * another state.
 *
 *     root --call {object}--> end            object:  { -> " k e y " -> : -> call {string, null} -> } -> done
 *
 * Alternatives that begin alike (the objects of an anyOf) are alive together. In a language like JSON the text alone says
 * where a value begins and ends, whatever it is an alternative of; so all that is alive has the same depth, and a state is
 * one stack whose levels hold the states that are alive there, each with the set of those below that called it. That is
 * the subset construction for nested words (Alur, Madhusudan: Visibly pushdown languages, STOC 2004), done as the text
 * comes in: no alternative is ever tried twice, and nothing is undone.
 *
 * A transition is only taken where its rule can still be completed within GRAMMAR_DEPTH: the least number of levels that
 * each state needs is computed beforehand. So every state that is reached can be completed, recursion or not.
 *
 * So rules that may stand in one place must begin values within them at the same bytes: where one took such a byte itself and
 * another called, one of the two would be lost.
 *
 * A value is complete where its rule accepts, and is left when a byte comes that it cannot take: "12" is whole at each
 * digit, and at the comma its caller goes on.
 *
 * A grammar is read-only once built: any number of threads may use it, each with a walk of its own.
 */
#ifndef HONE_TEXT_GRAMMAR_H
#define HONE_TEXT_GRAMMAR_H

#include "base/arena.h"

#include <stdint.h>

#define GRAMMAR_DEPTH 64  /* levels of a stack: values within values */
#define GRAMMAR_ITEMS 256 /* states on all levels together */
#define GRAMMAR_ALIKE 64  /* states on one level */

struct grammar;
void grammar_close(struct grammar *g); /* NULL is fine */
size_t grammar_bytes(const struct grammar *g);

/* What is alive on a level. */
struct grammar_item {
    uint64_t parents; /* bit i: item i of the level below called it */
    uint32_t state;
    uint32_t
        count; /* of what its rule counts: characters, commas; or which constants came, as bits */
};

/* Where a text stands: plain memory, copied by assignment. */
struct grammar_state {
    uint16_t n_levels;
    uint16_t end[GRAMMAR_DEPTH]; /* items of level i: items[end[i - 1] .. end[i]) */
    struct grammar_item items[GRAMMAR_ITEMS];
};

void grammar_begin(struct grammar_state *s);
/* As assignment, but copies what is in use alone. */
void grammar_copy(struct grammar_state *to, const struct grammar_state *from);
/* Whether the text may end here. */
bool grammar_complete(const struct grammar *g, const struct grammar_state *s);

/*
 * ---- many texts from one place ----
 *
 * A walk is scratch for one thread. Levels are immutable and hang on each other; a step makes a new top, and going back is
 * grammar_rewind. That is what a walk over a tree of tokens wants.
 */
struct grammar_level {
    const struct grammar_level *below; /* NULL: the lowest */
    uint16_t n, depth;                 /* depth 1 is the lowest */
    uint16_t n_items;                  /* of this level and all below it */
    struct grammar_item items[];       /* [n] */
};

struct grammar_walk {
    unsigned char *memory;
    size_t used;
};
MUST_CHECK bool grammar_walk_open(struct grammar_walk *w, struct error *err);
void grammar_walk_close(struct grammar_walk *w); /* all zeros is fine */
static inline void grammar_rewind(struct grammar_walk *w, size_t used)
{
    w->used = used;
}

/* The whole stack of s; its top. */
const struct grammar_level *grammar_load(struct grammar_walk *w, const struct grammar_state *s);
/* One item upon a level, or upon nothing that is known, NULL: what it does until its value is complete. depth: its own. */
const struct grammar_level *grammar_alone(struct grammar_walk *w, const struct grammar_item *item,
                                          const struct grammar_level *below, uint16_t depth);
/* The top after a byte, or NULL where that byte may not come. */
const struct grammar_level *grammar_step(const struct grammar *g, struct grammar_walk *w,
                                         const struct grammar_level *top, unsigned char byte);
/*
 * What grammar_step does most of the time, without a level: the item of a level at this depth takes a byte within its own
 * rule. false: it does not, and *calls tells whether a value may begin there instead.
 */
bool grammar_step_item(const struct grammar *g, const struct grammar_item *item, unsigned depth,
                       unsigned char byte, struct grammar_item *out, bool *calls);
bool grammar_item_ends(const struct grammar *g, const struct grammar_item *item);
/* Whether a value on top is complete. */
bool grammar_ends(const struct grammar *g, const struct grammar_level *top);
/* The level below once the value of items[i] of top, which is not once, is complete; NULL where there is none. */
const struct grammar_level *grammar_leave(const struct grammar *g, struct grammar_walk *w,
                                          const struct grammar_level *top, size_t i);

/*
 * s after more bytes; false, and s as it was, where they may not follow. (Where more is alive than GRAMMAR_ALIKE or
 * GRAMMAR_ITEMS allow, the alternatives named last are given up: what is accepted is still right, and a text that only
 * they allow is not accepted. No schema without hundreds of alternatives that begin alike comes there.)
 */
bool grammar_advance(const struct grammar *g, struct grammar_walk *w, struct grammar_state *s,
                     struct str bytes);

/* ---- for those who keep what they found out about a state ---- */

size_t grammar_n_states(const struct grammar *g);
/* Most levels that any state that can be completed needs. */
unsigned grammar_most_needed(const struct grammar *g);
/*
 * What an item's rule counts, as two numbers: how much is missing, and how much is left, as far as `far` more bytes can tell;
 * items of a state that have the same allow the same.
 */
void grammar_counts(const struct grammar *g, const struct grammar_item *item, uint32_t far,
                    uint32_t *missing, uint32_t *left);
/* Whether its rule counts by which constants came: too many ways to keep each, and its caller is to be told which it is. */
bool grammar_is_once(const struct grammar *g, const struct grammar_item *item);
/* Whether a byte may begin a value that holds others. */
bool grammar_nests(const struct grammar *g, unsigned char byte);
/*
 * For each transition that may be taken one byte at least must be had by itself, or a text could come to a place where
 * nothing fits. The first byte of a transition that has none among `has` [256]; -1: all do.
 */
int grammar_needs_byte(const struct grammar *g, const bool *has);
#endif
