/*
 * chat_stream_test.c - however an answer is cut into tokens, what streams out is what the whole answer says.
 */
#include "support/support.h"

#include "sample/prompt.h"
#include "server/api_error.h"
#include "server/chat_stream.h"

static struct arena arena;
static struct error err;
static struct model *model;
static struct prompter *prompter;

static void open_prompter(const char *template, const char *reasoning)
{
    json_t *spec = NULL;

    prompter_close(prompter);
    prompter = NULL;
    ASSERT_OK(prompter_open(model, template, &prompter, &err));
    if (reasoning != NULL) {
        ASSERT_OK(json_parse(str_of(reasoning), "reasoning", &spec, &err));
        ASSERT_OK(prompter_reason(prompter, spec, &err));
        json_decref(spec);
    }
}

/* Streams text in pieces of n bytes, and checks both parts. */
static void stream(const char *text, size_t n, const char *thinking, const char *said)
{
    struct chat_stream s;
    struct buf a, b;

    chat_stream_init(&s, prompter);
    buf_init(&a, 1 << 16);
    buf_init(&b, 1 << 16);
    for (size_t at = 0; at < strlen(text); at += n) {
        const size_t left = strlen(text) - at;

        chat_stream_put(&s, (struct str){text + at, left < n ? left : n}, &a, &b);
    }
    chat_stream_end(&s, &a, &b);
    ASSERT_STR(buf_view(&a), thinking);
    ASSERT_STR(buf_view(&b), said);
    buf_release(&a);
    buf_release(&b);
    chat_stream_release(&s);
}

static void stream_in_all_ways(const char *text, const char *thinking, const char *said)
{
    for (size_t n = 1; n <= strlen(text) + 1; n++)
        stream(text, n, thinking, said);
}

/* What prompter_answer says of the same text, sampled a byte-level token at a time. */
static void agrees_with_the_whole(const char *text)
{
    const struct tokenizer *t = prompter_tokenizer(prompter);
    struct token_list ids = {0};
    struct answer whole;

    ASSERT_OK(tokenizer_encode(t, str_of(text), true, &ids, &err));
    struct sample s = {.tokens = ids.ids, .n = ids.n, .stop_bytes = SIZE_MAX};
    prompter_answer(prompter, &s, &arena, &whole);
    stream_in_all_ways(text, arena_text(&arena, whole.thinking), arena_text(&arena, whole.text));
    token_list_release(&ids);
}

static int open_model(void **state)
{
    (void)state;
    return model_open(golden_path(&arena, "tiny/hf"), 0, &model, &err) ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    prompter_close(prompter);
    model_close(model);
    arena_release(&arena);
    return 0;
}

static void without_thinking_everything_is_said(void **state)
{
    (void)state;
    open_prompter(NULL, NULL);
    stream_in_all_ways(" a <think>b</think> \n", "", " a <think>b</think> \n");
    stream_in_all_ways("", "", "");
    agrees_with_the_whole(" a <think>b ");
}

static void a_span_that_the_prompt_opened_is_thought(void **state)
{
    (void)state;
    open_prompter(NULL, "{\"open\":\"<t>\",\"close\":\"</t>\"}");
    stream_in_all_ways("\n so </ then </t>\n\nyes  no \n", "so </ then", "yes  no");
    stream_in_all_ways("never ends </t", "never ends </t", "");
    stream_in_all_ways("</t>at once", "", "at once");
    stream_in_all_ways("a</t>b</t>c", "a", "b</t>c");
    agrees_with_the_whole("\n so </ then </t>\n\nyes  no \n");
    agrees_with_the_whole("never ends </t");
    agrees_with_the_whole("<t>again</t>x");
}

