/*
 * documents_test.c - documents by kind and id: pages, filters, labels, changes, what is below, what expires, leases.
 */
#include "base/clock.h"
#include "base/size.h"
#include "store/documents.h"
#include "support/stores.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct document document(struct test_store *t, const char *kind, const char *id)
{
    return (struct document){
        .kind = kind, .id = id, .project_id = t->project, .body = "{}", .created_at = 1000};
}

static void add(struct test_store *t, struct document d, const struct label *labels, size_t n)
{
    struct error err = {0};

    ASSERT_OK(documents_add(t->s, &d, labels, n, &err));
}

static void a_document_is_what_was_added(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct label label = {STR("k"), STR("v")};
    struct document d = {.kind = "response",
                         .id = "resp_1",
                         .project_id = t->project,
                         .parent = "conv_1",
                         .state = "queued",
                         .model = "m",
                         .body = "{\"a\":\"\xc3\xa4\"}",
                         .created_at = 5,
                         .expires_at = 4000000000};
    struct document got;
    const char *state_now;
    struct label *labels;
    size_t n;

    add(t, d, &label, 1);
    ASSERT_OK(documents_get(t->s, "response", t->project, STR("resp_1"), &t->arena, &got, &err));
    assert_string_equal(got.body, "{\"a\":\"\xc3\xa4\"}");
    assert_string_equal(got.parent, "conv_1");
    assert_string_equal(got.state, "queued");
    ASSERT_OK(
        documents_state(t->s, "response", t->project, STR("resp_1"), &t->arena, &state_now, &err));
    assert_string_equal(state_now, "queued");
    ASSERT_FAILS(
        documents_state(t->s, "response", "proj_other", STR("resp_1"), &t->arena, &state_now, &err),
        ERR_NOT_FOUND, "resp_1");
    assert_string_equal(got.model, "m");
    assert_int_equal(got.created_at, 5);
    assert_int_equal(got.updated_at, 5);
    assert_int_equal(got.expires_at, 4000000000);
    ASSERT_OK(documents_labels(t->s, "response", "resp_1", &t->arena, &labels, &n, &err));
    assert_int_equal(n, 1);
    ASSERT_STR(labels[0].value, "v");

    add(t, d, &label, 1); /* told again */
    d.body = "{}";
    ASSERT_FAILS(documents_add(t->s, &d, NULL, 0, &err), ERR_INVALID, "resp_1 already");
    d.body = "{\"a\":\"\xc3\xa4\"}";
    d.project_id = t->other; /* somebody else's */
    ASSERT_FAILS(documents_add(t->s, &d, NULL, 0, &err), ERR_INVALID, "resp_1 already");
    d.kind = "eval"; /* another kind, the same id */
    add(t, d, NULL, 0);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM documents", NULL), 2);
    test_store_close(t);
}

static bool never(void *ctx, const struct document *was, struct arena *a,
                  struct document_change *to, struct error *err)
{
    (void)was, (void)a, (void)to, (void)err;
    *(bool *)ctx = true;
    return true;
}

static void another_projects_document_is_not_found(void **state)
{
    static const char long_id[500] = "resp_";
    static const struct str ids[] = {{"", 0},          {NULL, 0},      {"../x", 4},
                                     {"resp_\xff", 6}, {"resp_\0", 6}, {long_id, sizeof long_id},
                                     {"resp_2", 6}};
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct document got, bad = document(t, "response", "../x");
    bool called = false;

    add(t, document(t, "response", "resp_1"), NULL, 0);
    ASSERT_FAILS(documents_get(t->s, "response", t->other, STR("resp_1"), &t->arena, &got, &err),
                 ERR_NOT_FOUND, "resp_1");
    ASSERT_FAILS(documents_get(t->s, "eval", t->project, STR("resp_1"), &t->arena, &got, &err),
                 ERR_NOT_FOUND, "resp_1");
    ASSERT_FAILS(documents_change(t->s, "response", t->other, STR("resp_1"), never, &called, &err),
                 ERR_NOT_FOUND, "resp_1");
    ASSERT_FAILS(documents_delete(t->s, "response", t->other, STR("resp_1"), &err), ERR_NOT_FOUND,
                 "resp_1");
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        ASSERT_FAILS(documents_get(t->s, "response", t->project, ids[i], &t->arena, &got, &err),
                     ERR_NOT_FOUND, "response");
        ASSERT_FAILS(documents_change(t->s, "response", t->project, ids[i], never, &called, &err),
                     ERR_NOT_FOUND, "response");
        ASSERT_FAILS(documents_delete(t->s, "response", t->project, ids[i], &err), ERR_NOT_FOUND,
                     "response");
    }
    assert_false(called);
    ASSERT_FAILS(documents_add(t->s, &bad, NULL, 0, &err), ERR_INVALID, "letters");
    ASSERT_OK(documents_get(t->s, "response", NULL, STR("resp_1"), &t->arena, &got, &err));
    test_store_close(t);
}

