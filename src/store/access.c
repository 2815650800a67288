/*
 * access.c - keys: made, looked up by their SHA-256, revoked.
 */
#include "store/access.h"
#include "base/size.h"
#include "store/access_internal.h"
#include "store/key_uses.h"
#include "store/rows_internal.h"
#include "store/store_internal.h"

#define KEY_LETTERS 48 /* 285 bits */
#define KEY_BYTES 256  /* longer is no key */
#define NOTED_EVERY 60 /* seconds */

/* ---- what the other files share ---- */

bool access_name_is_fit(const char *name, const char *what, struct error *err)
{
    size_t n = 0;

    if (name == NULL)
        return fail_param(err, ERR_INVALID, "name", "%s needs a name", what);
    for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++) {
        if (*c < ' ' || *c == 0x7f)
            return fail_param(err, ERR_INVALID, "name",
                              "the name of %s must not have control characters", what);
        n += (*c & 0xc0) != 0x80;
    }
    if (n < 1 || n > ACCESS_NAME_MAX)
        return fail_param(err, ERR_INVALID, "name",
                          "the name of %s has %zu characters; 1 to %d are expected", what, n,
                          ACCESS_NAME_MAX);
    return true;
}

static const struct {
    unsigned scope;
    const char *name;
} scopes_known[] = {{SCOPE_USE, "use"}, {SCOPE_TRAIN, "train"}, {SCOPE_ADMIN, "admin"}};

unsigned access_scope(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(scopes_known); i++)
        if (str_is(name, scopes_known[i].name))
            return scopes_known[i].scope;
    return 0;
}

size_t access_scope_names(unsigned scopes, const char *names[3])
{
    size_t n = 0;

    for (size_t i = 0; i < COUNT_OF(scopes_known); i++)
        if ((scopes & scopes_known[i].scope) != 0)
            names[n++] = scopes_known[i].name;
    return n;
}

/* ---- keys ---- */

struct api_key key_make(const struct new_key *k, struct arena *a, char **secret,
                        struct sha256_text *hash)
{
    char text[KEY_LETTERS + 1];

    store_random_text(text, KEY_LETTERS);
    *secret = arena_printf(a, "%s%s", (k->scopes & SCOPE_ADMIN) != 0 ? "sk-admin-" : "sk-", text);
    *hash = sha256_of(*secret, strlen(*secret));
    return (struct api_key){
        .id = store_new_id("key_", a),
        .project_id = arena_text(a, str_of(k->project_id)),
        .name = arena_text(a, str_of(k->name)),
        .hint = arena_printf(a, "sk-...%s", text + KEY_LETTERS - 4),
        .scopes = k->scopes,
        .requests_per_minute = k->requests_per_minute,
        .concurrent_requests = k->concurrent_requests,
        .expires_at = k->expires_at,
    };
}

bool key_put(struct db *db, struct api_key *k, const struct sha256_text *hash, int64_t now,
             struct error *err)
{
    k->created_at = now;
    const struct db_value v[] = {
        db_text(k->id),
        db_text(k->project_id),
        db_text(k->name),
        db_text(k->hint),
        db_text(hash->hex),
        db_int((int64_t)k->scopes),
        db_int(k->created_at),
        db_int(k->requests_per_minute),
        db_int(k->concurrent_requests),
        db_int(k->expires_at),
    };

    return db_run(db,
                  "INSERT INTO api_keys (id, project_id, name, hint, hash, scopes, created_at, "
                  "requests_per_minute, concurrent_requests, expires_at, last_used_at, revoked_at) "
                  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 0)",
                  v, COUNT_OF(v), NULL, NULL, NULL, err);
}

struct key_to_put {
    struct api_key key;
    struct sha256_text hash;
};

static bool put_key(struct db *db, void *ctx, struct error *err)
{
    struct key_to_put *k = ctx;
    const struct db_value v = db_text(k->key.project_id);
    int64_t now;
    size_t n = 0;

    if (!db_run(db, "SELECT id FROM projects WHERE id = ?1", &v, 1, NULL, NULL, &n, err))
        return false;
    if (n == 0)
        return fail_param(err, ERR_NOT_FOUND, "project_id", "there is no project \"%.80s\"",
                          k->key.project_id);
    return rows_now(db, &now, err) && key_put(db, &k->key, &k->hash, now, err);
}

