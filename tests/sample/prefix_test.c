/*
 * prefix_test.c - what was kept is found again, as long as it is, under the tokens and the adapter that it was kept for.
 */
#include "base/size.h"
#include "sample/prefix.h"
#include "support/numbers.h"

#include <string.h>

static const struct model_config config = {
    .n_layers = 1, .n_heads = 2, .n_kv_heads = 1, .head_width = 16};

struct place { /* a pool and a cache in it */
    struct kv_pool *pool;
    struct prefix_cache *cache;
};

static struct place open_place(size_t max_pages)
{
    struct place p = {0};
    struct error err = {0};

    ASSERT_OK(kv_pool_open(&config, 100000 * kv_page_bytes(&config), &p.pool, &err));
    ASSERT_OK(prefix_open(&config, p.pool, max_pages * kv_page_bytes(&config), &p.cache, &err));
    return p;
}

static void close_place(struct place *p)
{
    prefix_close(p->cache);
    assert_int_equal(kv_pool_pages_in_use(p->pool), 0);
    kv_pool_close(p->pool);
}

/* What a page of these tokens would have in it: a number of the whole path to its end. */
static float mark_of(uint64_t adapter, const token_id *tokens, size_t n)
{
    uint64_t h = adapter + 1;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint64_t)tokens[i]) * 0x100000001b3u;
    return (float)(h >> 40);
}

/* "Computes" what is missing of a text behind what is known of it. */
static struct kv_segment *read_text(struct place *p, uint64_t adapter, const token_id *tokens,
                                    size_t n, size_t *n_known)
{
    struct kv_segment *known = prefix_find(p->cache, adapter, tokens, n),
                      *s = kv_segment_new(p->pool, known);
    struct error err = {0};

    *n_known = kv_end(known);
    ASSERT_OK(kv_segment_reserve(p->pool, s, n - *n_known, &err));
    s->len = (uint32_t)(n - *n_known);
    for (uint32_t i = 0; i < s->n_pages; i++)
        *(float *)(void *)s->pages[i] =
            mark_of(adapter, tokens, size_min(n, s->start + (i + 1) * KV_PAGE));
    kv_segment_release(p->pool, known);
    return s;
}

static void check_path(const struct kv_segment *s, uint64_t adapter, const token_id *tokens,
                       size_t n)
{
    assert_int_equal(kv_end(s), n);
    for (; s != NULL; s = s->parent) {
        assert_int_equal(s->start, kv_end(s->parent));
        for (uint32_t i = 0; i < s->n_pages; i++)
            assert_true(*(float *)(void *)s->pages[i] ==
                        mark_of(adapter, tokens, size_min(n, s->start + (i + 1) * KV_PAGE)));
    }
}

#define MOST 200
struct text {
    size_t n;
    uint64_t adapter;
    token_id tokens[MOST];
};

/* Few different ones, so that texts have beginnings in common and part anywhere. */
static struct text random_text(struct dice *d)
{
    struct text t = {.n = 1 + dice_below(d, MOST), .adapter = dice_below(d, 3)};
    token_id last = (token_id)dice_below(d, 2);

    for (size_t i = 0; i < t.n; i++) {
        if (dice_below(d, 40) == 0)
            last = (token_id)dice_below(d, 3);
        t.tokens[i] = last;
    }
    return t;
}

static size_t whole_pages(size_t n)
{
    return n / KV_PAGE * KV_PAGE;
}

static void what_was_kept_is_found_to_the_last_page(void **state)
{
    enum { N = 150 };
    static struct text texts[N];
    static struct kv_segment *live[N];
    struct dice d = {1};

    (void)state;
    for (int round = 0; round < 12; round++) {
        struct place p = open_place(100000);
        size_t n_found = 0;

        for (size_t i = 0; i < N; i++) {
            const struct text *t = &texts[i];
            size_t want = 0, n_known;

            texts[i] = random_text(&d);
            for (size_t j = 0; j < i; j++) {
                size_t k = 0;

                while (texts[j].adapter == t->adapter && k < texts[j].n && k < t->n &&
                       texts[j].tokens[k] == t->tokens[k])
                    k++;
                want = size_max(
                    want, whole_pages(size_min(size_min(k, whole_pages(texts[j].n)), t->n - 1)));
            }
            live[i] = read_text(&p, t->adapter, t->tokens, t->n, &n_known);
            assert_int_equal(n_known, want);
            n_found += n_known > 0;
            check_path(live[i], t->adapter, t->tokens, t->n);
            prefix_keep(p.cache, t->adapter, t->tokens, live[i]);
            for (size_t j = 0; j <= i; j++) /* whoever is at work sees the same as before */
                if (live[j] != NULL)
                    check_path(live[j], texts[j].adapter, texts[j].tokens, texts[j].n);
            if (dice_below(&d, 2) == 0) {
                kv_segment_release(p.pool, live[i]);
                live[i] = NULL;
            }
        }
        assert_true(n_found > N / 4);
        for (size_t i = 0; i < N; i++)
            kv_segment_release(p.pool, live[i]);
        assert_int_equal(kv_pool_pages_in_use(p.pool), prefix_pages(p.cache));
        close_place(&p);
    }
}

