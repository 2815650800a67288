/*
 * grade_summary.c - each figure in a pass of its own over the notes: they are few, and cheap beside grading.
 */
#include "grade/grade_summary.h"
#include "base/size.h"
#include "grade/grader_internal.h"

#include <math.h>
#include <stdlib.h>

#define SAME 1e-9 /* of the larger */
#define ONE_SIDED 0.95
#define WANTED_BINS 12

static const double unknown = (double)NAN;

struct summing {
    const struct grade_notes *notes;
    struct arena *a;
    struct grade_summary *out;
    double *sorted;          /* [n * n_repeats] scratch */
    double *x;               /* [n_rows] scratch */
    double *row_n, *row_sum; /* [n_rows] answers and rewards of a row, weighed */
};

static size_t all_of(const struct grade_notes *notes)
{
    return notes->n * notes->n_repeats;
}

static double weight(const struct grade_notes *notes, size_t grading)
{
    return (double)notes->answers[grading / notes->n_repeats].count;
}

/* ---- a score ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static bool same(double x, double y)
{
    return fabs(x - y) <= SAME * fmax(fabs(x), fabs(y));
}

/* The scores that are not failed, or all where is_failed is NULL; s->sorted holds them in order afterwards. */
static struct grade_spread spread_of(const struct summing *s, const double *score,
                                     const unsigned char *is_failed, double threshold)
{
    const size_t n = all_of(s->notes);
    struct grade_spread d = {.mean = unknown, .min = unknown, .max = unknown, .passed = unknown};
    double sum = 0, total = 0, passed = 0;
    size_t kept = 0;

    d.threshold = threshold;
    for (size_t i = 0; i < n; i++) {
        const double w = weight(s->notes, i);

        if (is_failed != NULL && is_failed[i])
            continue;
        s->sorted[kept++] = score[i];
        sum += w * score[i];
        passed += score[i] >= threshold ? w : 0;
        total += w;
    }
    if (kept == 0)
        return d;
    qsort(s->sorted, kept, sizeof *s->sorted, by_value);
    d.n = (size_t)total;
    d.mean = sum / total;
    d.min = s->sorted[0];
    d.max = s->sorted[kept - 1];
    d.n_distinct = 1;
    for (size_t i = 1; i < kept; i++)
        d.n_distinct += !same(s->sorted[i - 1], s->sorted[i]);
    if (!isnan(threshold))
        d.passed = passed / total;
    return d;
}

/* ---- the reward ---- */

static double share_at(const struct grade_notes *notes, double value)
{
    double at = 0, total = 0;

    for (size_t i = 0; i < all_of(notes); i++) {
        at += same(notes->reward[i], value) ? weight(notes, i) : 0;
        total += weight(notes, i);
    }
    return total > 0 ? at / total : unknown;
}

static void scale_of(const struct summing *s)
{
    struct grade_summary *out = s->out;
    const json_t *spec = grader_spec(s->notes->grader);
    const json_t *range = json_object_get(spec, "range");
    const json_t *low = json_array_get(range, 0), *high = json_array_get(range, 1);

    out->low = json_is_number(low) && json_is_number(high) ? json_number_value(low) : 0;
    out->high = json_is_number(low) && json_is_number(high) ? json_number_value(high) : 1;
    out->low = fmin(out->low, out->reward.min); /* NaN gives the other */
    out->high = fmax(out->high, out->reward.max);
    out->at_low = share_at(s->notes, out->low);
    out->at_high = share_at(s->notes, out->high);
}

