/*
 * grammar.c - the automaton at work: levels, steps, and states that lie still.
 */
#include "text/grammar.h"
#include "base/size.h"
#include "text/grammar_internal.h"

#include <assert.h>
#include <stdlib.h>

/* What one token can need: a few hundred bytes, a level or two for each. */
#define WALK_BYTES ((size_t)512 << 10)

void grammar_close(struct grammar *g)
{
    if (g == NULL)
        return;
    arena_release(&g->arena);
    free(g);
}

size_t grammar_bytes(const struct grammar *g)
{
    return sizeof *g + g->arena.taken_bytes;
}

void grammar_begin(struct grammar_state *s)
{
    s->n_levels = 1;
    s->end[0] = 1;
    s->items[0] = (struct grammar_item){.state = STATE_ROOT};
}

void grammar_copy(struct grammar_state *to, const struct grammar_state *from)
{
    if (to == from)
        return;
    to->n_levels = from->n_levels;
    memcpy(to->end, from->end, from->n_levels * sizeof *from->end);
    memcpy(to->items, from->items, from->end[from->n_levels - 1] * sizeof *from->items);
}

bool grammar_walk_open(struct grammar_walk *w, struct error *err)
{
    *w = (struct grammar_walk){.memory = malloc(WALK_BYTES)};
    return w->memory != NULL || fail(err, ERR_NO_MEMORY, "no memory for walking a grammar");
}

void grammar_walk_close(struct grammar_walk *w)
{
    free(w->memory);
    *w = (struct grammar_walk){0};
}

/* Room for n items; NULL where the walk is full. Its last items may be given back by level_end. */
static struct grammar_level *level_new(struct grammar_walk *w, const struct grammar_level *below,
                                       size_t n)
{
    struct grammar_level *l = (void *)(w->memory + w->used);
    const size_t size = sizeof *l + n * sizeof *l->items;

    if (size > WALK_BYTES - w->used)
        return NULL;
    w->used += size;
    l->below = below;
    l->n = 0;
    l->depth = (uint16_t)(below == NULL ? 1 : below->depth + 1);
    return l;
}

/* The level is as large as it will be; NULL where it is empty. */
static const struct grammar_level *level_end(struct grammar_walk *w, struct grammar_level *l)
{
    w->used = (size_t)((unsigned char *)&l->items[l->n] - w->memory);
    l->n_items = (uint16_t)(l->n + (l->below == NULL ? 0 : l->below->n_items));
    return l->n > 0 ? l : NULL;
}

const struct grammar_level *grammar_load(struct grammar_walk *w, const struct grammar_state *s)
{
    const struct grammar_level *top = NULL;
    size_t at = 0;

    for (size_t i = 0; i < s->n_levels; i++) {
        struct grammar_level *l = level_new(w, top, (size_t)s->end[i] - at);

        if (l == NULL)
            return NULL;
        while (at < s->end[i])
            l->items[l->n++] = s->items[at++];
        top = level_end(w, l);
    }
    return top;
}

static void store(struct grammar_state *s, const struct grammar_level *top)
{
    s->n_levels = top->depth;
    for (const struct grammar_level *l = top; l != NULL; l = l->below) {
        s->end[l->depth - 1] = l->n_items;
        memcpy(s->items + (l->n_items - l->n), l->items, l->n * sizeof *l->items);
    }
}

const struct grammar_level *grammar_alone(struct grammar_walk *w, const struct grammar_item *item,
                                          const struct grammar_level *below, uint16_t depth)
{
    struct grammar_level *l = level_new(w, below, 1);

    if (l == NULL)
        return NULL;
    l->items[l->n++] = *item;
    l->depth = depth;
    return level_end(w, l);
}

/* Whether the count behind an edge can still end between its rule's least and most. */
static bool is_in_reach(const struct grammar *g, uint32_t edge, uint32_t count,
                        const struct grammar_rule *r)
{
    const uint32_t to = edge & EDGE_STATE, now = count + ((edge & EDGE_COUNT) != 0);

    return (r->max == GRAMMAR_FREE || g->least[to] <= r->max - now) &&
           (g->most[to] == GRAMMAR_FREE || now >= r->min || g->most[to] >= r->min - now);
}

/* Of a rule that is once: whether an edge may be taken when `came` have come. */
static bool is_free(const struct grammar *g, uint32_t edge, uint32_t came,
                    const struct grammar_rule *r)
{
    const uint32_t n = (uint32_t)__builtin_popcount(came);

    return (edge & EDGE_COUNT) != 0   ? n < r->max
           : (edge & EDGE_CLOSE) != 0 ? n >= r->min
                                      : (g->most[edge & EDGE_STATE] & ~came) != 0;
}

