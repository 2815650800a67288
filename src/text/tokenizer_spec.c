/*
 * tokenizer_spec.c - a tokenizer of what a GGUF file says: tokens, their types, merges, the name of a pre-tokeniser;
 * tokens and their types alone make a WordPiece tokenizer ("bert").
 *
 * GGUF names the pre-tokeniser instead of describing it. The names are llama.cpp's (convert_hf_to_gguf_update.py
 * gives them by a checksum of what the reference makes of a test text), the patterns those of the tokenizer.json that
 * each name was given for. Names for which that is not certain are refused rather than guessed: the model's own
 * folder has the pattern.
 */
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/text_table.h"
#include "text/tokenizer_internal.h"

#include <stdlib.h>

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BLANKS "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SIGNS " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define PATTERN_LLAMA3 CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" SIGNS "|" BLANKS
#define PATTERN_QWEN2 CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" SIGNS "|" BLANKS
#define PATTERN_QWEN35                                                                             \
    CONTRACTION                                                                                    \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" BLANKS
#define PATTERN_SEED                                                                               \
    CONTRACTION                                                                                    \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" BLANKS
#define PATTERN_MINICPM5 CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+|" SIGNS "|" BLANKS
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(end)                                                                                 \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" end "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER     \
    "*" end
#define SLASHED " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define PATTERN_GPT4O CASED(CONTRACTION "?") "|\\p{N}{1,3}|" SLASHED "|" BLANKS
#define PATTERN_TEKKEN CASED("") "|\\p{N}|" SLASHED "|" BLANKS
#define PATTERN_DEEPSEEK3                                                                               \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" \
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" BLANKS

static const struct named_pretokenizer {
    const char *names; /* each between blanks; the first is written */
    enum normal_form form;
    bool ignore_merges;
    const char *patterns[5];
} known[] = {
    {" smollm starcoder refact codeshell ", NORMAL_NONE, false, {"\\p{N}", PATTERN_GPT2}},
    {" command-r ", NORMAL_NFC, false, {"\\p{N}", PATTERN_GPT2}},
    {" gpt-2 phi-2 mpt olmo jais exaone4 granite-docling ", NORMAL_NONE, false, {PATTERN_GPT2}},
    {" llama-bpe llama3 llama-v3 falcon3 lfm2 midm-2.0 ", NORMAL_NONE, true, {PATTERN_LLAMA3}},
    {" dbrx smaug-bpe glm4 chatglm-bpe ", NORMAL_NONE, false, {PATTERN_LLAMA3}},
    {" minicpm5 ", NORMAL_NONE, true, {"\\p{N}{1,3}", PATTERN_MINICPM5}},
    {" seed-coder ", NORMAL_NONE, false, {PATTERN_SEED}},
    {" qwen2 ", NORMAL_NFC, false, {PATTERN_QWEN2}},
    {" deepseek-r1-qwen ", NORMAL_NONE, false, {PATTERN_QWEN2}},
    {" qwen35 ", NORMAL_NFC, false, {PATTERN_QWEN35}},
    {" gpt-4o llama4 ", NORMAL_NONE, false, {PATTERN_GPT4O}},
    {" tekken ", NORMAL_NONE, true, {PATTERN_TEKKEN}},
    {" deepseek-v3 ",
     NORMAL_NONE,
     false,
     {"\\p{N}{1,3}", "[\\u4E00-\\u9FA5\\u3040-\\u309F\\u30A0-\\u30FF]+", PATTERN_DEEPSEEK3}},
    {" deepseek-coder ",
     NORMAL_NONE,
     false,
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[\\u4E00-\\u9FA5\\u0800-\\u4E00\\uAC00-\\uD7FF]+",
      "\\p{N}"}},
    /* what llama.cpp does with a file that does not say; the model was hardly trained with it */
    {" default ",
     NORMAL_NONE,
     false,
     {"[\\p{P}\\$\\+<=>\\^~\\|]+", PATTERN_GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
};

static const struct named_pretokenizer *find_known(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        const struct str names = str_of(known[i].names);

        for (size_t at = 1; at < names.len;) {
            const size_t end = str_find(names, STR(" "), at);

            if (str_eq(name, (struct str){names.ptr + at, end - at}))
                return &known[i];
            at = end + 1;
        }
    }
    return NULL;
}

bool tokenizer_named_pre(struct str name, struct named_pre *out)
{
    const struct named_pretokenizer *k = find_known(name.len == 0 ? STR("default") : name);

    if (k == NULL)
        return false;
    *out = (struct named_pre){
        .patterns = k->patterns, .nfc = k->form == NORMAL_NFC, .ignore_merges = k->ignore_merges};
    while (out->n < COUNT_OF(k->patterns) && k->patterns[out->n] != NULL)
        out->n++;
    return true;
}

