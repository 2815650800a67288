/*
 * kv_test.c - pages are taken as they are needed, shared along the tree, and come back.
 */
#include "base/size.h"
#include "model/kv.h"
#include "support/numbers.h"

#define LIMIT_PAGES 10

static const struct model_config config = {
    .n_layers = 3, .n_heads = 4, .n_kv_heads = 2, .head_width = 16};

static struct kv_pool *pool_of(size_t pages)
{
    struct kv_pool *p = NULL;
    struct error err = {0};

    ASSERT_OK(kv_pool_open(&config, pages * kv_page_bytes(&config), &p, &err));
    return p;
}

static void grow(struct kv_pool *p, struct kv_segment *s, size_t n)
{
    struct error err = {0};

    ASSERT_OK(kv_segment_reserve(p, s, n, &err));
    s->len += (uint32_t)n;
}

static void a_page_has_keys_and_values_of_every_layer_and_head(void **state)
{
    /* of 16 positions of a head of 16: floats, halves, bytes and a step each; and one of 80: three steps each */
    static const struct {
        enum kv_cache cache;
        size_t head_width, tile;
    } forms[] = {{KV_CACHE_F32, 16, 1024}, {KV_CACHE_F16, 16, 512},  {KV_CACHE_Q8_0, 16, 288},
                 {KV_CACHE_F32, 80, 5120}, {KV_CACHE_F16, 80, 2560}, {KV_CACHE_Q8_0, 80, 1376}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        struct model_config c = config;

        c.kv_cache = forms[i].cache;
        c.head_width = forms[i].head_width;
        assert_int_equal(kv_tile_bytes(&c), forms[i].tile);
        assert_int_equal(kv_page_bytes(&c), 3 * 2 * 2 * forms[i].tile);
        assert_int_equal(kv_offset(&c, 0, 0), 0);
        assert_int_equal(kv_offset(&c, 0, 1), 2 * forms[i].tile);
        assert_int_equal(kv_offset(&c, 1, 0), 2 * kv_offset(&c, 0, 1));
    }
}

static void a_form_is_known_by_its_name(void **state)
{
    (void)state;
    for (int k = KV_CACHE_F32; k <= KV_CACHE_Q8_0; k++) {
        enum kv_cache got = KV_CACHE_F32;

        assert_true(kv_cache_named(str_of(kv_cache_name((enum kv_cache)k)), &got));
        assert_int_equal(got, k);
    }
    enum kv_cache untouched = KV_CACHE_F16;
    assert_false(kv_cache_named(STR("q8"), &untouched));
    assert_int_equal(untouched, KV_CACHE_F16);
}

static void a_segment_begins_where_its_parent_ends(void **state)
{
    struct kv_pool *p = pool_of(LIMIT_PAGES);
    struct kv_segment *root = kv_segment_new(p, NULL), *child, *later;

    (void)state;
    assert_int_equal(root->start, 0);
    grow(p, root, 20);
    child = kv_segment_new(p, root);
    assert_int_equal(child->start, 20);
    assert_int_equal(child->len, 0);
    grow(p, child, 5);
    assert_int_equal(kv_end(child), 25);
    assert_int_equal(kv_end(NULL), 0);
    later = kv_segment_new_at(p, child, 40); /* child will have grown until then */
    assert_int_equal(later->start, 40);
    kv_segment_release(p, later);
    kv_segment_release(p, child);
    kv_segment_release(p, root);
    kv_pool_close(p);
}

static void pages_are_taken_only_when_the_last_one_is_full(void **state)
{
    struct kv_pool *p = pool_of(LIMIT_PAGES);
    struct kv_segment *s = kv_segment_new(p, NULL);

    (void)state;
    assert_int_equal(kv_pool_bytes(p), 0);
    for (size_t n = 1; n <= 4 * KV_PAGE; n++) {
        grow(p, s, 1);
        assert_int_equal(kv_pool_pages_in_use(p), (n + KV_PAGE - 1) / KV_PAGE);
        assert_int_equal((uintptr_t)s->pages[(n - 1) / KV_PAGE] % 64, 0);
    }
    assert_int_equal(kv_pool_bytes(p), 4 * kv_page_bytes(&config));
    kv_segment_release(p, s);
    assert_int_equal(kv_pool_pages_in_use(p), 0);
    kv_pool_close(p);
}

