/*
 * certificate.h - what a run was made of and what each of its steps came to, as hashes: DIR/certificate.jsonl.
 *
 * Whoever has the model, the data and the job can do the run again (hone replay) and see at which step it becomes another one; whoever
 * has the run's folder alone can compute every hash of a step again, with any program. All hashes are SHA-256, in hexadecimal digits.
 * A line each, in this order:
 *
 *     {"certificate":1,"job":{...},"model":{FILE:{"bytes":N,"sha256":H},...},"start":{...},"training_file":{"bytes":N,"sha256":H},
 *      "validation_file":{...},"template":H,"context":N,"hone":"0.1.0","kernels":"avx2","chain":H}
 *         job: the body as job.json has it, with the grader, the seed and all settings in it. start: files of the adapter that training
 *         began with; start, validation_file and template (in place of the model's own) only where there is one
 *     {"settled":{...},"chain":H}       what the job left open: "resolved" of job.json as the loop settled it, without memory_bytes and memory_plan
 *     {"step":3,"train":{"answers":H,"logprobs":H,"grades":H,"advantages":H},"valid":{...},"metrics":H,"adapter":H,"chain":H}
 *         train, valid: of rollouts/step-3.jsonl and valid-3.jsonl, where there are answers. Step 0 is the validation before the first
 *         step, with neither metrics nor adapter
 *     {"resumed":3,"hone":"0.2.0","kernels":"avx512","chain":H}   the run went on after step 3 with another version or other kernels
 *     {"end":150,"adapter":H,"chain":H}  the run ended, after so many steps
 *
 * chain is the hash of the line before's 64 digits (none for the first line) and of this line's bytes before `,"chain":`. So no line can be
 * changed, left out or moved without all behind it; what is missing at the end is shown by the missing "end". It is no signature: who writes
 * all lines anew can write what they like, and only doing the run again proves them wrong.
 *
 * The hashes of answers are of these bytes, line by line as they stand in rollouts/, numbers with their lowest byte first:
 *
 *     answers      item u64; number of samples u64; each of "samples" (where it is missing: "sample") u64; number of tokens u64; each token
 *                  i32; truncated u8
 *     logprobs     each of "logprobs" as its 32-bit float
 *     grades       reward as its 64-bit float; number of scores u64; each of "scores", then of "shadow_scores", as its 64-bit float; the
 *                  names in "errors", each ended by a line break; a zero byte
 *     advantages   advantage as its 32-bit float; trained u8
 *
 * null stands for a number that is none: bits 7FC00000 or 7FF8000000000000. Of an answer whose line is cut the whole is hashed. Texts are not
 * in it, for they follow from the tokens; seconds and tracebacks are nobody's promise.
 *
 *     metrics      of each column of metrics.csv in its order, those left out that metrics_repeats (metrics.h) says no to: its name, '=', the
 *                  cell (both with the quotes of CSV taken away), a line break
 *     adapter      of the values as 32-bit floats: layer by layer q, k, v, o, gate, up, down, of each lora_A [R, C] and then lora_B [N, R], row
 *                  by row; of full fine-tuning of the weights. It is adapter_sha256 of metrics.csv and events.jsonl
 *
 * A run that was killed is cut back with its folder (run_folder.h), and what is written again is the same. A folder whose run began before
 * there were certificates gets none when it goes on.
 */
#ifndef HONE_JOB_CERTIFICATE_H
#define HONE_JOB_CERTIFICATE_H

#include "base/sha256.h"
#include "job/line_file.h"
#include "job/metrics.h"

#define CERTIFICATE_FILE "certificate.jsonl"

/* ---- what a run is made of ---- */

struct certificate_origin {
    const json_t *job;
    const char *model;         /* a .gguf file or a folder */
    const char *start;         /* folder of an adapter, or NULL */
    const char *train, *valid; /* files; valid may be NULL */
    const char *template;      /* its text, or NULL */
    size_t context;            /* positions that the model was opened with */
    const char *kernels;
};
/* The first line without its chain, the caller's: reads all files once. */
MUST_CHECK bool certificate_head(const struct certificate_origin *o, json_t **out,
                                 struct error *err);
/*
 * Whether a run of made (a head) is one of the same job, model and files as was; fails with ERR_INVALID saying what is another. Version and
 * kernels may be others.
 */
MUST_CHECK bool certificate_same_origin(const json_t *was, const json_t *made, struct error *err);

/* ---- hashes of what is told ---- */

struct answers_hash {
    bool any;
    struct sha256_ctx part[4]; /* answers, logprobs, grades, advantages */
};
/* header and row: lines of metrics.csv, without their line breaks */
struct sha256_text metrics_hash(struct str header, struct str row);

/* ---- writing ---- */

/* All zeros is one that is not written. */
struct certificate {
    struct line_file file;
    struct buf line;
    json_t *newest; /* the last line of a step, without its chain, or NULL */
    char chain[65]; /* of the last line; "" before the first */
    size_t step;    /* that train and valid are of */
    struct answers_hash train, valid;
    bool settled; /* that line is there */
};
/* Anew, beginning with head. */
MUST_CHECK bool certificate_begin(struct certificate *c, const char *path, const json_t *head,
                                  struct error *err);
/*
 * Goes on with the one at path after step: lines behind that step are cut off. Where there is none, or it does not reach step, it is not
 * written, and *gap tells why ("" where all is well). Fails where head is of another job or other files.
 */
MUST_CHECK bool certificate_resume(struct certificate *c, const char *path, const json_t *head,
                                   size_t step, char gap[256], struct error *err);
/* What this machine can spare now: it changes no result. */
bool certificate_leaves_out(const char *setting);
MUST_CHECK bool certificate_settled(struct certificate *c, const json_t *values, struct error *err);
/* r stands for its alike, too, and is told once for all of them, as in rollouts/. */
MUST_CHECK bool certificate_rollout(struct certificate *c, const struct rollout *r,
                                    const struct metrics_graders *graders, struct error *err);
MUST_CHECK bool certificate_step(struct certificate *c, size_t step,
                                 const struct sha256_text *metrics, const char *adapter,
                                 struct error *err);
/* After the last step, whose adapter it names again. Nothing where no step is in it. */
MUST_CHECK bool certificate_end(struct certificate *c, struct error *err);
void certificate_close(struct certificate *c);

/* ---- reading ---- */

struct certified {
    json_t *head, *settled; /* settled: NULL where the run was stopped before */
    json_t *steps;          /* lines of steps, lowest first, one after another from 0 or 1 on */
    json_t *end;            /* or NULL */
    json_t *resumed;        /* list of those lines */
};
/*
 * Checks the chain, and that the lines are what they must be in their order. Fails with ERR_NOT_FOUND where there is none, and with
 * ERR_CORRUPT naming the line. What stands after the last line break is not there.
 */
MUST_CHECK bool certified_read(const char *path, struct certified *out, struct error *err);
void certified_release(struct certified *c); /* all zeros is fine */
/* The line of a step, or NULL. */
const json_t *certified_step(const struct certified *c, size_t step);
/* The last step; 0: none. */
size_t certified_last(const struct certified *c);
#endif
