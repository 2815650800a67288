/*
 * wordpiece_test.c - ids equal the reference's on twelve thousand nasty strings, from each kind of file; the ends of a
 * text, what is decoded, and each error.
 */
#include "base/file.h"
#include "base/size.h"
#include "support/golden.h"
#include "text/json.h"
#include "text/tokenizer.h"
#include "text/wordpiece.h"

#include <stdlib.h>

static struct str golden_text(struct arena *a, const char *name)
{
    struct error err;
    struct str text = STR("");

    ASSERT_OK(file_read(golden_path(a, name), 1 << 20, a, &text, &err));
    return text;
}

static struct tokenizer *open_golden(const char *name)
{
    struct arena a = {0};
    struct error err;
    struct tokenizer *t = NULL;

    ASSERT_OK(tokenizer_open_json(golden_text(&a, name), name, &t, &err));
    arena_release(&a);
    return t;
}

/* special: added tokens are recognised. */
static void check_ids(const struct tokenizer *t, const char *ids_name, bool special)
{
    struct arena a = {0};
    struct error err;
    struct token_list list = {0};
    size_t n = 0;
    struct golden_lines strings = golden_lines_open(&a, "wordpiece/strings.jsonl.gz");
    struct golden_lines ids = golden_lines_open(&a, ids_name);

    for (json_t *s; (s = golden_lines_next(&strings)) != NULL; n++) {
        json_t *want = golden_lines_next(&ids);

        list.n = 0;
        ASSERT_OK(tokenizer_encode(t, json_str(s), special, &list, &err));
        bool same = list.n == json_array_size(want);
        for (size_t i = 0; same && i < list.n; i++)
            same = list.ids[i] == json_integer_value(json_array_get(want, i));
        if (!same)
            fail_msg("%s, line %zu: other ids than the reference's", ids_name, n);
        json_decref(want);
        json_decref(s);
    }
    assert_null(golden_lines_next(&ids));
    assert_int_equal(n, 12000);
    token_list_release(&list);
    arena_release(&a);
}

static void the_uncased_tokenizer_gives_the_ids_of_the_reference(void **state)
{
    struct tokenizer *t = open_golden("wordpiece/uncased.json");

    (void)state;
    check_ids(t, "wordpiece/uncased.jsonl.gz", true);
    check_ids(t, "wordpiece/uncased-plain.jsonl.gz", false);
    tokenizer_close(t);
}

static void the_cased_tokenizer_gives_the_ids_of_the_reference(void **state)
{
    struct tokenizer *t = open_golden("wordpiece/cased.json");

    (void)state;
    check_ids(t, "wordpiece/cased.jsonl.gz", true);
    check_ids(t, "wordpiece/cased-plain.jsonl.gz", false);
    tokenizer_close(t);
}

static void vocab_txt_gives_the_same_ids_as_tokenizer_json(void **state)
{
    struct arena a = {0};
    struct error err;
    struct tokenizer *t = NULL;

    (void)state;
    ASSERT_OK(tokenizer_open_vocab(golden_text(&a, "wordpiece/vocab.txt"), STR(""), "vocab.txt", &t,
                                   &err));
    check_ids(t, "wordpiece/uncased.jsonl.gz", true);
    check_ids(t, "wordpiece/uncased-plain.jsonl.gz", false);
    assert_int_equal(tokenizer_ends(t).first, tokenizer_find(t, STR("[CLS]")));
    assert_int_equal(tokenizer_ends(t).last, tokenizer_find(t, STR("[SEP]")));
    tokenizer_close(t);
    arena_release(&a);
}

/* What llama.cpp's converter makes of a vocabulary: "##x" is "x", "x" is U+2581 "x", special tokens stay. */
static struct tokenizer *open_as_gguf(const char *name, bool with_types)
{
    struct arena a = {0};
    struct error err;
    struct tokenizer *t = NULL;
    json_t *root = NULL, *token;
    const char *key;

