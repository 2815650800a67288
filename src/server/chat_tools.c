/*
 * chat_tools.c - each field once: its form, and what it leaves to call.
 */
#include "server/chat_tools.h"
#include "base/size.h"
#include "text/tool_format.h"

#include <stdio.h>

#define MOST_NAME 64

static bool is_given(const json_t *v)
{
    return v != NULL && !json_is_null(v);
}

static bool refuse(struct error *err, enum error_kind kind, const char *param, const char *why)
{
    return fail_param(err, kind, param, "\"%s\" %s", param, why);
}

/* ---- tools ---- */

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    return s.len > 0 && s.len <= MOST_NAME;
}

/* place: "tools[2].function", which is also how the parameters' errors begin. */
static bool check_function(const json_t *f, const char *place, struct error *err)
{
    const json_t *parameters = json_object_get(f, "parameters"),
                 *strict = json_object_get(f, "strict"),
                 *description = json_object_get(f, "description"),
                 *type = json_object_get(parameters, "type");
    char param[64];

    if (!json_is_object(f))
        return refuse(err, ERR_INVALID, place, "is no object: a function's was expected");
    snprintf(param, sizeof param, "%s.name", place);
    if (!is_name(json_str(json_object_get(f, "name"))))
        return refuse(err, ERR_INVALID, param,
                      "is no name of 1 to 64 letters a-z, A-Z, digits, \"_\" and \"-\"");
    snprintf(param, sizeof param, "%s.description", place);
    if (is_given(description) && !json_is_string(description))
        return refuse(err, ERR_INVALID, param, "is no text");
    snprintf(param, sizeof param, "%s.strict", place);
    if (is_given(strict) && !json_is_boolean(strict))
        return refuse(err, ERR_INVALID, param, "is neither true nor false");
    snprintf(param, sizeof param, "%s.parameters", place);
    if (is_given(parameters) &&
        (!json_is_object(parameters) || (type != NULL && !str_is(json_str(type), "object"))))
        return refuse(err, ERR_INVALID, param, "is no schema of an object (\"type\": \"object\")");
    return true;
}

static bool check_tool(const json_t *tool, size_t i, struct error *err)
{
    char param[64];

    snprintf(param, sizeof param, "tools[%zu]", i);
    if (!json_is_object(tool))
        return refuse(err, ERR_INVALID, param, "is no object");
    snprintf(param, sizeof param, "tools[%zu].type", i);
    if (!str_is(json_str(json_object_get(tool, "type")), "function"))
        return refuse(err, is_given(json_object_get(tool, "type")) ? ERR_UNSUPPORTED : ERR_INVALID,
                      param, "is not \"function\"; no other type is offered");
    snprintf(param, sizeof param, "tools[%zu].function", i);
    return check_function(json_object_get(tool, "function"), param, err);
}

/* tools holds those before i. */
static bool check_new(const json_t *tools, const json_t *f, const char *param, struct error *err)
{
    return tool_named(tools, json_str(json_object_get(f, "name"))) == NULL ||
           refuse(err, ERR_INVALID, param, "is the name of an earlier one, too");
}

/* Into a list of its own: functions in the place of tools look like tools. */
static bool read_list(const json_t *list, bool legacy, json_t *out, struct error *err)
{
    const char *what = legacy ? "functions" : "tools";

    if (!json_is_array(list))
        return refuse(err, ERR_INVALID, what, "is no list");
    if (json_array_size(list) > CHAT_MAX_TOOLS)
        return fail_param(err, ERR_INVALID, what, "\"%s\" has %zu entries, at most %d are possible",
                          what, json_array_size(list), CHAT_MAX_TOOLS);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *entry = json_array_get(list, i);
        char param[64];

        snprintf(param, sizeof param, "functions[%zu]", i);
        if (legacy ? !check_function(entry, param, err) : !check_tool(entry, i, err))
            return false;
        snprintf(param, sizeof param, legacy ? "functions[%zu].name" : "tools[%zu].function.name",
                 i);
        if (!check_new(out, tool_function(entry), param, err))
            return false;
        if (legacy)
            json_array_append_new(out,
                                  json_pack("{s:s, s:O}", "type", "function", "function", entry));
        else
            json_array_append(out, entry);
    }
    return true;
}

/* ---- the choice ---- */

/* Adds the tool that {"name"} or {"function": {"name"}} names. */
static bool allow(struct chat_tools *t, const json_t *named, const char *param, struct error *err)
{
    const struct str name = json_str(json_object_get(tool_function(named), "name"));

    for (size_t i = 0; i < json_array_size(t->offered); i++) {
        json_t *tool = json_array_get(t->offered, i);

        if (!str_eq(json_str(json_object_get(tool_function(tool), "name")), name))
            continue;
        if (tool_named(t->callable, name) == NULL)
            json_array_append(t->callable, tool);
        return true;
    }
    return fail_param(err, ERR_INVALID, param, "\"%s\" names \"%.*s\", which is none of the tools",
                      param, (int)size_min(name.len, 64), name.ptr);
}

