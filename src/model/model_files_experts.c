/*
 * model_files_experts.c - where the experts of a layer lie: each in tensors of its own, all of them in one [E, rows, cols], or in a folder
 * gate and up of all row by row in one, in MXFP4 or transposed (family.h, hf_experts_paired).
 *
 * Nothing is copied: a view says where a row's values are (tensor/dtype.h), and whoever packs or writes it puts them together.
 */
#include "base/size.h"
#include "model/model_files_internal.h"
#include "model/shown.h"

#include <stdio.h>

#define BLOCK ((size_t)32) /* values of an exponent of MXFP4's, in 16 bytes */

static bool missing(const struct model_files *f, const char *tensor, struct error *err)
{
    return fail(err, ERR_INVALID, "%s: the tensor %s is missing", f->path, tensor);
}

/* One tensor [E, rows, cols] of all experts, or each expert's own. */
static bool bind_expert(struct model_files *f, const char *pattern, size_t layer, size_t expert,
                        const struct shape_words *words, enum weight_name name,
                        struct matrix_view *out, struct error *err)
{
    const char *at = strchr(pattern, '@');
    struct dimension want[3] = {{f->config.n_experts, words->experts}};
    const size_t n_dims = at != NULL ? 2 : 3;
    char text[128], own[128];

    family_tensor_name(pattern, layer, ".weight", text, sizeof text);
    if (at != NULL) {
        at = strchr(text, '@');
        snprintf(own, sizeof own, "%.*s%zu%.64s", (int)(at - text), text, expert, at + 1);
    }
    const char *tensor = at != NULL ? own : text;
    struct file_tensor *t = file_tensor_find(f, tensor);
    if (t == NULL)
        return missing(f, tensor, err);
    weight_shape(f, words, name, &want[1], &want[2]);
    if (t->n_dims != n_dims)
        return fail(err, ERR_INVALID, "%s: the tensor %s has %zu dimensions, %zu were expected",
                    f->path, tensor, t->n_dims, n_dims);
    for (size_t d = 0; d < n_dims; d++) {
        const struct dimension *w = &want[3 - n_dims + d];

        if (t->dims[d] != w->size)
            return fail_param(err, ERR_INVALID, w->word,
                              "%s: %s is %zu, but the tensor %s has %zu in its dimension %zu",
                              words->file, w->word, w->size, tensor, t->dims[d], d);
    }
    const size_t before = n_dims == 3 ? expert * want[1].size : 0;
    *out = (struct matrix_view){.dtype = t->dtype,
                                .rows = want[1].size,
                                .cols = want[2].size,
                                .data = (const char *)t->data +
                                        before * dtype_bytes(t->dtype, want[2].size),
                                .scale = t->scale,
                                .scale_row = before};
    t->used = true;
    return true;
}

/* ---- gate and up row by row in one ---- */

/* A tensor of all experts; of gate and up part 0 and 1 take turns. */
struct stack {
    char name[128];
    size_t rows, cols, n_parts; /* rows: of all parts */
    const char *rows_word, *cols_word;
};

static bool has_shape(const struct model_files *f, const struct file_tensor *t, size_t n,
                      const size_t *want, const struct stack *s, struct error *err)
{
    char is[100] = "", should[100] = "";
    bool same = t->n_dims == n;

    for (size_t d = 0; same && d < n; d++)
        same = t->dims[d] == want[d];
    if (same)
        return true;
    for (size_t d = 0, at = 0; d < t->n_dims && at < sizeof is; d++)
        at += (size_t)snprintf(is + at, sizeof is - at, "%s%zu", d > 0 ? ", " : "", t->dims[d]);
    for (size_t d = 0, at = 0; d < n && at < sizeof should; d++)
        at +=
            (size_t)snprintf(should + at, sizeof should - at, "%s%zu", d > 0 ? ", " : "", want[d]);
    return fail(
        err, ERR_INVALID,
        "%s: the tensor %s has the shape [%s], but [%s] follows from config.json, where there "
        "are %zu experts, %s is %zu and %s %zu",
        f->path, shown(str_of(t->name)).text, is, should, f->config.n_experts, s->rows_word,
        s->rows / s->n_parts, s->cols_word, s->cols);
}

