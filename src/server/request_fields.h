/*
 * request_fields.h - fields of a request that several routes share: their names, their ranges, where they go.
 *
 * Each is left as it was where the field is missing or null. Errors are ERR_INVALID with the field's name.
 */
#ifndef HONE_SERVER_REQUEST_FIELDS_H
#define HONE_SERVER_REQUEST_FIELDS_H

#include "sample/pick.h"
#include "text/json.h"

MUST_CHECK bool field_float(const json_t *body, const char *key, double least, double most,
                            float *out, struct error *err);
MUST_CHECK bool field_size(const json_t *body, const char *key, size_t least, size_t most,
                           size_t *out, struct error *err);
MUST_CHECK bool field_bool(const json_t *body, const char *key, bool *out, struct error *err);
/* temperature, top_p, top_k, min_p, frequency_penalty, presence_penalty, repetition_penalty */
MUST_CHECK bool field_pick(const json_t *body, struct pick_options *out, struct error *err);
/* logit_bias: {"token id": -100 .. 100}. The list lies in a. */
MUST_CHECK bool field_logit_bias(const json_t *body, struct arena *a, struct pick_options *out,
                                 struct error *err);
/* stop: a text or a list of at most max. Views of body. */
MUST_CHECK bool field_stop(const json_t *body, size_t max, struct str *stop, size_t *n,
                           struct error *err);
#endif
