/*
 * postgres.c - initdb and postgres as children, as somebody who is not root.
 */
#include "support/postgres.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    bool tried;
    const char *missing; /* why there is none */
    char bin[256];       /* "/usr/lib/postgresql/15/bin" */
    char dir[64], data[80];
    pid_t pid;
    unsigned n_databases;
    struct passwd user; /* whose name is kept by the system's list */
} server;

static void find_programs(void)
{
    glob_t found;

    if (db_postgres_version() == NULL) {
        server.missing = "hone was built without it";
        return;
    }
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) != 0) {
        server.missing = "there is no /usr/lib/postgresql/*/bin/initdb";
        return;
    }
    const char *last = found.gl_pathv[found.gl_pathc - 1];
    snprintf(server.bin, sizeof server.bin, "%.*s", (int)(strlen(last) - strlen("/initdb")), last);
    globfree(&found);
    if (geteuid() == 0) {
        const struct passwd *u = getpwnam("postgres");

        u = u != NULL ? u : getpwnam("nobody");
        if (u == NULL)
            server.missing =
                "it does not run as root, and there is no user \"postgres\" or \"nobody\"";
        else
            server.user = *u;
    }
}

/* A child with these arguments; what it says goes to DIR/log. */
static pid_t start(const char *program, const char *const *more)
{
    char path[320], log[96];
    const char *argv[24] = {path};
    size_t n = 1;

    snprintf(path, sizeof path, "%s/%s", server.bin, program);
    snprintf(log, sizeof log, "%s/log", server.dir);
    for (; *more != NULL; more++)
        argv[n++] = *more;
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (geteuid() == 0 && (setgid(server.user.pw_gid) != 0 || setuid(server.user.pw_uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    dup2(fd, 1);
    dup2(fd, 2);
    execv(path, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static bool succeeds(const char *program, const char *const *more)
{
    int status = -1;
    const pid_t pid = start(program, more);

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status == 0;
}

static void serve(void)
{
    const char *const args[] = {"-D", server.data,
                                "-k", server.dir,
                                "-h", "",
                                "-c", "fsync=off",
                                "-c", "max_connections=200",
                                "-c", "log_min_messages=fatal",
                                NULL};
    const char *const ready[] = {"-q", "-h", server.dir, "-U", "postgres", "-d", "postgres", NULL};
    const double deadline = clock_seconds() + 60;

    server.pid = start("postgres", args);
    while (!succeeds("pg_isready", ready))
        if (clock_seconds() > deadline)
            fail_msg("PostgreSQL did not start in a minute; see %s/log", server.dir);
        else
            clock_sleep_until(clock_seconds() + 0.05);
}

static void start_server(void)
{
    server.tried = true;
    find_programs();
    if (server.missing != NULL)
        return;
    snprintf(server.dir, sizeof server.dir, "/tmp/hone-postgres-XXXXXX");
    assert_non_null(mkdtemp(server.dir));
    if (geteuid() == 0)
        assert_int_equal(chown(server.dir, server.user.pw_uid, server.user.pw_gid), 0);
    snprintf(server.data, sizeof server.data, "%s/data", server.dir);
    const char *const args[] = {
        "-D",   server.data,        "-A",        "trust", "-U", "postgres", "-E",
        "UTF8", "--locale=C.UTF-8", "--no-sync", NULL};
    if (!succeeds("initdb", args))
        fail_msg("initdb failed; see %s/log", server.dir);
    serve();
}

int postgres_stop(void **state)
{
    struct error ignored = {0};

    (void)state;
    if (server.pid > 0) {
        kill(server.pid, SIGQUIT);
        waitpid(server.pid, NULL, 0);
        (void)!file_remove_tree(server.dir, &ignored);
        server.pid = 0;
    }
    return 0;
}

void postgres_crash(void)
{
    kill(server.pid, SIGQUIT); /* every process of it stops where it stands */
    waitpid(server.pid, NULL, 0);
    serve();
}

static struct test_database *make(bool on_postgres)
{
    struct test_database *d = calloc(1, sizeof *d);

    assert_non_null(d);
    d->dir = test_dir_make(&d->arena);
    d->on_postgres = on_postgres;
    return d;
}

int test_database_sqlite(void **state)
{
    struct test_database *d = make(false);

    d->url = arena_printf(&d->arena, "sqlite:%s/hone.db", d->dir);
    *state = d;
    return 0;
}

int test_database_postgres(void **state)
{
    struct test_database *d = make(true);

    if (!server.tried)
        start_server();
    if (server.missing == NULL) {
        const char *name = arena_printf(&d->arena, "t%u", ++server.n_databases);
        const char *const args[] = {"-h", server.dir, "-U", "postgres", name, NULL};

        if (!succeeds("createdb", args))
            fail_msg("createdb %s failed; see %s/log", name, server.dir);
        d->url = arena_printf(&d->arena, "postgresql://postgres@/%s?host=%s", name, server.dir);
    }
    *state = d;
    return 0;
}

int test_database_gone(void **state)
{
    struct test_database *d = *state;

    test_dir_remove(d->dir);
    arena_release(&d->arena);
    free(d);
    return 0;
}

struct test_database *test_database(void **state)
{
    struct test_database *d = *state;

    if (d->url == NULL) {
        print_message("[ NOTE ] not tested over PostgreSQL: %s\n", server.missing);
        skip();
    }
    return d;
}
