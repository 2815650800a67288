/*
 * jinja_filters_list.c - filters over sequences and mappings.
 *
 * What jinja2 writes as a generator is one here, too: map, select, reject, unique, batch, slice and items compute
 * nothing before they are asked, are true even when empty, have no length, and are used up once they were read.
 */
#include "base/size.h"
#include "text/jinja_builtin.h"
#include "text/jinja_text.h"
#include "text/jinja_unicode.h"

/* ---- attributes of items ---- */

/* "a.b.0" as the keys to look up one after the other. */
struct path {
    size_t n;
    struct jinja_value *keys;
    struct jinja_value otherwise; /* in place of undefined; JINJA_MISSING for none */
    bool ignore_case;
};

static bool path_key(struct jinja_render *r, struct str part, struct jinja_value *out)
{
    int64_t index = 0;

    if (!jinja_text_is(part, JINJA_DIGIT))
        return jinja_str_view(r, part, out);
    for (size_t i = 0; i < part.len; i++) {
        if (part.ptr[i] < '0' || part.ptr[i] > '9' || index > INT64_MAX / 10 - 1)
            return jinja_raise(r, "an attribute of more than 64 bits");
        index = index * 10 + (part.ptr[i] - '0');
    }
    *out = jinja_int(index);
    return true;
}

static bool make_path(struct jinja_render *r, struct jinja_value attribute, bool ignore_case,
                      struct path *p)
{
    *p = (struct path){.ignore_case = ignore_case};
    if (attribute.type == JINJA_MISSING || attribute.type == JINJA_NONE)
        return true;
    const struct str s = attribute.type == JINJA_STR ? jinja_view(attribute) : STR("");
    size_t n = 1, from = 0;
    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == '.';
    p->keys = jinja_alloc(r, n, sizeof *p->keys);
    if (p->keys == NULL)
        return false;
    p->n = n;
    if (attribute.type != JINJA_STR) {
        p->keys[0] = attribute;
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        size_t end = from;

        while (end < s.len && s.ptr[end] != '.')
            end++;
        if (!path_key(r, (struct str){s.ptr + from, end - from}, &p->keys[i]))
            return false;
        from = end + 1;
    }
    return true;
}

static bool follow(struct jinja_render *r, const struct path *p, struct jinja_value item,
                   struct jinja_value *out)
{
    *out = item;
    for (size_t i = 0; i < p->n; i++) {
        if (!jinja_getitem(r, *out, p->keys[i], out))
            return false;
        if (out->type == JINJA_UNDEFINED && p->otherwise.type != JINJA_MISSING)
            *out = p->otherwise;
    }
    if (p->ignore_case && out->type == JINJA_STR)
        return jinja_text_case(r, *out, JINJA_TO_LOWER, out);
    return true;
}

/* ---- generators: map, select and their kin ---- */

struct apply {
    struct str name;                 /* of a filter or test; "": the attribute, or its truth */
    const struct jinja_builtin *row; /* found when the first item comes */
    bool is_test;
    struct jinja_args args;
    struct path path;
    bool keep; /* select: where the test is true; reject: where it is not */
    bool begun;
};

/* The source of a generator over anything that is not false. */
static bool begin_source(struct jinja_render *r, struct jinja_gen *g, bool *begun, bool *done)
{
    bool truth;

    *done = false;
    if (*begun)
        return true;
    *begun = true;
    if (!jinja_truth(r, g->from.of, &truth))
        return false;
    *done = !truth;
    return *done || jinja_iter(r, g->from.of, &g->from);
}

static bool call_named(struct jinja_render *r, struct apply *a, struct jinja_value item,
                       struct jinja_value *out)
{
    if (a->row == NULL)
        a->row = a->is_test ? jinja_find_test(a->name) : jinja_find_filter(a->name);
    if (a->row == NULL)
        return jinja_raise(r, "No %s named '" STR_FMT "'.", a->is_test ? "test" : "filter",
                           STR_ARG(a->name));
    return jinja_call_builtin(r, a->row, item, &a->args, out);
}

