/*
 * speed.h - how fast a model samples and trains on this machine, measured on prompts of random tokens.
 *
 *     prefill  prompts are read
 *     sample   answers are drawn behind prompts that have been read; none ends early
 *     train    answers behind prompts: forward, a loss at every position of an answer, backward with an adapter
 *     step     a step of fine-tuning: sampling, the tree, forward, loss, backward and AdamW and the guard; without a grader
 *
 * The work is done by the functions that training calls, in the same passes. It is the same work every time: prompts and
 * answers follow from the seed, and the optimizer moves the adapter at a rate of 0.
 */
#ifndef HONE_TRAIN_SPEED_H
#define HONE_TRAIN_SPEED_H

#include "sample/engine.h"

enum speed_part { SPEED_PREFILL, SPEED_SAMPLE, SPEED_TRAIN, SPEED_STEP, N_SPEED_PARTS };
const char *speed_part_name(enum speed_part part);

#define SPEED_RANK 16 /* of the adapter that is trained */

struct speed_case { /* all 1 or more; no two prompts begin alike */
    size_t n_prompts;
    size_t prompt_tokens; /* of each */
    size_t n_answers;     /* to each prompt, which they share */
    size_t
        answer_tokens; /* of each; 2 or more in SPEED_SAMPLE, whose first ones come of the prompt */
};
struct speed_case speed_defaults(enum speed_part part);

struct speed_time {
    double seconds;
    size_t tokens; /* read, drawn or trained on in these seconds */
    size_t rows;   /* of sampling and of training, what is shared once in each */
    double sampling_s, training_s, update_s; /* of a step: together nearly its seconds */
    size_t kept_bytes; /* of a step: what may be kept of its rows, whole and lean */
    double max_dlogp;  /* of a step: max |ln p trained on - ln p drawn with|, which must be 0 */
};

struct speed_inputs {
    struct model *model; /* loses its end tokens: every answer becomes as long as asked */
    struct engine *engine;
    const struct adapter
        *adapter; /* that is read and sampled with, in step and train a new one; or NULL */
    uint64_t seed;
    double memory_bytes;     /* for what training keeps of a step; 0: as a job would have it */
    const atomic_bool *stop; /* once a token and once a pass; or NULL */
};

/* Fails with ERR_LIMIT where a prompt and its answer do not fit the model's positions. */
MUST_CHECK bool speed_check(const struct model *m, enum speed_part part, const struct speed_case *k,
                            struct error *err);

struct speed;
MUST_CHECK bool speed_open(const struct speed_inputs *in, struct speed **out, struct error *err);
void speed_close(struct speed *s); /* NULL is fine */
/* Once. Fails as speed_check does, for want of memory, and with ERR_CANCELLED. */
MUST_CHECK bool speed_measure(struct speed *s, enum speed_part part, const struct speed_case *k,
                              struct speed_time *out, struct error *err);
#endif