const char *tokenizer_pattern_gpt2(void)
{
    return PATTERN_GPT2;
}

bool tokenizer_pre_name(const struct named_pre *steps, struct str *out)
{
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        const struct named_pretokenizer *k = &known[i];
        bool same =
            (k->form == NORMAL_NFC) == steps->nfc && k->ignore_merges == steps->ignore_merges;

        for (size_t p = 0; same && p < COUNT_OF(k->patterns); p++)
            same = p < steps->n
                       ? k->patterns[p] != NULL && strcmp(k->patterns[p], steps->patterns[p]) == 0
                       : k->patterns[p] == NULL;
        if (same && steps->n <= COUNT_OF(k->patterns)) {
            *out = str_from(str_of(k->names), 1);
            out->len = str_find(*out, STR(" "), 0);
            return true;
        }
    }
    return false;
}

bool pretokenizer_named(struct str name, struct pretokenizer *out, enum normal_form *form,
                        bool *ignore_merges, struct error *err)
{
    const struct named_pretokenizer *k = find_known(name.len == 0 ? STR("default") : name);
    struct pretokenizer p = {0};

    if (k == NULL)
        return fail_param(err, ERR_UNSUPPORTED, "tokenizer.ggml.pre",
                          "the pre-tokenizer \"" STR_FMT
                          "\" is not offered; a folder with tokenizer.json may be",
                          (int)size_min(name.len, 100), name.ptr);
    for (size_t i = 0; i < COUNT_OF(k->patterns) && k->patterns[i] != NULL; i++) {
        if (!pretokenizer_split(&p, str_of(k->patterns[i]), SPLIT_ISOLATED, false, err)) {
            pretokenizer_release(&p);
            return false;
        }
    }
    *out = p;
    *form = k->form;
    *ignore_merges = k->ignore_merges;
    return true;
}

/* GGUF's types of tokens: unknown and control tokens are special, user-defined ones are cut out of the text, too. */
enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TYPE_BYTE = 6 };

static bool is_added(int32_t type)
{
    return type == TYPE_UNKNOWN || type == TYPE_CONTROL || type == TYPE_USER_DEFINED;
}

static bool spec_parts(const struct tokenizer_spec *spec, struct arena *a,
                       struct tokenizer_parts *p, struct error *err)
{
    struct added_token *added =
        arena_try(a, spec->n_tokens, sizeof *added, "the tokenizer's tokens", err);
    struct str *spelling =
        arena_try(a, spec->n_tokens, sizeof *spelling, "the tokenizer's tokens", err);
    struct merge_pair *merges =
        arena_try(a, spec->n_merges, sizeof *merges, "the tokenizer's merges", err);

    if (added == NULL || spelling == NULL || merges == NULL)
        return false;
    for (size_t i = 0; i < spec->n_tokens; i++) {
        spelling[i] = spec->tokens[i].len > 0 ? spec->tokens[i] : (struct str){NULL, 0};
        if (spec->types != NULL && is_added(spec->types[i]) && spelling[i].len > 0)
            added[p->n_added++] =
                (struct added_token){.text = spelling[i],
                                     .id = (token_id)i,
                                     .special = spec->types[i] != TYPE_USER_DEFINED};
    }
    for (size_t i = 0; i < spec->n_merges; i++)
        if (!merge_from_text(spec->merges[i], p->what, i, &merges[i], err))
            return false;
    p->n_tokens = spec->n_tokens;
    p->spelling = spelling;
    p->added = added;
    p->n_merges = spec->n_merges;
    p->merges = merges;
    return true;
}

static bool spec_bytes(const struct tokenizer_spec *spec, struct arena *a,
                       struct tokenizer_parts *p, struct error *err)
{
    enum normal_form form;

    return spec_parts(spec, a, p, err) &&
           pretokenizer_named(spec->pre, &p->pre, &form, &p->ignore_merges, err) &&
           normal_chain_add(&p->normal, &(struct normal_step){.kind = NORMAL_FORM, .form = form},
                            err);
}

/* ---- "llama": SentencePiece's BPE, whose vocabulary says in what order pairs are merged ---- */

#define SIGN "\xE2\x96\x81"               /* stands for a blank */
#define LIMIT_CUT_BYTES ((size_t)1 << 30) /* of tokens cut in two at each place, halves counted */

