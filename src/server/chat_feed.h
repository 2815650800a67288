/*
 * chat_feed.h - an answer that is still being sampled, token by token, as the deltas of chat completions.
 *
 *     {"reasoning": "..."} {"content": "..."}
 *     {"tool_calls": [{"index": 0, "id": "call_...", "type": "function", "function": {"name": "f", "arguments": ""}}]}
 *     {"tool_calls": [{"index": 0, "function": {"arguments": "{\"x\""}}]}
 *     {"function_call": {"name": "f", "arguments": "..."}}     in their place where the request speaks of functions
 *
 * Joined, they are what chat_message says of the whole (but for calls that turn out to be none after they began: see eager in
 * text/tool_parser.h). What may still become a tag, a call or the beginning of a stop text waits.
 */
#ifndef HONE_SERVER_CHAT_FEED_H
#define HONE_SERVER_CHAT_FEED_H

#include "server/chat_completion.h"
#include "server/chat_stream.h"

struct chat_feed {
    const struct chat_request *request;
    const struct prompter *prompter;
    struct str id;
    size_t choice;
    struct chat_stream stream;
    struct tool_parser parser;
    struct token_list waiting; /* tokens that may be part of a stop text */
    bool stopped;
    bool thought; /* some of the thinking is out, or in the delta that is being made */
    struct buf thinking, text, content;
    json_t *calls; /* of the delta that is being made */
};
/* request and id ("chatcmpl-...") must live as long. choice: the index of the answer. */
void chat_feed_init(struct chat_feed *f, const struct chat_request *r, const struct prompter *p,
                    const char *id, size_t choice);
void chat_feed_release(struct chat_feed *f); /* all zeros is fine */
/* What the token makes certain, a new tree; NULL: nothing. */
json_t *chat_feed_put(struct chat_feed *f, token_id id);
/* What was held until the answer was over; NULL: nothing. */
json_t *chat_feed_end(struct chat_feed *f);
#endif
