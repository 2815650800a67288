/*
 * tokenizer_chain.c - what stands around the model in a tokenizer.json: normalizer, pre_tokenizer and decoder.
 *
 * A kind that is not offered, or not in the place where it stands, is ERR_UNSUPPORTED by its name.
 */
#include "base/size.h"
#include "text/pattern.h"
#include "text/tokenizer_internal.h"

#define PATTERN_PART_BYTES ((size_t)1 << 10) /* of a text that becomes another */

struct chain {
    const struct tokenizer_reading *of;
    bool has_bytes;   /* a ByteLevel has been seen */
    bool in_letters;  /* and what follows it sees its alphabet */
    bool has_decoder; /* some decoder other than ByteLevel */
    bool is_fused;    /* what follows decodes the whole text */
    bool is_decoded;  /* tokens of bytes are bytes by now */
};

/* Calls step for a link of the chain, or for each member of a Sequence of them. */
typedef bool link_fn(struct chain *c, const json_t *link, struct str type);
static bool each_link(struct chain *c, const json_t *link, const char *key, const char *members_key,
                      link_fn *step)
{
    struct str type;

    if (json_absent(link))
        return true;
    if (!json_is_object(link))
        return reading_wrong(c->of, key, link, "an object");
    if (!json_get_str(link, "type", c->of->what, &type, c->of->err))
        return fail_while(c->of->err, "reading %s", key);
    if (!str_is(type, "Sequence"))
        return step(c, link, type);
    const json_t *members = json_object_get(link, members_key);
    if (!json_is_array(members))
        return reading_wrong(c->of, members_key, members, "a list");
    for (size_t i = 0; i < json_array_size(members); i++)
        if (!each_link(c, json_array_get(members, i), key, members_key,
                       step)) /* as deep as JSON may be */
            return false;
    return true;
}

/* A text as it stands; one that is endless would make a text of endless length. */
static bool get_text(struct chain *c, const json_t *obj, const char *key, struct str *out)
{
    if (!json_get_str(obj, key, c->of->what, out, c->of->err))
        return false;
    return out->len <= PATTERN_PART_BYTES ||
           fail_param(c->of->err, ERR_LIMIT, key,
                      "%s: \"%s\" has %zu bytes, at most %zu are allowed", c->of->what, key,
                      out->len, PATTERN_PART_BYTES);
}

