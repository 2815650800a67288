/*
 * json_schema_test.c - the texts that a schema's grammar accepts: valid ones whole, others up to their first wrong byte.
 */
#include "support/numbers.h"
#include "support/support.h"
#include "text/json_schema.h"

#include <stdio.h>

#define WHAT "schema"

static struct grammar_walk walk;

static int set_up(void **state)
{
    struct error err = {0};

    (void)state;
    return grammar_walk_open(&walk, &err) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    grammar_walk_close(&walk);
    return 0;
}

static bool try_schema(const char *text, struct grammar **g, struct error *err)
{
    json_t *schema = NULL;
    struct error e = {0};

    if (!json_parse(str_of(text), "a test's schema", &schema, &e))
        fail_msg("%s", e.message);
    const bool ok = json_schema_grammar(schema, WHAT, g, err);
    json_decref(schema);
    return ok;
}

static struct grammar *grammar_of(const char *text)
{
    struct error err = {0};
    struct grammar *g = NULL;

    if (!try_schema(text, &g, &err))
        fail_msg("%s: %s", text, err.message);
    return g;
}

/* How many bytes of text are accepted, one by one; *complete: whether the text may end there. */
static size_t accepted(const struct grammar *g, struct str text, bool *complete)
{
    struct grammar_state s;
    size_t n = 0;

    grammar_begin(&s);
    while (n < text.len && grammar_advance(g, &walk, &s, (struct str){text.ptr + n, 1}))
        n++;
    *complete = grammar_complete(g, &s);
    assert_int_equal(walk.used, 0);

    struct grammar_state at_once; /* the same in one piece */
    grammar_begin(&at_once);
    assert_true(grammar_advance(g, &walk, &at_once, (struct str){text.ptr, n}));
    assert_int_equal(at_once.n_levels, s.n_levels);
    assert_memory_equal(at_once.end, s.end, s.n_levels * sizeof *s.end);
    assert_memory_equal(at_once.items, s.items, s.end[s.n_levels - 1] * sizeof *s.items);
    return n;
}

/* A line of texts is "text", valid; or "good|bad", where bad's first byte is the first that may not come; "good|" must go on. */
static void check(const char *schema, const char *const *texts, size_t n)
{
    struct grammar *g = grammar_of(schema);

    for (size_t i = 0; i < n; i++) {
        const struct str line = str_of(texts[i]);
        const size_t bar = str_find(line, STR("|"), 0);
        struct buf text;
        bool complete;

        buf_init(&text, 1 << 20);
        buf_put(&text, line.ptr, bar);
        if (bar < line.len)
            buf_str(&text, str_from(line, bar + 1));
        const size_t got = accepted(g, buf_view(&text), &complete);
        if (got != bar)
            fail_msg("%s\n  %s\n  accepts %zu bytes, expected %zu", schema, texts[i], got, bar);
        if (bar == line.len && !complete)
            fail_msg("%s\n  %s\n  may not end", schema, texts[i]);
        if (bar + 1 == line.len && complete)
            fail_msg("%s\n  %s\n  may end", schema, texts[i]);
        buf_release(&text);
    }
    grammar_close(g);
}

#define CHECK(schema, ...)                                                                         \
    do {                                                                                           \
        static const char *const texts_[] = {__VA_ARGS__};                                         \
        check(schema, texts_, sizeof texts_ / sizeof *texts_);                                     \
    } while (0)

static void scalars(void **state)
{
    (void)state;
    CHECK("{\"type\":\"boolean\"}", "true", "false", "tru|", "t|x", "|null", "true| ");
    CHECK("{\"type\":\"null\"}", "null", "|true");
    CHECK("{\"type\":[\"string\",\"null\"]}", "null", "\"\"", "\"a\"", "|1");
    CHECK("{\"type\":\"integer\"}", "0", "-1", "120", "9999999999999999", "9999999999999999|9",
          "-|0", "0|1", "1|.", "1|e", "|+1", "-|");
    CHECK("{\"type\":\"number\"}", "0", "-0.5", "1.25e+10", "1E5", "1e99", "1e99|9", "0.|",
          "1.12345678901234567890|1", "|.5", "1e|", "1e+|", "-0", "0|0");
}

