/*
 * api_error.c - the one place that knows how our kinds of failure are called on the wire.
 */
#include "server/api_error.h"

/* The one limit that a request's text meets is the model's context. */
static bool is_text(const char *param)
{
    return strcmp(param, "messages") == 0 || strcmp(param, "text") == 0 ||
           strcmp(param, "ids") == 0;
}

const char *api_error_code(const struct error *err)
{
    switch (err->kind) {
    case ERR_NONE:
    case ERR_INVALID:
    case ERR_CORRUPT:
        return "invalid_value";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_LIMIT:
        return is_text(err->param) ? "context_length_exceeded" : "limit_exceeded";
    case ERR_UNSUPPORTED:
        return "unsupported_value";
    case ERR_CANCELLED:
        return "cancelled";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_IO:
    case ERR_NO_MEMORY:
        break;
    }
    return "server_error";
}

json_t *api_error_body(const struct error *err)
{
    const bool ours = err->kind == ERR_IO || err->kind == ERR_NO_MEMORY ||
                      err->kind == ERR_TIMEOUT || err->kind == ERR_CANCELLED;
    json_t *inner = json_object();
    struct buf text;

    /* a message may quote bytes that are no UTF-8 or are cut within a character */
    buf_init(&text, sizeof err->message * 8);
    json_write_string(&text, str_of(err->message), false);
    json_object_set_new(inner, "message", json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL));
    buf_release(&text);
    json_object_set_new(inner, "type",
                        json_string(ours ? "server_error" : "invalid_request_error"));
    json_object_set_new(inner, "param",
                        err->param[0] != '\0' ? json_string(err->param) : json_null());
    json_object_set_new(inner, "code", json_string(api_error_code(err)));
    return json_pack("{s:o}", "error", inner);
}
