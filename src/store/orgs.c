/*
 * orgs.c - organisations, their projects, and how new ones come in: the first start, and invitations.
 */
#include "base/size.h"
#include "store/access_internal.h"
#include "store/rows_internal.h"
#include "store/store_internal.h"

#include <stdio.h>

#define SLUG_MAX 40
#define CODE_LETTERS 48
#define CODE_BYTES 256

/* ---- rows ---- */

struct org org_make(const char *name, struct arena *a)
{
    return (struct org){
        .id = store_new_id("org-", a),
        .name = arena_text(a, str_of(name)),
    };
}

struct project project_make(const char *org_id, const char *name, struct arena *a)
{
    return (struct project){
        .id = store_new_id("proj_", a),
        .org_id = arena_text(a, str_of(org_id)),
        .name = arena_text(a, str_of(name)),
    };
}

/* "Charité – Berlin (2)" -> "charit-berlin-2": letters and digits, and one '-' for all between them. */
static void slug_of(const char *name, char out[SLUG_MAX + 1])
{
    size_t n = 0;

    for (; *name != '\0' && n < SLUG_MAX; name++) {
        const char c = *name >= 'A' && *name <= 'Z' ? (char)(*name + ('a' - 'A')) : *name;

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            out[n++] = c;
        else if (n > 0 && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n > 0 && out[n - 1] == '-')
        n--;
    out[n] = '\0';
    if (n == 0)
        snprintf(out, SLUG_MAX + 1, "org");
}

bool org_put(struct db *db, struct org *o, int64_t now, struct arena *a, struct error *err)
{
    char slug[SLUG_MAX + 1];
    size_t taken = 1;

    o->created_at = now;
    slug_of(o->name, slug);
    o->slug = arena_text(a, str_of(slug));
    for (unsigned i = 2; taken > 0; i++) {
        const struct db_value v = db_text(o->slug);

        if (!db_run(db, "SELECT id FROM orgs WHERE slug = ?1", &v, 1, NULL, NULL, &taken, err))
            return false;
        if (taken > 0)
            o->slug = arena_printf(a, "%s-%u", slug, i);
    }
    const struct db_value v[] = {db_text(o->id), db_text(o->name), db_text(o->slug),
                                 db_int(o->created_at)};
    return db_run(db, "INSERT INTO orgs (id, name, slug, created_at) VALUES (?1, ?2, ?3, ?4)", v,
                  COUNT_OF(v), NULL, NULL, NULL, err);
}

bool project_put(struct db *db, struct project *p, int64_t now, struct error *err)
{
    p->created_at = now;
    const struct db_value v[] = {db_text(p->id), db_text(p->org_id), db_text(p->name),
                                 db_int(p->quota_bytes), db_int(p->created_at)};

    return db_run(db,
                  "INSERT INTO projects (id, org_id, name, quota_bytes, created_at) "
                  "VALUES (?1, ?2, ?3, ?4, ?5)",
                  v, COUNT_OF(v), NULL, NULL, NULL, err);
}

static void fill_org(const struct db_row *row, struct arena *a, void *item)
{
    *(struct org *)item = (struct org){
        .id = db_row_text(row, 0, a),
        .name = db_row_text(row, 1, a),
        .slug = db_row_text(row, 2, a),
        .created_at = db_row_int(row, 3),
    };
}

static void fill_project(const struct db_row *row, struct arena *a, void *item)
{
    *(struct project *)item = (struct project){
        .id = db_row_text(row, 0, a),
        .org_id = db_row_text(row, 1, a),
        .name = db_row_text(row, 2, a),
        .created_at = db_row_int(row, 3),
        .quota_bytes = db_row_int(row, 4),
        .archived_at = db_row_int(row, 5),
    };
}

/* ---- an organisation with all it needs to begin ---- */

struct beginning {
    struct arena *arena;
    struct org org;
    struct project project;
    struct api_key key;
    struct sha256_text hash; /* of the key */
    bool there;              /* access_begin: it is not the first start */
    /* access_accept */
    struct sha256_text code;
};

static struct beginning beginning_make(const char *org, struct arena *a, char **secret)
{
    struct beginning b = {.arena = a, .org = org_make(org, a)};

    b.project = project_make(b.org.id, "Default project", a);
    const struct new_key k = {
        .project_id = b.project.id, .name = "First key", .scopes = SCOPE_ADMIN};
    b.key = key_make(&k, a, secret, &b.hash);
    return b;
}

static bool beginning_put(struct db *db, struct beginning *b, int64_t now, struct error *err)
{
    return org_put(db, &b->org, now, b->arena, err) && project_put(db, &b->project, now, err) &&
           key_put(db, &b->key, &b->hash, now, err);
}

static bool begin(struct db *db, void *ctx, struct error *err)
{
    struct beginning *b = ctx;
    int64_t now;
    size_t n = 0;

    if (!db_run(db, "SELECT id FROM orgs LIMIT 1", NULL, 0, NULL, NULL, &n, err))
        return false;
    b->there = n > 0;
    return b->there || (rows_now(db, &now, err) && beginning_put(db, b, now, err));
}

bool access_begin(struct store *s, struct arena *a, char **key, struct error *err)
{
    char *secret = NULL;
    struct beginning b = beginning_make("Default", a, &secret);

    if (!db_write(store_db(s), begin, &b, err))
        return false;
    *key = b.there ? NULL : secret;
    return true;
}

static bool put_org(struct db *db, void *ctx, struct error *err)
{
    struct beginning *b = ctx;
    int64_t now;

    return rows_now(db, &now, err) && org_put(db, &b->org, now, b->arena, err);
}

bool access_new_org(struct store *s, const char *name, struct arena *a, struct org *out,
                    struct error *err)
{
    if (!access_name_is_fit(name, "an organisation", err))
        return false;
    struct beginning b = {.arena = a, .org = org_make(name, a)};
    if (!db_write(store_db(s), put_org, &b, err))
        return false;
    *out = b.org;
    return true;
}

bool access_orgs(struct store *s, struct arena *a, struct org **out, size_t *n, struct error *err)
{
    struct rows rows;

    if (!rows_read(s, "SELECT id, name, slug, created_at FROM orgs ORDER BY seq", NULL, 0,
                   (struct row_kind){fill_org, sizeof **out}, SIZE_MAX, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    return true;
}

/* ---- projects ---- */

static bool put_project(struct db *db, void *ctx, struct error *err)
{
    struct project *p = ctx;
    const struct db_value v = db_text(p->org_id);
    int64_t now;
    size_t n = 0;

    if (!db_run(db, "SELECT id FROM orgs WHERE id = ?1", &v, 1, NULL, NULL, &n, err))
        return false;
    if (n == 0)
        return fail_param(err, ERR_NOT_FOUND, "organization_id",
                          "there is no organisation \"%.80s\"", p->org_id);
    return rows_now(db, &now, err) && project_put(db, p, now, err);
}

bool access_new_project(struct store *s, const char *org_id, const char *name, struct arena *a,
                        struct project *out, struct error *err)
{
    if (!access_name_is_fit(name, "a project", err))
        return false;
    struct project p = project_make(org_id, name, a);
    if (!db_write(store_db(s), put_project, &p, err))
        return false;
    *out = p;
    return true;
}

bool access_projects(struct store *s, const char *org_id, struct arena *a, struct project **out,
                     size_t *n, struct error *err)
{
    const struct db_value v = db_text(org_id);
    struct rows rows;

    if (!rows_read(s,
                   "SELECT id, org_id, name, created_at, quota_bytes, archived_at FROM projects "
                   "WHERE org_id = ?1 "
                   "ORDER BY seq",
                   &v, 1, (struct row_kind){fill_project, sizeof **out}, SIZE_MAX, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    return true;
}

static bool no_project(const char *id, struct error *err)
{
    return fail_param(err, ERR_NOT_FOUND, "project_id", "there is no project \"%.80s\"", id);
}

bool access_project(struct store *s, const char *id, struct arena *a, struct project *out,
                    struct error *err)
{
    const struct db_value v = db_text(id);
    struct rows rows;

    if (!rows_read(s,
                   "SELECT id, org_id, name, created_at, quota_bytes, archived_at FROM projects "
                   "WHERE id = ?1",
                   &v, 1, (struct row_kind){fill_project, sizeof *out}, 1, a, &rows, err))
        return false;
    if (rows.n == 0)
        return no_project(id, err);
    *out = *(const struct project *)rows.items;
    return true;
}

struct project_changing {
    const char *id;
    struct project_change to;
};

static bool change_project(struct db *db, void *ctx, struct error *err)
{
    const struct project_changing *c = ctx;
    int64_t now;
    size_t n = 0;

    if (!rows_now(db, &now, err))
        return false;
    const struct db_value v[] = {db_text(c->id), db_text(c->to.name), db_int(c->to.quota_bytes),
                                 db_int(c->to.archive ? now : 0)};
    return db_run(db,
                  "UPDATE projects SET name = COALESCE(?2, name), "
                  "quota_bytes = CASE WHEN ?3 < 0 THEN quota_bytes ELSE ?3 END, "
                  "archived_at = CASE WHEN archived_at = 0 THEN ?4 ELSE archived_at END "
                  "WHERE id = ?1",
                  v, COUNT_OF(v), NULL, NULL, &n, err) &&
           (n == 1 || no_project(c->id, err));
}

bool access_change_project(struct store *s, const char *id, const struct project_change *to,
                           struct error *err)
{
    struct project_changing c = {id, *to};

    return (to->name == NULL || access_name_is_fit(to->name, "a project", err)) &&
           db_write(store_db(s), change_project, &c, err);
}

static bool set_quota(struct db *db, void *ctx, struct error *err)
{
    const struct project *p = ctx;
    const struct db_value v[] = {db_text(p->id), db_int(p->quota_bytes)};
    size_t n = 0;

    return db_run(db, "UPDATE projects SET quota_bytes = ?2 WHERE id = ?1", v, COUNT_OF(v), NULL,
                  NULL, &n, err) &&
           (n == 1 || no_project(p->id, err));
}

bool access_set_quota(struct store *s, const char *project_id, int64_t quota_bytes,
                      struct error *err)
{
    struct arena a = {0};
    struct project p = {.id = arena_text(&a, str_of(project_id)), .quota_bytes = quota_bytes};
    const bool ok = quota_bytes >= 0 ? db_write(store_db(s), set_quota, &p, err)
                                     : fail_param(err, ERR_INVALID, "quota_bytes",
                                                  "a quota is 0 (none) or more bytes");

    arena_release(&a);
    return ok;
}

/* ---- invitations ---- */

struct invitation_to_put {
    struct invitation i;
    struct sha256_text code;
};

static bool put_invitation(struct db *db, void *ctx, struct error *err)
{
    struct invitation_to_put *p = ctx;

    if (!rows_now(db, &p->i.created_at, err))
        return false;
    if (p->i.expires_at <= p->i.created_at)
        return fail_param(err, ERR_INVALID, "expires_at", "the invitation would be over already");
    const struct db_value v[] = {
        db_text(p->i.id),   db_text(p->code.hex),    db_text(p->i.name),
        db_text(p->i.note), db_int(p->i.created_at), db_int(p->i.expires_at),
    };

    return db_run(db,
                  "INSERT INTO invitations (id, hash, name, note, created_at, expires_at, used_at) "
                  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
                  v, COUNT_OF(v), NULL, NULL, NULL, err);
}

bool access_invite(struct store *s, const char *name, const char *note, int64_t expires_at,
                   struct arena *a, struct invitation *out, char **code, struct error *err)
{
    char text[CODE_LETTERS + 1];

    if (!access_name_is_fit(name, "an organisation", err))
        return false;
    store_random_text(text, CODE_LETTERS);
    char *secret = arena_printf(a, "inv-%s", text);
    struct invitation_to_put p = {
        .i = {.id = store_new_id("invite-", a),
              .name = arena_text(a, str_of(name)),
              .note = arena_text(a, str_of(note != NULL ? note : "")),
              .expires_at = expires_at},
        .code = sha256_of(secret, strlen(secret)),
    };
    if (!db_write(store_db(s), put_invitation, &p, err))
        return false;
    *out = p.i;
    *code = secret;
    return true;
}

static void fill_invitation(const struct db_row *row, struct arena *a, void *item)
{
    *(struct invitation *)item = (struct invitation){
        .id = db_row_text(row, 0, a),
        .name = db_row_text(row, 1, a),
        .note = db_row_text(row, 2, a),
        .created_at = db_row_int(row, 3),
        .expires_at = db_row_int(row, 4),
        .used_at = db_row_int(row, 5),
        .org_id = db_row_text(row, 6, a),
    };
}

static bool accept(struct db *db, void *ctx, struct error *err)
{
    struct beginning *b = ctx;
    const struct db_value code = db_text(b->code.hex);
    struct invitation i;
    bool found;
    int64_t now;

    if (!rows_now(db, &now, err) ||
        !rows_one(db,
                  "SELECT id, name, note, created_at, expires_at, used_at, org_id FROM invitations "
                  "WHERE hash = ?1",
                  &code, 1, fill_invitation, b->arena, &i, &found, err))
        return false;
    if (!found)
        return fail_param(err, ERR_NOT_FOUND, "code", "there is no invitation with this code");
    if (i.used_at != 0)
        return fail_param(err, ERR_INVALID, "code", "this invitation was used already");
    if (i.expires_at <= now)
        return fail_param(err, ERR_INVALID, "code", "this invitation is over; ask for another one");
    b->org.name = i.name;
    if (!beginning_put(db, b, now, err))
        return false;
    const struct db_value v[] = {db_text(i.id), db_int(now), db_text(b->org.id)};
    return db_run(db, "UPDATE invitations SET used_at = ?2, org_id = ?3 WHERE id = ?1", v,
                  COUNT_OF(v), NULL, NULL, NULL, err);
}

bool access_accept(struct store *s, struct str code, struct arena *a, struct org *org,
                   struct project *project, char **key, struct error *err)
{
    char *secret = NULL;
    struct beginning b = beginning_make("", a, &secret);

    const size_t n_hashed = size_min(code.len, CODE_BYTES);
    b.code = sha256_of(n_hashed > 0 ? code.ptr : "", n_hashed);
    if (!db_write(store_db(s), accept, &b, err))
        return false;
    *org = b.org;
    *project = b.project;
    *key = secret;
    return true;
}

static bool uninvite(struct db *db, void *ctx, struct error *err)
{
    const struct db_value v = db_text(ctx);
    size_t n = 0;

    if (!db_run(db, "DELETE FROM invitations WHERE id = ?1 AND used_at = 0", &v, 1, NULL, NULL, &n,
                err))
        return false;
    if (n == 1)
        return true;
    if (!db_run(db, "SELECT id FROM invitations WHERE id = ?1", &v, 1, NULL, NULL, &n, err))
        return false;
    return n == 0 ? fail_param(err, ERR_NOT_FOUND, "invite_id", "there is no invitation \"%.80s\"",
                               (const char *)ctx)
                  : fail_param(err, ERR_INVALID, "invite_id",
                               "this invitation was used: its organisation is there");
}

bool access_uninvite(struct store *s, const char *id, struct error *err)
{
    char text[160] = "";

    if (strlen(id) < sizeof text)
        memcpy(text, id, strlen(id));
    return db_write(store_db(s), uninvite, text, err);
}

bool access_invitations(struct store *s, struct arena *a, struct invitation **out, size_t *n,
                        struct error *err)
{
    struct rows rows;

    if (!rows_read(
            s,
            "SELECT id, name, note, created_at, expires_at, used_at, org_id FROM invitations "
            "ORDER BY seq",
            NULL, 0, (struct row_kind){fill_invitation, sizeof **out}, SIZE_MAX, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    return true;
}