/* ---- lists ---- */

static const char *page_of(struct test_store *t, struct document_filter f, struct store_page page,
                           bool *more)
{
    struct error err = {0};
    struct document *list;
    char *text = arena_text(&t->arena, STR(""));
    size_t n;

    if (f.kind == NULL)
        f.kind = "chat.completion";
    ASSERT_OK(documents_list(t->s, &f, &page, &t->arena, &list, &n, more, &err));
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&t->arena, "%s%s%s", text, i > 0 ? " " : "", list[i].id);
    return text;
}

static void add_some(struct test_store *t)
{
    static const struct label red[] = {{{"color", 5}, {"red", 3}}, {{"x", 1}, {"", 0}}};

    for (char c = 'a'; c <= 'f'; c++) {
        const char *id = arena_printf(&t->arena, "%c", c);
        struct document d = document(t, "chat.completion", id), other;

        d.model = c < 'd' ? "m1" : "m2";
        d.parent = c % 2 == 0 ? "p" : NULL; /* b d f */
        d.state = c == 'e' ? "done" : "open";
        d.created_at = 1000 + c - 'a';
        add(t, d, red, c == 'c' || c == 'd' ? 2 : 0);
        other = d;
        other.id = arena_printf(&t->arena, "%c2", c);
        other.project_id = t->other;
        add(t, other, red, 2);
        other.kind = "response";
        add(t, other, red, 2);
    }
}

static void lists_filter_and_page(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct document_filter mine = {.project_id = t->project};
    struct document_filter f;
    const struct store_page all = {.limit = 100}, up = {.limit = 100, .ascending = true};
    bool more;

    add_some(t);
    assert_string_equal(page_of(t, mine, all, &more), "f e d c b a");
    assert_string_equal(page_of(t, mine, up, &more), "a b c d e f");
    assert_string_equal(page_of(t, mine, (struct store_page){.limit = 5}, &more), "f e d c b");
    assert_true(more);
    assert_string_equal(page_of(t, mine, (struct store_page){.limit = 1, .after = "b"}, &more),
                        "a");
    assert_false(more);
    f = mine;
    f.model = "m2";
    assert_string_equal(page_of(t, f, all, &more), "f e d");
    f.state = "open";
    assert_string_equal(page_of(t, f, (struct store_page){.limit = 1}, &more), "f");
    assert_true(more);
    f = mine;
    f.created_after = 1001;
    f.created_before = 1004;
    assert_string_equal(page_of(t, f, all, &more), "d c");
    f = mine;
    f.parent = "p";
    assert_string_equal(page_of(t, f, up, &more), "b d f");
    f.model = "m2";
    assert_string_equal(page_of(t, f, up, &more), "d f");
    f.model = "\xff";
    assert_string_equal(page_of(t, f, up, &more), "");
    f = mine;
    f.parent = "../x";
    assert_string_equal(page_of(t, f, up, &more), "");
    f = (struct document_filter){.kind = "response"}; /* of all projects */
    assert_string_equal(page_of(t, f, up, &more), "a2 b2 c2 d2 e2 f2");
    f.parent = "p";
    assert_string_equal(page_of(t, f, all, &more), "f2 d2 b2");
    test_store_close(t);
}

struct counting {
    struct arena *arena;
    const char *last;
    size_t n, most;
    const char *fails_at;
};

