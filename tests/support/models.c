/*
 * models.c - what model_open reads from files, drawn.
 */
#include "support/models.h"

#include <math.h>
#include <stdlib.h>

static uint16_t random_f16(struct dice *d, float size)
{
    return f32_to_f16(dice_float(d, -size, size));
}

/* The scales that a block has, of its other bytes any: so that its values are about as large as size. */
void random_scales(struct dice *d, enum dtype t, float size, unsigned char *block)
{
    static const struct {
        size_t d, m;       /* where they stand; m where the format has_min */
        float most, least; /* of what d and m are times */
    } scales[N_DTYPES] = {
        [DTYPE_Q8_0] = {.most = 128},
        [DTYPE_Q4_0] = {.most = 8},
        [DTYPE_Q4_1] = {0, 2, 16, 1},
        [DTYPE_Q6_K] = {.d = 208, .most = 128 * 32},
        [DTYPE_Q4_K] = {0, 2, 63 * 15, 63},
        [DTYPE_Q5_0] = {.most = 16},
        [DTYPE_Q5_1] = {0, 2, 31, 1},
        [DTYPE_Q2_K] = {80, 82, 15 * 3, 15},
        [DTYPE_Q3_K] = {.d = 108, .most = 32 * 4},
        [DTYPE_Q5_K] = {0, 2, 63 * 31, 63},
        [DTYPE_IQ4_NL] = {.most = 127},
        [DTYPE_IQ4_XS] = {.most = 32 * 127},
    };

    if (t == DTYPE_MXFP4) { /* an exponent: 2^(e - 128) is times 12 at most */
        block[0] = (unsigned char)(128 + ilogbf(size / 12));
        return;
    }
    const uint16_t scale = random_f16(d, size / scales[t].most);
    memcpy(block + scales[t].d, &scale, sizeof scale);
    if (dtype_info(t)->has_min) {
        const uint16_t least = random_f16(d, size / scales[t].least);

        memcpy(block + scales[t].m, &least, sizeof least);
    }
}

/* A number of a format without blocks. */
static void random_number(struct dice *d, enum dtype t, float size, unsigned char *to)
{
    const float x = dice_float(d, -size, size);
    const uint16_t half = t == DTYPE_F16 ? f32_to_f16(x) : f32_to_bf16(x);
    float is = NAN;

    switch (t) {
    case DTYPE_F32:
        memcpy(to, &x, sizeof x);
        break;
    case DTYPE_F16:
    case DTYPE_BF16:
        memcpy(to, &half, sizeof half);
        break;
    default:
        while (!(fabsf(is) <= size)) {
            *to = (unsigned char)dice_roll(d);
            dtype_to_f32(t, to, 1, &is);
        }
    }
}

struct matrix_view random_matrix(struct dice *d, enum dtype t, size_t rows, size_t cols, float size,
                                 struct arena *a)
{
    const struct dtype_info *info = dtype_info(t);
    const size_t n = rows * cols, bytes = dtype_bytes(t, n);
    unsigned char *data = arena_alloc(a, bytes);

    for (size_t i = 0; info->block == 1 && i < n; i++)
        random_number(d, t, size, data + i * info->block_bytes);
    for (size_t i = 0; info->block > 1 && i < bytes; i++)
        data[i] = (unsigned char)dice_roll(d);
    for (size_t i = 0; info->block > 1 && i < bytes; i += info->block_bytes)
        random_scales(d, t, size, data + i);
    return (struct matrix_view){.dtype = t, .rows = rows, .cols = cols, .data = data};
}

static float *random_norm(struct dice *d, size_t n, struct arena *a)
{
    float *w = ARENA_ARRAY(a, float, n);

    for (size_t i = 0; i < n; i++)
        w[i] = dice_float(d, 0.5f, 1.5f);
    return w;
}

static struct packed random_packed(struct dice *d, enum dtype t, size_t n, size_t k,
                                   struct arena *a)
{
    const struct matrix_view w = random_matrix(d, t, n, k, 3 / sqrtf((float)k), a);
    struct packed p;
    struct error err = {0};

