/*
 * grader_test.c - graders are checked when they are opened, give rewards, and answer as graders/run does.
 */
#include "grade_support.h"

#include <math.h>

#define STRING_CHECK                                                                               \
    "'type':'string_check','name':'n','input':'{{sample.output_text}}','reference':'{{item.answer}}'"

static double check(const char *operation, const char *text, const char *answer)
{
    json_t *spec = json_of("{" STRING_CHECK "}"), *item = json_pack("{s:s}", "answer", answer);
    const struct grade_sample sample = {.output_text = str_of(text)};
    struct grade_result r;

    json_object_set_new(spec, "operation", json_string(operation));
    struct grader *g = grader_of(spec, NULL);
    grader_run(g, item, &sample, &r);
    assert_int_equal(r.flags, 0);
    grader_close(g);
    json_decref(item);
    return r.reward;
}

static void string_check_compares_without_trimming(void **state)
{
    (void)state;
    assert_true(check("eq", "a", "a") == 1);
    assert_true(check("eq", "a ", "a") == 0);
    assert_true(check("ne", "a", "a") == 0);
    assert_true(check("ne", "a", "b") == 1);
    assert_true(check("neq", "a", "b") == 1);
    assert_true(check("like", "the heart.", "heart") == 1);
    assert_true(check("like", "the Heart.", "heart") == 0);
    assert_true(check("like", "heart", "the heart.") == 0);
    assert_true(check("like", "", "") == 1);
    assert_true(check("like", "a", "") == 1);
    assert_true(check("like", "", "a") == 0);
}

static void ilike_folds_the_case_of_every_script(void **state)
{
    (void)state;
    assert_true(check("ilike", "the Heart.", "hEART") == 1);
    assert_true(check("ilike", "STRASSE", "stra\xc3\x9f\x65") == 1);                  /* sharp s */
    assert_true(check("ilike", "\xce\x9f\xce\x94\xce\x9f\xce\xa3", "\xcf\x83") == 1); /* sigma */
    assert_true(check("ilike", "\xce\xbf\xce\xb4\xce\xbf\xcf\x82", "\xce\xa3") ==
                1);                                           /* final sigma */
    assert_true(check("ilike", "\xd0\x96", "\xd0\xb6") == 1); /* Cyrillic */
    assert_true(check("ilike", "abc", "d") == 0);
    assert_true(check("ilike", "", "") == 1);
}

static void a_missing_or_wrong_key_is_refused_by_its_path(void **state)
{
    (void)state;
    ASSERT_REFUSED(json_of("[]"), ERR_INVALID, "grader", "an object");
    ASSERT_REFUSED(json_of("{}"), ERR_INVALID, "type", "expected a string");
    ASSERT_REFUSED(json_of("{'type':7}"), ERR_INVALID, "type", "expected a string");
    ASSERT_REFUSED(
        json_of("{'type':'strong_check'}"), ERR_INVALID, "type",
        "\"strong_check\" is no grader; there are string_check, text_similarity, python, "
        "score_model, label_model, endpoint, multi");
    ASSERT_REFUSED(json_of("{" STRING_CHECK "}"), ERR_INVALID, "operation", "it is missing");
    ASSERT_REFUSED(json_of("{" STRING_CHECK ",'operation':'is'}"), ERR_INVALID, "operation",
                   "eq, ne, like, ilike");
    ASSERT_REFUSED(json_of("{" STRING_CHECK ",'operation':[]}"), ERR_INVALID, "operation",
                   "found a list");
    ASSERT_REFUSED(json_of("{'type':'string_check','name':'n','input':'x','operation':'eq'}"),
                   ERR_INVALID, "reference", "it is missing");
    ASSERT_REFUSED(
        json_of(
            "{'type':'string_check','name':'n','input':'{{x.y}}','reference':'','operation':'eq'}"),
        ERR_INVALID, "input", "only item and sample");
    ASSERT_REFUSED(json_of("{'type':'string_check','input':'','reference':'','operation':'eq'}"),
                   ERR_INVALID, "name", "needs a name");
    ASSERT_REFUSED(
        json_of("{'type':'string_check','name':1,'input':'','reference':'','operation':'eq'}"),
        ERR_INVALID, "name", "expected a string");
    ASSERT_REFUSED(json_of("{'type':'python','name':'p'}"), ERR_INVALID, "source", "it is missing");
}

