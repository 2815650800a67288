/*
 * file_test.c - files are read whole, and appear whole or not at all.
 */
#include "base/file.h"
#include "base/size.h"
#include "support/support.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In place of the C library's: which folders were synced, in their order, and what stood in each. */
static struct synced {
    char path[PATH_MAX], names[200];
} synced[16];
static size_t n_synced;

int fsync(int fd)
{
    char link[64];
    struct synced *s = &synced[n_synced < COUNT_OF(synced) ? n_synced : 0];
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        const ssize_t n = readlink(link, s->path, sizeof s->path - 1);
        DIR *d = opendir(link);

        assert_true(n > 0 && d != NULL);
        s->path[n] = '\0';
        s->names[0] = '\0';
        for (struct dirent *e; (e = readdir(d)) != NULL;)
            if (e->d_name[0] != '.' && strlen(s->names) + strlen(e->d_name) + 2 < sizeof s->names)
                strcat(strcat(s->names, e->d_name), ";");
        closedir(d);
        n_synced++;
    }
    return (int)syscall(SYS_fsync, fd);
}

struct place {
    struct arena a;
    char *dir;
};

static int set_up(void **state)
{
    static struct place p;

    p = (struct place){0};
    p.dir = test_dir_make(&p.a);
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    test_dir_remove(p->dir);
    arena_release(&p->a);
    return 0;
}

static char *at(struct place *p, const char *name)
{
    return file_join(&p->a, p->dir, name);
}

static size_t entries_of(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 2;
}

static void what_is_put_is_read_and_mapped(void **state)
{
    struct place *p = *state;
    static const char bytes[] = "a\0b\nc\xff";
    struct error err = {0};
    struct str text;
    struct file_map map;

    ASSERT_OK(file_put(at(p, "x"), (struct str){bytes, sizeof bytes - 1}, &err));
    ASSERT_OK(file_read(at(p, "x"), 100, &p->a, &text, &err));
    assert_int_equal(text.len, sizeof bytes - 1);
    assert_memory_equal(text.ptr, bytes, sizeof bytes); /* and a zero byte behind */
    ASSERT_OK(file_map_open(at(p, "x"), &map, &err));
    assert_int_equal(map.len, sizeof bytes - 1);
    assert_memory_equal(map.ptr, bytes, map.len);
    file_map_forget(&map);
    assert_memory_equal(map.ptr, bytes, map.len);
    file_map_close(&map);
    assert_null(map.ptr);
    file_map_close(&map);
    file_map_forget(&map);
}

static void an_empty_file_is_an_empty_text(void **state)
{
    struct place *p = *state;
    struct error err = {0};
    struct str text = STR("old");
    struct file_map map;

    ASSERT_OK(file_put(at(p, "x"), (struct str){NULL, 0}, &err));
    ASSERT_OK(file_read(at(p, "x"), 0, &p->a, &text, &err));
    assert_int_equal(text.len, 0);
    assert_string_equal(text.ptr, "");
    ASSERT_OK(file_map_open(at(p, "x"), &map, &err));
    assert_int_equal(map.len, 0);
    file_map_close(&map);
}

static void what_cannot_be_read_is_told_with_its_path(void **state)
{
    struct place *p = *state;
    struct error err = {0};
    struct str text = STR("old");
    struct file_map map = {0};

    ASSERT_FAILS(file_read(at(p, "none"), 10, &p->a, &text, &err), ERR_NOT_FOUND, at(p, "none"));
    ASSERT_FAILS(file_map_open(at(p, "none"), &map, &err), ERR_NOT_FOUND, at(p, "none"));
    ASSERT_FAILS(file_read(p->dir, 10, &p->a, &text, &err), ERR_INVALID, "a folder");
    ASSERT_FAILS(file_map_open(p->dir, &map, &err), ERR_INVALID, "is not a file");
    ASSERT_OK(file_put(at(p, "x"), STR("12345678901"), &err));
    ASSERT_FAILS(file_read(at(p, "x"), 10, &p->a, &text, &err), ERR_LIMIT, "11 bytes");
    ASSERT_STR(text, "old");
    assert_null(map.ptr);
}

static void a_pipe_is_not_taken_for_an_empty_file(void **state)
{
    struct place *p = *state;
    struct error err = {0};
    struct str text = STR("old");
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "hello", 5), 5);
    close(ends[1]);
    char *path = arena_printf(&p->a, "/dev/fd/%d", ends[0]); /* as a shell's <(command) */
    ASSERT_OK(file_read(path, 100, &p->a, &text, &err));
    ASSERT_STR(text, "hello");
    close(ends[0]);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "hello", 5), 5);
    close(ends[1]);
    path = arena_printf(&p->a, "/dev/fd/%d", ends[0]);
    ASSERT_FAILS(file_read(path, 4, &p->a, &text, &err), ERR_LIMIT, "4 bytes allowed");
    close(ends[0]);
    ASSERT_OK(file_read("/proc/self/status", 1 << 20, &p->a, &text, &err));
    assert_true(str_starts(text, STR("Name:")));
}

