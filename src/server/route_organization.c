/*
 * route_organization.c - projects, keys, invitations and the audit log of an organisation, for its admin keys.
 *
 * In the shapes of the service where it has them. What is ours beside: "scopes" of a key (use, train, admin), its limits, a
 * project's quota, POST .../api_keys, and invitations, which are of whole organisations: a code is good once for an
 * organisation with a project and a key. Only the organisation that was there first, the operator's, invites.
 */
#include "base/clock.h"
#include "base/size.h"
#include "server/api_internal.h"
#include "server/routes.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_LISTED 100
#define MOST_SECONDS ((int64_t)10 * 366 * 86400) /* of a key's life */
#define INVITE_DAYS 14
#define MOST_INVITE_DAYS 366
#define ACCEPTS_PER_MINUTE 10 /* of one address */
#define ACCEPTS_AT_ONCE 2
#define MOST_NUMBER 1000000000

/* ---- pages of what is small ---- */

/* all: oldest first, each with an "id"; given up. */
static bool reply_page(struct api_call *c, json_t *all, bool ascending, struct error *err)
{
    const size_t n = json_array_size(all);
    struct store_page page;
    size_t at = 0;
    bool found;

    if (!api_page(c, 20, MOST_LISTED, ascending, &page, err)) {
        json_decref(all);
        return false;
    }
    found = page.after == NULL;
    for (size_t k = 0; k < n && !found; k++) {
        const json_t *item = json_array_get(all, page.ascending ? k : n - 1 - k);

        found = str_is(json_str(json_object_get(item, "id")), page.after);
        at = k + 1;
    }
    if (!found) {
        json_decref(all);
        return fail_param(err, ERR_NOT_FOUND, "after", "there is nothing of this id in the list");
    }
    json_t *data = json_array();
    for (size_t k = at; k < n && k < at + page.limit; k++)
        json_array_append(data, json_array_get(all, page.ascending ? k : n - 1 - k));
    json_decref(all);
    return api_reply_list(c, data, at + page.limit < n);
}

static json_t *deleted(struct str id, const char *object)
{
    return json_pack("{s:s%, s:s, s:b}", "id", id.ptr, id.len, "object", object, "deleted", 1);
}

/* ---- projects ---- */

static json_t *project_json(const struct project *p)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:o, s:s, s:I}", "id", p->id, "object",
                     "organization.project", "name", p->name, "created_at",
                     (json_int_t)p->created_at, "archived_at", api_time_or_null(p->archived_at),
                     "status", p->archived_at != 0 ? "archived" : "active", "quota_bytes",
                     (json_int_t)p->quota_bytes);
}

/* One of the caller's organisation. */
static bool find_project(struct api_call *c, struct project *out, struct error *err)
{
    const struct str id = c->id[0];

    if (store_id_is(id, "") &&
        access_project(c->store, arena_text(c->arena, id), c->arena, out, err) &&
        strcmp(out->org_id, c->who.org_id) == 0)
        return true;
    return fail_param(err, ERR_NOT_FOUND, "project_id",
                      "there is no project of this id in your organisation");
}

static bool list_projects(struct api_call *c, struct error *err)
{
    const bool archived = str_is(http_query(c->x, "include_archived"), "true");
    struct project *all;
    size_t n;

    if (!access_projects(c->store, c->who.org_id, c->arena, &all, &n, err))
        return false;
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        if (archived || all[i].archived_at == 0)
            json_array_append_new(data, project_json(&all[i]));
    return reply_page(c, data, true, err);
}

/* What the service offers and a server of one's own has no meaning for. */
static bool only_ours(const json_t *body, struct error *err)
{
    static const char *const foreign[] = {"external_key_id", "geography", "residency"};

    for (size_t i = 0; i < COUNT_OF(foreign); i++) {
        const json_t *v = json_object_get(body, foreign[i]);

        if (v != NULL && !json_is_null(v))
            return fail_param(err, ERR_UNSUPPORTED, foreign[i],
                              "\"%s\" is not offered: everything lies where this server keeps it",
                              foreign[i]);
    }
    return true;
}

static bool create_project(struct api_call *c, struct error *err)
{
    const char *name;
    struct project p;
    int64_t quota;

    if (!api_need_body(c, err) || !only_ours(c->body, err) ||
        !api_text(c->body, "name", true, 800, c->arena, &name, err) ||
        !json_get_int(c->body, "quota_bytes", "the request", 0, 0, INT64_MAX, &quota, err) ||
        !access_new_project(c->store, c->who.org_id, name, c->arena, &p, err) ||
        (quota > 0 && !access_set_quota(c->store, p.id, quota, err)))
        return false;
    p.quota_bytes = quota;
    return api_reply(c, 200, project_json(&p));
}