/* As a mean of one number a row: mean + n_rows (row's sum - mean * row's answers) / all answers. */
static void mean_over_rows(const struct summing *s)
{
    const struct grade_notes *notes = s->notes;
    double sum = 0, total = 0;
    size_t n = 0, at = 0;

    for (size_t i = 0; i < all_of(notes); i++) {
        const size_t row = notes->answers[i / notes->n_repeats].row;

        s->row_n[row] += weight(notes, i);
        s->row_sum[row] += weight(notes, i) * notes->reward[i];
    }
    for (size_t row = 0; row < notes->n_rows; row++) {
        n += s->row_n[row] > 0;
        sum += s->row_sum[row];
        total += s->row_n[row];
    }
    s->out->n_rows = n;
    if (n == 0) {
        s->out->mean = (struct mean){.mean = unknown};
        return;
    }
    const double mean = sum / total;
    for (size_t row = 0; row < notes->n_rows; row++)
        if (s->row_n[row] > 0)
            s->x[at++] = mean + (double)n * (s->row_sum[row] - mean * s->row_n[row]) / total;
    s->out->mean = mean_of(n, s->x);
    s->out->mean.mean = mean; /* without the rounding of the way there */
}

/* ---- the histogram ---- */

static void exact_bins(struct grade_summary *out, const double *sorted, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !same(sorted[i - 1], sorted[i]))
            out->bin[out->n_bins++] = (struct grade_bin){.from = sorted[i], .to = sorted[i]};
}

/* A step of digit * 10^power, and its multiples with the fewest digits: 3 times 0.2 is 0.6, not 0.6000000000000001. */
struct step {
    double digit, power;
};

static double multiple(struct step s, double times)
{
    return s.power < 0 ? times * s.digit / pow(10, -s.power) : times * s.digit * pow(10, s.power);
}

/* The least of 1, 2, 5, 10, ... that is not below x > 0. */
static struct step round_step(double x)
{
    static const double digits[] = {1, 2, 5};
    const double power = floor(log10(x));

    for (size_t i = 0; i < COUNT_OF(digits); i++)
        if (multiple((struct step){digits[i], power}, 1) >= x * (1 - SAME))
            return (struct step){digits[i], power};
    return (struct step){1, power + 1};
}

static void wide_bins(struct grade_summary *out)
{
    const double min = out->reward.min, max = out->reward.max;
    const struct step step = round_step((max - min) / WANTED_BINS);
    const double first = floor(min / multiple(step, 1) + SAME);

    do {
        const double i = first + (double)out->n_bins;

        out->bin[out->n_bins++] =
            (struct grade_bin){.from = multiple(step, i), .to = multiple(step, i + 1)};
    } while (out->bin[out->n_bins - 1].to < max && !same(out->bin[out->n_bins - 1].to, max) &&
             out->n_bins < GRADE_MAX_BINS);
}

static struct grade_bin *bin_of(struct grade_summary *out, double x)
{
    size_t b = 0;

    while (b + 1 < out->n_bins && (x > out->bin[b + 1].from || same(x, out->bin[b + 1].from)))
        b++;
    return &out->bin[b];
}

/* s->sorted holds the rewards. */
static void histogram(const struct summing *s)
{
    struct grade_summary *out = s->out;
    const struct grade_notes *notes = s->notes;

    if (all_of(notes) == 0)
        return;
    if (out->reward.n_distinct <= GRADE_EXACT_VALUES)
        exact_bins(out, s->sorted, all_of(notes));
    else
        wide_bins(out);
    for (size_t i = 0; i < all_of(notes); i++)
        bin_of(out, notes->reward[i])->n += notes->answers[i / notes->n_repeats].count;
}

/* ---- rows ---- */

/* Rows whose answers all got the same in the k-th grading, among those with several. */
static size_t flat_rows(const struct summing *s, size_t k)
{
    const struct grade_notes *notes = s->notes;
    double *first = s->x; /* NaN: none yet */
    unsigned char *is_mixed = ARENA_ARRAY(s->a, unsigned char, notes->n_rows);
    size_t n = 0;

    for (size_t row = 0; row < notes->n_rows; row++)
        first[row] = unknown;
    for (size_t i = 0; i < notes->n; i++) {
        const size_t row = notes->answers[i].row;
        const double reward = notes->reward[i * notes->n_repeats + k];

        if (isnan(first[row]))
            first[row] = reward;
        else if (!same(first[row], reward))
            is_mixed[row] = 1;
    }
    for (size_t row = 0; row < notes->n_rows; row++)
        n += s->row_n[row] >= 2 * (double)notes->n_repeats && !is_mixed[row];
    return n;
}

