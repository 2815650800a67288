/*
 * tokenizer_test.c - ids equal the reference's on ten thousand nasty strings, and each promise and error of the headers.
 */
#include "base/file.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "base/philox.h"
#include "base/size.h"
#include "model/model_files.h"
#include "support/golden.h"
#include "text/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"

#include <stdio.h>
#include <stdlib.h>

static struct tokenizer *open_golden(struct arena *a, const char *name)
{
    struct error err;
    struct tokenizer *t = NULL;
    const char *path = golden_path(a, name);
    struct str text;

    ASSERT_OK(file_read(path, 1 << 20, a, &text, &err));
    ASSERT_OK(tokenizer_open_json(text, path, &t, &err));
    return t;
}

static void assert_ids(const struct token_list *got, const json_t *want, size_t from, size_t n_line)
{
    bool same = got->n + from == json_array_size(want);

    for (size_t i = 0; same && i < got->n; i++)
        same = got->ids[i] == json_integer_value(json_array_get(want, from + i));
    if (!same)
        fail_msg("line %zu: other ids than the reference's", n_line);
}

/* Strings that hold this (may be NULL) are let off: what is opened cannot know of it. */
static void check_ids(const struct tokenizer *t, const char *name, const char *except,
                      size_t n_not_given_back)
{
    struct arena a = {0};
    struct error err;
    struct token_list list = {0};
    struct buf text;
    size_t n = 0, n_plain = 0, n_changed = 0;

    buf_init(&text, 1 << 20);
    struct golden_lines strings = golden_lines_open(&a, "tokenizer/strings.jsonl.gz");
    struct golden_lines ids =
        golden_lines_open(&a, arena_printf(&a, "tokenizer/%s.jsonl.gz", name));
    struct golden_lines plain =
        golden_lines_open(&a, arena_printf(&a, "tokenizer/%s-plain.jsonl.gz", name));
    json_t *plain_row = golden_lines_next(&plain);

    for (json_t *s; (s = golden_lines_next(&strings)) != NULL; n++) {
        json_t *want = golden_lines_next(&ids);
        const struct str string = json_str(s);

        list.n = 0;
        ASSERT_OK(tokenizer_encode(t, string, true, &list, &err));
        if (except == NULL || str_find(string, str_of(except), 0) == string.len)
            assert_ids(&list, want, 0, n);
        buf_clear(&text);
        tokenizer_decode(t, list.ids, list.n, false, &text);
        n_changed += !str_eq(buf_view(&text), string);
        if (plain_row != NULL && (size_t)json_integer_value(json_array_get(plain_row, 0)) == n) {
            list.n = 0;
            ASSERT_OK(tokenizer_encode(t, string, false, &list, &err));
            assert_ids(&list, plain_row, 1, n);
            json_decref(plain_row);
            plain_row = golden_lines_next(&plain);
            n_plain++;
        }
        json_decref(want);
        json_decref(s);
    }
    assert_null(golden_lines_next(&ids));
    assert_int_equal(n, 10000);
    assert_int_equal(n_plain, 1000);
    assert_int_equal(n_changed, n_not_given_back);
    token_list_release(&list);
    buf_release(&text);
    arena_release(&a);
}

static void check_golden(const char *name, size_t n_not_given_back)
{
    struct arena a = {0};
    struct tokenizer *t = open_golden(&a, arena_printf(&a, "tokenizer/%s.json", name));

    check_ids(t, name, NULL, n_not_given_back);
    tokenizer_close(t);
    arena_release(&a);
}

static void the_tokenizer_like_gpt2_gives_the_ids_of_the_reference(void **state)
{
    (void)state;
    check_golden("gpt2", 13); /* rstrip eats white space */
}

static void the_tokenizer_like_llama3_gives_the_ids_of_the_reference(void **state)
{
    (void)state;
    check_golden("llama3", 0);
}

static void the_tokenizer_like_qwen2_gives_the_ids_of_the_reference(void **state)
{
    (void)state;
    check_golden("qwen2", 301); /* NFC changes the text */
}

/* What a GGUF file would say of a tokenizer.json. */
static struct tokenizer_spec spec_of(struct arena *a, json_t *root, const char *pre)
{
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    json_t *merges = json_object_get(json_object_get(root, "model"), "merges"), *added, *id, *m;
    const size_t n =
        json_object_size(vocab) + json_array_size(json_object_get(root, "added_tokens"));
    struct str *tokens = ARENA_ARRAY(a, struct str, n),
               *pairs = ARENA_ARRAY(a, struct str, json_array_size(merges));
    int32_t *types = ARENA_ARRAY(a, int32_t, n);
    const char *key;
    size_t i, n_tokens = 0;

