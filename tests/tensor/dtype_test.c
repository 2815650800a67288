/*
 * dtype_test.c - packed values mean what the reference says, bit for bit, and halves convert exactly.
 */
#include "base/file.h"
#include "base/reader.h"
#include "base/sha256.h"
#include "support/numbers.h"
#include "support/support.h"
#include "tensor/dtype.h"
#include "text/json.h"

#include <math.h>
#include <stdlib.h>

static uint32_t bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* tests/golden/quants/quants.safetensors holds raw bytes (U8), which the product's reader rightly refuses. */
struct golden {
    struct arena arena;
    struct str file;
    json_t *header;
};

static int golden_open(void **state)
{
    static struct golden g;
    struct error err = {0};

    ASSERT_OK(file_read(golden_path(&g.arena, "quants/quants.safetensors"), 1 << 24, &g.arena,
                        &g.file, &err));
    struct reader r = reader_of(g.file.ptr, g.file.len);
    const struct str header = reader_str64(&r);
    assert_false(r.failed);
    ASSERT_OK(json_parse(header, "quants.safetensors", &g.header, &err));
    g.file = str_from(g.file, r.pos);
    *state = &g;
    return 0;
}

static int golden_close(void **state)
{
    struct golden *g = *state;

    json_decref(g->header);
    arena_release(&g->arena);
    return 0;
}

static struct str golden_bytes(const struct golden *g, const char *type, const char *what)
{
    char name[40];

    snprintf(name, sizeof name, "%s.%s", type, what);
    const json_t *offsets = json_object_get(json_object_get(g->header, name), "data_offsets");
    assert_int_equal(json_array_size(offsets), 2);
    const size_t from = (size_t)json_integer_value(json_array_get(offsets, 0));
    const size_t to = (size_t)json_integer_value(json_array_get(offsets, 1));
    assert_true(from < to && to <= g->file.len);
    return (struct str){g->file.ptr + from, to - from};
}

static void every_format_means_what_the_reference_says(void **state)
{
    const struct golden *g = *state;

    for (int t = DTYPE_F16; t < N_DTYPES; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        const struct str raw = golden_bytes(g, info->name, "raw");
        const struct str want = golden_bytes(g, info->name, "f32");
        const size_t n = want.len / sizeof(float);
        float *got = malloc(want.len);

        assert_int_equal(raw.len, dtype_bytes((enum dtype)t, n));
        dtype_to_f32((enum dtype)t, raw.ptr, n, got);
        for (size_t i = 0; i < n; i++) {
            float expected;

            memcpy(&expected, want.ptr + i * sizeof expected, sizeof expected);
            if (bits_of(got[i]) != bits_of(expected))
                fail_msg("%s, value %zu: %.9g, the reference has %.9g", info->name, i,
                         (double)got[i], (double)expected);
        }
        free(got);
    }
}

/* A block with each f16 that is finite as its scale, as sha256_of_all_scales in tools/golden/make_tiny.py makes it. */
static void hash_scale(enum dtype t, const size_t at[2], uint32_t bits, struct sha256_ctx *sha)
{
    const struct dtype_info *info = dtype_info(t);
    uint8_t block[256];
    float values[256];

    for (size_t i = 0; i < info->block_bytes; i++)
        block[i] =
            (uint8_t)((bits * (uint32_t)info->block_bytes + (uint32_t)i) * 2654435761u >> 13);
    if (t == DTYPE_MXFP4) {
        block[0] = (uint8_t)bits;
    } else {
        const uint16_t halves[2] = {(uint16_t)bits, (uint16_t)(bits ^ 0x83ff)};

        for (size_t s = 0; s < (info->has_min ? 2 : 1); s++)
            memcpy(block + at[s], &halves[s], sizeof *halves);
    }
    dtype_to_f32(t, block, info->block, values);
    sha256_update(sha, info->block * sizeof *values, (const void *)values);
}

static void every_scale_that_is_finite_means_what_the_reference_says(void **state)
{
    static const size_t at[N_DTYPES][2] = {
        [DTYPE_Q4_1] = {0, 2}, [DTYPE_Q5_1] = {0, 2},   [DTYPE_Q4_K] = {0, 2},
        [DTYPE_Q5_K] = {0, 2}, [DTYPE_Q2_K] = {80, 82}, [DTYPE_Q3_K] = {108},
        [DTYPE_Q6_K] = {208}};
    struct golden *g = *state;
    struct error err = {0};
    json_t *want = NULL;
    size_t n = 0;

    ASSERT_OK(json_read_file(golden_path(&g->arena, "quants/scales.json"), &want, &err));
    for (int t = 0; t < N_DTYPES; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        struct sha256_ctx sha;

        if (info->block == 1)
            continue;
        sha256_init(&sha);
        for (uint32_t bits = 0; bits < (t == DTYPE_MXFP4 ? 256 : 65536); bits++)
            if (t == DTYPE_MXFP4 || (bits & 0x7c00) != 0x7c00)
                hash_scale((enum dtype)t, at[t], bits, &sha);
        const char *is = json_string_value(json_object_get(want, info->name));
        assert_non_null(is);
        if (strcmp(is, sha256_finish(&sha).hex) != 0)
            fail_msg("%s: a scale means something else", info->name);
        n++;
    }
    assert_int_equal(n, json_object_size(want));
    json_decref(want);
}

