/*
 * memory_plan_test.c - a plan is the sum of its parts, fits the room there is as long as that can be, and says so.
 */
#include "base/memory.h"
#include "support/rig.h"
#include "train/memory_need.h"
#include "train/memory_plan.h"

#include <math.h>
#include <string.h>

static struct error err;

struct heard {
    size_t n, n_warnings;
    char last[512];
};

static bool on_event(void *ctx, enum event_level level, const char *message, struct error *e)
{
    struct heard *h = ctx;

    (void)e;
    h->n++;
    h->n_warnings += level == EVENT_WARN;
    snprintf(h->last, sizeof h->last, "%s", message);
    return true;
}

/* A job whose answers need much more than its model. */
static struct memory_work work_of(const struct model *m, struct recipe *r)
{
    *r = recipe_defaults(&m->config);
    r->group_size = 64;
    r->max_tokens = 512;
    r->memory_bytes = 1e12;
    return (struct memory_work){.model = m,
                                .recipe = r,
                                .n_valid = 10,
                                .longest = 60,
                                .mean_prompt = 50,
                                .trunk = 20,
                                .process = 5e6,
                                .room = 1e12};
}

static double sum(const struct memory_plan *p)
{
    return p->process + p->model + p->trained + p->pass + p->cache + p->answers + p->kept;
}

static void a_plan_is_the_sum_of_its_parts(void **state)
{
    (void)state;
    struct rig rig;
    struct recipe r;
    rig_open_tiny(&rig);
    const struct memory_work w = work_of(rig.model, &r);
    const struct memory_plan p = memory_plan_of(&w);

    assert_true(p.model >= (double)model_bytes(rig.model));
    assert_true(p.trained > 0 && p.pass > 0 && p.cache > 0 && p.answers > 0 && p.kept > 0);
    assert_true(fabs(p.peak - sum(&p)) < 1);
    assert_false(p.recomputes);
    assert_true(p.least < p.peak);
    rig_close(&rig);
}

static void with_less_room_less_is_kept_then_the_cache_is_smaller(void **state)
{
    (void)state;
    struct rig rig;
    struct recipe r;
    rig_open_tiny(&rig);
    struct memory_work w = work_of(rig.model, &r);
    struct memory_plan before = memory_plan_of(&w);
    const struct memory_plan all = before;
    size_t n_fit = 0, n_kept = 0, n_cache = 0;

    for (w.room = 2 * all.peak; w.room > all.least / 4; w.room *= 0.9) {
        const struct memory_plan p = memory_plan_of(&w);

        assert_true(fabs(p.peak - sum(&p)) < 1);
        assert_true(p.kept + p.cache <= before.kept + before.cache &&
                    p.kv_bytes <= before.kv_bytes);
        assert_true(p.model == all.model && p.trained == all.trained && p.least == all.least);
        assert_true(p.recomputes || p.kept == all.kept);
        assert_true(p.lean <= p.kept && (p.lean > 0) == (p.recomputes && p.kept > 0));
        if (p.least * 1.05 + 32e6 <= w.room) { /* 1.05: what a peak may be above the planned one */
            assert_true(p.peak * 1.05 <= w.room);
            n_fit++;
        }
        n_kept += p.kept < before.kept;
        n_cache += p.kv_bytes < before.kv_bytes;
        before = p;
    }
    assert_true(n_fit > 3 && n_kept > 3 && n_cache > 0);
    assert_true(before.kept == 0 && before.recomputes);
    rig_close(&rig);
}

static void where_there_is_no_room_nothing_is_kept(void **state)
{
    (void)state;
    struct rig rig;
    struct recipe r;
    rig_open_tiny(&rig);
    struct memory_work w = work_of(rig.model, &r);

    w.room = 0;
    const struct memory_plan none = memory_plan_of(&w);
    assert_true(none.kept == 0 && none.lean == 0 && none.recomputes);
    w.room = HUGE_VAL; /* the system does not tell: as where there is enough */
    const struct memory_plan all = memory_plan_of(&w);
    assert_true(all.kept > 0 && !all.recomputes && all.kv_bytes >= none.kv_bytes);
    rig_close(&rig);
}

