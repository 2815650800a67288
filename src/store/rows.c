/*
 * rows.c - rows into structs, pages by seq, labels.
 */
#include "base/clock.h"
#include "base/size.h"
#include "store/rows_internal.h"

/* ---- what comes from outside ---- */

bool id_is_sane(struct str id)
{
    if (id.len < 1 || id.len > 128)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        const char c = id.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

bool text_is_sane(struct str s, size_t max_bytes)
{
    return s.len <= max_bytes && db_text_until(s) == s.len;
}

bool fail_no_such(struct error *err, const char *what, struct str id)
{
    if (id.len == 0 || !text_is_sane(id, 256))
        return fail(err, ERR_NOT_FOUND, "there is no %s with that id", what);
    return fail(err, ERR_NOT_FOUND, "there is no %s " STR_FMT, what, STR_ARG(id));
}

bool rows_now(struct db *db, int64_t *now, struct error *err)
{
    if (db_dialect(db) == DB_SQLITE) {
        *now = clock_unix();
        return true;
    }
    return rows_int(db, "SELECT CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp())) AS BIGINT)", NULL,
                    0, now, NULL, err);
}

static bool read_now(struct db *db, void *ctx, struct error *err)
{
    return rows_now(db, ctx, err);
}

bool store_now(struct store *s, int64_t *now, struct error *err)
{
    return db_read(store_db(s), read_now, now, err);
}

/* ---- rows into structs ---- */

struct collecting {
    struct row_kind kind;
    struct arena *a;
    size_t limit, cap;
    size_t most_bytes; /* of the arena, behind the first row */
    int64_t *seq;      /* of the row that was seen last, its first column; or NULL */
    struct rows rows;
};

static bool collect(void *ctx, const struct db_row *row, struct error *err)
{
    struct collecting *c = ctx;

    (void)err;
    if (c->seq != NULL)
        *c->seq = db_row_int(row, 0);
    if (c->rows.n == c->limit ||
        (c->rows.n > 0 && c->a != NULL && c->a->used_bytes >= c->most_bytes)) {
        c->most_bytes = 0; /* nothing behind it, small as it may be */
        c->rows.more = true;
        return true;
    }
    if (c->rows.n == c->cap) {
        const size_t cap = size_min(c->limit, c->cap == 0 ? 16 : 2 * c->cap);
        char *grown = arena_alloc(c->a, cap * c->kind.item_size);

        if (c->rows.n > 0)
            memcpy(grown, c->rows.items, c->rows.n * c->kind.item_size);
        c->rows.items = grown;
        c->cap = cap;
    }
    c->kind.fill(row, c->a, (char *)c->rows.items + c->rows.n * c->kind.item_size);
    c->rows.n++;
    return true;
}

bool rows_all(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
              struct row_kind kind, size_t limit, struct arena *a, struct rows *out,
              struct error *err)
{
    struct collecting c = {.kind = kind, .a = a, .limit = limit, .most_bytes = SIZE_MAX};

    if (!db_run(db, sql, params, n_params, collect, &c, NULL, err))
        return false;
    *out = c.rows;
    return true;
}

struct reading {
    const char *sql;
    const struct db_value *params;
    size_t n_params;
    struct row_kind kind;
    size_t limit;
    struct arena *a;
    struct rows rows;
};

static bool read_all(struct db *db, void *ctx, struct error *err)
{
    struct reading *r = ctx;

    return rows_all(db, r->sql, r->params, r->n_params, r->kind, r->limit, r->a, &r->rows, err);
}

bool rows_read(struct store *s, const char *sql, const struct db_value *params, size_t n_params,
               struct row_kind kind, size_t limit, struct arena *a, struct rows *out,
               struct error *err)
{
    struct reading r = {sql, params, n_params, kind, limit, a, {0}};

    if (!db_read(store_db(s), read_all, &r, err))
        return false;
    *out = r.rows;
    return true;
}

struct picking {
    row_fill_fn *fill;
    struct arena *a;
    void *item;
    bool found;
};

static bool pick(void *ctx, const struct db_row *row, struct error *err)
{
    struct picking *p = ctx;

    (void)err;
    if (!p->found)
        p->fill(row, p->a, p->item);
    p->found = true;
    return true;
}

bool rows_one(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
              row_fill_fn *fill, struct arena *a, void *item, bool *found, struct error *err)
{
    struct picking p = {.fill = fill, .a = a, .item = item};

    if (!db_run(db, sql, params, n_params, pick, &p, NULL, err))
        return false;
    *found = p.found;
    return true;
}

static void fill_int(const struct db_row *row, struct arena *a, void *item)
{
    (void)a;
    *(int64_t *)item = db_row_int(row, 0);
}

bool rows_int(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
              int64_t *out, bool *found, struct error *err)
{
    bool is_there = false;
    int64_t value = 0;

    if (!rows_one(db, sql, params, n_params, fill_int, NULL, &value, &is_there, err))
        return false;
    if (is_there)
        *out = value;
    if (found != NULL)
        *found = is_there;
    else if (!is_there)
        return fail(err, ERR_CORRUPT, "the database gave no row where there always is one");
    return true;
}

/* ---- pages ---- */

#define PAGE_BYTES ((size_t)16 << 20) /* a page ends behind the row that passes it */
#define LARGE_AT_ONCE 8               /* rows */

struct page_reading {
    const struct page_query *q;
    struct row_kind kind;
    struct arena *a;
    struct rows rows;
};

static bool find_cursor(struct db *db, const struct page_query *q, int64_t *seq, struct error *err)
{
    const struct str after = str_of(q->page->after);
    struct db_value params[COUNT_OF(q->params) + 1];
    bool found = false;

    if (text_is_sane(after, 512) && after.len > 0) {
        memcpy(params, q->params, q->n_scope * sizeof *params);
        params[q->n_scope] = db_str(after);
        if (!rows_int(db, q->sql->find, params, q->n_scope + 1, seq, &found, err))
            return false;
    }
    if (!found)
        return fail_param(
            err, ERR_NOT_FOUND, "after",
            "\"after\" names nothing in this list; it takes the id of the last object "
            "of the page before");
    return true;
}

static bool read_page(struct db *db, void *ctx, struct error *err)
{
    struct page_reading *r = ctx;
    const struct store_page *page = r->q->page;
    const bool labelled = page->key.ptr != NULL;
    const size_t direction = page->ascending ? 0 : 1;
    const char *sql = labelled               ? r->q->sql->labelled[direction]
                      : page->without_labels ? r->q->sql->bare[direction]
                                             : r->q->sql->all[direction];
    struct db_value params[COUNT_OF(r->q->params) + 4];
    const size_t at = r->q->n_params;
    int64_t cursor = page->after_seq != 0 ? page->after_seq : page->ascending ? 0 : INT64_MAX;
    size_t n = at + 2, left = page->limit + 1, ask, got;

    if (page->after != NULL && !find_cursor(db, r->q, &cursor, err))
        return false;
    memcpy(params, r->q->params, at * sizeof *params);
    if (labelled) {
        params[n++] = db_str(page->key);
        params[n++] = db_str(page->value.ptr != NULL ? page->value : STR(""));
    }
    struct collecting c = {.kind = r->kind,
                           .a = r->a,
                           .limit = page->limit,
                           .most_bytes = r->a->used_bytes + PAGE_BYTES,
                           .seq = r->q->sql->large ? &cursor : NULL};
    do {
        ask = r->q->sql->large && db_dialect(db) == DB_POSTGRES ? size_min(left, LARGE_AT_ONCE)
                                                                : left;
        params[at] = db_int(cursor);
        params[at + 1] = db_int((int64_t)ask);
        if (!db_run(db, sql, params, n, collect, &c, &got, err))
            return false;
        left -= got;
    } while (got == ask && left > 0 && !c.rows.more);
    r->rows = c.rows;
    return true;
}

bool page_run(struct store *s, const struct page_query *q, struct row_kind kind, struct arena *a,
              struct rows *out, struct error *err)
{
    struct page_reading r = {.q = q, .kind = kind, .a = a};
    const bool no_label =
        q->page->key.ptr != NULL && !(text_is_sane(q->page->key, 4096) &&
                                      text_is_sane(q->page->value, 4096)); /* nothing has it */

    if (no_label) {
        *out = (struct rows){0};
        return true;
    }
    if (!db_read(store_db(s), read_page, &r, err))
        return false;
    *out = r.rows;
    return true;
}

/* ---- labels ---- */

bool labels_put(struct db *db, const struct labelled *of, const struct label *labels, size_t n,
                struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct db_value params[] = {
            db_text(of->kind),
            db_text(of->id),
            db_str(labels[i].key),
            db_str(labels[i].value.ptr != NULL ? labels[i].value : STR("")),
            db_text(of->project_id),
            db_int(of->seq)};

        if (!text_is_sane(labels[i].key, 4096) || !text_is_sane(labels[i].value, 4096))
            return fail_param(err, ERR_INVALID, "metadata",
                              "a key or a value of the metadata is longer than 4096 bytes, has a "
                              "zero byte or is not UTF-8");
        if (!db_run(db,
                    "INSERT INTO labels (kind, id, label_key, value, project_id, seq) "
                    "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params, COUNT_OF(params), NULL, NULL, NULL, err))
            return false;
    }
    return true;
}

bool labels_remove(struct db *db, const char *kind, const char *id, struct error *err)
{
    const struct db_value params[] = {db_text(kind), db_text(id)};

    return db_run(db, "DELETE FROM labels WHERE kind = ?1 AND id = ?2", params, COUNT_OF(params),
                  NULL, NULL, NULL, err);
}

static void fill_label(const struct db_row *row, struct arena *a, void *item)
{
    *(struct label *)item = (struct label){.key = str_of(db_row_text(row, 0, a)),
                                           .value = str_of(db_row_text(row, 1, a))};
}

bool labels_of(struct store *s, const char *kind, const char *id, struct arena *a,
               struct label **out, size_t *n, struct error *err)
{
    const struct db_value params[] = {db_text(kind), db_text(id)};
    struct rows rows;

    if (!rows_read(
            s, "SELECT label_key, value FROM labels WHERE kind = ?1 AND id = ?2 ORDER BY label_key",
            params, COUNT_OF(params), (struct row_kind){fill_label, sizeof **out}, SIZE_MAX, a,
            &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    return true;
}
