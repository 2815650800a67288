/*
 * json.h - JSON texts to trees and back (the trees are jansson's).
 *
 * Reading is strict: UTF-8, no duplicate keys, no NaN, at most LIMIT_JSON_DEPTH deep. Writing is compact with the
 * shortest digits that read back equal, or as Python's json.dumps writes.
 */
#ifndef HONE_TEXT_JSON_H
#define HONE_TEXT_JSON_H

#include "base/arena.h"
#include "base/buf.h"

#include <jansson.h>

/* One document; what names it in the error ("train.jsonl, line 14"). The caller owns *out (json_decref). */
MUST_CHECK bool json_parse(struct str text, const char *what, json_t **out, struct error *err);
/*
 * Whether text, if it is JSON, may have more than most values: an upper bound, by brackets and commas. Of "{},{},..." a tree takes a
 * hundred times the memory of its text, so whoever takes JSON from strangers asks before json_parse.
 */
bool json_has_more(struct str text, size_t most);
MUST_CHECK bool json_read_file(const char *path, json_t **out, struct error *err);
/* The same with whole numbers as reals, so that they may be of any size: transformers writes 10^30 for "no limit". */
MUST_CHECK bool json_read_file_of_reals(const char *path, json_t **out, struct error *err);

enum json_style {
    JSON_STYLE_COMPACT, /* {"a":1.5}  shortest numbers; what we write to files and the wire */
    JSON_STYLE_PYTHON,  /* {"a": 1.5} json.dumps(..., ensure_ascii=False): separators, float repr */
};

struct json_format {
    enum json_style style;
    int indent;        /* 0: one line; otherwise spaces a level, as json.dumps(indent=) */
    bool ensure_ascii; /* \uXXXX for everything past ASCII */
    bool sort_keys;
};
void json_write(struct buf *b, const json_t *value,
                const struct json_format *fmt); /* fmt NULL: compact */
void json_write_string(struct buf *b, struct str s,
                       bool ensure_ascii); /* quoted and escaped; invalid UTF-8 becomes U+FFFD */
void json_write_double(
    struct buf *b,
    double
        x); /* shortest text that reads back equal; repr() as in Python: 1.0, 1e+20, inf as null */

/* Views of members; the default where the key is missing or null, an error naming key and what where the type is wrong. */
MUST_CHECK bool json_get_str(const json_t *obj, const char *key, const char *what, struct str *out,
                             struct error *err);
MUST_CHECK bool json_get_int(const json_t *obj, const char *key, const char *what, int64_t def,
                             int64_t min, int64_t max, int64_t *out, struct error *err);
MUST_CHECK bool json_get_double(const json_t *obj, const char *key, const char *what, double def,
                                double *out, struct error *err);
MUST_CHECK bool json_get_bool(const json_t *obj, const char *key, const char *what, bool def,
                              bool *out, struct error *err);

/* Missing, or null. */
bool json_absent(const json_t *value);
/* A string's bytes; {"", 0} for anything else. Lives as long as the value. */
struct str json_str(const json_t *value);
/* "a string", "a number", "null", ... for messages */
const char *json_kind(const json_t *value);

/* ---- two trees ---- */

/* Whether a and b are equal, numbers by type too (1 is not 1.0); NULL is what is missing, equal to itself alone. */
bool json_same(const json_t *a, const json_t *b);

struct json_difference {
    char path[256];         /* "method.dpo.beta", or its beginning; "": the values themselves */
    const json_t *was, *is; /* views; NULL: missing there */
};
/* The innermost member of objects where is first differs from was; false where they are the same. A list is one value. */
bool json_difference(const json_t *was, const json_t *is, struct json_difference *out);

/* A value as it can stand in a sentence: compact, "..." behind its first 100 bytes; "nothing" where it is missing. */
struct json_shown {
    char text[160];
};
struct json_shown json_show(const json_t *value);
#endif
