/*
 * prompt_internal.h - what prompt.c and turn.c both see of a prompter.
 */
#ifndef HONE_SAMPLE_PROMPT_INTERNAL_H
#define HONE_SAMPLE_PROMPT_INTERNAL_H

#include "sample/guard.h"
#include "sample/prompt.h"
#include "text/chat_messages.h"

struct prompter {
    const struct model *model;
    const struct tokenizer *tokenizer;
    struct chat_template *template;
    struct str source; /* of the template */
    struct str bos, eos;
    struct reasoning reasoning;
    struct reasoning
        in_channels; /* of answers in harmony that may call tools; on: there are such */
    struct guard guard;
    struct forms *forms;
    struct constraint *held; /* NULL: answers of the job may be anything */
    const struct tool_format *tool_format;
    bool tools_as_text;
    bool no_think_as_text; /* "/no_think" in the system message is the only switch */
    struct chat_messages_form messages_form;
    struct arena arena;
};

/* What a template reads, the caller's; generation: add_generation_prompt. */
json_t *prompter_variables(const struct prompter *p, const json_t *messages, const json_t *tools,
                           const json_t *extra, bool generation);
/* Renders; in the arena. */
MUST_CHECK bool prompter_text(const struct prompter *p, const json_t *vars, size_t max_spans,
                              struct arena *a, struct rendered *out, struct error *err);
/* Whether a rendered text leaves the model inside its span. */
bool prompter_ends_open(const struct prompter *p, struct str text);
#endif