static bool read_replace(struct chain *c, const json_t *link, struct normal_step *out)
{
    const json_t *pattern = json_object_get(link, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex"),
                 *text = json_object_get(pattern, "String");

    out->kind = NORMAL_REPLACE;
    if (!get_text(c, link, "content", &out->to))
        return false;
    if (json_is_string(regex))
        return pattern_compile(json_str(regex), &out->code, &out->has_jit, c->of->err);
    if (!json_is_string(text))
        return reading_wrong(c->of, "pattern", pattern, "{\"Regex\": ...} or {\"String\": ...}");
    out->from = json_str(text);
    return out->from.len > 0 ||
           reading_unsupported(c->of, "normalizer", STR("Replace of an empty text"));
}

/* strip_accents is null where the letters' case decides. */
static bool read_bert(struct chain *c, const json_t *link, struct bert_normalizer *out)
{
    return reading_bool(c->of, link, "clean_text", true, &out->clean) &&
           reading_bool(c->of, link, "handle_chinese_chars", true, &out->part_han) &&
           reading_bool(c->of, link, "lowercase", true, &out->lower) &&
           reading_bool(c->of, link, "strip_accents", out->lower, &out->strip_accents);
}

static bool read_charsmap(struct chain *c, const json_t *link, struct charsmap *out)
{
    struct str base64;

    return json_get_str(link, "precompiled_charsmap", c->of->what, &base64, c->of->err) &&
           charsmap_build_base64(out, base64, c->of->arena, c->of->err);
}

static bool read_normalizer(struct chain *c, const json_t *link, struct str type,
                            struct normal_step *out)
{
    static const struct {
        const char *name;
        enum normal_kind kind;
        enum normal_form form;
    } plain[] = {
        {"NFC", NORMAL_FORM, NORMAL_NFC},         {"NFD", NORMAL_FORM, NORMAL_NFD},
        {"NFKC", NORMAL_FORM, NORMAL_NFKC},       {"NFKD", NORMAL_FORM, NORMAL_NFKD},
        {"Lowercase", NORMAL_LOWER, NORMAL_NONE}, {"StripAccents", NORMAL_UNMARKED, NORMAL_NONE},
        {"Nmt", NORMAL_NMT, NORMAL_NONE}};

    for (size_t i = 0; i < COUNT_OF(plain); i++)
        if (str_is(type, plain[i].name)) {
            out->kind = plain[i].kind;
            out->form = plain[i].form;
            return true;
        }
    if (str_is(type, "Replace"))
        return read_replace(c, link, out);
    if (str_is(type, "Prepend")) {
        out->kind = NORMAL_PREPEND;
        return get_text(c, link, "prepend", &out->to);
    }
    if (str_is(type, "Strip")) {
        out->kind = NORMAL_STRIP;
        return reading_bool(c->of, link, "strip_left", true, &out->left) &&
               reading_bool(c->of, link, "strip_right", true, &out->right);
    }
    if (str_is(type, "BertNormalizer")) {
        out->kind = NORMAL_BERT;
        return read_bert(c, link, &out->bert);
    }
    if (str_is(type, "Precompiled")) {
        out->kind = NORMAL_CHARSMAP;
        return read_charsmap(c, link, &out->map);
    }
    return reading_unsupported(c->of, "normalizer", type);
}

static bool take_normalizer(struct chain *c, const json_t *link, struct str type)
{
    struct normal_chain *all = &c->of->parts->normal;
    struct normal_step step = {.code = NULL};

    if (!read_normalizer(c, link, type, &step))
        return fail_while(c->of->err, "reading normalizer of %s", c->of->what);
    if (all->n_steps < NORMAL_CHAIN_MAX_STEPS)
        return normal_chain_add(all, &step, c->of->err);
    struct normal_chain rest = {.n_steps = 1, .steps = {step}};
    normal_chain_release(&rest);
    return fail_param(c->of->err, ERR_LIMIT, "normalizer",
                      "%s: a normalizer of more than %d steps is not offered", c->of->what,
                      NORMAL_CHAIN_MAX_STEPS);
}

static bool get_behavior(struct chain *c, const json_t *link, enum split_behavior *out)
{
    static const char *const names[] = {[SPLIT_ISOLATED] = "Isolated",
                                        [SPLIT_REMOVED] = "Removed",
                                        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
                                        [SPLIT_CONTIGUOUS] = "Contiguous"};
    struct str name;

    if (!json_get_str(link, "behavior", c->of->what, &name, c->of->err))
        return false;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (str_is(name, names[i])) {
            *out = (enum split_behavior)i;
            return true;
        }
    }
    return reading_unsupported(c->of, "behavior", name);
}

