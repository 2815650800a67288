/*
 * loss.c - a few rows of logits at a time.
 */
#include "train/loss.h"
#include "base/parallel.h"
#include "base/size.h"
#include "tensor/cpu/kernels.h"
#include "train/retrace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
    const struct model *m;
    struct train_tree *t;
    const struct loss_options *opt;
    float *logits;
    size_t ld;
    const size_t *first;     /* [rows + 1]: the row's first target */
    struct retrace *retrace; /* at the rows' targets; NULL: none was held to anything */
    float *entropy;          /* [rows] */
};

/* One row: logits become d loss / d logits. */
static void turn_row(void *ctx, size_t i, int thread)
{
    const struct chunk *c = ctx;
    const size_t v = c->m->config.vocab;
    float *logits = c->logits + i * c->ld;
    const float inv_t = c->opt->inv_t, inv_n = (float)(1.0 / c->opt->n);
    float *block_sums = malloc((softmax_blocks(v) + v) * sizeof *block_sums);
    float sum = 0, count = 0;

    if (block_sums == NULL)
        abort();
    if (c->retrace != NULL)
        retrace_mask(c->retrace, i, thread, logits);
    float *p = block_sums + softmax_blocks(v);
    const struct softmax_row s = softmax_row_of(v, logits, inv_t, block_sums);
    c->entropy[i] = softmax_entropy(&s, v, logits, inv_t, p);
    for (size_t k = c->first[i]; k < c->first[i + 1]; k++) {
        struct target *x = &c->t->targets[k];

        x->logp = softmax_logp(&s, logits[x->id], inv_t);
        x->top = logits[x->id] >= s.max;
        sum += x->coefficient;
        count += (float)x->count;
    }
    /* dL/dl = inv_t / N * p (sum c + b n (ln p + H)) - inv_t / N * c at each target; ln p = (l - max) inv_t - ln Z */
    const float b = c->opt->entropy_bonus * count;
    const float scale = inv_t * inv_n / s.total;
    kernels()->dense_back(v, scale * (sum + b * (c->entropy[i] - s.max * inv_t - s.log_total)),
                          scale * b * inv_t, logits, p);
    for (size_t k = c->first[i]; k < c->first[i + 1]; k++) {
        const struct target *x = &c->t->targets[k];

        p[x->id] -= inv_t * inv_n * x->coefficient;
    }
    if (c->m->config.logit_cap > 0)
        kernels()->soft_cap_back(v, (float)c->m->config.logit_cap, logits, p);
    memcpy(logits, p, v * sizeof *logits);
    free(block_sums);
}

/* The rows that targets ask about, a few at a time. */
struct rows_at {
    const struct train_tree *t;
    struct arena arena;
    size_t width, most, at, n;
    size_t *first;  /* [most + 1] each row's first target */
    uint32_t *rows; /* [most] */
    float *h;       /* [most, C] their hidden states */
    struct retrace *retrace;
};

static struct rows_at rows_at_make(const struct model *m, const struct train_tree *t, size_t most)
{
    struct rows_at r = {.t = t, .width = m->config.width, .most = most};

    r.first = ARENA_ARRAY(&r.arena, size_t, most + 1);
    r.rows = ARENA_ARRAY(&r.arena, uint32_t, most);
    r.h = ARENA_ARRAY(&r.arena, float, most *r.width + PANEL);
    r.retrace = retrace_open(t, most);
    return r;
}

static void rows_at_release(struct rows_at *r)
{
    retrace_close(r->retrace);
    arena_release(&r->arena);
}

static bool rows_at_next(struct rows_at *r, const float *hidden)
{
    const struct target *targets = r->t->targets;

    r->n = 0;
    while (r->at < r->t->n_targets) {
        const uint32_t row = targets[r->at].row;

        if (r->n == 0 || row != r->rows[r->n - 1]) {
            if (r->n == r->most)
                break;
            r->rows[r->n] = row;
            memcpy(r->h + r->n * r->width, hidden + row * r->width, r->width * sizeof *r->h);
            if (r->retrace != NULL)
                retrace_to(r->retrace, r->n, &targets[r->at]);
            r->first[r->n++] = r->at;
        }
        r->at++;
    }
    r->first[r->n] = r->at;
    return r->n > 0;
}

