/*
 * pick_test.c - tokens are drawn as often as they are likely, and what is filtered away is never drawn.
 */
#include "base/philox.h"
#include "base/size.h"
#include "sample/pick.h"
#include "support/numbers.h"

#include <math.h>
#include <stdlib.h>

static float *random_logits(struct dice *d, size_t v, float spread)
{
    float *z = malloc(v * sizeof *z);

    for (size_t i = 0; i < v; i++)
        z[i] = dice_float(d, -spread, spread);
    return z;
}

static float uniform(uint32_t i)
{
    return philox_uniform(7, PHILOX_TEST, i, 0, 0, 0);
}

static void the_defaults_are_plain_and_any_filter_is_not(void **state)
{
    struct pick_options o = pick_defaults();

    (void)state;
    assert_true(pick_is_plain(&o));
    assert_true(pick_inv_t(&o) == 1);
    o.temperature = 0.5f;
    assert_true(pick_is_plain(&o) && pick_inv_t(&o) == 2);
    o.temperature = 0; /* log-probabilities are those at 1 */
    assert_true(pick_is_plain(&o) && pick_inv_t(&o) == 1);
    struct pick_options others[6];
    for (size_t i = 0; i < 6; i++)
        others[i] = pick_defaults();
    others[0].top_p = 0.99f;
    others[1].top_k = 1;
    others[2].min_p = 0.01f;
    others[3].frequency_penalty = -0.1f;
    others[4].presence_penalty = 0.1f;
    others[5].repetition_penalty = 1.1f;
    for (size_t i = 0; i < 6; i++)
        assert_false(pick_is_plain(&others[i]));
}

/* Sum of (observed - expected)^2 / expected over cells with five or more expected; the rest is one cell. */
static void assert_drawn_as_expected(const size_t *hits, const double *p, size_t v, size_t n)
{
    double chi = 0, rest = 0;
    size_t cells = 0, rest_hits = 0;

    for (size_t i = 0; i < v; i++) {
        const double expected = p[i] * (double)n;

        if (expected < 5) {
            rest += expected;
            rest_hits += hits[i];
            continue;
        }
        chi += ((double)hits[i] - expected) * ((double)hits[i] - expected) / expected;
        cells++;
    }
    if (rest >= 5) {
        chi += ((double)rest_hits - rest) * ((double)rest_hits - rest) / rest;
        cells++;
    }
    /* mean cells - 1, deviation sqrt(2 (cells - 1)): five of them are one in a million, and the seed is fixed */
    const double degrees = (double)(cells > 1 ? cells - 1 : 1);
    if (!(chi < degrees + 5 * sqrt(2 * degrees)))
        fail_msg("chi square is %.1f with %.0f degrees of freedom", chi, degrees);
}

static double *softmax(const float *z, size_t v, double t)
{
    double *p = malloc(v * sizeof *p), most = -(double)INFINITY, total = 0;

    for (size_t i = 0; i < v; i++)
        most = fmax(most, (double)z[i]);
    for (size_t i = 0; i < v; i++)
        total += p[i] = exp(((double)z[i] - most) / t);
    for (size_t i = 0; i < v; i++)
        p[i] /= total;
    return p;
}

static void tokens_are_drawn_as_often_as_they_are_likely(void **state)
{
    static const float temperatures[] = {0.5f, 1, 2};
    static const size_t sizes[] = {2, 50, 700};
    const size_t n = 100000;
    struct dice d = {1};

    (void)state;
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        const size_t v = sizes[s];
        float *z = random_logits(&d, v, 3);

        for (size_t t = 0; t < COUNT_OF(temperatures); t++) {
            struct picker picker = {0};
            struct pick_options o = pick_defaults();
            o.temperature = temperatures[t];
            const struct picked_row row = pick_row(&picker, z, v, pick_inv_t(&o), false);
            double *p = softmax(z, v, (double)o.temperature);
            size_t *hits = calloc(v, sizeof *hits), *filtered = calloc(v, sizeof *filtered);

            for (uint32_t i = 0; i < n; i++)
                hits[pick_plain(&row, uniform(i))]++;
            assert_drawn_as_expected(hits, p, v, n);
            o.top_p = 2; /* lets everything through, by the other way */
            for (uint32_t i = 0; i < n / 10; i++)
                filtered[pick_filtered(&picker, &o, z, v, NULL, 0, uniform(i))]++;
            assert_drawn_as_expected(filtered, p, v, n / 10);
            free(hits);
            free(filtered);
            free(p);
            picker_release(&picker);
        }
        free(z);
    }
}

