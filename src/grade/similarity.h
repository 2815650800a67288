/*
 * similarity.h - how alike two texts are, 0 to 1.
 *
 * fuzzy_match is the ratio of rapidfuzz (fuzz.ratio / 100): with L the longest common subsequence of code points,
 *
 *     ratio = 2 L / (len(a) + len(b)),     1 for two empty texts                                  (1)
 *
 * The service says "fuzzy string match using rapidfuzz" and not which of its functions. We take ratio and not WRatio:
 * WRatio gives at least 0.6 of the best partial match, so that an answer which lists everything earns most of the
 * reward, and it jumps where the lengths' quotient passes 1.5 and 8. A smooth measure that punishes padding teaches.
 * Nothing is trimmed, folded or normalised; who wants WRatio writes a Python grader.
 *
 * L by bit-parallel rows: H. Hyyro, "Bit-parallel LCS-length computation revisited", AWOCA 2004.
 */
#ifndef HONE_GRADE_SIMILARITY_H
#define HONE_GRADE_SIMILARITY_H

#include "base/arena.h"

/*
 * The similarity of two texts of valid UTF-8, with scratch memory from a. ERR_LIMIT where a text has more than
 * LIMIT_SIMILARITY code points: the time grows with the product.
 */
#define LIMIT_SIMILARITY ((size_t)1 << 18)
typedef bool similarity_fn(struct str input, struct str reference, struct arena *a, double *out,
                           struct error *err);

MUST_CHECK bool similarity_fuzzy_match(struct str input, struct str reference, struct arena *a,
                                       double *out, struct error *err);

/* One row a metric of the API; fn is NULL where it is known and not offered yet. */
struct similarity_metric {
    const char *name;
    similarity_fn *fn;
};
const struct similarity_metric *similarity_find(struct str name); /* NULL: no such metric */
const char *similarity_offered(void); /* "fuzzy_match, ..." for messages */
#endif