static void strings(void **state)
{
    (void)state;
    CHECK("{\"type\":\"string\"}", "\"\"", "\"a b\"", "\"\xc3\xa9\"", "\"\xe2\x82\xac\"",
          "\"\xf0\x9f\x98\x80\"", "\"\\n\\\"\\\\\\/\"", "\"\\u00e9\"", "\"\\ud83d\\ude00\"",
          "\"\\ud7ff\"", "\"\\uE000\"", "\"a|", "\"|\n", "\"|\t", "\"\\|x", "\"\\u00|g", "\"\\u|",
          "\"\\ud|e", "\"\\ud800|\"", "\"\\ud800|a", "\"\\ud800\\|n", "\"\\ud800\\u|0",
          "\"\\ud800\\ud|8", "\"|\x80", "\"|\xc0", "\"|\xc1", "\"\xe0|\x80", "\"\xed|\xa0",
          "\"\xf0|\x80", "\"\xf4|\x90", "\"|\xf5", "\"\xe2\x82|\"", "\"\"|\"");
    CHECK("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"ab\"", "\"abc\"", "\"a|\"",
          "\"abc|d", "\"\xc3\xa9\xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00|\"", "\"a\\ud83d\\ude00\"",
          "\"abc|\\", "\"ab\\u0041|x");
    CHECK("{\"type\":\"string\",\"minLength\":1.0,\"maxLength\":2.0}", "\"a\"", "\"ab|c", "\"|\"");
    CHECK("{\"type\":\"string\",\"maxLength\":0}", "\"\"", "\"|a");
}

static void constants(void **state)
{
    (void)state;
    CHECK("{\"enum\":[\"good\",\"gone\",\"a\\\"b\",1,12,true,null,\"\xc3\xa9\"]}", "\"good\"",
          "\"gone\"", "\"a\\\"b\"", "1", "12", "1|3", "true", "null", "\"\xc3\xa9\"", "\"go|d",
          "\"g|a", "\"goo|", "|false");
    CHECK("{\"const\":\"x\"}", "\"x\"", "\"|y");
    CHECK("{\"type\":\"string\",\"enum\":[\"a\",1]}", "\"a\"", "|1");
    CHECK("{\"type\":\"integer\",\"const\":-5}", "-5", "-|6");
    CHECK("{\"type\":\"integer\",\"enum\":[1.0,2,3.5]}", "1.0", "2", "|3");
}

/* As they are written, and on the levels of what stands beside them. */
static void arrays_and_objects_as_constants(void **state)
{
    (void)state;
    CHECK("{\"const\":{\"a\":[1,{}],\"b\":null}}", "{\"a\":[1,{}],\"b\":null}",
          "{\"a\": [1, {}], \"b\": null}", "{\"|b", "{\"a\":[1|]", "{\"a\":[1,{|\"");
    CHECK("{\"enum\":[[],[1,\"x\"],[1,2],{\"k\":1},\"[]\"]}", "[]", "[1,\"x\"]", "[1, 2]",
          "{\"k\": 1}", "\"[]\"", "[1|]", "{|}", "[1,\"x\"|,");
    CHECK(
        "{\"anyOf\":[{\"const\":[\"a\",\"b\"]},{\"type\":\"array\",\"items\":{\"type\":\"string\"},"
        "\"maxItems\":1}]}",
        "[\"a\",\"b\"]", "[\"abc\"]", "[\"a\"]", "[\"abc\"|,");
    CHECK("{\"enum\":[[1],[1,2],[3],\"a\",{\"k\":1}],\"maxItems\":1,\"items\":{\"maximum\":2}}",
          "[1]", "\"a\"", "{\"k\":1}", "[1|,", "[|3");
    CHECK("{\"type\":[\"array\",\"null\"],\"enum\":[[1],{},null]}", "[1]", "null", "|{");
    CHECK("{\"enum\":[[1],[2]],\"const\":[1.0]}", "[1.0]", "[1|]", "[|2");
    CHECK("{\"oneOf\":[{\"const\":{\"a\":1}},{\"const\":{\"a\":2}}]}", "{\"a\":2}");
}

