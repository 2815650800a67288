/*
 * guard.h - what messages say that looks like a special token stays text: nobody can forge a turn with it.
 *
 *     variables -- marks around look-alikes --> template --> text with marks --> text, and spans that are plain
 *
 * Marks are two characters that Unicode will never give a meaning and that stand nowhere in variables or template, as
 * transformers does it (sanitize_control_tokens). The template writes its own tokens without marks, so these stay tokens.
 * Where it cuts a look-alike in two, no token goes across the cut. In an assistant's messages the tags of thinking and of
 * calls stay tokens, because they are what it drew.
 */
#ifndef HONE_SAMPLE_GUARD_H
#define HONE_SAMPLE_GUARD_H

#include "model/config.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

struct guard {
    struct str *texts; /* [n] of special tokens, in order */
    size_t n;
    bool off; /* look-alikes are tokens, unless the variables ask otherwise */
    /* what assistants may say; ctx: of the guard's owner */
    bool (*may_say)(const void *ctx, struct str token);
    const void *ctx;
};
/* Of special tokens and those that end answers, special or not. In the arena. */
void guard_init(struct guard *g, const struct tokenizer *t, const struct model_config *c,
                struct arena *a);

/* A rendered conversation. */
struct rendered {
    struct str text;
    struct generation_span *spans; /* [min(n_spans, asked for)] */
    size_t n_spans;
    struct plain_span *plain; /* [n_plain] */
    size_t n_plain;
};
/*
 * Renders with variables as chat_template_render does, up to max_spans spans, into the arena. source: of the template.
 * "sanitize_control_tokens": false among the variables leaves look-alikes what the tokenizer makes of them; true guards
 * them where the guard is off.
 */
MUST_CHECK bool guard_render(const struct guard *g, const struct chat_template *t,
                             struct str source, const json_t *vars, size_t max_spans,
                             struct arena *a, struct rendered *out, struct error *err);
#endif
