/*
 * identity.c - whether a home and a database belong together. What a home's sweeper does not find in the database it removes, so a
 * home beside the wrong database, or beside an empty one, would lose its files: no store opens like that.
 *
 *     HOME/store.id    one line, "store-..."      written when the home is opened for the first time, never again
 *     table identity   one row, the same          so several servers, and a backup in another home, agree
 *
 * Where one of them has no name yet (a new store; one that is older than names; rows restored without their home), the files decide:
 * a home that has some of which the database knows none is not its home.
 */
#include "base/file.h"
#include "base/size.h"
#include "store/rows_internal.h"
#include "store/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_ID_BYTES 128 /* of the file */

struct identity {
    struct store *store;
    struct arena *a;
    const char *path; /* HOME/store.id */
    const char *of_home, *of_rows;
    const char *fresh; /* what a new store is called */
    const char *file;  /* looked for in the database */
    bool knows;
};

static void id_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(const char **)item = db_row_text(row, 0, a);
}

static bool read_rows(struct db *db, void *ctx, struct error *err)
{
    struct identity *i = ctx;
    bool found;

    return rows_one(db, "SELECT id FROM identity", NULL, 0, id_fill, i->a, &i->of_rows, &found,
                    err);
}

/* Of servers that open a new store at once, one names it. */
static bool name_rows(struct db *db, void *ctx, struct error *err)
{
    struct identity *i = ctx;
    const struct db_value params[] = {db_text(i->of_home != NULL ? i->of_home : i->fresh)};

    return db_run(db, "INSERT INTO identity (one, id) VALUES (1, ?1) ON CONFLICT DO NOTHING",
                  params, COUNT_OF(params), NULL, NULL, NULL, err) &&
           read_rows(db, i, err);
}

static bool read_home(struct identity *i, struct error *err)
{
    struct str text;

    if (!file_exists(i->path))
        return true;
    if (!file_read(i->path, MAX_ID_BYTES, i->a, &text, err))
        return fail_while(err, "reading which store this home is of");
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    if (!store_id_is(text, "store-"))
        return fail(err, ERR_CORRUPT,
                    "%s is to hold the name of the store, \"store-...\", and holds %zu bytes that "
                    "are none: take it from a backup, or remove it",
                    i->path, text.len);
    i->of_home = arena_text(i->a, text);
    return true;
}

/* Whole or not there; of two that write it one does. */
static bool name_home(const struct identity *i, struct error *err)
{
    const char *part = arena_printf(i->a, "%s.%s", i->path, store_new_id("", i->a));
    const char *line = arena_printf(i->a, "%s\n", i->of_rows);

    if (!file_put(part, str_of(line), err))
        return fail_while(err, "naming the home");
    bool ok = link(part, i->path) == 0 || errno == EEXIST;
    if (!ok && (errno == EPERM || errno == EOPNOTSUPP)) /* a file system without links */
        ok = rename(part, i->path) == 0;
    if (!ok)
        fail_errno(err, "cannot write %s", i->path);
    unlink(part);
    return ok && file_sync_name(i->path, err);
}

static bool look_for_file(struct db *db, void *ctx, struct error *err)
{
    struct identity *i = ctx;
    const struct db_value params[] = {db_text(i->file)};
    int64_t n = 0;

    if (!rows_int(db, "SELECT count(*) FROM files WHERE id = ?1", params, 1, &n, NULL, err))
        return false;
    i->knows = n > 0;
    return true;
}

/* Whether the home has files, n of them, and the database knows none. */
static bool is_a_stranger(struct identity *i, size_t *n, struct error *err)
{
    const char *dir = file_join(i->a, store_home(i->store), "files");
    DIR *d = opendir(dir);
    const struct dirent *e;
    bool ok = true;

    *n = 0;
    i->knows = false;
    if (d == NULL)
        return fail_errno(err, "cannot open %s", dir);
    while (ok && !i->knows && (e = readdir(d)) != NULL)
        if (store_id_is(str_of(e->d_name), "file-")) {
            i->file = e->d_name;
            ok = db_read(store_db(i->store), look_for_file, i, err);
            (*n)++;
        }
    closedir(d);
    if (i->knows)
        *n = 0;
    return ok;
}

static bool fail_strangers(const struct identity *i, size_t n, struct error *err)
{
    const char *home = store_home(i->store), *place = db_pool_place(store_db(i->store));

    if (i->of_home != NULL)
        return fail(err, ERR_INVALID,
                    "%.120s is the home of the store %s (store.id), and the database %.120s is of "
                    "no store yet: give the database of this home (--database), or another home; "
                    "to begin a new store here, move files/ away and remove store.id",
                    home, i->of_home, place);
    return fail(err, ERR_INVALID,
                "%.120s has files (%zu looked at), and the database %.120s knows none of them: "
                "give the database of this home (--database) or another home, or move files/ away; "
                "if they do belong together, write %s into store.id there",
                home, n, place, i->of_rows != NULL ? i->of_rows : "a name like store-1");
}

static bool agree(struct identity *i, struct error *err)
{
    size_t n = 0;

    if (!read_home(i, err) || !db_read(store_db(i->store), read_rows, i, err))
        return false;
    if (i->of_home == NULL || i->of_rows == NULL) {
        if (!is_a_stranger(i, &n, err))
            return false;
        if (n > 0 || (i->of_home != NULL && !i->knows))
            return fail_strangers(i, n, err);
        if ((i->of_rows == NULL && !db_write(store_db(i->store), name_rows, i, err)) ||
            (i->of_home == NULL && (!name_home(i, err) || !read_home(i, err))))
            return false;
    }
    return (i->of_home != NULL && i->of_rows != NULL && strcmp(i->of_home, i->of_rows) == 0) ||
           fail(err, ERR_INVALID,
                "%.120s is the home of the store %s (store.id), and the database %.120s is of the "
                "store %s: give the database of this home (--database), or the home of this "
                "database (--home)",
                store_home(i->store), i->of_home, db_pool_place(store_db(i->store)), i->of_rows);
}

bool store_identify(struct store *s, struct error *err)
{
    struct arena a = {0};
    struct identity i = {.store = s,
                         .a = &a,
                         .path = file_join(&a, store_home(s), STORE_ID_FILE),
                         .fresh = store_new_id("store-", &a)};
    const bool ok = agree(&i, err);

    arena_release(&a);
    return ok;
}
