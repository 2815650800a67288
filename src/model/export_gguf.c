/*
 * export_gguf.c - a merged model, or an adapter alone, for llama.cpp.
 *
 * A merged file of a base in GGUF is the base's with the adapted matrices replaced: its keys, its tokenizer and what the adapter does not touch are
 * copied byte for byte. An adapter is what llama.cpp's convert_lora_to_gguf.py writes.
 */
#include "base/size.h"
#include "model/export_internal.h"
#include "model/gguf_writer.h"

#include <math.h>

uint32_t gguf_file_type(enum dtype t)
{
    return t == DTYPE_F32 ? 0 : t == DTYPE_F16 ? 1 : t == DTYPE_BF16 ? 32 : 7;
}

static void keys_copy(const struct export_options *o, struct gguf_head *h)
{
    const struct gguf *g = o->files->gguf;

    for (size_t i = 0; i < gguf_n_keys(g); i++) {
        const struct gguf_value *value;
        const char *key = gguf_key_at(g, i, &value);

        if (gguf_key_is_of_the_file(key) || strcmp(key, "general.file_type") == 0 ||
            (o->template.ptr != NULL && strcmp(key, "tokenizer.chat_template") == 0))
            continue;
        gguf_put_value(h, key, value);
    }
    gguf_put_u32(h, "general.file_type", gguf_file_type(o->dtype));
    if (o->template.ptr != NULL)
        gguf_put_str(h, "tokenizer.chat_template", o->template);
}

static bool blocks_fit(const struct export_options *o, const struct merged_tensor *t,
                       struct error *err)
{
    const size_t block = dtype_info(o->dtype)->block;

    return t->from.cols % block == 0 ||
           fail_param(err, ERR_INVALID, "dtype",
                      "%s has rows of %zu values, and blocks of %s have %zu: take f16 or f32",
                      t->name, t->from.cols, export_dtype_name(o->dtype), block);
}

static bool plan_merged(const struct export_options *o, struct arena *a, struct gguf_plan *out,
                        struct error *err)
{
    const struct model_files *files = o->files;

    if (files->gguf == NULL)
        return gguf_plan_of_folder(o, a, out, err);
    out->n = files->n_tensors;
    gguf_head_init(&out->head);
    keys_copy(o, &out->head);
    out->tensors = ARENA_ARRAY(a, struct gguf_tensor, out->n);
    bool ok = merged_tensors(o, a, &out->merged, err);
    for (size_t i = 0; ok && i < out->n; i++) {
        struct gguf_tensor *t = &out->tensors[i];

        *t = *gguf_find(files->gguf, files->tensors[i].name);
        if (out->merged[i].group.n > 0) {
            t->dtype = o->dtype;
            t->data = NULL;
            ok = blocks_fit(o, &out->merged[i], err);
        }
    }
    return ok;
}

static bool plan_write(const struct export_options *o, const struct gguf_plan *p, const char *path,
                       struct error *err)
{
    struct file *f = NULL;
    bool ok = file_create_beside(path, &f, err) && gguf_begin(&p->head, p->tensors, p->n, f, err);

    for (size_t i = 0; ok && i < p->n; i++) {
        const struct gguf_tensor *t = &p->tensors[i];

        ok = (t->data == NULL ? merged_write(o, &p->merged[i], t->dtype, f, err)
                              : file_write(f, t->data, t->size_bytes, err)) &&
             gguf_pad(t, f, err);
    }
    ok = ok && file_commit(f, err);
    file_close(f);
    return ok;
}

const struct gguf_export gguf_merged = {"model.gguf", plan_merged};

bool gguf_planned(const struct gguf_export *e, const struct export_options *o, const char *dir,
                  gguf_plan_fn *then, struct error *err)
{
    struct arena a = {0};
    struct gguf_plan plan = {0};
    const bool ok = e->plan(o, &a, &plan, err) && then(o, &plan, file_join(&a, dir, e->file), err);

    gguf_head_release(&plan.head);
    arena_release(&a);
    return ok;
}

