/*
 * page_pdf.c - starts the browser, waits, and looks at what it left.
 */
#include "cli/page_pdf.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PRINT_SECONDS 120 /* a busy machine takes a quarter of it */
#define LOG_BYTES ((size_t)4 << 20)

static const char *const browsers[] = {"chromium",       "chromium-browser",
                                       "google-chrome",  "google-chrome-stable",
                                       "microsoft-edge", "chrome"};

/* "file:///a%20b/report.html" */
static bool address_of(const char *page, struct arena *a, const char **out, struct error *err)
{
    char path[PATH_MAX];
    struct buf b;

    if (realpath(page, path) == NULL)
        return fail_errno(err, "the page %s", page);
    buf_init(&b, 4 * PATH_MAX);
    buf_text(&b, "file://");
    for (const char *p = path; *p != '\0'; p++)
        if (isalnum((unsigned char)*p) || strchr("/._-~", *p) != NULL)
            buf_char(&b, *p);
        else
            buf_printf(&b, "%%%02X", (unsigned char)*p);
    *out = arena_text(a, buf_view(&b));
    buf_release(&b);
    return true;
}

/* In a group of its own, so that all its processes can be ended together; what it says goes to log. */
static int start(const char *name, char *const *argv, const char *log, pid_t *pid)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;

    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    const int rc = posix_spawnp(pid, name, &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static bool wait_for(pid_t pid, const char *name, const atomic_bool *stop, struct error *err)
{
    const double deadline = clock_seconds() + PRINT_SECONDS;
    bool late = false, stopped = false;
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0 && !late && !stopped) {
        clock_sleep_until(clock_seconds() + 0.05);
        late = clock_seconds() > deadline;
        stopped = atomic_load(stop);
    }
    (void)kill(-pid, SIGKILL); /* and whatever it left behind */
    if (late || stopped)
        (void)waitpid(pid, &status, 0);
    if (stopped)
        return fail(err, ERR_CANCELLED, "stopped while the page was being printed");
    return !late ||
           fail(err, ERR_TIMEOUT, "%s did not print the page within %d s", name, PRINT_SECONDS);
}

static const char *last_line(const char *log, struct arena *a)
{
    struct str text, line = STR("it said nothing");
    struct error ignored;

    if (!file_read(log, LOG_BYTES, a, &text, &ignored))
        return line.ptr;
    text = str_trim(text, STR_SPACE);
    for (size_t at = text.len; at > 0; at--)
        if (text.ptr[at - 1] == '\n')
            return arena_text(a, str_from(text, at));
    return text.len > 0 ? arena_text(a, text) : line.ptr;
}

static bool is_pdf(const char *path)
{
    char head[5];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const bool ok = fd >= 0 && read(fd, head, 5) == 5 && memcmp(head, "%PDF-", 5) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

/* dir: a folder for the profile. */
static bool print(const char *dir, const char *address, const char *pdf, const atomic_bool *stop,
                  struct arena *a, struct error *err)
{
    const char *log = file_join(a, dir, "log");
    char *argv[] = {
        NULL, arena_text(a, STR("--headless")), arena_text(a, STR("--disable-gpu")),
        arena_text(a, STR("--disable-dev-shm-usage")), arena_text(a, STR("--no-first-run")),
        arena_text(a, STR("--disable-extensions")),
        arena_text(a, STR("--disable-background-networking")),
        arena_text(a, STR("--host-resolver-rules=MAP * ~NOTFOUND")),
        arena_text(a, STR("--no-pdf-header-footer")),
        arena_text(a, STR("--virtual-time-budget=10000")),
        arena_printf(a, "--user-data-dir=%s/profile", dir),
        arena_printf(a, "--print-to-pdf=%s", pdf), arena_text(a, str_of(address)),
        /* Chromium's own sandbox wants a user; the page's policy lets it ask nobody all the same */
        geteuid() == 0 ? arena_text(a, STR("--no-sandbox")) : NULL, NULL};
    const char *name = NULL;
    pid_t pid = 0;
    int rc = ENOENT;

    for (size_t i = 0; i < COUNT_OF(browsers) && rc != 0; i++) {
        name = browsers[i];
        argv[0] = arena_text(a, str_of(name));
        rc = start(name, argv, log, &pid);
    }
    if (rc != 0)
        return fail(err, ERR_UNSUPPORTED,
                    "no browser to print with: neither chromium nor google-chrome is in PATH. "
                    "Install one (Debian: apt install chromium), or open the page in any browser "
                    "and print it there");
    if (!wait_for(pid, name, stop, err))
        return false;
    return is_pdf(pdf) || fail(err, ERR_IO, "%s printed nothing: %.300s", name, last_line(log, a));
}

bool page_pdf(const char *page, const char *pdf, const atomic_bool *stop, struct error *err)
{
    const char *tmp = getenv("TMPDIR"), *address = NULL;
    struct arena a = {0};
    struct error ignored;
    char *dir =
        arena_printf(&a, "%s/hone-pdf-XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");

    if (!address_of(page, &a, &address, err)) {
        arena_release(&a);
        return false;
    }
    bool ok = mkdtemp(dir) != NULL || fail_errno(err, "making a folder in %s", dir);
    if (ok) {
        const char *made = file_join(&a, dir, "page.pdf");
        struct str bytes;

        ok = print(dir, address, made, stop, &a, err) &&
             file_read(made, (size_t)1 << 30, &a, &bytes, err) && file_put(pdf, bytes, err);
        (void)!file_remove_tree(dir, &ignored);
    }
    arena_release(&a);
    return ok;
}
