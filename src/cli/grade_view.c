/*
 * grade_view.c - first every answer where they are few, then how the rewards spread, then what went wrong.
 */
#include "cli/grade_view.h"
#include "base/size.h"
#include "cli/live_view.h"
#include "cli/output.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define NAME_COLUMNS 18
#define CHANGES_SHOWN 10
#define ROW_BYTES ((size_t)1 << 20)
#define LIMIT_DETAILS ((size_t)1 << 16)
#define TELL_SECONDS 0.001 /* where no call takes longer, nobody looks for slow ones */
#define WANTED_RELIABILITY 0.8

#define BOLD "1"
#define RED "31"
#define YELLOW "33"

struct viewing {
    struct buf *out;
    const struct grade_view *v;
    const struct grade_summary *s;
    const struct grade_notes *notes;
};

/* ---- words ---- */

static void style(const struct viewing *x, const char *code)
{
    if (x->v->color)
        buf_printf(x->out, "\x1b[%sm", code);
}

static void styled(const struct viewing *x, const char *code, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
static void styled(const struct viewing *x, const char *code, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    style(x, code);
    buf_text(x->out, text);
    style(x, "0");
}

static void heading(const struct viewing *x, const char *text)
{
    buf_char(x->out, '\n');
    styled(x, BOLD, "%s", text);
    buf_char(x->out, '\n');
}

/* Words broken into lines of the view's columns, each behind so many blanks. */
static void wrapped(const struct viewing *x, int indent, const char *text)
{
    int used = 0;

    for (const char *word = text; *word != '\0';) {
        const int n = (int)strcspn(word, " ");

        if (used > 0 && used + 1 + n > x->v->columns) {
            buf_char(x->out, '\n');
            used = 0;
        }
        buf_printf(x->out, "%*s", used > 0 ? 1 : indent, "");
        buf_put(x->out, word, (size_t)n);
        used += n + (used > 0 ? 1 : indent);
        word += n;
        word += *word == ' ';
    }
    buf_char(x->out, '\n');
}

static void paragraph(const struct viewing *x, const char *code, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
static void paragraph(const struct viewing *x, const char *code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (code[0] != '\0')
        style(x, code);
    wrapped(x, 0, text);
    if (code[0] != '\0') {
        x->out->len--; /* the line ends in plain */
        style(x, "0");
        buf_char(x->out, '\n');
    }
}

/* A reward: four digits behind the point where they say something. */
static const char *number(char out[24], double x)
{
    if (isnan(x))
        snprintf(out, 24, "-");
    else if (x != 0 && (fabs(x) >= 1e5 || fabs(x) < 1e-4))
        snprintf(out, 24, "%.3g", x);
    else
        snprintf(out, 24, "%.4f", x);
    return out;
}
#define NUMBER(x) number((char[24]){""}, x)

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

/* What is counted: "answer", or "grading" where each answer has several. */
static const char *unit(const struct viewing *x)
{
    return x->s->n_repeats > 1 ? "grading" : "answer";
}

static double share(const struct viewing *x, size_t n)
{
    return 100 * (double)n / (double)size_max(1, x->s->n_gradings);
}

/* ---- single answers ---- */

static void place(const struct viewing *x, size_t i)
{
    const struct grade_answer *a = &x->notes->answers[i];

    buf_printf(x->out, "  %8zu ", a->line);
    if (a->row_line > 0)
        buf_printf(x->out, "%8zu ", a->row_line);
    else
        buf_printf(x->out, "%8s ", "-");
}
#define PLACE_COLUMNS 20

/* The answer's text in what is left of the line, of which so many columns are used, and the line's end. */
static void quote(const struct viewing *x, size_t i, int used)
{
    const struct grade_answer *a = &x->notes->answers[i];
    char note[64] = "";

    if (a->count > 1)
        snprintf(note, sizeof note, "  (%zu times)", a->count);
    if (grade_notes_failed(x->notes, i))
        snprintf(note + strlen(note), sizeof note - strlen(note), "  not graded");
    put_quoted(x->out, a->text, x->v->columns - used - (int)strlen(note));
    buf_printf(x->out, "%s\n", note);
}

static void answer_line(const struct viewing *x, size_t i)
{
    place(x, i);
    buf_printf(x->out, "%9s  ", NUMBER(grade_notes_reward(x->notes, i)));
    quote(x, i, PLACE_COLUMNS + 11);
}

/* Names the columns of lines that begin with a place. */
static void columns(const struct viewing *x, const char *number, const char *text)
{
    styled(x, BOLD, "%10s %8s %9s  %s", "line", "row", number, text);
    buf_char(x->out, '\n');
}

/* What the row says beside its question: what the answer is compared with is there. */
static void row_line(const struct viewing *x, size_t i)
{
    json_t *row = json_copy((json_t *)(uintptr_t)x->notes->answers[i].item);
    struct buf b;

    json_object_del(row, "messages");
    json_object_del(row, "tools");
    if (json_object_size(row) > 0) {
        buf_init(&b, ROW_BYTES);
        json_write(&b, row, NULL);
        buf_printf(x->out, "%*s", PLACE_COLUMNS + 11, "row: ");
        live_text(x->out, buf_view(&b), x->v->columns - PLACE_COLUMNS - 11, false);
        buf_char(x->out, '\n');
        buf_release(&b);
    }
    json_decref(row);
}

static void list_all(const struct viewing *x)
{
    columns(x, "reward", "answer");
    for (size_t i = 0; i < x->notes->n; i++)
        answer_line(x, i);
    buf_char(x->out, '\n');
}

static void list_ends(const struct viewing *x)
{
    if (x->s->n_worst == 0)
        return;
    buf_char(x->out, '\n');
    columns(x, "reward", "answers, lowest first");
    for (size_t i = 0; i < x->s->n_worst; i++) {
        answer_line(x, x->s->worst[i]);
        row_line(x, x->s->worst[i]);
    }
    if (x->s->reward.n_distinct < 2)
        return;
    buf_char(x->out, '\n');
    columns(x, "reward", "answers, highest first");
    for (size_t i = 0; i < x->s->n_best; i++) {
        answer_line(x, x->s->best[i]);
        row_line(x, x->s->best[i]);
    }
}

/* ---- how the rewards spread ---- */

static void share_line(const struct viewing *x, const char *name, double part, const char *what)
{
    buf_printf(x->out, "  %-13s %5.1f %%%s%s\n", name, 100 * part, what[0] != '\0' ? "  " : "",
               what);
}

static const char *short_number(char out[24], double x)
{
    snprintf(out, 24, "%.4g", x);
    return out;
}
#define SHORT(x) short_number((char[24]){""}, x)

static void header(const struct viewing *x)
{
    const struct grade_summary *s = x->s;
    char name[32];

    styled(x, BOLD, "%zu answer%s over %zu row%s, mean reward %s", s->n_answers,
           plural(s->n_answers), s->n_rows, plural(s->n_rows),
           NUMBER(s->n_gradings > 0 ? s->mean.mean : 0));
    if (s->n_rows > 1)
        buf_printf(x->out, "  95 %% interval %s to %s", NUMBER(s->mean.mean - s->mean.ci95),
                   NUMBER(s->mean.mean + s->mean.ci95));
    buf_char(x->out, '\n');
    if (s->n_gradings == 0)
        return;
    snprintf(name, sizeof name, "at %s", SHORT(s->low));
    share_line(x, name, s->at_low, s->n_repeats > 1 ? "of the gradings" : "of the answers");
    snprintf(name, sizeof name, "at %s", SHORT(s->high));
    share_line(x, name, s->at_high, "");
    if (!isnan(s->reward.threshold))
        buf_printf(x->out, "  %-13s %5.1f %%  with %s or more (pass_threshold)\n", "passed",
                   100 * s->reward.passed, SHORT(s->reward.threshold));
    if (s->n_failed > 0)
        share_line(x, "not graded", share(x, s->n_failed) / 100, "which count as 0: see Errors");
    if (s->n_repeats > 1)
        buf_printf(x->out, "  %-13s %5zu    gradings of each answer\n", "repeated", s->n_repeats);
    const double a_second = (double)s->n_calls / x->v->seconds;
    buf_printf(x->out, "  %-13s %5.*f s  ", "time", x->v->seconds < 10 ? 2 : 0, x->v->seconds);
    buf_printf(x->out, "%.*f calls a second\n", a_second < 10 ? 1 : 0, a_second);
}

static void histogram(const struct viewing *x)
{
    const struct grade_summary *s = x->s;
    const bool exact = s->n_bins > 0 && s->bin[0].from == s->bin[0].to; /* NOLINT */
    const int room = x->v->columns - (exact ? 13 : 26) - 17;
    size_t most = 1;

    heading(x, "Rewards");
    for (size_t b = 0; b < s->n_bins; b++)
        most = size_max(most, s->bin[b].n);
    for (size_t b = 0; b < s->n_bins; b++) {
        const size_t n = s->bin[b].n;
        const int bar = (int)ceil((double)n / (double)most * room - 1e-9);

        if (exact)
            buf_printf(x->out, "  %9s  ", NUMBER(s->bin[b].from));
        else
            buf_printf(x->out, "  %9s to %9s  ", NUMBER(s->bin[b].from), NUMBER(s->bin[b].to));
        for (int i = 0; i < room; i++)
            buf_char(x->out, i < bar ? '#' : ' ');
        buf_printf(x->out, " %7zu %5.1f %%\n", n, share(x, n));
    }
}

/* "7 distinct values; 62 % at 0, 10 % at 1", and rows */
static void resolution(const struct viewing *x)
{
    const struct grade_summary *s = x->s;
    char rows[128] = "";

    if (s->n_rows_several > 0)
        snprintf(rows, sizeof rows, "; in %.0f of %zu row%s with several answers all got the same",
                 s->flat_share * (double)s->n_rows_several, s->n_rows_several,
                 plural(s->n_rows_several));
    paragraph(x, "", "%zu distinct value%s; %.0f %% at %s, %.0f %% at %s%s.", s->reward.n_distinct,
              plural(s->reward.n_distinct), 100 * s->at_low, SHORT(s->low), 100 * s->at_high,
              SHORT(s->high), rows);
}

static void warnings(const struct viewing *x)
{
    const struct grade_summary *s = x->s;

    if (s->warnings & GRADE_WARN_ALL_EQUAL)
        paragraph(x, YELLOW,
                  "Warning: every answer got %s. Training compares answers; from this it learns "
                  "nothing.",
                  NUMBER(s->reward.min));
    if (s->warnings & GRADE_WARN_ONE_SIDED)
        paragraph(x, YELLOW,
                  "Warning: nearly every answer got %s, and there is nothing between 0 and 1. Most "
                  "prompts will have nothing to compare: %s.",
                  s->at_low > s->at_high ? "0" : "1",
                  s->at_low > s->at_high
                      ? "pay for answers that are partly right, or begin with easier rows"
                      : "the task is solved, or the grader is too lenient");
    if (s->warnings & GRADE_WARN_FLAT_ROWS)
        paragraph(x, YELLOW,
                  "Warning: in most rows all answers got the same reward, which teaches nothing. "
                  "Training skips such rows: finer steps of the reward help.");
    if (s->warnings & GRADE_WARN_GRADER_FAILED && 2 * s->n_grader_failed > s->n_gradings)
        paragraph(x, RED,
                  "Warning: the grader itself failed on more than half of the answers. Training "
                  "would stop for this.");
}

/* ---- parts ---- */

static void name_of(const struct viewing *x, const char *name)
{
    int used = live_text(x->out, str_of(name), NAME_COLUMNS, false);

    while (used++ < NAME_COLUMNS)
        buf_char(x->out, ' ');
}

static void part_line(const struct viewing *x, const struct grade_part_summary *p)
{
    char r[24] = "-";

    if (!isnan(p->correlation))
        snprintf(r, sizeof r, "%+.2f", p->correlation);
    buf_text(x->out, "  ");
    name_of(x, p->name);
    buf_printf(x->out, " %8s %8s %8s %8zu %6zu %8.*f %5s\n", NUMBER(p->score.mean),
               NUMBER(p->score.min), NUMBER(p->score.max), p->score.n_distinct, p->n_failed,
               p->seconds < 0.01 ? 5 : 3, p->seconds, r);
    if (p->is_shadow)
        buf_printf(x->out, "    a shadow: measured, not rewarded\n");
    if (!isnan(p->score.threshold))
        buf_printf(x->out, "    passed %.1f %%: %s or more\n", 100 * p->score.passed,
                   SHORT(p->score.threshold));
}

static void parts(const struct viewing *x)
{
    if (x->s->n_parts < 2)
        return;
    buf_char(x->out, '\n');
    style(x, BOLD);
    buf_printf(x->out, "%-*s %8s %8s %8s %8s %6s %8s %5s\n", NAME_COLUMNS + 2, "Parts", "mean",
               "min", "max", "distinct", "errors", "s a call", "r");
    style(x, "0");
    for (size_t p = 0; p < x->s->n_parts; p++)
        part_line(x, &x->s->part[p]);
    buf_text(x->out, "  r: correlation with the reward\n");
}

/* ---- errors ---- */

static void indented(const struct viewing *x, const char *text)
{
    struct str rest = str_of(text);

    while (rest.len > 0) {
        const size_t end = str_find(rest, STR("\n"), 0);

        buf_text(x->out, "      ");
        put_visible(x->out, (struct str){rest.ptr, end});
        buf_char(x->out, '\n');
        rest = str_from(rest, size_min(end + 1, rest.len));
    }
}

/* A traceback line by line, since its columns mean something; a sentence in words. */
static void details(const struct viewing *x, const char *text)
{
    struct buf visible;

    if (strchr(text, '\n') != NULL) {
        indented(x, text);
    } else if (text[0] != '\0') {
        buf_init(&visible, LIMIT_DETAILS);
        put_visible(&visible, str_of(text));
        wrapped(x, 6, visible.ptr);
        buf_release(&visible);
    }
}

/* The lines of the first answers. */
static void where(const struct viewing *x, const struct grade_cause *c)
{
    int used = 4;

    buf_text(x->out, "    ");
    for (size_t i = 0; i < c->n_shown; i++) {
        const struct grade_answer *a = &x->notes->answers[c->shown[i]];
        char text[80];
        int n = snprintf(text, sizeof text, "line %zu", a->line);

        if (a->row_line > 0)
            n += snprintf(text + n, sizeof text - (size_t)n, " (row %zu)", a->row_line);
        if (used + n + 5 > x->v->columns) {
            buf_text(x->out, "\n    ");
            used = 4;
        }
        buf_printf(x->out, "%s%s", text, i + 1 < c->n_shown ? ", " : "");
        used += n + 2;
    }
    buf_text(x->out, c->has_more ? ", ...\n" : "\n");
}

static void cause(const struct viewing *x, const struct grade_cause *c)
{
    const char *comma = "";

    buf_printf(x->out, "  %zu time%s", c->n, plural(c->n));
    for (size_t b = 0; grade_flag_name(b) != NULL; b++)
        if (c->flags >> b & 1u) {
            buf_printf(x->out, "%s %s", comma, grade_flag_name(b));
            comma = ",";
        }
    buf_char(x->out, '\n');
    where(x, c);
    details(x, c->details);
}

static void causes(const struct viewing *x, bool grader_failed)
{
    for (size_t i = 0; i < x->s->n_causes; i++)
        if (x->s->cause[i]->grader_failed == grader_failed)
            cause(x, x->s->cause[i]);
}

static void errors(const struct viewing *x)
{
    const struct grade_summary *s = x->s;
    const size_t of_answers = s->n_failed - s->n_grader_failed;

    if (s->n_failed == 0)
        return;
    heading(x, "Errors");
    if (s->n_grader_failed > 0) {
        styled(x, RED, "The grader failed on %zu %s%s (%.1f %%): mend it before training.\n",
               s->n_grader_failed, unit(x), plural(s->n_grader_failed),
               share(x, s->n_grader_failed));
        causes(x, true);
    }
    if (of_answers > 0) {
        styled(x, YELLOW, "%zu %s%s (%.1f %%) could not be graded by %s own fault:\n", of_answers,
               unit(x), plural(of_answers), share(x, of_answers),
               of_answers == 1 ? "its" : "their");
        causes(x, false);
    }
    if (x->notes->n_other > 0)
        buf_printf(x->out, "  and %zu failures of other causes\n", x->notes->n_other);
}

/* ---- time, prints ---- */

static void slowest(const struct viewing *x)
{
    if (x->notes->n_slowest == 0 || x->notes->slowest[0].seconds < TELL_SECONDS)
        return;
    buf_char(x->out, '\n');
    columns(x, "seconds", x->s->n_parts > 1 ? "slowest calls, and what was slow" : "slowest calls");
    for (size_t i = 0; i < x->notes->n_slowest; i++) {
        const struct grade_call *c = &x->notes->slowest[i];
        int used = PLACE_COLUMNS + 11;

        place(x, c->answer);
        buf_printf(x->out, "%9.4f  ", c->seconds);
        if (x->s->n_parts > 1) {
            name_of(x, grader_name(x->notes->grader, c->part));
            buf_char(x->out, ' ');
            used += NAME_COLUMNS + 1;
        }
        quote(x, c->answer, used);
    }
}

static void prints(const struct viewing *x)
{
    const struct grade_notes *notes = x->notes;

    if (notes->n_printed == 0)
        return;
    heading(x, "What the grader printed");
    for (size_t i = 0; i < notes->n_prints; i++) {
        const struct grade_answer *a = &notes->answers[notes->print[i].answer];

        if (x->v->prints_all) {
            buf_printf(x->out, "  line %zu:\n", a->line);
            indented(x, notes->print[i].text.ptr);
        } else {
            place(x, notes->print[i].answer);
            put_quoted(x->out, notes->print[i].text, x->v->columns - PLACE_COLUMNS);
            buf_char(x->out, '\n');
        }
    }
    if (notes->n_prints < notes->n_printed)
        buf_printf(x->out, "  and %zu more calls printed: --prints shows all\n",
                   notes->n_printed - notes->n_prints);
}

/* ---- noise ---- */

static const char *verdict(double reliability)
{
    if (reliability >= 0.9)
        return "fine";
    if (reliability >= WANTED_RELIABILITY)
        return "good enough";
    if (reliability > 0.5)
        return "usable";
    return "half or more of what the reward says is noise";
}

static void noise_of(const struct viewing *x, const char *of, const struct grade_reliability *r)
{
    buf_printf(x->out, "  %-22s %9s %9s %11s\n", of, NUMBER(r->noise), NUMBER(r->signal),
               NUMBER(r->reliability));
}

static void noise(const struct viewing *x)
{
    const struct grade_summary *s = x->s;
    const bool in_rows = !isnan(s->in_rows.signal);
    const struct grade_reliability *r = in_rows ? &s->in_rows : &s->overall;

    if (s->n_repeats < 2)
        return;
    buf_char(x->out, '\n');
    styled(x, BOLD, "%-24s %9s %9s %11s", "Noise against signal", "noise", "signal", "reliability");
    buf_char(x->out, '\n');
    if (in_rows)
        noise_of(x, "answers of a row", r);
    noise_of(x, "all answers", &s->overall);
    if (r->noise == 0) { /* NOLINT: not the least difference */
        paragraph(x, "", "Grading again gave the same rewards: no noise.");
        return;
    }
    if (isnan(r->reliability))
        return;
    char advice[128] = "";
    const size_t n = grade_gradings_for(r->reliability, WANTED_RELIABILITY);
    if (n == 0)
        snprintf(advice, sizeof advice, ": nothing tells the answers apart");
    else if (n > 1)
        snprintf(advice, sizeof advice,
                 ": average %zu gradings of an answer, or ask for less fine steps", n);
    paragraph(x, r->reliability <= 0.5 ? YELLOW : "",
              "Gradings of the same answer differ by %s (a standard deviation), answers%s by %s: "
              "%s%s.",
              NUMBER(r->noise), in_rows ? " of a row" : "", NUMBER(r->signal),
              verdict(r->reliability), advice);
    buf_text(x->out,
             "  reliability: signal^2 / (signal^2 + noise^2), ICC(1) of Shrout and Fleiss 1979\n");
}

static void hint(const struct viewing *x)
{
    for (size_t p = 0; p < x->s->n_parts; p++)
        if (x->s->n_repeats == 1 && (strstr(x->s->part[p].type, "_model") != NULL ||
                                     strcmp(x->s->part[p].type, "endpoint") == 0)) {
            buf_char(x->out, '\n');
            paragraph(
                x, "",
                "This grader asks a model or a service: --repeat 4 tells how much of its reward is noise.");
            return;
        }
}

/* ---- against what was before ---- */

static void recorded(const struct viewing *x)
{
    const struct grade_summary *s = x->s;

    if (s->n_recorded == 0)
        return;
    heading(x, "Recorded rewards");
    buf_printf(x->out, "  %zu of %zu line%s now get another reward than the one recorded",
               s->n_differ, s->n_recorded, plural(s->n_recorded));
    if (s->n_differ > 0)
        buf_printf(x->out, ";\n  mean recorded %s, now %s", NUMBER(s->recorded_mean),
                   NUMBER(s->recorded_now));
    buf_char(x->out, '\n');
    for (size_t i = 0; i < s->n_differ_shown; i++) {
        place(x, s->differ[i]);
        buf_printf(x->out, "%9s -> %9s  ", NUMBER(x->notes->answers[s->differ[i]].recorded),
                   NUMBER(grade_notes_reward(x->notes, s->differ[i])));
        quote(x, s->differ[i], PLACE_COLUMNS + 24);
    }
}

static void changes(const struct viewing *x)
{
    const struct grade_past *past = x->v->past;
    size_t n = 0, shown = 0;

    if (past == NULL || !past->any)
        return;
    for (size_t i = 0; i < past->n && i < x->notes->n; i++)
        n += fabs(grade_notes_reward(x->notes, i) - past->reward[i]) > 1e-9;
    heading(x, "Since the last run");
    buf_printf(x->out, "  mean %s -> %s (%+.4f); %zu answer%s got another reward",
               NUMBER(past->mean), NUMBER(x->s->mean.mean), x->s->mean.mean - past->mean, n,
               plural(n));
    if (past->n != x->notes->n)
        buf_printf(x->out, "; %zu lines, before %zu", x->notes->n, past->n);
    buf_char(x->out, '\n');
    for (size_t i = 0; i < past->n && i < x->notes->n && shown < CHANGES_SHOWN; i++) {
        const double now = grade_notes_reward(x->notes, i);

        if (fabs(now - past->reward[i]) <= 1e-9)
            continue;
        place(x, i);
        buf_printf(x->out, "%9s -> %9s  ", NUMBER(past->reward[i]), NUMBER(now));
        quote(x, i, PLACE_COLUMNS + 24);
        shown++;
    }
    if (shown < n)
        buf_printf(x->out, "  and %zu more\n", n - shown);
}

void grade_past_keep(struct grade_past *past, const struct grade_summary *s,
                     const struct grade_notes *notes)
{
    grade_past_release(past);
    past->any = true;
    past->n = notes->n;
    past->mean = s->mean.mean;
    past->reward = ARENA_ARRAY(&past->arena, double, notes->n);
    for (size_t i = 0; i < notes->n; i++)
        past->reward[i] = grade_notes_reward(notes, i);
}

void grade_past_release(struct grade_past *past)
{
    arena_release(&past->arena);
    *past = (struct grade_past){0};
}

/* ---- all of it ---- */

static void legend(const struct viewing *x)
{
    buf_text(x->out, "\nline: of ");
    put_visible(x->out, str_of(x->v->answers));
    if (x->v->data != NULL) {
        buf_text(x->out, "; row: line of ");
        put_visible(x->out, str_of(x->v->data));
    }
    buf_char(x->out, '\n');
}

void grade_view_render(struct buf *out, const struct grade_view *v, const struct grade_summary *s,
                       const struct grade_notes *notes)
{
    const struct viewing x = {.out = out, .v = v, .s = s, .notes = notes};
    const bool list = v->list_all || notes->n <= GRADE_LISTED;

    if (list && notes->n > 0)
        list_all(&x);
    header(&x);
    if (notes->n == 0)
        return;
    histogram(&x);
    resolution(&x);
    warnings(&x);
    parts(&x);
    noise(&x);
    hint(&x);
    if (!list)
        list_ends(&x);
    slowest(&x);
    prints(&x);
    recorded(&x);
    errors(&x);
    changes(&x);
    legend(&x);
}
