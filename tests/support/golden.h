/*
 * golden.h - tensors of golden files. Any type: the product's own reader refuses what a model may not hold.
 */
#ifndef HONE_TESTS_GOLDEN_H
#define HONE_TESTS_GOLDEN_H

#include "support/support.h"

#include <jansson.h>

struct golden {
    const char *name;
    struct arena arena; /* what the functions below return lives in it */
    struct str data;
    json_t *header;
};
/* All of these fail the test where the file or the tensor is not as expected. */
void golden_open(struct golden *g, const char *name); /* "tiny/logits.safetensors" */
void golden_close(struct golden *g);
size_t golden_dim(const struct golden *g, const char *tensor, size_t dim);
const float *golden_floats(struct golden *g, const char *tensor, size_t *n);        /* F32 */
const int32_t *golden_ints(struct golden *g, const char *tensor, size_t *n);        /* I32 */
const unsigned char *golden_bytes(struct golden *g, const char *tensor, size_t *n); /* U8 */

/* The lines of a golden .jsonl.gz, one JSON value each. A file that is missing fails the test. */
struct golden_lines {
    struct gzFile_s *file;
    char *line; /* of at most 1 MB */
    const char *path;
};
struct golden_lines golden_lines_open(struct arena *a, const char *name);
json_t *golden_lines_next(struct golden_lines *g); /* the caller's; NULL at the end, which closes */

json_t *golden_json(const char *name); /* a JSON file; the caller owns it */
/* Members of golden JSON; the arrays live in the arena. */
const int32_t *json_ids(const json_t *array, struct arena *a, size_t *n);
const float *json_floats(const json_t *array, struct arena *a, size_t *n); /* null becomes NaN */
double json_number_at(const json_t *object, const char *key);
#endif
