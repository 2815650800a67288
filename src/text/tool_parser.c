/*
 * tool_parser.c - steps, each of which takes what is held as far as it is certain:
 *
 *     TEXT --marker--> OPEN -> BODY --a whole call--> BEHIND -> CLOSE -> AFTER --> TEXT
 *       ^                 \-----no call: the marker is text--------------^
 *
 * A step that must see more returns; the next bytes begin with it again, so it costs no more than it looks at: markers and
 * names. Arguments go through a scan that remembers where it is.
 */
#include "base/sha256.h"
#include "base/size.h"
#include "text/tool_parser_internal.h"

#include <string.h>

#define MOST_NAME 64
#define MOST_KEY 512

void tool_parser_init(struct tool_parser *p, const struct tool_options *opt,
                      const struct tool_sink *sink)
{
    *p = (struct tool_parser){.opt = *opt, .sink = *sink, .plain = opt->format == NULL};
    if (tool_in_channels(p))
        p->step = STEP_HEADER;
    buf_init(&p->held, LIMIT_RENDER_BYTES);
}

void tool_parser_release(struct tool_parser *p)
{
    buf_release(&p->held);
    json_decref(p->xml);
    p->xml = NULL;
}

/* ---- texts ---- */

static bool is_space(char c)
{
    return c != '\0' && strchr(TOOL_SPACES, c) != NULL;
}

bool tool_is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static struct str part(const struct tool_parser *p, struct tool_range r)
{
    return (struct str){p->held.ptr + r.from, r.to - r.from};
}

struct str tool_rest(const struct tool_parser *p)
{
    return str_from(buf_view(&p->held), p->at);
}

void tool_skip_space(struct tool_parser *p)
{
    while (p->at < p->held.len && is_space(p->held.ptr[p->at]))
        p->at++;
}

void tool_drop(struct tool_parser *p, size_t n)
{
    if (n == 0)
        return;
    memmove(p->held.ptr, p->held.ptr + n, p->held.len - n);
    p->held.len -= n;
    p->held.ptr[p->held.len] = '\0';
}

/* Moves behind a text and the white space before it; its own at the ends does not matter. */
enum found tool_take(struct tool_parser *p, struct str text)
{
    const size_t at = p->at;

    text = str_trim(text, TOOL_SPACES);
    if (text.len == 0)
        return FOUND_YES;
    tool_skip_space(p);
    if (str_starts(tool_rest(p), text)) {
        p->at += text.len;
        return FOUND_YES;
    }
    const bool begins = str_starts(text, tool_rest(p));
    p->at = at;
    return begins ? FOUND_MORE : FOUND_NO;
}

/* ---- text ---- */

/* Gives out the first n bytes that are held. */
void tool_say(struct tool_parser *p, size_t n)
{
    struct str text = {buf_view(&p->held).ptr, n};

    while (p->gap && text.len > 0 && is_space(text.ptr[0]))
        text = str_from(text, 1);
    if (text.len > 0) {
        if (p->gap && p->said)
            p->sink.text(p->sink.ctx, STR("\n"));
        p->sink.text(p->sink.ctx, text);
        p->gap = false;
        p->said = true;
    }
    tool_drop(p, n);
}

/* How many bytes at the end of s may begin the marker. */
size_t tool_beginning_of(struct str s, struct str marker)
{
    for (size_t n = size_min(s.len, size_max(marker.len, 1) - 1); n > 0; n--)
        if (memcmp(s.ptr + s.len - n, marker.ptr, n) == 0)
            return n;
    return 0;
}

static void begin_call(struct tool_parser *p, size_t blank)
{
    p->blank = p->at = blank;
    p->step = STEP_OPEN;
}

/* Text up to n is text; white space before that waits, for it may stand beside a call. */
static size_t say_before(struct tool_parser *p, size_t n)
{
    size_t end = n;

    while (end > 0 && is_space(p->held.ptr[end - 1]))
        end--;
    tool_say(p, end);
    return n - end;
}

static enum found find_marker(struct tool_parser *p, size_t *at)
{
    const struct tool_format *f = p->opt.format;
    const struct str held = buf_view(&p->held);
    const size_t before = f->before.len > 0 ? str_find(held, f->before, 0) : held.len,
                 open = str_find(held, f->open, 0);

