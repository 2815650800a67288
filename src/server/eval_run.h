/*
 * eval_run.h - a run of an eval: its document, and the work on it.
 *
 *     document "eval.run" below the eval:  {"run": the API's object, "picked": ids of stored answers or null}
 *     documents "eval.run.output_item" below the run, in the order of the rows, each with an id made of run and row
 *
 * EVAL_AT_ONCE rows are worked on at a time; items are written in the order of the rows, so that what is there after a crash is a beginning,
 * and the run goes on behind it.
 */
#ifndef HONE_SERVER_EVAL_RUN_H
#define HONE_SERVER_EVAL_RUN_H

#include "server/eval_item.h"
#include "server/runner.h"

#define EVAL_KIND "eval"
#define EVAL_AT_ONCE 8
#define EVAL_AHEAD 64 /* rows that may be finished behind one that is not */

/* The row's schema of an eval, or NULL: of its data_source_config. */
const json_t *eval_item_schema(const json_t *eval);
#endif
