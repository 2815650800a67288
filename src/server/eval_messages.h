/*
 * eval_messages.h - "input_messages" of a run and a row become the messages that a model is asked.
 *
 *     {"type":"template","template":[{"role","content"}]}      {{item.x}} filled in
 *     {"type":"item_reference","item_reference":"item.input"}  a text, or a list of messages, that the row has
 */
#ifndef HONE_SERVER_EVAL_MESSAGES_H
#define HONE_SERVER_EVAL_MESSAGES_H

#include "base/arena.h"
#include "text/json.h"

/* ERR_INVALID or ERR_UNSUPPORTED and the path below data_source. */
MUST_CHECK bool eval_messages_check(const json_t *input, struct error *err);
/* input NULL: item.input. Messages as chat completions take them, or, where responses, items of its input; a new list. */
MUST_CHECK bool eval_messages(const json_t *input, bool responses, const json_t *item,
                              struct arena *a, json_t **out, struct error *err);
/* Messages as an output item shows them: [{"role","content": text}]; a new list. */
json_t *eval_messages_shown(const json_t *messages);
#endif
