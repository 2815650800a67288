/*
 * cmd_project.c - projects: what files, jobs, models and keys belong to.
 */
#include "base/size.h"
#include "cli/access_place.h"
#include "cli/commands.h"
#include "cli/output.h"

static json_t *project_json(const struct project *p)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "object", "organization.project", "id",
                     p->id, "organization_id", p->org_id, "name", p->name, "created_at",
                     (json_int_t)p->created_at, "quota_bytes", (json_int_t)p->quota_bytes,
                     "archived_at", (json_int_t)p->archived_at);
}

static bool tell(struct cli *c, const struct project *p, struct error *err)
{
    const char *quota = "no quota";

    if (c->json)
        return out_json_new(project_json(p), err);
    if (p->quota_bytes > 0)
        quota = arena_printf(c->arena, "%lld MB", (long long)(p->quota_bytes >> 20));
    return out_printf(err, "%s  %s  %s  %s%s\n", p->id, place_time(p->created_at, c->arena), quota,
                      place_text(p->name, c->arena), p->archived_at != 0 ? "  (archived)" : "");
}

static bool list(struct cli *c, struct store *s, const char *arg, struct error *err)
{
    struct project *all;
    struct org org;
    size_t n;

    (void)arg;
    if (!place_org(c, s, &org, err) || !access_projects(s, org.id, c->arena, &all, &n, err))
        return false;
    if (c->json) {
        json_t *data = json_array();

        for (size_t i = 0; i < n; i++)
            json_array_append_new(data, project_json(&all[i]));
        return out_json_new(json_pack("{s:s, s:o}", "object", "list", "data", data), err);
    }
    for (size_t i = 0; i < n; i++)
        if (!tell(c, &all[i], err))
            return false;
    return true;
}

static int64_t quota_of(const struct cli *c)
{
    return option_given(c->options, OPT_QUOTA) ? option_int(c->options, OPT_QUOTA) << 20 : -1;
}

static bool create(struct cli *c, struct store *s, const char *name, struct error *err)
{
    const int64_t quota = quota_of(c);
    struct project p;
    struct org org;

    if (!place_org(c, s, &org, err) || !access_new_project(s, org.id, name, c->arena, &p, err) ||
        (quota > 0 && !access_set_quota(s, p.id, quota, err)) ||
        !place_audit(s, org.id, p.id, "project.created", p.id, err))
        return false;
    p.quota_bytes = quota > 0 ? quota : 0;
    return tell(c, &p, err);
}

static bool do_change(struct cli *c, struct store *s, const char *id,
                      const struct project_change *to, const char *action, struct error *err)
{
    struct project p;

    return access_change_project(s, id, to, err) && access_project(s, id, c->arena, &p, err) &&
           place_audit(s, p.org_id, p.id, action, p.id, err) && tell(c, &p, err);
}

static bool change(struct cli *c, struct store *s, const char *id, struct error *err)
{
    const struct project_change to = {.name = option_text(c->options, OPT_NAME),
                                      .quota_bytes = quota_of(c)};

    if (to.name == NULL && to.quota_bytes < 0)
        return misuse(c, err, "hone project change needs --name or --quota");
    return do_change(c, s, id, &to, "project.updated", err);
}

static bool archive(struct cli *c, struct store *s, const char *id, struct error *err)
{
    const struct project_change to = {.quota_bytes = -1, .archive = true};

    return do_change(c, s, id, &to, "project.archived", err);
}

static bool run(struct cli *c, struct error *err)
{
    static const struct place_verb verbs[] = {
        {"list", NULL, list},
        {"create", "NAME", create},
        {"change", "PROJECT_ID", change},
        {"archive", "PROJECT_ID", archive},
    };

    return place_run(c, verbs, COUNT_OF(verbs), err);
}

static const enum option_id ids[] = {OPT_ORG, OPT_NAME, OPT_QUOTA, OPT_DATABASE, OPT_HOME};

const struct command cmd_project = {
    .set = {.command = "project",
            .args = "list|create NAME|change ID|archive ID",
            .min_args = 1,
            .max_args = 2,
            .summary = "projects of an organisation, which files, jobs and keys belong to",
            .details = "What belongs to one project is invisible to others. The keys of an "
                       "archived project are none any more.",
            .examples = "  hone project create \"Rare diseases\" --quota 20000\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
