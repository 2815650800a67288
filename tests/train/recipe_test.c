/*
 * recipe_test.c - what a job's body may say, and how a mistake in it is named.
 */
#include "base/size.h"
#include "support/support.h"
#include "train/recipe.h"

static const struct model_config small = {.width = 576}, large = {.width = 2048};

static bool read(const char *body, struct recipe *out, struct error *err)
{
    json_t *job = NULL;

    if (!json_parse(str_of(body), "the job", &job, err))
        return false;
    const bool ok = recipe_from_job(job, &small, out, err);
    json_decref(job);
    return ok;
}

#define JOB(hyper, ours)                                                                           \
    "{\"method\":{\"type\":\"reinforcement\",\"reinforcement\":{\"grader\":{},"                    \
    "\"hyperparameters\":" hyper "}},\"seed\":7,\"hone\":" ours "}"

#define OF(type, hyper, ours)                                                                      \
    "{\"method\":{\"type\":\"" type "\",\"" type "\":{\"hyperparameters\":" hyper                  \
    "}},\"hone\":" ours "}"
#define SFT(hyper, ours) OF("supervised", hyper, ours)
#define DPO(hyper, ours) OF("dpo", hyper, ours)

static void a_body_without_method_is_supervised(void **state)
{
    (void)state;
    struct recipe r;
    struct error err;

    ASSERT_OK(read("{\"method\":null,\"hone\":null}", &r, &err));
    assert_int_equal(r.method, METHOD_SUPERVISED);
    assert_int_equal(r.batch_size, 0);
    assert_int_equal(r.n_epochs, 0);
    assert_true(r.learning_rate_multiplier == 1);
    ASSERT_OK(read("{\"hyperparameters\":{\"batch_size\":3,\"n_epochs\":\"auto\"}}", &r, &err));
    assert_int_equal(r.batch_size, 3);
    assert_int_equal(r.n_epochs, 0);
    ASSERT_OK(read("{\"method\":{\"type\":\"supervised\"},"
                   "\"hyperparameters\":{\"n_epochs\":7}}",
                   &r, &err));
    assert_int_equal(r.n_epochs, 7);
    ASSERT_OK(read("{\"method\":{\"type\":\"dpo\"}}", &r, &err));
    assert_int_equal(r.method, METHOD_DPO);
    assert_true(r.beta == 0.1);
}

static void settings_of_dpo_can_be_given_back(void **state)
{
    (void)state;
    struct recipe r, again;
    struct error err;
    struct buf b;

    ASSERT_OK(read(DPO("{\"beta\":0.3,\"batch_size\":2,\"n_epochs\":4}",
                       "{\"schedule\":\"constant\",\"warmup_steps\":3,\"eval_interval\":5,"
                       "\"checkpoint_interval\":6,\"max_steps\":9}"),
                   &r, &err));
    json_t *method = json_pack("{s:s, s:{s:o}}", "type", "dpo", "dpo", "hyperparameters",
                               recipe_hyperparameters(&r));
    json_t *job = json_pack("{s:o, s:o}", "method", method, "hone", recipe_all(&r));
    buf_init(&b, 1 << 16);
    json_write(&b, job, NULL);
    ASSERT_OK(read(b.ptr, &again, &err));
    assert_true(again.beta == 0.3 && again.schedule == RATE_CONSTANT);
    assert_int_equal(again.batch_size, 2);
    assert_int_equal(again.n_epochs, 4);
    assert_int_equal(again.warmup_steps, 3);
    assert_int_equal(again.eval_interval, 5);
    assert_int_equal(again.checkpoint_interval, 6);
    assert_int_equal(again.max_steps, 9);
    buf_release(&b);
    json_decref(job);
}

static void auto_and_missing_mean_the_default(void **state)
{
    (void)state;
    struct recipe r;
    struct error err;
    const struct recipe d = recipe_defaults(&small);

    ASSERT_OK(read(JOB("{\"batch_size\":\"auto\",\"n_epochs\":null}", "{\"group_size\":\"auto\"}"),
                   &r, &err));
    assert_int_equal(r.batch_size, d.batch_size);
    assert_int_equal(r.n_epochs, 0);
    assert_int_equal(r.group_size, 0);
    assert_int_equal(r.seed, 7);
    assert_true(r.learning_rate == d.learning_rate);
}

