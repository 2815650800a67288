/*
 * model_files_gguf.c - a model in one .gguf file, or in parts of one: weights, tokenizer and template.
 */
#include "base/limits.h"
#include "base/size.h"
#include "model/config_internal.h"
#include "model/gguf.h"
#include "model/model_files_internal.h"
#include "model/shown.h"

#include <stdio.h>

/* What a file that is not GGUF seems to be, by its first bytes; NULL: nothing that is known. */
static const char *looks_like(struct str s)
{
    static const struct {
        struct str start;
        const char *kind;
    } kinds[] = {
        {{"version https://git-lfs", 23},
         "a Git LFS pointer, which stands for a file that was not fetched"},
        {{"PK\3\4", 4},
         "a zip archive, or PyTorch's .bin or .pt; a folder with .safetensors is read"},
        {{"\x80\2", 2}, "a Python pickle; a folder with .safetensors is read"},
        {{"\x1f\x8b", 2}, "compressed by gzip; unpack it first"},
        {{"(\xb5/\xfd", 4}, "compressed by zstd; unpack it first"},
        {{"lmgg", 4}, "llama.cpp's format before GGUF"},
        {{"fmgg", 4}, "llama.cpp's format before GGUF"},
        {{"tjgg", 4}, "llama.cpp's format before GGUF"},
        {{"FUGG", 4}, "a big-endian GGUF file"},
        {{"<!", 2}, "a web page; perhaps the download led to a login"},
        {{"<html", 5}, "a web page; perhaps the download led to a login"},
        {{"{", 1}, "JSON; if it belongs to a model's folder, give the folder"},
    };

    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_starts(s, kinds[i].start))
            return kinds[i].kind;
    if (s.len > 9 && s.ptr[8] == '{' && memchr(s.ptr, 0, 8) != NULL)
        return "a .safetensors file; give the folder that it lies in";
    return NULL;
}

static bool not_gguf(const char *path, struct str s, struct error *err)
{
    const char *kind = looks_like(s);
    char bytes[8 * 4 + 1] = "";

    if (s.len == 0)
        return fail(err, ERR_CORRUPT, "%s is empty; a .gguf file or a model's folder was expected",
                    path);
    for (size_t i = 0, n = 0; i < size_min(s.len, 8); i++) {
        const unsigned char c = (unsigned char)s.ptr[i];

        n += (size_t)snprintf(bytes + n, sizeof bytes - n, c >= 0x20 && c < 0x7f ? "%c" : "\\x%02x",
                              c);
    }
    return fail(err, ERR_CORRUPT, "%s is not a GGUF file: it begins with \"%s\"%s%s", path, bytes,
                kind == NULL ? "" : " and looks like ", kind == NULL ? "" : kind);
}

static bool as_many(const struct model_files *f, const char *key, size_t n, size_t n_tokens,
                    struct error *err)
{
    return n == n_tokens ||
           fail(err, ERR_INVALID,
                "%s: tokenizer.ggml.%s has %zu entries, but tokenizer.ggml.tokens has %zu", f->path,
                key, n, n_tokens);
}

