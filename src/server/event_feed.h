/*
 * event_feed.h - jobs' events to whoever listens, as server-sent events.
 *
 * One thread asks the store for all streams together, twice a second, and only while there are any. What a stream costs
 * is a list entry and a connection.
 */
#ifndef HONE_SERVER_EVENT_FEED_H
#define HONE_SERVER_EVENT_FEED_H

#include "server/http.h"
#include "store/jobs.h"
#include "text/json.h"

struct event_feed;
MUST_CHECK bool event_feed_open(struct store *s, struct event_feed **out, struct error *err);
void event_feed_stop(struct event_feed *f);  /* ends all streams, and takes no more */
void event_feed_close(struct event_feed *f); /* NULL is fine */
/*
 * Answers the exchange with a stream: every event of the job so far, those behind the id `after` unless that is NULL, oldest first, then each as it comes, as lines "data: {...}";
 * once the job has ended "data: [DONE]". The exchange is the feed's from then on. Fails, with nothing sent, where there are
 * too many streams (ERR_LIMIT) or the feed has stopped.
 */
MUST_CHECK bool event_feed_add(struct event_feed *f, struct http_exchange *x,
                               const struct http_pair *headers, size_t n_headers,
                               const char *project_id, const char *job_id, const char *after,
                               struct error *err);
size_t event_feed_streams(struct event_feed *f); /* open now */

json_t *job_event_json(const struct job_event *e);
#endif
