/*
 * grade_summary_test.c - figures worked out by hand or published, each for grades that are made up here.
 */
#include "grade/grade_summary.h"
#include "grade_support.h"

#include <math.h>
#include <stdlib.h>

#define MULTI                                                                                      \
    "{'type':'multi','calculate_output':'one+two','pass_threshold':0.5,'graders':{"                \
    "'one':{'type':'string_check','name':'n','input':'a','reference':'b','operation':'eq',"        \
    "'pass_threshold':2},"                                                                         \
    "'two':{'type':'string_check','name':'n','input':'a','reference':'b','operation':'eq'}}}"

#define N 64
static struct grader *multi;
static struct arena arena;
static struct grade_answer answers[N];
static struct grade_notes notes;
static struct grade_summary sum;

/* n answers, each of a row of its own and given once, until a test changes that. */
static void begin(size_t n, size_t n_repeats)
{
    struct error err = {0};

    grade_notes_release(&notes);
    arena_reset(&arena);
    for (size_t i = 0; i < n; i++)
        answers[i] = (struct grade_answer){.row = i,
                                           .line = i + 1,
                                           .row_line = i + 101,
                                           .count = 1,
                                           .text = STR("answer"),
                                           .recorded = (double)NAN};
    ASSERT_OK(grade_notes_init(&notes, multi, answers, n, n, n_repeats, 2, &err));
}

static void add(size_t answer, size_t repeat, double reward)
{
    const struct grade_result r = {.reward = reward, .n_parts = 2};

    grade_notes_add(&notes, answer, repeat, &r, NULL);
}

static void add_failed(size_t answer, unsigned flags, const char *details)
{
    struct grade_result r = {.flags = flags, .n_parts = 2, .part_flags = {0, flags}};

    snprintf(r.details, sizeof r.details, "%s", details);
    grade_notes_add(&notes, answer, 0, &r, NULL);
}

static void sum_up(void)
{
    struct error err = {0};

    ASSERT_OK(grade_summarize(&notes, &arena, &sum, &err));
}

/* One answer a row, with these rewards. */
static void rewards(size_t n, const double *reward)
{
    begin(n, 1);
    for (size_t i = 0; i < n; i++)
        add(i, 0, reward[i]);
    sum_up();
}

static void near(double got, double want)
{
    if (!(fabs(got - want) < 1e-9))
        fail_msg("%.12g is not %.12g", got, want);
}

static void answers_weigh_as_often_as_they_were_given(void **state)
{
    (void)state;
    begin(3, 1);
    answers[0].count = 3;
    for (size_t i = 0; i < 3; i++)
        add(i, 0, i == 0 ? 1 : 0);
    sum_up();
    assert_int_equal(sum.n_answers, 5);
    assert_int_equal(sum.n_lines, 3);
    near(sum.mean.mean, 0.6);
    near(sum.reward.mean, 0.6);
    near(sum.at_high, 0.6);
    near(sum.at_low, 0.4);
    near(sum.reward.passed, 0.6);
    assert_int_equal(sum.bin[1].n, 3);
}

static void the_interval_is_that_of_the_rows_means(void **state)
{
    (void)state;
    static const double reward[] = {0, 1, 0.5, 1, 0, 0};
    const double row_means[] = {0.5, 0.75, 0};
    const struct mean want = mean_of(3, row_means);

    begin(6, 1);
    for (size_t i = 0; i < 6; i++) {
        answers[i].row = i / 2;
        add(i, 0, reward[i]);
    }
    sum_up();
    assert_int_equal(sum.n_rows, 3);
    near(sum.mean.mean, want.mean);
    near(sum.mean.error, want.error);
    near(sum.mean.ci95, want.ci95);
}

static void few_values_are_shown_as_they_are(void **state)
{
    (void)state;
    rewards(5, (double[]){0.3, 0.1 + 0.2, -1, 2, 2});
    assert_int_equal(sum.reward.n_distinct, 3); /* 0.1 + 0.2 is not the double 0.3 */
    assert_int_equal(sum.n_bins, 3);
    near(sum.bin[0].from, -1);
    near(sum.bin[1].from, 0.3);
    near(sum.bin[1].to, 0.3);
    assert_int_equal(sum.bin[1].n, 2);
    assert_int_equal(sum.bin[2].n, 2);
    near(sum.low, -1);
    near(sum.high, 2);
    near(sum.at_high, 0.4);
}

