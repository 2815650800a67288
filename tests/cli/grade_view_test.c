/*
 * grade_view_test.c - what is told of a grader fits its lines and moves no cursor, whatever answers and prints hold.
 */
#include "cli/grade_view.h"
#include "cli/output.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <utf8proc.h>

#define CHECK(name)                                                                                \
    "{\"type\":\"string_check\",\"name\":\"" name                                                  \
    "\",\"input\":\"a\",\"reference\":\"b\",\"operation\":\"eq\"}"
#define MULTI                                                                                      \
    "{\"type\":\"multi\",\"calculate_output\":\"one\",\"graders\":{\"one\":" CHECK("x") "}}"
#define SHADOWS                                                                                                                                          \
    "{\"watched\":" CHECK("x") ",\"\\u001b[2J\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\":" CHECK( \
        "x") "}"

/* Escapes, changes of direction, controls of Latin-1, marks that climb, no UTF-8, a zero byte, wide characters. */
#define HOSTILE                                                                                    \
    "\x1b[2J\x1b]0;x\x07\r\n\t\0\x7f\xe2\x80\xae\xe2\x81\xa6\xc2\x9b\x31m"                         \
    "e\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xff\xc0\xe6\xbc\xa2\xf3\xa0\x80\x81\xe2\x80\xa8"

static struct grader *grader;
static struct arena arena;
static struct grade_answer answers[64];
static struct grade_notes notes;
static struct grade_summary sum;
static struct buf out;

static void begin(size_t n, size_t n_repeats)
{
    struct error err = {0};

    grade_notes_release(&notes);
    arena_reset(&arena);
    for (size_t i = 0; i < n; i++)
        answers[i] = (struct grade_answer){.row = i / 2,
                                           .line = i + 1,
                                           .row_line = i / 2 + 1,
                                           .count = 1,
                                           .text = STR("an answer"),
                                           .recorded = (double)NAN};
    ASSERT_OK(grade_notes_init(&notes, grader, answers, n, n, n_repeats, SIZE_MAX, &err));
}

static void add(size_t i, size_t k, double reward, const char *printed)
{
    const struct grade_result r = {
        .reward = reward, .n_parts = 3, .part = {reward, 1}, .seconds = 0.5};

    grade_notes_add(&notes, i, k, &r, printed);
}

static const char *shown(const struct grade_view *given)
{
    struct error err = {0};
    struct grade_view v = *given;

    v.answers = v.answers == NULL ? "a.jsonl" : v.answers;
    v.seconds = 2;
    v.columns = v.columns == 0 ? 80 : v.columns;
    ASSERT_OK(grade_summarize(&notes, &arena, &sum, &err));
    buf_clear(&out);
    grade_view_render(&out, &v, &sum, &notes);
    assert_false(out.overflowed);
    return out.ptr;
}

/* Every line of text has at most so many columns, and nothing but characters that stand still. */
static void assert_harmless(struct str text, int columns)
{
    int used = 0;

    for (size_t at = 0; at < text.len;) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.ptr + at,
                                                    (utf8proc_ssize_t)(text.len - at), &c);

        assert_true(n > 0);
        at += (size_t)n;
        if (c == '\n') {
            used = 0;
            continue;
        }
        const utf8proc_category_t category = utf8proc_category(c);
        assert_false(category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
                     category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP);
        used += utf8proc_charwidth(c);
        if (used > columns)
            fail_msg("a line is wider than %d columns", columns);
    }
}

static void assert_says(const char *text, const char *what)
{
    if (strstr(text, what) == NULL)
        fail_msg("\"%s\" is not in:\n%s", what, text);
}

static void hostile_text_stays_on_its_line(void **state)
{
    (void)state;
    static const int widths[] = {80, 100, 133};
    struct buf mad;

    buf_init(&mad, 8 << 20);
    while (mad.len < 1 << 20)
        buf_str(&mad, STR(HOSTILE));
    for (size_t w = 0; w < 3; w++) {
        begin(30, 1);
        for (size_t i = 0; i < 30; i++) {
            answers[i].text = i % 3 == 0 ? buf_view(&mad) : STR(HOSTILE);
            answers[i].count = i + 1;
            answers[i].recorded = 12;
            add(i, 0, (double)i / 7, i < 4 ? mad.ptr : NULL);
        }
        for (int all = 0; all < 2; all++) {
            shown(&(struct grade_view){
                .columns = widths[w], .list_all = all, .answers = "a\x1b[2J.jsonl"});
            assert_harmless(buf_view(&out), widths[w]);
            assert_true(out.len < 20000);
        }
    }
    buf_release(&mad);
}

