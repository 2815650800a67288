/*
 * family_llama.c - Llama, and what is built like it: RMS norms, rotary positions, grouped-query attention, SwiGLU.
 *
 * Llama 2 (arXiv:2307.09288) and 3 without biases or experts; SmolLM2 and R1's Llamas are such. SmolLM3 leaves every fourth layer
 * without a rotation (arXiv:2501.18795). llama.cpp's converter permutes the rows of q and k of all that derive from its
 * LlamaModel: Mistral, SmolLM3 and Granite, too.
 */
#include "model/family.h"
#include "model/family_names.h"

static const struct fixed_key gguf_fixed[] = {
    GGUF_FIXED_EVERYWHERE, GGUF_FIXED_SCALES, GGUF_FIXED_WINDOWS, {0}};

static const struct fixed_key hf_fixed[] = {HF_FIXED_EVERYWHERE, HF_FIXED_BIAS,    HF_FIXED_SILU,
                                            HF_FIXED_WINDOWS,    HF_FIXED_PARTIAL, {0}};

const struct family family_llama = {
    .name = "llama",
    .gguf_arch = "llama",
    .hf_type = "llama",
    .hf_class = "LlamaForCausalLM",
    .gguf_interleaves = true,
    .rms_eps = 1e-6, /* both as in transformers' LlamaConfig */
    .rope_base = 10000,
    .context = 2048,
    .gguf_tensor = {GGUF_PLAIN_NAMES},
    .hf_tensor = {HF_PLAIN_NAMES},
    .gguf_fixed = gguf_fixed,
    .hf_fixed = hf_fixed,
};

const struct family family_smollm3 = {
    .name = "smollm3",
    .gguf_arch = "smollm3",
    .hf_type = "smollm3",
    .hf_class = "SmolLM3ForCausalLM",
    .gguf_interleaves = true,
    .rms_eps = 1e-6,
    .rope_base = 2000000,
    .context = 32768,
    .n_kv_heads = 4,
    .hf_tied = true,
    .no_rope_every = 4,
    .gguf_tensor = {GGUF_PLAIN_NAMES},
    .hf_tensor = {HF_PLAIN_NAMES},
    .gguf_fixed = gguf_fixed,
    .hf_fixed = hf_fixed,
};
