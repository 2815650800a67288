/*
 * json_texts.c - an automaton over characters becomes one over the bytes of a JSON string: UTF-8 and all escapes of each character.
 *
 * Between two characters stand states that know a part of one: a tree of its bytes, or of its hexadecimal digits. They are made
 * from the back, and those that lead to the same are one, whichever characters they are part of.
 */
#include "text/json_rules_internal.h"

#include <stdlib.h>

#define MOST_EDGES 128 /* of a state between characters */

struct byte_edge {
    uint32_t to;
    uint8_t lo, hi;
};
struct between { /* a state between characters: where bytes lead */
    uint32_t state;
    size_t n;
    struct byte_edge *e;
};

struct writer {
    struct grammar_builder *b;
    const struct automaton *x;
    struct arena arena;
    uint32_t rule, *of; /* [n_states] the builder's */
    struct between **table;
    size_t n, cap;
    uint32_t low_to,
        low;     /* the last low surrogates, and where all of them lead; see low_surrogate */
    uint32_t at; /* the automaton's state whose characters are written */
};

static void put_edge(struct between *l, unsigned lo, unsigned hi, uint32_t to)
{
    if (to == 0)
        return;
    if (l->n > 0 && l->e[l->n - 1].to == to && l->e[l->n - 1].hi + 1u == lo)
        l->e[l->n - 1].hi = (uint8_t)hi;
    else
        l->e[l->n++] = (struct byte_edge){.to = to, .lo = (uint8_t)lo, .hi = (uint8_t)hi};
}

static size_t hash_of(const struct between *l)
{
    uint64_t h = l->n;

    for (size_t i = 0; i < l->n; i++) {
        h = (h ^ l->e[i].to) * 0x9E3779B97F4A7C15u;
        h = (h ^ (h >> 31) ^ ((uint64_t)l->e[i].lo << 8 | l->e[i].hi)) * 0x9E3779B97F4A7C15u;
    }
    return (size_t)(h ^ h >> 29);
}

static bool is_same(const struct between *x, const struct between *y)
{
    if (x->n != y->n)
        return false;
    for (size_t i = 0; i < x->n; i++)
        if (x->e[i].to != y->e[i].to || x->e[i].lo != y->e[i].lo || x->e[i].hi != y->e[i].hi)
            return false;
    return true;
}

static struct between **slot_of(struct between **table, size_t cap, const struct between *l)
{
    size_t at = hash_of(l) & (cap - 1);

    while (table[at] != NULL && !is_same(table[at], l))
        at = (at + 1) & (cap - 1);
    return &table[at];
}

static void build_edges(struct writer *w, uint32_t from, const struct between *l, uint32_t does)
{
    for (size_t i = 0; i < l->n; i++)
        build_edge(w->b, from, l->e[i].lo, l->e[i].hi, l->e[i].to, does);
}

/* The state that does what l says; 0 where that is nothing. */
static uint32_t state_of(struct writer *w, const struct between *l)
{
    if (l->n == 0 || w->b->full)
        return 0;
    if (2 * w->n >= w->cap) {
        const size_t cap = w->cap == 0 ? 256 : 2 * w->cap;
        struct between **grown = ARENA_ARRAY(&w->arena, struct between *, cap);

        for (size_t i = 0; i < w->cap; i++)
            if (w->table[i] != NULL)
                *slot_of(grown, cap, w->table[i]) = w->table[i];
        w->table = grown;
        w->cap = cap;
    }
    struct between **slot = slot_of(w->table, w->cap, l);
    if (*slot == NULL) {
        *slot = ARENA_NEW(&w->arena, struct between);
        (*slot)->n = l->n;
        (*slot)->e = ARENA_ARRAY(&w->arena, struct byte_edge, l->n);
        memcpy((*slot)->e, l->e, l->n * sizeof *l->e);
        (*slot)->state = build_state(w->b, w->rule);
        build_edges(w, (*slot)->state, l, 0);
        w->n++;
    }
    return (*slot)->state;
}

/* The state behind a character; 0: it may not come. */
static uint32_t behind(const struct writer *w, uint32_t run)
{
    const uint32_t to = w->x->next[(size_t)w->at * w->x->n_classes + w->x->class_of[run]];

    return to == AUTOMATON_NONE ? 0 : w->of[to];
}

#define MIXED UINT32_MAX

