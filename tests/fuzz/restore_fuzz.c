/*
 * restore_fuzz.c - a backup that somebody else has made: it becomes a home that opens and is read, or is refused by a sentence; nothing is
 * followed out of it, and a link in it becomes no link of ours.
 *
 * A good backup is changed by lines: "patch OFFSET BYTE" of hone.db, "cut LENGTH" of it, "id TEXT" for store.id, "file PATH TEXT",
 * "link PATH TARGET", "drop PATH".
 */
#include "fuzz.h"

#include "base/file.h"
#include "base/size.h"
#include "store/access.h"
#include "store/documents.h"
#include "store/figures.h"
#include "store/files.h"
#include "store/jobs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct arena kept; /* the process's */
static const char *top;   /* a folder: home, backup and new are in it */
static struct str good;   /* hone.db of a good backup */
static struct str good_id;
static const char *key; /* of its organisation */

static void put(const char *path, struct str bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return; /* a line before put something else there */
    check(write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len);
    close(fd);
}

/* ---- a good one ---- */

static void fill(struct store *s)
{
    struct arena a = {0};
    struct error err = {0};
    struct access who;
    struct job_row j = {.method = arena_text(&a, STR("dpo")),
                        .model = arena_text(&a, STR("m")),
                        .training_file = arena_text(&a, STR("file-1")),
                        .body = arena_text(&a, STR("{}")),
                        .seed = 7};
    const struct label label = {STR("team"), STR("bio")};
    char *made;

    must(access_begin(s, &kept, &made, &err), &err);
    key = made;
    must(access_of_key(s, str_of(key), &a, &who, &err), &err);
    j.project_id = who.project_id;
    must(jobs_add(s, &j, &label, 1, &a, &err), &err);
    const struct document d = {.kind = "eval",
                               .id = "eval_1",
                               .project_id = who.project_id,
                               .body = "{\"name\":\"e\"}",
                               .created_at = 1,
                               .updated_at = 1};
    must(documents_add(s, &d, &label, 1, &err), &err);
    arena_release(&a);
}

static void let_go(void)
{
    arena_release(&kept);
}

static void open_top(void)
{
    struct error err = {0};
    struct store *s;

    if (top != NULL)
        return;
    top = fuzz_dir();
    atexit(let_go);
    const struct store_options opt = {.home = file_join(&kept, top, "home")};
    const char *backup = file_join(&kept, top, "good");
    must(store_open(&opt, &s, &err), &err);
    fill(s);
    must(store_backup(s, backup, &err), &err);
    store_close(s);
    must(file_read(file_join(&kept, backup, "hone.db"), 1 << 24, &kept, &good, &err), &err);
    must(file_read(file_join(&kept, backup, "store.id"), 1 << 10, &kept, &good_id, &err), &err);
}

/* ---- changed ---- */

static struct str next_word(struct str *s, const char *by)
{
    const size_t end = str_find(*s, str_of(by), 0);
    const struct str word = {s->ptr, end};

    *s = str_from(*s, size_min(end + 1, s->len));
    return word;
}

static size_t number_of(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len && i < 9; i++)
        n = 10 * n + (size_t)(unsigned char)(s.ptr[i] - '0') % 10;
    return n;
}

/* In the backup's folder, and not out of it. */
static const char *inside(const char *backup, struct str path, struct arena *a)
{
    const char *text = arena_text(a, path);

    return text[0] == '\0' || text[0] == '/' || strstr(text, "..") != NULL
               ? NULL
               : file_join(a, backup, text);
}

static void change(const char *backup, struct str line, struct str *rows, struct arena *a)
{
    const struct str what = next_word(&line, " ");
    struct error ignored;

    if (str_is(what, "patch")) {
        const size_t at = number_of(next_word(&line, " "));

        if (at < rows->len)
            ((char *)(uintptr_t)rows->ptr)[at] = (char)number_of(line);
        return;
    }
    if (str_is(what, "cut")) {
        rows->len = size_min(rows->len, number_of(line));
        return;
    }
    if (str_is(what, "id")) {
        put(file_join(a, backup, "store.id"), line);
        return;
    }
    const char *path = inside(backup, next_word(&line, " "), a);
    if (path == NULL)
        return;
    if (str_is(what, "file"))
        put(path, line);
    else if (str_is(what, "link") && line.len > 0 && symlink(arena_text(a, line), path) != 0)
        return;
    else if (str_is(what, "drop"))
        (void)!file_remove_tree(path, &ignored);
}

/* ---- looked at ---- */

/* Only files and folders, and none that is not the owner's alone. */
static void check_tree(const char *dir, int depth)
{
    struct arena a = {0};
    DIR *d = opendir(dir);

    check(d != NULL && depth < 8);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        const char *path = file_join(&a, dir, e->d_name);
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        check(lstat(path, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)));
        if (S_ISDIR(st.st_mode))
            check_tree(path, depth + 1);
    }
    closedir(d);
    arena_release(&a);
}

static void said(bool ok, const struct error *err)
{
    check(ok || (err->kind != ERR_NONE && err->message[0] != '\0'));
}

static void read_store(struct store *s)
{
    static const struct store_page page = {.limit = 10}, labelled = {.limit = 10,
                                                                     .key = {"team", 4},
                                                                     .value = {"bio", 3}};
    const struct document_filter evals = {.kind = "eval"};
    struct arena a = {0};
    struct error err = {0};
    struct access who = {0};
    struct org *orgs;
    struct document *docs;
    struct job_row *jobs;
    struct stored_file *files;
    struct store_figures figures;
    size_t n;
    bool more;

    said(access_orgs(s, &a, &orgs, &n, &err), &err);
    said(store_count(s, &figures, &err), &err);
    said(documents_list(s, &evals, &page, &a, &docs, &n, &more, &err), &err);
    said(documents_sweep(s, 2, NULL, &err), &err);
    if (access_of_key(s, str_of(key), &a, &who, &err)) {
        said(jobs_list(s, who.project_id, &labelled, &a, &jobs, &n, &more, &err), &err);
        said(files_list(s, who.project_id, NULL, &page, &a, &files, &n, &more, &err), &err);
        said(files_sweep(s, 2, NULL, &err), &err);
    } else {
        said(false, &err);
    }
    arena_release(&a);
}

static void restore(struct str lines, struct arena *a)
{
    const char *backup = file_join(a, top, "backup"), *home = file_join(a, top, "new");
    struct str rows = arena_str(a, good);
    struct error err = {0};
    struct store *s = NULL;

    must(file_remove_tree(backup, &err) && file_remove_tree(home, &err) &&
             file_make_dirs(file_join(a, backup, "files"), &err) &&
             file_make_dirs(file_join(a, backup, "runs/ftjob-1"), &err),
         &err);
    put(file_join(a, backup, "store.id"), good_id);
    put(file_join(a, backup, "runs/ftjob-1/metrics.csv"), STR("step,loss\n1,2\n3"));
    for (int n = 0; lines.len > 0 && n < 16; n++)
        change(backup, next_word(&lines, "\n"), &rows, a);
    put(file_join(a, backup, "hone.db"), rows);
    if (!store_restore(backup, home, &err)) {
        said(false, &err);
        return;
    }
    check_tree(home, 0);
    const struct store_options opt = {.home = home, .n_connections = 2};
    if (store_open(&opt, &s, &err))
        read_store(s);
    else
        said(false, &err);
    store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};

    if (size > 4096)
        return 0;
    open_top();
    restore((struct str){(const char *)data, size}, &a);
    arena_release(&a);
    return 0;
}
