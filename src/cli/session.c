/*
 * session.c - opens in the order in which a mistake is cheapest: names, files, weights.
 */
#include "cli/session.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "sample/machine.h"

bool machine_setup(struct cli *c, struct error *err)
{
    const char *kernels = option_text(c->options, OPT_KERNELS);

    parallel_set_threads((int)option_int(c->options, OPT_THREADS));
    return machine_choose_kernels(strcmp(kernels, "auto") == 0 ? NULL : kernels, err);
}

void machine_arithmetic(const struct cli *c, struct run_habits *habits, struct model *m)
{
    run_habits_override(habits, option_text_if_given(c->options, OPT_PRECISION),
                        option_text_if_given(c->options, OPT_KV_CACHE));
    m->precision = habits->precision;
    m->config.kv_cache = habits->kv_cache;
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

bool session_find(struct cli *c, const char *name, const char *adapter, struct model_ref *ref,
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
           run_habits_prompter(&s->habits, s->model, source, &s->prompter, err);
}

bool session_open(struct cli *c, const char *name, const char *adapter, bool with_template,
                  struct session *out, struct error *err)
{
    struct session s = {0};
    bool ok = machine_setup(c, err) && session_find(c, name, adapter, &s.ref, err) &&
              model_open(s.ref.path, (size_t)option_int(c->options, OPT_CONTEXT), &s.model, err);

    if (ok && s.ref.adapter != NULL)
        ok = adapter_load(&s.model->config, s.ref.adapter, &s.adapter, err);
    if (ok) {
        run_habits_read(model_ref_run(&s.ref), &s.habits);
        machine_arithmetic(c, &s.habits, s.model);
        const struct engine_options opt = engine_defaults(s.model);
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
    run_habits_release(&s->habits);
    *s = (struct session){0};
}

size_t session_context(const struct session *s)
{
    return s->model->max_positions;
}
