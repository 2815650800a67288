/*
 * automaton.c - products, and what is left of them.
 */
#include "text/automaton.h"
#include "text/jinja_unicode.h"

#include <stdlib.h>

static bool too_many(struct error *err)
{
    return fail(err, ERR_LIMIT, "it takes more than %u states", LIMIT_AUTOMATON_STATES);
}

static bool too_long(struct error *err)
{
    return fail(err, ERR_LIMIT, "it takes more than %llu steps",
                (unsigned long long)LIMIT_AUTOMATON_STEPS);
}

bool automaton_lengths(struct arena *a, uint32_t min, uint32_t max, struct automaton *out,
                       struct error *err)
{
    const uint32_t last = max == AUTOMATON_FREE ? min : max;

    if (last >= LIMIT_AUTOMATON_STATES)
        return too_many(err);
    *out = (struct automaton){.n_states = last + 1, .n_cuts = 1, .n_classes = 1};
    out->cuts = ARENA_ARRAY(a, uint32_t, 2);
    out->cuts[0] = 0;
    out->cuts[1] = CHAR_END;
    out->class_of = ARENA_ARRAY(a, uint16_t, 1);
    out->class_of[0] = 0;
    out->next = ARENA_ARRAY(a, uint32_t, last + 1);
    out->accepts = ARENA_ARRAY(a, uint32_t, last + 1);
    for (uint32_t s = 0; s <= last; s++) {
        out->next[s] = s < last ? s + 1 : max == AUTOMATON_FREE ? last : AUTOMATON_NONE;
        out->accepts[s] = s >= min;
    }
    return true;
}

/* ---- trimming and joining ---- */

static uint32_t *numbers(struct arena *a, size_t n, uint32_t value)
{
    uint32_t *x = ARENA_ARRAY(a, uint32_t, n + 1);

    for (size_t i = 0; i <= n; i++)
        x[i] = value;
    return x;
}