static bool has_type(const struct model_files *f, const struct file_tensor *t, bool bytes,
                     struct error *err)
{
    const bool plain = t->dtype == DTYPE_F32 || t->dtype == DTYPE_F16 || t->dtype == DTYPE_BF16;

    return (bytes ? t->dtype == DTYPE_U8 : plain) ||
           fail(err, ERR_UNSUPPORTED, "%s: the tensor %s is %s, %s was expected", f->path,
                shown(str_of(t->name)).text, dtype_info(t->dtype)->name,
                bytes ? "U8" : "F32, F16 or BF16");
}

static bool bind_blocks(const struct model_files *f, const struct stack *s,
                        struct file_tensor *blocks, struct file_tensor *scales,
                        struct matrix_view *whole, struct error *err)
{
    const size_t dims[] = {f->config.n_experts, s->rows, s->cols / BLOCK, BLOCK / 2};
    char name[160];

    if (s->cols % BLOCK != 0)
        return fail_param(
            err, ERR_INVALID, s->cols_word,
            "%s: \"%s\" is %zu, but the tensor %s is MXFP4, whose blocks are of %zu values",
            f->path, s->cols_word, s->cols,
            shown(str_of(blocks != NULL ? blocks->name : scales->name)).text, BLOCK);
    snprintf(name, sizeof name, "%s_%s", s->name, blocks == NULL ? "blocks" : "scales");
    if (blocks == NULL || scales == NULL)
        return missing(f, name, err);
    if (!has_type(f, blocks, true, err) || !has_type(f, scales, true, err) ||
        !has_shape(f, blocks, 4, dims, s, err) || !has_shape(f, scales, 3, dims, s, err))
        return false;
    blocks->used = scales->used = true;
    *whole = (struct matrix_view){.dtype = DTYPE_MXFP4,
                                  .rows = s->rows / s->n_parts,
                                  .cols = s->cols,
                                  .data = blocks->data,
                                  .row_step = s->n_parts * s->cols,
                                  .exponents = scales->data};
    return true;
}

static bool bind_transposed(const struct model_files *f, const struct stack *s,
                            struct file_tensor *t, struct matrix_view *whole, struct error *err)
{
    const size_t dims[] = {f->config.n_experts, s->cols, s->rows};

    if (!has_type(f, t, false, err) || !has_shape(f, t, 3, dims, s, err))
        return false;
    t->used = true;
    *whole = (struct matrix_view){.dtype = t->dtype,
                                  .rows = s->rows / s->n_parts,
                                  .cols = s->cols,
                                  .data = t->data,
                                  .row_step = s->n_parts,
                                  .col_step = s->rows};
    return true;
}

/* The matrix of an expert and a part. */
static struct matrix_view cut(const struct stack *s, struct matrix_view whole, size_t expert,
                              size_t part)
{
    const bool apart = whole.exponents != NULL;
    const size_t at = expert * s->rows * s->cols + part * (apart ? s->cols : 1);

    if (apart) {
        whole.data = (const char *)whole.data + at / BLOCK * (BLOCK / 2);
        whole.exponents += at / BLOCK;
    } else {
        whole.data = (const char *)whole.data + dtype_bytes(whole.dtype, at);
    }
    return whole;
}

/* Of a part the biases are every so manieth value of a row. */
static bool bind_biases(struct model_files *f, const struct stack *s, size_t layer,
                        enum weight_name first, struct error *err)
{
    const size_t dims[] = {f->config.n_experts, s->rows};
    char name[160];

    snprintf(name, sizeof name, "%s_bias", s->name);
    struct file_tensor *t = file_tensor_find(f, name);
    if (t == NULL)
        return missing(f, name, err);
    if (!has_type(f, t, false, err) || !has_shape(f, t, 2, dims, s, err))
        return false;
    t->used = true;
    for (size_t part = 0; part < s->n_parts; part++)
        f->weights[weight_index(first + (enum weight_name)part, layer)] =
            (struct matrix_view){.dtype = t->dtype,
                                 .rows = f->config.n_experts,
                                 .cols = s->rows / s->n_parts,
                                 .data = (const char *)t->data + dtype_bytes(t->dtype, part),
                                 .row_step = s->rows,
                                 .col_step = s->n_parts};
    return true;
}

