/*
 * json_containers.c - automata of arrays and objects.
 */
#include "text/json_rules_internal.h"

#include <stdlib.h>

static void optional_blank(struct grammar_builder *b, uint32_t from, uint32_t to)
{
    build_edge(b, from, ' ', ' ', to, 0);
}

/* A value of a union, with a blank before it or not. */
static void build_spaced(struct grammar_builder *b, uint32_t from, uint32_t of, uint32_t behind)
{
    const uint32_t blank = build_state(b, b->states[from].rule);

    optional_blank(b, from, blank);
    build_value(b, from, of, behind);
    build_value(b, blank, of, behind);
}

/* A comma, and what follows it. */
static void build_next(struct grammar_builder *b, uint32_t from, uint32_t of, uint32_t behind,
                       uint32_t does)
{
    const uint32_t comma = build_state(b, b->states[from].rule);

    build_edge(b, from, ',', ',', comma, does);
    build_spaced(b, comma, of, behind);
}

uint32_t json_array_rule(struct grammar_builder *b, uint32_t of, uint32_t min, uint32_t max)
{
    const bool counted = min > 1 || max != GRAMMAR_FREE;
    const uint32_t rule = build_rule(b, min > 0 ? min - 1 : 0,
                                     max == GRAMMAR_FREE || max == 0 ? GRAMMAR_FREE : max - 1);
    const uint32_t open = build_state(b, rule), behind = build_state(b, rule),
                   done = build_state(b, rule);

    if (b->full)
        return 0;
    build_edge(b, b->rules[rule].start, '[', '[', open, 0);
    if (min == 0)
        build_edge(b, open, ']', ']', done, 0);
    if (max > 0)
        build_value(b, open, of, behind);
    build_next(b, behind, of, behind, counted ? EDGE_COUNT : 0);
    build_edge(b, behind, ']', ']', done, counted ? EDGE_CLOSE : 0);
    build_accept(b, done);
    return rule;
}

uint32_t json_tuple_rule(struct grammar_builder *b, const uint32_t *first, uint32_t n, uint32_t of,
                         uint32_t min, uint32_t max)
{
    n = n < max ? n : max;
    const uint32_t rule =
        build_rule(b, min > n ? min - n : 0, max == GRAMMAR_FREE ? GRAMMAR_FREE : max - n);
    const uint32_t done = build_state(b, rule);
    uint32_t at = build_state(b, rule);

    if (b->full)
        return 0;
    build_accept(b, done);
    build_edge(b, b->rules[rule].start, '[', '[', at, 0);
    for (uint32_t i = 0; i < n && !b->full; i++) {
        const uint32_t behind = build_state(b, rule);

        if (i >= min)
            build_edge(b, at, ']', ']', done, 0);
        if (i == 0)
            build_value(b, at, first[0], behind);
        else
            build_next(b, at, first[i], behind, 0);
        at = behind;
    }
    if (n >= min)
        build_edge(b, at, ']', ']', done, 0);
    if (n < max && !b->full) {
        const uint32_t behind = build_state(b, rule);

        build_next(b, at, of, behind, EDGE_COUNT);
        build_next(b, behind, of, behind, EDGE_COUNT);
        build_edge(b, behind, ']', ']', done, EDGE_CLOSE);
    }
    return rule;
}

/* The constants of a set, as a union. */
static uint32_t build_constants(struct grammar_builder *b, const struct str *texts,
                                const uint32_t *bits, size_t n)
{
    const uint32_t rule = build_rule(b, 0, GRAMMAR_FREE), of = build_union(b);

    if (!b->full)
        b->rules[rule].once = true;
    build_member(b, of, rule);
    for (size_t i = 0; i < n && !b->full; i++) {
        const uint32_t end = build_text(b, b->rules[rule].start, texts[i], EDGE_ONCE);

        build_accept(b, end);
        if (!b->full)
            b->states[end].constant = bits[i];
    }
    return of;
}

uint32_t json_set_rule(struct grammar_builder *b, const struct str *texts, const uint32_t *bits,
                       size_t n, uint32_t min, uint32_t max)
{
    uint32_t all = 0;

    for (size_t i = 0; i < n; i++)
        all |= bits[i];
    const uint32_t n_bits = (uint32_t)__builtin_popcount(all), most = max < n_bits ? max : n_bits;
    const uint32_t rule = build_rule(b, min, most), open = build_state(b, rule),
                   behind = build_state(b, rule), done = build_state(b, rule);

    if (b->full)
        return 0;
    b->rules[rule].once = true;
    build_accept(b, done);
    build_edge(b, b->rules[rule].start, '[', '[', open, 0);
    if (min == 0)
        build_edge(b, open, ']', ']', done, 0);
    if (most == 0 || min > most)
        return rule;
    const uint32_t of = build_constants(b, texts, bits, n);
    build_value(b, open, of, behind);
    build_next(b, behind, of, behind, EDGE_ONCE | EDGE_COUNT);
    build_edge(b, behind, ']', ']', done, EDGE_ONCE | EDGE_CLOSE);
    return rule;
}

