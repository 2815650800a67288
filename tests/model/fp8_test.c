/*
 * fp8_test.c - factors are found beside their weights, and have the shape that blocks and weight ask for.
 */
#include "base/size.h"
#include "model/fp8.h"
#include "support/support.h"

#include <math.h>

static struct arena arena;
static struct error err;

/* A file of a weight "w.weight", F8_E4M3 [rows, cols], and one more tensor of n F32 whose shape is this. */
struct file {
    size_t rows, cols;
    const char *name, *shape;
    size_t n;
    const char *more; /* of the header, ends with a comma */
    float first;      /* of the factors; 1, 2, 3, ... else */
};
static struct safetensors *file_make(const struct file *f)
{
    struct safetensors *s = NULL;
    const size_t weight = f->rows * f->cols;
    const char *header = arena_printf(
        &arena,
        "{%s\"w.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]},"
        "\"%s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}}",
        f->more == NULL ? "" : f->more, f->rows, f->cols, weight, f->name, f->shape, weight,
        weight + f->n * sizeof(float));
    const uint64_t len = strlen(header);
    char *bytes = arena_alloc(&arena, sizeof len + len + weight + f->n * sizeof(float));

    memcpy(bytes, &len, sizeof len);
    memcpy(bytes + sizeof len, header, len);
    memset(bytes + sizeof len + len, 0x38, weight); /* 1 */
    for (size_t i = 0; i < f->n; i++) {
        const float x = i == 0 && f->first != 0 ? f->first : (float)(i + 1);

        memcpy(bytes + sizeof len + len + weight + i * sizeof x, &x, sizeof x);
    }
    ASSERT_OK(safetensors_open_bytes(bytes, sizeof len + len + weight + f->n * sizeof(float),
                                     "test.safetensors", &s, &err));
    return s;
}

static bool scale_of(const struct file *f, size_t block_rows, size_t block_cols,
                     const struct weight_scale **out)
{
    const struct fp8_config c = {true, block_rows, block_cols};
    struct safetensors *s = file_make(f);
    const bool ok = fp8_scale(s, safetensors_find(s, "w.weight"), &c, "hf", &arena, out, &err);

    safetensors_close(s);
    return ok;
}

static void assert_scale(const struct file *f, size_t block_rows, size_t block_cols, size_t rows,
                         size_t cols, size_t n_cols)
{
    const struct weight_scale *got = NULL;

    ASSERT_OK(scale_of(f, block_rows, block_cols, &got));
    assert_int_equal(got->rows, rows);
    assert_int_equal(got->cols, cols);
    assert_int_equal(got->n_cols, n_cols);
    for (size_t i = 0; i < f->n; i++)
        assert_true(got->s[i] == (float)(i + 1));
}

static void factors_may_be_for_blocks_for_rows_or_for_all(void **state)
{
    static const char inv[] = "w.weight_scale_inv", plain[] = "w.weight_scale";

    (void)state;
    assert_scale(&(struct file){5, 40, inv, "[3,3]", 9, NULL, 0}, 2, 16, 2, 16, 3);
    assert_scale(&(struct file){5, 40, plain, "[1,1]", 1, NULL, 0}, 128, 128, 128, 128, 1);
    assert_scale(&(struct file){5, 40, inv, "[]", 1, NULL, 0}, 0, 0, 5, 40, 1);
    assert_scale(&(struct file){5, 40, plain, "[1]", 1, NULL, 0}, 0, 0, 5, 40, 1);
    assert_scale(&(struct file){5, 40, plain, "[1,1]", 1, NULL, 0}, 0, 0, 5, 40, 1);
    assert_scale(&(struct file){5, 40, plain, "[5,1]", 5, NULL, 0}, 0, 0, 1, 40, 1);
    assert_scale(&(struct file){5, 40, plain, "[5]", 5, NULL, 0}, 0, 0, 1, 40, 1);
}

static void factors_of_another_shape_are_refused(void **state)
{
    static const struct {
        const char *shape;
        size_t n, block_rows, block_cols;
    } wrong[] = {{"[3,2]", 6, 2, 16}, {"[2,3]", 6, 2, 16}, {"[9]", 9, 2, 16},  {"[1,1]", 1, 2, 16},
                 {"[]", 1, 2, 16},    {"[0,3]", 0, 2, 16}, {"[4,1]", 4, 0, 0}, {"[1,40]", 40, 0, 0},
                 {"[40]", 40, 0, 0},  {"[5,1,1]", 5, 0, 0}};
    const struct weight_scale *out = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        const struct file f = {5, 40, "w.weight_scale_inv", wrong[i].shape, wrong[i].n, NULL, 0};

        ASSERT_FAILS(scale_of(&f, wrong[i].block_rows, wrong[i].block_cols, &out), ERR_INVALID,
                     "hf: the tensor w.weight_scale_inv has the shape [");
        assert_non_null(strstr(err.message, "its weight has 5 by 40 values"));
        assert_null(out);
    }
}

