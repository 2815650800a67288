/*
 * turn.c - renders with and without the message, and cuts the tokens where the text is cut.
 */
#include "sample/turn.h"
#include "base/limits.h"
#include "base/size.h"
#include "sample/prompt_internal.h"

#include <string.h>

/* The first n messages; in the arena. */
static bool render_with(const struct prompter *p, const json_t *messages, size_t n,
                        const json_t *tools, const json_t *extra, bool generation, struct arena *a,
                        struct rendered *out, struct error *err)
{
    const size_t most = 4 * n + 4;
    json_t *first = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append(first, json_array_get(messages, i));
    json_t *vars = prompter_variables(p, first, tools, extra, generation);
    bool ok = prompter_text(p, vars, most, a, out, err);
    if (ok && out->n_spans > most)
        ok = fail(err, ERR_LIMIT,
                  "the chat template marks %zu parts of %zu messages as generated, %zu are allowed",
                  out->n_spans, n, most);
    json_decref(first);
    json_decref(vars);
    return ok;
}

static bool render(const struct prompter *p, const json_t *messages, size_t n, const json_t *tools,
                   bool generation, struct arena *a, struct rendered *out, struct error *err)
{
    return render_with(p, messages, n, tools, NULL, generation, a, out, err);
}

struct ids {
    token_id *ptr;
    size_t n;
};

/* Bytes from..to-1 of a rendered text; with before, as if that stood in front, which is no part of the ids. */
static bool encode(const struct prompter *p, const struct rendered *r, size_t from, size_t to,
                   struct str before, struct arena *a, struct ids *out, struct error *err)
{
    struct plain_span *plain = ARENA_ARRAY(a, struct plain_span, r->n_plain + 1);
    struct token_list ids = {0}, front = {0};
    struct buf text;
    size_t n_plain = 0;

    for (size_t i = 0; i < r->n_plain; i++)
        if (r->plain[i].to >= from && r->plain[i].from <= to)
            plain[n_plain++] =
                (struct plain_span){before.len + size_max(r->plain[i].from, from) - from,
                                    before.len + size_min(r->plain[i].to, to) - from};
    buf_init(&text, LIMIT_RENDER_BYTES);
    buf_str(&text, before);
    buf_str(&text, (struct str){r->text.ptr + from, to - from});
    bool ok = buf_ok(&text, "the rendered conversation", err) &&
              tokenizer_encode_guarded(p->tokenizer, buf_view(&text), plain, n_plain, &ids, err) &&
              (before.len == 0 || tokenizer_encode(p->tokenizer, before, false, &front, err));
    const bool behind = ok && front.n > 0 && front.n <= ids.n &&
                        memcmp(front.ids, ids.ids, front.n * sizeof *ids.ids) == 0;
    if (ok && before.len > 0 && !behind) {
        ok = encode(p, r, from, to, STR(""), a, out, err);
    } else if (ok) {
        *out = (struct ids){ARENA_ARRAY(a, token_id, ids.n + 1),
                            ids.n - front.n}; /* room for an end */
        if (out->n > 0)
            memcpy(out->ptr, ids.ids + front.n, out->n * sizeof *ids.ids);
    }
    buf_release(&text);
    token_list_release(&ids);
    token_list_release(&front);
    return ok;
}

static size_t bytes_of(const struct prompter *p, struct ids ids)
{
    size_t bytes = 0;

    for (size_t i = 0; i < ids.n; i++)
        bytes += tokenizer_bytes(p->tokenizer, ids.ptr[i]).len;
    return bytes;
}

/*
 * The tokens of what is given, up to the byte from, and of what is said, from there up to the byte to. Where the tokens of
 * both together begin with those of what is given, the rest is what is said. Otherwise a token would lie across the
 * border: what is given stands as the model is given it, and the rest is cut by itself, behind a line break, so that a
 * tokenizer that puts a blank in front of a text puts none here; the same bytes must come of it.
 */
static bool cut(const struct prompter *p, const struct rendered *r, size_t from, size_t to,
                struct arena *a, struct turn *out, struct error *err)
{
    struct ids all, first, rest;

