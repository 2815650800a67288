/*
 * tool_channels.c - an answer in harmony's messages, gpt-oss's way:
 *
 *     HEADER --recipient functions.NAME--> SCAN (tool_parser.c) --a whole call--> NEXT --<|start|>assistant--> HEADER
 *        \--none, or one that is no tool--> MESSAGE --------------its end--------^
 *
 *     <|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{...}<|call|>
 *      to=functions.NAME<|channel|>commentary json<|message|>{...}<|call|>        as templates write it
 *
 * A header is looked at when it is whole. Behind a place where no header stands all is text.
 */
#include "base/size.h"
#include "text/tool_parser_internal.h"

#include <string.h>

#define MOST_HEADER 256 /* bytes; a name has 64 at most */

#define CHANNEL STR("<|channel|>")
#define MESSAGE STR("<|message|>")
#define START STR("<|start|>")
#define FUNCTIONS STR("functions.")

static const char *const ends[] = {"<|end|>", "<|call|>", "<|return|>"};

struct header {
    struct str channel, recipient; /* views; "": it has none */
};

/* ---- a header ---- */

static bool is_word_byte(char c)
{
    return tool_is_name_byte(c) || c == '.' || c == '/';
}

static struct str take_word(struct str *s)
{
    struct str word = {s->ptr, 0};

    while (word.len < s->len && is_word_byte(s->ptr[word.len]))
        word.len++;
    *s = str_from(*s, word.len);
    return word;
}

static bool take_mark(struct str *s, struct str mark)
{
    *s = str_trim(*s, TOOL_SPACES);
    if (!str_starts(*s, mark))
        return false;
    *s = str_from(*s, mark.len);
    return true;
}

static void take_recipient(struct str *s, struct header *h)
{
    if (h->recipient.len == 0 && take_mark(s, STR("to=")))
        h->recipient = take_word(s);
}

/* [to=WHO] <|channel|>NAME [to=WHO] [[<|constrain|>]TYPE], and nothing else; whose message it is stands before. */
static bool read_header(struct str s, struct header *out)
{
    struct header h = {{"", 0}, {"", 0}};

    take_recipient(&s, &h);
    if (!take_mark(&s, CHANNEL))
        return false;
    s = str_trim(s, TOOL_SPACES);
    h.channel = take_word(&s);
    take_recipient(&s, &h);
    (void)take_mark(&s, STR("<|constrain|>"));
    s = str_trim(s, TOOL_SPACES);
    (void)take_word(&s);
    *out = h;
    return str_trim(s, TOOL_SPACES).len == 0 && h.channel.len > 0;
}

/* Whether a header may begin where p->at is. */
static bool may_begin(const struct tool_parser *p)
{
    const struct str rest = str_trim(tool_rest(p), TOOL_SPACES);

    return str_starts(rest, CHANNEL) || str_starts(CHANNEL, rest) || str_starts(rest, STR("to=")) ||
           str_starts(STR("to="), rest);
}

static bool all_is_text(struct tool_parser *p)
{
    p->plain = true;
    p->step = STEP_TEXT;
    return true;
}

static void begin_message(struct tool_parser *p, bool thinks)
{
    tool_forget_call(p);
    p->thinks = thinks;
    p->thought = false;
    p->gap = true;
    p->step = STEP_MESSAGE;
}

/* What a message's header, which is held up to p->at, makes of it. */
static void begin(struct tool_parser *p, const struct header *h)
{
    const bool more = p->opt.max_calls == 0 || p->n_calls < p->opt.max_calls;
    const struct str name =
        str_starts(h->recipient, FUNCTIONS) ? str_from(h->recipient, FUNCTIONS.len) : h->recipient;

    if (h->recipient.len == 0) {
        const bool thinks = str_is(h->channel, "analysis"); /* a view of what is dropped */

        tool_drop(p, p->at);
        begin_message(p, thinks);
        return;
    }
    if (more && name.len < h->recipient.len && tool_known(p, name)) {
        p->name.from = (size_t)(name.ptr - p->held.ptr);
        p->name.to = p->name.from + name.len;
        p->blank = p->at;
        p->step = STEP_SCAN;
        return;
    }
    tool_say(p, p->at);
    begin_message(p, false);
    p->gap = false;
}

bool tool_step_header(struct tool_parser *p, bool end)
{
    const struct str held = buf_view(&p->held);
    const size_t message = str_find(held, MESSAGE, p->at);
    struct header h;

    if (!may_begin(p))
        return all_is_text(p);
    if (message == held.len && !end && held.len - p->at < MOST_HEADER + MESSAGE.len)
        return false;
    if (message == held.len || message - p->at > MOST_HEADER ||
        !read_header((struct str){held.ptr + p->at, message - p->at}, &h))
        return all_is_text(p);
    p->at = message + MESSAGE.len;
    begin(p, &h);
    return true;
}

/* ---- what it says ---- */

static void think(struct tool_parser *p, size_t n)
{
    if (n > 0 && p->sink.thinking != NULL) {
        if (!p->thought)
            p->sink.thinking(p->sink.ctx, STR("\n"));
        p->sink.thinking(p->sink.ctx, (struct str){p->held.ptr, n});
        p->thought = true;
    }
    tool_drop(p, n);
}

static void give(struct tool_parser *p, size_t n)
{
    if (p->thinks)
        think(p, n);
    else
        tool_say(p, n);
}

bool tool_step_message(struct tool_parser *p, bool end)
{
    const struct str held = buf_view(&p->held);
    size_t at = str_find(held, START, 0), begun = tool_beginning_of(held, START), len = 0;

    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        const struct str mark = str_of(ends[i]);
        const size_t found = str_find(held, mark, 0);

        len = found < at ? mark.len : len;
        at = size_min(at, found);
        begun = size_max(begun, tool_beginning_of(held, mark));
    }
    if (at == held.len) {
        give(p, end ? held.len : held.len - begun);
        return false;
    }
    give(p, at);
    tool_drop(p, len);
    p->gap = p->gap || len > 0;
    p->step = STEP_NEXT;
    return true;
}

/* Not one of the tools after all: the header is text, as what stands behind it is. */
bool tool_channels_no_call(struct tool_parser *p)
{
    if (p->told) {
        const size_t n = p->given;

        tool_end_call(p, false);
        tool_drop(p, n);
        begin_message(p, false);
        return true;
    }
    tool_say(p, p->blank);
    begin_message(p, false);
    p->gap = false;
    return true;
}

/* ---- behind it ---- */

bool tool_step_next(struct tool_parser *p, bool end)
{
    bool more = false;

    p->at = 0;
    tool_skip_space(p);
    if (p->at == p->held.len)
        return false;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        const enum found x = tool_take(p, str_of(ends[i]));

        if (x == FOUND_YES) {
            tool_drop(p, p->at);
            return true;
        }
        more = more || x == FOUND_MORE;
    }
    const enum found start = tool_take(p, STR("<|start|>assistant"));
    if (start == FOUND_YES) {
        tool_drop(p, p->at);
        p->at = 0;
        p->step = STEP_HEADER;
        return true;
    }
    if (start == FOUND_NO && !more)
        return all_is_text(p);
    if (end) /* cut where a mark was begun */
        tool_drop(p, p->held.len);
    return false;
}
