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

#include <stdio.h>
#include <stdlib.h>

#define WHOLE_BYTES                                                                                \
    64 /* longer tokens are rare: merging them to see whether they are whole is not worth it */

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
    struct added_cutter raw, normalized;
    enum normal_form form;
    struct pretokenizer pre;
    bool has_words; /* WordPiece: the next three instead of whole, bpe, form and pre */
    struct bert_normalizer bert;
    struct wordpiece wordpiece;
    struct token_ends ends;
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
        merges[i] =
            (struct bpe_merge){find_in_model(t, m.left), find_in_model(t, m.right),
                               find_in_model(t, (struct str){both, m.left.len + m.right.len})};
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

static bool take_alphabet(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char letter[4];
        const size_t n = utf8_write(byte_to_letter((unsigned char)byte), letter);

        t->bpe.of_byte[byte] = find_in_model(t, (struct str){letter, n});
    }
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

    t->has_words = true;
    t->bert = w->normalizer;
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

/* Text as added tokens and pieces are looked for in it. */
static bool normal_text(const struct tokenizer *t, struct bert_scratch *s, struct str in,
                        struct str *out, struct error *err)
{
    return t->has_words ? bert_normalize(&t->bert, s, in, out, err)
                        : normalize(&s->normalizer, t->form, in, out, err);
}

/* Do the bytes of token id merge into that token? */
static bool is_whole(const struct tokenizer *t, token_id id, struct bpe_scratch *scratch,
                     struct token_list *list)
{
    list->n = 0;
    return bpe_encode(&t->bpe, t->bytes[id], scratch, list, NULL) && list->n == 1 &&
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

static bool find_whole(struct tokenizer *t, bool ignore_merges, struct error *err)
{
    struct token_list list = {0};
    struct bpe_scratch scratch = {0};
    bool ok = text_table_init(&t->whole, t->bytes, t->n_tokens, &t->arena, err);

    for (size_t i = 0; ok && i < t->n_tokens; i++) {
        token_id before;

        if ((t->flags[i] & IN_MODEL) == 0 || t->bytes[i].len == 0 || !is_spelled(t, i))
            continue;
        if (ignore_merges
                ? (t->flags[i] & IS_SPECIAL) != 0 /* nobody can forge one */
                : t->bytes[i].len > WHOLE_BYTES || !is_whole(t, (token_id)i, &scratch, &list))
            continue;
        ok = text_table_put(&t->whole, (token_id)i, &before, err);
        t->whole_bytes = size_max(t->whole_bytes, t->bytes[i].len);
    }
    bpe_scratch_release(&scratch);
    token_list_release(&list);
    return ok;
}

static bool take_bpe(struct tokenizer *t, const struct tokenizer_parts *p, struct error *err)
{
    return take_alphabet(t, p, err) && take_bytes(t, err) && take_merges(t, p, err) &&
           find_whole(t, p->ignore_merges, err);
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
    struct bert_scratch scratch = {0};
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

            ok = normal_text(t, &scratch, a.text, &text, err);
            if (ok && text.len == 0)
                continue; /* nothing is left to look for */
            if (ok && !str_eq(a.text, text)) {
                a.text = arena_str(&t->arena, text);
                t->bytes[a.id] = a.text; /* that is what stood in the text */
            }
            if (ok)
                normalized[n_normalized++] = a;
        }
    }
    bert_scratch_release(&scratch);
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
    t->form = p->form;
    t->names = arena_try(&t->arena, t->n_tokens, sizeof *t->names, "the tokenizer's tokens", err);
    t->bytes = arena_try(&t->arena, t->n_tokens, sizeof *t->bytes, "the tokenizer's tokens", err);
    t->flags = arena_try(&t->arena, t->n_tokens, sizeof *t->flags, "the tokenizer's tokens", err);
    return t->names != NULL && t->bytes != NULL && t->flags != NULL && check_added(p, err) &&
           take_names(t, p, err) && index_names(t, p->what, err) &&
           (p->wordpiece != NULL ? take_wordpiece(t, p, err) : take_bpe(t, p, err)) &&
           take_added(t, p, err);
}