    ASSERT_OK(pack_matrix(&w, a, &p, "w", &err));
    return p;
}

/* Norms and biases, those that the config asks for. */
static void random_vectors(struct dice *d, const struct model_config *c, struct layer_weights *l,
                           struct arena *a)
{
    const size_t hd = c->n_heads * c->head_width, kd = c->n_kv_heads * c->head_width;

    if (c->norm_place != NORM_BEHIND) {
        l->attn_norm = random_norm(d, c->width, a);
        l->ffn_norm = random_norm(d, c->width, a);
    }
    if (c->norm_place != NORM_BEFORE) {
        l->attn_post_norm = random_norm(d, c->width, a);
        l->ffn_post_norm = random_norm(d, c->width, a);
    }
    if (c->qk_norm != QK_NORM_NONE) {
        l->q_norm = random_norm(d, c->qk_norm == QK_NORM_HEAD ? c->head_width : hd, a);
        l->k_norm = random_norm(d, c->qk_norm == QK_NORM_HEAD ? c->head_width : kd, a);
    }
    if (c->qkv_bias) {
        l->q_bias = random_norm(d, hd, a);
        l->k_bias = random_norm(d, kd, a);
        l->v_bias = random_norm(d, kd, a);
    }
    if (c->out_bias)
        l->o_bias = random_norm(d, c->width, a);
    if (c->sinks)
        l->sinks = random_norm(d, c->n_heads, a);
    if (c->n_experts > 0 && c->expert_bias) {
        l->router_bias = random_norm(d, c->n_experts, a);
        l->expert_bias[EXPERT_GATE] = random_norm(d, c->n_experts * c->hidden, a);
        l->expert_bias[EXPERT_UP] = random_norm(d, c->n_experts * c->hidden, a);
        l->expert_bias[EXPERT_DOWN] = random_norm(d, c->n_experts * c->width, a);
    }
}

static void random_experts(struct dice *d, const struct model_config *c,
                           const struct model_formats *f, struct layer_weights *l, struct arena *a)
{
    size_t n, k;

    l->router = random_packed(d, DTYPE_F32, c->n_experts, c->width, a);
    l->experts = ARENA_ARRAY(a, struct expert_weights, c->n_experts);
    for (size_t e = 0; e < c->n_experts; e++)
        for (size_t p = 0; p < N_EXPERT_PARTS; p++) {
            projection_shape(c, (enum projection)(PROJ_GATE + p), &n, &k);
            l->experts[e].part[p] = random_packed(d, f->proj[PROJ_GATE + p], n, k, a);
        }
}

struct model *random_model(struct dice *d, const struct model_config *c,
                           const struct model_formats *f, enum precision precision)
{
    struct model *m = calloc(1, sizeof *m);
    size_t n, k;

    if (m == NULL)
        fail_msg("no memory for a model");
    m->config = *c;
    m->precision = precision;
    m->max_positions = c->context;
    m->layers = ARENA_ARRAY(&m->arena, struct layer_weights, c->n_layers);
    for (struct layer_weights *l = m->layers; l < m->layers + c->n_layers; l++) {
        for (size_t p = 0; p < projections_of(c); p++) {
            projection_shape(c, (enum projection)p, &n, &k);
            l->proj[p] = random_packed(d, f->proj[p], n, k, &m->arena);
        }
        random_vectors(d, c, l, &m->arena);
        if (c->n_experts > 0)
            random_experts(d, c, f, l, &m->arena);
    }
    m->final_norm = random_norm(d, c->width, &m->arena);
    m->embed = random_matrix(d, f->embed, c->vocab, c->width, 1, &m->arena);
    if (c->tied_head) {
        struct error err = {0};

        ASSERT_OK(pack_matrix(&m->embed, &m->arena, &m->head, "the head", &err));
    } else {
        m->head = random_packed(d, f->head, c->vocab, c->width, &m->arena);
    }
    struct error err = {0};
    ASSERT_OK(model_make_rope(m, &err));
    return m;
}
