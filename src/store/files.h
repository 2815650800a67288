/*
 * files.h - uploaded and produced files: a row each, and their bytes in HOME/files/ID.
 *
 * Bytes come first, complete and on the disk, then the row: a file that is listed is whole. What was written and never
 * got a row (a crash between) is swept away once it has lain there for an hour.
 */
#ifndef HONE_STORE_FILES_H
#define HONE_STORE_FILES_H

#include "store/store.h"

struct stored_file {
    int64_t seq;
    char *id, *project_id, *filename, *purpose, *status, *sha256;
    int64_t bytes, created_at, expires_at; /* expires_at 0: never */
};
/* A place to write a new file to, on the same disk: HOME/files/incoming/...; made empty, 0600. In the arena. */
MUST_CHECK bool files_incoming(struct store *s, struct arena *a, char **path, struct error *err);
/*
 * Takes the bytes at path (written by the caller, renamed into place, synced) and adds the row; f->id NULL: a new one. With an
 * id that is there already, nothing happens, and that is fine: what was done before a crash is not done twice.
 * ERR_LIMIT where the project's quota would be passed, unless it is a job's result ("fine-tune-results", which nobody uploads).
 */
MUST_CHECK bool files_add(struct store *s, const char *path, struct stored_file *f, struct arena *a,
                          struct error *err);
/* ERR_NOT_FOUND for another project's as for none. project_id NULL: any. */
MUST_CHECK bool files_get(struct store *s, const char *project_id, struct str id, struct arena *a,
                          struct stored_file *out, struct error *err);
char *files_path(const struct store *s, const char *id, struct arena *a); /* of its bytes */
MUST_CHECK bool files_list(struct store *s, const char *project_id, const char *purpose,
                           const struct store_page *page, struct arena *a, struct stored_file **out,
                           size_t *n, bool *has_more, struct error *err);
MUST_CHECK bool files_delete(struct store *s, const char *project_id, struct str id,
                             struct error *err);
/*
 * Removes what has expired (unless a job that has not ended reads it), uploads that were never finished, and bytes without a
 * row; told to the log by the caller. n_removed may be NULL. now 0: by the database's clock for rows, and by this machine's,
 * which dated them, for bytes.
 */
MUST_CHECK bool files_sweep(struct store *s, int64_t now, size_t *n_removed, struct error *err);

struct upload {
    char *id, *project_id, *filename, *purpose, *mime_type,
        *status; /* pending, completed, cancelled, expired */
    int64_t bytes, created_at, expires_at, file_expires_after; /* seconds; 0: never */
    char *file_id;                                             /* once completed */
};
/* Fills id, status and times. What an upload announces counts for the project's quota until it ends. */
MUST_CHECK bool uploads_new(struct store *s, struct upload *u, struct arena *a, struct error *err);
MUST_CHECK bool uploads_get(struct store *s, const char *project_id, struct str id, struct arena *a,
                            struct upload *out, struct error *err);
/*
 * Takes the bytes at path as one part; the same bytes again are the same part, so that one may be sent again. ERR_INVALID where
 * the upload is not pending; ERR_LIMIT where its bytes would be passed.
 */
MUST_CHECK bool uploads_part(struct store *s, const char *project_id, struct str upload_id,
                             const char *path, struct arena *a, char **part_id, int64_t *created_at,
                             struct error *err);
/*
 * Joins the parts in this order into a file; one may stand there more than once. md5: hex or NULL. Called again with the
 * same parts: the same file. ERR_INVALID where the bytes or the MD5 are others than announced; the upload is then still pending.
 */
MUST_CHECK bool uploads_complete(struct store *s, const char *project_id, struct str id,
                                 const struct str *part_ids, size_t n, struct str md5,
                                 struct arena *a, struct upload *out, struct stored_file *file,
                                 struct error *err);
MUST_CHECK bool uploads_cancel(struct store *s, const char *project_id, struct str id,
                               struct arena *a, struct upload *out, struct error *err);
#endif
