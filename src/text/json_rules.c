/*
 * json_rules.c - automata of strings, numbers, arrays and objects.
 */
#include "base/size.h"
#include "text/json_rules_internal.h"

#include <float.h>
#include <stdlib.h>

static void hex_edges(struct grammar_builder *b, uint32_t from, uint32_t to)
{
    build_edge(b, from, '0', '9', to, 0);
    build_edge(b, from, 'a', 'f', to, 0);
    build_edge(b, from, 'A', 'F', to, 0);
}

/* An edge for a hexadecimal digit of either case, lo .. hi of 10 .. 15. */
static void letter_edges(struct grammar_builder *b, uint32_t from, unsigned lo, unsigned hi,
                         uint32_t to)
{
    build_edge(b, from, 'a' + lo - 10, 'a' + hi - 10, to, 0);
    build_edge(b, from, 'A' + lo - 10, 'A' + hi - 10, to, 0);
}

/* Behind a backslash that was counted: one letter, uXXXX, or a pair of surrogates. */
static void build_escapes(struct grammar_builder *b, uint32_t escape, uint32_t normal)
{
    static const char letters[] = "\"\\/bfnrt";
    const uint32_t rule = b->states[escape].rule;
    uint32_t left[4],
        high[5]; /* left[i]: i digits are still to come; high[i]: of a high surrogate, then of its partner */

    if (b->full)
        return;
    left[0] = normal;
    for (size_t i = 1; i < 4; i++) {
        left[i] = build_state(b, rule);
        hex_edges(b, left[i], left[i - 1]);
    }
    for (const char *c = letters; *c != '\0'; c++)
        build_edge(b, escape, (unsigned char)*c, (unsigned char)*c, normal, 0);
    const uint32_t first = build_state(b, rule), second = build_state(b, rule); /* u, uD */
    build_edge(b, escape, 'u', 'u', first, 0);
    build_edge(b, first, '0', '9', left[3], 0);
    letter_edges(b, first, 10, 12, left[3]);
    letter_edges(b, first, 14, 15, left[3]);
    letter_edges(b, first, 13, 13, second);
    build_edge(b, second, '0', '7', left[2], 0);
    for (size_t i = 0; i < COUNT_OF(high); i++)
        high[i] = build_state(b, rule);
    build_edge(b, second, '8', '9', high[0], 0); /* D800 .. DBFF: \uDC00 .. \uDFFF must follow */
    letter_edges(b, second, 10, 11, high[0]);
    hex_edges(b, high[0], high[1]);
    const uint32_t whole = build_state(b, rule);
    hex_edges(b, high[1], whole);
    build_edge(b, whole, '\\', '\\', high[2], 0);
    build_edge(b, high[2], 'u', 'u', high[3], 0);
    letter_edges(b, high[3], 13, 13, high[4]);
    letter_edges(b, high[4], 12, 15, left[2]);
}

/* Characters past ASCII: table 3-7 of the Unicode Standard. */
static void build_utf8(struct grammar_builder *b, uint32_t normal, uint32_t counts)
{
    static const struct {
        uint8_t lead_from, lead_to, then_from, then_to, n; /* n: bytes behind the lead */
    } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 1}, {0xE0, 0xE0, 0xA0, 0xBF, 2}, {0xE1, 0xEC, 0x80, 0xBF, 2},
        {0xED, 0xED, 0x80, 0x9F, 2}, {0xEE, 0xEF, 0x80, 0xBF, 2}, {0xF0, 0xF0, 0x90, 0xBF, 3},
        {0xF1, 0xF3, 0x80, 0xBF, 3}, {0xF4, 0xF4, 0x80, 0x8F, 3},
    };
    uint32_t left[3]; /* left[i]: i ordinary bytes are still to come */

    if (b->full)
        return;
    left[0] = normal;
    for (size_t i = 1; i < 3; i++) {
        left[i] = build_state(b, b->states[normal].rule);
        build_edge(b, left[i], 0x80, 0xBF, left[i - 1], 0);
    }
    for (size_t i = 0; i < COUNT_OF(forms) && !b->full; i++) {
        const uint32_t behind = build_state(b, b->states[normal].rule);

        build_edge(b, normal, forms[i].lead_from, forms[i].lead_to, behind, counts);
        build_edge(b, behind, forms[i].then_from, forms[i].then_to, left[forms[i].n - 1], 0);
    }
}

