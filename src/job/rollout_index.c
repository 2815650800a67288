/*
 * rollout_index.c - the files of a run's answers, read as far as they are, and what is asked of them.
 *
 * Files are read rather than mapped: one that is cut back meanwhile ends a read, and would end the process otherwise.
 */
#include "job/rollout_index.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/rollout_index_internal.h"
#include "job/run_read.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK ((size_t)256 << 10)
#define MOST_FILES ((size_t)1000000)
#define WORTH_KEEPING ((uint64_t)8 << 20) /* bytes read since the index was kept last */

/* A few bytes, or many that were asked for with a limit: a list of a run, which stays below it. */
static void *grown(void *list, size_t n, size_t size)
{
    size_t bytes;
    void *more = size_mul(n, size, &bytes) ? realloc(list, bytes) : NULL;

    if (more == NULL)
        abort();
    return more;
}

/* ---- opening ---- */

static const char *path_of(const struct rollout_index *ix, const struct indexed_file *f,
                           struct arena *a)
{
    return arena_printf(a, "%s/rollouts/%s-%u.jsonl", ix->dir, f->valid ? "valid" : "step",
                        (unsigned)f->step);
}

/* Places of files are others from here on. */
static void reader_close(struct rollout_index *ix)
{
    if (ix->reader.fd_plus_1 > 0)
        close(ix->reader.fd_plus_1 - 1);
    ix->reader.fd_plus_1 = 0;
}

struct rollout_index *rollout_index_open(const char *dir)
{
    struct rollout_index *ix = grown(NULL, 1, sizeof *ix);

    *ix = (struct rollout_index){.dir = strdup(dir)};
    if (ix->dir == NULL)
        abort();
    rollout_index_load(ix);
    return ix;
}

void rollout_index_clear(struct rollout_index *ix)
{
    reader_close(ix);
    for (size_t i = 0; i < ix->n_files; i++)
        free(ix->file[i].entry);
    free(ix->file);
    ix->file = NULL;
    ix->n_files = ix->n_lines = 0;
    ix->unkept_bytes = 0;
    ix->folder_changed = 0;
}

void rollout_index_close(struct rollout_index *ix)
{
    if (ix == NULL)
        return;
    if (ix->unkept_bytes >= WORTH_KEEPING)
        rollout_index_keep(ix);
    rollout_index_clear(ix);
    free(ix->reader.bytes);
    free(ix->dir);
    free(ix);
}

void rollout_index_forget(struct rollout_index *ix)
{
    struct arena a = {0};

    rollout_index_clear(ix);
    (void)unlink(file_join(&a, ix->dir, ROLLOUT_INDEX_FILE));
    arena_release(&a);
}

/* ---- which files there are ---- */

static int file_order(const void *a, const void *b)
{
    const struct indexed_file *x = a, *y = b;

    return x->step != y->step ? (x->step > y->step) - (x->step < y->step) : x->valid - y->valid;
}

static struct indexed_file *find_file(const struct rollout_index *ix, uint32_t step, bool valid)
{
    const struct indexed_file wanted = {.step = step, .valid = valid};

    return ix->n_files == 0 ? NULL
                            : bsearch(&wanted, ix->file, ix->n_files, sizeof wanted, file_order);
}

static void forget_lines(struct rollout_index *ix, struct indexed_file *f)
{
    ix->n_lines -= f->n;
    f->n = 0;
    f->seen = f->tried = 0;
}

/* One name of the folder: a file that is known, as long as it is the same, or a new one. */
static bool take_name(struct rollout_index *ix, int folder, const char *name,
                      struct indexed_file *out)
{
    struct stat st;
    size_t step;
    bool valid;

