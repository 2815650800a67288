/*
 * family_llama.c - Llama, and what is built like it: RMS norms, rotary positions, grouped-query attention, SwiGLU.
 *
 * Llama 2 (arXiv:2307.09288) without biases, scalings or experts; SmolLM2 is one.
 */
#include "model/family.h"

static const struct fixed_key gguf_fixed[] = {
    {"rope.scaling.type", "\"none\"", "rope scalings"},
    {"rope.scaling.factor", "1", "rope scalings"},
    {"rope.scale_linear", "1", "rope scalings"},
    {"expert_count", "0", "mixtures of experts"},
    {"attention.sliding_window", "0", "sliding windows"},
    {"attention.scale", "null", "other attention scales"},
    {"attention.clamp_kqv", "null", "clamped values"},
    {"attention.causal", "true", "models that see what follows"},
    {"logit_scale", "1", "logit scales"},
    {"embedding_scale", "1", "embedding scales"},
    {"residual_scale", "1", "residual scales"},
    {0},
};

static const struct fixed_key hf_fixed[] = {
    {"attention_bias", "false", "attention biases"},
    {"mlp_bias", "false", "feed-forward biases"},
    {"hidden_act", "\"silu\"", "other activations"},
    {"partial_rotary_factor", "1", "partial rotations"},
    {"sliding_window", "null", "sliding windows"},
    {"quantization_config", "null", "quantised folders (take a .gguf file)"},
    {0},
};

const struct family family_llama = {
    .name = "llama",
    .gguf_arch = "llama",
    .hf_type = "llama",
    .hf_class = "LlamaForCausalLM",
    .gguf_interleaves = true,
    .rms_eps = 1e-6, /* both as in transformers' LlamaConfig */
    .rope_base = 10000,
    .gguf_tensor =
        {
            [W_EMBED] = "token_embd",
            [W_HEAD] = "output",
            [W_FINAL_NORM] = "output_norm",
            [W_ATTN_NORM] = "blk.#.attn_norm",
            [W_Q] = "blk.#.attn_q",
            [W_K] = "blk.#.attn_k",
            [W_V] = "blk.#.attn_v",
            [W_O] = "blk.#.attn_output",
            [W_FFN_NORM] = "blk.#.ffn_norm",
            [W_GATE] = "blk.#.ffn_gate",
            [W_UP] = "blk.#.ffn_up",
            [W_DOWN] = "blk.#.ffn_down",
        },
    .hf_tensor =
        {
            [W_EMBED] = "model.embed_tokens",
            [W_HEAD] = "lm_head",
            [W_FINAL_NORM] = "model.norm",
            [W_ATTN_NORM] = "model.layers.#.input_layernorm",
            [W_Q] = "model.layers.#.self_attn.q_proj",
            [W_K] = "model.layers.#.self_attn.k_proj",
            [W_V] = "model.layers.#.self_attn.v_proj",
            [W_O] = "model.layers.#.self_attn.o_proj",
            [W_FFN_NORM] = "model.layers.#.post_attention_layernorm",
            [W_GATE] = "model.layers.#.mlp.gate_proj",
            [W_UP] = "model.layers.#.mlp.up_proj",
            [W_DOWN] = "model.layers.#.mlp.down_proj",
        },
    .gguf_fixed = gguf_fixed,
    .hf_fixed = hf_fixed,
};
