/*
 * response_events.h - the stream events of a background response, kept as they come, so that a client can come back for them.
 *
 *     document "response.events" below the response:  [event, event, ...]     a few times a second one more
 *
 * Numbers ("sequence_number") go on from one document to the next, and an answer is a function of its request: events that are made
 * again after a crash have the numbers they had, and those that are kept already are left out. They are kept for a day.
 */
#ifndef HONE_SERVER_RESPONSE_EVENTS_H
#define HONE_SERVER_RESPONSE_EVENTS_H

#include "store/documents.h"
#include "text/json.h"

#define RESPONSE_EVENTS_KIND "response.events"
#define RESPONSE_EVENTS_SECONDS 86400

/* What is kept so far. */
struct response_events {
    struct store *store;
    const char *project_id, *response_id;
    int64_t created_at; /* of the response */
    size_t n_chunks;
    int64_t next; /* number of the first event that is not kept */
    bool ended;   /* the last one kept is an end */
};
MUST_CHECK bool response_events_count(struct response_events *e, struct error *err);
/*
 * Keeps events, JSON texts joined by commas, of which the first has the number e->next and the last one next - 1. Where another has kept
 * some meanwhile: ERR_INVALID.
 */
MUST_CHECK bool response_events_keep(struct response_events *e, struct str events, int64_t next,
                                     struct error *err);
bool response_event_is_last(struct str type);
#endif
