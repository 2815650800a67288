/*
 * dataset_internal.h - what a row of a dataset must be.
 */
#ifndef HONE_TEXT_DATASET_INTERNAL_H
#define HONE_TEXT_DATASET_INTERNAL_H

#include "text/dataset.h"

/* Fills all of row but its item and line. item is changed where it says something in a deprecated form. */
MUST_CHECK bool dataset_check_row(json_t *item, enum dataset_format format, const char *what,
                                  struct dataset_row *row, struct error *err);
/* Whose format a row has by its keys; false, and *out as it was: it is not told. */
bool dataset_recognize(const json_t *item, enum dataset_format *out);
#endif
