/*
 * export_made.c - what a Hugging Face folder has beside its weights, made from a GGUF file's keys.
 *
 * Only families whose config.json says no more than the keys do, and byte-level BPE, whose pre-tokenizer is known by its name
 * (text/tokenizer_spec.c). What is left is refused: a config.json that is nearly right is worse than none.
 */
#include "base/size.h"
#include "model/export_internal.h"
#include "model/gguf.h"

#include <math.h>
#include <stdlib.h>

/* Llama 3's stretching is kept in GGUF as a factor for each frequency: which of its usual settings makes these? */
static bool llama3_find(const struct model_config *c, struct rope_spec *out)
{
    const size_t width = config_rotary_width(c), n = width / 2;
    double *want = calloc(n, sizeof *want), *got = calloc(n, sizeof *got);
    bool found = false;

    if (want != NULL && got != NULL)
        (void)rope_frequencies(&c->rope[0], width, 1, want);
    for (double original = 32; want != NULL && got != NULL && !found && original <= 131072;
         original *= 2) {
        for (double factor = 2; !found && factor <= 64; factor *= 2) {
            const struct rope_spec r = {.scaling = ROPE_LLAMA3,
                                        .base = c->rope[0].base,
                                        .factor = factor,
                                        .original = original,
                                        .low = 1,
                                        .high = 4};

            (void)rope_frequencies(&r, width, 1, got);
            found = true;
            for (size_t i = 0; i < n; i++)
                found = found && fabs(got[i] - want[i]) <= 1e-6 * fabs(want[i]);
            if (found)
                *out = r;
        }
    }
    free(want);
    free(got);
    return found;
}

/* "rope_scaling", null where there is none. */
static bool scaling_json(const struct export_options *o, json_t **out, struct error *err)
{
    const struct model_config *c = &o->files->config;
    const struct rope_spec *r = &c->rope[0];
    struct rope_spec found;

    if (r->scaling == ROPE_PLAIN)
        *out = json_null();
    else if (r->scaling == ROPE_LINEAR)
        *out = json_pack("{s:s, s:f}", "rope_type", "linear", "factor", r->factor);
    else if (r->scaling == ROPE_FACTORS && llama3_find(c, &found))
        *out = json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor", found.factor,
                         "low_freq_factor", found.low, "high_freq_factor", found.high,
                         "original_max_position_embeddings", (json_int_t)found.original);
    else
        return fail(err, ERR_UNSUPPORTED,
                    "%s stretches its rotations in a way that no config.json is made for: export "
                    "--format gguf or peft",
                    o->files->path);
    return true;
}

static bool is_simple(const struct export_options *o, struct error *err)
{
    static const struct family *const simple[] = {&family_llama, &family_qwen2, &family_qwen3};
    struct str model = STR("");

    for (size_t i = 0; i <= COUNT_OF(simple); i++) {
        if (i == COUNT_OF(simple))
            return fail(err, ERR_UNSUPPORTED,
                        "%s is a GGUF file of the family %s, and a folder is made of llama, qwen2 "
                        "and qwen3 alone: export --format gguf, or --format peft and merge it into "
                        "the folder that the file was made of",
                        o->files->path, o->files->family->name);
        if (o->files->family == simple[i])
            break;
    }
    if (!gguf_get_str(o->files->gguf, "tokenizer.ggml.model", &model, err))
        return false;
    return str_is(model, "gpt2") ||
           fail(err, ERR_UNSUPPORTED,
                "%s has a tokenizer of the kind \"" STR_FMT
                "\", and a tokenizer.json is made of \"gpt2\" alone: export --format gguf or peft",
                o->files->path, (int)size_min(model.len, 100), model.ptr);
}

bool made_tensors(const struct export_options *o, struct arena *a, struct merged_tensor **out,
                  size_t *n, struct error *err)
{
    const struct model_files *f = o->files;
    const char *const *patterns = f->family->hf_tensor;
    struct lora_group groups[N_PROJECTIONS];
    size_t n_groups = 0;

    if (!is_simple(o, err))
        return false;
    *n = 0;
    *out = arena_try(a, f->n_weights, sizeof **out, "the list of tensors", err);
    for (size_t l = 0; *out != NULL && l < f->config.n_layers; l++) {
        if (o->adapter != NULL)
            n_groups = lora_groups(patterns, o->adapter, l, false, groups);
        for (int w = l == 0 ? 0 : W_ATTN_NORM; w < N_WEIGHT_NAMES; w++) {
            const struct matrix_view view = model_files_weight(f, (enum weight_name)w, l);
            const bool bias = w == W_Q_BIAS || w == W_K_BIAS || w == W_V_BIAS;
            char *name = arena_alloc(a, 128);
            struct merged_tensor *m = &(*out)[*n];

            if (view.data == NULL)
                continue;
            family_tensor_name(patterns[w], l, bias ? ".bias" : ".weight", name, 128);
            *m = (struct merged_tensor){.name = name, .from = view};
            m->n_dims =
                w == W_FINAL_NORM || w == W_ATTN_NORM || w == W_FFN_NORM || w >= W_Q_BIAS ? 1 : 2;
            m->dims[0] = m->n_dims == 1 ? view.cols : view.rows;
            m->dims[1] = m->n_dims == 1 ? 0 : view.cols;
            for (size_t i = 0; i < n_groups && !bias; i++)
                if (strcmp(groups[i].pattern, patterns[w]) == 0)
                    m->group = groups[i];
            (*n)++;
        }
    }
    return *out != NULL;
}

