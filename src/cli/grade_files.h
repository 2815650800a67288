/*
 * grade_files.h - the rows of a dataset and the answers to them, as files, become what a grader is given.
 *
 * A line of the answers is a text, or an object with it under "output_text", "answer", "model_sample" or
 * "sample": {"output_text", "output_json", "output_tools"}. "item" is the number of its row (0 is the first), or the row
 * itself; without it answers belong to the rows in order. A line of a run's rollouts/ has "tool_calls" for output_tools, counts as often as it was
 * given, and has a "reward" to compare with.
 */
#ifndef HONE_CLI_GRADE_FILES_H
#define HONE_CLI_GRADE_FILES_H

#include "grade/grade_notes.h"

struct grade_files {
    struct arena arena; /* all below but the values */
    size_t n_rows;      /* of the data, then those that stand with answers; equal ones are one */
    json_t **rows;      /* [n_rows] */
    size_t *row_lines;  /* [n_rows] 0: it stands with an answer */
    size_t n;
    struct grade_answer *answers; /* [n] */
    struct grade_sample *samples; /* [n] */
    json_t **kept;                /* [n] what answers and samples point into */
};
/*
 * data: NULL where every answer carries its row. Fails with ERR_INVALID naming file and line: no answer in a line, a row
 * that the data does not have, a row that lacks what g reads.
 */
MUST_CHECK bool grade_files_read(const char *data, const char *answers, const struct grader *g,
                                 struct grade_files *out, struct error *err);
void grade_files_release(struct grade_files *f); /* all zeros is fine */

/* The sample of {"sample": {...}} or {"model_sample": "..."}. */
MUST_CHECK bool grade_sample_read(const json_t *line, const char *what, struct grade_sample *out,
                                  struct error *err);
#endif