static void bounds(void **state)
{
    (void)state;
    CHECK("{\"type\":\"integer\",\"minimum\":1,\"maximum\":7}", "1", "7", "|0", "|8", "1|0", "|-");
    CHECK("{\"type\":\"integer\",\"minimum\":-12,\"maximum\":105}", "-12", "-1|3", "-9", "105",
          "10|6", "99", "0", "-|0", "11|0");
    CHECK("{\"type\":\"integer\",\"minimum\":8,\"maximum\":112}", "8", "1|", "11", "112", "2|",
          "25", "25|0", "11|3");
    CHECK("{\"type\":\"integer\",\"exclusiveMinimum\":1,\"exclusiveMaximum\":3}", "2", "|1", "|3");
    CHECK("{\"type\":\"integer\",\"minimum\":1.5,\"maximum\":3.5}", "2", "3", "|1", "|4");
    CHECK("{\"type\":\"integer\",\"maximum\":-3}", "-3", "-10", "-2|", "-|0", "|0");
    CHECK("{\"type\":\"number\",\"minimum\":0,\"maximum\":1}", "0", "1", "0.5", "1.000", "1.0|1",
          "0.99999999999999999999", "|2", "|-", "0|e", "0|1");
    CHECK("{\"type\":\"number\",\"minimum\":-1.5,\"maximum\":2.25}", "-1.5", "-1.5|1", "-1.49",
          "2.25", "2.2|6", "2.1999", "-0.0", "0.1", "-|2", "2.250|1", "1.9");
    CHECK("{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":10}", "10", "0.1", "0.|", "0.0|",
          "0.00000000000001", "0.0000000000000|0", "1.12345678901234567890", "5", "10.0", "10.0|1",
          "0.30000000000000004");
    CHECK("{\"type\":\"number\",\"minimum\":0.25}", "0.25", "0.2|4", "0.3", "100.5", "0.|");
    /* one digit more would be read as the bound */
    CHECK("{\"type\":\"number\",\"minimum\":0,\"exclusiveMaximum\":1}", "0.99999999999999",
          "0.99999999999999|9", "0.99999999999998999999", "0.09804999999999997");
    CHECK("{\"type\":\"number\",\"exclusiveMinimum\":99,\"exclusiveMaximum\":101}",
          "99.0000000000001", "99.0000000000001|0", "99.00000000000020000000",
          "100.00000000000000000001", "100.999999999999", "100.999999999999|9",
          "100.99999999999800000001");
    CHECK("{\"type\":\"number\",\"exclusiveMinimum\":-0.5,\"maximum\":3}", "-0.49999999999999",
          "-0.49999999999999|9", "-0.09804999999999997", "-0.4999999999999800000");
    CHECK("{\"type\":\"number\",\"exclusiveMaximum\":100}", "9.99999999999999999999",
          "99.9999999999999", "99.9999999999999|9", "99.99999999999980000001");
    /* with a fraction it would be read as ...992, or ...996 */
    CHECK("{\"type\":\"number\",\"minimum\":9007199254740993}", "9007199254740993",
          "9007199254740993|.0", "900719925474099|2");
    CHECK("{\"type\":\"number\",\"maximum\":9007199254740995}", "9007199254740995",
          "9007199254740995|.0", "900719925474099.5");
    CHECK("{\"type\":\"number\",\"exclusiveMaximum\":0}", "-1", "-0.1", "-0.|", "|0", "|1");
}

static void arrays(void **state)
{
    (void)state;
    CHECK("{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", "[]", "[1]", "[1,2]", "[1, 2]",
          "[1, | 2", "[| 1", "[1| ]", "[1,|]", "[|,", "[1|");
    CHECK("{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":2,\"maxItems\":3}",
          "[true,false]", "[true,false,true]", "[|]", "[true|]", "[true,true,true|,");
    CHECK("{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"maxItems\":0}", "[]", "[|n");
    CHECK("{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"maxItems\":1}", "[]", "[null]",
          "[null|,");
    CHECK("{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":1}", "[|]", "[null]",
          "[null,null,null]");
    CHECK("{\"type\":\"array\"}", "[]", "[1,\"a\",{\"b\": [null, -1.5]},[]]");
}

