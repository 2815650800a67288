/*
 * model_grader_test.c - score_model and label_model: what is asked, what becomes of each reply, what is refused.
 */
#include "base/clock.h"
#include "base/size.h"
#include "grade_support.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_ASKED 8

/* A judge that replies from a list, the last one again and again, and keeps the questions. */
struct judge {
    const char *replies[4]; /* NULL: fails; "refuse:..." refuses */
    double takes_s;         /* for each reply */
    enum error_kind kind;   /* of a failure */
    size_t n;
    char asked[MAX_ASKED][4096]; /* the messages */
    char form[4096], sampling[256], model[64];
    double deadline;
};

static void keep(const json_t *v, char *out, size_t size)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    if (v != NULL)
        json_write(&b, v, NULL);
    snprintf(out, size, "%.*s", (int)b.len, buf_view(&b).ptr);
    buf_release(&b);
}

static bool reply(void *ctx, const struct grade_question *q, struct arena *a,
                  struct grade_reply *out, struct error *err)
{
    struct judge *j = ctx;
    size_t i = 0;

    while (i < j->n && i + 1 < COUNT_OF(j->replies) && j->replies[i + 1] != NULL)
        i++;
    assert_true(j->n < MAX_ASKED);
    keep(q->messages, j->asked[j->n++], sizeof j->asked[0]);
    keep(q->response_format, j->form, sizeof j->form);
    keep(q->sampling, j->sampling, sizeof j->sampling);
    snprintf(j->model, sizeof j->model, "%s", q->model);
    j->deadline = q->deadline;
    if (j->takes_s > 0)
        clock_sleep_until(clock_seconds() + j->takes_s);
    if (j->replies[i] == NULL)
        return fail(err, ERR_IO, "the judge is out");
    if (clock_seconds() > q->deadline)
        return fail(err, ERR_TIMEOUT, "too late");
    *out = (struct grade_reply){.text = arena_str(a, str_of(j->replies[i])), .usage = {100, 10, 1}};
    snprintf(out->model, sizeof out->model, "judge-%s", q->model);
    if (strncmp(j->replies[i], "refuse:", 7) == 0) {
        out->text = str_from(out->text, 7);
        out->refused = true;
    }
    return true;
}

static bool can_ask(void *ctx, const char *model, struct error *err)
{
    (void)ctx;
    if (strcmp(model, "unknown") == 0)
        return fail(err, ERR_NOT_FOUND, "no judge is called \"unknown\"; there is m");
    return true;
}

static struct grader *open_with(struct judge *j, const char *spec, double timeout_s)
{
    static struct grade_services services;
    struct grade_options options = grade_defaults();

    services = (struct grade_services){.ask_ctx = j, .ask = reply, .can_ask = can_ask};
    options.services = &services;
    options.ask_timeout_s = timeout_s;
    return grader_of(json_of(spec), &options);
}

#define SCORE(more)                                                                                \
    "{'type':'score_model','name':'judge','model':'m','input':[{'role':'user','content':"          \
    "'{{sample.output_text}} for {{item.answer}}?'}]" more "}"
#define LABEL                                                                                      \
    "{'type':'label_model','name':'l','model':'m','input':[{'role':'user','content':'?'}],"        \
    "'labels':['good','so so','bad'],'passing_labels':['good','so so']}"
#define FORM(result)                                                                               \
    "{\"steps\":[{\"description\":\"d\",\"conclusion\":\"c\"}],\"result\":" result "}"

static struct grade_result grade_once(struct judge *j, const char *spec)
{
    struct grader *g = open_with(j, spec, 600);
    struct grade_result r = grade_text(g, "{'answer':'why'}", "because");

    r.part_model[0] = NULL; /* the grader's, which goes now */
    grader_close(g);
    return r;
}

