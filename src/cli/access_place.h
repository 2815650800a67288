/*
 * access_place.h - for commands about organisations, projects and keys: which store, which organisation, which project.
 *
 * They work on the store itself, beside a server that runs or without one. A store that is new begins as a server's first start
 * would: its first key is told on standard error.
 */
#ifndef HONE_CLI_ACCESS_PLACE_H
#define HONE_CLI_ACCESS_PLACE_H

#include "cli/command.h"
#include "store/access.h"
#include "text/json.h"

/* --home and --database. The caller's, to store_close. */
MUST_CHECK bool place_open(struct cli *c, struct store **out, struct error *err);
MUST_CHECK bool place_org(struct cli *c, struct store *s, struct org *out, struct error *err);
MUST_CHECK bool place_project(struct cli *c, struct store *s, struct project *out,
                              struct error *err);
/* --scopes, or def. */
MUST_CHECK bool place_scopes(struct cli *c, unsigned def, unsigned *out, struct error *err);
/* An entry of the audit log, by nobody's key. */
MUST_CHECK bool place_audit(struct store *s, const char *org_id, const char *project_id,
                            const char *action, const char *target, struct error *err);

/* The first argument says what is to be done. */
typedef bool place_fn(struct cli *c, struct store *s, const char *arg, struct error *err);
struct place_verb {
    const char *name;
    const char *arg; /* what its argument is called, or NULL where it has none */
    place_fn *fn;
};
/* Opens the store and does it; misuse for a verb that is none of these, or without its argument. */
MUST_CHECK bool place_run(struct cli *c, const struct place_verb *verbs, size_t n,
                          struct error *err);

/* "2026-11-29 12:00", or "-" for 0. */
const char *place_time(int64_t seconds, struct arena *a);
/* Text of somebody's on a line. */
const char *place_text(const char *text, struct arena *a);
#endif
