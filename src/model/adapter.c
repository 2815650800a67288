/*
 * adapter.c - the values of low-rank adapters, and PEFT's files.
 */
#include "model/adapter.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "base/size.h"
#include "model/safetensors.h"
#include "model/shown.h"
#include "text/json.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

void projection_shape(const struct model_config *c, enum projection p, size_t *n, size_t *k)
{
    const size_t q = c->n_heads * c->head_width, kv = c->n_kv_heads * c->head_width;
    const size_t shapes[N_PROJECTIONS][2] = {
        [PROJ_Q] = {q, c->width},
        [PROJ_K] = {kv, c->width},
        [PROJ_V] = {kv, c->width},
        [PROJ_O] = {c->width, q},
        [PROJ_GATE] = {c->hidden, c->width},
        [PROJ_UP] = {c->hidden, c->width},
        [PROJ_DOWN] = {c->width, c->hidden},
    };

    *n = shapes[p][0];
    *k = shapes[p][1];
}

const char *projection_hf_name(enum projection p)
{
    static const char *const names[N_PROJECTIONS] = {
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};

    return names[p];
}

#define VALUE_SLACK 16 /* floats readable behind the last row: matmul_floats asks for 15 */

/* An adapter of zeros with every place set out. */
static bool adapter_make(const struct model_config *c, size_t rank, float alpha,
                         struct adapter **out, struct error *err)
{
    struct adapter *a;

    if (rank < 1 || rank > 1024)
        return fail_param(err, ERR_INVALID, "lora_rank",
                          "an adapter of rank %zu is not possible, 1 to 1024 is", rank);
    a = calloc(1, sizeof *a);
    if (a == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for an adapter");
    a->rank = rank;
    a->alpha = alpha;
    a->scale = alpha / (float)rank;
    a->n_layers = c->n_layers;
    a->n_projections = projections_of(c);
    a->layers = arena_alloc(&a->arena, c->n_layers * sizeof *a->layers);
    for (size_t p = 0; p < a->n_projections; p++) {
        size_t n, k;

        projection_shape(c, (enum projection)p, &n, &k);
        a->n_values += c->n_layers * rank * (n + k);
    }
    a->values =
        arena_try(&a->arena, a->n_values + VALUE_SLACK, sizeof *a->values, "an adapter", err);
    bool ok = a->values != NULL;
    float *at = a->values;
    for (size_t l = 0; ok && l < c->n_layers; l++) {
        for (size_t p = 0; ok && p < a->n_projections; p++) {
            struct lora *w = &a->layers[l][p];

            projection_shape(c, (enum projection)p, &w->n, &w->k);
            w->a = at;
            w->b = at + rank * w->k;
            at = w->b + rank * w->n;
            ok = pack_room(rank, w->k, &a->arena, &w->pa, err) &&
                 pack_room(w->n, rank, &a->arena, &w->pb, err);
        }
    }
    if (!ok) {
        adapter_close(a);
        return false;
    }
    *out = a;
    return true;
}

bool adapter_new(const struct model_config *c, size_t rank, float alpha, uint64_t seed,
                 struct adapter **out, struct error *err)
{
    struct adapter *a = NULL;

