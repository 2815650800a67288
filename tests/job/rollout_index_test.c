/*
 * rollout_index_test.c - lines are found, ordered and filtered; the index grows, is kept, and is never believed blindly.
 */
#include "support/support.h"

#include "base/file.h"
#include "base/limits.h"
#include "job/fake_run.h"
#include "job/rollout_index.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static struct error err;
static struct arena arena;
static struct fake_words words;

static char *make_run(size_t n_steps)
{
    struct fake_run f = fake_run_defaults();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;

    f.n_steps = n_steps;
    f.n_groups = 3;
    f.n_samples = 8;
    f.n_valid = 5;
    f.eval_interval = 4;
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    ASSERT_OK(fake_run_tell(&f, run_folder_sink(folder), &words, 0, n_steps, &err));
    run_folder_close(folder);
    return dir;
}

static struct rollout_index *open_whole(const char *dir)
{
    struct rollout_index *ix = rollout_index_open(dir);
    bool whole = false;

    ASSERT_OK(rollout_index_update(ix, 60, &whole, &err));
    assert_true(whole);
    return ix;
}

static size_t page(struct rollout_index *ix, const struct rollout_query *q, size_t most,
                   struct rollout_ref *out)
{
    size_t n_matching;

    return rollout_index_page(ix, q, most, out, &n_matching);
}

/* ---- lines ---- */

static struct rollout_figures figures_of(const char *line)
{
    struct rollout_figures f;

    assert_true(rollout_scan_figures(str_of(line), &f));
    return f;
}

static void a_line_is_read_without_a_tree(void **state)
{
    (void)state;
    const struct rollout_figures f = figures_of(
        "{\"step\":3,\"item\":17,\"sample\":2,\"count\":3,\"samples\":[2,4,5],\"tokens\":[1,2,3,4],"
        "\"logprobs\":[-0.5,null,0,0],\"thinking_tokens\":2,\"thinking\":\"a \\\"b\\\" ] }\",\"answer\":"
        "\"\",\"truncated\":true,\"reward\":0.25,\"scores\":{\"reward\":9},\"errors\":[\"other_error\"],"
        "\"advantage\":-1.5,\"trained\":true}");

    assert_int_equal(f.step, 3);
    assert_int_equal(f.item, 17);
    assert_int_equal(f.sample, 2);
    assert_int_equal(f.count, 3);
    assert_int_equal(f.n_tokens, 4);
    assert_int_equal(f.n_thinking, 2);
    assert_true(f.reward == 0.25f && f.advantage == -1.5f);
    assert_int_equal(f.flags, ROLLOUT_TRUNCATED | ROLLOUT_TRAINED | ROLLOUT_EMPTY);
    assert_true(f.errors != 0 && (f.errors & (f.errors - 1)) == 0);
}

static void what_is_no_line_of_answers_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"step\":1}",
        "{\"step\":-1,\"item\":0,\"sample\":0,\"reward\":0}",
        "{\"step\":99999999999,\"item\":0,\"sample\":0,\"reward\":0}",
        "{\"step\":1,\"item\":0,\"sample\":0,\"answer\":\"never ends",
    };
    struct rollout_figures f;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(rollout_scan_figures(str_of(bad[i]), &f));
}

static void a_text_is_searched_as_it_reads(void **state)
{
    struct buf scratch;

    (void)state;
    buf_init(&scratch, 1 << 16);
    const struct str v = STR("\"Zeile\\n\\u00e9\\ud83d\\ude00 Ende\"");
    assert_true(rollout_scan_says(v, STR("zeile\n\xC3\xA9\xF0\x9F\x98\x80 e"), &scratch));
    assert_false(rollout_scan_says(v, STR("u00e9"), &scratch));
    assert_true(rollout_scan_says(STR("\"plain\""), STR("LAIN"), &scratch));
    assert_false(rollout_scan_says(STR("\"plain\""), STR("plains"), &scratch));
    assert_false(rollout_scan_says(STR("[\"plain\"]"), STR("plain"), &scratch));
    buf_release(&scratch);
}

/* ---- the index ---- */