struct joining {
    const struct tokenizer_spec *spec;
    struct text_table tokens; /* those that plain text may become */
    uint32_t *loose;          /* characters that only longer tokens have, in order */
    size_t n_loose;
    struct bpe_merge *joins;
    size_t n_joins;
};

/* Control tokens are never made of plain text, nor are bytes of their names; SentencePiece holds it so, too. */
static bool is_plain(const struct tokenizer_spec *spec, size_t id)
{
    const int32_t type = spec->types == NULL ? 0 : spec->types[id];

    return spec->tokens[id].len > 0 && type != TYPE_UNKNOWN && type != TYPE_CONTROL &&
           type != TYPE_BYTE;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The token or the loose character that s is; -1: neither. */
static token_id half(const struct joining *j, struct str s)
{
    const token_id id = text_table_find(&j->tokens, s);
    size_t at = 0;

    if (id >= 0)
        return id;
    const uint32_t c = utf8_next(s, &at);
    const uint32_t *place =
        at == s.len ? bsearch(&c, j->loose, j->n_loose, sizeof *j->loose, by_number) : NULL;
    return place == NULL ? -1 : (token_id)(j->spec->n_tokens + (size_t)(place - j->loose));
}

/* Finds the characters that are no tokens, each once. */
static bool find_loose(struct joining *j, size_t n_characters, struct arena *a, struct error *err)
{
    size_t n = 0;

    j->loose = arena_try(a, n_characters, sizeof *j->loose, "the tokenizer's characters", err);
    if (j->loose == NULL)
        return false;
    for (size_t i = 0; i < j->spec->n_tokens; i++) {
        const struct str token = j->spec->tokens[i];

        for (size_t at = 0; is_plain(j->spec, i) && at < token.len;) {
            const size_t from = at;
            const uint32_t c = utf8_next(token, &at);

            if (text_table_find(&j->tokens, (struct str){token.ptr + from, at - from}) < 0)
                j->loose[n++] = c;
        }
    }
    if (n > 1)
        qsort(j->loose, n, sizeof *j->loose, by_number);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || j->loose[i] != j->loose[i - 1])
            j->loose[j->n_loose++] = j->loose[i];
    return true;
}

/* UTF-8, so that characters can be counted; and not so long that cutting at each place takes minutes. */
static bool check_tokens(const struct tokenizer_spec *spec, size_t *n_characters, struct error *err)
{
    size_t cut_bytes = 0;

    *n_characters = 0;
    for (size_t i = 0; i < spec->n_tokens; i++) {
        const struct str token = spec->tokens[i];

        if (token.len > LIMIT_TOKEN_BYTES)
            return fail(err, ERR_LIMIT, "token %zu has %zu bytes, more than the %zu allowed", i,
                        token.len, LIMIT_TOKEN_BYTES);
        if (utf8_valid(token) != token.len)
            return fail(err, ERR_CORRUPT, "token %zu is not UTF-8", i);
        if (spec->scores[i] != spec->scores[i])
            return fail(err, ERR_CORRUPT, "the score of token %zu is not a number", i);
        cut_bytes += token.len * token.len;
        if (cut_bytes > LIMIT_CUT_BYTES)
            return fail(err, ERR_LIMIT, "the tokens are too long to find out how they are merged");
        for (size_t at = 0; at < token.len; (*n_characters)++)
            (void)utf8_next(token, &at);
    }
    return true;
}

static int by_score(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x < y) - (x > y);
}

/* rank[id]: how many different scores are greater. */
static bool rank_scores(const struct tokenizer_spec *spec, struct arena *a, uint32_t **out,
                        struct error *err)
{
    const size_t n = spec->n_tokens;
    float *sorted = arena_try(a, n, sizeof *sorted, "the tokenizer's scores", err);
    uint32_t *rank = arena_try(a, n, sizeof *rank, "the tokenizer's scores", err);
    size_t n_different = 0;

    if (sorted == NULL || rank == NULL)
        return false;
    if (n > 0)
        memcpy(sorted, spec->scores, n * sizeof *sorted);
    if (n > 1)
        qsort(sorted, n, sizeof *sorted, by_score);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || sorted[i] < sorted[n_different - 1])
            sorted[n_different++] = sorted[i];
    for (size_t i = 0; i < n; i++) {
        size_t low = 0;

        for (size_t high = n_different; low < high;) {
            const size_t middle = (low + high) / 2;

            if (sorted[middle] > spec->scores[i])
                low = middle + 1;
            else
                high = middle;
        }
        rank[i] = (uint32_t)low;
    }
    *out = rank;
    return true;
}

