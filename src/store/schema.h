/*
 * schema.h - every table there is, as the steps that made it. A step that was released is never changed; what is to be otherwise
 * is a new one.
 */
#ifndef HONE_STORE_SCHEMA_H
#define HONE_STORE_SCHEMA_H

#include "store/db.h"

extern const char schema_work[], schema_documents[]; /* schema_work.c */
extern const struct db_migration schema_migrations[];
extern const size_t schema_n_migrations;
#endif
