/*
 * export_folder.c - a merged model in Hugging Face's layout, and an adapter in PEFT's.
 *
 * The base's small files are copied as they are but for config.json, which is told the new type of the weights.
 */
#include "base/limits.h"
#include "base/size.h"
#include "model/export_internal.h"
#include "model/safetensors.h"
#include "text/json.h"

#include <assert.h>

/* What belongs to a model beside its weights; LICENSE and its like, too. */
static const char *const beside[] = {"generation_config.json",
                                     "tokenizer.json",
                                     "tokenizer_config.json",
                                     "tokenizer.model",
                                     "special_tokens_map.json",
                                     "added_tokens.json",
                                     "vocab.json",
                                     "merges.txt",
                                     "chat_template.jinja",
                                     "chat_template.json",
                                     "LICENSE",
                                     "LICENSE.txt",
                                     "LICENSE.md",
                                     "NOTICE",
                                     "USE_POLICY.md"};

static bool files_copy(const struct export_options *o, const char *dir, struct arena *a,
                       struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < COUNT_OF(beside); i++) {
        const char *from = file_join(a, o->files->path, beside[i]);
        struct file_map map = {0};

        if (!file_exists(from))
            continue;
        ok = file_map_open(from, &map, err) &&
             file_put(file_join(a, dir, beside[i]), (struct str){(const char *)map.ptr, map.len},
                      err);
        file_map_close(&map);
    }
    return ok && (o->template.ptr == NULL ||
                  file_put(file_join(a, dir, "chat_template.jinja"), o->template, err));
}

bool json_put(const json_t *value, const char *path, struct error *err)
{
    const struct json_format format = {
        .style = JSON_STYLE_PYTHON, .indent = 2, .ensure_ascii = true};
    struct buf b;

    buf_init(&b, LIMIT_JSON_BYTES);
    json_write(&b, value, &format);
    buf_char(&b, '\n');
    const bool ok = buf_ok(&b, path, err) && file_put(path, buf_view(&b), err);
    buf_release(&b);
    return ok;
}

const char *torch_name(enum dtype t)
{
    return t == DTYPE_F32 ? "float32" : t == DTYPE_F16 ? "float16" : "bfloat16";
}

static bool config_write(const struct export_options *o, const struct merged_tensor *merged,
                         size_t n, const char *dir, struct arena *a, struct error *err)
{
    json_t *config = NULL;
    bool quantised = false;

    if (!json_read_file(file_join(a, o->files->path, "config.json"), &config, err))
        return false;
    /* the older of its two names is read by every version */
    json_object_del(config, "dtype");
    json_object_set_new(config, "torch_dtype", json_string(torch_name(o->dtype)));
    for (size_t i = 0; i < n; i++)
        quantised = quantised || merged_folder_dtype(o, &merged[i]) == DTYPE_U8;
    if (!quantised) /* FP8's, of weights that are plain now; what is MXFP4 stays so */
        json_object_del(config, "quantization_config");
    const bool ok = json_put(config, file_join(a, dir, "config.json"), err);
    json_decref(config);
    return ok;
}

struct shards {
    const struct export_options *o;
    const struct merged_tensor *merged; /* [n] */
    struct safetensor *tensors;         /* [n] the same as they are written */
    size_t n, first;                    /* first: of the shard that is written */
};

static bool fill(void *ctx, size_t i, struct file *f, struct error *err)
{
    const struct shards *s = ctx;

    const struct merged_tensor *t = &s->merged[s->first + i];

    return merged_write(s->o, t, merged_folder_dtype(s->o, t), f, err);
}

static size_t bytes_of(const struct shards *s, size_t i)
{
    const struct merged_tensor *t = &s->merged[i];

    return dtype_bytes(merged_folder_dtype(s->o, t), t->from.rows * t->from.cols);
}

/* The first tensor that is not in the shard that begins with first. */
static size_t shard_end(const struct shards *s, size_t first)
{
    size_t end = first, bytes = 0;

    while (end < s->n && (end == first || bytes + bytes_of(s, end) <= s->o->shard_bytes))
        bytes += bytes_of(s, end++);
    return end;
}

static bool index_write(const char *path, json_t *map, size_t total, struct error *err)
{
    json_t *index =
        json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
    const bool ok = json_put(index, path, err);

    json_decref(index);
    return ok;
}

static bool weights_write(struct shards *s, const char *dir, struct arena *a, struct error *err)
{
    static const char *const metadata[][2] = {{"format", "pt"}};
    const struct safetensors_source source = {.ctx = s, .fill = fill};
    size_t n_shards = 0, total = 0;
    json_t *map = json_object();
    bool ok = true;

    for (size_t i = 0; i < s->n; i = shard_end(s, i))
        n_shards++;
    for (size_t shard = 0; ok && shard < n_shards; shard++) {
        const size_t end = shard_end(s, s->first);
        const char *name = n_shards == 1 ? "model.safetensors"
                                         : arena_printf(a, "model-%05zu-of-%05zu.safetensors",
                                                        shard + 1, n_shards);

        for (size_t i = s->first; i < end; i++) {
            json_object_set_new(map, s->tensors[i].name, json_string(name));
            total += bytes_of(s, i);
        }
        ok = safetensors_write_from(file_join(a, dir, name), s->tensors + s->first, end - s->first,
                                    metadata, 1, &source, err);
        s->first = end;
    }
    if (ok && n_shards > 1)
        ok = index_write(file_join(a, dir, "model.safetensors.index.json"), json_incref(map), total,
                         err);
    json_decref(map);
    return ok;
}

