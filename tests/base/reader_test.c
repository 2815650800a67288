/*
 * reader_test.c - no byte is read past the end, whatever a length says; sums and products say when they do not fit.
 */
#include "base/reader.h"
#include "base/sha256.h"
#include "base/size.h"
#include "support/support.h"

#include <stdlib.h>

static void numbers_are_read_little_endian_at_any_address(void **state)
{
    static const uint8_t bytes[] = {9,    0xFE, 0x34, 0x12, 0x78, 0x56, 0x34, 0x92, 1,    2,
                                    3,    4,    5,    6,    7,    8,    0xFF, 0xFF, 0,    0,
                                    0x80, 0x3F, 0,    0,    0,    0,    0,    0,    0xF0, 0xBF};
    struct reader r = reader_of(bytes, sizeof bytes);

    (void)state;
    assert_int_equal(reader_u8(&r), 9);
    assert_int_equal(reader_i8(&r), -2);
    assert_int_equal(reader_u16(&r), 0x1234);
    assert_int_equal(reader_i32(&r), (int32_t)0x92345678);
    assert_true(reader_u64(&r) == 0x0807060504030201);
    assert_int_equal(reader_i16(&r), -1);
    assert_true(reader_f32(&r) == 1);
    assert_true(reader_f64(&r) == -1);
    assert_int_equal(r.pos, sizeof bytes);
    assert_false(r.failed);
    assert_int_equal(reader_u8(&r), 0);
    assert_true(r.failed);
}

static void after_a_short_read_it_stays_failed_and_gives_zeros(void **state)
{
    static const uint8_t bytes[] = {7, 8, 9};
    uint8_t *three = malloc(sizeof bytes); /* exactly: the sanitizer sees a fourth */

    (void)state;
    memcpy(three, bytes, sizeof bytes);
    struct reader r = reader_of(three, sizeof bytes);
    assert_int_equal(reader_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(r.pos, 0);
    assert_int_equal(reader_u8(&r), 0); /* although there are bytes */
    assert_null(reader_bytes(&r, 0));
    assert_int_equal(reader_str64(&r).len, 0);
    free(three);
}

static void a_length_that_wraps_is_only_a_short_read(void **state)
{
    static const uint64_t lengths[] = {4, 5, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    uint8_t bytes[12] = {0, 0, 0, 0, 0, 0, 0, 0, 't', 'e', 'x', 't'};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct reader r = reader_of(bytes, sizeof bytes);

        memcpy(bytes, &lengths[i], 8);
        const struct str s = reader_str64(&r);
        assert_int_equal(r.failed, i > 0);
        if (i == 0)
            ASSERT_STR(s, "text");
        else
            ASSERT_STR(s, "");
    }
    struct reader empty = reader_of(NULL, 0);
    assert_int_equal(reader_u8(&empty), 0);
    assert_true(empty.failed);
}

static void sizes_that_do_not_fit_are_told(void **state)
{
    size_t out = 5;

    (void)state;
    assert_true(size_mul(3, 4, &out) && out == 12);
    assert_true(size_mul(SIZE_MAX, 1, &out) && out == SIZE_MAX);
    assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_true(size_mul(0, SIZE_MAX, &out) && out == 0);
    assert_true(size_add(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
    assert_false(size_add(SIZE_MAX, 1, &out));
    assert_int_equal(size_min(2, 3), 2);
    assert_int_equal(size_max(2, 3), 3);
    assert_int_equal(size_round_up(0, 16), 0);
    assert_int_equal(size_round_up(1, 16), 16);
    assert_int_equal(size_round_up(16, 16), 16);
    assert_int_equal(size_round_up(17, 5), 20);
}

/* FIPS 180-2, appendix B, and the empty text. */
static void the_sums_of_known_texts_are_known(void **state)
{
    struct sha256_ctx ctx;

    (void)state;
    assert_string_equal(sha256_of("abc", 3).hex,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(sha256_of("", 0).hex,
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(
        sha256_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56).hex,
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    sha256_init(&ctx);
    for (int i = 0; i < 1000; i++) {
        char thousand[1000];

        memset(thousand, 'a', sizeof thousand);
        sha256_update(&ctx, sizeof thousand, (const uint8_t *)thousand);
    }
    assert_string_equal(sha256_finish(&ctx).hex,
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_little_endian_at_any_address),
        cmocka_unit_test(after_a_short_read_it_stays_failed_and_gives_zeros),
        cmocka_unit_test(a_length_that_wraps_is_only_a_short_read),
        cmocka_unit_test(sizes_that_do_not_fit_are_told),
        cmocka_unit_test(the_sums_of_known_texts_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