static void a_released_page_is_used_again(void **state)
{
    struct kv_pool *p = pool_of(LIMIT_PAGES);

    (void)state;
    for (int round = 0; round < 50; round++) {
        struct kv_segment *s = kv_segment_new(p, NULL);

        grow(p, s, LIMIT_PAGES * KV_PAGE);
        kv_segment_release(p, s);
    }
    assert_int_equal(kv_pool_bytes(p), LIMIT_PAGES * kv_page_bytes(&config));
    kv_pool_close(p);
}

static void a_trunk_lives_as_long_as_anything_hangs_on_it(void **state)
{
    struct kv_pool *p = pool_of(LIMIT_PAGES);
    struct kv_segment *root = kv_segment_new(p, NULL), *a, *b, *deep;

    (void)state;
    grow(p, root, KV_PAGE + 1); /* 2 pages */
    a = kv_segment_new(p, root);
    b = kv_segment_new(p, root);
    grow(p, a, 1);
    grow(p, b, 1);
    deep = kv_segment_new(p, a);
    grow(p, deep, 1);
    assert_int_equal(root->refs, 3);
    assert_int_equal(kv_pool_pages_in_use(p), 5);
    kv_segment_release(p, root); /* the caller's own; the children still hold it */
    kv_segment_release(p, a);
    assert_int_equal(kv_pool_pages_in_use(p), 5);
    kv_segment_release(p, b);
    assert_int_equal(kv_pool_pages_in_use(p), 4);
    kv_segment_release(p, deep); /* takes a and the trunk along */
    assert_int_equal(kv_pool_pages_in_use(p), 0);
    kv_segment_release(p, NULL);
    kv_pool_close(p);
    kv_pool_close(NULL);
}

static void a_full_pool_says_so_and_loses_nothing(void **state)
{
    struct kv_pool *p = pool_of(LIMIT_PAGES);
    struct kv_segment *s = kv_segment_new(p, NULL), *other = kv_segment_new(p, NULL);
    struct error err = {0};

    (void)state;
    grow(p, s, (LIMIT_PAGES - 1) * KV_PAGE);
    ASSERT_FAILS(kv_segment_reserve(p, other, 3 * KV_PAGE, &err), ERR_LIMIT,
                 "the key-value cache is full");
    assert_int_equal(other->len, 0);
    assert_int_equal(s->len, (LIMIT_PAGES - 1) * KV_PAGE);
    kv_segment_release(p, s);
    ASSERT_OK(kv_segment_reserve(p, other, 3 * KV_PAGE, &err)); /* now there is room */
    kv_segment_release(p, other);
    assert_int_equal(kv_pool_pages_in_use(p), 0);
    kv_pool_close(p);
}

/* Pages of the path to s from position 0 on. */
static size_t pages_of_path(const struct kv_segment *s, char *out[64])
{
    const size_t n = s->parent == NULL ? 0 : pages_of_path(s->parent, out);

    assert_int_equal(s->start, kv_end(s->parent));
    memcpy(out + n, s->pages, s->n_pages * sizeof *out);
    return n + s->n_pages;
}

static void a_cut_segment_has_the_same_path_for_all_that_hang_on_it(void **state)
{
    struct dice d = {4};

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct kv_pool *p = pool_of(64);
        struct kv_segment *root = kv_segment_new(p, NULL), *leaf, *cut[8];
        char *want[64], *got[64];
        size_t n_cuts = 0;

        grow(p, root, KV_PAGE * (1 + dice_below(&d, 6)));
        leaf = kv_segment_new(p, root);
        grow(p, leaf, 1 + dice_below(&d, 100));
        const size_t n = pages_of_path(leaf, want), end = kv_end(leaf);
        for (int i = 0; i < 6; i++) {
            struct kv_segment *s = dice_below(&d, 2) == 0 ? root : leaf;
            const size_t n_whole = s->len / KV_PAGE;

            if (n_whole == 0)
                continue;
            const size_t at = KV_PAGE * (1 + dice_below(&d, n_whole)), before = kv_end(s);
            cut[n_cuts] = kv_segment_split(p, s, at);
            assert_ptr_equal(s->parent, cut[n_cuts]);
            assert_int_equal(cut[n_cuts++]->len, at);
            assert_int_equal(kv_end(s), before);
            assert_int_equal(kv_end(leaf), end);
            assert_int_equal(pages_of_path(leaf, got), n);
            assert_memory_equal(got, want, n * sizeof *got);
        }
        grow(p, leaf, 20); /* it still may */
        assert_int_equal(kv_end(leaf), end + 20);
        kv_segment_release(p, root); /* in any order */
        while (n_cuts > 0)
            kv_segment_release(p, cut[--n_cuts]);
        assert_int_equal(pages_of_path(leaf, got), kv_pool_pages_in_use(p));
        assert_memory_equal(got, want, n * sizeof *got);
        kv_segment_release(p, leaf);
        assert_int_equal(kv_pool_pages_in_use(p), 0);
        kv_pool_close(p);
    }
}

