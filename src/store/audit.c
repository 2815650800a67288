/*
 * audit.c - who did what, when, from where: rows that are only ever added. A refusal that a key is given again and again is one
 * row an hour: otherwise whoever has a key fills the disk with what was refused.
 */
#include "base/size.h"
#include "store/access.h"
#include "store/rows_internal.h"

#define REPEAT_SECONDS 3600

/* Whatever its target and address: those are the caller's to choose. */
static bool is_repeat(struct db *db, const struct audit_entry *e, bool *repeat, struct error *err)
{
    const struct db_value v[] = {db_text(e->org_id), db_text(e->key_id != NULL ? e->key_id : ""),
                                 db_text(e->action), db_text(e->outcome),
                                 db_int(e->at - REPEAT_SECONDS)};
    int64_t seq;

    *repeat = false;
    return e->outcome == NULL || strcmp(e->outcome, "ok") == 0 ||
           rows_int(db,
                    "SELECT seq FROM audit WHERE org_id = ?1 AND COALESCE(key_id, '') = ?2 "
                    "AND action = ?3 AND outcome = ?4 AND outcome <> 'ok' AND at > ?5 LIMIT 1",
                    v, COUNT_OF(v), &seq, repeat, err);
}

static bool put(struct db *db, void *ctx, struct error *err)
{
    struct audit_entry *e = ctx;
    bool repeat;

    if (e->at == 0 && !rows_now(db, &e->at, err))
        return false;
    if (!is_repeat(db, e, &repeat, err) || repeat)
        return repeat;
    const struct db_value v[] = {
        db_int(e->at),      db_text(e->org_id), db_text(e->project_id), db_text(e->key_id),
        db_text(e->action), db_text(e->target), db_text(e->outcome),    db_text(e->address),
    };

    return db_run(db,
                  "INSERT INTO audit (at, org_id, project_id, key_id, action, target, outcome, "
                  "address) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                  v, COUNT_OF(v), NULL, NULL, NULL, err);
}

bool audit_put(struct store *s, const struct audit_entry *e, struct error *err)
{
    struct audit_entry copy = *e;

    return db_write(store_db(s), put, &copy, err);
}

/* As fill has them. */
#define COLUMNS "seq, at, org_id, project_id, key_id, action, target, outcome, address"

static void fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct audit_entry *)item = (struct audit_entry){
        .seq = db_row_int(row, 0),
        .at = db_row_int(row, 1),
        .org_id = db_row_text(row, 2, a),
        .project_id = db_row_text(row, 3, a),
        .key_id = db_row_text(row, 4, a),
        .action = db_row_text(row, 5, a),
        .target = db_row_text(row, 6, a),
        .outcome = db_row_text(row, 7, a),
        .address = db_row_text(row, 8, a),
    };
}

bool audit_list(struct store *s, const char *org_id, int64_t after_seq, size_t limit,
                struct arena *a, struct audit_entry **out, size_t *n, struct error *err)
{
    const struct db_value v[] = {db_int(after_seq), db_int((int64_t)size_min(limit, INT64_MAX)),
                                 db_text(org_id)};
    struct rows rows;

    if (!rows_read(
            s,
            org_id != NULL ? "SELECT " COLUMNS
                             " FROM audit WHERE seq > ?1 AND org_id = ?3 ORDER BY seq LIMIT ?2"
                           : "SELECT " COLUMNS " FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            v, org_id != NULL ? 3 : 2, (struct row_kind){fill, sizeof **out}, limit, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    return true;
}

#define IS_AMONG(list, column)                                                                     \
    "AND (" list " = '' OR replace(',' || " list " || ',', ',' || COALESCE(" column                \
    ", '') || ',', '') <> ',' || " list " || ',') "

bool audit_find(struct store *s, const struct audit_filter *f, size_t limit, struct arena *a,
                struct audit_entry **out, size_t *n, struct error *err)
{
    const struct db_value v[] = {
        db_text(f->org_id),   db_int(f->after),
        db_int(f->before),    db_int(f->from),
        db_int(f->to),        db_text(f->actions),
        db_text(f->projects), db_text(f->keys),
        db_text(f->targets),  db_int((int64_t)size_min(limit, INT64_MAX)),
    };
    struct rows rows;

    if (!rows_read(s,
                   "SELECT " COLUMNS
                   " FROM audit WHERE org_id = ?1 AND seq > ?2 AND seq < ?3 AND at >= ?4 "
                   "AND at <= ?5 " IS_AMONG("?6", "action") IS_AMONG("?7", "project_id")
                       IS_AMONG("?8", "key_id") IS_AMONG("?9", "target") "ORDER BY seq DESC "
                                                                         "LIMIT ?10",
                   v, COUNT_OF(v), (struct row_kind){fill, sizeof **out}, limit, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    return true;
}
