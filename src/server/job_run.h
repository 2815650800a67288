/*
 * job_run.h - what calls about a job's run share: the job as the caller's project sees it, its folder, and figures of the query.
 */
#ifndef HONE_SERVER_JOB_RUN_H
#define HONE_SERVER_JOB_RUN_H

#include "server/api.h"

struct job_run {
    struct job_row job;
    const char *dir; /* which need not be there yet */
};
/* Of c->id[0]. */
MUST_CHECK bool job_run_get(struct api_call *c, struct job_run *out, struct error *err);

/* A whole number of the query; *there false: it is not given. */
MUST_CHECK bool query_count(struct api_call *c, const char *name, size_t most, bool *there,
                            size_t *out, struct error *err);
/* A number; as it was where it is not given. */
MUST_CHECK bool query_number(struct api_call *c, const char *name, double *out, struct error *err);
/* "a,b,c" as a list in the arena, blanks taken away, at most most of them. Nothing given: none. */
MUST_CHECK bool query_list(struct api_call *c, const char *name, size_t most, struct str **out,
                           size_t *n, struct error *err);
/* limit of the query: 1 to most. */
MUST_CHECK bool query_limit(struct api_call *c, size_t def, size_t most, size_t *out,
                            struct error *err);
#endif
