/*
 * cmd_render.c - a conversation as the model sees it: the chat template's text, where its tokens part, and which of them
 * supervised training learns.
 */
#include "base/limits.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/output.h"
#include "cli/session.h"
#include "job/model_store.h"
#include "model/model_files.h"
#include "sample/turn.h"
#include "text/chat_template.h"

#define BOUNDARY "\xE2\x94\x82" /* a thin line from top to bottom */
#define LEARNED "\xE2\x94\x83"  /* a thick one */

struct rendering {
    struct chat_template *template;
    struct prompter *prompter; /* NULL: no model */
    struct str bos, eos;
};

static void set_missing(json_t *vars, const char *key, json_t *value)
{
    if (json_object_get(vars, key) == NULL)
        json_object_set_new(vars, key, value);
    else
        json_decref(value);
}

/* What the caller gave, and the special tokens unless the caller has others. */
static json_t *variables(const struct rendering *r, const json_t *given, bool prompt)
{
    json_t *vars = json_copy((json_t *)(uintptr_t)given);

    if (prompt)
        set_missing(vars, "add_generation_prompt", json_true());
    if (r->bos.ptr != NULL)
        set_missing(vars, "bos_token", json_stringn(r->bos.ptr, r->bos.len));
    if (r->eos.ptr != NULL)
        set_missing(vars, "eos_token", json_stringn(r->eos.ptr, r->eos.len));
    return vars;
}

static bool render(const struct rendering *r, const json_t *given, const char *what, bool prompt,
                   struct buf *out, struct error *err)
{
    const json_t *messages = json_object_get(given, "messages");
    json_t *vars;
    size_t n_spans;

    if (!json_is_array(messages))
        return fail_param(err, ERR_INVALID, "messages",
                          "%s: \"messages\" is %s, a list was expected", what,
                          messages == NULL ? "missing" : json_kind(messages));
    vars = variables(r, given, prompt);
    const bool ok = chat_template_render(r->template, vars, out, NULL, 0, &n_spans, err) &&
                    buf_ok(out, "the rendered text", err);
    json_decref(vars);
    return ok;
}

static bool answer(void *ctx, const struct input_line *in, struct arena *a, json_t **out,
                   struct error *err)
{
    struct buf text;

    (void)a;
    buf_init(&text, LIMIT_RENDER_BYTES);
    const bool ok = render(ctx, in->value, in->what, false, &text, err);
    if (ok)
        *out = json_pack("{s:s%}", "text", buf_view(&text).ptr, text.len);
    buf_release(&text);
    return ok;
}

/* ---- for people ---- */

struct view {
    const struct tokenizer *tokenizer;
    struct utf8_stream stream;
    struct buf shown;
};

/* Each token and the line behind it. */
static void put_tokens(struct view *v, const token_id *ids, const bool *masked, size_t n,
                       bool learned)
{
    for (size_t i = 0; i < n; i++) {
        utf8_stream_put(&v->stream, tokenizer_bytes(v->tokenizer, ids[i]), &v->shown);
        buf_text(&v->shown, learned && (masked == NULL || !masked[i]) ? LEARNED : BOUNDARY);
    }
}

static bool is_assistant(const json_t *message)
{
    return str_is(json_str(json_object_get(message, "role")), "assistant");
}

/* What a job of method supervised makes of a conversation that the assistant has the last word in: each of its turns. */
static bool tell_turns(const struct rendering *r, const json_t *messages, const json_t *tools,
                       struct view *v, struct error *err)
{
    struct arena a = {0};
    bool ok = true;

    for (size_t i = 0; ok && i < json_array_size(messages); i++) {
        struct turn t;

        if (!is_assistant(json_array_get(messages, i)))
            continue;
        ok = prompter_turn(r->prompter, messages, i, tools, &a, &t, err);
        if (!ok)
            break;
        put_tokens(v, t.prompt, NULL, t.n_prompt, false);
        put_tokens(v, t.tokens, t.masked, t.n, true);
        buf_printf(&v->shown, "\n%zu tokens, %zu of them trained on\n", t.n_prompt + t.n,
                   t.n_learned);
    }
    arena_release(&a);
    return ok;
}

static bool tell_prompt(const struct rendering *r, const json_t *messages, const json_t *tools,
                        const json_t *extra, struct view *v, struct error *err)
{
    struct arena a = {0};
    struct prompt p;
    const bool ok = prompter_render(r->prompter, messages, tools, extra, &a, &p, err);

    if (ok) {
        put_tokens(v, p.tokens, NULL, p.n, false);
        buf_printf(&v->shown, "\n%zu tokens\n", p.n);
    }
    arena_release(&a);
    return ok;
}

/* As chat and training render it. */
static bool tell_tokens(const struct rendering *r, const json_t *given, struct view *v,
                        struct error *err)
{
    const json_t *messages = json_object_get(given, "messages"),
                 *tools = json_object_get(given, "tools");
    json_t *extra = json_copy((json_t *)(uintptr_t)given);

    json_object_del(extra, "messages");
    json_object_del(extra, "tools");
    const bool ok = is_assistant(json_array_get(messages, json_array_size(messages) - 1))
                        ? tell_turns(r, messages, tools, v, err)
                        : tell_prompt(r, messages, tools, extra, v, err);
    json_decref(extra);
    return ok;
}

