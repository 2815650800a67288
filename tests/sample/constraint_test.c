/*
 * constraint_test.c - the allowed tokens are those that the automaton takes, one by one; and drawing among them makes values.
 */
#include "base/size.h"
#include "sample/constraint.h"
#include "support/numbers.h"
#include "support/rig.h"
#include "text/json_schema.h"
#include "text/tool_grammar.h"

#include <stdio.h>
#include <stdlib.h>

#define N_CLOSERS 3

struct setting {
    struct arena arena;
    token_id closers[2][N_CLOSERS]; /* } ] " */
    struct model_files *files[2];
    const struct tokenizer *tokenizers[2]; /* tiny, SmolLM2's */
    struct vocabulary *vocabularies[2];
    size_t n;
};

/* Each a schema, or "object" for any object. */
static const char *const schemas[] = {
    ("{\"type\":\"object\",\"properties\":{\"steps\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
     "\"description\":{\"type\":\"string\",\"maxLength\":12},\"conclusion\":{\"type\":\"string\",\"maxLength\":40}},"
     "\"required\":[\"description\",\"conclusion\"],\"additionalProperties\":false},\"maxItems\":2},"
     "\"result\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1}},\"required\":[\"steps\",\"result\"]}"),
    "{\"enum\":[\"good\",\"bad\",\"\xc3\xa9t\xc3\xa9 \xf0\x9f\x98\x80\"]}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"ab\":{\"type\":\"boolean\"},\"c\":{\"type\":\"null\"}}}",
    ("{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"one\"},\"x\":{\"type\":\"string\",\"maxLength\":5}},"
     "\"required\":[\"kind\",\"x\"]},{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"other\"},\"x\":{\"type\":\"string\","
     "\"minLength\":3,\"maxLength\":9},\"y\":{\"type\":\"integer\"}},\"required\":[\"kind\",\"x\",\"y\"]},{\"type\":\"null\"}]}"),
    ("{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"number\"},"
     "\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/n\"},{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"]}}}"),
    "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":3},\"minItems\":2,\"maxItems\":4}",
    "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"maxItems\":2},\"maxItems\":2}",
    "object",
};

static void open_tokenizer(struct setting *s, const char *path)
{
    struct error err = {0};
    struct model_files *f = NULL;

    ASSERT_OK(model_files_open(path, &f, &err));
    const struct model_config *c = model_files_config(f);
    s->files[s->n] = f;
    s->tokenizers[s->n] = model_files_tokenizer(f);
    ASSERT_OK(vocabulary_open(s->tokenizers[s->n], c->vocab, c->eos, c->n_eos,
                              &s->vocabularies[s->n], &err));
    for (size_t i = 0; i < N_CLOSERS; i++) {
        static const char closers[] = "}]\"";

        s->closers[s->n][i] = tokenizer_find(s->tokenizers[s->n], (struct str){&closers[i], 1});
        assert_true(s->closers[s->n][i] >= 0);
    }
    s->n++;
}

static int set_up(void **state)
{
    static struct setting s;

    s.n = 0;
    open_tokenizer(&s, golden_path(&s.arena, "tiny/hf"));
    open_tokenizer(&s, demo_model_path(&s.arena));
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct setting *s = *state;

    for (size_t i = 0; i < s->n; i++) {
        vocabulary_close(s->vocabularies[i]);
        model_files_close(s->files[i]);
    }
    arena_release(&s->arena);
    return 0;
}

static struct constraint *open_constraint(const struct vocabulary *v, const char *text,
                                          struct constraint_scratch *scratch)
{
    struct constraint *c = NULL;
    struct grammar *g = NULL;
    struct error err = {0};
    json_t *schema = NULL;

    if (strcmp(text, "object") == 0) {
        ASSERT_OK(json_object_grammar(&g, &err));
    } else {
        ASSERT_OK(json_parse(str_of(text), "a test's schema", &schema, &err));
        ASSERT_OK(json_schema_grammar(schema, "schema", &g, &err));
    }
    json_decref(schema);
    ASSERT_OK(constraint_open(g, v, &c, &err));
    ASSERT_OK(constraint_scratch_open(scratch, c, &err));
    return c;
}

/* ---- a schema's own judgement of a value, apart from grammars ---- */

