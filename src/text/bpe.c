/*
 * bpe.c - short pieces are merged by looking for the best pair anew each time, long ones with a heap.
 *
 * A word has some ten bytes: there the search through an array is faster than any bookkeeping. Its square would hurt
 * from a few dozen bytes on, and a page of blanks is one piece of thousands.
 */
#include "text/bpe.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <stdlib.h>

#define SHORT_PIECE 48
#define NO_RANK UINT32_MAX
#define MAX_PROBES                                                                                 \
    512 /* half full and well mixed, a search takes a few steps; more means a crafted file */

static size_t slot_of(token_id left, token_id right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;

    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93u;
    return (size_t)(h ^ h >> 32);
}

bool bpe_build(struct bpe *b, const struct bpe_merge *merges, size_t n, struct arena *a,
               struct error *err)
{
    size_t n_slots = 64;

    while (n_slots < 2 * n)
        n_slots *= 2;
    b->slots = arena_try(a, n_slots, sizeof *b->slots, "the tokenizer's merges", err);
    if (b->slots == NULL)
        return false;
    b->mask = n_slots - 1;
    for (size_t i = 0; i < n_slots; i++)
        b->slots[i].made = -1;
    for (size_t i = 0; i < n; i++) {
        size_t at = slot_of(merges[i].left, merges[i].right) & b->mask, probes = 0;

        while (b->slots[at].made >= 0 &&
               (b->slots[at].left != merges[i].left || b->slots[at].right != merges[i].right)) {
            at = (at + 1) & b->mask;
            if (++probes > MAX_PROBES)
                return fail(
                    err, ERR_LIMIT,
                    "the tokenizer's merges all fall into one place of the table of merges");
        }
        b->slots[at] =
            (struct bpe_slot){merges[i].left, merges[i].right, merges[i].made, merges[i].rank};
    }
    return true;
}

/* The merge of a pair, or NULL. */
static inline const struct bpe_slot *merge_of(const struct bpe *b, token_id left, token_id right)
{
    for (size_t at = slot_of(left, right);; at++) {
        const struct bpe_slot *s = &b->slots[at & b->mask];

        if (s->made < 0)
            return NULL;
        if (s->left == left && s->right == right)
            return s;
    }
}

bool bpe_characters_put(struct bpe_characters *c, uint32_t character, token_id id, struct arena *a,
                        struct error *err)
{
    token_id **page = &c->pages[character / 256];

    if (*page == NULL) {
        *page = arena_try(a, 256, sizeof **page, "the tokenizer's characters", err);
        if (*page == NULL)
            return false;
        for (size_t i = 0; i < 256; i++)
            (*page)[i] = -1;
    }
    (*page)[character % 256] = id;
    return true;
}

static token_id token_of(const struct bpe_characters *c, uint32_t character)
{
    const token_id *page = c->pages[character / 256];

    return page == NULL ? -1 : page[character % 256];
}

static size_t pair_slot(uint64_t pair)
{
    return slot_of((token_id)(uint32_t)(pair >> 32), (token_id)(uint32_t)pair);
}

static bool put_pair(struct bpe_characters *c, uint64_t pair, struct error *err)
{
    size_t at = pair_slot(pair) & c->mask;

    for (size_t probes = 0; c->pairs[at] != 0 && c->pairs[at] != pair; at = (at + 1) & c->mask)
        if (++probes > MAX_PROBES)
            return fail(err, ERR_LIMIT,
                        "the tokenizer's merges all fall into one place of the table of pairs");
    c->pairs[at] = pair;
    return true;
}

bool bpe_characters_join(struct bpe_characters *c, const struct bpe_pair *pairs, size_t n,
                         struct arena *a, struct error *err)
{
    size_t n_slots = 64;

