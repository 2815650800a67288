/*
 * export_vocab.c - tokenizer.json becomes GGUF's keys of a tokenizer, as llama.cpp's converter writes them.
 *
 * Byte-level BPE ("gpt2"), whose pre-tokenizer GGUF has by a name: one of text/tokenizer_spec.c that stands for just these patterns, or
 * none, and then it is refused. SentencePiece's BPE ("llama"): tokens have scores instead of merges, the earlier merged the higher, and
 * whether a blank is put in front of a text is tried.
 *
 * That the keys say what tokenizer.json does is not taken for granted: a tokenizer is made of them, and both read every token's text.
 */
#include "base/limits.h"
#include "base/size.h"
#include "model/export_internal.h"

#define MAX_PATTERNS 8

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

struct vocab {
    const struct export_options *o;
    const char *path; /* of tokenizer.json */
    const json_t *root, *config;
    struct arena *a;
    struct str *tokens; /* [config.vocab] */
    int32_t *types;
    bool *merged_only; /* [config.vocab] see added_read */
    bool characters;   /* SentencePiece's BPE, not of bytes */
    float *scores;     /* of SentencePiece's alone */
    struct str *merges;
    size_t n_merges;
    struct str pre;
};

static bool not_offered(const struct vocab *v, const char *what, struct error *err)
{
    return fail(err, ERR_UNSUPPORTED,
                "%s: %s, so no GGUF keys are made of it: export --format safetensors, "
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
    bool ok = true;

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

#define SIGN STR("\xE2\x96\x81") /* SentencePiece's for a blank */

static struct str with_blanks(const struct vocab *v, struct str text)
{
    struct buf b;

    buf_init(&b, LIMIT_JSON_BYTES);
    buf_replaced(&b, text, SIGN, STR(" "));
    const struct str copy = arena_str(v->a, buf_view(&b));
    buf_release(&b);
    return copy;
}

/*
 * User-defined tokens are cut out before blanks become signs: their own signs are blanks in GGUF. But where tokenizer.json cuts them out
 * of the text as it is ("normalized": false) signs in them are none of its blanks: such a token is only what merges make of it.
 */
static bool added_read(struct vocab *v, const json_t *t, struct error *err)
{
    const json_t *id = json_object_get(t, "id");
    const struct str content = json_str(json_object_get(t, "content"));

    if (json_is_true(json_object_get(t, "special")) || looks_special(content))
        return token_put(v, id, content, TYPE_CONTROL, err);
    if (str_find(content, SIGN, 0) == content.len || !v->characters)
        return token_put(v, id, content, TYPE_USER_DEFINED, err);
    if (!json_is_false(json_object_get(t, "normalized")))
        return token_put(v, id, with_blanks(v, content), TYPE_USER_DEFINED, err);
    return token_put(v, id, content, TYPE_NORMAL, err) &&
           (v->merged_only[json_integer_value(id)] = true);
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
    v->merged_only = arena_try(v->a, n, sizeof *v->merged_only, "the vocabulary", err);
    if (v->tokens == NULL || v->types == NULL || v->merged_only == NULL)
        return false;
    json_object_foreach((json_t *)(uintptr_t)all, text, id)
    {
        ok = ok && token_put(v, id, str_of(text), TYPE_NORMAL, err);
    }
    for (size_t i = 0; ok && i < json_array_size(added); i++)
        ok = added_read(v, json_array_get(added, i), err);
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

static bool merges_read(struct vocab *v, struct error *err)
{
    const json_t *list = json_object_get(json_object_get(v->root, "model"), "merges");
    const char *between = v->scores != NULL ? "" : " ";

    v->n_merges = json_array_size(list);
    v->merges = arena_try(v->a, v->n_merges, sizeof *v->merges, "the merges", err);
    if (v->merges == NULL)
        return false;
    for (size_t i = 0; i < v->n_merges; i++) {
        const json_t *m = json_array_get(list, i);
        struct str left = json_str(json_array_get(m, 0)), right = json_str(json_array_get(m, 1));

        if (json_is_string(m)) {
            const size_t at = str_find(json_str(m), STR(" "), 1);

            left = (struct str){json_str(m).ptr, at};
            right = str_from(json_str(m), size_min(at + 1, json_str(m).len));
        }
        if (v->scores == NULL &&
            (str_find(left, STR(" "), 0) < left.len || str_find(right, STR(" "), 0) < right.len))
            return not_offered(v, "a merge has a blank in it", err);
        v->merges[i] = str_of(
            arena_printf(v->a, STR_FMT "%s" STR_FMT, STR_ARG(left), between, STR_ARG(right)));
    }
    return true;
}

/* ---- SentencePiece's ---- */

#define LEAST_SCORE (-1e6f) /* of tokens that nothing is merged into; LIMIT_MERGES are fewer */
#define SPECIAL_SCORE (-1000.0f)

/* The first merge into a token is its place in the order. */
static bool scores_make(struct vocab *v, struct error *err)
{
    const size_t n = v->o->files->config.vocab;
    const json_t *model = json_object_get(v->root, "model"), *all = json_object_get(model, "vocab");
    const struct str unknown = json_str(json_object_get(model, "unk_token"));
    size_t n_made = 0;

    v->scores = arena_try(v->a, n, sizeof *v->scores, "the scores of tokens", err);
    if (v->scores == NULL || !merges_read(v, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct str t = v->tokens[i];

        if (v->types[i] == TYPE_NORMAL && t.len == 6 && str_starts(t, STR("<0x")))
            v->types[i] = TYPE_BYTE;
        if (str_eq(t, unknown) && v->types[i] != TYPE_UNUSED)
            v->types[i] = TYPE_UNKNOWN;
        v->scores[i] = v->types[i] == TYPE_NORMAL || v->types[i] == TYPE_UNUSED ? LEAST_SCORE
                       : v->types[i] == TYPE_BYTE                               ? 0
                                                                                : SPECIAL_SCORE;
    }
    for (size_t i = 0; i < v->n_merges; i++) {
        const json_t *id = json_object_getn(all, v->merges[i].ptr, v->merges[i].len);
        const size_t at = (size_t)json_integer_value(id);

        if (json_is_integer(id) && v->scores[at] == LEAST_SCORE) /* token_put has seen the id */
            v->scores[at] = -(float)n_made++;
    }
    for (size_t i = 0; i < n; i++)
        if (v->merged_only[i] && v->scores[i] == LEAST_SCORE)
            v->tokens[i] = with_blanks(v, v->tokens[i]); /* so that nothing becomes it */
    v->n_merges = 0;
    return true;
}

/* ---- do the keys say what tokenizer.json does? ---- */

static bool reads_the_same(const struct tokenizer *x, const struct tokenizer *y, struct str text,
                           bool special, bool *same, struct error *err)
{
    struct token_list a = {0}, b = {0};
    const bool ok =
        tokenizer_encode(x, text, special, &a, err) && tokenizer_encode(y, text, special, &b, err);

    *same = ok && a.n == b.n && (a.n == 0 || memcmp(a.ids, b.ids, a.n * sizeof *a.ids) == 0);
    token_list_release(&a);
    token_list_release(&b);
    return ok;
}

#define TOKENS_AT_A_TIME 100

/* Every token's text, in its neighbours' company and reversed, with blanks, letters past ASCII and digits between. */
static bool keys_read_the_same(const struct vocab *v, const struct tokenizer *made, bool *same,
                               struct error *err)
{
    static const char *const between[] = {"", " ",        "",   "\n", "  ",          "7",
                                          "", "\xC3\xA4", "\t", "",   "\xE6\xBC\xA2"};
    const struct tokenizer *own = v->o->files->tokenizer;
    const size_t n = tokenizer_size(own);
    struct buf b;
    bool ok = true;

    *same = tokenizer_size(made) >= n;
    buf_init(&b, (size_t)1 << 26);
    for (size_t first = 0; ok && *same && first < n; first += TOKENS_AT_A_TIME) {
        const size_t end = size_min(n, first + TOKENS_AT_A_TIME);

        for (int reversed = 0; ok && *same && reversed < 2; reversed++) {
            buf_clear(&b);
            for (size_t i = first; i < end; i++) {
                const token_id id = (token_id)(reversed ? end - 1 - (i - first) : i);

                tokenizer_decode(own, &id, 1, false, &b);
                buf_text(&b, between[i % COUNT_OF(between)]);
            }
            ok = buf_ok(&b, "a text of tokens", err) &&
                 reads_the_same(own, made, buf_view(&b), false, same, err) &&
                 (!*same || reads_the_same(own, made, buf_view(&b), true, same, err));
        }
    }
    buf_release(&b);
    return ok;
}

static bool keys_try(const struct vocab *v, bool prefix_blank, bool *same, struct error *err)
{
    const struct tokenizer_spec spec = {.model = v->scores != NULL ? STR("llama") : STR("gpt2"),
                                        .pre = v->pre,
                                        .n_tokens = v->o->files->config.vocab,
                                        .tokens = v->tokens,
                                        .types = v->types,
                                        .scores = v->scores,
                                        .prefix_blank = prefix_blank,
                                        .n_merges = v->n_merges,
                                        .merges = v->merges};
    struct tokenizer *made = NULL;
    const bool ok = tokenizer_open(&spec, &made, err) && keys_read_the_same(v, made, same, err);

    tokenizer_close(made);
    return ok;
}

/* *prefix_blank: how the keys are right. */
static bool keys_find(const struct vocab *v, bool *prefix_blank, struct error *err)
{
    bool same = false;

    *prefix_blank = v->scores != NULL;
    if (!keys_try(v, *prefix_blank, &same, err))
        return false;
    if (!same && *prefix_blank) {
        *prefix_blank = false;
        if (!keys_try(v, false, &same, err))
            return false;
    }
    return same || not_offered(v, "llama.cpp's tokenizers would read some texts otherwise", err);
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

static void put_bool(struct gguf_head *h, const char *key, bool value)
{
    gguf_put_value(h, key,
                   &(struct gguf_value){.type = GGUF_BOOL, .bytes = {value ? "\1" : "\0", 1}});
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
    put_bool(h, "tokenizer.ggml.add_bos_token", c->add_bos);
}

static void put_list(struct gguf_head *h, const char *key, enum gguf_type item, const void *values,
                     size_t n)
{
    gguf_put_value(
        h, key,
        &(struct gguf_value){
            .type = GGUF_ARRAY, .item = item, .n_items = n, .bytes = {values, n * sizeof(float)}});
}

static bool keys_put(struct vocab *v, struct gguf_head *h, struct error *err)
{
    const struct export_options *o = v->o;
    const size_t n = o->files->config.vocab;
    const json_t *model = json_object_get(v->root, "model");
    const struct str template =
        o->template.ptr != NULL ? o->template : model_files_template(o->files);
    bool prefix;

    v->characters = json_is_true(json_object_get(model, "byte_fallback"));
    if (!str_is(json_str(json_object_get(model, "type")), "BPE"))
        return not_offered(v, "its tokenizer is no BPE", err);
    if (!tokens_read(v, err) ||
        !(v->characters ? scores_make(v, err) : pre_find(v, err) && merges_read(v, err)) ||
        !keys_find(v, &prefix, err))
        return false;
    gguf_put_str(h, "tokenizer.ggml.model", v->characters ? STR("llama") : STR("gpt2"));
    gguf_put_str(h, "tokenizer.ggml.pre", v->characters ? STR("default") : v->pre);
    put_strs(h, "tokenizer.ggml.tokens", v->tokens, n);
    if (v->characters) {
        put_list(h, "tokenizer.ggml.scores", GGUF_F32, v->scores, n);
        put_bool(h, "tokenizer.ggml.add_space_prefix", prefix);
    }
    put_list(h, "tokenizer.ggml.token_type", GGUF_I32, v->types, n);
    if (!v->characters)
        put_strs(h, "tokenizer.ggml.merges", v->merges, v->n_merges);
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