static bool is_valid(const json_t *document, const json_t *schema, const json_t *v);

static bool is_number_valid(const json_t *schema, const json_t *v)
{
    const json_t *least = json_object_get(schema, "minimum"),
                 *most = json_object_get(schema, "maximum");

    return !(least != NULL && json_number_value(v) < json_number_value(least)) &&
           !(most != NULL && json_number_value(v) > json_number_value(most));
}

static bool is_count_valid(const json_t *schema, const char *min, const char *max, size_t n)
{
    const json_t *least = json_object_get(schema, min), *most = json_object_get(schema, max);

    return !(least != NULL && (json_int_t)n < json_integer_value(least)) &&
           !(most != NULL && (json_int_t)n > json_integer_value(most));
}

static size_t n_characters(struct str s)
{
    size_t at = 0, n = 0;

    for (; at < s.len; n++)
        utf8_next(s, &at);
    return n;
}

static bool is_object_valid(const json_t *document, const json_t *schema, const json_t *v)
{
    const json_t *properties = json_object_get(schema, "properties");
    const char *key;
    json_t *value;
    size_t i;

    json_array_foreach(json_object_get(schema, "required"), i, value)
    {
        if (json_object_get(v, json_string_value(value)) == NULL)
            return false;
    }
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        const json_t *of = json_object_get(properties, key);

        if (properties != NULL && (of == NULL || !is_valid(document, of, value)))
            return false;
    }
    return true;
}

static bool is_type_valid(const json_t *document, const json_t *schema, const json_t *v)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    json_t *item;
    size_t i;

    if (strcmp(type, "object") == 0)
        return json_is_object(v) && is_object_valid(document, schema, v);
    if (strcmp(type, "string") == 0)
        return json_is_string(v) &&
               is_count_valid(schema, "minLength", "maxLength", n_characters(json_str(v)));
    if (strcmp(type, "number") == 0)
        return json_is_number(v) && is_number_valid(schema, v);
    if (strcmp(type, "integer") == 0)
        return json_is_integer(v) && is_number_valid(schema, v);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(v);
    if (strcmp(type, "null") == 0)
        return json_is_null(v);
    if (!json_is_array(v) || !is_count_valid(schema, "minItems", "maxItems", json_array_size(v)))
        return false;
    json_array_foreach(v, i, item)
    {
        if (!is_valid(document, json_object_get(schema, "items"), item))
            return false;
    }
    return true;
}

static bool is_valid(const json_t *document, const json_t *schema, const json_t *v)
{
    const json_t *any = json_object_get(schema, "anyOf"), *in = json_object_get(schema, "enum"),
                 *one = json_object_get(schema, "const"), *ref = json_object_get(schema, "$ref");
    bool some = false;

    if (ref != NULL)
        return is_valid(document,
                        strcmp(json_string_value(ref), "#") == 0
                            ? document
                            : json_object_get(json_object_get(document, "$defs"), "n"),
                        v);
    if (any == NULL && in == NULL && one == NULL)
        return is_type_valid(document, schema, v);
    for (size_t i = 0; i < json_array_size(any); i++)
        some = some || is_valid(document, json_array_get(any, i), v);
    for (size_t i = 0; i < json_array_size(in); i++)
        some = some || json_equal(json_array_get(in, i), v);
    return some || (one != NULL && json_equal(one, v));
}

static void assert_valid(const char *schema_text, struct str text)
{
    struct error err = {0};
    json_t *schema = NULL;
    json_error_t e;
    /* objects of any keys may repeat one */
    json_t *v = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);

    if (v == NULL)
        fail_msg("%s: " STR_FMT, e.text, STR_ARG(text));
    if (strcmp(schema_text, "object") == 0) {
        assert_true(json_is_object(v));
    } else {
        ASSERT_OK(json_parse(str_of(schema_text), "a test's schema", &schema, &err));
        if (!is_valid(schema, schema, v))
            fail_msg("%s\n  does not allow " STR_FMT, schema_text, STR_ARG(text));
    }
    json_decref(v);
    json_decref(schema);
}

/* ---- walks ---- */

static bool has(const uint64_t *set, size_t id)
{
    return (set[id / 64] >> id % 64 & 1) != 0;
}

