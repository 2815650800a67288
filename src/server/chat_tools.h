/*
 * chat_tools.h - what a request says of tools: which there are, which may be called, and whether one must be.
 *
 *     tools                [{"type": "function", "function": {"name", "description", "parameters", "strict"}}], at most 128
 *     tool_choice          "none" (they are not shown to the model), "auto", "required", {"type": "function", "function":
 *                          {"name"}}, {"type": "allowed_tools", "allowed_tools": {"mode": "auto" or "required", "tools": [...]}}
 *     parallel_tool_calls  false: at most one call; what looks like another stays text
 *     functions, function_call   the older names of both; answered with "function_call"
 *
 * "required" and a named tool are enforced: the answer is calls by their schemas and nothing else (text/tool_grammar.h). So
 * are "strict" and a set of allowed tools where the model calls of its own accord, except with Llama's format, whose calls
 * cannot be told from text before they are whole: there strict holds where a call is required, and with
 * response_format both together are not offered.
 */
#ifndef HONE_SERVER_CHAT_TOOLS_H
#define HONE_SERVER_CHAT_TOOLS_H

#include "text/json.h"

#define CHAT_MAX_TOOLS 128

struct chat_tools {
    json_t *offered;  /* for the template; NULL: none */
    json_t *callable; /* of these, what may be called; NULL: none */
    bool required;
    bool held; /* what is called of the model's own accord is held to what may be called, and how */
    bool single; /* at most one call */
    bool legacy; /* asked as functions, to be answered as function_call */
};
/* Fails with ERR_INVALID or ERR_UNSUPPORTED and the place as param: "tools[2].function.name". */
MUST_CHECK bool chat_tools_read(const json_t *body, struct chat_tools *out, struct error *err);
void chat_tools_release(struct chat_tools *t); /* all zeros is fine */
#endif
