/*
 * jobs.h - jobs in a store, in any state, for the tests that need some.
 */
#ifndef HONE_TESTS_JOBS_H
#define HONE_TESTS_JOBS_H

#include "store/jobs.h"
#include "support/stores.h"

extern const char *const job_states[8]; /* all there are */

/* A new job of a project, in state validating_files. */
struct job_row test_job(struct test_store *t, const char *project);
struct job_row test_job_now(struct test_store *t, const char *id); /* as it is */
/* Takes the oldest job for worker, on machine "m" with room for everything; fails the test where there is none. */
struct lease test_take(struct test_store *t, const char *worker);
/* A new job that is brought into a state by what really leads there; a lease is held where the state has one. */
struct job_row test_job_in(struct test_store *t, const char *state, struct lease *lease);
/* jobs_change with nothing but a status. */
MUST_CHECK bool test_change(struct test_store *t, const struct lease *l, const char *status,
                            struct error *err);
#endif