static void many_values_fall_into_bins_with_round_edges(void **state)
{
    (void)state;
    double reward[N];
    size_t n = 0;

    for (size_t i = 0; i < N; i++)
        reward[i] = (double)i / (N - 1);
    rewards(N, reward);
    assert_int_equal(sum.reward.n_distinct, N);
    assert_int_equal(sum.n_bins, 10);
    for (size_t b = 0; b < sum.n_bins; b++) {
        size_t want = 0;

        assert_true(sum.bin[b].from == (double)b / 10 && sum.bin[b].to == (double)(b + 1) / 10);
        for (size_t i = 0; i < N; i++)
            want += reward[i] >= sum.bin[b].from &&
                    (reward[i] < sum.bin[b].to || (b == 9 && i == N - 1));
        assert_int_equal(sum.bin[b].n, want);
        n += sum.bin[b].n;
    }
    assert_int_equal(n, N);
    for (size_t i = 0; i < N; i++) /* not near 0 or 1 */
        reward[i] = 1000 + 0.001 * (double)i;
    rewards(N, reward);
    assert_true(sum.n_bins > 6 && sum.n_bins <= 14);
    assert_true(sum.bin[0].from <= 1000 && sum.bin[sum.n_bins - 1].to >= reward[N - 1] - 1e-9);
    for (size_t i = 0; i < N;
         i++) /* as far apart as doubles are: something is told, and nothing breaks */
        reward[i] = (i % 2 ? 1 : -1) * 1e308 / (double)(i + 1);
    rewards(N, reward);
    assert_true(sum.n_bins >= 1 && sum.n_bins <= GRADE_MAX_BINS);
}

static void rows_whose_answers_got_the_same_are_counted(void **state)
{
    (void)state;
    begin(7, 1);
    for (size_t i = 0; i < 6; i++)
        answers[i].row = i / 2; /* rows 0, 1, 2 have two lines; row 6 one line, given three times */
    answers[6].count = 3;
    for (size_t i = 0; i < 7; i++)
        add(i, 0, i == 0 ? 1 : 0);
    sum_up();
    assert_int_equal(sum.n_rows, 4);
    assert_int_equal(sum.n_rows_several, 4);
    near(sum.flat_share, 0.75);
    assert_true(sum.warnings & GRADE_WARN_FLAT_ROWS);
    rewards(2, (double[]){0, 1});
    assert_int_equal(sum.n_rows_several, 0);
    assert_true(isnan(sum.flat_share) && !(sum.warnings & GRADE_WARN_FLAT_ROWS));
}

static void what_teaches_nothing_is_warned_of(void **state)
{
    (void)state;
    double reward[N] = {0};

    rewards(N, reward);
    assert_int_equal(sum.warnings, GRADE_WARN_ALL_EQUAL);
    reward[0] = reward[1] = 1; /* 62 of 64: 97 % */
    rewards(N, reward);
    assert_int_equal(sum.warnings, GRADE_WARN_ONE_SIDED);
    reward[1] = 0.5; /* something between */
    rewards(N, reward);
    assert_int_equal(sum.warnings, 0);
    reward[1] = reward[2] = reward[3] = 1; /* 60 of 64: 94 % */
    rewards(N, reward);
    assert_int_equal(sum.warnings, 0);
    rewards(1, reward);
    assert_int_equal(sum.warnings, 0); /* one answer says nothing of the grader */
}