bool tokenizer_build(struct tokenizer_parts *p, struct tokenizer **out, struct error *err)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    bool ok = t != NULL;

    if (ok) {
        t->pre = p->pre;
        t->ends = (struct token_ends){-1, -1};
        ok = build(t, p, err);
    } else {
        pretokenizer_release(&p->pre);
        fail(err, ERR_NO_MEMORY, "%s: no memory for a tokenizer", p->what);
    }
    p->pre = (struct pretokenizer){0};
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
    arena_release(&t->arena);
    free(t);
}

size_t tokenizer_size(const struct tokenizer *t)
{
    return t->n_tokens;
}

bool tokenizer_keeps_text(const struct tokenizer *t)
{
    return !t->has_words;
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
    struct bpe_scratch scratch;
    struct bert_scratch normal;
};

static bool encode_word(void *ctx, struct str word, struct error *err)
{
    struct encoding *e = ctx;

    return wordpiece_encode(&e->t->wordpiece, word, e->out, err);
}

static bool encode_piece(void *ctx, struct str piece, struct error *err)
{
    struct encoding *e = ctx;
    const token_id id = piece.len <= e->t->whole_bytes ? text_table_find(&e->t->whole, piece) : -1;

    if (id < 0)
        return bpe_encode(&e->t->bpe, piece, &e->scratch, e->out, err);
    if (!token_list_reserve(e->out, 1, err))
        return false;
    e->out->ids[e->out->n++] = id;
    return true;
}

static bool encode_plain(struct encoding *e, struct str text, struct error *err)
{
    return e->t->has_words ? bert_words(text, encode_word, e, err)
                           : pretokenizer_run(&e->t->pre, text, encode_piece, e, err);
}

typedef bool part_fn(struct encoding *e, struct str part, struct error *err);

/* Added tokens become their ids, what lies between goes to fn. */
static bool encode_parts(struct encoding *e, const struct added_cutter *c, struct str text,
                         part_fn *fn, struct error *err)
{
    struct cutter_place place = {0};
    struct str part;
    bool ok = true;

    for (token_id id; ok && added_cutter_next(c, text, &place, &part, &id);) {
        if (id < 0) {
            ok = fn(e, part, err);
        } else if ((ok = token_list_reserve(e->out, 1, err))) {
            e->out->ids[e->out->n++] = id;
        }
    }
    return ok;
}

static bool encode_between(struct encoding *e, struct str text, struct error *err)
{
    return normal_text(e->t, &e->normal, text, &text, err) &&
           encode_parts(e, &e->t->normalized, text, encode_plain, err);
}

bool tokenizer_encode(const struct tokenizer *t, struct str text, bool parse_special,
                      struct token_list *out, struct error *err)
{
    struct encoding e = {.t = t, .out = out};
    const size_t n_before = out->n;
    bool ok;

    if (text.len > LIMIT_TEXT_BYTES)
        return fail(err, ERR_LIMIT, "a text of %zu bytes is longer than the %zu allowed", text.len,
                    LIMIT_TEXT_BYTES);
    const size_t valid = utf8_valid(text);
    if (valid < text.len)
        return fail(err, ERR_INVALID,
                    "the text is not UTF-8: byte %zu, %02X, belongs to no character", valid,
                    (unsigned char)text.ptr[valid]);
    if (parse_special)
        ok = encode_parts(&e, &t->raw, text, encode_between, err);
    else
        ok = normal_text(t, &e.normal, text, &text, err) && encode_plain(&e, text, err);
    if (!ok)
        out->n = n_before;
    bpe_scratch_release(&e.scratch);
    bert_scratch_release(&e.normal);
    return ok;
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