static void every_byte_of_fp8_means_what_its_bits_say(void **state)
{
    (void)state;
    for (int b = 0; b < 256; b++) {
        const uint8_t byte = (uint8_t)b;
        const int exponent = b >> 3 & 15, fraction = b & 7;
        float x;

        dtype_to_f32(DTYPE_F8_E4M3, &byte, 1, &x);
        assert_int_equal(bits_of(x) >> 31, b >> 7);
        if ((b & 0x7f) == 0x7f)
            assert_true(isnan(x));
        else
            assert_true(fabs((double)x) ==
                        (exponent == 0 ? ldexp(fraction, -9) : ldexp(8 + fraction, exponent - 10)));
        dtype_to_f32(DTYPE_F8_E5M2, &byte, 1, &x);
        assert_int_equal(bits_of(x), bits_of(f16_to_f32((uint16_t)(b << 8))));
    }
}

static void a_row_of_fp8_is_times_the_factors_of_its_blocks(void **state)
{
    /* 3 rows of 5, blocks of 2 by 3 */
    static const float factors[] = {1, 10, 100, 1000};
    static const struct weight_scale scale = {.rows = 2, .cols = 3, .n_cols = 2, .s = factors};
    static const uint32_t order[] = {2, 0, 1};
    uint8_t one[15];
    float x[5];
    struct matrix_view m = {
        .dtype = DTYPE_F8_E4M3, .rows = 3, .cols = 5, .data = one, .scale = &scale};

    (void)state;
    memset(one, 0x38, sizeof one);
    for (size_t i = 0; i < 3; i++) {
        matrix_row_to_f32(&m, i, x);
        for (size_t k = 0; k < 5; k++)
            assert_true(x[k] == factors[i / 2 * 2 + k / 3]);
    }
    m.row_order = order;
    matrix_row_to_f32(&m, 0, x);
    assert_true(x[0] == 100 && x[4] == 1000);
    /* rows cut out of a matrix of several weights keep their factors */
    const struct matrix_view part = {.dtype = DTYPE_F8_E4M3,
                                     .rows = 1,
                                     .cols = 5,
                                     .data = one + 10,
                                     .scale = &scale,
                                     .scale_row = 2};
    matrix_row_to_f32(&part, 0, x);
    assert_true(x[0] == 100 && x[4] == 1000);
    m.scale = NULL;
    matrix_row_to_f32(&m, 0, x);
    assert_true(x[0] == 1 && x[4] == 1);
}

