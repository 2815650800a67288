/*
 * attention_test.c - every row attends to its own path, to the same bits however the tree is computed; the backward is
 * the derivative.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "model/attention.h"
#include "model/kv_tile.h"
#include "support/trees.h"
#include "tensor/ops.h"

#include <math.h>
#include <stdlib.h>

#define N_LAYERS 2

static enum kv_cache cache; /* of every scene */
#define SLACK 16            /* floats behind an array that products of whole panels may read */

/* Queries, keys and values of random trees, and what attention makes of them; all by the trees' rows. */
struct scene {
    struct arena arena;
    struct model_config c;
    struct kv_pool *pool;
    struct trees trees;
    size_t hd, kd;
    float *q, *k, *v, *dout;        /* [m, H*D], [m, K*D] twice, [m, H*D] */
    float *out, *row_max, *row_inv; /* of the last run */
    float *dq, *dk, *dv;
};

static struct scene scene_make(struct dice *d, size_t max_rows, size_t n_heads, size_t n_kv_heads,
                               size_t width)
{
    struct scene s = {.c = {.n_layers = N_LAYERS,
                            .n_heads = n_heads,
                            .n_kv_heads = n_kv_heads,
                            .head_width = width},
                      .hd = n_heads * width,
                      .kd = n_kv_heads * width};
    struct error err = {0};

    s.c.kv_cache = cache;
    ASSERT_OK(kv_pool_open(&s.c, (size_t)64 << 20, &s.pool, &err));
    s.trees = trees_make(d, max_rows, 10, &s.arena);
    const size_t m = s.trees.m;
    float **of_heads[] = {&s.q, &s.dout, &s.out, &s.dq}, **of_kv[] = {&s.k, &s.v, &s.dk, &s.dv};
    for (size_t i = 0; i < 4; i++) {
        *of_heads[i] = ARENA_ARRAY(&s.arena, float, m *s.hd + SLACK);
        *of_kv[i] = ARENA_ARRAY(&s.arena, float, m *s.kd + SLACK);
        dice_fill(d, ORDINARY, *of_heads[i], m * s.hd);
        dice_fill(d, ORDINARY, *of_kv[i], m * s.kd);
    }
    s.row_max = ARENA_ARRAY(&s.arena, float, m *n_heads);
    s.row_inv = ARENA_ARRAY(&s.arena, float, m *n_heads);
    return s;
}

static void scene_free(struct scene *s)
{
    assert_int_equal(kv_pool_pages_in_use(s->pool), 0);
    kv_pool_close(s->pool);
    arena_release(&s->arena);
}

static float *gathered(struct arena *a, const float *rows, const struct growth *g, size_t width)
{
    float *x = ARENA_ARRAY(a, float, g->m *width + SLACK);

    for (size_t i = 0; i < g->m; i++)
        memcpy(x + i * width, rows + g->rows[i] * width, width * sizeof *x);
    return x;
}

static void scattered(const float *x, const struct growth *g, size_t width, float *rows)
{
    for (size_t i = 0; i < g->m; i++)
        memcpy(rows + g->rows[i] * width, x + i * width, width * sizeof *x);
}

/* One step's rows through attention in the given layer; with backward where the step is the whole of the trees. */
static void run_step(struct scene *s, struct growth *g, size_t layer, bool backward)
{
    struct arena a = {0};
    const size_t h = s->c.n_heads;
    const float *q = gathered(&a, s->q, g, s->hd), *k = gathered(&a, s->k, g, s->kd),
                *v = gathered(&a, s->v, g, s->kd), *dout = gathered(&a, s->dout, g, s->hd);
    float *out = ARENA_ARRAY(&a, float, g->m * s->hd + SLACK),
          *row_max = ARENA_ARRAY(&a, float, g->m *h), *row_inv = ARENA_ARRAY(&a, float, g->m *h);
    const struct attention_plan *plan = attention_plan_make(&s->c, g->spans, g->n_spans, &a);
    size_t row = 0;

    for (size_t i = 0; i < g->n_spans; i++) {
        g->spans[i].seg->row0 = row;
        g->spans[i].seg->len += (uint32_t)g->spans[i].n_rows;
        row += g->spans[i].n_rows;
    }
    attention_store(plan, layer, NULL, k, v);
    attention(plan, layer, q, out, row_max, row_inv);
    scattered(out, g, s->hd, s->out);
    scattered(row_max, g, h, s->row_max);
    scattered(row_inv, g, h, s->row_inv);
    if (backward) {
        float *dq = ARENA_ARRAY(&a, float, g->m * s->hd + SLACK),
              *dk = ARENA_ARRAY(&a, float, g->m * s->kd + SLACK),
              *dv = ARENA_ARRAY(&a, float, g->m * s->kd + SLACK);

        for (size_t i = 0; i < g->m * s->kd; i++) /* set, not added to */
            dk[i] = dv[i] = dq[i] = 99;
        attention_back(plan, layer, q, out, row_max, row_inv, dout, dq, dk, dv, &a);
        scattered(dq, g, s->hd, s->dq);
        scattered(dk, g, s->kd, s->dk);
        scattered(dv, g, s->kd, s->dv);
    }
    arena_release(&a);
}

