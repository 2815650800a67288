/*
 * turn.h - a message of the assistant becomes the tokens that a model would have to draw to say it.
 *
 *     prompt   messages[0..i) with the generation prompt: what the model is given
 *     tokens   what it says: from there to the end of messages[0..i], its end-of-turn token included
 *
 * Where the template marks what the assistant says ({% generation %}), the marks decide; else the text with the generation
 * prompt must be the beginning of the text with the message. Each message is rendered as the last one, as it would be
 * when it is drawn: a template that takes the thinking out of earlier messages changes what a later turn is given, and
 * nothing of what is learned.
 */
#ifndef HONE_SAMPLE_TURN_H
#define HONE_SAMPLE_TURN_H

#include "sample/prompt.h"

struct turn {
    const token_id *prompt; /* [n_prompt] */
    size_t n_prompt;
    const token_id *tokens; /* [n] */
    size_t n;
    const bool *masked; /* [n] inside the turn, but not the assistant's; NULL: none */
    size_t n_learned;   /* tokens that are not masked */
};
/*
 * The turn of messages[i], which is the assistant's; in the arena. Fails with ERR_UNSUPPORTED where template or tokenizer
 * do not let what the assistant says be told from what it is given, and as rendering does.
 */
MUST_CHECK bool prompter_turn(const struct prompter *p, const json_t *messages, size_t i,
                              const json_t *tools, struct arena *a, struct turn *out,
                              struct error *err);
/* A text and what goes on from there, without a template: the end token is added. */
MUST_CHECK bool prompter_completion(const struct prompter *p, struct str prompt,
                                    struct str completion, struct arena *a, struct turn *out,
                                    struct error *err);

/* What was answered to a call of a tool. */
struct tool_result {
    struct str name, call_id, output;
};
/*
 * What the model is given between a turn that called tools and its next one: what the template writes behind the end token
 * of that turn, the results in their order and the generation prompt. Nothing that the model drew is in it: its own tokens
 * stay as they are; what looks like a special token in a result is read as plain text (sample/guard.h), whatever extra asks
 * for. messages: those that its prompt was made of; extra: as for prompter_render, or NULL. In the arena.
 *
 * Fails with ERR_UNSUPPORTED where the template writes no end token behind a call, and as rendering does.
 */
MUST_CHECK bool prompter_tool_turn(const struct prompter *p, const json_t *messages,
                                   const json_t *tools, const json_t *extra,
                                   const struct tool_result *results, size_t n, struct arena *a,
                                   struct prompt *out, struct error *err);
#endif