/* As OpenAI's gpt-oss is kept: e2m1 in pairs, exponents apart; here every other row of a matrix of two blocks a row. */
static void mxfp4_in_pairs_is_ggml_s(void **state)
{
    static const float e2m1[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    uint8_t pairs[6][2][16], exponents[6][2], room[2 * 17], again[17];
    float x[64], of_packed[64];
    struct dice d = {11};

    (void)state;
    for (size_t row = 0; row < 6; row++)
        for (size_t b = 0; b < 2; b++) {
            exponents[row][b] = (uint8_t)(row == 0 ? b : dice_below(&d, 254));
            for (size_t i = 0; i < 16; i++)
                pairs[row][b][i] = (uint8_t)dice_roll(&d);
        }
    for (size_t part = 0; part < 2; part++) {
        const struct matrix_view m = {.dtype = DTYPE_MXFP4,
                                      .rows = 3,
                                      .cols = 64,
                                      .data = pairs[part],
                                      .row_step = 2 * 64,
                                      .exponents = exponents[part]};

        for (size_t i = 0; i < 3; i++) {
            const size_t row = 2 * i + part;

            matrix_row_to_f32(&m, i, x);
            for (size_t k = 0; k < 64; k++) {
                const unsigned n = pairs[row][k / 32][k % 32 / 2] >> k % 2 * 4 & 15;
                const double is = ldexp((double)e2m1[n & 7], exponents[row][k / 32] - 127);

                assert_true((double)x[k] == (n & 8 ? -is : is));
            }
            assert_ptr_equal(matrix_row_packed(&m, i, room), room);
            dtype_to_f32(DTYPE_MXFP4, room, 64, of_packed);
            assert_memory_equal(of_packed, x, sizeof x);
            for (size_t k = 0; k < 16; k++) /* values 0, 1, ... are the low nibbles */
                again[1 + k] = (uint8_t)((pairs[row][0][k / 2] >> k % 2 * 4 & 15) |
                                         (pairs[row][0][8 + k / 2] >> k % 2 * 4 & 15) << 4);
            again[0] = exponents[row][0];
            assert_memory_equal(again, room, sizeof again);
        }
    }
}

static void rows_and_columns_may_lie_apart(void **state)
{
    static const float values[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}; /* 4 rows of 3 */
    static const uint32_t order[] = {1, 0};
    struct matrix_view m = {
        .dtype = DTYPE_F32, .rows = 2, .cols = 3, .data = values, .row_step = 6};
    float x[4], room[4];

    (void)state;
    matrix_row_to_f32(&m, 1, x); /* every other row */
    assert_true(x[0] == 6 && x[1] == 7 && x[2] == 8);
    m.row_order = order;
    matrix_row_to_f32(&m, 1, x);
    assert_true(x[0] == 0 && x[1] == 1 && x[2] == 2);
    m = (struct matrix_view){
        .dtype = DTYPE_F32, .rows = 3, .cols = 4, .data = values, .row_step = 1, .col_step = 3};
    assert_ptr_equal(matrix_row_packed(&m, 1, room), room); /* a column */
    assert_true(room[0] == 1 && room[1] == 4 && room[2] == 7 && room[3] == 10);
    m = (struct matrix_view){.dtype = DTYPE_F32, .rows = 4, .cols = 3, .data = values};
    assert_ptr_equal(matrix_row_packed(&m, 1, room), &values[3]);
    assert_true(matrix_is_plain(&m));
}

static void the_reference_s_own_quantisation_reads_back_within_its_step(void **state)
{
    static const enum dtype types[] = {DTYPE_F16,  DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0,
                                       DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1};
    const struct golden *g = *state;
    const struct str source = golden_bytes(g, "source", "f32");
    const size_t n = source.len / sizeof(float);
    float *x = malloc(source.len), *got = malloc(source.len);

    memcpy(x, source.ptr, source.len);
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        dtype_to_f32(types[k], golden_bytes(g, "source", dtype_info(types[k])->name).ptr, n, got);
        for (size_t from = 0; from < n; from += 32) {
            float least = x[from], most = x[from];

            for (size_t i = from; i < from + 32; i++) {
                least = fminf(least, x[i]);
                most = fmaxf(most, x[i]);
            }
            /* the coarsest, Q4_0, has steps of an eighth of the largest magnitude, and clips at one end */
            const float bound = 0.14f * fmaxf(fabsf(least), fabsf(most));
            for (size_t i = from; i < from + 32; i++)
                ASSERT_NEAR(got[i], x[i], bound);
        }
    }
    for (size_t i = 0; i < n; i++) { /* and ours narrows as the reference does */
        uint16_t h, b;

        memcpy(&h, golden_bytes(g, "source", "F16").ptr + 2 * i, 2);
        memcpy(&b, golden_bytes(g, "source", "BF16").ptr + 2 * i, 2);
        assert_int_equal(f32_to_f16(x[i]), h);
        assert_int_equal(f32_to_bf16(x[i]), b);
    }
    free(x);
    free(got);
}

static void bytes_may_stand_at_any_address(void **state)
{
    const struct golden *g = *state;

    for (int t = DTYPE_F32; t < N_DTYPES; t++) {
        const enum dtype type = (enum dtype)t;
        const size_t n = dtype_info(type)->block == 1 ? 128 : 256, size = dtype_bytes(type, n);
        const struct str raw = golden_bytes(g, t == DTYPE_F32 ? "Q8_0" : dtype_info(type)->name,
                                            t == DTYPE_F32 ? "f32" : "raw");
        char *shifted = malloc(size + 1);
        float even[256], odd[256];

        memcpy(shifted + 1, raw.ptr, size);
        dtype_to_f32(type, raw.ptr, n, even);
        dtype_to_f32(type, shifted + 1, n, odd);
        assert_memory_equal(even, odd, n * sizeof *even);
        dtype_to_f32(type, raw.ptr, 0, even); /* nothing is something to ask for, too */
        free(shifted);
    }
}

static void every_half_widens_exactly(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const uint32_t exponent = h >> 10 & 31, fraction = h & 1023, sign = h >> 15;
        const float x = f16_to_f32((uint16_t)h);
        double want;

        assert_int_equal(bits_of(x) >> 31, sign);
        if (exponent == 31 && fraction != 0) { /* payload and quiet bit are kept */
            assert_true(isnan(x));
            assert_int_equal(bits_of(x) & 0x7fffff, fraction << 13);
            continue;
        }
        if (exponent == 31)
            want = (double)INFINITY;
        else if (exponent == 0)
            want = ldexp(fraction, -24);
        else
            want = ldexp(1024 + fraction, (int)exponent - 25);
        if ((double)x != (sign ? -want : want))
            fail_msg("half %04x: %.9g, expected %.9g", h, (double)x, want);
        assert_int_equal(f32_to_f16(x), h);
    }
}