/* One of the set; the shorter the walk should become, the likelier one that ends things. */
static token_id draw(const struct setting *s, size_t which, const uint64_t *set, size_t n_ids,
                     struct dice *d, bool hurry)
{
    token_id found[8];
    size_t n = 0, tries = 0;

    for (; n < COUNT_OF(found) && tries < 64 * n_ids; tries++) {
        const size_t id = dice_below(d, n_ids);

        if (has(set, id))
            found[n++] = (token_id)id;
        if (tries > 3000 && n > 0)
            break;
    }
    if (n == 0)
        fail_msg("nothing may come");
    for (size_t i = 0, first = dice_below(d, N_CLOSERS); hurry && i < N_CLOSERS; i++) {
        const token_id id = s->closers[which][(first + i) % N_CLOSERS];

        if (has(set, (size_t)id))
            return id;
    }
    return found[dice_below(d, n)];
}

static void assert_brute_force(const struct setting *s, size_t which, const struct constraint *c,
                               struct constraint_scratch *scratch, const struct grammar_state *at)
{
    const struct model_config *config = model_files_config(s->files[which]);
    const size_t words = vocabulary_words(s->vocabularies[which]);
    uint64_t *set = calloc(words, sizeof *set);

    memcpy(set, constraint_allowed(c, scratch, at), words * sizeof *set);
    for (size_t id = 0; id < 64 * words; id++) {
        struct grammar_state state;
        bool may = false;

        if (id < config->vocab) {
            grammar_copy(&state, at);
            may = constraint_accepts(c, scratch, &state, (token_id)id);
        }
        if (has(set, id) != may)
            fail_msg("token %zu: %d, expected %d", id, has(set, id), may);
    }
    free(set);
}

static void the_allowed_tokens_are_those_that_are_accepted(void **state)
{
    struct setting *s = *state;
    size_t n_states = 0, n_compared = 0;

    for (size_t which = 0; which < s->n; which++) {
        const size_t v = model_files_config(s->files[which])->vocab;

        for (size_t k = 0; k < COUNT_OF(schemas); k++) {
            struct constraint_scratch scratch;
            struct constraint *c = open_constraint(s->vocabularies[which], schemas[k], &scratch);
            struct dice d = {k + 100 * which};

            for (int walk = 0; walk < (which == 0 ? 12 : 3); walk++) {
                struct grammar_state at;

                grammar_begin(&at);
                for (int n = 0; n < (which == 0 ? 60 : 25); n++) {
                    n_states++;
                    if (which == 0 || dice_below(&d, 4) == 0) {
                        assert_brute_force(s, which, c, &scratch, &at);
                        n_compared++;
                    }
                    const token_id id =
                        draw(s, which, constraint_allowed(c, &scratch, &at), v, &d, n % 7 == 6);
                    assert_true(constraint_accepts(c, &scratch, &at, id));
                    if (tokenizer_bytes(s->tokenizers[which], id).len == 0 ||
                        tokenizer_is_special(s->tokenizers[which], id))
                        break; /* an end token */
                }
            }
            constraint_scratch_close(&scratch);
            constraint_close(c);
        }
    }
    print_message("             %zu of %zu states compared\n", n_compared, n_states);
    assert_true(n_compared > 500);
}

/* The value of a text, as others would write it. */
static void assert_accepted_as_written(const struct constraint *c,
                                       struct constraint_scratch *scratch, const struct setting *s,
                                       size_t which, struct str text)
{
    static const enum json_style styles[] = {JSON_STYLE_COMPACT, JSON_STYLE_PYTHON};
    json_error_t e;
    json_t *v = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);

    for (size_t i = 0; i < COUNT_OF(styles); i++) {
        const struct json_format format = {.style = styles[i]};
        struct token_list ids = {0};
        struct grammar_state at;
        struct error err = {0};
        struct buf b;

        buf_init(&b, 1 << 20);
        json_write(&b, v, &format);
        ASSERT_OK(tokenizer_encode(s->tokenizers[which], buf_view(&b), false, &ids, &err));
        grammar_begin(&at);
        for (size_t k = 0; k < ids.n; k++)
            if (!constraint_accepts(c, scratch, &at, ids.ids[k]))
                fail_msg(STR_FMT ": token %zu is not accepted", STR_ARG(buf_view(&b)), k);
        assert_true(
            constraint_accepts(c, scratch, &at, model_files_config(s->files[which])->eos[0]));
        token_list_release(&ids);
        buf_release(&b);
    }
    json_decref(v);
}