    *at = size_min(before, open);
    if (*at < held.len)
        return FOUND_YES;
    *at = held.len - size_max(tool_beginning_of(held, f->before), tool_beginning_of(held, f->open));
    return FOUND_MORE;
}

/* A call that has no marker, or may have none: it begins with what comes first. */
static enum found find_bare(struct tool_parser *p, size_t *at)
{
    p->at = 0;
    const enum found open = tool_take(p, p->opt.format->open);
    p->at = 0;
    tool_skip_space(p);
    *at = p->at;
    if (open != FOUND_NO)
        return open;
    const char begins = p->opt.format->body == TOOL_BODY_PYTHON ? '[' : '{';
    return tool_rest(p).ptr[0] == begins ? FOUND_YES : FOUND_NO;
}

/* Whether a step led to the next one. */
static bool step_text(struct tool_parser *p, bool end)
{
    size_t at = p->held.len;
    enum found found = FOUND_NO;

    p->plain = p->plain || (p->opt.max_calls > 0 && p->n_calls >= p->opt.max_calls);
    if (!p->plain)
        found = p->opt.format->bare ? find_bare(p, &at) : find_marker(p, &at);
    if (found == FOUND_YES) {
        begin_call(p, say_before(p, at));
        return true;
    }
    p->plain = p->plain || (found == FOUND_NO && p->held.len > 0);
    if (end || p->plain)
        tool_say(p, p->held.len);
    else
        say_before(p, at);
    return false;
}

/* ---- a call ---- */

bool tool_known(const struct tool_parser *p, struct str name)
{
    return tool_named(p->opt.tools, name) != NULL;
}

void tool_tell_call(struct tool_parser *p)
{
    p->sink.call(p->sink.ctx, p->n_calls, part(p, p->name));
    p->told = true;
    p->given = p->arguments.from;
}

static void tell_arguments(struct tool_parser *p, struct str piece)
{
    if (piece.len > 0)
        p->sink.arguments(p->sink.ctx, p->n_calls, piece);
}

void tool_forget_call(struct tool_parser *p)
{
    p->key = p->name = p->arguments = (struct tool_range){0};
    p->scan = (struct json_scan){0};
    p->python = (struct tool_python){0};
    p->told = false;
    p->blank = p->at = p->given = 0;
    json_decref(p->xml);
    p->xml = NULL;
}

void tool_end_call(struct tool_parser *p, bool whole)
{
    p->sink.end(p->sink.ctx, p->n_calls++, whole);
    p->gap = true;
}

/* What is held is no call: its marker is text, and the rest is looked at anew. */
bool tool_no_call(struct tool_parser *p)
{
    const struct tool_format *f = p->opt.format;

    if (tool_in_channels(p))
        return tool_channels_no_call(p);
    const struct str marked = str_from(buf_view(&p->held), p->blank);
    size_t n = 0;

    p->in_list = false;
    p->step = STEP_TEXT;
    if (p->told) {
        n = p->given;
        tool_end_call(p, false);
        tool_drop(p, n);
    } else if (f->before.len > 0 && str_starts(marked, f->before)) {
        n = p->blank + f->before.len;
        tool_say(p, n);
    } else if (str_starts(marked, f->open)) {
        n = p->blank + f->open.len;
        tool_say(p, n);
    }
    p->plain = p->plain || f->bare;
    tool_forget_call(p);
    return true;
}

/* Arguments as a text that holds JSON; NULL where that is no object. */
static json_t *arguments_in_text(struct str written, struct buf *out)
{
    struct error unheard = {0};
    json_t *text = NULL, *v = NULL;

    if (json_parse(written, "arguments", &text, &unheard) &&
        json_parse(json_str(text), "arguments", &v, &unheard) && json_is_object(v))
        buf_str(out, str_trim(json_str(text), TOOL_SPACES));
    json_decref(v);
    return text;
}