static bool next_mapped(struct jinja_render *r, struct jinja_gen *g, struct jinja_value *out,
                        bool *done)
{
    struct apply *a = g->state;
    struct jinja_value item;

    if (!begin_source(r, g, &a->begun, done) || (!*done && !jinja_next(r, &g->from, &item, done)))
        return false;
    if (*done)
        return true;
    return a->name.len > 0 ? call_named(r, a, item, out) : follow(r, &a->path, item, out);
}

static bool next_selected(struct jinja_render *r, struct jinja_gen *g, struct jinja_value *out,
                          bool *done)
{
    struct apply *a = g->state;

    if (!begin_source(r, g, &a->begun, done))
        return false;
    while (!*done) {
        struct jinja_value v;
        bool truth;

        if (!jinja_next(r, &g->from, out, done))
            return false;
        if (*done)
            return true;
        if (!follow(r, &a->path, *out, &v) || (a->name.len > 0 && !call_named(r, a, v, &v)) ||
            !jinja_truth(r, v, &truth))
            return false;
        if (truth == a->keep)
            return true;
    }
    return true;
}

/* The arguments behind the first used ones. */
static struct jinja_args rest_of(const struct jinja_args *args, size_t used)
{
    struct jinja_args rest = *args;

    rest.pos += used;
    rest.n_pos -= used;
    return rest;
}

/* The filter or test named by argument at. */
static bool set_name(struct jinja_call *c, size_t at, bool is_test, struct apply *a)
{
    const struct jinja_value name = c->args->pos[at];

    if (name.type != JINJA_STR || name.text->len == 0)
        return jinja_raise(c->r, "%s: a name was expected, not %s", c->row->name,
                           jinja_type_name(name));
    a->name = jinja_view(name);
    a->is_test = is_test;
    a->args = rest_of(c->args, at + 1);
    return true;
}

static bool map_by_attribute(struct jinja_call *c, struct apply *a)
{
    struct jinja_value otherwise = {.type = JINJA_MISSING}, attribute = otherwise;

    for (size_t i = 0; i < c->args->n_kw; i++) {
        if (str_is(c->args->kw[i].name, "attribute"))
            attribute = c->args->kw[i].value;
        else if (str_is(c->args->kw[i].name, "default"))
            otherwise = c->args->kw[i].value;
        else
            return jinja_raise(c->r, "Unexpected keyword argument '" STR_FMT "'",
                               STR_ARG(c->args->kw[i].name));
    }
    if (attribute.type == JINJA_MISSING)
        return jinja_raise(c->r, "map requires a filter argument");
    if (!make_path(c->r, attribute, false, &a->path))
        return false;
    if (otherwise.type != JINJA_NONE)
        a->path.otherwise = otherwise;
    return true;
}

static bool f_map(struct jinja_call *c)
{
    struct apply *a = jinja_alloc(c->r, 1, sizeof *a);

    if (a == NULL || !(c->args->n_pos == 0 ? map_by_attribute(c, a) : set_name(c, 0, false, a)))
        return false;
    return jinja_generator(c->r, "generator", c->self, next_mapped, a, c->out);
}

/* select, reject, selectattr, rejectattr */
static bool f_select(struct jinja_call *c)
{
    const size_t n_attr = strstr(c->row->name, "attr") != NULL;
    struct apply *a = jinja_alloc(c->r, 1, sizeof *a);

    if (a == NULL)
        return false;
    a->keep = c->row->name[0] == 's';
    if (c->args->n_pos < n_attr)
        return jinja_raise(c->r, "Missing parameter for attribute name");
    if (n_attr > 0 && !make_path(c->r, c->args->pos[0], false, &a->path))
        return false;
    if (c->args->n_pos > n_attr && !set_name(c, n_attr, true, a))
        return false;
    return jinja_generator(c->r, "generator", c->self, next_selected, a, c->out);
}

struct seen {
    struct path path;
    struct jinja_dict *keys;
    bool begun;
};

