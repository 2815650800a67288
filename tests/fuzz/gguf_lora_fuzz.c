/*
 * gguf_lora_fuzz.c - an adapter in llama.cpp's form, of any bytes: the first says of which family's base it is ('l' llama, whose rows of q
 * and k have llama.cpp's order; 'p' Phi-3, whose tensors are fused). It is refused by a sentence, or every value of it lies in the adapter.
 */
#include "fuzz.h"

#include "model/export_internal.h"
#include "model/gguf.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct model_config config = {.family = "llama",
                                           .n_layers = 2,
                                           .width = 4,
                                           .n_heads = 2,
                                           .n_kv_heads = 1,
                                           .head_width = 2,
                                           .hidden = 6,
                                           .vocab = 8,
                                           .context = 8};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_files files = {.config = config, .path = "fuzz"};
    struct gguf *g = NULL;
    struct adapter *a = NULL;
    struct error err = {0};

    if (size < 1)
        return 0;
    files.family = data[0] == 'p' ? &family_phi3 : &family_llama;
    if (gguf_open_bytes(data + 1, size - 1, "fuzz.gguf", &g, &err) &&
        lora_from_gguf(&files, g, &a, &err)) {
        volatile float read;

        check(a->rank >= 1 && a->rank <= 1024 && a->alpha > 0 && isfinite(a->alpha));
        for (size_t i = 0; i < a->n_values; i++)
            read = a->values[i]; /* a sanitizer sees whether it is there */
        (void)read;
    } else {
        check(a == NULL && err.kind != ERR_NONE && err.message[0] != '\0');
    }
    adapter_close(a);
    gguf_close(g);
    return 0;
}
