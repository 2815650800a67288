/*
 * session.c - opens in the order in which a mistake is cheapest: names, files, weights.
 */
#include "cli/session.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "cli/grader_file.h"
#include "grade/grader.h"
#include "job/run_read.h"
#include "sample/machine.h"

bool machine_setup(struct cli *c, struct error *err)
{
    const char *kernels = option_text(c->options, OPT_KERNELS);

    parallel_set_threads((int)option_int(c->options, OPT_THREADS));
    return machine_choose_kernels(strcmp(kernels, "auto") == 0 ? NULL : kernels, err);
}

bool template_option(struct cli *c, const char **out, struct error *err)
{
    const char *path = option_text(c->options, OPT_TEMPLATE);
    struct str text;

    *out = NULL;
    if (path == NULL)
        return true;
    if (!file_read(path, LIMIT_TEMPLATE_BYTES, c->arena, &text, err))
        return false;
    *out = text.ptr;
    return true;
}

bool grader_from(struct cli *c, const json_t *spec, const json_t *hone, const char *what,
                 struct grader **out, struct error *err)
{
    const struct options *o = c->options;
    struct grade_options opt = grade_defaults();

    opt.timeout_s = option_real(o, OPT_GRADER_TIMEOUT);
    opt.memory_bytes = (size_t)option_int(o, OPT_GRADER_MEMORY) << 20;
    opt.n_workers = (int)option_int(o, OPT_GRADER_WORKERS);
    opt.sandbox_tier = (int)option_int(o, OPT_SANDBOX);
    opt.python = option_text(o, OPT_PYTHON);
    opt.shadows = json_object_get(hone, "shadow_graders");
    return grader_open(spec, &opt, out, err) || fail_while(err, "reading the grader in %s", what);
}

bool grader_option(struct cli *c, struct grader **out, struct error *err)
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
        grader_from(c, spec, method != NULL ? json_object_get(file, "hone") : NULL, path, out, err);
    json_decref(file);
    return ok;
}

/* job.json of the run that an adapter comes from, or NULL; a run that cannot be read decides nothing. */
static json_t *job_file_of(const struct model_ref *ref)
{
    struct error ignored;
    json_t *file = NULL;

    return ref->adapter != NULL && ref->run != NULL && run_read_job(ref->run, &file, &ignored)
               ? file
               : NULL;
}

static size_t max_tokens_in(const json_t *job_file)
{
    const json_int_t n =
        json_integer_value(json_object_get(json_object_get(job_file, "resolved"), "max_tokens"));

    return n > 0 && (size_t)n <= LIMIT_CONTEXT ? (size_t)n : 0;
}

size_t habitual_max_tokens(const struct model_ref *ref)
{
    json_t *file = job_file_of(ref);
    const size_t n = max_tokens_in(file);

    json_decref(file);
    return n;
}

static void read_habits(struct session *s)
{
    s->job_file = job_file_of(&s->ref);
    s->habits.max_tokens = max_tokens_in(s->job_file);
    s->habits.reasoning =
        json_object_get(json_object_get(json_object_get(s->job_file, "job"), "hone"), "reasoning");
    s->habits.template =
        json_string_value(json_object_get(json_object_get(s->job_file, "resolved"), "template"));
}

static bool find_files(struct cli *c, const char *name, const char *adapter, struct model_ref *ref,
                       struct error *err)
{
    struct model_ref beside;

    if (!model_store_find(c->home, name, c->arena, ref, err))
        return false;
    if (adapter == NULL)
        return true;
    if (!model_store_find_adapter(c->home, adapter, c->arena, &beside, err))
        return false;
    if (ref->adapter != NULL)
        return misuse(c, err, "%s has an adapter already, and --adapter %s is another", name,
                      adapter);
    ref->adapter = beside.adapter;
    ref->run = beside.run;
    return true;
}

static bool open_template(struct cli *c, struct session *s, struct error *err)
{
    const char *source;

    return template_option(c, &source, err) &&
           prompter_open(s->model, source != NULL ? source : s->habits.template, &s->prompter,
                         err) &&
           prompter_reason(s->prompter, s->habits.reasoning, err);
}

bool session_open(struct cli *c, const char *name, const char *adapter, bool with_template,
                  struct session *out, struct error *err)
{
    struct session s = {0};
    bool ok = machine_setup(c, err) && find_files(c, name, adapter, &s.ref, err) &&
              model_open(s.ref.path, (size_t)option_int(c->options, OPT_CONTEXT), &s.model, err);

    if (ok && s.ref.adapter != NULL)
        ok = adapter_load(&s.model->config, s.ref.adapter, &s.adapter, err);
    if (ok) {
        const struct engine_options opt = engine_defaults(s.model);

        read_habits(&s);
        ok = engine_open(s.model, model_files_tokenizer(s.model->files), &opt, &s.engine, err) &&
             (!with_template || open_template(c, &s, err));
    }
    if (!ok) {
        session_close(&s);
        return false;
    }
    *out = s;
    return true;
}

bool session_open_options(struct cli *c, bool with_template, struct session *out, struct error *err)
{
    const char *model;

    return need_option(c, OPT_MODEL, &model, err) &&
           session_open(c, model, option_text(c->options, OPT_ADAPTER), with_template, out, err);
}

void session_close(struct session *s)
{
    prompter_close(s->prompter);
    engine_close(s->engine);
    adapter_close(s->adapter);
    model_close(s->model);
    json_decref(s->job_file);
    *s = (struct session){0};
}

size_t session_context(const struct session *s)
{
    return s->model->max_positions;
}