static bool next_unique(struct jinja_render *r, struct jinja_gen *g, struct jinja_value *out,
                        bool *done)
{
    struct seen *s = g->state;
    const struct jinja_value *hit;
    struct jinja_value key;

    if (!s->begun && !jinja_iter(r, g->from.of, &g->from))
        return false;
    s->begun = true;
    for (;;) {
        if (!jinja_next(r, &g->from, out, done))
            return false;
        if (*done)
            return true;
        if (!follow(r, &s->path, *out, &key) || !jinja_dict_get(r, s->keys, key, &hit))
            return false;
        if (hit == NULL)
            return jinja_dict_set(r, s->keys, key, jinja_none());
    }
}

static bool f_unique(struct jinja_call *c)
{
    struct seen *s = jinja_alloc(c->r, 1, sizeof *s);
    bool case_sensitive;

    if (s == NULL || !jinja_arg_bool(c, 0, false, &case_sensitive) ||
        !make_path(c->r, c->a[1], !case_sensitive, &s->path))
        return false;
    s->keys = jinja_dict_new(c->r, 0);
    return s->keys != NULL && jinja_generator(c->r, "generator", c->self, next_unique, s, c->out);
}

struct rows {
    int64_t n; /* items of a batch, or number of slices */
    int64_t at, offset;
    struct jinja_value fill;
    struct jinja_items items; /* of slice: all */
    bool begun, ended;
};

static bool next_batch(struct jinja_render *r, struct jinja_gen *g, struct jinja_value *out,
                       bool *done)
{
    struct rows *s = g->state;
    struct jinja_items row = {0};
    struct jinja_value item;

    *done = s->ended;
    if (!s->begun && !jinja_iter(r, g->from.of, &g->from))
        return false;
    if (s->begun && s->at == 1 && !jinja_items_add(r, &row, s->items.ptr[0]))
        return false; /* the item that was one too many for the batch before */
    s->begun = true;
    s->at = 0;
    while (!s->ended) {
        if (!jinja_next(r, &g->from, &item, &s->ended))
            return false;
        if (s->ended)
            break;
        if ((int64_t)row.n == s->n) {
            s->items.n = 0;
            s->at = 1;
            return jinja_items_add(r, &s->items, item) && jinja_items_list(r, &row, out);
        }
        if (!jinja_items_add(r, &row, item))
            return false;
    }
    *done = row.n == 0;
    if (*done)
        return true;
    while (s->fill.type != JINJA_MISSING && s->fill.type != JINJA_NONE && (int64_t)row.n < s->n)
        if (!jinja_charge(r, 1) || !jinja_items_add(r, &row, s->fill))
            return false;
    return jinja_items_list(r, &row, out);
}

static bool next_slice(struct jinja_render *r, struct jinja_gen *g, struct jinja_value *out,
                       bool *done)
{
    struct rows *s = g->state;
    struct jinja_items row = {0};

    if (!s->begun && !jinja_collect(r, g->from.of, &s->items))
        return false;
    s->begun = true;
    if (s->n == 0)
        return jinja_raise(r, "integer division or modulo by zero");
    *done = s->at >= s->n;
    if (*done)
        return true;
    const int64_t each = (int64_t)s->items.n / s->n, extra = (int64_t)s->items.n % s->n;
    const int64_t start = s->offset + s->at * each;
    if (s->at < extra)
        s->offset++;
    const int64_t end = s->offset + (s->at + 1) * each;
    for (int64_t i = start; i < end; i++)
        if (!jinja_items_add(r, &row, s->items.ptr[i]))
            return false;
    if (s->fill.type != JINJA_MISSING && s->fill.type != JINJA_NONE && s->at >= extra &&
        !jinja_items_add(r, &row, s->fill))
        return false;
    s->at++;
    return jinja_items_list(r, &row, out);
}

static bool f_rows(struct jinja_call *c)
{
    const bool batch = c->row->name[0] == 'b';
    struct rows *s = jinja_alloc(c->r, 1, sizeof *s);

    if (s == NULL || !jinja_arg_int(c, 0, 0, &s->n))
        return false;
    s->fill = c->a[1];
    return jinja_generator(c->r, "generator", c->self, batch ? next_batch : next_slice, s, c->out);
}

