/*
 * grader_env.c - made beside its place by venv and pip, and renamed when it is whole.
 */
#include "cli/grader_env.h"
#include "base/file.h"
#include "base/size.h"
#include "grade/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSTEM_PYTHON "/usr/bin/python3"
#define FROM_SOURCE "scikit-bio" /* the one that has no ready-made build */

extern const char asset_grader_packages_txt[];

/* ---- where it is ---- */

static const char *env_folder(const char *home, struct arena *a)
{
    char *absolute = realpath(home, NULL);
    const char *out = file_join(a, absolute != NULL ? absolute : home, "graders");

    free(absolute);
    return out;
}

const char *grader_env_python(struct cli *c)
{
    const char *asked = option_text(c->options, OPT_PYTHON);
    const char *own = file_join(c->arena, env_folder(c->home, c->arena), "python/bin/python3");

    return asked != NULL ? asked : access(own, X_OK) == 0 ? own : NULL;
}

/* ---- what goes in ---- */

/* "numpy==2.2.4   # numpy": a package that may be asked for; one without a module is only what others need. */
static bool read_package(struct str line, struct arena *a, struct grader_package *out)
{
    const size_t hash = str_find(line, STR("#"), 0), equals = str_find(line, STR("=="), 0);
    size_t end = equals + 2, module = hash + 1;

    if (equals >= hash || hash >= line.len)
        return false;
    while (end < hash && line.ptr[end] != ' ')
        end++;
    while (module < line.len && line.ptr[module] == ' ')
        module++;
    out->name = arena_text(a, (struct str){line.ptr, equals});
    out->version = arena_text(a, (struct str){line.ptr + equals + 2, end - equals - 2});
    out->module = arena_text(a, str_from(line, module));
    return true;
}

const struct grader_package *grader_env_packages(struct arena *a, size_t *n)
{
    const struct str text = str_of(asset_grader_packages_txt);
    struct grader_package *all = ARENA_ARRAY(a, struct grader_package, 64);

    *n = 0;
    for (size_t at = 0; at < text.len && *n < 64;) {
        const size_t end = str_find(text, STR("\n"), at);

        *n += read_package((struct str){text.ptr + at, end - at}, a, &all[*n]);
        at = end + 1;
    }
    return all;
}

/* Marks those named in only, or all. */
static bool choose(struct cli *c, const char *only, const struct grader_package *all, size_t n,
                   bool *wanted, struct error *err)
{
    const char *names[64];
    const struct str list = str_of(only == NULL ? "" : only);

    for (size_t i = 0; i < n; i++) {
        names[i] = all[i].name;
        wanted[i] = only == NULL;
    }
    for (size_t at = 0; only != NULL && at <= list.len;) {
        const size_t end = str_find(list, STR(","), at);
        const struct str name = {list.ptr + at, end - at};
        bool found = false;

        for (size_t i = 0; i < n; i++)
            if (str_is(name, all[i].name))
                wanted[i] = found = true;
        const char *near = found ? NULL : closest_word(arena_text(c->arena, name), n, names);
        if (!found)
            return misuse(c, err, "--only has \"%.*s\"%s%s%s", (int)size_min(name.len, 100),
                          name.ptr, near != NULL ? "; did you mean \"" : "",
                          near != NULL ? near : ", which is not among the packages of graders",
                          near != NULL ? "\"?" : "");
        at = end + 1;
    }
    return true;
}

/* ---- running venv and pip ---- */

struct said {
    char error[400]; /* the last line that names an error, or the last line */
    bool no_network, no_venv;
};