/* Where all of lo .. hi lead; MIXED: to more than one place. Surrogates are no characters. */
static uint32_t behind_all(const struct writer *w, uint32_t lo, uint32_t hi)
{
    uint32_t run = automaton_run(w->x, lo);
    const uint32_t to = behind(w, run);

    if (lo <= 0xDFFF && hi >= 0xD800)
        return lo >= 0xD800 && hi <= 0xDFFF ? 0 : MIXED;
    while (w->x->cuts[run + 1] <= hi)
        if (behind(w, ++run) != to)
            return MIXED;
    return to;
}

/* ---- bytes of UTF-8 ---- */

/* n more bytes, which tell from .. from + 64^n - 1 apart; characters before `first` are not written so. */
static uint32_t rest_of_utf8(struct writer *w, size_t n, uint32_t from, uint32_t first)
{
    const uint32_t step = n == 1 ? 1 : n == 2 ? 64 : 4096;
    struct byte_edge edges[64];
    struct between l = {.e = edges};
    uint32_t to;

    if (n == 0)
        return behind_all(w, from, from);
    if (w->b->full || from >= CHAR_END || from + 64 * step <= first)
        return 0;
    if (from >= first && from + 64 * step <= CHAR_END) { /* all alike: so is each part */
        to = behind_all(w, from, from + 64 * step - 1);
        if (to == 0)
            return 0;
        if (to != MIXED) {
            put_edge(&l, 0x80, 0xBF, n == 1 ? to : rest_of_utf8(w, n - 1, from, first));
            return state_of(w, &l);
        }
    }
    for (unsigned i = 0; i < 64; i++)
        if (from + (i + 1) * step > first && from + i * step < CHAR_END)
            put_edge(&l, 0x80 + i, 0x80 + i, rest_of_utf8(w, n - 1, from + i * step, first));
    return state_of(w, &l);
}

static void write_utf8(struct writer *w, uint32_t does)
{
    struct byte_edge edges[MOST_EDGES];
    struct between l = {.e = edges};

    for (unsigned lead = 0xC2; lead < 0xF5; lead++)
        put_edge(&l, lead, lead,
                 lead < 0xE0   ? rest_of_utf8(w, 1, (lead & 31) << 6, 0x80)
                 : lead < 0xF0 ? rest_of_utf8(w, 2, (lead & 15) << 12, 0x800)
                               : rest_of_utf8(w, 3, (lead & 7) << 18, 0x10000));
    build_edges(w, w->of[w->at], &l, does);
}

/* ---- escapes ---- */

/* Behind all but n of a unit's four digits: hexadecimal digits in either case, or where each leads. */
static uint32_t digits_of(struct writer *w, const uint32_t to[16])
{
    struct byte_edge edges[MOST_EDGES];
    struct between l = {.e = edges};

    for (unsigned d = 0; d < 10; d++)
        put_edge(&l, '0' + d, '0' + d, to[d]);
    for (unsigned d = 10; d < 16; d++)
        put_edge(&l, 'A' + d - 10, 'A' + d - 10, to[d]);
    for (unsigned d = 10; d < 16; d++)
        put_edge(&l, 'a' + d - 10, 'a' + d - 10, to[d]);
    return state_of(w, &l);
}

static uint32_t one_byte(struct writer *w, unsigned byte, uint32_t to)
{
    struct byte_edge edges[MOST_EDGES];
    struct between l = {.e = edges};

    put_edge(&l, byte, byte, to);
    return state_of(w, &l);
}

/* n digits that tell base .. base + 16^n - 1 apart. */
static uint32_t rest_of_digits(struct writer *w, size_t n, uint32_t base)
{
    const uint32_t step = (uint32_t)1 << (4 * (n - 1)),
                   all = behind_all(w, base, base + 16 * step - 1);
    uint32_t to[16];

    if (all == 0 || w->b->full)
        return 0;
    for (unsigned d = 0; d < 16; d++) {
        if (d > 0 && all != MIXED)
            to[d] = to[0];
        else
            to[d] = n == 1 ? behind_all(w, base + d, base + d)
                           : rest_of_digits(w, n - 1, base + d * step);
    }
    return digits_of(w, to);
}

/* Behind the first of two surrogates: \uDC00 .. \uDFFF, for the characters from base on. */
static uint32_t low_surrogate(struct writer *w, uint32_t base)
{
    const uint32_t all = behind_all(w, base, base + 1023);
    uint32_t to[16] = {0}, tens[16] = {0};

    if (all == 0 || w->b->full)
        return 0;
    if (all != MIXED && all == w->low_to) /* as the one before */
        return w->low;
    for (unsigned d = 12; d < 16; d++)
        to[d] = rest_of_digits(w, 2, base + (d - 12) * 256);
    tens[13] = digits_of(w, to);
    w->low = one_byte(w, '\\', one_byte(w, 'u', digits_of(w, tens)));
    w->low_to = all;
    return w->low;
}

