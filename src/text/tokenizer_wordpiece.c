/*
 * tokenizer_wordpiece.c - a WordPiece tokenizer of Hugging Face's files: tokenizer.json, or vocab.txt and
 * tokenizer_config.json, which came before it.
 */
#include "base/size.h"
#include "text/tokenizer_internal.h"

static bool unsupported(const char *what, const char *key, struct str kind, struct error *err)
{
    return fail_param(err, ERR_UNSUPPORTED, key,
                      "%s: with WordPiece, the %s \"" STR_FMT "\" is not offered", what, key,
                      (int)size_min(kind.len, 100), kind.ptr);
}

/* strip_accents is null where the letters' case decides. */
static bool read_normalizer(const json_t *n, const char *what, struct bert_normalizer *out,
                            struct error *err)
{
    struct str type;

    if (json_absent(n))
        return true; /* the text as it is */
    return json_get_str(n, "type", what, &type, err) &&
           (str_is(type, "BertNormalizer") || unsupported(what, "normalizer", type, err)) &&
           json_get_bool(n, "clean_text", what, true, &out->clean, err) &&
           json_get_bool(n, "handle_chinese_chars", what, true, &out->part_han, err) &&
           json_get_bool(n, "lowercase", what, true, &out->lower, err) &&
           json_get_bool(n, "strip_accents", what, out->lower, &out->strip_accents, err);
}

/* BertProcessing has {"cls": ["[CLS]", 101], "sep": ["[SEP]", 102]}. */
static bool read_pair(const json_t *processor, const char *key, const char *what, struct str *out,
                      struct error *err)
{
    const json_t *name = json_array_get(json_object_get(processor, key), 0);

    if (!json_is_string(name))
        return fail_param(err, ERR_CORRUPT, key, "%s: \"%s\" of post_processor has no token", what,
                          key);
    *out = json_str(name);
    return true;
}

/* TemplateProcessing has "single": one token, the text, one token; each of the two may be missing. */
static bool read_template(const json_t *single, const char *what, struct wordpiece_parts *out,
                          struct error *err)
{
    bool seen = false;

    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *part = json_array_get(single, i),
                     *token = json_object_get(json_object_get(part, "SpecialToken"), "id");
        struct str *end = seen ? &out->last : &out->first;

        if (json_is_object(json_object_get(part, "Sequence")) && !seen)
            seen = true;
        else if (json_is_string(token) && end->len == 0)
            *end = json_str(token);
        else
            return unsupported(what, "post_processor",
                               STR("TemplateProcessing with more than a token at each end"), err);
    }
    return seen || fail_param(err, ERR_CORRUPT, "post_processor",
                              "%s: \"single\" of post_processor has no place for the text", what);
}

static bool read_ends(const json_t *processor, const char *what, struct wordpiece_parts *out,
                      struct error *err)
{
    struct str type;

    if (json_absent(processor))
        return true;
    if (!json_get_str(processor, "type", what, &type, err))
        return fail_while(err, "reading post_processor");
    if (str_is(type, "BertProcessing"))
        return read_pair(processor, "cls", what, &out->first, err) &&
               read_pair(processor, "sep", what, &out->last, err);
    return str_is(type, "TemplateProcessing")
               ? read_template(json_object_get(processor, "single"), what, out, err)
               : unsupported(what, "post_processor", type, err);
}

bool wordpiece_from_json(const json_t *root, const char *what, struct wordpiece_parts *out,
                         struct str *unknown, struct error *err)
{
    const json_t *model = json_object_get(root, "model"),
                 *pre = json_object_get(root, "pre_tokenizer"),
                 *prefix = json_object_get(model, "continuing_subword_prefix"),
                 *unk = json_object_get(model, "unk_token");
    struct wordpiece_parts parts = {.prefix = STR("##")};
    struct str type;
    int64_t max_chars;

    if (!json_is_object(pre))
        return unsupported(what, "pre_tokenizer", str_of(json_kind(pre)), err);
    if (!json_get_str(pre, "type", what, &type, err))
        return fail_while(err, "reading pre_tokenizer");
    if (!str_is(type, "BertPreTokenizer"))
        return unsupported(what, "pre_tokenizer", type, err);
    if (!json_get_int(model, "max_input_chars_per_word", what, WORDPIECE_MAX_CHARS, 1,
                      (int64_t)LIMIT_TOKEN_BYTES, &max_chars, err) ||
        !read_normalizer(json_object_get(root, "normalizer"), what, &parts.normalizer, err) ||
        !read_ends(json_object_get(root, "post_processor"), what, &parts, err))
        return false;
    if (json_is_string(prefix))
        parts.prefix = json_str(prefix);
    parts.max_chars = (size_t)max_chars;
    *unknown = json_is_string(unk) ? json_str(unk) : STR("[UNK]");
    *out = parts;
    return true;
}

