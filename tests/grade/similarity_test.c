/*
 * similarity_test.c - fuzzy_match is rapidfuzz's ratio, also past one word of bits and past Latin-1.
 */
#include "base/philox.h"
#include "grade/similarity.h"
#include "support/support.h"
#include "text/json.h"

#include <zlib.h>

static struct arena arena;

static double fuzzy(const char *a, const char *b)
{
    struct error err = {0};
    double out = -1;

    ASSERT_OK(similarity_fuzzy_match(str_of(a), str_of(b), &arena, &out, &err));
    return out;
}

/* as rapidfuzz computes fuzz.ratio(a, b) / 100 */
static void known_ratios_hold(void **state)
{
    (void)state;
    ASSERT_NEAR(fuzzy("", ""), 1, 0);
    ASSERT_NEAR(fuzzy("", "a"), 0, 0);
    ASSERT_NEAR(fuzzy("abc", "abc"), 1, 0);
    ASSERT_NEAR(fuzzy("this is a test", "this is a test!"), 0.9655172413793104, 1e-15);
    ASSERT_NEAR(fuzzy("fuzzy wuzzy was a bear", "wuzzy fuzzy was a bear"), 0.9090909090909091,
                1e-15);
    ASSERT_NEAR(fuzzy("kitten", "sitting"), 0.6153846153846154, 1e-15);
    ASSERT_NEAR(fuzzy("\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80", "e\xe6\xbc\xa2\xf0\x9f\x98\x80"),
                2.0 / 3, 1e-15);
    ASSERT_NEAR(fuzzy("Abc", "abc"), 2.0 / 3, 1e-15);  /* case counts */
    ASSERT_NEAR(fuzzy(" abc", "abc"), 6.0 / 7, 1e-15); /* so do blanks */
}

/* The longest common subsequence by the table of the definition. */
static size_t common_by_table(const uint32_t *x, size_t n_x, const uint32_t *y, size_t n_y)
{
    static size_t t[301][301];

    for (size_t i = 0; i <= n_x; i++)
        for (size_t j = 0; j <= n_y; j++)
            t[i][j] = i == 0 || j == 0            ? 0
                      : x[i - 1] == y[j - 1]      ? t[i - 1][j - 1] + 1
                      : t[i - 1][j] > t[i][j - 1] ? t[i - 1][j]
                                                  : t[i][j - 1];
    return t[n_x][n_y];
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    out[0] = (char)(0xe0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 63));
    out[2] = (char)(0x80 | (c & 63));
    return 3;
}

static void the_bit_rows_agree_with_the_table(void **state)
{
    (void)state;
    static const uint32_t bases[] = {'a', 0xf0, 0x4e00};

    for (uint32_t trial = 0; trial < 400; trial++) {
        uint32_t code[2][300];
        char text[2][1000];
        size_t n[2], len[2];
        const uint32_t alphabet = 2 + philox_below(1, PHILOX_TEST, trial, 0, 40);

        for (uint32_t s = 0; s < 2; s++) {
            n[s] = philox_below(2, PHILOX_TEST, trial, s, trial % 4 == 0 ? 300 : 70);
            len[s] = 0;
            for (uint32_t i = 0; i < n[s]; i++) {
                code[s][i] =
                    bases[trial % 3] + philox_below(3, PHILOX_TEST, trial * 2 + s, i, alphabet);
                len[s] += put_utf8(text[s] + len[s], code[s][i]);
            }
        }
        struct error err = {0};
        double out;
        ASSERT_OK(similarity_fuzzy_match((struct str){text[0], len[0]},
                                         (struct str){text[1], len[1]}, &arena, &out, &err));
        const double want =
            n[0] + n[1] == 0
                ? 1
                : 2 * (double)common_by_table(code[0], n[0], code[1], n[1]) / (double)(n[0] + n[1]);
        ASSERT_NEAR(out, want, 1e-12);
        arena_reset(&arena);
    }
}

static void two_thousand_pairs_equal_rapidfuzz(void **state)
{
    (void)state;
    struct arena paths = {0};
    gzFile f = gzopen(golden_path(&paths, "similarity/pairs.jsonl.gz"), "rb");
    static char line[1 << 20];
    int n = 0;

    assert_non_null(f);
    while (gzgets(f, line, sizeof line) != NULL) {
        struct error err = {0};
        json_t *pair = NULL;
        double out, want;

        ASSERT_OK(json_parse(str_of(line), "pairs.jsonl", &pair, &err));
        ASSERT_OK(similarity_fuzzy_match(json_str(json_object_get(pair, "a")),
                                         json_str(json_object_get(pair, "b")), &arena, &out, &err));
        want = json_number_value(json_object_get(pair, "ratio")) / 100;
        if (!(out - want <= 1e-9 && want - out <= 1e-9))
            fail_msg("%s gives %.17g", line, out);
        json_decref(pair);
        arena_reset(&arena);
        n++;
    }
    assert_int_equal(n, 2000);
    gzclose(f);
    arena_release(&paths);
}

static void a_text_that_is_too_long_is_refused(void **state)
{
    (void)state;
    struct error err;
    double out;
    static char text[LIMIT_SIMILARITY + 1];

    memset(text, 'a', sizeof text);
    ASSERT_FAILS(
        similarity_fuzzy_match((struct str){text, sizeof text}, STR("a"), &arena, &out, &err),
        ERR_LIMIT, "too long to compare");
    ASSERT_OK(
        similarity_fuzzy_match((struct str){text, LIMIT_SIMILARITY}, STR("a"), &arena, &out, &err));
}

static void every_metric_of_the_api_is_known(void **state)
{
    (void)state;
    static const char *const names[] = {"fuzzy_match", "bleu",    "gleu",    "meteor",
                                        "cosine",      "rouge_1", "rouge_2", "rouge_3",
                                        "rouge_4",     "rouge_5", "rouge_l"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(similarity_find(str_of(names[i])));
    assert_null(similarity_find(STR("rouge_6")));
    assert_null(similarity_find(STR("")));
}

static int release(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_ratios_hold),
        cmocka_unit_test(the_bit_rows_agree_with_the_table),
        cmocka_unit_test(two_thousand_pairs_equal_rapidfuzz),
        cmocka_unit_test(a_text_that_is_too_long_is_refused),
        cmocka_unit_test(every_metric_of_the_api_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
