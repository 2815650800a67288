/*
 * json_multiples.c - of a rule for numbers, those that are multiples of another number: beside each state, what is left of the
 * digits so far.
 */
#include "base/size.h"
#include "text/json_rules_internal.h"

#include <stdlib.h>

#define MOST_STATES 40000

/* A place: a state of the rule, what the digits so far leave when divided, and how many of them stand behind the point. */
struct place {
    uint32_t of, rest, behind;
};

struct multiples {
    struct grammar_builder *b;
    const struct json_multiple *m;
    struct arena arena;
    uint32_t rule;
    struct place *places; /* [n] */
    uint32_t *states;     /* [n] of the builder */
    uint32_t *table;      /* open addressing; places plus one */
    size_t n, cap;
    bool too_many;
};

static uint64_t power_of_ten(uint32_t n)
{
    uint64_t x = 1;

    while (n-- > 0)
        x *= 10;
    return x;
}

bool json_multiple_of(const json_t *value, struct json_multiple *out)
{
    struct json_bound x;
    uint64_t unit;

    if (!json_bound_of(value, false, &x) || x.negative)
        return false;
    out->decimals = JSON_FRACTION;
    while (out->decimals > 0 && x.digits[out->decimals - 1] == '0')
        out->decimals--;
    if (out->decimals > JSON_MULTIPLE_DECIMALS || x.whole > MOST_STATES)
        return false;
    unit = (uint64_t)x.whole;
    for (uint32_t i = 0; i < out->decimals; i++)
        unit = unit * 10 + (uint64_t)(x.digits[i] - '0');
    out->unit = unit > MOST_STATES ? 0 : (uint32_t)unit;
    return out->unit > 0;
}

struct json_bound json_multiple_bound(const struct json_multiple *m, bool negative)
{
    struct json_bound x = {.given = true, .negative = negative};

    x.whole = (int64_t)power_of_ten(15 - m->decimals) - 1;
    memset(x.digits, '9', sizeof x.digits);
    return x;
}

/* The state of a place; 0: there are too many. */
static uint32_t state_at(struct multiples *x, struct place p)
{
    const uint64_t key =
        (((uint64_t)p.of << 5 | p.behind) * 0x9E3779B97F4A7C15u ^ p.rest) * 0x9E3779B97F4A7C15u;
    size_t at = (size_t)(key >> 40) & (x->cap - 1);

    for (; x->table[at] != 0; at = (at + 1) & (x->cap - 1)) {
        const struct place *old = &x->places[x->table[at] - 1];

        if (old->of == p.of && old->rest == p.rest && old->behind == p.behind)
            return x->states[x->table[at] - 1];
    }
    if (x->n == MOST_STATES) {
        x->too_many = true;
        return 0;
    }
    x->places[x->n] = p;
    x->states[x->n] = build_state(x->b, x->rule);
    x->table[at] = (uint32_t)++x->n;
    return x->states[x->n - 1];
}

/* Behind one byte more; false: it is a digit finer than the decimals are. */
static bool place_after(const struct multiples *x, struct place p, unsigned byte, uint32_t to,
                        bool pointed, struct place *out)
{
    const struct json_multiple *m = x->m;

    *out = p;
    out->of = to;
    if (byte < '0' || byte > '9')
        return true;
    if (pointed && p.behind == m->decimals)
        return byte == '0';
    out->rest = (uint32_t)(((uint64_t)p.rest * 10 + (byte - '0')) % m->unit);
    out->behind += pointed;
    return true;
}

static bool is_multiple(const struct multiples *x, const struct place *p)
{
    uint64_t rest = p->rest;

    for (uint32_t i = p->behind; i < x->m->decimals; i++)
        rest = rest * 10 % x->m->unit;
    return rest == 0;
}

/* Which of the rule's states stand behind the point: those that the point leads to, and what follows. */
static bool *find_pointed(struct multiples *x, uint32_t first, uint32_t end)
{
    bool *pointed = arena_alloc(&x->arena, end - first), changed = true;

    while (changed) {
        changed = false;
        for (uint32_t s = first; s < end; s++)
            for (uint32_t e = x->b->states[s].edges; e != GRAMMAR_NONE; e = x->b->edges[e].more) {
                const uint32_t to = x->b->edges[e].to & EDGE_STATE;

                if ((x->b->edges[e].from_byte == '.' || pointed[s - first]) && !pointed[to - first])
                    pointed[to - first] = changed = true;
            }
    }
    return pointed;
}

bool json_multiples_rule(struct grammar_builder *b, uint32_t of, const struct json_multiple *m,
                         uint32_t *rule)
{
    struct multiples x = {.b = b, .m = m, .cap = 4 * 32768};

    if (b->full)
        return true;
    const uint32_t first = b->rules[of].start, end = b->n_states;
    const bool *pointed = find_pointed(&x, first, end);
    *rule = x.rule = build_rule(b, 0, GRAMMAR_FREE);
    x.places = ARENA_ARRAY(&x.arena, struct place, MOST_STATES);
    x.states = ARENA_ARRAY(&x.arena, uint32_t, MOST_STATES);
    x.table = ARENA_ARRAY(&x.arena, uint32_t, x.cap);
    state_at(&x, (struct place){.of = first});
    for (size_t i = 0; i < x.n && !b->full && !x.too_many; i++) {
        const struct place p = x.places[i];

        if (b->states[p.of].accepts && is_multiple(&x, &p))
            build_accept(b, x.states[i]);
        for (uint32_t e = b->states[p.of].edges; e != GRAMMAR_NONE; e = b->edges[e].more)
            for (unsigned byte = b->edges[e].from_byte; byte <= b->edges[e].to_byte; byte++) {
                struct place next;

                if (!place_after(&x, p, byte, b->edges[e].to & EDGE_STATE, pointed[p.of - first],
                                 &next))
                    continue;
                const uint32_t to = state_at(&x, next);
                if (to != 0)
                    build_edge(b, x.states[i], byte, byte, to, 0);
            }
    }
    if (!b->full)
        b->rules[*rule].start = x.states[0];
    const bool ok = !x.too_many;
    arena_release(&x.arena);
    return ok;
}
