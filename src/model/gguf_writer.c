/*
 * gguf_writer.c - the head is small and made in memory; the tensors go straight into the file.
 */
#include "model/gguf_writer.h"
#include "base/size.h"

void gguf_head_init(struct gguf_head *h)
{
    *h = (struct gguf_head){0};
    buf_init(&h->keys, GGUF_MAX_HEAD);
}

void gguf_head_release(struct gguf_head *h)
{
    buf_release(&h->keys);
}

static void put_u32(struct buf *b, uint32_t x)
{
    buf_put(b, &x, sizeof x);
}

static void put_u64(struct buf *b, uint64_t x)
{
    buf_put(b, &x, sizeof x);
}

static void put_str(struct buf *b, struct str s)
{
    put_u64(b, s.len);
    buf_str(b, s);
}

static void put_key(struct gguf_head *h, const char *key, enum gguf_type type)
{
    h->n_keys++;
    put_str(&h->keys, str_of(key));
    put_u32(&h->keys, (uint32_t)type);
}

void gguf_put_str(struct gguf_head *h, const char *key, struct str value)
{
    put_key(h, key, GGUF_STR);
    put_str(&h->keys, value);
}

void gguf_put_u32(struct gguf_head *h, const char *key, uint32_t value)
{
    put_key(h, key, GGUF_U32);
    put_u32(&h->keys, value);
}

void gguf_put_f32(struct gguf_head *h, const char *key, float value)
{
    put_key(h, key, GGUF_F32);
    buf_put(&h->keys, &value, sizeof value);
}

void gguf_put_value(struct gguf_head *h, const char *key, const struct gguf_value *value)
{
    put_key(h, key, value->type);
    if (value->type == GGUF_ARRAY) {
        put_u32(&h->keys, (uint32_t)value->item);
        put_u64(&h->keys, value->n_items);
    }
    if (value->type == GGUF_STR)
        put_str(&h->keys, value->bytes);
    else
        buf_str(&h->keys, value->bytes);
}

size_t gguf_tensor_bytes(const struct gguf_tensor *t)
{
    size_t n = 1;

    for (size_t d = 0; d < t->n_dims; d++)
        n *= t->dims[d]; /* of a model that is mapped or in memory, so this fits */
    return dtype_bytes(t->dtype, n);
}

void gguf_head_put(const struct gguf_head *h, const struct gguf_tensor *tensors, size_t n,
                   struct buf *out)
{
    uint64_t offset = 0;

    buf_text(out, "GGUF");
    put_u32(out, 3);
    put_u64(out, n);
    put_u64(out, h->n_keys);
    buf_str(out, buf_view(&h->keys));
    for (size_t i = 0; i < n; i++) {
        const struct gguf_tensor *t = &tensors[i];

        put_str(out, str_of(t->name));
        put_u32(out, (uint32_t)t->n_dims);
        for (size_t d = t->n_dims; d-- > 0;)
            put_u64(out, t->dims[d]);
        put_u32(out, gguf_type_number(t->dtype));
        put_u64(out, offset);
        offset += size_round_up(gguf_tensor_bytes(t), GGUF_WRITER_ALIGNMENT);
    }
    while (out->len % GGUF_WRITER_ALIGNMENT != 0 && !out->overflowed)
        buf_char(out, '\0');
}

bool gguf_begin(const struct gguf_head *h, const struct gguf_tensor *tensors, size_t n,
                struct file *f, struct error *err)
{
    struct buf b;

    buf_init(&b, 2 * GGUF_MAX_HEAD);
    gguf_head_put(h, tensors, n, &b);
    const bool ok = buf_ok(&h->keys, "the keys of a GGUF file", err) &&
                    buf_ok(&b, "the head of a GGUF file", err) && file_write(f, b.ptr, b.len, err);
    buf_release(&b);
    return ok;
}

bool gguf_pad(const struct gguf_tensor *t, struct file *f, struct error *err)
{
    static const char zeros[GGUF_WRITER_ALIGNMENT];
    const size_t n = gguf_tensor_bytes(t);

    return file_write(f, zeros, size_round_up(n, GGUF_WRITER_ALIGNMENT) - n, err);
}

bool gguf_key_is_of_the_file(const char *key)
{
    return strncmp(key, "split.", 6) == 0 || strcmp(key, "general.alignment") == 0;
}

bool gguf_write_joined(const struct gguf *g, const char *path, struct error *err)
{
    const size_t n = gguf_count(g);
    struct arena a = {0};
    struct gguf_tensor *tensors = ARENA_ARRAY(&a, struct gguf_tensor, n + 1);
    struct gguf_head head;
    struct file *f = NULL;

    gguf_head_init(&head);
    for (size_t i = 0; i < gguf_n_keys(g); i++) {
        const struct gguf_value *value;
        const char *key = gguf_key_at(g, i, &value);

        if (!gguf_key_is_of_the_file(key))
            gguf_put_value(&head, key, value);
    }
    for (size_t i = 0; i < n; i++)
        tensors[i] = *gguf_at(g, i);
    bool ok = file_create_beside(path, &f, err) && gguf_begin(&head, tensors, n, f, err);
    for (size_t i = 0; ok && i < n; i++)
        ok = file_write(f, tensors[i].data, tensors[i].size_bytes, err) &&
             gguf_pad(&tensors[i], f, err);
    ok = ok && file_commit(f, err);
    file_close(f);
    gguf_head_release(&head);
    arena_release(&a);
    return ok;
}
