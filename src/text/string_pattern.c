/*
 * string_pattern.c - a pattern is read into a tree, the tree laid out as a nondeterministic automaton (Thompson's), and that made
 * deterministic by subsets. "^" and "$" are steps that only the first and the last place take.
 */
#include "text/string_pattern.h"
#include "base/size.h"
#include "text/jinja_unicode.h"

#include <stdlib.h>

#define MOST_REPEATS 1000
#define MOST_NODES ((uint32_t)20000) /* of the nondeterministic automaton */
#define MOST_LAID ((uint32_t)1000000)
#define MOST_GROUPS 100 /* in each other */

/* ---- sets of characters ---- */

struct ranges {
    struct char_pair {
        uint32_t first, last;
    } * r;
    size_t n, room;
};

static void put_range(struct arena *a, struct ranges *s, uint32_t first, uint32_t last)
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

/* In order, none touching the next. */
static void put_in_order(struct ranges *s)
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

/* s is in order. */
static struct ranges all_but(struct arena *a, const struct ranges *s)
{
    struct ranges out = {0};
    uint32_t from = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (s->r[i].first > from)
            put_range(a, &out, from, s->r[i].first - 1);
        from = s->r[i].last + 1;
    }
    if (from < CHAR_END)
        put_range(a, &out, from, CHAR_END - 1);
    return out;
}

static struct ranges in_both(struct arena *a, const struct ranges *x, const struct ranges *y)
{
    struct ranges out = {0};

    for (size_t i = 0, j = 0; i < x->n && j < y->n;) {
        const uint32_t first = x->r[i].first > y->r[j].first ? x->r[i].first : y->r[j].first,
                       last = x->r[i].last < y->r[j].last ? x->r[i].last : y->r[j].last;

        if (first <= last)
            put_range(a, &out, first, last);
        if (x->r[i].last < y->r[j].last)
            i++;
        else
            j++;
    }
    return out;
}

/* ---- \d \w \s, in ECMA-262 and in Python ---- */

enum dialect { ECMA, PYTHON, N_DIALECTS };

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
            put_range(a, out, c, c);
    }
}

static void put_some(struct arena *a, struct ranges *out, const struct char_pair *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_range(a, out, r[i].first, r[i].last);
}

/* The characters of \d, \w or \s, in order. */
static struct ranges shorthand(struct arena *a, char name, enum dialect in)
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

/* ---- reading ---- */

enum kind { EMPTY, SET, CONCAT, EITHER, REPEAT, FIRST, LAST };

struct tree {
    enum kind kind;
    uint32_t set;             /* SET: its number */
    uint32_t min, max;        /* REPEAT; max AUTOMATON_FREE */
    const struct tree *l, *r; /* CONCAT, EITHER; REPEAT: l */
};

struct node { /* of the nondeterministic automaton */
    enum { CHAR, SPLIT, AT_FIRST, AT_LAST, MATCH } kind;
    uint32_t set, to, or_to;
};

struct reader {
    struct arena *a; /* scratch */
    struct str text;
    size_t at;
    unsigned depth;
    struct ranges *sets;
    size_t n_sets, room_sets;
    struct ranges named[N_DIALECTS][3]; /* \d \w \s once they are known */
    struct node *nodes;
    bool either;              /* PATTERN_EITHER */
    uint32_t n_nodes, n_laid; /* parts laid out, those of no node included */
    struct error *err;
};

static bool refuse_at(struct reader *p, enum error_kind kind, size_t at, const char *why)
{
    return fail(p->err, kind, "at byte %zu of \"%.*s\": %s", at, (int)size_min(p->text.len, 80),
                p->text.ptr, why);
}

static bool is_next(const struct reader *p, const char *s)
{
    return str_starts(str_from(p->text, p->at), str_of(s));
}

static bool ends(const struct reader *p)
{
    return p->at == p->text.len;
}

static struct tree *tree_new(struct reader *p, enum kind kind)
{
    struct tree *t = ARENA_NEW(p->a, struct tree);

    t->kind = kind;
    return t;
}

static struct tree *tree_of_set(struct reader *p, struct ranges s)
{
    struct tree *t = tree_new(p, SET);

    for (t->set = 0; t->set < p->n_sets; t->set++)
        if (p->sets[t->set].n == s.n &&
            (s.n == 0 || memcmp(p->sets[t->set].r, s.r, s.n * sizeof *s.r) == 0))
            return t;
    if (p->n_sets == p->room_sets) {
        p->room_sets = 2 * p->room_sets + 16;
        struct ranges *grown = ARENA_ARRAY(p->a, struct ranges, p->room_sets);
        if (p->n_sets > 0)
            memcpy(grown, p->sets, p->n_sets * sizeof *grown);
        p->sets = grown;
    }
    p->sets[p->n_sets++] = s;
    return t;
}

