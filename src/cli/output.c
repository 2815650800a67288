/*
 * output.c - through stdio, whose errors are looked at after each write.
 */
#include "cli/output.h"
#include "base/clock.h"
#include "job/report_chart.h"
#include "text/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG_SECONDS 15.0     /* between two lines of a log */
#define TERMINAL_SECONDS 0.1 /* between two changes of a terminal's line */
#define OUT_BYTES ((size_t)1 << 30)

static bool out_failed(struct error *err)
{
    if (errno == EPIPE)
        return fail(err, ERR_IO, "whoever read standard output has gone");
    return fail_errno(err, "cannot write standard output");
}

bool out_str(struct str s, struct error *err)
{
    errno = 0;
    return s.len == 0 || fwrite(s.ptr, 1, s.len, stdout) == s.len || out_failed(err);
}

bool out_printf(struct error *err, const char *fmt, ...)
{
    va_list ap;

    errno = 0;
    va_start(ap, fmt);
    const int n = vprintf(fmt, ap);
    va_end(ap);
    return n >= 0 || out_failed(err);
}

bool out_flush(struct error *err)
{
    errno = 0;
    return (fflush(stdout) == 0 && !ferror(stdout)) || out_failed(err);
}

bool out_json(const json_t *value, struct error *err)
{
    struct buf b;

    buf_init(&b, OUT_BYTES);
    json_write(&b, value, NULL);
    buf_char(&b, '\n');
    const bool ok = buf_ok(&b, "the answer", err) && out_str(buf_view(&b), err) && out_flush(err);
    buf_release(&b);
    return ok;
}

bool out_json_new(json_t *value, struct error *err)
{
    const bool ok = out_json(value, err);

    json_decref(value);
    return ok;
}

double digits_of(float x)
{
    char text[32];

    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x) /* NOLINT: equal bits are what is asked for */
            break;
    }
    return strtod(text, NULL);
}

void put_visible(struct buf *b, struct str s)
{
    while (s.len > 0) {
        const size_t valid = utf8_valid(s);

        for (size_t i = 0; i < valid; i++) {
            const unsigned char c = (unsigned char)s.ptr[i];

            if (c == '\n')
                buf_text(b, "\\n");
            else if (c == '\t')
                buf_text(b, "\\t");
            else if (c == '\r')
                buf_text(b, "\\r");
            else if (c < 0x20 || c == 0x7F)
                buf_printf(b, "\\x%02x", c);
            else
                buf_char(b, (char)c);
        }
        s = str_from(s, valid);
        if (s.len > 0) {
            buf_text(b, "\xEF\xBF\xBD");
            s = str_from(s, 1);
        }
    }
}

void put_seconds(struct buf *b, double seconds)
{
    chart_number(b, seconds, CHART_SECONDS);
}

void put_bytes(struct buf *b, double bytes)
{
    chart_number(b, bytes, CHART_BYTES);
}

struct meter meter_start(const char *what)
{
    const double now = clock_seconds();

    return (struct meter){.what = what, .began = now, .told = now, .terminal = isatty(2) == 1};
}

void meter_show(struct meter *m, size_t done, size_t total, const char *note)
{
    const double now = clock_seconds();
    struct buf b;

    if (total != m->total)
        m->began = now;
    m->total = total;
    if (now - m->told < (m->terminal ? TERMINAL_SECONDS : LOG_SECONDS))
        return;
    m->told = now;
    buf_init(&b, 1 << 12);
    buf_printf(&b, "%s%zu of %zu %s", m->terminal ? "\r\033[K" : "hone: ", done, total, m->what);
    if (done * 20 >= total && done < total) { /* before that it would be a guess */
        buf_text(&b, ", ");
        put_seconds(&b, (now - m->began) * (double)(total - done) / (double)done);
        buf_text(&b, " left");
    }
    buf_printf(&b, "%s%s%s", note[0] != '\0' ? ", " : "", note, m->terminal ? "" : "\n");
    fputs(b.ptr, stderr);
    fflush(stderr);
    buf_release(&b);
    m->shown = true;
}

void meter_end(struct meter *m)
{
    if (m->terminal && m->shown)
        fputs("\r\033[K", stderr);
    m->shown = false;
}
