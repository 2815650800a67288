/*
 * gguf_writer.h - writes GGUF version 3: keys, then the table of tensors, then, aligned, the tensors.
 *
 *     gguf_head_init(&h); gguf_put_...(&h, ...); gguf_begin(&h, tensors, n, f, err); for each tensor: its bytes, gguf_pad(...)
 */
#ifndef HONE_MODEL_GGUF_WRITER_H
#define HONE_MODEL_GGUF_WRITER_H

#include "base/buf.h"
#include "model/gguf.h"

#define GGUF_WRITER_ALIGNMENT 32 /* the format's own where a file does not tell another */

#define GGUF_MAX_HEAD                                                                              \
    ((size_t)1 << 30) /* a vocabulary of a million tokens with its merges has 50 MB */

struct gguf_head {
    struct buf keys;
    uint64_t n_keys;
};
void gguf_head_init(struct gguf_head *h);
void gguf_head_release(struct gguf_head *h);
void gguf_put_str(struct gguf_head *h, const char *key, struct str value);
void gguf_put_u32(struct gguf_head *h, const char *key, uint32_t value);
void gguf_put_f32(struct gguf_head *h, const char *key, float value);
void gguf_put_value(struct gguf_head *h, const char *key, const struct gguf_value *value);

/* Everything before the tensors, into a buffer that may grow to twice GGUF_MAX_HEAD; of these name, dtype, n_dims and dims (rows first) are read. */
void gguf_head_put(const struct gguf_head *h, const struct gguf_tensor *tensors, size_t n,
                   struct buf *out);
/* The same into a file. */
MUST_CHECK bool gguf_begin(const struct gguf_head *h, const struct gguf_tensor *tensors, size_t n,
                           struct file *f, struct error *err);
size_t gguf_tensor_bytes(const struct gguf_tensor *t);
/* What stands between a tensor's bytes and the next one. */
MUST_CHECK bool gguf_pad(const struct gguf_tensor *t, struct file *f, struct error *err);
/* All tensors of g's parts, and its keys but those that are about parts, as one file; whole or not at all. */
MUST_CHECK bool gguf_write_joined(const struct gguf *g, const char *path, struct error *err);
/* "split.count", "general.alignment": about the file, and not the model. */
bool gguf_key_is_of_the_file(const char *key);
#endif
