/*
 * guard.c - marks a copy of the variables, and takes the marks out of the text.
 *
 * A conversation without look-alikes, as almost all are, is rendered as it is: looking is all that it costs.
 */
#include "sample/guard.h"
#include "base/limits.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const struct str x = *(const struct str *)a, y = *(const struct str *)b;
    const int c = memcmp(x.ptr, y.ptr, size_min(x.len, y.len));

    return c != 0 ? c : x.len < y.len ? -1 : x.len > y.len;
}

void guard_init(struct guard *g, const struct tokenizer *t, const struct model_config *c,
                struct arena *a)
{
    const size_t n = tokenizer_size(t);

    *g = (struct guard){.texts = ARENA_ARRAY(a, struct str, n + 1)};
    for (token_id id = 0; (size_t)id < n; id++) {
        const struct str text = tokenizer_bytes(t, id);

        if (text.len > 1 && (tokenizer_is_special(t, id) || config_is_end(c, id)))
            g->texts[g->n++] = text;
    }
    qsort(g->texts, g->n, sizeof *g->texts, compare);
}

/* ---- looking ---- */

/* The first text in from..to-1 whose byte at is not below b; all of them are longer than at. */
static size_t first_not_below(const struct guard *g, size_t from, size_t to, size_t at, int b)
{
    while (from < to) {
        const size_t middle = from + (to - from) / 2;

        if ((unsigned char)g->texts[middle].ptr[at] < b)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Bytes of the longest special token's text that s has at a place; 0: none. */
static size_t look_alike_at(const struct guard *g, struct str s, size_t at)
{
    size_t from = 0, to = g->n, longest = 0;

    for (size_t n = 0; at + n < s.len && from < to; n++) {
        const int byte = (unsigned char)s.ptr[at + n];

        from = first_not_below(g, from, to, n, byte);
        to = first_not_below(g, from, to, n, byte + 1);
        if (from < to && g->texts[from].len == n + 1) { /* shorter ones come first */
            longest = n + 1;
            while (from < to && g->texts[from].len == n + 1)
                from++;
        }
    }
    return longest;
}

struct marks {
    char open[4], close[4];     /* the characters */
    char open_u[7], close_u[7]; /* as JSON in ASCII writes them: \ufdd0 */
};

/* Where in the variables a text is. */
struct visit {
    const struct guard *g;
    const struct marks *marks; /* to look for, or to put in */
    bool assistant;            /* inside an assistant's message */
};

static size_t marked_at(const struct visit *v, struct str s, size_t at)
{
    const size_t n = look_alike_at(v->g, s, at);
    const bool said = n > 0 && v->assistant && v->g->may_say != NULL &&
                      v->g->may_say(v->g->ctx, (struct str){s.ptr + at, n});

    return said ? 0 : n;
}

static bool has_look_alike(const struct visit *v, struct str s)
{
    for (size_t at = 0; at < s.len; at++)
        if (marked_at(v, s, at) > 0)
            return true;
    return false;
}

static bool has_marks(const struct visit *v, struct str s)
{
    const struct marks *m = v->marks;

    return str_find(s, str_of(m->open), 0) < s.len || str_find(s, str_of(m->close), 0) < s.len ||
           str_find(s, str_of(m->open_u + 1), 0) < s.len ||
           str_find(s, str_of(m->close_u + 1), 0) < s.len;
}

typedef bool test_fn(const struct visit *v, struct str s);

static struct str key_of(void *iter)
{
    return (struct str){json_object_iter_key(iter), json_object_iter_key_len(iter)};
}

static bool is_by_assistant(const json_t *v)
{
    return str_is(json_str(json_object_get(v, "role")), "assistant");
}

/* The template's own words for its tokens are no look-alikes. */
static bool is_own(const char *key)
{
    return strcmp(key, "bos_token") == 0 || strcmp(key, "eos_token") == 0;
}

/* Whether any text below v, keys too, has it. Nesting is limited where JSON is read. */
static bool any_text(struct visit v, const json_t *of, test_fn *has)
{
    json_t *object = (json_t *)(uintptr_t)of; /* jansson's iterators are not const */

    if (json_is_string(of))
        return has(&v, json_str(of));
    for (size_t i = 0; i < json_array_size(of); i++)
        if (any_text(v, json_array_get(of, i), has))
            return true;
    v.assistant = v.assistant || is_by_assistant(of);
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it))
        if (has(&v, key_of(it)) || any_text(v, json_object_iter_value(it), has))
            return true;
    return false;
}

