/*
 * arrivals_test.c - uploads that run at once bring no more than the quota leaves, whoever comes first.
 */
#include "server/arrivals.h"
#include "support/support.h"

#include <pthread.h>

static struct arrival begin(struct arrivals *all, const char *project, struct store_room room)
{
    struct arrival a;

    arrival_begin(all, project, &a);
    a.room = room;
    return a;
}

static void one_brings_what_the_quota_leaves(void **state)
{
    (void)state;
    struct arrivals *all = arrivals_open();
    struct arrival a =
        begin(all, "p", (struct store_room){.quota = 100, .files = 40, .uploads = 10});
    struct error err = {0};

    ASSERT_OK(arrival_fits(&a, 50, &err));
    ASSERT_FAILS(arrival_fits(&a, 51, &err), ERR_LIMIT, "with 51 more");
    ASSERT_OK(arrival_take(&a, 30, &err));
    ASSERT_OK(arrival_take(&a, 20, &err));
    ASSERT_FAILS(arrival_take(&a, 1, &err), ERR_LIMIT,
                 "files have 40 bytes and its uploads in progress 10; with 51 more they would pass "
                 "its quota of 100 bytes");
    arrival_end(&a);
    arrival_end(&a);
    assert_int_equal(arrivals_n_projects(all), 0);
    arrivals_close(all);
}

static void what_others_bring_counts_until_they_end(void **state)
{
    (void)state;
    struct arrivals *all = arrivals_open();
    const struct store_room room = {.quota = 100};
    struct arrival a = begin(all, "p", room), b = begin(all, "p", room),
                   other = begin(all, "q", room);
    struct error err = {0};

    assert_int_equal(arrivals_n_projects(all), 2);
    ASSERT_OK(arrival_take(&a, 60, &err));
    ASSERT_FAILS(arrival_take(&b, 41, &err), ERR_LIMIT, "uploads in progress 60; with 41 more");
    ASSERT_OK(arrival_take(&b, 40, &err));
    ASSERT_FAILS(arrival_take(&a, 1, &err), ERR_LIMIT, "uploads in progress 40; with 61 more");
    ASSERT_OK(arrival_take(&other, 100, &err));
    arrival_end(&b);
    ASSERT_OK(arrival_take(&a, 40, &err));
    arrival_end(&a);
    assert_int_equal(arrivals_n_projects(all), 1);
    arrival_end(&other);
    arrivals_close(all);
}

static void without_a_quota_all_is_taken(void **state)
{
    (void)state;
    struct arrivals *all = arrivals_open();
    struct arrival a = begin(all, "p", (struct store_room){0});
    struct error err = {0};

    ASSERT_OK(arrival_take(&a, INT64_MAX / 2, &err));
    arrival_end(&a);
    arrivals_close(all);
}

static void *bring(void *ctx)
{
    struct arrival *a = ctx;
    struct error err;

    while (arrival_take(a, 7, &err))
        continue;
    return NULL;
}

static void a_crowd_brings_no_more_than_one(void **state)
{
    (void)state;
    enum { N = 8 };
    struct arrivals *all = arrivals_open();
    struct arrival a[N];
    struct error err = {0};
    pthread_t t[N];
    int64_t sum = 0;

    for (size_t i = 0; i < N; i++)
        a[i] = begin(all, "p", (struct store_room){.quota = 100000});
    for (size_t i = 0; i < N; i++)
        assert_int_equal(pthread_create(&t[i], NULL, bring, &a[i]), 0);
    for (size_t i = 0; i < N; i++)
        pthread_join(t[i], NULL);
    for (size_t i = 0; i < N; i++)
        sum += a[i].bytes;
    assert_int_equal(sum, 100000 / 7 * 7);
    ASSERT_FAILS(arrival_take(&a[0], 100000 % 7 + 1, &err), ERR_LIMIT, "quota of 100000 bytes");
    ASSERT_OK(arrival_take(&a[0], 100000 % 7, &err));
    for (size_t i = 0; i < N; i++)
        arrival_end(&a[i]);
    assert_int_equal(arrivals_n_projects(all), 0);
    arrivals_close(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_brings_what_the_quota_leaves),
        cmocka_unit_test(what_others_bring_counts_until_they_end),
        cmocka_unit_test(without_a_quota_all_is_taken),
        cmocka_unit_test(a_crowd_brings_no_more_than_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