static void every_line_is_there_once_and_leads_to_itself(void **state)
{
    const char *dir = make_run(8);
    struct rollout_index *ix = open_whole(dir);
    const struct rollout_query q = rollout_query_all();
    struct rollout_ref refs[1000], found;
    struct buf line;
    size_t n_answers = 0;

    (void)state;
    buf_init(&line, LIMIT_LINE_BYTES);
    const size_t n = page(ix, &q, 1000, refs);
    assert_int_equal(n, rollout_index_size(ix).n_lines);
    for (size_t i = 0; i < n; i++) {
        const struct rollout_id id = rollout_index_id(ix, refs[i]);

        assert_true(rollout_index_find(ix, str_of(id.text), &found));
        assert_true(found.file == refs[i].file && found.line == refs[i].line);
        ASSERT_OK(rollout_index_read(ix, refs[i], &line, &err));
        n_answers += rollout_index_entry(ix, refs[i])->is.count;
        assert_true(rollout_index_prompt(ix, refs[i], &found));
        assert_int_equal(rollout_index_entry(ix, found)->is.item,
                         rollout_index_entry(ix, refs[i])->is.item);
        ASSERT_OK(rollout_index_read(ix, found, &line, &err));
        assert_true(rollout_scan_find(buf_view(&line), "prompt").ptr != NULL);
    }
    assert_int_equal(n_answers, 8 * 3 * 8 + 3 * 5);
    static const char *const none[] = {"",          "step-1",    "step-1-",           "step-1-99",
                                       "step-01-0", "step-1-0x", "valid-1-0",         "step-1-00",
                                       "step--1-0", "../job",    "step-4294967296-0", "step-1-0-0"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(rollout_index_find(ix, str_of(none[i]), &found));
    buf_release(&line);
    rollout_index_close(ix);
}

static void pages_of_any_length_say_the_same_in_every_order(void **state)
{
    struct rollout_index *ix = open_whole(make_run(8));
    struct rollout_ref all[1000], part[7];

    (void)state;
    for (size_t order = 0; order < N_ROLLOUT_ORDERS; order++) {
        struct rollout_query q = rollout_query_all();
        size_t at = 0, n;

        q.order = (enum rollout_order)order;
        const size_t n_all = page(ix, &q, 1000, all);
        while ((n = page(ix, &q, 7, part)) > 0) {
            for (size_t i = 0; i < n; i++)
                assert_memory_equal(&part[i], &all[at + i], sizeof *part);
            at += n;
            q.has_after = true;
            q.after = part[n - 1];
        }
        assert_int_equal(at, n_all);
        assert_string_equal(rollout_order_name(order), rollout_order_name(order));
    }
    rollout_index_close(ix);
}

static void filters_hold_for_all_that_is_shown_and_for_nothing_else(void **state)
{
    struct rollout_index *ix = open_whole(make_run(8));
    struct rollout_query q = rollout_query_all();
    struct rollout_ref all[1000], some[1000];
    size_t n_truncated = 0, n_best = 0;

    (void)state;
    const size_t n = page(ix, &q, 1000, all);
    for (size_t i = 0; i < n; i++) {
        const struct rollout_figures *x = &rollout_index_entry(ix, all[i])->is;

        n_truncated += (x->flags & ROLLOUT_TRUNCATED) != 0;
        n_best += x->reward >= 1 && !rollout_index_is_valid(ix, all[i]) && x->step == 8;
    }
    q.truncated = true;
    assert_int_equal(page(ix, &q, 1000, some), n_truncated);
    assert_true(n_truncated > 0 && n_truncated < n);
    q = rollout_query_all();
    q.valid = false;
    q.has_step = true;
    q.step = 8;
    q.min_reward = 1;
    assert_int_equal(page(ix, &q, 1000, some), n_best);
    assert_true(n_best > 0);
    rollout_index_close(ix);
}

static void groups_are_those_of_the_steps(void **state)
{
    struct rollout_index *ix = open_whole(make_run(8));
    struct rollout_group *g;
    size_t n, n_answers = 0;

    (void)state;
    rollout_index_groups(ix, false, &arena, &g, &n);
    assert_int_equal(n, 8 * 3);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(g[i].n, 8);
        n_answers += g[i].n;
        if (i > 0)
            assert_true(rollout_index_entry(ix, g[i - 1].first)->is.item <=
                        rollout_index_entry(ix, g[i].first)->is.item);
    }
    assert_int_equal(n_answers, 8 * 3 * 8);
    rollout_index_close(ix);
}

/* ---- while it grows ---- */

