/*
 * tool_parser_test.c - what models write, as text and calls; the same however it is cut into pieces.
 */
#include "base/size.h"
#include "support/support.h"
#include "text/tool_parser.h"

#include <stdio.h>

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":{\"type\":\"object\",\"properties\":"
    "{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"add_2-x\",\"parameters\":{\"type\":\"object\"}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]";

static json_t *tools;
static struct error err;

static int open_tools(void **state)
{
    (void)state;
    return json_parse(str_of(tools_text), "tools", &tools, &err) ? 0 : -1;
}

static int close_tools(void **state)
{
    (void)state;
    json_decref(tools);
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

/* What was told, as one text: "TEXT|name(ARGUMENTS)|name(ARGUMENTS!" where ! is a call that is not whole. */
struct told {
    struct buf text, thinking, calls;
    size_t n, n_pieces;
    bool open;
};

static void on_text(void *ctx, struct str piece)
{
    struct told *t = ctx;

    assert_false(t->open);
    assert_true(piece.len > 0);
    buf_str(&t->text, piece);
}

static void on_thinking(void *ctx, struct str piece)
{
    struct told *t = ctx;

    assert_false(t->open);
    assert_true(piece.len > 0);
    buf_str(&t->thinking, piece);
}

static void on_call(void *ctx, size_t index, struct str name)
{
    struct told *t = ctx;

    assert_false(t->open);
    assert_int_equal(index, t->n);
    buf_char(&t->calls, '|');
    buf_str(&t->calls, name);
    buf_char(&t->calls, '(');
    t->open = true;
}

static void on_arguments(void *ctx, size_t index, struct str piece)
{
    struct told *t = ctx;

    assert_true(t->open);
    assert_int_equal(index, t->n);
    assert_true(piece.len > 0);
    buf_str(&t->calls, piece);
    t->n_pieces++;
}

static void on_end(void *ctx, size_t index, bool whole)
{
    struct told *t = ctx;

    assert_true(t->open);
    assert_int_equal(index, t->n++);
    buf_char(&t->calls, whole ? ')' : '!');
    t->open = false;
}

static void told_open(struct told *t)
{
    *t = (struct told){0};
    buf_init(&t->text, 1 << 20);
    buf_init(&t->thinking, 1 << 20);
    buf_init(&t->calls, 1 << 20);
}

static void told_release(struct told *t)
{
    buf_release(&t->text);
    buf_release(&t->thinking);
    buf_release(&t->calls);
}

static struct tool_sink sink_of(struct told *t)
{
    return (struct tool_sink){.ctx = t,
                              .text = on_text,
                              .thinking = on_thinking,
                              .call = on_call,
                              .arguments = on_arguments,
                              .end = on_end};
}

/* In pieces that end at a, at b, and at every step bytes from b on. */
static void read_cut(const struct tool_options *opt, struct str s, size_t a, size_t b, size_t step,
                     struct told *t)
{
    const struct tool_sink sink = sink_of(t);
    struct tool_parser p;

    tool_parser_init(&p, opt, &sink);
    tool_parser_put(&p, (struct str){s.ptr, a});
    tool_parser_put(&p, (struct str){s.ptr + a, b - a});
    for (size_t at = b; at < s.len; at += step)
        tool_parser_put(&p, (struct str){s.ptr + at, size_min(step, s.len - at)});
    tool_parser_end(&p);
    tool_parser_release(&p);
    assert_false(t->open);
}

static void assert_same_told(const struct told *a, const struct told *b, struct str s)
{
    if (!str_eq(buf_view(&a->text), buf_view(&b->text)) ||
        !str_eq(buf_view(&a->thinking), buf_view(&b->thinking)) ||
        !str_eq(buf_view(&a->calls), buf_view(&b->calls)))
        fail_msg(STR_FMT "\n  text \"" STR_FMT "\"\n    or \"" STR_FMT "\"\n  calls " STR_FMT
                         "\n     or " STR_FMT,
                 STR_ARG(s), STR_ARG(buf_view(&a->text)), STR_ARG(buf_view(&b->text)),
                 STR_ARG(buf_view(&a->calls)), STR_ARG(buf_view(&b->calls)));
}

/* Every two cuts of a short text, and pieces of every length: what is told is the same. Into *out. */
static void read_in_all_ways(const struct tool_options *opt, struct str s, struct told *out)
{
    struct told t;

    told_open(out);
    read_cut(opt, s, s.len, s.len, 1, out);
    for (size_t a = 0; a <= s.len; a++) {
        for (size_t b = a; b <= s.len; b += s.len > 150 ? 7 : 1) {
            told_open(&t);
            read_cut(opt, s, a, b, s.len, &t);
            assert_same_told(&t, out, s);
            told_release(&t);
        }
    }
    for (size_t step = 1; step <= s.len; step++) {
        told_open(&t);
        read_cut(opt, s, 0, 0, step, &t);
        assert_same_told(&t, out, s);
        told_release(&t);
    }
}

static void reads_all(const char *format, const char *answer, const char *text,
                      const char *thinking, const char *calls)
{
    struct tool_options opt = {.format = format_named(format), .tools = tools};
    struct told whole, eager;

    read_in_all_ways(&opt, str_of(answer), &whole);
    if (!str_is(buf_view(&whole.text), text) || !str_is(buf_view(&whole.calls), calls))
        fail_msg("%s\n  text \"" STR_FMT "\", expected \"%s\"\n  calls " STR_FMT ", expected %s",
                 answer, STR_ARG(buf_view(&whole.text)), text, STR_ARG(buf_view(&whole.calls)),
                 calls);
    ASSERT_STR(buf_view(&whole.thinking), thinking);
    opt.eager = true;
    read_in_all_ways(&opt, str_of(answer), &eager);
    if (str_find(buf_view(&eager.calls), STR("!"), 0) == eager.calls.len)
        assert_same_told(&eager, &whole, str_of(answer));
    told_release(&whole);
    told_release(&eager);
}

static void reads(const char *format, const char *answer, const char *text, const char *calls)
{
    reads_all(format, answer, text, "", calls);
}

#define CALL "{\"name\": \"weather\", \"arguments\": {\"city\": \"Zürich\", \"days\": 3}}"
#define GIVES "weather({\"city\": \"Zürich\", \"days\": 3})"

static void hermes_calls_are_read(void **state)
{
    (void)state;
    reads("hermes", "<tool_call>\n" CALL "\n</tool_call>", "", "|" GIVES);
    reads("hermes", "Let me see.\n\n<tool_call>\n" CALL "\n</tool_call>", "Let me see.", "|" GIVES);
    reads("hermes", "<tool_call>" CALL "</tool_call><tool_call>{\"name\":\"now\"}</tool_call>\n",
          "", "|" GIVES "|now({})");
    reads("hermes",
          "<tool_call>\n" CALL "\n</tool_call>\n<tool_call>\n" CALL "\n</tool_call> Done. \n",
          "Done. \n", "|" GIVES "|" GIVES);
    reads("hermes",
          "<tool_call>[{\"name\": \"add_2-x\", \"arguments\": {\"a\": [1, {\"b\": \"]}\"}]}}, " CALL
          "]</tool_call>",
          "", "|add_2-x({\"a\": [1, {\"b\": \"]}\"}]})|" GIVES);
    reads("hermes", "A <tool_call>" CALL "</tool_call> B <tool_call>" CALL "</tool_call> C",
          "A\nB\nC", "|" GIVES "|" GIVES);
}

static void leniency_ends_where_the_header_says(void **state)
{
    (void)state;
    reads("hermes", "<tool_call>" CALL, "", "|" GIVES);              /* no closing */
    reads("hermes", "<tool_call>" CALL "\n</tool_c", "", "|" GIVES); /* cut in it */
    reads("hermes", "<tool_call>{ \"arguments\" : { } ,\n \"name\" : \"now\" }", "", "|now({ })");
    reads("hermes",
          "<tool_call>{\"id\": 7, \"type\": \"function\", \"name\": \"now\", \"parameters\": {}}",
          "", "|now({})");
    reads("hermes",
          "<tool_call>{\"name\": \"now\", \"arguments\": \"{\\\"x\\\": \\\"\\u00e9\\\"}\"}", "",
          "|now({\"x\": \"é\"})");
}

static void what_is_no_call_stays_text(void **state)
{
    (void)state;
    reads("hermes", "", "", "");
    reads("hermes", " plain < text <tool \n", " plain < text <tool \n", "");
    reads("hermes", "a <tool_call>b", "a <tool_call>b", "");
    reads("hermes", "a \n<tool_call>\n{\"name\": \"nobody\", \"arguments\": {}}\n</tool_call>\n",
          "a \n<tool_call>\n{\"name\": \"nobody\", \"arguments\": {}}\n</tool_call>\n", "");
    reads("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": {\"x\": nope}}</tool_call>",
          "<tool_call>{\"name\": \"now\", \"arguments\": {\"x\": nope}}</tool_call>", "");
    reads("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": [1]}",
          "<tool_call>{\"name\": \"now\", \"arguments\": [1]}", "");
    reads("hermes", "<tool_call>{\"name\": \"now\", \"name\": \"now\", \"arguments\": {}}",
          "<tool_call>{\"name\": \"now\", \"name\": \"now\", \"arguments\": {}}", "");
    reads("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": {\"x\": 1}, \"else\": 2}",
          "<tool_call>{\"name\": \"now\", \"arguments\": {\"x\": 1}, \"else\": 2}", "");
    reads("hermes", "<tool_call>{\"arguments\": {}}", "<tool_call>{\"arguments\": {}}", "");
    reads("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": \"{x\"}",
          "<tool_call>{\"name\": \"now\", \"arguments\": \"{x\"}", "");
    reads("hermes", "<tool_call>{\"name\": \"now\", \"argu",
          "<tool_call>{\"name\": \"now\", \"argu", "");
    reads("hermes", "<tool_call>[" CALL ", {\"x\"]</tool_call>", ", {\"x\"]</tool_call>",
          "|" GIVES);
    /* the one behind it is still found */
    reads("hermes", "<tool_call>oh\n<tool_call>" CALL "</tool_call>", "<tool_call>oh", "|" GIVES);
    reads("hermes", "<tool_call><tool_call>" CALL "</tool_call>", "<tool_call>", "|" GIVES);
}

static void xml_calls_are_read(void **state)
{
    (void)state;
    reads(
        "xml",
        "Sure.\n<tool_call>\n<function=weather>\n<parameter=city>\n3\n</parameter>\n<parameter=days>\n3\n"
        "</parameter>\n</function>\n</tool_call>",
        "Sure.", "|weather({\"city\":\"3\",\"days\":3})");
    reads("xml", "<tool_call>\n<function=now>\n</function>\n</tool_call>", "", "|now({})");
    reads(
        "xml",
        "<tool_call><function=add_2-x><parameter=code>\n\nif (a < b)\n\n</parameter><parameter=on>True</parameter>"
        "<parameter=list>\n[1, 2]\n</parameter></function></tool_call>",
        "", "|add_2-x({\"code\":\"\\nif (a < b)\\n\",\"on\":true,\"list\":[1,2]})");
    reads("xml", "<tool_call>\n<function=nobody>\n</function>\n</tool_call>",
          "<tool_call>\n<function=nobody>\n</function>\n</tool_call>", "");
    reads("xml", "<tool_call>\n<function=now>\n<parameter=x>\n1\n",
          "<tool_call>\n<function=now>\n<parameter=x>\n1\n", "");
}

static void llama_calls_are_read(void **state)
{
    (void)state;
    reads("llama", "{\"name\": \"weather\", \"parameters\": {\"city\": \"Bern\"}}", "",
          "|weather({\"city\": \"Bern\"})");
    reads("llama",
          "\n<|python_tag|>{\"type\": \"function\", \"name\": \"now\", \"parameters\": {}}", "",
          "|now({})");
    reads(
        "llama",
        "{\"name\": \"now\", \"parameters\": {}}; {\"name\": \"now\", \"parameters\": {\"x\": 1}}",
        "", "|now({})|now({\"x\": 1})");
    reads("llama", "It is {\"name\": \"now\", \"parameters\": {}}",
          "It is {\"name\": \"now\", \"parameters\": {}}", "");
    reads("llama", " {\"temperature\": 3} ", " {\"temperature\": 3} ", "");
    reads("llama", "<|python_tag|>print(1)", "<|python_tag|>print(1)", "");
    reads("llama", "<|pyt", "<|pyt", "");
}

static void mistral_calls_are_read(void **state)
{
    (void)state;
    reads("mistral",
          "[TOOL_CALLS][" CALL ", {\"name\": \"now\", \"arguments\": {}, \"id\": \"Ab3dEf6h9\"}]",
          "", "|" GIVES "|now({})");
    reads("mistral", "Hm. [TOOL_CALLS] [ {\"name\": \"nobody\"} ]",
          "Hm. [TOOL_CALLS] [ {\"name\": \"nobody\"} ]", "");
    reads("mistral-args",
          "[TOOL_CALLS]weather[ARGS]{\"city\": \"Bern\"}[TOOL_CALLS]now[CALL_ID]Ab3[ARGS]{}", "",
          "|weather({\"city\": \"Bern\"})|now({})");
    reads("mistral-args", "[TOOL_CALLS]weather[ARGS]{\"city\"",
          "[TOOL_CALLS]weather[ARGS]{\"city\"", "");
    reads("mistral-args", "[TOOL_CALLS]weather", "[TOOL_CALLS]weather", "");
}

static void phi_and_granite_calls_are_read(void **state)
{
    (void)state;
    reads("phi", "<|tool_call|>[" CALL ", {\"name\": \"now\"}]<|/tool_call|>", "",
          "|" GIVES "|now({})");
    reads("phi", "I look.<|tool_call|>" CALL "<|/tool_call|>", "I look.", "|" GIVES);
    reads("phi", "<|tool_call|>[" CALL, "", "|" GIVES);
    reads("granite", "<|tool_call|> [" CALL "]", "", "|" GIVES);
    reads("granite", "<|tool_call|>none", "<|tool_call|>none", "");
}

/* What templates make of the probe, in the form of each: it is told from all others. */
static void each_format_is_found_by_what_is_written(void **state)
{
#define PROBE                                                                                      \
    "{\"name\": \"" TOOL_PROBE_NAME "\", \"arguments\": {\"" TOOL_PROBE_KEY                        \
    "\": \"" TOOL_PROBE_VALUE "\"}}"
#define ARGUMENTS "{\"" TOOL_PROBE_KEY "\": \"" TOOL_PROBE_VALUE "\"}"
    static const struct {
        const char *format, *rendered;
    } all[] = {
        {"hermes", "<|im_start|>assistant\n<tool_call>\n" PROBE "\n</tool_call><|im_end|>\n"},
        {"xml", "<tool_call>\n<function=" TOOL_PROBE_NAME ">\n<parameter=" TOOL_PROBE_KEY
                ">\n" TOOL_PROBE_VALUE "\n</parameter>\n</function>\n</tool_call><|im_end|>"},
        {"mistral", "[TOOL_CALLS] [" PROBE "]</s>[TOOL_RESULTS] {}[/TOOL_RESULTS]"},
        {"mistral-args", "[TOOL_CALLS]" TOOL_PROBE_NAME "[ARGS]" ARGUMENTS "</s>"},
        {"mistral-args",
         "[TOOL_CALLS]" TOOL_PROBE_NAME "[CALL_ID]" TOOL_PROBE_ID "[ARGS]" ARGUMENTS "</s>"},
        {"phi", "<|assistant|><|tool_call|>[" PROBE "]<|/tool_call|><|end|>"},
        {"granite",
         "<|start_of_role|>assistant<|end_of_role|><|tool_call|>[" PROBE "]<|end_of_text|>"},
        {"deepseek", "<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>" TOOL_PROBE_NAME
                     "<｜tool▁sep｜>" ARGUMENTS "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
        {"deepseek-r1",
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>" TOOL_PROBE_NAME
         "\n```json\n" ARGUMENTS "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
        {"llama", "<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"" TOOL_PROBE_NAME
                  "\", \"parameters\": " ARGUMENTS "}<|eot_id|>"},
#define IN_PYTHON TOOL_PROBE_NAME "(" TOOL_PROBE_KEY "=\"" TOOL_PROBE_VALUE "\")"
        {"olmo",
         "<|im_start|>assistant\n<function_calls>\n" IN_PYTHON "\n</function_calls><|im_end|>"},
        {"olmo", "<function_calls>" IN_PYTHON "</function_calls>"},
        {"lfm", "<|tool_call_start|>[" IN_PYTHON "]<|tool_call_end|><|im_end|>"},
        {"python", "<|header_start|>assistant<|header_end|>\n\n[" IN_PYTHON "]<|eot|>"},
        {"python", "<|python_start|>[" IN_PYTHON "]<|python_end|><|eot|>"},
        {NULL, "call " IN_PYTHON},
        {"harmony",
         "<|start|>system<|message|>Hi<|end|><|start|>user<|message|>Hi<|end|><|start|>assistant to=functions." TOOL_PROBE_NAME
         "<|channel|>commentary json<|message|>" ARGUMENTS
         "<|call|><|start|>functions." TOOL_PROBE_NAME
         " to=assistant<|channel|>commentary<|message|>\"1\"<|end|><|start|>assistant"},
        {"harmony",
         "<|start|>assistant<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>"
         "commentary to=functions." TOOL_PROBE_NAME " <|constrain|>json<|message|>" ARGUMENTS
         "<|end|>"},
        {NULL, "to=functions." TOOL_PROBE_NAME "<|channel|>commentary json<|message|>" ARGUMENTS},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        const struct tool_format *f = tool_format_of(str_of(all[i].rendered));

        if ((f == NULL) != (all[i].format == NULL) ||
            (f != NULL && strcmp(f->name, all[i].format) != 0))
            fail_msg("%s is taken for %s", all[i].rendered, f != NULL ? f->name : "none");
    }
}

#define TO(name) "<|channel|>commentary to=functions." name " <|constrain|>json<|message|>"
#define SAYS(channel, text) "<|channel|>" channel "<|message|>" text
#define NEXT "<|end|><|start|>assistant"

static void harmony_calls_are_read(void **state)
{
    (void)state;
    reads("harmony", TO("weather") "{\"city\": \"Bern\"}<|call|>", "",
          "|weather({\"city\": \"Bern\"})");
    reads("harmony", TO("now") "{}", "", "|now({})"); /* the token behind it is no text */
    reads("harmony", " to=functions.now<|channel|>commentary json<|message|> {\"x\": 1} <|call|>",
          "", "|now({\"x\": 1})");
    reads("harmony", "to=functions.now<|channel|>commentary<|message|>{}<|call|>", "", "|now({})");
    reads("harmony", "<|channel|>analysis to=functions.now code<|message|>{}<|call|>", "",
          "|now({})");
    reads("harmony", "<|channel|>commentary to=functions.now <|constrain|> json<|message|>{}", "",
          "|now({})");
    reads("harmony", SAYS("final", "Yes. "), "Yes. ", "");
    reads("harmony", SAYS("final", "Yes.") "<|return|>", "Yes.", "");
    reads("harmony", SAYS("commentary", "I look.") NEXT TO("now") "{}<|call|>", "I look.",
          "|now({})");
    reads("harmony",
          SAYS("commentary", "I look.") NEXT " to=functions.now" SAYS("commentary json", "{}"),
          "I look.", "|now({})");
    reads("harmony",
          TO("now") "{}<|call|><|start|>assistant" TO("add_2-x") "{\"a\": []}<|call|>"
                                                                 "<|start|>assistant" SAYS("final",
                                                                                           "Both."),
          "Both.", "|now({})|add_2-x({\"a\": []})");
    reads_all("harmony",
              SAYS("analysis", "so") NEXT SAYS("commentary", "Well.") NEXT SAYS("analysis", "then")
                  NEXT SAYS("final", "\nYes <|en"),
              "Well.\nYes <|en", "\nso\nthen", "");
    reads_all("harmony", SAYS("analysis", "") NEXT SAYS("final", ""), "", "", "");
    reads_all("harmony", SAYS("analysis", "cut <|e"), "", "\ncut <|e", "");
}

static void what_is_no_message_of_harmony_s_is_text(void **state)
{
#define NOBODY TO("nobody") "{\"a\": 1}"
    char long_header[400];

    (void)state;
    reads("harmony", " Hello <|channel|>", " Hello <|channel|>", "");
    reads("harmony", "<|channel|>fin", "<|channel|>fin", "");
    reads("harmony", "<|channel|>commentary to=functions.now <|constrain|>js",
          "<|channel|>commentary to=functions.now <|constrain|>js", "");
    reads("harmony", "<|channel|><|message|>x", "<|channel|><|message|>x", "");
    reads("harmony", "<|channel|>final and more<|message|>x",
          "<|channel|>final and more<|message|>x", "");
    reads("harmony", "to=functions.now<|message|>{}", "to=functions.now<|message|>{}", "");
    reads("harmony", NOBODY "<|call|>", NOBODY, "");
    reads("harmony", "<|channel|>commentary to=now<|message|>{}",
          "<|channel|>commentary to=now<|message|>{}", "");
    reads("harmony", NOBODY NEXT SAYS("final", "x"), NOBODY "\nx", "");
    reads("harmony", TO("now") "print()<|call|>", TO("now") "print()", "");
    reads("harmony", TO("now") "[1]", TO("now") "[1]", "");
    reads("harmony", SAYS("final", "a") NEXT TO("now") "{\"x\"", "a\n" TO("now") "{\"x\"", "");
    reads("harmony", SAYS("final", "a") "<|end|><|start|>user<|message|>b",
          "a\n<|start|>user<|message|>b", "");
    reads("harmony", SAYS("final", "a") "<|end|> and", "a\nand", "");
    reads("harmony", SAYS("final", "a") "<|end|><|start|>assis", "a", "");
    memset(long_header, ' ', sizeof long_header);
    memcpy(long_header, "<|channel|>", 11);
    memcpy(long_header + 300, "final<|message|>x", sizeof "final<|message|>x");
    reads("harmony", long_header, long_header, "");
}

static void calls_in_python_are_read(void **state)
{
    (void)state;
    reads("python", "[weather(city=\"Paris\", days=3), now()]", "",
          "|weather({\"city\":\"Paris\",\"days\":3})|now({})");
    reads("python", " \n<|python_start|>[now()]<|python_end|>", "", "|now({})");
    reads("python", "[ now ( x = 1 , ) , now( ) ] ", "", "|now({\"x\":1})|now({})");
    reads("python", "[now(x='a\\'b\\n\\x41\\u00e9\\U0001F600\\101\\q\\\\', y=\"\", z='')]", "",
          "|now({\"x\":\"a'b\\nA\303\251\360\237\230\200A\\\\q\\\\\",\"y\":\"\",\"z\":\"\"})");
    reads("python", "[now(x=\"\\ud83d\\ude00\\ud83d \\/\", y=\"\"\"a\"b\nc\"\"\", z=')]')]", "",
          "|now({\"x\":\"\360\237\230\200\357\277\275 /\",\"y\":\"a\\\"b\\nc\",\"z\":\")]\"})");
    reads(
        "python",
        "[now(a=True, b=False, c=None, d=true, e=null, f=-1.5e3, g=+2, h=.5, i=1., j=[1, [], {\"k\": [2,]}])]",
        "",
        "|now({\"a\":true,\"b\":false,\"c\":null,\"d\":true,\"e\":null,\"f\":-1500.0,\"g\":2,\"h\":0.5,\"i\":1.0,"
        "\"j\":[1,[],{\"k\":[2]}]})");
    reads("python", "[now(a={'x': 1, 'x': 2})]", "", "|now({\"a\":{\"x\":2}})");
    reads("olmo", "Well.\n<function_calls>\nweather(city='Bern')\nnow()\n</function_calls>",
          "Well.", "|weather({\"city\":\"Bern\"})|now({})");
    reads("olmo", "<function_calls>now()</function_calls> Done", "Done", "|now({})");
    reads("olmo", "<function_calls>now()", "", "|now({})");
    reads("olmo", "<function_calls>\nnow()\nand more", "and more", "|now({})");
    reads("lfm", "<|tool_call_start|>[now(), weather(days=1)]<|tool_call_end|>I look.", "I look.",
          "|now({})|weather({\"days\":1})");
}

static void what_python_would_not_call_is_text(void **state)
{
    static const char *const texts[] = {
        "[1] says so",
        "[nobody()]",
        "[now]",
        "[now(1)]",
        "[now(x=)]",
        "[now(x=1 y=2)]",
        "[now(x=1, x=2)]",
        "[now(x=y)]",
        "[now(x=\"a)]",
        "[now(x=[1)]",
        "[now(x=1])]",
        "[now(x=now())]",
        "[now(x={1: 2})]",
        "[now(x=1e)]",
        "[now(x=01)]",
        "[now(x='\\x4')]",
        "[now(x=\"\\",
        "[now(x=((1)))]",
        "now()",
        "So: [now()]",
        "[",
        "[now(x=1",
        " [ ",
        "[now(x=9999999999999999999999)]",
        "[now(x={'a': 1)]",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        reads("python", texts[i], texts[i], "");
    reads("lfm", "<|tool_call_start|>[now(]<|tool_call_end|>",
          "<|tool_call_start|>[now(]<|tool_call_end|>", "");
    reads("python", "[now(), nobody()]", ", nobody()]", "|now({})");
    reads("olmo", "<function_calls>\nnow(x)\n</function_calls>",
          "<function_calls>\nnow(x)\n</function_calls>", "");
}

static void deepseek_calls_are_read(void **state)
{
    (void)state;
    reads(
        "deepseek",
        "Yes<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
        "<｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\": \"Bern\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "Yes", "|now({})|weather({\"city\": \"Bern\"})");
    reads(
        "deepseek-r1",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{\"x\": \"```\"}\n```"
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "", "|now({\"x\": \"```\"})");
    reads("deepseek", "<｜tool▁calls▁begin｜>no", "<｜tool▁calls▁begin｜>no", "");
}

static void an_eager_call_is_told_while_it_is_written(void **state)
{
    static const char answer[] = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": ";
    const struct tool_options opt = {.format = tool_format_hermes(), .tools = tools, .eager = true};
    struct told t;
    const struct tool_sink sink = sink_of(&t);
    struct tool_parser p;

    (void)state;
    told_open(&t);
    tool_parser_init(&p, &opt, &sink);
    tool_parser_put(&p, STR(answer));
    ASSERT_STR(buf_view(&t.calls), "|weather({\"city\": ");
    tool_parser_put(&p, STR("\"Be"));
    ASSERT_STR(buf_view(&t.calls), "|weather({\"city\": \"Be");
    tool_parser_put(&p, STR("rn\"}} and"));
    ASSERT_STR(buf_view(&t.calls), "|weather({\"city\": \"Bern\"})");
    assert_true(t.n_pieces >= 3);
    tool_parser_end(&p);
    ASSERT_STR(buf_view(&t.text), "and");
    tool_parser_release(&p);
    told_release(&t);
}

static void an_eager_call_that_breaks_ends_and_the_rest_is_text(void **state)
{
    const struct tool_options opt = {.format = tool_format_hermes(), .tools = tools, .eager = true};
    struct told t;

    (void)state;
    read_in_all_ways(
        &opt, STR("So <tool_call>{\"name\": \"now\", \"arguments\": {\"x\": nope}}</tool_call>"),
        &t);
    ASSERT_STR(buf_view(&t.calls), "|now({\"x\": n!"); /* null, perhaps, until the o */
    ASSERT_STR(buf_view(&t.text), "So\nope}}</tool_call>");
    told_release(&t);
    read_in_all_ways(&opt, STR("<tool_call>{\"name\": \"now\", \"arguments\": {\"x\": \"cut"), &t);
    ASSERT_STR(buf_view(&t.calls), "|now({\"x\": \"cut!");
    ASSERT_STR(buf_view(&t.text), "");
    told_release(&t);
}

static void calls_past_the_most_stay_text(void **state)
{
    const struct tool_options opt = {
        .format = tool_format_hermes(), .tools = tools, .max_calls = 1};
    struct told t;

    (void)state;
    read_in_all_ways(&opt, STR("<tool_call>" CALL "</tool_call>\n<tool_call>" CALL "</tool_call>"),
                     &t);
    ASSERT_STR(buf_view(&t.calls), "|" GIVES);
    ASSERT_STR(buf_view(&t.text), "<tool_call>" CALL "</tool_call>");
    told_release(&t);
    read_in_all_ways(&opt, STR("<tool_call>[" CALL ", " CALL "]</tool_call>"), &t);
    ASSERT_STR(buf_view(&t.calls), "|" GIVES);
    ASSERT_STR(buf_view(&t.text), ", " CALL "]</tool_call>");
    told_release(&t);
}

/* Texts put together from what calls are made of, at random: however they are cut, the same is told. */
static void any_text_is_read_the_same_however_it_is_cut(void **state)
{
    static const char *const parts[] = {
        "<tool_call>",
        "</tool_call>",
        "\n",
        " ",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"name\"",
        "\"now\"",
        "\"weather\"",
        "\"arguments\"",
        "\"parameters\"",
        "{}",
        "{\"x\": 1}",
        "x",
        "é",
        CALL,
        "<function=now>",
        "</function>",
        "<parameter=city>",
        "</parameter>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "now",
        "weather",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
        "function<｜tool▁sep｜>",
        "\n```json\n",
        "\n```",
        "<|python_tag|>",
        ";",
        "{\"name\": \"now\", \"arguments\": ",
        "[TOOL_CALLS]now[ARGS]",
        "<tool_call>" CALL,
        "[TOOL_CALLS][" CALL,
        "{\"name\": \"now\", \"parameters\": {}}",
        "<tool_call><function=now>",
        "<｜tool▁call▁begin｜>now<｜tool▁sep｜>",
        "<tool_call>\n",
        "\\",
        "\"{}\"",
        "-1.5e3",
    };
    uint64_t x = 88172645463325252u;
    size_t n_formats, n_calls = 0;
    const struct tool_format *all = tool_formats(&n_formats);

    (void)state;
    for (size_t round = 0; round < 20000; round++) {
        struct tool_options opt = {
            .format = &all[round % n_formats], .tools = tools, .eager = round / 7 % 2 == 1};
        struct told whole, cut;
        struct buf b;

        buf_init(&b, 1 << 16);
        for (size_t i = 0; i < 3 + round % 12; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17; /* xorshift64 */
            buf_text(&b, parts[(x >> 20) % COUNT_OF(parts)]);
        }
        told_open(&whole);
        read_cut(&opt, buf_view(&b), b.len, b.len, 1, &whole);
        n_calls += whole.n;
        for (size_t step = 1; step <= 5; step++) {
            const size_t a = (x >> 8) % b.len, at = size_max(a, b.len * (step - 1) / 5);

            told_open(&cut);
            read_cut(&opt, buf_view(&b), a, at, step, &cut);
            assert_same_told(&cut, &whole, buf_view(&b));
            told_release(&cut);
        }
        told_release(&whole);
        buf_release(&b);
    }
    print_message("             %zu calls\n", n_calls);
    assert_true(n_calls > 100);
}

static void ids_are_letters_and_depend_on_all_three(void **state)
{
    char a[TOOL_ID_BYTES], b[TOOL_ID_BYTES];

    (void)state;
    tool_call_id(STR("chatcmpl-1"), 0, 0, a);
    assert_int_equal(strlen(a), 29);
    assert_memory_equal(a, "call_", 5);
    for (const char *c = a + 5; *c != '\0'; c++)
        assert_true((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z'));
    tool_call_id(STR("chatcmpl-1"), 0, 0, b);
    assert_string_equal(a, b);
    tool_call_id(STR("chatcmpl-2"), 0, 0, b);
    assert_string_not_equal(a, b);
    tool_call_id(STR("chatcmpl-1"), 1, 0, b);
    assert_string_not_equal(a, b);
    tool_call_id(STR("chatcmpl-1"), 0, 1, b);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hermes_calls_are_read),
        cmocka_unit_test(leniency_ends_where_the_header_says),
        cmocka_unit_test(what_is_no_call_stays_text),
        cmocka_unit_test(xml_calls_are_read),
        cmocka_unit_test(llama_calls_are_read),
        cmocka_unit_test(mistral_calls_are_read),
        cmocka_unit_test(harmony_calls_are_read),
        cmocka_unit_test(what_is_no_message_of_harmony_s_is_text),
        cmocka_unit_test(calls_in_python_are_read),
        cmocka_unit_test(what_python_would_not_call_is_text),
        cmocka_unit_test(deepseek_calls_are_read),
        cmocka_unit_test(phi_and_granite_calls_are_read),
        cmocka_unit_test(each_format_is_found_by_what_is_written),
        cmocka_unit_test(an_eager_call_is_told_while_it_is_written),
        cmocka_unit_test(an_eager_call_that_breaks_ends_and_the_rest_is_text),
        cmocka_unit_test(calls_past_the_most_stay_text),
        cmocka_unit_test(any_text_is_read_the_same_however_it_is_cut),
        cmocka_unit_test(ids_are_letters_and_depend_on_all_three),
    };

    return cmocka_run_group_tests(tests, open_tools, close_tools);
}