    ASSERT_OK(json_parse(golden_text(&a, name), name, &root, &err));
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    const size_t n = json_object_size(vocab);
    struct str *tokens = ARENA_ARRAY(&a, struct str, n);
    int32_t *types = ARENA_ARRAY(&a, int32_t, n);
    json_object_foreach(vocab, key, token)
    {
        const size_t id = (size_t)json_integer_value(token);
        const bool special = id < 5; /* [PAD] to [MASK] */

        types[id] = special ? 3 : 1;
        tokens[id] = str_of(special                      ? arena_printf(&a, "%s", key)
                            : strncmp(key, "##", 2) == 0 ? arena_printf(&a, "%s", key + 2)
                                                         : arena_printf(&a, "\u2581%s", key));
    }
    const struct tokenizer_spec spec = {.n_tokens = n,
                                        .tokens = tokens,
                                        .types = with_types ? types : NULL,
                                        .model = STR("bert"),
                                        .pre = STR("default")};
    ASSERT_OK(tokenizer_open(&spec, &t, &err));
    json_decref(root);
    arena_release(&a);
    return t;
}

static void gguf_s_spelling_gives_the_same_ids_and_its_capitals_tell_of_case(void **state)
{
    (void)state;
    struct tokenizer *t = open_as_gguf("wordpiece/uncased.json", true);
    check_ids(t, "wordpiece/uncased.jsonl.gz", true);
    check_ids(t, "wordpiece/uncased-plain.jsonl.gz", false);
    tokenizer_close(t);
    t = open_as_gguf("wordpiece/uncased.json",
                     false); /* as files without types: what is in brackets */
    check_ids(t, "wordpiece/uncased-plain.jsonl.gz", false);
    assert_int_equal(tokenizer_ends(t).first, 2);
    assert_int_equal(tokenizer_ends(t).last, 3);
    tokenizer_close(t);
    t = open_as_gguf("wordpiece/cased.json", true);
    check_ids(t, "wordpiece/cased-plain.jsonl.gz", false);
    tokenizer_close(t);
}

static void a_word_begins_with_a_blank_when_decoded(void **state)
{
    struct tokenizer *t = open_golden("wordpiece/uncased.json");
    struct token_list list = {0};
    struct error err;
    struct buf out;

    (void)state;
    buf_init(&out, 100);
    ASSERT_OK(tokenizer_encode(t, STR("[CLS]Genes, fever[SEP]"), true, &list, &err));
    tokenizer_decode(t, list.ids, list.n, false, &out);
    ASSERT_STR(buf_view(&out), "[CLS] genes , fever[SEP]");
    buf_clear(&out);
    tokenizer_decode(t, list.ids, list.n, true, &out);
    ASSERT_STR(buf_view(&out), " genes , fever");
    assert_false(tokenizer_keeps_text(t));
    buf_release(&out);
    token_list_release(&list);
    tokenizer_close(t);
}

/* A tokenizer.json with a small vocabulary; each part may be replaced. */
static char *json_of(struct arena *a, const char *model, const char *normalizer, const char *pre,
                     const char *post)
{
    return arena_printf(a,
                        "{\"added_tokens\": [], \"normalizer\": %s, \"pre_tokenizer\": %s, "
                        "\"post_processor\": %s, \"model\": {\"type\": \"WordPiece\", %s}}",
                        normalizer, pre, post, model);
}

#define VOCAB                                                                                      \
    "\"vocab\": {\"[UNK]\": 0, \"a\": 1, \"##b\": 2, \"[CLS]\": 3, \"[SEP]\": 4, \"A\": 5, \"é\": 6}"
#define BERT "{\"type\": \"BertNormalizer\"}"
#define PRE "{\"type\": \"BertPreTokenizer\"}"

