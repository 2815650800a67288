/*
 * tokenizer_json.c - a tokenizer of Hugging Face's tokenizer.json, whose parts are a chain of small programs.
 *
 *     added_tokens -> normalizer -> pre_tokenizer -> model (BPE) -> post_processor -> decoder
 *
 * Taken are those kinds that byte-level BPE is made of (where model is WordPiece, tokenizer_wordpiece.c reads the
 * chain); another kind is ERR_UNSUPPORTED, by its name. truncation and padding are ours to decide, and post_processor
 * only adds tokens at the ends, which a chat template does, so these are not read.
 */
#include "base/size.h"
#include "text/tokenizer_internal.h"

#include <inttypes.h>

struct chain {
    const char *what;
    struct arena *arena;
    struct tokenizer_parts *parts;
    struct wordpiece_parts wordpiece;
    bool has_bytes; /* a ByteLevel has been seen: what follows it would see its alphabet */
    struct error *err;
};

static bool wrong(struct chain *c, const char *key, const json_t *found, const char *expected)
{
    return fail_param(c->err, ERR_CORRUPT, key, "%s: \"%s\" is %s, %s was expected", c->what, key,
                      json_kind(found), expected);
}

static bool unsupported(struct chain *c, const char *key, struct str kind)
{
    return fail_param(c->err, ERR_UNSUPPORTED, key, "%s: the %s \"" STR_FMT "\" is not offered",
                      c->what, key, (int)size_min(kind.len, 100), kind.ptr);
}

static bool get_bool(struct chain *c, const json_t *obj, const char *key, bool def, bool *out)
{
    return json_get_bool(obj, key, c->what, def, out, c->err);
}

static bool absent(const json_t *v)
{
    return v == NULL || json_is_null(v);
}

/* Calls step for a link of the chain, or for each member of a Sequence of them. */
typedef bool link_fn(struct chain *c, const json_t *link, struct str type);
static bool each_link(struct chain *c, const json_t *link, const char *key, const char *members_key,
                      link_fn *step)
{
    struct str type;

    if (absent(link))
        return true;
    if (!json_is_object(link))
        return wrong(c, key, link, "an object");
    if (!json_get_str(link, "type", c->what, &type, c->err))
        return fail_while(c->err, "reading %s", key);
    if (!str_is(type, "Sequence"))
        return step(c, link, type);
    const json_t *members = json_object_get(link, members_key);
    if (!json_is_array(members))
        return wrong(c, members_key, members, "a list");
    for (size_t i = 0; i < json_array_size(members); i++)
        if (!each_link(c, json_array_get(members, i), key, members_key,
                       step)) /* as deep as JSON may be */
            return false;
    return true;
}

static bool take_normalizer(struct chain *c, const json_t *link, struct str type)
{
    static const struct {
        const char *name;
        enum normal_form form;
    } forms[] = {
        {"NFC", NORMAL_NFC}, {"NFD", NORMAL_NFD}, {"NFKC", NORMAL_NFKC}, {"NFKD", NORMAL_NFKD}};

    (void)link;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if (str_is(type, forms[i].name)) {
            c->parts->form = normal_form_then(c->parts->form, forms[i].form);
            return true;
        }
    }
    return unsupported(c, "normalizer", type);
}

static bool get_behavior(struct chain *c, const json_t *link, enum split_behavior *out)
{
    static const char *const names[] = {[SPLIT_ISOLATED] = "Isolated",
                                        [SPLIT_REMOVED] = "Removed",
                                        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
                                        [SPLIT_CONTIGUOUS] = "Contiguous"};
    struct str name;

    if (!json_get_str(link, "behavior", c->what, &name, c->err))
        return false;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (str_is(name, names[i])) {
            *out = (enum split_behavior)i;
            return true;
        }
    }
    return unsupported(c, "behavior", name);
}