    json_object_foreach(vocab, key, id)
    {
        tokens[json_integer_value(id)] = str_of(key);
        types[json_integer_value(id)] = 1;
        n_tokens = size_max(n_tokens, (size_t)json_integer_value(id) + 1);
    }
    json_array_foreach(json_object_get(root, "added_tokens"), i, added)
    {
        const size_t at = (size_t)json_integer_value(json_object_get(added, "id"));

        tokens[at] = json_str(json_object_get(added, "content"));
        types[at] = json_is_true(json_object_get(added, "special")) ? 3 : 4;
        n_tokens = size_max(n_tokens, at + 1);
    }
    json_array_foreach(merges, i, m) pairs[i] =
        str_of(arena_printf(a, "%s %s", json_string_value(json_array_get(m, 0)),
                            json_string_value(json_array_get(m, 1))));
    return (struct tokenizer_spec){.n_tokens = n_tokens,
                                   .tokens = tokens,
                                   .types = types,
                                   .n_merges = json_array_size(merges),
                                   .merges = pairs,
                                   .model = STR("gpt2"),
                                   .pre = str_of(pre)};
}

static void what_gguf_says_gives_the_same_ids(void **state)
{
    (void)state;
    static const struct {
        const char *name, *pre, *except;
        size_t n_not_given_back;
    } cases[] = {
        {"gpt2", "gpt-2", "<|pad|>", 0}, /* GGUF has no rstrip */
        {"llama3", "llama-bpe", NULL, 0},
        {"qwen2", "qwen2", NULL, 301},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a = {0};
        struct error err;
        struct tokenizer *t = NULL;
        json_t *root;

        ASSERT_OK(json_read_file(
            golden_path(&a, arena_printf(&a, "tokenizer/%s.json", cases[i].name)), &root, &err));
        struct tokenizer_spec spec = spec_of(&a, root, cases[i].pre);
        ASSERT_OK(tokenizer_open(&spec, &t, &err));
        json_decref(root);
        check_ids(t, cases[i].name, cases[i].except, cases[i].n_not_given_back);
        tokenizer_close(t);
        arena_release(&a);
    }
}

static void the_demo_model_gives_the_ids_of_the_reference(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err;
    struct model_files *f = NULL;
    const char *path = getenv("HONE_DEMO_MODEL");

    if (path == NULL)
        path = SOURCE_DIR "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (!file_exists(path)) {
        print_message("%s is not there: scripts/demo-model gets it\n", path);
        skip();
    }
    ASSERT_OK(model_files_open(path, &f, &err));
    check_ids(model_files_tokenizer(f), "smollm2", NULL,
              209); /* bytes without tokens are dropped */
    model_files_close(f);
    arena_release(&a);
}

/*
 * Small tokenizers: the 256 letters, then what the merges make ("ab", "abc", ...), then the added tokens.
 * rest is put behind the model's vocabulary and merges, before, with its comma, at the beginning.
 */
static struct str small_json(struct arena *a, const char *before, const char *merges,
                             const char *rest)
{
    struct buf b;
    struct str out;

    buf_init(&b, 1 << 20);
    buf_printf(&b, "{%s\"model\":{\"vocab\":{", before);
    for (int i = 0; i < 256; i++) {
        char letter[4];

        json_write_string(
            &b, (struct str){letter, utf8_write(byte_to_letter((unsigned char)i), letter)}, false);
        buf_printf(&b, ":%d,", i);
    }
    buf_printf(&b,
               "\"ab\":256,\"abc\":257,\"\u0120a\":258,\"<x>\":259,\"zz\":260},\"merges\":%s%s}}",
               merges, rest);
    out = arena_str(a, buf_view(&b));
    buf_release(&b);
    return out;
}
#define BYTE_LEVEL "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
#define MERGES "[\"#version: 0.2\",[\"a\",\"b\"],\"ab c\",[\"\u0120\",\"a\"]]"

static struct tokenizer *open_small(struct arena *a, const char *before, const char *rest)
{
    struct error err;
    struct tokenizer *t = NULL;

    ASSERT_OK(tokenizer_open_json(small_json(a, before, MERGES, rest), "small.json", &t, &err));
    return t;
}