static bool get_project(struct api_call *c, struct error *err)
{
    struct project p;

    return find_project(c, &p, err) && api_reply(c, 200, project_json(&p));
}

static bool change_project(struct api_call *c, struct error *err)
{
    struct project_change to;
    struct project p;

    return api_need_body(c, err) && only_ours(c->body, err) && find_project(c, &p, err) &&
           api_text(c->body, "name", false, 800, c->arena, &to.name, err) &&
           json_get_int(c->body, "quota_bytes", "the request", -1, 0, INT64_MAX, &to.quota_bytes,
                        err) &&
           ((to.archive = false), access_change_project(c->store, p.id, &to, err)) &&
           get_project(c, err);
}

static bool archive_project(struct api_call *c, struct error *err)
{
    const struct project_change to = {.quota_bytes = -1, .archive = true};
    struct api_key *keys;
    struct project p;
    size_t n;

    if (!find_project(c, &p, err) || !access_keys(c->store, p.id, c->arena, &keys, &n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (keys[i].revoked_at == 0 && (keys[i].scopes & SCOPE_ADMIN) != 0)
            return fail_param(err, ERR_INVALID, "project_id",
                              "the project holds the admin key %s, which would be none any more: "
                              "delete it first",
                              keys[i].id);
    if (!access_change_project(c->store, p.id, &to, err))
        return false;
    api_forget_keys(c->api);
    return get_project(c, err);
}

/* ---- keys ---- */

static bool is_admin(const struct api_key *k)
{
    return (k->scopes & SCOPE_ADMIN) != 0;
}

static json_t *key_json(const struct api_key *k, const char *secret)
{
    const char *names[3];
    const size_t n = access_scope_names(k->scopes, names);
    json_t *scopes = json_array();
    json_t *owner = json_pack("{s:s, s:s, s:I, s:s}", "id", k->id, "name", k->name, "created_at",
                              (json_int_t)k->created_at, "role", is_admin(k) ? "owner" : "member");

    for (size_t i = 0; i < n; i++)
        json_array_append_new(scopes, json_string(names[i]));
    if (is_admin(k))
        json_object_set_new(owner, "type", json_string("service_account"));
    else
        owner = json_pack("{s:s, s:o}", "type", "service_account", "service_account", owner);
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:s, s:o, s:I, s:I}", "object",
        is_admin(k) ? "organization.admin_api_key" : "organization.project.api_key", "id", k->id,
        "name", k->name, "redacted_value", k->hint, "created_at", (json_int_t)k->created_at,
        "last_used_at", api_time_or_null(k->last_used_at), "expires_at",
        api_time_or_null(k->expires_at), "owner", owner, "project_id", k->project_id, "scopes",
        scopes, "requests_per_minute", (json_int_t)k->requests_per_minute, "concurrent_requests",
        (json_int_t)k->concurrent_requests);
    if (!is_admin(k))
        json_object_set_new(o, "owner_project_access", json_string("active"));
    if (secret != NULL)
        json_object_set_new(o, "value", json_string(secret));
    return o;
}

/* Of a body; *out 0 where none are named. */
static bool read_scopes(const json_t *body, unsigned *out, struct error *err)
{
    const json_t *list = json_object_get(body, "scopes");

    *out = 0;
    if (list == NULL || json_is_null(list))
        return true;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const unsigned scope = access_scope(json_str(json_array_get(list, i)));

        if (scope == 0 || scope == SCOPE_ADMIN)
            return fail_param(err, ERR_INVALID, "scopes",
                              scope == 0
                                  ? "member %zu of \"scopes\" is neither \"use\" nor \"train\""
                                  : "member %zu of \"scopes\" is \"admin\": such keys are made at "
                                    "/v1/organization/admin_api_keys",
                              i);
        *out |= scope;
    }
    return *out != 0 ||
           fail_param(err, ERR_INVALID, "scopes",
                      "\"scopes\" is %s, a list with \"use\" or \"train\" in it was expected",
                      json_is_array(list) ? "empty" : json_kind(list));
}

