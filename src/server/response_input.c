/*
 * response_input.c - items to messages, settings to settings.
 */
#include "server/response_input.h"
#include "base/arena.h"
#include "base/size.h"

#include <stdio.h>
#include <string.h>

#define WHAT "the request"

/* ---- items ---- */

static struct str text_of(const json_t *o, const char *key)
{
    return json_str(json_object_get(o, key));
}

static bool fail_item(struct error *err, enum error_kind kind, size_t i, const char *what)
{
    return fail_param(err, kind, "input", "\"input\"[%zu]: %s", i, what);
}

/* A part as it is kept: input_text or output_text. NULL with err where it is none that a text model takes. */
static json_t *part_of(const json_t *part, bool assistant, size_t i, struct error *err)
{
    const struct str type = text_of(part, "type");
    const json_t *text = json_object_get(part, "text");

    if (str_is(type, "refusal")) {
        if (json_is_string(json_object_get(part, "refusal")))
            return json_deep_copy(part);
        (void)fail_item(err, ERR_INVALID, i, "a part of type \"refusal\" has no \"refusal\"");
        return NULL;
    }
    if (str_is(type, "input_image") || str_is(type, "input_file") || str_is(type, "input_audio")) {
        (void)fail_item(err, ERR_UNSUPPORTED, i,
                        "images, files and sounds are not offered: the models here read text");
        return NULL;
    }
    if (!str_is(type, "input_text") && !str_is(type, "output_text") && !str_is(type, "text") &&
        !str_is(type, "summary_text") && !str_is(type, "reasoning_text")) {
        (void)fail_item(err, ERR_INVALID, i,
                        "a part's \"type\" is none of input_text, output_text, refusal");
        return NULL;
    }
    if (!json_is_string(text)) {
        (void)fail_item(err, ERR_INVALID, i, "a part has no \"text\"");
        return NULL;
    }
    return assistant ? json_pack("{s:s, s:O, s:[], s:[]}", "type", "output_text", "text", text,
                                 "annotations", "logprobs")
                     : json_pack("{s:s, s:O}", "type", "input_text", "text", text);
}

static json_t *parts_of(const json_t *content, bool assistant, size_t i, struct error *err)
{
    json_t *parts = json_array(), *part;
    size_t k;

    if (json_is_string(content)) {
        json_array_append_new(
            parts, assistant ? json_pack("{s:s, s:O, s:[], s:[]}", "type", "output_text", "text",
                                         content, "annotations", "logprobs")
                             : json_pack("{s:s, s:O}", "type", "input_text", "text", content));
        return parts;
    }
    if (!json_is_array(content)) {
        json_decref(parts);
        (void)fail_item(err, ERR_INVALID, i, "\"content\" is neither a text nor a list of parts");
        return NULL;
    }
    json_array_foreach(content, k, part)
    {
        json_t *p = part_of(part, assistant, i, err);

        if (p == NULL) {
            json_decref(parts);
            return NULL;
        }
        json_array_append_new(parts, p);
    }
    return parts;
}

/* An item's id: its own, or one made of the key and its place. */
static json_t *id_of(const json_t *item, const char *prefix, const char *key, size_t i)
{
    const struct str own = text_of(item, "id");
    char made[96];

    if (own.len > 0 && own.len <= 128)
        return json_stringn(own.ptr, own.len);
    snprintf(made, sizeof made, "%s%.48s_%zu", prefix, key, i);
    return json_string(made);
}

static json_t *message_item(const json_t *item, const char *key, size_t i, struct error *err)
{
    static const char *const roles[] = {"user", "assistant", "system", "developer"};
    const struct str role = text_of(item, "role");
    bool known = false;

    for (size_t k = 0; k < COUNT_OF(roles); k++)
        known = known || str_is(role, roles[k]);
    if (!known) {
        (void)fail_item(err, ERR_INVALID, i,
                        "\"role\" is none of user, assistant, system, developer");
        return NULL;
    }
    json_t *parts = parts_of(json_object_get(item, "content"), str_is(role, "assistant"), i, err);
    return parts == NULL ? NULL
                         : json_pack("{s:s, s:o, s:s%, s:s, s:o}", "type", "message", "id",
                                     id_of(item, "msg_", key, i), "role", role.ptr, role.len,
                                     "status", "completed", "content", parts);
}

