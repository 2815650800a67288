/*
 * uploads.c - files that come in parts, in any order and at the same time, and are joined at the end.
 *
 * A part is known by what it holds: sent again (a client that heard no answer does so) it is the part that is there. The
 * file's id is made of the upload and the order of its parts, so joining them again after a crash makes the same file.
 */
#include "base/buf.h"
#include "base/file.h"
#include "base/size.h"
#include "store/files_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define UPLOAD_SECONDS 3600 /* from the beginning of an upload to its end, as the API has it */
#define MAX_PARTS 100000

char *upload_dir(const struct store *s, const char *upload_id, struct arena *a)
{
    return arena_printf(a, "%s/files/uploads%s%s", store_home(s), upload_id[0] != '\0' ? "/" : "",
                        upload_id);
}

#define UPLOAD_COLUMNS                                                                             \
    "id, project_id, filename, purpose, mime_type, status, bytes, created_at, expires_at, "        \
    "file_expires_after, file_id, parts"

struct upload_state {
    struct upload u;
    char *parts; /* once completed: the ids of its parts in their order, with commas */
};

static void upload_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct upload_state *)item = (struct upload_state){
        .u =
            {
                .id = db_row_text(row, 0, a),
                .project_id = db_row_text(row, 1, a),
                .filename = db_row_text(row, 2, a),
                .purpose = db_row_text(row, 3, a),
                .mime_type = db_row_text(row, 4, a),
                .status = db_row_text(row, 5, a),
                .bytes = db_row_int(row, 6),
                .created_at = db_row_int(row, 7),
                .expires_at = db_row_int(row, 8),
                .file_expires_after = db_row_int(row, 9),
                .file_id = db_row_text(row, 10, a),
            },
        .parts = db_row_text(row, 11, a),
    };
}

/* lock: it is to be changed in this transaction. */
static bool upload_read(struct db *db, const char *project_id, struct str id, bool lock,
                        struct arena *a, struct upload_state *out, struct error *err)
{
    const struct db_value params[] = {db_str(id), db_text(project_id)};
    const char *sql = lock ? FOR_UPDATE(db, "SELECT " UPLOAD_COLUMNS
                                            " FROM uploads WHERE id = ?1 AND project_id = ?2")
                           : "SELECT " UPLOAD_COLUMNS
                             " FROM uploads WHERE id = ?1 AND project_id = ?2";
    bool found = false;
    int64_t now;

    if (store_id_is(id, "upload_") &&
        (!rows_now(db, &now, err) ||
         !rows_one(db, sql, params, COUNT_OF(params), upload_fill, a, out, &found, err)))
        return false;
    if (!found)
        return fail_no_such(err, "upload", id);
    if (strcmp(out->u.status, "pending") == 0 && out->u.expires_at <= now)
        out->u.status = arena_text(a, STR("expired")); /* swept later */
    return true;
}

static bool must_be_pending(const struct upload *u, struct error *err)
{
    if (strcmp(u->status, "pending") != 0)
        return fail(err, ERR_INVALID, "the upload %s is %s; only a pending one can be changed",
                    u->id, u->status);
    return true;
}

/* ---- new, get, cancel ---- */

struct upload_call {
    const char *project_id;
    struct str id;
    struct arena *a;
    struct upload_state state;
};

