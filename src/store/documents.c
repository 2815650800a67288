/*
 * documents.c - JSON texts by kind and id, with what of them can be asked for beside them in columns.
 */
#include "store/documents.h"
#include "base/size.h"
#include "store/rows_internal.h"

#define PAGE 100

#define DOCUMENT_COLUMNS                                                                           \
    "t.seq, t.kind, t.id, t.project_id, t.parent, t.state, t.model, t.body, t.created_at, "        \
    "t.updated_at, t.expires_at"

static void document_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct document *)item = (struct document){
        .seq = db_row_int(row, 0),
        .kind = db_row_text(row, 1, a),
        .id = db_row_text(row, 2, a),
        .project_id = db_row_text(row, 3, a),
        .parent = db_row_text(row, 4, a),
        .state = db_row_text(row, 5, a),
        .model = db_row_text(row, 6, a),
        .body = db_row_text(row, 7, a),
        .created_at = db_row_int(row, 8),
        .updated_at = db_row_int(row, 9),
        .expires_at = db_row_int(row, 10),
    };
}

static bool document_read(struct db *db, bool lock, const char *kind, const char *project_id,
                          struct str id, struct arena *a, struct document *out, bool *found,
                          struct error *err)
{
    const struct db_value params[] = {db_text(kind), db_str(id), db_text(project_id)};
#define BY_ID                                                                                      \
    "SELECT " DOCUMENT_COLUMNS " FROM documents t WHERE t.kind = ?1 AND t.id = ?2 AND "            \
    "(CAST(?3 AS TEXT) IS NULL OR t.project_id = ?3)"

    *found = false;
    return !id_is_sane(id) || rows_one(db, lock ? FOR_UPDATE(db, BY_ID) : BY_ID, params,
                                       COUNT_OF(params), document_fill, a, out, found, err);
}

/* ---- added ---- */

struct adding {
    const struct document *d;
    const struct label *labels;
    size_t n;
};

static bool insert_document(struct db *db, const struct adding *add, struct arena *a,
                            struct error *err)
{
    const struct document *d = add->d;
    struct document was;
    bool found;
    int64_t now, seq = 0;

    if (!document_read(db, false, d->kind, NULL, str_of(d->id), a, &was, &found, err) ||
        !rows_now(db, &now, err))
        return false;
    if (found && strcmp(was.body, d->body) == 0 && strcmp(was.project_id, d->project_id) == 0)
        return true; /* told again */
    if (found)
        return fail(err, ERR_INVALID, "there is a %s %s already, and it says something else",
                    d->kind, d->id);

    const int64_t created_at = d->created_at != 0 ? d->created_at : now;
    const struct db_value params[] = {
        db_text(d->kind),
        db_text(d->id),
        db_text(d->project_id),
        db_text(d->parent),
        db_text(d->state),
        db_text(d->model),
        db_text(d->body),
        db_int(created_at),
        db_int(d->updated_at != 0 ? d->updated_at : created_at),
        db_int(d->expires_at),
    };

    if (!rows_int(db,
                  "INSERT INTO documents (kind, id, project_id, parent, state, model, body, "
                  "created_at, updated_at, expires_at, lease_until) "
                  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0) RETURNING seq",
                  params, COUNT_OF(params), &seq, NULL, err))
        return false;

    const struct labelled of = {d->kind, d->id, d->project_id, seq};

    return labels_put(db, &of, add->labels, add->n, err);
}

static bool add_document(struct db *db, void *ctx, struct error *err)
{
    struct arena a = {0};
    const bool ok = insert_document(db, ctx, &a, err);

    arena_release(&a);
    return ok;
}

bool documents_add(struct store *s, const struct document *d, const struct label *labels,
                   size_t n_labels, struct error *err)
{
    struct adding add = {.d = d, .labels = labels, .n = n_labels};

    if (!id_is_sane(str_of(d->id)))
        return fail(err, ERR_INVALID,
                    "an id of a %s is of 1 to 128 letters, digits, - and _, which this is not",
                    d->kind);
    if (d->model != NULL && !text_is_sane(str_of(d->model), 2048))
        return fail_param(err, ERR_INVALID, "model",
                          "the name of the model is longer than 2048 bytes or not UTF-8");
    return db_write(store_db(s), add_document, &add, err);
}

