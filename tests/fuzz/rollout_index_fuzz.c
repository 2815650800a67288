/*
 * rollout_index_fuzz.c - any bytes as lines of answers, as what is kept of an index, and as a file of metrics or events.
 *
 * The input is cut at the byte 0x1E: a file of answers, the kept index, metrics.csv, events.jsonl. Whatever the index says after that, each
 * of its lines can be asked for, and those that it gives are what it says.
 */
#include "fuzz.h"

#include "base/limits.h"
#include "base/sha256.h"
#include "job/rollout_index.h"
#include "job/run_series.h"
#include "job/run_warnings.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(const char *dir, const char *name, struct str bytes, struct arena *a)
{
    struct error err;

    must(file_put(file_join(a, dir, name), bytes, &err), &err);
}

static void look_at_lines(struct rollout_index *ix)
{
    struct rollout_query q = rollout_query_all();
    struct rollout_ref refs[64], found;
    struct error err;
    struct buf line;
    size_t n_matching;

    buf_init(&line, LIMIT_LINE_BYTES);
    for (size_t order = 0; order < N_ROLLOUT_ORDERS; order++) {
        q.order = (enum rollout_order)order;
        q.has_after = false;
        size_t n = rollout_index_page(ix, &q, 64, refs, &n_matching);
        check(n <= n_matching);
        for (size_t i = 0; i < n; i++) {
            const struct rollout_id id = rollout_index_id(ix, refs[i]);

            check(rollout_index_find(ix, (struct str){id.text, strlen(id.text)}, &found));
            check(isfinite(rollout_index_entry(ix, refs[i])->is.reward));
            (void)rollout_index_prompt(ix, refs[i], &found);
            if (rollout_index_read(ix, refs[i], &line, &err))
                check(line.len == rollout_index_entry(ix, refs[i])->bytes);
            else
                check(err.kind == ERR_CORRUPT);
        }
        if (n > 0) {
            q.has_after = true;
            q.after = refs[n - 1];
            check(rollout_index_page(ix, &q, 64, refs, &n_matching) <= n_matching);
        }
    }
    buf_release(&line);
}

static void look(const char *dir, struct arena *a)
{
    struct rollout_index *ix = rollout_index_open(dir);
    struct rollout_group *groups;
    struct error err;
    bool whole;
    size_t n;

    must(rollout_index_update(ix, 60, &whole, &err), &err);
    check(whole);
    look_at_lines(ix);
    for (int valid = 0; valid < 2; valid++) {
        rollout_index_groups(ix, valid == 1, a, &groups, &n);
        check(n <= rollout_index_size(ix).n_lines);
    }
    rollout_index_close(ix);
}

static void look_at_tables(const char *dir, struct arena *a)
{
    const struct run_series_options opt = {.after_step = -1, .limit = 1000};
    struct run_series s;
    struct run_warning *w;
    struct error err;
    size_t n;

    must(run_series_read(dir, &opt, a, &s, &err), &err);
    check(s.n_columns == s.n_names);
    for (size_t i = 0; i < s.n_rows * s.n_columns; i++)
        check(s.cell[i].len <= 64);
    must(run_warnings_read(dir, a, &w, &n, &err), &err);
    for (size_t i = 0; i < n; i++)
        check(w[i].n_examples <= RUN_WARNING_EXAMPLES && w[i].n > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"rollouts/step-1.jsonl", "rollouts.index", "metrics.csv",
                                        "events.jsonl"};
    struct arena a = {0};
    struct error err;
    struct str part[4] = {{"", 0}, {"", 0}, {"", 0}, {"", 0}};

    if (size > 65536)
        return 0;
    for (size_t i = 0, from = 0; i < 4 && from <= size; i++) {
        const uint8_t *end = size > from ? memchr(data + from, 0x1E, size - from) : NULL;
        const size_t to = end == NULL || i == 3 ? size : (size_t)(end - data);

        part[i] = (struct str){(const char *)data + from, to - from};
        from = to + 1;
    }
    const char *dir = file_join(&a, fuzz_dir(), "run");
    must(file_remove_tree(dir, &err) && file_make_dirs(file_join(&a, dir, "rollouts"), &err), &err);
    for (size_t i = 0; i < 4; i++)
        put(dir, names[i], part[i], &a);
    look(dir, &a);
    look_at_tables(dir, &a);
    must(file_remove_tree(dir, &err), &err);
    arena_release(&a);
    return 0;
}
