/*
 * config.c - a model's shape out of a GGUF file's keys or out of config.json.
 */
#include "model/config.h"
#include "base/limits.h"
#include "base/size.h"
#include "model/config_internal.h"
#include "model/shown.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What must hold whichever file the numbers come from; keys are what the file calls them. */
struct keys {
    const char *heads, *kv_heads, *head_width, *eps, *base;
};

static bool shape_check(const struct model_config *c, const char *what, const struct keys *keys,
                        struct error *err)
{
    size_t inner;

    if (c->n_heads % c->n_kv_heads != 0)
        return fail_param(err, ERR_INVALID, keys->kv_heads,
                          "%s: %s is %zu, which does not divide %s = %zu", what, keys->kv_heads,
                          c->n_kv_heads, keys->heads, c->n_heads);
    if (c->head_width % 2 != 0)
        return fail_param(
            err, ERR_INVALID, keys->head_width,
            "%s: %s is %zu, an even number was expected, for its halves rotate together", what,
            keys->head_width, c->head_width);
    if (!size_mul(c->n_heads, c->head_width, &inner) || inner > LIMIT_WIDTH)
        return fail_param(err, ERR_LIMIT, keys->heads,
                          "%s: %zu heads of width %zu are wider than the %zu allowed", what,
                          c->n_heads, c->head_width, LIMIT_WIDTH);
    if (!(c->rms_eps > 0 && c->rms_eps < 1))
        return fail_param(err, ERR_INVALID, keys->eps,
                          "%s: %s is %g, a number between 0 and 1 was expected", what, keys->eps,
                          c->rms_eps);
    if (!(c->rope[0].base >= 1 && c->rope[0].base < 1e30) ||
        (c->rope[1].base != 0 && !(c->rope[1].base >= 1 && c->rope[1].base < 1e30)))
        return fail_param(err, ERR_INVALID, keys->base,
                          "%s: %s is %g, a number of 1 or more was expected", what, keys->base,
                          c->rope[0].base);
    return true;
}

bool config_is_end(const struct model_config *c, int64_t id)
{
    for (size_t i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id)
            return true;
    return false;
}

bool config_add_eos(struct model_config *c, int64_t id, const char *where, struct error *err)
{
    if (id < 0 || (uint64_t)id >= c->vocab)
        return fail(err, ERR_INVALID, "%s is %" PRId64 ", an id from 0 to %zu was expected", where,
                    id, c->vocab - 1);
    if (config_is_end(c, id))
        return true;
    if (c->n_eos == MODEL_MAX_EOS)
        return fail(err, ERR_LIMIT, "%s is one more than the %d ids that may end an answer", where,
                    MODEL_MAX_EOS);
    c->eos[c->n_eos++] = (int)id;
    return true;
}

/* What the family computes, whichever file it comes from. */
static struct model_config config_begin(const struct family *fam, double rope_base)
{
    struct model_config c = {.bos = -1,
                             .rms_eps = fam->rms_eps,
                             .rope = {{.base = rope_base}},
                             .qkv_bias = fam->qkv_bias,
                             .out_bias = fam->out_bias,
                             .expert_bias = fam->expert_bias,
                             .sinks = fam->sinks,
                             .qk_norm = fam->qk_norm,
                             .norm_place = fam->norm_place,
                             .activation = fam->activation};

    snprintf(c.family, sizeof c.family, "%s", fam->name);
    return c;
}

/* --- GGUF */

const char *config_gguf_key(struct gguf_keys *k, const char *name)
{
    snprintf(k->key, sizeof k->key, "%s.%s", k->arch, name);
    return k->key;
}

bool config_gguf_size(struct gguf_keys *k, const char *name, bool needed, size_t max, size_t *out,
                      struct error *err)
{
    const char *key = config_gguf_key(k, name);
    int64_t v = (int64_t)*out;

    if ((needed && !gguf_need(k->g, key, err)) ||
        !gguf_get_int(k->g, key, 1, (int64_t)max, &v, err))
        return false;
    *out = (size_t)v;
    return true;
}

/* Far from where floats end: what is computed of it stays a number. */
static bool is_number(double x)
{
    return x > 1e-30 && x < 1e30;
}

