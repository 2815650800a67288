/*
 * tool_grammar_test.c - what a grammar of tools lets through is a call that the parser reads, and nothing else is let through.
 */
#include "base/size.h"
#include "support/support.h"
#include "text/tool_grammar.h"
#include "text/tool_parser.h"

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"strict\":true,\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":8},\"unit\":{\"enum\":[\"C\",\"F\"]},\"days\":"
    "{\"$ref\":\"#/$defs/days\"}},\"required\":[\"city\",\"unit\"],\"additionalProperties\":false,\"$defs\":{\"days\":"
    "{\"type\":\"integer\",\"minimum\":1,\"maximum\":9}}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"weather_now\",\"parameters\":{\"type\":\"object\",\"properties\":"
    "{\"at\":{\"type\":\"string\",\"not\":{}}}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]";

static struct error err;
static struct grammar_walk walk;
static json_t *tools;

static int open_all(void **state)
{
    (void)state;
    return json_parse(str_of(tools_text), "tools", &tools, &err) && grammar_walk_open(&walk, &err)
               ? 0
               : -1;
}

static int close_all(void **state)
{
    (void)state;
    json_decref(tools);
    grammar_walk_close(&walk);
    return 0;
}

static const struct tool_format *format_named(const char *name)
{
    size_t n;
    const struct tool_format *all = tool_formats(&n);

    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    fail_msg("no format %s", name);
    return NULL;
}

static struct grammar *grammar_of(const char *format, bool required, bool many)
{
    const struct tool_grammar_options o = {
        .format = format_named(format), .tools = tools, .required = required, .many = many};
    struct grammar *g = NULL;

    ASSERT_OK(tool_grammar(&o, &g, &err));
    return g;
}

static bool takes(const struct grammar *g, const char *text)
{
    struct grammar_state s;

    grammar_begin(&s);
    return grammar_advance(g, &walk, &s, str_of(text)) && grammar_complete(g, &s);
}

static bool begins(const struct grammar *g, const char *text)
{
    struct grammar_state s;

    grammar_begin(&s);
    return grammar_advance(g, &walk, &s, str_of(text));
}

#define CALL                                                                                       \
    "{\"name\": \"weather\", \"arguments\": {\"city\": \"Bern\", \"unit\": \"C\", \"days\": 3}}"