static bool insert_upload(struct db *db, void *ctx, struct error *err)
{
    struct upload_call *call = ctx;
    struct upload *u = &call->state.u;
    int64_t now;

    if (!rows_now(db, &now, err) || !quota_check(db, u->project_id, true, u->bytes, NULL, err))
        return false;
    u->created_at = now;
    u->expires_at = now + UPLOAD_SECONDS;

    const struct db_value params[] = {
        db_text(u->id),        db_text(u->project_id), db_text(u->filename),
        db_text(u->purpose),   db_text(u->mime_type),  db_int(u->bytes),
        db_int(u->created_at), db_int(u->expires_at),  db_int(u->file_expires_after)};

    return db_run(db,
                  "INSERT INTO uploads (id, project_id, filename, purpose, mime_type, status, "
                  "bytes, created_at, expires_at, file_expires_after) "
                  "VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?7, ?8, ?9)",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

bool uploads_new(struct store *s, struct upload *u, struct arena *a, struct error *err)
{
    struct upload_call call = {.state.u = *u};

    if (u->bytes <= 0)
        return fail_param(err, ERR_INVALID, "bytes",
                          "an upload of %" PRId64 " bytes: there must be at least one", u->bytes);
    if (u->filename == NULL || !text_is_sane(str_of(u->filename), 1024))
        return fail_param(err, ERR_INVALID, "filename",
                          "the name of the file is missing, longer than 1024 bytes or not UTF-8");
    if (u->purpose == NULL || !text_is_sane(str_of(u->purpose), 64))
        return fail_param(err, ERR_INVALID, "purpose",
                          "the purpose of the file is missing, longer than 64 bytes or not UTF-8");
    if (u->mime_type == NULL || !text_is_sane(str_of(u->mime_type), 256))
        return fail_param(err, ERR_INVALID, "mime_type",
                          "the MIME type is missing, longer than 256 bytes or not UTF-8");
    if (u->file_expires_after < 0)
        return fail_param(err, ERR_INVALID, "expires_after", "a file cannot expire before it is");
    call.state.u.id = store_new_id("upload_", a);
    call.state.u.status = arena_text(a, STR("pending"));
    call.state.u.file_id = NULL;
    if (!db_write(store_db(s), insert_upload, &call, err))
        return false;
    *u = call.state.u;
    return true;
}

static bool read_upload(struct db *db, void *ctx, struct error *err)
{
    struct upload_call *call = ctx;

    return upload_read(db, call->project_id, call->id, false, call->a, &call->state, err);
}

bool uploads_get(struct store *s, const char *project_id, struct str id, struct arena *a,
                 struct upload *out, struct error *err)
{
    struct upload_call call = {.project_id = project_id, .id = id, .a = a};

    if (!db_read(store_db(s), read_upload, &call, err))
        return false;
    *out = call.state.u;
    return true;
}

static bool cancel_row(struct db *db, void *ctx, struct error *err)
{
    struct upload_call *call = ctx;
    const struct db_value params[] = {db_str(call->id)};

    if (!upload_read(db, call->project_id, call->id, true, call->a, &call->state, err))
        return false;
    if (strcmp(call->state.u.status, "cancelled") == 0)
        return true; /* told again */
    if (!must_be_pending(&call->state.u, err))
        return false;
    call->state.u.status = arena_text(call->a, STR("cancelled"));
    return db_run(db, "UPDATE uploads SET status = 'cancelled' WHERE id = ?1", params,
                  COUNT_OF(params), NULL, NULL, NULL, err);
}

/* Its bytes are not needed any more; what cannot be removed now is swept later. */
static void remove_parts(const struct store *s, const char *upload_id, struct arena *a)
{
    struct error ignored;

    if (!file_remove_tree(upload_dir(s, upload_id, a), &ignored))
        return;
}

bool uploads_cancel(struct store *s, const char *project_id, struct str id, struct arena *a,
                    struct upload *out, struct error *err)
{
    struct upload_call call = {.project_id = project_id, .id = id, .a = a};

    if (!db_write(store_db(s), cancel_row, &call, err))
        return false;
    remove_parts(s, call.state.u.id, a);
    *out = call.state.u;
    return true;
}

/* ---- parts ---- */

struct part {
    char *id;
    int64_t bytes, created_at;
};

static void part_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct part *)item = (struct part){.id = db_row_text(row, 0, a),
                                         .bytes = db_row_int(row, 1),
                                         .created_at = db_row_int(row, 2)};
}

struct part_call {
    struct upload_call up;
    struct file_sums sums;
    struct part part;
    bool was;
};

