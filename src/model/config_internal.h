/*
 * config_internal.h - what the parts of reading a config share.
 *
 * config_rope.c reads rotations, config_layers.c which layers have a window or no rotation; config.c all else.
 */
#ifndef HONE_MODEL_CONFIG_INTERNAL_H
#define HONE_MODEL_CONFIG_INTERNAL_H

#include "model/config.h"
#include "model/family.h"
#include "model/gguf.h"
#include "text/json.h"

/* Every key of a GGUF file but general.* begins with the architecture's name. */
struct gguf_keys {
    const struct gguf *g;
    const char *arch;
    char key[96];
};
const char *config_gguf_key(struct gguf_keys *k, const char *name); /* valid until the next call */
/* 1..max; *out stays where the key is not there, unless it is needed. */
MUST_CHECK bool config_gguf_size(struct gguf_keys *k, const char *name, bool needed, size_t max,
                                 size_t *out, struct error *err);
/* A finite number above 0, or *out as it was. */
MUST_CHECK bool config_gguf_number(struct gguf_keys *k, const char *name, double *out,
                                   struct error *err);
MUST_CHECK bool config_json_size(const json_t *obj, const char *key, const char *what, bool needed,
                                 size_t max, size_t *out, struct error *err);
MUST_CHECK bool config_json_number(const json_t *obj, const char *key, const char *what,
                                   double *out, struct error *err);

MUST_CHECK bool config_rope_json(const json_t *root, const char *what, const struct family *fam,
                                 struct model_config *c, struct error *err);
MUST_CHECK bool config_rope_gguf(struct gguf_keys *k, const struct family *fam,
                                 struct model_config *c, struct error *err);
/* YaRN's attention factor where a file tells it by "yarn_log_multiplier", as llama.cpp understands that. */
MUST_CHECK bool config_rope_gguf_log_multiplier(struct gguf_keys *k, struct rope_spec *r,
                                                struct error *err);
MUST_CHECK bool config_layers_json(const json_t *root, const char *what, const struct family *fam,
                                   struct model_config *c, struct error *err);
MUST_CHECK bool config_layers_gguf(struct gguf_keys *k, const struct family *fam,
                                   struct model_config *c, struct error *err);
#endif
