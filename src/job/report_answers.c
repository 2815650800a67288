/*
 * report_answers.c - answers as people read them: beside each other, with what they earned, and token by token.
 */
#include "base/size.h"
#include "job/report_internal.h"

#include <math.h>

#define MINUS "\xE2\x88\x92"

/* ---- prompts ---- */

struct same {
    bool any, cut, differ;
    struct str first;
    size_t front, back;
};

static void compare_prompt(struct same *s, const struct report_answer *r)
{
    const struct str t = r->prompt.text;

    if (t.len == 0)
        return;
    s->cut |= r->prompt.n_cut > 0;
    if (!s->any) {
        *s = (struct same){.any = true, .cut = s->cut, .first = t, .front = t.len, .back = t.len};
        return;
    }
    size_t n = 0, most = size_min(s->front, t.len);
    while (n < most && t.ptr[n] == s->first.ptr[n])
        n++;
    s->front = n;
    most = size_min(s->back, t.len);
    for (n = 0; n < most && t.ptr[t.len - 1 - n] == s->first.ptr[s->first.len - 1 - n];)
        n++;
    s->back = n;
    s->differ |= !str_eq(t, s->first);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n';
}

/* What all shown prompts begin and end with, cut at the ends of words. */
void report_find_same(struct report_page *p)
{
    const struct report_data *d = p->d;
    struct same s = {0};

    for (size_t i = 0; i < d->n_pairs; i++)
        compare_prompt(&s, d->pair[i].before);
    for (size_t i = 0; i < d->n_best; i++)
        compare_prompt(&s, &d->best[i]);
    for (size_t i = 0; i < d->n_worst; i++)
        compare_prompt(&s, &d->worst[i]);
    for (size_t i = 0; i < d->n_groups; i++)
        compare_prompt(&s, &d->group[i].answer[0]);
    for (size_t i = 0; i < d->n_failed; i++)
        compare_prompt(&s, &d->failed[i]);
    for (size_t l = 0; l < d->n_lists; l++)
        for (size_t i = 0; i < d->list[l].n; i++)
            compare_prompt(&s, &d->list[l].answer[i]);
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < d->rows[k].n_shown_gained; i++)
            compare_prompt(&s, &d->rows[k].gained[i].shown);
        for (size_t i = 0; i < d->rows[k].n_shown_lost; i++)
            compare_prompt(&s, &d->rows[k].lost[i].shown);
    }
    if (!s.differ)
        return;
    while (s.front > 0 && !is_space(s.first.ptr[s.front - 1]))
        s.front--;
    while (s.back > 0 && !is_space(s.first.ptr[s.first.len - s.back]) &&
           s.first.ptr[s.first.len - s.back] != ':')
        s.back--;
    p->same_front = s.front;
    p->same_back = s.cut ? 0 : s.back;
}

static void left_out(struct buf *out, size_t n)
{
    if (n == 0)
        return;
    buf_text(out, " <span class=\"left-out\">[");
    chart_number(out, (double)n, CHART_COUNT);
    buf_text(out, " more bytes]</span>");
}

/* Whether prompts have so much in common that the form is shown once, and of each prompt only what differs. */
static bool has_form(const struct report_page *p)
{
    return p->same_front + p->same_back >= 24;
}

static void write_form(const struct report_page *p, struct buf *out, const struct report_answer *r)
{
    const struct str t = r->prompt.text;

    if (!has_form(p))
        return;
    buf_text(
        out,
        "<div class=\"form\"><p class=\"note\">All these prompts have one form, and differ only where the mark stands:</p><p "
        "class=\"prompt\" dir=\"auto\">");
    html_text(out, (struct str){t.ptr, p->same_front});
    buf_text(out, "<mark>\xE2\x80\xA6</mark>");
    html_text(out, (struct str){t.ptr + t.len - p->same_back, p->same_back});
    buf_text(out, p->same_back == 0 ? "\xE2\x80\xA6</p></div>" : "</p></div>");
}

struct str report_prompt_part(const struct report_page *p, const struct report_answer *r)
{
    const struct str t = r->prompt.text;

