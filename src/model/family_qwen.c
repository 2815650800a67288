/*
 * family_qwen.c - Qwen2 and 2.5 (arXiv:2407.10671): Llama with biases on queries, keys and values; R1's Qwens are such. Qwen3
 * (arXiv:2505.09388): norms of each head's queries and keys in their place, and heads of a width of their own.
 */
#include "model/family.h"
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