/* n hexadecimal digits; false, and nothing read, where they are not there. */
static bool read_hex(struct reader *p, size_t n, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        const int d = p->at + i < p->text.len ? hex_digit(p->text.ptr[p->at + i]) : -1;

        if (d < 0)
            return false;
        *out = *out * 16 + (uint32_t)d;
    }
    p->at += n;
    return true;
}

/* Behind \u: HHHH, a pair of such, or {...}. */
static bool read_unicode(struct reader *p, size_t from, uint32_t *out)
{
    uint32_t low;

    if (is_next(p, "{")) {
        const size_t close = str_find(p->text, STR("}"), p->at);

        p->at++;
        if (close == p->text.len || close - p->at < 1 || close - p->at > 6 ||
            !read_hex(p, close - p->at, out) || *out >= CHAR_END)
            return refuse_at(p, ERR_INVALID, from, "\\u{...} names no character");
        p->at++;
        return true;
    }
    if (!read_hex(p, 4, out))
        return refuse_at(p, ERR_INVALID, from, "\\u wants four hexadecimal digits");
    if (*out < 0xD800 || *out > 0xDFFF)
        return true;
    if (*out > 0xDBFF || !is_next(p, "\\u"))
        return refuse_at(p, ERR_INVALID, from, "half a pair of surrogates is no character");
    p->at += 2;
    if (!read_hex(p, 4, &low) || low < 0xDC00 || low > 0xDFFF)
        return refuse_at(p, ERR_INVALID, from, "half a pair of surrogates is no character");
    *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

/* What is no single character, or is refused. */
static bool refuse_letter(struct reader *p, size_t from, char c, bool in_class)
{
    if (c >= '1' && c <= '9')
        return refuse_at(p, ERR_UNSUPPORTED, from,
                         in_class ? "an octal escape is not offered"
                                  : "a backreference is not offered: no automaton can hold it");
    if (c == 'k')
        return refuse_at(p, ERR_UNSUPPORTED, from,
                         "a backreference is not offered: no automaton can hold it");
    if (c == 'b' || c == 'B')
        return refuse_at(p, ERR_UNSUPPORTED, from,
                         "a word boundary (\\b, \\B) is not offered: it looks around");
    if (c == 'p' || c == 'P')
        return refuse_at(p, ERR_UNSUPPORTED, from, "\\p{...} is not offered; name the ranges");
    return refuse_at(p, ERR_UNSUPPORTED, from,
                     "this escape is not one of ECMA-262 that is offered");
}

/* An escape of a single character, from its backslash on. */
static bool read_escape(struct reader *p, bool in_class, uint32_t *out)
{
    static const char letters[] = "tnvfr", what[] = "\t\n\v\f\r";
    const size_t from = p->at++;

    if (ends(p))
        return refuse_at(p, ERR_INVALID, from, "a backslash at the end escapes nothing");
    const char c = p->text.ptr[p->at];
    const char *const letter = c != '\0' ? strchr(letters, c) : NULL;
    p->at++;
    if (letter != NULL) {
        *out = (unsigned char)what[letter - letters];
        return true;
    }
    if (c == 'x')
        return read_hex(p, 2, out) ||
               refuse_at(p, ERR_INVALID, from, "\\x wants two hexadecimal digits");
    if (c == 'u')
        return read_unicode(p, from, out);
    if (c == 'b' && in_class) {
        *out = '\b';
        return true;
    }
    if (c == '0' && !(!ends(p) && p->text.ptr[p->at] >= '0' && p->text.ptr[p->at] <= '9')) {
        *out = 0;
        return true;
    }
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return refuse_letter(p, from, c, in_class);
    p->at--;
    *out = jinja_char_next(p->text, &p->at);
    return true;
}

/* At \d \D \w \W \s \S: its letter as a small one; 0: it is none. */
static char shorthand_next(const struct reader *p, bool *negated)
{
    static const char letters[] = "dwsDWS";

    if (!is_next(p, "\\") || p->at + 1 >= p->text.len || p->text.ptr[p->at + 1] == '\0')
        return 0;
    const char *const at = strchr(letters, p->text.ptr[p->at + 1]);
    if (at == NULL)
        return 0;
    *negated = at - letters >= 3;
    return letters[(at - letters) % 3];
}

static const struct ranges *named(struct reader *p, char name, enum dialect in)
{
    struct ranges *s = &p->named[in][name == 'd' ? 0 : name == 'w' ? 1 : 2];

    if (s->n == 0)
        *s = shorthand(p->a, name, in);
    return s;
}

/* Puts \d and so on into a class of each dialect. */
static void put_shorthand(struct reader *p, char name, bool negated, struct ranges out[N_DIALECTS])
{
    for (enum dialect in = ECMA; in < N_DIALECTS; in++) {
        const struct ranges *s = named(p, name, in);
        const struct ranges rest = negated ? all_but(p->a, s) : *s;

        put_some(p->a, &out[in], rest.r, rest.n);
    }
}

static struct ranges both_dialects(struct reader *p, struct ranges of[N_DIALECTS], bool negated)
{
    for (enum dialect in = ECMA; in < N_DIALECTS; in++) {
        put_in_order(&of[in]);
        if (negated)
            of[in] = all_but(p->a, &of[in]);
    }
    if (!p->either)
        return in_both(p->a, &of[ECMA], &of[PYTHON]);
    put_some(p->a, &of[ECMA], of[PYTHON].r, of[PYTHON].n);
    put_in_order(&of[ECMA]);
    return of[ECMA];
}

static bool read_class_char(struct reader *p, uint32_t *out)
{
    if (is_next(p, "\\"))
        return read_escape(p, true, out);
    *out = jinja_char_next(p->text, &p->at);
    return true;
}

/* Behind "[". */
static bool read_class(struct reader *p, struct tree **out)
{
    const size_t from = p->at - 1;
    struct ranges of[N_DIALECTS] = {0};
    const bool negated = is_next(p, "^");
    bool opposite;

    p->at += negated;
    if (is_next(p, "]"))
        return refuse_at(
            p, ERR_UNSUPPORTED, from,
            "[] and [^] are not offered: Python reads the ] as a character; escape it");
    while (!ends(p) && !is_next(p, "]")) {
        const char name = shorthand_next(p, &opposite);
        const size_t at = p->at;
        uint32_t first, last;

        if (name != 0) {
            p->at += 2;
            put_shorthand(p, name, opposite, of);
            if (is_next(p, "-") && !is_next(p, "-]"))
                return refuse_at(p, ERR_INVALID, at, "a range ends in single characters");
            continue;
        }
        if (!read_class_char(p, &first))
            return false;
        last = first;
        if (is_next(p, "-") && !is_next(p, "-]") && p->at + 1 < p->text.len) {
            p->at++;
            if (shorthand_next(p, &opposite) != 0)
                return refuse_at(p, ERR_INVALID, at, "a range ends in single characters");
            if (!read_class_char(p, &last))
                return false;
        }
        if (last < first)
            return refuse_at(p, ERR_INVALID, at, "this range of characters runs backwards");
        for (enum dialect in = ECMA; in < N_DIALECTS; in++)
            put_range(p->a, &of[in], first, last);
    }
    if (ends(p))
        return refuse_at(p, ERR_INVALID, from, "this [ has no ]");
    p->at++;
    *out = tree_of_set(p, both_dialects(p, of, negated));
    return true;
}

static bool read_either(struct reader *p, struct tree **out);

/* Behind "(". */
static bool read_group(struct reader *p, struct tree **out)
{
    const size_t from = p->at - 1;

    if (is_next(p, "?=") || is_next(p, "?!") || is_next(p, "?<=") || is_next(p, "?<!"))
        return refuse_at(p, ERR_UNSUPPORTED, from, "lookaround, (?= (?! (?<= (?<!, is not offered");
    if (is_next(p, "?:")) {
        p->at += 2;
    } else if (is_next(p, "?<")) {
        const size_t close = str_find(p->text, STR(">"), p->at);

        if (close == p->text.len)
            return refuse_at(p, ERR_INVALID, from, "this group's name has no end");
        p->at = close + 1;
    } else if (is_next(p, "?")) {
        return refuse_at(p, ERR_UNSUPPORTED, from,
                         "flags and forms of other dialects than ECMA-262 are not offered");
    }
    if (++p->depth > MOST_GROUPS)
        return refuse_at(p, ERR_LIMIT, from, "more than 100 groups stand in each other");
    if (!read_either(p, out))
        return false;
    p->depth--;
    if (!is_next(p, ")"))
        return refuse_at(p, ERR_INVALID, from, "this ( has no )");
    p->at++;
    return true;
}

static struct tree *tree_of_char(struct reader *p, uint32_t c)
{
    struct ranges one = {0};

    put_range(p->a, &one, c, c);
    return tree_of_set(p, one);
}

/* All but the ends of lines; Python knows one. */
static struct tree *tree_of_dot(struct reader *p)
{
    struct ranges lines = {0};

    put_range(p->a, &lines, '\n', '\n');
    if (!p->either) {
        put_range(p->a, &lines, '\r', '\r');
        put_range(p->a, &lines, 0x2028, 0x2029);
    }
    return tree_of_set(p, all_but(p->a, &lines));
}

/* The end; Python's "$" is before a last line feed, too. */
static struct tree *tree_of_end(struct reader *p)
{
    struct tree *end = tree_new(p, LAST), *t = tree_new(p, CONCAT), *lines;

    if (!p->either)
        return end;
    lines = tree_new(p, REPEAT);
    lines->l = tree_of_char(p, '\n');
    lines->max = 1;
    t->l = lines;
    t->r = tree_new(p, CONCAT);
    ((struct tree *)(uintptr_t)t->r)->l = end;
    ((struct tree *)(uintptr_t)t->r)->r = tree_new(p, EMPTY);
    return t;
}

static bool read_atom(struct reader *p, struct tree **out)
{
    bool negated;
    const char name = shorthand_next(p, &negated);
    uint32_t c;

    if (name != 0) {
        struct ranges of[N_DIALECTS] = {0};

        p->at += 2;
        put_shorthand(p, name, negated, of);
        *out = tree_of_set(p, both_dialects(p, of, false));
        return true;
    }
    switch (p->text.ptr[p->at]) {
    case '^':
    case '$':
        *out = p->text.ptr[p->at++] == '^' ? tree_new(p, FIRST) : tree_of_end(p);
        return true;
    case '.':
        p->at++;
        *out = tree_of_dot(p);
        return true;
    case '[':
        p->at++;
        return read_class(p, out);
    case '(':
        p->at++;
        return read_group(p, out);
    case '*':
    case '+':
    case '?':
        return refuse_at(p, ERR_INVALID, p->at, "there is nothing here to repeat");
    case '\\':
        if (!read_escape(p, false, &c))
            return false;
        *out = tree_of_char(p, c);
        return true;
    default:
        *out = tree_of_char(p, jinja_char_next(p->text, &p->at));
        return true;
    }
}

static bool read_number(struct reader *p, uint32_t *out)
{
    const size_t from = p->at;

    *out = 0;
    for (; !ends(p) && p->text.ptr[p->at] >= '0' && p->text.ptr[p->at] <= '9'; p->at++)
        *out = *out > MOST_REPEATS ? *out : *out * 10 + (uint32_t)(p->text.ptr[p->at] - '0');
    return p->at > from;
}

/* {n}, {n,} or {n,m}; *found false, and nothing read, where the brace is a character. */
static bool read_braces(struct reader *p, uint32_t *min, uint32_t *max, bool *found)
{
    const size_t from = p->at++;

    *found = read_number(p, min);
    *max = *min;
    if (!*found && is_next(p, ",") && p->at + 1 < p->text.len && p->text.ptr[p->at + 1] != '}') {
        uint32_t most;

        p->at++;
        if (read_number(p, &most) && is_next(p, "}"))
            return refuse_at(p, ERR_UNSUPPORTED, from,
                             "{,m} is not offered: Python alone repeats by it; write {0,m}");
    }
    if (*found && is_next(p, ",")) {
        p->at++;
        if (!read_number(p, max))
            *max = AUTOMATON_FREE;
    }
    *found = *found && is_next(p, "}");
    p->at = *found ? p->at + 1 : from;
    if (!*found)
        return true;
    if (*min > MOST_REPEATS || (*max != AUTOMATON_FREE && *max > MOST_REPEATS))
        return refuse_at(p, ERR_LIMIT, from, "more than 1000 repeats are not offered");
    return *min <= *max ||
           refuse_at(p, ERR_INVALID, from, "this quantifier's bounds run backwards");
}

/* The quantifier that is next; *found: there was one. */
static bool read_quantifier(struct reader *p, uint32_t *min, uint32_t *max, bool *found)
{
    *found = true;
    *min = is_next(p, "+");
    *max = is_next(p, "?") ? 1 : AUTOMATON_FREE;
    if (is_next(p, "{")) {
        if (!read_braces(p, min, max, found))
            return false;
    } else if (is_next(p, "*") || is_next(p, "+") || is_next(p, "?")) {
        p->at++;
    } else {
        *found = false;
    }
    if (*found && is_next(p, "?"))
        p->at++; /* lazy: the same texts */
    else if (*found && is_next(p, "+"))
        return refuse_at(p, ERR_UNSUPPORTED, p->at, "a possessive quantifier is not offered");
    return true;
}

static bool read_repeated(struct reader *p, struct tree **out)
{
    const size_t from = p->at;
    uint32_t min, max;
    bool found;

    if (!read_atom(p, out) || !read_quantifier(p, &min, &max, &found))
        return false;
    if (!found)
        return true;
    if ((*out)->kind == FIRST || (*out)->kind == LAST)
        return refuse_at(p, ERR_INVALID, from, "there is nothing here to repeat");
    struct tree *t = tree_new(p, REPEAT);
    t->l = *out;
    t->min = min;
    t->max = max;
    *out = t;
    bool again = false;
    const size_t at = p->at;
    if (is_next(p, "*") || is_next(p, "+") || is_next(p, "?"))
        again = true;
    else if (is_next(p, "{") && !read_braces(p, &min, &max, &again))
        return false;
    return !again || refuse_at(p, ERR_INVALID, at, "there is nothing here to repeat");
}

/* One alternative after the other; a list of them leans to the right, so that laying it out takes no depth. */
static bool read_sequence(struct reader *p, struct tree **out)
{
    struct tree *first = tree_new(p, EMPTY), **last = &first;

    while (!ends(p) && !is_next(p, "|") && !is_next(p, ")")) {
        struct tree *pair = tree_new(p, CONCAT), *atom;

        if (!read_repeated(p, &atom))
            return false;
        pair->l = atom;
        pair->r = *last;
        *last = pair;
        last = (struct tree **)(uintptr_t)&pair->r;
    }
    *out = first;
    return true;
}

static bool read_either(struct reader *p, struct tree **out)
{
    struct tree **last = out;

    for (;;) {
        struct tree *one;

        if (!read_sequence(p, &one))
            return false;
        if (!is_next(p, "|")) {
            *last = one;
            return true;
        }
        p->at++;
        *last = tree_new(p, EITHER);
        (*last)->l = one;
        last = (struct tree **)(uintptr_t) & (*last)->r;
    }
}

/* ---- laying out ---- */

/* AUTOMATON_NONE once there are too many. */
static uint32_t node_new(struct reader *p, struct node n)
{
    if (p->n_nodes >= MOST_NODES || p->n_laid > MOST_LAID)
        return AUTOMATON_NONE;
    p->nodes[p->n_nodes] = n;
    return p->n_nodes++;
}

static uint32_t lay_out(struct reader *p, const struct tree *t, uint32_t to);

/* x{min,max} before `to`, from the back. */
static uint32_t lay_out_repeat(struct reader *p, const struct tree *t, uint32_t to)
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

static uint32_t lay_out_one(struct reader *p, const struct tree *t, uint32_t to)
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
static uint32_t lay_out(struct reader *p, const struct tree *t, uint32_t to)
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
    struct reader *p;
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
static bool find_classes(struct reader *p, struct arena *a, struct automaton *out, bool **in)
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
static bool determine(struct reader *p, struct arena *a, uint32_t start, uint32_t match,
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
    struct reader p = {.a = &scratch, .text = pattern, .either = by == PATTERN_EITHER, .err = err};
    struct automaton made = {0};
    struct tree *t = NULL;

    if (pattern.len > LIMIT_STRING_PATTERN)
        return fail(err, ERR_LIMIT, "a pattern of more than %zu bytes", LIMIT_STRING_PATTERN);
    bool ok = read_either(&p, &t);
    if (ok && !ends(&p))
        ok = refuse_at(&p, ERR_INVALID, p.at, "this ) has no (");
    if (ok) {
        struct ranges all = {0};

        p.nodes = ARENA_ARRAY(&scratch, struct node, MOST_NODES + 8);
        put_range(&scratch, &all, 0, CHAR_END - 1);
        const uint32_t set = tree_of_set(&p, all)->set,
                       match = node_new(&p, (struct node){.kind = MATCH}),
                       begin = lay_out(&p, t, match);
        const uint32_t split = node_new(&p, (struct node){.kind = SPLIT, .to = begin}),
                       any = node_new(&p, (struct node){.kind = CHAR, .set = set, .to = split});
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
