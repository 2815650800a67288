/*
 * run_folder_test.c - what is told is written, read back, cut back and survives kills and full disks.
 */
#include "support/support.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "job/fake_run.h"
#include "job/line_file.h"
#include "job/run_folder.h"
#include "job/run_read.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In place of the C library's: the names of what was written through, in their order. */
static struct buf synced;

static void note_synced(int fd)
{
    char link[64], path[PATH_MAX];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0 || synced.max_bytes == 0)
        return;
    path[n] = '\0';
    buf_text(&synced, strrchr(path, '/') + 1);
    buf_char(&synced, ' ');
}

int fdatasync(int fd)
{
    note_synced(fd);
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    note_synced(fd);
    return (int)syscall(SYS_fsync, fd);
}

static struct error err;
static struct arena arena;
static struct fake_words words;

static struct fake_run small_run(void)
{
    struct fake_run f = fake_run_defaults();

    f.n_steps = 12;
    f.n_groups = 3;
    f.n_samples = 4;
    f.n_valid = 5;
    f.eval_interval = 4;
    return f;
}

/* A whole run, or its first steps, in a new folder. */
static char *make_run(struct fake_run *f, size_t last)
{
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;

    f->dir = dir;
    ASSERT_OK(fake_folder_open(dir, f, &words, false, &folder, &err));
    ASSERT_OK(fake_run_tell(f, run_folder_sink(folder), &words, 0, last, &err));
    run_folder_close(folder);
    return dir;
}

static struct str read_in(const char *dir, const char *name)
{
    struct str text;

    ASSERT_OK(file_read(file_join(&arena, dir, name), 1 << 28, &arena, &text, &err));
    return text;
}

static bool collect(void *ctx, const json_t *value)
{
    json_array_append(ctx, (json_t *)(uintptr_t)value);
    return true;
}

static json_t *rollouts_of(const char *dir, size_t step, bool valid)
{
    json_t *list = json_array();
    size_t n_bad = 0;

    ASSERT_OK(run_read_rollouts(dir, step, valid, collect, list, &n_bad, &err));
    assert_int_equal(n_bad, 0);
    return list;
}

/* Of lines that may each be several samples'. */
static size_t count_answers(const json_t *list)
{
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *count = json_object_get(json_array_get(list, i), "count");

        n += count == NULL ? 1 : (size_t)json_integer_value(count);
    }
    return n;
}

static json_t *events_of(const char *dir)
{
    json_t *list = json_array();
    size_t n_bad = 0;

    ASSERT_OK(run_read_events(dir, collect, list, &n_bad, &err));
    assert_int_equal(n_bad, 0);
    return list;
}

static void a_run_is_written_and_read_back(void **state)
{
    struct fake_run f = small_run();
    const char *dir = make_run(&f, f.n_steps);
    struct run_metrics m;
    json_t *job = NULL, *last = NULL;
    size_t *steps, n;

    (void)state;
    ASSERT_OK(run_read_job(dir, &job, &err));
    assert_true(str_starts(json_str(json_object_get(job, "id")), STR("ftjob-")));
    json_t *given = fake_job();
    assert_true(json_equal(json_object_get(job, "job"), given));
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(job, "resolved"), "batch_size")), 3);

    ASSERT_OK(run_read_metrics(dir, &arena, &m, NULL, &err));
    assert_int_equal(m.n_rows, 12);
    const size_t reward = run_metrics_find(&m, "train_mean_reward"),
                 valid = run_metrics_find(&m, "full_valid_mean_reward");
    assert_true(reward < m.n_columns && valid < m.n_columns);
    assert_true(!isnan(m.cell[2 * m.n_columns + reward]) && isnan(m.cell[2 * m.n_columns + valid]));
    assert_true(!isnan(m.cell[3 * m.n_columns + reward]) &&
                !isnan(m.cell[3 * m.n_columns + valid]));

    ASSERT_OK(run_last_metrics(dir, &last, &err));
    assert_int_equal(json_integer_value(json_object_get(last, "step")), 12);
    ASSERT_NEAR(json_number_value(json_object_get(last, "train_mean_reward")),
                m.cell[11 * m.n_columns + reward], 0);

    ASSERT_OK(run_list_rollouts(dir, false, &arena, &steps, &n, &err));
    assert_int_equal(n, 12);
    assert_int_equal(steps[0], 1);
    assert_int_equal(steps[11], 12);
    ASSERT_OK(run_list_rollouts(dir, true, &arena, &steps, &n, &err));
    assert_int_equal(n, 4);
    json_t *step = rollouts_of(dir, 7, false);
    assert_int_equal(count_answers(step), 12);
    json_decref(step);
    json_decref(job);
    json_decref(given);
    json_decref(last);
    test_dir_remove(dir);
}

static void a_rollout_keeps_every_bit_of_its_numbers(void **state)
{
    static const float logprobs[] = {-0.1f,        -3.4028235e38f,   -1e-45f,
                                     -0.30000001f, -(float)INFINITY, 0.0f};
    static const int32_t tokens[] = {5, 70000, 1, 2, 3, 4};
    const struct grade_result g = {.reward = 1.0 / 3,
                                   .n_parts = 1,
                                   .part = {1.0 / 3},
                                   .flags = GRADE_OTHER_ERROR | GRADE_SAMPLE_PARSE_ERROR,
                                   .details = "why"};
    json_t *row = json_pack("{s:[],s:s,s:i}", "messages", "answer", "kidney", "line", 3);
    struct rollout r = {.step = 1,
                        .item = 9,
                        .sample = 0,
                        .prompt = STR("Where?\xFF"),
                        .row = row,
                        .n_tokens = 6,
                        .tokens = tokens,
                        .logprobs = logprobs,
                        .thinking = STR("hm"),
                        .answer = STR("\"kidney\"\n"),
                        .n_thinking_tokens = 2,
                        .truncated = true,
                        .grade = &g,
                        .advantage = 0.1f,
                        .trained = true};
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;

    (void)state;
    f.n_graders = 1;
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    struct progress_sink sink = run_folder_sink(folder);
    ASSERT_OK(sink.rollout(sink.ctx, &r, &err));
    r.sample = 1;
    ASSERT_OK(sink.rollout(sink.ctx, &r, &err));
    run_folder_close(folder);
    json_t *list = rollouts_of(dir, 1, false), *v = json_array_get(list, 0);
    for (size_t i = 0; i < 6; i++) {
        const json_t *x = json_array_get(json_object_get(v, "logprobs"), i);

        assert_int_equal(json_integer_value(json_array_get(json_object_get(v, "tokens"), i)),
                         tokens[i]);
        if (isinf(logprobs[i]))
            assert_true(json_is_null(x)); /* JSON has no infinity */
        else
            assert_true((float)json_number_value(x) == logprobs[i]);
    }
    assert_true((float)json_number_value(json_object_get(v, "advantage")) == 0.1f);
    assert_true(json_number_value(json_object_get(v, "reward")) == 1.0 / 3);
    assert_true(json_number_value(json_object_get(json_object_get(v, "scores"), "organ")) ==
                1.0 / 3);
    ASSERT_STR(json_str(json_object_get(v, "prompt")), "Where?\xEF\xBF\xBD");
    ASSERT_STR(json_str(json_object_get(v, "answer")), "\"kidney\"\n");
    ASSERT_STR(json_str(json_object_get(v, "thinking")), "hm");
    ASSERT_STR(json_str(json_object_get(v, "details")), "why");
    ASSERT_STR(json_str(json_array_get(json_object_get(v, "errors"), 0)), "sample_parse_error");
    ASSERT_STR(json_str(json_array_get(json_object_get(v, "errors"), 1)), "other_error");
    assert_true(json_is_true(json_object_get(v, "truncated")) &&
                json_is_true(json_object_get(v, "trained")));
    ASSERT_STR(json_str(json_object_get(json_object_get(v, "reference"), "answer")), "kidney");
    assert_null(json_object_get(json_object_get(v, "reference"), "messages"));
    assert_null(
        json_object_get(json_array_get(list, 1), "prompt")); /* the first of a group alone has it */
    json_decref(list);
    json_decref(row);
    test_dir_remove(dir);
}

