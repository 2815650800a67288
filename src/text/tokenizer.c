/*
 * tokenizer.c - builds a tokenizer of its parts, encodes and decodes.
 *
 * BPE: most pieces of real text are tokens by themselves. So the tokens whose own bytes merge into just that token are found
 * once, when the tokenizer is built, and kept in a table: such a piece costs one look-up, and only the others are
 * merged.
 */
#include "text/tokenizer.h"
#include "base/limits.h"
#include "base/size.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/text_table.h"
#include "text/tokenizer_internal.h"
#include "text/unigram.h"

#include <stdio.h>
#include <stdlib.h>

#define WHOLE_BYTES                                                                                \
    64 /* longer tokens are rare: merging them to see whether they are whole is not worth it */
#define LIMIT_DECODED_BYTES ((size_t)256 << 20) /* of all tokens together */

enum token_flags {
    IN_MODEL = 1, /* in the model's own vocabulary: merges may name it */
    IS_ADDED = 2,
    IS_SPECIAL = 4,
};

struct tokenizer {
    struct arena arena; /* all that follows, and this */
    size_t n_tokens;
    struct str
        *names; /* [n_tokens] spelling, or an added token's text; len 0: there is no such token */
    struct str *bytes; /* [n_tokens] what the id stands for */
    uint8_t *flags;    /* [n_tokens] enum token_flags */
    struct text_table by_name, whole;
    size_t whole_bytes; /* of the longest in whole */
    struct bpe bpe;
    bool ignore_merges;
    struct added_cutter raw, normalized;
    struct normal_chain normal;
    struct pretokenizer pre;
    bool needs_first; /* pre treats what a text begins with in a way of its own */
    enum tokenizer_kind kind;
    struct bpe_characters characters; /* of TOKENIZER_CHARACTERS */
    struct unigram unigram;           /* of TOKENIZER_UNIGRAM */
    struct wordpiece wordpiece;       /* of TOKENIZER_WORDS */
    struct token_ends ends;
    struct token_decoder decoder;
    struct str *spelled; /* [n_tokens] what decoder decodes; NULL: it has nothing to do */
};

