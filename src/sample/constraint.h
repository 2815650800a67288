/*
 * constraint.h - a grammar over bytes becomes a rule over tokens: which of the vocabulary may come next.
 *
 * The tokens of a vocabulary are laid out once as a tree of their bytes; walking it with the automaton (text/grammar.h)
 * finds all allowed tokens together, and a beginning that does not fit rules out all that begin so. Most of what is found
 * depends on the innermost value alone ("any text" inside a string), and is kept: a set of tokens for each state of the
 * automaton, and the places in the tree where that value ends. Only from these places on is the tree walked with what lies
 * below on the stack; as in Dong et al., XGrammar, arXiv:2411.15100.
 *
 * Tokens are bytes: one may end inside a character, and only those that complete it may follow.
 */
#ifndef HONE_SAMPLE_CONSTRAINT_H
#define HONE_SAMPLE_CONSTRAINT_H

#include "text/grammar.h"
#include "text/tokenizer.h"

/*
 * Read-only once open. n_ids: rows of the model's head, V; ends [n_ends]: ids that end an answer. Special tokens are never
 * part of a constrained answer, nor are tokens of more than 256 bytes.
 */
struct vocabulary;
MUST_CHECK bool vocabulary_open(const struct tokenizer *t, size_t n_ids, const int *ends,
                                size_t n_ends, struct vocabulary **out, struct error *err);
/* The same, but special tokens among written [n_written] are part of answers: what a model marks its tool calls with. */
MUST_CHECK bool vocabulary_open_with(const struct tokenizer *t, size_t n_ids, const int *ends,
                                     size_t n_ends, const token_id *written, size_t n_written,
                                     struct vocabulary **out, struct error *err);
void vocabulary_close(struct vocabulary *v); /* NULL is fine */
size_t vocabulary_bytes(const struct vocabulary *v);
size_t vocabulary_words(const struct vocabulary *v); /* V / 64, rounded up: of a set of tokens */

/* Any number of threads may use a constraint, each with scratch of its own. */
struct constraint;
/*
 * Takes g over, on failure too; v must outlive it. Fails with ERR_UNSUPPORTED where the vocabulary has no end token, or has
 * no token of its own for a byte that the grammar may come to need: so there is always a token that goes on.
 */
MUST_CHECK bool constraint_open(struct grammar *g, const struct vocabulary *v,
                                struct constraint **out, struct error *err);
/* One more owner: each calls constraint_close, and the last one's ends it. */
struct constraint *constraint_share(struct constraint *c);
void constraint_close(struct constraint *c);         /* NULL is fine */
size_t constraint_bytes(const struct constraint *c); /* what is kept of masks included */

struct constraint_scratch {
    struct grammar_walk walk;
    uint64_t *set;
    size_t words;
};
MUST_CHECK bool
constraint_scratch_open(struct constraint_scratch *s, const struct constraint *c,
                        struct error *err); /* of any constraint of this vocabulary */
void constraint_scratch_close(struct constraint_scratch *s); /* all zeros is fine */

/*
 * state: what came so far, see grammar_begin and grammar_copy; a function of the answer's tokens alone.
 *
 * The state after a token. An end token leaves it as it is, and may come where the value is complete. false, and state as
 * it was, where the token may not come.
 */
bool constraint_accepts(const struct constraint *c, struct constraint_scratch *s,
                        struct grammar_state *state, token_id id);
/* Tokens that may come next, as a set in s until its next use: bit id % 64 of word id / 64. Never empty. */
const uint64_t *constraint_allowed(const struct constraint *c, struct constraint_scratch *s,
                                   const struct grammar_state *state);

/* What a token that may not come has in place of its logit: finite, and so low that its probability is 0. */
#define CONSTRAINT_NEVER (-1e30f)
/*
 * Puts CONSTRAINT_NEVER into logits [V] wherever a token may not come. What is drawn from them has the log-probability of
 * the distribution renormalised over allowed tokens; who wants it again later puts an answer's tokens through
 * constraint_accepts and masks each row of logits with the state before its token.
 */
void constraint_mask(const struct constraint *c, struct constraint_scratch *s,
                     const struct grammar_state *state, float *logits);

/* ---- around a span of thinking, in which anything may come but an end ---- */

/* The state of an answer whose first bytes, white space before them aside, stood in the token that closed the span. */
bool constraint_begins(const struct constraint *c, struct constraint_scratch *s,
                       struct grammar_state *state, struct str rest);

/*
 * Tokens that would close a span and go on with what no answer may begin with, by how many bytes of the closing stand
 * before them: ids[from[k] .. from[k + 1]). Of most tokenizers there are none.
 */
struct constraint_closing {
    struct str close;
    token_id *ids;
    size_t *from; /* [close.len + 1] */
};
void constraint_closing_find(const struct constraint *c, struct constraint_scratch *s,
                             struct str close, struct arena *a, struct constraint_closing *out);
/*
 * Inside a span: masks them, and the tokens that end an answer. before: the text so far, or its end, of close.len - 1 bytes
 * or more where it has them.
 */
void constraint_mask_closing(const struct constraint *c, const struct constraint_closing *closing,
                             struct str before, float *logits);
/*
 * At an answer's first tokens, which may open a span or be the value itself: masks all but what state allows (NULL: what
 * came so far is no value) and tokens whose bytes are those of `open` from its byte n_matched on; space: white space may
 * come before it.
 */
void constraint_mask_opening(const struct constraint *c, struct constraint_scratch *s,
                             const struct grammar_state *state, struct str open, size_t n_matched,
                             bool space, float *logits);
#endif
