/*
 * grade_summary_json.c - the summary as one object. Numbers that cannot be told are null.
 */
#include "base/size.h"
#include "grade/grade_summary.h"
#include "grade/template.h"

#include <math.h>

#define TEXT_BYTES ((size_t)400) /* of an answer, and of what is printed */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *count(size_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *text_of(struct str s)
{
    struct arena a = {0};
    const struct str valid = grade_utf8(
        &a, (struct str){s.ptr, size_min(s.len, TEXT_BYTES)}); /* cut inside a character */
    json_t *out = json_stringn(valid.ptr, valid.len);

    arena_release(&a);
    return out;
}

static json_t *answer(const struct grade_notes *notes, size_t i)
{
    const struct grade_answer *a = &notes->answers[i];

    return json_pack("{s:o, s:o, s:o, s:o}", "line", a->line > 0 ? count(a->line) : json_null(),
                     "row_line", a->row_line > 0 ? count(a->row_line) : json_null(), "reward",
                     number(grade_notes_reward(notes, i)), "text", text_of(a->text));
}

static json_t *answers(const struct grade_notes *notes, size_t n, const size_t *which)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, answer(notes, which[i]));
    return list;
}

/* mean, min, max, ... into o */
static void put_spread(json_t *o, const struct grade_spread *d)
{
    json_object_set_new(o, "mean", number(d->mean));
    json_object_set_new(o, "min", number(d->min));
    json_object_set_new(o, "max", number(d->max));
    json_object_set_new(o, "distinct", count(d->n_distinct));
    json_object_set_new(o, "pass_threshold", number(d->threshold));
    json_object_set_new(o, "passed", number(d->passed));
}

static json_t *reward(const struct grade_summary *s)
{
    json_t *o = json_object();

    put_spread(o, &s->reward);
    json_object_set_new(o, "ci95",
                        s->n_rows > 1 ? json_pack("[o, o]", number(s->mean.mean - s->mean.ci95),
                                                  number(s->mean.mean + s->mean.ci95))
                                      : json_null());
    json_object_set_new(o, "low", number(s->low));
    json_object_set_new(o, "high", number(s->high));
    json_object_set_new(o, "share_at_low", number(s->at_low));
    json_object_set_new(o, "share_at_high", number(s->at_high));
    return o;
}

static json_t *histogram(const struct grade_summary *s)
{
    json_t *list = json_array();

    for (size_t b = 0; b < s->n_bins; b++)
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:o}", "from", number(s->bin[b].from), "to",
                                        number(s->bin[b].to), "count", count(s->bin[b].n)));
    return list;
}

static json_t *warnings(unsigned bits)
{
    json_t *list = json_array();

    for (size_t b = 0; grade_warning_name(b) != NULL; b++)
        if (bits >> b & 1u)
            json_array_append_new(list, json_string(grade_warning_name(b)));
    return list;
}

