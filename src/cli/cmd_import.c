/*
 * cmd_import.c - a model on disk gets a name in the store.
 */
#include "base/size.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "job/model_store.h"

static bool run(struct cli *c, struct error *err)
{
    const struct model_import what = {.path = c->options->args[0],
                                      .name = option_text(c->options, OPT_NAME),
                                      .link = option_on(c->options, OPT_LINK)};
    struct model_kind kind;
    const char *place;

    /* what cannot be opened has no business in the store */
    if (!model_store_opens(what.path, &kind, err) ||
        !model_store_import(c->home, &what, c->arena, &place, err))
        return false;
    const char *name = model_plain_name(place, c->arena);
    if (c->json)
        return out_json_new(json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", name, "object", "model",
                                      "path", place, "family", kind.family, "for",
                                      kind.embeds ? "embeddings" : "text"),
                            err);
    if (kind.embeds)
        return out_printf(err, "%s is in the store: %s (an encoder, for embeddings of %zu)\n", name,
                          place, kind.width);
    return out_printf(err, "%s is in the store: %s (%s, %zu layers of %zu)\n", name, place,
                      kind.family, kind.n_layers, kind.width);
}

static const enum option_id ids[] = {OPT_NAME, OPT_LINK, OPT_HOME};

const struct command cmd_import = {
    .set = {.command = "import",
            .args = "PATH",
            .min_args = 1,
            .max_args = 1,
            .summary = "put a model into the store under a name",
            .details =
                "PATH is a .gguf file, the first of several parts of one (they are joined), or "
                "a folder in Hugging Face's layout, of a language model or of an encoder "
                "for embeddings. It is opened and checked first; the copy is read back "
                "and opened before it is in its place.",
            .examples = "  hone import models/SmolLM2-135M-Instruct.Q4_1.gguf --name smol\n"
                        "  hone import /data/Llama-3.2-1B-Instruct --link\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
