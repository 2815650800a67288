/*
 * session.h - from --model and --adapter to an open model that answers.
 */
#ifndef HONE_CLI_SESSION_H
#define HONE_CLI_SESSION_H

#include "cli/command.h"
#include "job/model_store.h"
#include "job/run_habits.h"
#include "sample/engine.h"

/* --threads and --kernels, for commands that compute. */
MUST_CHECK bool machine_setup(struct cli *c, struct error *err);
/* What a model is to compute in: --precision and --kv-cache, and what its run was trained in where they are not given. */
void machine_arithmetic(const struct cli *c, struct run_habits *habits, struct model *m);

struct session {
    struct model_ref ref;
    struct model *model;
    struct adapter *adapter; /* or NULL */
    struct engine *engine;
    struct prompter *prompter; /* where it was asked for */
    struct run_habits habits;  /* of the run that made the adapter */
};

/* Which files these are; adapter may be NULL. */
MUST_CHECK bool session_find(struct cli *c, const char *name, const char *adapter,
                             struct model_ref *ref, struct error *err);
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

/* --template's file, or NULL. */
MUST_CHECK bool template_option(struct cli *c, const char **out, struct error *err);

#endif
