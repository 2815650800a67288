/*
 * response_output.h - what the engine says becomes a response object, and on the way its stream events.
 *
 *     created, in_progress, (output_item.added, parts and deltas, output_item.done)..., completed | incomplete | failed
 *
 * An item is open until something of another kind begins: thinking, then text, then calls, as they come. The text of a
 * model's thinking stands in "content" of its reasoning item; where the request asks for a summary it stands there as one,
 * for there is nothing here that would write a shorter one.
 */
#ifndef HONE_SERVER_RESPONSE_OUTPUT_H
#define HONE_SERVER_RESPONSE_OUTPUT_H

#include "base/arena.h"
#include "text/json.h"

struct response_output;
/* Each stream event in order, "type" and "sequence_number" in it; lent. */
typedef void response_say_fn(void *ctx, const char *name, const json_t *event);

/*
 * request: the request's body. id: "resp_...". say may be NULL. The new object's texts are its own.
 */
struct response_output *response_output_new(const json_t *request, const char *id,
                                            const char *model, int64_t created_at,
                                            response_say_fn *say, void *ctx);
void response_output_free(struct response_output *o); /* NULL is fine */

/* An event of engine_client.h. After the last one the object is whole. */
void response_output_take(struct response_output *o, const json_t *event);
/* The response as it is now; a new tree. */
json_t *response_output_object(const struct response_output *o);
/* The same before anything was asked: what a background response is answered with. status: "queued". */
json_t *response_object_queued(const json_t *request, const char *id, const char *model,
                               int64_t created_at);
#endif
