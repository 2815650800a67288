/*
 * cmd_org.c - organisations: who they are, and how new ones come in.
 */
#include "base/clock.h"
#include "base/size.h"
#include "cli/access_place.h"
#include "cli/commands.h"
#include "cli/output.h"

#define INVITE_DAYS 14

static json_t *org_json(const struct org *o)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I}", "object", "organization", "id", o->id, "name",
                     o->name, "slug", o->slug, "created_at", (json_int_t)o->created_at);
}

static bool list(struct cli *c, struct store *s, const char *arg, struct error *err)
{
    struct org *all;
    size_t n;

    (void)arg;
    if (!access_orgs(s, c->arena, &all, &n, err))
        return false;
    if (c->json) {
        json_t *data = json_array();

        for (size_t i = 0; i < n; i++)
            json_array_append_new(data, org_json(&all[i]));
        return out_json_new(json_pack("{s:s, s:o}", "object", "list", "data", data), err);
    }
    for (size_t i = 0; i < n; i++)
        if (!out_printf(err, "%s  %s  %s  %s\n", all[i].id, place_time(all[i].created_at, c->arena),
                        all[i].slug, place_text(all[i].name, c->arena)))
            return false;
    return true;
}

static bool create(struct cli *c, struct store *s, const char *name, struct error *err)
{
    struct new_key k = {.name = "First key", .scopes = SCOPE_ADMIN};
    struct org org;
    struct project p;
    struct api_key key;
    char *secret;

    if (!access_new_org(s, name, c->arena, &org, err) ||
        !access_new_project(s, org.id, "Default project", c->arena, &p, err))
        return false;
    k.project_id = p.id;
    if (!access_new_key(s, &k, c->arena, &key, &secret, err) ||
        !place_audit(s, org.id, p.id, "organization.created", org.id, err))
        return false;
    if (c->json)
        return out_json_new(json_pack("{s:o, s:s, s:s}", "organization", org_json(&org),
                                      "project_id", p.id, "api_key", secret),
                            err);
    return out_printf(err, "%s (%s), with the project %s\nits first key, told only now: %s\n",
                      org.id, org.slug, p.id, secret);
}

static bool invite(struct cli *c, struct store *s, const char *name, struct error *err)
{
    const int64_t days =
        option_given(c->options, OPT_DAYS) ? option_int(c->options, OPT_DAYS) : INVITE_DAYS;
    struct invitation i;
    struct org own;
    char *code;

    if (!place_org(c, s, &own, err) ||
        !access_invite(s, name, option_text(c->options, OPT_NOTE), clock_unix() + days * 86400,
                       c->arena, &i, &code, err) ||
        !place_audit(s, own.id, NULL, "invite.sent", i.id, err))
        return false;
    if (c->json)
        return out_json_new(json_pack("{s:s, s:s, s:s, s:I}", "id", i.id, "name", i.name, "code",
                                      code, "expires_at", (json_int_t)i.expires_at),
                            err);
    return out_printf(err,
                      "the code, told only now, good once until %s: %s\n"
                      "it is used with: hone org accept CODE, or POST "
                      "/v1/organization/invites/accept {\"code\": CODE}\n",
                      place_time(i.expires_at, c->arena), code);
}

static bool invitations(struct cli *c, struct store *s, const char *arg, struct error *err)
{
    struct invitation *all;
    size_t n;

    (void)arg;
    if (!access_invitations(s, c->arena, &all, &n, err))
        return false;
    if (c->json) {
        json_t *data = json_array();

        for (size_t i = 0; i < n; i++)
            json_array_append_new(
                data, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s?}", "id", all[i].id, "name",
                                all[i].name, "note", all[i].note, "created_at",
                                (json_int_t)all[i].created_at, "expires_at",
                                (json_int_t)all[i].expires_at, "used_at",
                                (json_int_t)all[i].used_at, "organization_id", all[i].org_id));
        return out_json_new(json_pack("{s:s, s:o}", "object", "list", "data", data), err);
    }
    for (size_t i = 0; i < n; i++)
        if (!out_printf(err, "%s  %-8s  until %s  %s  %s\n", all[i].id,
                        all[i].used_at != 0                 ? "used"
                        : all[i].expires_at <= clock_unix() ? "over"
                                                            : "open",
                        place_time(all[i].expires_at, c->arena), place_text(all[i].name, c->arena),
                        place_text(all[i].note, c->arena)))
            return false;
    return true;
}

static bool accept(struct cli *c, struct store *s, const char *code, struct error *err)
{
    struct org org;
    struct project p;
    char *key;

    if (!access_accept(s, str_of(code), c->arena, &org, &p, &key, err) ||
        !place_audit(s, org.id, p.id, "invite.accepted", org.id, err))
        return false;
    if (c->json)
        return out_json_new(json_pack("{s:o, s:s, s:s}", "organization", org_json(&org),
                                      "project_id", p.id, "api_key", key),
                            err);
    return out_printf(err, "%s (%s), with the project %s\nits first key, told only now: %s\n",
                      org.id, org.slug, p.id, key);
}

static bool run(struct cli *c, struct error *err)
{
    static const struct place_verb verbs[] = {
        {"list", NULL, list},       {"create", "NAME", create},         {"invite", "NAME", invite},
        {"accept", "CODE", accept}, {"invitations", NULL, invitations},
    };

    return place_run(c, verbs, COUNT_OF(verbs), err);
}

static const enum option_id ids[] = {OPT_DAYS, OPT_NOTE, OPT_ORG, OPT_DATABASE, OPT_HOME};

const struct command cmd_org = {
    .set = {.command = "org",
            .args = "list|create NAME|invite NAME|accept CODE|invitations",
            .min_args = 1,
            .max_args = 2,
            .summary = "organisations that use this server, and invitations to more",
            .details = "Each has projects, keys and an audit log that no other sees. An invitation "
                       "is a code that is good once, within a time: whoever has it gets an "
                       "organisation with a project and an admin key. The organisation of the "
                       "first start is the operator's.",
            .examples = "  hone org invite \"Institute of Genetics\" --note lab@example.org\n"
                        "  hone org list\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
