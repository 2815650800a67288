/*
 * api_model.c - a name in a request becomes files of this machine, never by way of a path that the request wrote.
 */
#include "base/file.h"
#include "base/size.h"
#include "job/model_store.h"
#include "server/api_internal.h"
#include "train/checkpoint.h"

#include <inttypes.h>
#include <stdlib.h>

/* What can be a name in HOME/models: one part of a path, and no hidden one. */
static bool is_plain(struct str name)
{
    if (name.len == 0 || name.len > 200 || name.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '/' || (unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
            return false;
    return true;
}

static bool not_found(struct str name, struct error *err)
{
    return fail_code(err, ERR_NOT_FOUND, "model_not_found", "model",
                     "the model \"" STR_FMT
                     "\" does not exist, or this project has no access to it",
                     (int)size_min(name.len, 200), name.ptr);
}

static bool find_base(struct api *a, struct str name, struct arena *arena, struct engine_model *out,
                      struct error *err)
{
    struct model_ref ref;
    struct error why;

    if (!is_plain(name))
        return not_found(name, err);
    const char *path =
        file_join(arena, file_join(arena, a->opt.home, "models"), arena_text(arena, name));
    if (!file_exists(path))
        path = arena_printf(arena, "%s.gguf", path);
    if (!file_exists(path) || !model_store_find(a->opt.home, path, arena, &ref, &why))
        return not_found(name, err);
    *out = (struct engine_model){
        .name = arena_text(arena, name), .path = ref.path, .adapter = ref.adapter, .run = ref.run};
    return true;
}

bool api_model_of(struct api *a, const char *project_id, struct str name, struct arena *arena,
                  struct engine_model *out, struct error *err)
{
    struct tuned_model t;
    struct model_ref ref;
    struct error why;

    if (!str_starts(name, STR("ft:")))
        return find_base(a, name, arena, out, err);
    if (!models_get(a->opt.store, project_id, name, arena, &t, err))
        return err->kind == ERR_NOT_FOUND ? not_found(name, err) : false;
    const char *run = file_join(arena, file_join(arena, a->opt.home, "runs"), t.run_dir);
    if (t.checkpoint_dir == NULL) /* the run's end: the last that the trainer saved */
        t.checkpoint_dir = arena_printf(arena, "step-%" PRIu64, checkpoint_last(run));
    const char *adapter = file_join(arena, file_join(arena, run, "checkpoints"), t.checkpoint_dir);
    if (!model_store_find(a->opt.home, adapter, arena, &ref, &why)) /* by way of the run */
        return fail_code(err, ERR_NOT_FOUND, "model_not_found", "model",
                         "the model \"%s\" was trained from \"%s\", which is no longer there",
                         t.name, t.base);
    *out =
        (struct engine_model){.name = t.name, .path = ref.path, .adapter = ref.adapter, .run = run};
    return true;
}

bool api_model(struct api_call *c, struct str name, struct engine_model *out, struct error *err)
{
    return api_model_of(c->api, c->who.project_id, name, c->arena, out, err);
}

bool api_bases(struct api *a, struct arena *arena, struct api_base **out, size_t *n,
               struct error *err)
{
    struct model_entry *all;
    size_t n_all;

    if (!model_store_list(a->opt.home, arena, &all, &n_all, err))
        return false;
    *out = ARENA_ARRAY(arena, struct api_base, n_all + 1);
    *n = 0;
    for (size_t i = 0; i < n_all; i++)
        if (all[i].base == NULL)
            (*out)[(*n)++] = (struct api_base){all[i].name, all[i].created_at};
    return true;
}
