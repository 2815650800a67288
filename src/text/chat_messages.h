/*
 * chat_messages.h - the messages of a chat, from how requests and datasets have them to how templates expect them.
 *
 *     content     text in parts becomes one text; an assistant's that is missing or null becomes "" beside calls
 *     tool_calls  "arguments", JSON in a text, become the object that they are (as transformers and vLLM do it); what is none
 *                 stays a text
 *     legacy      an assistant's "function_call" becomes tool_calls, and role function, with its "name", role tool
 *     reasoning   "reasoning" and "reasoning_content" of an assistant are both there where one is
 *
 * Whatever else a message has is handed on: templates know more keys than we do.
 */
#ifndef HONE_TEXT_CHAT_MESSAGES_H
#define HONE_TEXT_CHAT_MESSAGES_H

#include "text/json.h"

/*
 * Fails with ERR_INVALID, or ERR_UNSUPPORTED for parts that are no text, and the place as param: "messages",
 * "messages[2].tool_calls[0].function.name".
 */
MUST_CHECK bool chat_messages_check(const json_t *messages, struct error *err);

struct chat_messages_form {
    bool arguments_as_text; /* for templates that join them to text */
    bool null_beside_calls; /* for templates that ask whether content is none */
    /* for gpt-oss's, which take what was thought before a call as "thinking", and no content then: that goes behind it */
    bool thinking_beside_calls;
};
/* messages as they were checked, or a dataset's; what is not as it should be is left alone. A new tree. */
json_t *chat_messages_for_template(const json_t *messages, const struct chat_messages_form *form);
#endif
