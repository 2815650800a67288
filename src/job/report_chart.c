/*
 * report_chart.c - axes with round numbers, paths with one decimal.
 */
#include "job/report_chart.h"
#include "base/size.h"
#include "text/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NARROW_SPACE "\xE2\x80\xAF" /* U+202F: between groups of digits, and before a unit */
#define MINUS "\xE2\x88\x92"        /* a minus, not a hyphen */

/* A mark that turns the direction of what follows: its number, else 0. As in web/lib/dom.js. */
static unsigned direction_mark(struct str s, size_t i)
{
    const unsigned char *c = (const unsigned char *)s.ptr + i;
    const size_t left = s.len - i;

    if (left >= 2 && c[0] == 0xD8 && c[1] == 0x9C)
        return 0x061C;
    if (left >= 3 && c[0] == 0xEF && c[1] == 0xBB && c[2] == 0xBF)
        return 0xFEFF;
    if (left < 3 || c[0] != 0xE2 || (c[1] != 0x80 && c[1] != 0x81))
        return 0;
    const unsigned code = 0x2000u + ((c[1] & 0x3Fu) << 6) + (c[2] & 0x3Fu);
    return code == 0x200E || code == 0x200F || (code >= 0x202A && code <= 0x202E) ||
                   (code >= 0x2066 && code <= 0x2069)
               ? code
               : 0;
}

void html_text(struct buf *out, struct str s)
{
    size_t from = 0;

    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        const char *instead = c == '&'    ? "&amp;"
                              : c == '<'  ? "&lt;"
                              : c == '>'  ? "&gt;"
                              : c == '"'  ? "&quot;"
                              : c == '\'' ? "&#39;"
                                          : NULL;
        const bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
        const unsigned mark = c >= 0xD8 ? direction_mark(s, i) : 0;

        if (instead == NULL && !control && mark == 0)
            continue;
        buf_put(out, s.ptr + from, i - from);
        if (mark != 0) {
            buf_printf(out, "\xE2\x9F\xA8U+%04X\xE2\x9F\xA9", mark);
            i += mark == 0x061C ? 1 : 2;
        } else if (instead != NULL) {
            buf_text(out, instead);
        } else { /* U+2400 on: pictures of control characters */
            buf_printf(out, "&#x%X;", c == 0x7F ? 0x2421u : 0x2400u + c);
        }
        from = i + 1;
    }
    buf_put(out, s.ptr + from, s.len - from);
}

/* ---- numbers ---- */

static void grouped(struct buf *out, double x, int decimals)
{
    char text[64];

    snprintf(text, sizeof text, "%.*f", decimals, fabs(x));
    const size_t whole = strcspn(text, ".");
    if (x < 0 && strspn(text, "0.") < strlen(text))
        buf_text(out, MINUS);
    for (size_t i = 0; i < strlen(text); i++) {
        if (i > 0 && i < whole && (whole - i) % 3 == 0 && whole > 4)
            buf_text(out, NARROW_SPACE);
        buf_char(out, text[i]);
    }
}

/* 1.5e-4 */
static void scientific(struct buf *out, double x)
{
    char text[32];

    snprintf(text, sizeof text, "%.1e", fabs(x));
    char *e = strchr(text, 'e');
    const int exponent = atoi(e + 1);
    *e = '\0';
    if (str_ends(str_of(text), STR(".0")))
        text[strlen(text) - 2] = '\0';
    buf_printf(out, "%s%se%s%d", x < 0 ? MINUS : "", text, exponent < 0 ? MINUS : "",
               abs(exponent));
}

static void write_seconds(struct buf *out, double x)
{
    const long s = lround(x);

    if (x < 10)
        buf_printf(out, x < 0.0995 ? "%.3f" NARROW_SPACE "s" : "%.1f" NARROW_SPACE "s", x);
    else if (s < 60)
        buf_printf(out, "%ld" NARROW_SPACE "s", s);
    else if (s < 3600)
        buf_printf(out, "%ld" NARROW_SPACE "min %02ld" NARROW_SPACE "s", s / 60, s % 60);
    else
        buf_printf(out, "%ld" NARROW_SPACE "h %02ld" NARROW_SPACE "min", s / 3600, s % 3600 / 60);
}