static bool insert_part(struct db *db, void *ctx, struct error *err)
{
    struct part_call *call = ctx;
    const struct db_value known[] = {db_str(call->up.id), db_text(call->sums.sha256)};
    int64_t sum, now;

    if (!upload_read(db, call->up.project_id, call->up.id, true, call->up.a, &call->up.state,
                     err) ||
        !must_be_pending(&call->up.state.u, err) ||
        !rows_one(db,
                  "SELECT id, bytes, created_at FROM upload_parts "
                  "WHERE upload_id = ?1 AND sha256 = ?2",
                  known, COUNT_OF(known), part_fill, call->up.a, &call->part, &call->was, err))
        return false;
    if (call->was)
        return true;
    if (!rows_int(db,
                  "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM upload_parts "
                  "WHERE upload_id = ?1",
                  known, 1, &sum, NULL, err) ||
        !rows_now(db, &now, err))
        return false;
    if (call->sums.bytes > call->up.state.u.bytes - sum)
        return fail_param(err, ERR_LIMIT, "data",
                          "the upload %s is of %" PRId64 " bytes; %" PRId64
                          " are there, and this part has %" PRId64,
                          call->up.state.u.id, call->up.state.u.bytes, sum, call->sums.bytes);
    call->part.bytes = call->sums.bytes;
    call->part.created_at = now;

    const struct db_value params[] = {db_text(call->part.id), db_str(call->up.id),
                                      db_text(call->sums.sha256), db_int(call->sums.bytes),
                                      db_int(now)};

    return db_run(db,
                  "INSERT INTO upload_parts (id, upload_id, sha256, bytes, created_at) "
                  "VALUES (?1, ?2, ?3, ?4, ?5)",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

bool uploads_part(struct store *s, const char *project_id, struct str upload_id, const char *path,
                  struct arena *a, char **part_id, int64_t *created_at, struct error *err)
{
    struct part_call call = {.up = {.project_id = project_id, .id = upload_id, .a = a}};

    if (!db_read(store_db(s), read_upload, &call.up, err) ||
        !must_be_pending(&call.up.state.u, err) || !file_measure(path, &call.sums, err))
        return false;
    if (call.sums.bytes == 0)
        return fail_param(err, ERR_INVALID, "data", "the part has no bytes");
    if (call.sums.bytes > call.up.state.u.bytes)
        return fail_param(err, ERR_LIMIT, "data",
                          "the upload %s is of %" PRId64 " bytes, and this part has %" PRId64,
                          call.up.state.u.id, call.up.state.u.bytes, call.sums.bytes);

    char *dir = upload_dir(s, call.up.state.u.id, a), *id = store_new_id("part_", a);
    char *place = file_join(a, dir, id);

    call.part.id = id;
    if (!file_make_dirs(dir, err) || !file_settle(path, place, err))
        return false;
    if (!db_write(store_db(s), insert_part, &call, err)) {
        if (err != NULL && (err->kind == ERR_LIMIT || err->kind == ERR_INVALID))
            unlink(place);
        return false;
    }
    if (call.was)
        unlink(place);
    *part_id = call.part.id;
    *created_at = call.part.created_at;
    return true;
}

/* ---- complete ---- */

struct completing {
    struct upload_call up;
    const struct str *ids;
    size_t n;
    char *order;        /* their ids with commas */
    struct part *parts; /* [n] */
    struct stored_file file;
    bool added;
};

static bool part_read(struct db *db, struct completing *c, size_t i, struct error *err)
{
    const struct db_value params[] = {db_str(c->up.id), db_str(c->ids[i])};
    bool found = false;

    if (store_id_is(c->ids[i], "part_") &&
        !rows_one(db,
                  "SELECT id, bytes, created_at FROM upload_parts WHERE upload_id = ?1 AND id = ?2",
                  params, COUNT_OF(params), part_fill, c->up.a, &c->parts[i], &found, err))
        return false;
    if (!found) {
        struct error none;

        fail_no_such(&none, "part", c->ids[i]);
        return fail_param(err, ERR_INVALID, "part_ids", "%.200s in this upload (number %zu of %zu)",
                          none.message, i + 1, c->n);
    }
    return true;
}

/* The upload and, where it is pending, its parts in the order asked for. */
static bool read_parts(struct db *db, void *ctx, struct error *err)
{
    struct completing *c = ctx;
    const struct upload *u = &c->up.state.u;
    int64_t sum = 0;

    if (!upload_read(db, c->up.project_id, c->up.id, false, c->up.a, &c->up.state, err))
        return false;
    if (strcmp(u->status, "completed") == 0)
        return true;
    if (!must_be_pending(u, err))
        return false;
    for (size_t i = 0; i < c->n; i++) {
        if (!part_read(db, c, i, err))
            return false;
        sum += c->parts[i].bytes;
        if (sum > u->bytes)
            break;
    }
    if (sum != u->bytes)
        return fail_param(err, ERR_INVALID, "part_ids",
                          "the parts have %s%" PRId64
                          " bytes, and the upload was begun with %" PRId64,
                          sum > u->bytes ? "at least " : "", sum, u->bytes);
    return true;
}

/* Copies in the kernel, where the file systems share blocks without copying at all. */
static bool append_file(int to, const char *path, int64_t bytes, struct error *err)
{
    const int from = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = true;

    if (from < 0)
        return fail_errno(err, "cannot open %s", path);
    while (ok && bytes > 0) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t)bytes, 0);

        if (n < 0 && errno != EINTR && errno != EIO && errno != ENOSPC) {
            char piece[65536]; /* not between these two */

            n = read(from, piece, size_min(sizeof piece, (size_t)bytes));
            for (ssize_t at = 0, k; n > 0 && at < n; at += k)
                if ((k = write(to, piece + at, (size_t)(n - at))) < 0) {
                    ok = fail_errno(err, "cannot join the parts");
                    break;
                }
        }
        if (ok && n == 0)
            ok = fail(err, ERR_CORRUPT, "%s is %" PRId64 " bytes shorter than it was", path, bytes);
        else if (ok && n < 0 && errno != EINTR)
            ok = fail_errno(err, "cannot join the parts");
        if (n > 0)
            bytes -= n;
    }
    close(from);
    return ok;
}

