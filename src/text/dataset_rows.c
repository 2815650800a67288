/*
 * dataset_rows.c - messages first, then what each format wants of them.
 */
#include "base/size.h"
#include "text/dataset_internal.h"

#include <stdio.h>

static const char *const methods[] = {[DATASET_PROMPTS] = "reinforcement",
                                      [DATASET_SUPERVISED] = "supervised",
                                      [DATASET_PREFERENCE] = "dpo"};

const char *dataset_method(enum dataset_format format)
{
    return methods[format];
}

static bool is_role(struct str s, enum dataset_format format)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};

    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (str_is(s, roles[i]))
            return true;
    return format == DATASET_SUPERVISED && str_is(s, "function");
}

static struct str role_of(const json_t *message)
{
    return json_str(json_object_get(message, "role"));
}

static struct str last_role(const json_t *messages)
{
    const size_t n = json_array_size(messages);

    return n > 0 ? role_of(json_array_get(messages, n - 1)) : (struct str){"", 0};
}

/* ---- a message ---- */

/* Content that is a list: of {"type": "text", "text": "..."} alone. */
static bool check_parts(const json_t *parts, const char *param, const char *what, struct error *err)
{
    if (json_array_size(parts) == 0)
        return fail_param(err, ERR_INVALID, param, "%s: %s is an empty list", what, param);
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *type = json_object_get(part, "type");

        if (!json_is_object(part) || !json_is_string(type))
            return fail_param(err, ERR_INVALID, param,
                              "%s: part %zu of %s is %s, an object with a type was expected", what,
                              i, param, json_kind(part));
        if (!str_is(json_str(type), "text"))
            return fail_param(
                err, ERR_UNSUPPORTED, param,
                "%s: part %zu of %s is of type \"" STR_FMT "\", only \"text\" is offered", what, i,
                param, (int)size_min(json_str(type).len, 100), json_str(type).ptr);
        if (!json_is_string(json_object_get(part, "text")))
            return fail_param(err, ERR_INVALID, param,
                              "%s: the text of part %zu of %s is %s, a string was expected", what,
                              i, param, json_kind(json_object_get(part, "text")));
    }
    return true;
}

/* path: of the message, "messages[3]". */
static bool check_message(const json_t *m, const char *path, enum dataset_format format,
                          const char *what, struct error *err)
{
    const json_t *role = json_object_get(m, "role"), *content = json_object_get(m, "content");
    char param[64];

    if (!json_is_object(m))
        return fail_param(err, ERR_INVALID, path, "%s: %s is %s, an object was expected", what,
                          path, json_kind(m));
    snprintf(param, sizeof param, "%s.role", path);
    if (!json_is_string(role))
        return fail_param(err, ERR_INVALID, param, "%s: %s is %s, a string was expected", what,
                          param, json_kind(role));
    if (!is_role(json_str(role), format))
        return fail_param(err, ERR_INVALID, param,
                          "%s: %s is \"" STR_FMT
                          "\", expected is system, developer, user, assistant or tool",
                          what, param, (int)size_min(json_str(role).len, 100), json_str(role).ptr);
    snprintf(param, sizeof param, "%s.content", path);
    if (json_is_array(content))
        return check_parts(content, param, what, err);
    if (json_is_string(content))
        return true;
    if ((content == NULL || json_is_null(content)) && str_is(json_str(role), "assistant") &&
        (json_array_size(json_object_get(m, "tool_calls")) > 0 ||
         (format == DATASET_SUPERVISED && json_is_object(json_object_get(m, "function_call")))))
        return true;
    return fail_param(err, ERR_INVALID, param,
                      "%s: %s is %s, a string or a list of text parts was expected", what, param,
                      json_kind(content));
}

static bool check_messages(const json_t *messages, const char *path, enum dataset_format format,
                           const char *what, struct error *err)
{
    char param[64];

    if (messages == NULL)
        return fail_param(err, ERR_INVALID, path, "%s: \"%s\" is missing", what, path);
    if (!json_is_array(messages))
        return fail_param(err, ERR_INVALID, path, "%s: \"%s\" is %s, a list was expected", what,
                          path, json_kind(messages));
    if (json_array_size(messages) == 0)
        return fail_param(err, ERR_INVALID, path, "%s: \"%s\" is empty", what, path);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        snprintf(param, sizeof param, "%s[%zu]", path, i);
        if (!check_message(json_array_get(messages, i), param, format, what, err))
            return false;
    }
    return true;
}

