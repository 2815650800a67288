/*
 * engine.h - prompts become sampled answers, many at a time.
 *
 * Continuous batching over a tree: a prompt is read once for all its answers; answers whose tokens are equal so far are
 * one row, computed once, and part into rows of their own where they part. A place is filled anew the moment an answer
 * ends. What an answer is depends on its own prompt, options and counters alone: never on what was sampled beside it.
 */
#ifndef HONE_SAMPLE_ENGINE_H
#define HONE_SAMPLE_ENGINE_H

#include "base/philox.h"
#include "model/forward.h"
#include "sample/constraint.h"
#include "sample/pick.h"
#include "sample/thinking.h"

#include <stdatomic.h>

struct sample_request {
    const token_id *prompt; /* [n_prompt], at least one token */
    size_t n_prompt;
    size_t n_samples;  /* answers wanted */
    size_t max_tokens; /* of one answer, thinking and end token included */
    struct pick_options pick;
    struct thinking_options thinking;
    const struct str *stop; /* texts that end an answer: before the one that begins first */
    size_t n_stop;
    /*
     * NULL, or what the answer must be, thinking aside. It goes before all of pick, and log-probabilities are those of the
     * distribution over allowed tokens (see constraint_mask). max_tokens and stop may still cut an answer. Its vocabulary is
     * this model's.
     */
    const struct constraint *constraint;
    bool want_entropy;
    /* the counters of every random number: token t of sample s is drawn with (purpose, step, item, s, t) */
    uint64_t seed;
    enum philox_purpose purpose;
    uint32_t step, item;
};

enum sample_end { SAMPLE_STOP, SAMPLE_LENGTH, SAMPLE_CANCELLED };

struct sample {       /* one answer; arrays in the engine's arena, until the next engine_run */
    token_id *tokens; /* [n] the end token included */
    float *logprobs;  /* [n] */
    bool *injected;   /* [n] written by us, not drawn: no gradient */
    size_t n;
    size_t n_thinking; /* tokens up to and with the closing; 0: the answer has no span */
    float entropy_sum; /* nats, over drawn tokens, where wanted */
    size_t n_drawn;
    enum sample_end end;
    size_t stop_bytes; /* bytes of text before the stop text, when one was met; else SIZE_MAX */
    /* Where hooks->save is given: what was kept of each row, NULL where nothing was. */
    struct saved_row **rows;        /* [n] the rows of tokens; the last one's is not computed */
    struct saved_row **prompt_rows; /* [n_prompt] the same array for all samples of a request */
    size_t n_shared;                /* prompt rows from the first on that other requests share */
};

struct engine;
struct engine_options {
    size_t max_live;     /* answers in flight */
    size_t kv_bytes;     /* cache that requests are let in for; one alone may take more */
    size_t prefill_rows; /* prompt tokens read in one pass */
};
struct engine_options engine_defaults(const struct model *m);

MUST_CHECK bool engine_open(const struct model *m, const struct tokenizer *t,
                            const struct engine_options *opt, struct engine **out,
                            struct error *err);
void engine_close(struct engine *e);
size_t engine_bytes(const struct engine *e);
struct kv_pool *engine_pool(struct engine *e);
struct workspace *engine_workspace(struct engine *e);
/* Scratch for rows of logits [rows, ld], shared by sampling and training; at least one row. */
float *engine_logits(struct engine *e, size_t *rows, size_t *ld);

struct engine_hooks { /* each may be NULL; called from the thread that runs the engine */
    void *ctx;
    void (*done)(void *ctx, size_t request, size_t sample,
                 const struct sample *s); /* the moment an answer ends */
    void (*token)(void *ctx, size_t request, size_t sample, token_id id, float logp);
    void (*tick)(void *ctx, size_t n_done, size_t n_total);
    const atomic_bool *stop; /* read once per token: ends everything with ERR_CANCELLED */
    struct saved_pool
        *save;         /* rows are kept here, as room permits, until the caller gives them back */
    size_t save_leave; /* so many are left free */
};

/* samples[r][s] for each request's samples, in arrays that the engine owns until the next call. */
MUST_CHECK bool engine_run(struct engine *e, const struct adapter *adapter,
                           const struct sample_request *requests, size_t n_requests,
                           const struct engine_hooks *hooks, struct sample ***samples,
                           struct error *err);

struct engine_counts {
    size_t prompt_tokens, sampled_tokens; /* sampled: as the user counts them */
    size_t rows;                          /* rows really computed */
};
struct engine_counts engine_counts(const struct engine *e); /* since it was opened */

/* ln p of tokens[i] given those before it, for i = 1 .. n - 1, into logprobs[1..n); logprobs[0] = 0. */
MUST_CHECK bool engine_score(struct engine *e, const struct adapter *adapter,
                             const token_id *tokens, size_t n, float inv_t, float *logprobs,
                             struct error *err);
#endif
