/*
 * grader_internal.h - what the grader types share: a part, the table of types, what one part's call gives.
 *
 * To add a type: one file with a `const struct grader_type`, one row in the table in grader.c.
 */
#ifndef HONE_GRADE_GRADER_INTERNAL_H
#define HONE_GRADE_GRADER_INTERNAL_H

#include "grade/grader.h"
#include "grade/python_pool.h"
#include "grade/template.h"

#include <pthread.h>

struct grader_part; /* one grader that gives a score; a multi has several */

/* A model's name in a list. */
struct grader_model {
    struct grader_model *next;
    char name[64];
};

struct part_result {
    double score;
    unsigned flags; /* enum grade_flag; score is 0 where any is set */
    char *details;  /* the caller's room for why; "" */
    size_t details_size;
    struct grade_usage usage;
    char model[64]; /* the model that replied, or "" */
    char *printed;  /* the caller's room for what the part printed; NULL: not wanted */
    size_t printed_size;
};

struct grader_type {
    const char *name;
    bool needs_name; /* "name" must be given where the part has no key */
    /* Checks part->spec and sets part->state; nothing stays to be closed where it fails. */
    bool (*open)(struct grader *g, struct grader_part *part, struct error *err);
    void (*run)(struct grader *g, const struct grader_part *part, struct grade_scope *s,
                struct part_result *out);
    bool (*check_item)(const struct grader *g, const struct grader_part *part, const json_t *item,
                       const char *what, struct error *err);
    bool asks; /* waits for a model or another machine */
    /* Whether the same row and sample get the same score; NULL: always. */
    bool (*deterministic)(const struct grader_part *part);
    void (*close)(const struct grader_part *part); /* what the arena does not hold; or NULL */
};

struct grader_part {
    const struct grader_type *type;
    const char *name;
    const char *path;   /* in front of keys in messages: "" or "graders.rank." */
    const json_t *spec; /* of the grader's own copy */
    const void *state;  /* the type's */
    bool is_shadow;
    bool is_cached; /* deterministic, and dearer to run than to look up */
};

struct grader {
    struct arena arena; /* all below; as long as the grader */
    json_t *spec;
    struct grade_options options;
    json_t *shadows; /* or NULL */
    bool is_multi;
    const struct formula *formula; /* of a multi */
    size_t n_parts, n_rewarded;    /* the shadows are behind those rewarded */
    struct grader_part parts[GRADE_MAX_PARTS];
    /* what the Python parts gave to the pool, in the order of their numbers there */
    size_t n_sources;
    struct str sources[GRADE_MAX_PARTS];
    const struct grader_part *source_part[GRADE_MAX_PARTS];
    struct python_pool *pool;  /* or NULL */
    struct grade_cache *cache; /* NULL where no part is cached */

    pthread_mutex_t lock; /* guards all below */
    size_t n_models;
    struct grader_model *models; /* who replied so far */
};

extern const struct grader_type grader_string_check, grader_text_similarity, grader_python,
    grader_score_model, grader_label_model, grader_endpoint;

/* "graders.rank.operation" in the grader's arena */
const char *part_param(struct grader *g, const struct grader_part *part, const char *key);

/* The string under key, or ERR_INVALID naming the path. */
MUST_CHECK bool part_str(struct grader *g, const struct grader_part *part, const char *key,
                         struct str *out, struct error *err);
MUST_CHECK bool part_template(struct grader *g, const struct grader_part *part, const char *key,
                              const struct template **out, struct error *err);

/* "sample":{as the API has it},"item":{...}, what an endpoint is sent */
void part_write_call(struct buf *b, struct grade_scope *s);

/* "pass_threshold" of a grader's object, or NaN. */
double spec_pass_threshold(const json_t *spec);

/* Score 0, the flag, and why (cut to the room there is, at a character). */
void part_fail(struct part_result *out, unsigned flag, const char *why);

/* Everything of grader_open but the start of Python: what the fuzzer may call a million times. */
MUST_CHECK bool grader_read(const json_t *spec, const struct grade_options *opt,
                            struct grader **out, struct error *err);
#endif
