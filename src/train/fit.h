/*
 * fit.h - the loop of the methods whose rows say what to answer: supervised fine-tuning and dpo.
 *
 *     rows (seeded order, each once an epoch) -> forward, loss, backward in passes over the tree -> AdamW -> told, saved
 *
 * The losses: supervised.h, preference.h. Forward, tree, passes, optimizer and checkpoints are those of reinforcement, and
 * so is their promise: the same job ends with the same adapter, bit for bit, on any machine and after any kill.
 *
 * An epoch is as many steps as it takes, the last with what rows are left. Before the first step and at the end of each
 * epoch the whole validation file is measured, at every eval_interval-th step as many of its rows as a batch has (8 at
 * least), further ones each time. Checkpoints are written at each epoch's end, of which the last keep_best stay, and every
 * checkpoint_interval steps.
 */
#ifndef HONE_TRAIN_FIT_H
#define HONE_TRAIN_FIT_H

#include "model/adapter.h"
#include "sample/prompt.h"
#include "text/dataset.h"
#include "train/memory_plan.h"
#include "train/progress.h"
#include "train/recipe.h"

#include <stdatomic.h>

struct fit_inputs {
    struct model *model;
    const struct prompter *prompter;
    const struct dataset *train; /* of the method's format: fit_format */
    const struct dataset *valid; /* or NULL */
    const struct recipe *recipe; /* of method supervised or dpo */
    const char *run_dir;         /* checkpoints go into run_dir/checkpoints */
    const char *base_name;       /* the model's name, for adapter_config.json */
    const struct adapter *
        start; /* of a fine-tuned model: where the new adapter begins, and what dpo refers to; or NULL */
    bool resume; /* go on from the last checkpoint in run_dir, where there is one */
    const struct progress_sink *sink;
    const atomic_bool *stop; /* set: the loop ends after a checkpoint, with ERR_CANCELLED */
};

struct fit_result {
    size_t steps, n_epochs;
    double first_loss,
        last_loss; /* of the batches of the first and last step, before their updates */
    bool has_valid;
    struct fit_measure base_valid, valid; /* the validation file before training, and at the end */
    char adapter_sha256[65];
    size_t trained_tokens;            /* learned, over all steps */
    double planned_bytes, peak_bytes; /* of memory: memory_plan.h; what the process had at most */
};

MUST_CHECK bool fit(const struct fit_inputs *in, struct fit_result *out, struct error *err);

/* What a job would meet before it starts. */
struct fit_report {
    enum train_method method;
    size_t n_rows_train, n_rows_valid;
    size_t tokens, learned;       /* of the training file */
    size_t longest, longest_line; /* row, in tokens, and its line */
    size_t batch_size, n_epochs, steps;
    struct fit_measure first; /* the first batch, before training */
    double seconds_per_step, seconds_total, memory_bytes;
    struct memory_plan plan; /* memory_bytes is its peak */
};
/* Renders every row, and computes the first batch's gradient once for the time it takes; run_dir is not touched. */
MUST_CHECK bool fit_check(const struct fit_inputs *in, struct fit_report *out, struct error *err);
#endif
