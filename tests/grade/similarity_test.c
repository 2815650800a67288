/*
 * similarity_test.c - fuzzy_match is rapidfuzz's ratio, bleu and gleu are nltk's, rouge is rouge-score's.
 */
#include "base/philox.h"
#include "base/utf8.h"
#include "grade/similarity.h"
#include "support/support.h"
#include "text/json.h"

#include <math.h>
#include <stdio.h>
#include <zlib.h>

static struct arena arena;

static const char *const word_metrics[] = {"bleu",    "gleu",    "rouge_1", "rouge_2",
                                           "rouge_3", "rouge_4", "rouge_5", "rouge_l"};
#define N_WORD_METRICS (sizeof word_metrics / sizeof *word_metrics)

static double by(const char *metric, struct str input, struct str reference)
{
    const struct similarity_metric *m = similarity_find(str_of(metric));
    struct error err = {0};
    double out = -1;

    assert_true(m != NULL && m->fn != NULL);
    ASSERT_OK(m->fn(input, reference, &arena, &out, &err));
    arena_reset(&arena);
    return out;
}

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
                len[s] += utf8_write(code[s][i], text[s] + len[s]);
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

/* The n pairs of a golden file: each metric equals what stands there under key (NULL: its own name), times scale. */
static void pairs_equal(const char *file, int n, const char *const *metrics, const char *key,
                        double scale, size_t n_metrics)
{
    struct arena paths = {0};
    gzFile f = gzopen(golden_path(&paths, file), "rb");
    static char line[1 << 20];
    int seen = 0;

    assert_non_null(f);
    while (gzgets(f, line, sizeof line) != NULL) {
        struct error err = {0};
        json_t *pair = NULL;

        ASSERT_OK(json_parse(str_of(line), file, &pair, &err));
        for (size_t i = 0; i < n_metrics; i++) {
            const json_t *want = json_object_get(pair, key != NULL ? key : metrics[i]);
            const double got = by(metrics[i], json_str(json_object_get(pair, "a")),
                                  json_str(json_object_get(pair, "b")));

            assert_true(json_is_number(want));
            if (!(fabs(got - json_number_value(want) / scale) <= 1e-9))
                fail_msg("%s of %s is %.17g", metrics[i], line, got);
        }
        json_decref(pair);
        seen++;
    }
    assert_int_equal(seen, n);
    gzclose(f);
    arena_release(&paths);
}

static void two_thousand_pairs_equal_rapidfuzz(void **state)
{
    static const char *const metric = "fuzzy_match";

    (void)state;
    pairs_equal("similarity/pairs.jsonl.gz", 2000, &metric, "ratio", 100, 1);
}

static void pairs_of_words_equal_nltk_and_rouge_score(void **state)
{
    (void)state;
    pairs_equal("similarity/words.jsonl.gz", 2500, word_metrics, NULL, 1, N_WORD_METRICS);
}

/* "xCy" beside "x": a C of words makes one word of it, a blank two, punctuation three. */
static void every_character_is_what_python_takes_it_for(void **state)
{
    (void)state;
    struct arena paths = {0};
    gzFile f = gzopen(golden_path(&paths, "similarity/characters.txt.gz"), "rb");
    char line[64], kind[32], text[8];
    unsigned first, last;
    int n = 0;

    assert_non_null(f);
    while (gzgets(f, line, sizeof line) != NULL) {
        assert_int_equal(sscanf(line, "%x %x %31s", &first, &last, kind), 3);
        const double gleu = *kind == 'w' ? 0 : *kind == 'b' ? 1.0 / 3 : 1.0 / 6;
        const double rouge = strstr(kind, "+rouge") != NULL ? 0 : 2.0 / 3;

        for (uint32_t c = first; c <= last; c++, n++) {
            text[0] = 'x';
            const size_t len = 1 + utf8_write(c, text + 1);
            text[len] = 'y';
            const struct str s = {text, len + 1};

            if (fabs(by("gleu", s, STR("x")) - gleu) > 1e-9 ||
                fabs(by("rouge_1", s, STR("x")) - rouge) > 1e-9)
                fail_msg("U+%04X is not %s", c, kind);
        }
    }
    assert_true(n > 140000);
    gzclose(f);
    arena_release(&paths);
}

static void known_scores_of_words_hold(void **state)
{
    (void)state;
    const struct str the = STR("the the the the the the the"), cat = STR("the cat is on the mat");

    ASSERT_NEAR(by("rouge_1", the, cat), 4.0 / 13, 1e-15); /* two of them count */
    ASSERT_NEAR(by("gleu", the, cat), 2.0 / 22, 1e-15);    /* 7 + 6 + 5 + 4 */
    /* no word in common is 0; where only longer n-grams lack, a tenth of one counts */
    ASSERT_NEAR(by("bleu", STR("dog"), STR("cat")), 0, 0);
    ASSERT_NEAR(by("bleu", STR("cat"), STR("cat")), pow(0.1, 0.75), 1e-15);
    ASSERT_NEAR(by("bleu", STR("Cat"), STR("cat")), 0, 0);
    ASSERT_NEAR(by("rouge_1", STR("Cat"), STR("cat")), 1, 0);
    /* half the length costs exp(1 - 2) */
    ASSERT_NEAR(by("bleu", STR("a b c d"), STR("a b c d e f g h")), exp(-1), 1e-15);
    ASSERT_NEAR(by("bleu", STR("a b c d e f g h"), STR("a b c d")),
                pow(4.0 / 8 * 3 / 7 * 2 / 6 * 1 / 5, 0.25), 1e-15);
    ASSERT_NEAR(by("rouge_l", STR("a b c d"), STR("a c b d")), 0.75, 1e-15);
    ASSERT_NEAR(by("rouge_2", STR("a b c d"), STR("a c b d")), 0, 0);
    ASSERT_NEAR(by("rouge_1", STR("\xe2\x84\xaa"), STR("k")), 1, 0); /* the sign of kelvin */
    for (size_t i = 0; i < N_WORD_METRICS; i++) {
        ASSERT_NEAR(by(word_metrics[i], STR(""), STR("")), 0, 0);
        ASSERT_NEAR(by(word_metrics[i], STR("a"), STR("")), 0, 0);
        ASSERT_NEAR(by(word_metrics[i], STR(""), STR("a")), 0, 0);
        ASSERT_NEAR(by(word_metrics[i], STR(" \n"), STR(" ")), 0, 0);
    }
}

