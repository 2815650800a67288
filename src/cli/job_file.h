/*
 * job_file.h - JOB.json, or a job put together from options, becomes files that are there and a body that is checked.
 *
 * A path in a job is relative to the job's own folder first, then to the working directory; one in an option to the
 * working directory. Options stand above what the job says. --resume without a job goes on with the one in the run.
 */
#ifndef HONE_CLI_JOB_FILE_H
#define HONE_CLI_JOB_FILE_H

#include "cli/served_grader.h"
#include "cli/session.h"
#include "grade/grader.h"
#include "text/dataset.h"
#include "train/fit.h"
#include "train/reinforce.h"

struct job_file {
    json_t *body;     /* of POST /v1/fine_tuning/jobs, with the options in it */
    const char *file; /* its path, or NULL */
    const char *run;  /* the folder that it was found in, for --resume without a job; or NULL */
    const char *train, *valid; /* paths; valid may be NULL */
    struct model_ref model;
    const char *template; /* text in place of --template's, or NULL */
    size_t context;       /* in place of --context; 0: that */
    bool no_tools;        /* the servers of its tools are not asked: answers have one turn */
};
MUST_CHECK bool job_file_read(struct cli *c, struct job_file *out, struct error *err);
/*
 * The job of a run that was, body, as it was: --model, --train and --valid say where its files lie now, and change nothing in it. dir: the
 * run's folder, which notes where they lay.
 */
MUST_CHECK bool job_file_of_run(struct cli *c, const char *dir, const json_t *body,
                                struct job_file *out, struct error *err);
void job_file_release(struct job_file *j); /* all zeros is fine */

/* Everything that a job needs, open and checked as far as that costs nothing. */
struct job_parts {
    struct job_file job;
    enum train_method method;
    struct dataset train, valid;
    struct served_grader grader; /* of reinforcement */
    struct model *model;
    struct adapter *start; /* of a fine-tuned model that training goes on from; or NULL */
    struct prompter *prompter;
    struct recipe recipe;
    struct tool_servers *tools; /* of reinforcement, where the job names some; or NULL */
};
MUST_CHECK bool job_parts_open(struct cli *c, struct job_parts *out, struct error *err);
/* The same for a job that was put together elsewhere; it is taken, whatever comes of it. */
MUST_CHECK bool job_parts_open_job(struct cli *c, struct job_file *job, struct job_parts *out,
                                   struct error *err);
void job_parts_close(struct job_parts *p); /* all zeros is fine */
/* Finds the rows that cannot be answered or graded, or learned, before anything is written. *longest: tokens of the longest prompt of
   reinforcement, else 0; may be NULL. */
MUST_CHECK bool job_parts_check(const struct job_parts *p, size_t *longest, struct error *err);
/* What training and its check are given; run_dir, sink and resume are the caller's to set. */
struct reinforce_inputs job_parts_inputs(const struct job_parts *p, struct cli *c);
struct fit_inputs job_parts_fit_inputs(const struct job_parts *p, struct cli *c);

/* The options that job_file_read and job_parts_open look at. */
#define JOB_OPTIONS                                                                                \
    OPT_MODEL, OPT_TRAIN, OPT_VALID, OPT_SET, OPT_SEED, OPT_TEMPLATE, GRADER_OPTIONS, OPT_DEVICE,  \
        OPT_THREADS, OPT_PRECISION, OPT_KV_CACHE, OPT_CONTEXT, OPT_KERNELS, OPT_HOME
#endif
