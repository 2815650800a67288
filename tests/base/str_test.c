/*
 * str_test.c - views of text, whatever bytes they hold, none at all included.
 */
#include "base/str.h"
#include "support/support.h"

static const struct str nothing = {NULL, 0};

static void views_are_compared_by_their_bytes(void **state)
{
    (void)state;
    assert_true(str_eq(STR("a\0b"), (struct str){"a\0bc", 3}));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_false(str_eq(STR("a"), STR("ab")));
    assert_true(str_eq(nothing, STR("")));
    assert_true(str_is(STR("abc"), "abc"));
    assert_false(str_is(STR("abc"), "ab"));
    assert_false(str_is(STR("a\0"), "a"));
    assert_true(str_of(NULL).len == 0);
    assert_int_equal(str_of("four").len, 4);
}

static void beginnings_and_ends_are_found(void **state)
{
    (void)state;
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_true(str_starts(STR("abc"), STR("abc")));
    assert_false(str_starts(STR("abc"), STR("abcd")));
    assert_false(str_starts(STR("abc"), STR("b")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_false(str_ends(STR("abc"), STR("ab")));
    assert_false(str_ends(STR("abc"), STR("0abc")));
    assert_true(str_starts(STR("abc"), nothing) && str_ends(STR("abc"), nothing));
    assert_true(str_starts(nothing, nothing) && str_ends(nothing, nothing));
    assert_false(str_starts(nothing, STR("a")) || str_ends(nothing, STR("a")));
    ASSERT_STR(str_from(STR("abc"), 1), "bc");
    ASSERT_STR(str_from(STR("abc"), 3), "");
}

static void blanks_at_the_ends_are_trimmed(void **state)
{
    (void)state;
    ASSERT_STR(str_trim(STR(" \ta b\t "), " \t"), "a b");
    ASSERT_STR(str_trim(STR("\na\n"), " \t"), "\na\n");
    ASSERT_STR(str_trim(STR("a"), " "), "a");
    ASSERT_STR(str_trim(STR(" a "), ""), " a ");
    assert_int_equal(str_trim(STR(" \t "), " \t").len, 0);
    assert_int_equal(str_trim(STR("\0a\0"), " ").len, 3); /* what ends blanks is none of them */
    assert_int_equal(str_trim(nothing, " ").len, 0);
}

static void a_needle_is_found_at_or_after_a_place(void **state)
{
    const struct str s = STR("abcabc");

    (void)state;
    assert_int_equal(str_find(s, STR("bc"), 0), 1);
    assert_int_equal(str_find(s, STR("bc"), 1), 1);
    assert_int_equal(str_find(s, STR("bc"), 2), 4);
    assert_int_equal(str_find(s, STR("bc"), 5), 6);
    assert_int_equal(str_find(s, STR("x"), 0), 6);
    assert_int_equal(str_find(s, STR("abcabcabc"), 0), 6);
    assert_int_equal(str_find(s, STR("c"), 100), 6);
    assert_int_equal(str_find(s, STR(""), 3), 3);
    assert_int_equal(str_find(s, STR(""), 6), 6);
    assert_int_equal(str_find(s, STR(""), 7), 6);
    assert_int_equal(str_find(nothing, STR("a"), 0), 0);
    assert_int_equal(str_find(nothing, nothing, 0), 0);
    assert_int_equal(str_find(STR("a\0b\0c"), STR("\0c"), 0), 3);
}

/* Each of these differs from all others in its length, or in one byte at some place. */
static void texts_that_differ_have_other_hashes(void **state)
{
    static uint64_t seen[24 * 25];
    char text[24];
    size_t n = 0;

    (void)state;
    for (size_t len = 0; len < sizeof text; len++) {
        for (size_t at = 0; at <= len; at++) {
            memset(text, 'a', sizeof text);
            if (at < len)
                text[at] = 'b';
            seen[n++] = str_hash((struct str){text, len});
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(seen[i] != seen[k]);
    assert_true(str_hash(STR("the same")) == str_hash(STR("the same")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_differ_have_other_hashes),
        cmocka_unit_test(views_are_compared_by_their_bytes),
        cmocka_unit_test(beginnings_and_ends_are_found),
        cmocka_unit_test(blanks_at_the_ends_are_trimmed),
        cmocka_unit_test(a_needle_is_found_at_or_after_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
