/*
 * cmd_audit.c - who changed what.
 */
#include "base/size.h"
#include "cli/access_place.h"
#include "cli/commands.h"
#include "cli/output.h"

static bool tell(struct cli *c, const struct audit_entry *e, struct error *err)
{
    if (c->json)
        return out_json_new(json_pack("{s:I, s:I, s:s, s:s?, s:s, s:s?, s:s?, s:s?}", "seq",
                                      (json_int_t)e->seq, "at", (json_int_t)e->at, "action",
                                      e->action, "target", e->target, "outcome", e->outcome,
                                      "key_id", e->key_id, "project_id", e->project_id, "address",
                                      e->address),
                            err);
    return out_printf(err, "%s  %-28s %-10s %s  %s  %s\n", place_time(e->at, c->arena), e->action,
                      e->outcome, e->target != NULL ? e->target : "-",
                      e->key_id != NULL ? e->key_id : "-", e->address != NULL ? e->address : "-");
}

static bool run(struct cli *c, struct error *err)
{
    struct audit_filter f = {.actions = "",
                             .projects = "",
                             .keys = "",
                             .targets = "",
                             .to = INT64_MAX,
                             .before = INT64_MAX};
    struct audit_entry *all;
    struct store *s = NULL;
    struct org org;
    size_t n = 0;

    if (!place_open(c, &s, err))
        return false;
    bool ok = place_org(c, s, &org, err);
    f.org_id = ok ? org.id : NULL;
    ok = ok && audit_find(s, &f, (size_t)option_int(c->options, OPT_LAST), c->arena, &all, &n, err);
    for (size_t i = n; ok && i > 0; i--) /* the newest at the end, as in any log */
        ok = tell(c, &all[i - 1], err);
    store_close(s);
    return ok;
}

static const enum option_id ids[] = {OPT_LAST, OPT_ORG, OPT_DATABASE, OPT_HOME};

const struct command cmd_audit = {
    .set = {.command = "audit",
            .args = "",
            .summary = "who changed what in an organisation, and when",
            .details = "With --json an entry a line.",
            .examples = "  hone audit --last 20\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
