/*
 * rollout_index_keep.c - the index as a file, and back.
 *
 *     head, n_files x kept_file, n_lines x rollout_entry
 *
 * As it lies in memory: it is for this machine, and another kind of machine makes it anew. It is not synced, for it can be made
 * again; a sum over all of it tells one that is not whole. What it says of places in files is checked, and the sum is no signature:
 * a line is compared with what is said of it whenever it is read.
 */
#include "base/file.h"
#include "base/size.h"
#include "job/rollout_index_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char magic[8] = "HONEIX1\n";

struct head {
    char magic[8];
    uint64_t n_files, n_lines, entry_bytes, sum; /* sum: of all that follows */
};
struct kept_file {
    uint64_t inode, seen;
    uint32_t step, valid, n, none;
};

/* Eight bytes at a time: of 10 MB a few milliseconds. */
static uint64_t sum_of(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t word;

    for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(&word, p, sizeof word);
        h = (h ^ word) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    return h;
}

/* ---- writing ---- */

static bool put_bytes(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;

    while (n > 0) {
        const ssize_t done = write(fd, p, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static struct kept_file kept_of(const struct indexed_file *f)
{
    return (struct kept_file){
        .inode = f->inode, .seen = f->seen, .step = f->step, .valid = f->valid, .n = f->n};
}

static bool put_all(const struct rollout_index *ix, int fd)
{
    struct head h = {.n_files = ix->n_files,
                     .n_lines = ix->n_lines,
                     .entry_bytes = sizeof(struct rollout_entry)};
    bool ok = true;

    memcpy(h.magic, magic, sizeof magic);
    for (size_t i = 0; i < ix->n_files; i++) {
        const struct kept_file k = kept_of(&ix->file[i]);

        h.sum = sum_of(h.sum, &k, sizeof k);
    }
    for (size_t i = 0; i < ix->n_files; i++)
        h.sum = sum_of(h.sum, ix->file[i].entry, ix->file[i].n * sizeof *ix->file[i].entry);
    ok = put_bytes(fd, &h, sizeof h);
    for (size_t i = 0; ok && i < ix->n_files; i++) {
        const struct kept_file k = kept_of(&ix->file[i]);

        ok = put_bytes(fd, &k, sizeof k);
    }
    for (size_t i = 0; ok && i < ix->n_files; i++)
        ok = put_bytes(fd, ix->file[i].entry, ix->file[i].n * sizeof *ix->file[i].entry);
    return ok;
}

void rollout_index_keep(struct rollout_index *ix)
{
    struct arena a = {0};
    const char *path = file_join(&a, ix->dir, ROLLOUT_INDEX_FILE);
    const char *beside = arena_printf(&a, "%s.new", path);
    const int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);

    if (fd >= 0) {
        const bool ok = put_all(ix, fd) && close(fd) == 0 && rename(beside, path) == 0;

        if (!ok)
            (void)unlink(beside);
    }
    ix->unkept_bytes = 0; /* what failed is not tried at every line */
    arena_release(&a);
}

/* ---- reading ---- */

/* Its lines are in a row from the file's first byte on, as far as it is said to be read. */
static bool is_sound(const struct kept_file *k, const struct rollout_entry *e)
{
    uint64_t at = 0;

    for (uint32_t i = 0; i < k->n; i++) {
        const bool bad = (e[i].is.flags & ROLLOUT_BAD) != 0;

        if (e[i].at != at || e[i].is.step != k->step || !isfinite(e[i].is.reward) ||
            !isfinite(e[i].is.advantage) || (e[i].is.count == 0 && !bad))
            return false;
        at += (uint64_t)e[i].bytes + 1;
    }
    return at == k->seen;
}

static bool take_all(struct rollout_index *ix, struct str bytes)
{
    struct head h;
    size_t files_bytes, lines_bytes, all;

    if (bytes.len < sizeof h)
        return false;
    memcpy(&h, bytes.ptr, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0 ||
        h.entry_bytes != sizeof(struct rollout_entry) || h.n_lines > ROLLOUT_INDEX_LINES ||
        !size_mul(h.n_files, sizeof(struct kept_file), &files_bytes) ||
        !size_mul(h.n_lines, sizeof(struct rollout_entry), &lines_bytes) ||
        !size_add(files_bytes, lines_bytes, &all) || all != bytes.len - sizeof h ||
        sum_of(0, bytes.ptr + sizeof h, all) != h.sum)
        return false;
    ix->file = calloc(h.n_files + 1, sizeof *ix->file);
    if (ix->file == NULL)
        return false;
    const char *lines = bytes.ptr + sizeof h + files_bytes;
    for (size_t i = 0; i < h.n_files; i++) {
        struct kept_file k;

        memcpy(&k, bytes.ptr + sizeof h + i * sizeof k, sizeof k);
        if (k.n > h.n_lines - ix->n_lines || k.valid > 1)
            return false;
        struct indexed_file *f = &ix->file[i];
        *f = (struct indexed_file){.step = k.step,
                                   .valid = k.valid == 1,
                                   .inode = k.inode,
                                   .seen = k.seen,
                                   .n = k.n,
                                   .cap = k.n,
                                   .entry = malloc(k.n * sizeof *f->entry + 1)};
        ix->n_files++;
        if (f->entry == NULL)
            return false;
        memcpy(f->entry, lines + ix->n_lines * sizeof *f->entry, k.n * sizeof *f->entry);
        ix->n_lines += k.n;
        const bool in_order =
            i == 0 || f[-1].step < f->step || (f[-1].step == f->step && !f[-1].valid && f->valid);
        if (!in_order || !is_sound(&k, f->entry))
            return false;
    }
    return ix->n_lines == h.n_lines;
}

void rollout_index_load(struct rollout_index *ix)
{
    const size_t most = sizeof(struct head) + ROLLOUT_INDEX_LINES * sizeof(struct rollout_entry) +
                        ((size_t)64 << 20);
    struct arena a = {0};
    struct str bytes;
    struct error ignored;

    if (file_read(file_join(&a, ix->dir, ROLLOUT_INDEX_FILE), most, &a, &bytes, &ignored) &&
        !take_all(ix, bytes))
        rollout_index_clear(ix);
    arena_release(&a);
}