bool config_gguf_number(struct gguf_keys *k, const char *name, double *out, struct error *err)
{
    const char *key = config_gguf_key(k, name);
    const struct gguf_value *v = gguf_get(k->g, key);
    double x = 1;
    int64_t whole = 1;

    if (v == NULL)
        return true;
    if (gguf_get_int(k->g, key, 0, INT64_MAX, &whole, NULL))
        x = (double)whole;
    else if (!gguf_get_double(k->g, key, &x, err))
        return false;
    if (!is_number(x))
        return fail_param(err, ERR_INVALID, key, "%s: %s is %g, a number above 0 was expected",
                          gguf_name(k->g), key, x);
    *out = x;
    return true;
}

/* The value as JSON, as far as a message or a comparison needs it. */
static struct shown gguf_text(const struct gguf *g, const char *key)
{
    const struct gguf_value *v = gguf_get(g, key);
    struct shown out = {"an array"};
    struct str s;
    int64_t i;
    double d;
    bool b;

    if (v->type == GGUF_STR && gguf_get_str(g, key, &s, NULL))
        snprintf(out.text, sizeof out.text, "\"%s\"",
                 shown((struct str){s.ptr, size_min(s.len, 64)}).text);
    else if (v->type == GGUF_BOOL && gguf_get_bool(g, key, &b, NULL))
        snprintf(out.text, sizeof out.text, b ? "true" : "false");
    else if (gguf_get_int(g, key, INT64_MIN, INT64_MAX, &i, NULL))
        snprintf(out.text, sizeof out.text, "%" PRId64, i);
    else if (gguf_get_double(g, key, &d, NULL))
        snprintf(out.text, sizeof out.text, "%.9g", d);
    return out;
}

static bool gguf_fixed(struct gguf_keys *k, const struct fixed_key *list, struct error *err)
{
    for (const struct fixed_key *f = list; f->key != NULL; f++) {
        const char *key = config_gguf_key(k, f->key);

        if (gguf_get(k->g, key) == NULL)
            continue;
        const struct shown found = gguf_text(k->g, key);
        if (strcmp(found.text, f->value) != 0)
            return fail_param(err, ERR_UNSUPPORTED, key,
                              "%s: %s is %s, only %s is supported: there are no %s",
                              gguf_name(k->g), key, found.text, f->value, f->meaning);
    }
    return true;
}

/* H, K and D. */
static bool gguf_heads(struct gguf_keys *k, struct model_config *c, struct error *err)
{
    if (!config_gguf_size(k, "attention.head_count", true, LIMIT_WIDTH, &c->n_heads, err))
        return false;
    c->n_kv_heads = c->n_heads;
    if (!config_gguf_size(k, "attention.head_count_kv", false, LIMIT_WIDTH, &c->n_kv_heads, err))
        return false;
    if (gguf_get(k->g, config_gguf_key(k, "attention.key_length")) == NULL &&
        c->width % c->n_heads != 0)
        return fail_param(
            err, ERR_INVALID, config_gguf_key(k, "attention.head_count"),
            "%s: %s.attention.head_count is %zu, which does not divide %s.embedding_length = %zu",
            gguf_name(k->g), k->arch, c->n_heads, k->arch, c->width);
    c->head_width = size_max(c->width / c->n_heads, 1);
    if (!config_gguf_size(k, "attention.key_length", false, LIMIT_WIDTH, &c->head_width, err))
        return false;
    static const char *const same[] = {"attention.value_length"};
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        size_t width = c->head_width;

        if (!config_gguf_size(k, same[i], false, LIMIT_WIDTH, &width, err))
            return false;
        if (width != c->head_width)
            return fail_param(err, ERR_UNSUPPORTED, config_gguf_key(k, same[i]),
                              "%s: %s.%s is %zu; only the width of keys, %zu, is supported",
                              gguf_name(k->g), k->arch, same[i], width, c->head_width);
    }
    return true;
}

/* V, and whether there is a head of its own: told by the tensors. */
static bool gguf_vocab(struct gguf_keys *k, const struct family *fam, struct model_config *c,
                       struct error *err)
{
    char name[96];