/* A number of its own for each value of each position, in all layers and heads. */
static float value_of(size_t position, size_t layer, size_t head, size_t i)
{
    return (float)(((position * 3 + layer) * 2 + head) * 64 + i);
}

static void write_positions(struct kv_segment *s, size_t from, size_t position)
{
    for (size_t at = from; at < s->len; at++, position++)
        for (size_t l = 0; l < 3; l++)
            for (size_t h = 0; h < 2; h++) {
                float *keys = (float *)(void *)(s->pages[at / KV_PAGE] + kv_offset(&config, l, h)),
                      *values = keys + 16 * KV_PAGE;

                for (size_t i = 0; i < 16; i++) {
                    keys[i * KV_PAGE + at % KV_PAGE] = value_of(position, l, h, i);
                    values[at % KV_PAGE * 16 + i] = value_of(position, l, h, 16 + i);
                }
            }
}

/* Each position of the path to s has the numbers of its place. */
static void assert_positions(const struct kv_segment *s)
{
    if (s == NULL)
        return;
    assert_positions(s->parent);
    assert_int_equal(s->start, kv_end(s->parent));
    assert_int_equal(s->n_pages, (s->len + KV_PAGE - 1) / KV_PAGE);
    for (size_t at = 0; at < s->len; at++)
        for (size_t l = 0; l < 3; l++)
            for (size_t h = 0; h < 2; h++) {
                const float *keys = (float *)(void *)(s->pages[at / KV_PAGE] +
                                                      kv_offset(&config, l, h)),
                            *values = keys + 16 * KV_PAGE;

                for (size_t i = 0; i < 16; i++) {
                    assert_true(keys[i * KV_PAGE + at % KV_PAGE] ==
                                value_of(s->start + at, l, h, i));
                    assert_true(values[at % KV_PAGE * 16 + i] ==
                                value_of(s->start + at, l, h, 16 + i));
                }
            }
}

static void what_is_cut_off_gives_its_pages_back(void **state)
{
    struct dice d = {7};

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct kv_pool *p = pool_of(64);
        struct kv_segment *root = kv_segment_new(p, NULL), *s;
        struct error err = {0};

        grow(p, root, 1 + dice_below(&d, 40));
        write_positions(root, 0, 0);
        s = kv_segment_new(p, root);
        for (int i = 0; i < 8; i++) { /* on trial, and back, and on */
            const size_t before = s->len, more = dice_below(&d, 40);

            grow(p, s, more);
            write_positions(s, before, s->start + before);
            if (dice_below(&d, 2) == 0)
                ASSERT_OK(kv_segment_reserve(p, s, dice_below(&d, 50), &err));
            kv_segment_cut(p, s, s->len - dice_below(&d, s->len + 1));
            assert_positions(s);
            assert_int_equal(kv_pool_pages_in_use(p), root->n_pages + s->n_pages);
        }
        kv_segment_cut(p, s, 0);
        assert_int_equal(kv_pool_pages_in_use(p), root->n_pages);
        kv_segment_release(p, s);
        kv_segment_release(p, root);
        assert_int_equal(kv_pool_pages_in_use(p), 0);
        kv_pool_close(p);
    }
}

