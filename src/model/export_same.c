/*
 * export_same.c - is every tensor of what was written, bit for bit, what base and adapter make?
 *
 * The tensors are made again, a block of rows at a time, and held against the file's bytes: what is another file's, what was left out
 * and what has one bit changed is found however little it moves a log-probability.
 */
#include "base/size.h"
#include "model/export_internal.h"
#include "model/safetensors.h"
#include "model/shown.h"

#include <stdio.h>

static bool differs(const char *path, const char *name, const char *how, struct error *err)
{
    return fail(err, ERR_CORRUPT, "%s: the tensor %s differs from what base and adapter make: %s",
                path, shown(str_of(name)).text, how);
}

/* ---- one tensor ---- */

struct comparing {
    const char *path, *name;
    const char *is; /* the file's bytes from here on */
    size_t row, row_bytes;
};

static bool take_to_compare(void *ctx, const void *rows, size_t size_bytes, struct error *err)
{
    struct comparing *c = ctx;
    const char *want = rows;

    for (size_t at = 0; at < size_bytes; at += c->row_bytes, c->row++) {
        char how[64];

        if (memcmp(c->is + at, want + at, c->row_bytes) == 0)
            continue;
        snprintf(how, sizeof how, "row %zu has other values", c->row);
        return differs(c->path, c->name, how, err);
    }
    c->is += size_bytes;
    return true;
}

/* is: as many bytes as the tensor takes in dtype. */
static bool tensor_same(const struct export_options *o, const struct merged_tensor *t,
                        enum dtype dtype, const char *path, const void *is, struct error *err)
{
    struct comparing c = {
        .path = path, .name = t->name, .is = is, .row_bytes = dtype_bytes(dtype, t->from.cols)};
    const struct row_sink to = {.ctx = &c, .take = take_to_compare};

    return merged_make(o, t, dtype, &to, err);
}

struct shape {
    enum dtype dtype;
    size_t n_dims;
    const size_t *dims;
};

static bool shape_same(struct shape want, struct shape is, const char *path, const char *name,
                       struct error *err)
{
    char how[100];
    bool same = is.n_dims == want.n_dims;

    if (is.dtype != want.dtype) {
        snprintf(how, sizeof how, "it is %s, not %s", dtype_info(is.dtype)->name,
                 dtype_info(want.dtype)->name);
        return differs(path, name, how, err);
    }
    for (size_t d = 0; same && d < want.n_dims; d++)
        same = is.dims[d] == want.dims[d];
    return same || differs(path, name, "it has another shape", err);
}

static bool count_same(size_t want, size_t is, const char *path, struct error *err)
{
    return want == is ||
           fail(err, ERR_CORRUPT, "%s has %zu tensors, base and adapter make %zu", path, is, want);
}

/* ---- folders ---- */

bool export_folder_same(const struct export_options *o, const char *dir, struct error *err)
{
    struct arena a = {0};
    const char *path = file_join(&a, dir, "model.safetensors");
    struct merged_tensor *want = NULL;
    struct safetensors *s = NULL;
    size_t n = 0;
    bool ok = folder_tensors(o, &a, &want, &n, err) && safetensors_open(path, &s, err) &&
              count_same(n, safetensors_count(s), path, err);

    for (size_t i = 0; ok && i < n; i++) {
        const struct merged_tensor *w = &want[i];
        const struct safetensor *t = safetensors_find(s, w->name);
        const enum dtype dtype = merged_folder_dtype(o, w);

        ok = t == NULL
                 ? differs(path, w->name, "it is missing", err)
                 : shape_same((struct shape){dtype, w->n_dims, w->dims},
                              (struct shape){t->dtype, t->n_dims, t->dims}, path, w->name, err) &&
                       tensor_same(o, w, dtype, path, t->data, err);
    }
    safetensors_close(s);
    arena_release(&a);
    return ok;
}