static bool join_parts(struct store *s, struct completing *c, const char *path, struct error *err)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const char *dir = upload_dir(s, c->up.state.u.id, c->up.a);
    bool ok = true;

    if (fd < 0)
        return fail_errno(err, "cannot open %s", path);
    for (size_t i = 0; ok && i < c->n; i++)
        ok = append_file(fd, file_join(c->up.a, dir, c->parts[i].id), c->parts[i].bytes, err);
    close(fd);
    return ok;
}

static bool check_sums(const struct completing *c, const struct file_sums *sums, struct str md5,
                       struct error *err)
{
    if (sums->bytes != c->up.state.u.bytes)
        return fail(err, ERR_CORRUPT,
                    "the joined parts have %" PRId64 " bytes, %" PRId64 " were expected",
                    sums->bytes, c->up.state.u.bytes);
    if (md5.ptr != NULL && (md5.len != 32 || strncasecmp(md5.ptr, sums->md5, 32) != 0))
        return fail_param(err, ERR_INVALID, "md5",
                          "the MD5 of the joined parts is %s, which is not the one that was sent",
                          sums->md5);
    return true;
}

/* File and upload in one transaction: both are there or none. */
static bool complete_row(struct db *db, void *ctx, struct error *err)
{
    struct completing *c = ctx;
    struct stored_file file = c->file;
    struct upload *u = &c->up.state.u;
    const struct db_value params[] = {db_text(u->id), db_text(file.id), db_text(c->order)};
    int64_t now;

    if (!upload_read(db, c->up.project_id, c->up.id, true, c->up.a, &c->up.state, err))
        return false;
    if (strcmp(u->status, "completed") == 0 && strcmp(c->up.state.parts, c->order) == 0)
        return true; /* another was faster */
    if (!must_be_pending(u, err) || !rows_now(db, &now, err))
        return false;
    file.created_at = now;
    file.expires_at = u->file_expires_after > 0 ? now + u->file_expires_after : 0;
    if (!files_put(db, &file, u->id, c->up.a, &c->added, err) ||
        !db_run(db,
                "UPDATE uploads SET status = 'completed', file_id = ?2, parts = ?3 WHERE id = ?1",
                params, COUNT_OF(params), NULL, NULL, NULL, err))
        return false;
    u->status = arena_text(c->up.a, STR("completed"));
    u->file_id = file.id;
    return true;
}

static bool complete_new(struct store *s, struct completing *c, struct str md5, struct error *err)
{
    const struct upload *u = &c->up.state.u;
    struct file_sums sums;
    char *path = NULL;
    bool ok;

    if (!files_incoming(s, c->up.a, &path, err))
        return false;
    c->file = (struct stored_file){
        .id =
            store_id_of("file-", str_of(arena_printf(c->up.a, "%s %s", u->id, c->order)), c->up.a),
        .project_id = u->project_id,
        .filename = u->filename,
        .purpose = u->purpose,
        .status = arena_text(c->up.a, STR("processed")),
    };
    ok = join_parts(s, c, path, err) && file_measure(path, &sums, err) &&
         check_sums(c, &sums, md5, err);
    if (ok) {
        c->file.bytes = sums.bytes;
        c->file.sha256 = arena_text(c->up.a, str_of(sums.sha256));
        ok = file_settle(path, files_path(s, c->file.id, c->up.a), err) &&
             db_write(store_db(s), complete_row, c, err);
    }
    unlink(path); /* where it is still there */
    if (ok)
        remove_parts(s, u->id, c->up.a);
    return ok;
}

