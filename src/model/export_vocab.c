/*
 * export_vocab.c - tokenizer.json becomes GGUF's keys of a tokenizer, as llama.cpp's converter writes them.
 *
 * Byte-level BPE, whose pre-tokenizer GGUF has by a name: one of text/tokenizer_spec.c that stands for just these patterns, or none, and
 * then it is refused. What the reader makes of the keys is what the folder's tokenizer does (export_verify compares them).
 */
#include "base/limits.h"
#include "base/size.h"
#include "model/export_internal.h"

#define MAX_PATTERNS 8

enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TYPE_UNUSED = 5 };

struct vocab {
    const struct export_options *o;
    const char *path; /* of tokenizer.json */
    const json_t *root, *config;
    struct arena *a;
    struct str *tokens; /* [config.vocab] */
    int32_t *types;
    struct str pre;
};

static bool not_offered(const struct vocab *v, const char *what, struct error *err)
{
    return fail(err, ERR_UNSUPPORTED,
                "%s: %s; GGUF keys are made of byte-level BPE alone: export --format safetensors, "
                "which llama.cpp's convert_hf_to_gguf.py reads, or --format gguf-lora",
                v->path, what);
}

/* ---- which pre-tokenizer ---- */

struct patterns {
    const char *pattern[MAX_PATTERNS];
    size_t n;
    bool bytes; /* text becomes bytes last */
};

static bool add(struct patterns *p, const char *pattern)
{
    if (pattern == NULL || p->n == MAX_PATTERNS || p->bytes)
        return false;
    p->pattern[p->n++] = pattern;
    return true;
}

/* False: a step that no name of GGUF's has. */
static bool step_add(const json_t *step, struct patterns *p)
{
    const struct str type = json_str(json_object_get(step, "type"));

    if (str_is(type, "Digits"))
        return json_is_true(json_object_get(step, "individual_digits")) && add(p, "\\p{N}");
    if (str_is(type, "Split"))
        return str_is(json_str(json_object_get(step, "behavior")), "Isolated") &&
               !json_is_true(json_object_get(step, "invert")) &&
               add(p,
                   json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex")));
    if (!str_is(type, "ByteLevel") || json_is_true(json_object_get(step, "add_prefix_space")))
        return false;
    if (!json_is_false(json_object_get(step, "use_regex")) && !add(p, tokenizer_pattern_gpt2()))
        return false;
    p->bytes = true;
    return true;
}

static bool pre_find(struct vocab *v, struct error *err)
{
    const json_t *pre = json_object_get(v->root, "pre_tokenizer"),
                 *normal = json_object_get(v->root, "normalizer"),
                 *model = json_object_get(v->root, "model"),
                 *steps = json_object_get(pre, "pretokenizers");
    const struct str form = json_str(json_object_get(normal, "type"));
    struct patterns p = {0};
    bool ok = str_is(json_str(json_object_get(model, "type")), "BPE") &&
              !json_is_true(json_object_get(model, "byte_fallback"));

    if (!ok)
        return not_offered(v, "its tokenizer is no byte-level BPE", err);
    if (steps == NULL)
        ok = step_add(pre, &p);
    for (size_t i = 0; ok && i < json_array_size(steps); i++)
        ok = step_add(json_array_get(steps, i), &p);
    const struct named_pre want = {.patterns = p.pattern,
                                   .n = p.n,
                                   .nfc = str_is(form, "NFC"),
                                   .ignore_merges =
                                       json_is_true(json_object_get(model, "ignore_merges"))};
    return (ok && p.bytes && (form.len == 0 || want.nfc) && tokenizer_pre_name(&want, &v->pre)) ||
           not_offered(v, "its normalizer and pre-tokenizer have no name that llama.cpp knows",
                       err);
}

/* ---- tokens ---- */

/* Ends of turns and the like that files do not mark as special, but llama.cpp's converter takes to be. */
static bool looks_special(struct str s)
{
    return str_is(s, "<pad>") || str_is(s, "<mask>") || str_is(s, "<2mass>") ||
           str_is(s, "[@BOS@]") || (str_starts(s, STR("<|")) && str_ends(s, STR("|>"))) ||
           (str_starts(s, STR("<\xEF\xBD\x9C")) && str_ends(s, STR("\xEF\xBD\x9C>"))) ||
           (str_starts(s, STR("<unused")) && str_ends(s, STR(">")));
}

static bool token_put(struct vocab *v, const json_t *id, struct str text, int32_t type,
                      struct error *err)
{
    const json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;

    if (at < 0 || (size_t)at >= v->o->files->config.vocab)
        return fail(err, ERR_INVALID, "%s: a token has no id from 0 to %zu", v->path,
                    v->o->files->config.vocab - 1);
    v->tokens[at] = arena_str(v->a, text);
    v->types[at] = type;
    return true;
}

static bool tokens_read(struct vocab *v, struct error *err)
{
    const json_t *all = json_object_get(json_object_get(v->root, "model"), "vocab"),
                 *added = json_object_get(v->root, "added_tokens");
    const size_t n = v->o->files->config.vocab;
    const char *text;
    const json_t *id;
    bool ok = true;

    v->tokens = arena_try(v->a, n, sizeof *v->tokens, "the vocabulary", err);
    v->types = arena_try(v->a, n, sizeof *v->types, "the vocabulary", err);
    if (v->tokens == NULL || v->types == NULL)
        return false;
    json_object_foreach((json_t *)(uintptr_t)all, text, id)
    {
        ok = ok && token_put(v, id, str_of(text), TYPE_NORMAL, err);
    }
    for (size_t i = 0; ok && i < json_array_size(added); i++) {
        const json_t *t = json_array_get(added, i);
        const struct str content = json_str(json_object_get(t, "content"));
        const bool special = json_is_true(json_object_get(t, "special")) || looks_special(content);

        ok = token_put(v, json_object_get(t, "id"), content,
                       special ? TYPE_CONTROL : TYPE_USER_DEFINED, err);
    }
    for (size_t i = 0; ok && i < n; i++) {
        if (v->types[i] != 0)
            continue;
        v->types[i] = TYPE_UNUSED; /* a row of the embedding without a token */
        v->tokens[i] = str_of(arena_printf(v->a, "[PAD%zu]", i));
    }
    return ok;
}

static void put_strs(struct gguf_head *h, const char *key, const struct str *s, size_t n)
{
    struct buf b;

    buf_init(&b, GGUF_MAX_HEAD);
    for (size_t i = 0; i < n; i++) {
        const uint64_t len = s[i].len;

        buf_put(&b, &len, sizeof len);
        buf_str(&b, s[i]);
    }
    gguf_put_value(h, key,
                   &(struct gguf_value){
                       .type = GGUF_ARRAY, .item = GGUF_STR, .n_items = n, .bytes = buf_view(&b)});
    buf_release(&b);
}

static bool merges_put(struct vocab *v, struct gguf_head *h, struct error *err)
{
    const json_t *list = json_object_get(json_object_get(v->root, "model"), "merges");
    const size_t n = json_array_size(list);
    struct str *merges = arena_try(v->a, n, sizeof *merges, "the merges", err);

    for (size_t i = 0; merges != NULL && i < n; i++) {
        const json_t *m = json_array_get(list, i);
        const struct str left = json_str(json_array_get(m, 0)),
                         right = json_str(json_array_get(m, 1));

        if (json_is_string(m)) {
            merges[i] = json_str(m);
            continue;
        }
        if (str_find(left, STR(" "), 0) < left.len || str_find(right, STR(" "), 0) < right.len)
            return not_offered(v, "a merge has a blank in it", err);
        merges[i] = str_of(arena_printf(v->a, STR_FMT " " STR_FMT, STR_ARG(left), STR_ARG(right)));
    }
    if (merges != NULL)
        put_strs(h, "tokenizer.ggml.merges", merges, n);
    return merges != NULL;
}

/* ---- special tokens ---- */

/* "text", or {"content": "text"}, in tokenizer_config.json; -1: none. */
static int64_t named_id(const struct vocab *v, const char *key)
{
    const json_t *value = json_object_get(v->config, key);

    if (json_is_object(value))
        value = json_object_get(value, "content");
    return json_is_string(value) ? tokenizer_find(v->o->files->tokenizer, json_str(value)) : -1;
}

static void specials_put(const struct vocab *v, struct gguf_head *h)
{
    static const char *const keys[][2] = {{"unk_token", "tokenizer.ggml.unknown_token_id"},
                                          {"sep_token", "tokenizer.ggml.seperator_token_id"},
                                          {"pad_token", "tokenizer.ggml.padding_token_id"},
                                          {"cls_token", "tokenizer.ggml.cls_token_id"},
                                          {"mask_token", "tokenizer.ggml.mask_token_id"}};
    const struct model_config *c = &v->o->files->config;
    const int64_t eos = named_id(v, "eos_token");

    if (c->bos >= 0)
        gguf_put_u32(h, "tokenizer.ggml.bos_token_id", (uint32_t)c->bos);
    if (eos >= 0 || c->n_eos > 0)
        gguf_put_u32(h, "tokenizer.ggml.eos_token_id", (uint32_t)(eos >= 0 ? eos : c->eos[0]));
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const int64_t id = named_id(v, keys[i][0]);

        if (id >= 0)
            gguf_put_u32(h, keys[i][1], (uint32_t)id);
    }
    gguf_put_value(h, "tokenizer.ggml.add_bos_token",
                   &(struct gguf_value){.type = GGUF_BOOL, .bytes = {c->add_bos ? "\1" : "\0", 1}});
}

