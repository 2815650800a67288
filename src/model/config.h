/*
 * config.h - the shape of a model, whatever file it came from. Letters as in docs/NOTATION.md.
 *
 * Read from a GGUF file's keys or from Hugging Face's config.json. What the numbers promise is checked here: they lie
 * within limits.h and fit each other. A key that would make the model compute something that hone does not (other biases, other
 * scales) is refused by name rather than overlooked.
 *
 * Families differ by the fields below, never by another forward pass; a field that is 0 is as in Llama 2.
 */
#ifndef HONE_MODEL_CONFIG_H
#define HONE_MODEL_CONFIG_H

#include "base/error.h"
#include "base/limits.h"
#include "model/rope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_MAX_EOS 16

/* How a key-value cache keeps its values: model/kv.h. */
enum kv_cache { KV_CACHE_F32, KV_CACHE_F16, KV_CACHE_Q8_0 };

/* Of queries and keys, before they are rotated. */
enum qk_norm {
    QK_NORM_NONE,
    QK_NORM_HEAD, /* each head by itself, with weights [D] (Qwen3, Gemma 3) */
    QK_NORM_WIDTH /* all heads of a row together, with weights [H*D] and [K*D] (OLMo 2) */
};
/* Where the RMS norms of attention and of the feed-forward layer are. */
enum norm_place {
    NORM_BEFORE, /* x + f(norm(x)) */
    NORM_BEHIND, /* x + norm(f(x)) (OLMo 2) */
    NORM_BOTH    /* x + norm(f(norm(x))) (Gemma 3) */
};
enum activation {
    ACT_SILU,
    ACT_GELU_TANH,
    ACT_CLAMPED
}; /* of the gate; ACT_CLAMPED is gpt-oss's */

struct layer_kind {
    bool
        windowed; /* a row sees the last `window` positions, itself included; false: all before it */
    unsigned char
        rope; /* 0 or 1: by which of the config's rotations; ROPE_NONE: not rotated (NoPE) */
};
#define ROPE_NONE 2

struct model_config {
    char family[32];   /* "llama" */
    size_t n_layers;   /* L */
    size_t width;      /* C */
    size_t n_heads;    /* H */
    size_t n_kv_heads; /* K, divides H */
    size_t head_width; /* D, even */
    size_t hidden;     /* F, of one expert where there are several */
    size_t
        hidden_of_dense; /* config.json's for layers without experts: computed with by none, but GGUF has a key for it */
    size_t vocab;   /* V, rows of the embedding; the tokenizer may have fewer ids */
    size_t context; /* positions the model was made for */
    double rms_eps;
    struct rope_spec rope[2];
    size_t
        rotary_width; /* of a head's values the first so many are rotated, an even number; 0: all */
    struct layer_kind layers[LIMIT_LAYERS];
    size_t window;
    bool qkv_bias; /* on queries, keys and values */
    bool out_bias; /* on attention's output */
    bool
        sinks; /* a logit of each head takes part in the softmax of its scores, and has no value (gpt-oss) */
    enum qk_norm qk_norm;
    enum norm_place norm_place;
    enum activation activation;
    bool norms_add_one; /* the file's norm weights are to be added to 1 */
    /* Each 0 where there is none: of embeddings; of what a layer's two parts add to the residual stream; in the place of
       1 / sqrt(D); logits are divided by the last. */
    double embedding_scale, residual_scale, attention_scale, logit_divisor;
    /* Attention's scores, and logits, become cap * tanh(x / cap) (Gemma 2); 0: they stay. */
    double score_cap, logit_cap;
    /* Queries are multiplied by 1 + query_growth * ln(1 + floor(position / query_span)) (Ministral 3); 0: they are not. */
    double query_growth, query_span;
    /* Experts of a feed-forward layer, `hidden` wide each, and how many of them a row takes; 0: it is one for all rows. */
    size_t n_experts, n_chosen;
    bool expert_bias;   /* on the router, and on gate, up and down of each expert */
    bool shares_of_all; /* a row's shares are of a softmax over all experts, not over its own */
    bool tied_head;     /* the head is the embedding */
    int bos;            /* -1: none */
    bool add_bos;       /* text is begun with bos when no template does */
    int eos
        [MODEL_MAX_EOS]; /* every id that ends an answer, from every place that may list one; eos[0] is the one
                               that the file names first, so the natural one to train an answer to end with */
    size_t n_eos;
    /* KV_CACHE_F32 from every file; whoever opens a model may set it before a cache is made */
    enum kv_cache kv_cache;
};

/* Values of a head that are rotated. */
static inline size_t config_rotary_width(const struct model_config *c)
{
    return c->rotary_width > 0 ? c->rotary_width : c->head_width;
}

/* Values of a row between the two halves of a feed-forward layer, those of all experts that it takes. */
static inline size_t config_inner_width(const struct model_config *c)
{
    return c->hidden * (c->n_experts > 0 ? c->n_chosen : 1);
}

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
bool config_is_end(const struct model_config *c, int64_t id); /* it ends answers */
MUST_CHECK bool config_add_eos(struct model_config *c, int64_t id, const char *where,
                               struct error *err);
/* The same for what a JSON file has under "eos_token_id": an id, a list of ids, null or nothing. */
MUST_CHECK bool config_add_eos_json(struct model_config *c, const struct json_t *json,
                                    const char *what, struct error *err);
#endif
