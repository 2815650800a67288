/*
 * support.h - what several tests need: cmocka, golden files, a folder that goes away, checks with a bound.
 */
#ifndef HONE_TESTS_SUPPORT_H
#define HONE_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* ours takes an error */
#undef fail_msg
#define fail_msg(...)                                                                              \
    (print_error("ERROR: " __VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#include "base/arena.h"
#include "base/error.h"

/* Path of a golden file: golden_path(a, "tiny/config.json"). */
const char *golden_path(struct arena *a, const char *name);

/* A fresh folder under $TMPDIR; removed by test_dir_remove. */
char *test_dir_make(struct arena *a);
void test_dir_remove(const char *dir);

size_t count_lines(struct str s); /* line feeds */

/* Fails the test with err's sentence unless ok. */
#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        struct error *e_ = &err;                                                                   \
        if (!(call))                                                                               \
            fail_msg("%s: %s", #call, e_->message);                                                \
    } while (0)

/* Fails the test unless the call failed with this kind and its sentence contains text. */
#define ASSERT_FAILS(call, want_kind, text)                                                        \
    do {                                                                                           \
        err = (struct error){0};                                                                   \
        assert_false(call);                                                                        \
        assert_int_equal(err.kind, want_kind);                                                     \
        if (strstr(err.message, text) == NULL)                                                     \
            fail_msg("\"%s\" does not say \"%s\"", err.message, text);                             \
    } while (0)

#define ASSERT_STR(s, text)                                                                        \
    do {                                                                                           \
        struct str s_ = (s);                                                                       \
        if (!str_is(s_, text))                                                                     \
            fail_msg("\"" STR_FMT "\" is not \"%s\"", STR_ARG(s_), text);                          \
    } while (0)

/* |a - b| <= bound */
#define ASSERT_NEAR(a, b, bound)                                                                   \
    do {                                                                                           \
        double a_ = (double)(a), b_ = (double)(b);                                                 \
        if (!(a_ - b_ <= (double)(bound) && b_ - a_ <= (double)(bound)))                           \
            fail_msg("%s = %.9g, expected %.9g within %g", #a, a_, b_, (double)(bound));           \
    } while (0)
#endif
