/*
 * error_test.c - a failure has a kind, a field and one sentence, which stays whole UTF-8 when it is cut.
 */
#include "base/error.h"
#include "base/size.h"
#include "support/support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_utf8(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
        const size_t n = *p < 0x80 ? 1 : *p >= 0xF0 ? 4 : *p >= 0xE0 ? 3 : *p >= 0xC2 ? 2 : 0;

        if (n == 0)
            return false;
        for (size_t i = 1; i < n; i++)
            if ((p[i] & 0xC0) != 0x80)
                return false;
        p += n;
    }
    return true;
}

static void a_failure_is_told_and_false(void **state)
{
    struct error err = {.kind = ERR_IO, .param = "old", .message = "old"};

    (void)state;
    assert_false(fail(&err, ERR_CORRUPT, "byte %d", 7));
    assert_int_equal(err.kind, ERR_CORRUPT);
    assert_string_equal(err.param, "");
    assert_string_equal(err.message, "byte 7");
    assert_false(fail_param(&err, ERR_INVALID, "lora_rank", "rank %s", "x"));
    assert_int_equal(err.kind, ERR_INVALID);
    assert_string_equal(err.param, "lora_rank");
    assert_string_equal(err.message, "rank x");
}

static void what_was_being_done_is_put_in_front(void **state)
{
    struct error err;

    (void)state;
    fail_param(&err, ERR_LIMIT, "n", "too many");
    assert_false(fail_while(&err, "reading %s", "a.json"));
    assert_string_equal(err.message, "while reading a.json: too many");
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_string_equal(err.param, "n");
    assert_false(fail_while(&err, "starting"));
    assert_string_equal(err.message, "while starting: while reading a.json: too many");
}

static void a_message_may_be_made_of_the_one_before(void **state)
{
    struct error err;

    (void)state;
    fail(&err, ERR_IO, "inner");
    fail(&err, ERR_INVALID, "outer (%s)", err.message);
    assert_string_equal(err.message, "outer (inner)");
}

static void the_system_s_word_decides_the_kind(void **state)
{
    static const struct {
        int code;
        enum error_kind kind;
    } cases[] = {
        {ENOENT, ERR_NOT_FOUND}, {ENOMEM, ERR_NO_MEMORY}, {EACCES, ERR_IO}, {ENOSPC, ERR_IO}};
    struct error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        errno = cases[i].code;
        assert_false(fail_errno(&err, "cannot open %s", "x"));
        assert_int_equal(err.kind, cases[i].kind);
        assert_non_null(strstr(err.message, "cannot open x: "));
        assert_non_null(strstr(err.message, strerror(cases[i].code)));
    }
}

static void nobody_need_listen(void **state)
{
    (void)state;
    assert_false(fail(NULL, ERR_IO, "%d", 1));
    assert_false(fail_param(NULL, ERR_IO, "x", "%d", 1));
    assert_false(fail_while(NULL, "%d", 1));
    assert_false(fail_errno(NULL, "%d", 1));
}

/* Texts of characters of one to four bytes, at every length around every buffer's end. */
static void a_long_sentence_is_cut_at_a_whole_character(void **state)
{
    static const char *const letters[] = {"a", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    char text[900];
    struct error err;

    (void)state;
    for (size_t l = 0; l < COUNT_OF(letters); l++) {
        for (size_t shift = 0; shift < 4; shift++) {
            size_t n = shift;

            memset(text, 'x', shift);
            while (n + 4 < sizeof text) {
                memcpy(text + n, letters[l], strlen(letters[l]));
                n += strlen(letters[l]);
            }
            text[n] = '\0';
            fail_param(&err, ERR_INVALID, text, "%s", text);
            assert_true(is_utf8(err.message) && is_utf8(err.param));
            assert_true(strlen(err.message) >= sizeof err.message - 5);
            assert_true(strlen(err.param) >= sizeof err.param - 5);
            fail(&err, ERR_INVALID, "short");
            fail_while(&err, "%s", text);
            assert_true(is_utf8(err.message));
            assert_non_null(strstr(err.message, ": short"));
            fail_while(&err, "%s", text); /* now the end is cut, too */
            assert_true(is_utf8(err.message));
            errno = EACCES;
            fail_errno(&err, "%s", text);
            assert_true(is_utf8(err.message));
            assert_non_null(strstr(err.message, strerror(EACCES)));
        }
    }
}

static void every_kind_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = ERR_NONE; i <= ERR_UNSUPPORTED; i++)
        for (int j = ERR_NONE; j < i; j++)
            assert_string_not_equal(error_kind_name((enum error_kind)i),
                                    error_kind_name((enum error_kind)j));
    assert_string_equal(error_kind_name(ERR_NOT_FOUND), "not_found");
    assert_string_equal(error_kind_name((enum error_kind)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_told_and_false),
        cmocka_unit_test(what_was_being_done_is_put_in_front),
        cmocka_unit_test(a_message_may_be_made_of_the_one_before),
        cmocka_unit_test(the_system_s_word_decides_the_kind),
        cmocka_unit_test(nobody_need_listen),
        cmocka_unit_test(a_long_sentence_is_cut_at_a_whole_character),
        cmocka_unit_test(every_kind_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
