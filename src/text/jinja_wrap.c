/*
 * jinja_wrap.c - two filters that lay text out in lines: wordwrap, as Python's textwrap, and pprint, as its pprint.
 */
#include "base/size.h"
#include "text/jinja_builtin.h"
#include "text/jinja_text.h"
#include "text/jinja_unicode.h"

/* ---- wordwrap ---- */

struct wrap {
    struct jinja_render *r;
    const uint32_t *c; /* the characters of a line of the text */
    size_t n;
    int64_t width;
    struct str newline;
    bool break_words, break_hyphens;
    bool some;      /* a line was put */
    size_t at, end; /* the piece that comes next; a word that was broken is not cut up anew */
};

/* A part of a line, by its characters. */
struct piece {
    size_t from, to;
};

static bool is_blank(uint32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(uint32_t c)
{
    return c == '_' || jinja_is_alnum(c);
}

static bool is_letter(uint32_t c)
{
    return is_word(c) && !jinja_is_decimal(c);
}

/* Is there such a character at i? Before the line and behind it there is none. */
static bool letter_at(const struct wrap *w, size_t i)
{
    return i < w->n && is_letter(w->c[i]);
}

static bool punctuated_before(const struct wrap *w, size_t at)
{
    return at > 0 && (is_word(w->c[at - 1]) || (w->c[at - 1] < 0x80 && w->c[at - 1] != 0 &&
                                                strchr("!\"'&.,?", (int)w->c[at - 1]) != NULL));
}

/* The end of two or more hyphens at at with a word behind them, or at. */
static size_t dash_end(const struct wrap *w, size_t at)
{
    size_t end = at;

    while (end < w->n && w->c[end] == '-')
        end++;
    return end >= at + 2 && end < w->n && is_word(w->c[end]) ? end : at;
}

/* May a line end behind the hyphen at at? Letters on both sides: goof-ball, but not -b. */
static bool hyphen_breaks(const struct wrap *w, size_t at)
{
    const bool before =
        at >= 2 && letter_at(w, at - 1) &&
        (letter_at(w, at - 2) || (at >= 3 && w->c[at - 2] == '-' && letter_at(w, at - 3)));

    return before && letter_at(w, at + 1) &&
           (letter_at(w, at + 2) || (at + 2 < w->n && w->c[at + 2] == '-' && letter_at(w, at + 3)));
}

/* The end of the piece that begins at from: blanks, a dash, or a word up to where it may be broken. */
static size_t piece_end(const struct wrap *w, size_t from)
{
    size_t at = from;

    if (is_blank(w->c[from])) {
        while (at < w->n && is_blank(w->c[at]))
            at++;
        return at;
    }
    if (w->break_hyphens && punctuated_before(w, from) && dash_end(w, from) > from)
        return dash_end(w, from);
    for (at++; at < w->n && !is_blank(w->c[at]); at++) {
        if (!w->break_hyphens || w->c[at] != '-')
            continue;
        if (hyphen_breaks(w, at))
            return at + 1;
        if (punctuated_before(w, at) && dash_end(w, at) > at)
            return at;
    }
    return at;
}

static bool all_space(const struct wrap *w, struct piece p)
{
    while (p.from < p.to && jinja_is_space(w->c[p.from]))
        p.from++;
    return p.from == p.to;
}

/* How much of a word that fits no line goes onto this one, which has room for so many characters. */
static size_t break_word(const struct wrap *w, struct piece p, size_t room)
{
    size_t hyphen = 0;
    bool other = false;

    if (!w->break_hyphens || p.to - p.from <= room)
        return size_min(room, p.to - p.from);
    for (size_t i = 0; i < room; i++)
        if (w->c[p.from + i] == '-')
            hyphen = i;
    for (size_t i = 0; i < hyphen; i++)
        other = other || w->c[p.from + i] != '-';
    return hyphen > 0 && other ? hyphen + 1 : room;
}

static void put_line(struct wrap *w, struct piece line)
{
    if (w->some)
        jinja_put(w->r, w->newline);
    w->some = true;
    for (size_t i = line.from; i < line.to; i++) {
        char utf8[4];

        buf_put(&w->r->out, utf8, jinja_char_put(utf8, w->c[i]));
    }
}

static void next_piece(struct wrap *w, size_t at)
{
    const bool begins = at >= w->end; /* else it is what is left of a word */

    w->at = at;
    if (begins)
        w->end = at < w->n ? piece_end(w, at) : at;
}

/* Fills one line; the pieces on it follow each other in the text. */
static void wrap_line(struct wrap *w, bool first)
{
    struct piece line, last;

    if (!first && all_space(w, (struct piece){w->at, w->end}))
        next_piece(w, w->end);
    line = (struct piece){w->at, w->at};
    last = line;
    while (w->at < w->n && w->end - line.from <= (size_t)w->width) {
        last = (struct piece){w->at, w->end};
        line.to = w->end;
        next_piece(w, w->end);
    }
    if (w->at < w->n && w->end - w->at > (size_t)w->width) {
        size_t take = 0;

        if (w->break_words)
            take = break_word(w, (struct piece){w->at, w->end},
                              (size_t)w->width - (w->at - line.from));
        else if (w->at == line.from)
            take = w->end - w->at;
        if (w->break_words || take > 0)
            last = (struct piece){w->at, w->at + take};
        line.to = w->at + take;
        next_piece(w, line.to);
    }
    if (all_space(w, last))
        line.to = last.from;
    if (line.to > line.from)
        put_line(w, line);
}

static bool wrap_paragraph(struct wrap *w, struct str s)
{
    const size_t n = jinja_count_chars(s);
    uint32_t *c = jinja_alloc(w->r, n, sizeof *c);
    size_t at = 0;

    if (c == NULL || !jinja_charge(w->r, n / 2))
        return false;
    for (size_t i = 0; i < n; i++)
        c[i] = jinja_char_next(s, &at);
    w->c = c;
    w->n = n;
    w->end = 0;
    next_piece(w, 0);
    for (bool first = true; w->at < n; first = first && !w->some) {
        if (!jinja_charge(w->r, 1 + size_min((size_t)w->width, n - w->at) / 8))
            return false;
        wrap_line(w, first);
    }
    return jinja_put_ok(w->r);
}

bool jinja_f_wordwrap(struct jinja_call *c)
{
    struct wrap w = {.r = c->r, .newline = STR("\n")};
    struct jinja_items lines = {0};

    if (c->self.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(c->r, c->self);
    if (c->self.type != JINJA_STR)
        return jinja_raise(c->r, "'%s' object has no attribute 'splitlines'",
                           jinja_type_name(c->self));
    if (!jinja_arg_int(c, 0, 79, &w.width) || !jinja_arg_bool(c, 1, true, &w.break_words) ||
        (c->a[2].type != JINJA_NONE && !jinja_arg_str(c, 2, w.newline, &w.newline)) ||
        !jinja_arg_bool(c, 3, true, &w.break_hyphens) ||
        !jinja_text_lines(c->r, c->self, false, &lines))
        return false;
    if (w.width <= 0 && lines.n > 0)
        return jinja_raise(c->r, "invalid width %lld (must be > 0)", (long long)w.width);
    const size_t mark = jinja_mark(c->r);
    for (size_t i = 0; i < lines.n; i++) {
        if (i > 0)
            jinja_put(c->r, w.newline);
        w.some = false;
        if (!wrap_paragraph(&w, jinja_view(lines.ptr[i])))
            return false;
    }
    return jinja_take(c->r, mark, c->out);
}

/* ---- pprint ---- */

#define PRETTY_WIDTH 80

struct pretty {
    struct jinja_render *r;
    int level; /* how deep in lists and dictionaries */
};

static bool put_flat(struct jinja_render *r, struct jinja_value v);

static bool put_flat_dict(struct jinja_render *r, const struct jinja_dict *d)
{
    struct jinja_entry *entries;

    if (!jinja_dict_sorted(r, d, false, &entries))
        return false;
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0)
            jinja_put(r, STR(", "));
        if (!put_flat(r, entries[i].key))
            return false;
        jinja_put(r, STR(": "));
        if (!put_flat(r, entries[i].value))
            return false;
    }
    return true;
}

