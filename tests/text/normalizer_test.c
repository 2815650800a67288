/*
 * normalizer_test.c - the four forms, in time that does not depend on how hostile the text is.
 */
#include "support/support.h"
#include "text/normalizer.h"

#include <stdlib.h>

static void assert_form(enum normal_form form, const char *text, const char *want)
{
    struct normalizer n = {0};
    struct str out;
    struct error err;

    ASSERT_OK(normalize(&n, form, str_of(text), &out, &err));
    ASSERT_STR(out, want);
    normalizer_release(&n);
}

static void the_examples_of_the_standard_hold(void **state)
{
    (void)state;
    /* e + acute; A with ring; Angstrom sign; long s with dot above and dot below */
    assert_form(NORMAL_NFC, "e\u0301", "\u00e9");
    assert_form(NORMAL_NFD, "\u00e9", "e\u0301");
    assert_form(NORMAL_NFC, "\u212b", "\u00c5");
    assert_form(NORMAL_NFC, "\u1e9b\u0323", "\u1e9b\u0323");
    assert_form(NORMAL_NFD, "\u1e9b\u0323", "\u017f\u0323\u0307");
    assert_form(NORMAL_NFKC, "\u1e9b\u0323", "\u1e69");
    assert_form(NORMAL_NFKD, "\u1e9b\u0323", "s\u0323\u0307");
    assert_form(NORMAL_NFKC, "\ufb01\u00b2\u00bd", "fi21\u20442");
    assert_form(NORMAL_NFC, "\ufb01\u00b2", "\ufb01\u00b2");
    assert_form(NORMAL_NONE, "e\u0301", "e\u0301");
}

static void marks_are_ordered_by_class_and_keep_their_order_within(void **state)
{
    (void)state;
    assert_form(NORMAL_NFD, "a\u0301\u0323\u0308", "a\u0323\u0301\u0308");
    assert_form(NORMAL_NFC, "a\u0301\u0323\u0308", "\u1ea1\u0301\u0308");
    assert_form(NORMAL_NFC, "x \u0301\u0323y e\u0301z", "x \u0323\u0301y \u00e9z");
    assert_form(NORMAL_NFC, "\u0301\u0323", "\u0323\u0301");
}

static void hangul_is_composed_and_u11a7_is_kept(void **state)
{
    (void)state;
    assert_form(NORMAL_NFC, "\u1100\u1161\u11a8", "\uac01");
    assert_form(NORMAL_NFD, "\uac01", "\u1100\u1161\u11a8");
    assert_form(NORMAL_NFC, "\u110a\u1163\u11a7 \n", "\uc330\u11a7 \n");
}

static void forms_after_one_another_are_one_form(void **state)
{
    (void)state;
    assert_int_equal(normal_form_then(NORMAL_NONE, NORMAL_NFD), NORMAL_NFD);
    assert_int_equal(normal_form_then(NORMAL_NFD, NORMAL_NONE), NORMAL_NFD);
    assert_int_equal(normal_form_then(NORMAL_NFD, NORMAL_NFC), NORMAL_NFC);
    assert_int_equal(normal_form_then(NORMAL_NFKD, NORMAL_NFC), NORMAL_NFKC);
    assert_int_equal(normal_form_then(NORMAL_NFC, NORMAL_NFKD), NORMAL_NFKD);
    assert_int_equal(normal_form_then(NORMAL_NFKC, NORMAL_NFD), NORMAL_NFKD);
}

static void text_that_needs_nothing_is_given_back_itself(void **state)
{
    (void)state;
    struct normalizer n = {0};
    const struct str text = STR("plain, na\u00efve");
    struct str out;
    struct error err;

    ASSERT_OK(normalize(&n, NORMAL_NFC, text, &out, &err));
    assert_ptr_equal(out.ptr, text.ptr);
    ASSERT_OK(normalize(&n, NORMAL_NFC, STR(""), &out, &err));
    assert_int_equal(out.len, 0);
    normalizer_release(&n);
}

static void a_megabyte_of_alternating_marks_takes_no_time(void **state)
{
    (void)state;
    struct normalizer n = {0};
    const size_t pairs = 250000;
    char *text = malloc(4 * pairs + 1);
    struct str out;
    struct error err;

    text[0] = 'a';
    for (size_t i = 0; i < pairs; i++)
        memcpy(text + 1 + 4 * i, "\u0301\u0323",
               4); /* in the wrong order, each pair and all of them */
    ASSERT_OK(normalize(&n, NORMAL_NFD, (struct str){text, 4 * pairs + 1}, &out, &err));
    assert_int_equal(out.len, 4 * pairs + 1);
    assert_memory_equal(out.ptr + 1, "\u0323\u0323", 4);
    assert_memory_equal(out.ptr + out.len - 4, "\u0301\u0301", 4);
    free(text);
    normalizer_release(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_standard_hold),
        cmocka_unit_test(marks_are_ordered_by_class_and_keep_their_order_within),
        cmocka_unit_test(hangul_is_composed_and_u11a7_is_kept),
        cmocka_unit_test(forms_after_one_another_are_one_form),
        cmocka_unit_test(text_that_needs_nothing_is_given_back_itself),
        cmocka_unit_test(a_megabyte_of_alternating_marks_takes_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
