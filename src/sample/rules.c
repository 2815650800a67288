/*
 * rules.c - a sample's newest token, read once.
 */
#include "sample/rules.h"
#include "base/size.h"

struct answer_rules answer_rules_of(const struct model_config *c, const struct tokenizer *t,
                                    const struct thinking_options *thinking,
                                    const struct constraint *constraint,
                                    const struct answer_rules *like,
                                    struct constraint_scratch *scratch, struct arena *a)
{
    struct answer_rules r = {
        .config = c, .tokenizer = t, .thinking = *thinking, .constraint = constraint};

    if (constraint == NULL || (!thinking->on && thinking->open.len == 0))
        return r;
    if (like != NULL && like->closing != NULL && like->constraint == constraint &&
        str_eq(like->closing->close, thinking->close)) {
        r.closing = like->closing;
        return r;
    }
    struct constraint_closing *closing = ARENA_NEW(a, struct constraint_closing);

    constraint_closing_find(constraint, scratch, thinking->close, a, closing);
    r.closing = closing;
    return r;
}

/* The text of a sample's tokens so far, end tokens left out: of its last turn. */
static void text_of(const struct answer_rules *r, const struct sample *s, struct buf *out)
{
    for (size_t i = s->turn; i < s->n; i++)
        if (!config_is_end(r->config, s->tokens[i]))
            buf_str(out, tokenizer_bytes(r->tokenizer, s->tokens[i]));
}

bool answer_has(const struct answer_rules *r, const struct sample *s, struct str what, size_t *at)
{
    struct buf b;
    bool found = false;

    buf_init(&b, (size_t)64 << 20);
    text_of(r, s, &b);
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

struct thought thought_begin(const struct thinking_options *t)
{
    return (struct thought){.state = t->on             ? THOUGHT_OPEN
                                     : t->open.len > 0 ? THOUGHT_MAYBE
                                                       : THOUGHT_NONE};
}

struct thought thought_after(const struct answer_rules *r, struct thought t, const struct sample *s)
{
    const struct thinking_options *opt = &r->thinking;
    const token_id newest = s->tokens[s->n - 1];
    bool closed = false;
    size_t at;

    if (t.state == THOUGHT_MAYBE && !config_is_end(r->config, newest))
        match_opening(&t, opt->open, tokenizer_bytes(r->tokenizer, newest));
    if (t.state != THOUGHT_OPEN)
        return t;
    if (s->injected[s->n - 1])
        closed = ++t.n_injected == opt->n_close_ids;
    else
        closed = answer_has(r, s, opt->close, &at);
    if (closed) {
        t.state = THOUGHT_NONE;
        t.n_tokens = s->n;
    }
    return t;
}

bool value_after(const struct answer_rules *r, struct constraint_scratch *scratch,
                 struct thought before, struct thought after, struct allowed was,
                 const struct sample *s, struct grammar_state *state)
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
        return was.alive && constraint_accepts(r->constraint, scratch, state, s->tokens[s->n - 1]);
    }
    buf_init(&b, (size_t)64 << 20);
    text_of(r, s, &b);
    /* what is written at a budget's end may go on behind the closing, and begins the text then */
    at = str_find(buf_view(&b), r->thinking.close, 0) + r->thinking.close.len;
    const bool ok = constraint_begins(r->constraint, scratch, state,
                                      str_from(buf_view(&b), size_min(at, b.len)));
    buf_release(&b);
    return ok;
}

void answer_mask(const struct answer_rules *r, struct constraint_scratch *scratch,
                 const struct thought *t, const struct allowed *allowed, const struct sample *s,
                 float *logits)
{
    if (t->state == THOUGHT_OPEN) {
        struct buf before;

        buf_init(&before, (size_t)64 << 20);
        text_of(r, s, &before);
        constraint_mask_closing(r->constraint, r->closing, buf_view(&before), logits);
        buf_release(&before);
    } else if (t->state == THOUGHT_MAYBE) {
        constraint_mask_opening(r->constraint, scratch, allowed->alive ? allowed->state : NULL,
                                r->thinking.open, t->n_matched, s->n == 0, logits);
    } else {
        constraint_mask(r->constraint, scratch, allowed->state, logits);
    }
}
