/*
 * pull_part.c - a file that comes in pieces, and the record of what is there of it.
 *
 * A record is text of fixed width, so that a counter is written in its place by one call:
 *
 *     hone pull 1 IDENTITY SIZE PIECE BOOT n  n: not checked yet, y: all is there and its hash is right
 *     COUNTER                                 one a piece: bytes that are there from its beginning on
 *
 * IDENTITY is the SHA-256 of what the other side says of the file: its hash, or its address and validator. Bytes are
 * written before their counter, so after a kill a record says at most what is there. After a power failure it may say more: then
 * the hash is wrong, and the file is begun anew. Where no hash is told a piece is on the disk before its record says that it is whole, and of a
 * record of another BOOT (Linux's boot_id) only such pieces count.
 */
#include "base/buf.h"
#include "base/sha256.h"
#include "base/size.h"
#include "job/pull_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nettle/sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES 158 /* of the first line */
#define BOOT_BYTES 36
#define BOOT_AT 119
#define COUNTER_BYTES 21
#define MAX_PIECES ((size_t)1 << 20)
#define READ_BYTES ((size_t)1 << 20)
#define LFS_POINTER "version https://git-lfs.github.com/spec/"

static struct sha256_text identity_of(const struct pull_file *f, struct arena *a)
{
    if (f->sha256[0] != '\0' || f->git_sha1[0] != '\0')
        return sha256_of(f->sha256[0] != '\0' ? f->sha256 : f->git_sha1,
                         f->sha256[0] != '\0' ? 64 : 40);
    const char *text = arena_printf(a, "%s\n%s", f->url, f->validator);
    return sha256_of(text, strlen(text));
}

static bool is_hashed(const struct pull_file *f)
{
    return f->sha256[0] != '\0' || f->git_sha1[0] != '\0';
}

/* Another text after each start of the machine. */
static void boot_id(char out[BOOT_BYTES + 1])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (f == NULL || fread(out, 1, BOOT_BYTES, f) != BOOT_BYTES)
        memset(out, '-', BOOT_BYTES);
    out[BOOT_BYTES] = '\0';
    if (f != NULL)
        fclose(f);
}

uint64_t pull_part_piece_size(const struct pull_part *p, size_t piece)
{
    const uint64_t begin = piece * p->piece_bytes, left = p->file->size - begin;

    return left < p->piece_bytes ? left : p->piece_bytes;
}

uint64_t pull_part_there(const struct pull_part *p)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < p->n_pieces; i++)
        sum += p->done[i];
    return sum;
}

/* ---- the record ---- */

static bool write_at(int fd, const char *path, const void *bytes, size_t n, uint64_t at,
                     struct error *err)
{
    const char *p = bytes;

    while (n > 0) {
        const ssize_t k = pwrite(fd, p, n, (off_t)at);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return fail_errno(err, "cannot write %s", path);
        p += k;
        at += (uint64_t)k;
        n -= (size_t)k;
    }
    return true;
}

static bool write_head(const struct pull_part *p, bool checked, struct error *err)
{
    struct arena a = {0};
    char boot[BOOT_BYTES + 1];

    boot_id(boot);
    const char *head = arena_printf(&a, "hone pull 1 %s %020" PRIu64 " %020" PRIu64 " %s %c\n",
                                    identity_of(p->file, &a).hex, p->file->size, p->piece_bytes,
                                    boot, checked ? 'y' : 'n');
    const bool ok = write_at(p->record_fd, p->record_path, head, HEAD_BYTES, 0, err);

    arena_release(&a);
    return ok;
}

static bool write_counter(const struct pull_part *p, size_t piece, struct error *err)
{
    char text[COUNTER_BYTES + 1];

    snprintf(text, sizeof text, "%020" PRIu64 "\n", p->done[piece]);
    return write_at(p->record_fd, p->record_path, text, COUNTER_BYTES,
                    HEAD_BYTES + piece * COUNTER_BYTES, err);
}

static size_t pieces_of(uint64_t size, uint64_t piece_bytes)
{
    return (size_t)(size / piece_bytes + (size % piece_bytes > 0));
}

static bool digits_at(struct str s, size_t at, uint64_t *out)
{
    uint64_t x = 0;

    for (size_t i = at; i < at + 20; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || __builtin_mul_overflow(x, 10, &x) ||
            __builtin_add_overflow(x, (uint64_t)(s.ptr[i] - '0'), &x))
            return false;
    }
    *out = x;
    return true;
}