bool access_new_key(struct store *s, const struct new_key *k, struct arena *a, struct api_key *out,
                    char **secret, struct error *err)
{
    const unsigned all = SCOPE_USE | SCOPE_TRAIN | SCOPE_ADMIN;
    struct key_to_put put;
    char *text = NULL;

    if (!access_name_is_fit(k->name, "a key", err))
        return false;
    if (k->scopes == 0 || (k->scopes & ~all) != 0)
        return fail_param(err, ERR_INVALID, "scopes",
                          "a key may do at least one thing: use, train or admin");
    if (k->requests_per_minute < 0 || k->concurrent_requests < 0)
        return fail_param(err, ERR_INVALID, "limits", "a key's limits are 0 (none) or more");
    put.key = key_make(k, a, &text, &put.hash);
    if (!db_write(store_db(s), put_key, &put, err))
        return false;
    *out = put.key;
    *secret = text;
    return true;
}

static void fill_key(const struct db_row *row, struct arena *a, void *item)
{
    *(struct api_key *)item = (struct api_key){
        .id = db_row_text(row, 0, a),
        .project_id = db_row_text(row, 1, a),
        .name = db_row_text(row, 2, a),
        .hint = db_row_text(row, 3, a),
        .scopes = (unsigned)db_row_int(row, 4),
        .created_at = db_row_int(row, 5),
        .last_used_at = db_row_int(row, 6),
        .revoked_at = db_row_int(row, 7),
        .requests_per_minute = db_row_int(row, 8),
        .concurrent_requests = db_row_int(row, 9),
        .expires_at = db_row_int(row, 10),
    };
}

#define KEY_COLUMNS                                                                                \
    "k.id, k.project_id, k.name, k.hint, k.scopes, k.created_at, k.last_used_at, k.revoked_at, "   \
    "k.requests_per_minute, k.concurrent_requests, k.expires_at"