bool export_gguf(const struct export_options *o, const char *dir, struct error *err)
{
    return gguf_planned(&gguf_merged, o, dir, plan_write, err);
}

/* ---- adapters ---- */

/* The groups of all layers, one behind the other; n_groups of each. */
static struct lora_group *all_groups(const struct model_files *files, const struct adapter *adapter,
                                     struct arena *a, size_t *n)
{
    struct lora_group *g = ARENA_ARRAY(a, struct lora_group, adapter->n_layers * N_PROJECTIONS);

    *n = 0;
    for (size_t l = 0; l < adapter->n_layers; l++)
        *n += lora_groups(files->family->gguf_tensor, adapter, l, files->family->gguf_interleaves,
                          g + *n);
    return g;
}

static char *lora_name(const struct lora_group *g, size_t layer, const char *which, struct arena *a)
{
    char *name = arena_alloc(a, 160);

    family_tensor_name(g->pattern, layer, ".weight", name, 128);
    strcat(name, which);
    return name;
}

static void lora_tensors(const struct model_files *files, const struct lora_group *groups,
                         size_t n_groups, const struct adapter *adapter, struct arena *a,
                         struct gguf_tensor *out)
{
    for (size_t i = 0; i < n_groups; i++) {
        const struct lora_group *g = &groups[i];
        const size_t rank = g->n * adapter->rank, layer = i / (n_groups / adapter->n_layers);
        float *va = ARENA_ARRAY(a, float, rank * g->cols),
              *vb = ARENA_ARRAY(a, float, g->rows *rank);

        lora_group_values(g, adapter->rank, files->config.head_width, (float)g->n, va, vb);
        out[2 * i] = (struct gguf_tensor){.name = lora_name(g, layer, ".lora_a", a),
                                          .n_dims = 2,
                                          .dims = {rank, g->cols},
                                          .data = va,
                                          .size_bytes = rank * g->cols * sizeof *va};
        out[2 * i + 1] = (struct gguf_tensor){.name = lora_name(g, layer, ".lora_b", a),
                                              .n_dims = 2,
                                              .dims = {g->rows, rank},
                                              .data = vb,
                                              .size_bytes = g->rows * rank * sizeof *vb};
    }
}

static bool plan_lora(const struct export_options *o, struct arena *a, struct gguf_plan *out,
                      struct error *err)
{
    const struct family *family = o->files->family;
    struct gguf_head *h = &out->head;
    size_t n;

    if (family->gguf_arch == NULL)
        return fail(err, ERR_UNSUPPORTED, "llama.cpp has no %s models, so no adapters of them",
                    family->name);
    const struct lora_group *groups = all_groups(o->files, o->adapter, a, &n);
    out->n = 2 * n;
    out->tensors = ARENA_ARRAY(a, struct gguf_tensor, out->n);
    lora_tensors(o->files, groups, n, o->adapter, a, out->tensors);
    gguf_head_init(h);
    gguf_put_str(h, "general.architecture", str_of(family->gguf_arch));
    gguf_put_str(h, "general.type", STR("adapter"));
    if (o->name != NULL)
        gguf_put_str(h, "general.name", str_of(o->name));
    gguf_put_u32(h, "general.file_type", gguf_file_type(DTYPE_F32));
    gguf_put_str(h, "adapter.type", STR("lora"));
    gguf_put_f32(h, "adapter.lora.alpha", o->adapter->alpha);
    gguf_put_u32(h, "general.quantization_version", 2);
    return true;
}

const struct gguf_export gguf_lora = {"adapter.gguf", plan_lora};

bool export_gguf_lora(const struct export_options *o, const char *dir, struct error *err)
{
    return gguf_planned(&gguf_lora, o, dir, plan_write, err);
}

