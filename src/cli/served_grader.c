#include "cli/served_grader.h"

#include "cli/grader_env.h"
#include "cli/grader_file.h"
#include "cli/session.h"

bool served_grader_open(struct cli *c, const json_t *spec, const json_t *hone, const char *what,
                        bool has_base, struct served_grader *out, struct error *err)
{
    const struct options *o = c->options;
    struct grade_options opt = grade_defaults();
    struct served_grader g = {0};

    if (!services_open(c, hone, has_base, &g.services, err))
        return fail_while(err, "reading the grader in %s", what);
    opt.timeout_s = option_real(o, OPT_GRADER_TIMEOUT);
    opt.memory_bytes = (size_t)option_int(o, OPT_GRADER_MEMORY) << 20;
    opt.n_workers = (int)option_int(o, OPT_GRADER_WORKERS);
    opt.sandbox_tier = (int)option_int(o, OPT_SANDBOX);
    opt.python = grader_env_python(c);
    opt.ask_timeout_s = option_real(o, OPT_JUDGE_TIMEOUT);
    opt.services = services_for_graders(g.services);
    opt.stop = c->stop;
    opt.shadows = json_object_get(hone, "shadow_graders");
    if (!grader_open(spec, &opt, &g.grader, err)) {
        served_grader_close(&g);
        return fail_while(err, "reading the grader in %s", what);
    }
    *out = g;
    return true;
}

bool served_grader_option(struct cli *c, bool has_base, struct served_grader *out,
                          struct error *err)
{
    const char *path;
    json_t *file = NULL;

    if (!need_option(c, OPT_GRADER, &path, err) || !grader_file_read(path, &file, err))
        return false;
    const json_t *method = json_object_get(file, "method");
    const json_t *spec =
        method != NULL ? json_object_get(json_object_get(method, "reinforcement"), "grader") : file;
    const bool ok =
        (spec != NULL ||
         fail(err, ERR_INVALID,
              "%s is a job without a grader: \"method.reinforcement.grader\" is missing", path)) &&
        served_grader_open(c, spec, method != NULL ? json_object_get(file, "hone") : NULL, path,
                           has_base, out, err);
    json_decref(file);
    return ok;
}

void served_grader_close(struct served_grader *g)
{
    grader_close(g->grader);
    services_close(g->services);
    *g = (struct served_grader){0};
}
