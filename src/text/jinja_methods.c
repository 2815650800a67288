/*
 * jinja_methods.c - methods of str, dict, list and the others, and which of them the sandbox refuses.
 *
 * A row without a function is one that Python has and we do not; a name in a list of unsafe ones changes its object,
 * and reading it gives an undefined value, as in jinja2's immutable sandbox.
 */
#include "base/size.h"
#include "text/jinja_builtin.h"
#include "text/jinja_text.h"
#include "text/jinja_unicode.h"

/* ---- str ---- */

static bool str_case(struct jinja_call *c)
{
    static const struct {
        const char *name;
        enum jinja_letter_case to;
    } rows[] = {
        {"lower", JINJA_TO_LOWER},
        {"upper", JINJA_TO_UPPER},
        {"capitalize", JINJA_TO_CAPITALIZED},
        {"title", JINJA_TO_TITLE},
        {"swapcase", JINJA_TO_SWAPPED},
        {"casefold", JINJA_TO_FOLDED},
    };
    size_t i = 0;

    while (strcmp(rows[i].name, c->row->name) != 0)
        i++;
    return jinja_text_case(c->r, c->self, rows[i].to, c->out);
}

static bool str_is_class(struct jinja_call *c)
{
    static const struct {
        const char *name;
        enum jinja_class what;
    } rows[] = {
        {"isalnum", JINJA_ALNUM},         {"isalpha", JINJA_ALPHA},
        {"isascii", JINJA_ASCII},         {"isdecimal", JINJA_DECIMAL},
        {"isdigit", JINJA_DIGIT},         {"isidentifier", JINJA_IDENTIFIER},
        {"islower", JINJA_LOWERCASE},     {"isnumeric", JINJA_NUMERIC},
        {"isprintable", JINJA_PRINTABLE}, {"isspace", JINJA_SPACE},
        {"istitle", JINJA_TITLECASE},     {"isupper", JINJA_UPPERCASE},
    };
    size_t i = 0;

    while (strcmp(rows[i].name, c->row->name) != 0)
        i++;
    *c->out = jinja_bool(jinja_text_is(jinja_view(c->self), rows[i].what));
    return jinja_charge(c->r, c->self.text->len / 8);
}

static bool str_strip(struct jinja_call *c)
{
    const char first = c->row->name[0];

    if (jinja_given(c, 0) && c->a[0].type != JINJA_NONE && c->a[0].type != JINJA_STR)
        return jinja_raise(c->r, "%s arg must be None or str", c->row->name);
    return jinja_text_strip(c->r, c->self, c->a[0], first != 'r', first != 'l', c->out);
}

static bool str_split(struct jinja_call *c)
{
    int64_t max;

    if (jinja_given(c, 0) && c->a[0].type != JINJA_NONE && c->a[0].type != JINJA_STR)
        return jinja_raise(c->r, "must be str or None, not %s", jinja_type_name(c->a[0]));
    return jinja_arg_int(c, 1, -1, &max) &&
           jinja_text_split(c->r, c->self, c->a[0], max, c->row->name[0] == 'r', c->out);
}

static bool str_splitlines(struct jinja_call *c)
{
    struct jinja_items items = {0};
    bool keep;

    return jinja_arg_bool(c, 0, false, &keep) && jinja_text_lines(c->r, c->self, keep, &items) &&
           jinja_items_list(c->r, &items, c->out);
}

static bool str_partition(struct jinja_call *c)
{
    const struct str s = jinja_view(c->self);
    const bool last = c->row->name[0] == 'r';
    struct jinja_value *items;
    struct str sep;

    if (!jinja_arg_str(c, 0, STR(""), &sep) || !jinja_tuple(c->r, 3, &items, c->out))
        return false;
    if (sep.len == 0)
        return jinja_raise(c->r, "empty separator");
    size_t at;
    if (!jinja_text_find(c->r, s, sep, last, &at))
        return false;
    struct str parts[3] = {s, STR(""), STR("")};
    if (at <= s.len) {
        parts[0] = (struct str){s.ptr, at};
        parts[1] = (struct str){s.ptr + at, sep.len};
        parts[2] = str_from(s, at + sep.len);
    } else if (last) {
        parts[0] = parts[1];
        parts[2] = s;
    }
    for (size_t i = 0; i < 3; i++)
        if (!jinja_text_part(c->r, c->self, parts[i], &items[i]))
            return false;
    return jinja_charge(c->r, s.len / 16);
}

