/*
 * access_internal.h - rows of access.h within a transaction of their caller's: an organisation, its project and its key are made
 * together.
 *
 * What is made by chance is made before the transaction, which may be done twice.
 */
#ifndef HONE_STORE_ACCESS_INTERNAL_H
#define HONE_STORE_ACCESS_INTERNAL_H

#include "base/sha256.h"
#include "store/access.h"

#define ACCESS_NAME_MAX 200

bool access_name_is_fit(const char *name, const char *what, struct error *err);

/* Fills all but what the row gives; nothing is written yet, and there is no date before it is. */
struct org org_make(const char *name, struct arena *a);
struct project project_make(const char *org_id, const char *name, struct arena *a);
struct api_key key_make(const struct new_key *k, struct arena *a, char **secret,
                        struct sha256_text *hash);

/* now is rows_now of this transaction: it becomes created_at. Chooses o->slug, of the name and not there yet. */
bool org_put(struct db *db, struct org *o, int64_t now, struct arena *a, struct error *err);
bool project_put(struct db *db, struct project *p, int64_t now, struct error *err);
bool key_put(struct db *db, struct api_key *k, const struct sha256_text *hash, int64_t now,
             struct error *err);
#endif
