/*
 * api_routes.c - all tables of routes.
 */
#include "base/size.h"
#include "server/routes.h"

const struct api_table *const api_tables[] = {
    &files_routes,
    &uploads_routes,
    &models_routes,
    &fine_tuning_routes,
    &graders_routes,
    &webhooks_routes,
    &chat_routes,
    &completions_routes,
    &responses_routes,
    &evals_routes,
    &eval_runs_routes,
    &organization_routes,
    &feedback_routes,
    &ops_routes,
    &machine_routes,
    &web_routes,
    &job_run_routes,
    &rollouts_routes,
    &rollout_logprobs_routes,
    &rollout_items_routes,
    &file_rows_routes,
    &checks_routes,
};
const size_t n_api_tables = COUNT_OF(api_tables);
