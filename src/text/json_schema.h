/*
 * json_schema.h - a JSON schema becomes a grammar of texts that are valid by it.
 *
 * Offered of JSON Schema (draft 2020-12), at any depth:
 *
 *     type             one or a list of object, array, string, number, integer, boolean, null; where it is missing, what
 *                      the other keywords speak of, or any value
 *     object           properties, in their order; required; those that are not may be left out; minProperties, maxProperties.
 *                      Others than the declared are not written, whatever additionalProperties says; where none are declared, it
 *                      is an object of any keys with values of additionalProperties ({} or false: no key) or, where they match,
 *                      of patternProperties, up to 6 (minProperties is then 0 or 1). propertyNames: a pattern, a format, lengths;
 *                      of an enum its names are declared, and so is a key that required alone names
 *     array            items, prefixItems, minItems, maxItems; uniqueItems where items is an enum of up to 32 scalars
 *     string           minLength, maxLength, in code points; pattern, see string_pattern.h; format, see json_formats.h
 *     number, integer  minimum, maximum, exclusiveMinimum, exclusiveMaximum, of at most 16 digits before the point and 20 behind;
 *                      multipleOf, as decimal numbers say: 0.07 is a multiple of 0.01
 *     enum, const      of any values; what stands beside them chooses among these. Arrays and objects are written as they are
 *                      given, keys in this order
 *     anyOf, allOf, $ref within the document ("#", "#/$defs/name", any JSON pointer), recursion, and what stands beside them:
 *                      schemas that hold together are merged (json_merge.c)
 *     oneOf            where no value fits two of its schemas, shown by their types, constants, bounds, patterns, or a property
 *                      that both require and that differs so (json_disjoint.c): then it is the same as anyOf. Where its schemas
 *                      do nothing but require names, an object has those of one and lacks a name of each other
 *
 * title, description, default, examples, $comment, $schema, $id (at the top alone), $defs, definitions, deprecated, readOnly,
 * writeOnly and words that are no keywords say nothing about a value, and so do formats that JSON Schema has not. Every other
 * keyword (not, contains, if, ...) or format is refused by name and place, and so is what looks like a slip of one ("patern"): an
 * answer must not look checked where it is not.
 *
 * Not every text that is valid by the schema is accepted, but every accepted text is valid:
 *
 *   - white space: one blank at most behind each ':' and ',' and none elsewhere; that is {"a":1} and {"a": 1, "b": 2}, what
 *     models write on one line, and it cannot go on for ever
 *   - numbers have at most 16 digits before the point, 20 behind it and two in the exponent (none where there is a bound), and
 *     15 digits beside a bound that is excluded (who reads a longer one as a double may read the bound); integers are written
 *     without point and exponent, and zero with a minus only where less may come
 *   - beside multipleOf a number that may have a point has 15 digits at most, those of multipleOf's fraction included
 *   - an object has the declared keys in their order, and none beside them
 *   - keys and the texts of enum and const are written with the fewest escapes: "é", not "\u00e9"
 *   - at most GRAMMAR_DEPTH - 1 values stand in each other
 *
 * What a grammar cannot see: objects of any keys may repeat a key.
 */
#ifndef HONE_TEXT_JSON_SCHEMA_H
#define HONE_TEXT_JSON_SCHEMA_H

#include "text/grammar.h"
#include "text/json.h"

/*
 * what names the schema in errors, with the place behind it: "response_format.json_schema.schema/properties/age". Close
 * *out with grammar_close; schema is not needed any more.
 *
 * Fails with ERR_UNSUPPORTED for a keyword that is not offered, ERR_INVALID for what is no schema or allows no value, and
 * ERR_LIMIT where it takes too many states, or more than GRAMMAR_ALIKE alternatives.
 */
MUST_CHECK bool json_schema_grammar(const json_t *schema, const char *what, struct grammar **out,
                                    struct error *err);
/* Any JSON object. */
MUST_CHECK bool json_object_grammar(struct grammar **out, struct error *err);
#endif
