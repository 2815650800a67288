/*
 * json_test.c - reading is strict, writing is what Python writes, and what is written reads back equal.
 */
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"
#include "support/numbers.h"
#include "text/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *parsed(const char *text)
{
    json_t *v = NULL;
    struct error err = {0};

    ASSERT_OK(json_parse(str_of(text), "test", &v, &err));
    return v;
}

static void assert_written(const json_t *v, const struct json_format *fmt, const char *want)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    json_write(&b, v, fmt);
    assert_string_equal(b.ptr, want);
    buf_release(&b);
}

static void what_is_no_json_is_refused_with_its_place(void **state)
{
    const struct {
        struct str text;
        const char *says;
    } cases[] = {
        {STR(""), "not valid JSON"},
        {STR("{\"a\": 1,}"), "line 1"},
        {STR("{\"a\": 1, \"a\": 2}"), "duplicate"},
        {STR("[1, 2"), "line 1"},
        {STR("[1,\n2,\nx]"), "line 3, column 1"},
        {STR("{} {}"), "end of file expected"},
        {STR("[NaN]"), "NaN"},
        {STR("[Infinity]"), "line 1"},
        {STR("[-Infinity]"), "line 1"},
        {STR("[1e999]"), "real number overflow"},
        {STR("[01]"), "line 1"},
        {STR("['a']"), "line 1"},
        {STR("[\"\x01\"]"), "control character"},
        {STR("[\"\xff\"]"), "unable to decode"},
        {STR("[\"\xc0\xaf\"]"), "unable to decode"},
        {STR("[\"\xed\xa0\x80\"]"), "unable to decode"},
        {STR("[\"\\ud800\"]"), "Unicode"},
        {STR("[123456789012345678901234567890]"), "too big integer"},
        {{NULL, 0}, "not valid JSON"},
    };
    json_t *v = NULL;
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ASSERT_FAILS(json_parse(cases[i].text, "job.json", &v, &err), ERR_INVALID, cases[i].says);
        assert_non_null(strstr(err.message, "job.json: "));
        assert_null(v);
    }
}

static void any_value_may_stand_alone_and_strings_may_hold_any_character(void **state)
{
    static const char *const texts[] = {"null", "true", "false", "1", "-0.5", "\"a\"", "[]", "{}"};
    json_t *v;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        v = parsed(texts[i]);
        assert_written(v, NULL, texts[i]);
        json_decref(v);
    }
    v = parsed("\"a\\u0000b\\ud83d\\ude00\\n\"");
    assert_int_equal(json_str(v).len, 8);
    assert_memory_equal(json_str(v).ptr, "a\0b\xF0\x9F\x98\x80\n", 8);
    json_decref(v);
}

static void nesting_has_a_limit_that_brackets_in_strings_do_not_count_for(void **state)
{
    struct buf b;
    json_t *v = NULL;
    struct error err = {0};

    (void)state;
    for (size_t depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        buf_init(&b, 1 << 16);
        for (size_t i = 0; i < depth; i++)
            buf_char(&b, '[');
        buf_text(&b, "\"[[[[{\\\"[[\"");
        for (size_t i = 0; i < depth; i++)
            buf_char(&b, ']');
        if (depth <= LIMIT_JSON_DEPTH) {
            ASSERT_OK(json_parse(buf_view(&b), "deep", &v, &err));
            json_decref(v);
            v = NULL;
        } else {
            ASSERT_FAILS(json_parse(buf_view(&b), "deep", &v, &err), ERR_LIMIT, "512 deep");
        }
        buf_release(&b);
    }
    buf_init(&b, 1 << 24);
    for (size_t i = 0; i < 5000000; i++) /* not one stack frame each */
        buf_char(&b, '[');
    ASSERT_FAILS(json_parse(buf_view(&b), "deep", &v, &err), ERR_LIMIT, "512 deep");
    buf_release(&b);
}

