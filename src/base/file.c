/*
 * file.c - POSIX files behind file.h.
 */
#include "base/file.h"
#include "base/buf.h"
#include "base/size.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    int fd;
    bool committed;
    char path[PATH_MAX];
    char beside[PATH_MAX];
};

bool file_map_open(const char *path, struct file_map *out, struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *p = NULL;

    if (fd < 0)
        return fail_errno(err, "cannot open %s", path);
    if (fstat(fd, &st) != 0) {
        fail_errno(err, "cannot look at %s", path);
        close(fd);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return fail(err, ERR_INVALID, "%s is not a file", path);
    }
    if (st.st_size > 0) {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            fail_errno(err, "cannot map %s", path);
            close(fd);
            return false;
        }
    }
    close(fd);
    *out = (struct file_map){.ptr = p, .len = (size_t)st.st_size};
    return true;
}

void file_map_close(struct file_map *m)
{
    if (m->ptr != NULL)
        munmap((void *)(uintptr_t)m->ptr, m->len);
    *m = (struct file_map){0};
}

void file_map_forget(const struct file_map *m)
{
    if (m->ptr != NULL)
        (void)madvise((void *)(uintptr_t)m->ptr, m->len, MADV_DONTNEED);
}

/* What has no size beforehand: a pipe, a file of /proc. */
static bool read_to_end(int fd, const char *path, size_t max_bytes, struct arena *a,
                        struct str *out, struct error *err)
{
    struct buf b;
    char piece[16384];
    bool ok = true;

    buf_init(&b, max_bytes);
    while (ok) {
        const ssize_t n = read(fd, piece, sizeof piece);

        if (n == 0)
            break;
        if (n < 0) {
            ok = errno == EINTR || fail_errno(err, "cannot read %s", path);
            continue;
        }
        buf_put(&b, piece, (size_t)n);
        ok = buf_ok(&b, path, err);
    }
    if (ok)
        *out = arena_str(a, buf_view(&b));
    buf_release(&b);
    return ok;
}

bool file_read(const char *path, size_t max_bytes, struct arena *a, struct str *out,
               struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t got = 0;
    bool ok = false;

    if (fd < 0)
        return fail_errno(err, "cannot open %s", path);
    if (fstat(fd, &st) != 0) {
        fail_errno(err, "cannot look at %s", path);
        goto done;
    }
    if (S_ISDIR(st.st_mode)) {
        fail(err, ERR_INVALID, "%s is a folder, a file was expected", path);
        goto done;
    }
    if ((uint64_t)st.st_size > max_bytes) {
        fail(err, ERR_LIMIT, "%s has %lld bytes, more than the %zu allowed", path,
             (long long)st.st_size, max_bytes);
        goto done;
    }
    const size_t size = (size_t)st.st_size;
    if (size == 0) {
        ok = read_to_end(fd, path, max_bytes, a, out, err);
        goto done;
    }
    char *p = arena_try(a, size + 1, 1, path, err);
    if (p == NULL)
        goto done;
    while (got < size) {
        ssize_t n = read(fd, p + got, size - got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fail_errno(err, "cannot read %s", path);
            goto done;
        }
        if (n == 0)
            break; /* it shrank while being read */
        got += (size_t)n;
    }
    p[got] = '\0';
    *out = (struct str){p, got};
    ok = true;
done:
    close(fd);
    return ok;
}

