/*
 * prompt.c - template and tokenizer around the engine.
 */
#include "base/limits.h"
#include "base/size.h"
#include "sample/prompt_internal.h"
#include "text/chat_messages.h"

#include <stdio.h>
#include <stdlib.h>

static bool find_tool_format(struct prompter *p, struct error *err);
static bool takes_no_think(const struct prompter *p);

/* What an assistant draws of special tokens before its turn ends: the tags of thinking and of calls, but for harmony's, which make messages. */
static bool may_say(const void *ctx, struct str token)
{
    const struct prompter *p = ctx;
    const struct reasoning *r = &p->reasoning;

    return (r->on && r->skip.len == 0 &&
            (str_find(r->open, token, 0) < r->open.len ||
             str_find(r->close, token, 0) < r->close.len)) ||
           (p->tool_format != NULL && p->tool_format->body != TOOL_BODY_CHANNELS &&
            tool_format_marks(p->tool_format, token));
}

/* Takes p over, whose model is there. */
static bool open_prompter(struct prompter *p, const char *template_override, struct prompter **out,
                          struct error *err)
{
    const struct model_config *c = &p->model->config;

    p->tokenizer = model_files_tokenizer(p->model->files);
    p->source = template_override != NULL ? str_of(template_override)
                                          : model_files_template(p->model->files);
    p->bos = tokenizer_bytes(p->tokenizer, c->bos);
    p->eos = c->n_eos > 0 ? tokenizer_bytes(p->tokenizer, c->eos[0]) : (struct str){"", 0};
    bool ok = p->source.len > 0
                  ? true
                  : fail(err, ERR_INVALID, "%s has no chat template; give one with --template FILE",
                         p->model->path);
    p->source = arena_str(&p->arena, p->source);
    ok = ok && forms_open(p->model, &p->forms, err) &&
         chat_template_open(p->source, &p->template, err) && prompter_reason(p, NULL, err);
    if (ok) {
        guard_init(&p->guard, p->tokenizer, c, &p->arena);
        p->guard.may_say = may_say;
        p->guard.ctx = p;
        ok = find_tool_format(p, err);
        p->no_think_as_text = takes_no_think(p);
    }
    if (!ok) {
        prompter_close(p);
        return false;
    }
    *out = p;
    return true;
}

bool prompter_open(const struct model *m, const char *template_override, struct prompter **out,
                   struct error *err)
{
    struct prompter *p = calloc(1, sizeof *p);

    if (p == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a chat template");
    p->model = m;
    return open_prompter(p, template_override, out, err);
}

bool prompter_open_files(const struct model_files *files, const char *template_override,
                         struct prompter **out, struct error *err)
{
    struct prompter *p = calloc(1, sizeof *p);

