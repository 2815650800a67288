/*
 * events.c - what jobs told, in one order for everyone who listens.
 *
 * Live streams ask for what came after the last number they saw, so no event may become visible behind a larger number. In
 * PostgreSQL a number is drawn before its transaction commits, and transactions commit in any order; so whoever adds events
 * holds a lock (db_lock) from before that to the end of the transaction. It is the last thing that a transaction takes, so
 * it is held for a commit and no one waits in a circle.
 */
#include "base/size.h"
#include "store/jobs_internal.h"

static bool put_event(struct db *db, const char *job_id, const struct job_event *e, int64_t now,
                      struct arena *a, struct error *err)
{
    const char *id =
        e->id != NULL ? e->id
        : e->key != NULL
            ? store_id_of("ftevent-", str_of(arena_printf(a, "%s %s", job_id, e->key)), a)
            : store_new_id("ftevent-", a);
    const struct db_value params[] = {db_text(id),
                                      db_text(job_id),
                                      db_text(e->key),
                                      db_text(e->level != NULL ? e->level : "info"),
                                      db_text(e->type != NULL ? e->type : "message"),
                                      db_text(e->message),
                                      db_text(e->data),
                                      db_int(e->created_at != 0 ? e->created_at : now)};

    return db_run(db,
                  "INSERT INTO events (id, job_id, event_key, level, type, message, data, "
                  "created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

bool events_put(struct db *db, const char *job_id, const struct job_event *events, size_t n,
                int64_t now, struct arena *a, struct error *err)
{
    if (n > 0 && !db_lock(db, "events", err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!put_event(db, job_id, &events[i], now, a, err))
            return false;
    return true;
}

#define EVENT_COLUMNS                                                                              \
    "t.seq, t.id, t.event_key, t.level, t.type, t.message, t.data, t.created_at, t.job_id"

static void event_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct job_event *)item = (struct job_event){
        .seq = db_row_int(row, 0),
        .id = db_row_text(row, 1, a),
        .key = db_row_text(row, 2, a),
        .level = db_row_text(row, 3, a),
        .type = db_row_text(row, 4, a),
        .message = db_row_text(row, 5, a),
        .data = db_row_text(row, 6, a),
        .created_at = db_row_int(row, 7),
    };
}

static void feed_fill(const struct db_row *row, struct arena *a, void *item)
{
    struct feed_event *to = item;

    event_fill(row, a, &to->event);
    to->job_id = db_row_text(row, 8, a);
}

static const struct page_sql events_pages = {
    .find = "SELECT seq FROM events WHERE job_id = ?1 AND id = ?2",
    .all = PAGE_SQL(EVENT_COLUMNS, "events t", "t.job_id = ?1", "t.seq", "?2", "?3"),
    .large = true,
};

bool events_list(struct store *s, const char *job_id, const struct store_page *page,
                 struct arena *a, struct job_event **out, size_t *n, bool *has_more,
                 struct error *err)
{
    const struct store_page plain = {
        .limit = page->limit, .after = page->after, .ascending = page->ascending};
    const struct page_query q = {.sql = &events_pages,
                                 .page = &plain,
                                 .params = {db_text(job_id)},
                                 .n_params = 1,
                                 .n_scope = 1};
    struct rows rows;

    if (!page_run(s, &q, (struct row_kind){event_fill, sizeof **out}, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    *has_more = rows.more;
    return true;
}

bool events_after(struct store *s, int64_t seq, size_t limit, struct arena *a,
                  struct feed_event **out, size_t *n, struct error *err)
{
    const struct db_value params[] = {db_int(seq), db_int((int64_t)limit)};
    struct rows rows;

    if (!rows_read(
            s, "SELECT " EVENT_COLUMNS " FROM events t WHERE t.seq > ?1 ORDER BY t.seq LIMIT ?2",
            params, COUNT_OF(params), (struct row_kind){feed_fill, sizeof **out}, limit, a, &rows,
            err))
        return false;
    *out = rows.items;
    *n = rows.n;
    return true;
}

static bool read_newest(struct db *db, void *ctx, struct error *err)
{
    return rows_int(db, "SELECT COALESCE(MAX(seq), 0) FROM events", NULL, 0, ctx, NULL, err);
}

bool events_newest(struct store *s, int64_t *seq, struct error *err)
{
    int64_t newest = 0;

    if (!db_read(store_db(s), read_newest, &newest, err))
        return false;
    *seq = newest;
    return true;
}

struct telling {
    const char *job_id;
    const struct job_event *event;
};

static bool tell_event(struct db *db, void *ctx, struct error *err)
{
    const struct telling *t = ctx;
    struct arena a = {0};
    int64_t now;
    const bool ok = rows_now(db, &now, err) && events_put(db, t->job_id, t->event, 1, now, &a, err);

    arena_release(&a);
    return ok;
}

bool events_tell(struct store *s, const char *job_id, const struct job_event *e, struct error *err)
{
    struct arena a = {0};
    struct job_event keyed = *e; /* a transaction that is done twice tells it once */

    if (keyed.id == NULL && keyed.key == NULL)
        keyed.id = store_new_id("ftevent-", &a);

    struct telling t = {job_id, &keyed};
    const bool ok = db_write(store_db(s), tell_event, &t, err);

    arena_release(&a);
    return ok;
}