static void values_are_counted_before_there_is_a_tree(void **state)
{
    static const struct {
        const char *text;
        size_t n; /* the least that it has no more than */
    } texts[] = {
        {"", 1},        {"7", 1},
        {"[]", 2},      {"[1,2]", 3},
        {"{}", 2},      {"{\"a\":1,\"b\":[{},{}]}", 7},
        {"\"[,{\"", 1}, {"[\"\\\"[,{\",\"\\\\\",3]", 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_false(json_has_more(str_of(texts[i].text), texts[i].n));
        assert_true(json_has_more(str_of(texts[i].text), texts[i].n - 1));
    }
}

/* Expected texts by Python 3.11: json.dumps(value, ...). */
static void values_are_written_as_python_writes_them(void **state)
{
    static const char source[] =
        "{\"b\": [1, 2.0, {\"x\": []}], \"a\": {\"k\": null, \"j\": {}}, "
        "\"\\u00e9\\u007f\\ud83d\\ude00\": \"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\"}";
    const struct json_format python = {.style = JSON_STYLE_PYTHON},
                             indented = {.style = JSON_STYLE_PYTHON, .indent = 2},
                             sorted = {.style = JSON_STYLE_PYTHON, .sort_keys = true},
                             ascii = {.style = JSON_STYLE_PYTHON, .ensure_ascii = true};
    json_t *v = parsed(source);

    (void)state;
    assert_written(v, &python,
                   "{\"b\": [1, 2.0, {\"x\": []}], \"a\": {\"k\": null, \"j\": {}}, "
                   "\"\xc3\xa9\x7f\xf0\x9f\x98\x80\": \"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\"}");
    assert_written(v, &ascii,
                   "{\"b\": [1, 2.0, {\"x\": []}], \"a\": {\"k\": null, \"j\": {}}, "
                   "\"\\u00e9\\u007f\\ud83d\\ude00\": \"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\"}");
    assert_written(v, &sorted,
                   "{\"a\": {\"j\": {}, \"k\": null}, \"b\": [1, 2.0, {\"x\": []}], "
                   "\"\xc3\xa9\x7f\xf0\x9f\x98\x80\": \"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\"}");
    assert_written(
        v, &indented,
        "{\n  \"b\": [\n    1,\n    2.0,\n    {\n      \"x\": []\n    }\n  ],\n  \"a\": {\n"
        "    \"k\": null,\n    \"j\": {}\n  },\n"
        "  \"\xc3\xa9\x7f\xf0\x9f\x98\x80\": \"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\"\n}");
    assert_written(v, NULL,
                   "{\"b\":[1,2.0,{\"x\":[]}],\"a\":{\"k\":null,\"j\":{}},"
                   "\"\xc3\xa9\x7f\xf0\x9f\x98\x80\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\"}");
    assert_written(NULL, NULL, "null");
    json_decref(v);
}

static void bytes_that_are_no_utf8_become_replacement_characters(void **state)
{
    const struct {
        struct str bytes;
        const char *want, *ascii;
    } cases[] = {
        {STR("a\xff"), "\"a\xef\xbf\xbd\"", "\"a\\ufffd\""},
        {STR("\xc3"), "\"\xef\xbf\xbd\"", "\"\\ufffd\""},
        {STR("\xe2\x82z"), "\"\xef\xbf\xbd\xef\xbf\xbdz\"", "\"\\ufffd\\ufffdz\""},
        {STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"",
         "\"\\ufffd\\ufffd\\ufffd\""},
        {STR("\xf4\x90\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"",
         "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {STR("\0"), "\"\\u0000\"", "\"\\u0000\""},
        {STR("\xef\xbf\xbf"), "\"\xef\xbf\xbf\"", "\"\\uffff\""},
        {{NULL, 0}, "\"\"", "\"\""},
    };
    struct buf b;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        buf_init(&b, 1000);
        json_write_string(&b, cases[i].bytes, false);
        assert_string_equal(b.ptr, cases[i].want);
        buf_clear(&b);
        json_write_string(&b, cases[i].bytes, true);
        assert_string_equal(b.ptr, cases[i].ascii);
        buf_release(&b);
    }
}

static void any_text_that_is_written_reads_back_the_same(void **state)
{
    struct dice d = {1};
    struct error err = {0};

    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct buf text, json;

        buf_init(&text, 1 << 12);
        buf_init(&json, 1 << 14);
        for (size_t n = dice_below(&d, 30); n > 0; n--) {
            static const uint32_t most[] = {0x80, 0x800, 0x10000, 0x110000};
            uint32_t c = (uint32_t)dice_below(&d, most[dice_below(&d, 4)]);

            c = c >= 0xD800 && c < 0xE000 ? 'x' : c;
            if (c < 0x80) {
                buf_char(&text, (char)c);
            } else if (c < 0x800) {
                buf_char(&text, (char)(0xC0 | c >> 6));
                buf_char(&text, (char)(0x80 | (c & 63)));
            } else if (c < 0x10000) {
                buf_char(&text, (char)(0xE0 | c >> 12));
                buf_char(&text, (char)(0x80 | (c >> 6 & 63)));
                buf_char(&text, (char)(0x80 | (c & 63)));
            } else {
                buf_char(&text, (char)(0xF0 | c >> 18));
                buf_char(&text, (char)(0x80 | (c >> 12 & 63)));
                buf_char(&text, (char)(0x80 | (c >> 6 & 63)));
                buf_char(&text, (char)(0x80 | (c & 63)));
            }
        }
        for (int ascii = 0; ascii < 2; ascii++) {
            json_t *v = NULL;

            buf_clear(&json);
            json_write_string(&json, buf_view(&text), ascii);
            ASSERT_OK(json_parse(buf_view(&json), "text", &v, &err));
            assert_true(str_eq(json_str(v), buf_view(&text)));
            json_decref(v);
            for (size_t i = 0; ascii && i < json.len; i++)
                assert_true(json.ptr[i] >= 0x20 && json.ptr[i] < 0x7f);
        }
        buf_release(&text);
        buf_release(&json);
    }
}

