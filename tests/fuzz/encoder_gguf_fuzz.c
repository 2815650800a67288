/*
 * encoder_gguf_fuzz.c - a GGUF file that may be anything and calls itself a BERT: it becomes an encoder that embeds a
 * text, or a sentence.
 */
#include "fuzz.h"

#include "model/encoder_internal.h"
#include "model/gguf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct encoder *e = NULL;
    struct gguf *g = NULL;
    struct error err = {0};

    if (!gguf_open_bytes(data, size, "fuzz.gguf", &g, &err))
        return 0;
    if (!encoder_of_gguf(g, "fuzz.gguf", &e, &err)) {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
        return 0;
    }
    float *v = calloc(encoder_width(e), sizeof *v);
    size_t n = 0;

    check(v != NULL);
    if (encoder_embed(e, STR("The fever, é"), v, &n, NULL, &err))
        check(n >= 2 && n <= encoder_max_tokens(e));
    free(v);
    encoder_close(e);
    return 0;
}