    family_tensor_name(fam->gguf_tensor[W_EMBED], 0, ".weight", name, sizeof name);
    const struct gguf_tensor *embed = gguf_find(k->g, name);
    if (embed == NULL)
        return fail(err, ERR_INVALID, "%s: the tensor %s is missing", gguf_name(k->g), name);
    c->vocab = embed->dims[0];
    if (!config_gguf_size(k, "vocab_size", false, LIMIT_VOCAB, &c->vocab, err))
        return false;
    if (c->vocab > LIMIT_VOCAB)
        return fail(err, ERR_LIMIT, "%s: the tensor %s has %zu rows, at most %zu are allowed",
                    gguf_name(k->g), name, c->vocab, LIMIT_VOCAB);
    family_tensor_name(fam->gguf_tensor[W_HEAD], 0, ".weight", name, sizeof name);
    c->tied_head = gguf_find(k->g, name) == NULL;
    return true;
}

static bool gguf_shape(struct gguf_keys *k, const struct family *fam, struct model_config *c,
                       struct error *err)
{
    static const char eps[] = "attention.layer_norm_rms_epsilon";

    return config_gguf_size(k, "block_count", true, LIMIT_LAYERS, &c->n_layers, err) &&
           config_gguf_size(k, "embedding_length", true, LIMIT_WIDTH, &c->width, err) &&
           config_gguf_size(k, "feed_forward_length", true, LIMIT_WIDTH, &c->hidden, err) &&
           config_gguf_size(k, "context_length", true, LIMIT_CONTEXT, &c->context, err) &&
           gguf_heads(k, c, err) && gguf_need(k->g, config_gguf_key(k, eps), err) &&
           gguf_get_double(k->g, config_gguf_key(k, eps), &c->rms_eps, err) &&
           config_rope_gguf(k, fam, c, err) && config_layers_gguf(k, fam, c, err) &&
           (fam->gguf_more == NULL || fam->gguf_more(k->g, c, err)) && gguf_vocab(k, fam, c, err);
}

static bool gguf_tokens(const struct gguf *g, struct model_config *c, struct error *err)
{
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    int64_t id = -1;
    /* where the file is silent, what llama.cpp does: SentencePiece's tokenizers begin with bos, and of the byte-level ones these */
    static const char *const begin_with_bos[] = {"llama-bpe", "llama3", "llama-v3", "falcon3",
                                                 "lfm2",      "tekken", "midm-2.0"};
    struct str model = STR(""), pre = STR("");

    if (!gguf_get_int(g, "tokenizer.ggml.bos_token_id", 0, (int64_t)c->vocab - 1, &id, err) ||
        !gguf_get_str(g, "tokenizer.ggml.model", &model, err) ||
        !gguf_get_str(g, "tokenizer.ggml.pre", &pre, err))
        return false;
    c->bos = (int)id;
    c->add_bos = str_is(model, "llama");
    for (size_t i = 0; i < COUNT_OF(begin_with_bos); i++)
        c->add_bos = c->add_bos || str_is(pre, begin_with_bos[i]);
    if (!gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &c->add_bos, err))
        return false;
    c->add_bos = c->add_bos && c->bos >= 0;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        if (gguf_get(g, ends[i]) == NULL)
            continue;
        if (!gguf_get_int(g, ends[i], 0, (int64_t)c->vocab - 1, &id, err) ||
            !config_add_eos(c, id, ends[i], err))
            return false;
    }
    return true;
}

bool config_from_gguf(const struct gguf *g, struct model_config *out, const struct family **family,
                      struct error *err)
{
    struct str arch;
    char known[256];

