/*
 * jinja_ops.c - Python's operators, attributes, subscripts and slices.
 *
 * Whole numbers have 64 bits; what does not fit is an error, where Python would go on.
 */
#include "base/limits.h"
#include "base/size.h"
#include "text/jinja_ast.h"
#include "text/jinja_builtin.h"
#include "text/jinja_unicode.h"
#include "text/jinja_value.h"

#include <errno.h>
#include <math.h>

static struct str view(struct jinja_value v)
{
    return (struct str){v.text->ptr, v.text->len};
}

static bool too_wide(struct jinja_render *r)
{
    return jinja_raise(r, "a whole number of more than 64 bits");
}

static bool wrong_operands(struct jinja_render *r, const char *op, struct jinja_value a,
                           struct jinja_value b)
{
    return jinja_raise(r, "unsupported operand type(s) for %s: '%s' and '%s'", op,
                       jinja_type_name(a), jinja_type_name(b));
}

/* ---- texts and sequences ---- */

/* Adding to a Markup escapes the other side. */
static bool add_texts(struct jinja_render *r, struct jinja_value a, struct jinja_value b,
                      struct jinja_value *out)
{
    const size_t mark = jinja_mark(r);
    const bool safe = a.safe || b.safe;

    if (a.safe != b.safe && !jinja_escape(r, a.safe ? b : a, a.safe ? &b : &a))
        return false;
    jinja_put(r, view(a));
    jinja_put(r, view(b));
    if (!jinja_take(r, mark, out))
        return false;
    out->safe = safe;
    return true;
}

static bool add_sequences(struct jinja_render *r, struct jinja_value a, struct jinja_value b,
                          struct jinja_value *out)
{
    struct jinja_value *items;
    const size_t n = a.seq->n + b.seq->n;

    if (!jinja_charge(r, n / 16) ||
        !(a.type == JINJA_LIST ? jinja_list(r, n, &items, out) : jinja_tuple(r, n, &items, out)))
        return false;
    if (a.seq->n > 0)
        memcpy(items, a.seq->items, a.seq->n * sizeof *items);
    if (b.seq->n > 0)
        memcpy(items + a.seq->n, b.seq->items, b.seq->n * sizeof *items);
    return true;
}

static bool add_others(struct jinja_render *r, struct jinja_value a, struct jinja_value b,
                       struct jinja_value *out)
{
    if (a.type == JINJA_STR && b.type == JINJA_STR)
        return add_texts(r, a, b, out);
    if ((a.type == JINJA_LIST || a.type == JINJA_TUPLE) && a.type == b.type)
        return add_sequences(r, a, b, out);
    if (a.type == JINJA_STR || a.type == JINJA_LIST || a.type == JINJA_TUPLE)
        return jinja_raise(r, "can only concatenate %s (not \"%s\") to %s", jinja_type_name(a),
                           jinja_type_name(b), jinja_type_name(a));
    return wrong_operands(r, "+", a, b);
}

static bool repeat_text(struct jinja_render *r, struct jinja_value v, size_t times,
                        struct jinja_value *out)
{
    size_t bytes;
    const size_t mark = jinja_mark(r);

    if (!size_mul(v.text->len, times, &bytes) || bytes > LIMIT_RENDER_BYTES)
        return jinja_limit(r, "a text repeated to more than %zu bytes", LIMIT_RENDER_BYTES);
    if (!jinja_charge(r, bytes / 64 + (v.text->len > 0 ? times / 64 : 0)))
        return false;
    for (size_t i = 0; i < times && v.text->len > 0; i++)
        jinja_put(r, view(v));
    if (!jinja_take(r, mark, out))
        return false;
    out->safe = v.safe;
    return true;
}

static bool repeat_sequence(struct jinja_render *r, struct jinja_value v, size_t times,
                            struct jinja_value *out)
{
    struct jinja_value *items;
    size_t n;

    if (!size_mul(v.seq->n, times, &n) || n > JINJA_MAX_MEMORY / sizeof *items)
        return jinja_limit(r, "a list repeated to more than %zu bytes", JINJA_MAX_MEMORY);
    if (!jinja_charge(r, n / 16) ||
        !(v.type == JINJA_LIST ? jinja_list(r, n, &items, out) : jinja_tuple(r, n, &items, out)))
        return false;
    for (size_t i = 0; i < n; i++)
        items[i] = v.seq->items[i % v.seq->n];
    return true;
}