/* A whole call stands before p->at. */
bool tool_whole_call(struct tool_parser *p)
{
    struct buf text;

    buf_init(&text, LIMIT_RENDER_BYTES);
    if (p->xml != NULL)
        json_write(&text, p->xml, NULL);
    else if (p->arguments.to == 0)
        buf_text(&text, "{}");
    else if (p->held.ptr[p->arguments.from] == '"')
        json_decref(arguments_in_text(part(p, p->arguments), &text));
    else
        buf_str(&text, part(p, p->arguments));
    if (text.len == 0 || p->name.to == 0) {
        buf_release(&text);
        return tool_no_call(p);
    }
    if (!p->told) {
        tool_tell_call(p);
        tell_arguments(p, buf_view(&text));
    }
    buf_release(&text);
    tool_end_call(p, true);
    tool_drop(p, p->at);
    tool_forget_call(p);
    p->step = tool_in_channels(p) ? STEP_NEXT : STEP_BEHIND;
    return true;
}

/* The keys of a call in JSON. */
static bool take_event(struct tool_parser *p, enum json_event event)
{
    const struct str key = part(p, p->key);
    const bool arguments = str_is(key, "\"arguments\"") || str_is(key, "\"parameters\"");
    const char c = p->held.ptr[p->at];

    switch (event) {
    case JSON_KEY_BEGINS:
        p->key = (struct tool_range){p->at, p->at};
        return true;
    case JSON_KEY_ENDS:
        p->key.to = p->at + 1;
        return str_is(part(p, p->key), "\"name\"") || str_is(part(p, p->key), "\"arguments\"") ||
               str_is(part(p, p->key), "\"parameters\"") || str_is(part(p, p->key), "\"id\"") ||
               str_is(part(p, p->key), "\"type\"");
    case JSON_VALUE_BEGINS:
        if (str_is(key, "\"name\"")) {
            if (p->name.to > 0 || c != '"')
                return false;
            p->name.from = p->at + 1;
            return true;
        }
        if (!arguments)
            return true;
        if (p->arguments.from > 0 || (c != '{' && c != '"'))
            return false;
        p->arguments.from = p->at;
        return true;
    case JSON_VALUE_ENDS:
        if (str_is(key, "\"name\"")) {
            p->name.to = p->at;
            return tool_known(p, part(p, p->name));
        }
        if (arguments)
            p->arguments.to = p->at + 1;
        return true;
    default:
        return true;
    }
}

static bool take_byte(struct tool_parser *p)
{
    enum json_event event;
    size_t level;

    if (!json_scan_put(&p->scan, (unsigned char)p->held.ptr[p->at], &event, &level))
        return false;
    if (p->opt.format->body == TOOL_BODY_JSON)
        return level != 1 || take_event(p, event);
    if (event == JSON_VALUE_BEGINS && level == 0)
        p->arguments.from = p->at;
    if (event == JSON_VALUE_ENDS && level == 0)
        p->arguments.to = p->at + 1;
    return true;
}

static bool step_scan(struct tool_parser *p, bool end)
{
    bool ok = true;

    while (ok && p->at < p->held.len && !p->scan.done) {
        ok = take_byte(p);
        p->at += ok;
    }
    if (p->opt.eager && !p->told && p->name.to > 0 && p->arguments.from > 0 &&
        p->held.ptr[p->arguments.from] == '{')
        tool_tell_call(p);
    if (p->told) {
        const size_t to = p->arguments.to > 0 ? p->arguments.to : p->at;

        tell_arguments(p, (struct str){p->held.ptr + p->given, to - p->given});
        p->given = to;
    }
    if (p->scan.done)
        return tool_whole_call(p);
    return (!ok || end) && tool_no_call(p);
}

/* A name, and that it ends. */
static enum found take_name(struct tool_parser *p)
{
    size_t at;

    tool_skip_space(p);
    for (at = p->at;
         at < p->held.len && at - p->at <= MOST_NAME && tool_is_name_byte(p->held.ptr[at]);)
        at++;
    if (at == p->held.len)
        return FOUND_MORE;
    p->name = (struct tool_range){p->at, at};
    p->at = at;
    return at > p->name.from && tool_known(p, part(p, p->name)) ? FOUND_YES : FOUND_NO;
}

/* An id of the model's own between name and arguments. */
static enum found take_id(struct tool_parser *p)
{
    const enum found id = p->opt.format->id.len > 0 ? tool_take(p, p->opt.format->id) : FOUND_NO;

    if (id != FOUND_YES)
        return id == FOUND_NO ? FOUND_YES : FOUND_MORE;
    while (p->at < p->held.len && tool_is_name_byte(p->held.ptr[p->at]))
        p->at++;
    return p->at < p->held.len ? FOUND_YES : FOUND_MORE;
}