/* The bytes of self between the optional arguments start and end, which count characters. */
static bool between(struct jinja_call *c, size_t first, struct str *out, size_t *n_before)
{
    const struct jinja_text *t = c->self.text;
    const int64_t n = (int64_t)t->n_chars;
    int64_t at[2];

    for (size_t i = 0; i < 2; i++) {
        at[i] = i == 0 ? 0 : n;
        if (jinja_given(c, first + i) && c->a[first + i].type != JINJA_NONE &&
            !jinja_arg_int(c, first + i, 0, &at[i]))
            return false;
        if (at[i] < 0)
            at[i] = at[i] < -n ? 0 : at[i] + n;
    }
    if (at[1] > n)
        at[1] = n;
    *out = (struct str){NULL, 0}; /* nothing is in there, not even an empty text */
    if (at[0] > at[1])
        return true;
    const size_t from = jinja_char_offset(t, (size_t)at[0]);
    *out = (struct str){t->ptr + from, jinja_char_offset(t, (size_t)at[1]) - from};
    *n_before = (size_t)at[0];
    return jinja_charge(c->r, 1 + t->len / 64);
}

/* find, rfind, index, rindex */
static bool str_find_in(struct jinja_call *c)
{
    const bool last = c->row->name[0] == 'r', must = strstr(c->row->name, "index") != NULL;
    struct str part, needle;
    size_t n_before = 0, at = 1;

    if (!jinja_arg_str(c, 0, STR(""), &needle) || !between(c, 1, &part, &n_before) ||
        (part.ptr != NULL && !jinja_text_find(c->r, part, needle, last, &at)))
        return false;
    if (at > part.len && must)
        return jinja_raise(c->r, "substring not found");
    *c->out = jinja_int(
        at > part.len ? -1 : (int64_t)(n_before + jinja_count_chars((struct str){part.ptr, at})));
    return true;
}

static bool str_count(struct jinja_call *c)
{
    struct str part, needle;
    size_t n_before = 0;
    int64_t n = 0;

    if (!jinja_arg_str(c, 0, STR(""), &needle) || !between(c, 1, &part, &n_before))
        return false;
    if (needle.len == 0)
        n = part.ptr == NULL ? 0 : (int64_t)jinja_count_chars(part) + 1;
    for (size_t at = 0; needle.len > 0 && part.ptr != NULL; n++) {
        at = str_find(part, needle, at);
        if (at >= part.len)
            break;
        at += needle.len;
    }
    *c->out = jinja_int(n);
    return true;
}

static bool has_affix(struct str part, struct jinja_value affix, bool end)
{
    return part.ptr != NULL &&
           (end ? str_ends(part, jinja_view(affix)) : str_starts(part, jinja_view(affix)));
}

/* startswith, endswith: of a text, or of one of a tuple */
static bool str_has_affix(struct jinja_call *c)
{
    const bool end = c->row->name[0] == 'e';
    struct jinja_value affix = c->a[0];
    struct str part;
    size_t n_before;
    bool yes = false;

    if (!between(c, 1, &part, &n_before))
        return false;
    for (size_t i = 0; affix.type == JINJA_TUPLE && i < affix.seq->n; i++) {
        if (affix.seq->items[i].type != JINJA_STR)
            return jinja_raise(c->r, "tuple for %s must only contain str, not %s", c->row->name,
                               jinja_type_name(affix.seq->items[i]));
        yes = yes || has_affix(part, affix.seq->items[i], end);
        if (!jinja_charge(c->r, 1 + affix.seq->items[i].text->len / 64))
            return false;
    }
    if (affix.type != JINJA_TUPLE && affix.type != JINJA_STR)
        return jinja_raise(c->r, "%s first arg must be str or a tuple of str, not %s", c->row->name,
                           jinja_type_name(affix));
    *c->out = jinja_bool(yes || (affix.type == JINJA_STR && has_affix(part, affix, end)));
    return true;
}

