/*
 * model_files.h - a model on disk, whichever form it has: config, weights by one set of names, tokenizer, template.
 *
 * Forms: a .gguf file, or the first of its parts; a Hugging Face folder (config.json, *.safetensors, sharded or not, tokenizer.json,
 * tokenizer_config.json, generation_config.json, chat_template.jinja). Everything is memory-mapped, checked before
 * use, and named in errors. Weights are in Hugging Face's row order: what GGUF permutes is put right by row_order.
 *
 * Every weight must be there, and no tensor may be left over: one that nothing here uses would change the result.
 *
 * What ends an answer (config.eos), in this order and without repetition:
 *   GGUF     tokenizer.ggml.eos_token_id, eot_token_id, eom_token_id
 *   folder   eos_token_id in generation_config.json, then in config.json (an id or a list), then the eos_token of
 *            tokenizer_config.json
 *   both     the special tokens of the vocabulary that are known to end a turn (<|im_end|>, <|eot_id|>, ...; the list
 *            and its one exception stand in model_files.c): files often name only the end of a document
 * A token counts as known only where it is special (a control token), so no text can end an answer by accident.
 */
#ifndef HONE_MODEL_MODEL_FILES_H
#define HONE_MODEL_MODEL_FILES_H

#include "model/config.h"
#include "tensor/dtype.h"
#include "text/tokenizer.h"

enum weight_name { /* each is a matrix [rows, cols] that turns cols inputs into rows outputs; norms are one row */
                   W_EMBED,      /* [V, C] */
                   W_HEAD,       /* [V, C]; absent when tied */
                   W_FINAL_NORM, /* [1, C] */
                   W_ATTN_NORM,  /* from here on one a layer: [1, C] */
                   W_Q,          /* [H*D, C] */
                   W_K,          /* [K*D, C] */
                   W_V,          /* [K*D, C] */
                   W_O,          /* [C, H*D] */
                   W_FFN_NORM,   /* [1, C] */
                   W_GATE,       /* [F, C] */
                   W_UP,         /* [F, C] */
                   W_DOWN,       /* [C, F] */
                   W_ROUTER, /* [E, C]; of layers with experts, which have no gate, up and down of their own */
                   W_GATE_BIASES, /* [E, F]: of all experts, where they have some */
                   W_UP_BIASES,   /* [E, F] */
                   W_DOWN_BIASES, /* [E, C] */
                   /* where the config asks for them, else their data is NULL; each one row */
                   W_Q_BIAS,
                   W_K_BIAS,
                   W_V_BIAS, /* [1, H*D], [1, K*D] */
                   W_Q_NORM,
                   W_K_NORM,         /* [1, D], or [1, H*D] and [1, K*D] */
                   W_ATTN_POST_NORM, /* [1, C] */
                   W_FFN_POST_NORM,  /* [1, C] */
                   W_O_BIAS,         /* [1, C] */
                   W_ROUTER_BIAS,    /* [1, E] */
                   W_SINKS,          /* [1, H] */
                   N_WEIGHT_NAMES
};

/* Read-only after _open but for the sum below: any number of threads may use it. */
struct model_files;

/*
 * Opens and checks everything: every weight is there with the shape that the config says.
 *
 * Fails with ERR_NOT_FOUND (nothing at path, or a file of a folder is missing), ERR_INVALID (a key is missing or wrong,
 * or contradicts a tensor; the path leads to something else), ERR_UNSUPPORTED (another family, weight type, tokenizer
 * or variant), ERR_CORRUPT (cut short, offsets outside, bytes that are no GGUF), ERR_LIMIT, ERR_IO or ERR_NO_MEMORY.
 */
MUST_CHECK bool model_files_open(const char *path, struct model_files **out, struct error *err);
void model_files_close(struct model_files *f);
/* The weights read so far need not stay in memory; what is read again comes from the files again. */
void model_files_forget(const struct model_files *f);

const struct model_config *model_files_config(const struct model_files *f);
/* layer (0..L-1) is ignored for the first three names. data is NULL for what this model has not, as a W_HEAD that is
   tied. Lives as long as f. */
struct matrix_view model_files_weight(const struct model_files *f, enum weight_name name,
                                      size_t layer);
/* W_GATE, W_UP or W_DOWN of one expert (0..E-1) of a layer that has experts. */
struct matrix_view model_files_expert(const struct model_files *f, enum weight_name name,
                                      size_t layer, size_t expert);
/* The tokenizer belongs to f. */
const struct tokenizer *model_files_tokenizer(const struct model_files *f);
/* The chat template's source; {"", 0} where the model has none. */
struct str model_files_template(const struct model_files *f);
/*
 * SHA-256 over the weights' file, or over the shards or parts one after another in the order of their names; computed when first
 * asked for, by one thread (it reads them whole); 64 hex digits.
 */
MUST_CHECK bool model_files_sha256(struct model_files *f, char out[65], struct error *err);
/* The name of a weight in Hugging Face's files: "model.layers.3.self_attn.q_proj" (without ".weight"). */
void weight_hf_name(enum weight_name name, size_t layer, char out[96]);
#endif
