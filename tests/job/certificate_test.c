/*
 * certificate_test.c - lines are chained, read back, cut back, and told apart from those of another run.
 */
#include "support/support.h"

#include "base/file.h"
#include "job/certificate.h"

#include <math.h>
#include <stdio.h>

static struct error err;
static struct arena arena;

static const char *const names[] = {"a", "s"}, *const types[] = {"python", "python"};
static const bool shadow[] = {false, true};
static const struct metrics_graders graders = {
    .n = 2, .name = names, .type = types, .shadow = shadow};

static json_t *head_of(int seed, const char *sum)
{
    return json_pack("{s:i, s:{s:i}, s:{s:{s:i, s:s}}, s:{s:i, s:s}, s:s, s:s}", "certificate", 1,
                     "job", "seed", seed, "model", "m.gguf", "bytes", 5, "sha256", "aa",
                     "training_file", "bytes", 7, "sha256", sum, "hone", HONE_VERSION, "kernels",
                     "plain");
}

static char *path_new(void)
{
    return file_join(&arena, test_dir_make(&arena), CERTIFICATE_FILE);
}

static void tell_answer(struct certificate *c, size_t step, bool valid, int32_t token, double score)
{
    const int32_t tokens[] = {token, 2};
    const float logprobs[] = {-0.5f, -INFINITY};
    const struct grade_result grade = {
        .reward = score, .n_parts = 2, .part = {score, 1}, .part_flags = {0, GRADE_OTHER_ERROR}};
    const struct rollout r = {.step = step,
                              .valid = valid,
                              .n_tokens = 2,
                              .tokens = tokens,
                              .logprobs = logprobs,
                              .grade = &grade};

    ASSERT_OK(certificate_rollout(c, &r, &graders, &err));
}

static void tell_step(struct certificate *c, size_t step, int32_t token)
{
    const struct sha256_text metrics = metrics_hash(STR("step,loss,seconds_left"), STR("1,2,3"));

    tell_answer(c, step, false, token, 0.5);
    ASSERT_OK(certificate_step(c, step, &metrics, "adapter", &err));
}

/* Steps first to last, each with its own token, and the validation before them. */
static char *make(size_t last, bool ends)
{
    char *path = path_new();
    json_t *head = head_of(1, "bb"),
           *settled = json_pack("{s:i, s:f}", "x", 1, "memory_bytes", 2.0);
    struct certificate c;

    ASSERT_OK(certificate_begin(&c, path, head, &err));
    ASSERT_OK(certificate_settled(&c, settled, &err));
    tell_answer(&c, 0, true, 9, 1);
    for (size_t step = 1; step <= last; step++)
        tell_step(&c, step, (int32_t)step);
    if (ends)
        ASSERT_OK(certificate_end(&c, &err));
    certificate_close(&c);
    json_decref(head);
    json_decref(settled);
    return path;
}

static struct str text_of(const char *path)
{
    struct str text;

    ASSERT_OK(file_read(path, 1 << 20, &arena, &text, &err));
    return text;
}

static void what_was_written_is_read_back(void **state)
{
    struct certified c = {0};

    (void)state;
    ASSERT_OK(certified_read(make(3, true), &c, &err));
    assert_int_equal(certified_last(&c), 3);
    assert_non_null(c.end);
    assert_null(certified_step(&c, 4));
    assert_int_equal(json_integer_value(json_object_get(c.settled, "x")), 1);
    assert_null(json_object_get(c.settled, "memory_bytes"));
    const json_t *zero = certified_step(&c, 0), *two = certified_step(&c, 2);
    assert_non_null(json_object_get(zero, "valid"));
    assert_null(json_object_get(zero, "adapter"));
    assert_int_equal(json_integer_value(json_object_get(two, "step")), 2);
    assert_true(str_is(json_str(json_object_get(two, "adapter")), "adapter"));
    certified_release(&c);
    ASSERT_FAILS(certified_read("/nowhere/c", &c, &err), ERR_NOT_FOUND, "/nowhere/c");
}

