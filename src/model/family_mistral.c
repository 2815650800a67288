/*
 * family_mistral.c - Mistral (arXiv:2310.06825): Llama with a sliding window, and Ministral, where some layers have one.
 *
 * In GGUF Mistral is a "llama", without its window: llama.cpp's converter does not write it. Ministral 3 scales queries by how
 * many of the original contexts lie before them, as Llama 4 does.
 */
#include "model/config_internal.h"
#include "model/family_names.h"

static const struct fixed_key hf_fixed[] = {HF_FIXED_EVERYWHERE,
                                            HF_FIXED_BIAS,
                                            HF_FIXED_SILU,
                                            HF_FIXED_PARTIAL,
                                            HF_FIXED_PATTERN("null"),
                                            {0}};

const struct family family_mistral = {
    .name = "mistral",
    .hf_type = "mistral",
    .hf_class = "MistralForCausalLM",
    .rms_eps = 1e-6,
    .rope_base = 10000,
    .context = 131072,
    .n_kv_heads = 8,
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
    .context = 131072,
    .n_kv_heads = 8,
    .windows = WINDOWS_BUT_EVERY,
    .window = 4096,
    .hf_tensor = {HF_PLAIN_NAMES},
    .hf_fixed = hf_fixed,
};

static bool hf_more(const json_t *json, const char *what, struct model_config *c, struct error *err)
{
    const json_t *rope = json_object_get(json, "rope_parameters");

    if (!json_is_object(rope))
        return fail_param(err, ERR_INVALID, "rope_parameters",
                          "%s: \"rope_parameters\" is %s, an object was expected", what,
                          rope == NULL ? "missing" : json_kind(rope));
    c->query_span = c->rope[0].original;
    if (!config_json_number(rope, "llama_4_scaling_beta", what, &c->query_growth, err))
        return false;
    return !(c->query_growth > 0) || c->query_span >= 1 ||
           fail_param(err, ERR_INVALID, "original_max_position_embeddings",
                      "%s: \"original_max_position_embeddings\" is %g; beside "
                      "\"llama_4_scaling_beta\" a number of 1 or more was expected",
                      what, c->query_span);
}

static bool gguf_more(const struct gguf *g, struct model_config *c, struct error *err)
{
    struct gguf_keys k = {.g = g, .arch = "mistral3"};

    c->query_span = c->rope[0].original;
    return config_gguf_number(&k, "attention.temperature_scale", &c->query_growth, err) &&
           config_rope_gguf_log_multiplier(&k, &c->rope[0], err);
}

const struct family family_ministral3 = {
    .name = "ministral3",
    .gguf_arch = "mistral3",
    .gguf_interleaves = true,
    .hf_type = "ministral3",
    .hf_class = "Ministral3ForCausalLM",
    .rms_eps = 1e-5,
    .rope_base = 10000,
    .context = 262144,
    .n_kv_heads = 8,
    .head_width = 128,
    .windows = WINDOWS_ALL,
    .hf_more = hf_more,
    .gguf_more = gguf_more,
    .gguf_tensor = {GGUF_PLAIN_NAMES},
    .hf_tensor = {HF_PLAIN_NAMES},
    .gguf_fixed = (const struct fixed_key[]){GGUF_FIXED_COMMON,
                                             GGUF_FIXED_CAPS,
                                             GGUF_FIXED_DENSE,
                                             GGUF_FIXED_SCALES,
                                             GGUF_FIXED_WINDOWS,
                                             {0}},
    .hf_fixed = hf_fixed,
};