/* --- vocab.txt: line n is token n. */

static bool read_vocab(struct str text, struct arena *a, struct tokenizer_parts *p,
                       struct error *err)
{
    size_t n_lines = 1, n = 0;

    for (size_t i = 0; i < text.len; i++)
        n_lines += text.ptr[i] == '\n';
    if (n_lines > LIMIT_VOCAB + 1)
        return fail(err, ERR_LIMIT, "%s: more than the %zu tokens allowed", p->what, LIMIT_VOCAB);
    struct str *spelling = arena_try(a, n_lines, sizeof *spelling, "the tokenizer's tokens", err);
    if (spelling == NULL)
        return false;
    for (size_t at = 0; at < text.len;) {
        const size_t end = str_find(text, STR("\n"), at);
        struct str line = {text.ptr + at, end - at};

        if (str_ends(line, STR("\r")))
            line.len--;
        spelling[n++] = line.len > 0 ? line : (struct str){NULL, 0};
        at = end + 1;
    }
    p->n_tokens = n;
    p->spelling = spelling;
    return true;
}

/* A token in tokenizer_config.json: "text", or {"content": "text"}. */
static struct str named_token(const json_t *config, const char *key, struct str def)
{
    const json_t *v = json_object_get(config, key);

    if (json_is_object(v))
        v = json_object_get(v, "content");
    return json_is_string(v) && json_str(v).len > 0 ? json_str(v) : def;
}

/* The special tokens are cut out of a text where that is asked for, as BertTokenizer does. */
static bool read_special(const json_t *config, struct arena *a, struct tokenizer_parts *p,
                         struct wordpiece_parts *w, struct error *err)
{
    const struct str names[] = {
        p->unknown = named_token(config, "unk_token", STR("[UNK]")),
        w->first = named_token(config, "cls_token", STR("[CLS]")),
        w->last = named_token(config, "sep_token", STR("[SEP]")),
        named_token(config, "pad_token", STR("[PAD]")),
        named_token(config, "mask_token", STR("[MASK]")),
    };
    struct added_token *added =
        arena_try(a, COUNT_OF(names), sizeof *added, "the special tokens", err);

    if (added == NULL)
        return false;
    for (size_t k = 0; k < COUNT_OF(names); k++)
        for (size_t i = 0; i < p->n_tokens; i++)
            if (p->spelling[i].ptr != NULL && str_eq(p->spelling[i], names[k])) {
                added[p->n_added++] =
                    (struct added_token){.text = names[k], .id = (token_id)i, .special = true};
                break;
            }
    p->added = added;
    return true;
}

static bool read_config(const json_t *config, const char *what, struct bert_normalizer *n,
                        struct error *err)
{
    bool basic;

    n->clean = true;
    if (!json_get_bool(config, "do_lower_case", what, true, &n->lower, err) ||
        !json_get_bool(config, "strip_accents", what, n->lower, &n->strip_accents, err) ||
        !json_get_bool(config, "tokenize_chinese_chars", what, true, &n->part_han, err) ||
        !json_get_bool(config, "do_basic_tokenize", what, true, &basic, err))
        return fail_while(err, "reading tokenizer_config.json");
    if (!basic)
        return fail_param(
            err, ERR_UNSUPPORTED, "do_basic_tokenize",
            "tokenizer_config.json beside %s: \"do_basic_tokenize\" false is not offered", what);
    return true;
}

bool tokenizer_open_vocab(struct str vocab, struct str config_text, const char *what,
                          struct tokenizer **out, struct error *err)
{
    struct wordpiece_parts words = {.prefix = STR("##"), .max_chars = WORDPIECE_MAX_CHARS};
    struct tokenizer_parts parts = {.what = what, .kind = TOKENIZER_WORDS, .wordpiece = &words};
    struct arena a = {0};
    json_t *config = NULL;
    bool ok =
        (config_text.len == 0 || json_parse(config_text, "tokenizer_config.json", &config, err)) &&
        read_vocab(vocab, &a, &parts, err) && read_config(config, what, &words.normalizer, err) &&
        read_special(config, &a, &parts, &words, err) && tokenizer_build(&parts, out, err);

    json_decref(config);
    arena_release(&a);
    return ok;
}
