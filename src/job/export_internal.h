/*
 * export_internal.h - the parts of export.c.
 */
#ifndef HONE_JOB_EXPORT_INTERNAL_H
#define HONE_JOB_EXPORT_INTERNAL_H

#include "job/export.h"

/* The file or folder in dir that a model or an adapter is opened by. */
const char *export_opened_by(enum export_format f, const char *dir, struct arena *a);
/* README.md in dir, where the other files are already. */
MUST_CHECK bool export_card(const struct export_request *r, const struct export_options *o,
                            const char *dir, struct arena *a, struct error *err);
/* dir: where the files are; they are compared with r->ref's. */
MUST_CHECK bool export_verify(const struct export_request *r, const struct export_options *o,
                              const char *dir, struct arena *a, struct export_check *out,
                              struct error *err);
#endif