static void what_is_known_and_not_offered_says_so(void **state)
{
    (void)state;
    ASSERT_REFUSED(
        json_of(
            "{'type':'text_similarity','name':'n','input':'','reference':'','evaluation_metric':"
            "'cosine'}"),
        ERR_UNSUPPORTED, "evaluation_metric",
        "cosine cannot be computed here: it compares texts by an embedding model, and none is there");
    ASSERT_REFUSED(
        json_of(
            "{'type':'text_similarity','name':'n','input':'','reference':'','evaluation_metric':'x'}"),
        ERR_INVALID, "evaluation_metric", "\"x\" is no metric");
}

#define MEMBER(name, operation) "'" name "':{" STRING_CHECK ",'operation':'" operation "'}"
#define MULTI(formula)                                                                             \
    "{'type':'multi','graders':{" MEMBER("a", "eq") "," MEMBER(                                    \
        "b", "like") "},'calculate_output':'" formula "'}"

static void a_multi_computes_its_formula(void **state)
{
    (void)state;
    struct grader *g = grader_of(json_of(MULTI("0.75 * a + 0.25 * b")), NULL);
    struct grade_result r = grade_text(g, "{'answer':'x'}", "x!");

    assert_int_equal(grader_count(g), 2);
    assert_string_equal(grader_name(g, 0), "a");
    assert_string_equal(grader_name(g, 1), "b");
    assert_string_equal(grader_type(g, 1), "string_check");
    assert_int_equal(r.n_parts, 2);
    assert_true(r.part[0] == 0 && r.part[1] == 1 && r.reward == 0.25);
    r = grade_text(g, "{'answer':'x'}", "x");
    assert_true(r.reward == 1 && r.flags == 0 && r.details[0] == '\0');
    grader_close(g);
}

static void a_multi_may_be_a_list_of_named_graders(void **state)
{
    (void)state;
    struct grader *g =
        grader_of(json_of("{'type':'multi','graders':[{'type':'string_check','name':'m',"
                          "'input':'1','reference':'1','operation':'eq'}],'calculate_output':'m'}"),
                  NULL);

    assert_true(grade_text(g, "{}", "").reward == 1);
    grader_close(g);
}

static void a_broken_multi_is_refused_by_its_path(void **state)
{
    (void)state;
    ASSERT_REFUSED(json_of("{'type':'multi','calculate_output':'1'}"), ERR_INVALID, "graders",
                   "found nothing");
    ASSERT_REFUSED(json_of("{'type':'multi','graders':{},'calculate_output':'1'}"), ERR_INVALID,
                   "graders", "at least one");
    ASSERT_REFUSED(json_of("{'type':'multi','graders':{'a':7},'calculate_output':'1'}"),
                   ERR_INVALID, "graders.a", "graders.a is a");
    ASSERT_REFUSED(json_of("{'type':'multi','graders':{'r':{" STRING_CHECK
                           ",'operation':'x'}},'calculate_output':'r'}"),
                   ERR_INVALID, "graders.r.operation", "is no operation");
    ASSERT_REFUSED(
        json_of("{'type':'multi','graders':{'r':{'type':'multi'}},'calculate_output':'r'}"),
        ERR_INVALID, "graders.r.type", "cannot stand inside another");
    ASSERT_REFUSED(json_of("{'type':'multi','graders':{" MEMBER("a", "eq") "}}"), ERR_INVALID,
                   "calculate_output", "found nothing");
    ASSERT_REFUSED(json_of(MULTI("a + c")), ERR_INVALID, "calculate_output",
                   "\"c\" at character 5, which is none of the graders");
    ASSERT_REFUSED(json_of(MULTI("a +")), ERR_INVALID, "calculate_output", "ends where");
    ASSERT_REFUSED(
        json_of("{'type':'multi','graders':[{'type':'string_check'}],'calculate_output':'1'}"),
        ERR_INVALID, "graders", "has no name");
    ASSERT_REFUSED(json_of("{'type':'multi','graders':[{" STRING_CHECK
                           ",'operation':'eq'},{" STRING_CHECK
                           ",'operation':'eq'}],'calculate_output':'1'}"),
                   ERR_INVALID, "graders", "two graders of the list are named \"n\"");
}

static void more_graders_than_the_limit_are_refused(void **state)
{
    (void)state;
    json_t *spec = json_of("{'type':'multi','graders':{},'calculate_output':'1'}");
    char key[8];

    for (int i = 0; i <= GRADE_MAX_PARTS; i++) {
        snprintf(key, sizeof key, "g%d", i);
        json_object_set_new(json_object_get(spec, "graders"), key,
                            json_of("{" STRING_CHECK ",'operation':'eq'}"));
    }
    ASSERT_REFUSED(spec, ERR_LIMIT, "graders", "more than a multi may have");
}