bool token_list_reserve(struct token_list *l, size_t n, struct error *err)
{
    size_t need, size;

    if (n <= l->cap - l->n)
        return true;
    if (!size_add(l->n, n, &need))
        need = SIZE_MAX;
    const size_t cap = size_max(need, l->cap + l->cap / 2 + 64);
    token_id *more = size_mul(cap, sizeof *more, &size) ? realloc(l->ids, size) : NULL;

    if (more == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a list of %zu tokens", cap);
    l->ids = more;
    l->cap = cap;
    return true;
}

void token_list_put(struct token_list *l, token_id id)
{
    if (!token_list_reserve(l, 1, NULL)) {
        fprintf(stderr, "hone: out of memory for a list of tokens\n");
        abort();
    }
    l->ids[l->n++] = id;
}

void token_list_release(struct token_list *l)
{
    free(l->ids);
    *l = (struct token_list){0};
}

/*
 * GPT-2's alphabet: the printable characters of Latin-1 stand for themselves, the other 68 bytes for U+0100 and on,
 * in order.
 */
static bool is_own_letter(uint32_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
           (byte >= 0xAE && byte <= 0xFF);
}

uint32_t byte_to_letter(unsigned char byte)
{
    uint32_t letter = 0x100;

    if (is_own_letter(byte))
        return byte;
    for (uint32_t b = 0; b < byte; b++)
        letter += !is_own_letter(b);
    return letter;
}

int letter_to_byte(uint32_t letter)
{
    if (letter < 0x100)
        return is_own_letter(letter) ? (int)letter : -1;
    if (letter <= 0x120)
        return (int)letter - 0x100; /* 00 to 20 */
    if (letter <= 0x142)
        return (int)letter - 0x121 + 0x7F; /* 7F to A0 */
    return letter == 0x143 ? 0xAD : -1;
}

/*
 * Writes the bytes that a spelling stands for, at most as many as it has; false where a letter is not of the alphabet.
 */
static bool spelled_bytes(struct str spelling, char *out, size_t *n)
{
    *n = 0;
    for (size_t at = 0; at < spelling.len;) {
        const int byte = letter_to_byte(utf8_next(spelling, &at));

        if (byte < 0)
            return false;
        out[(*n)++] = (char)byte;
    }
    return true;
}

bool merge_from_text(struct str text, const char *what, size_t number, struct merge_pair *out,
                     struct error *err)
{
    const size_t blank = str_find(text, STR(" "), 0);

    if (blank == text.len || str_find(text, STR(" "), blank + 1) != text.len)
        return fail(err, ERR_CORRUPT,
                    "%s: merge %zu is \"" STR_FMT
                    "\", two tokens with a blank between were expected",
                    what, number, (int)size_min(text.len, 100), text.ptr);
    *out = (struct merge_pair){{text.ptr, blank}, str_from(text, blank + 1)};
    return true;
}

static bool check_name(const char *what, size_t id, struct str name, struct error *err)
{
    if (name.len > LIMIT_TOKEN_BYTES)
        return fail(err, ERR_LIMIT, "%s: token %zu has %zu bytes, more than the %zu allowed", what,
                    id, name.len, LIMIT_TOKEN_BYTES);
    if (utf8_valid(name) != name.len)
        return fail(err, ERR_CORRUPT, "%s: token %zu is not UTF-8", what, id);
    return true;
}

/* Copies the spellings and the added tokens' texts into one block: names[] and flags[]. */
static bool take_names(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    size_t n_bytes = 0;

    for (size_t i = 0; i < p->n_tokens; i++) {
        if (!check_name(p->what, i, p->spelling[i], err))
            return false;
        n_bytes += p->spelling[i].len; /* at most LIMIT_VOCAB * LIMIT_TOKEN_BYTES */
    }
    for (size_t i = 0; i < p->n_added; i++)
        n_bytes += p->added[i].text.len; /* each was checked against LIMIT_ADDED_BYTES */
    char *block = arena_try(&t->arena, n_bytes + 1, 1, "the tokenizer's tokens", err);
    if (block == NULL)
        return false;
    for (size_t i = 0; i < p->n_tokens; i++) {
        if (p->spelling[i].ptr == NULL)
            continue;
        memcpy(block, p->spelling[i].ptr, p->spelling[i].len);
        t->names[i] = (struct str){block, p->spelling[i].len};
        t->flags[i] = IN_MODEL;
        block += p->spelling[i].len;
    }
    for (size_t i = 0; i < p->n_added; i++) {
        const struct added_token *a = &p->added[i];

        if (t->flags[a->id] != 0 && !str_eq(t->names[a->id], a->text))
            return fail(err, ERR_CORRUPT,
                        "%s: token %d is \"" STR_FMT "\" in one place and \"" STR_FMT
                        "\" in another",
                        p->what, a->id, (int)size_min(t->names[a->id].len, 100),
                        t->names[a->id].ptr, (int)size_min(a->text.len, 100), a->text.ptr);
        memcpy(block, a->text.ptr, a->text.len);
        t->names[a->id] = (struct str){block, a->text.len};
        t->flags[a->id] |= (uint8_t)(IS_ADDED | (a->special ? IS_SPECIAL : 0));
        block += a->text.len;
    }
    return true;
}

static bool index_names(struct tokenizer *t, const char *what, struct error *err)
{
    if (!text_table_init(&t->by_name, t->names, t->n_tokens, &t->arena, err))
        return false;
    for (size_t i = 0; i < t->n_tokens; i++) {
        token_id before = -1;

        if (t->flags[i] == 0)
            continue;
        if (!text_table_put(&t->by_name, (token_id)i, &before, err))
            return false;
        if (before >= 0)
            return fail(err, ERR_CORRUPT, "%s: tokens %d and %zu are both \"" STR_FMT "\"", what,
                        before, i, (int)size_min(t->names[i].len, 100), t->names[i].ptr);
    }
    return true;
}

/*
 * bytes[]: a token that is not spelled in the alphabet stands for its own text, as in the reference; so does an added
 * one, which is found in the text by it, unless it is the token of a single byte.
 */
static bool take_bytes(struct tokenizer *t, struct error *err)
{
    size_t n_bytes = 1;

    for (size_t i = 0; i < t->n_tokens; i++)
        n_bytes += t->names[i].len;
    char *block = arena_try(&t->arena, n_bytes, 1, "the tokenizer's tokens", err);
    if (block == NULL)
        return false;
    for (size_t i = 0; i < t->n_tokens; i++) {
        size_t n;

        if (!spelled_bytes(t->names[i], block, &n) || ((t->flags[i] & IS_ADDED) != 0 && n != 1)) {
            t->bytes[i] = t->names[i];
        } else {
            t->bytes[i] = (struct str){block, n};
            block += n;
        }
        if (t->bytes[i].ptr == NULL)
            t->bytes[i] = STR("");
    }
    return true;
}

/*
 * bytes[] of WordPiece: what begins a word stands for a blank and itself, what goes on with one for what follows its
 * prefix.
 */
static bool take_word_bytes(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    const struct str prefix = p->wordpiece->prefix;
    size_t n_bytes = t->n_tokens;

    for (size_t i = 0; i < t->n_tokens; i++)
        n_bytes += t->names[i].len;
    char *block = arena_try(&t->arena, n_bytes, 1, "the tokenizer's tokens", err);
    if (block == NULL)
        return false;
    for (size_t i = 0; i < t->n_tokens; i++) {
        const struct str name = t->names[i];

        if (name.ptr == NULL) {
            t->bytes[i] = STR("");
        } else if ((t->flags[i] & IS_ADDED) != 0) {
            t->bytes[i] = name;
        } else if (str_starts(name, prefix)) {
            t->bytes[i] = str_from(name, prefix.len);
        } else {
            block[0] = ' ';
            memcpy(block + 1, name.ptr, name.len);
            t->bytes[i] = (struct str){block, 1 + name.len};
            block += t->bytes[i].len;
        }
    }
    return true;
}

/* bytes[] where tokens are spelled as they are read, but for a sign that stands for a blank, and bytes like <0x0A>. */
static bool take_decoded_bytes(struct tokenizer *t, struct error *err)
{
    struct buf all;
    size_t *ends = arena_try(&t->arena, t->n_tokens, sizeof *ends, "the tokenizer's tokens", err);

    t->spelled =
        arena_try(&t->arena, t->n_tokens, sizeof *t->spelled, "the tokenizer's tokens", err);
    if (ends == NULL || t->spelled == NULL)
        return false;
    buf_init(&all, LIMIT_DECODED_BYTES);
    for (size_t i = 0; i < t->n_tokens; i++) {
        t->spelled[i] = t->names[i].ptr == NULL ? STR("") : t->names[i];
        token_decoder_put(&t->decoder, t->spelled[i], false, &all);
        ends[i] = all.len;
    }
    const bool ok = buf_ok(&all, "the tokens' texts", err);
    const struct str block = !ok || all.len == 0 ? STR("") : arena_str(&t->arena, buf_view(&all));
    buf_release(&all);
    for (size_t i = 0; ok && i < t->n_tokens; i++) {
        const size_t from = i == 0 ? 0 : ends[i - 1];

        t->bytes[i] = (struct str){block.ptr + from, ends[i] - from};
    }
    return ok;
}

/* An added token is found in normalised text, and stands for what stood there. */
static void take_normal_text(struct tokenizer *t, token_id id, struct str text)
{
    struct buf decoded;

    t->bytes[id] = text;
    if (t->spelled == NULL)
        return;
    t->spelled[id] = text;
    buf_init(&decoded, LIMIT_DECODED_BYTES);
    token_decoder_put(&t->decoder, text, false, &decoded);
    t->bytes[id] = decoded.len == 0 ? STR("") : arena_str(&t->arena, buf_view(&decoded));
    buf_release(&decoded);
}

static token_id find_in_model(const struct tokenizer *t, struct str spelling)
{
    const token_id id = text_table_find(&t->by_name, spelling);

    return id >= 0 && (t->flags[id] & IN_MODEL) != 0 ? id : -1;
}

static bool take_merges(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    struct arena scratch = {0};
    struct bpe_merge *merges =
        arena_try(&scratch, p->n_merges, sizeof *merges, "the tokenizer's merges", err);
    char *both = arena_alloc(&scratch, 2 * LIMIT_TOKEN_BYTES);
    bool ok = merges != NULL;

    for (size_t i = 0; ok && i < p->n_merges; i++) {
        const struct merge_pair m = p->merges[i];

        if (m.left.len > LIMIT_TOKEN_BYTES || m.right.len > LIMIT_TOKEN_BYTES) {
            ok = fail(err, ERR_LIMIT, "%s: merge %zu is longer than a token may be", p->what, i);
            break;
        }
        memcpy(both, m.left.ptr, m.left.len);
        memcpy(both + m.left.len, m.right.ptr, m.right.len);
        merges[i] = (struct bpe_merge){
            find_in_model(t, m.left), find_in_model(t, m.right),
            find_in_model(t, (struct str){both, m.left.len + m.right.len}), (uint32_t)i};
        if (merges[i].left < 0 || merges[i].right < 0 || merges[i].made < 0)
            ok = fail(err, ERR_CORRUPT,
                      "%s: merge %zu joins \"" STR_FMT "\" and \"" STR_FMT "\": %s is not a token",
                      p->what, i, (int)size_min(m.left.len, 100), m.left.ptr,
                      (int)size_min(m.right.len, 100), m.right.ptr,
                      merges[i].left < 0    ? "the first"
                      : merges[i].right < 0 ? "the second"
                                            : "the result");
    }
    ok = ok && bpe_build(&t->bpe, merges, p->n_merges, &t->arena, err);
    arena_release(&scratch);
    return ok;
}

static void take_alphabet(struct tokenizer *t)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char letter[4];
        const size_t n = utf8_write(byte_to_letter((unsigned char)byte), letter);

        t->bpe.of_byte[byte] = find_in_model(t, (struct str){letter, n});
    }
}

