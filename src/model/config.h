/*
 * config.h - the shape of a model, whatever file it came from. Letters as in docs/NOTATION.md.
 */
#ifndef HONE_MODEL_CONFIG_H
#define HONE_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#define MODEL_MAX_EOS 16

struct model_config {
    char family[32];    /* "llama" */
    size_t n_layers;    /* L */
    size_t width;       /* C */
    size_t n_heads;     /* H */
    size_t n_kv_heads;  /* K, divides H */
    size_t head_width;  /* D */
    size_t hidden;      /* F */
    size_t vocab;       /* V, rows of the embedding */
    size_t context;     /* positions the model was made for */
    double rms_eps;
    double rope_base;
    bool tied_head;     /* the head is the embedding */
    int bos;            /* -1: none */
    bool add_bos;       /* text is begun with bos when no template does */
    int eos[MODEL_MAX_EOS]; /* every id that ends an answer, from every place that may list one */
    size_t n_eos;
};
#endif