static void assert_encodes(const struct tokenizer *t, const char *text, bool parse_special,
                           const token_id *want, size_t n)
{
    struct token_list list = {0};
    struct error err;

    ASSERT_OK(tokenizer_encode(t, str_of(text), parse_special, &list, &err));
    bool same = list.n == n;
    for (size_t i = 0; same && i < n; i++)
        same = list.ids[i] == want[i];
    if (!same) {
        for (size_t i = 0; i < list.n; i++)
            print_message("%d ", list.ids[i]);
        fail_msg("are the ids of \"%s\"", text);
    }
    token_list_release(&list);
}
#define ASSERT_ENCODES(t, text, parse_special, ...)                                                \
    assert_encodes(t, text, parse_special, (const token_id[]){__VA_ARGS__},                        \
                   sizeof((token_id[]){__VA_ARGS__}) / sizeof(token_id))

#define ADDED(id, text, flags) "{\"id\":" #id ",\"content\":\"" text "\"" flags "}"
#define SPECIAL ",\"special\":true"

static void plain_text_cannot_forge_an_added_token(void **state)
{
    (void)state;
    struct arena a = {0};
    struct tokenizer *t = open_small(
        &a,
        BYTE_LEVEL "\"added_tokens\":[" ADDED(259, "<x>", SPECIAL) "," ADDED(261, "<t>", "") "],",
        "");

    ASSERT_ENCODES(t, "a<x><t>", true, 'a', 259, 261);
    ASSERT_ENCODES(t, "a<x><t>", false, 'a', '<', 'x', '>', '<', 't', '>');
    assert_true(tokenizer_is_special(t, 259));
    assert_false(tokenizer_is_special(t, 261));
    tokenizer_close(t);
    /* nor where a piece that is a token is taken whole */
    t = open_small(&a, "\"added_tokens\":[" ADDED(260, "zz", SPECIAL) "]," BYTE_LEVEL,
                   ",\"ignore_merges\":true");
    ASSERT_ENCODES(t, "zz", true, 260);
    ASSERT_ENCODES(t, "zz", false, 'z', 'z');
    tokenizer_close(t);
    arena_release(&a);
}

static void the_longest_of_the_leftmost_added_tokens_is_taken(void **state)
{
    (void)state;
    struct arena a = {0};
    struct tokenizer *t =
        open_small(&a,
                   BYTE_LEVEL "\"added_tokens\":[" ADDED(261, "<q>", "") "," ADDED(
                       262, "<q>a", "") "," ADDED(263, "x<", "") "],",
                   "");

    ASSERT_ENCODES(t, "<q>ab", true, 262, 'b');
    ASSERT_ENCODES(t, "<q>b", true, 261, 'b');
    ASSERT_ENCODES(t, "x<q>ab", true, 263, 'q', '>', 256);
    ASSERT_ENCODES(t, "<q", true, '<', 'q');
    ASSERT_ENCODES(t, "<q><q>a", true, 261, 262);
    tokenizer_close(t);
    arena_release(&a);
}

static void the_flags_of_added_tokens_hold(void **state)
{
    (void)state;
    struct arena a = {0};
    struct tokenizer *t = open_small(
        &a,
        BYTE_LEVEL "\"added_tokens\":[" ADDED(261, "<l>", ",\"lstrip\":true") "," ADDED(
            262, "<r>", ",\"rstrip\":true") "," ADDED(263, "word", ",\"single_word\":true") "],",
        "");

    ASSERT_ENCODES(t, "x \n<l> y", true, 'x', 261, 32, 'y');
    ASSERT_ENCODES(t, "x <r>\u3000\t y", true, 'x', 32, 262, 'y');
    ASSERT_ENCODES(t, "<r>  <l>", true, 262, 261);
    ASSERT_ENCODES(t, "<r> <r><l> <r>", true, 262, 262, 261, 32, 262);
    ASSERT_ENCODES(t, "word words 1word", true, 263, 32, 'w', 'o', 'r', 'd', 's', 32, '1', 'w', 'o',
                   'r', 'd');
    ASSERT_ENCODES(t, "-word-", true, '-', 263, '-');
    ASSERT_ENCODES(t, "\u24b6word", true, 0xE2, 0x92, 0xB6, 'w', 'o', 'r', 'd');
    tokenizer_close(t);
    arena_release(&a);
}