static void rows(const struct summing *s)
{
    const struct grade_notes *notes = s->notes;
    struct grade_summary *out = s->out;
    size_t flat = 0;

    for (size_t row = 0; row < notes->n_rows; row++)
        out->n_rows_several += s->row_n[row] >= 2 * (double)notes->n_repeats;
    out->flat_share = unknown;
    if (out->n_rows_several == 0)
        return;
    for (size_t k = 0; k < notes->n_repeats; k++)
        flat += flat_rows(s, k);
    out->flat_share = (double)flat / (double)(out->n_rows_several * notes->n_repeats);
}

/* ---- parts ---- */

/* Pearson's, of the gradings in which the part gave a score. */
static double correlation(const struct grade_notes *notes, const struct grade_part_notes *p)
{
    double total = 0, mx = 0, my = 0, xx = 0, yy = 0, xy = 0;

    for (size_t i = 0; i < all_of(notes); i++) {
        const double w = p->is_failed[i] ? 0 : weight(notes, i);

        total += w;
        mx += w * p->score[i];
        my += w * notes->reward[i];
    }
    mx /= total;
    my /= total;
    for (size_t i = 0; i < all_of(notes); i++) {
        const double w = p->is_failed[i] ? 0 : weight(notes, i);
        const double x = p->score[i] - mx, y = notes->reward[i] - my;

        xx += w * x * x;
        yy += w * y * y;
        xy += w * x * y;
    }
    /* what rounding leaves of a constant is no deviation */
    if (!(sqrt(xx / total) > SAME * fabs(mx)) || !(sqrt(yy / total) > SAME * fabs(my)))
        return unknown;
    return fmax(-1, fmin(1, xy / sqrt(xx * yy)));
}

static void parts(const struct summing *s)
{
    const struct grade_notes *notes = s->notes;
    struct grade_summary *out = s->out;

    out->n_parts = notes->n_parts;
    out->part = ARENA_ARRAY(s->a, struct grade_part_summary, notes->n_parts);
    for (size_t p = 0; p < notes->n_parts; p++) {
        const struct grade_part_notes *from = &notes->part[p];
        struct grade_part_summary *to = &out->part[p];

        to->name = grader_name(notes->grader, p);
        to->type = grader_type(notes->grader, p);
        to->is_shadow = grader_is_shadow(notes->grader, p);
        to->score = spread_of(s, from->score, from->is_failed,
                              spec_pass_threshold(notes->grader->parts[p].spec));
        to->n_failed = out->n_gradings - to->score.n;
        to->seconds = from->seconds / (double)size_max(1, all_of(notes));
        to->correlation = correlation(notes, from);
    }
}

/* ---- single answers ---- */

/* Whether one of two answers can stand for both: of a row where there are rows enough, else the same text. */
static bool stands_for(const struct summing *s, size_t i, size_t j)
{
    const struct grade_answer *a = s->notes->answers;

    return a[i].row == a[j].row && (s->out->n_rows >= GRADE_SHOWN || str_eq(a[i].text, a[j].text));
}