static void a_part_that_fails_makes_the_whole_zero(void **state)
{
    (void)state;
    struct grader *g = grader_of(
        json_of("{'type':'multi','graders':{'ok':{" STRING_CHECK
                ",'operation':'ne'},'penalty':{'type':'string_check','input':'{{item.gone}}',"
                "'reference':'','operation':'eq'}},'calculate_output':'ok + 1 - penalty'}"),
        NULL);
    const struct grade_result r = grade_text(g, "{'answer':'x'}", "y");

    assert_true(r.reward == 0 && r.part[0] == 1 && r.part[1] == 0);
    assert_int_equal(r.flags, GRADE_INVALID_VARIABLE_ERROR);
    assert_int_equal(r.part_flags[0], 0);
    assert_int_equal(r.part_flags[1], GRADE_INVALID_VARIABLE_ERROR);
    assert_string_equal(r.details, "penalty: the row has no item.gone");
    grader_close(g);
}

static void a_shadow_is_measured_and_never_rewarded(void **state)
{
    (void)state;
    json_t *shadows = json_of(
        "{'other':{" STRING_CHECK ",'operation':'ne'},'gone':{'type':"
        "'string_check','input':'{{sample.output_json.x}}','reference':'','operation':'eq'}}");
    struct grade_options opt = grade_defaults();

    opt.shadows = shadows;
    struct grader *g = grader_of(json_of("{" STRING_CHECK ",'operation':'eq'}"), &opt);
    json_decref(shadows); /* it was copied */
    const struct grade_result r = grade_text(g, "{'answer':'x'}", "y");

    assert_int_equal(grader_count(g), 3);
    assert_true(!grader_is_shadow(g, 0) && grader_is_shadow(g, 1) && grader_is_shadow(g, 2));
    assert_string_equal(grader_name(g, 1), "other");
    assert_true(r.reward == 0 && r.part[0] == 0 && r.part[1] == 1);
    assert_int_equal(r.flags, 0); /* its failure is its own */
    assert_string_equal(r.details, "");
    assert_int_equal(r.part_flags[2], GRADE_SAMPLE_PARSE_ERROR);
    grader_close(g);
}

