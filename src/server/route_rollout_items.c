/*
 * route_rollout_items.c - the rows of a run's data, each with what its answers got from step to step.
 */
#include "base/size.h"
#include "job/rollout_items.h"
#include "server/api_internal.h"
#include "server/rollout_json.h"
#include "server/rollout_reading.h"
#include "server/routes.h"

#include <stdlib.h>

typedef int item_order(const void *a, const void *b);

static bool read_item_order(struct api_call *c, item_order **out, struct error *err)
{
    static const struct {
        const char *name;
        item_order *fn;
    } orders[] = {{"item", NULL},
                  {"hardest", rollout_items_by_hardness},
                  {"gain", rollout_items_by_gain},
                  {"loss", rollout_items_by_loss}};
    const struct str text = http_query(c->x, "order");

    *out = NULL;
    if (text.ptr == NULL || text.len == 0)
        return true;
    for (size_t i = 0; i < COUNT_OF(orders); i++)
        if (str_is(text, orders[i].name)) {
            *out = orders[i].fn;
            return true;
        }
    return fail_param(err, ERR_INVALID, "order",
                      "\"order\" is one of item, hardest, gain and loss");
}

static json_t *group_json(const struct rollout_index *ix, const struct rollout_group *g)
{
    return json_pack("{s:I, s:I, s:f}", "step",
                     (json_int_t)rollout_index_entry(ix, g->first)->is.step, "n_answers",
                     (json_int_t)g->n, "mean_reward", rollout_group_mean(g));
}

/* id: "train-17", "valid-17" */
static bool item_json(struct rollout_reading *r, const struct rollout_item *x, bool valid,
                      json_t **out, struct error *err)
{
    json_t *steps = json_array();
    size_t n_answers = 0;
    bool cut = false;

    if (!rollout_reading_prompt(r, x->group[0].first, err)) {
        json_decref(steps);
        return false;
    }
    for (size_t i = 0; i < x->n; i++) {
        n_answers += x->group[i].n;
        json_array_append_new(steps, group_json(r->ix, &x->group[i]));
    }
    const struct str line = r->has_prompt ? buf_view(&r->prompt) : STR("");
    const struct str prompt = rollout_scan_find(line, "prompt"),
                     reference = rollout_scan_find(line, "reference");
    struct error ignored;
    json_t *row = NULL;
    if (reference.ptr == NULL || reference.len > 8 * ROLLOUT_TEXT_BYTES ||
        !json_parse(reference, "a row", &row, &ignored))
        row = json_null();
    json_t *text =
        prompt.ptr != NULL ? rollout_text_json(prompt, ROLLOUT_TEXT_BYTES, &cut) : json_null();
    *out = json_pack("{s:s, s:o, s:s, s:I, s:o, s:o, s:b, s:I, s:I, s:f, s:f, s:o}", "object",
                     "fine_tuning.job.item", "id",
                     json_string(arena_printf(r->c->arena, "%s-%u", valid ? "valid" : "train",
                                              (unsigned)x->number)),
                     "split", valid ? "valid" : "train", "item", (json_int_t)x->number, "prompt",
                     text, "reference", row, "cut", (int)cut, "n_steps", (json_int_t)x->n,
                     "n_answers", (json_int_t)n_answers, "first_mean_reward", x->first,
                     "last_mean_reward", x->last, "steps", steps);
    return true;
}

/* Where the page begins: behind the item that `after` names. */
static bool find_begin(struct api_call *c, const struct rollout_item *items, size_t n, bool valid,
                       size_t *out, struct error *err)
{
    const struct str after = http_query(c->x, "after");
    const struct str prefix = valid ? STR("valid-") : STR("train-");
    size_t i = 0;

    *out = 0;
    if (after.ptr == NULL || after.len == 0)
        return true;
    while (i < n && !(str_starts(after, prefix) &&
                      str_is(str_from(after, prefix.len),
                             arena_printf(c->arena, "%u", (unsigned)items[i].number))))
        i++;
    *out = i + 1;
    return i < n || fail_param(err, ERR_NOT_FOUND, "after", "\"after\" is no item of this job");
}

/* One alone, where the call names it. */
static size_t keep_item(struct rollout_item *items, size_t n, size_t number)
{
    size_t i = 0;

    while (i < n && items[i].number != number)
        i++;
    if (i == n)
        return 0;
    items[0] = items[i];
    return 1;
}

static bool list_items_of(struct rollout_reading *r, json_t **out, struct error *err)
{
    struct api_call *c = r->c;
    bool train = true, valid = true, ok = true, one_item;
    struct rollout_item *items;
    item_order *order;
    size_t n_all, limit, from, item = 0;

    if (!rollout_reading_split(c, &train, &valid, err) || !read_item_order(c, &order, err) ||
        !query_count(c, "item", UINT32_MAX, &one_item, &item, err) ||
        !query_limit(c, 20, 100, &limit, err))
        return false;
    valid = !train; /* one of them: rows of different files have nothing in common */
    rollout_items_find(r->ix, valid, c->arena, &items, &n_all);
    const size_t n = one_item ? keep_item(items, n_all, item) : n_all;
    if (order != NULL && n > 0)
        qsort(items, n, sizeof *items, order);
    if (!find_begin(c, items, n, valid, &from, err))
        return false;
    json_t *data = json_array();
    size_t i = from;
    for (; ok && i < n && i < from + limit; i++) {
        json_t *one;

        ok = item_json(r, &items[i], valid, &one, err);
        if (ok)
            json_array_append_new(data, one);
    }
    if (!ok) {
        json_decref(data);
        return false;
    }
    json_t *first = json_object_get(json_array_get(data, 0), "id"),
           *last = i > from ? json_object_get(json_array_get(data, i - from - 1), "id") : NULL;
    *out = json_pack("{s:s, s:o, s:O?, s:O?, s:b, s:I}", "object", "list", "data", data, "first_id",
                     first, "last_id", last, "has_more", (int)(i < n), "n_matching", (json_int_t)n);
    rollout_reading_progress(r, *out);
    return true;
}

static bool list_items(struct api_call *c, struct error *err)
{
    return rollout_reading_reply(c, list_items_of, err);
}

static const struct api_route routes[] = {
    {HTTP_GET, "/v1/fine_tuning/jobs/{}/items", SCOPE_TRAIN, HTTP_BODY_NONE, list_items, NULL, 0},
};
const struct api_table rollout_items_routes = {routes, COUNT_OF(routes)};
