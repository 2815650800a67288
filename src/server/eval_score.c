/*
 * eval_score.c - thresholds, results, counts.
 */
#include "server/eval_score.h"
#include "grade/template.h"

#include <math.h>

double eval_threshold(const json_t *criterion)
{
    const json_t *threshold = json_object_get(criterion, "pass_threshold"),
                 *range = json_object_get(criterion, "range");

    if (json_is_number(threshold))
        return json_number_value(threshold);
    if (str_is(json_str(json_object_get(criterion, "type")), "score_model") &&
        json_array_size(range) == 2)
        return fmax(json_number_value(json_array_get(range, 0)),
                    json_number_value(json_array_get(range, 1)));
    return 1;
}

static void put_failure(json_t *o, const struct grade_result *r)
{
    json_t *flags = json_array();
    struct arena a = {0};

    for (size_t i = 0; grade_flag_name(i) != NULL; i++)
        if ((r->flags & (1u << i)) != 0)
            json_array_append_new(flags, json_string(grade_flag_name(i)));
    json_object_set_new(o, "errors", flags);
    const struct str details = grade_utf8(&a, str_of(r->details)); /* it may be cut */
    json_object_set_new(o, "details", json_stringn(details.ptr, details.len));
    arena_release(&a);
}

/* What a judge said is not kept by graders; what it cost is. */
static json_t *sample_of(const struct grade_result *r)
{
    if (r == NULL || r->n_parts == 0 || r->part_model[0] == NULL)
        return json_null();
    const struct grade_usage u = r->part_usage[0];
    return json_pack(
        "{s:s, s:{s:I, s:I, s:I, s:I}}", "model", r->part_model[0], "usage", "prompt_tokens",
        (json_int_t)u.prompt, "completion_tokens", (json_int_t)u.completion, "total_tokens",
        (json_int_t)u.prompt + (json_int_t)u.completion, "cached_tokens", (json_int_t)u.cached);
}

json_t *eval_result(const json_t *criterion, double score, const struct grade_result *result)
{
    const bool failed = result != NULL && result->flags != 0;
    json_t *o = json_pack(
        "{s:O?, s:O?, s:O?, s:f, s:b, s:o}", "name", json_object_get(criterion, "name"), "type",
        json_object_get(criterion, "type"), "id", json_object_get(criterion, "id"), "score", score,
        "passed", !failed && score >= eval_threshold(criterion), "sample", sample_of(result));

    if (failed)
        put_failure(o, result);
    return o;
}

/* ---- counts ---- */

void eval_usage(json_t *list, const char *model, json_int_t calls, json_int_t prompt,
                json_int_t completion, json_int_t cached)
{
    const json_int_t more[] = {calls, prompt, completion, prompt + completion, cached};
    static const char *const keys[] = {"invocation_count", "prompt_tokens", "completion_tokens",
                                       "total_tokens", "cached_tokens"};
    json_t *one = NULL, *x;
    size_t i;

    json_array_foreach(list, i, x) if (str_is(json_str(json_object_get(x, "model_name")), model))
        one = x;
    if (one == NULL) {
        one = json_pack("{s:s}", "model_name", model);
        json_array_append_new(list, one);
    }
    for (i = 0; i < sizeof keys / sizeof *keys; i++)
        json_object_set_new(
            one, keys[i],
            json_integer(json_integer_value(json_object_get(one, keys[i])) + more[i]));
}

static json_int_t count_in(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static void add_usage(struct eval_tally *t, const json_t *usage)
{
    const json_t *x;
    size_t i;

    if (t->usage == NULL)
        t->usage = json_array();
    json_array_foreach(usage, i, x)
    {
        const char *model = json_string_value(json_object_get(x, "model_name"));

        if (model == NULL)
            continue;
        eval_usage(t->usage, model, count_in(x, "invocation_count"), count_in(x, "prompt_tokens"),
                   count_in(x, "completion_tokens"), count_in(x, "cached_tokens"));
    }
}

void eval_tally_add(struct eval_tally *t, const json_t *item, bool errored, const json_t *usage)
{
    const json_t *results = json_object_get(item, "results");

    t->total++;
    if (errored)
        t->errored++;
    else if (str_is(json_str(json_object_get(item, "status")), "pass"))
        t->passed++;
    else
        t->failed++;
    for (size_t i = 0; i < json_array_size(results) && i < EVAL_MAX_CRITERIA; i++) {
        if (json_is_true(json_object_get(json_array_get(results, i), "passed")))
            t->criterion_passed[i]++;
        else
            t->criterion_failed[i]++;
    }
    add_usage(t, usage);
}

void eval_tally_release(struct eval_tally *t)
{
    json_decref(t->usage);
    t->usage = NULL;
}

void eval_tally_put(const struct eval_tally *t, json_t *run)
{
    json_t *per = json_array();

    for (size_t i = 0; i < json_array_size(t->criteria) && i < EVAL_MAX_CRITERIA; i++)
        json_array_append_new(per, json_pack("{s:O?, s:I, s:I}", "testing_criteria",
                                             json_object_get(json_array_get(t->criteria, i), "id"),
                                             "passed", (json_int_t)t->criterion_passed[i], "failed",
                                             (json_int_t)t->criterion_failed[i]));
    json_object_set_new(run, "per_testing_criteria_results", per);
    json_object_set_new(run, "per_model_usage",
                        t->usage != NULL ? json_deep_copy(t->usage) : json_array());
    json_object_set_new(run, "result_counts",
                        json_pack("{s:I, s:I, s:I, s:I}", "total", (json_int_t)t->total, "passed",
                                  (json_int_t)t->passed, "failed", (json_int_t)t->failed, "errored",
                                  (json_int_t)t->errored));
}
