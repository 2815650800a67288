/*
 * files.c - files: bytes to the disk first, then the row.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/size.h"
#include "store/files_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nettle/md5.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEFT_SECONDS                                                                               \
    3600 /* bytes without a row for so long belong to nobody who is still writing */

/* ---- bytes ---- */

static char *files_dir(const struct store *s, const char *name, struct arena *a)
{
    return arena_printf(a, "%s/files%s%s", store_home(s), name[0] != '\0' ? "/" : "", name);
}

char *files_path(const struct store *s, const char *id, struct arena *a)
{
    return files_dir(s, id, a);
}

bool files_incoming(struct store *s, struct arena *a, char **path, struct error *err)
{
    char *dir = files_dir(s, "incoming", a);
    char *to = file_join(a, dir, store_new_id("in-", a));

    if (!file_make_dirs(dir, err))
        return false;

    const int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_errno(err, "cannot create %s", to);
    close(fd);
    *path = to;
    return true;
}

static void hex_of(const uint8_t *bytes, size_t n, char *hex)
{
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

bool file_measure(const char *path, struct file_sums *out, struct error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct sha256_ctx sha256;
    struct md5_ctx md5;
    struct file_sums sums = {0};
    uint8_t piece[65536], digest[MD5_DIGEST_SIZE];
    bool ok = true, at_end = false;

    if (fd < 0)
        return fail_errno(err, "cannot open %s", path);
    sha256_init(&sha256);
    md5_init(&md5);
    while (ok && !at_end) {
        const ssize_t n = read(fd, piece, sizeof piece);

        if (n < 0 && errno != EINTR)
            ok = fail_errno(err, "cannot read %s", path);
        at_end = n == 0;
        if (n > 0) {
            sha256_update(&sha256, (size_t)n, piece);
            md5_update(&md5, (size_t)n, piece);
            sums.bytes += n;
        }
    }
    close(fd);
    if (!ok)
        return false;

    const struct sha256_text text = sha256_finish(&sha256);

    memcpy(sums.sha256, text.hex, sizeof text.hex);
    md5_digest(&md5, sizeof digest, digest);
    hex_of(digest, sizeof digest, sums.md5);
    *out = sums;
    return true;
}

static bool sync_bytes(const char *path, struct error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return fail_errno(err, "cannot open %s", path);
    const bool ok = fchmod(fd, 0600) == 0 && fsync(fd) == 0;
    if (!ok)
        fail_errno(err, "cannot write %s", path);
    close(fd);
    return ok;
}

bool file_settle(const char *from, const char *to, struct error *err)
{
    return sync_bytes(from, err) && file_rename(from, to, err);
}

/* ---- rows ---- */

void file_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct stored_file *)item = (struct stored_file){
        .seq = db_row_int(row, 0),
        .id = db_row_text(row, 1, a),
        .project_id = db_row_text(row, 2, a),
        .filename = db_row_text(row, 3, a),
        .purpose = db_row_text(row, 4, a),
        .status = db_row_text(row, 5, a),
        .sha256 = db_row_text(row, 6, a),
        .bytes = db_row_int(row, 7),
        .created_at = db_row_int(row, 8),
        .expires_at = db_row_int(row, 9),
    };
}

bool quota_read(struct db *db, const char *project_id, bool lock, const char *upload,
                struct store_room *out, struct error *err)
{
#define QUOTA "SELECT quota_bytes FROM projects WHERE id = ?1"
    const struct db_value of_project[] = {db_text(project_id)};
    const struct db_value of_uploads[] = {db_text(project_id),
                                          db_text(upload != NULL ? upload : "")};
    struct store_room r = {0};
    bool found = false;