static const json_t *at_path(const json_t *v, const char *path)
{
    char part[64];

    while (v != NULL && *path != '\0') {
        const size_t n = strcspn(path, "/");

        snprintf(part, sizeof part, "%.*s", (int)n, path);
        v = json_is_array(v) ? json_array_get(v, (size_t)atoi(part)) : json_object_get(v, part);
        path += n + (path[n] == '/');
    }
    return v;
}

static void samples_of_the_same_tokens_are_one_line_and_count_each(void **state)
{
    static const float logprobs[] = {-1, -2};
    static const int32_t tokens[3][2] = {{4, 1}, {5, 1}, {6, 1}};
    static const size_t set_of[] = {0, 1, 0, 0, 2}, alike[3][3] = {{0, 2, 3}, {1}, {4}},
                        n_alike[] = {3, 1, 1};
    const struct grade_result g = {
        .reward = 0.5, .n_parts = 1, .part = {0.5}, .part_flags = {GRADE_OTHER_ERROR}};
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;
    json_t *last = NULL;

    (void)state;
    f.n_graders = 1;
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    struct progress_sink sink = run_folder_sink(folder);
    for (size_t s = 0; s < 5; s++) {
        const struct rollout r = {.step = 1,
                                  .item = 9,
                                  .sample = s,
                                  .alike = alike[set_of[s]],
                                  .n_alike = n_alike[set_of[s]],
                                  .prompt = STR("Where?"),
                                  .n_tokens = 2,
                                  .tokens = tokens[set_of[s]],
                                  .logprobs = logprobs,
                                  .grade = &g};

        ASSERT_OK(sink.rollout(sink.ctx, &r, &err));
    }
    ASSERT_OK(sink.step(sink.ctx, &(struct step_metrics){.step = 1, .n_samples = 5}, &err));
    run_folder_close(folder);

    json_t *list = rollouts_of(dir, 1, false);
    json_t *three = json_pack("[i,i,i]", 0, 2, 3);
    assert_int_equal(json_array_size(list), 3);
    assert_int_equal(count_answers(list), 5);
    for (size_t i = 0; i < 3; i++) {
        const json_t *v = json_array_get(list, i);

        assert_int_equal(json_integer_value(json_object_get(v, "sample")), alike[i][0]);
        assert_int_equal(json_integer_value(json_array_get(json_object_get(v, "tokens"), 0)),
                         tokens[i][0]);
        assert_int_equal(json_object_get(v, "prompt") != NULL, i == 0);
        assert_int_equal(json_object_get(v, "count") != NULL, i == 0);
        assert_int_equal(json_object_get(v, "samples") != NULL, i == 0);
    }
    assert_true(json_equal(json_object_get(json_array_get(list, 0), "samples"), three));
    ASSERT_OK(run_last_metrics(dir, &last, &err));
    ASSERT_NEAR(json_number_value(at_path(last, "errors/graders/0/train_other_error_count")), 5, 0);
    json_decref(three);
    json_decref(list);
    json_decref(last);
    test_dir_remove(dir);
}

static struct str split_bytes(void *ctx, int32_t id)
{
    static const char *const bytes[] = {"a", "\xF0\x9F", "\x98\x80", "\xC3", "x", "\xE2\x82"};

    (void)ctx;
    return str_of(bytes[id]);
}

static void a_character_of_several_tokens_stands_with_the_last(void **state)
{
    static const int32_t tokens[] = {0, 1, 2, 3, 4, 5};
    static const float logprobs[6];
    static const char *const want[] = {
        "a", "", "\xF0\x9F\x98\x80", "", "\xEF\xBF\xBDx", "\xEF\xBF\xBD\xEF\xBF\xBD"};
    const struct grade_result g = {.n_parts = 1};
    const struct rollout r = {.n_tokens = 6, .tokens = tokens, .logprobs = logprobs, .grade = &g};
    const struct rollout_tokens text = {.text = split_bytes};
    const struct metrics_graders graders = {
        .n = 1, .name = fake_grader_names, .type = fake_grader_types};
    struct buf b;
    json_t *v = NULL;

    (void)state;
    buf_init(&b, 1 << 16);
    rollout_line(&b, &r, &graders, &text);
    ASSERT_OK(json_parse(buf_view(&b), "line", &v, &err));
    for (size_t i = 0; i < 6; i++)
        ASSERT_STR(json_str(json_array_get(json_object_get(v, "pieces"), i)), want[i]);
    json_decref(v);
    buf_release(&b);
}

static void a_metrics_event_has_the_shape_of_the_api(void **state)
{
    static const char *const keys[] = {
        "step",
        "total_steps",
        "train_mean_reward",
        "full_valid_mean_reward",
        "reasoning_tokens_mean",
        "completion_tokens_mean",
        "valid_reasoning_tokens_mean",
        "mean_unresponsive_rewards",
        "full_valid_mean_parse_error",
        "scores/train_reward_mean",
        "scores/valid_reward_mean",
        "scores/graders/0/train_reward_mean",
        "scores/graders/1/valid_reward_mean",
        "usage/samples/train_reasoning_tokens_mean",
        "usage/samples/train_reasoning_tokens_count",
        "usage/samples/valid_reasoning_tokens_mean",
        "usage/samples/valid_reasoning_tokens_count",
        "usage/graders",
        "errors/graders/0/train_sample_parse_error_mean",
        "errors/graders/0/train_sample_parse_error_count",
        "errors/graders/0/train_invalid_variable_error_mean",
        "errors/graders/0/train_other_error_count",
        "errors/graders/0/train_python_grader_runtime_error_count",
        "errors/graders/1/valid_other_error_mean",
        "timing/step/sampling",
        "timing/step/training",
        "timing/step/eval",
        "timing/step/full_iteration",
        "timing/passes/sampling",
        "timing/passes/rows_drafted",
        "timing/passes/rows_accepted",
        "timing/graders/0/train_execution_latency_mean",
        "timing/graders/0/valid_execution_latency_mean",
        "model_graders_token_usage",
        "entropy",
        "kl",
        "max_dlogp",
        "flat_groups",
        "truncated_share",
        "learning_rate",
        "grad_norm",
        "tokens_per_second",
        "adapter_sha256",
    };
    struct fake_run f = small_run();
    const char *dir = make_run(&f, 5);
    json_t *events = events_of(dir), *value;
    size_t i;
    bool seen_valid = false, seen_other = false;

    (void)state;
    json_array_foreach(events, i, value)
    {
        const json_t *data = json_object_get(value, "data");

        ASSERT_STR(json_str(json_object_get(value, "object")), "fine_tuning.job.event");
        assert_true(str_starts(json_str(json_object_get(value, "id")), STR("ftevent-")));
        assert_true(json_is_integer(json_object_get(value, "created_at")));
        assert_true(json_is_object(data));
        if (!str_is(json_str(json_object_get(value, "type")), "metrics"))
            continue;
        if (json_integer_value(json_object_get(data, "step")) == 4) {
            for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
                if (at_path(data, keys[k]) == NULL)
                    fail_msg("\"%s\" is missing", keys[k]);
            assert_null(at_path(data, "errors/graders/1/train_python_grader_runtime_error_count"));
            seen_valid = true;
        }
        if (json_integer_value(json_object_get(data, "step")) == 5) {
            char message[100];

            assert_null(json_object_get(data, "full_valid_mean_reward"));
            assert_null(at_path(data, "scores/graders/0/valid_reward_mean"));
            snprintf(message, sizeof message, "Step 5/12 , train mean reward=%.2f",
                     json_number_value(json_object_get(data, "train_mean_reward")));
            ASSERT_STR(json_str(json_object_get(value, "message")), message);
            seen_other = true;
        }
    }
    assert_true(seen_valid && seen_other);
    json_decref(events);
    test_dir_remove(dir);
}

