#include "server/log.h"

#include "base/buf.h"
#include "text/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

void log_line(enum log_level level, const char *module, const char *event, const char *fmt, ...)
{
    static const char *const levels[] = {"info", "warn", "error"};
    const time_t now = time(NULL);
    char when[32], message[1024];
    struct tm utc;
    struct buf b;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    buf_init(&b, 16 << 10);
    buf_printf(&b,
               "{\"time\":\"%s\",\"level\":\"%s\",\"module\":\"%s\",\"event\":\"%s\",\"message\":",
               when, levels[level], module, event);
    json_write_string(&b, str_of(message), false);
    buf_text(&b, "}\n");
    if (!b.overflowed && write(STDERR_FILENO, b.ptr, b.len) < 0)
        b.len = 0; /* nobody listens: no reason to stop */
    buf_release(&b);
}