/* The bytes that certificate.h names, put together here by hand. */
static void the_hashes_are_of_the_bytes_that_the_header_names(void **state)
{
    static const uint8_t answer[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                     0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0},
                         logprobs[] = {0, 0, 0, 0xBF, 0, 0, 0xC0, 0x7F},
                         grades[] = {0,    0,    0, 0, 0, 0, 0xE0, 0x3F, 2,    0,    0,
                                     0,    0,    0, 0, 0, 0, 0,    0,    0,    0,    0,
                                     0xE0, 0x3F, 0, 0, 0, 0, 0,    0,    0xF8, 0x7F, 0},
                         advantages[] = {0, 0, 0, 0, 0};
    const struct {
        const char *key;
        struct sha256_text sum;
    } parts[] = {{"answers", sha256_of(answer, sizeof answer)},
                 {"logprobs", sha256_of(logprobs, sizeof logprobs)},
                 {"grades", sha256_of(grades, sizeof grades)},
                 {"advantages", sha256_of(advantages, sizeof advantages)}};
    struct certified c = {0};

    (void)state;
    ASSERT_OK(certified_read(make(2, true), &c, &err));
    const json_t *train = json_object_get(certified_step(&c, 2), "train");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_string_equal(json_string_value(json_object_get(train, parts[i].key)),
                            parts[i].sum.hex);
    assert_string_equal(json_string_value(json_object_get(certified_step(&c, 2), "metrics")),
                        sha256_of("step=1\nloss=2\n", 14).hex);
    certified_release(&c);
}

/* After each step, the rest told again or not. */
static void one_that_goes_on_ends_as_one_that_was_never_stopped(void **state)
{
    const struct str whole = text_of(make(3, true));
    json_t *head = head_of(1, "bb");
    struct certificate c;
    char gap[256];

    (void)state;
    for (size_t step = 1; step <= 3; step++) {
        const char *path = make(3, step % 2 == 1);

        ASSERT_OK(certificate_resume(&c, path, head, step, gap, &err));
        assert_string_equal(gap, "");
        ASSERT_OK(certificate_settled(&c, head, &err)); /* it stands there already */
        for (size_t next = step + 1; next <= 3; next++)
            tell_step(&c, next, (int32_t)next);
        ASSERT_OK(certificate_end(&c, &err));
        certificate_close(&c);
        assert_true(str_eq(text_of(path), whole));
    }
    json_decref(head);
}

static void another_run_is_not_gone_on_with(void **state)
{
    const char *path = make(3, false);
    const struct str before = text_of(path);
    json_t *seed = head_of(2, "bb"), *data = head_of(1, "cc");
    struct certificate c;
    char gap[256];

    (void)state;
    ASSERT_FAILS(certificate_resume(&c, path, seed, 2, gap, &err), ERR_INVALID,
                 "\"seed\" was 1, and now 2");
    ASSERT_FAILS(
        certificate_resume(&c, path, data, 2, gap, &err), ERR_INVALID,
        "the training file is another one: its SHA-256 is cc, and that of the run's was bb");
    assert_true(str_eq(text_of(path), before));
    json_decref(seed);
    json_decref(data);
}

static void a_certificate_that_is_too_short_is_left_alone(void **state)
{
    const char *path = make(2, false);
    const struct str before = text_of(path);
    json_t *head = head_of(1, "bb");
    struct certificate c;
    char gap[256];

    (void)state;
    ASSERT_OK(certificate_resume(&c, path, head, 3, gap, &err));
    assert_non_null(strstr(gap, "ends at step 2, before the checkpoint of step 3"));
    tell_step(&c, 4, 4); /* nothing is written */
    ASSERT_OK(certificate_end(&c, &err));
    certificate_close(&c);
    assert_true(str_eq(text_of(path), before));
    ASSERT_OK(certificate_resume(&c, path_new(), head, 3, gap, &err));
    assert_string_equal(gap, ""); /* of a time before certificates */
    certificate_close(&c);
    json_decref(head);
}

