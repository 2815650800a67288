/*
 * api_error.h - a failure as the API tells it: {"error":{"message","type","param","code"}}.
 */
#ifndef HONE_SERVER_API_ERROR_H
#define HONE_SERVER_API_ERROR_H

#include "base/error.h"
#include "text/json.h"

/* A new tree, the caller's. What went wrong on our side is a server_error, everything else an invalid_request_error. */
json_t *api_error_body(const struct error *err);
/* "invalid_value", "not_found", ...: what a program decides on. */
const char *api_error_code(const struct error *err);
#endif
