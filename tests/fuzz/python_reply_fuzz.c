/*
 * python_reply_fuzz.c - any bytes as what a Python worker says, whose process has run a grader of somebody else's: 'l' of loading, 'c' of a
 * call, 's' on its socket, length and all; what it prints is bytes, too.
 */
#include "fuzz.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "grade/python_reply.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void loaded(struct str frame)
{
    struct error err = {0};
    json_t *list = NULL;
    size_t at_fault = SIZE_MAX;

    if (python_loaded_read(frame, &list, &at_fault, &err)) {
        check(json_is_array(list) && at_fault == SIZE_MAX);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *keys = json_object_get(json_array_get(list, i), "keys");

            for (size_t k = 0; k < json_array_size(keys); k++)
                check(json_is_string(json_array_get(keys, k)));
        }
    } else {
        check(err.message[0] != '\0' && list == NULL);
    }
    json_decref(list);
}

static void check_text(const char *text, size_t size)
{
    const struct str s = str_of(text);

    check(s.len < size && utf8_valid(s) == s.len);
}

/* In rooms of a size that the first byte says. */
static void reply(struct str frame)
{
    char room[256] = "";
    struct python_reply r = {.reward = (double)NAN, .details = room};

    if (frame.len < 2)
        return;
    r.details_size = 1 + (uint8_t)frame.ptr[0];
    const enum python_outcome outcome = python_reply_read(str_from(frame, 1), &r);
    check(outcome == PYTHON_REWARD ? isfinite(r.reward) : isnan(r.reward));
    check_text(room, r.details_size);
}

static void printed(struct str said)
{
    char room[WORKER_SAID_BYTES * 3 + 64];
    struct python_worker w = {.fd = -1, .err_fd = -1};

    if (said.len < 2)
        return;
    struct python_reply r = {.printed = room, .printed_size = 1 + 8 * (size_t)(uint8_t)said.ptr[0]};
    w.n_written = said.len - 2 + (uint8_t)said.ptr[1];
    said = str_from(said, 2);
    w.n_said = said.len < sizeof w.said ? said.len : sizeof w.said;
    memcpy(w.said, said.ptr, w.n_said);
    python_reply_printed(&w, &r);
    check_text(room, r.printed_size);
}

static void on_socket(struct str bytes)
{
    int pair[2], pipe_of[2];
    struct buf got;

    if (bytes.len > 4096)
        return;
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 &&
          pipe2(pipe_of, O_CLOEXEC | O_NONBLOCK) == 0);
    check(fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0);
    check(write(pair[1], bytes.ptr, bytes.len) == (ssize_t)bytes.len);
    check(write(pipe_of[1], bytes.ptr, bytes.len) == (ssize_t)bytes.len);
    check(shutdown(pair[1], SHUT_WR) == 0);
    struct python_worker w = {.fd = pair[0], .err_fd = pipe_of[0]};
    buf_init(&got, 1024);
    const enum worker_answer a = worker_exchange(&w, STR("x"), clock_seconds() + 60, &got);
    check(a != WORKER_TIMED_OUT);
    if (a == WORKER_ANSWERED) {
        check(bytes.len >= 4 && got.len <= bytes.len - 4 &&
              memcmp(got.ptr != NULL ? got.ptr : "", bytes.ptr + 4, got.len) == 0);
        check(w.n_written == bytes.len);
    }
    buf_release(&got);
    close(pair[0]);
    close(pair[1]);
    close(pipe_of[1]);
    if (w.err_fd >= 0)
        close(w.err_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 1 << 14)
        return 0;
    const struct str rest = {(const char *)data + 1, size - 1};

    switch (data[0]) {
    case 'l':
        loaded(rest);
        break;
    case 'c':
        reply(rest);
        printed(rest);
        break;
    case 's':
        on_socket(rest);
        break;
    }
    return 0;
}
