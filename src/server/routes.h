/*
 * routes.h - the tables of routes, one of each route_*.c; api_routes.c lists them.
 */
#ifndef HONE_SERVER_ROUTES_H
#define HONE_SERVER_ROUTES_H

#include "server/api.h"

extern const struct api_table files_routes, file_rows_routes;
extern const struct api_table uploads_routes;
extern const struct api_table models_routes;
extern const struct api_table fine_tuning_routes, job_run_routes, rollouts_routes,
    rollout_logprobs_routes, rollout_items_routes, checks_routes;
extern const struct api_table graders_routes;
extern const struct api_table webhooks_routes;
extern const struct api_table chat_routes;
extern const struct api_table organization_routes, feedback_routes, ops_routes, machine_routes,
    web_routes;
extern const struct api_table completions_routes, responses_routes;
extern const struct api_table evals_routes, eval_runs_routes;
#endif
