/*
 * engine_answer.c - what an answer's newest token makes of it: its thinking, its form, and whether it ends.
 */
#include "base/size.h"
#include "sample/engine_internal.h"

#include <string.h>

bool is_end_token(const struct model_config *c, token_id id)
{
    for (size_t i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id)
            return true;
    return false;
}

/* The text of a sample's tokens so far, end tokens left out: of its last turn. */
static void text_of(const struct engine *e, const struct sample *s, struct buf *out)
{
    for (size_t i = s->turn; i < s->n; i++)
        if (!is_end_token(&e->model->config, s->tokens[i]))
            buf_str(out, tokenizer_bytes(e->tokenizer, s->tokens[i]));
}

/* Whether the newest token completed `what` in the text; *at: where it begins. */
static bool text_has(const struct engine *e, const struct sample *s, struct str what, size_t *at)
{
    struct buf b;
    bool found = false;

    buf_init(&b, (size_t)64 << 20);
    text_of(e, s, &b);
    *at = str_find(buf_view(&b), what, 0);
    found = *at < b.len;
    buf_release(&b);
    return found;
}

/* Reads on in the opening, white space before it aside. */
static void match_opening(struct thought *t, struct str open, struct str bytes)
{
    for (size_t i = 0; i < bytes.len && t->state == THOUGHT_MAYBE; i++) {
        if (t->n_matched == 0 && thinking_is_space(bytes.ptr[i]))
            continue;
        if (bytes.ptr[i] != open.ptr[t->n_matched])
            t->state = THOUGHT_NONE;
        else if (++t->n_matched == open.len)
            t->state = THOUGHT_OPEN;
    }
}

/* What its newest token makes of a sample's span; t: before it. */
struct thought thought_after(const struct engine *e, const struct thinking_options *opt,
                             struct thought t, const struct sample *s)
{
    const token_id newest = s->tokens[s->n - 1];
    bool closed = false;
    size_t at;

    if (t.state == THOUGHT_MAYBE && !is_end_token(&e->model->config, newest))
        match_opening(&t, opt->open, tokenizer_bytes(e->tokenizer, newest));
    if (t.state != THOUGHT_OPEN)
        return t;
    if (s->injected[s->n - 1])
        closed = ++t.n_injected == opt->n_close_ids;
    else
        closed = text_has(e, s, opt->close, &at);
    if (closed) {
        t.state = THOUGHT_NONE;
        t.n_tokens = s->n;
    }
    return t;
}

/*
 * What its newest token makes of a constrained sample's text: into *state; whether that begins a value. before, after: its
 * span without the token and with it; was: the text before.
 */
bool value_after(struct engine *e, const struct sample_request *q, struct thought before,
                 struct thought after, struct allowed was, const struct sample *s,
                 struct grammar_state *state)
{
    size_t at = 0;
    struct buf b;

    if (after.state == THOUGHT_OPEN || (before.state == THOUGHT_NONE && !was.alive))
        return false;
    if (after.state == THOUGHT_MAYBE && after.n_matched == 0) { /* white space so far */
        grammar_begin(state);
        return true;
    }
    if (before.state == THOUGHT_NONE || after.n_tokens != s->n) { /* no span was closed */
        grammar_copy(state, was.state);
        return was.alive &&
               constraint_accepts(q->constraint, &e->scratch[0], state, s->tokens[s->n - 1]);
    }
    buf_init(&b, (size_t)64 << 20);
    text_of(e, s, &b);
    at = s->injected[s->n - 1]
             ? b.len
             : str_find(buf_view(&b), q->thinking.close, 0) + q->thinking.close.len;
    const bool ok = constraint_begins(q->constraint, &e->scratch[0], state,
                                      str_from(buf_view(&b), size_min(at, b.len)));
    buf_release(&b);
    return ok;
}

/*
 * Whether a constrained sample is still the beginning of something. It always is, but for a token that opens and closes a
 * span at once, and schemas past the limits of grammar_advance.
 */
static bool goes_on(struct engine *e, const struct sample_request *q, const struct node *n,
                    const struct sample *s)
{
    const struct thought after = thought_after(e, &q->thinking, n->thought, s);
    struct grammar_state state;

    return after.state != THOUGHT_NONE ||
           value_after(e, q, n->thought, after, n->allowed, s, &state);
}

/* Whether a sample that just got its newest token ends with it. */
bool answer_ends(struct engine *e, const struct node *n, struct sample *s, enum sample_end *why)
{
    const struct sample_request *q = &n->ticket->q;
    size_t at;

    *why = SAMPLE_STOP;
    if (is_end_token(&e->model->config, s->tokens[s->n - 1]))
        return true;
    for (size_t i = 0; i < q->n_stop; i++) /* of several the one that begins first counts */
        if (text_has(e, s, q->stop[i], &at))
            s->stop_bytes = size_min(s->stop_bytes, at);
    if (s->stop_bytes != SIZE_MAX)
        return true;
    *why = SAMPLE_LENGTH;
    return s->n - s->n_given >= q->max_tokens || (q->constraint != NULL && !goes_on(e, q, n, s));
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
    const struct sample_request *q = &n->ticket->q;
    struct constraint_scratch *scratch = &e->scratch[thread];

    if (n->thought.state == THOUGHT_OPEN) {
        struct buf before;

        buf_init(&before, (size_t)64 << 20);
        text_of(e, &n->ticket->samples[n->who[0]], &before);
        constraint_mask_closing(q->constraint, n->ticket->closing, buf_view(&before), logits);
        buf_release(&before);
    } else if (n->thought.state == THOUGHT_MAYBE) {
        constraint_mask_opening(q->constraint, scratch, n->allowed.alive ? n->allowed.state : NULL,
                                q->thinking.open, n->thought.n_matched, n->n == 0, logits);
    } else {
        constraint_mask(q->constraint, scratch, n->allowed.state, logits);
    }
}