static void factors_are_there_once_and_finite(void **state)
{
    static const char both[] =
        "\"w.weight_scale\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},";
    const struct weight_scale *out = NULL;
    struct file f = {2, 16, "v.weight_scale", "[1]", 1, NULL, 0};

    (void)state;
    ASSERT_FAILS(scale_of(&f, 0, 0, &out), ERR_INVALID,
                 "w.weight is F8_E4M3; one of w.weight_scale_inv and w.weight_scale was expected");
    f.name = "w.weight_scale_inv";
    f.more = both;
    ASSERT_FAILS(scale_of(&f, 0, 0, &out), ERR_INVALID, "one of w.weight_scale_inv and");
    f.more = NULL;
    f.first = NAN;
    ASSERT_FAILS(scale_of(&f, 0, 0, &out), ERR_INVALID,
                 "number 0 of the tensor w.weight_scale_inv is not finite");
    f.first = INFINITY;
    ASSERT_FAILS(scale_of(&f, 0, 0, &out), ERR_INVALID, "is not finite");
    assert_null(out);
}

static void what_lies_beside_a_weight_is_known_by_the_weight(void **state)
{
    static const char more[] =
        "\"n.weight\":{\"dtype\":\"BF16\",\"shape\":[0],\"data_offsets\":[0,0]},";
    struct safetensors *s = file_make(&(struct file){2, 16, "w.weight_scale", "[1]", 1, more, 0});

    (void)state;
    assert_true(fp8_is_beside(s, "w.weight_scale"));
    assert_true(fp8_is_beside(s, "w.weight_scale_inv"));
    assert_true(fp8_is_beside(s, "w.input_scale"));
    assert_true(fp8_is_beside(s, "w.activation_scale"));
    assert_false(fp8_is_beside(s, "w.weight"));
    assert_false(fp8_is_beside(s, "v.weight_scale")); /* no such weight */
    assert_false(fp8_is_beside(s, "n.weight_scale")); /* no FP8 */
    assert_false(fp8_is_beside(s, ""));
    char *longest = arena_alloc(&arena, 2000);
    memset(longest, 'x', 1980);
    memcpy(longest + 1980, "weight_scale", 13);
    assert_false(fp8_is_beside(s, longest));
    safetensors_close(s);
}

/* What is said of a config that has this quantization_config, and whether it is still there. */
static bool take(const char *quantization, struct fp8_config *out, bool *there)
{
    json_t *config = NULL;
    const char *text = arena_printf(&arena, "{\"quantization_config\":%s}", quantization);

    ASSERT_OK(json_parse(str_of(text), "config.json", &config, &err));
    const bool ok = fp8_config_take(config, "config.json", out, &err);
    *there = json_object_get(config, "quantization_config") != NULL;
    json_decref(config);
    return ok;
}

static void a_config_of_fp8_is_taken_and_others_stay(void **state)
{
    static const char *const others[] = {
        "null", "7", "{}", "{\"quant_method\":\"gptq\",\"weight_block_size\":[128,128]}",
        "{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\"}"};
    struct fp8_config c;
    bool there;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        ASSERT_OK(take(others[i], &c, &there));
        assert_true(!c.is_fp8 && there);
    }
    ASSERT_OK(take("{\"quant_method\":\"fp8\",\"weight_block_size\":[128,64]}", &c, &there));
    assert_true(c.is_fp8 && !there);
    assert_int_equal(c.block_rows, 128);
    assert_int_equal(c.block_cols, 64);
    ASSERT_OK(take("{\"quant_method\":\"fp8\",\"weight_block_size\":null}", &c, &there));
    assert_true(c.is_fp8 && !there && c.block_rows == 0);
    ASSERT_OK(take("{\"quant_method\":\"compressed-tensors\",\"format\":\"float-quantized\"}", &c,
                   &there));
    assert_true(c.is_fp8 && !there && c.block_rows == 0);
}

static void blocks_that_cannot_be_are_refused(void **state)
{
    static const char *const wrong[] = {"[128]", "[128,128,1]", "[0,128]",     "[-1,128]",
                                        "128",   "[1.5,128]",   "[128,\"x\"]", "[128,99999999999]"};
    struct fp8_config c;
    bool there;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        ASSERT_FAILS(
            take(arena_printf(&arena, "{\"quant_method\":\"fp8\",\"weight_block_size\":%s}",
                              wrong[i]),
                 &c, &there),
            ERR_INVALID, "config.json: \"weight_block_size\" is no pair of sizes");
    assert_string_equal(err.param, "weight_block_size");
    ASSERT_FAILS(take("{\"quant_method\":\"fp8\",\"weight_block_size\":[128,24]}", &c, &there),
                 ERR_UNSUPPORTED, "blocks 24 wide, a multiple of 16 is supported");
}

static int release(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factors_may_be_for_blocks_for_rows_or_for_all),
        cmocka_unit_test(factors_of_another_shape_are_refused),
        cmocka_unit_test(factors_are_there_once_and_finite),
        cmocka_unit_test(what_lies_beside_a_weight_is_known_by_the_weight),
        cmocka_unit_test(a_config_of_fp8_is_taken_and_others_stay),
        cmocka_unit_test(blocks_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