static void what_two_computed_at_once_is_kept_once(void **state)
{
    struct place p = open_place(1000);
    struct dice d = {2};

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct text a = random_text(&d), b = a;
        size_t known;

        if (a.n < 3 * KV_PAGE)
            continue;
        for (size_t i = dice_below(&d, b.n); i < b.n; i++)
            b.tokens[i] = 7;
        prefix_forget(p.cache, a.adapter);
        struct kv_segment *x = read_text(&p, a.adapter, a.tokens, a.n, &known),
                          *y = read_text(&p, b.adapter, b.tokens, b.n, &known);
        const size_t before = kv_pool_pages_in_use(p.pool);
        size_t common = 0;

        assert_int_equal(known, 0);
        while (common < a.n && a.tokens[common] == b.tokens[common])
            common++;
        prefix_keep(p.cache, a.adapter, a.tokens, x);
        assert_int_equal(kv_pool_pages_in_use(p.pool), before);
        prefix_keep(p.cache, b.adapter, b.tokens, y);
        assert_int_equal(kv_pool_pages_in_use(p.pool), before - common / KV_PAGE);
        check_path(x, a.adapter, a.tokens, a.n);
        check_path(y, b.adapter, b.tokens, b.n);
        kv_segment_release(p.pool, x);
        kv_segment_release(p.pool, y);
        y = prefix_find(p.cache, b.adapter, b.tokens, b.n);
        assert_int_equal(kv_end(y), whole_pages(b.n - 1));
        kv_segment_release(p.pool, y);
    }
    close_place(&p);
}

static void there_are_never_more_pages_than_were_allowed(void **state)
{
    struct dice d = {3};

    (void)state;
    for (size_t most = 0; most <= 40; most += 5) {
        struct place p = open_place(most);
        struct kv_segment *held = NULL;
        struct text of_held = {0};

        for (int i = 0; i < 400; i++) {
            const struct text t = random_text(&d);
            size_t known;
            struct kv_segment *s = read_text(&p, t.adapter, t.tokens, t.n, &known);

            check_path(s, t.adapter, t.tokens, t.n);
            prefix_keep(p.cache, t.adapter, t.tokens, s);
            assert_true(prefix_pages(p.cache) <= most);
            if (held != NULL) /* what has left the cache is still there for who stands on it */
                check_path(held, of_held.adapter, of_held.tokens, of_held.n);
            if (held == NULL || dice_below(&d, 20) == 0) {
                kv_segment_release(p.pool, held);
                held = s;
                of_held = t;
            } else {
                kv_segment_release(p.pool, s);
            }
            if (t.n / KV_PAGE <= most) { /* the newest is there whole */
                s = prefix_find(p.cache, t.adapter, t.tokens, t.n);
                assert_int_equal(kv_end(s), whole_pages(t.n - 1));
                kv_segment_release(p.pool, s);
            }
        }
        kv_segment_release(p.pool, held);
        close_place(&p);
    }
}

static void what_was_not_used_for_longest_goes_first(void **state)
{
    struct place p = open_place(4);
    token_id tokens[5][2 * KV_PAGE] = {{0}};
    size_t known;

    (void)state;
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 2 * KV_PAGE; k++)
            tokens[i][k] = (token_id)(i + 1);
    for (size_t i = 0; i < 5; i++) { /* two pages each; 0 is looked at before every other */
        struct kv_segment *s = prefix_find(p.cache, 0, tokens[0], 2 * KV_PAGE);

        assert_int_equal(kv_end(s), i == 0 ? 0 : KV_PAGE);
        kv_segment_release(p.pool, s);
        s = read_text(&p, 0, tokens[i], 2 * KV_PAGE, &known);
        prefix_keep(p.cache, 0, tokens[i], s);
        kv_segment_release(p.pool, s);
    }
    /* looking for 0 cut it: its first page is in use, its second is not */
    for (size_t i = 0; i < 5; i++) {
        struct kv_segment *s = prefix_find(p.cache, 0, tokens[i], 2 * KV_PAGE);

        assert_int_equal(kv_end(s), i == 0 || i == 4 ? KV_PAGE : 0);
        kv_segment_release(p.pool, s);
    }
    close_place(&p);
}

static void an_adapter_s_texts_are_found_by_no_other_and_go_with_it(void **state)
{
    struct place p = open_place(100);
    token_id tokens[3 * KV_PAGE] = {0};
    size_t known;

    (void)state;
    for (uint64_t adapter = 0; adapter < 3; adapter++) {
        struct kv_segment *s = read_text(&p, adapter, tokens, 3 * KV_PAGE, &known);

        assert_int_equal(known, 0);
        prefix_keep(p.cache, adapter, tokens, s);
        kv_segment_release(p.pool, s);
    }
    assert_int_equal(prefix_pages(p.cache), 9);
    prefix_forget(p.cache, 1);
    assert_int_equal(prefix_pages(p.cache), 6);
    assert_int_equal(kv_pool_pages_in_use(p.pool), 6);
    assert_null(prefix_find(p.cache, 1, tokens, 3 * KV_PAGE));
    for (uint64_t adapter = 0; adapter < 3; adapter += 2) {
        struct kv_segment *s = prefix_find(p.cache, adapter, tokens, 3 * KV_PAGE);

        assert_int_equal(kv_end(s), 2 * KV_PAGE); /* one row is always left to compute */
        kv_segment_release(p.pool, s);
    }
    prefix_forget(p.cache, 0);
    prefix_forget(p.cache, 2);
    assert_int_equal(kv_pool_pages_in_use(p.pool), 0);
    prefix_close(NULL);
    close_place(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_kept_is_found_to_the_last_page),
        cmocka_unit_test(what_two_computed_at_once_is_kept_once),
        cmocka_unit_test(there_are_never_more_pages_than_were_allowed),
        cmocka_unit_test(what_was_not_used_for_longest_goes_first),
        cmocka_unit_test(an_adapter_s_texts_are_found_by_no_other_and_go_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