static void an_event_belongs_to_the_step_that_it_names(void **state)
{
    struct fake_run f = small_run();
    const char *dir = make_run(&f, 3);
    json_t *events = events_of(dir), *value;
    size_t i, n = 0;

    (void)state;
    json_array_foreach(events, i, value)
    {
        unsigned long long named;

        if (sscanf(json_string_value(json_object_get(value, "message")), "Step %llu: ", &named) !=
            1)
            continue;
        assert_int_equal(json_integer_value(at_path(value, "data/step")), named);
        n++;
    }
    assert_true(n > 0);
    json_decref(events);
    test_dir_remove(dir);
}

static void the_sentence_of_a_step_is_the_api_s(void **state)
{
    const struct step_metrics m = {.step = 10,
                                   .total_steps = 20,
                                   .n_samples = 8,
                                   .train_mean_reward = 0.4216,
                                   .has_valid = true,
                                   .valid_mean_reward = 0.675};
    const struct metrics_graders g = {.n = 1, .name = fake_grader_names, .type = fake_grader_types};
    const struct metrics_tally t = {.valid = {.n = 20}};
    json_t *tree = metrics_tree(&m, &t, &g);
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    metrics_message(&b, tree);
    ASSERT_STR(buf_view(&b),
               "Step 10/20 , train mean reward=0.42, full validation mean reward=0.68, "
               "full validation mean parse error=0.00");
    buf_release(&b);
    json_decref(tree);
}

static void what_is_not_a_number_is_an_empty_cell_and_null(void **state)
{
    const struct step_metrics m = {.step = 1,
                                   .total_steps = 2,
                                   .n_samples = 8,
                                   .train_mean_reward = (double)NAN,
                                   .kl = HUGE_VAL};
    static const char *const names[] = {"a,\"b\"\nc"}, *const types[] = {"python"};
    const struct metrics_graders g = {.n = 1, .name = names, .type = types};
    const struct metrics_tally t = {.train = {.n = 8}};
    json_t *tree = metrics_tree(&m, &t, &g);
    struct buf b;

    (void)state;
    assert_true(json_is_null(json_object_get(tree, "train_mean_reward")));
    assert_true(json_is_null(json_object_get(tree, "kl")));
    buf_init(&b, 1 << 16);
    metrics_csv_header(&b, tree);
    assert_int_equal(count_lines(buf_view(&b)), 1);
    assert_true(strstr(b.ptr, "\"errors/graders/a,\"\"b\"\" c/train_other_error_count\"") != NULL);
    buf_clear(&b);
    metrics_csv_row(&b, tree);
    assert_true(str_starts(buf_view(&b), STR("1,2,,,")));
    buf_release(&b);
    json_decref(tree);
}

static void shadows_stand_beside_the_graders_of_the_api(void **state)
{
    static const char *const names[] = {"paid", "judge", "broken"}, *const types[] = {
                                                                        "string_check", "python",
                                                                        "python"};
    static const bool shadow[] = {false, true, true};
    const struct metrics_graders g = {.n = 3, .name = names, .type = types, .shadow = shadow};
    const struct step_metrics m = {.step = 1,
                                   .total_steps = 2,
                                   .n_samples = 8,
                                   .n_graders = 3,
                                   .grader_train_mean = {0.5, 0.25, (double)NAN}};
    const struct metrics_tally t = {.train = {.n = 8}};
    const struct grade_result grade = {.n_parts = 3,
                                       .reward = 1,
                                       .part = {1, 0.25, 0},
                                       .part_flags = {0, 0, GRADE_PYTHON_RUNTIME_ERROR},
                                       .shadow_details = "broken: it raised"};
    const struct rollout r = {.grade = &grade};
    json_t *tree = metrics_tree(&m, &t, &g), *scores = json_object_get(tree, "scores"), *line;
    struct buf b;

    (void)state;
    assert_int_equal(json_array_size(json_object_get(scores, "graders")), 1);
    const json_t *shadows = json_object_get(scores, "shadow_graders");
    assert_int_equal(json_array_size(shadows), 2);
    const json_t *judge = json_array_get(shadows, 0), *broken = json_array_get(shadows, 1);
    ASSERT_STR(json_str(json_object_get(judge, "name")), "judge");
    ASSERT_STR(json_str(json_object_get(judge, "type")), "python");
    assert_true(json_real_value(json_object_get(judge, "train_reward_mean")) == 0.25);
    assert_true(json_is_null(json_object_get(broken, "train_reward_mean")));
    buf_init(&b, 1 << 16);
    metrics_csv_header(&b, tree);
    assert_non_null(strstr(b.ptr, ",scores/shadow_graders/judge/train_reward_mean,"));
    assert_non_null(strstr(b.ptr, ",errors/shadow_graders/judge/train_other_error_count,"));
    assert_non_null(strstr(b.ptr, ",ledger/train_answer_tokens,"));
    assert_null(strstr(b.ptr, "/graders/judge"));
    rollout_line(&b, &r, &g, &(struct rollout_tokens){0});
    ASSERT_OK(json_parse(buf_view(&b), "line", &line, &err));
    buf_clear(&b);
    json_write(&b, json_object_get(line, "scores"), NULL);
    json_write(&b, json_object_get(line, "shadow_scores"), NULL);
    json_write(&b, json_object_get(line, "errors"), NULL);
    json_write(&b, json_object_get(line, "shadow_details"), NULL);
    ASSERT_STR(buf_view(&b),
               "{\"paid\":1.0}{\"judge\":0.25,\"broken\":null}[]\"broken: it raised\"");
    json_decref(line);
    json_decref(tree);
    buf_release(&b);
}