static void the_judge_is_asked_with_the_templates_filled(void **state)
{
    (void)state;
    struct judge j = {.replies = {FORM("0.5")}};
    const double start = clock_seconds();
    const struct grade_result r = grade_once(
        &j, SCORE(",'sampling_params':{'temperature':0,'seed':null,'top_p':1,"
                  "'max_completions_tokens':9,'reasoning_effort':'minimal','unknown':[]}"));

    assert_int_equal(r.flags, 0);
    assert_true(r.reward == 0.5);
    assert_int_equal(j.n, 1);
    assert_string_equal(j.asked[0], "[{\"role\":\"user\",\"content\":\"because for why?\"}]");
    assert_string_equal(j.model, "m");
    assert_string_equal(j.sampling,
                        "{\"temperature\":0,\"seed\":null,\"top_p\":1,\"max_completions_"
                        "tokens\":9,\"reasoning_effort\":\"minimal\",\"unknown\":[]}");
    assert_string_equal(
        j.form,
        "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"verdict\",\"strict\":true,\"schema\":"
        "{\"type\":\"object\",\"properties\":{\"steps\":{\"type\":\"array\",\"items\":{\"type\":"
        "\"object\",\"properties\":{\"description\":{\"type\":\"string\"},\"conclusion\":{\"type\":"
        "\"string\"}},\"required\":[\"description\",\"conclusion\"],\"additionalProperties\":false}"
        "},\"result\":{\"type\":\"number\"}},\"required\":[\"steps\",\"result\"],"
        "\"additionalProperties\":false}}}");
    ASSERT_NEAR(j.deadline, start + 600, 5);
    assert_string_equal(r.model, "judge-m");
    assert_true(r.part_usage[0].prompt == 100 && r.part_usage[0].completion == 10 &&
                r.part_usage[0].cached == 1);
}

static void every_form_of_content_goes_out_as_chat_completions_have_it(void **state)
{
    (void)state;
    struct judge j = {.replies = {"1"}};
    const struct grade_result r = grade_once(
        &j,
        "{'type':'score_model','name':'n','model':'m','input':["
        "{'role':'developer','type':'message','content':'Judge {{item.answer}}.'},"
        "{'role':'system','type':null,'content':{'type':'input_text','text':'s {{item.answer}}'}},"
        "{'role':'assistant','content':[{'type':'output_text','text':'o {{item.answer}}'}]},"
        "{'role':'user','content':['u {{item.answer}}',{'type':'input_text','text':'t'},"
        "{'type':'input_image','image_url':'http://h/{{item.answer}}','detail':'low',"
        "'file_id':null},{'type':'input_image','image_url':'i'},"
        "{'type':'input_audio','input_audio':{'data':'{{item.answer}}','format':'mp3'}}]},"
        "{'role':'user','content':{'type':'input_audio','input_audio':{'data':'x','format':'wav'}}"
        "}]}");

    assert_int_equal(r.flags, 0);
    assert_string_equal(
        j.asked[0],
        "[{\"role\":\"system\",\"content\":\"Judge why.\"},"
        "{\"role\":\"system\",\"content\":\"s why\"},"
        "{\"role\":\"assistant\",\"content\":\"o why\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"u why\"},"
        "{\"type\":\"text\",\"text\":\"t\"},"
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://h/why\",\"detail\":\"low\"}},"
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"i\"}},"
        "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"why\",\"format\":\"mp3\"}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"x\","
        "\"format\":\"wav\"}}]}]");
}

static void a_score_is_clamped_to_its_range(void **state)
{
    (void)state;
    static const struct {
        const char *range, *reply;
        double want;
    } cases[] = {
        {"", FORM("0.5"), 0.5},
        {"", FORM("7"), 1},
        {"", "-3", 0},
        {",'range':null", "2", 1},
        {",'range':[0,5]", "4.5", 4.5},
        {",'range':[-1,1]", "-0.25", -0.25},
        {",'range':[-1,1]", "-2", -1},
        {",'range':[1,5]", "0", 1},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a = {0};
        struct judge j = {.replies = {cases[i].reply}};
        char *spec = arena_printf(&a, "%s", SCORE("@"));

        *strchr(spec, '@') = '\0';
        const struct grade_result r =
            grade_once(&j, arena_printf(&a, "%s%s}", spec, cases[i].range));
        assert_int_equal(r.flags, 0);
        assert_true(r.reward == cases[i].want);
        arena_release(&a);
    }
}

