/*
 * output.c - through stdio, whose errors are looked at after each write.
 */
#include "cli/output.h"
#include "base/clock.h"
#include "job/report_chart.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <utf8proc.h>

#define LOG_SECONDS 15.0     /* between two lines of a log */
#define TERMINAL_SECONDS 0.1 /* between two changes of a terminal's line */
#define OUT_BYTES ((size_t)1 << 30)
#define MAX_MARKS 2 /* on one character: more would climb into the neighbouring lines */

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

/* Controls, and what changes the direction or the place of other characters; joiners inside words stay. */
static bool is_hidden(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return c != 0x200C && c != 0x200D;
    default:
        return false;
    }
}

/* The character at the front of s (not empty) as it may be shown, into out; its bytes and columns. */
static size_t visible(struct str s, char out[16], int *width)
{
    static const char names[] = "\nn\tt\rr";
    utf8proc_int32_t c = (unsigned char)s.ptr[0];
    utf8proc_ssize_t n = 1;

    if (c >= 0x80)
        n = utf8proc_iterate((const utf8proc_uint8_t *)s.ptr, (utf8proc_ssize_t)s.len, &c);
    if (n <= 0) {
        memcpy(out, "\xEF\xBF\xBD", 4);
        *width = 1;
        return 1;
    }
    for (size_t i = 0; i + 1 < sizeof names; i += 2) {
        if (c == names[i]) {
            *width = snprintf(out, 16, "\\%c", names[i + 1]);
            return 1;
        }
    }
    if (c < 0x20 || c == 0x7F) {
        *width = snprintf(out, 16, "\\x%02x", (unsigned)c);
    } else if (c >= 0x80 && is_hidden(c)) {
        *width = snprintf(out, 16, c > 0xFFFF ? "\\U%08x" : "\\u%04x", (unsigned)c);
    } else {
        memcpy(out, s.ptr, (size_t)n);
        out[n] = '\0';
        *width = c < 0x80 ? 1 : utf8proc_charwidth(c);
    }
    return (size_t)n;
}

void put_visible(struct buf *b, struct str s)
{
    char piece[16];
    int width;

    while (s.len > 0) {
        s = str_from(s, visible(s, piece, &width));
        buf_text(b, piece);
    }
}

int put_quoted(struct buf *b, struct str s, int columns)
{
    const int room = columns > 5 ? columns - 5 : 0; /* for the quotes and an ellipsis */
    size_t cut_at;
    int used = 0, cut_used = 0, marks = 0, width;
    char piece[16];

    buf_char(b, '"');
    cut_at = b->len;
    while (s.len > 0) {
        s = str_from(s, visible(s, piece, &width));
        marks = width == 0 ? marks + 1 : 0;
        if (marks > MAX_MARKS)
            continue;
        if (used + width > room + 3) {
            b->len = cut_at;
            buf_text(b, "\"...");
            return cut_used + 5;
        }
        buf_text(b, piece);
        used += width;
        if (used <= room) {
            cut_at = b->len;
            cut_used = used;
        }
    }
    buf_char(b, '"');
    return used + 2;
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
