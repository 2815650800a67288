/*
 * safetensors.h - reads and writes .safetensors: a length, a JSON header, raw tensors.
 */
#ifndef HONE_MODEL_SAFETENSORS_H
#define HONE_MODEL_SAFETENSORS_H

#include "base/arena.h"
#include "tensor/dtype.h"

struct safetensor {
    const char *name;
    enum dtype dtype; /* F32, F16 or BF16 */
    size_t n_dims, dims[4];
    const void *data;
};

/* A file, or the shards that <file>.index.json names. */
struct safetensors;
MUST_CHECK bool safetensors_open(const char *path, struct safetensors **out, struct error *err);
void safetensors_close(struct safetensors *s);
size_t safetensors_count(const struct safetensors *s);
const struct safetensor *safetensors_at(const struct safetensors *s, size_t i);
const struct safetensor *safetensors_find(const struct safetensors *s, const char *name); /* NULL: not there */

/* Whole or not at all; tensors in the given order; metadata pairs (may be NULL) end up under "__metadata__". */
MUST_CHECK bool safetensors_write(const char *path, const struct safetensor *tensors, size_t n,
                                  const char *const (*metadata)[2], size_t n_metadata, struct error *err);
#endif
