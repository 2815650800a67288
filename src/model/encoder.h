/*
 * encoder.h - a text becomes a vector of length 1, close to those of texts that mean the same.
 *
 * Encoders of BERT's type (Devlin et al., arXiv:1810.04805; as sentence embeddings: Reimers and Gurevych,
 * arXiv:1908.10084): MiniLM, BGE, E5, GTE. Tokens become word + position + type vectors, and each layer is
 *
 *     x = norm(x + attention(x)),  x = norm(x + down(gelu(up(x))))                               (1)
 *
 * with LayerNorm, biases everywhere, and attention from every token to every token. The tokens' last vectors are pooled
 * into one, which is divided by its length.
 *
 * Forms: a Hugging Face folder (config.json with "model_type": "bert", model.safetensors, tokenizer.json or vocab.txt,
 * and sentence-transformers' modules.json, sentence_bert_config.json and pooling config where they are there), or a
 * .gguf file of the architecture "bert". What decides what:
 *
 *   pooling     mean over all tokens, or the first one ([CLS]): 1_Pooling/config.json (the folder that modules.json
 *               names), bert.pooling_type; the mean where neither says. A mean divided by the root of the number of
 *               tokens is the mean, once it has length 1. Other kinds are refused.
 *   longest     max_seq_length of sentence_bert_config.json, else all positions that the model has. Of a longer text
 *               the first tokens count, with [SEP] behind them.
 *   prompts     none: who wants E5's "query: " in front of a text puts it there
 *   special     a text's own "[SEP]" is text: nobody can forge one. (The reference takes it for the token.)
 *
 * Components are within 2e-6 of transformers' in double precision. Every operation is one of tensor/ops.h, so that a
 * vector has the same bits on every machine, in any thread and beside any other work.
 */
#ifndef HONE_MODEL_ENCODER_H
#define HONE_MODEL_ENCODER_H

#include "base/error.h"
#include "base/str.h"

struct encoder; /* read-only once open: any number of threads */

/*
 * Fails with ERR_NOT_FOUND (nothing at path, or a file of the folder is missing), ERR_UNSUPPORTED (another type of
 * model, tokenizer or weight: the sentence says what it is and what was expected), ERR_INVALID (a key is missing or
 * contradicts a tensor), ERR_CORRUPT, ERR_LIMIT, ERR_IO or ERR_NO_MEMORY. Uses the calling thread alone.
 */
MUST_CHECK bool encoder_open(const char *path, struct encoder **out, struct error *err);
void encoder_close(struct encoder *e);

size_t encoder_width(const struct encoder *e); /* C: components of a vector */
size_t
encoder_max_tokens(const struct encoder *e); /* of a text, [CLS] and [SEP] included; 2 or more */

/*
 * out[C] is the vector of text (UTF-8; may be empty), of length 1 in the sense of L2; all zeros where the pooled vector
 * has no length.
 *
 *   n_tokens    how many tokens the model read, [CLS] and [SEP] included
 *   truncated   whether the text had more
 *
 * Both may be NULL. Uses the calling thread alone, with working memory of its own: the square of no more than 64 by
 * n_tokens, and some ten rows a token. Fails with ERR_INVALID for what is not UTF-8, ERR_LIMIT for a text beyond
 * LIMIT_RENDER_BYTES, or ERR_NO_MEMORY.
 */
MUST_CHECK bool encoder_embed(const struct encoder *e, struct str text, float *out,
                              size_t *n_tokens, bool *truncated, struct error *err);
/*
 * The same for a text that is tokens of this model already, without [CLS] and [SEP]: of what encoder_embed would make of the text, the
 * vector is the same. Fails with ERR_INVALID for a number that is no token.
 */
MUST_CHECK bool encoder_embed_tokens(const struct encoder *e, const int32_t *tokens, size_t n,
                                     float *out, size_t *n_tokens, bool *truncated,
                                     struct error *err);
#endif
