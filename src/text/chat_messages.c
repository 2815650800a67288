/*
 * chat_messages.c - one look at each message to check it, and one to turn it.
 */
#include "text/chat_messages.h"
#include "base/limits.h"
#include "base/size.h"
#include "text/tool_format.h"

#include <stdio.h>
#include <string.h>

/* ---- checking ---- */

static bool refuse(struct error *err, enum error_kind kind, const char *param, const char *why)
{
    return fail_param(err, kind, param, "\"%s\" %s", param, why);
}

static bool is_one_of(const char *text, size_t n, const char *const *all)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, all[i]) == 0)
            return true;
    return false;
}

/* A part's text stands under its type. */
static const json_t *text_of_part(const json_t *part)
{
    const json_t *type = json_object_get(part, "type");

    return json_is_string(type) ? json_object_get(part, json_string_value(type)) : NULL;
}

static bool check_part(const json_t *part, size_t i, struct error *err)
{
    const struct str type = json_str(json_object_get(part, "type"));

    if (!json_is_object(part) || type.len == 0)
        return fail_param(err, ERR_INVALID, "messages",
                          "\"messages\"[%zu]: a part of \"content\" is no object with a \"type\"",
                          i);
    if (!str_is(type, "text") && !str_is(type, "refusal"))
        return fail_param(err, ERR_UNSUPPORTED, "messages",
                          "\"messages\"[%zu]: a part of type \"%.*s\" is not offered, text is", i,
                          (int)size_min(type.len, 64), type.ptr);
    if (!json_is_string(text_of_part(part)))
        return fail_param(err, ERR_INVALID, "messages",
                          "\"messages\"[%zu]: a part of type \"%.*s\" has no text", i,
                          (int)type.len, type.ptr);
    return true;
}

/* {"name": "...", "arguments": "..."} */
static bool check_function(const json_t *f, const char *param, struct error *err)
{
    char place[64];

    if (!json_is_object(f))
        return refuse(err, ERR_INVALID, param,
                      "is no object with \"name\" and \"arguments\": a call of a function");
    snprintf(place, sizeof place, "%s.name", param);
    if (json_str(json_object_get(f, "name")).len == 0)
        return refuse(err, ERR_INVALID, place, "is no text: the function's name was expected");
    snprintf(place, sizeof place, "%s.arguments", param);
    return json_is_string(json_object_get(f, "arguments")) ||
           refuse(err, ERR_INVALID, place, "is no text: JSON in a text was expected");
}

static bool check_calls(const json_t *calls, size_t i, struct error *err)
{
    char param[48];

    snprintf(param, sizeof param, "messages[%zu].tool_calls", i);
    if (!json_is_array(calls))
        return refuse(err, ERR_INVALID, param, "is no list of calls");
    for (size_t k = 0; k < json_array_size(calls); k++) {
        const json_t *call = json_array_get(calls, k), *type = json_object_get(call, "type");

        if (type != NULL && !str_is(json_str(type), "function")) {
            snprintf(param, sizeof param, "messages[%zu].tool_calls[%zu].type", i, k);
            return refuse(err, ERR_UNSUPPORTED, param, "is not \"function\"; no other is offered");
        }
        snprintf(param, sizeof param, "messages[%zu].tool_calls[%zu].function", i, k);
        if (!check_function(json_object_get(call, "function"), param, err))
            return false;
    }
    return true;
}

static bool is_given(const json_t *v)
{
    return v != NULL && !json_is_null(v);
}

/* What an assistant may have beside its content. */
static bool check_assistant(const json_t *m, size_t i, struct error *err)
{
    static const char *const texts[] = {"reasoning_content", "reasoning"};
    const json_t *calls = json_object_get(m, "tool_calls"),
                 *call = json_object_get(m, "function_call");
    char param[48];

    if (is_given(calls) && !check_calls(calls, i, err))
        return false;
    snprintf(param, sizeof param, "messages[%zu].function_call", i);
    if (is_given(call) && !check_function(call, param, err))
        return false;
    for (size_t k = 0; k < COUNT_OF(texts); k++) {
        const json_t *text = json_object_get(m, texts[k]);

        snprintf(param, sizeof param, "messages[%zu].%s", i, texts[k]);
        if (is_given(text) && !json_is_string(text))
            return refuse(err, ERR_INVALID, param, "is no text");
    }
    return true;
}

static bool check_message(const json_t *m, size_t i, struct error *err)
{
    static const char *const roles[] = {"developer", "system", "user",
                                        "assistant", "tool",   "function"};
    const json_t *content = json_object_get(m, "content"), *role = json_object_get(m, "role"),
                 *id = json_object_get(m, "tool_call_id");
    char param[48];

    if (!json_is_object(m))
        return fail_param(err, ERR_INVALID, "messages",
                          "\"messages\"[%zu] is %s, an object was expected", i, json_kind(m));
    if (!json_is_string(role) || !is_one_of(json_string_value(role), COUNT_OF(roles), roles))
        return fail_param(
            err, ERR_INVALID, "messages",
            "\"messages\"[%zu]: \"role\" must be developer, system, user, assistant or tool", i);
    const bool assistant = str_is(json_str(role), "assistant");
    if (assistant && !check_assistant(m, i, err))
        return false;
    snprintf(param, sizeof param, "messages[%zu].tool_call_id", i);
    if (is_given(id) && !json_is_string(id))
        return refuse(err, ERR_INVALID, param, "is no text");
    if (json_is_string(content) || (assistant && !is_given(content)))
        return true;
    if (json_is_array(content) && json_array_size(content) > 0) {
        for (size_t k = 0; k < json_array_size(content); k++)
            if (!check_part(json_array_get(content, k), i, err))
                return false;
        return true;
    }
    return fail_param(
        err, ERR_INVALID, "messages",
        "\"messages\"[%zu]: \"content\" is %s, a text or a list of parts was expected", i,
        content == NULL ? "missing" : json_kind(content));
}