static json_t *eos_json(const struct model_config *c, bool all)
{
    json_t *list = json_array();

    if (c->n_eos == 0 || !all || c->n_eos == 1) {
        json_decref(list);
        return c->n_eos == 0 ? json_null() : json_integer(c->eos[0]);
    }
    for (size_t i = 0; i < c->n_eos; i++)
        json_array_append_new(list, json_integer(c->eos[i]));
    return list;
}

static json_t *id_json(int id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static bool config_made(const struct export_options *o, const char *dir, struct arena *a,
                        struct error *err)
{
    const struct model_config *c = &o->files->config;
    json_t *scaling = NULL;

    if (!scaling_json(o, &scaling, err))
        return false;
    json_t *config = json_pack(
        "{s:[s], s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:o, s:b, s:o, s:o, "
        "s:s}",
        "architectures", o->files->family->hf_class, "model_type", o->files->family->hf_type,
        "hidden_size", (json_int_t)c->width, "intermediate_size", (json_int_t)c->hidden,
        "num_hidden_layers", (json_int_t)c->n_layers, "num_attention_heads", (json_int_t)c->n_heads,
        "num_key_value_heads", (json_int_t)c->n_kv_heads, "head_dim", (json_int_t)c->head_width,
        "vocab_size", (json_int_t)c->vocab, "max_position_embeddings", (json_int_t)c->context,
        "hidden_act", "silu", "rms_norm_eps", c->rms_eps, "rope_theta", c->rope[0].base,
        "rope_scaling", scaling, "tie_word_embeddings", (int)c->tied_head, "bos_token_id",
        id_json(c->bos), "eos_token_id", eos_json(c, false), "torch_dtype", torch_name(o->dtype));
    json_t *generation =
        json_pack("{s:o, s:o}", "bos_token_id", id_json(c->bos), "eos_token_id", eos_json(c, true));
    const bool ok = json_put(config, file_join(a, dir, "config.json"), err) &&
                    json_put(generation, file_join(a, dir, "generation_config.json"), err);
    json_decref(config);
    json_decref(generation);
    return ok;
}

/* ---- the tokenizer ---- */

struct vocabulary {
    struct str *tokens, *merges;
    int32_t *types;
    size_t n_tokens, n_types, n_merges;
    struct named_pre pre;
};

static bool vocabulary_read(const struct export_options *o, struct arena *a, struct vocabulary *v,
                            struct error *err)
{
    const struct gguf *g = o->files->gguf;
    struct str pre = STR("");

    return gguf_get_strs(g, "tokenizer.ggml.tokens", a, &v->tokens, &v->n_tokens, err) &&
           gguf_get_i32s(g, "tokenizer.ggml.token_type", a, &v->types, &v->n_types, err) &&
           gguf_get_strs(g, "tokenizer.ggml.merges", a, &v->merges, &v->n_merges, err) &&
           gguf_get_str(g, "tokenizer.ggml.pre", &pre, err) &&
           (tokenizer_named_pre(pre, &v->pre) ||
            fail(err, ERR_UNSUPPORTED, "the pre-tokenizer of %s is not known", o->files->path));
}

static json_t *text_json(struct str s)
{
    return json_stringn(s.ptr, s.len);
}

/* Unknown and control tokens are special; user-defined ones are cut out of the text, too. */
static json_t *added_json(const struct vocabulary *v)
{
    json_t *list = json_array();

    for (size_t i = 0; v->types != NULL && i < v->n_tokens; i++)
        if (v->types[i] >= 2 && v->types[i] <= 4 && v->tokens[i].len > 0)
            json_array_append_new(list, json_pack("{s:i, s:o, s:b, s:b, s:b, s:b, s:b}", "id",
                                                  (int)i, "content", text_json(v->tokens[i]),
                                                  "single_word", 0, "lstrip", 0, "rstrip", 0,
                                                  "normalized", 0, "special", v->types[i] != 4));
    return list;
}

static json_t *steps_json(const struct vocabulary *v)
{
    json_t *steps = json_array();

    for (size_t i = 0; i < v->pre.n; i++)
        json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split",
                                               "pattern", "Regex", v->pre.patterns[i], "behavior",
                                               "Isolated", "invert", 0));
    json_array_append_new(steps,
                          json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space",
                                    0, "trim_offsets", 1, "use_regex", 0));
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", steps);
}

/* Two texts with one id would lose one: such a file has no tokenizer.json. */
static bool model_json(const struct export_options *o, const struct vocabulary *v, json_t **out,
                       struct error *err)
{
    json_t *vocab = json_object(), *merges = json_array();
    bool ok = true;