static void other_kernels_are_noted_where_a_run_goes_on(void **state)
{
    const char *path = make(3, false);
    json_t *head = head_of(1, "bb");
    struct certified read = {0};
    struct certificate c;
    char gap[256];

    (void)state;
    json_object_set_new(head, "kernels", json_string("avx2"));
    for (int i = 0; i < 2; i++) { /* killed before the next checkpoint, and gone on with again */
        ASSERT_OK(certificate_resume(&c, path, head, 2, gap, &err));
        tell_step(&c, 3, 3);
        certificate_close(&c);
        ASSERT_OK(certified_read(path, &read, &err));
        assert_int_equal(json_array_size(read.resumed), 1);
        assert_int_equal(certified_last(&read), 3);
        certified_release(&read);
    }
    ASSERT_OK(
        certificate_resume(&c, path, head, 3, gap, &err)); /* with the same ones: nothing new */
    certificate_close(&c);
    ASSERT_OK(certified_read(path, &read, &err));
    assert_int_equal(json_array_size(read.resumed), 1);
    certified_release(&read);
    json_decref(head);
}

/* A thousand waits for the disk would be most of the test. */
static void put_unsynced(const char *path, struct str text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text.ptr, 1, text.len, f), text.len);
    assert_int_equal(fclose(f), 0);
}

static void every_changed_byte_is_found(void **state)
{
    const struct str whole = text_of(make(1, true));
    const char *path = path_new();
    struct certified c = {0};

    (void)state;
    for (size_t i = 0; i < whole.len; i++) {
        struct str changed = arena_str(&arena, whole);

        ((char *)(uintptr_t)changed.ptr)[i] ^= 1;
        put_unsynced(path, changed);
        if (certified_read(path, &c, &err)) {
            assert_int_equal(i, whole.len - 1); /* the last line break: a line less */
            assert_null(c.end);
            certified_release(&c);
        } else {
            assert_int_equal(err.kind, ERR_CORRUPT);
        }
    }
}

static void another_job_is_told_by_what_differs_first(void **state)
{
    json_t *was = head_of(1, "bb"), *is = head_of(2, "bb");

    (void)state;
    ASSERT_OK(certificate_same_origin(was, was, &err));
    ASSERT_FAILS(certificate_same_origin(was, is, &err), ERR_INVALID,
                 "the job is another one: its certificate says that \"seed\" was 1, and now 2");
    assert_string_equal(err.param, "seed");
    json_object_del(json_object_get(is, "job"), "seed");
    ASSERT_FAILS(certificate_same_origin(was, is, &err), ERR_INVALID,
                 "\"seed\" was 1, and now nothing");
    json_decref(was);
    json_decref(is);
}

/* Moved files are the same where one file is the model; two are known by their names. */
static void a_single_model_file_may_have_another_name(void **state)
{
    json_t *was = head_of(1, "bb"), *is = head_of(1, "bb");
    json_t *model = json_pack("{s:{s:i, s:s}}", "moved.gguf", "bytes", 5, "sha256", "aa");

    (void)state;
    json_object_set(is, "model", model);
    ASSERT_OK(certificate_same_origin(was, is, &err));
    json_object_set_new(model, "more.json", json_object());
    ASSERT_FAILS(certificate_same_origin(was, is, &err), ERR_INVALID, "the model's file m.gguf");
    json_object_set_new(is, "validation_file", json_object());
    json_object_set(is, "model", json_object_get(was, "model"));
    ASSERT_FAILS(certificate_same_origin(was, is, &err), ERR_INVALID,
                 "the validation file: the run did not have one, and now there is one");
    json_decref(model);
    json_decref(was);
    json_decref(is);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(the_hashes_are_of_the_bytes_that_the_header_names),
        cmocka_unit_test(one_that_goes_on_ends_as_one_that_was_never_stopped),
        cmocka_unit_test(another_run_is_not_gone_on_with),
        cmocka_unit_test(a_certificate_that_is_too_short_is_left_alone),
        cmocka_unit_test(other_kernels_are_noted_where_a_run_goes_on),
        cmocka_unit_test(every_changed_byte_is_found),
        cmocka_unit_test(another_job_is_told_by_what_differs_first),
        cmocka_unit_test(a_single_model_file_may_have_another_name),
    };

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return failed;
}