static void what_the_file_leaves_open_has_the_reference_s_defaults(void **state)
{
    struct arena a = {0};
    struct error err;
    struct token_list list = {0};
    static const struct {
        const char *model, *normalizer, *post, *text;
        size_t n;
        token_id ids[4], first, last;
    } cases[] = {
        {VOCAB, BERT, "null", "A ab aab é", 4, {1, 1, 2, 0}, -1, -1}, /* the four below are cut */
        {VOCAB, "null", "null", "A é", 2, {5, 6}, -1, -1},
        {VOCAB,
         "{\"type\": \"BertNormalizer\", \"lowercase\": false}",
         "null",
         "A é",
         2,
         {5, 6},
         -1,
         -1},
        {VOCAB,
         "{\"type\": \"BertNormalizer\", \"strip_accents\": false}",
         "null",
         "A É",
         2,
         {1, 6},
         -1,
         -1},
        {VOCAB ", \"max_input_chars_per_word\": 1", BERT, "null", "a ab", 2, {1, 0}, -1, -1},
        {VOCAB ", \"continuing_subword_prefix\": \"##b\"", BERT, "null", "a", 1, {1}, -1, -1},
        {VOCAB ", \"unk_token\": \"[CLS]\"", BERT, "null", "x", 1, {3}, -1, -1},
        {VOCAB,
         BERT,
         "{\"type\": \"BertProcessing\", \"cls\": [\"[CLS]\", 3], \"sep\": [\"[SEP]\", 4]}",
         "a",
         1,
         {1},
         3,
         4},
        {VOCAB,
         BERT,
         "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\"}}, {\"SpecialToken\": {\"id\": \"[SEP]\"}}]}",
         "a",
         1,
         {1},
         -1,
         4},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tokenizer *t = NULL;

        ASSERT_OK(tokenizer_open_json(
            str_of(json_of(&a, cases[i].model, cases[i].normalizer, PRE, cases[i].post)), "t", &t,
            &err));
        list.n = 0;
        ASSERT_OK(tokenizer_encode(t, str_of(cases[i].text), false, &list, &err));
        if (i == 0) { /* a, a ##b, [UNK], and é without its accent is no token */
            const token_id want[] = {1, 1, 2, 0, 0};

            assert_int_equal(list.n, 5);
            assert_memory_equal(list.ids, want, sizeof want);
        } else {
            assert_int_equal(list.n, cases[i].n);
            assert_memory_equal(list.ids, cases[i].ids, list.n * sizeof *list.ids);
        }
        assert_int_equal(tokenizer_ends(t).first, cases[i].first);
        assert_int_equal(tokenizer_ends(t).last, cases[i].last);
        tokenizer_close(t);
    }
    token_list_release(&list);
    arena_release(&a);
}

