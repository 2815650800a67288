/*
 * gradient.c - groups -> tree -> forward, what sampling saved taken over -> loss -> backward.
 */
#include "train/gradient.h"
#include "model/training_pass.h"

size_t gradient_pass_size(const struct gradient *x, const struct tree_group *g, size_t n)
{
    size_t k = 1;

    while (k < n) {
        struct arena a = {0};
        const size_t rows = tree_rows(g, k + 1, &a);

        arena_release(&a);
        if (rows > x->pass_rows)
            break;
        k++;
    }
    return k;
}

bool gradient_pass(const struct gradient *x, const struct tree_group *g, size_t n,
                   const struct loss_options *opt, struct loss_sums *sums, size_t *rows,
                   struct error *err)
{
    const size_t w = x->model->config.width;
    struct kv_pool *pool = engine_pool(x->engine);
    struct arena a = {0};
    struct train_tree t;
    struct training_pass *pass = NULL;
    size_t logit_rows, ld;
    float *logits = engine_logits(x->engine, &logit_rows, &ld);

    if (!tree_build(g, n, pool, &a, &t, err)) {
        arena_release(&a);
        return false;
    }
    const struct batch b = {.m = t.m, .tokens = t.tokens, .spans = t.spans, .n_spans = t.n_spans};
    float *hidden = ARENA_ARRAY(&a, float, t.m *w), *d_hidden = ARENA_ARRAY(&a, float, t.m *w);
    const bool ok = training_forward(x->model, x->adapter, engine_workspace(x->engine), &b,
                                     x->saved, t.known, hidden, &pass, err);
    if (ok) {
        loss_back(x->model, x->adapter == NULL, &t, opt, hidden, logits, logit_rows, ld, d_hidden,
                  sums);
        training_backward(pass, d_hidden);
        *rows += t.m;
    }
    training_pass_release(pass);
    tree_release(&t, pool);
    arena_release(&a);
    return ok;
}

#define KL_ROWS 128

bool gradient_kl(const struct gradient *x, const struct tree_group *g, size_t n, float inv_t,
                 double *kl, struct error *err)
{
    struct kv_pool *pool = engine_pool(x->engine);
    struct arena a = {0};
    struct train_tree t;
    struct tree_group first = g[0];
    size_t k = 1, logit_rows, ld;
    float *logits = engine_logits(x->engine, &logit_rows, &ld);

    while (k < n && tree_rows(g, k + 1, &a) <= KL_ROWS)
        k++;
    while (k == 1 && first.n_answers > 1 && tree_rows(&first, 1, &a) > KL_ROWS + first.n_prompt)
        first.n_answers--;
    bool ok = tree_build(k == 1 ? &first : g, k, pool, &a, &t, err);
    if (ok) {
        const struct batch b = {
            .m = t.m, .tokens = t.tokens, .spans = t.spans, .n_spans = t.n_spans};
        float *hidden = ARENA_ARRAY(&a, float, t.m * x->model->config.width);

        ok = forward(x->model, x->adapter, engine_workspace(x->engine), &b, hidden, err);
        if (ok)
            *kl = loss_kl(x->model, &t, inv_t, hidden, logits, logit_rows, ld);
        tree_release(&t, pool);
    }
    arena_release(&a);
    return ok;
}