static void a_normalized_token_is_found_in_normalised_text(void **state)
{
    (void)state;
    struct arena a = {0};
    struct tokenizer *t = open_small(
        &a,
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKD\"},{\"type\":\"NFC\"}]}," BYTE_LEVEL
        "\"added_tokens\":[" ADDED(261, "\ufb01", ",\"normalized\":true") "," ADDED(
            262, "\ufb02", ",\"normalized\":false") "],",
        "");

    ASSERT_ENCODES(t, "\ufb01 fi", true, 261, 32, 261);
    ASSERT_ENCODES(t, "\ufb02 fl", true, 262, 32, 'f', 'l');
    ASSERT_ENCODES(t, "\ufb01", false, 'f', 'i');
    ASSERT_STR(tokenizer_bytes(t, 261), "fi");
    ASSERT_STR(tokenizer_bytes(t, 262), "\ufb02");
    tokenizer_close(t);
    arena_release(&a);
}

static void merges_may_be_pairs_or_texts_and_may_be_ignored(void **state)
{
    (void)state;
    struct arena a = {0};
    struct tokenizer *t = open_small(&a, BYTE_LEVEL, "");

    ASSERT_ENCODES(t, "abc zz a", true, 257, 32, 'z', 'z', 258);
    assert_encodes(t, "", true, NULL, 0);
    tokenizer_close(t);
    t = open_small(&a, BYTE_LEVEL, ",\"ignore_merges\":true");
    ASSERT_ENCODES(t, "zz zz", true, 260, 32, 'z', 'z');
    tokenizer_close(t);
    arena_release(&a);
}

static void tokens_are_found_by_text_and_by_spelling(void **state)
{
    (void)state;
    struct arena a = {0};
    struct tokenizer *t = open_small(
        &a, BYTE_LEVEL "\"added_tokens\":[" ADDED(265, "<|end of it|>", SPECIAL) "],", "");

    assert_int_equal(tokenizer_size(t), 266);
    assert_int_equal(tokenizer_find(t, STR("<|end of it|>")), 265);
    assert_int_equal(tokenizer_find(t, STR("\u0120a")), 258);
    assert_int_equal(tokenizer_find(t, STR(" a")), -1);
    assert_int_equal(tokenizer_find(t, STR("")), -1);
    ASSERT_STR(tokenizer_bytes(t, 265), "<|end of it|>");
    ASSERT_STR(tokenizer_bytes(t, 258), " a");
    ASSERT_STR(tokenizer_bytes(t, 262), ""); /* a hole */
    ASSERT_STR(tokenizer_bytes(t, -1), "");
    ASSERT_STR(tokenizer_bytes(t, 266), "");
    assert_false(tokenizer_is_special(t, -1));
    assert_false(tokenizer_is_special(t, 1 << 20));
    assert_int_equal(tokenizer_bytes(t, 0xFF).ptr[0], '\xFF');
    tokenizer_close(t);
    tokenizer_close(NULL);
    arena_release(&a);
}

static void assert_decodes(const struct tokenizer *t, const token_id *ids, size_t n, bool skip,
                           const char *want)
{
    struct buf b;

    buf_init(&b, 1000);
    tokenizer_decode(t, ids, n, skip, &b);
    ASSERT_STR(buf_view(&b), want);
    buf_release(&b);
}
#define ASSERT_DECODES(t, skip, want, ...)                                                         \
    assert_decodes(t, (const token_id[]){__VA_ARGS__},                                             \
                   sizeof((token_id[]){__VA_ARGS__}) / sizeof(token_id), skip, want)

static void decoding_replaces_what_is_no_character(void **state)
{
    (void)state;
    struct arena a = {0};
    struct tokenizer *t = open_small(
        &a,
        BYTE_LEVEL
        "\"added_tokens\":[" ADDED(259, "<x>", SPECIAL) "," ADDED(261, "\u00e9\u00e9", "") "],",
        "");

    ASSERT_DECODES(t, false, "abc a<x>", 257, 258, 259);
    ASSERT_DECODES(t, true, "abc a", 257, 259, 258);
    ASSERT_DECODES(t, false, "\u00e9\u00e9", 261); /* its own text, though it could be a spelling */
    ASSERT_DECODES(t, false, "\u20ac", 0xE2, 0x82, 0xAC);
    ASSERT_DECODES(t, true, "\u20ac", 0xE2, 0x82, 259, 0xAC);
    ASSERT_DECODES(t, false, "\ufffda", 0xE2, 0x82, 'a');
    ASSERT_DECODES(t, false, "\ufffd", 0xE2, -5, 100000,
                   0x82); /* ids that there are not are passed over */
    ASSERT_DECODES(t, false, "\ufffd\ufffd", 0x80, 0xFF);
    tokenizer_close(t);
    arena_release(&a);
}

