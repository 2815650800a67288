/*
 * config_fuzz.c - a config.json that may be anything: it makes a shape that holds together, or a sentence.
 */
#include "fuzz.h"

#include "base/limits.h"
#include "model/config.h"
#include "model/family.h"
#include "model/fp8.h"
#include "text/json.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    } else {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
    }
    json_decref(root);
    return 0;
}