void chart_number(struct buf *out, double x, enum chart_unit unit)
{
    const double size = fabs(x);

    if (!isfinite(x)) {
        buf_text(out, "\xE2\x80\x93");
    } else if (unit == CHART_SHARE) {
        grouped(out, 100 * x, size > 0 && size < 0.0995 ? 1 : 0);
        buf_text(out, NARROW_SPACE "%");
    } else if (unit == CHART_SCORE || unit == CHART_COUNT) {
        grouped(out, x, unit == CHART_SCORE ? 2 : 0);
    } else if (unit == CHART_SECONDS) {
        write_seconds(out, fmax(0, x));
    } else if (unit == CHART_BYTES) {
        if (size >= 1e9)
            buf_printf(out, "%.1f" NARROW_SPACE "GB", x / 1e9);
        else
            buf_printf(out, "%.0f" NARROW_SPACE "MB", x / 1e6);
    } else if (size >= 1e15 || (size > 0 && size < 1e-3)) {
        scientific(out, x);
    } else {
        grouped(out, x,
                size < 1e-3 || size >= 1000 ? 0
                : size >= 100               ? 1
                : size >= 0.1               ? 2
                : size >= 0.01              ? 3
                                            : 4);
    }
}

/* ---- axes ---- */

struct axis {
    double min, max, tick;
};

/* Round numbers around [min, max], about n of them. */
static struct axis make_axis(double min, double max, int n)
{
    if (!(max > min)) {
        const double room = fabs(max) > 0 ? 0.5 * fabs(max) : 1;

        max += room;
        min -= min > 0 || min < 0 ? room : 0;
    }
    const double rough = (max - min) / n, power = pow(10, floor(log10(rough))),
                 digit = rough / power;
    const double tick = power * (digit <= 1     ? 1
                                 : digit <= 2   ? 2
                                 : digit <= 2.5 ? 2.5
                                 : digit <= 5   ? 5
                                                : 10);

    return (struct axis){.min = floor(min / tick + 1e-9) * tick,
                         .max = ceil(max / tick - 1e-9) * tick,
                         .tick = tick};
}

static struct axis y_axis(const struct chart *c)
{
    double min = (double)INFINITY, max = -min;

    for (size_t i = 0; i < c->n; i++) {
        double sum = 0;

        for (size_t s = 0; s < c->n_series; s++) {
            const struct chart_series *e = &c->series[s];
            const double y = e->y[i];

            if (!isfinite(y))
                continue;
            sum += y;
            if (c->to_one && y >= 0 &&
                y <= 1) { /* a band may reach beyond: it is cut off at the frame */
                min = fmin(min, y);
                max = fmax(max, y);
                continue;
            }
            min = fmin(min, e->low != NULL && isfinite(e->low[i]) ? e->low[i] : y);
            max = fmax(max, e->high != NULL && isfinite(e->high[i]) ? e->high[i] : y);
        }
        if (c->stacked)
            max = fmax(max, sum);
    }
    if (!isfinite(min) || !isfinite(max))
        return (struct axis){.min = 0, .max = 1, .tick = 0.25};
    if (c->to_one && max <= 1 && min >= 0)
        return (struct axis){.min = 0, .max = 1, .tick = 0.25};
    return make_axis(c->from_zero || c->stacked ? fmin(0, min) : min,
                     c->from_zero ? fmax(max, 0) : max, 4);
}

struct frame {
    const struct chart *c;
    struct axis x, y;
    double left, right, top, bottom; /* of the plot within the drawing */
};

static double at_x(const struct frame *f, double x)
{
    return f->left + (x - f->x.min) / (f->x.max - f->x.min) * (f->right - f->left);
}

static double at_y(const struct frame *f, double y)
{
    const double t = (y - f->y.min) / (f->y.max - f->y.min);

    return f->bottom - fmin(1, fmax(0, t)) * (f->bottom - f->top);
}

/* How many decimals tell multiples of tick apart. */
static int decimals_of(double tick)
{
    int n = 0;

    while (n < 6 && fabs(tick - round(tick)) > 1e-6) {
        tick *= 10;
        n++;
    }
    return n;
}

