/*
 * string_pattern.c - a pattern's tree is laid out as a nondeterministic automaton (Thompson's), and that made deterministic by
 * subsets. "^" and "$" are steps that only the first and the last place take.
 */
#include "text/string_pattern.h"
#include "text/string_pattern_internal.h"

#include <stdlib.h>

#define MOST_NODES ((uint32_t)20000) /* of the nondeterministic automaton */
#define MOST_LAID ((uint32_t)1000000)

/* ---- laying out ---- */

struct node { /* of the nondeterministic automaton */
    enum { CHAR, SPLIT, AT_FIRST, AT_LAST, MATCH } kind;
    uint32_t set, to, or_to;
};

struct layout {
    struct arena *a; /* scratch */
    const struct ranges *sets;
    size_t n_sets;
    struct node *nodes;       /* [MOST_NODES] */
    uint32_t n_nodes, n_laid; /* parts laid out, those of no node included */
    struct error *err;
};

/* AUTOMATON_NONE once there are too many. */
static uint32_t node_new(struct layout *p, struct node n)
{
    if (p->n_nodes >= MOST_NODES || p->n_laid > MOST_LAID)
        return AUTOMATON_NONE;
    p->nodes[p->n_nodes] = n;
    return p->n_nodes++;
}

static uint32_t lay_out(struct layout *p, const struct tree *t, uint32_t to);

/* x{min,max} before `to`, from the back. */
static uint32_t lay_out_repeat(struct layout *p, const struct tree *t, uint32_t to)
{
    const uint32_t end = to;

    if (t->max == AUTOMATON_FREE) {
        const uint32_t split = node_new(p, (struct node){.kind = SPLIT, .or_to = to});

        if (split == AUTOMATON_NONE)
            return split;
        p->nodes[split].to = lay_out(p, t->l, split);
        to = split;
    }
    for (uint32_t i = t->min; t->max != AUTOMATON_FREE && i < t->max && to != AUTOMATON_NONE; i++)
        to = node_new(p, (struct node){.kind = SPLIT, .to = lay_out(p, t->l, to), .or_to = end});
    for (uint32_t i = 0; i < t->min && to != AUTOMATON_NONE; i++)
        to = node_new(p,
                      (struct node){.kind = SPLIT,
                                    .to = lay_out(p, t->l, to),
                                    .or_to = AUTOMATON_NONE}); /* a node, so that () counts, too */
    return to;
}

static uint32_t lay_out_one(struct layout *p, const struct tree *t, uint32_t to)
{
    if (++p->n_laid > MOST_LAID)
        return AUTOMATON_NONE;
    switch (t->kind) {
    case SET:
        return node_new(p, (struct node){.kind = CHAR, .set = t->set, .to = to});
    case FIRST:
        return node_new(p, (struct node){.kind = AT_FIRST, .to = to});
    case LAST:
        return node_new(p, (struct node){.kind = AT_LAST, .to = to});
    case REPEAT:
        return lay_out_repeat(p, t, to);
    case EITHER:
    case CONCAT:
        return lay_out(p, t, to);
    default:
        return to;
    }
}

/* The node where what t matches before `to` begins. */
static uint32_t lay_out(struct layout *p, const struct tree *t, uint32_t to)
{
    uint32_t others = AUTOMATON_NONE; /* alternatives so far */

    for (; t->kind == EITHER && to != AUTOMATON_NONE; t = t->r) {
        const uint32_t one = lay_out(p, t->l, to);

        if (one == AUTOMATON_NONE)
            return one;
        others = others == AUTOMATON_NONE
                     ? one
                     : node_new(p, (struct node){.kind = SPLIT, .to = one, .or_to = others});
        if (others == AUTOMATON_NONE)
            return others;
    }
    if (t->kind != CONCAT && t->kind != EITHER) {
        to = to == AUTOMATON_NONE ? to : lay_out_one(p, t, to);
    } else {
        size_t n = 0, i = 0;

        for (const struct tree *x = t; x->kind == CONCAT; x = x->r)
            n++;
        const struct tree **parts = ARENA_ARRAY(p->a, const struct tree *, n + 1);
        for (const struct tree *x = t; x->kind == CONCAT; x = x->r)
            parts[i++] = x->l;
        while (i-- > 0 && to != AUTOMATON_NONE)
            to = lay_out_one(p, parts[i], to);
    }
    return others == AUTOMATON_NONE || to == AUTOMATON_NONE
               ? to
               : node_new(p, (struct node){.kind = SPLIT, .to = to, .or_to = others});
}

