/*
 * encoder_folder.c - an encoder in a Hugging Face folder, as transformers and sentence-transformers lay it out.
 */
#include "base/file.h"
#include "base/limits.h"
#include "model/config_internal.h"
#include "model/encoder_internal.h"
#include "model/safetensors.h"
#include "model/shown.h"
#include "text/json.h"

#include <math.h>

/* --- config.json */

/* A key that makes another model of it must be absent, null or this. */
static bool fixed_text(const json_t *root, const char *key, const char *only, const char *what,
                       struct error *err)
{
    const json_t *v = json_object_get(root, key);

    if (v == NULL || json_is_null(v) || str_is(json_str(v), only))
        return true;
    return fail_param(err, ERR_UNSUPPORTED, key, "%s: \"%s\" is %s%s%s, only \"%s\" is supported",
                      what, key, json_is_string(v) ? "\"" : "",
                      json_is_string(v) ? shown(json_str(v)).text : json_kind(v),
                      json_is_string(v) ? "\"" : "", only);
}

static bool fixed_false(const json_t *root, const char *key, const char *what, struct error *err)
{
    bool on;

    return json_get_bool(root, key, what, false, &on, err) &&
           (!on || fail_param(err, ERR_UNSUPPORTED, key,
                              "%s: \"%s\" is true: this BERT decodes, an encoder was expected",
                              what, key));
}

static bool type_check(const json_t *root, const char *what, struct error *err)
{
    struct str type;

    if (!json_is_object(root))
        return fail(err, ERR_INVALID, "%s is %s, an object was expected", what, json_kind(root));
    if (!json_is_string(json_object_get(root, "model_type")))
        return fail_param(err, ERR_INVALID, "model_type",
                          "%s: \"model_type\" is %s, a string was expected", what,
                          json_kind(json_object_get(root, "model_type")));
    type = json_str(json_object_get(root, "model_type"));
    return str_is(type, "bert") ||
           fail_param(
               err, ERR_UNSUPPORTED, "model_type",
               "%s: the model is of the type \"%s\"; for embeddings an encoder of the type \"bert\" was expected (MiniLM, BGE, E5, GTE and their like)",
               what, shown(type).text);
}

bool encoder_config_from_json(const struct json_t *root, const char *what,
                              struct encoder_config *out, struct error *err)
{
    struct encoder_config c = {.types = 2, .pooling = POOL_MEAN};

    if (!type_check(root, what, err) ||
        !config_json_size(root, "num_hidden_layers", what, true, LIMIT_LAYERS, &c.n_layers, err) ||
        !config_json_size(root, "hidden_size", what, true, LIMIT_WIDTH, &c.width, err) ||
        !config_json_size(root, "num_attention_heads", what, true, LIMIT_WIDTH, &c.n_heads, err) ||
        !config_json_size(root, "intermediate_size", what, true, LIMIT_WIDTH, &c.hidden, err) ||
        !config_json_size(root, "vocab_size", what, true, LIMIT_VOCAB, &c.vocab, err) ||
        !config_json_size(root, "max_position_embeddings", what, true, LIMIT_CONTEXT, &c.positions,
                          err) ||
        !config_json_size(root, "type_vocab_size", what, false, LIMIT_WIDTH, &c.types, err) ||
        !json_get_double(root, "layer_norm_eps", what, 1e-12, &c.eps, err) ||
        !fixed_text(root, "hidden_act", "gelu", what, err) ||
        !fixed_text(root, "position_embedding_type", "absolute", what, err) ||
        !fixed_false(root, "is_decoder", what, err) ||
        !fixed_false(root, "add_cross_attention", what, err))
        return false;
    if (c.width % c.n_heads != 0)
        return fail_param(err, ERR_INVALID, "num_attention_heads",
                          "%s: %zu heads do not divide the width of %zu", what, c.n_heads, c.width);
    if (!(c.eps > 0 && c.eps < 1))
        return fail_param(err, ERR_INVALID, "layer_norm_eps",
                          "%s: \"layer_norm_eps\" is %g, a number between 0 and 1 was expected",
                          what, c.eps);
    if (c.positions < 2)
        return fail_param(err, ERR_INVALID, "max_position_embeddings",
                          "%s: one position has no room for [CLS] and [SEP]", what);
    c.max_tokens = c.positions;
    *out = c;
    return true;
}