bool access_keys(struct store *s, const char *project_id, struct arena *a, struct api_key **out,
                 size_t *n, struct error *err)
{
    const struct db_value v = db_text(project_id);
    struct rows rows;

    if (!rows_read(s,
                   "SELECT " KEY_COLUMNS " FROM api_keys k WHERE k.project_id = ?1 ORDER BY k.seq",
                   &v, 1, (struct row_kind){fill_key, sizeof **out}, SIZE_MAX, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    return true;
}

bool access_org_keys(struct store *s, const char *org_id, struct arena *a, struct api_key **out,
                     size_t *n, struct error *err)
{
    const struct db_value v = db_text(org_id);
    struct rows rows;

    if (!rows_read(s,
                   "SELECT " KEY_COLUMNS " FROM api_keys k JOIN projects p ON p.id = k.project_id "
                   "WHERE p.org_id = ?1 ORDER BY k.seq",
                   &v, 1, (struct row_kind){fill_key, sizeof **out}, SIZE_MAX, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    return true;
}

static bool no_key(const char *id, struct error *err)
{
    return fail_param(err, ERR_NOT_FOUND, "key_id", "there is no key \"%.80s\" in this project",
                      id);
}

struct changing {
    const char *project_id, *id;
    struct key_change to;
};

static bool change_key(struct db *db, void *ctx, struct error *err)
{
    const struct changing *c = ctx;
    const struct db_value v[] = {
        db_text(c->project_id),
        db_text(c->id),
        db_text(c->to.name),
        db_int((int64_t)c->to.scopes),
        db_int(c->to.requests_per_minute),
        db_int(c->to.concurrent_requests),
        db_int(c->to.expires_at),
    };
    size_t n = 0;

    return db_run(db,
                  "UPDATE api_keys SET name = COALESCE(?3, name), "
                  "scopes = CASE WHEN ?4 = 0 THEN scopes ELSE ?4 END, "
                  "requests_per_minute = CASE WHEN ?5 < 0 THEN requests_per_minute ELSE ?5 END, "
                  "concurrent_requests = CASE WHEN ?6 < 0 THEN concurrent_requests ELSE ?6 END, "
                  "expires_at = CASE WHEN ?7 < 0 THEN expires_at ELSE ?7 END "
                  "WHERE project_id = ?1 AND id = ?2 AND revoked_at = 0",
                  v, COUNT_OF(v), NULL, NULL, &n, err) &&
           (n == 1 || no_key(c->id, err));
}

bool access_change_key(struct store *s, const char *project_id, const char *id,
                       const struct key_change *to, struct error *err)
{
    struct changing c = {project_id, id, *to};

    if (to->name != NULL && !access_name_is_fit(to->name, "a key", err))
        return false;
    if ((to->scopes & ~(unsigned)(SCOPE_USE | SCOPE_TRAIN | SCOPE_ADMIN)) != 0)
        return fail_param(err, ERR_INVALID, "scopes", "scopes are use, train and admin");
    return db_write(store_db(s), change_key, &c, err);
}

struct revocation {
    const char *project_id, *id;
};

static bool revoke(struct db *db, void *ctx, struct error *err)
{
    const struct revocation *r = ctx;
    int64_t now;
    size_t n = 0;

    if (!rows_now(db, &now, err))
        return false;
    const struct db_value v[] = {db_text(r->project_id), db_text(r->id), db_int(now)};
    if (!db_run(db,
                "UPDATE api_keys SET revoked_at = CASE WHEN revoked_at = 0 THEN ?3 ELSE revoked_at "
                "END WHERE project_id = ?1 AND id = ?2",
                v, COUNT_OF(v), NULL, NULL, &n, err))
        return false;
    return n == 1 || no_key(r->id, err);
}

bool access_revoke_key(struct store *s, const char *project_id, const char *id, struct error *err)
{
    struct revocation r = {project_id, id};

    return db_write(store_db(s), revoke, &r, err);
}

/* ---- who is asking ---- */

struct asked {
    struct access access;
    int64_t last_used_at;
};

struct asking {
    struct sha256_text hash;
    struct arena *arena;
    int64_t now;
    struct asked *found; /* NULL: it is no key */
};

static unsigned with_contained(unsigned scopes)
{
    if ((scopes & SCOPE_ADMIN) != 0)
        scopes |= SCOPE_TRAIN;
    if ((scopes & SCOPE_TRAIN) != 0)
        scopes |= SCOPE_USE;
    return scopes;
}

static void fill_asked(const struct db_row *row, struct arena *a, void *item)
{
    *(struct asked *)item = (struct asked){
        .access =
            {
                .key_id = db_row_text(row, 0, a),
                .project_id = db_row_text(row, 1, a),
                .org_id = db_row_text(row, 2, a),
                .org_slug = db_row_text(row, 3, a),
                .scopes = with_contained((unsigned)db_row_int(row, 4)),
                .requests_per_minute = db_row_int(row, 5),
                .concurrent_requests = db_row_int(row, 6),
            },
        .last_used_at = db_row_int(row, 7),
    };
}

/* A key ends by the same clock on every server, so it is asked for in the transaction that looks the key up. */
static bool look_up(struct db *db, void *ctx, struct error *err)
{
    struct asking *x = ctx;
    struct rows rows;

    if (!rows_now(db, &x->now, err))
        return false;
    const struct db_value v[] = {db_text(x->hash.hex), db_int(x->now)};
    if (!rows_all(db,
                  "SELECT k.id, k.project_id, p.org_id, o.slug, k.scopes, k.requests_per_minute, "
                  "k.concurrent_requests, k.last_used_at FROM api_keys k "
                  "JOIN projects p ON p.id = k.project_id JOIN orgs o ON o.id = p.org_id "
                  "WHERE k.hash = ?1 AND k.revoked_at = 0 AND p.archived_at = 0 "
                  "AND (k.expires_at = 0 OR k.expires_at > ?2)",
                  v, COUNT_OF(v), (struct row_kind){fill_asked, sizeof(struct asked)}, 1, x->arena,
                  &rows, err))
        return false;
    x->found = rows.n > 0 ? rows.items : NULL;
    return true;
}

bool access_of_key(struct store *s, struct str key, struct arena *a, struct access *out,
                   struct error *err)
{
    const size_t n_hashed = size_min(key.len, KEY_BYTES);
    struct asking x = {.hash = sha256_of(n_hashed > 0 ? key.ptr : "", n_hashed), .arena = a};

    if (!db_read(store_db(s), look_up, &x, err))
        return false;
    if (x.found == NULL)
        return fail(err, ERR_NOT_FOUND, "there is no such API key, or it was revoked");
    if (x.now - x.found->last_used_at >= NOTED_EVERY)
        key_uses_note(store_key_uses(s), x.found->access.key_id, x.now);
    *out = x.found->access;
    return true;
}

bool access_anonymous(struct store *s, struct arena *a, struct access *out, struct error *err)
{
    const struct db_value v = db_int(SCOPE_USE | SCOPE_TRAIN);
    struct rows rows;

    if (!rows_read(s,
                   "SELECT NULL, p.id, p.org_id, o.slug, ?1, 0, 0, 0 FROM projects p "
                   "JOIN orgs o ON o.id = p.org_id WHERE p.archived_at = 0 ORDER BY p.seq LIMIT 1",
                   &v, 1, (struct row_kind){fill_asked, sizeof(struct asked)}, 1, a, &rows, err))
        return false;
    if (rows.n == 0)
        return fail(err, ERR_NOT_FOUND, "there is no project yet");
    *out = ((const struct asked *)rows.items)->access;
    return true;
}