static void objects(void **state)
{
    (void)state;
    CHECK(
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},"
        "\"required\":[\"a\",\"b\"],\"additionalProperties\":false}",
        "{\"a\":1,\"b\":\"x\"}", "{\"a\": 1, \"b\": \"x\"}", "{|}", "{\"|b", "{\"a\":1|}",
        "{\"a\":1,\"|a", "{\"a\":1,\"b\":\"\"|,", "{| ", "{\"a\": | 1", "{\"a\"| ", "{\"a\":1| ",
        "{\"a\":1,\"b\":\"\"}|}");
    CHECK(
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"},\"ab\":{\"type\":\"null\"},"
        "\"c\":{\"type\":\"null\"},\"d\":{\"type\":\"null\"}},\"required\":[\"c\"]}",
        "{\"c\":null}", "{\"a\":null,\"c\":null}", "{\"ab\":null,\"c\":null,\"d\":null}",
        "{\"a\":null,\"ab\":null,\"c\":null}", "{\"a\":null,\"|d", "{\"a\":null|}",
        "{\"ab\":null, \"|a", "{\"c\":null,\"|c", "{\"|d");
    CHECK("{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}", "{}", "{|\"");
    CHECK("{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}", "{}",
          "{\"x\\n\": 1, \"y\":2}", "{\"x\":|n");
    CHECK("{\"properties\":{\"a\":true}}", "{}", "{\"a\":[{}]}", "|[");
    CHECK("{\"type\":\"object\",\"properties\":{\"\xc3\xa9\\\"\":{\"type\":\"null\"}}}",
          "{\"\xc3\xa9\\\"\":null}");
    CHECK("true", "{\"a\":[1,2.5e3,\"x\",null,true]}", "1", "\"\"");
}

static void names_of_properties(void **state)
{
    (void)state;
    CHECK("{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[a-z]+$\",\"maxLength\":3},"
          "\"additionalProperties\":{\"type\":\"integer\"}}",
          "{}", "{\"abc\":1, \"x\":2}", "{\"|A", "{\"|\"", "{\"abc|d", "{\"a\":|n");
    CHECK(
        "{\"propertyNames\":{\"enum\":[\"a\",\"b\",1,\"long\"],\"maxLength\":1},\"required\":[\"b\"],"
        "\"additionalProperties\":{\"type\":\"null\"}}",
        "{\"b\":null}", "{\"a\":null,\"b\":null}", "{|}", "{\"|l", "{\"b\":|1");
    CHECK("{\"properties\":{\"a\":true,\"bc\":true},\"propertyNames\":{\"maxLength\":1}}",
          "{\"a\":1}", "{\"|b", "{}");
    CHECK("{\"type\":\"object\",\"propertyNames\":false}", "{}", "{|\"");
    CHECK("{\"type\":\"object\",\"propertyNames\":{\"type\":\"integer\"}}", "{}", "{|\"");
    CHECK("{\"propertyNames\":{\"const\":\"k\"},\"type\":\"object\",\"minProperties\":1}",
          "{\"k\":[]}", "{|}");
    CHECK(
        "{\"allOf\":[{\"propertyNames\":{\"pattern\":\"^a\"}},{\"propertyNames\":{\"pattern\":\"b$\"}}],"
        "\"type\":\"object\"}",
        "{\"ab\":1,\"axb\":2}", "{\"|b", "{\"a|\"");
    CHECK("{\"patternProperties\":{\"^a\":{\"type\":\"null\"}},\"propertyNames\":{\"maxLength\":2},"
          "\"additionalProperties\":false}",
          "{\"a\":null,\"ab\":null}", "{\"|b", "{\"ab|c");
    /* a key that is required alone is declared so */
    CHECK("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"}},\"required\":[\"b\"]}",
          "{\"b\":{\"x\":1}}", "{\"a\":null,\"b\":1}", "{\"a\":null|}");
    CHECK("{\"anyOf\":[{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"b\"]},"
          "{\"type\":\"null\"}]}",
          "null", "|{");
}

