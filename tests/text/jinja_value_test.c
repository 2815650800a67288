/*
 * jinja_value_test.c - values, operators, attributes and how all of it prints.
 */
#include "text/jinja_render.h"

static void numbers_follow_python(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 6 / 3 }} {{ -0.0 }}", "{}",
         "-4 2 -2 3.5 2.0 -0.0"},
        {"{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ true + 1 }} {{ 1 == true == 1.0 }}",
         "{}", "1024 0.5 64 2 True"},
        {"{{ 1e16 }} {{ 1e15 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 5e-324 }} {{ 1e308 * 10 }}", "{}",
         "1e+16 1000000000000000.0 0.30000000000000004 1e-05 5e-324 inf"},
        {"{{ 9007199254740993 == 9007199254740992.0 }} {{ 9007199254740993 > 9007199254740992.0 }}",
         "{}", "False True"},
        {"{{ 1 < 2 < 3 > 2 }} {{ 3 > 2 > 2 }} {{ 1 < 'a' == true if false else 'lazy' }}", "{}",
         "True False lazy"});
    check_refusal(STR("{{ 9223372036854775807 + 1 }}"), ERR_INVALID, "more than 64 bits");
    check_refusal(STR("{{ 1 // 0 }}"), ERR_INVALID, "division or modulo by zero");
    check_refusal(STR("{{ 1 < 'a' }}"), ERR_INVALID,
                  "'<' not supported between instances of 'int'");
    check_refusal(STR("{{ 'a' + 1 }}"), ERR_INVALID,
                  "can only concatenate str (not \"int\") to str");
    check_refusal(STR("{{ [] - 1 }}"), ERR_INVALID, "unsupported operand type(s) for -: 'list'");
}

static void and_and_or_give_their_operands(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ '' or 'a' }}{{ 0 and 1 }}{{ [] or none }}{{ not '' }}", "{}", "a0NoneTrue"},
        {"{{ ('x' if false) is defined }}{{ 'x' if false }}", "{}", "False"});
}

static void values_print_as_python_prints_them(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"{{ [none, true, 1.0, 'a', \"it's\", {'k': (1,)}, ()] }}", "{}",
                      "[None, True, 1.0, 'a', \"it's\", {'k': (1,)}, ()]"},
                     {"{{ [s] }}", "{\"s\": \"\\n\\u0007\\u00e9\\u00ad'\\\"\"}",
                      "['\\n\\x07\xC3\xA9\\xad\\'\"']"},
                     {"{{ range(3) }}{{ {'a': 1}.items() }}{{ {'a': 1}.keys() }}", "{}",
                      "range(0, 3)dict_items([('a', 1)])dict_keys(['a'])"},
                     {"{% set ns = namespace(a=1) %}{% set ns.b = ns %}{{ ns }}", "{}",
                      "<Namespace {'a': 1, 'b': <Namespace {...}>}>"});
}

static void json_is_that_of_json_dumps(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"{{ v | tojson }}",
                      "{\"v\": {\"a\": [1, 2.0, null, true], \"b\": \"<\\u00e9\\\"\\n\\u007f>\"}}",
                      "{\"a\": [1, 2.0, null, true], \"b\": \"<\xC3\xA9\\\"\\n\x7F>\"}"},
                     {"{{ s | tojson(ensure_ascii=true) }}",
                      "{\"s\": \"\\u00e9\\u007f\\ud83d\\ude00\"}",
                      "\"\\u00e9\\u007f\\ud83d\\ude00\""},
                     {"{{ {'b': [], 'a': {1: (2, 3)}} | tojson(indent=1, sort_keys=true) }}", "{}",
                      "{\n \"a\": {\n  \"1\": [\n   2,\n   3\n  ]\n },\n \"b\": []\n}"},
                     {"{{ [1, 2] | tojson(separators=(',', ':')) }}{{ (1e308 * 10) | tojson }}",
                      "{}", "[1,2]Infinity"});
    check_refusal(STR("{{ {'a': nope} | tojson }}"), ERR_INVALID,
                  "Object of type Undefined is not JSON serializable");
}

static void attributes_come_before_items_and_items_before_attributes(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ d['items'] }}{{ d.items() | list | length }}{{ d.a }}{{ d['a'] }}",
         "{\"d\": {\"items\": 5, \"a\": 1}}", "5211"},
        {"{{ 'abc'['upper']() }}{{ 'abc'[1] }}{{ [1, 2]['count'](2) }}", "{}", "ABCb1"},
        {"{{ {1: 'i', none: 'n', (1, 2): 't'}[1.0] }}{{ {(1, 2): 't'}[1, 2] }}", "{}", "it"});
}

