/*
 * response_feed.h - the kept events of background responses (response_events.h) to whoever listens, old ones first, then as they come.
 *
 * One thread asks the store for all streams together, five times a second, and only while there are any: it does not matter which server
 * works on the response.
 */
#ifndef HONE_SERVER_RESPONSE_FEED_H
#define HONE_SERVER_RESPONSE_FEED_H

#include "server/http.h"
#include "store/documents.h"

struct response_feed;
MUST_CHECK bool response_feed_open(struct store *s, struct response_feed **out, struct error *err);
void response_feed_stop(
    struct response_feed *f); /* ends all streams, and takes no more; NULL is fine */
void response_feed_close(struct response_feed *f); /* NULL is fine */
/*
 * Answers the exchange with a stream of the events whose number is larger than after (-1: all); it ends behind the last event, or
 * where the response was cancelled or deleted. The exchange is the feed's from then on. Fails, with nothing sent, where there are
 * too many streams (ERR_LIMIT) or the feed has stopped.
 */
MUST_CHECK bool response_feed_add(struct response_feed *f, struct http_exchange *x,
                                  const struct http_pair *headers, size_t n_headers,
                                  const char *project_id, const char *response_id, int64_t after,
                                  struct error *err);
#endif
