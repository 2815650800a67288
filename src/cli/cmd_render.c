/*
 * cmd_render.c - a conversation as the model sees it: the chat template's text, and where its tokens part.
 */
#include "base/limits.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/output.h"
#include "cli/session.h"
#include "job/model_store.h"
#include "model/model_files.h"
#include "text/chat_template.h"

#define BOUNDARY "\xE2\x94\x82" /* a thin line from top to bottom */

struct rendering {
    struct chat_template *template;
    const struct tokenizer *tokenizer; /* NULL: no model */
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

static bool tell(const struct rendering *r, const struct buf *text, struct error *err)
{
    struct token_list ids = {0};
    struct utf8_stream stream = {0};
    struct buf shown;
    bool ok = true;

    buf_init(&shown, 4 * LIMIT_RENDER_BYTES);
    if (r->tokenizer == NULL) {
        buf_str(&shown, buf_view(text));
        buf_char(&shown, '\n');
    } else {
        ok = tokenizer_encode(r->tokenizer, buf_view(text), true, &ids, err);
        for (size_t i = 0; i < ids.n; i++) {
            utf8_stream_put(&stream, tokenizer_bytes(r->tokenizer, ids.ids[i]), &shown);
            buf_text(&shown, BOUNDARY);
        }
        buf_printf(&shown, "\n%zu tokens\n", ids.n);
    }
    ok = ok && buf_ok(&shown, "the text", err) && out_str(buf_view(&shown), err);
    token_list_release(&ids);
    buf_release(&shown);
    return ok;
}

static bool render_and_tell(const struct rendering *r, const json_t *given, const char *what,
                            struct error *err)
{
    struct buf text;

    buf_init(&text, LIMIT_RENDER_BYTES);
    const bool ok = render(r, given, what, true, &text, err) && tell(r, &text, err);
    buf_release(&text);
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
    r->tokenizer = model_files_tokenizer(*files);
    r->bos = special_token(r->tokenizer, config->bos);
    r->eos = special_token(r->tokenizer, config->n_eos > 0 ? config->eos[0] : -1);
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
         (c->json ? lines_answer(c, answer, &r, err) : plain(c, &r, err));
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
                       "model's answer, a thin line after every token. With --json a line "
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