static json_t *call_item(const json_t *item, const char *key, size_t i, struct error *err)
{
    const json_t *id = json_object_get(item, "call_id"), *name = json_object_get(item, "name"),
                 *arguments = json_object_get(item, "arguments");

    if (!json_is_string(id) || !json_is_string(name) || !json_is_string(arguments)) {
        (void)fail_item(err, ERR_INVALID, i,
                        "a function_call has \"call_id\", \"name\" and \"arguments\", all texts");
        return NULL;
    }
    return json_pack("{s:s, s:o, s:O, s:O, s:O, s:s}", "type", "function_call", "id",
                     id_of(item, "fc_", key, i), "call_id", id, "name", name, "arguments",
                     arguments, "status", "completed");
}

static json_t *output_item(const json_t *item, const char *key, size_t i, struct error *err)
{
    const json_t *id = json_object_get(item, "call_id"), *output = json_object_get(item, "output");

    if (!json_is_string(id)) {
        (void)fail_item(err, ERR_INVALID, i, "a function_call_output has a \"call_id\"");
        return NULL;
    }
    if (!json_is_string(output)) {
        json_t *parts = parts_of(output, false, i, err);

        if (parts == NULL)
            return NULL;
        return json_pack("{s:s, s:o, s:O, s:o, s:s}", "type", "function_call_output", "id",
                         id_of(item, "fco_", key, i), "call_id", id, "output", parts, "status",
                         "completed");
    }
    return json_pack("{s:s, s:o, s:O, s:O, s:s}", "type", "function_call_output", "id",
                     id_of(item, "fco_", key, i), "call_id", id, "output", output, "status",
                     "completed");
}

static json_t *reasoning_item(const json_t *item, const char *key, size_t i, struct error *err)
{
    const json_t *summary = json_object_get(item, "summary"),
                 *content = json_object_get(item, "content");

    if ((summary != NULL && !json_is_array(summary)) ||
        (content != NULL && !json_is_null(content) && !json_is_array(content))) {
        (void)fail_item(err, ERR_INVALID, i, "\"summary\" and \"content\" of reasoning are lists");
        return NULL;
    }
    json_t *o = json_pack("{s:s, s:o, s:o}", "type", "reasoning", "id", id_of(item, "rs_", key, i),
                          "summary", summary != NULL ? json_deep_copy(summary) : json_array());
    if (json_is_array(content))
        json_object_set_new(o, "content", json_deep_copy(content));
    return o;
}

static json_t *item_of(const json_t *item, const char *key, size_t i, response_find_fn *find,
                       void *ctx, struct error *err)
{
    const struct str type = text_of(item, "type");
    json_t *found;

    if (!json_is_object(item)) {
        (void)fail_item(err, ERR_INVALID, i, "an item is an object");
        return NULL;
    }
    if (str_is(type, "message") || (type.len == 0 && json_object_get(item, "role") != NULL))
        return message_item(item, key, i, err);
    if (str_is(type, "function_call"))
        return call_item(item, key, i, err);
    if (str_is(type, "function_call_output"))
        return output_item(item, key, i, err);
    if (str_is(type, "reasoning"))
        return reasoning_item(item, key, i, err);
    if (str_is(type, "item_reference") || (type.len == 0 && text_of(item, "id").len > 0)) {
        found = find != NULL ? find(ctx, text_of(item, "id")) : NULL;
        if (found == NULL)
            (void)fail_item(err, ERR_NOT_FOUND, i, "the item that is referred to is not stored");
        return found;
    }
    (void)fail_item(err, ERR_UNSUPPORTED, i,
                    "an item's \"type\" is none of message, function_call, "
                    "function_call_output, reasoning, item_reference");
    return NULL;
}

bool response_items(const json_t *body, const char *key, response_find_fn *find, void *ctx,
                    json_t **out, struct error *err)
{
    const json_t *input = json_object_get(body, "input");
    json_t *items = json_array(), *item;
    size_t i;

    if (json_is_string(input)) {
        json_t *m = json_pack("{s:s, s:O}", "role", "user", "content", input);

        json_array_append_new(items, message_item(m, key, 0, err));
        json_decref(m);
        *out = items;
        return true;
    }
    if (input == NULL || json_is_null(input)) {
        *out = items;
        return true;
    }
    bool ok =
        json_is_array(input) ||
        fail_param(err, ERR_INVALID, "input",
                   "\"input\" is %s, a text or a list of items was expected", json_kind(input));
    if (ok && json_array_size(input) > RESPONSE_MAX_ITEMS)
        ok = fail_param(err, ERR_LIMIT, "input", "\"input\" has %zu items, %d are possible",
                        json_array_size(input), RESPONSE_MAX_ITEMS);
    json_array_foreach(input, i, item)
    {
        json_t *mine = ok ? item_of(item, key, i, find, ctx, err) : NULL;

        ok = mine != NULL;
        if (!ok)
            break;
        json_array_append_new(items, mine);
    }
    if (!ok) {
        json_decref(items);
        return false;
    }
    *out = items;
    return true;
}

