/*
 * chat_feed.c - tokens -> before a stop text -> thinking and text -> content and calls.
 */
#include "server/chat_feed.h"
#include "base/limits.h"
#include "base/size.h"

static void on_text(void *ctx, struct str piece)
{
    buf_str(&((struct chat_feed *)ctx)->content, piece);
}

/* What is thought behind the first message of it; a line break parts the two. */
static void on_thinking(void *ctx, struct str piece)
{
    struct chat_feed *f = ctx;

    if (!f->thought && str_starts(piece, STR("\n")))
        piece = str_from(piece, 1);
    buf_str(&f->thinking, piece);
    f->thought = f->thought || piece.len > 0;
}

static json_t *last_call(struct chat_feed *f, size_t index)
{
    json_t *last = json_array_get(f->calls, json_array_size(f->calls) - 1);

    return json_integer_value(json_object_get(last, "index")) == (json_int_t)index ? last : NULL;
}

static void put_call(struct chat_feed *f, json_t *call)
{
    if (f->calls == NULL)
        f->calls = json_array();
    json_array_append_new(f->calls, call);
}

static void on_call(void *ctx, size_t index, struct str name)
{
    struct chat_feed *f = ctx;
    char id[TOOL_ID_BYTES];

    tool_call_id(f->id, f->choice, index, id);
    put_call(f, json_pack("{s:I, s:s, s:s, s:{s:o, s:s}}", "index", (json_int_t)index, "id", id,
                          "type", "function", "function", "name", json_stringn(name.ptr, name.len),
                          "arguments", ""));
}

/* Pieces of one delta are one; the first has an entry of its own, for clients want the name first. */
static void on_arguments(void *ctx, size_t index, struct str piece)
{
    struct chat_feed *f = ctx;
    json_t *call = f->calls != NULL ? last_call(f, index) : NULL;

    if (call != NULL && json_object_get(call, "id") == NULL) {
        json_t *function = json_object_get(call, "function");
        struct buf joined;

        buf_init(&joined, LIMIT_RENDER_BYTES);
        buf_str(&joined, json_str(json_object_get(function, "arguments")));
        buf_str(&joined, piece);
        json_object_set_new(function, "arguments", json_stringn(buf_view(&joined).ptr, joined.len));
        buf_release(&joined);
        return;
    }
    put_call(f, json_pack("{s:I, s:{s:o}}", "index", (json_int_t)index, "function", "arguments",
                          json_stringn(piece.ptr, piece.len)));
}

static void on_end(void *ctx, size_t index, bool whole)
{
    (void)ctx;
    (void)index;
    (void)whole;
}

void chat_feed_init(struct chat_feed *f, const struct chat_request *r, const struct prompter *p,
                    const char *id, size_t choice)
{
    const struct tool_options opt = {.format =
                                         r->tools.callable != NULL ? prompter_tool_format(p) : NULL,
                                     .tools = r->tools.callable,
                                     .max_calls = r->tools.single ? 1 : 0,
                                     .eager = true};
    const struct tool_sink sink = {.ctx = f,
                                   .text = on_text,
                                   .thinking = on_thinking,
                                   .call = on_call,
                                   .arguments = on_arguments,
                                   .end = on_end};

    *f = (struct chat_feed){.request = r, .prompter = p, .id = str_of(id), .choice = choice};
    chat_stream_init(&f->stream, p, r->prompt.thinking, r->tools.callable != NULL);
    tool_parser_init(&f->parser, &opt, &sink);
    buf_init(&f->thinking, LIMIT_RENDER_BYTES);
    buf_init(&f->text, LIMIT_RENDER_BYTES);
    buf_init(&f->content, LIMIT_RENDER_BYTES);
}

void chat_feed_release(struct chat_feed *f)
{
    chat_stream_release(&f->stream);
    tool_parser_release(&f->parser);
    token_list_release(&f->waiting);
    buf_release(&f->thinking);
    buf_release(&f->text);
    buf_release(&f->content);
    json_decref(f->calls);
    f->calls = NULL;
}

/* As calls were before there were tools: there is one at most. Takes calls over. */
static json_t *function_call_of(json_t *calls)
{
    json_t *call = json_object();
    struct buf joined;

    buf_init(&joined, LIMIT_RENDER_BYTES);
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *f = json_object_get(json_array_get(calls, i), "function");

        if (json_object_get(f, "name") != NULL)
            json_object_set(call, "name", json_object_get(f, "name"));
        buf_str(&joined, json_str(json_object_get(f, "arguments")));
    }
    json_object_set_new(call, "arguments", json_stringn(buf_view(&joined).ptr, joined.len));
    buf_release(&joined);
    json_decref(calls);
    return call;
}

