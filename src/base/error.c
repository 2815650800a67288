/*
 * error.c - fills a struct error; what does not fit is cut at a whole UTF-8 character.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* vsnprintf may cut inside a character; take the torn bytes away */
static void mend_end(char *text, size_t size)
{
    size_t n = strnlen(text, size);
    size_t i = n;

    if (n + 1 < size || n == 0)
        return;
    while (i > 0 && n - i < 3 && ((unsigned char)text[i - 1] & 0xC0) == 0x80)
        i--;
    if (i > 0 && ((unsigned char)text[i - 1] & 0xC0) == 0xC0)
        text[i - 1] = '\0';
}

PRINTF_LIKE(4, 0)
static bool fail_v(struct error *err, enum error_kind kind, const char *param, const char *fmt,
                   va_list ap)
{
    char text[sizeof err->message];

    if (err == NULL)
        return false;
    vsnprintf(text, sizeof text, fmt, ap); /* err->message may be one of the arguments */
    mend_end(text, sizeof text);
    err->kind = kind;
    err->code = NULL;
    snprintf(err->param, sizeof err->param, "%s", param);
    mend_end(err->param, sizeof err->param);
    memcpy(err->message, text, sizeof text);
    return false;
}

bool(fail)(struct error *err, enum error_kind kind, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fail_v(err, kind, "", fmt, ap);
    va_end(ap);
    return false;
}

bool(fail_param)(struct error *err, enum error_kind kind, const char *param, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fail_v(err, kind, param, fmt, ap);
    va_end(ap);
    return false;
}

bool(fail_code)(struct error *err, enum error_kind kind, const char *code, const char *param,
                const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fail_v(err, kind, param, fmt, ap);
    va_end(ap);
    if (err != NULL)
        err->code = code;
    return false;
}

bool(fail_while)(struct error *err, const char *fmt, ...)
{
    char what[256];
    char text[sizeof err->message];
    va_list ap;

    if (err == NULL)
        return false;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    mend_end(what, sizeof what);
    int n = snprintf(text, sizeof text, "while %s: ", what);
    snprintf(text + n, sizeof text - (size_t)n, "%s", err->message);
    mend_end(text, sizeof text);
    memcpy(err->message, text, sizeof text);
    return false;
}

bool(fail_errno)(struct error *err, const char *fmt, ...)
{
    const int code = errno;
    char what[384];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    mend_end(what, sizeof what);
    return fail(err,
                code == ENOENT   ? ERR_NOT_FOUND
                : code == ENOMEM ? ERR_NO_MEMORY
                                 : ERR_IO,
                "%s: %s", what, strerror(code));
}

const char *error_kind_name(enum error_kind kind)
{
    static const char *const names[] = {
        [ERR_NONE] = "none",           [ERR_INVALID] = "invalid",
        [ERR_NOT_FOUND] = "not_found", [ERR_LIMIT] = "limit",
        [ERR_CORRUPT] = "corrupt",     [ERR_IO] = "io",
        [ERR_NO_MEMORY] = "no_memory", [ERR_TIMEOUT] = "timeout",
        [ERR_CANCELLED] = "cancelled", [ERR_UNSUPPORTED] = "unsupported",
    };

    return kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}
