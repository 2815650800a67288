/*
 * kv_tile_test.c - what is read is what the rule of kv.h makes of what was put there, on every machine.
 */
#include "base/size.h"
#include "model/kv_tile.h"
#include "support/numbers.h"
#include "tensor/cpu/kernels.h"
#include "tensor/dtype.h"

#include <math.h>
#include <stdlib.h>

#define MOST 96 /* of a head's width */

static const enum kv_cache forms[] = {KV_CACHE_F32, KV_CACHE_F16, KV_CACHE_Q8_0};

/* The finite F16 that are not negative, in order. */
static double halves[0x7c00];

static int make_halves(void **state)
{
    (void)state;
    for (unsigned h = 0; h < COUNT_OF(halves); h++)
        halves[h] = (double)f16_to_f32((uint16_t)h);
    return 0;
}

/* The first that is at least x, the last one where none is. */
static size_t least_from(double x)
{
    size_t from = 0, to = COUNT_OF(halves) - 1;

    while (from < to) {
        const size_t mid = (from + to) / 2;

        if (halves[mid] >= x)
            to = mid;
        else
            from = mid + 1;
    }
    return from;
}

/* The nearest; of two the one whose last bit is 0. */
static double nearest_f16(double x)
{
    const double size = fmin(fabs(x), (double)F16_LARGEST);
    size_t at = least_from(size);

    if (at > 0) {
        const double up = halves[at] - size, down = size - halves[at - 1];

        at -= down < up || (down == up && at % 2 == 1);
    }
    return copysign(halves[at], x);
}

/* One block of n values by the rule. */
static void bytes_by_rule(size_t n, const float *x, float *out)
{
    double most = 0;
    bool finite = true;

    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)x[i]));
        finite = finite && isfinite(x[i]);
    }
    /* the quotients are floats: what is meant by it is what a machine computes */
    const double step = halves[least_from((double)((float)most / 127.0f))];
    for (size_t i = 0; i < n; i++) {
        const double q = step > 0 ? rint((double)(x[i] / (float)step)) + 0.0 : 0; /* no -0 */

        out[i] = finite ? (float)(fmax(-127, fmin(127, q)) * step) : NAN;
    }
}

static void by_rule(enum kv_cache form, size_t d, const float *x, float *out)
{
    for (size_t i = 0; i < d; i++) {
        if (form == KV_CACHE_F32)
            out[i] = x[i];
        else if (form == KV_CACHE_F16)
            out[i] = isfinite(x[i]) ? (float)nearest_f16((double)x[i]) : NAN;
        else if (i % KV_BLOCK == 0)
            bytes_by_rule(d - i < KV_BLOCK ? d - i : KV_BLOCK, x + i, out + i);
    }
}

/* Numbers of all sizes that F16 tells apart, halves of them exactly between two, some beyond. */
static void fill(struct dice *d, size_t n, float *x)
{
    const int size = (int)dice_below(d, 48) - 30;

    for (size_t i = 0; i < n; i++) {
        x[i] = ldexpf(dice_float(d, -1, 1), size);
        if (dice_below(d, 4) == 0) { /* between two */
            const uint16_t h = (uint16_t)dice_below(d, 0x7bff);

            x[i] = (f16_to_f32(h) + f16_to_f32((uint16_t)(h + 1))) / 2;
        }
        if (dice_below(d, 400) == 0)
            x[i] = dice_below(d, 2) == 0 ? 65520 : -1e30f;
        if (dice_below(d, 4000) == 0)
            x[i] = dice_below(d, 2) == 0 ? NAN : -INFINITY;
    }
}

/* All positions of a page, in any order, then keys and values of each. */
static void compare(const struct model_config *c, struct dice *d)
{
    const size_t w = c->head_width;
    char *tiles = aligned_alloc(64, (2 * kv_tile_bytes(c) + 63) / 64 * 64);
    float k[KV_PAGE][MOST], v[KV_PAGE][MOST], want[MOST];
    float *room = malloc(w * KV_PAGE * sizeof *room); /* no more than is promised to be enough */

    assert_true(tiles != NULL && room != NULL);
    for (size_t i = 0; i < 2 * kv_tile_bytes(c); i++)
        tiles[i] = (char)dice_below(d, 256);
    for (size_t i = 0; i < KV_PAGE; i++) {
        const size_t slot = (5 * i + 3) % KV_PAGE;

        fill(d, w, k[slot]);
        fill(d, w, v[slot]);
        kv_tiles_put(c, tiles, slot, k[slot], v[slot]);
    }
    const float *keys = kv_tiles_keys(c, tiles, room);
    for (size_t slot = 0; slot < KV_PAGE; slot++) {
        by_rule(c->kv_cache, w, k[slot], want);
        for (size_t j = 0; j < w; j++)
            ASSERT_SAME("a key's value", 1, &keys[j * KV_PAGE + slot], &want[j]);
    }
    const float *values = kv_tiles_values(c, tiles, room);
    for (size_t slot = 0; slot < KV_PAGE; slot++) {
        by_rule(c->kv_cache, w, v[slot], want);
        ASSERT_SAME("a value", w, values + slot * w, want);
    }
    free(tiles);
    free(room);
}

