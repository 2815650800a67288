/*
 * signals.c - one handler, one flag.
 */
#include "cli/signals.h"

#include <signal.h>
#include <stdbool.h>

static atomic_bool stop;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stop, true); /* lock-free: nothing else is allowed here */
}

const atomic_bool *signals_watch(void)
{
    struct sigaction once = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    struct sigaction ignored = {.sa_handler = SIG_IGN}, plain = {.sa_handler = SIG_DFL};

    _Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "a signal handler sets this flag");
    atomic_store(&stop, false);
    sigemptyset(&once.sa_mask);
    sigaction(SIGINT, &once, NULL);
    sigaction(SIGTERM, &once, NULL);
    sigemptyset(&ignored.sa_mask);
    sigaction(SIGPIPE, &ignored, NULL);
    sigaction(SIGXFSZ, &ignored, NULL);
    sigemptyset(&plain.sa_mask);
    sigaction(SIGCHLD, &plain, NULL); /* who ignores it cannot wait for the processes it starts */
    return &stop;
}