/* The token at u in the cumulative distribution p[0..v); *edge: how far u is from where another token would begin. */
static token_id invert(const double *p, size_t v, double u, double *edge)
{
    double before = 0;

    for (size_t i = 0; i < v; i++) {
        if (u < before + p[i]) {
            *edge = fmin(u - before, before + p[i] - u);
            return (token_id)i;
        }
        before += p[i];
    }
    *edge = 0;
    return -1;
}

static void a_draw_inverts_the_cumulative_distribution(void **state)
{
    static const size_t sizes[] = {1, 2, 16, 255, 256, 257, 320, 513, 1000, 49152};
    struct dice d = {2};
    size_t n_clear = 0, n_draws = 0;

    (void)state;
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        const size_t v = sizes[s];
        float *z = random_logits(&d, v, 6);
        double *p = softmax(z, v, 1);
        struct picker picker = {0};
        const struct picked_row row = pick_row(&picker, z, v, 1, false);
        const float extremes[] = {0x1p-24f, 1 - 0x1p-24f};

        for (uint32_t i = 0; i < 3000; i++) {
            const float u = i < 2 ? extremes[i] : uniform(i);
            double edge;
            const token_id want = invert(p, v, (double)u, &edge), got = pick_plain(&row, u);

            n_draws++;
            if (edge < 2e-6)
                continue; /* either is right as far as FP32 can tell */
            n_clear++;
            if (got != want)
                fail_msg("V = %zu, u = %.9g: token %d, expected %d", v, (double)u, got, want);
        }
        free(z);
        free(p);
        picker_release(&picker);
    }
    assert_true(n_clear > n_draws / 2);
}

static void an_impossible_token_is_never_drawn(void **state)
{
    const size_t v = 1100;
    struct dice d = {3};

    (void)state;
    for (int round = 0; round < 60; round++) {
        float *z = random_logits(&d, v, 4);
        struct picker picker = {0};
        struct pick_options o = pick_defaults();
        const size_t from = dice_below(&d, v), n = dice_below(&d, v - from) + 1;

        for (size_t i = 0; i < v; i++) /* whole blocks at either end, a run, or all but one */
            if (round % 3 == 0 ? i >= from && i < from + n : round % 3 == 1 ? i < from : i > from)
                z[i] =
                    i % 2 == 0 ? -INFINITY : -200; /* or so unlikely that nothing is left of it */
        z[from] = round % 3 == 0 ? 9 : z[from];
        const struct picked_row row = pick_row(&picker, z, v, 1, false);
        for (uint32_t i = 0; i < 500; i++) {
            const float u = i == 0 ? 0x1p-24f : i == 1 ? 1 - 0x1p-24f : uniform(i);

            assert_true(z[pick_plain(&row, u)] > -100);
            assert_true(z[pick_filtered(&picker, &o, z, v, NULL, 0, u)] > -100);
        }
        free(z);
        picker_release(&picker);
    }
}

static void greedy_takes_the_first_of_the_likeliest(void **state)
{
    const float z[] = {-INFINITY, 1, 3, -2, 3, 3, 0};

    (void)state;
    assert_int_equal(pick_greedy(z, COUNT_OF(z)), 2);
    assert_int_equal(pick_greedy(z, 1), 0);
    assert_int_equal(pick_greedy(z + 3, 4), 1);
}