    if (!encode(p, r, 0, to, STR(""), a, &all, err) ||
        !encode(p, r, 0, from, STR(""), a, &first, err))
        return false;
    if (first.n <= all.n && memcmp(all.ptr, first.ptr, first.n * sizeof *all.ptr) == 0) {
        rest = (struct ids){all.ptr + first.n, all.n - first.n};
    } else if (!encode(p, r, from, to, STR("\n"), a, &rest, err)) {
        return false;
    } else if (bytes_of(p, first) + bytes_of(p, rest) != bytes_of(p, all)) {
        return fail(err, ERR_UNSUPPORTED,
                    "the tokenizer writes what the assistant says in another way when it stands "
                    "alone, so that it cannot be cut from what it is given");
    }
    *out = (struct turn){.prompt = first.ptr,
                         .n_prompt = first.n,
                         .tokens = rest.ptr,
                         .n = rest.n,
                         .n_learned = rest.n};
    return true;
}

/* What stands behind the last end token (a line break, as a rule) is the template's and never drawn. */
static void drop_rest(const struct prompter *p, struct turn *t)
{
    for (size_t n = t->n; n > 0; n--)
        if (prompter_is_end(p, t->tokens[n - 1])) {
            t->n = t->n_learned = n;
            return;
        }
}

static bool check_turn(const struct turn *t, struct error *err)
{
    if (t->n_prompt == 0)
        return fail(err, ERR_UNSUPPORTED,
                    "the chat template gives the model nothing to go on from before its message");
    if (t->n_learned == 0)
        return fail(err, ERR_UNSUPPORTED,
                    "the chat template renders the assistant's message as nothing");
    return true;
}

/* ---- templates that mark what is generated ---- */

/* Bytes of the end token that stands right behind a mark: it is the assistant's, whether the template marks it or not. */
static size_t end_behind(const struct prompter *p, struct str text, size_t at)
{
    for (size_t i = 0; i < p->model->config.n_eos; i++) {
        const struct str end = tokenizer_bytes(p->tokenizer, p->model->config.eos[i]);

        if (end.len > 0 && str_starts(str_from(text, at), end))
            return end.len;
    }
    return 0;
}

/* Where in the text a token that begins at a byte ends; SIZE_MAX: it is not there. */
static size_t end_of(const struct prompter *p, token_id id, struct str text, size_t at)
{
    struct str bytes = tokenizer_bytes(p->tokenizer, id);
    const struct str rest = str_from(text, at);

    /* a blank that the tokenizer put in front, as it does with what follows a special token, too */
    if (!str_starts(rest, bytes) && str_starts(bytes, STR(" ")))
        bytes = str_from(bytes, 1);
    return str_starts(rest, bytes) ? at + bytes.len : SIZE_MAX;
}

/*
 * The tokens of the turn that lie in none of the spans; from: byte where the turn's tokens begin. One that lies in a span
 * with a part of it is learned: the model has to draw it whole.
 */
static bool mask_between(const struct prompter *p, const struct generation_span *spans, size_t n,
                         struct str text, size_t from, struct arena *a, struct turn *t,
                         struct error *err)
{
    bool *masked = ARENA_ARRAY(a, bool, t->n);
    size_t at = from, span = 0;

    if (n == 1 && spans[0].from == from)
        return true;
    t->n_learned = 0;
    for (size_t i = 0; i < t->n; i++) {
        const size_t end = end_of(p, t->tokens[i], text, at);

        if (end == SIZE_MAX)
            return fail(err, ERR_UNSUPPORTED,
                        "the tokenizer changes the text at its byte %zu, so that the parts that "
                        "the chat template marks cannot be found in its tokens",
                        at);
        while (span + 1 < n && at >= spans[span].to)
            span++;
        masked[i] = end <= spans[span].from || at >= spans[span].to;
        t->n_learned += !masked[i];
        at = end;
    }
    t->masked = masked;
    return true;
}