    if (p == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a chat template");
    struct model *m = ARENA_NEW(&p->arena, struct model);
    m->config = *model_files_config(files);
    m->files = (struct model_files *)(uintptr_t)files; /* only read */
    snprintf(m->path, sizeof m->path, "the model");
    p->model = m;
    return open_prompter(p, template_override, out, err);
}

void prompter_close(struct prompter *p)
{
    if (p == NULL)
        return;
    constraint_close(p->held);
    forms_close(p->forms);
    chat_template_close(p->template);
    token_list_release(&p->reasoning.close_ids);
    token_list_release(&p->in_channels.close_ids);
    arena_release(&p->arena);
    free(p);
}

const struct tokenizer *prompter_tokenizer(const struct prompter *p)
{
    return p->tokenizer;
}

const struct reasoning *prompter_reasoning(const struct prompter *p)
{
    return &p->reasoning;
}

/*
 * The tags that models in circulation think between, and what says that it does not think: the final channel of gpt-oss,
 * whose thinking is a message of its own.
 */
#define NEXT_MESSAGE "<|end|><|start|>assistant"
#define FINAL_CHANNEL "<|channel|>final<|message|>"
static const struct {
    const char *open, *close, *skip;
} known_tags[] = {
    {"<think>", "</think>", ""},
    {"[THINK]", "[/THINK]", ""},
    {"<reasoning>", "</reasoning>", ""},
    {"<seed:think>", "</seed:think>", ""},
    {"<mm:think>", "</mm:think>", ""},
    {"<|START_THINKING|>", "<|END_THINKING|>", ""},
    {"<|inner_prefix|>", "<|inner_suffix|>", ""},
    {"<|begin_of_thought|>", "<|end_of_thought|>", ""},
    {"<|channel>thought\n", "<channel|>", ""},
    {"<|channel|>analysis<|message|>", NEXT_MESSAGE FINAL_CHANNEL, FINAL_CHANNEL},
};

/* What of them a template must name: harmony's closing is put together there. */
static struct str named_tag(size_t i)
{
    return str_of(known_tags[i].skip[0] != '\0' ? known_tags[i].open : known_tags[i].close);
}

/* A template that parts thinking from answers names the closing at least: of some models only they write the opening. */
static void tags_of_template(const struct prompter *p, struct reasoning *r)
{
    for (size_t i = 0; i < COUNT_OF(known_tags) && !r->on; i++) {
        r->open = str_of(known_tags[i].open);
        r->close = str_of(known_tags[i].close);
        r->skip = str_of(known_tags[i].skip);
        r->on = str_find(p->source, named_tag(i), 0) < p->source.len;
    }
}

static bool tags_of_job(struct prompter *p, const json_t *spec, struct reasoning *r,
                        struct error *err)
{
    static const char what[] = "\"reasoning\"";
    int64_t budget = 0;

