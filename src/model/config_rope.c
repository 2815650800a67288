/*
 * config_rope.c - rotations out of config.json or of a GGUF file.
 */
#include "base/size.h"
#include "model/config_internal.h"
#include "model/shown.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- config.json */

/* A list of width / 2 numbers above 0. */
static bool factors_read(const json_t *rope, const char *key, const char *what, size_t n,
                         float out[ROPE_MAX_FACTORS], struct error *err)
{
    const json_t *list = json_object_get(rope, key);

    if (!json_is_array(list) || json_array_size(list) != n || n > ROPE_MAX_FACTORS)
        return fail_param(err, ERR_INVALID, key,
                          "%s: \"%s\" is %s, a list of %zu numbers (at most %d) was expected", what,
                          key, json_show(list).text, n, ROPE_MAX_FACTORS);
    for (size_t i = 0; i < n; i++) {
        const double x = json_number_value(json_array_get(list, i));

        if (!(x > 1e-30 && x < 1e30))
            return fail_param(err, ERR_INVALID, key,
                              "%s: \"%s\"[%zu] is %s, a number above 0 was expected", what, key, i,
                              json_show(json_array_get(list, i)).text);
        out[i] = (float)x;
    }
    return true;
}

static bool need(const json_t *rope, const char *key, const char *what, double *out,
                 struct error *err)
{
    if (!json_is_number(json_object_get(rope, key)))
        return fail_param(err, ERR_INVALID, key,
                          "%s: \"%s\" of the rope scaling is %s, a number was expected", what, key,
                          json_show(json_object_get(rope, key)).text);
    return config_json_number(rope, key, what, out, err);
}

/* In the rotation's object, or, in older files, beside it; *out stays where it is in neither. */
static bool original_read(const json_t *root, const json_t *rope, const char *what, double *out,
                          struct error *err)
{
    static const char key[] = "original_max_position_embeddings";
    double beside = 0;

    if (!config_json_number(root, key, what, &beside, err))
        return false;
    if (beside > 0)
        *out = beside;
    if (!config_json_number(rope, key, what, out, err))
        return false;
    return beside == 0 || *out == beside ||
           fail_param(err, ERR_INVALID, key,
                      "%s: \"%s\" is %g, but %g in the rope scaling: one was expected", what, key,
                      beside, *out);
}

static bool llama3_read(const json_t *root, const json_t *rope, const char *what,
                        struct rope_spec *r, struct error *err)
{
    r->scaling = ROPE_LLAMA3;
    if (!need(rope, "factor", what, &r->factor, err) ||
        !need(rope, "low_freq_factor", what, &r->low, err) ||
        !need(rope, "high_freq_factor", what, &r->high, err) ||
        !original_read(root, rope, what, &r->original, err))
        return false;
    return r->low < r->high ||
           fail_param(err, ERR_INVALID, "low_freq_factor",
                      "%s: \"low_freq_factor\" is %g, less than \"high_freq_factor\" = %g was "
                      "expected",
                      what, r->low, r->high);
}

/* 0.1 m ln(scale) + 1 */
static double stretched(double scale, double m)
{
    return scale > 1 ? 0.1 * m * log(scale) + 1 : 1;
}

static bool yarn_read(const json_t *root, const json_t *rope, const char *what, struct rope_spec *r,
                      struct error *err)
{
    double scale = 0, scale_all = 0;

    r->scaling = ROPE_YARN;
    r->high = 32;
    r->low = 1;
    if (!need(rope, "factor", what, &r->factor, err) ||
        !original_read(root, rope, what, &r->original, err) ||
        !config_json_number(rope, "beta_fast", what, &r->high, err) ||
        !config_json_number(rope, "beta_slow", what, &r->low, err) ||
        !config_json_number(rope, "mscale", what, &scale, err) ||
        !config_json_number(rope, "mscale_all_dim", what, &scale_all, err) ||
        !json_get_bool(rope, "truncate", what, true, &r->whole_pairs, err))
        return false;
    if (!(r->base > 1)) /* pairs are counted by its logarithm */
        return fail_param(err, ERR_INVALID, "rope_theta",
                          "%s: \"rope_theta\" is %g, with YaRN a number above 1 was expected", what,
                          r->base);
    if (scale > 0 && scale_all > 0)
        r->attention_factor = stretched(r->factor, scale) / stretched(r->factor, scale_all);
    return config_json_number(rope, "attention_factor", what, &r->attention_factor, err);
}

static bool longrope_read(const json_t *root, const json_t *rope, const char *what,
                          const struct model_config *c, struct rope_spec *r, struct error *err)
{
    r->scaling = ROPE_FACTORS;
    r->n_factors = config_rotary_width(c) / 2;
    if (!original_read(root, rope, what, &r->original, err) ||
        !factors_read(rope, "short_factor", what, r->n_factors, r->short_factor, err) ||
        !factors_read(rope, "long_factor", what, r->n_factors, r->long_factor, err))
        return false;
    if (!(r->original > 1))
        return fail_param(err, ERR_INVALID, "original_max_position_embeddings",
                          "%s: \"original_max_position_embeddings\" is missing, a number above 1 "
                          "was expected",
                          what);
    double factor = (double)c->context / r->original;
    if (!config_json_number(rope, "factor", what, &factor, err))
        return false;
    r->attention_factor = factor > 1 ? sqrt(1 + log(factor) / log(r->original)) : 1;
    return config_json_number(rope, "attention_factor", what, &r->attention_factor, err);
}

