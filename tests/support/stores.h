/*
 * stores.h - a fresh store for each test, over both databases (postgres.h), with projects in it.
 *
 *     static void a_file_is_found(void **state)
 *     {
 *         struct test_store *t = test_store_open(state);
 *         ...
 *         test_store_close(t);
 *     }
 *     static const struct CMUnitTest tests[] = {ON_BOTH(a_file_is_found)};
 */
#ifndef HONE_TESTS_STORES_H
#define HONE_TESTS_STORES_H

#include "store/store.h"
#include "support/postgres.h"

struct test_store {
    struct arena arena;
    char *home;
    bool on_postgres;
    struct store *s;
    const char *project, *other; /* two projects of one organisation */
    const char *foreign;         /* one of another */
};
struct test_store *test_store_open(void **state);
void test_store_close(struct test_store *t);

/* Runs a statement; a and b (unless NULL) and n (unless INT64_MIN) are its parameters, in this order. */
void test_sql(struct test_store *t, const char *sql, const char *a, const char *b, int64_t n);
/* A number that a statement gives, with a as its parameter unless it is NULL. */
int64_t test_sql_int(struct test_store *t, const char *sql, const char *a);
/* A file that holds text, to be taken by files_add or uploads_part. */
char *test_incoming(struct test_store *t, struct str text);
#endif
