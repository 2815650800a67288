/*
 * watch_read.h - what a run wrote down becomes again what it told: an event's metrics, a line of answers.
 *
 * Only what a live view shows is filled in (live_view.h); the rest is 0, and what was not measured NaN, as it was told.
 */
#ifndef HONE_CLI_WATCH_READ_H
#define HONE_CLI_WATCH_READ_H

#include "base/buf.h"
#include "text/json.h"
#include "train/progress.h"

/* Whether the data of a metrics event is of supervised fine-tuning or dpo. */
bool watch_is_fit(const json_t *data);
/* Of a step of reinforcement, by the names of metrics_tree. */
struct step_metrics watch_step(const json_t *data);
/* Of the others, by those of metrics_fit_data. */
struct fit_metrics watch_fit_step(const json_t *data);
/* "info", "warn", "error" */
enum event_level watch_level(const json_t *event);

/*
 * A line of rollouts/ (run_folder.h) as one answer; grade is filled in and pointed to. prompt keeps what stands with the first answer of a
 * group alone, for the others behind it. All of it lives until the next call.
 */
struct rollout watch_rollout(const json_t *line, bool valid, struct buf *prompt,
                             struct grade_result *grade);
#endif
