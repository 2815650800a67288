/*
 * model_files_internal.h - what model_files.c and its two forms share.
 *
 * A form (a GGUF file, a Hugging Face folder) fills in the config, the list of tensors, the tokenizer and the template;
 * what follows is the same for both: finding each weight, checking its shape, and putting rows into order.
 */
#ifndef HONE_MODEL_MODEL_FILES_INTERNAL_H
#define HONE_MODEL_MODEL_FILES_INTERNAL_H

#include "base/file.h"
#include "model/family.h"
#include "model/model_files.h"

struct gguf;
struct safetensors;

struct file_tensor {
    const char *name;
    enum dtype dtype;
    size_t n_dims, dims[4]; /* rows first */
    const void *data;
    const struct weight_scale *scale; /* of an FP8 weight, or NULL */
    bool used;                        /* some weight is this tensor */
};

struct model_files {
    struct arena arena; /* everything below, and this */
    const char *path;   /* as given, for errors */
    const struct family *family;
    struct model_config config;
    struct tokenizer *tokenizer;
    struct str chat_template;
    struct gguf *gguf; /* one of the two is NULL */
    struct safetensors *safetensors;
    struct file_tensor *tensors; /* [n_tensors]; sorted by name once they are bound */
    size_t n_tensors;
    struct matrix_view *weights; /* [n_weights] */
    size_t n_weights;
    struct matrix_view (*experts)[3]; /* [L * E] gate, up and down; NULL: there are none */
    char sha256[65];                  /* "" until asked for */
};

/* What each form calls the numbers that a weight's shape comes from, for errors. */
struct shape_words {
    const char *file; /* where they stand */
    const char *width, *heads, *kv_heads, *head, *hidden, *vocab, *experts;
};

MUST_CHECK bool model_files_read_gguf(struct model_files *f, struct error *err);
MUST_CHECK bool model_files_read_folder(struct model_files *f, struct error *err);

/* Finds every weight among f->tensors by the names in patterns; fails where one is missing, misshapen or left over. */
MUST_CHECK bool model_files_bind(struct model_files *f, const char *const patterns[N_WEIGHT_NAMES],
                                 bool interleaved, const struct shape_words *words,
                                 struct error *err);

/* ---- what the parts of binding share ---- */

/* Where a weight is in f->weights: the three of the whole model come first, then the others, a layer at a time. */
size_t weight_index(enum weight_name name, size_t layer);
struct dimension {
    size_t size;
    const char *word; /* what the file calls it; NULL: nothing to call */
};
void weight_shape(const struct model_files *f, const struct shape_words *words,
                  enum weight_name name, struct dimension *rows, struct dimension *cols);
struct file_tensor *file_tensor_find(const struct model_files *f,
                                     const char *name); /* NULL: not there */
/* Fills f->experts, and where their biases lie in tensors like the experts' own, those of f->weights. */
MUST_CHECK bool model_files_bind_experts(struct model_files *f, const struct shape_words *words,
                                         struct error *err);

/* After config and tokenizer: checks that they fit, and adds what the vocabulary says of the ends of an answer. */
MUST_CHECK bool model_files_fit_tokenizer(struct model_files *f, struct error *err);
#endif
