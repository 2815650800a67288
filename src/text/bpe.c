/*
 * bpe.c - short pieces are merged by looking for the best pair anew each time, long ones with a heap.
 *
 * A word has some ten bytes: there the search through an array is faster than any bookkeeping. Its square would hurt
 * from a few dozen bytes on, and a page of blanks is one piece of thousands.
 */
#include "text/bpe.h"
#include "base/size.h"
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
            (struct bpe_slot){merges[i].left, merges[i].right, merges[i].made, (uint32_t)i};
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

/* The token that a piece begins with byte by byte: its number, or -1 where the byte at *at leaves none. */
static token_id first_token(const struct bpe *b, struct str piece, size_t at, token_id before)
{
    const token_id id = b->of_byte[(unsigned char)piece.ptr[at]];

    if (id >= 0 || b->unknown < 0)
        return id;
    /* a run of bytes without tokens is one unknown if so asked; before is the token of the byte before */
    return b->fuse_unknown && at > 0 && before < 0 ? -1 : b->unknown;
}

static bool encode_short(const struct bpe *b, struct str piece, struct token_list *out,
                         struct error *err)
{
    token_id ids[SHORT_PIECE], made[SHORT_PIECE];
    uint32_t rank[SHORT_PIECE];
    size_t n = 0;

    for (size_t i = 0; i < piece.len; i++) {
        const token_id before = i == 0 ? -1 : b->of_byte[(unsigned char)piece.ptr[i - 1]];
        const token_id id = first_token(b, piece, i, before);

        if (id >= 0)
            ids[n++] = id;
    }
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
    if (!token_list_reserve(out, n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        out->ids[out->n++] = ids[i];
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

    for (size_t i = 0; i < piece.len; i++) {
        const token_id before = i == 0 ? -1 : b->of_byte[(unsigned char)piece.ptr[i - 1]];
        const token_id id = first_token(b, piece, i, before);

        if (id >= 0) {
            symbols[n] = (struct symbol){.id = id, .before = n - 1, .next = n + 1};
            n++;
        }
    }
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
        if (!token_list_reserve(out, 1, err))
            return false;
        out->ids[out->n++] = symbols[i].id;
    }
    return true;
}

bool bpe_encode(const struct bpe *b, struct str piece, struct bpe_scratch *s,
                struct token_list *out, struct error *err)
{
    return piece.len <= SHORT_PIECE ? encode_short(b, piece, out, err)
                                    : encode_long(b, piece, s, out, err);
}