static bool take_unknown(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    t->bpe.unknown = p->unknown.len == 0 ? -1 : find_in_model(t, p->unknown);
    t->bpe.fuse_unknown = p->fuse_unknown;
    return p->unknown.len == 0 || t->bpe.unknown >= 0 ||
           fail(err, ERR_CORRUPT, "%s: the unknown token \"" STR_FMT "\" is not in the vocabulary",
                p->what, (int)size_min(p->unknown.len, 100), p->unknown.ptr);
}

/* One of the tokens around a text, by its name. */
static bool take_end(const struct tokenizer *t, const struct tokenizer_parts *p, struct str name,
                     token_id *out, struct error *err)
{
    *out = name.len == 0 ? -1 : text_table_find(&t->by_name, name);
    return name.len == 0 || *out >= 0 ||
           fail(err, ERR_CORRUPT, "%s: \"" STR_FMT "\", put around a text, is not a token", p->what,
                (int)size_min(name.len, 100), name.ptr);
}

static bool take_wordpiece(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    const struct wordpiece_parts *w = p->wordpiece;

    t->wordpiece.max_chars = w->max_chars;
    t->wordpiece.unknown = find_in_model(t, p->unknown);
    if (t->wordpiece.unknown < 0)
        return fail(err, ERR_CORRUPT,
                    "%s: the unknown token \"" STR_FMT "\" is not in the vocabulary", p->what,
                    (int)size_min(p->unknown.len, 100), p->unknown.ptr);
    struct str *model = arena_try(&t->arena, t->n_tokens, sizeof *model, "the tokens", err);
    for (size_t i = 0; model != NULL && i < t->n_tokens; i++)
        model[i] = (t->flags[i] & IN_MODEL) != 0 ? t->names[i] : (struct str){NULL, 0};
    return model != NULL && take_word_bytes(t, p, err) &&
           wordpiece_build(&t->wordpiece, model, t->n_tokens, w->prefix, &t->arena, err) &&
           take_end(t, p, w->first, &t->ends.first, err) &&
           take_end(t, p, w->last, &t->ends.last, err);
}

