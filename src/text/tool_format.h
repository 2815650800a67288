/*
 * tool_format.h - how a model writes that it calls a tool, as data.
 *
 *     hermes          <tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call>          Hermes, Qwen 2.5 and 3, SmolLM2
 *     xml             <tool_call>\n<function=f>\n<parameter=x>\n1\n</parameter>\n</function>\n</tool_call>    Qwen3-Coder
 *     llama           {"name": "f", "parameters": {...}}              Llama 3.x; the answer is the call, and nothing else
 *     mistral         [TOOL_CALLS][{"name": "f", "arguments": {...}}]
 *     phi             <|tool_call|>[{"name": "f", "arguments": {...}}]<|/tool_call|>          Phi-4-mini
 *     granite         the same without the closing
 *     mistral-args    [TOOL_CALLS]f[ARGS]{...}                         Mistral since 2025
 *     deepseek        <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{...}<｜tool▁call▁end｜><｜tool▁calls▁end｜>
 *     deepseek-r1     the same with function<｜tool▁sep｜>f, and the arguments in a block of ```json
 *     harmony         <|channel|>commentary to=functions.f <|constrain|>json<|message|>{...}<|call|>      gpt-oss
 *     python          [f(x=1, y="a"), g()]                 Llama 3.2 and 4 where told so; the answer is the calls, and nothing else
 *     olmo            <function_calls>\nf(x=1, y="a")\ng()\n</function_calls>         OLMo 3
 *     lfm             <|tool_call_start|>[f(x=1, y="a"), g()]<|tool_call_end|>         LFM2
 *
 * Which one is a template's own is found by rendering a call and looking at what comes out (sample/prompt.h), not by names.
 * A template that offers no tools to the model, or writes calls in none of these ways, gets the hermes form by text: the
 * tools stand in the system message, in these words (TOOL_TEXT below),
 *
 *     # Tools
 *
 *     You may call one or more functions to assist with the user query.
 *
 *     You are provided with function signatures within <tools></tools> XML tags:
 *     <tools>
 *     {"type": "function", "function": {...}}        a tool a line, as Python's json.dumps writes it
 *     </tools>
 *
 *     For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
 *     <tool_call>
 *     {"name": <function-name>, "arguments": <args-json-object>}
 *     </tool_call>
 *
 * which are Qwen's and near to those of Hermes, so that most models have read them. They stand behind the text of a first
 * message of role system or developer, or in a system message of their own. Calls of the assistant become text behind its
 * content, and a result (role tool) becomes a message of the user: <tool_response>\n...\n</tool_response>; results that
 * follow each other are one message.
 */
#ifndef HONE_TEXT_TOOL_FORMAT_H
#define HONE_TEXT_TOOL_FORMAT_H

#include "text/json.h"

enum tool_body {
    TOOL_BODY_JSON,   /* an object with the name and the arguments, or a list of such */
    TOOL_BODY_NAMED,  /* the name as text, then the arguments as an object */
    TOOL_BODY_XML,    /* a tag a parameter */
    TOOL_BODY_PYTHON, /* calls as Python writes them, in a list or one a line */
    TOOL_BODY_CHANNELS, /* harmony: a message of the answer, whose header names the function; then an object */
};

/*
 * Every text may be empty. What stands around a call: before open ... close between open ... close after. CHANNELS: close ends a
 * message, between begins the next one.
 */
struct tool_format {
    const char *name;
    enum tool_body body;
    struct str before, open, close, between, after;
    struct str lead, mid,
        tail;      /* NAMED: open lead NAME mid {...} tail close; CHANNELS: open NAME mid {...} */
    struct str id; /* NAMED: what an id of the model's own may follow, before mid */
    const char *
        arguments; /* JSON: the key of the arguments as it is written; read are "arguments" and "parameters" */
    bool list; /* JSON, PYTHON: calls are written as a list between open and close */
    bool bare; /* calls stand at the beginning of an answer or nowhere; open may be missing */
};

const struct tool_format *tool_formats(size_t *n);
const struct tool_format *tool_format_hermes(void);

/* The call that a template is asked to render, to see how it writes one. */
#define TOOL_PROBE_NAME "probe_function"
#define TOOL_PROBE_KEY "probe_key"
#define TOOL_PROBE_VALUE "probe value"
#define TOOL_PROBE_ID "Probe0001" /* as Mistral's templates want ids */
/* How a rendered text writes that call; NULL: in none of the ways above. */
const struct tool_format *tool_format_of(struct str rendered);

/* Whether a text is part of what stands around a call: special tokens that are must not be left out of an answer. */
bool tool_format_marks(const struct tool_format *f, struct str token);

/* {"name", "parameters", ...} of a tool, whether or not it stands in {"type": "function", "function": ...}. */
const json_t *tool_function(const json_t *tool);
/* NULL: there is none of this name among tools, a list or NULL. */
const json_t *tool_named(const json_t *tools, struct str name);

/*
 * tools, tool_calls and tool messages as text, as said above. messages as templates want them (chat_messages.h); tools may
 * be NULL. A new tree.
 */
json_t *tool_text_messages(const json_t *messages, const json_t *tools);
#endif