static bool keys_put(struct vocab *v, struct gguf_head *h, struct error *err)
{
    const struct export_options *o = v->o;
    const size_t n = o->files->config.vocab;
    const struct str template =
        o->template.ptr != NULL ? o->template : model_files_template(o->files);

    if (!pre_find(v, err) || !tokens_read(v, err))
        return false;
    gguf_put_str(h, "tokenizer.ggml.model", STR("gpt2"));
    gguf_put_str(h, "tokenizer.ggml.pre", v->pre);
    put_strs(h, "tokenizer.ggml.tokens", v->tokens, n);
    gguf_put_value(h, "tokenizer.ggml.token_type",
                   &(struct gguf_value){.type = GGUF_ARRAY,
                                        .item = GGUF_I32,
                                        .n_items = n,
                                        .bytes = {(const char *)v->types, n * sizeof *v->types}});
    if (!merges_put(v, h, err))
        return false;
    specials_put(v, h);
    if (template.len > 0)
        gguf_put_str(h, "tokenizer.chat_template", template);
    return true;
}

bool vocab_put(const struct export_options *o, struct arena *a, struct gguf_head *h,
               struct error *err)
{
    const char *config_path = file_join(a, o->files->path, "tokenizer_config.json");
    struct vocab v = {.o = o, .a = a, .path = file_join(a, o->files->path, "tokenizer.json")};
    json_t *root = NULL, *config = NULL;
    bool ok = json_read_file(v.path, &root, err) &&
              (!file_exists(config_path) || json_read_file_of_reals(config_path, &config, err));

    v.root = root;
    v.config = config;
    ok = ok && keys_put(&v, h, err);
    json_decref(root);
    json_decref(config);
    return ok;
}
