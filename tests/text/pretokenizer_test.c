/*
 * pretokenizer_test.c - pieces equal those of the reference, for every behaviour and every term of a pattern that is
 * rewritten; terms that would mean something else are refused by name.
 *
 * The expected pieces are what pre_tokenizers.Split of `tokenizers` 0.23.3 gives.
 */
#include "base/buf.h"
#include "base/size.h"
#include "support/support.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_internal.h"

#include <stdlib.h>

/* Pieces with a bar between. */
static bool put_piece(void *ctx, struct str piece, struct error *err)
{
    struct buf *b = ctx;

    (void)err;
    assert_true(piece.len > 0);
    if (b->len > 0)
        buf_char(b, '|');
    buf_str(b, piece);
    return true;
}

static void assert_pieces(const struct pretokenizer *p, const char *text, const char *want)
{
    struct error err;
    struct buf b;

    buf_init(&b, 1 << 20);
    ASSERT_OK(pretokenizer_run(p, str_of(text), true, put_piece, &b, &err));
    ASSERT_STR(buf_view(&b), want);
    buf_release(&b);
}

static void pieces_equal_those_of_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        enum split_behavior behavior;
        bool invert;
        const char *text, *want;
    } cases[] = {
        {"-", SPLIT_ISOLATED, false, "-a--b-", "-|a|-|-|b|-"},
        {"-", SPLIT_ISOLATED, true, "-a--b-", "-|a|-|-|b|-"},
        {"-", SPLIT_REMOVED, false, "-a--b-", "a|b"},
        {"-", SPLIT_REMOVED, true, "-a--b-", "-|-|-|-"},
        {"-", SPLIT_MERGED_WITH_PREVIOUS, false, "-a--b-", "-|a-|-|b-"},
        {"-", SPLIT_MERGED_WITH_PREVIOUS, true, "-a--b-", "-a|-|-b|-"},
        {"-", SPLIT_MERGED_WITH_NEXT, false, "-a--b-", "-a|-|-b|-"},
        {"-", SPLIT_MERGED_WITH_NEXT, true, "-a--b-", "-|a-|-|b-"},
        {"-", SPLIT_CONTIGUOUS, false, "-a--b-", "-|a|--|b|-"},
        {"-", SPLIT_CONTIGUOUS, true, "-a--b-", "-|a|--|b|-"},
        {"\\s+", SPLIT_ISOLATED, false, "a\u3000\u180e b\tc", "a|\u3000|\u180e| |b|\t|c"},
        {"[^\\S\\n]+", SPLIT_ISOLATED, false, " \t\n \u180ex", " \t|\n| |\u180ex"},
        {"\\w+", SPLIT_ISOLATED, false, "\u00e9\u0301_1\u00b2-\u24b6\u203f",
         "\u00e9\u0301_1\u00b2|-|\u24b6\u203f"},
        {"[\\w]+", SPLIT_ISOLATED, false, "1\u00b2", "1|\u00b2"},
        {"\\b", SPLIT_ISOLATED, false, "ab \u00b21", "ab| |\u00b21"},
        {"\\B", SPLIT_ISOLATED, false, "ab!?", "a|b!|?"},
        {"\\d{,2}", SPLIT_ISOLATED, false, "12345", "12|34|5"},
        {"\\d{2,}", SPLIT_ISOLATED, false, "1 23", "1 |23"},
        {"\\h+", SPLIT_ISOLATED, false, "xfFgZ9", "x|fF|gZ|9"},
        {"\\p{Han}+", SPLIT_ISOLATED, false, "\u6f22\u3005\u3042\u3001",
         "\u6f22\u3005|\u3042\u3001"},
        {"\\p{^L}+", SPLIT_ISOLATED, false, "a12b", "a|12|b"},
        {"\\u3042|\\x{e9}|\\x41", SPLIT_ISOLATED, false, "\u3042\u00e9AB", "\u3042|\u00e9|A|B"},
        {"x*", SPLIT_ISOLATED, false, "axxb", "a|xx|b"},
        {"^a|b$", SPLIT_ISOLATED, false, "a\nab\nb", "a|\n|a|b|\n|b"},
        {".", SPLIT_ISOLATED, false, "a\nb\r", "a|\n|b|\r"},
        {"(?i:'s|k)", SPLIT_ISOLATED, false, "'S'\u017fK\u212a", "'S|'\u017f|K|\u212a"},
        {"(?>a+)b?|{", SPLIT_ISOLATED, false, "aab{a", "aab|{|a"},
        {"[a\\-\\]]+", SPLIT_ISOLATED, false, "a-]b", "a-]|b"},
        {"(?<=a)b|(?<!a)c", SPLIT_ISOLATED, false, "abcac", "a|b|c|ac"},
        {"\\A.|.\\z", SPLIT_ISOLATED, false, "abc", "a|b|c"},
        {"\\p{N}{1,3}", SPLIT_ISOLATED, false, "12345\u00bd\u2167", "123|45\u00bd|\u2167"},
        {"\\u00e9", SPLIT_ISOLATED, false, "e\u00e9", "e|\u00e9"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pretokenizer p = {0};
        struct error err;

        ASSERT_OK(pretokenizer_split(&p, str_of(cases[i].pattern), cases[i].behavior,
                                     cases[i].invert, &err));
        assert_pieces(&p, cases[i].text, cases[i].want);
        pretokenizer_release(&p);
    }
}

