/*
 * metrics.h - what one training step measured becomes the API's metrics event and a row of the result file.
 *
 * The event's `data` has the full shape of the API's reinforcement metrics event, and beside it keys of our own (entropy,
 * kl, max_dlogp, ...). The row of metrics.csv is the same tree, flattened: scores/graders/NAME/train_reward_mean. Shadow
 * graders stand in lists of their own beside those of the API: scores/shadow_graders/NAME/train_reward_mean. Some figures
 * (errors and seconds of each grader) are known only from the single answers: a tally collects them.
 */
#ifndef HONE_JOB_METRICS_H
#define HONE_JOB_METRICS_H

#include "base/buf.h"
#include "train/progress.h"

struct metrics_graders {
    size_t n;                 /* 1..GRADE_MAX_PARTS */
    const char *const *name;  /* [n] */
    const char *const *type;  /* [n] string_check, python, ... */
    const char *const *model; /* [n] the model that it asks, or NULL; NULL: none asks one */
    const bool *shadow;       /* [n] measured and never rewarded; NULL: none is */
};

/* Sums over the answers of one step and one file. */
struct metrics_sums {
    size_t n, n_parse_errors;
    size_t n_flags[GRADE_MAX_PARTS][16]; /* by grader and bit */
    double seconds[GRADE_MAX_PARTS];
    struct {
        size_t prompt, completion, cached; /* tokens */
    } usage[GRADE_MAX_PARTS];
    size_t n_asked_cache, n_cached; /* scores that may be known already, and that were */
};
struct metrics_tally {
    struct metrics_sums train, valid;
};
void metrics_tally_put(struct metrics_tally *t, const struct rollout *r);

/*
 * The whole tree, the caller's: every key is there; null is what was not measured. metrics_event_data takes the keys
 * of the validation away where there was none, as the API does.
 */
json_t *metrics_tree(const struct step_metrics *m, const struct metrics_tally *t,
                     const struct metrics_graders *g);
json_t *metrics_event_data(const json_t *tree);

/* "Step 10/20 , train mean reward=0.42, full validation mean reward=0.68, full validation mean parse error=0.00" */
void metrics_message(struct buf *out, const json_t *tree);

/* Lines of CSV, line break included: the names of the leaves, and their values (an empty cell for null). */
void metrics_csv_header(struct buf *out, const json_t *tree);
void metrics_csv_row(struct buf *out, const json_t *tree);
#endif
