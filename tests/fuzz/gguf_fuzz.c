/*
 * gguf_fuzz.c - a GGUF file that may be anything: what opens lies in the file, and its keys make a config or a sentence.
 *
 * Where GGUF stands once more in the input, what is from there on is tried as the second part of a model, too.
 */
#include "fuzz.h"

#include "base/arena.h"
#include "base/size.h"
#include "model/config.h"
#include "model/family.h"
#include "model/gguf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tensor(const struct gguf *g, size_t i, const uint8_t *data, size_t size)
{
    const struct gguf_tensor *t = gguf_at(g, i);
    const struct dtype_info *info = dtype_info(t->dtype);
    const uint8_t *p = t->data;
    float x[256];
    size_t n = 1;

    check(gguf_find(g, t->name) == t);
    for (size_t d = 0; d < t->n_dims; d++)
        n *= t->dims[d];
    check(n > 0 && t->size_bytes == dtype_bytes(t->dtype, n));
    check(p >= data && t->size_bytes <= size && (size_t)(p - data) <= size - t->size_bytes);
    dtype_to_f32(t->dtype, p, info->block, x); /* the first block and the last */
    dtype_to_f32(t->dtype, p + t->size_bytes - info->block_bytes, info->block, x);
}

static void check_keys(const struct gguf *g)
{
    static const char *const keys[] = {"tokenizer.ggml.tokens",
                                       "tokenizer.ggml.token_type",
                                       "tokenizer.ggml.scores",
                                       "tokenizer.ggml.model",
                                       "general.alignment",
                                       "n",
                                       "x"};
    struct arena a = {0};
    struct str text = {0}, *texts = NULL;
    int32_t *list = NULL;
    float *floats = NULL;
    int64_t number = 0;
    double x = 0;
    bool yes = false;
    size_t n = 0;
    unsigned char sum = 0;

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const bool there = gguf_get(g, keys[i]) != NULL;

        /* a key that is there has one type: at most one of these takes it, and the sum reads all that they give */
        (void)(gguf_get_int(g, keys[i], INT64_MIN, INT64_MAX, &number, NULL) ||
               gguf_get_double(g, keys[i], &x, NULL) || gguf_get_bool(g, keys[i], &yes, NULL) ||
               gguf_get_str(g, keys[i], &text, NULL));
        if (gguf_get_strs(g, keys[i], &a, &texts, &n, NULL) && there)
            for (size_t j = 0; j < n; j++)
                for (size_t k = 0; k < texts[j].len; k++)
                    sum ^= (unsigned char)texts[j].ptr[k];
        if (gguf_get_i32s(g, keys[i], &a, &list, &n, NULL) && there && n > 0)
            sum ^= (unsigned char)list[n - 1];
        if (gguf_get_f32s(g, keys[i], &a, &floats, &n, NULL) && there && n > 0)
            sum ^= floats[n - 1] > 0;
    }
    if (text.len > 0)
        sum ^= (unsigned char)text.ptr[text.len - 1];
    volatile unsigned char read = sum; /* else nothing of the above need happen */
    (void)read;
    arena_release(&a);
}

static void try_parts(const uint8_t *data, size_t size)
{
    const uint8_t *second = size < 5 ? NULL : memmem(data + 1, size - 1, "GGUF", 4);
    struct gguf *parts[2] = {NULL};
    struct error err = {0};

    if (second == NULL)
        return;
    const size_t len = (size_t)(second - data);
    if (!gguf_open_bytes(data, len, "1.gguf", &parts[0], &err) ||
        !gguf_open_bytes(second, size - len, "2.gguf", &parts[1], &err)) {
        gguf_close(parts[0]);
        return;
    }
    const size_t n = gguf_count(parts[0]), n_second = gguf_count(parts[1]);
    if (gguf_join(parts[0], &parts[1], 1, &err)) {
        check(gguf_count(parts[0]) == n + n_second && gguf_n_files(parts[0]) == 2);
        for (size_t i = 0; i < n + n_second; i++)
            check_tensor(parts[0], i, i < n ? data : second, i < n ? len : size - len);
    } else {
        check(err.kind != ERR_NONE && err.message[0] != '\0' && gguf_count(parts[0]) >= n);
    }
    gguf_close(parts[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *g = NULL;
    struct error err = {0};
    struct model_config c;
    const struct family *family = NULL;

    try_parts(data, size);
    if (!gguf_open_bytes(data, size, "fuzz.gguf", &g, &err)) {
        check(g == NULL && err.kind != ERR_NONE && err.message[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < gguf_count(g); i++)
        check_tensor(g, i, data, size);
    check_keys(g);
    if (config_from_gguf(g, &c, &family, &err)) {
        check(family != NULL && c.n_layers > 0 && c.vocab > 0 && c.n_heads % c.n_kv_heads == 0);
        check(c.head_width % 2 == 0 && c.rms_eps > 0 && c.rope[0].base >= 1 &&
              c.bos < (int)c.vocab);
        for (size_t i = 0; i < c.n_eos; i++)
            check(c.eos[i] >= 0 && (size_t)c.eos[i] < c.vocab);
    } else {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
    }
    gguf_close(g);
    return 0;
}
