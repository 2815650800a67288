/*
 * cmd_export.c - a run's result becomes files that other programs read.
 */
#include "base/size.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"
#include "job/export.h"

static enum export_format format_named(const char *name)
{
    static const char *const names[] = {[EXPORT_PEFT] = "peft",
                                        [EXPORT_SAFETENSORS] = "safetensors",
                                        [EXPORT_GGUF] = "gguf",
                                        [EXPORT_GGUF_LORA] = "gguf-lora"};
    size_t i = 0;

    while (strcmp(names[i], name) != 0)
        i++; /* options.c lets no other through */
    return (enum export_format)i;
}

static bool tell(struct cli *c, const struct export_request *r, const struct export_result *x,
                 struct error *err)
{
    const struct export_check *k = &x->check;

    if (c->json)
        return out_json_new(
            r->verify
                ? json_pack("{s:s, s:s, s:b, s:{s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:b}}", "path",
                            r->out, "dtype", x->dtype, "written", x->written, "verified", "texts",
                            k->of_run ? "validation" : "fixed", "n_texts", (int)k->n_texts,
                            "n_tokens", (int)k->n_tokens, "n_greedy", (int)k->n_greedy,
                            "max_difference", k->max_difference, "mean_difference",
                            k->mean_difference, "tolerance", k->tolerance, "tie", k->tie)
                : json_pack("{s:s, s:s, s:b}", "path", r->out, "dtype", x->dtype, "written",
                            x->written),
            err);
    if (x->written && !out_printf(err, "%s is written (%s)\n", r->out, x->dtype))
        return false;
    if (x->pairs_rounded &&
        !out_printf(
            err,
            "its rotations are llama.cpp's: config.json has the ends of YaRN's ramp between pairs "
            "(\"truncate\": false), and a GGUF file of gpt-oss has them at whole ones\n"))
        return false;
    return !r->verify ||
           out_printf(
               err,
               "verified: every weight is bit for bit what base and adapter make; %zu tokens of %s differ by at most %.2g nats, %.2g on average (%.2g "
               "may be rounding); %zu tokens by the likeliest are the same%s\n",
               k->n_tokens, k->of_run ? "the run's validation answers" : "fixed texts",
               k->max_difference, k->mean_difference, k->tolerance, k->n_greedy,
               k->tie ? ", up to where two are as likely within that" : "");
}

static bool run(struct cli *c, struct error *err)
{
    const char *model, *out, *format;
    struct model_ref ref;
    struct export_result result;

    if (!need_option(c, OPT_MODEL, &model, err) ||
        !need_option(c, OPT_EXPORT_FORMAT, &format, err) || !need_option(c, OPT_OUT, &out, err) ||
        !machine_setup(c, err) ||
        !session_find(c, model, option_text(c->options, OPT_ADAPTER), &ref, err))
        return false;
    const struct export_request r = {.ref = &ref,
                                     .format = format_named(format),
                                     .dtype = option_text(c->options, OPT_DTYPE),
                                     .out = out,
                                     .base_name = option_text(c->options, OPT_BASE),
                                     .verify = option_on(c->options, OPT_VERIFY),
                                     .stop = c->stop};
    return export_run(&r, c->arena, &result, err) && tell(c, &r, &result, err);
}

static const enum option_id ids[] = {OPT_MODEL,   OPT_ADAPTER, OPT_EXPORT_FORMAT, OPT_OUT,
                                     OPT_DTYPE,   OPT_BASE,    OPT_VERIFY,        OPT_THREADS,
                                     OPT_KERNELS, OPT_HOME};

const struct command cmd_export = {
    .set =
        {.command = "export",
         .args = "",
         .summary = "a run's result as files that other programs read",
         .details =
             "peft: the adapter, for PEFT and vLLM. safetensors: base and adapter merged, a "
             "folder for transformers. gguf: merged, for llama.cpp; "
             "of a base in GGUF what the adapter does not change is copied. gguf-lora: "
             "the adapter for llama.cpp's --lora. A model card, README.md, says what the "
             "run's folder knows. --verify opens what was written and compares it with the run; "
             "where --out is there already, it is only verified.",
         .examples =
             "  hone export --model runs/demo --format peft --out out/demo-peft\n"
             "  hone export --model runs/demo --format gguf --dtype q8_0 --out out/demo --verify\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
