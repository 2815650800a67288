/*
 * access_test.c - who may do what: keys are found while they are keys, codes work once, names in model names are unique.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/size.h"
#include "store/access.h"
#include "support/postgres.h"

#include <pthread.h>
#include <stdio.h>

/* This machine's clock is wrong by so much; a PostgreSQL server, a process of its own, has the right one. */
static time_t wrong_by;

time_t time(time_t *out)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    if (out != NULL)
        *out = t.tv_sec + wrong_by;
    return t.tv_sec + wrong_by;
}

static struct store *open_store(struct test_database *d)
{
    const struct store_options opt = {.home = file_join(&d->arena, d->dir, "home"),
                                      .database = d->url};
    struct store *s = NULL;
    struct error err = {0};

    ASSERT_OK(store_open(&opt, &s, &err));
    return s;
}

struct statement {
    const char *sql;
    struct db_value v[2];
    size_t n_v;
    int64_t got;
};

static bool row_int(void *ctx, const struct db_row *row, struct error *err)
{
    (void)err;
    ((struct statement *)ctx)->got = db_row_int(row, 0);
    return true;
}

static bool run(struct db *db, void *ctx, struct error *err)
{
    struct statement *s = ctx;

    return db_run(db, s->sql, s->v, s->n_v, row_int, s, NULL, err);
}

static int64_t number(struct store *s, const char *sql)
{
    struct statement st = {.sql = sql};
    struct error err = {0};

    ASSERT_OK(db_write(store_db(s), run, &st, &err));
    return st.got;
}

static void the_first_start_makes_a_key_once(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct arena *a = &d->arena;
    struct access who;
    char *key = NULL, *again = "unchanged";
    struct error err = {0};

    ASSERT_FAILS(access_anonymous(s, a, &who, &err), ERR_NOT_FOUND, "no project");
    ASSERT_OK(access_begin(s, a, &key, &err));
    assert_non_null(key);
    assert_int_equal(strlen(key), strlen("sk-admin-") + 48);
    ASSERT_OK(access_begin(s, a, &again, &err));
    assert_null(again);
    ASSERT_OK(access_of_key(s, str_of(key), a, &who, &err));
    assert_int_equal(who.scopes, SCOPE_USE | SCOPE_TRAIN | SCOPE_ADMIN);
    assert_true(store_id_is(str_of(who.key_id), "key_"));
    assert_true(store_id_is(str_of(who.project_id), "proj_"));
    assert_true(store_id_is(str_of(who.org_id), "org-"));
    assert_string_equal(who.org_slug, "default");
    struct access nobody;
    ASSERT_OK(access_anonymous(s, a, &nobody, &err));
    assert_null(nobody.key_id);
    assert_string_equal(nobody.project_id, who.project_id);
    assert_string_equal(nobody.org_id, who.org_id);
    assert_int_equal(nobody.scopes, SCOPE_USE | SCOPE_TRAIN);
    store_close(s);
    s = open_store(d); /* and after a restart */
    ASSERT_OK(access_begin(s, a, &again, &err));
    assert_null(again);
    ASSERT_OK(access_of_key(s, str_of(key), a, &who, &err));
    store_close(s);
}

struct starter {
    struct store *store;
    struct arena a;
    char *key;
    bool ok;
};

static void *start(void *ctx)
{
    struct starter *s = ctx;
    struct error err = {0};

    s->ok = access_begin(s->store, &s->a, &s->key, &err);
    if (!s->ok)
        print_error("%s\n", err.message);
    return NULL;
}

static void several_first_starts_at_once_make_one_key(void **state)
{
    struct test_database *d = test_database(state);
    struct starter s[6];
    pthread_t threads[6];
    size_t n_keys = 0;

    for (size_t i = 0; i < 6; i++)
        s[i] = (struct starter){.store = open_store(d)}; /* a pool each, as processes have */
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start, &s[i]), 0);
    for (size_t i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        assert_true(s[i].ok);
        n_keys += s[i].key != NULL;
    }
    assert_int_equal(n_keys, 1);
    assert_int_equal(number(s[0].store, "SELECT count(*) FROM orgs"), 1);
    assert_int_equal(number(s[0].store, "SELECT count(*) FROM api_keys"), 1);
    for (size_t i = 0; i < 6; i++) {
        store_close(s[i].store);
        arena_release(&s[i].a);
    }
}

