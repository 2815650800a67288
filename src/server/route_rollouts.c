/*
 * route_rollouts.c - the answers of a run: found, searched, shown.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "server/api_internal.h"
#include "server/rollout_reading.h"
#include "server/routes.h"

#define PAGE_BYTES ((size_t)8 << 20) /* of lines; a page that is longer ends there */
#define SEARCHED_AT_ONCE ((size_t)2048)

/* ---- the list ---- */

static const struct {
    const char *name;
    size_t at;
} filters[] = {
    {"truncated", offsetof(struct rollout_query, truncated)},
    {"error", offsetof(struct rollout_query, error)},
    {"flat", offsetof(struct rollout_query, flat)},
    {"odd", offsetof(struct rollout_query, odd)},
    {"empty", offsetof(struct rollout_query, empty)},
    {"trained", offsetof(struct rollout_query, trained)},
    {"thinking", offsetof(struct rollout_query, thinking)},
};

static bool read_filters(struct api_call *c, struct rollout_query *q, struct error *err)
{
    struct str *names;
    size_t n;

    if (!query_list(c, "filter", COUNT_OF(filters), &names, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;

        while (k < COUNT_OF(filters) && !str_is(names[i], filters[k].name))
            k++;
        if (k == COUNT_OF(filters))
            return fail_param(err, ERR_INVALID, "filter",
                              "\"filter\" is a list of truncated, error, flat, odd, empty, trained "
                              "and thinking, split by commas");
        *((bool *)((char *)q + filters[k].at)) = true;
    }
    return true;
}

static bool read_order(struct api_call *c, enum rollout_order *out, struct error *err)
{
    const struct str text = http_query(c->x, "order");

    if (text.ptr == NULL || text.len == 0)
        return true;
    if (str_is(text, "asc") || str_is(text, "desc")) {
        *out = str_is(text, "asc") ? ROLLOUT_OLDEST : ROLLOUT_NEWEST;
        return true;
    }
    for (size_t i = 0; rollout_order_name(i) != NULL; i++)
        if (str_is(text, rollout_order_name(i))) {
            *out = (enum rollout_order)i;
            return true;
        }
    return fail_param(err, ERR_INVALID, "order",
                      "\"order\" is one of newest, oldest, best, worst, strengthened, weakened, "
                      "longest, shortest and most_thinking");
}

static bool read_query(struct rollout_reading *r, struct rollout_query *q, struct error *err)
{
    struct api_call *c = r->c;
    const struct str after = http_query(c->x, "after");

    *q = rollout_query_all();
    if (!rollout_reading_split(c, &q->train, &q->valid, err) ||
        !query_count(c, "step", UINT32_MAX, &q->has_step, &q->step, err) ||
        !query_count(c, "item", UINT32_MAX, &q->has_item, &q->item, err) ||
        !query_number(c, "min_reward", &q->min_reward, err) ||
        !query_number(c, "max_reward", &q->max_reward, err) || !read_filters(c, q, err) ||
        !read_order(c, &q->order, err))
        return false;
    q->has_after = after.ptr != NULL && after.len > 0;
    return !q->has_after || rollout_index_find(r->ix, after, &q->after) ||
           fail_param(err, ERR_NOT_FOUND, "after", "\"after\" is no rollout of this job");
}

/* A page on its way. */
struct page {
    json_t *data;
    size_t limit, bytes, n_matching;
    struct rollout_ref last; /* the last one that was looked at */
    bool has_last, has_more;
};

/* refs in order, until the page is full or its time is over. */
static bool take_refs(struct rollout_reading *r, struct str q, const struct rollout_ref *refs,
                      size_t n, struct page *p, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        json_t *one;

        if (json_array_size(p->data) == p->limit || p->bytes > PAGE_BYTES ||
            (q.len > 0 && p->has_last && clock_seconds() > r->until)) {
            p->has_more = true;
            return true;
        }
        p->last = refs[i];
        p->has_last = true;
        if (q.len > 0 && !rollout_index_says(r->ix, refs[i], q, &r->scratch))
            continue;
        if (!rollout_index_read(r->ix, refs[i], &r->line, err) ||
            !rollout_reading_json(r, refs[i], false, &one, err))
            return false;
        json_array_append_new(p->data, one);
        p->bytes += r->line.len;
    }
    return true;
}