static bool str_remove_affix(struct jinja_call *c)
{
    const bool suffix = strcmp(c->row->name, "removesuffix") == 0;
    struct str s = jinja_view(c->self), affix;

    if (!jinja_arg_str(c, 0, STR(""), &affix))
        return false;
    if (suffix && str_ends(s, affix))
        s.len -= affix.len;
    else if (!suffix && str_starts(s, affix))
        s = str_from(s, affix.len);
    return jinja_text_part(c->r, c->self, s, c->out);
}

static bool str_replace(struct jinja_call *c)
{
    struct str old, new;
    int64_t count;

    if (!jinja_arg_str(c, 0, STR(""), &old) || !jinja_arg_str(c, 1, STR(""), &new) ||
        !jinja_arg_int(c, 2, -1, &count))
        return false;
    if (c->self.safe) {
        struct jinja_value escaped;

        if (!jinja_escape(c->r, c->a[1], &escaped))
            return false;
        new = jinja_view(escaped);
    }
    return jinja_text_replace(c->r, c->self, old, new, count, c->out);
}

static bool str_pad(struct jinja_call *c)
{
    const char first = c->row->name[0];
    const enum jinja_align align = first == 'l'   ? JINJA_ALIGN_LEFT
                                   : first == 'r' ? JINJA_ALIGN_RIGHT
                                   : first == 'c' ? JINJA_ALIGN_CENTER
                                                  : JINJA_ALIGN_ZEROS;
    struct str fill = STR("0");
    int64_t width;

    if (!jinja_arg_int(c, 0, 0, &width) ||
        (align != JINJA_ALIGN_ZEROS && !jinja_arg_str(c, 1, STR(" "), &fill)))
        return false;
    if (jinja_count_chars(fill) != 1)
        return jinja_raise(c->r, "The fill character must be exactly one character long");
    return jinja_text_pad(c->r, c->self, width, fill, align, c->out);
}

static bool str_join(struct jinja_call *c)
{
    return jinja_text_join(c->r, c->self, c->a[0], true, c->out);
}

static bool str_expandtabs(struct jinja_call *c)
{
    const size_t mark = jinja_mark(c->r);
    const struct str s = jinja_view(c->self);
    int64_t size, column = 0;

    if (!jinja_arg_int(c, 0, 8, &size))
        return false;
    for (size_t at = 0; at < s.len;) {
        const size_t from = at;
        const uint32_t u = jinja_char_next(s, &at);

        if (u != '\t') {
            buf_put(&c->r->out, s.ptr + from, at - from);
            column = u == '\n' || u == '\r' ? 0 : column + 1;
            continue;
        }
        for (int64_t n = size > 0 ? size - column % size : 0; n > 0 && !c->r->out.overflowed; n--) {
            buf_char(&c->r->out, ' ');
            column++;
        }
    }
    if (!jinja_charge(c->r, s.len / 16) || !jinja_take(c->r, mark, c->out))
        return false;
    c->out->safe = c->self.safe;
    return true;
}

static bool str_format(struct jinja_call *c)
{
    return jinja_format(c->r, c->self, c->args, c->out);
}

static bool str_format_map(struct jinja_call *c)
{
    struct jinja_args args = {0};

    if (c->a[0].type != JINJA_DICT)
        return jinja_raise(c->r, "format_map() takes a mapping, not %s", jinja_type_name(c->a[0]));
    struct jinja_keyword *kw = jinja_alloc(c->r, c->a[0].dict->n, sizeof *kw);
    if (kw == NULL)
        return false;
    for (size_t i = 0; i < c->a[0].dict->n; i++) {
        const struct jinja_entry *e = &c->a[0].dict->entries[i];

        if (e->key.type == JINJA_STR)
            kw[args.n_kw++] = (struct jinja_keyword){jinja_view(e->key), e->value};
    }
    args.kw = kw;
    return jinja_format(c->r, c->self, &args, c->out);
}

