/*
 * supervised.h - the loss of supervised fine-tuning: what the assistant said in the file becomes likelier.
 *
 *     L = -(1/N) sum over learned tokens of ln pi(token)        N: those of the whole batch
 *
 * As a tree of answers whose coefficients are 1 its gradient is that of loss.h. A long row weighs more than a short one, as
 * in the API; what is masked weighs nothing.
 */
#ifndef HONE_TRAIN_SUPERVISED_H
#define HONE_TRAIN_SUPERVISED_H

#include "train/progress.h"
#include "train/tree.h"

/* The mean over the tokens of n answers, of n_rows rows. */
struct fit_measure supervised_measure(const struct answer_logp *answers, size_t n, size_t n_rows);
#endif