/* Does what the token is in a text merge into that token? */
static bool is_whole(const struct tokenizer *t, token_id id, struct bpe_scratch *scratch,
                     struct token_list *list)
{
    list->n = 0;
    return bpe_encode(&t->bpe, t->whole.texts[id], scratch, list, NULL) && list->n == 1 &&
           list->ids[0] == id;
}

/* Is bytes[id] what the model's vocabulary means by the token's spelling? */
static bool is_spelled(const struct tokenizer *t, size_t id)
{
    if (t->bytes[id].ptr != t->names[id].ptr)
        return true;
    for (size_t i = 0; i < t->names[id].len;
         i++) /* an added token's own text: these stand for themselves */
        if (t->names[id].ptr[i] < '!' || t->names[id].ptr[i] > '~')
            return false;
    return true;
}

static bool find_whole(struct tokenizer *t, struct error *err)
{
    const struct str *texts = t->kind == TOKENIZER_BYTES ? t->bytes : t->names;
    struct token_list list = {0};
    struct bpe_scratch scratch = {0};
    bool ok = text_table_init(&t->whole, texts, t->n_tokens, &t->arena, err);

    for (size_t i = 0; ok && i < t->n_tokens; i++) {
        token_id before;

        if ((t->flags[i] & IN_MODEL) == 0 || texts[i].len == 0 ||
            (t->kind == TOKENIZER_BYTES && !is_spelled(t, i)))
            continue;
        if (t->ignore_merges
                ? (t->flags[i] & IS_SPECIAL) != 0 /* nobody can forge one */
                : texts[i].len > WHOLE_BYTES || !is_whole(t, (token_id)i, &scratch, &list))
            continue;
        ok = text_table_put(&t->whole, (token_id)i, &before, err);
        t->whole_bytes = size_max(t->whole_bytes, texts[i].len);
    }
    bpe_scratch_release(&scratch);
    token_list_release(&list);
    return ok;
}

static bool take_bpe(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    take_alphabet(t);
    return take_unknown(t, p, err) && take_bytes(t, err) && take_merges(t, p, err) &&
           find_whole(t, err);
}

/* The tokens of single bytes, "<0x00>" to "<0xFF>"; -1 where there is none. */
static void take_fallback(const struct tokenizer *t, token_id of_byte[256])
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];

        snprintf(name, sizeof name, "<0x%02X>", byte);
        of_byte[byte] = find_in_model(t, str_of(name));
    }
}

static uint32_t first_character(struct str s)
{
    return s.len == 0 ? 0 : utf8_next(s, &(size_t){0});
}

static uint32_t last_character(struct str s)
{
    size_t at = s.len == 0 ? 0 : utf8_before(s, s.len);

    return s.len == 0 ? 0 : utf8_next(s, &at);
}

static uint32_t end_of(const struct tokenizer *t, const struct tokenizer_parts *p, token_id id,
                       bool last)
{
    if ((size_t)id >= t->n_tokens)
        return p->loose[(size_t)id - t->n_tokens];
    return last ? last_character(t->names[id]) : first_character(t->names[id]);
}

