/*
 * chat_stream.c - three states:
 *
 *     undecided --opening tag--> thinking --closing tag--> answering
 *          \------------- anything else --------------------^      (thinking where the prompt opened the span)
 */
#include "server/chat_stream.h"
#include "base/limits.h"
#include "base/size.h"

void chat_stream_init(struct chat_stream *s, const struct prompter *p, bool thinking, bool tools)
{
    const struct reasoning *r = prompter_reasoning_of(p, tools);

    *s = (struct chat_stream){.reasoning = r,
                              .tokenizer = prompter_tokenizer(p),
                              .state = r->on ? CHAT_UNDECIDED : CHAT_ANSWERING,
                              .inside = r->on && thinking,
                              .trim = r->on && thinking};
    buf_init(&s->held, LIMIT_RENDER_BYTES);
}

void chat_stream_release(struct chat_stream *s)
{
    buf_release(&s->held);
}

static void drop(struct buf *b, size_t n)
{
    if (n == 0)
        return;
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
    b->ptr[b->len] = '\0';
}

/* How many bytes at the end of s may begin the tag. */
static size_t beginning_of(struct str s, struct str tag)
{
    for (size_t n = size_min(s.len, tag.len - 1); n > 0; n--)
        if (memcmp(s.ptr + s.len - n, tag.ptr, n) == 0)
            return n;
    return 0;
}

/* Gives out the first n bytes that are held; white space that may be the last of its part waits, unless this is the end. */
static void give(struct chat_stream *s, size_t n, bool end, struct buf *out)
{
    struct str part = {buf_view(&s->held).ptr, n};
    size_t skipped = 0;

    while (s->trim && !s->some && part.len > 0 && thinking_is_space(part.ptr[0])) {
        part = str_from(part, 1);
        skipped++;
    }
    while (s->trim && part.len > 0 && thinking_is_space(part.ptr[part.len - 1]))
        part.len--;
    buf_str(out, part);
    s->some = s->some || part.len > 0;
    drop(&s->held, end ? n : skipped + part.len);
}

static void move_on(struct chat_stream *s, enum chat_state state, size_t tag_len)
{
    drop(&s->held, tag_len);
    s->state = state;
    s->some = false;
}

/* Whether the answer begins with the opening tag, which a model may repeat; false while that is not known. */
static bool decide(struct chat_stream *s, bool end)
{
    const struct str open = s->reasoning->open, close = s->reasoning->close,
                     held = buf_view(&s->held), rest = thinking_trim_begin(held);
    const size_t open_end = held.len - rest.len + open.len;
    const struct str skip = s->inside ? STR("") : s->reasoning->skip;
    const bool skips = skip.len > 0 && str_starts(held, skip);
    bool opens = str_starts(rest, open);

    if (!end && !opens &&
        (str_starts(open, rest) || (!skips && skip.len > 0 && str_starts(skip, held))))
        return false;
    if (opens && s->inside) { /* what is or begins the closing is no opening repeated */
        const size_t at = str_find(held, close, 0), begun = beginning_of(held, close);

        if (!end && at == held.len && begun > 0 && held.len - begun < open_end)
            return false;
        opens = at >= open_end;
    }
    s->trim = s->trim || opens;
    move_on(s, opens || s->inside ? CHAT_THINKING : CHAT_ANSWERING,
            opens   ? open_end
            : skips ? skip.len
                    : 0);
    return true;
}

static void advance(struct chat_stream *s, bool end, struct buf *thinking, struct buf *text)
{
    if (s->state == CHAT_UNDECIDED && !decide(s, end))
        return;
    if (s->state == CHAT_THINKING) {
        const struct str close = s->reasoning->close, held = buf_view(&s->held);
        const size_t at = str_find(held, close, 0);

        if (at == held.len) {
            give(s, end ? held.len : held.len - beginning_of(held, close), end, thinking);
            return;
        }
        give(s, at, true, thinking);
        move_on(s, CHAT_ANSWERING, close.len);
    }
    give(s, s->held.len, end, text);
}

static bool goes_on(struct str tag, struct str held, struct str bytes)
{
    return held.len < tag.len && str_starts(tag, held) &&
           memcmp(tag.ptr + held.len, bytes.ptr, size_min(bytes.len, tag.len - held.len)) == 0;
}

/* Whether the bytes lead on in the opening tag, or in what says that there is none. */
static bool leads_on(const struct chat_stream *s, struct str bytes)
{
    const struct str held = buf_view(&s->held);

    return goes_on(s->reasoning->open, thinking_trim_begin(held), bytes) ||
           goes_on(s->reasoning->skip, held, bytes);
}

void chat_stream_put(struct chat_stream *s, struct str bytes, bool special, struct buf *thinking,
                     struct buf *text)
{
    if (special && s->state == CHAT_UNDECIDED && !s->inside && !leads_on(s, bytes))
        move_on(s, CHAT_ANSWERING, 0);
    if (!special && !s->begun && bytes.len > 0) {
        bytes = str_from(bytes, tokenizer_front(s->tokenizer, bytes));
        s->begun = true;
    }
    if (!special || s->state != CHAT_ANSWERING)
        utf8_stream_put(&s->utf8, bytes, &s->held);
    advance(s, false, thinking, text);
}

void chat_stream_end(struct chat_stream *s, struct buf *thinking, struct buf *text)
{
    utf8_stream_end(&s->utf8, &s->held);
    advance(s, true, thinking, text);
}