static enum found take_head(struct tool_parser *p)
{
    const struct tool_format *f = p->opt.format;
    const size_t begin = p->at;
    enum found x = FOUND_YES;

    switch (f->body) {
    case TOOL_BODY_JSON:
        tool_skip_space(p);
        if (p->at == p->held.len)
            return FOUND_MORE;
        if (p->held.ptr[p->at] == '[') {
            p->in_list = true;
            p->at++;
        }
        return FOUND_YES;
    case TOOL_BODY_NAMED:
        x = tool_take(p, f->lead);
        x = x == FOUND_YES ? take_name(p) : x;
        x = x == FOUND_YES ? take_id(p) : x;
        x = x == FOUND_YES ? tool_take(p, f->mid) : x;
        break;
    case TOOL_BODY_XML:
        x = tool_take(p, STR("<function="));
        x = x == FOUND_YES ? take_name(p) : x;
        x = x == FOUND_YES ? tool_take(p, STR(">")) : x;
        break;
    case TOOL_BODY_PYTHON:
        x = f->list ? tool_take(p, STR("[")) : FOUND_YES;
        p->in_list = f->list && x == FOUND_YES;
        break;
    case TOOL_BODY_CHANNELS: /* has steps of its own */
        break;
    }
    if (x == FOUND_MORE)
        p->at = begin; /* from there again */
    return x;
}

static bool step_body(struct tool_parser *p, bool end)
{
    const enum found x = take_head(p);

    if (x == FOUND_NO || (x == FOUND_MORE && end))
        return tool_no_call(p);
    if (x == FOUND_MORE)
        return false;
    p->step = STEP_SCAN;
    if (p->opt.format->body == TOOL_BODY_XML) {
        p->step = STEP_PARAMETERS;
        p->xml = json_object();
    }
    if (p->opt.format->body == TOOL_BODY_PYTHON)
        p->step = STEP_NAME;
    return true;
}

static bool step_name(struct tool_parser *p, bool end)
{
    const size_t begin = p->at;
    enum found x = take_name(p);

    x = x == FOUND_YES ? tool_take(p, STR("(")) : x;
    if (x == FOUND_NO || (x == FOUND_MORE && end))
        return tool_no_call(p);
    if (x == FOUND_MORE) {
        p->at = begin;
        return false;
    }
    p->given = p->at;
    p->step = STEP_ARGUMENTS;
    return true;
}

static bool step_open(struct tool_parser *p, bool end)
{
    const struct tool_format *f = p->opt.format;
    enum found x = FOUND_YES;

    p->at = p->blank;
    if (f->before.len > 0 && str_starts(tool_rest(p), f->before))
        p->at += f->before.len;
    x = tool_take(p, f->open);
    if (x == FOUND_MORE && !end)
        return false;
    if (x != FOUND_YES && !f->bare)
        return tool_no_call(p);
    p->step = STEP_BODY;
    return true;
}

/* ---- xml ---- */

static bool is_text_parameter(const struct tool_parser *p, const char *key)
{
    const json_t *tool = tool_named(p->opt.tools, part(p, p->name)),
                 *schema = json_object_get(
                     json_object_get(json_object_get(tool, "parameters"), "properties"), key);

    return str_is(json_str(json_object_get(schema, "type")), "string");
}

/* Templates write True, False and None as Python does. */
static json_t *value_of(struct str written)
{
    struct error unheard = {0};
    json_t *v = NULL;

    if (str_is(written, "True") || str_is(written, "False"))
        return json_boolean(str_is(written, "True"));
    if (str_is(written, "None"))
        return json_null();
    return json_parse(written, "a parameter", &v, &unheard) ? v : NULL;
}

static void put_parameter(struct tool_parser *p, struct str key, struct str value)
{
    char name[MOST_KEY + 1];
    json_t *v = NULL;

    memcpy(name, key.ptr, key.len);
    name[key.len] = '\0';
    if (value.len > 0 && value.ptr[0] == '\n')
        value = str_from(value, 1);
    if (value.len > 0 && value.ptr[value.len - 1] == '\n')
        value.len--;
    if (!is_text_parameter(p, name))
        v = value_of(str_trim(value, TOOL_SPACES));
    json_object_set_new(p->xml, name, v != NULL ? v : json_stringn(value.ptr, value.len));
}