/* Whether each state leads to one that accepts: backwards from those. */
static bool *find_alive(struct arena *a, const struct automaton *x)
{
    const size_t n = x->n_states, k = x->n_classes;
    uint32_t *from = numbers(a, n + 1, 0), *edges = numbers(a, n * k, 0), *queue = numbers(a, n, 0);
    bool *alive = arena_alloc(a, n);
    size_t head = 0, tail = 0;

    for (size_t i = 0; i < n * k; i++)
        if (x->next[i] != AUTOMATON_NONE)
            from[x->next[i] + 1]++;
    for (size_t s = 0; s < n; s++)
        from[s + 1] += from[s];
    uint32_t *at = numbers(a, n, 0);
    memcpy(at, from, n * sizeof *at);
    for (size_t i = 0; i < n * k; i++)
        if (x->next[i] != AUTOMATON_NONE)
            edges[at[x->next[i]]++] = (uint32_t)(i / k);
    for (uint32_t s = 0; s < n; s++) {
        alive[s] = x->accepts[s] != 0;
        if (alive[s])
            queue[tail++] = s;
    }
    while (head < tail) {
        const uint32_t s = queue[head++];

        for (uint32_t e = from[s]; e < from[s + 1]; e++) {
            if (alive[edges[e]])
                continue;
            alive[edges[e]] = true;
            queue[tail++] = edges[e];
        }
    }
    return alive;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

/* Whether two states lead to the same blocks. */
static bool is_alike(const struct automaton *x, const uint32_t *block, uint32_t s, uint32_t t)
{
    const size_t k = x->n_classes;

    if (block[s] != block[t])
        return false;
    for (size_t c = 0; c < k; c++) {
        const uint32_t u = x->next[s * k + c], v = x->next[t * k + c];

        if ((u == AUTOMATON_NONE) != (v == AUTOMATON_NONE) ||
            (u != AUTOMATON_NONE && block[u] != block[v]))
            return false;
    }
    return true;
}

/* One round of Moore's partition refinement: blocks by where their states lead. How many there are. */
static uint32_t refine(const struct automaton *x, const uint32_t *block, uint32_t *finer,
                       uint32_t *table, size_t cap)
{
    const size_t k = x->n_classes;
    uint32_t n_blocks = 0;

    memset(table, -1, cap * sizeof *table);
    for (uint32_t s = 0; s < x->n_states; s++) {
        uint64_t h = mix(0, block[s]);

        for (size_t c = 0; c < k; c++) {
            const uint32_t to = x->next[s * k + c];

            h = mix(h, to == AUTOMATON_NONE ? to : block[to]);
        }
        size_t at = h & (cap - 1);
        while (table[at] != AUTOMATON_NONE && !is_alike(x, block, s, table[at]))
            at = (at + 1) & (cap - 1);
        if (table[at] == AUTOMATON_NONE) {
            table[at] = s;
            finer[s] = n_blocks++;
        } else {
            finer[s] = finer[table[at]];
        }
    }
    return n_blocks;
}

/* Keeps one state of each block; the first state's block is 0, as blocks are numbered in the order of their states. */
static void keep_blocks(struct arena *a, struct automaton *x, const uint32_t *block, uint32_t n)
{
    const size_t k = x->n_classes;
    uint32_t *next = numbers(a, n * k, AUTOMATON_NONE), *accepts = numbers(a, n, 0);

    for (uint32_t s = 0; s < x->n_states; s++) {
        accepts[block[s]] = x->accepts[s];
        for (size_t c = 0; c < k; c++) {
            const uint32_t to = x->next[s * k + c];

            next[block[s] * k + c] = to == AUTOMATON_NONE ? to : block[to];
        }
    }
    x->next = next;
    x->accepts = accepts;
    x->n_states = n;
}

/* Classes that no state tells apart become one, and so do runs beside each other. */
static void join_classes(struct arena *a, struct automaton *x)
{
    const uint32_t k = x->n_classes;
    uint32_t *same = numbers(a, k, 0), n = 0, *kept = numbers(a, k, 0);

    for (uint32_t c = 0; c < k; c++) {
        uint32_t d = 0;

        for (; d < n; d++) {
            bool equal = true;

            for (size_t s = 0; s < x->n_states && equal; s++)
                equal = x->next[s * k + c] == x->next[s * k + kept[d]];
            if (equal)
                break;
        }
        if (d == n)
            kept[n++] = c;
        same[c] = d;
    }
    for (size_t s = 0; s < x->n_states; s++)
        for (uint32_t d = 0; d < n; d++) /* kept[d] >= d: what is read is not written yet */
            x->next[s * n + d] = x->next[s * k + kept[d]];
    x->n_classes = n;
    uint32_t n_cuts = 0;
    for (uint32_t i = 0; i < x->n_cuts; i++) {
        const uint16_t class = (uint16_t)same[x->class_of[i]];

        if (n_cuts > 0 && x->class_of[n_cuts - 1] == class)
            continue;
        x->cuts[n_cuts] = x->cuts[i];
        x->class_of[n_cuts++] = class;
    }
    x->cuts[n_cuts] = CHAR_END;
    x->n_cuts = n_cuts;
}

bool automaton_reduce(struct arena *a, struct automaton *x, struct error *err)
{
    struct arena scratch = {0};
    const bool *alive = find_alive(&scratch, x);
    const size_t k = x->n_classes;
    size_t cap = 16;
    uint64_t steps = 0;
    bool ok = true;

    for (size_t i = 0; i < x->n_states * k; i++)
        if (x->next[i] != AUTOMATON_NONE && !alive[x->next[i]])
            x->next[i] = AUTOMATON_NONE;
    while (cap < 2 * (size_t)x->n_states)
        cap *= 2;
    uint32_t *table = numbers(&scratch, cap, 0), *block = numbers(&scratch, x->n_states, 0),
             *finer = numbers(&scratch, x->n_states, 0);
    uint32_t n = 0;
    for (uint32_t s = 0; s < x->n_states; s++)
        block[s] = x->accepts[s];
    for (;;) {
        const uint32_t more = refine(x, block, finer, table, cap);
        uint32_t *const swap = block;

        block = finer;
        finer = swap;
        steps += x->n_states * k;
        if (more == n || !(ok = steps <= LIMIT_AUTOMATON_STEPS || too_long(err)))
            break;
        n = more;
    }
    x->steps += steps;
    if (ok) {
        keep_blocks(a, x, block, n);
        join_classes(&scratch, x);
    }
    arena_release(&scratch);
    return ok;
}

/* ---- products ---- */

struct product {
    const struct automaton *x, *y;
    enum automaton_join how;
    struct arena scratch;
    uint32_t (*pair)[2]; /* [LIMIT_AUTOMATON_STATES] */
    uint32_t n, *table;
    size_t cap;
};

/* The state of a pair; AUTOMATON_NONE: none, or no room. */
static uint32_t pair_state(struct product *p, uint32_t s, uint32_t t, bool *full)
{
    if (s == AUTOMATON_NONE || (t == AUTOMATON_NONE && p->how == AUTOMATON_AND))
        return AUTOMATON_NONE;
    size_t at = mix(mix(0, s), t) & (p->cap - 1);
    for (; p->table[at] != AUTOMATON_NONE; at = (at + 1) & (p->cap - 1))
        if (p->pair[p->table[at]][0] == s && p->pair[p->table[at]][1] == t)
            return p->table[at];
    if (p->n == LIMIT_AUTOMATON_STATES) {
        *full = true;
        return AUTOMATON_NONE;
    }
    p->pair[p->n][0] = s;
    p->pair[p->n][1] = t;
    return p->table[at] = p->n++;
}

/* The runs of both, and a class for each pair of classes: pairs [n_classes][2]. */
static bool cross_classes(struct arena *a, const struct automaton *x, const struct automaton *y,
                          struct automaton *out, uint16_t (**pairs)[2], struct error *err)
{
    const uint32_t most = x->n_cuts + y->n_cuts;
    struct arena scratch = {0};
    uint32_t *known = numbers(&scratch, (size_t)x->n_classes * y->n_classes, AUTOMATON_NONE), i = 0,
             j = 0;

    out->cuts = ARENA_ARRAY(a, uint32_t, most + 1);
    out->class_of = ARENA_ARRAY(a, uint16_t, most + 1);
    *pairs = arena_alloc(a, sizeof **pairs * (most + 1));
    for (uint32_t at = 0; at < CHAR_END;) {
        uint32_t *k = &known[(size_t)x->class_of[i] * y->n_classes + y->class_of[j]];
        const uint32_t x_end = x->cuts[i + 1], y_end = y->cuts[j + 1];

        if (*k == AUTOMATON_NONE) {
            (*pairs)[out->n_classes][0] = x->class_of[i];
            (*pairs)[out->n_classes][1] = y->class_of[j];
            *k = out->n_classes++;
        }
        out->cuts[out->n_cuts] = at;
        out->class_of[out->n_cuts++] = (uint16_t)*k;
        at = x_end < y_end ? x_end : y_end;
        i += at == x_end;
        j += at == y_end;
    }
    out->cuts[out->n_cuts] = CHAR_END;
    arena_release(&scratch);
    return out->n_classes <= UINT16_MAX ||
           fail(err, ERR_LIMIT, "it takes too many classes of characters");
}

static uint32_t label_of(const struct product *p, uint32_t s, uint32_t t, unsigned bit)
{
    const uint32_t of_x = p->x->accepts[s], of_y = t == AUTOMATON_NONE ? 0 : p->y->accepts[t];

    if (p->how == AUTOMATON_LABEL)
        return of_x == 0 || of_y == 0 ? of_x : of_x | (uint32_t)1 << bit;
    return (of_y != 0) == (p->how == AUTOMATON_AND) ? of_x : 0;
}

static bool join(struct arena *a, struct product *p, unsigned bit, struct automaton *out,
                 struct error *err)
{
    uint16_t(*pairs)[2];
    bool full = false;
    uint64_t steps = 0;

    if (!cross_classes(a, p->x, p->y, out, &pairs, err))
        return false;
    const size_t k = out->n_classes;
    uint32_t *next = NULL;
    size_t room = 0;
    pair_state(p, 0, 0, &full);
    for (uint32_t s = 0; s < p->n; s++) {
        if ((s + 1) * k > room) {
            room = 2 * room + 64 * k;
            uint32_t *grown = ARENA_ARRAY(&p->scratch, uint32_t, room);
            if (next != NULL)
                memcpy(grown, next, s * k * sizeof *next);
            next = grown;
        }
        for (size_t c = 0; c < k; c++) {
            const uint32_t u = p->pair[s][0], v = p->pair[s][1];

            next[s * k + c] = pair_state(
                p, p->x->next[(size_t)u * p->x->n_classes + pairs[c][0]],
                v == AUTOMATON_NONE ? v : p->y->next[(size_t)v * p->y->n_classes + pairs[c][1]],
                &full);
        }
        steps += k;
        if (full)
            return too_many(err);
        if (steps > LIMIT_AUTOMATON_STEPS || p->n * k > LIMIT_AUTOMATON_EDGES)
            return too_long(err);
    }
    out->steps = steps;
    out->n_states = p->n;
    out->next = next;
    out->accepts = ARENA_ARRAY(&p->scratch, uint32_t, p->n);
    for (uint32_t s = 0; s < p->n; s++)
        out->accepts[s] = label_of(p, p->pair[s][0], p->pair[s][1], bit);
    return automaton_reduce(a, out, err);
}

bool automaton_join(struct arena *a, const struct automaton *x, const struct automaton *y,
                    enum automaton_join how, unsigned bit, struct automaton *out, struct error *err)
{
    struct product p = {.x = x, .y = y, .how = how, .cap = 4 * LIMIT_AUTOMATON_STATES};
    struct automaton made = {0};

    p.pair = arena_alloc(&p.scratch, LIMIT_AUTOMATON_STATES * sizeof *p.pair);
    p.table = numbers(&p.scratch, p.cap, AUTOMATON_NONE);
    const bool ok = join(a, &p, bit, &made, err);
    arena_release(&p.scratch);
    if (ok)
        *out = made;
    return ok;
}

/* ---- questions ---- */

uint32_t automaton_shortest(const struct automaton *x)
{
    struct arena scratch = {0};
    uint32_t *queue = numbers(&scratch, x->n_states, 0),
             *length = numbers(&scratch, x->n_states, AUTOMATON_NONE), n = 1,
             shortest = AUTOMATON_NONE;

    length[0] = 0;
    for (uint32_t i = 0; i < n && shortest == AUTOMATON_NONE; i++) {
        const uint32_t s = queue[i];

        if (x->accepts[s] != 0)
            shortest = length[s];
        for (size_t c = 0; c < x->n_classes; c++) {
            const uint32_t to = x->next[(size_t)s * x->n_classes + c];

            if (to == AUTOMATON_NONE || length[to] != AUTOMATON_NONE)
                continue;
            length[to] = length[s] + 1;
            queue[n++] = to;
        }
    }
    arena_release(&scratch);
    return shortest;
}

uint32_t automaton_run(const struct automaton *x, uint32_t c)
{
    uint32_t lo = 0, hi = x->n_cuts;

    while (hi - lo > 1) {
        const uint32_t mid = lo + (hi - lo) / 2;

        if (x->cuts[mid] <= c)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

uint32_t automaton_label(const struct automaton *x, struct str text)
{
    uint32_t s = 0;

    for (size_t at = 0; at < text.len;) {
        const uint32_t run = automaton_run(x, jinja_char_next(text, &at));

        s = x->next[(size_t)s * x->n_classes + x->class_of[run]];
        if (s == AUTOMATON_NONE)
            return 0;
    }
    return x->accepts[s];
}

/* Whether s has an end in one more character than those in `ends` have. */
static bool leads_into(const struct automaton *x, const bool *ends, uint32_t s)
{
    for (size_t c = 0; c < x->n_classes; c++) {
        const uint32_t to = x->next[(size_t)s * x->n_classes + c];

        if (to != AUTOMATON_NONE && ends[to])
            return true;
    }
    return false;
}

/* far[s]: some text from s on has more than max characters. Each state leads to an end, so that many steps are enough. */
static void find_far(const struct automaton *x, uint32_t max, bool *far, bool *then,
                     uint64_t *steps)
{
    bool changed = true;

    memset(far, true, x->n_states);
    for (uint32_t length = 0; length <= max && changed && *steps <= LIMIT_AUTOMATON_STEPS;
         length++) {
        changed = false;
        for (uint32_t s = 0; s < x->n_states; s++) {
            then[s] = leads_into(x, far, s);
            changed = changed || then[s] != far[s];
        }
        memcpy(far, then, x->n_states);
        *steps += (uint64_t)x->n_states * x->n_classes;
    }
}

bool automaton_lengths_are_even(const struct automaton *x, uint32_t max, bool *even,
                                struct error *err)
{
    const size_t n = x->n_states;
    struct arena scratch = {0};
    bool *now = arena_alloc(&scratch, n), *then = arena_alloc(&scratch, n),
         *begun = arena_alloc(&scratch, n), *over = arena_alloc(&scratch, n), changed = true;
    uint64_t steps = 0;

    *even = true;
    for (size_t s = 0; s < n; s++)
        now[s] = begun[s] = x->accepts[s] != 0;
    for (uint32_t length = 1; length <= max && changed && *even; length++) {
        bool *const swap = now;

        changed = false;
        for (uint32_t s = 0; s < n; s++) {
            then[s] = leads_into(x, now, s);
            changed = changed || then[s] != now[s];
            *even = *even && !(then[s] && over[s]);
            over[s] = over[s] || (begun[s] && !then[s]);
            begun[s] = begun[s] || then[s];
        }
        now = then;
        then = swap;
        steps += n * x->n_classes;
        if (steps > LIMIT_AUTOMATON_STEPS)
            break;
    }
    if (*even && memchr(over, true, n) != NULL) { /* a gap that ends behind max is one, too */
        find_far(x, max, now, then, &steps);
        for (size_t s = 0; s < n; s++)
            *even = *even && !(over[s] && now[s]);
    }
    arena_release(&scratch);
    return steps <= LIMIT_AUTOMATON_STEPS || too_long(err);
}
