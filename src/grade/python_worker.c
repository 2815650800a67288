#include "grade/python_worker.h"

#include "base/clock.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REPLY ((size_t)4 << 20)

extern const char asset_worker_py[];

bool worker_spawn(struct python_worker *w, const struct sandbox *s, unsigned slot,
                  struct error *err)
{
    int sock[2] = {-1, -1}, errors[2] = {-1, -1};
    pid_t pid = 0;
    bool ok = true;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) != 0 ||
        pipe2(errors, O_CLOEXEC) != 0)
        ok = fail_errno(err, "making a socket for a Python grader");
    sock[1] = sandbox_lift(sock[1], err);
    errors[1] = sandbox_lift(errors[1], err);
    ok = ok && sock[1] >= 0 && errors[1] >= 0;
    ok = ok && sandbox_spawn(s, slot, sock[1], errors[1], asset_worker_py, &pid, err);
    const int theirs_and_ours[4] = {sock[1], errors[1], ok ? -1 : sock[0], ok ? -1 : errors[0]};
    for (size_t i = 0; i < COUNT_OF(theirs_and_ours); i++)
        if (theirs_and_ours[i] >= 0)
            close(theirs_and_ours[i]);
    if (!ok)
        return false;
    fcntl(sock[0], F_SETFL, O_NONBLOCK);
    fcntl(errors[0], F_SETFL, O_NONBLOCK);
    *w = (struct python_worker){.pid = pid, .fd = sock[0], .err_fd = errors[0]};
    return true;
}

void worker_stop(struct python_worker *w, const struct sandbox *s)
{
    if (w->pid <= 0)
        return;
    close(w->fd);
    if (w->err_fd >= 0)
        close(w->err_fd);
    sandbox_kill(s, w->pid);
    *w = (struct python_worker){0};
}

/*
 * Takes what was printed; all but the first of it is only counted, so that a grader that prints without end is held up no
 * more than by /dev/null. No more at once than the pipe holds: what an ended call wrote, and an end where a source has
 * left a process behind that never stops.
 */
static void hear(struct python_worker *w)
{
    char chunk[16384];
    const int holds = w->err_fd >= 0 ? fcntl(w->err_fd, F_GETPIPE_SZ) : 0;

    for (int left = holds; left > 0 && w->err_fd >= 0;) {
        const ssize_t n = read(w->err_fd, chunk, size_min((size_t)left, sizeof chunk));

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            close(w->err_fd);
            w->err_fd = -1;
        }
        if (n <= 0)
            return;
        const size_t kept = size_min((size_t)n, sizeof w->said - w->n_said);
        memcpy(w->said + w->n_said, chunk, kept);
        w->n_said += kept;
        w->n_written += (uint64_t)n;
        left -= (int)n;
    }
}

#define LOOK_MS 100 /* how often a stop is looked for */

/* Waits for events on the socket: false when the deadline or a stop comes first. */
static bool wait_for(struct python_worker *w, short events, double deadline)
{
    struct pollfd p[2] = {{.fd = w->fd, .events = events}, {.fd = w->err_fd, .events = POLLIN}};

    for (;;) {
        const double left = deadline - clock_seconds();
        const int left_ms = left > 1e6 ? 1000000000 : (int)(left * 1000) + 1;
        const bool stopped = w->stop != NULL && atomic_load(w->stop);
        const int n = left <= 0 || stopped
                          ? 0
                          : poll(p, 2, w->stop != NULL && left_ms > LOOK_MS ? LOOK_MS : left_ms);

        if (n > 0 && p[1].revents != 0) {
            hear(w);
            p[1].fd = w->err_fd;
        }
        if (n > 0 && p[0].revents != 0)
            return true;
        if (left <= 0 || stopped || (n < 0 && errno != EINTR))
            return false;
    }
}