static bool take_split(struct chain *c, const json_t *link)
{
    const json_t *pattern = json_object_get(link, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex"),
                 *text = json_object_get(pattern, "String");
    enum split_behavior behavior = SPLIT_ISOLATED;
    bool invert;

    if (!json_is_string(regex) && !json_is_string(text))
        return wrong(c, "pattern", pattern, "{\"Regex\": ...} or {\"String\": ...}");
    if (!get_behavior(c, link, &behavior) || !get_bool(c, link, "invert", false, &invert))
        return false;
    return json_is_string(regex)
               ? pretokenizer_split(&c->parts->pre, json_str(regex), behavior, invert, c->err)
               : pretokenizer_split_text(&c->parts->pre, json_str(text), behavior, invert, c->err);
}

static bool take_digits(struct chain *c, const json_t *link)
{
    bool one_by_one;

    return get_bool(c, link, "individual_digits", false, &one_by_one) &&
           pretokenizer_split(&c->parts->pre, STR("\\p{N}"),
                              one_by_one ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, false, c->err);
}

static bool take_byte_level(struct chain *c, const json_t *link)
{
    bool prefix, regex;

    c->has_bytes = true;
    return get_bool(c, link, "add_prefix_space", true, &prefix) &&
           get_bool(c, link, "use_regex", true, &regex) &&
           (!prefix || pretokenizer_prefix_blank(&c->parts->pre, c->err)) &&
           (!regex ||
            pretokenizer_split(&c->parts->pre, STR(PATTERN_GPT2), SPLIT_ISOLATED, false, c->err));
}

static bool take_pretokenizer(struct chain *c, const json_t *link, struct str type)
{
    bool ok;

    if (c->has_bytes)
        return fail_param(c->err, ERR_UNSUPPORTED, "pre_tokenizer",
                          "%s: the pre_tokenizer \"" STR_FMT "\" after ByteLevel is not offered",
                          c->what, (int)size_min(type.len, 100), type.ptr);
    if (str_is(type, "Split"))
        ok = take_split(c, link);
    else if (str_is(type, "Digits"))
        ok = take_digits(c, link);
    else if (str_is(type, "ByteLevel"))
        ok = take_byte_level(c, link);
    else
        return unsupported(c, "pre_tokenizer", type);
    return ok || fail_while(c->err, "reading pre_tokenizer of %s", c->what);
}

static bool take_decoder(struct chain *c, const json_t *link, struct str type)
{
    (void)link;
    return str_is(type, "ByteLevel") || unsupported(c, "decoder", type);
}

/* The settings of BPE that change its answers in ways that are not offered must be off. */
static bool check_model(struct chain *c, const json_t *model)
{
    static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *type = json_object_get(model, "type"),
                 *dropout = json_object_get(model, "dropout");
    bool fallback;

    if (!json_is_object(model))
        return wrong(c, "model", model, "an object");
    if (!absent(type) && !str_is(json_str(type), "BPE"))
        return unsupported(c, "model", json_str(type));
    if (!absent(dropout) && json_number_value(dropout) != 0)
        return unsupported(c, "model", STR("BPE with dropout"));
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const json_t *v = json_object_get(model, texts[i]);

        if (!absent(v) && json_str(v).len > 0)
            return fail_param(c->err, ERR_UNSUPPORTED, texts[i],
                              "%s: a %s (\"" STR_FMT "\") is not offered", c->what, texts[i],
                              (int)size_min(json_str(v).len, 100), json_str(v).ptr);
    }
    if (!get_bool(c, model, "byte_fallback", false, &fallback))
        return false;
    return !fallback || unsupported(c, "model", STR("BPE with byte_fallback"));
}

static bool get_id(struct chain *c, const json_t *v, struct str token, token_id *out)
{
    const json_int_t id = json_integer_value(v);

    if (!json_is_integer(v) || id < 0)
        return fail(c->err, ERR_CORRUPT,
                    "%s: the id of \"" STR_FMT "\" is not a whole number from 0 on", c->what,
                    (int)size_min(token.len, 100), token.ptr);
    if ((size_t)id >= LIMIT_VOCAB)
        return fail(c->err, ERR_LIMIT,
                    "%s: the id of \"" STR_FMT "\" is %" JSON_INTEGER_FORMAT
                    ", below %zu is allowed",
                    c->what, (int)size_min(token.len, 100), token.ptr, id, LIMIT_VOCAB);
    *out = (token_id)id;
    return true;
}

static bool take_added_token(struct chain *c, const json_t *v, struct added_token *out)
{
    struct added_token a = {0};

    if (!json_is_object(v))
        return wrong(c, "added_tokens", v, "a list of objects");
    if (!json_get_str(v, "content", c->what, &a.text, c->err) ||
        !get_id(c, json_object_get(v, "id"), a.text, &a.id) ||
        !get_bool(c, v, "special", false, &a.special) ||
        !get_bool(c, v, "lstrip", false, &a.lstrip) ||
        !get_bool(c, v, "rstrip", false, &a.rstrip) ||
        !get_bool(c, v, "single_word", false, &a.single_word) ||
        !get_bool(c, v, "normalized", !a.special, &a.normalized))
        return fail_while(c->err, "reading added_tokens");
    *out = a;
    return true;
}