bool folder_tensors(const struct export_options *o, struct arena *a, struct merged_tensor **out,
                    size_t *n, struct error *err)
{
    *n = o->files->n_tensors;
    return o->files->safetensors != NULL ? merged_tensors(o, a, out, err)
                                         : made_tensors(o, a, out, n, err);
}

bool export_folder(const struct export_options *o, const char *dir, struct error *err)
{
    struct arena a = {0};
    struct merged_tensor *merged = NULL;
    size_t n = 0;
    bool ok = folder_tensors(o, &a, &merged, &n, err) &&
              (o->files->safetensors != NULL
                   ? files_copy(o, dir, &a, err) && config_write(o, merged, n, dir, &a, err)
                   : made_files(o, dir, err));

    assert(o->dtype == DTYPE_F32 || o->dtype == DTYPE_F16 || o->dtype == DTYPE_BF16);
    if (ok) {
        struct shards s = {
            .o = o, .merged = merged, .tensors = ARENA_ARRAY(&a, struct safetensor, n), .n = n};

        for (size_t i = 0; i < n; i++) {
            s.tensors[i] = (struct safetensor){.name = merged[i].name,
                                               .dtype = merged_folder_dtype(o, &merged[i]),
                                               .n_dims = merged[i].n_dims};
            memcpy(s.tensors[i].dims, merged[i].dims, sizeof merged[i].dims);
        }
        ok = weights_write(&s, dir, &a, err);
    }
    arena_release(&a);
    return ok;
}

/* ---- adapters ---- */

/* Whether some of the family's linear layers share a tensor in Hugging Face's files. */
static bool is_fused(const struct model_files *f)
{
    return strcmp(f->family->hf_tensor[W_Q], f->family->hf_tensor[W_K]) == 0;
}

static const char *last_name(const char *pattern)
{
    return strrchr(pattern, '.') + 1;
}

/* "qkv_proj" has the rank of three, and alpha with it, so that their quotient is everywhere the same. */
static bool fused_config(const struct adapter *a, const struct lora_group *groups, size_t n,
                         const char *path, struct error *err)
{
    json_t *targets = json_array(), *ranks = json_object(), *alphas = json_object();

    for (size_t i = 0; i < n; i++) {
        const char *name = last_name(groups[i].pattern);

        json_array_append_new(targets, json_string(name));
        if (groups[i].n == 1)
            continue;
        json_object_set_new(ranks, name, json_integer((json_int_t)(groups[i].n * a->rank)));
        json_object_set_new(alphas, name, json_real((double)groups[i].n * (double)a->alpha));
    }
    json_t *config = json_pack(
        "{s:s, s:s, s:o, s:I, s:f, s:f, s:s, s:b, s:b, s:b, s:b, s:n, s:o, s:o, s:o}", "peft_type",
        "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path",
        a->base_name[0] != '\0' ? json_string(a->base_name) : json_null(), "r", (json_int_t)a->rank,
        "lora_alpha", (double)a->alpha, "lora_dropout", 0.0, "bias", "none", "fan_in_fan_out", 0,
        "inference_mode", 1, "init_lora_weights", 1, "use_rslora", 0, "modules_to_save",
        "rank_pattern", ranks, "alpha_pattern", alphas, "target_modules", targets);
    const bool ok = json_put(config, path, err);

    json_decref(config);
    return ok;
}

static bool fused_save(const struct model_files *files, const struct adapter *adapter,
                       const char *dir, struct error *err)
{
    static const char *const metadata[][2] = {{"format", "pt"}};
    struct arena a = {0};
    struct lora_group groups[N_PROJECTIONS];
    struct safetensor *tensors =
        ARENA_ARRAY(&a, struct safetensor, adapter->n_layers * N_PROJECTIONS * 2);
    size_t at = 0, n = 0;

    for (size_t l = 0; l < adapter->n_layers; l++) {
        n = lora_groups(files->family->hf_tensor, adapter, l, false, groups);
        for (size_t i = 0; i < n; i++) {
            const struct lora_group *g = &groups[i];
            const size_t rank = g->n * adapter->rank;
            float *va = ARENA_ARRAY(&a, float, rank * g->cols),
                  *vb = ARENA_ARRAY(&a, float, g->rows *rank);
            char name[128];

            lora_group_values(g, adapter->rank, files->config.head_width, 1, va, vb);
            family_tensor_name(g->pattern, l, "", name, sizeof name);
            tensors[at++] = (struct safetensor){
                .name = arena_printf(&a, "base_model.model.%s.lora_A.weight", name),
                .n_dims = 2,
                .dims = {rank, g->cols},
                .data = va};
            tensors[at++] = (struct safetensor){
                .name = arena_printf(&a, "base_model.model.%s.lora_B.weight", name),
                .n_dims = 2,
                .dims = {g->rows, rank},
                .data = vb};
        }
    }
    const bool ok =
        safetensors_write(file_join(&a, dir, "adapter_model.safetensors"), tensors, at, metadata, 1,
                          err) &&
        fused_config(adapter, groups, n, file_join(&a, dir, "adapter_config.json"), err);
    arena_release(&a);
    return ok;
}

bool export_peft(const struct export_options *o, const char *dir, struct error *err)
{
    struct adapter copy = *o->adapter; /* its values stay where they are */

    if (o->base_name != NULL && strlen(o->base_name) >= sizeof copy.base_name)
        return fail_param(err, ERR_LIMIT, "base", "the base's name has %zu bytes, at most %zu fit",
                          strlen(o->base_name), sizeof copy.base_name - 1);
    if (o->base_name != NULL)
        strcpy(copy.base_name, o->base_name);
    return is_fused(o->files) ? fused_save(o->files, &copy, dir, err)
                              : adapter_save(&copy, dir, err);
}