/* The edge that an item takes at a byte's class, at a depth; 0: none. */
static inline uint32_t edge_of(const struct grammar *g, uint32_t state, uint32_t count,
                               unsigned class, unsigned depth)
{
    const uint32_t edge = g->next[(size_t)state * g->n_classes + class];

    if (edge == 0 || depth + g->need[edge & EDGE_STATE] > GRAMMAR_DEPTH)
        return 0;
    if ((edge & EDGE_ONCE) != 0)
        return is_free(g, edge, count, &g->rules[g->rule_of[state]]) ? edge : 0;
    if ((edge & EDGE_COUNT) != 0 && count >= g->rules[g->rule_of[state]].max)
        return 0;
    if ((edge & EDGE_CLOSE) != 0 && count < g->rules[g->rule_of[state]].min)
        return 0;
    if ((edge & EDGE_BOUND) != 0 && !is_in_reach(g, edge, count, &g->rules[g->rule_of[state]]))
        return 0;
    return edge;
}

static inline struct grammar_item item_after(const struct grammar_item *item, uint32_t edge)
{
    return (struct grammar_item){.parents = item->parents,
                                 .state = edge & EDGE_STATE,
                                 .count = item->count +
                                          ((edge & (EDGE_COUNT | EDGE_ONCE)) == EDGE_COUNT)};
}

bool grammar_step_item(const struct grammar *g, const struct grammar_item *item, unsigned depth,
                       unsigned char byte, struct grammar_item *out, bool *calls)
{
    const uint32_t edge = edge_of(g, item->state, item->count, g->class_of[byte], depth);

    if (edge != 0)
        *out = item_after(item, edge);
    else
        *calls = g->value[item->state] != GRAMMAR_NONE;
    return edge != 0;
}

/* Whether the value of an item is complete. */
bool grammar_item_ends(const struct grammar *g, const struct grammar_item *item)
{
    const uint8_t accepts = g->accepts[item->state];

    return accepts == ACCEPTS ||
           (accepts == ACCEPTS_NEW && (g->least[item->state] & item->count) == 0);
}

/* Items that take the byte themselves. */
static const struct grammar_level *go_on(const struct grammar *g, struct grammar_walk *w,
                                         const struct grammar_level *top, unsigned class)
{
    struct grammar_level *l = level_new(w, top->below, top->n);

    if (l == NULL)
        return NULL;
    l->depth = top->depth;
    for (size_t i = 0; i < top->n; i++) {
        const struct grammar_item *it = &top->items[i];
        const uint32_t edge = edge_of(g, it->state, it->count, class, top->depth);

        if (edge != 0)
            l->items[l->n++] = item_after(it, edge);
    }
    return level_end(w, l);
}

static void put_called(struct grammar_level *l, size_t room, const struct grammar_item *item)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->items[i].state == item->state && l->items[i].count == item->count) {
            l->items[i].parents |= item->parents;
            return;
        }
    }
    if (l->n < room)
        l->items[l->n++] = *item;
}

/* The constants that have come, where the values of an item come once each; otherwise 0. */
static inline uint32_t came_of(const struct grammar *g, const struct grammar_item *item)
{
    return g->rules[g->rule_of[item->state]].once ? item->count : 0;
}

/* Values that begin with the byte, called by items of top. */
static const struct grammar_level *call(const struct grammar *g, struct grammar_walk *w,
                                        const struct grammar_level *top, unsigned class)
{
    /* each level above may still need an item of its own */
    const size_t kept = (size_t)(GRAMMAR_DEPTH - top->depth),
                 free_items = GRAMMAR_ITEMS - size_min(GRAMMAR_ITEMS, top->n_items + kept),
                 room = size_min(GRAMMAR_ALIKE, free_items + 1);

    if (top->depth >= GRAMMAR_DEPTH)
        return NULL;
    struct grammar_level *l = level_new(w, top, room);
    if (l == NULL)
        return NULL;
    for (size_t i = 0; i < top->n; i++) {
        const uint32_t of = g->value[top->items[i].state];

        if (of == GRAMMAR_NONE)
            continue;
        struct grammar_item item = {.parents = (uint64_t)1 << i,
                                    .count = came_of(g, &top->items[i])};
        for (uint32_t k = 0; k < g->unions[of].n; k++) {
            item.state = g->rules[g->members[g->unions[of].first + k]].start;
            const uint32_t edge = edge_of(g, item.state, item.count, class, l->depth);

            if (edge == 0)
                continue;
            const struct grammar_item begun = item_after(&item, edge);
            put_called(l, room, &begun);
        }
    }
    return level_end(w, l);
}

/* The bit of the constant that is whole in top and that item i below called; 0: it called no constants. */
static uint32_t constant_of(const struct grammar *g, const struct grammar_level *top, size_t i)
{
    for (size_t k = 0; k < top->n; k++)
        if ((top->items[k].parents >> i & 1) != 0 && g->accepts[top->items[k].state] == ACCEPTS_NEW)
            return g->least[top->items[k].state];
    return 0;
}

