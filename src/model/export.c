/*
 * export.c - what all forms share: an adapter's rows are found in a family's tensors, added, and rounded once.
 */
#include "model/export.h"
#include "base/parallel.h"
#include "base/size.h"
#include "model/export_internal.h"
#include "model/model.h"
#include "model/shown.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define BLOCK_BYTES ((size_t)4 << 20) /* of rows that are made before they are written */

static const struct {
    const char *name;
    enum dtype dtype;
} dtypes[] = {{"f32", DTYPE_F32}, {"f16", DTYPE_F16}, {"bf16", DTYPE_BF16}, {"q8_0", DTYPE_Q8_0}};

bool export_dtype_named(struct str name, enum dtype *out)
{
    for (size_t i = 0; i < COUNT_OF(dtypes); i++) {
        if (str_is(name, dtypes[i].name)) {
            *out = dtypes[i].dtype;
            return true;
        }
    }
    return false;
}

const char *export_dtype_name(enum dtype t)
{
    for (size_t i = 0; i < COUNT_OF(dtypes); i++)
        if (dtypes[i].dtype == t)
            return dtypes[i].name;
    return dtype_info(t)->name;
}

enum dtype export_dtype_default(const struct model_files *f, bool gguf)
{
    const enum dtype t = model_files_weight(f, W_O, 0).dtype;

    if (t == DTYPE_F32 || t == DTYPE_F16 || t == DTYPE_BF16)
        return t;
    return gguf ? DTYPE_F16 : DTYPE_F32;
}

size_t lora_groups(const char *const patterns[N_WEIGHT_NAMES], const struct adapter *a,
                   size_t layer, bool interleaved, struct lora_group out[N_PROJECTIONS])
{
    size_t n = 0;

    for (size_t p = 0; p < a->n_projections; p++) {
        const char *pattern = patterns[projection_weight[p]];
        const struct lora *w = &a->layers[layer][p];
        struct lora_group *g = n > 0 ? &out[n - 1] : NULL; /* fused ones are neighbours */

        if (g == NULL || strcmp(g->pattern, pattern) != 0) {
            g = &out[n++];
            *g = (struct lora_group){.pattern = pattern, .cols = w->k};
        }
        assert(g->n < MAX_FUSED && g->cols == w->k);
        g->parts[g->n++] = (struct lora_part){
            .lora = w, .first = g->rows, .interleaved = interleaved && p <= PROJ_K};
        g->rows += w->n;
    }
    return n;
}

const struct lora_part *lora_part_of(const struct lora_group *g, size_t row, size_t head_width,
                                     size_t *b_row)
{
    size_t i = g->n - 1;

    while (row < g->parts[i].first)
        i--;
    const struct lora_part *p = &g->parts[i];
    const size_t r = row - p->first, in = r % head_width;

    /* row 2j of a head is j of its first half, 2j + 1 of the second: model_files.c reads it the other way round */
    *b_row = p->interleaved ? r - in + in % 2 * (head_width / 2) + in / 2 : r;
    return p;
}

void lora_group_values(const struct lora_group *g, size_t rank, size_t head_width, float times,
                       float *a, float *b)
{
    const size_t all = g->n * rank;

    for (size_t i = 0; i < g->n; i++)
        memcpy(a + i * rank * g->cols, g->parts[i].lora->a, rank * g->cols * sizeof *a);
    for (size_t row = 0; row < g->rows; row++) {
        size_t b_row;
        const struct lora_part *p = lora_part_of(g, row, head_width, &b_row);
        float *to = b + row * all;

        memset(to, 0, all * sizeof *to);
        to += (size_t)(p - g->parts) * rank;
        for (size_t r = 0; r < rank; r++)
            to[r] = times * p->lora->b[b_row * rank + r];
    }
}

static int name_order(const void *name, const void *tensor)
{
    return strcmp(name, ((const struct file_tensor *)tensor)->name);
}

static struct merged_tensor as_it_lies(const struct file_tensor *t)
{
    struct merged_tensor m = {.name = t->name, .n_dims = t->n_dims};
    size_t rows = 1;

    memcpy(m.dims, t->dims, sizeof t->dims);
    for (size_t d = 0; d + 1 < t->n_dims; d++)
        rows *= t->dims[d];
    m.from = (struct matrix_view){.dtype = t->dtype,
                                  .rows = rows,
                                  .cols = t->n_dims > 0 ? t->dims[t->n_dims - 1] : 1,
                                  .data = t->data,
                                  .scale = t->scale};
    return m;
}

bool merged_tensors(const struct export_options *o, struct arena *a, struct merged_tensor **out,
                    struct error *err)
{
    const struct model_files *f = o->files;
    const struct family *family = f->family;
    const char *const *patterns = f->gguf != NULL ? family->gguf_tensor : family->hf_tensor;
    struct merged_tensor *all = arena_try(a, f->n_tensors, sizeof *all, "the list of tensors", err);
    struct lora_group layer[N_PROJECTIONS];

    if (all == NULL)
        return false;
    for (size_t i = 0; i < f->n_tensors; i++)
        all[i] = as_it_lies(&f->tensors[i]);
    for (size_t l = 0; o->adapter != NULL && l < o->adapter->n_layers; l++) {
        const size_t n = lora_groups(patterns, o->adapter, l,
                                     f->gguf != NULL && family->gguf_interleaves, layer);

        for (size_t i = 0; i < n; i++) {
            char name[128];

            family_tensor_name(layer[i].pattern, l, ".weight", name, sizeof name);
            const struct file_tensor *t =
                bsearch(name, f->tensors, f->n_tensors, sizeof *f->tensors, name_order);
            assert(t != NULL); /* it was bound */
            struct merged_tensor *m = &all[t - f->tensors];
            assert(m->from.rows == layer[i].rows && m->from.cols == layer[i].cols);
            m->group = layer[i];
        }
    }
    *out = all;
    return true;
}

