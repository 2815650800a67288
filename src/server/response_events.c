/*
 * response_events.c - chunks of events, in the order in which they were added.
 */
#include "server/response_events.h"
#include "server/api.h"

#include <inttypes.h>

bool response_event_is_last(struct str type)
{
    return str_is(type, "response.completed") || str_is(type, "response.incomplete") ||
           str_is(type, "response.failed");
}

static bool count_chunk(void *ctx, const struct document *d, struct arena *a, bool *enough,
                        struct error *err)
{
    struct response_events *e = ctx;
    json_t *events = api_json_of(d->body);
    const json_t *last =
        json_array_get(events, json_array_size(events) > 0 ? json_array_size(events) - 1 : 0);
    const int64_t number = json_integer_value(json_object_get(last, "sequence_number"));

    (void)a;
    (void)enough;
    (void)err;
    e->n_chunks++;
    e->next = number < INT64_MAX ? number + 1 : number; /* rows may be anybody's */
    e->ended = response_event_is_last(json_str(json_object_get(last, "type")));
    json_decref(events);
    return true;
}

bool response_events_count(struct response_events *e, struct error *err)
{
    const struct document_filter f = {
        .kind = RESPONSE_EVENTS_KIND, .project_id = e->project_id, .parent = e->response_id};

    e->n_chunks = 0;
    e->next = 0;
    e->ended = false;
    return documents_each(e->store, &f, count_chunk, e, err);
}

bool response_events_keep(struct response_events *e, struct str events, int64_t next,
                          struct error *err)
{
    struct arena a = {0};
    const char *name = arena_printf(&a, "%s %zu", e->response_id, e->n_chunks);
    char *body = arena_try(&a, events.len + 3, 1, "events of a response", err);
    bool ok = body != NULL;

    if (ok) {
        body[0] = '[';
        memcpy(body + 1, events.ptr, events.len);
        body[events.len + 1] = ']';
        const struct document d = {.kind = RESPONSE_EVENTS_KIND,
                                   .id = store_id_of("respev_", str_of(name), &a),
                                   .project_id = e->project_id,
                                   .parent = e->response_id,
                                   .body = body,
                                   .expires_at = e->created_at + RESPONSE_EVENTS_SECONDS};
        ok = documents_add(e->store, &d, NULL, 0, err);
    }
    if (ok) {
        e->n_chunks++;
        e->next = next;
    }
    arena_release(&a);
    return ok;
}