    while (n_slots < 2 * n)
        n_slots *= 2;
    c->pairs = arena_try(a, n_slots, sizeof *c->pairs, "the tokenizer's merges", err);
    if (c->pairs == NULL)
        return false;
    c->mask = n_slots - 1;
    for (size_t i = 0; i < n; i++) {
        const uint32_t l = pairs[i].left, r = pairs[i].right;

        if (l < 128 && r < 128)
            c->ascii[l][r / 64] |= (uint64_t)1 << r % 64;
        else if (!put_pair(c, (uint64_t)l << 32 | r, err))
            return false;
    }
    return true;
}

static bool may_join(const struct bpe_characters *c, uint32_t l, uint32_t r)
{
    if (l < 128 && r < 128)
        return (c->ascii[l][r / 64] >> r % 64 & 1) != 0;
    const uint64_t pair = (uint64_t)l << 32 | r;
    for (size_t at = pair_slot(pair) & c->mask; c->pairs[at] != 0; at = (at + 1) & c->mask)
        if (c->pairs[at] == pair)
            return true;
    return false;
}

size_t bpe_part_end(const struct bpe_characters *c, struct str piece, size_t at)
{
    uint32_t before = utf8_next(piece, &at);

    while (at < piece.len) {
        size_t next = at;
        const uint32_t now = utf8_next(piece, &next);

        /* what has no token of its own may be one unknown with its neighbours */
        if (!may_join(c, before, now) && token_of(c, before) >= 0 && token_of(c, now) >= 0)
            break;
        before = now;
        at = next;
    }
    return at;
}

/* Gives the tokens that a piece begins with before anything is merged. */
struct first_tokens {
    const struct bpe *b;
    struct str piece;
    size_t at;
    size_t byte_at, byte_to; /* of a character that goes byte by byte */
    token_id waiting;        /* an unknown that may grow; -1: none */
    token_id next;           /* comes next; -1: nothing */
};

static struct first_tokens first_tokens(const struct bpe *b, struct str piece)
{
    return (struct first_tokens){.b = b, .piece = piece, .waiting = -1, .next = -1};
}

/* Of characters; an unknown waits for the next token that a character has, as in the reference: bytes overtake it. */
static token_id next_of_characters(struct first_tokens *f)
{
    const struct bpe *b = f->b;
    token_id id;

    if (f->byte_at < f->byte_to)
        return b->of_byte[(unsigned char)f->piece.ptr[f->byte_at++]];
    if (f->next >= 0) {
        id = f->next;
        f->next = -1;
        return id;
    }
    while (f->at < f->piece.len) {
        const size_t from = f->at;

        id = token_of(b->characters, utf8_next(f->piece, &f->at));
        if (id >= 0 && f->waiting < 0)
            return id;
        if (id >= 0) {
            f->next = id;
            break;
        }
        bool has_bytes = b->characters->fallback;
        for (size_t i = from; has_bytes && i < f->at; i++)
            has_bytes = b->of_byte[(unsigned char)f->piece.ptr[i]] >= 0;
        if (has_bytes) {
            f->byte_at = from + 1;
            f->byte_to = f->at;
            return b->of_byte[(unsigned char)f->piece.ptr[from]];
        }
        if (b->unknown < 0 || (f->waiting >= 0 && b->fuse_unknown))
            continue;
        if (f->waiting >= 0)
            return b->unknown;
        f->waiting = b->unknown;
    }
    id = f->waiting;
    f->waiting = -1;
    return id;
}

/* -1: there are no more. */
static inline token_id next_first(struct first_tokens *f)
{
    const struct bpe *b = f->b;

    if (b->characters != NULL)
        return next_of_characters(f);
    while (f->at < f->piece.len) {
        const token_id id = b->of_byte[(unsigned char)f->piece.ptr[f->at++]];
        const bool is_run = f->waiting >= 0; /* the byte before had no token */

        f->waiting = id >= 0 ? -1 : 0;
        if (id >= 0)
            return id;
        /* a run of bytes without tokens is one unknown if so asked */
        if (b->unknown >= 0 && !(b->fuse_unknown && is_run))
            return b->unknown;
    }
    return -1;
}

