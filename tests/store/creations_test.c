/*
 * creations_test.c - reservations of what requests make: one has it, others wait, and what failed or died is free again.
 */
#include "base/clock.h"
#include "base/size.h"
#include "store/creations.h"
#include "support/stores.h"

#include <pthread.h>
#include <unistd.h>

static struct creation_ask ask_of(const struct test_store *t, const char *id, const char *holder)
{
    return (struct creation_ask){.project_id = t->project,
                                 .name = "key a",
                                 .digest = "d",
                                 .again = true,
                                 .since_seconds = 600,
                                 .id = id,
                                 .holder = holder,
                                 .lease_seconds = 60};
}

static struct creation begin(struct test_store *t, const struct creation_ask *ask)
{
    struct creation c = {0};
    struct error err = {0};

    ASSERT_OK(creations_begin(t->s, ask, &t->arena, &c, &err));
    return c;
}

static void one_has_it_and_others_wait(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct creation_ask one = ask_of(t, "x-1", "A"), two = ask_of(t, "x-2", "B");
    struct error err = {0};
    struct creation c = begin(t, &one);

    assert_int_equal(c.state, CREATION_MINE);
    assert_string_equal(c.id, "x-1");
    assert_false(c.was_left);
    assert_true(c.created_at > 1700000000);
    assert_int_equal(begin(t, &two).state, CREATION_BUSY);
    assert_int_equal(begin(t, &one).state, CREATION_BUSY); /* a second request of the same server */
    ASSERT_OK(creations_end(t->s, "A", "x-1", true, &err));
    c = begin(t, &two);
    assert_int_equal(c.state, CREATION_MADE);
    assert_string_equal(c.id, "x-1");
    test_store_close(t);
}

static void what_failed_is_free(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct creation_ask one = ask_of(t, "x-1", "A"), two = ask_of(t, "x-2", "B");
    struct error err = {0};

    begin(t, &one);
    ASSERT_OK(creations_end(t->s, "B", "x-1", false, &err)); /* not B's to give up */
    assert_int_equal(begin(t, &two).state, CREATION_BUSY);
    ASSERT_OK(creations_end(t->s, "A", "x-1", false, &err));
    struct creation c = begin(t, &two);
    assert_int_equal(c.state, CREATION_MINE);
    assert_string_equal(c.id, "x-2");
    assert_false(c.was_left);
    ASSERT_OK(creations_end(t->s, "B", "x-2", true, &err));
    ASSERT_OK(creations_end(t->s, "B", "x-2", false, &err)); /* what is made stays */
    assert_int_equal(begin(t, &one).state, CREATION_MADE);
    test_store_close(t);
}

/* A holder that died: its lease is over, and whoever comes next goes on under the id that it had drawn. */
static void what_was_left_is_taken_over(void **state)
{
    struct test_store *t = test_store_open(state);
    struct creation_ask one = ask_of(t, "x-1", "A"), two = ask_of(t, "x-2", "B");
    const char *ids[] = {"x-1"};
    struct error err = {0};

    one.lease_seconds = -1;
    begin(t, &one);
    ASSERT_OK(creations_renew(t->s, "A", ids, 1, 60, &err));
    assert_int_equal(begin(t, &two).state, CREATION_BUSY);
    ASSERT_OK(creations_renew(t->s, "A", ids, 1, -1, &err));
    struct creation c = begin(t, &two);
    assert_int_equal(c.state, CREATION_MINE);
    assert_string_equal(c.id, "x-1");
    assert_true(c.was_left);
    ASSERT_OK(creations_renew(t->s, "A", ids, 1, -1, &err)); /* B's now */
    ASSERT_OK(creations_end(t->s, "A", "x-1", false, &err));
    assert_int_equal(begin(t, &one).state, CREATION_BUSY);
    ASSERT_OK(creations_end(t->s, "A", "x-1", true, &err)); /* A made it after all */
    assert_int_equal(begin(t, &two).state, CREATION_MADE);
    test_store_close(t);
}

static void what_is_another_request_is_another(void **state)
{
    struct test_store *t = test_store_open(state);
    struct creation_ask one = ask_of(t, "x-1", "A"), two = ask_of(t, "x-2", "A");
    struct creation c;
    struct error err = {0};

    begin(t, &one);
    two.again = false;
    assert_string_equal(begin(t, &two).id, "x-2");
    ASSERT_OK(creations_end(t->s, "A", "x-2", true, &err));
    two.again = true; /* the newest of the name */
    assert_string_equal(begin(t, &two).id, "x-2");
    two.awaited = "x-1"; /* but for whoever waits for another */
    assert_int_equal(begin(t, &two).state, CREATION_BUSY);
    assert_string_equal(begin(t, &two).id, "x-1");
    two.awaited = NULL;
    two.id = "x-3";
    two.project_id = t->other;
    assert_string_equal(begin(t, &two).id, "x-3");
    two.id = "x-4";
    two.name = "key b";
    assert_string_equal(begin(t, &two).id, "x-4");
    one.digest = "e";
    ASSERT_FAILS(creations_begin(t->s, &one, &t->arena, &c, &err), ERR_INVALID, "another request");
    assert_string_equal(err.code, "idempotency_error");
    test_store_close(t);
}

static void what_is_old_is_forgotten(void **state)
{
    struct test_store *t = test_store_open(state);
    struct creation_ask one = ask_of(t, "x-1", "A"), two = ask_of(t, "x-2", "A");
    struct error err = {0};

    const struct creation c = begin(t, &one);
    ASSERT_OK(creations_end(t->s, "A", "x-1", true, &err));
    ASSERT_OK(creations_sweep(t->s, c.created_at + CREATION_SECONDS, &err));
    assert_int_equal(begin(t, &one).state, CREATION_MADE);
    two.since_seconds = -1;
    assert_string_equal(begin(t, &two).id, "x-2");
    ASSERT_OK(creations_sweep(t->s, c.created_at + CREATION_SECONDS + 60, &err));
    one.id = "x-3";
    assert_string_equal(begin(t, &one).id, "x-3");
    test_store_close(t);
}

#define N_THREADS 8
struct racer {
    struct test_store *t;
    char id[8];
    bool ok;
    enum creation_state state;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    const struct creation_ask ask = ask_of(r->t, r->id, r->id);
    struct creation c = {0};
    struct arena a = {0};
    struct error err = {0};

    r->ok = creations_begin(r->t->s, &ask, &a, &c, &err);
    r->state = c.state;
    arena_release(&a);
    return NULL;
}

static void of_many_that_begin_at_once_one_has_it(void **state)
{
    struct test_store *t = test_store_open(state);
    struct racer racers[N_THREADS];
    pthread_t threads[N_THREADS];
    size_t mine = 0;

    for (size_t i = 0; i < N_THREADS; i++) {
        racers[i] = (struct racer){.t = t, .id = {'x', '-', (char)('a' + i)}};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(racers[i].ok);
        mine += racers[i].state == CREATION_MINE;
    }
    assert_int_equal(mine, 1);
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(one_has_it_and_others_wait),  ON_BOTH(what_failed_is_free),
        ON_BOTH(what_was_left_is_taken_over), ON_BOTH(what_is_another_request_is_another),
        ON_BOTH(what_is_old_is_forgotten),    ON_BOTH(of_many_that_begin_at_once_one_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