/* ---- and back ---- */

static bool lora_find(const struct gguf *g, const char *name, size_t rows, size_t cols,
                      const char **out, struct error *err)
{
    const struct gguf_tensor *t = gguf_find(g, name);

    if (t == NULL || t->dtype != DTYPE_F32 || t->n_dims != 2 || t->dims[0] != rows ||
        t->dims[1] != cols)
        return fail(err, ERR_INVALID, "%s: the tensor %s is %s, F32 [%zu, %zu] was expected",
                    gguf_name(g), name, t == NULL ? "missing" : "another", rows, cols);
    *out = t->data;
    return true;
}

static bool group_read(const struct model_files *files, const struct gguf *g,
                       const struct lora_group *group, size_t layer, size_t rank, struct error *err)
{
    struct arena a = {0};
    const size_t all = group->n * rank;
    const char *va = NULL, *vb = NULL; /* floats, at any address */
    const bool ok =
        lora_find(g, lora_name(group, layer, ".lora_a", &a), all, group->cols, &va, err) &&
        lora_find(g, lora_name(group, layer, ".lora_b", &a), group->rows, all, &vb, err);

    for (size_t i = 0; ok && i < group->n; i++) {
        const size_t n = rank * group->cols * sizeof(float);

        memcpy(group->parts[i].lora->a, va + i * n, n);
    }
    for (size_t row = 0; ok && row < group->rows; row++) {
        size_t b_row;
        const struct lora_part *p = lora_part_of(group, row, files->config.head_width, &b_row);
        float *to = p->lora->b + b_row * rank;

        memcpy(to, vb + (row * all + (size_t)(p - group->parts) * rank) * sizeof *to,
               rank * sizeof *to);
        for (size_t r = 0; r < rank; r++)
            to[r] /= (float)group->n;
    }
    arena_release(&a);
    return ok;
}

/* The rank is that of the output projection, which no family fuses. */
static bool lora_shape(const struct model_files *files, const struct gguf *g, size_t *rank,
                       double *alpha, struct error *err)
{
    char name[160];

    family_tensor_name(files->family->gguf_tensor[W_O], 0, ".weight.lora_a", name, sizeof name);
    const struct gguf_tensor *t = gguf_find(g, name);
    if (t == NULL || t->n_dims != 2)
        return fail(err, ERR_INVALID, "%s: the tensor %s is missing", gguf_name(g), name);
    *rank = t->dims[0];
    return gguf_need(g, "adapter.lora.alpha", err) &&
           gguf_get_double(g, "adapter.lora.alpha", alpha, err) &&
           ((*alpha > 0 && *alpha <= 1e9) ||
            fail(err, ERR_INVALID, "%s: adapter.lora.alpha is %g", gguf_name(g), *alpha));
}

bool lora_from_gguf(const struct model_files *f, const struct gguf *g, struct adapter **out,
                    struct error *err)
{
    struct arena a = {0};
    struct adapter *adapter = NULL;
    size_t rank = 0, n = 0;
    double alpha = 0;
    bool ok = lora_shape(f, g, &rank, &alpha, err) &&
              adapter_new(&f->config, rank, (float)alpha, 0, &adapter, err);
    const struct lora_group *groups = ok ? all_groups(f, adapter, &a, &n) : NULL;

    for (size_t i = 0; ok && i < n; i++)
        ok = group_read(f, g, &groups[i], i / (n / adapter->n_layers), rank, err);
    arena_release(&a);
    if (!ok) {
        adapter_close(adapter);
        return false;
    }
    adapter_changed(adapter);
    *out = adapter;
    return true;
}

bool export_gguf_lora_read(const struct model_files *f, const char *path, struct adapter **out,
                           struct error *err)
{
    struct gguf *g = NULL;
    const bool ok = gguf_open(path, &g, err) && lora_from_gguf(f, g, out, err);

    gguf_close(g);
    return ok;
}
