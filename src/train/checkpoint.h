/*
 * checkpoint.h - everything that a run needs to go on as if it had never stopped.
 *
 *     checkpoints/step-N/   adapter_config.json, adapter_model.safetensors   (or model.safetensors: full fine-tuning)
 *                           optimizer.safetensors                            the moments
 *                           state.json                                       counters and scalars
 *                           pinned                                           empty: it stays as long as the run
 *
 * A checkpoint is written beside its place and renamed when it is whole: it is there or it is not.
 */
#ifndef HONE_TRAIN_CHECKPOINT_H
#define HONE_TRAIN_CHECKPOINT_H

#include "model/model.h"
#include "train/ledger.h"
#include "train/optimizer.h"
#include "train/progress.h"

#define CHECKPOINT_BEST 100

/* Of a run of supervised or dpo. */
struct fit_state {
    bool on;
    double first_loss, last_loss;
    bool has_valid;
    struct fit_measure base_valid, valid;
};

struct train_state {
    uint64_t step;                   /* steps done */
    uint64_t cursor;                 /* prompts taken from the training file, over all epochs */
    double rate_scale;               /* what the guard has left of the learning rate */
    double entropy_start;            /* nats a token in the first steps */
    double entropy_bonus;            /* the coefficient in force */
    uint64_t max_tokens, group_size; /* as measured or set at the start */
    uint64_t trained_tokens;
    double max_dlogp, first_reward, base_valid_reward;
    uint64_t solved_steps; /* steps in a row in which nearly every answer was right */
    bool collapse_told, group_auto;
    struct ledger_state ledger;
    size_t n_best; /* best validation rewards so far, best first */
    uint64_t best_step[CHECKPOINT_BEST];
    double best_reward
        [CHECKPOINT_BEST]; /* of supervised and dpo: the newest ends of epochs, newest first */
    struct fit_state fit;
};

/* What is saved: an adapter, or with adapter NULL the unfrozen model. */
struct checkpoint_parts {
    const struct adapter *adapter;
    const struct model *model;
    const struct optimizer *optimizer;
    const struct train_state *state;
    bool stays; /* struct checkpoint_info */
};
MUST_CHECK bool checkpoint_save(const char *run_dir, const struct checkpoint_parts *parts,
                                struct arena *a, const char **dir, struct error *err);
/* The last whole checkpoint of a run with everything to resume from: its step, or 0. */
uint64_t checkpoint_last(const char *run_dir);
/* Puts values, moments and state back; shapes must fit. values [n] is the adapter's or the model's. */
MUST_CHECK bool checkpoint_load(const char *run_dir, uint64_t step, struct model *model,
                                struct adapter *adapter, struct optimizer *optimizer,
                                struct train_state *state, struct error *err);
/* What it was saved as; true where nothing is known of it. */
bool checkpoint_stays(const char *run_dir, uint64_t step);
/* Somebody was told of it: no later checkpoint_prune removes it. */
MUST_CHECK bool checkpoint_pin(const char *run_dir, uint64_t step, struct error *err);
/* Keeps the newest whole, the best and the pinned without their optimizer unless it is to stay, and removes the others. */
MUST_CHECK bool checkpoint_prune(const char *run_dir, const struct train_state *state,
                                 size_t keep_best, bool keep_optimizer, struct error *err);
/* Whether the checkpoint of a step is there with everything to resume from. */
bool checkpoint_is_whole(const char *run_dir, uint64_t step);
#endif