static void assert_number(double x, const char *want)
{
    struct buf b;

    buf_init(&b, 100);
    json_write_double(&b, x);
    assert_string_equal(b.ptr, want);
    buf_release(&b);
}

static void numbers_have_python_s_shortest_digits(void **state)
{
    (void)state;
    assert_number(0, "0.0");
    assert_number(-0.0, "-0.0");
    assert_number(1, "1.0");
    assert_number(-2.5, "-2.5");
    assert_number(100, "100.0");
    assert_number(0.1, "0.1");
    assert_number(0.1 + 0.2, "0.30000000000000004");
    assert_number(1.0 / 3, "0.3333333333333333");
    assert_number(123456789.123, "123456789.123");
    assert_number(1e15, "1000000000000000.0");
    assert_number(9007199254740993.0, "9007199254740992.0");
    assert_number(1e16, "1e+16");
    assert_number(1.2345e22, "1.2345e+22");
    assert_number(1e100, "1e+100");
    assert_number(0.0001, "0.0001");
    assert_number(0.00012345, "0.00012345");
    assert_number(0.00001, "1e-05");
    assert_number(1.5e-7, "1.5e-07");
    assert_number(DBL_MAX, "1.7976931348623157e+308");
    assert_number(DBL_MIN, "2.2250738585072014e-308");
    assert_number(5e-324, "5e-324"); /* few bits are left of these, and few digits do */
    assert_number(2.5e-323, "2.5e-323");
    assert_number(1.23e-320, "1.23e-320");
    assert_number((double)INFINITY, "null");
    assert_number((double)NAN, "null");
}

static void any_number_that_is_written_reads_back_equal_and_no_shorter_text_would(void **state)
{
    struct dice d = {2};
    struct buf b;
    char shorter[40];

    (void)state;
    buf_init(&b, 100);
    for (int round = 0; round < 20000; round++) {
        const uint64_t bits = round % 4 == 0 ? dice_roll(&d) & 0x800fffffffffffff : dice_roll(&d);
        double x;
        size_t digits = 0, zeros = 0;

        memcpy(&x, &bits, sizeof x);
        if (round % 4 == 1)
            x = (double)dice_below(&d, 100000) / 1000;
        if (!isfinite(x) || x == 0)
            continue;
        buf_clear(&b);
        json_write_double(&b, x);
        assert_true(strtod(b.ptr, NULL) == x);
        for (const char *p = b.ptr; *p != '\0' && *p != 'e'; p++) { /* significant ones */
            if (*p < '0' || *p > '9' || (digits == 0 && *p == '0'))
                continue;
            digits++;
            zeros = *p == '0' ? zeros + 1 : 0;
        }
        digits -= zeros;
        if (digits > 1) {
            snprintf(shorter, sizeof shorter, "%.*e", (int)digits - 2, x);
            if (strtod(shorter, NULL) == x)
                fail_msg("%s is written for %s", b.ptr, shorter);
        }
    }
    buf_release(&b);
}