static void parts_leave_out_calls_that_failed(void **state)
{
    (void)state;
    static const double one[] = {1, 2, 3, 9}, two[] = {5, 5, 5, 5}, reward[] = {2, 1, 4, 0};

    begin(4, 1);
    for (size_t i = 0; i < 4; i++) {
        struct grade_result r = {.reward = reward[i], .n_parts = 2, .part = {one[i], two[i]}};

        r.part_seconds[0] = 0.5 * (double)i;
        r.part_flags[0] = i == 3 ? GRADE_OTHER_ERROR : 0;
        r.flags = r.part_flags[0];
        grade_notes_add(&notes, i, 0, &r, NULL);
    }
    sum_up();
    assert_int_equal(sum.n_parts, 2);
    assert_string_equal(sum.part[0].name, "one");
    assert_int_equal(sum.part[0].score.n, 3);
    assert_int_equal(sum.part[0].n_failed, 1);
    near(sum.part[0].score.mean, 2);
    near(sum.part[0].score.max, 3);
    near(sum.part[0].score.threshold, 2);
    near(sum.part[0].score.passed, 2 / 3.0);
    near(sum.part[0].seconds, 0.75);
    /* of (1, 2), (2, 1), (3, 4): 2 / sqrt(2 * 14 / 3) */
    near(sum.part[0].correlation, 2 / sqrt(28 / 3.0));
    assert_true(isnan(sum.part[1].correlation)); /* it is constant */
    assert_true(isnan(sum.part[1].score.passed));
    assert_int_equal(sum.part[1].score.n_distinct, 1);
}

#define TRACE(line, says)                                                                          \
    "Traceback (most recent call last):\n  File \"grader.py\", line " line                         \
    ", in grade\nValueError: " says

static void failures_are_alike_where_they_happen_at_the_same_place(void **state)
{
    (void)state;
    begin(9, 1);
    answers[1].count = 4;
    add_failed(0, GRADE_SAMPLE_PARSE_ERROR, "the answer is not JSON");
    add_failed(1, GRADE_SAMPLE_PARSE_ERROR, "the answer is not JSON");
    add_failed(2, GRADE_PYTHON_RUNTIME_ERROR, TRACE("3", "no gene 'A'"));
    add_failed(3, GRADE_PYTHON_RUNTIME_ERROR, TRACE("3", "no gene: 'B'\nof: two lines"));
    add_failed(4, GRADE_PYTHON_RUNTIME_ERROR, TRACE("4", "no gene 'A'"));
    add_failed(5, GRADE_PYTHON_RUNTIME_ERROR, "it returned str: 'good'");
    add_failed(6, GRADE_PYTHON_RUNTIME_ERROR, "it returned str: 'better 7'");
    add_failed(7, GRADE_PYTHON_SERVER_ERROR, "it returned str: 'good'");
    add(8, 0, 1);
    sum_up();
    assert_int_equal(sum.n_failed, 11);
    assert_int_equal(sum.n_grader_failed, 6);
    assert_int_equal(notes.n_flag[1], 5);
    assert_int_equal(sum.n_causes, 5);
    /* the grader's own first, the more frequent first, then as they came */
    assert_string_equal(sum.cause[0]->details, TRACE("3", "no gene 'A'"));
    assert_int_equal(sum.cause[0]->n, 2);
    assert_int_equal(sum.cause[0]->n_shown, 2);
    assert_int_equal(sum.cause[0]->shown[1], 3);
    assert_string_equal(sum.cause[1]->details, "it returned str: 'good'");
    assert_int_equal(sum.cause[1]->n, 2);
    assert_string_equal(sum.cause[2]->details, TRACE("4", "no gene 'A'"));
    assert_int_equal(sum.cause[3]->flags, GRADE_PYTHON_SERVER_ERROR);
    assert_false(sum.cause[4]->grader_failed);
    assert_int_equal(sum.cause[4]->n, 5);
    assert_false(sum.cause[4]->has_more);
    assert_true(sum.warnings & GRADE_WARN_GRADER_FAILED);
    assert_int_equal(sum.part[0].score.n, 12);
    assert_int_equal(sum.part[1].score.n, 1);
}