static void a_span_that_the_model_opens_is_thought(void **state)
{
    (void)state;
    open_prompter("{# <think> </think> #}{% for m in messages %}{{ m.content }}{% endfor %}", NULL);
    stream_in_all_ways(" <think> a </think> b ", "a", "b");
    stream_in_all_ways("<thin", "", "<thin");
    stream_in_all_ways(" no thought", "", " no thought");
    stream_in_all_ways("<think>never ends", "never ends", "");
    agrees_with_the_whole(" <think> a </think> b ");
    agrees_with_the_whole("<thin");
    agrees_with_the_whole("<think>never ends");
}

static void characters_are_never_cut(void **state)
{
    struct chat_stream s;
    struct buf a, b;

    (void)state;
    open_prompter(NULL, NULL);
    chat_stream_init(&s, prompter);
    buf_init(&a, 64);
    buf_init(&b, 64);
    chat_stream_put(&s, STR("x\xF0\x9F"), &a, &b);
    ASSERT_STR(buf_view(&b), "x");
    chat_stream_put(&s, STR("\x98\x80"), &a, &b);
    ASSERT_STR(buf_view(&b), "x\xF0\x9F\x98\x80");
    chat_stream_put(&s, STR("\xF0"), &a, &b);
    chat_stream_end(&s, &a, &b);
    ASSERT_STR(buf_view(&b), "x\xF0\x9F\x98\x80\xEF\xBF\xBD");
    buf_release(&a);
    buf_release(&b);
    chat_stream_release(&s);
}

static void what_is_certain_does_not_wait(void **state)
{
    struct chat_stream s;
    struct buf a, b;

    (void)state;
    open_prompter(NULL, "{\"open\":\"<t>\",\"close\":\"</t>\"}");
    chat_stream_init(&s, prompter);
    buf_init(&a, 64);
    buf_init(&b, 64);
    chat_stream_put(&s, STR("think <"), &a, &b);
    ASSERT_STR(buf_view(&a), "think");
    chat_stream_put(&s, STR("b"), &a, &b);
    ASSERT_STR(buf_view(&a), "think <b");
    chat_stream_put(&s, STR("</t>answer"), &a, &b);
    ASSERT_STR(buf_view(&b), "answer");
    buf_release(&a);
    buf_release(&b);
    chat_stream_release(&s);
}

/* ---- errors ---- */

static void an_error_has_all_four_members_and_is_text(void **state)
{
    static const struct {
        enum error_kind kind;
        const char *param, *type, *code;
    } rows[] = {
        {ERR_INVALID, "n", "invalid_request_error", "invalid_value"},
        {ERR_NOT_FOUND, "model", "invalid_request_error", "not_found"},
        {ERR_LIMIT, "messages", "invalid_request_error", "context_length_exceeded"},
        {ERR_LIMIT, "", "invalid_request_error", "limit_exceeded"},
        {ERR_UNSUPPORTED, "stream", "invalid_request_error", "unsupported_value"},
        {ERR_IO, "", "server_error", "server_error"},
        {ERR_NO_MEMORY, "", "server_error", "server_error"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error e = {0};

        (void)!fail_param(&e, rows[i].kind, rows[i].param, "cut \xC3");
        json_t *body = api_error_body(&e), *inner = json_object_get(body, "error");
        assert_int_equal(json_object_size(inner), 4);
        ASSERT_STR(json_str(json_object_get(inner, "message")), "cut \xEF\xBF\xBD");
        ASSERT_STR(json_str(json_object_get(inner, "type")), rows[i].type);
        ASSERT_STR(json_str(json_object_get(inner, "code")), rows[i].code);
        assert_int_equal(json_is_null(json_object_get(inner, "param")), rows[i].param[0] == '\0');
        json_decref(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_thinking_everything_is_said),
        cmocka_unit_test(a_span_that_the_prompt_opened_is_thought),
        cmocka_unit_test(a_span_that_the_model_opens_is_thought),
        cmocka_unit_test(characters_are_never_cut),
        cmocka_unit_test(what_is_certain_does_not_wait),
        cmocka_unit_test(an_error_has_all_four_members_and_is_text),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