static json_t *delta_of(struct chat_feed *f)
{
    json_t *delta;

    if (f->thinking.len == 0 && f->content.len == 0 && f->calls == NULL)
        return NULL;
    delta = json_object();
    if (f->thinking.len > 0)
        json_object_set_new(delta, "reasoning", json_stringn(f->thinking.ptr, f->thinking.len));
    if (f->content.len > 0)
        json_object_set_new(delta, "content", json_stringn(f->content.ptr, f->content.len));
    if (f->calls != NULL && f->request->tools.legacy)
        json_object_set_new(delta, "function_call", function_call_of(f->calls));
    else if (f->calls != NULL)
        json_object_set_new(delta, "tool_calls", f->calls);
    f->calls = NULL;
    buf_clear(&f->thinking);
    buf_clear(&f->content);
    return delta;
}

/* The first bytes of a token; all of them where it is not cut by a stop text. */
static void put_token(struct chat_feed *f, token_id id, size_t n)
{
    const struct tokenizer *t = prompter_tokenizer(f->prompter);
    const struct str bytes = tokenizer_bytes(t, id);
    const bool marks = f->request->tools.callable != NULL &&
                       tool_format_marks(prompter_tool_format(f->prompter), bytes);

    chat_stream_put(&f->stream, (struct str){bytes.ptr, size_min(n, bytes.len)},
                    tokenizer_is_special(t, id) && !marks, &f->thinking, &f->text);
    f->thought = f->thought || f->thinking.len > 0;
    tool_parser_put(&f->parser, buf_view(&f->text));
    buf_clear(&f->text);
}

/* Gives on what is waiting up to its byte n; tokens that begin before it and end behind are cut, or wait. */
static void give_on(struct chat_feed *f, size_t n, bool cut)
{
    size_t at = 0, i = 0;

    for (; i < f->waiting.n && at < n; i++) {
        const size_t len = tokenizer_bytes(prompter_tokenizer(f->prompter), f->waiting.ids[i]).len;

        if (at + len > n && !cut)
            break;
        put_token(f, f->waiting.ids[i], n - at);
        at += len;
    }
    if (i > 0)
        memmove(f->waiting.ids, f->waiting.ids + i, (f->waiting.n - i) * sizeof *f->waiting.ids);
    f->waiting.n -= i;
}

/* How many bytes at the end of s may begin the text. */
static size_t beginning_of(struct str s, struct str text)
{
    for (size_t n = size_min(s.len, text.len - 1); n > 0; n--)
        if (memcmp(s.ptr + s.len - n, text.ptr, n) == 0)
            return n;
    return 0;
}

static void look_for_stop(struct chat_feed *f)
{
    const struct chat_request *r = f->request;
    size_t found = SIZE_MAX, held = 0;
    struct buf b;

    buf_init(&b, LIMIT_RENDER_BYTES);
    for (size_t i = 0; i < f->waiting.n; i++)
        buf_str(&b, tokenizer_bytes(prompter_tokenizer(f->prompter), f->waiting.ids[i]));
    const struct str s = buf_view(&b);
    for (size_t i = 0; i < r->sample.n_stop; i++) {
        const size_t at = str_find(s, r->stop[i], 0);

        found = at < s.len ? size_min(found, at) : found;
        held = size_max(held, beginning_of(s, r->stop[i]));
    }
    f->stopped = found != SIZE_MAX;
    give_on(f, f->stopped ? found : s.len - held, f->stopped);
    buf_release(&b);
}

json_t *chat_feed_put(struct chat_feed *f, token_id id)
{
    if (f->stopped || prompter_is_end(f->prompter, id))
        return NULL;
    token_list_put(&f->waiting, id);
    look_for_stop(f);
    return delta_of(f);
}

json_t *chat_feed_end(struct chat_feed *f)
{
    if (!f->stopped)
        give_on(f, SIZE_MAX, false);
    chat_stream_end(&f->stream, &f->thinking, &f->text);
    f->thought = f->thought || f->thinking.len > 0;
    tool_parser_put(&f->parser, buf_view(&f->text));
    buf_clear(&f->text);
    tool_parser_end(&f->parser);
    return delta_of(f);
}