static void members_are_taken_with_their_type_and_range(void **state)
{
    json_t *o =
        parsed("{\"s\": \"text\", \"i\": 7, \"d\": 0.5, \"t\": true, \"n\": null, \"l\": []}");
    struct str s = {0};
    int64_t i = 0;
    double x = 0;
    bool b = false;
    struct error err = {0};

    (void)state;
    ASSERT_OK(json_get_str(o, "s", "job", &s, &err));
    ASSERT_STR(s, "text");
    ASSERT_OK(json_get_int(o, "i", "job", 1, 0, 7, &i, &err));
    assert_int_equal(i, 7);
    ASSERT_OK(json_get_double(o, "d", "job", 1, &x, &err));
    assert_true(x == 0.5);
    ASSERT_OK(json_get_double(o, "i", "job", 1, &x, &err)); /* a whole number is one, too */
    assert_true(x == 7);
    ASSERT_OK(json_get_bool(o, "t", "job", false, &b, &err));
    assert_true(b);
    static const char *const absent[] = {"none", "n"};
    for (size_t k = 0; k < 2; k++) { /* missing or null: the default */
        ASSERT_OK(json_get_int(o, absent[k], "job", -3, 0, 7, &i, &err));
        ASSERT_OK(json_get_double(o, absent[k], "job", 2.5, &x, &err));
        ASSERT_OK(json_get_bool(o, absent[k], "job", false, &b, &err));
        assert_true(i == -3 && x == 2.5 && !b);
    }
    ASSERT_FAILS(json_get_str(o, "none", "job", &s, &err), ERR_INVALID, "\"none\" is missing");
    ASSERT_FAILS(json_get_str(o, "i", "job", &s, &err), ERR_INVALID, "\"i\" is a number, a string");
    assert_string_equal(err.param, "i");
    ASSERT_FAILS(json_get_int(o, "i", "job", 1, 0, 6, &i, &err), ERR_INVALID, "expected 0 to 6");
    ASSERT_FAILS(json_get_int(o, "d", "job", 1, 0, 6, &i, &err), ERR_INVALID, "a whole number");
    ASSERT_FAILS(json_get_int(o, "s", "job", 1, 0, 6, &i, &err), ERR_INVALID, "is a string");
    ASSERT_FAILS(json_get_double(o, "t", "job", 1, &x, &err), ERR_INVALID, "is true or false");
    ASSERT_FAILS(json_get_bool(o, "l", "job", true, &b, &err), ERR_INVALID, "job: \"l\" is a list");
    assert_true(i == -3 && x == 2.5 && !b); /* untouched */
    ASSERT_STR(json_str(json_object_get(o, "l")), "");
    ASSERT_STR(json_str(NULL), "");
    assert_string_equal(json_kind(NULL), "nothing");
    json_decref(o);
}

static void a_file_is_named_in_its_errors(void **state)
{
    struct arena a = {0};
    char *dir = test_dir_make(&a), *path = file_join(&a, dir, "x.json");
    json_t *v = NULL;
    struct error err = {0};

    (void)state;
    ASSERT_FAILS(json_read_file(path, &v, &err), ERR_NOT_FOUND, path);
    ASSERT_OK(file_put(path, STR("{\"a\": [1, 2]}"), &err));
    ASSERT_OK(json_read_file(path, &v, &err));
    assert_written(v, NULL, "{\"a\":[1,2]}");
    json_decref(v);
    v = NULL;
    ASSERT_OK(file_put(path, STR("{\"a\": [1, 2}"), &err));
    ASSERT_FAILS(json_read_file(path, &v, &err), ERR_INVALID, path);
    assert_null(v);
    test_dir_remove(dir);
    arena_release(&a);
}

/* Where is differs from was, and the two values there. */
static void assert_differs(const char *was, const char *is, const char *path, const char *from,
                           const char *to)
{
    json_t *a = parsed(was), *b = parsed(is);
    struct json_difference d;

    assert_false(json_same(a, b));
    assert_true(json_difference(a, b, &d));
    assert_string_equal(d.path, path);
    assert_string_equal(json_show(d.was).text, from);
    assert_string_equal(json_show(d.is).text, to);
    json_decref(a);
    json_decref(b);
}

static void two_trees_differ_at_the_first_member_that_does(void **state)
{
    const char *deep = "{\"a\":1,\"b\":{\"c\":[1,{\"d\":2}],\"e\":null}}";
    json_t *a = parsed(deep), *b = parsed("{\"b\":{\"e\":null,\"c\":[1,{\"d\":2}]},\"a\":1}");
    struct json_difference d;

    (void)state;
    assert_true(json_same(a, b) && json_same(a, a) && json_same(NULL, NULL));
    assert_false(json_difference(a, b, &d));
    assert_false(json_difference(NULL, NULL, &d));
    assert_false(json_same(a, NULL) || json_same(NULL, a));
    assert_true(json_difference(a, NULL, &d));
    assert_true(d.path[0] == '\0' && d.was == a && d.is == NULL);
    json_decref(a);
    json_decref(b);
    assert_differs("1", "1.0", "", "1", "1.0");
    assert_differs("{}", "[]", "", "{}", "[]");
    assert_differs("{\"a\":1,\"b\":2}", "{\"b\":3,\"a\":4}", "a", "1", "4");
    assert_differs("{\"a\":1,\"b\":2}", "{\"b\":3,\"a\":1}", "b", "2", "3");
    assert_differs("{\"a\":{\"b\":1}}", "{\"a\":{}}", "a.b", "1", "nothing");
    assert_differs("{\"a\":{}}", "{\"a\":{\"b\":1}}", "a.b", "nothing", "1");
    assert_differs("{\"a\":null}", "{}", "a", "null", "nothing");
    assert_differs(deep, "{\"a\":1,\"b\":{\"c\":[1,{\"d\":3}],\"e\":null}}", "b.c", "[1,{\"d\":2}]",
                   "[1,{\"d\":3}]");
}

