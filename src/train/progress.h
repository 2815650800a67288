/*
 * progress.h - what a training run tells while it goes: the loop calls, job/ writes it down, cli/ shows it.
 */
#ifndef HONE_TRAIN_PROGRESS_H
#define HONE_TRAIN_PROGRESS_H

#include "base/error.h"
#include "base/str.h"
#include "grade/grader.h"
#include "train/habits.h"

#include <stdint.h>

enum train_method { METHOD_REINFORCEMENT, METHOD_SUPERVISED, METHOD_DPO };

enum event_level { EVENT_INFO, EVENT_WARN, EVENT_ERROR };

/* One sampled answer, graded. Everything belongs to the caller and lives during the call. */
struct rollout {
    size_t step;       /* 0: before training */
    bool valid;        /* from the validation file */
    size_t item;       /* row of its file, 0 first */
    size_t sample;     /* 0..G-1 */
    struct str prompt; /* rendered text; the same for all of a group */
    const json_t *row; /* the dataset item */
    size_t n_tokens;   /* sampled, the end token included */
    const int32_t *tokens;
    const float *logprobs;    /* natural log, as sampled and as trained */
    struct str thinking;      /* or "" */
    struct str answer;        /* what the grader saw */
    const json_t *tool_calls; /* and the calls of tools; NULL where its row has no tools */
    const json_t
        *tool_steps; /* what was called and answered in between: struct episode; NULL: nothing */
    const bool *injected; /* [n_tokens] not drawn: a closing of thinking, and what it was given */
    size_t n_given;       /* tokens that tools said, and the template around it */
    const char *lost;     /* why it does not count, where a tool did not answer; or NULL */
    size_t n_thinking_tokens;
    bool truncated; /* met the token limit */
    const struct grade_result *grade;
    float advantage; /* 0 for validation */
    bool trained;    /* false: its group was flat, or it was masked */

    const size_t *alike; /* [n_alike] samples of the group with these very tokens, lowest first */
    size_t n_alike;      /* 0: not looked for */
};

struct step_metrics {
    size_t step, total_steps, epoch;
    size_t n_samples, n_groups, n_flat_groups, n_groups_all_zero, n_groups_all_one;
    double train_mean_reward, reward_std;
    double completion_tokens_mean, reasoning_tokens_mean;
    double truncated_share;
    double entropy;   /* nats a token, mean over sampled tokens */
    double kl;        /* measured KL(old || new) of this update, nats a token */
    double max_dlogp; /* max |logp sampled - logp trained|: 0, or something is broken */
    double grad_norm, learning_rate, loss, temperature;
    bool rolled_back; /* the guard undid this update */
    bool has_valid;
    double valid_mean_reward, valid_ci95, valid_greedy_reward, valid_completion_tokens_mean,
        valid_reasoning_tokens_mean;
    double seconds_sampling, seconds_grading_wait, seconds_training, seconds_eval, seconds_total;
    size_t tokens_sampled, tokens_prompt;
    size_t rows_sampled, tokens_trained; /* rows computed: what is shared counts once */
    size_t passes_sampled;               /* forward passes that sampling took, */
    size_t rows_drafted, rows_accepted;  /* rows computed for guesses, and those that were right */
    size_t grader_errors[16];            /* by bit of enum grade_flag, train samples */
    size_t valid_grader_errors[16];
    /* train samples: calls of tools that were made, refused; samples that are lost; in all */
    size_t n_tool_calls, n_tool_refused, n_tool_lost, n_tool_tokens;
    double tool_seconds;
    char tool_failure[512];    /* why the first of them was lost */
    size_t n_grader_failed;    /* train samples with any of them */
    char grader_failure[1024]; /* what the first of those was, as struct grade_result has it */
    size_t n_graders;          /* shadows among them */
    /* a shadow's: over the answers that it did not fail on; NaN where there is none */
    double grader_train_mean[GRADE_MAX_PARTS], grader_valid_mean[GRADE_MAX_PARTS],
        grader_seconds_mean[GRADE_MAX_PARTS];
    double train_habit[N_HABITS], valid_habit[N_HABITS];
    double
        train_same_reference; /* the largest share of the step's prompts that want the same answer */
    char adapter_sha256[65];  /* after this step's update; "" when not computed */
    double seconds_left;      /* estimate for the whole run */
    size_t peak_rss_bytes;
};

/* What a model makes of rows of data that say what to answer: means over them. */
struct fit_measure {
    size_t n_rows, n_tokens; /* tokens: those learned; of dpo: of the preferred answers */
    double loss;
    double token_accuracy; /* share of these tokens that no other token was likelier than */
    /* of dpo: beta (ln pi - ln ref) of the better and the worse answer; rows where that of the better is greater */
    double reward_chosen, reward_rejected, reward_accuracy, reward_margin;
};

/* A step of supervised fine-tuning or dpo. */
struct fit_metrics {
    size_t step, total_steps, epoch; /* epoch: 1 for the first */
    bool epoch_ends;
    struct fit_measure train; /* of the step's batch, before its update */
    bool has_valid, has_full_valid;
    struct fit_measure valid,
        full_valid; /* after it: of a batch of the validation file; of all of it */
    double grad_norm, learning_rate;
    size_t rows_trained; /* computed: what is shared counts once */
    double seconds_training, seconds_eval, seconds_total, seconds_left;
    char adapter_sha256[65]; /* after this step's update */
    size_t peak_rss_bytes;
};

struct checkpoint_info {
    size_t step;
    double valid_mean_reward; /* NaN: not measured */
    bool best;                /* among the best three */
    bool stays; /* among the best so far, an epoch's end, the last; false: only to go on from */
    const struct fit_metrics *fit; /* of this step, where it was a step of fitting; or NULL */
    const char *dir;               /* checkpoints/step-N, already whole */
};

struct progress_sink {
    void *ctx;
    bool (*event)(void *ctx, enum event_level level, const char *message, struct error *err);
    bool (*rollout)(void *ctx, const struct rollout *r, struct error *err);
    bool (*step)(void *ctx, const struct step_metrics *m, struct error *err);
    bool (*fit_step)(void *ctx, const struct fit_metrics *m, struct error *err);
    /* Right before the checkpoint of this step is saved: once it is there, nothing up to here is told again. */
    bool (*before_checkpoint)(void *ctx, size_t step, struct error *err);
    bool (*checkpoint)(void *ctx, const struct checkpoint_info *c, struct error *err);
    /* after a resume: everything told of steps past this one is to be forgotten */
    bool (*rewind)(void *ctx, size_t step, struct error *err);
    /*
     * Before the first step, and after the rewind of a resume: nothing is open any more. values: what recipe_all and
     * recipe_hyperparameters show, as measured and as used; group_size is the first one; and total_steps.
     */
    bool (*settled)(void *ctx, const json_t *values, struct error *err);
    /* token progress inside a step for a live view; may be NULL */
    void (*tick)(void *ctx, const char *phase, size_t done, size_t total);
};
#endif
