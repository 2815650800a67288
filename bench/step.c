/*
 * step.c - how fast a training pass and a whole step are.
 *
 *     bench_step MODEL pass [sequences 8] [tokens 256] [rank 16] [repetitions 3]    forward, loss and backward with LoRA
 *     bench_step MODEL whole [prompts 4] [answers 8] [prompt tokens 79] [new 64] [rank 16] [repetitions 3]
 *
 * pass: random sequences, a loss at every position, nothing shared. whole: sampling behind shared prompts, the tree,
 * forward, loss, backward and AdamW; no grader.
 */
#include "base/clock.h"
#include "base/parallel.h"
#include "sample/engine.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench {
    struct model *m;
    struct engine *e;
    struct adapter *ad;
    struct optimizer o;
    struct arena a;
};

static size_t number(int argc, char **argv, int i, size_t def)
{
    return argc > i ? strtoul(argv[i], NULL, 10) : def;
}

static bool start(struct bench *b, const char *path, size_t positions, size_t rank,
                  struct error *err)
{
    static const struct optimizer_options oo = {
        .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .max_grad_norm = 1};

    if (!model_open(path, positions, &b->m, err))
        return false;
    const struct engine_options eo = engine_defaults(b->m);
    b->m->config.n_eos = 0;
    return engine_open(b->m, model_files_tokenizer(b->m->files), &eo, &b->e, err) &&
           adapter_new(&b->m->config, rank, (float)rank, 1, &b->ad, err) &&
           adapter_want_grads(b->ad, err) &&
           optimizer_init(&b->o, &oo, b->ad->n_values, false, &b->a, err);
}

static token_id *random_tokens(struct bench *b, size_t n, uint32_t which)
{
    token_id *t = ARENA_ARRAY(&b->a, token_id, n);

    for (size_t i = 0; i < n; i++)
        t[i] = (token_id)philox_below(1, PHILOX_TEST, which, (uint32_t)i,
                                      (uint32_t)b->m->config.vocab);
    return t;
}

/* Forward, loss, backward over some groups as one pass. */
static bool pass(struct bench *b, const struct tree_group *g, size_t n, double n_tokens,
                 double *seconds, size_t *rows, struct error *err)
{
    const size_t w = b->m->config.width;
    struct arena a = {0};
    struct train_tree t;
    struct training_pass *p = NULL;
    struct loss_sums sums = {0};
    size_t logit_rows, ld;
    float *logits = engine_logits(b->e, &logit_rows, &ld);
    const double began = clock_seconds();
    bool ok = tree_build(g, n, engine_pool(b->e), &a, &t, err);

    if (!ok)
        return false;
    const struct batch batch = {
        .m = t.m, .tokens = t.tokens, .spans = t.spans, .n_spans = t.n_spans};
    float *hidden = arena_alloc(&a, t.m * w * sizeof *hidden),
          *dh = arena_alloc(&a, t.m * w * sizeof *hidden);
    ok = training_forward(b->m, b->ad, engine_workspace(b->e), &batch, true, hidden, &p, err);
    if (ok) {
        loss_back(b->m, false, &t, &(struct loss_options){.inv_t = 1, .n = n_tokens}, hidden,
                  logits, logit_rows, ld, dh, &sums);
        training_backward(p, dh);
    }
    *seconds = clock_seconds() - began;
    *rows = t.m;
    training_pass_release(p);
    tree_release(&t, engine_pool(b->e));
    arena_release(&a);
    return ok;
}

static bool bench_pass(struct bench *b, size_t n, size_t len, size_t repetitions, struct error *err)
{
    struct tree_group *g = ARENA_ARRAY(&b->a, struct tree_group, n);
    float *logp = ARENA_ARRAY(&b->a, float, len);

    for (size_t i = 0; i < n; i++) {
        token_id *t = random_tokens(b, len + 1, (uint32_t)i);
        struct tree_answer *answer = ARENA_NEW(&b->a, struct tree_answer);

        *answer =
            (struct tree_answer){.tokens = t + 1, .logprobs = logp, .n = len, .coefficient = 1};
        g[i] = (struct tree_group){.prompt = t, .n_prompt = 1, .answers = answer, .n_answers = 1};
    }
    for (size_t r = 0; r < repetitions; r++) {
        double seconds;
        size_t rows;

        if (!pass(b, g, n, (double)(n * len), &seconds, &rows, err))
            return false;
        const double began = clock_seconds();
        (void)optimizer_step(&b->o, 1e-4, b->ad->values, b->ad->grads);
        adapter_changed(b->ad);
        printf(
            "pass machine=%s threads=%d sequences=%zu tokens=%zu rank=%zu tok_s=%.1f seconds=%.2f adamw_s=%.3f\n",
            ops_machine(), parallel_threads(), n, len, b->ad->rank, (double)(n * len) / seconds,
            seconds, clock_seconds() - began);
        fflush(stdout);
    }
    return true;
}

