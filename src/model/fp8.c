/*
 * fp8.c - which tensor holds the factors, and whether its shape is that of the blocks.
 */
#include "model/fp8.h"
#include "base/limits.h"
#include "base/size.h"
#include "model/shown.h"

#include <math.h>
#include <stdio.h>

#define GREATEST_NAME 512 /* bytes: a longer name is no weight's */

/* Who writes FP8 folders: "fp8" the fine-grained kind, with blocks or one number; the others by row or by matrix. */
static bool tells_of_fp8(const json_t *q)
{
    const struct str method = json_str(json_object_get(q, "quant_method"));

    return str_is(method, "fp8") || str_is(method, "fbgemm_fp8") ||
           (str_is(method, "compressed-tensors") &&
            str_is(json_str(json_object_get(q, "format")), "float-quantized"));
}

static bool block_size(const json_t *v, size_t i, size_t *out)
{
    const json_t *n = json_array_get(v, i);

    if (!json_is_integer(n) || json_integer_value(n) < 1 ||
        json_integer_value(n) > (json_int_t)LIMIT_VOCAB)
        return false;
    *out = (size_t)json_integer_value(n);
    return true;
}

bool fp8_config_take(json_t *config, const char *what, struct fp8_config *out, struct error *err)
{
    static const char key[] = "weight_block_size";
    const json_t *q = json_object_get(config, "quantization_config");
    const json_t *blocks = json_object_get(q, key);
    struct fp8_config c = {.is_fp8 = tells_of_fp8(q)};

    if (!c.is_fp8) {
        *out = c;
        return true;
    }
    if (blocks != NULL && !json_is_null(blocks) &&
        (json_array_size(blocks) != 2 || !block_size(blocks, 0, &c.block_rows) ||
         !block_size(blocks, 1, &c.block_cols)))
        return fail_param(err, ERR_INVALID, key,
                          "%s: \"%s\" is no pair of sizes, as [128, 128] would be", what, key);
    if (c.block_cols % 16 != 0)
        return fail_param(err, ERR_UNSUPPORTED, key,
                          "%s: \"%s\" has blocks %zu wide, a multiple of 16 is supported", what,
                          key, c.block_cols);
    json_object_del(config, "quantization_config"); /* q and blocks went with it */
    *out = c;
    return true;
}

bool fp8_is_weight(const struct safetensor *t)
{
    return t->dtype == DTYPE_F8_E4M3 || t->dtype == DTYPE_F8_E5M2;
}

bool fp8_is_beside(const struct safetensors *s, const char *name)
{
    static const char *const ends[] = {"weight_scale_inv", "weight_scale", "input_scale",
                                       "activation_scale"};
    const struct str text = str_of(name);

    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        char weight[GREATEST_NAME];
        const struct str end = str_of(ends[i]);

        if (!str_ends(text, end) || text.len > sizeof weight - sizeof "weight")
            continue;
        snprintf(weight, sizeof weight, "%.*sweight", (int)(text.len - end.len), name);
        const struct safetensor *t = safetensors_find(s, weight);
        if (t != NULL && fp8_is_weight(t))
            return true;
    }
    return false;
}

/* "X.weight_scale_inv" or "X.weight_scale"; NULL: neither, or both. */
static const struct safetensor *find_scale(const struct safetensors *s, const char *weight,
                                           struct arena *a)
{
    const struct safetensor *inv = safetensors_find(s, arena_printf(a, "%s_scale_inv", weight)),
                            *plain = safetensors_find(s, arena_printf(a, "%s_scale", weight));

    return inv == NULL ? plain : plain == NULL ? inv : NULL;
}

static bool has_shape(const struct safetensor *t, size_t rows, size_t cols)
{
    return t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols;
}

static bool is_one_number(const struct safetensor *t)
{
    return t->n_dims == 0 || (t->n_dims == 1 && t->dims[0] == 1) || has_shape(t, 1, 1);
}

/* How many values share a factor, and how many factors there are in a row; false where the shape is none of those known. */
static bool grid_of(const struct safetensor *t, size_t rows, size_t cols,
                    const struct fp8_config *c, struct weight_scale *out)
{
    if (c->block_rows > 0) {
        const size_t n_rows = (rows + c->block_rows - 1) / c->block_rows,
                     n_cols = (cols + c->block_cols - 1) / c->block_cols;

        *out =
            (struct weight_scale){.rows = c->block_rows, .cols = c->block_cols, .n_cols = n_cols};
        return has_shape(t, n_rows, n_cols);
    }
    *out = (struct weight_scale){.rows = 1, .cols = cols, .n_cols = 1};
    if (is_one_number(t))
        out->rows = rows;
    return is_one_number(t) || has_shape(t, rows, 1) || (t->n_dims == 1 && t->dims[0] == rows);
}

static bool wrong_shape(const struct safetensor *t, const struct safetensor *weight,
                        const struct fp8_config *c, const char *what, struct error *err)
{
    char shape[100] = "", want[100] = "one number or one for each row";

    for (size_t d = 0, at = 0; d < t->n_dims && at < sizeof shape; d++)
        at +=
            (size_t)snprintf(shape + at, sizeof shape - at, "%s%zu", d > 0 ? ", " : "", t->dims[d]);
    if (c->block_rows > 0)
        snprintf(want, sizeof want, "one for each block of %zu by %zu", c->block_rows,
                 c->block_cols);
    return fail(err, ERR_INVALID,
                "%s: the tensor %s has the shape [%s], but its weight has %zu by %zu values and "
                "%s was expected",
                what, shown(str_of(t->name)).text, shape, weight->dims[0], weight->dims[1], want);
}

bool fp8_scale(const struct safetensors *s, const struct safetensor *weight,
               const struct fp8_config *c, const char *what, struct arena *a,
               const struct weight_scale **out, struct error *err)
{
    const struct safetensor *t = find_scale(s, weight->name, a);
    struct weight_scale grid;

    if (weight->n_dims != 2 || weight->dims[0] == 0 || weight->dims[1] == 0)
        return fail(err, ERR_INVALID, "%s: the tensor %s is %s, but no matrix", what,
                    shown(str_of(weight->name)).text, dtype_info(weight->dtype)->name);
    if (t == NULL)
        return fail(err, ERR_INVALID,
                    "%s: the tensor %s is %s; one of %s_scale_inv and %s_scale was expected", what,
                    shown(str_of(weight->name)).text, dtype_info(weight->dtype)->name,
                    shown(str_of(weight->name)).text, shown(str_of(weight->name)).text);
    if (!grid_of(t, weight->dims[0], weight->dims[1], c, &grid))
        return wrong_shape(t, weight, c, what, err);
    const size_t n = (weight->dims[0] + grid.rows - 1) / grid.rows * grid.n_cols;
    float *factors = arena_try(a, n, sizeof *factors, "the factors of FP8 weights", err);
    if (factors == NULL)
        return false;
    dtype_to_f32(t->dtype, t->data, n, factors);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(factors[i]))
            return fail(err, ERR_INVALID, "%s: number %zu of the tensor %s is not finite", what, i,
                        shown(str_of(t->name)).text);
    grid.s = factors;
    struct weight_scale *scale = ARENA_NEW(a, struct weight_scale);
    *scale = grid;
    *out = scale;
    return true;
}