static bool tokenizer_read(struct model_files *f, struct error *err)
{
    const struct gguf *g = f->gguf;
    struct arena a = {0};
    struct str *tokens = NULL, *merges = NULL;
    int32_t *types = NULL;
    float *scores = NULL;
    size_t n_tokens = 0, n_types = 0, n_merges = 0, n_scores = 0;
    struct tokenizer_spec spec = {.model = STR(""), .prefix_blank = true};
    bool ok = false, removes = false;

    if (!gguf_need(g, "tokenizer.ggml.model", err) ||
        !gguf_get_str(g, "tokenizer.ggml.model", &spec.model, err) ||
        !gguf_get_str(g, "tokenizer.ggml.pre", &spec.pre, err) ||
        !gguf_need(g, "tokenizer.ggml.tokens", err) ||
        !gguf_get_strs(g, "tokenizer.ggml.tokens", &a, &tokens, &n_tokens, err) ||
        !gguf_get_i32s(g, "tokenizer.ggml.token_type", &a, &types, &n_types, err) ||
        !gguf_get_strs(g, "tokenizer.ggml.merges", &a, &merges, &n_merges, err) ||
        !gguf_get_f32s(g, "tokenizer.ggml.scores", &a, &scores, &n_scores, err) ||
        !gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &spec.prefix_blank, err) ||
        !gguf_get_bool(g, "tokenizer.ggml.remove_extra_whitespaces", &removes, err))
        goto done;
    if (n_tokens > LIMIT_VOCAB) {
        fail(err, ERR_LIMIT, "%s: tokenizer.ggml.tokens has %zu tokens, at most %zu are allowed",
             f->path, n_tokens, LIMIT_VOCAB);
        goto done;
    }
    if ((types != NULL && !as_many(f, "token_type", n_types, n_tokens, err)) ||
        (scores != NULL && !as_many(f, "scores", n_scores, n_tokens, err)))
        goto done;
    if (removes && str_is(spec.model, "llama")) {
        fail_param(err, ERR_UNSUPPORTED, "tokenizer.ggml.remove_extra_whitespaces",
                   "%s: tokenizer.ggml.remove_extra_whitespaces is not offered with the tokenizer "
                   "model \"llama\"; a folder with tokenizer.json may be",
                   f->path);
        goto done;
    }
    if (scores == NULL && str_is(spec.model, "llama")) {
        ok = gguf_need(g, "tokenizer.ggml.scores", err);
        goto done;
    }
    if (merges == NULL &&
        str_is(spec.model, "gpt2")) { /* every character would be a token of its own */
        ok = gguf_need(g, "tokenizer.ggml.merges", err);
        goto done;
    }
    spec.n_tokens = n_tokens;
    spec.tokens = tokens;
    spec.types = types;
    spec.scores = scores;
    spec.n_merges = n_merges;
    spec.merges = merges;
    ok = tokenizer_open(&spec, &f->tokenizer, err) ||
         fail_while(err, "reading the tokenizer of %s", f->path);
done:
    arena_release(&a);
    return ok;
}

static bool tensors_list(struct model_files *f, struct error *err)
{
    f->n_tensors = gguf_count(f->gguf);
    f->tensors = arena_try(&f->arena, f->n_tensors, sizeof *f->tensors, "the list of tensors", err);
    if (f->tensors == NULL)
        return false;
    for (size_t i = 0; i < f->n_tensors; i++) {
        const struct gguf_tensor *t = gguf_at(f->gguf, i);

        f->tensors[i] = (struct file_tensor){
            .name = t->name, .dtype = t->dtype, .n_dims = t->n_dims, .data = t->data};
        memcpy(f->tensors[i].dims, t->dims, sizeof t->dims);
    }
    return true;
}

static struct file_tensor *named(struct model_files *f, const char *name)
{
    for (size_t i = 0; i < f->n_tensors; i++)
        if (strcmp(f->tensors[i].name, name) == 0)
            return &f->tensors[i];
    return NULL;
}

/* A tensor of factors, one for each pair that is rotated. */
static bool factors_read(struct model_files *f, struct file_tensor *t, float *out,
                         struct error *err)
{
    struct rope_spec *r = &f->config.rope[0];

    r->n_factors = config_rotary_width(&f->config) / 2;
    if (t->dtype != DTYPE_F32 || t->n_dims != 1 || t->dims[0] != r->n_factors ||
        r->n_factors > ROPE_MAX_FACTORS)
        return fail(err, ERR_INVALID,
                    "%s: the tensor %s is not F32 [%zu], one factor for each pair of a head "
                    "(at most %d)",
                    f->path, t->name, r->n_factors, ROPE_MAX_FACTORS);
    memcpy(out, t->data, r->n_factors * sizeof *out);
    for (size_t i = 0; i < r->n_factors; i++)
        if (!(out[i] > 1e-30f && out[i] < 1e30f))
            return fail(err, ERR_INVALID,
                        "%s: the tensor %s has %g at %zu, a number above 0 was expected", f->path,
                        t->name, (double)out[i], i);
    t->used = true;
    return true;
}

