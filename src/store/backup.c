/*
 * backup.c - a live store into a folder of its own, without stopping anybody.
 *
 * Rows are copied as of one moment; what they name must then be in the copy. Bytes of files and checkpoints never change once
 * they are in their place, so they are linked, or copied where the backup is on another disk: before the rows, for what is
 * deleted soon after, and behind them, for what came in between. A file that no row names may so be there; the next start sweeps
 * it away. The rest of a run's folder only grows, and a worker that resumes cuts it back to its checkpoint: it is copied last,
 * by whole lines.
 *
 *     DIR/hone.db, DIR/files/ID, DIR/runs/ID/...      made as DIR.part, renamed when all is on the disk
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "store/rows_internal.h"
#include "store/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUIET 0.2    /* seconds since a checkpoint's folder last changed: nobody is removing it */
#define PATIENCE 100 /* times half of that */

/* One entry of a folder; st is of lstat. */
typedef bool entry_fn(void *ctx, const char *name, const char *from, const char *to,
                      const struct stat *st, struct error *err);

/* What vanishes meanwhile was deleted, and is no failure. */
static bool each_entry(const char *from, const char *to, entry_fn *fn, void *ctx, struct error *err)
{
    struct arena a = {0};
    DIR *d = opendir(from);
    bool ok = true;

    if (d == NULL)
        return errno == ENOENT || fail_errno(err, "cannot read the folder %s", from);
    for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            strstr(e->d_name, ".part") != NULL) /* not in its place yet */
            continue;
        const char *path = file_join(&a, from, e->d_name);
        if (lstat(path, &st) == 0)
            ok = fn(ctx, e->d_name, path, file_join(&a, to, e->d_name), &st, err);
        else if (errno != ENOENT)
            ok = fail_errno(err, "cannot look at %s", path);
        arena_reset(&a);
    }
    closedir(d);
    arena_release(&a);
    return ok;
}

/* Its name, as those of the files in it, is synced with all of the file system (sync_all). */
static bool make_folder(const char *path, struct error *err)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ||
           fail_errno(err, "cannot make the folder %s", path);
}

/* ---- bytes ---- */

static bool write_all(int fd, const char *bytes, size_t n, const char *path, struct error *err)
{
    while (n > 0) {
        const ssize_t k = write(fd, bytes, n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return fail_errno(err, "cannot write %s", path);
        bytes += k;
        n -= (size_t)k;
    }
    return true;
}

/* Up to the last line's end, where by_lines; nothing of a line that is still being written. */
static bool copy_bytes(int in, int out, bool by_lines, const char *from, const char *to,
                       struct error *err)
{
    char piece[1 << 16];
    off_t len = 0, whole = 0;

    for (;;) {
        const ssize_t n = read(in, piece, sizeof piece);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, "cannot read %s", from);
        if (n == 0)
            break;
        if (!write_all(out, piece, (size_t)n, to, err))
            return false;
        const char *end = memrchr(piece, '\n', (size_t)n);
        if (end != NULL)
            whole = len + (end - piece) + 1;
        len += n;
    }
    return !by_lines || whole == len || ftruncate(out, whole) == 0 ||
           fail_errno(err, "cannot shorten %s", to);
}

static bool copy_file(const char *from, const char *to, bool by_lines, struct error *err)
{
    const int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (in < 0)
        return errno == ENOENT || fail_errno(err, "cannot open %s", from);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0) {
        fail_errno(err, "cannot create %s", to);
        close(in);
        return false;
    }
    bool ok = copy_bytes(in, out, by_lines, from, to, err);
    close(in);
    if (close(out) != 0 && ok)
        ok = fail_errno(err, "cannot write %s", to);
    return ok;
}

/* What does not change any more. */
static bool link_file(const char *from, const char *to, struct error *err)
{
    if (link(from, to) == 0 || errno == EEXIST || errno == ENOENT)
        return true;
    if (errno == EXDEV || errno == EPERM || errno == EMLINK || errno == EOPNOTSUPP)
        return copy_file(from, to, false, err);
    return fail_errno(err, "cannot link %s to %s", to, from);
}