/* Numbers that a body does not name stay as to has them. */
static bool read_bounds(const json_t *body, struct key_change *to, struct error *err)
{
    int64_t seconds;

    if (!json_get_int(body, "requests_per_minute", "the request", to->requests_per_minute, 0,
                      MOST_NUMBER, &to->requests_per_minute, err) ||
        !json_get_int(body, "concurrent_requests", "the request", to->concurrent_requests, 0,
                      MOST_NUMBER, &to->concurrent_requests, err) ||
        !json_get_int(body, "expires_in_seconds", "the request", 0, 1, MOST_SECONDS, &seconds, err))
        return false;
    if (seconds > 0)
        to->expires_at = clock_unix() + seconds;
    return true;
}

static bool make_key(struct api_call *c, const char *project_id, bool admin, struct error *err)
{
    struct new_key k = {.project_id = project_id};
    struct key_change bounds = {0};
    struct api_key made;
    char *secret;

    if (!api_need_body(c, err) || !api_text(c->body, "name", true, 800, c->arena, &k.name, err) ||
        (!admin && !read_scopes(c->body, &k.scopes, err)) || !read_bounds(c->body, &bounds, err))
        return false;
    if (k.scopes == 0)
        k.scopes = admin ? SCOPE_ADMIN : SCOPE_TRAIN;
    k.requests_per_minute = bounds.requests_per_minute;
    k.concurrent_requests = bounds.concurrent_requests;
    k.expires_at = bounds.expires_at;
    if (!access_new_key(c->store, &k, c->arena, &made, &secret, err))
        return false;
    c->target = made.id;
    return api_reply(c, 200, key_json(&made, secret));
}

/* The key of this id that is one still, of this kind. */
static bool pick_key(const struct api_key *all, size_t n, struct str id, bool admin,
                     struct api_key *out, struct error *err)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(id, all[i].id) && all[i].revoked_at == 0 && is_admin(&all[i]) == admin) {
            *out = all[i];
            return true;
        }
    return fail_param(err, ERR_NOT_FOUND, "key_id", "there is no key of this id here");
}

static bool reply_keys(struct api_call *c, const struct api_key *all, size_t n, bool admin,
                       struct error *err)
{
    json_t *data = json_array();

    for (size_t i = 0; i < n; i++)
        if (all[i].revoked_at == 0 && is_admin(&all[i]) == admin)
            json_array_append_new(data, key_json(&all[i], NULL));
    return reply_page(c, data, true, err);
}

static bool revoke(struct api_call *c, const struct api_key *k, const char *object,
                   struct error *err)
{
    if (!access_revoke_key(c->store, k->project_id, k->id, err))
        return false;
    api_forget_keys(c->api);
    c->target = k->id;
    return api_reply(c, 200, deleted(str_of(k->id), object));
}

/* ---- keys of a project ---- */

static bool project_keys(struct api_call *c, struct api_key **all, size_t *n, struct error *err)
{
    struct project p;

    return find_project(c, &p, err) && access_keys(c->store, p.id, c->arena, all, n, err);
}

static bool find_key(struct api_call *c, struct api_key *out, struct error *err)
{
    struct api_key *all;
    size_t n;

    return project_keys(c, &all, &n, err) && pick_key(all, n, c->id[1], false, out, err);
}

static bool create_key(struct api_call *c, struct error *err)
{
    struct project p;

    if (!find_project(c, &p, err))
        return false;
    if (p.archived_at != 0)
        return fail_param(err, ERR_INVALID, "project_id", "the project is archived");
    return make_key(c, p.id, false, err);
}

static bool list_keys(struct api_call *c, struct error *err)
{
    struct api_key *all;
    size_t n;

    return project_keys(c, &all, &n, err) && reply_keys(c, all, n, false, err);
}

static bool get_key(struct api_call *c, struct error *err)
{
    struct api_key k;

    return find_key(c, &k, err) && api_reply(c, 200, key_json(&k, NULL));
}

static bool change_key(struct api_call *c, struct error *err)
{
    struct key_change to = {.requests_per_minute = -1, .concurrent_requests = -1, .expires_at = -1};
    struct api_key k;

    if (!api_need_body(c, err) || !find_key(c, &k, err) ||
        !api_text(c->body, "name", false, 800, c->arena, &to.name, err) ||
        !read_scopes(c->body, &to.scopes, err) || !read_bounds(c->body, &to, err) ||
        !access_change_key(c->store, k.project_id, k.id, &to, err))
        return false;
    api_forget_keys(c->api);
    c->target = k.id;
    return get_key(c, err);
}