/* Factors of rotary frequencies: Llama 3.1's rope_freqs, Phi's for short and for long texts. */
static bool rope_factors_read(struct model_files *f, struct error *err)
{
    struct rope_spec *r = &f->config.rope[0];
    struct file_tensor *freqs = named(f, "rope_freqs.weight"),
                       *small = named(f, "rope_factors_short.weight"),
                       *large = named(f, "rope_factors_long.weight");
    struct gguf_keys k = {.g = f->gguf, .arch = f->family->gguf_arch};

    struct str type = STR("");
    double attn_factor = 1;
    if (!config_gguf_number(&k, "rope.scaling.attn_factor", &attn_factor, err))
        return false;
    if (small == NULL && attn_factor != 1)
        return fail_param(err, ERR_UNSUPPORTED, k.key,
                          "%s: %s is %g, only 1 is supported without rope_factors_short.weight",
                          f->path, k.key, attn_factor);
    if (!gguf_get_str(f->gguf, config_gguf_key(&k, "rope.scaling.type"), &type, err))
        return false;
    if (freqs == NULL && small == NULL && large == NULL)
        return !str_is(type, "longrope") ||
               fail_param(err, ERR_INVALID, k.key,
                          "%s: %s is \"longrope\", but rope_factors_short.weight and "
                          "rope_factors_long.weight are missing",
                          f->path, k.key);
    if (r->scaling != ROPE_PLAIN || (small == NULL) != (large == NULL) ||
        (freqs != NULL && small != NULL))
        return fail(err, ERR_UNSUPPORTED,
                    "%s has rope_freqs.weight, or one of rope_factors_short.weight and "
                    "rope_factors_long.weight, beside another rope scaling",
                    f->path);
    r->scaling = ROPE_FACTORS;
    if (freqs != NULL)
        return factors_read(f, freqs, r->short_factor, err) &&
               factors_read(f, freqs, r->long_factor, err);
    r->attention_factor = attn_factor;
    return factors_read(f, small, r->short_factor, err) &&
           factors_read(f, large, r->long_factor, err) &&
           config_gguf_number(&k, "rope.scaling.original_context_length", &r->original, err);
}

static bool template_read(struct model_files *f, struct error *err)
{
    if (!gguf_get_str(f->gguf, "tokenizer.chat_template", &f->chat_template, err))
        return false;
    return f->chat_template.len <= LIMIT_TEMPLATE_BYTES ||
           fail(err, ERR_LIMIT,
                "%s: tokenizer.chat_template has %zu bytes, at most %zu are allowed", f->path,
                f->chat_template.len, LIMIT_TEMPLATE_BYTES);
}

bool model_files_read_gguf(struct model_files *f, struct error *err)
{
    struct file_map map = {0};

    if (!file_map_open(f->path, &map, err))
        return false;
    if (map.len < 4 || memcmp(map.ptr, "GGUF", 4) != 0) {
        not_gguf(f->path, (struct str){(const char *)map.ptr, map.len}, err);
        file_map_close(&map);
        return false;
    }
    file_map_close(&map);
    if (!gguf_open(f->path, &f->gguf, err))
        return false;
    if (!config_from_gguf(f->gguf, &f->config, &f->family, err))
        return false;

    const char *arch = f->family->gguf_arch;
    const struct shape_words words = {
        .file = f->path,
        .width = arena_printf(&f->arena, "%s.embedding_length", arch),
        .heads = arena_printf(&f->arena, "%s.attention.head_count * %s.attention.key_length", arch,
                              arch),
        .kv_heads = arena_printf(&f->arena, "%s.attention.head_count_kv * %s.attention.key_length",
                                 arch, arch),
        .head = arena_printf(&f->arena, "%s.attention.key_length", arch),
        .hidden = arena_printf(&f->arena, "%s.%sfeed_forward_length", arch,
                               f->config.n_experts > 0 ? "expert_" : ""),
        .experts = arena_printf(&f->arena, "%s.expert_count", arch),
        .vocab = arena_printf(&f->arena, "%s.vocab_size", arch),
    };
    return tensors_list(f, err) && rope_factors_read(f, err) &&
           model_files_bind(f, f->family->gguf_tensor, f->family->gguf_interleaves, &words, err) &&
           tokenizer_read(f, err) && model_files_fit_tokenizer(f, err) && template_read(f, err);
}