static void undefined_prints_nothing_and_is_told_when_used(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"[{{ nope }}{{ x.nope }}{{ [][3] }}{{ nope | length }}{{ nope == nopes }}]",
                      "{\"x\": {}}", "[0True]"},
                     {"{% for i in nope %}x{% endfor %}{{ nope is defined }}", "{}", "False"});
    check_refusal(STR("{{ nope.a }}"), ERR_INVALID, "'nope' is undefined");
    check_refusal(STR("\n\n{{ x.nope.a }}"), ERR_INVALID,
                  "line 3: 'int object' has no attribute 'nope'");
    check_refusal(STR("{{ l[9].a }}"), ERR_INVALID, "list object has no element 9");
    check_refusal(STR("{{ nope() }}"), ERR_INVALID, "'nope' is undefined");
    check_refusal(STR("{{ nope + 1 }}"), ERR_INVALID, "'nope' is undefined");
    check_refusal(STR("{{ none.a.b }}"), ERR_INVALID, "'None' has no attribute 'a'");
    check_refusal(STR("{{ x() }}"), ERR_INVALID, "'int' object is not callable");
}

static void nothing_can_be_changed_but_namespaces(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"{{ l.append is defined }}{{ l.append }}", "{\"l\": []}", "False"});
    check_refusal(STR("{{ l.append(1) }}"), ERR_INVALID,
                  "access to attribute 'append' of 'list' object is unsafe.");
    check_refusal(STR("{{ {}.update({}) }}"), ERR_INVALID, "'update' of 'dict' object is unsafe");
    check_refusal(STR("{{ x.__class__.__mro__ }}"), ERR_INVALID, "'__class__' of 'int' object");
    check_refusal(STR("{% set x.a = 1 %}"), ERR_INVALID, "on non-namespace object");
    check_refusal(STR("{% set ns = namespace(_a=1) %}"), ERR_INVALID, "underscore-prefixed");
    check_refusal(STR("{% set ns = namespace() %}{% set ns._a = 1 %}"), ERR_INVALID,
                  "underscore-prefixed");
}

static void marked_text_escapes_what_is_added_to_it(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ h | safe + '<' }}|{{ '<' + h | e }}|{{ h | safe ~ '<' }}|{{ [h | e] }}",
         "{\"h\": \"<b>\"}", "<b>&lt;|&lt;&lt;b&gt;|<b><|[Markup('&lt;b&gt;')]"},
        {"{% autoescape true %}{{ h }}{{ h | safe }}{{ h | safe ~ h }}{% endautoescape %}{{ h }}",
         "{\"h\": \"<\"}", "&lt;<<&lt;<"});
}

static void dictionaries_keep_their_order_and_find_equal_keys(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ {'b': 1, 'a': 2, 'b': 3} }}{{ {1: 'a', true: 'b', 1.0: 'c'} }}", "{}",
         "{'b': 3, 'a': 2}{1: 'c'}"},
        {"{% set ns = namespace(t=0) %}{% set d = dict(range(1000) | map('string') | batch(2)) %}"
         "{% for k in d %}{% set ns.t = ns.t + d[k] | int - k | int %}{% endfor %}{{ ns.t }}",
         "{}", "500"});
    check_refusal(STR("{{ {[]: 1} }}"), ERR_INVALID, "unhashable type: 'list'");
}

static void slices_follow_python(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ l[1:] }}{{ l[:-1] }}{{ l[::-1] }}{{ l[::2] }}{{ l[5:] }}{{ 'abc'[-2:] }}",
         "{\"l\": [1, 2, 3]}", "[2, 3][1, 2][3, 2, 1][1, 3][]bc"},
        {"{{ range(10)[2:8:3] }}{{ (1, 2, 3)[-1:0:-1] }}", "{}", "range(2, 8, 3)(3, 2)"},
        {"{{ range(-9223372036854775807 - 1, 9223372036854775807, 9223372036854775807) | list }}",
         "{}", "[-9223372036854775808, -1, 9223372036854775806]"});
    check_refusal(STR("{{ l[::0] }}"), ERR_INVALID, "slice step cannot be zero");
    check_refusal(STR("{{ l['a':] }}"), ERR_INVALID, "slice indices must be integers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_follow_python),
        cmocka_unit_test(and_and_or_give_their_operands),
        cmocka_unit_test(values_print_as_python_prints_them),
        cmocka_unit_test(json_is_that_of_json_dumps),
        cmocka_unit_test(attributes_come_before_items_and_items_before_attributes),
        cmocka_unit_test(undefined_prints_nothing_and_is_told_when_used),
        cmocka_unit_test(nothing_can_be_changed_but_namespaces),
        cmocka_unit_test(marked_text_escapes_what_is_added_to_it),
        cmocka_unit_test(dictionaries_keep_their_order_and_find_equal_keys),
        cmocka_unit_test(slices_follow_python),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