static void alternatives(void **state)
{
    (void)state;
    CHECK(
        "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"a\"},\"x\":{\"type\":\"integer\"}},"
        "\"required\":[\"kind\",\"x\"]},{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"b\"},"
        "\"y\":{\"type\":\"string\"}},\"required\":[\"kind\",\"y\"]},{\"type\":\"null\"}]}",
        "null", "{\"kind\":\"a\",\"x\":1}", "{\"kind\":\"b\",\"y\":\"\"}", "{\"kind\":\"a\",\"|y",
        "{\"kind\":\"|c");
    /* alike for long: what tells them apart comes in the value of the second property */
    CHECK(
        "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}},"
        "\"q\":{\"type\":\"integer\"},\"r\":{\"type\":\"null\"}},\"required\":[\"p\",\"q\",\"r\"]},"
        "{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},"
        "\"q\":{\"type\":\"string\"},\"s\":{\"type\":\"null\"}},\"required\":[\"p\",\"q\",\"s\"]}]}",
        "{\"p\":[1,2],\"q\":3,\"r\":null}", "{\"p\":[1,2],\"q\":\"3\",\"s\":null}",
        "{\"p\":[1,2.5],\"q\":3,\"r\":null}", "{\"p\":[1,2.5],\"q\":|\"",
        "{\"p\":[1,2],\"q\":\"3\",\"|r", "{\"p\":[1e|]");
    CHECK("{\"anyOf\":[{\"type\":\"string\",\"maxLength\":2},{\"enum\":[\"long one\"]}]}", "\"lo\"",
          "\"long one\"", "\"lo|x", "\"ab|c");
    CHECK("{\"allOf\":[{\"type\":\"null\"}]}", "null");
}

static void patterns(void **state)
{
    (void)state;
    CHECK("{\"pattern\":\"^a[0-9]{2}$\"}", "\"a12\"", "\"\\u0061\\u00312\"", "\"|b", "\"a1|\"",
          "\"a12|3", "\"\\u006|2", "\"\\u|1");
    CHECK("{\"pattern\":\"b\"}", "\"b\"", "\"abc\"", "\"a|\"", "\"|\"", "\"\\u0062\"");
    CHECK("{\"pattern\":\"^(?:\xf0\x9f\x98\x80|/)$\"}", "\"\xf0\x9f\x98\x80\"",
          "\"\\ud83d\\uDE00\"", "\"/\"", "\"\\/\"", "\"\\ud83d\\ude0|1", "\"\xf0\x9f\x98|\x81");
    /* what is begun can be ended within the lengths, or it may not begin */
    CHECK("{\"pattern\":\"^(?:ab|cdefg)+$\",\"maxLength\":4}", "\"ab\"", "\"abab\"", "\"|c",
          "\"abab|a");
    CHECK("{\"pattern\":\"^(?:ab|cdefg)+$\",\"minLength\":5,\"maxLength\":5}", "\"cdefg\"", "\"|a");
    CHECK("{\"pattern\":\"^a?b?$\",\"minLength\":2}", "\"ab\"", "\"|b", "\"a|\"");
    CHECK("{\"format\":\"date\"}", "\"2024-02-29\"", "\"2023-02-2|9", "\"1900-02-2|9", "\"000|0");
}

static void multiples(void **state)
{
    (void)state;
    CHECK("{\"type\":\"integer\",\"multipleOf\":4}", "0", "8", "-12", "1|", "10|", "100", "1002|");
    CHECK("{\"multipleOf\":0.05,\"minimum\":0,\"maximum\":1}", "0.05", "0.1", "0.10000", "0.1|2",
          "1.00", "1.0|5", "0.15");
}

static void sets(void **state)
{
    (void)state;
    CHECK("{\"items\":{\"enum\":[\"a\",\"ab\",1,12]},\"uniqueItems\":true,\"minItems\":2}",
          "[\"a\",\"ab\"]", "[12,1]", "[1, 12,\"ab\",\"a\"]", "[\"a\"|]", "[\"a\",\"a|\"", "[1,1|]",
          "[12,1|2", "[1,12,\"ab\",\"a\"|,", "[|]");
    CHECK("{\"items\":{\"enum\":[1,12]},\"uniqueItems\":true,\"maxItems\":9}", "[]", "[12]",
          "[1, 12]", "[1,12|,", "[1,1|,");
}

