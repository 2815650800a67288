/*
 * response_call.h - a request to /v1/responses, made ready to be asked: by a client that waits, or by a runner later.
 */
#ifndef HONE_SERVER_RESPONSE_CALL_H
#define HONE_SERVER_RESPONSE_CALL_H

#include "server/api.h"

#define RESPONSE_KIND "response"

struct response_call {
    char *id, *model;
    int64_t created_at;
    json_t *request;     /* as it came */
    json_t *input;       /* its items, with ids */
    json_t *chat;        /* what the engine is asked */
    const char **before; /* [n_before] ids of the responses that it goes on from, newest first */
    size_t n_before;
    struct engine_model engine_model;
};
/*
 * id NULL: a new one. Texts in the arena. Fails with the parameter's name; previous_response_not_found where the one before is
 * not stored.
 */
MUST_CHECK bool response_call_read(struct api *api, const char *project_id, json_t *request,
                                   const char *id, int64_t created_at, struct arena *a,
                                   struct response_call *out, struct error *err);
void response_call_release(struct response_call *r); /* all zeros is fine */

/* {"request","input","response"}: what is kept of it, as JSON text in the arena. */
const char *response_call_document(const struct response_call *r, const json_t *response,
                                   struct arena *a);

/*
 * The other way: the chat request that a stored document's response was an answer to, a new tree. Fails where a response before
 * it is not stored any more.
 */
MUST_CHECK bool response_conversation(struct store *s, const char *project_id,
                                      const json_t *document, struct arena *a, json_t **out,
                                      struct error *err);
#endif
