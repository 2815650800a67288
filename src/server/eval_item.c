/*
 * eval_item.c - the engine is asked, then the graders, in one thread.
 */
#include "server/eval_item.h"
#include "base/clock.h"
#include "base/size.h"
#include "server/api_error.h"
#include "server/api_internal.h"
#include "server/eval_messages.h"

#define LONGEST_SECONDS 3600.0 /* of one row's answer */
#define TRY_AGAIN_SECONDS 0.5  /* where too much is asked of the engine */

char *eval_item_id(const char *run_id, size_t row, struct arena *a)
{
    return store_id_of("outputitem_", str_of(arena_printf(a, "%s %zu", run_id, row)), a);
}

json_t *eval_sample(const char *model, json_t *input, json_t *output, const char *finish_reason)
{
    return json_pack("{s:o, s:o, s:s, s:s, s:{s:i, s:i, s:i, s:i}, s:n, s:f, s:n, s:f, s:n}",
                     "input", input, "output", output, "finish_reason", finish_reason, "model",
                     model, "usage", "total_tokens", 0, "completion_tokens", 0, "prompt_tokens", 0,
                     "cached_tokens", 0, "error", "temperature", 1.0, "max_completion_tokens",
                     "top_p", 1.0, "seed");
}

json_t *eval_error(const struct error *err)
{
    json_t *body = api_error_body(err);
    const json_t *e = json_object_get(body, "error");
    json_t *out = json_pack("{s:O, s:O}", "code", json_object_get(e, "code"), "message",
                            json_object_get(e, "message"));

    json_decref(body);
    return out;
}

/* Also where the server stops and the run has not heard of it yet: what graders ask is given up already. */
static bool is_stopped(const struct eval_work *w)
{
    return atomic_load(w->stop) || atomic_load(&w->api->stopping);
}

/* What a row's answer is, for the graders and for the item. */
struct sampled {
    json_t *shown;           /* "sample" of the item */
    struct str text;         /* views of answer or of the row */
    const json_t *tools;     /* or NULL */
    json_t *parsed, *answer; /* owned, or NULL */
    bool truncated, failed;
    json_t *usage;
};

static void sampled_release(struct sampled *s)
{
    json_decref(s->shown);
    json_decref(s->parsed);
    json_decref(s->answer);
    json_decref(s->usage);
}

/* ---- a sample that the row brings along ---- */

static void read_given(const json_t *given, struct sampled *s)
{
    const json_t *message =
        json_object_get(json_array_get(json_object_get(given, "choices"), 0), "message");
    const json_t *text = json_object_get(given, "output_text"),
                 *json = json_object_get(given, "output_json");

    s->text = json_str(text != NULL ? text : json_object_get(message, "content"));
    s->tools = json_object_get(given, "output_tools");
    if (!json_is_array(s->tools))
        s->tools = json_object_get(message, "tool_calls");
    if (!json_is_array(s->tools))
        s->tools = NULL;
    if (json != NULL && !json_is_null(json))
        s->parsed = json_deep_copy(json);
    json_t *output = given == NULL ? json_array()
                                   : json_pack("[{s:s, s:s%}]", "role", "assistant", "content",
                                               s->text.ptr != NULL ? s->text.ptr : "", s->text.len);
    s->shown = eval_sample("", json_array(), output, "stop");
}

/* ---- a sample that is asked for ---- */

static json_int_t count_in(const json_t *usage, const char *key)
{
    return json_integer_value(json_object_get(usage, key));
}

static void show_params(const struct eval_source *src, size_t row, json_t *shown)
{
    static const char *const same[] = {"temperature", "top_p", "max_completion_tokens"};

    for (size_t i = 0; i < COUNT_OF(same); i++)
        if (json_is_number(json_object_get(src->params, same[i])))
            json_object_set(shown, same[i], json_object_get(src->params, same[i]));
    json_object_set_new(shown, "seed", json_integer((json_int_t)eval_seed(src->seed, row)));
}