static bool next_item(struct jinja_render *r, struct jinja_gen *g, struct jinja_value *out,
                      bool *done)
{
    const struct jinja_value from = g->from.of;

    *done = from.type == JINJA_UNDEFINED;
    if (*done)
        return true;
    if (from.type != JINJA_DICT)
        return jinja_raise(r, "Can only get item pairs from a mapping.");
    *done = g->from.at >= from.dict->n;
    if (*done)
        return true;
    const struct jinja_entry *e = &from.dict->entries[g->from.at++];
    return jinja_charge(r, 1) && jinja_pair(r, e->key, e->value, out);
}

static bool f_items(struct jinja_call *c)
{
    return jinja_generator(c->r, "generator", c->self, next_item, NULL, c->out);
}

/* ---- one value of many ---- */

static bool f_length(struct jinja_call *c)
{
    size_t n;

    if (c->self.type == JINJA_LOOP ? !jinja_loop_length(c->r, c->self.loop, &n)
                                   : !jinja_length(c->self, &n))
        return c->self.type != JINJA_LOOP &&
               jinja_raise(c->r, "object of type '%s' has no len()", jinja_type_name(c->self));
    *c->out = jinja_int((int64_t)n);
    return true;
}

static bool f_list(struct jinja_call *c)
{
    struct jinja_items items = {0};

    return jinja_collect(c->r, c->self, &items) && jinja_items_list(c->r, &items, c->out);
}

static bool f_first(struct jinja_call *c)
{
    struct jinja_iter it;
    bool done;

    if (!jinja_iter(c->r, c->self, &it) || !jinja_next(c->r, &it, c->out, &done))
        return false;
    return !done || jinja_undefined_hint(c->r, c->out, "No first item, sequence was empty.");
}

static bool is_reversible(struct jinja_value v)
{
    size_t n;

    return jinja_length(v, &n) && v.type != JINJA_LOOP;
}

static bool f_last(struct jinja_call *c)
{
    struct jinja_items items = {0};
    size_t n;

    if (!is_reversible(c->self))
        return jinja_raise(c->r, "'%s' object is not reversible", jinja_type_name(c->self));
    jinja_length(c->self, &n);
    if (n == 0)
        return jinja_undefined_hint(c->r, c->out, "No last item, sequence was empty.");
    if (c->self.type != JINJA_DICT && c->self.type != JINJA_VIEW)
        return jinja_getitem(c->r, c->self, jinja_int(-1), c->out);
    if (!jinja_collect(c->r, c->self, &items))
        return false;
    *c->out = items.ptr[n - 1];
    return true;
}

static bool next_reversed(struct jinja_render *r, struct jinja_gen *g, struct jinja_value *out,
                          bool *done)
{
    const struct jinja_items *items = g->state;

    (void)r;
    *done = g->from.at >= items->n;
    if (!*done)
        *out = items->ptr[items->n - 1 - g->from.at++];
    return true;
}

static bool f_reverse(struct jinja_call *c)
{
    struct jinja_items *items;

    if (c->self.type == JINJA_STR)
        return jinja_slice(c->r, c->self, jinja_none(), jinja_none(), jinja_int(-1), c->out);
    items = jinja_alloc(c->r, 1, sizeof *items);
    if (items == NULL)
        return false;
    if (!jinja_iterable(c->self))
        return jinja_raise(c->r, "argument must be iterable");
    if (!jinja_collect(c->r, c->self, items))
        return false;
    if (is_reversible(c->self))
        return jinja_generator(c->r, "list_reverseiterator", c->self, next_reversed, items, c->out);
    for (size_t i = 0; i < items->n / 2; i++) {
        const struct jinja_value v = items->ptr[i];

        items->ptr[i] = items->ptr[items->n - 1 - i];
        items->ptr[items->n - 1 - i] = v;
    }
    return jinja_items_list(c->r, items, c->out);
}