/* Characters with tokens, characters that only longer tokens have, and which of them merges join. */
static bool take_characters(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    struct bpe_characters *c = &t->characters;
    const size_t n = p->joins != NULL ? p->n_joins : p->n_merges;
    struct arena scratch = {0};

    c->fallback = p->byte_fallback;
    c->n_tokens = t->n_tokens;
    uint32_t *loose =
        arena_try(&t->arena, p->n_loose, sizeof *loose, "the tokenizer's characters", err);
    if (loose == NULL)
        return false;
    c->loose = loose;
    for (size_t i = 0; i < t->n_tokens; i++) {
        size_t at = 0;
        const struct str name = t->names[i];

        if ((t->flags[i] & IN_MODEL) == 0 || name.len == 0 || name.len > 4)
            continue;
        const uint32_t character = utf8_next(name, &at);
        if (at == name.len && !bpe_characters_put(c, character, (token_id)i, &t->arena, err))
            return false;
    }
    for (size_t i = 0; i < p->n_loose; i++) {
        loose[i] = p->loose[i];
        if (!bpe_characters_put(c, loose[i], (token_id)(t->n_tokens + i), &t->arena, err))
            return false;
    }
    struct bpe_pair *pairs = arena_try(&scratch, n, sizeof *pairs, "the tokenizer's merges", err);
    for (size_t i = 0; pairs != NULL && i < n; i++) {
        pairs[i].left = p->joins != NULL ? end_of(t, p, p->joins[i].left, true)
                                         : last_character(p->merges[i].left);
        pairs[i].right = p->joins != NULL ? end_of(t, p, p->joins[i].right, false)
                                          : first_character(p->merges[i].right);
    }
    const bool ok = pairs != NULL && bpe_characters_join(c, pairs, n, &t->arena, err);
    arena_release(&scratch);
    return ok;
}

static bool take_character_bpe(struct tokenizer *t, const struct tokenizer_parts *p,
                               struct error *err)
{
    take_fallback(t, t->bpe.of_byte);
    t->bpe.characters = &t->characters;
    return take_unknown(t, p, err) && take_decoded_bytes(t, err) &&
           (p->joins != NULL ? bpe_build(&t->bpe, p->joins, p->n_joins, &t->arena, err)
                             : take_merges(t, p, err)) &&
           take_characters(t, p, err) && find_whole(t, err);
}

static bool take_unigram(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    struct unigram *u = &t->unigram;

    take_fallback(t, u->of_byte);
    if (!take_unknown(t, p, err) || !take_decoded_bytes(t, err))
        return false;
    double *scores = arena_try(&t->arena, t->n_tokens, sizeof *scores, "the scores", err);
    bool *added = arena_try(&t->arena, t->n_tokens, sizeof *added, "the tokens", err);
    struct str *model = arena_try(&t->arena, t->n_tokens, sizeof *model, "the tokens", err);
    if (scores == NULL || added == NULL || model == NULL)
        return false;
    memcpy(scores, p->scores, t->n_tokens * sizeof *scores);
    for (size_t i = 0; i < t->n_tokens; i++) {
        added[i] = (t->flags[i] & IS_ADDED) != 0;
        model[i] = (t->flags[i] & IN_MODEL) != 0 ? t->names[i] : (struct str){NULL, 0};
    }
    u->scores = scores;
    u->added = added;
    u->by_name = &t->by_name;
    u->unknown = t->bpe.unknown;
    u->fallback = p->byte_fallback;
    return unigram_build(u, model, t->n_tokens, &t->arena, err);
}

/* Copies what the steps look at, which is only the caller's until the tokenizer is built. */
static bool take_chain(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    for (size_t i = 0; i < t->normal.n_steps; i++) {
        struct normal_step *s = &t->normal.steps[i];

        s->from = arena_str(&t->arena, s->from);
        s->to = arena_str(&t->arena, s->to);
        s->map.texts = arena_str(&t->arena, s->map.texts);
        s->map.units = (const uint32_t *)(const void *)arena_str(
                           &t->arena, (struct str){(const char *)s->map.units,
                                                   s->map.n_units * sizeof *s->map.units})
                           .ptr;
    }
    t->decoder = p->decoder;
    t->decoder.whole.from = arena_str(&t->arena, p->decoder.whole.from);
    for (size_t i = 0; i < t->decoder.n_steps; i++) {
        t->decoder.steps[i].from = arena_str(&t->arena, p->decoder.steps[i].from);
        t->decoder.steps[i].to = arena_str(&t->arena, p->decoder.steps[i].to);
    }
    return p->wordpiece == NULL ||
           normal_chain_add(
               &t->normal,
               &(struct normal_step){.kind = NORMAL_BERT, .bert = p->wordpiece->normalizer}, err);
}

static bool take_model(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    switch (p->kind) {
    case TOKENIZER_BYTES:
        return take_bpe(t, p, err);
    case TOKENIZER_CHARACTERS:
        return take_character_bpe(t, p, err);
    case TOKENIZER_UNIGRAM:
        return take_unigram(t, p, err);
    case TOKENIZER_WORDS:
        return take_wordpiece(t, p, err);
    }
    return false;
}

