/*
 * ledger.h - keeps account of what the reward does not see, and says when it is being gamed.
 *
 *     groups of a step -> a page: sums over its prompts of reward, habits and each grader
 *     first pages | newest pages -> what has shifted, by how many standard errors -> events, with three answers that show it
 *
 * For each quantity q the mean over the prompts of the newest steps is compared with that of as many first steps, when
 * the model was nearly as it came (the learning rate warms up):
 *
 *     z = (q_last - q_first) / sqrt(s_first^2 / n_first + s_last^2 / n_last)                  (Welch, Biometrika 34, 1947)
 *
 * with s the deviation between prompts, whose answers are averaged first: answers to one prompt are not independent. Both
 * windows have LEDGER_WINDOW steps, or half of a run that has not twice as many yet. An alarm begins where z is
 * as unlikely as LEDGER_BEGIN normal deviations, by Student's distribution with Welch's degrees of freedom, ends below
 * LEDGER_END, and is told once in between. A run of 150 steps looks 143 times, at windows
 * that overlap: with 4 standard errors the chance that a run without drift raises any alarm stays at one or two percent
 * (measured in tests/train/ledger_test.c, with the power against a real drift).
 *
 * Nothing here changes what is trained.
 */
#ifndef HONE_TRAIN_LEDGER_H
#define HONE_TRAIN_LEDGER_H

#include "train/groups.h"

/*
 * Steps of a window at most. With 8 prompts a step 80 prompts stand on each side, enough for a mean to be normal and for a
 * fall of two thirds of a deviation between prompts to show. At least: a reward that is gamed in the first steps ends a
 * run as learned ten steps later, so that one cannot wait for two whole windows.
 */
#define LEDGER_WINDOW 10
#define LEDGER_LEAST_WINDOW 4
#define LEDGER_BEGIN 4.0 /* normal deviations to one side: 1 in 31,600 */
#define LEDGER_END 2.0

/* What is worth a warning, however sure: an alarm ends at half of it. */
#define LEDGER_LEAST_SCORE                                                                         \
    0.2 /* deviations between prompts: Cohen's small effect; scores have any scale */
#define LEDGER_LEAST_ALIKE 0.2      /* of the answers, past what the references explain */
#define LEDGER_LEAST_FORM 0.25      /* of the answers, or of their characters */
#define LEDGER_LEAST_REPETITION 0.2 /* of the runs of four tokens */
#define LEDGER_LEAST_FACTOR 1.5     /* of a length, up or down; */
#define LEDGER_LEAST_TOKENS 4.0     /* and so many tokens: "a" and "ab" are no drift */
#define LEDGER_LEAST_LINES 2.0

enum ledger_kind {
    LEDGER_ALIKE,      /* one answer to prompts that want different ones */
    LEDGER_LENGTH,     /* with the reward flat */
    LEDGER_FORM,       /* with the reward flat */
    LEDGER_REPETITION, /* more of it, whatever the reward does */
    N_LEDGER_KINDS
};

struct ledger_sums {
    double n, sum, squares; /* of prompts */
};
struct ledger_page {
    struct ledger_sums reward;
    struct ledger_sums habit[N_HABITS]; /* HABIT_COMMON: what the references do not explain of it */
    struct ledger_sums part[GRADE_MAX_PARTS]; /* graders in the order of grader_name */
};

/* What goes on after a resume, bit for bit. All zeros is the beginning. */
struct ledger_state {
    uint64_t n_steps, n_parts; /* graders, as grader_count has them */
    struct ledger_page first[LEDGER_WINDOW], last[LEDGER_WINDOW]; /* step s in s % WINDOW */
    bool told[N_LEDGER_KINDS], told_part[GRADE_MAX_PARTS];
};
/* A new tree. Reading fails with ERR_CORRUPT; NULL (an older checkpoint) is the beginning. */
json_t *ledger_state_json(const struct ledger_state *s);
MUST_CHECK bool ledger_state_read(const json_t *j, const char *what, struct ledger_state *out,
                                  struct error *err);

/* ---- one page after another ---- */

enum ledger_turn { LEDGER_AS_BEFORE, LEDGER_BEGINS, LEDGER_ENDS };
struct ledger_shift {
    double from, to, by, error; /* means, their difference, its standard error */
    double freedom;             /* degrees of it: few prompts leave the error itself unsure */
    double deviation;           /* between prompts, of both windows */
    bool known;                 /* both windows have two prompts or more */
};
struct ledger_verdict {
    enum ledger_turn kind[N_LEDGER_KINDS];
    enum habit habit[N_LEDGER_KINDS];       /* the one that shifted most, where kind begins */
    enum ledger_turn part[GRADE_MAX_PARTS]; /* falls while the reward rises */
    size_t window;                          /* steps that were compared; 0: too few yet */
    struct ledger_page first, last;         /* their sums */
};
/* The quantile of Student's distribution where the normal one's is z: Abramowitz and Stegun, 26.7.5, to 1 / freedom^2. */
double ledger_quantile(double z, double freedom);
struct ledger_shift ledger_shift_of(const struct ledger_sums *first,
                                    const struct ledger_sums *last);
void ledger_put(struct ledger_sums *s, double x); /* one prompt; counts as 1e100 at most */
/* The next step's page. */
void ledger_turn(struct ledger_state *s, const struct ledger_page *page, size_t n_parts,
                 struct ledger_verdict *out);

/* ---- a step ---- */

/*
 * What of a row's item tells which answer it wants: hashes of the members that the graders read, of those that are not
 * the same in all rows; of all members where the graders do not say which they read; of the messages where
 * there is nothing else. n_keys 0: all rows are the same.
 */
struct references {
    size_t n_keys;
    const uint64_t *value; /* [n_rows, n_keys] */
};
void references_find(const struct dataset *d, const struct grader *g, struct arena *a,
                     struct references *out);
/* The largest share of these rows that agree in one key: a model that is right need not be less alike. */
double references_alike(const struct references *r, size_t n, const size_t *items);

struct ledger_inputs {
    const struct groups *groups;
    const struct grader *grader;
    const struct references *references;
};
/*
 * Fills the step's habits in m, turns the page, and tells what begins (a warning, with three answers of this step) and what
 * ends. Memory from the arena.
 */
MUST_CHECK bool ledger_step(struct ledger_state *s, const struct ledger_inputs *in,
                            struct step_metrics *m, const struct progress_sink *sink,
                            struct arena *a, struct error *err);
#endif
