/*
 * api_error.c - the one place that knows how our kinds of failure are called on the wire.
 */
#include "server/api_error.h"
#include "base/size.h"

/* The one limit that a request's text meets is the model's context. */
static bool is_text(const char *param)
{
    return strcmp(param, "messages") == 0 || strcmp(param, "text") == 0 ||
           strcmp(param, "ids") == 0;
}

const char *api_error_code(const struct error *err)
{
    if (err->code != NULL)
        return err->code;
    switch (err->kind) {
    case ERR_NONE:
    case ERR_INVALID:
    case ERR_CORRUPT:
        return "invalid_value";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_LIMIT:
        return is_text(err->param)     ? "context_length_exceeded"
               : err->param[0] == '\0' ? "rate_limit_exceeded"
                                       : "limit_exceeded";
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

static const struct {
    const char *code;
    int status;
} statuses[] = {
    {"invalid_api_key", 401},    {"mismatched_organization", 401},
    {"mismatched_project", 401}, {"missing_scope", 403},
    {"forbidden", 403},          {"model_not_found", 404},
    {"not_found", 404},          {"method_not_allowed", 405},
    {"request_too_large", 413},  {"rate_limit_exceeded", 429},
    {"unavailable", 503},
};

int api_error_status(const struct error *err)
{
    const char *code = api_error_code(err);

    for (size_t i = 0; i < COUNT_OF(statuses); i++)
        if (strcmp(statuses[i].code, code) == 0)
            return statuses[i].status;
    switch (err->kind) {
    case ERR_IO:
    case ERR_NO_MEMORY:
        return 500;
    case ERR_TIMEOUT:
    case ERR_CANCELLED:
        return 503;
    case ERR_NONE:
    case ERR_INVALID:
    case ERR_NOT_FOUND:
    case ERR_CORRUPT:
    case ERR_LIMIT:
    case ERR_UNSUPPORTED:
        break;
    }
    return err->kind == ERR_NOT_FOUND ? 404 : 400;
}

json_t *api_error_body(const struct error *err)
{
    const int status = api_error_status(err);
    json_t *inner = json_object();
    struct buf text;

    /* a message may quote bytes that are no UTF-8 or are cut within a character */
    buf_init(&text, sizeof err->message * 8);
    json_write_string(&text, str_of(err->message), false);
    json_object_set_new(inner, "message", json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL));
    buf_release(&text);
    json_object_set_new(inner, "type",
                        json_string(status >= 500   ? "server_error"
                                    : status == 429 ? "requests"
                                                    : "invalid_request_error"));
    json_object_set_new(inner, "param",
                        err->param[0] != '\0' ? json_string(err->param) : json_null());
    json_object_set_new(inner, "code", json_string(api_error_code(err)));
    return json_pack("{s:o}", "error", inner);
}
