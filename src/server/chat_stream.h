/*
 * chat_stream.h - an answer that is still being sampled, parted into thinking and text as far as both are certain.
 *
 * What comes out, joined, is what prompter_answer says of the whole: whole characters, tags taken away, white space
 * between thinking and text left out. What may still turn out to be part of a tag waits.
 */
#ifndef HONE_SERVER_CHAT_STREAM_H
#define HONE_SERVER_CHAT_STREAM_H

#include "base/utf8.h"
#include "sample/prompt.h"

enum chat_state { CHAT_UNDECIDED, CHAT_THINKING, CHAT_ANSWERING };

struct chat_stream {
    const struct reasoning *reasoning;
    enum chat_state state;
    bool inside;     /* the prompt ends with the opening */
    bool trim, some; /* white space at the ends of this part is left out; some of it is out */
    const struct tokenizer *tokenizer;
    bool begun; /* the blank in front of a text is taken off its first token */
    struct utf8_stream utf8;
    struct buf held;
};

/* thinking: of the struct prompt that is answered; tools: calls are looked for in the text. */
void chat_stream_init(struct chat_stream *s, const struct prompter *p, bool thinking, bool tools);
void chat_stream_release(struct chat_stream *s);
/*
 * bytes: of one token, end tokens left out; special: it is a special token, as tags may be, and no text. Appends to thinking
 * and text what is certain now.
 */
void chat_stream_put(struct chat_stream *s, struct str bytes, bool special, struct buf *thinking,
                     struct buf *text);
void chat_stream_end(struct chat_stream *s, struct buf *thinking, struct buf *text);
#endif