    return has_form(p) && t.len > p->same_front + p->same_back
               ? (struct str){t.ptr + p->same_front, t.len - p->same_front - p->same_back}
               : t;
}

void report_prompt(const struct report_page *p, struct buf *out, const struct report_answer *r)
{
    const struct str part = report_prompt_part(p, r);

    buf_printf(out, "<p class=\"prompt%s\" dir=\"auto\">",
               part.len < r->prompt.text.len ? " part" : "");
    if (r->prompt.text.len == 0)
        buf_text(out, "(the prompt is not in the file)");
    html_text(out, part);
    left_out(out, r->prompt.n_cut);
    buf_text(out, "</p>");
    if (r->reference.text.len > 0) {
        buf_text(out, "<p class=\"expected\" dir=\"auto\">");
        html_text(out, r->reference.text);
        buf_text(out, r->reference.n_cut > 0 ? "\xE2\x80\xA6</p>" : "</p>");
    }
}

/* ---- one answer ---- */

void report_signed(struct buf *out, double x)
{
    buf_printf(out, "%s%.2f", x < 0 ? MINUS : "+", fabs(x));
}

void report_facts(struct buf *out, const struct report_answer *r)
{
    buf_text(out, "<p class=\"facts\"><span>reward <b>");
    chart_number(out, r->reward, CHART_SCORE);
    buf_text(out, "</b></span>");
    for (size_t i = 0; i < r->n_scores && i < 8; i++) {
        buf_text(out, "<span>");
        html_text(out, str_of(r->score_name[i]));
        buf_char(out, ' ');
        chart_number(out, r->score[i], CHART_SCORE);
        buf_text(out, "</span>");
    }
    if (r->advantage > 0 || r->advantage < 0) {
        buf_printf(out, "<span class=\"%s\">advantage ", r->advantage > 0 ? "gain" : "loss");
        report_signed(out, r->advantage);
        buf_text(out, r->advantage > 0 ? " \xE2\x96\xB2</span>" : " \xE2\x96\xBC</span>");
    }
    if (r->n_tokens > 0)
        buf_printf(out, "<span>%zu token%s</span>", r->n_tokens, r->n_tokens == 1 ? "" : "s");
    if (r->n > 1)
        buf_printf(out, "<span>given %zu times</span>", r->n);
    if (r->truncated)
        buf_text(out, "<span>cut off at the limit</span>");
    if (r->errors.len > 0) {
        buf_text(out, "<span class=\"loss\">");
        html_text(out, r->errors);
        buf_text(out, "</span>");
    }
    buf_text(out, "</p>");
}

const char *report_side(const struct report_answer *r)
{
    return r->advantage > 0 ? " up" : r->advantage < 0 ? " down" : "";
}

static void write_answer(struct buf *out, const struct report_answer *r)
{
    buf_printf(out, "<div class=\"answer%s\">", report_side(r));
    if (r->thinking.text.len > 0) {
        buf_text(out, "<details><summary>Thinking");
        if (r->n_thinking_tokens > 0)
            buf_printf(out, " (%zu tokens)", r->n_thinking_tokens);
        buf_text(out, "</summary><div class=\"text thinking\" dir=\"auto\">");
        html_text(out, r->thinking.text);
        left_out(out, r->thinking.n_cut);
        buf_text(out, "</div></details>");
    }
    if (r->answer.text.len > 0) {
        buf_text(out, "<div class=\"text\" dir=\"auto\">");
        html_text(out, r->answer.text);
        left_out(out, r->answer.n_cut);
        buf_text(out, "</div>");
    } else {
        buf_text(out, "<div class=\"text none\">(no answer)</div>");
    }
    report_facts(out, r);
    buf_text(out, "</div>");
}

/* ---- before and after ---- */

static void write_side(struct buf *out, const char *name, size_t step, double reward,
                       const struct report_answer *a, size_t n)
{
    buf_printf(out, "<div class=\"side\"><h3><span>%s, step %zu</span><span>", name, step);
    if (n > 1) {
        buf_text(out, "mean reward ");
        chart_number(out, reward, CHART_SCORE);
    }
    buf_text(out, "</span></h3>");
    for (size_t i = 0; i < n; i++)
        write_answer(out, &a[i]);
    buf_text(out, "</div>");
}