const struct jinja_builtin jinja_str_methods[] = {
    {"capitalize", str_case, ""},
    {"casefold", str_case, ""},
    {"center", str_pad, "width! fillchar"},
    {"count", str_count, "sub! start end"},
    {"encode", NULL, "*"},
    {"endswith", str_has_affix, "suffix! start end"},
    {"expandtabs", str_expandtabs, "tabsize"},
    {"find", str_find_in, "sub! start end"},
    {"format", str_format, "*"},
    {"format_map", str_format_map, "mapping!"},
    {"index", str_find_in, "sub! start end"},
    {"isalnum", str_is_class, ""},
    {"isalpha", str_is_class, ""},
    {"isascii", str_is_class, ""},
    {"isdecimal", str_is_class, ""},
    {"isdigit", str_is_class, ""},
    {"isidentifier", str_is_class, ""},
    {"islower", str_is_class, ""},
    {"isnumeric", str_is_class, ""},
    {"isprintable", str_is_class, ""},
    {"isspace", str_is_class, ""},
    {"istitle", str_is_class, ""},
    {"isupper", str_is_class, ""},
    {"join", str_join, "iterable!"},
    {"ljust", str_pad, "width! fillchar"},
    {"lower", str_case, ""},
    {"lstrip", str_strip, "chars"},
    {"maketrans", NULL, "*"},
    {"partition", str_partition, "sep!"},
    {"removeprefix", str_remove_affix, "prefix!"},
    {"removesuffix", str_remove_affix, "suffix!"},
    {"replace", str_replace, "old! new! count"},
    {"rfind", str_find_in, "sub! start end"},
    {"rindex", str_find_in, "sub! start end"},
    {"rjust", str_pad, "width! fillchar"},
    {"rpartition", str_partition, "sep!"},
    {"rsplit", str_split, "sep maxsplit"},
    {"rstrip", str_strip, "chars"},
    {"split", str_split, "sep maxsplit"},
    {"splitlines", str_splitlines, "keepends"},
    {"startswith", str_has_affix, "prefix! start end"},
    {"strip", str_strip, "chars"},
    {"swapcase", str_case, ""},
    {"title", str_case, ""},
    {"translate", NULL, "*"},
    {"upper", str_case, ""},
    {"zfill", str_pad, "width!"},
    {0},
};

/* ---- dict ---- */

static bool dict_get(struct jinja_call *c)
{
    const struct jinja_value *hit;

    if (!jinja_dict_get(c->r, c->self.dict, c->a[0], &hit))
        return false;
    *c->out = hit != NULL ? *hit : jinja_given(c, 1) ? c->a[1] : jinja_none();
    return true;
}

static bool dict_view(struct jinja_call *c)
{
    struct jinja_view *v = jinja_alloc(c->r, 1, sizeof *v);

    if (v == NULL)
        return false;
    v->dict = c->self.dict;
    v->kind = c->row->name[0] == 'k'   ? JINJA_KEYS
              : c->row->name[0] == 'v' ? JINJA_VALUES
                                       : JINJA_ITEMS;
    *c->out = (struct jinja_value){.type = JINJA_VIEW, .view = v};
    return true;
}

static bool same_object(struct jinja_call *c)
{
    *c->out = c->self; /* nothing can change it, so it is its own copy */
    return true;
}

const struct jinja_builtin jinja_dict_methods[] = {
    {"copy", same_object, ""},
    {"fromkeys", NULL, "*"},
    {"get", dict_get, "key! default"},
    {"items", dict_view, ""},
    {"keys", dict_view, ""},
    {"values", dict_view, ""},
    {0},
};

/* ---- list, tuple, range ---- */

