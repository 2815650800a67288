/*
 * figures.c - counted by the database.
 */
#include "store/figures.h"
#include "base/size.h"
#include "store/files_internal.h"
#include "store/rows_internal.h"

#include <inttypes.h>

const char *const figure_states[FIGURE_STATES] = {
    "validating_files", "queued",    "running", "pausing",
    "paused",           "succeeded", "failed",  "cancelled",
};

static bool count_state(void *ctx, const struct db_row *row, struct error *err)
{
    struct store_figures *f = ctx;

    (void)err;
    for (size_t i = 0; i < FIGURE_STATES; i++)
        if (str_is(db_row_str(row, 0), figure_states[i]))
            f->jobs[i] = db_row_int(row, 1);
    return true;
}

static bool count(struct db *db, void *ctx, struct error *err)
{
    struct store_figures *f = ctx;
    int64_t now;

    *f = (struct store_figures){0};
    if (!rows_now(db, &now, err))
        return false;
    const struct db_value since = db_int(now - WORKER_SILENT_SECONDS);
    return db_run(db, "SELECT status, COUNT(*) FROM jobs GROUP BY status", NULL, 0, count_state, f,
                  NULL, err) &&
           rows_int(db, "SELECT COUNT(*) FROM files", NULL, 0, &f->files, NULL, err) &&
           rows_int(db, "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM files", NULL, 0,
                    &f->file_bytes, NULL, err) &&
           rows_int(db, "SELECT COUNT(*) FROM outbox WHERE state = 'due'", NULL, 0,
                    &f->webhooks_due, NULL, err) &&
           rows_int(db, "SELECT COUNT(*) FROM workers WHERE ended_at = 0 AND seen_at >= ?1", &since,
                    1, &f->workers, NULL, err);
}

bool store_count(struct store *s, struct store_figures *out, struct error *err)
{
    struct store_figures f;

    if (!db_read(store_db(s), count, &f, err))
        return false;
    *out = f;
    return true;
}

struct asked {
    const char *project_id;
    struct store_room room;
};

static bool read_room(struct db *db, void *ctx, struct error *err)
{
    struct asked *r = ctx;

    return quota_read(db, r->project_id, false, NULL, &r->room, err);
}

bool store_room_of(struct store *s, const char *project_id, struct store_room *out,
                   struct error *err)
{
    struct asked r = {.project_id = project_id};

    if (!db_read(store_db(s), read_room, &r, err))
        return false;
    *out = r.room;
    return true;
}

bool store_room_fits(const struct store_room *r, int64_t bytes, struct error *err)
{
    if (r->quota <= 0 || (bytes <= r->quota && r->files <= r->quota - bytes &&
                          r->uploads <= r->quota - bytes - r->files))
        return true;
    return fail(err, ERR_LIMIT,
                "the project's files have %" PRId64 " bytes and its uploads in progress %" PRId64
                "; with %" PRId64 " more they would pass its quota of %" PRId64
                " bytes: delete files that are no longer needed",
                r->files, r->uploads, bytes, r->quota);
}