/* ---- marking ---- */

static json_t *marked_text(const struct visit *v, struct str s)
{
    struct buf b;

    buf_init(&b, 4 * s.len + 16); /* a look-alike has two bytes at least, its marks six */
    for (size_t at = 0, n; at < s.len; at += size_max(n, 1)) {
        n = marked_at(v, s, at);
        if (n > 0)
            buf_text(&b, v->marks->open);
        buf_str(&b, (struct str){s.ptr + at, size_max(n, 1)});
        if (n > 0)
            buf_text(&b, v->marks->close);
    }
    json_t *out = json_stringn(buf_view(&b).ptr, b.len);
    buf_release(&b);
    return out;
}

static json_t *marked(struct visit v, const json_t *of)
{
    json_t *object = (json_t *)(uintptr_t)of, *out;

    if (json_is_string(of))
        return marked_text(&v, json_str(of));
    if (json_is_array(of)) {
        out = json_array();
        for (size_t i = 0; i < json_array_size(of); i++)
            json_array_append_new(out, marked(v, json_array_get(of, i)));
        return out;
    }
    if (!json_is_object(of))
        return json_incref(object);
    out = json_object();
    v.assistant = v.assistant || is_by_assistant(of);
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        json_t *name = marked_text(&v, key_of(it));

        json_object_setn_new(out, json_string_value(name), json_string_length(name),
                             marked(v, json_object_iter_value(it)));
        json_decref(name);
    }
    return out;
}

/* Two of the 32 characters U+FDD0 to U+FDEF that stand nowhere. */
static bool choose_marks(const struct guard *g, struct str source, const json_t *vars,
                         struct marks *out, struct error *err)
{
    static const char hex[] = "0123456789abcdef";
    const struct visit v = {.g = g, .marks = out};

    for (int i = 0; i < 32; i += 2) {
        *out = (struct marks){
            {'\xEF', '\xB7', (char)(0x90 + i), 0},
            {'\xEF', '\xB7', (char)(0x91 + i), 0},
            {'\\', 'u', 'f', 'd', i < 16 ? 'd' : 'e', hex[i % 16], 0},
            {'\\', 'u', 'f', 'd', i < 16 ? 'd' : 'e', hex[i % 16 + 1], 0},
        };
        if (!has_marks(&v, source) && !any_text(v, vars, has_marks))
            return true;
    }
    return fail(err, ERR_INVALID,
                "the messages have all of the characters U+FDD0 to U+FDEF, which mean nothing, "
                "and texts like special tokens: one of both has to go");
}

static json_t *marked_variables(const struct guard *g, const struct marks *m, const json_t *vars)
{
    const struct visit v = {.g = g, .marks = m};
    json_t *out = marked(v, vars);
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)vars, key, value)
    {
        if (is_own(key))
            json_object_set(out, key, value);
    }
    return out;
}

/* ---- taking the marks out ---- */

enum mark { MARK_NONE, MARK_OPEN, MARK_CLOSE };

static enum mark mark_at(const struct marks *m, struct str rest, size_t *len)
{
    const bool u = rest.ptr[0] == '\\';

    *len = u ? sizeof m->open_u - 1 : sizeof m->open - 1;
    if (str_starts(rest, str_of(u ? m->open_u : m->open)))
        return MARK_OPEN;
    return str_starts(rest, str_of(u ? m->close_u : m->close)) ? MARK_CLOSE : MARK_NONE;
}

struct taking {
    struct buf *text;
    struct rendered *out;
    size_t *removed_at,
        *removed;   /* [n] places in the text with marks, and bytes taken out up to there */
    size_t n, open; /* open: where one stands that is not closed; else SIZE_MAX */
};

static void add_plain(struct taking *t, size_t from, size_t to)
{
    t->out->plain[t->out->n_plain++] = (struct plain_span){from, to};
}