static bool put_flat_items(struct jinja_render *r, const struct jinja_seq *seq)
{
    for (size_t i = 0; i < seq->n; i++) {
        if (i > 0)
            jinja_put(r, STR(", "));
        if (!put_flat(r, seq->items[i]))
            return false;
    }
    return true;
}

static bool is_compound(struct jinja_value v)
{
    return v.type == JINJA_DICT || v.type == JINJA_LIST || (v.type == JINJA_TUPLE && !v.group);
}

/* repr() with the keys in order. */
static bool put_flat(struct jinja_render *r, struct jinja_value v)
{
    const char *const ends = v.type == JINJA_DICT ? "{}" : v.type == JINJA_LIST ? "[]" : "()";

    if (!is_compound(v))
        return jinja_put_repr(r, v);
    if (!jinja_charge(r, 1) || !jinja_put_ok(r))
        return false;
    if (!jinja_enter_value(r))
        return false;
    buf_char(&r->out, ends[0]);
    if (!(v.type == JINJA_DICT ? put_flat_dict(r, v.dict) : put_flat_items(r, v.seq)))
        return false;
    if (v.type == JINJA_TUPLE && v.seq->n == 1)
        buf_char(&r->out, ',');
    buf_char(&r->out, ends[1]);
    r->depth--;
    return true;
}