/* Experts' parts from first on, of a layer. */
static bool bind_stack(struct model_files *f, const struct stack *s, size_t layer, size_t first,
                       struct error *err)
{
    const size_t n = f->config.n_experts;
    struct matrix_view whole;
    char blocks_name[160], scales_name[160];

    snprintf(blocks_name, sizeof blocks_name, "%s_blocks", s->name);
    snprintf(scales_name, sizeof scales_name, "%s_scales", s->name);
    struct file_tensor *plain = file_tensor_find(f, s->name),
                       *blocks = file_tensor_find(f, blocks_name),
                       *scales = file_tensor_find(f, scales_name);
    if (blocks == NULL && scales == NULL && plain == NULL)
        return fail(err, ERR_INVALID, "%s: the tensor %s is missing, and so is %s", f->path,
                    blocks_name, s->name);
    if (!(blocks != NULL || scales != NULL ? bind_blocks(f, s, blocks, scales, &whole, err)
                                           : bind_transposed(f, s, plain, &whole, err)) ||
        !bind_biases(f, s, layer, (enum weight_name)((size_t)W_GATE_BIASES + first), err))
        return false;
    for (size_t e = 0; e < n; e++)
        for (size_t part = 0; part < s->n_parts; part++)
            f->experts[layer * n + e][first + part] = cut(s, whole, e, part);
    return true;
}

static bool bind_paired(struct model_files *f, const struct shape_words *words, size_t layer,
                        struct error *err)
{
    const struct model_config *c = &f->config;
    const char *const *patterns = f->family->hf_experts;
    struct stack both = {.rows = 2 * c->hidden,
                         .cols = c->width,
                         .n_parts = 2,
                         .rows_word = words->hidden,
                         .cols_word = words->width},
                 down = {.rows = c->width,
                         .cols = c->hidden,
                         .n_parts = 1,
                         .rows_word = words->width,
                         .cols_word = words->hidden};

    family_tensor_name(patterns[0], layer, "", both.name, sizeof both.name);
    family_tensor_name(patterns[2], layer, "", down.name, sizeof down.name);
    return bind_stack(f, &both, layer, 0, err) && bind_stack(f, &down, layer, 2, err);
}

/* ---- all layers ---- */

static bool bind_layer(struct model_files *f, const struct shape_words *words, size_t layer,
                       struct error *err)
{
    static const enum weight_name names[] = {W_GATE, W_UP, W_DOWN};
    const char *const *patterns = f->gguf != NULL ? f->family->gguf_experts : f->family->hf_experts;
    const size_t n = f->config.n_experts;

    if (f->gguf == NULL && f->family->hf_experts_paired)
        return bind_paired(f, words, layer, err);
    for (size_t e = 0; e < n; e++)
        for (size_t p = 0; p < COUNT_OF(names); p++)
            if (!bind_expert(f, patterns[p], layer, e, words, names[p],
                             &f->experts[layer * n + e][p], err))
                return false;
    return true;
}

bool model_files_bind_experts(struct model_files *f, const struct shape_words *words,
                              struct error *err)
{
    const size_t n = f->config.n_experts;

    if (n == 0)
        return true;
    if (f->n_tensors <
        3 * f->config.n_layers) /* so many layers and experts are only said to be there */
        return fail(err, ERR_INVALID, "%s has %zu tensors, too few for %zu layers with experts",
                    f->path, f->n_tensors, f->config.n_layers);
    f->experts = arena_try(&f->arena, f->config.n_layers * n, sizeof *f->experts,
                           "the list of experts", err);
    if (f->experts == NULL)
        return false;
    for (size_t layer = 0; layer < f->config.n_layers; layer++)
        if (!bind_layer(f, words, layer, err))
            return false;
    return true;
}
