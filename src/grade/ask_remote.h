/*
 * ask_remote.h - a judge behind an OpenAI-compatible address: POST {base_url}/chat/completions.
 *
 * The question goes out with its model, messages, response_format, and of "sampling_params" what is not null: seed,
 * top_p, temperature, reasoning_effort, and max_completions_tokens under the name that chat completions have for it,
 * max_completion_tokens. So the row and the answer leave this machine for the address.
 *
 * A server that refuses a JSON schema (400, 422 or 501 with a sentence about it) is asked without one from then on; the
 * schema then stands in a sentence at the end of the system message.
 *
 * Tried again, with the pauses of http.h: no connection, a lost one, a reply that is no chat completion, 408, 409, 429,
 * 5xx, or what x-should-retry says; max_tries times, or until the deadline where the server says how long to wait. Not
 * tried again: an exhausted quota, a reply cut at the token limit, any other status.
 *
 * The key is sent to base_url and told nowhere; where a server repeats it in an error, it is taken out.
 */
#ifndef HONE_GRADE_ASK_REMOTE_H
#define HONE_GRADE_ASK_REMOTE_H

#include "grade/grader.h"

struct ask_remote_settings {
    const char *base_url;   /* "https://api.openai.com/v1"; a slash at its end is fine */
    const char *api_key;    /* sent as a bearer token; NULL or "": none */
    const char *model;      /* asked in place of the one that a grader names; NULL: that one */
    int max_tries;          /* of one question; 0: 6, about 15 s of pauses */
    double first_pause_s;   /* 0: 0.5 */
    size_t max_reply_bytes; /* 0: 4 MiB */
};

struct ask_remote;
/* Settings are copied. Nothing is sent. err->param is "base_url" or "api_key". */
MUST_CHECK bool ask_remote_open(const struct ask_remote_settings *settings, struct ask_remote **out,
                                struct error *err);
void ask_remote_close(struct ask_remote *r); /* NULL is fine */

/*
 * A grade_ask_fn; ctx is the struct ask_remote. ERR_INVALID: the server refuses the question, the key or the model;
 * ERR_LIMIT: the reply is too long for the token limit or for max_reply_bytes; ERR_TIMEOUT and ERR_IO: no reply.
 */
grade_ask_fn ask_remote_ask;
#endif