/* Each way to cut a token into two is a merge. */
static bool find_joins(struct joining *j, size_t n_characters, struct arena *a, struct error *err)
{
    uint32_t *rank;

    j->joins = arena_try(a, n_characters, sizeof *j->joins, "the tokenizer's merges", err);
    if (j->joins == NULL || !rank_scores(j->spec, a, &rank, err))
        return false;
    for (size_t i = 0; i < j->spec->n_tokens; i++) {
        const struct str token = j->spec->tokens[i];
        size_t at = 0;

        if (!is_plain(j->spec, i))
            continue;
        for ((void)utf8_next(token, &at); at < token.len; (void)utf8_next(token, &at)) {
            const token_id left = half(j, (struct str){token.ptr, at}),
                           right = left < 0 ? -1 : half(j, str_from(token, at));

            if (right >= 0)
                j->joins[j->n_joins++] = (struct bpe_merge){left, right, (token_id)i, rank[i]};
        }
    }
    return true;
}

/* The order of merges, from the scores. */
static bool spec_joins(const struct tokenizer_spec *spec, struct arena *a,
                       struct tokenizer_parts *p, struct error *err)
{
    struct joining j = {.spec = spec};
    size_t n_characters;
    token_id before;

    if (spec->scores == NULL)
        return fail(err, ERR_CORRUPT, "the tokens have no scores, which say how they are merged");
    if (!check_tokens(spec, &n_characters, err) ||
        !text_table_init(&j.tokens, spec->tokens, spec->n_tokens, a, err))
        return false;
    for (size_t i = 0; i < spec->n_tokens; i++)
        if (is_plain(spec, i) && !text_table_put(&j.tokens, (token_id)i, &before, err))
            return false;
    if (!find_loose(&j, n_characters, a, err) || !find_joins(&j, n_characters, a, err))
        return false;
    p->joins = j.joins;
    p->n_joins = j.n_joins;
    p->loose = j.loose;
    p->n_loose = j.n_loose;
    return true;
}

/* What SentencePiece does around its BPE, and llama.cpp with it. */
static bool spec_characters(const struct tokenizer_spec *spec, struct arena *a,
                            struct tokenizer_parts *p, struct error *err)
{
    const bool has_merges = str_is(spec->model, "gemma4");
    const bool prefix = spec->prefix_blank && !has_merges;
    struct token_decoder *d = &p->decoder;

    p->kind = TOKENIZER_CHARACTERS;
    p->byte_fallback = true;
    p->fuse_unknown = true;
    if (!spec_parts(spec, a, p, err) || (!has_merges && !spec_joins(spec, a, p, err)))
        return false;
    for (size_t i = 0; i < spec->n_tokens && p->unknown.len == 0; i++)
        if (spec->types != NULL && spec->types[i] == TYPE_UNKNOWN)
            p->unknown = spec->tokens[i];
    if (prefix)
        d->whole = (struct token_decoder_step){.kind = DECODE_STRIP, .from = STR(" "), .start = 1};
    return (!prefix ||
            normal_chain_add(
                &p->normal, &(struct normal_step){.kind = NORMAL_PREPEND, .to = STR(SIGN)}, err)) &&
           normal_chain_add(
               &p->normal,
               &(struct normal_step){.kind = NORMAL_REPLACE, .from = STR(" "), .to = STR(SIGN)},
               err) &&
           token_decoder_add(d,
                             (struct token_decoder_step){
                                 .kind = DECODE_REPLACE, .from = STR(SIGN), .to = STR(" ")},
                             err) &&
           token_decoder_add(d, (struct token_decoder_step){.kind = DECODE_BYTES}, err);
}

/*
 * llama.cpp writes "##ing" as "ing" and "the" as "\u2581the" (SentencePiece's blank), and leaves special tokens as they
 * are: those of type unknown or control, in older files all that stand in brackets. Here that is undone.
 */
static struct str word_spelling(struct str token, int32_t type, struct arena *a)
{
    static const struct str blank = {"\xE2\x96\x81", 3};

    if (token.len == 0)
        return (struct str){NULL, 0};
    if (is_added(type) || (token.len > 2 && token.ptr[0] == '[' && token.ptr[token.len - 1] == ']'))
        return token;
    if (str_starts(token, blank) && token.len > blank.len)
        return str_from(token, blank.len);
    char *spelling = arena_alloc(a, 2 + token.len);
    memcpy(spelling, "##", 2);
    memcpy(spelling + 2, token.ptr, token.len);
    return (struct str){spelling, 2 + token.len};
}