static void a_row_s_log_probabilities_and_entropy_are_the_softmax_s(void **state)
{
    static const float temperatures[] = {0.7f, 1, 1.6f};
    const size_t v = 3000;
    struct dice d = {4};
    float *z = random_logits(&d, v, 8);
    struct picker picker = {0};

    (void)state;
    for (size_t t = 0; t < COUNT_OF(temperatures); t++) {
        double *p = softmax(z, v, (double)temperatures[t]), entropy = 0;
        const struct picked_row row = pick_row(&picker, z, v, 1 / temperatures[t], true);

        for (size_t i = 0; i < v; i++) {
            ASSERT_NEAR(pick_logp(&row, (token_id)i), log(p[i]), 3e-6 * (1 + fabs(log(p[i]))));
            entropy -= p[i] * log(p[i]);
        }
        ASSERT_NEAR(row.entropy, entropy, 1e-4);
        assert_true(pick_row(&picker, z, v, 1, false).entropy == 0);
        free(p);
    }
    free(z);
    picker_release(&picker);
}

/* ---- filters, against sorting everything in double precision ---- */

struct ranked {
    double w;
    size_t id;
};

static int likelier(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    return x->w != y->w ? (x->w < y->w ? 1 : -1) : (x->id > y->id) - (x->id < y->id);
}

/* Probabilities after penalties and filters; false where a filter's edge is too near to call in FP32. */
static bool filter(const struct pick_options *o, const float *logits, size_t v,
                   const token_id *history, size_t n_history, double *p)
{
    struct ranked *r = malloc(v * sizeof *r);
    double most = -(double)INFINITY, total = 0, sum = 0;
    size_t n = 0;
    bool clear = true;

    for (size_t i = 0; i < v; i++) {
        size_t times = 0;
        double z = (double)logits[i];

        for (size_t j = 0; j < n_history; j++)
            times += (size_t)history[j] == i;
        if (times > 0) { /* alone each is what its paper or API says; together only in this order */
            z -= (double)o->presence_penalty + (double)o->frequency_penalty * (double)times;
            z = z > 0 ? z / (double)o->repetition_penalty : z * (double)o->repetition_penalty;
        }
        r[i] = (struct ranked){z, i};
        most = fmax(most, z);
    }
    for (size_t i = 0; i < v; i++) {
        r[i].w = exp((r[i].w - most) / (double)o->temperature);
        clear = clear && fabs(r[i].w - (double)o->min_p) > 1e-5 * r[i].w;
        if (r[i].w < (double)o->min_p)
            r[i].w = 0;
    }
    qsort(r, v, sizeof *r, likelier);
    while (n < v && r[n].w > 0 && (o->top_k == 0 || n < o->top_k))
        total += r[n++].w;
    if (o->top_k > 0 && n == o->top_k && n < v && r[n].w != r[n - 1].w)
        clear = clear && r[n - 1].w - r[n].w > 1e-5 * r[n].w;
    if (o->top_p < 1) {
        size_t kept = 0;

        while (kept < n && (kept == 0 || sum < (double)o->top_p * total)) {
            sum += r[kept++].w;
            clear = clear && fabs(sum - (double)o->top_p * total) > 1e-5 * total;
        }
        n = kept;
    }
    memset(p, 0, v * sizeof *p);
    total = 0;
    for (size_t i = 0; i < n; i++)
        total += r[i].w;
    for (size_t i = 0; i < n; i++)
        p[r[i].id] = r[i].w / total;
    free(r);
    return clear;
}

