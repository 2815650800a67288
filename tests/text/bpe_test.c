/*
 * bpe_test.c - merges happen by rank, the leftmost first; short and long pieces, cut differently, agree.
 */
#include "base/philox.h"
#include "support/support.h"
#include "text/bpe.h"

#include <stdlib.h>

/* Tokens: 0..255 the bytes, then what the merges make. */
static void build(struct bpe *b, struct arena *a, const struct bpe_merge *merges, size_t n)
{
    struct error err;

    *b = (struct bpe){.unknown = -1};
    for (int i = 0; i < 256; i++)
        b->of_byte[i] = i;
    ASSERT_OK(bpe_build(b, merges, n, a, &err));
}

static void assert_tokens(const struct bpe *b, const char *piece, const token_id *want, size_t n)
{
    struct bpe_scratch scratch = {0};
    struct token_list list = {0};
    struct error err;

    ASSERT_OK(bpe_encode(b, str_of(piece), &scratch, &list, &err));
    assert_int_equal(list.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(list.ids[i], want[i]);
    token_list_release(&list);
    bpe_scratch_release(&scratch);
}
#define ASSERT_TOKENS(b, piece, ...)                                                               \
    assert_tokens(b, piece, (const token_id[]){__VA_ARGS__},                                       \
                  sizeof((token_id[]){__VA_ARGS__}) / sizeof(token_id))

static void the_lowest_rank_merges_first_and_then_the_leftmost(void **state)
{
    (void)state;
    struct arena a = {0};
    struct bpe b;
    static const struct bpe_merge merges[] = {
        {'b', 'c', 256, 0}, {'a', 'b', 257, 1}, {'a', 256, 258, 2}, {'x', 'x', 259, 3}};

    build(&b, &a, merges, 4);
    ASSERT_TOKENS(&b, "abc", 258);
    ASSERT_TOKENS(&b, "abd", 257, 'd');
    ASSERT_TOKENS(&b, "ababc", 257, 258);
    ASSERT_TOKENS(&b, "xxx", 259, 'x');
    ASSERT_TOKENS(&b, "xxxx", 259, 259);
    ASSERT_TOKENS(&b, "q", 'q');
    assert_tokens(&b, "", NULL, 0);
    arena_release(&a);
}

static void a_pair_given_twice_has_its_last_rank(void **state)
{
    (void)state;
    struct arena a = {0};
    struct bpe b;
    static const struct bpe_merge merges[] = {
        {'a', 'b', 256, 0}, {'b', 'c', 257, 1}, {'a', 'b', 256, 2}};

    build(&b, &a, merges, 3);
    ASSERT_TOKENS(&b, "abc", 'a', 257);
    arena_release(&a);
}

static void a_byte_without_a_token_is_dropped_or_unknown(void **state)
{
    (void)state;
    struct arena a = {0};
    struct bpe b;
    static const struct bpe_merge merges[] = {{'a', 'b', 256, 0}};

    build(&b, &a, merges, 1);
    b.of_byte['?'] = -1;
    ASSERT_TOKENS(&b, "a??b?", 256); /* what is dropped does not part its neighbours */
    assert_tokens(&b, "??", NULL, 0);
    b.unknown = 300;
    ASSERT_TOKENS(&b, "a??b?", 'a', 300, 300, 'b', 300);
    b.fuse_unknown = true;
    ASSERT_TOKENS(&b, "a??b?", 'a', 300, 'b', 300);
    ASSERT_TOKENS(&b, "??", 300);
    arena_release(&a);
}

/* Random merges over few letters: much to merge everywhere. */
static size_t random_merges(struct bpe_merge *merges, size_t n, uint32_t seed)
{
    token_id alphabet[300] = {'a', 'b', 'c', 'd'};
    uint32_t n_alphabet = 4;

    for (uint32_t i = 0; i < n; i++) {
        merges[i] = (struct bpe_merge){alphabet[philox_below(seed, PHILOX_TEST, i, 0, n_alphabet)],
                                       alphabet[philox_below(seed, PHILOX_TEST, i, 1, n_alphabet)],
                                       (token_id)(256 + i), i};
        alphabet[n_alphabet++] = (token_id)(256 + i);
    }
    return n;
}

/* The definition, word for word: look for the best pair, merge its first place, start again. */
static void encode_by_definition(const struct bpe_merge *merges, size_t n_merges, struct str piece,
                                 struct token_list *list)
{
    for (size_t i = 0; i < piece.len; i++)
        token_list_put(list, (unsigned char)piece.ptr[i]);
    for (bool merged = true; merged;) {
        size_t best = n_merges, at = 0;

        for (size_t i = 0; i + 1 < list->n; i++)
            for (size_t m = 0; m < best; m++)
                if (merges[m].left == list->ids[i] && merges[m].right == list->ids[i + 1] &&
                    m < best) {
                    best = m;
                    at = i;
                }
        merged = best < n_merges;
        if (merged) {
            list->ids[at] = merges[best].made;
            memmove(list->ids + at + 1, list->ids + at + 2, (list->n - at - 2) * sizeof *list->ids);
            list->n--;
        }
    }
}

static void short_and_long_pieces_merge_as_defined(void **state)
{
    (void)state;
    struct bpe_scratch scratch = {0};
    struct token_list got = {0}, want = {0};

    for (uint32_t seed = 0; seed < 300; seed++) {
        struct arena a = {0};
        struct bpe_merge merges[40];
        struct bpe b;
        struct error err;
        char piece[120];
        const size_t n_merges = random_merges(merges, 1 + seed % 40, seed);
        const size_t len = philox_below(seed, PHILOX_TEST, 0, 9, sizeof piece);

        /* the same pair may come twice with different results: that no file has, so drop the second */
        size_t n = 0;
        for (size_t i = 0; i < n_merges; i++) {
            bool twice = false;

            for (size_t k = 0; k < n; k++)
                twice = twice ||
                        (merges[k].left == merges[i].left && merges[k].right == merges[i].right);
            if (!twice)
                merges[n++] = merges[i];
        }
        build(&b, &a, merges, n);
        for (uint32_t i = 0; i < len; i++)
            piece[i] = "abcd"[philox_below(seed, PHILOX_TEST, i, 2, 4)];
        got.n = want.n = 0;
        ASSERT_OK(bpe_encode(&b, (struct str){piece, len}, &scratch, &got, &err));
        encode_by_definition(merges, n, (struct str){piece, len}, &want);
        assert_int_equal(got.n, want.n);
        if (got.n > 0)
            assert_memory_equal(got.ids, want.ids, got.n * sizeof *got.ids);
        arena_release(&a);
    }
    token_list_release(&got);
    token_list_release(&want);
    bpe_scratch_release(&scratch);
}

static void a_piece_of_a_megabyte_is_no_matter(void **state)
{
    (void)state;
    struct arena a = {0};
    struct bpe_merge merges[30];
    struct bpe b;
    struct bpe_scratch scratch = {0};
    struct token_list list = {0};
    struct error err;
    const size_t n = 1 << 20;
    char *piece = malloc(n);

    merges[0] = (struct bpe_merge){'a', 'a', 256, 0};
    for (token_id i = 1; i < 10; i++)
        merges[i] = (struct bpe_merge){255 + i, 255 + i, 256 + i, (uint32_t)i};
    build(&b, &a, merges, 10);
    memset(piece, 'a', n);
    ASSERT_OK(bpe_encode(&b, (struct str){piece, n}, &scratch, &list, &err));
    assert_int_equal(list.n, n / 1024);
    assert_int_equal(list.ids[0], 265);
    free(piece);
    token_list_release(&list);
    bpe_scratch_release(&scratch);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_rank_merges_first_and_then_the_leftmost),
        cmocka_unit_test(a_pair_given_twice_has_its_last_rank),
        cmocka_unit_test(a_byte_without_a_token_is_dropped_or_unknown),
        cmocka_unit_test(short_and_long_pieces_merge_as_defined),
        cmocka_unit_test(a_piece_of_a_megabyte_is_no_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