static void a_shadow_that_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *shadows, *param, *says;
    } cases[] = {
        {"[]", "shadow_graders", "expected a map"},
        {"{'n':{" STRING_CHECK ",'operation':'eq'}}", "shadow_graders", "\"n\" is the name"},
        {"{'m':{'type':'multi'}}", "shadow_graders.m.type", "cannot stand inside"},
        {"{'m':{" STRING_CHECK ",'operation':'no'}}", "shadow_graders.m.operation", "\"no\""},
        {"{'m':1}", "shadow_graders.m", "shadow_graders.m is a number"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *shadows = json_of(cases[i].shadows),
               *spec = json_of("{" STRING_CHECK ",'operation':'eq'}");
        struct grade_options opt = grade_defaults();
        struct grader *g = NULL;
        struct error err = {0};

        opt.shadows = shadows;
        assert_false(grader_open(spec, &opt, &g, &err));
        assert_string_equal(err.param, cases[i].param);
        if (strstr(err.message, cases[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].says);
        json_decref(shadows);
        json_decref(spec);
    }
}

static void a_formula_that_is_not_finite_gives_zero_and_a_flag(void **state)
{
    (void)state;
    struct grader *g = grader_of(json_of(MULTI("a / (b - 1)")), NULL);
    const struct grade_result r = grade_text(g, "{'answer':'x'}", "x");

    assert_true(r.reward == 0);
    assert_int_equal(r.flags, GRADE_OTHER_ERROR);
    ASSERT_SAYS(r, "a quotient is not a finite number");
    grader_close(g);
}

static void an_answer_that_is_not_json_is_a_parse_error(void **state)
{
    (void)state;
    struct grader *g =
        grader_of(json_of("{'type':'string_check','name':'n','input':'{{sample.output_json.a}}',"
                          "'reference':'1','operation':'eq'}"),
                  NULL);
    struct grade_result r = grade_text(g, "{}", "no");
    json_t *json = json_of("{'a':1}");
    const struct grade_sample sample = {.output_text = STR("{\"a\":1}"), .output_json = json};

    assert_int_equal(r.flags, GRADE_SAMPLE_PARSE_ERROR);
    grader_run(g, NULL, &sample, &r);
    assert_true(r.reward == 1 && r.flags == 0);
    json_decref(json);
    grader_close(g);
}

static void an_answer_that_is_json_is_read(void **state)
{
    (void)state;
    struct grader *g =
        grader_of(json_of("{'type':'string_check','name':'n','input':'{{sample.output_json[1].a}}',"
                          "'reference':'5','operation':'eq'}"),
                  NULL);
    static const char *const not_json[] = {"[1,{'a'", "1,{'a':1}", "[1,{'a':2,'a':2}]", "\xff",
                                           "{\0}"};
    struct grade_result r = grade_text(g, "{}", " \n[0, {\"a\": 5}]\n");

    assert_true(r.reward == 1 && r.flags == 0);
    for (size_t i = 0; i < sizeof not_json / sizeof *not_json; i++) {
        r = grade_text(g, "{}", not_json[i]);
        assert_int_equal(r.flags, GRADE_SAMPLE_PARSE_ERROR);
    }
    grader_close(g);
}

static void a_sample_cut_off_before_its_answer_is_not_graded(void **state)
{
    (void)state;
    struct grader *g =
        grader_of(json_of("{'type':'string_check','name':'n','input':'{{sample.output_text}}',"
                          "'reference':'x','operation':'ne'}"),
                  NULL);
    struct grade_sample sample = {.output_text = STR(" \n"), .truncated = true};
    struct grade_result r;

    grader_run(g, NULL, &sample, &r);
    assert_true(r.reward == 0);
    assert_int_equal(r.flags, GRADE_TRUNCATED_OBSERVATION_ERROR);
    sample.output_text = STR("y"); /* some answer is an answer */
    grader_run(g, NULL, &sample, &r);
    assert_true(r.reward == 1 && r.flags == 0);
    sample = (struct grade_sample){.output_text =
                                       STR("")}; /* and so is an empty one that ended by itself */
    grader_run(g, NULL, &sample, &r);
    assert_true(r.reward == 1 && r.flags == 0);
    grader_close(g);
}

static void a_sample_without_an_answer_is_not_graded(void **state)
{
    (void)state;
    struct grader *g =
        grader_of(json_of("{'type':'string_check','name':'n','input':'{{sample.output_text}}',"
                          "'reference':'x','operation':'ne'}"),
                  NULL);
    struct grade_sample sample = {.output_text = STR("\n"), .unanswered = true};
    json_t *tools = json_of("[{}]");
    struct grade_result r;

    grader_run(g, NULL, &sample, &r);
    assert_true(r.reward == 0);
    assert_int_equal(r.flags, GRADE_UNRESPONSIVE_REWARD_ERROR);
    ASSERT_SAYS(r, "ended without an answer");
    sample.output_tools = tools; /* a call of a tool is an answer */
    grader_run(g, NULL, &sample, &r);
    assert_true(r.reward == 1 && r.flags == 0);
    json_decref(tools);
    grader_close(g);
}

static void a_row_without_a_key_is_told_before_grading(void **state)
{
    (void)state;
    struct error err = {0};
    struct grader *g = grader_of(json_of(MULTI("a + b")), NULL);
    json_t *good = json_of("{'answer':''}"), *bad = json_of("{'anwser':''}");

    ASSERT_OK(grader_check_item(g, good, "train.jsonl, line 14", &err));
    ASSERT_FAILS(grader_check_item(g, bad, "train.jsonl, line 14", &err), ERR_INVALID,
                 "train.jsonl, line 14 has no item.answer, which the grader \"a\" reads");
    json_decref(good);
    json_decref(bad);
    grader_close(g);
}

static void fuzzy_match_grades_similarity(void **state)
{
    (void)state;
    struct grader *g =
        grader_of(json_of("{'type':'text_similarity','name':'n','input':'{{sample.output_text}}',"
                          "'reference':'{{item.answer}}','evaluation_metric':'fuzzy_match',"
                          "'pass_threshold':0.5}"),
                  NULL);

    ASSERT_NEAR(grade_text(g, "{'answer':'kitten'}", "sitting").reward, 8.0 / 13, 1e-12);
    ASSERT_NEAR(grade_text(g, "{'answer':''}", "").reward, 1, 0);
    assert_int_equal(grade_text(g, "{}", "x").flags, GRADE_INVALID_VARIABLE_ERROR);
    grader_close(g);
}

/* Vectors of the letters' counts: "ab" and "ba" are the same, "ab" and "cd" have nothing in common. */
static bool embed(void *ctx, struct str text, struct arena *a, const float **vector, size_t *n,
                  struct error *err)
{
    float *v = ARENA_ARRAY(a, float, 256);

    (void)ctx;
    for (size_t i = 0; i < text.len; i++)
        v[(unsigned char)text.ptr[i]]++;
    *vector = v;
    *n = 256;
    return text.len < 9 || fail(err, ERR_LIMIT, "the text is too long to embed");
}

static void cosine_grades_by_the_vectors_that_it_is_given(void **state)
{
    (void)state;
    const struct grade_services services = {.embed = embed};
    struct grade_options opt = grade_defaults();

    opt.services = &services;
    struct grader *g =
        grader_of(json_of("{'type':'text_similarity','name':'n','input':'{{sample.output_text}}',"
                          "'reference':'{{item.answer}}','evaluation_metric':'cosine'}"),
                  &opt);
    assert_true(grade_text(g, "{'answer':'ab'}", "ba").reward == 1);
    assert_true(grade_text(g, "{'answer':'ab'}", "cd").reward == 0);
    assert_true(fabs(grade_text(g, "{'answer':'ab'}", "ac").reward - 0.5) < 1e-12);
    assert_true(grade_text(g, "{'answer':''}", "a").reward == 0);
    const struct grade_result r = grade_text(g, "{'answer':'ab'}", "123456789");
    assert_int_equal(r.flags, GRADE_OTHER_ERROR);
    ASSERT_SAYS(r, "too long to embed");
    grader_close(g);
}

static void metrics_of_words_grade_similarity(void **state)
{
    (void)state;
    struct grader *g =
        grader_of(json_of("{'type':'text_similarity','name':'n','input':'{{sample.output_text}}',"
                          "'reference':'{{item.answer}}','evaluation_metric':'rouge_2'}"),
                  NULL);

    /* 1 of its 3 pairs of words, the 1 wanted */
    ASSERT_NEAR(grade_text(g, "{'answer':'Marfan syndrome'}", "It is Marfan syndrome.").reward, 0.5,
                1e-12);
    grader_close(g);
    g = grader_of(json_of("{'type':'text_similarity','name':'n','input':'{{sample.output_text}}',"
                          "'reference':'{{item.answer}}','evaluation_metric':'bleu'}"),
                  NULL);
    /* the answer is what is too short, not the reference: exp(1 - 8/4) */
    ASSERT_NEAR(grade_text(g, "{'answer':'a b c d e f g h'}", "a b c d").reward, exp(-1), 1e-12);
    grader_close(g);
}

static void a_fault_of_the_answer_is_not_the_graders(void **state)
{
    (void)state;
    static const unsigned answers[] = {GRADE_SAMPLE_PARSE_ERROR, GRADE_TRUNCATED_OBSERVATION_ERROR,
                                       GRADE_UNRESPONSIVE_REWARD_ERROR,
                                       GRADE_INVALID_VARIABLE_ERROR, GRADE_MODEL_REFUSAL_ERROR},
                          graders[] = {GRADE_FORMULA_PARSE_ERROR, GRADE_OTHER_ERROR,
                                       GRADE_PYTHON_SERVER_ERROR, GRADE_PYTHON_RUNTIME_ERROR,
                                       GRADE_MODEL_SERVER_ERROR,  GRADE_MODEL_PARSE_ERROR};
    unsigned all = 0;

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++, all = 0)
        assert_false(grade_grader_failed(&(struct grade_result){.flags = answers[i]}));
    for (size_t i = 0; i < sizeof graders / sizeof *graders; i++) {
        assert_true(grade_grader_failed(&(struct grade_result){.flags = graders[i]}));
        all |= graders[i];
        assert_true(grade_grader_failed(&(struct grade_result){.flags = all | answers[0]}));
    }
    assert_false(grade_grader_failed(&(struct grade_result){.flags = 0}));
}