void json_build_string(struct grammar_builder *b, uint32_t from, uint32_t to, bool counted)
{
    const uint32_t counts = counted ? EDGE_COUNT : 0;

    if (b->full)
        return;
    const uint32_t escape = build_state(b, b->states[from].rule);
    build_edge(b, from, ' ', '!', from, counts);
    build_edge(b, from, '#', '[', from, counts);
    build_edge(b, from, ']', 0x7F, from, counts);
    build_edge(b, from, '\\', '\\', escape, counts);
    build_edge(b, from, '"', '"', to, counted ? EDGE_CLOSE : 0);
    build_utf8(b, from, counts);
    build_escapes(b, escape, from);
}

uint32_t json_string_rule(struct grammar_builder *b, uint32_t min, uint32_t max)
{
    const bool counted = min > 0 || max != GRAMMAR_FREE;
    const uint32_t rule = build_rule(b, min, max), inside = build_state(b, rule),
                   done = build_state(b, rule);

    if (b->full)
        return 0;
    build_edge(b, b->rules[rule].start, '"', '"', inside, 0);
    json_build_string(b, inside, done, counted);
    build_accept(b, done);
    return rule;
}

/* ---- numbers ---- */

#define TOO_LARGE ((int64_t)10000000000000000) /* 10^JSON_DIGITS */

static bool all_zero(const char *digits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (digits[i] != '0')
            return false;
    return true;
}

static bool is_zero(const struct json_bound *x)
{
    return x->whole == 0 && all_zero(x->digits, JSON_FRACTION);
}

static bool bound_of_text(struct str text, struct json_bound *out)
{
    size_t at = 0, n = 0;

    memset(out->digits, '0', sizeof out->digits);
    out->whole = 0;
    out->negative = text.len > 0 && text.ptr[0] == '-';
    at += out->negative;
    for (; at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++) {
        out->whole = out->whole * 10 + (text.ptr[at] - '0');
        if (out->whole >= TOO_LARGE)
            return false;
    }
    if (at < text.len && text.ptr[at] == '.')
        for (at++; at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++) {
            if (n == sizeof out->digits)
                return false;
            out->digits[n++] = text.ptr[at];
        }
    if (is_zero(out))
        out->negative = false;
    return at == text.len; /* no exponent */
}

bool json_bound_of(const json_t *value, bool excluded, struct json_bound *out)
{
    struct buf text;

    buf_init(&text, 64);
    json_write(&text, value, NULL);
    *out = (struct json_bound){.given = true, .excluded = excluded};
    bool ok = !text.overflowed && bound_of_text(buf_view(&text), out);
    ok = ok && !(excluded && out->whole >= TOO_LARGE / 10); /* see longest_fraction */
    buf_release(&text);
    return ok;
}

/* Magnitudes from a to b, both without sign; whole: of whole numbers. */
struct range {
    struct grammar_builder *b;
    uint32_t rule;
    bool whole;
    struct json_bound lo, hi;
    /* States that are there already; 0: not yet. By digits written, and the least and the most to come; */
    uint32_t free_whole[JSON_DIGITS + 1][JSON_DIGITS + 1][JSON_DIGITS + 1];
    /* by the most of a fraction beside a bound, its digits written, and how near what is written is to lo, to hi. */
    uint32_t fraction[JSON_FRACTION + 1][JSON_FRACTION + 1][3][3];
};

/* A whole number that no double is equal to: 2^53 + 1. */
static bool is_between_doubles(const struct json_bound *x)
{
    return x->whole > (int64_t)1 << DBL_MANT_DIG && x->whole % 2 != 0 &&
           all_zero(x->digits, JSON_FRACTION);
}

/*
 * How near to a bound: the digits written are the bound's; differ from them by one in the last place, and are to be told
 * from them, as the bound is excluded; or neither.
 */
enum nearness { FAR, BESIDE, AT };

static enum nearness nearness_of(int64_t difference, const struct json_bound *bound)
{
    return difference == 0 ? AT : difference == 1 && bound->excluded ? BESIDE : FAR;
}

/* One digit on: its difference from the bound's, to the side that lies inside. */
static enum nearness nearness_on(enum nearness now, int difference, const struct json_bound *bound)
{
    return now == FAR ? FAR : nearness_of(difference + (now == BESIDE ? 10 : 0), bound);
}

/*
 * How long a fraction behind n digits may be where it is near a bound that is excluded: whoever reads a number may round it to
 * a double, which keeps the order of two numbers but may make them equal, unless they have 15 digits at most, or differ by more
 * than one in the 15th; and equal to a bound that is excluded is outside.
 */
static size_t longest_fraction(const struct range *r, size_t n)
{
    return !r->lo.excluded && !r->hi.excluded ? JSON_FRACTION : n < DBL_DIG ? DBL_DIG - n : 0;
}