    if (!rows_int(db, lock ? FOR_UPDATE(db, QUOTA) : QUOTA, of_project, COUNT_OF(of_project),
                  &r.quota, &found, err))
        return false;
    if (!found)
        return fail_no_such(err, "project", str_of(project_id));
    if (r.quota > 0 &&
        (!rows_int(
             db, "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM files WHERE project_id = ?1",
             of_project, COUNT_OF(of_project), &r.files, NULL, err) ||
         !rows_int(db,
                   "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM uploads "
                   "WHERE project_id = ?1 AND status = 'pending' AND id <> ?2",
                   of_uploads, COUNT_OF(of_uploads), &r.uploads, NULL, err)))
        return false;
    *out = r;
    return true;
}

bool quota_check(struct db *db, const char *project_id, bool lock, int64_t extra,
                 const char *upload, struct error *err)
{
    struct store_room r;

    return quota_read(db, project_id, lock, upload, &r, err) && store_room_fits(&r, extra, err);
}

static bool file_by_id(struct db *db, const char *project_id, struct str id, struct arena *a,
                       struct stored_file *out, bool *found, struct error *err)
{
    const struct db_value params[] = {db_str(id), db_text(project_id)};

    return rows_one(db,
                    "SELECT " FILE_COLUMNS " FROM files t WHERE t.id = ?1 AND "
                    "(CAST(?2 AS TEXT) IS NULL OR t.project_id = ?2)",
                    params, COUNT_OF(params), file_fill, a, out, found, err);
}

/* What a job made is there: that its owner filled the quota meanwhile must not make the job fail. It counts, as the rest does. */
static bool fits_quota(struct db *db, const struct stored_file *f, bool lock, const char *upload,
                       struct error *err)
{
    return strcmp(f->purpose, "fine-tune-results") == 0 ||
           quota_check(db, f->project_id, lock, f->bytes, upload, err);
}

bool files_put(struct db *db, struct stored_file *f, const char *upload, struct arena *a,
               bool *added, struct error *err)
{
    bool found = false;
    int64_t now;

    if (!file_by_id(db, f->project_id, str_of(f->id), a, f, &found, err))
        return false;
    if (found) {
        *added = false;
        return true;
    }
    if (!rows_now(db, &now, err) || !fits_quota(db, f, true, upload, err))
        return false;
    if (f->created_at == 0)
        f->created_at = now;

    const struct db_value params[] = {
        db_text(f->id),      db_text(f->project_id), db_text(f->filename),
        db_text(f->purpose), db_text(f->status),     db_text(f->sha256),
        db_int(f->bytes),    db_int(f->created_at),  db_int(f->expires_at)};

    *added = true;
    return rows_int(db,
                    "INSERT INTO files (id, project_id, filename, purpose, status, sha256, bytes, "
                    "created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) "
                    "RETURNING seq",
                    params, COUNT_OF(params), &f->seq, NULL, err);
}

struct adding {
    struct stored_file f;
    struct arena *a;
    bool added;
};

static bool add_row(struct db *db, void *ctx, struct error *err)
{
    struct adding *add = ctx;
    struct stored_file f = add->f; /* it may be done again */

    if (!files_put(db, &f, NULL, add->a, &add->added, err))
        return false;
    add->f = f;
    return true;
}

static bool look_for_room(struct db *db, void *ctx, struct error *err)
{
    const struct adding *add = ctx;

    return fits_quota(db, &add->f, false, NULL, err);
}

static bool file_is_valid(const struct stored_file *f, struct error *err)
{
    if (f->id != NULL && !store_id_is(str_of(f->id), "file-"))
        return fail(err, ERR_INVALID, "\"%.80s\" is no id of a file: they begin with \"file-\"",
                    text_is_sane(str_of(f->id), 256) ? f->id : "?");
    if (f->filename == NULL || !text_is_sane(str_of(f->filename), 1024))
        return fail_param(err, ERR_INVALID, "file",
                          "the name of the file is missing, longer than 1024 bytes or not UTF-8");
    if (f->purpose == NULL || !text_is_sane(str_of(f->purpose), 64))
        return fail_param(err, ERR_INVALID, "purpose",
                          "the purpose of the file is missing, longer than 64 bytes or not UTF-8");
    return true;
}

static bool read_file(struct db *db, void *ctx, struct error *err);
struct getting {
    const char *project_id;
    struct str id;
    struct arena *a;
    struct stored_file f;
    bool found;
};