static bool delete_key(struct api_call *c, struct error *err)
{
    struct api_key k;

    return find_key(c, &k, err) && revoke(c, &k, "organization.project.api_key.deleted", err);
}

/* ---- admin keys ---- */

static bool create_admin_key(struct api_call *c, struct error *err)
{
    return make_key(c, c->who.project_id, true, err);
}

static bool list_admin_keys(struct api_call *c, struct error *err)
{
    struct api_key *all;
    size_t n;

    return access_org_keys(c->store, c->who.org_id, c->arena, &all, &n, err) &&
           reply_keys(c, all, n, true, err);
}

static bool find_admin_key(struct api_call *c, struct api_key *out, struct error *err)
{
    struct api_key *all;
    size_t n;

    return access_org_keys(c->store, c->who.org_id, c->arena, &all, &n, err) &&
           pick_key(all, n, c->id[0], true, out, err);
}

static bool get_admin_key(struct api_call *c, struct error *err)
{
    struct api_key k;

    return find_admin_key(c, &k, err) && api_reply(c, 200, key_json(&k, NULL));
}

static bool delete_admin_key(struct api_call *c, struct error *err)
{
    struct api_key k;

    return find_admin_key(c, &k, err) && revoke(c, &k, "organization.admin_api_key.deleted", err);
}

/* ---- invitations ---- */

static json_t *invite_json(const struct invitation *i, const char *code)
{
    const char *status = i->used_at != 0                 ? "accepted"
                         : i->expires_at <= clock_unix() ? "expired"
                                                         : "pending";
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:[], s:I, s:I, s:o, s:o}", "object",
                  "organization.invite", "id", i->id, "name", i->name, "email", i->note, "role",
                  "owner", "status", status, "projects", "created_at", (json_int_t)i->created_at,
                  "expires_at", (json_int_t)i->expires_at, "accepted_at",
                  api_time_or_null(i->used_at), "organization_id", api_or_null(i->org_id));

    if (code != NULL)
        json_object_set_new(o, "code", json_string(code));
    return o;
}

static bool must_be_operator(struct api_call *c, struct error *err)
{
    bool is_operator;

    return api_is_operator(c, &is_operator, err) &&
           (is_operator || fail_code(err, ERR_INVALID, "forbidden", "",
                                     "only the organisation that runs this server invites others"));
}

static bool create_invite(struct api_call *c, struct error *err)
{
    const char *name, *email, *role;
    struct invitation i;
    char *code;
    int64_t days;

    if (!must_be_operator(c, err) || !api_need_body(c, err) ||
        !api_text(c->body, "email", false, 320, c->arena, &email, err) ||
        !api_text(c->body, "name", email == NULL, 800, c->arena, &name, err) ||
        !api_text(c->body, "role", false, 16, c->arena, &role, err) ||
        !json_get_int(c->body, "expires_in_days", "the request", INVITE_DAYS, 1, MOST_INVITE_DAYS,
                      &days, err))
        return false;
    if (role != NULL && strcmp(role, "owner") != 0)
        return fail_param(err, ERR_UNSUPPORTED, "role",
                          "\"role\" is \"%s\": an invitation here is for an organisation of its "
                          "own, whose first key is its owner's",
                          role);
    if (json_array_size(json_object_get(c->body, "projects")) > 0)
        return fail_param(err, ERR_UNSUPPORTED, "projects",
                          "an invitation here is for an organisation with a project of its own");
    if (!access_invite(c->store, name != NULL ? name : email, email, clock_unix() + days * 86400,
                       c->arena, &i, &code, err))
        return false;
    c->target = i.id;
    return api_reply(c, 200, invite_json(&i, code));
}

static bool list_invites(struct api_call *c, struct error *err)
{
    struct invitation *all;
    size_t n;

    if (!must_be_operator(c, err) || !access_invitations(c->store, c->arena, &all, &n, err))
        return false;
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(data, invite_json(&all[i], NULL));
    return reply_page(c, data, true, err);
}

