/*
 * safetensors_fuzz.c - a .safetensors file that may be anything: what opens fills its data from end to end.
 */
#include "model/safetensors.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors *s = NULL;
    struct error err = {0};
    const uint8_t *end = NULL;

    if (!safetensors_open_bytes(data, size, "fuzz.safetensors", &s, &err)) {
        check(s == NULL && err.kind != ERR_NONE && err.message[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct safetensor *t = safetensors_at(s, i);
        const uint8_t *p = t->data;
        float first = 0, last = 0;
        size_t n = 1;

        check(safetensors_find(s, t->name) == t);
        for (size_t d = 0; d < t->n_dims; d++)
            n *= t->dims[d];
        check(end == NULL || p == end); /* one after another */
        end = p + dtype_bytes(t->dtype, n);
        check(p >= data && end <= data + size);
        if (n > 0) {
            dtype_to_f32(t->dtype, p, 1, &first);
            dtype_to_f32(t->dtype, p + dtype_bytes(t->dtype, n - 1), 1, &last);
        }
    }
    check(end == NULL || end == data + size);
    safetensors_close(s);
    return 0;
}
