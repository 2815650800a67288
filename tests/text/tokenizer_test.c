/*
 * tokenizer_test.c - ids equal the reference's on ten thousand nasty strings, and each promise and error of the headers.
 */
#include "base/file.h"
#include "support/support.h"
#include "text/json.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

/* The lines of a golden .jsonl.gz, one JSON value each. A file that is missing fails the test. */
struct golden_lines {
    gzFile file;
    char *line; /* of at most 1 MB */
    const char *path;
};

static struct golden_lines golden_lines_open(struct arena *a, const char *name)
{
    struct golden_lines g = {.path = golden_path(a, name), .line = arena_alloc(a, 1 << 20)};

    g.file = gzopen(g.path, "rb");
    if (g.file == NULL)
        fail_msg("cannot open %s", g.path);
    return g;
}

static json_t *golden_lines_next(struct golden_lines *g)
{
    struct error err;
    json_t *value = NULL;

    if (gzgets(g->file, g->line, 1 << 20) == NULL) {
        gzclose(g->file);
        return NULL;
    }
    ASSERT_OK(json_parse(str_of(g->line), g->path, &value, &err));
    return value;
}

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

static void check_golden(const char *name, size_t n_not_given_back)
{
    struct arena a = {0};
    struct error err;
    struct token_list list = {0};
    struct buf text;
    size_t n = 0, n_plain = 0, n_changed = 0;

    buf_init(&text, 1 << 20);
    struct tokenizer *t = open_golden(&a, arena_printf(&a, "tokenizer/%s.json", name));
    struct golden_lines strings = golden_lines_open(&a, "tokenizer/strings.jsonl.gz");
    struct golden_lines ids =
        golden_lines_open(&a, arena_printf(&a, "tokenizer/%s.jsonl.gz", name));
    struct golden_lines plain =
        golden_lines_open(&a, arena_printf(&a, "tokenizer/%s-plain.jsonl.gz", name));
    json_t *plain_row = golden_lines_next(&plain);

    for (json_t *s; (s = golden_lines_next(&strings)) != NULL; n++) {
        json_t *want = golden_lines_next(&ids);

        list.n = 0;
        ASSERT_OK(tokenizer_encode(t, json_str(s), true, &list, &err));
        assert_ids(&list, want, 0, n);
        buf_clear(&text);
        tokenizer_decode(t, list.ids, list.n, false, &text);
        n_changed += !str_eq(buf_view(&text), json_str(s));
        if (plain_row != NULL && (size_t)json_integer_value(json_array_get(plain_row, 0)) == n) {
            list.n = 0;
            ASSERT_OK(tokenizer_encode(t, json_str(s), false, &list, &err));
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
    tokenizer_close(t);
    arena_release(&a);
}

static void the_pattern_of_gpt2_gives_the_ids_of_the_reference(void **state)
{
    (void)state;
    check_golden("gpt2", 13); /* rstrip eats white space */
}

static void the_pattern_of_llama3_gives_the_ids_of_the_reference(void **state)
{
    (void)state;
    check_golden("llama3", 0);
}

static void the_pattern_of_qwen2_gives_the_ids_of_the_reference(void **state)
{
    (void)state;
    check_golden("qwen2", 301); /* NFC changes the text */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pattern_of_gpt2_gives_the_ids_of_the_reference),
        cmocka_unit_test(the_pattern_of_llama3_gives_the_ids_of_the_reference),
        cmocka_unit_test(the_pattern_of_qwen2_gives_the_ids_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
