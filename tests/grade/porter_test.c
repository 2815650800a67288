/*
 * porter_test.c - every word has the stem that nltk's PorterStemmer gives it.
 */
#include "base/utf8.h"
#include "grade/porter.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

/* The stem of a word of at most 99 characters, as UTF-8. */
static const char *stem(const char *word)
{
    static char out[400];
    uint32_t letter[100];
    size_t n = 0, len = 0;

    for (size_t at = 0; at < strlen(word);) {
        assert_true(n < 99);
        letter[n++] = utf8_next(str_of(word), &at);
    }
    letter[n] = 0xfffffff; /* stands behind the word and stays */
    const size_t n_stem = porter_stem(letter, n);
    assert_true(n_stem <= n);
    assert_int_equal(letter[n], 0xfffffff);
    for (size_t i = 0; i < n_stem; i++)
        len += utf8_write(letter[i], out + len);
    out[len] = '\0';
    return out;
}

static void twelve_thousand_words_have_nltks_stems(void **state)
{
    (void)state;
    struct arena paths = {0};
    gzFile f = gzopen(golden_path(&paths, "meteor/stems.txt.gz"), "rb");
    char line[512], word[256], want[256];
    int n = 0;

    assert_non_null(f);
    for (; gzgets(f, line, sizeof line) != NULL; n++) {
        assert_int_equal(sscanf(line, "%255s %255s", word, want), 2);
        if (strcmp(stem(word), want) != 0)
            fail_msg("%s becomes %s, not %s", word, stem(word), want);
    }
    assert_int_equal(n, 12000);
    gzclose(f);
    arena_release(&paths);
}

/* Porter's own, then what nltk has otherwise. */
static void the_papers_examples_hold(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"caresses", "caress"},
        {"ponies", "poni"},
        {"cats", "cat"},
        {"agreed", "agre"},
        {"feed", "feed"},
        {"plastered", "plaster"},
        {"bled", "bled"},
        {"motoring", "motor"},
        {"sing", "sing"},
        {"conflated", "conflat"},
        {"troubled", "troubl"},
        {"sized", "size"},
        {"hopping", "hop"},
        {"falling", "fall"},
        {"hissing", "hiss"},
        {"failing", "fail"},
        {"filing", "file"},
        {"happy", "happi"},
        {"relational", "relat"},
        {"vietnamization", "vietnam"},
        {"hopefulness", "hope"},
        {"electrical", "electr"},
        {"adoption", "adopt"},
        {"homologous", "homolog"},
        {"rate", "rate"},
        {"cease", "ceas"},
        {"controlling", "control"},
        {"roll", "roll"},
        {"dies", "die"},
        {"died", "die"},
        {"dying", "die"},
        {"skies", "sky"},
        {"enjoy", "enjoy"},
        {"spied", "spi"},
        {"by", "by"},
        {"as", "as"},
        {"radically", "radic"},
        {"archaeology", "archaeolog"},
        {"geology", "geolog"},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(stem(pairs[i][0]), pairs[i][1]) != 0)
            fail_msg("%s becomes %s", pairs[i][0], stem(pairs[i][0]));
    assert_string_equal(stem(""), "");
    assert_string_equal(stem("\xe6\x9d\xb1\xe4\xba\xac"),
                        "\xe6\x9d\xb1\xe4\xba\xac"); /* one letter each */
}

static void a_long_word_takes_no_square_of_its_length(void **state)
{
    (void)state;
    const size_t n = (size_t)1 << 22;
    uint32_t *letter = malloc(n * sizeof *letter);

    assert_non_null(letter);
    for (size_t i = 0; i < n; i++)
        letter[i] = 'y';
    memcpy(letter + n - 3, (const uint32_t[]){'i', 'n', 'g'}, 3 * sizeof *letter);
    assert_true(porter_stem(letter, n) == n - 4); /* without a y of two, too */
    free(letter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twelve_thousand_words_have_nltks_stems),
        cmocka_unit_test(the_papers_examples_hold),
        cmocka_unit_test(a_long_word_takes_no_square_of_its_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