static bool marked_turn(const struct prompter *p, const struct rendered *with,
                        const struct rendered *before, struct str given, struct arena *a,
                        struct turn *out, struct error *err)
{
    struct generation_span *spans = with->spans + before->n_spans;
    const size_t n = with->n_spans - size_min(before->n_spans, with->n_spans);

    if (n == 0)
        return fail(err, ERR_UNSUPPORTED,
                    "the chat template marks what other messages of the assistant say, and not "
                    "this one's");
    spans[n - 1].to += end_behind(p, with->text, spans[n - 1].to);
    const size_t first = spans[0].from, to = spans[n - 1].to;
    /* as it would be given, where that is how the text begins; else up to the mark */
    const size_t from = str_starts(with->text, given) && given.len <= first ? given.len : first;
    return cut(p, with, from, to, a, out, err) &&
           mask_between(p, spans, n, with->text, from, a, out, err);
}

/* ---- the turn ---- */

bool prompter_turn(const struct prompter *p, const json_t *messages, size_t i, const json_t *tools,
                   struct arena *a, struct turn *out, struct error *err)
{
    struct rendered given, with, before = {0};
    struct turn t;

    if (!render(p, messages, i, tools, true, a, &given, err) ||
        !render(p, messages, i + 1, tools, false, a, &with, err))
        return false;
    if (with.n_spans > 0) {
        if (!render(p, messages, i, tools, false, a, &before, err) ||
            !marked_turn(p, &with, &before, given.text, a, &t, err))
            return false;
    } else {
        if (!str_starts(with.text, given.text))
            return fail(err, ERR_UNSUPPORTED,
                        "the chat template begins messages[%zu] otherwise than it asks for it: "
                        "what the assistant says cannot be told from what it is given. A template "
                        "with {%% generation %%} around what it says helps (--template)",
                        i);
        if (!cut(p, &with, given.text.len, with.text.len, a, &t, err))
            return false;
        drop_rest(p, &t);
    }
    if (!check_turn(&t, err))
        return false;
    *out = t;
    return true;
}

/* ---- results of tools ---- */

/* A text that is in none of the results: it marks the calls, whose own text is the model's. */
static const char *mark_for(const struct tool_result *results, size_t n, struct arena *a)
{
    for (unsigned k = 0;; k++) {
        const char *mark = arena_printf(a, "call-%u-of-hone", k);
        bool taken = false;

        for (size_t i = 0; i < n; i++)
            taken = taken || str_find(results[i].output, str_of(mark), 0) < results[i].output.len;
        if (!taken)
            return mark;
    }
}

/* messages, then calls that hold the mark, and their results. */
static json_t *with_results(const json_t *messages, const struct tool_result *results, size_t n,
                            const char *mark)
{
    json_t *all = json_copy((json_t *)(uintptr_t)messages), *calls = json_array();

    json_array_append_new(
        all, json_pack("{s:s, s:s, s:o}", "role", "assistant", "content", "", "tool_calls", calls));
    for (size_t i = 0; i < n; i++) {
        const struct tool_result *r = &results[i];

        json_array_append_new(calls,
                              json_pack("{s:s%, s:s, s:{s:s%, s:{s:s}}}", "id", r->call_id.ptr,
                                        r->call_id.len, "type", "function", "function", "name",
                                        r->name.ptr, r->name.len, "arguments", "mark", mark));
        json_array_append_new(all,
                              json_pack("{s:s, s:s%, s:s%, s:s%}", "role", "tool", "tool_call_id",
                                        r->call_id.ptr, r->call_id.len, "name", r->name.ptr,
                                        r->name.len, "content", r->output.ptr, r->output.len));
    }
    return all;
}

static bool is_plain(const struct rendered *r, size_t from, size_t to)
{
    for (size_t i = 0; i < r->n_plain; i++)
        if (r->plain[i].from < to && r->plain[i].to > from)
            return true;
    return false;
}

