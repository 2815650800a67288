/*
 * eval_of_job.c - lines of rollouts as output items.
 */
#include "server/eval_of_job.h"
#include "base/file.h"
#include "job/run_read.h"
#include "server/api_internal.h"
#include "server/eval_item.h"

#include <stdio.h>
#include <sys/stat.h>

bool eval_is_of_job(const struct document *eval)
{
    return eval->parent != NULL && store_id_is(str_of(eval->parent), "ftjob-");
}

static char *run_id_of(const char *job_id, size_t step, struct arena *a)
{
    return store_id_of("evalrun_", str_of(arena_printf(a, "%s valid %zu", job_id, step)), a);
}

/* One validation step on its way to a run and, where wanted, its items. */
struct reading {
    const struct job_row *job;
    const json_t *criteria;
    const char *eval_id, *run_id;
    char *model;
    int64_t created_at;
    struct arena *a;
    struct eval_tally tally;
    json_t *items;      /* or NULL: only counted */
    json_t *references; /* item -> its row */
    json_t *prompts;    /* item -> its prompt */
};

/* ---- one answer ---- */

static json_t *kept(json_t *by_item, const json_t *line, const char *key, const char *item)
{
    json_t *now = json_object_get(line, key);

    if (now != NULL) /* it stands with the first line of a group alone */
        json_object_set(by_item, item, now);
    return json_object_get(by_item, item);
}

static json_t *results_of(const struct reading *r, const json_t *line, bool errored, bool *passed)
{
    const json_t *scores = json_object_get(line, "scores");
    json_t *results = json_array(), *criterion;
    size_t i;

    *passed = !errored;
    json_array_foreach(r->criteria, i, criterion)
    {
        const char *id = json_string_value(json_object_get(criterion, "id"));
        const json_t *score = id != NULL ? json_object_get(scores, id) : NULL;

        if (score == NULL && json_object_size(scores) == 1 && json_array_size(r->criteria) == 1)
            score = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)scores));
        json_t *result = eval_result(criterion, json_number_value(score), NULL);
        if (errored)
            json_object_set_new(result, "passed", json_false());
        *passed = *passed && json_is_true(json_object_get(result, "passed"));
        json_array_append_new(results, result);
    }
    return results;
}

static json_t *sample_of(const struct reading *r, const json_t *line, const json_t *prompt)
{
    const size_t n = json_array_size(json_object_get(line, "tokens"));
    json_t *calls = json_object_get(line, "tool_calls");
    json_t *said = json_pack("{s:s, s:O?, s:O*}", "role", "assistant", "content",
                             json_object_get(line, "answer"), "tool_calls", calls);
    json_t *s = eval_sample(r->model, json_pack("[{s:s, s:O?}]", "role", "user", "content", prompt),
                            json_pack("[o]", said),
                            json_is_true(json_object_get(line, "truncated")) ? "length" : "stop");

    json_object_set_new(s, "usage",
                        json_pack("{s:I, s:I, s:i, s:i}", "total_tokens", (json_int_t)n,
                                  "completion_tokens", (json_int_t)n, "prompt_tokens", 0,
                                  "cached_tokens", 0));
    json_object_set_new(s, "seed", json_integer(r->job->seed));
    return s;
}

static void add_item(struct reading *r, const json_t *line, json_int_t item, json_int_t sample,
                     json_t *reference, const json_t *prompt)
{
    /* of a grader's own fault, as grade_flags_blame_grader says: the folder has names of flags */
    static const char *const not_its_own[] = {"sample_parse_error", "truncated_observation_error",
                                              "unresponsive_reward_error", "invalid_variable_error",
                                              "model_grader_refusal_error"};
    const json_t *errors = json_object_get(line, "errors");
    const struct str name =
        str_of(arena_printf(r->a, "%s %lld %lld", r->run_id, (long long)item, (long long)sample));
    bool errored = false, passed;

    for (size_t i = 0; i < json_array_size(errors); i++) {
        bool own = true;

        for (size_t k = 0; k < sizeof not_its_own / sizeof *not_its_own; k++)
            own = own && !str_is(json_str(json_array_get(errors, i)), not_its_own[k]);
        errored = errored || own;
    }
    json_t *results = results_of(r, line, errored, &passed);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:o, s:o, s:o}", "object", EVAL_ITEM_KIND,
                  "id", store_id_of("outputitem_", name, r->a), "run_id", r->run_id, "eval_id",
                  r->eval_id, "created_at", (json_int_t)r->created_at, "status",
                  passed ? "pass" : "fail", "datasource_item_id", item, "datasource_item",
                  reference != NULL ? json_incref(reference) : json_object(), "results", results,
                  "sample", sample_of(r, line, prompt));
    json_t *usage = json_array();
    eval_usage(usage, r->model, 1, 0, (json_int_t)json_array_size(json_object_get(line, "tokens")),
               0);
    eval_tally_add(&r->tally, o, errored, usage);
    json_decref(usage);
    if (r->items != NULL)
        json_array_append(r->items, o);
    json_decref(o);
}

