/*
 * tool_prompt_driver.c - conversations with tools in through a pipe, what a model reads out: what tool_prompt_test.py compares
 * with jinja2. argv[1]: a model's folder.
 *
 *     {"template": "...", "messages": [...], "tools": [...]}    becomes    {"format": "hermes", "as_text": false, "text": "..."}
 *                                                                    or    {"error": WHY}, with what is known besides
 *     {"format": "python", "answer": "...", "tools": [...]}      becomes    {"text": "...", "calls": [{"name": "f", "arguments": "{...}"}]}
 */
#include "sample/prompt.h"

#include <stdio.h>
#include <stdlib.h>

static void read_calls(const json_t *line)
{
    struct tool_options opt = {.tools = json_object_get(line, "tools")};
    json_t *calls = json_array(), *out;
    struct tool_calls found;
    struct arena a = {0};
    size_t n;
    const struct tool_format *all = tool_formats(&n);

    for (size_t i = 0; i < n; i++)
        if (str_is(json_str(json_object_get(line, "format")), all[i].name))
            opt.format = &all[i];
    tool_calls_read(&opt, json_str(json_object_get(line, "answer")), &a, &found);
    for (size_t i = 0; i < found.n; i++) {
        const struct tool_call *c = &found.calls[i];

        json_array_append_new(calls, json_pack("{s:s%, s:s%}", "name", c->name.ptr, c->name.len,
                                               "arguments", c->arguments.ptr, c->arguments.len));
    }
    out = json_pack("{s:s%, s:o}", "text", found.text.ptr, found.text.len, "calls", calls);
    json_dumpf(out, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(out);
    arena_release(&a);
}

static void answer(const struct model *m, const json_t *line)
{
    struct arena a = {0};
    struct error err = {0};
    struct prompter *p = NULL;
    struct prompt prompt;
    json_t *out = json_object();

    bool ok = prompter_open(m, json_string_value(json_object_get(line, "template")), &p, &err);
    if (ok) {
        json_object_set_new(out, "format", json_string(prompter_tool_format(p)->name));
        json_object_set_new(out, "as_text", json_boolean(prompter_tools_as_text(p)));
        ok = prompter_render(p, json_object_get(line, "messages"), json_object_get(line, "tools"),
                             NULL, &a, &prompt, &err);
    }
    json_object_set_new(out, ok ? "text" : "error",
                        ok ? json_stringn(prompt.text.ptr, prompt.text.len)
                           : json_string(err.message));
    json_dumpf(out, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(out);
    prompter_close(p);
    arena_release(&a);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct model *m = NULL;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    if (argc != 2 || !model_open(argv[1], 0, &m, &err))
        return 2;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        json_t *v = NULL;

        if (!json_parse((struct str){line, (size_t)n}, "a line", &v, &err))
            return 2;
        if (json_object_get(v, "answer") != NULL)
            read_calls(v);
        else
            answer(m, v);
        json_decref(v);
    }
    free(line);
    model_close(m);
    return 0;
}
