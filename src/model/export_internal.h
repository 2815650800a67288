/*
 * export_internal.h - which rows of which tensor an adapter changes, whatever a family's files call and do with them.
 */
#ifndef HONE_MODEL_EXPORT_INTERNAL_H
#define HONE_MODEL_EXPORT_INTERNAL_H

#include "model/export.h"
#include "model/gguf_writer.h"
#include "model/model_files_internal.h"
#include "text/json.h"

#define MAX_FUSED 3 /* q, k and v */

/* The linear layers that lie in one tensor, one behind the other. */
struct lora_group {
    const char *pattern; /* the tensor's name, as in family.h */
    size_t n, rows, cols;
    struct lora_part {
        const struct lora *lora;
        size_t first;     /* row of the tensor */
        bool interleaved; /* rows of a head are in llama.cpp's order */
    } parts[MAX_FUSED];
};
/* The groups of a layer; how many. */
size_t lora_groups(const char *const patterns[N_WEIGHT_NAMES], const struct adapter *a,
                   size_t layer, bool interleaved, struct lora_group out[N_PROJECTIONS]);
/* The part that a row of the group's tensor belongs to, and the row of that part's B. */
const struct lora_part *lora_part_of(const struct lora_group *g, size_t row, size_t head_width,
                                     size_t *b_row);
/*
 * A group as one low-rank product: a [n R, K]; b [N, n R] times `times`: n where readers divide an adapter's one alpha by the rank that
 * they see, 1 where alpha is told for each group.
 */
void lora_group_values(const struct lora_group *g, size_t rank, size_t head_width, float times,
                       float *a, float *b);

/* A tensor of what is written: a base's rows, and what the adapter adds to them. */
struct merged_tensor {
    const char *name;
    size_t n_dims, dims[4]; /* rows first */
    struct matrix_view from;
    /* Of experts: each one's rows, one expert behind the other, of which from tells type, columns and the rows of all; NULL: the rows are
       from's. */
    const struct matrix_view *parts;
    size_t part_rows;
    struct lora_group group; /* n is 0 where the adapter changes nothing */
};
/* The tensors of the base's files, in their order: [files->n_tensors]. */
MUST_CHECK bool merged_tensors(const struct export_options *o, struct arena *a,
                               struct merged_tensor **out, struct error *err);
/* A folder's type of it: the type that is asked for, but bytes stay (MXFP4's blocks and exponents). */
enum dtype merged_folder_dtype(const struct export_options *o, const struct merged_tensor *t);
/* What an export in Hugging Face's layout has, base in whichever form: [*n]. */
MUST_CHECK bool folder_tensors(const struct export_options *o, struct arena *a,
                               struct merged_tensor **out, size_t *n, struct error *err);
/* Where rows go as they are made, some at a time. */
struct row_sink {
    void *ctx;
    bool (*take)(void *ctx, const void *rows, size_t size_bytes, struct error *err);
};
/* All rows in dtype; bit for bit where that is their own and nothing is added. Fails with ERR_INVALID for a value that F16 cannot hold. */
MUST_CHECK bool merged_make(const struct export_options *o, const struct merged_tensor *t,
                            enum dtype dtype, const struct row_sink *to, struct error *err);
MUST_CHECK bool merged_write(const struct export_options *o, const struct merged_tensor *t,
                             enum dtype dtype, struct file *f, struct error *err);

/* A GGUF file before it is written: its keys, and tensors whose bytes are there or, where data is NULL, are made. */
struct gguf_plan {
    struct gguf_head head;
    struct gguf_tensor *tensors;  /* [n] */
    struct merged_tensor *merged; /* [n], or NULL where all have data */
    size_t n;
};
/* What export_gguf and export_gguf_lora make: a file's name and the plan of it, which lives in a, but for the head. */
struct gguf_export {
    const char *file;
    bool (*plan)(const struct export_options *o, struct arena *a, struct gguf_plan *out,
                 struct error *err);
};
extern const struct gguf_export gguf_merged, gguf_lora;
/* Makes the plan, does something with it and the file in dir, and releases it. */
typedef bool gguf_plan_fn(const struct export_options *o, const struct gguf_plan *p,
                          const char *path, struct error *err);
MUST_CHECK bool gguf_planned(const struct gguf_export *e, const struct export_options *o,
                             const char *dir, gguf_plan_fn *then, struct error *err);

/* The plan of gguf_merged for a base in a folder (export_gguf_folder.c); and the tokenizer's keys of its files (export_vocab.c). */
MUST_CHECK bool gguf_plan_of_folder(const struct export_options *o, struct arena *a,
                                    struct gguf_plan *out, struct error *err);
MUST_CHECK bool vocab_put(const struct export_options *o, struct arena *a, struct gguf_head *h,
                          struct error *err);
/* llama.cpp's number for what most of a file's tensors are. */
uint32_t gguf_file_type(enum dtype t);
/* What export_gguf_lora_read makes of an open file; of f config and family are read. */
MUST_CHECK bool lora_from_gguf(const struct model_files *f, const struct gguf *g,
                               struct adapter **out, struct error *err);

/* ---- a Hugging Face folder of a base in GGUF (export_made.c) ---- */

/* ERR_UNSUPPORTED for a family, a rotation or a tokenizer that no folder is made of, by name. */
MUST_CHECK bool made_tensors(const struct export_options *o, struct arena *a,
                             struct merged_tensor **out, size_t *n, struct error *err);
MUST_CHECK bool made_files(const struct export_options *o, const char *dir, struct error *err);

/* "float32": of config.json */
const char *torch_name(enum dtype t);
/* Indented, in ASCII. */
MUST_CHECK bool json_put(const struct json_t *value, const char *path, struct error *err);
#endif
