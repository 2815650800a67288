/*
 * limits.h - how much a key may ask: so many requests a minute, so many at once.
 *
 * Requests a minute are a token bucket: it holds one minute's worth, a request takes one, and it fills evenly. Keys that have
 * asked nothing for a while are forgotten; by then their bucket is full again.
 */
#ifndef HONE_SERVER_LIMITS_H
#define HONE_SERVER_LIMITS_H

#include "base/error.h"

#include <stdint.h>

struct limits;
struct limits *limits_open(void);
void limits_close(struct limits *l); /* NULL is fine */

struct limit_state {
    int64_t per_minute, remaining; /* per_minute 0: no limit, and nothing else is meant */
    double reset_s;                /* until the bucket is full */
    double retry_after_s;          /* of a refusal */
};
/*
 * One request of this key at this time (clock_seconds()). per_minute, at_once: 0 for no limit. Where true is returned, limits_give
 * must be called once. Fails with ERR_LIMIT, code rate_limit_exceeded, and state->retry_after_s. Any thread.
 */
MUST_CHECK bool limits_take(struct limits *l, const char *key_id, int64_t per_minute,
                            int64_t at_once, double now, struct limit_state *state,
                            struct error *err);
void limits_give(struct limits *l, const char *key_id);
size_t limits_n_keys(struct limits *l); /* that are remembered */
#endif