static bool order_of(const struct str *ids, size_t n, struct arena *a, char **order,
                     struct error *err)
{
    struct buf b;
    bool ok;

    buf_init(&b, (size_t)16 << 20);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(&b, ',');
        buf_str(&b, id_is_sane(ids[i]) ? ids[i] : STR("?"));
    }
    ok = buf_ok(&b, "the list of parts", err);
    if (ok)
        *order = arena_text(a, buf_view(&b));
    buf_release(&b);
    return ok;
}

bool uploads_complete(struct store *s, const char *project_id, struct str id,
                      const struct str *part_ids, size_t n, struct str md5, struct arena *a,
                      struct upload *out, struct stored_file *file, struct error *err)
{
    struct completing c = {
        .up = {.project_id = project_id, .id = id, .a = a}, .ids = part_ids, .n = n};
    struct stored_file f;

    if (n > MAX_PARTS)
        return fail_param(err, ERR_LIMIT, "part_ids", "%zu parts are more than the %d allowed", n,
                          MAX_PARTS);
    c.parts = ARENA_ARRAY(a, struct part, n > 0 ? n : 1);
    if (!order_of(part_ids, n, a, &c.order, err) || !db_read(store_db(s), read_parts, &c, err))
        return false;
    if (strcmp(c.up.state.u.status, "completed") != 0 && !complete_new(s, &c, md5, err)) {
        struct error ignored = {0};

        /* another may have been faster and have cleared the parts away */
        if (!db_read(store_db(s), read_upload, &c.up, &ignored) ||
            strcmp(c.up.state.u.status, "completed") != 0)
            return false;
    }
    if (c.up.state.parts != NULL && strcmp(c.up.state.parts, c.order) != 0)
        return fail_param(err, ERR_INVALID, "part_ids",
                          "the upload %s is completed, of other parts or in another order",
                          c.up.state.u.id);
    if (!files_get(s, project_id, str_of(c.up.state.u.file_id), a, &f, err))
        return fail_while(err, "completing the upload %s again", c.up.state.u.id);
    *out = c.up.state.u;
    *file = f;
    return true;
}

/* ---- what was never finished ---- */

static bool expire_rows(struct db *db, void *ctx, struct error *err)
{
    const struct db_value params[] = {db_int(*(const int64_t *)ctx)};

    return db_run(
        db, "UPDATE uploads SET status = 'expired' WHERE status = 'pending' AND expires_at <= ?1",
        params, COUNT_OF(params), NULL, NULL, NULL, err);
}

struct pending {
    struct str id;
    bool is;
};

static bool read_pending(struct db *db, void *ctx, struct error *err)
{
    struct pending *p = ctx;
    const struct db_value params[] = {db_str(p->id)};
    int64_t seq;

    return rows_int(db, "SELECT seq FROM uploads WHERE id = ?1 AND status = 'pending'", params,
                    COUNT_OF(params), &seq, &p->is, err);
}

bool uploads_sweep(struct store *s, int64_t now, int64_t here, size_t *n_removed, struct error *err)
{
    struct arena a = {0};
    char *dir = upload_dir(s, "", &a);
    const struct dirent *entry;
    bool ok = db_write(store_db(s), expire_rows, &now, err);
    DIR *d = ok ? opendir(dir) : NULL;

    if (ok && d == NULL)
        ok = errno == ENOENT || fail_errno(err, "cannot open %s", dir);
    while (ok && d != NULL && (entry = readdir(d)) != NULL) {
        const char *path = file_join(&a, dir, entry->d_name);
        struct pending p = {.id = str_of(entry->d_name)};

        if (!store_id_is(p.id, "upload_") || !file_is_left(path, here))
            continue;
        ok = db_read(store_db(s), read_pending, &p, err);
        if (ok && !p.is) {
            ok = file_remove_tree(path, err);
            (*n_removed)++;
        }
    }
    if (d != NULL)
        closedir(d);
    arena_release(&a);
    return ok;
}
