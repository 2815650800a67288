/*
 * live_chart.c - a grid of dots, written as braille characters, or as asterisks where only ASCII is understood.
 */
#include "cli/live_chart.h"
#include "base/size.h"

#include <math.h>
#include <stdio.h>

#define MAX_COLUMNS 240
#define MAX_ROWS 12
#define LABEL 5 /* columns of the numbers at the left */

struct grid {
    int columns, rows, dots_x, dots_y; /* a character has 2 by 4 dots, or 1 by 1 */
    bool ascii;
    double low, high;
    double total;                              /* steps from left to right */
    unsigned char cell[MAX_ROWS][MAX_COLUMNS]; /* dots of the line */
    bool mark[MAX_ROWS][MAX_COLUMNS];          /* a point of the validation */
};

static void find_range(const struct live_view *v, struct grid *g)
{
    g->low = 0;
    g->high = 1;
    for (size_t i = 0; i < v->n_points; i++) {
        const double ys[] = {v->point[i].train, v->point[i].valid};

        for (size_t k = 0; k < 2; k++)
            if (isfinite(ys[k])) {
                g->low = fmin(g->low, ys[k]);
                g->high = fmax(g->high, ys[k]);
            }
    }
}

static int dot_y(const struct grid *g, double y)
{
    const int n = g->rows * g->dots_y;

    return (int)fmin(n - 1, fmax(0, floor((g->high - y) / (g->high - g->low) * (n - 1) + 0.5)));
}

static int dot_x(const struct grid *g, double step)
{
    const int n = g->columns * g->dots_x;

    return (int)fmin(n - 1, fmax(0, floor(step / g->total * (n - 1) + 0.5)));
}

static void set_dot(struct grid *g, int x, int y)
{
    static const unsigned char bits[4][2] = {
        {0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

    g->cell[y / g->dots_y][x / g->dots_x] |= bits[y % g->dots_y][x % g->dots_x];
}

/* The mean of the training reward around a point: the curve under the unrest. */
static double smooth(const struct live_view *v, size_t i)
{
    const size_t reach = v->n_points / 40;
    double sum = 0;
    size_t n = 0;

    for (size_t j = i - size_min(i, reach); j <= size_min(v->n_points - 1, i + reach); j++)
        if (isfinite(v->point[j].train)) {
            sum += v->point[j].train;
            n++;
        }
    return n > 0 ? sum / (double)n : (double)NAN;
}

/* Dots from one point to the next, without gaps. */
static void draw_stroke(struct grid *g, int x0, double y0, int x1, double y1)
{
    int last = dot_y(g, y0);

    for (int x = x0; x <= x1; x++) {
        const int y = dot_y(g, x1 > x0 ? y0 + (y1 - y0) * (x - x0) / (x1 - x0) : y1);

        for (int k = last < y ? last : y; k <= (last < y ? y : last); k++)
            set_dot(g, x, k);
        last = y;
    }
}

static void draw_line(const struct live_view *v, struct grid *g)
{
    int x0 = -1;
    double y0 = 0;

    for (size_t i = 0; i < v->n_points;) {
        const int x = dot_x(g, v->point[i].step);
        double sum = 0;
        size_t n = 0;

        for (; i < v->n_points && dot_x(g, v->point[i].step) == x; i++)
            if (isfinite(v->point[i].train)) {
                sum += smooth(v, i);
                n++;
            }
        if (n == 0)
            continue;
        draw_stroke(g, x0 < 0 ? x : x0, x0 < 0 ? sum / (double)n : y0, x, sum / (double)n);
        x0 = x;
        y0 = sum / (double)n;
    }
}

static void draw_marks(const struct live_view *v, struct grid *g)
{
    if (v->n_base > 0)
        g->mark[dot_y(g, v->base_valid) / g->dots_y][0] = true;
    for (size_t i = 0; i < v->n_points; i++)
        if (isfinite(v->point[i].valid))
            g->mark[dot_y(g, v->point[i].valid) / g->dots_y]
                   [dot_x(g, v->point[i].step) / g->dots_x] = true;
}

static void put_cell(const struct grid *g, int row, int column, const struct live_frame *frame,
                     struct buf *out)
{
    const unsigned char dots = g->cell[row][column];

    if (g->mark[row][column]) {
        buf_printf(out, "%s%s%s", frame->color ? "\x1b[1;36m" : "", g->ascii ? "o" : "\xE2\x97\x8F",
                   frame->color ? "\x1b[0m" : "");
    } else if (dots == 0) {
        buf_char(out, ' ');
    } else if (g->ascii) {
        buf_char(out, '*');
    } else { /* U+2800 + dots */
        buf_char(out, (char)0xE2);
        buf_char(out, (char)(0xA0 | dots >> 6));
        buf_char(out, (char)(0x80 | (dots & 0x3F)));
    }
}

static void put_row(const struct grid *g, int row, const struct live_frame *frame, struct buf *out)
{
    const bool labelled = row == 0 || row == g->rows - 1;
    int last = g->columns - 1;

    if (frame->color)
        buf_text(out, "\x1b[2m");
    if (labelled)
        buf_printf(out, "%*.2f ", LABEL - 1, row == 0 ? g->high : g->low);
    else
        buf_printf(out, "%*s", LABEL, "");
    buf_text(out, g->ascii ? "|" : labelled ? "\xE2\x94\xA4" : "\xE2\x94\x82");
    if (frame->color)
        buf_text(out, "\x1b[0m");
    while (last >= 0 && g->cell[row][last] == 0 && !g->mark[row][last])
        last--;
    for (int column = 0; column <= last; column++)
        put_cell(g, row, column, frame, out);
    buf_char(out, '\n');
}

void live_chart(const struct live_view *v, int columns, int rows, const struct live_frame *frame,
                struct buf *out)
{
    struct grid g = {.columns = columns - LABEL - 1, .rows = rows, .ascii = frame->ascii};

    g.columns = g.columns < MAX_COLUMNS ? g.columns : MAX_COLUMNS;
    g.rows = g.rows < MAX_ROWS ? g.rows : MAX_ROWS;
    g.dots_x = frame->ascii ? 1 : 2;
    g.dots_y = frame->ascii ? 1 : 4;
    g.total = v->has_last && v->last.total_steps > 0 ? (double)v->last.total_steps : 1;
    if (v->n_points > 0)
        g.total = fmax(g.total, v->point[v->n_points - 1].step);
    find_range(v, &g);
    draw_line(v, &g);
    draw_marks(v, &g);
    for (int row = 0; row < g.rows; row++)
        put_row(&g, row, frame, out);
}

int live_spark(const struct live_view *v, size_t member, int columns, bool ascii, struct buf *out)
{
    static const char ascii_bars[] = "_.,-=+*#";
    const size_t n = size_min(v->n_points, (size_t)(columns > 0 ? columns : 0));
    double high = 0;

    for (size_t i = v->n_points - n; i < v->n_points; i++)
        high = fmax(high, *(const double *)((const char *)&v->point[i] + member));
    for (size_t i = v->n_points - n; i < v->n_points; i++) {
        const double y = *(const double *)((const char *)&v->point[i] + member);
        const int level = isfinite(y) && high > 0 ? (int)fmin(7, fmax(0, y / high * 7 + 0.5)) : 0;

        if (ascii)
            buf_char(out, ascii_bars[level]);
        else
            buf_printf(out, "\xE2\x96%c", 0x81 + level);
    }
    return (int)n;
}