static bool flat(struct jinja_render *r, struct jinja_value v, struct jinja_value *out)
{
    const size_t mark = jinja_mark(r);

    return put_flat(r, v) && jinja_take(r, mark, out);
}

static void put_break(struct jinja_render *r, const char *before, int64_t indent)
{
    buf_text(&r->out, before);
    buf_char(&r->out, '\n');
    for (int64_t i = 0; i < indent && !r->out.overflowed; i++)
        buf_char(&r->out, ' ');
}

static bool put_pretty(struct pretty *p, struct jinja_value v, int64_t indent, int64_t allowance);

static bool put_pretty_dict(struct pretty *p, const struct jinja_dict *d, int64_t indent,
                            int64_t allowance)
{
    struct jinja_entry *entries;
    struct jinja_value key;

    if (!jinja_dict_sorted(p->r, d, false, &entries))
        return false;
    for (size_t i = 0; i < d->n; i++) {
        const bool last = i + 1 == d->n;

        if (!flat(p->r, entries[i].key, &key))
            return false;
        jinja_put(p->r, jinja_view(key));
        jinja_put(p->r, STR(": "));
        if (!put_pretty(p, entries[i].value, indent + 1 + (int64_t)key.text->n_chars + 2,
                        last ? allowance : 1))
            return false;
        if (!last)
            put_break(p->r, ",", indent + 1);
    }
    return true;
}

static bool put_pretty_items(struct pretty *p, const struct jinja_seq *seq, int64_t indent,
                             int64_t allowance)
{
    for (size_t i = 0; i < seq->n; i++) {
        if (i > 0)
            put_break(p->r, ",", indent + 1);
        if (!put_pretty(p, seq->items[i], indent + 1, i + 1 == seq->n ? allowance : 1))
            return false;
    }
    return true;
}

/* The length of repr(s) in characters. */
static bool repr_length(struct jinja_render *r, struct str s, int64_t *out)
{
    const size_t mark = jinja_mark(r);

    jinja_put_str_repr(r, s);
    if (!jinja_put_ok(r) || !jinja_charge(r, 1 + s.len / 16))
        return false;
    *out = (int64_t)jinja_count_chars((struct str){r->out.ptr + mark, r->out.len - mark});
    r->out.len = mark;
    return true;
}

static bool add_chunk(struct jinja_render *r, struct jinja_items *chunks, struct str s)
{
    struct jinja_value v;

    return jinja_str_view(r, s, &v) && jinja_items_add(r, chunks, v);
}

/* A line that is too long, cut behind blanks. */
static bool cut_line(struct jinja_render *r, struct str line, int64_t width, int64_t last_width,
                     struct jinja_items *chunks)
{
    struct str current = {line.ptr, 0};

