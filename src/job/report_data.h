/*
 * report_data.h - a run's folder becomes what its report shows: curves, events, and a choice of answers.
 *
 * Everything lives in one arena. Texts are cut to a length that can be read; text_cut tells how much is missing.
 */
#ifndef HONE_JOB_REPORT_DATA_H
#define HONE_JOB_REPORT_DATA_H

#include "base/arena.h"
#include "job/run_read.h"
#include "job/run_warnings.h"

/* A text, and how many of its bytes are left out at the end. */
struct report_text {
    struct str text;
    size_t n_cut;
};

struct report_token {
    size_t
        at; /* its place in the answer: of a long one the beginning and the end of the thinking are shown */
    struct str text;
    float logprob; /* NaN: not known, or the model did not draw it: */
    bool given;    /* a tool said it, or the template around it */
};

struct report_answer {
    size_t step, item, sample;
    bool valid; /* of the validation */
    size_t n;   /* samples of its group that gave it, token by token */
    double reward, advantage;
    bool truncated, trained;
    struct report_text thinking, answer, details;
    struct str errors; /* "other_error, ...", or "" */
    size_t n_scores;   /* of graders; only where there are several */
    const char *const *score_name;
    const double *score;
    size_t n_tokens, n_shown_tokens, n_thinking_tokens;
    const struct report_token *token;     /* [n_shown_tokens]; none where pieces were not written */
    struct report_text prompt, reference; /* of its group */
};

/* The mean reward of a row's answers at each step that had it. */
struct report_curve {
    const double *step, *mean; /* [n] */
    size_t n, n_answers;
};

/* Answers to one prompt at two times. */
struct report_pair {
    struct report_curve curve;
    const struct report_answer *before, *after; /* [n_before], [n_after], different ones */
    size_t n_before, n_after;
    double reward_before, reward_after; /* means over all answers, shown or not */
};

/* Answers of one step to one prompt, highest advantage first. */
struct report_group {
    const struct report_answer *answer; /* [n] */
    size_t n, n_different, n_all;
};

/* Answers of the whole run that have something in common. */
struct report_list {
    const char *title;
    const struct report_answer *answer; /* [n] */
    size_t n, n_all;
};

/* A row of the data that was answered at several steps. */
struct report_row {
    struct report_answer shown; /* one of its answers, for prompt and reference */
    struct report_curve curve;
    double first, last;
};
/* Those of the training, or of the validation. */
struct report_rows {
    size_t n, n_gained, n_lost;       /* of all */
    struct report_row *gained, *lost; /* most first */
    size_t n_shown_gained, n_shown_lost;
};
#define REPORT_LISTS 6

struct report_word {
    struct str text;
    double push; /* sum of advantage * (1 - p) over the tokens that were read */
    size_t n;
};

/*
 * An answer's first tokens under several models: what training made likelier and what less likely. The figures under other models than the
 * one that drew it come from TOKEN_CHANGES_FILE, which report_score writes.
 */
struct report_changed {
    const struct report_answer *answer;
    struct str prompt; /* whole */
    json_t *ids;       /* [n] */
    size_t n;
    const struct str *piece; /* [n] */
    const bool *given;       /* [n], or NULL: all were drawn */
    const float **logprob;   /* [n_models]: NULL where it is not known, else [n]; NaN: no figure */
};
#define REPORT_MODELS 8

struct report_event {
    struct str level, message; /* the newest of its kind */
    size_t first_step, last_step, n;
    int64_t at; /* the first one's Unix time */
};

struct report_eval {
    const char *name;
    size_t n;                 /* 0: not known */
    double reward, low, high; /* NaN: not known */
    size_t n_extra;           /* pass@8, top_1, ...: whatever else is a number */
    const char *const *extra_name;
    const double *extra;
};

struct report_data {
    struct arena *arena;
    json_t *job_file; /* job.json */
    json_t *last;     /* data of the newest metrics event, or NULL */
    struct run_metrics metrics;
    struct report_eval *eval;
    size_t n_evals;
    struct run_checkpoint *checkpoint;
    size_t n_checkpoints;
    struct report_event *event;
    size_t n_events;
    int64_t first_event_at, last_event_at; /* 0: none */
    bool completed;                        /* it says so itself */

    struct report_pair *pair;
    size_t n_pairs;
    size_t before_step, after_step;     /* of the pairs */
    bool pairs_are_valid;               /* from the validation, not from training */
    struct report_answer *best, *worst; /* of the newest training step */
    size_t n_best, n_worst, newest_step;
    struct report_group *group; /* of an early, a middle and a late step */
    size_t n_groups;
    struct report_word *up, *down; /* most strengthened first, most weakened first */
    size_t n_up, n_down, n_word_steps;
    struct report_changed *changed; /* first those of the pairs, then those of the groups */
    size_t n_changed, n_changed_of_pairs;
    const char *model[REPORT_MODELS]; /* "drawn", "base", then "step-N" by N */
    size_t n_models;
    size_t best_step; /* of the checkpoints: highest validation, else the last; 0: there is none */
    struct report_answer *failed; /* where a grader failed: one for each kind of details */
    size_t n_failed;
    size_t n_bad; /* lines that could not be read */

    /* The page's own, which report_data_read leaves empty: report_look and run_warnings_read fill them. */
    struct report_list list[REPORT_LISTS];
    size_t n_lists;
    struct report_rows rows[2]; /* training, validation */
    struct run_warning *warning;
    size_t n_warnings;
};

MUST_CHECK bool report_data_read(const char *dir, struct arena *a, struct report_data *out,
                                 struct error *err);
void report_data_release(struct report_data *d); /* its JSON trees; all zeros is fine */

/* A column of the metrics: a copy with one number a row, or NULL where there is none. */
double *report_column(const struct report_data *d, const char *name);
#endif
