/*
 * shares.c - where a batch is cut.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "model/shares_internal.h"

#define MOST_UNEVEN 1.15 /* the longest share over the mean: division by outputs loses as much */

/* Whether a span's rows see those of another. */
static bool any_sees_another(const struct batch *b)
{
    bool sees = false;

    for (size_t i = 0; i < b->n_spans; i++)
        b->spans[i].seg->grows = true;
    for (size_t i = 0; i < b->n_spans && !sees; i++)
        for (const struct kv_segment *s = b->spans[i].seg->parent; s != NULL && !sees;
             s = s->parent)
            sees = s->grows;
    for (size_t i = 0; i < b->n_spans; i++)
        b->spans[i].seg->grows = false;
    return sees;
}

/* Multiplications of a row at a position, those of floats counted twice where most are of bytes. */
static double cost_of(const struct model *m, uint32_t pos)
{
    const struct model_config *c = &m->config;
    const size_t hd = c->n_heads * c->head_width, kd = c->n_kv_heads * c->head_width;
    const double matrices =
        (double)c->width * (double)(2 * hd + 2 * kd + 3 * config_inner_width(c));

    return matrices + (m->precision == PRECISION_INT8 ? 4 : 2) * (double)hd * (pos + 1.0);
}

/* costs[i]: of the rows up to and with span i. */
static double *costs_of(const struct model *m, const struct batch *b, const uint32_t *pos,
                        struct arena *a)
{
    double *costs = ARENA_ARRAY(a, double, b->n_spans), sum = 0;

    for (size_t i = 0; i < b->n_spans; i++) {
        for (size_t k = 0; k < b->spans[i].n_rows; k++)
            sum += cost_of(m, *pos++);
        costs[i] = sum;
    }
    return costs;
}

/* The runs of rows row to row + b.m of the whole batch. */
static void take_runs(struct share *s, const struct adapted *runs, size_t n_runs, struct arena *a)
{
    struct adapted *own = ARENA_ARRAY(a, struct adapted, n_runs);
    size_t begin = 0;

    for (size_t i = 0; i < n_runs; begin += runs[i++].n_rows) {
        const size_t from = size_max(begin, s->row),
                     to = size_min(begin + runs[i].n_rows, s->row + s->b.m);

        if (from < to)
            own[s->n_runs++] = (struct adapted){.adapter = runs[i].adapter, .n_rows = to - from};
    }
    s->runs = own;
}

/* Cuts b into n shares that cost as near to the same as whole spans allow; false: not near enough, or one has too few rows. */
static bool cut(const struct batch *b, const double *costs, struct share *shares, size_t n)
{
    const double all = costs[b->n_spans - 1], mean = all / (double)n;
    size_t span = 0, row = 0;

    for (size_t i = 0; i < n; i++) {
        const double before = span > 0 ? costs[span - 1] : 0, end = mean * (double)(i + 1);
        struct share *s = &shares[i];

        *s = (struct share){.row = row, .b = {.tokens = b->tokens + row, .spans = b->spans + span}};
        while (span < b->n_spans &&
               (i + 1 == n || (costs[span] + (span > 0 ? costs[span - 1] : 0)) / 2 < end)) {
            s->b.m += b->spans[span++].n_rows;
            s->b.n_spans++;
        }
        row += s->b.m;
        if (s->b.m < SHARE_LEAST || s->b.m > SHARE_MOST ||
            costs[span - 1] - before > MOST_UNEVEN * mean)
            return false;
    }
    return true;
}

struct share *shares_of(const struct model *m, const struct batch *b, const struct adapted *runs,
                        size_t n_runs, const uint32_t *pos, struct arena *a, size_t *n)
{
    const size_t threads = (size_t)parallel_threads();
    struct share *shares = ARENA_ARRAY(a, struct share, threads);

    if (threads > 1 && b->m >= threads * SHARE_LEAST && b->m <= threads * SHARE_MOST &&
        !any_sees_another(b) && cut(b, costs_of(m, b, pos, a), shares, threads)) {
        for (size_t i = 0; i < threads; i++)
            take_runs(&shares[i], runs, n_runs, a);
        *n = threads;
        return shares;
    }
    shares[0] = (struct share){.b = *b, .runs = runs, .n_runs = n_runs};
    *n = 1;
    return shares;
}

size_t shares_other_rows(size_t rows)
{
    const size_t threads = (size_t)parallel_threads();

    return size_min(rows, threads * SHARE_MOST) / threads * (threads - 1);
}
