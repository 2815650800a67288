/*
 * chat_stream_test.c - however an answer is cut into tokens, what streams out is what the whole answer says.
 */
#include "support/blank_model.h"
#include "support/said.h"
#include "support/support.h"

#include "sample/prompt.h"
#include "server/api_error.h"
#include "server/chat_stream.h"

#define ECHO "{% for m in messages %}{{ m.content }}{% endfor %}"

static struct arena arena;
static struct error err;
static struct model *model;
static struct prompter *prompter;
static bool prompt_thinks; /* the rendered prompt ends with the opening */

static void open_prompter(const char *template, const char *reasoning)
{
    json_t *spec = NULL, *hi = json_pack("[{s:s, s:s}]", "role", "user", "content", "Hi");
    struct prompt prompt;

    prompter_close(prompter);
    prompter = NULL;
    ASSERT_OK(prompter_open(model, template, &prompter, &err));
    if (reasoning != NULL) {
        ASSERT_OK(json_parse(str_of(reasoning), "reasoning", &spec, &err));
        ASSERT_OK(prompter_reason(prompter, spec, &err));
        json_decref(spec);
    }
    ASSERT_OK(prompter_render(prompter, hi, NULL, NULL, &arena, &prompt, &err));
    prompt_thinks = prompt.thinking;
    json_decref(hi);
}

