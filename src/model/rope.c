/*
 * rope.c - frequencies of rotary positions, in double.
 */
#include "model/rope.h"

#include <math.h>

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* Llama 3.1: by how often a pair turns within the original context. */
static double llama3(const struct rope_spec *r, double f)
{
    const double turns = r->original * f / (2 * M_PI);

    if (turns > r->high)
        return f;
    if (turns < r->low)
        return f / r->factor;
    const double smooth = (turns - r->low) / (r->high - r->low);
    return (1 - smooth) * f / r->factor + smooth * f;
}

/* The pair, as a real number, that turns so often within the original context. */
static double pair_of(const struct rope_spec *r, size_t width, double turns)
{
    return (double)width * log(r->original / (turns * 2 * M_PI)) / (2 * log(r->base));
}

static double yarn(const struct rope_spec *r, size_t width, size_t i, double f)
{
    double first = pair_of(r, width, r->high), last = pair_of(r, width, r->low);

    if (r->whole_pairs) {
        first = floor(first);
        last = ceil(last);
    }
    first = fmax(first, 0);
    last = fmin(last, (double)width - 1);
    if (first == last)
        last += 0.001;
    const double ramp = clamp(((double)i - first) / (last - first), 0, 1);
    return f / r->factor * ramp + f * (1 - ramp);
}

double rope_frequencies(const struct rope_spec *r, size_t width, size_t max_positions, double *f)
{
    const float *factors = (double)max_positions > r->original ? r->long_factor : r->short_factor;

    for (size_t i = 0; i < width / 2; i++) {
        f[i] = pow(r->base, -2.0 * (double)i / (double)width);
        switch (r->scaling) {
        case ROPE_PLAIN:
            break;
        case ROPE_LINEAR:
            f[i] /= r->factor;
            break;
        case ROPE_LLAMA3:
            f[i] = llama3(r, f[i]);
            break;
        case ROPE_YARN:
            f[i] = yarn(r, width, i, f[i]);
            break;
        case ROPE_FACTORS:
            f[i] /= (double)factors[i];
            break;
        }
    }
    if (r->attention_factor > 0)
        return r->attention_factor;
    return r->scaling == ROPE_YARN && r->factor > 1 ? 0.1 * log(r->factor) + 1 : 1;
}
