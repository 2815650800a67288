/*
 * log_test.c - a line is one line, one write, and JSON, whatever bytes its values are made of.
 */
#include "base/philox.h"
#include "support/support.h"
#include "text/json.h"
#include "text/log.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct error err;

/* Standard error as a pipe of packets (O_DIRECT): a read is what one write wrote. */
struct heard {
    int old, end;
    char line[2 * LOG_LINE_BYTES];
    size_t len;
    json_t *json;
};

static void listen_to(struct heard *h)
{
    int ends[2];

    *h = (struct heard){.old = dup(STDERR_FILENO)};
    assert_int_equal(pipe2(ends, O_DIRECT | O_NONBLOCK), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    h->end = ends[0];
}

/* What was written since listen_to: exactly one write of exactly one line, which is a JSON object in ASCII. */
static void hear(struct heard *h)
{
    char more;

    dup2(h->old, STDERR_FILENO);
    close(h->old);
    const ssize_t n = read(h->end, h->line, sizeof h->line - 1);
    assert_true(n > 0 && n <= LOG_LINE_BYTES);
    h->len = (size_t)n;
    assert_int_equal(read(h->end, &more, 1), 0); /* no second write */
    close(h->end);
    assert_int_equal(h->line[h->len - 1], '\n');
    for (size_t i = 0; i + 1 < h->len; i++)
        assert_true(h->line[i] >= 0x20 && h->line[i] < 0x7F);
    ASSERT_OK(json_parse((struct str){h->line, h->len - 1}, "line", &h->json, &err));
    assert_true(json_is_object(h->json));
}

static const char *text(const struct heard *h, const char *key)
{
    return json_string_value(json_object_get(h->json, key));
}

static void a_line_begins_with_the_common_keys(void **state)
{
    (void)state;
    struct heard h;
    struct tm utc = {0};
    const time_t before = time(NULL);

    listen_to(&h);
    log_line(LOG_WARN, "runner", "not given back", "%s %d", "run", 7);
    hear(&h);
    const char *rest = "\"level\":\"warn\",\"module\":\"runner\",\"event\":\"not given back\","
                       "\"message\":\"run 7\"}\n";
    assert_non_null(strptime(text(&h, "time"), "%Y-%m-%dT%H:%M:%SZ", &utc));
    assert_true(timegm(&utc) >= before && timegm(&utc) <= time(NULL));
    assert_int_equal(strncmp(h.line, "{\"time\":\"", 9), 0);
    assert_string_equal(strchr(h.line, ',') + 1, rest);
    json_decref(h.json);
}

static void keys_of_its_own_follow_in_their_order(void **state)
{
    (void)state;
    struct heard h;
    struct log_entry e;

    listen_to(&h);
    log_begin(&e, LOG_ERROR, "api", "call");
    log_text(&e, "request", "req_1");
    log_text(&e, "left_out", NULL);
    log_int(&e, "status", INT64_MIN);
    log_double(&e, "ms", 1.26);
    log_double(&e, "nothing", (double)NAN);
    log_text(&e, "key", "");
    log_end(&e);
    hear(&h);
    assert_string_equal(strstr(h.line, "\"level\""),
                        "\"level\":\"error\",\"module\":\"api\",\"event\":\"call\",\"request\":"
                        "\"req_1\",\"status\":-9223372036854775808,\"ms\":1.3,\"nothing\":null,"
                        "\"key\":\"\"}\n");
    json_decref(h.json);
}

static void values_from_outside_cannot_make_a_line(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } values[] = {
        {"a\n{\"level\":\"error\"}\r\n", "a\n{\"level\":\"error\"}\r\n"},
        {"\"},\\", "\"},\\"},
        {"\x01\x1B[2J\x7F", "\x01\x1B[2J\x7F"},           /* a terminal's, too */
        {"\xC2\x85\xE2\x80\xA8", "\xC2\x85\xE2\x80\xA8"}, /* lines end here, for some */
        {"caf\xC3\xA9 \xF0\x9F\x98\x80", "caf\xC3\xA9 \xF0\x9F\x98\x80"},
        {"\xFF-\xC3", "\xEF\xBF\xBD-\xEF\xBF\xBD"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* half a surrogate pair */
        {"%s%n", "%s%n"},
    };

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct heard h;

        listen_to(&h);
        log_line(LOG_INFO, "m", "e", "%s", values[i].in);
        hear(&h);
        assert_string_equal(text(&h, "message"), values[i].out);
        assert_string_equal(text(&h, "level"), "info");
        json_decref(h.json);
    }
}

static void what_is_too_long_is_cut_between_characters(void **state)
{
    (void)state;
    static char value[4 * LOG_LINE_BYTES];
    struct heard h;

    for (size_t i = 0; i + 3 < sizeof value; i += 3)
        memcpy(value + i, "\xE2\x82\xAC", 3);
    listen_to(&h);
    log_line(LOG_INFO, "m", "e", "%s", value);
    hear(&h);
    const size_t n = strlen(text(&h, "message"));
    assert_true(n > LOG_VALUE_BYTES - 3 && n <= LOG_VALUE_BYTES && n % 3 == 0);
    assert_int_equal(strncmp(text(&h, "message"), value, n), 0);
    json_decref(h.json);
}

static void any_bytes_in_any_number_are_one_line(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    char value[2048];

    for (uint32_t round = 0; round < 500; round++) {
        struct log_entry e;
        struct heard h;

        listen_to(&h);
        log_begin(&e, LOG_INFO, "api", "call");
        for (size_t k = 0; k < 8; k++) {
            size_t n = 0;

            for (; n + 1 < sizeof value; n++) {
                const struct philox_block draw =
                    philox(round, (uint32_t[4]){(uint32_t)n, (uint32_t)k});
                value[n] = (char)(round % 3 == 0 ? 1 + draw.v[0] % 31 : 1 + draw.v[0] % 255);
                if (draw.v[1] % (round % 5 == 0 ? 4000 : 100) == 0)
                    break;
            }
            value[n] = '\0';
            log_text(&e, keys[k], value);
        }
        log_int(&e, "status", 200);
        log_end(&e);
        hear(&h);
        assert_int_equal(json_integer_value(json_object_get(h.json, "status")), 200);
        assert_int_equal(json_object_size(h.json), 4 + 8 + 1);
        json_decref(h.json);
    }
}

static void nobody_listens(void **state)
{
    (void)state;
    const int old = dup(STDERR_FILENO);

    close(STDERR_FILENO);
    log_line(LOG_INFO, "m", "e", "unheard");
    dup2(old, STDERR_FILENO);
    close(old);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_begins_with_the_common_keys),
        cmocka_unit_test(keys_of_its_own_follow_in_their_order),
        cmocka_unit_test(values_from_outside_cannot_make_a_line),
        cmocka_unit_test(what_is_too_long_is_cut_between_characters),
        cmocka_unit_test(any_bytes_in_any_number_are_one_line),
        cmocka_unit_test(nobody_listens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