static void a_label_passes_or_does_not(void **state)
{
    (void)state;
    struct judge good = {.replies = {FORM("\"so so\"")}}, bad = {.replies = {"Label: Bad"}};
    struct grade_result r = grade_once(&good, LABEL);

    assert_true(r.flags == 0 && r.reward == 1);
    assert_non_null(strstr(good.form,
                           "\"result\":{\"type\":\"string\",\"enum\":[\"good\",\"so so\","
                           "\"bad\"]}},\"required\":[\"steps\",\"result\"]"));
    r = grade_once(&bad, LABEL);
    assert_true(r.flags == 0 && r.reward == 0);
}

static void a_reply_without_a_verdict_is_asked_about_twice(void **state)
{
    (void)state;
    struct judge j = {.replies = {"I like it.", "", "0.75"}};
    struct grade_result r = grade_once(&j, SCORE(",'range':[0,5]"));

    assert_true(r.flags == 0 && r.reward == 0.75);
    assert_int_equal(j.n, 3);
    assert_int_equal(r.part_usage[0].prompt, 300);
    assert_int_equal(r.part_usage[0].completion, 30);
    assert_int_equal(r.part_usage[0].cached, 3);
#define ASKED                                                                                      \
    "[{\"role\":\"user\",\"content\":\"because for why?\"},{\"role\":\"assistant\",\"content\":"   \
    "\"I like it.\"},{\"role\":\"user\",\"content\":\"That is not in the form asked for. Reply "   \
    "with one JSON object and nothing else: {\\\"steps\\\": [{\\\"description\\\": "               \
    "\\\"...\\\", \\\"conclusion\\\": \\\"...\\\"}], \\\"result\\\": ...}, where result is a "     \
    "number from 0 to 5.\"}"
    assert_string_equal(j.asked[1], ASKED "]");
    /* an empty reply is not shown to anybody */
    assert_int_equal(strncmp(j.asked[2], ASKED ",{\"role\":\"user\"", strlen(ASKED) + 15), 0);
#undef ASKED

    struct judge never = {.replies = {"maybe", "perhaps", "{\"result\":null}"}};
    r = grade_once(&never, LABEL);
    assert_int_equal(never.n, 3);
    assert_int_equal(r.flags, GRADE_MODEL_PARSE_ERROR);
    assert_true(r.reward == 0 && grade_grader_failed(&r));
    assert_int_equal(r.part_usage[0].prompt, 300);
    assert_string_equal(r.model, "judge-m");
    ASSERT_SAYS(r, "no known label for a result: \"{\"result\":null}\"");
    assert_non_null(
        strstr(never.asked[1], "where result is one of the strings [\\\"good\\\",\\\"so so\\\","));
}

static void a_result_that_is_no_number_is_zero_and_flagged(void **state)
{
    (void)state;
    static const char *const replies[] = {FORM("\"N/A\""), FORM("null"), FORM("NaN"), FORM("1e999"),
                                          FORM("true")};

    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        struct judge j = {.replies = {replies[i]}};
        const struct grade_result r = grade_once(&j, SCORE(",'range':[1,5]"));

        assert_true(r.reward == 0);
        assert_int_equal(r.flags, GRADE_MODEL_PARSE_ERROR);
        assert_int_equal(j.n, 3);
    }
}

static void a_refusal_is_not_asked_about(void **state)
{
    (void)state;
    struct judge j = {.replies = {"refuse:I can't judge this."}};
    const struct grade_result r = grade_once(&j, SCORE(""));

    assert_int_equal(r.flags, GRADE_MODEL_REFUSAL_ERROR);
    ASSERT_SAYS(r, "the judge declined: I can't judge this.");
    assert_int_equal(j.n, 1);
    assert_int_equal(r.part_usage[0].prompt, 100);
}