/* The answers with the least sign * reward, earlier ones first. */
static size_t extremes(const struct summing *s, double sign, size_t shown[GRADE_SHOWN])
{
    const struct grade_notes *notes = s->notes;
    double key[GRADE_SHOWN];
    size_t n = 0;

    for (size_t i = 0; i < notes->n; i++) {
        const double reward = sign * grade_notes_reward(notes, i);
        size_t at = 0;

        if ((n == GRADE_SHOWN && reward >= key[n - 1]) || grade_notes_failed(notes, i))
            continue;
        while (at < n && !stands_for(s, shown[at], i))
            at++;
        if (at < n && key[at] <= reward)
            continue;
        if (at == n) /* the last one makes room, or there is some */
            at = n < GRADE_SHOWN ? n++ : n - 1;
        for (; at > 0 && key[at - 1] > reward; at--) {
            key[at] = key[at - 1];
            shown[at] = shown[at - 1];
        }
        key[at] = reward;
        shown[at] = i;
    }
    return n;
}

static void compare_recorded(const struct grade_notes *notes, struct grade_summary *out)
{
    double recorded = 0, now = 0, total = 0;

    for (size_t i = 0; i < notes->n; i++) {
        const struct grade_answer *a = &notes->answers[i];
        const double reward = grade_notes_reward(notes, i), w = (double)a->count;

        if (isnan(a->recorded))
            continue;
        out->n_recorded++;
        recorded += w * a->recorded;
        now += w * reward;
        total += w;
        if (same(reward, a->recorded))
            continue;
        out->n_differ++;
        if (out->n_differ_shown < GRADE_SHOWN)
            out->differ[out->n_differ_shown++] = i;
    }
    out->recorded_mean = recorded / total;
    out->recorded_now = now / total;
}

static int by_weight(const void *a, const void *b)
{
    const struct grade_cause *x = *(const struct grade_cause *const *)a,
                             *y = *(const struct grade_cause *const *)b;

    if (x->grader_failed != y->grader_failed)
        return x->grader_failed ? -1 : 1;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return (x > y) - (x < y); /* both of one array: the earlier first */
}

static void causes(const struct summing *s)
{
    const struct grade_notes *notes = s->notes;

    s->out->n_causes = notes->n_causes;
    s->out->cause = ARENA_ARRAY(s->a, const struct grade_cause *, notes->n_causes);
    for (size_t i = 0; i < notes->n_causes; i++)
        s->out->cause[i] = &notes->cause[i];
    qsort(s->out->cause, notes->n_causes, sizeof(struct grade_cause *), by_weight);
}

/* ---- noise ---- */

struct squares {
    double sum;
    size_t freedom;
};

static struct grade_reliability reliability(struct squares within, struct squares between,
                                            size_t n_repeats)
{
    struct grade_reliability r = {unknown, unknown, unknown};

    if (within.freedom == 0)
        return r;
    const double noise = within.sum / (double)within.freedom;
    r.noise = sqrt(noise);
    if (between.freedom == 0)
        return r;
    const double k = (double)n_repeats;
    const double signal = fmax(0, (k * between.sum / (double)between.freedom - noise) / k);
    r.signal = sqrt(signal);
    r.reliability = noise + signal > 0 ? signal / (noise + signal) : unknown;
    return r;
}

/* Answers count once each: row_n and row_sum are made anew. several: only rows with two answers or more. */
static struct grade_reliability reliability_of(const struct summing *s, bool in_rows)
{
    const struct grade_notes *notes = s->notes;
    struct squares within = {0}, between = {0};

    memset(s->row_n, 0, notes->n_rows * sizeof(double));
    memset(s->row_sum, 0, notes->n_rows * sizeof(double));
    for (size_t i = 0; i < notes->n; i++) {
        const size_t row = in_rows ? notes->answers[i].row : 0;

        s->row_n[row]++;
        s->row_sum[row] += grade_notes_reward(notes, i);
    }
    for (size_t i = 0; i < notes->n; i++) {
        const size_t row = in_rows ? notes->answers[i].row : 0;
        const double mean = grade_notes_reward(notes, i),
                     apart = mean - s->row_sum[row] / s->row_n[row];

        if (s->row_n[row] < 2 && in_rows)
            continue;
        for (size_t k = 0; k < notes->n_repeats; k++) {
            const double d = notes->reward[i * notes->n_repeats + k] - mean;

            within.sum += d * d;
        }
        within.freedom += notes->n_repeats - 1;
        between.sum += apart * apart;
        between.freedom++;
    }
    for (size_t row = 0; row < notes->n_rows; row++) /* each row has a mean of its own */
        between.freedom -= s->row_n[row] >= (in_rows ? 2 : 1);
    return reliability(within, between, notes->n_repeats);
}