    if (!adapter_make(c, rank, alpha, &a, err))
        return false;
    for (size_t l = 0; l < c->n_layers; l++) {
        for (size_t p = 0; p < a->n_projections; p++) {
            const struct lora *w = &a->layers[l][p];
            const float bound = 1.0f / sqrtf((float)w->k);
            const uint32_t tensor = (uint32_t)(l * N_PROJECTIONS + p);

            for (size_t i = 0; i < rank * w->k; i++)
                w->a[i] =
                    bound *
                    (2.0f * philox_uniform(seed, PHILOX_ADAPTER, tensor, (uint32_t)i, 0, 0) - 1.0f);
        }
    }
    adapter_changed(a);
    *out = a;
    return true;
}

void adapter_close(struct adapter *a)
{
    if (a == NULL)
        return;
    arena_release(&a->arena);
    free(a);
}

void adapter_changed(struct adapter *a)
{
    static atomic_uint_fast64_t
        n_versions; /* so that nothing that was computed is taken for another's */

    a->version = atomic_fetch_add(&n_versions, 1) + 1;
    for (size_t l = 0; l < a->n_layers; l++) {
        for (size_t p = 0; p < a->n_projections; p++) {
            struct lora *w = &a->layers[l][p];

            pack_floats(w->a, w->k, &w->pa);
            pack_floats(w->b, a->rank, &w->pb);
        }
    }
}

bool adapter_want_grads(struct adapter *a, struct error *err)
{
    if (a->grads != NULL)
        return true;
    a->grads = arena_try(&a->arena, a->n_values + VALUE_SLACK, sizeof *a->grads,
                         "an adapter's gradients", err);
    if (a->grads == NULL)
        return false;
    for (size_t l = 0; l < a->n_layers; l++) {
        for (size_t p = 0; p < a->n_projections; p++) {
            struct lora *w = &a->layers[l][p];

            w->da = a->grads + (w->a - a->values);
            w->db = a->grads + (w->b - a->values);
        }
    }
    return true;
}

void adapter_sha256(const struct adapter *a, char hex[65])
{
    const struct sha256_text t = sha256_of(a->values, a->n_values * sizeof *a->values);

    memcpy(hex, t.hex, sizeof t.hex);
}

static void tensor_name(size_t layer, enum projection p, char which, char out[128])
{
    snprintf(out, 128, "base_model.model.model.layers.%zu.%s.lora_%c.weight", layer,
             projection_hf_name(p), which);
}

static bool save_config(const struct adapter *a, const char *dir, struct error *err)
{
    struct arena arena = {0};
    struct buf b;

    buf_init(&b, 1 << 16);
    buf_text(
        &b,
        "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\",\n  \"base_model_name_or_path\": ");
    if (a->base_name[0] != '\0')
        json_write_string(&b, str_of(a->base_name), false);
    else
        buf_text(&b, "null");
    buf_printf(&b, ",\n  \"r\": %zu,\n  \"lora_alpha\": ", a->rank);
    json_write_double(&b, (double)a->alpha);
    buf_text(
        &b,
        ",\n  \"lora_dropout\": 0.0,\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n"
        "  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n  \"use_rslora\": false,\n"
        "  \"modules_to_save\": null,\n  \"target_modules\": [\"q_proj\", \"k_proj\", \"v_proj\", \"o_proj\"");
    if (a->n_projections == N_PROJECTIONS)
        buf_text(&b, ", \"gate_proj\", \"up_proj\", \"down_proj\"");
    buf_text(&b, "]\n}\n");
    bool ok = buf_ok(&b, "adapter_config.json", err) &&
              file_put(file_join(&arena, dir, "adapter_config.json"), buf_view(&b), err);
    buf_release(&b);
    arena_release(&arena);
    return ok;
}

bool adapter_save(const struct adapter *a, const char *dir, struct error *err)
{
    static const char *const metadata[][2] = {{"format", "pt"}};
    struct arena arena = {0};
    const size_t n = a->n_layers * a->n_projections * 2;
    struct safetensor *tensors = ARENA_ARRAY(&arena, struct safetensor, n);
    size_t at = 0;

    for (size_t l = 0; l < a->n_layers; l++) {
        for (size_t p = 0; p < a->n_projections; p++) {
            const struct lora *w = &a->layers[l][p];

            for (int b = 0; b < 2; b++) {
                char *name = arena_alloc(&arena, 128);

                tensor_name(l, (enum projection)p, b ? 'B' : 'A', name);
                tensors[at++] =
                    (struct safetensor){.name = name,
                                        .dtype = DTYPE_F32,
                                        .n_dims = 2,
                                        .dims = {b ? w->n : a->rank, b ? a->rank : w->k},
                                        .data = b ? w->b : w->a};
            }
        }
    }
    bool ok = safetensors_write(file_join(&arena, dir, "adapter_model.safetensors"), tensors, n,
                                metadata, 1, err) &&
              save_config(a, dir, err);
    arena_release(&arena);
    return ok || fail_while(err, "saving the adapter in %s", dir);
}

/* Nothing, or what stands for nothing: null, false, {}, []. */
static bool is_empty(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

/* What would make the adapter mean something else than A, B and one scale is refused by name, not overlooked. */
static bool is_plain_lora(const json_t *c, const char *path, struct error *err)
{
    static const char *const other[] = {"use_dora",          "use_qalora",
                                        "fan_in_fan_out",    "lora_bias",
                                        "modules_to_save",   "alora_invocation_tokens",
                                        "layer_replication", "target_parameters"};
    const json_t *type = json_object_get(c, "peft_type");

    if (type != NULL && !str_is(json_str(type), "LORA"))
        return fail(err, ERR_UNSUPPORTED, "%s: \"peft_type\" is not \"LORA\", the only one offered",
                    path);
    for (size_t i = 0; i < COUNT_OF(other); i++)
        if (!is_empty(json_object_get(c, other[i])))
            return fail(err, ERR_UNSUPPORTED, "%s: \"%s\" is set, and only plain LoRA is offered",
                        path, other[i]);
    return true;
}

/* ---- reading ---- */

/* A linear layer of the file: one projection, or several whose outputs lie one behind the other (Phi-3). */
struct module {
    const char *name;
    enum projection first;
    size_t n;
};
/* By number of their projection: where attention's alone are adapted, the first four. */
static const struct module apart[] = {
    {"self_attn.q_proj", PROJ_Q, 1}, {"self_attn.k_proj", PROJ_K, 1},
    {"self_attn.v_proj", PROJ_V, 1}, {"self_attn.o_proj", PROJ_O, 1},
    {"mlp.gate_proj", PROJ_GATE, 1}, {"mlp.up_proj", PROJ_UP, 1},
    {"mlp.down_proj", PROJ_DOWN, 1}};
static const struct module fused[] = {{"self_attn.qkv_proj", PROJ_Q, 3},
                                      {"self_attn.o_proj", PROJ_O, 1},
                                      {"mlp.gate_up_proj", PROJ_GATE, 2},
                                      {"mlp.down_proj", PROJ_DOWN, 1}};

#define MAX_RANK 1024
#define MAX_PARTS 3 /* of a fused module; its rank may be as many times MAX_RANK */

struct loading {
    const char *config_path, *path;
    char base_name[BASE_NAME_SIZE];
    struct safetensors *file;
    const char *layers;           /* that an adapter of this model is over */
    const struct module *modules; /* apart or fused */
    size_t n_modules;
    size_t ranks[COUNT_OF(apart)]; /* [n_modules] */
    float alphas[COUNT_OF(apart)]; /* as plain LoRA has them: alpha / rank is the scale */
    /* Part i of a fused module has columns i R to (i + 1) R of B alone: hone's own export. */
    bool blocks;
    size_t rank; /* R, of all projections */
    float alpha;
};

static const char *last_word(const char *name)
{
    return strrchr(name, '.') + 1;
}

/* A number for a module by its plain name; PEFT also takes regular expressions there, which are refused. */
static bool patterns_known(const struct loading *l, const json_t *c, const char *key,
                           struct error *err)
{
    const json_t *patterns = json_object_get(c, key);
    const char *name;
    const json_t *value;

    if (!is_empty(patterns) && !json_is_object(patterns))
        return fail(err, ERR_INVALID, "%s: \"%s\" is %s, an object was expected", l->config_path,
                    key, json_kind(patterns));
    json_object_foreach((json_t *)(uintptr_t)patterns, name, value)
    {
        size_t i = 0;

        (void)value;
        while (i < l->n_modules && strcmp(name, last_word(l->modules[i].name)) != 0)
            i++;
        if (i == l->n_modules)
            return fail(err, ERR_UNSUPPORTED,
                        "%s: \"%s\" has \"%s\", and only whole names of this adapter's layers, "
                        "such as \"%s\", are offered",
                        l->config_path, key, shown(str_of(name)).text,
                        last_word(l->modules[0].name));
    }
    return true;
}

/* Rank and alpha of each module; rank-stabilised LoRA scales by alpha / sqrt(r): plain LoRA with alpha * sqrt(r). */
static bool module_scales(struct loading *l, const json_t *c, struct error *err)
{
    const json_t *ranks = json_object_get(c, "rank_pattern"),
                 *alphas = json_object_get(c, "alpha_pattern");
    int64_t rank = 0;
    double alpha = 0;
    bool rs = false;

    if (!json_get_int(c, "r", l->config_path, 0, 1, MAX_RANK, &rank, err) ||
        !json_get_double(c, "lora_alpha", l->config_path, 0, &alpha, err) ||
        !json_get_bool(c, "use_rslora", l->config_path, false, &rs, err) ||
        !patterns_known(l, c, "rank_pattern", err) || !patterns_known(l, c, "alpha_pattern", err))
        return false;
    for (size_t i = 0; i < l->n_modules; i++) {
        const char *name = last_word(l->modules[i].name);
        int64_t r = rank;
        double al = alpha;

        if ((!is_empty(ranks) &&
             !json_get_int(ranks, name, l->config_path, rank, 1, MAX_RANK * MAX_PARTS, &r, err)) ||
            (!is_empty(alphas) && !json_get_double(alphas, name, l->config_path, alpha, &al, err)))
            return false;
        if (r < 1 || !(al > 0) || al > 1e9) /* no scale is infinite */
            return fail(err, ERR_INVALID,
                        "%s: \"r\" and \"lora_alpha\" must both be above 0, and the latter at most "
                        "1e9",
                        l->config_path);
        l->ranks[i] = (size_t)r;
        l->alphas[i] = rs ? (float)(al * sqrt((double)r)) : (float)al;
    }
    return true;
}

/* There is one scale for all projections here. */
static bool same_scales(const struct loading *l, struct error *err)
{
    for (size_t i = 1; i < l->n_modules; i++) {
        const double x = (double)l->alphas[0] / (double)l->ranks[0],
                     y = (double)l->alphas[i] / (double)l->ranks[i];

        if (fabs(x - y) > 1e-6 * x)
            return fail(
                err, ERR_UNSUPPORTED,
                "%s: lora_alpha / r, with \"alpha_pattern\" and \"rank_pattern\", is %g for %s "
                "and %g for %s; one scale for all layers was expected",
                l->config_path, x, last_word(l->modules[0].name), y, last_word(l->modules[i].name));
    }
    return true;
}

static bool load_config(struct loading *l, struct error *err)
{
    json_t *c = NULL;
    bool ok = json_read_file(l->config_path, &c, err) && is_plain_lora(c, l->config_path, err) &&
              module_scales(l, c, err) && same_scales(l, err);

    if (ok) {
        const struct str base = json_str(json_object_get(c, "base_model_name_or_path"));

        if (base.len < sizeof l->base_name) /* what is longer names nothing */
            memcpy(l->base_name, base.ptr, base.len);
    }
    json_decref(c);
    return ok;
}

static void module_tensor_name(const struct module *m, size_t layer, char which, char out[128])
{
    snprintf(out, 128, "base_model.model.model.layers.%zu.%s.lora_%c.weight", layer, m->name,
             which);
}

/* Outputs and inputs of a module. */
static void module_shape(const struct model_config *c, const struct module *m, size_t *n, size_t *k)
{
    *n = 0;
    for (size_t i = 0; i < m->n; i++) {
        size_t rows;

        projection_shape(c, (enum projection)(m->first + i), &rows, k);
        *n += rows;
    }
}

static bool load_tensor(const struct loading *l, const char *name, size_t rows, size_t cols,
                        struct arena *a, float **out, struct error *err)
{
    const struct safetensor *t = safetensors_find(l->file, name);

    if (t == NULL)
        return fail(err, ERR_INVALID, "%s has no tensor \"%s\": an adapter over %s was expected",
                    l->path, name, l->layers);
    if (t->n_dims != 2 || t->dims[0] != rows || t->dims[1] != cols)
        return fail(err, ERR_INVALID, "%s: \"%s\" is %zu by %zu, this model needs %zu by %zu",
                    l->path, name, t->dims[0], t->n_dims > 1 ? t->dims[1] : 1, rows, cols);
    *out = arena_try(a, rows * cols, sizeof **out, "an adapter's tensor", err);
    if (*out == NULL)
        return false;
    dtype_to_f32(t->dtype, t->data, rows * cols, *out);
    return true;
}

/* Has each part's B zeros but in columns of its own? Then these are a part's own A and B, of a rank n times smaller. */
static bool is_blocks(const struct loading *l, const struct model_config *c, const struct module *m,
                      size_t all, struct arena *a, bool *out, struct error *err)
{
    const size_t own = all / m->n;
    char name[128];
    size_t n, k;

    module_shape(c, m, &n, &k);
    for (size_t layer = 0; *out && layer < c->n_layers; layer++) {
        size_t row = 0;
        float *b;

        module_tensor_name(m, layer, 'B', name);
        if (!load_tensor(l, name, n, all, a, &b, err))
            return false;
        for (size_t part = 0; part < m->n; part++) {
            size_t rows;

            projection_shape(c, (enum projection)(m->first + part), &rows, &k);
            for (const size_t end = row + rows; row < end; row++)
                for (size_t r = 0; r < all; r++)
                    *out = *out && (r / own == part || b[row * all + r] == 0);
        }
        arena_reset(a);
    }
    return true;
}

/* Which rank all projections get: the parts' own where fused ones are blocks of them, else the largest, with zeros behind. */
static bool rank_choose(struct loading *l, const struct model_config *c, struct error *err)
{
    struct arena a = {0};
    size_t least = l->ranks[0], most = l->ranks[0], of_least = 0;
    bool ok = true;

    for (size_t i = 1; i < l->n_modules; i++) {
        most = size_max(most, l->ranks[i]);
        if (l->ranks[i] < least) {
            least = l->ranks[i];
            of_least = i;
        }
    }
    l->blocks = l->modules == fused;
    for (size_t i = 0; i < l->n_modules; i++)
        l->blocks = l->blocks && l->ranks[i] == least * l->modules[i].n;
    for (size_t i = 0; ok && l->blocks && i < l->n_modules; i++)
        ok = l->modules[i].n == 1 ||
             is_blocks(l, c, &l->modules[i], l->ranks[i], &a, &l->blocks, err);
    arena_release(&a);
    l->rank = l->blocks ? least : most;
    l->alpha = l->blocks || least == most ? l->alphas[of_least]
                                          : l->alphas[of_least] * (float)most / (float)least;
    if (ok && l->rank > MAX_RANK)
        ok = fail(err, ERR_UNSUPPORTED, "%s: a layer's rank is %zu, at most %d is possible",
                  l->config_path, l->rank, MAX_RANK);
    return ok;
}

/* A module's A and B, whole in each part, or each part's own block of them. */
static bool load_module(const struct loading *l, size_t i, size_t layer, struct adapter *to,
                        struct arena *a, struct error *err)
{
    const struct module *m = &l->modules[i];
    const size_t all = l->ranks[i];
    char name[2][128];
    float *va, *vb;
    size_t n = 0, k = 0, row = 0;

    for (size_t part = 0; part < m->n; part++) {
        n += to->layers[layer][m->first + part].n;
        k = to->layers[layer][m->first + part].k;
    }
    module_tensor_name(m, layer, 'A', name[0]);
    module_tensor_name(m, layer, 'B', name[1]);
    if (!load_tensor(l, name[0], all, k, a, &va, err) ||
        !load_tensor(l, name[1], n, all, a, &vb, err))
        return false;
    for (size_t part = 0; part < m->n; part++) {
        struct lora *w = &to->layers[layer][m->first + part];
        const size_t from = l->blocks ? part * l->rank : 0, own = l->blocks ? l->rank : all;

        memcpy(w->a, va + from * k, own * k * sizeof *va);
        for (size_t r = 0; r < w->n; r++, row++)
            memcpy(w->b + r * to->rank, vb + row * all + from, own * sizeof *vb);
    }
    arena_reset(a);
    return true;
}

static bool load_into(struct loading *l, const struct model_config *c, struct adapter **out,
                      struct error *err)
{
    const size_t n_tensors = c->n_layers * l->n_modules * 2;
    struct arena scratch = {0};
    bool ok = rank_choose(l, c, err) && adapter_make(c, l->rank, l->alpha, out, err);

    if (ok)
        memcpy((*out)->base_name, l->base_name, sizeof l->base_name);
    if (ok && safetensors_count(l->file) != n_tensors)
        ok = fail(err, ERR_INVALID, "%s has %zu tensors, an adapter for this model has %zu",
                  l->path, safetensors_count(l->file), n_tensors);
    for (size_t layer = 0; ok && layer < c->n_layers; layer++)
        for (size_t i = 0; ok && i < l->n_modules; i++)
            ok = load_module(l, i, layer, *out, &scratch, err);
    arena_release(&scratch);
    return ok;
}

bool adapter_load(const struct model_config *c, const char *dir, struct adapter **out,
                  struct error *err)
{
    struct arena arena = {0};
    struct adapter *a = NULL;
    struct loading l = {.config_path = file_join(&arena, dir, "adapter_config.json"),
                        .path = file_join(&arena, dir, "adapter_model.safetensors"),
                        .layers = projections_of(c) == N_PROJECTIONS
                                      ? "all seven linear layers"
                                      : "attention's four linear layers",
                        .modules = apart,
                        .n_modules = projections_of(c)};
    char name[128];
    bool ok = safetensors_open(l.path, &l.file, err);

    module_tensor_name(&fused[0], 0, 'A', name);
    if (ok && projections_of(c) == N_PROJECTIONS && safetensors_find(l.file, name) != NULL) {
        l.modules = fused;
        l.n_modules = COUNT_OF(fused);
    }
    ok = ok && load_config(&l, err) && load_into(&l, c, &a, err);
    safetensors_close(l.file);
    arena_release(&arena);
    if (!ok) {
        adapter_close(a);
        return fail_while(err, "loading the adapter %s", dir);
    }
    adapter_changed(a);
    *out = a;
    return true;
}
