/*
 * feedback.c - a stored answer and what was said of it, and rows made of both.
 */
#include "server/feedback.h"
#include "base/clock.h"
#include "base/size.h"
#include "server/api.h"
#include "server/response_call.h"
#include "server/response_input.h"

#include <inttypes.h>
#include <stdlib.h>

bool feedback_format(struct str name, enum dataset_format *out)
{
    static const struct {
        const char *name;
        enum dataset_format format;
    } known[] = {{"supervised", DATASET_SUPERVISED},
                 {"dpo", DATASET_PREFERENCE},
                 {"preference", DATASET_PREFERENCE},
                 {"rft", DATASET_PROMPTS},
                 {"reinforcement", DATASET_PROMPTS}};

    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_is(name, known[i].name)) {
            *out = known[i].format;
            return true;
        }
    return false;
}

/* ---- the answer ---- */

/* What is learned of a message, thoughts apart. */
static json_t *plain_message(const json_t *m)
{
    json_t *o = json_pack("{s:s}", "role", "assistant"), *content = json_object_get(m, "content");
    json_t *calls = json_object_get(m, "tool_calls");

    json_object_set(o, "content", content != NULL ? content : json_null());
    if (json_array_size(calls) > 0)
        json_object_set(o, "tool_calls", calls);
    return o;
}

static bool no_answer(struct error *err)
{
    return fail_param(err, ERR_NOT_FOUND, "object_id",
                      "there is no stored answer of this id in this project: feedback is on a chat "
                      "completion or response that was asked for with \"store\": true");
}

struct answer {
    json_t *prompt, *tools, *message; /* tools may be NULL */
    const char *model;
    bool expires;
};

static void release(struct answer *x)
{
    json_decref(x->prompt);
    json_decref(x->tools);
    json_decref(x->message);
}

static bool of_chat(const json_t *body, int64_t choice, struct answer *out, struct error *err)
{
    const json_t *request = json_object_get(body, "request");
    const json_t *choices = json_object_get(json_object_get(body, "response"), "choices");
    const json_t *message = json_object_get(json_array_get(choices, (size_t)choice), "message");

    if (message == NULL)
        return fail_param(err, ERR_INVALID, "choice", "the completion has %zu choices, from 0 on",
                          json_array_size(choices));
    out->prompt = json_incref(json_object_get(request, "messages"));
    out->tools = json_incref(json_object_get(request, "tools"));
    out->message = plain_message(message);
    return true;
}

static bool of_response(struct store *s, const char *project_id, const json_t *body,
                        struct arena *a, struct answer *out, struct error *err)
{
    json_t *chat, *said = json_array();

    response_messages(json_object_get(json_object_get(body, "response"), "output"), said);
    const json_t *last = json_array_get(said, json_array_size(said) - 1);
    bool ok = (json_array_size(said) > 0 && last != NULL) ||
              fail_param(err, ERR_INVALID, "object_id", "this response has no answer (yet)");
    ok = ok && response_conversation(s, project_id, body, a, &chat, err);
    if (ok) {
        out->prompt = json_incref(json_object_get(chat, "messages"));
        out->tools = json_incref(json_object_get(chat, "tools"));
        out->message = plain_message(last);
        json_decref(chat);
    }
    json_decref(said);
    return ok;
}

static const char *kind_of(struct str id)
{
    return store_id_is(id, "resp_") ? RESPONSE_KIND : "chat.completion";
}

static bool find_answer(struct store *s, const char *project_id, struct str id, int64_t choice,
                        struct arena *a, struct answer *out, struct error *err)
{
    const bool response = store_id_is(id, "resp_");
    struct document d;

    if (!response && !store_id_is(id, "chatcmpl-"))
        return no_answer(err);
    if (!documents_get(s, kind_of(id), project_id, id, a, &d, err))
        return err->kind == ERR_NOT_FOUND ? no_answer(err) : false;
    json_t *body = api_json_of(d.body);
    const bool ok =
        response ? of_response(s, project_id, body, a, out, err) : of_chat(body, choice, out, err);
    json_decref(body);
    out->model = d.model;
    out->expires = d.expires_at != 0;
    return ok;
}

