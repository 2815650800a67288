/*
 * eval_score.h - what testing criteria say of one item, and what the items say of a run.
 *
 *     criterion and score -> passed        all of an item passed -> the item passed        items -> the run's counts
 *
 * A score passes from "pass_threshold" on. Where there is none a full score passes: 1, or the upper end of a score_model's range.
 */
#ifndef HONE_SERVER_EVAL_SCORE_H
#define HONE_SERVER_EVAL_SCORE_H

#include "grade/grader.h"

#define EVAL_MAX_CRITERIA 32

double eval_threshold(const json_t *criterion);
/* {"name","type","id","score","passed","sample"}; result NULL: the score alone (of a run that was graded elsewhere). */
json_t *eval_result(const json_t *criterion, double score, const struct grade_result *result);

/* Counts of a run. All zeros but for criteria, which is lent. */
struct eval_tally {
    const json_t *criteria; /* the eval's "testing_criteria" */
    size_t total, passed, failed, errored;
    size_t criterion_passed[EVAL_MAX_CRITERIA], criterion_failed[EVAL_MAX_CRITERIA];
    json_t *usage; /* list of {"model_name", ...}; or NULL */
};
/*
 * item: the API's output item; errored: it could not be sampled or graded; usage: a list as of eval_usage, or NULL.
 */
void eval_tally_add(struct eval_tally *t, const json_t *item, bool errored, const json_t *usage);
void eval_tally_release(struct eval_tally *t);
/* Puts "result_counts", "per_testing_criteria_results", "per_model_usage" into a run. */
void eval_tally_put(const struct eval_tally *t, json_t *run);
/* Adds calls of a model to a list. */
void eval_usage(json_t *list, const char *model, json_int_t calls, json_int_t prompt,
                json_int_t completion, json_int_t cached);
#endif
