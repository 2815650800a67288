/*
 * outbox.c - what is to be told to webhook endpoints: written with the change that it tells of, leased to whoever delivers.
 */
#include "base/size.h"
#include "store/documents.h"
#include "store/jobs_internal.h"

#include <jansson.h>

/* ---- put ---- */

struct endpoint {
    char *id, *body;
};

static void endpoint_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct endpoint *)item =
        (struct endpoint){.id = db_row_text(row, 0, a), .body = db_row_text(row, 1, a)};
}

/* Whether the endpoint's "event_types" name this one; one whose body cannot be read wants nothing. */
static bool wants(const struct endpoint *e, const char *type)
{
    json_t *body = json_loads(e->body, 0, NULL);
    const json_t *types = json_object_get(body, "event_types");
    bool is_there = false;

    for (size_t i = 0; i < json_array_size(types) && !is_there; i++) {
        const char *one = json_string_value(json_array_get(types, i));

        is_there = one != NULL && strcmp(one, type) == 0;
    }
    json_decref(body);
    return is_there;
}

bool outbox_put_in(struct db *db, const char *project_id, const char *event_id, const char *type,
                   const char *body, int64_t now, struct arena *a, struct error *err)
{
    const struct db_value project[] = {db_text(project_id)};
    struct rows rows;

    if (!rows_all(db,
                  "SELECT id, body FROM documents WHERE kind = 'webhook_endpoint' "
                  "AND project_id = ?1 ORDER BY seq",
                  project, COUNT_OF(project),
                  (struct row_kind){endpoint_fill, sizeof(struct endpoint)}, SIZE_MAX, a, &rows,
                  err))
        return false;
    for (size_t i = 0; i < rows.n; i++) {
        const struct endpoint *e = (struct endpoint *)rows.items + i;
        const struct db_value params[] = {db_text(event_id), db_text(e->id), db_text(project_id),
                                          db_text(type),     db_text(body),  db_int(now)};

        if (wants(e, type) &&
            !db_run(db,
                    "INSERT INTO outbox (id, endpoint_id, project_id, type, body, state, "
                    "created_at, next_at, tries) VALUES (?1, ?2, ?3, ?4, ?5, 'due', ?6, ?6, 0) "
                    "ON CONFLICT (id, endpoint_id) DO NOTHING",
                    params, COUNT_OF(params), NULL, NULL, NULL, err))
            return false;
    }
    return true;
}

struct putting {
    const char *project_id, *event_id, *type, *body;
    int64_t now;
};

static bool put(struct db *db, void *ctx, struct error *err)
{
    const struct putting *p = ctx;
    struct arena a = {0};
    int64_t now = p->now;
    const bool ok = (now != 0 || rows_now(db, &now, err)) &&
                    outbox_put_in(db, p->project_id, p->event_id, p->type, p->body, now, &a, err);

    arena_release(&a);
    return ok;
}

bool outbox_put(struct store *s, const char *project_id, const char *event_id, const char *type,
                const char *body, int64_t now, struct error *err)
{
    struct putting p = {
        .project_id = project_id, .event_id = event_id, .type = type, .body = body, .now = now};

    return db_write(store_db(s), put, &p, err);
}

/* ---- taken, done ---- */

static void delivery_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct delivery *)item = (struct delivery){
        .seq = db_row_int(row, 0),
        .id = db_row_text(row, 1, a),
        .endpoint_id = db_row_text(row, 2, a),
        .project_id = db_row_text(row, 3, a),
        .body = db_row_text(row, 4, a),
        .created_at = db_row_int(row, 5),
        .next_at = db_row_int(row, 6),
        .tries = db_row_int(row, 7),
    };
}

struct taking {
    int64_t now, seconds;
    size_t limit;
    struct arena *a;
    struct rows rows;
};

/* Projects by turns: the many of one, whose receivers may not even answer, do not hold up the few of another. */
#define DUE                                                                                        \
    "SELECT seq, id, endpoint_id, project_id, body, created_at, next_at, tries FROM outbox "       \
    "WHERE seq IN (SELECT seq FROM (SELECT seq, next_at, ROW_NUMBER() OVER (PARTITION BY "         \
    "project_id ORDER BY next_at, seq) AS turn FROM outbox WHERE state = 'due' AND "               \
    "next_at <= ?1) AS waiting ORDER BY turn, next_at, seq LIMIT ?2) ORDER BY next_at, seq"

static bool take(struct db *db, void *ctx, struct error *err)
{
    struct taking *t = ctx;
    int64_t now = t->now;

    if (now == 0 && !rows_now(db, &now, err))
        return false;

    const struct db_value due[] = {db_int(now), db_int((int64_t)t->limit)};

    if (!rows_all(db, SKIP_LOCKED(db, DUE), due, COUNT_OF(due),
                  (struct row_kind){delivery_fill, sizeof(struct delivery)}, t->limit, t->a,
                  &t->rows, err))
        return false;
    for (size_t i = 0; i < t->rows.n; i++) {
        struct delivery *d = (struct delivery *)t->rows.items + i;

        d->next_at = now + t->seconds;
        d->tries++;

        const struct db_value params[] = {db_int(d->seq), db_int(d->next_at), db_int(d->tries)};

        if (!db_run(db, "UPDATE outbox SET next_at = ?2, tries = ?3 WHERE seq = ?1", params,
                    COUNT_OF(params), NULL, NULL, NULL, err))
            return false;
    }
    return true;
}

bool outbox_take(struct store *s, int64_t now, int64_t lease_seconds, size_t limit, struct arena *a,
                 struct delivery **out, size_t *n, struct error *err)
{
    struct taking t = {.now = now, .seconds = lease_seconds, .limit = limit, .a = a};

    if (!db_write(store_db(s), take, &t, err))
        return false;
    *out = t.rows.items;
    *n = t.rows.n;
    return true;
}

struct settling {
    int64_t seq, next_at;
    const char *state, *why;
};

/* Only what is still due: a second deliverer's late answer undoes nothing. */
static bool settle(struct db *db, void *ctx, struct error *err)
{
    const struct settling *to = ctx;
    const struct db_value params[] = {db_int(to->seq), db_text(to->state), db_text(to->why),
                                      db_int(to->next_at)};

    return db_run(db,
                  "UPDATE outbox SET state = ?2, why = ?3, next_at = ?4 "
                  "WHERE seq = ?1 AND state = 'due'",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

bool outbox_done(struct store *s, int64_t seq, struct error *err)
{
    struct settling to = {.seq = seq, .state = "done"};

    return db_write(store_db(s), settle, &to, err);
}

bool outbox_later(struct store *s, int64_t seq, int64_t next_at, const char *why, struct error *err)
{
    struct settling to = {
        .seq = seq, .state = next_at == 0 ? "given up" : "due", .next_at = next_at, .why = why};

    if (why != NULL && !text_is_sane(str_of(why), 4096))
        to.why = "the endpoint's answer is no text";
    return db_write(store_db(s), settle, &to, err);
}

#define KEEP_SECONDS                                                                               \
    (30 * 86400) /* what was told is known for so long, so that it is not told again */

static bool sweep(struct db *db, void *ctx, struct error *err)
{
    const struct db_value params[] = {db_int(*(const int64_t *)ctx - KEEP_SECONDS)};

    return db_run(db, "DELETE FROM outbox WHERE state <> 'due' AND created_at < ?1", params,
                  COUNT_OF(params), NULL, NULL, NULL, err);
}

bool outbox_sweep(struct store *s, int64_t now, struct error *err)
{
    return db_write(store_db(s), sweep, &now, err);
}
