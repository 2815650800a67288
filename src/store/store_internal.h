/*
 * store_internal.h - what the store's modules share, and nobody else sees.
 */
#ifndef HONE_STORE_STORE_INTERNAL_H
#define HONE_STORE_STORE_INTERNAL_H

#include "store/store.h"

struct key_uses; /* when keys were used, written down later: key_uses.c */
struct key_uses *store_key_uses(struct store *s);

/* Home and database belong together, or this fails and says how they do not: identity.c. */
#define STORE_ID_FILE "store.id"
MUST_CHECK bool store_identify(struct store *s, struct error *err);

/* n letters and digits by chance, of the system's random numbers, and a zero byte. */
void store_random_text(char *out, size_t n);
#endif