/* "partial_rotary_factor", here or there: the share of a head that is rotated. */
static bool partial_read(const json_t *from, const char *place, const char *what,
                         const struct family *fam, struct model_config *c, struct error *err)
{
    static const char key[] = "partial_rotary_factor";
    double share = 1;

    if (!config_json_number(from, key, what, &share, err))
        return false;
    const size_t width = share <= 1 ? (size_t)((double)c->head_width * share) : 0;
    if (share == 1)
        return true;
    if (!fam->partial_rotary)
        return fail_param(err, ERR_UNSUPPORTED, place,
                          "%s: \"%s\" in \"%s\" is %g: a partial rotation is not supported for "
                          "this family",
                          what, key, place, share);
    if (width == 0 || width % 2 != 0)
        return fail_param(err, ERR_INVALID, place,
                          "%s: \"%s\" is %g: of heads of width %zu that is no even number", what,
                          key, share, c->head_width);
    c->rotary_width = width;
    return true;
}

/* One rotation: the object that has its "rope_type", of which "type" is the older name. */
static bool rotation_read(const json_t *root, const json_t *rope, const char *place,
                          const char *what, const struct family *fam, struct model_config *c,
                          struct rope_spec *r, struct error *err)
{
    const json_t *type = json_object_get(rope, "rope_type");

    if (!json_is_object(rope))
        return fail_param(err, ERR_INVALID, place,
                          "%s: \"%s\" is %s, an object or null was expected", what, place,
                          json_kind(rope));
    if (type == NULL)
        type = json_object_get(rope, "type");
    const struct str name = json_str(type);
    if (!config_json_number(rope, "rope_theta", what, &r->base, err) ||
        !partial_read(rope, place, what, fam, c, err))
        return false;
    if (type == NULL ? json_object_get(rope, "factor") == NULL : str_is(name, "default"))
        return true;
    if (str_is(name, "longrope") ||
        (fam->phi_scaling && (str_is(name, "su") || str_is(name, "yarn"))))
        return longrope_read(root, rope, what, c, r, err);
    r->original = (double)c->context; /* where it is not told; of LongRoPE it has to be */
    if (str_is(name, "linear")) {
        r->scaling = ROPE_LINEAR;
        return need(rope, "factor", what, &r->factor, err);
    }
    if (str_is(name, "llama3"))
        return llama3_read(root, rope, what, r, err);
    if (str_is(name, "yarn"))
        return yarn_read(root, rope, what, r, err);
    return fail_param(err, ERR_UNSUPPORTED, place,
                      "%s: \"%s\" is %s: this rope scaling is not supported (\"default\", "
                      "\"linear\", \"llama3\", \"yarn\" and \"longrope\" are)",
                      what, place, json_show(rope).text);
}

static const json_t *object_at(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);

    return v == NULL || json_is_null(v) ? NULL : v;
}

/* "rope_scaling" or "rope_parameters": of all layers, or of those with and without a window apart. */
static bool place_read(const json_t *root, const char *place, const char *what,
                       const struct family *fam, struct model_config *c, struct error *err)
{
    const json_t *rope = object_at(root, place), *global = object_at(rope, "full_attention"),
                 *local = object_at(rope, "sliding_attention");

    if (rope == NULL)
        return true;
    if (global == NULL && local == NULL)
        return rotation_read(root, rope, place, what, fam, c, &c->rope[0], err);
    if (c->rope[1].base == 0)
        return fail_param(err, ERR_UNSUPPORTED, place,
                          "%s: \"%s\" has rotations for kinds of layers, but those of this family "
                          "are rotated alike",
                          what, place);
    return (global == NULL || rotation_read(root, global, place, what, fam, c, &c->rope[0], err)) &&
           (local == NULL || rotation_read(root, local, place, what, fam, c, &c->rope[1], err));
}

/*
 * transformers 4 writes "rope_theta" and "rope_scaling" (null, or an object with its "rope_type" or "type");
 * transformers 5 writes both into "rope_parameters", where layers with a window may have their own.
 */
bool config_rope_json(const json_t *root, const char *what, const struct family *fam,
                      struct model_config *c, struct error *err)
{
    const json_t *scaling = object_at(root, "rope_scaling"),
                 *parameters = object_at(root, "rope_parameters");
    const bool two =
        fam->local_rope && fam->window > 0; /* OLMo 2 has but one; in GGUF it may be 3 */

