/*
 * kill_at.c - loaded before libc (LD_PRELOAD), it kills the process at the KILL_AT-th call that changes what is on the disk, before
 * that happens; with KILL_COUNT, a path, the number of such calls is written there when the process ends by itself.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int n_calls;

static void tick(void)
{
    const char *at = getenv("KILL_AT");
    const int n = atomic_fetch_add(&n_calls, 1) + 1;

    if (at != NULL && n == atoi(at)) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("KILL_COUNT");
    FILE *f = path != NULL ? fopen(path, "w") : NULL;

    if (f == NULL)
        return;
    fprintf(f, "%d\n", atomic_load(&n_calls));
    fclose(f);
}

/* The call as libc has it, behind a tick. ISO C has no cast from an object's address to a function's. */
#define BEHIND_TICK(type, name, parameters, arguments)                                             \
    type name parameters                                                                           \
    {                                                                                              \
        type(*real) parameters = NULL;                                                             \
                                                                                                   \
        tick();                                                                                    \
        *(void **)&real = dlsym(RTLD_NEXT, #name);                                                 \
        return real arguments;                                                                     \
    }

BEHIND_TICK(int, rename, (const char *from, const char *to), (from, to))
BEHIND_TICK(int, unlink, (const char *path), (path))
BEHIND_TICK(int, rmdir, (const char *path), (path))
BEHIND_TICK(int, mkdir, (const char *path, mode_t mode), (path, mode))
BEHIND_TICK(int, ftruncate, (int fd, off_t len), (fd, len))
BEHIND_TICK(ssize_t, pwrite, (int fd, const void *bytes, size_t n, off_t at), (fd, bytes, n, at))
BEHIND_TICK(int, fsync, (int fd), (fd))
BEHIND_TICK(int, flock, (int fd, int how), (fd, how))
