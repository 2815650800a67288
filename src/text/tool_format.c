/*
 * tool_format.c - the table, and the hermes form as text.
 */
#include "text/tool_format.h"
#include "base/limits.h"
#include "base/size.h"
#include "text/tool_parser.h"

#define S(text)                                                                                    \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const struct tool_format formats[] = {
    {.name = "hermes",
     .body = TOOL_BODY_JSON,
     .open = S("<tool_call>"),
     .close = S("</tool_call>"),
     .between = S("\n"),
     .arguments = "arguments"},
    {.name = "xml",
     .body = TOOL_BODY_XML,
     .open = S("<tool_call>"),
     .close = S("</tool_call>"),
     .between = S("\n")},
    {.name = "mistral",
     .body = TOOL_BODY_JSON,
     .open = S("[TOOL_CALLS]"),
     .arguments = "arguments",
     .list = true},
    {.name = "phi",
     .body = TOOL_BODY_JSON,
     .open = S("<|tool_call|>"),
     .close = S("<|/tool_call|>"),
     .arguments = "arguments",
     .list = true},
    {.name = "granite",
     .body = TOOL_BODY_JSON,
     .open = S("<|tool_call|>"),
     .arguments = "arguments",
     .list = true},
    {.name = "mistral-args",
     .body = TOOL_BODY_NAMED,
     .open = S("[TOOL_CALLS]"),
     .id = S("[CALL_ID]"),
     .mid = S("[ARGS]")},
    {.name = "deepseek",
     .body = TOOL_BODY_NAMED,
     .before = S("<｜tool▁calls▁begin｜>"),
     .open = S("<｜tool▁call▁begin｜>"),
     .mid = S("<｜tool▁sep｜>"),
     .close = S("<｜tool▁call▁end｜>"),
     .after = S("<｜tool▁calls▁end｜>")},
    {.name = "deepseek-r1",
     .body = TOOL_BODY_NAMED,
     .before = S("<｜tool▁calls▁begin｜>"),
     .open = S("<｜tool▁call▁begin｜>"),
     .lead = S("function<｜tool▁sep｜>"),
     .mid = S("\n```json\n"),
     .tail = S("\n```"),
     .close = S("<｜tool▁call▁end｜>"),
     .between = S("\n"),
     .after = S("<｜tool▁calls▁end｜>")},
    {.name = "harmony",
     .body = TOOL_BODY_CHANNELS,
     .open = S("<|channel|>commentary to=functions."),
     .mid = S(" <|constrain|>json<|message|>"),
     .close = S("<|end|>"),
     .between = S("<|start|>assistant")},
    {.name = "olmo",
     .body = TOOL_BODY_PYTHON,
     .open = S("<function_calls>"),
     .close = S("</function_calls>"),
     .between = S("\n")},
    {.name = "lfm",
     .body = TOOL_BODY_PYTHON,
     .open = S("<|tool_call_start|>"),
     .close = S("<|tool_call_end|>"),
     .list = true},
    {.name = "python",
     .body = TOOL_BODY_PYTHON,
     .open = S("<|python_start|>"),
     .close = S("<|python_end|>"),
     .list = true,
     .bare = true},
    {.name = "llama",
     .body = TOOL_BODY_JSON,
     .open = S("<|python_tag|>"),
     .between = S("; "),
     .arguments = "parameters",
     .bare = true},
};

const struct tool_format *tool_formats(size_t *n)
{
    *n = COUNT_OF(formats);
    return formats;
}

const struct tool_format *tool_format_hermes(void)
{
    return &formats[0];
}

const json_t *tool_function(const json_t *tool)
{
    const json_t *f = json_object_get(tool, "function");

    return json_is_object(f) ? f : tool;
}

const json_t *tool_named(const json_t *tools, struct str name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *f = tool_function(json_array_get(tools, i)),
                     *own = json_object_get(f, "name");

        if (json_is_string(own) && str_eq(json_str(own), name))
            return f;
    }
    return NULL;
}

static bool within(struct str text, struct str token)
{
    return token.len > 0 && str_find(text, token, 0) < text.len;
}

static bool is_probe(const struct tool_calls *found)
{
    struct error unheard = {0};
    json_t *v = NULL;
    bool same = found->n == 1 && str_is(found->calls[0].name, TOOL_PROBE_NAME) &&
                json_parse(found->calls[0].arguments, "a call", &v, &unheard);

    same = same && json_object_size(v) == 1 &&
           str_is(json_str(json_object_get(v, TOOL_PROBE_KEY)), TOOL_PROBE_VALUE);
    json_decref(v);
    return same;
}

/* Behind the last text before the call that begins a message of an assistant's. */
static struct str from_message(const struct tool_format *f, struct str rendered)
{
    const size_t call = str_find(rendered, STR("to=functions." TOOL_PROBE_NAME), 0);
    size_t from = rendered.len;

    for (size_t at = 0; (at = str_find(rendered, f->between, at)) < call; at += f->between.len)
        from = at + f->between.len;
    return str_from(rendered, from);
}

