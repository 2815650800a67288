/*
 * cmd_chat.c - a talk with a model; or, with --json, chat completions line by line.
 */
#include "base/file.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/signals.h"
#include "server/chat_completion.h"
#include "server/chat_stream.h"

#include <stdio.h>
#include <unistd.h>

struct chatting {
    struct cli *c;
    struct session s;
    struct chat_defaults defaults;
};

static struct chat_defaults defaults_of(struct cli *c, const struct session *s)
{
    const struct options *o = c->options;
    struct chat_defaults d = {.model = s->ref.name,
                              .pick = pick_defaults(),
                              .seed = (uint64_t)option_int(o, OPT_SEED),
                              .max_positions = session_context(s)};

    if (option_given(o, OPT_MAX_TOKENS))
        d.max_tokens = (size_t)option_int(o, OPT_MAX_TOKENS);
    d.pick.temperature = (float)option_real(o, OPT_TEMPERATURE);
    d.pick.top_p = (float)option_real(o, OPT_TOP_P);
    d.pick.top_k = (size_t)option_int(o, OPT_TOP_K);
    return d;
}

/* ---- JSON lines ---- */

/* A name that the same request has every time: what is printed is a function of what was asked. */
static const char *id_of(const struct chatting *x, const json_t *body, size_t number,
                         struct arena *a)
{
    struct buf text;

    buf_init(&text, (size_t)1 << 30);
    json_write(&text, body, NULL);
    buf_printf(&text, "%zu %llu", number, (unsigned long long)x->defaults.seed);
    const struct sha256_text sum = sha256_of(buf_view(&text).ptr, text.len);
    buf_release(&text);
    return arena_printf(a, "chatcmpl-%.24s", sum.hex);
}

static bool answer(void *ctx, const struct input_line *in, struct arena *a, json_t **out,
                   struct error *err)
{
    struct chatting *x = ctx;
    const struct engine_hooks hooks = {.stop = x->c->stop};
    struct chat_request r;
    struct sample **samples;

    x->defaults.item = (uint32_t)in->number;
    if (!chat_request_read(in->value, x->s.prompter, &x->defaults, a, &r, err))
        return false;
    const bool ok = engine_run(x->s.engine, x->s.adapter, &r.sample, 1, &hooks, &samples, err);
    if (ok)
        *out = chat_response(&r, x->s.prompter, samples[0], id_of(x, in->value, in->number, a), a);
    chat_request_release(&r);
    return ok;
}

/* ---- a talk ---- */

struct talk {
    struct chatting *x;
    json_t *messages;
    bool terminal; /* standard output is one: thinking is shown faintly */
    struct chat_stream stream;
    bool thinking_shown, text_shown;
    bool failed; /* standard output */
    struct error error;
};

static void show(struct talk *t, const struct buf *thinking, const struct buf *text)
{
    bool ok = true;

    if (thinking->len > 0) {
        if (!t->thinking_shown)
            ok = out_str(t->terminal ? STR("\033[2m") : STR("[thinking] "), &t->error);
        t->thinking_shown = true;
        ok = ok && out_str(buf_view(thinking), &t->error);
    }
    if (text->len > 0) {
        if (t->thinking_shown && !t->text_shown)
            ok = ok && out_str(t->terminal ? STR("\033[0m\n\n") : STR("\n[answer] "), &t->error);
        t->text_shown = true;
        ok = ok && out_str(buf_view(text), &t->error);
    }
    t->failed = t->failed || !ok || !out_flush(&t->error);
}

static void on_token(void *ctx, size_t request, size_t sample, token_id id, float logp)
{
    struct talk *t = ctx;
    const struct tokenizer *tokenizer = prompter_tokenizer(t->x->s.prompter);
    struct buf thinking, text;

    (void)request;
    (void)sample;
    (void)logp;
    if (config_is_end(&t->x->s.model->config, id))
        return;
    buf_init(&thinking, LIMIT_RENDER_BYTES);
    buf_init(&text, LIMIT_RENDER_BYTES);
    chat_stream_put(&t->stream, tokenizer_bytes(tokenizer, id), tokenizer_is_special(tokenizer, id),
                    &thinking, &text);
    show(t, &thinking, &text);
    buf_release(&thinking);
    buf_release(&text);
}

static void show_end(struct talk *t, const char *why)
{
    struct buf thinking, text;

    buf_init(&thinking, LIMIT_RENDER_BYTES);
    buf_init(&text, LIMIT_RENDER_BYTES);
    chat_stream_end(&t->stream, &thinking, &text);
    show(t, &thinking, &text);
    buf_release(&thinking);
    buf_release(&text);
    if (t->terminal && t->thinking_shown && !t->text_shown)
        t->failed = t->failed || !out_str(STR("\033[0m"), &t->error);
    t->failed = t->failed || !out_printf(&t->error, "%s\n", why) || !out_flush(&t->error);
}

