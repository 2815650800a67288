/*
 * safetensors.h - reads and writes .safetensors: a length, a JSON header, raw tensors.
 *
 *     header length u64, {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [from, to]}, ...}, the data
 *
 * Files are mapped and checked on opening, as strictly as the format's own library: offsets fit shapes and types, and
 * the tensors fill the data part from end to end, with no overlap, gap or rest. One kind of tensor is checked and not
 * handed out: position_ids (I64), 0, 1, 2, ..., which transformers kept beside an encoder's weights. Read-only after _open: any number of
 * threads may use it.
 */
#ifndef HONE_MODEL_SAFETENSORS_H
#define HONE_MODEL_SAFETENSORS_H

#include "base/arena.h"
#include "base/file.h"
#include "tensor/dtype.h"

#define SAFETENSORS_MAX_HEADER ((size_t)100000000) /* bytes; the format's own limit */
#define SAFETENSORS_MAX_SHARDS 4096
#define SAFETENSORS_MAX_DIMS 4

struct safetensor {
    const char *name;
    enum dtype
        dtype; /* F32, F16, BF16, F8_E4M3, F8_E5M2; U8 of names that end with "_blocks" or "_scales" (MXFP4) */
    size_t n_dims,
        dims[SAFETENSORS_MAX_DIMS]; /* rows first; a size may be 0, no dimension is one value */
    const void *data;               /* any alignment */
};

/*
 * A file, or where there is none, the shards that <path>.index.json names, from the same folder.
 *
 * Fails with ERR_NOT_FOUND, ERR_CORRUPT, ERR_LIMIT, ERR_UNSUPPORTED (a type other than these), ERR_INVALID (the
 * JSON is none, or the index and its shards disagree), ERR_IO or ERR_NO_MEMORY; file and tensor are in the sentence.
 */
struct safetensors;
MUST_CHECK bool safetensors_open(const char *path, struct safetensors **out, struct error *err);
/* One file's bytes, which outlive it and stay the caller's; what names them in errors. */
MUST_CHECK bool safetensors_open_bytes(const void *bytes, size_t len, const char *what,
                                       struct safetensors **out, struct error *err);
void safetensors_close(struct safetensors *s);

size_t safetensors_count(const struct safetensors *s);
/* i in 0..count-1: in the order of the data, shard after shard in the order of their names. */
const struct safetensor *safetensors_at(const struct safetensors *s, size_t i);
const struct safetensor *safetensors_find(const struct safetensors *s,
                                          const char *name); /* NULL: not there */
size_t safetensors_n_files(const struct safetensors *s);
struct file_map safetensors_file(const struct safetensors *s,
                                 size_t i); /* in the order of their names */

/*
 * Whole or not at all; tensors in the given order; metadata pairs (may be NULL) end up under "__metadata__".
 * The same input gives the same bytes. Mixed types are best given widest first, so that each stays aligned.
 *
 * Fails with ERR_INVALID for a name that is empty, taken or reserved, ERR_UNSUPPORTED for a block type, or ERR_IO.
 */
MUST_CHECK bool safetensors_write(const char *path, const struct safetensor *tensors, size_t n,
                                  const char *const (*metadata)[2], size_t n_metadata,
                                  struct error *err);
/* The same where the tensors are made as they are written: fill writes tensor i, just as many bytes as it takes, into f. */
struct safetensors_source {
    void *ctx;
    bool (*fill)(void *ctx, size_t i, struct file *f, struct error *err);
};
MUST_CHECK bool safetensors_write_from(const char *path, const struct safetensor *tensors, size_t n,
                                       const char *const (*metadata)[2], size_t n_metadata,
                                       const struct safetensors_source *source, struct error *err);
#endif