static bool check_added(const struct tokenizer_parts *p, struct error *err)
{
    for (size_t i = 0; i < p->n_added; i++) {
        const struct added_token *a = &p->added[i];

        if (a->id < 0 || (size_t)a->id >= p->n_tokens)
            return fail(err, ERR_CORRUPT,
                        "%s: added token %zu has the id %d, below %zu was expected", p->what, i,
                        a->id, p->n_tokens);
        if (a->text.len == 0 || a->text.len > LIMIT_ADDED_BYTES)
            return fail(err, ERR_LIMIT, "%s: added token %zu has %zu bytes, 1 to %zu are allowed",
                        p->what, i, a->text.len, LIMIT_ADDED_BYTES);
        if (utf8_valid(a->text) != a->text.len)
            return fail(err, ERR_CORRUPT, "%s: added token %zu is not UTF-8", p->what, i);
    }
    return true;
}

/*
 * Tokens that are looked for in the text as it is, and tokens that are looked for after normalising, normalised
 * themselves.
 */
static bool take_added(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    struct added_token *raw =
        arena_try(&t->arena, p->n_added, sizeof *raw, "the added tokens", err);
    struct added_token *normalized =
        arena_try(&t->arena, p->n_added, sizeof *raw, "the added tokens", err);
    struct normal_scratch scratch = {0};
    size_t n_raw = 0, n_normalized = 0;
    bool ok = raw != NULL && normalized != NULL;

    for (int special = 1; ok && special >= 0;
         special--) { /* of two equal texts the special one counts */
        for (size_t i = 0; ok && i < p->n_added; i++) {
            struct added_token a = p->added[i];

            if (a.special != (special == 1))
                continue;
            a.text = t->names[a.id];
            if (!a.normalized) {
                raw[n_raw++] = a;
                continue;
            }
            struct str text;

            ok = normal_chain_run(&t->normal, &scratch, a.text, &text, NULL, err);
            if (ok && text.len == 0)
                continue; /* nothing is left to look for */
            if (ok && !str_eq(a.text, text)) {
                a.text = arena_str(&t->arena, text);
                take_normal_text(t, a.id, a.text);
            }
            if (ok)
                normalized[n_normalized++] = a;
        }
    }
    normal_scratch_release(&scratch);
    return ok && added_cutter_build(&t->raw, raw, n_raw, &t->arena, err) &&
           added_cutter_build(&t->normalized, normalized, n_normalized, &t->arena, err);
}

static bool build(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    if (p->n_tokens == 0)
        return fail(err, ERR_CORRUPT, "%s: the tokenizer has no tokens", p->what);
    if (p->n_tokens > LIMIT_VOCAB)
        return fail(err, ERR_LIMIT, "%s: %zu tokens are more than the %zu allowed", p->what,
                    p->n_tokens, LIMIT_VOCAB);
    if (p->n_merges > LIMIT_MERGES)
        return fail(err, ERR_LIMIT, "%s: %zu merges are more than the %zu allowed", p->what,
                    p->n_merges, LIMIT_MERGES);
    t->n_tokens = p->n_tokens;
    t->ignore_merges = p->ignore_merges;
    t->names = arena_try(&t->arena, t->n_tokens, sizeof *t->names, "the tokenizer's tokens", err);
    t->bytes = arena_try(&t->arena, t->n_tokens, sizeof *t->bytes, "the tokenizer's tokens", err);
    t->flags = arena_try(&t->arena, t->n_tokens, sizeof *t->flags, "the tokenizer's tokens", err);
    return t->names != NULL && t->bytes != NULL && t->flags != NULL && check_added(p, err) &&
           take_names(t, p, err) && index_names(t, p->what, err) && take_chain(t, p, err) &&
           take_model(t, p, err) && take_added(t, p, err);
}

bool tokenizer_build(struct tokenizer_parts *p, struct tokenizer **out, struct error *err)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    bool ok = t != NULL;

    if (ok) {
        t->pre = p->pre;
        t->normal = p->normal;
        t->kind = p->kind;
        for (size_t i = 0; i < p->pre.n_steps; i++)
            t->needs_first = t->needs_first || p->pre.steps[i].prefix == METASPACE_FIRST;
        t->ends = (struct token_ends){-1, -1};
        ok = build(t, p, err);
    } else {
        pretokenizer_release(&p->pre);
        normal_chain_release(&p->normal);
        fail(err, ERR_NO_MEMORY, "%s: no memory for a tokenizer", p->what);
    }
    p->pre = (struct pretokenizer){0};
    p->normal = (struct normal_chain){0};
    if (ok)
        *out = t;
    else
        tokenizer_close(t);
    return ok;
}

void tokenizer_close(struct tokenizer *t)
{
    if (t == NULL)
        return;
    pretokenizer_release(&t->pre);
    normal_chain_release(&t->normal);
    arena_release(&t->arena);
    free(t);
}

size_t tokenizer_size(const struct tokenizer *t)
{
    return t->n_tokens;
}

bool tokenizer_keeps_text(const struct tokenizer *t)
{
    return t->kind != TOKENIZER_WORDS;
}

struct str tokenizer_bytes(const struct tokenizer *t, token_id id)
{
    return id < 0 || (size_t)id >= t->n_tokens ? STR("") : t->bytes[id];
}

