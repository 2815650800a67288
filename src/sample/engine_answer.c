/*
 * engine_answer.c - whether an answer's newest token ends it, and what the engine writes or rules out.
 */
#include "base/size.h"
#include "sample/engine_internal.h"

/*
 * Whether a constrained sample is still the beginning of something. It always is, but for a token that opens and closes a
 * span at once, and schemas past the limits of grammar_advance.
 */
static bool goes_on(const struct node *n, const struct sample *s)
{
    const struct answer_rules *r = &n->ticket->rules;
    const struct thought after = thought_after(r, n->thought, s);
    struct grammar_state state;

    return after.state != THOUGHT_NONE ||
           value_after(r, &n->ticket->engine->scratch[0], n->thought, after, n->allowed, s, &state);
}

/* Whether a sample that just got its newest token ends with it. */
bool answer_ends(const struct node *n, struct sample *s, enum sample_end *why)
{
    const struct sample_request *q = &n->ticket->q;
    const struct answer_rules *r = &n->ticket->rules;
    size_t at;

    *why = SAMPLE_STOP;
    if (config_is_end(r->config, s->tokens[s->n - 1]))
        return true;
    for (size_t i = 0; i < q->n_stop; i++) /* of several the one that begins first counts */
        if (answer_has(r, s, q->stop[i], &at))
            s->stop_bytes = size_min(s->stop_bytes, at);
    if (s->stop_bytes != SIZE_MAX)
        return true;
    *why = SAMPLE_LENGTH;
    return s->n - s->n_given >= q->max_tokens || (q->constraint != NULL && !goes_on(n, s));
}

/* Whether the node writes a token of its own now instead of drawing: the budget of thinking is used up. */
bool node_injects(const struct node *n)
{
    const struct thinking_options *t = &n->ticket->q.thinking;

    return n->thought.state == THOUGHT_OPEN && t->n_close_ids > 0 &&
           (n->thought.n_injected > 0 ||
            (t->budget > 0 && n->n - n->ticket->samples[n->who[0]].turn >= t->budget));
}

/* Rules out what a constrained node must not draw. */
void node_mask(struct engine *e, const struct node *n, int thread, float *logits)
{
    answer_mask(&n->ticket->rules, &e->scratch[thread], &n->thought, &n->allowed,
                &n->ticket->samples[n->who[0]], logits);
}
