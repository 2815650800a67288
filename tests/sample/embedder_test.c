/*
 * embedder_test.c - vectors are the encoder's, known or not; the cache stays within its bytes and forgets the oldest.
 */
#include "base/size.h"
#include "sample/embedder.h"
#include "support/numbers.h"

#include <pthread.h>
#include <stdio.h>

#define WIDTH 32 /* of encoder/mean */

static struct embedder *open_mean(size_t cache_bytes)
{
    struct arena a = {0};
    struct error err;
    struct embedder *e = NULL;

    ASSERT_OK(embedder_open(golden_path(&a, "encoder/mean"), cache_bytes, &e, &err));
    arena_release(&a);
    return e;
}

/* A text by its number, of 18 bytes. */
static struct str numbered(char room[32], int i)
{
    return (struct str){room, (size_t)snprintf(room, 32, "the gene of %05d.", i)};
}

static void check_vector(struct embedder *e, struct str text)
{
    struct arena a = {0};
    struct error err;
    const float *got;
    float want[WIDTH];
    size_t n;

    ASSERT_OK(embedder_embed(e, text, &a, &got, &n, &err));
    assert_int_equal(n, WIDTH);
    ASSERT_OK(encoder_embed(embedder_encoder(e), text, want, NULL, NULL, &err));
    ASSERT_SAME("a vector", WIDTH, got, want);
    arena_release(&a);
}

static void a_known_text_has_the_vector_that_was_computed(void **state)
{
    struct embedder *e = open_mean(EMBEDDER_CACHE_BYTES);
    static const char *const texts[] = {"", "the fever", "The fever",
                                        "", "the fever", "the fever "};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        check_vector(e, str_of(texts[i]));
    const struct embedder_counts c = embedder_counts(e);
    assert_int_equal(c.n_texts, 6);
    assert_int_equal(c.n_known, 2); /* texts are compared byte by byte */
    assert_int_equal(c.n_truncated, 0);
    embedder_close(e);
}

static void the_cache_keeps_what_was_asked_for_last_and_its_bounds(void **state)
{
    const size_t max = 20 * 300; /* an entry of 18 bytes of text takes some 200 */
    struct embedder *e = open_mean(max);
    char room[32];

    (void)state;
    for (int i = 0; i < 200; i++) {
        check_vector(e, numbered(room, i));
        check_vector(e, numbered(room, 0)); /* asked for again and again: stays */
        assert_true(embedder_counts(e).cache_bytes <= max);
    }
    struct embedder_counts c = embedder_counts(e);
    assert_true(c.cache_bytes > max / 2);
    assert_int_equal(c.n_texts, 400);
    assert_int_equal(c.n_known, 200);
    check_vector(e, numbered(room, 199));
    assert_int_equal(embedder_counts(e).n_known, 201);
    check_vector(e, numbered(room, 1)); /* long gone */
    assert_int_equal(embedder_counts(e).n_known, 201);
    embedder_close(e);
}

static void what_does_not_fit_is_computed_each_time(void **state)
{
    static const size_t sizes[] = {0, 100};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct embedder *e = open_mean(sizes[i]);

        check_vector(e, STR("the gene"));
        check_vector(e, STR("the gene"));
        assert_int_equal(embedder_counts(e).n_known, 0);
        assert_int_equal(embedder_counts(e).cache_bytes, 0);
        embedder_close(e);
    }
}

static void texts_longer_than_the_model_reads_are_counted(void **state)
{
    struct embedder *e = open_mean(EMBEDDER_CACHE_BYTES);
    char text[400];

    (void)state;
    memset(text, '.', sizeof text); /* each a token, of 48 */
    check_vector(e, (struct str){text, 46});
    assert_int_equal(embedder_counts(e).n_truncated, 0);
    check_vector(e, (struct str){text, 47});
    check_vector(e, (struct str){text, 47});
    check_vector(e, (struct str){text, sizeof text});
    assert_int_equal(embedder_counts(e).n_truncated, 3);
    embedder_close(e);
}

static void a_text_that_is_none_fails_and_is_not_kept(void **state)
{
    struct embedder *e = open_mean(EMBEDDER_CACHE_BYTES);
    struct arena a = {0};
    struct error err;
    const float *v = NULL;
    size_t n;

    (void)state;
    ASSERT_FAILS(embedder_embed(e, STR("\xff"), &a, &v, &n, &err), ERR_INVALID, "not UTF-8");
    ASSERT_FAILS(embedder_embed(e, STR("\xff"), &a, &v, &n, &err), ERR_INVALID, "not UTF-8");
    assert_null(v);
    assert_int_equal(embedder_counts(e).cache_bytes, 0);
    embedder_close(e);
    e = NULL;
    ASSERT_FAILS(embedder_open("/nowhere", 0, &e, &err), ERR_NOT_FOUND, "/nowhere");
    assert_null(e);
    arena_release(&a);
}

struct crowd {
    struct embedder *e;
    int first, n_wrong;
};

static void *ask(void *arg)
{
    struct crowd *c = arg;
    struct arena a = {0};

    for (int i = 0; i < 150; i++) {
        char room[32];
        const struct str text = numbered(room, (c->first + i * 7) % 40);
        const float *got;
        float want[WIDTH];
        size_t n;

        if (!embedder_embed(c->e, text, &a, &got, &n, NULL) ||
            !encoder_embed(embedder_encoder(c->e), text, want, NULL, NULL, NULL) ||
            first_difference(WIDTH, got, want) < WIDTH)
            c->n_wrong++;
        arena_reset(&a);
    }
    arena_release(&a);
    return NULL;
}

static void many_threads_may_ask_at_once(void **state)
{
    struct embedder *e = open_mean(20 * 300); /* so small that they also forget at once */
    struct crowd crowd[6];
    pthread_t threads[COUNT_OF(crowd)];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(crowd); i++) {
        crowd[i] = (struct crowd){.e = e, .first = (int)i * 5};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &crowd[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(crowd); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(crowd[i].n_wrong, 0);
    }
    assert_int_equal(embedder_counts(e).n_texts, 150 * COUNT_OF(crowd));
    embedder_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_text_has_the_vector_that_was_computed),
        cmocka_unit_test(the_cache_keeps_what_was_asked_for_last_and_its_bounds),
        cmocka_unit_test(what_does_not_fit_is_computed_each_time),
        cmocka_unit_test(texts_longer_than_the_model_reads_are_counted),
        cmocka_unit_test(a_text_that_is_none_fails_and_is_not_kept),
        cmocka_unit_test(many_threads_may_ask_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
