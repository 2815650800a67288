/*
 * verdict.h - what a judge replied becomes its verdict: a number, or one of the labels.
 *
 * Asked for is {"steps": [...], "result": ...}. Servers that do not hold a model to that form get what models write
 * instead. In this order, behind the last "</think>":
 *
 *   1. the last JSON object in the text, in a code fence or not, with "result" (else "score", or "label") in it: the
 *      last, for a judge quotes the answer first and judges it then
 *   2. the whole text, or its last line, as a bare number or label: 0.7, **7**, "Score: 4", 'good'
 *
 * A number must be finite: NaN, 1e999, "4/5", "80%" and a sentence are none. A label matches as it stands, else
 * whatever its letter case where just one does.
 */
#ifndef HONE_GRADE_VERDICT_H
#define HONE_GRADE_VERDICT_H

#include "base/error.h"
#include "base/str.h"

/* reply is valid UTF-8. Fails with ERR_CORRUPT, saying what was found. */
MUST_CHECK bool verdict_number(struct str reply, double *out, struct error *err);
/* *out is the index among labels. */
MUST_CHECK bool verdict_label(struct str reply, size_t n, const struct str *labels, size_t *out,
                              struct error *err);
#endif
