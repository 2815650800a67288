/*
 * model_files_experts_test.c - experts whose gate and up share tensors are found value by value, and what does not fit is told by name.
 */
#include "base/file.h"
#include "base/size.h"
#include "model/model_files.h"
#include "model/safetensors.h"
#include "support/support.h"

#include <stdlib.h>
#include <unistd.h>

static struct arena arena;
static struct error err;
static char *dir; /* a fresh one for each test */

static int make_dir(void **state)
{
    (void)state;
    dir = test_dir_make(&arena);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    test_dir_remove(dir);
    arena_release(&arena);
    return 0;
}

static struct model_files *open_golden(const char *name)
{
    struct model_files *f = NULL;

    ASSERT_OK(model_files_open(golden_path(&arena, name), &f, &err));
    return f;
}

static void assert_same_rows(const struct matrix_view *x, const struct matrix_view *y)
{
    const size_t bytes = dtype_bytes(y->dtype, y->cols);
    unsigned char *room = arena_alloc(&arena, bytes);

    assert_int_equal(x->dtype, y->dtype);
    assert_int_equal(x->rows, y->rows);
    assert_int_equal(x->cols, y->cols);
    for (size_t i = 0; i < x->rows; i++)
        assert_memory_equal(matrix_row_packed(x, i, room), matrix_row(y, i), bytes);
}

/* llama.cpp's converter has parted gate and up, and put the exponents into the blocks: no bit differs. */
static void mxfp4_of_a_folder_is_that_of_gguf(void **state)
{
    static const char *const names[] = {"gpt-oss", "gpt-oss-blocks"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct model_files *hf = open_golden(arena_printf(&arena, "families/%s/hf", names[i])),
                           *gguf = open_golden(
                               arena_printf(&arena, "families/%s/model.gguf", names[i]));
        const struct model_config *c = model_files_config(hf);

        for (size_t l = 0; l < c->n_layers; l++)
            for (int w = W_GATE; w <= W_DOWN; w++)
                for (size_t e = 0; e < c->n_experts; e++) {
                    const struct matrix_view x = model_files_expert(hf, (enum weight_name)w, l, e),
                                             y = model_files_expert(gguf, (enum weight_name)w, l,
                                                                    e);

                    assert_same_rows(&x, &y);
                }
        for (size_t l = 0; l < c->n_layers; l++)
            for (int w = W_GATE_BIASES; w <= W_DOWN_BIASES; w++) {
                const struct matrix_view x = model_files_weight(hf, (enum weight_name)w, l),
                                         y = model_files_weight(gguf, (enum weight_name)w, l);

                assert_int_equal(x.rows, y.rows);
                assert_int_equal(x.cols, y.cols);
                for (size_t row = 0; row < x.rows; row++) {
                    float a[256], b[256];

                    matrix_row_to_f32(&x, row, a);
                    matrix_row_to_f32(&y, row, b);
                    assert_memory_equal(a, b, x.cols * sizeof *a);
                }
            }
        model_files_close(hf);
        model_files_close(gguf);
    }
}

static uint16_t half_of(const struct safetensors *s, const char *name, size_t i)
{
    uint16_t h;

    memcpy(&h, (const char *)safetensors_find(s, name)->data + i * sizeof h, sizeof h);
    return h;
}