/* A token at the end of merging; a character that no merge took has none of its own. */
static bool put_token(const struct bpe *b, token_id id, struct token_list *out, struct error *err)
{
    const struct bpe_characters *c = b->characters;

    if (!token_list_reserve(out, 4, err))
        return false;
    if (c == NULL || (size_t)id < c->n_tokens) {
        out->ids[out->n++] = id;
        return true;
    }
    char bytes[4];
    const size_t n = utf8_write(c->loose[(size_t)id - c->n_tokens], bytes);
    for (size_t i = 0; i < n; i++) {
        const token_id byte = b->of_byte[(unsigned char)bytes[i]];

        if (byte >= 0 || b->unknown >= 0)
            out->ids[out->n++] = byte >= 0 ? byte : b->unknown;
    }
    return true;
}

static bool encode_short(const struct bpe *b, struct str piece, struct token_list *out,
                         struct error *err)
{
    token_id ids[SHORT_PIECE], made[SHORT_PIECE];
    uint32_t rank[SHORT_PIECE];
    size_t n = 0;

    struct first_tokens first = first_tokens(b, piece);
    for (token_id id; (id = next_first(&first)) >= 0;)
        ids[n++] = id;
    for (size_t i = 0; i + 1 < n; i++) {
        const struct bpe_slot *s = merge_of(b, ids[i], ids[i + 1]);

        rank[i] = s == NULL ? NO_RANK : s->rank;
        made[i] = s == NULL ? -1 : s->made;
    }
    while (n > 1) {
        size_t best = 0;

        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_RANK)
            break;
        ids[best] = made[best];
        n--;
        for (size_t i = best + 1; i < n; i++)
            ids[i] = ids[i + 1];
        for (size_t i = best + 1; i + 1 < n; i++) {
            rank[i] = rank[i + 1];
            made[i] = made[i + 1];
        }
        for (size_t i = best > 0 ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const struct bpe_slot *s = merge_of(b, ids[i], ids[i + 1]);

            rank[i] = s == NULL ? NO_RANK : s->rank;
            made[i] = s == NULL ? -1 : s->made;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (!put_token(b, ids[i], out, err))
            return false;
    return true;
}

struct symbol {
    token_id id, made; /* made: what merging with the next gives */
    uint32_t rank;     /* of that merge; NO_RANK: none, or this symbol is gone */
    uint32_t before, next;
};
#define NO_SYMBOL UINT32_MAX

struct heap { /* the least first; a key is rank << 32 | place, so equal ranks come leftmost first */
    uint64_t *keys;
    size_t n;
};

static void heap_sink(struct heap *h, size_t at)
{
    const uint64_t key = h->keys[at];

    for (size_t child; (child = 2 * at + 1) < h->n; at = child) {
        if (child + 1 < h->n && h->keys[child + 1] < h->keys[child])
            child++;
        if (h->keys[child] >= key)
            break;
        h->keys[at] = h->keys[child];
    }
    h->keys[at] = key;
}

static void heap_put(struct heap *h, uint64_t key)
{
    size_t at = h->n++;

    for (size_t parent; at > 0 && h->keys[parent = (at - 1) / 2] > key; at = parent)
        h->keys[at] = h->keys[parent];
    h->keys[at] = key;
}

static uint64_t heap_take(struct heap *h)
{
    const uint64_t least = h->keys[0];

    h->keys[0] = h->keys[--h->n];
    if (h->n > 0)
        heap_sink(h, 0);
    return least;
}

void bpe_scratch_release(struct bpe_scratch *s)
{
    free(s->symbols);
    free(s->heap);
    *s = (struct bpe_scratch){0};
}

static bool scratch_grow(struct bpe_scratch *s, size_t n_symbols, struct error *err)
{
    /* a merge takes one key out and puts at most two in, and happens at most n - 1 times */
    const size_t n_heap = 2 * n_symbols;

    if (n_symbols <= s->n_symbols)
        return true;
    bpe_scratch_release(s);
    s->symbols = malloc(n_symbols * sizeof(struct symbol));
    s->heap = malloc(n_heap * sizeof *s->heap);
    if (s->symbols == NULL || s->heap == NULL) {
        bpe_scratch_release(s);
        return fail(err, ERR_NO_MEMORY, "no memory to tokenize a piece of %zu bytes", n_symbols);
    }
    s->n_symbols = n_symbols;
    return true;
}

static void look_at_pair(const struct bpe *b, struct symbol *symbols, uint32_t at)
{
    struct symbol *s = &symbols[at];
    const struct bpe_slot *m =
        s->next == NO_SYMBOL ? NULL : merge_of(b, s->id, symbols[s->next].id);

    s->rank = m == NULL ? NO_RANK : m->rank;
    s->made = m == NULL ? -1 : m->made;
}

static uint64_t key_of(const struct symbol *symbols, uint32_t at)
{
    return (uint64_t)symbols[at].rank << 32 | at;
}

static size_t split_into_symbols(const struct bpe *b, struct str piece, struct symbol *symbols)
{
    uint32_t n = 0;

    struct first_tokens first = first_tokens(b, piece);

    for (token_id id; (id = next_first(&first)) >= 0; n++)
        symbols[n] = (struct symbol){.id = id, .before = n - 1, .next = n + 1};
    if (n > 0) {
        symbols[0].before = NO_SYMBOL;
        symbols[n - 1].next = NO_SYMBOL;
    }
    return n;
}

static void merge_all(const struct bpe *b, struct symbol *symbols, size_t n, struct heap *h)
{
    for (uint32_t i = 0; i < n; i++) {
        look_at_pair(b, symbols, i);
        if (symbols[i].rank != NO_RANK)
            h->keys[h->n++] = key_of(symbols, i);
    }
    for (size_t i = h->n / 2; i > 0; i--)
        heap_sink(h, i - 1);
    while (h->n > 0) {
        const uint64_t key = heap_take(h);
        const uint32_t at = (uint32_t)key;
        struct symbol *s = &symbols[at];

        if (s->rank != key >> 32) /* the pair that this key stood for is no more */
            continue;
        struct symbol *gone = &symbols[s->next];
        gone->rank = NO_RANK;
        s->id = s->made;
        s->next = gone->next;
        if (s->next != NO_SYMBOL)
            symbols[s->next].before = at;
        look_at_pair(b, symbols, at);
        if (s->rank != NO_RANK)
            heap_put(h, key_of(symbols, at));
        if (s->before != NO_SYMBOL) {
            look_at_pair(b, symbols, s->before);
            if (symbols[s->before].rank != NO_RANK)
                heap_put(h, key_of(symbols, s->before));
        }
    }
}

static bool encode_long(const struct bpe *b, struct str piece, struct bpe_scratch *scratch,
                        struct token_list *out, struct error *err)
{
    if (piece.len >= NO_SYMBOL)
        return fail(err, ERR_LIMIT, "a piece of %zu bytes is too long to tokenize", piece.len);
    if (!scratch_grow(scratch, piece.len, err))
        return false;
    struct symbol *symbols = scratch->symbols;
    struct heap h = {.keys = scratch->heap};
    const size_t n = split_into_symbols(b, piece, symbols);

    merge_all(b, symbols, n, &h);
    for (uint32_t i = n > 0 ? 0 : NO_SYMBOL; i != NO_SYMBOL; i = symbols[i].next) {
        if (!put_token(b, symbols[i].id, out, err))
            return false;
    }
    return true;
}

bool bpe_encode(const struct bpe *b, struct str piece, struct bpe_scratch *s,
                struct token_list *out, struct error *err)
{
    return piece.len <= SHORT_PIECE ? encode_short(b, piece, out, err)
                                    : encode_long(b, piece, s, out, err);
}