static bool find_invite(struct api_call *c, struct invitation *out, struct error *err)
{
    struct invitation *all;
    size_t n;

    if (!must_be_operator(c, err) || !access_invitations(c->store, c->arena, &all, &n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (str_is(c->id[0], all[i].id)) {
            *out = all[i];
            return true;
        }
    return fail_param(err, ERR_NOT_FOUND, "invite_id", "there is no invitation of this id");
}

static bool get_invite(struct api_call *c, struct error *err)
{
    struct invitation i;

    return find_invite(c, &i, err) && api_reply(c, 200, invite_json(&i, NULL));
}

static bool delete_invite(struct api_call *c, struct error *err)
{
    struct invitation i;

    return find_invite(c, &i, err) && access_uninvite(c->store, i.id, err) &&
           api_reply(c, 200, deleted(str_of(i.id), "organization.invite.deleted"));
}

static bool use_code(struct api_call *c, struct error *err)
{
    const char *code;
    struct org org;
    struct project p;
    char *key;

    if (!api_need_body(c, err) || !api_text(c->body, "code", true, 256, c->arena, &code, err) ||
        !access_accept(c->store, str_of(code), c->arena, &org, &p, &key, err))
        return false;
    c->who.org_id = org.id; /* the audit log of the new organisation begins with it */
    c->who.project_id = p.id;
    c->target = org.id;
    return api_reply(c, 200,
                     json_pack("{s:s, s:{s:s, s:s, s:s, s:s}, s:o, s:s}", "object",
                               "organization.invite.accepted", "organization", "object",
                               "organization", "id", org.id, "name", org.name, "slug", org.slug,
                               "project", project_json(&p), "api_key", key));
}

/* Without a key: the code is one. */
static bool accept_invite(struct api_call *c, struct error *err)
{
    struct limits *limits = c->api->limits;
    struct limit_state *state = ARENA_NEW(c->arena, struct limit_state);
    char id[96];

    snprintf(id, sizeof id, "accept %s", c->x->address);
    if (!limits_take(limits, id, ACCEPTS_PER_MINUTE, ACCEPTS_AT_ONCE, clock_seconds(), state,
                     err)) {
        c->limit = state;
        return fail_code(err, ERR_LIMIT, "rate_limit_exceeded", "",
                         "too many codes were tried from this address: try again in %.3g s",
                         state->retry_after_s);
    }
    const bool ok = use_code(c, err);
    limits_give(limits, id);
    return ok;
}

/* ---- the audit log ---- */

#define AUDIT_ID "audit_log-"

static json_t *audit_json(const struct audit_entry *e, struct arena *a)
{
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:I, s:{s:s, s:{s:o, s:s}}, s:s, s:o}", "id",
                  arena_printf(a, AUDIT_ID "%lld", (long long)e->seq), "object",
                  "organization.audit_log", "type", e->action, "effective_at", (json_int_t)e->at,
                  "actor", "type", "api_key", "api_key", "id", api_or_null(e->key_id), "type",
                  "service_account", "outcome", e->outcome, "ip_address", api_or_null(e->address));

    if (e->project_id != NULL)
        json_object_set_new(o, "project", json_pack("{s:s}", "id", e->project_id));
    json_object_set_new(o, e->action, json_pack("{s:o}", "id", api_or_null(e->target)));
    return o;
}

/* "name[]" as often as it is said, with commas between; "" for none. */
static const char *list_in_query(struct api_call *c, const char *name)
{
    const char *with = arena_printf(c->arena, "%s[]", name);
    const char *out = "";

    for (size_t i = 0; i < c->x->n_query; i++)
        if (str_is(c->x->query[i].name, with) || str_is(c->x->query[i].name, name))
            out = arena_printf(c->arena, "%s%s" STR_FMT, out, out[0] != '\0' ? "," : "",
                               STR_ARG(c->x->query[i].value));
    return out;
}

static bool number_in_query(struct api_call *c, const char *name, const char *prefix, int64_t *out,
                            struct error *err)
{
    struct str s = http_query(c->x, name);
    int64_t n = 0;

    if (s.ptr == NULL)
        return true;
    bool ok =
        str_starts(s, str_of(prefix)) && s.len > strlen(prefix) && s.len < 18 + strlen(prefix);
    for (size_t i = strlen(prefix); ok && i < s.len; i++) {
        ok = s.ptr[i] >= '0' && s.ptr[i] <= '9';
        n = 10 * n + (s.ptr[i] - '0');
    }
    if (!ok)
        return fail_param(err, ERR_INVALID, name, "\"%s\" is no %s", name,
                          prefix[0] != '\0' ? "id of an entry" : "time in seconds");
    *out = n;
    return true;
}

