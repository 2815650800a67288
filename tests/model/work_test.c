/*
 * work_test.c - what a pass takes at least, against sums made by hand for the tiny model: L 3, C 64, H 4, K 2, D 16, F 96, V 320.
 */
#include "model/work.h"
#include "support/rig.h"

/* A layer's matrices: q and o 64 x 64, k and v 32 x 64, gate, up and down 96 x 64. */
#define LAYER (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64)
#define WEIGHTS (3 * LAYER)
#define FIRST_QKV (64 * 64 + 2 * 32 * 64) /* of the first layer, whose input needs no gradient */
#define HEAD (320 * 64)
#define ADAPTER (3 * (128 + 96 + 96 + 128 + 160 + 160 + 160)) /* for each of its rank */

static const struct work_rows some = {.rows = 5, .seen = 15, .logits = 2, .read = 7, .rank = 4};

static void forward_is_counted(void **state)
{
    struct rig r;

    (void)state;
    rig_open_tiny(&r);
    const struct work w = work_forward(r.model, &some);

    ASSERT_NEAR(w.f32,
                2.0 * 5 * WEIGHTS + 4.0 * 3 * 64 * 15 + 2.0 * 5 * 4 * ADAPTER + 2.0 * 2 * HEAD, 0);
    ASSERT_NEAR(w.int8, 0, 0);
    ASSERT_NEAR(w.bytes, 4.0 * (WEIGHTS + HEAD) + 7.0 * 2 * 3 * 2 * 16 * 4, 0);
    rig_close(&r);
}

static void backward_is_counted(void **state)
{
    struct rig r;

    (void)state;
    rig_open_tiny(&r);
    const struct work w = work_backward(r.model, &some);

    ASSERT_NEAR(w.f32,
                2.0 * 5 * (WEIGHTS - FIRST_QKV) + 8.0 * 3 * 64 * 15 + 4.0 * 5 * 4 * ADAPTER +
                    2.0 * 2 * HEAD,
                0);
    ASSERT_NEAR(w.int8, 0, 0);
    rig_close(&r);
}

/* In two layers each row sees and reads 4 positions at most. */
static void a_window_bounds_what_is_seen(void **state)
{
    const struct work_rows far = {.rows = 5, .seen = 500, .read = 100},
                           near = {.rows = 5, .seen = 15};
    struct rig r;

    (void)state;
    rig_open_tiny(&r);
    const double all = work_forward(r.model, &far).f32, few = work_forward(r.model, &near).f32,
                 back = work_backward(r.model, &far).f32, bytes = work_forward(r.model, &far).bytes;
    r.model->config.window = 4;
    r.model->config.layers[0].windowed = r.model->config.layers[2].windowed = true;
    ASSERT_NEAR(all - work_forward(r.model, &far).f32, 4.0 * 2 * 64 * (500 - 20), 0);
    ASSERT_NEAR(back - work_backward(r.model, &far).f32, 8.0 * 2 * 64 * (500 - 20), 0);
    ASSERT_NEAR(bytes - work_forward(r.model, &far).bytes, (100.0 - 20) * 2 * 2 * 2 * 16 * 4, 0);
    ASSERT_NEAR(work_forward(r.model, &near).f32, few, 0);
    rig_close(&r);
}

static void nothing_is_read_for_nothing(void **state)
{
    const struct work_rows none = {0}, logits = {.logits = 1};
    struct rig r;

    (void)state;
    rig_open_tiny(&r);
    ASSERT_NEAR(work_forward(r.model, &none).bytes, 0, 0);
    ASSERT_NEAR(work_backward(r.model, &none).f32, 0, 0);
    ASSERT_NEAR(work_forward(r.model, &logits).bytes, 4.0 * HEAD, 0);
    rig_close(&r);
}

/* In int8 the products with weights move from floats to bytes, on the way back to bfloats, and nothing else does. */
static void products_of_bytes_are_told_apart(void **state)
{
    struct rig r = {0};

    (void)state;
    rig_open(&r, golden_path(&r.arena, "tiny/tiny-q4_1.gguf"));
    const bool whole_head = packed_is_whole(&r.model->head);
    const struct work f32 = work_forward(r.model, &some), back = work_backward(r.model, &some);
    r.model->precision = PRECISION_INT8;
    const struct work int8 = work_forward(r.model, &some);

    ASSERT_NEAR(f32.int8 + f32.int8_wide, 0, 0);
    ASSERT_NEAR(int8.int8, 2.0 * 5 * WEIGHTS, 0);
    ASSERT_NEAR(int8.int8_wide, whole_head ? 2.0 * 2 * HEAD : 0, 0);
    ASSERT_NEAR(int8.f32 + int8.int8 + int8.int8_wide, f32.f32, 0);
    ASSERT_NEAR(int8.bytes, f32.bytes, 0);
    ASSERT_NEAR(back.bf16 + int8.bf16, 0, 0);
    const struct work rounded = work_backward(r.model, &some);
    ASSERT_NEAR(rounded.bf16, 2.0 * 5 * (WEIGHTS - FIRST_QKV) + (whole_head ? 2.0 * 2 * HEAD : 0),
                0);
    ASSERT_NEAR(rounded.f32 + rounded.bf16, back.f32, 0);
    ASSERT_NEAR(rounded.int8 + rounded.int8_wide, 0, 0);
    rig_close(&r);
}

