/*
 * live_text.c - foreign text on one line of a terminal, measured in columns.
 */
#include "cli/live_view.h"

#include <utf8proc.h>

#define MAX_MARKS 2 /* on one character: more would climb into the neighbouring lines */

/* What a character becomes. */
enum show { SHOW_IT, SHOW_SPACE, SHOW_DOT, SHOW_NOTHING };

static enum show how_to_show(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return SHOW_SPACE;
    case UTF8PROC_CATEGORY_CC:
        return c == '\n' || c == '\t' || c == '\r' ? SHOW_SPACE : SHOW_DOT;
    case UTF8PROC_CATEGORY_CF: /* changes of direction, joiners, marks of order */
        return SHOW_NOTHING;
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
        return SHOW_DOT;
    default:
        return SHOW_IT;
    }
}

struct writer {
    struct buf *out;
    int used, columns;
    size_t cut_at; /* bytes and columns where an ellipsis would still fit */
    int cut_columns;
    int marks;
    bool ascii, space, full;
};

/* Appends a character of some width; false where there is no room. */
static bool put(struct writer *w, const char *bytes, size_t n, int width)
{
    if (w->used + width > w->columns) {
        w->full = true;
        return false;
    }
    buf_put(w->out, bytes, n);
    w->used += width;
    if (w->used + (w->ascii ? 3 : 1) <= w->columns) {
        w->cut_at = w->out->len;
        w->cut_columns = w->used;
    }
    return true;
}

static void put_character(struct writer *w, utf8proc_int32_t c, const char *bytes, size_t n)
{
    const enum show show = c < 0 ? SHOW_DOT : how_to_show(c);

    if (show == SHOW_NOTHING)
        return;
    if (show == SHOW_SPACE) {
        w->space = w->used > 0;
        return;
    }
    const int width = show == SHOW_DOT ? 1 : utf8proc_charwidth(c);
    if (width == 0 && (++w->marks > MAX_MARKS || w->used == 0 || w->ascii))
        return;
    if (w->space && !put(w, " ", 1, 1))
        return;
    w->space = false;
    if (width > 0)
        w->marks = 0;
    if (c < 0 && !w->ascii)
        (void)put(w, "\xEF\xBF\xBD", 3, 1);
    else if (w->ascii && (c >= 0x7f || c < 0x20))
        (void)put(w, "?", 1, 1);
    else if (show == SHOW_DOT)
        (void)put(w, "\xC2\xB7", 2, 1);
    else
        (void)put(w, bytes, n, width);
}

int live_text(struct buf *out, struct str s, int columns, bool ascii)
{
    struct writer w = {.out = out, .columns = columns, .ascii = ascii, .cut_at = out->len};
    size_t at = 0;

    while (at < s.len && !w.full) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.ptr + at,
                                              (utf8proc_ssize_t)(s.len - at), &c);

        if (n <= 0) {
            c = -1;
            n = 1;
        }
        put_character(&w, c, s.ptr + at, (size_t)n);
        at += (size_t)n;
    }
    if (!w.full)
        return w.used;
    if (columns < (ascii ? 3 : 1))
        return w.used;
    out->len = w.cut_at; /* back to where the ellipsis fits */
    buf_text(out, ascii ? "..." : "\xE2\x80\xA6");
    return w.cut_columns + (ascii ? 3 : 1);
}