static bool count_in_order(void *ctx, const struct document *d, struct arena *a, bool *enough,
                           struct error *err)
{
    struct counting *c = ctx;

    assert_true(a != NULL && strcmp(c->last, d->id) < 0);
    if (c->fails_at != NULL && strcmp(d->id, c->fails_at) == 0)
        return fail(err, ERR_CORRUPT, "%s is broken", d->id);
    c->last = arena_text(c->arena, str_of(d->id));
    *enough = ++c->n == c->most;
    return true;
}

static void each_is_seen_once_in_order(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct document_filter f = {.kind = "eval", .project_id = t->project},
                                 none = {.kind = "response", .project_id = t->project};
    struct counting c = {.arena = &t->arena, .last = ""}, some = c, broken = c;
    struct error err = {0};

    for (int i = 0; i < 230; i++)
        add(t, document(t, "eval", arena_printf(&t->arena, "%03d", i)), NULL, 0);
    ASSERT_OK(documents_each(t->s, &none, count_in_order, &c, &err));
    assert_int_equal(c.n, 0);
    ASSERT_OK(documents_each(t->s, &f, count_in_order, &c, &err));
    assert_int_equal(c.n, 230);
    some.most = 120;
    ASSERT_OK(documents_each(t->s, &f, count_in_order, &some, &err));
    assert_int_equal(some.n, 120);
    broken.fails_at = "105";
    ASSERT_FAILS(documents_each(t->s, &f, count_in_order, &broken, &err), ERR_CORRUPT,
                 "105 is broken");
    assert_int_equal(broken.n, 105);
    test_store_close(t);
}

static void what_is_kept_until_stays_longer_and_never_shorter(void **state)
{
    struct test_store *t = test_store_open(state);
    static const char *const ids[] = {"short", "long", "stays", "gone", "foreign"};
    struct document d;
    struct error err = {0};

    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        d = document(t, "eval", ids[i]);
        d.expires_at = i == 0 ? 100 : i == 1 ? 900 : 0;
        if (i == 4) {
            d.project_id = t->foreign;
            d.expires_at = 100;
        }
        if (i != 3)
            add(t, d, NULL, 0);
    }
#define EXPIRES(id) test_sql_int(t, "SELECT expires_at FROM documents WHERE id = ?1", id)
    ASSERT_OK(documents_keep_until(t->s, "eval", t->project, ids, COUNT_OF(ids), 500, &err));
    assert_int_equal(EXPIRES("short"), 500);
    assert_int_equal(EXPIRES("long"), 900);
    assert_int_equal(EXPIRES("stays"), 0);
    assert_int_equal(EXPIRES("foreign"), 100);
    ASSERT_OK(documents_keep_until(t->s, "eval", t->project, ids, 1, 0, &err));
    assert_int_equal(EXPIRES("short"), 0);
    assert_int_equal(EXPIRES("long"), 900);
    test_store_close(t);
}

struct forgetting {
    struct store *store;
    size_t n;
};

static bool forget(void *ctx, const struct document *d, struct arena *a, bool *enough,
                   struct error *err)
{
    struct forgetting *x = ctx;

    (void)a;
    (void)enough;
    x->n++;
    return documents_delete(x->store, d->kind, d->project_id, str_of(d->id), err);
}

/* The sweeper does not wait for whoever reads a long list. */
static void what_goes_while_it_is_read_does_not_end_the_list(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct document_filter f = {.kind = "eval", .project_id = t->project};
    struct forgetting x = {.store = t->s};
    struct error err = {0};

    for (int i = 0; i < 230; i++)
        add(t, document(t, "eval", arena_printf(&t->arena, "%03d", i)), NULL, 0);
    ASSERT_OK(documents_each(t->s, &f, forget, &x, &err));
    assert_int_equal(x.n, 230);
    test_store_close(t);
}

