/*
 * grade_response.c - a result becomes the body of graders/run's response.
 */
#include "base/size.h"
#include "grade/grader_internal.h"

#include <stdlib.h>

static const struct {
    const char *key;
    unsigned flag;
    const char *details_key; /* the member with why, or NULL */
} flags[] = {
    /* [bit of enum grade_flag] */
    {"formula_parse_error", GRADE_FORMULA_PARSE_ERROR, NULL},
    {"sample_parse_error", GRADE_SAMPLE_PARSE_ERROR, NULL},
    {"truncated_observation_error", GRADE_TRUNCATED_OBSERVATION_ERROR, NULL},
    {"unresponsive_reward_error", GRADE_UNRESPONSIVE_REWARD_ERROR, NULL},
    {"invalid_variable_error", GRADE_INVALID_VARIABLE_ERROR, NULL},
    {"other_error", GRADE_OTHER_ERROR, NULL},
    {"python_grader_server_error", GRADE_PYTHON_SERVER_ERROR, "python_grader_server_error_type"},
    {"python_grader_runtime_error", GRADE_PYTHON_RUNTIME_ERROR,
     "python_grader_runtime_error_details"},
    {"model_grader_server_error", GRADE_MODEL_SERVER_ERROR, "model_grader_server_error_details"},
    {"model_grader_refusal_error", GRADE_MODEL_REFUSAL_ERROR, NULL},
    {"model_grader_parse_error", GRADE_MODEL_PARSE_ERROR, NULL},
};

const char *grade_flag_name(size_t i)
{
    return i < COUNT_OF(flags) ? flags[i].key : NULL;
}

static json_t *text_or_null(bool present, const char *text)
{
    struct arena a = {0};
    const struct str valid =
        grade_utf8(&a, str_of(text)); /* it may have been cut inside a character */
    json_t *out = present ? json_stringn(valid.ptr, valid.len) : json_null();

    arena_release(&a);
    return out;
}

static json_t *errors_of(const struct grade_result *r)
{
    json_t *errors = json_object();

    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        const bool set = (r->flags & flags[i].flag) != 0;

        json_object_set_new(errors, flags[i].key, json_boolean(set));
        if (flags[i].details_key != NULL)
            json_object_set_new(errors, flags[i].details_key, text_or_null(set, r->details));
    }
    return errors;
}

/* {"prompt_tokens":..., ...}, more added to what sum has. */
static void add_usage(json_t *sum, struct grade_usage u)
{
    const struct {
        const char *key;
        json_int_t n;
    } rows[] = {
        {"prompt_tokens", u.prompt},
        {"completion_tokens", u.completion},
        {"total_tokens", (json_int_t)u.prompt + u.completion},
        {"cached_tokens", u.cached},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        json_object_set_new(
            sum, rows[i].key,
            json_integer(json_integer_value(json_object_get(sum, rows[i].key)) + rows[i].n));
}

/* What was spent, by who replied; shadows have spent, too. *total is null where nobody was asked. */
static json_t *usage_of(const struct grade_result *r, json_t **total)
{
    json_t *by_model = json_object(), *sum = json_object();

    for (size_t i = 0; i < r->n_parts; i++) {
        const char *model = r->part_model[i];

        if (model == NULL)
            continue;
        if (json_object_get(by_model, model) == NULL)
            json_object_set_new(by_model, model, json_object());
        add_usage(json_object_get(by_model, model), r->part_usage[i]);
        add_usage(sum, r->part_usage[i]);
    }
    *total = json_object_size(sum) > 0 ? sum : json_null();
    if (json_is_null(*total))
        json_decref(sum);
    return by_model;
}

json_t *grade_response(const struct grader *g, const struct grade_result *r)
{
    const json_t *name = json_object_get(g->spec, "name");
    const char *type = g->is_multi ? "multi" : g->parts[0].type->name;
    json_t *sub_rewards = json_object();
    json_t *metadata, *response, *total;
    json_t *by_model = usage_of(r, &total);

    for (size_t i = 0; g->is_multi && i < g->n_rewarded; i++)
        json_object_set_new(sub_rewards, g->parts[i].name, json_real(r->part[i]));
    metadata = json_pack("{s:s, s:s, s:f, s:{}, s:o, s:o, s:o}", "name",
                         json_is_string(name) ? json_string_value(name) : type, "type", type,
                         "execution_time", r->seconds, "scores", "sampled_model_name",
                         text_or_null(r->model[0] != '\0', r->model), "token_usage", total,
                         "errors", errors_of(r));
    response =
        json_pack("{s:f, s:o, s:o, s:o}", "reward", r->reward, "metadata", metadata, "sub_rewards",
                  sub_rewards, "model_grader_token_usage_per_model", by_model);
    if (response == NULL)
        abort(); /* a few hundred bytes cannot be had, or a name is not UTF-8, which json_parse refuses */
    return response;
}
