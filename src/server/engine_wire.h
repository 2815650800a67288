/*
 * engine_wire.h - what the server and its engine process say to each other: one JSON document a line, over a socket.
 *
 *     to the engine       {"ask":7,"op":"chat","stream":true,"model":{"name":...,"path":...,"adapter"?,"run"?}}
 *                         <the request's body, a line of its own>
 *                         {"cancel":7}
 *     from the engine     {"id":7,"event":{...}}                events: see engine_client.h
 *                         {"figures":{"tokens_sampled":n,"tokens_prompt":n,"tokens_cached":n,"resident_bytes":n}}
 *
 * A body stands apart from what leads it, so that one that cannot be read (too deep, no JSON) is the failure of its request and
 * not of the connection. Anything else that is not as above ends the connection: the two sides are one program.
 */
#ifndef HONE_SERVER_ENGINE_WIRE_H
#define HONE_SERVER_ENGINE_WIRE_H

#include "server/engine_client.h"

/* One end of the socket, which does not block. It belongs to one thread. */
struct wire {
    int fd;          /* -1: none */
    struct buf in;   /* what came and was not yet taken */
    size_t at, seen; /* of in: where the next line begins; up to where no line break is */
    struct buf out;  /* append lines here */
    size_t sent;     /* of out */
    size_t max_line;
};
void wire_init(struct wire *w, int fd, size_t max_line); /* takes fd over */
void wire_release(struct wire *w);                       /* closes it, too */

/* Takes what has come: false when the other side has closed, or a line is longer than max_line. */
bool wire_receive(struct wire *w);
/* The same, from memory. */
bool wire_put(struct wire *w, struct str bytes);
/* The next whole line without its break, valid until the next of these calls; false: there is none yet. */
bool wire_line(struct wire *w, struct str *line);
/* Sends as much of out as the socket takes now: false when the other side has closed. */
bool wire_send(struct wire *w);
static inline bool wire_sending(const struct wire *w)
{
    return w->sent < w->out.len;
}

enum wire_kind { WIRE_ASK, WIRE_CANCEL, WIRE_EVENT, WIRE_FIGURES };
struct wire_message {
    enum wire_kind kind;
    uint64_t id;                   /* of the first three */
    enum engine_op op;             /* WIRE_ASK */
    bool stream;                   /* WIRE_ASK */
    struct engine_model model;     /* WIRE_ASK: in tree */
    json_t *event;                 /* WIRE_EVENT, in tree: an object with a text "type" */
    struct engine_figures figures; /* WIRE_FIGURES: the four that the engine knows */
    json_t *tree;                  /* the caller's */
};
/* Fails with ERR_CORRUPT. */
MUST_CHECK bool wire_read(struct str line, struct wire_message *out, struct error *err);
void wire_message_release(struct wire_message *m); /* all zeros is fine */

/* Lines, appended with their breaks. */
void wire_put_ask(struct buf *b, uint64_t id, enum engine_op op, bool stream,
                  const struct engine_model *m);
void wire_put_body(struct buf *b, const json_t *body);
void wire_put_cancel(struct buf *b, uint64_t id);
void wire_put_event(struct buf *b, uint64_t id, const json_t *event);
void wire_put_figures(struct buf *b, const struct engine_figures *f);

/* {"type":"error", ...}: a new tree. And what it says: false, with err set, where it is one. */
json_t *wire_error(const struct error *err);
bool wire_is_no_error(const json_t *event, struct error *err);
/* Whether nothing comes after it. */
bool wire_is_last(const json_t *event);
#endif
