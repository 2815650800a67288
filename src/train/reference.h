/*
 * reference.h - what the model that training began with makes of each answer: computed once, kept in the run.
 *
 *     RUN/reference.json   {"sha256": of rows and model, "train": [ln ref, ...], "valid": [...]}
 *
 * The numbers read back bit for bit, so that a run goes on with what it began with.
 */
#ifndef HONE_TRAIN_REFERENCE_H
#define HONE_TRAIN_REFERENCE_H

#include "train/fit_rows.h"
#include "train/gradient.h"

struct reference {
    double *train, *valid; /* ln ref of all answers of all rows; valid NULL: no rows */
};
/*
 * x: the model as training begins with it. resume: what the run kept is taken, where it is there. Fails with ERR_INVALID
 * where that is of other rows or another model.
 */
MUST_CHECK bool reference_get(const struct gradient *x, const char *run_dir,
                              const struct fit_rows *train, const struct fit_rows *valid,
                              const char *model_sha256, bool resume, struct arena *a,
                              struct reference *out, struct error *err);
#endif
