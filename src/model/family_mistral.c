/*
 * family_mistral.c - Mistral (arXiv:2310.06825): Llama with a sliding window, and Ministral, where some layers have one.
 *
 * In GGUF Mistral is a "llama", without its window: llama.cpp's converter does not write it.
 */
#include "model/family.h"
#include "model/family_names.h"

static const struct fixed_key hf_fixed[] = {
    HF_FIXED_EVERYWHERE, HF_FIXED_BIAS, HF_FIXED_SILU, HF_FIXED_PARTIAL, {0}};

const struct family family_mistral = {
    .name = "mistral",
    .hf_type = "mistral",
    .hf_class = "MistralForCausalLM",
    .rms_eps = 1e-6,
    .rope_base = 10000,
    .windows = WINDOWS_ALL,
    .window = 4096,
    .hf_tensor = {HF_PLAIN_NAMES},
    .hf_fixed = hf_fixed,
};

const struct family family_ministral = {
    .name = "ministral",
    .hf_type = "ministral",
    .hf_class = "MinistralForCausalLM",
    .rms_eps = 1e-6,
    .rope_base = 10000,
    .windows = WINDOWS_BUT_EVERY,
    .window = 4096,
    .hf_tensor = {HF_PLAIN_NAMES},
    .hf_fixed = hf_fixed,
};