static void what_is_not_bert_s_is_refused_by_name(void **state)
{
    struct arena a = {0};
    struct error err;
    struct tokenizer *t = NULL;
    static const struct {
        const char *model, *normalizer, *pre, *post;
        enum error_kind kind;
        const char *says;
    } cases[] = {
        {VOCAB, "{\"type\": \"NFC\"}", PRE, "null", ERR_UNSUPPORTED,
         "the normalizer \"NFC\" is not offered"},
        {VOCAB, BERT, "{\"type\": \"Whitespace\"}", "null", ERR_UNSUPPORTED,
         "the pre_tokenizer \"Whitespace\""},
        {VOCAB, BERT, "null", "null", ERR_UNSUPPORTED, "the pre_tokenizer \"null\""},
        {VOCAB, BERT, PRE, "{\"type\": \"ByteLevel\"}", ERR_UNSUPPORTED,
         "the post_processor \"ByteLevel\""},
        {VOCAB, BERT, PRE, "{\"type\": \"BertProcessing\", \"cls\": [\"[CLS]\", 3]}", ERR_CORRUPT,
         "\"sep\" of post_processor has no token"},
        {VOCAB, BERT, PRE,
         "{\"type\": \"BertProcessing\", \"cls\": [\"[C]\", 3], \"sep\": [\"[SEP]\", 4]}",
         ERR_CORRUPT, "\"[C]\", put around a text, is not a token"},
        {VOCAB, BERT, PRE, "{\"type\": \"TemplateProcessing\", \"single\": []}", ERR_CORRUPT,
         "has no place for the text"},
        {VOCAB, BERT, PRE,
         "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"a\"}}, {\"SpecialToken\": {\"id\": \"a\"}}]}",
         ERR_UNSUPPORTED, "more than a token at each end"},
        {"\"vocab\": {\"a\": 0}", BERT, PRE, "null", ERR_CORRUPT,
         "the unknown token \"[UNK]\" is not in the vocabulary"},
        {VOCAB ", \"max_input_chars_per_word\": 0", BERT, PRE, "null", ERR_INVALID,
         "max_input_chars_per_word"},
        {"\"vocab\": 1", BERT, PRE, "null", ERR_CORRUPT, "\"vocab\" is"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        ASSERT_FAILS(tokenizer_open_json(str_of(json_of(&a, cases[i].model, cases[i].normalizer,
                                                        cases[i].pre, cases[i].post)),
                                         "t", &t, &err),
                     cases[i].kind, cases[i].says);
    ASSERT_FAILS(tokenizer_open_vocab(STR("a\nb\n"), STR(""), "vocab.txt", &t, &err), ERR_CORRUPT,
                 "vocab.txt: the unknown token \"[UNK]\" is not in the vocabulary");
    ASSERT_FAILS(tokenizer_open_vocab(STR("[UNK]\n[CLS]\n"), STR(""), "vocab.txt", &t, &err),
                 ERR_CORRUPT, "\"[SEP]\", put around a text, is not a token");
    ASSERT_FAILS(tokenizer_open_vocab(STR("[UNK]\n[UNK]\n"), STR(""), "vocab.txt", &t, &err),
                 ERR_CORRUPT, "tokens 0 and 1 are both \"[UNK]\"");
    ASSERT_FAILS(tokenizer_open_vocab(STR(""), STR(""), "vocab.txt", &t, &err), ERR_CORRUPT,
                 "no tokens");
    ASSERT_FAILS(tokenizer_open_vocab(STR("[UNK]\n[CLS]\n[SEP]\n"),
                                      STR("{\"do_basic_tokenize\": false}"), "vocab.txt", &t, &err),
                 ERR_UNSUPPORTED, "\"do_basic_tokenize\" false is not offered");
    arena_release(&a);
}

static void tokenizer_config_says_what_vocab_txt_cannot(void **state)
{
    struct error err;
    struct tokenizer *t = NULL;
    struct token_list list = {0};

    (void)state;
    ASSERT_OK(tokenizer_open_vocab(
        STR("<u>\r\nA\r\né\r\n\r\n<c>\r\n<s>"),
        STR("{\"do_lower_case\": false, \"unk_token\": {\"content\": \"<u>\"}, \"cls_token\": \"<c>\", \"sep_token\": \"<s>\"}"),
        "vocab.txt", &t, &err));
    ASSERT_OK(tokenizer_encode(t, STR("A é a <c>"), true, &list, &err));
    assert_int_equal(list.n, 4);
    assert_int_equal(list.ids[0], 1);
    assert_int_equal(list.ids[1], 2);
    assert_int_equal(list.ids[2], 0);
    assert_int_equal(list.ids[3], 4);
    assert_int_equal(tokenizer_ends(t).last, 5);
    assert_int_equal(tokenizer_size(t), 6);
    token_list_release(&list);
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_uncased_tokenizer_gives_the_ids_of_the_reference),
        cmocka_unit_test(the_cased_tokenizer_gives_the_ids_of_the_reference),
        cmocka_unit_test(vocab_txt_gives_the_same_ids_as_tokenizer_json),
        cmocka_unit_test(gguf_s_spelling_gives_the_same_ids_and_its_capitals_tell_of_case),
        cmocka_unit_test(a_word_begins_with_a_blank_when_decoded),
        cmocka_unit_test(what_the_file_leaves_open_has_the_reference_s_defaults),
        cmocka_unit_test(what_is_not_bert_s_is_refused_by_name),
        cmocka_unit_test(tokenizer_config_says_what_vocab_txt_cannot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