    if (!json_is_object(spec))
        return fail_param(err, ERR_INVALID, "reasoning",
                          "\"reasoning\" is %s, an object with \"open\" and \"close\" was expected",
                          json_kind(spec));
    if (!json_get_int(spec, "budget", what, 0, 0, (int64_t)LIMIT_CONTEXT, &budget, err))
        return false;
    r->budget = (size_t)budget;
    if (json_object_get(spec, "open") == NULL && json_object_get(spec, "close") == NULL) {
        tags_of_template(p, r);
        return r->on || fail_param(err, ERR_INVALID, "reasoning",
                                   "\"reasoning\" has no \"open\" and \"close\", and the chat "
                                   "template has no thinking tags to take in their place");
    }
    if (!json_get_str(spec, "open", what, &r->open, err) ||
        !json_get_str(spec, "close", what, &r->close, err))
        return false;
    if (r->open.len == 0 || r->close.len == 0)
        return fail_param(err, ERR_INVALID, "reasoning",
                          "\"reasoning\": \"open\" and \"close\" must not be empty");
    r->open = arena_str(&p->arena, r->open);
    r->close = arena_str(&p->arena, r->close);
    r->on = r->forced_open = true;
    return true;
}

/* Thinking of an answer that may call tools, where both are harmony's. */
static bool open_channels(struct prompter *p, struct error *err)
{
    struct reasoning r = p->reasoning;

    token_list_release(&p->in_channels.close_ids);
    p->in_channels = (struct reasoning){0};
    if (p->tool_format == NULL || p->tool_format->body != TOOL_BODY_CHANNELS || !r.on ||
        r.skip.len == 0)
        return true;
    r.close = STR(NEXT_MESSAGE);
    r.skip = STR("");
    r.close_ids = (struct token_list){0};
    if (!tokenizer_encode(p->tokenizer, r.close, true, &r.close_ids, err)) {
        token_list_release(&r.close_ids);
        return false;
    }
    p->in_channels = r;
    return true;
}

bool prompter_reason(struct prompter *p, const json_t *spec, struct error *err)
{
    struct reasoning r = {0};

    if (spec == NULL || json_is_null(spec))
        tags_of_template(p, &r);
    else if (!tags_of_job(p, spec, &r, err))
        return false;
    if (r.on && !tokenizer_encode(p->tokenizer, r.close, true, &r.close_ids, err)) {
        token_list_release(&r.close_ids);
        return false;
    }
    token_list_release(&p->reasoning.close_ids);
    p->reasoning = r;
    return open_channels(p, err);
}

void prompter_parse_special(struct prompter *p, bool parse)
{
    p->guard.off = parse;
}

const struct reasoning *prompter_reasoning_of(const struct prompter *p, bool tools)
{
    return tools && p->in_channels.on ? &p->in_channels : &p->reasoning;
}

/* What ends the budget is written as by `last`: of harmony's answers the beginning of the final one, or they might think on. */
static struct thinking_options thinking_of(const struct reasoning *r, const struct reasoning *last,
                                           bool inside)
{
    if (!r->on)
        return (struct thinking_options){0};
    return (struct thinking_options){.on = inside,
                                     .open = r->open,
                                     .close = r->close,
                                     .close_ids = last->close_ids.ids,
                                     .n_close_ids = last->close_ids.n,
                                     .budget = r->budget};
}

struct thinking_options prompter_thinking(const struct prompter *p, const struct prompt *to)
{
    return thinking_of(prompter_reasoning_of(p, to->tools), &p->reasoning, to->thinking);
}

struct thinking_options prompter_thinking_before_call(const struct prompter *p,
                                                      const struct prompt *to)
{
    const struct reasoning *r = prompter_reasoning_of(p, true);

    return thinking_of(r, r, to->thinking);
}

struct forms *prompter_forms(const struct prompter *p)
{
    return p->forms;
}

bool prompter_form(const struct prompter *p, const json_t *format, struct constraint **out,
                   struct error *err)
{
    return forms_get(p->forms, format, out, err);
}

bool prompter_hold(struct prompter *p, const json_t *format, struct error *err)
{
    struct constraint *c = NULL;

    if (!prompter_form(p, format, &c, err))
        return false;
    constraint_close(p->held);
    p->held = c;
    return true;
}

const struct constraint *prompter_held(const struct prompter *p)
{
    return p->held;
}

struct answer_rules prompter_rules(const struct prompter *p,
                                   const struct thinking_options *thinking,
                                   const struct answer_rules *like,
                                   struct constraint_scratch *scratch, struct arena *a)
{
    return answer_rules_of(&p->model->config, p->tokenizer, thinking, p->held, like, scratch, a);
}

static struct str trimmed(struct str s)
{
    return thinking_trim_end(thinking_trim_begin(s));
}

bool prompter_ends_open(const struct prompter *p, struct str text)
{
    const struct reasoning *r = &p->reasoning;
    const struct str open = thinking_trim_end(r->open);

    return r->on && open.len > 0 && str_ends(thinking_trim_end(text), open);
}

static json_t *variables(const struct prompter *p, const json_t *messages, const json_t *tools,
                         const json_t *extra, bool generation)
{
    json_t *vars = json_object();

    if (extra != NULL)
        json_object_update(vars, (json_t *)(uintptr_t)extra);
    json_object_set_new(vars, "messages", json_incref((json_t *)(uintptr_t)messages));
    if (tools != NULL)
        json_object_set_new(vars, "tools", json_incref((json_t *)(uintptr_t)tools));
    json_object_set_new(vars, "add_generation_prompt", json_boolean(generation));
    json_object_set_new(vars, "bos_token", json_stringn(p->bos.ptr, p->bos.len));
    json_object_set_new(vars, "eos_token", json_stringn(p->eos.ptr, p->eos.len));
    return vars;
}

/* ---- tools ---- */

static json_t *probe_tool(void)
{
    return json_pack("[{s:s, s:{s:s, s:s, s:{s:s, s:{s:{s:s, s:s}}, s:[s]}}}]", "type", "function",
                     "function", "name", TOOL_PROBE_NAME, "description", "A function.",
                     "parameters", "type", "object", "properties", TOOL_PROBE_KEY, "type", "string",
                     "description", "A text.", "required", TOOL_PROBE_KEY);
}

/* A question, and where it is asked for a call and its result. */
static json_t *probe_messages(bool call)
{
    json_t *out = json_pack("[{s:s, s:s}]", "role", "user", "content", "Hi");

    if (!call)
        return out;
    json_array_append_new(out,
                          json_pack("{s:s, s:s, s:[{s:s, s:s, s:{s:s, s:{s:s}}}]}", "role",
                                    "assistant", "content", "", "tool_calls", "id", TOOL_PROBE_ID,
                                    "type", "function", "function", "name", TOOL_PROBE_NAME,
                                    "arguments", TOOL_PROBE_KEY, TOOL_PROBE_VALUE));
    json_array_append_new(out,
                          json_pack("{s:s, s:s, s:s, s:s}", "role", "tool", "name", TOOL_PROBE_NAME,
                                    "tool_call_id", TOOL_PROBE_ID, "content", "1"));
    return out;
}

/* Takes messages over. What the template makes of them; nothing where it fails. */
static void render_probe(const struct prompter *p, json_t *messages, bool with_tools,
                         struct buf *out)
{
    json_t *tools = probe_tool(),
           *vars = variables(p, messages, with_tools ? tools : NULL, NULL, true);
    struct error unheard = {0};
    size_t n_spans;

