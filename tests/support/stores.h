/*
 * stores.h - a fresh store for each test, of SQLite and of PostgreSQL: the same tests over both.
 *
 *     static const struct CMUnitTest tests[] = {ON_BOTH(a_file_is_found), ...};
 *
 * Where there is no PostgreSQL its half is skipped, and says so.
 */
#ifndef HONE_TESTS_STORES_H
#define HONE_TESTS_STORES_H

#include "store/store.h"
#include "support/support.h"

struct test_store {
    enum db_dialect dialect;
    struct arena arena;
    char *home, *database; /* database NULL: in home */
    struct store *s;
    const char *project, *other; /* two projects of one organisation */
    const char *foreign;         /* one of another */
};
extern const enum db_dialect test_sqlite, test_postgres;
int test_store_open(void **state); /* of the initial state a struct test_store */
int test_store_close(void **state);
#define ON(test, dialect, name)                                                                    \
    {                                                                                              \
#test " (" name ")", test, test_store_open, test_store_close, (void *)(uintptr_t)&dialect  \
    }
#define ON_BOTH(test) ON(test, test_sqlite, "SQLite"), ON(test, test_postgres, "PostgreSQL")

/* Runs a statement; a and b (unless NULL) and n (unless INT64_MIN) are its parameters, in this order. */
void test_sql(struct test_store *t, const char *sql, const char *a, const char *b, int64_t n);
/* A number that a statement gives. */
int64_t test_sql_int(struct test_store *t, const char *sql, const char *a);
#endif
