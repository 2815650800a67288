/*
 * work_job.h - what a worker does with a job of the store: its files are checked, or it is trained, up to its next state.
 */
#ifndef HONE_CLI_WORK_JOB_H
#define HONE_CLI_WORK_JOB_H

#include "cli/command.h"
#include "job/worker.h"

/* ctx: struct cli, whose options say how graders and arithmetic run on this machine. */
MUST_CHECK bool work_job(void *ctx, struct work *w, struct error *err);
#endif