static bool render_and_tell(const struct rendering *r, const json_t *given, const char *what,
                            struct error *err)
{
    struct view v = {.tokenizer = r->prompter == NULL ? NULL : prompter_tokenizer(r->prompter)};
    bool ok;

    buf_init(&v.shown, 4 * LIMIT_RENDER_BYTES);
    if (!json_is_array(json_object_get(given, "messages")) || r->prompter == NULL) {
        ok = render(r, given, what, true, &v.shown, err);
        buf_char(&v.shown, '\n');
    } else {
        ok = tell_tokens(r, given, &v, err);
    }
    ok = ok && buf_ok(&v.shown, "the text", err) && out_str(buf_view(&v.shown), err);
    buf_release(&v.shown);
    return ok;
}

/* A question as an argument, or lines with messages: a conversation each, or rows of a dataset. */
static bool plain(struct cli *c, const struct rendering *r, struct error *err)
{
    struct line_reader in = {0};
    struct str line;
    bool too_long, more = true, ok = true;

    if (c->options->n_args > 0) {
        json_t *given = json_pack("{s:[{s:s, s:s}]}", "messages", "role", "user", "content",
                                  c->options->args[0]);

        if (given == NULL)
            return fail(err, ERR_INVALID, "the question is not UTF-8");
        ok = render_and_tell(r, given, "the question", err);
        json_decref(given);
        return ok;
    }
    ok = line_reader_open(&in, option_text(c->options, OPT_IN), c->stop, err);
    while (ok && (ok = line_reader_next(&in, &line, &too_long, &more, err)) && more) {
        const char *what = arena_printf(c->arena, "%s, line %zu", in.name, in.number);
        json_t *given = NULL;

        ok = too_long ? fail(err, ERR_LIMIT, "%s is too long", what)
                      : json_parse(line, what, &given, err) && render_and_tell(r, given, what, err);
        json_decref(given);
    }
    line_reader_close(&in);
    return ok;
}

/* ---- opening ---- */

static struct str special_token(const struct tokenizer *t, int id)
{
    return id >= 0 ? tokenizer_bytes(t, id) : (struct str){NULL, 0};
}

static bool open_model(struct cli *c, const char *model, struct model_files **files,
                       struct rendering *r, struct str *source, struct error *err)
{
    struct model_ref ref;

    if (!model_store_find(c->home, model, c->arena, &ref, err) ||
        !model_files_open(ref.path, files, err))
        return false;
    const struct model_config *config = model_files_config(*files);
    const struct tokenizer *t = model_files_tokenizer(*files);
    r->bos = special_token(t, config->bos);
    r->eos = special_token(t, config->n_eos > 0 ? config->eos[0] : -1);
    *source = model_files_template(*files);
    return true;
}

static bool run(struct cli *c, struct error *err)
{
    const char *model = option_text(c->options, OPT_MODEL), *given;
    const char *bos = option_text(c->options, OPT_BOS), *eos = option_text(c->options, OPT_EOS);
    struct model_files *files = NULL;
    struct rendering r = {0};
    struct str source = {"", 0};
    bool ok = true;

    if (model == NULL && !option_given(c->options, OPT_TEMPLATE))
        return misuse(c, err,
                      "render needs --model M or --template F; hone render --help tells more");
    if (c->json && c->options->n_args > 0)
        return misuse(
            c, err,
            "with --json conversations come as lines, {\"messages\": [...]}, not as an argument");
    if (model != NULL)
        ok = open_model(c, model, &files, &r, &source, err);
    ok = ok && template_option(c, &given, err);
    if (ok && given != NULL)
        source = str_of(given);
    if (ok && source.len == 0)
        ok = fail(err, ERR_INVALID, "%s has no chat template; give one with --template F",
                  model != NULL ? model : option_text(c->options, OPT_TEMPLATE));
    if (bos != NULL)
        r.bos = str_of(bos);
    if (eos != NULL)
        r.eos = str_of(eos);
    ok = ok && chat_template_open(source, &r.template, err) &&
         (files == NULL || prompter_open_files(files, given, &r.prompter, err)) &&
         (c->json ? lines_answer(c, answer, &r, err) : plain(c, &r, err));
    prompter_close(r.prompter);
    chat_template_close(r.template);
    model_files_close(files);
    return ok;
}

static const enum option_id ids[] = {OPT_MODEL, OPT_TEMPLATE, OPT_BOS, OPT_EOS, OPT_IN, OPT_HOME};

const struct command cmd_render = {
    .set = {.command = "render",
            .args = "[QUESTION]",
            .max_args = 1,
            .summary = "a conversation as the model sees it, token by token",
            .details = "Reads JSON lines with messages, from standard input unless a QUESTION is "
                       "given: conversations, or a dataset. Shows each with the beginning of the "
                       "model's answer, a thin line after every token. Of one that ends with the "
                       "assistant's message, each message of the assistant's is shown as "
                       "supervised training has it, a thick line after every token that it "
                       "learns. What looks like a special token in a message is text there, as "
                       "in chat. With --json a line "
                       "{\"messages\": [...], \"add_generation_prompt\": true} becomes {\"text\": "
                       "\"...\"}; every key is a variable of the template, and nothing is added "
                       "but bos_token and eos_token.",
            .examples =
                "  hone render --model model.gguf \"Cataract: is it a sign of the eye?\"\n"
                "  hone render --model model.gguf --in train.jsonl\n"
                "  hone render --template chat.jinja --bos \"<s>\" --json < conversations.jsonl\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