void loss_back(const struct model *m, bool train_head, struct train_tree *t,
               const struct loss_options *opt, const float *hidden, float *logits,
               size_t logit_rows, size_t ld, float *d_hidden, struct loss_sums *sums)
{
    const size_t w = m->config.width;
    struct rows_at rows = rows_at_make(m, t, logit_rows);
    float *entropy = ARENA_ARRAY(&rows.arena, float, logit_rows);
    float *dh = ARENA_ARRAY(&rows.arena, float, logit_rows *w);

    memset(d_hidden, 0, t->m * w * sizeof *d_hidden);
    while (rows_at_next(&rows, hidden)) {
        struct chunk c = {.m = m,
                          .t = t,
                          .opt = opt,
                          .logits = logits,
                          .ld = ld,
                          .first = rows.first,
                          .retrace = rows.retrace,
                          .entropy = entropy};

        logits_of(m, rows.n, rows.h, logits, ld);
        parallel_for(rows.n, turn_row, &c);
        model_back_x(m, &m->head, rows.n, logits, ld, dh, w, false);
        if (train_head)
            matmul_floats(m->config.vocab, w, rows.n, logits, 1, ld, rows.h, w, m->full->d_head, w,
                          true);
        for (size_t i = 0; i < rows.n; i++) {
            memcpy(d_hidden + rows.rows[i] * w, dh + i * w, w * sizeof *dh);
            for (size_t k = rows.first[i]; k < rows.first[i + 1]; k++) {
                const struct target *x = &t->targets[k];
                const double moved = fabs((double)x->logp - (double)x->sampled);

                sums->loss -= (double)x->coefficient * (double)x->logp / opt->n;
                sums->entropy += (double)x->count * (double)entropy[i];
                sums->max_dlogp = moved > sums->max_dlogp || isnan(moved) ? moved : sums->max_dlogp;
                sums->n_tokens += x->count;
            }
        }
    }
    rows_at_release(&rows);
}

static void look_row(void *ctx, size_t i, int thread)
{
    const struct chunk *c = ctx;
    float *logits = c->logits + i * c->ld;
    const size_t v = c->m->config.vocab;
    float *block_sums = malloc(softmax_blocks(v) * sizeof *block_sums);

    if (block_sums == NULL)
        abort();
    if (c->retrace != NULL)
        retrace_mask(c->retrace, i, thread, logits);
    const struct softmax_row s = softmax_row_of(v, logits, c->opt->inv_t, block_sums);
    for (size_t k = c->first[i]; k < c->first[i + 1]; k++) {
        struct target *x = &c->t->targets[k];

        x->logp = softmax_logp(&s, logits[x->id], c->opt->inv_t);
        x->top = logits[x->id] >= s.max;
    }
    free(block_sums);
}

void loss_look(const struct model *m, struct train_tree *t, float inv_t, const float *hidden,
               float *logits, size_t logit_rows, size_t ld)
{
    const struct loss_options opt = {.inv_t = inv_t, .n = 1};
    struct rows_at rows = rows_at_make(m, t, logit_rows);

    while (rows_at_next(&rows, hidden)) {
        struct chunk c = {.m = m,
                          .t = t,
                          .opt = &opt,
                          .logits = logits,
                          .ld = ld,
                          .first = rows.first,
                          .retrace = rows.retrace};

        logits_of(m, rows.n, rows.h, logits, ld);
        parallel_for(rows.n, look_row, &c);
    }
    rows_at_release(&rows);
}

double loss_kl(const struct model *m, struct train_tree *t, float inv_t, const float *hidden,
               float *logits, size_t logit_rows, size_t ld)
{
    double kl = 0, n = 0;

    loss_look(m, t, inv_t, hidden, logits, logit_rows, ld);
    for (size_t k = 0; k < t->n_targets; k++) {
        const struct target *x = &t->targets[k];
        const double d = (double)x->logp - (double)x->sampled;

        kl += (double)x->count * (exp(d) - 1 - d);
        n += (double)x->count;
    }
    return n > 0 ? kl / n : 0;
}
