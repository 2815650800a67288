/*
 * config_layers.c - which layers see a window only, and which are not rotated.
 */
#include "base/size.h"
#include "model/config_internal.h"

#include <stdio.h>
#include <string.h>

/* The family's own rule, where the file names no layers. */
static bool has_window(const struct family *fam, size_t layer, size_t every, size_t from)
{
    switch (fam->windows) {
    case WINDOWS_NONE:
        break;
    case WINDOWS_ALL:
        return true;
    case WINDOWS_FROM:
        return layer >= from;
    case WINDOWS_BUT_EVERY:
        return every == 0 || (layer + 1) % every != 0;
    }
    return false;
}

static void finish(const struct family *fam, struct model_config *c)
{
    for (size_t l = 0; l < c->n_layers; l++)
        if (c->layers[l].windowed && fam->local_rope)
            c->layers[l].rope = 1;
}

/* --- config.json */

static bool layer_types_read(const json_t *list, const char *what, struct model_config *c,
                             struct error *err)
{
    if (!json_is_array(list) || json_array_size(list) < c->n_layers)
        return fail_param(err, ERR_INVALID, "layer_types",
                          "%s: \"layer_types\" is %s, a list of %zu names was expected", what,
                          json_show(list).text, c->n_layers);
    for (size_t l = 0; l < c->n_layers; l++) {
        const struct str type = json_str(json_array_get(list, l));

        c->layers[l].windowed = str_is(type, "sliding_attention");
        if (!c->layers[l].windowed && !str_is(type, "full_attention"))
            return fail_param(err, ERR_UNSUPPORTED, "layer_types",
                              "%s: \"layer_types\"[%zu] is %s; \"full_attention\" and "
                              "\"sliding_attention\" are supported",
                              what, l, json_show(json_array_get(list, l)).text);
    }
    return true;
}

static bool windows_read(const json_t *root, const char *what, const struct family *fam,
                         struct model_config *c, struct error *err)
{
    const json_t *types = json_object_get(root, "layer_types");
    size_t window = fam->window, every = fam->window_every;
    size_t from = 28; /* as Qwen's classes have it where a file is silent */
    bool on = true;

    if (fam->windows ==
        WINDOWS_NONE) /* a key that says otherwise is refused by the family's list */
        return true;
    if (json_is_null(json_object_get(root, "sliding_window")))
        window = 0;
    if (!config_json_size(root, "sliding_window", what, false, LIMIT_CONTEXT, &window, err) ||
        !config_json_size(root, "sliding_window_pattern", what, false, LIMIT_LAYERS, &every, err) ||
        (fam->window_switch && !json_get_bool(root, "use_sliding_window", what, false, &on, err)))
        return false;
    if (json_integer_value(json_object_get(root, "max_window_layers")) == 0 &&
        json_is_integer(json_object_get(root, "max_window_layers")))
        from = 0;
    else if (!config_json_size(root, "max_window_layers", what, false, LIMIT_LAYERS, &from, err))
        return false;
    if (!on || window == 0)
        return true;
    c->window = window;
    if (types != NULL && !json_is_null(types) && fam->windows != WINDOWS_ALL)
        return layer_types_read(types, what, c, err);
    for (size_t l = 0; l < c->n_layers; l++)
        c->layers[l].windowed = has_window(fam, l, every, from);
    return true;
}

/* 1 where a layer is rotated */
static bool no_rope_read(const json_t *list, const char *what, struct model_config *c,
                         struct error *err)
{
    if (!json_is_array(list) || json_array_size(list) < c->n_layers)
        return fail_param(err, ERR_INVALID, "no_rope_layers",
                          "%s: \"no_rope_layers\" is %s, a list of %zu numbers was expected", what,
                          json_show(list).text, c->n_layers);
    for (size_t l = 0; l < c->n_layers; l++) {
        const json_t *rotated = json_array_get(list, l);

        if (!json_is_integer(rotated))
            return fail_param(err, ERR_INVALID, "no_rope_layers",
                              "%s: \"no_rope_layers\"[%zu] is %s, 0 or 1 was expected", what, l,
                              json_show(rotated).text);
        if (json_integer_value(rotated) == 0)
            c->layers[l].rope = ROPE_NONE;
    }
    return true;
}

bool config_layers_json(const json_t *root, const char *what, const struct family *fam,
                        struct model_config *c, struct error *err)
{
    const json_t *list = json_object_get(root, "no_rope_layers");
    size_t every = fam->no_rope_every;

    if (!windows_read(root, what, fam, c, err))
        return false;
    finish(fam, c);
    if (every == 0)
        return true;
    if (list != NULL && !json_is_null(list))
        return no_rope_read(list, what, c, err);
    if (!config_json_size(root, "no_rope_layer_interval", what, false, LIMIT_LAYERS, &every, err))
        return false;
    for (size_t l = every - 1; l < c->n_layers; l += every)
        c->layers[l].rope = ROPE_NONE;
    return true;
}

/* --- GGUF */

/* Of each layer whether it has a window: a list, or every how manieth has none. */
static bool pattern_read(struct gguf_keys *k, const struct family *fam, struct model_config *c,
                         struct error *err)
{
    static const char name[] = "attention.sliding_window_pattern";
    const struct gguf_value *list = gguf_get(k->g, config_gguf_key(k, name));
    const bool is_list = list != NULL && list->type == GGUF_ARRAY && list->item == GGUF_BOOL;
    size_t every = fam->window_every;

    if (is_list && list->n_items < c->n_layers)
        return fail_param(err, ERR_INVALID, k->key, "%s: %s has %zu entries, %zu were expected",
                          gguf_name(k->g), k->key, list->n_items, c->n_layers);
    if (!is_list && !config_gguf_size(k, name, false, LIMIT_LAYERS, &every, err))
        return false;
    for (size_t l = 0; l < c->n_layers; l++)
        c->layers[l].windowed =
            is_list ? list->bytes.ptr[l] != 0 : has_window(fam, l, every, c->n_layers);
    return true;
}

bool config_layers_gguf(struct gguf_keys *k, const struct family *fam, struct model_config *c,
                        struct error *err)
{
    int64_t window = (int64_t)fam->gguf_window;

    if (!gguf_get_int(k->g, config_gguf_key(k, "attention.sliding_window"), 0,
                      (int64_t)LIMIT_CONTEXT, &window, err) ||
        (window > 0 && !pattern_read(k, fam, c, err)))
        return false;
    c->window = (size_t)window;
    finish(fam, c);
    for (size_t l = fam->no_rope_every; fam->no_rope_every > 0 && l <= c->n_layers;
         l += fam->no_rope_every)
        c->layers[l - 1].rope = ROPE_NONE;
    return true;
}