/* What stands in the same place stands on the same level, or one of the two would be lost. */
static void sets_beside_other_arrays(void **state)
{
    (void)state;
    CHECK("{\"anyOf\":[{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
          "{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\",1]},\"uniqueItems\":true}]}",
          "[\"abcdefghijk\"]", "[\"a\",\"a\"]", "[\"b\", \"a\",1]", "[1,\"b\"]", "[1,\"b\"|x",
          "[1,|1", "[1, \"b\",\"a\"]", "[\"a\",1,\"|a", "[]", "[\"a\",\"\",\"a\"]");
    CHECK(
        "{\"anyOf\":[{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}}},"
        "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"enum\":[1,12,null]},"
        "\"uniqueItems\":true,\"minItems\":2,\"maxItems\":2}}]}",
        "[[1,1],[12]]", "[[1, 12],[null,1]]", "[[1, 12],[null|]", "[[1,1.5]]", "[[1,1],[|n",
        "[[12,null],[1,null]]", "[[12,null],[1,1|]");
    /* two sets, one of which holds the other's values */
    CHECK(
        "{\"anyOf\":[{\"items\":{\"enum\":[\"a\",\"ab\",\"c\"]},\"uniqueItems\":true,\"type\":\"array\"},"
        "{\"items\":{\"enum\":[\"ab\",\"a\"]},\"uniqueItems\":true,\"type\":\"array\",\"minItems\":2}]}",
        "[\"a\"]", "[\"ab\",\"a\"]", "[\"ab\",\"c\",\"a\"]", "[\"ab\",\"a|b");
}

static void references(void **state)
{
    (void)state;
    CHECK(
        "{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
        "\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/n\"},{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"]}}}",
        "{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3,\"next\":null}}}",
        "{\"v\":1,\"next\":{|}");
    CHECK("{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", "[]", "[[],[[]]]", "[|1");
    CHECK("{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}", "null",
          "|1"); /* itself adds nothing */
    CHECK("{\"items\":{\"$ref\":\"#/definitions/a~1b~0c/anyOf/1\"},"
          "\"definitions\":{\"a/b~c\":{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"boolean\"}]}}}",
          "[true]", "[|n");
    /* a reference is part of an address */
    CHECK(
        "{\"items\":{\"$ref\":\"#/$defs/a%20b%25%C3%a9\"},\"$defs\":{\"a b%\xc3\xa9\":{\"type\":\"null\"}}}",
        "[null]", "[|1");
    CHECK("{\"items\":{\"$ref\":\"#/$defs/9%\"},\"$defs\":{\"9%\":{\"type\":\"null\"}}}", "[null]");
    CHECK(
        "{\"$id\":\"http://x/y\",\"properties\":{\"$id\":{\"$ref\":\"#/$defs/a\"}},\"$defs\":{\"a\":{\"type\":\"null\"}}}",
        "{\"$id\":null}");
    /* an expression: alternatives that begin alike and hold each other */
    CHECK(
        "{\"$ref\":\"#/$defs/e\",\"$defs\":{\"e\":{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"op\":{\"const\":\"neg\"},"
        "\"of\":{\"$ref\":\"#/$defs/e\"}},\"required\":[\"op\",\"of\"]},{\"type\":\"object\",\"properties\":{"
        "\"op\":{\"const\":\"num\"},\"of\":{\"type\":\"integer\"}},\"required\":[\"op\",\"of\"]}]}}}",
        "{\"op\":\"num\",\"of\":1}",
        "{\"op\":\"neg\",\"of\":{\"op\":\"neg\",\"of\":{\"op\":\"num\",\"of\":1}}}",
        "{\"op\":\"neg\",\"of\":|1", "{\"op\":\"num\",\"of\":|{");
}

/* At the greatest depth only what needs no more of it may come, and something always may. */
static void depth_is_bounded_and_every_text_can_be_completed(void **state)
{
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"},\"b\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}}}";
    struct grammar *g = grammar_of(schema);
    struct grammar_state s;
    size_t n = 0;

    (void)state;
    grammar_begin(&s);
    while (grammar_advance(g, &walk, &s, STR("{\"a\":")))
        n++;
    assert_int_equal(n, GRAMMAR_DEPTH - 2); /* below it the root, above it the innermost {} */
    assert_true(grammar_advance(g, &walk, &s, STR("{")));
    assert_false(grammar_advance(g, &walk, &s, STR("\"")));
    for (size_t i = 0; i <= n; i++)
        assert_true(grammar_advance(g, &walk, &s, STR("}")));
    assert_true(grammar_complete(g, &s));
    grammar_close(g);
    CHECK(
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\",\"properties\":{\"b\":{\"$ref\":\"#/properties/a\"}},"
        "\"required\":[\"b\"]}}}",
        "{}", "{|\"");
}