static bool list_audit(struct api_call *c, struct error *err)
{
    struct audit_filter f = {.org_id = c->who.org_id,
                             .actions = list_in_query(c, "event_types"),
                             .projects = list_in_query(c, "project_ids"),
                             .keys = list_in_query(c, "actor_ids"),
                             .targets = list_in_query(c, "resource_ids"),
                             .to = INT64_MAX,
                             .before = INT64_MAX};
    int64_t limit = 20, gt = -1, lt = INT64_MAX;
    struct audit_entry *all;
    size_t n;

    /* newest first: what comes "after" an entry in the list is older */
    if (!number_in_query(c, "after", AUDIT_ID, &f.before, err) ||
        !number_in_query(c, "before", AUDIT_ID, &f.after, err) ||
        !number_in_query(c, "effective_at[gte]", "", &f.from, err) ||
        !number_in_query(c, "effective_at[lte]", "", &f.to, err) ||
        !number_in_query(c, "effective_at[gt]", "", &gt, err) ||
        !number_in_query(c, "effective_at[lt]", "", &lt, err) ||
        !number_in_query(c, "limit", "", &limit, err))
        return false;
    if (limit < 1)
        return fail_param(err, ERR_INVALID, "limit", "\"limit\" is 0, expected 1 to %d",
                          MOST_LISTED);
    limit = limit < MOST_LISTED ? limit : MOST_LISTED;
    f.from = gt >= f.from ? gt + 1 : f.from;
    f.to = lt <= f.to ? lt - 1 : f.to;
    if (!audit_find(c->store, &f, (size_t)limit + 1, c->arena, &all, &n, err))
        return false;
    json_t *data = json_array();
    for (size_t i = 0; i < n && i < (size_t)limit; i++)
        json_array_append_new(data, audit_json(&all[i], c->arena));
    return api_reply_list(c, data, n > (size_t)limit);
}

#define ORG "/v1/organization"
#define KEYS ORG "/projects/{}/api_keys"
#define NONE HTTP_BODY_NONE
#define JSON HTTP_BODY_MEMORY
static const struct api_route routes[] = {
    {HTTP_GET, ORG "/projects", SCOPE_ADMIN, NONE, list_projects, NULL, 0},
    {HTTP_POST, ORG "/projects", SCOPE_ADMIN, JSON, create_project, "project.created", 0},
    {HTTP_GET, ORG "/projects/{}", SCOPE_ADMIN, NONE, get_project, NULL, 0},
    {HTTP_POST, ORG "/projects/{}", SCOPE_ADMIN, JSON, change_project, "project.updated", 0},
    {HTTP_POST, ORG "/projects/{}/archive", SCOPE_ADMIN, JSON, archive_project, "project.archived",
     0},
    {HTTP_GET, KEYS, SCOPE_ADMIN, NONE, list_keys, NULL, 0},
    {HTTP_POST, KEYS, SCOPE_ADMIN, JSON, create_key, "api_key.created", 0},
    {HTTP_GET, KEYS "/{}", SCOPE_ADMIN, NONE, get_key, NULL, 0},
    {HTTP_POST, KEYS "/{}", SCOPE_ADMIN, JSON, change_key, "api_key.updated", 0},
    {HTTP_DELETE, KEYS "/{}", SCOPE_ADMIN, NONE, delete_key, "api_key.deleted", 0},
    {HTTP_GET, ORG "/admin_api_keys", SCOPE_ADMIN, NONE, list_admin_keys, NULL, 0},
    {HTTP_POST, ORG "/admin_api_keys", SCOPE_ADMIN, JSON, create_admin_key, "api_key.created", 0},
    {HTTP_GET, ORG "/admin_api_keys/{}", SCOPE_ADMIN, NONE, get_admin_key, NULL, 0},
    {HTTP_DELETE, ORG "/admin_api_keys/{}", SCOPE_ADMIN, NONE, delete_admin_key, "api_key.deleted",
     0},
    {HTTP_GET, ORG "/invites", SCOPE_ADMIN, NONE, list_invites, NULL, 0},
    {HTTP_POST, ORG "/invites", SCOPE_ADMIN, JSON, create_invite, "invite.sent", 0},
    {HTTP_POST, ORG "/invites/accept", 0, JSON, accept_invite, "invite.accepted", 4096},
    {HTTP_GET, ORG "/invites/{}", SCOPE_ADMIN, NONE, get_invite, NULL, 0},
    {HTTP_DELETE, ORG "/invites/{}", SCOPE_ADMIN, NONE, delete_invite, "invite.deleted", 0},
    {HTTP_GET, ORG "/audit_logs", SCOPE_ADMIN, NONE, list_audit, NULL, 0},
};
const struct api_table organization_routes = {routes, COUNT_OF(routes)};
