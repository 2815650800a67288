/*
 * family.h - how each family of models names its things in files. One family is one file, family_<name>.c, and one row
 * in the table of family.c.
 */
#ifndef HONE_MODEL_FAMILY_H
#define HONE_MODEL_FAMILY_H

#include "base/str.h"
#include "model/model_files.h"
#include "text/json.h"

/* A key that may be there, but only with this value: any other would change what the model computes. */
struct fixed_key {
    const char *key;     /* in GGUF without the architecture in front; NULL ends a list */
    const char *value;   /* as JSON: "false", "\"silu\"", "1"; "null" for must not be there */
    const char *meaning; /* what hone does not do otherwise, for the message: "attention biases" */
};

struct model_config;

/* Which layers have a window where there is one and the file does not list them. */
enum windows {
    WINDOWS_NONE,
    WINDOWS_ALL,
    WINDOWS_FROM,      /* from "max_window_layers" on */
    WINDOWS_BUT_EVERY, /* all but every window_every-th */
};

struct family {
    const char *name;      /* model_config's family */
    const char *gguf_arch; /* general.architecture, and what its keys begin with; NULL: another's */
    const char *hf_type;   /* config.json's "model_type" */
    const char *hf_class;  /* config.json's "architectures"[0] */
    /*
     * llama.cpp's converter reorders the rows of q and k, so that the two halves of a head that rotate together
     * (x[j], x[j + D/2], as Hugging Face has them) become neighbours.
     */
    bool gguf_interleaves;
    /* Where a folder is silent, as transformers' class has them; 0: 2048, as many as heads, width / heads. */
    double rms_eps, rope_base;
    size_t context, n_kv_heads, head_width;
    /* How it computes: fields of model_config that its files do not tell. */
    bool qkv_bias, out_bias, expert_bias, sinks;
    enum qk_norm qk_norm;
    enum norm_place norm_place;
    enum activation activation;
    bool hf_norms_add_one; /* in folders; llama.cpp's converter adds it */
    bool hf_tied;          /* the head is the embedding where a folder is silent */
    /* Windows and rotations: where files have them. */
    enum windows windows;
    size_t window, window_every; /* where a folder is silent */
    size_t gguf_window;          /* where a GGUF file is */
    bool window_switch;          /* only with "use_sliding_window" */
    bool local_rope;             /* layers with a window have a rotation of their own */
    double local_rope_base;      /* 0: as the others' */
    bool partial_rotary;
    bool phi_scaling;     /* "su" and "yarn" are older names of "longrope" */
    size_t no_rope_every; /* every so manieth layer is not rotated; 0: all are */
    /* Further keys, scales for example; or NULL. what is the path of config.json. */
    bool (*hf_more)(const struct json_t *json, const char *what, struct model_config *c,
                    struct error *err);
    bool (*gguf_more)(const struct gguf *g, struct model_config *c, struct error *err);
    /*
     * Names of tensors, without ".weight" or ".bias"; '#' stands for the layer. Where several weights have the same name,
     * their rows lie in one tensor, in the order of weight_name.
     */
    const char *gguf_tensor[N_WEIGHT_NAMES];
    const char *hf_tensor[N_WEIGHT_NAMES];
    /* Of gate, up and down where layers have experts: of a folder each expert's own, '@' standing for its number; of GGUF
       those of all experts together. */
    const char *gguf_experts[3], *hf_experts[3];
    /*
     * Of a folder: gate and up of all experts lie row by row in one tensor, whose name stands in both places without ".weight":
     *     X_blocks [E, 2 F, C / 32, 16], X_scales [E, 2 F, C / 32] of bytes: MXFP4     or     X [E, C, 2 F], transposed
     * and down by itself likewise, [E, C, ...F]; X_bias are [E, 2 F] and [E, C].
     */
    bool hf_experts_paired;
    const struct fixed_key *gguf_fixed, *hf_fixed;
};

extern const struct family family_llama, family_mistral, family_ministral, family_smollm3,
    family_granite, family_qwen2, family_qwen3, family_phi3, family_olmo2, family_olmo3,
    family_gemma3, family_ministral3, family_qwen3_moe, family_gemma2, family_gpt_oss;

/* NULL where no family is called so. */
const struct family *family_of_gguf(struct str arch);
const struct family *family_of_hf(struct str model_type);
/* "llama, qwen2" for messages, by the GGUF's or by config.json's names; cut where out is too small. */
void family_list(bool gguf, char *out, size_t out_size);
/* pattern with '#' replaced by layer, then suffix; cut where out is too small. */
void family_tensor_name(const char *pattern, size_t layer, const char *suffix, char *out,
                        size_t out_size);
#endif
