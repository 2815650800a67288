/*
 * cmd_key.c - API keys: made, changed, revoked. A key itself is told once, when it is made.
 */
#include "base/clock.h"
#include "base/size.h"
#include "cli/access_place.h"
#include "cli/commands.h"
#include "cli/output.h"

#include <inttypes.h>

static json_t *key_json(const struct api_key *k, const char *secret)
{
    const char *names[3];
    const size_t n = access_scope_names(k->scopes, names);
    json_t *scopes = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(scopes, json_string(names[i]));
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "object",
                  "organization.project.api_key", "id", k->id, "project_id", k->project_id, "name",
                  k->name, "redacted_value", k->hint, "scopes", scopes, "created_at",
                  (json_int_t)k->created_at, "last_used_at", (json_int_t)k->last_used_at,
                  "revoked_at", (json_int_t)k->revoked_at, "expires_at", (json_int_t)k->expires_at,
                  "requests_per_minute", (json_int_t)k->requests_per_minute, "concurrent_requests",
                  (json_int_t)k->concurrent_requests);
    if (secret != NULL)
        json_object_set_new(o, "value", json_string(secret));
    return o;
}

static bool tell(struct cli *c, const struct api_key *k, struct error *err)
{
    const char *names[3], *scopes = "", *limits = "";
    const size_t n = access_scope_names(k->scopes, names);
    const bool over = k->expires_at != 0 && k->expires_at <= clock_unix();

    if (c->json)
        return out_json_new(key_json(k, NULL), err);
    for (size_t i = 0; i < n; i++)
        scopes = arena_printf(c->arena, "%s%s%s", scopes, i > 0 ? "," : "", names[i]);
    if (k->requests_per_minute > 0)
        limits = arena_printf(c->arena, "  %" PRId64 " a minute", k->requests_per_minute);
    if (k->concurrent_requests > 0)
        limits = arena_printf(c->arena, "%s  %" PRId64 " at once", limits, k->concurrent_requests);
    return out_printf(err, "%s  %s  %-11s  used %s%s  %s%s\n", k->id, k->hint, scopes,
                      place_time(k->last_used_at, c->arena), limits, place_text(k->name, c->arena),
                      k->revoked_at != 0 ? "  (revoked)"
                      : over             ? "  (over)"
                                         : "");
}

static bool list(struct cli *c, struct store *s, const char *arg, struct error *err)
{
    struct api_key *all;
    struct project p;
    size_t n;

    (void)arg;
    if (!place_project(c, s, &p, err) || !access_keys(s, p.id, c->arena, &all, &n, err))
        return false;
    if (c->json) {
        json_t *data = json_array();

        for (size_t i = 0; i < n; i++)
            json_array_append_new(data, key_json(&all[i], NULL));
        return out_json_new(json_pack("{s:s, s:o}", "object", "list", "data", data), err);
    }
    for (size_t i = 0; i < n; i++)
        if (!tell(c, &all[i], err))
            return false;
    return true;
}

/* Typed, for what the configuration says is the server's. */
static int64_t typed_or(const struct cli *c, enum option_id id, int64_t other)
{
    return option_typed(c->options, id) ? option_int(c->options, id) : other;
}

static int64_t end_or(const struct cli *c, int64_t other)
{
    return option_given(c->options, OPT_DAYS)
               ? clock_unix() + option_int(c->options, OPT_DAYS) * 86400
               : other;
}

static bool create(struct cli *c, struct store *s, const char *name, struct error *err)
{
    struct new_key k = {.name = name,
                        .requests_per_minute = typed_or(c, OPT_REQUESTS_PER_MINUTE, 0),
                        .concurrent_requests = typed_or(c, OPT_CONCURRENT_REQUESTS, 0),
                        .expires_at = end_or(c, 0)};
    struct api_key made;
    struct project p;
    char *secret;

    if (!place_scopes(c, SCOPE_TRAIN, &k.scopes, err) || !place_project(c, s, &p, err))
        return false;
    k.project_id = p.id;
    if (!access_new_key(s, &k, c->arena, &made, &secret, err) ||
        !place_audit(s, p.org_id, p.id, "api_key.created", made.id, err))
        return false;
    if (c->json)
        return out_json_new(key_json(&made, secret), err);
    return out_printf(err, "%s of the project %s, told only now: %s\n", made.id, p.id, secret);
}

