/*
 * creations.c - reservations: found or made in one transaction, so that of two that ask at once one has it.
 */
#include "store/creations.h"
#include "base/size.h"
#include "store/rows_internal.h"

#define COLUMNS "id, digest, lease_until, made, created_at"
struct creation_row {
    char *id, *digest;
    int64_t lease_until, made, created_at;
};

static void creation_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct creation_row *)item = (struct creation_row){
        .id = db_row_text(row, 0, a),
        .digest = db_row_text(row, 1, a),
        .lease_until = db_row_int(row, 2),
        .made = db_row_int(row, 3),
        .created_at = db_row_int(row, 4),
    };
}

struct beginning {
    const struct creation_ask *ask;
    struct arena *a;
    struct creation out;
    bool found;
    int64_t now;
};

/* The one that is awaited, or the last of that name; what is found is in b->out, MINE where nobody holds it any more. */
static bool look(struct db *db, void *ctx, struct error *err)
{
    struct beginning *b = ctx;
    const struct creation_ask *ask = b->ask;
    struct creation_row row = {.digest = ""};

    b->found = false;
    if (!rows_now(db, &b->now, err))
        return false;
    const struct db_value params[] = {db_text(ask->project_id), db_text(ask->name),
                                      db_int(b->now - ask->since_seconds)};
    const struct db_value awaited[] = {db_text(ask->project_id), db_text(ask->awaited)};

    if (!ask->again)
        return true;
    if (ask->awaited != NULL &&
        !rows_one(db, "SELECT " COLUMNS " FROM creations WHERE project_id = ?1 AND id = ?2",
                  awaited, COUNT_OF(awaited), creation_fill, b->a, &row, &b->found, err))
        return false;
    if (!b->found &&
        !rows_one(db,
                  "SELECT " COLUMNS " FROM creations WHERE project_id = ?1 AND name = ?2 AND "
                  "created_at >= ?3 ORDER BY seq DESC LIMIT 1",
                  params, COUNT_OF(params), creation_fill, b->a, &row, &b->found, err))
        return false;
    if (!b->found)
        return true;
    if (strcmp(row.digest, ask->digest) != 0)
        return fail_code(err, ERR_INVALID, "idempotency_error", "",
                         "the Idempotency-Key of this request was sent before with another "
                         "request: a key stands for one request, and is good for a day");
    b->out = (struct creation){.state = row.made != 0              ? CREATION_MADE
                                        : row.lease_until > b->now ? CREATION_BUSY
                                                                   : CREATION_MINE,
                               .id = row.id,
                               .created_at = row.created_at};
    return true;
}

static bool take_over(struct db *db, struct beginning *b, struct error *err)
{
    const struct db_value params[] = {db_text(b->out.id), db_text(b->ask->holder),
                                      db_int(b->now + b->ask->lease_seconds)};

    b->out.was_left = true;
    return db_run(db, "UPDATE creations SET holder = ?2, lease_until = ?3 WHERE id = ?1", params,
                  COUNT_OF(params), NULL, NULL, NULL, err);
}

static bool insert(struct db *db, struct beginning *b, struct error *err)
{
    const struct creation_ask *ask = b->ask;
    const struct db_value params[] = {db_text(ask->id),     db_text(ask->project_id),
                                      db_text(ask->name),   db_text(ask->digest),
                                      db_text(ask->holder), db_int(b->now + ask->lease_seconds),
                                      db_int(b->now)};

    b->out = (struct creation){
        .state = CREATION_MINE, .id = arena_text(b->a, str_of(ask->id)), .created_at = b->now};
    return db_run(db,
                  "INSERT INTO creations (id, project_id, name, digest, holder, lease_until, "
                  "made, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

static bool begin(struct db *db, void *ctx, struct error *err)
{
    struct beginning *b = ctx;

    if (!look(db, b, err))
        return false;
    if (!b->found)
        return insert(db, b, err);
    return b->out.state != CREATION_MINE || take_over(db, b, err);
}

bool creations_begin(struct store *s, const struct creation_ask *ask, struct arena *a,
                     struct creation *out, struct error *err)
{
    struct beginning b = {.ask = ask, .a = a};

    /* whoever waits asks again and again: without a transaction that writes */
    if (ask->again && !db_read(store_db(s), look, &b, err))
        return false;
    if ((!b.found || b.out.state == CREATION_MINE) && !db_write(store_db(s), begin, &b, err))
        return false;
    *out = b.out;
    return true;
}

struct renewing {
    const char *holder;
    const char *const *ids;
    size_t n;
    int64_t seconds;
};

static bool renew(struct db *db, void *ctx, struct error *err)
{
    const struct renewing *r = ctx;
    int64_t now;

    if (!rows_now(db, &now, err))
        return false;
    for (size_t i = 0; i < r->n; i++) {
        const struct db_value params[] = {db_text(r->ids[i]), db_text(r->holder),
                                          db_int(now + r->seconds)};

        if (!db_run(db,
                    "UPDATE creations SET lease_until = ?3 WHERE id = ?1 AND holder = ?2 AND "
                    "made = 0",
                    params, COUNT_OF(params), NULL, NULL, NULL, err))
            return false;
    }
    return true;
}

bool creations_renew(struct store *s, const char *holder, const char *const *ids, size_t n,
                     int64_t lease_seconds, struct error *err)
{
    struct renewing r = {holder, ids, n, lease_seconds};

    return n == 0 || db_write(store_db(s), renew, &r, err);
}

struct ending {
    const char *holder, *id;
    bool made;
};

static bool end(struct db *db, void *ctx, struct error *err)
{
    const struct ending *e = ctx;
    const struct db_value params[] = {db_text(e->id), db_text(e->holder)};

    if (e->made)
        return db_run(db, "UPDATE creations SET made = 1, lease_until = 0 WHERE id = ?1", params, 1,
                      NULL, NULL, NULL, err);
    return db_run(db, "DELETE FROM creations WHERE id = ?1 AND holder = ?2 AND made = 0", params, 2,
                  NULL, NULL, NULL, err);
}

bool creations_end(struct store *s, const char *holder, const char *id, bool made,
                   struct error *err)
{
    struct ending e = {holder, id, made};

    return db_write(store_db(s), end, &e, err);
}

static bool sweep(struct db *db, void *ctx, struct error *err)
{
    const int64_t *before = ctx;
    const struct db_value params[] = {db_int(*before)};

    return db_run(db, "DELETE FROM creations WHERE created_at < ?1", params, COUNT_OF(params), NULL,
                  NULL, NULL, err);
}

bool creations_sweep(struct store *s, int64_t now, struct error *err)
{
    int64_t before = now - CREATION_SECONDS;

    return db_write(store_db(s), sweep, &before, err);
}
