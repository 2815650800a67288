#include "server/project_model.h"

#include "base/file.h"
#include "base/size.h"
#include "store/jobs.h"
#include "train/checkpoint.h"

#include <inttypes.h>

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

bool project_model_missing(struct str name, struct error *err)
{
    return fail_code(err, ERR_NOT_FOUND, "model_not_found", "model",
                     "the model \"" STR_FMT
                     "\" does not exist, or this project has no access to it",
                     (int)size_min(name.len, 200), name.ptr);
}

/* A disk that does not answer now is no reason to say that there is no such model. */
static bool unless_away(const struct error *why, struct error *err)
{
    if (why->kind == ERR_IO)
        *err = *why;
    return why->kind != ERR_IO;
}

static bool find_base(const char *home, struct str name, struct arena *a, struct model_ref *out,
                      struct error *err)
{
    struct error why;

    if (!is_plain(name))
        return project_model_missing(name, err);
    const char *path = file_join(a, file_join(a, home, "models"), arena_text(a, name));
    if (!file_exists(path))
        path = arena_printf(a, "%s.gguf", path);
    if (!file_exists(path))
        return project_model_missing(name, err);
    if (!model_store_find(home, path, a, out, &why))
        return unless_away(&why, err) && project_model_missing(name, err);
    out->name = arena_text(a, name);
    return true;
}

static bool find_tuned(const struct project_models *p, struct str name, struct arena *a,
                       struct model_ref *out, struct error *err)
{
    struct tuned_model t;
    struct error why;

    if (!models_get(p->store, p->project_id, name, a, &t, err))
        return err->kind == ERR_NOT_FOUND ? project_model_missing(name, err) : false;
    const char *run = file_join(a, file_join(a, p->home, "runs"), t.run_dir);
    if (t.checkpoint_dir == NULL) /* the run's end: the last that the trainer saved */
        t.checkpoint_dir = arena_printf(a, "step-%" PRIu64, checkpoint_last(run));
    const char *adapter = file_join(a, file_join(a, run, "checkpoints"), t.checkpoint_dir);
    if (!model_store_find(p->home, adapter, a, out, &why)) /* by way of the run */
        return unless_away(&why, err) &&
               fail_code(err, ERR_NOT_FOUND, "model_not_found", "model",
                         "the model \"%s\" was trained from \"%s\", which is no longer there",
                         t.name, t.base);
    out->name = t.name;
    out->run = run;
    return true;
}

bool project_model_find(const struct project_models *p, struct str name, struct arena *a,
                        struct model_ref *out, struct error *err)
{
    return str_starts(name, STR("ft:")) ? find_tuned(p, name, a, out, err)
                                        : find_base(p->home, name, a, out, err);
}
