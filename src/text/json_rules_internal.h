/*
 * json_rules_internal.h - rules for JSON's values (RFC 8259), as narrow as a schema wants them.
 */
#ifndef HONE_TEXT_JSON_RULES_INTERNAL_H
#define HONE_TEXT_JSON_RULES_INTERNAL_H

#include "text/automaton.h"
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

/*
 * The same of strings among the texts of an automaton: each character as itself or as any escape of it. Gives the state behind the
 * opening quote; the closing one behind a text with a label leads to ends[label]; 0, or n_ends and above: it may not come.
 */
uint32_t json_build_texts(struct grammar_builder *b, uint32_t rule, const struct automaton *x,
                          bool counted, const uint32_t *ends, uint32_t n_ends);
/* A rule for strings of an automaton, of min .. max characters: each number between the two must do where it is counted. */
uint32_t json_texts_rule(struct grammar_builder *b, const struct automaton *x, uint32_t min,
                         uint32_t max);

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
 * A number that others are multiples of: unit / 10^decimals. Whoever reads a number of more than 15 digits as a double may read
 * none of its multiples, so that a number with a point has 15 - decimals digits before it.
 */
#define JSON_MULTIPLE_DECIMALS 14
struct json_multiple {
    uint32_t unit, decimals;
};
/* false where it is not above 0, has an exponent or too many digits. */
bool json_multiple_of(const json_t *value, struct json_multiple *out);
/* The widest bounds beside it, where numbers may have a point. */
struct json_bound json_multiple_bound(const struct json_multiple *m, bool negative);
/* The numbers of a rule without exponents, the last one that was made, that are multiples; false: it takes too many states. */
MUST_CHECK bool json_multiples_rule(struct grammar_builder *b, uint32_t of,
                                    const struct json_multiple *m, uint32_t *rule);

/*
 * Arrays of min .. max values of a union (max GRAMMAR_FREE: any number): [a, b]. A blank may stand behind each comma, and
 * none elsewhere.
 */
uint32_t json_array_rule(struct grammar_builder *b, uint32_t of, uint32_t min, uint32_t max);
/* The same with `n` first values of unions of their own, first[i]; of: of those behind them. */
uint32_t json_tuple_rule(struct grammar_builder *b, const uint32_t *first, uint32_t n, uint32_t of,
                         uint32_t min, uint32_t max);
/* Of up to 32 constants, each once: texts[i] is the constant of bit bits[i]. min is at most how many bits there are. */
uint32_t json_set_rule(struct grammar_builder *b, const struct str *texts, const uint32_t *bits,
                       size_t n, uint32_t min, uint32_t max);
/* Objects of any keys: {"a": 1}, blanks behind colons and commas. */
uint32_t json_map_rule(struct grammar_builder *b, uint32_t of);
/*
 * The same with keys among the texts of an automaton, whose values are by its label: of[label], GRAMMAR_NONE where that key may
 * not come. min is 0 or 1: of more it could not be told whether keys repeat.
 */
uint32_t json_keys_rule(struct grammar_builder *b, const struct automaton *keys, const uint32_t *of,
                        uint32_t n_labels, uint32_t min, uint32_t max);

struct json_property {
    struct str text; /* "name": as it is written, the colon included */
    bool required;
    uint32_t value, behind; /* set by the rule: the states where its value begins, and behind it */
};
/* Objects of n declared properties in their order, p[j] of the union values[j]; min .. max of them. */
uint32_t json_object_rule(struct grammar_builder *b, struct json_property *p,
                          const uint32_t *values, size_t n, uint32_t min, uint32_t max);
#endif
