/*
 * jinja_value.c - making values, and what Python's data model asks of them: truth, length, equality, hash, iteration.
 */
#include "text/jinja_value.h"
#include "base/limits.h"
#include "base/size.h"
#include "text/jinja_builtin.h"
#include "text/jinja_unicode.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define CHUNK ((size_t)16 << 10)

static bool raise_v(struct jinja_render *r, enum error_kind kind, const char *fmt, va_list ap)
    PRINTF_LIKE(3, 0);
static bool raise_v(struct jinja_render *r, enum error_kind kind, const char *fmt, va_list ap)
{
    char text[400];

    vsnprintf(text, sizeof text, fmt, ap);
    return fail(r->err, kind, "chat template, line %u: %s", r->line, text);
}

bool(jinja_raise)(struct jinja_render *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    raise_v(r, ERR_INVALID, fmt, ap);
    va_end(ap);
    return false;
}

bool(jinja_limit)(struct jinja_render *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    raise_v(r, ERR_LIMIT, fmt, ap);
    va_end(ap);
    return false;
}

bool(jinja_unsupported)(struct jinja_render *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    raise_v(r, ERR_UNSUPPORTED, fmt, ap);
    va_end(ap);
    return false;
}

bool jinja_charge(struct jinja_render *r, uint64_t steps)
{
    r->steps += steps;
    if (r->steps <= r->max_steps)
        return true;
    return jinja_limit(r, "the template takes more than %llu steps",
                       (unsigned long long)r->max_steps);
}

void *jinja_alloc(struct jinja_render *r, size_t count, size_t size)
{
    size_t bytes;

    if (!size_mul(count, size, &bytes) || bytes > JINJA_MAX_MEMORY ||
        r->arena->taken_bytes + bytes > JINJA_MAX_MEMORY) {
        jinja_limit(r, "the template's values take more than %zu bytes", JINJA_MAX_MEMORY);
        return NULL;
    }
    bytes = size_round_up(bytes + (bytes == 0), 16);
    if (bytes >= CHUNK / 4)
        return arena_try(r->arena, 1, bytes, "a chat template's values", r->err);
    if (r->chunk_left < bytes) {
        r->chunk = arena_try(r->arena, 1, CHUNK, "a chat template's values", r->err);
        if (r->chunk == NULL) {
            r->chunk_left = 0;
            return NULL;
        }
        r->chunk_left = CHUNK;
    }
    void *p = r->chunk;
    r->chunk += bytes;
    r->chunk_left -= bytes;
    return p;
}

bool jinja_enter_value(struct jinja_render *r)
{
    if (r->depth++ < JINJA_MAX_VALUE_DEPTH)
        return true;
    return jinja_limit(r, "values nested more than %d deep", JINJA_MAX_VALUE_DEPTH);
}

/* ---- making values ---- */

