/*
 * model.c - packs the weights of a file for the kernels.
 */
#include "model/model.h"
#include "base/file.h"
#include "base/size.h"
#include "model/safetensors.h"
#include "tensor/cpu/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const enum weight_name projection_weight[N_PROJECTIONS] = {
    [PROJ_Q] = W_Q,       [PROJ_K] = W_K,   [PROJ_V] = W_V,      [PROJ_O] = W_O,
    [PROJ_GATE] = W_GATE, [PROJ_UP] = W_UP, [PROJ_DOWN] = W_DOWN};

/* NULL where there is none. */
static float *vector_of(struct model *m, enum weight_name name, size_t layer)
{
    const struct matrix_view w = model_files_weight(m->files, name, layer);

    if (w.data == NULL)
        return NULL;
    float *out = ARENA_ARRAY(&m->arena, float, w.rows *w.cols);
    for (size_t r = 0; r < w.rows; r++)
        matrix_row_to_f32(&w, r, out + r * w.cols);
    return out;
}

/* A norm's weights. */
static float *norm_of(struct model *m, enum weight_name name, size_t layer)
{
    float *w = vector_of(m, name, layer);

    if (w == NULL || !m->config.norms_add_one)
        return w;
    for (size_t i = 0; i < model_files_weight(m->files, name, layer).cols; i++)
        w[i] += 1;
    return w;
}

/* cos and sin of p * f: Su et al., arXiv:2104.09864. In double, rounded once. */
static bool rope_table(struct model *m, size_t which, struct error *err)
{
    const size_t width = config_rotary_width(&m->config), half = width / 2;
    struct rope_table *t = &m->rope[which];
    double *f = arena_try(&m->arena, half, sizeof *f, "rotary tables", err);

    t->cos_ = arena_try(&m->arena, m->max_positions * half, sizeof(float), "rotary tables", err);
    t->sin_ = arena_try(&m->arena, m->max_positions * half, sizeof(float), "rotary tables", err);
    if (f == NULL || t->cos_ == NULL || t->sin_ == NULL)
        return false;
    const double factor = rope_frequencies(&m->config.rope[which], width, m->max_positions, f);
    for (size_t p = 0; p < m->max_positions; p++) {
        for (size_t i = 0; i < half; i++) {
            t->cos_[p * half + i] = (float)(factor * cos((double)p * f[i]));
            t->sin_[p * half + i] = (float)(factor * sin((double)p * f[i]));
        }
    }
    return true;
}

/* In double, rounded once. */
static bool query_scales(struct model *m, struct error *err)
{
    const struct model_config *c = &m->config;

    m->query_scale =
        arena_try(&m->arena, m->max_positions, sizeof(float), "scales of queries", err);
    for (size_t p = 0; m->query_scale != NULL && p < m->max_positions; p++)
        m->query_scale[p] =
            (float)(1 + c->query_growth * log(1 + floor((double)p / c->query_span)));
    return m->query_scale != NULL;
}

bool model_make_rope(struct model *m, struct error *err)
{
    m->query_scale = NULL;
    if (m->config.query_growth > 0 && !query_scales(m, err))
        return false;
    for (size_t which = 0; which < 2; which++) {
        bool needed = false;

        for (size_t l = 0; l < m->config.n_layers; l++)
            needed = needed || m->config.layers[l].rope == which;
        if (needed && !rope_table(m, which, err))
            return false;
    }
    return true;
}

/* A layer's router and experts. */
static bool load_experts(struct model *m, size_t l, struct error *err)
{
    static const enum weight_name names[N_EXPERT_PARTS] = {
        [EXPERT_GATE] = W_GATE, [EXPERT_UP] = W_UP, [EXPERT_DOWN] = W_DOWN};
    const size_t n = m->config.n_experts;
    struct layer_weights *to = &m->layers[l];
    const struct matrix_view router = model_files_weight(m->files, W_ROUTER, l);
    char name[160];

    to->experts = arena_try(&m->arena, n, sizeof *to->experts, "experts", err);
    if (to->experts == NULL || !pack_matrix(&router, &m->arena, &to->router, "a router", err))
        return false;
    for (size_t e = 0; e < n; e++)
        for (size_t p = 0; p < N_EXPERT_PARTS; p++) {
            const struct matrix_view w = model_files_expert(m->files, names[p], l, e);

            snprintf(name, sizeof name, "expert %zu of layer %zu", e, l);
            if (!pack_matrix(&w, &m->arena, &to->experts[e].part[p], name, err))
                return false;
        }
    return true;
}

