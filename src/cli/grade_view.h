/*
 * grade_view.h - the summary of a grader as text for a terminal of 80 columns, or a wider one.
 *
 * Foreign text stands between quotes, cut to its line, with what could move a terminal's cursor as escapes. An answer is
 * named by its line in the answers' file, its row by its line in the data.
 */
#ifndef HONE_CLI_GRADE_VIEW_H
#define HONE_CLI_GRADE_VIEW_H

#include "base/buf.h"
#include "grade/grade_summary.h"

/* What is kept of a run to compare the next with. */
struct grade_past {
    struct arena arena;
    bool any;
    size_t n;
    double mean;
    double *reward; /* [n] of the answer at the same place of the file */
};
void grade_past_keep(struct grade_past *past, const struct grade_summary *s,
                     const struct grade_notes *notes);
void grade_past_release(struct grade_past *past); /* all zeros is fine */

#define GRADE_LISTED 20 /* so many answers are listed without being asked for */

struct grade_view {
    const char *data, *answers; /* paths; data may be NULL */
    double seconds;             /* that grading took in all */
    bool list_all;              /* every answer, however many there are */
    bool prints_all;            /* every text that was printed, whole */
    bool color;
    int columns;                   /* 80 or more */
    const struct grade_past *past; /* or NULL */
};
void grade_view_render(struct buf *out, const struct grade_view *v, const struct grade_summary *s,
                       const struct grade_notes *notes);
#endif