static void lists_go_by_label(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct document_filter mine = {.project_id = t->project};
    const struct document_filter below = {.project_id = t->project, .parent = "p"}, every = {0};
    struct store_page red = {.limit = 10, .key = STR("color"), .value = STR("red")};
    const struct store_page empty = {.limit = 10, .key = STR("x"), .value = STR("")};
    const struct store_page none = {.limit = 2, .without_labels = true};
    bool more;

    add_some(t);
    assert_string_equal(page_of(t, mine, red, &more), "d c");
    assert_string_equal(page_of(t, below, red, &more), "d");
    assert_string_equal(page_of(t, every, red, &more), "f2 e2 d2 d c2 c b2 a2");
    assert_string_equal(page_of(t, mine, empty, &more), "d c");
    assert_string_equal(page_of(t, mine, none, &more), "f e");
    assert_true(more);
    assert_string_equal(page_of(t, below, none, &more), "f b");
    assert_false(more);
    assert_string_equal(page_of(t, every, none, &more), "f e");
    assert_true(more);
    red.limit = 1;
    assert_string_equal(page_of(t, mine, red, &more), "d");
    assert_true(more);
    red.after = "d";
    assert_string_equal(page_of(t, mine, red, &more), "c");
    assert_false(more);
    test_store_close(t);
}

/* A hundred rows of what a request may hold would be gigabytes. */
static void a_page_of_large_rows_ends_early(void **state)
{
    enum { N = 6, BYTES = 7 << 20 };
    struct test_store *t = test_store_open(state);
    struct store_page page = {.limit = 100, .ascending = true};
    const struct document_filter f = {.kind = "response", .project_id = t->project};
    struct error err = {0};
    struct document *all;
    char *body = malloc(BYTES + 1), ids[N][16];
    size_t n, told = 0, largest = 0;
    bool more = true;

    memset(body, ' ', BYTES);
    memcpy(body, "{}", 2);
    body[BYTES] = '\0';
    for (size_t i = 0; i < N; i++) {
        struct document d = document(t, "response", ids[i]);

        snprintf(ids[i], sizeof ids[i], "resp_%zu", i);
        d.body = i == N - 1 ? "{}" : body; /* a small one behind them is not told before them */
        add(t, d, NULL, 0);
    }
    while (more) {
        struct arena a = {0};

        ASSERT_OK(documents_list(t->s, &f, &page, &a, &all, &n, &more, &err));
        assert_true(n > 0);
        for (size_t i = 0; i < n; i++)
            assert_string_equal(all[i].id, ids[told++]);
        arena_release(&a);
        largest = size_max(largest, n);
        page.after = ids[told - 1];
    }
    assert_int_equal(told, N);
    assert_int_equal(largest, 3);
    free(body);
    test_store_close(t);
}