/* The file of this id where there is one already; what lies at path is then not needed. */
static bool was_added(struct store *s, const char *path, struct stored_file *f, struct arena *a,
                      bool *was, struct error *err)
{
    struct getting get = {.project_id = f->project_id, .id = str_of(f->id), .a = a};

    if (f->id != NULL && !db_read(store_db(s), read_file, &get, err))
        return false;
    *was = get.found;
    if (get.found) {
        *f = get.f;
        unlink(path);
    }
    return true;
}

bool files_add(struct store *s, const char *path, struct stored_file *f, struct arena *a,
               struct error *err)
{
    struct adding add = {.f = *f, .a = a};
    struct file_sums sums;
    struct stat st;
    bool was = false;

    if (!file_is_valid(f, err) || !was_added(s, path, f, a, &was, err))
        return false;
    if (was)
        return true;
    if (stat(path, &st) != 0)
        return fail_errno(err, "cannot look at %s", path);
    add.f.bytes = st.st_size;
    if (!db_read(store_db(s), look_for_room, &add, err)) /* before anything is hashed or moved */
        return false;
    if (f->sha256 == NULL) {
        if (!file_measure(path, &sums, err))
            return false;
        add.f.sha256 = arena_text(a, str_of(sums.sha256));
    }
    if (add.f.id == NULL)
        add.f.id = store_new_id("file-", a);
    if (add.f.status == NULL)
        add.f.status = arena_text(a, STR("processed"));

    char *place = files_path(s, add.f.id, a);

    if (!file_settle(path, place, err))
        return false;
    if (!db_write(store_db(s), add_row, &add, err)) {
        /* nobody else knows a new id; but where the database is not there, it may have the row */
        if (f->id == NULL && err != NULL && (err->kind == ERR_LIMIT || err->kind == ERR_INVALID))
            unlink(place);
        return false;
    }
    *f = add.f;
    return true;
}

static bool read_file(struct db *db, void *ctx, struct error *err)
{
    struct getting *get = ctx;

    return file_by_id(db, get->project_id, get->id, get->a, &get->f, &get->found, err);
}

bool files_get(struct store *s, const char *project_id, struct str id, struct arena *a,
               struct stored_file *out, struct error *err)
{
    struct getting get = {.project_id = project_id, .id = id, .a = a};

    if (store_id_is(id, "file-") && !db_read(store_db(s), read_file, &get, err))
        return false;
    if (!get.found)
        return fail_no_such(err, "file", id);
    *out = get.f;
    return true;
}

#define FILES_OF "t.project_id = ?1 AND (CAST(?2 AS TEXT) IS NULL OR t.purpose = ?2)"
static const struct page_sql files_pages = {
    .find = "SELECT seq FROM files WHERE project_id = ?1 AND id = ?2",
    .all = PAGE_SQL(FILE_COLUMNS, "files t", FILES_OF, "t.seq", "?3", "?4"),
    .bare = PAGE_SQL(FILE_COLUMNS, "files t", FILES_OF, "t.seq", "?3", "?4"),
};