static void no_reply_is_a_server_error_with_its_cause(void **state)
{
    (void)state;
    struct judge j = {.replies = {NULL}};
    const struct grade_result r = grade_once(&j, SCORE(""));

    assert_int_equal(r.flags, GRADE_MODEL_SERVER_ERROR);
    ASSERT_SAYS(r, "the judge is out");
    assert_int_equal(j.n, 1);
    assert_true(r.model[0] == '\0' && r.part_usage[0].prompt == 0);
}

static void questions_end_by_the_deadline(void **state)
{
    (void)state;
    struct judge j = {.replies = {"hm"}, .takes_s = 0.2};
    struct grader *g = open_with(&j, SCORE(""), 0.3);
    double start = clock_seconds();
    struct grade_result r = grade_text(g, "{'answer':'x'}", "y");

    assert_int_equal(r.flags, GRADE_MODEL_PARSE_ERROR); /* the second reply came too late */
    ASSERT_SAYS(r, "no number for a result: \"hm\"");
    assert_int_equal(j.n, 2);
    assert_true(clock_seconds() - start < 1.5);
    grader_close(g);
}

static void a_path_that_leads_nowhere_asks_nobody(void **state)
{
    (void)state;
    struct judge j = {.replies = {"1"}};
    struct grader *g = open_with(
        &j,
        "{'type':'score_model','name':'n','model':'m','input':[{'role':'user','content':['a',"
        "{'type':'input_image','image_url':'{{item.picture}}'}]}]}",
        600);
    struct grade_result r = grade_text(g, "{'answer':'x'}", "y");
    struct error err = {0};
    json_t *row = json_of("{'answer':1}");

    assert_int_equal(r.flags, GRADE_INVALID_VARIABLE_ERROR);
    ASSERT_SAYS(r, "the row has no item.picture");
    assert_int_equal(j.n, 0);
    ASSERT_FAILS(grader_check_item(g, row, "line 1", &err), ERR_INVALID,
                 "line 1 has no item.picture");
    json_decref(row);
    grader_close(g);
}

static void bytes_of_an_answer_cannot_break_the_question(void **state)
{
    (void)state;
    struct judge j = {.replies = {"\xff 0.5", "\xc3"}};
    struct grader *g = open_with(&j, SCORE(""), 600);
    const struct grade_result r =
        grade_text(g, "{'answer':'x'}", "\"}],\"model\":\"other\",\"x\":[{\"\xff\xc3");

    assert_int_equal(r.flags, GRADE_MODEL_PARSE_ERROR);
    assert_int_equal(strncmp(j.asked[0],
                             "[{\"role\":\"user\",\"content\":\"\\\"}],\\\"model\\\":\\\"other\\\","
                             "\\\"x\\\":[{\\\"\xef\xbf\xbd\xef\xbf\xbd for x?\"}]",
                             80),
                     0);
    json_decref(grade_response(g, &r)); /* its details are valid text */
    grader_close(g);
}