/* ---- adding ---- */

/* A text of any characters but the zero byte. */
static bool text_in(const json_t *request, const char *key, size_t most, struct error *err)
{
    const json_t *v = json_object_get(request, key);

    if (v == NULL || json_is_null(v))
        return true;
    if (!json_is_string(v))
        return fail_code(err, ERR_INVALID, "invalid_type", key, "\"%s\" is %s, a text was expected",
                         key, json_kind(v));
    const struct str s = json_str(v);
    return (s.len > 0 && s.len <= most && memchr(s.ptr, '\0', s.len) == NULL) ||
           fail_param(err, ERR_INVALID, key,
                      "\"%s\" has %zu bytes or a zero byte, 1 to %zu are possible", key, s.len,
                      most);
}

static bool check(const json_t *request, struct arena *a, const char **rating, int64_t *choice,
                  struct error *err)
{
    if (!api_text(request, "rating", false, 8, a, rating, err) ||
        !text_in(request, "correction", FEEDBACK_TEXT_BYTES, err) ||
        !text_in(request, "comment", FEEDBACK_NOTE_BYTES, err) ||
        !json_get_int(request, "choice", "the request", 0, 0, 1000, choice, err))
        return false;
    if (*rating != NULL && strcmp(*rating, "up") != 0 && strcmp(*rating, "down") != 0)
        return fail_param(err, ERR_INVALID, "rating", "\"rating\" is neither \"up\" nor \"down\"");
    return *rating != NULL || json_is_string(json_object_get(request, "correction")) ||
           json_is_string(json_object_get(request, "comment")) ||
           fail_code(err, ERR_INVALID, "missing_required_parameter", "rating",
                     "feedback needs a rating, a correction or a comment");
}

static json_t *or_null(const json_t *of, const char *key)
{
    json_t *v = json_object_get(of, key);

    return v != NULL ? json_incref(v) : json_null();
}

static bool stay(void *ctx, const struct document *was, struct arena *a, struct document_change *to,
                 struct error *err)
{
    (void)ctx;
    (void)was;
    (void)a;
    (void)err;
    to->stays = true;
    return true;
}

bool feedback_add(struct store *s, const char *project_id, const json_t *request,
                  const struct label *labels, size_t n_labels, struct arena *a,
                  struct document *out, struct error *err)
{
    struct answer answer = {0};
    const char *rating, *id;
    int64_t choice;

    if (!api_text(request, "object_id", true, 128, a, &id, err) ||
        !check(request, a, &rating, &choice, err) ||
        !find_answer(s, project_id, str_of(id), choice, a, &answer, err))
        return false;
    json_t *body = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:O, s:o, s:O, s:o}", "object_id", id, "model", answer.model,
        "rating", api_or_null(rating), "correction", or_null(request, "correction"), "comment",
        or_null(request, "comment"), "prompt", answer.prompt, "tools",
        answer.tools != NULL ? json_incref(answer.tools) : json_null(), "answer", answer.message,
        "metadata", api_json_of_labels(labels, n_labels));
    struct document d = {.kind = FEEDBACK_KIND,
                         .id = store_new_id("feedback_", a),
                         .project_id = project_id,
                         .state = id,
                         .model = answer.model,
                         .body = api_text_of(body, a),
                         .created_at = clock_unix()};
    d.updated_at = d.created_at;
    json_decref(body);
    release(&answer);
    /* what somebody judged is not forgotten */
    if ((answer.expires &&
         !documents_change(s, kind_of(str_of(id)), project_id, str_of(id), stay, NULL, err)) ||
        !documents_add(s, &d, labels, n_labels, err))
        return false;
    *out = d;
    return true;
}

json_t *feedback_json(const struct document *d)
{
    json_t *body = api_json_of(d->body);
    json_t *o = json_pack("{s:s, s:s, s:I}", "id", d->id, "object", "feedback", "created_at",
                          (json_int_t)d->created_at);

    json_object_update(o, body);
    json_decref(body);
    return o;
}

/* ---- rows ---- */