static bool write_all(int fd, const void *bytes, size_t n, const char *path, struct error *err)
{
    const char *p = bytes;

    while (n > 0) {
        ssize_t k = write(fd, p, n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return fail_errno(err, "cannot write %s", path);
        p += k;
        n -= (size_t)k;
    }
    return true;
}

bool file_create_beside(const char *path, struct file **out, struct error *err)
{
    struct file *f = calloc(1, sizeof *f);

    if (f == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to open %s", path);
    int n = snprintf(f->beside, sizeof f->beside, "%s.part-%ld", path, (long)getpid());
    snprintf(f->path, sizeof f->path, "%s", path);
    if (n < 0 || (size_t)n >= sizeof f->beside) {
        free(f);
        return fail(err, ERR_INVALID, "the path %.100s... is too long", path);
    }
    f->fd = open(f->beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        fail_errno(err, "cannot create %s", path);
        free(f);
        return false;
    }
    *out = f;
    return true;
}

bool file_write(struct file *f, const void *bytes, size_t n, struct error *err)
{
    return write_all(f->fd, bytes, n, f->path, err);
}

bool file_commit(struct file *f, struct error *err)
{
    if (fsync(f->fd) != 0)
        return fail_errno(err, "cannot write %s", f->path);
    if (rename(f->beside, f->path) != 0)
        return fail_errno(err, "cannot put %s in its place", f->path);
    f->committed = true;
    return file_sync_name(f->path, err);
}

void file_close(struct file *f)
{
    if (f == NULL)
        return;
    close(f->fd);
    if (!f->committed)
        unlink(f->beside);
    free(f);
}

bool file_put(const char *path, struct str bytes, struct error *err)
{
    struct file *f = NULL;
    bool ok = file_create_beside(path, &f, err) && file_write(f, bytes.ptr, bytes.len, err) &&
              file_commit(f, err);

    file_close(f);
    return ok;
}

bool file_append(const char *path, struct str bytes, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    if (fd < 0)
        return fail_errno(err, "cannot open %s", path);
    bool ok = write_all(fd, bytes.ptr, bytes.len, path, err);
    if (close(fd) != 0 && ok)
        ok = fail_errno(err, "cannot write %s", path);
    return ok;
}

/* ---- names ---- */

bool file_sync_name(const char *path, struct error *err)
{
    char dir[PATH_MAX] = ".";
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n >= sizeof dir)
        return fail(err, ERR_INVALID, "the path %.100s... is too long", path);
    if (n > 0) {
        memcpy(dir, path, n);
        dir[n] = '\0';
    }
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) /* who may write into it but not list it cannot sync it */
        return errno == EACCES || fail_errno(err, "cannot open the folder %s", dir);
    const bool ok = fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP ||
                    fail_errno(err, "cannot write the folder %s", dir);
    close(fd);
    return ok;
}

bool file_rename(const char *from, const char *to, struct error *err)
{
    if (rename(from, to) != 0)
        return fail_errno(err, "cannot put %s in its place", to);
    return file_sync_name(to, err);
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_make_dirs(const char *path, struct error *err)
{
    char part[PATH_MAX];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof part)
        return fail(err, ERR_INVALID, "%.100s is no usable path for a folder",
                    n == 0 ? "(empty)" : path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0) {
            if (errno != EEXIST)
                return fail_errno(err, "cannot make the folder %s", part);
        } else if (!file_sync_name(part, err)) {
            return false;
        }
    }
    if (!file_is_dir(path))
        return fail(err, ERR_INVALID, "%s is not a folder", path);
    return true;
}

bool file_make_private(const char *path, struct error *err)
{
    if (mkdir(path, 0700) == 0)
        return file_sync_name(path, err);
    if (errno != EEXIST)
        return fail_errno(err, "cannot make the folder %s", path);
    return file_is_dir(path) || fail(err, ERR_INVALID, "%s is not a folder", path);
}

bool file_remove_tree(const char *path, struct error *err)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? true : fail_errno(err, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode))
        return unlink(path) == 0 ? true : fail_errno(err, "cannot remove %s", path);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return fail_errno(err, "cannot read the folder %s", path);
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
        char child[PATH_MAX];

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int n = snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        ok = n > 0 && (size_t)n < sizeof child
                 ? file_remove_tree(child, err)
                 : fail(err, ERR_INVALID, "a path under %s is too long", path);
    }
    closedir(dir);
    if (ok && rmdir(path) != 0)
        ok = fail_errno(err, "cannot remove %s", path);
    return ok;
}

bool file_cut(const char *path, uint64_t len, struct error *err)
{
    return truncate(path, (off_t)len) == 0 ? true : fail_errno(err, "cannot shorten %s", path);
}

char *file_join(struct arena *a, const char *dir, const char *name)
{
    const size_t n = strlen(dir);

    return arena_printf(a, "%s%s%s", dir, n > 0 && dir[n - 1] == '/' ? "" : "/", name);
}