/* <parameter=KEY>VALUE</parameter> */
static enum found take_parameter(struct tool_parser *p)
{
    const struct str closing = STR("</parameter>");
    const size_t begin = p->at;
    enum found x = tool_take(p, STR("<parameter="));

    if (x != FOUND_YES)
        return x;
    const struct str all = buf_view(&p->held);
    const size_t key_end = str_find(all, STR(">"), p->at);
    const struct str key = {all.ptr + p->at, key_end - p->at};

    if (key.len > MOST_KEY || str_find(key, STR("\n"), 0) < key.len)
        return FOUND_NO;
    const size_t from = size_max(key_end + 1, size_max(p->given, closing.len) - closing.len),
                 value_end = from < all.len ? str_find(all, closing, from) : all.len;
    if (value_end >= all.len) {
        p->given = all.len;
        p->at = begin;
        return FOUND_MORE;
    }
    put_parameter(p, key, (struct str){all.ptr + key_end + 1, value_end - key_end - 1});
    p->at = value_end + closing.len;
    p->given = 0;
    return FOUND_YES;
}

static bool step_parameters(struct tool_parser *p, bool end)
{
    for (;;) {
        const enum found done = tool_take(p, STR("</function>"));

        if (done == FOUND_YES)
            return tool_whole_call(p);
        const enum found x = take_parameter(p);
        if (x == FOUND_YES)
            continue;
        if (!end && (x == FOUND_MORE || done == FOUND_MORE))
            return false;
        return tool_no_call(p);
    }
}

/* ---- behind a call ---- */

static bool step_behind(struct tool_parser *p, bool end)
{
    p->at = 0;
    tool_skip_space(p);
    if (p->at == p->held.len && !end)
        return false;
    const char c = p->at < p->held.len ? p->held.ptr[p->at] : '\0';
    const bool python = p->opt.format->body == TOOL_BODY_PYTHON,
               lines = python && !p->opt.format->list;
    if ((p->opt.max_calls == 0 || p->n_calls < p->opt.max_calls) &&
        (lines ? tool_is_name_byte(c) : p->in_list && c == ',')) {
        p->at += !lines;
        p->blank = 0;
        p->step = python ? STEP_NAME : STEP_SCAN;
        return true;
    }
    if (p->in_list && c == ']')
        tool_drop(p, p->at + 1);
    p->step = p->in_list && c != ']' ? STEP_TEXT : STEP_CLOSE;
    p->in_list = false;
    return true;
}

/* A closing that is missing does no harm; one that was begun when the answer ended is no text. */
static bool step_close(struct tool_parser *p, bool end)
{
    const struct tool_format *f = p->opt.format;

    p->at = 0;
    enum found x = tool_take(p, f->tail);
    x = x == FOUND_YES ? tool_take(p, f->close) : x;
    if (x == FOUND_MORE && !end)
        return false;
    if (x != FOUND_NO)
        tool_drop(p, x == FOUND_MORE ? p->held.len : p->at);
    p->step = STEP_AFTER;
    return true;
}

static bool step_after(struct tool_parser *p, bool end)
{
    const struct tool_format *f = p->opt.format;
    const struct str separator = str_trim(f->between, TOOL_SPACES);

    p->at = 0;
    enum found x = f->after.len > 0 ? tool_take(p, f->after)
                   : f->bare        ? tool_take(p, separator)
                                    : FOUND_NO;
    if (x == FOUND_MORE && !end)
        return false;
    if (x == FOUND_YES)
        tool_drop(p, p->at);
    else if (x == FOUND_MORE)
        tool_drop(p, p->held.len);
    p->at = 0;
    p->step = STEP_TEXT;
    return true;
}

static void run(struct tool_parser *p, bool end)
{
    static bool (*const steps[])(struct tool_parser *, bool) = {
        [STEP_TEXT] = step_text,
        [STEP_OPEN] = step_open,
        [STEP_BODY] = step_body,
        [STEP_SCAN] = step_scan,
        [STEP_PARAMETERS] = step_parameters,
        [STEP_BEHIND] = step_behind,
        [STEP_CLOSE] = step_close,
        [STEP_AFTER] = step_after,
        [STEP_NAME] = step_name,
        [STEP_ARGUMENTS] = tool_step_arguments,
        [STEP_HEADER] = tool_step_header,
        [STEP_MESSAGE] = tool_step_message,
        [STEP_NEXT] = tool_step_next,
    };

    while (steps[p->step](p, end))
        ;
}

