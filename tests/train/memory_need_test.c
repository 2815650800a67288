/*
 * memory_need_test.c - the least memory of a job: what the sentence proposes makes it less, and the sentence says what there is.
 */
#include "support/rig.h"
#include "train/memory_need.h"
#include "train/trained.h"

static struct error err;

static double sum(const struct model *m, const struct recipe *r, size_t longest)
{
    const struct memory_need n = memory_need_of(m, NULL, r, longest);

    return memory_need_sum(&n);
}

static void what_is_proposed_needs_less(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_tiny(&rig);
    const struct model *m = rig.model;
    const struct recipe usual = recipe_defaults(&m->config);
    struct recipe r = usual;
    const double was = sum(m, &usual, 40);

    assert_true(was > (double)model_bytes(m));
    r.batch_size = 1;
    assert_true(sum(m, &r, 40) < was);
    r = usual;
    r.pass_rows = 16;
    assert_true(sum(m, &r, 40) < was);
    r = usual;
    r.lora_rank = 8;
    assert_true(sum(m, &r, 40) < was);
    r = usual;
    r.group_size = 2;
    assert_true(sum(m, &r, 40) < was);
    r.group_size = 64;
    assert_true(sum(m, &r, 40) > was);
    rig_close(&rig);
}

/* An update that cannot be undone keeps no copies; rows that say what to answer have no answers to cache. */
static void other_methods_need_what_they_keep(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_tiny(&rig);
    const struct model *m = rig.model;
    const struct recipe rft = recipe_defaults(&m->config),
                        fit = recipe_defaults_of(METHOD_SUPERVISED, &m->config);
    const struct memory_need a = memory_need_of(m, NULL, &rft, 0),
                             b = memory_need_of(m, NULL, &fit, 0);

    assert_true(a.trained - b.trained ==
                3.0 * sizeof(float) * (double)trained_values(&m->config, rft.lora_rank));
    assert_true(a.answers > 0 && b.answers > 0);
    assert_true(a.model == b.model && a.pass > 0 && b.pass > 0);
    rig_close(&rig);
}

static void the_sentence_says_what_would_fit(void **state)
{
    (void)state;

    ASSERT_OK(memory_need_fits(METHOD_DPO, 1e9, 1e8, 1e9, &err));
    ASSERT_FAILS(memory_need_fits(METHOD_DPO, 2.34e9, 1e8, 1e9, &err), ERR_NO_MEMORY,
                 "needs at least 2.34 GB of memory, and a job may have 1.00 GB");
    assert_null(strstr(err.message, "group_size"));
    assert_non_null(strstr(err.message, "--job-memory"));
    ASSERT_FAILS(memory_need_fits(METHOD_REINFORCEMENT, 2e9, 1e6, 12.3e6, &err), ERR_NO_MEMORY,
                 "a job may have 12.3 MB");
    assert_non_null(strstr(err.message, "hone.group_size"));
    assert_true(strlen(err.message) < sizeof err.message - 1);
    /* where the model alone is too large, nothing else helps */
    ASSERT_FAILS(memory_need_fits(METHOD_REINFORCEMENT, 3e9, 2e9, 1e9, &err), ERR_NO_MEMORY,
                 "2.00 GB of it for its model");
    assert_null(strstr(err.message, "group_size"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_proposed_needs_less),
        cmocka_unit_test(other_methods_need_what_they_keep),
        cmocka_unit_test(the_sentence_says_what_would_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
