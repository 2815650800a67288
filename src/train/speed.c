/*
 * speed.c - what reinforce.c does in a step, with a clock and without a dataset.
 */
#include "train/speed.h"
#include "base/clock.h"
#include "model/saved.h"
#include "train/gradient.h"
#include "train/memory_plan.h"
#include "train/optimizer.h"
#include "train/recipe.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

struct speed {
    struct speed_inputs in;
    struct recipe recipe;    /* the defaults: where passes are cut, what the optimizer is like */
    struct adapter *adapter; /* the one that is trained, from when it is first needed */
    struct optimizer optimizer;
    struct saved_pool *saved; /* what training takes over from sampling */
    struct speed_case saved_for;
    enum speed_part saved_part;
    size_t save_leave; /* of a step: rows that sampling leaves for what is computed anew */
    struct arena whole, round;
};

const char *speed_part_name(enum speed_part part)
{
    static const char *const names[N_SPEED_PARTS] = {"prefill", "sample", "train", "step"};

    return names[part];
}

struct speed_case speed_defaults(enum speed_part part)
{
    static const struct speed_case cases[N_SPEED_PARTS] = {
        [SPEED_PREFILL] = {1, 128, 1, 1},
        [SPEED_SAMPLE] = {1, 128, 32, 64},
        [SPEED_TRAIN] = {8, 1, 1, 256},
        [SPEED_STEP] = {4, 79, 8, 64},
    };

    return cases[part];
}

bool speed_check(const struct model *m, enum speed_part part, const struct speed_case *k,
                 struct error *err)
{
    if (k->prompt_tokens + k->answer_tokens <= m->max_positions)
        return true;
    return fail(err, ERR_LIMIT,
                "%s: a prompt of %zu and an answer of %zu tokens do not fit the %zu positions "
                "available",
                speed_part_name(part), k->prompt_tokens, k->answer_tokens, m->max_positions);
}

