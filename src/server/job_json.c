/*
 * job_json.c - what a row does not know yet is null, and what a client stumbles over is never sent: "error" is null unless the job
 * failed, "hyperparameters" an object whatever the method.
 */
#include "server/job_json.h"
#include "server/api.h"
#include "server/job_request.h"

static json_t *error_json(const struct job_row *j)
{
    if (j->error_code == NULL && j->error_message == NULL)
        return json_null();
    json_t *e = json_object();
    json_object_set_new(e, "code",
                        json_string(j->error_code != NULL ? j->error_code : "server_error"));
    json_object_set_new(e, "message",
                        json_string(j->error_message != NULL ? j->error_message : ""));
    json_object_set_new(e, "param", api_or_null(j->error_param));
    return e;
}

static json_t *list_or_empty(const json_t *v)
{
    return json_is_array(v) ? json_incref((json_t *)(uintptr_t)v) : json_array();
}

static json_t *text_list(const char *text)
{
    json_t *v = api_json_of(text), *list = list_or_empty(v);

    json_decref(v);
    return list;
}

json_t *job_json(const struct job_row *j, const struct label *labels, size_t n_labels,
                 const char *org_id)
{
    json_t *body = api_json_of(j->body), *resolved = api_json_of(j->resolved);
    json_t *method = job_method_shown(body, j->method, resolved), *o = json_object();
    json_t *h = json_object_get(json_object_get(method, j->method), "hyperparameters");
    const bool has_model = strcmp(j->status, "succeeded") == 0 || strcmp(j->status, "paused") == 0;
    const bool runs = strcmp(j->status, "running") == 0 || strcmp(j->status, "queued") == 0 ||
                      strcmp(j->status, "validating_files") == 0;

    json_object_set_new(o, "object", json_string("fine_tuning.job"));
    json_object_set_new(o, "id", json_string(j->id));
    json_object_set_new(o, "model", json_string(j->model));
    json_object_set_new(o, "created_at", json_integer(j->created_at));
    json_object_set_new(o, "finished_at", api_time_or_null(j->finished_at));
    json_object_set_new(o, "estimated_finish", api_time_or_null(runs ? j->estimated_finish : 0));
    json_object_set_new(o, "fine_tuned_model", api_or_null(has_model ? j->fine_tuned_model : NULL));
    json_object_set_new(o, "organization_id", api_or_null(org_id));
    json_object_set_new(o, "status", json_string(j->status));
    json_object_set_new(o, "training_file", json_string(j->training_file));
    json_object_set_new(o, "validation_file", api_or_null(j->validation_file));
    json_object_set_new(o, "result_files", text_list(j->result_files));
    json_object_set_new(o, "trained_tokens",
                        j->finished_at != 0 && j->trained_tokens >= 0
                            ? json_integer(j->trained_tokens)
                            : json_null());
    json_object_set_new(o, "seed", json_integer(j->seed));
    json_object_set_new(o, "error", error_json(j));
    json_object_set_new(o, "integrations", list_or_empty(json_object_get(body, "integrations")));
    json_object_set_new(o, "metadata", api_json_of_labels(labels, n_labels));
    if (strcmp(j->method, "supervised") == 0)
        json_object_set(o, "hyperparameters", h);
    else
        json_object_set_new(o, "hyperparameters", json_object());
    json_object_set_new(o, "method", method);
    json_object_set_new(o, "user_provided_suffix", api_or_null(j->suffix));
    json_object_set_new(o, "usage_metrics", api_json_of(j->usage));
    json_object_set_new(o, "shared_with_openai", json_false());
    json_object_set_new(o, "eval_id", api_or_null(j->eval_id));
    if (json_is_object(json_object_get(body, "hone")))
        json_object_set(o, "hone", json_object_get(body, "hone"));
    json_decref(body);
    json_decref(resolved);
    return o;
}

json_t *checkpoint_json(const struct checkpoint_row *c)
{
    json_t *metrics = api_json_of(c->metrics);

    if (!json_is_object(metrics)) {
        json_decref(metrics);
        metrics = json_object();
    }
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o, s:I}", "object", "fine_tuning.job.checkpoint",
                     "id", c->id, "created_at", (json_int_t)c->created_at,
                     "fine_tuned_model_checkpoint", c->name, "fine_tuning_job_id", c->job_id,
                     "metrics", metrics, "step_number", (json_int_t)c->step);
}

/* id: the name that the run's folder has its scores under; NULL: its own. */
static void add_criterion(json_t *list, const char *id, const char *name, const json_t *grader)
{
    json_t *one = json_copy((json_t *)(uintptr_t)grader);

    if (json_object_get(one, "name") == NULL)
        json_object_set_new(one, "name", json_string(name));
    if (id != NULL)
        json_object_set_new(one, "id", json_string(id));
    else
        json_object_set(one, "id", json_object_get(one, "name"));
    json_array_append_new(list, one);
}

json_t *job_eval_json(const struct job_row *j, const char *eval_id, const json_t *grader)
{
    json_t *criteria = json_array(), *members = json_object_get(grader, "graders");
    const char *key;
    json_t *v;
    size_t i;

    if (json_is_object(members)) {
        json_object_foreach(members, key, v) add_criterion(criteria, key, key, v);
    } else if (json_is_array(members)) {
        json_array_foreach(members, i, v) add_criterion(criteria, NULL, "grader", v);
    } else {
        add_criterion(criteria, NULL, "grader", grader);
    }
    json_t *schema = json_pack("{s:s, s:{s:{s:s}}, s:[s]}", "type", "object", "properties", "item",
                               "type", "object", "required", "item");
    return json_pack("{s:s, s:s, s:s+, s:I, s:n, s:{s:s, s:o}, s:o}", "object", "eval", "id",
                     eval_id, "name", "Validation of ", j->id, "created_at",
                     (json_int_t)j->created_at, "metadata", "data_source_config", "type", "custom",
                     "schema", schema, "testing_criteria", criteria);
}