static bool load(struct model *m, struct error *err)
{
    const struct model_config *c = &m->config;
    char name[96];

    m->layers = ARENA_ARRAY(&m->arena, struct layer_weights, c->n_layers);
    for (size_t l = 0; l < c->n_layers; l++) {
        struct layer_weights *to = &m->layers[l];

        if (c->n_experts > 0 && !load_experts(m, l, err))
            return false;
        for (size_t p = 0; p < projections_of(c); p++) {
            const struct matrix_view w = model_files_weight(m->files, projection_weight[p], l);

            weight_hf_name(projection_weight[p], l, name);
            if (!pack_matrix(&w, &m->arena, &to->proj[p], name, err))
                return false;
        }
        to->attn_norm = norm_of(m, W_ATTN_NORM, l);
        to->ffn_norm = norm_of(m, W_FFN_NORM, l);
        to->attn_post_norm = norm_of(m, W_ATTN_POST_NORM, l);
        to->ffn_post_norm = norm_of(m, W_FFN_POST_NORM, l);
        to->q_norm = norm_of(m, W_Q_NORM, l);
        to->k_norm = norm_of(m, W_K_NORM, l);
        to->q_bias = vector_of(m, W_Q_BIAS, l);
        to->k_bias = vector_of(m, W_K_BIAS, l);
        to->v_bias = vector_of(m, W_V_BIAS, l);
        to->o_bias = vector_of(m, W_O_BIAS, l);
        to->sinks = vector_of(m, W_SINKS, l);
        to->router_bias = vector_of(m, W_ROUTER_BIAS, l);
        to->expert_bias[EXPERT_GATE] = vector_of(m, W_GATE_BIASES, l);
        to->expert_bias[EXPERT_UP] = vector_of(m, W_UP_BIASES, l);
        to->expert_bias[EXPERT_DOWN] = vector_of(m, W_DOWN_BIASES, l);
    }
    struct matrix_view head = model_files_weight(m->files, W_HEAD, 0);
    m->embed = model_files_weight(m->files, W_EMBED, 0);
    m->final_norm = norm_of(m, W_FINAL_NORM, 0);
    for (size_t i = 0; c->logit_divisor > 0 && i < c->width; i++) /* logits are linear in it */
        m->final_norm[i] = (float)((double)m->final_norm[i] / c->logit_divisor);
    if (head.data == NULL)
        head = m->embed;
    return pack_matrix(&head, &m->arena, &m->head, "the head", err) && model_make_rope(m, err);
}

static const char *const precisions[] = {"f32", "int8"};

const char *precision_name(enum precision p)
{
    return precisions[p];
}

bool precision_named(struct str name, enum precision *out)
{
    for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++)
        if (str_is(name, precisions[i])) {
            *out = (enum precision)i;
            return true;
        }
    return false;
}

enum kv_cache precision_kv_cache(enum precision p)
{
    return p == PRECISION_F32 ? KV_CACHE_F32 : KV_CACHE_F16;
}

void model_back_x(const struct model *m, const struct packed *w, size_t rows, const float *dy,
                  size_t lddy, float *dx, size_t lddx, bool accumulate)
{
    if (m->precision == PRECISION_INT8 && packed_is_whole(w))
        matmul_back_x_bf16(w, rows, dy, lddy, dx, lddx, accumulate);
    else
        matmul_back_x(w, rows, dy, lddy, dx, lddx, accumulate);
}