bool tokenizer_is_special(const struct tokenizer *t, token_id id)
{
    return id >= 0 && (size_t)id < t->n_tokens && (t->flags[id] & IS_SPECIAL) != 0;
}

token_id tokenizer_find(const struct tokenizer *t, struct str token)
{
    return text_table_find(&t->by_name, token);
}

struct token_ends tokenizer_ends(const struct tokenizer *t)
{
    return t->ends;
}

/* What one call of tokenizer_encode works with. */
struct encoding {
    const struct tokenizer *t;
    struct token_list *out;
    bool plain;                     /* no added token is looked for */
    const struct plain_span *spans; /* [n_spans] of the text, where none is taken */
    size_t n_spans;
    bool guarded; /* the part at hand has some of such a span: no special token is taken in it */
    const char *start; /* of the text */
    const char *first; /* of the normalised text, where that begins the text; else NULL */
    struct bpe_scratch scratch;
    struct unigram_scratch unigram;
    struct normal_scratch normal;
};

static bool put_id(struct encoding *e, token_id id, struct error *err)
{
    if (!token_list_reserve(e->out, 1, err))
        return false;
    e->out->ids[e->out->n++] = id;
    return true;
}

static token_id find_piece(const struct tokenizer *t, struct str piece)
{
    return piece.len <= t->whole_bytes ? text_table_find(&t->whole, piece) : -1;
}

static bool encode_word(void *ctx, struct str word, struct error *err)
{
    struct encoding *e = ctx;

    return wordpiece_encode(&e->t->wordpiece, word, e->out, err);
}

static bool encode_piece(void *ctx, struct str piece, struct error *err)
{
    struct encoding *e = ctx;
    const token_id id = find_piece(e->t, piece);

    return id >= 0 ? put_id(e, id, err) : bpe_encode(&e->t->bpe, piece, &e->scratch, e->out, err);
}

static bool encode_characters(void *ctx, struct str piece, struct error *err)
{
    struct encoding *e = ctx;
    const struct tokenizer *t = e->t;

    if (t->ignore_merges) {
        const token_id id = find_piece(t, piece);

        if (id >= 0)
            return put_id(e, id, err);
    }
    for (size_t at = 0, to; at < piece.len; at = to) {
        to = bpe_part_end(&t->characters, piece, at);
        const struct str part = {piece.ptr + at, to - at};
        const bool ok = t->ignore_merges ? bpe_encode(&t->bpe, part, &e->scratch, e->out, err)
                                         : encode_piece(e, part, err);

        if (!ok)
            return false;
    }
    return true;
}

static bool encode_unigram(void *ctx, struct str piece, struct error *err)
{
    struct encoding *e = ctx;

    return unigram_encode(&e->t->unigram, piece, e->plain || e->guarded, &e->unigram, e->out, err);
}

static bool encode_plain(struct encoding *e, struct str text, struct error *err)
{
    static piece_fn *const encoders[] = {[TOKENIZER_BYTES] = encode_piece,
                                         [TOKENIZER_CHARACTERS] = encode_characters,
                                         [TOKENIZER_UNIGRAM] = encode_unigram};

    if (e->t->kind == TOKENIZER_WORDS)
        return bert_words(text, encode_word, e, err);
    return pretokenizer_run(&e->t->pre, text, text.ptr == e->first, encoders[e->t->kind], e, err);
}

typedef bool part_fn(struct encoding *e, struct str part, struct error *err);

static bool has_plain(const struct encoding *e, struct str part)
{
    const size_t from = (size_t)(part.ptr - e->start), to = from + part.len;

    for (size_t i = 0; i < e->n_spans; i++)
        if (e->spans[i].from < to && e->spans[i].to > from)
            return true;
    return false;
}

/* Added tokens become their ids, what lies between goes to fn. */
static bool encode_parts(struct encoding *e, const struct added_cutter *c, struct str text,
                         part_fn *fn, struct error *err)
{
    struct cutter_place place = {.no_special = e->guarded};
    struct str part;

    if (c == &e->t->raw) {
        place.plain = e->spans;
        place.n_plain = e->n_spans;
    }
    bool ok = true;

    for (token_id id; ok && added_cutter_next(c, text, &place, &part, &id);) {
        ok = id < 0 ? fn(e, part, err) : put_id(e, id, err);
    }
    return ok;
}

static bool encode_between(struct encoding *e, struct str text, struct error *err)
{
    const bool is_first = text.ptr == e->start;
    bool lost_head = false;

    e->guarded = has_plain(e, text);
    if (!normal_chain_run(&e->t->normal, &e->normal, text, &text,
                          e->t->needs_first ? &lost_head : NULL, err))
        return false;
    e->first = is_first && !lost_head ? text.ptr : NULL;
    return e->plain ? encode_plain(e, text, err)
                    : encode_parts(e, &e->t->normalized, text, encode_plain, err);
}