static bool named_by_id(const struct tokenizer_parts *p, const token_id *id, struct str name,
                        struct str *out, struct error *err)
{
    *out = name;
    if (id == NULL)
        return true;
    if (*id < 0 || (size_t)*id >= p->n_tokens || p->spelling[*id].ptr == NULL)
        return fail(err, ERR_CORRUPT, "%s: the id %d, given for %s, is no token", p->what, *id,
                    name.ptr);
    *out = p->spelling[*id];
    return true;
}

/*
 * GGUF does not say whether capitals become small letters, and llama.cpp makes them small whatever the model is. But a
 * vocabulary that was made of small letters has no capital, and one of both has thousands.
 */
static bool has_capitals(const struct tokenizer_parts *p, const int32_t *types)
{
    for (size_t i = 0; i < p->n_tokens; i++) {
        const struct str s = p->spelling[i];

        if (s.len == 0 || s.ptr[0] == '[' || (types != NULL && is_added(types[i])))
            continue;
        for (size_t k = 0; k < s.len; k++)
            if (s.ptr[k] >= 'A' && s.ptr[k] <= 'Z')
                return true;
    }
    return false;
}

static bool spec_words(const struct tokenizer_spec *spec, struct arena *a,
                       struct tokenizer_parts *p, struct wordpiece_parts *w, struct error *err)
{
    struct added_token *added =
        arena_try(a, spec->n_tokens, sizeof *added, "the tokenizer's tokens", err);
    struct str *spelling =
        arena_try(a, spec->n_tokens, sizeof *spelling, "the tokenizer's tokens", err);

    if (added == NULL || spelling == NULL)
        return false;
    for (size_t i = 0; i < spec->n_tokens; i++) {
        const int32_t type = spec->types == NULL ? 0 : spec->types[i];

        if (spec->tokens[i].len > LIMIT_TOKEN_BYTES)
            return fail(err, ERR_LIMIT, "%s: token %zu has %zu bytes, more than the %zu allowed",
                        p->what, i, spec->tokens[i].len, LIMIT_TOKEN_BYTES);
        spelling[i] = word_spelling(spec->tokens[i], type, a);
        if (is_added(type) && spelling[i].len > 0)
            added[p->n_added++] = (struct added_token){
                .text = spelling[i], .id = (token_id)i, .special = type != TYPE_USER_DEFINED};
    }
    p->n_tokens = spec->n_tokens;
    p->spelling = spelling;
    p->added = added;
    p->kind = TOKENIZER_WORDS;
    p->wordpiece = w;
    const bool lower = !has_capitals(p, spec->types);
    *w = (struct wordpiece_parts){
        .normalizer = {.clean = true, .part_han = true, .strip_accents = lower, .lower = lower},
        .prefix = STR("##"),
        .max_chars = WORDPIECE_MAX_CHARS};
    return named_by_id(p, spec->unknown, STR("[UNK]"), &p->unknown, err) &&
           named_by_id(p, spec->first, STR("[CLS]"), &w->first, err) &&
           named_by_id(p, spec->last, STR("[SEP]"), &w->last, err);
}

bool tokenizer_open(const struct tokenizer_spec *spec, struct tokenizer **out, struct error *err)
{
    struct tokenizer_parts parts = {.what = "the model's tokenizer"};
    struct arena a = {0};
    bool ok;

    struct wordpiece_parts words;
    const bool is_bytes = str_is(spec->model, "gpt2"), is_words = str_is(spec->model, "bert");

    if (!is_bytes && !is_words && !str_is(spec->model, "llama") && !str_is(spec->model, "gemma4"))
        return fail_param(
            err, ERR_UNSUPPORTED, "tokenizer.ggml.model",
            "the tokenizer model \"" STR_FMT
            "\" is not offered, only byte-level BPE (\"gpt2\"), SentencePiece's BPE (\"llama\", "
            "\"gemma4\") and WordPiece (\"bert\") are",
            (int)size_min(spec->model.len, 100), spec->model.ptr);
    if (spec->n_tokens > LIMIT_VOCAB || spec->n_merges > LIMIT_MERGES)
        return fail(err, ERR_LIMIT,
                    "%zu tokens and %zu merges are more than the %zu and %zu allowed",
                    spec->n_tokens, spec->n_merges, LIMIT_VOCAB, LIMIT_MERGES);
    ok = (is_bytes   ? spec_bytes(spec, &a, &parts, err)
          : is_words ? spec_words(spec, &a, &parts, &words, err)
                     : spec_characters(spec, &a, &parts, err)) &&
         tokenizer_build(&parts, out, err);
    pretokenizer_release(&parts.pre);
    normal_chain_release(&parts.normal);
    arena_release(&a);
    return ok;
}
