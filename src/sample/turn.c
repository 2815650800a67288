/*
 * turn.c - renders with and without the message, and cuts the tokens where the text is cut.
 */
#include "sample/turn.h"
#include "base/limits.h"
#include "base/size.h"
#include "sample/prompt_internal.h"

#include <string.h>

struct rendered {
    struct str text;
    struct generation_span *spans;
    size_t n_spans;
};

/* The first n messages; in the arena. */
static bool render_with(const struct prompter *p, const json_t *messages, size_t n,
                        const json_t *tools, const json_t *extra, bool generation, struct arena *a,
                        struct rendered *out, struct error *err)
{
    const size_t most = 4 * n + 4;
    struct generation_span *spans = ARENA_ARRAY(a, struct generation_span, most);
    json_t *first = json_array();
    struct buf text;
    size_t n_spans = 0;

    for (size_t i = 0; i < n; i++)
        json_array_append(first, json_array_get(messages, i));
    json_t *vars = prompter_variables(p, first, tools, extra, generation);
    buf_init(&text, LIMIT_RENDER_BYTES);
    bool ok = chat_template_render(p->template, vars, &text, spans, most, &n_spans, err) &&
              buf_ok(&text, "the rendered conversation", err);
    if (ok && n_spans > most)
        ok = fail(err, ERR_LIMIT,
                  "the chat template marks %zu parts of %zu messages as generated, %zu are allowed",
                  n_spans, n, most);
    if (ok)
        *out = (struct rendered){
            .text = arena_str(a, buf_view(&text)), .spans = spans, .n_spans = n_spans};
    buf_release(&text);
    json_decref(first);
    json_decref(vars);
    return ok;
}

static bool render(const struct prompter *p, const json_t *messages, size_t n, const json_t *tools,
                   bool generation, struct arena *a, struct rendered *out, struct error *err)
{
    return render_with(p, messages, n, tools, NULL, generation, a, out, err);
}

static bool encode(const struct prompter *p, struct str text, struct arena *a, token_id **out,
                   size_t *n, struct error *err)
{
    struct token_list ids = {0};
    const bool ok = tokenizer_encode(p->tokenizer, text, true, &ids, err);

    if (ok) {
        *out = ARENA_ARRAY(a, token_id, ids.n + 1); /* room for an end */
        if (ids.n > 0)
            memcpy(*out, ids.ids, ids.n * sizeof *ids.ids);
        *n = ids.n;
    }
    token_list_release(&ids);
    return ok;
}

static size_t bytes_of(const struct prompter *p, const token_id *ids, size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes += tokenizer_bytes(p->tokenizer, ids[i]).len;
    return bytes;
}

/*
 * The tokens of given and of said. Where the tokens of both together begin with those of what is given, the rest is what
 * is said. Otherwise a token would lie across the border: what is given stands as the model is given it, and the rest is
 * cut by itself; the same bytes must come of it.
 */
static bool cut(const struct prompter *p, struct str given, struct str said, struct arena *a,
                struct turn *out, struct error *err)
{
    struct buf whole;
    token_id *all, *first, *rest;
    size_t n_all, n_first, n_rest;