/* [E, C, 2 F], gate in even columns, and [E, F, C]. */
static void plain_experts_lie_transposed(void **state)
{
    struct model_files *f = open_golden("families/gpt-oss-plain/hf");
    const struct model_config *c = model_files_config(f);
    const size_t width = c->width, hidden = c->hidden;
    struct safetensors *s = NULL;
    float x[256];

    (void)state;
    ASSERT_OK(safetensors_open(golden_path(&arena, "families/gpt-oss-plain/hf/model.safetensors"),
                               &s, &err));
    assert_true(hidden != width);
    for (size_t e = 0; e < c->n_experts; e++) {
        for (size_t part = 0; part < 2; part++) {
            const struct matrix_view w =
                model_files_expert(f, (enum weight_name)((size_t)W_GATE + part), 1, e);

            for (size_t i = 0; i < hidden; i++) {
                matrix_row_to_f32(&w, i, x);
                for (size_t k = 0; k < width; k++)
                    assert_true(x[k] ==
                                bf16_to_f32(half_of(s, "model.layers.1.mlp.experts.gate_up_proj",
                                                    (e * width + k) * 2 * hidden + 2 * i + part)));
            }
        }
        const struct matrix_view down = model_files_expert(f, W_DOWN, 1, e);
        for (size_t i = 0; i < width; i++) {
            matrix_row_to_f32(&down, i, x);
            for (size_t k = 0; k < hidden; k++)
                assert_true(x[k] == bf16_to_f32(half_of(s, "model.layers.1.mlp.experts.down_proj",
                                                        (e * hidden + k) * width + i)));
        }
    }
    safetensors_close(s);
    model_files_close(f);
}

/* ---- what does not fit ---- */

/* The golden folder with one tensor left out, or of another shape or type (of as many bytes or fewer), or more than one of it. */
struct change {
    const char *name;
    bool left_out;
    enum dtype dtype;
    size_t n_dims, dims[4];
};

static const char *folder_with(const char *golden, const struct change *c)
{
    static const char *const beside[] = {"config.json", "tokenizer.json", "tokenizer_config.json"};
    static size_t n_folders;
    const char *to = file_join(&arena, dir, arena_printf(&arena, "%zu", n_folders++)),
               *from = golden_path(&arena, arena_printf(&arena, "families/%s/hf", golden));
    struct safetensors *s = NULL;

    ASSERT_OK(file_make_dirs(to, &err));
    for (size_t i = 0; i < COUNT_OF(beside); i++)
        assert_int_equal(
            symlink(file_join(&arena, from, beside[i]), file_join(&arena, to, beside[i])), 0);
    ASSERT_OK(safetensors_open(file_join(&arena, from, "model.safetensors"), &s, &err));
    struct safetensor *all = ARENA_ARRAY(&arena, struct safetensor, safetensors_count(s) + 1);
    size_t n = 0;
    bool found = false;
    for (size_t i = 0; i < safetensors_count(s); i++) {
        struct safetensor *t = &all[n++];

        *t = *safetensors_at(s, i);
        if (strcmp(t->name, c->name) != 0)
            continue;
        found = true;
        if (c->left_out) {
            n--;
            continue;
        }
        t->dtype = c->dtype;
        t->n_dims = c->n_dims;
        memcpy(t->dims, c->dims, sizeof t->dims);
    }
    if (!found) {
        all[n] = (struct safetensor){
            .name = c->name, .dtype = c->dtype, .n_dims = c->n_dims, .data = all};
        memcpy(all[n++].dims, c->dims, sizeof c->dims);
    }
    ASSERT_OK(safetensors_write(file_join(&arena, to, "model.safetensors"), all, n, NULL, 0, &err));
    safetensors_close(s);
    return to;
}

static void assert_refused(const char *golden, const struct change *c, enum error_kind kind,
                           const char *says)
{
    struct model_files *f = NULL;

    ASSERT_FAILS(model_files_open(folder_with(golden, c), &f, &err), kind, says);
    assert_null(f);
}

#define EXPERTS "model.layers.1.mlp.experts."

