/*
 * cmd_models.c - what is in the store.
 */
#include "base/size.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "job/model_store.h"

static json_t *as_json(const struct model_entry *all, size_t n)
{
    json_t *data = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *m = json_pack("{s:s, s:s, s:I, s:s, s:s, s:I}", "id", all[i].name, "object",
                              "model", "created", (json_int_t)all[i].created_at, "owned_by",
                              all[i].base != NULL ? "user" : "hone", "path", all[i].path,
                              "size_bytes", (json_int_t)all[i].size_bytes);

        if (m != NULL && all[i].base != NULL)
            json_object_set_new(m, "base", json_string(all[i].base));
        if (m != NULL)
            json_array_append_new(data, m);
    }
    return json_pack("{s:s, s:o}", "object", "list", "data", data);
}

static bool run(struct cli *c, struct error *err)
{
    struct model_entry *all;
    size_t n, width = 4;

    if (!model_store_list(c->home, c->arena, &all, &n, err))
        return false;
    if (c->json)
        return out_json_new(as_json(all, n), err);
    if (n == 0)
        return out_printf(
            err,
            "The store in %s/models is empty; hone pull ORG/NAME fetches a model into it, hone "
            "import PATH puts one of this machine there.\n",
            c->home);
    for (size_t i = 0; i < n; i++)
        width = size_max(width, strlen(all[i].name));
    for (size_t i = 0; i < n; i++) {
        struct buf size;

        buf_init(&size, 64);
        put_bytes(&size, (double)all[i].size_bytes);
        const bool ok = out_printf(err, "%-*s  %9s  %s%s\n", (int)width, all[i].name, size.ptr,
                                   all[i].base != NULL ? "trained from " : all[i].path,
                                   all[i].base != NULL ? all[i].base : "");
        buf_release(&size);
        if (!ok)
            return false;
    }
    return true;
}

static const enum option_id ids[] = {OPT_HOME};

const struct command cmd_models = {
    .set = {.command = "models",
            .args = "",
            .summary = "the models in the store, and what was trained from them",
            .details = "Their names stand wherever a command takes --model.",
            .examples = "  hone models\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
