/*
 * family_granite.c - Granite 3: Llama with a multiplier of embeddings, of what is added to the residual stream, of attention's
 * scores, and a divisor of logits.
 */
#include "model/config_internal.h"
#include "model/family_names.h"

static bool hf_more(const json_t *json, const char *what, struct model_config *c, struct error *err)
{
    c->attention_scale =
        1; /* as GraniteConfig has it where a file is silent; the others are 1 then */
    return config_json_number(json, "embedding_multiplier", what, &c->embedding_scale, err) &&
           config_json_number(json, "residual_multiplier", what, &c->residual_scale, err) &&
           config_json_number(json, "attention_multiplier", what, &c->attention_scale, err) &&
           config_json_number(json, "logits_scaling", what, &c->logit_divisor, err);
}

static bool gguf_more(const struct gguf *g, struct model_config *c, struct error *err)
{
    struct gguf_keys k = {.g = g, .arch = "granite"};

    return config_gguf_number(&k, "embedding_scale", &c->embedding_scale, err) &&
           config_gguf_number(&k, "residual_scale", &c->residual_scale, err) &&
           config_gguf_number(&k, "attention.scale", &c->attention_scale, err) &&
           config_gguf_number(&k, "logit_scale", &c->logit_divisor, err);
}

const struct family family_granite = {
    .name = "granite",
    .gguf_arch = "granite",
    .hf_type = "granite",
    .hf_class = "GraniteForCausalLM",
    .gguf_interleaves = true,
    .rms_eps = 1e-6,
    .rope_base = 10000,
    .context = 2048,
    .hf_more = hf_more,
    .gguf_more = gguf_more,
    .gguf_tensor = {GGUF_PLAIN_NAMES},
    .hf_tensor = {HF_PLAIN_NAMES},
    .gguf_fixed =
        (const struct fixed_key[]){GGUF_FIXED_EVERYWHERE,
                                   GGUF_FIXED_WINDOWS,
                                   {"rope.scaling.finetuned", "true", "models without a rotation"},
                                   {0}},
    .hf_fixed = (const struct fixed_key[]){HF_FIXED_EVERYWHERE,
                                           HF_FIXED_BIAS,
                                           HF_FIXED_SILU,
                                           HF_FIXED_WINDOWS,
                                           HF_FIXED_PARTIAL,
                                           {0}},
};
