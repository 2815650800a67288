/*
 * cosine_test.c - the cosine of two vectors, cut at 0.
 */
#include "grade/cosine.h"
#include "support/numbers.h"

#include <math.h>

static void it_is_the_cosine_between_0_and_1(void **state)
{
    (void)state;
    ASSERT_NEAR(cosine_similarity(2, (float[]){1, 0}, (float[]){3, 4}), 0.6, 1e-15);
    ASSERT_NEAR(cosine_similarity(2, (float[]){2, 0}, (float[]){0, 5}), 0, 0);
    ASSERT_NEAR(cosine_similarity(2, (float[]){1, 1}, (float[]){-1, -2}), 0, 0); /* not -0.9 */
    ASSERT_NEAR(cosine_similarity(2, (float[]){0, 0}, (float[]){1, 2}), 0, 0);
    ASSERT_NEAR(cosine_similarity(0, NULL, NULL), 0, 0);
}

static void a_vector_is_wholly_like_itself_whatever_its_length(void **state)
{
    struct dice d = {3};
    float x[384], y[384];

    (void)state;
    for (int round = 0; round < 1000; round++) {
        const float scale = dice_float(&d, 0.001f, 1000);

        dice_fill(&d, ORDINARY, x, 384);
        for (size_t i = 0; i < 384; i++)
            y[i] = x[i] * scale;
        assert_true(cosine_similarity(384, x, x) == 1);
        ASSERT_NEAR(cosine_similarity(384, x, y), 1, 1e-7);
        assert_true(cosine_similarity(384, x, y) <= 1);
        assert_true(cosine_similarity(384, x, y) == cosine_similarity(384, y, x));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_cosine_between_0_and_1),
        cmocka_unit_test(a_vector_is_wholly_like_itself_whatever_its_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
