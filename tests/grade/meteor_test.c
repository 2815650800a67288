/*
 * meteor_test.c - meteor is nltk's meteor_score, over the same WordNet.
 */
#include "base/philox.h"
#include "grade/similarity.h"
#include "grade_support.h"
#include "support/support.h"
#include "text/json.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static struct arena arena;

static double score_of(struct str input, struct str reference)
{
    const struct similarity_metric *m = similarity_find(STR("meteor"));
    struct error err = {0};
    double out = -1;

    ASSERT_OK(m->fn(input, reference, &arena, &out, &err));
    arena_reset(&arena);
    return out;
}

static double meteor(const char *input, const char *reference)
{
    return score_of(str_of(input), str_of(reference));
}

/* ---- golden ---- */

struct lines {
    gzFile file;
    char line[1 << 16];
};

static void lines_open(struct lines *l, const char *name)
{
    struct arena paths = {0};

    l->file = gzopen(golden_path(&paths, name), "rb");
    assert_non_null(l->file);
    arena_release(&paths);
}

static const char *lines_next(struct lines *l)
{
    return gzgets(l->file, l->line, sizeof l->line);
}

static void assert_equals_nltk(const json_t *pair, double want)
{
    const struct str a = json_str(json_object_get(pair, "a"));
    const struct str b = json_str(json_object_get(pair, "b"));
    const double got = score_of(a, b);

    if (!(fabs(got - want) <= 1e-9))
        fail_msg("\"" STR_FMT "\" for \"" STR_FMT "\" has %.17g, not %.17g", STR_ARG(a), STR_ARG(b),
                 got, want);
}

static void pairs_of_wordnets_words_equal_nltk(void **state)
{
    (void)state;
    static struct lines pairs;
    int n = 0;

    lines_open(&pairs, "meteor/pairs.jsonl.gz");
    for (; lines_next(&pairs) != NULL; n++) {
        struct error err = {0};
        json_t *pair = NULL;

        ASSERT_OK(json_parse(str_of(pairs.line), "meteor/pairs.jsonl.gz", &pair, &err));
        assert_true(json_is_number(json_object_get(pair, "meteor")));
        assert_equals_nltk(pair, json_number_value(json_object_get(pair, "meteor")));
        json_decref(pair);
    }
    assert_int_equal(n, 3000);
    gzclose(pairs.file);
}

static void the_pairs_of_the_other_metrics_equal_nltk(void **state)
{
    (void)state;
    static struct lines pairs, scores;
    int n = 0;

    lines_open(&pairs, "similarity/words.jsonl.gz");
    lines_open(&scores, "meteor/words.txt.gz");
    for (; lines_next(&pairs) != NULL; n++) {
        struct error err = {0};
        json_t *pair = NULL;

        ASSERT_OK(json_parse(str_of(pairs.line), "similarity/words.jsonl.gz", &pair, &err));
        assert_non_null(lines_next(&scores));
        assert_equals_nltk(pair, atof(scores.line));
        json_decref(pair);
    }
    assert_int_equal(n, 2500);
    assert_null(lines_next(&scores));
    gzclose(pairs.file);
    gzclose(scores.file);
}

/* ---- known ---- */

/* The formula: m words of i and r stand for each other, in c pieces. */
static double formula(double m, double i, double r, double c)
{
    const double p = m / i, q = m / r;

    return (1 - 0.5 * pow(c / m, 3)) * p * q / (0.9 * p + 0.1 * q);
}