static bool check_tools(const json_t *tools, const char *what, struct error *err)
{
    if (!json_is_array(tools))
        return fail_param(err, ERR_INVALID, "tools", "%s: \"tools\" is %s, a list was expected",
                          what, json_kind(tools));
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (!json_is_object(json_array_get(tools, i)))
            return fail_param(err, ERR_INVALID, "tools",
                              "%s: tools[%zu] is %s, an object was expected", what, i,
                              json_kind(json_array_get(tools, i)));
    return true;
}

static bool take_tools(const json_t *of, const char *what, struct dataset_row *row,
                       struct error *err)
{
    const json_t *tools = json_object_get(of, "tools");
    const json_t *parallel = json_object_get(of, "parallel_tool_calls");

    if (parallel != NULL && !json_is_null(parallel) && !json_is_boolean(parallel))
        return fail_param(err, ERR_INVALID, "parallel_tool_calls",
                          "%s: \"parallel_tool_calls\" is %s, true or false was expected", what,
                          json_kind(parallel));
    if (tools == NULL || json_is_null(tools))
        return true;
    row->tools = tools;
    return check_tools(tools, what, err);
}

/* ---- the format of another method ---- */

/* What a row looks like, and by which of its keys. */
static bool recognize(const json_t *item, enum dataset_format *format, const char **sign)
{
    const struct str last = last_role(json_object_get(item, "messages"));

    if (json_object_get(item, "preferred_output") != NULL ||
        json_object_get(item, "non_preferred_output") != NULL) {
        *format = DATASET_PREFERENCE;
        *sign = json_object_get(item, "preferred_output") != NULL ? "has \"preferred_output\""
                                                                  : "has \"non_preferred_output\"";
    } else if (json_object_get(item, "messages") == NULL &&
               json_is_string(json_object_get(item, "completion"))) {
        *format = DATASET_SUPERVISED;
        *sign = "has \"completion\"";
    } else if (str_is(last, "assistant")) {
        *format = DATASET_SUPERVISED;
        *sign = "has \"messages\" that end with one of the assistant";
    } else if (str_is(last, "user")) {
        *format = DATASET_PROMPTS;
        *sign = "has \"messages\" that end with one of the user";
    } else {
        return false;
    }
    return true;
}

bool dataset_recognize(const json_t *item, enum dataset_format *out)
{
    const char *sign;

    return recognize(item, out, &sign);
}

static bool check_format(const json_t *item, enum dataset_format wanted, const char *what,
                         struct error *err)
{
    enum dataset_format is;
    const char *sign;

    if (!recognize(item, &is, &sign) || is == wanted)
        return true;
    if (wanted == DATASET_PROMPTS)
        return fail_param(err, ERR_INVALID, "messages",
                          "%s %s: that is a file for method %s, and rows for the model to answer "
                          "are expected here: \"messages\" whose last is of role \"user\"",
                          what, sign, methods[is]);
    return fail_param(err, ERR_INVALID, "training_file",
                      "%s %s: that is a file for method %s, and this job's method is %s", what,
                      sign, methods[is], methods[wanted]);
}

/* ---- prompts ---- */

static bool check_prompt(const json_t *item, const char *what, struct dataset_row *row,
                         struct error *err)
{
    const json_t *messages = json_object_get(item, "messages");

    if (!check_messages(messages, "messages", DATASET_PROMPTS, what, err))
        return false;
    const struct str last = last_role(messages);
    if (!str_is(last, "user"))
        return fail_param(err, ERR_INVALID, "messages",
                          "%s: the last message is of role \"" STR_FMT
                          "\", \"user\" was expected: the model answers it%s",
                          what, STR_ARG(last),
                          str_is(last, "assistant") ? "; files for method supervised end so" : "");
    const json_t *tools = json_object_get(item, "tools");
    if (tools != NULL && json_is_null(tools))
        tools = NULL;
    if (tools != NULL && !check_tools(tools, what, err))
        return false;
    row->messages = messages;
    row->tools = tools;
    return true;
}

/* ---- supervised ---- */

/* The arguments of a call: a string of JSON becomes the object that it holds. */
static bool take_arguments(json_t *function, const char *path, const char *what, struct error *err)
{
    const json_t *given = json_object_get(function, "arguments");
    char param[64];

    snprintf(param, sizeof param, "%s.name", path);
    if (!json_is_string(json_object_get(function, "name")))
        return fail_param(err, ERR_INVALID, param, "%s: %s is %s, a string was expected", what,
                          param, json_kind(json_object_get(function, "name")));
    snprintf(param, sizeof param, "%s.arguments", path);
    if (json_is_object(given))
        return true;
    if (json_is_string(given)) {
        json_t *value = NULL;
        struct error why;

        if (!json_parse(json_str(given), param, &value, &why) || !json_is_object(value)) {
            json_decref(value);
            return fail_param(err, ERR_INVALID, param,
                              "%s: %s is a string that holds no JSON object", what, param);
        }
        json_object_set_new(function, "arguments", value);
        return true;
    }
    return fail_param(err, ERR_INVALID, param, "%s: %s is %s, a string of JSON was expected", what,
                      param, json_kind(given));
}

