/*
 * session.h - from --model and --adapter to an open model that answers.
 */
#ifndef HONE_CLI_SESSION_H
#define HONE_CLI_SESSION_H

#include "cli/command.h"
#include "job/model_store.h"
#include "sample/engine.h"
#include "sample/prompt.h"

/* --threads and --kernels, for commands that compute. */
MUST_CHECK bool machine_setup(struct cli *c, struct error *err);

/* What a run decided for its own answers, and what is best for its adapter ever since. */
struct run_habits {
    size_t max_tokens;       /* of an answer; 0: not known */
    const json_t *reasoning; /* "reasoning" of its job, or NULL; owned by the session */
    const char *template;    /* what it was given in place of the model's own, or NULL */
};

struct session {
    struct model_ref ref;
    struct model *model;
    struct adapter *adapter; /* or NULL */
    struct engine *engine;
    struct prompter *prompter; /* where it was asked for */
    struct run_habits habits;
    json_t *job_file;
};

/*
 * name: a model in any form that model_store.h knows. adapter: a folder beside it, or NULL.
 * with_template: the model's chat template, or --template's, is opened, too.
 */
MUST_CHECK bool session_open(struct cli *c, const char *name, const char *adapter,
                             bool with_template, struct session *out, struct error *err);
/* --model and --adapter. */
MUST_CHECK bool session_open_options(struct cli *c, bool with_template, struct session *out,
                                     struct error *err);
void session_close(struct session *s); /* all zeros is fine */

/* Positions that the session's model offers. */
size_t session_context(const struct session *s);

/* The longest answer of the run that made ref's adapter; 0: not known, or there is none. */
size_t habitual_max_tokens(const struct model_ref *ref);

/* --template's file, or NULL. */
MUST_CHECK bool template_option(struct cli *c, const char **out, struct error *err);

/*
 * A grader, opened with the options for Python graders; what names its place: "job.json". hone: the job's own member
 * "hone", whose "shadow_graders" are measured beside it; or NULL.
 */
struct grader;
MUST_CHECK bool grader_from(struct cli *c, const json_t *spec, const json_t *hone, const char *what,
                            struct grader **out, struct error *err);
/* The one in --grader's file, or in that of a job, with its shadows. */
MUST_CHECK bool grader_option(struct cli *c, struct grader **out, struct error *err);
#endif
