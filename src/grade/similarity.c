#include "grade/similarity_internal.h"

#include "base/size.h"

#include <utf8proc.h>

/* ---- the metrics ---- */

static const struct similarity_metric metrics[] = {
    {.name = "fuzzy_match", .fn = similarity_fuzzy_match},
    {.name = "bleu", .fn = similarity_bleu},
    {.name = "gleu", .fn = similarity_gleu},
    {.name = "meteor", .fn = similarity_meteor, .prepare = similarity_meteor_prepare},
    {.name = "cosine"},
    {.name = "rouge_1", .fn = similarity_rouge_1},
    {.name = "rouge_2", .fn = similarity_rouge_2},
    {.name = "rouge_3", .fn = similarity_rouge_3},
    {.name = "rouge_4", .fn = similarity_rouge_4},
    {.name = "rouge_5", .fn = similarity_rouge_5},
    {.name = "rouge_l", .fn = similarity_rouge_l},
};

const struct similarity_metric *similarity_find(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(metrics); i++)
        if (str_is(name, metrics[i].name))
            return &metrics[i];
    return NULL;
}

/* ---- what they share ---- */

const uint32_t *similarity_code_points(struct str s, struct arena *a, size_t *n, struct error *err)
{
    uint32_t *out = arena_try(a, s.len + 1, sizeof *out, "a text to compare", err);

    *n = 0;
    for (size_t i = 0; out != NULL && i < s.len;) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s.ptr + i,
                                                    (utf8proc_ssize_t)(s.len - i), &c);

        out[(*n)++] = k <= 0 ? 0xfffd : (uint32_t)c;
        i += k <= 0 ? 1 : (size_t)k;
    }
    if (*n <= LIMIT_SIMILARITY)
        return out;
    fail(err, ERR_LIMIT, "a text of %zu characters is too long to compare (at most %zu)", *n,
         LIMIT_SIMILARITY);
    return NULL;
}

/* Where in a block of 64 code points each of them stands: an open table for those past Latin-1. */
#define BLOCK_SLOTS 256 /* four times 64: short probes */
struct block {
    uint64_t latin[256];
    uint32_t key[BLOCK_SLOTS];
    uint64_t places[BLOCK_SLOTS]; /* 0: the slot is free */
};

static size_t block_slot(const struct block *b, uint32_t c)
{
    size_t i = (c * 2654435761u) >> 24;

    while (b->places[i] != 0 && b->key[i] != c)
        i = (i + 1) % BLOCK_SLOTS;
    return i;
}

static void block_fill(struct block *b, const uint32_t *x, size_t n)
{
    memset(b, 0, sizeof *b);
    for (size_t j = 0; j < n; j++) {
        if (x[j] < 256) {
            b->latin[x[j]] |= (uint64_t)1 << j;
        } else {
            const size_t i = block_slot(b, x[j]);

            b->key[i] = x[j];
            b->places[i] |= (uint64_t)1 << j;
        }
    }
}

static uint64_t block_places(const struct block *b, uint32_t c)
{
    return c < 256 ? b->latin[c] : b->places[block_slot(b, c)];
}

/*
 * Length of the longest common subsequence. A row S has a zero bit for each place of x where the length grows; for each
 * y: S' = (S + (S & M)) | (S & ~M), M the places of y in x. x goes in blocks of 64; the additions' carries of one
 * block, one a y, are the next block's: so memory is len(y) bits whatever the alphabet.
 */
static size_t common_by_blocks(const uint32_t *x, size_t n_x, const uint32_t *y, size_t n_y,
                               struct arena *a)
{
    uint8_t *carry = ARENA_ARRAY(a, uint8_t, n_y + 1);
    struct block *b = ARENA_NEW(a, struct block);
    size_t length = 0;

    for (size_t from = 0; from < n_x; from += 64) {
        const size_t n = size_min(n_x - from, 64);
        uint64_t s = ~(uint64_t)0;

        block_fill(b, x + from, n);
        for (size_t i = 0; i < n_y; i++) {
            const uint64_t m = s & block_places(b, y[i]);
            const uint64_t sum = s + m;
            const uint64_t sum_in = sum + carry[i];

            carry[i] = (uint8_t)((sum < s) | (sum_in < sum));
            s = sum_in | (s - m);
        }
        s = ~s;
        length += (size_t)__builtin_popcountll(n == 64 ? s : s & (((uint64_t)1 << n) - 1));
    }
    return length;
}

size_t similarity_common_length(const uint32_t *x, size_t n_x, const uint32_t *y, size_t n_y,
                                struct arena *a)
{
    size_t same = 0;

    /* what both begin and end with is common to a longest one, too */
    while (n_x > 0 && n_y > 0 && x[0] == y[0])
        x++, y++, n_x--, n_y--, same++;
    while (n_x > 0 && n_y > 0 && x[n_x - 1] == y[n_y - 1])
        n_x--, n_y--, same++;
    return n_x > 0 && n_y > 0 ? same + common_by_blocks(x, n_x, y, n_y, a) : same;
}

/* ---- fuzzy_match ---- */

bool similarity_fuzzy_match(struct str input, struct str reference, struct arena *a, double *out,
                            struct error *err)
{
    size_t n_x, n_y;
    const uint32_t *x = similarity_code_points(input, a, &n_x, err);
    const uint32_t *y = x == NULL ? NULL : similarity_code_points(reference, a, &n_y, err);

    if (x == NULL || y == NULL)
        return false;
    const size_t total = n_x + n_y;
    const size_t same = similarity_common_length(x, n_x, y, n_y, a);
    /* in rapidfuzz's order of operations, so that the last bit agrees */
    *out = total == 0 ? 1.0 : 1.0 - (double)(total - 2 * same) / (double)total;
    return true;
}
