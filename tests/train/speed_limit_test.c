/*
 * speed_limit_test.c - the work of each measured part is that of its rows, counted one by one.
 */
#include "support/rig.h"
#include "train/speed_limit.h"

#define RANK 4

static const struct roof roof = {.read = {.best = 1e9},
                                 .f32 = {.best = 1e9},
                                 .bf16 = {.best = 2e9},
                                 .int8 = {.best = 4e9},
                                 .int8_wide = {.best = 2e9}};

static void assert_work(const struct work *got, const struct work *want)
{
    ASSERT_NEAR(got->f32, want->f32, 1e-9 * want->f32);
    ASSERT_NEAR(got->bf16, want->bf16, 1e-9 * want->bf16);
    ASSERT_NEAR(got->int8, want->int8, 1e-9 * want->int8);
    ASSERT_NEAR(got->int8_wide, want->int8_wide, 1e-9 * want->int8_wide);
    ASSERT_NEAR(got->bytes, want->bytes, 1e-9 * want->bytes);
}

static struct speed_limit limit(const struct model *m, enum speed_part part,
                                const struct speed_case *k, size_t rows)
{
    const struct speed_time t = {.rows = rows};

    return speed_limit_of(m, part, k, RANK, &t, &roof);
}

/* Row by row, those of all prompts. */
static struct work_rows prompts(const struct speed_case *k, size_t rank)
{
    struct work_rows r = {.logits = (double)k->n_prompts, .rank = rank};

    for (size_t p = 0; p < k->n_prompts; p++)
        for (size_t i = 0; i < k->prompt_tokens; i++) {
            r.rows++;
            r.seen += (double)(i + 1);
        }
    return r;
}

/* A pass after the other: the row of each answer's token, the last one's left out. */
static struct work drawn(const struct model *m, const struct speed_case *k, size_t rank)
{
    struct work sum = {0};

    for (size_t i = 0; i + 1 < k->answer_tokens; i++) {
        struct work_rows r = {.rank = rank};

        r.rows = r.logits = (double)(k->n_prompts * k->n_answers);
        r.seen = r.rows * (double)(k->prompt_tokens + i + 1);
        r.read = (double)(k->n_prompts * k->prompt_tokens) + r.rows * (double)i;
        sum = work_sum(sum, work_forward(m, &r));
    }
    return sum;
}

static struct work_rows trained_rows(const struct speed_case *k)
{
    struct work_rows r = prompts(k, SPEED_RANK);

    for (size_t p = 0; p < k->n_prompts * k->n_answers; p++)
        for (size_t i = 0; i + 1 < k->answer_tokens; i++) {
            r.rows++;
            r.logits++;
            r.seen += (double)(k->prompt_tokens + i + 1);
        }
    return r;
}

static void each_part_is_its_rows(const struct model *m)
{
    const struct speed_case k = {2, 7, 3, 6};
    const size_t sampled = 2 * 7 + 2 * 3 * 5;
    const struct work_rows read = prompts(&k, RANK), trained = trained_rows(&k),
                           logits = {.logits = trained.logits};
    const struct work prefill = work_forward(m, &read), sample = drawn(m, &k, RANK),
                      back = work_backward(m, &trained),
                      train = work_sum(work_forward(m, &trained), back);
    const struct work_rows read_too = prompts(&k, SPEED_RANK);
    const struct work step =
        work_sum(work_sum(work_forward(m, &read_too), drawn(m, &k, SPEED_RANK)),
                 work_sum(work_forward(m, &logits), back));
    struct speed_limit l = limit(m, SPEED_PREFILL, &k, 2 * 7);

    assert_work(&l.work, &prefill);
    ASSERT_NEAR(l.seconds, work_seconds(&prefill, &roof), 0);
    l = limit(m, SPEED_SAMPLE, &k, sampled);
    assert_work(&l.work, &sample);
    l = limit(m, SPEED_TRAIN, &k, sampled);
    assert_work(&l.work, &train);
    l = limit(m, SPEED_STEP, &k, 2 * sampled);
    assert_work(&l.work, &step);
    assert_true(l.seconds >=
                (1 - 1e-9) * work_multiply_seconds(&step, &roof)); /* summed in another order */
    assert_false(l.reads);
}

static void the_work_of_a_part_is_that_of_its_rows(void **state)
{
    struct rig r;

    (void)state;
    rig_open_tiny(&r);
    each_part_is_its_rows(r.model);
    rig_close(&r);
    r = (struct rig){0};
    rig_open(&r, golden_path(&r.arena, "tiny/tiny-q4_1.gguf"));
    r.model->precision = PRECISION_INT8;
    each_part_is_its_rows(r.model);
    rig_close(&r);
}

static void rows_that_answers_share_count_once(void **state)
{
    const struct speed_case k = {1, 10, 4, 9};
    struct rig r;

    (void)state;
    rig_open_tiny(&r);
    const struct speed_limit all = limit(r.model, SPEED_TRAIN, &k, 10 + 4 * 8),
                             half = limit(r.model, SPEED_TRAIN, &k, (10 + 4 * 8) / 2);

    ASSERT_NEAR(half.work.f32, all.work.f32 / 2, 1e-9 * all.work.f32);
    assert_true(limit(r.model, SPEED_SAMPLE, &k, 10 + 8).seconds <
                limit(r.model, SPEED_SAMPLE, &k, 10 + 4 * 8).seconds);
    rig_close(&r);
}

/* A roof that reads slowly makes one answer at a time wait for the weights. */
static void what_holds_a_part_up_is_told(void **state)
{
    const struct speed_case one = {1, 10, 1, 9};
    const struct speed_time t = {.rows = 10 + 8};
    const struct roof slow = {.read = {.best = 1e6},
                              .f32 = {.best = 1e9},
                              .bf16 = {.best = 1e9},
                              .int8 = {.best = 1e9},
                              .int8_wide = {.best = 1e9}};
    struct rig r;

    (void)state;
    rig_open_tiny(&r);
    const struct speed_limit l = speed_limit_of(r.model, SPEED_SAMPLE, &one, 0, &t, &slow);

    assert_true(l.reads);
    ASSERT_NEAR(l.seconds, l.work.bytes / 1e6, 1e-9 * l.seconds);
    assert_int_equal(speed_limit_buffer(r.model), 4 * (3 * 30720 + 320 * 64));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_work_of_a_part_is_that_of_its_rows),
        cmocka_unit_test(rows_that_answers_share_count_once),
        cmocka_unit_test(what_holds_a_part_up_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