static void streaming_gives_what_decoding_gives(void **state)
{
    (void)state;
    struct arena a = {0};
    struct tokenizer *t = open_golden(&a, "tokenizer/llama3.json");
    struct buf whole, streamed;

    buf_init(&whole, 1 << 20);
    buf_init(&streamed, 1 << 20);
    for (uint32_t i = 0; i < 5000; i++) {
        struct utf8_stream s = {0};
        token_id ids[12];

        for (uint32_t k = 0; k < COUNT_OF(ids);
             k++) /* single bytes most of the time: these make characters in part */
            ids[k] = (token_id)philox_below(2, PHILOX_TEST, i, k,
                                            k % 3 == 0 ? (uint32_t)tokenizer_size(t) : 256);
        buf_clear(&whole);
        buf_clear(&streamed);
        tokenizer_decode(t, ids, COUNT_OF(ids), false, &whole);
        for (size_t k = 0; k < COUNT_OF(ids); k++) {
            utf8_stream_put(&s, tokenizer_bytes(t, ids[k]), &streamed);
            assert_int_equal(utf8_valid(buf_view(&streamed)), streamed.len);
        }
        utf8_stream_end(&s, &streamed);
        assert_true(str_eq(buf_view(&whole), buf_view(&streamed)));
    }
    buf_release(&whole);
    buf_release(&streamed);
    tokenizer_close(t);
    arena_release(&a);
}

static void bytes_without_tokens_are_dropped_or_unknown(void **state)
{
    (void)state;
    struct error err;
    struct tokenizer *t = NULL;
    const struct str dropping =
        STR("{" BYTE_LEVEL "\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"?\":2},\"merges\":[]}}");
    const struct str unknown =
        STR("{" BYTE_LEVEL "\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"?\":2},\"merges\":[],"
            "\"unk_token\":\"?\"}}");
    const struct str fused =
        STR("{" BYTE_LEVEL "\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"?\":2},\"merges\":[],"
            "\"unk_token\":\"?\",\"fuse_unk\":true}}");

    ASSERT_OK(tokenizer_open_json(dropping, "x", &t, &err));
    ASSERT_ENCODES(t, "axyb", true, 0, 1);
    tokenizer_close(t);
    ASSERT_OK(tokenizer_open_json(unknown, "x", &t, &err));
    ASSERT_ENCODES(t, "axyb", true, 0, 2, 2, 1);
    tokenizer_close(t);
    ASSERT_OK(tokenizer_open_json(fused, "x", &t, &err));
    ASSERT_ENCODES(t, "axyb", true, 0, 2, 1);
    tokenizer_close(t);
}

static void text_that_cannot_be_encoded_leaves_the_list_alone(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err;
    struct token_list list = {0};
    struct tokenizer *t = open_small(&a, BYTE_LEVEL, "");
    char *huge = malloc(LIMIT_RENDER_BYTES + 1);

    token_list_put(&list, 7);
    ASSERT_FAILS(tokenizer_encode(t, STR("ab\xC3(c"), true, &list, &err), ERR_INVALID,
                 "the text is not UTF-8: byte 2, C3, belongs to no character");
    ASSERT_FAILS(tokenizer_encode(t, STR("\xED\xA0\x80"), true, &list, &err), ERR_INVALID,
                 "byte 0");
    ASSERT_FAILS(tokenizer_encode(t, (struct str){huge, LIMIT_RENDER_BYTES + 1}, true, &list, &err),
                 ERR_LIMIT, "a text of 67108865 bytes is longer than the 67108864 allowed");
    assert_int_equal(list.n, 1);
    assert_int_equal(list.ids[0], 7);
    free(huge);
    token_list_release(&list);
    tokenizer_close(t);
    arena_release(&a);
}

