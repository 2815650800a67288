/*
 * label_model.c - the grader that lets a model pick one of "labels": 1 where it is among "passing_labels", else 0.
 *
 * The form in which the API's own service asks for the label is not public beyond "structured output"; here it is that
 * of score_model, with an enumeration for the number. sampling_params are taken as there.
 */
#include "base/limits.h"
#include "grade/model_grader.h"
#include "grade/verdict.h"

#define MAX_LABELS 1000 /* what a strict JSON schema's enumeration may have */

struct state {
    struct model_grader judge;
    struct labels {
        size_t n;
        const struct str *labels;
    } all, passing;
};

static bool is_in(const struct labels *l, struct str s)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->labels[i], s))
            return true;
    return false;
}

/* A list of strings under key, none of them empty or there twice. */
static bool open_labels(struct grader *g, struct grader_part *part, const char *key,
                        struct labels *out, struct error *err)
{
    const json_t *list = json_object_get(part->spec, key);
    const char *param = part_param(g, part, key);

    if (!json_is_array(list) || json_array_size(list) == 0)
        return fail_param(err, ERR_INVALID, param, "%s: expected a list of strings, found %s",
                          param,
                          list == NULL          ? "nothing"
                          : json_is_array(list) ? "an empty one"
                                                : json_kind(list));
    if (json_array_size(list) > MAX_LABELS)
        return fail_param(err, ERR_LIMIT, param, "%s: %zu labels are more than there may be (%d)",
                          param, json_array_size(list), MAX_LABELS);
    struct str *labels = ARENA_ARRAY(&g->arena, struct str, json_array_size(list));
    *out = (struct labels){0, labels};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct str label = json_str(json_array_get(list, i));

        param = arena_printf(&g->arena, "%s[%zu]", part_param(g, part, key), i);
        if (label.len == 0)
            return fail_param(err, ERR_INVALID, param,
                              "%s: expected a string that is not empty, found %s", param,
                              json_kind(json_array_get(list, i)));
        if (is_in(out, label))
            return fail_param(err, ERR_INVALID, param, "%s: this label is there twice", param);
        labels[out->n++] = label;
    }
    return true;
}

/* {"type":"string","enum":[...]}, and the same in words */
static bool open_form(struct grader *g, struct state *st, struct error *err)
{
    json_t *list = json_array(), *schema = NULL;
    struct buf words;

    for (size_t i = 0; i < st->all.n; i++)
        json_array_append_new(list,
                              json_stringn_nocheck(st->all.labels[i].ptr, st->all.labels[i].len));
    schema = json_pack("{s:s, s:o}", "type", "string", "enum", list);
    buf_init(&words, LIMIT_TEMPLATE_BYTES);
    buf_text(&words, "one of the strings ");
    json_write(&words, list, NULL);
    const bool ok = buf_ok(&words, "labels", err);
    if (ok) {
        st->judge.form = arena_text(&g->arena, buf_view(&words));
        st->judge.response_format = model_grader_form(schema);
    } else {
        json_decref(schema);
    }
    buf_release(&words);
    return ok;
}

static bool verdict(const struct model_grader *m, struct str reply, double *score,
                    struct error *err)
{
    const struct state *st = (const void *)m; /* its first member */
    size_t i;

    if (!verdict_label(reply, st->all.n, st->all.labels, &i, err))
        return false;
    *score = is_in(&st->passing, st->all.labels[i]) ? 1 : 0;
    return true;
}

static bool open_part(struct grader *g, struct grader_part *part, struct error *err)
{
    struct state *st = ARENA_NEW(&g->arena, struct state);

    if (!open_labels(g, part, "labels", &st->all, err) ||
        !open_labels(g, part, "passing_labels", &st->passing, err))
        return false;
    for (size_t i = 0; i < st->passing.n; i++) {
        const char *param =
            arena_printf(&g->arena, "%s[%zu]", part_param(g, part, "passing_labels"), i);

        if (!is_in(&st->all, st->passing.labels[i]))
            return fail_param(err, ERR_INVALID, param,
                              "%s: \"%.64s\" is not among the labels, and so could never pass",
                              param, st->passing.labels[i].ptr);
    }
    if (!model_grader_open(g, part, &st->judge, err) || !open_form(g, st, err))
        return false;
    st->judge.verdict = verdict;
    part->state = st;
    return true;
}

const struct grader_type grader_label_model = {.name = "label_model",
                                               .needs_name = true,
                                               .asks = true,
                                               .open = open_part,
                                               .run = model_grader_run,
                                               .check_item = model_grader_check_item,
                                               .deterministic = model_grader_deterministic,
                                               .close = model_grader_close};
