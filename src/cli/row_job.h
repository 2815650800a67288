/*
 * row_job.h - a job's row and what it names become job_parts: for whoever works on it, and for its check.
 */
#ifndef HONE_CLI_ROW_JOB_H
#define HONE_CLI_ROW_JOB_H

#include "cli/job_file.h"
#include "store/jobs.h"

struct row_job {
    /* given */
    struct store *store;
    const struct job_row *row;
    const char *machine; /* whose memory it would take, and how much jobs may have of that */
    int64_t machine_bytes;
    struct arena *arena; /* as long as it is worked on */
    /* made */
    struct cli cli; /* the command's own settings with the job's stop flag */
    struct project_models requester;
    struct job_parts parts;
    size_t longest; /* prompt of reinforcement, in tokens */
};
void row_job_init(struct row_job *r, const struct cli *c, const atomic_bool *stop);
/*
 * Opens and checks everything; *need: the least memory that training takes. What fails names files by their ids, and says which of
 * them is at fault (param training_file, validation_file). ERR_NO_MEMORY as row_job_fits.
 */
MUST_CHECK bool row_job_open(struct row_job *r, int64_t *need, struct error *err);
/* ERR_NO_MEMORY where no machine that is there lets a job have so much. model_bytes 0: not known. */
MUST_CHECK bool row_job_fits(struct row_job *r, double need, double model_bytes, struct error *err);
void row_job_close(struct row_job *r);
#endif
