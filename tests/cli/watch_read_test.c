/*
 * watch_read_test.c - a run that is read from what it wrote down looks as the one that told it.
 */
#include "support/support.h"

#include "base/limits.h"
#include "base/size.h"
#include "cli/live_view.h"
#include "cli/watch_read.h"
#include "job/fake_run.h"
#include "job/metrics.h"

#include <stdlib.h>

static struct error err;
static struct fake_words words;

static const char *const names[] = {"organ", "form"}, *const types[] = {"python", "string_check"};
static const struct metrics_graders graders = {.n = 2, .name = names, .type = types};

/* Two views of one run: told, and told by way of its event. */
struct views {
    struct live_view told, read;
    struct metrics_tally tally;
    struct buf prompt;
};

static bool on_event(void *ctx, enum event_level level, const char *message, struct error *e)
{
    (void)ctx;
    (void)level;
    (void)message;
    (void)e;
    return true;
}

static bool on_rollout(void *ctx, const struct rollout *r, struct error *e)
{
    struct views *v = ctx;
    struct buf line;
    struct grade_result grade;
    json_t *o = NULL;
    struct rollout alone = *r;

    alone.n_alike = 0;
    buf_init(&line, LIMIT_LINE_BYTES);
    rollout_line(&line, &alone, &graders, &(struct rollout_tokens){0});
    line.len--;
    ASSERT_OK(json_parse(buf_view(&line), "line", &o, e));
    const struct rollout again = watch_rollout(o, r->valid, &v->prompt, &grade);
    if (r->step > 0 || r->valid) {
        live_view_rollout(&v->told, r);
        live_view_rollout(&v->read, &again);
    }
    json_decref(o);
    buf_release(&line);
    return true;
}

static bool on_step(void *ctx, const struct step_metrics *m, struct error *e)
{
    struct views *v = ctx;
    json_t *tree = metrics_tree(m, &v->tally, &graders), *data = metrics_event_data(tree);
    const struct step_metrics again = watch_step(data);

    (void)e;
    live_view_step(&v->told, m, 100);
    live_view_step(&v->read, &again, 100);
    json_decref(tree);
    json_decref(data);
    return true;
}

static bool on_checkpoint(void *ctx, const struct checkpoint_info *c, struct error *e)
{
    (void)ctx;
    (void)c;
    (void)e;
    return true;
}

static void assert_alike(const struct views *v, struct live_frame frame)
{
    struct buf told, read;

    buf_init(&told, 1 << 20);
    buf_init(&read, 1 << 20);
    assert_true(live_view_render(&v->told, &frame, &told) > 10);
    live_view_step_line(&v->told.last, &told);
    (void)live_view_render(&v->read, &frame, &read);
    live_view_step_line(&v->read.last, &read);
    if (!str_eq(buf_view(&told), buf_view(&read)))
        fail_msg("told:\n%s\nread:\n%s", told.ptr, read.ptr);
    buf_release(&told);
    buf_release(&read);
}

static void what_was_written_down_looks_as_what_was_told(void **state)
{
    struct fake_run f = fake_run_defaults();
    struct views *v = calloc(1, sizeof *v);
    const struct progress_sink sink = {.ctx = v,
                                       .event = on_event,
                                       .rollout = on_rollout,
                                       .step = on_step,
                                       .checkpoint = on_checkpoint};

    (void)state;
    assert_non_null(v);
    v->told.title = v->read.title = "organ";
    buf_init(&v->prompt, 1 << 20);
    f.n_steps = 40;
    ASSERT_OK(fake_run_tell(&f, sink, &words, 0, 25, &err));
    assert_alike(v, (struct live_frame){.width = 120, .height = 40, .now = 130});
    assert_alike(v, (struct live_frame){.width = 80, .height = 24, .ascii = true, .now = 101});
    live_view_release(&v->told);
    live_view_release(&v->read);
    buf_release(&v->prompt);
    free(v);
}

static void assert_fit(enum train_method method)
{
    const struct fit_measure one = {
        .loss = 1.5, .token_accuracy = 0.25, .reward_margin = 0.5, .reward_accuracy = 0.75};
    struct fit_metrics m = {.step = 3,
                            .total_steps = 9,
                            .epoch = 2,
                            .train = one,
                            .has_valid = true,
                            .valid = one,
                            .seconds_total = 30,
                            .seconds_left = 180};
    struct buf told, read;

    if (method == METHOD_SUPERVISED)
        m.train.reward_margin = m.train.reward_accuracy = 0;
    for (int full = 0; full < 2; full++) {
        m.has_full_valid = full == 1;
        m.full_valid = one;
        json_t *tree = metrics_fit_tree(&m, method), *data = metrics_fit_data(&m, tree);
        const struct fit_metrics again = watch_fit_step(data);

        assert_true(watch_is_fit(data));
        buf_init(&told, 1 << 12);
        buf_init(&read, 1 << 12);
        live_view_fit_line(&m, &told);
        live_view_fit_line(&again, &read);
        assert_string_equal(told.ptr, read.ptr);
        buf_release(&told);
        buf_release(&read);
        json_decref(tree);
        json_decref(data);
    }
}

static void a_step_of_fitting_becomes_the_same_line(void **state)
{
    (void)state;
    assert_fit(METHOD_SUPERVISED);
    assert_fit(METHOD_DPO);
}

/* Whoever wrote it: nothing is taken for granted. */
static void odd_values_are_as_nothing(void **state)
{
    static const char *const odd[] = {
        "{}",
        "[]",
        "null",
        "{\"step\":-1,\"total_steps\":1e300,\"train_mean_reward\":\"x\"}",
        "{\"step\":null,\"samples\":-5,\"timing\":[],\"seconds_left\":\"soon\"}",
        "{\"prompt\":7,\"answer\":null,\"reward\":\"a\",\"step\":1e99}"};
    struct grade_result grade;
    struct buf prompt;

    (void)state;
    buf_init(&prompt, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        json_t *o = json_loads(odd[i], JSON_DECODE_ANY, NULL);

        assert_non_null(o);
        const struct step_metrics m = watch_step(o);
        const struct fit_metrics fit = watch_fit_step(o);
        const struct rollout r = watch_rollout(o, false, &prompt, &grade);

        assert_true(m.step == 0 && m.total_steps == 0 && m.n_samples == 0 && !m.has_valid);
        assert_true(isnan(m.train_mean_reward) && m.seconds_left <= 0);
        assert_true(fit.step == 0 && !fit.has_valid);
        assert_true(r.step == 0 && r.answer.len == 0 && r.prompt.len == 0 && grade.reward <= 0);
        json_decref(o);
    }
    buf_release(&prompt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_down_looks_as_what_was_told),
        cmocka_unit_test(a_step_of_fitting_becomes_the_same_line),
        cmocka_unit_test(odd_values_are_as_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