static void a_tensor_that_is_missing_is_named(void **state)
{
    static const char *const names[] = {
        EXPERTS "gate_up_proj_blocks",   EXPERTS "gate_up_proj_scales", EXPERTS "gate_up_proj_bias",
        EXPERTS "down_proj_blocks",      EXPERTS "down_proj_scales",    EXPERTS "down_proj_bias",
        "model.layers.1.self_attn.sinks"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_refused("gpt-oss-blocks", &(struct change){.name = names[i], .left_out = true},
                       ERR_INVALID, arena_printf(&arena, "the tensor %s is missing", names[i]));
    assert_refused("gpt-oss-plain", &(struct change){.name = EXPERTS "down_proj", .left_out = true},
                   ERR_INVALID,
                   "the tensor " EXPERTS "down_proj_blocks is missing, and so is " EXPERTS
                   "down_proj");
}

/* gpt-oss-blocks: 3 experts, 64 wide, 96 within */
static void a_tensor_of_another_shape_or_type_is_named(void **state)
{
    static const struct {
        struct change c;
        const char *says;
    } of[] = {
        {{EXPERTS "gate_up_proj_blocks", false, DTYPE_U8, 4, {3, 192, 1, 16}},
         "gate_up_proj_blocks has the shape [3, 192, 1, 16], but [3, 192, 2, 16] follows from "
         "config.json, where there are 3 experts, intermediate_size is 96 and hidden_size 64"},
        {{EXPERTS "gate_up_proj_blocks", false, DTYPE_U8, 4, {3, 192, 2, 15}},
         "has the shape [3, 192, 2, 15]"},
        {{EXPERTS "gate_up_proj_blocks", false, DTYPE_U8, 3, {3, 192, 32}},
         "has the shape [3, 192, 32]"},
        {{EXPERTS "gate_up_proj_blocks", false, DTYPE_U8, 4, {2, 192, 2, 16}},
         "has the shape [2, 192"},
        {{EXPERTS "gate_up_proj_blocks", false, DTYPE_U8, 4, {3, 191, 2, 16}},
         "has the shape [3, 191"},
        {{EXPERTS "gate_up_proj_blocks", false, DTYPE_U8, 4, {0, 192, 2, 16}},
         "has the shape [0, 192"},
        {{EXPERTS "gate_up_proj_blocks", false, DTYPE_U8, 0, {0}}, "has the shape []"},
        {{EXPERTS "gate_up_proj_scales", false, DTYPE_U8, 3, {3, 192, 1}},
         "gate_up_proj_scales has the shape [3, 192, 1], but [3, 192, 2] follows"},
        {{EXPERTS "gate_up_proj_scales", false, DTYPE_U8, 2, {3, 384}}, "has the shape [3, 384]"},
        {{EXPERTS "down_proj_blocks", false, DTYPE_U8, 4, {3, 64, 2, 16}},
         "down_proj_blocks has the shape [3, 64, 2, 16], but [3, 64, 3, 16] follows from config.json, "
         "where there are 3 experts, hidden_size is 64 and intermediate_size 96"},
        {{EXPERTS "down_proj_scales", false, DTYPE_U8, 3, {3, 3, 64}}, "has the shape [3, 3, 64]"},
        {{EXPERTS "gate_up_proj_bias", false, DTYPE_BF16, 2, {3, 96}},
         "gate_up_proj_bias has the shape [3, 96], but [3, 192] follows"},
        {{EXPERTS "down_proj_bias", false, DTYPE_BF16, 1, {64}}, "has the shape [64]"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(of); i++)
        assert_refused("gpt-oss-blocks", &of[i].c, ERR_INVALID, of[i].says);
    assert_refused("gpt-oss-plain",
                   &(struct change){EXPERTS "gate_up_proj", false, DTYPE_BF16, 3, {4, 48, 32}},
                   ERR_INVALID, "gate_up_proj has the shape [4, 48, 32], but [4, 32, 48] follows");
    assert_refused(
        "gpt-oss-blocks",
        &(struct change){EXPERTS "gate_up_proj_scales", false, DTYPE_BF16, 3, {3, 64, 3}},
        ERR_UNSUPPORTED, "gate_up_proj_scales is BF16, U8 was expected");
    assert_refused("gpt-oss-plain",
                   &(struct change){EXPERTS "gate_up_proj", false, DTYPE_F8_E4M3, 3, {4, 32, 48}},
                   ERR_UNSUPPORTED, "gate_up_proj is F8_E4M3, F32, F16 or BF16 was expected");
}

/* gpt-oss-plain: 24 within */
static void rows_that_are_no_whole_blocks_are_refused(void **state)
{
    (void)state;
    assert_refused("gpt-oss-plain",
                   &(struct change){EXPERTS "down_proj_blocks", false, DTYPE_U8, 4, {1, 1, 1, 16}},
                   ERR_INVALID,
                   "\"intermediate_size\" is 24, but the tensor " EXPERTS
                   "down_proj_blocks is MXFP4, whose blocks are of 32 values");
}

static void a_tensor_too_much_is_named(void **state)
{
    (void)state;
    assert_refused(
        "gpt-oss-blocks", &(struct change){EXPERTS "down_proj", false, DTYPE_BF16, 1, {4}},
        ERR_UNSUPPORTED, "the tensor " EXPERTS "down_proj is none of a plain gpt-oss model's");
    assert_refused("gpt-oss-blocks",
                   &(struct change){"model.layers.0.mlp.more_blocks", false, DTYPE_U8, 1, {4}},
                   ERR_UNSUPPORTED, "the tensor model.layers.0.mlp.more_blocks is none of");
    assert_refused(
        "gpt-oss-blocks", &(struct change){"lm_head.weight", false, DTYPE_U8, 2, {48, 64}},
        ERR_UNSUPPORTED, "\"lm_head.weight\" has the type U8; F32, F16, BF16, F8_E4M3 and");
}

/* config.json with one thing else in it; the golden text has a comma behind each key's value. */
static void assert_config(const char *golden, const char *was, const char *is, enum error_kind kind,
                          const char *says)
{
    static size_t n_folders;
    const char *from = golden_path(&arena, arena_printf(&arena, "families/%s/hf", golden)),
               *to = file_join(&arena, dir, arena_printf(&arena, "config%zu", n_folders++));
    static const char *const beside[] = {"model.safetensors", "tokenizer.json",
                                         "tokenizer_config.json"};
    struct model_files *f = NULL;
    struct str text;

    ASSERT_OK(file_make_dirs(to, &err));
    for (size_t i = 0; i < COUNT_OF(beside); i++)
        assert_int_equal(
            symlink(file_join(&arena, from, beside[i]), file_join(&arena, to, beside[i])), 0);
    ASSERT_OK(file_read(file_join(&arena, from, "config.json"), 1 << 16, &arena, &text, &err));
    const size_t at = str_find(text, str_of(was), 0);
    assert_true(at < text.len);
    const char *changed =
        arena_printf(&arena, "%.*s%s%s", (int)at, text.ptr, is, text.ptr + at + strlen(was));
    ASSERT_OK(file_put(file_join(&arena, to, "config.json"), str_of(changed), &err));
    if (kind == ERR_NONE) {
        ASSERT_OK(model_files_open(to, &f, &err));
        model_files_close(f);
        return;
    }
    ASSERT_FAILS(model_files_open(to, &f, &err), kind, says);
    assert_null(f);
}

static void what_a_config_says_otherwise_is_refused(void **state)
{
    (void)state;
    assert_config("gpt-oss", "\"mxfp4\"", "\"bitsandbytes\"", ERR_UNSUPPORTED,
                  "of gpt-oss \"mxfp4\" is supported, or none");
    assert_config("gpt-oss", "\"swiglu_limit\": 7.0", "\"swiglu_limit\": 8.0", ERR_UNSUPPORTED,
                  "\"swiglu_limit\" is 8.0, only 7 is supported");
    assert_config("gpt-oss", "\"num_local_experts\": 5", "\"num_local_experts\": 6", ERR_INVALID,
                  "but the tensor model.layers.0.mlp.router.weight has 5 rows");
    assert_config("gpt-oss-blocks", "\"intermediate_size\": 96", "\"intermediate_size\": 88",
                  ERR_INVALID,
                  "gate_up_proj_blocks has the shape [3, 192, 2, 16], but [3, 176, 2, 16] follows");
    /* older configs name it so, and without the key the tensors are what they are */
    assert_config("gpt-oss", "\"quantization_config\"", "\"_quantization_config\"", ERR_NONE, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mxfp4_of_a_folder_is_that_of_gguf),
        TEST(plain_experts_lie_transposed),
        TEST(a_tensor_that_is_missing_is_named),
        TEST(a_tensor_of_another_shape_or_type_is_named),
        TEST(rows_that_are_no_whole_blocks_are_refused),
        TEST(a_tensor_too_much_is_named),
        TEST(what_a_config_says_otherwise_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
