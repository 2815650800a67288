/*
 * jinja_unicode_test.c - characters as Python's str sees them.
 */
#include "text/jinja_render.h"
#include "text/jinja_unicode.h"

static void case_may_take_several_characters(void **state)
{
    uint32_t to[3];

    (void)state;
    assert_int_equal(jinja_map_case(JINJA_UPPER, 0xDF, to), 2);
    assert_true(to[0] == 'S' && to[1] == 'S');
    assert_int_equal(jinja_map_case(JINJA_TITLE, 0xFB03, to), 3);
    assert_true(to[0] == 'F' && to[1] == 'f' && to[2] == 'i');
    assert_int_equal(jinja_map_case(JINJA_LOWER, 0x130, to), 2);
    assert_true(to[0] == 'i' && to[1] == 0x307);
    assert_int_equal(jinja_map_case(JINJA_TITLE, 0x1C6, to), 1);
    assert_int_equal(to[0], 0x1C5);
}

static void a_sigma_knows_the_end_of_its_word(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"{{ s.lower() }}", "{\"s\": \"\xCE\x9F\xCE\xA3 \xCE\xA3\xCE\x9F\xCE\xA3'\"}",
                      "\xCE\xBF\xCF\x82 \xCF\x83\xCE\xBF\xCF\x82'"});
}

static void classes_are_pythons(void **state)
{
    (void)state;
    assert_true(jinja_is_digit(0xB2) && !jinja_is_decimal(0xB2));     /* superscript two */
    assert_true(jinja_is_numeric(0x4E00) && !jinja_is_digit(0x4E00)); /* one, in Chinese */
    assert_true(jinja_is_lower(0xAA) && jinja_is_upper(0x2160)); /* letters by property alone */
    assert_true(jinja_is_title(0x1C5) && !jinja_is_upper(0x1C5));
    assert_true(jinja_is_space(0x3000) && jinja_is_space(0x1C) && !jinja_is_space(0x200B));
    assert_true(jinja_is_line_end(0x2028) && jinja_is_line_end(0x85) && !jinja_is_line_end(0xA0));
    assert_true(!jinja_is_printable(0xAD) && !jinja_is_printable(0xA0) && jinja_is_printable(0xE9));
}

static void positions_count_characters(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"{{ s | length }}{{ s[1] }}{{ s[-1] }}{{ s[::-1] }}{{ s.find('c') }}",
                      "{\"s\": \"a\xF0\x9F\x98\x80\xC3\xA9"
                      "c\"}",
                      "4\xF0\x9F\x98\x80"
                      "cc\xC3\xA9\xF0\x9F\x98\x80"
                      "a3"},
                     {"{{ s[1:3] }}|{{ s.center(7, '*') }}",
                      "{\"s\": \"\xC3\xA9\xC3\xA8\xC3\xAA\"}",
                      "\xC3\xA8\xC3\xAA|**\xC3\xA9\xC3\xA8\xC3\xAA**"});
}

static void torn_bytes_count_as_one_character(void **state)
{
    const struct str s = STR("a\xE2\x82z\xFF");
    size_t at = 0, n = 0;

    (void)state;
    while (at < s.len) {
        jinja_char_next(s, &at);
        n++;
    }
    assert_int_equal(n, 4);
    while (at > 0) {
        jinja_char_prev(s, &at);
        n--;
    }
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_may_take_several_characters),
        cmocka_unit_test(a_sigma_knows_the_end_of_its_word),
        cmocka_unit_test(classes_are_pythons),
        cmocka_unit_test(positions_count_characters),
        cmocka_unit_test(torn_bytes_count_as_one_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
