/*
 * cmd_report.c - a run as one HTML page, and that page as a PDF.
 */
#include "base/file.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/page_pdf.h"
#include "job/report.h"

/* "runs/demo/report.html" -> "runs/demo/report.pdf" */
static const char *pdf_beside(const char *page, struct arena *a)
{
    struct str s = str_of(page);

    if (str_ends(s, STR(".html")))
        s.len -= strlen(".html");
    return arena_printf(a, STR_FMT ".pdf", STR_ARG(s));
}

static bool run(struct cli *c, struct error *err)
{
    const char *dir = c->options->args[0], *out = option_text(c->options, OPT_OUT), *pdf = NULL;

    if (!report_write(dir, out, err))
        return false;
    const char *page = out != NULL ? out : file_join(c->arena, dir, "report.html");
    if (option_on(c->options, OPT_PDF)) {
        pdf = pdf_beside(page, c->arena);
        if (!page_pdf(page, pdf, c->stop, err))
            return fail_while(err, "making a PDF of %.150s, which is written", page);
    }
    if (c->json)
        return out_json_new(json_pack("{s:s, s:s*}", "report", page, "pdf", pdf), err);
    return out_printf(err, "The report is in %s%s%s\n", page, pdf != NULL ? " and " : "",
                      pdf != NULL ? pdf : "");
}

static const enum option_id ids[] = {OPT_OUT, OPT_PDF};

const struct command cmd_report = {
    .set = {.command = "report",
            .args = "DIR",
            .min_args = 1,
            .max_args = 1,
            .summary = "a run as one HTML page that needs no network",
            .details = "DIR is the folder of a run, finished or not. The page is report.html in it "
                       "unless --out says otherwise. With --pdf it is printed, too, by Chromium or "
                       "Chrome where one is installed: report.pdf beside it.",
            .examples = "  hone report runs/demo\n"
                        "  hone report runs/demo --pdf\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