static void what_is_settled_goes_into_the_job_file(void **state)
{
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;
    json_t *job = NULL,
           *values =
               json_pack("{s:i,s:i,s:i}", "max_tokens", 12, "batch_size", 5, "total_steps", 99),
           *given = fake_job();

    (void)state;
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    struct progress_sink sink = run_folder_sink(folder);
    ASSERT_OK(sink.settled(sink.ctx, values, &err));
    ASSERT_OK(run_read_job(dir, &job, &err)); /* at once, not at the end */
    assert_int_equal(json_integer_value(at_path(job, "resolved/max_tokens")), 12);
    assert_int_equal(json_integer_value(at_path(job, "resolved/batch_size")), 5);
    assert_int_equal(json_integer_value(at_path(job, "resolved/total_steps")), 99);
    assert_int_equal(json_integer_value(at_path(job, "resolved/n_steps")), 12); /* was there */
    assert_true(json_equal(json_object_get(job, "job"), given));
    run_folder_close(folder);
    json_decref(job);

    ASSERT_OK(fake_folder_open(dir, &f, &words, true, &folder, &err)); /* and stays */
    run_folder_close(folder);
    ASSERT_OK(run_read_job(dir, &job, &err));
    assert_int_equal(json_integer_value(at_path(job, "resolved/max_tokens")), 12);
    json_object_set_new(job, "resolved", json_integer(7)); /* of someone else's making */
    char *text = json_dumps(job, 0);
    ASSERT_OK(file_put(file_join(&arena, dir, "job.json"), str_of(text), &err));
    free(text);
    json_decref(job);
    ASSERT_OK(fake_folder_open(dir, &f, &words, true, &folder, &err));
    sink = run_folder_sink(folder);
    ASSERT_OK(sink.settled(sink.ctx, values, &err));
    run_folder_close(folder);
    ASSERT_OK(run_read_job(dir, &job, &err));
    assert_true(json_equal(json_object_get(job, "resolved"), values));
    json_decref(job);
    json_decref(values);
    json_decref(given);
    test_dir_remove(dir);
}

/* ---- going on ---- */

/* Sets what differs between two runs in nothing but time and chance. */
static json_t *without_times(json_t *v)
{
    json_t *value;
    const char *key;
    size_t i;

    if (json_is_array(v))
        json_array_foreach(v, i, value) without_times(value);
    if (json_is_object(v)) {
        json_object_foreach(v, key, value)
        {
            if (strcmp(key, "id") == 0 || strcmp(key, "created_at") == 0 ||
                strcmp(key, "fine_tuning_job_id") == 0)
                json_object_set_new(v, key, json_null());
            else
                without_times(value);
        }
    }
    return v;
}

static void assert_same_run(const char *a, const char *b, const struct fake_run *f)
{
    json_t *ea = without_times(events_of(a)), *eb = without_times(events_of(b)), *ca = NULL,
           *cb = NULL;

    assert_int_equal(json_array_size(ea), json_array_size(eb));
    for (size_t i = 0; i < json_array_size(ea); i++)
        if (!json_equal(json_array_get(ea, i), json_array_get(eb, i)))
            fail_msg("event %zu is %s, not %s", i, json_dumps(json_array_get(eb, i), JSON_COMPACT),
                     json_dumps(json_array_get(ea, i), JSON_COMPACT));
    assert_true(str_eq(read_in(a, "metrics.csv"), read_in(b, "metrics.csv")));
    ASSERT_OK(json_read_file(file_join(&arena, a, "checkpoints.json"), &ca, &err));
    ASSERT_OK(json_read_file(file_join(&arena, b, "checkpoints.json"), &cb, &err));
    assert_true(json_equal(without_times(ca), without_times(cb)));
    json_decref(ea);
    json_decref(eb);
    json_decref(ca);
    json_decref(cb);
    for (size_t step = 0; step <= f->n_steps + 1; step++)
        for (int valid = 0; valid < 2; valid++) {
            const char *name =
                arena_printf(&arena, "rollouts/%s-%zu.jsonl", valid ? "valid" : "step", step);

            assert_int_equal(file_exists(file_join(&arena, a, name)),
                             file_exists(file_join(&arena, b, name)));
            if (file_exists(file_join(&arena, a, name)))
                assert_true(str_eq(read_in(a, name), read_in(b, name)));
        }
}

/* The newest checkpoint's step, 0 where there is none. */
static size_t newest_checkpoint(const char *dir)
{
    struct run_checkpoint *c;
    size_t n;

    ASSERT_OK(run_read_checkpoints(dir, &arena, &c, &n, &err));
    return n == 0 ? 0 : c[0].step;
}

static void go_on(struct fake_run *f, const char *dir)
{
    struct run_folder *folder = NULL;
    const size_t from = newest_checkpoint(dir);

    f->dir = dir;
    ASSERT_OK(fake_folder_open(dir, f, &words, true, &folder, &err));
    struct progress_sink sink = run_folder_sink(folder);
    if (from > 0)
        ASSERT_OK(sink.rewind(sink.ctx, from, &err));
    ASSERT_OK(fake_run_tell(f, sink, &words, from == 0 ? 0 : from + 1, f->n_steps, &err));
    run_folder_close(folder);
}

static void a_resumed_run_equals_an_unbroken_one(void **state)
{
    struct fake_run f = small_run();
    const char *whole = make_run(&f, f.n_steps);

    (void)state;
    for (size_t last = 0; last <= f.n_steps; last++) {
        const char *dir = make_run(&f, last);

        /* torn lines, as a kill in the middle of a write leaves them */
        ASSERT_OK(file_append(file_join(&arena, dir, "events.jsonl"),
                              STR("{\"object\":\"fine_tuning.job.ev"), &err));
        ASSERT_OK(file_append(file_join(&arena, dir, "metrics.csv"), STR("13,12,0."), &err));
        ASSERT_OK(file_append(
            file_join(&arena, dir, arena_printf(&arena, "rollouts/step-%zu.jsonl", last + 1)),
            STR("{\"step\":"), &err));
        go_on(&f, dir);
        assert_same_run(whole, dir, &f);
        test_dir_remove(dir);
    }
    test_dir_remove(whole);
}

