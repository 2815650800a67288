/*
 * models.c - what jobs made, by name, and which other projects may use it.
 *
 * A name stands for a checkpoint whose files are there, or for the end of a job that succeeded or was paused. Rows of
 * jobs and checkpoints are all there is; a list of models that could disagree with them is not kept.
 */
#include "base/size.h"
#include "store/jobs_internal.h"

/*
 * The names that project ?1 may use. One that a checkpoint carries is that checkpoint's; else a job's end is the trainer's
 * last state (no checkpoint_dir), and a pause is the newest checkpoint.
 */
#define MODEL_COLUMNS                                                                              \
    "m.name, m.job_id, m.project_id, m.base, m.run_dir, m.dir, m.created_at, m.step, m.is_final"
#define MAY_USE(names)                                                                             \
    "(j.project_id = ?1 OR EXISTS (SELECT 1 FROM permissions p "                                   \
    "WHERE p.checkpoint IN (" names ") AND p.owner_id = j.project_id AND p.project_id = ?1))"
/* What a checkpoint is called while its job runs; a permission that was given by that name stays one for the last of them. */
#define RUN_NAME "j.fine_tuned_model || ':ckpt-step-' || c.step"
#define MAY_USE_CHECKPOINT MAY_USE("c.name, " RUN_NAME)
/* Only by a permission: found by the few names that there are permissions for, not by a look at everyone's models. */
#define SHARED_NAMES "(SELECT s.checkpoint FROM permissions s WHERE s.project_id = ?1)"
#define SHARED(name) name " IN " SHARED_NAMES " AND j.project_id <> ?1 AND " MAY_USE(name)
#define SHARED_AS_IT_RAN                                                                           \
    "j.project_id IN (SELECT s.owner_id FROM permissions s WHERE s.project_id = ?1) "              \
    "AND j.project_id <> ?1 AND c.name = j.fine_tuned_model AND c.name NOT IN " SHARED_NAMES       \
    " AND " MAY_USE(RUN_NAME)
/* Of project ?2's model ?1, given by that name or, where it is a job's last checkpoint, by the one that it had before. */
#define PERMITTED                                                                                  \
    "t.owner_id = ?2 AND (t.checkpoint = ?1 OR t.checkpoint IN (SELECT " RUN_NAME " FROM "         \
    "checkpoints c JOIN jobs j ON j.id = c.job_id WHERE c.name = ?1 "                              \
    "AND j.fine_tuned_model = ?1 AND j.project_id = ?2))"
#define OF_CHECKPOINTS                                                                             \
    "SELECT c.name AS name, j.id AS job_id, j.project_id AS project_id, j.model AS base, "         \
    "j.run_dir AS run_dir, c.dir AS dir, c.created_at AS created_at, c.step AS step, "             \
    "CASE WHEN c.name = j.fine_tuned_model THEN 1 ELSE 0 END AS is_final, j.seq AS seq "           \
    "FROM checkpoints c JOIN jobs j ON j.id = c.job_id WHERE c.kept = 1 AND c.deleted = 0"
#define NEWEST(what)                                                                               \
    "(SELECT n." what " FROM checkpoints n WHERE n.job_id = j.id AND n.kept = 1 "                  \
    "ORDER BY n.step DESC LIMIT 1)"
#define OF_JOBS                                                                                                        \
    "SELECT j.fine_tuned_model AS name, j.id AS job_id, j.project_id AS project_id, "                                  \
    "j.model AS base, j.run_dir AS run_dir, "                                                                          \
    "CASE WHEN j.status = 'paused' THEN " NEWEST(                                                                      \
        "dir") " END AS dir, "                                                                                         \
               "CASE WHEN j.finished_at > 0 THEN j.finished_at ELSE j.created_at END AS created_at, "                  \
               "CASE WHEN j.status = 'paused' THEN COALESCE(" NEWEST(                                                  \
                   "step") ", j.step) ELSE j.step END "                                                                \
                           "AS step, 1 AS is_final, j.seq AS seq FROM jobs j "                                         \
                           "WHERE j.fine_tuned_model IS NOT NULL AND j.model_deleted = 0 AND (j.status = 'succeeded' " \
                           "OR (j.status = 'paused' AND EXISTS (SELECT 1 FROM checkpoints x WHERE x.job_id = j.id "    \
                           "AND x.kept = 1))) AND NOT EXISTS (SELECT 1 FROM checkpoints c WHERE c.job_id = j.id "      \
                           "AND c.name = j.fine_tuned_model AND c.kept = 1)"