/* Behind the first end token after the last mark; SIZE_MAX: there is none. What a result says is none. */
static size_t behind_calls(const struct prompter *p, const struct rendered *r, struct str mark)
{
    size_t from = SIZE_MAX, best = SIZE_MAX;

    for (size_t at = 0; (at = str_find(r->text, mark, at)) < r->text.len; at += mark.len)
        from = at + mark.len;
    for (size_t i = 0; from != SIZE_MAX && i < p->model->config.n_eos; i++) {
        const struct str end = tokenizer_bytes(p->tokenizer, p->model->config.eos[i]);
        size_t at = end.len > 0 ? str_find(r->text, end, from) : r->text.len;

        while (at < r->text.len && is_plain(r, at, at + end.len))
            at = str_find(r->text, end, at + end.len);
        if (at < r->text.len)
            best = size_min(best, at + end.len);
    }
    return best;
}

bool prompter_tool_turn(const struct prompter *p, const json_t *messages, const json_t *tools,
                        const json_t *extra, const struct tool_result *results, size_t n,
                        struct arena *a, struct prompt *out, struct error *err)
{
    const char *mark = mark_for(results, n, a);
    json_t *all = with_results(messages, results, n, mark);
    json_t *vars = extra != NULL ? json_copy((json_t *)(uintptr_t)extra) : json_object();
    struct rendered whole;
    struct turn t;

    json_object_set_new(vars, "sanitize_control_tokens", json_true()); /* a tool is no author */
    const bool ok = render_with(p, all, json_array_size(all), tools, vars, true, a, &whole, err);
    json_decref(vars);
    json_decref(all);
    if (!ok)
        return false;
    const size_t at = behind_calls(p, &whole, str_of(mark));
    if (at == SIZE_MAX)
        return fail(err, ERR_UNSUPPORTED,
                    "the chat template writes no end token of this model behind a call of a tool, "
                    "so that the model's turn cannot be told from the tool's");
    bool thinking = prompter_ends_open(p, str_from(whole.text, at));
    if (p->reasoning.forced_open && !thinking) {
        whole.text = str_of(
            arena_printf(a, STR_FMT STR_FMT, STR_ARG(whole.text), STR_ARG(p->reasoning.open)));
        thinking = true;
    }
    if (!cut(p, &whole, at, whole.text.len, a, &t, err))
        return false;
    *out = (struct prompt){.text = str_from(whole.text, at),
                           .tokens = (token_id *)(uintptr_t)t.tokens,
                           .n = t.n,
                           .thinking = thinking};
    return true;
}

bool prompter_completion(const struct prompter *p, struct str prompt, struct str completion,
                         struct arena *a, struct turn *out, struct error *err)
{
    const struct model_config *c = &p->model->config;
    struct rendered whole = {0};
    struct buf text;
    struct turn t;

    buf_init(&text, LIMIT_RENDER_BYTES);
    buf_str(&text, prompt);
    buf_str(&text, completion);
    whole.text = arena_str(a, buf_view(&text));
    const bool ok = buf_ok(&text, "prompt and completion", err);
    buf_release(&text);
    if (!ok || !cut(p, &whole, prompt.len, whole.text.len, a, &t, err))
        return false;
    if (c->bos >= 0 && (c->add_bos || t.n_prompt == 0) &&
        (t.n_prompt == 0 || t.prompt[0] != c->bos)) {
        token_id *begun = ARENA_ARRAY(a, token_id, t.n_prompt + 1);

        begun[0] = c->bos;
        if (t.n_prompt > 0)
            memcpy(begun + 1, t.prompt, t.n_prompt * sizeof *begun);
        t.prompt = begun;
        t.n_prompt++;
    }
    if (c->n_eos > 0 && (t.n == 0 || !prompter_is_end(p, t.tokens[t.n - 1]))) {
        token_id *ended = ARENA_ARRAY(a, token_id, t.n + 1);

        if (t.n > 0)
            memcpy(ended, t.tokens, t.n * sizeof *ended);
        ended[t.n] = c->eos[0];
        t.tokens = ended;
        t.n_learned = ++t.n;
    }
    if (!check_turn(&t, err))
        return false;
    *out = t;
    return true;
}
