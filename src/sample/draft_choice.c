/*
 * draft_choice.c - which guesses pay: how likely they are right, against what a row more costs.
 */
#include "base/size.h"
#include "sample/draft.h"

#include <math.h>
#include <stdlib.h>

/* ---- how likely ---- */

#define PRIOR_WEIGHT 4.0f
#define ODDS_MOST 256.0f /* tries that are remembered in full */

/* Until something was seen: what the text's own likelihood says, less where less agrees before it. */
static float prior_of(size_t kind)
{
    static const float likely[DRAFT_LIKELY] = {0.6f, 0.2f, 0.5f, 0.8f, 0.97f},
                       agree[DRAFT_CLASSES] = {1,    0.4f, 0.6f, 0.8f, 0.4f,
                                               0.6f, 0.8f, 0.4f, 0.6f, 0.8f};

    return kind == DRAFT_WRITTEN ? 1 : likely[kind % DRAFT_LIKELY] * agree[kind / DRAFT_LIKELY];
}

float draft_odds_of(const struct draft_odds *o, bool several, size_t kind)
{
    return (o->right[several][kind] + PRIOR_WEIGHT * prior_of(kind)) /
           (o->tried[several][kind] + PRIOR_WEIGHT);
}

void draft_odds_add(struct draft_odds *o, bool several, size_t kind, bool right)
{
    float *tried = &o->tried[several][kind], *was = &o->right[several][kind];

    if (*tried >= ODDS_MOST) {
        *tried /= 2;
        *was /= 2;
    }
    *tried += 1;
    *was += right;
}

/* What is given up is tried again after some thousand passes: the texts are others by then. */
void draft_odds_age(struct draft_odds *o)
{
    for (int several = 0; several < 2; several++) {
        for (size_t k = 0; k < DRAFT_KINDS; k++) {
            o->tried[several][k] *= 1 - 1.0f / 2048;
            o->right[several][k] *= 1 - 1.0f / 2048;
        }
    }
}

/* ---- what a pass costs ---- */

/*
 * Measured with a model of 135 million weights on two cores: 1 row 38 ms, 16 rows 66, 64 rows 165 in F32; 14, 27 and 90 with
 * rounded rows. Both are lines, to a few percent.
 */
#define MORE_FIRST 12.0
#define MORE_LEAST 1.0
#define MORE_MOST 100.0

void pace_begin(struct pace *p)
{
    *p = (struct pace){.log_more = log(MORE_FIRST)};
}

double pace_of(const struct pace *p, size_t m)
{
    return exp(p->log_more) + (double)m;
}

void pace_break(struct pace *p)
{
    p->last_seconds = 0;
}

/* A small step down the squared error of the two times' ratio, the larger the more their sizes differ. */
void pace_add(struct pace *p, size_t m, double seconds)
{
    const double was = p->last_seconds;
    const size_t rows = p->last_rows;

    p->last_rows = m;
    p->last_seconds = seconds;
    if (!(was > 0 && seconds > 0) || m == rows)
        return;
    const double more = exp(p->log_more), now = more + (double)m, before = more + (double)rows,
                 ratio = log(seconds / was), slope = more / now - more / before,
                 off = ratio - log(now / before);
    if (fabs(ratio) > 1.5) /* one of them was held up */
        return;
    p->log_more += 0.1 * fmax(-0.5, fmin(0.5, off)) * slope / (slope * slope + 0.05);
    p->log_more = fmax(log(MORE_LEAST), fmin(log(MORE_MOST), p->log_more));
}

/* ---- which pay ---- */

float draft_worth_of_last(size_t m, size_t left, double ends)
{
    const double reach = pow(1 - ends, (double)left); /* its limit */

    /* all end before their limits, and each may be the last; or it alone goes on until then */
    return (float)(pow(1 - reach, (double)m) / (double)m + reach * pow(1 - reach, (double)(m - 1)));
}

struct gain { /* of a guess: how likely it and those before it are right, what that is worth */
    double p, worth, score;
    uint32_t offer, at;
};

/* More for a wrong row first. */
static int better_first(const void *a, const void *b)
{
    const struct gain *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->offer != y->offer)
        return x->offer < y->offer ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

void draft_choose(const struct draft_odds *o, const struct pace *p, size_t most,
                  struct draft_offer *offers, size_t n_offers, struct arena *a)
{
    size_t n = 0, best = 0;

    for (size_t i = 0; i < n_offers; i++)
        n += offers[i].n;
    struct gain *gains = ARENA_ARRAY(a, struct gain, n);
    n = 0;
    for (size_t i = 0; i < n_offers; i++) {
        const double worth = (double)offers[i].worth;
        double q = 1;

        for (size_t k = 0; k < offers[i].n; k++) {
            q *= (double)draft_odds_of(o, offers[i].several, offers[i].guesses[k].kind);
            gains[n++] = (struct gain){.p = q,
                                       .worth = q * worth,
                                       .score = q * worth / (1 - q + 1e-9),
                                       .offer = (uint32_t)i,
                                       .at = (uint32_t)k};
        }
        offers[i].n = 0;
    }
    qsort(gains, n, sizeof *gains, better_first);
    double cost = pace_of(p, 0), passes = 1, least = cost;
    for (size_t k = 0; k < size_min(n, most); k++) {
        cost += 1 - gains[k].p;
        passes += gains[k].worth;
        if (cost / passes < least) {
            least = cost / passes;
            best = k + 1;
        }
    }
    for (size_t k = 0; k < best; k++) /* a guess is never worth more than the one before it */
        offers[gains[k].offer].n = size_max(offers[gains[k].offer].n, gains[k].at + 1);
}
