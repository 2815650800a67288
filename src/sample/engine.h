/*
 * engine.h - prompts become sampled answers, many at a time.
 *
 * Continuous batching over a tree: a prompt is read once for all its answers; answers whose tokens are equal so far are
 * one row, computed once, and part into rows of their own where they part. A place is filled anew the moment an answer
 * ends. What an answer is depends on its own prompt, adapter, options and counters alone: never on what was sampled beside
 * it, nor on when it came, nor on what was drafted for it (sample/draft.h).
 *
 * There are two ways in. engine_run takes a list of requests for one adapter and returns when all are answered: training,
 * evaluation. engine_submit takes a request at any time, each with an adapter of its own over the one base, and engine_turn
 * goes one token on with all of them: serving. One thread owns an engine and makes all calls.
 */
#ifndef HONE_SAMPLE_ENGINE_H
#define HONE_SAMPLE_ENGINE_H

#include "base/philox.h"
#include "model/forward.h"
#include "sample/constraint.h"
#include "sample/history.h"
#include "sample/pick.h"
#include "sample/thinking.h"

#include <stdatomic.h>

struct sample_request {
    const token_id *prompt; /* [n_prompt], at least one token */
    size_t n_prompt;
    size_t n_samples;  /* answers wanted */
    size_t max_tokens; /* of one answer, thinking and end token included */
    /*
     * Room for what an answer may be given between its turns (engine_hooks.goes_on): tokens of all of them together, which
     * max_tokens does not count. 0: it has one turn. Only in a run, and not with a constraint or stop texts.
     */
    size_t max_given;
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
    size_t n_top; /* likeliest tokens told with each token, 0 to PICK_MAX_TOP; 0 costs nothing */
    /* [n_before] earlier answers to the prompt, or none: they change how long it takes, nothing else */
    const struct draft_text *before;
    size_t n_before;
    /* the counters of every random number: token t of sample s is drawn with (purpose, step, item, s, t) */
    uint64_t seed;
    enum philox_purpose purpose;
    uint32_t step, item;
};

enum sample_end { SAMPLE_STOP, SAMPLE_LENGTH, SAMPLE_CANCELLED };

/* What comes behind a turn of an answer. */
struct given {
    size_t request, sample;
    const token_id *tokens; /* [n] until the next call; n is 0 where it ends */
    size_t n;
    bool thinking; /* they end with the opening of a span */
    bool ends;     /* nothing follows: it ends so */
    enum sample_end end;
};

struct sample { /* one answer; its arrays live until the next engine_run, or the ticket's release */
    token_id *tokens; /* [n] the end token included */
    float *logprobs;  /* [n] */
    bool *injected;   /* [n] written by us, not drawn: no gradient */
    size_t n;
    size_t n_thinking; /* tokens up to and with the closing; 0: the answer has no span */
    /* Of an answer of several turns: what is said of its thinking and its text is said of the last turn. */
    size_t turn;              /* where that begins: behind what the answer was given; else 0 */
    size_t n_given;           /* tokens that it was given, in all: injected, with 0 as logprob */
    size_t n_thinking_before; /* of the turns before */
    float entropy_sum;        /* nats, over drawn tokens, where wanted */
    size_t n_drawn;
    enum sample_end end;
    size_t stop_bytes; /* bytes of text before the stop text, when one was met; else SIZE_MAX */
    /* Where hooks->save is given: what was kept of each row, NULL where nothing was. */
    struct saved_row **rows;        /* [n] the rows of tokens; the last one's is not computed */
    struct saved_row **prompt_rows; /* [n_prompt] the same array for all samples of a request */
    size_t n_shared;                /* prompt rows from the first on that other requests share */
};

#define ENGINE_LOGIT_ROWS 64 /* rows of logits at a time: 12 MB for a vocabulary of 49k */

struct engine;
struct engine_options {
    size_t max_live;     /* answers in flight; those of one request alone may be more */
    size_t kv_bytes;     /* cache that requests are let in for; one alone may take more */
    size_t prefill_rows; /* prompt tokens read in one pass, or in one turn */
    size_t
        prefix_bytes; /* more of it, for beginnings of texts that may come again; 0: none are kept */
    size_t
        draft; /* tokens guessed ahead for an answer: DRAFT_AUTO as many as pay, 0 none, to DRAFT_MOST */
};
#define DRAFT_AUTO SIZE_MAX
struct engine_options engine_defaults(const struct model *m);

MUST_CHECK bool engine_open(const struct model *m, const struct tokenizer *t,
                            const struct engine_options *opt, struct engine **out,
                            struct error *err);
void engine_close(struct engine *e);
size_t engine_bytes(const struct engine *e);
void engine_set_draft(struct engine *e, size_t tokens); /* as engine_options.draft, from now on */
/* Another kv_bytes from now on. */
void engine_limit(struct engine *e, size_t kv_bytes);
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
    const atomic_bool *stop; /* read once a turn: ends everything with ERR_CANCELLED */
    /*
     * NULL, or how many of the requests, from the first on, are wanted by now: never less than before. Those behind them need
     * not be filled in yet. idle: nothing else is left to do, and if no more are wanted, the run is over.
     */
    size_t (*wanted)(void *ctx, bool idle);
    /*
     * Answers of several turns, where the request has max_given. goes_on is asked when one ended by itself: true, and it
     * waits for what it is given next. given is asked again and again, and says what has come, one at a time, in whatever
     * order; wait: nothing else is left to do, so it may wait a moment. What is longer than the room that is left ends the
     * answer with SAMPLE_LENGTH. Answers that are equal wait for each other, and stay one row where they are given the same.
     */
    bool (*goes_on)(void *ctx, size_t request, size_t sample, const struct sample *s);
    bool (*given)(void *ctx, bool wait, struct given *out);
    struct saved_pool
        *save;         /* rows are kept here, as room permits, until the caller gives them back */
    size_t save_leave; /* so many are left free */
};