enum dtype merged_folder_dtype(const struct export_options *o, const struct merged_tensor *t)
{
    return t->from.dtype == DTYPE_U8 ? DTYPE_U8 : o->dtype;
}

/* Blocks of 32 as ggml's reference rounds them: the largest value becomes 127. */
static void q8_0_from_f32(const float *x, size_t n, uint8_t *out)
{
    for (size_t at = 0; at < n; at += 32, out += 34) {
        float most = 0;

        for (size_t i = 0; i < 32; i++)
            most = fmaxf(most, fabsf(x[at + i]));
        const float d = most / 127.0f, inverse = d > 0 ? 1.0f / d : 0.0f;
        const uint16_t h = f32_to_f16(d);
        memcpy(out, &h, sizeof h);
        for (size_t i = 0; i < 32; i++)
            out[2 + i] = (uint8_t)(int8_t)roundf(x[at + i] * inverse);
    }
}

/* False where a finite value became infinite. */
static bool row_round(enum dtype t, const float *x, size_t n, void *out)
{
    uint16_t *half = out;
    bool fits = true;

    if (t == DTYPE_F32)
        memcpy(out, x, n * sizeof *x);
    else if (t == DTYPE_Q8_0)
        q8_0_from_f32(x, n, out);
    for (size_t i = 0; t == DTYPE_BF16 && i < n; i++)
        half[i] = f32_to_bf16(x[i]);
    for (size_t i = 0; t == DTYPE_F16 && i < n; i++) {
        half[i] = f32_to_f16(x[i]);
        fits = fits && (fabsf(x[i]) < 65520.0f || !isfinite(x[i]));
    }
    return fits;
}

struct block {
    const struct export_options *o;
    const struct merged_tensor *t;
    size_t first, row_bytes;
    enum dtype dtype;
    float *row; /* [parallel_threads(), cols] */
    char *out;
    atomic_bool overflowed;
};

static void row_make(void *ctx, size_t unit, int thread)
{
    struct block *b = ctx;
    const size_t row = b->first + unit, cols = b->t->from.cols;
    const struct matrix_view *base =
        b->t->parts != NULL ? &b->t->parts[row / b->t->part_rows] : &b->t->from;
    const size_t at = b->t->parts != NULL ? row % b->t->part_rows : row;
    const struct adapter *a = b->o->adapter;
    float *x = b->row + (size_t)thread * cols;
    char *out = b->out + unit * b->row_bytes;

    if (b->dtype == base->dtype && base->scale == NULL && b->t->group.n == 0) {
        const void *as_it_is = matrix_row_packed(base, at, out);

        if (as_it_is != out)
            memcpy(out, as_it_is, b->row_bytes);
        return;
    }
    matrix_row_to_f32(base, at, x);
    if (b->t->group.n > 0) {
        size_t b_row;
        const struct lora_part *p =
            lora_part_of(&b->t->group, row, b->o->files->config.head_width, &b_row);

        for (size_t r = 0; r < a->rank; r++) {
            const float by = a->scale * p->lora->b[b_row * a->rank + r];
            const float *from = p->lora->a + r * cols;

            for (size_t k = 0; k < cols; k++)
                x[k] += by * from[k];
        }
    }
    if (!row_round(b->dtype, x, cols, out))
        atomic_store(&b->overflowed, true);
}

bool merged_make(const struct export_options *o, const struct merged_tensor *t, enum dtype dtype,
                 const struct row_sink *to, struct error *err)
{
    const size_t rows = t->from.rows, cols = t->from.cols;
    struct arena arena = {0};
    struct block b = {.o = o, .t = t, .dtype = dtype, .row_bytes = dtype_bytes(dtype, cols)};
    const size_t n = size_max(1, BLOCK_BYTES / size_max(1, b.row_bytes));

    b.row = arena_try(&arena, (size_t)parallel_threads() * cols, sizeof *b.row, "a row of weights",
                      err);
    b.out = arena_try(&arena, size_min(n, rows), b.row_bytes, "rows of weights", err);
    bool ok = b.row != NULL && b.out != NULL;
    for (; ok && b.first < rows; b.first += n) {
        const size_t end = size_min(b.first + n, rows);

        if (o->stop != NULL && atomic_load(o->stop)) {
            ok = fail(err, ERR_CANCELLED, "the export was stopped");
            break;
        }
        parallel_for(end - b.first, row_make, &b);
        ok = atomic_load(&b.overflowed)
                 ? fail(err, ERR_INVALID,
                        "%s: the tensor %s has values beyond F16's 65504: take bf16 or f32",
                        o->files->path, shown(str_of(t->name)).text)
                 : to->take(to->ctx, b.out, (end - b.first) * b.row_bytes, err);
    }
    arena_release(&arena);
    return ok;
}

static bool take_to_file(void *ctx, const void *rows, size_t size_bytes, struct error *err)
{
    return file_write(ctx, rows, size_bytes, err);
}

bool merged_write(const struct export_options *o, const struct merged_tensor *t, enum dtype dtype,
                  struct file *f, struct error *err)
{
    const struct row_sink to = {.ctx = f, .take = take_to_file};

    return merged_make(o, t, dtype, &to, err);
}
