/*
 * file.h - files read whole or mapped, and files that appear whole or not at all.
 */
#ifndef HONE_BASE_FILE_H
#define HONE_BASE_FILE_H

#include "base/arena.h"

#include <stdint.h>

/* A file mapped read-only. All zeros is one that was never opened. */
struct file_map {
    const uint8_t *ptr;
    size_t len;
};
MUST_CHECK bool file_map_open(const char *path, struct file_map *out, struct error *err);
void file_map_close(struct file_map *m);
void file_map_forget(const struct file_map *m); /* lets the system drop the pages read so far */

/* The whole file into the arena, ended by a zero byte; ERR_LIMIT above max_bytes. */
MUST_CHECK bool file_read(const char *path, size_t max_bytes, struct arena *a, struct str *out,
                          struct error *err);

/*
 * A file written beside its place and renamed when it is whole:
 *
 *     bool ok = file_create_beside(path, &f, err) && file_write(f, p, n, err) && file_commit(f, err);
 *     file_close(f);
 *
 * file_commit syncs and renames, as file_rename does; what was not committed file_close removes. NULL is fine for file_close.
 */
struct file;
MUST_CHECK bool file_create_beside(const char *path, struct file **out, struct error *err);
MUST_CHECK bool file_write(struct file *f, const void *bytes, size_t n, struct error *err);
MUST_CHECK bool file_commit(struct file *f, struct error *err);
void file_close(struct file *f);

/* The three steps above for bytes in memory. */
MUST_CHECK bool file_put(const char *path, struct str bytes, struct error *err);

/* Appends whole lines; created when missing. One write call, so that a line is there or not. */
MUST_CHECK bool file_append(const char *path, struct str bytes, struct error *err);

/*
 * A name is on the disk only once the folder that it stands in was synced, whatever was done for the bytes behind it. So these
 * return when the names that they made will be there after a power failure.
 */
MUST_CHECK bool file_rename(const char *from, const char *to, struct error *err);
/* Each folder that was missing, mode 0777; mkdir -p. */
MUST_CHECK bool file_make_dirs(const char *path, struct error *err);
/* One folder of ours alone, mode 0700; one that is there keeps its mode. */
MUST_CHECK bool file_make_private(const char *path, struct error *err);
/* For a name that was made otherwise. A file system that cannot sync folders is fine. */
MUST_CHECK bool file_sync_name(const char *path, struct error *err);

bool file_exists(const char *path);
bool file_is_dir(const char *path);
MUST_CHECK bool file_remove_tree(const char *path,
                                 struct error *err); /* rm -r; a missing path is fine */
MUST_CHECK bool file_cut(const char *path, uint64_t len,
                         struct error *err); /* truncate to len bytes */

/* dir "/" name in the arena */
char *file_join(struct arena *a, const char *dir, const char *name);
#endif
