/*
 * config.h - the shape of a model, whatever file it came from. Letters as in docs/NOTATION.md.
 *
 * Read from a GGUF file's keys or from Hugging Face's config.json. What the numbers promise is checked here: they lie
 * within limits.h and fit each other. A key that would make the model compute something that hone does not (a rope
 * scaling, biases, another activation) is refused by name rather than overlooked.
 */
#ifndef HONE_MODEL_CONFIG_H
#define HONE_MODEL_CONFIG_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_MAX_EOS 16

/* How a key-value cache keeps its values: model/kv.h. */
enum kv_cache { KV_CACHE_F32, KV_CACHE_F16, KV_CACHE_Q8_0 };

struct model_config {
    char family[32];   /* "llama" */
    size_t n_layers;   /* L */
    size_t width;      /* C */
    size_t n_heads;    /* H */
    size_t n_kv_heads; /* K, divides H */
    size_t head_width; /* D, even */
    size_t hidden;     /* F */
    size_t vocab;      /* V, rows of the embedding; the tokenizer may have fewer ids */
    size_t context;    /* positions the model was made for */
    double rms_eps;
    double rope_base;
    bool tied_head; /* the head is the embedding */
    int bos;        /* -1: none */
    bool add_bos;   /* text is begun with bos when no template does */
    int eos
        [MODEL_MAX_EOS]; /* every id that ends an answer, from every place that may list one; eos[0] is the one
                               that the file names first, so the natural one to train an answer to end with */
    size_t n_eos;
    /* KV_CACHE_F32 from every file; whoever opens a model may set it before a cache is made */
    enum kv_cache kv_cache;
};

struct family; /* model/family.h */
struct gguf;
struct json_t;

/*
 * Each finds the family, too. bos and eos hold only the ids that these sources name: the tokenizer knows more of them,
 * see model_files.h. what is the path of config.json, for errors.
 *
 * Fails with ERR_INVALID (a key is missing, of the wrong type, or contradicts another), ERR_LIMIT (beyond limits.h) or
 * ERR_UNSUPPORTED (understood, and not offered); file, key, what was found and what was expected are in the sentence.
 */
MUST_CHECK bool config_from_gguf(const struct gguf *g, struct model_config *out,
                                 const struct family **family, struct error *err);
MUST_CHECK bool config_from_json(const struct json_t *json, const char *what,
                                 struct model_config *out, const struct family **family,
                                 struct error *err);

/* Adds an id that ends an answer unless it is there already; where says who named it. ERR_INVALID unless 0 <= id < V. */
MUST_CHECK bool config_add_eos(struct model_config *c, int64_t id, const char *where,
                               struct error *err);
/* The same for what a JSON file has under "eos_token_id": an id, a list of ids, null or nothing. */
MUST_CHECK bool config_add_eos_json(struct model_config *c, const struct json_t *json,
                                    const char *what, struct error *err);
#endif
