/*
 * access_place.c - looks names up, and tells apart what a command is to do.
 */
#include "cli/access_place.h"
#include "base/size.h"
#include "cli/output.h"

#include <stdio.h>
#include <time.h>

bool place_open(struct cli *c, struct store **out, struct error *err)
{
    const struct store_options so = {.home = c->home,
                                     .database = option_text(c->options, OPT_DATABASE)};
    struct store *s = NULL;
    char *key = NULL;

    if (!store_open(&so, &s, err))
        return false;
    if (!access_begin(s, c->arena, &key, err)) {
        store_close(s);
        return false;
    }
    if (key != NULL)
        fprintf(stderr, "the store is new; its first key, told only now: %s\n", key);
    *out = s;
    return true;
}

bool place_org(struct cli *c, struct store *s, struct org *out, struct error *err)
{
    const char *name = option_text(c->options, OPT_ORG);
    struct org *all;
    size_t n;

    if (!access_orgs(s, c->arena, &all, &n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (name == NULL || strcmp(all[i].id, name) == 0 || strcmp(all[i].slug, name) == 0 ||
            strcmp(all[i].name, name) == 0) {
            *out = all[i];
            return true;
        }
    return fail_param(err, ERR_NOT_FOUND, "org",
                      "there is no organisation \"%.100s\"; hone org list shows them", name);
}

bool place_project(struct cli *c, struct store *s, struct project *out, struct error *err)
{
    const char *name = option_text(c->options, OPT_PROJECT);
    struct project *all;
    struct org org;
    size_t n;

    if (!place_org(c, s, &org, err) || !access_projects(s, org.id, c->arena, &all, &n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (name == NULL ? all[i].archived_at == 0
                         : strcmp(all[i].id, name) == 0 || strcmp(all[i].name, name) == 0) {
            *out = all[i];
            return true;
        }
    if (name == NULL)
        return fail_param(err, ERR_NOT_FOUND, "project",
                          "%s has no project; hone project create NAME makes one", org.name);
    return fail_param(err, ERR_NOT_FOUND, "project",
                      "%s has no project \"%.100s\"; hone project list shows them", org.name, name);
}

bool place_scopes(struct cli *c, unsigned def, unsigned *out, struct error *err)
{
    const char *text = option_text(c->options, OPT_SCOPES);

    *out = text == NULL ? def : 0;
    for (struct str rest = str_of(text != NULL ? text : ""); rest.len > 0;) {
        const size_t comma = str_find(rest, STR(","), 0);
        const unsigned scope = access_scope((struct str){rest.ptr, comma});

        if (scope == 0)
            return misuse(c, err,
                          "--scopes is \"%.100s\"; use, train and admin are possible, with "
                          "commas between",
                          text);
        *out |= scope;
        rest = comma < rest.len ? str_from(rest, comma + 1) : (struct str){0};
    }
    return *out != 0 || misuse(c, err, "--scopes is empty");
}

bool place_audit(struct store *s, const char *org_id, const char *project_id, const char *action,
                 const char *target, struct error *err)
{
    const struct audit_entry e = {.org_id = org_id,
                                  .project_id = project_id,
                                  .action = action,
                                  .target = target,
                                  .outcome = "ok",
                                  .address = "command"};

    return audit_put(s, &e, err);
}

bool place_run(struct cli *c, const struct place_verb *verbs, size_t n, struct error *err)
{
    const char *what = c->options->args[0];
    const char *arg = c->options->n_args > 1 ? c->options->args[1] : NULL;
    struct store *s = NULL;

    for (size_t i = 0; i < n; i++) {
        if (strcmp(verbs[i].name, what) != 0)
            continue;
        if ((verbs[i].arg != NULL) != (arg != NULL))
            return misuse(c, err, "hone %s %s takes %s", c->set->command, what,
                          verbs[i].arg != NULL ? verbs[i].arg : "options only");
        if (!place_open(c, &s, err))
            return false;
        const bool ok = verbs[i].fn(c, s, arg, err);
        store_close(s);
        return ok;
    }
    return misuse(c, err, "%s takes %s, and \"%.100s\" is none of these", c->set->command,
                  c->set->args, what);
}

const char *place_time(int64_t seconds, struct arena *a)
{
    const time_t t = (time_t)seconds;
    struct tm local;
    char text[32];

    if (seconds == 0)
        return "-";
    localtime_r(&t, &local);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local);
    return arena_text(a, str_of(text));
}

const char *place_text(const char *text, struct arena *a)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    put_visible(&b, str_of(text));
    const char *out = arena_text(a, buf_view(&b));
    buf_release(&b);
    return out;
}
