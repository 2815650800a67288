/*
 * run_habits.h - what a run decided for its own answers, and what is best for its adapter ever since.
 */
#ifndef HONE_JOB_RUN_HABITS_H
#define HONE_JOB_RUN_HABITS_H

#include "sample/prompt.h"

struct run_habits {
    size_t max_tokens;             /* of an answer; 0: not known */
    enum precision precision;      /* it was trained in */
    enum kv_cache kv_cache;        /* the same of its keys and values */
    const json_t *reasoning;       /* "reasoning" of its job, or NULL */
    const json_t *response_format; /* what answers were held to in its job, or NULL */
    const char *template;          /* what it was given in place of the model's own, or NULL */
    json_t *job_file;              /* what the three above lie in */
};

/* run: its folder, or NULL. One that cannot be read decides nothing: all is as without a run. */
void run_habits_read(const char *run, struct run_habits *out);
/* precision and kv_cache in their place, by their names; NULL: as the run was trained, and without a run kv_cache as goes with precision. */
void run_habits_override(struct run_habits *h, const char *precision, const char *kv_cache);
void run_habits_release(struct run_habits *h); /* all zeros is fine */
/* The model's prompter that keeps to them. template: in place of theirs and of the model's own, or NULL. */
MUST_CHECK bool run_habits_prompter(const struct run_habits *h, const struct model *m,
                                    const char *template, struct prompter **out, struct error *err);
#endif
