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
/* report_settings.c */
report_slot_fn report_events, report_settings, report_checkpoints, report_job;

/* Looks at what is shown: how much of the prompts is the same. Before the slots are filled. */
void report_find_same(struct report_page *p);

/* <td class="num">0.42</td> */
void report_cell(struct buf *out, double x, enum chart_unit unit);
/* The last number of a column that is one, and its row; NaN where there is none. */
double report_last(const double *y, size_t n, size_t *at);
#endif
