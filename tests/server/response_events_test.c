/*
 * response_events_test.c - events are kept once, in order, and counted again after a crash.
 */
#include "base/size.h"
#include "server/response_events.h"
#include "support/stores.h"

#include <stdio.h>

static struct str event(char *out, size_t size, const char *type, int number)
{
    snprintf(out, size, "{\"type\":\"%s\",\"sequence_number\":%d}", type, number);
    return str_of(out);
}

static struct response_events of(struct test_store *t)
{
    return (struct response_events){
        .store = t->s, .project_id = t->project, .response_id = "resp_1", .created_at = 4000000000};
}

static void what_is_kept_is_counted_again(void **state)
{
    struct test_store *t = test_store_open(state);
    struct response_events e = of(t), again = of(t);
    struct error err = {0};
    char one[128], two[300];

    ASSERT_OK(response_events_count(&e, &err));
    assert_int_equal(e.next, 0);
    for (int i = 0; i < 230; i += 2) { /* more than one page of chunks */
        event(one, sizeof one, "response.output_text.delta", i + 1);
        snprintf(two, sizeof two, "%s,%s",
                 "{\"type\":\"response.output_text.delta\",\"sequence_number\":0}", one);
        ASSERT_OK(response_events_keep(&e, str_of(two), i + 2, &err));
    }
    ASSERT_OK(response_events_count(&again, &err));
    assert_int_equal(again.n_chunks, 115);
    assert_int_equal(again.next, 230);
    assert_false(again.ended);
    ASSERT_OK(
        response_events_keep(&again, event(one, sizeof one, "response.completed", 230), 231, &err));
    ASSERT_OK(response_events_count(&e, &err));
    assert_int_equal(e.next, 231);
    assert_true(e.ended);
    test_store_close(t);
}

static void two_who_keep_the_same_do_not_keep_it_twice(void **state)
{
    struct test_store *t = test_store_open(state);
    struct response_events mine = of(t), other = of(t);
    struct error err = {0};
    char text[128];

    ASSERT_OK(
        response_events_keep(&mine, event(text, sizeof text, "response.created", 0), 1, &err));
    ASSERT_OK(response_events_keep(&other, event(text, sizeof text, "response.created", 0), 1,
                                   &err)); /* told again */
    ASSERT_OK(response_events_keep(&mine, event(text, sizeof text, "a", 1), 2, &err));
    ASSERT_FAILS(response_events_keep(&other, event(text, sizeof text, "b", 1), 2, &err),
                 ERR_INVALID, "respev_");
    ASSERT_OK(response_events_count(&other, &err));
    assert_int_equal(other.n_chunks, 2);
    assert_int_equal(other.next, 2);
    test_store_close(t);
}

/* In rows of somebody else's; undefined behaviour fails the sanitizers' run. */
static void behind_the_greatest_number_comes_none(void **state)
{
    struct test_store *t = test_store_open(state);
    struct response_events e = of(t);
    struct error err = {0};

    ASSERT_OK(response_events_keep(
        &e, STR("{\"type\":\"a\",\"sequence_number\":9223372036854775807}"), 1, &err));
    ASSERT_OK(response_events_count(&e, &err));
    assert_int_equal(e.next, INT64_MAX);
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(what_is_kept_is_counted_again),
        ON_BOTH(two_who_keep_the_same_do_not_keep_it_twice),
        ON_SQLITE(behind_the_greatest_number_comes_none),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