void report_pairs(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;

    if (d->n_pairs > 0)
        write_form(p, out, d->pair[0].before);
    for (size_t i = 0; i < d->n_pairs; i++) {
        const struct report_pair *e = &d->pair[i];

        buf_text(out, "<article class=\"card\"><header>");
        report_prompt(p, out, e->before);
        if (e->curve.n > 2) {
            buf_printf(out, "<p class=\"followed\"><span>Row %zu at %zu steps</span>",
                       e->before->item, e->curve.n);
            report_spark(out, &e->curve);
            buf_text(out, "</p>");
        }
        buf_text(out, "</header><div class=\"sides\">");
        write_side(out, "Before", e->before->step, e->reward_before, e->before, e->n_before);
        write_side(out, "After", e->after->step, e->reward_after, e->after, e->n_after);
        buf_text(out, "</div></article>");
    }
}

void report_pairs_note(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;

    buf_text(out, d->pairs_are_valid ? "Validation cases, which training does not see"
                                     : "Training prompts that came early and late");
    buf_text(
        out,
        ". First those that gained most, then some where the reward stayed low or fell, so that limits show too.");
}

/* ---- the newest ---- */

static void write_list(const struct report_page *p, struct buf *out, const char *title,
                       const struct report_answer *a, size_t n, size_t n_all)
{
    if (n == 0)
        return;
    buf_printf(out, "<div class=\"list\" data-list=\"%s\"><h3>%s", title, title);
    if (n_all > n)
        buf_printf(out, " <small>%zu of %zu</small>", n, n_all);
    buf_text(out, "</h3>");
    for (size_t i = 0; i < n; i++) {
        buf_text(out, "<article class=\"card\"><header>");
        report_prompt(p, out, &a[i]);
        buf_printf(out,
                   "<p class=\"expected\">Step %zu, %srow %zu, sample %zu</p></header><div "
                   "class=\"side\">",
                   a[i].step, a[i].valid ? "validation " : "", a[i].item, a[i].sample);
        write_answer(out, &a[i]);
        buf_text(out, "</div></article>");
    }
    buf_text(out, "</div>");
}

void report_newest(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;

    if (d->n_pairs == 0 && d->n_best > 0)
        write_form(p, out, &d->best[0]);
    write_list(p, out, "Best of the newest step", d->best, d->n_best, 0);
    write_list(p, out, "Worst of the newest step", d->worst, d->n_worst, 0);
    for (size_t i = 0; i < d->n_lists; i++)
        write_list(p, out, d->list[i].title, d->list[i].answer, d->list[i].n, d->list[i].n_all);
}

void report_newest_note(struct report_page *p, struct buf *out)
{
    buf_printf(
        out,
        "Best and worst of training step %zu, then what stands out in the whole run; one answer to a prompt. \xE2\x96\xB2 and a solid edge: it was strengthened; \xE2\x96\xBC and a "
        "dashed edge: it was weakened; neither: all answers to the prompt earned the same.",
        p->d->newest_step);
}

/* ---- token by token ---- */

/* How strongly a token was moved, in five levels. */
static int level_of(double push)
{
    const double size = fabs(push);

    return size < 0.05 ? 0 : size < 0.25 ? 1 : size < 0.6 ? 2 : size < 1.2 ? 3 : 4;
}

static void write_token(struct buf *out, const struct report_answer *r,
                        const struct report_token *t)
{
    const bool thinking = t->at < r->n_thinking_tokens;
    const double p = isnan(t->logprob) ? 1 : exp(fmin(0, (double)t->logprob)),
                 push = r->advantage * (1 - p);
    const int level = r->trained ? level_of(push) : 0;

    if (t->given) {
        buf_text(out, "<i class=\"given\" title=\"given, not drawn\">");
        html_text(out, t->text);
        buf_text(out, "</i>");
        return;
    }
    if (level == 0 && !thinking) {
        html_text(out, t->text);
        return;
    }
    buf_text(out, "<i class=\"");
    if (level > 0)
        buf_printf(out, "%c%d", push > 0 ? 'u' : 'd', level);
    buf_text(out, thinking ? " th\"" : "\"");
    if (level > 0) {
        buf_text(out, " title=\"probability ");
        chart_number(out, p, CHART_SHARE);
        buf_text(out, ", push ");
        report_signed(out, push);
        buf_char(out, '"');
    }
    buf_char(out, '>');
    html_text(out, t->text);
    buf_text(out, "</i>");
}