/* A replacement between all characters, twice: a thousand times a thousand bytes of each. */
static void a_text_may_not_grow_without_end(void **state)
{
    (void)state;
    static const char normalizer[] =
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["
        "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" *\"},\"content\":\"%s\"},"
        "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" *\"},\"content\":\"%s\"}]}," BYTE_LEVEL;
    char longest[1001] = {0}, front[4096];
    struct arena a = {0};
    struct token_list list = {0};
    struct error err = {0};

    memset(longest, 'x', sizeof longest - 1);
    snprintf(front, sizeof front, normalizer, longest, longest);
    struct tokenizer *t = open_small(&a, front, "");
    assert_false(tokenizer_encode(t, STR("many words of a text"), true, &list, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_string_equal(err.message, "the normalised text is longer than the 5376 bytes allowed");
    assert_int_equal(list.n, 0);
    tokenizer_close(t);
    snprintf(front, sizeof front, normalizer, "x", "");
    t = open_small(&a, front, "");
    ASSERT_ENCODES(t, "zz q", true, 'x', 'z', 'x', 'z', 'x', 'q', 'x');
    tokenizer_close(t);
    token_list_release(&list);
    arena_release(&a);
}

static void what_is_not_offered_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *before, *rest, *text;
    } cases[] = {
        {"", "", "without a decoder (and without the pre_tokenizer ByteLevel)"},
        {"\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"},", "",
         "the pre_tokenizer \"UnicodeScripts\" is not offered"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"},",
         "", "the prepend_scheme \"last\" is not offered"},
        {"\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"ByteLevel\"}]},",
         "", "the pre_tokenizer \"ByteLevel\" after ByteLevel is not offered"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},\"behavior\":\"Isolated\"},",
         "", "while reading pre_tokenizer of small.json: the pattern has \"&\" at byte 2"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Swallowed\"},",
         "", "the behavior \"Swallowed\" is not offered"},
        {BYTE_LEVEL "\"normalizer\":{\"type\":\"ByteLevel\"},", "",
         "the normalizer \"ByteLevel\" is not offered"},
        {"\"decoder\":{\"type\":\"CTC\"},", "", "the decoder \"CTC\" is not offered"},
        {"\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"ByteFallback\"}]},",
         "", "the decoder \"ByteFallback\" behind \"Fuse\" is not offered"},
        {BYTE_LEVEL "\"decoder\":{\"type\":\"WordPiece\"},", "",
         "the decoder \"WordPiece\" is not offered"},
        {BYTE_LEVEL, ",\"type\":\"WordLevel\"", "the model \"WordLevel\" is not offered"},
        {BYTE_LEVEL, ",\"dropout\":0.1", "the model \"BPE with dropout\" is not offered"},
        {BYTE_LEVEL, ",\"byte_fallback\":true",
         "the model \"BPE with byte_fallback behind ByteLevel\" is not offered"},
        {BYTE_LEVEL, ",\"end_of_word_suffix\":\"</w>\"",
         "a end_of_word_suffix (\"</w>\") is not offered"},
        {BYTE_LEVEL, ",\"continuing_subword_prefix\":\"##\"",
         "a continuing_subword_prefix (\"##\") is not offered"},
    };
    struct arena a = {0};
    struct error err;
    struct tokenizer *t = NULL;

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        ASSERT_FAILS(tokenizer_open_json(small_json(&a, cases[i].before, MERGES, cases[i].rest),
                                         "small.json", &t, &err),
                     ERR_UNSUPPORTED, cases[i].text);
    assert_null(t);
    arena_release(&a);
}

