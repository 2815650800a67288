/*
 * grade_cache_test.c - what was scored is not scored again; what failed is; memory has a bound.
 */
#include "grade/grade_cache.h"

#include "base/clock.h"
#include "grade_support.h"

#include <pthread.h>
#include <stdatomic.h>

struct asked { /* a row and a sample, as a grader is given them */
    struct arena arena;
    json_t *item, *output_json;
    struct grade_sample sample;
    struct grade_scope scope;
};

static void ask(struct asked *a, const char *item, const char *text, const char *output_json)
{
    *a = (struct asked){.item = item == NULL ? NULL : json_of(item),
                        .output_json = output_json == NULL ? NULL : json_of(output_json)};
    a->sample = (struct grade_sample){.output_text = str_of(text), .output_json = a->output_json};
    scope_init(&a->scope, a->item, &a->sample, &a->arena);
    grade_scope_key(&a->scope);
}

static void forget(struct asked *a)
{
    scope_release(&a->scope);
    arena_release(&a->arena);
    json_decref(a->item);
    json_decref(a->output_json);
}

static struct part_result score(double x)
{
    return (struct part_result){.score = x};
}

static void whatever_differs_has_a_key_of_its_own(void **state)
{
    (void)state;
    static const struct {
        const char *item, *text, *json;
    } all[] = {
        {"{'a':1}", "x", NULL},
        {"{'a':'1'}", "x", NULL},
        {"{'a':1.0}", "x", NULL},
        {"{'a':true}", "x", NULL},
        {"{'a':null}", "x", NULL},
        {"{}", "x", NULL},
        {NULL, "x", NULL},
        {"{'a':['b']}", "x", NULL},
        {"{'a':['b','']}", "x", NULL},
        {"{'a':['','b']}", "x", NULL},
        {"{'a':[['b']]}", "x", NULL},
        {"{'a':{'b':''}}", "x", NULL},
        {"{'ab':''}", "x", NULL},
        {"{'a':'b'}", "x", NULL},
        {"{'a':1}", "", NULL},
        {"{'a':1}", "x ", NULL},
        {"{'a':1}", "x", "null"},
        {"{'a':1}", "x", "{}"},
        {"{'a':1}", "x", "[]"},
        {"{'a':1,'b':2}", "x", NULL},
    };
    struct asked a[sizeof all / sizeof *all];
    const size_t n = sizeof all / sizeof *all;

    for (size_t i = 0; i < n; i++)
        ask(&a[i], all[i].item, all[i].text, all[i].json);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (memcmp(a[i].scope.key, a[k].scope.key, sizeof a[i].scope.key) == 0)
                fail_msg("cases %zu and %zu have one key", k, i);
    for (size_t i = 0; i < n; i++)
        forget(&a[i]);
}

static void a_score_is_kept_for_its_part_alone(void **state)
{
    (void)state;
    struct grade_cache *c = grade_cache_open((size_t)1 << 20);
    struct asked a, same;
    struct part_result r = {0};

    ask(&a, "{'answer':'x'}", "y", NULL);
    ask(&same, "{'answer':'x'}", "y", NULL);
    assert_false(grade_cache_get(c, &a.scope, 3, &r));
    r = score(0.25);
    grade_cache_put(c, &a.scope, 3, &r);
    r = score(9);
    assert_true(grade_cache_get(c, &same.scope, 3, &r));
    assert_true(r.score == 0.25);
    assert_false(grade_cache_get(c, &same.scope, 4, &r));
    forget(&a);
    forget(&same);
    grade_cache_close(c);
}

static void a_failure_is_not_kept(void **state)
{
    (void)state;
    struct grade_cache *c = grade_cache_open((size_t)1 << 20);
    struct part_result r = {.flags = GRADE_PYTHON_RUNTIME_ERROR};
    struct asked a;

    ask(&a, "{}", "y", NULL);
    assert_false(grade_cache_get(c, &a.scope, 0, &r));
    grade_cache_put(c, &a.scope, 0, &r);
    assert_int_equal(grade_cache_bytes(c), 0);
    assert_false(grade_cache_get(c, &a.scope, 0, &r));
    forget(&a);
    grade_cache_close(c);
}

static void what_was_used_longest_ago_makes_room(void **state)
{
    (void)state;
    const size_t room = 20000;
    struct grade_cache *c = grade_cache_open(room);
    struct asked first, a;
    struct part_result r;
    char text[16];

    ask(&first, "{}", "first", NULL);
    for (int i = -1; i < 2000; i++) {
        snprintf(text, sizeof text, "%d", i);
        ask(&a, "{}", i < 0 ? "first" : text, NULL);
        assert_false(grade_cache_get(c, &a.scope, 0, &r));
        r = score(i);
        grade_cache_put(c, &a.scope, 0, &r);
        assert_true(grade_cache_bytes(c) <= room);
        forget(&a);
        assert_true(grade_cache_get(c, &first.scope, 0, &r)); /* used again and again, it stays */
        assert_true(r.score == -1);
    }
    ask(&a, "{}", "1999", NULL);
    assert_true(grade_cache_get(c, &a.scope, 0, &r));
    forget(&a);
    ask(&a, "{}", "0", NULL);
    assert_false(grade_cache_get(c, &a.scope, 0, &r));
    forget(&a);
    forget(&first);
    grade_cache_close(c);
}

/* ---- many threads ---- */

