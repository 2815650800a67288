/*
 * store.h - what survives a restart: who may do what, files, jobs and their events, models, and everything the API keeps.
 *
 *     HOME/hone.db   or a PostgreSQL database          rows
 *     HOME/store.id  the store's name, which the rows have, too: one home, one database
 *     HOME/files/    the bytes of each file, one file each, named by its id
 *     HOME/runs/ID/  a job's run folder
 *
 * What the store decides by has columns (states, leases, keys, cursors); what it only keeps for the API is a document
 * (documents.h). Rows that the API lists carry seq, a number that grows with every insert: the order of every list, and its cursor.
 * Functions may be called from any thread. Texts in what they fill live in the arena given.
 */
#ifndef HONE_STORE_STORE_H
#define HONE_STORE_STORE_H

#include "store/db.h"

struct store;
struct store_options {
    const char *home;     /* folder; made when missing, 0700 */
    const char *database; /* NULL: HOME/hone.db; else postgresql://... (HONE_DATABASE) */
    size_t n_connections; /* 0: 8 */
};
/* ERR_INVALID where the home is another store's than the database, for its files would be swept away. */
MUST_CHECK bool store_open(const struct store_options *opt, struct store **out, struct error *err);
void store_close(struct store *s); /* NULL is fine */
struct db_pool *store_db(struct store *s);
const char *store_home(const struct store *s);
/* Something trivial is asked of the database: for /healthz. */
MUST_CHECK bool store_ping(struct store *s, struct error *err);

/* Unix time by the clock that all who share the database see: what rows are dated and expire by. */
MUST_CHECK bool store_now(struct store *s, int64_t *now, struct error *err);

/* A new id: prefix and 24 letters and digits from the system's random numbers ("file-" -> "file-4kq..."). In the arena. */
char *store_new_id(const char *prefix, struct arena *a);
/* The same id for the same text: what is done again after a crash gets the name it had. */
char *store_id_of(const char *prefix, struct str text, struct arena *a);
bool store_id_is(
    struct str id,
    const char *
        prefix); /* the prefix, then 1..64 letters, digits, '-' and '_': no path can be made of it */

/* What every list of the API takes. */
struct store_page {
    size_t limit;          /* 1..; fewer come where rows are large, and has_more says so */
    const char *after;     /* id of the last one seen, or NULL; not there: ERR_NOT_FOUND, "after" */
    int64_t after_seq;     /* where after is NULL: the seq of the last one seen, which may be gone; 0: none */
    bool ascending;        /* oldest first */
    struct str key, value; /* only rows with this label (metadata[key]=value); key.ptr NULL: all */
    bool without_labels;   /* metadata=null */
};
/*
 * A live store into a new folder that can be opened as a home: rows as of one moment, every file and run folder that they name.
 * Files and checkpoints are hard links where it is on the same disk. The models of the home are not in it.
 * Where the rows are in PostgreSQL: ERR_UNSUPPORTED, naming pg_dump.
 */
MUST_CHECK bool store_backup(struct store *s, const char *dir, struct error *err);
/*
 * A backup's folder into a home that is not there or has nothing but models, graders and hone.conf in it. What was begun
 * and failed stays there, without rows. Nobody may use the home meanwhile.
 */
MUST_CHECK bool store_restore(const char *dir, const char *home, struct error *err);
#endif
