/*
 * grammar_builder.c - states and edges as they come become tables.
 */
#include "base/size.h"
#include "text/grammar_internal.h"

#include <assert.h>
#include <stdlib.h>

/* An array with room for one more; where the limit or memory ends it is as it was, and the builder is full. */
static void *grown(struct grammar_builder *b, void *array, uint32_t n, uint32_t *cap, size_t size,
                   uint32_t limit)
{
    if (n < *cap)
        return array;
    const uint32_t more = *cap == 0 ? 256 : *cap * 2;
    void *p = n < limit ? realloc(array, more * size) : NULL;

    if (p == NULL) {
        b->full = true;
        return array;
    }
    *cap = more;
    return p;
}

#define GROW(b, what, limit)                                                                       \
    ((b)->what = grown((b), (b)->what, (b)->n_##what, &(b)->cap_##what, sizeof *(b)->what, limit), \
     !(b)->full)

void grammar_builder_init(struct grammar_builder *b)
{
    *b = (struct grammar_builder){0};
    const uint32_t root = build_rule(b, 0, GRAMMAR_FREE); /* its start stands for STATE_DEAD */

    while (!b->full && b->n_states < N_FIXED_STATES)
        build_state(b, root);
    if (!b->full) {
        b->rules[root].start = STATE_ROOT;
        build_accept(b, STATE_END);
    }
}

void grammar_builder_release(struct grammar_builder *b)
{
    free(b->states);
    free(b->edges);
    free(b->rules);
    free(b->members);
    *b = (struct grammar_builder){0};
}

uint32_t build_rule(struct grammar_builder *b, uint32_t min, uint32_t max)
{
    if (b->full || !GROW(b, rules, LIMIT_GRAMMAR_STATES))
        return 0;
    const uint32_t rule = b->n_rules++;
    b->rules[rule] = (struct grammar_rule){.min = min, .max = max};
    b->rules[rule].start = build_state(b, rule);
    return rule;
}

uint32_t build_state(struct grammar_builder *b, uint32_t rule)
{
    if (b->full || !GROW(b, states, LIMIT_GRAMMAR_STATES))
        return 0;
    b->states[b->n_states] = (struct built_state){
        .edges = GRAMMAR_NONE, .value = GRAMMAR_NONE, .after = GRAMMAR_NONE, .rule = rule};
    return b->n_states++;
}

void build_edge(struct grammar_builder *b, uint32_t from, unsigned lo, unsigned hi, uint32_t to,
                uint32_t does)
{
    if (b->full || !GROW(b, edges, LIMIT_GRAMMAR_EDGES))
        return;
    b->edges[b->n_edges] = (struct built_edge){.more = b->states[from].edges,
                                               .to = to | does,
                                               .from_byte = (uint8_t)lo,
                                               .to_byte = (uint8_t)hi};
    b->states[from].edges = b->n_edges++;
}

/* Where one byte leads already; 0: nowhere. */
static uint32_t followed(const struct grammar_builder *b, uint32_t from, unsigned byte)
{
    for (uint32_t e = b->states[from].edges; e != GRAMMAR_NONE; e = b->edges[e].more)
        if (b->edges[e].from_byte <= byte && byte <= b->edges[e].to_byte)
            return b->edges[e].to & EDGE_STATE;
    return 0;
}

uint32_t build_text(struct grammar_builder *b, uint32_t from, struct str text, uint32_t does)
{
    for (size_t i = 0; i < text.len && !b->full; i++) {
        const unsigned byte = (unsigned char)text.ptr[i];
        uint32_t to = followed(b, from, byte);

        if (to == 0) {
            to = build_state(b, b->states[from].rule);
            build_edge(b, from, byte, byte, to, does);
        }
        from = to;
    }
    return from;
}

void build_accept(struct grammar_builder *b, uint32_t state)
{
    if (!b->full)
        b->states[state].accepts = true;
}

void build_value(struct grammar_builder *b, uint32_t from, uint32_t of, uint32_t after)
{
    if (b->full)
        return;
    b->states[from].value = of;
    b->states[from].after = after;
}

uint32_t build_union(struct grammar_builder *b)
{
    return b->n_unions++;
}

void build_member(struct grammar_builder *b, uint32_t of, uint32_t rule)
{
    if (b->full || !GROW(b, members, LIMIT_GRAMMAR_EDGES))
        return;
    b->members[b->n_members++] = (struct built_member){of, rule};
}

/* ---- tables ---- */

static void find_classes(const struct grammar_builder *b, struct grammar *g)
{
    bool begins[257] = {[0] = true};
    uint32_t class = 0;

    for (uint32_t e = 0; e < b->n_edges; e++) {
        begins[b->edges[e].from_byte] = true;
        begins[b->edges[e].to_byte + 1] = true;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        class += byte > 0 && begins[byte];
        g->class_of[byte] = (uint8_t) class;
    }
    g->n_classes = class + 1;
}

static bool take_memory(const struct grammar_builder *b, struct grammar *g, struct error *err)
{
    static const char what[] = "a grammar";
    struct arena *a = &g->arena;
    const size_t n = g->n_states;

    g->next = arena_try(a, n * g->n_classes, sizeof *g->next, what, err);
    g->value = arena_try(a, n, sizeof *g->value, what, err);
    g->after = arena_try(a, n, sizeof *g->after, what, err);
    g->rule_of = arena_try(a, n, sizeof *g->rule_of, what, err);
    g->accepts = arena_try(a, n, sizeof *g->accepts, what, err);
    g->need = arena_try(a, n, sizeof *g->need, what, err);
    g->least = arena_try(a, n, sizeof *g->least, what, err);
    g->most = arena_try(a, n, sizeof *g->most, what, err);
    g->rules = arena_try(a, b->n_rules, sizeof *g->rules, what, err);
    g->unions = arena_try(a, b->n_unions, sizeof *g->unions, what, err);
    g->members = arena_try(a, size_max(b->n_members, 1), sizeof *g->members, what, err);
    return g->next != NULL && g->value != NULL && g->after != NULL && g->rule_of != NULL &&
           g->accepts != NULL && g->need != NULL && g->least != NULL && g->most != NULL &&
           g->rules != NULL && g->unions != NULL && g->members != NULL;
}

static void lay_out_states(const struct grammar_builder *b, struct grammar *g)
{
    for (uint32_t s = 0; s < b->n_states; s++) {
        const struct built_state *from = &b->states[s];

        g->value[s] = from->value;
        g->after[s] = from->after;
        g->rule_of[s] = from->rule;
        g->accepts[s] = !from->accepts ? ACCEPTS_NOT : from->constant != 0 ? ACCEPTS_NEW : ACCEPTS;
        for (uint32_t e = from->edges; e != GRAMMAR_NONE; e = b->edges[e].more)
            for (unsigned byte = b->edges[e].from_byte; byte <= b->edges[e].to_byte; byte++)
                g->next[(size_t)s * g->n_classes + g->class_of[byte]] = b->edges[e].to;
    }
    memcpy(g->rules, b->rules, b->n_rules * sizeof *g->rules);
}

/* Members in the order in which they were put; counted, then placed. */
static void lay_out_unions(const struct grammar_builder *b, struct grammar *g)
{
    uint32_t first = 0;

    for (uint32_t i = 0; i < b->n_members; i++)
        g->unions[b->members[i].of].n++;
    for (uint32_t u = 0; u < b->n_unions; u++) {
        g->unions[u].first = first;
        first += g->unions[u].n;
        g->unions[u].n = 0;
    }
    for (uint32_t i = 0; i < b->n_members; i++) {
        struct grammar_union *u = &g->unions[b->members[i].of];

        g->members[u->first + u->n++] = b->members[i].rule;
    }
}

static unsigned need_of(const struct grammar *g, uint32_t s)
{
    unsigned least = GRAMMAR_NEVER;

    if (g->accepts[s])
        return 0;
    for (uint32_t c = 0; c < g->n_classes; c++) {
        const uint32_t edge = g->next[(size_t)s * g->n_classes + c];

        if (edge != 0 && g->need[edge & EDGE_STATE] < least)
            least = g->need[edge & EDGE_STATE];
    }
    if (g->value[s] == GRAMMAR_NONE)
        return least;
    unsigned value = GRAMMAR_NEVER;
    const struct grammar_union *u = &g->unions[g->value[s]];
    for (uint32_t k = 0; k < u->n; k++) {
        const unsigned of_rule = g->need[g->rules[g->members[u->first + k]].start];

        if (of_rule < GRAMMAR_NEVER && of_rule + 1 < value)
            value = of_rule + 1;
    }
    const unsigned after = g->need[g->after[s]];
    return (unsigned)size_min(least, size_max(value, after));
}

/* The least fixed point, from above: the last states first, since rules are laid down front to back. */
static void find_needs(struct grammar *g)
{
    bool changed = true;

    g->most_needed = 0;
    memset(g->need, GRAMMAR_NEVER, g->n_states);
    while (changed) {
        changed = false;
        for (uint32_t s = g->n_states; s-- > STATE_DEAD + 1;) {
            const unsigned need = need_of(g, s);

            if (need < g->need[s] && need < GRAMMAR_DEPTH) {
                g->need[s] = (uint8_t)need;
                changed = true;
            }
        }
    }
    for (uint32_t s = 0; s < g->n_states; s++)
        if (g->need[s] != GRAMMAR_NEVER && g->need[s] > g->most_needed)
            g->most_needed = g->need[s];
}

/* ---- what may be counted from each state on ---- */

/* The edges of rules that count, backwards: those that lead to state s are at [from[s] .. from[s + 1]). */
struct backwards {
    struct arena arena;
    uint32_t *from, *of; /* of: the state an edge begins in, with EDGE_COUNT */
    uint32_t *queue;
};

static bool is_counted(const struct grammar *g, uint32_t s)
{
    const struct grammar_rule *r = &g->rules[g->rule_of[s]];

    return !r->once && (r->min > 0 || r->max != GRAMMAR_FREE);
}

/* The next step of a state: its edges by class, then what follows its value; 0: none there. */
static uint32_t step_of(const struct grammar *g, uint32_t s, uint32_t i)
{
    const uint32_t edge = i < g->n_classes              ? g->next[(size_t)s * g->n_classes + i]
                          : g->value[s] != GRAMMAR_NONE ? g->after[s]
                                                        : 0;

    if (edge == 0 || g->need[edge & EDGE_STATE] == GRAMMAR_NEVER)
        return 0;
    if (i == g->n_classes) {
        const struct grammar_union *u = &g->unions[g->value[s]];
        bool some = false;

        for (uint32_t k = 0; k < u->n && !some; k++)
            some = g->need[g->rules[g->members[u->first + k]].start] != GRAMMAR_NEVER;
        return some ? edge : 0;
    }
    return i > 0 && g->next[(size_t)s * g->n_classes + i - 1] == edge ? 0 : edge; /* a run once */
}

static bool turn_around(const struct grammar *g, struct backwards *b, struct error *err)
{
    static const char what[] = "a grammar";
    size_t n = 0;
    uint32_t edge;

    b->from = arena_try(&b->arena, (size_t)g->n_states + 2, sizeof *b->from, what, err);
    b->queue = arena_try(&b->arena, g->n_states, sizeof *b->queue, what, err);
    if (b->from == NULL || b->queue == NULL)
        return false;
    for (uint32_t s = N_FIXED_STATES; s < g->n_states; s++)
        for (uint32_t i = 0; is_counted(g, s) && i <= g->n_classes; i++)
            if ((edge = step_of(g, s, i)) != 0) {
                b->from[(edge & EDGE_STATE) + 2]++;
                n++;
            }
    for (uint32_t s = 0; s < g->n_states; s++)
        b->from[s + 2] += s > 0 ? b->from[s + 1] : 0;
    b->of = arena_try(&b->arena, n + 1, sizeof *b->of, what, err);
    if (b->of == NULL)
        return false;
    for (uint32_t s = N_FIXED_STATES; s < g->n_states; s++)
        for (uint32_t i = 0; is_counted(g, s) && i <= g->n_classes; i++)
            if ((edge = step_of(g, s, i)) != 0)
                b->of[b->from[(edge & EDGE_STATE) + 1]++] = s | (edge & EDGE_COUNT);
    return true;
}

/* From the ends backwards, over edges that do not count first: by rounds of one more that is counted. */
static void find_least(struct grammar *g, struct backwards *b)
{
    uint32_t *const later = arena_alloc(&b->arena, g->n_states * sizeof *later), n_now = 0,
                    n_later = 0;

    for (uint32_t s = 0; s < g->n_states; s++) {
        g->least[s] = is_counted(g, s) && s >= N_FIXED_STATES && !g->accepts[s] ? GRAMMAR_FREE : 0;
        if (is_counted(g, s) && g->accepts[s])
            b->queue[n_now++] = s;
    }
    for (uint32_t round = 0; n_now > 0; round++) {
        n_later = 0;
        for (uint32_t i = 0; i < n_now; i++) {
            const uint32_t s = b->queue[i];

            if (g->least[s] != round)
                continue; /* it was had in fewer */
            for (uint32_t e = b->from[s]; e < b->from[s + 1]; e++) {
                const uint32_t of = b->of[e] & EDGE_STATE, more = (b->of[e] & EDGE_COUNT) != 0;

                if (g->least[of] <= round + more)
                    continue;
                g->least[of] = round + more;
                if (more)
                    later[n_later++] = of;
                else
                    b->queue[n_now++] = of;
            }
        }
        memcpy(b->queue, later, n_later * sizeof *later);
        n_now = n_later;
    }
}

/* States of which each step is known first; those that are left over come to a circle, which counts without end. */
static void find_most(struct grammar *g, struct backwards *b)
{
    uint32_t *const open = arena_alloc(&b->arena, g->n_states * sizeof *open), n = 0;

    for (uint32_t s = 0; s < g->n_states; s++) {
        g->most[s] = is_counted(g, s) && s >= N_FIXED_STATES ? 0 : GRAMMAR_FREE;
        for (uint32_t i = 0; g->most[s] == 0 && i <= g->n_classes; i++)
            open[s] += step_of(g, s, i) != 0;
        if (g->most[s] == 0 && open[s] == 0)
            b->queue[n++] = s;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t s = b->queue[i];

        for (uint32_t e = b->from[s]; e < b->from[s + 1]; e++) {
            const uint32_t of = b->of[e] & EDGE_STATE,
                           most = g->most[s] + ((b->of[e] & EDGE_COUNT) != 0);

            g->most[of] = most > g->most[of] ? most : g->most[of];
            if (--open[of] == 0)
                b->queue[n++] = of;
        }
    }
    for (uint32_t s = 0; s < g->n_states; s++)
        g->most[s] = open[s] > 0 ? GRAMMAR_FREE : g->most[s];
}

/* Of constants that come once: which each may be. Those of a tree stand behind its root, and are reached from the last back. */
static void find_constants(const struct grammar_builder *b, struct grammar *g)
{
    for (uint32_t s = g->n_states; s-- > N_FIXED_STATES;) {
        if (!g->rules[g->rule_of[s]].once)
            continue;
        g->least[s] = g->most[s] = b->states[s].constant;
        for (uint32_t e = b->states[s].edges; e != GRAMMAR_NONE; e = b->edges[e].more)
            g->most[s] |= g->most[b->edges[e].to & EDGE_STATE];
    }
}

/* Marks the edges behind which a count may no longer come out. */
static bool find_counts(struct grammar *g, struct error *err)
{
    struct backwards b = {0};
    const bool ok = turn_around(g, &b, err);

    if (ok) {
        find_least(g, &b);
        find_most(g, &b);
    }
    arena_release(&b.arena);
    for (uint32_t s = N_FIXED_STATES; ok && s < g->n_states; s++) {
        struct grammar_rule *r = &g->rules[g->rule_of[s]];

        if (!is_counted(g, s) || g->need[s] == GRAMMAR_NEVER)
            continue;
        if (g->least[s] != GRAMMAR_FREE && g->least[s] > r->least)
            r->least = g->least[s];
        if (g->most[s] != GRAMMAR_FREE && g->most[s] > r->most)
            r->most = g->most[s];
        for (uint32_t c = 0; c < g->n_classes; c++) {
            uint32_t *edge = &g->next[(size_t)s * g->n_classes + c];
            const uint32_t to = *edge & EDGE_STATE;

            *edge &= ~EDGE_BOUND;
            if (*edge != 0 && ((g->least[to] > 0 && r->max != GRAMMAR_FREE) ||
                               (g->most[to] < r->min && !g->accepts[to])))
                *edge |= EDGE_BOUND;
        }
    }
    return ok;
}

/* Takes what begins a rule away where no count between its least and its most can be had. Whether there was one. */
static bool drop_impossible(struct grammar *g, uint32_t n_rules)
{
    bool some = false;

    for (uint32_t i = 1; i < n_rules; i++) {
        const struct grammar_rule *r = &g->rules[i];

        if (g->need[r->start] == GRAMMAR_NEVER || !is_counted(g, r->start) ||
            (r->min <= r->max && (r->max == GRAMMAR_FREE || g->least[r->start] <= r->max) &&
             (g->most[r->start] == GRAMMAR_FREE || g->most[r->start] >= r->min)))
            continue;
        memset(g->next + (size_t)r->start * g->n_classes, 0, g->n_classes * sizeof *g->next);
        g->value[r->start] = GRAMMAR_NONE;
        some = true;
    }
    return some;
}

/* What each state needs and can count. */
static bool find_bounds(const struct grammar_builder *b, struct grammar *g, struct error *err)
{
    for (int round = 0; round < GRAMMAR_DEPTH; round++) {
        find_needs(g);
        if (!find_counts(g, err))
            return false;
        if (!drop_impossible(g, b->n_rules)) {
            find_constants(b, g);
            return true;
        }
    }
    return fail(err, ERR_LIMIT, "too many bounds of the schema depend on each other");
}

/* Which bytes begin a value of a rule that calls others. */
static void find_nesting(const struct grammar_builder *b, struct grammar *g)
{
    bool *calls = arena_alloc(&g->arena, b->n_rules);

    for (uint32_t s = 0; s < g->n_states; s++)
        if (g->value[s] != GRAMMAR_NONE)
            calls[g->rule_of[s]] = true;
    for (uint32_t r = 1; r < b->n_rules; r++)
        for (unsigned byte = 0; calls[r] && byte < 256; byte++)
            if (g->next[(size_t)g->rules[r].start * g->n_classes + g->class_of[byte]] != 0)
                g->nests[byte] = true;
}

bool build_grammar(const struct grammar_builder *b, uint32_t root, struct grammar **out,
                   struct error *err)
{
    if (b->full)
        return fail(err, ERR_LIMIT, "the schema is too large: it takes more than %u states",
                    LIMIT_GRAMMAR_STATES);
    struct grammar *g = calloc(1, sizeof *g);
    if (g == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a grammar");
    g->n_states = b->n_states;
    find_classes(b, g);
    if (!take_memory(b, g, err)) {
        grammar_close(g);
        return false;
    }
    lay_out_states(b, g);
    lay_out_unions(b, g);
    g->value[STATE_ROOT] = root;
    g->after[STATE_ROOT] = STATE_END;
    if (!find_bounds(b, g, err)) {
        grammar_close(g);
        return false;
    }
    find_nesting(b, g);
    if (1u + g->need[STATE_ROOT] > GRAMMAR_DEPTH) {
        grammar_close(g);
        return fail(
            err, ERR_INVALID,
            "no value fits the schema: its bounds leave none, or it has to hold itself for ever "
            "or more than %d deep",
            GRAMMAR_DEPTH - 1);
    }
    *out = g;
    return true;
}
