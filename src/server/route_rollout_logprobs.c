/*
 * route_rollout_logprobs.c - how likely each token of a run's answer is to another model: the base, a checkpoint.
 */
#include "base/file.h"
#include "base/size.h"
#include "job/run_series.h"
#include "server/api_internal.h"
#include "server/generation.h"
#include "server/rollout_reading.h"
#include "server/routes.h"

#include <stdlib.h>
#include <sys/stat.h>

/* The engine's request: {"prompt","tokens","temperature"}, and beside it what was injected. */
static bool score_request(struct rollout_reading *r, json_t **out, struct error *err)
{
    struct rollout_ref ref;
    json_t *one = NULL;
    double temperature;

    if (!rollout_reading_find(r, &ref, err) || !rollout_index_read(r->ix, ref, &r->line, err) ||
        !run_temperature(r->run.dir, rollout_index_entry(r->ix, ref)->is.step, r->c->arena,
                         &temperature, err) ||
        !rollout_reading_json(r, ref, true, &one, err))
        return false;
    json_t *prompt = json_object_get(one, "prompt"), *tokens = json_object_get(one, "tokens");
    const bool ok = (json_is_string(prompt) && json_array_size(tokens) > 0 &&
                     !json_is_true(json_object_get(one, "cut"))) ||
                    fail(err, ERR_UNSUPPORTED,
                         "the tokens of this rollout were not kept: it was too long, or has none");
    if (ok)
        *out = json_pack("{s:O, s:O, s:f, s:O?}", "prompt", prompt, "tokens", tokens, "temperature",
                         temperature, "injected", json_object_get(one, "injected"));
    json_decref(one);
    return ok;
}

/* "step-12" of the job's own run, which need not be one that the API lists. */
static bool own_checkpoint(struct api_call *c, const struct job_run *run, struct str name,
                           struct engine_model *m)
{
    const struct str number = str_starts(name, STR("step-")) ? str_from(name, 5) : STR("");

    if (number.len == 0 || number.len > 9)
        return false;
    for (size_t i = 0; i < number.len; i++)
        if (number.ptr[i] < '0' || number.ptr[i] > '9')
            return false;
    m->adapter = file_join(c->arena, file_join(c->arena, run->dir, "checkpoints"),
                           arena_text(c->arena, name));
    return file_is_dir(m->adapter);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool find_model(struct api_call *c, const struct job_run *run, struct engine_model *out,
                       struct error *err)
{
    const struct str name = http_query(c->x, "model");
    struct engine_model base, m;

    if (!api_model(c, str_of(run->job.model), &base, err))
        return false;
    m = base;
    if (name.len == 0 || str_is(name, "base"))
        m.name = "base";
    else if (own_checkpoint(c, run, name, &m))
        m.name = arena_text(c->arena, name);
    else if (!api_model(c, name, &m, err))
        return false;
    if (!same_file(m.path, base.path))
        return fail_param(err, ERR_INVALID, "model",
                          "the model \"%s\" is another one than this job's, whose tokens it may "
                          "not know: name \"base\" or a checkpoint of it",
                          m.name);
    m.path = base.path; /* the same, be it by another name */
    m.run = run->dir;   /* the arithmetic that the answer was drawn in */
    *out = m;
    return true;
}

struct scoring {
    char *id, *model;
    double temperature;
    json_t *injected; /* or NULL */
};

static void scoring_release(void *ctx)
{
    struct scoring *x = ctx;

    free(x->id);
    free(x->model);
    json_decref(x->injected);
    free(x);
}

/* Tokens that the model did not draw have none. */
static json_t *logprobs_json(const json_t *event, const json_t *injected)
{
    json_t *list = json_deep_copy(json_object_get(event, "logprobs")), *span;
    size_t i;

    json_array_foreach(injected, i, span)
    {
        const json_int_t from = json_integer_value(json_array_get(span, 0)),
                         n = json_integer_value(json_array_get(span, 1));

        for (json_int_t k = from; k >= 0 && k < from + n && (size_t)k < json_array_size(list); k++)
            json_array_set_new(list, (size_t)k, json_null());
    }
    return list;
}

static void on_scores(struct generation *g, const json_t *event)
{
    struct scoring *x = generation_ctx(g);
    const struct str type = json_str(json_object_get(event, "type"));
    struct error err = {0};

    if (str_is(type, "result")) {
        api_reply(generation_call(g), 200,
                  json_pack("{s:s, s:s, s:s, s:f, s:o}", "object",
                            "fine_tuning.job.rollout.logprobs", "id", x->id, "model", x->model,
                            "temperature", x->temperature, "logprobs",
                            logprobs_json(event, x->injected)));
        scoring_release(x);
    } else if (str_is(type, "error")) {
        generation_error(event, &err);
        api_reply_error(generation_call(g), &err);
        scoring_release(x);
    }
}

static bool logprobs(struct api_call *c, struct error *err)
{
    struct generation_options opt = {
        .op = ENGINE_SCORE, .on_event = on_scores, .release = scoring_release};
    struct job_run run;
    json_t *body = NULL;

    if (!job_run_get(c, &run, err) || !find_model(c, &run, &opt.model, err) ||
        !rollout_reading_run(c, score_request, &body, err))
        return false;
    struct scoring *x = calloc(1, sizeof *x);
    if (x == NULL)
        abort(); /* a few bytes */
    x->id = strdup(arena_text(c->arena, c->id[1]));
    x->model = strdup(opt.model.name);
    x->temperature = json_number_value(json_object_get(body, "temperature"));
    x->injected = json_incref(json_object_get(body, "injected"));
    json_object_del(body, "injected");
    opt.ctx = x;
    opt.body = body;
    const bool ok = generation_start(c, &opt, err);
    json_decref(body);
    if (!ok)
        scoring_release(x);
    return ok;
}

static const struct api_route routes[] = {
    {HTTP_GET, "/v1/fine_tuning/jobs/{}/rollouts/{}/logprobs", SCOPE_TRAIN, HTTP_BODY_NONE,
     logprobs, NULL, 0},
};
const struct api_table rollout_logprobs_routes = {routes, COUNT_OF(routes)};