static void take_answer(const struct eval_source *src, struct sampled *s)
{
    const json_t *choice = json_array_get(json_object_get(s->answer, "choices"), 0),
                 *message = json_object_get(choice, "message"),
                 *usage = json_object_get(s->answer, "usage");
    json_t *content = json_object_get(message, "content"), *said;
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    const json_int_t prompt = count_in(usage, "prompt_tokens"),
                     completion = count_in(usage, "completion_tokens"),
                     cached =
                         count_in(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");

    s->text = json_str(content);
    s->truncated = finish != NULL && strcmp(finish, "length") == 0;
    s->tools = json_object_get(message, "tool_calls");
    if (!json_is_array(s->tools))
        s->tools = NULL;
    said = json_pack("{s:s, s:O?}", "role", "assistant", "content", content);
    if (s->tools != NULL)
        json_object_set(said, "tool_calls", (json_t *)(uintptr_t)s->tools);
    json_array_append_new(json_object_get(s->shown, "output"), said);
    json_object_set_new(s->shown, "finish_reason", json_string(finish != NULL ? finish : "stop"));
    json_object_set_new(s->shown, "usage",
                        json_pack("{s:I, s:I, s:I, s:I}", "total_tokens", prompt + completion,
                                  "completion_tokens", completion, "prompt_tokens", prompt,
                                  "cached_tokens", cached));
    eval_usage(s->usage, src->model.name, 1, prompt, completion, cached);
}

static bool ask(const struct eval_work *w, const json_t *body, json_t **out, struct error *err)
{
    while (!engine_client_answer_unless(w->api->opt.engine, ENGINE_CHAT, &w->source->model, body,
                                        clock_seconds() + LONGEST_SECONDS, w->stop, out, err)) {
        if (err->kind != ERR_LIMIT || err->param[0] != '\0')
            return false;
        *err = (struct error){0}; /* too much is asked at the moment */
        if (!clock_sleep_unless(w->stop, clock_seconds() + TRY_AGAIN_SECONDS))
            return fail(err, ERR_CANCELLED, "the question was taken back");
    }
    return true;
}

/* False: stopped. */
static bool sample(const struct eval_work *w, size_t row, struct arena *a, struct sampled *s,
                   struct error *err)
{
    json_t *body = NULL;
    bool ok = eval_source_chat(w->source, row, a, &body, err);

    s->shown =
        eval_sample(w->source->model.name, eval_messages_shown(json_object_get(body, "messages")),
                    json_array(), "error");
    show_params(w->source, row, s->shown);
    ok = ok && ask(w, body, &s->answer, err);
    json_decref(body);
    if (ok) {
        take_answer(w->source, s);
        return true;
    }
    if (err->kind == ERR_CANCELLED)
        return false;
    s->failed = true;
    json_object_set_new(
        s->shown, "error",
        json_pack("{s:s, s:s}", "code", api_error_code(err), "message", err->message));
    return true;
}

/* ---- graded ---- */

static void grade(const struct eval_work *w, size_t row, const struct sampled *s, json_t *results,
                  bool *passed, bool *errored)
{
    const struct grade_sample g = {.output_text = s->text,
                                   .output_json = s->parsed,
                                   .output_tools = s->tools,
                                   .truncated = s->truncated && s->text.len == 0};

    for (size_t i = 0; i < json_array_size(w->criteria) && !is_stopped(w); i++) {
        struct grade_result r = {0};

        grader_run(w->grader[i], w->source->rows[row].item, &g, &r);
        json_t *result = eval_result(json_array_get(w->criteria, i), r.reward, &r);
        *passed = *passed && json_is_true(json_object_get(result, "passed"));
        *errored = *errored || grade_grader_failed(&r);
        if (r.n_parts > 0 && r.part_model[0] != NULL)
            eval_usage(s->usage, r.part_model[0], 1, r.part_usage[0].prompt,
                       r.part_usage[0].completion, r.part_usage[0].cached);
        json_array_append_new(results, result);
    }
}

static bool make(const struct eval_work *w, size_t row, struct arena *a, struct sampled *s,
                 json_t **out, struct error *err)
{
    const struct eval_row *r = &w->source->rows[row];
    json_t *results = json_array();
    bool passed = true, errored = false;
    struct error no_json;

    s->usage = json_array();
    if (!w->source->asks)
        read_given(r->sample, s);
    else if (!sample(w, row, a, s, err)) {
        json_decref(results);
        return false;
    }
    if (s->failed) {
        passed = false;
        errored = true;
    } else {
        if (s->parsed == NULL && s->text.len > 0 &&
            !json_parse(s->text, "the answer", &s->parsed, &no_json))
            s->parsed = NULL;
        grade(w, row, s, results, &passed, &errored);
    }
    if (is_stopped(w)) {
        json_decref(results);
        return fail(err, ERR_CANCELLED, "the run was stopped");
    }
    json_t *item =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:O, s:o, s:O}", "object", EVAL_ITEM_KIND,
                  "id", eval_item_id(w->run_id, row, a), "run_id", w->run_id, "eval_id", w->eval_id,
                  "created_at", (json_int_t)w->created_at, "status",
                  passed && !errored ? "pass" : "fail", "datasource_item_id", (json_int_t)row,
                  "datasource_item", r->item, "results", results, "sample", s->shown);
    *out = json_pack("{s:o, s:b, s:O}", "item", item, "errored", errored, "usage", s->usage);
    return true;
}

bool eval_item_make(const struct eval_work *w, size_t row, json_t **out, struct error *err)
{
    struct arena a = {0};
    struct sampled s = {0};
    const bool ok = make(w, row, &a, &s, out, err);

    sampled_release(&s);
    arena_release(&a);
    return ok;
}
