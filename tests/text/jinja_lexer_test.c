/*
 * jinja_lexer_test.c - tokens, and what whitespace control takes away around tags.
 */
#include "text/jinja_lexer.h"
#include "text/jinja_render.h"

static void blocks_take_their_own_line(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"a\n  {% if x %}\n  b\n  {% endif %}\n c", "{\"x\": 1}", "a\n  b\n c"},
                     {"  {# c #}\n x", "{}", " x"},
                     {"a {% if x %}\nb{% endif %}\n", "{\"x\": 1}", "a b"},
                     {"\n\t {{ x }}\n y", "{\"x\": 1}", "\n\t 1\n y"},
                     {"  {%+ if x %}\n a {%+ endif +%}\n b", "{\"x\": 1}", "   a \n b"});
}

static void a_minus_takes_all_whitespace_on_its_side(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"a \n\t{{- x -}}\n\n b", "{\"x\": 1}", "a1b"},
                     {"\xC2\xA0{%- if x -%}\xE3\x80\x80 a{%- endif %}", "{\"x\": 1}", "a"},
                     {"x\n {#- c -#} \n y", "{}", "xy"}, {"{#-#} x", "{}", " x"},
                     {"{#--#} x", "{}", "x"});
}

static void raw_text_is_left_alone(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"{% raw %}{{ x }}{% if %}{% endraw %}", "{}", "{{ x }}{% if %}"},
                     {"{%- raw -%}\n {# c #} {%- endraw -%}\n b", "{}", "{# c #}b"},
                     {"{% raw %}{% raw %}{% endraw %}", "{}", "{% raw %}"});
}

static void line_ends_become_one_kind_and_the_last_goes(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"a\r\nb\rc\n", "{}", "a\nb\nc"}, {"\n\n", "{}", "\n"}, {"\r\n", "{}", ""},
                     {"{{ 'a\r\nb' }}\n", "{}", "a\nb"});
}

static void strings_have_pythons_escapes(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"{{ '\\n\\t\\x41\\u00e9\\U0001F600\\101\\q\\\\' }}", "{}",
                      "\n\tA\xC3\xA9\xF0\x9F\x98\x80"
                      "A\\q\\"},
                     {"{{ '\\\xC3\xA9' }}", "{}", "\\xe9"}, /* as the codec of Python has it */
                     {"{{ 'a' \"b\" 'c' }}", "{}", "abc"}, {"{{ 'a\\\nb' }}", "{}", "ab"});
    check_refusal(STR("{{ '\\x4' }}"), ERR_INVALID, "truncated \\xXX escape");
    check_refusal(STR("{{ '\\ud800' }}"), ERR_INVALID, "half of a surrogate pair");
    check_refusal(STR("{{ '\\N{DASH}' }}"), ERR_UNSUPPORTED, "\\N{name}");
    check_refusal(STR("\n{{ 'a }}"), ERR_INVALID, "line 2: a string is not closed");
}

static void numbers_are_pythons(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 00 }}", "{}", "1000 31 5 15 0"},
        {"{{ 1.5e1_0 }} {{ 1e400 }} {{ 1_0.0_1 }} {{ l.0 }}", "{\"l\": [7]}",
         "15000000000.0 inf 10.01 7"});
    check_refusal(STR("{{ 9223372036854775808 }}"), ERR_INVALID, "more than 64 bits");
    check_refusal(STR("{{ 007 }}"), ERR_INVALID, "got 'integer'");
}

static void a_closing_mark_counts_where_brackets_are_closed(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"{{ {'a': {'b': 1}} }}", "{}", "{'a': {'b': 1}}"},
                     {"{{ '}}' ~ \"%}\" }}", "{}", "}}%}"}, {"{{{}}}", "{}", "{}"});
    check_refusal(STR("{{ (x }}"), ERR_INVALID, "unexpected '}', expected ')'");
    check_refusal(STR("{{ x) }}"), ERR_INVALID, "unexpected ')'");
}

static void mistakes_name_their_line(void **state)
{
    (void)state;
    check_refusal(STR("a\nb\n{# c"), ERR_INVALID,
                  "chat template, line 3: Missing end of comment tag");
    check_refusal(STR("\n{% raw %}\n\n"), ERR_INVALID, "line 2: Missing end of raw directive");
    check_refusal(STR("a\n\n{{ $ }}"), ERR_INVALID, "line 3: unexpected character '$'");
    check_refusal(STR("{% if x %}\n{{ x"), ERR_INVALID, "line 2: unexpected end of template");
}

static void tokens_carry_their_text_and_line(void **state)
{
    struct arena a = {0}, scratch = {0};
    struct jinja_tokens t;
    struct error err = {0};

    (void)state;
    ASSERT_OK(jinja_tokenize(STR("ab\n{{ x.y ** 2.5 }}"), &a, &scratch, &t, &err));
    assert_int_equal(t.n, 9);
    assert_int_equal(t.ptr[0].type, JINJA_T_DATA);
    ASSERT_STR(t.ptr[0].text, "ab\n");
    assert_int_equal(t.ptr[1].type, JINJA_T_VARIABLE_BEGIN);
    assert_int_equal(t.ptr[1].line, 2);
    ASSERT_STR(t.ptr[2].text, "x");
    assert_int_equal(t.ptr[5].type, JINJA_T_POW);
    assert_true(t.ptr[6].d == 2.5);
    assert_int_equal(t.ptr[8].type, JINJA_T_EOF);
    arena_release(&a);
    arena_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_take_their_own_line),
        cmocka_unit_test(a_minus_takes_all_whitespace_on_its_side),
        cmocka_unit_test(raw_text_is_left_alone),
        cmocka_unit_test(line_ends_become_one_kind_and_the_last_goes),
        cmocka_unit_test(strings_have_pythons_escapes),
        cmocka_unit_test(numbers_are_pythons),
        cmocka_unit_test(a_closing_mark_counts_where_brackets_are_closed),
        cmocka_unit_test(mistakes_name_their_line),
        cmocka_unit_test(tokens_carry_their_text_and_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