bool speed_open(const struct speed_inputs *in, struct speed **out, struct error *err)
{
    struct speed *s = calloc(1, sizeof *s);

    if (s == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for measuring speed");
    in->model->config.n_eos = 0;
    s->in = *in;
    s->recipe = recipe_defaults(&in->model->config);
    s->recipe.memory_bytes = in->memory_bytes;
    *out = s;
    return true;
}

void speed_close(struct speed *s)
{
    if (s == NULL)
        return;
    adapter_close(s->adapter);
    saved_pool_close(s->saved);
    arena_release(&s->round);
    arena_release(&s->whole);
    free(s);
}

static bool want_adapter(struct speed *s, struct error *err)
{
    const struct optimizer_options opt = {.beta1 = s->recipe.beta1,
                                          .beta2 = s->recipe.beta2,
                                          .eps = s->recipe.eps,
                                          .weight_decay = s->recipe.weight_decay,
                                          .max_grad_norm = s->recipe.max_grad_norm};
    struct adapter *a = NULL;

    if (s->adapter != NULL)
        return true;
    if (adapter_new(&s->in.model->config, SPEED_RANK, SPEED_RANK, s->in.seed, &a, err) &&
        adapter_want_grads(a, err) &&
        optimizer_init(&s->optimizer, &opt, a->n_values, s->recipe.kl_undo > 0, &s->whole, err)) {
        s->adapter = a;
        return true;
    }
    adapter_close(a);
    return false;
}

static bool same_case(const struct speed_case *a, const struct speed_case *b)
{
    return a->n_prompts == b->n_prompts && a->prompt_tokens == b->prompt_tokens &&
           a->n_answers == b->n_answers && a->answer_tokens == b->answer_tokens;
}

/* What a job with such prompts and answers would plan. */
static struct memory_plan plan_of_step(const struct speed *s, const struct speed_case *k)
{
    struct recipe r = s->recipe;
    struct memory_work work = {.model = s->in.model,
                               .recipe = &r,
                               .longest = k->prompt_tokens,
                               .mean_prompt = (double)k->prompt_tokens};

    r.lora_rank = SPEED_RANK;
    r.batch_size = k->n_prompts;
    r.group_size = k->n_answers;
    r.max_tokens = k->answer_tokens;
    memory_work_look(&work);
    return memory_plan_of(&work);
}

/* Memory for what is kept of a step; training alone keeps whole rows. */
static bool want_saved(struct speed *s, enum speed_part part, const struct speed_case *k,
                       struct error *err)
{
    if (s->saved != NULL && s->saved_part == part && same_case(&s->saved_for, k))
        return true;
    saved_pool_close(s->saved);
    s->saved = NULL;
    const struct memory_plan plan =
        part == SPEED_STEP ? plan_of_step(s, k)
                           : (struct memory_plan){.kept = recipe_memory_bytes(&s->recipe)};
    s->save_leave = plan.leave;
    s->saved_part = part;
    s->saved_for = *k;
    return memory_plan_open_saved(&plan, &s->in.model->config, SPEED_RANK, &s->saved, err);
}

static const token_id *random_tokens(struct speed *s, size_t n, size_t which)
{
    token_id *t = ARENA_ARRAY(&s->round, token_id, n);

    for (size_t i = 0; i < n; i++)
        t[i] = (token_id)philox_below(s->in.seed, PHILOX_BENCH, (uint32_t)which, (uint32_t)i,
                                      (uint32_t)s->in.model->config.vocab);
    return t;
}

/* ---- sampling ---- */

struct drawn {
    struct sample_request *requests; /* [n_prompts] */
    struct sample **samples;
    double began, first, ended; /* first: the moment of the first token */
};

static void on_token(void *ctx, size_t request, size_t sample, token_id id, float logp)
{
    struct drawn *d = ctx;

    (void)request, (void)sample, (void)id, (void)logp;
    if (d->first <= d->began)
        d->first = clock_seconds();
}

/* training: as a step samples, with the adapter that is trained. */
static bool draw(struct speed *s, bool training, const struct speed_case *k, struct drawn *d,
                 struct error *err)
{
    const struct engine_hooks hooks = {.ctx = d,
                                       .token = on_token,
                                       .stop = s->in.stop,
                                       .save = training ? s->saved : NULL,
                                       .save_leave = s->save_leave};

    *d = (struct drawn){.requests = ARENA_ARRAY(&s->round, struct sample_request, k->n_prompts)};
    for (size_t i = 0; i < k->n_prompts; i++)
        d->requests[i] = (struct sample_request){.prompt = random_tokens(s, k->prompt_tokens, i),
                                                 .n_prompt = k->prompt_tokens,
                                                 .n_samples = k->n_answers,
                                                 .max_tokens = k->answer_tokens,
                                                 .pick = pick_defaults(),
                                                 .want_entropy = training,
                                                 .seed = s->in.seed,
                                                 .purpose = PHILOX_TOKEN,
                                                 .item = (uint32_t)i};
    d->began = d->first = clock_seconds();
    const bool ok = engine_run(s->in.engine, training ? s->adapter : s->in.adapter, d->requests,
                               k->n_prompts, &hooks, &d->samples, err);
    d->ended = clock_seconds();
    return ok;
}

static bool measure_prefill(struct speed *s, const struct speed_case *k, struct speed_time *out,
                            struct error *err)
{
    struct drawn d;

    if (!draw(s, false, k, &d, err))
        return false;
    out->seconds = d.first - d.began;
    out->tokens = k->n_prompts * k->prompt_tokens;
    return true;
}

/* An answer's first token is drawn from its prompt's last row, so it is the prompt's: a row for each of the others. */
static bool measure_sample(struct speed *s, const struct speed_case *k, struct speed_time *out,
                           struct error *err)
{
    struct drawn d;

    assert(k->answer_tokens >= 2);
    if (!draw(s, false, k, &d, err))
        return false;
    out->seconds = d.ended - d.first;
    out->tokens = k->n_prompts * k->n_answers * (k->answer_tokens - 1);
    return true;
}

/* ---- training ---- */

/* What was saved of a group goes back: the rows of its prompt, which it shares with no other, and of its answers. */
static void forget(struct speed *s, const struct tree_group *g)
{
    for (size_t i = 0; g->prompt_rows != NULL && i < g->n_prompt; i++)
        saved_give(s->saved, g->prompt_rows[i]);
    for (size_t j = 0; j < g->n_answers; j++)
        for (size_t i = 0; g->answers[j].rows != NULL && i < g->answers[j].n; i++)
            saved_give(s->saved, g->answers[j].rows[i]);
}

struct passing {
    struct speed *s;
    const struct tree_group *g;
};

/* Room for the next pass; and a place to stop at. */
static bool on_passed(void *ctx, size_t first, size_t n, struct error *err)
{
    const struct passing *p = ctx;

    for (size_t i = first; i < first + n; i++)
        forget(p->s, &p->g[i]);
    return p->s->in.stop == NULL || !atomic_load(p->s->in.stop) ||
           fail(err, ERR_CANCELLED, "stopped on request");
}

/* n_tokens: drawn tokens that the groups stand for. */
static bool train_on(struct speed *s, const struct tree_group *g, size_t n, size_t n_tokens,
                     struct speed_time *out, struct error *err)
{
    struct passing passing = {.s = s, .g = g};
    const struct gradient gradient = {.model = s->in.model,
                                      .adapter = s->adapter,
                                      .engine = s->in.engine,
                                      .saved = s->saved,
                                      .pass_rows = s->recipe.pass_rows,
                                      .passed = on_passed,
                                      .ctx = &passing};
    const struct loss_options opt = {.inv_t = 1, .n = (double)n_tokens};
    const double began = clock_seconds();
    struct loss_sums sums = {0};
    const bool ok = gradient_add(&gradient, g, n, &opt, &sums, &out->rows, err);

    out->training_s = clock_seconds() - began;
    out->max_dlogp = sums.max_dlogp;
    return ok;
}

static void update(struct speed *s, struct speed_time *out)
{
    const double began = clock_seconds();

    (void)optimizer_step(&s->optimizer, 0, s->adapter->values, s->adapter->grads);
    adapter_changed(s->adapter);
    out->update_s = clock_seconds() - began;
}

/* The guard's forward pass over a part of what was drawn. */
static bool guard(struct speed *s, const struct tree_group *g, size_t n, struct speed_time *out,
                  struct error *err)
{
    const struct gradient x = {.model = s->in.model, .adapter = s->adapter, .engine = s->in.engine};
    const double began = clock_seconds();
    double kl;

    if (!gradient_kl(&x, g, n, 1, &kl, err))
        return false;
    out->update_s += clock_seconds() - began;
    return true;
}

static bool measure_train(struct speed *s, const struct speed_case *k, struct speed_time *out,
                          struct error *err)
{
    const size_t n = k->n_prompts;
    struct tree_group *groups = ARENA_ARRAY(&s->round, struct tree_group, n);
    const float *unknown = ARENA_ARRAY(&s->round, float, k->answer_tokens);
    struct speed_time ignored;

    for (size_t i = 0; i < n; i++) {
        struct tree_answer *answers = ARENA_ARRAY(&s->round, struct tree_answer, k->n_answers);

        for (size_t j = 0; j < k->n_answers; j++)
            answers[j] = (struct tree_answer){
                .tokens = random_tokens(s, k->answer_tokens, n + i * k->n_answers + j),
                .logprobs = unknown,
                .n = k->answer_tokens,
                .coefficient = 1};
        groups[i] = (struct tree_group){.prompt = random_tokens(s, k->prompt_tokens, i),
                                        .n_prompt = k->prompt_tokens,
                                        .answers = answers,
                                        .n_answers = k->n_answers};
    }
    out->tokens = n * k->n_answers * k->answer_tokens;
    if (!train_on(s, groups, n, out->tokens, out, err))
        return false;
    out->seconds = out->training_s;
    out->max_dlogp = 0; /* nothing was drawn */
    update(s, &ignored);
    return true;
}

static bool measure_step(struct speed *s, const struct speed_case *k, struct speed_time *out,
                         struct error *err)
{
    const size_t n = k->n_prompts;
    struct tree_group *groups = ARENA_ARRAY(&s->round, struct tree_group, n);
    struct drawn d;

    saved_clear(s->saved);
    if (!draw(s, true, k, &d, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct tree_answer *answers = ARENA_ARRAY(&s->round, struct tree_answer, k->n_answers);

        for (size_t j = 0; j < k->n_answers; j++)
            answers[j] = (struct tree_answer){.tokens = d.samples[i][j].tokens,
                                              .logprobs = d.samples[i][j].logprobs,
                                              .n = d.samples[i][j].n,
                                              .coefficient = j % 2 == 0 ? 1 : -1,
                                              .rows = d.samples[i][j].rows};
        groups[i] = (struct tree_group){.prompt = d.requests[i].prompt,
                                        .n_prompt = k->prompt_tokens,
                                        .answers = answers,
                                        .n_answers = k->n_answers,
                                        .prompt_rows = d.samples[i][0].prompt_rows};
    }
    groups[0].anew = &groups[0].answers[0]; /* as in every step */
    out->tokens = n * k->n_answers * k->answer_tokens;
    if (!train_on(s, groups, n, out->tokens, out, err))
        return false;
    update(s, out);
    if (!guard(s, groups, n, out, err))
        return false;
    out->seconds = clock_seconds() - d.began;
    out->kept_bytes = saved_pool_most(s->saved);
    out->sampling_s = d.ended - d.began;
    return true;
}

bool speed_measure(struct speed *s, enum speed_part part, const struct speed_case *k,
                   struct speed_time *out, struct error *err)
{
    engine_set_draft(s->in.engine, 0); /* how fast what is asked for is computed, not guessed */
    const size_t rows = engine_counts(s->in.engine).rows;
    struct speed_time t = {0};
    bool ok = speed_check(s->in.model, part, k, err);

    arena_reset(&s->round);
    if (ok && part == SPEED_PREFILL)
        ok = measure_prefill(s, k, &t, err);
    else if (ok && part == SPEED_SAMPLE)
        ok = measure_sample(s, k, &t, err);
    else if (ok)
        ok = want_adapter(s, err) && want_saved(s, part, k, err) &&
             (part == SPEED_TRAIN ? measure_train(s, k, &t, err) : measure_step(s, k, &t, err));
    if (!ok)
        return false;
    t.rows += engine_counts(s->in.engine).rows - rows;
    *out = t;
    return true;
}
