/*
 * rules.h - what the tokens of an answer so far say of what may follow: its thinking, and the form that it is held to.
 *
 * A function of the answer's tokens alone. The engine goes along while it draws; training goes over a finished answer once more,
 * and masks each row of logits with the very same state: so a token's log-probability is the same number both times.
 */
#ifndef HONE_SAMPLE_RULES_H
#define HONE_SAMPLE_RULES_H

#include "sample/constraint.h"
#include "sample/engine.h"
#include "sample/thinking.h"

/* How far a thinking span has come: maybe -> open -> none, or at once the last. */
struct thought {
    enum { THOUGHT_NONE, THOUGHT_MAYBE, THOUGHT_OPEN } state;
    size_t n_matched;  /* bytes of the opening that the answer began with */
    size_t n_tokens;   /* once the span is closed */
    size_t n_injected; /* closing tokens already written */
};

/* What a constraint makes of an answer's text behind its thinking; alive: it is the beginning of a value. */
struct allowed {
    struct grammar_state *state; /* NULL: there is no constraint */
    bool alive; /* false only inside a span, or where the text can still become one alone */
};

struct answer_rules {
    const struct model_config *config;
    const struct tokenizer *tokenizer;
    struct thinking_options thinking;
    const struct constraint *constraint;      /* NULL: none */
    const struct constraint_closing *closing; /* where there is one, and answers may think */
};

/* What may not close a span is found in the arena, or taken from `like` (may be NULL), where that has it and lives as long. */
struct answer_rules answer_rules_of(const struct model_config *c, const struct tokenizer *t,
                                    const struct thinking_options *thinking,
                                    const struct constraint *constraint,
                                    const struct answer_rules *like,
                                    struct constraint_scratch *scratch, struct arena *a);

/* Whether the newest token completed `what` in the text of a sample's last turn; *at: where it begins. */
bool answer_has(const struct answer_rules *r, const struct sample *s, struct str what, size_t *at);

/* Before the first token. allowed.state is the caller's, and set where there is a constraint. */
struct thought thought_begin(const struct thinking_options *t);
/* What its newest token makes of a sample's span; t: before it. */
struct thought thought_after(const struct answer_rules *r, struct thought t,
                             const struct sample *s);
/*
 * What its newest token makes of a constrained sample's text: into *state, which may be was.state; whether that begins a value.
 * before, after: its span without the token and with it; was: the text before.
 */
bool value_after(const struct answer_rules *r, struct constraint_scratch *scratch,
                 struct thought before, struct thought after, struct allowed was,
                 const struct sample *s, struct grammar_state *state);
/* Rules out what may not follow the tokens of a constrained sample. */
void answer_mask(const struct answer_rules *r, struct constraint_scratch *scratch,
                 const struct thought *t, const struct allowed *allowed, const struct sample *s,
                 float *logits);
#endif
