/*
 * string_pattern_sets.c - sets of characters, and what \d, \w and \s hold.
 */
#include "base/size.h"
#include "text/jinja_unicode.h"
#include "text/string_pattern_internal.h"

#include <stdlib.h>

void ranges_put(struct arena *a, struct ranges *s, uint32_t first, uint32_t last)
{
    if (s->n == s->room) {
        struct char_pair *grown = ARENA_ARRAY(a, struct char_pair, 2 * s->room + 8);

        if (s->n > 0)
            memcpy(grown, s->r, s->n * sizeof *grown);
        s->r = grown;
        s->room = 2 * s->room + 8;
    }
    s->r[s->n++] = (struct char_pair){first, last};
}

static int by_first(const void *x, const void *y)
{
    const struct char_pair *a = x, *b = y;

    return (a->first > b->first) - (a->first < b->first);
}

void ranges_order(struct ranges *s)
{
    size_t n = 0;

    if (s->n > 1)
        qsort(s->r, s->n, sizeof *s->r, by_first);
    for (size_t i = 0; i < s->n; i++) {
        if (n > 0 && s->r[i].first <= s->r[n - 1].last + 1)
            s->r[n - 1].last = s->r[n - 1].last > s->r[i].last ? s->r[n - 1].last : s->r[i].last;
        else
            s->r[n++] = s->r[i];
    }
    s->n = n;
}

struct ranges ranges_all_but(struct arena *a, const struct ranges *s)
{
    struct ranges out = {0};
    uint32_t from = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (s->r[i].first > from)
            ranges_put(a, &out, from, s->r[i].first - 1);
        from = s->r[i].last + 1;
    }
    if (from < CHAR_END)
        ranges_put(a, &out, from, CHAR_END - 1);
    return out;
}

struct ranges ranges_in_both(struct arena *a, const struct ranges *x, const struct ranges *y)
{
    struct ranges out = {0};

    for (size_t i = 0, j = 0; i < x->n && j < y->n;) {
        const uint32_t first = x->r[i].first > y->r[j].first ? x->r[i].first : y->r[j].first,
                       last = x->r[i].last < y->r[j].last ? x->r[i].last : y->r[j].last;

        if (first <= last)
            ranges_put(a, &out, first, last);
        if (x->r[i].last < y->r[j].last)
            i++;
        else
            j++;
    }
    return out;
}

static void put_some(struct arena *a, struct ranges *out, const struct char_pair *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ranges_put(a, out, r[i].first, r[i].last);
}

void ranges_add(struct arena *a, struct ranges *out, const struct ranges *s)
{
    put_some(a, out, s->r, s->n);
}

/* ---- \d \w \s, in ECMA-262 and in Python ---- */

#define LAST_LETTER 0x323AF /* no letter or digit lies behind it */

static bool is_python_word(uint32_t c)
{
    return c == '_' || jinja_is_alnum(c);
}

static void put_where(struct arena *a, struct ranges *out, bool (*is)(uint32_t), uint32_t last)
{
    for (uint32_t c = 0; c <= last; c++) {
        if (!is(c))
            continue;
        if (out->n > 0 && out->r[out->n - 1].last + 1 == c)
            out->r[out->n - 1].last = c;
        else
            ranges_put(a, out, c, c);
    }
}

struct ranges ranges_shorthand(struct arena *a, char name, enum dialect in)
{
    static const struct char_pair digits[] = {{'0', '9'}},
                                  word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                                  space[] = {{9, 13},          {' ', ' '},       {0xA0, 0xA0},
                                             {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
                                             {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
                                             {0xFEFF, 0xFEFF}};
    struct ranges out = {0};

    if (in == PYTHON)
        put_where(a, &out,
                  name == 'd'   ? jinja_is_decimal
                  : name == 'w' ? is_python_word
                                : jinja_is_space,
                  name == 's' ? 0x3000 : LAST_LETTER);
    else if (name == 'd')
        put_some(a, &out, digits, COUNT_OF(digits));
    else if (name == 'w')
        put_some(a, &out, word, COUNT_OF(word));
    else
        put_some(a, &out, space, COUNT_OF(space));
    return out;
}
