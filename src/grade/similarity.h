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
 *     meteor   (1 - 0.5 (k / m)^3) P R / (0.9 P + 0.1 R),  P = m / i[1],  R = m / r[1]                 (6)
 *
 * and 0 where nothing is common: two texts without words have 0, not 1. In (6) m words of the input stand for one of the
 * reference each: the equal ones, then of what is left those with one stem, then synonyms; k counts the pieces, rows of
 * neighbours that stand for neighbours in the same order. They equal nltk 3.9.1's sentence_bleu (method1), sentence_gleu
 * and meteor_score, and rouge-score 0.1.2's fmeasure without stemming. What the service leaves open:
 *
 * - bleu's smoothing: a c[n] of 0 counts as 0.1 for n > 1 (method1: Chen and Cherry, WMT 2014). Without it BLEU is 0
 *   for nearly every short answer, a reward that cannot tell them apart. It remains harsh there: one right word of one
 *   earns 0.18, four of four earn 1.
 * - the words of bleu, gleu and meteor: nltk's wordpunct_tokenize, \w+|[^\w\s]+ with Python's Unicode classes. It needs no
 *   data and no language, and does not drop punctuation, which is part of an answer; "end." and "end" share a word.
 *   Where a script has no blanks (Chinese, Japanese, Thai) all up to the next mark is one word. (meteor_score leaves the
 *   words to its caller.)
 * - their case: kept by bleu and gleu, as nltk does. What folds case cannot teach it, and who wants it folded has rouge.
 *   meteor folds it, by str.lower.
 * - rouge: rouge-score's words, [a-z0-9]+ of the lower-cased text. Letters beyond ASCII part words and count for
 *   nothing, so a text in another script has 0.
 * - meteor's numbers: those of the first METEOR, which are nltk's defaults.
 * - its stems: porter.h; its synonyms: wordnet.h, from the files of WordNet 3.0 (Debian's wordnet-base). Where these are
 *   missing meteor is refused when the grader is opened, and never computed without synonyms.
 * - which words stand for each other where several could: nltk goes through the input from its last word to its first
 *   and takes the last of the reference's that is free. That need not give the fewest pieces: "a b" for "a b a" has two.
 *   Only the input's words are looked up in WordNet: "better" stands for "well", but "well" not for "better".
 * - what WordNet is asked: stems, for nltk's stemmer goes first. A synonym counts only where its stem and the word's are
 *   spelt as they stand in WordNet: "doctor" and "physician", but not "house" and "home" (hous), "car" and "automobile"
 *   (automobil), "big" and "large" (larg). Of WordNet's own pairs of synonyms 30 % count; weighted by its counts of use,
 *   58 %. And every meaning counts, whatever the text is about: "get" stands for "mother".
 *
 * What a model that is trained on meteor can make of it (1 is out of reach: n words in one piece have 1 - 0.5 / n^3):
 *
 *     order is cheap       the reference's words in any order have at least 0.5, a sentence of 17 words backwards 0.66
 *     length is cheap      the reference and behind it more words than it has: 0.87; the reference twice: 0.91; ten names
 *                          for one: 0.18, where the one alone has 0.5
 *     a word is cheap      "The variant is not pathogenic." for the same without "not": 0.949, where that itself has 0.996;
 *                          "benign" for "pathogenic": 0.75
 *     stems are wide       "university" for "universe" or "generous" for "general" are as good as right
 *
 * Characters are those of utf8proc's Unicode. BLEU: Papineni et al., ACL 2002. GLEU: Wu et al., arXiv:1609.08144.
 * ROUGE: Lin, 2004.
 * METEOR: Banerjee and Lavie, ACL 2005.
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

/* One row a metric of the API. */
struct similarity_metric {
    const char *name;
    similarity_fn *fn; /* NULL: cosine, of vectors that an embedding model gives (cosine.h) */
    /*
     * Fails with what is missing on this machine that fn needs; NULL: it needs nothing. Not calling it is no mistake: fn
     * itself fails then. What it loads it loads once.
     */
    bool (*prepare)(struct error *err);
};
const struct similarity_metric *similarity_find(struct str name); /* NULL: no such metric */
#endif