static void check_filters(struct dice *d, const struct pick_options *o, size_t v, float spread,
                          bool ties, size_t n_history, size_t *n_clear)
{
    float *z = random_logits(d, v, spread), *was = malloc(v * sizeof *was);
    double *p = malloc(v * sizeof *p);
    token_id *history = malloc((n_history + 1) * sizeof *history);
    struct picker picker = {0};

    for (size_t i = 0; ties && i < v; i++)
        z[i] = roundf(z[i] * 2) / 2;
    for (size_t i = 0; i < n_history; i++)
        history[i] = (token_id)dice_below(d, i % 2 == 0 ? v : 1 + v / 8); /* some come often */
    memcpy(was, z, v * sizeof *z);
    if (filter(o, z, v, history, n_history, p)) {
        for (uint32_t i = 0; i < 200; i++) {
            const float u = i == 0 ? 0x1p-24f : i == 1 ? 1 - 0x1p-24f : uniform(i);
            const token_id got = pick_filtered(&picker, o, z, v, history, n_history, u);
            double edge;
            const token_id want = invert(p, v, (double)u, &edge);

            if (!(p[got] > 0))
                fail_msg(
                    "V = %zu: token %d was filtered away and drawn (u = %g, top_p %g, top_k %zu, min_p %g)",
                    v, got, (double)u, (double)o->top_p, o->top_k, (double)o->min_p);
            if (edge > 1e-5 && got != want)
                fail_msg("V = %zu, u = %.9g: token %d, expected %d (top_p %g, top_k %zu, min_p %g)",
                         v, (double)u, got, want, (double)o->top_p, o->top_k, (double)o->min_p);
        }
        ++*n_clear;
    }
    ASSERT_SAME("logits", v, z, was); /* they are not changed */
    free(z);
    free(was);
    free(p);
    free(history);
    picker_release(&picker);
}

static void filters_keep_what_sorting_would_keep(void **state)
{
    static const float top_ps[] = {0, 0.1f, 0.5f, 0.9f, 0.97f, 1};
    static const size_t top_ks[] = {0, 1, 2, 40, 63, 64, 65, 1000000};
    static const float min_ps[] = {0, 0.02f, 0.3f, 1};
    static const size_t sizes[] = {1, 2, 30, 320, 1500};
    struct dice d = {5};
    size_t n = 0, n_clear = 0;

    (void)state;
    for (int round = 0; round < 600; round++, n++) {
        struct pick_options o = pick_defaults();

        o.temperature = dice_float(&d, 0.3f, 2);
        o.top_p = top_ps[dice_below(&d, COUNT_OF(top_ps))];
        o.top_k = top_ks[dice_below(&d, COUNT_OF(top_ks))];
        o.min_p = min_ps[dice_below(&d, COUNT_OF(min_ps))];
        check_filters(&d, &o, sizes[dice_below(&d, COUNT_OF(sizes))], dice_float(&d, 0.1f, 6),
                      false, 0, &n_clear);
    }
    assert_true(n_clear > n / 2);
}

static void among_equals_the_smaller_ids_are_kept(void **state)
{
    static const size_t top_ks[] = {1, 3, 17, 100};
    struct dice d = {6};
    size_t n_clear = 0;

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct pick_options o = pick_defaults();

        o.top_k = top_ks[dice_below(&d, COUNT_OF(top_ks))];
        o.top_p = round % 2 == 0 ? 1 : 0.9f;
        check_filters(&d, &o, 200, 2, true, 0, &n_clear);
    }
    assert_true(n_clear > 100);
}

/* Equal logits weigh 1 each, so the sums are exact: of ids 0 .. v - 1 the first top_p * v are kept. */
static void a_nucleus_of_a_flat_distribution_is_exact_too(void **state)
{
    static const float top_ps[] = {0.125f, 0.5f, 0.75f};
    const size_t v = 49152;
    float *z = calloc(v, sizeof *z);
    struct picker picker = {0};
    struct pick_options o = pick_defaults();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(top_ps); i++) {
        o.top_p = top_ps[i];
        assert_int_equal(pick_filtered(&picker, &o, z, v, NULL, 0, 1 - 0x1p-24f),
                         (token_id)(top_ps[i] * (float)v) - 1);
        assert_int_equal(pick_filtered(&picker, &o, z, v, NULL, 0, 0x1p-24f), 0);
    }
    free(z);
    picker_release(&picker);
}

