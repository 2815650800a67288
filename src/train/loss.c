/*
 * loss.c - a few rows of logits at a time.
 */
#include "train/loss.h"
#include "base/parallel.h"
#include "base/size.h"
#include "tensor/cpu/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
    const struct model *m;
    struct train_tree *t;
    const struct loss_options *opt;
    float *logits;
    size_t ld;
    const size_t *first; /* [rows + 1]: the row's first target */
    float *entropy;      /* [rows] */
};

/* One row: logits become d loss / d logits. */
static void turn_row(void *ctx, size_t i, int thread)
{
    const struct chunk *c = ctx;
    const size_t v = c->m->config.vocab;
    float *logits = c->logits + i * c->ld;
    const float inv_t = c->opt->inv_t, inv_n = (float)(1.0 / c->opt->n);
    float *block_sums = malloc((softmax_blocks(v) + v) * sizeof *block_sums),
          *p = block_sums + softmax_blocks(v);
    float sum = 0, count = 0;

    (void)thread;
    if (block_sums == NULL)
        abort();
    const struct softmax_row s = softmax_row_of(v, logits, inv_t, block_sums);
    c->entropy[i] = softmax_entropy(&s, v, logits, inv_t, p);
    for (size_t k = c->first[i]; k < c->first[i + 1]; k++) {
        struct target *x = &c->t->targets[k];

        x->logp = softmax_logp(&s, logits[x->id], inv_t);
        sum += x->coefficient;
        count += (float)x->count;
    }
    /* dL/dl = inv_t / N * p (sum c + b n (ln p + H)) - inv_t / N * c at each target; ln p = (l - max) inv_t - ln Z */
    const float b = c->opt->entropy_bonus * count;
    const float scale = inv_t * inv_n / s.total;
    kernels()->dense_back(v, scale * (sum + b * (c->entropy[i] - s.max * inv_t - s.log_total)),
                          scale * b * inv_t, logits, p);
    memcpy(logits, p, v * sizeof *logits);
    for (size_t k = c->first[i]; k < c->first[i + 1]; k++) {
        const struct target *x = &c->t->targets[k];

        logits[x->id] -= inv_t * inv_n * x->coefficient;
    }
    free(block_sums);
}

void loss_back(const struct model *m, bool train_head, struct train_tree *t,
               const struct loss_options *opt, const float *hidden, float *logits,
               size_t logit_rows, size_t ld, float *d_hidden, struct loss_sums *sums)
{
    const size_t w = m->config.width;
    struct arena a = {0};
    size_t *first = ARENA_ARRAY(&a, size_t, logit_rows + 1);
    uint32_t *rows = ARENA_ARRAY(&a, uint32_t, logit_rows);
    float *entropy = ARENA_ARRAY(&a, float, logit_rows);
    float *h = ARENA_ARRAY(&a, float, logit_rows *w + 16),
          *dh = ARENA_ARRAY(&a, float, logit_rows *w);

    memset(d_hidden, 0, t->m * w * sizeof *d_hidden);
    for (size_t at = 0; at < t->n_targets;) {
        size_t n = 0;

        while (at < t->n_targets &&
               (n == 0 || t->targets[at].row == rows[n - 1] || n < logit_rows)) {
            if (n == 0 || t->targets[at].row != rows[n - 1]) {
                rows[n] = t->targets[at].row;
                memcpy(h + n * w, hidden + rows[n] * w, w * sizeof *h);
                first[n++] = at;
            }
            at++;
        }
        first[n] = at;
        logits_of(m, n, h, logits, ld);
        struct chunk c = {.m = m,
                          .t = t,
                          .opt = opt,
                          .logits = logits,
                          .ld = ld,
                          .first = first,
                          .entropy = entropy};
        parallel_for(n, turn_row, &c);
        matmul_back_x(&m->head, n, logits, ld, dh, w, false);
        if (train_head)
            matmul_floats(m->config.vocab, w, n, logits, 1, ld, h, w, m->full->d_head, w, true);
        for (size_t i = 0; i < n; i++) {
            memcpy(d_hidden + rows[i] * w, dh + i * w, w * sizeof *dh);
            for (size_t k = first[i]; k < first[i + 1]; k++) {
                const struct target *x = &t->targets[k];
                const double moved = fabs((double)x->logp - (double)x->sampled);

                sums->loss -= (double)x->coefficient * (double)x->logp / opt->n;
                sums->entropy += (double)x->count * (double)entropy[i];
                sums->max_dlogp = moved > sums->max_dlogp || isnan(moved) ? moved : sums->max_dlogp;
                sums->n_tokens += x->count;
            }
        }
    }
    arena_release(&a);
}

struct comparing {
    const struct model *m;
    float *logits;
    size_t ld;
    float inv_t;
    float *logp; /* [rows, V] */
    double *kl;  /* NULL: fill logp */
};

static void compare_row(void *ctx, size_t i, int thread)
{
    const struct comparing *c = ctx;
    const size_t v = c->m->config.vocab;
    const float *logits = c->logits + i * c->ld;
    float *logp = c->logp + i * v;
    float *block_sums = malloc(softmax_blocks(v) * sizeof *block_sums);

    (void)thread;
    if (block_sums == NULL)
        abort();
    const struct softmax_row s = softmax_row_of(v, logits, c->inv_t, block_sums);
    if (c->kl == NULL) {
        for (size_t j = 0; j < v; j++)
            logp[j] = softmax_logp(&s, logits[j], c->inv_t);
    } else {
        double kl = 0;

        for (size_t j = 0; j < v; j++)
            kl += exp((double)logp[j]) *
                  ((double)logp[j] - (double)softmax_logp(&s, logits[j], c->inv_t));
        c->kl[i] = kl;
    }
    free(block_sums);
}

static void compare(const struct model *m, const float *hidden, float inv_t, float *logits,
                    size_t logit_rows, size_t ld, const struct moved *rows, double *kl)
{
    const size_t w = m->config.width;
    float *h = malloc(logit_rows * w * sizeof *h);

    if (h == NULL)
        abort();
    for (size_t at = 0; at < rows->n_rows; at += logit_rows) {
        const size_t n = size_min(logit_rows, rows->n_rows - at);
        struct comparing c = {.m = m,
                              .logits = logits,
                              .ld = ld,
                              .inv_t = inv_t,
                              .logp = rows->logp + at * m->config.vocab,
                              .kl = kl == NULL ? NULL : kl + at};

        for (size_t i = 0; i < n; i++)
            memcpy(h + i * w, hidden + rows->rows[at + i] * w, w * sizeof *h);
        logits_of(m, n, h, logits, ld);
        parallel_for(n, compare_row, &c);
    }
    free(h);
}

void moved_before(const struct model *m, const float *hidden, float inv_t, float *logits,
                  size_t logit_rows, size_t ld, struct moved *rows)
{
    compare(m, hidden, inv_t, logits, logit_rows, ld, rows, NULL);
}

double moved_kl(const struct model *m, const float *hidden, float inv_t, float *logits,
                size_t logit_rows, size_t ld, const struct moved *rows)
{
    double *kl = calloc(rows->n_rows + 1, sizeof *kl), sum = 0;

    if (kl == NULL)
        abort();
    compare(m, hidden, inv_t, logits, logit_rows, ld, rows, kl);
    for (size_t i = 0; i < rows->n_rows; i++)
        sum += kl[i];
    free(kl);
    return rows->n_rows > 0 ? sum / (double)rows->n_rows : 0;
}
