/*
 * tool_parser_fuzz.c - an answer that may call tools: its first byte chooses the format and whether it is read eagerly, its
 * second where it is cut.
 *
 * However it is cut the same is told; calls are of tools that were offered, whole ones with arguments that are JSON; and what
 * calls nothing is all text, but for the headers and ends of harmony's messages.
 */
#include "fuzz.h"

#include "base/limits.h"
#include "text/tool_parser.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char tools_text[] =
    "[{\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\"}}}}},"
    "{\"function\":{\"name\":\"now\"}}]";

struct told {
    const json_t *tools;
    struct buf all, arguments, text, thinking;
    size_t n;
    bool open;
};

static void on_text(void *ctx, struct str piece)
{
    struct told *t = ctx;

    check(!t->open && piece.len > 0);
    buf_str(&t->text, piece);
    buf_str(&t->all, piece);
}

/* Its pieces are joined apart from what else is told: a text that waits does not hold it up. */
static void on_thinking(void *ctx, struct str piece)
{
    struct told *t = ctx;

    check(!t->open && piece.len > 0);
    buf_str(&t->thinking, piece);
}

static void on_call(void *ctx, size_t index, struct str name)
{
    struct told *t = ctx;

    check(!t->open && index == t->n && tool_named(t->tools, name) != NULL);
    buf_printf(&t->all, "\x01%.*s\x02", (int)name.len, name.ptr);
    buf_clear(&t->arguments);
    t->open = true;
}

static void on_arguments(void *ctx, size_t index, struct str piece)
{
    struct told *t = ctx;

    check(t->open && index == t->n);
    buf_str(&t->arguments, piece);
    buf_str(&t->all, piece);
}

static void on_end(void *ctx, size_t index, bool whole)
{
    struct told *t = ctx;
    struct json_scan scan = {0};
    enum json_event event;
    size_t level;

    check(t->open && index == t->n++);
    for (size_t i = 0; whole && i < t->arguments.len; i++)
        check((scan.done && i + 1 == t->arguments.len) ||
              json_scan_put(&scan, (unsigned char)t->arguments.ptr[i], &event, &level));
    check(!whole || scan.done);
    buf_char(&t->all, whole ? '\x03' : '\x04');
    t->open = false;
}

static void read_cut(const struct tool_options *opt, struct str s, size_t step, struct told *t)
{
    const struct tool_sink sink = {.ctx = t,
                                   .text = on_text,
                                   .thinking = on_thinking,
                                   .call = on_call,
                                   .arguments = on_arguments,
                                   .end = on_end};
    const bool headers = opt->format->body == TOOL_BODY_CHANNELS;
    struct tool_parser p;

    *t = (struct told){.tools = opt->tools};
    buf_init(&t->all, LIMIT_RENDER_BYTES);
    buf_init(&t->arguments, LIMIT_RENDER_BYTES);
    buf_init(&t->text, LIMIT_RENDER_BYTES);
    buf_init(&t->thinking, LIMIT_RENDER_BYTES);
    tool_parser_init(&p, opt, &sink);
    for (size_t at = 0; at < s.len; at += step)
        tool_parser_put(&p, (struct str){s.ptr + at, s.len - at < step ? s.len - at : step});
    tool_parser_end(&p);
    tool_parser_release(&p);
    check(!t->open);
    check(t->n > 0 || headers || str_eq(buf_view(&t->text), s));
    check(headers ? t->text.len <= s.len && t->thinking.len <= s.len : t->thinking.len == 0);
}

static void told_release(struct told *t)
{
    buf_release(&t->all);
    buf_release(&t->arguments);
    buf_release(&t->text);
    buf_release(&t->thinking);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_t *tools;
    struct error err = {0};
    struct told whole, cut;
    size_t n;
    const struct tool_format *formats = tool_formats(&n);

    if (size < 2 || size > 4096)
        return 0;
    if (tools == NULL)
        check(json_parse(STR(tools_text), "tools", &tools, &err));
    const struct tool_options opt = {.format = &formats[data[0] % 32 % n],
                                     .tools = tools,
                                     .max_calls = data[0] / 64,
                                     .eager = (data[0] & 32) != 0};
    const struct str s = {(const char *)data + 2, size - 2};
    read_cut(&opt, s, s.len + 1, &whole);
    read_cut(&opt, s, 1u + data[1] % 32, &cut);
    check(str_eq(buf_view(&whole.all), buf_view(&cut.all)));
    check(str_eq(buf_view(&whole.thinking), buf_view(&cut.thinking)));
    told_release(&whole);
    told_release(&cut);
    return 0;
}
