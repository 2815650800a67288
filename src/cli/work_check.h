/*
 * work_check.h - what a worker does with one check: opens the job that it is of, and asks what hone check asks.
 */
#ifndef HONE_CLI_WORK_CHECK_H
#define HONE_CLI_WORK_CHECK_H

#include "job/check_work.h"

/* A check_work_fn; ctx: the command's struct cli. */
MUST_CHECK bool work_check(void *ctx, struct check_work *w, json_t **result, struct error *err);
#endif
