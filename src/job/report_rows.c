/*
 * report_rows.c - what became of each row of the data, and what the run warned of.
 */
#include "base/size.h"
#include "base/utf8.h"
#include "job/report_internal.h"

#include <math.h>

#define PROMPT_BYTES 160
#define WARNINGS_FIRST 3 /* the others are folded away */
#define WARNINGS_MOST 30

/* ---- rows ---- */

void report_spark(struct buf *out, const struct report_curve *c)
{
    double low = 0, high = 1;

    for (size_t i = 0; i < c->n; i++) {
        low = fmin(low, c->mean[i]);
        high = fmax(high, c->mean[i]);
    }
    buf_printf(
        out,
        "<svg class=\"spark\" viewBox=\"0 0 100 24\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Mean reward at %zu "
        "steps, from ",
        c->n);
    chart_number(out, c->mean[0], CHART_SCORE);
    buf_text(out, " to ");
    chart_number(out, c->mean[c->n - 1], CHART_SCORE);
    buf_text(out, "\"><polyline points=\"");
    const size_t every = (c->n + 99) / 100;
    for (size_t i = 0; i < c->n; i += every) {
        const size_t at = i + every >= c->n ? c->n - 1 : i; /* the last one is there */
        const double x = 100 * (c->step[at] - c->step[0]) / fmax(1, c->step[c->n - 1] - c->step[0]),
                     y = 22 - 20 * (c->mean[at] - low) / (high - low);

        buf_printf(out, "%s%.1f,%.1f", i > 0 ? " " : "", x, y);
    }
    buf_text(out, "\"/></svg>");
}

static void write_row(const struct report_page *p, struct buf *out, const struct report_row *r)
{
    const struct str prompt = report_prompt_part(p, &r->shown),
                     part = utf8_cut(prompt, PROMPT_BYTES);
    const double change = r->last - r->first;

    buf_printf(out, "<tr><th scope=\"row\" class=\"num\">%zu</th><td class=\"row-prompt\"><bdi>",
               r->shown.item);
    html_text(out, part);
    buf_text(out, part.len < prompt.len ? "\xE2\x80\xA6</bdi><small><bdi>" : "</bdi><small><bdi>");
    html_text(out, utf8_cut(r->shown.reference.text, PROMPT_BYTES));
    buf_text(out, "</bdi></small></td><td>");
    report_spark(out, &r->curve);
    buf_text(out, "</td>");
    report_cell(out, r->first, CHART_SCORE);
    report_cell(out, r->last, CHART_SCORE);
    buf_printf(out, "<td class=\"num %s\">", change > 0 ? "gain" : "loss");
    report_signed(out, change);
    buf_text(out, "</td>");
    report_cell(out, (double)r->curve.n_answers, CHART_COUNT);
    buf_text(out, "</tr>");
}

static void write_rows(const struct report_page *p, struct buf *out, const char *file,
                       const struct report_rows *r)
{
    if (r->n == 0)
        return;
    buf_printf(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Rows of the %s\"><table class=\"figures\"><caption>Rows of "
        "the %s: of %zu that were answered again, %zu gained, %zu lost, %zu stayed. Those that gained most come first, then those that "
        "lost most.</caption><thead><tr><th scope=\"col\" class=\"num\">Row</th><th scope=\"col\">Prompt</th><th scope=\"col\">Mean "
        "reward</th><th scope=\"col\" class=\"num\">First</th><th scope=\"col\" class=\"num\">Last</th><th scope=\"col\" "
        "class=\"num\">Change</th><th scope=\"col\" class=\"num\">Answers</th></tr></thead><tbody>",
        file, file, r->n, r->n_gained, r->n_lost, r->n - r->n_gained - r->n_lost);
    for (size_t i = 0; i < r->n_shown_gained; i++)
        write_row(p, out, &r->gained[i]);
    for (size_t i = 0; i < r->n_shown_lost; i++)
        write_row(p, out, &r->lost[i]);
    buf_text(out, "</tbody></table></div>");
}

void report_rows(struct report_page *p, struct buf *out)
{
    write_rows(p, out, "training", &p->d->rows[0]);
    write_rows(p, out, "validation", &p->d->rows[1]);
}

/* ---- warnings ---- */

static void write_example(struct buf *out, const struct run_example *e)
{
    buf_printf(out, "<li><p class=\"when\">Step %zu, row %zu, sample %zu, ", e->step, e->item,
               e->sample);
    html_text(out, utf8_cut(e->told, 200));
    buf_text(out, "</p><p class=\"prompt\" dir=\"auto\">");
    html_text(out, utf8_cut(e->text, 1000));
    buf_text(out, "</p></li>");
}

/* "Step 7: the ..." -> "The ...": the step stands above it. */
static void write_message(struct buf *out, struct str message)
{
    const size_t colon = str_find(message, STR(": "), 0);

    if (str_starts(message, STR("Step ")) && colon < 14 && colon + 2 < message.len)
        message = str_from(message, colon + 2);
    if (message.len > 0 && message.ptr[0] >= 'a' && message.ptr[0] <= 'z') {
        buf_char(out, (char)(message.ptr[0] - 'a' + 'A'));
        message = str_from(message, 1);
    }
    html_text(out, utf8_cut(message, 2400));
}

static void write_warning(struct buf *out, const struct run_warning *w)
{
    buf_printf(out, "<div class=\"notice%s\"><p class=\"when\">%s",
               str_is(w->level, "error") ? " error" : "",
               str_is(w->level, "error") ? "Error" : "Warning");
    if (w->n > 1 && w->last_step > 0)
        buf_printf(out, ", %zu times, steps %zu to %zu", w->n, w->first_step, w->last_step);
    else if (w->last_step > 0)
        buf_printf(out, ", step %zu", w->last_step);
    buf_text(out, "</p><p dir=\"auto\">");
    write_message(out, w->message);
    buf_text(out, "</p>");
    if (w->n_examples > 0) {
        buf_printf(out, "<details><summary>%zu answer%s</summary><ul>", w->n_examples,
                   w->n_examples == 1 ? " that shows it" : "s that show it");
        for (size_t i = 0; i < w->n_examples; i++)
            write_example(out, &w->example[i]);
        buf_text(out, "</ul></details>");
    }
    buf_text(out, "</div>");
}

void report_warnings(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    const size_t n = size_min(d->n_warnings, WARNINGS_MOST);

    for (size_t i = 0; i < size_min(n, WARNINGS_FIRST); i++)
        write_warning(out, &d->warning[i]);
    if (n <= WARNINGS_FIRST)
        return;
    buf_printf(out, "<details><summary>%zu more</summary><div class=\"notices\">",
               n - WARNINGS_FIRST);
    for (size_t i = WARNINGS_FIRST; i < n; i++)
        write_warning(out, &d->warning[i]);
    buf_text(out, "</div></details>");
}

void report_warnings_title(struct report_page *p, struct buf *out)
{
    buf_printf(out, "%zu warning%s", p->d->n_warnings, p->d->n_warnings == 1 ? "" : "s");
}
