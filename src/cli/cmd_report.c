/*
 * cmd_report.c - a run as one HTML page, and that page as a PDF.
 */
#include "base/file.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/page_pdf.h"
#include "cli/session.h"
#include "job/report.h"
#include "job/report_score.h"
#include "job/run_folder.h"

#define SCORE_SECONDS 60 /* the next report goes on where this one stopped */

/* "runs/demo/report.html" -> "runs/demo/report.pdf" */
static const char *pdf_beside(const char *page, struct arena *a)
{
    struct str s = str_of(page);

    if (str_ends(s, STR(".html")))
        s.len -= strlen(".html");
    return arena_printf(a, STR_FMT ".pdf", STR_ARG(s));
}

/* ---- the run's model, for what it says of the answers now ---- */

struct base {
    struct cli *c;
    const char *dir;
    struct model *model;
};

static bool open_base(void *ctx, const struct model **out, struct error *err)
{
    struct base *b = ctx;
    /* a setting of the machine names what to chat with, not what this run was made of */
    const char *named =
        option_typed(b->c->options, OPT_MODEL) ? option_text(b->c->options, OPT_MODEL) : NULL;
    struct model_ref ref;
    struct run_habits habits;

    if (!machine_setup(b->c, err) ||
        !model_store_find(b->c->home, named != NULL ? named : b->dir, b->c->arena, &ref, err) ||
        !model_open(ref.path, 0, &b->model, err))
        return false;
    run_habits_read(b->dir, &habits);
    b->model->precision = habits.precision; /* the arithmetic that the answers were drawn in */
    b->model->config.kv_cache = habits.kv_cache;
    run_habits_release(&habits);
    *out = b->model;
    return true;
}

/* What the page lacks for want of the model, in a sentence, or NULL. It is no failure: the page says so itself. */
static const char *score(struct cli *c, const char *dir)
{
    struct base b = {.c = c, .dir = dir};
    const struct report_scorer s = {
        .model = open_base, .ctx = &b, .seconds = SCORE_SECONDS, .stop = c->stop};
    struct error err;
    size_t n_left = 0;

    if (run_folder_is_written(dir))
        return "the run goes on, and its machine is left to it";
    const bool ok = report_score(dir, &s, &n_left, &err);
    model_close(b.model);
    if (!ok)
        return arena_text(c->arena, str_of(err.message));
    return n_left == 0 ? NULL
                       : arena_printf(c->arena,
                                      "%zu answers are left without; the next report goes on there",
                                      n_left);
}

static bool run(struct cli *c, struct error *err)
{
    const char *dir = c->options->args[0], *out = option_text(c->options, OPT_OUT), *pdf = NULL;
    const char *lack = score(c, dir);

    if (!report_write(dir, out, err))
        return false;
    const char *page = out != NULL ? out : file_join(c->arena, dir, "report.html");
    if (option_on(c->options, OPT_PDF)) {
        pdf = pdf_beside(page, c->arena);
        if (!page_pdf(page, pdf, c->stop, err))
            return fail_while(err, "making a PDF of %.150s, which is written", page);
    }
    if (c->json)
        return out_json_new(
            json_pack("{s:s, s:s*, s:s*}", "report", page, "pdf", pdf, "without_changes", lack),
            err);
    return out_printf(err, "The report is in %s%s%s\n", page, pdf != NULL ? " and " : "",
                      pdf != NULL ? pdf : "") &&
           (lack == NULL ||
            out_printf(err, "  It does not show all that training changed in tokens: %s\n", lack));
}

static const enum option_id ids[] = {OPT_OUT,     OPT_PDF,     OPT_MODEL,
                                     OPT_THREADS, OPT_KERNELS, OPT_HOME};

const struct command cmd_report = {
    .set =
        {.command = "report",
         .args = "DIR",
         .min_args = 1,
         .max_args = 1,
         .summary = "a run as one HTML page that needs no network",
         .details =
             "DIR is the folder of a run, finished or not. The page is report.html in it "
             "unless --out says otherwise. It shows which tokens of some answers "
             "training made likelier or less likely; for that the run's model (--model, "
             "where it lies elsewhere now) reads them once, under the base and the best "
             "and last checkpoint, and what it says is kept in DIR/token_changes.jsonl. "
             "Where the model is no longer there, the page is written without. With --pdf it is printed, too, by Chromium or "
             "Chrome where one is installed: report.pdf beside it.",
         .examples = "  hone report runs/demo\n"
                     "  hone report runs/demo --pdf\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