bool model_open(const char *path, size_t max_positions, struct model **out, struct error *err)
{
    struct model *m = calloc(1, sizeof *m);

    if (m == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a model");
    snprintf(m->path, sizeof m->path, "%s", path);
    bool ok = model_files_open(path, &m->files, err);
    if (ok) {
        m->config = *model_files_config(m->files);
        if (m->config.head_width % PANEL != 0)
            ok = fail(err, ERR_UNSUPPORTED, "%s: heads of width %zu, a multiple of %d is needed",
                      path, m->config.head_width, PANEL);
        m->max_positions = max_positions > 0 ? size_min(max_positions, m->config.context)
                                             : size_min(m->config.context, 8192);
        ok = ok && load(m, err);
        model_files_forget(m->files);
    }
    if (!ok) {
        model_close(m);
        return false;
    }
    *out = m;
    return true;
}

void model_close(struct model *m)
{
    if (m == NULL)
        return;
    model_files_close(m->files);
    arena_release(&m->arena);
    free(m);
}

size_t model_bytes(const struct model *m)
{
    return m->arena.used_bytes; /* what of its blocks was never used is not in memory */
}

/* Takes the place of one weight in the floats, copies it there, and packs it from there on. */
static bool unfreeze_matrix(struct model *m, const struct matrix_view *w, float **at, float **value,
                            struct packed *packed, struct error *err)
{
    *value = *at;
    for (size_t r = 0; r < w->rows; r++)
        matrix_row_to_f32(w, r, *at + r * w->cols);
    *at += w->rows * w->cols;
    if (packed == NULL)
        return true;
    if (!pack_room(w->rows, w->cols, &m->arena, packed, err))
        return false;
    pack_floats(*value, w->cols, packed);
    return true;
}

static float *grad_of(const struct full_weights *f, const float *value)
{
    return value == NULL ? NULL : f->grads + (value - f->values);
}

/* Which of what a family may have stands in the way of training every weight; NULL: nothing. */
static const char *untrained(const struct model_config *c)
{
    return c->qkv_bias || c->out_bias       ? "biases"
           : c->sinks                       ? "sinks"
           : c->qk_norm != QK_NORM_NONE     ? "norms of queries and keys"
           : c->norm_place != NORM_BEFORE   ? "norms behind a layer's parts"
           : c->norms_add_one               ? "norms that are kept less one"
           : c->embedding_scale > 0         ? "scaled embeddings"
           : c->residual_scale > 0          ? "a scaled residual stream"
           : c->logit_divisor > 0           ? "divided logits"
           : c->logit_cap > 0               ? "capped logits"
           : c->activation != ACT_SILU      ? "another activation than SiLU"
           : c->n_experts > 0               ? "experts"
           : strcmp(c->family, "phi3") == 0 ? "several weights in one tensor"
                                            : NULL;
}

bool model_unfreeze(struct model *m, struct error *err)
{
    const char *what = untrained(&m->config);

    if (what != NULL)
        return fail(err, ERR_UNSUPPORTED,
                    "%s is a %s model, with %s: training every weight is not supported for it; "
                    "train an adapter",
                    m->path, m->config.family, what);

    const struct model_config *c = &m->config;
    struct full_weights *f = ARENA_NEW(&m->arena, struct full_weights);
    const struct matrix_view embed = model_files_weight(m->files, W_EMBED, 0);
    const struct matrix_view head = model_files_weight(m->files, W_HEAD, 0);
    size_t per_layer = 2 * c->width, n, k;
    bool ok = true;

    for (size_t p = 0; p < N_PROJECTIONS; p++) {
        projection_shape(c, (enum projection)p, &n, &k);
        per_layer += n * k;
    }
    f->n_values =
        c->vocab * c->width * (head.data == NULL ? 1 : 2) + c->width + per_layer * c->n_layers;
    f->values =
        arena_try(&m->arena, f->n_values + PANEL, sizeof(float), "all weights as floats", err);
    f->grads = f->values == NULL ? NULL
                                 : arena_try(&m->arena, f->n_values + PANEL, sizeof(float),
                                             "a gradient for every weight", err);
    if (f->grads == NULL)
        return false;
    f->layers = ARENA_ARRAY(&m->arena, struct full_layer, c->n_layers);
    float *at = f->values;
    ok = unfreeze_matrix(m, &embed, &at, &f->embed, head.data == NULL ? &m->head : NULL, err);
    f->head = f->embed;
    if (ok && head.data != NULL)
        ok = unfreeze_matrix(m, &head, &at, &f->head, &m->head, err);
    f->d_embed = grad_of(f, f->embed);
    f->d_head = grad_of(f, f->head);
    const struct matrix_view norm = model_files_weight(m->files, W_FINAL_NORM, 0);
    ok = ok && unfreeze_matrix(m, &norm, &at, &m->final_norm, NULL, err);
    f->d_final_norm = grad_of(f, m->final_norm);
    for (size_t l = 0; ok && l < c->n_layers; l++) {
        const struct matrix_view an = model_files_weight(m->files, W_ATTN_NORM, l);
        const struct matrix_view fn = model_files_weight(m->files, W_FFN_NORM, l);

        ok = unfreeze_matrix(m, &an, &at, &m->layers[l].attn_norm, NULL, err) &&
             unfreeze_matrix(m, &fn, &at, &m->layers[l].ffn_norm, NULL, err);
        f->layers[l].d_attn_norm = grad_of(f, m->layers[l].attn_norm);
        f->layers[l].d_ffn_norm = grad_of(f, m->layers[l].ffn_norm);
        for (size_t p = 0; ok && p < N_PROJECTIONS; p++) {
            const struct matrix_view w = model_files_weight(m->files, projection_weight[p], l);

            ok = unfreeze_matrix(m, &w, &at, &f->layers[l].proj[p], &m->layers[l].proj[p], err);
            f->layers[l].d_proj[p] = grad_of(f, f->layers[l].proj[p]);
        }
    }
    model_files_forget(m->files);
    if (ok) {
        m->embed = (struct matrix_view){
            .dtype = DTYPE_F32, .rows = c->vocab, .cols = c->width, .data = f->embed};
        m->full = f;
    }
    return ok;
}

void model_changed(struct model *m)
{
    const struct full_weights *f = m->full;

    pack_floats(f->head, m->config.width, &m->head);
    for (size_t l = 0; l < m->config.n_layers; l++)
        for (size_t p = 0; p < N_PROJECTIONS; p++)
            pack_floats(f->layers[l].proj[p], m->layers[l].proj[p].k, &m->layers[l].proj[p]);
}

static void name_weight(struct arena *a, struct safetensor *t, enum weight_name w, size_t layer,
                        size_t rows, size_t cols, const float *data)
{
    char name[96];

    weight_hf_name(w, layer, name);
    *t = (struct safetensor){.name = arena_printf(a, "%s.weight", name),
                             .dtype = DTYPE_F32,
                             .n_dims = rows == 1 ? 1 : 2,
                             .dims = {rows == 1 ? cols : rows, cols},
                             .data = data};
}

/* Every trained weight by its name, in the order of the values. */
static struct safetensor *full_tensors(const struct model *m, struct arena *a, size_t *n_out)
{
    const struct model_config *c = &m->config;
    const struct full_weights *f = m->full;
    struct safetensor *t = ARENA_ARRAY(a, struct safetensor, 3 + c->n_layers * (2 + N_PROJECTIONS));
    size_t n = 0;

    name_weight(a, &t[n++], W_EMBED, 0, c->vocab, c->width, f->embed);
    if (f->head != f->embed)
        name_weight(a, &t[n++], W_HEAD, 0, c->vocab, c->width, f->head);
    name_weight(a, &t[n++], W_FINAL_NORM, 0, 1, c->width, m->final_norm);
    for (size_t l = 0; l < c->n_layers; l++) {
        name_weight(a, &t[n++], W_ATTN_NORM, l, 1, c->width, m->layers[l].attn_norm);
        name_weight(a, &t[n++], W_FFN_NORM, l, 1, c->width, m->layers[l].ffn_norm);
        for (size_t p = 0; p < N_PROJECTIONS; p++)
            name_weight(a, &t[n++], projection_weight[p], l, m->layers[l].proj[p].n,
                        m->layers[l].proj[p].k, f->layers[l].proj[p]);
    }
    *n_out = n;
    return t;
}

bool model_full_save(const struct model *m, const char *dir, struct error *err)
{
    static const char *const metadata[][2] = {{"format", "pt"}};
    struct arena a = {0};
    size_t n;
    const struct safetensor *t = full_tensors(m, &a, &n);
    bool ok = safetensors_write(file_join(&a, dir, "model.safetensors"), t, n, metadata, 1, err);

    arena_release(&a);
    return ok || fail_while(err, "saving the weights in %s", dir);
}

bool model_full_load(struct model *m, const char *dir, struct error *err)
{
    struct arena a = {0};
    const char *path = file_join(&a, dir, "model.safetensors");
    struct safetensors *s = NULL;
    float *at = m->full->values;
    size_t n;
    const struct safetensor *t = full_tensors(m, &a, &n);
    bool ok = safetensors_open(path, &s, err);

    for (size_t i = 0; ok && i < n; i++) {
        const struct safetensor *saved = safetensors_find(s, t[i].name);
        const size_t values = t[i].dims[0] * (t[i].n_dims > 1 ? t[i].dims[1] : 1);

        if (saved == NULL || saved->dtype != DTYPE_F32 || saved->n_dims != t[i].n_dims ||
            memcmp(saved->dims, t[i].dims, t[i].n_dims * sizeof *t[i].dims) != 0) {
            ok = fail(err, ERR_CORRUPT, "%s does not hold \"%s\" as this model needs it", path,
                      t[i].name);
        } else {
            memcpy(at, saved->data, values * sizeof *at);
            at += values;
        }
    }
    safetensors_close(s);
    arena_release(&a);
    return ok;
}