static void a_text_as_pattern_is_taken_by_the_letter(void **state)
{
    (void)state;
    struct pretokenizer p = {0};
    struct error err;

    ASSERT_OK(pretokenizer_split_text(&p, STR("[a]"), SPLIT_ISOLATED, false, &err));
    assert_pieces(&p, "a[a]a", "a|[a]|a");
    pretokenizer_release(&p);
}

static void steps_cut_what_the_step_before_left(void **state)
{
    (void)state;
    struct pretokenizer p = {0};
    struct error err;

    ASSERT_OK(pretokenizer_split(&p, STR("\\p{N}"), SPLIT_ISOLATED, false, &err));
    ASSERT_OK(pretokenizer_split(&p, STR(PATTERN_GPT2), SPLIT_ISOLATED, false, &err));
    assert_pieces(&p, "It's 12 o'clock\n\n  now", "It|'s| |1|2| o|'|clock|\n\n | now");
    assert_pieces(&p, "", "");
    pretokenizer_release(&p);
}

static void a_blank_is_put_in_front_of_every_piece_that_has_none(void **state)
{
    (void)state;
    struct pretokenizer p = {0};
    struct error err;

    ASSERT_OK(pretokenizer_split(&p, STR("-"), SPLIT_ISOLATED, false, &err));
    ASSERT_OK(pretokenizer_add(&p, PRE_PREFIX_BLANK, SPLIT_ISOLATED, &err));
    assert_pieces(&p, "a- b", " a| -| b");
    pretokenizer_release(&p);
}

static void terms_that_mean_something_else_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
    } cases[] = {
        {"", "the pattern is empty"},
        {"[a&&b]", "\"&\" at byte 2: the intersection"},
        {"[a[b]]", "a class within a class"},
        {"[[:alpha:]]", "a class within a class"},
        {"[]a]", "a class that begins with a bracket"},
        {"[a", "the class does not end"},
        {"[\\W]", "\"\\W\" at byte 1: not offered here"},
        {"\\G", "\"\\G\" at byte 0: not offered here"},
        {"\\X", "not offered here"},
        {"a\\", "nothing stands behind the backslash"},
        {"\\pL", "a property is written"},
        {"\\p{L", "a property is written"},
        {"\\p{Alphabetic}", "not one PCRE2 takes"},
        {"\\x{110000000}", "a code point is written"},
        {"\\xE9", "half of a character"},
        {"\\u30", "a code point is written"},
        {"(?m:a)", "this kind of group"},
        {"a(?i)b", "this kind of group"},
        {"(?<name>a)", "this kind of group"},
        {"(*UCP)a", "a group cannot begin with a star"},
        {"a{2}+", "a sign behind a count"},
        {"a{2,3}?", "a sign behind a count"},
        {"(?i:ss)", "one character may stand for it"},
        {"(?i:\u00df)", "it may stand for several characters"},
        {"(a", "not one PCRE2 takes"},
        {"a**b)", "not one PCRE2 takes"},
        {"\xFF", "not one PCRE2 takes"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pretokenizer p = {0};
        struct error err;

        ASSERT_FAILS(pretokenizer_split(&p, str_of(cases[i].pattern), SPLIT_ISOLATED, false, &err),
                     ERR_UNSUPPORTED, cases[i].text);
        assert_int_equal(p.n_steps, 0);
    }
}

