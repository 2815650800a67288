/*
 * similarity.h - how alike two texts are, 0 to 1: one function a metric of the API.
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
 *
 * The others count words, alone and in rows of n (n-grams); common n-grams count as often as in the text where they are
 * rarer. With c[n] common ones, i[n] of the input and r[n] of the reference:
 *
 *     bleu     min(1, exp(1 - r[1] / i[1])) (p[1] p[2] p[3] p[4])^(1/4),  p[n] = c[n] / max(i[n], 1)   (2)
 *     gleu     (c[1] + ... + c[4]) / max(i[1] + ... + i[4], r[1] + ... + r[4])                         (3)
 *     rouge_n  2 P R / (P + R),  P = c[n] / i[n],  R = c[n] / r[n]                                     (4)
 *     rouge_l  (4) with c[n] the longest common subsequence of words, i[1] and r[1]                    (5)
 *
 * and 0 where nothing is common: two texts without words have 0, not 1. They equal nltk 3.9.1's sentence_bleu (method1)
 * and sentence_gleu, and rouge-score 0.1.2's fmeasure without stemming. What the service leaves open:
 *
 * - bleu's smoothing: a c[n] of 0 counts as 0.1 for n > 1 (method1: Chen and Cherry, WMT 2014). Without it BLEU is 0
 *   for nearly every short answer, a reward that cannot tell them apart. It remains harsh there: one right word of one
 *   earns 0.18, four of four earn 1.
 * - the words of bleu and gleu: nltk's wordpunct_tokenize, \w+|[^\w\s]+ with Python's Unicode classes. It needs no
 *   data and no language, and does not drop punctuation, which is part of an answer; "end." and "end" share a word.
 *   Where a script has no blanks (Chinese, Japanese, Thai) all up to the next mark is one word.
 * - their case: kept, as nltk does. What folds case cannot teach it, and who wants it folded has rouge.
 * - rouge: rouge-score's words, [a-z0-9]+ of the lower-cased text. Letters beyond ASCII part words and count for
 *   nothing, so a text in another script has 0.
 *
 * Characters are those of utf8proc's Unicode. BLEU: Papineni et al., ACL 2002. GLEU: Wu et al., arXiv:1609.08144.
 * ROUGE: Lin, 2004.
 */
#ifndef HONE_GRADE_SIMILARITY_H
#define HONE_GRADE_SIMILARITY_H

#include "base/arena.h"

/*
 * The similarity of two texts of valid UTF-8, with scratch memory from a. ERR_LIMIT where a text has more than
 * LIMIT_SIMILARITY code points: the time of fuzzy_match and rouge_l grows with the product.
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