/* ---- subsets ---- */

struct subsets {
    struct layout *p;
    struct arena *a; /* scratch */
    uint32_t match;
    uint32_t (
        *set)[2]; /* [LIMIT_AUTOMATON_STATES] where a state's nodes begin and end, in members */
    uint32_t *members, n_members, room_members, n, *table;
    size_t cap;
    uint32_t *mark, marked, *stack, *now, n_now;
    uint64_t steps;
};

/* Puts into now what a node leads to without a character. */
static void close_over(struct subsets *s, uint32_t from, bool at_first, bool at_last)
{
    size_t n = 0;

    s->stack[n++] = from;
    while (n > 0) {
        const uint32_t at = s->stack[--n];

        if (at == AUTOMATON_NONE || s->mark[at] == s->marked)
            continue;
        const struct node *node = &s->p->nodes[at];
        s->mark[at] = s->marked;
        s->steps++;
        if (node->kind == SPLIT) {
            s->stack[n++] = node->or_to;
            s->stack[n++] = node->to;
        } else if (node->kind == AT_FIRST || (node->kind == AT_LAST && at_last)) {
            if (node->kind == AT_LAST || at_first)
                s->stack[n++] = node->to;
        } else {
            s->now[s->n_now++] = at;
        }
    }
}

static int by_number(const void *x, const void *y)
{
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

    return (a > b) - (a < b);
}

/* The state of the nodes in now; AUTOMATON_NONE: none, or no room. */
static uint32_t subset_state(struct subsets *s)
{
    uint64_t h = 0;

    for (uint32_t i = 0; i < s->n_now; i++) {
        if (s->now[i] == s->match) { /* whatever else may come: it has matched */
            s->now[0] = s->match;
            s->n_now = 1;
        }
    }
    if (s->n_now == 0)
        return AUTOMATON_NONE;
    qsort(s->now, s->n_now, sizeof *s->now, by_number);
    for (uint32_t i = 0; i < s->n_now; i++)
        h = (h ^ s->now[i]) * 0x9E3779B97F4A7C15u, h ^= h >> 29;
    s->steps += s->n_now;
    size_t at = h & (s->cap - 1);
    for (; s->table[at] != AUTOMATON_NONE; at = (at + 1) & (s->cap - 1)) {
        const uint32_t *old = s->set[s->table[at]];

        if (old[1] - old[0] == s->n_now &&
            memcmp(s->members + old[0], s->now, s->n_now * sizeof *s->now) == 0)
            return s->table[at];
    }
    if (s->n == LIMIT_AUTOMATON_STATES || s->n_members > ((uint32_t)1 << 24))
        return AUTOMATON_NONE;
    if (s->n_members + s->n_now > s->room_members) {
        s->room_members = 2 * (s->n_members + s->n_now) + 1024;
        uint32_t *grown = ARENA_ARRAY(s->a, uint32_t, s->room_members);
        if (s->n_members > 0)
            memcpy(grown, s->members, s->n_members * sizeof *grown);
        s->members = grown;
    }
    memcpy(s->members + s->n_members, s->now, s->n_now * sizeof *s->now);
    s->set[s->n][0] = s->n_members;
    s->n_members += s->n_now;
    s->set[s->n][1] = s->n_members;
    return s->table[at] = s->n++;
}

