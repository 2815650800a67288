/*
 * eval_of_job.h - the eval of a reinforcement job: each validation step is a run of it, read from the job's folder when it is asked for.
 *
 *     HOME/runs/DIR/rollouts/valid-N.jsonl   ->  run of step N (0: the model that training began with), its lines -> output items
 *
 * Nothing is copied: ids are made of the job's id and the step, and of the run's id, item and sample. Which eval is a job's: its document's parent is the
 * job's id.
 */
#ifndef HONE_SERVER_EVAL_OF_JOB_H
#define HONE_SERVER_EVAL_OF_JOB_H

#include "server/api.h"

bool eval_is_of_job(const struct document *eval);
/* All runs, oldest first, a new list of the API's objects. eval: the document's body. */
MUST_CHECK bool eval_of_job_runs(struct api_call *c, const struct document *d, const json_t *eval,
                                 struct arena *a, json_t **out, struct error *err);
/* The output items of a run, in the order of the folder; ERR_NOT_FOUND: there is no such run. */
MUST_CHECK bool eval_of_job_items(struct api *api, const struct document *d, const json_t *eval,
                                  struct str run_id, struct arena *a, json_t **out,
                                  struct error *err);
#endif