/* ---- what never changes ---- */

static bool link_entry(void *ctx, const char *name, const char *from, const char *to,
                       const struct stat *st, struct error *err)
{
    (void)ctx;
    (void)name;
    if (S_ISREG(st->st_mode))
        return link_file(from, to, err);
    return !S_ISDIR(st->st_mode) ||
           (make_folder(to, err) && each_entry(from, to, link_entry, NULL, err));
}

static bool link_stored_file(void *ctx, const char *name, const char *from, const char *to,
                             const struct stat *st, struct error *err)
{
    (void)ctx;
    (void)name;
    return !S_ISREG(st->st_mode) || link_file(from, to, err); /* folders: what comes in */
}

static double seconds_since(const struct timespec *t)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* the clock of the file system's times */
    return (double)(now.tv_sec - t->tv_sec) + 1e-9 * (double)(now.tv_nsec - t->tv_nsec);
}

/* A checkpoint, whole or not at all: its folder is there as it was, and has been left alone for a while. */
static bool link_checkpoint(void *ctx, const char *name, const char *from, const char *to,
                            const struct stat *st, struct error *err)
{
    struct arena a = {0};
    const char *part = arena_printf(&a, "%s.part", to);
    struct stat before = *st, after;
    bool ok = true, done = !S_ISDIR(st->st_mode) || file_exists(to);

    (void)ctx;
    (void)name;
    for (int i = 0; ok && !done; i++) {
        ok = make_folder(part, err) && each_entry(from, part, link_entry, NULL, err);
        if (!ok)
            break;
        if (stat(from, &after) != 0) {
            done = true; /* it was removed: whoever needs it no more, neither do we */
        } else if (after.st_mtim.tv_sec == before.st_mtim.tv_sec &&
                   after.st_mtim.tv_nsec == before.st_mtim.tv_nsec &&
                   seconds_since(&after.st_mtim) > QUIET) {
            ok = rename(part, to) == 0 || fail_errno(err, "cannot put %s in its place", to);
            done = true;
        } else if (i == PATIENCE) {
            ok = fail(err, ERR_TIMEOUT, "%s changes all the time", from);
        } else {
            before = after;
            clock_sleep_until(clock_seconds() + QUIET / 2);
        }
        if (file_exists(part))
            ok = file_remove_tree(part, err) && ok;
    }
    arena_release(&a);
    return ok;
}

static bool link_run(void *ctx, const char *name, const char *from, const char *to,
                     const struct stat *st, struct error *err)
{
    struct arena a = {0};
    const char *inner = file_join(&a, from, "checkpoints");
    const char *copy = file_join(&a, to, "checkpoints");

    (void)ctx;
    (void)name;
    const bool ok = !S_ISDIR(st->st_mode) || !file_is_dir(inner) ||
                    (make_folder(to, err) && make_folder(copy, err) &&
                     each_entry(inner, copy, link_checkpoint, NULL, err));
    arena_release(&a);
    return ok;
}

/* ---- what grows ---- */

static bool ends_with(const char *name, const char *end)
{
    return str_ends(str_of(name), str_of(end));
}

static bool copy_entry(void *ctx, const char *name, const char *from, const char *to,
                       const struct stat *st, struct error *err)
{
    const bool in_run = ctx != NULL;

    if (S_ISDIR(st->st_mode))
        return (in_run && strcmp(name, "checkpoints") == 0) ||
               (make_folder(to, err) && each_entry(from, to, copy_entry, NULL, err));
    return !S_ISREG(st->st_mode) ||
           copy_file(from, to, ends_with(name, ".jsonl") || ends_with(name, ".csv"), err);
}

static bool copy_run(void *ctx, const char *name, const char *from, const char *to,
                     const struct stat *st, struct error *err)
{
    bool in_run = true;

    (void)ctx;
    (void)name;
    return !S_ISDIR(st->st_mode) ||
           (make_folder(to, err) && each_entry(from, to, copy_entry, &in_run, err));
}

/* ---- all of it ---- */