static void between_two_halves_the_nearer_wins_and_a_tie_goes_to_the_even_one(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7c00; h++) {
        const float low = f16_to_f32(h),
                    high = h == 0x7bff ? 65536.0f : f16_to_f32((uint16_t)(h + 1));
        const float middle = (low + high) / 2; /* exact: FP32 has 13 bits more */
        const uint16_t even = h & 1 ? (uint16_t)(h + 1) : h;

        assert_int_equal(f32_to_f16(middle), even);
        assert_int_equal(f32_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(f32_to_f16(-middle), even | 0x8000);
    }
    assert_int_equal(f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(f32_to_f16(of_bits(1)), 0); /* FP32's smallest */
    assert_int_equal(f32_to_f16(-0.0f), 0x8000);
    assert_int_equal(f32_to_f16(of_bits(0x7f800001)), 0x7e00); /* a NaN stays one, and quiet */
    assert_int_equal(f32_to_f16(of_bits(0xffc02000)), 0xfe01);
}

static void every_bfloat_widens_exactly_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float x = bf16_to_f32((uint16_t)h);

        assert_int_equal(bits_of(x), h << 16);
        assert_int_equal(f32_to_bf16(x), isnan(x) ? h | 0x40 : h);
        if ((h & 0x7fff) >= 0x7f80)
            continue;
        const uint32_t even = h & 1 ? h + 1 : h; /* the largest rounds up to infinity */
        assert_int_equal(f32_to_bf16(of_bits(h << 16 | 0x7fff)), h);
        assert_int_equal(f32_to_bf16(of_bits(h << 16 | 0x8000)), even);
        assert_int_equal(f32_to_bf16(of_bits(h << 16 | 0x8001)), h + 1);
    }
    assert_int_equal(f32_to_bf16(of_bits(0x7f800001)), 0x7fc0); /* not rounded to infinity */
    assert_int_equal(f32_to_bf16(of_bits(0xffffffff)), 0xffff);
}

static void sizes_are_those_of_whole_blocks(void **state)
{
    (void)state;
    assert_int_equal(dtype_bytes(DTYPE_F32, 3), 12);
    assert_int_equal(dtype_bytes(DTYPE_BF16, 3), 6);
    assert_int_equal(dtype_bytes(DTYPE_Q8_0, 64), 68);
    assert_int_equal(dtype_bytes(DTYPE_Q4_0, 64), 36);
    assert_int_equal(dtype_bytes(DTYPE_Q4_1, 64), 40);
    assert_int_equal(dtype_bytes(DTYPE_Q6_K, 512), 420);
    assert_int_equal(dtype_bytes(DTYPE_Q4_K, 512), 288);
    assert_int_equal(dtype_bytes(DTYPE_Q5_K, 512), 352);
    assert_int_equal(dtype_bytes(DTYPE_MXFP4, 64), 34);
    assert_int_equal(dtype_bytes(DTYPE_Q4_K, 0), 0);
}

static void rows_follow_their_order(void **state)
{
    (void)state;
    static const float values[3][2] = {{1, 2}, {3, 4}, {5, 6}};
    static const uint32_t order[] = {2, 0, 1};
    struct matrix_view m = {.dtype = DTYPE_F32, .rows = 3, .cols = 2, .data = values};

    assert_ptr_equal(matrix_row(&m, 1), values[1]);
    m.row_order = order;
    assert_ptr_equal(matrix_row(&m, 0), values[2]);
    assert_ptr_equal(matrix_row(&m, 2), values[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_means_what_the_reference_says),
        cmocka_unit_test(every_scale_that_is_finite_means_what_the_reference_says),
        cmocka_unit_test(every_byte_of_fp8_means_what_its_bits_say),
        cmocka_unit_test(a_row_of_fp8_is_times_the_factors_of_its_blocks),
        cmocka_unit_test(mxfp4_in_pairs_is_ggml_s),
        cmocka_unit_test(rows_and_columns_may_lie_apart),
        cmocka_unit_test(the_reference_s_own_quantisation_reads_back_within_its_step),
        cmocka_unit_test(bytes_may_stand_at_any_address),
        cmocka_unit_test(every_half_widens_exactly),
        cmocka_unit_test(between_two_halves_the_nearer_wins_and_a_tie_goes_to_the_even_one),
        cmocka_unit_test(every_bfloat_widens_exactly_and_comes_back),
        cmocka_unit_test(sizes_are_those_of_whole_blocks),
        cmocka_unit_test(rows_follow_their_order),
    };
    return cmocka_run_group_tests(tests, golden_open, golden_close);
}