    if (!run_rollouts_name(name, &step, &valid) || step > UINT32_MAX ||
        fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return false;
    struct indexed_file *known = find_file(ix, (uint32_t)step, valid);
    if (known != NULL && (known->inode != st.st_ino || (uint64_t)st.st_size < known->seen))
        forget_lines(ix, known);
    *out = known != NULL ? *known : (struct indexed_file){.step = (uint32_t)step, .valid = valid};
    out->inode = st.st_ino;
    out->size = (uint64_t)st.st_size;
    if (known != NULL) {
        known->entry = NULL; /* it is the new list's */
        known->n = 0;
    }
    return true;
}

/* Those whose names were there before; n: the last so many, which alone may have grown. */
static void look_at_newest(struct rollout_index *ix, size_t n)
{
    for (size_t i = ix->n_files - size_min(n, ix->n_files); i < ix->n_files; i++) {
        struct indexed_file *f = &ix->file[i];
        struct arena a = {0};
        struct stat st;

        if (stat(path_of(ix, f, &a), &st) == 0) {
            if (f->inode != st.st_ino || (uint64_t)st.st_size < f->seen)
                forget_lines(ix, f);
            f->inode = st.st_ino;
            f->size = (uint64_t)st.st_size;
        }
        arena_release(&a);
    }
}

static void list_all(struct rollout_index *ix, DIR *dir)
{
    struct indexed_file *list = NULL;
    size_t n = 0, cap = 0;

    for (struct dirent *e; dir != NULL && n < MOST_FILES && (e = readdir(dir)) != NULL;) {
        if (n == cap) {
            cap = cap == 0 ? 64 : 2 * cap;
            list = grown(list, cap, sizeof *list);
        }
        n += take_name(ix, dirfd(dir), e->d_name, &list[n]);
    }
    for (size_t i = 0; i < ix->n_files; i++) { /* those that are gone */
        forget_lines(ix, &ix->file[i]);
        free(ix->file[i].entry);
    }
    free(ix->file);
    if (n > 0)
        qsort(list, n, sizeof *list, file_order);
    ix->file = list;
    ix->n_files = n;
    ix->n_lines = 0;
    for (size_t i = 0; i < n; i++)
        ix->n_lines += list[i].n;
}

#define SETTLED_NS INT64_C(1000000000)
#define MAY_GROW 4 /* the newest step's and the newest validation's, and those before */

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/*
 * Two thousand files are not looked at for every page: names that are new or gone change the folder's time, and but for the newest
 * files none is written any more. A folder that changed a moment ago may change again within the same tick of its clock.
 */
static bool list_files(struct rollout_index *ix, struct error *err)
{
    struct arena a = {0};
    const char *path = file_join(&a, ix->dir, "rollouts");
    struct timespec now;
    struct stat st = {0};
    bool ok = true;

    reader_close(ix);
    const bool there = stat(path, &st) == 0;
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t changed = there ? nanoseconds(st.st_mtim) : 0;
    if (there && changed == ix->folder_changed) {
        look_at_newest(ix, MAY_GROW);
    } else {
        DIR *dir = opendir(path);

        if (dir == NULL && errno != ENOENT)
            ok = fail_errno(err, "cannot read the answers of a run in %s", ix->dir);
        else
            list_all(ix, dir);
        if (dir != NULL)
            closedir(dir);
        const int64_t age = nanoseconds(now) - changed;
        ix->folder_changed = age > SETTLED_NS ? changed : 0;
    }
    arena_release(&a);
    return ok;
}

/* ---- reading one ---- */

/* The lines of a group stand together, and the first of them has the prompt. */
static bool begins_group(const struct indexed_file *f, uint32_t i)
{
    return i == 0 || f->entry[i].is.item != f->entry[i - 1].is.item ||
           (f->entry[i].is.flags & ROLLOUT_PROMPT) != 0;
}

static uint32_t group_end(const struct indexed_file *f, uint32_t i)
{
    for (i++; i < f->n && !begins_group(f, i);)
        i++;
    return i;
}

static void mark_group(struct indexed_file *f, uint32_t from, uint32_t to)
{
    double tokens = 0, n = 0;
    bool flat = !f->valid;

    for (uint32_t i = from; i < to; i++) {
        const struct rollout_figures *x = &f->entry[i].is;

        tokens += (double)x->n_tokens * x->count;
        n += x->count;
        flat = flat && !(x->reward < f->entry[from].is.reward) &&
               !(x->reward > f->entry[from].is.reward);
    }
    for (uint32_t i = from; i < to; i++) {
        struct rollout_figures *x = &f->entry[i].is;
        const bool is_long = n > 3 && x->n_tokens * n > ROLLOUT_LONG_FACTOR * tokens;

        x->flags = (uint16_t)((x->flags & (ROLLOUT_FLAT - 1)) | (flat ? ROLLOUT_FLAT : 0) |
                              (is_long ? ROLLOUT_LONG : 0));
    }
}

static void mark_groups(struct indexed_file *f)
{
    for (uint32_t from = 0, to; from < f->n; from = to) {
        to = group_end(f, from);
        mark_group(f, from, to);
    }
}

static bool add_line(struct rollout_index *ix, struct indexed_file *f, struct str line)
{
    struct rollout_entry e = {.at = f->seen, .bytes = (uint32_t)line.len};

    if (ix->n_lines >= ROLLOUT_INDEX_LINES)
        return false;
    if (!rollout_scan_figures(line, &e.is) || e.is.step != f->step)
        e.is = (struct rollout_figures){.step = f->step, .flags = ROLLOUT_BAD};
    if (f->n == f->cap) {
        f->cap = f->cap == 0 ? 32 : f->cap + f->cap / 2;
        f->entry = grown(f->entry, f->cap, sizeof *f->entry);
    }
    f->entry[f->n++] = e;
    f->seen += line.len + 1;
    ix->n_lines++;
    ix->unkept_bytes += line.len + 1;
    return true;
}

/* The whole lines of what was read; false: it is enough for now. */
static bool add_lines(struct rollout_index *ix, struct indexed_file *f, double until)
{
    size_t from = 0;
    bool more = true;

    while (more) {
        const char *start = ix->chunk + from;
        const char *end = from < ix->n_chunk ? memchr(start, '\n', ix->n_chunk - from) : NULL;

        if (end == NULL)
            break;
        const size_t len = (size_t)(end - start);
        if (!add_line(ix, f, (struct str){start, len})) {
            f->tried = f->size;
            more = false;
            break;
        }
        from += len + 1;
        more = f->n % 64 != 0 || clock_seconds() < until;
    }
    memmove(ix->chunk, ix->chunk + from, ix->n_chunk - from);
    ix->n_chunk -= from;
    return more;
}

static void read_on(struct rollout_index *ix, struct indexed_file *f, int fd, double until)
{
    ix->n_chunk = 0;
    for (;;) {
        if (ix->n_chunk == ix->cap_chunk) {
            if (ix->cap_chunk > LIMIT_LINE_BYTES) { /* no line of ours is so long */
                f->tried = f->size;
                return;
            }
            ix->cap_chunk = ix->cap_chunk == 0 ? CHUNK : 2 * ix->cap_chunk;
            ix->chunk = grown(ix->chunk, ix->cap_chunk, 1);
        }
        const ssize_t got = pread(fd, ix->chunk + ix->n_chunk, ix->cap_chunk - ix->n_chunk,
                                  (off_t)(f->seen + ix->n_chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) { /* what is left is no whole line yet */
            f->tried = f->size;
            return;
        }
        ix->n_chunk += (size_t)got;
        if (!add_lines(ix, f, until))
            return;
    }
}

static bool is_read(const struct indexed_file *f)
{
    return f->seen >= f->size || f->tried >= f->size;
}

static void read_file(struct rollout_index *ix, struct indexed_file *f, double until)
{
    struct arena a = {0};
    const int fd = open(path_of(ix, f, &a), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    arena_release(&a);
    if (fd < 0) { /* the next look at the folder tells */
        f->tried = f->size;
        return;
    }
    read_on(ix, f, fd, until);
    close(fd);
    mark_groups(f);
}

bool rollout_index_update(struct rollout_index *ix, double seconds, bool *whole, struct error *err)
{
    const double until = clock_seconds() + seconds;
    bool all = true, begun = false;

    if (!list_files(ix, err))
        return false;
    for (size_t i = ix->n_files; i-- > 0;) {
        if (is_read(&ix->file[i]))
            continue;
        if (!begun || clock_seconds() < until) /* some of the first, however late it is */
            read_file(ix, &ix->file[i], until);
        begun = true;
        all = all && is_read(&ix->file[i]);
    }
    free(ix->chunk);
    ix->chunk = NULL;
    ix->cap_chunk = ix->n_chunk = 0;
    if (all && ix->unkept_bytes >= WORTH_KEEPING)
        rollout_index_keep(ix);
    *whole = all;
    return true;
}

struct rollout_index_size rollout_index_size(const struct rollout_index *ix)
{
    struct rollout_index_size s = {.memory_bytes = sizeof *ix + ix->n_files * sizeof *ix->file};

    for (size_t i = 0; i < ix->n_files; i++) {
        const struct indexed_file *f = &ix->file[i];

        s.n_lines += f->n;
        s.read_bytes += is_read(f) ? f->size : f->seen;
        s.total_bytes += f->size;
        s.memory_bytes += f->cap * sizeof *f->entry;
    }
    return s;
}

/* ---- one line ---- */

struct rollout_id rollout_index_id(const struct rollout_index *ix, struct rollout_ref ref)
{
    const struct indexed_file *f = &ix->file[ref.file];
    struct rollout_id id;

    snprintf(id.text, sizeof id.text, "%s-%u-%u", f->valid ? "valid" : "step", (unsigned)f->step,
             (unsigned)ref.line);
    return id;
}

/* Digits without a zero before them, up to the byte `end` or the end of s. */
static bool take_number(struct str s, size_t *at, uint32_t *out)
{
    const size_t from = *at;
    uint64_t x = 0;

    for (; *at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9' && *at - from < 10; ++*at)
        x = 10 * x + (uint64_t)(s.ptr[*at] - '0');
    if (*at == from || x > UINT32_MAX || (s.ptr[from] == '0' && *at - from > 1))
        return false;
    *out = (uint32_t)x;
    return true;
}

bool rollout_index_find(const struct rollout_index *ix, struct str id, struct rollout_ref *out)
{
    const bool valid = str_starts(id, STR("valid-"));
    size_t at = valid ? 6 : 5;
    uint32_t step, line;

    if (!(valid || str_starts(id, STR("step-"))) || !take_number(id, &at, &step) || at >= id.len ||
        id.ptr[at++] != '-' || !take_number(id, &at, &line) || at != id.len)
        return false;
    const struct indexed_file *f = find_file(ix, step, valid);
    if (f == NULL || line >= f->n || (f->entry[line].is.flags & ROLLOUT_BAD) != 0)
        return false;
    *out = (struct rollout_ref){(uint32_t)(f - ix->file), line};
    return true;
}

bool rollout_index_find_sample(const struct rollout_index *ix, bool valid, size_t step, size_t item,
                               size_t sample, rollout_line_has *has, void *ctx,
                               struct rollout_ref *out)
{
    const struct indexed_file *f = step <= UINT32_MAX ? find_file(ix, (uint32_t)step, valid) : NULL;

    for (uint32_t i = 0; f != NULL && i < f->n; i++) {
        const struct rollout_figures *x = &f->entry[i].is;
        const struct rollout_ref ref = {(uint32_t)(f - ix->file), i};

        if ((x->flags & ROLLOUT_BAD) != 0 || x->item != item ||
            (x->sample != sample && (x->count == 1 || !has(ctx, ref, sample))))
            continue;
        *out = ref;
        return true;
    }
    return false;
}

const struct rollout_entry *rollout_index_entry(const struct rollout_index *ix,
                                                struct rollout_ref ref)
{
    assert(ref.file < ix->n_files && ref.line < ix->file[ref.file].n);
    return &ix->file[ref.file].entry[ref.line];
}

bool rollout_index_is_valid(const struct rollout_index *ix, struct rollout_ref ref)
{
    return ix->file[ref.file].valid;
}

bool rollout_index_prompt(const struct rollout_index *ix, struct rollout_ref ref,
                          struct rollout_ref *out)
{
    const struct indexed_file *f = &ix->file[ref.file];
    const uint32_t item = f->entry[ref.line].is.item;

    for (uint32_t i = ref.line + 1; i-- > 0;)
        if (f->entry[i].is.item == item && (f->entry[i].is.flags & ROLLOUT_PROMPT) != 0) {
            *out = (struct rollout_ref){ref.file, i};
            return true;
        }
    return false;
}

static bool read_bytes(int fd, uint64_t at, char *to, size_t n)
{
    while (n > 0) {
        const ssize_t got = pread(fd, to, n, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        at += (size_t)got;
        n -= (size_t)got;
    }
    return true;
}

static bool same_figures(const struct rollout_figures *a, const struct rollout_figures *b)
{
    return a->step == b->step && a->item == b->item && a->sample == b->sample &&
           a->count == b->count && a->n_tokens == b->n_tokens &&
           memcmp(&a->reward, &b->reward, sizeof a->reward) == 0;
}

/* The bytes of a line, until the next one is read; ptr NULL: they are not there. */
static struct str bytes_of(struct rollout_index *ix, struct rollout_ref ref)
{
    const struct indexed_file *f = &ix->file[ref.file];
    const struct rollout_entry *e = rollout_index_entry(ix, ref);
    struct rollout_file_reader *r = &ix->reader;

    if (r->fd_plus_1 == 0 || r->file != ref.file) {
        struct arena a = {0};

        reader_close(ix);
        r->fd_plus_1 = open(path_of(ix, f, &a), O_RDONLY | O_CLOEXEC | O_NOFOLLOW) + 1;
        r->file = ref.file;
        arena_release(&a);
    }
    if (e->at > f->size || e->bytes > f->size - e->at || e->bytes > LIMIT_LINE_BYTES + CHUNK)
        return (struct str){0};
    if (r->cap <= e->bytes) {
        r->cap = size_max((size_t)e->bytes + 1, 2 * r->cap);
        r->bytes = grown(r->bytes, r->cap, 1);
    }
    if (r->fd_plus_1 == 0 || !read_bytes(r->fd_plus_1 - 1, e->at, r->bytes, e->bytes))
        return (struct str){0};
    return (struct str){r->bytes, e->bytes};
}

static bool is_the_line(const struct rollout_index *ix, struct rollout_ref ref, struct str bytes)
{
    struct rollout_figures found;

    return bytes.ptr != NULL && memchr(bytes.ptr, '\n', bytes.len) == NULL &&
           rollout_scan_figures(bytes, &found) &&
           same_figures(&found, &rollout_index_entry(ix, ref)->is);
}

bool rollout_index_read(struct rollout_index *ix, struct rollout_ref ref, struct buf *out,
                        struct error *err)
{
    const struct str bytes = bytes_of(ix, ref);

    if (!is_the_line(ix, ref, bytes))
        return fail(err, ERR_CORRUPT, "the answers of step %u are others than they were",
                    (unsigned)ix->file[ref.file].step);
    buf_clear(out);
    buf_str(out, bytes);
    return buf_ok(out, "a line of answers", err);
}

bool rollout_index_says(struct rollout_index *ix, struct rollout_ref ref, struct str needle,
                        struct buf *scratch)
{
    static const char *const keys[] = {"answer", "thinking", "details"};
    const struct str line = bytes_of(ix, ref);
    struct rollout_member m;

    if (line.ptr == NULL || !rollout_scan_may_say(line, needle))
        return false;
    for (size_t at = 0; rollout_scan_next(line, &at, &m);)
        for (size_t i = 0; i < COUNT_OF(keys); i++)
            if (str_is(m.key, keys[i]) && rollout_scan_says(m.value, needle, scratch))
                return true;
    return false;
}
