/*
 * cmd_report.c - a run as one HTML page.
 */
#include "base/file.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "job/report.h"

static bool run(struct cli *c, struct error *err)
{
    const char *dir = c->options->args[0], *out = option_text(c->options, OPT_OUT);

    if (!report_write(dir, out, err))
        return false;
    const char *place = out != NULL ? out : file_join(c->arena, dir, "report.html");
    if (c->json)
        return out_json_new(json_pack("{s:s}", "report", place), err);
    return out_printf(err, "The report is in %s\n", place);
}

static const enum option_id ids[] = {OPT_OUT};

const struct command cmd_report = {
    .set = {.command = "report",
            .args = "DIR",
            .min_args = 1,
            .max_args = 1,
            .summary = "a run as one HTML page that needs no network",
            .details = "DIR is the folder of a run, finished or not. The page is report.html in it "
                       "unless --out says otherwise.",
            .examples = "  hone report runs/demo\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