bool chat_messages_check(const json_t *messages, struct error *err)
{
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return fail_param(err, ERR_INVALID, "messages",
                          "the request: \"messages\" is %s, a list of at least one message was "
                          "expected",
                          messages == NULL          ? "missing"
                          : json_is_array(messages) ? "empty"
                                                    : json_kind(messages));
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!check_message(json_array_get(messages, i), i, err))
            return false;
    return true;
}

/* ---- turning ---- */

static bool has_role(const json_t *m, const char *role)
{
    return str_is(json_str(json_object_get(m, "role")), role);
}

static void join_parts(json_t *m)
{
    const json_t *content = json_object_get(m, "content");
    struct buf text;

    if (!json_is_array(content))
        return;
    for (size_t k = 0; k < json_array_size(content); k++)
        if (!json_is_string(text_of_part(json_array_get(content, k))))
            return;
    buf_init(&text, LIMIT_JSON_BYTES);
    for (size_t k = 0; k < json_array_size(content); k++)
        buf_str(&text, json_str(text_of_part(json_array_get(content, k))));
    json_object_set_new(m, "content", json_stringn(buf_view(&text).ptr, text.len));
    buf_release(&text);
}

/* JSON in a text becomes the object. */
static void open_arguments(json_t *function)
{
    const json_t *text = json_object_get(function, "arguments");
    struct error unheard = {0};
    json_t *v = NULL;

    if (!json_is_string(text))
        return;
    if (json_str(text).len == 0)
        v = json_object();
    else if (!json_parse(json_str(text), "arguments", &v, &unheard))
        return;
    if (json_is_object(v))
        json_object_set_new(function, "arguments", v);
    else
        json_decref(v);
}

static void close_arguments(json_t *function)
{
    const json_t *v = json_object_get(function, "arguments");
    struct buf text;

    if (!json_is_object(v))
        return;
    buf_init(&text, LIMIT_JSON_BYTES);
    json_write(&text, v, &(struct json_format){.style = JSON_STYLE_PYTHON});
    json_object_set_new(function, "arguments", json_stringn(buf_view(&text).ptr, text.len));
    buf_release(&text);
}

static void turn_calls(json_t *m, const struct chat_messages_form *form)
{
    json_t *old = json_object_get(m, "function_call"), *calls = json_object_get(m, "tool_calls");

    if (json_is_object(old) && json_array_size(calls) == 0) {
        calls = json_pack("[{s:s, s:O}]", "type", "function", "function", old);
        json_object_set_new(m, "tool_calls", calls);
    }
    json_object_del(m, "function_call");
    if (json_array_size(calls) == 0) {
        json_object_del(m, "tool_calls"); /* templates ask whether it is there */
        return;
    }
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *f = (json_t *)(uintptr_t)tool_function(json_array_get(calls, i));

        open_arguments(f);
        if (form->arguments_as_text)
            close_arguments(f);
    }
    const struct str content = json_str(json_object_get(m, "content"));
    if (content.len == 0)
        json_object_set_new(m, "content", form->null_beside_calls ? json_null() : json_string(""));
}

static void turn_reasoning(json_t *m)
{
    json_t *a = json_object_get(m, "reasoning_content"), *b = json_object_get(m, "reasoning");

    if (json_is_string(a) && !is_given(b))
        json_object_set(m, "reasoning", a);
    else if (json_is_string(b) && !is_given(a))
        json_object_set(m, "reasoning_content", b);
}

/* "thinking", and an empty content beside calls; a message without calls is its content, what it took to get there aside. */
static void turn_thinking(json_t *m)
{
    const struct str said = json_str(json_object_get(m, "content"));
    struct buf text;

    if (!is_given(json_object_get(m, "thinking")) &&
        json_str(json_object_get(m, "reasoning_content")).len > 0)
        json_object_set(m, "thinking", json_object_get(m, "reasoning_content"));
    if (json_str(json_object_get(m, "thinking")).len == 0 || said.len == 0 ||
        json_array_size(json_object_get(m, "tool_calls")) == 0)
        return;
    buf_init(&text, LIMIT_JSON_BYTES);
    buf_str(&text, json_str(json_object_get(m, "thinking")));
    buf_text(&text, "\n\n");
    buf_str(&text, said);
    json_object_set_new(m, "thinking", json_stringn(buf_view(&text).ptr, text.len));
    json_object_set_new(m, "content", json_string(""));
    buf_release(&text);
}

json_t *chat_messages_for_template(const json_t *messages, const struct chat_messages_form *form)
{
    json_t *out = json_deep_copy(messages);

    for (size_t i = 0; i < json_array_size(out); i++) {
        json_t *m = json_array_get(out, i);

        if (!json_is_object(m))
            continue;
        join_parts(m);
        if (has_role(m, "function"))
            json_object_set_new(m, "role", json_string("tool"));
        if (has_role(m, "assistant")) {
            turn_calls(m, form);
            turn_reasoning(m);
            if (form->thinking_beside_calls)
                turn_thinking(m);
        }
    }
    return out;
}