static void model_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct tuned_model *)item = (struct tuned_model){
        .name = db_row_text(row, 0, a),
        .job_id = db_row_text(row, 1, a),
        .project_id = db_row_text(row, 2, a),
        .base = db_row_text(row, 3, a),
        .run_dir = db_row_text(row, 4, a),
        .checkpoint_dir = db_row_text(row, 5, a),
        .created_at = db_row_int(row, 6),
        .step = db_row_int(row, 7),
        .is_final = db_row_int(row, 8) != 0,
    };
}

static bool name_is_sane(struct str name)
{
    return name.len > 0 && text_is_sane(name, 2048);
}

static bool fail_no_model(struct error *err, struct str name)
{
    return name.len <= 256 && name_is_sane(name)
               ? fail_param(err, ERR_NOT_FOUND, "model",
                            "there is no fine-tuned model " STR_FMT " in this project",
                            STR_ARG(name))
               : fail_param(err, ERR_NOT_FOUND, "model",
                            "there is no fine-tuned model of that name");
}

/*
 * The last checkpoint was listed as "MODEL:ckpt-step-N" while the job ran; since it carries the model's name it is found by both.
 * Splits such a name; MODEL is empty for another.
 */
static struct str split_checkpoint(struct str name, int64_t *step)
{
    static const struct str mark = {":ckpt-step-", 11};
    const size_t at = str_find(name, mark, 0);
    const size_t digits = at < name.len ? name.len - at - mark.len : 0;

    *step = 0;
    if (digits == 0 || digits > 15)
        return STR("");
    for (size_t i = name.len - digits; i < name.len; i++) {
        if (name.ptr[i] < '0' || name.ptr[i] > '9')
            return STR("");
        *step = *step * 10 + (name.ptr[i] - '0');
    }
    return (struct str){name.ptr, at};
}

static bool model_by_name(struct db *db, const char *project_id, struct str name, struct arena *a,
                          struct tuned_model *out, struct error *err)
{
    int64_t step;
    const struct str model = split_checkpoint(name, &step);
    const struct db_value params[] = {db_text(project_id), db_str(name), db_str(model),
                                      db_int(step)};
    bool found = false;

    if (!rows_one(
            db,
            "SELECT " MODEL_COLUMNS " FROM (" OF_CHECKPOINTS
            " AND c.name = ?2 AND " MAY_USE_CHECKPOINT " UNION ALL " OF_JOBS
            " AND j.fine_tuned_model = ?2 AND " MAY_USE(
                "j.fine_tuned_model") " UNION ALL " OF_CHECKPOINTS
                                      " AND j.fine_tuned_model = ?3 AND c.name = ?3 AND c.step = ?4 AND " MAY_USE_CHECKPOINT
                                      ") AS m ORDER BY m.seq DESC, m.step DESC LIMIT 1",
            params, COUNT_OF(params), model_fill, a, out, &found, err))
        return false;
    return found || fail_no_model(err, name);
}

struct getting {
    const char *project_id;
    struct str name;
    struct arena *a;
    struct tuned_model m;
};

static bool read_model(struct db *db, void *ctx, struct error *err)
{
    struct getting *get = ctx;

    return model_by_name(db, get->project_id, get->name, get->a, &get->m, err);
}

bool models_get(struct store *s, const char *project_id, struct str name, struct arena *a,
                struct tuned_model *out, struct error *err)
{
    struct getting get = {.project_id = project_id, .name = name, .a = a};

    if (!name_is_sane(name))
        return fail_no_model(err, name);
    if (!db_read(store_db(s), read_model, &get, err))
        return false;
    *out = get.m;
    return true;
}