static void a_file_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *before, *merges, *text;
    } cases[] = {
        {"\"added_tokens\":{},", MERGES, "\"added_tokens\" is an object, a list was expected"},
        {"\"added_tokens\":[1],", MERGES,
         "\"added_tokens\" is a number, a list of objects was expected"},
        {"\"added_tokens\":[" ADDED(-1, "q", "") "],", MERGES,
         "the id of \"q\" is not a whole number from 0 on"},
        {"\"added_tokens\":[" ADDED(256, "q", "") "],", MERGES,
         "token 256 is \"ab\" in one place and \"q\" in another"},
        {"\"added_tokens\":[" ADDED(261, "ab", "") "],", MERGES,
         "tokens 256 and 261 are both \"ab\""},
        {"", "{}", "\"merges\" is an object, a list was expected"},
        {"", "[5]", "merge 0 is a number, a pair of tokens was expected"},
        {"", "[[\"a\",\"b\",\"c\"]]", "merge 0 is a list, a pair of tokens was expected"},
        {"", "[\"a b\",\"ab\"]",
         "merge 1 is \"ab\", two tokens with a blank between were expected"},
        {"", "[\"a  b\"]", "merge 0 is \"a  b\", two tokens"},
        {"", "[[\"a\",\"b\"],[\"q!\",\"b\"]]",
         "merge 1 joins \"q!\" and \"b\": the first is not a token"},
        {"", "[[\"a\",\"q!\"]]", "the second is not a token"},
        {"", "[[\"q\",\"b\"]]", "the result is not a token"},
        {"\"pre_tokenizer\":7,", MERGES, "\"pre_tokenizer\" is a number, an object was expected"},
        {"\"normalizer\":{\"type\":\"Sequence\"},", MERGES,
         "\"normalizers\" is nothing, a list was expected"},
    };
    struct arena a = {0};
    struct error err;
    struct tokenizer *t = NULL;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *pre = strstr(cases[i].before, "pre_tokenizer") == NULL ? BYTE_LEVEL : "";

        ASSERT_FAILS(
            tokenizer_open_json(
                small_json(&a, arena_printf(&a, "%s%s", cases[i].before, pre), cases[i].merges, ""),
                "small.json", &t, &err),
            ERR_CORRUPT, cases[i].text);
        assert_non_null(strstr(err.message, "small.json"));
    }
    ASSERT_FAILS(tokenizer_open_json(STR("[]"), "x.json", &t, &err), ERR_CORRUPT,
                 "x.json is a list, an object");
    ASSERT_FAILS(tokenizer_open_json(STR("{}"), "x.json", &t, &err), ERR_CORRUPT,
                 "\"model\" is nothing, an object");
    ASSERT_FAILS(
        tokenizer_open_json(STR("{\"model\":{\"vocab\":{},\"merges\":[]}," BYTE_LEVEL "\"a\":1}"),
                            "x.json", &t, &err),
        ERR_CORRUPT, "x.json: the tokenizer has no tokens");
    ASSERT_FAILS(tokenizer_open_json(STR("{\"model\":{\"vocab\":{\"a\":1,\"b\":1},\"merges\":[]}}"),
                                     "x.json", &t, &err),
                 ERR_CORRUPT, "have the same id");
    ASSERT_FAILS(
        tokenizer_open_json(STR("{\"model\":{\"vocab\":{\"a\":4294967296}}}"), "x.json", &t, &err),
        ERR_LIMIT, "the id of \"a\" is 4294967296, below 1048576 is allowed");
    ASSERT_FAILS(tokenizer_open_json(STR("{\"model\":"), "x.json", &t, &err), ERR_INVALID,
                 "x.json: not valid JSON");
    arena_release(&a);
}

static void what_gguf_says_is_checked(void **state)
{
    (void)state;
    static const struct str tokens[] = {{"a", 1}, {"b", 1}, {"ab", 2}}, merges[] = {{"a b", 3}},
                            twice[] = {{"a", 1}, {"a", 1}}, broken[] = {{"a", 1}, {"\xFF", 1}};
    static const int32_t types[] = {1, 1, 3};
    struct tokenizer_spec spec = {.n_tokens = 3,
                                  .tokens = tokens,
                                  .n_merges = 1,
                                  .merges = merges,
                                  .model = STR("gpt2"),
                                  .pre = STR("gpt-2")};
    struct error err;
    struct tokenizer *t = NULL;

    ASSERT_OK(tokenizer_open(&spec, &t, &err));
    ASSERT_ENCODES(t, "ab", true, 2);
    assert_false(tokenizer_is_special(t, 2));
    tokenizer_close(t);
    spec.types = types;
    ASSERT_OK(tokenizer_open(&spec, &t, &err));
    assert_true(tokenizer_is_special(t, 2));
    tokenizer_close(t);
    spec.types = NULL;
    t = NULL;

    spec.model = STR("rwkv");
    ASSERT_FAILS(tokenizer_open(&spec, &t, &err), ERR_UNSUPPORTED,
                 "the tokenizer model \"rwkv\" is not offered");
    assert_string_equal(err.param, "tokenizer.ggml.model");
    spec.model = STR("gpt2");
    spec.pre = STR("falcon");
    ASSERT_FAILS(tokenizer_open(&spec, &t, &err), ERR_UNSUPPORTED,
                 "the pre-tokenizer \"falcon\" is not offered");
    spec.pre = STR("gpt-2");
    spec.n_tokens = 2;
    ASSERT_FAILS(tokenizer_open(&spec, &t, &err), ERR_CORRUPT,
                 "merge 0 joins \"a\" and \"b\": the result is not a token");
    spec.n_merges = 0;
    spec.tokens = twice;
    ASSERT_FAILS(tokenizer_open(&spec, &t, &err), ERR_CORRUPT, "tokens 0 and 1 are both \"a\"");
    spec.tokens = broken;
    ASSERT_FAILS(tokenizer_open(&spec, &t, &err), ERR_CORRUPT, "token 1 is not UTF-8");
    spec.n_tokens = 0;
    ASSERT_FAILS(tokenizer_open(&spec, &t, &err), ERR_CORRUPT, "has no tokens");
    spec.n_tokens = LIMIT_VOCAB + 1;
    ASSERT_FAILS(tokenizer_open(&spec, &t, &err), ERR_LIMIT, "1048577 tokens");
    assert_null(t);
}