/* A format without a marker is looked for where the call would begin. */
static struct str from_call(const struct tool_format *f, struct str rendered)
{
    static const struct str json = S("{\"name\": \"" TOOL_PROBE_NAME "\", \"parameters\": "),
                            python = S("[" TOOL_PROBE_NAME "(");
    const struct str begins = f->body == TOOL_BODY_PYTHON ? python : json;

    if (f->body == TOOL_BODY_CHANNELS)
        return from_message(f, rendered);
    return f->bare ? str_from(rendered, str_find(rendered, begins, 0)) : rendered;
}

const struct tool_format *tool_format_of(struct str rendered)
{
    json_t *tools =
        json_pack("[{s:s, s:{s:s}}]", "type", "function", "function", "name", TOOL_PROBE_NAME);
    const struct tool_format *found = NULL;

    for (size_t i = 0; i < COUNT_OF(formats) && found == NULL; i++) {
        const struct tool_options opt = {.format = &formats[i], .tools = tools};
        struct arena a = {0};
        struct tool_calls calls;

        tool_calls_read(&opt, from_call(opt.format, rendered), &a, &calls);
        /* reading forgives a closing that is missing; who writes one is told from who does not by it */
        if (is_probe(&calls) &&
            (opt.format->close.len == 0 || opt.format->bare || within(rendered, opt.format->close)))
            found = &formats[i];
        arena_release(&a);
    }
    json_decref(tools);
    return found;
}

bool tool_format_marks(const struct tool_format *f, struct str token)
{
    return within(f->before, token) || within(f->open, token) || within(f->close, token) ||
           within(f->between, token) || within(f->after, token) || within(f->lead, token) ||
           within(f->mid, token) || within(f->id, token);
}

/* ---- as text ---- */

static const char before_tools[] =
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with "
    "function signatures within <tools></tools> XML tags:\n<tools>";
static const char behind_tools[] =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": "
    "<args-json-object>}\n</tool_call>";

static const struct json_format as_python = {.style = JSON_STYLE_PYTHON};

static bool has_role(const json_t *m, const char *role)
{
    return str_is(json_str(json_object_get(m, "role")), role);
}

static void set_content(json_t *m, const struct buf *text)
{
    json_object_set_new(m, "content", json_stringn(buf_view(text).ptr, text->len));
}

/* The first message tells of the tools. */
static void put_tools(json_t *messages, const json_t *tools)
{
    json_t *first = json_array_get(messages, 0);
    struct buf text;

    buf_init(&text, LIMIT_RENDER_BYTES);
    if (has_role(first, "system") || has_role(first, "developer")) {
        buf_str(&text, json_str(json_object_get(first, "content")));
        buf_text(&text, text.len > 0 ? "\n\n" : "");
    } else {
        first = json_pack("{s:s}", "role", "system");
        json_array_insert_new(messages, 0, first);
    }
    buf_text(&text, before_tools);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        buf_char(&text, '\n');
        json_write(&text, json_array_get(tools, i), &as_python);
    }
    buf_text(&text, behind_tools);
    set_content(first, &text);
    buf_release(&text);
}

static void put_calls(json_t *m)
{
    const json_t *calls = json_object_get(m, "tool_calls");
    struct buf text;

    buf_init(&text, LIMIT_RENDER_BYTES);
    buf_str(&text, json_str(json_object_get(m, "content")));
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *f = tool_function(json_array_get(calls, i)),
                     *arguments = json_object_get(f, "arguments");

        buf_text(&text, text.len > 0 ? "\n<tool_call>\n{\"name\": " : "<tool_call>\n{\"name\": ");
        json_write_string(&text, json_str(json_object_get(f, "name")), false);
        buf_text(&text, ", \"arguments\": ");
        if (json_is_string(arguments))
            buf_str(&text, json_str(arguments));
        else if (arguments != NULL)
            json_write(&text, arguments, &as_python);
        else
            buf_text(&text, "{}");
        buf_text(&text, "}\n</tool_call>");
    }
    set_content(m, &text);
    json_object_del(m, "tool_calls");
    buf_release(&text);
}

/* The result of a tool, as the user's words; together with the one before it. */
static void put_result(json_t *out, const json_t *m, bool follows)
{
    json_t *last = json_array_get(out, json_array_size(out) - 1);
    struct buf text;

    buf_init(&text, LIMIT_RENDER_BYTES);
    if (follows) {
        buf_str(&text, json_str(json_object_get(last, "content")));
        buf_char(&text, '\n');
    } else {
        last = json_pack("{s:s}", "role", "user");
        json_array_append_new(out, last);
    }
    buf_text(&text, "<tool_response>\n");
    buf_str(&text, json_str(json_object_get(m, "content")));
    buf_text(&text, "\n</tool_response>");
    set_content(last, &text);
    buf_release(&text);
}

json_t *tool_text_messages(const json_t *messages, const json_t *tools)
{
    json_t *out = json_array();
    bool was_result = false;

    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i);

        if (has_role(m, "tool")) {
            put_result(out, m, was_result);
            was_result = true;
            continue;
        }
        json_t *copy = json_deep_copy(m);
        if (json_array_size(json_object_get(copy, "tool_calls")) > 0)
            put_calls(copy);
        json_array_append_new(out, copy);
        was_result = false;
    }
    if (json_array_size(tools) > 0)
        put_tools(out, tools);
    return out;
}
