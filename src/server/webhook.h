/*
 * webhook.h - what is sent to an address when something has happened: Standard Webhooks (standardwebhooks.com).
 *
 *     webhook-id: evt_...   webhook-timestamp: seconds   webhook-signature: v1,BASE64 [v1,BASE64]
 *     BASE64 = HMAC-SHA256(secret, "ID.TIMESTAMP.BODY")
 *
 * An endpoint is a document of kind "webhook_endpoint"; its body is
 * {"name","url","event_types":[..],"secret":"whsec_...","old_secret"?,"old_until"?}. After a rotation the old secret signs, too, until
 * old_until, so that a receiver can change over.
 */
#ifndef HONE_SERVER_WEBHOOK_H
#define HONE_SERVER_WEBHOOK_H

#include "base/arena.h"
#include "text/json.h"

#include <stdint.h>

#define WEBHOOK_SECRET_BYTES 32
#define WEBHOOK_KEEP_OLD_SECONDS 86400

/* Every type of event there is. */
extern const char *const webhook_event_types[];
extern const size_t n_webhook_event_types;
bool webhook_is_type(struct str type);

/* "whsec_" and the base64 of 32 random bytes. */
char *webhook_new_secret(struct arena *a);
/* The header's value: one signature of each secret that holds at this time. ERR_CORRUPT: the endpoint has no secret. */
MUST_CHECK bool webhook_signature(const json_t *endpoint, const char *id, int64_t timestamp,
                                  struct str body, int64_t now, struct arena *a, const char **out,
                                  struct error *err);
/* {"object":"event","id","type","created_at","data"}, data taken; the text that is signed and sent. */
char *webhook_event(const char *id, const char *type, int64_t created_at, json_t *data,
                    struct arena *a);
/* Seconds from try number n (1: the first has failed) to the next: 5 s, doubled up to 6 h; 0: 72 h are over, give up. */
int64_t webhook_pause(int64_t tries, int64_t created_at, int64_t now);
#endif