/* Ids may leave holes; the highest decides how many there are. */
static bool take_tokens(struct chain *c, const json_t *vocab, const json_t *added_list)
{
    json_t *iterated =
        (json_t *)(uintptr_t)vocab; /* jansson's iterators are not const, and change nothing */
    const size_t n_added = json_array_size(added_list);
    token_id highest = -1, id;

    if (!json_is_object(vocab))
        return wrong(c, "vocab", vocab, "an object");
    if (!absent(added_list) && !json_is_array(added_list))
        return wrong(c, "added_tokens", added_list, "a list");
    if (json_object_size(vocab) > LIMIT_VOCAB || n_added > LIMIT_VOCAB)
        return fail(c->err, ERR_LIMIT, "%s: more than the %zu tokens allowed", c->what,
                    LIMIT_VOCAB);
    for (void *it = json_object_iter(iterated); it != NULL;
         it = json_object_iter_next(iterated, it)) {
        const struct str token = {json_object_iter_key(it), json_object_iter_key_len(it)};

        if (!get_id(c, json_object_iter_value(it), token, &id))
            return false;
        highest = id > highest ? id : highest;
    }
    struct added_token *added =
        arena_try(c->arena, n_added, sizeof *added, "the added tokens", c->err);
    if (added == NULL)
        return false;
    for (size_t i = 0; i < n_added; i++) {
        if (!take_added_token(c, json_array_get(added_list, i), &added[i]))
            return false;
        highest = added[i].id > highest ? added[i].id : highest;
    }
    const size_t n_tokens = (size_t)(highest + 1);
    struct str *spelling =
        arena_try(c->arena, n_tokens, sizeof *spelling, "the tokenizer's tokens", c->err);
    if (spelling == NULL)
        return false;
    for (void *it = json_object_iter(iterated); it != NULL;
         it = json_object_iter_next(iterated, it)) {
        const struct str token = {json_object_iter_key(it), json_object_iter_key_len(it)};
        struct str *place = &spelling[json_integer_value(json_object_iter_value(it))];

        if (place->ptr != NULL)
            return fail(c->err, ERR_CORRUPT,
                        "%s: \"" STR_FMT "\" and \"" STR_FMT "\" have the same id", c->what,
                        (int)size_min(place->len, 100), place->ptr, (int)size_min(token.len, 100),
                        token.ptr);
        *place = token;
    }
    c->parts->n_tokens = n_tokens;
    c->parts->spelling = spelling;
    c->parts->n_added = n_added;
    c->parts->added = added;
    return true;
}

static bool take_merges(struct chain *c, const json_t *list)
{
    const size_t n = json_array_size(list);
    size_t n_taken = 0;
    struct merge_pair *merges = NULL;

    if (!json_is_array(list))
        return wrong(c, "merges", list, "a list");
    if (n > LIMIT_MERGES)
        return fail(c->err, ERR_LIMIT, "%s: %zu merges are more than the %zu allowed", c->what, n,
                    LIMIT_MERGES);
    merges = arena_try(c->arena, n, sizeof *merges, "the tokenizer's merges", c->err);
    if (merges == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(list, i);
        const json_t *left = json_array_get(m, 0), *right = json_array_get(m, 1);

        if (str_starts(json_str(m), STR("#version")))
            continue; /* the first line of a merges.txt */
        if (json_is_string(m)) {
            if (!merge_from_text(json_str(m), c->what, i, &merges[n_taken++], c->err))
                return false;
        } else if (json_array_size(m) == 2 && json_is_string(left) && json_is_string(right)) {
            merges[n_taken++] = (struct merge_pair){json_str(left), json_str(right)};
        } else {
            return fail_param(c->err, ERR_CORRUPT, "merges",
                              "%s: merge %zu is %s, a pair of tokens was expected", c->what, i,
                              json_kind(m));
        }
    }
    c->parts->n_merges = n_taken;
    c->parts->merges = merges;
    return true;
}

static bool take_all(struct chain *c, const json_t *root)
{
    const json_t *model = json_object_get(root, "model");
    struct tokenizer_parts *p = c->parts;

    if (!json_is_object(root))
        return fail(c->err, ERR_CORRUPT, "%s is %s, an object was expected", c->what,
                    json_kind(root));
    if (str_is(json_str(json_object_get(model, "type")), "WordPiece")) {
        p->wordpiece = &c->wordpiece;
        return take_tokens(c, json_object_get(model, "vocab"),
                           json_object_get(root, "added_tokens")) &&
               wordpiece_from_json(root, c->what, &c->wordpiece, &p->unknown, c->err);
    }
    if (!check_model(c, model) ||
        !take_tokens(c, json_object_get(model, "vocab"), json_object_get(root, "added_tokens")) ||
        !take_merges(c, json_object_get(model, "merges")) ||
        !get_bool(c, model, "ignore_merges", false, &p->ignore_merges) ||
        !get_bool(c, model, "fuse_unk", false, &p->fuse_unknown))
        return false;
    p->unknown = json_str(json_object_get(model, "unk_token"));
    if (!each_link(c, json_object_get(root, "normalizer"), "normalizer", "normalizers",
                   take_normalizer) ||
        !each_link(c, json_object_get(root, "pre_tokenizer"), "pre_tokenizer", "pretokenizers",
                   take_pretokenizer) ||
        !each_link(c, json_object_get(root, "decoder"), "decoder", "decoders", take_decoder))
        return false;
    return c->has_bytes ||
           fail_param(c->err, ERR_UNSUPPORTED, "pre_tokenizer",
                      "%s: without the pre_tokenizer ByteLevel it is not byte-level BPE", c->what);
}

bool tokenizer_open_json(struct str text, const char *what, struct tokenizer **out,
                         struct error *err)
{
    struct tokenizer_parts parts = {.what = what};
    struct arena a = {0};
    struct chain c = {.what = what, .arena = &a, .parts = &parts, .err = err};
    json_t *root = NULL;
    bool ok = json_parse(text, what, &root, err) && take_all(&c, root) &&
              tokenizer_build(&parts, out, err);

    pretokenizer_release(&parts.pre);
    json_decref(root);
    arena_release(&a);
    return ok;
}