uint32_t json_map_rule(struct grammar_builder *b, uint32_t of)
{
    const uint32_t rule = build_rule(b, 0, GRAMMAR_FREE), open = build_state(b, rule),
                   key = build_state(b, rule), colon = build_state(b, rule),
                   value = build_state(b, rule), behind = build_state(b, rule),
                   comma = build_state(b, rule), next = build_state(b, rule),
                   done = build_state(b, rule);

    if (b->full)
        return 0;
    build_edge(b, b->rules[rule].start, '{', '{', open, 0);
    build_edge(b, open, '}', '}', done, 0);
    build_edge(b, open, '"', '"', key, 0);
    json_build_string(b, key, colon, false);
    build_edge(b, colon, ':', ':', value, 0);
    build_spaced(b, value, of, behind);
    build_edge(b, behind, '}', '}', done, 0);
    build_edge(b, behind, ',', ',', comma, 0);
    optional_blank(b, comma, next);
    build_edge(b, comma, '"', '"', key, 0);
    build_edge(b, next, '"', '"', key, 0);
    build_accept(b, done);
    return rule;
}

uint32_t json_keys_rule(struct grammar_builder *b, const struct automaton *keys, const uint32_t *of,
                        uint32_t n_labels, uint32_t min, uint32_t max)
{
    const uint32_t counts = max != GRAMMAR_FREE ? EDGE_COUNT : 0;
    const uint32_t rule = build_rule(b, 0, max), open = build_state(b, rule),
                   behind = build_state(b, rule), comma = build_state(b, rule),
                   next = build_state(b, rule), done = build_state(b, rule);
    uint32_t *colon = calloc(n_labels, sizeof *colon);

    if (colon == NULL)
        b->full = true;
    if (b->full) {
        free(colon);
        return 0;
    }
    for (uint32_t i = 1; i < n_labels && !b->full; i++) {
        if (of[i] == GRAMMAR_NONE)
            continue;
        const uint32_t value = build_state(b, rule);

        colon[i] = build_state(b, rule);
        build_edge(b, colon[i], ':', ':', value, 0);
        build_spaced(b, value, of[i], behind);
    }
    build_edge(b, b->rules[rule].start, '{', '{', open, 0);
    if (min == 0)
        build_edge(b, open, '}', '}', done, 0);
    build_edge(b, behind, '}', '}', done, 0);
    build_edge(b, behind, ',', ',', comma, 0);
    optional_blank(b, comma, next);
    const uint32_t key = json_build_texts(b, rule, keys, false, colon, n_labels);
    build_edge(b, open, '"', '"', key, counts);
    build_edge(b, comma, '"', '"', key, counts);
    build_edge(b, next, '"', '"', key, counts);
    build_accept(b, done);
    free(colon);
    return rule;
}

/* Properties that may come once `from` of n are settled: up to the next that must. */
static size_t next_required(const struct json_property *p, size_t from, size_t n)
{
    while (from < n && !p[from].required)
        from++;
    return from;
}

static void build_keys(struct grammar_builder *b, const struct json_property *p, size_t from,
                       size_t n, uint32_t state, bool counted)
{
    for (size_t j = from; j < n && !b->full; j++) {
        /* all but its last byte is shared; that byte leads to the property's own state */
        const uint32_t end =
            build_text(b, state, (struct str){p[j].text.ptr, p[j].text.len - 1}, 0);

        build_edge(b, end, ':', ':', p[j].value, counted ? EDGE_COUNT : 0);
        if (p[j].required)
            return;
    }
}

uint32_t json_object_rule(struct grammar_builder *b, struct json_property *p,
                          const uint32_t *values, size_t n, uint32_t min, uint32_t max)
{
    const bool counted = min > 0 || max != GRAMMAR_FREE;
    const uint32_t rule = build_rule(b, min, max), open = build_state(b, rule),
                   done = build_state(b, rule);

    for (size_t j = 0; j < n && !b->full; j++) {
        p[j].value = build_state(b, rule);
        p[j].behind = build_state(b, rule);
        build_spaced(b, p[j].value, values[j], p[j].behind);
    }
    if (b->full)
        return 0;
    build_edge(b, b->rules[rule].start, '{', '{', open, 0);
    build_accept(b, done);
    for (size_t j = 0; j <= n && !b->full; j++) { /* j properties are settled */
        const uint32_t at = j == 0 ? open : p[j - 1].behind;

        if (next_required(p, j, n) == n)
            build_edge(b, at, '}', '}', done, counted ? EDGE_CLOSE : 0);
        if (j == n)
            break;
        if (j == 0) {
            build_keys(b, p, 0, n, open, counted);
            continue;
        }
        const uint32_t comma = build_state(b, rule), next = build_state(b, rule),
                       quote = build_state(b, rule);
        build_edge(b, at, ',', ',', comma, 0);
        optional_blank(b, comma, next);
        build_edge(b, comma, '"', '"', quote, 0);
        build_edge(b, next, '"', '"', quote, 0);
        build_keys(b, p, j, n, next, counted); /* along the edge to quote */
    }
    return rule;
}
