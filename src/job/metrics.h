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
#include "train/tool_servers.h"

struct metrics_graders {
    size_t n;                 /* 1..GRADE_MAX_PARTS */
    const char *const *name;  /* [n] */
    const char *const *type;  /* [n] string_check, python, ... */
    const char *const *model; /* [n] the model that it asks, or NULL; NULL: none asks one */
    const bool *shadow;       /* [n] measured and never rewarded; NULL: none is */
    size_t n_tools;           /* 0..TOOL_SERVERS_MOST: that answers may call */
    const char *const *tool;  /* [n_tools] their names */
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
    size_t tool_errors[TOOL_SERVERS_MOST]; /* of training: calls that were refused or lost */
};
void metrics_tally_put(struct metrics_tally *t, const struct metrics_graders *graders,
                       const struct rollout *r);

/*
 * The whole tree, the caller's: every key is there; null is what was not measured. metrics_event_data takes the keys
 * of the validation away where there was none, as the API does.
 */
json_t *metrics_tree(const struct step_metrics *m, const struct metrics_tally *t,
                     const struct metrics_graders *g);
json_t *metrics_event_data(const json_t *tree);

/* "Step 10/20 , train mean reward=0.42, full validation mean reward=0.68, full validation mean parse error=0.00" */
void metrics_message(struct buf *out, const json_t *tree);

/*
 * The same for a step of supervised fine-tuning or dpo, by the API's names: train_loss, train_mean_token_accuracy, valid_...
 * of a batch, full_valid_... of the whole validation file; of dpo rewards/chosen, /rejected, /accuracies and /margins beside.
 * The tree is flat, so its keys are the columns; metrics_fit_data has what else was measured.
 */
json_t *metrics_fit_tree(const struct fit_metrics *m, enum train_method method);
json_t *metrics_fit_data(const struct fit_metrics *m, const json_t *tree);
/* "Step 300/300: training loss=0.00, validation loss=0.00, full validation loss=0.05" */
void metrics_fit_message(struct buf *out, const json_t *data);
/* What a checkpoint shows of it: the API's typed keys, as far as they were measured; data: of the step's event. */
json_t *metrics_fit_checkpoint(const json_t *data);

/*
 * Whether a run that is done again has the same in this column of metrics.csv: not of times, rates and memory, nor of what a
 * grader's model and the cache of scores counted, which is empty after a resume. Those are timing/..., usage/graders/...,
 * usage/shadow_graders/..., model_graders_token_usage/..., tokens_per_second, seconds_left, peak_rss_bytes and grader_cache_hit_rate.
 */
bool metrics_repeats(const char *column);

/* Lines of CSV, line break included: the names of the leaves, and their values (an empty cell for null). */
void metrics_csv_header(struct buf *out, const json_t *tree);
void metrics_csv_row(struct buf *out, const json_t *tree);
#endif
