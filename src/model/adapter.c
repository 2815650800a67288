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

static bool load_tensor(const struct safetensors *s, const char *path, const char *name,
                        const char *layers, size_t rows, size_t cols, float *out, struct error *err)
{
    const struct safetensor *t = safetensors_find(s, name);

    if (t == NULL)
        return fail(err, ERR_INVALID, "%s has no tensor \"%s\": an adapter over %s was expected",
                    path, name, layers);
    if (t->n_dims != 2 || t->dims[0] != rows || t->dims[1] != cols)
        return fail(err, ERR_INVALID, "%s: \"%s\" is %zu by %zu, this model needs %zu by %zu", path,
                    name, t->dims[0], t->n_dims > 1 ? t->dims[1] : 1, rows, cols);
    dtype_to_f32(t->dtype, t->data, rows * cols, out);
    return true;
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
    static const char *const other[] = {
        "use_dora",          "use_qalora",       "fan_in_fan_out",  "lora_bias",
        "alpha_pattern",     "rank_pattern",     "modules_to_save", "alora_invocation_tokens",
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

struct adapter_config {
    size_t rank;
    float alpha;
    char base_name[BASE_NAME_SIZE];
};

static bool load_config(const char *path, struct adapter_config *out, struct error *err)
{
    json_t *c = NULL;
    int64_t r = 0;
    double al = 0;
    bool rs = false;
    bool ok = json_read_file(path, &c, err) && json_get_int(c, "r", path, 0, 1, 1024, &r, err) &&
              json_get_double(c, "lora_alpha", path, 0, &al, err) &&
              json_get_bool(c, "use_rslora", path, false, &rs, err) && is_plain_lora(c, path, err);

    if (ok && (r < 1 || !(al > 0) || al > 1e9)) /* no scale is infinite */
        ok = fail(err, ERR_INVALID,
                  "%s: \"r\" and \"lora_alpha\" must both be above 0, and the latter at most 1e9",
                  path);
    if (ok) {
        const struct str base = json_str(json_object_get(c, "base_model_name_or_path"));

        out->rank = (size_t)r;
        /* rank-stabilised LoRA scales by alpha / sqrt(r): the same as plain LoRA with alpha * sqrt(r) */
        out->alpha = rs ? (float)(al * sqrt((double)r)) : (float)al;
        if (base.len < sizeof out->base_name) /* what is longer names nothing */
            memcpy(out->base_name, base.ptr, base.len);
    }
    json_decref(c);
    return ok;
}

bool adapter_load(const struct model_config *c, const char *dir, struct adapter **out,
                  struct error *err)
{
    struct arena arena = {0};
    const char *config_path = file_join(&arena, dir, "adapter_config.json");
    const char *path = file_join(&arena, dir, "adapter_model.safetensors");
    struct safetensors *s = NULL;
    struct adapter *a = NULL;
    struct adapter_config config = {0};
    const char *layers = projections_of(c) == N_PROJECTIONS ? "all seven linear layers"
                                                            : "attention's four linear layers";
    bool ok = load_config(config_path, &config, err) && safetensors_open(path, &s, err) &&
              adapter_make(c, config.rank, config.alpha, &a, err);

    if (ok)
        memcpy(a->base_name, config.base_name, sizeof a->base_name);
    if (ok && safetensors_count(s) != a->n_layers * a->n_projections * 2)
        ok = fail(err, ERR_INVALID, "%s has %zu tensors, an adapter for this model has %zu", path,
                  safetensors_count(s), a->n_layers * a->n_projections * 2);
    for (size_t l = 0; ok && l < c->n_layers; l++) {
        for (size_t p = 0; ok && p < a->n_projections; p++) {
            struct lora *w = &a->layers[l][p];
            char name[128];

            tensor_name(l, (enum projection)p, 'A', name);
            ok = load_tensor(s, path, name, layers, config.rank, w->k, w->a, err);
            tensor_name(l, (enum projection)p, 'B', name);
            ok = ok && load_tensor(s, path, name, layers, w->n, config.rank, w->b, err);
        }
    }
    safetensors_close(s);
    arena_release(&arena);
    if (!ok) {
        adapter_close(a);
        return fail_while(err, "loading the adapter %s", dir);
    }
    adapter_changed(a);
    *out = a;
    return true;
}