/* An adapter as it is read: q, k and v apart, whatever the file has. */
bool export_peft_same(const struct export_options *o, const char *dir, struct error *err)
{
    const struct adapter *was = o->adapter;
    struct adapter *is = NULL;

    if (!adapter_load(&o->files->config, dir, &is, err))
        return false;
    bool ok = is->rank == was->rank && is->alpha == was->alpha;
    if (!ok)
        ok = fail(err, ERR_CORRUPT,
                  "%s: rank %zu and alpha %g differ from the run's own, %zu and %g", dir, is->rank,
                  (double)is->alpha, was->rank, (double)was->alpha);
    for (size_t l = 0; ok && l < was->n_layers; l++) {
        for (size_t p = 0; ok && p < was->n_projections; p++) {
            const struct lora *x = &was->layers[l][p], *y = &is->layers[l][p];

            if (memcmp(x->a, y->a, was->rank * x->k * sizeof *x->a) != 0 ||
                memcmp(x->b, y->b, was->rank * x->n * sizeof *x->b) != 0)
                ok = fail(err, ERR_CORRUPT, "%s: layer %zu, %s: values differ from the run's own",
                          dir, l, projection_hf_name((enum projection)p));
        }
    }
    adapter_close(is);
    return ok;
}

/* ---- GGUF ---- */

static bool value_same(const struct gguf_value *x, const struct gguf_value *y)
{
    return x->type == y->type && (x->type != GGUF_ARRAY || x->item == y->item) &&
           x->n_items == y->n_items && str_eq(x->bytes, y->bytes);
}

/* What a file is called may be another: an adapter has its folder's name. */
static bool is_of_the_place(const char *key)
{
    return strcmp(key, "general.name") == 0;
}

static bool keys_same(const struct gguf_plan *p, const struct gguf *is, struct error *err)
{
    struct gguf *want = NULL;
    struct buf b;
    bool ok;

    buf_init(&b, 2 * GGUF_MAX_HEAD);
    gguf_head_put(&p->head, NULL, 0, &b);
    ok = buf_ok(&b, "the keys of a GGUF file", err) &&
         gguf_open_bytes(b.ptr, b.len, "the keys that are expected", &want, err);
    for (size_t i = 0; ok && i < gguf_n_keys(want); i++) {
        const struct gguf_value *x, *y;
        const char *key = gguf_key_at(want, i, &x);

        y = gguf_get(is, key);
        if (!is_of_the_place(key) && (y == NULL || !value_same(x, y)))
            ok = fail(err, ERR_CORRUPT, "%s: the key %s %s", gguf_name(is), shown(str_of(key)).text,
                      y == NULL ? "is missing" : "differs from what an export writes");
    }
    for (size_t i = 0; ok && i < gguf_n_keys(is); i++) {
        const struct gguf_value *value;
        const char *key = gguf_key_at(is, i, &value);

        if (!is_of_the_place(key) && gguf_get(want, key) == NULL)
            ok = fail(err, ERR_CORRUPT, "%s: the key %s is none that an export writes",
                      gguf_name(is), shown(str_of(key)).text);
    }
    gguf_close(want);
    buf_release(&b);
    return ok;
}

static bool plan_same(const struct export_options *o, const struct gguf_plan *p, const char *path,
                      struct error *err)
{
    struct gguf *g = NULL;
    bool ok = gguf_open(path, &g, err) && keys_same(p, g, err) &&
              count_same(p->n, gguf_count(g), path, err);

    for (size_t i = 0; ok && i < p->n; i++) {
        const struct gguf_tensor *w = &p->tensors[i], *t = gguf_find(g, w->name);

        ok = t == NULL
                 ? differs(path, w->name, "it is missing", err)
                 : shape_same((struct shape){w->dtype, w->n_dims, w->dims},
                              (struct shape){t->dtype, t->n_dims, t->dims}, path, w->name, err);
        if (ok && w->data == NULL)
            ok = tensor_same(o, &p->merged[i], w->dtype, path, t->data, err);
        else if (ok && memcmp(w->data, t->data, gguf_tensor_bytes(w)) != 0)
            ok = differs(path, w->name, "it has other values", err);
    }
    gguf_close(g);
    return ok;
}

bool export_gguf_same(const struct export_options *o, const char *dir, struct error *err)
{
    return gguf_planned(&gguf_merged, o, dir, plan_same, err);
}

bool export_gguf_lora_same(const struct export_options *o, const char *dir, struct error *err)
{
    return gguf_planned(&gguf_lora, o, dir, plan_same, err);
}
