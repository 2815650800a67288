/*
 * buf_test.c - a buffer grows up to its greatest size, and not one byte further.
 */
#include "base/buf.h"
#include "base/size.h"
#include "support/support.h"

#include <string.h>

static void what_is_put_in_comes_out_in_order(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_view(&b).len, 0);
    assert_string_equal(buf_view(&b).ptr, ""); /* never NULL */
    buf_put(&b, "ab\0c", 4);
    buf_str(&b, STR("de"));
    buf_text(&b, "f");
    buf_char(&b, 'g');
    buf_printf(&b, "%d%s", 12, "h");
    buf_put(&b, NULL, 0);
    assert_int_equal(b.len, 11);
    assert_memory_equal(b.ptr, "ab\0cdefg12h", 12); /* the zero behind it, too */
    buf_clear(&b);
    assert_int_equal(buf_view(&b).len, 0);
    assert_string_equal(buf_view(&b).ptr, "");
    buf_text(&b, "again");
    ASSERT_STR(buf_view(&b), "again");
    buf_release(&b);
    buf_release(&b);
    buf_text(&b, "and after release");
    ASSERT_STR(buf_view(&b), "and after release");
    buf_release(&b);
    buf_release(&(struct buf){0});
}

static void each_is_replaced_from_left_to_right(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_replaced(&b, STR("aaa-a"), STR("aa"), STR("<>"));
    buf_replaced(&b, STR(""), STR("x"), STR("y"));
    buf_replaced(&b, STR("xx"), STR("x"), STR(""));
    assert_string_equal(buf_view(&b).ptr, "<>a-a");
    buf_release(&b);
}

static void the_greatest_size_is_met_exactly(void **state)
{
    struct buf b;
    struct error err = {0};

    (void)state;
    for (size_t most = 0; most < 200; most++) {
        buf_init(&b, most);
        for (size_t i = 0; i < most; i++)
            buf_char(&b, 'x');
        assert_int_equal(b.len, most);
        ASSERT_OK(buf_ok(&b, "the text", &err));
        buf_char(&b, 'y');
        assert_int_equal(b.len, most);
        ASSERT_FAILS(buf_ok(&b, "the text", &err), ERR_LIMIT, "the text is longer than");
        buf_put(&b, NULL, 0); /* once over, it stays so */
        assert_true(b.overflowed);
        buf_clear(&b);
        ASSERT_OK(buf_ok(&b, "the text", &err));
        buf_release(&b);
    }
}

static void what_does_not_fit_is_left_out_whole(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    buf_text(&b, "12345678");
    buf_text(&b, "abc");
    buf_printf(&b, "%d", 7); /* would fit, but comes after what did not */
    ASSERT_STR(buf_view(&b), "12345678");
    buf_release(&b);
    buf_init(&b, 5);
    buf_printf(&b, "%s", "123456");
    assert_true(b.overflowed && b.len == 0);
    buf_release(&b);
}

static void a_size_that_cannot_be_is_an_overflow_not_a_crash(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, SIZE_MAX);
    buf_text(&b, "x");
    buf_put(&b, "y", SIZE_MAX);
    assert_true(b.overflowed);
    assert_int_equal(b.len, 1);
    buf_release(&b);
}

static void a_megabyte_byte_by_byte_is_a_megabyte(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < 1 << 20; i++)
        buf_char(&b, (char)(i % 251));
    assert_false(b.overflowed);
    for (size_t i = 0; i < 1 << 20; i++)
        assert_int_equal((unsigned char)b.ptr[i], i % 251);
    assert_true(b.cap <= (1 << 20) + 1);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_in_comes_out_in_order),
        cmocka_unit_test(each_is_replaced_from_left_to_right),
        cmocka_unit_test(the_greatest_size_is_met_exactly),
        cmocka_unit_test(what_does_not_fit_is_left_out_whole),
        cmocka_unit_test(a_size_that_cannot_be_is_an_overflow_not_a_crash),
        cmocka_unit_test(a_megabyte_byte_by_byte_is_a_megabyte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