static void known_scores_hold(void **state)
{
    (void)state;
    /* the example of nltk's documentation, and of METEOR's in its later form */
    ASSERT_NEAR(meteor("It is a guide to action which ensures that the military always obeys the "
                       "commands of the party",
                       "It is a guide to action that ensures that the military will forever heed "
                       "Party commands"),
                0.6944, 5e-5);
    ASSERT_NEAR(meteor("the cat sat on the mat", "the cat sat on the mat"), formula(6, 6, 6, 1),
                1e-15);
    ASSERT_NEAR(meteor("on the mat sat the cat", "the cat sat on the mat"), 0.5, 1e-15);
    ASSERT_NEAR(meteor("non matching hypothesis", "this is a cat"), 0, 0);
    ASSERT_NEAR(meteor("cat", "cat"), 0.5, 1e-15); /* one piece of one word */
    ASSERT_NEAR(meteor("a cat", "a cat"), formula(2, 2, 2, 1), 1e-15);
    /* recall counts nine times as much as precision */
    ASSERT_NEAR(meteor("a b c d", "a b"), formula(2, 4, 2, 1), 1e-15);
    ASSERT_NEAR(meteor("a b", "a b c d"), formula(2, 2, 4, 1), 1e-15);
    ASSERT_NEAR(meteor("CAT", "cat"), 0.5, 1e-15);
    ASSERT_NEAR(meteor("\xce\x91\xce\xa3", "\xce\xb1\xcf\x82"), 0.5, 1e-15); /* final sigma */
    ASSERT_NEAR(meteor("\xce\xa3\xce\x91", "\xcf\x83\xce\xb1"), 0.5, 1e-15);
    ASSERT_NEAR(meteor("\xce\xa3", "\xcf\x83"), 0.5, 1e-15);        /* alone it ends no word */
    ASSERT_NEAR(meteor("end.", "end"), formula(1, 2, 1, 1), 1e-15); /* marks are words */
    ASSERT_NEAR(meteor("", ""), 0, 0);
    ASSERT_NEAR(meteor("a", ""), 0, 0);
    ASSERT_NEAR(meteor("", "a"), 0, 0);
    ASSERT_NEAR(meteor(" \n", "a"), 0, 0);
}

static void equal_words_come_before_stems_and_stems_before_synonyms(void **state)
{
    (void)state;
    ASSERT_NEAR(meteor("hopping", "hopped"), 0.5, 1e-15); /* one stem */
    ASSERT_NEAR(meteor("car", "auto"), 0.5, 1e-15);       /* one synset */
    ASSERT_NEAR(meteor("better", "well"), 0.5, 1e-15);    /* by the irregular forms */
    ASSERT_NEAR(meteor("well", "better"), 0, 0); /* the answer's synonyms alone are asked */
    ASSERT_NEAR(meteor("house", "home"), 0, 0); /* "hous" reaches WordNet, which has no such word */
    /* the second word is the equal one, so the first, its stem's, finds nothing and makes no piece */
    ASSERT_NEAR(meteor("cars car", "car"), formula(1, 2, 1, 1), 1e-15);
    ASSERT_NEAR(meteor("auto car", "car auto"), 0.5,
                1e-15); /* crossed, not two synonyms in a row */
    ASSERT_NEAR(meteor("auto cars", "car autos"), 0.5, 1e-15);
    /* from the end: the last of equal words is taken first */
    ASSERT_NEAR(meteor("x a", "a x a"), formula(2, 2, 3, 1), 1e-15);
    ASSERT_NEAR(meteor("a x", "a x a"), formula(2, 2, 3, 2), 1e-15);
}

/* ---- laws ---- */

static struct str random_text(char *room, uint32_t which)
{
    static const char *const words[] = {
        "car", "cars", "auto", "Auto", "geese", "goose", "better", "well",  "good", "the",
        "of",  ",",    "...",  "run",  "ran",   "break", "take",   "taken", "x_1",  "42"};
    const uint32_t n = philox_below(1, PHILOX_TEST, which, 0, 30);
    size_t len = 0;

    for (uint32_t i = 0; i < n; i++)
        len += (size_t)sprintf(
            room + len, "%s ",
            words[philox_below(2, PHILOX_TEST, which, i, sizeof words / sizeof *words)]);
    return (struct str){room, len};
}

static void scores_keep_their_laws(void **state)
{
    (void)state;
    static char room[2][30 * 8 + 1];

    for (uint32_t trial = 0; trial < 1000; trial++) {
        const struct str a = random_text(room[0], 2 * trial),
                         b = random_text(room[1], 2 * trial + 1);
        const double score = score_of(a, b), best = score_of(b, b);

        assert_true(score >= 0 && score <= best &&
                    best < 1); /* none earns more than the reference */
        if (b.len > 0)
            assert_true(best >= 0.5); /* one piece, however long */
    }
}