static void every_walk_ends_in_a_valid_text(void **state)
{
    struct setting *s = *state;
    size_t n_ended = 0;

    for (size_t which = 0; which < s->n; which++) {
        const struct model_config *config = model_files_config(s->files[which]);

        for (size_t k = 0; k < COUNT_OF(schemas); k++) {
            struct constraint_scratch scratch;
            struct constraint *c = open_constraint(s->vocabularies[which], schemas[k], &scratch);
            struct dice d = {k + 7 * which};

            for (int walk = 0; walk < 40; walk++) {
                struct grammar_state at;
                struct buf text;
                token_id id;
                int n = 0;

                buf_init(&text, 1 << 20);
                grammar_begin(&at);
                for (;;) {
                    id = draw(s, which, constraint_allowed(c, &scratch, &at), config->vocab, &d,
                              n > 60 || (n > 10 && n % 3 != 0));
                    assert_true(constraint_accepts(c, &scratch, &at, id));
                    if (config_is_end(config, id))
                        break;
                    buf_str(&text, tokenizer_bytes(s->tokenizers[which], id));
                    if (++n > 4000)
                        fail_msg("no end: %.200s", text.ptr);
                }
                assert_valid(schemas[k], buf_view(&text));
                if (k != 0) /* 1e-05 is none of numbers with bounds */
                    assert_accepted_as_written(c, &scratch, s, which, buf_view(&text));
                n_ended++;
                buf_release(&text);
            }
            constraint_scratch_close(&scratch);
            constraint_close(c);
        }
    }
    assert_int_equal(n_ended, 2 * COUNT_OF(schemas) * 40);
}

static void a_valid_text_is_accepted_as_the_tokenizer_cuts_it(void **state)
{
    static const struct {
        int schema;
        const char *text;
    } cases[] = {
        {0,
         "{\"steps\": [{\"description\": \"Look\", \"conclusion\": \"It is right.\"}], \"result\": 0.75}"},
        {0, "{\"steps\":[],\"result\":1}"},
        {1, "\"\xc3\xa9t\xc3\xa9 \xf0\x9f\x98\x80\""},
        {2, "{\"a\": -12, \"c\": null}"},
        {3, "{\"kind\":\"other\",\"x\":\"abcdef\",\"y\":3}"},
        {4, "{\"v\":1.5,\"next\":{\"v\":2,\"next\":null}}"},
        {5, "[\"a\", \"\xe6\x97\xa5\xe6\x9c\xac\", \"\\n\\u00e9\"]"},
        {7, "{\"any\": {\"thing\": [1, 2.5, true, null, \"\xf0\x9f\x98\x80\"]}}"},
    };
    struct setting *s = *state;
    struct error err = {0};

    for (size_t which = 0; which < s->n; which++) {
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            struct constraint_scratch scratch;
            struct constraint *c =
                open_constraint(s->vocabularies[which], schemas[cases[i].schema], &scratch);
            struct token_list ids = {0};
            struct grammar_state at;

            ASSERT_OK(
                tokenizer_encode(s->tokenizers[which], str_of(cases[i].text), false, &ids, &err));
            grammar_begin(&at);
            for (size_t k = 0; k < ids.n; k++) {
                assert_true(has(constraint_allowed(c, &scratch, &at), (size_t)ids.ids[k]));
                assert_true(constraint_accepts(c, &scratch, &at, ids.ids[k]));
                /* an end token may come at the end alone */
                assert_int_equal(constraint_accepts(c, &scratch, &at,
                                                    model_files_config(s->files[which])->eos[0]),
                                 k + 1 == ids.n);
            }
            assert_valid(schemas[cases[i].schema], str_of(cases[i].text));
            token_list_release(&ids);
            constraint_scratch_close(&scratch);
            constraint_close(c);
        }
    }
}

