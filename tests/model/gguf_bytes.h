/*
 * gguf_bytes.h - makes GGUF files for the tests, right ones and wrong ones.
 *
 *     struct gguf_bytes w = gguf_bytes_new(3);
 *     gguf_bytes_u32(&w, "llama.block_count", 1);
 *     gguf_bytes_tensor(&w, "token_embd.weight", 0, 2, (uint64_t[]){4, 8}, 4 * 8 * 4);
 *     struct str file = gguf_bytes_finish(&w, arena);
 */
#ifndef HONE_TESTS_MODEL_GGUF_BYTES_H
#define HONE_TESTS_MODEL_GGUF_BYTES_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/size.h"
#include "model/gguf.h"

struct gguf_bytes {
    uint32_t version;
    uint64_t n_keys, n_tensors; /* may be set to lies */
    size_t alignment, data_bytes;
    struct buf keys, tensors;
};

static inline struct gguf_bytes gguf_bytes_new(uint32_t version)
{
    struct gguf_bytes w = {.version = version, .alignment = 32};

    buf_init(&w.keys, 16 << 20);
    buf_init(&w.tensors, 16 << 20);
    return w;
}

static inline void gguf_bytes_put_u32(struct buf *b, uint32_t v)
{
    buf_put(b, &v, sizeof v);
}

static inline void gguf_bytes_put_u64(struct buf *b, uint64_t v)
{
    buf_put(b, &v, sizeof v);
}

static inline void gguf_bytes_put_str(struct buf *b, struct str s)
{
    gguf_bytes_put_u64(b, s.len);
    buf_put(b, s.ptr, s.len);
}

/* A key's name and type; its value's bytes follow by the caller. */
static inline struct buf *gguf_bytes_key(struct gguf_bytes *w, const char *key, uint32_t type)
{
    gguf_bytes_put_str(&w->keys, str_of(key));
    gguf_bytes_put_u32(&w->keys, type);
    w->n_keys++;
    return &w->keys;
}

static inline void gguf_bytes_u32(struct gguf_bytes *w, const char *key, uint32_t v)
{
    gguf_bytes_put_u32(gguf_bytes_key(w, key, GGUF_U32), v);
}

static inline void gguf_bytes_f32(struct gguf_bytes *w, const char *key, float v)
{
    buf_put(gguf_bytes_key(w, key, GGUF_F32), &v, sizeof v);
}

static inline void gguf_bytes_bool(struct gguf_bytes *w, const char *key, int v)
{
    buf_char(gguf_bytes_key(w, key, GGUF_BOOL), (char)v);
}

static inline void gguf_bytes_text(struct gguf_bytes *w, const char *key, const char *text)
{
    gguf_bytes_put_str(gguf_bytes_key(w, key, GGUF_STR), str_of(text));
}

static inline struct buf *gguf_bytes_array(struct gguf_bytes *w, const char *key, uint32_t item,
                                           uint64_t n)
{
    struct buf *b = gguf_bytes_key(w, key, GGUF_ARRAY);

    gguf_bytes_put_u32(b, item);
    gguf_bytes_put_u64(b, n);
    return b;
}

static inline void gguf_bytes_texts(struct gguf_bytes *w, const char *key, size_t n,
                                    const char *const *texts)
{
    struct buf *b = gguf_bytes_array(w, key, GGUF_STR, n);

    for (size_t i = 0; i < n; i++)
        gguf_bytes_put_str(b, str_of(texts[i]));
}

/* dims as in the file: the row's length first. The tensor lies behind the one before. */
static inline void gguf_bytes_tensor_at(struct gguf_bytes *w, const char *name, uint32_t type,
                                        uint32_t n_dims, const uint64_t *dims, uint64_t offset)
{
    gguf_bytes_put_str(&w->tensors, str_of(name));
    gguf_bytes_put_u32(&w->tensors, n_dims);
    for (uint32_t d = 0; d < n_dims; d++)
        gguf_bytes_put_u64(&w->tensors, dims[d]);
    gguf_bytes_put_u32(&w->tensors, type);
    gguf_bytes_put_u64(&w->tensors, offset);
    w->n_tensors++;
}

static inline void gguf_bytes_tensor(struct gguf_bytes *w, const char *name, uint32_t type,
                                     uint32_t n_dims, const uint64_t *dims, size_t size)
{
    gguf_bytes_tensor_at(w, name, type, n_dims, dims, w->data_bytes);
    w->data_bytes = size_round_up(w->data_bytes + size, w->alignment);
}

/* The whole file in a block of its own, so that the address sanitizer sees where it ends. Releases w. */
static inline struct str gguf_bytes_finish(struct gguf_bytes *w, struct arena *a)
{
    struct buf b;

    buf_init(&b, 64 << 20);
    buf_text(&b, "GGUF");
    gguf_bytes_put_u32(&b, w->version);
    gguf_bytes_put_u64(&b, w->n_tensors);
    gguf_bytes_put_u64(&b, w->n_keys);
    buf_str(&b, buf_view(&w->keys));
    buf_str(&b, buf_view(&w->tensors));
    while (b.len % w->alignment != 0)
        buf_char(&b, 0);
    for (size_t i = 0; i < w->data_bytes; i++)
        buf_char(&b, (char)(i % 4 == 3 ? 0x3f : i)); /* as FP32: between 0.5 and 1 */
    const struct str out = arena_str(a, buf_view(&b));
    buf_release(&b);
    buf_release(&w->keys);
    buf_release(&w->tensors);
    return out;
}
#endif