/* What this process had in memory at most; afresh: from now on. */
static size_t memory_at_most(bool afresh)
{
    char line[128];
    size_t kb = 0;
    FILE *f = afresh ? fopen("/proc/self/clear_refs", "w") : NULL;

    if (afresh && f == NULL) {
        print_message("SKIPPED: this system does not let its peak be set back\n");
        skip();
    }
    if (f != NULL) {
        fputs("5", f);
        fclose(f);
    }
    f = fopen("/proc/self/status", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        (void)!sscanf(line, "VmHWM: %zu kB", &kb);
    fclose(f);
    return kb << 10;
}

#define LARGE_BYTES ((size_t)4 << 20)
#define N_LARGE 60

/* A database's library may hold every row that was asked for, of which the page takes five. */
static void a_page_of_large_rows_takes_no_more_memory_than_it_has(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct document_filter f = {.kind = "response", .project_id = t->project};
    struct store_page page = {.limit = N_LARGE, .ascending = true};
    struct document d = document(t, "response", "resp_0"), *list;
    char *body = malloc(LARGE_BYTES + 1);
    struct arena a = {0};
    size_t n, seen = 0;
    bool more = true;

    assert_non_null(body);
    memset(body, 'x', LARGE_BYTES);
    body[LARGE_BYTES] = '\0';
    d.body = body;
    for (int i = 0; i < N_LARGE; i++) {
        d.id = arena_printf(&t->arena, "resp_%d", i);
        add(t, d, NULL, 0);
    }
    free(body);
    const size_t before = memory_at_most(true);
    ASSERT_OK(documents_list(t->s, &f, &page, &a, &list, &n, &more, &err));
    assert_true(more);
    assert_true(memory_at_most(false) - before < N_LARGE / 2 * LARGE_BYTES);
    while (true) { /* and all of them are in some page, once */
        for (size_t i = 0; i < n; i++)
            assert_string_equal(list[i].id, arena_printf(&t->arena, "resp_%zu", seen++));
        if (!more)
            break;
        page.after = arena_text(&t->arena, str_of(list[n - 1].id));
        arena_reset(&a);
        ASSERT_OK(documents_list(t->s, &f, &page, &a, &list, &n, &more, &err));
    }
    assert_int_equal(seen, N_LARGE);
    arena_release(&a);
    test_store_close(t);
}

static void a_cursor_that_is_nowhere_is_not_page_one(void **state)
{
    static const char *const cursors[] = {"", "zz", "a2", "../x", "\xff"};
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct document_filter mine = {.kind = "chat.completion", .project_id = t->project};
    struct document_filter below = mine;
    struct store_page page = {.limit = 1};
    struct document *list;
    size_t n;
    bool more;

    add_some(t);
    for (size_t i = 0; i < COUNT_OF(cursors); i++) {
        page.after = cursors[i];
        ASSERT_FAILS(documents_list(t->s, &mine, &page, &t->arena, &list, &n, &more, &err),
                     ERR_NOT_FOUND, "after");
    }
    page.after = "a";
    below.parent = "p"; /* a is not below it */
    ASSERT_FAILS(documents_list(t->s, &below, &page, &t->arena, &list, &n, &more, &err),
                 ERR_NOT_FOUND, "after");
    test_store_close(t);
}

/* ---- changed ---- */

static bool count_up(void *ctx, const struct document *was, struct arena *a,
                     struct document_change *to, struct error *err)
{
    (void)ctx, (void)err;
    to->body = arena_printf(a, "%d", atoi(was->body) + 1);
    return true;
}

static bool refuse(void *ctx, const struct document *was, struct arena *a,
                   struct document_change *to, struct error *err)
{
    (void)ctx, (void)was, (void)a;
    to->body = "never";
    return fail(err, ERR_INVALID, "it does not want to");
}

static bool relabel(void *ctx, const struct document *was, struct arena *a,
                    struct document_change *to, struct error *err)
{
    static const struct label labels[] = {{{"new", 3}, {"1", 1}}};

    (void)ctx, (void)was, (void)a, (void)err;
    to->state = "done";
    to->labels = labels;
    to->n_labels = 1;
    to->set_labels = true;
    return true;
}

struct counter {
    struct test_store *t;
    bool ok;
    struct error err;
};

static void *count_many(void *ctx)
{
    struct counter *c = ctx;

    c->ok = true;
    for (int i = 0; i < 20 && c->ok; i++)
        c->ok = documents_change(c->t->s, "eval", c->t->project, STR("eval_1"), count_up, NULL,
                                 &c->err);
    return NULL;
}

static void changes_do_not_overtake_each_other(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct document d = document(t, "eval", "eval_1"), got;
    struct counter counters[4];
    pthread_t threads[COUNT_OF(counters)];

    d.body = "0";
    add(t, d, NULL, 0);
    for (size_t i = 0; i < COUNT_OF(counters); i++) {
        counters[i] = (struct counter){.t = t};
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, &counters[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(counters); i++) {
        pthread_join(threads[i], NULL);
        if (!counters[i].ok)
            fail_msg("%s", counters[i].err.message);
    }
    ASSERT_OK(documents_get(t->s, "eval", t->project, STR("eval_1"), &t->arena, &got, &err));
    assert_string_equal(got.body, "80");
    assert_true(got.updated_at > 1700000000);
    assert_int_equal(got.created_at, 1000);
    test_store_close(t);
}

static void a_change_is_whole_or_none(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct label old = {STR("old"), STR("1")};
    struct document got;
    struct label *labels;
    size_t n;

    add(t, document(t, "eval", "eval_1"), &old, 1);
    ASSERT_FAILS(documents_change(t->s, "eval", t->project, STR("eval_1"), refuse, NULL, &err),
                 ERR_INVALID, "does not want");
    ASSERT_OK(documents_get(t->s, "eval", t->project, STR("eval_1"), &t->arena, &got, &err));
    assert_string_equal(got.body, "{}");
    ASSERT_OK(documents_change(t->s, "eval", t->project, STR("eval_1"), relabel, NULL, &err));
    ASSERT_OK(documents_get(t->s, "eval", t->project, STR("eval_1"), &t->arena, &got, &err));
    assert_string_equal(got.body, "{}");
    assert_string_equal(got.state, "done");
    ASSERT_OK(documents_labels(t->s, "eval", "eval_1", &t->arena, &labels, &n, &err));
    assert_int_equal(n, 1);
    ASSERT_STR(labels[0].key, "new");
    test_store_close(t);
}

/* ---- gone ---- */

static void add_tree(struct test_store *t, const char *eval, int64_t expires_at)
{
    const struct label label = {STR("k"), STR("v")};
    struct document d = document(t, "eval", eval), run, item;

    d.expires_at = expires_at;
    add(t, d, &label, 1);
    run = document(t, "eval.run", arena_printf(&t->arena, "run_%s", eval));
    run.parent = eval;
    add(t, run, &label, 1);
    item = document(t, "eval.run.output_item", arena_printf(&t->arena, "item_%s", eval));
    item.parent = run.id;
    add(t, item, &label, 1);
}

static void what_is_below_goes_with_it(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};

    add_tree(t, "eval_1", 0);
    add_tree(t, "eval_2", 0);
    ASSERT_OK(documents_delete(t->s, "eval", t->project, STR("eval_1"), &err));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM documents", NULL), 3);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM labels", NULL), 3);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM documents WHERE id = ?1", "item_eval_2"),
                     1);
    ASSERT_FAILS(documents_delete(t->s, "eval", t->project, STR("eval_1"), &err), ERR_NOT_FOUND,
                 "eval_1");
    ASSERT_OK(documents_delete(t->s, "eval.run", t->project, STR("run_eval_2"), &err));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM documents", NULL), 1);
    test_store_close(t);
}