/* Alternatives that stay alike on every level are more than a state has room for: some are given up, and none goes wrong. */
static void more_alternatives_than_there_is_room_for_still_make_values(void **state)
{
    struct grammar_state s;
    struct buf schema, text;
    json_error_t e;
    bool complete;

    (void)state;
    buf_init(&schema, 1 << 20);
    buf_init(&text, 1 << 20);
    buf_text(&schema, "{\"anyOf\":[");
    for (int i = 0; i < 9; i++)
        buf_printf(
            &schema,
            "%s{\"type\":\"object\",\"properties\":{\"k\":{\"$ref\":\"#\"},\"%d\":{\"const\":%d}}}",
            i > 0 ? "," : "", i, i);
    buf_text(&schema, "]}");
    struct grammar *g = grammar_of(schema.ptr);
    grammar_begin(&s);
    for (int i = 0; i < GRAMMAR_DEPTH - 2; i++) {
        buf_text(&text, "{\"k\": ");
        assert_true(grammar_advance(g, &walk, &s, STR("{\"k\": ")));
        assert_true(s.end[s.n_levels - 1] <= GRAMMAR_ITEMS);
    }
    assert_true(s.end[s.n_levels - 1] > GRAMMAR_ITEMS - 20);
    buf_text(&text, "{}");
    for (int i = 0; i < GRAMMAR_DEPTH - 2; i++)
        buf_text(&text, i < 5 ? ",\"0\":0}" : "}");
    assert_int_equal(accepted(g, buf_view(&text), &complete), text.len);
    assert_true(complete);
    json_t *v = json_loadb(text.ptr, text.len, 0, &e);
    assert_non_null(v);
    json_decref(v);
    grammar_close(g);
    buf_release(&schema);
    buf_release(&text);
}

static void refuse(const char *schema, enum error_kind kind, const char *says)
{
    struct error err = {0};
    struct grammar *g = NULL;

    ASSERT_FAILS(try_schema(schema, &g, &err), kind, says);
    assert_null(g);
}

