/*
 * family_gpt_oss.c - gpt-oss (arXiv:2508.10925): experts with a clamped gate, biases on every linear layer, a window in
 * every other layer, and a sink in each head's softmax. The weights of experts are MXFP4, or plain in a folder that transformers saved.
 */
#include "model/config_internal.h"
#include "model/family_names.h"

static bool hf_more(const json_t *json, const char *what, struct model_config *c, struct error *err)
{
    static const char quantised[] = "quantization_config";
    const json_t *q = json_object_get(json, quantised);

    /* "modules_to_not_convert" need not be read: the tensors are what they are */
    if (q != NULL && !json_is_null(q) &&
        !str_is(json_str(json_object_get(q, "quant_method")), "mxfp4"))
        return fail_param(err, ERR_UNSUPPORTED, quantised,
                          "%s: \"%s\" is %s; of gpt-oss \"mxfp4\" is supported, or none", what,
                          quantised, json_show(q).text);
    return config_json_size(json, "num_local_experts", what, true, LIMIT_EXPERTS, &c->n_experts,
                            err) &&
           config_json_size(json, "num_experts_per_tok", what, true, c->n_experts, &c->n_chosen,
                            err);
}

static bool gguf_more(const struct gguf *g, struct model_config *c, struct error *err)
{
    struct gguf_keys k = {.g = g, .arch = "gpt-oss"};

    return config_gguf_size(&k, "expert_count", true, LIMIT_EXPERTS, &c->n_experts, err) &&
           config_gguf_size(&k, "expert_used_count", true, c->n_experts, &c->n_chosen, err) &&
           config_gguf_size(&k, "expert_feed_forward_length", true, LIMIT_WIDTH, &c->hidden, err);
}

const struct family family_gpt_oss = {
    .name = "gpt-oss",
    .gguf_arch = "gpt-oss",
    .hf_type = "gpt_oss",
    .hf_class = "GptOssForCausalLM",
    .rms_eps = 1e-5,
    .rope_base = 150000,
    .qkv_bias = true,
    .out_bias = true,
    .expert_bias = true,
    .sinks = true,
    .activation = ACT_CLAMPED,
    .windows = WINDOWS_BUT_EVERY,
    .window = 128,
    .window_every = 2,
    .hf_more = hf_more,
    .gguf_more = gguf_more,
    .gguf_tensor = {GGUF_OUTER_NAMES, GGUF_ATTN_NAMES,
                    GGUF_BIAS_NAMES, [W_ATTN_NORM] = "blk.#.attn_norm",
                    [W_FFN_NORM] = "blk.#.post_attention_norm", [W_O_BIAS] = "blk.#.attn_output",
                    [W_SINKS] = "blk.#.attn_sinks", [W_ROUTER] = "blk.#.ffn_gate_inp",
                    [W_ROUTER_BIAS] = "blk.#.ffn_gate_inp", [W_GATE_BIASES] = "blk.#.ffn_gate_exps",
                    [W_UP_BIASES] = "blk.#.ffn_up_exps", [W_DOWN_BIASES] = "blk.#.ffn_down_exps"},
    .hf_tensor =
        {HF_OUTER_NAMES, HF_ATTN_NAMES, HF_NORM_NAMES,
         HF_BIAS_NAMES, [W_O_BIAS] = "model.layers.#.self_attn.o_proj",
         [W_SINKS] = "model.layers.#.self_attn.sinks", [W_ROUTER] = "model.layers.#.mlp.router",
         [W_ROUTER_BIAS] = "model.layers.#.mlp.router",
         [W_GATE_BIASES] = "model.layers.#.mlp.experts.gate_up_proj",
         [W_UP_BIASES] = "model.layers.#.mlp.experts.gate_up_proj",
         [W_DOWN_BIASES] = "model.layers.#.mlp.experts.down_proj"},
    .gguf_experts = {"blk.#.ffn_gate_exps", "blk.#.ffn_up_exps", "blk.#.ffn_down_exps"},
    .gguf_fixed = (const struct fixed_key[]){GGUF_FIXED_COMMON,
                                             GGUF_FIXED_CAPS,
                                             GGUF_FIXED_YARN,
                                             GGUF_FIXED_SCALES,
                                             {"expert_shared_count", "0", "shared experts"},
                                             {"expert_weights_scale", "1", "scaled experts"},
                                             {0}},
    .hf_experts = {"model.layers.#.mlp.experts.gate_up_proj",
                   "model.layers.#.mlp.experts.gate_up_proj",
                   "model.layers.#.mlp.experts.down_proj"},
    .hf_experts_paired = true,
    .hf_fixed = (const struct fixed_key[]){HF_FIXED_CAPS,
                                           HF_FIXED_SILU,
                                           HF_FIXED_PARTIAL,
                                           {"attention_bias", "true", "layers without biases"},
                                           {"swiglu_limit", "7", "other limits of the gate"},
                                           {"swiglu_alpha", "1.702", "other slopes of the gate"},
                                           {0}},
};
