/*
 * recipe.h - every number of a fine-tuning job, with its default, from the body of POST /fine_tuning/jobs.
 *
 * The API's hyperparameters stand in method.TYPE.hyperparameters; what the API does not know stands in "hone":
 * {...} at the top of the body, under the names below. "auto" and a missing key mean the default. A body without "method" is
 * of method supervised, as in the API, where "hyperparameters" may stand at the top.
 */
#ifndef HONE_TRAIN_RECIPE_H
#define HONE_TRAIN_RECIPE_H

#include "model/model.h"
#include "text/json.h"
#include "train/advantage.h"
#include "train/progress.h"

enum rate_schedule {
    RATE_CONSTANT, /* after the warm-up */
    RATE_LINEAR,   /* falls on a line that reaches 0 behind the last step */
};

struct recipe {
    enum train_method method;
    /* the API's */
    size_t
        batch_size; /* B: prompts a step; of supervised and dpo: rows, 0 there: by their number */
    double learning_rate_multiplier;
    size_t n_epochs; /* 0: from max_steps */
    double compute_multiplier;
    size_t eval_interval; /* steps */
    size_t eval_samples;  /* answers per validation item */
    char reasoning_effort[16];
    double beta; /* of dpo */
    uint64_t seed;
    char suffix[65];
    /* ours */
    size_t max_steps;  /* 0: n_epochs decide */
    size_t group_size; /* G: answers a prompt; 0: as many as are cheap */
    bool group_auto;   /* it was 0: the loop goes on fitting it */
    size_t max_tokens; /* of one answer; 0: measured on the base model before the first step */
    /* of a job with tools: tokens of what they say in one answer, all its turns; 0: by the context, and always without tools */
    size_t max_tool_tokens;
    double tool_timeout_s;    /* of a call, its tries together */
    size_t tools_at_once;     /* calls */
    size_t max_prompt_tokens; /* longer prompts are refused; 0: what the context leaves */
    double temperature;
    size_t lora_rank; /* 0: full fine-tuning */
    double lora_alpha;
    double learning_rate; /* before the multiplier */
    size_t warmup_steps;  /* RECIPE_AUTO: by the number of steps */
    enum rate_schedule schedule;
    double beta1, beta2, eps, weight_decay, max_grad_norm;
    struct advantage_options advantage;
    size_t refill; /* at most this many times B prompts are sampled for a step */
    size_t
        max_negatives; /* different below-average answers of a group that are trained on; 0: all */
    double entropy_floor; /* nats a token: below it exploration is paid for; 0: never */
    double entropy_bonus; /* greatest coefficient that pays */
    double
        mask_truncated_below; /* truncated answers are left out of the loss once they are fewer than this share */
    double
        max_grader_errors; /* a step with a larger share of answers that the grader fails on ends the run */
    double kl_slow,
        kl_undo; /* a step's measured KL above which the next rate is halved; the step is undone; 0: never */
    size_t checkpoint_interval; /* steps between checkpoints to resume from */
    size_t keep_best;
    size_t
        keep_optimizer; /* 1: checkpoints that stay can be gone on from, too (hone replay --from) */
    size_t parse_special;     /* 1: texts like special tokens in messages are these tokens */
    enum precision precision; /* of the forward pass, in sampling, scoring and training */
    enum kv_cache kv_cache;   /* what keys and values are kept in, there and in the backward */
    size_t pass_rows; /* rows of one training pass at most: part of the numbers' definition */
    double
        memory_bytes; /* for activations: what does not fit is computed again; 0: what can be spared */
    size_t max_live;               /* answers sampled at a time */
    json_t *reasoning;             /* {"open","close","budget"} or NULL; borrowed from the job */
    const json_t *response_format; /* what answers are held to, or NULL; borrowed likewise */
};

#define RECIPE_AUTO SIZE_MAX
bool recipe_is_auto(const json_t *v); /* whether a setting that stands so in a job is left open */

struct recipe recipe_defaults(const struct model_config *c); /* of reinforcement */
struct recipe recipe_defaults_of(enum train_method method, const struct model_config *c);
const char *train_method_name(enum train_method method); /* "reinforcement", "supervised", "dpo" */
const json_t *recipe_reinforcement(const json_t *job);   /* its "method.reinforcement", or NULL */
/* What a job's body says its method is; supervised where it says nothing. */
MUST_CHECK bool recipe_method(const json_t *job, enum train_method *out, struct error *err);
/* From a job's body, names checked: an unknown key under "hone" or a value out of range is refused, naming it;
   so is a setting of another method. */
MUST_CHECK bool recipe_from_job(const json_t *job, const struct model_config *c, struct recipe *out,
                                struct error *err);
/* memory_bytes, or where it is 0 what this machine can spare now. It changes speed, never a result. */
double recipe_memory_bytes(const struct recipe *r);
/* What was decided, as the job object shows it: {"n_epochs":..,"batch_size":..} (new trees, the caller's) */
json_t *recipe_hyperparameters(const struct recipe *r);
json_t *recipe_all(const struct recipe *r);
#endif
