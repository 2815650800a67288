/*
 * encoder_internal.h - what encoder.c and its two forms share: a form gives the config, the tokenizer and tensors by
 * name; what is made of them is the same for both.
 */
#ifndef HONE_MODEL_ENCODER_INTERNAL_H
#define HONE_MODEL_ENCODER_INTERNAL_H

#include "model/encoder.h"
#include "tensor/ops.h"
#include "text/tokenizer.h"

struct gguf;
struct json_t;
struct safetensors;

enum pooling { POOL_MEAN, POOL_FIRST };

struct encoder_config {
    size_t n_layers;   /* L */
    size_t width;      /* C */
    size_t n_heads;    /* H, divides C */
    size_t hidden;     /* F */
    size_t vocab;      /* V, rows of the word vectors */
    size_t positions;  /* rows of the position vectors */
    size_t types;      /* rows of the type vectors; a text has type 0 */
    size_t max_tokens; /* 2..positions */
    double eps;        /* of LayerNorm */
    enum pooling pooling;
};

enum encoder_matrix { ENC_Q, ENC_K, ENC_V, ENC_O, ENC_UP, ENC_DOWN, N_ENC_MATRICES };
enum encoder_norm { ENC_ATTN_NORM, ENC_FFN_NORM, N_ENC_NORMS };

struct norm_weights {
    const float *w, *b; /* [C] */
};

struct encoder_layer {
    struct packed matrix[N_ENC_MATRICES];
    const float *bias[N_ENC_MATRICES];
    struct norm_weights norm[N_ENC_NORMS];
};

struct encoder {
    struct arena arena; /* everything below, and this */
    const char *path;   /* as given, for errors */
    struct encoder_config config;
    struct tokenizer *tokenizer;
    struct gguf *gguf; /* one of the two is NULL */
    struct safetensors *safetensors;
    struct matrix_view words; /* [V, C], in the file */
    const float *positions;   /* [positions, C] with the vector of type 0 added */
    struct norm_weights first_norm;
    struct encoder_layer *layers;
};

/* The forms: config, tokenizer, and the file of weights open (for GGUF by who calls). */
MUST_CHECK bool encoder_read_folder(struct encoder *e, struct error *err);
MUST_CHECK bool encoder_read_gguf(struct encoder *e, struct error *err);

/* encoder_open of a GGUF file that is open: the encoder has it from here on, or it is closed. */
MUST_CHECK bool encoder_of_gguf(struct gguf *g, const char *path, struct encoder **out,
                                struct error *err);

/*
 * Parts of them, each of one source; what names it in errors. ERR_INVALID, ERR_LIMIT or ERR_UNSUPPORTED.
 * config.json gives all but max_tokens (which it sets to positions) and pooling (the mean).
 */
MUST_CHECK bool encoder_config_from_json(const struct json_t *root, const char *what,
                                         struct encoder_config *out, struct error *err);
MUST_CHECK bool encoder_config_from_gguf(const struct gguf *g, struct encoder_config *out,
                                         struct error *err);
/* sentence_bert_config.json: max_tokens. */
MUST_CHECK bool encoder_length_from_json(const struct json_t *root, const char *what,
                                         struct encoder_config *c, struct error *err);
/* modules.json: checks that there is nothing but a transformer, a pooling and a normalisation; the folder of the
   pooling's config into *folder, a view into root. */
MUST_CHECK bool encoder_modules_from_json(const struct json_t *root, const char *what,
                                          struct str *folder, struct error *err);
/* The pooling's config.json. */
MUST_CHECK bool encoder_pooling_from_json(const struct json_t *root, const char *what,
                                          enum pooling *out, struct error *err);

/* Finds every weight in the open file, checks its shape and takes it over. */
MUST_CHECK bool encoder_bind(struct encoder *e, struct error *err);
#endif
