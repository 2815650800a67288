/*
 * tokenizer_kinds_test.c - tokenizers of every kind give the reference's ids and text; and what SentencePiece's BPE of a GGUF file
 * makes of its scores.
 */
#include "base/size.h"
#include "support/golden.h"
#include "text/json.h"
#include "text/tokenizer.h"

#include <stdlib.h>

static bool same_ids(const struct token_list *got, const json_t *want)
{
    bool same = got->n == json_array_size(want);

    for (size_t i = 0; same && i < got->n; i++)
        same = got->ids[i] == json_integer_value(json_array_get(want, i));
    return same;
}

static void check_string(const struct tokenizer *t, const json_t *kind, size_t i, struct str string)
{
    const char *name = json_string_value(json_object_get(kind, "name"));
    const json_t *ids = json_array_get(json_object_get(kind, "ids"), i),
                 *plain = json_array_get(json_object_get(kind, "plain"), i),
                 *text = json_array_get(json_object_get(kind, "text"), i);
    struct token_list list = {0};
    struct error err;
    struct buf back;

    ASSERT_OK(tokenizer_encode(t, string, true, &list, &err));
    if (!same_ids(&list, ids))
        fail_msg("%s: other ids of string %zu than the reference's", name, i);
    buf_init(&back, 1 << 20);
    tokenizer_text(t, list.ids, list.n, false, &back);
    if (!str_eq(back.len == 0 ? STR("") : buf_view(&back),
                json_is_null(text) ? string : json_str(text)))
        fail_msg("%s: string %zu decodes to another text than the reference's", name, i);
    list.n = 0;
    ASSERT_OK(tokenizer_encode(t, string, false, &list, &err));
    if (!same_ids(&list, json_is_null(plain) ? ids : plain))
        fail_msg("%s: other ids of string %zu as plain text than the reference's", name, i);
    token_list_release(&list);
    buf_release(&back);
}

static void every_kind_gives_the_ids_and_the_text_of_the_reference(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err;
    json_t *strings = json_array();
    size_t n_kinds = 0;
    struct golden_lines lines = golden_lines_open(&a, "tokenizer_kinds/strings.jsonl.gz");

    for (json_t *s; (s = golden_lines_next(&lines)) != NULL;)
        json_array_append_new(strings, s);
    assert_true(json_array_size(strings) > 300);
    lines = golden_lines_open(&a, "tokenizer_kinds/kinds.jsonl.gz");
    for (json_t *kind; (kind = golden_lines_next(&lines)) != NULL; n_kinds++) {
        char *text = json_dumps(json_object_get(kind, "tokenizer"), JSON_COMPACT);
        struct tokenizer *t = NULL;

        ASSERT_OK(tokenizer_open_json(str_of(text),
                                      json_string_value(json_object_get(kind, "name")), &t, &err));
        assert_int_equal(json_array_size(json_object_get(kind, "ids")), json_array_size(strings));
        for (size_t i = 0; i < json_array_size(strings); i++)
            check_string(t, kind, i, json_str(json_array_get(strings, i)));
        tokenizer_close(t);
        free(text);
        json_decref(kind);
    }
    assert_true(n_kinds >= 28);
    json_decref(strings);
    arena_release(&a);
}