    buf_clear(out);
    if (!chat_template_render(p->template, vars, out, NULL, 0, &n_spans, &unheard))
        buf_clear(out);
    json_decref(vars);
    json_decref(tools);
    json_decref(messages);
}

/* Some templates want arguments as a text, and some content none, or they leave calls out. */
static const struct tool_format *format_of_calls(const struct prompter *p, struct buf *text,
                                                 struct chat_messages_form *form)
{
    const struct tool_format *found = NULL;
    json_t *messages = probe_messages(true);

    for (unsigned i = 0; i < 4 && found == NULL; i++) {
        *form = (struct chat_messages_form){.arguments_as_text = (i & 1) != 0,
                                            .null_beside_calls = (i & 2) != 0};
        render_probe(p, chat_messages_for_template(messages, form), false, text);
        found = tool_format_of(buf_view(text));
    }
    json_decref(messages);
    return found;
}

static bool find_tool_format(struct prompter *p, struct error *err)
{
    struct buf text;

    buf_init(&text, LIMIT_RENDER_BYTES);
    render_probe(p, probe_messages(false), true, &text);
    if (str_find(buf_view(&text), STR(TOOL_PROBE_NAME), 0) < text.len)
        p->tool_format = format_of_calls(p, &text, &p->messages_form);
    p->tools_as_text = p->tool_format == NULL;
    if (p->tools_as_text) {
        p->tool_format = tool_format_hermes();
        p->messages_form = (struct chat_messages_form){0};
    }
    p->messages_form.thinking_beside_calls = p->tool_format->body == TOOL_BODY_CHANNELS;
    buf_release(&text);
    return open_channels(p, err);
}

const struct tool_format *prompter_tool_format(const struct prompter *p)
{
    return p->tool_format;
}

bool prompter_tools_as_text(const struct prompter *p)
{
    return p->tools_as_text;
}

bool prompter_reads(const struct prompter *p, const char *variable)
{
    return chat_template_reads(p->template, str_of(variable));
}

bool prompter_renders(const struct prompter *p, const char *variable, const char *text)
{
    json_t *messages = probe_messages(false), *extra = json_pack("{s:s}", variable, text),
           *vars = variables(p, messages, NULL, extra, true);
    struct error unheard = {0};
    struct buf out;

    buf_init(&out, LIMIT_RENDER_BYTES);
    const bool ok = chat_template_render(p->template, vars, &out, NULL, 0, NULL, &unheard);
    buf_release(&out);
    json_decref(vars);
    json_decref(extra);
    json_decref(messages);
    return ok;
}

/* Without a variable that switches thinking, a template may look for a word of the user's. */
static bool takes_no_think(const struct prompter *p)
{
    return str_find(p->source, STR("/no_think"), 0) < p->source.len &&
           !prompter_reads(p, "enable_thinking") && !prompter_reads(p, "thinking");
}

/* messages, a new reference taken over, with "/no_think" in the system message. */
static json_t *with_no_think(json_t *messages)
{
    json_t *out = json_copy(messages), *first = json_copy(json_array_get(out, 0));

    if (str_is(json_str(json_object_get(first, "role")), "system")) {
        struct buf content;

        buf_init(&content, LIMIT_JSON_BYTES);
        buf_str(&content, json_str(json_object_get(first, "content")));
        buf_text(&content, " /no_think");
        json_object_set_new(first, "content", json_stringn(buf_view(&content).ptr, content.len));
        json_array_set_new(out, 0, first);
        buf_release(&content);
    } else {
        json_decref(first);
        json_array_insert_new(out, 0,
                              json_pack("{s:s, s:s}", "role", "system", "content", "/no_think"));
    }
    json_decref(messages);
    return out;
}

json_t *prompter_variables(const struct prompter *p, const json_t *messages, const json_t *tools,
                           const json_t *extra, bool generation)
{
    json_t *turned = chat_messages_for_template(messages, &p->messages_form);

    if (json_array_size(tools) == 0)
        tools = NULL;
    if (p->no_think_as_text && str_is(json_str(json_object_get(extra, "reasoning_effort")), "none"))
        turned = with_no_think(turned);
    if (p->tools_as_text) {
        json_t *as_text = tool_text_messages(turned, tools);

        json_decref(turned);
        turned = as_text;
        tools = NULL;
    }
    json_t *vars = variables(p, turned, tools, extra, generation);
    json_decref(turned);
    return vars;
}

bool prompter_text(const struct prompter *p, const json_t *vars, size_t max_spans, struct arena *a,
                   struct rendered *out, struct error *err)
{
    return guard_render(&p->guard, p->template, p->source, vars, max_spans, a, out, err);
}

bool prompter_render(const struct prompter *p, const json_t *messages, const json_t *tools,
                     const json_t *extra, struct arena *a, struct prompt *out, struct error *err)
{
    json_t *vars = prompter_variables(p, messages, tools, extra, true);
    struct token_list tokens = {0};
    struct rendered r = {.text = {"", 0}};
    struct buf text;

    buf_init(&text, LIMIT_RENDER_BYTES);
    bool ok = prompter_text(p, vars, 0, a, &r, err);
    bool thinking = ok && prompter_ends_open(p, r.text);
    buf_str(&text, r.text);
    if (ok && p->reasoning.forced_open && !thinking) {
        buf_str(&text, p->reasoning.open);
        thinking = true;
    }
    ok = ok && buf_ok(&text, "the rendered conversation", err) &&
         tokenizer_encode_guarded(p->tokenizer, buf_view(&text), r.plain, r.n_plain, &tokens, err);
    if (ok && tokens.n == 0)
        ok = fail(err, ERR_INVALID, "the chat template rendered nothing");
    if (ok) {
        *out = (struct prompt){.text = arena_str(a, buf_view(&text)),
                               .tokens = ARENA_ARRAY(a, token_id, tokens.n),
                               .n = tokens.n,
                               .thinking = thinking,
                               .tools = json_array_size(tools) > 0};
        memcpy(out->tokens, tokens.ids, tokens.n * sizeof *tokens.ids);
    }
    token_list_release(&tokens);
    buf_release(&text);
    json_decref(vars);
    return ok;
}

bool prompter_is_end(const struct prompter *p, token_id id)
{
    return config_is_end(&p->model->config, id);
}

/* Special tokens are no text, but for those that calls of tools are marked with, where any may be called. */
static bool is_left_out(const struct prompter *p, token_id id, bool tools)
{
    return tokenizer_is_special(p->tokenizer, id) &&
           !(tools && tool_format_marks(p->tool_format, tokenizer_bytes(p->tokenizer, id)));
}

enum specials { SPECIALS_SHOWN, SPECIALS_LEFT_OUT, SPECIALS_MARKS_SHOWN };

/* Bytes of the last turn's tokens from the byte `from` on, as whole characters. */
static struct str readable(const struct prompter *p, const struct sample *s, size_t from, size_t to,
                           enum specials specials, struct arena *a)
{
    struct utf8_stream stream = {0};
    struct buf b;
    size_t at = 0;
    bool begun = from > 0;

