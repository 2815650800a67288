/*
 * family_names.h - names of tensors that many families share.
 */
#ifndef HONE_MODEL_FAMILY_NAMES_H
#define HONE_MODEL_FAMILY_NAMES_H

#define GGUF_OUTER_NAMES                                                                           \
    [W_EMBED] = "token_embd", [W_HEAD] = "output", [W_FINAL_NORM] = "output_norm"
#define GGUF_ATTN_NAMES                                                                            \
    [W_Q] = "blk.#.attn_q", [W_K] = "blk.#.attn_k", [W_V] = "blk.#.attn_v",                        \
    [W_O] = "blk.#.attn_output"
#define GGUF_FFN_NAMES                                                                             \
    [W_GATE] = "blk.#.ffn_gate", [W_UP] = "blk.#.ffn_up", [W_DOWN] = "blk.#.ffn_down"
#define GGUF_NORM_NAMES [W_ATTN_NORM] = "blk.#.attn_norm", [W_FFN_NORM] = "blk.#.ffn_norm"
#define GGUF_BIAS_NAMES                                                                            \
    [W_Q_BIAS] = "blk.#.attn_q", [W_K_BIAS] = "blk.#.attn_k", [W_V_BIAS] = "blk.#.attn_v"
#define GGUF_QK_NORM_NAMES [W_Q_NORM] = "blk.#.attn_q_norm", [W_K_NORM] = "blk.#.attn_k_norm"
#define GGUF_POST_NORM_NAMES                                                                       \
    [W_ATTN_POST_NORM] = "blk.#.post_attention_norm", [W_FFN_POST_NORM] = "blk.#.post_ffw_norm"
#define GGUF_PLAIN_NAMES GGUF_OUTER_NAMES, GGUF_ATTN_NAMES, GGUF_FFN_NAMES, GGUF_NORM_NAMES

#define HF_OUTER_NAMES                                                                             \
    [W_EMBED] = "model.embed_tokens", [W_HEAD] = "lm_head", [W_FINAL_NORM] = "model.norm"
#define HF_ATTN_NAMES                                                                              \
    [W_Q] = "model.layers.#.self_attn.q_proj", [W_K] = "model.layers.#.self_attn.k_proj",          \
    [W_V] = "model.layers.#.self_attn.v_proj", [W_O] = "model.layers.#.self_attn.o_proj"
#define HF_FFN_NAMES                                                                               \
    [W_GATE] = "model.layers.#.mlp.gate_proj", [W_UP] = "model.layers.#.mlp.up_proj",              \
    [W_DOWN] = "model.layers.#.mlp.down_proj"
#define HF_NORM_NAMES                                                                              \
    [W_ATTN_NORM] = "model.layers.#.input_layernorm",                                              \
    [W_FFN_NORM] = "model.layers.#.post_attention_layernorm"
#define HF_BIAS_NAMES                                                                              \
    [W_Q_BIAS] = "model.layers.#.self_attn.q_proj",                                                \
    [W_K_BIAS] = "model.layers.#.self_attn.k_proj", [W_V_BIAS] = "model.layers.#.self_attn.v_proj"
#define HF_QK_NORM_NAMES                                                                           \
    [W_Q_NORM] = "model.layers.#.self_attn.q_norm", [W_K_NORM] = "model.layers.#.self_attn.k_norm"
#define HF_PLAIN_NAMES HF_OUTER_NAMES, HF_ATTN_NAMES, HF_FFN_NAMES, HF_NORM_NAMES

/* What no family here has. */
#define GGUF_FIXED_COMMON                                                                          \
    {"rope.scale_linear", "1", "rope scalings"},                                                   \
        {"attention.clamp_kqv", "null", "clamped values"},                                         \
        {"attention.causal", "true", "models that see what follows"},                              \
        {"rope.scaling.yarn_ext_factor", "1", "other extrapolations"},                             \
    {                                                                                              \
        "attention.temperature_length", "null", "other scales by position"                         \
    }
/* What some have. */
#define GGUF_FIXED_CAPS                                                                            \
    {"attn_logit_softcapping", "0", "soft-caps"},                                                  \
    {                                                                                              \
        "final_logit_softcapping", "0", "soft-caps"                                                \
    }
#define GGUF_FIXED_DENSE                                                                           \
    {                                                                                              \
        "expert_count", "0", "mixtures of experts"                                                 \
    }
#define GGUF_FIXED_YARN                                                                            \
    {"rope.scaling.yarn_log_multiplier", "0", "other attention factors"},                          \
    {                                                                                              \
        "attention.temperature_scale", "0", "scales by position"                                   \
    }
#define GGUF_FIXED_EVERYWHERE GGUF_FIXED_COMMON, GGUF_FIXED_CAPS, GGUF_FIXED_DENSE, GGUF_FIXED_YARN
#define GGUF_FIXED_SCALES                                                                          \
    {"attention.scale", "null", "other attention scales"}, {"logit_scale", "1", "logit scales"},   \
        {"embedding_scale", "1", "embedding scales"},                                              \
    {                                                                                              \
        "residual_scale", "1", "residual scales"                                                   \
    }
#define GGUF_FIXED_WINDOWS                                                                         \
    {                                                                                              \
        "attention.sliding_window", "0", "sliding windows"                                         \
    }

#define HF_FIXED_COMMON                                                                            \
    {"mlp_bias", "false", "feed-forward biases"},                                                  \
        {"quantization_config", "null", "quantised folders (take a .gguf file)"},                  \
    {                                                                                              \
        "use_bidirectional_attention", "false", "models that see what follows"                     \
    }
#define HF_FIXED_CAPS                                                                              \
    {"attn_logit_softcapping", "null", "soft-caps"},                                               \
    {                                                                                              \
        "final_logit_softcapping", "null", "soft-caps"                                             \
    }
#define HF_FIXED_EVERYWHERE HF_FIXED_COMMON, HF_FIXED_CAPS
#define HF_FIXED_BIAS                                                                              \
    {                                                                                              \
        "attention_bias", "false", "attention biases"                                              \
    }
#define HF_FIXED_SILU                                                                              \
    {                                                                                              \
        "hidden_act", "\"silu\"", "other activations"                                              \
    }
#define HF_FIXED_WINDOWS                                                                           \
    {                                                                                              \
        "sliding_window", "null", "sliding windows"                                                \
    }
#define HF_FIXED_PATTERN(every)                                                                    \
    {                                                                                              \
        "sliding_window_pattern", every, "other patterns of windows"                               \
    }
#define HF_FIXED_PARTIAL                                                                           \
    {                                                                                              \
        "partial_rotary_factor", "1", "partial rotations"                                          \
    }
#endif