    if (!gguf_need(g, "general.architecture", err) ||
        !gguf_get_str(g, "general.architecture", &arch, err))
        return false;
    const struct family *fam = family_of_gguf(arch);
    if (fam == NULL) {
        family_list(true, known, sizeof known);
        return fail_param(
            err, ERR_UNSUPPORTED, "general.architecture",
            "%s: general.architecture is \"%s\", which is not supported; these are: %s",
            gguf_name(g), shown(arch).text, known);
    }
    struct model_config c = config_begin(fam, 10000); /* llama.cpp's, whatever the family */
    struct gguf_keys k = {.g = g, .arch = fam->gguf_arch};
    char heads[64], kv_heads[64], head_width[64], eps[64], base[64];
    snprintf(heads, sizeof heads, "%s.attention.head_count", k.arch);
    snprintf(kv_heads, sizeof kv_heads, "%s.attention.head_count_kv", k.arch);
    snprintf(head_width, sizeof head_width, "%s.attention.key_length", k.arch);
    snprintf(eps, sizeof eps, "%s.attention.layer_norm_rms_epsilon", k.arch);
    snprintf(base, sizeof base, "%s.rope.freq_base", k.arch);
    const struct keys keys = {heads, kv_heads, head_width, eps, base};

    if (!gguf_fixed(&k, fam->gguf_fixed, err) || !gguf_shape(&k, fam, &c, err) ||
        !shape_check(&c, gguf_name(g), &keys, err) || !gguf_tokens(g, &c, err))
        return false;
    *out = c;
    *family = fam;
    return true;
}

/* --- config.json */

bool config_json_size(const json_t *obj, const char *key, const char *what, bool needed, size_t max,
                      size_t *out, struct error *err)
{
    int64_t v;

    if (needed && json_object_get(obj, key) == NULL)
        return fail_param(err, ERR_INVALID, key,
                          "%s: \"%s\" is missing, a whole number was expected", what, key);
    if (needed && json_is_null(json_object_get(obj, key)))
        return fail_param(err, ERR_INVALID, key, "%s: \"%s\" is null, a whole number was expected",
                          what, key);
    if (!json_get_int(obj, key, what, (int64_t)*out, 1, (int64_t)max, &v, err))
        return false;
    *out = (size_t)v;
    return true;
}

bool config_json_number(const json_t *obj, const char *key, const char *what, double *out,
                        struct error *err)
{
    const json_t *v = json_object_get(obj, key);
    double x = 1;

    if (v == NULL || json_is_null(v))
        return true;
    if (!json_get_double(obj, key, what, 1, &x, err))
        return false;
    if (!is_number(x))
        return fail_param(err, ERR_INVALID, key, "%s: \"%s\" is %g, a number above 0 was expected",
                          what, key, x);
    *out = x;
    return true;
}

static bool json_fixed(const json_t *obj, const char *what, const struct fixed_key *list,
                       struct error *err)
{
    for (const struct fixed_key *f = list; f->key != NULL; f++) {
        const json_t *v = json_object_get(obj, f->key);

        if (v == NULL || json_is_null(v))
            continue;
        const struct json_shown found = json_show(v);
        const bool same = json_is_number(v) ? json_number_value(v) == strtod(f->value, NULL)
                                            : strcmp(found.text, f->value) == 0;
        if (!same)
            return fail_param(err, ERR_UNSUPPORTED, f->key,
                              "%s: \"%s\" is %s, only %s is supported: there are no %s", what,
                              f->key, found.text, f->value, f->meaning);
    }
    return true;
}

static bool json_family(const json_t *root, const char *what, const struct family **out,
                        struct error *err)
{
    struct str type;
    char known[256];

    if (!json_is_object(root))
        return fail(err, ERR_INVALID, "%s is %s, an object was expected", what, json_kind(root));
    if (!json_get_str(root, "model_type", what, &type, err))
        return false;
    const struct family *fam = family_of_hf(type);
    if (fam == NULL) {
        family_list(false, known, sizeof known);
        return fail_param(err, ERR_UNSUPPORTED, "model_type",
                          "%s: \"model_type\" is \"%s\", which is not supported; these are: %s",
                          what, shown(type).text, known);
    }
    const json_t *classes = json_object_get(root, "architectures");
    if (classes != NULL && !json_is_null(classes) &&
        !str_is(json_str(json_array_get(classes, 0)), fam->hf_class))
        return fail_param(err, ERR_UNSUPPORTED, "architectures",
                          "%s: \"architectures\" is %s, which is not supported; [\"%s\"] is", what,
                          json_show(classes).text, fam->hf_class);
    *out = fam;
    return true;
}