static bool take_split(struct chain *c, const json_t *link)
{
    const json_t *pattern = json_object_get(link, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex"),
                 *text = json_object_get(pattern, "String");
    enum split_behavior behavior = SPLIT_ISOLATED;
    bool invert;

    if (!json_is_string(regex) && !json_is_string(text))
        return reading_wrong(c->of, "pattern", pattern, "{\"Regex\": ...} or {\"String\": ...}");
    if (!get_behavior(c, link, &behavior) || !reading_bool(c->of, link, "invert", false, &invert))
        return false;
    return json_is_string(regex) ? pretokenizer_split(&c->of->parts->pre, json_str(regex), behavior,
                                                      invert, c->of->err)
                                 : pretokenizer_split_text(&c->of->parts->pre, json_str(text),
                                                           behavior, invert, c->of->err);
}

static bool take_digits(struct chain *c, const json_t *link)
{
    bool one_by_one;

    return reading_bool(c->of, link, "individual_digits", false, &one_by_one) &&
           pretokenizer_split(&c->of->parts->pre, STR("\\p{N}"),
                              one_by_one ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, false, c->of->err);
}

static bool take_byte_level(struct chain *c, const json_t *link)
{
    bool prefix, regex;

    c->has_bytes = true;
    return reading_bool(c->of, link, "add_prefix_space", true, &prefix) &&
           reading_bool(c->of, link, "use_regex", true, &regex) &&
           (!prefix ||
            pretokenizer_add(&c->of->parts->pre, PRE_PREFIX_BLANK, SPLIT_ISOLATED, c->of->err)) &&
           (!regex || pretokenizer_split(&c->of->parts->pre, STR(PATTERN_GPT2), SPLIT_ISOLATED,
                                         false, c->of->err));
}

static bool take_metaspace(struct chain *c, const json_t *link)
{
    static const char *const names[] = {
        [METASPACE_ALWAYS] = "always", [METASPACE_FIRST] = "first", [METASPACE_NEVER] = "never"};
    const json_t *scheme = json_object_get(link, "prepend_scheme");
    struct str sign;
    bool prefix, parts;

    if (!json_get_str(link, "replacement", c->of->what, &sign, c->of->err) ||
        !reading_bool(c->of, link, "add_prefix_space", true, &prefix) ||
        !reading_bool(c->of, link, "split", true, &parts))
        return false;
    enum metaspace_prefix how = prefix ? METASPACE_ALWAYS : METASPACE_NEVER;
    bool known = json_absent(scheme);
    for (size_t i = 0; i < COUNT_OF(names) && !known; i++)
        if (str_is(json_str(scheme), names[i])) {
            how = prefix ? (enum metaspace_prefix)i : METASPACE_NEVER;
            known = true;
        }
    return (known || reading_unsupported(c->of, "prepend_scheme", json_str(scheme))) &&
           pretokenizer_metaspace(&c->of->parts->pre, sign, how, parts, c->of->err);
}

static bool take_punctuation(struct chain *c, const json_t *link)
{
    enum split_behavior behavior = SPLIT_ISOLATED;

    return (json_absent(json_object_get(link, "behavior")) || get_behavior(c, link, &behavior)) &&
           pretokenizer_add(&c->of->parts->pre, PRE_PUNCTUATION, behavior, c->of->err);
}

static bool take_delimiter(struct chain *c, const json_t *link)
{
    struct str delimiter;

    return json_get_str(link, "delimiter", c->of->what, &delimiter, c->of->err) &&
           pretokenizer_split_text(&c->of->parts->pre, delimiter, SPLIT_REMOVED, false, c->of->err);
}

/* What makes signs or blanks anew would make letters, which stand for bytes of their own. */
static bool behind_bytes(struct chain *c, struct str type)
{
    if (!c->has_bytes)
        return true;
    if (str_is(type, "ByteLevel") || str_is(type, "Metaspace"))
        return fail_param(c->of->err, ERR_UNSUPPORTED, "pre_tokenizer",
                          "%s: the pre_tokenizer \"" STR_FMT "\" after ByteLevel is not offered",
                          c->of->what, (int)type.len, type.ptr);
    if (c->in_letters)
        return true;
    c->in_letters = true;
    return pretokenizer_add(&c->of->parts->pre, PRE_LETTERS, SPLIT_ISOLATED, c->of->err);
}

static bool take_pretokenizer(struct chain *c, const json_t *link, struct str type)
{
    bool ok;

    if (!behind_bytes(c, type))
        return false;
    if (str_is(type, "Split"))
        ok = take_split(c, link);
    else if (str_is(type, "Digits"))
        ok = take_digits(c, link);
    else if (str_is(type, "ByteLevel"))
        ok = take_byte_level(c, link);
    else if (str_is(type, "Metaspace"))
        ok = take_metaspace(c, link);
    else if (str_is(type, "Punctuation"))
        ok = take_punctuation(c, link);
    else if (str_is(type, "CharDelimiterSplit"))
        ok = take_delimiter(c, link);
    else if (str_is(type, "Whitespace"))
        ok = pretokenizer_add(&c->of->parts->pre, PRE_WORDS, SPLIT_ISOLATED, c->of->err);
    else if (str_is(type, "WhitespaceSplit"))
        ok = pretokenizer_add(&c->of->parts->pre, PRE_WHITE, SPLIT_ISOLATED, c->of->err);
    else if (str_is(type, "BertPreTokenizer"))
        ok = pretokenizer_add(&c->of->parts->pre, PRE_BERT, SPLIT_ISOLATED, c->of->err);
    else
        return reading_unsupported(c->of, "pre_tokenizer", type);
    return ok || fail_while(c->of->err, "reading pre_tokenizer of %s", c->of->what);
}

/* A step that looks at one token cannot come behind one that joins them. */
static bool misplaced(struct chain *c, const char *type, const char *behind)
{
    return fail_param(c->of->err, ERR_UNSUPPORTED, "decoder",
                      "%s: the decoder \"%s\" behind \"%s\" is not offered", c->of->what, type,
                      behind);
}

static bool read_decoder_replace(struct chain *c, const json_t *link,
                                 struct token_decoder_step *out)
{
    const json_t *pattern = json_object_get(link, "pattern"),
                 *text = json_object_get(pattern, "String");

    out->kind = DECODE_REPLACE;
    if (json_is_string(json_object_get(pattern, "Regex")))
        return reading_unsupported(c->of, "decoder", STR("Replace of a Regex"));
    if (!json_is_string(text))
        return reading_wrong(c->of, "pattern", pattern, "{\"String\": ...}");
    out->from = json_str(text);
    return (out->from.len > 0 ||
            reading_unsupported(c->of, "decoder", STR("Replace of an empty text"))) &&
           get_text(c, link, "content", &out->to);
}

static bool take_strip(struct chain *c, const json_t *link)
{
    struct token_decoder *d = &c->of->parts->decoder;
    struct token_decoder_step step = {.kind = DECODE_STRIP};
    int64_t start, stop;
    size_t at = 0;

    if (!get_text(c, link, "content", &step.from) ||
        !json_get_int(link, "start", c->of->what, 0, 0, INT32_MAX, &start, c->of->err) ||
        !json_get_int(link, "stop", c->of->what, 0, 0, INT32_MAX, &stop, c->of->err))
        return false;
    if (step.from.len > 0)
        (void)utf8_next(step.from, &at);
    if (at == 0 || at != step.from.len)
        return fail_param(c->of->err, ERR_CORRUPT, "content",
                          "%s: the decoder Strip takes away \"" STR_FMT
                          "\", one character was expected",
                          c->of->what, (int)size_min(step.from.len, 100), step.from.ptr);
    step.start = (size_t)start;
    step.stop = (size_t)stop;
    if (!c->is_fused)
        return token_decoder_add(d, step, c->of->err);
    if (d->whole.from.len > 0)
        return misplaced(c, "Strip", "Strip");
    d->whole = step;
    return true;
}

static bool take_metaspace_decoder(struct chain *c, const json_t *link)
{
    const json_t *scheme = json_object_get(link, "prepend_scheme");
    struct token_decoder_step step = {.kind = DECODE_METASPACE};
    bool prefix;

    if (!json_get_str(link, "replacement", c->of->what, &step.from, c->of->err) ||
        !reading_bool(c->of, link, "add_prefix_space", true, &prefix))
        return false;
    step.drops_first = prefix && !str_is(json_str(scheme), "never");
    return (step.from.len > 0 ||
            reading_unsupported(c->of, "decoder", STR("Metaspace of nothing"))) &&
           token_decoder_add(&c->of->parts->decoder, step, c->of->err);
}

static bool take_decoder(struct chain *c, const json_t *link, struct str type)
{
    struct token_decoder_step step = {.kind = DECODE_BYTES};

    if (str_is(type, "ByteLevel") && c->has_bytes)
        return true;
    if (c->has_bytes)
        return reading_unsupported(c->of, "decoder", type);
    c->has_decoder = true;
    if (str_is(type, "Fuse")) {
        c->is_fused = true;
        return true;
    }
    if (str_is(type, "Strip"))
        return take_strip(c, link);
    const bool replace = str_is(type, "Replace"), metaspace = str_is(type, "Metaspace"),
               bytes = str_is(type, "ByteFallback");
    if (!replace && !metaspace && !bytes)
        return reading_unsupported(c->of, "decoder", type);
    if (c->is_fused || c->is_decoded)
        return misplaced(c,
                         replace     ? "Replace"
                         : metaspace ? "Metaspace"
                                     : "ByteFallback",
                         c->is_fused ? "Fuse" : "ByteFallback");
    c->is_decoded = bytes;
    if (metaspace)
        return take_metaspace_decoder(c, link);
    return (bytes || read_decoder_replace(c, link, &step)) &&
           token_decoder_add(&c->of->parts->decoder, step, c->of->err);
}

bool chain_from_json(const json_t *root, const struct tokenizer_reading *of, bool *has_bytes)
{
    struct chain c = {.of = of};

    if (!each_link(&c, json_object_get(root, "normalizer"), "normalizer", "normalizers",
                   take_normalizer) ||
        !each_link(&c, json_object_get(root, "pre_tokenizer"), "pre_tokenizer", "pretokenizers",
                   take_pretokenizer) ||
        !each_link(&c, json_object_get(root, "decoder"), "decoder", "decoders", take_decoder))
        return false;
    *has_bytes = c.has_bytes;
    return c.has_bytes || c.has_decoder ||
           fail_param(of->err, ERR_UNSUPPORTED, "decoder",
                      "%s: without a decoder (and without the pre_tokenizer ByteLevel) tokens are "
                      "words of their own, which is not offered",
                      of->what);
}