static void too_much_of_anything_is_refused(void **state)
{
    (void)state;
    struct pretokenizer p = {0};
    struct error err;
    char *pattern = malloc(70000);

    memset(pattern, 'a', 70000);
    ASSERT_FAILS(pretokenizer_split(&p, (struct str){pattern, 70000}, SPLIT_ISOLATED, false, &err),
                 ERR_LIMIT, "70000");
    free(pattern);
    for (int i = 0; i < PRETOKENIZER_MAX_STEPS; i++)
        ASSERT_OK(pretokenizer_add(&p, PRE_PREFIX_BLANK, SPLIT_ISOLATED, &err));
    ASSERT_FAILS(pretokenizer_add(&p, PRE_PREFIX_BLANK, SPLIT_ISOLATED, &err), ERR_LIMIT,
                 "more than 16 steps");
    pretokenizer_release(&p);
}

static void a_pattern_that_never_ends_is_an_error(void **state)
{
    (void)state;
    struct pretokenizer p = {0};
    struct error err;
    struct buf b;

    buf_init(&b, 1 << 20);
    ASSERT_OK(pretokenizer_split(&p, STR("(a+)+(a+)+(?=b|d)"), SPLIT_ISOLATED, false, &err));
    ASSERT_FAILS(pretokenizer_run(&p, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"),
                                  true, put_piece, &b, &err),
                 ERR_LIMIT, "does not get through the text");
    pretokenizer_release(&p);
    buf_release(&b);
}

static bool count_piece(void *ctx, struct str piece, struct error *err)
{
    (void)piece;
    return ++*(size_t *)ctx < 1000 || fail(err, ERR_CANCELLED, "enough");
}

static void the_receiver_can_stop(void **state)
{
    (void)state;
    struct pretokenizer p = {0};
    struct error err;
    size_t n = 998;

    ASSERT_OK(pretokenizer_split(&p, STR("."), SPLIT_ISOLATED, false, &err));
    ASSERT_FAILS(pretokenizer_run(&p, STR("abcdef"), true, count_piece, &n, &err), ERR_CANCELLED,
                 "enough");
    assert_int_equal(n, 1000);
    pretokenizer_release(&p);
}

/* Four megabytes of one kind: patterns go over it once, and their way back fits into memory. */
static void long_runs_of_one_kind_are_no_matter(void **state)
{
    (void)state;
    static const char *const kinds[] = {" ", "a", "!", "\n", "\u4e2d", " \n", "1"};
    static const char *const names[] = {"gpt-2", "llama-bpe", "qwen2", "gpt-4o", "deepseek-v3"};
    const size_t size = (size_t)1 << 20;
    char *text = malloc(size + 1);

    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        size_t len = 0;

        while (len + 4 < size)
            for (const char *c = kinds[k]; *c != '\0'; c++)
                text[len++] = *c;
        text[len++] = 'x';
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            struct pretokenizer p = {0};
            enum normal_form form;
            bool ignore_merges;
            struct error err;
            struct buf b;

            buf_init(&b, 4 * size);
            ASSERT_OK(pretokenizer_named(str_of(names[i]), &p, &form, &ignore_merges, &err));
            ASSERT_OK(pretokenizer_run(&p, (struct str){text, len}, true, put_piece, &b, &err));
            assert_true(b.len >= len);
            buf_release(&b);
            pretokenizer_release(&p);
        }
    }
    free(text);
}