static void what_is_not_offered_is_refused_by_name_and_place(void **state)
{
    static const char *const unknown[] = {
        "not", "if", "contains", "dependentSchemas", "dependentRequired", "nullable"};
    char schema[256], says[256];

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        snprintf(schema, sizeof schema,
                 "{\"type\":\"object\",\"properties\":{\"p\":{\"items\":{\"%s\":1}}}}", unknown[i]);
        snprintf(says, sizeof says, WHAT "/properties/p/items: \"%s\" is not offered", unknown[i]);
        refuse(schema, ERR_UNSUPPORTED, says);
    }
    refuse("{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"pattern\":\"x(?=y)\"}}}", ERR_UNSUPPORTED,
           WHAT "/$defs/a: \"pattern\": at byte 1");
    refuse("{\"type\":\"text\"}", ERR_INVALID, "\"type\" must be object");
    refuse("{\"type\":[]}", ERR_INVALID, "\"type\" must be");
    refuse("[]", ERR_INVALID, "a schema was expected");
    refuse("{\"properties\":{\"a\":5}}", ERR_INVALID, WHAT "/properties/a is a number");
    refuse("{\"enum\":[]}", ERR_INVALID, "\"enum\"");
    refuse("{\"items\":{\"enum\":[[]]},\"uniqueItems\":true}", ERR_UNSUPPORTED,
           "holds an array or an object");
    refuse("{\"type\":\"string\",\"enum\":[1]}", ERR_INVALID, "no constant");
    refuse("{\"anyOf\":[]}", ERR_INVALID, "\"anyOf\"");
    refuse("{\"enum\":[1],\"multipleOf\":1}", ERR_UNSUPPORTED, "\"multipleOf\" beside \"enum\"");
    refuse("{\"items\":{\"minLenght\":1}}", ERR_UNSUPPORTED,
           "schema/items: \"minLenght\" is no keyword of JSON Schema; is \"minLength\" meant?");
    refuse("{\"allOf\":[{\"format\":\"date\"},{\"format\":\"time\"}]}", ERR_UNSUPPORTED,
           "differ in \"format\"");
    refuse("{\"oneOf\":[{\"minimum\":1},{\"minimum\":2}]}", ERR_UNSUPPORTED,
           "0 and 1 are not seen to differ");
    refuse("{\"allOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", ERR_INVALID, "no value");
    refuse("{\"$ref\":\"#/nowhere\"}", ERR_UNSUPPORTED, "#/nowhere");
    refuse("{\"$ref\":\"http://x/y\"}", ERR_UNSUPPORTED, "http://x/y");
    refuse("{\"$ref\":1}", ERR_INVALID, "$ref");
    /* "#" would be the one with the "$id" */
    refuse("{\"items\":{\"$id\":\"a\",\"items\":{\"$ref\":\"#\"}}}", ERR_UNSUPPORTED,
           WHAT "/items: \"$id\" is offered at the top");
    refuse(
        "{\"$ref\":\"#/$defs/a/items\",\"$defs\":{\"a\":{\"$id\":\"a\",\"items\":{\"$ref\":\"#\"}}}}",
        ERR_UNSUPPORTED, "leads into a schema with an \"$id\"");
    refuse("{\"minLength\":2,\"maxLength\":1}", ERR_INVALID,
           "\"minLength\" is more than \"maxLength\"");
    refuse("{\"minItems\":-1}", ERR_INVALID, "\"minItems\"");
    refuse("{\"minItems\":1.5}", ERR_INVALID, "\"minItems\"");
    refuse("{\"minimum\":\"1\"}", ERR_INVALID, "\"minimum\" is a string");
    refuse("{\"minimum\":1e300}", ERR_UNSUPPORTED, "\"minimum\"");
    refuse("{\"patternProperties\":{\"b\":true},\"required\":[\"a\"]}", ERR_UNSUPPORTED, "\"a\"");
    refuse("{\"propertyNames\":1}", ERR_INVALID, "\"propertyNames\" is no schema");
    refuse("{\"propertyNames\":{\"anyOf\":[{\"maxLength\":1},{\"pattern\":\"x\"}]}}",
           ERR_UNSUPPORTED, "\"propertyNames\" with alternatives");
    refuse("{\"propertyNames\":{\"pattern\":\"(?=x)\"}}", ERR_UNSUPPORTED,
           WHAT "/propertyNames: \"pattern\": at byte 0");
    refuse("{\"oneOf\":[{\"const\":[1]},{\"const\":[1.0]}]}", ERR_UNSUPPORTED,
           "are not seen to differ");
    refuse("{\"items\":[true]}", ERR_UNSUPPORTED, "\"items\"");
    refuse("{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", ERR_INVALID, "no value");
    refuse("{\"type\":\"integer\",\"minimum\":1.2,\"maximum\":1.8}", ERR_INVALID, "no value");
    refuse("false", ERR_INVALID, "no value");
    refuse("{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", ERR_INVALID,
           "no value");
}

static void a_schema_that_is_too_large_is_refused(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 24);
    buf_text(&text, "{\"properties\":{\"\":true");
    for (int i = 0; i < 2000; i++) /* all optional: their keys are laid down behind each of them */
        buf_printf(&text, ",\"%d\":true", i);
    buf_text(&text, "}}");
    refuse(text.ptr, ERR_LIMIT, "too large");
    buf_clear(&text);
    buf_text(&text, "{\"anyOf\":[true");
    for (int i = 0; i < 70; i++)
        buf_printf(&text, ",{\"maxLength\":%d}", i);
    buf_text(&text, "]}");
    refuse(text.ptr, ERR_LIMIT, "alternatives");
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars),
        cmocka_unit_test(strings),
        cmocka_unit_test(constants),
        cmocka_unit_test(arrays_and_objects_as_constants),
        cmocka_unit_test(bounds),
        cmocka_unit_test(arrays),
        cmocka_unit_test(objects),
        cmocka_unit_test(names_of_properties),
        cmocka_unit_test(alternatives),
        cmocka_unit_test(patterns),
        cmocka_unit_test(multiples),
        cmocka_unit_test(sets),
        cmocka_unit_test(sets_beside_other_arrays),
        cmocka_unit_test(references),
        cmocka_unit_test(depth_is_bounded_and_every_text_can_be_completed),
        cmocka_unit_test(more_alternatives_than_there_is_room_for_still_make_values),
        cmocka_unit_test(what_is_not_offered_is_refused_by_name_and_place),
        cmocka_unit_test(a_schema_that_is_too_large_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