/* --- sentence-transformers' files */

bool encoder_length_from_json(const struct json_t *root, const char *what, struct encoder_config *c,
                              struct error *err)
{
    int64_t max = (int64_t)c->max_tokens;
    bool lower;

    if (!json_get_int(root, "max_seq_length", what, max, 2, INT32_MAX, &max, err) ||
        !json_get_bool(root, "do_lower_case", what, false, &lower, err))
        return false;
    if (lower)
        return fail_param(
            err, ERR_UNSUPPORTED, "do_lower_case",
            "%s: \"do_lower_case\" is true; that the tokenizer makes small letters was expected",
            what);
    if ((size_t)max < c->max_tokens)
        c->max_tokens = (size_t)max;
    return true;
}

static bool is_plain_name(struct str s)
{
    return s.len > 0 && s.ptr[0] != '.' && memchr(s.ptr, '/', s.len) == NULL &&
           memchr(s.ptr, '\0', s.len) == NULL;
}

bool encoder_modules_from_json(const struct json_t *root, const char *what, struct str *folder,
                               struct error *err)
{
    if (!json_is_array(root))
        return fail(err, ERR_INVALID, "%s is %s, a list was expected", what, json_kind(root));
    for (size_t i = 0; i < json_array_size(root); i++) {
        const json_t *module = json_array_get(root, i);
        struct str type, path;

        if (!json_get_str(module, "type", what, &type, err) ||
            !json_get_str(module, "path", what, &path, err))
            return false;
        if (str_ends(type, STR(".Transformer")) || str_ends(type, STR(".Normalize")))
            continue;
        if (!str_ends(type, STR(".Pooling")))
            return fail(
                err, ERR_UNSUPPORTED,
                "%s: the module \"%s\" is not offered; Transformer, Pooling and Normalize are",
                what, shown(type).text);
        if (!is_plain_name(path))
            return fail(err, ERR_INVALID, "%s: \"%s\" is no name of a folder in the model's own",
                        what, shown(path).text);
        *folder = path;
    }
    return true;
}

static bool pooling_named(struct str name, const char *what, enum pooling *out, struct error *err)
{
    if (str_is(name, "cls") || str_is(name, "cls_token"))
        *out = POOL_FIRST;
    else if (str_is(name, "mean") || str_is(name, "mean_tokens") ||
             str_is(name, "mean_sqrt_len_tokens")) /* another length, and it becomes 1 */
        *out = POOL_MEAN;
    else
        return fail_param(err, ERR_UNSUPPORTED, "pooling_mode",
                          "%s: pooling by \"%s\" is not offered; mean and cls are", what,
                          shown(name).text);
    return true;
}

/* {"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true, ...}, or later {"pooling_mode": "mean"} */
bool encoder_pooling_from_json(const struct json_t *root, const char *what, enum pooling *out,
                               struct error *err)
{
    const struct str start = STR("pooling_mode_");
    json_t *iterated =
        (json_t *)(uintptr_t)root; /* jansson's iterators are not const, and change nothing */
    const json_t *mode = json_object_get(root, "pooling_mode");
    size_t n = 0;

    if (json_is_string(mode))
        return pooling_named(json_str(mode), what, out, err);
    for (void *it = json_object_iter(iterated); it != NULL;
         it = json_object_iter_next(iterated, it)) {
        const struct str key = str_of(json_object_iter_key(it));

        if (!str_starts(key, start) || !json_is_true(json_object_iter_value(it)))
            continue;
        if (!pooling_named(str_from(key, start.len), what, out, err))
            return false;
        n++;
    }
    return n == 1 ||
           fail(err, ERR_UNSUPPORTED, "%s names %zu ways of pooling, one was expected", what, n);
}

