/*
 * run_series.h - a few columns of metrics.csv as they grow: what a chart of a running job asks for, again and again.
 *
 * Cells stay text: numbers are copied from the file into an answer, and neither read nor written again, which is most of the time.
 */
#ifndef HONE_JOB_RUN_SERIES_H
#define HONE_JOB_RUN_SERIES_H

#include "base/arena.h"

struct run_series {
    const char *const *name; /* [n_names] all columns that there are */
    size_t n_names;
    size_t n_columns;          /* those that were asked for and are there */
    const char *const *column; /* [n_columns] their names, in the order of the file */
    size_t n_rows;
    const double *step; /* [n_rows] */
    const struct str
        *cell;     /* [n_rows, n_columns] as it is written: a number in JSON's form, or "" */
    bool has_more; /* rows behind these */
};
struct run_series_options {
    const struct str *wanted; /* [n_wanted] names; those that are none are passed over */
    size_t n_wanted;          /* 0: all */
    double after_step;        /* rows of later steps; a negative one: all */
    size_t limit;             /* rows */
};
/* In the arena. No file yet: nothing of everything. A line that is none of a step's is passed over. */
MUST_CHECK bool run_series_read(const char *dir, const struct run_series_options *opt,
                                struct arena *a, struct run_series *out, struct error *err);
/* What the answers of a step were drawn with: the step's temperature, else the job's, else 1. */
MUST_CHECK bool run_temperature(const char *dir, size_t step, struct arena *a, double *out,
                                struct error *err);
#endif
