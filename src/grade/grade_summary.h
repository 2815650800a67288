/*
 * grade_summary.h - what a grader gave many answers becomes what one wants to know of the grader.
 *
 * Can training learn from it (spread, flat rows, noise), where does it fail and why, what does it cost. Nothing is
 * printed here: a command, a server and a page say the same of the same numbers.
 *
 * An answer may have been given several times (count) and may be graded several times (repeats); all means, shares and
 * counts of answers weigh each grading by the answer's count. Two rewards are one value where they differ by no more
 * than 1e-9 of the larger: 0.1 + 0.2 and 0.3.
 *
 * The interval of the mean is over rows, because the answers of a row resemble each other: the linearised ratio
 * estimator (Cochran, Sampling Techniques, 3rd ed. 1977, 6.4). With as many answers to each row it equals the interval
 * of the rows' means.
 *
 * Noise (repeats > 1) is the one-way random effects model of Shrout and Fleiss, Psychological Bulletin 86 (1979), with K
 * gradings of each answer, MSW the mean square within answers and MSB that between their means, times K:
 *
 *     noise^2 = MSW    signal^2 = max(0, (MSB - MSW) / K)                                             (1)
 *     reliability = ICC(1,1) = signal^2 / (signal^2 + noise^2)                                        (2)
 *
 * Training compares the answers of a row, so (1) and (2) are also computed with MSB between the answers within rows.
 * Here each answer counts once, however often it was given. k gradings averaged have the reliability
 * k ICC / (1 + (k - 1) ICC) (Spearman and Brown).
 */
#ifndef HONE_GRADE_GRADE_SUMMARY_H
#define HONE_GRADE_GRADE_SUMMARY_H

#include "base/mean.h"
#include "grade/grade_notes.h"

#define GRADE_EXACT_VALUES 12 /* so many distinct values are shown as they are, more in bins */
#define GRADE_MAX_BINS 16

/* Scores of gradings. NaN where there are none. */
struct grade_spread {
    size_t n; /* gradings */
    double mean, min, max;
    size_t n_distinct;
    double threshold; /* pass_threshold of the spec, or NaN */
    double passed;    /* share with a score >= threshold; NaN without one */
};

struct grade_part_summary {
    const char *name, *type;
    bool is_shadow;
    struct grade_spread score; /* failed calls left out: their 0 is no score */
    size_t n_failed;           /* gradings */
    double seconds;            /* of a call, on average */
    double correlation;        /* with the reward (Pearson); NaN where either is constant */
};

struct grade_bin {
    double from, to; /* equal: one value; else [from, to), the last one with to */
    size_t n;
};

struct grade_reliability { /* NaN where it cannot be told */
    double signal, reliability;
    double noise; /* standard deviation of gradings of the same answer */
};

enum grade_warning {
    GRADE_WARN_ALL_EQUAL = 1 << 0, /* every answer got the same */
    GRADE_WARN_ONE_SIDED = 1 << 1, /* 0 and 1 alone, more than 95 % one of them */
    GRADE_WARN_FLAT_ROWS = 1 << 2, /* more than half of the rows with several answers are flat */
    GRADE_WARN_GRADER_FAILED = 1 << 3, /* the grader itself failed at least once */
    GRADE_WARN_NOISE = 1 << 4,         /* half or more of what tells answers apart is noise */
};

struct grade_summary {
    size_t n_answers; /* counts added up */
    size_t n_lines;   /* answers, each once */
    size_t n_rows;    /* with an answer */
    size_t n_repeats;
    size_t n_gradings; /* n_answers * n_repeats */
    size_t n_calls;    /* n_lines * n_repeats: how often the grader ran */

    struct mean mean; /* of the reward; its error and interval are 0 for fewer than two rows */
    struct grade_spread reward;
    double low, high;       /* ends of the scale: 0 and 1, or "range"; what was seen beyond them */
    double at_low, at_high; /* shares of gradings */
    size_t n_bins;
    struct grade_bin bin[GRADE_MAX_BINS];

    size_t n_rows_several; /* rows with two answers or more */
    double flat_share;     /* of these, where all got the same; NaN for none */
    unsigned warnings;     /* enum grade_warning */

    size_t n_parts;
    struct grade_part_summary *part;

    size_t n_failed, n_grader_failed; /* gradings */
    size_t n_causes;
    const struct grade_cause **cause; /* the grader's own first, then the more frequent */
    size_t n_worst, n_best;           /* none that could not be graded; of as many rows as can be */
    size_t worst[GRADE_SHOWN], best[GRADE_SHOWN];

    struct grade_reliability overall, in_rows; /* with repeats > 1 */

    size_t n_recorded,
        n_differ; /* answers (lines) with a recorded reward; those that get another now */
    double recorded_mean, recorded_now;
    size_t n_differ_shown, differ[GRADE_SHOWN];
};
/* Sums up what was noted; what *out points to lives in a and in notes. Fails with ERR_NO_MEMORY. */
MUST_CHECK bool grade_summarize(const struct grade_notes *notes, struct arena *a,
                                struct grade_summary *out, struct error *err);

/*
 * One object of the above (a new tree, the caller's). seconds: what it took in all. Texts are cut to a line's length.
 *
 *     {"answers","rows","repeats","seconds","calls_per_second",
 *      "reward": {"mean","ci95":[low, high] or null,"min","max","distinct","low","high","share_at_low","share_at_high",
 *                 "pass_threshold","passed"},
 *      "histogram": [{"from","to","count"}], "rows_with_several","flat_rows","warnings":["..."],
 *      "parts": [{"name","type","shadow","mean","min","max","distinct","errors","seconds","correlation",
 *                 "pass_threshold","passed"}],
 *      "errors": {"count","grader_failed","flags":{NAME: n},"other_causes",
 *                 "causes":[{"flags":[NAME],"grader_failed","count","details","at":[ANSWER]}]},
 *      "slowest":[ANSWER with "seconds","part","part_seconds"], "worst":[ANSWER], "best":[ANSWER],
 *      "prints": {"count","first":[ANSWER with "printed"]},
 *      "noise": null or {"overall":{"noise","signal","reliability"},"in_rows":{...}},
 *      "recorded": null or {"answers","differ","mean","mean_now","first":[ANSWER with "recorded"]}}
 *
 * with ANSWER = {"line","row_line","reward","text"}; a count is of gradings.
 */
json_t *grade_summary_json(const struct grade_summary *s, const struct grade_notes *notes,
                           double seconds);
/* "all_equal" of bit 0, ...; NULL past the last. */
const char *grade_warning_name(size_t bit);
/* How many gradings averaged have this reliability; 0 where no number has. */
size_t grade_gradings_for(double reliability_of_one, double wanted);
#endif
