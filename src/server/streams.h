/*
 * streams.h - open streams that one thread tells of what is new.
 *
 * Anyone adds one. From then on it is that thread's: it takes it over at its next round (background.h), tells it, and ends it.
 */
#ifndef HONE_SERVER_STREAMS_H
#define HONE_SERVER_STREAMS_H

#include "base/background.h"
#include "server/http.h"

#include <stdatomic.h>

/* The first member of what its feed knows of it, which is one piece of malloc's. */
struct stream {
    struct stream *next;
    struct http_exchange *x;
    atomic_bool gone; /* its client has left, or does not read: it is told no more */
};

struct streams {
    struct background thread; /* its lock guards added and n */
    struct stream *added;     /* not yet the thread's */
    size_t n;                 /* with those that have a place and are not added yet */
    struct stream *first;     /* the thread's alone */
};

/* ---- anyone's ---- */

/* A place for one more, of most; false: there is none, or (*stopping) no stream is taken any more. */
MUST_CHECK bool streams_place(struct streams *s, size_t most, bool *stopping);
/* Begins the answer of one->x as opt says, gone and ctx apart, and wakes the thread. With a place. */
void streams_add(struct streams *s, struct stream *one, const struct http_stream_options *opt);
size_t streams_count(struct streams *s);
/* The thread's last round; then ends all streams, and every one that is added later. */
void streams_stop(struct streams *s);
void streams_release(struct streams *s); /* all zeros is fine */

/* ---- the thread's ---- */

void streams_take_added(struct streams *s);
/* Puts the next one where *at points, and frees this one. last: what it is told in the end. */
void streams_end(struct streams *s, struct stream **at, struct str last);
#endif