#define LINE                                                                                       \
    "{\"step\":1,\"item\":0,\"sample\":%d,\"tokens\":[1],\"logprobs\":[0],\"thinking_tokens\":0,"  \
    "\"thinking\":\"\",\"answer\":\"%s\",\"truncated\":false,\"reward\":%d,\"scores\":{},"         \
    "\"errors\":[],\"advantage\":0,\"trained\":false}"

static void append(const char *dir, const char *name, const char *text)
{
    ASSERT_OK(file_append(file_join(&arena, file_join(&arena, dir, "rollouts"), name), str_of(text),
                          &err));
}

static size_t n_lines_now(struct rollout_index *ix)
{
    bool whole = false;

    ASSERT_OK(rollout_index_update(ix, 60, &whole, &err));
    assert_true(whole);
    return rollout_index_size(ix).n_lines;
}

static void it_grows_by_whole_lines_and_shrinks_with_the_run(void **state)
{
    char *dir = test_dir_make(&arena);
    struct rollout_index *ix = open_whole(dir); /* no folder yet */
    struct rollout_ref ref;

    (void)state;
    assert_int_equal(n_lines_now(ix), 0);
    ASSERT_OK(file_make_dirs(file_join(&arena, dir, "rollouts"), &err));
    append(dir, "step-1.jsonl", arena_printf(&arena, LINE "\n" LINE, 0, "a", 1, 1, "b", 0));
    assert_int_equal(n_lines_now(ix), 1);
    append(dir, "step-1.jsonl", "\nno json\n");
    assert_int_equal(n_lines_now(ix), 3);
    assert_true(rollout_index_find(ix, STR("step-1-1"), &ref));
    assert_false(
        rollout_index_find(ix, STR("step-1-2"), &ref)); /* it has its place, and nothing else */
    append(dir, "step-2.jsonl", "{}\n");
    append(dir, "step-x.jsonl", "{}\n");
    assert_int_equal(n_lines_now(ix), 4);
    ASSERT_OK(file_remove_tree(file_join(&arena, dir, "rollouts/step-2.jsonl"), &err));
    ASSERT_OK(file_cut(file_join(&arena, dir, "rollouts/step-1.jsonl"), 0, &err));
    append(dir, "step-1.jsonl", arena_printf(&arena, LINE "\n", 7, "c", 1));
    assert_int_equal(n_lines_now(ix), 1);
    assert_true(rollout_index_find(ix, STR("step-1-0"), &ref));
    assert_int_equal(rollout_index_entry(ix, ref)->is.sample, 7);
    rollout_index_close(ix);
}

static void a_line_that_changed_is_not_taken_for_the_old_one(void **state)
{
    char *dir = test_dir_make(&arena);
    struct rollout_ref ref;
    struct buf line;

    (void)state;
    buf_init(&line, LIMIT_LINE_BYTES);
    ASSERT_OK(file_make_dirs(file_join(&arena, dir, "rollouts"), &err));
    append(dir, "step-1.jsonl", arena_printf(&arena, LINE "\n", 0, "a", 1));
    struct rollout_index *ix = open_whole(dir);
    assert_true(rollout_index_find(ix, STR("step-1-0"), &ref));
    ASSERT_OK(file_cut(file_join(&arena, dir, "rollouts/step-1.jsonl"), 0, &err));
    append(dir, "step-1.jsonl", arena_printf(&arena, LINE "\n", 3, "a", 1));
    assert_false(rollout_index_read(ix, ref, &line, &err));
    assert_int_equal(err.kind, ERR_CORRUPT);
    rollout_index_forget(ix);
    assert_int_equal(n_lines_now(ix), 1);
    assert_true(rollout_index_find(ix, STR("step-1-0"), &ref));
    ASSERT_OK(rollout_index_read(ix, ref, &line, &err));
    rollout_index_close(ix);
    buf_release(&line);
}

/* ---- what is kept ---- */

/* A run that is worth keeping: some MB. */
static char *make_big_run(void)
{
    char *dir = test_dir_make(&arena), text[4096];
    struct buf all;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    buf_init(&all, SIZE_MAX / 2);
    ASSERT_OK(file_make_dirs(file_join(&arena, dir, "rollouts"), &err));
    for (int i = 0; i < 2500; i++)
        buf_printf(&all, LINE "\n", i, text, i % 2);
    append(dir, "step-1.jsonl", buf_view(&all).ptr);
    buf_release(&all);
    return dir;
}

static const char *kept_path(const char *dir)
{
    return file_join(&arena, dir, "rollouts.index");
}