static void write_strip(struct buf *out, const struct report_answer *r)
{
    size_t next = 0;

    buf_text(out, "<p class=\"strip\" dir=\"auto\">");
    for (size_t i = 0; i < r->n_shown_tokens; i++) {
        const struct report_token *t = &r->token[i];

        if (t->at > next)
            buf_printf(out, "<span class=\"left-out\"> [%zu more tokens] </span>", t->at - next);
        if (t->at == r->n_thinking_tokens && t->at > 0)
            buf_text(out, "<span class=\"left-out\"> answer: </span>");
        if (t->text.len > 0)
            write_token(out, r, t);
        next = t->at + 1;
    }
    if (r->n_tokens > next)
        buf_printf(out, "<span class=\"left-out\"> [%zu more tokens]</span>", r->n_tokens - next);
    buf_text(out, "</p>");
}

static void write_group(const struct report_page *p, struct buf *out, const struct report_group *g)
{
    buf_text(out, "<article class=\"card\"><header>");
    report_prompt(p, out, &g->answer[0]);
    buf_printf(out,
               "</header><div class=\"side\"><h3><span>Step %zu, %zu of %zu different answers, "
               "%zu in all</span></h3>",
               g->answer[0].step, g->n, g->n_different, g->n_all);
    for (size_t i = 0; i < g->n; i++) {
        buf_printf(out, "<div class=\"answer%s\">", report_side(&g->answer[i]));
        write_strip(out, &g->answer[i]);
        report_facts(out, &g->answer[i]);
        buf_text(out, "</div>");
    }
    buf_text(out, "</div></article>");
}

/* Spaces and line breaks of a token made visible. */
static void visible(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == ' ')
            buf_text(out, "\xC2\xB7");
        else if (s.ptr[i] == '\n')
            buf_text(out, "\xE2\x8F\x8E");
        else
            buf_char(out, s.ptr[i]);
    }
}

static void write_words(struct buf *out, const char *title, const char *style,
                        const struct report_word *w, size_t n, double most)
{
    struct buf text;

    if (n == 0)
        return;
    buf_init(&text, 1 << 12);
    buf_printf(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\"><table class=\"words\"><caption>%s, by the sum of "
        "their pushes</caption><thead><tr><th scope=\"col\">Token</th><th scope=\"col\" class=\"num\">Push</th><th "
        "scope=\"col\"><span class=\"skip\">Size</span></th><th scope=\"col\" class=\"num\">Seen</th></tr></thead><tbody>",
        title, title);
    for (size_t i = 0; i < n; i++) {
        buf_clear(&text);
        visible(&text, w[i].text);
        buf_text(out, "<tr><th scope=\"row\">");
        html_text(out, buf_view(&text));
        buf_text(out, "</th><td class=\"num\">");
        report_signed(out, w[i].push);
        buf_printf(
            out,
            "</td><td class=\"bar-cell\"><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect "
            "class=\"%s\" width=\"%.1f\" height=\"10\"/></svg></td>",
            style, 100 * fabs(w[i].push) / most);
        report_cell(out, (double)w[i].n, CHART_COUNT);
        buf_text(out, "</tr>");
    }
    buf_text(out, "</tbody></table></div>");
    buf_release(&text);
}