/* As deep as a text may be, with long names: the beginning of the path, and no character torn. */
static void a_long_path_is_cut_between_characters(void **state)
{
    struct buf text[2];
    json_t *side[2];
    struct json_difference d;

    (void)state;
    for (int i = 0; i < 2; i++) {
        buf_init(&text[i], 1 << 20);
        for (int k = 0; k < LIMIT_JSON_DEPTH; k++)
            buf_text(&text[i], "{\"x\xe2\x82\xac\":");
        buf_printf(&text[i], "%d", i);
        for (int k = 0; k < LIMIT_JSON_DEPTH; k++)
            buf_char(&text[i], '}');
        side[i] = parsed(text[i].ptr);
    }
    assert_true(json_difference(side[0], side[1], &d));
    assert_true(json_is_integer(d.was) && json_integer_value(d.is) == 1);
    const struct str path = str_of(d.path);
    assert_true(path.len < sizeof d.path && path.len > sizeof d.path - 8);
    assert_int_equal(utf8_valid(path), path.len);
    assert_true(str_starts(path, STR("x\xe2\x82\xac.x\xe2\x82\xac.x")));
    for (int i = 0; i < 2; i++) {
        json_decref(side[i]);
        buf_release(&text[i]);
    }
}

static void a_value_is_shown_in_short(void **state)
{
    char long_text[400] = "";
    json_t *v;

    (void)state;
    assert_string_equal(json_show(NULL).text, "nothing");
    v = parsed("{\"a\": [1.5, null, \"x\\ny\"]}");
    assert_string_equal(json_show(v).text, "{\"a\":[1.5,null,\"x\\ny\"]}");
    json_decref(v);
    for (int n = 97; n <= 100; n++) { /* with its quotes 99 bytes and more: 100 are shown whole */
        memset(long_text, 'x', (size_t)n);
        long_text[n] = '\0';
        v = json_string(long_text);
        const struct json_shown shown = json_show(v);
        assert_int_equal(strlen(shown.text), n + 2 <= 100 ? n + 2 : 103);
        assert_int_equal(str_ends(str_of(shown.text), STR("x...")), n + 2 > 100);
        json_decref(v);
    }
    memset(long_text, 'x', 98); /* behind the quote; a euro sign lies over the end */
    snprintf(long_text + 98, sizeof long_text - 98, "\xe2\x82\xac and more");
    v = json_string(long_text);
    const struct json_shown shown = json_show(v);
    assert_int_equal(strlen(shown.text), 99 + 3);
    assert_true(str_ends(str_of(shown.text), STR("x...")));
    json_decref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_json_is_refused_with_its_place),
        cmocka_unit_test(any_value_may_stand_alone_and_strings_may_hold_any_character),
        cmocka_unit_test(nesting_has_a_limit_that_brackets_in_strings_do_not_count_for),
        cmocka_unit_test(values_are_counted_before_there_is_a_tree),
        cmocka_unit_test(values_are_written_as_python_writes_them),
        cmocka_unit_test(bytes_that_are_no_utf8_become_replacement_characters),
        cmocka_unit_test(any_text_that_is_written_reads_back_the_same),
        cmocka_unit_test(numbers_have_python_s_shortest_digits),
        cmocka_unit_test(any_number_that_is_written_reads_back_equal_and_no_shorter_text_would),
        cmocka_unit_test(members_are_taken_with_their_type_and_range),
        cmocka_unit_test(a_file_is_named_in_its_errors),
        cmocka_unit_test(two_trees_differ_at_the_first_member_that_does),
        cmocka_unit_test(a_long_path_is_cut_between_characters),
        cmocka_unit_test(a_value_is_shown_in_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