/* One turn. An answer that was stopped or did not fit leaves the talk as it was. */
static bool turn(struct talk *t, struct str question, struct arena *a, struct error *err)
{
    struct chatting *x = t->x;
    const struct engine_hooks hooks = {.ctx = t, .token = on_token, .stop = x->c->stop};
    struct chat_request r = {0};
    struct sample **samples;
    struct answer said;
    json_t *body = json_object(),
           *asked = json_pack("{s:s, s:s%}", "role", "user", "content", question.ptr, question.len);
    bool ok = asked != NULL || fail(err, ERR_INVALID, "what you wrote is not UTF-8");

    if (ok) {
        json_array_append_new(t->messages, asked);
        json_object_set(body, "messages", t->messages);
    }
    ok = ok && chat_request_read(body, x->s.prompter, &x->defaults, a, &r, err);
    t->thinking_shown = t->text_shown = false;
    chat_stream_init(&t->stream, x->s.prompter, ok && r.prompt.thinking, false);
    if (ok) {
        x->defaults.item++;
        ok = engine_run(x->s.engine, x->s.adapter, &r.sample, 1, &hooks, &samples, err);
        show_end(t, !ok ? " [stopped]"
                    : samples[0][0].end == SAMPLE_LENGTH
                        ? " [cut at the longest answer: --max-tokens]"
                        : "");
    }
    if (ok) {
        prompter_answer(x->s.prompter, &samples[0][0], a, &said);
        json_array_append_new(t->messages, json_pack("{s:s, s:s%}", "role", "assistant", "content",
                                                     said.text.ptr, said.text.len));
    } else if (asked != NULL) {
        json_array_remove(t->messages, json_array_size(t->messages) - 1);
    }
    chat_stream_release(&t->stream);
    chat_request_release(&r);
    json_decref(body);
    return ok;
}

static void begin(struct talk *t)
{
    const char *system = option_text(t->x->c->options, OPT_SYSTEM);

    json_decref(t->messages);
    t->messages = json_array();
    if (system != NULL)
        json_array_append_new(t->messages,
                              json_pack("{s:s, s:s}", "role", "system", "content", system));
}

static void ask(bool terminal)
{
    if (terminal) {
        fputs("> ", stderr);
        fflush(stderr);
    }
}

static bool talk(struct chatting *x, struct error *err)
{
    const bool asking = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    struct talk t = {.x = x, .terminal = isatty(STDOUT_FILENO) == 1};
    struct line_reader r = {0};
    struct arena a = {0};
    struct str line;
    bool too_long, more = true;
    bool ok = line_reader_open(&r, option_text(x->c->options, OPT_IN), x->c->stop, err);

    begin(&t);
    if (asking)
        fprintf(stderr, "Talking to %s. /reset begins anew, Ctrl-C stops an answer, Ctrl-D ends.\n",
                x->s.ref.name);
    ask(asking);
    while (ok && !t.failed && (ok = line_reader_next(&r, &line, &too_long, &more, err)) && more) {
        struct error bad = {0};

        arena_reset(&a);
        if (str_is(line, "/exit") || str_is(line, "/quit"))
            break;
        if (str_is(line, "/reset")) {
            begin(&t);
        } else if (line.len > 0 && !turn(&t, line, &a, &bad)) {
            if (bad.kind == ERR_CANCELLED)
                signals_watch();
            else if (asking)
                fprintf(stderr, "hone: %s\n", bad.message);
            else
                ok = fail(err, bad.kind, "%s, line %zu: %s", r.name, r.number, bad.message);
        }
        if (ok)
            ask(asking);
    }
    if (asking)
        fputc('\n', stderr);
    if (!ok && asking && err->kind == ERR_CANCELLED)
        ok = true; /* that is how people leave */
    if (ok && t.failed) {
        *err = t.error;
        ok = false;
    }
    line_reader_close(&r);
    arena_release(&a);
    json_decref(t.messages);
    return ok;
}

/* --model, or the only model in the store. */
static bool model_name(struct cli *c, const char **out, struct error *err)
{
    struct model_entry *all;
    size_t n;

    *out = option_text(c->options, OPT_MODEL);
    if (*out != NULL)
        return true;
    if (!model_store_list(c->home, c->arena, &all, &n, err))
        return false;
    if (n != 1)
        return need_option(c, OPT_MODEL, out, err);
    *out = all[0].name;
    return true;
}

static bool run(struct cli *c, struct error *err)
{
    struct chatting x = {.c = c};
    const char *model;
    bool ok = model_name(c, &model, err) &&
              session_open(c, model, option_text(c->options, OPT_ADAPTER), true, &x.s, err);

    if (ok) {
        x.defaults = defaults_of(c, &x.s);
        ok = c->json ? lines_answer(c, answer, &x, err) : talk(&x, err);
    }
    session_close(&x.s);
    return ok;
}

static const enum option_id ids[] = {
    OPT_MODEL,     OPT_ADAPTER,  OPT_SYSTEM,   OPT_MAX_TOKENS, OPT_TEMPERATURE, OPT_TOP_P,
    OPT_TOP_K,     OPT_SEED,     OPT_TEMPLATE, OPT_IN,         OPT_DEVICE,      OPT_THREADS,
    OPT_PRECISION, OPT_KV_CACHE, OPT_CONTEXT,  OPT_KERNELS,    OPT_HOME,
};

const struct command cmd_chat = {
    .set =
        {.command = "chat",
         .args = "",
         .summary = "talk to a model, its thinking shown apart",
         .details = "Each line is a message. With --json a line is the body of a "
                    "chat-completions request and becomes the body of its response; what the "
                    "request does not say is as the options say; stream and top_logprobs are "
                    "hone serve's alone. An answer has at most 1024 "
                    "tokens unless --max-tokens or the request says otherwise.",
         .examples =
             "  hone chat --model models/SmolLM2-135M-Instruct.Q4_1.gguf --adapter runs/demo\n"
             "  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"seed\": 7}' | \\\n        "
             "hone chat --model smol --json\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
