/*
 * services.h - the models that graders ask: who judges under which name, and what embeds.
 *
 * Who is asked where a grader names a model NAME, the first of these that is there:
 *
 *     "hone": {"judges": {NAME: WHO, "*": WHO}}      of the job; "*" is every name that has no line of its own
 *     --judge WHO                                    for every name
 *     a model NAME in the store
 *
 *     WHO = "https://host/v1"                        an OpenAI-compatible address; the key is HONE_JUDGE_KEY's value
 *         | {"base_url": "https://...", "model"?: the name there, "api_key_env"?: the variable that holds the key}
 *           (of a job that came by a request a key is sent only where --request-key-env names its variable)
 *         | "base"                                   the model that is trained or measured, without its adapter
 *         | a model of hone's, in any form that --model takes, or {"model": such a one}
 *           (of a job that came by a request only a model that its project may use, see server/project_model.h)
 *
 * A model of hone's is opened when the first grader names it, and a mistake in what it is called is told then, before
 * anything is computed.
 */
#ifndef HONE_CLI_SERVICES_H
#define HONE_CLI_SERVICES_H

#include "cli/command.h"
#include "grade/grader.h"
#include "sample/prompt.h"

struct services;
/*
 * hone: the job's "hone", or NULL. has_base: services_lend_base will be called, so a grader may ask for "base".
 */
MUST_CHECK bool services_open(struct cli *c, const json_t *hone, bool has_base,
                              struct services **out, struct error *err);
void services_close(struct services *s); /* after the graders; NULL is fine */
const struct grade_services *services_for_graders(const struct services *s);

bool services_asks_base(const struct services *s); /* whether some grader asks for "base" */
/*
 * The model that is trained or measured judges, too, where a grader asks for "base"; else nothing happens. changes: its own
 * weights are trained, so it cannot. m and p must outlive the services.
 */
MUST_CHECK bool services_lend_base(struct services *s, const struct model *m,
                                   const struct prompter *p, bool changes, struct error *err);
#endif