/*
 * samples[r][s] for each request's samples, in arrays that the engine owns until the next call; NULL for a request that was
 * not wanted. No ticket is in flight. What was kept of texts for serving is neither used nor added to. Where not all fit at
 * once, those that are expected to take longest come first: by their earlier answers, else by their prompts' length.
 */
MUST_CHECK bool engine_run(struct engine *e, const struct adapter *adapter,
                           const struct sample_request *requests, size_t n_requests,
                           const struct engine_hooks *hooks, struct sample ***samples,
                           struct error *err);

/* ---- serving ---- */

struct token_told {
    token_id id;
    float logp;
    bool injected;
    size_t n_top; /* of the request's n_top, those that were not ruled out */
    const token_id
        *top_ids; /* [n_top] the likeliest of the row that id was drawn from; during the call */
    const float *top_logps;
};
struct engine_calls { /* each may be NULL; called from within engine_turn */
    void *ctx;
    void (*token)(void *ctx, size_t sample, const struct token_told *t);
    void (*done)(void *ctx, size_t sample, const struct sample *s); /* the moment an answer ends */
    bool (*goes_on)(void *ctx, size_t sample,
                    const struct sample *s); /* of a run: see engine_hooks */
};

struct engine_ticket; /* one request in flight */

/*
 * q is copied; what it points to stays the caller's, as the adapter does (NULL: the base as it is), until engine_release.
 * It waits until engine_turn lets it in, behind those that came before it.
 *
 * Fails with ERR_LIMIT where prompt and answer are longer than the model's positions, or may need more keys and values than
 * the machine has room for. One that is larger than max_live or kv_bytes is let in when it is alone. Not from within a call
 * back.
 */
MUST_CHECK bool engine_submit(struct engine *e, const struct adapter *adapter,
                              const struct sample_request *q, const struct engine_calls *calls,
                              struct engine_ticket **out, struct error *err);
/*
 * Nobody waits for the answers any more: they end with SAMPLE_CANCELLED and are not called back. At once, or from within a
 * call back at the end of this turn.
 */
void engine_cancel(struct engine_ticket *t);
/*
 * Lets in what fits, computes a token of every answer, or several where they were guessed, and at most prefill_rows tokens
 * of prompts, which share them evenly, and calls back. *n_live: requests that wait or are in; 0: there is nothing to do until the next engine_submit.
 *
 * Fails for want of memory alone, and then nothing has gone on: the caller may cancel some and try again, or all.
 */
MUST_CHECK bool engine_turn(struct engine *e, size_t *n_live, struct error *err);
/* All its memory goes back; cancels it where it is not done. NULL is fine. Not from within a call back. */
void engine_release(struct engine_ticket *t);

bool engine_is_done(
    const struct engine_ticket *t); /* every answer has ended, or it was cancelled */
const struct sample *
engine_samples(const struct engine_ticket *t); /* [n_samples] as far as they are */
/* Tokens of the prompt that need not be computed, since another text began so; known once it is let in. */
size_t engine_cached_tokens(const struct engine_ticket *t);
/*
 * An adapter is about to be closed: what is kept of its texts goes. None of its tickets is in flight. (One whose values
 * changed is another to the engine: what is left of the old values goes when it is the oldest.)
 */
void engine_forget(struct engine *e, const struct adapter *adapter);

/* Tokens that the prompts of n requests begin with and that a run of them reads once for all; 0: too few. */
size_t engine_common_tokens(const struct sample_request *q, size_t n);

struct engine_counts {
    size_t prompt_tokens, sampled_tokens; /* prompt: computed; sampled: as the user counts them */
    size_t cached_tokens;                 /* of prompts, that were not computed */
    size_t rows; /* that prompts and answers stand on: the same whatever was drafted */
    size_t drafted,
        accepted; /* rows of guesses, and those that were right: computed were rows + drafted - accepted */
    size_t passes; /* forward passes */
};
struct engine_counts engine_counts(const struct engine *e); /* since it was opened */

/* ln p of tokens[i] given those before it, for i = 1 .. n - 1, into logprobs[1..n); logprobs[0] = 0. */
MUST_CHECK bool engine_score(struct engine *e, const struct adapter *adapter,
                             const token_id *tokens, size_t n, float inv_t, float *logprobs,
                             struct error *err);
/* The same for i = from .. n - 1 alone (from > 0), to the bit, without the logits of those before. */
MUST_CHECK bool engine_score_from(struct engine *e, const struct adapter *adapter,
                                  const token_id *tokens, size_t n, size_t from, float inv_t,
                                  float *logprobs, struct error *err);
#endif
