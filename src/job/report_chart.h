/*
 * report_chart.h - columns of numbers become drawn curves (SVG), and sentences that say the same.
 *
 * A series is told from others by its dashes and its marks, not by its colour alone.
 */
#ifndef HONE_JOB_REPORT_CHART_H
#define HONE_JOB_REPORT_CHART_H

#include "base/buf.h"

#define CHART_MAX_SERIES 8

enum chart_unit {
    CHART_NUMBER,
    CHART_SCORE, /* a reward: two decimals */
    CHART_COUNT, /* a whole number */
    CHART_SHARE, /* 0.25 -> 25 % */
    CHART_SECONDS,
    CHART_BYTES,
};

struct chart_series {
    const char *name;
    const char *style;        /* class of the curve: "train", "valid", "raw", "s0".."s5" */
    const double *y;          /* [n]; NaN: not measured, the curve goes on to the next point */
    const double *low, *high; /* [n] a band around it, or NULL */
    bool marks;               /* a mark at each point */
};

struct chart {
    const char *id; /* letters and '-'; the only one on the page */
    const char *title;
    enum chart_unit unit;
    size_t n;
    const double *x; /* [n] steps, rising */
    size_t n_series;
    struct chart_series series[CHART_MAX_SERIES];
    bool from_zero;    /* the axis begins at 0 */
    bool to_one;       /* and ends at 1, where no value is above */
    bool stacked;      /* series lie upon each other, as areas */
    int width, height; /* of the drawing; it scales with the page */
    size_t n_flags;    /* steps marked at the upper edge */
    const double *flag;
};

void chart_svg(struct buf *out, const struct chart *c);
/* What the curves say in one sentence per series: from, to, least and greatest. For those who don't see them. */
void chart_sentence(struct buf *out, const struct chart *c);
/* {"x":[...],"unit":"number","series":[["name",[...]],...]}, for the script that reads values under the pointer */
void chart_data(struct buf *out, const struct chart *c);

/* A number as people read it: 0.42, 12 345, 38 %, 2 min 05 s, 1.2 GB. NaN is a dash. */
void chart_number(struct buf *out, double x, enum chart_unit unit);

/* Text from outside as HTML: markup, quotes, control characters and marks of direction made harmless. */
void html_text(struct buf *out, struct str s);
#endif
