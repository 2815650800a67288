/*
 * webhook_sender.h - one thread that sends what waits in the store's outbox, as webhook.h says.
 *
 * A receiver answers with 2xx within SENDER_TIMEOUT_S; anything else, redirects among it, is a failure, and the event is sent again
 * later, for 72 hours. Several servers on one database share the work: each event is leased. An event may arrive twice, never not
 * at all; receivers know it by its webhook-id.
 *
 * Whoever has a key chooses addresses, so what is sent from here must not reach what only this machine or its network may reach:
 * addresses of this machine, private networks and the like are refused when the connection is made, whatever name led to them, unless
 * the operator allows them (allow_private). No proxy is used then, for a proxy would look the name up itself.
 */
#ifndef HONE_SERVER_WEBHOOK_SENDER_H
#define HONE_SERVER_WEBHOOK_SENDER_H

#include "store/documents.h"
#include "text/json.h"

#define SENDER_TIMEOUT_S 15.0

struct webhook_sender;
struct webhook_sender_options {
    struct store *store;
    bool allow_private;
    double pause_s; /* between two looks at an empty outbox; 0: 1 */
};
MUST_CHECK bool webhook_sender_open(const struct webhook_sender_options *opt,
                                    struct webhook_sender **out, struct error *err);
void webhook_sender_close(struct webhook_sender *w); /* ends a request under way; NULL is fine */

/*
 * Sends once, now, from the caller's thread: for a test of an endpoint. endpoint: its document's body. *status: the reply's. Fails
 * where there is no reply.
 */
MUST_CHECK bool webhook_send(struct webhook_sender *w, const json_t *endpoint, const char *event_id,
                             struct str body, struct arena *a, int *status, struct error *err);
#endif