/* PCRE2's own limit is ten million steps, which twelve megabytes of blanks take. */
static void a_longer_text_may_take_more_steps(void **state)
{
    (void)state;
    struct pretokenizer p = {0};
    enum normal_form form;
    bool ignore_merges;
    struct error err;
    struct buf b;
    const size_t len = (size_t)12 << 20;
    char *text = malloc(len);

    memset(text, ' ', len);
    text[len - 1] = 'x';
    buf_init(&b, 2 * len);
    ASSERT_OK(pretokenizer_named(STR("llama-bpe"), &p, &form, &ignore_merges, &err));
    ASSERT_OK(pretokenizer_run(&p, (struct str){text, len}, true, put_piece, &b, &err));
    assert_int_equal(b.len, len + 1); /* all blanks but one, a bar, " x" */
    buf_release(&b);
    pretokenizer_release(&p);
    free(text);
}

static void every_name_of_gguf_opens_and_others_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *name, *first, *second;
    } cases[] = {
        {"smollm", "He|'ll| see| |1|2|3|4|,| |5|\n   ",
         "McDonald|'s| ca|\u0301|fe|'s| \u6f22\u5b57\u304b|1| $|x|=|y|;//|\n|{|HTMLParser|}|\t|'|S| |1|2|\u00b2"},
        {"gpt-2", "He|'ll| see| 1234|,| 5|\n   ",
         "McDonald|'s| ca|\u0301|fe|'s| \u6f22\u5b57\u304b|1| $|x|=|y|;//|\n|{|HTMLParser|}|\t|'|S| 12\u00b2"},
        {"llama-bpe", "He|'ll| see| |123|4|,| |5|\n|   ",
         "McDonald|'s| ca|\u0301fe|'s| \u6f22\u5b57\u304b|1| $|x|=y|;//\n|{HTMLParser|}|\t|'S| |12\u00b2"},
        {"llama3", "He|'ll| see| |123|4|,| |5|\n|   ",
         "McDonald|'s| ca|\u0301fe|'s| \u6f22\u5b57\u304b|1| $|x|=y|;//\n|{HTMLParser|}|\t|'S| |12\u00b2"},
        {"qwen2", "He|'ll| see| |1|2|3|4|,| |5|\n|   ",
         "McDonald|'s| ca|\u0301fe|'s| \u6f22\u5b57\u304b|1| $|x|=y|;//\n|{HTMLParser|}|\t|'S| |1|2|\u00b2"},
        {"deepseek-r1-qwen", "He|'ll| see| |1|2|3|4|,| |5|\n|   ",
         "McDonald|'s| ca|\u0301fe|'s| \u6f22\u5b57\u304b|1| $|x|=y|;//\n|{HTMLParser|}|\t|'S| |1|2|\u00b2"},
        {"qwen35", "He|'ll| see| |1|2|3|4|,| |5|\n|   ",
         "McDonald|'s| ca\u0301fe|'s| \u6f22\u5b57\u304b|1| $|x|=y|;//\n|{HTMLParser|}|\t|'S| |1|2|\u00b2"},
        {"seed-coder", "He|'ll| see| |1|2|3|4|,| |5|\n|   ",
         "McDonald|'s| ca|\u0301fe|'s| \u6f22\u5b57\u304b|1| $|x|=y|;//|\n|{HTMLParser|}|\t|'S| |1|2|\u00b2"},
        {"minicpm5", "He|'ll| see| |123|4|,| |5|\n|   ",
         "McDonald|'s| ca|\u0301fe|'s| \u6f22\u5b57\u304b|1| $|x|=y|;//\n|{HTMLParser|}|\t|'S| |12\u00b2"},
        {"gpt-4o", "He'll| see| |123|4|,| |5|\n|   ",
         "Mc|Donald's| ca\u0301fe's| \u6f22\u5b57\u304b|1| $|x|=y|;//\n|{HTMLParser|}|\t|'S| |12\u00b2"},
        {"tekken", "He|'ll| see| |1|2|3|4|,| |5|\n|   ",
         "Mc|Donald|'s| ca\u0301fe|'s| \u6f22\u5b57\u304b|1| $|x|=y|;//\n|{HTMLParser|}|\t|'S| |1|2|\u00b2"},
        {"deepseek-v3", "He|'ll| see| |123|4|,| |5|\n|   ",
         "McDonald|'s| ca\u0301fe|'s| |\u6f22\u5b57\u304b|1| $|x|=y|;//\n|{HTMLParser|}|\t|'S| |12\u00b2"},
        {"deepseek-coder", "He|'|ll| see| |1|2|3|4|,| |5|\n|   ",
         "McDonald|'|s| ca|\u0301|fe|'|s| |\u6f22\u5b57\u304b|1| $|x|=|y|;//|\n|{|HTMLParser|}|\t'|S| |1|2|\u00b2"},
        {"default", "He|'|ll| see| |123|4|,| |5|\n   ",
         "McDonald|'|s| ca|\u0301|fe|'|s| \u6f22\u5b57\u304b|1| |$|x|=|y|;//|\n|{|HTMLParser|}|\t|'|S| |12\u00b2"},
        {"", "He|'|ll| see| |123|4|,| |5|\n   ",
         "McDonald|'|s| ca|\u0301|fe|'|s| \u6f22\u5b57\u304b|1| |$|x|=|y|;//|\n|{|HTMLParser|}|\t|'|S| |12\u00b2"},
    };
    struct pretokenizer p = {0};
    enum normal_form form;
    bool ignore_merges;
    struct error err;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ASSERT_OK(pretokenizer_named(str_of(cases[i].name), &p, &form, &ignore_merges, &err));
        assert_pieces(&p, "He'll see 1234, 5\n   ", cases[i].first);
        assert_pieces(
            &p, "McDonald's ca\u0301fe's \u6f22\u5b57\u304b1 $x=y;//\n{HTMLParser}\t'S 12\u00b2",
            cases[i].second);
        pretokenizer_release(&p);
    }
    ASSERT_OK(pretokenizer_named(STR("llama-bpe"), &p, &form, &ignore_merges, &err));
    assert_true(ignore_merges);
    pretokenizer_release(&p);
    ASSERT_OK(pretokenizer_named(STR("qwen2"), &p, &form, &ignore_merges, &err));
    assert_int_equal(form, NORMAL_NFC);
    pretokenizer_release(&p);
    struct str written = STR("");
    struct named_pre steps;
    assert_true(tokenizer_named_pre(STR("llama3"), &steps));
    assert_true(tokenizer_pre_name(&steps, &written));
    assert_true(str_is(written, "llama-bpe")); /* the converter's name of the same steps */
    steps.n = 0;
    assert_false(tokenizer_pre_name(&steps, &written));
    ASSERT_FAILS(pretokenizer_named(STR("falcon"), &p, &form, &ignore_merges, &err),
                 ERR_UNSUPPORTED, "the pre-tokenizer \"falcon\" is not offered");
    assert_string_equal(err.param, "tokenizer.ggml.pre");
    ASSERT_FAILS(pretokenizer_named(STR("gpt"), &p, &form, &ignore_merges, &err), ERR_UNSUPPORTED,
                 "\"gpt\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_equal_those_of_the_reference),
        cmocka_unit_test(a_text_as_pattern_is_taken_by_the_letter),
        cmocka_unit_test(steps_cut_what_the_step_before_left),
        cmocka_unit_test(a_blank_is_put_in_front_of_every_piece_that_has_none),
        cmocka_unit_test(terms_that_mean_something_else_are_refused),
        cmocka_unit_test(too_much_of_anything_is_refused),
        cmocka_unit_test(a_pattern_that_never_ends_is_an_error),
        cmocka_unit_test(the_receiver_can_stop),
        cmocka_unit_test(long_runs_of_one_kind_are_no_matter),
        cmocka_unit_test(a_longer_text_may_take_more_steps),
        cmocka_unit_test(every_name_of_gguf_opens_and_others_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
