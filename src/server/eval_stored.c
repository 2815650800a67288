/*
 * eval_stored.c - looks through what is stored, a page at a time.
 */
#include "server/eval_stored.h"
#include "base/size.h"
#include "server/api.h"
#include "server/response_call.h"
#include "server/response_input.h"

#define COMPLETION_KIND "chat.completion"
#define PATH "data_source.source"

static bool in_list(const json_t *list, struct str value)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(json_str(json_array_get(list, i)), value))
            return true;
    return false;
}

/* A filter that is not there, or null, lets everything through. */
static bool is_given(const json_t *source, const char *key, const json_t **out)
{
    *out = json_object_get(source, key);
    return *out != NULL && !json_is_null(*out);
}

static bool number_matches(const json_t *source, const json_t *request, const char *key)
{
    const json_t *want, *have = json_object_get(request, key);

    return !is_given(source, key, &want) ||
           json_number_value(want) == (json_is_number(have) ? json_number_value(have) : 1.0);
}

static bool has_tool(const json_t *source, const json_t *request)
{
    const json_t *want, *tools = json_object_get(request, "tools");
    bool found = false;

    if (!is_given(source, "tools", &want) || json_array_size(want) == 0)
        return true;
    for (size_t i = 0; i < json_array_size(tools); i++)
        found = found || in_list(want, json_str(json_object_get(json_array_get(tools, i), "name")));
    return found;
}

static bool response_matches(const json_t *source, const json_t *body)
{
    const json_t *request = json_object_get(body, "request"), *want;
    const struct str said = json_str(json_object_get(request, "instructions")),
                     status =
                         json_str(json_object_get(json_object_get(body, "response"), "status"));

    if (!str_is(status, "completed") || !number_matches(source, request, "temperature") ||
        !number_matches(source, request, "top_p") || !has_tool(source, request))
        return false;
    if (is_given(source, "instructions_search", &want) && json_string_length(want) > 0 &&
        str_find(said, json_str(want), 0) == said.len)
        return false;
    if (is_given(source, "reasoning_effort", &want) &&
        !str_eq(json_str(want),
                json_str(json_object_get(json_object_get(request, "reasoning"), "effort"))))
        return false;
    return !is_given(source, "users", &want) || json_array_size(want) == 0 ||
           in_list(want, json_str(json_object_get(request, "user")));
}

static bool labels_match(struct store *s, const json_t *source, const struct document *d,
                         struct arena *a, bool *out, struct error *err)
{
    const json_t *want;
    struct label *labels;
    const char *key;
    json_t *value;
    size_t n, i;

    *out = true;
    if (!is_given(source, "metadata", &want))
        return true;
    if (!documents_labels(s, d->kind, d->id, a, &labels, &n, err))
        return false;
    json_object_foreach((json_t *)(uintptr_t)want, key, value)
    {
        for (i = 0;
             i < n && !(str_is(labels[i].key, key) && str_eq(labels[i].value, json_str(value)));
             i++)
            continue;
        *out = *out && i < n;
    }
    return true;
}

struct picking {
    struct store *store;
    const json_t *source;
    json_t *ids;
    size_t most;
};

static bool pick(void *ctx, const struct document *d, struct arena *a, bool *enough,
                 struct error *err)
{
    const struct picking *p = ctx;
    bool wanted;

    if (!labels_match(p->store, p->source, d, a, &wanted, err))
        return false;
    if (wanted && strcmp(d->kind, RESPONSE_KIND) == 0) {
        json_t *body = api_json_of(d->body);

        wanted = response_matches(p->source, body);
        json_decref(body);
    }
    if (wanted)
        json_array_append_new(p->ids, json_string(d->id));
    *enough = json_array_size(p->ids) >= p->most;
    return true;
}

bool eval_stored_pick(struct store *s, const char *project_id, const json_t *source, size_t most,
                      json_t **out, struct error *err)
{
    const struct str type = json_str(json_object_get(source, "type"));
    struct document_filter f = {.kind = str_is(type, "responses") ? RESPONSE_KIND : COMPLETION_KIND,
                                .project_id = project_id};
    struct picking p = {.store = s, .source = source, .ids = json_array()};
    struct arena a = {0};
    int64_t limit = 0, after = 0, before = 0;

    bool ok = json_get_int(source, "limit", PATH, (int64_t)most, 1, (int64_t)most, &limit, err) &&
              json_get_int(source, "created_after", PATH, 0, 0, INT64_MAX / 2, &after, err) &&
              json_get_int(source, "created_before", PATH, 0, 0, INT64_MAX / 2, &before, err) &&
              api_text(source, "model", false, 256, &a, &f.model, err);
    f.created_after = after > 0 ? after - 1 : 0;
    f.created_before = before > 0 ? before + 1 : 0;
    p.most = (size_t)limit;
    ok = ok && documents_each(s, &f, pick, &p, err);
    arena_release(&a);
    if (ok)
        *out = p.ids;
    else
        json_decref(p.ids);
    return ok;
}

/* ---- one of them ---- */

static json_t *or_null(json_t *v)
{
    return v != NULL ? json_incref(v) : json_null();
}

static json_t *text_of_response(const json_t *response)
{
    const json_t *output = json_object_get(response, "output");
    struct buf b;

    buf_init(&b, (size_t)64 << 20);
    for (size_t i = 0; i < json_array_size(output); i++) {
        const json_t *item = json_array_get(output, i), *parts = json_object_get(item, "content");

        for (size_t k = 0; str_is(json_str(json_object_get(item, "type")), "message") &&
                           k < json_array_size(parts);
             k++)
            buf_str(&b, json_str(json_object_get(json_array_get(parts, k), "text")));
    }
    json_t *text = json_stringn(b.len > 0 ? b.ptr : "", b.len);
    buf_release(&b);
    return text;
}

static json_t *row_of_response(const json_t *body, json_t **text)
{
    json_t *messages = json_array();

    response_messages(json_object_get(body, "input"), messages);
    *text = text_of_response(json_object_get(body, "response"));
    return messages;
}

static json_t *row_of_completion(const json_t *body, json_t **text, json_t **calls)
{
    const json_t *choices = json_object_get(json_object_get(body, "response"), "choices"),
                 *message = json_object_get(json_array_get(choices, 0), "message");

    *text = json_is_string(json_object_get(message, "content"))
                ? json_incref(json_object_get(message, "content"))
                : json_string("");
    *calls = json_object_get(message, "tool_calls");
    return or_null(json_object_get(json_object_get(body, "request"), "messages"));
}

bool eval_stored_row(struct store *s, const char *project_id, bool response, struct str id,
                     json_t **out, struct error *err)
{
    struct arena a = {0};
    struct document d;
    json_t *text, *calls = NULL;

    if (!documents_get(s, response ? RESPONSE_KIND : COMPLETION_KIND, project_id, id, &a, &d,
                       err)) {
        arena_release(&a);
        return false;
    }
    json_t *body = api_json_of(d.body);
    json_t *input =
        response ? row_of_response(body, &text) : row_of_completion(body, &text, &calls);
    json_t *item = json_pack(
        "{s:s, s:s?, s:I, s:o, s:o, s:O}", "id", d.id, "model", d.model, "created_at",
        (json_int_t)d.created_at, "metadata",
        or_null(json_object_get(response ? json_object_get(body, "request") : body, "metadata")),
        "input", input, "output", text);
    *out = json_pack("{s:o, s:{s:o, s:O?}}", "item", item, "sample", "output_text", text,
                     "output_tools", calls);
    json_decref(body);
    arena_release(&a);
    return true;
}