/* Wherever it is, unless --org or --project say where. */
static bool find(struct cli *c, struct store *s, const char *id, struct org *org,
                 struct api_key *out, struct error *err)
{
    struct org *orgs;
    size_t n_orgs;

    if (!access_orgs(s, c->arena, &orgs, &n_orgs, err))
        return false;
    for (size_t i = 0; i < n_orgs; i++) {
        struct api_key *keys;
        size_t n;

        if (!access_org_keys(s, orgs[i].id, c->arena, &keys, &n, err))
            return false;
        for (size_t k = 0; k < n; k++)
            if (strcmp(keys[k].id, id) == 0) {
                *org = orgs[i];
                *out = keys[k];
                return true;
            }
    }
    return fail_param(err, ERR_NOT_FOUND, "key",
                      "there is no key \"%.100s\"; hone key list shows their ids (key_...)", id);
}

static bool change(struct cli *c, struct store *s, const char *id, struct error *err)
{
    struct key_change to = {.name = option_text(c->options, OPT_NAME),
                            .requests_per_minute = typed_or(c, OPT_REQUESTS_PER_MINUTE, -1),
                            .concurrent_requests = typed_or(c, OPT_CONCURRENT_REQUESTS, -1),
                            .expires_at = end_or(c, -1)};
    struct api_key k;
    struct org org;

    return (!option_given(c->options, OPT_SCOPES) || place_scopes(c, 0, &to.scopes, err)) &&
           find(c, s, id, &org, &k, err) && access_change_key(s, k.project_id, id, &to, err) &&
           place_audit(s, org.id, k.project_id, "api_key.updated", id, err) &&
           find(c, s, id, &org, &k, err) && tell(c, &k, err);
}

static bool revoke(struct cli *c, struct store *s, const char *id, struct error *err)
{
    struct api_key k;
    struct org org;

    if (!find(c, s, id, &org, &k, err) || !access_revoke_key(s, k.project_id, id, err) ||
        !place_audit(s, org.id, k.project_id, "api_key.deleted", id, err))
        return false;
    if (c->json)
        return out_json_new(json_pack("{s:s, s:b}", "id", id, "revoked", 1), err);
    return out_printf(err, "%s is revoked: servers that run refuse it within five seconds\n", id);
}

static bool run(struct cli *c, struct error *err)
{
    static const struct place_verb verbs[] = {
        {"list", NULL, list},
        {"create", "NAME", create},
        {"change", "KEY_ID", change},
        {"revoke", "KEY_ID", revoke},
    };

    return place_run(c, verbs, COUNT_OF(verbs), err);
}

static const enum option_id ids[] = {
    OPT_ORG,  OPT_PROJECT,  OPT_SCOPES, OPT_REQUESTS_PER_MINUTE, OPT_CONCURRENT_REQUESTS, OPT_DAYS,
    OPT_NAME, OPT_DATABASE, OPT_HOME,
};

const struct command cmd_key = {
    .set = {.command = "key",
            .args = "list|create NAME|change ID|revoke ID",
            .min_args = 1,
            .max_args = 2,
            .summary = "API keys of a project: what they may do, and how much of it",
            .details = "A key is told once, when it is made; the store keeps its hash alone. Its "
                       "own limits, where it has any, stand in place of the server's.",
            .examples = "  hone key create laptop --scopes use --requests-per-minute 60\n"
                        "  hone key revoke key_4kq...\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
