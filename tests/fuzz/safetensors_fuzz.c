/*
 * safetensors_fuzz.c - a .safetensors file that may be anything: what opens fills its data from end to end, what is FP8 in it
 * finds its factors, and a layer of gpt-oss's experts their values, or there is a sentence.
 *
 * Input that begins with { gets the right length put in front of it: its header goes to the first zero byte.
 */
#include "fuzz.h"

#include "base/size.h"
#include "model/family.h"
#include "model/fp8.h"
#include "model/model_files_internal.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* With blocks of several sizes, and without: every value has a factor. */
static void check_scale(const struct safetensors *s, const struct safetensor *t)
{
    static const size_t blocks[][2] = {{0, 0}, {2, 16}, {128, 128}};
    struct arena a = {0};

    (void)fp8_is_beside(s, t->name);
    for (size_t i = 0; fp8_is_weight(t) && i < COUNT_OF(blocks); i++) {
        const struct fp8_config c = {true, blocks[i][0], blocks[i][1]};
        const struct weight_scale *scale = NULL;
        struct error err = {0};

        if (!fp8_scale(s, t, &c, "fuzz", &a, &scale, &err)) {
            check(scale == NULL && err.kind != ERR_NONE && err.message[0] != '\0');
            continue;
        }
        const struct matrix_view w = {.dtype = t->dtype,
                                      .rows = t->dims[0],
                                      .cols = t->dims[1],
                                      .data = t->data,
                                      .scale = scale};
        const float first = matrix_scale(&w, 0, 0), last = matrix_scale(&w, w.rows - 1, w.cols - 1);

        check(first - first == 0 && last - last == 0); /* finite */
    }
    arena_release(&a);
}

static int name_order(const void *a, const void *b)
{
    return strcmp(((const struct file_tensor *)a)->name, ((const struct file_tensor *)b)->name);
}

static void read_all(const struct matrix_view *w)
{
    float x[64];

    check(w->cols <= 64);
    for (size_t i = 0; i < w->rows; i++)
        matrix_row_to_f32(w, i, x);
}

/* The file as the weights of a layer of so many experts: whatever is bound lies in its data. */
static void check_experts(const struct safetensors *s, size_t n_experts, size_t width,
                          size_t hidden)
{
    static const struct shape_words words = {.width = "hidden_size", .hidden = "intermediate_size"};
    const size_t n = safetensors_count(s);
    struct arena a = {0};
    struct error err = {0};
    struct model_files f = {.path = "fuzz",
                            .family = &family_gpt_oss,
                            .config = {.n_layers = 1,
                                       .width = width,
                                       .hidden = hidden,
                                       .n_experts = n_experts,
                                       .n_chosen = 1},
                            .tensors = ARENA_ARRAY(&a, struct file_tensor, n + 1),
                            .n_tensors = n,
                            .weights = ARENA_ARRAY(&a, struct matrix_view, 3 + N_WEIGHT_NAMES)};

    for (size_t i = 0; i < n; i++) {
        const struct safetensor *t = safetensors_at(s, i);

        f.tensors[i] = (struct file_tensor){
            .name = t->name, .dtype = t->dtype, .n_dims = t->n_dims, .data = t->data};
        memcpy(f.tensors[i].dims, t->dims, sizeof t->dims);
    }
    qsort(f.tensors, n, sizeof *f.tensors, name_order);
    const bool ok = model_files_bind_experts(&f, &words, &err);
    check(ok || (err.kind != ERR_NONE && err.message[0] != '\0'));
    for (size_t e = 0; ok && e < n_experts; e++)
        for (size_t p = 0; p < 3; p++)
            read_all(&f.experts[e][p]);
    for (int w = W_GATE_BIASES; ok && w <= W_DOWN_BIASES; w++)
        read_all(&f.weights[weight_index((enum weight_name)w, 0)]);
    arena_release(&f.arena);
    arena_release(&a);
}

static void try(const uint8_t *data, size_t size)
{
    struct safetensors *s = NULL;
    struct error err = {0};
    const uint8_t *end = NULL;

    if (!safetensors_open_bytes(data, size, "fuzz.safetensors", &s, &err)) {
        check(s == NULL && err.kind != ERR_NONE && err.message[0] != '\0');
        return;
    }
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct safetensor *t = safetensors_at(s, i);
        const uint8_t *p = t->data;
        float first = 0, last = 0;
        size_t n = 1;

        check(safetensors_find(s, t->name) == t);
        check_scale(s, t);
        for (size_t d = 0; d < t->n_dims; d++)
            n *= t->dims[d];
        check(end == NULL || p >= end); /* one after another; position_ids may lie between */
        end = p + dtype_bytes(t->dtype, n);
        check(p >= data && end <= data + size);
        if (n > 0) {
            dtype_to_f32(t->dtype, p, 1, &first);
            dtype_to_f32(t->dtype, p + dtype_bytes(t->dtype, n - 1), 1, &last);
        }
    }
    check(end == NULL || end <= data + size);
    check_experts(s, 1, 32, 32);
    check_experts(s, 2, 2, 3);
    safetensors_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || data[0] != '{') {
        try(data, size);
        return 0;
    }
    const uint8_t *end = memchr(data, 0, size);
    const uint64_t header = end == NULL ? size : (size_t)(end - data);
    const size_t rest = end == NULL ? 0 : size - header - 1;
    uint8_t *file = malloc(sizeof header + header + rest);

    check(file != NULL);
    memcpy(file, &header, sizeof header);
    memcpy(file + sizeof header, data, header);
    if (rest > 0)
        memcpy(file + sizeof header + header, end + 1, rest);
    try(file, sizeof header + header + rest);
    free(file);
    return 0;
}