static bool take_calls(json_t *m, const char *path, const char *what, struct error *err)
{
    json_t *calls = json_object_get(m, "tool_calls"), *old = json_object_get(m, "function_call");
    char param[64];

    if (old != NULL && !json_is_null(old)) { /* deprecated */
        snprintf(param, sizeof param, "%s.function_call", path);
        if (!json_is_object(old))
            return fail_param(err, ERR_INVALID, param, "%s: %s is %s, an object was expected", what,
                              param, json_kind(old));
        if (calls == NULL || json_is_null(calls))
            json_object_set_new(m, "tool_calls",
                                json_pack("[{s:s, s:O}]", "type", "function", "function", old));
        json_object_del(m, "function_call");
        calls = json_object_get(m, "tool_calls");
    }
    if (calls == NULL || json_is_null(calls))
        return true;
    snprintf(param, sizeof param, "%s.tool_calls", path);
    if (!json_is_array(calls))
        return fail_param(err, ERR_INVALID, param, "%s: %s is %s, a list was expected", what, param,
                          json_kind(calls));
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *function = json_object_get(json_array_get(calls, i), "function");

        snprintf(param, sizeof param, "%s.tool_calls[%zu].function", path, i);
        if (!json_is_object(function))
            return fail_param(err, ERR_INVALID, param, "%s: %s is %s, an object was expected", what,
                              param, json_kind(function));
        if (!take_arguments(function, param, what, err))
            return false;
    }
    return true;
}

/* *learned: counts the assistant's messages that are learned. */
static bool take_message(json_t *m, const char *path, const char *what, size_t *learned,
                         struct error *err)
{
    const json_t *weight = json_object_get(m, "weight");
    const bool assistant = str_is(role_of(m), "assistant");
    char param[64];

    if (str_is(role_of(m), "function"))
        json_object_set_new(m, "role", json_string("tool")); /* deprecated */
    snprintf(param, sizeof param, "%s.weight", path);
    if (weight != NULL && !json_is_null(weight)) {
        if (!assistant)
            return fail_param(err, ERR_INVALID, param,
                              "%s: %s stands in a message that is not the assistant's: only those "
                              "are learned",
                              what, param);
        if (!json_is_integer(weight) ||
            (json_integer_value(weight) != 0 && json_integer_value(weight) != 1))
            return fail_param(err, ERR_INVALID, param, "%s: %s is %s, 0 or 1 was expected", what,
                              param, json_is_number(weight) ? "another number" : json_kind(weight));
    }
    *learned += assistant && !(json_is_integer(weight) && json_integer_value(weight) == 0);
    return !assistant || take_calls(m, path, what, err);
}

/* Deprecated: a list of functions, which are tools without their shell. */
static bool take_functions(json_t *item, const char *what, struct error *err)
{
    const json_t *functions = json_object_get(item, "functions");

    if (functions == NULL || json_is_null(functions))
        return true;
    if (!json_is_array(functions))
        return fail_param(err, ERR_INVALID, "functions",
                          "%s: \"functions\" is %s, a list was expected", what,
                          json_kind(functions));
    if (json_array_size(json_object_get(item, "tools")) > 0)
        return fail_param(err, ERR_INVALID, "functions",
                          "%s: there are \"tools\" and \"functions\", one of them was expected",
                          what);
    json_t *tools = json_array();
    for (size_t i = 0; i < json_array_size(functions); i++) {
        json_t *f = json_array_get(functions, i);

        if (!json_is_object(f)) {
            json_decref(tools);
            return fail_param(err, ERR_INVALID, "functions",
                              "%s: functions[%zu] is %s, an object was expected", what, i,
                              json_kind(f));
        }
        json_array_append_new(tools, json_pack("{s:s, s:O}", "type", "function", "function", f));
    }
    json_object_set_new(item, "tools", tools);
    return true;
}

static bool check_texts(const json_t *item, const char *what, struct dataset_row *row,
                        struct error *err)
{
    row->prompt = json_object_get(item, "prompt");
    row->completion = json_object_get(item, "completion");
    if (!json_is_string(row->prompt))
        return fail_param(err, ERR_INVALID, "prompt", "%s: \"prompt\" is %s, a string was expected",
                          what, row->prompt == NULL ? "missing" : json_kind(row->prompt));
    if (!json_is_string(row->completion))
        return fail_param(err, ERR_INVALID, "completion",
                          "%s: \"completion\" is %s, a string was expected", what,
                          row->completion == NULL ? "missing" : json_kind(row->completion));
    return true;
}

