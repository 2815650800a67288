/*
 * json_rules_internal.h - rules for JSON's values (RFC 8259), as narrow as a schema wants them.
 */
#ifndef HONE_TEXT_JSON_RULES_INTERNAL_H
#define HONE_TEXT_JSON_RULES_INTERNAL_H

#include "text/grammar_internal.h"
#include "text/json.h"

/*
 * Numbers have at most JSON_DIGITS digits before the point, JSON_FRACTION behind it and two in the exponent: room for every
 * double as Python writes it (0.00012345678901234567), and they end.
 */
#define JSON_DIGITS 16
#define JSON_FRACTION 20

/*
 * The inside of a string behind its opening quote, from one state to another: whole UTF-8 characters of U+0020 and above,
 * escapes, surrogates in pairs only; then the closing quote. counted: each character counts one, and the closing wants the
 * rule's least.
 */
void json_build_string(struct grammar_builder *b, uint32_t from, uint32_t to, bool counted);

/* A rule for strings of min .. max characters (code points); max GRAMMAR_FREE: any. */
uint32_t json_string_rule(struct grammar_builder *b, uint32_t min, uint32_t max);

/* A bound of a number as it is written: [-]whole.digits */
struct json_bound {
    bool given, negative, excluded;
    int64_t whole;              /* 0 .. 10^JSON_DIGITS - 1 */
    char digits[JSON_FRACTION]; /* '0' .. '9', filled up with '0' */
};
/* value: an integer or a real; false where it cannot be written so. */
bool json_bound_of(const json_t *value, bool excluded, struct json_bound *out);

/* A rule for numbers between two bounds; whole: without point and exponent. */
uint32_t json_number_rule(struct grammar_builder *b, bool whole, const struct json_bound *least,
                          const struct json_bound *most);

/*
 * Arrays of min .. max values of a union (max GRAMMAR_FREE: any number): [a, b]. A blank may stand behind each comma, and
 * none elsewhere.
 */
uint32_t json_array_rule(struct grammar_builder *b, uint32_t of, uint32_t min, uint32_t max);
/* Objects of any keys: {"a": 1}, blanks behind colons and commas. */
uint32_t json_map_rule(struct grammar_builder *b, uint32_t of);

struct json_property {
    struct str text; /* "name": as it is written, the colon included */
    bool required;
    uint32_t value, behind; /* set by the rule: the states where its value begins, and behind it */
};
/* Objects of n declared properties in their order, p[j] of the union values[j]. */
uint32_t json_object_rule(struct grammar_builder *b, struct json_property *p,
                          const uint32_t *values, size_t n);
#endif
