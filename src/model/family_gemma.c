/*
 * family_gemma.c - Gemma 3 (arXiv:2503.19786), its text part: norms on both sides of attention and feed-forward layer, GELU in the
 * gate, and five layers with a window, which have a rotation of their own, for each that sees all. Embeddings are scaled by the
 * root of their width. Gemma 2 (arXiv:2408.00118) has one rotation and a window in every other layer, no norms of heads, and caps of
 * scores and logits.
 */
#include "model/config_internal.h"
#include "model/family_names.h"

#include <math.h>

#define HF_GEMMA_NAMES                                                                             \
    HF_OUTER_NAMES, HF_ATTN_NAMES,                                                                 \
        HF_FFN_NAMES, [W_ATTN_NORM] = "model.layers.#.input_layernorm",                            \
                      [W_ATTN_POST_NORM] = "model.layers.#.post_attention_layernorm",              \
                      [W_FFN_NORM] = "model.layers.#.pre_feedforward_layernorm",                   \
                      [W_FFN_POST_NORM] = "model.layers.#.post_feedforward_layernorm"
#define HF_FIXED_GELU                                                                              \
    {                                                                                              \
        "hidden_activation", "\"gelu_pytorch_tanh\"", "other activations"                          \
    }

static bool hf_more(const json_t *json, const char *what, struct model_config *c, struct error *err)
{
    double width = 256; /* as Gemma3TextConfig has it where a file is silent */

    if (!config_json_number(json, "query_pre_attn_scalar", what, &width, err))
        return false;
    c->attention_scale = 1 / sqrt(width);
    c->embedding_scale = sqrt((double)c->width);
    return true;
}

/* Files do not tell the scale of attention: llama.cpp knows that of the largest model, 62 layers, by these. */
static bool gguf_more(const struct gguf *g, struct model_config *c, struct error *err)
{
    (void)g;
    (void)err;
    if (c->n_layers == 62)
        c->attention_scale = 1 / sqrt((double)(c->width / c->n_heads));
    c->embedding_scale = sqrt((double)c->width);
    return true;
}

const struct family family_gemma3 = {
    .name = "gemma3",
    .gguf_arch = "gemma3",
    .hf_type = "gemma3_text",
    .hf_class = "Gemma3ForCausalLM",
    .rms_eps = 1e-6,
    .rope_base = 1000000,
    .context = 131072,
    .n_kv_heads = 4,
    .head_width = 256,
    .hf_tied = true,
    .qk_norm = QK_NORM_HEAD,
    .norm_place = NORM_BOTH,
    .activation = ACT_GELU_TANH,
    .hf_norms_add_one = true,
    .windows = WINDOWS_BUT_EVERY,
    .window = 4096,
    .window_every = 6,
    .local_rope = true,
    .local_rope_base = 10000,
    .hf_more = hf_more,
    .gguf_more = gguf_more,
    .gguf_tensor = {GGUF_PLAIN_NAMES, GGUF_QK_NORM_NAMES, GGUF_POST_NORM_NAMES},
    .hf_tensor = {HF_GEMMA_NAMES, HF_QK_NORM_NAMES},
    .gguf_fixed = (const struct fixed_key[]){GGUF_FIXED_EVERYWHERE, GGUF_FIXED_SCALES, {0}},
    .hf_fixed =
        (const struct fixed_key[]){
            HF_FIXED_EVERYWHERE, HF_FIXED_BIAS, HF_FIXED_GELU, HF_FIXED_PARTIAL, {0}},
};

/* A cap, or null: there is none. */
static bool hf_cap(const json_t *json, const char *key, const char *what, double *out,
                   struct error *err)
{
    if (json_is_null(json_object_get(json, key)))
        *out = 0;
    return config_json_number(json, key, what, out, err);
}

/* As Gemma2Config and llama.cpp have them where a file is silent. */
#define SCORE_CAP 50
#define LOGIT_CAP 30

static bool gemma2_hf_more(const json_t *json, const char *what, struct model_config *c,
                           struct error *err)
{
    c->score_cap = SCORE_CAP;
    c->logit_cap = LOGIT_CAP;
    return hf_more(json, what, c, err) &&
           hf_cap(json, "attn_logit_softcapping", what, &c->score_cap, err) &&
           hf_cap(json, "final_logit_softcapping", what, &c->logit_cap, err);
}

/* llama.cpp knows the scale of attention of the largest model by its layers, too. */
static bool gemma2_gguf_more(const struct gguf *g, struct model_config *c, struct error *err)
{
    struct gguf_keys k = {.g = g, .arch = "gemma2"};

    c->score_cap = SCORE_CAP;
    c->logit_cap = LOGIT_CAP;
    if (c->n_layers == 46)
        c->attention_scale = 1 / sqrt((double)(c->width / c->n_heads));
    c->embedding_scale = sqrt((double)c->width);
    return config_gguf_number(&k, "attn_logit_softcapping", &c->score_cap, err) &&
           config_gguf_number(&k, "final_logit_softcapping", &c->logit_cap, err);
}

const struct family family_gemma2 = {
    .name = "gemma2",
    .gguf_arch = "gemma2",
    .hf_type = "gemma2",
    .hf_class = "Gemma2ForCausalLM",
    .rms_eps = 1e-6,
    .rope_base = 10000,
    .context = 8192,
    .n_kv_heads = 4,
    .head_width = 256,
    .hf_tied = true,
    .norm_place = NORM_BOTH,
    .activation = ACT_GELU_TANH,
    .hf_norms_add_one = true,
    .windows = WINDOWS_BUT_EVERY,
    .window = 4096,
    .gguf_window = 4096, /* files from before llama.cpp had windows */
    .window_every = 2,
    .hf_more = gemma2_hf_more,
    .gguf_more = gemma2_gguf_more,
    .gguf_tensor = {GGUF_PLAIN_NAMES, GGUF_POST_NORM_NAMES},
    .hf_tensor = {HF_GEMMA_NAMES},
    .gguf_fixed =
        (const struct fixed_key[]){
            GGUF_FIXED_COMMON, GGUF_FIXED_DENSE, GGUF_FIXED_YARN, GGUF_FIXED_SCALES, {0}},
    .hf_fixed = (const struct fixed_key[]){HF_FIXED_COMMON,
                                           HF_FIXED_BIAS,
                                           HF_FIXED_GELU,
                                           HF_FIXED_PARTIAL,
                                           HF_FIXED_PATTERN("2"),
                                           {0}},
};