/* What a record says, where it is one of this file; else nothing is there. */
static bool go_on(struct pull_part *p, struct str s, struct arena *a)
{
    uint64_t size, piece_bytes;
    struct stat st;

    if (s.len < HEAD_BYTES || !str_starts(s, STR("hone pull 1 ")) ||
        memcmp(s.ptr + 12, identity_of(p->file, a).hex, 64) != 0 || !digits_at(s, 77, &size) ||
        !digits_at(s, 98, &piece_bytes) || size != p->file->size || piece_bytes == 0)
        return false;
    if (!is_hashed(p->file) && p->file->validator[0] == '\0')
        return false; /* nobody could tell whether it is still the same */
    const size_t n = pieces_of(size, piece_bytes);
    if (n > MAX_PIECES || s.len != HEAD_BYTES + n * COUNTER_BYTES || fstat(p->fd, &st) != 0 ||
        (uint64_t)st.st_size != size)
        return false;
    uint64_t *done = ARENA_ARRAY(a, uint64_t, n + 1);
    p->piece_bytes = piece_bytes;
    p->n_pieces = n;
    for (size_t i = 0; i < n; i++)
        if (!digits_at(s, HEAD_BYTES + i * COUNTER_BYTES, &done[i]) ||
            done[i] > pull_part_piece_size(p, i))
            return false;
    p->done = done;
    p->checked = s.ptr[HEAD_BYTES - 2] == 'y' && pull_part_there(p) == size;
    return true;
}

/* Of a record that the machine's last start left, where no hash would tell: pieces that are not whole are not there. */
static bool doubt(struct pull_part *p, struct str record, struct error *err)
{
    char boot[BOOT_BYTES + 1];

    boot_id(boot);
    if (is_hashed(p->file) || p->checked || memcmp(record.ptr + BOOT_AT, boot, BOOT_BYTES) == 0)
        return true;
    for (size_t i = 0; i < p->n_pieces; i++) {
        if (p->done[i] == pull_part_piece_size(p, i))
            continue;
        p->done[i] = 0;
        if (!write_counter(p, i, err))
            return false;
    }
    return write_head(p, false, err);
}

bool pull_part_anew(struct pull_part *p, struct error *err)
{
    memset(p->done, 0, p->n_pieces * sizeof *p->done);
    if (ftruncate(p->record_fd, 0) != 0) /* first, so that it never says more than is there */
        return fail_errno(err, "cannot write %s", p->record_path);
    if (ftruncate(p->fd, 0) != 0 || ftruncate(p->fd, (off_t)p->file->size) != 0)
        return fail_errno(err, "cannot give %s its length of %" PRIu64 " bytes", p->path,
                          p->file->size);
    for (size_t i = 0; i < p->n_pieces; i++)
        if (!write_counter(p, i, err))
            return false;
    return write_head(p, false, err);
}

/* ---- the file ---- */

static int open_file(const char *path, struct error *err)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

    if (fd < 0)
        fail_errno(err, "cannot open %s", path);
    return fd;
}

/* dir/records/a%b for a/b */
static const char *record_path(const char *dir, const char *name, struct arena *a)
{
    char *flat = arena_text(a, str_of(name));

    for (char *c = flat; *c != '\0'; c++)
        *c = *c == '/' ? '%' : *c;
    return file_join(a, file_join(a, dir, "records"), flat);
}

static bool make_folder_of(const char *path, struct arena *a, struct error *err)
{
    const char *slash = strrchr(path, '/');

    return file_make_dirs(arena_text(a, (struct str){path, (size_t)(slash - path)}), err);
}

bool pull_part_open(struct pull_part *p, const char *dir, const struct pull_file *file,
                    uint64_t piece_bytes, struct arena *a, struct error *err)
{
    struct str record = {0};

    *p = (struct pull_part){.file = file,
                            .path = file_join(a, file_join(a, dir, "files"), file->name),
                            .record_path = record_path(dir, file->name, a),
                            .fd = -1,
                            .record_fd = -1,
                            .piece_bytes = piece_bytes};
    while (pieces_of(file->size, p->piece_bytes) > MAX_PIECES)
        p->piece_bytes *= 2;
    if (!make_folder_of(p->path, a, err) || !make_folder_of(p->record_path, a, err))
        return false;
    p->fd = open_file(p->path, err);
    p->record_fd = p->fd >= 0 ? open_file(p->record_path, err) : -1;
    if (p->record_fd < 0 ||
        !file_read(p->record_path, HEAD_BYTES + MAX_PIECES * COUNTER_BYTES, a, &record, err)) {
        pull_part_close(p);
        return false;
    }
    const uint64_t wanted = p->piece_bytes;
    bool ok = true;
    if (go_on(p, record, a)) {
        ok = doubt(p, record, err);
    } else {
        p->piece_bytes = wanted;
        p->n_pieces = pieces_of(file->size, wanted);
        p->done = ARENA_ARRAY(a, uint64_t, p->n_pieces + 1);
        ok = pull_part_anew(p, err);
    }
    p->busy = ARENA_ARRAY(a, bool, p->n_pieces + 1);
    if (!ok)
        pull_part_close(p);
    return ok;
}

