/*
 * advantage.c - leave-one-out baselines and their scale, in double.
 */
#include "train/advantage.h"

#include <math.h>

struct advantage_options advantage_defaults(void)
{
    return (struct advantage_options){
        .scale = ADVANTAGE_SCALE_MEAN, .floor = 0.05f, .limit = 5, .spread = 1e-6f};
}

bool advantage_group_is_kept(const struct advantage_options *opt, size_t n, const float *reward)
{
    float least = reward[0], most = reward[0];

    for (size_t i = 1; i < n; i++) {
        least = reward[i] < least ? reward[i] : least;
        most = reward[i] > most ? reward[i] : most;
    }
    return most - least > opt->spread;
}

static double mean_of(size_t n, const float *x)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum / (double)n;
}

static double least_of(size_t n, const float *x)
{
    double least = (double)x[0];

    for (size_t i = 1; i < n; i++)
        least = fmin(least, (double)x[i]);
    return least;
}

static double centred(size_t g, double mean, float reward)
{
    return (double)g / (double)(g - 1) * ((double)reward - mean);
}

static double deviation(size_t n_groups, size_t g, const float *reward, const bool *kept)
{
    double squares = 0;
    size_t n = 0;

    for (size_t i = 0; i < n_groups; i++) {
        if (!kept[i])
            continue;
        const double mean = mean_of(g, reward + i * g);
        for (size_t j = 0; j < g; j++) {
            const double d = centred(g, mean, reward[i * g + j]);

            squares += d * d; /* each group's d have mean 0 */
        }
        n += g;
    }
    return n > 0 ? sqrt(squares / (double)n) : 0;
}

bool advantage_of_groups(const struct advantage_options *opt, size_t n_groups, size_t g,
                         const float *reward, const bool *kept, float *advantage, struct error *err)
{
    if (g < 2)
        return fail(err, ERR_INVALID,
                    "a group of %zu has nothing to be compared with, 2 answers or more are needed",
                    g);
    for (size_t i = 0; i < n_groups * g; i++)
        if (!isfinite(reward[i]))
            return fail(err, ERR_INVALID, "reward %zu of group %zu is not a finite number", i % g,
                        i / g);
    const double batch = deviation(n_groups, g, reward, kept);
    for (size_t i = 0; i < n_groups; i++) {
        const double mean = mean_of(g, reward + i * g);
        const bool one = true;
        const double limit = opt->scale == ADVANTAGE_SCALE_MEAN ? HUGE_VAL : (double)opt->limit;
        double s = opt->scale == ADVANTAGE_SCALE_BATCH   ? batch
                   : opt->scale == ADVANTAGE_SCALE_GROUP ? deviation(1, g, reward + i * g, &one)
                   : opt->scale == ADVANTAGE_SCALE_MEAN
                       ? mean - fmin(0, least_of(g, reward + i * g))
                       : 1;

        if (opt->scale != ADVANTAGE_SCALE_MEAN)
            s = fmax(s, (double)opt->floor);
        for (size_t j = 0; j < g; j++) {
            const double a = kept[i] ? centred(g, mean, reward[i * g + j]) / s : 0;

            advantage[i * g + j] = (float)fmax(-limit, fmin(limit, a));
        }
    }
    return true;
}