/* The runs of characters that no set tells apart, and their classes; in[class * n_sets + set]: whether it is in the set. */
static bool find_classes(struct layout *p, struct arena *a, struct automaton *out, bool **in)
{
    size_t n = 1, words = p->n_sets;

    for (size_t i = 0; i < p->n_sets; i++)
        n += 2 * p->sets[i].n;
    uint32_t *cuts = ARENA_ARRAY(a, uint32_t, n + 2);
    size_t n_cuts = 0, k = 0;
    cuts[n_cuts++] = 0;
    for (size_t i = 0; i < p->n_sets; i++)
        for (size_t j = 0; j < p->sets[i].n; j++) {
            cuts[n_cuts++] = p->sets[i].r[j].first;
            cuts[n_cuts++] = p->sets[i].r[j].last + 1;
        }
    qsort(cuts, n_cuts, sizeof *cuts, by_number);
    for (size_t i = 0; i < n_cuts; i++)
        if ((k == 0 || cuts[i] != cuts[k - 1]) && cuts[i] < CHAR_END)
            cuts[k++] = cuts[i];
    cuts[k] = CHAR_END;
    out->cuts = cuts;
    out->n_cuts = (uint32_t)k;
    out->class_of = ARENA_ARRAY(a, uint16_t, k + 1);
    if (k * (words + 1) > ((size_t)64 << 20))
        return fail(p->err, ERR_LIMIT, "it holds too many classes of characters");
    bool *member =
        arena_alloc(p->a, k * (words + 1)); /* by run, then by class: the first run of each */
    for (size_t i = 0; i < words; i++)
        for (size_t j = 0, run = 0; j < p->sets[i].n; j++) {
            while (cuts[run] < p->sets[i].r[j].first)
                run++;
            for (; run < k && cuts[run] <= p->sets[i].r[j].last; run++)
                member[run * words + i] = true;
        }
    uint64_t *hash = arena_alloc(p->a, k * sizeof *hash);
    for (size_t run = 0; run < k; run++) {
        size_t c = 0;
        uint64_t h = 0;

        for (size_t i = 0; i < words; i++)
            h = member[run * words + i] ? (h ^ (i + 1)) * 0x9E3779B97F4A7C15u : h;
        while (c < out->n_classes &&
               (hash[c] != h || memcmp(member + c * words, member + run * words, words) != 0))
            c++;
        if (c == out->n_classes) { /* c <= run: what is overwritten was looked at */
            memmove(member + c * words, member + run * words, words);
            hash[out->n_classes++] = h;
        }
        out->class_of[run] = (uint16_t)c;
    }
    *in = member;
    return out->n_classes < UINT16_MAX ||
           fail(p->err, ERR_LIMIT, "it holds too many classes of characters");
}

/* The state after a character of a class. */
static uint32_t step(struct subsets *s, uint32_t state, const bool *in)
{
    s->marked++;
    s->n_now = 0;
    for (uint32_t i = s->set[state][0]; i < s->set[state][1]; i++) {
        const struct node *node = &s->p->nodes[s->members[i]];

        s->steps++;
        if (node->kind == MATCH || (node->kind == CHAR && in[node->set]))
            close_over(s, node->kind == MATCH ? s->members[i] : node->to, false, false);
    }
    return subset_state(s);
}

/* Whether a text may end in a state: what stands before "$" is had, too. */
static bool may_end(struct subsets *s, uint32_t state, bool at_first)
{
    s->marked++;
    s->n_now = 0;
    for (uint32_t i = s->set[state][0]; i < s->set[state][1]; i++)
        close_over(s, s->members[i], at_first, true);
    for (uint32_t i = 0; i < s->n_now; i++)
        if (s->now[i] == s->match)
            return true;
    return false;
}