static void what_took_long_is_kept_and_read_again(void **state)
{
    const char *dir = make_big_run();
    struct rollout_ref a[100], b[100];
    struct rollout_query q = rollout_query_all();
    bool whole = true;

    (void)state;
    q.order = ROLLOUT_BEST;
    struct rollout_index *ix = open_whole(dir);
    assert_int_equal(page(ix, &q, 100, a), 100);
    rollout_index_close(ix);
    assert_true(file_exists(kept_path(dir)));
    ix = rollout_index_open(dir);
    assert_int_equal(rollout_index_size(ix).n_lines, 2500);
    ASSERT_OK(rollout_index_update(ix, 0, &whole, &err)); /* there is nothing left to read */
    assert_true(whole);
    assert_int_equal(page(ix, &q, 100, b), 100);
    assert_memory_equal(a, b, sizeof a);
    rollout_index_close(ix);
}

static void what_is_kept_is_not_believed_where_a_byte_differs(void **state)
{
    const char *dir = make_big_run();
    struct str kept;

    (void)state;
    rollout_index_close(open_whole(dir));
    ASSERT_OK(file_read(kept_path(dir), SIZE_MAX / 2, &arena, &kept, &err));
    for (size_t i = 0; i < 60; i++) {
        char *copy = arena_alloc(&arena, kept.len);
        const size_t at = i < 40 ? i : kept.len / 60 * i;

        memcpy(copy, kept.ptr, kept.len);
        copy[at] = (char)(copy[at] ^ 1);
        ASSERT_OK(file_put(kept_path(dir), (struct str){copy, kept.len}, &err));
        struct rollout_index *ix = rollout_index_open(dir);
        assert_int_equal(rollout_index_size(ix).n_lines, 0);
        rollout_index_close(ix);
        ASSERT_OK(file_put(kept_path(dir), (struct str){kept.ptr, at}, &err));
        ix = rollout_index_open(dir);
        assert_int_equal(rollout_index_size(ix).n_lines, 0);
        rollout_index_close(ix);
    }
    ASSERT_OK(file_put(kept_path(dir), kept, &err));
    ASSERT_OK(file_remove_tree(file_join(&arena, dir, "rollouts"), &err));
    struct rollout_index *ix = open_whole(dir);
    assert_int_equal(rollout_index_size(ix).n_lines, 0); /* its files are gone */
    rollout_index_close(ix);
}

static void a_short_time_reads_the_newest_part_first(void **state)
{
    const char *dir = make_big_run();
    struct rollout_index *ix;
    struct rollout_ref ref;
    bool whole = true;
    size_t n = 0;

    (void)state;
    append(dir, "step-2.jsonl", "{\"step\":2,\"item\":0,\"sample\":0,\"reward\":1}\n");
    ix = rollout_index_open(dir);
    for (size_t i = 0; i < 1000 && (i == 0 || !whole); i++) {
        ASSERT_OK(rollout_index_update(ix, i == 0 ? 0 : 1e-4, &whole, &err));
        if (i == 0) {
            assert_false(whole);
            assert_true(rollout_index_find(ix, STR("step-2-0"), &ref));
        }
        const size_t now = rollout_index_size(ix).n_lines;
        assert_true(now >= n);
        n = now;
    }
    assert_true(whole);
    assert_int_equal(n, 2501);
    rollout_index_close(ix);
}

static int remove_all(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_read_without_a_tree),
        cmocka_unit_test(what_is_no_line_of_answers_is_none),
        cmocka_unit_test(a_text_is_searched_as_it_reads),
        cmocka_unit_test(every_line_is_there_once_and_leads_to_itself),
        cmocka_unit_test(pages_of_any_length_say_the_same_in_every_order),
        cmocka_unit_test(filters_hold_for_all_that_is_shown_and_for_nothing_else),
        cmocka_unit_test(groups_are_those_of_the_steps),
        cmocka_unit_test(it_grows_by_whole_lines_and_shrinks_with_the_run),
        cmocka_unit_test(a_line_that_changed_is_not_taken_for_the_old_one),
        cmocka_unit_test(what_took_long_is_kept_and_read_again),
        cmocka_unit_test(what_is_kept_is_not_believed_where_a_byte_differs),
        cmocka_unit_test(a_short_time_reads_the_newest_part_first),
    };
    return cmocka_run_group_tests(tests, NULL, remove_all);
}