    buf_init(&b, LIMIT_RENDER_BYTES);
    for (size_t i = s->turn; i < s->n; i++) {
        struct str bytes = tokenizer_bytes(p->tokenizer, s->tokens[i]);
        const size_t begin = at;

        if (prompter_is_end(p, s->tokens[i]))
            continue;
        at += bytes.len;
        if (at <= from || begin >= to ||
            (specials != SPECIALS_SHOWN &&
             is_left_out(p, s->tokens[i], specials == SPECIALS_MARKS_SHOWN)))
            continue;
        if (at > to)
            bytes.len -= at - to;
        const size_t skipped = begin < from ? from - begin
                               : begun      ? 0
                                            : tokenizer_front(p->tokenizer, bytes);
        begun = begun || bytes.len > 0;
        utf8_stream_put(&stream, str_from(bytes, skipped), &b);
    }
    utf8_stream_end(&stream, &b);
    const struct str out = arena_str(a, buf_view(&b));
    buf_release(&b);
    return out;
}

/* Bytes of what says, in front of an answer, that it is none of thinking. */
static size_t skipped_of(const struct prompter *p, struct str skip, const struct sample *s)
{
    size_t n = 0;

    for (size_t i = s->turn; i < s->n && n < skip.len; i++) {
        const struct str bytes = tokenizer_bytes(p->tokenizer, s->tokens[i]);

        if (!str_starts(str_from(skip, n), bytes))
            return 0;
        n += bytes.len;
    }
    return n == skip.len ? n : 0;
}

/* Where the closing begins, in bytes of the answer; SIZE_MAX: nowhere before the stop text. */
static size_t closing_of(const struct prompter *p, struct str close, const struct sample *s)
{
    struct buf b;

    buf_init(&b, LIMIT_RENDER_BYTES);
    for (size_t i = s->turn; i < s->n; i++)
        if (!prompter_is_end(p, s->tokens[i]))
            buf_str(&b, tokenizer_bytes(p->tokenizer, s->tokens[i]));
    const struct str all = {buf_view(&b).ptr, size_min(b.len, s->stop_bytes)};
    const size_t at = str_find(all, close, 0);
    const bool found = at < all.len;
    buf_release(&b);
    return found ? at : SIZE_MAX;
}

static void read_answer(const struct prompter *p, const struct sample *s, enum specials specials,
                        struct arena *a, struct answer *out)
{
    const struct reasoning *r = prompter_reasoning_of(p, specials == SPECIALS_MARKS_SHOWN);