static void what_has_expired_is_forgotten(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    size_t n;

    add_tree(t, "eval_1", 2000);
    add_tree(t, "eval_2", 2001);
    add_tree(t, "eval_3", 0);
    ASSERT_OK(documents_sweep(t->s, 2000, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM documents", NULL), 6);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM labels", NULL), 6);
    ASSERT_OK(documents_sweep(t->s, 3000, NULL, &err));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM documents", NULL), 3);
    test_store_close(t);
}

/* ---- leased ---- */

static bool take(struct test_store *t, const char *states, const char *worker, int64_t seconds,
                 struct document *out)
{
    struct error err = {0};
    bool found;

    ASSERT_OK(
        documents_take(t->s, "eval.run", states, worker, seconds, &t->arena, &found, out, &err));
    return found;
}

static void the_oldest_document_in_a_state_is_leased(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct document a = document(t, "eval.run", "a"), b = document(t, "eval.run", "b"),
                    c = document(t, "eval.run", "c"), d = document(t, "response", "d"), got;

    a.state = "completed";
    b.state = "in_progress";
    c.state = d.state = "queued";
    add(t, a, NULL, 0);
    add(t, b, NULL, 0);
    add(t, c, NULL, 0);
    add(t, d, NULL, 0);
    assert_true(take(t, "queued,in_progress", "w1", 60, &got));
    assert_string_equal(got.id, "b");
    assert_true(take(t, "queued,in_progress", "w2", 0, &got)); /* a lease that has ended already */
    assert_string_equal(got.id, "c");
    assert_true(take(t, "queued,in_progress", "w3", 60, &got));
    assert_string_equal(got.id, "c");
    assert_false(take(t, "queued,in_progress", "w4", 60, &got));
    ASSERT_OK(documents_renew(t->s, "eval.run", "b", "w1", 60, &err));
    ASSERT_FAILS(documents_renew(t->s, "eval.run", "c", "w2", 60, &err), ERR_CANCELLED,
                 "another worker");
    ASSERT_OK(documents_renew(t->s, "eval.run", "c", "w3", 60, &err));
    ASSERT_OK(documents_delete(t->s, "eval.run", t->project, STR("c"), &err));
    ASSERT_FAILS(documents_renew(t->s, "eval.run", "c", "w3", 60, &err), ERR_CANCELLED, "deleted");
    test_store_close(t);
}

