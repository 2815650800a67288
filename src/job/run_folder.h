/*
 * run_folder.h - what a training run tells is written down, so that it survives the run.
 *
 *     DIR/job.json              the job as given, the graders, and resolved: what was known when the run began (paths, names)
 *                               and, once the loop has settled it, what the job left open; group_size is the first one
 *         events.jsonl          event objects of the API, oldest first: messages, and one of metrics a step
 *         metrics.csv           the API's result file: one row a step (metrics.h)
 *         rollouts/step-N.jsonl every answer of training step N; valid-N.jsonl: those of the validation
 *         evals/NAME.json       results of evaluations; the report compares before.json with after.json
 *         checkpoints.json      what was told of checkpoints; checkpoints/step-N/ is the trainer's
 *         certificate.jsonl     hashes of what the run was made of and of each step (certificate.h), for hone replay
 *         report.html           report.h
 *         token_changes.jsonl   what models said of some answers afterwards, for the report (report_score.h); rollouts.index is an
 *                               index of all answers (rollout_index.h). Both may be deleted: neither is part of what a run is
 *
 * A run of supervised fine-tuning or dpo has no graders and no rollouts; reference.json is the trainer's, too.
 *
 * A line of rollouts/:
 *
 *     {"step":3,"item":17,"sample":0,"count":3,"samples":[0,4,5],"prompt":"...","reference":{...},"tokens":[ids],
 *      "logprobs":[...],"pieces":["..."],"thinking_tokens":4,"thinking":"...","answer":"...","truncated":false,
 *      "reward":1.0,"scores":{NAME:1.0},"shadow_scores":{NAME:null},"errors":["other_error"],"details":"...","advantage":0.75,"trained":true}
 *
 * Samples of a group that are the same tokens are one line, with the first of them as its sample: the rest of it is the
 * same for all. count (1 where it is missing) says how many they are, samples which; both are left out for one alone.
 * prompt and reference (the dataset item without its messages) stand with sample 0 of a group alone; pieces, the text
 * of each token, where the run was opened with tokens.text; shadow_scores only where there are shadow graders, null where
 * one failed; tool_calls, behind answer, which is then the text beside them, only where the row has tools; details and shadow_details only where grading failed. Log-probabilities and
 * the advantage have the digits that read back to the same 32-bit number.
 *
 * A line of more than LIMIT_LINE_BYTES is not kept whole: "cut":true stands behind sample, prompt, thinking and answer end after
 * 64 KiB, tokens and logprobs are empty, and reference, pieces and tool_calls are left out. Reward and scores are those of the whole.
 *
 * Every event belongs to a step (data.step): that of the newest rollout or step told before it, or the next one
 * where it begins with "Step N:". A run that was killed is
 * cut back to its checkpoint, right behind the event of that checkpoint; what is told again from there makes the same files
 * as an unbroken run, times apart. For that the loop tells all of step N before it saves checkpoint N, and what it told is on the disk
 * before that checkpoint is: once for all steps since the one before, for what comes after a checkpoint is told again.
 *
 * A line is there whole or not at all: line_file.h. One process writes (the folder is locked), one thread tells.
 */
#ifndef HONE_JOB_RUN_FOLDER_H
#define HONE_JOB_RUN_FOLDER_H

#include "job/certificate.h"
#include "job/rollout_line.h"
#include "text/json.h"
#include "train/progress.h"

/*
 * Whoever else wants to know what is written, before it is: when a checkpoint is there, all that was told before it has been
 * heard. Each function may be NULL; false stops the run. The objects are the API's and are lent.
 */
struct run_listener {
    void *ctx;
    /*
     * key: what makes it this event of the job. Told again by a run that went back to a checkpoint, it has the same key and id.
     * NULL: one from before that checkpoint, which whoever listened may have lost; it has its id. So with checkpoints.
     */
    bool (*event)(void *ctx, const json_t *event, const char *key, struct error *err);
    /* Right before a step's metrics event. */
    bool (*progress)(void *ctx, size_t step, size_t total_steps, double seconds_left,
                     struct error *err);
    /* One that stays. dir: its name in checkpoints/ */
    bool (*checkpoint)(void *ctx, const json_t *checkpoint, const char *dir, struct error *err);
    bool (*settled)(void *ctx, const json_t *resolved, struct error *err);
};

struct run_folder_options {
    const json_t *job;            /* body of POST /v1/fine_tuning/jobs; NULL on resume: as it was */
    const json_t *resolved;       /* what is known beside it: paths, names; or NULL */
    const char *id;               /* "ftjob-..."; NULL: made up */
    const char *fine_tuned_model; /* "ft:...", which checkpoints are named after, or NULL */
    enum train_method method;     /* whose metrics are told; graders are of reinforcement alone */
    size_t n_graders;             /* 1..GRADE_MAX_PARTS: grader_count; 0 for other methods */
    const char *const *grader_names, *const *grader_types;
    const char *const *grader_models; /* [n_graders] grader_model; NULL: none asks one */
    const bool *grader_shadows;       /* [n_graders] grader_is_shadow; NULL: none is */
    const json_t *origin;             /* certificate_head; NULL: no certificate is written */
    size_t n_tools;                   /* that answers may call: there are columns of them */
    const char *const *tool_names;    /* [n_tools] */
    bool resume;                      /* the folder holds a run that is to go on */
    struct rollout_tokens tokens;     /* for "pieces"; all zeros: none are written */
    struct run_listener listener;     /* all zeros: none */
};

struct run_folder;
/*
 * Without resume the folder is made, and must not hold a run. With resume it must hold one of the same job: fails with
 * ERR_INVALID naming what differs; where a file of its is another one, the rewind fails. A run that has no checkpoint yet starts afresh then, under its old id.
 * Fails with ERR_TIMEOUT where another process writes into the folder.
 */
MUST_CHECK bool run_folder_open(const char *dir, const struct run_folder_options *opt,
                                struct run_folder **out, struct error *err);
void run_folder_close(struct run_folder *f); /* NULL is fine */

/* Whether a run is being written there now. */
bool run_folder_is_written(const char *dir);

struct progress_sink run_folder_sink(struct run_folder *f); /* valid until close */

/* The run has ended: its certificate says so. */
MUST_CHECK bool run_folder_end(struct run_folder *f, struct error *err);
/* The certificate as far as it is written; its newest line is that of the last step that was told. */
const struct certificate *run_folder_certificate(const struct run_folder *f);

const char *run_folder_dir(const struct run_folder *f);
const char *run_folder_id(const struct run_folder *f);
const json_t *run_folder_job(const struct run_folder *f); /* as given at the start */

/* Writes evals/NAME.json whole; name is of letters, digits, '-', '_' and '.'. What the report reads of it: run_read.h. */
MUST_CHECK bool run_folder_put_eval(const char *dir, const char *name, const json_t *result,
                                    struct error *err);
#endif
