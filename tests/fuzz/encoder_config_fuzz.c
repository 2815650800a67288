/*
 * encoder_config_fuzz.c - an encoder's JSON files, any of which may be anything: config.json, and behind zero bytes
 * sentence_bert_config.json, modules.json and the pooling's config.json. They make a shape that holds together, or a
 * sentence.
 */
#include "fuzz.h"

#include "base/limits.h"
#include "model/encoder_internal.h"
#include "text/json.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *take_json(struct str *input)
{
    const size_t end = str_find(*input, STR("\0"), 0);
    json_t *root = NULL;

    (void)!json_parse((struct str){input->ptr, end}, "fuzz", &root, NULL);
    *input = str_from(*input, end < input->len ? end + 1 : end);
    return root;
}

static void told(bool ok, const struct error *err)
{
    check(ok || (err->kind != ERR_NONE && err->message[0] != '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    json_t *config = take_json(&input), *length = take_json(&input), *modules = take_json(&input),
           *pooling = take_json(&input);
    struct encoder_config c = {.max_tokens = 512};
    struct error err = {0};
    struct str folder = STR("1_Pooling");
    enum pooling p = POOL_MEAN;
    bool ok = encoder_config_from_json(config, "config.json", &c, &err);

    told(ok, &err);
    if (ok) {
        check(c.n_layers > 0 && c.n_layers <= LIMIT_LAYERS && c.width > 0 &&
              c.width <= LIMIT_WIDTH && c.hidden > 0 && c.hidden <= LIMIT_WIDTH);
        check(c.n_heads > 0 && c.width % c.n_heads == 0 && c.vocab > 0 && c.vocab <= LIMIT_VOCAB);
        check(c.types > 0 && c.positions >= 2 && c.positions <= LIMIT_CONTEXT && c.eps > 0);
    }
    ok = encoder_length_from_json(length, "sentence_bert_config.json", &c, &err);
    told(ok, &err);
    check(c.max_tokens >= 2);
    ok = encoder_modules_from_json(modules, "modules.json", &folder, &err);
    told(ok, &err);
    check(folder.len > 0 && folder.ptr[0] != '.' && memchr(folder.ptr, '/', folder.len) == NULL);
    ok = encoder_pooling_from_json(pooling, "1_Pooling/config.json", &p, &err);
    told(ok, &err);
    json_decref(config);
    json_decref(length);
    json_decref(modules);
    json_decref(pooling);
    return 0;
}