/* d NULL: the whole in one step, and then backward. */
static void run_scene(struct scene *s, struct dice *d, size_t layer)
{
    struct growth g = growth_begin(&s->trees, s->pool, &s->arena);

    while (growth_step(&g, d))
        run_step(s, &g, layer, d == NULL);
    growth_end(&g);
}

/* Row and head in double precision: out [D] from what lies on the row's path. */
static void exact_row(const struct scene *s, const double *q, const double *k, const double *v,
                      size_t row, size_t head, double *out)
{
    const size_t d = s->c.head_width, kv = head / (s->c.n_heads / s->c.n_kv_heads);
    uint32_t path[512];
    double score[512], most = -(double)INFINITY, total = 0;
    size_t n = 0;

    for (uint32_t r = (uint32_t)row;; r = s->trees.before[r]) {
        path[n++] = r;
        if (s->trees.before[r] == r)
            break;
    }
    for (size_t i = 0; i < n; i++) {
        score[i] = 0;
        for (size_t j = 0; j < d; j++)
            score[i] += q[row * s->hd + head * d + j] * k[path[i] * s->kd + kv * d + j];
        score[i] /= sqrt((double)d);
        most = fmax(most, score[i]);
    }
    for (size_t i = 0; i < n; i++)
        total += score[i] = exp(score[i] - most);
    for (size_t j = 0; j < d; j++) {
        out[j] = 0;
        for (size_t i = 0; i < n; i++)
            out[j] += score[i] / total * v[path[i] * s->kd + kv * d + j];
    }
}

/* What attention sees of keys or values: as the cache keeps them. */
static double *cached(struct scene *s, const float *x)
{
    const size_t d = s->c.head_width, n = s->trees.m * s->kd;
    double *y = ARENA_ARRAY(&s->arena, double, n);
    float *room = ARENA_ARRAY(&s->arena, float, d *KV_PAGE);
    char *tiles = arena_alloc(&s->arena, 2 * kv_tile_bytes(&s->c));

    for (size_t i = 0; i < n; i += d) {
        kv_tiles_put(&s->c, tiles, 0, x + i, x + i);
        const float *v = kv_tiles_values(&s->c, tiles, room);
        for (size_t j = 0; j < d; j++)
            y[i + j] = (double)v[j];
    }
    return y;
}