static void the_response_tells_who_replied_and_what_it_took(void **state)
{
    (void)state;
    struct judge j = {.replies = {"0.5"}};
    struct grader *g =
        open_with(&j,
                  "{'type':'multi','graders':{"
                  "'a':{'type':'score_model','model':'m','input':[{'role':'user','content':'1'}]},"
                  "'b':{'type':'score_model','model':'m','input':[{'role':'user','content':'2'}]},"
                  "'c':{'type':'score_model','model':'n','input':[{'role':'user','content':'3'}]},"
                  "'d':{'type':'string_check','input':'','reference':'','operation':'eq'}},"
                  "'calculate_output':'a + b + c + d'}",
                  600);
    struct grade_result r = grade_text(g, "{}", "x");
    json_t *response = grade_response(g, &r),
           *want = json_of("{'judge-m':{'prompt_tokens':200,'completion_tokens':20,"
                           "'total_tokens':220,'cached_tokens':2},'judge-n':{'prompt_tokens':100,"
                           "'completion_tokens':10,'total_tokens':110,'cached_tokens':1}}"),
           *total = json_of("{'prompt_tokens':300,'completion_tokens':30,'total_tokens':330,"
                            "'cached_tokens':3}");
    const json_t *metadata = json_object_get(response, "metadata");

    assert_true(r.reward == 2.5);
    assert_string_equal(r.part_model[0], "judge-m");
    assert_ptr_equal(r.part_model[0], r.part_model[1]);
    assert_string_equal(r.part_model[2], "judge-n");
    assert_null(r.part_model[3]);
    assert_true(json_equal(json_object_get(response, "model_grader_token_usage_per_model"), want));
    assert_true(json_equal(json_object_get(metadata, "token_usage"), total));
    assert_string_equal(json_string_value(json_object_get(metadata, "sampled_model_name")),
                        "judge-n");
    json_decref(response);

    /* nobody replied */
    struct judge silent = {.replies = {NULL}};
    struct grader *s = open_with(&silent, SCORE(""), 600);
    r = grade_text(s, "{'answer':'x'}", "y");
    response = grade_response(s, &r);
    metadata = json_object_get(response, "metadata");
    assert_true(json_is_null(json_object_get(metadata, "token_usage")));
    assert_true(json_is_null(json_object_get(metadata, "sampled_model_name")));
    assert_int_equal(
        json_object_size(json_object_get(response, "model_grader_token_usage_per_model")), 0);
    const json_t *errors = json_object_get(metadata, "errors");
    assert_true(json_is_true(json_object_get(errors, "model_grader_server_error")));
    assert_string_equal(
        json_string_value(json_object_get(errors, "model_grader_server_error_details")),
        "the judge is out");
    json_decref(response);
    json_decref(want);
    json_decref(total);
    grader_close(s);
    grader_close(g);
}

static bool echo(void *ctx, const struct grade_question *q, struct arena *a,
                 struct grade_reply *out, struct error *err)
{
    (void)ctx;
    (void)err;
    const char *text =
        json_string_value(json_object_get(json_array_get(q->messages, 0), "content"));
    *out = (struct grade_reply){.text = arena_str(a, str_of(text)), .usage = {1, 1, 0}};
    snprintf(out->model, sizeof out->model, "m%s", text);
    return true;
}

struct thread {
    struct grader *g;
    int from, n_right;
};
static void *grade_many(void *arg)
{
    struct thread *me = arg;

    for (int i = me->from; i < me->from + 200; i++) {
        char text[16];

        snprintf(text, sizeof text, "%d", i);
        const struct grade_result r = grade_text(me->g, "{}", text);
        /* a name beyond those that a grader remembers counts among the others */
        me->n_right +=
            r.flags == 0 && r.reward == i &&
            (strcmp(r.part_model[0], "others") == 0 || strcmp(r.part_model[0] + 1, text) == 0);
    }
    return NULL;
}

