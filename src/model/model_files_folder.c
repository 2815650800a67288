/*
 * model_files_folder.c - a model in a Hugging Face folder: several small JSON files around the weights.
 */
#include "base/limits.h"
#include "base/size.h"
#include "model/fp8.h"
#include "model/model_files_internal.h"
#include "model/safetensors.h"
#include "model/shown.h"
#include "text/json.h"

#include <dirent.h>
#include <stdio.h>

static char *inside(struct model_files *f, const char *name)
{
    return file_join(&f->arena, f->path, name);
}

typedef bool read_fn(const char *path, json_t **out, struct error *err);

/* *out stays NULL where the file is not there. */
static bool optional_json(struct model_files *f, const char *name, read_fn *read, json_t **out,
                          struct error *err)
{
    const char *path = inside(f, name);

    if (!file_exists(path))
        return true;
    if (!read(path, out, err))
        return false;
    return json_is_object(*out) ||
           fail(err, ERR_INVALID, "%s is %s, an object was expected", path, json_kind(*out));
}

/* Says what the folder has instead, where that is known. */
static bool no_config(struct model_files *f, struct error *err)
{
    DIR *dir = opendir(f->path);
    char found[300] = "";

    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (str_ends(str_of(e->d_name), STR(".gguf"))) {
            snprintf(found, sizeof found, "; it has %.255s, which may be given instead", e->d_name);
            break;
        }
    }
    if (dir != NULL)
        closedir(dir);
    return fail(err, ERR_NOT_FOUND,
                "%s is a folder without config.json, so no model in Hugging Face's layout%s",
                f->path, found);
}

static bool config_read(struct model_files *f, struct fp8_config *fp8, struct error *err)
{
    const char *path = inside(f, "config.json"),
               *generation_path = inside(f, "generation_config.json");
    json_t *config = NULL, *generation = NULL;
    bool ok = false;

    if (!file_exists(path))
        return no_config(f, err);
    if (!json_read_file(path, &config, err) || !fp8_config_take(config, path, fp8, err) ||
        !config_from_json(config, path, &f->config, &f->family, err) ||
        !optional_json(f, "generation_config.json", json_read_file, &generation, err))
        goto done;
    /* what generation_config.json says comes first: it is what transformers generates by */
    const struct model_config own = f->config;
    f->config.n_eos = 0;
    ok = generation == NULL || config_add_eos_json(&f->config, generation, generation_path, err);
    for (size_t i = 0; ok && i < own.n_eos; i++)
        ok = config_add_eos(&f->config, own.eos[i], path, err);
done:
    json_decref(config);
    json_decref(generation);
    return ok;
}

static bool weights_read(struct model_files *f, const struct fp8_config *fp8, struct error *err)
{
    const char *path = inside(f, "model.safetensors");
    const struct shape_words words = {
        .file = inside(f, "config.json"),
        .width = "hidden_size",
        .heads = "num_attention_heads * head_dim",
        .kv_heads = "num_key_value_heads * head_dim",
        .head = "head_dim",
        .hidden = f->config.n_experts > 0 && !f->family->hf_experts_paired ? "moe_intermediate_size"
                                                                           : "intermediate_size",
        .vocab = "vocab_size",
        .experts = "the number of experts",
    };

    if (!file_exists(path) && !file_exists(inside(f, "model.safetensors.index.json")))
        return fail(err, ERR_NOT_FOUND,
                    "%s has neither model.safetensors nor model.safetensors.index.json%s", f->path,
                    file_exists(inside(f, "pytorch_model.bin")) ||
                            file_exists(inside(f, "pytorch_model.bin.index.json"))
                        ? ", only pytorch_model.bin, which is not read: convert it"
                        : "");
    if (!safetensors_open(path, &f->safetensors, err))
        return false;
    const size_t n = safetensors_count(f->safetensors);
    f->tensors = arena_try(&f->arena, n, sizeof *f->tensors, "the list of tensors", err);
    if (f->tensors == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct safetensor *t = safetensors_at(f->safetensors, i);

        if (str_ends(str_of(t->name), STR(".rotary_emb.inv_freq")))
            continue; /* old checkpoints keep what follows from rope_theta */
        if (fp8->is_fp8 && fp8_is_beside(f->safetensors, t->name))
            continue;
        struct file_tensor *mine = &f->tensors[f->n_tensors++];
        *mine = (struct file_tensor){
            .name = t->name, .dtype = t->dtype, .n_dims = t->n_dims, .data = t->data};
        memcpy(mine->dims, t->dims, sizeof t->dims);
        if (fp8->is_fp8 && fp8_is_weight(t) &&
            !fp8_scale(f->safetensors, t, fp8, f->path, &f->arena, &mine->scale, err))
            return false;
    }
    return model_files_bind(f, f->family->hf_tensor, false, &words, err);
}

/* A token in tokenizer_config.json: "text", or {"content": "text", ...}; -1 where it is null or not there. */
static bool named_token(const struct model_files *f, const json_t *config, const char *key,
                        const char *what, token_id *out, struct error *err)
{
    const json_t *v = json_object_get(config, key);

    *out = -1;
    if (json_is_object(v))
        v = json_object_get(v, "content");
    if (v == NULL || json_is_null(v))
        return true;
    if (!json_is_string(v))
        return fail_param(err, ERR_INVALID, key, "%s: \"%s\" is %s, a string was expected", what,
                          key, json_kind(v));
    *out = tokenizer_find(f->tokenizer, json_str(v));
    if (*out < 0)
        return fail_param(err, ERR_INVALID, key,
                          "%s: \"%s\" is \"%s\", which is not in tokenizer.json", what, key,
                          shown(json_str(v)).text);
    return true;
}