static void a_file_appears_when_it_is_whole(void **state)
{
    struct place *p = *state;
    struct error err = {0};
    struct file *f = NULL;
    struct str text;

    ASSERT_OK(file_put(at(p, "x"), STR("before"), &err));
    ASSERT_OK(file_create_beside(at(p, "x"), &f, &err));
    ASSERT_OK(file_write(f, "af", 2, &err));
    ASSERT_OK(file_write(f, "ter", 3, &err));
    ASSERT_OK(file_write(f, NULL, 0, &err));
    ASSERT_OK(file_read(at(p, "x"), 100, &p->a, &text, &err));
    ASSERT_STR(text, "before");
    ASSERT_OK(file_commit(f, &err));
    file_close(f);
    ASSERT_OK(file_read(at(p, "x"), 100, &p->a, &text, &err));
    ASSERT_STR(text, "after");
    assert_int_equal(entries_of(p->dir), 1);
}

static void what_was_not_committed_leaves_nothing(void **state)
{
    struct place *p = *state;
    struct error err = {0};
    struct file *f = NULL;
    struct str text;

    ASSERT_OK(file_put(at(p, "x"), STR("before"), &err));
    ASSERT_OK(file_create_beside(at(p, "x"), &f, &err));
    ASSERT_OK(file_write(f, "after", 5, &err));
    file_close(f);
    ASSERT_OK(file_read(at(p, "x"), 100, &p->a, &text, &err));
    ASSERT_STR(text, "before");
    assert_int_equal(entries_of(p->dir), 1);
    file_close(NULL);
    ASSERT_FAILS(file_create_beside(at(p, "no/such/folder/x"), &f, &err), ERR_NOT_FOUND,
                 "folder/x");
    char *too_long = arena_alloc(&p->a, 6000);
    memset(too_long, 'x', 5999);
    ASSERT_FAILS(file_create_beside(too_long, &f, &err), ERR_INVALID, "too long");
}