static bool is_up(const json_t *body)
{
    return str_is(json_str(json_object_get(body, "rating")), "up");
}

/* The message that should have been the answer; NULL: nobody said. A new tree. */
static json_t *better(const json_t *body)
{
    json_t *correction = json_object_get(body, "correction");

    if (json_is_string(correction))
        return json_pack("{s:s, s:O}", "role", "assistant", "content", correction);
    return is_up(body) ? json_incref(json_object_get(body, "answer")) : NULL;
}

/* Of the conversation before nothing is learned, only of the answer. */
static json_t *supervised_row(const json_t *body)
{
    json_t *answer = better(body), *messages, *m;
    size_t i;

    if (answer == NULL)
        return NULL;
    messages = json_deep_copy(json_object_get(body, "prompt"));
    json_array_foreach(messages, i, m)
    {
        if (str_is(json_str(json_object_get(m, "role")), "assistant"))
            json_object_set_new(m, "weight", json_integer(0));
    }
    json_array_append_new(messages, answer);
    return json_pack("{s:o}", "messages", messages);
}

static json_t *preference_row(const json_t *body)
{
    const json_t *correction = json_object_get(body, "correction");
    json_t *answer = json_object_get(body, "answer");

    if (!json_is_string(correction) || json_equal(correction, json_object_get(answer, "content")))
        return NULL;
    return json_pack("{s:{s:O}, s:[o], s:[O]}", "input", "messages",
                     json_object_get(body, "prompt"), "preferred_output", better(body),
                     "non_preferred_output", answer);
}

static json_t *prompt_row(const json_t *body)
{
    json_t *answer = json_object_get(body, "answer"), *reference = better(body);
    json_t *text = json_object_get(reference, "content");
    json_t *row = json_pack(
        "{s:O, s:o, s:O, s:O, s:O, s:o}", "messages", json_object_get(body, "prompt"), "answer",
        or_null(answer, "content"), "rating", json_object_get(body, "rating"), "correction",
        json_object_get(body, "correction"), "comment", json_object_get(body, "comment"),
        "reference", json_is_string(text) ? json_incref(text) : json_null());

    json_decref(reference);
    return row;
}

json_t *feedback_row(const struct document *d, enum dataset_format format)
{
    json_t *body = api_json_of(d->body), *tools = json_object_get(body, "tools");
    json_t *row = format == DATASET_SUPERVISED   ? supervised_row(body)
                  : format == DATASET_PREFERENCE ? preference_row(body)
                                                 : prompt_row(body);
    struct error ignored;

    if (row != NULL && json_array_size(tools) > 0)
        json_object_set(format == DATASET_PREFERENCE ? json_object_get(row, "input") : row, "tools",
                        tools);
    json_decref(body);
    if (row != NULL && !dataset_takes(row, format, "the row", &ignored)) {
        json_decref(row);
        return NULL;
    }
    return row;
}

struct exporting {
    enum dataset_format format;
    struct buf *out;
    size_t *n_rows, *n_left_out;
};

static bool export_one(void *ctx, const struct document *d, struct arena *a, bool *enough,
                       struct error *err)
{
    const struct exporting *x = ctx;
    json_t *row = feedback_row(d, x->format);

    (void)a;
    (void)enough;
    (void)err;
    if (row != NULL) {
        json_write(x->out, row, NULL);
        buf_char(x->out, '\n');
    }
    *x->n_rows += row != NULL;
    *x->n_left_out += row == NULL;
    json_decref(row);
    return true;
}

bool feedback_export(struct store *s, const char *project_id, const char *model,
                     enum dataset_format format, struct buf *out, size_t *n_rows,
                     size_t *n_left_out, struct error *err)
{
    const struct document_filter f = {
        .kind = FEEDBACK_KIND, .project_id = project_id, .model = model};
    struct exporting x = {format, out, n_rows, n_left_out};

    *n_rows = *n_left_out = 0;
    return documents_each(s, &f, export_one, &x, err) &&
           (!out->overflowed ||
            fail_param(err, ERR_LIMIT, "format", "the export is too large: ask for one model"));
}