static void a_traceback_is_shown_whole_and_harmless(void **state)
{
    (void)state;
    struct grade_result r = {.flags = GRADE_PYTHON_RUNTIME_ERROR, .n_parts = 3};

    snprintf(r.details, sizeof r.details,
             "Traceback (most recent call last):\n  File \"grader.py\", line 2, in grade\n"
             "ValueError: \x1b[31mred\xc2\x9b");
    begin(3, 1);
    for (size_t i = 0; i < 2; i++)
        grade_notes_add(&notes, i, 0, &r, NULL);
    add(2, 0, 1, NULL);
    const char *text = shown(&(struct grade_view){0});
    assert_says(text, "The grader failed on 2 answers (66.7 %): mend it before training.\n"
                      "  2 times python_grader_runtime_error\n"
                      "    line 1 (row 1), line 2 (row 1)\n"
                      "      Traceback (most recent call last):\n"
                      "        File \"grader.py\", line 2, in grade\n"
                      "      ValueError: \\x1b[31mred\\u009b\n");
    assert_harmless(buf_view(&out), 80);
}

static void rows_are_shown_beside_the_ends(void **state)
{
    (void)state;
    json_t *row = json_pack("{s:[], s:s, s:s}", "messages", "gene", "CHD8\n\x1b[2J", "more", "z");
    struct buf mad;

    buf_init(&mad, 1 << 20);
    for (int i = 0; i < 50000; i++)
        buf_text(&mad, "\xc2\x9bz");
    json_t *big = json_pack("{s:s}", "big", mad.ptr);
    begin(40, 1);
    for (size_t i = 0; i < 40; i++) {
        answers[i].item = i == 0 ? row : i == 39 ? big : NULL;
        add(i, 0, (double)i, NULL);
    }
    assert_says(shown(&(struct grade_view){0}),
                "         1        1    0.0000  \"an answer\"\n"
                "                          row: {\"gene\":\"CHD8\\n\\u001b[2J\",\"more\":\"z\"}\n"
                "         3        2");
    assert_harmless(buf_view(&out), 80);
    assert_int_equal(json_object_size(row), 3); /* it is the caller's */
    json_decref(row);
    json_decref(big);
    buf_release(&mad);
}

static void prints_are_shown_cut_or_whole(void **state)
{
    (void)state;
    begin(25, 1);
    for (size_t i = 0; i < 25; i++)
        add(i, 0, 0, i == 3 ? "one\ntwo\x1b[A\n" : "");
    assert_says(shown(&(struct grade_view){0}),
                "What the grader printed\n         4        2 \"one\\ntwo\\x1b[A\\n\"\n");
    assert_says(shown(&(struct grade_view){.prints_all = true}),
                "  line 4:\n      one\n      two\\x1b[A\n");
    assert_harmless(buf_view(&out), 80);
    add(4, 0, 0, "x");
    notes.n_printed += 2; /* two that were not kept */
    assert_says(shown(&(struct grade_view){0}), "and 2 more calls printed: --prints shows all");
}

static void shadows_and_members_have_a_line_each(void **state)
{
    (void)state;
    begin(4, 1);
    for (size_t i = 0; i < 4; i++)
        add(i, 0, i % 2 ? 1 : 0.25, NULL);
    const char *text = shown(&(struct grade_view){0});
    assert_says(text, "  one                  0.6250   0.2500   1.0000        2      0");
    assert_says(text, " +1.00\n  watched              1.0000   1.0000   1.0000        1      0");
    assert_says(text, "    -\n    a shadow: measured, not rewarded\n");
    assert_says(text, "\n  \xc2\xb7[2J\xe6\xbc\xa2");
    assert_harmless(buf_view(&out), 80);
}

static void noise_is_judged_in_words(void **state)
{
    (void)state;
    static const struct {
        double apart; /* gradings of the same answer */
        const char *says;
    } cases[] = {
        {0, "no noise"},
        {0.1, "a row by 0.7053: fine."},
        {1, "half or more of what the reward says is noise: average "},
        {4, "half or more of what the reward says is noise: nothing tells the answers apart."}};

    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        begin(8, 2);
        for (size_t i = 0; i < 8; i++)
            for (size_t k = 0; k < 2; k++)
                add(i, k, (double)(i % 2) + (k == 0 ? cases[c].apart : 0), NULL);
        shown(&(struct grade_view){0});
        assert_harmless(buf_view(&out), 80);
        for (char *end = out.ptr; (end = strchr(end, '\n')) != NULL;) /* sentences run over lines */
            *end = ' ';
        assert_says(out.ptr, cases[c].says);
    }
}

