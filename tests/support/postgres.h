/*
 * postgres.h - tests of the store run over both databases: a fresh SQLite file, or a fresh database in a PostgreSQL server that
 * the test program starts for itself.
 *
 *     static const struct CMUnitTest tests[] = {ON_BOTH(what_is_put_is_there), ...};
 *     return cmocka_run_group_tests(tests, NULL, postgres_stop);
 *
 * The server lives in a folder under /tmp, is reached by a socket in it alone, syncs nothing, and dies with the program. It does
 * not run as root: a root's test starts it as "postgres" or "nobody". Where there is no PostgreSQL, its tests skip and say so.
 */
#ifndef HONE_TESTS_POSTGRES_H
#define HONE_TESTS_POSTGRES_H

#include "support/support.h"

struct test_database {
    struct arena arena;
    char *dir;       /* of this test alone */
    const char *url; /* for db_pool_open */
    bool on_postgres;
};
struct test_database *test_database(void **state); /* what a test begins with */
int test_database_sqlite(void **state);
int test_database_postgres(void **state);
int test_database_gone(void **state);
int postgres_stop(void **state);

#define ON_SQLITE(test)                                                                            \
    {                                                                                              \
#test " (sqlite)", test, test_database_sqlite, test_database_gone, NULL                    \
    }
#define ON_POSTGRES(test)                                                                          \
    {                                                                                              \
#test " (postgresql)", test, test_database_postgres, test_database_gone, NULL              \
    }
#define ON_BOTH(test) ON_SQLITE(test), ON_POSTGRES(test)

/* A server process that is alone with what it writes: SIGQUIT, and started again on the same data. */
void postgres_crash(void);
#endif
