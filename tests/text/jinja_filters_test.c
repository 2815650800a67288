/*
 * jinja_filters_test.c - filters, tests and methods beyond what the golden files ask.
 */
#include "text/jinja_render.h"

static void generators_are_read_once_and_true_even_when_empty(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{% set g = [1, 2] | map('string') %}{{ g | list }}{{ g | list }}", "{}", "['1', '2'][]"},
        {"{{ 'yes' if [] | select }}{{ ([] | select) is iterable }}{{ ([] | select) is sequence }}",
         "{}", "yesTrueFalse"},
        {"{{ [] | map('nope') | list }}{{ none | map('nope') | list }}", "{}", "[][]"},
        {"{{ [1, 2, 3] | map('string') | first }}", "{}", "1"});
    check_refusal(STR("{{ (l | map('string')) | length }}"), ERR_INVALID,
                  "object of type 'generator' has no len()");
    check_refusal(STR("{{ l | map('nope') | list }}"), ERR_INVALID, "No filter named 'nope'.");
    check_refusal(STR("{{ (l | map('string')) | last }}"), ERR_INVALID, "is not reversible");
}

static void sorting_is_stable_and_ignores_case(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ ['b', 'A', 'a', 'B'] | sort }}{{ ['b', 'A', 'a'] | sort(true) }}", "{}",
         "['A', 'a', 'b', 'B']['b', 'A', 'a']"},
        {"{{ m | sort(attribute='a,b') | map(attribute='c') | join }}",
         "{\"m\": [{\"a\": 2, \"b\": 1, \"c\": \"x\"}, {\"a\": 1, \"b\": 2, \"c\": \"y\"},"
         " {\"a\": 1, \"b\": 1, \"c\": \"z\"}]}",
         "zyx"},
        {"{% for k, v in m | groupby('a') %}{{ k }}:{{ v | length }} {% endfor %}"
         "{{ (m | groupby('a'))[0].grouper }}",
         "{\"m\": [{\"a\": \"X\"}, {\"a\": \"y\"}, {\"a\": \"x\"}]}", "X:2 y:1 X"},
        {"{{ {'b': 1, 'A': 2} | dictsort }}{{ {'b': 1, 'A': 2} | dictsort(by='value') }}", "{}",
         "[('A', 2), ('b', 1)][('b', 1), ('A', 2)]"});
    check_refusal(STR("{{ [1, 'a'] | sort }}"), ERR_INVALID, "'<' not supported");
}

static void sequences_are_cut_and_counted(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ range(5) | batch(2, 'f') | list }}{{ range(5) | slice(3) | list }}", "{}",
         "[[0, 1], [2, 3], [4, 'f']][[0, 1], [2, 3], [4]]"},
        {"{{ ['a', 'A', 'b'] | unique | list }}{{ [1, true, 1.0, 2] | unique | list }}", "{}",
         "['a', 'b'][1, 2]"},
        {"{{ [1, 2] | sum }}{{ [[1], [2]] | sum(start=[]) }}{{ ['b', 'A'] | min }}{{ [] | max }}",
         "{}", "3[1, 2]A"},
        {"{{ m | selectattr('a', 'gt', 1) | map(attribute='a') | list }}"
         "{{ m | rejectattr('a') | list }}{{ m | map(attribute='z.y', default='q') | join }}",
         "{\"m\": [{\"a\": 1}, {\"a\": 2}]}", "[2][]qq"});
}

static void texts_are_laid_out(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ 'a\n\nb' | indent }}|{{ 'a\n\nb' | indent('>', true, true) }}", "{}",
         "a\n\n    b|>a\n>\n>b"},
        {"{{ 'foo bar baz qux' | truncate(9) }}{{ 'foo bar baz' | truncate(9, true, leeway=0) }}",
         "{}", "foo...foo ba..."},
        {"{{ 'goof-ball -- and so' | wordwrap(6) }}", "{}", "goof-\nball\n-- and\nso"},
        {"{{ {'b': 'x' * 50, 'a': ['y' * 30]} | pprint }}", "{}",
         "{'a': ['yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'],\n"
         " 'b': 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'}"},
        {"{{ '<p>a &amp;\n <!-- <b> -->b</p>' | striptags }}{{ 'a/b c' | urlencode }}", "{}",
         "a & ba/b%20c"});
}

static void numbers_are_read_and_rounded(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ ' 4_2 ' | int }}{{ '0x1f' | int(base=16) }}{{ '4.9' | int }}{{ 'q' | int(7) }}"
         "{{ -1.9 | int }}",
         "{}", "423147-1"},
        {"{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 1234.5 | round(-2) }} "
         "{{ 25 | round(-1) }} {{ -0.5 | round(0, 'ceil') }}",
         "{}", "2.0 4.0 2.67 1200.0 20 0.0"},
        {"{{ '1e3' | float }} {{ 'nan' | float }} {{ 'q' | float }} {{ 12345678 | filesizeformat }}",
         "{}", "1000.0 nan 0.0 12.3 MB"});
}