/* Within autoescape: one Markup among them makes all of it one. */
static bool join_escaped(struct jinja_call *c, struct jinja_value sep, struct jinja_value items)
{
    struct jinja_items list = {0};
    bool safe = sep.type == JINJA_STR && sep.safe;

    if (!jinja_collect(c->r, items, &list))
        return false;
    for (size_t i = 0; i < list.n; i++)
        safe = safe || (list.ptr[i].type == JINJA_STR && list.ptr[i].safe);
    return jinja_items_list(c->r, &list, &items) &&
           (safe ? jinja_escape(c->r, sep, &sep) : jinja_to_str(c->r, sep, &sep)) &&
           jinja_text_join(c->r, sep, items, safe, c->out);
}

static bool f_join(struct jinja_call *c)
{
    struct jinja_value sep, items = c->self;

    if (!jinja_given(c, 0) && !jinja_str_view(c->r, STR(""), &c->a[0]))
        return false;
    if (jinja_given(c, 1) && c->a[1].type != JINJA_NONE) {
        struct apply *a = jinja_alloc(c->r, 1, sizeof *a);

        if (a == NULL || !make_path(c->r, c->a[1], false, &a->path))
            return false;
        if (!jinja_iterable(items))
            return jinja_raise(c->r, "'%s' object is not iterable", jinja_type_name(items));
        if (!jinja_generator(c->r, "map", items, next_mapped, a, &items))
            return false;
    }
    if (c->r->autoescape)
        return join_escaped(c, c->a[0], items);
    return jinja_to_str(c->r, c->a[0], &sep) && jinja_text_join(c->r, sep, items, false, c->out);
}

static bool f_sum(struct jinja_call *c)
{
    struct jinja_items items = {0};
    struct jinja_value v;
    struct path path;

    if (!make_path(c->r, c->a[0], false, &path) || !jinja_collect(c->r, c->self, &items))
        return false;
    *c->out = jinja_given(c, 1) ? c->a[1] : jinja_int(0);
    if (c->out->type == JINJA_STR)
        return jinja_raise(c->r, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < items.n; i++)
        if (!follow(c->r, &path, items.ptr[i], &v) ||
            !jinja_binary(c->r, JINJA_ADD, *c->out, v, c->out))
            return false;
    return true;
}

static bool f_extreme(struct jinja_call *c)
{
    const bool want_max = strcmp(c->row->name, "max") == 0;
    struct jinja_items items = {0};
    struct jinja_value best, key;
    bool case_sensitive, better;
    struct path path;

    if (!jinja_arg_bool(c, 0, false, &case_sensitive) ||
        !make_path(c->r, c->a[1], !case_sensitive, &path) || !jinja_collect(c->r, c->self, &items))
        return false;
    if (items.n == 0)
        return jinja_undefined_hint(c->r, c->out, "No aggregated item, sequence was empty.");
    *c->out = items.ptr[0];
    if (!follow(c->r, &path, items.ptr[0], &best))
        return false;
    for (size_t i = 1; i < items.n; i++) {
        if (!follow(c->r, &path, items.ptr[i], &key) ||
            !jinja_order(c->r, want_max ? JINJA_GT : JINJA_LT, key, best, &better))
            return false;
        if (better) {
            best = key;
            *c->out = items.ptr[i];
        }
    }
    return true;
}

/* Any item is as good as another: the same render takes the same one again. */
static bool f_random(struct jinja_call *c)
{
    size_t n;

    if (!jinja_length(c->self, &n))
        return jinja_raise(c->r, "object of type '%s' has no len()", jinja_type_name(c->self));
    if (n == 0)
        return jinja_undefined_hint(c->r, c->out, "No random item, sequence was empty.");
    if (c->self.type == JINJA_VIEW || c->self.type == JINJA_DICT)
        return jinja_raise(c->r, "'%s' object is not subscriptable", jinja_type_name(c->self));
    const uint64_t at = c->r->steps * 0x9E3779B97F4A7C15u >> 32;
    return jinja_getitem(c->r, c->self, jinja_int((int64_t)(at % n)), c->out);
}

static bool f_attr(struct jinja_call *c)
{
    struct str name;
    bool found;

    if (!jinja_arg_str(c, 0, STR(""), &name) ||
        !jinja_attribute(c->r, c->self, name, &found, c->out))
        return false;
    return found || jinja_undefined_in(c->r, c->self, c->a[0], c->out);
}