/* A write that the system refuses, as a full disk would: here by a limit on the size of files. */
static void a_disk_that_is_full_leaves_the_old_file(void **state)
{
    struct place *p = *state;
    struct error err = {0};
    struct rlimit was, small;
    struct str text;
    char *bytes = arena_alloc(&p->a, 100000);

    ASSERT_OK(file_put(at(p, "x"), STR("before"), &err));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 50000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const bool ok = file_put(at(p, "x"), (struct str){bytes, 100000}, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_false(ok);
    assert_int_equal(err.kind, ERR_IO);
    assert_non_null(strstr(err.message, at(p, "x")));
    ASSERT_OK(file_read(at(p, "x"), 100, &p->a, &text, &err));
    ASSERT_STR(text, "before");
    assert_int_equal(entries_of(p->dir), 1);
}

static void lines_are_appended(void **state)
{
    struct place *p = *state;
    struct error err = {0};
    struct str text;

    ASSERT_OK(file_append(at(p, "log"), STR("one\n"), &err));
    ASSERT_OK(file_append(at(p, "log"), STR("two\n"), &err));
    ASSERT_OK(file_read(at(p, "log"), 100, &p->a, &text, &err));
    ASSERT_STR(text, "one\ntwo\n");
    ASSERT_FAILS(file_append(p->dir, STR("x"), &err), ERR_IO, p->dir);
    ASSERT_OK(file_cut(at(p, "log"), 4, &err));
    ASSERT_OK(file_read(at(p, "log"), 100, &p->a, &text, &err));
    ASSERT_STR(text, "one\n");
    ASSERT_FAILS(file_cut(at(p, "none"), 4, &err), ERR_NOT_FOUND, "none");
}

static void folders_are_made_with_all_above_them(void **state)
{
    struct place *p = *state;
    struct error err = {0};

    ASSERT_OK(file_make_dirs(at(p, "a/b//c/"), &err));
    assert_true(file_is_dir(at(p, "a/b/c")));
    ASSERT_OK(file_make_dirs(at(p, "a/b/c"), &err)); /* there already */
    ASSERT_OK(file_put(at(p, "a/file"), STR("x"), &err));
    assert_true(file_exists(at(p, "a/file")) && !file_is_dir(at(p, "a/file")));
    assert_false(file_exists(at(p, "a/none")));
    assert_false(file_is_dir(at(p, "a/none")));
    ASSERT_FAILS(file_make_dirs(at(p, "a/file"), &err), ERR_INVALID, "is not a folder");
    ASSERT_FAILS(file_make_dirs(at(p, "a/file/b"), &err), ERR_IO, "a/file/b");
    ASSERT_FAILS(file_make_dirs("", &err), ERR_INVALID, "(empty)");
}

static void a_tree_is_removed_but_not_what_links_lead_to(void **state)
{
    struct place *p = *state;
    struct error err = {0};

    ASSERT_OK(file_make_dirs(at(p, "tree/deep/er"), &err));
    ASSERT_OK(file_make_dirs(at(p, "outside"), &err));
    ASSERT_OK(file_put(at(p, "outside/kept"), STR("x"), &err));
    ASSERT_OK(file_put(at(p, "tree/deep/file"), STR("x"), &err));
    assert_int_equal(symlink(at(p, "outside"), at(p, "tree/deep/link")), 0);
    assert_int_equal(symlink("nowhere", at(p, "tree/dangling")), 0);
    ASSERT_OK(file_remove_tree(at(p, "tree"), &err));
    assert_false(file_exists(at(p, "tree")));
    assert_true(file_exists(at(p, "outside/kept")));
    ASSERT_OK(file_remove_tree(at(p, "tree"), &err)); /* nothing there is fine */
    ASSERT_OK(file_remove_tree(at(p, "outside/kept"), &err));
    assert_int_equal(entries_of(at(p, "outside")), 0);
}

static void paths_are_joined_with_one_slash(void **state)
{
    struct place *p = *state;

    assert_string_equal(file_join(&p->a, "a", "b"), "a/b");
    assert_string_equal(file_join(&p->a, "a/", "b"), "a/b");
    assert_string_equal(file_join(&p->a, "/", "b"), "/b");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void assert_synced(struct place *p, size_t i, const char *folder, const char *names)
{
    char *dir = realpath(folder[0] != '\0' ? at(p, folder) : p->dir, NULL);

    assert_true(i < n_synced);
    assert_string_equal(synced[i].path, dir);
    assert_string_equal(synced[i].names, names);
    free(dir);
}

static void a_name_is_on_the_disk_with_what_it_names(void **state)
{
    struct place *p = *state;
    struct error err = {0};

    n_synced = 0;
    ASSERT_OK(file_make_dirs(at(p, "a/b"), &err)); /* each new one in the folder above it */
    assert_int_equal(n_synced, 2);
    assert_synced(p, 0, "", "a;");
    assert_synced(p, 1, "a", "b;");
    ASSERT_OK(file_make_dirs(at(p, "a/b"), &err)); /* nothing new */
    assert_int_equal(n_synced, 2);
    ASSERT_OK(file_put(at(p, "a/b/x"), STR("1"), &err)); /* behind the rename */
    assert_int_equal(n_synced, 3);
    assert_synced(p, 2, "a/b", "x;");
    ASSERT_OK(file_rename(at(p, "a/b/x"), at(p, "a/y"), &err)); /* where it comes to */
    assert_int_equal(n_synced, 4);
    assert_true(strstr(synced[3].names, "y;") != NULL);
    ASSERT_OK(file_rename(at(p, "a/b"), at(p, "c"), &err)); /* a folder */
    assert_int_equal(n_synced, 5);
    assert_true(strstr(synced[4].names, "c;") != NULL);
    ASSERT_OK(file_make_private(at(p, "c/d/"), &err));
    assert_int_equal(n_synced, 6);
    assert_synced(p, 5, "c", "d;");
    ASSERT_OK(file_make_private(at(p, "c/d"), &err));
    assert_int_equal(n_synced, 6);
    ASSERT_FAILS(file_make_private(at(p, "a/y"), &err), ERR_INVALID, "is not a folder");
    ASSERT_FAILS(file_rename(at(p, "none"), at(p, "z"), &err), ERR_NOT_FOUND, at(p, "z"));
    ASSERT_FAILS(file_sync_name(at(p, "none/z"), &err), ERR_NOT_FOUND, "none");
}

static void a_folder_of_ours_is_nobody_elses(void **state)
{
    struct place *p = *state;
    struct error err = {0};
    struct stat st;

    ASSERT_OK(file_make_private(at(p, "x"), &err));
    assert_int_equal(stat(at(p, "x"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(chmod(at(p, "x"), 0750), 0);
    ASSERT_OK(file_make_private(at(p, "x"), &err));
    assert_int_equal(stat(at(p, "x"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_put_is_read_and_mapped),
        TEST(an_empty_file_is_an_empty_text),
        TEST(what_cannot_be_read_is_told_with_its_path),
        TEST(a_pipe_is_not_taken_for_an_empty_file),
        TEST(a_file_appears_when_it_is_whole),
        TEST(what_was_not_committed_leaves_nothing),
        TEST(a_disk_that_is_full_leaves_the_old_file),
        TEST(lines_are_appended),
        TEST(folders_are_made_with_all_above_them),
        TEST(a_tree_is_removed_but_not_what_links_lead_to),
        TEST(paths_are_joined_with_one_slash),
        TEST(a_name_is_on_the_disk_with_what_it_names),
        TEST(a_folder_of_ours_is_nobody_elses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
