/*
 * preference.c - in double, a pair at a time.
 */
#include "train/preference.h"

#include <math.h>

void preference_weigh(double beta, const double *reference, const struct answer_logp *answers,
                      size_t n, float *coefficients)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        const double z =
            beta * ((answers[i].logp - reference[i]) - (answers[i + 1].logp - reference[i + 1]));
        const float c = (float)(beta / (1 + exp(z)));

        coefficients[i] = c;
        coefficients[i + 1] = -c;
    }
}

/* -ln sigmoid(z), without overflow */
static double loss_of(double z)
{
    return z > 0 ? log1p(exp(-z)) : log1p(exp(z)) - z;
}

struct fit_measure preference_measure(double beta, const double *reference,
                                      const struct answer_logp *answers, size_t n)
{
    const double rows = (double)(n / 2);
    struct fit_measure m = {.n_rows = n / 2};
    size_t top = 0, right = 0;

    for (size_t i = 0; i + 1 < n; i += 2) {
        const double chosen = beta * (answers[i].logp - reference[i]);
        const double rejected = beta * (answers[i + 1].logp - reference[i + 1]);

        m.loss += loss_of(chosen - rejected);
        m.reward_chosen += chosen;
        m.reward_rejected += rejected;
        right += chosen > rejected;
        m.n_tokens += answers[i].n;
        top += answers[i].n_top;
    }
    m.loss /= rows;
    m.reward_chosen /= rows;
    m.reward_rejected /= rows;
    m.reward_margin = m.reward_chosen - m.reward_rejected;
    m.reward_accuracy = (double)right / rows;
    m.token_accuracy = (double)top / (double)m.n_tokens;
    return m;
}
