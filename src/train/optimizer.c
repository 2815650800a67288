/*
 * optimizer.c - blocks of values over threads; the norm is a sum of block sums in order.
 */
#include "train/optimizer.h"
#include "base/parallel.h"
#include "base/sha256.h"
#include "base/size.h"
#include "tensor/cpu/kernels.h"

#include <math.h>
#include <string.h>

#define BLOCK ((size_t)1 << 16)

bool optimizer_init(struct optimizer *o, const struct optimizer_options *opt, size_t n,
                    bool keep_old, struct arena *a, struct error *err)
{
    *o = (struct optimizer){.opt = *opt, .n = n};
    o->m = arena_try(a, n, sizeof(float), "the optimizer's first moments", err);
    o->v =
        o->m == NULL ? NULL : arena_try(a, n, sizeof(float), "the optimizer's second moments", err);
    for (int i = 0; i < 3 && keep_old && o->v != NULL; i++)
        if ((o->old[i] = arena_try(a, n, sizeof(float), "the values before an update", err)) ==
            NULL)
            return false;
    return o->v != NULL;
}

struct update {
    struct optimizer *o;
    const struct adamw_numbers *numbers;
    float *values, *grads;
    double *squares; /* one a block */
};

static void square_block(void *ctx, size_t b, int thread)
{
    const struct update *u = ctx;
    const size_t from = b * BLOCK, n = size_min(BLOCK, u->o->n - from);

    (void)thread;
    u->squares[b] = (double)kernels()->dot(n, u->grads + from, u->grads + from);
}

static void update_block(void *ctx, size_t b, int thread)
{
    const struct update *u = ctx;
    struct optimizer *o = u->o;
    const size_t from = b * BLOCK, n = size_min(BLOCK, o->n - from);
    float *now[3] = {u->values, o->m, o->v};

    (void)thread;
    for (int i = 0; i < 3 && o->old[0] != NULL; i++)
        memcpy(o->old[i] + from, now[i] + from, n * sizeof(float));
    kernels()->adamw(n, u->numbers, u->grads + from, o->m + from, o->v + from, u->values + from);
    memset(u->grads + from, 0, n * sizeof(float));
}

double optimizer_step(struct optimizer *o, double learning_rate, float *values, float *grads)
{
    const size_t n_blocks = (o->n + BLOCK - 1) / BLOCK;
    struct arena a = {0};
    struct update u = {
        .o = o, .values = values, .grads = grads, .squares = ARENA_ARRAY(&a, double, n_blocks)};
    double sum = 0;

    parallel_for(n_blocks, square_block, &u);
    for (size_t b = 0; b < n_blocks; b++)
        sum += u.squares[b];
    arena_release(&a);
    const double norm = sqrt(sum), most = o->opt.max_grad_norm;
    if (!isfinite(norm)) {
        memset(grads, 0, o->n * sizeof *grads);
        return norm;
    }
    o->old_t = o->t++;
    const struct adamw_numbers numbers = {
        .lr = (float)learning_rate,
        .beta1 = (float)o->opt.beta1,
        .beta2 = (float)o->opt.beta2,
        .eps = (float)o->opt.eps,
        .wd = (float)o->opt.weight_decay,
        .clip = most > 0 && norm > most ? (float)(most / norm) : 1.0f,
        .c1 = (float)(1 / (1 - pow(o->opt.beta1, (double)o->t))),
        .c2 = (float)(1 / (1 - pow(o->opt.beta2, (double)o->t))),
    };
    u.numbers = &numbers;
    parallel_for(n_blocks, update_block, &u);
    return norm;
}

void optimizer_undo(struct optimizer *o, float *values)
{
    memcpy(values, o->old[0], o->n * sizeof *values);
    memcpy(o->m, o->old[1], o->n * sizeof *o->m);
    memcpy(o->v, o->old[2], o->n * sizeof *o->v);
    o->t = o->old_t;
}

void values_sha256(const float *values, size_t n, char hex[65])
{
    const struct sha256_text t = sha256_of(values, n * sizeof *values);

    memcpy(hex, t.hex, sizeof t.hex);
}
