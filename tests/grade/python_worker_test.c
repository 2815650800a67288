/*
 * python_worker_test.c - what a call printed is that call's, however large the pipe was made.
 */
#include "grade/python_worker.h"

#include "base/clock.h"
#include "support/support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY "\3\0\0\0Rxy" /* its length, 3, in front */

/* A worker that has replied already, with n bytes in a pipe of that size. */
static void worker_of(struct python_worker *w, size_t n, int theirs[2])
{
    char *text = malloc(n);
    int sock[2], printed[2];

    assert_non_null(text);
    memset(text, 'p', n);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
    assert_int_equal(pipe2(printed, O_NONBLOCK), 0);
    assert_true(fcntl(printed[1], F_SETPIPE_SZ, (int)n) >= (int)n);
    assert_int_equal(write(printed[1], text, n), n);
    assert_int_equal(write(sock[1], REPLY, sizeof REPLY - 1), sizeof REPLY - 1);
    fcntl(sock[0], F_SETFL, O_NONBLOCK);
    *w = (struct python_worker){.fd = sock[0], .err_fd = printed[0]};
    theirs[0] = sock[1];
    theirs[1] = printed[1];
    free(text);
}

static void all_that_a_call_printed_is_heard_with_it(void **state)
{
    (void)state;
    const size_t n = (size_t)1 << 20; /* the most that a pipe may hold unless root says else */
    struct python_worker w;
    struct buf reply;
    int theirs[2];
    char byte;

    worker_of(&w, n, theirs);
    buf_init(&reply, 64);
    assert_int_equal(worker_exchange(&w, STR("{}"), clock_seconds() + 10, &reply), WORKER_ANSWERED);
    assert_true(str_is(buf_view(&reply), "Rxy"));
    assert_int_equal(w.n_written, n);
    assert_int_equal(w.n_said, WORKER_SAID_BYTES);
    assert_int_equal(read(w.err_fd, &byte, 1), -1); /* nothing is left for the next call */
    buf_release(&reply);
    close(w.fd);
    close(w.err_fd);
    close(theirs[0]);
    close(theirs[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_a_call_printed_is_heard_with_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
