/*
 * cmd_backup.c - a live store into a folder, and a folder into a new home.
 */
#include "base/file.h"
#include "base/size.h"
#include "cli/access_place.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "job/model_store.h"

/* The base models in the home, which are no part of a backup: they are large and come from elsewhere. */
static bool model_names(struct cli *c, json_t *names, struct error *err)
{
    struct model_entry *all;
    size_t n;

    if (!model_store_list(c->home, c->arena, &all, &n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (all[i].base == NULL)
            json_array_append_new(names, json_string(all[i].name));
    return true;
}

static bool tell_backup(struct cli *c, const char *dir, const json_t *names, struct error *err)
{
    const json_t *name;
    size_t i;

    if (!out_printf(err, "%s holds the rows, files and runs of %s\n", dir, c->home))
        return false;
    if (json_array_size(names) > 0 &&
        !out_printf(err, "not in it, and needed to go on elsewhere: hone.conf, and the models\n"))
        return false;
    json_array_foreach(names, i, name)
    {
        if (!out_printf(err, "  %s\n", json_string_value(name)))
            return false;
    }
    return true;
}

static bool backup(struct cli *c, struct error *err)
{
    const struct store_options so = {.home = c->home,
                                     .database = option_text(c->options, OPT_DATABASE)};
    const char *dir = c->options->args[0];
    json_t *names = json_array();
    struct store *s = NULL;

    if (so.database == NULL && !file_exists(file_join(c->arena, c->home, "hone.db"))) {
        json_decref(names);
        return fail(err, ERR_NOT_FOUND, "there is no store in %s: nothing to back up", c->home);
    }
    bool ok = store_open(&so, &s, err) && store_backup(s, dir, err) && model_names(c, names, err);
    store_close(s);
    if (ok && c->json)
        ok = out_json_new(json_pack("{s:s, s:O}", "backup", dir, "models_not_in_it", names), err);
    else
        ok = ok && tell_backup(c, dir, names, err);
    json_decref(names);
    return ok;
}

static const enum option_id backup_ids[] = {OPT_DATABASE, OPT_HOME};

const struct command cmd_backup = {
    .set = {.command = "backup",
            .args = "DIR",
            .min_args = 1,
            .max_args = 1,
            .summary = "copy a store, while its server works, into a new folder",
            .details =
                "Rows as of one moment, and every file and run that they name; jobs go on from "
                "their last checkpoint when it is restored. Base models and hone.conf are not in "
                "it: the models that must be there, too, are told. With PostgreSQL rows are "
                "copied by pg_dump.",
            .examples = "  hone backup /backup/hone-2026-11-29\n",
            .ids = backup_ids,
            .n_ids = COUNT_OF(backup_ids)},
    .run = backup,
};

static bool restore(struct cli *c, struct error *err)
{
    const char *dir = c->options->args[0];

    if (!store_restore(dir, c->home, err))
        return false;
    if (c->json)
        return out_json_new(json_pack("{s:s, s:s}", "restored", dir, "home", c->home), err);
    return out_printf(err,
                      "%s is restored in %s; put its models into %s/models before hone serve\n",
                      dir, c->home, c->home);
}

static const enum option_id restore_ids[] = {OPT_HOME};

const struct command cmd_restore = {
    .set = {.command = "restore",
            .args = "DIR",
            .min_args = 1,
            .max_args = 1,
            .summary = "a backup's folder into a new home",
            .details = "The home must be empty; models, graders and hone.conf may be there.",
            .examples = "  hone restore /backup/hone-2026-11-29 --home /srv/hone\n",
            .ids = restore_ids,
            .n_ids = COUNT_OF(restore_ids)},
    .run = restore,
};