/* ---- messages ---- */

/* Texts of parts joined. */
static json_t *joined(const json_t *parts)
{
    json_t *part, *text;
    struct buf b;
    size_t i;

    if (json_is_string(parts))
        return json_incref((json_t *)(uintptr_t)parts);
    buf_init(&b, (size_t)1 << 30);
    json_array_foreach(parts, i, part)
    {
        buf_str(&b, text_of(part, "text"));
        buf_str(&b, text_of(part, "refusal"));
    }
    text = json_stringn(buf_view(&b).ptr, b.len);
    buf_release(&b);
    return text != NULL ? text : json_string("");
}

/* The assistant's turn that is being put together: thinking, text and calls of one turn are one message. */
static json_t *turn(json_t *messages, bool fresh)
{
    json_t *last = json_array_get(messages, json_array_size(messages) - 1);

    if (!fresh && last != NULL && str_is(text_of(last, "role"), "assistant"))
        return last;
    last = json_pack("{s:s, s:n}", "role", "assistant", "content");
    json_array_append_new(messages, last);
    return last;
}

static void put_call(json_t *messages, const json_t *item)
{
    json_t *m = turn(messages, false), *calls = json_object_get(m, "tool_calls");

    if (calls == NULL) {
        calls = json_array();
        json_object_set_new(m, "tool_calls", calls);
    }
    json_array_append_new(calls, json_pack("{s:O, s:s, s:{s:O, s:O}}", "id",
                                           json_object_get(item, "call_id"), "type", "function",
                                           "function", "name", json_object_get(item, "name"),
                                           "arguments", json_object_get(item, "arguments")));
}

/* Text behind text is a turn of its own. */
static void put_answer(json_t *messages, const json_t *item)
{
    json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const bool open = last != NULL && str_is(text_of(last, "role"), "assistant") &&
                      json_is_null(json_object_get(last, "content")) &&
                      json_object_get(last, "tool_calls") == NULL;

    json_object_set_new(turn(messages, !open), "content", joined(json_object_get(item, "content")));
}

void response_messages(const json_t *items, json_t *messages)
{
    json_t *item;
    size_t i;

    json_array_foreach(items, i, item)
    {
        const struct str type = text_of(item, "type"), role = text_of(item, "role");

        if (str_is(type, "reasoning")) {
            const json_t *content = json_object_get(item, "content");

            json_object_set_new(
                turn(messages, true), "reasoning_content",
                joined(json_array_size(content) > 0 ? content : json_object_get(item, "summary")));
        } else if (str_is(type, "function_call")) {
            put_call(messages, item);
        } else if (str_is(type, "function_call_output")) {
            json_array_append_new(messages,
                                  json_pack("{s:s, s:O, s:o}", "role", "tool", "tool_call_id",
                                            json_object_get(item, "call_id"), "content",
                                            joined(json_object_get(item, "output"))));
        } else if (str_is(role, "assistant")) {
            put_answer(messages, item);
        } else {
            json_array_append_new(messages,
                                  json_pack("{s:s%, s:o}", "role", role.ptr, role.len, "content",
                                            joined(json_object_get(item, "content"))));
        }
    }
}

/* ---- settings ---- */

static bool put_tools(const json_t *body, json_t *chat, struct error *err)
{
    const json_t *tools = json_object_get(body, "tools");
    json_t *tool, *list;
    size_t i;

    if (tools == NULL || json_is_null(tools))
        return true;
    if (!json_is_array(tools))
        return fail_param(err, ERR_INVALID, "tools", "\"tools\" is %s, a list was expected",
                          json_kind(tools));
    list = json_array();
    json_array_foreach(tools, i, tool)
    {
        const struct str type = text_of(tool, "type");

        if (!str_is(type, "function")) {
            json_decref(list);
            return fail_param(err, ERR_UNSUPPORTED, "tools",
                              "\"tools\"[%zu]: a tool of type \"" STR_FMT
                              "\" is not offered, functions are",
                              i, (int)size_min(type.len, 64), type.len > 0 ? type.ptr : "");
        }
        json_t *function = json_copy(tool);
        json_object_del(function, "type");
        json_array_append_new(list,
                              json_pack("{s:s, s:o}", "type", "function", "function", function));
    }
    if (json_array_size(list) > 0)
        json_object_set(chat, "tools", list);
    json_decref(list);
    return true;
}

/* {"type":"function","name":n} here is {"type":"function","function":{"name":n}} there. */
static json_t *nested_function(const json_t *o)
{
    return json_pack("{s:s, s:{s:O?}}", "type", "function", "function", "name",
                     json_object_get(o, "name"));
}