static void tick_text(struct buf *out, double x, const struct chart *c, double tick)
{
    const bool is_zero = fabs(x) < tick / 2;

    if (c->unit == CHART_SHARE)
        buf_printf(out, "%.*f" NARROW_SPACE "%%", decimals_of(100 * tick), 100 * x);
    else if (c->unit == CHART_SECONDS && tick >= 60)
        buf_printf(out, "%.*f" NARROW_SPACE "min", decimals_of(tick / 60), x / 60);
    else if (c->unit == CHART_SECONDS)
        buf_printf(out, "%.*f" NARROW_SPACE "s", decimals_of(tick), x);
    else if (tick < 5e-4 || tick >= 1e7)
        is_zero ? buf_text(out, "0") : scientific(out, x);
    else
        grouped(out, is_zero ? 0 : x, decimals_of(tick));
}

static void write_axes(struct buf *out, const struct frame *f)
{
    const int n_y = (int)lround((f->y.max - f->y.min) / f->y.tick);

    buf_text(out, "<g class=\"axis\">");
    for (int i = 0; i <= n_y; i++) {
        const double y = f->y.min + i * f->y.tick, at = at_y(f, y);

        buf_printf(out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                   f->left, f->right, at, at);
        buf_printf(out, "<text class=\"ty\" x=\"%.1f\" y=\"%.1f\">", f->left - 6, at + 3.5);
        tick_text(out, y, f->c, f->y.tick);
        buf_text(out, "</text>");
    }
    const struct axis steps = make_axis(f->x.min, f->x.max, f->c->width > 600 ? 10 : 5);
    const double tick = fmax(1, steps.tick);
    for (double x = ceil(f->x.min / tick) * tick; x <= f->x.max; x += tick) {
        buf_printf(out, "<text class=\"tx\" x=\"%.1f\" y=\"%.1f\">", at_x(f, x), f->bottom + 16);
        grouped(out, x, 0);
        buf_text(out, "</text>");
    }
    buf_text(out, "</g>");
}

/* ---- curves ---- */

static void point(struct buf *out, const struct frame *f, double x, double y, bool first)
{
    buf_printf(out, "%s%.1f %.1f", first ? "M" : "L", at_x(f, x), at_y(f, y));
}

static void write_band(struct buf *out, const struct frame *f, const struct chart_series *s)
{
    bool first = true;

    buf_printf(out, "<path class=\"band %s\" d=\"", s->style);
    for (size_t i = 0; i < f->c->n; i++)
        if (isfinite(s->high[i]) && isfinite(s->low[i])) {
            point(out, f, f->c->x[i], s->high[i], first);
            first = false;
        }
    for (size_t i = f->c->n; i-- > 0;)
        if (isfinite(s->high[i]) && isfinite(s->low[i]))
            point(out, f, f->c->x[i], s->low[i], false);
    buf_text(out, "Z\"/>");
}

static void write_line(struct buf *out, const struct frame *f, const struct chart_series *s)
{
    size_t n = 0;

    buf_printf(out, "<path class=\"curve %s\" d=\"", s->style);
    for (size_t i = 0; i < f->c->n; i++)
        if (isfinite(s->y[i]))
            point(out, f, f->c->x[i], s->y[i], n++ == 0);
    buf_text(out, "\"/>");
    if (!s->marks && n > 1)
        return;
    buf_printf(out, "<g class=\"marks %s\">", s->style);
    for (size_t i = 0; i < f->c->n; i++)
        if (isfinite(s->y[i]))
            buf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>", at_x(f, f->c->x[i]),
                       at_y(f, s->y[i]), n > 60 ? "1.8" : "3");
    buf_text(out, "</g>");
}

/* Areas upon each other; base holds the height that is reached at each point. */
static void write_area(struct buf *out, const struct frame *f, size_t s)
{
    const struct chart *c = f->c;

    buf_printf(out, "<path class=\"area %s\" d=\"", c->series[s].style);
    for (int side = 0; side < 2; side++)
        for (size_t k = 0; k < c->n; k++) {
            const size_t i = side == 0 ? k : c->n - 1 - k;
            double sum = 0;

            for (size_t below = 0; below < s + (side == 0); below++)
                sum += isfinite(c->series[below].y[i]) ? c->series[below].y[i] : 0;
            point(out, f, c->x[i], sum, side == 0 && k == 0);
        }
    buf_text(out, "Z\"/>");
}

