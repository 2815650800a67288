/*
 * fp8.h - the factors of weights that a Hugging Face folder keeps as FP8.
 *
 *     "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128], ...}          in config.json
 *     X.weight F8_E4M3 [N, K], X.weight_scale_inv [ceil(N / 128), ceil(K / 128)]                    DeepSeek, Qwen3-FP8
 *     X.weight, X.weight_scale: one number, [N, 1] or [N]: without blocks, for the matrix or for each row
 *
 * A weight is its FP8 value times its factor, whichever name that has. What such a folder says of how activations are rounded is
 * passed over: here they are not.
 */
#ifndef HONE_MODEL_FP8_H
#define HONE_MODEL_FP8_H

#include "model/safetensors.h"
#include "text/json.h"

struct fp8_config {
    bool is_fp8;
    size_t block_rows, block_cols; /* 0: no blocks */
};

/*
 * Takes "quantization_config" out of a config.json where it tells of FP8; leaves any other there, to be refused. what is the file,
 * for errors: ERR_INVALID where "weight_block_size" is no pair of sizes, ERR_UNSUPPORTED where blocks have a width that panels cannot keep.
 */
MUST_CHECK bool fp8_config_take(json_t *config, const char *what, struct fp8_config *out,
                                struct error *err);

bool fp8_is_weight(const struct safetensor *t);
/* Whether a tensor is there for an FP8 weight beside it: factors, or how activations are rounded. */
bool fp8_is_beside(const struct safetensors *s, const char *name);

/*
 * The factors of a weight, in a. Fails with ERR_INVALID, naming file and tensor, where they are missing, there twice, of another
 * shape than the weight and the blocks ask for, or not finite.
 */
MUST_CHECK bool fp8_scale(const struct safetensors *s, const struct safetensor *weight,
                          const struct fp8_config *c, const char *what, struct arena *a,
                          const struct weight_scale **out, struct error *err);
#endif