    for (size_t at = 0; at < line.len;) {
        size_t end = at, next = at;
        int64_t n;

        while (end < line.len && !jinja_is_space(jinja_char_next(line, &next)))
            end = next;
        next = end;
        while (end < line.len && jinja_is_space(jinja_char_next(line, &next)))
            end = next;
        const struct str candidate = {current.ptr, (size_t)(line.ptr + end - current.ptr)};
        if (!repr_length(r, candidate, &n))
            return false;
        if (n > (end == line.len ? last_width : width)) {
            if (current.len > 0 && !add_chunk(r, chunks, current))
                return false;
            current = (struct str){line.ptr + at, end - at};
        } else {
            current = candidate;
        }
        at = end;
    }
    return current.len == 0 || add_chunk(r, chunks, current);
}

/* A long text as several literals beside each other. */
static bool put_pretty_text(struct pretty *p, struct jinja_value v, int64_t indent,
                            int64_t allowance)
{
    struct jinja_render *r = p->r;
    struct jinja_items lines = {0}, chunks = {0};
    const bool alone = p->level == 1;

    if (alone) {
        indent++;
        allowance++;
    }
    if (!jinja_text_lines(r, v, true, &lines))
        return false;
    for (size_t i = 0; i < lines.n; i++) {
        const int64_t width = PRETTY_WIDTH - indent;
        const int64_t last_width = width - (i + 1 == lines.n ? allowance : 0);
        int64_t n;

        if (!repr_length(r, jinja_view(lines.ptr[i]), &n))
            return false;
        if (n <= last_width ? !add_chunk(r, &chunks, jinja_view(lines.ptr[i]))
                            : !cut_line(r, jinja_view(lines.ptr[i]), width, last_width, &chunks))
            return false;
    }
    if (alone && chunks.n > 1)
        buf_char(&r->out, '(');
    for (size_t i = 0; i < chunks.n; i++) {
        if (i > 0)
            put_break(r, "", indent);
        jinja_put_str_repr(r, jinja_view(chunks.ptr[i]));
    }
    if (alone && chunks.n > 1)
        buf_char(&r->out, ')');
    return jinja_put_ok(r);
}

static bool put_pretty_compound(struct pretty *p, struct jinja_value v, int64_t indent,
                                int64_t allowance)
{
    struct jinja_render *r = p->r;
    const char *const ends = v.type == JINJA_DICT ? "{}" : v.type == JINJA_LIST ? "[]" : "()";
    const bool single = v.type == JINJA_TUPLE && v.seq->n == 1;

    buf_char(&r->out, ends[0]);
    if (!(v.type == JINJA_DICT ? put_pretty_dict(p, v.dict, indent, allowance + 1)
                               : put_pretty_items(p, v.seq, indent, allowance + 1 + single)))
        return false;
    if (single)
        buf_char(&r->out, ',');
    buf_char(&r->out, ends[1]);
    return true;
}

/* On one line where it fits, which begins at indent and leaves allowance for what closes behind it. */
static bool put_pretty(struct pretty *p, struct jinja_value v, int64_t indent, int64_t allowance)
{
    struct jinja_value text;
    const bool is_text = v.type == JINJA_STR && !v.safe && v.text->len > 0;
    bool ok = true;

    if (!flat(p->r, v, &text))
        return false;
    if ((int64_t)text.text->n_chars <= PRETTY_WIDTH - indent - allowance ||
        (!is_text && !is_compound(v))) {
        jinja_put(p->r, jinja_view(text));
        return jinja_put_ok(p->r);
    }
    if (!jinja_enter_value(p->r))
        return false;
    p->level++;
    ok = is_text ? put_pretty_text(p, v, indent, allowance)
                 : put_pretty_compound(p, v, indent, allowance);
    p->level--;
    p->r->depth--;
    return ok;
}

bool jinja_f_pprint(struct jinja_call *c)
{
    struct pretty p = {.r = c->r};
    const size_t mark = jinja_mark(c->r);

    return put_pretty(&p, c->self, 0, 0) && jinja_take(c->r, mark, c->out);
}