static void threads_grade_at_once(void **state)
{
    (void)state;
    enum { N = 4 };
    const struct grade_services services = {.ask = echo};
    struct grade_options options = grade_defaults();
    struct thread threads[N];
    pthread_t ids[N];

    options.services = &services;
    struct grader *g = grader_of(
        json_of("{'type':'score_model','name':'n','model':'m','range':[0,10000],'input':[{'role':"
                "'user','content':'{{sample.output_text}}'}],'sampling_params':{'seed':1}}"),
        &options);
    assert_in_range(grader_concurrency(g), 16, 4096);
    for (int i = 0; i < N; i++) {
        threads[i] = (struct thread){g, i * 200, 0};
        assert_int_equal(pthread_create(&ids[i], NULL, grade_many, &threads[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(ids[i], NULL);
        assert_int_equal(threads[i].n_right, 200);
    }
    grader_close(g);
}

/* ---- what is refused ---- */

#define INPUT(text) "{'type':'score_model','name':'n','model':'m','input':" text "}"
#define CONTENT(text) INPUT("[{'role':'user','content':'a'},{'role':'user','content':" text "}]")

static void wrong_specs_are_refused_by_their_path(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *param, *says;
    } cases[] = {
        {"{'type':'score_model','model':'m','input':[]}", "name", "needs a name"},
        {"{'type':'score_model','name':'n','input':[]}", "model", "it is missing"},
        {"{'type':'score_model','name':'n','model':'','input':[{'role':'user','content':''}]}",
         "model", "names no model"},
        {"{'type':'score_model','name':'n','model':'m'}", "input", "found nothing"},
        {INPUT("[]"), "input", "found an empty one"},
        {INPUT("'text'"), "input", "found a string"},
        {INPUT("['text']"), "input[0]", "expected a message, found a string"},
        {INPUT("[{'role':'tool','content':'x'}]"), "input[0].role",
         "user, assistant, system or developer"},
        {INPUT("[{'content':'x'}]"), "input[0].role", "user, assistant"},
        {INPUT("[{'role':'user','type':'text','content':'x'}]"), "input[0].type", "\"message\""},
        {INPUT("[{'role':'user'}]"), "input[0].content", "found nothing"},
        {CONTENT("[]"), "input[1].content", "says nothing"},
        {CONTENT("7"), "input[1].content", "found a number"},
        {CONTENT("[7]"), "input[1].content[0]", "found a number"},
        {CONTENT("'{{x.y}}'"), "input[1].content", "only item and sample"},
        {CONTENT("['a','{{item.}}']"), "input[1].content[1]", "not a path"},
        {CONTENT("{'type':'input_text'}"), "input[1].content.text", "found nothing"},
        {CONTENT("[{'type':'input_text','text':'{{sample.x}}'}]"), "input[1].content[0].text",
         "a sample has output_text"},
        {CONTENT("[{'type':'text','text':'x'}]"), "input[1].content[0].type",
         "input_text, output_text, input_image or input_audio, found text"},
        {CONTENT("[{'text':'x'}]"), "input[1].content[0].type", "found nothing"},
        {CONTENT("[{'type':'input_image'}]"), "input[1].content[0].image_url", "found nothing"},
        {CONTENT("[{'type':'input_image','image_url':'{{'}]"), "input[1].content[0].image_url",
         "never closed"},
        {CONTENT("[{'type':'input_image','image_url':'x','detail':'fine'}]"),
         "input[1].content[0].detail", "auto, low or high"},
        {CONTENT("[{'type':'input_audio'}]"), "input[1].content[0].input_audio.format", "mp3"},
        {CONTENT("[{'type':'input_audio','input_audio':{'format':'ogg','data':''}}]"),
         "input[1].content[0].input_audio.format", "mp3"},
        {CONTENT("[{'type':'input_audio','input_audio':{'format':'wav'}}]"),
         "input[1].content[0].input_audio.data", "found nothing"},
        {SCORE(",'range':[0]"), "range", "two numbers"},
        {SCORE(",'range':['0',1]"), "range", "two numbers"},
        {SCORE(",'range':{}"), "range", "two numbers"},
        {SCORE(",'range':[1,1]"), "range", "less than the second"},
        {SCORE(",'range':[1,0]"), "range", "these are 1 and 0"},
        {SCORE(",'sampling_params':[]"), "sampling_params", "expected an object"},
        {SCORE(",'sampling_params':{'seed':1.5}"), "sampling_params.seed", "a whole number"},
        {SCORE(",'sampling_params':{'temperature':2.1}"), "sampling_params.temperature",
         "2.1 is not within 0 and 2"},
        {SCORE(",'sampling_params':{'temperature':'0'}"), "sampling_params.temperature",
         "found a string"},
        {SCORE(",'sampling_params':{'top_p':-0.1}"), "sampling_params.top_p", "not within 0 and 1"},
        {SCORE(",'sampling_params':{'max_completions_tokens':0}"),
         "sampling_params.max_completions_tokens", "0 is not within 1"},
        {SCORE(",'sampling_params':{'reasoning_effort':'huge'}"),
         "sampling_params.reasoning_effort", "none, minimal, low"},
        {"{'type':'label_model','name':'n','model':'m','input':[{'role':'user','content':''}],"
         "'passing_labels':['a']}",
         "labels", "found nothing"},
        {"{'type':'label_model','labels':[],'name':'n'}", "labels", "an empty one"},
        {"{'type':'label_model','labels':['a',''],'name':'n'}", "labels[1]", "not empty"},
        {"{'type':'label_model','labels':['a',7],'name':'n'}", "labels[1]", "found a number"},
        {"{'type':'label_model','labels':['a','a'],'name':'n'}", "labels[1]", "twice"},
        {"{'type':'label_model','labels':['a'],'name':'n'}", "passing_labels", "found nothing"},
        {"{'type':'label_model','labels':['a'],'passing_labels':['b'],'name':'n'}",
         "passing_labels[0]", "\"b\" is not among the labels"},
        {"{'type':'multi','graders':{'judge':" INPUT(
             "[{'role':'user','content':[{'type':"
             "'input_text','text':7}]}]") "},"
                                          "'calculate_output':'judge'}",
         "graders.judge.input[0].content[0].text", "found a number"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct error err;

        refuse(json_of(cases[i].spec), &err);
        if (err.kind != ERR_INVALID || strcmp(err.param, cases[i].param) != 0 ||
            strstr(err.message, cases[i].says) == NULL)
            fail_msg("%s: (%s) %s", cases[i].spec, err.param, err.message);
    }
    ASSERT_REFUSED(json_of(CONTENT("[{'type':'input_image','image_url':'x','file_id':'f'}]")),
                   ERR_UNSUPPORTED, "input[1].content[0].file_id", "by its image_url");
}

static void without_a_judge_graders_that_ask_are_refused(void **state)
{
    (void)state;
    const struct grade_services services = {.ask = reply, .can_ask = can_ask};
    struct grade_options options = grade_defaults();
    struct grader *g = NULL;
    struct error err = {0};
    json_t *spec = json_of(SCORE(""));

    ASSERT_REFUSED(json_of(SCORE("")), ERR_UNSUPPORTED, "model",
                   "score_model asks the model \"m\", and no judge is set; name one with --judge");
    ASSERT_REFUSED(json_of(LABEL), ERR_UNSUPPORTED, "model", "label_model asks the model \"m\"");
    options.services = &services;
    json_object_set_new(spec, "model", json_string("unknown"));
    ASSERT_FAILS(grader_open(spec, &options, &g, &err), ERR_NOT_FOUND, "there is m");
    assert_string_equal(err.param, "model");
    assert_null(g);
    json_decref(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_judge_is_asked_with_the_templates_filled),
        cmocka_unit_test(every_form_of_content_goes_out_as_chat_completions_have_it),
        cmocka_unit_test(a_score_is_clamped_to_its_range),
        cmocka_unit_test(a_label_passes_or_does_not),
        cmocka_unit_test(a_reply_without_a_verdict_is_asked_about_twice),
        cmocka_unit_test(a_result_that_is_no_number_is_zero_and_flagged),
        cmocka_unit_test(a_refusal_is_not_asked_about),
        cmocka_unit_test(no_reply_is_a_server_error_with_its_cause),
        cmocka_unit_test(questions_end_by_the_deadline),
        cmocka_unit_test(a_path_that_leads_nowhere_asks_nobody),
        cmocka_unit_test(bytes_of_an_answer_cannot_break_the_question),
        cmocka_unit_test(the_response_tells_who_replied_and_what_it_took),
        cmocka_unit_test(threads_grade_at_once),
        cmocka_unit_test(wrong_specs_are_refused_by_their_path),
        cmocka_unit_test(without_a_judge_graders_that_ask_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