static bool sync_all(const char *dir, struct error *err)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && syncfs(fd) == 0;

    if (!ok)
        fail_errno(err, "cannot write %s to the disk", dir);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool fill(struct store *s, const char *part, struct arena *a, struct error *err)
{
    const char *files = file_join(a, store_home(s), "files"),
               *to_files = file_join(a, part, "files");
    const char *runs = file_join(a, store_home(s), "runs"), *to_runs = file_join(a, part, "runs");

    return make_folder(to_files, err) && make_folder(to_runs, err) &&
           copy_file(file_join(a, store_home(s), STORE_ID_FILE), file_join(a, part, STORE_ID_FILE),
                     false, err) &&
           each_entry(files, to_files, link_stored_file, NULL, err) &&
           each_entry(runs, to_runs, link_run, NULL, err) &&
           db_copy(store_db(s), file_join(a, part, "hone.db"), err) &&
           each_entry(files, to_files, link_stored_file, NULL, err) &&
           each_entry(runs, to_runs, link_run, NULL, err) &&
           each_entry(runs, to_runs, copy_run, NULL, err) && sync_all(part, err);
}

bool store_backup(struct store *s, const char *dir, struct error *err)
{
    struct arena a = {0};
    struct str place = str_of(dir);
    bool ok = true;

    while (place.len > 1 && place.ptr[place.len - 1] == '/')
        place.len--;
    const char *to = arena_text(&a, place), *part = arena_printf(&a, "%s.part", to);
    if (file_exists(to) || file_exists(part))
        ok = fail(err, ERR_INVALID, "%s is there already; a backup goes into a new folder",
                  file_exists(to) ? to : part);
    else if (db_pool_dialect(store_db(s)) != DB_SQLITE)
        ok = fail(err, ERR_UNSUPPORTED,
                  "the rows are in PostgreSQL (%s): copy them with pg_dump, and behind that the "
                  "folders files and runs of %s",
                  db_pool_place(store_db(s)), store_home(s));
    if (ok) {
        struct error ignored = {0};

        ok = make_folder(part, err) && fill(s, part, &a, err) && file_rename(part, to, err);
        if (!ok) {
            (void)!file_remove_tree(part, &ignored);
            fail_while(err, "making the backup %s", to);
        }
    }
    arena_release(&a);
    return ok;
}

/* ---- and back ---- */

static bool nothing_else(const char *home, struct error *err)
{
    static const char *const kept[] = {"models", "graders", "hone.conf", "lost+found", ".", ".."};
    DIR *d = opendir(home);
    bool ok = true;

    if (d == NULL)
        return errno == ENOENT || fail_errno(err, "cannot read the folder %s", home);
    for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
        bool known = false;

        for (size_t i = 0; i < COUNT_OF(kept); i++)
            known = known || strcmp(e->d_name, kept[i]) == 0;
        ok = known || fail(err, ERR_INVALID,
                           "%s is not empty: there is %.100s in it, and a backup goes into a new "
                           "home (models, graders and hone.conf may be there)",
                           home, e->d_name);
    }
    closedir(d);
    return ok;
}

/*
 * Names that become paths; here they are the store's own: letters, digits, '-' and '_'. GLOB sees nothing in a blob, which is read as
 * a text all the same.
 */
static const struct {
    const char *what, *count; /* of those that are something else */
} names[] = {
#define NOT_NAMED(column, table)                                                                   \
    {                                                                                              \
        table "." column, "SELECT count(*) FROM " table " WHERE " column " = '' OR typeof(" column \
                          ") = 'blob' OR " column " GLOB '*[^A-Za-z0-9_-]*'"                       \
    }
    NOT_NAMED("id", "files"),     NOT_NAMED("id", "uploads"),      NOT_NAMED("id", "upload_parts"),
    NOT_NAMED("run_dir", "jobs"), NOT_NAMED("dir", "checkpoints"),
#undef NOT_NAMED
};

/*
 * What could give other rows when they are read again: views, tables of a module's, triggers, and an index that says other than its
 * table. This program makes none of them.
 */
