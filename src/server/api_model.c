/*
 * api_model.c - the models of a call's project, as the engine is asked for them.
 */
#include "job/model_store.h"
#include "server/api_internal.h"
#include "server/project_model.h"

bool api_model_of(struct api *a, const char *project_id, struct str name, struct arena *arena,
                  struct engine_model *out, struct error *err)
{
    const struct project_models models = {
        .store = a->opt.store, .home = a->opt.home, .project_id = project_id};
    struct model_ref ref;

    if (!project_model_find(&models, name, arena, &ref, err))
        return false;
    *out = (struct engine_model){
        .name = ref.name, .path = ref.path, .adapter = ref.adapter, .run = ref.run};
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
