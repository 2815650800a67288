/*
 * family_phi3.c - Phi-3 and Phi-4-mini (arXiv:2404.14219, 2503.01743): a part of each head is rotated, by LongRoPE's frequencies;
 * queries, keys and values are one tensor, gate and up another.
 */
#include "model/family.h"
#include "model/family_names.h"

#define HF_QKV "model.layers.#.self_attn.qkv_proj"
#define HF_GATE_UP "model.layers.#.mlp.gate_up_proj"

const struct family family_phi3 = {
    .name = "phi3",
    .gguf_arch = "phi3",
    .hf_type = "phi3",
    .hf_class = "Phi3ForCausalLM",
    .rms_eps = 1e-5,
    .rope_base = 10000,
    .context = 4096,
    .windows = WINDOWS_ALL,
    .partial_rotary = true,
    .phi_scaling = true,
    .gguf_tensor =
        {GGUF_OUTER_NAMES, GGUF_NORM_NAMES, [W_Q] = "blk.#.attn_qkv", [W_K] = "blk.#.attn_qkv",
         [W_V] = "blk.#.attn_qkv", [W_O] = "blk.#.attn_output", [W_GATE] = "blk.#.ffn_up",
         [W_UP] = "blk.#.ffn_up", [W_DOWN] = "blk.#.ffn_down"},
    .hf_tensor = {HF_OUTER_NAMES, HF_NORM_NAMES, [W_Q] = HF_QKV, [W_K] = HF_QKV, [W_V] = HF_QKV,
                  [W_O] = "model.layers.#.self_attn.o_proj", [W_GATE] = HF_GATE_UP,
                  [W_UP] = HF_GATE_UP, [W_DOWN] = "model.layers.#.mlp.down_proj"},
    .gguf_fixed = (const struct fixed_key[]){GGUF_FIXED_EVERYWHERE, GGUF_FIXED_SCALES, {0}},
    .hf_fixed = (const struct fixed_key[]){HF_FIXED_EVERYWHERE, HF_FIXED_BIAS, HF_FIXED_SILU, {0}},
};
