/*
 * chat_template_internal.h - for the fuzz target: rendering with fewer steps, so that no input takes long.
 */
#ifndef HONE_TEXT_CHAT_TEMPLATE_INTERNAL_H
#define HONE_TEXT_CHAT_TEMPLATE_INTERNAL_H

#include "text/chat_template.h"

struct chat_template_spans {
    struct generation_span *ptr;
    size_t max, n; /* n: how many there were */
};

/* As chat_template_render, but fails with ERR_LIMIT past max_steps. spans may be NULL. */
MUST_CHECK bool chat_template_render_within(const struct chat_template *t, const json_t *vars,
                                            uint64_t max_steps, struct buf *out,
                                            struct chat_template_spans *spans, struct error *err);
#endif
