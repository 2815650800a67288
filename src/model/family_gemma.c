/*
 * family_gemma.c - Gemma 3 (arXiv:2503.19786), its text part: norms on both sides of attention and feed-forward layer, GELU in the
 * gate, and five layers with a window, which have a rotation of their own, for each that sees all. Embeddings are scaled by the
 * root of their width.
 */
#include "model/config_internal.h"
#include "model/family_names.h"

#include <math.h>

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
    .hf_tensor = {HF_OUTER_NAMES, HF_ATTN_NAMES, HF_FFN_NAMES,
                  HF_QK_NORM_NAMES, [W_ATTN_NORM] = "model.layers.#.input_layernorm",
                  [W_ATTN_POST_NORM] = "model.layers.#.post_attention_layernorm",
                  [W_FFN_NORM] = "model.layers.#.pre_feedforward_layernorm",
                  [W_FFN_POST_NORM] = "model.layers.#.post_feedforward_layernorm"},
    .gguf_fixed = (const struct fixed_key[]){GGUF_FIXED_EVERYWHERE, GGUF_FIXED_SCALES, {0}},
    .hf_fixed = (const struct fixed_key[]){HF_FIXED_EVERYWHERE,
                                           HF_FIXED_BIAS,
                                           {"hidden_activation", "\"gelu_pytorch_tanh\"",
                                            "other activations"},
                                           HF_FIXED_PARTIAL,
                                           {0}},
};
