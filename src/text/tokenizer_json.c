/*
 * tokenizer_json.c - a tokenizer of Hugging Face's tokenizer.json, whose parts are a chain of small programs.
 *
 *     added_tokens -> normalizer -> pre_tokenizer -> model -> post_processor -> decoder
 *
 * The model is BPE or Unigram, and what stands around it is read by tokenizer_chain.c, or it is WordPiece, and
 * tokenizer_wordpiece.c reads the chain; another kind is ERR_UNSUPPORTED, by its name. truncation and padding are ours to
 * decide, and post_processor only adds tokens at the ends, which a chat template does, so these are not read.
 */
#include "base/size.h"
#include "text/tokenizer_internal.h"

#include <inttypes.h>

bool reading_wrong(const struct tokenizer_reading *c, const char *key, const json_t *found,
                   const char *expected)
{
    return fail_param(c->err, ERR_CORRUPT, key, "%s: \"%s\" is %s, %s was expected", c->what, key,
                      json_kind(found), expected);
}

bool reading_unsupported(const struct tokenizer_reading *c, const char *key, struct str kind)
{
    return fail_param(c->err, ERR_UNSUPPORTED, key, "%s: the %s \"" STR_FMT "\" is not offered",
                      c->what, key, (int)size_min(kind.len, 100), kind.ptr);
}

bool reading_bool(const struct tokenizer_reading *c, const json_t *obj, const char *key, bool def,
                  bool *out)
{
    return json_get_bool(obj, key, c->what, def, out, c->err);
}

/* The settings of BPE that change its answers in ways that are not offered must be off. */
static bool check_model(struct tokenizer_reading *c, const json_t *model)
{
    static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *type = json_object_get(model, "type"),
                 *dropout = json_object_get(model, "dropout");

    if (!json_is_object(model))
        return reading_wrong(c, "model", model, "an object");
    if (!json_absent(type) && !str_is(json_str(type), "BPE"))
        return reading_unsupported(c, "model", json_str(type));
    if (!json_absent(dropout) && json_number_value(dropout) != 0)
        return reading_unsupported(c, "model", STR("BPE with dropout"));
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const json_t *v = json_object_get(model, texts[i]);

        if (!json_absent(v) && json_str(v).len > 0)
            return fail_param(c->err, ERR_UNSUPPORTED, texts[i],
                              "%s: a %s (\"" STR_FMT "\") is not offered", c->what, texts[i],
                              (int)size_min(json_str(v).len, 100), json_str(v).ptr);
    }
    return true;
}

static bool get_id(struct tokenizer_reading *c, const json_t *v, struct str token, token_id *out)
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

static bool take_added_token(struct tokenizer_reading *c, const json_t *v, struct added_token *out)
{
    struct added_token a = {0};

    if (!json_is_object(v))
        return reading_wrong(c, "added_tokens", v, "a list of objects");
    if (!json_get_str(v, "content", c->what, &a.text, c->err) ||
        !get_id(c, json_object_get(v, "id"), a.text, &a.id) ||
        !reading_bool(c, v, "special", false, &a.special) ||
        !reading_bool(c, v, "lstrip", false, &a.lstrip) ||
        !reading_bool(c, v, "rstrip", false, &a.rstrip) ||
        !reading_bool(c, v, "single_word", false, &a.single_word) ||
        !reading_bool(c, v, "normalized", !a.special, &a.normalized))
        return fail_while(c->err, "reading added_tokens");
    *out = a;
    return true;
}

static bool take_added_tokens(struct tokenizer_reading *c, const json_t *list, token_id *highest)
{
    const size_t n = json_array_size(list);

    if (!json_absent(list) && !json_is_array(list))
        return reading_wrong(c, "added_tokens", list, "a list");
    if (n > LIMIT_VOCAB)
        return fail(c->err, ERR_LIMIT, "%s: more than the %zu added tokens allowed", c->what,
                    LIMIT_VOCAB);
    struct added_token *added = arena_try(c->arena, n, sizeof *added, "the added tokens", c->err);
    if (added == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!take_added_token(c, json_array_get(list, i), &added[i]))
            return false;
        *highest = added[i].id > *highest ? added[i].id : *highest;
    }
    c->parts->n_added = n;
    c->parts->added = added;
    return true;
}

static struct str *spellings_new(struct tokenizer_reading *c, token_id highest)
{
    c->parts->n_tokens = (size_t)(highest + 1);
    struct str *spelling =
        arena_try(c->arena, c->parts->n_tokens, sizeof *spelling, "the tokenizer's tokens", c->err);

    c->parts->spelling = spelling;
    return spelling;
}

/* {token: id}: ids may leave holes; the highest decides how many there are. */
static bool take_tokens(struct tokenizer_reading *c, const json_t *vocab, const json_t *added_list)
{
    json_t *iterated =
        (json_t *)(uintptr_t)vocab; /* jansson's iterators are not const, and change nothing */
    token_id highest = -1, id;

    if (!json_is_object(vocab))
        return reading_wrong(c, "vocab", vocab, "an object");
    if (json_object_size(vocab) > LIMIT_VOCAB)
        return fail(c->err, ERR_LIMIT, "%s: more than the %zu tokens allowed", c->what,
                    LIMIT_VOCAB);
    for (void *it = json_object_iter(iterated); it != NULL;
         it = json_object_iter_next(iterated, it)) {
        const struct str token = {json_object_iter_key(it), json_object_iter_key_len(it)};

        if (!get_id(c, json_object_iter_value(it), token, &id))
            return false;
        highest = id > highest ? id : highest;
    }
    if (!take_added_tokens(c, added_list, &highest))
        return false;
    struct str *spelling = spellings_new(c, highest);
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
    return true;
}

