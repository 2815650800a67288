/*
 * export_internal.h - which rows of which tensor an adapter changes, whatever a family's files call and do with them.
 */
#ifndef HONE_MODEL_EXPORT_INTERNAL_H
#define HONE_MODEL_EXPORT_INTERNAL_H

#include "model/export.h"
#include "model/model_files_internal.h"

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
 * A group as one low-rank product: a [n R, K]; b [N, n R], times n, for readers divide alpha by the rank that they see.
 */
void lora_group_values(const struct lora_group *g, size_t rank, size_t head_width, float *a,
                       float *b);

struct merge {
    const struct export_options *o;
    struct lora_group *groups; /* [files->n_tensors]; n is 0 where the adapter changes nothing */
};
MUST_CHECK bool merge_open(const struct export_options *o, struct arena *a, struct merge *out,
                           struct error *err);
size_t tensor_rows(const struct file_tensor *t);
size_t tensor_cols(const struct file_tensor *t);
/* Tensor i of the files with the adapter added, in dtype. Fails with ERR_INVALID for a value that F16 cannot hold. */
MUST_CHECK bool merge_write(const struct merge *m, size_t i, enum dtype dtype, struct file *f,
                            struct error *err);
#endif
