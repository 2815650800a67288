/*
 * gradient.c - groups -> tree -> forward, what sampling saved taken over -> loss -> backward.
 */
#include "train/gradient.h"
#include "model/training_pass.h"

static size_t rows_of(const struct tree_group *g, size_t n)
{
    struct arena a = {0};
    const size_t rows = tree_rows(g, n, &a);

    arena_release(&a);
    return rows;
}

/* How many groups from the first on have that many rows at most together; one at least. */
static size_t groups_within(const struct tree_group *g, size_t n, size_t rows)
{
    size_t k = 1;

    while (k < n && rows_of(g, k + 1) <= rows)
        k++;
    return k;
}

static size_t answers_of(const struct tree_group *g, size_t n)
{
    size_t answers = 0;

    for (size_t i = 0; i < n; i++)
        answers += g[i].n_answers;
    return answers;
}

/* first: of the pass's answers, among all groups'. */
static void weigh(const struct gradient *x, const struct tree_group *g, size_t n, size_t first,
                  struct train_tree *t, float inv_t, const float *hidden, struct arena *a)
{
    const size_t n_answers = answers_of(g, n);
    struct answer_logp *answers = ARENA_ARRAY(a, struct answer_logp, n_answers);
    float *coefficients = ARENA_ARRAY(a, float, n_answers);
    size_t logit_rows, ld;
    float *logits = engine_logits(x->engine, &logit_rows, &ld);

    loss_look(x->model, t, inv_t, hidden, logits, logit_rows, ld);
    tree_measure(t, g, n, answers);
    x->weigh(x->ctx, first, n_answers, answers, coefficients);
    tree_weigh(t, g, n, coefficients);
}

static bool one_pass(const struct gradient *x, const struct tree_group *g, size_t n, size_t first,
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
    const struct batch b = tree_batch(&t);
    float *hidden = ARENA_ARRAY(&a, float, t.m *w), *d_hidden = ARENA_ARRAY(&a, float, t.m *w);
    const bool ok = training_forward(x->model, x->adapter, engine_workspace(x->engine), &b,
                                     x->saved, t.known, hidden, &pass, err);
    if (ok) {
        if (x->weigh != NULL)
            weigh(x, g, n, first, &t, opt->inv_t, hidden, &a);
        loss_back(x->model, x->adapter == NULL, &t, opt, hidden, logits, logit_rows, ld, d_hidden,
                  sums);
        if (x->answers != NULL)
            tree_measure(&t, g, n, x->answers + first);
        training_backward(pass, d_hidden);
        *rows += t.m;
    }
    training_pass_release(pass);
    tree_release(&t, pool);
    arena_release(&a);
    return ok;
}

bool gradient_add(const struct gradient *x, const struct tree_group *g, size_t n,
                  const struct loss_options *opt, struct loss_sums *sums, size_t *rows,
                  struct error *err)
{
    for (size_t at = 0, answer = 0; at < n;) {
        const size_t k = groups_within(g + at, n - at, x->pass_rows);

        if (!one_pass(x, g + at, k, answer, opt, sums, rows, err))
            return false;
        if (x->passed != NULL && !x->passed(x->ctx, at, k, err))
            return false;
        answer += answers_of(g + at, k);
        at += k;
    }
    return true;
}

static bool one_look(const struct gradient *x, const struct tree_group *g, size_t n, float inv_t,
                     struct answer_logp *answers, struct error *err)
{
    struct kv_pool *pool = engine_pool(x->engine);
    struct arena a = {0};
    struct train_tree t;
    size_t logit_rows, ld;
    float *logits = engine_logits(x->engine, &logit_rows, &ld);
    bool ok = tree_build(g, n, pool, &a, &t, err);

    if (ok) {
        const struct batch b = tree_batch(&t);
        float *hidden = ARENA_ARRAY(&a, float, t.m * x->model->config.width);

        ok = forward(x->model, x->adapter, engine_workspace(x->engine), &b, hidden, err);
        if (ok) {
            loss_look(x->model, &t, inv_t, hidden, logits, logit_rows, ld);
            tree_measure(&t, g, n, answers);
        }
        tree_release(&t, pool);
    }
    arena_release(&a);
    return ok;
}

bool gradient_look(const struct gradient *x, const struct tree_group *g, size_t n, float inv_t,
                   struct answer_logp *answers, struct error *err)
{
    for (size_t at = 0; at < n;) {
        const size_t k = groups_within(g + at, n - at, x->pass_rows);

        if (!one_look(x, g + at, k, inv_t, answers, err))
            return false;
        if (x->passed != NULL && !x->passed(x->ctx, at, k, err))
            return false;
        answers += answers_of(g + at, k);
        at += k;
    }
    return true;
}

#define KL_ROWS 128

/* The group with as many of its first answers as have KL_ROWS rows beside those of its prompt; one at least. */
static struct tree_group first_answers(struct tree_group g)
{
    const size_t all = g.n_answers;

    g.n_answers = 1;
    while (g.n_answers < all) {
        g.n_answers++;
        if (rows_of(&g, 1) > KL_ROWS + g.n_prompt) {
            g.n_answers--;
            break;
        }
    }
    return g;
}

bool gradient_kl(const struct gradient *x, const struct tree_group *g, size_t n, float inv_t,
                 double *kl, struct error *err)
{
    struct kv_pool *pool = engine_pool(x->engine);
    struct arena a = {0};
    struct train_tree t;
    const size_t k = groups_within(g, n, KL_ROWS);
    const struct tree_group first = k == 1 ? first_answers(g[0]) : g[0];
    size_t logit_rows, ld;
    float *logits = engine_logits(x->engine, &logit_rows, &ld);
    bool ok = tree_build(k == 1 ? &first : g, k, pool, &a, &t, err);

    if (ok) {
        const struct batch b = tree_batch(&t);
        float *hidden = ARENA_ARRAY(&a, float, t.m * x->model->config.width);

        ok = forward(x->model, x->adapter, engine_workspace(x->engine), &b, hidden, err);
        if (ok)
            *kl = loss_kl(x->model, &t, inv_t, hidden, logits, logit_rows, ld);
        tree_release(&t, pool);
    }
    arena_release(&a);
    return ok;
}
