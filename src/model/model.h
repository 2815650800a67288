/*
 * model.h - a model in memory: weights packed for the kernels, tables for the rotary positions.
 *
 * The weights are those of the file, in their own number format, and frozen; or, for full fine-tuning, floats that
 * model_unfreeze has made of them. Read-only to everyone but the optimizer between two steps.
 */
#ifndef HONE_MODEL_MODEL_H
#define HONE_MODEL_MODEL_H

#include "model/adapter.h"
#include "model/model_files.h"

/* What a projection is called among a file's weights. */
extern const enum weight_name projection_weight[N_PROJECTIONS];

enum expert_part { EXPERT_GATE, EXPERT_UP, EXPERT_DOWN, N_EXPERT_PARTS };
struct expert_weights {
    struct packed part[N_EXPERT_PARTS];
};

struct layer_weights {
    struct packed proj[N_PROJECTIONS]; /* with experts only those of attention, projections_of */
    struct packed router;              /* [E, C] */
    struct expert_weights *experts;    /* [E]; NULL: there are none */
    /* What the config does not ask for is NULL. */
    float *attn_norm, *ffn_norm;           /* [C] */
    float *attn_post_norm, *ffn_post_norm; /* [C] */
    float *q_norm, *k_norm;                /* [D], or [H*D] and [K*D] */
    float *q_bias, *k_bias, *v_bias;       /* [H*D], [K*D] */
    float *o_bias;                         /* [C] */
    float *sinks;                          /* [H] */
    float *router_bias;                    /* [E] */
    float *expert_bias[N_EXPERT_PARTS];    /* [E, F], [E, F], [E, C] */
};

/* Full fine-tuning: every weight as floats, in one array, with a gradient each. */
struct full_weights {
    size_t n_values;
    float *values, *grads;
    float *embed, *d_embed; /* [V, C]; the head's, too, when tied */
    float *head, *d_head;   /* [V, C], or the embedding's */
    float *d_final_norm;
    struct full_layer {
        float *proj[N_PROJECTIONS], *d_proj[N_PROJECTIONS];
        float *d_attn_norm, *d_ffn_norm;
    } * layers;
};

/* What a pass computes in, forward and back. */
enum precision {
    PRECISION_F32,
    PRECISION_INT8 /* rows that meet whole numbers (formats of blocks) are rounded to bytes first: tensor/rounded.h. On the way back, which
                      takes that rounding for the identity, gradients that meet them are rounded to bfloats, and so are they. */
};
/* What jobs, commands and servers compute in unless they are told otherwise: it learns as well as F32, and is faster
   (docs/RESULTS.md, docs/PERFORMANCE.md). */
#define PRECISION_DEFAULT PRECISION_INT8
const char *precision_name(enum precision p);               /* "f32", "int8" */
bool precision_named(struct str name, enum precision *out); /* false: there is none of this name */
/* What keys and values are kept in unless it is said: floats beside floats, else F16, which moves an answer's words a thousandth as much
   as rounded rows do and takes half the memory. */
enum kv_cache precision_kv_cache(enum precision p);

struct model {
    struct model_config config;
    enum precision
        precision; /* PRECISION_F32 from model_open on; whoever opens it may set it before anything is computed */
    struct model_files *files;
    char path[512];
    struct arena arena;
    struct layer_weights *layers;
    struct packed head;
    struct matrix_view embed;
    float *final_norm;
    size_t max_positions;
    struct rope_table {
        float *cos_, *sin_; /* [max_positions, rotary width / 2]; NULL: no layer needs it */
    } rope[2];
    float *query_scale;        /* [max_positions]: the config's query_growth; NULL: none */
    struct full_weights *full; /* NULL while frozen */
};

/* max_positions: the longest sequence that will be asked for; 0: the model's own context, at most 8192. */
MUST_CHECK bool model_open(const char *path, size_t max_positions, struct model **out,
                           struct error *err);
void model_close(struct model *m);
/* dx[M, K] (+)= dy[M, N] W, W one of m's matrices, in m's precision */
void model_back_x(const struct model *m, const struct packed *w, size_t rows, const float *dy,
                  size_t lddy, float *dx, size_t lddx, bool accumulate);
size_t model_bytes(const struct model *m); /* memory of the packed weights and tables */
/* The tables of the rotations that the config's layers have: part of model_open. */
MUST_CHECK bool model_make_rope(struct model *m, struct error *err);

/* ERR_UNSUPPORTED for a family with weights, or scales of them, that no gradient is computed for. */
MUST_CHECK bool model_unfreeze(struct model *m, struct error *err);
void model_changed(struct model *m); /* after full values changed: packs them anew */
MUST_CHECK bool model_full_save(const struct model *m, const char *dir,
                                struct error *err); /* model.safetensors, F32 */
/* The other way: the weights of an unfrozen model from dir/model.safetensors. */
MUST_CHECK bool model_full_load(struct model *m, const char *dir, struct error *err);
#endif