    buf_init(&whole, LIMIT_RENDER_BYTES);
    buf_str(&whole, given);
    buf_str(&whole, said);
    bool ok = buf_ok(&whole, "the rendered conversation", err) &&
              encode(p, buf_view(&whole), a, &all, &n_all, err) &&
              encode(p, given, a, &first, &n_first, err);
    buf_release(&whole);
    if (!ok)
        return false;
    if (n_first <= n_all && memcmp(all, first, n_first * sizeof *all) == 0) {
        rest = all + n_first;
        n_rest = n_all - n_first;
    } else if (!encode(p, said, a, &rest, &n_rest, err)) {
        return false;
    } else if (bytes_of(p, first, n_first) + bytes_of(p, rest, n_rest) != bytes_of(p, all, n_all)) {
        return fail(err, ERR_UNSUPPORTED,
                    "the tokenizer writes what the assistant says in another way when it stands "
                    "alone, so that it cannot be cut from what it is given");
    }
    *out = (struct turn){
        .prompt = first, .n_prompt = n_first, .tokens = rest, .n = n_rest, .n_learned = n_rest};
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

/*
 * The tokens of the turn that lie in none of the spans; from: byte where the turn's tokens begin. One that lies in a span
 * with a part of it is learned: the model has to draw it whole.
 */
static bool mask_between(const struct prompter *p, const struct generation_span *spans, size_t n,
                         size_t from, struct arena *a, struct turn *t, struct error *err)
{
    bool *masked = ARENA_ARRAY(a, bool, t->n);
    size_t at = from, span = 0;

    if (n == 1 && spans[0].from == from)
        return true;
    if (bytes_of(p, t->tokens, t->n) != spans[n - 1].to - from)
        return fail(err, ERR_UNSUPPORTED,
                    "the tokenizer changes the text, so that the parts that the chat template "
                    "marks cannot be found in its tokens");
    t->n_learned = 0;
    for (size_t i = 0; i < t->n; i++) {
        const size_t end = at + tokenizer_bytes(p->tokenizer, t->tokens[i]).len;

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
    return cut(p, (struct str){with->text.ptr, from},
               (struct str){with->text.ptr + from, to - from}, a, out, err) &&
           mask_between(p, spans, n, from, a, out, err);
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
        if (!cut(p, given.text, str_from(with.text, given.text.len), a, &t, err))
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

/* Behind the first end token after the last mark that does not stand in the first result; SIZE_MAX: there is none. */
static size_t behind_calls(const struct prompter *p, struct str text, struct str mark,
                           struct str result)
{
    size_t from = SIZE_MAX, best = SIZE_MAX;

    for (size_t at = 0; (at = str_find(text, mark, at)) < text.len; at += mark.len)
        from = at + mark.len;
    for (size_t i = 0; from != SIZE_MAX && i < p->model->config.n_eos; i++) {
        const struct str end = tokenizer_bytes(p->tokenizer, p->model->config.eos[i]);
        const size_t at = end.len > 0 ? str_find(text, end, from) : text.len;
        const bool is_in_result = end.len > 0 && str_find(result, end, 0) < result.len;

        if (at < text.len && at + end.len < best &&
            !(is_in_result && at >= str_find(text, result, from)))
            best = at + end.len;
    }
    return best;
}

static bool has_special(const struct prompter *p, struct str text)
{
    struct token_list ids = {0};
    struct error unheard;
    bool found = false;

    if (!tokenizer_encode(p->tokenizer, text, true, &ids, &unheard))
        return false;
    for (size_t i = 0; i < ids.n; i++)
        found = found || tokenizer_is_special(p->tokenizer, ids.ids[i]);
    token_list_release(&ids);
    return found;
}

static bool append(const struct prompter *p, struct str text, bool special, struct token_list *all,
                   struct error *err)
{
    struct token_list more = {0};
    const bool ok = text.len == 0 || tokenizer_encode(p->tokenizer, text, special, &more, err);

    for (size_t i = 0; ok && i < more.n; i++)
        token_list_put(all, more.ids[i]);
    token_list_release(&more);
    return ok;
}

/* The text of one rendering: up to and with the end token of the marked calls, and behind it. */
struct tool_text {
    struct str given, rest;
};

static bool render_results(const struct prompter *p, const json_t *messages, const json_t *tools,
                           const json_t *extra, const struct tool_result *results, size_t n,
                           struct arena *a, struct tool_text *out, struct error *err)
{
    const char *mark = mark_for(results, n, a);
    json_t *all = with_results(messages, results, n, mark);
    struct rendered whole;
    const bool ok = render_with(p, all, json_array_size(all), tools, extra, true, a, &whole, err);

    json_decref(all);
    if (!ok)
        return false;
    const size_t at = behind_calls(p, whole.text, str_of(mark), results[0].output);
    if (at == SIZE_MAX)
        return fail(err, ERR_UNSUPPORTED,
                    "the chat template writes no end token of this model behind a call of a tool, "
                    "so that the model's turn cannot be told from the tool's");
    *out = (struct tool_text){.given = {whole.text.ptr, at}, .rest = str_from(whole.text, at)};
    return true;
}

/*
 * The tokens of results that look like special tokens, and of what stands around them: the results are read as the plain text that
 * they are, so that no tool ends a turn or begins one. Where they stand is found with other texts in their places; fails where
 * the template writes a result in another way than it is.
 */
static bool encode_guarded(const struct prompter *p, struct str rest, struct str places,
                           const struct tool_result *results, size_t n, struct arena *a,
                           struct turn *out, struct error *err)
{
    struct token_list all = {0};
    bool ok = true;

    for (size_t i = 0; ok && i < n; i++) {
        const struct str place = str_of(arena_printf(a, "result-%zu-of-hone", i));
        const size_t at = str_find(places, place, 0);
        const struct str around = {places.ptr, size_min(at, places.len)};

        if (at >= places.len || !str_starts(rest, around) ||
            !str_starts(str_from(rest, at), results[i].output))
            ok = fail(err, ERR_UNSUPPORTED,
                      "the result of a tool looks like special tokens, and the chat template does "
                      "not write it as it is");
        ok = ok && append(p, around, true, &all, err) &&
             append(p, results[i].output, false, &all, err);
        if (ok) {
            rest = str_from(rest, at + results[i].output.len);
            places = str_from(places, at + place.len);
        }
    }
    if (ok && !str_eq(rest, places))
        ok = fail(err, ERR_UNSUPPORTED, "the chat template changes with what a tool says");
    ok = ok && append(p, rest, true, &all, err);
    if (ok) {
        token_id *ids = ARENA_ARRAY(a, token_id, all.n + 1);

        if (all.n > 0)
            memcpy(ids, all.ids, all.n * sizeof *ids);
        *out = (struct turn){.tokens = ids, .n = all.n};
    }
    token_list_release(&all);
    return ok;
}

static struct str opened(const struct prompter *p, struct str text, struct arena *a)
{
    return str_of(arena_printf(a, STR_FMT STR_FMT, STR_ARG(text), STR_ARG(p->reasoning.open)));
}

bool prompter_tool_turn(const struct prompter *p, const json_t *messages, const json_t *tools,
                        const json_t *extra, const struct tool_result *results, size_t n,
                        struct arena *a, struct prompt *out, struct error *err)
{
    struct tool_result *places = ARENA_ARRAY(a, struct tool_result, n);
    struct tool_text text, placed = {0};
    struct turn t;
    bool guarded = false;

    for (size_t i = 0; i < n; i++) {
        places[i] = results[i];
        places[i].output = str_of(arena_printf(a, "result-%zu-of-hone", i));
        guarded = guarded || has_special(p, results[i].output);
    }
    if (!render_results(p, messages, tools, extra, results, n, a, &text, err) ||
        (guarded && !render_results(p, messages, tools, extra, places, n, a, &placed, err)))
        return false;
    const bool open = prompter_ends_open(p, text.rest);
    if (p->reasoning.forced_open && !open) {
        text.rest = opened(p, text.rest, a);
        placed.rest = opened(p, placed.rest, a);
    }
    if (guarded ? !encode_guarded(p, text.rest, placed.rest, results, n, a, &t, err)
                : !cut(p, text.given, text.rest, a, &t, err))
        return false;
    *out = (struct prompt){.text = text.rest,
                           .tokens = (token_id *)(uintptr_t)t.tokens,
                           .n = t.n,
                           .thinking = open || p->reasoning.forced_open};
    return true;
}

bool prompter_completion(const struct prompter *p, struct str prompt, struct str completion,
                         struct arena *a, struct turn *out, struct error *err)
{
    const struct model_config *c = &p->model->config;
    struct turn t;

    if (!cut(p, prompt, completion, a, &t, err))
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