/* What WordNet says of much is much: the most frequent verbs have hundreds of synonyms. */
static void the_longest_texts_take_no_square_of_their_length(void **state)
{
    (void)state;
    static const char *const many[2][4] = {{"break", "make", "get", "run"},
                                           {"xa", "xb", "xc", "xd"}};
    static char text[2][LIMIT_SIMILARITY + 8];
    size_t len[2] = {0, 0};

    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; len[k] < LIMIT_SIMILARITY - 8; i++)
            len[k] += (size_t)sprintf(text[k] + len[k], "%s ",
                                      many[k][philox_below(3, PHILOX_TEST, (uint32_t)k, i, 4)]);
    ASSERT_NEAR(score_of((struct str){text[0], len[0]}, (struct str){text[1], len[1]}), 0, 0);
    assert_true(score_of((struct str){text[0], len[0]}, (struct str){text[0], len[0] / 2}) > 0);
}

static void a_text_that_is_too_long_is_refused(void **state)
{
    (void)state;
    static char text[LIMIT_SIMILARITY + 1];
    const struct similarity_metric *m = similarity_find(STR("meteor"));
    const struct str beyond = {text, sizeof text};
    struct error err;
    double out = 7;

    memset(text, 'a', sizeof text);
    ASSERT_FAILS(m->fn(beyond, STR("a"), &arena, &out, &err), ERR_LIMIT, "too long to compare");
    ASSERT_FAILS(m->fn(STR("a"), beyond, &arena, &out, &err), ERR_LIMIT, "too long to compare");
    ASSERT_NEAR(out, 7, 0);
    ASSERT_OK(m->fn((struct str){text, LIMIT_SIMILARITY}, STR("a"), &arena, &out, &err));
    ASSERT_NEAR(out, 0, 0);
    arena_reset(&arena);
}

/* ---- graders ---- */

static struct grader *meteor_grader(void)
{
    return grader_of(
        json_of("{'type':'text_similarity','name':'n','input':'{{sample.output_text}}',"
                "'reference':'{{item.answer}}','evaluation_metric':'meteor'}"),
        NULL);
}

#define N_THREADS 6
struct caller {
    pthread_t thread;
    struct grader *grader;
    int n_right;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    json_t *item = json_pack("{s:s}", "answer", "the big car ran well");

    for (int i = 0; i < 500; i++) {
        const struct grade_sample sample = {.output_text = STR("the great autos run good")};
        struct grade_result r;

        grader_run(c->grader, item, &sample, &r);
        c->n_right += r.flags == 0 && fabs(r.reward - formula(4, 5, 5, 2)) < 1e-12;
    }
    json_decref(item);
    return NULL;
}

static void a_grader_serves_many_threads(void **state)
{
    (void)state;
    struct caller callers[N_THREADS] = {0};
    struct grader *g = meteor_grader();

    for (int i = 0; i < N_THREADS; i++) {
        callers[i].grader = g;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
        assert_int_equal(callers[i].n_right, 500);
    }
    grader_close(g);
}

static void only_meteor_needs_something_of_the_machine(void **state)
{
    (void)state;
    struct error err = {0};

    ASSERT_OK(similarity_find(STR("meteor"))->prepare(&err));
    assert_null(similarity_find(STR("bleu"))->prepare);
    assert_null(similarity_find(STR("fuzzy_match"))->prepare);
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
        cmocka_unit_test(pairs_of_wordnets_words_equal_nltk),
        cmocka_unit_test(the_pairs_of_the_other_metrics_equal_nltk),
        cmocka_unit_test(known_scores_hold),
        cmocka_unit_test(equal_words_come_before_stems_and_stems_before_synonyms),
        cmocka_unit_test(scores_keep_their_laws),
        cmocka_unit_test(the_longest_texts_take_no_square_of_their_length),
        cmocka_unit_test(a_text_that_is_too_long_is_refused),
        cmocka_unit_test(a_grader_serves_many_threads),
        cmocka_unit_test(only_meteor_needs_something_of_the_machine),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