static bool list_count(struct jinja_call *c)
{
    struct jinja_iter it;
    bool done = false, same;
    int64_t n = 0;

    if (!jinja_iter(c->r, c->self, &it))
        return false;
    for (;;) {
        struct jinja_value item;

        if (!jinja_next(c->r, &it, &item, &done))
            return false;
        if (done)
            break;
        if (!jinja_equal(c->r, item, c->a[0], &same))
            return false;
        n += same;
    }
    *c->out = jinja_int(n);
    return true;
}

static bool list_index(struct jinja_call *c)
{
    struct jinja_iter it;
    bool done = false, same = false;
    int64_t start, stop;
    size_t n;

    jinja_length(c->self, &n);
    if (!jinja_arg_int(c, 1, 0, &start) || !jinja_arg_int(c, 2, INT64_MAX, &stop) ||
        !jinja_iter(c->r, c->self, &it))
        return false;
    start = start < 0 ? start + (int64_t)n : start;
    stop = stop < 0 ? stop + (int64_t)n : stop;
    for (int64_t i = 0;; i++) {
        struct jinja_value item;

        if (!jinja_next(c->r, &it, &item, &done))
            return false;
        if (done || i >= stop)
            return jinja_raise(c->r, "value is not in %s", jinja_type_name(c->self));
        if (i >= start && !jinja_equal(c->r, item, c->a[0], &same))
            return false;
        if (same) {
            *c->out = jinja_int(i);
            return true;
        }
    }
}

const struct jinja_builtin jinja_list_methods[] = {
    {"copy", same_object, ""},
    {"count", list_count, "value!"},
    {"index", list_index, "value! start stop"},
    {0},
};

/* ---- numbers, cyclers ---- */

static const struct jinja_builtin number_methods[] = {
    {"as_integer_ratio", NULL, "*"},
    {"bit_count", NULL, "*"},
    {"bit_length", NULL, "*"},
    {"conjugate", NULL, "*"},
    {"from_bytes", NULL, "*"},
    {"fromhex", NULL, "*"},
    {"hex", NULL, "*"},
    {"is_integer", NULL, "*"},
    {"to_bytes", NULL, "*"},
    {0},
};

static bool cycler_next(struct jinja_call *c)
{
    struct jinja_cycler *cycler = c->self.cycler;

    *c->out = cycler->items->items[cycler->at];
    cycler->at = (cycler->at + 1) % cycler->items->n;
    return true;
}

static bool cycler_reset(struct jinja_call *c)
{
    c->self.cycler->at = 0;
    *c->out = jinja_none();
    return true;
}

static const struct jinja_builtin cycler_methods[] = {
    {"next", cycler_next, ""},
    {"reset", cycler_reset, ""},
    {0},
};

/* ---- which type has which ---- */

static bool is_one_of(struct str name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (str_is(name, *names))
            return true;
    return false;
}

const struct jinja_builtin *jinja_find_method(struct jinja_value obj, struct str name, bool *unsafe)
{
    static const char *const unsafe_dict[] = {"clear",      "pop",    "popitem",
                                              "setdefault", "update", NULL};
    static const char *const unsafe_list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                              "sort",   "extend", "remove", NULL};
    const struct jinja_builtin *table = NULL;

    *unsafe = false;
    switch ((enum jinja_type)obj.type) {
    case JINJA_STR:
        table = jinja_str_methods;
        break;
    case JINJA_DICT:
        *unsafe = is_one_of(name, unsafe_dict);
        table = jinja_dict_methods;
        break;
    case JINJA_LIST:
        *unsafe = is_one_of(name, unsafe_list);
        table = jinja_list_methods;
        break;
    case JINJA_TUPLE:
    case JINJA_RANGE:
        table = jinja_list_methods + 1; /* no copy */
        break;
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        table = number_methods;
        break;
    case JINJA_CYCLER:
        table = cycler_methods;
        break;
    default:
        return NULL;
    }
    for (; table->name != NULL; table++)
        if (str_is(name, table->name))
            return table;
    return NULL;
}
