/*
 * job_request_test.c - bodies of jobs: what is refused, by which name; and how a job shows its method.
 */
#include "base/size.h"
#include "server/job_request.h"
#include "support/support.h"

#include <stdlib.h>

#define GRADER                                                                                     \
    "{\"type\":\"string_check\",\"name\":\"g\",\"input\":\"a\",\"reference\":\"b\","               \
    "\"operation\":\"eq\"}"
#define RFT(more)                                                                                  \
    "{\"model\":\"m\",\"training_file\":\"file-a\",\"method\":{\"type\":\"reinforcement\","        \
    "\"reinforcement\":{\"grader\":" GRADER more "}}"
#define HYPER(h) RFT(",\"hyperparameters\":{" h "}") "}"

static json_t *parse(const char *text)
{
    struct error err = {0};
    json_t *v;

    ASSERT_OK(json_parse(str_of(text), "body", &v, &err));
    return v;
}

static void each_fault_has_its_place_and_name(void **state)
{
    static const struct {
        const char *body, *param, *code;
    } cases[] = {
        {"{}", "model", "missing_required_parameter"},
        {"{\"model\":\"m\"}", "training_file", "missing_required_parameter"},
        {"{\"model\":1,\"training_file\":\"f\"}", "model", "invalid_type"},
        {"{\"model\":\"\",\"training_file\":\"f\"}", "model", NULL},
        {"{\"model\":\"a\\u0001\",\"training_file\":\"f\"}", "model", NULL},
        {HYPER("\"n_epochs\":0"), "method.reinforcement.hyperparameters.n_epochs", NULL},
        {HYPER("\"n_epochs\":51"), "method.reinforcement.hyperparameters.n_epochs", NULL},
        {HYPER("\"n_epochs\":1.5"), "method.reinforcement.hyperparameters.n_epochs",
         "invalid_type"},
        {HYPER("\"batch_size\":\"many\""), "method.reinforcement.hyperparameters.batch_size",
         "invalid_type"},
        {HYPER("\"compute_multiplier\":1e-5"),
         "method.reinforcement.hyperparameters.compute_multiplier", NULL},
        {RFT(",\"response_format\":{\"type\":\"json_schema\"}") "}",
         "method.reinforcement.response_format.schema", "missing_required_parameter"},
        {RFT(",\"response_format\":{\"type\":\"yaml\"}") "}",
         "method.reinforcement.response_format", NULL},
        {RFT("") ",\"suffix\":\"a:b\"}", "suffix", NULL},
        {RFT("") ",\"seed\":2147483648}", "seed", NULL},
        {RFT("") ",\"hone\":{\"nonsense\":1}}", "hone", NULL},
        {RFT("") ",\"hone\":{\"judges\":{}}}", "hone.judges", "unsupported_parameter"},
        {RFT("") ",\"hone\":{\"lora_rank\":513}}", "hone.lora_rank", NULL},
        {RFT("") ",\"hyperparameters\":{\"n_epochs\":1}}", "hyperparameters", NULL},
        {"{\"model\":\"m\",\"training_file\":\"f\",\"method\":{\"type\":\"dpo\",\"dpo\":"
         "{\"hyperparameters\":{\"beta\":2.5}}}}",
         "method.dpo.hyperparameters.beta", NULL},
        {"{\"model\":\"m\",\"training_file\":\"f\",\"method\":{\"type\":\"reinforcement\","
         "\"reinforcement\":{\"grader\":{\"type\":\"multi\",\"graders\":{\"a\":{\"type\":"
         "\"endpoint\"}}}}}}",
         "method.reinforcement.grader", "unsupported_value"},
        {RFT("") ",\"hone\":{\"shadow_graders\":{\"s\":{\"type\":\"endpoint\"}}}}",
         "hone.shadow_graders", "unsupported_value"},
    };
    const struct job_rules rules = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *body = parse(cases[i].body);
        struct arena a = {0};
        struct job_request r;
        struct error err = {0};

        if (job_request_read(body, &rules, &a, &r, &err))
            fail_msg("%s was taken", cases[i].body);
        if (strcmp(err.param, cases[i].param) != 0)
            fail_msg("%s: param \"%s\": %s", cases[i].body, err.param, err.message);
        if (cases[i].code != NULL)
            assert_string_equal(err.code, cases[i].code);
        json_decref(body);
        arena_release(&a);
    }
}

static void what_is_allowed_is_read(void **state)
{
    const struct job_rules rules = {.request_addresses = true};
    json_t *body = parse(
        "{\"model\":\"m\",\"training_file\":\"file-a\",\"validation_file\":\"file-b\","
        "\"suffix\":\"my x\",\"seed\":0,\"metadata\":{\"k\":\"v\"},\"method\":{\"type\":"
        "\"reinforcement\",\"reinforcement\":{\"grader\":{\"type\":\"endpoint\",\"url\":\"http://x\"},"
        "\"response_format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{\"type\":\"object\"}},"
        "\"unknown\":1}},\"hone\":{\"judges\":{\"*\":\"http://y\"},\"shadow_graders\":{\"s\":{}}}}");
    struct arena a = {0};
    struct job_request r;
    struct error err = {0};

    (void)state;
    ASSERT_OK(job_request_read(body, &rules, &a, &r, &err));
    ASSERT_STR(r.model, "m");
    ASSERT_STR(r.validation_file, "file-b");
    assert_string_equal(r.method, "reinforcement");
    assert_string_equal(r.suffix, "my x");
    assert_int_equal(r.seed, 0);
    assert_int_equal(r.n_labels, 1);
    ASSERT_STR(r.labels[0].value, "v");
    assert_non_null(r.grader);
    assert_false(r.has_wandb);
    json_decref(body);
    arena_release(&a);
}