/* --- the folder */

static bool inner_json(struct encoder *e, const char *path, json_t **out, struct error *err)
{
    (void)e;
    *out = NULL;
    return !file_exists(path) || json_read_file(path, out, err);
}

static bool pooling_read(struct encoder *e, struct error *err)
{
    const char *modules_path = file_join(&e->arena, e->path, "modules.json");
    json_t *modules = NULL, *pooling = NULL;
    struct str folder = STR("1_Pooling");
    bool ok = inner_json(e, modules_path, &modules, err) &&
              (modules == NULL || encoder_modules_from_json(modules, modules_path, &folder, err));

    if (ok) {
        const char *path = file_join(
            &e->arena, file_join(&e->arena, e->path, arena_text(&e->arena, folder)), "config.json");

        ok = inner_json(e, path, &pooling, err) &&
             (pooling == NULL || encoder_pooling_from_json(pooling, path, &e->config.pooling, err));
    }
    json_decref(modules);
    json_decref(pooling);
    return ok;
}

static bool config_read(struct encoder *e, struct error *err)
{
    const char *path = file_join(&e->arena, e->path, "config.json"),
               *length_path = file_join(&e->arena, e->path, "sentence_bert_config.json");
    json_t *config = NULL, *length = NULL;

    if (!file_exists(path))
        return fail(err, ERR_NOT_FOUND,
                    "%s is a folder without config.json, so no model in Hugging Face's layout",
                    e->path);
    const bool ok =
        json_read_file(path, &config, err) &&
        encoder_config_from_json(config, path, &e->config, err) &&
        inner_json(e, length_path, &length, err) &&
        (length == NULL || encoder_length_from_json(length, length_path, &e->config, err)) &&
        pooling_read(e, err);
    json_decref(config);
    json_decref(length);
    return ok;
}

static bool tokenizer_read(struct encoder *e, struct error *err)
{
    const char *path = file_join(&e->arena, e->path, "tokenizer.json"),
               *vocab_path = file_join(&e->arena, e->path, "vocab.txt"),
               *config_path = file_join(&e->arena, e->path, "tokenizer_config.json");
    struct arena a = {0};
    struct str text, config = STR("");
    bool ok;

    if (file_exists(path))
        ok = file_read(path, LIMIT_JSON_BYTES, &a, &text, err) &&
             tokenizer_open_json(text, path, &e->tokenizer, err);
    else if (file_exists(vocab_path))
        ok = file_read(vocab_path, LIMIT_JSON_BYTES, &a, &text, err) &&
             (!file_exists(config_path) ||
              file_read(config_path, LIMIT_JSON_BYTES, &a, &config, err)) &&
             tokenizer_open_vocab(text, config, vocab_path, &e->tokenizer, err);
    else
        ok = fail(err, ERR_NOT_FOUND, "%s has neither tokenizer.json nor vocab.txt", e->path);
    arena_release(&a);
    return ok;
}

bool encoder_read_folder(struct encoder *e, struct error *err)
{
    const char *path = file_join(&e->arena, e->path, "model.safetensors");

    if (!config_read(e, err) || !tokenizer_read(e, err))
        return false;
    if (!file_exists(path) &&
        !file_exists(file_join(&e->arena, e->path, "model.safetensors.index.json")))
        return fail(err, ERR_NOT_FOUND, "%s has no model.safetensors%s", e->path,
                    file_exists(file_join(&e->arena, e->path, "pytorch_model.bin"))
                        ? ", only pytorch_model.bin, which is not read: convert it"
                        : "");
    return safetensors_open(path, &e->safetensors, err);
}
