/*
 * rows_internal.h - what the tables of this folder have in common: ids from outside, rows into structs, pages, labels, time.
 */
#ifndef HONE_STORE_ROWS_INTERNAL_H
#define HONE_STORE_ROWS_INTERNAL_H

#include "store/jobs.h"

/* ---- what comes from outside ---- */

/* 1..128 letters, digits, '-' and '_': what any id of ours looks like. Anything else is an id of nothing. */
bool id_is_sane(struct str id);
/* UTF-8 without a zero byte, at most max_bytes: what a database takes as text. */
bool text_is_sane(struct str s, size_t max_bytes);
/* ERR_NOT_FOUND; an id that is no id is not repeated. */
bool fail_no_such(struct error *err, const char *what, struct str id);

/* Unix time by the clock that everyone who shares the database sees: PostgreSQL's own, or of the one machine with SQLite. */
MUST_CHECK bool rows_now(struct db *db, int64_t *now, struct error *err);

/*
 * The same statement, that in PostgreSQL keeps the row from other writers: they wait at once instead of failing at their
 * commit, where transactions must be serializable, and doing it all again. Keys are never changed, so rows that refer to it can
 * still be added. In SQLite there is one writer anyway.
 */
#define FOR_UPDATE(db, sql) (db_dialect(db) == DB_POSTGRES ? sql " FOR NO KEY UPDATE" : sql)
/* ... and passes over rows that another has taken. */
#define SKIP_LOCKED(db, sql)                                                                       \
    (db_dialect(db) == DB_POSTGRES ? sql " FOR NO KEY UPDATE SKIP LOCKED" : sql)

/* ---- rows into structs ---- */

typedef void row_fill_fn(const struct db_row *row, struct arena *a, void *item);
struct row_kind {
    row_fill_fn *fill;
    size_t item_size;
};
struct rows {
    void *items; /* n of item_size each */
    size_t n;
    bool more; /* there are rows past these */
};
/* Every row of a statement, at most limit of them. */
MUST_CHECK bool rows_all(struct db *db, const char *sql, const struct db_value *params,
                         size_t n_params, struct row_kind kind, size_t limit, struct arena *a,
                         struct rows *out, struct error *err);
/* The same as a transaction of its own. */
MUST_CHECK bool rows_read(struct store *s, const char *sql, const struct db_value *params,
                          size_t n_params, struct row_kind kind, size_t limit, struct arena *a,
                          struct rows *out, struct error *err);
/* The first row into *item; *found false: there is none, and *item is as it was. */
MUST_CHECK bool rows_one(struct db *db, const char *sql, const struct db_value *params,
                         size_t n_params, row_fill_fn *fill, struct arena *a, void *item,
                         bool *found, struct error *err);
/* The first column of the first row; *found may be NULL where there is always one. */
MUST_CHECK bool rows_int(struct db *db, const char *sql, const struct db_value *params,
                         size_t n_params, int64_t *out, bool *found, struct error *err);

/* ---- pages ---- */

/*
 * The statements of one list: [0] oldest first, [1] newest first. Parameters are those of the list, then the cursor, the
 * limit, and for labelled the label's key and value. find: the parameters of its scope (the first ones), then an id; gives seq.
 * large: a row may have megabytes; its first column is seq, then. PostgreSQL's library holds all rows of a statement before the first
 * of them is seen, so such a list is asked for a few rows at a time.
 */
struct page_sql {
    const char *find, *all[2], *labelled[2], *bare[2];
    bool large;
};
#define PAGE_SQL(columns, from, where, seq, cursor, limit)                                         \
    {                                                                                              \
        "SELECT " columns " FROM " from " WHERE " where " AND " seq " > " cursor " ORDER BY " seq  \
        " LIMIT " limit,                                                                           \
            "SELECT " columns " FROM " from " WHERE " where " AND " seq " < " cursor               \
            " ORDER BY " seq " DESC LIMIT " limit                                                  \
    }

struct page_query {
    const struct page_sql *sql;
    const struct store_page *page;
    struct db_value params[8];
    size_t n_params, n_scope;
};
MUST_CHECK bool page_run(struct store *s, const struct page_query *q, struct row_kind kind,
                         struct arena *a, struct rows *out, struct error *err);

/* ---- labels: the metadata of jobs and documents ---- */

struct labelled {
    const char *kind, *id, *project_id;
    int64_t seq;
};
MUST_CHECK bool labels_put(struct db *db, const struct labelled *of, const struct label *labels,
                           size_t n, struct error *err);
MUST_CHECK bool labels_remove(struct db *db, const char *kind, const char *id, struct error *err);
MUST_CHECK bool labels_of(struct store *s, const char *kind, const char *id, struct arena *a,
                          struct label **out, size_t *n, struct error *err);
#endif