/* n words of a few letters, each text of its own. */
static struct str random_words(char *room, size_t n, uint32_t alphabet, uint32_t which)
{
    size_t len = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t w = philox_below(4, PHILOX_TEST, which, i, alphabet);

        do
            room[len++] = (char)('a' + w % 26);
        while ((w /= 26) > 0);
        room[len++] = ' ';
    }
    return (struct str){room, len};
}

static void scores_keep_their_laws(void **state)
{
    (void)state;
    static char room[2][64 * 4];

    for (uint32_t trial = 0; trial < 1000; trial++) {
        const uint32_t alphabet = 1 + philox_below(5, PHILOX_TEST, trial, 0, 30);
        struct str s[2];

        for (uint32_t k = 0; k < 2; k++)
            s[k] = random_words(room[k], philox_below(6, PHILOX_TEST, trial, k, 40), alphabet,
                                2 * trial + k);
        double rouge_before = 1;
        for (size_t i = 0; i < N_WORD_METRICS; i++) {
            const char *m = word_metrics[i];
            const double score = by(m, s[0], s[1]);

            assert_true(score >= 0 && score <= 1);
            if (*m != 'b') /* only bleu tells the answer from the reference */
                ASSERT_NEAR(by(m, s[1], s[0]), score, 0);
            if (philox_below(6, PHILOX_TEST, trial, 0, 40) >= 5)
                ASSERT_NEAR(by(m, s[0], s[0]), 1, 1e-15);
            if (strncmp(m, "rouge_", 6) == 0 && m[6] == 'l')
                assert_true(score <= by("rouge_1", s[0], s[1]));
            else if (*m == 'r' && rouge_before == 0) /* no pair without its words */
                ASSERT_NEAR(score, 0, 0);
            if (*m == 'r')
                rouge_before = score;
        }
    }
}

static void a_text_that_is_too_long_is_refused(void **state)
{
    (void)state;
    static char text[LIMIT_SIMILARITY + 1];

    memset(text, 'a', sizeof text);
    for (size_t i = 0; i <= N_WORD_METRICS; i++) {
        const char *m = i < N_WORD_METRICS ? word_metrics[i] : "fuzzy_match";
        const struct similarity_metric *metric = similarity_find(str_of(m));
        const struct str limit = {text, LIMIT_SIMILARITY}, beyond = {text, sizeof text};
        struct error err;
        double out = 7;

        ASSERT_FAILS(metric->fn(beyond, STR("a"), &arena, &out, &err), ERR_LIMIT,
                     "too long to compare");
        ASSERT_FAILS(metric->fn(STR("a"), beyond, &arena, &out, &err), ERR_LIMIT,
                     "too long to compare");
        ASSERT_NEAR(out, 7, 0);
        ASSERT_OK(metric->fn(limit, STR("a"), &arena, &out, &err));
        arena_reset(&arena);
    }
}

/* As many words as there may be: a square of them would take minutes. */
static void the_longest_texts_take_no_square_of_their_length(void **state)
{
    (void)state;
    static char text[2][LIMIT_SIMILARITY];

    for (size_t i = 0; i < sizeof text[0]; i++) {
        text[0][i] =
            i % 2 == 0 ? (char)('a' + philox_below(7, PHILOX_TEST, 0, (uint32_t)i, 26)) : ' ';
        text[1][i] =
            i % 2 == 0 ? (char)('a' + philox_below(7, PHILOX_TEST, 1, (uint32_t)i, 26)) : ' ';
    }
    for (size_t i = 0; i + 1 < N_WORD_METRICS; i++) { /* all but rouge_l */
        const double score = by(word_metrics[i], (struct str){text[0], sizeof text[0]},
                                (struct str){text[1], sizeof text[1]});

        assert_true(score > 0 && score < 1);
    }
}

static void every_metric_of_the_api_is_known(void **state)
{
    (void)state;
    static const char *const names[] = {"fuzzy_match", "bleu",    "gleu",    "meteor",
                                        "cosine",      "rouge_1", "rouge_2", "rouge_3",
                                        "rouge_4",     "rouge_5", "rouge_l"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(similarity_find(str_of(names[i])));
    assert_null(similarity_find(STR("cosine"))->fn); /* text_similarity.c computes it */
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
        cmocka_unit_test(known_scores_of_words_hold),
        cmocka_unit_test(pairs_of_words_equal_nltk_and_rouge_score),
        cmocka_unit_test(every_character_is_what_python_takes_it_for),
        cmocka_unit_test(scores_keep_their_laws),
        cmocka_unit_test(the_longest_texts_take_no_square_of_their_length),
        cmocka_unit_test(a_text_that_is_too_long_is_refused),
        cmocka_unit_test(every_metric_of_the_api_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