static json_t *choice_of(const json_t *choice)
{
    json_t *tools = json_array(), *tool;
    size_t i;

    if (str_is(text_of(choice, "type"), "function")) {
        json_decref(tools);
        return nested_function(choice);
    }
    if (!str_is(text_of(choice, "type"), "allowed_tools")) {
        json_decref(tools);
        return json_deep_copy(choice);
    }
    json_array_foreach(json_object_get(choice, "tools"), i, tool)
        json_array_append_new(tools, nested_function(tool));
    return json_pack("{s:s, s:{s:O?, s:o}}", "type", "allowed_tools", "allowed_tools", "mode",
                     json_object_get(choice, "mode"), "tools", tools);
}

static bool put_format(const json_t *body, json_t *chat, struct error *err)
{
    const json_t *text = json_object_get(body, "text"), *format = json_object_get(text, "format");

    if (text != NULL && !json_is_null(text) && !json_is_object(text))
        return fail_param(err, ERR_INVALID, "text", "\"text\" is %s, an object was expected",
                          json_kind(text));
    if (json_is_string(json_object_get(text, "verbosity")))
        json_object_set(chat, "verbosity", json_object_get(text, "verbosity"));
    if (format == NULL || json_is_null(format))
        return true;
    if (!json_is_object(format))
        return fail_param(err, ERR_INVALID, "text.format",
                          "\"text.format\" is %s, an object was expected", json_kind(format));
    if (str_is(text_of(format, "type"), "json_schema") &&
        json_object_get(format, "json_schema") == NULL) {
        json_t *inner = json_copy((json_t *)(uintptr_t)format);

        json_object_del(inner, "type");
        json_object_set_new(chat, "response_format",
                            json_pack("{s:s, s:o}", "type", "json_schema", "json_schema", inner));
    } else {
        json_object_set(chat, "response_format", (json_t *)(uintptr_t)format);
    }
    return true;
}

static bool put_reasoning(const json_t *body, json_t *chat, struct error *err)
{
    const json_t *r = json_object_get(body, "reasoning"), *effort = json_object_get(r, "effort");

    if (r != NULL && !json_is_null(r) && !json_is_object(r))
        return fail_param(err, ERR_INVALID, "reasoning",
                          "\"reasoning\" is %s, an object was expected", json_kind(r));
    if (effort != NULL && !json_is_null(effort))
        json_object_set(chat, "reasoning_effort", (json_t *)(uintptr_t)effort);
    return true;
}

static bool wants_logprobs(const json_t *body)
{
    const json_t *include = json_object_get(body, "include");
    json_t *x;
    size_t i;

    json_array_foreach(include, i,
                       x) if (str_is(json_str(x), "message.output_text.logprobs")) return true;
    return json_integer_value(json_object_get(body, "top_logprobs")) > 0;
}

bool response_chat_body(const json_t *body, json_t *messages, json_t **out, struct error *err)
{
    static const char *const same[] = {"temperature",  "top_p",
                                       "seed",         "parallel_tool_calls",
                                       "top_logprobs", "chat_template_kwargs",
                                       "top_k",        "min_p",
                                       "stop"};
    json_t *chat = json_pack("{s:o}", "messages", messages);
    const json_t *choice = json_object_get(body, "tool_choice");
    int64_t most = 0;
    bool ok = json_get_int(body, "max_output_tokens", WHAT, 0, 16, 1 << 22, &most, err) &&
              put_tools(body, chat, err) && put_format(body, chat, err) &&
              put_reasoning(body, chat, err);

    if (ok && json_array_size(messages) == 0)
        ok = fail_param(err, ERR_INVALID, "input",
                        "\"input\" is missing or empty: a text or a list of items was expected");
    for (size_t i = 0; ok && i < COUNT_OF(same); i++)
        if (json_object_get(body, same[i]) != NULL && !json_is_null(json_object_get(body, same[i])))
            json_object_set(chat, same[i], json_object_get(body, same[i]));
    if (ok && most > 0)
        json_object_set_new(chat, "max_completion_tokens", json_integer(most));
    if (ok && choice != NULL && !json_is_null(choice))
        json_object_set_new(chat, "tool_choice",
                            json_is_object(choice) ? choice_of(choice)
                                                   : json_incref((json_t *)(uintptr_t)choice));
    if (ok && wants_logprobs(body))
        json_object_set_new(chat, "logprobs", json_true());
    if (!ok) {
        json_decref(chat);
        return false;
    }
    *out = chat;
    return true;
}