static bool check_tables(struct db *db, const char *dir, struct error *err)
{
    int64_t strange = 0, damaged = 0;

    if (!rows_int(db,
                  "SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index') "
                  "OR rootpage IS NULL OR rootpage < 1",
                  NULL, 0, &strange, NULL, err) ||
        !rows_int(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
                  NULL, 0, &damaged, NULL, err))
        return fail_while(err, "reading the rows of %s", dir);
    if (strange > 0)
        return fail(err, ERR_CORRUPT,
                    "%s is no backup: its rows come with views, triggers or tables of another "
                    "kind, which this program never makes",
                    dir);
    return damaged == 0 ||
           fail(err, ERR_CORRUPT,
                "the rows of %s are damaged: SQLite's integrity_check of its hone.db tells where; "
                "take another backup",
                dir);
}

static bool check_copy(struct db *db, void *ctx, struct error *err)
{
    const char *dir = ctx;

    if (!check_tables(db, dir, err))
        return false;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        int64_t n = 0;

        if (!rows_int(db, names[i].count, NULL, 0, &n, NULL, err))
            return fail_while(err, "reading the rows of %s", dir);
        if (n > 0)
            return fail(
                err, ERR_CORRUPT,
                "%s is no backup: %s in its rows has a name that this program never gives "
                "(letters, digits, - and _ were expected), and a file or folder is named by it",
                dir, names[i].what);
    }
    return true;
}

/* The copied rows can be read, and lead nowhere out of the home. */
static bool check_rows(const char *dir, const char *rows, struct arena *a, struct error *err)
{
    const struct db_options opt = {.n_connections = 1};
    struct db_pool *db = NULL;
    const bool ok = db_pool_open(arena_printf(a, "sqlite:%s", rows), &opt, &db, err) &&
                    db_read(db, check_copy, (void *)(uintptr_t)dir, err);

    db_pool_close(db);
    return ok;
}

static bool refill(const char *dir, const char *home, struct arena *a, struct error *err)
{
    const char *rows = file_join(a, home, "hone.db"), *part = arena_printf(a, "%s.part", rows);
    const char *files = file_join(a, home, "files"), *runs = file_join(a, home, "runs");

    /* the rows last: a home without them is none */
    return file_make_dirs(home, err) && make_folder(files, err) && make_folder(runs, err) &&
           copy_file(file_join(a, dir, STORE_ID_FILE), file_join(a, home, STORE_ID_FILE), false,
                     err) &&
           each_entry(file_join(a, dir, "files"), files, copy_entry, NULL, err) &&
           each_entry(file_join(a, dir, "runs"), runs, copy_entry, NULL, err) &&
           copy_file(file_join(a, dir, "hone.db"), part, false, err) &&
           check_rows(dir, part, a, err) && sync_all(home, err) && file_rename(part, rows, err);
}

/* A backup comes from elsewhere: a link in the place of a folder would fill the home with whatever it leads to. */
static bool is_backup(const char *dir, struct arena *a, struct error *err)
{
    static const struct {
        const char *name, *kind;
        mode_t is;
    } parts[] = {
        {"hone.db", "file", S_IFREG}, {"files", "folder", S_IFDIR}, {"runs", "folder", S_IFDIR}};
    struct stat st;

    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        const char *path = file_join(a, dir, parts[i].name);

        if (lstat(path, &st) == 0 && (st.st_mode & S_IFMT) != parts[i].is)
            return fail(err, ERR_INVALID, "%s is no backup: %s in it is no %s of its own", dir,
                        parts[i].name, parts[i].kind);
    }
    return true;
}

bool store_restore(const char *dir, const char *home, struct error *err)
{
    struct arena a = {0};
    bool ok = (file_exists(file_join(&a, dir, "hone.db")) ||
               fail(err, ERR_NOT_FOUND, "%s is no backup: there is no hone.db in it", dir)) &&
              is_backup(dir, &a, err) && nothing_else(home, err);

    if (ok && !refill(dir, home, &a, err))
        ok = fail_while(err, "restoring %s into %s", dir, home);
    arena_release(&a);
    return ok;
}
