/*
 * eval_schema.h - whether a row of an eval's data is what the eval's item_schema says.
 *
 * Checked: type (one or a list), required, properties, additionalProperties (false, or a schema), items, enum, const. Other keywords of JSON
 * Schema are accepted and not looked at.
 */
#ifndef HONE_SERVER_EVAL_SCHEMA_H
#define HONE_SERVER_EVAL_SCHEMA_H

#include "text/json.h"

/* The schema itself: an object whose checked keywords have the form that they must have. where: for err->param. */
MUST_CHECK bool eval_schema_is_sane(const json_t *schema, const char *where, struct error *err);
/* what: the value's name in messages ("train.jsonl, line 3: item"). ERR_INVALID naming the place in it. */
MUST_CHECK bool eval_schema_check(const json_t *schema, const json_t *value, const char *what,
                                  struct error *err);
#endif