static void who_asks_a_model_is_told_of_noise(void **state)
{
    (void)state;
    const struct grade_view v = {.answers = "a.jsonl", .seconds = 2, .columns = 80};

    begin(2, 1);
    add(0, 0, 0, NULL);
    add(1, 0, 1, NULL);
    assert_null(strstr(shown(&v), "--repeat"));
    sum.part[0].type = "score_model";
    buf_clear(&out);
    grade_view_render(&out, &v, &sum, &notes);
    assert_says(out.ptr, "--repeat 4");
    sum.n_repeats = 2; /* who repeats need not be told */
    buf_clear(&out);
    grade_view_render(&out, &v, &sum, &notes);
    assert_null(strstr(out.ptr, "--repeat"));
}

static void colors_are_left_out_unless_asked_for(void **state)
{
    (void)state;
    begin(3, 1);
    for (size_t i = 0; i < 3; i++)
        add(i, 0, 0, NULL);
    assert_null(strchr(shown(&(struct grade_view){0}), '\x1b'));
    assert_says(shown(&(struct grade_view){.color = true}),
                "\x1b[33mWarning: every answer got 0.0000.");
}

static void what_changed_since_the_last_run_is_told(void **state)
{
    (void)state;
    struct grade_past past = {0};

    begin(30, 1);
    for (size_t i = 0; i < 30; i++)
        add(i, 0, 0, NULL);
    shown(&(struct grade_view){.past = &past});
    assert_null(strstr(out.ptr, "Since the last run"));
    grade_past_keep(&past, &sum, &notes);
    begin(30, 1);
    for (size_t i = 0; i < 30; i++)
        add(i, 0, i < 18 ? 0 : 1, NULL);
    const char *text = shown(&(struct grade_view){.past = &past});
    assert_says(text, "  mean 0.0000 -> 0.4000 (+0.4000); 12 answers got another reward\n");
    assert_says(text, "        19       10    0.0000 ->    1.0000  \"an answer\"\n");
    assert_says(text, "\n  and 2 more\n");
    begin(2, 1); /* lines went: those that are left are compared */
    add(0, 0, 0, NULL);
    add(1, 0, 0, NULL);
    assert_says(shown(&(struct grade_view){.past = &past}),
                "0 answers got another reward; 2 lines, before 30\n");
    grade_past_release(&past);
}

static void quoted_text_keeps_to_its_columns(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        int columns;
        const char *want;
    } cases[] = {
        {{"eye", 3}, 10, "\"eye\""},
        {{"12345678", 8}, 10, "\"12345678\""},
        {{"123456789", 9}, 10, "\"12345\"..."},
        {{" eye\n", 5}, 10, "\" eye\\n\""},
        {{"1234\x1b", 5}, 10, "\"1234\\x1b\""},
        {{"12345\x1b", 6}, 10, "\"12345\"..."}, /* an escape is not cut in two */
        {{"\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2", 9},
         10,
         "\"\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\""},
        {{"", 0}, 6, "\"\""},
        {{"\xe2\x80\x8d\xc2\xad\xe2\x80\xae", 8}, 20, "\"\xe2\x80\x8d\\u00ad\\u202e\""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&out);
        const int used = put_quoted(&out, cases[i].text, cases[i].columns);
        assert_string_equal(out.ptr, cases[i].want);
        assert_true(used <= cases[i].columns);
    }
}

static int open_grader(void **state)
{
    struct error err = {0};
    json_t *spec = NULL, *shadows = NULL;
    struct grade_options opt = grade_defaults();

    (void)state;
    ASSERT_OK(json_parse(STR(MULTI), "a test", &spec, &err));
    ASSERT_OK(json_parse(STR(SHADOWS), "a test", &shadows, &err));
    opt.shadows = shadows;
    ASSERT_OK(grader_open(spec, &opt, &grader, &err));
    json_decref(spec);
    json_decref(shadows);
    buf_init(&out, 16 << 20);
    return 0;
}

static int close_grader(void **state)
{
    (void)state;
    grade_notes_release(&notes);
    arena_release(&arena);
    buf_release(&out);
    grader_close(grader);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_text_stays_on_its_line),
        cmocka_unit_test(a_traceback_is_shown_whole_and_harmless),
        cmocka_unit_test(rows_are_shown_beside_the_ends),
        cmocka_unit_test(prints_are_shown_cut_or_whole),
        cmocka_unit_test(shadows_and_members_have_a_line_each),
        cmocka_unit_test(noise_is_judged_in_words),
        cmocka_unit_test(who_asks_a_model_is_told_of_noise),
        cmocka_unit_test(colors_are_left_out_unless_asked_for),
        cmocka_unit_test(what_changed_since_the_last_run_is_told),
        cmocka_unit_test(quoted_text_keeps_to_its_columns),
    };

    return cmocka_run_group_tests(tests, open_grader, close_grader);
}