static void unknown_keys_are_kept_and_echoed(void **state)
{
    (void)state;
    json_t *spec = json_of("{" STRING_CHECK ",'operation':'eq','id':7,'pass_threshold':0.5}");
    struct grader *g = grader_of(json_incref(spec), NULL);

    assert_true(json_equal(grader_spec(g), spec));
    assert_ptr_not_equal(grader_spec(g), spec);
    json_decref(spec);
    grader_close(g);
}

static void the_response_has_every_member_of_the_api(void **state)
{
    (void)state;
    static const char *const errors[] = {
        "formula_parse_error",         "sample_parse_error",
        "truncated_observation_error", "unresponsive_reward_error",
        "invalid_variable_error",      "other_error",
        "python_grader_server_error",  "python_grader_server_error_type",
        "python_grader_runtime_error", "python_grader_runtime_error_details",
        "model_grader_server_error",   "model_grader_server_error_details",
        "model_grader_refusal_error",  "model_grader_parse_error"};
    struct grader *g = grader_of(json_of(MULTI("a + b")), NULL);
    struct grade_result r = grade_text(g, "{'answer':'x'}", "x!");
    json_t *body = grade_response(g, &r),
           *e = json_object_get(json_object_get(body, "metadata"), "errors");
    json_t *want = json_of("{'a':0.0,'b':1.0}"), *empty = json_object();

    assert_true(json_real_value(json_object_get(body, "reward")) == 1);
    assert_true(json_equal(json_object_get(body, "sub_rewards"), want));
    assert_true(json_equal(json_object_get(body, "model_grader_token_usage_per_model"), empty));
    assert_int_equal(json_object_size(e), 14);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        const json_t *v = json_object_get(e, errors[i]);

        assert_non_null(v);
        assert_true(strstr(errors[i], "_type") != NULL || strstr(errors[i], "_details") != NULL
                        ? json_is_null(v)
                        : json_is_false(v));
    }
    json_t *m = json_object_get(body, "metadata");
    assert_string_equal(json_string_value(json_object_get(m, "type")), "multi");
    assert_string_equal(json_string_value(json_object_get(m, "name")), "multi");
    assert_true(json_is_real(json_object_get(m, "execution_time")));
    assert_true(json_is_null(json_object_get(m, "token_usage")));
    assert_true(json_is_null(json_object_get(m, "sampled_model_name")));
    assert_true(json_equal(json_object_get(m, "scores"), empty));
    json_decref(body);
    r.flags = GRADE_PYTHON_RUNTIME_ERROR | GRADE_INVALID_VARIABLE_ERROR;
    snprintf(r.details, sizeof r.details, "cut \xe6\xbc"); /* inside a character */
    body = grade_response(g, &r);
    e = json_object_get(json_object_get(body, "metadata"), "errors");
    assert_true(json_is_true(json_object_get(e, "python_grader_runtime_error")));
    assert_true(json_is_true(json_object_get(e, "invalid_variable_error")));
    assert_true(json_is_string(json_object_get(e, "python_grader_runtime_error_details")));
    json_decref(body);
    json_decref(want);
    json_decref(empty);
    grader_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(string_check_compares_without_trimming),
        cmocka_unit_test(ilike_folds_the_case_of_every_script),
        cmocka_unit_test(a_missing_or_wrong_key_is_refused_by_its_path),
        cmocka_unit_test(what_is_known_and_not_offered_says_so),
        cmocka_unit_test(a_multi_computes_its_formula),
        cmocka_unit_test(a_multi_may_be_a_list_of_named_graders),
        cmocka_unit_test(a_broken_multi_is_refused_by_its_path),
        cmocka_unit_test(more_graders_than_the_limit_are_refused),
        cmocka_unit_test(a_part_that_fails_makes_the_whole_zero),
        cmocka_unit_test(a_shadow_is_measured_and_never_rewarded),
        cmocka_unit_test(a_shadow_that_cannot_be_is_refused),
        cmocka_unit_test(a_formula_that_is_not_finite_gives_zero_and_a_flag),
        cmocka_unit_test(an_answer_that_is_not_json_is_a_parse_error),
        cmocka_unit_test(an_answer_that_is_json_is_read),
        cmocka_unit_test(a_sample_cut_off_before_its_answer_is_not_graded),
        cmocka_unit_test(a_sample_without_an_answer_is_not_graded),
        cmocka_unit_test(a_row_without_a_key_is_told_before_grading),
        cmocka_unit_test(fuzzy_match_grades_similarity),
        cmocka_unit_test(cosine_grades_by_the_vectors_that_it_is_given),
        cmocka_unit_test(metrics_of_words_grade_similarity),
        cmocka_unit_test(a_fault_of_the_answer_is_not_the_graders),
        cmocka_unit_test(unknown_keys_are_kept_and_echoed),
        cmocka_unit_test(the_response_has_every_member_of_the_api),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