static void formats_are_pythons(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ '%5.1f|%-4d|%+d|%05d|%x|%s|%r|%%' % (3.14159, 7, 7, -7, 255, none, 'a') }}", "{}",
         "  3.1|7   |+7|-0007|ff|None|'a'|%"},
        {"{{ '%(a)s %(b)3d' % {'a': 1, 'b': 2} }}{{ '%s' | format('x') }}", "{}", "1   2x"},
        {"{{ '{} {1}'.format(1, 2) if false }}{{ '{1}{0}{k[a].real}'.format(1, 2, k={'a': 5}) }}",
         "{}", "215"},
        {"{{ '{:>6}|{:*^7}|{:+.2e}|{:,}|{:08.3f}|{:#x}|{:.1%}|{!r}'.format("
         "'a', 'b', 12345.678, 1234567, -3.14159, 255, 0.256, 's') }}",
         "{}", "     a|***b***|+1.23e+04|1,234,567|-003.142|0xff|25.6%|'s'"},
        {"{{ '{:.3} {:.3} {:g}'.format(123.456, 5.0, 1e-5) }}", "{}", "1.23e+02 5.0 1e-05"});
    check_refusal(STR("{{ '%d' % 'a' }}"), ERR_INVALID, "a real number is required, not str");
    check_refusal(STR("{{ '%s %s' % 'a' }}"), ERR_INVALID, "not enough arguments");
    check_refusal(STR("{{ '%s' % (1, 2) }}"), ERR_INVALID, "not all arguments converted");
    check_refusal(STR("{{ '{} {}'.format(1) }}"), ERR_INVALID, "index 1 out of range");
    check_refusal(STR("{{ '{} {0}'.format(1) }}"), ERR_INVALID, "cannot switch from automatic");
}

static void methods_of_texts_are_pythons(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ ' a b '.split() }}{{ 'a,b,,c'.split(',', 2) }}{{ 'a b c'.rsplit(none, 1) }}", "{}",
         "['a', 'b']['a', 'b', ',c']['a b', 'c']"},
        {"{{ 'a\\r\\nb\nc'.splitlines(true) }}{{ 'k=v=w'.partition('=') }}{{ 'kv'.rpartition('=') }}",
         "{}", "['a\\r\\n', 'b\\n', 'c']('k', '=', 'v=w')('', '', 'kv')"},
        {"{{ 'abc'.startswith(('x', 'ab')) }}{{ 'abc'.endswith('b', 0, 2) }}"
         "{{ 'xxaxx'.strip('x') }}{{ 'aXb'.swapcase() }}{{ 'aba'.replace('a', '', 1) }}",
         "{}", "TrueTrueaAxBba"},
        {"{{ '-7'.zfill(4) }}{{ ','.join(['a', 'b']) }}{{ 'abcabc'.rfind('b', 0, 4) }}"
         "{{ 'aaa'.count('') }}{{ 'prefix'.removeprefix('pre') }}",
         "{}", "-007a,b14fix"});
    check_refusal(STR("{{ 'a'.index('b') }}"), ERR_INVALID, "substring not found");
    check_refusal(STR("{{ 'a'.encode() }}"), ERR_UNSUPPORTED, "encode is not supported");
    check_refusal(STR("{{ ','.join([1]) }}"), ERR_INVALID, "expected str instance, int found");
    check_refusal(STR("{{ 'a'.split(foo=1) }}"), ERR_INVALID, "unexpected keyword argument");
}

static void tests_ask_about_types_and_order(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ {} is mapping }}{{ 'a' is sequence }}{{ true is number }}{{ 1 is integer }}"
         "{{ true is integer }}{{ none is none }}{{ 'a' is in ['a'] }}{{ 4 is divisibleby 2 }}",
         "{}", "TrueTrueTrueTrueFalseTrueTrueTrue"},
        {"{{ 'upper' is filter }}{{ 'nope' is test }}{{ 3 is not odd }}{{ 'AB' is upper }}"
         "{{ 1 is eq 1.0 }}{{ 2 is gt(1) }}{{ none is sameas none }}{{ range is callable }}",
         "{}", "TrueFalseFalseTrueTrueTrueTrueTrue"});
}

static void globals_are_those_of_transformers(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ dict([('a', 1)], b=2) }}{{ range(1, 6, 2) | list }}{{ namespace({'a': 1}).a }}", "{}",
         "{'a': 1, 'b': 2}[1, 3, 5]1"},
        {"{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}"
         "{% set j = joiner('|') %}{{ j() }}x{{ j() }}y",
         "{}", "abax|y"},
        {"{{ strftime_now('%Y') | length }}{{ range }}", "{\"range\": \"mine\"}", "4mine"});
    check_refusal(STR("\n{{ raise_exception('roles must ' ~ 'alternate') }}"), ERR_INVALID,
                  "chat template, line 2: roles must alternate");
    check_refusal(STR("{{ range(100001) }}"), ERR_LIMIT, "MAX_RANGE (100000)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generators_are_read_once_and_true_even_when_empty),
        cmocka_unit_test(sorting_is_stable_and_ignores_case),
        cmocka_unit_test(sequences_are_cut_and_counted),
        cmocka_unit_test(texts_are_laid_out),
        cmocka_unit_test(numbers_are_read_and_rounded),
        cmocka_unit_test(formats_are_pythons),
        cmocka_unit_test(methods_of_texts_are_pythons),
        cmocka_unit_test(tests_ask_about_types_and_order),
        cmocka_unit_test(globals_are_those_of_transformers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
