/*
 * unigram.c - a tree of the tokens' bytes whose edges lie in one table, and an array of the best ways so far.
 */
#include "text/unigram.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <stdlib.h>

#define UNKNOWN_PENALTY 10.0 /* below the least score of all */
#define MAX_PROBES 512       /* as in bpe.c: a table that needs more was made to */

static size_t slot_of(uint64_t key)
{
    uint64_t h = key * 0x9E3779B97F4A7C15u;

    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93u;
    return (size_t)(h ^ h >> 32);
}

/* The edge of a key, made if there is none; NULL: too many probes. */
static struct unigram_edge *edge_made(struct unigram *u, uint64_t key, uint32_t *n_nodes)
{
    size_t at = slot_of(key) & u->mask;

    for (size_t probes = 0; u->edges[at].key != 0; at = (at + 1) & u->mask) {
        if (u->edges[at].key == key)
            return &u->edges[at];
        if (++probes > MAX_PROBES)
            return NULL;
    }
    u->edges[at] = (struct unigram_edge){.key = key, .to = (*n_nodes)++, .token = -1};
    return &u->edges[at];
}

static bool put_name(struct unigram *u, struct str name, token_id id, uint32_t *n_nodes,
                     struct error *err)
{
    const unsigned char first = (unsigned char)name.ptr[0];

    if (u->first[first] == 0)
        u->first[first] = (*n_nodes)++;
    if (name.len == 1)
        u->first_token[first] = id;
    uint32_t node = u->first[first];
    for (size_t i = 1; i < name.len; i++) {
        struct unigram_edge *e =
            edge_made(u, (uint64_t)node << 8 | (unsigned char)name.ptr[i], n_nodes);

        if (e == NULL)
            return fail(err, ERR_LIMIT,
                        "the tokenizer's tokens all fall into one place of the table of bytes");
        if (i + 1 == name.len)
            e->token = id;
        node = e->to;
    }
    return true;
}

bool unigram_build(struct unigram *u, const struct str *names, size_t n, struct arena *a,
                   struct error *err)
{
    size_t n_bytes = 0, n_slots = 64;
    uint32_t n_nodes = 1;
    double least = 0;
    bool any = false;

    for (size_t i = 0; i < n; i++) {
        if (names[i].ptr == NULL)
            continue;
        least = !any || u->scores[i] < least ? u->scores[i] : least;
        any = true;
        if (!size_add(n_bytes, names[i].len, &n_bytes) || n_bytes >= UINT32_MAX / 4)
            return fail(err, ERR_LIMIT, "the tokenizer's tokens have too many bytes");
    }
    u->names = names;
    u->unknown_score = least - UNKNOWN_PENALTY;
    while (n_slots < 2 * n_bytes)
        n_slots *= 2;
    u->edges = arena_try(a, n_slots, sizeof *u->edges, "the tokenizer's tokens", err);
    if (u->edges == NULL)
        return false;
    u->mask = n_slots - 1;
    for (size_t i = 0; i < 256; i++)
        u->first_token[i] = -1;
    for (size_t i = 0; i < n; i++)
        if (names[i].ptr != NULL && names[i].len > 0 &&
            !put_name(u, names[i], (token_id)i, &n_nodes, err))
            return false;
    return true;
}

struct best { /* the best way to a place between two characters */
    double score;
    uint32_t from; /* where its last token begins; NO_WAY: there is no way yet */
    token_id id;
};
#define NO_WAY UINT32_MAX

void unigram_scratch_release(struct unigram_scratch *s)
{
    free(s->nodes);
    *s = (struct unigram_scratch){0};
}

