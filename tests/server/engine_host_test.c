/*
 * engine_host_test.c - the engine process from inside: what it says arrives, however slowly it is read.
 */
#include "server/engine_host.h"
#include "server/engine_wire.h"
#include "support/support.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#define ASKED 12

static void *host_main(void *arg)
{
    const struct engine_host_options opt = {0};
    struct error err = {0};
    static bool ok;

    ok = engine_host_run(*(int *)arg, &opt, &err);
    return &ok;
}

static size_t count_ends(struct wire *w)
{
    struct error err = {0};
    struct str line;
    size_t n = 0;

    while (wire_line(w, &line)) {
        struct wire_message m;

        ASSERT_OK(wire_read(line, &m, &err));
        if (m.kind == WIRE_EVENT) {
            assert_true(wire_is_no_error(m.event, &err));
            n += wire_is_last(m.event);
        }
        wire_message_release(&m);
    }
    return n;
}

/* More than the socket takes, computed to its end before anybody reads: nothing happens any more that would wake the sender. */
static void what_nobody_reads_for_a_while_arrives(void **state)
{
    struct arena a = {0};
    struct error err = {0};
    struct wire w;
    pthread_t host;
    int pair[2], small = 1;
    size_t n_ended = 0;
    void *ok;
    json_t *body;
    char *path = arena_printf(&a, "%s", golden_path(&a, "tiny/hf"));
    const struct engine_model model = {.name = "tiny", .path = path};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    wire_init(&w, pair[0], 1 << 20);
    assert_int_equal(pthread_create(&host, NULL, host_main, &pair[1]), 0);
    ASSERT_OK(json_parse(
        STR("{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"n\":4,\"max_tokens\":30,"
            "\"seed\":1,\"logprobs\":true}"),
        "body", &body, &err));
    for (uint64_t i = 1; i <= ASKED; i++) {
        wire_put_ask(&w.out, i, ENGINE_CHAT, true, &model);
        wire_put_body(&w.out, body);
    }
    json_decref(body);
    while (wire_sending(&w)) {
        struct pollfd p = {.fd = pair[0], .events = POLLOUT};

        assert_int_equal(poll(&p, 1, 60000), 1);
        assert_true(wire_send(&w));
    }
    nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    while (n_ended < ASKED) {
        struct pollfd p = {.fd = pair[0], .events = POLLIN};

        assert_int_equal(poll(&p, 1, 60000), 1); /* 0: there is more to say, and nobody says it */
        assert_true(wire_receive(&w));
        n_ended += count_ends(&w);
    }
    wire_release(&w);
    assert_int_equal(pthread_join(host, &ok), 0);
    assert_true(*(bool *)ok);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_reads_for_a_while_arrives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