bool models_list(struct store *s, const char *project_id, struct arena *a, struct tuned_model **out,
                 size_t *n, struct error *err)
{
    const struct db_value params[] = {db_text(project_id)};
    struct rows rows;

    if (!rows_read(s,
                   "SELECT " MODEL_COLUMNS " FROM (" OF_CHECKPOINTS
                   " AND j.project_id = ?1 UNION ALL " OF_JOBS
                   " AND j.project_id = ?1 UNION ALL " OF_CHECKPOINTS " AND " SHARED(
                       "c.name") " UNION ALL " OF_CHECKPOINTS " AND " SHARED_AS_IT_RAN
                                 " UNION ALL " OF_JOBS " AND " SHARED(
                                     "j.fine_tuned_model") ") AS m ORDER BY m.seq, m.step, m.name",
                   params, COUNT_OF(params), (struct row_kind){model_fill, sizeof **out}, SIZE_MAX,
                   a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    return true;
}

/* The model of this name, which belongs to the project and is not only shared with it. */
static bool own_model(struct db *db, const char *project_id, struct str name, struct arena *a,
                      struct tuned_model *out, struct error *err)
{
    return model_by_name(db, project_id, name, a, out, err) &&
           (strcmp(out->project_id, project_id) == 0 || fail_no_model(err, name));
}

static bool delete_model(struct db *db, void *ctx, struct error *err)
{
    struct getting *get = ctx;

    if (!own_model(db, get->project_id, get->name, get->a, &get->m, err))
        return false;
    /* its own name, whichever of its two it was found by */
    const struct db_value params[] = {db_text(get->m.name), db_text(get->project_id)};
    return db_run(db,
                  "DELETE FROM permissions WHERE id IN "
                  "(SELECT t.id FROM permissions t WHERE " PERMITTED ")",
                  params, 2, NULL, NULL, NULL, err) &&
           db_run(db,
                  "UPDATE checkpoints SET deleted = 1 WHERE name = ?1 AND job_id IN "
                  "(SELECT id FROM jobs WHERE project_id = ?2)",
                  params, 2, NULL, NULL, NULL, err) &&
           db_run(db,
                  "UPDATE jobs SET model_deleted = 1 WHERE fine_tuned_model = ?1 "
                  "AND project_id = ?2",
                  params, 2, NULL, NULL, NULL, err);
}

bool models_delete(struct store *s, const char *project_id, struct str name, struct error *err)
{
    struct arena a = {0};
    struct getting get = {.project_id = project_id, .name = name, .a = &a};
    const bool ok = name_is_sane(name) ? db_write(store_db(s), delete_model, &get, err)
                                       : fail_no_model(err, name);

    arena_release(&a);
    return ok;
}

/* ---- permissions ---- */

#define PERMISSION_COLUMNS "t.id, t.checkpoint, t.project_id, t.created_at, t.seq"

static void permission_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct permission *)item = (struct permission){
        .id = db_row_text(row, 0, a),
        .checkpoint = db_row_text(row, 1, a),
        .project_id = db_row_text(row, 2, a),
        .created_at = db_row_int(row, 3),
        .seq = db_row_int(row, 4),
    };
}

struct permitting {
    const char *owner;
    struct str checkpoint; /* by either name */
    const struct str *ids;
    size_t n;
    struct arena *a;
    struct permission *out; /* [n] */
};

static bool same_organisation(struct db *db, const char *owner, struct str id, struct error *err)
{
    const struct db_value params[] = {db_text(owner), db_str(id)};
    bool found = false;
    int64_t one;

    if (id_is_sane(id) &&
        !rows_int(db,
                  "SELECT 1 FROM projects a JOIN projects b ON b.org_id = a.org_id "
                  "WHERE a.id = ?1 AND b.id = ?2",
                  params, COUNT_OF(params), &one, &found, err))
        return false;
    if (!found) {
        struct error none;

        fail_no_such(&none, "project", id);
        return fail_param(err, ERR_INVALID, "project_ids", "%.300s in this organisation",
                          none.message);
    }
    return true;
}

static bool find_permission(struct db *db, const struct db_value *params, struct arena *a,
                            struct permission *out, bool *found, struct error *err)
{
    return rows_one(db,
                    "SELECT " PERMISSION_COLUMNS " FROM permissions t WHERE " PERMITTED
                    " AND t.project_id = ?3 ORDER BY t.seq LIMIT 1",
                    params, 3, permission_fill, a, out, found, err);
}

static bool permit_one(struct db *db, const struct permitting *p, const char *model, struct str id,
                       int64_t now, struct permission *out, struct error *err)
{
    const struct db_value params[] = {db_text(model), db_text(p->owner), db_str(id), db_int(now),
                                      db_text(store_new_id("cp_", p->a))};
    bool found = false;

    if (!same_organisation(db, p->owner, id, err) ||
        !find_permission(db, params, p->a, out, &found, err))
        return false;
    return found ||
           (db_run(db,
                   "INSERT INTO permissions (id, checkpoint, owner_id, project_id, created_at) "
                   "VALUES (?5, ?1, ?2, ?3, ?4) ON CONFLICT (checkpoint, project_id) DO NOTHING",
                   params, COUNT_OF(params), NULL, NULL, NULL, err) &&
            find_permission(db, params, p->a, out, &found, err) &&
            (found ||
             fail(err, ERR_INVALID,
                  "a model of the same name, %s, of another project is shared with " STR_FMT
                  " already",
                  model, STR_ARG(id))));
}

