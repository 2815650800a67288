/*
 * log.c - the line, and that it stays one.
 */
#include "text/log.h"
#include "base/utf8.h"
#include "text/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define KEPT_BYTES 768 /* of a line, for what follows a long value: keys, numbers, ids */

/* Escaped, a value may be six times as long: it is halved until it fits. */
static void write_value(struct buf *b, struct str value)
{
    const size_t room =
        b->len + KEPT_BYTES < LOG_LINE_BYTES ? LOG_LINE_BYTES - KEPT_BYTES - b->len : sizeof "\"\"";
    struct buf escaped;

    value = utf8_cut(value, LOG_VALUE_BYTES);
    buf_init(&escaped, 6 * LOG_VALUE_BYTES + 16);
    json_write_string(&escaped, value, true);
    while (escaped.len > room && value.len > 0) {
        value = utf8_cut(value, value.len / 2);
        buf_clear(&escaped);
        json_write_string(&escaped, value, true);
    }
    buf_str(b, buf_view(&escaped));
    buf_release(&escaped);
}

void log_begin(struct log_entry *e, enum log_level level, const char *module, const char *event)
{
    static const char *const levels[] = {"info", "warn", "error"};
    const time_t now = time(NULL);
    char when[32];
    struct tm utc;

    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    buf_init(&e->b, LOG_LINE_BYTES);
    buf_printf(&e->b, "{\"time\":\"%s\",\"level\":\"%s\"", when, levels[level]);
    log_text(e, "module", module);
    log_text(e, "event", event);
}

void log_text(struct log_entry *e, const char *key, const char *value)
{
    if (value == NULL)
        return;
    buf_printf(&e->b, ",\"%s\":", key);
    write_value(&e->b, str_of(value));
}

void log_int(struct log_entry *e, const char *key, int64_t value)
{
    buf_printf(&e->b, ",\"%s\":%" PRId64, key, value);
}

void log_double(struct log_entry *e, const char *key, double value)
{
    if (isfinite(value))
        buf_printf(&e->b, ",\"%s\":%.1f", key, value);
    else
        buf_printf(&e->b, ",\"%s\":null", key);
}

void log_end(struct log_entry *e)
{
    ssize_t n;

    buf_text(&e->b, "}\n");
    do /* where a signal came first nothing was written */
        n = e->b.overflowed ? 0 : write(STDERR_FILENO, e->b.ptr, e->b.len);
    while (n < 0 && errno == EINTR);
    buf_release(&e->b);
}

void log_line(enum log_level level, const char *module, const char *event, const char *fmt, ...)
{
    char message[LOG_VALUE_BYTES + 8]; /* more than is told, so that it is cut between characters */
    struct log_entry e;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    log_begin(&e, level, module, event);
    log_text(&e, "message", message);
    log_end(&e);
}