/* Streams text in pieces of n bytes, and checks both parts. */
static void stream(const char *text, size_t n, const char *thinking, const char *said)
{
    struct chat_stream s;
    struct buf a, b;

    chat_stream_init(&s, prompter, prompt_thinks, false);
    buf_init(&a, 1 << 16);
    buf_init(&b, 1 << 16);
    for (size_t at = 0; at < strlen(text); at += n) {
        const size_t left = strlen(text) - at;

        chat_stream_put(&s, (struct str){text + at, left < n ? left : n}, false, &a, &b);
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

/* What prompter_answer says of the same text; spans are the engine's to see. */
static void agrees_with_the_whole(const char *text, bool has_span)
{
    struct sample s = sample_of_text(model, text, &arena);
    struct answer whole;

    s.n_thinking = has_span ? s.n : 0;
    prompter_answer(prompter, &s, &arena, &whole);
    stream_in_all_ways(text, arena_text(&arena, whole.thinking), arena_text(&arena, whole.text));
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
    agrees_with_the_whole(" a <think>b ", false);
}

static void a_span_that_the_prompt_opened_is_thought(void **state)
{
    (void)state;
    open_prompter(NULL, "{\"open\":\"<t>\",\"close\":\"</t>\"}");
    stream_in_all_ways("\n so </ then </t>\n\nyes  no \n", "so </ then", "yes  no");
    stream_in_all_ways("never ends </t", "never ends </t", "");
    stream_in_all_ways("</t>at once", "", "at once");
    stream_in_all_ways("a</t>b</t>c", "a", "b</t>c");
    agrees_with_the_whole("\n so </ then </t>\n\nyes  no \n", true);
    agrees_with_the_whole("never ends </t", true);
    agrees_with_the_whole("<t>again</t>x", true);
}

static void a_span_that_the_model_opens_is_thought(void **state)
{
    (void)state;
    open_prompter("{# <think> </think> #}" ECHO, NULL);
    stream_in_all_ways(" <think> a </think> b ", "a", "b");
    stream_in_all_ways("<thin", "", "<thin");
    stream_in_all_ways(" no thought", "", " no thought");
    stream_in_all_ways("<think>never ends", "never ends", "");
    agrees_with_the_whole(" <think> a </think> b ", true);
    agrees_with_the_whole("<thin", false);
    agrees_with_the_whole("<think>never ends", true);
}

static void a_span_that_the_template_opens_is_thought(void **state)
{
    static const char *const specs[] = {NULL, "{\"budget\":5}",
                                        "{\"open\":\"<think>\",\"close\":\"</think>\"}"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        open_prompter("{# </think> #}" ECHO "<think>\n", specs[i]);
        assert_true(prompt_thinks);
        stream_in_all_ways("a\xC3\xA9 </think>\n\n b\xC3\xA9 ", "a\xC3\xA9", "b\xC3\xA9");
        stream_in_all_ways("<think>\na</think>b<think>c</think>", "a", "b<think>c</think>");
        stream_in_all_ways("</think>", "", "");
        stream_in_all_ways("never <think", "never <think", "");
        agrees_with_the_whole("a\xC3\xA9 </think>\n\n b\xC3\xA9 ", true);
        agrees_with_the_whole("<think>\na</think>b<think>c</think>", true);
        agrees_with_the_whole("\xF0\x9F</think>abcdef", true);
        agrees_with_the_whole("<thin", true);
    }
}

static void a_second_opening_is_text(void **state)
{
    (void)state;
    open_prompter("{# <think> </think> #}" ECHO, NULL);
    stream_in_all_ways("<think>a</think>b<think>c</think>d", "a", "b<think>c</think>d");
    stream_in_all_ways("b<think>c</think>d", "", "b<think>c</think>d");
    stream_in_all_ways("b</think>d", "", "b</think>d");
    agrees_with_the_whole("<think>a</think>b<think>c</think>d", true);
    agrees_with_the_whole("\xC3<think>a\xC3</think>\xA9"
                          "b",
                          false);
    agrees_with_the_whole(" <think>a\xC3</think>\xA9"
                          "b",
                          true);
    agrees_with_the_whole("b</think>d", false);
}

static void a_closing_like_the_opening_closes(void **state)
{
    static const char *const specs[] = {"{\"open\":\"**\",\"close\":\"**\"}",
                                        "{\"open\":\"<\",\"close\":\"</\"}",
                                        "{\"open\":\"ab\",\"close\":\"bc\"}"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        open_prompter(NULL, specs[i]);
        agrees_with_the_whole("**x**y", true);
        agrees_with_the_whole(" x ** y **", true);
        agrees_with_the_whole("*", true);
        agrees_with_the_whole("</x", true);
        agrees_with_the_whole("<a</x", true);
        agrees_with_the_whole("<", true);
        agrees_with_the_whole("abcd", true);
        agrees_with_the_whole("ab bc", true);
        agrees_with_the_whole("ab", true);
    }
}

/* Tags may be special tokens; in the answer these are no text. */
static void special_tokens_are_tags_and_no_text(void **state)
{
    static const struct {
        const char *tokens[6]; /* special where it begins with '!' */
        const char *thinking, *said;
    } cases[] = {
        {{"!<think>", "a", "!<x>", "!</think>", "b", "!<x>"}, "a<x>", "b"},
        {{" ", "!<think>", "a"}, "a", ""},
        {{"!<x>", "<think>", "a"}, "", "<think>a"},
        {{"<thi", "!<x>", "a"}, "", "<thia"},
        {{"a", "!<think>", "b", "!</think>", "c"}, "", "abc"},
    };

    (void)state;
    open_prompter("{# <think> </think> #}" ECHO, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct chat_stream s;
        struct buf a, b;

        chat_stream_init(&s, prompter, false, false);
        buf_init(&a, 64);
        buf_init(&b, 64);
        for (size_t k = 0; k < 6 && cases[i].tokens[k] != NULL; k++) {
            const char *token = cases[i].tokens[k];
            const bool special = token[0] == '!';

            chat_stream_put(&s, str_of(token + special), special, &a, &b);
        }
        chat_stream_end(&s, &a, &b);
        ASSERT_STR(buf_view(&a), cases[i].thinking);
        ASSERT_STR(buf_view(&b), cases[i].said);
        buf_release(&a);
        buf_release(&b);
        chat_stream_release(&s);
    }
}

static void characters_are_never_cut(void **state)
{
    struct chat_stream s;
    struct buf a, b;

    (void)state;
    open_prompter(NULL, NULL);
    chat_stream_init(&s, prompter, prompt_thinks, false);
    buf_init(&a, 64);
    buf_init(&b, 64);
    chat_stream_put(&s, STR("x\xF0\x9F"), false, &a, &b);
    ASSERT_STR(buf_view(&b), "x");
    chat_stream_put(&s, STR("\x98\x80"), false, &a, &b);
    ASSERT_STR(buf_view(&b), "x\xF0\x9F\x98\x80");
    chat_stream_put(&s, STR("\xF0"), false, &a, &b);
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
    chat_stream_init(&s, prompter, prompt_thinks, false);
    buf_init(&a, 64);
    buf_init(&b, 64);
    chat_stream_put(&s, STR("think <"), false, &a, &b);
    ASSERT_STR(buf_view(&a), "think");
    chat_stream_put(&s, STR("b"), false, &a, &b);
    ASSERT_STR(buf_view(&a), "think <b");
    chat_stream_put(&s, STR("</t>answer"), false, &a, &b);
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
        {ERR_LIMIT, "graders", "invalid_request_error", "limit_exceeded"},
        {ERR_LIMIT, "", "requests", "rate_limit_exceeded"},
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

/* As gpt-oss says it: the tags are special tokens, their names are text. */
static void channels_are_told_apart(void **state)
{
    static const char final[] = "<|channel|>final<|message|>yes";
    struct chat_stream s;
    struct buf a, b;

    (void)state;
    open_prompter("{# <|channel|>analysis<|message|> #}x", NULL);
    stream_in_all_ways(
        "<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>yes",
        "so", "yes");
    stream_in_all_ways(final, "", "yes");
    stream_in_all_ways("<|channel|>fin", "", "<|channel|>fin");
    agrees_with_the_whole(final, false);
    buf_init(&a, 1 << 16);
    buf_init(&b, 1 << 16);
    chat_stream_init(&s, prompter, prompt_thinks, false);
    chat_stream_put(&s, STR("<|channel|>"), true, &a, &b);
    chat_stream_put(&s, STR("final"), false, &a, &b);
    chat_stream_put(&s, STR("<|message|>"), true, &a, &b);
    chat_stream_put(&s, STR("yes"), false, &a, &b);
    chat_stream_end(&s, &a, &b);
    assert_int_equal(a.len, 0);
    ASSERT_STR(buf_view(&b), "yes");
    chat_stream_release(&s);
    buf_release(&a);
    buf_release(&b);
}

/* The first token is without the blank that the tokenizer puts in front, whatever special ones come before. */
static void a_blank_in_front_is_taken_off_as_from_the_whole(void **state)
{
    struct model *tiny = model;
    struct chat_stream s;
    struct buf a, b;

    (void)state;
    model = blank_model_open(&arena);
    open_prompter("x", NULL);
    buf_init(&a, 1 << 16);
    buf_init(&b, 1 << 16);
    chat_stream_init(&s, prompter, prompt_thinks, false);
    chat_stream_put(&s, STR("<s>"), true, &a, &b);
    chat_stream_put(&s, STR(" hi"), false, &a, &b);
    chat_stream_put(&s, STR(" yo"), false, &a, &b);
    chat_stream_end(&s, &a, &b);
    ASSERT_STR(buf_view(&b), "hi yo");
    chat_stream_release(&s);
    buf_release(&a);
    buf_release(&b);
    prompter_close(prompter);
    prompter = NULL;
    model_close(model);
    model = tiny;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_thinking_everything_is_said),
        cmocka_unit_test(a_span_that_the_prompt_opened_is_thought),
        cmocka_unit_test(a_span_that_the_model_opens_is_thought),
        cmocka_unit_test(a_span_that_the_template_opens_is_thought),
        cmocka_unit_test(a_second_opening_is_text),
        cmocka_unit_test(a_closing_like_the_opening_closes),
        cmocka_unit_test(special_tokens_are_tags_and_no_text),
        cmocka_unit_test(characters_are_never_cut),
        cmocka_unit_test(what_is_certain_does_not_wait),
        cmocka_unit_test(an_error_has_all_four_members_and_is_text),
        cmocka_unit_test(channels_are_told_apart),
        cmocka_unit_test(a_blank_in_front_is_taken_off_as_from_the_whole),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