static void penalties_count_what_was_produced(void **state)
{
    struct dice d = {8};
    size_t n_clear = 0;

    (void)state;
    for (int round = 0; round < 400; round++) {
        struct pick_options o = pick_defaults();

        switch (round % 4) {
        case 0:
            o.frequency_penalty = dice_float(&d, -2, 2);
            break;
        case 1:
            o.presence_penalty = dice_float(&d, -2, 2);
            break;
        case 2:
            o.repetition_penalty = dice_float(&d, 0.5f, 2);
            break;
        default:
            o.frequency_penalty = 0.4f;
            o.presence_penalty = 0.7f;
            o.top_p = 0.9f;
            break;
        }
        check_filters(&d, &o, 100, 3, false, dice_below(&d, 60), &n_clear);
    }
    assert_true(n_clear > 200);
}

static void without_temperature_the_likeliest_after_penalties_is_taken(void **state)
{
    const float z[] = {0.5f, 3, 2.5f, -1};
    const token_id history[] = {1, 1, 3, 900, 2};
    struct picker picker = {0};
    struct pick_options o = pick_defaults();

    (void)state;
    o.temperature = 0;
    o.top_k = 2;
    assert_int_equal(pick_filtered(&picker, &o, z, 4, history, 5, 0.9f), 1);
    o.frequency_penalty = 0.6f; /* 3 - 1.2, 2.5 - 0.6 */
    assert_int_equal(pick_filtered(&picker, &o, z, 4, history, 5, 0.9f), 2);
    o.frequency_penalty = 3;
    assert_int_equal(pick_filtered(&picker, &o, z, 4, history, 5, 0.9f), 0);
    assert_int_equal(pick_filtered(&picker, &o, z, 4, history, 0, 0.9f), 1);
    picker_release(&picker);
}

static void a_picker_serves_rows_of_any_size_one_after_another(void **state)
{
    static const size_t sizes[] = {10, 2000, 300, 5000, 1};
    struct dice d = {9};
    struct picker picker = {0};
    struct pick_options o = pick_defaults();

    (void)state;
    o.top_k = 3;
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        float *z = random_logits(&d, sizes[s], 2);
        struct picker fresh = {0};

        for (uint32_t i = 0; i < 50; i++) {
            const struct picked_row row = pick_row(&picker, z, sizes[s], 1, false);
            const token_id used = pick_plain(&row, uniform(i));
            const struct picked_row other = pick_row(&fresh, z, sizes[s], 1, false);

            assert_int_equal(used, pick_plain(&other, uniform(i)));
            assert_int_equal(pick_filtered(&picker, &o, z, sizes[s], NULL, 0, uniform(i)),
                             pick_filtered(&fresh, &o, z, sizes[s], NULL, 0, uniform(i)));
        }
        picker_release(&fresh);
        free(z);
    }
    picker_release(&picker);
    picker_release(&picker);
}

