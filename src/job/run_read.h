/*
 * run_read.h - reads a run's folder, while it is being written or after a crash (the files: run_folder.h).
 *
 * What stands after the last line break of a file is not there yet, and is passed over; a whole line that is not
 * what it should be is passed over too, and counted. So a damaged run can still be looked at.
 */
#ifndef HONE_JOB_RUN_READ_H
#define HONE_JOB_RUN_READ_H

#include "base/arena.h"
#include "text/json.h"

#include <stdint.h>

/* job.json: {"id","created_at","version","job":{...},"resolved":{...},"graders":[{"name","type"}]}; the caller's. */
MUST_CHECK bool run_read_job(const char *dir, json_t **out, struct error *err);

/* The events, oldest first; fn returns false to stop. No file yet: no events. */
typedef bool run_json_fn(void *ctx, const json_t *value);
MUST_CHECK bool run_read_events(const char *dir, run_json_fn *fn, void *ctx, size_t *n_bad,
                                struct error *err);
/* data of the newest metrics event, the caller's; NULL before the first step. */
MUST_CHECK bool run_last_metrics(const char *dir, json_t **out, struct error *err);

/* metrics.csv as numbers. */
struct run_metrics {
    size_t n_columns, n_rows;
    const char *const *column; /* [n_columns] */
    const double *cell;        /* [n_rows, n_columns]; NaN: empty, or no number */
};
/* No file yet: no columns and no rows. */
MUST_CHECK bool run_read_metrics(const char *dir, struct arena *a, struct run_metrics *out,
                                 size_t *n_bad, struct error *err);
/* A column's index, or n_columns where there is none of this name. */
size_t run_metrics_find(const struct run_metrics *m, const char *name);

struct run_checkpoint {
    size_t step;
    int64_t created_at;       /* 0: not known */
    const char *id;           /* "ftckpt_...", or "" */
    const char *name;         /* "ft:...:ckpt-step-N", or "ckpt-step-N" */
    const char *dir;          /* its folder */
    double valid_mean_reward; /* NaN: not measured */
    bool best;                /* among the three with the highest validation reward */
};
/* The checkpoints whose folder is there, newest first. */
MUST_CHECK bool run_read_checkpoints(const char *dir, struct arena *a, struct run_checkpoint **out,
                                     size_t *n, struct error *err);
/* Of n > 0, newest first, the one that did best in validation, the later of equal ones; without validation the last one. */
size_t run_best_checkpoint(const struct run_checkpoint *all, size_t n);
MUST_CHECK bool run_has_checkpoint(const char *dir, bool *out, struct error *err);

/* Which steps have a file of answers, lowest first. */
MUST_CHECK bool run_list_rollouts(const char *dir, bool valid, struct arena *a, size_t **steps,
                                  size_t *n, struct error *err);
/* The lines of one step's answers, each of one or several (run_folder.h). A file that is not there has none. */
MUST_CHECK bool run_read_rollouts(const char *dir, size_t step, bool valid, run_json_fn *fn,
                                  void *ctx, size_t *n_bad, struct error *err);
/* "step-12.jsonl" -> 12, training; false for what is no name of such a file. */
bool run_rollouts_name(const char *name, size_t *step, bool *valid);

/* The next cell of a line of CSV from *at on (0 first), quotes taken away; false after the last one. */
bool run_csv_next(struct str line, size_t *at, struct arena *a, struct str *out);
/* A cell as a number; NaN: there is none. */
double run_csv_number(struct str cell);

/*
 * The evaluations: NAME of each evals/NAME.json, in alphabetical order. Read of one (json_read_file):
 *
 *     {"n":200,"reward_mean":0.61,"reward_ci95":[0.54,0.68],"graders":[{"name":"g","reward_mean":0.61}],
 *      "pass_at_k":{"1":0.61,"8":0.9},"data":"test.jsonl"}
 *
 * reward_ci95 may also be half the interval's width. Everything but reward_mean may be missing.
 */
MUST_CHECK bool run_list_evals(const char *dir, struct arena *a, const char ***names, size_t *n,
                               struct error *err);
#endif