size_t jinja_count_chars(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

bool jinja_str_view(struct jinja_render *r, struct str s, struct jinja_value *out)
{
    struct jinja_text *t = jinja_alloc(r, 1, sizeof *t);

    if (t == NULL || !jinja_charge(r, s.len / 64))
        return false;
    *t = (struct jinja_text){s.ptr, s.len, jinja_count_chars(s)};
    *out = (struct jinja_value){.type = JINJA_STR, .text = t};
    return true;
}

bool jinja_str(struct jinja_render *r, struct str s, struct jinja_value *out)
{
    char *copy = jinja_alloc(r, s.len + 1, 1);

    if (copy == NULL)
        return false;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return jinja_str_view(r, (struct str){copy, s.len}, out);
}

static bool sequence(struct jinja_render *r, enum jinja_type type, size_t n,
                     struct jinja_value **items, struct jinja_value *out)
{
    struct jinja_seq *seq = jinja_alloc(r, 1, sizeof *seq);
    struct jinja_value *ptr = seq == NULL ? NULL : jinja_alloc(r, n, sizeof *ptr);

    if (ptr == NULL)
        return false;
    *seq = (struct jinja_seq){n, ptr};
    *items = ptr;
    *out = (struct jinja_value){.type = (uint8_t)type, .seq = seq};
    return true;
}

bool jinja_list(struct jinja_render *r, size_t n, struct jinja_value **items,
                struct jinja_value *out)
{
    return sequence(r, JINJA_LIST, n, items, out);
}

bool jinja_tuple(struct jinja_render *r, size_t n, struct jinja_value **items,
                 struct jinja_value *out)
{
    return sequence(r, JINJA_TUPLE, n, items, out);
}

bool jinja_pair(struct jinja_render *r, struct jinja_value a, struct jinja_value b,
                struct jinja_value *out)
{
    struct jinja_value *items;

    if (!jinja_tuple(r, 2, &items, out))
        return false;
    items[0] = a;
    items[1] = b;
    return true;
}

bool jinja_items_add(struct jinja_render *r, struct jinja_items *items, struct jinja_value v)
{
    if (items->n == items->cap) {
        const size_t cap = items->cap == 0 ? 8 : items->cap * 2;
        struct jinja_value *ptr = jinja_alloc(r, cap, sizeof *ptr);

        if (ptr == NULL)
            return false;
        if (items->n > 0)
            memcpy(ptr, items->ptr, items->n * sizeof *ptr);
        items->ptr = ptr;
        items->cap = cap;
    }
    items->ptr[items->n++] = v;
    return true;
}

bool jinja_items_list(struct jinja_render *r, const struct jinja_items *items,
                      struct jinja_value *out)
{
    struct jinja_seq *seq = jinja_alloc(r, 1, sizeof *seq);

    if (seq == NULL)
        return false;
    *seq = (struct jinja_seq){items->n, items->ptr};
    *out = (struct jinja_value){.type = JINJA_LIST, .seq = seq};
    return true;
}

static bool undefined(struct jinja_render *r, const struct jinja_undefined *what,
                      struct jinja_value *out)
{
    struct jinja_undefined *u = jinja_alloc(r, 1, sizeof *u);

    if (u == NULL)
        return false;
    *u = *what;
    *out = (struct jinja_value){.type = JINJA_UNDEFINED, .undefined = u};
    return true;
}

bool jinja_undefined_hint(struct jinja_render *r, struct jinja_value *out, const char *fmt, ...)
{
    char text[300];
    struct jinja_value hint;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return jinja_str(r, str_of(text), &hint) &&
           undefined(r, &(struct jinja_undefined){.hint = hint.text->ptr}, out);
}

bool jinja_undefined_name(struct jinja_render *r, struct str name, struct jinja_value *out)
{
    struct jinja_value v;

    return jinja_str_view(r, name, &v) && undefined(r, &(struct jinja_undefined){.name = v}, out);
}

bool jinja_undefined_in(struct jinja_render *r, struct jinja_value owner, struct jinja_value name,
                        struct jinja_value *out)
{
    return undefined(r, &(struct jinja_undefined){.has_owner = true, .owner = owner, .name = name},
                     out);
}

bool(jinja_raise_undefined)(struct jinja_render *r, struct jinja_value v)
{
    const struct jinja_undefined *u = v.undefined;
    const size_t mark = jinja_mark(r);

    if (u->hint != NULL)
        return jinja_raise(r, "%s", u->hint);
    if (!jinja_put_repr(r, u->name))
        return false;
    const struct str name = {r->out.ptr + mark, r->out.len - mark};
    if (!u->has_owner)
        return jinja_raise(r, STR_FMT " is undefined", STR_ARG(name));
    const char *type = u->owner.type == JINJA_NONE ? "None" : jinja_type_name(u->owner);
    const char *object = u->owner.type == JINJA_NONE ? "" : " object";
    if (u->name.type != JINJA_STR)
        return jinja_raise(r, "%s%s has no element " STR_FMT, type, object, STR_ARG(name));
    return jinja_raise(r, "'%s%s' has no attribute " STR_FMT, type, object, STR_ARG(name));
}

bool jinja_generator(struct jinja_render *r, const char *type_name, struct jinja_value from,
                     bool (*next)(struct jinja_render *, struct jinja_gen *, struct jinja_value *,
                                  bool *),
                     void *state, struct jinja_value *out)
{
    struct jinja_gen *g = jinja_alloc(r, 1, sizeof *g);

    if (g == NULL)
        return false;
    *g = (struct jinja_gen){.next = next, .type_name = type_name, .state = state, .from.of = from};
    *out = (struct jinja_value){.type = JINJA_GENERATOR, .gen = g};
    return true;
}

/* ---- text that is being built ---- */

void jinja_put(struct jinja_render *r, struct str s)
{
    buf_str(&r->out, s);
}

bool jinja_put_ok(struct jinja_render *r)
{
    if (!r->out.overflowed)
        return true;
    return jinja_limit(r, "the text grows past %zu bytes", LIMIT_RENDER_BYTES);
}

bool jinja_take(struct jinja_render *r, size_t mark, struct jinja_value *out)
{
    const struct str s = {mark == r->out.len ? "" : r->out.ptr + mark, r->out.len - mark};

    if (!jinja_put_ok(r) || !jinja_str(r, s, out))
        return false;
    r->out.len = mark;
    return true;
}

/* ---- what Python asks of values ---- */

const char *jinja_type_name(struct jinja_value v)
{
    static const char *const names[] = {
        [JINJA_MISSING] = "missing",
        [JINJA_UNDEFINED] = "Undefined",
        [JINJA_NONE] = "NoneType",
        [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",
        [JINJA_FLOAT] = "float",
        [JINJA_STR] = "str",
        [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",
        [JINJA_DICT] = "dict",
        [JINJA_NAMESPACE] = "Namespace",
        [JINJA_RANGE] = "range",
        [JINJA_VIEW] = "dict_keys",
        [JINJA_GENERATOR] = "generator",
        [JINJA_LOOP] = "LoopContext",
        [JINJA_MACRO] = "Macro",
        [JINJA_FUNCTION] = "function",
        [JINJA_METHOD] = "builtin_function_or_method",
        [JINJA_CYCLER] = "Cycler",
        [JINJA_JOINER] = "Joiner",
        [JINJA_SELF] = "TemplateReference",
        [JINJA_BLOCK] = "BlockReference",
    };
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};

    if (v.type == JINJA_STR && v.safe)
        return "Markup";
    if (v.type == JINJA_VIEW)
        return views[v.view->kind];
    if (v.type == JINJA_GENERATOR)
        return v.gen->type_name;
    return names[v.type];
}

bool jinja_is_number(struct jinja_value v)
{
    return v.type == JINJA_INT || v.type == JINJA_FLOAT || v.type == JINJA_BOOL;
}

bool jinja_as_int(struct jinja_value v, int64_t *out)
{
    if (v.type == JINJA_BOOL)
        *out = v.b;
    else if (v.type == JINJA_INT)
        *out = v.i;
    else
        return false;
    return true;
}

bool jinja_as_double(struct jinja_value v, double *out)
{
    int64_t i;

    if (v.type == JINJA_FLOAT)
        *out = v.d;
    else if (jinja_as_int(v, &i))
        *out = (double)i;
    else
        return false;
    return true;
}

bool jinja_length(struct jinja_value v, size_t *out)
{
    switch ((enum jinja_type)v.type) {
    case JINJA_UNDEFINED:
        *out = 0;
        return true;
    case JINJA_STR:
        *out = v.text->n_chars;
        return true;
    case JINJA_LIST:
    case JINJA_TUPLE:
        *out = v.seq->n;
        return true;
    case JINJA_DICT:
        *out = v.dict->n;
        return true;
    case JINJA_RANGE:
        *out = v.range->n;
        return true;
    case JINJA_VIEW:
        *out = v.view->dict->n;
        return true;
    default:
        return false;
    }
}

bool jinja_truth(struct jinja_render *r, struct jinja_value v, bool *out)
{
    size_t n = 1;

    if (v.type == JINJA_NONE)
        *out = false;
    else if (v.type == JINJA_BOOL)
        *out = v.b;
    else if (v.type == JINJA_INT)
        *out = v.i != 0;
    else if (v.type == JINJA_FLOAT)
        *out = v.d != 0;
    else if (v.type == JINJA_LOOP)
        return jinja_loop_length(r, v.loop, &n) && (*out = n != 0, true);
    else
        *out = !jinja_length(v, &n) || n != 0;
    return true;
}

bool jinja_same(struct jinja_value a, struct jinja_value b)
{
    if (a.type != b.type)
        return false;
    switch ((enum jinja_type)a.type) {
    case JINJA_NONE:
        return true;
    case JINJA_BOOL:
        return a.b == b.b;
    case JINJA_INT: /* small ones are one object there; larger ones may be */
        return a.i == b.i;
    case JINJA_FLOAT:
        return a.d == b.d;
    case JINJA_STR:
        return a.safe == b.safe && str_eq((struct str){a.text->ptr, a.text->len},
                                          (struct str){b.text->ptr, b.text->len});
    default: /* all others are pointers of one size */
        return a.seq == b.seq;
    }
}

/* -1, 0, 1; 2 where one is not a number. A double and a 64-bit integer are compared exactly. */
static int compare_numbers(struct jinja_value a, struct jinja_value b)
{
    int64_t i = 0, k = 0;

    if (jinja_as_int(a, &i) && jinja_as_int(b, &k))
        return i < k ? -1 : i > k;
    if (a.type == JINJA_FLOAT && b.type == JINJA_FLOAT)
        return isnan(a.d) || isnan(b.d) ? 2 : a.d < b.d ? -1 : a.d > b.d;
    if (a.type != JINJA_FLOAT) {
        const int turned = compare_numbers(b, a);

        return turned == 2 ? 2 : -turned;
    }
    jinja_as_int(b, &i);
    if (isnan(a.d))
        return 2;
    if (a.d >= 0x1p63)
        return 1;
    if (a.d < -0x1p63)
        return -1;
    const int64_t whole = (int64_t)a.d;
    if (whole != i)
        return whole < i ? -1 : 1;
    const double rest = a.d - (double)whole;
    return rest < 0 ? -1 : rest > 0;
}

static int compare_texts(const struct jinja_text *a, const struct jinja_text *b)
{
    const int c = memcmp(a->ptr, b->ptr,
                         size_min(a->len, b->len)); /* bytes of UTF-8 order as characters do */

    return c != 0 ? c : a->len < b->len ? -1 : a->len > b->len;
}

static bool equal_sequences(struct jinja_render *r, const struct jinja_seq *a,
                            const struct jinja_seq *b, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++)
        if (!jinja_equal(r, a->items[i], b->items[i], out))
            return false;
    return true;
}

static bool equal_dicts(struct jinja_render *r, const struct jinja_dict *a,
                        const struct jinja_dict *b, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        const struct jinja_value *other;

        if (!jinja_dict_get(r, b, a->entries[i].key, &other))
            return false;
        *out = other != NULL;
        if (*out && !jinja_equal(r, a->entries[i].value, *other, out))
            return false;
    }
    return true;
}

