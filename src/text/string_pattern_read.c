/*
 * string_pattern_read.c - a pattern's text becomes a tree, whose leaves are sets of characters. Where ECMA-262 and Python differ in
 * a set, it is what both have in it, or either.
 */
#include "base/size.h"
#include "text/jinja_unicode.h"
#include "text/string_pattern_internal.h"

#define MOST_REPEATS 1000
#define MOST_GROUPS 100 /* in each other */

struct reader {
    struct arena *a; /* scratch */
    struct str text;
    size_t at;
    unsigned depth;
    struct ranges *sets;
    size_t n_sets, room_sets;
    struct ranges named[N_DIALECTS][3]; /* \d \w \s once they are known */
    bool either;                        /* PATTERN_EITHER */
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

static struct tree *tree_new(struct reader *p, enum pattern_kind kind)
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
        *s = ranges_shorthand(p->a, name, in);
    return s;
}

/* Puts \d and so on into a class of each dialect. */
static void put_shorthand(struct reader *p, char name, bool negated, struct ranges out[N_DIALECTS])
{
    for (enum dialect in = ECMA; in < N_DIALECTS; in++) {
        const struct ranges *s = named(p, name, in);
        const struct ranges rest = negated ? ranges_all_but(p->a, s) : *s;

        ranges_add(p->a, &out[in], &rest);
    }
}

static struct ranges both_dialects(struct reader *p, struct ranges of[N_DIALECTS], bool negated)
{
    for (enum dialect in = ECMA; in < N_DIALECTS; in++) {
        ranges_order(&of[in]);
        if (negated)
            of[in] = ranges_all_but(p->a, &of[in]);
    }
    if (!p->either)
        return ranges_in_both(p->a, &of[ECMA], &of[PYTHON]);
    ranges_add(p->a, &of[ECMA], &of[PYTHON]);
    ranges_order(&of[ECMA]);
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
            ranges_put(p->a, &of[in], first, last);
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

    ranges_put(p->a, &one, c, c);
    return tree_of_set(p, one);
}

/* All but the ends of lines; Python knows one. */
static struct tree *tree_of_dot(struct reader *p)
{
    struct ranges lines = {0};

    ranges_put(p->a, &lines, '\n', '\n');
    if (!p->either) {
        ranges_put(p->a, &lines, '\r', '\r');
        ranges_put(p->a, &lines, 0x2028, 0x2029);
    }
    return tree_of_set(p, ranges_all_but(p->a, &lines));
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

bool string_pattern_read(struct arena *a, struct str pattern, enum string_dialect by,
                         struct pattern_tree *out, struct error *err)
{
    struct reader p = {.a = a, .text = pattern, .either = by == PATTERN_EITHER, .err = err};
    struct ranges all = {0};
    struct tree *t = NULL;

    if (pattern.len > LIMIT_STRING_PATTERN)
        return fail(err, ERR_LIMIT, "a pattern of more than %zu bytes", LIMIT_STRING_PATTERN);
    if (!read_either(&p, &t))
        return false;
    if (!ends(&p))
        return refuse_at(&p, ERR_INVALID, p.at, "this ) has no (");
    ranges_put(a, &all, 0, CHAR_END - 1);
    const uint32_t any = tree_of_set(&p, all)->set;
    *out = (struct pattern_tree){.root = t, .sets = p.sets, .n_sets = p.n_sets, .any = any};
    return true;
}
