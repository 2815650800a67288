/*
 * worker_pool.c - one thread that starts, waits for and buries.
 */
#include "server/worker_pool.h"
#include "base/background.h"
#include "base/clock.h"
#include "store/jobs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEADY_SECONDS 60 /* one that lived so long is no failed start */
#define LONGEST_WAIT 60   /* seconds between two starts */
#define LOOK_SECONDS 0.05

extern char **environ;

struct child {
    pid_t pid; /* 0: none */
    char name[80];
    double started, next_start;
    unsigned n_short; /* lives in a row that ended soon */
    size_t n_started;
    bool checks; /* does these alone, and is not counted */
};

struct worker_pool {
    struct worker_pool_options opt;
    struct arena arena;
    char program[4096];
    char machine[65];
    struct child *children;
    size_t n_children;
    struct background thread; /* its lock guards all below */
    size_t n_alive, n_starts;
};

static void say(const struct worker_pool *p, const char *event, long pid, const char *message)
{
    if (p->opt.log != NULL)
        p->opt.log(event, pid, message);
}

static bool start(struct worker_pool *p, struct child *c)
{
    struct arena a = {0};
    size_t n_extra = 0, n = 0;
    char self[32];
    pid_t pid;

    while (p->opt.extra != NULL && p->opt.extra[n_extra] != NULL)
        n_extra++;
    const char **argv = ARENA_ARRAY(&a, const char *, n_extra + 6);
    snprintf(self, sizeof self, "%ld", (long)getpid());
    snprintf(c->name, sizeof c->name, "%s:%s:%zx:%zu", p->machine, self, (size_t)c % 0x100000,
             c->checks ? c->n_started : p->n_starts);
    c->n_started++;
    argv[n++] = p->program;
    argv[n++] = "worker";
    argv[n++] = arena_printf(&a, "--worker-name=%s", c->name);
    argv[n++] = arena_printf(&a, "--leave-without=%s", self);
    if (p->opt.checks)
        argv[n++] = c->checks ? "--take=checks" : "--take=jobs";
    for (size_t i = 0; i < n_extra; i++)
        argv[n++] = p->opt.extra[i];
    const int failed = posix_spawn(&pid, p->program, NULL, NULL, (char **)(uintptr_t)argv, environ);
    arena_release(&a);
    c->started = clock_seconds();
    if (failed != 0) {
        say(p, "worker not started", 0, strerror(failed));
        c->n_short++;
        c->next_start = c->started + LONGEST_WAIT;
        return false;
    }
    c->pid = pid;
    pthread_mutex_lock(&p->thread.lock);
    p->n_alive += !c->checks;
    p->n_starts += !c->checks;
    pthread_mutex_unlock(&p->thread.lock);
    say(p, "worker started", pid, c->name);
    return true;
}

/* Its jobs are free for others now. */
static void bury(struct worker_pool *p, struct child *c, int status)
{
    const double lived = clock_seconds() - c->started;
    char message[80];
    struct error err = {0};

    snprintf(message, sizeof message, "%s %d",
             WIFSIGNALED(status) ? "killed by signal" : "ended with status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    say(p, "worker ended", c->pid, message);
    c->pid = 0;
    c->n_short = lived < STEADY_SECONDS ? c->n_short + 1 : 0;
    const double wait =
        c->n_short <= 3 ? 0.2 : (double)(1u << (c->n_short < 9 ? c->n_short - 3 : 6));
    c->next_start = clock_seconds() + (wait < LONGEST_WAIT ? wait : LONGEST_WAIT);
    pthread_mutex_lock(&p->thread.lock);
    p->n_alive -= !c->checks;
    pthread_mutex_unlock(&p->thread.lock);
    if (!jobs_release_worker(p->opt.store, c->name, &err))
        say(p, "jobs not released", 0, err.message); /* their leases end by themselves */
}

static double look_after(void *ctx)
{
    struct worker_pool *p = ctx;

    for (size_t i = 0; i < p->n_children; i++) {
        struct child *c = &p->children[i];
        int status;

        if (c->pid != 0 && waitpid(c->pid, &status, WNOHANG) == c->pid)
            bury(p, c, status);
        if (c->pid == 0 && clock_seconds() >= c->next_start)
            (void)!start(p, c);
    }
    return LOOK_SECONDS;
}

bool worker_pool_open(const struct worker_pool_options *opt, struct worker_pool **out,
                      struct error *err)
{
    struct worker_pool *p = calloc(1, sizeof *p);
    ssize_t n;

    if (p == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the workers");
    p->opt = *opt;
    p->n_children = opt->n_workers + opt->checks;
    p->children = ARENA_ARRAY(&p->arena, struct child, p->n_children + 1);
    if (opt->checks)
        p->children[opt->n_workers].checks = true;
    if (gethostname(p->machine, sizeof p->machine - 1) != 0)
        snprintf(p->machine, sizeof p->machine, "localhost");
    n = opt->program == NULL ? readlink("/proc/self/exe", p->program, sizeof p->program - 1) : 0;
    if (opt->program != NULL)
        snprintf(p->program, sizeof p->program, "%s", opt->program);
    const bool ok = n >= 0 || fail_errno(err, "cannot find this program to start workers");
    if (!ok || !background_start(&p->thread, look_after, p, "the workers", err)) {
        arena_release(&p->arena);
        free(p);
        return false;
    }
    *out = p;
    return true;
}

/* Waits for all of them until then; whether they have left. */
static bool wait_for_all(struct worker_pool *p, double until)
{
    bool some = true;

    while (some) {
        some = false;
        for (size_t i = 0; i < p->n_children; i++) {
            struct child *c = &p->children[i];
            int status;

            if (c->pid != 0 && waitpid(c->pid, &status, WNOHANG) == c->pid)
                bury(p, c, status);
            some = some || c->pid != 0;
        }
        if (some && clock_seconds() >= until)
            return false;
        if (some)
            clock_sleep_until(clock_seconds() + LOOK_SECONDS);
    }
    return true;
}

static void signal_all(struct worker_pool *p, int signal)
{
    for (size_t i = 0; i < p->n_children; i++)
        if (p->children[i].pid != 0)
            kill(p->children[i].pid, signal);
}

void worker_pool_close(struct worker_pool *p, double seconds)
{
    if (p == NULL)
        return;
    background_stop(&p->thread);
    signal_all(p, SIGTERM);
    if (!wait_for_all(p, clock_seconds() + seconds)) {
        signal_all(p, SIGKILL);
        (void)!wait_for_all(p, clock_seconds() + 10);
    }
    background_release(&p->thread);
    arena_release(&p->arena);
    free(p);
}

void worker_pool_counts(struct worker_pool *p, size_t *n_alive, size_t *n_starts)
{
    pthread_mutex_lock(&p->thread.lock);
    *n_alive = p->n_alive;
    *n_starts = p->n_starts;
    pthread_mutex_unlock(&p->thread.lock);
}