/* A bound of more digits than a double has is itself read as a whole number, and kept, where 2^53 + 1.0 is rounded. */
static bool may_have_fraction(const struct range *r, size_t n)
{
    return !r->whole &&
           !(n > DBL_DIG && (is_between_doubles(&r->lo) || is_between_doubles(&r->hi)));
}

/* Whether what is written, and nothing more, lies in the range; i digits of the fraction are written. */
static bool is_within(const struct range *r, size_t i, bool at_lo, bool at_hi)
{
    const bool lo_ends = all_zero(r->lo.digits + i, JSON_FRACTION - i),
               hi_ends = all_zero(r->hi.digits + i, JSON_FRACTION - i);

    return !(at_lo && (!lo_ends || r->lo.excluded)) && !(at_hi && hi_ends && r->hi.excluded);
}

static uint32_t fraction_state(struct range *r, size_t longest, size_t i, enum nearness lo,
                               enum nearness hi)
{
    if (!(r->lo.excluded && lo != FAR) && !(r->hi.excluded && hi != FAR))
        longest = JSON_FRACTION;
    uint32_t *known = &r->fraction[longest][i][lo][hi];

    if (*known != 0 || r->b->full)
        return *known;
    const uint32_t s = *known = build_state(r->b, r->rule);
    if (i > 0 && is_within(r, i, lo == AT, hi == AT))
        build_accept(r->b, s);
    for (char d = '0'; d <= '9' && i < longest; d++) {
        const int above = d - r->lo.digits[i], below = r->hi.digits[i] - d;

        if ((lo == AT && above < 0) || (hi == AT && below < 0))
            continue;
        build_edge(r->b, s, (unsigned char)d, (unsigned char)d,
                   fraction_state(r, longest, i + 1, nearness_on(lo, above, &r->lo),
                                  nearness_on(hi, below, &r->hi)),
                   0);
    }
    return s;
}

static int64_t power_of_ten(size_t n)
{
    int64_t x = 1;

    while (n-- > 0)
        x *= 10;
    return x;
}

/* Whether the digits of x begin with those of p. */
static bool begins_with(int64_t x, int64_t p)
{
    while (x > p)
        x /= 10;
    return x == p;
}

/* Whether what begins with p may come to a bound, or where it is excluded, to the whole number inside beside it. */
static bool leads_to(const struct json_bound *bound, int inwards, int64_t p)
{
    return begins_with(bound->whole, p) ||
           (bound->excluded && begins_with(bound->whole + inwards, p));
}

/* What a beginning p of n digits allows: how many digits may follow, at least and at most; and whether any that many do. */
struct onward {
    bool some, all;
    size_t least, most;
};

static struct onward onward_of(const struct range *r, int64_t p, size_t n)
{
    struct onward o = {.all = true, .least = SIZE_MAX};

    for (size_t k = 0; n + k <= JSON_DIGITS && (p > 0 || k == 0); k++) {
        const int64_t from = p * power_of_ten(k), to = from + power_of_ten(k) - 1;

        if (to < r->lo.whole || from > r->hi.whole)
            continue;
        o.all = o.all && from >= r->lo.whole && to <= r->hi.whole;
        o.some = true;
        o.least = size_min(o.least, k);
        o.most = k;
    }
    return o;
}

/* Behind the digits of p: what the range allows. */
static uint32_t whole_state(struct range *r, int64_t p, size_t n)
{
    const struct onward o = onward_of(r, p, n);
    const bool
        at_lo = p == r->lo.whole,
        at_hi = p == r->hi.whole, inside = p >= r->lo.whole && p <= r->hi.whole,
        /* nothing that follows meets a bound: only how many digits may follow is left of p */
        alike = o.all && p > 0 && !leads_to(&r->lo, 1, p) && !leads_to(&r->hi, -1, p);
    uint32_t s;

    if (alike && r->free_whole[n][o.least][o.most] != 0)
        return r->free_whole[n][o.least][o.most];
    s = build_state(r->b, r->rule);
    if (alike)
        r->free_whole[n][o.least][o.most] = s;
    if (inside && is_within(r, 0, at_lo, at_hi))
        build_accept(r->b, s);
    if (inside && may_have_fraction(r, n)) {
        const uint32_t point =
            fraction_state(r, longest_fraction(r, n), 0, nearness_of(p - r->lo.whole, &r->lo),
                           nearness_of(r->hi.whole - p, &r->hi));

        build_edge(r->b, s, '.', '.', point, 0);
    }
    for (int d = 0; p > 0 && d < 10 && n < JSON_DIGITS && !r->b->full; d++)
        if (onward_of(r, 10 * p + d, n + 1).some)
            build_edge(r->b, s, (unsigned)('0' + d), (unsigned)('0' + d),
                       whole_state(r, 10 * p + d, n + 1), 0);
    return s;
}