static bool scratch_grow(struct unigram_scratch *s, size_t n, struct error *err)
{
    if (n <= s->n_nodes)
        return true;
    unigram_scratch_release(s);
    const size_t room = n + n / 2 + 64;
    s->nodes = malloc(room * sizeof(struct best));
    if (s->nodes == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to tokenize a piece of %zu bytes", n);
    s->n_nodes = room;
    return true;
}

static inline void offer(struct best *to, double score, size_t from, token_id id)
{
    if (to->from == NO_WAY || score > to->score)
        *to = (struct best){.score = score, .from = (uint32_t)from, .id = id};
}

/* Offers each token that begins at from; is one of them the character that ends at next? */
static bool offer_tokens(const struct unigram *u, struct str piece, size_t from, size_t next,
                         bool plain, struct best *best)
{
    const double so_far = best[from].score;
    const unsigned char first = (unsigned char)piece.ptr[from];
    uint32_t node = u->first[first];
    token_id id = u->first_token[first];
    bool has_character = false;

    for (size_t to = from + 1; node != 0; to++) {
        if (id >= 0 && !(plain && u->added[id])) {
            offer(&best[to], u->scores[id] + so_far, from, id);
            has_character = has_character || to == next;
        }
        if (to == piece.len)
            break;
        const uint64_t key = (uint64_t)node << 8 | (unsigned char)piece.ptr[to];
        node = 0;
        for (size_t at = slot_of(key) & u->mask; u->edges[at].key != 0; at = (at + 1) & u->mask)
            if (u->edges[at].key == key) {
                node = u->edges[at].to;
                id = u->edges[at].token;
                break;
            }
    }
    return has_character;
}

static void find_best(const struct unigram *u, struct str piece, bool plain, struct best *best)
{
    for (size_t i = 0; i <= piece.len; i++)
        best[i].from = NO_WAY;
    best[0].score = 0;
    for (size_t at = 0; at < piece.len;) {
        size_t next = at;

        (void)utf8_next(piece, &next);
        if (!offer_tokens(u, piece, at, next, plain, best))
            offer(&best[next], u->unknown_score + best[at].score, at, u->unknown);
        at = next;
    }
}

/* Writes the tokens of a stretch backwards, the last first. */
static bool put_backwards(const struct unigram *u, struct str text, token_id id, bool plain,
                          struct token_list *out, struct error *err)
{
    if (!token_list_reserve(out, text.len + 1, err))
        return false;
    if (id == u->unknown) { /* several together may be a token, in a file that no training made */
        const token_id whole = text_table_find(u->by_name, text);
        bool has_bytes = u->fallback;

        if (whole >= 0 && u->names[whole].ptr != NULL && !(plain && u->added[whole])) {
            out->ids[out->n++] = whole;
            return true;
        }
        for (size_t i = 0; has_bytes && i < text.len; i++)
            has_bytes = u->of_byte[(unsigned char)text.ptr[i]] >= 0;
        for (size_t i = text.len; has_bytes && i > 0; i--)
            out->ids[out->n++] = u->of_byte[(unsigned char)text.ptr[i - 1]];
        if (has_bytes)
            return true;
    }
    out->ids[out->n++] = id;
    return true;
}

bool unigram_encode(const struct unigram *u, struct str piece, bool plain,
                    struct unigram_scratch *s, struct token_list *out, struct error *err)
{
    const size_t start = out->n;

    if (piece.len >= NO_WAY)
        return fail(err, ERR_LIMIT, "a piece of %zu bytes is too long to tokenize", piece.len);
    if (!scratch_grow(s, piece.len + 1, err))
        return false;
    struct best *best = s->nodes;
    find_best(u, piece, plain, best);
    for (size_t to = piece.len; to > 0;) {
        const token_id id = best[to].id;
        size_t from = best[to].from;

        while (id == u->unknown && from > 0 && best[from].id == u->unknown)
            from = best[from].from;
        if (!put_backwards(u, (struct str){piece.ptr + from, to - from}, id, plain, out, err))
            return false;
        to = from;
    }
    for (size_t i = start, k = out->n; i + 1 < k; i++) {
        const token_id id = out->ids[i];

        out->ids[i] = out->ids[--k];
        out->ids[k] = id;
    }
    return true;
}
