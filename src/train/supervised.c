/*
 * supervised.c - sums over answers, divided once.
 */
#include "train/supervised.h"

struct fit_measure supervised_measure(const struct answer_logp *answers, size_t n, size_t n_rows)
{
    struct fit_measure m = {.n_rows = n_rows};
    double logp = 0;
    size_t top = 0;

    for (size_t i = 0; i < n; i++) {
        logp += answers[i].logp;
        m.n_tokens += answers[i].n;
        top += answers[i].n_top;
    }
    m.loss = -logp / (double)m.n_tokens;
    m.token_accuracy = (double)top / (double)m.n_tokens;
    return m;
}
