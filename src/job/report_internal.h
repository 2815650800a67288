/*
 * report_internal.h - what the parts of the report's page share.
 *
 * The page is a template (assets/report.html) with slots; each function here writes the HTML of one slot, or nothing where there
 * is nothing to show, and then the template leaves out what stands around it.
 */
#ifndef HONE_JOB_REPORT_INTERNAL_H
#define HONE_JOB_REPORT_INTERNAL_H

#include "job/report_chart.h"
#include "job/report_data.h"

struct report_page {
    struct report_data *d;
    struct buf chart_data; /* members of an object: what the script shows under the pointer */
    size_t same_front, same_back; /* bytes that all shown prompts begin and end with */
};

/* Fills what report_data says of answers and words; d->arena is set. */
MUST_CHECK bool report_pick(const char *dir, struct report_data *d, struct error *err);
/* Fills what report_data says of lists and rows, and the pairs' curves; report_pick has been there. */
MUST_CHECK bool report_look(const char *dir, struct report_data *d, struct error *err);
/* A line of rollouts/ as an answer; prompt and reference are empty where they stand with another of its group. */
void report_answer_read(struct arena *a, const json_t *line, bool valid, struct report_answer *out);
/* report_changes.c: fills what it says of changed ones, and releases what is not the arena's. */
MUST_CHECK bool report_changes_find(const char *dir, struct report_data *d, struct error *err);
void report_changes_release(struct report_data *d);
/* Which of an answer's tokens were not drawn: "injected" of several turns, [first, n] each; NULL: it has one turn. */
const bool *report_given(struct arena *a, const json_t *line, size_t n);
/* At most max bytes, and no character cut in two. */
struct report_text report_cut(struct arena *a, struct str s, size_t max);
/* A member as a number, NaN where it is none; as a count, 0 where it is none. */
double report_number(const json_t *obj, const char *key);
size_t report_count(const json_t *obj, const char *key);

typedef void report_slot_fn(struct report_page *p, struct buf *out);

/* report_result.c */
report_slot_fn report_title, report_kicker, report_headline, report_lead, report_compare,
    report_tiles, report_evals;
report_slot_fn report_footer;
/* report_curves.c */
report_slot_fn report_reward, report_rolled_back, report_charts, report_exactness, report_table,
    report_table_caption;
/* report_answers.c */
report_slot_fn report_pairs, report_pairs_note, report_newest, report_newest_note, report_tokens,
    report_failures;
/* report_rows.c */
report_slot_fn report_rows, report_warnings, report_warnings_title;
/* report_changes.c */
report_slot_fn report_changes, report_changes_note, report_changes_lack;
/* report_settings.c */
report_slot_fn report_events, report_settings, report_checkpoints, report_job;

/* Looks at what is shown: how much of the prompts is the same. Before the slots are filled. */
void report_find_same(struct report_page *p);

/* The prompt of an answer, without what all have in common, and its reference. */
void report_prompt(const struct report_page *p, struct buf *out, const struct report_answer *r);
/* Of a prompt what differs from others, where much is the same. */
struct str report_prompt_part(const struct report_page *p, const struct report_answer *r);
/* A small curve, which its label tells in words. */
void report_spark(struct buf *out, const struct report_curve *c);
/* What an answer earned. */
void report_facts(struct buf *out, const struct report_answer *r);
/* " up", " down" or "", by its advantage. */
const char *report_side(const struct report_answer *r);
/* +0.25 */
void report_signed(struct buf *out, double x);
/* <td class="num">0.42</td> */
void report_cell(struct buf *out, double x, enum chart_unit unit);
/* The last number of a column that is one, and its row; NaN where there is none. */
double report_last(const double *y, size_t n, size_t *at);
#endif
