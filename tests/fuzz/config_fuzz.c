/*
 * config_fuzz.c - a config.json that may be anything: it makes a shape that holds together, or a sentence.
 */
#include "fuzz.h"

#include "base/limits.h"
#include "model/config.h"
#include "model/family.h"
#include "model/fp8.h"
#include "text/json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every layer has a rotation that can be made, or none, and a window where it is said to have one. */
static void check_layers(const struct model_config *c)
{
    static double f[512];
    const size_t width = config_rotary_width(c);

    check(width > 0 && width % 2 == 0 && width <= c->head_width);
    for (size_t l = 0; l < c->n_layers; l++) {
        check(c->layers[l].rope <= ROPE_NONE && (!c->layers[l].windowed || c->window > 0));
        check(c->layers[l].rope == ROPE_NONE || c->rope[c->layers[l].rope].base >= 1);
    }
    for (size_t which = 0; which < 2 && width <= 1024; which++) {
        if (c->rope[which].base == 0)
            continue;
        const double factor = rope_frequencies(&c->rope[which], width, c->context, f);

        check(factor > 0 && isfinite(factor));
        for (size_t i = 0; i < width / 2; i++)
            check(isfinite(f[i]));
    }
    check(isfinite(c->embedding_scale) && isfinite(c->residual_scale));
    check(isfinite(c->attention_scale) && isfinite(c->logit_divisor));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct model_config c;
    const struct family *family = NULL;
    json_t *root = NULL;

    if (!json_parse((struct str){(const char *)data, size}, "config.json", &root, &err))
        return 0;
    struct fp8_config fp8;
    if (fp8_config_take(root, "config.json", &fp8, &err))
        check(fp8.is_fp8 ? fp8.block_cols % 16 == 0 && (fp8.block_rows > 0) == (fp8.block_cols > 0)
                         : fp8.block_rows == 0);
    if (config_from_json(root, "config.json", &c, &family, &err)) {
        check(family != NULL && c.n_layers > 0 && c.n_layers <= LIMIT_LAYERS);
        check(c.width > 0 && c.width <= LIMIT_WIDTH && c.hidden > 0 && c.hidden <= LIMIT_WIDTH);
        check(c.n_kv_heads > 0 && c.n_heads % c.n_kv_heads == 0 && c.head_width % 2 == 0);
        check(c.n_heads * c.head_width <= LIMIT_WIDTH && c.vocab > 0 && c.vocab <= LIMIT_VOCAB);
        check(c.context > 0 && c.context <= LIMIT_CONTEXT && c.rms_eps > 0 && c.rope[0].base >= 1);
        check(c.bos >= -1 && c.bos < (int)c.vocab && c.n_eos <= MODEL_MAX_EOS);
        for (size_t i = 0; i < c.n_eos; i++)
            check(c.eos[i] >= 0 && (size_t)c.eos[i] < c.vocab);
        check_layers(&c);
    } else {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
    }
    json_decref(root);
    return 0;
}