static bool allow_some(struct chat_tools *t, const json_t *told, struct error *err)
{
    const json_t *list = json_object_get(told, "tools");
    const struct str mode = json_str(json_object_get(told, "mode"));

    if (!str_is(mode, "auto") && !str_is(mode, "required"))
        return refuse(err, ERR_INVALID, "tool_choice.allowed_tools.mode",
                      "is neither \"auto\" nor \"required\"");
    if (json_array_size(list) == 0)
        return refuse(err, ERR_INVALID, "tool_choice.allowed_tools.tools",
                      "is no list of at least one tool");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!allow(t, json_array_get(list, i), "tool_choice.allowed_tools.tools", err))
            return false;
    t->required = str_is(mode, "required");
    t->held = true;
    return true;
}

static bool read_word(struct chat_tools *t, struct str word, const char *param, struct error *err)
{
    if (str_is(word, "none")) {
        json_decref(t->offered);
        t->offered = NULL;
        return true;
    }
    if (!str_is(word, "auto") && !(str_is(word, "required") && !t->legacy))
        return refuse(err, ERR_INVALID, param,
                      t->legacy ? "is none of none, auto and {\"name\"}"
                                : "is none of none, auto, required, a function and allowed_tools");
    t->required = str_is(word, "required");
    json_array_extend(t->callable, t->offered);
    return true;
}

static bool read_choice(struct chat_tools *t, const json_t *choice, struct error *err)
{
    const char *param = t->legacy ? "function_call" : "tool_choice";
    const struct str type = json_str(json_object_get(choice, "type"));

    t->callable = json_array();
    if (!is_given(choice))
        return read_word(t, STR("auto"), param, err);
    if (json_is_string(choice))
        return read_word(t, json_str(choice), param, err);
    if (str_is(type, "allowed_tools") && !t->legacy)
        return allow_some(t, json_object_get(choice, "allowed_tools"), err);
    if (!json_is_object(choice) || (!t->legacy && !str_is(type, "function")))
        return refuse(err,
                      is_given(json_object_get(choice, "type")) ? ERR_UNSUPPORTED : ERR_INVALID,
                      param, "is none of none, auto, required, a function and allowed_tools");
    t->required = true;
    return allow(t, choice, param, err);
}

/* Without tools nothing can be asked of them. */
static bool check_no_choice(const json_t *body, struct error *err)
{
    static const char *const keys[] = {"tool_choice", "function_call"};

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_t *choice = json_object_get(body, keys[i]);

        if (is_given(choice) && !str_is(json_str(choice), "none") &&
            !str_is(json_str(choice), "auto"))
            return refuse(err, ERR_INVALID, keys[i], "asks for a call, and there are no tools");
    }
    return true;
}

static bool any_strict(const json_t *tools)
{
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (json_is_true(json_object_get(tool_function(json_array_get(tools, i)), "strict")))
            return true;
    return false;
}

static bool read_tools(const json_t *body, struct chat_tools *t, struct error *err)
{
    const json_t *tools = json_object_get(body, "tools"),
                 *functions = json_object_get(body, "functions");
    bool parallel = true;

    if (is_given(tools) && is_given(functions))
        return refuse(err, ERR_INVALID, "functions", "beside \"tools\": one of them, please");
    if (!json_get_bool(body, "parallel_tool_calls", "the request", true, &parallel, err))
        return false;
    t->legacy = is_given(functions);
    t->offered = json_array();
    if ((is_given(tools) || t->legacy) &&
        !read_list(t->legacy ? functions : tools, t->legacy, t->offered, err))
        return false;
    if (json_array_size(t->offered) == 0) {
        json_decref(t->offered);
        t->offered = NULL;
        return check_no_choice(body, err);
    }
    t->single = !parallel || t->legacy;
    if (!read_choice(t, json_object_get(body, t->legacy ? "function_call" : "tool_choice"), err))
        return false;
    t->held = t->held || any_strict(t->callable);
    return true;
}

bool chat_tools_read(const json_t *body, struct chat_tools *out, struct error *err)
{
    struct chat_tools t = {0};

    if (!read_tools(body, &t, err)) {
        chat_tools_release(&t);
        return false;
    }
    if (json_array_size(t.callable) == 0) {
        json_decref(t.callable);
        t.callable = NULL;
    }
    *out = t;
    return true;
}

void chat_tools_release(struct chat_tools *t)
{
    json_decref(t->offered);
    json_decref(t->callable);
    *t = (struct chat_tools){0};
}
