/*
 * job_admit.h - whether a job of this request can be made at all: what the route of jobs and that of their checks ask alike.
 */
#ifndef HONE_SERVER_JOB_ADMIT_H
#define HONE_SERVER_JOB_ADMIT_H

#include "server/api.h"
#include "server/job_request.h"

#define MOST_JOB_BYTES ((uint64_t)4 << 20) /* each is kept with its job */

/*
 * Reads the call's body; its model, files and judges are there for this project, its grader can be loaded (which may take a while:
 * in a thread of api_make_once). Fails as the route should. What the server computes in is put into the body, so that the job is
 * the same whichever worker takes it up, and a seed is drawn where none was given.
 */
MUST_CHECK bool job_admit(struct api_call *c, struct job_request *out, struct error *err);
#endif