static bool fill_page(struct rollout_reading *r, struct rollout_query *q, struct str text,
                      struct page *p, struct error *err)
{
    const size_t most = text.len > 0 ? SEARCHED_AT_ONCE : p->limit + 1;
    struct rollout_ref *refs = ARENA_ARRAY(r->c->arena, struct rollout_ref, most);

    for (;;) {
        const size_t n = rollout_index_page(r->ix, q, most, refs, &p->n_matching);

        if (!take_refs(r, text, refs, n, p, err))
            return false;
        if (p->has_more || n < most)
            return true;
        q->has_after = true;
        q->after = refs[n - 1];
    }
}

static bool list_rollouts(struct rollout_reading *r, json_t **out, struct error *err)
{
    const struct str text = http_query(r->c->x, "q");
    struct rollout_query q;
    struct page p = {0};

    if (!read_query(r, &q, err) || !query_limit(r->c, 20, 100, &p.limit, err))
        return false;
    p.data = json_array();
    if (!fill_page(r, &q, text, &p, err)) {
        json_decref(p.data);
        return false;
    }
    const struct rollout_id last =
        p.has_last ? rollout_index_id(r->ix, p.last) : (struct rollout_id){{0}};
    json_t *first = json_object_get(json_array_get(p.data, 0), "id");
    *out = json_pack("{s:s, s:o, s:O?, s:s?, s:b, s:I}", "object", "list", "data", p.data,
                     "first_id", first, "last_id", p.has_last ? last.text : NULL, "has_more",
                     (int)p.has_more, "n_matching", (json_int_t)p.n_matching);
    rollout_reading_progress(r, *out);
    return true;
}

static bool list(struct api_call *c, struct error *err)
{
    return rollout_reading_reply(c, list_rollouts, err);
}

/* ---- one ---- */

/* The model that an answer was drawn from: what it is called here where its weights are still there. */
static json_t *drawn_from(struct rollout_reading *r, const struct rollout_figures *f, bool valid)
{
    const size_t step = valid || f->step == 0 ? f->step : f->step - 1;
    const char *name = arena_printf(r->c->arena, "step-%zu", step);
    const char *dir =
        file_join(r->c->arena, file_join(r->c->arena, r->run.dir, "checkpoints"), name);

    if (step == 0)
        name = "base";
    else if (!file_is_dir(dir))
        name = NULL;
    return json_pack("{s:I, s:s?}", "step", (json_int_t)step, "model", name);
}

static bool one_rollout(struct rollout_reading *r, json_t **out, struct error *err)
{
    struct rollout_ref ref;

    if (!rollout_reading_find(r, &ref, err) || !rollout_index_read(r->ix, ref, &r->line, err) ||
        !rollout_reading_json(r, ref, true, out, err))
        return false;
    json_object_set_new(
        *out, "drawn_from",
        drawn_from(r, &rollout_index_entry(r->ix, ref)->is, rollout_index_is_valid(r->ix, ref)));
    return true;
}

static bool retrieve(struct api_call *c, struct error *err)
{
    return rollout_reading_reply(c, one_rollout, err);
}

#define ROLLOUTS "/v1/fine_tuning/jobs/{}/rollouts"
static const struct api_route routes[] = {
    {HTTP_GET, ROLLOUTS, SCOPE_TRAIN, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, ROLLOUTS "/{}", SCOPE_TRAIN, HTTP_BODY_NONE, retrieve, NULL, 0},
};
const struct api_table rollouts_routes = {routes, COUNT_OF(routes)};
