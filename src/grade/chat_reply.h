/*
 * chat_reply.h - the body of a chat completion becomes a judge's reply; the body of an error, its sentence.
 *
 * The form is that of the OpenAI API's chat completions; what other servers do otherwise is taken, too: content as a
 * list of parts, no usage, no model, bytes that are not UTF-8 (they become U+FFFD).
 */
#ifndef HONE_GRADE_CHAT_REPLY_H
#define HONE_GRADE_CHAT_REPLY_H

#include "grade/grader.h"

/* What must not be told, whoever repeats it: "..." stands for each in messages, and for words with "***" in them. */
struct chat_secrets {
    size_t n;
    const struct str *of; /* none of them empty */
};

/*
 * out->text lives in a; model is who was asked, for a body that does not say who replied. Fails with
 *   ERR_CORRUPT  what is no chat completion, and a completion without a text
 *   ERR_LIMIT    a reply that was cut at the token limit
 */
MUST_CHECK bool chat_reply_parse(struct str body, const char *model, struct chat_secrets secrets,
                                 struct arena *a, struct grade_reply *out, struct error *err);

struct chat_error {
    struct str
        message; /* printable, at most 200 bytes; of "error", "message" or "detail", else the body's beginning */
    struct str code; /* "insufficient_quota", or "" */
};
struct chat_error chat_error_of(struct str body, struct chat_secrets secrets, struct arena *a);
#endif