static bool is_sequence(struct jinja_value v)
{
    return v.type == JINJA_STR || v.type == JINJA_LIST || v.type == JINJA_TUPLE;
}

static bool multiply_others(struct jinja_render *r, struct jinja_value a, struct jinja_value b,
                            struct jinja_value *out)
{
    const struct jinja_value what = is_sequence(a) ? a : b, by = is_sequence(a) ? b : a;
    int64_t times;

    if (!is_sequence(what))
        return wrong_operands(r, "*", a, b);
    if (!jinja_as_int(by, &times))
        return jinja_raise(r, "can't multiply sequence by non-int of type '%s'",
                           jinja_type_name(by));
    const size_t n = times < 0 ? 0 : (size_t)times;
    return what.type == JINJA_STR ? repeat_text(r, what, n, out) : repeat_sequence(r, what, n, out);
}

/* ---- numbers ---- */

static bool add_ints(struct jinja_render *r, enum jinja_op op, int64_t a, int64_t b,
                     struct jinja_value *out)
{
    int64_t result;
    const bool wide = op == JINJA_ADD   ? __builtin_add_overflow(a, b, &result)
                      : op == JINJA_SUB ? __builtin_sub_overflow(a, b, &result)
                                        : __builtin_mul_overflow(a, b, &result);

    if (wide)
        return too_wide(r);
    *out = jinja_int(result);
    return true;
}

/* Rounded down, as Python does. */
static bool divide_ints(struct jinja_render *r, enum jinja_op op, int64_t a, int64_t b,
                        struct jinja_value *out)
{
    if (b == 0)
        return jinja_raise(r, op == JINJA_DIV ? "division by zero"
                                              : "integer division or modulo by zero");
    if (op == JINJA_DIV) { /* long double holds 64-bit integers exactly */
        *out = jinja_float((double)((long double)a / (long double)b));
        return true;
    }
    if (b == -1) {
        if (op == JINJA_FLOORDIV && a == INT64_MIN)
            return too_wide(r);
        *out = jinja_int(op == JINJA_FLOORDIV ? -a : 0);
        return true;
    }
    const int64_t rest = a % b;
    const bool down = rest != 0 && (rest < 0) != (b < 0);
    *out = jinja_int(op == JINJA_FLOORDIV ? a / b - down : rest + (down ? b : 0));
    return true;
}

/* float_divmod of CPython */
static bool divide_floats(struct jinja_render *r, enum jinja_op op, double a, double b,
                          struct jinja_value *out)
{
    if (b == 0)
        return jinja_raise(r, op == JINJA_DIV   ? "float division by zero"
                              : op == JINJA_MOD ? "float modulo"
                                                : "float floor division by zero");
    if (op == JINJA_DIV) {
        *out = jinja_float(a / b);
        return true;
    }
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0)) {
        rest += b;
        quotient -= 1;
    } else if (rest == 0) {
        rest = copysign(0, b);
    }
    double down = copysign(0, a / b);
    if (quotient != 0) {
        down = floor(quotient);
        if (quotient - down > 0.5)
            down += 1;
    }
    *out = jinja_float(op == JINJA_MOD ? rest : down);
    return true;
}

static bool power_floats(struct jinja_render *r, double a, double b, struct jinja_value *out)
{
    if (a == 0 && b < 0)
        return jinja_raise(r, "0.0 cannot be raised to a negative power");
    if (a < 0 && isfinite(a) && isfinite(b) && floor(b) != b)
        return jinja_raise(r, "a fractional power of a negative number is complex");
    const double result = pow(a, b);
    if (isinf(result) && isfinite(a) && isfinite(b))
        return jinja_raise(r, "(34, 'Numerical result out of range')");
    *out = jinja_float(result);
    return true;
}

static bool power_ints(struct jinja_render *r, int64_t a, int64_t b, struct jinja_value *out)
{
    int64_t result = 1;

    if (b < 0)
        return power_floats(r, (double)a, (double)b, out);
    while (b > 0) {
        if ((b & 1) != 0 && __builtin_mul_overflow(result, a, &result))
            return too_wide(r);
        b >>= 1;
        if (b > 0 && __builtin_mul_overflow(a, a, &a))
            return too_wide(r);
    }
    *out = jinja_int(result);
    return true;
}

