/*
 * adapter.h - low-rank adapters on every linear layer of a model.
 *
 *     y = W x + B (s A x),   s = alpha / R,   A [R, K], B [N, R]
 *
 * LoRA: Hu et al., arXiv:2106.09685. A begins uniform in +- 1 / sqrt(K), B as zeros: a new adapter changes nothing.
 * All values lie in one array, in the order layer, projection (q k v o gate up down), A then B; gradients likewise.
 * On disk: PEFT's own layout, adapter_config.json and adapter_model.safetensors.
 */
#ifndef HONE_MODEL_ADAPTER_H
#define HONE_MODEL_ADAPTER_H

#include "model/config.h"
#include "tensor/ops.h"

enum projection { PROJ_Q, PROJ_K, PROJ_V, PROJ_O, PROJ_GATE, PROJ_UP, PROJ_DOWN, N_PROJECTIONS };
/* Outputs N and inputs K of a projection. */
void projection_shape(const struct model_config *c, enum projection p, size_t *n, size_t *k);
/* Projections that adapters change, the first so many: all, or where layers have experts those of attention. */
static inline size_t projections_of(const struct model_config *c)
{
    return c->n_experts > 0 ? PROJ_GATE : N_PROJECTIONS;
}
const char *projection_hf_name(enum projection p); /* "self_attn.q_proj" */

struct lora {
    size_t n, k;
    float *a, *b;         /* [R, K], [N, R] in adapter.values */
    float *da, *db;       /* in adapter.grads; NULL while not training */
    struct packed pa, pb; /* a and b as the forward reads them */
};

#define BASE_NAME_SIZE 4096

struct adapter {
    size_t rank, n_layers, n_values;
    size_t n_projections; /* of a layer: projections_of */
    float alpha, scale;
    float *values, *grads;
    struct lora (*layers)[N_PROJECTIONS];
    struct arena arena;
    uint64_t version; /* of these values, in this process: no other adapter had it, nor will have */
    char base_name[BASE_NAME_SIZE]; /* the model it belongs to, a name or a path; "": not known */
};

/* A new one, from counted random numbers. */
MUST_CHECK bool adapter_new(const struct model_config *c, size_t rank, float alpha, uint64_t seed,
                            struct adapter **out, struct error *err);
/*
 * Reads PEFT's layout, base_name included; fails where a tensor does not fit the model. Fused layers (Phi-3's qkv_proj and
 * gate_up_proj) become their parts, which loses nothing: where B has each part's columns apart, as export_peft writes it, the parts'
 * own A and B; else each part has all of A and its rows of B. Ranks that differ are filled up with zeros; scales that differ are
 * refused.
 */
MUST_CHECK bool adapter_load(const struct model_config *c, const char *dir, struct adapter **out,
                             struct error *err);
/* Writes PEFT's layout into dir (which is there). base_name goes into adapter_config.json. */
MUST_CHECK bool adapter_save(const struct adapter *a, const char *dir, struct error *err);
void adapter_close(struct adapter *a);
/* 0 for NULL, the base as it is. */
static inline uint64_t adapter_version(const struct adapter *a)
{
    return a != NULL ? a->version : 0;
}

MUST_CHECK bool adapter_want_grads(struct adapter *a,
                                   struct error *err); /* takes memory for gradients, zeroed */
void adapter_changed(struct adapter *a);               /* after values changed: packs them anew */
void adapter_sha256(const struct adapter *a,
                    char hex[65]); /* of all values, as little-endian floats in order */
#endif
