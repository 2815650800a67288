/*
 * reinforce.h - the loop of reinforcement fine-tuning: sample, grade, compare, step, and again.
 *
 *     L = -(1/N) sum m A ln pi(y)     one on-policy step a batch, N drawn tokens of the whole batch
 *
 * Policy gradient with a group baseline (REINFORCE leave-one-out, arXiv:2402.14740; DAPO's token mean, 2503.14476).
 * Since the log-probability a token was drawn with equals the trained one bit for bit, the ratio is exactly 1: no
 * clipping, no pass for old log-probabilities, no reference model.
 */
#ifndef HONE_TRAIN_REINFORCE_H
#define HONE_TRAIN_REINFORCE_H

#include "train/answers.h"
#include "train/evaluate.h"
#include "train/memory_plan.h"
#include "train/recipe.h"

struct reinforce_inputs {
    struct model *model;
    struct prompter *prompter;
    const struct dataset *train;
    const struct dataset *valid; /* or NULL */
    struct grader *grader;
    const struct recipe *recipe;
    const char *run_dir;         /* checkpoints go into run_dir/checkpoints */
    const char *base_name;       /* the model's name, for adapter_config.json */
    const struct adapter *start; /* of a fine-tuned model: where the new adapter begins; or NULL */
    bool resume;                 /* go on from the last checkpoint in run_dir, where there is one */
    /* Which way the same answers are come by: */
    const size_t *draft; /* engine_options.draft; NULL: DRAFT_AUTO */
    bool late_refill;    /* flat groups are replaced only when all the others are graded */
    const struct progress_sink *sink;
    const atomic_bool *stop; /* set: the loop ends after a checkpoint, with ERR_CANCELLED */
    /* Of a run that is done again by its own grades; then what they do not tell of, the likeliest answers, is not graded. Or NULL. */
    const struct known_grades *known;
    struct tool_servers *tool_servers; /* what answers may call; or NULL */
    const char
        *tool_record; /* the file of a run that is done again: nobody else is asked; or NULL */
};

struct reinforce_result {
    size_t steps, best_step; /* best by validation reward; 0: none measured */
    double first_reward, best_valid_reward, base_valid_reward;
    double max_dlogp;                 /* greatest of all steps: 0 or broken */
    double planned_bytes, peak_bytes; /* of memory: memory_plan.h; what the process had at most */
    char adapter_sha256[65];
    size_t trained_tokens;
};

MUST_CHECK bool reinforce(const struct reinforce_inputs *in, struct reinforce_result *out,
                          struct error *err);

/* What a job would meet before it starts. */
struct check_report {
    size_t n_rows_train, n_rows_valid, n_rows_checked, n_samples;
    size_t max_tokens; /* the answer length that earns most on the base model, or the job's own */
    double reward_mean, any_reward, pass_at_k, flat_share, truncated_share;
    double flat_share_low, flat_share_high; /* each the limit of a one-sided 95 % interval */
    double reward_distinct, reward_most;    /* different rewards seen; the highest */
    double best_mean; /* of the best of each prompt's answers: pass@k with partial credit */
    double best_low, best_high; /* the same limits of it */
    double best_needed;         /* for a job that can learn */
    double grader_error_share;
    double shadow_mean[GRADE_MAX_PARTS]; /* of each shadow grader; NaN: it failed on every answer */
    double shadow_failed[GRADE_MAX_PARTS]; /* share of the answers that it failed on */
    double better_share;  /* answers that earn more than the least that any earned */
    double tokens_mean;   /* of an answer */
    double better_a_step; /* such answers in a step, were it to sample all that it may */
    double seconds_per_step, seconds_total, memory_bytes;
    struct memory_plan plan; /* memory_bytes is its peak */
    bool can_learn;
    char verdict[1024]; /* plain words */
};
MUST_CHECK bool reinforce_check(const struct reinforce_inputs *in, struct check_report *out,
                                struct error *err);
#endif