/* [[token, score], ...] of Unigram: a token's place is its id. */
static bool take_scored_tokens(struct tokenizer_reading *c, const json_t *vocab,
                               const json_t *added_list)
{
    const size_t n = json_array_size(vocab);
    token_id highest = (token_id)size_min(n, LIMIT_VOCAB) - 1;

    if (!json_is_array(vocab) || n == 0)
        return reading_wrong(c, "vocab", vocab, "a list of tokens and scores");
    if (n > LIMIT_VOCAB)
        return fail(c->err, ERR_LIMIT, "%s: more than the %zu tokens allowed", c->what,
                    LIMIT_VOCAB);
    if (!take_added_tokens(c, added_list, &highest))
        return false;
    struct str *spelling = spellings_new(c, highest);
    double *scores = spelling == NULL ? NULL
                                      : arena_try(c->arena, c->parts->n_tokens, sizeof *scores,
                                                  "the tokenizer's scores", c->err);
    if (scores == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_array_get(vocab, i), *token = json_array_get(entry, 0),
                     *score = json_array_get(entry, 1);

        if (json_array_size(entry) != 2 || !json_is_string(token) || !json_is_number(score))
            return fail_param(c->err, ERR_CORRUPT, "vocab",
                              "%s: entry %zu of vocab is no token with its score", c->what, i);
        spelling[i] = json_str(token);
        scores[i] = json_number_value(score);
    }
    c->parts->scores = scores;
    return true;
}

static bool take_merges(struct tokenizer_reading *c, const json_t *list)
{
    const size_t n = json_array_size(list);
    size_t n_taken = 0;
    struct merge_pair *merges = NULL;

    if (!json_is_array(list))
        return reading_wrong(c, "merges", list, "a list");
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

static bool take_bpe(struct tokenizer_reading *c, const json_t *root, const json_t *model)
{
    struct tokenizer_parts *p = c->parts;
    bool has_bytes;

    if (!check_model(c, model) ||
        !take_tokens(c, json_object_get(model, "vocab"), json_object_get(root, "added_tokens")) ||
        !take_merges(c, json_object_get(model, "merges")) ||
        !reading_bool(c, model, "ignore_merges", false, &p->ignore_merges) ||
        !reading_bool(c, model, "fuse_unk", false, &p->fuse_unknown) ||
        !reading_bool(c, model, "byte_fallback", false, &p->byte_fallback))
        return false;
    p->unknown = json_str(json_object_get(model, "unk_token"));
    if (!chain_from_json(root, c, &has_bytes))
        return false;
    p->kind = has_bytes ? TOKENIZER_BYTES : TOKENIZER_CHARACTERS;
    return !(has_bytes && p->byte_fallback) ||
           reading_unsupported(c, "model", STR("BPE with byte_fallback behind ByteLevel"));
}

static bool take_unigram(struct tokenizer_reading *c, const json_t *root, const json_t *model)
{
    struct tokenizer_parts *p = c->parts;
    const json_t *unknown = json_object_get(model, "unk_id");
    bool has_bytes;

    p->kind = TOKENIZER_UNIGRAM;
    if (!take_scored_tokens(c, json_object_get(model, "vocab"),
                            json_object_get(root, "added_tokens")) ||
        !reading_bool(c, model, "byte_fallback", false, &p->byte_fallback) ||
        !chain_from_json(root, c, &has_bytes))
        return false;
    if (has_bytes)
        return reading_unsupported(c, "model", STR("Unigram behind ByteLevel"));
    if (json_absent(unknown))
        return reading_unsupported(c, "model", STR("Unigram without unk_id"));
    if (!json_is_integer(unknown) || json_integer_value(unknown) < 0 ||
        json_integer_value(unknown) >= (json_int_t)json_array_size(json_object_get(model, "vocab")))
        return reading_wrong(c, "unk_id", unknown, "a token's id");
    p->unknown = p->spelling[json_integer_value(unknown)];
    return p->unknown.len > 0 ||
           reading_unsupported(c, "model", STR("Unigram whose unknown token has no text"));
}

static bool take_all(struct tokenizer_reading *c, const json_t *root)
{
    const json_t *model = json_object_get(root, "model");
    const struct str type = json_str(json_object_get(model, "type"));
    struct tokenizer_parts *p = c->parts;

    if (!json_is_object(root))
        return fail(c->err, ERR_CORRUPT, "%s is %s, an object was expected", c->what,
                    json_kind(root));
    if (str_is(type, "WordPiece")) {
        struct wordpiece_parts *words = ARENA_NEW(c->arena, struct wordpiece_parts);

        p->kind = TOKENIZER_WORDS;
        p->wordpiece = words;
        return take_tokens(c, json_object_get(model, "vocab"),
                           json_object_get(root, "added_tokens")) &&
               wordpiece_from_json(root, c->what, words, &p->unknown, c->err);
    }
    return str_is(type, "Unigram") ? take_unigram(c, root, model) : take_bpe(c, root, model);
}

bool tokenizer_open_json(struct str text, const char *what, struct tokenizer **out,
                         struct error *err)
{
    struct tokenizer_parts parts = {.what = what};
    struct arena a = {0};
    struct tokenizer_reading c = {.what = what, .arena = &a, .parts = &parts, .err = err};
    json_t *root = NULL;
    bool ok = json_parse(text, what, &root, err) && take_all(&c, root) &&
              tokenizer_build(&parts, out, err);

    pretokenizer_release(&parts.pre);
    normal_chain_release(&parts.normal);
    json_decref(root);
    arena_release(&a);
    return ok;
}