/* A mark without its other half is where no token goes across. */
static void take_mark(struct taking *t, const struct guard *g, enum mark mark)
{
    const size_t here = t->text->len;

    if (t->open != SIZE_MAX) {
        const struct str inside = str_from(buf_view(t->text), t->open);
        const bool whole =
            mark == MARK_CLOSE && inside.len > 0 && look_alike_at(g, inside, 0) == inside.len;

        add_plain(t, t->open, whole ? here : t->open);
        t->open = SIZE_MAX;
        if (whole)
            return;
    }
    if (mark == MARK_OPEN)
        t->open = here;
    else
        add_plain(t, here, here);
}

static size_t count_marks(const struct marks *m, struct str s)
{
    size_t n = 0, len;

    for (size_t at = 0; at < s.len; at++)
        n += mark_at(m, str_from(s, at), &len) != MARK_NONE;
    return n;
}

/* Where a place in the text with marks is in the text without. */
static size_t moved(const struct taking *t, size_t at)
{
    size_t from = 0, to = t->n;

    while (from < to) { /* marks before it */
        const size_t middle = from + (to - from) / 2;

        if (t->removed_at[middle] < at)
            from = middle + 1;
        else
            to = middle;
    }
    return from == 0 ? at : at - t->removed[from - 1];
}

static bool take_marks(const struct guard *g, const struct marks *m, struct str with,
                       size_t max_spans, struct arena *a, struct rendered *out, struct error *err)
{
    const size_t n = count_marks(m, with);
    struct buf text;
    struct taking t = {.text = &text,
                       .out = out,
                       .removed_at = ARENA_ARRAY(a, size_t, n + 1),
                       .removed = ARENA_ARRAY(a, size_t, n + 1),
                       .open = SIZE_MAX};
    size_t gone = 0, len;

    buf_init(&text, LIMIT_RENDER_BYTES);
    out->plain = ARENA_ARRAY(a, struct plain_span, n + 1);
    for (size_t at = 0; at < with.len;) {
        const enum mark mark = mark_at(m, str_from(with, at), &len);

        if (mark == MARK_NONE) {
            buf_char(&text, with.ptr[at++]);
            continue;
        }
        take_mark(&t, g, mark);
        gone += len;
        t.removed_at[t.n] = at;
        t.removed[t.n++] = gone;
        at += len;
    }
    if (t.open != SIZE_MAX)
        add_plain(&t, t.open, t.open);
    for (size_t i = 0; i < size_min(out->n_spans, max_spans); i++)
        out->spans[i] =
            (struct generation_span){moved(&t, out->spans[i].from), moved(&t, out->spans[i].to)};
    const bool ok = buf_ok(&text, "the rendered conversation", err);
    out->text = arena_str(a, buf_view(&text));
    buf_release(&text);
    return ok;
}

bool guard_render(const struct guard *g, const struct chat_template *t, struct str source,
                  const json_t *vars, size_t max_spans, struct arena *a, struct rendered *out,
                  struct error *err)
{
    const json_t *asked = json_object_get(vars, "sanitize_control_tokens");
    const bool off = json_is_boolean(asked) ? json_is_false(asked) : g->off;
    struct rendered r = {.spans = ARENA_ARRAY(a, struct generation_span, max_spans + 1)};
    struct marks m;
    json_t *given = json_incref((json_t *)(uintptr_t)vars);
    struct buf text;
    bool ok = true, any = false;
    const char *key;
    json_t *value;

    json_object_foreach(given, key, value)
    {
        any = any ||
              (!off && !is_own(key) && any_text((struct visit){.g = g}, value, has_look_alike));
    }
    if (any && (ok = choose_marks(g, source, vars, &m, err))) {
        json_decref(given);
        given = marked_variables(g, &m, vars);
    }
    buf_init(&text, LIMIT_RENDER_BYTES);
    ok = ok && chat_template_render(t, given, &text, r.spans, max_spans, &r.n_spans, err) &&
         buf_ok(&text, "the rendered conversation", err);
    if (ok && any)
        ok = take_marks(g, &m, buf_view(&text), max_spans, a, &r, err);
    else if (ok)
        r.text = arena_str(a, buf_view(&text));
    if (ok)
        *out = r;
    buf_release(&text);
    json_decref(given);
    return ok;
}