/* \uD800 .. \uDBFF, each with its partner: behind "\uD", the digit 8 .. B and two more. */
static void high_surrogates(struct writer *w, uint32_t to[16])
{
    const uint32_t all = behind_all(w, 0x10000, CHAR_END - 1);

    for (unsigned d = 8; d < 12 && !w->b->full; d++) {
        uint32_t second[16];

        if (d > 8 && all != MIXED) {
            to[d] = to[8];
            continue;
        }
        for (unsigned i = 0; i < 16; i++) {
            uint32_t third[16];

            for (unsigned j = 0; j < 16; j++)
                third[j] = all != MIXED && i + j > 0
                               ? (j > 0 ? third[0] : 0)
                               : low_surrogate(w, 0x10000 + ((((d - 8) * 16 + i) * 16 + j) << 10));
            second[i] = all != MIXED && i > 0 ? second[0] : digits_of(w, third);
        }
        to[d] = digits_of(w, second);
    }
}

static void write_escapes(struct writer *w, uint32_t does)
{
    static const char letters[] = "\"/\\bfnrt", what[] = "\"/\\\b\f\n\r\t";
    struct byte_edge edges[MOST_EDGES];
    struct between l = {.e = edges};
    uint32_t to[16], of_d[16] = {0};

    for (size_t i = 0; letters[i] != '\0'; i++)
        put_edge(&l, (unsigned char)letters[i], (unsigned char)letters[i],
                 behind(w, automaton_run(w->x, (unsigned char)what[i])));
    for (unsigned d = 0; d < 16; d++)
        to[d] = d == 13 ? 0 : rest_of_digits(w, 3, d << 12);
    for (unsigned d = 0; d < 8; d++)
        of_d[d] = rest_of_digits(w, 2, 0xD000 + (d << 8));
    high_surrogates(w, of_d);
    to[13] = digits_of(w, of_d);
    put_edge(&l, 'u', 'u', digits_of(w, to));
    const uint32_t escape = state_of(w, &l);
    if (escape != 0)
        build_edge(w->b, w->of[w->at], '\\', '\\', escape, does);
}

static void write_ascii(struct writer *w, uint32_t does)
{
    struct byte_edge edges[MOST_EDGES];
    struct between l = {.e = edges};

    for (unsigned c = ' '; c < 0x80; c++)
        if (c != '"' && c != '\\')
            put_edge(&l, c, c, behind(w, automaton_run(w->x, c)));
    build_edges(w, w->of[w->at], &l, does);
}

uint32_t json_build_texts(struct grammar_builder *b, uint32_t rule, const struct automaton *x,
                          bool counted, const uint32_t *ends, uint32_t n_ends)
{
    struct writer w = {.b = b, .x = x, .rule = rule};
    const uint32_t does = counted ? EDGE_COUNT : 0;

    if (b->full)
        return 0;
    w.of = ARENA_ARRAY(&w.arena, uint32_t, x->n_states);
    for (uint32_t s = 0; s < x->n_states; s++)
        w.of[s] = build_state(b, w.rule);
    for (; w.at < x->n_states && !b->full; w.at++) {
        const uint32_t label = x->accepts[w.at];

        write_ascii(&w, does);
        write_utf8(&w, does);
        write_escapes(&w, does);
        if (label != 0 && label < n_ends && ends[label] != 0)
            build_edge(b, w.of[w.at], '"', '"', ends[label], counted ? EDGE_CLOSE : 0);
    }
    const uint32_t first = w.of[0];
    arena_release(&w.arena);
    return first;
}

uint32_t json_texts_rule(struct grammar_builder *b, const struct automaton *x, uint32_t min,
                         uint32_t max)
{
    const uint32_t rule = build_rule(b, min, max), done = build_state(b, rule);

    if (b->full)
        return 0;
    const uint32_t first = json_build_texts(b, rule, x, min > 0 || max != GRAMMAR_FREE,
                                            (const uint32_t[]){0, done}, 2);
    build_edge(b, b->rules[rule].start, '"', '"', first, 0);
    build_accept(b, done);
    return rule;
}