void report_tokens(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    const double most = fmax(d->n_up > 0 ? d->up[0].push : 0, d->n_down > 0 ? -d->down[0].push : 0);

    if (d->n_groups == 0 && d->n_up + d->n_down == 0)
        return;
    if (d->n_up + d->n_down > 0) {
        buf_text(out, "<div class=\"columns\">");
        write_words(out, "Most strengthened tokens", "up", d->up, d->n_up, most);
        write_words(out, "Most weakened tokens", "down", d->down, d->n_down, most);
        buf_printf(out,
                   "</div><p class=\"note\">Summed over the answers of %zu step%s of the run.</p>",
                   d->n_word_steps, d->n_word_steps == 1 ? "" : "s");
    }
    if (d->n_groups == 0)
        return;
    buf_text(
        out,
        "<p class=\"key\"><span><span class=\"strip\"><i class=\"u1\">a</i><i class=\"u2\">b</i><i class=\"u3\">c</i><i "
        "class=\"u4\">d</i></span> strengthened, line below</span><span><span class=\"strip\"><i class=\"d1\">a</i><i class=\"d2\">b</i><i "
        "class=\"d3\">c</i><i class=\"d4\">d</i></span> weakened, wave below</span><span>unmarked: hardly moved</span></p><div class=\"pairs\">");
    for (size_t i = 0; i < d->n_groups; i++)
        write_group(p, out, &d->group[i]);
    buf_text(out, "</div>");
}

/* ---- where grading failed ---- */

static void write_failure_counts(const struct report_data *d, struct buf *out, size_t *n_rows)
{
    const struct str prefix = STR("errors/graders/"), suffix = STR("_count");

    for (size_t c = 0; c < d->metrics.n_columns; c++) {
        const struct str name = str_of(d->metrics.column[c]);
        const double *y;
        double sum = 0;
        size_t slash = name.len;

        if (!str_starts(name, prefix) || !str_ends(name, suffix))
            continue;
        y = report_column(d, d->metrics.column[c]);
        for (size_t i = 0; i < d->metrics.n_rows; i++)
            sum += isfinite(y[i]) ? y[i] : 0;
        while (slash > prefix.len && name.ptr[slash - 1] != '/')
            slash--;
        if (!(sum > 0) || slash <= prefix.len)
            continue;
        buf_text(out, "<tr><th scope=\"row\">");
        html_text(out, (struct str){name.ptr + prefix.len, slash - 1 - prefix.len});
        const bool valid = str_starts(str_from(name, slash), STR("valid_"));
        slash += str_starts(str_from(name, slash), STR("train_")) || valid ? 6 : 0;
        buf_text(out,
                 valid ? "</th><td>validation</td><td><code>" : "</th><td>training</td><td><code>");
        html_text(out, (struct str){name.ptr + slash, name.len - slash - suffix.len});
        buf_text(out, "</code></td>");
        report_cell(out, sum, CHART_COUNT);
        buf_text(out, "</tr>");
        ++*n_rows;
    }
}

void report_failures(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;
    struct buf rows;
    size_t n = 0;

    buf_init(&rows, 1 << 20);
    write_failure_counts(d, &rows, &n);
    if (n > 0) {
        buf_text(
            out,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Failures\"><table class=\"figures\"><caption>Failures over the "
            "whole run, in training and validation</caption><thead><tr><th scope=\"col\">Grader</th><th scope=\"col\">File</th><th scope=\"col\">Failure</th><th scope=\"col\" "
            "class=\"num\">Answers</th></tr></thead><tbody>");
        buf_str(out, buf_view(&rows));
        buf_text(out, "</tbody></table></div>");
    }
    buf_release(&rows);
    for (size_t i = 0; i < d->n_failed; i++) {
        const struct report_answer *r = &d->failed[i];

        buf_printf(out, "<details><summary>Step %zu, item %zu, sample %zu: ", r->step, r->item,
                   r->sample);
        html_text(out, r->errors);
        buf_text(out, "</summary><div class=\"card\"><header>");
        report_prompt(p, out, r);
        buf_text(out, "</header><div class=\"side\">");
        write_answer(out, r);
        if (r->details.text.len > 0) {
            buf_text(out, "<pre class=\"code\" tabindex=\"0\">");
            html_text(out, r->details.text);
            buf_text(out, "</pre>");
        }
        buf_text(out, "</div></div></details>");
    }
}
