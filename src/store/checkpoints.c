/*
 * checkpoints.c - what a job saved: told by the holder of its lease, listed while its files are there.
 */
#include "base/size.h"
#include "store/jobs_internal.h"

struct putting {
    const struct lease *l;
    const struct checkpoint_row *c;
};

static bool put_checkpoint(struct db *db, const struct putting *p, struct arena *a,
                           struct error *err)
{
    const struct checkpoint_row *c = p->c;
    struct job_state job;
    int64_t now;

    if (!job_of_lease(db, p->l, a, &job, err) || !rows_now(db, &now, err))
        return false;

    const char *id =
        c->id != NULL
            ? c->id
            : store_id_of("ftckpt_",
                          str_of(arena_printf(a, "%s %lld", job.row.id, (long long)c->step)), a);
    const struct db_value params[] = {db_text(id),
                                      db_text(job.row.id),
                                      db_int(c->step),
                                      db_text(c->name),
                                      db_text(c->metrics != NULL ? c->metrics : "{}"),
                                      db_text(c->dir),
                                      db_int(c->created_at != 0 ? c->created_at : now)};

    /* steps done again after a crash are saved again: the checkpoint keeps its id and its time */
    return db_run(db,
                  "INSERT INTO checkpoints (id, job_id, step, name, metrics, dir, kept, deleted, "
                  "created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 0, ?7) "
                  "ON CONFLICT (job_id, step) DO UPDATE SET name = excluded.name, "
                  "metrics = excluded.metrics, dir = excluded.dir, kept = 1",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

static bool put(struct db *db, void *ctx, struct error *err)
{
    struct arena a = {0};
    const bool ok = put_checkpoint(db, ctx, &a, err);

    arena_release(&a);
    return ok;
}

bool checkpoints_put(struct store *s, const struct lease *l, const struct checkpoint_row *c,
                     struct error *err)
{
    struct putting p = {.l = l, .c = c};

    if (c->name == NULL || !text_is_sane(str_of(c->name), 2048) || c->dir == NULL ||
        !id_is_sane(str_of(c->dir)))
        return fail(err, ERR_INVALID,
                    "a checkpoint needs a name in UTF-8 and a folder of letters, digits, - and _");
    return db_write(store_db(s), put, &p, err);
}

struct keeping {
    const struct lease *l;
    const int64_t *steps;
    size_t n;
};

static bool keep_steps(struct db *db, const struct keeping *k, struct arena *a, struct error *err)
{
    const struct db_value job[] = {db_text(k->l->job_id)};
    struct job_state state;

    if (!job_of_lease(db, k->l, a, &state, err) ||
        !db_run(db, "UPDATE checkpoints SET kept = 0 WHERE job_id = ?1", job, COUNT_OF(job), NULL,
                NULL, NULL, err))
        return false;
    for (size_t i = 0; i < k->n; i++) {
        const struct db_value params[] = {db_text(k->l->job_id), db_int(k->steps[i])};

        if (!db_run(db, "UPDATE checkpoints SET kept = 1 WHERE job_id = ?1 AND step = ?2", params,
                    COUNT_OF(params), NULL, NULL, NULL, err))
            return false;
    }
    return true;
}

static bool keep(struct db *db, void *ctx, struct error *err)
{
    struct arena a = {0};
    const bool ok = keep_steps(db, ctx, &a, err);

    arena_release(&a);
    return ok;
}

bool checkpoints_keep(struct store *s, const struct lease *l, const int64_t *steps, size_t n,
                      struct error *err)
{
    struct keeping k = {.l = l, .steps = steps, .n = n};

    return db_write(store_db(s), keep, &k, err);
}

#define CHECKPOINT_COLUMNS                                                                         \
    "t.seq, t.step, t.created_at, t.id, t.job_id, t.name, t.metrics, t.dir, t.kept"

static void checkpoint_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct checkpoint_row *)item = (struct checkpoint_row){
        .seq = db_row_int(row, 0),
        .step = db_row_int(row, 1),
        .created_at = db_row_int(row, 2),
        .id = db_row_text(row, 3, a),
        .job_id = db_row_text(row, 4, a),
        .name = db_row_text(row, 5, a),
        .metrics = db_row_text(row, 6, a),
        .dir = db_row_text(row, 7, a),
        .kept = db_row_int(row, 8) != 0,
    };
}

#define LISTED "t.job_id = ?1 AND t.kept = 1 AND t.deleted = 0"
static const struct page_sql checkpoints_pages = {
    .find = "SELECT seq FROM checkpoints WHERE job_id = ?1 AND id = ?2",
    .all = PAGE_SQL(CHECKPOINT_COLUMNS, "checkpoints t", LISTED, "t.seq", "?2", "?3"),
};

bool checkpoints_list(struct store *s, const char *job_id, const struct store_page *page,
                      struct arena *a, struct checkpoint_row **out, size_t *n, bool *has_more,
                      struct error *err)
{
    const struct store_page plain = {
        .limit = page->limit, .after = page->after, .ascending = page->ascending};
    const struct page_query q = {.sql = &checkpoints_pages,
                                 .page = &plain,
                                 .params = {db_text(job_id)},
                                 .n_params = 1,
                                 .n_scope = 1};
    struct rows rows;

    if (!page_run(s, &q, (struct row_kind){checkpoint_fill, sizeof **out}, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    *has_more = rows.more;
    return true;
}
