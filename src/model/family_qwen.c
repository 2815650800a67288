/*
 * family_qwen.c - Qwen2 and 2.5 (arXiv:2407.10671): Llama with biases on queries, keys and values; R1's Qwens are such. Qwen3
 * (arXiv:2505.09388): norms of each head's queries and keys in their place, and heads of a width of their own. Qwen3-MoE has experts
 * in every layer.
 */
#include "model/config_internal.h"
#include "model/family_names.h"

static const struct fixed_key gguf_fixed[] = {
    GGUF_FIXED_EVERYWHERE, GGUF_FIXED_SCALES, GGUF_FIXED_WINDOWS, {0}};

const struct family family_qwen2 = {
    .name = "qwen2",
    .gguf_arch = "qwen2",
    .hf_type = "qwen2",
    .hf_class = "Qwen2ForCausalLM",
    .rms_eps = 1e-6,
    .rope_base = 10000,
    .context = 32768,
    .n_kv_heads = 32,
    .qkv_bias = true,
    .windows = WINDOWS_FROM,
    .window_switch = true,
    .window = 4096,
    .gguf_tensor = {GGUF_PLAIN_NAMES, GGUF_BIAS_NAMES},
    .hf_tensor = {HF_PLAIN_NAMES, HF_BIAS_NAMES},
    .gguf_fixed = gguf_fixed,
    .hf_fixed =
        (const struct fixed_key[]){HF_FIXED_EVERYWHERE, HF_FIXED_SILU, HF_FIXED_PARTIAL, {0}},
};

const struct family family_qwen3 = {
    .name = "qwen3",
    .gguf_arch = "qwen3",
    .hf_type = "qwen3",
    .hf_class = "Qwen3ForCausalLM",
    .rms_eps = 1e-6,
    .rope_base = 10000,
    .context = 32768,
    .n_kv_heads = 32,
    .head_width = 128,
    .qk_norm = QK_NORM_HEAD,
    .windows = WINDOWS_FROM,
    .window_switch = true,
    .window = 4096,
    .gguf_tensor = {GGUF_PLAIN_NAMES, GGUF_QK_NORM_NAMES},
    .hf_tensor = {HF_PLAIN_NAMES, HF_QK_NORM_NAMES},
    .gguf_fixed = gguf_fixed,
    .hf_fixed =
        (const struct fixed_key[]){
            HF_FIXED_EVERYWHERE, HF_FIXED_BIAS, HF_FIXED_SILU, HF_FIXED_PARTIAL, {0}},
};

/* "num_experts", which transformers 5 writes as "num_local_experts". */
static bool hf_experts(const json_t *json, const char *what, struct model_config *c,
                       struct error *err)
{
    const char *count =
        json_object_get(json, "num_experts") != NULL ? "num_experts" : "num_local_experts";
    bool among_chosen = false; /* as Qwen3MoeConfig has it where a file is silent */

    if (!config_json_size(json, count, what, true, LIMIT_EXPERTS, &c->n_experts, err) ||
        !config_json_size(json, "num_experts_per_tok", what, true, c->n_experts, &c->n_chosen,
                          err) ||
        !config_json_size(json, "moe_intermediate_size", what, true, LIMIT_WIDTH, &c->hidden,
                          err) ||
        !json_get_bool(json, "norm_topk_prob", what, false, &among_chosen, err))
        return false;
    c->shares_of_all = !among_chosen;
    return true;
}

/* Shares are of a row's own experts: llama.cpp takes them so whatever the model says. */
static bool gguf_experts(const struct gguf *g, struct model_config *c, struct error *err)
{
    struct gguf_keys k = {.g = g, .arch = "qwen3moe"};

    return config_gguf_size(&k, "expert_count", true, LIMIT_EXPERTS, &c->n_experts, err) &&
           config_gguf_size(&k, "expert_used_count", true, c->n_experts, &c->n_chosen, err) &&
           config_gguf_size(&k, "expert_feed_forward_length", true, LIMIT_WIDTH, &c->hidden, err);
}

const struct family family_qwen3_moe = {
    .name = "qwen3moe",
    .gguf_arch = "qwen3moe",
    .hf_type = "qwen3_moe",
    .hf_class = "Qwen3MoeForCausalLM",
    .rms_eps = 1e-6,
    .rope_base = 10000,
    .context = 32768,
    .n_kv_heads = 4,
    .qk_norm = QK_NORM_HEAD,
    .windows = WINDOWS_ALL,
    .window_switch = true,
    .window = 4096,
    .hf_more = hf_experts,
    .gguf_more = gguf_experts,
    .gguf_tensor = {GGUF_OUTER_NAMES, GGUF_ATTN_NAMES, GGUF_NORM_NAMES,
                    GGUF_QK_NORM_NAMES, [W_ROUTER] = "blk.#.ffn_gate_inp"},
    .hf_tensor = {HF_OUTER_NAMES, HF_ATTN_NAMES, HF_NORM_NAMES,
                  HF_QK_NORM_NAMES, [W_ROUTER] = "model.layers.#.mlp.gate"},
    .gguf_experts = {"blk.#.ffn_gate_exps", "blk.#.ffn_up_exps", "blk.#.ffn_down_exps"},
    .hf_experts = {"model.layers.#.mlp.experts.@.gate_proj", "model.layers.#.mlp.experts.@.up_proj",
                   "model.layers.#.mlp.experts.@.down_proj"},
    .gguf_fixed =
        (const struct fixed_key[]){GGUF_FIXED_COMMON,
                                   GGUF_FIXED_CAPS,
                                   GGUF_FIXED_YARN,
                                   GGUF_FIXED_SCALES,
                                   GGUF_FIXED_WINDOWS,
                                   {"expert_shared_count", "0", "shared experts"},
                                   {"expert_weights_scale", "1", "scaled experts"},
                                   {"expert_gating_func", "1", "other routers than softmax"},
                                   {0}},
    .hf_fixed = (const struct fixed_key[]){HF_FIXED_EVERYWHERE,
                                           HF_FIXED_BIAS,
                                           HF_FIXED_SILU,
                                           HF_FIXED_PARTIAL,
                                           {"decoder_sparse_step", "1", "layers without experts"},
                                           {"mlp_only_layers", "[]", "layers without experts"},
                                           {0}},
};
