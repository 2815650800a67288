/*
 * api.h - one call of the API: who asks, with what, and its answer. What all route_*.c share.
 *
 *     exchange -> route (method and path) -> key -> scope and limits -> body -> route's function -> answer
 *
 * Each route_*.c has a table of struct api_route, and api_routes.c lists the tables. A route's function returns false with err set, and the call is answered with
 * the error envelope (api_error.h says with which status); or it answers by one of the api_reply functions, or keeps the
 * exchange (http.h) and answers later.
 */
#ifndef HONE_SERVER_API_H
#define HONE_SERVER_API_H

#include "server/engine_client.h"
#include "server/http.h"
#include "store/access.h"
#include "store/documents.h"
#include "store/files.h"
#include "store/jobs.h"
#include "text/json.h"

struct api_options {
    struct store *store;
    struct engine_client *
        engine; /* NULL: models cannot be asked (a server without an engine): told in one sentence */
    const char *home;        /* models/, runs/, files/ */
    bool anonymous;          /* no key is asked for, on loopback alone */
    uint64_t max_json_bytes; /* 0: 32 MiB */
    uint64_t max_file_bytes; /* of one file; 0: 8 GiB */
    const char *public_url;  /* "http://127.0.0.1:8080" */
};
struct api;
MUST_CHECK bool api_open(const struct api_options *opt, struct api **out, struct error *err);
void api_close(struct api *a);
/* For http_options. */
bool api_begin(void *api, struct http_exchange *x, struct http_plan *plan);
void api_handle(void *api, struct http_exchange *x);
void api_done(void *api, const struct http_exchange *x, int status, uint64_t bytes_sent);
struct str api_refusal(void *api, int status, const char *message, struct arena *a);

/* Lives in the exchange's arena, as long as the exchange. */
struct api_call {
    struct api *api;
    const struct api_options *opt;
    struct store *store;
    struct http_exchange *x;
    struct arena *arena; /* the exchange's */
    const struct api_route *route;
    struct access who;
    struct str id[3]; /* what stands for each {} of the route's path, decoded */
    json_t
        *body; /* of a JSON request: an object; NULL where none came. Released with the exchange */
};

typedef bool api_fn(struct api_call *c, struct error *err);
struct api_route {
    enum http_method method;
    const char *path;    /* "/v1/files/{}/content" */
    unsigned scope;      /* enum scope; 0: open to everyone */
    enum http_body body; /* HTTP_BODY_MEMORY: JSON */
    api_fn *fn;
    const char *action; /* what the audit log calls it; NULL: not logged (reading) */
};
struct api_table {
    const struct api_route *routes;
    size_t n;
};
extern const struct api_table api_tables[];
extern const size_t n_api_tables;

/* Answers; body is taken. Always true, so that a route can end with it. */
bool api_reply(struct api_call *c, int status, json_t *body);
/* {"object":"list","data":[...],"first_id","last_id","has_more"}; data is taken, its objects have "id". */
bool api_reply_list(struct api_call *c, json_t *data, bool has_more);
/* limit, after, order, metadata[k] of the query into a page; def and most: of limit. Fails with the parameter's name. */
MUST_CHECK bool api_page(struct api_call *c, size_t def, size_t most, bool ascending,
                         struct store_page *out, struct error *err);

/* metadata of a body: at most 16 pairs, keys of at most 64 characters, texts of at most 512; null and missing: none. */
MUST_CHECK bool api_metadata(const json_t *body, struct arena *a, struct label **out, size_t *n,
                             struct error *err);
json_t *api_json_of(const char *text); /* a stored JSON text as a tree; null for NULL */

/* The model of this name as this caller sees it: a base in HOME/models, or a tuned model of its project. ERR_NOT_FOUND, "model", code model_not_found. */
MUST_CHECK bool api_model(struct api_call *c, struct str name, struct engine_model *out,
                          struct error *err);

/* The graders' services (grade/grader.h) over the engine, as this caller may use them: models by name, embeddings. */
struct grade_services;
MUST_CHECK bool api_grade_services(struct api *a, const char *project_id, struct arena *arena,
                                   struct grade_services *out, struct error *err);
#endif