/* The items below that called what parents says, behind that value. */
static const struct grammar_level *leave(const struct grammar *g, struct grammar_walk *w,
                                         const struct grammar_level *top, uint64_t parents)
{
    const struct grammar_level *below = top->below;

    if (below == NULL || parents == 0)
        return NULL;
    struct grammar_level *l = level_new(w, below->below, below->n);
    if (l == NULL)
        return NULL;
    l->depth = below->depth;
    for (size_t i = 0; i < below->n; i++) {
        if ((parents >> i & 1) == 0)
            continue;
        struct grammar_item *const it = &l->items[l->n++];
        *it = below->items[i];
        if (g->rules[g->rule_of[it->state]].once)
            it->count |= constant_of(g, top, i);
        it->state = g->after[it->state];
    }
    return level_end(w, l);
}

const struct grammar_level *grammar_leave(const struct grammar *g, struct grammar_walk *w,
                                          const struct grammar_level *top, size_t i)
{
    return leave(g, w, top, top->items[i].parents);
}

static uint64_t callers_of_ended(const struct grammar *g, const struct grammar_level *top)
{
    uint64_t parents = 0;

    for (size_t i = 0; i < top->n; i++)
        if (grammar_item_ends(g, &top->items[i]))
            parents |= top->items[i].parents;
    return parents;
}

const struct grammar_level *grammar_step(const struct grammar *g, struct grammar_walk *w,
                                         const struct grammar_level *top, unsigned char byte)
{
    const unsigned class = g->class_of[byte];

    while (top != NULL) {
        const struct grammar_level *next = go_on(g, w, top, class);

        if (next == NULL)
            next = call(g, w, top, class);
        if (next != NULL)
            return next;
        top = leave(g, w, top, callers_of_ended(g, top));
    }
    return NULL;
}

bool grammar_ends(const struct grammar *g, const struct grammar_level *top)
{
    for (size_t i = 0; i < top->n; i++)
        if (grammar_item_ends(g, &top->items[i]))
            return true;
    return false;
}

bool grammar_complete(const struct grammar *g, const struct grammar_state *s)
{
    uint64_t alive = UINT64_MAX; /* items of this level whose values on top of them are complete */

    for (size_t level = s->n_levels; level-- > 0;) {
        const size_t from = level > 0 ? s->end[level - 1] : 0;
        const bool is_top = level + 1u == s->n_levels;
        uint64_t parents = 0;

        for (size_t i = from; i < s->end[level]; i++) {
            const uint32_t state = s->items[i].state;

            if (!(alive >> (i - from) & 1) || !g->accepts[is_top ? state : g->after[state]])
                continue;
            if (level == 0)
                return true;
            parents |= s->items[i].parents;
        }
        alive = parents;
    }
    return false;
}

bool grammar_advance(const struct grammar *g, struct grammar_walk *w, struct grammar_state *s,
                     struct str bytes)
{
    const size_t mark = w->used;
    struct grammar_state so_far;
    const struct grammar_level *top = grammar_load(w, s);

    for (size_t i = 0; i < bytes.len && top != NULL; i++) {
        top = grammar_step(g, w, top, (unsigned char)bytes.ptr[i]);
        if (top != NULL && w->used > WALK_BYTES / 2) { /* a long text: begin anew from here */
            store(&so_far, top);
            w->used = mark;
            top = grammar_load(w, &so_far);
        }
    }
    if (top != NULL)
        store(s, top);
    w->used = mark;
    return top != NULL;
}

size_t grammar_n_states(const struct grammar *g)
{
    return g->n_states;
}

unsigned grammar_most_needed(const struct grammar *g)
{
    return g->most_needed;
}

static uint32_t smaller(uint32_t x, uint32_t y)
{
    return x < y ? x : y;
}

void grammar_counts(const struct grammar *g, const struct grammar_item *item, uint32_t far,
                    uint32_t *missing, uint32_t *left)
{
    const struct grammar_rule *r = &g->rules[g->rule_of[item->state]];

    *missing = smaller(item->count < r->min ? r->min - item->count : 0, far + r->most);
    *left = smaller(r->max == GRAMMAR_FREE ? UINT32_MAX : r->max - item->count, far + r->least);
}

bool grammar_is_once(const struct grammar *g, const struct grammar_item *item)
{
    return g->rules[g->rule_of[item->state]].once;
}

bool grammar_nests(const struct grammar *g, unsigned char byte)
{
    return g->nests[byte];
}

int grammar_needs_byte(const struct grammar *g, const bool *has)
{
    bool class_has[256] = {false};
    int byte_of[256];

    for (int b = 255; b >= 0; b--) {
        class_has[g->class_of[b]] |= has[b];
        byte_of[g->class_of[b]] = b;
    }
    for (size_t s = 0; s < g->n_states; s++) {
        const uint32_t *row = g->next + s * g->n_classes;

        for (size_t c = 0; c < g->n_classes; c++) {
            bool some =
                row[c] == 0 || class_has[c] || g->need[row[c] & EDGE_STATE] == GRAMMAR_NEVER;

            for (size_t d = 0; d < g->n_classes && !some; d++)
                some = row[d] == row[c] && class_has[d];
            if (!some)
                return byte_of[c];
        }
    }
    return -1;
}