static void more_causes_than_are_kept_are_counted(void **state)
{
    (void)state;
    begin(N, 1);
    for (size_t i = 0; i < N; i++) {
        char says[N + 1] = "";

        memset(says, 'x', i + 1);
        add_failed(i, GRADE_OTHER_ERROR, says);
    }
    sum_up();
    assert_int_equal(sum.n_causes, GRADE_CAUSES);
    assert_int_equal(notes.n_other, N - GRADE_CAUSES);
    add_failed(0, GRADE_OTHER_ERROR, "x"); /* one that is kept is still known */
    assert_int_equal(notes.n_other, N - GRADE_CAUSES);
    assert_int_equal(notes.cause[0].n, 2);
}

static void an_answer_that_was_cut_off_has_no_scores(void **state)
{
    (void)state;
    begin(2, 1);
    const struct grade_result r = {.flags = GRADE_TRUNCATED_OBSERVATION_ERROR, .n_parts = 2};
    grade_notes_add(&notes, 0, 0, &r, NULL);
    add(1, 0, 1);
    sum_up();
    assert_int_equal(sum.part[0].score.n, 1);
    assert_int_equal(sum.n_failed, 1);
    assert_int_equal(sum.n_grader_failed, 0);
}

static void the_slowest_calls_come_first(void **state)
{
    (void)state;
    static const double seconds[] = {3, 9, 1, 4, 4, 8, 2};

    begin(7, 1);
    for (size_t i = 0; i < 7; i++) {
        struct grade_result r = {.n_parts = 2, .seconds = seconds[i]};

        r.part_seconds[0] = 0.25 * seconds[i];
        r.part_seconds[1] = 0.75 * seconds[i];
        grade_notes_add(&notes, i, 0, &r, NULL);
    }
    assert_int_equal(notes.n_slowest, 5);
    static const size_t want[] = {1, 5, 3, 4, 0};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(notes.slowest[i].answer, want[i]);
    assert_int_equal(notes.slowest[0].part, 1);
    near(notes.slowest[0].part_seconds, 6.75);
}

static void the_ends_are_of_different_rows_where_there_are_enough(void **state)
{
    (void)state;
    static const double reward[] = {3, 1, 2, 0, 9, 8, 7, 6, 5, 4};

    rewards(10, reward);
    assert_int_equal(sum.n_worst, 5);
    static const size_t worst[] = {3, 1, 2, 0, 9}, best[] = {4, 5, 6, 7, 8};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(sum.worst[i], worst[i]);
        assert_int_equal(sum.best[i], best[i]);
    }
    begin(10, 1);
    for (size_t i = 0; i < 10; i++) {
        answers[i].row = i < 4 ? 0 : i;
        add(i, 0, reward[i]);
    }
    sum_up();
    assert_int_equal(sum.worst[0], 3); /* the lowest of row 0, and no other of it */
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(sum.worst[i], 10 - i);
    begin(4, 1); /* few rows: other texts of the same row */
    for (size_t i = 0; i < 4; i++) {
        answers[i].row = 0;
        answers[i].text = i < 2 ? STR("a") : STR("b");
        add(i, 0, reward[i]);
    }
    sum_up();
    assert_int_equal(sum.n_worst, 2);
    assert_int_equal(sum.worst[0], 3);
    assert_int_equal(sum.worst[1], 1);
}

static void answers_that_failed_are_at_no_end(void **state)
{
    (void)state;
    begin(2, 1);
    add_failed(0, GRADE_OTHER_ERROR, "x");
    add(1, 0, 5);
    sum_up();
    assert_int_equal(sum.n_worst, 1);
    assert_int_equal(sum.worst[0], 1);
}