void chart_svg(struct buf *out, const struct chart *c)
{
    struct frame f = {.c = c, .y = y_axis(c), .left = 46, .top = 12};
    struct buf sentence;

    f.right = c->width - 12;
    f.bottom = c->height - 24;
    f.x = (struct axis){.min = c->n > 0 ? c->x[0] : 0, .max = c->n > 0 ? c->x[c->n - 1] : 1};
    if (!(f.x.max > f.x.min))
        f.x.max = f.x.min + 1;
    buf_init(&sentence, 1 << 14);
    chart_sentence(&sentence, c);
    buf_printf(
        out,
        "<svg class=\"plot\" viewBox=\"0 0 %d %d\" role=\"img\" tabindex=\"0\" data-chart=\"%s\" data-left=\"%.0f\" "
        "data-right=\"%.0f\" data-min=\"%g\" data-max=\"%g\" aria-label=\"",
        c->width, c->height, c->id, f.left, f.right, f.x.min, f.x.max);
    html_text(out, buf_view(&sentence));
    buf_release(&sentence);
    buf_text(out, "\">");
    write_axes(out, &f);
    for (size_t i = 0; i < c->n_flags; i++)
        buf_printf(out, "<path class=\"flag\" d=\"M%.1f %.1fl-4 -7h8Z\"/>", at_x(&f, c->flag[i]),
                   f.top + 1);
    for (size_t s = 0; s < c->n_series; s++)
        if (c->stacked)
            write_area(out, &f, s);
    for (size_t s = 0; s < c->n_series; s++)
        if (!c->stacked && c->series[s].low != NULL && c->series[s].high != NULL)
            write_band(out, &f, &c->series[s]);
    for (size_t s = 0; s < c->n_series; s++)
        if (!c->stacked)
            write_line(out, &f, &c->series[s]);
    buf_printf(out, "<line class=\"cursor\" x1=\"0\" x2=\"0\" y1=\"%.1f\" y2=\"%.1f\"/></svg>",
               f.top, f.bottom);
}

void chart_sentence(struct buf *out, const struct chart *c)
{
    buf_printf(out, "%s.", c->title);
    for (size_t s = 0; s < c->n_series; s++) {
        const struct chart_series *e = &c->series[s];
        size_t first = c->n, last = c->n, least = c->n, most = c->n;

        for (size_t i = 0; i < c->n; i++) {
            if (!isfinite(e->y[i]))
                continue;
            first = first == c->n ? i : first;
            last = i;
            least = least == c->n || e->y[i] < e->y[least] ? i : least;
            most = most == c->n || e->y[i] > e->y[most] ? i : most;
        }
        if (first == c->n)
            continue;
        buf_printf(out, " %s: ", e->name);
        chart_number(out, e->y[first], c->unit);
        buf_printf(out, " at step %.0f, ", c->x[first]);
        chart_number(out, e->y[last], c->unit);
        buf_printf(out, " at step %.0f; least ", c->x[last]);
        chart_number(out, e->y[least], c->unit);
        buf_text(out, ", most ");
        chart_number(out, e->y[most], c->unit);
        buf_printf(out, " at step %.0f.", c->x[most]);
    }
}

static void write_numbers(struct buf *out, const double *y, size_t n)
{
    buf_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(out, ',');
        if (isfinite(y[i]))
            buf_printf(out, "%.4g", y[i]);
        else
            buf_text(out, "null");
    }
    buf_char(out, ']');
}

void chart_data(struct buf *out, const struct chart *c)
{
    static const char *const units[] = {"number", "score", "count", "share", "seconds", "bytes"};
    struct buf name;

    buf_init(&name, 1 << 12);
    buf_text(out, "{\"x\":");
    write_numbers(out, c->x, c->n);
    buf_printf(out, ",\"unit\":\"%s\",\"series\":[", units[c->unit]);
    for (size_t s = 0; s < c->n_series; s++) {
        buf_clear(&name);
        json_write_string(&name, str_of(c->series[s].name), true);
        buf_text(out, s == 0 ? "[" : ",[");
        for (size_t i = 0; i < name.len; i++) /* nothing here ends a script element */
            buf_printf(out, name.ptr[i] == '<' || name.ptr[i] == '>' ? "\\u%04x" : "%c",
                       name.ptr[i]);
        buf_char(out, ',');
        write_numbers(out, c->series[s].y, c->n);
        buf_char(out, ']');
    }
    buf_text(out, "]}");
    buf_release(&name);
}