static double *widened(struct arena *a, const float *x, size_t n)
{
    double *y = ARENA_ARRAY(a, double, n);

    for (size_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

static void a_row_is_the_average_of_the_values_on_its_path(void **state)
{
    struct dice d = {1};

    (void)state;
    for (int round = 0; round < 20; round++) {
        const size_t group = 1 + dice_below(&d, 4), n_kv = 1 + dice_below(&d, 3),
                     width = 16 * (1 + dice_below(&d, 4));
        struct scene s = scene_make(&d, 1 + dice_below(&d, 150), group * n_kv, n_kv, width);
        const double *q = widened(&s.arena, s.q, s.trees.m * s.hd), *k = cached(&s, s.k),
                     *v = cached(&s, s.v);
        double out[64];

        run_scene(&s, round % 2 == 0 ? NULL : &d, (size_t)round / 2 % N_LAYERS);
        for (size_t r = 0; r < s.trees.m; r++) {
            for (size_t h = 0; h < s.c.n_heads; h++) {
                exact_row(&s, q, k, v, r, h, out);
                for (size_t j = 0; j < width; j++)
                    ASSERT_NEAR(s.out[r * s.hd + h * width + j], out[j], 5e-6);
            }
        }
        scene_free(&s);
    }
}

/* sum of dout * out over all rows: what q, k and v are differentiated by */
static double pulled(const struct scene *s, const double *q, const double *k, const double *v)
{
    double sum = 0, out[64];

    for (size_t r = 0; r < s->trees.m; r++) {
        for (size_t h = 0; h < s->c.n_heads; h++) {
            exact_row(s, q, k, v, r, h, out);
            for (size_t j = 0; j < s->c.head_width; j++)
                sum += (double)s->dout[r * s->hd + h * s->c.head_width + j] * out[j];
        }
    }
    return sum;
}

static void the_backward_is_the_derivative(void **state)
{
    struct dice d = {2};
    const double step = 1e-5;
    double worst = 0;

    (void)state;
    for (int round = 0; round < 8; round++) {
        const size_t group = 1 + dice_below(&d, 3);
        struct scene s = scene_make(&d, 5 + dice_below(&d, 50), group * 2, 2, 16);
        double *x[3] = {widened(&s.arena, s.q, s.trees.m * s.hd), cached(&s, s.k),
                        cached(&s, s.v)}; /* differentiated where it was rounded to */

        run_scene(&s, NULL, 1);
        const float *got[3] = {s.dq, s.dk, s.dv};
        const size_t size[3] = {s.trees.m * s.hd, s.trees.m * s.kd, s.trees.m * s.kd};
        for (int probe = 0; probe < 60; probe++) {
            const size_t which = (size_t)probe % 3, i = dice_below(&d, size[which]);
            const double was = x[which][i];

            x[which][i] = was + step;
            const double up = pulled(&s, x[0], x[1], x[2]);
            x[which][i] = was - step;
            const double slope = (up - pulled(&s, x[0], x[1], x[2])) / (2 * step);
            x[which][i] = was;
            worst = fmax(worst, fabs((double)got[which][i] - slope) / (1 + fabs(slope)));
        }
        scene_free(&s);
    }
    print_message("             largest difference from central differences: %.2g\n", worst);
    assert_true(worst < 1e-5);
}

static void however_the_rows_are_cut_the_bits_are_the_same(void **state)
{
    static const int threads[] = {1, 2, 8};
    struct dice d = {3};

    (void)state;
    for (int round = 0; round < 16; round++) {
        const size_t group = 1 + dice_below(&d, 4);
        struct scene s = scene_make(&d, 1 + dice_below(&d, 200), group * 2, 2, 32);
        const size_t n = s.trees.m * s.hd, rows = s.trees.m * s.c.n_heads;

        parallel_set_threads(1);
        assert_true(ops_choose_machine("plain"));
        run_scene(&s, NULL, 0);
        float *want = ARENA_ARRAY(&s.arena, float, n), *max = ARENA_ARRAY(&s.arena, float, rows),
              *inv = ARENA_ARRAY(&s.arena, float, rows);
        memcpy(want, s.out, n * sizeof *want);
        memcpy(max, s.row_max, rows * sizeof *max);
        memcpy(inv, s.row_inv, rows * sizeof *inv);
        assert_true(ops_choose_machine(NULL));
        for (int way = 0; way < 4; way++) {
            parallel_set_threads(threads[dice_below(&d, COUNT_OF(threads))]);
            memset(s.out, 0, n * sizeof *s.out);
            run_scene(&s, way == 0 ? NULL : &d, (size_t)way % N_LAYERS);
            ASSERT_SAME("out", n, s.out, want);
            ASSERT_SAME("the softmax's maximum", rows, s.row_max, max);
            ASSERT_SAME("one over its sum", rows, s.row_inv, inv);
        }
        scene_free(&s);
    }
    parallel_set_threads(0);
}

/* The same rows with the trees one by one: a tree's gradients do not depend on its neighbours. */
static void gradients_depend_on_their_own_tree_alone_and_on_no_thread(void **state)
{
    struct dice d = {4};

    (void)state;
    for (int round = 0; round < 10; round++) {
        struct scene s = scene_make(&d, 2 + dice_below(&d, 150), 6, 2, 16);
        const size_t nq = s.trees.m * s.hd, nk = s.trees.m * s.kd;
        float *dq = ARENA_ARRAY(&s.arena, float, nq), *dk = ARENA_ARRAY(&s.arena, float, nk),
              *dv = ARENA_ARRAY(&s.arena, float, nk);

        parallel_set_threads(1);
        assert_true(ops_choose_machine("plain"));
        run_scene(&s, NULL, 0);
        assert_true(ops_choose_machine(NULL));
        memcpy(dq, s.dq, nq * sizeof *dq);
        memcpy(dk, s.dk, nk * sizeof *dk);
        memcpy(dv, s.dv, nk * sizeof *dv);
        for (int threads = 1; threads <= 8; threads *= 2) {
            parallel_set_threads(threads);
            run_scene(&s, NULL, 1);
            ASSERT_SAME("dq", nq, s.dq, dq);
            ASSERT_SAME("dk", nk, s.dk, dk);
            ASSERT_SAME("dv", nk, s.dv, dv);
        }
        struct growth all = growth_begin(&s.trees, s.pool, &s.arena);
        assert_true(growth_step(&all, NULL));
        memset(s.dk, 0, nk * sizeof *s.dk);
        for (size_t from = 0; from < all.n_spans;) {
            size_t to = from + 1, row = 0;

            for (size_t i = 0; i < from; i++)
                row += all.spans[i].n_rows;
            while (to < all.n_spans && s.trees.segments[to].parent != NO_PARENT)
                to++;
            struct growth one = all;
            one.spans = all.spans + from;
            one.n_spans = to - from;
            one.rows = all.rows + row;
            one.m = 0;
            for (size_t i = 0; i < one.n_spans; i++)
                one.m += one.spans[i].n_rows;
            run_step(&s, &one, 0, true);
            from = to;
        }
        growth_end(&all);
        ASSERT_SAME("dq of a tree alone", nq, s.dq, dq);
        ASSERT_SAME("dk of a tree alone", nk, s.dk, dk);
        ASSERT_SAME("dv of a tree alone", nk, s.dv, dv);
        scene_free(&s);
    }
    parallel_set_threads(0);
}

/* A long trunk with many answers of one token each: more rows than a block, and pages that end anywhere. */
static void many_answers_on_one_trunk_see_no_more_than_their_own(void **state)
{
    struct dice d = {5};

    (void)state;
    for (size_t trunk = 1; trunk < 70; trunk += 11) {
        struct scene s = scene_make(&d, 1, 4, 2, 16);
        const size_t n_answers = 75, m = trunk + n_answers;
        struct arena *a = &s.arena;

        s.trees = (struct trees){.n_segments = 1 + n_answers,
                                 .m = m,
                                 .segments = ARENA_ARRAY(a, struct tree_segment, 1 + n_answers),
                                 .tokens = ARENA_ARRAY(a, token_id, m),
                                 .before = ARENA_ARRAY(a, uint32_t, m)};
        s.trees.segments[0] = (struct tree_segment){.parent = NO_PARENT, .n = trunk};
        for (size_t i = 0; i < m; i++)
            s.trees.before[i] = (uint32_t)(i == 0 ? 0 : i < trunk ? i - 1 : trunk - 1);
        for (size_t i = 0; i < n_answers; i++)
            s.trees.segments[1 + i] =
                (struct tree_segment){.row = trunk + i, .n = 1, .start = trunk};
        float **arrays[] = {&s.q, &s.dout, &s.k, &s.v, &s.out, &s.dq, &s.dk, &s.dv};
        for (size_t i = 0; i < COUNT_OF(arrays); i++) {
            *arrays[i] = ARENA_ARRAY(a, float, m *s.hd);
            dice_fill(&d, ORDINARY, *arrays[i], m * s.hd);
        }
        s.row_max = ARENA_ARRAY(a, float, m * 4);
        s.row_inv = ARENA_ARRAY(a, float, m * 4);
        const double *q = widened(a, s.q, m * s.hd), *k = cached(&s, s.k), *v = cached(&s, s.v);
        run_scene(&s, NULL, 0);
        for (size_t r = 0; r < m; r++) {
            for (size_t h = 0; h < 4; h++) {
                double out[16];

                exact_row(&s, q, k, v, r, h, out);
                for (size_t j = 0; j < 16; j++)
                    ASSERT_NEAR(s.out[r * s.hd + h * 16 + j], out[j], 5e-6);
            }
        }
        scene_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_the_average_of_the_values_on_its_path),
        cmocka_unit_test(many_answers_on_one_trunk_see_no_more_than_their_own),
        cmocka_unit_test(however_the_rows_are_cut_the_bits_are_the_same),
        cmocka_unit_test(the_backward_is_the_derivative),
        cmocka_unit_test(gradients_depend_on_their_own_tree_alone_and_on_no_thread),
    };
    int failed = 0;

    for (cache = KV_CACHE_F32; cache <= KV_CACHE_Q8_0; cache++)
        failed += cmocka_run_group_tests_name(kv_cache_name(cache), tests, NULL, NULL);
    return failed;
}
