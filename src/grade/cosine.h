/*
 * cosine.h - how alike two texts are by the vectors that an embedding model gives them.
 *
 *     similarity = max(0, a . b / (|a| |b|))                                                     (1)
 *
 * The API's scores lie between 0 and 1, a cosine between -1 and 1, and the service does not say which becomes which. We
 * cut at 0 rather than take (1 + cos) / 2: embedding models give unrelated texts a cosine about 0, so that by the
 * latter a wrong answer would earn half the reward, and a negative cosine says no more than "unrelated".
 */
#ifndef HONE_GRADE_COSINE_H
#define HONE_GRADE_COSINE_H

#include <stddef.h>

/*
 * (1) of two vectors of n components, finite, of any length; 0 where one is all zeros. In double, from the first
 * component to the last, so the same on every machine; the same vector twice gives 1 exactly.
 */
double cosine_similarity(size_t n, const float *a, const float *b);
#endif