static bool json_shape(const json_t *root, const char *what, const struct family *fam,
                       struct model_config *c, struct error *err)
{
    if (!config_json_size(root, "num_hidden_layers", what, true, LIMIT_LAYERS, &c->n_layers, err) ||
        !config_json_size(root, "hidden_size", what, true, LIMIT_WIDTH, &c->width, err) ||
        !config_json_size(root, "intermediate_size", what, true, LIMIT_WIDTH, &c->hidden, err) ||
        !config_json_size(root, "vocab_size", what, true, LIMIT_VOCAB, &c->vocab, err) ||
        !config_json_size(root, "num_attention_heads", what, true, LIMIT_WIDTH, &c->n_heads, err))
        return false;
    c->hidden_of_dense = c->hidden;
    const json_t *kv_heads = json_object_get(root, "num_key_value_heads"),
                 *head_width = json_object_get(root, "head_dim");
    c->context = fam->context > 0 ? fam->context : 2048;
    c->n_kv_heads = kv_heads == NULL && fam->n_kv_heads > 0 ? fam->n_kv_heads : c->n_heads;
    if (!config_json_size(root, "max_position_embeddings", what, false, LIMIT_CONTEXT, &c->context,
                          err) ||
        !config_json_size(root, "num_key_value_heads", what, false, LIMIT_WIDTH, &c->n_kv_heads,
                          err))
        return false;
    const bool as_class = head_width == NULL && fam->head_width > 0;
    if (!as_class && (head_width == NULL || json_is_null(head_width)) && c->width % c->n_heads != 0)
        return fail_param(
            err, ERR_INVALID, "num_attention_heads",
            "%s: \"num_attention_heads\" is %zu, which does not divide \"hidden_size\" = %zu", what,
            c->n_heads, c->width);
    c->head_width = as_class ? fam->head_width : size_max(c->width / c->n_heads, 1);
    return config_json_size(root, "head_dim", what, false, LIMIT_WIDTH, &c->head_width, err) &&
           json_get_double(root, "rms_norm_eps", what, c->rms_eps, &c->rms_eps, err) &&
           config_rope_json(root, what, fam, c, err) &&
           config_layers_json(root, what, fam, c, err) &&
           (fam->hf_more == NULL || fam->hf_more(root, what, c, err)) &&
           json_get_bool(root, "tie_word_embeddings", what, fam->hf_tied, &c->tied_head, err);
}

bool config_add_eos_json(struct model_config *c, const json_t *json, const char *what,
                         struct error *err)
{
    const json_t *v = json_object_get(json, "eos_token_id");
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    char where[400];

    if (v == NULL || json_is_null(v))
        return true;
    snprintf(where, sizeof where, "%s: \"eos_token_id\"", what);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(v) ? json_array_get(v, i) : v;

        if (!json_is_integer(id))
            return fail_param(err, ERR_INVALID, "eos_token_id",
                              "%s is %s, an id or a list of ids was expected", where,
                              json_show(v).text);
        if (!config_add_eos(c, json_integer_value(id), where, err))
            return false;
    }
    return true;
}

bool config_from_json(const json_t *json, const char *what, struct model_config *out,
                      const struct family **family, struct error *err)
{
    static const struct keys keys = {"num_attention_heads", "num_key_value_heads", "head_dim",
                                     "rms_norm_eps", "rope_theta"};
    const struct family *fam = NULL;
    int64_t bos;

    if (!json_family(json, what, &fam, err))
        return false;
    assert(fam != NULL);
    struct model_config c = config_begin(fam, fam->rope_base);
    c.norms_add_one = fam->hf_norms_add_one;
    if (!json_fixed(json, what, fam->hf_fixed, err) || !json_shape(json, what, fam, &c, err) ||
        !shape_check(&c, what, &keys, err) ||
        !json_get_int(json, "bos_token_id", what, -1, -1, (int64_t)c.vocab - 1, &bos, err) ||
        !config_add_eos_json(&c, json, what, err))
        return false;
    c.bos = (int)bos;
    *out = c;
    *family = fam;
    return true;
}