void tool_parser_put(struct tool_parser *p, struct str bytes)
{
    buf_str(&p->held, bytes);
    if (p->held.len > 0)
        run(p, false);
}

void tool_parser_end(struct tool_parser *p)
{
    if (p->held.len > 0)
        run(p, true);
}

/* ---- a whole answer ---- */

struct reading {
    struct arena *a;
    struct tool_calls *out;
    size_t cap;
    struct buf text, thinking, arguments;
};

static void on_text(void *ctx, struct str piece)
{
    buf_str(&((struct reading *)ctx)->text, piece);
}

static void on_thinking(void *ctx, struct str piece)
{
    buf_str(&((struct reading *)ctx)->thinking, piece);
}

static void on_call(void *ctx, size_t index, struct str name)
{
    struct reading *r = ctx;

    if (index == r->cap) {
        struct tool_call *grown = ARENA_ARRAY(r->a, struct tool_call, 2 * r->cap + 4);

        if (index > 0)
            memcpy(grown, r->out->calls, index * sizeof *grown);
        r->out->calls = grown;
        r->cap = 2 * r->cap + 4;
    }
    r->out->calls[index] = (struct tool_call){.name = arena_str(r->a, name)};
    r->out->n = index + 1;
    buf_clear(&r->arguments);
}

static void on_arguments(void *ctx, size_t index, struct str piece)
{
    (void)index;
    buf_str(&((struct reading *)ctx)->arguments, piece);
}

static void on_end(void *ctx, size_t index, bool whole)
{
    struct reading *r = ctx;

    r->out->calls[index].arguments = arena_str(r->a, buf_view(&r->arguments));
    r->out->calls[index].whole = whole;
}

void tool_calls_read(const struct tool_options *opt, struct str answer, struct arena *a,
                     struct tool_calls *out)
{
    struct reading r = {.a = a, .out = out};
    const struct tool_sink sink = {.ctx = &r,
                                   .text = on_text,
                                   .thinking = on_thinking,
                                   .call = on_call,
                                   .arguments = on_arguments,
                                   .end = on_end};
    struct tool_parser p;

    *out = (struct tool_calls){0};
    buf_init(&r.text, LIMIT_RENDER_BYTES);
    buf_init(&r.thinking, LIMIT_RENDER_BYTES);
    buf_init(&r.arguments, LIMIT_RENDER_BYTES);
    tool_parser_init(&p, opt, &sink);
    tool_parser_put(&p, answer);
    tool_parser_end(&p);
    tool_parser_release(&p);
    out->text = arena_str(a, buf_view(&r.text));
    out->thinking = arena_str(a, buf_view(&r.thinking));
    buf_release(&r.text);
    buf_release(&r.thinking);
    buf_release(&r.arguments);
}

void tool_call_id(struct str request, size_t answer, size_t index, char out[TOOL_ID_BYTES])
{
    const uint64_t places[2] = {answer, index};
    struct sha256_ctx ctx;

    sha256_init(&ctx);
    sha256_update(&ctx, request.len, (const uint8_t *)request.ptr);
    sha256_update(&ctx, sizeof places, (const uint8_t *)places);
    const struct sha256_text sum = sha256_finish(&ctx);
    memcpy(out, "call_", 5);
    for (size_t i = 0; i < 24; i++) { /* a letter of 16, lower or upper by the next digit */
        const char c = sum.hex[i], d = sum.hex[i + 24];

        out[5 + i] = (char)((d < '8' ? 'a' : 'A') + (c <= '9' ? c - '0' : c - 'a' + 10));
    }
    out[TOOL_ID_BYTES - 1] = '\0';
}

json_t *tool_calls_json(const struct tool_calls *c, struct str request, size_t answer)
{
    json_t *list = json_array();
    char id[TOOL_ID_BYTES];

    for (size_t i = 0; i < c->n; i++) {
        const struct tool_call *call = &c->calls[i];

        tool_call_id(request, answer, i, id);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:{s:o, s:o}}", "id", id, "type", "function", "function",
                            "name", json_stringn(call->name.ptr, call->name.len), "arguments",
                            json_stringn(call->arguments.ptr, call->arguments.len)));
    }
    return list;
}
