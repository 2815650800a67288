/*
 * line_file.c - one write call a line, and a cut back to the last whole one where it fails.
 */
#include "job/line_file.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int fd_of(const struct line_file *f)
{
    return f->fd_plus_1 - 1;
}

bool line_file_is_open(const struct line_file *f)
{
    return f->fd_plus_1 > 0;
}

/* Where the last line break of the first len bytes ends; 0 where there is none. */
static bool find_end(int fd, uint64_t len, uint64_t *out)
{
    char block[4096];

    while (len > 0) {
        const size_t n = len < sizeof block ? (size_t)len : sizeof block;
        const ssize_t got = pread(fd, block, n, (off_t)(len - n));

        if (got != (ssize_t)n)
            return false;
        const char *at = memrchr(block, '\n', n);
        if (at != NULL) {
            *out = len - n + (uint64_t)(at - block) + 1;
            return true;
        }
        len -= n;
    }
    *out = 0;
    return true;
}

bool line_file_open(struct line_file *f, const char *path, bool fresh, struct error *err)
{
    struct line_file o = {0};
    struct stat st;

    if ((size_t)snprintf(o.path, sizeof o.path, "%s", path) >= sizeof o.path)
        return fail(err, ERR_INVALID, "the path %.100s... is too long", path);
    const int fd =
        open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (fresh ? O_TRUNC : 0), 0666);
    if (fd < 0)
        return fail_errno(err, "cannot open %s", path);
    o.fd_plus_1 = fd + 1;
    if (fstat(fd, &st) != 0 ||
        (S_ISREG(st.st_mode) && !find_end(fd, (uint64_t)st.st_size, &o.len)) ||
        (o.len < (uint64_t)st.st_size && ftruncate(fd, (off_t)o.len) != 0)) {
        fail_errno(err, "cannot read %s", path);
        close(fd);
        return false;
    }
    *f = o;
    return true;
}

/* What the system said about a write, and what to do about it. */
static bool fail_write(const struct line_file *f, struct error *err)
{
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return fail_errno(err, "cannot write %s: make room, then go on with --resume", f->path);
    default:
        return fail_errno(err, "cannot write %s", f->path);
    }
}

bool line_file_put(struct line_file *f, struct str line, struct error *err)
{
    size_t done = 0;

    while (done < line.len) {
        const ssize_t n = write(fd_of(f), line.ptr + done, line.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fail_write(f, err);
            /* a torn line is mended at the next opening if even this fails */
            (void)!ftruncate(fd_of(f), (off_t)f->len);
            return false;
        }
        done += (size_t)n;
    }
    f->len += line.len;
    return true;
}

bool line_file_cut(struct line_file *f, uint64_t len, struct error *err)
{
    if (len >= f->len)
        return true;
    if (ftruncate(fd_of(f), (off_t)len) != 0)
        return fail_errno(err, "cannot shorten %s", f->path);
    f->len = len;
    return true;
}

bool line_file_sync(struct line_file *f, struct error *err)
{
    if (!line_file_is_open(f))
        return true;
    /* EINVAL: not a file that can be synced, a pipe for example */
    if (fdatasync(fd_of(f)) != 0 && errno != EINVAL)
        return fail_write(f, err);
    if (!f->named && !file_sync_name(f->path, err))
        return false;
    f->named = true;
    return true;
}

void line_file_close(struct line_file *f)
{
    if (line_file_is_open(f))
        close(fd_of(f));
    *f = (struct line_file){0};
}

bool lines_each(const char *path, line_fn *fn, void *ctx, struct error *err)
{
    struct file_map map = {0};

    if (!file_map_open(path, &map, err))
        return false;
    for (size_t from = 0; from < map.len;) {
        const char *start = (const char *)map.ptr + from;
        const char *end = memchr(start, '\n', map.len - from);

        if (end == NULL || !fn(ctx, (struct str){start, (size_t)(end - start)}, from))
            break;
        from += (size_t)(end - start) + 1;
    }
    file_map_close(&map);
    return true;
}
