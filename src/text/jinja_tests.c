/*
 * jinja_tests.c - what can stand behind "is", and what select and its kin take by name.
 */
#include "base/size.h"
#include "text/jinja_builtin.h"
#include "text/jinja_text.h"

static bool answer(struct jinja_call *c, bool yes)
{
    *c->out = jinja_bool(yes);
    return true;
}

static bool t_defined(struct jinja_call *c)
{
    return answer(c, c->self.type != JINJA_UNDEFINED);
}

static bool t_undefined(struct jinja_call *c)
{
    return answer(c, c->self.type == JINJA_UNDEFINED);
}

static bool t_none(struct jinja_call *c)
{
    return answer(c, c->self.type == JINJA_NONE);
}

static bool t_boolean(struct jinja_call *c)
{
    return answer(c, c->self.type == JINJA_BOOL);
}

static bool t_true(struct jinja_call *c)
{
    return answer(c, c->self.type == JINJA_BOOL && c->self.b);
}

static bool t_false(struct jinja_call *c)
{
    return answer(c, c->self.type == JINJA_BOOL && !c->self.b);
}

static bool t_integer(struct jinja_call *c)
{
    return answer(c, c->self.type == JINJA_INT);
}

static bool t_float(struct jinja_call *c)
{
    return answer(c, c->self.type == JINJA_FLOAT);
}

static bool t_number(struct jinja_call *c)
{
    return answer(c, jinja_is_number(c->self));
}

static bool t_string(struct jinja_call *c)
{
    return answer(c, c->self.type == JINJA_STR);
}

static bool t_mapping(struct jinja_call *c)
{
    return answer(c, c->self.type == JINJA_DICT);
}

/* len() and __getitem__: of an undefined value, the first is 0 and the second is there */
static bool t_sequence(struct jinja_call *c)
{
    size_t n;

    return answer(c, c->self.type != JINJA_VIEW && jinja_length(c->self, &n));
}

static bool t_iterable(struct jinja_call *c)
{
    return answer(c, jinja_iterable(c->self));
}

static bool t_callable(struct jinja_call *c)
{
    const uint8_t type = c->self.type;

    /* an undefined value has __call__, which fails when it is called */
    return answer(c, type == JINJA_MACRO || type == JINJA_FUNCTION || type == JINJA_METHOD ||
                         type == JINJA_JOINER || type == JINJA_LOOP || type == JINJA_BLOCK ||
                         type == JINJA_UNDEFINED);
}

static bool t_escaped(struct jinja_call *c)
{
    return answer(c, c->self.type == JINJA_STR && c->self.safe);
}

static bool t_case(struct jinja_call *c)
{
    struct jinja_value text;

    return jinja_to_str(c->r, c->self, &text) && jinja_charge(c->r, text.text->len / 16) &&
           answer(c, jinja_text_is(jinja_view(text),
                                   c->row->name[0] == 'l' ? JINJA_LOWERCASE : JINJA_UPPERCASE));
}

static bool remainder_is(struct jinja_call *c, struct jinja_value by, struct jinja_value want)
{
    struct jinja_value rest;
    bool same;

    return jinja_binary(c->r, JINJA_MOD, c->self, by, &rest) &&
           jinja_equal(c->r, rest, want, &same) && answer(c, same);
}

static bool t_odd(struct jinja_call *c)
{
    return remainder_is(c, jinja_int(2), jinja_int(1));
}

static bool t_even(struct jinja_call *c)
{
    return remainder_is(c, jinja_int(2), jinja_int(0));
}

static bool t_divisibleby(struct jinja_call *c)
{
    return remainder_is(c, c->a[0], jinja_int(0));
}

static bool t_filter(struct jinja_call *c)
{
    uint64_t hash; /* it is looked up in a dictionary there, where a list is an error */

    return jinja_hash(c->r, c->self, &hash) &&
           answer(c, c->self.type == JINJA_STR && jinja_find_filter(jinja_view(c->self)) != NULL);
}

static bool t_test(struct jinja_call *c)
{
    uint64_t hash;

    return jinja_hash(c->r, c->self, &hash) &&
           answer(c, c->self.type == JINJA_STR && jinja_find_test(jinja_view(c->self)) != NULL);
}

static bool t_sameas(struct jinja_call *c)
{
    return answer(c, jinja_same(c->self, c->a[0]));
}

static bool t_compare(struct jinja_call *c)
{
    static const struct {
        const char *name;
        enum jinja_op op;
    } rows[] = {
        {"==", JINJA_EQ},          {"eq", JINJA_EQ},
        {"equalto", JINJA_EQ},     {"!=", JINJA_NE},
        {"ne", JINJA_NE},          {">", JINJA_OP_GT},
        {"gt", JINJA_OP_GT},       {"greaterthan", JINJA_OP_GT},
        {"ge", JINJA_OP_GE},       {">=", JINJA_OP_GE},
        {"<", JINJA_OP_LT},        {"lt", JINJA_OP_LT},
        {"lessthan", JINJA_OP_LT}, {"<=", JINJA_OP_LE},
        {"le", JINJA_OP_LE},       {"in", JINJA_IN},
    };
    size_t i = 0;

    while (strcmp(rows[i].name, c->row->name) != 0)
        i++;
    return jinja_binary(c->r, rows[i].op, c->self, c->a[0], c->out);
}

const struct jinja_builtin jinja_tests[] = {
    {"!=", t_compare, "other!"},
    {"<", t_compare, "other!"},
    {"<=", t_compare, "other!"},
    {"==", t_compare, "other!"},
    {">", t_compare, "other!"},
    {">=", t_compare, "other!"},
    {"boolean", t_boolean, ""},
    {"callable", t_callable, ""},
    {"defined", t_defined, ""},
    {"divisibleby", t_divisibleby, "num!"},
    {"eq", t_compare, "other!"},
    {"equalto", t_compare, "other!"},
    {"escaped", t_escaped, ""},
    {"even", t_even, ""},
    {"false", t_false, ""},
    {"filter", t_filter, ""},
    {"float", t_float, ""},
    {"ge", t_compare, "other!"},
    {"greaterthan", t_compare, "other!"},
    {"gt", t_compare, "other!"},
    {"in", t_compare, "seq!"},
    {"integer", t_integer, ""},
    {"iterable", t_iterable, ""},
    {"le", t_compare, "other!"},
    {"lessthan", t_compare, "other!"},
    {"lower", t_case, ""},
    {"lt", t_compare, "other!"},
    {"mapping", t_mapping, ""},
    {"ne", t_compare, "other!"},
    {"none", t_none, ""},
    {"number", t_number, ""},
    {"odd", t_odd, ""},
    {"sameas", t_sameas, "other!"},
    {"sequence", t_sequence, ""},
    {"string", t_string, ""},
    {"test", t_test, ""},
    {"true", t_true, ""},
    {"undefined", t_undefined, ""},
    {"upper", t_case, ""},
    {0},
};