/* ---- found ---- */

struct getting {
    const char *kind, *project_id;
    struct str id;
    struct arena *a;
    struct document d;
    bool found;
};

static bool get_document(struct db *db, void *ctx, struct error *err)
{
    struct getting *g = ctx;

    return document_read(db, false, g->kind, g->project_id, g->id, g->a, &g->d, &g->found, err);
}

bool documents_get(struct store *s, const char *kind, const char *project_id, struct str id,
                   struct arena *a, struct document *out, struct error *err)
{
    struct getting g = {.kind = kind, .project_id = project_id, .id = id, .a = a};

    if (id_is_sane(id) && !db_read(store_db(s), get_document, &g, err))
        return false;
    if (!g.found)
        return fail_no_such(err, kind, id);
    *out = g.d;
    return true;
}

static void state_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(const char **)item = db_row_text(row, 0, a);
}

struct asking {
    const char *kind, *project_id, *state;
    struct str id;
    struct arena *a;
    bool found;
};

static bool get_state(struct db *db, void *ctx, struct error *err)
{
    struct asking *g = ctx;
    const struct db_value params[] = {db_text(g->kind), db_str(g->id), db_text(g->project_id)};

    g->found = false;
    return rows_one(db,
                    "SELECT state FROM documents WHERE kind = ?1 AND id = ?2 AND "
                    "(CAST(?3 AS TEXT) IS NULL OR project_id = ?3)",
                    params, COUNT_OF(params), state_fill, g->a, &g->state, &g->found, err);
}

bool documents_state(struct store *s, const char *kind, const char *project_id, struct str id,
                     struct arena *a, const char **out, struct error *err)
{
    struct asking g = {.kind = kind, .project_id = project_id, .id = id, .a = a};

    if (id_is_sane(id) && !db_read(store_db(s), get_state, &g, err))
        return false;
    if (!g.found)
        return fail_no_such(err, kind, id);
    *out = g.state;
    return true;
}

bool documents_labels(struct store *s, const char *kind, const char *id, struct arena *a,
                      struct label **out, size_t *n, struct error *err)
{
    return labels_of(s, kind, id, a, out, n, err);
}

/*
 * Three ways to a list, each along its own index: below a parent, of a project, of all. ?2 and ?3 are the parent and the
 * project; ?4 to ?7 the filters; ?8 to ?11 cursor, limit and label.
 */
#define FILTERS                                                                                    \
    "(CAST(?4 AS TEXT) IS NULL OR t.state = ?4) AND (CAST(?5 AS TEXT) IS NULL OR t.model = ?5) "   \
    "AND (CAST(?6 AS BIGINT) = 0 OR t.created_at > ?6) "                                           \
    "AND (CAST(?7 AS BIGINT) = 0 OR t.created_at < ?7)"
#define OF_PARENT                                                                                  \
    "t.kind = ?1 AND t.parent = ?2 AND (CAST(?3 AS TEXT) IS NULL OR t.project_id = ?3) "           \
    "AND " FILTERS
#define OF_PROJECT "t.kind = ?1 AND CAST(?2 AS TEXT) IS NULL AND t.project_id = ?3 AND " FILTERS
#define OF_ALL "t.kind = ?1 AND CAST(?2 AS TEXT) IS NULL AND CAST(?3 AS TEXT) IS NULL AND " FILTERS
#define HAS_LABEL                                                                                  \
    " AND EXISTS (SELECT 1 FROM labels l WHERE l.kind = t.kind AND l.id = t.id "                   \
    "AND l.label_key = ?10 AND l.value = ?11)"
#define HAS_NONE " AND NOT EXISTS (SELECT 1 FROM labels l WHERE l.kind = t.kind AND l.id = t.id)"
#define LABELLED_OF_PROJECT                                                                        \
    "l.kind = ?1 AND l.project_id = ?3 AND l.label_key = ?10 AND l.value = ?11 AND " OF_PROJECT
