/*
 * family_olmo.c - OLMo 2 (arXiv:2501.00656): norms behind attention and feed-forward layer, and of all queries or keys of a row
 * together. OLMo 3 adds windows to three layers of four; in GGUF it is an "olmo2", too.
 */
#include "model/family.h"
#include "model/family_names.h"

#define HF_OLMO_NAMES                                                                              \
    HF_OUTER_NAMES, HF_ATTN_NAMES, HF_FFN_NAMES,                                                   \
        HF_QK_NORM_NAMES, [W_ATTN_POST_NORM] = "model.layers.#.post_attention_layernorm",          \
                          [W_FFN_POST_NORM] = "model.layers.#.post_feedforward_layernorm"

#define HF_FIXED_OLMO                                                                              \
    HF_FIXED_EVERYWHERE, HF_FIXED_BIAS, HF_FIXED_SILU, HF_FIXED_PARTIAL,                           \
    {                                                                                              \
        "clip_qkv", "null", "clamped values"                                                       \
    }

const struct family family_olmo2 = {
    .name = "olmo2",
    .gguf_arch = "olmo2",
    .hf_type = "olmo2",
    .hf_class = "Olmo2ForCausalLM",
    .rms_eps = 1e-5,
    .rope_base = 10000,
    .context = 2048,
    .qk_norm = QK_NORM_WIDTH,
    .norm_place = NORM_BEHIND,
    .windows = WINDOWS_BUT_EVERY, /* of GGUF files with a window: OLMo 3 */
    .window_every = 4,
    .local_rope = true,
    .gguf_tensor = {GGUF_OUTER_NAMES, GGUF_ATTN_NAMES, GGUF_FFN_NAMES, GGUF_QK_NORM_NAMES,
                    GGUF_POST_NORM_NAMES},
    .hf_tensor = {HF_OLMO_NAMES},
    .gguf_fixed = (const struct fixed_key[]){GGUF_FIXED_EVERYWHERE, GGUF_FIXED_SCALES, {0}},
    .hf_fixed = (const struct fixed_key[]){HF_FIXED_OLMO, HF_FIXED_WINDOWS, {0}},
};

const struct family family_olmo3 = {
    .name = "olmo3",
    .hf_type = "olmo3",
    .hf_class = "Olmo3ForCausalLM",
    .rms_eps = 1e-5,
    .rope_base = 500000,
    .context = 2048,
    .qk_norm = QK_NORM_WIDTH,
    .norm_place = NORM_BEHIND,
    .windows = WINDOWS_BUT_EVERY,
    .window = 4096,
    .window_every = 4,
    .local_rope = true,
    .hf_tensor = {HF_OLMO_NAMES},
    .hf_fixed = (const struct fixed_key[]){HF_FIXED_OLMO, HF_FIXED_PATTERN("4"), {0}},
};
