/*
 * arena_test.c - memory is zeroed, aligned, apart from the rest, and goes back at once.
 */
#include "base/arena.h"
#include "base/size.h"
#include "support/numbers.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void pieces_are_zeroed_aligned_and_do_not_overlap(void **state)
{
    struct arena a = {0};
    struct dice d = {1};
    unsigned char *piece[400];
    size_t size[400];

    (void)state;
    for (int round = 0; round < 3; round++) { /* what was used before is zeroed again */
        for (size_t i = 0; i < COUNT_OF(piece); i++) {
            size[i] = dice_below(&d, i % 50 == 0 ? 200000 : 300);
            /* every third as it was */
            piece[i] = i % 3 == 0 ? arena_room(&a, size[i]) : arena_alloc(&a, size[i]);
            assert_int_equal((uintptr_t)piece[i] % 64, 0);
            for (size_t k = 0; i % 3 != 0 && k < size[i]; k++)
                if (piece[i][k] != 0)
                    fail_msg("byte %zu of %zu is not zero in round %d", k, size[i], round);
            memset(piece[i], (int)(i % 255) + 1, size[i]);
        }
        for (size_t i = 0; i < COUNT_OF(piece); i++)
            for (size_t k = 0; k < size[i]; k++)
                assert_int_equal(piece[i][k], i % 255 + 1);
        arena_reset(&a);
        assert_int_equal(a.used_bytes, 0);
    }
    arena_release(&a);
    assert_int_equal(a.taken_bytes, 0);
    assert_null(a.head);
}

static void a_lifetime_that_repeats_takes_nothing_more_from_the_system(void **state)
{
    struct arena a;
    size_t taken = 0;

    (void)state;
    arena_init(&a);
    for (int step = 0; step < 10; step++) {
        for (size_t i = 0; i < 100; i++)
            arena_alloc(&a, 1000 * i);
        assert_true(a.used_bytes >= 1000 * 99 * 50);
        if (step >= 2)
            assert_int_equal(a.taken_bytes, taken);
        taken = a.taken_bytes;
        const size_t used = a.used_bytes;
        arena_reset(&a);
        if (step == 0)
            assert_int_equal(a.taken_bytes, used); /* not the rests of blocks that grew */
    }
    arena_release(&a);
    arena_release(&a); /* once more is fine */
    arena_reset(&a);
    assert_null(a.head);
}

static void nothing_is_still_a_place_of_its_own(void **state)
{
    struct arena a = {0};
    const void *x = arena_alloc(&a, 0), *y = arena_alloc(&a, 0);

    (void)state;
    assert_non_null(x);
    assert_ptr_not_equal(x, y);
    arena_release(&a);
}

static void what_was_sized_outside_may_be_refused(void **state)
{
    struct arena a = {0};
    struct error err = {0};
    const char *p;

    (void)state;
    p = arena_try(&a, 3, 7, "a list", &err);
    assert_non_null(p);
    for (int i = 0; i < 21; i++)
        assert_int_equal(p[i], 0);
    assert_null(
        arena_try(&a, SIZE_MAX / 2, 3, "the list of doom", &err)); /* a product that wraps */
    assert_int_equal(err.kind, ERR_NO_MEMORY);
    assert_non_null(strstr(err.message, "the list of doom"));
    assert_null(arena_try(&a, SIZE_MAX, 1, "everything", &err));
    assert_null(arena_try(&a, 1, SIZE_MAX - 10, "nearly everything", &err));
    assert_non_null(arena_alloc(&a, 10)); /* and the arena goes on */
    arena_release(&a);
}

static void percent_signs_become_bytes_where_they_are_whole(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {{"a%20b", "a b"}, {"%C3%a9", "\xc3\xa9"}, {"%2525", "%25"}, {"100%", "100%"},
                 {"%2", "%2"},     {"%g0%0g", "%g0%0g"},   {"%%41", "%A"},   {"", ""}};
    struct arena a = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(arena_percent_decoded(&a, str_of(cases[i].in)).ptr, cases[i].out);
    const struct str zero = arena_percent_decoded(&a, STR("x%00y"));
    assert_int_equal(zero.len, 3);
    assert_memory_equal(zero.ptr, "x\0y", 4);
    arena_release(&a);
}

static void texts_end_with_a_zero_byte(void **state)
{
    struct arena a = {0};
    const struct str s = {"abc\0def", 7};
    char *text = arena_text(&a, s);
    struct str copy = arena_str(&a, s);

    (void)state;
    assert_memory_equal(text, "abc\0def", 8);
    assert_true(copy.len == 7 && copy.ptr != s.ptr);
    assert_memory_equal(copy.ptr, "abc\0def", 8);
    assert_string_equal(arena_text(&a, (struct str){NULL, 0}), "");
    assert_string_equal(arena_printf(&a, "%s-%d", "x", 42), "x-42");
    assert_string_equal(arena_printf(&a, "%s", ""), "");
    char *long_text = arena_printf(&a, "%0*d", 100000, 7);
    assert_int_equal(strlen(long_text), 100000);
    arena_release(&a);
}

static void out_of_memory_stops_the_process_with_a_sentence(void **state)
{
    int pipes[2], status;
    char said[300] = {0};

    (void)state;
#ifdef HONE_SANITIZED
    print_message(
        "             skipped: under a sanitizer its allocator stops the process first\n");
    skip();
#endif
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct arena a = {0};

        signal(SIGABRT, SIG_DFL);
        dup2(pipes[1], 2);
        arena_alloc(&a, SIZE_MAX - 1000);
        _exit(0);
    }
    close(pipes[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(read(pipes[0], said, sizeof said - 1) > 0);
    close(pipes[0]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(said, "out of memory"));
}

static void note(void *what)
{
    (*(int *)what)++;
}

static void what_has_memory_of_its_own_goes_back_with_the_rest(void **state)
{
    struct arena a = {0};
    int n = 0, m = 0;

    (void)state;
    arena_defer(&a, note, &n);
    arena_defer(&a, note, &m);
    arena_reset(&a);
    assert_int_equal(n + m, 2);
    arena_reset(&a); /* once */
    assert_int_equal(n + m, 2);
    arena_defer(&a, note, &n);
    arena_alloc(&a, 1 << 20); /* more than one block */
    arena_reset(&a);
    assert_int_equal(n, 2);
    arena_defer(&a, note, &m);
    arena_release(&a);
    assert_int_equal(m, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_memory_of_its_own_goes_back_with_the_rest),
        cmocka_unit_test(pieces_are_zeroed_aligned_and_do_not_overlap),
        cmocka_unit_test(a_lifetime_that_repeats_takes_nothing_more_from_the_system),
        cmocka_unit_test(nothing_is_still_a_place_of_its_own),
        cmocka_unit_test(what_was_sized_outside_may_be_refused),
        cmocka_unit_test(percent_signs_become_bytes_where_they_are_whole),
        cmocka_unit_test(texts_end_with_a_zero_byte),
        cmocka_unit_test(out_of_memory_stops_the_process_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