static void a_required_call_is_a_call(void **state)
{
    struct grammar *g = grammar_of("hermes", true, true);

    (void)state;
    assert_true(takes(g, "<tool_call>\n" CALL "\n</tool_call>"));
    assert_true(takes(g, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"));
    assert_true(
        takes(g, "<tool_call>\n" CALL "\n</tool_call>\n<tool_call>\n" CALL "\n</tool_call>"));
    /* not strict, and its schema is not offered: any object */
    assert_true(takes(
        g, "<tool_call>\n{\"name\": \"weather_now\", \"arguments\": {\"z\":[1]}}\n</tool_call>"));
    assert_false(takes(g, ""));
    assert_false(begins(g, "Hello"));
    assert_false(takes(g, "<tool_call>\n" CALL "\n"));
    assert_false(begins(g, "<tool_call>\n{\"name\": \"other"));
    assert_false(begins(g, "<tool_call>\n{\"name\": \"now\", \"arguments\": {\""));
    assert_false(begins(g, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"unit\""));
    assert_false(
        begins(g, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"123456789"));
    assert_false(begins(g, "<tool_call>\n" CALL "\n</tool_call> "));
    grammar_close(g);
    g = grammar_of("hermes", true, false);
    assert_true(takes(g, "<tool_call>\n" CALL "\n</tool_call>"));
    assert_false(begins(g, "<tool_call>\n" CALL "\n</tool_call>\n"));
    grammar_close(g);
}

static void text_may_come_before_and_behind_calls(void **state)
{
    struct grammar *g = grammar_of("hermes", false, true);

    (void)state;
    assert_false(takes(g, ""));
    assert_true(takes(g, "<"));
    assert_true(takes(g, "Hello <tool <tool_cal <<tool_call é\xff"));
    assert_true(takes(g, "So <<tool_call>\n" CALL "\n</tool_call> and <tool_call>\n" CALL
                         "\n</tool_call>."));
    assert_false(takes(g, "So <tool_call>\n"));
    assert_false(begins(g, "So <tool_call>{"));
    assert_false(begins(g, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"unit\""));
    grammar_close(g);
    g = grammar_of("hermes", false, false);
    assert_true(takes(g, "So <tool_call>\n" CALL "\n</tool_call> and <tool_call> <tool_call>x"));
    grammar_close(g);
    const struct tool_grammar_options o = {.format = format_named("llama"), .tools = tools};
    ASSERT_FAILS(tool_grammar(&o, &g, &err), ERR_UNSUPPORTED, "required");
}

#define FINAL "<|channel|>final<|message|>"
#define COMMENT "<|channel|>commentary<|message|>"
#define NEXT "<|end|><|start|>assistant"
#define TO "<|channel|>commentary to=functions."

static void harmony_s_messages_stand_in_channels(void **state)
{
    struct grammar *g = grammar_of("harmony", false, true);

    (void)state;
    assert_false(takes(g, ""));
    assert_false(begins(g, "Hello"));
    assert_false(begins(g, "<|channel|>analysis"));
    assert_true(takes(g, FINAL));
    assert_true(takes(g, FINAL "any <| text <|en <|end| <|starting <<|end |> <|>|"));
    assert_false(begins(g, FINAL "x<|end|>"));
    assert_false(begins(g, FINAL "x<|<|start|>"));
    assert_false(begins(g, FINAL "<|channel|>"));
    assert_true(takes(g, TO "now <|constrain|>json<|message|>{}"));
    assert_false(begins(g, TO "other"));
    assert_false(takes(g, COMMENT "I look."));
    assert_false(begins(g, COMMENT "I look.<|end|> "));
    assert_false(begins(g, COMMENT "I look.<|channel|>"));
    assert_true(takes(g, COMMENT "I <|end look." NEXT TO "now <|constrain|>json<|message|>{}"));
    assert_true(takes(g, COMMENT NEXT COMMENT "x" NEXT FINAL "y"));
    assert_false(begins(g, TO "now <|constrain|>json<|message|>{}<|end|>"));
    grammar_close(g);
    json_t *said = json_pack("{s:s}", "type", "integer");
    const struct tool_grammar_options o = {
        .format = format_named("harmony"), .tools = tools, .many = true, .said = said};
    ASSERT_OK(tool_grammar(&o, &g, &err));
    assert_true(takes(g, FINAL "12"));
    assert_false(begins(g, FINAL "x"));
    assert_false(begins(g, "12"));
    assert_true(takes(g, TO "now <|constrain|>json<|message|>{}"));
    assert_true(takes(g, COMMENT "x" NEXT FINAL "12"));
    grammar_close(g);
    json_decref(said);
}

static void an_answer_may_have_a_form_or_call(void **state)
{
    json_t *said = json_pack("{s:s, s:{s:{s:s}}, s:[s]}", "type", "object", "properties", "x",
                             "type", "integer", "required", "x");
    const struct tool_grammar_options o = {
        .format = tool_format_hermes(), .tools = tools, .many = true, .said = said};
    struct grammar *g = NULL;

    (void)state;
    ASSERT_OK(tool_grammar(&o, &g, &err));
    assert_true(takes(g, "{\"x\": 1}"));
    assert_true(takes(g, "<tool_call>\n" CALL "\n</tool_call>"));
    assert_true(
        takes(g, "<tool_call>\n" CALL "\n</tool_call>\n<tool_call>\n" CALL "\n</tool_call>"));
    assert_false(takes(g, ""));
    assert_false(begins(g, "{\"y"));
    assert_false(begins(g, "{\"x\": 1}<"));
    assert_false(begins(g, "<tool_call>\n" CALL "\n</tool_call>{"));
    grammar_close(g);
    json_decref(said);
}

static void each_format_is_written_as_its_models_do(void **state)
{
    static const struct {
        const char *format, *one, *two; /* two: NULL, it knows no more than one */
    } rows[] = {
        {"llama", "{\"name\": \"now\", \"parameters\": {}}", NULL},
        {"mistral", "[TOOL_CALLS][{\"name\": \"now\", \"arguments\": {}}]",
         "[TOOL_CALLS][{\"name\": \"now\", \"arguments\": {}}, {\"name\": \"now\", \"arguments\": {}}]"},
        {"mistral-args", "[TOOL_CALLS]now[ARGS]{}",
         "[TOOL_CALLS]now[ARGS]{}[TOOL_CALLS]now[ARGS]{}"},
        {"deepseek",
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
         "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
        {"deepseek-r1",
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```"
         "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```"
         "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```"
         "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
        {"python", "[now()]", "[now(), now()]"},
        {"lfm", "<|tool_call_start|>[now()]<|tool_call_end|>",
         "<|tool_call_start|>[now(), now()]<|tool_call_end|>"},
        {"olmo", "<function_calls>\nnow()\n</function_calls>",
         "<function_calls>\nnow()\nnow()\n</function_calls>"},
        {"harmony", "<|channel|>commentary to=functions.now <|constrain|>json<|message|>{}", NULL},
        {"xml", "<tool_call>\n<function=now>\n</function>\n</tool_call>",
         "<tool_call>\n<function=now>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct grammar *g = grammar_of(rows[i].format, true, true),
                       *single = grammar_of(rows[i].format, true, false);
        struct arena a = {0};
        struct tool_calls calls;
        const struct tool_options opt = {.format = format_named(rows[i].format), .tools = tools};

        if (!takes(g, rows[i].one) || !takes(single, rows[i].one))
            fail_msg("%s", rows[i].one);
        assert_false(takes(g, "text"));
        tool_calls_read(&opt, str_of(rows[i].one), &a, &calls);
        assert_int_equal(calls.n, 1);
        if (rows[i].two != NULL) {
            if (!takes(g, rows[i].two) || takes(single, rows[i].two))
                fail_msg("%s", rows[i].two);
            tool_calls_read(&opt, str_of(rows[i].two), &a, &calls);
            assert_int_equal(calls.n, 2);
            assert_int_equal(calls.text.len, 0);
        }
        arena_release(&a);
        grammar_close(g);
        grammar_close(single);
    }
}

static void xml_parameters_are_texts_or_json(void **state)
{
    json_t *own = NULL, *before = tools;
    struct error unheard;

    (void)state;
    assert_true(json_parse(
        STR("[{\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\"},"
            "\"n\":{\"type\":\"integer\"},\"e\":{\"type\":\"string\",\"enum\":[\"a\",\"ab\"]}},\"required\":[\"n\"]}}}]"),
        "tools", &own, &unheard));
    tools = own;
    struct grammar *g = grammar_of("xml", true, false);
#define XML(inside) "<tool_call>\n<function=f>\n" inside "</function>\n</tool_call>"
    assert_true(takes(g, XML("<parameter=n>\n12\n</parameter>\n")));
    assert_true(takes(
        g, XML("<parameter=s>\na </param <b>\n\n</parameter>\n<parameter=n>\n12\n</parameter>\n")));
    assert_true(takes(g, XML("<parameter=n>\n1\n</parameter>\n<parameter=e>\nab\n</parameter>\n")));
    assert_true(takes(g, XML("<parameter=n>\n1\n</parameter>\n<parameter=e>\na\n</parameter>\n")));
    assert_false(begins(g, XML("")));
    assert_false(begins(g, "<tool_call>\n<function=f>\n<parameter=e"));
    assert_false(begins(g, "<tool_call>\n<function=f>\n<parameter=n>\nx"));
    assert_false(begins(g, XML("<parameter=s>\nx\n</parameter>\n")));
    assert_false(
        begins(g, "<tool_call>\n<function=f>\n<parameter=n>\n1\n</parameter>\n<parameter=e>\nac"));
    grammar_close(g);
    tools = before;
    json_decref(own);
}

static void keywords_are_values_as_python_writes_them(void **state)
{
    json_t *own = NULL, *before = tools;
    struct error unheard;

    (void)state;
    assert_true(json_parse(
        STR("[{\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\"},"
            "\"n\":{\"type\":[\"integer\",\"null\"]},\"b\":{\"type\":\"boolean\"},\"c\":{\"enum\":[true,\"x\",null]},"
            "\"l\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}},"
            "\"u\":{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"enum\":[true,null,\"x\"]}},"
            "\"v\":{\"const\":[true,1]}},\"required\":[\"n\"]}}}]"),
        "tools", &own, &unheard));
    tools = own;
    struct grammar *g = grammar_of("python", true, false);
    assert_true(takes(g, "[f(n=12)]"));
    assert_true(takes(g, "[f(s=\"a\\n)\", n=None, b=True, c=True, l=[False, True])]"));
    assert_true(takes(g, "[f(n=1, c=\"x\")]"));
    assert_true(takes(g, "[f(n=1, c=None)]"));
    assert_true(takes(g, "[f(n=1, u=[None, \"x\", True], v=[True, 1])]"));
    assert_false(begins(g, "[f(n=1, u=[None, N"));
    assert_false(begins(g, "[f(n=1, u=[t"));
    assert_false(begins(g, "[f(n=1, v=[t"));
    assert_false(begins(g, "[f(n=1, b=t"));
    assert_false(begins(g, "[f(n=n"));
    assert_false(begins(g, "[f(n=1, c=F"));
    assert_false(begins(g, "[f(b"));
    assert_false(begins(g, "[f()"));
    assert_false(begins(g, "[f(n=1, s"));
    assert_false(begins(g, "[f(n=1)]["));
    assert_false(begins(g, "[f(n=1), "));
    grammar_close(g);
    json_t *properties = json_object_get(
        json_object_get(tool_function(json_array_get(own, 0)), "parameters"), "properties");
    json_object_set_new(properties, "a-b", json_pack("{s:s}", "type", "string"));
    const struct tool_grammar_options o = {
        .format = format_named("olmo"), .tools = tools, .required = true};
    ASSERT_FAILS(tool_grammar(&o, &g, &err), ERR_UNSUPPORTED, "the key \"a-b\" cannot be written");
    tools = before;
    json_decref(own);
}

static void what_is_strict_and_not_offered_is_refused_by_name(void **state)
{
    json_t *own = json_deep_copy(tools), *before = tools;
    struct grammar *g = NULL;

    (void)state;
    json_object_set_new(json_object_get(json_array_get(own, 1), "function"), "strict", json_true());
    tools = own;
    const struct tool_grammar_options o = {
        .format = tool_format_hermes(), .tools = tools, .required = true};
    ASSERT_FAILS(tool_grammar(&o, &g, &err), ERR_UNSUPPORTED,
                 "tools[1].function.parameters/properties/at: \"not\"");
    tools = before;
    json_decref(own);
}

/* Walks at random: whatever comes out is read as calls, and each has what its schema asks for. */
static void whatever_it_lets_through_is_read(void **state)
{
    static const char *const names[] = {"hermes",   "llama",       "mistral", "mistral-args",
                                        "deepseek", "deepseek-r1", "phi",     "granite",
                                        "harmony",  "python",      "olmo",    "lfm"};
    uint64_t x = 88172645463325252u;
    size_t n_whole = 0, n_calls = 0;

    (void)state;
    for (size_t round = 0; round < 1200; round++) {
        const char *name = names[round % COUNT_OF(names)];
        struct grammar *g = grammar_of(name, true, round % 2 == 0);
        const struct tool_options opt = {.format = format_named(name), .tools = tools};
        struct grammar_state s;
        struct arena a = {0};
        struct tool_calls calls;
        struct buf text;

        buf_init(&text, 1 << 16);
        grammar_begin(&s);
        while (text.len < 3000) {
            char fits[256];
            size_t n = 0;

            for (unsigned b = 0; b < 256; b++) {
                struct grammar_state next;
                const char byte = (char)b;

                grammar_copy(&next, &s);
                if (grammar_advance(g, &walk, &next, (struct str){&byte, 1}))
                    fits[n++] = byte;
            }
            x ^= x << 13, x ^= x >> 7, x ^= x << 17; /* xorshift64 */
            if (n == 0 || (grammar_complete(g, &s) && x % 3 > 0))
                break;
            char byte = fits[(x >> 20) % n];
            if (x % 4 > 0) /* or strings and objects would hardly end */
                for (size_t i = 0; i < n; i++)
                    byte = fits[i] == '"' || fits[i] == '}' || fits[i] == ']' ? fits[i] : byte;
            assert_true(grammar_advance(g, &walk, &s, (struct str){&byte, 1}));
            buf_char(&text, byte);
        }
        if (grammar_complete(g, &s)) {
            tool_calls_read(&opt, buf_view(&text), &a, &calls);
            if (calls.n == 0 || calls.text.len > 0)
                fail_msg("%s: %zu calls, text \"" STR_FMT "\": " STR_FMT, name, calls.n,
                         STR_ARG(calls.text), STR_ARG(buf_view(&text)));
            for (size_t i = 0; i < calls.n; i++) {
                json_t *v = json_loadb(calls.calls[i].arguments.ptr, calls.calls[i].arguments.len,
                                       JSON_ALLOW_NUL, NULL);

                assert_true(json_is_object(v));
                assert_true(!str_is(calls.calls[i].name, "weather") ||
                            json_is_string(json_object_get(v, "city")));
                json_decref(v);
            }
            n_whole++;
            n_calls += calls.n;
        }
        arena_release(&a);
        buf_release(&text);
        grammar_close(g);
    }
    print_message("             %zu whole, %zu calls\n", n_whole, n_calls);
    assert_true(n_whole > 900 && n_calls > n_whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_required_call_is_a_call),
        cmocka_unit_test(text_may_come_before_and_behind_calls),
        cmocka_unit_test(harmony_s_messages_stand_in_channels),
        cmocka_unit_test(an_answer_may_have_a_form_or_call),
        cmocka_unit_test(each_format_is_written_as_its_models_do),
        cmocka_unit_test(xml_parameters_are_texts_or_json),
        cmocka_unit_test(keywords_are_values_as_python_writes_them),
        cmocka_unit_test(what_is_strict_and_not_offered_is_refused_by_name),
        cmocka_unit_test(whatever_it_lets_through_is_read),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