static json_t *parts(const struct grade_summary *s)
{
    json_t *list = json_array();

    for (size_t p = 0; p < s->n_parts; p++) {
        const struct grade_part_summary *from = &s->part[p];
        json_t *o = json_pack("{s:s, s:s, s:b}", "name", from->name, "type", from->type, "shadow",
                              from->is_shadow);

        put_spread(o, &from->score);
        json_object_set_new(o, "errors", count(from->n_failed));
        json_object_set_new(o, "seconds", number(from->seconds));
        json_object_set_new(o, "correlation", number(from->correlation));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *flag_names(unsigned bits)
{
    json_t *list = json_array();

    for (size_t b = 0; grade_flag_name(b) != NULL; b++)
        if (bits >> b & 1u)
            json_array_append_new(list, json_string(grade_flag_name(b)));
    return list;
}

static json_t *errors(const struct grade_summary *s, const struct grade_notes *notes)
{
    json_t *flags = json_object(), *list = json_array();

    for (size_t b = 0; grade_flag_name(b) != NULL && b < COUNT_OF(notes->n_flag); b++)
        if (notes->n_flag[b] > 0)
            json_object_set_new(flags, grade_flag_name(b), count(notes->n_flag[b]));
    for (size_t i = 0; i < s->n_causes; i++) {
        const struct grade_cause *c = s->cause[i];
        json_t *o = json_pack("{s:o, s:b, s:o}", "flags", flag_names(c->flags), "grader_failed",
                              c->grader_failed, "count", count(c->n));
        struct arena a = {0};
        const struct str details = grade_utf8(&a, str_of(c->details));

        json_object_set_new(o, "details", json_stringn(details.ptr, details.len));
        json_object_set_new(o, "at", answers(notes, c->n_shown, c->shown));
        json_array_append_new(list, o);
        arena_release(&a);
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "count", count(s->n_failed), "grader_failed",
                     count(s->n_grader_failed), "flags", flags, "causes", list, "other_causes",
                     count(notes->n_other));
}

static json_t *slowest(const struct grade_notes *notes)
{
    json_t *list = json_array();

    for (size_t i = 0; i < notes->n_slowest; i++) {
        const struct grade_call *c = &notes->slowest[i];
        json_t *o = answer(notes, c->answer);

        json_object_set_new(o, "seconds", number(c->seconds));
        json_object_set_new(o, "part", json_string(grader_name(notes->grader, c->part)));
        json_object_set_new(o, "part_seconds", number(c->part_seconds));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *prints(const struct grade_notes *notes)
{
    json_t *list = json_array();

    for (size_t i = 0; i < notes->n_prints; i++) {
        json_t *o = answer(notes, notes->print[i].answer);

        json_object_set_new(o, "printed", text_of(notes->print[i].text));
        json_array_append_new(list, o);
    }
    return json_pack("{s:o, s:o}", "count", count(notes->n_printed), "first", list);
}

static json_t *reliability(const struct grade_reliability *r)
{
    return json_pack("{s:o, s:o, s:o}", "noise", number(r->noise), "signal", number(r->signal),
                     "reliability", number(r->reliability));
}

static json_t *recorded(const struct grade_summary *s, const struct grade_notes *notes)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->n_differ_shown; i++) {
        json_t *o = answer(notes, s->differ[i]);

        json_object_set_new(o, "recorded", number(notes->answers[s->differ[i]].recorded));
        json_array_append_new(list, o);
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "answers", count(s->n_recorded), "differ",
                     count(s->n_differ), "mean", number(s->recorded_mean), "mean_now",
                     number(s->recorded_now), "first", list);
}

json_t *grade_summary_json(const struct grade_summary *s, const struct grade_notes *notes,
                           double seconds)
{
    json_t *o = json_object();

    json_object_set_new(o, "answers", count(s->n_answers));
    json_object_set_new(o, "rows", count(s->n_rows));
    json_object_set_new(o, "repeats", count(s->n_repeats));
    json_object_set_new(o, "seconds", number(seconds));
    json_object_set_new(o, "calls_per_second", number((double)s->n_calls / seconds));
    json_object_set_new(o, "reward", reward(s));
    json_object_set_new(o, "histogram", histogram(s));
    json_object_set_new(o, "rows_with_several", count(s->n_rows_several));
    json_object_set_new(o, "flat_rows", number(s->flat_share));
    json_object_set_new(o, "warnings", warnings(s->warnings));
    json_object_set_new(o, "parts", parts(s));
    json_object_set_new(o, "errors", errors(s, notes));
    json_object_set_new(o, "slowest", slowest(notes));
    json_object_set_new(o, "worst", answers(notes, s->n_worst, s->worst));
    json_object_set_new(o, "best", answers(notes, s->n_best, s->best));
    json_object_set_new(o, "prints", prints(notes));
    json_object_set_new(o, "noise",
                        s->n_repeats > 1
                            ? json_pack("{s:o, s:o}", "overall", reliability(&s->overall),
                                        "in_rows", reliability(&s->in_rows))
                            : json_null());
    json_object_set_new(o, "recorded", s->n_recorded > 0 ? recorded(s, notes) : json_null());
    return o;
}