static bool permit(struct db *db, void *ctx, struct error *err)
{
    const struct permitting *p = ctx;
    struct tuned_model m;
    int64_t now;

    if (!own_model(db, p->owner, p->checkpoint, p->a, &m, err) || !rows_now(db, &now, err))
        return false;
    for (size_t i = 0; i < p->n; i++)
        if (!permit_one(db, p, m.name, p->ids[i], now, &p->out[i], err))
            return false;
    return true;
}

bool permissions_add(struct store *s, const char *owner_project, struct str checkpoint,
                     const struct str *project_ids, size_t n_ids, struct arena *a,
                     struct permission **out, size_t *n, struct error *err)
{
    struct permitting p = {.owner = owner_project,
                           .checkpoint = checkpoint,
                           .ids = project_ids,
                           .n = n_ids,
                           .a = a,
                           .out = ARENA_ARRAY(a, struct permission, n_ids > 0 ? n_ids : 1)};

    if (!name_is_sane(checkpoint))
        return fail_no_model(err, checkpoint);
    if (!db_write(store_db(s), permit, &p, err))
        return false;
    *out = p.out;
    *n = n_ids;
    return true;
}

#define LISTED PERMITTED " AND (CAST(?3 AS TEXT) IS NULL OR t.project_id = ?3)"
static const struct page_sql permissions_pages = {
    .find = "SELECT t.seq FROM permissions t WHERE " PERMITTED " AND t.id = ?3",
    .all = PAGE_SQL(PERMISSION_COLUMNS, "permissions t", LISTED, "t.seq", "?4", "?5"),
};

static bool look_for_own(struct db *db, void *ctx, struct error *err)
{
    struct getting *get = ctx;

    return own_model(db, get->project_id, get->name, get->a, &get->m, err);
}

bool permissions_list(struct store *s, const char *owner_project, struct str checkpoint,
                      const char *project_id, const struct store_page *page, struct arena *a,
                      struct permission **out, size_t *n, bool *has_more, struct error *err)
{
    struct getting get = {.project_id = owner_project, .name = checkpoint, .a = a};
    const struct store_page plain = {
        .limit = page->limit, .after = page->after, .ascending = page->ascending};
    struct rows rows;

    if (!name_is_sane(checkpoint))
        return fail_no_model(err, checkpoint);
    if (!db_read(store_db(s), look_for_own, &get, err))
        return false;
    if (project_id != NULL && !id_is_sane(str_of(project_id)))
        project_id = ""; /* nobody's */

    const struct page_query q = {
        .sql = &permissions_pages,
        .page = &plain,
        .params = {db_text(get.m.name), db_text(owner_project), db_text(project_id)},
        .n_params = 3,
        .n_scope = 2};

    if (!page_run(s, &q, (struct row_kind){permission_fill, sizeof **out}, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    *has_more = rows.more;
    return true;
}

struct forbidding {
    const char *owner;
    struct str checkpoint, id;
    struct arena *a;
    size_t n;
};

static bool forbid(struct db *db, void *ctx, struct error *err)
{
    struct forbidding *f = ctx;
    struct tuned_model m;

    /* one whose files are gone has no other name */
    if (!own_model(db, f->owner, f->checkpoint, f->a, &m, err)) {
        if (err->kind != ERR_NOT_FOUND)
            return false;
        m.name = arena_text(f->a, f->checkpoint);
    }
    const struct db_value params[] = {db_text(m.name), db_text(f->owner), db_str(f->id)};
    return db_run(db,
                  "DELETE FROM permissions WHERE id IN (SELECT t.id FROM permissions t "
                  "WHERE " PERMITTED " AND t.id = ?3)",
                  params, COUNT_OF(params), NULL, NULL, &f->n, err);
}

bool permissions_delete(struct store *s, const char *owner_project, struct str checkpoint,
                        struct str id, struct error *err)
{
    struct arena a = {0};
    struct forbidding f = {.owner = owner_project, .checkpoint = checkpoint, .id = id, .a = &a};
    const bool ok = !store_id_is(id, "cp_") || !name_is_sane(checkpoint) ||
                    db_write(store_db(s), forbid, &f, err);

    arena_release(&a);
    return ok && (f.n > 0 || fail_no_such(err, "permission", id));
}