static bool make_subsets(struct subsets *s, struct automaton *out, const bool *in)
{
    const size_t k = out->n_classes, words = s->p->n_sets;
    size_t room = 0;

    for (uint32_t at = 0; at < s->n; at++) {
        if (((size_t)at + 1) * k > room) {
            uint32_t *next = ARENA_ARRAY(s->a, uint32_t, 2 * room + 64 * k),
                     *accepts = ARENA_ARRAY(s->a, uint32_t, 2 * room / k + 64);
            if (at > 0) {
                memcpy(next, out->next, at * k * sizeof *next);
                memcpy(accepts, out->accepts, at * sizeof *accepts);
            }
            room = 2 * room + 64 * k;
            out->next = next;
            out->accepts = accepts;
        }
        out->accepts[at] = may_end(s, at, at == 0);
        for (size_t c = 0; c < k; c++) {
            out->next[at * k + c] = step(s, at, in + c * words);
            if (out->next[at * k + c] == AUTOMATON_NONE && s->n_now > 0)
                return fail(s->p->err, ERR_LIMIT, "it takes more than %u states",
                            LIMIT_AUTOMATON_STATES);
            if (s->steps > LIMIT_AUTOMATON_STEPS || s->n * k > LIMIT_AUTOMATON_EDGES)
                return fail(s->p->err, ERR_LIMIT, "it takes more than %llu steps",
                            (unsigned long long)LIMIT_AUTOMATON_STEPS);
        }
    }
    out->n_states = s->n;
    out->steps = s->steps;
    return true;
}

/* The search: any characters, then what begins at `start`. State 0 alone is at the first place. */
static bool determine(struct layout *p, struct arena *a, uint32_t start, uint32_t match,
                      struct automaton *out)
{
    struct subsets s = {.p = p, .a = p->a, .match = match, .cap = 4 * LIMIT_AUTOMATON_STATES};
    bool *in = NULL;

    if (!find_classes(p, a, out, &in))
        return false;
    s.set = arena_alloc(p->a, LIMIT_AUTOMATON_STATES * sizeof *s.set);
    s.table = ARENA_ARRAY(p->a, uint32_t, s.cap);
    memset(s.table, -1, s.cap * sizeof *s.table);
    s.mark = ARENA_ARRAY(p->a, uint32_t, p->n_nodes + 1);
    s.stack = ARENA_ARRAY(p->a, uint32_t, 2 * (size_t)p->n_nodes + 4);
    s.now = ARENA_ARRAY(p->a, uint32_t, p->n_nodes + 1);
    s.marked = 1;
    close_over(&s, start, true, false);
    subset_state(&s);
    memset(s.table, -1, s.cap * sizeof *s.table); /* no later place is the first one */
    return make_subsets(&s, out, in) && automaton_reduce(a, out, p->err);
}

bool string_pattern(struct arena *a, struct str pattern, enum string_dialect by,
                    struct automaton *out, struct error *err)
{
    struct arena scratch = {0};
    struct pattern_tree t = {0};
    struct automaton made = {0};
    bool ok = string_pattern_read(&scratch, pattern, by, &t, err);

    if (ok) {
        struct layout p = {.a = &scratch, .sets = t.sets, .n_sets = t.n_sets, .err = err};

        p.nodes = ARENA_ARRAY(&scratch, struct node, MOST_NODES);
        const uint32_t match = node_new(&p, (struct node){.kind = MATCH}),
                       begin = lay_out(&p, t.root, match),
                       split = node_new(&p, (struct node){.kind = SPLIT, .to = begin}),
                       any = node_new(&p, (struct node){.kind = CHAR, .set = t.any, .to = split});
        ok = begin != AUTOMATON_NONE && any != AUTOMATON_NONE;
        if (!ok)
            fail(err, ERR_LIMIT, "it takes more than %u places", MOST_NODES);
        else
            p.nodes[split].or_to = any;
        ok = ok && determine(&p, a, split, match, &made);
    }
    arena_release(&scratch);
    if (ok)
        *out = made;
    return ok;
}