static void what_is_read_is_what_was_put_rounded_by_the_rule(void **state)
{
    static const size_t widths[] = {16, 32, 48, 64, 96};
    const struct kernels *const *tables;
    const size_t n = kernels_available(&tables);

    (void)state;
    for (size_t t = 0; t < n; t++) {
        struct dice d = {t + 1};

        assert_true(kernels_choose(tables[t]->name));
        for (size_t f = 0; f < COUNT_OF(forms); f++)
            for (size_t w = 0; w < COUNT_OF(widths); w++) {
                const struct model_config c = {
                    .n_layers = 1, .n_kv_heads = 1, .head_width = widths[w], .kv_cache = forms[f]};

                compare(&c, &d);
            }
    }
    assert_true(kernels_choose(NULL));
}

/* What was read, put again, is read the same: so it does not matter who keeps which of the two. */
static void rounding_twice_is_rounding_once(void **state)
{
    struct dice d = {77};

    (void)state;
    for (size_t f = 0; f < COUNT_OF(forms); f++) {
        const struct model_config c = {
            .n_layers = 1, .n_kv_heads = 1, .head_width = 64, .kv_cache = forms[f]};
        char *tiles = aligned_alloc(64, 2 * kv_tile_bytes(&c) + 64);
        float x[64], once[64], room[64 * KV_PAGE];

        assert_non_null(tiles);
        for (int round = 0; round < 2000; round++) {
            dice_fill(&d, ORDINARY, x, 64);
            kv_tiles_put(&c, tiles, 3, x, x);
            memcpy(once, kv_tiles_values(&c, tiles, room) + (size_t)3 * 64, sizeof once);
            if (forms[f] == KV_CACHE_F32)
                ASSERT_SAME("what is not rounded", 64, once, x);
            else
                assert_true(first_difference(64, once, x) < 64);
            kv_tiles_put(&c, tiles, 3, once, once);
            ASSERT_SAME("rounded twice", 64, kv_tiles_values(&c, tiles, room) + (size_t)3 * 64,
                        once);
        }
        free(tiles);
    }
}

static void a_copied_position_is_one_that_was_put_there(void **state)
{
    static const size_t widths[] = {16, 48, 64};
    struct dice d = {78};

    (void)state;
    for (size_t f = 0; f < COUNT_OF(forms); f++)
        for (size_t w = 0; w < COUNT_OF(widths); w++) {
            const struct model_config c = {
                .n_layers = 1, .n_kv_heads = 1, .head_width = widths[w], .kv_cache = forms[f]};
            const size_t bytes = 2 * kv_tile_bytes(&c);
            char *from = aligned_alloc(64, size_round_up(bytes, 64)),
                 *copied = aligned_alloc(64, size_round_up(bytes, 64)),
                 *put = aligned_alloc(64, size_round_up(bytes, 64));
            float k[64], v[64];

            for (size_t i = 0; i < bytes; i++) {
                from[i] = (char)dice_below(&d, 256);
                copied[i] = put[i] = (char)dice_below(&d, 256);
            }
            for (size_t slot = 0; slot < KV_PAGE; slot++) {
                const size_t to = dice_below(&d, KV_PAGE);

                fill(&d, widths[w], k);
                fill(&d, widths[w], v);
                kv_tiles_put(&c, from, slot, k, v);
                kv_tiles_put(&c, put, to, k, v);
                kv_tiles_copy(&c, from, slot, copied, to);
                assert_memory_equal(copied, put, bytes);
            }
            free(from);
            free(copied);
            free(put);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_what_was_put_rounded_by_the_rule),
        cmocka_unit_test(rounding_twice_is_rounding_once),
        cmocka_unit_test(a_copied_position_is_one_that_was_put_there),
    };
    return cmocka_run_group_tests(tests, make_halves, NULL);
}