/* One project's many, of which two are worked on: another's, which came last, is next, and then turns go by what is worked on. */
static void projects_take_turns(void **state)
{
    struct test_store *t = test_store_open(state);
    struct document d = document(t, "eval.run", "");
    struct error err = {0};
    struct document got;
    char id[16];

    d.state = "queued";
    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "many_%d", i);
        d.id = id;
        add(t, d, NULL, 0);
    }
    assert_true(take(t, "queued,in_progress", "w1", 60, &got));
    assert_true(take(t, "queued,in_progress", "w2", 60, &got));
    assert_string_equal(got.id, "many_1");
    d.project_id = t->other;
    d.id = "few_0";
    add(t, d, NULL, 0);
    d.id = "few_1";
    d.state = "in_progress"; /* whose worker is gone */
    add(t, d, NULL, 0);
    assert_true(take(t, "queued,in_progress", "w3", 60, &got));
    assert_string_equal(got.id, "few_0");
    assert_true(take(t, "queued,in_progress", "w4", 60, &got));
    assert_string_equal(got.id, "few_1");
    assert_true(take(t, "queued,in_progress", "w5", 60, &got)); /* two each: the oldest */
    assert_string_equal(got.id, "many_2");
    d.id = "few_2";
    d.state = "queued";
    add(t, d, NULL, 0);
    d.id = "few_3";
    add(t, d, NULL, 0);
    ASSERT_OK(documents_delete(t->s, "eval.run", t->other, STR("few_0"), &err));
    assert_true(take(t, "queued,in_progress", "w6", 60, &got));
    assert_string_equal(got.id, "few_2");
    assert_true(take(t, "queued", "w7", 60, &got)); /* few_1 is in another state, and not counted */
    assert_string_equal(got.id, "few_3");
    test_store_close(t);
}

static bool let_it_stay(void *ctx, const struct document *was, struct arena *a,
                        struct document_change *to, struct error *err)
{
    (void)ctx;
    (void)was;
    (void)a;
    (void)err;
    to->stays = true;
    return true;
}

static void what_is_to_stay_does_not_expire(void **state)
{
    struct test_store *t = test_store_open(state);
    struct document d = document(t, "response", "resp_1"), got;
    struct error err = {0};
    size_t n;

    d.expires_at = 5000;
    add(t, d, NULL, 0);
    d.id = "resp_2";
    add(t, d, NULL, 0);
    ASSERT_OK(
        documents_change(t->s, "response", t->project, STR("resp_1"), let_it_stay, NULL, &err));
    ASSERT_OK(documents_sweep(t->s, 6000, &n, &err));
    assert_int_equal(n, 1);
    ASSERT_OK(documents_get(t->s, "response", t->project, STR("resp_1"), &t->arena, &got, &err));
    assert_int_equal(got.expires_at, 0);
    assert_string_equal(got.body, "{}");
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(a_document_is_what_was_added),
        ON_BOTH(another_projects_document_is_not_found),
        ON_BOTH(lists_filter_and_page),
        ON_BOTH(each_is_seen_once_in_order),
        ON_BOTH(what_is_kept_until_stays_longer_and_never_shorter),
        ON_BOTH(what_goes_while_it_is_read_does_not_end_the_list),
        ON_BOTH(lists_go_by_label),
        ON_BOTH(a_page_of_large_rows_ends_early),
        ON_BOTH(a_page_of_large_rows_takes_no_more_memory_than_it_has),
        ON_BOTH(a_cursor_that_is_nowhere_is_not_page_one),
        ON_BOTH(changes_do_not_overtake_each_other),
        ON_BOTH(a_change_is_whole_or_none),
        ON_BOTH(what_is_below_goes_with_it),
        ON_BOTH(what_has_expired_is_forgotten),
        ON_BOTH(what_is_to_stay_does_not_expire),
        ON_BOTH(the_oldest_document_in_a_state_is_leased),
        ON_BOTH(projects_take_turns),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