/* A tenant could have the worker send its database's password to an address of his. */
static void only_listed_variables_are_sent(void **state)
{
    static const struct {
        const char *names, *variable;
        bool may;
    } cases[] = {
        {NULL, "A", false},   {"", "A", false},      {"", "", false},       {"A,,B", "", false},
        {"A", "A", true},     {"A, B", "B", true},   {" A ,B ", "A", true}, {"AB,C", "A", false},
        {"A,C", "AB", false}, {"A,B", "A,B", false}, {"a", "A", false},
    };
    struct arena a = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct job_rules rules = {.request_addresses = true, .request_keys = cases[i].names};
        struct job_request r;
        struct error err = {0};

        assert_int_equal(job_may_send(cases[i].names, cases[i].variable), cases[i].may);
        json_t *body = parse(
            arena_printf(&a,
                         RFT("") ",\"hone\":{\"judges\":{\"a\":\"http://x\",\"b\":{\"base_url\":"
                                 "\"http://y\",\"api_key_env\":\"%s\"}}}}",
                         cases[i].variable));
        if (cases[i].may) {
            ASSERT_OK(job_request_read(body, &rules, &a, &r, &err));
        } else {
            ASSERT_FAILS(job_request_read(body, &rules, &a, &r, &err), ERR_UNSUPPORTED,
                         "--request-key-env");
            assert_string_equal(err.param, "hone.judges");
            assert_string_equal(err.code, "unsupported_value");
        }
        json_decref(body);
    }
    arena_release(&a);
}

/* What the worker asks again of a row, whatever it says. */
static void a_row_with_addresses_does_not_stay_here(void **state)
{
    static const struct {
        const char *body, *param; /* NULL: it stays */
    } cases[] = {
        {"null", NULL},
        {"[]", NULL},
        {"{\"hone\":[],\"method\":1}", NULL},
        {RFT("") ",\"hone\":{\"judges\":null,\"embedding_model\":\"e\"}}", NULL},
        {RFT("") ",\"hone\":{\"judges\":{\"*\":\"http://x\"}}}", "hone.judges"},
        {RFT("") ",\"hone\":{\"judges\":7}}", "hone.judges"},
        {RFT("") ",\"hone\":{\"shadow_graders\":{\"s\":{\"type\":\"endpoint\"}}}}",
         "hone.shadow_graders"},
        {"{\"method\":{\"reinforcement\":{\"grader\":{\"type\":\"multi\",\"graders\":{\"a\":{"
         "\"type\":\"endpoint\"}}}}}}",
         "method.reinforcement.grader"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *body = parse(cases[i].body);
        struct error err = {0};

        if (cases[i].param == NULL) {
            ASSERT_OK(job_stays_here(body, &err));
        } else {
            ASSERT_FAILS(job_stays_here(body, &err), ERR_UNSUPPORTED, "--allow-request-addresses");
            assert_string_equal(err.param, cases[i].param);
        }
        json_decref(body);
    }
}

static void auto_is_replaced_by_what_was_settled(void **state)
{
    json_t *body = parse(RFT(",\"unknown\":1,\"hyperparameters\":{\"n_epochs\":\"auto\","
                             "\"batch_size\":3,\"more\":true}") "}");
    json_t *resolved =
        parse("{\"n_epochs\":2,\"batch_size\":8,\"eval_samples\":1,\"lora_rank\":32}");
    json_t *before = job_method_shown(body, "reinforcement", NULL),
           *after = job_method_shown(body, "reinforcement", resolved);
    json_t *want =
        parse("{\"type\":\"reinforcement\",\"reinforcement\":{\"grader\":" GRADER
              ",\"unknown\":1,\"response_format\":null,\"hyperparameters\":{\"n_epochs\":2,"
              "\"batch_size\":3,\"more\":true,\"learning_rate_multiplier\":\"auto\","
              "\"compute_multiplier\":\"auto\",\"eval_interval\":\"auto\","
              "\"eval_samples\":1,\"reasoning_effort\":\"default\"}}}");

    (void)state;
    assert_true(json_equal(after, want));
    json_t *h = json_object_get(json_object_get(before, "reinforcement"), "hyperparameters");
    assert_string_equal(json_string_value(json_object_get(h, "n_epochs")), "auto");
    assert_int_equal(json_integer_value(json_object_get(h, "batch_size")), 3);
    json_decref(before);
    json_decref(after);
    json_decref(want);
    json_decref(resolved);
    json_decref(body);
}

static void the_old_form_of_supervised_is_shown_in_the_new_one(void **state)
{
    json_t *body = parse("{\"hyperparameters\":{\"n_epochs\":4}}");
    json_t *shown = job_method_shown(body, "supervised", NULL);
    json_t *want =
        parse("{\"type\":\"supervised\",\"supervised\":{\"hyperparameters\":{\"n_epochs\":4,"
              "\"batch_size\":\"auto\",\"learning_rate_multiplier\":\"auto\"}}}");

    (void)state;
    assert_true(json_equal(shown, want));
    json_decref(shown);
    json_decref(want);
    json_decref(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_has_its_place_and_name),
        cmocka_unit_test(what_is_allowed_is_read),
        cmocka_unit_test(only_listed_variables_are_sent),
        cmocka_unit_test(a_row_with_addresses_does_not_stay_here),
        cmocka_unit_test(auto_is_replaced_by_what_was_settled),
        cmocka_unit_test(the_old_form_of_supervised_is_shown_in_the_new_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