size_t grade_gradings_for(double reliability_of_one, double wanted)
{
    const double r = reliability_of_one;

    if (!(r > 0))
        return 0;
    if (r >= wanted)
        return 1;
    return (size_t)ceil(wanted * (1 - r) / (r * (1 - wanted)) - SAME);
}

/* ---- all of it ---- */

static unsigned warnings_of(const struct grade_summary *out)
{
    const struct grade_reliability *r =
        isnan(out->in_rows.reliability) ? &out->overall : &out->in_rows;
    unsigned w = 0;

    if (out->n_gradings > 1 && out->reward.n_distinct == 1)
        w |= GRADE_WARN_ALL_EQUAL;
    if (out->reward.n_distinct == 2 && out->reward.min == 0 && out->reward.max == 1 &&
        fmax(out->at_low, out->at_high) > ONE_SIDED)
        w |= GRADE_WARN_ONE_SIDED;
    if (out->n_rows_several > 1 && out->flat_share > 0.5)
        w |= GRADE_WARN_FLAT_ROWS;
    if (out->n_grader_failed > 0)
        w |= GRADE_WARN_GRADER_FAILED;
    if (r->reliability <= 0.5)
        w |= GRADE_WARN_NOISE;
    return w;
}

const char *grade_warning_name(size_t bit)
{
    static const char *const names[] = {"all_equal", "one_sided", "flat_rows", "grader_failed",
                                        "noise"};

    return bit < COUNT_OF(names) ? names[bit] : NULL;
}

static bool take_room(struct summing *s, struct error *err)
{
    const size_t n_rows = size_max(1, s->notes->n_rows);

    return (s->sorted = arena_try(s->a, all_of(s->notes), sizeof(double), "a summary", err)) !=
               NULL &&
           (s->x = arena_try(s->a, n_rows, sizeof(double), "a summary", err)) != NULL &&
           (s->row_n = arena_try(s->a, n_rows, sizeof(double), "a summary", err)) != NULL &&
           (s->row_sum = arena_try(s->a, n_rows, sizeof(double), "a summary", err)) != NULL;
}

bool grade_summarize(const struct grade_notes *notes, struct arena *a, struct grade_summary *out,
                     struct error *err)
{
    struct grade_summary sum = {.n_lines = notes->n,
                                .n_repeats = notes->n_repeats,
                                .n_calls = all_of(notes),
                                .n_failed = notes->n_failed,
                                .n_grader_failed = notes->n_grader_failed};
    struct summing s = {.notes = notes, .a = a, .out = &sum};

    if (!take_room(&s, err))
        return false;
    for (size_t i = 0; i < notes->n; i++)
        sum.n_answers += notes->answers[i].count;
    sum.n_gradings = sum.n_answers * notes->n_repeats;
    parts(&s);
    sum.reward = spread_of(&s, notes->reward, NULL, grader_pass_threshold(notes->grader));
    histogram(&s);
    scale_of(&s);
    mean_over_rows(&s);
    rows(&s);
    causes(&s);
    sum.n_worst = extremes(&s, 1, sum.worst);
    sum.n_best = extremes(&s, -1, sum.best);
    compare_recorded(notes, &sum);
    sum.overall = sum.in_rows = (struct grade_reliability){unknown, unknown, unknown};
    if (notes->n_repeats > 1) {
        sum.overall = reliability_of(&s, false);
        sum.in_rows = reliability_of(&s, true);
    }
    sum.warnings = warnings_of(&sum);
    *out = sum;
    return true;
}
