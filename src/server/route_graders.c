/*
 * route_graders.c - a grader is checked, and tried on one answer. Both may start Python or ask a model, and so take their time in
 * the grading pool.
 */
#include "base/size.h"
#include "grade/grader.h"
#include "server/api_internal.h"
#include "server/job_request.h"
#include "server/routes.h"

#include <stdlib.h>

#define CHECK_TIMEOUT_S 20.0 /* for Python to load a grader */
#define RUN_TIMEOUT_S 120.0  /* for one call of a Python grader */
#define MAX_SAMPLE_BYTES ((size_t)4 << 20)

static bool open_grader(struct api_call *c, double timeout_s, struct grader **out,
                        struct error *err)
{
    const json_t *spec = json_object_get(c->body, "grader");

    if (!api_need_body(c, err))
        return false;
    if (spec == NULL)
        return fail_code(err, ERR_INVALID, "missing_required_parameter", "grader",
                         "\"grader\" is missing");
    if (!json_is_object(spec))
        return fail_code(err, ERR_INVALID, "invalid_type", "grader",
                         "\"grader\" is %s, an object was expected", json_kind(spec));
    return (c->opt->request_addresses || job_grader_stays_here(spec, "grader", err)) &&
           api_open_grader(c, spec, NULL, timeout_s, "grader", out, err);
}

static bool do_validate(struct api_call *c, struct error *err)
{
    struct grader *g;

    if (!open_grader(c, CHECK_TIMEOUT_S, &g, err))
        return false;
    json_t *spec = json_deep_copy(grader_spec(g));
    grader_close(g);
    return api_reply(c, 200, json_pack("{s:o}", "grader", spec));
}

static bool validate(struct api_call *c, struct error *err)
{
    return api_later(c, do_validate, err);
}

static bool read_item(struct api_call *c, json_t **out, struct error *err)
{
    json_t *item = json_object_get(c->body, "item");

    if (item == NULL || json_is_null(item)) {
        *out = json_object();
        return true;
    }
    if (!json_is_object(item))
        return fail_code(err, ERR_INVALID, "invalid_type", "item",
                         "\"item\" is %s, an object was expected", json_kind(item));
    *out = json_incref(item);
    return true;
}

static bool read_sample(struct api_call *c, struct str *out, struct error *err)
{
    const json_t *v = json_object_get(c->body, "model_sample");

    if (v == NULL)
        return fail_code(err, ERR_INVALID, "missing_required_parameter", "model_sample",
                         "\"model_sample\" is missing: the answer to grade, a text");
    if (!json_is_string(v))
        return fail_code(err, ERR_INVALID, "invalid_type", "model_sample",
                         "\"model_sample\" is %s, a text was expected", json_kind(v));
    *out = json_str(v);
    return out->len <= MAX_SAMPLE_BYTES ||
           fail_param(err, ERR_LIMIT, "model_sample",
                      "\"model_sample\" has %zu bytes, %zu are possible", out->len,
                      MAX_SAMPLE_BYTES);
}

static bool do_run(struct api_call *c, struct error *err)
{
    struct grade_sample sample = {0};
    struct grade_result result = {0};
    struct grader *g = NULL;
    struct error no_json;
    json_t *item = NULL, *parsed = NULL;

    if (!read_sample(c, &sample.output_text, err) || !read_item(c, &item, err) ||
        !open_grader(c, RUN_TIMEOUT_S, &g, err)) {
        json_decref(item);
        return false;
    }
    if (json_parse(sample.output_text, "model_sample", &parsed, &no_json))
        sample.output_json = parsed;
    grader_run(g, item, &sample, &result);
    /* what a grader that gave up says is nothing about the answer */
    const bool interrupted = atomic_load(&c->gone) && grade_grader_failed(&result);
    json_t *body = interrupted ? NULL : grade_response(g, &result);
    grader_close(g);
    json_decref(parsed);
    json_decref(item);
    return interrupted ? api_fail_stopping(err) : api_reply(c, 200, body);
}

static bool run(struct api_call *c, struct error *err)
{
    return api_need_body(c, err) && api_later(c, do_run, err);
}

#define GRADERS "/v1/fine_tuning/alpha/graders"
static const struct api_route routes[] = {
    {HTTP_POST, GRADERS "/validate", SCOPE_TRAIN, HTTP_BODY_MEMORY, validate, NULL, 0},
    {HTTP_POST, GRADERS "/run", SCOPE_TRAIN, HTTP_BODY_MEMORY, run, NULL, 0},
};
const struct api_table graders_routes = {routes, COUNT_OF(routes)};
