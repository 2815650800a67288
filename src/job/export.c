/*
 * export.c - one folder beside its place, filled, verified, renamed.
 */
#include "job/export.h"
#include "base/file.h"
#include "job/export_internal.h"
#include "job/run_habits.h"

#include <stdio.h>
#include <unistd.h>

const char *export_opened_by(enum export_format f, const char *dir, struct arena *a)
{
    return f == EXPORT_GGUF        ? file_join(a, dir, "model.gguf")
           : f == EXPORT_GGUF_LORA ? file_join(a, dir, "adapter.gguf")
                                   : dir;
}

static bool is_of_adapter(enum export_format f)
{
    return f == EXPORT_PEFT || f == EXPORT_GGUF_LORA;
}

static bool dtype_choose(const struct export_request *r, struct export_options *o,
                         struct error *err)
{
    const bool gguf = r->format == EXPORT_GGUF;

    if (is_of_adapter(r->format)) {
        o->dtype = DTYPE_F32;
        return r->dtype == NULL || strcmp(r->dtype, "f32") == 0 ||
               fail_param(err, ERR_INVALID, "dtype",
                          "an adapter is written in f32, as it was trained; --dtype is for merged "
                          "models");
    }
    o->dtype = export_dtype_default(o->files, gguf);
    if (r->dtype != NULL && !export_dtype_named(str_of(r->dtype), &o->dtype))
        return fail_param(err, ERR_INVALID, "dtype", "there is no type \"%s\"", r->dtype);
    return o->dtype != DTYPE_Q8_0 || gguf ||
           fail_param(err, ERR_INVALID, "dtype",
                      "q8_0 is a type of GGUF files; a folder has f32, f16 or bf16");
}

static bool files_write(const struct export_request *r, const struct export_options *o,
                        const char *dir, struct error *err)
{
    switch (r->format) {
    case EXPORT_PEFT:
        return export_peft(o, dir, err);
    case EXPORT_SAFETENSORS:
        return export_folder(o, dir, err);
    case EXPORT_GGUF:
        return export_gguf(o, dir, err);
    default:
        return export_gguf_lora(o, dir, err);
    }
}

static bool write_beside(const struct export_request *r, const struct export_options *o,
                         struct arena *a, struct export_result *out, struct error *err)
{
    struct str place = str_of(r->out);
    struct error ignored;

    while (place.len > 1 && place.ptr[place.len - 1] == '/')
        place.len--;
    const char *to = arena_text(a, place);
    const char *dir = arena_printf(a, "%s.part-%ld", to, (long)getpid());
    bool ok =
        file_make_dirs(dir, err) && files_write(r, o, dir, err) && export_card(r, o, dir, a, err) &&
        (!r->verify || export_verify(r, o, dir, a, &out->check, err)) && file_rename(dir, to, err);

    out->written = ok;
    if (!ok && !file_remove_tree(dir, &ignored))
        return false;
    return ok;
}

static bool run_with(const struct export_request *r, struct export_options *o, struct arena *a,
                     struct export_result *out, struct error *err)
{
    struct run_habits habits;

    if (!dtype_choose(r, o, err))
        return false;
    run_habits_read(model_ref_run(r->ref), &habits);
    if (habits.template != NULL) /* what it was trained with goes with it */
        o->template = arena_str(a, str_of(habits.template));
    run_habits_release(&habits);
    out->dtype = export_dtype_name(o->dtype);
    out->pairs_rounded = r->format == EXPORT_GGUF && export_gguf_rounds_pairs(o->files);
    if (file_exists(r->out))
        return r->verify ? export_verify(r, o, r->out, a, &out->check, err)
                         : fail_param(err, ERR_INVALID, "out",
                                      "%s is there already: give another --out, or --verify alone "
                                      "looks at what is there",
                                      r->out);
    return write_beside(r, o, a, out, err);
}

bool export_run(const struct export_request *r, struct arena *a, struct export_result *out,
                struct error *err)
{
    struct model_files *files = NULL;
    struct adapter *adapter = NULL;

    *out = (struct export_result){0};
    if (is_of_adapter(r->format) && r->ref->adapter == NULL)
        return fail(err, ERR_INVALID,
                    "%s is a base model without an adapter: a run, a checkpoint or --adapter was "
                    "expected",
                    r->ref->name);
    bool ok = model_files_open(r->ref->path, &files, err) &&
              (r->ref->adapter == NULL ||
               adapter_load(model_files_config(files), r->ref->adapter, &adapter, err));
    if (ok) {
        struct export_options o = {.files = files,
                                   .adapter = adapter,
                                   .base_name = r->base_name,
                                   .name = model_plain_name(r->out, a),
                                   .shard_bytes = EXPORT_SHARD_BYTES,
                                   .stop = r->stop};

        ok = run_with(r, &o, a, out, err);
    }
    adapter_close(adapter);
    model_files_close(files);
    return ok;
}
