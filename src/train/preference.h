/*
 * preference.h - the loss of direct preference optimization: of two answers the better one becomes likelier.
 *
 *     z = beta ((ln pi(w) - ln ref(w)) - (ln pi(l) - ln ref(l)))        w the better, l the worse answer to a prompt
 *     L = -(1/B) sum over rows of ln sigmoid(z)
 *
 * DPO: arXiv:2305.18290, equation 7. ref is the model that training began with, and ln of an answer the sum over its tokens.
 * The derivative by ln pi(w) is -beta sigmoid(-z) / B, by ln pi(l) the same with the other sign: coefficients of loss.h.
 * Answers lie in pairs: the better one, the worse one.
 */
#ifndef HONE_TRAIN_PREFERENCE_H
#define HONE_TRAIN_PREFERENCE_H

#include "train/progress.h"
#include "train/tree.h"

/* coefficients[n] of n answers, n even; reference[n]: their ln ref. */
void preference_weigh(double beta, const double *reference, const struct answer_logp *answers,
                      size_t n, float *coefficients);
/* Means over n / 2 rows. Token accuracy is that of the better answers. */
struct fit_measure preference_measure(double beta, const double *reference,
                                      const struct answer_logp *answers, size_t n);
#endif