static void keys_are_found_until_they_are_revoked(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct arena *a = &d->arena;
    struct org org;
    struct project one, two;
    struct api_key key, *keys;
    struct access who;
    char *secret = NULL, *other = NULL;
    size_t n = 0;
    struct error err = {0};

    ASSERT_OK(access_new_org(s, "Charité Berlin", a, &org, &err));
    ASSERT_OK(access_new_project(s, org.id, "one", a, &one, &err));
    ASSERT_OK(access_new_project(s, org.id, "two", a, &two, &err));
    struct new_key k = {.project_id = one.id,
                        .name = "mine",
                        .scopes = SCOPE_TRAIN,
                        .requests_per_minute = 60,
                        .concurrent_requests = 3};
    ASSERT_OK(access_new_key(s, &k, a, &key, &secret, &err));
    k.scopes = SCOPE_USE;
    ASSERT_OK(access_new_key(s, &k, a, &key, &other, &err));
    assert_int_equal(strlen(secret), 3 + 48);
    ASSERT_OK(access_of_key(s, str_of(secret), a, &who, &err));
    assert_int_equal(who.scopes, SCOPE_USE | SCOPE_TRAIN); /* who trains may use */
    assert_string_equal(who.project_id, one.id);
    assert_string_equal(who.org_slug, "charit-berlin");
    assert_true(who.requests_per_minute == 60 && who.concurrent_requests == 3);

    ASSERT_OK(access_keys(s, one.id, a, &keys, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(keys[0].name, "mine");
    assert_true(keys[0].revoked_at == 0 && keys[0].created_at > 1700000000);
    assert_string_equal(keys[0].hint, arena_printf(a, "sk-...%s", secret + strlen(secret) - 4));
    ASSERT_OK(access_keys(s, two.id, a, &keys, &n, &err));
    assert_int_equal(n, 0);

    ASSERT_FAILS(access_revoke_key(s, two.id, who.key_id, &err), ERR_NOT_FOUND, "in this project");
    ASSERT_OK(access_of_key(s, str_of(secret), a, &who, &err));
    ASSERT_OK(access_revoke_key(s, one.id, who.key_id, &err));
    ASSERT_OK(access_revoke_key(s, one.id, who.key_id, &err));
    ASSERT_FAILS(access_of_key(s, str_of(secret), a, &who, &err), ERR_NOT_FOUND, "revoked");
    ASSERT_OK(access_of_key(s, str_of(other), a, &who, &err));
    assert_int_equal(who.scopes, SCOPE_USE);
    ASSERT_OK(access_keys(s, one.id, a, &keys, &n, &err));
    assert_true(keys[0].revoked_at > 1700000000 && keys[1].revoked_at == 0);
    store_close(s);
}

static void what_is_no_key_is_not_found(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct arena *a = &d->arena;
    struct access who = {.scopes = 77};
    char *key = NULL;
    struct error err = {0};

    ASSERT_OK(access_begin(s, a, &key, &err));
    const struct sha256_text hash = sha256_of(key, strlen(key));
    const struct str bad[] = {{0},
                              STR(""),
                              STR("sk-"),
                              STR("\xff\xfe\0\x01"),
                              {key, strlen(key) - 1},
                              str_of(arena_printf(a, "%sx", key)),
                              str_of(arena_printf(a, "%s ", key)),
                              str_of(arena_printf(a, "%05000d", 0)),
                              str_of(hash.hex)};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ASSERT_FAILS(access_of_key(s, bad[i], a, &who, &err), ERR_NOT_FOUND, "no such API key");
    assert_int_equal(who.scopes, 77); /* untouched */
    store_close(s);
}

static void of_a_key_its_hash_alone_is_kept(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    char *key = NULL;
    struct error err = {0};

    ASSERT_OK(access_begin(s, &d->arena, &key, &err));
    const struct sha256_text hash = sha256_of(key, strlen(key));
    struct statement st = {
        .sql = "SELECT count(*) FROM api_keys WHERE hash = ?1", .v = {db_text(hash.hex)}, .n_v = 1};
    ASSERT_OK(db_read(store_db(s), run, &st, &err));
    assert_int_equal(st.got, 1);
    store_close(s);
    if (!d->on_postgres) { /* and nowhere in the file */
        struct str bytes;

        ASSERT_OK(
            file_read(file_join(&d->arena, d->dir, "hone.db"), 1 << 24, &d->arena, &bytes, &err));
        assert_int_equal(str_find(bytes, str_of(key + strlen("sk-admin-")), 0), bytes.len);
        assert_true(str_find(bytes, str_of(hash.hex), 0) < bytes.len);
    }
}

static int64_t last_use(struct store *s)
{
    return number(s, "SELECT last_used_at FROM api_keys");
}

static void the_last_use_is_written_at_most_once_a_minute(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct access who;
    char *key = NULL;
    struct error err = {0};

    ASSERT_OK(access_begin(s, &d->arena, &key, &err));
    assert_int_equal(last_use(s), 0);
    ASSERT_OK(access_of_key(s, str_of(key), &d->arena, &who, &err));
    store_close(s); /* writes what it has */
    s = open_store(d);
    const int64_t now = clock_unix();
    assert_true(last_use(s) >= now - 30 && last_use(s) <= now);
    struct statement back = {
        .sql = "UPDATE api_keys SET last_used_at = ?1", .v = {db_int(now - 30)}, .n_v = 1};
    ASSERT_OK(db_write(store_db(s), run, &back, &err));
    ASSERT_OK(access_of_key(s, str_of(key), &d->arena, &who, &err));
    store_close(s);
    s = open_store(d);
    assert_int_equal(last_use(s), now - 30);
    back.v[0] = db_int(now - 61);
    ASSERT_OK(db_write(store_db(s), run, &back, &err));
    for (int i = 0; i < 100; i++)
        ASSERT_OK(access_of_key(s, str_of(key), &d->arena, &who, &err));
    const double deadline = clock_seconds() + 20; /* while the store is open, too */
    while (last_use(s) < now && clock_seconds() < deadline)
        clock_sleep_until(clock_seconds() + 0.01);
    assert_true(last_use(s) >= now);
    store_close(s);
}

static void slugs_are_of_the_name_and_unique(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    static const char *const names[][2] = {
        {"Bank of Nowhere", "bank-of-nowhere"},
        {"Bank of Nowhere!", "bank-of-nowhere-2"},
        {"bank-of--nowhere", "bank-of-nowhere-3"},
        {"\xe6\x9d\xb1\xe4\xba\xac", "org"},
        {"...", "org-2"},
        {" X ", "x"},
        {"abcdefghijklmnopqrstuvwxyz0123456789 bcdefgh",
         "abcdefghijklmnopqrstuvwxyz0123456789-bcd"},
    };
    struct org o, *all = NULL;
    size_t n = 0;
    struct error err = {0};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        ASSERT_OK(access_new_org(s, names[i][0], &d->arena, &o, &err));
        assert_string_equal(o.slug, names[i][1]);
        assert_string_equal(o.name, names[i][0]);
    }
    ASSERT_OK(access_orgs(s, &d->arena, &all, &n, &err));
    assert_int_equal(n, COUNT_OF(names));
    for (size_t i = 0; i < n; i++)
        assert_string_equal(all[i].slug, names[i][1]);
    store_close(s);
}

static void what_is_asked_for_wrongly_is_refused(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct arena *a = &d->arena;
    struct org org;
    struct project p;
    struct api_key key;
    struct invitation inv;
    char *secret = NULL;
    struct error err = {0};

    ASSERT_FAILS(access_new_org(s, "", a, &org, &err), ERR_INVALID, "1 to 200");
    ASSERT_FAILS(access_new_org(s, NULL, a, &org, &err), ERR_INVALID, "needs a name");
    ASSERT_FAILS(access_new_org(s, "a\nb", a, &org, &err), ERR_INVALID, "control characters");
    ASSERT_FAILS(access_new_org(s, "a\xff", a, &org, &err), ERR_INVALID, "UTF-8");
    ASSERT_FAILS(access_new_org(s, arena_printf(a, "%0201d", 0), a, &org, &err), ERR_INVALID,
                 "201 characters");
    ASSERT_FAILS(access_new_project(s, "org-none", "x", a, &p, &err), ERR_NOT_FOUND, "org-none");
    ASSERT_FAILS(access_project(s, "proj_none", a, &p, &err), ERR_NOT_FOUND, "proj_none");
    ASSERT_FAILS(access_set_quota(s, "proj_none", 5, &err), ERR_NOT_FOUND, "proj_none");
    struct new_key k = {.project_id = "proj_none", .name = "x", .scopes = SCOPE_USE};
    ASSERT_FAILS(access_new_key(s, &k, a, &key, &secret, &err), ERR_NOT_FOUND, "proj_none");
    k.scopes = 0;
    ASSERT_FAILS(access_new_key(s, &k, a, &key, &secret, &err), ERR_INVALID, "at least one");
    k.scopes = 8;
    ASSERT_FAILS(access_new_key(s, &k, a, &key, &secret, &err), ERR_INVALID, "at least one");
    k.scopes = SCOPE_USE;
    k.requests_per_minute = -1;
    ASSERT_FAILS(access_new_key(s, &k, a, &key, &secret, &err), ERR_INVALID, "0 (none) or more");
    ASSERT_FAILS(access_invite(s, "x", NULL, clock_unix() - 1, a, &inv, &secret, &err), ERR_INVALID,
                 "over already");
    assert_null(secret);
    assert_int_equal(number(s, "SELECT count(*) FROM orgs"), 0);
    store_close(s);
}

static void projects_have_quotas(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct org org;
    struct project p, *all = NULL;
    size_t n = 0;
    struct error err = {0};

    ASSERT_OK(access_new_org(s, "x", &d->arena, &org, &err));
    ASSERT_OK(access_new_project(s, org.id, "one", &d->arena, &p, &err));
    ASSERT_OK(access_new_project(s, org.id, "two", &d->arena, &p, &err));
    ASSERT_OK(access_set_quota(s, p.id, (int64_t)5 << 40, &err));
    ASSERT_FAILS(access_set_quota(s, p.id, -1, &err), ERR_INVALID, "a quota is");
    ASSERT_OK(access_project(s, p.id, &d->arena, &p, &err));
    assert_true(p.quota_bytes == (int64_t)5 << 40);
    assert_string_equal(p.org_id, org.id);
    ASSERT_OK(access_projects(s, org.id, &d->arena, &all, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(all[0].name, "one");
    assert_true(all[0].quota_bytes == 0 && all[1].quota_bytes == p.quota_bytes);
    ASSERT_OK(access_projects(s, "org-none", &d->arena, &all, &n, &err));
    assert_int_equal(n, 0);
    store_close(s);
}

struct guest {
    struct store *store;
    const char *code;
    struct arena a;
    struct org org;
    struct project project;
    char *key;
    bool ok;
    struct error err;
};

static void *come_in(void *ctx)
{
    struct guest *g = ctx;

    g->ok = access_accept(g->store, str_of(g->code), &g->a, &g->org, &g->project, &g->key, &g->err);
    return NULL;
}

static void an_invitation_is_good_once(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct arena *a = &d->arena;
    struct invitation inv, *all = NULL;
    struct guest g[5];
    pthread_t threads[5];
    struct access who;
    char *code = NULL;
    size_t n = 0, in = 0;
    struct error err = {0};

    ASSERT_OK(
        access_invite(s, "Guests", "from the fair", clock_unix() + 3600, a, &inv, &code, &err));
    assert_true(str_starts(str_of(code), STR("inv-")));
    assert_int_equal(inv.used_at, 0);
    for (size_t i = 0; i < 5; i++) {
        g[i] = (struct guest){.store = s, .code = code};
        assert_int_equal(pthread_create(&threads[i], NULL, come_in, &g[i]), 0);
    }
    for (size_t i = 0; i < 5; i++) {
        pthread_join(threads[i], NULL);
        if (g[i].ok) {
            in++;
            ASSERT_OK(access_of_key(s, str_of(g[i].key), a, &who, &err));
            assert_string_equal(who.org_id, g[i].org.id);
            assert_string_equal(who.project_id, g[i].project.id);
            assert_string_equal(g[i].org.slug, "guests");
            assert_string_equal(g[i].project.org_id, g[i].org.id);
            assert_true((who.scopes & SCOPE_ADMIN) != 0);
        } else {
            assert_int_equal(g[i].err.kind, ERR_INVALID);
            assert_non_null(strstr(g[i].err.message, "used already"));
        }
    }
    assert_int_equal(in, 1);
    ASSERT_OK(access_invitations(s, a, &all, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(all[0].note, "from the fair");
    assert_string_equal(all[0].org_id, who.org_id);
    assert_true(all[0].used_at > 1700000000);
    assert_int_equal(number(s, "SELECT count(*) FROM orgs"), 1);
    for (size_t i = 0; i < 5; i++)
        arena_release(&g[i].a);

    ASSERT_FAILS(access_accept(s, STR("inv-wrong"), a, &g[0].org, &g[0].project, &code, &err),
                 ERR_NOT_FOUND, "no invitation");
    ASSERT_FAILS(access_accept(s, (struct str){0}, a, &g[0].org, &g[0].project, &code, &err),
                 ERR_NOT_FOUND, "no invitation");
    ASSERT_OK(access_invite(s, "Late", NULL, clock_unix() + 3600, a, &inv, &code, &err));
    number(s, "UPDATE invitations SET expires_at = 1000 WHERE name = 'Late' RETURNING 1");
    ASSERT_FAILS(access_accept(s, str_of(code), a, &g[0].org, &g[0].project, &code, &err),
                 ERR_INVALID, "this invitation is over");
    assert_int_equal(number(s, "SELECT count(*) FROM orgs"), 1);
    store_close(s);
}

static void the_audit_log_is_read_in_pages(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct audit_entry *page = NULL;
    size_t n = 0, seen = 0;
    int64_t last = 0;
    struct error err = {0};

    for (int i = 0; i < 10; i++) {
        const struct audit_entry e = {.at = 1000 + i,
                                      .org_id = i % 2 == 0 ? "org-a" : NULL,
                                      .action = "file.create",
                                      .target = i % 3 == 0 ? "file-1" : NULL,
                                      .outcome = "ok"};
        ASSERT_OK(audit_put(s, &e, &err));
    }
    do {
        ASSERT_OK(audit_list(s, NULL, last, 3, &d->arena, &page, &n, &err));
        for (size_t i = 0; i < n; i++) {
            assert_true(page[i].seq > last);
            last = page[i].seq;
            assert_int_equal(page[i].at, 1000 + (int64_t)seen);
            assert_int_equal(page[i].target == NULL, seen % 3 != 0);
            assert_string_equal(page[i].action, "file.create");
            assert_null(page[i].address);
            seen++;
        }
    } while (n > 0);
    assert_int_equal(seen, 10);
    ASSERT_OK(audit_list(s, "org-a", 0, 100, &d->arena, &page, &n, &err));
    assert_int_equal(n, 5);
    ASSERT_FAILS(audit_put(s, &(struct audit_entry){.outcome = "ok"}, &err), ERR_INVALID, "");
    store_close(s);
}

static size_t n_audited(struct test_database *d, struct store *s, struct audit_entry e)
{
    struct audit_entry *all = NULL;
    struct error err = {0};
    size_t n = 0;

    ASSERT_OK(audit_put(s, &e, &err));
    ASSERT_OK(audit_list(s, NULL, 0, 100, &d->arena, &all, &n, &err));
    return n;
}

static void a_refusal_is_written_once_an_hour(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct audit_entry e = {.at = 10000,
                            .org_id = "org-a",
                            .key_id = "key_1",
                            .action = "file.create",
                            .outcome = "insufficient_permissions"};

    assert_int_equal(n_audited(d, s, e), 1);
    e.at += 3599;
    e.target = "file-2";
    e.address = "10.0.0.2";
    assert_int_equal(n_audited(d, s, e), 1);
    e.at++;
    assert_int_equal(n_audited(d, s, e), 2);
    e.key_id = "key_2"; /* another's */
    assert_int_equal(n_audited(d, s, e), 3);
    e.action = "file.delete";
    assert_int_equal(n_audited(d, s, e), 4);
    e.outcome = "not_found";
    assert_int_equal(n_audited(d, s, e), 5);
    e.key_id = NULL;
    assert_int_equal(n_audited(d, s, e), 6);
    assert_int_equal(n_audited(d, s, e), 6);
    e.outcome = "ok"; /* what was done is told each time */
    assert_int_equal(n_audited(d, s, e), 7);
    assert_int_equal(n_audited(d, s, e), 8);
    store_close(s);
}

static void a_key_ends_and_changes(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct arena *a = &d->arena;
    struct error err = {0};
    char *first, *secret;
    struct api_key k, *all;
    struct access who;
    struct org *orgs;
    struct project *projects;
    size_t n;

    ASSERT_OK(access_begin(s, a, &first, &err));
    ASSERT_OK(access_orgs(s, a, &orgs, &n, &err));
    ASSERT_OK(access_projects(s, orgs[0].id, a, &projects, &n, &err));
    const char *project = projects[0].id;
    const struct new_key nk = {
        .project_id = project, .name = "k", .scopes = SCOPE_USE, .expires_at = clock_unix() + 1000};
    ASSERT_OK(access_new_key(s, &nk, a, &k, &secret, &err));
    ASSERT_OK(access_of_key(s, str_of(secret), a, &who, &err));
    assert_int_equal(who.scopes, SCOPE_USE);

    struct key_change to = {.scopes = SCOPE_TRAIN,
                            .requests_per_minute = 7,
                            .concurrent_requests = -1,
                            .expires_at = -1};
    ASSERT_OK(access_change_key(s, project, k.id, &to, &err));
    ASSERT_OK(access_of_key(s, str_of(secret), a, &who, &err));
    assert_int_equal(who.scopes, SCOPE_TRAIN | SCOPE_USE);
    assert_int_equal(who.requests_per_minute, 7);
    ASSERT_OK(access_org_keys(s, orgs[0].id, a, &all, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(all[1].name, "k");
    assert_int_equal(all[1].expires_at, nk.expires_at);
    ASSERT_FAILS(access_change_key(s, "proj_other", k.id, &to, &err), ERR_NOT_FOUND, "no key");
    to = (struct key_change){.name = "", .requests_per_minute = -1};
    ASSERT_FAILS(access_change_key(s, project, k.id, &to, &err), ERR_INVALID, "characters");

    to = (struct key_change){
        .requests_per_minute = -1, .concurrent_requests = -1, .expires_at = clock_unix()};
    ASSERT_OK(access_change_key(s, project, k.id, &to, &err));
    ASSERT_FAILS(access_of_key(s, str_of(secret), a, &who, &err), ERR_NOT_FOUND, "");
    ASSERT_OK(access_of_key(s, str_of(first), a, &who, &err));
    store_close(s);
}

static void keys_of_an_archived_project_are_none(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct arena *a = &d->arena;
    struct error err = {0};
    char *secret;
    struct api_key k;
    struct access who;
    struct project p;
    struct org org;

    ASSERT_OK(access_new_org(s, "O", a, &org, &err));
    ASSERT_OK(access_new_project(s, org.id, "P", a, &p, &err));
    const struct new_key nk = {.project_id = p.id, .name = "k", .scopes = SCOPE_USE};
    ASSERT_OK(access_new_key(s, &nk, a, &k, &secret, &err));
    struct project_change to = {.name = "Q", .quota_bytes = 5};
    ASSERT_OK(access_change_project(s, p.id, &to, &err));
    ASSERT_OK(access_project(s, p.id, a, &p, &err));
    assert_string_equal(p.name, "Q");
    assert_int_equal(p.quota_bytes, 5);
    assert_int_equal(p.archived_at, 0);
    ASSERT_OK(access_of_key(s, str_of(secret), a, &who, &err));
    to = (struct project_change){.quota_bytes = -1, .archive = true};
    ASSERT_OK(access_change_project(s, p.id, &to, &err));
    ASSERT_OK(access_project(s, p.id, a, &p, &err));
    assert_true(p.archived_at > 0);
    assert_int_equal(p.quota_bytes, 5);
    ASSERT_FAILS(access_of_key(s, str_of(secret), a, &who, &err), ERR_NOT_FOUND, "");
    ASSERT_FAILS(access_change_project(s, "proj_none", &to, &err), ERR_NOT_FOUND, "no project");
    store_close(s);
}

static void an_open_invitation_can_be_taken_back(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct arena *a = &d->arena;
    struct error err = {0};
    struct invitation i;
    struct project p;
    struct org org;
    char *code, *key;

    ASSERT_OK(access_invite(s, "A", NULL, clock_unix() + 100, a, &i, &code, &err));
    ASSERT_OK(access_uninvite(s, i.id, &err));
    ASSERT_FAILS(access_accept(s, str_of(code), a, &org, &p, &key, &err), ERR_NOT_FOUND,
                 "no invitation");
    ASSERT_FAILS(access_uninvite(s, i.id, &err), ERR_NOT_FOUND, "no invitation");
    ASSERT_OK(access_invite(s, "B", NULL, clock_unix() + 100, a, &i, &code, &err));
    ASSERT_OK(access_accept(s, str_of(code), a, &org, &p, &key, &err));
    ASSERT_FAILS(access_uninvite(s, i.id, &err), ERR_INVALID, "was used");
    store_close(s);
}

static size_t n_found(struct store *s, struct audit_filter f, struct arena *a, int64_t *first)
{
    struct audit_entry *all;
    struct error err = {0};
    size_t n;

    f.org_id = "org-a";
    f.actions = f.actions != NULL ? f.actions : "";
    f.projects = f.projects != NULL ? f.projects : "";
    f.keys = f.keys != NULL ? f.keys : "";
    f.targets = f.targets != NULL ? f.targets : "";
    f.to = f.to != 0 ? f.to : INT64_MAX;
    f.before = f.before != 0 ? f.before : INT64_MAX;
    ASSERT_OK(audit_find(s, &f, 100, a, &all, &n, &err));
    *first = n > 0 ? all[0].at : 0;
    return n;
}

static void the_audit_log_is_searched(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct arena *a = &d->arena;
    struct error err = {0};
    struct audit_entry *all;
    int64_t first;
    size_t n;

    for (int64_t i = 0; i < 6; i++) {
        const struct audit_entry e = {.at = 100 + i,
                                      .org_id = i == 5 ? "org-b" : "org-a",
                                      .project_id = i % 2 == 0 ? "proj_even" : NULL,
                                      .action = i < 2 ? "file.create" : "file.delete",
                                      .target = i == 3 ? "file-x" : NULL,
                                      .outcome = "ok"};
        ASSERT_OK(audit_put(s, &e, &err));
    }
    assert_int_equal(n_found(s, (struct audit_filter){0}, a, &first), 5);
    assert_int_equal(first, 104); /* the newest first */
    assert_int_equal(n_found(s, (struct audit_filter){.actions = "file.create"}, a, &first), 2);
    assert_int_equal(
        n_found(s, (struct audit_filter){.actions = "x,file.delete,file.create"}, a, &first), 5);
    assert_int_equal(n_found(s, (struct audit_filter){.actions = "file"}, a, &first), 0);
    assert_int_equal(n_found(s, (struct audit_filter){.projects = "proj_even"}, a, &first), 3);
    assert_int_equal(n_found(s, (struct audit_filter){.targets = "file-x,file-y"}, a, &first), 1);
    assert_int_equal(n_found(s, (struct audit_filter){.keys = "key_x"}, a, &first), 0);
    assert_int_equal(n_found(s, (struct audit_filter){.from = 101, .to = 102}, a, &first), 2);
    ASSERT_OK(audit_list(s, "org-a", 0, 100, a, &all, &n, &err));
    assert_int_equal(n_found(s, (struct audit_filter){.before = all[3].seq}, a, &first), 3);
    assert_int_equal(n_found(s, (struct audit_filter){.after = all[3].seq}, a, &first), 1);
    store_close(s);
}

static void scopes_have_names(void **state)
{
    const char *names[3];

    (void)state;
    assert_int_equal(access_scope(STR("train")), SCOPE_TRAIN);
    assert_int_equal(access_scope(STR("Train")), 0);
    assert_int_equal(access_scope((struct str){"", 0}), 0);
    assert_int_equal(access_scope_names(SCOPE_USE | SCOPE_ADMIN, names), 2);
    assert_string_equal(names[0], "use");
    assert_string_equal(names[1], "admin");
}

static void rows_are_dated_by_the_clock_that_all_servers_share(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_store(d);
    struct arena *a = &d->arena;
    const int64_t day = 86400, right = clock_unix();
    struct access who;
    struct org org;
    struct project project;
    struct api_key key, *keys = NULL;
    struct invitation invitation;
    char *first = NULL, *secret = NULL, *code = NULL;
    size_t n = 0;
    struct error err = {0};

    wrong_by = (time_t)(40 * day);
    const int64_t now = d->on_postgres ? right : clock_unix(); /* SQLite has no clock of its own */
    int64_t told = 0;
    ASSERT_OK(store_now(s, &told, &err));
    assert_in_range(told, now, now + 600);
    ASSERT_OK(access_begin(s, a, &first, &err));
    ASSERT_OK(access_new_org(s, "Bank", a, &org, &err));
    assert_in_range(org.created_at, now, now + 600);
    ASSERT_OK(access_new_project(s, org.id, "Cards", a, &project, &err));
    assert_in_range(project.created_at, now, now + 600);
    const struct new_key k = {
        .project_id = project.id, .name = "a day", .scopes = SCOPE_USE, .expires_at = now + day};
    ASSERT_OK(access_new_key(s, &k, a, &key, &secret, &err));
    assert_in_range(key.created_at, now, now + 600);
    ASSERT_OK(access_of_key(s, str_of(secret), a, &who, &err)); /* it has a day left */
    ASSERT_OK(access_invite(s, "Guests", NULL, now + day, a, &invitation, &code, &err));
    assert_in_range(invitation.created_at, now, now + 600);
    ASSERT_FAILS(access_invite(s, "Guests", NULL, now, a, &invitation, &code, &err), ERR_INVALID,
                 "over already");
    ASSERT_OK(access_accept(s, str_of(code), a, &org, &project, &first, &err));
    assert_in_range(org.created_at, now, now + 600);
    assert_in_range(project.created_at, now, now + 600);
    assert_in_range(number(s, "SELECT MAX(used_at) FROM invitations"), now, now + 600);
    assert_in_range(number(s, "SELECT MIN(created_at) FROM api_keys"), now, now + 600);
    assert_in_range(number(s, "SELECT MAX(created_at) FROM api_keys"), now, now + 600);
    ASSERT_OK(access_revoke_key(s, key.project_id, key.id, &err));
    ASSERT_OK(access_keys(s, key.project_id, a, &keys, &n, &err));
    assert_in_range(keys[0].revoked_at, now, now + 600);
    const struct project_change change = {.quota_bytes = -1, .archive = true};
    ASSERT_OK(access_change_project(s, project.id, &change, &err));
    ASSERT_OK(access_project(s, project.id, a, &project, &err));
    assert_in_range(project.archived_at, now, now + 600);
    const struct audit_entry e = {.action = "key.create", .outcome = "ok"};
    ASSERT_OK(audit_put(s, &e, &err));
    assert_in_range(number(s, "SELECT MAX(at) FROM audit"), now, now + 600);
    store_close(s); /* writes when keys were used */
    s = open_store(d);
    assert_in_range(number(s, "SELECT MAX(last_used_at) FROM api_keys"), now, now + 600);
    wrong_by = 0;
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(the_first_start_makes_a_key_once),
        ON_BOTH(several_first_starts_at_once_make_one_key),
        ON_BOTH(keys_are_found_until_they_are_revoked),
        ON_BOTH(what_is_no_key_is_not_found),
        ON_BOTH(of_a_key_its_hash_alone_is_kept),
        ON_BOTH(the_last_use_is_written_at_most_once_a_minute),
        ON_BOTH(slugs_are_of_the_name_and_unique),
        ON_BOTH(what_is_asked_for_wrongly_is_refused),
        ON_BOTH(projects_have_quotas),
        ON_BOTH(an_invitation_is_good_once),
        ON_BOTH(the_audit_log_is_read_in_pages),
        ON_BOTH(a_refusal_is_written_once_an_hour),
        ON_BOTH(the_audit_log_is_searched),
        ON_BOTH(a_key_ends_and_changes),
        ON_BOTH(keys_of_an_archived_project_are_none),
        ON_BOTH(an_open_invitation_can_be_taken_back),
        ON_BOTH(rows_are_dated_by_the_clock_that_all_servers_share),
        cmocka_unit_test(scopes_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