#define N_CROWD 16
struct crowd {
    struct grade_cache *cache;
    unsigned fails; /* so many of those that compute fail */
    atomic_uint n_here, n_computed, n_taken;
    atomic_uint n_busy, n_busy_most; /* computing at once */
};

static void pause_for(double seconds)
{
    clock_sleep_until(clock_seconds() + seconds);
}

static void *want(void *arg)
{
    struct crowd *x = arg;
    struct part_result r = {0};
    struct asked a;

    ask(&a, "{'row':1}", "one answer", NULL);
    atomic_fetch_add(&x->n_here, 1);
    if (grade_cache_get(x->cache, &a.scope, 0, &r)) {
        atomic_fetch_add(&x->n_taken, r.score == 0.5);
    } else {
        const bool failed = atomic_fetch_add(&x->n_computed, 1) < x->fails;
        const unsigned n_busy = atomic_fetch_add(&x->n_busy, 1) + 1;
        unsigned most = atomic_load(&x->n_busy_most);

        while (n_busy > most && !atomic_compare_exchange_weak(&x->n_busy_most, &most, n_busy))
            continue;
        while (atomic_load(&x->n_here) < N_CROWD)
            pause_for(0.001);
        pause_for(0.1);
        atomic_fetch_sub(&x->n_busy, 1);
        r = (struct part_result){.score = failed ? 0 : 0.5,
                                 .flags = failed ? GRADE_OTHER_ERROR : 0};
        grade_cache_put(x->cache, &a.scope, 0, &r);
    }
    forget(&a);
    return NULL;
}

static struct crowd *crowd(unsigned fails)
{
    static struct crowd x;
    pthread_t threads[N_CROWD];

    x = (struct crowd){.cache = grade_cache_open((size_t)1 << 20), .fails = fails};
    for (int i = 0; i < N_CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, want, &x), 0);
    for (int i = 0; i < N_CROWD; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(x.n_computed + x.n_taken, N_CROWD);
    return &x;
}

static void of_threads_that_want_the_same_one_computes(void **state)
{
    (void)state;
    const struct crowd *x = crowd(0);

    assert_int_equal(x->n_computed, 1);
    grade_cache_close(x->cache);
}

static void where_it_fails_the_others_try_at_once(void **state)
{
    (void)state;
    for (unsigned fails = 1; fails <= N_CROWD; fails += 5) {
        const struct crowd *x = crowd(fails);
        struct part_result r = {0};
        struct asked a;

        assert_true(x->n_busy_most > 1); /* a time limit is met twice and not sixteen times */
        assert_true(x->n_computed >= fails);
        ask(&a, "{'row':1}", "one answer", NULL);
        assert_int_equal(grade_cache_get(x->cache, &a.scope, 0, &r), fails < x->n_computed);
        assert_true(r.score == (fails < x->n_computed ? 0.5 : 0));
        forget(&a);
        grade_cache_close(x->cache);
    }
}

/* ---- in a grader ---- */

#define FUZZY                                                                                      \
    "'type':'text_similarity','name':'n','input':'{{sample.output_text}}',"                        \
    "'reference':'{{item.answer}}','evaluation_metric':'fuzzy_match'"

static void a_deterministic_grader_runs_once_an_answer(void **state)
{
    (void)state;
    struct grader *g = grader_of(json_of("{" FUZZY "}"), NULL);
    struct grade_result r = grade_text(g, "{'answer':'cat'}", "car");

    assert_int_equal(r.n_asked_cache, 1);
    assert_int_equal(r.n_cached, 0);
    const double first = r.reward;
    r = grade_text(g, "{'answer':'cat'}", "car");
    assert_int_equal(r.n_cached, 1);
    assert_true(r.reward == first && first > 0.6);
    r = grade_text(g, "{'answer':'cut'}", "car");
    assert_int_equal(r.n_cached, 0);
    grader_close(g);
}

static void a_grader_may_say_that_it_is_not(void **state)
{
    (void)state;
    struct grader *g = grader_of(json_of("{" FUZZY ",'deterministic':false}"), NULL);
    struct grade_result r;

    for (int i = 0; i < 2; i++) {
        r = grade_text(g, "{'answer':'cat'}", "car");
        assert_int_equal(r.n_asked_cache, 0);
        assert_int_equal(r.n_cached, 0);
    }
    grader_close(g);
    ASSERT_REFUSED(json_of("{" FUZZY ",'deterministic':0}"), ERR_INVALID, "deterministic",
                   "expected true or false");
}

static void without_room_nothing_is_kept(void **state)
{
    (void)state;
    struct grade_options opt = grade_defaults();
    struct grade_result r;

    opt.cache_bytes = 0;
    struct grader *g = grader_of(json_of("{" FUZZY "}"), &opt);
    for (int i = 0; i < 2; i++) {
        r = grade_text(g, "{'answer':'cat'}", "car");
        assert_int_equal(r.n_cached, 0);
    }
    grader_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_differs_has_a_key_of_its_own),
        cmocka_unit_test(a_score_is_kept_for_its_part_alone),
        cmocka_unit_test(a_failure_is_not_kept),
        cmocka_unit_test(what_was_used_longest_ago_makes_room),
        cmocka_unit_test(of_threads_that_want_the_same_one_computes),
        cmocka_unit_test(where_it_fails_the_others_try_at_once),
        cmocka_unit_test(a_deterministic_grader_runs_once_an_answer),
        cmocka_unit_test(a_grader_may_say_that_it_is_not),
        cmocka_unit_test(without_room_nothing_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
