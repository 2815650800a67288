/*
 * engine_wire_test.c - what is put on the wire is what is read from it, however it was cut.
 */
#include "support/support.h"

#include "server/engine_wire.h"

#include <sys/socket.h>
#include <unistd.h>

static struct error err;

/* The only line of b. */
static void read_back(struct buf *b, struct wire_message *out)
{
    struct wire w;
    struct str line, rest;

    wire_init(&w, -1, 1 << 16);
    for (size_t i = 0; i < b->len; i++) {
        assert_false(wire_line(&w, &line));
        assert_true(wire_put(&w, (struct str){b->ptr + i, 1}));
    }
    assert_true(wire_line(&w, &line));
    ASSERT_OK(wire_read(line, out, &err));
    assert_false(wire_line(&w, &rest));
    wire_release(&w);
    buf_release(b);
}

static void what_is_asked_is_read_back(void **state)
{
    const struct engine_model m = {"n\"\n", "/a/\xC3\xA9.gguf", NULL, "/run"};
    struct wire_message told;
    struct buf b;

    (void)state;
    for (enum engine_op op = ENGINE_CHAT; op <= ENGINE_SCORE; op++) {
        buf_init(&b, 1 << 16);
        wire_put_ask(&b, UINT64_C(1) << 62, op, op == ENGINE_COMPLETE, &m);
        read_back(&b, &told);
        assert_int_equal(told.kind, WIRE_ASK);
        assert_true(told.id == UINT64_C(1) << 62);
        assert_int_equal(told.op, op);
        assert_int_equal(told.stream, op == ENGINE_COMPLETE);
        assert_string_equal(told.model.name, m.name);
        assert_string_equal(told.model.path, m.path);
        assert_null(told.model.adapter);
        assert_string_equal(told.model.run, m.run);
        wire_message_release(&told);
    }
    buf_init(&b, 1 << 16);
    wire_put_cancel(&b, 7);
    read_back(&b, &told);
    assert_int_equal(told.kind, WIRE_CANCEL);
    assert_int_equal(told.id, 7);
    wire_message_release(&told);
}

static void figures_are_read_back(void **state)
{
    const struct engine_figures f = {.tokens_sampled = 1,
                                     .tokens_prompt = UINT64_C(1) << 40,
                                     .tokens_cached = 3,
                                     .resident_bytes = INT64_C(1) << 50};
    struct wire_message told;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 16);
    wire_put_figures(&b, &f);
    read_back(&b, &told);
    assert_int_equal(told.kind, WIRE_FIGURES);
    assert_true(told.figures.tokens_sampled == f.tokens_sampled);
    assert_true(told.figures.tokens_prompt == f.tokens_prompt);
    assert_true(told.figures.tokens_cached == f.tokens_cached);
    assert_true(told.figures.resident_bytes == f.resident_bytes);
    wire_message_release(&told);
}

static void every_kind_of_error_is_read_back(void **state)
{
    (void)state;
    for (enum error_kind k = ERR_INVALID; k <= ERR_UNSUPPORTED; k++) {
        struct wire_message told;
        struct buf b;

        fail_param(&err, k, "n", "cut \xC3");
        json_t *event = wire_error(&err);
        assert_true(wire_is_last(event));
        buf_init(&b, 1 << 16);
        wire_put_event(&b, 5, event);
        json_decref(event);
        read_back(&b, &told);
        assert_int_equal(told.kind, WIRE_EVENT);
        assert_int_equal(told.id, 5);
        err = (struct error){0};
        assert_false(wire_is_no_error(told.event, &err));
        assert_int_equal(err.kind, k);
        assert_string_equal(err.param, "n");
        assert_string_equal(err.message, "cut \xEF\xBF\xBD");
        wire_message_release(&told);
    }
}

static void what_is_none_of_ours_is_corrupt(void **state)
{
    static const char *const lines[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"ask\":0,\"op\":\"chat\",\"model\":{\"name\":\"a\",\"path\":\"b\"}}",
        "{\"ask\":1,\"op\":\"dance\",\"model\":{\"name\":\"a\",\"path\":\"b\"}}",
        "{\"ask\":1,\"op\":\"chat\",\"model\":{\"name\":\"a\"}}",
        "{\"ask\":1,\"op\":\"chat\",\"model\":{\"name\":\"a\",\"path\":\"b\\u0000c\"}}",
        "{\"ask\":1,\"op\":\"chat\",\"model\":{\"name\":\"a\",\"path\":7}}",
        "{\"cancel\":-1}",
        "{\"id\":1,\"event\":{}}",
        "{\"event\":{\"type\":\"done\"}}",
        "{\"figures\":{\"tokens_sampled\":-1}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct wire_message told;

        ASSERT_FAILS(wire_read(str_of(lines[i]), &told, &err), ERR_CORRUPT, "wire");
    }
}

static void a_line_without_end_is_not_kept_for_ever(void **state)
{
    char bytes[4096];
    struct wire w;
    int sock[2];

    (void)state;
    memset(bytes, 'a', sizeof bytes);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
    wire_init(&w, sock[0], 3 * sizeof bytes);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write(sock[1], bytes, sizeof bytes), sizeof bytes);
        assert_true(wire_receive(&w));
    }
    assert_int_equal(write(sock[1], bytes, sizeof bytes), sizeof bytes);
    assert_false(wire_receive(&w));
    wire_release(&w);
    close(sock[1]);
}

static void the_other_side_s_end_is_seen(void **state)
{
    struct wire w;
    struct str line;
    int sock[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
    wire_init(&w, sock[0], 1 << 16);
    assert_true(wire_receive(&w)); /* there is nothing, and nobody waits */
    assert_int_equal(write(sock[1], "a\nb", 3), 3);
    close(sock[1]);
    assert_true(wire_receive(&w));
    assert_true(wire_line(&w, &line));
    ASSERT_STR(line, "a");
    assert_false(wire_receive(&w));
    buf_text(&w.out, "c\n");
    assert_false(wire_send(&w));
    wire_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_is_read_back),
        cmocka_unit_test(figures_are_read_back),
        cmocka_unit_test(every_kind_of_error_is_read_back),
        cmocka_unit_test(what_is_none_of_ours_is_corrupt),
        cmocka_unit_test(a_line_without_end_is_not_kept_for_ever),
        cmocka_unit_test(the_other_side_s_end_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