static void memory_bytes_bounds_what_is_kept(void **state)
{
    (void)state;
    struct rig rig;
    struct recipe r;
    rig_open_tiny(&rig);
    struct memory_work w = work_of(rig.model, &r);

    r.memory_bytes = 1e6;
    assert_true(memory_plan_of(&w).kept <= 1e6 && memory_plan_of(&w).kept > 0);
    assert_true(memory_plan_of(&w).recomputes);
    assert_true(memory_plan_of(&w).lean > 0);
    r.memory_bytes = 1;
    assert_true(memory_plan_of(&w).kept == 0);
    rig_close(&rig);
}

/* Answers are sampled in one method alone; the others keep a pass. */
static void other_methods_plan_a_pass(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_tiny(&rig);
    struct recipe r = recipe_defaults_of(METHOD_SUPERVISED, &rig.model->config);
    const struct memory_work w = {.model = rig.model, .recipe = &r, .longest = 40, .room = 1e12};
    const struct memory_plan one = memory_plan_of(&w);

    assert_true(one.answers == 0 && one.cache > 0 && one.kept > 0 && !one.recomputes);
    r.batch_size = 1;
    const double few = memory_plan_of(&w).peak;
    r.batch_size = 8;
    assert_true(few < memory_plan_of(&w).peak);
    rig_close(&rig);
}

static void a_plan_is_told_in_words_and_in_numbers(void **state)
{
    (void)state;
    struct heard h = {0};
    const struct progress_sink sink = {.ctx = &h, .event = on_event};
    struct memory_plan p = {.process = 1e7,
                            .model = 2e8,
                            .trained = 3e8,
                            .pass = 4e7,
                            .cache = 5e7,
                            .answers = 1e6,
                            .kept = 6e8,
                            .kept_all = 1.2e9,
                            .recomputes = true,
                            .peak = 1.201e9,
                            .least = 5e8,
                            .room = 4e9};
    char text[512];

    memory_plan_words(&p, text, sizeof text);
    assert_string_equal(
        text, "at most 1.20 GB of the 4.00 GB there are: the model 200.0 MB, what is trained "
              "300.0 MB, a training pass 40.0 MB, keys and values 50.0 MB, kept activations 600.0 "
              "MB (of 1.20 GB; the rest is computed again), the program, data and answers "
              "11.0 MB; graders run beside it.");
    ASSERT_OK(memory_plan_tell(&p, &sink, &err));
    assert_int_equal(h.n, 1);
    assert_non_null(strstr(h.last, "Memory: at most 1.20 GB"));
    json_t *o = memory_plan_json(&p);
    assert_int_equal(json_integer_value(json_object_get(o, "peak")), 1201000000);
    assert_int_equal(json_integer_value(json_object_get(o, "kept")), 600000000);
    assert_true(json_is_true(json_object_get(o, "recomputes")));
    json_decref(o);

    p.room = 4e8; /* less is free than it needs at least */
    ASSERT_OK(memory_plan_tell(&p, &sink, &err));
    assert_int_equal(h.n, 3);
    assert_int_equal(h.n_warnings, 1);
    assert_non_null(strstr(h.last, "at least 500.0 MB of memory, and only 400.0 MB are free"));
    ASSERT_OK(memory_plan_tell(&p, NULL, &err));

    p.room = HUGE_VAL; /* the system does not tell */
    memory_plan_words(&p, text, sizeof text);
    assert_non_null(strstr(text, "at most 1.20 GB: the model 200.0 MB"));
    ASSERT_OK(memory_plan_tell(&p, &sink, &err));
    assert_int_equal(h.n, 4);
    assert_int_equal(h.n_warnings, 1);
    o = memory_plan_json(&p);
    assert_int_equal(json_integer_value(json_object_get(o, "room")), 0);
    json_decref(o);
}

