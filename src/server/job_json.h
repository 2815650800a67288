/*
 * job_json.h - a job's row as the object that the API shows.
 */
#ifndef HONE_SERVER_JOB_JSON_H
#define HONE_SERVER_JOB_JSON_H

#include "store/jobs.h"
#include "text/json.h"

/* A new tree, the caller's. "resolved" of the row: every setting by its name, as train/progress.h tells it. */
json_t *job_json(const struct job_row *j, const struct label *labels, size_t n_labels,
                 const char *org_id);
json_t *checkpoint_json(const struct checkpoint_row *c);
/*
 * The eval that a reinforcement job's validation steps are runs of, as a stored document's body: the grader (each of a multi's) as
 * testing criteria, and a data source of any rows.
 */
json_t *job_eval_json(const struct job_row *j, const char *eval_id, const json_t *grader);
#endif
