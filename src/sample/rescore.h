/*
 * rescore.h - tokens that were drawn before, and how likely each is now, under the base model or any adapter of it.
 *
 *     the prompt's text, the answer's tokens  ->  one list of tokens  ->  ln p of each token of the answer
 *
 * The prompt comes as text, and is read with its special tokens, for it was rendered by a template; a text like one of them that a
 * user wrote is read as one, too, which training did not. Whatever the model is, the prefix alone decides: of an answer that is cut
 * short the tokens that are left have the same figures.
 */
#ifndef HONE_SAMPLE_RESCORE_H
#define HONE_SAMPLE_RESCORE_H

#include "sample/engine.h"
#include "text/json.h"

struct drawn_tokens {
    token_id *ids; /* [n] the prompt's, then the answer's; room for one number each */
    size_t n_prompt, n;
    float inv_t;
};
/*
 * In the arena. answer: a list of token ids, of which the first `most` are taken; temperature: what they were drawn with, 0.01 to 100.
 * Fails with ERR_INVALID naming "prompt", "tokens" or "temperature", with ERR_LIMIT where they are more than the model is open for;
 * what names them in the error.
 */
MUST_CHECK bool drawn_tokens_read(const struct model *m, struct str prompt, const json_t *answer,
                                  size_t most, double temperature, const char *what,
                                  struct arena *a, struct drawn_tokens *out, struct error *err);
/* ln p of each token of the answer, as they are drawn, into logprobs[0..n - n_prompt). */
MUST_CHECK bool drawn_tokens_score(struct engine *e, const struct adapter *adapter,
                                   const struct drawn_tokens *d, struct arena *a, float *logprobs,
                                   struct error *err);
#endif