static bool equal_deep(struct jinja_render *r, struct jinja_value a, struct jinja_value b,
                       bool *out)
{
    if (!jinja_enter_value(r))
        return false;
    const bool ok = a.type == JINJA_DICT ? equal_dicts(r, a.dict, b.dict, out)
                                         : equal_sequences(r, a.seq, b.seq, out);
    r->depth--;
    return ok;
}

static bool equal_views(struct jinja_render *r, const struct jinja_view *a,
                        const struct jinja_view *b, bool *out)
{
    *out = a == b;
    if (a->kind != b->kind || a->kind == JINJA_VALUES)
        return true;
    if (a->kind == JINJA_ITEMS)
        return equal_dicts(r, a->dict, b->dict, out);
    *out = a->dict->n == b->dict->n;
    for (size_t i = 0; *out && i < a->dict->n; i++) {
        const struct jinja_value *other;

        if (!jinja_dict_get(r, b->dict, a->dict->entries[i].key, &other))
            return false;
        *out = other != NULL;
    }
    return true;
}

bool jinja_equal(struct jinja_render *r, struct jinja_value a, struct jinja_value b, bool *out)
{
    if (!jinja_charge(r, 1))
        return false;
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *out = compare_numbers(a, b) == 0;
        return true;
    }
    *out = false;
    if (a.type != b.type)
        return true;
    switch ((enum jinja_type)a.type) {
    case JINJA_UNDEFINED:
        *out = true;
        return true;
    case JINJA_STR:
        *out = a.text->len == b.text->len;
        if (*out && !jinja_charge(r, a.text->len / 64))
            return false;
        *out = *out && compare_texts(a.text, b.text) == 0;
        return true;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
        return equal_deep(r, a, b, out);
    case JINJA_VIEW:
        return equal_views(r, a.view, b.view, out);
    case JINJA_RANGE:
        *out = a.range->n == b.range->n &&
               (a.range->n == 0 || (a.range->start == b.range->start &&
                                    (a.range->n == 1 || a.range->step == b.range->step)));
        return true;
    default:
        *out = jinja_same(a, b);
        return true;
    }
}