static void a_fork_has_what_followed_and_both_sides_grow_on(void **state)
{
    struct dice d = {8};

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct kv_pool *p = pool_of(64);
        struct kv_segment *root = kv_segment_new(p, NULL), *s, *fork, *other;

        grow(p, root, 1 + dice_below(&d, 40));
        write_positions(root, 0, 0);
        s = kv_segment_new(p, root);
        grow(p, s, 1 + dice_below(&d, 70));
        write_positions(s, 0, s->start);
        const size_t end = kv_end(s), n = dice_below(&d, s->len);
        fork = kv_segment_fork(p, s, n);
        assert_ptr_equal(fork->parent, s);
        assert_int_equal(s->len, n);
        assert_int_equal(kv_end(fork), end);
        assert_positions(fork);
        other = kv_segment_new(p, s); /* those that went another way */
        grow(p, other, 20);
        write_positions(other, 0, other->start);
        grow(p, fork, 20);
        write_positions(fork, fork->len - 20, end);
        assert_positions(other);
        assert_positions(fork);
        kv_segment_release(p, s);
        kv_segment_release(p, root);
        kv_segment_release(p, other);
        assert_positions(fork);
        kv_segment_release(p, fork);
        assert_int_equal(kv_pool_pages_in_use(p), 0);
        kv_pool_close(p);
    }
}

static void without_room_for_a_fork_nothing_changes(void **state)
{
    struct kv_pool *p = pool_of(3);
    struct kv_segment *s = kv_segment_new(p, NULL);

    (void)state;
    grow(p, s, 2 * KV_PAGE + 5);
    write_positions(s, 0, 0);
    assert_null(kv_segment_fork(p, s, 3)); /* 2 pages and more to copy, none is left */
    assert_int_equal(s->len, 2 * KV_PAGE + 5);
    assert_int_equal(s->refs, 1);
    assert_positions(s);
    assert_int_equal(kv_pool_pages_in_use(p), 3);
    kv_segment_release(p, s);
    assert_int_equal(kv_pool_pages_in_use(p), 0);
    kv_pool_close(p);
}

/* Against a count kept beside it, over a long random life. */
static void whatever_is_taken_and_given_back_the_count_is_right(void **state)
{
    enum { MOST = 40 };
    struct kv_pool *p = pool_of(100000);
    struct kv_segment *held[MOST] = {0};
    struct dice d = {1};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        const size_t at = dice_below(&d, MOST);

        if (held[at] == NULL) {
            struct kv_segment *parent = held[dice_below(&d, MOST)];

            held[at] = kv_segment_new(p, parent);
            grow(p, held[at], dice_below(&d, 50));
        } else {
            kv_segment_release(p, held[at]);
            held[at] = NULL;
        }
        if (i % 500 != 0)
            continue;
        /* every segment that a holder reaches, counted once by a mark in row0 */
        size_t pages = 0;
        for (int mark = 1; mark >= 0; mark--)
            for (size_t h = 0; h < MOST; h++)
                for (struct kv_segment *s = held[h]; s != NULL; s = s->parent) {
                    pages += mark == 1 && s->row0 == 0 ? s->n_pages : 0;
                    s->row0 = (size_t)mark;
                }
        assert_int_equal(kv_pool_pages_in_use(p), pages);
    }
    for (size_t h = 0; h < MOST; h++)
        kv_segment_release(p, held[h]);
    assert_int_equal(kv_pool_pages_in_use(p), 0);
    kv_pool_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_has_keys_and_values_of_every_layer_and_head),
        cmocka_unit_test(a_form_is_known_by_its_name),
        cmocka_unit_test(a_segment_begins_where_its_parent_ends),
        cmocka_unit_test(pages_are_taken_only_when_the_last_one_is_full),
        cmocka_unit_test(a_released_page_is_used_again),
        cmocka_unit_test(a_trunk_lives_as_long_as_anything_hangs_on_it),
        cmocka_unit_test(a_full_pool_says_so_and_loses_nothing),
        cmocka_unit_test(a_cut_segment_has_the_same_path_for_all_that_hang_on_it),
        cmocka_unit_test(what_is_cut_off_gives_its_pages_back),
        cmocka_unit_test(a_fork_has_what_followed_and_both_sides_grow_on),
        cmocka_unit_test(without_room_for_a_fork_nothing_changes),
        cmocka_unit_test(whatever_is_taken_and_given_back_the_count_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
