#include "server/http_query.h"

#include "server/http_multipart.h"
#include "support/support.h"

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])

static void a_target_is_a_path_and_a_query(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query; /* path NULL: refused */
    } cases[] = {
        {"/", "/", ""},
        {"/v1/files?limit=2", "/v1/files", "limit=2"},
        {"/a?b?c", "/a", "b?c"},
        {"/a%2Fb", "/a%2Fb", ""},
        {"//a", "//a", ""},
        {"*", "*", ""},
        {"http://h/a?b", "/a", "b"},
        {"HTTPS://h:1", "/", ""},
        {"http://h?b", "/", "b"},
        {"/\xc3\xbc", "/\xc3\xbc", ""},
        {"", NULL, NULL},
        {"a", NULL, NULL},
        {"**", NULL, NULL},
        {"http://", NULL, NULL},
        {"http:///a", NULL, NULL},
        {"ftp://h/a", NULL, NULL},
        {"h:443", NULL, NULL},
        {"/a b", NULL, NULL},
        {"/a\tb", NULL, NULL},
        {"/a#b", NULL, NULL},
        {"/\x7f", NULL, NULL},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str path, query;
        const bool ok = http_split_target(str_of(cases[i].target), &path, &query);

        if (ok != (cases[i].path != NULL))
            fail_msg("\"%s\" is %s", cases[i].target, ok ? "taken" : "refused");
        if (ok) {
            ASSERT_STR(path, cases[i].path);
            ASSERT_STR(query, cases[i].query);
        }
    }
}

static void escapes_are_decoded_once_and_only_whole(void **state)
{
    (void)state;
    struct arena a = {0};
    struct str out = STR("as it was");

    assert_true(http_decode(STR("a%2Fb+c%252F%C3%BC"), false, &a, &out));
    ASSERT_STR(out, "a/b+c%2Fü");
    assert_true(http_decode(STR("a+b%2b"), true, &a, &out));
    ASSERT_STR(out, "a b+");
    assert_true(http_decode(STR(""), false, &a, &out));
    assert_int_equal(out.len, 0);
    static const char *const broken[] = {"%",   "a%",  "%1",  "%g1",      "%1g",
                                         "%00", "%ff", "%C3", "%ED%A0%80"};
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        if (http_decode(str_of(broken[i]), false, &a, &out))
            fail_msg("%s is decoded", broken[i]);
    assert_false(http_decode((struct str){"a\0b", 3}, false, &a, &out));
    arena_release(&a);
}

static void a_query_is_pairs_in_order(void **state)
{
    (void)state;
    struct arena a = {0};
    struct http_pair *p = NULL;
    size_t n = 0;

    assert_true(http_split_query(STR("&a=1&&b&=c&d=e=f&a=2&"), 10, &a, &p, &n));
    assert_int_equal(n, 5);
    ASSERT_STR(p[1].name, "b");
    ASSERT_STR(p[1].value, "");
    ASSERT_STR(p[2].name, "");
    ASSERT_STR(p[3].value, "e=f");
    const struct http_exchange x = {.query = p, .n_query = n};
    ASSERT_STR(http_query(&x, "a"), "1");
    assert_null(http_query(&x, "A").ptr);
    assert_true(http_query(&x, "b").ptr != NULL);
    assert_true(http_split_query(STR(""), 10, &a, &p, &n));
    assert_int_equal(n, 0);
    assert_true(http_split_query(STR("a&b&c"), 3, &a, &p, &n));
    assert_false(http_split_query(STR("a&b&c&d"), 3, &a, &p, &n));
    assert_false(http_split_query(STR("a=%"), 3, &a, &p, &n));
    arena_release(&a);
}

static void a_length_is_digits_that_fit(void **state)
{
    (void)state;
    uint64_t n = 7;

    assert_true(http_read_length(STR("18446744073709551615"), &n) && n == UINT64_MAX);
    assert_true(http_read_length(STR("007"), &n) && n == 7);
    static const char *const broken[] = {
        "", "18446744073709551616", "99999999999999999999", "-1", "+1", "1 ", "0x1", "1,1"};
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        assert_false(http_read_length(str_of(broken[i]), &n));
    assert_int_equal(n, 7);
}

static void a_parameter_is_found_in_quotes_or_not(void **state)
{
    (void)state;
    struct arena a = {0};
    static const struct {
        const char *header, *value; /* value NULL: there is none; "!": it is broken */
    } cases[] = {
        {"form-data; name=\"file\"; filename=\"a b.jsonl\"", "file"},
        {"form-data;name=file", "file"},
        {"form-data; NAME = file ; x=y", "file"},
        {"form-data; name=\"\"", ""},
        {"form-data; name=\"a;b\\\"c\\\\\"", "a;b\"c\\"},
        {"form-data; name=\"%22%0d%0A%25\"", "\"\r\n%25"},
        {"form-data; filename=\"name=x\"", NULL},
        {"form-data; name2=x", NULL},
        {"form-data", NULL},
        {"form-data;", NULL},
        {"form-data; name=\"open", "!"},
        {"form-data; name", "!"},
        {"form-data; name=a; name=b", "!"},
        {"form-data; name=\"a\"b", "!"},
        {"form-data; =a", "!"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str out = {0};
        const bool ok = header_parameter(str_of(cases[i].header), "name", &a, &out);
        const char *want = cases[i].value;

        if (ok != (want == NULL || strcmp(want, "!") != 0))
            fail_msg("%s is %s", cases[i].header, ok ? "taken" : "refused");
        if (ok && want == NULL && out.ptr != NULL)
            fail_msg("%s has the name " STR_FMT, cases[i].header, STR_ARG(out));
        if (ok && want != NULL)
            ASSERT_STR(out, want);
    }
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_a_path_and_a_query),
        cmocka_unit_test(escapes_are_decoded_once_and_only_whole),
        cmocka_unit_test(a_query_is_pairs_in_order),
        cmocka_unit_test(a_length_is_digits_that_fit),
        cmocka_unit_test(a_parameter_is_found_in_quotes_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