static void every_setting_that_is_shown_can_be_given_back(void **state)
{
    (void)state;
    struct recipe r, again;
    struct error err;
    struct buf b;

    ASSERT_OK(read(
        JOB("{\"batch_size\":4,\"n_epochs\":3,\"eval_interval\":7,\"eval_samples\":2,"
            "\"learning_rate_multiplier\":0.5,\"compute_multiplier\":2,\"reasoning_effort\":\"low\"}",
            "{\"max_steps\":9,\"group_size\":16,\"max_tokens\":12,\"max_prompt_tokens\":100,"
            "\"temperature\":0.8,\"advantage_scale\":\"group\",\"max_negatives\":0}"),
        &r, &err));
    json_t *method = json_pack("{s:s, s:{s:{}, s:o}}", "type", "reinforcement", "reinforcement",
                               "grader", "hyperparameters", recipe_hyperparameters(&r));
    json_t *job = json_pack("{s:o, s:i, s:o}", "method", method, "seed", 7, "hone", recipe_all(&r));
    buf_init(&b, 1 << 16);
    json_write(&b, job, NULL);
    ASSERT_OK(read(b.ptr, &again, &err));
    json_t *shown[] = {recipe_all(&r), recipe_all(&again), recipe_hyperparameters(&r),
                       recipe_hyperparameters(&again)};
    assert_true(json_equal(shown[0], shown[1]));
    assert_true(json_equal(shown[2], shown[3]));
    assert_string_equal(again.suffix, r.suffix);
    assert_int_equal(again.group_auto, r.group_auto);
    assert_memory_equal(&again.advantage, &r.advantage, sizeof r.advantage);
    assert_int_equal(again.batch_size, 4);
    assert_int_equal(again.n_epochs, 3);
    assert_int_equal(again.eval_interval, 7);
    assert_int_equal(again.eval_samples, 2);
    assert_true(again.learning_rate_multiplier == 0.5 && again.compute_multiplier == 2);
    assert_string_equal(again.reasoning_effort, "low");
    assert_int_equal(again.seed, 7);
    assert_int_equal(again.max_steps, 9);
    assert_int_equal(again.group_size, 16);
    assert_int_equal(again.max_tokens, 12);
    assert_int_equal(again.max_prompt_tokens, 100);
    assert_true(again.temperature == 0.8);
    assert_int_equal(again.advantage.scale, ADVANTAGE_SCALE_GROUP);
    assert_int_equal(again.max_negatives, 0);
    for (size_t i = 0; i < COUNT_OF(shown); i++)
        json_decref(shown[i]);
    buf_release(&b);
    json_decref(job);
}

static void mistakes_are_named_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"[1]", "a job is a JSON object"},
        {"{\"method\":\"dpo\"}", "\"method\" is a string"},
        {"{\"method\":{}}", "\"type\""},
        {"{\"method\":{\"type\":\"sft\"}}",
         "\"method.type\" is \"sft\", \"reinforcement\", \"supervised\" and \"dpo\""},
        {"{\"method\":{\"type\":\"dpo\",\"dpo\":[]}}", "\"method.dpo\" is a list"},
        {DPO("{\"beta\":0}", "{}"), "\"method.dpo.hyperparameters.beta\" is 0"},
        {DPO("{\"beta\":2.5}", "{}"), "expected 1e-09 to 2"},
        {SFT("{\"beta\":0.1}", "{}"),
         "\"method.supervised.hyperparameters.beta\" is no hyperparameter of method supervised"},
        {SFT("{\"n_epochs\":0}", "{}"), "hyperparameters.n_epochs\" is 0"},
        {SFT("{}", "{\"group_size\":8}"), "\"hone.group_size\" is no setting of a supervised job"},
        {DPO("{}", "{\"reasoning\":{}}"), "\"hone.reasoning\" is no setting of a dpo job"},
        {DPO("{}", "{\"schedule\":\"cosine\"}"), "\"hone.schedule\" must be"},
        {"{\"hyperparameters\":{\"batch_size\":0}}", "\"hyperparameters.batch_size\" is 0"},
        {JOB("{}", "{\"schedule\":\"linear\"}"), "no setting of a reinforcement job"},
        {"{\"method\":{\"type\":\"reinforcement\"}}", "method.reinforcement"},
        {JOB("{\"batch_size\":0}", "{}"), "hyperparameters.batch_size\" is 0"},
        {JOB("{\"batch_size\":257}", "{}"), "expected 1 to 256"},
        {JOB("{\"batch_size\":\"many\"}", "{}"), "a number or \"auto\""},
        {JOB("{\"n_epochs\":1.5}", "{}"), "a whole number"},
        {JOB("{\"n_epochs\":51}", "{}"), "expected 1 to 50"},
        {JOB("{\"compute_multiplier\":11}", "{}"), "compute_multiplier"},
        {JOB("{\"reasoning_effort\":\"huge\"}", "{}"), "reasoning_effort"},
        {JOB("{}", "{\"groupsize\":8}"), "\"hone.groupsize\" is no setting"},
        {JOB("{}", "{\"group_size\":1}"), "hone.group_size\" is 1"},
        {JOB("{}", "{\"advantage_scale\":\"loud\"}"), "advantage_scale"},
        {JOB("[]", "{}"), "\"hyperparameters\" is a list"},
        {JOB("{}", "3"), "\"hone\" is a number"},
    };
    struct recipe r;
    struct error err;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        err = (struct error){0};
        assert_false(read(cases[i].body, &r, &err));
        if (strstr(err.message, cases[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].says);
    }
}

static void the_rate_falls_with_the_width(void **state)
{
    (void)state;
    ASSERT_NEAR(recipe_defaults(&small).learning_rate, 2e-4, 2e-6);
    ASSERT_NEAR(recipe_defaults(&large).learning_rate, 4e-5, 1e-9);
}

static void full_fine_tuning_has_a_rate_of_its_own(void **state)
{
    (void)state;
    struct recipe r;
    struct error err;

    ASSERT_OK(read(JOB("{}", "{\"lora_rank\":0}"), &r, &err));
    assert_true(r.learning_rate == 1e-6);
    ASSERT_OK(read(JOB("{}", "{\"lora_rank\":0,\"learning_rate\":3e-5}"), &r, &err));
    assert_true(r.learning_rate == 3e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_and_missing_mean_the_default),
        cmocka_unit_test(every_setting_that_is_shown_can_be_given_back),
        cmocka_unit_test(a_body_without_method_is_supervised),
        cmocka_unit_test(settings_of_dpo_can_be_given_back),
        cmocka_unit_test(mistakes_are_named_with_their_place),
        cmocka_unit_test(the_rate_falls_with_the_width),
        cmocka_unit_test(full_fine_tuning_has_a_rate_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