static bool arithmetic(struct jinja_render *r, enum jinja_op op, struct jinja_value a,
                       struct jinja_value b, struct jinja_value *out)
{
    int64_t i, k;
    double x = 0, y = 0;

    if (jinja_as_int(a, &i) && jinja_as_int(b, &k)) {
        if (op == JINJA_ADD || op == JINJA_SUB || op == JINJA_MUL)
            return add_ints(r, op, i, k, out);
        return op == JINJA_POW ? power_ints(r, i, k, out) : divide_ints(r, op, i, k, out);
    }
    jinja_as_double(a, &x);
    jinja_as_double(b, &y);
    switch (op) {
    case JINJA_ADD:
        *out = jinja_float(x + y);
        return true;
    case JINJA_SUB:
        *out = jinja_float(x - y);
        return true;
    case JINJA_MUL:
        *out = jinja_float(x * y);
        return true;
    case JINJA_POW:
        return power_floats(r, x, y, out);
    default:
        return divide_floats(r, op, x, y, out);
    }
}

bool jinja_negate(struct jinja_render *r, bool minus, struct jinja_value v, struct jinja_value *out)
{
    int64_t i;

    if (v.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(r, v);
    if (v.type == JINJA_FLOAT) {
        *out = jinja_float(minus ? -v.d : v.d);
        return true;
    }
    if (!jinja_as_int(v, &i))
        return jinja_raise(r, "bad operand type for unary %s: '%s'", minus ? "-" : "+",
                           jinja_type_name(v));
    if (minus && i == INT64_MIN)
        return too_wide(r);
    *out = jinja_int(minus ? -i : i);
    return true;
}

static bool comparison(struct jinja_render *r, enum jinja_op op, struct jinja_value a,
                       struct jinja_value b, struct jinja_value *out)
{
    bool yes = false, ok;

    switch (op) {
    case JINJA_EQ:
    case JINJA_NE:
        ok = jinja_equal(r, a, b, &yes);
        break;
    case JINJA_IN:
    case JINJA_NOT_IN:
        ok = jinja_contains(r, b, a, &yes);
        break;
    default:
        ok = jinja_order(r, (enum jinja_order)(JINJA_LT + (op - JINJA_OP_LT)), a, b, &yes);
        break;
    }
    *out = jinja_bool(yes != (op == JINJA_NE || op == JINJA_NOT_IN));
    return ok;
}

bool jinja_binary(struct jinja_render *r, enum jinja_op op, struct jinja_value a,
                  struct jinja_value b, struct jinja_value *out)
{
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

    if (op >= JINJA_EQ)
        return comparison(r, op, a, b, out);
    if (op == JINJA_MOD && a.type == JINJA_STR)
        return jinja_percent(r, a, b, out);
    if (a.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(r, a);
    if (b.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(r, b);
    if (jinja_is_number(a) && jinja_is_number(b))
        return arithmetic(r, op, a, b, out);
    if (op == JINJA_ADD)
        return add_others(r, a, b, out);
    if (op == JINJA_MUL)
        return multiply_others(r, a, b, out);
    return wrong_operands(r, signs[op], a, b);
}

/* ---- attributes ---- */

static bool unsafe_attribute(struct jinja_render *r, struct jinja_value obj, struct str name,
                             struct jinja_value *out)
{
    return jinja_undefined_hint(r, out,
                                "access to attribute '" STR_FMT "' of '%s' object is unsafe.",
                                STR_ARG(name), jinja_type_name(obj));
}

/* Those that every object has in Python. */
static bool is_object_attribute(struct str name)
{
    static const char *const names[] = {
        "__class__",   "__delattr__", "__dir__",           "__doc__",          "__eq__",
        "__format__",  "__ge__",      "__getattribute__",  "__getstate__",     "__gt__",
        "__hash__",    "__init__",    "__init_subclass__", "__le__",           "__lt__",
        "__ne__",      "__new__",     "__reduce__",        "__reduce_ex__",    "__repr__",
        "__setattr__", "__sizeof__",  "__str__",           "__subclasshook__",
    };

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

static bool number_attribute(struct jinja_value v, struct str name, bool *found,
                             struct jinja_value *out)
{
    const bool whole = v.type != JINJA_FLOAT;
    int64_t i = 0;

    jinja_as_int(v, &i);
    *found = true;
    if (str_is(name, "real") || (whole && str_is(name, "numerator")))
        *out = whole ? jinja_int(i) : v;
    else if (str_is(name, "imag"))
        *out = whole ? jinja_int(0) : jinja_float(0);
    else if (whole && str_is(name, "denominator"))
        *out = jinja_int(1);
    else
        *found = false;
    return true;
}

static bool macro_attribute(struct jinja_render *r, const struct jinja_macro *m, struct str name,
                            bool *found, struct jinja_value *out)
{
    *found = true;
    if (str_is(name, "name"))
        return jinja_str_view(r, m->name, out);
    if (str_is(name, "catch_kwargs"))
        *out = jinja_bool(m->node->uses_kwargs);
    else if (str_is(name, "catch_varargs"))
        *out = jinja_bool(m->node->uses_varargs);
    else if (str_is(name, "caller"))
        *out = jinja_bool(m->node->uses_caller);
    else if (str_is(name, "arguments")) {
        struct jinja_value *items;
        size_t i = 0;

        if (!jinja_tuple(r, m->node->params.n, &items, out))
            return false;
        for (const struct jinja_node *p = m->node->params.first; p != NULL; p = p->next)
            if (!jinja_str_view(r, p->name.name, &items[i++]))
                return false;
    } else {
        *found = false;
    }
    return true;
}

static bool plain_attribute(struct jinja_render *r, struct jinja_value obj, struct str name,
                            bool *found, struct jinja_value *out)
{
    const struct jinja_value *hit;

    switch ((enum jinja_type)obj.type) {
    case JINJA_NAMESPACE:
        hit = jinja_dict_find(obj.dict, name);
        *found = hit != NULL;
        if (*found)
            *out = *hit;
        return true;
    case JINJA_LOOP:
        return jinja_loop_attribute(r, obj, name, found, out);
    case JINJA_MACRO:
        return macro_attribute(r, obj.macro, name, found, out);
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        return number_attribute(obj, name, found, out);
    case JINJA_TUPLE:
        *found = obj.group && (str_is(name, "grouper") || str_is(name, "list"));
        if (*found)
            *out = obj.seq->items[str_is(name, "list")];
        return true;
    case JINJA_RANGE:
        *found = str_is(name, "start") || str_is(name, "stop") || str_is(name, "step");
        if (*found)
            *out = jinja_int(str_is(name, "start")  ? obj.range->start
                             : str_is(name, "stop") ? obj.range->stop
                                                    : obj.range->step);
        return true;
    case JINJA_SELF:
        *found = jinja_find_block(r, name, out);
        return true;
    case JINJA_CYCLER:
        *found = str_is(name, "current");
        if (*found)
            *out = obj.cycler->items->items[obj.cycler->at];
        return true;
    default:
        return true;
    }
}

bool jinja_attribute(struct jinja_render *r, struct jinja_value obj, struct str name, bool *found,
                     struct jinja_value *out)
{
    bool unsafe = false;

    *found = false;
    if (obj.type == JINJA_UNDEFINED && !is_object_attribute(name))
        return jinja_raise_undefined(r, obj);
    if (!plain_attribute(r, obj, name, found, out))
        return false;
    if (*found)
        return true;
    const struct jinja_builtin *row = jinja_find_method(obj, name, &unsafe);
    if (unsafe || is_object_attribute(name)) {
        *found = true;
        return unsafe_attribute(r, obj, name, out);
    }
    if (row == NULL)
        return true;
    struct jinja_method *m = jinja_alloc(r, 1, sizeof *m);
    if (m == NULL)
        return false;
    *m = (struct jinja_method){row, obj};
    *out = (struct jinja_value){.type = JINJA_METHOD, .method = m};
    *found = true;
    return true;
}

bool jinja_getattr(struct jinja_render *r, struct jinja_value obj, struct str name,
                   struct jinja_value *out)
{
    const struct jinja_value *item = NULL;
    struct jinja_value key;
    bool found;

    if (!jinja_attribute(r, obj, name, &found, out))
        return false;
    if (found)
        return true;
    if (obj.type == JINJA_DICT)
        item = jinja_dict_find(obj.dict, name);
    if (item != NULL) {
        *out = *item;
        return true;
    }
    return jinja_str_view(r, name, &key) && jinja_undefined_in(r, obj, key, out);
}

/* ---- subscripts ---- */

size_t jinja_char_offset(const struct jinja_text *t, size_t at)
{
    const struct str s = {t->ptr, t->len};
    size_t offset = 0;

    if (t->n_chars == t->len)
        return at;
    if (at > t->n_chars / 2) {
        offset = t->len;
        for (size_t i = t->n_chars; i > at; i--)
            jinja_char_prev(s, &offset);
    } else {
        for (size_t i = 0; i < at; i++)
            jinja_char_next(s, &offset);
    }
    return offset;
}

bool jinja_substring(struct jinja_render *r, struct jinja_value text, size_t from, size_t to,
                     struct jinja_value *out)
{
    const struct jinja_text *t = text.text;
    struct jinja_text *part = jinja_alloc(r, 1, sizeof *part);

    const size_t far = size_min(from, t->n_chars - from) + size_min(to, t->n_chars - to);

    if (part == NULL || !jinja_charge(r, 1 + (t->n_chars == t->len ? 0 : far / 8)))
        return false;
    const size_t begin = jinja_char_offset(t, from);
    *part = (struct jinja_text){t->ptr + begin, jinja_char_offset(t, to) - begin, to - from};
    *out = (struct jinja_value){.type = JINJA_STR, .safe = text.safe, .text = part};
    return true;
}

/* Would jinja_hash find something without a hash in it? Fails where it is too deep or too much. */
static bool hashable(struct jinja_render *r, struct jinja_value v, bool *out)
{
    *out = v.type != JINJA_LIST && v.type != JINJA_DICT && v.type != JINJA_VIEW;
    if (v.type != JINJA_TUPLE)
        return jinja_charge(r, 1);
    if (!jinja_enter_value(r))
        return false;
    for (size_t i = 0; i < v.seq->n && *out; i++)
        if (!hashable(r, v.seq->items[i], out))
            return false;
    r->depth--;
    return true;
}

/* obj[key] without attributes; found is false where Python raises TypeError, IndexError or KeyError. */
static bool item(struct jinja_render *r, struct jinja_value obj, struct jinja_value key,
                 bool *found, struct jinja_value *out)
{
    const struct jinja_value *hit;
    bool sound;
    size_t n;
    int64_t at;

    *found = false;
    if (obj.type == JINJA_DICT) {
        if (!hashable(r, key, &sound))
            return false;
        if (!sound)
            return true;
        if (!jinja_dict_get(r, obj.dict, key, &hit))
            return false;
        *found = hit != NULL;
        if (*found)
            *out = *hit;
        return true;
    }
    if (!(is_sequence(obj) || obj.type == JINJA_RANGE) || !jinja_as_int(key, &at))
        return true;
    jinja_length(obj, &n);
    if (at < 0)
        at += (int64_t)n;
    if (at < 0 || (size_t)at >= n)
        return true;
    *found = true;
    if (obj.type == JINJA_STR)
        return jinja_substring(r, obj, (size_t)at, (size_t)at + 1, out);
    *out = obj.type == JINJA_RANGE ? jinja_int(jinja_range_item(obj.range, (size_t)at))
                                   : obj.seq->items[at];
    return true;
}

bool jinja_getitem(struct jinja_render *r, struct jinja_value obj, struct jinja_value key,
                   struct jinja_value *out)
{
    bool found;

    if (obj.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(r, obj);
    if (!item(r, obj, key, &found, out))
        return false;
    if (!found && key.type == JINJA_STR && !jinja_attribute(r, obj, view(key), &found, out))
        return false;
    return found || jinja_undefined_in(r, obj, key, out);
}

/* ---- slices ---- */

struct bounds {
    int64_t start, stop, step;
    size_t n;
};

static bool bound(struct jinja_render *r, struct jinja_value v, int64_t def, int64_t *out)
{
    *out = def;
    if (v.type == JINJA_NONE || jinja_as_int(v, out))
        return true;
    return jinja_raise(r, "slice indices must be integers or None or have an __index__ method");
}

static int64_t clamp(int64_t at, int64_t n, int64_t step)
{
    if (at < 0) {
        at = at < -n ? -1 : at + n; /* not at + n first: it may be the least number */
        return at < 0 ? (step < 0 ? -1 : 0) : at;
    }
    return at >= n ? (step < 0 ? n - 1 : n) : at;
}

static bool find_bounds(struct jinja_render *r, size_t len, struct jinja_value start,
                        struct jinja_value stop, struct jinja_value step, struct bounds *out)
{
    const int64_t n = (int64_t)len;
    int64_t from, to;

    if (!bound(r, step, 1, &out->step))
        return false;
    if (out->step == 0)
        return jinja_raise(r, "slice step cannot be zero");
    if (out->step < -INT64_MAX)
        out->step = -INT64_MAX;
    if (!bound(r, start, out->step < 0 ? INT64_MAX : 0, &from) ||
        !bound(r, stop, out->step < 0 ? INT64_MIN : INT64_MAX, &to))
        return false;
    from = clamp(from, n, out->step);
    to = clamp(to, n, out->step);
    out->start = from;
    out->stop = to;
    out->n = 0;
    if (out->step < 0 && to < from)
        out->n = (size_t)((from - to - 1) / -out->step + 1);
    else if (out->step > 0 && from < to)
        out->n = (size_t)((to - from - 1) / out->step + 1);
    return true;
}

static bool slice_text(struct jinja_render *r, struct jinja_value obj, const struct bounds *b,
                       struct jinja_value *out)
{
    const struct jinja_text *t = obj.text;
    const size_t mark = jinja_mark(r);
    const bool ascii = t->len == t->n_chars;
    uint32_t *offsets = NULL;

    if (b->step == 1 || b->n == 0)
        return jinja_substring(r, obj, b->n == 0 ? 0 : (size_t)b->start,
                               b->n == 0 ? 0 : (size_t)b->start + b->n, out);
    if (!jinja_charge(r, b->n / 16 + (ascii ? 0 : t->len / 16)))
        return false;
    if (!ascii) { /* where each character begins */
        size_t at = 0;

        offsets = jinja_alloc(r, t->n_chars + 1, sizeof *offsets);
        if (offsets == NULL)
            return false;
        for (size_t i = 0; i < t->n_chars; i++) {
            jinja_char_next((struct str){t->ptr, t->len}, &at);
            offsets[i + 1] = (uint32_t)at;
        }
    }
    for (size_t i = 0; i < b->n; i++) {
        const size_t at = (size_t)(b->start + (int64_t)i * b->step);

        if (ascii)
            buf_put(&r->out, t->ptr + at, 1);
        else
            buf_put(&r->out, t->ptr + offsets[at], offsets[at + 1] - offsets[at]);
    }
    if (!jinja_take(r, mark, out))
        return false;
    out->safe = obj.safe;
    return true;
}

static bool range_item(const struct jinja_range *range, int64_t at, int64_t *out)
{
    return !__builtin_mul_overflow(at, range->step, out) &&
           !__builtin_add_overflow(range->start, *out, out);
}

static bool slice_range(struct jinja_render *r, const struct jinja_range *of,
                        const struct bounds *b, struct jinja_value *out)
{
    struct jinja_range *range = jinja_alloc(r, 1, sizeof *range);

    if (range == NULL)
        return false;
    range->n = b->n;
    if (!range_item(of, b->start, &range->start) || !range_item(of, b->stop, &range->stop) ||
        __builtin_mul_overflow(of->step, b->step, &range->step))
        return too_wide(r);
    *out = (struct jinja_value){.type = JINJA_RANGE, .range = range};
    return true;
}

bool jinja_slice(struct jinja_render *r, struct jinja_value obj, struct jinja_value start,
                 struct jinja_value stop, struct jinja_value step, struct jinja_value *out)
{
    struct jinja_value *items;
    struct bounds b;
    size_t n;

    if (obj.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(r, obj);
    if (obj.type == JINJA_DICT)
        return jinja_raise(r, "unhashable type: 'slice'");
    if (!is_sequence(obj) && obj.type != JINJA_RANGE)
        return jinja_raise(r, "'%s' object is not subscriptable", jinja_type_name(obj));
    jinja_length(obj, &n);
    if (!find_bounds(r, n, start, stop, step, &b))
        return false;
    if (obj.type == JINJA_STR)
        return slice_text(r, obj, &b, out);
    if (obj.type == JINJA_RANGE)
        return slice_range(r, obj.range, &b, out);
    if (!jinja_charge(r, b.n / 16) || !(obj.type == JINJA_LIST ? jinja_list(r, b.n, &items, out)
                                                               : jinja_tuple(r, b.n, &items, out)))
        return false;
    for (size_t i = 0; i < b.n; i++)
        items[i] = obj.seq->items[b.start + (int64_t)i * b.step];
    return true;
}