/* ---- sorting ---- */

struct keyed {
    struct jinja_value key, value;
};

/* Merges from[0..half) and from[half..n) into to. What is equal stays in its order. */
static bool merge(struct jinja_render *r, const struct keyed *from, size_t half, size_t n,
                  bool reverse, struct keyed *to)
{
    size_t a = 0, b = half;

    for (size_t i = 0; i < n; i++) {
        bool second = b < n;

        if (a < half && b < n &&
            !jinja_order(r, JINJA_LT, reverse ? from[a].key : from[b].key,
                         reverse ? from[b].key : from[a].key, &second))
            return false;
        to[i] = a == half || second ? from[b++] : from[a++];
    }
    return true;
}

static bool sort(struct jinja_render *r, struct keyed *items, size_t n, bool reverse)
{
    struct keyed *from = items, *to = jinja_alloc(r, n, sizeof *to);

    if (to == NULL)
        return false;
    for (size_t width = 1; width < n; width *= 2) {
        struct keyed *swap = from;

        for (size_t at = 0; at < n; at += width * 2)
            if (!merge(r, from + at, size_min(width, n - at), size_min(width * 2, n - at), reverse,
                       to + at))
                return false;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, n * sizeof *items);
    return true;
}

static bool keyed_list(struct jinja_render *r, const struct keyed *items, size_t n,
                       struct jinja_value *out)
{
    struct jinja_value *values;

    if (!jinja_list(r, n, &values, out))
        return false;
    for (size_t i = 0; i < n; i++)
        values[i] = items[i].value;
    return true;
}

/* "a,b.c": each a path of its own; the key is a list of what they give */
static bool make_paths(struct jinja_render *r, struct jinja_value attribute, bool ignore_case,
                       struct path **paths, size_t *n)
{
    struct jinja_value comma, parts;

    if (attribute.type != JINJA_STR) {
        *n = 1;
        *paths = jinja_alloc(r, 1, sizeof **paths);
        return *paths != NULL && make_path(r, attribute, ignore_case, *paths);
    }
    if (!jinja_str_view(r, STR(","), &comma) ||
        !jinja_text_split(r, attribute, comma, -1, false, &parts))
        return false;
    *n = parts.seq->n;
    *paths = jinja_alloc(r, *n, sizeof **paths);
    if (*paths == NULL)
        return false;
    for (size_t i = 0; i < *n; i++)
        if (!make_path(r, parts.seq->items[i], ignore_case, *paths + i))
            return false;
    return true;
}

static bool f_sort(struct jinja_call *c)
{
    struct jinja_render *r = c->r;
    struct jinja_items items = {0};
    bool reverse, case_sensitive;
    struct path *paths;
    size_t n_paths;

    if (!jinja_arg_bool(c, 0, false, &reverse) || !jinja_arg_bool(c, 1, false, &case_sensitive) ||
        !make_paths(r, c->a[2], !case_sensitive, &paths, &n_paths) ||
        !jinja_collect(r, c->self, &items))
        return false;
    struct keyed *keyed = jinja_alloc(r, items.n, sizeof *keyed);
    if (keyed == NULL)
        return false;
    for (size_t i = 0; i < items.n; i++) {
        struct jinja_value *keys;

        keyed[i].value = items.ptr[i];
        if (!jinja_list(r, n_paths, &keys, &keyed[i].key))
            return false;
        for (size_t k = 0; k < n_paths; k++)
            if (!follow(r, &paths[k], items.ptr[i], &keys[k]))
                return false;
    }
    return sort(r, keyed, items.n, reverse) && keyed_list(r, keyed, items.n, c->out);
}

