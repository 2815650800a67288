/*
 * habits.h - what answers look like, whatever they are worth: how long, in what form, how alike.
 *
 * Nothing is configured: a form is measured on every answer, so that a drift shows that nobody thought of. The formulas
 * stand in docs/NOTATION.md.
 */
#ifndef HONE_TRAIN_HABITS_H
#define HONE_TRAIN_HABITS_H

#include "base/arena.h"

#include <stdint.h>

enum habit {
    HABIT_ANSWER_TOKENS,   /* what comes after the thinking */
    HABIT_THINKING_TOKENS, /* what comes before it */
    HABIT_LINES,           /* of the answer; of a blank one 0 */
    HABIT_JSON,            /* 1: it is a JSON object or list */
    HABIT_MARKUP,          /* 1: it has a code fence, a heading or an item of a list (Markdown) */
    HABIT_SYMBOLS,         /* share of its characters that are no letters, white space left out */
    HABIT_ENDED,           /* 1: it ended by itself, not at the limit */
    HABIT_EMPTY,           /* 1: nothing but white space */
    HABIT_REPETITION,      /* share of its runs of 4 tokens that it has said before */
    N_ANSWER_HABITS,

    HABIT_DISTINCT = N_ANSWER_HABITS, /* different answers / answers, to one prompt */
    HABIT_COMMON,                     /* share of the answer that is given most, over prompts */
    N_HABITS
};

/* answer_tokens, ...: as in the columns of metrics.csv. */
const char *habit_name(enum habit h);

/* One answer: its text, and its tokens with those of the thinking, which are the first n_thinking. */
void habits_of_answer(struct str text, const int32_t *tokens, size_t n, size_t n_thinking,
                      bool ended, double out[N_ANSWER_HABITS]);

struct answers;
/*
 * The answers of a row: each one's into of_answer [G, N_ANSWER_HABITS] where that is not NULL, and into out the means
 * over them; out[HABIT_COMMON] is 0, for it takes several prompts.
 */
void habits_of_row(const struct answers *x, size_t row, double *of_answer, double out[N_HABITS]);

/* Counts equal answers over prompts, by a 64-bit hash of their text. */
struct common_answers {
    uint64_t *hash; /* [mask + 1] 0: free */
    size_t *count, *first;
    size_t mask, n_different, n_all;
};
void common_answers_init(struct common_answers *c, size_t most, struct arena *a);
void common_answers_put(struct common_answers *c, const struct answers *x, size_t row);
/* The one that was given most, of several the one given first; 0 where there is none. */
uint64_t common_answers_most(const struct common_answers *c, double *share);
uint64_t answer_hash(struct str text); /* never 0 */
/* Which share of a row's answers it is. */
double common_answers_share(uint64_t hash, const struct answers *x, size_t row);

#endif