static bool check_supervised(json_t *item, const char *what, struct dataset_row *row,
                             struct error *err)
{
    const json_t *messages = json_object_get(item, "messages");
    size_t learned = 0;
    char path[64];

    if (messages == NULL &&
        (json_object_get(item, "completion") != NULL || json_object_get(item, "prompt") != NULL))
        return check_texts(item, what, row, err);
    if (!check_messages(messages, "messages", DATASET_SUPERVISED, what, err))
        return false;
    const struct str last = last_role(messages);
    if (!str_is(last, "assistant"))
        return fail_param(err, ERR_INVALID, "messages",
                          "%s: the last message is of role \"" STR_FMT
                          "\", \"assistant\" was expected: it is what is learned",
                          what, STR_ARG(last));
    for (size_t i = 0; i < json_array_size(messages); i++) {
        snprintf(path, sizeof path, "messages[%zu]", i);
        if (!take_message(json_array_get(messages, i), path, what, &learned, err))
            return false;
    }
    if (learned == 0)
        return fail_param(err, ERR_INVALID, "messages",
                          "%s: every message of the assistant has \"weight\" 0, so there is "
                          "nothing to learn from the row",
                          what);
    row->messages = messages;
    return take_functions(item, what, err) && take_tools(item, what, row, err);
}

/* ---- preference ---- */

static bool check_output(const json_t *item, const char *key, const char *what, const json_t **out,
                         struct error *err)
{
    const json_t *list = json_object_get(item, key);
    char path[64];

    if (!check_messages(list, key, DATASET_PREFERENCE, what, err))
        return false;
    if (json_array_size(list) != 1)
        return fail_param(err, ERR_INVALID, key,
                          "%s: \"%s\" has %zu messages, exactly one was expected", what, key,
                          json_array_size(list));
    const json_t *m = json_array_get(list, 0), *calls = json_object_get(m, "tool_calls");
    snprintf(path, sizeof path, "%s[0]", key);
    if (!str_is(role_of(m), "assistant"))
        return fail_param(err, ERR_INVALID, path,
                          "%s: %s is of role \"" STR_FMT "\", \"assistant\" was expected", what,
                          path, STR_ARG(role_of(m)));
    if (calls != NULL && !json_is_null(calls))
        return fail_param(err, ERR_UNSUPPORTED, path,
                          "%s: %s calls tools; method dpo compares texts alone", what, path);
    *out = m;
    return true;
}

static bool check_preference(const json_t *item, const char *what, struct dataset_row *row,
                             struct error *err)
{
    const json_t *input = json_object_get(item, "input");

    if (!json_is_object(input))
        return fail_param(err, ERR_INVALID, "input", "%s: \"input\" is %s, an object was expected",
                          what, input == NULL ? "missing" : json_kind(input));
    row->messages = json_object_get(input, "messages");
    if (!check_messages(row->messages, "input.messages", DATASET_PREFERENCE, what, err))
        return false;
    if (str_is(last_role(row->messages), "assistant"))
        return fail_param(err, ERR_INVALID, "input.messages",
                          "%s: the last message of \"input\" is the assistant's; it is "
                          "\"preferred_output\" that answers, so another role was expected",
                          what);
    return take_tools(input, what, row, err) &&
           check_output(item, "preferred_output", what, &row->preferred, err) &&
           check_output(item, "non_preferred_output", what, &row->rejected, err);
}

bool dataset_check_row(json_t *item, enum dataset_format format, const char *what,
                       struct dataset_row *row, struct error *err)
{
    if (!json_is_object(item))
        return fail(err, ERR_INVALID, "%s: the line is %s, an object was expected", what,
                    json_kind(item));
    /* messages that end with the assistant are told of with their place, below */
    if ((format != DATASET_PROMPTS || json_object_get(item, "messages") == NULL) &&
        !check_format(item, format, what, err))
        return false;
    switch (format) {
    case DATASET_SUPERVISED:
        return check_supervised(item, what, row, err);
    case DATASET_PREFERENCE:
        return check_preference(item, what, row, err);
    case DATASET_PROMPTS:
        break;
    }
    return check_prompt(item, what, row, err);
}

bool dataset_takes(const json_t *item, enum dataset_format format, const char *what,
                   struct error *err)
{
    json_t *copy = json_deep_copy(item); /* checking makes the present form of it */
    struct dataset_row row = {0};
    const bool ok = dataset_check_row(copy, format, what, &row, err);

    json_decref(copy);
    return ok;
}
