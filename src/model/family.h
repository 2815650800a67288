/*
 * family.h - how each family of models names its things in files. One family is one file, family_<name>.c, and one row
 * in the table of family.c.
 */
#ifndef HONE_MODEL_FAMILY_H
#define HONE_MODEL_FAMILY_H

#include "base/str.h"
#include "model/model_files.h"

/* A key that may be there, but only with this value: any other would change what the model computes. */
struct fixed_key {
    const char *key;     /* in GGUF without the architecture in front; NULL ends a list */
    const char *value;   /* as JSON: "false", "\"silu\"", "1"; "null" for must not be there */
    const char *meaning; /* what hone does not do otherwise, for the message: "attention biases" */
};

struct family {
    const char *name;      /* model_config's family */
    const char *gguf_arch; /* general.architecture, and what its keys begin with */
    const char *hf_type;   /* config.json's "model_type" */
    const char *hf_class;  /* config.json's "architectures"[0] */
    /*
     * llama.cpp's converter reorders the rows of q and k, so that the two halves of a head that rotate together
     * (x[j], x[j + D/2], as Hugging Face has them) become neighbours.
     */
    bool gguf_interleaves;
    double rms_eps, rope_base; /* where a file is silent, as the family's reference assumes */
    const char *gguf_tensor[N_WEIGHT_NAMES]; /* without ".weight"; '#' stands for the layer */
    const char *hf_tensor[N_WEIGHT_NAMES];
    const struct fixed_key *gguf_fixed, *hf_fixed;
};

extern const struct family family_llama;

/* NULL where no family is called so. */
const struct family *family_of_gguf(struct str arch);
const struct family *family_of_hf(struct str model_type);
/* "llama, qwen2" for messages, by the GGUF's or by config.json's names; cut where out is too small. */
void family_list(bool gguf, char *out, size_t out_size);
/* pattern with '#' replaced by layer, then suffix; cut where out is too small. */
void family_tensor_name(const char *pattern, size_t layer, const char *suffix, char *out,
                        size_t out_size);
#endif