static bool f_dictsort(struct jinja_call *c)
{
    struct jinja_render *r = c->r;
    struct path plain = {0};
    bool case_sensitive, reverse;
    struct str by;

    if (!jinja_arg_bool(c, 0, false, &case_sensitive) || !jinja_arg_str(c, 1, STR("key"), &by) ||
        !jinja_arg_bool(c, 2, false, &reverse))
        return false;
    if (!str_is(by, "key") && !str_is(by, "value"))
        return jinja_raise(r, "You can only sort by either \"key\" or \"value\"");
    if (c->self.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(r, c->self);
    if (c->self.type != JINJA_DICT)
        return jinja_raise(r, "'%s' object has no attribute 'items'", jinja_type_name(c->self));
    const struct jinja_dict *d = c->self.dict;
    struct keyed *keyed = jinja_alloc(r, d->n, sizeof *keyed);
    if (keyed == NULL)
        return false;
    plain.ignore_case = !case_sensitive;
    for (size_t i = 0; i < d->n; i++) {
        const struct jinja_entry *e = &d->entries[i];

        if (!follow(r, &plain, str_is(by, "key") ? e->key : e->value, &keyed[i].key) ||
            !jinja_pair(r, e->key, e->value, &keyed[i].value))
            return false;
    }
    return sort(r, keyed, d->n, reverse) && keyed_list(r, keyed, d->n, c->out);
}

/* (grouper, list) of keyed[from..to) */
static bool add_group(struct jinja_render *r, const struct path *path, const struct keyed *keyed,
                      size_t from, size_t to, struct jinja_items *groups)
{
    struct jinja_value list, pair, grouper = keyed[from].key;
    struct path plain = *path;

    plain.ignore_case = false; /* the first item's own spelling */
    if ((path->ignore_case && !follow(r, &plain, keyed[from].value, &grouper)) ||
        !keyed_list(r, keyed + from, to - from, &list) || !jinja_pair(r, grouper, list, &pair))
        return false;
    pair.group = true;
    return jinja_items_add(r, groups, pair);
}

static bool f_groupby(struct jinja_call *c)
{
    struct jinja_render *r = c->r;
    struct jinja_items items = {0}, groups = {0};
    bool case_sensitive, same = true;
    struct path path;
    size_t from = 0;

    if (!jinja_arg_bool(c, 2, false, &case_sensitive) ||
        !make_path(r, c->a[0], !case_sensitive, &path) || !jinja_collect(r, c->self, &items))
        return false;
    if (c->a[1].type != JINJA_NONE)
        path.otherwise = c->a[1];
    struct keyed *keyed = jinja_alloc(r, items.n, sizeof *keyed);
    if (keyed == NULL)
        return false;
    for (size_t i = 0; i < items.n; i++) {
        keyed[i].value = items.ptr[i];
        if (!follow(r, &path, items.ptr[i], &keyed[i].key))
            return false;
    }
    if (!sort(r, keyed, items.n, false))
        return false;
    for (size_t i = 1; i <= items.n; i++) {
        if (i < items.n && !jinja_equal(r, keyed[i].key, keyed[from].key, &same))
            return false;
        if (i < items.n && same)
            continue;
        if (!add_group(r, &path, keyed, from, i, &groups))
            return false;
        from = i;
    }
    return jinja_items_list(r, &groups, c->out);
}

const struct jinja_builtin jinja_filters_list[] = {
    {"attr", f_attr, "name!"},
    {"batch", f_rows, "linecount! fill_with"},
    {"count", f_length, ""},
    {"dictsort", f_dictsort, "case_sensitive by reverse"},
    {"first", f_first, ""},
    {"groupby", f_groupby, "attribute! default case_sensitive"},
    {"items", f_items, ""},
    {"join", f_join, "d attribute"},
    {"last", f_last, ""},
    {"length", f_length, ""},
    {"list", f_list, ""},
    {"map", f_map, "*"},
    {"max", f_extreme, "case_sensitive attribute"},
    {"min", f_extreme, "case_sensitive attribute"},
    {"random", f_random, ""},
    {"reject", f_select, "*"},
    {"rejectattr", f_select, "*"},
    {"reverse", f_reverse, ""},
    {"select", f_select, "*"},
    {"selectattr", f_select, "*"},
    {"slice", f_rows, "slices! fill_with"},
    {"sort", f_sort, "reverse case_sensitive attribute"},
    {"sum", f_sum, "attribute start"},
    {"unique", f_unique, "case_sensitive attribute"},
    {0},
};