static void biases_are_added_and_a_ban_is_never_drawn(void **state)
{
    const struct token_bias bias[] = {{3, 2.5f}, {0, -100}, {49, -1000},
                                      {-1, 5},   {50, 5},   {7, -99}};
    struct pick_options o = pick_defaults();
    struct picker p = {0};
    struct dice d = {5};

    (void)state;
    o.bias = bias;
    o.n_bias = COUNT_OF(bias);
    assert_true(pick_is_plain(&o));
    for (int round = 0; round < 200; round++) {
        float *z = random_logits(&d, 51, 4), was[51];

        memcpy(was, z, sizeof was);
        was[50] = z[50] = 1; /* past the vocabulary */
        pick_bias(&o, z, 50);
        for (size_t i = 0; i < 51; i++)
            if (i != 0 && i != 49)
                assert_true(z[i] == was[i] + (i == 3 ? 2.5f : i == 7 ? -99.0f : 0.0f));
        for (float temperature = 0.01f; temperature < 1e6f; temperature *= 10) {
            const struct picked_row row = pick_row(&p, z, 50, 1 / temperature, false);

            for (uint32_t i = 0; i < 20; i++) {
                const token_id id = pick_plain(&row, i == 0 ? 0 : uniform(i));

                assert_true(id != 0 && id != 49);
            }
            assert_true(exp((double)pick_logp(&row, 0)) == 0 && isfinite(pick_logp(&row, 0)));
        }
        z[49] = 9;
        z[0] = -1e30f; /* by a constraint, and all others banned */
        for (size_t i = 1; i < 50; i++)
            z[i] = -1e20f;
        const struct picked_row row = pick_row(&p, z, 50, 1, false);
        assert_true(pick_plain(&row, uniform((uint32_t)round)) != 0);
        free(z);
    }
    picker_release(&p);
}

static const float *sorted_by;

static int likelier_first(const void *a, const void *b)
{
    const token_id i = *(const token_id *)a, j = *(const token_id *)b;

    if (sorted_by[i] != sorted_by[j])
        return sorted_by[i] > sorted_by[j] ? -1 : 1;
    return i < j ? -1 : 1;
}

static void the_likeliest_are_those_that_sorting_puts_first(void **state)
{
    struct picker p = {0};
    struct dice d = {6};
    token_id ids[PICK_MAX_TOP];
    float logps[PICK_MAX_TOP];

    (void)state;
    for (int round = 0; round < 300; round++) {
        const size_t v = 1 + dice_below(&d, round % 2 == 0 ? 30 : 3000),
                     n = dice_below(&d, PICK_MAX_TOP + 1);
        float *z = random_logits(&d, v, 3);
        token_id *order = malloc(v * sizeof *order);
        size_t n_banned = 0;

        for (size_t i = 0; i < v; i++) {
            if (round % 3 == 0) /* many equals */
                z[i] = roundf(z[i]);
            if (round % 5 == 0 && dice_below(&d, 3) == 0) {
                z[i] = i % 2 == 0 ? -1e20f : -1e30f;
                n_banned++;
            }
            order[i] = (token_id)i;
        }
        sorted_by = z;
        qsort(order, v, sizeof *order, likelier_first);
        const struct picked_row row = pick_row(&p, z, v, 0.7f, false);
        const size_t have = pick_top(&row, n, ids, logps);
        assert_int_equal(have, size_min(n, v - n_banned));
        for (size_t i = 0; i < have; i++) {
            assert_int_equal(ids[i], order[i]);
            assert_true(logps[i] == pick_logp(&row, ids[i]));
        }
        free(order);
        free(z);
    }
    picker_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_plain_and_any_filter_is_not),
        cmocka_unit_test(tokens_are_drawn_as_often_as_they_are_likely),
        cmocka_unit_test(a_draw_inverts_the_cumulative_distribution),
        cmocka_unit_test(an_impossible_token_is_never_drawn),
        cmocka_unit_test(greedy_takes_the_first_of_the_likeliest),
        cmocka_unit_test(a_row_s_log_probabilities_and_entropy_are_the_softmax_s),
        cmocka_unit_test(filters_keep_what_sorting_would_keep),
        cmocka_unit_test(among_equals_the_smaller_ids_are_kept),
        cmocka_unit_test(a_nucleus_of_a_flat_distribution_is_exact_too),
        cmocka_unit_test(penalties_count_what_was_produced),
        cmocka_unit_test(without_temperature_the_likeliest_after_penalties_is_taken),
        cmocka_unit_test(a_picker_serves_rows_of_any_size_one_after_another),
        cmocka_unit_test(biases_are_added_and_a_ban_is_never_drawn),
        cmocka_unit_test(the_likeliest_are_those_that_sorting_puts_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
