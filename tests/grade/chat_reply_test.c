/*
 * chat_reply_test.c - bodies of chat completions become replies, whoever wrote them; bodies of errors, sentences.
 */
#include "base/size.h"
#include "grade/chat_reply.h"
#include "support/support.h"

#include <string.h>

static const struct chat_secrets NONE = {0, NULL};

static bool parse(const char *body, struct arena *a, struct grade_reply *out, struct error *err)
{
    return chat_reply_parse(str_of(body), "asked", NONE, a, out, err);
}

static void a_completion_is_read(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err = {0};
    struct grade_reply r = {0};

    ASSERT_OK(parse("{\"id\":\"c\",\"model\":\"m-2024\",\"choices\":[{\"index\":0,\"message\":{"
                    "\"role\":\"assistant\",\"content\":\"Hi\",\"refusal\":null},"
                    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":190,"
                    "\"completion_tokens\":134,\"total_tokens\":324,\"prompt_tokens_details\":{"
                    "\"cached_tokens\":7}}}",
                    &a, &r, &err));
    ASSERT_STR(r.text, "Hi");
    assert_string_equal(r.model, "m-2024");
    assert_false(r.refused);
    assert_int_equal(r.usage.prompt, 190);
    assert_int_equal(r.usage.completion, 134);
    assert_int_equal(r.usage.cached, 7);
    arena_release(&a);
}

static void what_servers_leave_out_is_done_without(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err = {0};
    struct grade_reply r = {0};

    ASSERT_OK(parse("{\"choices\":[{\"message\":{\"content\":[{\"type\":\"thinking\"},{\"type\":"
                    "\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"},7]}}],\"usage\":{"
                    "\"prompt_tokens\":-4,\"completion_tokens\":99999999999,"
                    "\"prompt_tokens_details\":null}}",
                    &a, &r, &err));
    ASSERT_STR(r.text, "ab");
    assert_string_equal(r.model, "asked");
    assert_true(r.usage.prompt == 0 && r.usage.completion == UINT32_MAX && r.usage.cached == 0);
    ASSERT_OK(parse("{\"choices\":[{\"message\":{\"content\":\"\\u00e9\xff\"}}]}", &a, &r, &err));
    ASSERT_STR(r.text, "\xc3\xa9\xef\xbf\xbd");
    ASSERT_OK(parse("{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":null}]}", &a,
                    &r, &err));
    assert_int_equal(r.text.len, 0);
    arena_release(&a);
}

static void a_long_model_name_is_cut_at_a_character(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err = {0};
    struct grade_reply r = {0};

    ASSERT_OK(
        parse("{\"model\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3"
              "\xa9\xc3\xa9\",\"choices\":[{\"message\":{\"content\":\"\"}}]}",
              &a, &r, &err));
    assert_int_equal(strlen(r.model), 62);
    arena_release(&a);
}

static void a_refusal_is_a_reply(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err = {0};
    struct grade_reply r = {0};

    ASSERT_OK(parse("{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"I can't.\"},"
                    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3}}",
                    &a, &r, &err));
    assert_true(r.refused);
    ASSERT_STR(r.text, "I can't.");
    assert_int_equal(r.usage.prompt, 3);
    ASSERT_OK(parse("{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":"
                    "\"content_filter\"}]}",
                    &a, &r, &err));
    assert_true(r.refused);
    arena_release(&a);
}

static void what_is_no_reply_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum error_kind kind;
        const char *says;
    } cases[] = {
        {"", ERR_CORRUPT, "not JSON"},
        {"<html>502</html>", ERR_CORRUPT, "not JSON"},
        {"{\"choices\":[{\"message\":{\"content\":\"a", ERR_CORRUPT, "not JSON"},
        {"{\"choices\":[{\"message\":{\"content\":\"\\ud800\"}}]}", ERR_CORRUPT, "not JSON"},
        {"7", ERR_CORRUPT, "no choices[0].message"},
        {"[]", ERR_CORRUPT, "no choices[0].message"},
        {"{\"choices\":[]}", ERR_CORRUPT, "no choices[0].message"},
        {"{\"choices\":{\"0\":1}}", ERR_CORRUPT, "no choices[0].message"},
        {"{\"choices\":[{\"message\":{}}]}", ERR_CORRUPT, "its content is missing"},
        {"{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[]}}]}", ERR_CORRUPT,
         "its content is null"},
        {"{\"error\":{\"message\":\"overloaded\"}}", ERR_CORRUPT, "is an error: overloaded"},
        {"{\"choices\":[{\"message\":{\"content\":\"{\\\"re\"},\"finish_reason\":\"length\"}],"
         "\"usage\":{\"completion_tokens\":64}}",
         ERR_LIMIT, "cut at the token limit after 64 tokens"},
    };
    struct arena a = {0};
    struct error err = {0};
    struct grade_reply r = {.model = "as it was"};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ASSERT_FAILS(parse(cases[i].body, &a, &r, &err), cases[i].kind, cases[i].says);
        assert_string_equal(r.model, "as it was");
    }
    arena_release(&a);
}

static void errors_of_every_server_have_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *body, *want, *code;
    } cases[] = {
        {"{\"error\":{\"message\":\"No.\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}", "No.",
         "c"},
        {"{\"error\":\"No.\"}", "No.", ""},
        {"{\"message\":\"No.\",\"code\":400}", "No.", ""},
        {"{\"detail\":\"No.\"}", "No.", ""},
        {"[{\"error\":{\"code\":400,\"message\":\"No.\"}}]", "No.", ""},
        {"{\"x\":1}", "{\"x\":1}", ""},
        {"<h1>\r\nNo.</h1>\x01", "<h1>  No.</h1> ", ""},
        {"", "", ""},
    };
    struct arena a = {0};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct chat_error e = chat_error_of(str_of(cases[i].body), NONE, &a);

        ASSERT_STR(e.message, cases[i].want);
        ASSERT_STR(e.code, cases[i].code);
    }
    arena_release(&a);
}

static void a_secret_is_taken_out_before_a_message_is_cut(void **state)
{
    (void)state;
    static const struct str of[] = {{"sk-12345", 8}, {"other", 5}};
    const struct chat_secrets secrets = {2, of};
    struct arena a = {0};
    char body[400];

    struct chat_error e =
        chat_error_of(STR("{\"error\":\"key sk-12345sk-12345, other\"}"), secrets, &a);
    ASSERT_STR(e.message, "key ......, ...");
    e = chat_error_of(STR("{\"error\":\"the key 'sk-1***45' or sk-1*****, ** not\"}"), NONE, &a);
    ASSERT_STR(e.message, "the key '...' or ... ** not");
    memset(body, 'x', sizeof body);
    memcpy(body + 196, "sk-12345", 8); /* across the cut */
    e = chat_error_of((struct str){body, sizeof body}, secrets, &a);
    assert_int_equal(e.message.len, 200);
    assert_true(str_ends(e.message, STR("x...x")));
    memcpy(body + 194, " sk-12***45 ", 12);
    e = chat_error_of((struct str){body, sizeof body}, NONE, &a);
    assert_true(str_ends(e.message, STR("x ... x")));
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_completion_is_read),
        cmocka_unit_test(what_servers_leave_out_is_done_without),
        cmocka_unit_test(a_long_model_name_is_cut_at_a_character),
        cmocka_unit_test(a_refusal_is_a_reply),
        cmocka_unit_test(what_is_no_reply_is_told),
        cmocka_unit_test(errors_of_every_server_have_a_sentence),
        cmocka_unit_test(a_secret_is_taken_out_before_a_message_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
