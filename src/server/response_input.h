/*
 * response_input.h - what a request to /v1/responses says becomes the body of a chat-completions request.
 *
 *     instructions, items of the conversation before, items of the input   ->  messages
 *     tools, tool_choice, text.format, reasoning.effort, ...                ->  their names there
 *
 * Items are kept as they are given back by input_items: each with an id, texts as parts.
 */
#ifndef HONE_SERVER_RESPONSE_INPUT_H
#define HONE_SERVER_RESPONSE_INPUT_H

#include "text/json.h"

#define RESPONSE_MAX_ITEMS 10000

/*
 * The request's "input", a text or a list of items, as a list of items with ids made of key. A new tree. Fails with "input" and
 * the place in it; ERR_UNSUPPORTED for images, files and tools that this server does not have. find: an item by its id, for
 * item_reference; the caller's, or NULL where there is none.
 */
typedef json_t *response_find_fn(void *ctx, struct str id);
MUST_CHECK bool response_items(const json_t *body, const char *key, response_find_fn *find,
                               void *ctx, json_t **out, struct error *err);

/* Appends the items to a list of chat messages; items were checked by response_items or written by us. */
void response_messages(const json_t *items, json_t *messages);

/* messages is given up. The chat request, a new tree; fails with the parameter's name. */
MUST_CHECK bool response_chat_body(const json_t *body, json_t *messages, json_t **out,
                                   struct error *err);
#endif
