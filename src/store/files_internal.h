/*
 * files_internal.h - what files.c and uploads.c share: bytes into their place, rows behind them.
 */
#ifndef HONE_STORE_FILES_INTERNAL_H
#define HONE_STORE_FILES_INTERNAL_H

#include "store/figures.h"
#include "store/files.h"
#include "store/rows_internal.h"

/* What the bytes at path are: their number and, in hex, their SHA-256 and MD5. Each may be NULL. */
struct file_sums {
    int64_t bytes;
    char sha256[65], md5[33];
};
MUST_CHECK bool file_measure(const char *path, struct file_sums *out, struct error *err);

/* Makes the file at from ours alone (0600), syncs its bytes, renames them to to, and syncs to's folder: after a power cut they are there under one of the names. */
MUST_CHECK bool file_settle(const char *from, const char *to, struct error *err);

/*
 * What the project's quota has left. What uploads in progress have announced counts, except that of upload (NULL: all do).
 * lock: what it says holds to the end of the transaction, which writes.
 */
MUST_CHECK bool quota_read(struct db *db, const char *project_id, bool lock, const char *upload,
                           struct store_room *out, struct error *err);
/* ERR_LIMIT where the project would hold more than its quota with extra bytes more; the rest as above. */
MUST_CHECK bool quota_check(struct db *db, const char *project_id, bool lock, int64_t extra,
                            const char *upload, struct error *err);

/* Adds the row, unless its id is there; either way f is what the table has then, and *added tells. Within a transaction. */
MUST_CHECK bool files_put(struct db *db, struct stored_file *f, const char *upload, struct arena *a,
                          bool *added, struct error *err);

#define FILE_COLUMNS                                                                               \
    "t.seq, t.id, t.project_id, t.filename, t.purpose, t.status, t.sha256, t.bytes, "              \
    "t.created_at, t.expires_at"
void file_fill(const struct db_row *row, struct arena *a, void *item);

/* HOME/files/uploads/UPLOAD, where an upload's parts are, each under its id. */
char *upload_dir(const struct store *s, const char *upload_id, struct arena *a);
/* Uploads whose time is over become "expired"; folders of parts that no pending upload has, go. */
/* now by the database's clock, here by this machine's. */
MUST_CHECK bool uploads_sweep(struct store *s, int64_t now, int64_t here, size_t *n_removed,
                              struct error *err);
/* Whether what is at path has not been changed for an hour before now: what is being put there is younger. */
bool file_is_left(const char *path, int64_t now);
#endif