    if (scaling != NULL && parameters != NULL && !json_equal(scaling, parameters))
        return fail_param(err, ERR_INVALID, "rope_scaling",
                          "%s: \"rope_scaling\" is %s, but \"rope_parameters\" is another: one of "
                          "them was expected",
                          what, json_show(scaling).text);
    if (two && parameters != NULL && object_at(parameters, "full_attention") == NULL)
        return fail_param(err, ERR_INVALID, "rope_parameters",
                          "%s: \"rope_parameters\" is %s, \"full_attention\" was expected in it",
                          what, json_show(parameters).text);
    if (!config_json_number(root, "rope_theta", what, &c->rope[0].base, err))
        return false;
    if (two) {
        c->rope[1].base = fam->local_rope_base > 0 ? fam->local_rope_base : c->rope[0].base;
        if (fam->local_rope_base > 0 &&
            !config_json_number(root, "rope_local_base_freq", what, &c->rope[1].base, err))
            return false;
    }
    return (!fam->partial_rotary || partial_read(root, "config.json", what, fam, c, err)) &&
           place_read(root, "rope_scaling", what, fam, c, err) &&
           place_read(root, "rope_parameters", what, fam, c, err);
}

/* --- GGUF */

/* What is told in keys; factors that stand in tensors are read with the weights (model_files_gguf.c). */
static bool scaling_read(struct gguf_keys *k, struct rope_spec *r, struct error *err)
{
    struct str type = STR("none");
    const char *key = config_gguf_key(k, "rope.scaling.type");

    if (!gguf_get_str(k->g, key, &type, err))
        return false;
    if (gguf_get(k->g, key) == NULL &&
        gguf_get(k->g, config_gguf_key(k, "rope.scaling.factor")) != NULL)
        type = STR("linear"); /* as llama.cpp takes it */
    key = config_gguf_key(k, "rope.scaling.type");
    if (str_is(type, "none") || str_is(type, "longrope"))
        return true;
    if (!str_is(type, "linear") && !str_is(type, "yarn"))
        return fail_param(err, ERR_UNSUPPORTED, key,
                          "%s: %s is \"%s\": this rope scaling is not supported (\"none\", "
                          "\"linear\", \"yarn\" and \"longrope\" are)",
                          gguf_name(k->g), key, shown(type).text);
    r->scaling = str_is(type, "linear") ? ROPE_LINEAR : ROPE_YARN;
    if (!gguf_need(k->g, config_gguf_key(k, "rope.scaling.factor"), err) ||
        !config_gguf_number(k, "rope.scaling.factor", &r->factor, err))
        return false;
    if (r->scaling == ROPE_LINEAR)
        return true;
    if (!(r->base > 1)) /* pairs are counted by its logarithm */
        return fail_param(err, ERR_INVALID, config_gguf_key(k, "rope.freq_base"),
                          "%s: %s is %g, with YaRN a number above 1 was expected", gguf_name(k->g),
                          k->key, r->base);
    r->high = 32;
    r->low = 1;
    r->whole_pairs = true;
    if (!config_gguf_number(k, "rope.scaling.original_context_length", &r->original, err) ||
        !config_gguf_number(k, "rope.scaling.yarn_attn_factor", &r->attention_factor, err) ||
        !config_gguf_number(k, "rope.scaling.yarn_beta_fast", &r->high, err) ||
        !config_gguf_number(k, "rope.scaling.yarn_beta_slow", &r->low, err))
        return false;
    return true;
}

bool config_rope_gguf_log_multiplier(struct gguf_keys *k, struct rope_spec *r, struct error *err)
{
    double scale_all = 0;

    if (!config_gguf_number(k, "rope.scaling.yarn_log_multiplier", &scale_all, err))
        return false;
    if (r->scaling == ROPE_YARN && scale_all > 0)
        r->attention_factor = stretched(r->factor, 1) / stretched(r->factor, scale_all);
    return true;
}

bool config_rope_gguf(struct gguf_keys *k, const struct family *fam, struct model_config *c,
                      struct error *err)
{
    size_t width = c->head_width;

    c->rope[0].original = (double)c->context;
    if (!config_gguf_number(k, "rope.freq_base", &c->rope[0].base, err) ||
        !config_gguf_size(k, "rope.dimension_count", false, LIMIT_WIDTH, &width, err) ||
        !scaling_read(k, &c->rope[0], err))
        return false;
    if (width != c->head_width && (!fam->partial_rotary || width > c->head_width || width % 2 != 0))
        return fail_param(err, ERR_UNSUPPORTED, config_gguf_key(k, "rope.dimension_count"),
                          "%s: %s is %zu; only the width of keys, %zu, is supported",
                          gguf_name(k->g), config_gguf_key(k, "rope.dimension_count"), width,
                          c->head_width);
    if (width != c->head_width)
        c->rotary_width = width;
    if (!fam->local_rope)
        return true;
    c->rope[1].base = fam->local_rope_base > 0 ? fam->local_rope_base : c->rope[0].base;
    return config_gguf_number(k, "rope.freq_base_swa", &c->rope[1].base, err);
}