/* Table 2 of Shrout and Fleiss 1979: six targets, four judges; table 3 has BMS 11.24 and WMS 6.26, table 4 ICC .17. */
static void noise_is_that_of_the_published_example(void **state)
{
    (void)state;
    static const double score[6][4] = {{9, 2, 5, 8}, {6, 1, 3, 2},  {8, 4, 6, 8},
                                       {7, 1, 2, 6}, {10, 5, 6, 9}, {6, 2, 4, 7}};

    begin(6, 4);
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 4; k++)
            add(i, k, score[i][k]);
    sum_up();
    assert_true(fabs(sum.overall.noise * sum.overall.noise - 6.26) < 0.005);
    const double bms =
        4 * sum.overall.signal * sum.overall.signal + sum.overall.noise * sum.overall.noise;
    assert_true(fabs(bms - 11.24) < 0.005);
    assert_true(fabs(sum.overall.reliability - 0.17) < 0.005);
    assert_true(sum.warnings & GRADE_WARN_NOISE);
    assert_true(isnan(sum.in_rows.signal)); /* no row has several answers */
    /* ICC(1,4) = .44 of four averaged: so four reach .44 and three do not */
    assert_int_equal(grade_gradings_for(sum.overall.reliability, 0.44), 4);
    assert_int_equal(grade_gradings_for(0.9, 0.8), 1);
    assert_int_equal(grade_gradings_for(0.5, 0.8), 4);
    assert_int_equal(grade_gradings_for(0, 0.8), 0);
    assert_int_equal(grade_gradings_for((double)NAN, 0.8), 0);
}

static void signal_is_told_within_rows(void **state)
{
    (void)state;
    /* two rows far apart, whose answers differ by less than their gradings */
    static const double score[4][2] = {{0, 0.2}, {0.1, 0.1}, {10, 10.2}, {10.1, 10.1}};

    begin(4, 2);
    for (size_t i = 0; i < 4; i++) {
        answers[i].row = i / 2;
        for (size_t k = 0; k < 2; k++)
            add(i, k, score[i][k]);
    }
    sum_up();
    near(sum.in_rows.noise, 0.1); /* (0.02 + 0.02) / 4 */
    near(sum.in_rows.signal, 0);
    near(sum.in_rows.reliability, 0);
    assert_true(sum.overall.reliability > 0.99);
    assert_true(sum.warnings & GRADE_WARN_NOISE);
    assert_int_equal(sum.n_gradings, 8);
    near(sum.flat_share, 0);
}

static void a_grader_without_noise_has_none(void **state)
{
    (void)state;
    begin(4, 3);
    for (size_t i = 0; i < 4; i++) {
        answers[i].row = i / 2;
        for (size_t k = 0; k < 3; k++)
            add(i, k, i < 2 ? (double)i : 0.5);
    }
    sum_up();
    assert_true(sum.in_rows.noise == 0 && sum.in_rows.reliability == 1);
    near(sum.flat_share, 0.5);
    assert_false(sum.warnings & GRADE_WARN_NOISE);
}

static void recorded_rewards_are_compared(void **state)
{
    (void)state;
    begin(4, 1);
    answers[0].recorded = 0.5;
    answers[1].recorded = 1;
    answers[1].count = 3;
    answers[2].recorded = 0.1 + 0.2;
    add(0, 0, 0.5);
    add(1, 0, 0);
    add(2, 0, 0.3);
    add(3, 0, 7);
    sum_up();
    assert_int_equal(sum.n_recorded, 3);
    assert_int_equal(sum.n_differ, 1);
    assert_int_equal(sum.differ[0], 1);
    near(sum.recorded_mean, 3.8 / 5);
    near(sum.recorded_now, 0.8 / 5);
}

static void the_first_prints_are_kept_and_all_counted(void **state)
{
    (void)state;
    begin(4, 1);
    for (size_t i = 0; i < 4; i++) {
        const struct grade_result r = {.n_parts = 2};

        grade_notes_add(&notes, i, 0, &r, i == 0 ? "" : i == 1 ? "first" : "later");
    }
    assert_int_equal(notes.n_printed, 3);
    assert_int_equal(notes.n_prints, 2);
    assert_int_equal(notes.print[0].answer, 1);
    assert_string_equal(notes.print[0].text.ptr, "first");
}

static void a_range_gives_the_ends_of_the_scale(void **state)
{
    (void)state;
    struct error err = {0};
    struct grader *g =
        grader_of(json_of("{'type':'string_check','name':'n','input':'a','reference':"
                          "'b','operation':'eq','range':[-2, 5]}"),
                  NULL);

    grade_notes_release(&notes);
    ASSERT_OK(grade_notes_init(&notes, g, answers, 1, 1, 1, 0, &err));
    const struct grade_result r = {.reward = 5, .n_parts = 1};
    grade_notes_add(&notes, 0, 0, &r, NULL);
    sum_up();
    near(sum.low, -2);
    near(sum.high, 5);
    near(sum.at_high, 1);
    grade_notes_release(&notes);
    grader_close(g);
}