static void the_alphabet_has_every_byte_once(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++)
        assert_int_equal(letter_to_byte(byte_to_letter((unsigned char)byte)), byte);
    assert_int_equal(byte_to_letter(' '), 0x120);
    assert_int_equal(byte_to_letter('\n'), 0x10A);
    assert_int_equal(byte_to_letter('a'), 'a');
    assert_int_equal(letter_to_byte(' '), -1);
    assert_int_equal(letter_to_byte(0x144), -1);
    assert_int_equal(letter_to_byte(0x10FFFF), -1);
}

struct crowd {
    const struct tokenizer *t;
    struct str text;
    struct token_list lists[64];
};

static void encode_one(void *ctx, size_t unit, int thread)
{
    struct crowd *c = ctx;
    struct error err;

    (void)thread;
    ASSERT_OK(tokenizer_encode(c->t, c->text, true, &c->lists[unit], &err));
}

static void many_threads_may_share_a_tokenizer(void **state)
{
    (void)state;
    struct arena a = {0};
    struct buf text;
    struct crowd c = {.t = open_golden(&a, "tokenizer/qwen2.json")};
    struct golden_lines strings = golden_lines_open(&a, "tokenizer/strings.jsonl.gz");

    buf_init(&text, 4 << 20);
    for (json_t *s; (s = golden_lines_next(&strings)) != NULL; json_decref(s))
        buf_str(&text, json_str(s));
    c.text = (struct str){text.ptr, utf8_valid((struct str){text.ptr, 20000})};
    parallel_set_threads(4);
    parallel_for(COUNT_OF(c.lists), encode_one, &c);
    for (size_t i = 1; i < COUNT_OF(c.lists); i++) {
        assert_int_equal(c.lists[i].n, c.lists[0].n);
        assert_memory_equal(c.lists[i].ids, c.lists[0].ids, c.lists[0].n * sizeof(token_id));
        token_list_release(&c.lists[i]);
    }
    token_list_release(&c.lists[0]);
    buf_release(&text);
    tokenizer_close((struct tokenizer *)(uintptr_t)c.t);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tokenizer_like_gpt2_gives_the_ids_of_the_reference),
        cmocka_unit_test(the_tokenizer_like_llama3_gives_the_ids_of_the_reference),
        cmocka_unit_test(the_tokenizer_like_qwen2_gives_the_ids_of_the_reference),
        cmocka_unit_test(what_gguf_says_gives_the_same_ids),
        cmocka_unit_test(the_demo_model_gives_the_ids_of_the_reference),
        cmocka_unit_test(plain_text_cannot_forge_an_added_token),
        cmocka_unit_test(the_longest_of_the_leftmost_added_tokens_is_taken),
        cmocka_unit_test(the_flags_of_added_tokens_hold),
        cmocka_unit_test(a_normalized_token_is_found_in_normalised_text),
        cmocka_unit_test(merges_may_be_pairs_or_texts_and_may_be_ignored),
        cmocka_unit_test(tokens_are_found_by_text_and_by_spelling),
        cmocka_unit_test(decoding_replaces_what_is_no_character),
        cmocka_unit_test(streaming_gives_what_decoding_gives),
        cmocka_unit_test(bytes_without_tokens_are_dropped_or_unknown),
        cmocka_unit_test(text_that_cannot_be_encoded_leaves_the_list_alone),
        cmocka_unit_test(a_text_may_not_grow_without_end),
        cmocka_unit_test(what_is_not_offered_is_refused_by_name),
        cmocka_unit_test(a_file_that_contradicts_itself_is_refused),
        cmocka_unit_test(what_gguf_says_is_checked),
        cmocka_unit_test(the_alphabet_has_every_byte_once),
        cmocka_unit_test(many_threads_may_share_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
