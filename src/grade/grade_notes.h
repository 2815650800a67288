/*
 * grade_notes.h - many grades, kept small: what grade_summary.h needs of each, and the first of what is rare.
 *
 * A result takes kilobytes; of ten thousand answers, graded several times, a hundred bytes each are kept.
 */
#ifndef HONE_GRADE_GRADE_NOTES_H
#define HONE_GRADE_GRADE_NOTES_H

#include "grade/grader.h"

#define GRADE_SHOWN 5   /* answers that stand for many: worst, best, slowest, ... */
#define GRADE_CAUSES 32 /* distinct causes of failure that are kept */

/* An answer that is graded. Lines count from 1; 0: none is known. */
struct grade_answer {
    size_t row;      /* 0..n_rows-1: the same for the answers of a row */
    size_t line;     /* where the answer stands in its file */
    size_t row_line; /* where its row stands */
    size_t count;    /* how often it was given, 1 or more */
    struct str text;
    const json_t *item; /* the row, or NULL: it is not shown */
    double recorded;    /* the reward that was written beside it; NaN: none */
};

/* Failures that are alike: the same flags and the same traceback but for the message's own words. */
struct grade_cause {
    unsigned flags;
    bool grader_failed;                 /* grade_grader_failed; else the answer is at fault */
    size_t n;                           /* answers, each as often as it was given and graded */
    const char *details;                /* of the first, whole; "" where nothing was said */
    const char *key;                    /* what makes others alike */
    size_t n_shown, shown[GRADE_SHOWN]; /* the first answers */
    bool has_more;                      /* there are others */
};

struct grade_call {
    size_t answer;
    double seconds;
    size_t part; /* that took longest */
    double part_seconds;
};

struct grade_print {
    size_t answer;
    struct str text;
};

struct grade_part_notes {
    double *score;            /* [n * n_repeats] */
    unsigned char *is_failed; /* [n * n_repeats] */
    double seconds;           /* of all calls together */
};

/* Read-only but for the functions below. Grading number i * n_repeats + k is the k-th of answer i. */
struct grade_notes {
    const struct grader *grader;
    const struct grade_answer *answers; /* [n], the caller's */
    size_t n, n_rows, n_repeats;
    size_t n_parts;
    struct arena arena;
    double *reward;           /* [n * n_repeats] */
    unsigned char *is_failed; /* [n * n_repeats] */
    struct grade_part_notes part[GRADE_MAX_PARTS];

    size_t n_failed, n_grader_failed, n_flag[16]; /* weighed by count */
    size_t n_causes, n_other;                     /* kept; failures that no kept cause fits */
    struct grade_cause cause[GRADE_CAUSES];
    size_t n_slowest;
    struct grade_call slowest[GRADE_SHOWN];
    size_t n_printed; /* gradings in which the grader printed */
    size_t n_prints, keep_prints;
    struct grade_print *print; /* [n_prints] the first */
};
/*
 * Room for n answers of n_rows rows, each graded n_repeats (1 or more) times, and for the first keep_prints texts that
 * the grader printed. g and answers stay as long. Fails with ERR_NO_MEMORY.
 */
MUST_CHECK bool grade_notes_init(struct grade_notes *notes, const struct grader *g,
                                 const struct grade_answer *answers, size_t n, size_t n_rows,
                                 size_t n_repeats, size_t keep_prints, struct error *err);
void grade_notes_release(struct grade_notes *notes); /* all zeros is fine */
/* Notes a grading, each once; what is told as "the first" is so in the order of these calls. printed: or NULL. */
void grade_notes_add(struct grade_notes *notes, size_t answer, size_t repeat,
                     const struct grade_result *r, const char *printed);

/* The mean of an answer's rewards; whether any of its gradings failed. */
double grade_notes_reward(const struct grade_notes *notes, size_t answer);
bool grade_notes_failed(const struct grade_notes *notes, size_t answer);
#endif
