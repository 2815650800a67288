/*
 * shown_test.c - names from strangers' files in messages: on one line, and cut between characters.
 */
#include "model/shown.h"

#include "base/size.h"
#include "support/support.h"

/* How long a name may be before it is cut. */
#define ROOM 68

static struct str repeated(char *out, const char *prefix, const char *what, size_t n)
{
    struct str s = {out, 0};

    for (const char *p = prefix; *p != '\0'; p++)
        out[s.len++] = *p;
    for (size_t i = 0; i < n; i++)
        for (const char *p = what; *p != '\0'; p++)
            out[s.len++] = *p;
    return s;
}

static void what_is_short_stays(void **state)
{
    char text[400];

    (void)state;
    assert_string_equal(shown(STR("")).text, "");
    assert_string_equal(shown((struct str){NULL, 0}).text, "");
    assert_string_equal(shown(STR("blk.0.ffn \xc3\xa9")).text, "blk.0.ffn \xc3\xa9");
    const struct str most = repeated(text, "", "x", ROOM);
    assert_int_equal(strlen(shown(most).text), ROOM);
}

static void controls_and_quotes_are_question_marks(void **state)
{
    (void)state;
    assert_string_equal(shown(STR("a\nb\0c\"d\x7f\x1b[1m'")).text, "a?b?c?d??[1m'");
}

static void what_is_long_is_cut_between_characters(void **state)
{
    char text[400], expected[400];

    (void)state;
    /* "é" has two bytes, "€" three: the room ends behind the first byte of one, or the second */
    static const struct {
        const char *prefix, *what;
        size_t n;
    } cases[] = {{"", "x", 68},
                 {"", "\xc3\xa9", 34},
                 {"-", "\xc3\xa9", 33},
                 {"", "\xe2\x82\xac", 22},
                 {"-", "\xe2\x82\xac", 22},
                 {"--", "\xe2\x82\xac", 22}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct str kept = repeated(expected, cases[i].prefix, cases[i].what, cases[i].n);
        const struct str long_one = repeated(text, cases[i].prefix, cases[i].what, 80);

        memcpy(expected + kept.len, "...", 4);
        assert_string_equal(shown(long_one).text, expected);
    }
}

/* No characters at all: still short, and ended. */
static void bytes_that_are_none_are_cut_too(void **state)
{
    char text[400];

    (void)state;
    const struct shown s = shown(repeated(text, "", "\x80", 300));
    assert_true(strlen(s.text) < sizeof s.text);
    assert_string_equal(s.text + strlen(s.text) - 3, "...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_short_stays),
        cmocka_unit_test(controls_and_quotes_are_question_marks),
        cmocka_unit_test(what_is_long_is_cut_between_characters),
        cmocka_unit_test(bytes_that_are_none_are_cut_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