static void a_mask_leaves_allowed_logits_as_they_are(void **state)
{
    struct setting *s = *state;
    const size_t v = model_files_config(s->files[0])->vocab;
    struct constraint_scratch scratch;
    struct constraint *c = open_constraint(s->vocabularies[0], schemas[1], &scratch);
    float *x = calloc(v + 64, sizeof *x);
    struct grammar_state at;
    size_t n = 0;

    for (size_t i = 0; i < v + 64; i++)
        x[i] = (float)i;
    grammar_begin(&at);
    constraint_mask(c, &scratch, &at, x);
    for (size_t i = 0; i < v; i++) {
        const bool may = has(constraint_allowed(c, &scratch, &at), i);

        assert_true(x[i] == (may ? (float)i : CONSTRAINT_NEVER));
        n += may;
    }
    for (size_t i = v; i < v + 64; i++)
        assert_true(x[i] == (float)i);
    assert_true(n > 0 && n < 20);
    free(x);
    constraint_scratch_close(&scratch);
    constraint_close(c);
}

static void a_vocabulary_that_lacks_a_byte_is_refused(void **state)
{
    struct setting *s = *state;
    struct error err = {0};
    struct vocabulary *v = NULL;
    struct constraint *c = NULL;
    struct grammar *g = NULL;

    ASSERT_OK(
        vocabulary_open(s->tokenizers[0], 20, model_files_config(s->files[0])->eos, 1, &v, &err));
    ASSERT_OK(json_object_grammar(&g, &err));
    ASSERT_FAILS(constraint_open(g, v, &c, &err), ERR_UNSUPPORTED, "no token for the byte");
    vocabulary_close(v);
    ASSERT_OK(vocabulary_open(s->tokenizers[0], model_files_config(s->files[0])->vocab, NULL, 0, &v,
                              &err));
    ASSERT_OK(json_object_grammar(&g, &err));
    ASSERT_FAILS(constraint_open(g, v, &c, &err), ERR_UNSUPPORTED, "no token that ends");
    vocabulary_close(v);
}

/* A model may mark its calls with a special token: where that is told, it may come, and no other special token. */
static void a_special_token_that_marks_calls_may_be_written(void **state)
{
    struct setting *s = *state;
    const struct model_config *config = model_files_config(s->files[0]);
    const struct tool_format format = {
        .name = "a test's", .body = TOOL_BODY_NAMED, .open = STR("<|im_start|>"), .mid = STR(":")};
    const token_id mark = tokenizer_find(s->tokenizers[0], format.open);
    json_t *tools = json_pack("[{s:{s:s}}]", "function", "name", "f");
    const struct tool_grammar_options o = {.format = &format, .tools = tools, .required = true};
    struct error err = {0};

    assert_true(mark >= 0 && tokenizer_is_special(s->tokenizers[0], mark));
    for (size_t n_written = 0; n_written <= 1; n_written++) {
        struct vocabulary *v = NULL;
        struct constraint *c = NULL;
        struct constraint_scratch scratch;
        struct grammar_state at;
        struct grammar *g = NULL;

        ASSERT_OK(vocabulary_open_with(s->tokenizers[0], config->vocab, config->eos, config->n_eos,
                                       &mark, n_written, &v, &err));
        ASSERT_OK(tool_grammar(&o, &g, &err));
        ASSERT_OK(constraint_open(g, v, &c, &err));
        ASSERT_OK(constraint_scratch_open(&scratch, c, &err));
        grammar_begin(&at);
        const uint64_t *allowed = constraint_allowed(c, &scratch, &at);
        size_t n_special = 0;
        for (token_id id = 0; id < (token_id)config->vocab; id++)
            n_special += (allowed[id / 64] >> (id % 64) & 1) != 0 &&
                         tokenizer_is_special(s->tokenizers[0], id);
        assert_int_equal(n_special, n_written);
        assert_int_equal(constraint_accepts(c, &scratch, &at, mark), n_written == 1);
        constraint_scratch_close(&scratch);
        constraint_close(c);
        vocabulary_close(v);
    }
    json_decref(tools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_special_token_that_marks_calls_may_be_written),
        cmocka_unit_test(a_valid_text_is_accepted_as_the_tokenizer_cuts_it),
        cmocka_unit_test(the_allowed_tokens_are_those_that_are_accepted),
        cmocka_unit_test(every_walk_ends_in_a_valid_text),
        cmocka_unit_test(a_mask_leaves_allowed_logits_as_they_are),
        cmocka_unit_test(a_vocabulary_that_lacks_a_byte_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