/* A line stands for all samples of its group that are the same. */
static bool take_line(void *ctx, const json_t *line)
{
    struct reading *r = ctx;
    const json_int_t item = json_integer_value(json_object_get(line, "item"));
    const json_t *samples = json_object_get(line, "samples");
    char key[32];

    snprintf(key, sizeof key, "%lld", (long long)item);
    json_t *reference = kept(r->references, line, "reference", key);
    const json_t *prompt = kept(r->prompts, line, "prompt", key);
    for (size_t i = 0; i < json_array_size(samples); i++)
        add_item(r, line, item, json_integer_value(json_array_get(samples, i)), reference, prompt);
    if (json_array_size(samples) == 0)
        add_item(r, line, item, json_integer_value(json_object_get(line, "sample")), reference,
                 prompt);
    return true;
}

/* ---- one step ---- */

static const char *dir_of(struct api *api, const struct job_row *j, struct arena *a)
{
    return file_join(a, file_join(a, api->opt.home, "runs"), j->run_dir);
}

static bool read_step(struct reading *r, const char *dir, size_t step, struct error *err)
{
    const char *path = arena_printf(r->a, "%s/rollouts/valid-%zu.jsonl", dir, step);
    struct stat st;
    size_t n_bad;

    r->run_id = run_id_of(r->job->id, step, r->a);
    r->created_at = stat(path, &st) == 0 ? (int64_t)st.st_mtime : r->job->created_at;
    r->model = step == 0 || r->job->fine_tuned_model == NULL
                   ? r->job->model
                   : arena_printf(r->a, "%s:ckpt-step-%zu", r->job->fine_tuned_model, step);
    r->references = json_object();
    r->prompts = json_object();
    const bool ok = run_read_rollouts(dir, step, true, take_line, r, &n_bad, err);
    json_decref(r->references);
    json_decref(r->prompts);
    return ok;
}

/* Whether all answers of the step are told: whatever comes behind it is there. */
static bool is_whole(const struct job_row *j, const char *dir, size_t step, struct arena *a)
{
    if (strcmp(j->status, "running") != 0)
        return true;
    return (int64_t)step < j->step || ((int64_t)step == j->step && step > 0) ||
           file_exists(arena_printf(a, "%s/rollouts/step-%zu.jsonl", dir, step + 1));
}

static json_t *run_json(const struct api_call *c, const struct reading *r, size_t step, bool whole)
{
    json_t *run =
        json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:o, s:n, s:n, s:o, s:b}", "object",
                  "eval.run", "id", r->run_id, "eval_id", r->eval_id, "name",
                  json_string(arena_printf(r->a, "Validation at step %zu of %s", step, r->job->id)),
                  "model", r->model, "status", whole ? "completed" : "in_progress", "created_at",
                  (json_int_t)r->created_at, "report_url",
                  json_string(arena_printf(r->a, "%s/evals/%s/runs/%s", api_base_url(c), r->eval_id,
                                           r->run_id)),
                  "metadata", "error", "data_source",
                  json_pack("{s:s, s:{s:s, s:s?}}", "type", "jsonl", "source", "type", "file_id",
                            "id", r->job->validation_file),
                  "shared_with_openai", 0);

    eval_tally_put(&r->tally, run);
    return run;
}

static bool get_job(struct api *api, const struct document *d, struct arena *a, struct job_row *out,
                    struct error *err)
{
    return jobs_get(api->opt.store, d->project_id, str_of(d->parent), a, out, err);
}

bool eval_of_job_runs(struct api_call *c, const struct document *d, const json_t *eval,
                      struct arena *a, json_t **out, struct error *err)
{
    struct api *api = c->api;
    struct job_row j;
    size_t *steps, n;

    if (!get_job(api, d, a, &j, err) ||
        !run_list_rollouts(dir_of(api, &j, a), true, a, &steps, &n, err))
        return false;
    const char *dir = dir_of(api, &j, a);
    json_t *list = json_array();
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        struct reading r = {.job = &j,
                            .criteria = json_object_get(eval, "testing_criteria"),
                            .eval_id = d->id,
                            .a = a};

        r.tally.criteria = r.criteria;
        ok = read_step(&r, dir, steps[i], err);
        if (ok)
            json_array_append_new(list, run_json(c, &r, steps[i], is_whole(&j, dir, steps[i], a)));
        eval_tally_release(&r.tally);
    }
    if (ok)
        *out = list;
    else
        json_decref(list);
    return ok;
}

bool eval_of_job_items(struct api *api, const struct document *d, const json_t *eval,
                       struct str run_id, struct arena *a, json_t **out, struct error *err)
{
    struct job_row j;
    size_t *steps, n, i = 0;

    if (!get_job(api, d, a, &j, err) ||
        !run_list_rollouts(dir_of(api, &j, a), true, a, &steps, &n, err))
        return false;
    while (i < n && !str_is(run_id, run_id_of(j.id, steps[i], a)))
        i++;
    if (i == n)
        return fail(err, ERR_NOT_FOUND, "there is no run of this id");
    struct reading r = {.job = &j,
                        .criteria = json_object_get(eval, "testing_criteria"),
                        .eval_id = d->id,
                        .items = json_array(),
                        .a = a};
    r.tally.criteria = r.criteria;
    const bool ok = read_step(&r, dir_of(api, &j, a), steps[i], err);
    eval_tally_release(&r.tally);
    if (ok)
        *out = r.items;
    else
        json_decref(r.items);
    return ok;
}