static bool bench_whole(struct bench *b, size_t n, size_t g, size_t n_prompt, size_t n_new,
                        size_t repetitions, struct error *err)
{
    struct sample_request *q = ARENA_ARRAY(&b->a, struct sample_request, n);

    for (size_t r = 0; r < repetitions; r++) {
        struct arena a = {0};
        struct tree_group *groups = ARENA_ARRAY(&a, struct tree_group, n);
        struct sample **s;
        double trained = 0, seconds;
        size_t rows, all_rows = 0;
        const double began = clock_seconds();

        for (size_t i = 0; i < n; i++)
            q[i] = (struct sample_request){
                .prompt = r == 0 ? random_tokens(b, n_prompt, (uint32_t)i) : q[i].prompt,
                .n_prompt = n_prompt,
                .n_samples = g,
                .max_tokens = n_new,
                .pick = pick_defaults(),
                .seed = r,
                .purpose = PHILOX_TEST,
                .item = (uint32_t)i};
        if (!engine_run(b->e, b->ad, q, n, NULL, &s, err))
            return false;
        const double sampled = clock_seconds() - began;
        for (size_t i = 0; i < n; i++) {
            struct tree_answer *answers = ARENA_ARRAY(&a, struct tree_answer, g);

            for (size_t k = 0; k < g; k++)
                answers[k] = (struct tree_answer){.tokens = s[i][k].tokens,
                                                  .logprobs = s[i][k].logprobs,
                                                  .n = s[i][k].n,
                                                  .coefficient = k % 2 == 0 ? 1 : -1};
            groups[i] = (struct tree_group){
                .prompt = q[i].prompt, .n_prompt = n_prompt, .answers = answers, .n_answers = g};
            if (!pass(b, &groups[i], 1, (double)(n * g * n_new), &seconds, &rows, err))
                return false;
            trained += seconds;
            all_rows += rows;
        }
        (void)optimizer_step(&b->o, 1e-4, b->ad->values, b->ad->grads);
        adapter_changed(b->ad);
        printf(
            "whole machine=%s threads=%d prompts=%zu answers=%zu new=%zu rank=%zu seconds=%.2f sampling_s=%.2f training_s=%.2f rows=%zu\n",
            ops_machine(), parallel_threads(), n, g, n_new, b->ad->rank, clock_seconds() - began,
            sampled, trained, all_rows);
        fflush(stdout);
        arena_release(&a);
    }
    return true;
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct error err = {.message = "bench_step MODEL pass|whole ..."};
    bool ok = false;

    if (argc > 2 && strcmp(argv[2], "pass") == 0)
        ok = start(&b, argv[1], number(argc, argv, 4, 256) + 1, number(argc, argv, 5, 16), &err) &&
             bench_pass(&b, number(argc, argv, 3, 8), number(argc, argv, 4, 256),
                        number(argc, argv, 6, 3), &err);
    else if (argc > 2 && strcmp(argv[2], "whole") == 0)
        ok = start(&b, argv[1], number(argc, argv, 5, 79) + number(argc, argv, 6, 64),
                   number(argc, argv, 7, 16), &err) &&
             bench_whole(&b, number(argc, argv, 3, 4), number(argc, argv, 4, 8),
                         number(argc, argv, 5, 79), number(argc, argv, 6, 64),
                         number(argc, argv, 8, 3), &err);
    if (!ok)
        fprintf(stderr, "bench_step: %s\n", err.message);
    engine_close(b.e);
    adapter_close(b.ad);
    model_close(b.m);
    arena_release(&b.a);
    return ok ? 0 : 1;
}