static void take_line(struct said *said, const char *line)
{
    static const char *const network[] = {"NewConnectionError",     "Temporary failure in name",
                                          "Network is unreachable", "ConnectTimeoutError",
                                          "ReadTimeoutError",       "ProxyError"};

    for (size_t i = 0; i < COUNT_OF(network); i++)
        said->no_network = said->no_network || strstr(line, network[i]) != NULL;
    said->no_venv = said->no_venv || strstr(line, "ensurepip is not") != NULL ||
                    strstr(line, "No module named venv") != NULL;
    if (strncmp(line, "Collecting ", 11) == 0) {
        fprintf(stderr, "  %s\n", line + 11);
        return;
    }
    if (strncmp(line, "Building wheel", 14) == 0 || strncmp(line, "Installing collected", 20) == 0)
        fprintf(stderr, "  %.60s ...\n", line);
    if (line[0] != '\0' &&
        (strncmp(line, "ERROR", 5) == 0 || strncmp(said->error, "ERROR", 5) != 0))
        snprintf(said->error, sizeof said->error, "%s", line);
}

/* The lines of fd until its end; false where a stop was asked for. */
static bool read_lines(struct cli *c, int fd, struct said *said)
{
    char line[2048];
    size_t n = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char byte;

        if (atomic_load(c->stop))
            return false;
        if (poll(&p, 1, 200) <= 0)
            continue;
        const ssize_t k = read(fd, &byte, 1);
        if (k < 0 && errno == EINTR)
            continue;
        if (k > 0 && byte != '\n') {
            if (n < sizeof line - 1)
                line[n++] = byte;
            continue;
        }
        line[n] = '\0';
        take_line(said, line);
        n = 0;
        if (k <= 0)
            return true;
    }
}

/* Runs a program and hears what it says; Ctrl-C ends it, too. */
static bool run_program(struct cli *c, const char *const *words, struct said *said, bool *worked,
                        struct error *err)
{
    posix_spawn_file_actions_t actions;
    int fd[2], status = 0;
    pid_t pid;