#define PAGES(where) PAGE_SQL(DOCUMENT_COLUMNS, "documents t", where, "t.seq", "?8", "?9")
static const char find_document[] =
    "SELECT seq FROM documents WHERE kind = ?1 AND (CAST(?2 AS TEXT) IS NULL OR parent = ?2) AND "
    "(CAST(?3 AS TEXT) IS NULL OR project_id = ?3) AND id = ?4";
static const struct page_sql of_parent = {.find = find_document,
                                          .all = PAGES(OF_PARENT),
                                          .labelled = PAGES(OF_PARENT HAS_LABEL),
                                          .bare = PAGES(OF_PARENT HAS_NONE),
                                          .large = true};
static const struct page_sql of_project = {
    .find = find_document,
    .all = PAGES(OF_PROJECT),
    .labelled = PAGE_SQL(DOCUMENT_COLUMNS, "labels l JOIN documents t ON t.seq = l.seq",
                         LABELLED_OF_PROJECT, "l.seq", "?8", "?9"),
    .bare = PAGES(OF_PROJECT HAS_NONE),
    .large = true};
static const struct page_sql of_all = {.find = find_document,
                                       .all = PAGES(OF_ALL),
                                       .labelled = PAGES(OF_ALL HAS_LABEL),
                                       .bare = PAGES(OF_ALL HAS_NONE),
                                       .large = true};

bool documents_list(struct store *s, const struct document_filter *f, const struct store_page *page,
                    struct arena *a, struct document **out, size_t *n, bool *has_more,
                    struct error *err)
{
    const bool sane = (f->parent == NULL || id_is_sane(str_of(f->parent))) &&
                      (f->state == NULL || text_is_sane(str_of(f->state), 256)) &&
                      (f->model == NULL || text_is_sane(str_of(f->model), 2048));
    const struct page_query q = {
        .sql = f->parent != NULL       ? &of_parent
               : f->project_id != NULL ? &of_project
                                       : &of_all,
        .page = page,
        .params = {db_text(f->kind), db_text(f->parent), db_text(f->project_id), db_text(f->state),
                   db_text(f->model), db_int(f->created_after), db_int(f->created_before)},
        .n_params = 7,
        .n_scope = 3};
    struct rows rows = {0};

