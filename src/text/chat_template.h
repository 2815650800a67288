/*
 * chat_template.h - a conversation becomes the text that the model was trained to continue.
 *
 * The template is a Jinja program out of the model's own file, rendered as Hugging Face renders it (jinja2's
 * ImmutableSandboxedEnvironment with trim_blocks, lstrip_blocks, loop controls, {% generation %}): byte for byte.
 */
#ifndef HONE_TEXT_CHAT_TEMPLATE_H
#define HONE_TEXT_CHAT_TEMPLATE_H

#include "base/buf.h"
#include "text/json.h"

struct chat_template;
/* source: the Jinja text (copied). Fails with the line of the mistake. Read-only after: any number of threads. */
MUST_CHECK bool chat_template_open(struct str source, struct chat_template **out,
                                   struct error *err);
void chat_template_close(struct chat_template *t);

/* Whether the template reads a variable of its caller's: not one that it has set itself before, or that is an attribute. */
bool chat_template_reads(const struct chat_template *t, struct str name);

/* A part of the output that came from inside {% generation %}: what an assistant said. Bytes from..to-1. */
struct generation_span {
    size_t from, to;
};

/*
 * Appends the text for vars, an object: messages, tools, add_generation_prompt, bos_token, eos_token, and any other
 * variable that the template reads. spans (may be NULL) receives up to max_spans; *n_spans how many there were.
 * Fails with ERR_INVALID where the template raises or an operation is wrong, ERR_LIMIT past steps, depth or output.
 */
MUST_CHECK bool chat_template_render(const struct chat_template *t, const json_t *vars,
                                     struct buf *out, struct generation_span *spans,
                                     size_t max_spans, size_t *n_spans, struct error *err);
#endif