static void build_magnitudes(struct grammar_builder *b, uint32_t rule, uint32_t from, bool whole,
                             const struct json_bound *lo, const struct json_bound *hi)
{
    struct range *r = calloc(1, sizeof *r);

    if (r == NULL) {
        b->full = true;
        return;
    }
    r->b = b;
    r->rule = rule;
    r->whole = whole;
    r->lo = *lo;
    r->hi = *hi;
    for (int d = 0; d < 10; d++)
        if (onward_of(r, d, 1).some)
            build_edge(b, from, (unsigned)('0' + d), (unsigned)('0' + d), whole_state(r, d, 1), 0);
    free(r);
}

/* Any number: [-] digits [.digits] [e[+-]digits]. */
static void build_exponents(struct grammar_builder *b, uint32_t rule)
{
    const uint32_t sign = build_state(b, rule), digits = build_state(b, rule),
                   one = build_state(b, rule), two = build_state(b, rule);
    const uint32_t n = b->n_states;

    build_edge(b, sign, '+', '+', digits, 0);
    build_edge(b, sign, '-', '-', digits, 0);
    build_edge(b, sign, '0', '9', one, 0);
    build_edge(b, digits, '0', '9', one, 0);
    build_edge(b, one, '0', '9', two, 0);
    for (uint32_t s = b->full ? n : b->rules[rule].start; s < n; s++) {
        if (!b->states[s].accepts)
            continue;
        build_edge(b, s, 'e', 'e', sign, 0);
        build_edge(b, s, 'E', 'E', sign, 0);
    }
    build_accept(b, one);
    build_accept(b, two);
}

static struct json_bound zero_bound(void)
{
    struct json_bound zero = {.given = true};

    memset(zero.digits, '0', sizeof zero.digits);
    return zero;
}

/* A whole bound moved to the next whole number inside, so that it is neither excluded nor a fraction. */
static struct json_bound whole_bound(const struct json_bound *at, bool upwards)
{
    struct json_bound x = zero_bound();
    const bool exact = all_zero(at->digits, JSON_FRACTION);
    int64_t v = at->negative ? -at->whole : at->whole;

    /* 1.5 upwards is 2, -1.5 downwards is -2; -1.5 upwards is what cutting it off gave, -1 */
    if (exact ? at->excluded : upwards != at->negative)
        v += upwards ? 1 : -1;
    x.negative = v < 0;
    x.whole = llabs(v);
    return x;
}

uint32_t json_number_rule(struct grammar_builder *b, bool whole, const struct json_bound *least,
                          const struct json_bound *most)
{
    const uint32_t rule = build_rule(b, 0, GRAMMAR_FREE);
    struct json_bound lo = *least, hi = *most;

    if (!lo.given || !hi.given) {
        struct json_bound widest = zero_bound();

        widest.whole = TOO_LARGE - 1;
        memset(widest.digits, whole ? '0' : '9', sizeof widest.digits);
        if (!hi.given)
            hi = widest;
        widest.negative = true;
        if (!lo.given)
            lo = widest;
    }
    if (whole) {
        lo = whole_bound(&lo, true);
        hi = whole_bound(&hi, false);
        if (lo.whole >= TOO_LARGE || hi.whole >= TOO_LARGE)
            return rule; /* nothing is left between them */
    }
    if (b->full)
        return 0;
    const uint32_t start = b->rules[rule].start;
    if (lo.negative && !is_zero(&lo)) { /* magnitudes grow the other way */
        struct json_bound nearest = hi.negative ? hi : zero_bound();

        if (!hi.negative && whole)
            nearest.whole = 1; /* not -0 */
        nearest.negative = false;
        nearest.excluded = nearest.excluded || (!hi.negative && is_zero(&hi) && hi.excluded);
        const uint32_t minus = build_state(b, rule);
        build_edge(b, start, '-', '-', minus, 0);
        build_magnitudes(b, rule, minus, whole, &nearest, &lo);
    }
    if (!hi.negative || is_zero(&hi)) {
        const struct json_bound nearest = lo.negative ? zero_bound() : lo;

        build_magnitudes(b, rule, start, whole, &nearest, &hi);
    }
    if (!whole && !least->given && !most->given)
        build_exponents(b, rule);
    return rule;
}