static void a_run_survives_being_killed_at_any_moment(void **state)
{
    struct fake_run f = small_run();
    f.n_steps = 24;
    f.n_samples = 8;
    const char *whole = make_run(&f, f.n_steps);

    (void)state;
    for (uint32_t i = 0; i < 12; i++) {
        char *dir = test_dir_make(&arena);
        const pid_t child = fork();

        if (child == 0) {
            struct run_folder *folder = NULL;

            f.dir = dir;
            if (fake_folder_open(dir, &f, &words, false, &folder, &err))
                (void)fake_run_tell(&f, run_folder_sink(folder), &words, 0, f.n_steps, &err);
            _exit(0);
        }
        while (!file_exists(file_join(&arena, dir, "metrics.csv")))
            usleep(100);
        usleep(philox_below(3, PHILOX_TEST, i, 0, 40000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        go_on(&f, dir);
        assert_same_run(whole, dir, &f);
        test_dir_remove(dir);
    }
    test_dir_remove(whole);
}

static void a_checkpoint_that_was_saved_and_not_told_of_is_told_of_on_resume(void **state)
{
    struct fake_run f = small_run();
    const char *whole = make_run(&f, f.n_steps);
    const char *dir = make_run(&f, 7);
    struct run_checkpoint *c;
    size_t n;

    (void)state;
    /* killed between the two: the folder is there, the event and the list are not */
    const struct str events = read_in(dir, "events.jsonl");
    const size_t at = str_find(events, STR("Checkpoint created"), 0);
    size_t start = at;
    while (events.ptr[start - 1] != '\n')
        start--;
    ASSERT_OK(file_cut(file_join(&arena, dir, "events.jsonl"), start, &err));
    ASSERT_OK(file_remove_tree(file_join(&arena, dir, "checkpoints.json"), &err));
    go_on(&f, dir);
    assert_same_run(whole, dir, &f);
    ASSERT_OK(run_read_checkpoints(dir, &arena, &c, &n, &err));
    assert_int_equal(n, 3);
    assert_int_equal(c[2].step, 4);
    assert_false(isnan(c[2].valid_mean_reward));
    test_dir_remove(dir);
    test_dir_remove(whole);
}

/* What was heard, as a store keeps it: the first time counts. Breaks the run at its break_at-th call. */
struct heard {
    json_t *events, *checkpoints; /* by key, by name of the folder */
    size_t n, break_at;
};

static bool hears(struct heard *h, struct error *e)
{
    return ++h->n != h->break_at || fail(e, ERR_IO, "the store is gone");
}

static bool hear_event(void *ctx, const json_t *event, const char *key, struct error *e)
{
    struct heard *h = ctx;
    const json_t *was = json_object_get(h->events, key);

    if (!hears(h, e))
        return false;
    if (was == NULL)
        json_object_set(h->events, key, (json_t *)(uintptr_t)event);
    else
        assert_true(json_equal(json_object_get(was, "id"), json_object_get(event, "id")));
    return true;
}

static bool hear_checkpoint(void *ctx, const json_t *checkpoint, const char *dir, struct error *e)
{
    struct heard *h = ctx;

    if (!hears(h, e))
        return false;
    json_object_set(h->checkpoints, dir, (json_t *)(uintptr_t)checkpoint);
    return true;
}

static void listen(struct heard *h, size_t break_at)
{
    *h =
        (struct heard){.events = json_object(), .checkpoints = json_object(), .break_at = break_at};
    fake_listener =
        (struct run_listener){.ctx = h, .event = hear_event, .checkpoint = hear_checkpoint};
}

static void stop_listening(struct heard *h)
{
    json_decref(h->events);
    json_decref(h->checkpoints);
    fake_listener = (struct run_listener){0};
}

static void a_listener_has_heard_everything_wherever_the_run_broke(void **state)
{
    struct fake_run f = small_run();
    struct heard whole, h;

    (void)state;
    listen(&whole, 0);
    test_dir_remove(make_run(&f, f.n_steps));
    assert_true(whole.n >= 12 + 2 * 3); /* metrics of 12 steps, 3 checkpoints and their events */
    assert_int_equal(json_object_size(whole.checkpoints), 3);
    for (size_t at = 1; at <= whole.n; at++) {
        char *dir = test_dir_make(&arena);
        struct run_folder *folder = NULL;

        listen(&h, at);
        f.dir = dir;
        ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
        assert_false(fake_run_tell(&f, run_folder_sink(folder), &words, 0, f.n_steps, &err));
        run_folder_close(folder);
        go_on(&f, dir);
        const char *key;
        json_t *value;
        json_object_foreach(whole.events, key, value)
        {
            const json_t *mine = json_object_get(h.events, key);

            if (mine == NULL)
                fail_msg("broken at call %zu, the event \"%s\" was never heard", at, key);
            assert_true(
                json_equal(json_object_get(value, "message"), json_object_get(mine, "message")));
        }
        assert_int_equal(json_object_size(h.events), json_object_size(whole.events));
        assert_int_equal(json_object_size(h.checkpoints), 3);
        stop_listening(&h);
        test_dir_remove(dir);
    }
    stop_listening(&whole);
}

static bool hear_event_by_id(void *ctx, const json_t *event, const char *key, struct error *e)
{
    struct heard *h = ctx;

    (void)key;
    (void)e;
    json_object_set(h->events, json_string_value(json_object_get(event, "id")),
                    json_object_get(event, "message"));
    return true;
}

/* Its rows are those of a backup, say, and the folder is newer. */
static void a_listener_that_lost_what_it_had_heard_is_told_again(void **state)
{
    struct fake_run f = small_run();
    struct heard whole, h;

    (void)state;
    listen(&whole, 0);
    fake_listener.event = hear_event_by_id;
    char *dir = make_run(&f, f.n_steps);
    ASSERT_OK(file_remove_tree(file_join(&arena, dir, "checkpoints/step-8"), &err));
    listen(&h, 0);
    fake_listener.event = hear_event_by_id;
    go_on(&f, dir);
    assert_int_equal(json_object_size(whole.checkpoints), 3);
    json_object_del(whole.checkpoints, "step-8"); /* who would want it */
    assert_true(json_equal(h.events, whole.events));
    assert_true(json_equal(h.checkpoints, whole.checkpoints));
    stop_listening(&h);
    stop_listening(&whole);
    test_dir_remove(dir);
}

/* ---- supervised and dpo ---- */

static struct fit_metrics fit_step_of(size_t step)
{
    struct fit_metrics m = {.step = step,
                            .total_steps = 6,
                            .epoch = (step + 2) / 3,
                            .epoch_ends = step % 3 == 0,
                            .has_valid = step % 3 == 0,
                            .has_full_valid = step % 3 == 0};

    m.train = (struct fit_measure){.n_rows = 4,
                                   .n_tokens = 9,
                                   .loss = 1 / (double)step,
                                   .token_accuracy = 0.5,
                                   .reward_chosen = 0.25,
                                   .reward_rejected = -0.5,
                                   .reward_accuracy = 1,
                                   .reward_margin = 0.75};
    m.valid = m.full_valid = m.train;
    m.full_valid.loss = 0.046;
    return m;
}

static struct run_folder *fit_folder(const char *dir, enum train_method method, bool resume)
{
    const struct run_folder_options opt = {
        .method = method, .fine_tuned_model = "ft:m:o:s:1", .resume = resume};
    struct run_folder *folder = NULL;

    ASSERT_OK(run_folder_open(dir, &opt, &folder, &err));
    return folder;
}

/* Steps from..to; a checkpoint after the third, told of or not. */
static void tell_fit(const char *dir, struct run_folder *folder, size_t from, size_t to,
                     bool checkpoint)
{
    struct progress_sink sink = run_folder_sink(folder);

    for (size_t step = from; step <= to; step++) {
        const struct fit_metrics m = fit_step_of(step);
        const char *place = arena_printf(&arena, "%s/checkpoints/step-%zu", dir, step);
        const struct checkpoint_info c = {
            .step = step, .dir = place, .valid_mean_reward = (double)NAN, .fit = &m};

        ASSERT_OK(sink.fit_step(sink.ctx, &m, &err));
        if (step != 3)
            continue;
        ASSERT_OK(file_make_dirs(place, &err));
        if (checkpoint)
            ASSERT_OK(sink.checkpoint(sink.ctx, &c, &err));
    }
}

static void losses_have_the_columns_and_the_sentence_of_the_api(void **state)
{
    char *dir = test_dir_make(&arena), *pairs = test_dir_make(&arena);
    struct run_folder *folder = fit_folder(dir, METHOD_SUPERVISED, false);
    json_t *data = NULL;

    (void)state;
    tell_fit(dir, folder, 1, 3, true);
    run_folder_close(folder);
    ASSERT_STR(read_in(dir, "metrics.csv"),
               "step,train_loss,train_mean_token_accuracy,valid_loss,valid_mean_token_accuracy,"
               "full_valid_loss,full_valid_mean_token_accuracy\n"
               "1,1.0,0.5,,,,\n2,0.5,0.5,,,,\n"
               "3,0.3333333333333333,0.5,0.3333333333333333,0.5,0.046,0.5\n");
    const struct str events = read_in(dir, "events.jsonl");
    assert_true(str_find(events, STR("\"message\":\"Step 1/6: training loss=1.00\""), 0) <
                events.len);
    assert_true(str_find(events,
                         STR("\"message\":\"Step 3/6: training loss=0.33, validation loss=0.33, "
                             "full validation loss=0.05\""),
                         0) < events.len);
    ASSERT_OK(run_last_metrics(dir, &data, &err));
    assert_null(json_object_get(data, "rewards/chosen"));
    assert_int_equal(json_integer_value(json_object_get(data, "total_steps")), 6);
    json_decref(data);
    folder = fit_folder(pairs, METHOD_DPO, false);
    tell_fit(pairs, folder, 1, 1, true);
    run_folder_close(folder);
    const struct str csv = read_in(pairs, "metrics.csv");
    assert_true(str_find(csv,
                         STR(",rewards/chosen,rewards/rejected,rewards/accuracies,rewards/margins,"
                             "full_valid_rewards/chosen"),
                         0) < csv.len);
    assert_true(str_find(csv, STR("\n1,1.0,0.5,,,,,0.25,-0.5,1.0,0.75,,,,\n"), 0) < csv.len);
    test_dir_remove(dir);
    test_dir_remove(pairs);
}

/* Killed after step 5, with the checkpoint of step 3 saved: told of, or not yet. */
static void losses_are_cut_back_to_their_checkpoint(void **state)
{
    (void)state;
    for (int told = 0; told < 2; told++) {
        char *whole = test_dir_make(&arena), *dir = test_dir_make(&arena);
        struct run_folder *folder = fit_folder(whole, METHOD_SUPERVISED, false);
        json_t *lists[2];

        tell_fit(whole, folder, 1, 6, true);
        run_folder_close(folder);
        folder = fit_folder(dir, METHOD_SUPERVISED, false);
        tell_fit(dir, folder, 1, told ? 5 : 3, told);
        run_folder_close(folder);
        folder = fit_folder(dir, METHOD_SUPERVISED, true);
        const struct progress_sink sink = run_folder_sink(folder);
        ASSERT_OK(sink.rewind(sink.ctx, 3, &err));
        tell_fit(dir, folder, 4, 6, true);
        run_folder_close(folder);
        const struct str a = read_in(whole, "metrics.csv"), b = read_in(dir, "metrics.csv");
        assert_true(str_eq(a, b));
        ASSERT_OK(json_read_file(file_join(&arena, whole, "checkpoints.json"), &lists[0], &err));
        ASSERT_OK(json_read_file(file_join(&arena, dir, "checkpoints.json"), &lists[1], &err));
        assert_int_equal(json_array_size(lists[1]), 1);
        const json_t *metrics = json_object_get(json_array_get(lists[1], 0), "metrics");
        assert_true(json_equal((json_t *)(uintptr_t)metrics,
                               json_object_get(json_array_get(lists[0], 0), "metrics")));
        assert_true(json_number_value(json_object_get(metrics, "full_valid_loss")) == 0.046);
        assert_null(json_object_get(metrics, "full_valid_mean_reward"));
        json_decref(lists[0]);
        json_decref(lists[1]);
        test_dir_remove(whole);
        test_dir_remove(dir);
    }
}

static void a_run_goes_on_only_as_it_was_started(void **state)
{
    struct fake_run f = small_run();
    const char *dir = make_run(&f, 5);
    struct run_folder *folder = NULL;
    json_t *job = fake_job();
    struct run_folder_options opt = {.job = job,
                                     .n_graders = 2,
                                     .grader_names = fake_grader_names,
                                     .grader_types = fake_grader_types,
                                     .resume = true};

    (void)state;
    json_object_set_new(
        json_object_get(json_object_get(json_object_get(job, "method"), "reinforcement"),
                        "hyperparameters"),
        "batch_size", json_integer(9));
    ASSERT_FAILS(
        run_folder_open(dir, &opt, &folder, &err), ERR_INVALID,
        "started with \"method.reinforcement.hyperparameters.batch_size\" \"auto\", and now it is 9");
    assert_string_equal(err.param, "method.reinforcement.hyperparameters.batch_size");
    opt.job = NULL;
    opt.n_graders = 1;
    ASSERT_FAILS(run_folder_open(dir, &opt, &folder, &err), ERR_CORRUPT, "has other columns");
    opt.n_graders = 2;
    ASSERT_OK(run_folder_open(dir, &opt, &folder, &err));
    ASSERT_FAILS(run_folder_open(dir, &opt, &folder, &err), ERR_TIMEOUT,
                 "another process is writing");
    ASSERT_STR(json_str(json_object_get(run_folder_job(folder), "suffix")), "organ");
    run_folder_close(folder);
    opt.resume = false;
    ASSERT_FAILS(run_folder_open(dir, &opt, &folder, &err), ERR_INVALID, "holds a run already");
    opt.resume = true;
    ASSERT_FAILS(run_folder_open(file_join(&arena, dir, "nothing-here"), &opt, &folder, &err),
                 ERR_NOT_FOUND, "nothing-here");
    ASSERT_OK(file_put(file_join(&arena, dir, "job.json"), STR("{\"id\":1}"), &err));
    ASSERT_FAILS(run_folder_open(dir, &opt, &folder, &err), ERR_CORRUPT, "is no job file");
    json_decref(job);
    test_dir_remove(dir);
}

/* ---- disks that fill up ---- */

static void set_file_limit(rlim_t bytes)
{
    struct rlimit r;

    getrlimit(RLIMIT_FSIZE, &r);
    r.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void a_full_disk_is_one_error_and_costs_no_line(void **state)
{
    struct fake_run f = small_run();
    const char *whole = make_run(&f, f.n_steps);
    struct run_folder *folder = NULL;

    (void)state;
    signal(SIGXFSZ, SIG_IGN); /* as main() does */
    for (rlim_t limit = 300; limit < 60000; limit = limit * 5 / 4) {
        char *dir = test_dir_make(&arena);
        struct error said = {0};

        f.dir = dir;
        set_file_limit(limit);
        bool ok = fake_folder_open(dir, &f, &words, false, &folder, &said);
        if (ok) {
            ok = fake_run_tell(&f, run_folder_sink(folder), &words, 0, f.n_steps, &said);
            run_folder_close(folder);
        }
        set_file_limit(RLIM_INFINITY);
        if (!ok) {
            assert_int_equal(said.kind, ERR_IO);
            assert_non_null(strstr(said.message, "cannot write"));
            assert_non_null(strstr(said.message, "File too large"));
        }
        if (file_exists(file_join(&arena, dir, "events.jsonl"))) {
            json_t *events = events_of(dir); /* every line of it can be read */
            const struct str text = read_in(dir, "events.jsonl");

            assert_true(text.len == 0 || text.ptr[text.len - 1] == '\n');
            json_decref(events);
        }
        if (file_exists(file_join(&arena, dir, "job.json"))) {
            go_on(&f, dir);
            assert_same_run(whole, dir, &f);
        }
        test_dir_remove(dir);
    }
    test_dir_remove(whole);
}

static void a_line_that_failed_can_be_written_again(void **state)
{
    char *dir = test_dir_make(&arena);
    struct line_file f = {0};

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    ASSERT_OK(line_file_open(&f, file_join(&arena, dir, "lines"), false, &err));
    ASSERT_OK(line_file_put(&f, STR("first\n"), &err));
    set_file_limit(9);
    ASSERT_FAILS(line_file_put(&f, STR("second\n"), &err), ERR_IO,
                 "make room, then go on with --resume");
    ASSERT_STR(read_in(dir, "lines"), "first\n");
    set_file_limit(RLIM_INFINITY);
    ASSERT_OK(line_file_put(&f, STR("second\n"), &err));
    line_file_close(&f);
    ASSERT_STR(read_in(dir, "lines"), "first\nsecond\n");
    ASSERT_OK(line_file_open(&f, "/dev/full", false, &err));
    ASSERT_FAILS(line_file_put(&f, STR("third\n"), &err), ERR_IO, "No space left on device");
    line_file_close(&f);
    line_file_close(&f);
    test_dir_remove(dir);
}

/* Steps wait for no disk; a checkpoint waits for all that is not told again once it is there. */
static void what_a_checkpoint_goes_on_from_is_on_the_disk_before_it(void **state)
{
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    const char *name = strrchr(dir, '/') + 1;
    struct run_folder *folder = NULL;

    (void)state;
    f.dir = dir;
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    const struct progress_sink sink = run_folder_sink(folder);
    buf_init(&synced, 1 << 16);
    ASSERT_OK(fake_run_tell(&f, sink, &words, 0, 3, &err)); /* checkpoints come with step 4 */
    ASSERT_STR(buf_view(&synced), "");
    ASSERT_OK(sink.before_checkpoint(sink.ctx, 3, &err));
    ASSERT_STR(buf_view(&synced),
               arena_printf(&arena,
                            "valid-0.jsonl step-1.jsonl step-2.jsonl step-3.jsonl rollouts "
                            "metrics.csv %s events.jsonl %s ",
                            name, name));
    buf_clear(&synced);
    ASSERT_OK(fake_run_tell(&f, sink, &words, 4, 4, &err));
    assert_true(str_starts(buf_view(&synced),
                           STR("step-4.jsonl valid-4.jsonl rollouts metrics.csv events.jsonl ")));
    run_folder_close(folder);
    buf_release(&synced);
    synced = (struct buf){0};
    test_dir_remove(dir);
}

/* It would end the run, or be taken for a broken line. */
static void a_message_that_is_too_long_is_shortened(void **state)
{
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;
    const size_t n = LIMIT_LINE_BYTES + 100;
    char *message = malloc(n + 1);

    (void)state;
    assert_non_null(message);
    memcpy(message, "!?x", 3);
    for (size_t i = 3; i < n;
         i++) /* characters of two bytes, and none of them begins at an even place */
        message[i] = i % 2 == 1 ? '\xc3' : '\xa9';
    message[n] = '\0';
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    struct progress_sink sink = run_folder_sink(folder);
    ASSERT_OK(sink.event(sink.ctx, EVENT_WARN, message, &err));
    ASSERT_OK(sink.event(sink.ctx, EVENT_WARN, "short", &err));
    run_folder_close(folder);
    free(message);
    json_t *events = events_of(dir);
    const size_t last = json_array_size(events) - 1;
    const struct str said = json_str(json_object_get(json_array_get(events, last - 1), "message"));
    const json_t *data = json_object_get(json_array_get(events, last - 1), "data");
    assert_true(str_starts(said, STR("!?x\xc3\xa9\xc3\xa9")));
    assert_true(said.len < 70000);
    assert_true(str_ends(said, STR("\xc3\xa9 ... (it has 16777316 bytes)")));
    assert_true(json_is_integer(json_object_get(data, "step")));
    assert_true(
        str_is(json_str(json_object_get(json_array_get(events, last), "message")), "short"));
    json_decref(events);
    test_dir_remove(dir);
}

/* The answer alone makes the line too long, or its tokens make more values than a line may have. */
static void an_answer_that_is_too_long_is_kept_cut(void **state)
{
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;
    const size_t n = LIMIT_LINE_BYTES + 100, n_tokens = LIMIT_JSON_VALUES / 2;
    char *answer = malloc(n);
    int32_t *tokens = calloc(n_tokens, sizeof *tokens);
    float *logprobs = calloc(n_tokens, sizeof *logprobs);
    const struct grade_result grade = {.reward = 0.5, .n_parts = 1, .part = {0.5}};
    struct rollout r = {.step = 1,
                        .prompt = STR("a question"),
                        .n_tokens = 2,
                        .tokens = tokens,
                        .logprobs = logprobs,
                        .thinking = STR("hm"),
                        .answer = {answer, n},
                        .n_thinking_tokens = 1,
                        .grade = &grade,
                        .advantage = 0.25F,
                        .trained = true};
    json_t *lines = json_array();
    size_t bad = 0;

    (void)state;
    assert_true(answer != NULL && tokens != NULL && logprobs != NULL);
    answer[0] = 'x';
    for (size_t i = 1; i < n; i++)
        answer[i] = i % 2 == 1 ? '\xc3' : '\xa9';
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    const struct progress_sink sink = run_folder_sink(folder);
    ASSERT_OK(sink.rollout(sink.ctx, &r, &err));
    r.sample = 1;
    r.answer = STR("short");
    r.n_tokens = n_tokens;
    ASSERT_OK(sink.rollout(sink.ctx, &r, &err));
    r.sample = 2;
    r.n_tokens = 2;
    ASSERT_OK(sink.rollout(sink.ctx, &r, &err));
    run_folder_close(folder);
    free(answer);
    free(tokens);
    free(logprobs);
    ASSERT_OK(run_read_rollouts(dir, 1, false, collect, lines, &bad, &err));
    assert_int_equal(bad, 0);
    assert_int_equal(json_array_size(lines), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *line = json_array_get(lines, i);
        const struct str said = json_str(json_object_get(line, "answer"));

        assert_int_equal(json_integer_value(json_object_get(line, "sample")), i);
        assert_int_equal(json_is_true(json_object_get(line, "cut")), i < 2);
        assert_int_equal(json_array_size(json_object_get(line, "tokens")), i < 2 ? 0 : 2);
        assert_int_equal(said.len, i == 0 ? (64 << 10) - 1 : 5); /* no torn character */
        assert_true(json_number_value(json_object_get(line, "reward")) == 0.5);
        assert_true(json_is_true(json_object_get(line, "trained")));
    }
    json_decref(lines);
    test_dir_remove(dir);
}

/* ---- reading ---- */

static void damaged_lines_are_passed_over_and_counted(void **state)
{
    struct fake_run f = small_run();
    const char *dir = make_run(&f, 3);
    const char *events = file_join(&arena, dir, "events.jsonl"),
               *metrics = file_join(&arena, dir, "metrics.csv");
    json_t *list = json_array(), *last = NULL;
    struct run_metrics m;
    size_t n_bad = 0;

    (void)state;
    ASSERT_OK(file_append(events, STR("not JSON\n[1]\n{\"type\":\"metrics\",\"data\":7}\n{\"torn"),
                          &err));
    ASSERT_OK(run_read_events(dir, collect, list, &n_bad, &err));
    assert_int_equal(n_bad, 2);
    ASSERT_OK(run_last_metrics(dir, &last, &err));
    assert_int_equal(json_integer_value(json_object_get(last, "step")), 3);
    json_decref(last);
    ASSERT_OK(file_append(metrics, STR("4,12\n\nrubbish\n5"), &err));
    n_bad = 0;
    ASSERT_OK(run_read_metrics(dir, &arena, &m, &n_bad, &err));
    assert_int_equal(m.n_rows, 3);
    assert_int_equal(n_bad, 3);
    json_decref(list);
    test_dir_remove(dir);
}

static void an_empty_folder_has_nothing(void **state)
{
    char *dir = test_dir_make(&arena);
    json_t *job = NULL, *last = NULL;
    struct run_metrics m;
    struct run_checkpoint *c;
    const char **names;
    size_t n = 9, *steps;

    (void)state;
    ASSERT_FAILS(run_read_job(dir, &job, &err), ERR_NOT_FOUND, "looking for a run in");
    ASSERT_OK(run_last_metrics(dir, &last, &err));
    assert_null(last);
    ASSERT_OK(run_read_metrics(dir, &arena, &m, NULL, &err));
    assert_int_equal(m.n_rows + m.n_columns, 0);
    ASSERT_OK(run_read_checkpoints(dir, &arena, &c, &n, &err));
    assert_int_equal(n, 0);
    ASSERT_OK(run_list_evals(dir, &arena, &names, &n, &err));
    assert_int_equal(n, 0);
    ASSERT_OK(run_list_rollouts(dir, true, &arena, &steps, &n, &err));
    assert_int_equal(n, 0);
    test_dir_remove(dir);
}

static void the_three_checkpoints_with_the_highest_reward_are_the_best(void **state)
{
    static const double rewards[] = {0.3, 0.6, 0.6, 0.5, (double)NAN, 0.6, 0.1};
    static const bool best[] = {false, true, true, false, false, true, false};
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;
    struct run_checkpoint *c;
    size_t n;

    (void)state;
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    struct progress_sink sink = run_folder_sink(folder);
    for (size_t i = 0; i < 7; i++) {
        const struct checkpoint_info info = {
            .step = 10 * (i + 1), .valid_mean_reward = rewards[i], .dir = ""};

        ASSERT_OK(sink.checkpoint(sink.ctx, &info, &err));
        if (i != 6) /* the trainer has removed the last one again */
            ASSERT_OK(file_make_dirs(
                arena_printf(&arena, "%s/checkpoints/step-%zu", dir, info.step), &err));
    }
    ASSERT_OK(file_make_dirs(file_join(&arena, dir, "checkpoints/step-90.part-17"), &err));
    run_folder_close(folder);
    ASSERT_OK(run_read_checkpoints(dir, &arena, &c, &n, &err));
    assert_int_equal(n, 6);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(c[i].step, 10 * (6 - i));
        assert_int_equal(c[i].best, best[5 - i]);
        assert_true(str_starts(str_of(c[i].id), STR("ftckpt_")) && c[i].created_at > 0);
    }
    assert_string_equal(c[0].name, "ckpt-step-60");
    test_dir_remove(dir);
}

static void equal_grader_names_are_told_apart(void **state)
{
    static const char *const names[] = {"g", "g", "g (2)"}, *const types[] = {"python", "python",
                                                                              "python"};
    const struct run_folder_options opt = {
        .n_graders = 3, .grader_names = names, .grader_types = types};
    const struct grade_result g = {.n_parts = 3, .part = {1, 2, 3}};
    const struct rollout r = {.step = 1, .grade = &g};
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;

    (void)state;
    ASSERT_OK(run_folder_open(dir, &opt, &folder, &err));
    struct progress_sink sink = run_folder_sink(folder);
    ASSERT_OK(sink.rollout(sink.ctx, &r, &err));
    run_folder_close(folder);
    json_t *list = rollouts_of(dir, 1, false);
    assert_int_equal(json_object_size(json_object_get(json_array_get(list, 0), "scores")), 3);
    json_decref(list);
    test_dir_remove(dir);
}

static void an_evaluation_has_a_plain_name(void **state)
{
    char *dir = test_dir_make(&arena);
    json_t *result = json_pack("{s:f}", "reward_mean", 0.5);
    const char **names;
    size_t n;

    (void)state;
    ASSERT_OK(run_folder_put_eval(dir, "before", result, &err));
    ASSERT_OK(run_folder_put_eval(dir, "after", result, &err));
    ASSERT_FAILS(run_folder_put_eval(dir, "../before", result, &err), ERR_INVALID, "is no name");
    ASSERT_FAILS(run_folder_put_eval(dir, ".hidden", result, &err), ERR_INVALID, "is no name");
    ASSERT_FAILS(run_folder_put_eval(dir, "", result, &err), ERR_INVALID, "is no name");
    ASSERT_OK(run_list_evals(dir, &arena, &names, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(names[0], "after");
    assert_string_equal(names[1], "before");
    json_decref(result);
    test_dir_remove(dir);
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_written_and_read_back),
        cmocka_unit_test(a_rollout_keeps_every_bit_of_its_numbers),
        cmocka_unit_test(samples_of_the_same_tokens_are_one_line_and_count_each),
        cmocka_unit_test(a_character_of_several_tokens_stands_with_the_last),
        cmocka_unit_test(a_metrics_event_has_the_shape_of_the_api),
        cmocka_unit_test(an_event_belongs_to_the_step_that_it_names),
        cmocka_unit_test(the_sentence_of_a_step_is_the_api_s),
        cmocka_unit_test(what_is_not_a_number_is_an_empty_cell_and_null),
        cmocka_unit_test(shadows_stand_beside_the_graders_of_the_api),
        cmocka_unit_test(what_is_settled_goes_into_the_job_file),
        cmocka_unit_test(a_resumed_run_equals_an_unbroken_one),
        cmocka_unit_test(a_run_survives_being_killed_at_any_moment),
        cmocka_unit_test(a_checkpoint_that_was_saved_and_not_told_of_is_told_of_on_resume),
        cmocka_unit_test(a_listener_has_heard_everything_wherever_the_run_broke),
        cmocka_unit_test(a_listener_that_lost_what_it_had_heard_is_told_again),
        cmocka_unit_test(losses_have_the_columns_and_the_sentence_of_the_api),
        cmocka_unit_test(losses_are_cut_back_to_their_checkpoint),
        cmocka_unit_test(a_run_goes_on_only_as_it_was_started),
        cmocka_unit_test(a_full_disk_is_one_error_and_costs_no_line),
        cmocka_unit_test(a_line_that_failed_can_be_written_again),
        cmocka_unit_test(what_a_checkpoint_goes_on_from_is_on_the_disk_before_it),
        cmocka_unit_test(a_message_that_is_too_long_is_shortened),
        cmocka_unit_test(an_answer_that_is_too_long_is_kept_cut),
        cmocka_unit_test(damaged_lines_are_passed_over_and_counted),
        cmocka_unit_test(an_empty_folder_has_nothing),
        cmocka_unit_test(the_three_checkpoints_with_the_highest_reward_are_the_best),
        cmocka_unit_test(equal_grader_names_are_told_apart),
        cmocka_unit_test(an_evaluation_has_a_plain_name),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