void pull_part_close(struct pull_part *p)
{
    if (p->path != NULL && p->fd >= 0)
        close(p->fd);
    if (p->path != NULL && p->record_fd >= 0)
        close(p->record_fd);
    p->fd = p->record_fd = -1;
}

bool pull_part_put(struct pull_part *p, uint64_t pos, const char *bytes, size_t n, uint64_t *added,
                   struct error *err)
{
    *added = 0;
    while (n > 0) {
        const size_t piece = (size_t)(pos / p->piece_bytes);
        const uint64_t at = pos % p->piece_bytes, left = pull_part_piece_size(p, piece) - at;
        const size_t k = n < left ? n : (size_t)left;
        const uint64_t there = p->done[piece];

        assert(at <= there);
        if (at + k > there) { /* the first there - at of them are known */
            const size_t known = (size_t)(there - at), fresh = k - known;

            if (!write_at(p->fd, p->path, bytes + known, fresh, pos + known, err))
                return false;
            p->done[piece] += fresh;
            if (!is_hashed(p->file) && fresh == left - known && fdatasync(p->fd) != 0)
                return fail_errno(err, "cannot write %s", p->path);
            if (!write_counter(p, piece, err))
                return false;
            *added += fresh;
        }
        pos += k;
        bytes += k;
        n -= k;
    }
    return true;
}

/* ---- checking ---- */

struct hashes {
    struct sha256_ctx sha256;
    struct sha1_ctx sha1; /* as git names a file: "blob SIZE" and a zero byte in front */
};

static bool is_right(const struct pull_file *f, struct hashes *h)
{
    uint8_t sha1[SHA1_DIGEST_SIZE];
    char hex[2 * SHA1_DIGEST_SIZE + 1];

    if (f->sha256[0] != '\0')
        return strcmp(sha256_finish(&h->sha256).hex, f->sha256) == 0;
    if (f->git_sha1[0] == '\0')
        return true;
    sha1_digest(&h->sha1, sizeof sha1, sha1);
    for (size_t i = 0; i < sizeof sha1; i++)
        snprintf(hex + 2 * i, 3, "%02x", sha1[i]);
    return strcmp(hex, f->git_sha1) == 0;
}

/* A few lines that name a file of Git LFS, where the file itself was expected. */
static bool is_pointer(struct pull_part *p, const char *bytes, size_t n, struct error *err)
{
    const struct str s = {bytes, n};

    if (p->file->size > 1024 || !str_starts(s, STR(LFS_POINTER)))
        return false;
    fail(
        err, ERR_INVALID,
        "what comes as %s is not the file but the pointer that Git LFS keeps in its place (%" PRIu64
        " bytes): an address of the file itself is needed, on the hub .../resolve/REVISION/%s",
        p->file->path, p->file->size, p->file->path);
    return true;
}

static bool read_all(struct pull_part *p, char *room, const atomic_bool *stop, struct hashes *h,
                     struct error *err)
{
    for (uint64_t at = 0; at < p->file->size;) {
        const ssize_t n = pread(p->fd, room, READ_BYTES, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, "cannot read %s", p->path);
        if (n == 0)
            return fail(err, ERR_IO, "%s has become shorter while it was fetched", p->path);
        if (at == 0 && is_pointer(p, room, (size_t)n, err))
            return false;
        if (stop != NULL && atomic_load(stop))
            return fail(err, ERR_CANCELLED, "stopped on request");
        if (p->file->sha256[0] != '\0')
            sha256_update(&h->sha256, (size_t)n, (const uint8_t *)room);
        else if (p->file->git_sha1[0] != '\0')
            sha1_update(&h->sha1, (size_t)n, (const uint8_t *)room);
        at += (uint64_t)n;
    }
    return true;
}

bool pull_part_check(struct pull_part *p, const atomic_bool *stop, bool *right, struct error *err)
{
    struct hashes h;
    char blob[40], *room = malloc(READ_BYTES);
    bool ok;

    if (room == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to check %s", p->path);
    sha256_init(&h.sha256);
    sha1_init(&h.sha1);
    const int n = snprintf(blob, sizeof blob, "blob %" PRIu64, p->file->size);
    sha1_update(&h.sha1, (size_t)n + 1, (const uint8_t *)blob);
    ok = read_all(p, room, stop, &h, err);
    if (ok) {
        *right = is_right(p->file, &h);
        if (*right)
            ok = (fsync(p->fd) == 0 || fail_errno(err, "cannot write %s", p->path)) &&
                 file_sync_name(p->path, err) && write_head(p, true, err);
    }
    free(room);
    return ok;
}
