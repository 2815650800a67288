/*
 * cmd_feedback.c - what people say of stored answers, and files to learn from it.
 */
#include "base/size.h"
#include "cli/access_place.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "server/feedback.h"

#include <stdio.h>

#define MAX_EXPORT_BYTES ((size_t)4 << 30)

static bool tell(struct cli *c, const struct document *d, struct error *err)
{
    json_t *o = feedback_json(d);
    struct buf b;

    if (c->json)
        return out_json_new(o, err);
    const char *rating = json_string_value(json_object_get(o, "rating"));
    const char *correction = json_string_value(json_object_get(o, "correction"));
    const char *comment = json_string_value(json_object_get(o, "comment"));
    buf_init(&b, 1 << 16);
    if (correction != NULL)
        put_quoted(&b, str_of(correction), 40);
    if (comment != NULL) {
        buf_text(&b, correction != NULL ? "  " : "");
        put_quoted(&b, str_of(comment), 40);
    }
    const bool ok = out_printf(err, "%s  %s  %-4s  " STR_FMT "\n", d->id, d->state,
                               rating != NULL ? rating : "-", STR_ARG(buf_view(&b)));
    buf_release(&b);
    json_decref(o);
    return ok;
}

static bool add(struct cli *c, struct store *s, const char *id, struct error *err)
{
    const struct options *o = c->options;
    json_t *request = json_pack(
        "{s:s, s:s?, s:s?, s:s?}", "object_id", id, "rating", option_text(o, OPT_RATING),
        "correction", option_text(o, OPT_CORRECTION), "comment", option_text(o, OPT_COMMENT));
    struct document d;
    struct project p;

    if (request == NULL)
        return misuse(c, err, "what is said of the answer is no UTF-8");
    const bool ok = place_project(c, s, &p, err) &&
                    feedback_add(s, p.id, request, NULL, 0, c->arena, &d, err) &&
                    place_audit(s, p.org_id, p.id, "feedback.create", d.id, err);
    json_decref(request);
    return ok && tell(c, &d, err);
}

static bool list(struct cli *c, struct store *s, const char *arg, struct error *err)
{
    struct store_page page = {.limit = (size_t)option_int(c->options, OPT_LAST)};
    struct document_filter f = {.kind = FEEDBACK_KIND, .model = option_text(c->options, OPT_MODEL)};
    struct document *all;
    struct project p;
    size_t n;
    bool more;

    (void)arg;
    if (!place_project(c, s, &p, err))
        return false;
    f.project_id = p.id;
    if (!documents_list(s, &f, &page, c->arena, &all, &n, &more, err))
        return false;
    for (size_t i = 0; i < n; i++) /* with --json a record a line */
        if (!tell(c, &all[i], err))
            return false;
    return true;
}

static bool export(struct cli *c, struct store *s, const char *arg, struct error *err)
{
    enum dataset_format format;
    struct project p;
    struct buf b;
    size_t n_rows, n_left_out;

    (void)arg;
    if (!feedback_format(str_of(option_text(c->options, OPT_FORMAT)), &format) ||
        !place_project(c, s, &p, err))
        return false;
    buf_init(&b, MAX_EXPORT_BYTES);
    const bool ok = feedback_export(s, p.id, option_text(c->options, OPT_MODEL), format, &b,
                                    &n_rows, &n_left_out, err) &&
                    out_str(buf_view(&b), err);
    buf_release(&b);
    if (ok)
        fprintf(stderr, "%zu rows; %zu records have nothing for this method\n", n_rows, n_left_out);
    return ok;
}

static bool run(struct cli *c, struct error *err)
{
    static const struct place_verb verbs[] = {
        {"add", "ANSWER_ID", add},
        {"list", NULL, list},
        {"export", NULL, export},
    };

    return place_run(c, verbs, COUNT_OF(verbs), err);
}

static const enum option_id ids[] = {
    OPT_RATING, OPT_CORRECTION, OPT_COMMENT, OPT_FORMAT,   OPT_MODEL,
    OPT_LAST,   OPT_ORG,        OPT_PROJECT, OPT_DATABASE, OPT_HOME,
};

const struct command cmd_feedback = {
    .set = {.command = "feedback",
            .args = "add ANSWER_ID|list|export",
            .min_args = 1,
            .max_args = 2,
            .summary = "what people say of stored answers, and training files made of it",
            .details = "An answer is a chat completion or response that was asked for with "
                       "\"store\": true. A correction becomes a row of a supervised job, or the "
                       "better answer of a pair for dpo; for rft all of it stands beside the "
                       "prompt, for graders.",
            .examples = "  hone feedback add chatcmpl-4kq... --correction \"SCN1A\"\n"
                        "  hone feedback export --format dpo > pairs.jsonl\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
