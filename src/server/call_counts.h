/*
 * call_counts.h - how many calls each route answered, with which status, and how long they took: for /metrics.
 *
 * Routes are named by their pattern, so what somebody asked for stands nowhere.
 */
#ifndef HONE_SERVER_CALL_COUNTS_H
#define HONE_SERVER_CALL_COUNTS_H

#include "server/api.h"

struct call_counts;
struct call_counts *call_counts_open(void);
void call_counts_close(struct call_counts *c); /* NULL is fine */
/* route NULL: one of nothing that is offered. status 0: the client left before its answer. Any thread. */
void call_counts_add(struct call_counts *c, const struct api_route *route, int status,
                     double seconds);
/* In the text format of Prometheus 0.0.4: hone_http_requests_total and hone_http_request_duration_seconds. */
void call_counts_write(struct call_counts *c, struct buf *out);
#endif
