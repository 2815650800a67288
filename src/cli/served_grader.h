/*
 * served_grader.h - a grader, opened with what the options and the job say of it, and the models that it asks.
 */
#ifndef HONE_CLI_SERVED_GRADER_H
#define HONE_CLI_SERVED_GRADER_H

#include "cli/services.h"

struct served_grader { /* all zeros: none */
    struct grader *grader;
    struct services *services;
};

/*
 * spec, and what names its place in messages: "job.json". hone: the job's own member "hone", or NULL: "shadow_graders" are
 * measured beside it, and "judges" and "embedding_model" say whom it asks. has_base: see services_open.
 */
MUST_CHECK bool served_grader_open(struct cli *c, const json_t *spec, const json_t *hone,
                                   const char *what, bool has_base, struct served_grader *out,
                                   struct error *err);
/* The one in --grader's file, or in that of a job. */
MUST_CHECK bool served_grader_option(struct cli *c, bool has_base, struct served_grader *out,
                                     struct error *err);
void served_grader_close(struct served_grader *g);

/* The options that are looked at, where the grader comes from elsewhere, and where an option names it. */
#define GRADING_OPTIONS                                                                            \
    OPT_GRADER_TIMEOUT, OPT_GRADER_MEMORY, OPT_GRADER_WORKERS, OPT_PYTHON, OPT_SANDBOX, OPT_JUDGE, \
        OPT_JUDGE_TIMEOUT, OPT_EMBEDDING_MODEL
#define GRADER_OPTIONS OPT_GRADER, GRADING_OPTIONS
#endif
