/*
 * check_json.h - what a check found, as hone check --json and the API tell it.
 */
#ifndef HONE_CLI_CHECK_JSON_H
#define HONE_CLI_CHECK_JSON_H

#include "grade/grader.h"
#include "text/json.h"
#include "train/fit.h"
#include "train/reinforce.h"

/* New trees, the caller's. */
json_t *check_json(const struct check_report *r, const struct grader *g);
json_t *check_fit_json(const struct fit_report *r);
const char *check_fit_verdict(const struct fit_report *r, char words[80]); /* returns words */
#endif
