/*
 * models.h - models of any shape, made in memory from random numbers.
 */
#ifndef HONE_TESTS_MODELS_H
#define HONE_TESTS_MODELS_H

#include "model/model.h"
#include "support/numbers.h"

/* Values about as large as size; cols a multiple of the format's block. Lives in the arena. */
struct matrix_view random_matrix(struct dice *d, enum dtype t, size_t rows, size_t cols, float size,
                                 struct arena *a);

/* The scales of a block whose other bytes are any, so that its values are about as large as size. */
void random_scales(struct dice *d, enum dtype t, float size, unsigned char *block);

struct model_formats {
    enum dtype proj[N_PROJECTIONS], embed, head; /* head: unless the config ties it */
};
/* Rows that go through it stay about as large as they are. Close it as one that was opened. */
struct model *random_model(struct dice *d, const struct model_config *c,
                           const struct model_formats *f, enum precision p);
#endif