    *said = (struct said){0};
    if (pipe2(fd, O_CLOEXEC) != 0)
        return fail_errno(err, "making a pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, fd[1], 1);
    posix_spawn_file_actions_adddup2(&actions, fd[1], 2);
    const int failed =
        posix_spawn(&pid, words[0], &actions, NULL, (char *const *)(uintptr_t)words, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fd[1]);
    const bool heard = failed == 0 && read_lines(c, fd[0], said);
    close(fd[0]);
    if (failed != 0) {
        errno = failed;
        return fail_errno(err, "starting %s", words[0]);
    }
    if (!heard)
        kill(pid, SIGTERM);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    *worked = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return !heard || atomic_load(c->stop)
               ? fail(err, ERR_CANCELLED, "stopped on request; what was there before is as it was")
               : true;
}

static bool make_venv(struct cli *c, const char *base, const char *folder, struct error *err)
{
    const char *const words[] = {base, "-m", "venv", folder, NULL};
    struct said said;
    bool worked;

    fprintf(stderr, "making an environment of %s\n", base);
    if (!run_program(c, words, &said, &worked, err))
        return false;
    if (worked)
        return true;
    if (said.no_venv)
        return fail(err, ERR_NOT_FOUND,
                    "%s cannot make environments: its venv module is missing (on Debian: apt "
                    "install python3-venv)",
                    base);
    return fail(err, ERR_IO, "%s could not make an environment: %s", base, said.error);
}

/* pip install, with every version fixed by the list; *worked is false where building a package failed. */
static bool pip_install(struct cli *c, const char *folder, const char *list, size_t n,
                        const char *const *what, bool *worked, struct said *said, struct error *err)
{
    const char **words = ARENA_ARRAY(c->arena, const char *, n + 16);
    const char *const first[] = {file_join(c->arena, folder, "bin/python3"),
                                 "-m",
                                 "pip",
                                 "install",
                                 "--disable-pip-version-check",
                                 "--no-input",
                                 "--progress-bar",
                                 "off",
                                 "--retries",
                                 "2",
                                 "--prefer-binary",
                                 "--constraint",
                                 list};

    memcpy(words, first, sizeof first);
    memcpy(words + COUNT_OF(first), what, n * sizeof *what);
    words[COUNT_OF(first) + n] = NULL;
    if (!run_program(c, words, said, worked, err))
        return false;
    if (*worked || !said->no_network)
        return true;
    return fail(err, ERR_IO,
                "no package index could be reached: hone graders install needs the network, or a "
                "mirror named in PIP_INDEX_URL");
}

/* ---- together ---- */

static bool fill(struct cli *c, const char *folder, const struct grader_package *all, size_t n,
                 const bool *wanted, struct grader_env_result *out, struct error *err)
{
    const char *list = file_join(c->arena, folder, "grader-packages.txt");
    const char *what[64], *const source[] = {FROM_SOURCE};
    size_t n_what = 0;
    struct said said;
    bool worked = true, by_source = false;

    for (size_t i = 0; i < n; i++) {
        const bool is_source = strcmp(all[i].name, FROM_SOURCE) == 0;

        by_source = by_source || (wanted[i] && is_source);
        if (wanted[i] && !is_source)
            what[n_what++] = all[i].name;
    }
    fprintf(stderr, "installing %zu packages and what they need\n", n_what + by_source);
    if (!file_put(list, str_of(asset_grader_packages_txt), err))
        return false;
    if (n_what > 0 && !pip_install(c, folder, list, n_what, what, &worked, &said, err))
        return false;
    if (!worked)
        return fail(err, ERR_IO, "pip could not install them: %.300s", said.error);
    if (by_source && !pip_install(c, folder, list, 1, source, &worked, &said, err))
        return false;
    out->missing = worked ? NULL : FROM_SOURCE;
    out->n_packages = n_what + (by_source && worked);
    return true;
}

/* The new one in the place of the old, if there is one. */
static bool put_in_place(const char *made, const char *place, struct error *err)
{
    if (!file_exists(place))
        return file_rename(made, place, err);
    if (renameat2(AT_FDCWD, made, AT_FDCWD, place, RENAME_EXCHANGE) == 0)
        return file_sync_name(place, err) && file_remove_tree(made, err); /* the old one now */
    /* a file system that cannot exchange: for a moment there is none, which is better than a mixture */
    return file_remove_tree(place, err) && file_rename(made, place, err);
}

/* One installation at a time: the lock ends with the process. */
static bool lock_folder(const char *folder, int *out, struct error *err)
{
    *out = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out < 0)
        return fail_errno(err, "opening %s", folder);
    if (flock(*out, LOCK_EX | LOCK_NB) == 0)
        return true;
    close(*out);
    *out = -1;
    return fail(err, ERR_INVALID, "another hone graders install is at work in %s", folder);
}

bool grader_env_install(struct cli *c, const char *only, struct grader_env_result *out,
                        struct error *err)
{
    const char *asked = option_text(c->options, OPT_PYTHON);
    const char *base = asked != NULL ? asked : SYSTEM_PYTHON;
    size_t n;
    const struct grader_package *all = grader_env_packages(c->arena, &n);
    bool wanted[64];
    int lock = -1;

    if (!choose(c, only, all, n, wanted, err) || !file_make_dirs(c->home, err))
        return false;
    if (access(base, X_OK) != 0)
        return fail(err, ERR_NOT_FOUND, "%s is missing (on Debian: apt install python3)", base);
    const char *folder = env_folder(c->home, c->arena);
    const char *made = file_join(c->arena, folder, "python.making");
    const char *place = file_join(c->arena, folder, "python");
    bool ok = file_make_dirs(folder, err) && sandbox_can_show(place, err) &&
              lock_folder(folder, &lock, err) && file_remove_tree(made, err);
    const bool locked = ok;
    ok = ok && make_venv(c, base, made, err) && fill(c, made, all, n, wanted, out, err) &&
         put_in_place(made, place, err);
    struct error ignored;
    if (locked && !ok && !file_remove_tree(made, &ignored))
        fprintf(stderr, "what is left of it lies in %s\n", made);
    if (lock >= 0)
        close(lock);
    if (ok)
        out->python = file_join(c->arena, place, "bin/python3");
    return ok;
}