static void nothing_at_all_can_be_summed_up(void **state)
{
    (void)state;
    begin(0, 2);
    sum_up();
    assert_int_equal(sum.n_gradings, 0);
    assert_int_equal(sum.n_bins, 0);
    assert_int_equal(sum.warnings, 0);
    json_t *j = grade_summary_json(&sum, &notes, 1);
    assert_non_null(j);
    assert_true(json_is_null(json_object_get(json_object_get(j, "reward"), "mean")));
    json_decref(j);
}

static void json_says_it_all(void **state)
{
    (void)state;
    struct buf text;

    begin(3, 1);
    answers[0].recorded = 1;
    answers[2].text = STR("caf\xc3\xa9 \xff\0z"); /* no UTF-8, and a zero byte */
    add(0, 0, 1);
    add(1, 0, 0);
    add_failed(2, GRADE_PYTHON_RUNTIME_ERROR, "cut inside \xc3");
    sum_up();
    json_t *j = grade_summary_json(&sum, &notes, 0.5);
    assert_non_null(j);
    static const char *const keys[] = {
        "answers", "rows",      "repeats",           "seconds",   "calls_per_second",
        "reward",  "histogram", "rows_with_several", "flat_rows", "warnings",
        "parts",   "errors",    "slowest",           "worst",     "best",
        "prints",  "noise",     "recorded"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_non_null(json_object_get(j, keys[i]));
    assert_int_equal(json_object_size(j), sizeof keys / sizeof *keys);
    buf_init(&text, 1 << 20);
    json_write(&text, j, NULL);
    assert_non_null(strstr(text.ptr, "\"calls_per_second\":6.0"));
    assert_non_null(strstr(text.ptr, "\"details\":\"cut inside \xef\xbf\xbd\""));
    assert_non_null(strstr(text.ptr, "{\"line\":3,\"row_line\":103,\"reward\":0.0,\"text\":\"caf"));
    assert_non_null(strstr(text.ptr, "\"recorded\":{\"answers\":1,\"differ\":0,"));
    buf_release(&text);
    json_decref(j);
}

static int open_multi(void **state)
{
    (void)state;
    multi = grader_of(json_of(MULTI), NULL);
    return 0;
}

static int close_multi(void **state)
{
    (void)state;
    grade_notes_release(&notes);
    arena_release(&arena);
    grader_close(multi);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_weigh_as_often_as_they_were_given),
        cmocka_unit_test(the_interval_is_that_of_the_rows_means),
        cmocka_unit_test(few_values_are_shown_as_they_are),
        cmocka_unit_test(many_values_fall_into_bins_with_round_edges),
        cmocka_unit_test(rows_whose_answers_got_the_same_are_counted),
        cmocka_unit_test(what_teaches_nothing_is_warned_of),
        cmocka_unit_test(parts_leave_out_calls_that_failed),
        cmocka_unit_test(failures_are_alike_where_they_happen_at_the_same_place),
        cmocka_unit_test(more_causes_than_are_kept_are_counted),
        cmocka_unit_test(an_answer_that_was_cut_off_has_no_scores),
        cmocka_unit_test(the_slowest_calls_come_first),
        cmocka_unit_test(the_ends_are_of_different_rows_where_there_are_enough),
        cmocka_unit_test(answers_that_failed_are_at_no_end),
        cmocka_unit_test(noise_is_that_of_the_published_example),
        cmocka_unit_test(signal_is_told_within_rows),
        cmocka_unit_test(a_grader_without_noise_has_none),
        cmocka_unit_test(recorded_rewards_are_compared),
        cmocka_unit_test(the_first_prints_are_kept_and_all_counted),
        cmocka_unit_test(a_range_gives_the_ends_of_the_scale),
        cmocka_unit_test(nothing_at_all_can_be_summed_up),
        cmocka_unit_test(json_says_it_all),
    };

    return cmocka_run_group_tests(tests, open_multi, close_multi);
}