static void where_memory_gets_short_rows_are_given_back_and_it_is_told_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_tiny(&rig);
    const struct model_config *c = &rig.model->config;
    struct heard h = {0};
    const struct progress_sink sink = {.ctx = &h, .event = on_event};
    struct memory_plan plan = {.peak = 1, .kept = 1};
    struct saved_pool *pool = NULL;

    ASSERT_OK(saved_pool_open(c, 0, 10 * saved_row_bytes(c, 0), &pool, &err));
    struct memory_watch w = {.plan = &plan, .saved = pool, .sink = &sink};
    assert_non_null(saved_take(pool, 0));
    saved_clear(pool);
    ASSERT_OK(memory_watch_step(&w, &err)); /* there is enough */
    assert_int_equal(saved_pool_free(pool), 10);
    assert_int_equal(h.n, 0);
    plan.peak = 1e18; /* the run may still take more than any machine has */
    ASSERT_OK(memory_watch_step(&w, &err));
    assert_int_equal(saved_pool_free(pool), 0);
    assert_int_equal(saved_pool_bytes(pool), 0);
    assert_null(saved_take(pool, 0));
    assert_int_equal(h.n, 1);
    assert_int_equal(h.n_warnings, 1);
    assert_non_null(strstr(h.last, "Memory is short"));
    ASSERT_OK(memory_watch_step(&w, &err));
    assert_int_equal(h.n, 1);
    plan.peak = 2e9;
    ASSERT_OK(memory_watch_end(&w, &err));
    assert_non_null(strstr(h.last, "Memory: 2.00 GB were planned, "));
    saved_pool_close(pool);
    rig_close(&rig);
}

/* What the sentence proposes is true: with it the job needs no more than there is. */
static void a_job_that_cannot_fit_is_told_what_would_make_it_fit(void **state)
{
    (void)state;
    struct rig rig;
    struct recipe r;
    unsigned long group, tokens;
    rig_open_tiny(&rig);
    const struct memory_work w = work_of(rig.model, &r);
    const double need = memory_plan_of(&w).least - memory_plan_of(&w).answers;

    ASSERT_OK(memory_need_fits_here(rig.model, &r, w.longest, w.process, need * 1.001, &err));
    ASSERT_FAILS(memory_need_fits_here(rig.model, &r, w.longest, w.process, need * 0.6, &err),
                 ERR_NO_MEMORY, "the job needs at least");
    const char *at = strstr(err.message, "\"hone.group_size\": ");
    assert_non_null(at);
    assert_int_equal(
        sscanf(at, "\"hone.group_size\": %lu or \"hone.max_tokens\": %lu", &group, &tokens), 2);
    assert_true(group < 64 && tokens < 512);
    assert_non_null(strstr(err.message, "would make it fit"));
    r.group_size = group;
    ASSERT_OK(memory_need_fits_here(rig.model, &r, w.longest, w.process, need * 0.6, &err));
    r.group_size = 64;
    r.max_tokens = tokens;
    ASSERT_OK(memory_need_fits_here(rig.model, &r, w.longest, w.process, need * 0.6, &err));
    /* nothing of the recipe helps where the model alone is too large */
    ASSERT_FAILS(memory_need_fits_here(rig.model, &r, w.longest, w.process, 1e3, &err),
                 ERR_NO_MEMORY, "only a smaller model or more memory would make it fit");
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_is_the_sum_of_its_parts),
        cmocka_unit_test(with_less_room_less_is_kept_then_the_cache_is_smaller),
        cmocka_unit_test(where_there_is_no_room_nothing_is_kept),
        cmocka_unit_test(memory_bytes_bounds_what_is_kept),
        cmocka_unit_test(other_methods_plan_a_pass),
        cmocka_unit_test(a_plan_is_told_in_words_and_in_numbers),
        cmocka_unit_test(where_memory_gets_short_rows_are_given_back_and_it_is_told_once),
        cmocka_unit_test(a_job_that_cannot_fit_is_told_what_would_make_it_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
