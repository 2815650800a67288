/*
 * draft_choice.c - which guesses pay: how likely they are right, against what a row more costs.
 */
#include "base/size.h"
#include "sample/draft.h"

#include <assert.h>
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

/* ---- how long ---- */

#define PACE_STALE 2048 /* passes after which a size's time is forgotten */

/* Sizes of passes: 1 to 16 one by one, then four to an octave. */
static size_t size_index(size_t m)
{
    size_t i = 15, step = 4;

    if (m <= 16)
        return m - 1;
    for (size_t at = 16; at < m; at += step) {
        if (at == 8 * step)
            step *= 2;
        i++;
    }
    return size_min(i, PACE_SIZES - 1);
}

static size_t rows_at(size_t index)
{
    size_t at = 16, step = 4;

    if (index < 16)
        return index + 1;
    for (size_t i = 15; i < index; i++) {
        if (at == 8 * step)
            step *= 2;
        at += step;
    }
    return at;
}

static bool is_known(const struct pace *p, size_t i)
{
    return p->seconds[i] > 0 && p->n_passes - p->seen[i] < PACE_STALE;
}

void pace_add(struct pace *p, size_t m, double seconds)
{
    const size_t i = size_index(m);
    /* one that was held up by others on the machine tells little */
    const double was = p->seconds[i], now = seconds > 2 * was   ? 2 * was
                                            : seconds < was / 2 ? was / 2
                                                                : seconds;

    p->n_passes++;
    p->seconds[i] = is_known(p, i) ? was + (now - was) / 8 : seconds;
    p->seen[i] = p->n_passes;
}

/*
 * Between two sizes that are known on a line; beyond them half of it grows with the rows. A pass is no slower than
 * a larger one, whatever a single measurement said.
 */
double pace_of(const struct pace *p, size_t m)
{
    const size_t at = size_index(m);
    double below = 0, above = 0, least = 0;
    size_t rows_below = 0, rows_above = 0;

    for (size_t i = 0; i < PACE_SIZES; i++) {
        if (!is_known(p, i))
            continue;
        if (i <= at) {
            below = p->seconds[i];
            rows_below = rows_at(i);
        }
        if (i >= at && rows_above == 0) {
            above = p->seconds[i];
            rows_above = rows_at(i);
        }
        if (i >= at && (least == 0 || p->seconds[i] < least))
            least = p->seconds[i];
    }
    double t = 0;
    if (rows_below > 0 && rows_above > rows_below)
        t = below + (above - below) * ((double)size_max(m, rows_below) - (double)rows_below) /
                        (double)(rows_above - rows_below);
    else if (rows_below > 0)
        t = below * (0.5 + 0.5 * (double)size_max(m, rows_below) / (double)rows_below);
    else if (rows_above > 0)
        t = above * (0.5 + 0.5 * (double)m / (double)rows_above);
    return least > 0 && least < t ? least : t;
}

/* ---- which pay ---- */

struct gain { /* how likely a guess is right, those before it included */
    float p;
    uint32_t offer, at;
};

static int likelier_first(const void *a, const void *b)
{
    const struct gain *x = a, *y = b;

    if (x->p != y->p)
        return x->p > y->p ? -1 : 1;
    if (x->offer != y->offer)
        return x->offer < y->offer ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

void draft_choose(const struct draft_odds *o, const struct pace *p, size_t m, size_t most,
                  struct draft_offer *offers, size_t n_offers, struct arena *a)
{
    const double plain = pace_of(p, m);
    size_t n = 0, best = 0;

    for (size_t i = 0; i < n_offers; i++)
        n += offers[i].n;
    struct gain *gains = ARENA_ARRAY(a, struct gain, n);
    n = 0;
    for (size_t i = 0; i < n_offers; i++) {
        float q = 1;

        for (size_t k = 0; k < offers[i].n; k++) {
            q *= draft_odds_of(o, offers[i].several, offers[i].guesses[k].kind);
            gains[n++] = (struct gain){.p = q, .offer = (uint32_t)i, .at = (uint32_t)k};
        }
        offers[i].n = 0;
    }
    qsort(gains, n, sizeof *gains, likelier_first);
    double used = (double)m, rate = plain > 0 ? used / plain : 0;
    for (size_t k = 0; plain > 0 && k < size_min(n, most); k++) {
        used += (double)gains[k].p;
        const double with = used / pace_of(p, m + k + 1);

        if (with > rate) {
            rate = with;
            best = k + 1;
        }
    }
    for (size_t k = 0; k < best; k++) /* a guess is never likelier than the one before it */
        offers[gains[k].offer].n = size_max(offers[gains[k].offer].n, gains[k].at + 1);
}