/* Weights of eight bits are products of their own kind; none is counted twice. */
static void weights_of_eight_bits_are_told_apart(void **state)
{
    struct rig r = {0};

    (void)state;
    rig_open(&r, golden_path(&r.arena, "tiny/tiny-q8_0.gguf"));
    const double f32 = work_forward(r.model, &some).f32;
    r.model->precision = PRECISION_INT8;
    const struct work w = work_forward(r.model, &some);

    ASSERT_NEAR(w.int8, 0, 0);
    ASSERT_NEAR(w.int8_wide, 2.0 * 5 * WEIGHTS + 2.0 * 2 * HEAD, 0);
    ASSERT_NEAR(w.f32 + w.int8_wide, f32, 0);
    rig_close(&r);
}

/* Q4_1: 20 bytes for 32 weights. */
static void weights_count_as_in_their_file(void **state)
{
    const struct work_rows row = {.rows = 1};
    struct rig r = {0};

    (void)state;
    rig_open(&r, golden_path(&r.arena, "tiny/tiny-q4_1.gguf"));
    ASSERT_NEAR(work_forward(r.model, &row).bytes, WEIGHTS / 32.0 * 20, 0);
    rig_close(&r);
}

/* 2 layers of 6 experts, 3 of them a row's: C 32, H 2, K 1, D 16, F 16. In bytes of BF16. */
static void rows_take_a_part_of_the_experts(void **state)
{
    const size_t attention = 2 * 32 * 32 + 2 * 16 * 32, router = 6 * 32, expert = 3 * 16 * 32;
    const struct work_rows two = {.rows = 2};
    struct rig r = {0};

    (void)state;
    rig_open(&r, golden_path(&r.arena, "families/qwen3-moe/hf"));
    ASSERT_NEAR(work_forward(r.model, &two).f32,
                2.0 * 2 * 2 * (double)(attention + router + 3 * expert), 0);
    ASSERT_NEAR(work_backward(r.model, &two).f32,
                2.0 * 2 * (2.0 * (double)(attention + 2 * router + 3 * expert) - 2 * 32 * 32), 0);
    ASSERT_NEAR(work_forward(r.model, &two).bytes,
                2.0 * 2 * (double)(attention + router) + 2.0 * 2 * 6 * (1 - 0.25) * (double)expert,
                1e-6);
    rig_close(&r);
}

static void the_slower_of_reading_and_multiplying_counts(void **state)
{
    const struct roof roof = {.read = {.best = 10},
                              .f32 = {.best = 100},
                              .bf16 = {.best = 300},
                              .int8 = {.best = 400},
                              .int8_wide = {.best = 200}};
    const struct work multiplies = {.f32 = 50,
                                    .bf16 = 60,
                                    .int8 = 400,
                                    .int8_wide = 200,
                                    .bytes = 20},
                      reads = {.f32 = 50, .bf16 = 60, .int8 = 400, .int8_wide = 200, .bytes = 40},
                      both = work_sum(work_times(multiplies, 2), reads);

    (void)state;
    ASSERT_NEAR(work_multiply_seconds(&multiplies, &roof), 2.7, 1e-12);
    ASSERT_NEAR(work_read_seconds(&multiplies, &roof), 2, 0);
    ASSERT_NEAR(work_seconds(&multiplies, &roof), 2.7, 1e-12);
    ASSERT_NEAR(work_seconds(&reads, &roof), 4, 0);
    ASSERT_NEAR(both.f32, 150, 0);
    ASSERT_NEAR(both.bf16, 180, 0);
    ASSERT_NEAR(both.int8, 1200, 0);
    ASSERT_NEAR(both.int8_wide, 600, 0);
    ASSERT_NEAR(both.bytes, 80, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_is_counted),
        cmocka_unit_test(backward_is_counted),
        cmocka_unit_test(a_window_bounds_what_is_seen),
        cmocka_unit_test(nothing_is_read_for_nothing),
        cmocka_unit_test(products_of_bytes_are_told_apart),
        cmocka_unit_test(weights_of_eight_bits_are_told_apart),
        cmocka_unit_test(weights_count_as_in_their_file),
        cmocka_unit_test(rows_take_a_part_of_the_experts),
        cmocka_unit_test(the_slower_of_reading_and_multiplying_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