    if (sane && !page_run(s, &q, (struct row_kind){document_fill, sizeof **out}, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    *has_more = rows.more;
    return true;
}

bool documents_each(struct store *s, const struct document_filter *f, document_each_fn *fn,
                    void *ctx, struct error *err)
{
    struct store_page page = {.limit = PAGE, .ascending = true};
    bool more = true, enough = false, ok = true;

    while (ok && more && !enough) {
        struct arena a = {0};
        struct document *all;
        size_t n = 0;

        ok = documents_list(s, f, &page, &a, &all, &n, &more, err);
        for (size_t i = 0; ok && !enough && i < n; i++)
            ok = fn(ctx, &all[i], &a, &enough, err);
        more = more && n > 0;
        if (ok && more) /* not by its id: it may expire before the next page is asked for */
            page.after_seq = all[n - 1].seq;
        arena_release(&a);
    }
    return ok;
}

/* ---- changed ---- */

struct changing {
    const char *kind, *project_id;
    struct str id;
    document_fn *fn;
    void *ctx;
};

static bool write_change(struct db *db, const struct document *was,
                         const struct document_change *to, struct error *err)
{
    int64_t now;

    if (!rows_now(db, &now, err))
        return false;

    const struct db_value params[] = {db_text(was->kind), db_text(was->id), db_text(to->body),
                                      db_text(to->state), db_int(now),      db_int(to->stays)};
    const struct labelled of = {was->kind, was->id, was->project_id, was->seq};

    return db_run(db,
                  "UPDATE documents SET body = COALESCE(?3, body), state = COALESCE(?4, state), "
                  "updated_at = ?5, expires_at = CASE WHEN ?6 = 1 THEN 0 ELSE expires_at END "
                  "WHERE kind = ?1 AND id = ?2",
                  params, COUNT_OF(params), NULL, NULL, NULL, err) &&
           (!to->set_labels || (labels_remove(db, was->kind, was->id, err) &&
                                labels_put(db, &of, to->labels, to->n_labels, err)));
}

static bool change(struct db *db, const struct changing *c, struct arena *a, struct error *err)
{
    struct document_change to = {0};
    struct document was;
    bool found;

    if (!document_read(db, true, c->kind, c->project_id, c->id, a, &was, &found, err))
        return false;
    if (!found)
        return fail_no_such(err, c->kind, c->id);
    return c->fn(c->ctx, &was, a, &to, err) && write_change(db, &was, &to, err);
}

static bool change_document(struct db *db, void *ctx, struct error *err)
{
    struct arena a = {0};
    const bool ok = change(db, ctx, &a, err);

    arena_release(&a);
    return ok;
}

bool documents_change(struct store *s, const char *kind, const char *project_id, struct str id,
                      document_fn *fn, void *ctx, struct error *err)
{
    struct changing c = {.kind = kind, .project_id = project_id, .id = id, .fn = fn, .ctx = ctx};

    if (!id_is_sane(id))
        return fail_no_such(err, kind, id);
    return db_write(store_db(s), change_document, &c, err);
}

struct keeping {
    const char *kind, *project_id;
    const char *const *ids;
    size_t n;
    int64_t expires_at;
};

static bool keep_until(struct db *db, void *ctx, struct error *err)
{
    const struct keeping *r = ctx;

    for (size_t i = 0; i < r->n; i++) {
        const struct db_value params[] = {db_text(r->kind), db_text(r->project_id),
                                          db_text(r->ids[i]), db_int(r->expires_at)};

        if (!db_run(db,
                    "UPDATE documents SET expires_at = ?4 WHERE kind = ?1 AND project_id = ?2 "
                    "AND id = ?3 AND expires_at > 0 AND (?4 = 0 OR expires_at < ?4)",
                    params, COUNT_OF(params), NULL, NULL, NULL, err))
            return false;
    }
    return true;
}

bool documents_keep_until(struct store *s, const char *kind, const char *project_id,
                          const char *const *ids, size_t n, int64_t expires_at, struct error *err)
{
    struct keeping r = {kind, project_id, ids, n, expires_at};

    return n == 0 || db_write(store_db(s), keep_until, &r, err);
}

/* ---- deleted ---- */

/* The ids of a document and of all below it; an id is of one kind, by its prefix, and below is of the same project. */
#define BELOW                                                                                      \
    "WITH RECURSIVE below (kind, id) AS (SELECT kind, id FROM documents WHERE kind = ?1 AND "      \
    "id = ?2 UNION SELECT d.kind, d.id FROM documents d JOIN below b ON d.parent = b.id) "

static bool delete_below(struct db *db, const char *kind, struct str id, struct error *err)
{
    const struct db_value params[] = {db_text(kind), db_str(id)};

    return db_run(db, BELOW "DELETE FROM labels WHERE (kind, id) IN (SELECT kind, id FROM below)",
                  params, COUNT_OF(params), NULL, NULL, NULL, err) &&
           db_run(db,
                  BELOW "DELETE FROM documents WHERE (kind, id) IN (SELECT kind, id FROM below)",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

static bool delete_document(struct db *db, void *ctx, struct error *err)
{
    const struct getting *g = ctx;
    const struct db_value params[] = {db_text(g->kind), db_str(g->id), db_text(g->project_id)};
    bool found = false;
    int64_t seq;

    if (!rows_int(db,
                  FOR_UPDATE(db, "SELECT seq FROM documents WHERE kind = ?1 AND id = ?2 AND "
                                 "(CAST(?3 AS TEXT) IS NULL OR project_id = ?3)"),
                  params, COUNT_OF(params), &seq, &found, err))
        return false;
    return found ? delete_below(db, g->kind, g->id, err) : fail_no_such(err, g->kind, g->id);
}

bool documents_delete(struct store *s, const char *kind, const char *project_id, struct str id,
                      struct error *err)
{
    struct getting g = {.kind = kind, .project_id = project_id, .id = id};

    if (!id_is_sane(id))
        return fail_no_such(err, kind, id);
    return db_write(store_db(s), delete_document, &g, err);
}

#define SWEEP_AT_ONCE 500 /* documents of one transaction: nobody waits long behind it */

struct sweeping {
    int64_t now;
    size_t n;
};

static void name_fill(const struct db_row *row, struct arena *a,
                      void *item) /* no body: it may be large */
{
    *(struct document *)item =
        (struct document){.kind = db_row_text(row, 0, a), .id = db_row_text(row, 1, a)};
}

static bool sweep_some(struct db *db, struct sweeping *sweep, struct arena *a, struct error *err)
{
    const struct db_value params[] = {db_int(sweep->now), db_int(SWEEP_AT_ONCE)};
    struct rows rows;

    if (!rows_all(db,
                  "SELECT t.kind, t.id FROM documents t WHERE t.expires_at > 0 "
                  "AND t.expires_at <= ?1 ORDER BY t.expires_at LIMIT ?2",
                  params, COUNT_OF(params), (struct row_kind){name_fill, sizeof(struct document)},
                  SWEEP_AT_ONCE, a, &rows, err))
        return false;
    for (size_t i = 0; i < rows.n; i++) {
        const struct document *d = (struct document *)rows.items + i;

        if (!delete_below(db, d->kind, str_of(d->id), err))
            return false;
    }
    sweep->n = rows.n;
    return true;
}

static bool sweep_documents(struct db *db, void *ctx, struct error *err)
{
    struct arena a = {0};
    const bool ok = sweep_some(db, ctx, &a, err);

    arena_release(&a);
    return ok;
}

bool documents_sweep(struct store *s, int64_t now, size_t *n_removed, struct error *err)
{
    struct sweeping sweep = {.now = now};
    size_t n = 0;

    do {
        if (!db_write(store_db(s), sweep_documents, &sweep, err))
            return false;
        n += sweep.n;
    } while (sweep.n == SWEEP_AT_ONCE);
    if (!outbox_sweep(s, now, err))
        return false;
    if (n_removed != NULL)
        *n_removed = n;
    return true;
}

/* ---- leased ---- */

struct taking {
    const char *kind, *states, *worker;
    int64_t seconds;
    struct arena *a;
    struct document d;
    bool found;
};

/* Whose turn it is: of a state, the project that has least being worked on, and among those the one that waits longest. */
struct turn {
    struct str state;
    char *project_id;
    int64_t working, seq;
};

static void turn_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct turn *)item = (struct turn){.project_id = db_row_text(row, 0, a),
                                         .working = db_row_int(row, 1),
                                         .seq = db_row_int(row, 2)};
}

/* One step along the index from project to project, however many documents of one wait; ?4: the states, with commas around. */
#define OF_STATE "d.kind = ?1 AND d.state = ?2"
#define TURN                                                                                            \
    "WITH RECURSIVE waiting (project_id) AS (SELECT MIN(d.project_id) FROM documents d WHERE " OF_STATE \
    " UNION ALL SELECT (SELECT MIN(d.project_id) FROM documents d WHERE " OF_STATE                      \
    " AND d.project_id > w.project_id) FROM waiting w WHERE w.project_id IS NOT NULL) "                 \
    "SELECT project_id, working, seq FROM (SELECT w.project_id, "                                       \
    "(SELECT COUNT(*) FROM documents d WHERE d.kind = ?1 AND d.lease_until > 0 AND "                    \
    "d.lease_until > ?3 AND d.project_id = w.project_id AND "                                           \
    "replace(CAST(?4 AS TEXT), ',' || d.state || ',', '') <> CAST(?4 AS TEXT)) AS working, "            \
    "(SELECT d.seq FROM documents d WHERE " OF_STATE " AND d.project_id = w.project_id AND "            \
    "d.lease_until <= ?3 ORDER BY d.seq LIMIT 1) AS seq FROM waiting w "                                \
    "WHERE w.project_id IS NOT NULL) AS turns WHERE seq IS NOT NULL ORDER BY working, seq LIMIT 1"
#define TAKEABLE                                                                                   \
    "SELECT " DOCUMENT_COLUMNS " FROM documents t WHERE t.kind = ?1 AND t.state = ?2 "             \
    "AND t.project_id = ?4 AND t.lease_until <= ?3 ORDER BY t.seq LIMIT 1"

static bool find_turn(struct db *db, const struct taking *take, int64_t now, struct turn *out,
                      bool *found, struct error *err)
{
    const char *states = arena_printf(take->a, ",%s,", take->states);
    struct str left = str_of(take->states);

    *found = false;
    while (left.len > 0) {
        const size_t comma = str_find(left, STR(","), 0);
        const struct str state = {left.ptr, comma};
        const struct db_value params[] = {db_text(take->kind), db_str(state), db_int(now),
                                          db_text(states)};
        struct turn turn;
        bool is_any = false;

        if (!rows_one(db, TURN, params, COUNT_OF(params), turn_fill, take->a, &turn, &is_any, err))
            return false;
        turn.state = state;
        if (is_any && (!*found || turn.working < out->working ||
                       (turn.working == out->working && turn.seq < out->seq)))
            *out = turn;
        *found = *found || is_any;
        left = str_from(left, size_min(left.len, comma + 1));
    }
    return true;
}

static bool take_document(struct db *db, void *ctx, struct error *err)
{
    struct taking *take = ctx;
    struct turn turn = {0};
    int64_t now;
    bool found;

    take->found = false;
    if (!rows_now(db, &now, err) || !find_turn(db, take, now, &turn, &found, err))
        return false;
    if (!found)
        return true;

    const struct db_value find[] = {db_text(take->kind), db_str(turn.state), db_int(now),
                                    db_text(turn.project_id)};

    if (!rows_one(db, SKIP_LOCKED(db, TAKEABLE), find, COUNT_OF(find), document_fill, take->a,
                  &take->d, &take->found, err))
        return false;
    if (!take->found)
        return true;

    const struct db_value params[] = {db_int(take->d.seq), db_text(take->worker),
                                      db_int(now + take->seconds)};

    return db_run(db, "UPDATE documents SET worker = ?2, lease_until = ?3 WHERE seq = ?1", params,
                  COUNT_OF(params), NULL, NULL, NULL, err);
}

bool documents_take(struct store *s, const char *kind, const char *states, const char *worker,
                    int64_t lease_seconds, struct arena *a, bool *found, struct document *out,
                    struct error *err)
{
    struct taking take = {
        .kind = kind, .states = states, .worker = worker, .seconds = lease_seconds, .a = a};

    if (!db_write(store_db(s), take_document, &take, err))
        return false;
    *found = take.found;
    if (take.found)
        *out = take.d;
    return true;
}

struct renewing {
    const char *kind, *id, *worker;
    int64_t seconds;
    size_t n;
};

static bool renew_document(struct db *db, void *ctx, struct error *err)
{
    struct renewing *r = ctx;
    int64_t now;

    if (!rows_now(db, &now, err))
        return false;

    const struct db_value params[] = {db_text(r->kind), db_text(r->id), db_text(r->worker),
                                      db_int(now + r->seconds)};

    return db_run(db,
                  "UPDATE documents SET lease_until = ?4 WHERE kind = ?1 AND id = ?2 "
                  "AND worker = ?3",
                  params, COUNT_OF(params), NULL, NULL, &r->n, err);
}

bool documents_renew(struct store *s, const char *kind, const char *id, const char *worker,
                     int64_t lease_seconds, struct error *err)
{
    struct renewing r = {.kind = kind, .id = id, .worker = worker, .seconds = lease_seconds};

    if (!db_write(store_db(s), renew_document, &r, err))
        return false;
    return r.n > 0 || fail(err, ERR_CANCELLED,
                           "the %s %s is another worker's by now, or was deleted", kind, id);
}
