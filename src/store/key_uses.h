/*
 * key_uses.h - when API keys were last used, written down by a thread of its own: no request waits for it.
 *
 * As good as it can be had: what cannot be written, or is more than fits, is dropped; the key's next use tells it again.
 */
#ifndef HONE_STORE_KEY_USES_H
#define HONE_STORE_KEY_USES_H

#include "store/db.h"

struct key_uses;
MUST_CHECK bool key_uses_open(struct db_pool *p, struct key_uses **out, struct error *err);
void key_uses_close(struct key_uses *u); /* writes what it has; NULL is fine */
void key_uses_note(struct key_uses *u, const char *key_id, int64_t at);
#endif