static void assert_encodes(const struct tokenizer *t, struct str text, bool special,
                           const token_id *want, size_t n)
{
    struct token_list list = {0};
    struct error err;

    ASSERT_OK(tokenizer_encode(t, text, special, &list, &err));
    assert_int_equal(list.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(list.ids[i], want[i]);
    token_list_release(&list);
}
#define ASSERT_ENCODES(t, text, special, ...)                                                      \
    assert_encodes(t, STR(text), special, (const token_id[]){__VA_ARGS__},                         \
                   sizeof((token_id[]){__VA_ARGS__}) / sizeof(token_id))

#define TOKEN(text)                                                                                \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }
/* é is in a token and none itself; the score of "bc" is greater than that of "ab"; "<s>" is control. */
static const struct str tokens[] = {
    TOKEN("<unk>"),   TOKEN("<s>"),     TOKEN("<0xC3>"), TOKEN("<0xA9>"), TOKEN("\u2581"),
    TOKEN("a"),       TOKEN("b"),       TOKEN("c"),      TOKEN("ab"),     TOKEN("bc"),
    TOKEN("\u2581a"), TOKEN("a\u00e9"), TOKEN("<"),      TOKEN("s>"),     TOKEN("s"),
    TOKEN(">"),       TOKEN("aa")};
static const int32_t types[] = {2, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const float scores[] = {0, 0, 0, 0, -9, -9, -9, -9, -3, -2, -20, -1, -9, -4, -9, -9, -5};

static struct tokenizer_spec spec_small(void)
{
    return (struct tokenizer_spec){.n_tokens = COUNT_OF(tokens),
                                   .tokens = tokens,
                                   .types = types,
                                   .scores = scores,
                                   .prefix_blank = true,
                                   .model = STR("llama")};
}

static void pairs_of_the_greatest_score_are_merged_first(void **state)
{
    (void)state;
    struct tokenizer_spec spec = spec_small();
    struct tokenizer *t = NULL;
    struct error err;
    struct buf text;

    ASSERT_OK(tokenizer_open(&spec, &t, &err));
    ASSERT_ENCODES(t, "abc", true, 10, 9);
    ASSERT_ENCODES(t, "xab", true, 4, 0, 8);
    ASSERT_ENCODES(t, "caaa", true, 4, 7, 16, 5); /* equal scores: from the left */
    ASSERT_ENCODES(t, "ca\u00e9", true, 4, 7, 11);
    ASSERT_ENCODES(t, "c\u00e9", true, 4, 7, 2, 3); /* by its bytes */
    ASSERT_ENCODES(t, "<s>b", true, 1, 4, 6);
    ASSERT_ENCODES(t, "<s>b", false, 4, 12, 13, 6); /* what is control is made of no text */
    buf_init(&text, 100);
    tokenizer_text(t, (const token_id[]){4, 7, 2, 3}, 4, false, &text);
    ASSERT_STR(buf_view(&text), "c\u00e9");
    buf_clear(&text);
    tokenizer_text(t, (const token_id[]){4, 7, 2, 2, 3}, 5, false, &text);
    ASSERT_STR(buf_view(&text),
               "c\ufffd\ufffd\ufffd"); /* the reference's: one for each byte of the run */
    buf_clear(&text);
    tokenizer_decode(t, (const token_id[]){4, 7}, 2, false, &text);
    ASSERT_STR(buf_view(&text), " c");
    buf_release(&text);
    tokenizer_close(t);
    spec.prefix_blank = false;
    ASSERT_OK(tokenizer_open(&spec, &t, &err));
    ASSERT_ENCODES(t, "abc a", true, 5, 9, 10);
    tokenizer_close(t);
}

static void scores_that_say_nothing_are_refused(void **state)
{
    (void)state;
    struct tokenizer_spec spec = spec_small();
    struct tokenizer *t = NULL;
    struct error err;
    float broken[COUNT_OF(scores)];

    memcpy(broken, scores, sizeof broken);
    broken[5] = (float)(0.0 * strtod("inf", NULL));
    spec.scores = broken;
    ASSERT_FAILS(tokenizer_open(&spec, &t, &err), ERR_CORRUPT,
                 "the score of token 5 is not a number");
    spec.scores = NULL;
    ASSERT_FAILS(tokenizer_open(&spec, &t, &err), ERR_CORRUPT, "the tokens have no scores");
    spec.model = STR("t5");
    ASSERT_FAILS(tokenizer_open(&spec, &t, &err), ERR_UNSUPPORTED,
                 "the tokenizer model \"t5\" is not offered");
}

/* A piece of a million characters that merges go on in everywhere; quadratic time would be minutes. */
static void a_long_run_of_one_letter_is_no_matter(void **state)
{
    (void)state;
    struct tokenizer_spec spec = spec_small();
    struct tokenizer *t = NULL;
    struct error err;
    struct token_list list = {0};
    const size_t n = 1 << 20;
    char *text = malloc(n);

    memset(text, 'a', n);
    ASSERT_OK(tokenizer_open(&spec, &t, &err));
    ASSERT_OK(tokenizer_encode(t, (struct str){text, n}, true, &list, &err));
    assert_int_equal(list.n, n / 2 + 1);
    tokenizer_close(t);
    token_list_release(&list);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_gives_the_ids_and_the_text_of_the_reference),
        cmocka_unit_test(pairs_of_the_greatest_score_are_merged_first),
        cmocka_unit_test(scores_that_say_nothing_are_refused),
        cmocka_unit_test(a_long_run_of_one_letter_is_no_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
