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
#include "text/tokenizer_internal.h"

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BLANKS "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SIGNS " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define PATTERN_LLAMA3 CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" SIGNS "|" BLANKS
#define PATTERN_QWEN2 CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" SIGNS "|" BLANKS
#define PATTERN_QWEN35                                                                             \
    CONTRACTION                                                                                    \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" BLANKS
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
    const char *names; /* each between blanks */
    enum normal_form form;
    bool ignore_merges;
    const char *patterns[5];
} known[] = {
    {" smollm starcoder refact codeshell ", NORMAL_NONE, false, {"\\p{N}", PATTERN_GPT2}},
    {" command-r ", NORMAL_NFC, false, {"\\p{N}", PATTERN_GPT2}},
    {" gpt-2 phi-2 mpt olmo jais ", NORMAL_NONE, false, {PATTERN_GPT2}},
    {" llama3 llama-v3 llama-bpe ", NORMAL_NONE, true, {PATTERN_LLAMA3}},
    {" glm4 chatglm-bpe ", NORMAL_NONE, false, {PATTERN_LLAMA3}},
    {" qwen2 ", NORMAL_NFC, false, {PATTERN_QWEN2}},
    {" deepseek-r1-qwen ", NORMAL_NONE, false, {PATTERN_QWEN2}},
    {" qwen35 ", NORMAL_NFC, false, {PATTERN_QWEN35}},
    {" gpt-4o ", NORMAL_NONE, false, {PATTERN_GPT4O}},
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
enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4 };

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
    enum normal_form form;
    return pretokenizer_named(spec->pre, &p->pre, &form, &p->ignore_merges, err) &&
           normal_chain_add(&p->normal, &(struct normal_step){.kind = NORMAL_FORM, .form = form},
                            err);
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
    const bool is_bpe = str_is(spec->model, "gpt2");

    if (!is_bpe && !str_is(spec->model, "bert"))
        return fail_param(
            err, ERR_UNSUPPORTED, "tokenizer.ggml.model",
            "the tokenizer model \"" STR_FMT
            "\" is not offered, only byte-level BPE (\"gpt2\") and WordPiece (\"bert\") are",
            (int)size_min(spec->model.len, 100), spec->model.ptr);
    if (spec->n_tokens > LIMIT_VOCAB || spec->n_merges > LIMIT_MERGES)
        return fail(err, ERR_LIMIT,
                    "%zu tokens and %zu merges are more than the %zu and %zu allowed",
                    spec->n_tokens, spec->n_merges, LIMIT_VOCAB, LIMIT_MERGES);
    ok = (is_bpe ? spec_parts(spec, &a, &parts, err) : spec_words(spec, &a, &parts, &words, err)) &&
         tokenizer_build(&parts, out, err);
    arena_release(&a);
    return ok;
}