    *out = (struct answer){.thinking = {"", 0}, .text = {"", 0}};
    if (!r->on || s->n_thinking == 0) {
        out->text = readable(p, s, skipped_of(p, r->skip, s), s->stop_bytes, specials, a);
        return;
    }
    const size_t close = closing_of(p, r->close, s);
    out->thinking = trimmed(readable(p, s, 0, size_min(close, s->stop_bytes), SPECIALS_SHOWN, a));
    if (str_starts(out->thinking, r->open)) /* its own, or the prompt's once more */
        out->thinking = trimmed(str_from(out->thinking, r->open.len));
    if (close != SIZE_MAX)
        out->text = trimmed(readable(p, s, close + r->close.len, s->stop_bytes, specials, a));
}

void prompter_answer(const struct prompter *p, const struct sample *s, struct arena *a,
                     struct answer *out)
{
    read_answer(p, s, SPECIALS_LEFT_OUT, a, out);
}

void prompter_answer_tools(const struct prompter *p, const struct sample *s, const json_t *tools,
                           size_t max_calls, struct arena *a, struct answer *out,
                           struct tool_calls *calls)
{
    const struct tool_options opt = {
        .format = p->tool_format, .tools = tools, .max_calls = max_calls};

    *calls = (struct tool_calls){0};
    if (json_array_size(tools) == 0) {
        prompter_answer(p, s, a, out);
        return;
    }
    read_answer(p, s, SPECIALS_MARKS_SHOWN, a, out);
    tool_calls_read(&opt, out->text, a, calls);
    out->text = calls->text;
    if (calls->thinking.len > 0 && out->thinking.len == 0)
        out->thinking = str_from(calls->thinking, 1);
    else if (calls->thinking.len > 0)
        out->thinking = str_of(
            arena_printf(a, STR_FMT STR_FMT, STR_ARG(out->thinking), STR_ARG(calls->thinking)));
}