static bool encode(struct encoding *e, struct str text, struct error *err)
{
    const size_t n_before = e->out->n;
    bool ok;

    if (text.len > LIMIT_TEXT_BYTES)
        return fail(err, ERR_LIMIT, "a text of %zu bytes is longer than the %zu allowed", text.len,
                    LIMIT_TEXT_BYTES);
    const size_t valid = utf8_valid(text);
    if (valid < text.len)
        return fail(err, ERR_INVALID,
                    "the text is not UTF-8: byte %zu, %02X, belongs to no character", valid,
                    (unsigned char)text.ptr[valid]);
    ok = e->plain ? encode_between(e, text, err)
                  : encode_parts(e, &e->t->raw, text, encode_between, err);
    if (!ok)
        e->out->n = n_before;
    bpe_scratch_release(&e->scratch);
    unigram_scratch_release(&e->unigram);
    normal_scratch_release(&e->normal);
    return ok;
}

bool tokenizer_encode(const struct tokenizer *t, struct str text, bool parse_special,
                      struct token_list *out, struct error *err)
{
    struct encoding e = {.t = t, .out = out, .plain = !parse_special, .start = text.ptr};

    return encode(&e, text, err);
}

bool tokenizer_encode_guarded(const struct tokenizer *t, struct str text,
                              const struct plain_span *plain, size_t n_plain,
                              struct token_list *out, struct error *err)
{
    struct encoding e = {.t = t, .out = out, .spans = plain, .n_spans = n_plain, .start = text.ptr};

    return encode(&e, text, err);
}

void tokenizer_decode(const struct tokenizer *t, const token_id *ids, size_t n, bool skip_special,
                      struct buf *out)
{
    struct utf8_stream stream = {0};

    for (size_t i = 0; i < n; i++)
        if (!skip_special || !tokenizer_is_special(t, ids[i]))
            utf8_stream_put(&stream, tokenizer_bytes(t, ids[i]), out);
    utf8_stream_end(&stream, out);
}

/* What a text loses at its ends, as much as stands there by now: out may hold more than the text at its beginning. */
static void strip_text(const struct token_decoder_step *step, size_t from, struct buf *out)
{
    const struct str text = {out->ptr + from, out->len - from},
                     kept = token_decoder_strip(step, text);

    memmove(out->ptr + from, kept.ptr, kept.len);
    out->len = from + kept.len;
    out->ptr[out->len] = '\0';
}

/* The run of tokens of single bytes that ids begin with: as text, or where it is none a U+FFFD for each. */
static size_t put_byte_run(const struct tokenizer *t, const token_id *ids, size_t n,
                           struct buf *out)
{
    struct buf run;
    size_t len = 0;

    buf_init(&run, out->max_bytes);
    for (;
         len < n && tokenizer_bytes(t, ids[len]).len == 1 && token_byte(t->spelled[ids[len]]) >= 0;
         len++)
        buf_str(&run, t->bytes[ids[len]]);
    if (run.len > 0 && utf8_valid(buf_view(&run)) == run.len)
        buf_str(out, buf_view(&run));
    else
        for (size_t i = 0; i < len; i++)
            buf_str(out, STR("\xEF\xBF\xBD"));
    buf_release(&run);
    return len;
}

static bool decodes_bytes(const struct token_decoder *d)
{
    for (size_t i = 0; i < d->n_steps; i++)
        if (d->steps[i].kind == DECODE_BYTES)
            return true;
    return false;
}

size_t tokenizer_front(const struct tokenizer *t, struct str bytes)
{
    const struct token_decoder_step *whole = &t->decoder.whole;
    size_t n = 0, most = str_is(whole->from, " ") ? whole->start : 0;

    for (size_t i = 0; i < t->decoder.n_steps; i++)
        if (t->decoder.steps[i].kind == DECODE_METASPACE && t->decoder.steps[i].drops_first)
            most = bytes.len;
    while (n < size_min(most, bytes.len) && bytes.ptr[n] == ' ')
        n++;
    return n;
}

void tokenizer_text(const struct tokenizer *t, const token_id *ids, size_t n, bool skip_special,
                    struct buf *out)
{
    const size_t from = out->len;
    const bool has_bytes = t->spelled != NULL && decodes_bytes(&t->decoder);
    bool first = true;

    if (t->spelled == NULL) {
        tokenizer_decode(t, ids, n, skip_special, out);
        return;
    }
    for (size_t i = 0, run; i < n; i += size_max(run, 1)) {
        run = 0;
        if (skip_special && tokenizer_is_special(t, ids[i]))
            continue;
        run = has_bytes ? put_byte_run(t, ids + i, n - i, out) : 0;
        if (run == 0 && first && ids[i] >= 0 && (size_t)ids[i] < t->n_tokens)
            token_decoder_put(&t->decoder, t->spelled[ids[i]], true, out);
        else if (run == 0)
            buf_str(out, tokenizer_bytes(t, ids[i]));
        first = false;
    }
    if (t->decoder.whole.from.len > 0 && out->len > from)
        strip_text(&t->decoder.whole, from, out);
}
