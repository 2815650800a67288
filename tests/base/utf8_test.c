/*
 * utf8_test.c - validity to the letter of the standard, and streams that never tear a character.
 */
#include "base/philox.h"
#include "base/size.h"
#include "base/utf8.h"
#include "support/support.h"

#include <stdlib.h>

static size_t valid(const char *bytes, size_t n)
{
    return utf8_valid((struct str){bytes, n});
}

static void characters_at_the_borders_are_valid(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\x7F",
                                       "\xC2\x80",
                                       "\xDF\xBF",
                                       "\xE0\xA0\x80",
                                       "\xED\x9F\xBF",
                                       "\xEE\x80\x80",
                                       "\xEF\xBF\xBF",
                                       "\xF0\x90\x80\x80",
                                       "\xF4\x8F\xBF\xBF"};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(valid(good[i], strlen(good[i])), strlen(good[i]));
    assert_int_equal(valid("a\0b", 3), 3);
}

static void what_no_character_is_made_of_ends_the_valid_part(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",             /* a continuation alone */
        "\xC1\xBF",         /* overlong */
        "\xE0\x9F\xBF",     /* overlong */
        "\xF0\x8F\xBF\xBF", /* overlong */
        "\xED\xA0\x80",     /* a surrogate */
        "\xF4\x90\x80\x80", /* past U+10FFFF */
        "\xF5\x80\x80\x80",
        "\xFF",
        "\xC2",
        "\xE2\x82",
        "\xF0\x9F\x98",
        "\xC2"
        "a",
        "\xE2\x82"
        "a",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf b;

        buf_init(&b, 100);
        buf_printf(&b, "twelve bytes%s", bad[i]);
        assert_int_equal(utf8_valid(buf_view(&b)), 12);
        buf_release(&b);
    }
}

static void every_code_point_is_written_and_read_back(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[4];
        const struct str s = {bytes, utf8_write(c, bytes)};
        size_t at = 0;

        if (c >= 0xD800 && c < 0xE000)
            continue;
        assert_int_equal(utf8_valid(s), s.len);
        assert_int_equal(utf8_next(s, &at), c);
        assert_int_equal(at, s.len);
        assert_int_equal(utf8_before(s, s.len), 0);
    }
}

static void stream_all(struct str bytes, size_t step, struct buf *out)
{
    struct utf8_stream s = {0};

    buf_clear(out);
    for (size_t i = 0; i < bytes.len; i += step) {
        const size_t n = bytes.len - i < step ? bytes.len - i : step;

        utf8_stream_put(&s, (struct str){bytes.ptr + i, n}, out);
        assert_true(s.n_held < 4);
        assert_int_equal(utf8_valid(buf_view(out)), out->len);
    }
    utf8_stream_end(&s, out);
    assert_int_equal(s.n_held, 0);
}

/* R stands for U+FFFD in what is expected. */
static void each_longest_beginning_of_a_character_becomes_one_replacement(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *want;
    } cases[] = {
        {"abc", "abc"},
        {"\xE2\x82\xAC", "\xE2\x82\xAC"},
        {"\x80", "R"},
        {"\x80\x80", "RR"},
        {"\xC0\x80", "RR"},
        {"\xC2", "R"},
        {"\xC2"
         "a",
         "Ra"},
        {"\xE2\x82", "R"},
        {"\xE2\x82"
         "a",
         "Ra"},
        {"\xE2\x82\xE2\x82\xAC", "R\xE2\x82\xAC"},
        {"\xF0\x9F\x98", "R"},
        {"\xF0\x9F\x98\xF0", "RR"},
        {"\xF0\x80\x80\x80", "RRRR"},
        {"\xED\xA0\x80", "RRR"},
        {"\xF4\x90\x80\x80", "RRRR"},
        {"\xE0\x80\xAF", "RRR"},
        {"\xF0\x90\x80", "R"},
        {"\xF0\x90\xC3\xA9", "R\xC3\xA9"},
        {"a\xFFz", "aRz"},
    };
    struct buf out, want;

    buf_init(&out, 1000);
    buf_init(&want, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&want);
        for (const char *p = cases[i].want; *p != '\0'; p++) {
            if (*p == 'R')
                buf_text(&want, "\xEF\xBF\xBD");
            else
                buf_char(&want, *p);
        }
        for (size_t step = 1; step < 5; step++) {
            stream_all(str_of(cases[i].bytes), step, &out);
            if (!str_eq(buf_view(&out), buf_view(&want)))
                fail_msg("case %zu in steps of %zu bytes: %s", i, step, out.ptr);
        }
    }
    buf_release(&out);
    buf_release(&want);
}

static void random_bytes_give_the_same_however_they_are_cut(void **state)
{
    (void)state;
    static const unsigned char mean[] = {'a',  0x80, 0xBF, 0xC2, 0xE0, 0xA0, 0xED,
                                         0x9F, 0xF0, 0x90, 0xF4, 0x8F, 0xFF};
    struct buf whole, out;

    buf_init(&whole, 1000);
    buf_init(&out, 1000);
    for (uint32_t i = 0; i < 20000; i++) {
        char bytes[24];

        for (uint32_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (char)mean[philox_below(1, PHILOX_TEST, i, k, sizeof mean)];
        stream_all((struct str){bytes, sizeof bytes}, sizeof bytes, &whole);
        stream_all((struct str){bytes, sizeof bytes}, 1 + i % 5, &out);
        assert_true(str_eq(buf_view(&whole), buf_view(&out)));
    }
    buf_release(&whole);
    buf_release(&out);
}

static void a_cut_tears_no_character(void **state)
{
    const struct str s = STR("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"); /* of 1, 2, 3 and 4 bytes */
    static const size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};

    (void)state;
    for (size_t most = 0; most < COUNT_OF(whole); most++) {
        const struct str first = utf8_cut(s, most);

        assert_int_equal(first.len, whole[most]);
        assert_ptr_equal(first.ptr, s.ptr);
    }
    assert_int_equal(utf8_cut(STR("\x80\x80\x80\x80\x80\x80"), 5).len, 2); /* bytes that are none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_at_the_borders_are_valid),
        cmocka_unit_test(what_no_character_is_made_of_ends_the_valid_part),
        cmocka_unit_test(every_code_point_is_written_and_read_back),
        cmocka_unit_test(each_longest_beginning_of_a_character_becomes_one_replacement),
        cmocka_unit_test(random_bytes_give_the_same_however_they_are_cut),
        cmocka_unit_test(a_cut_tears_no_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
