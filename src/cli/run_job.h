/*
 * run_job.h - a job whose parts are open becomes a run: its folder, under its names, ready to be told to.
 */
#ifndef HONE_CLI_RUN_JOB_H
#define HONE_CLI_RUN_JOB_H

#include "cli/job_file.h"
#include "job/run_folder.h"

struct run_job {
    /* given */
    struct cli *c;
    const struct job_parts *parts;
    const char *dir;
    bool resume;                  /* dir holds the run, which is to go on */
    const char *id;               /* "ftjob-..."; NULL: made, or the one in dir */
    const char *model_name;       /* "ft:..."; NULL: made of the id, or the one in dir */
    const char *template;         /* in place of the model's own, or NULL */
    struct run_listener listener; /* all zeros: none */
    const json_t *origin; /* what run_job_origin made of it, where that is known already; or NULL */
    /* made */
    struct run_folder *folder;
};
/* What the run is made of, for its certificate: reads the model and the data once. The caller's. */
MUST_CHECK bool run_job_origin(const struct run_job *r, json_t **out, struct error *err);
/* Fills what was not given; texts live in c->arena. */
MUST_CHECK bool run_job_open(struct run_job *r, struct error *err);
void run_job_close(struct run_job *r); /* all zeros is fine */
#endif