static bool holds(enum jinja_order op, int c)
{
    return op == JINJA_LT ? c < 0 : op == JINJA_LE ? c <= 0 : op == JINJA_GT ? c > 0 : c >= 0;
}

/* The first items that differ decide. */
static bool order_sequences(struct jinja_render *r, enum jinja_order op, const struct jinja_seq *a,
                            const struct jinja_seq *b, bool *out)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        bool same;

        if (!jinja_equal(r, a->items[i], b->items[i], &same))
            return false;
        if (!same)
            return jinja_order(r, op, a->items[i], b->items[i], out);
    }
    *out = holds(op, a->n < b->n ? -1 : a->n > b->n);
    return true;
}

bool jinja_order(struct jinja_render *r, enum jinja_order op, struct jinja_value a,
                 struct jinja_value b, bool *out)
{
    static const char *const signs[] = {"<", "<=", ">", ">="};

    if (!jinja_charge(r, 1))
        return false;
    if (a.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(r, a);
    if (b.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(r, b);
    if (jinja_is_number(a) && jinja_is_number(b)) {
        const int c = compare_numbers(a, b);

        *out = c != 2 && holds(op, c);
        return true;
    }
    if (a.type == JINJA_STR && b.type == JINJA_STR) {
        if (!jinja_charge(r, size_min(a.text->len, b.text->len) / 64))
            return false;
        *out = holds(op, compare_texts(a.text, b.text));
        return true;
    }
    if ((a.type == JINJA_LIST || a.type == JINJA_TUPLE) && a.type == b.type) {
        if (!jinja_enter_value(r))
            return false;
        const bool ok = order_sequences(r, op, a.seq, b.seq, out);
        r->depth--;
        return ok;
    }
    return jinja_raise(r, "'%s' not supported between instances of '%s' and '%s'", signs[op],
                       jinja_type_name(a), jinja_type_name(b));
}

bool jinja_contains(struct jinja_render *r, struct jinja_value in, struct jinja_value v, bool *out)
{
    const struct jinja_value *hit;
    struct jinja_iter it;
    bool done = false;

    *out = false;
    if (in.type == JINJA_STR) {
        if (v.type != JINJA_STR)
            return jinja_raise(r, "'in <string>' requires string as left operand, not %s",
                               jinja_type_name(v));
        const struct str s = {in.text->ptr, in.text->len}, needle = {v.text->ptr, v.text->len};
        *out = needle.len == 0 || str_find(s, needle, 0) < s.len;
        return jinja_charge(r, 1 + s.len / 64);
    }
    if (in.type == JINJA_DICT || (in.type == JINJA_VIEW && in.view->kind == JINJA_KEYS)) {
        if (!jinja_dict_get(r, in.type == JINJA_DICT ? in.dict : in.view->dict, v, &hit))
            return false;
        *out = hit != NULL;
        return true;
    }
    if (!jinja_iterable(in))
        return jinja_raise(r, "argument of type '%s' is not iterable", jinja_type_name(in));
    if (!jinja_iter(r, in, &it))
        return false;
    while (!*out) {
        struct jinja_value item;

        if (!jinja_next(r, &it, &item, &done))
            return false;
        if (done)
            return true;
        if (jinja_same(item, v)) /* identity counts, as for NaN */
            *out = true;
        else if (!jinja_equal(r, item, v, out))
            return false;
    }
    return true;
}

/* ---- iteration ---- */

bool jinja_iterable(struct jinja_value v)
{
    switch ((enum jinja_type)v.type) {
    case JINJA_UNDEFINED:
    case JINJA_STR:
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_RANGE:
    case JINJA_VIEW:
    case JINJA_GENERATOR:
    case JINJA_LOOP:
        return true;
    default:
        return false;
    }
}

bool jinja_iter(struct jinja_render *r, struct jinja_value v, struct jinja_iter *out)
{
    if (v.type == JINJA_LOOP)
        return jinja_unsupported(r, "iterating over the loop object is not supported");
    if (!jinja_iterable(v))
        return jinja_raise(r, "'%s' object is not iterable", jinja_type_name(v));
    *out = (struct jinja_iter){.of = v};
    return true;
}

static bool next_of_generator(struct jinja_render *r, struct jinja_gen *g, struct jinja_value *out,
                              bool *done)
{
    *done = g->finished;
    if (*done)
        return true;
    if (g->running)
        return jinja_raise(r, "generator already executing");
    if (r->depth >= JINJA_MAX_DEPTH)
        return jinja_limit(r, "calls and loops nested more than %d deep", JINJA_MAX_DEPTH);
    g->running = true;
    r->depth++;
    const bool ok = g->next(r, g, out, done);
    r->depth--;
    g->running = false;
    g->finished = *done;
    return ok;
}

static bool next_of_view(struct jinja_render *r, const struct jinja_view *view, size_t at,
                         struct jinja_value *out)
{
    const struct jinja_entry *e = &view->dict->entries[at];

    if (view->kind == JINJA_ITEMS)
        return jinja_pair(r, e->key, e->value, out);
    *out = view->kind == JINJA_KEYS ? e->key : e->value;
    return true;
}

bool jinja_next(struct jinja_render *r, struct jinja_iter *it, struct jinja_value *out, bool *done)
{
    const struct jinja_value v = it->of;
    size_t n = 0;

    if (!jinja_charge(r, 1))
        return false;
    if (v.type == JINJA_GENERATOR)
        return next_of_generator(r, v.gen, out, done);
    if (v.type == JINJA_STR)
        n = v.text->len;
    else
        jinja_length(v, &n);
    *done = it->at >= n;
    if (*done)
        return true;
    switch ((enum jinja_type)v.type) {
    case JINJA_STR: {
        const size_t from = it->at;

        jinja_char_next((struct str){v.text->ptr, v.text->len}, &it->at);
        return jinja_str_view(r, (struct str){v.text->ptr + from, it->at - from}, out);
    }
    case JINJA_LIST:
    case JINJA_TUPLE:
        *out = v.seq->items[it->at++];
        return true;
    case JINJA_DICT:
        *out = v.dict->entries[it->at++].key;
        return true;
    case JINJA_RANGE:
        *out = jinja_int(jinja_range_item(v.range, it->at++));
        return true;
    case JINJA_VIEW:
        return next_of_view(r, v.view, it->at++, out);
    default:
        assert(false && "iterating over what is not iterable");
        return false;
    }
}

bool jinja_collect(struct jinja_render *r, struct jinja_value v, struct jinja_items *out)
{
    struct jinja_iter it;
    bool done = false;

    if (!jinja_iter(r, v, &it))
        return false;
    for (;;) {
        struct jinja_value item;

        if (!jinja_next(r, &it, &item, &done))
            return false;
        if (done)
            return true;
        if (!jinja_items_add(r, out, item))
            return false;
    }
}