    for (size_t i = 0; ok && i < v->n_tokens; i++) {
        ok = json_object_getn(vocab, v->tokens[i].ptr, v->tokens[i].len) == NULL &&
             json_object_setn_new(vocab, v->tokens[i].ptr, v->tokens[i].len,
                                  json_integer((json_int_t)i)) == 0;
        if (!ok)
            ok = fail(err, ERR_UNSUPPORTED,
                      "%s: token %zu is a text that another token has, or none: no tokenizer.json "
                      "can hold both",
                      o->files->path, i);
    }
    for (size_t i = 0; ok && i < v->n_merges; i++) {
        const size_t at = str_find(v->merges[i], STR(" "), 1);

        json_array_append_new(
            merges,
            json_pack("[o, o]", text_json((struct str){v->merges[i].ptr, at}),
                      text_json(str_from(v->merges[i], size_min(at + 1, v->merges[i].len)))));
    }
    *out = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
                     "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                     "byte_fallback", 0, "ignore_merges", (int)v->pre.ignore_merges, "vocab", vocab,
                     "merges", merges);
    return ok;
}

/* What puts the beginning of a text in front of it. */
static json_t *ends_json(const struct model_config *c, const struct vocabulary *v)
{
    if (!c->add_bos || c->bos < 0)
        return json_null();
    const struct str bos = v->tokens[c->bos];
    json_t *ids = json_object();

    json_object_setn_new(ids, bos.ptr, bos.len,
                         json_pack("{s:o, s:[i], s:[o]}", "id", text_json(bos), "ids", c->bos,
                                   "tokens", text_json(bos)));
    return json_pack(
        "{s:s, s:[{s:{s:o, s:i}}, {s:{s:s, s:i}}], s:[{s:{s:o, s:i}}, {s:{s:s, s:i}}, {s:{s:s, "
        "s:i}}], s:o}",
        "type", "TemplateProcessing", "single", "SpecialToken", "id", text_json(bos), "type_id", 0,
        "Sequence", "id", "A", "type_id", 0, "pair", "SpecialToken", "id", text_json(bos),
        "type_id", 0, "Sequence", "id", "A", "type_id", 0, "Sequence", "id", "B", "type_id", 1,
        "special_tokens", ids);
}

static bool tokenizer_made(const struct export_options *o, const struct vocabulary *v,
                           const char *path, struct error *err)
{
    json_t *model = NULL;
    bool ok = model_json(o, v, &model, err);
    json_t *all = json_pack(
        "{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:{s:s, s:b, s:b, s:b}, s:o}", "version", "1.0",
        "truncation", "padding", "added_tokens", added_json(v), "normalizer",
        v->pre.nfc ? json_pack("{s:s}", "type", "NFC") : json_null(), "pre_tokenizer",
        steps_json(v), "post_processor", ends_json(&o->files->config, v), "decoder", "type",
        "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1, "use_regex", 1, "model", model);

    ok = ok && (all != NULL || fail(err, ERR_INVALID, "%s: a token is no UTF-8", o->files->path)) &&
         json_put(all, path, err);
    json_decref(all);
    return ok;
}

static json_t *token_json(const struct vocabulary *v, int64_t id)
{
    return id < 0 || (size_t)id >= v->n_tokens ? json_null() : text_json(v->tokens[id]);
}

static bool tokenizer_config_made(const struct export_options *o, const struct vocabulary *v,
                                  const char *path, struct error *err)
{
    const struct model_config *c = &o->files->config;
    int64_t pad = -1;

    if (!gguf_get_int(o->files->gguf, "tokenizer.ggml.padding_token_id", 0, INT32_MAX, &pad, err))
        return false;
    json_t *all =
        json_pack("{s:s, s:o, s:o, s:o, s:b, s:b, s:I}", "tokenizer_class",
                  "PreTrainedTokenizerFast", "bos_token", token_json(v, c->bos), "eos_token",
                  token_json(v, c->n_eos > 0 ? c->eos[0] : -1), "pad_token", token_json(v, pad),
                  "add_bos_token", (int)c->add_bos, "clean_up_tokenization_spaces", 0,
                  "model_max_length", (json_int_t)c->context);
    const bool ok = json_put(all, path, err);

    json_decref(all);
    return ok;
}

bool made_files(const struct export_options *o, const char *dir, struct error *err)
{
    const struct str template =
        o->template.ptr != NULL ? o->template : model_files_template(o->files);
    struct arena a = {0};
    struct vocabulary v = {0};
    const bool ok =
        config_made(o, dir, &a, err) && vocabulary_read(o, &a, &v, err) &&
        tokenizer_made(o, &v, file_join(&a, dir, "tokenizer.json"), err) &&
        tokenizer_config_made(o, &v, file_join(&a, dir, "tokenizer_config.json"), err) &&
        (template.len == 0 || file_put(file_join(&a, dir, "chat_template.jinja"), template, err));

    arena_release(&a);
    return ok;
}
