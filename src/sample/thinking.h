/*
 * thinking.h - a span of thinking in an answer, as the engine and those who read answers see it.
 */
#ifndef HONE_SAMPLE_THINKING_H
#define HONE_SAMPLE_THINKING_H

#include "text/tokenizer.h"

/*
 * A thinking span at the beginning of an answer: how it is opened and closed, and how long it may be. The prompt opens it,
 * or the answer itself does, with its first text. After its closing both texts are text like any other.
 */
struct thinking_options {
    bool on;          /* the answer begins inside the span (the prompt ends with its opening) */
    struct str open;  /* else the text that begins it, "<think>", or ""; white space may precede */
    struct str close; /* the text that ends it, "</think>" */
    const token_id *close_ids; /* what is written where the budget ends it */
    size_t n_close_ids;
    size_t budget; /* tokens, those of an opening of its own included; 0: no end but max_tokens */
};

/* White space may stand between a span's tags and the texts around them, and belongs to neither. */
static inline bool thinking_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
static inline struct str thinking_trim_begin(struct str s)
{
    while (s.len > 0 && thinking_is_space(s.ptr[0]))
        s = str_from(s, 1);
    return s;
}
static inline struct str thinking_trim_end(struct str s)
{
    while (s.len > 0 && thinking_is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}
#endif