/* Does a post-processor of tokenizer.json put this token in front? They may stand in a sequence. */
static bool puts_in_front(const struct model_files *f, const json_t *processor, token_id bos,
                          int depth)
{
    const json_t *inner = json_object_get(processor, "processors");

    for (size_t i = 0; depth < 4 && i < json_array_size(inner); i++)
        if (puts_in_front(f, json_array_get(inner, i), bos, depth + 1))
            return true;
    if (!str_is(json_str(json_object_get(processor, "type")), "TemplateProcessing"))
        return false;
    const json_t *first = json_array_get(json_object_get(processor, "single"), 0);
    const json_t *id = json_object_get(json_object_get(first, "SpecialToken"), "id");
    return json_is_string(id) && tokenizer_find(f->tokenizer, json_str(id)) == bos;
}

/* Where tokenizer_config.json does not say whether bos comes first, tokenizer.json's post-processor does. */
static bool bos_read(struct model_files *f, const json_t *config, const char *what,
                     struct str tokenizer_json, struct error *err)
{
    json_t *root = NULL;
    token_id bos;

    if (json_object_get(config, "bos_token") != NULL) {
        if (!named_token(f, config, "bos_token", what, &bos, err))
            return false;
        f->config.bos = (int)bos;
    }
    if (f->config.bos < 0)
        return true;
    if (json_object_get(config, "add_bos_token") != NULL)
        return json_get_bool(config, "add_bos_token", what, false, &f->config.add_bos, err);
    if (str_find(tokenizer_json, STR("\"SpecialToken\""), 0) == tokenizer_json.len)
        return true; /* spares reading a large file twice */
    if (!json_parse(tokenizer_json, "tokenizer.json", &root, err))
        return false;
    f->config.add_bos = puts_in_front(f, json_object_get(root, "post_processor"), f->config.bos, 0);
    json_decref(root);
    return true;
}

/* A list of {"name", "template"}: the one called default, or the only one. */
static const json_t *pick_template(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        if (str_is(json_str(json_object_get(one, "name")), "default") || json_array_size(list) == 1)
            return json_object_get(one, "template");
    }
    return NULL;
}

static bool template_read(struct model_files *f, const json_t *config, const char *what,
                          struct error *err)
{
    const char *path = inside(f, "chat_template.jinja");
    const json_t *v = json_object_get(config, "chat_template");

    if (file_exists(path)) /* it beats what tokenizer_config.json has, as in transformers */
        return file_read(path, LIMIT_TEMPLATE_BYTES, &f->arena, &f->chat_template, err);
    if (v == NULL || json_is_null(v))
        return true;
    if (json_is_array(v) && json_array_size(v) == 0)
        return true;
    if (json_is_array(v))
        v = pick_template(v);
    if (!json_is_string(v))
        return fail_param(
            err, ERR_INVALID, "chat_template",
            "%s: \"chat_template\" is neither a string nor a list with one called \"default\"",
            what);
    if (json_str(v).len > LIMIT_TEMPLATE_BYTES)
        return fail_param(err, ERR_LIMIT, "chat_template",
                          "%s: \"chat_template\" has %zu bytes, at most %zu are allowed", what,
                          json_str(v).len, LIMIT_TEMPLATE_BYTES);
    f->chat_template = arena_str(&f->arena, json_str(v));
    return true;
}

static bool tokenizer_read(struct model_files *f, struct error *err)
{
    const char *path = inside(f, "tokenizer.json"),
               *config_path = inside(f, "tokenizer_config.json");
    struct arena a = {0};
    struct str text;
    json_t *config = NULL;
    token_id eos;
    bool ok = false;

    if (!file_exists(path)) {
        fail(err, ERR_NOT_FOUND, "%s has no tokenizer.json%s", f->path,
             file_exists(inside(f, "tokenizer.model"))
                 ? ", only SentencePiece's tokenizer.model, which is not read"
                 : "");
        goto done;
    }
    if (!file_read(path, LIMIT_JSON_BYTES, &a, &text, err) ||
        !tokenizer_open_json(text, path, &f->tokenizer, err) ||
        !optional_json(f, "tokenizer_config.json", json_read_file_of_reals, &config, err))
        goto done;
    char where[400];
    snprintf(where, sizeof where, "%s: \"eos_token\"", config_path);
    ok = bos_read(f, config, config_path, text, err) &&
         named_token(f, config, "eos_token", config_path, &eos, err) &&
         (eos < 0 || config_add_eos(&f->config, eos, where, err)) &&
         template_read(f, config, config_path, err);
done:
    json_decref(config);
    arena_release(&a);
    return ok;
}

bool model_files_read_folder(struct model_files *f, struct error *err)
{
    struct fp8_config fp8 = {0};

    return config_read(f, &fp8, err) && weights_read(f, &fp8, err) && tokenizer_read(f, err) &&
           model_files_fit_tokenizer(f, err);
}
