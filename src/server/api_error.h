/*
 * api_error.h - a failure as the API tells it: {"error":{"message","type","param","code"}}, and with which status.
 */
#ifndef HONE_SERVER_API_ERROR_H
#define HONE_SERVER_API_ERROR_H

#include "base/error.h"
#include "text/json.h"

/*
 * A new tree, the caller's. What went wrong on our side is a server_error, a rate limit is one of "requests", everything else an
 * invalid_request_error.
 */
json_t *api_error_body(const struct error *err);
/* err->code, or the kind's: "invalid_value", "not_found", ...: what a program decides on. */
const char *api_error_code(const struct error *err);
/*
 * 400, 401, 403, 404, 405, 413, 429, 500, 503. Never 409: clients send a request again that was answered so, and a state that forbids
 * something will still forbid it. An ERR_LIMIT without a field at fault is one of the server's (too many requests are open): 429.
 */
int api_error_status(const struct error *err);
#endif
