/*
 * normalizer.h - text in one of Unicode's normal forms (UAX #15), by utf8proc's tables.
 */
#ifndef HONE_TEXT_NORMALIZER_H
#define HONE_TEXT_NORMALIZER_H

#include "base/arena.h"

#include <stdint.h>

enum normal_form { NORMAL_NONE, NORMAL_NFC, NORMAL_NFD, NORMAL_NFKC, NORMAL_NFKD };

/* What is applied after one another has the effect of one form: NFC after NFKD is NFKC. */
enum normal_form normal_form_then(enum normal_form first, enum normal_form second);

struct
    normalizer { /* working memory, kept between calls; all zeros is fine; one thread at a time */
    char *text;
    size_t text_len, text_cap;
    int32_t *points, *sorted;
    size_t points_cap;
};
void normalizer_release(struct normalizer *n);

/*
 * *out is in (which must be valid UTF-8) in that form: in itself where nothing changes, otherwise a view into n that
 * lives until the next call. Time is linear in in.len whatever the text: the ordering of combining marks is a counting
 * sort. Fails with ERR_NO_MEMORY.
 */
MUST_CHECK bool normalize(struct normalizer *n, enum normal_form form, struct str in,
                          struct str *out, struct error *err);
#endif