bool files_list(struct store *s, const char *project_id, const char *purpose,
                const struct store_page *page, struct arena *a, struct stored_file **out, size_t *n,
                bool *has_more, struct error *err)
{
    struct store_page plain = *page; /* files have no labels */
    struct rows rows;

    plain.key = plain.value = (struct str){0};
    if (purpose != NULL && !text_is_sane(str_of(purpose), 64))
        purpose = "";

    const struct page_query q = {.sql = &files_pages,
                                 .page = &plain,
                                 .params = {db_text(project_id), db_text(purpose)},
                                 .n_params = 2,
                                 .n_scope = 1};

    if (!page_run(s, &q, (struct row_kind){file_fill, sizeof **out}, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    *has_more = rows.more;
    return true;
}

struct deleting {
    const char *project_id;
    struct str id;
    size_t n;
};

static bool delete_row(struct db *db, void *ctx, struct error *err)
{
    struct deleting *del = ctx;
    const struct db_value params[] = {db_str(del->id), db_text(del->project_id)};

    return db_run(
        db, "DELETE FROM files WHERE id = ?1 AND (CAST(?2 AS TEXT) IS NULL OR project_id = ?2)",
        params, COUNT_OF(params), NULL, NULL, &del->n, err);
}

bool files_delete(struct store *s, const char *project_id, struct str id, struct error *err)
{
    struct deleting del = {.project_id = project_id, .id = id};
    struct arena a = {0};

    if (store_id_is(id, "file-") && !db_write(store_db(s), delete_row, &del, err))
        return false;
    if (del.n == 0)
        return fail_no_such(err, "file", id);
    unlink(files_path(s, arena_text(&a, id), &a)); /* where that fails: bytes without a row */
    arena_release(&a);
    return true;
}

/* ---- what nobody needs any more ---- */

bool file_is_left(const char *path, int64_t now)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return false;
    return (st.st_mtime > st.st_ctime ? st.st_mtime : st.st_ctime) < now - LEFT_SECONDS;
}

static void fill_id(const struct db_row *row, struct arena *a, void *item)
{
    *(char **)item = db_row_text(row, 0, a);
}

static bool sweep_expired(struct store *s, int64_t now, struct arena *a, size_t *n,
                          struct error *err)
{
    const struct db_value params[] = {db_int(now)};
    struct rows ids;

    /* not what a job that has not ended reads */
    if (!rows_read(s,
                   "SELECT t.id FROM files t WHERE t.expires_at > 0 AND t.expires_at <= ?1 "
                   "AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.project_id = t.project_id "
                   "AND (j.training_file = t.id OR j.validation_file = t.id) "
                   "AND j.status NOT IN ('succeeded', 'failed', 'cancelled'))",
                   params, COUNT_OF(params), (struct row_kind){fill_id, sizeof(char *)}, SIZE_MAX,
                   a, &ids, err))
        return false;
    for (size_t i = 0; i < ids.n; i++) {
        struct error gone = {0};

        if (files_delete(s, NULL, str_of(((char **)ids.items)[i]), &gone))
            (*n)++;
        else if (gone.kind != ERR_NOT_FOUND) /* another sweeps, too */
            return fail(err, gone.kind, "%s", gone.message);
    }
    return true;
}

/* Removes from a folder what has been left there; with_rows: unless a file has it. */
static bool sweep_folder(struct store *s, const char *dir, bool with_rows, int64_t now, size_t *n,
                         struct error *err)
{
    struct arena a = {0};
    DIR *d = opendir(dir);
    const struct dirent *entry;
    bool ok = true;

    if (d == NULL)
        return errno == ENOENT || fail_errno(err, "cannot open %s", dir);
    while (ok && (entry = readdir(d)) != NULL) {
        const char *path = file_join(&a, dir, entry->d_name);
        struct getting get = {.id = str_of(entry->d_name), .a = &a};
        struct stat st;

        if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && file_is_left(path, now)) {
            ok = !with_rows || !store_id_is(get.id, "file-") ||
                 db_read(store_db(s), read_file, &get, err);
            if (ok && !get.found && unlink(path) == 0)
                (*n)++;
        }
        arena_reset(&a);
    }
    closedir(d);
    arena_release(&a);
    return ok;
}

bool files_sweep(struct store *s, int64_t now, size_t *n_removed, struct error *err)
{
    struct arena a = {0};
    const int64_t here = now != 0 ? now : clock_unix();
    size_t n = 0;
    const bool ok = (now != 0 || store_now(s, &now, err)) && sweep_expired(s, now, &a, &n, err) &&
                    uploads_sweep(s, now, here, &n, err) &&
                    sweep_folder(s, files_dir(s, "incoming", &a), false, here, &n, err) &&
                    sweep_folder(s, files_dir(s, "", &a), true, here, &n, err);

    arena_release(&a);
    if (ok && n_removed != NULL)
        *n_removed = n;
    return ok;
}
