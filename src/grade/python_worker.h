/*
 * python_worker.h - one sandboxed Python process and the frames it speaks (assets/worker.py has the list).
 */
#ifndef HONE_GRADE_PYTHON_WORKER_H
#define HONE_GRADE_PYTHON_WORKER_H

#include "grade/sandbox.h"

#define WORKER_SAID_BYTES 4096
struct python_worker {
    pid_t pid;               /* 0: not started */
    int fd;                  /* our end of the socket */
    const atomic_bool *stop; /* set: waiting ends as if the time were up; or NULL */
    int err_fd; /* what it complains about before it speaks, and what calls print; -1: nobody writes there */
    /* of the last exchange: the first of what the call printed, and how much there was */
    char said[WORKER_SAID_BYTES];
    size_t n_said;
    uint64_t n_written;
};

/* Starts the process; it lives at most as long as the calling thread. */
MUST_CHECK bool worker_spawn(struct python_worker *w, const struct sandbox *s, unsigned slot,
                             struct error *err);
void worker_stop(struct python_worker *w,
                 const struct sandbox *s); /* kills it and all in it; not started is fine */

enum worker_answer {
    WORKER_ANSWERED,
    WORKER_TIMED_OUT,
    WORKER_GONE, /* it ended, or spoke nonsense */
};
/* Sends a frame and waits for one, until clock_seconds() is deadline; hears meanwhile what is printed. After anything but an answer the worker is to be stopped. */
enum worker_answer worker_exchange(struct python_worker *w, struct str frame, double deadline,
                                   struct buf *reply);

/* Waits until the interpreter runs; fails with ERR_UNSUPPORTED and what bubblewrap or Python said. */
MUST_CHECK bool worker_ready(struct python_worker *w, double deadline, struct error *err);
#endif