static bool can_wait(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* The frame's length and the frame, in one piece where the socket takes it: the other side then wakes once. */
static enum worker_answer send_frame(struct python_worker *w, struct str frame, double deadline)
{
    unsigned char head[4] = {frame.len & 255, frame.len >> 8 & 255, frame.len >> 16 & 255,
                             frame.len >> 24 & 255};
    struct str part[2] = {{(const char *)head, sizeof head}, frame};

    while (part[0].len + part[1].len > 0) {
        struct iovec io[2];
        struct msghdr message = {.msg_iov = io, .msg_iovlen = 2};

        for (size_t i = 0; i < 2; i++)
            io[i] = (struct iovec){(void *)(uintptr_t)part[i].ptr, part[i].len};
        const ssize_t n = sendmsg(w->fd, &message, MSG_NOSIGNAL);
        if (n > 0) {
            const size_t of_head = size_min((size_t)n, part[0].len);

            part[0] = str_from(part[0], of_head);
            part[1] = str_from(part[1], (size_t)n - of_head);
        } else if (!can_wait(n)) {
            return WORKER_GONE;
        } else if (!wait_for(w, POLLOUT, deadline)) {
            return WORKER_TIMED_OUT;
        }
    }
    return WORKER_ANSWERED;
}

static enum worker_answer receive(struct python_worker *w, char *out, size_t size, double deadline)
{
    while (size > 0) {
        const ssize_t n = recv(w->fd, out, size, 0);

        if (n > 0) {
            out += n;
            size -= (size_t)n;
        } else if (!can_wait(n)) {
            return WORKER_GONE;
        } else if (!wait_for(w, POLLIN, deadline)) {
            return WORKER_TIMED_OUT;
        }
    }
    return WORKER_ANSWERED;
}

static enum worker_answer receive_frame(struct python_worker *w, double deadline, struct buf *reply)
{
    unsigned char head[4];
    char chunk[4096];
    enum worker_answer a = receive(w, (char *)head, sizeof head, deadline);
    size_t left =
        (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;

    buf_clear(reply);
    if (a == WORKER_ANSWERED && left > MAX_REPLY)
        return WORKER_GONE;
    while (a == WORKER_ANSWERED && left > 0) {
        const size_t n = size_min(left, sizeof chunk);

        a = receive(w, chunk, n, deadline);
        if (a == WORKER_ANSWERED)
            buf_put(reply, chunk, n);
        left -= n;
    }
    return a == WORKER_ANSWERED && reply->overflowed ? WORKER_GONE : a;
}

enum worker_answer worker_exchange(struct python_worker *w, struct str frame, double deadline,
                                   struct buf *reply)
{
    w->n_said = 0;
    w->n_written = 0;
    enum worker_answer a = send_frame(w, frame, deadline);
    if (a == WORKER_ANSWERED)
        a = receive_frame(w, deadline, reply);
    hear(w); /* the call has ended: all it printed is in the pipe */
    return a;
}

/* The last line of what it complained about: bubblewrap says one, and Python's last is the exception. */
static struct str last_line(struct python_worker *w)
{
    hear(w);
    struct str said = {w->said, w->n_said};

    while (said.len > 0 && said.ptr[said.len - 1] == '\n')
        said.len--;
    for (size_t i = said.len; i > 0; i--)
        if (said.ptr[i - 1] == '\n')
            return str_from(said, i);
    return said.len > 0 ? said : STR("it said nothing");
}

bool worker_ready(struct python_worker *w, double deadline, struct error *err)
{
    struct buf reply;

    buf_init(&reply, 64);
    const enum worker_answer a = receive_frame(w, deadline, &reply);
    const bool ok = a == WORKER_ANSWERED && str_is(buf_view(&reply), "ready");
    buf_release(&reply);
    const struct str said = last_line(w);
    if (ok)
        return true;
    if (a == WORKER_TIMED_OUT)
        return fail(err, ERR_TIMEOUT, "Python did not start in time");
    return fail(err, ERR_UNSUPPORTED, "the sandbox did not start: %.*s",
                (int)size_min(said.len, 300), said.ptr);
}
