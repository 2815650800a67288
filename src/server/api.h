/*
 * api.h - one call of the API: who asks, with what, and its answer. What all route_*.c share.
 *
 *     exchange -> route (method and path) -> key -> scope and limits -> body -> route's function -> answer
 *
 * Each route_*.c has a table of routes, and api_routes.c lists the tables. A route's function returns false with err set, and
 * the call is answered with the error envelope (api_error.h says with which status); or it answers by one of the api_reply
 * functions, or keeps the exchange (http.h) and answers later, from any thread. Once answered, the call is gone.
 *
 *   api.c          routing, what happens before and after a route's function
 *   api_access.c   keys, projects, scopes
 *   api_reply.c    answers, lists, pages, metadata
 *   api_model.c    names of models
 *   api_grading.c  what graders ask
 *   api_later.c    calls that take their time
 *   api_once.c     calls that make something once, however often they are sent
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

#include <stdatomic.h>

#define API_JSON_BYTES ((uint64_t)32 << 20)
#define API_FILE_BYTES ((uint64_t)8 << 30)
#define API_PART_BYTES ((uint64_t)64 << 20) /* one part of an upload */

struct api_options {
    struct store *store;
    struct engine_client *
        engine; /* NULL: models cannot be asked (a server without an engine): told in one sentence */
    const char *home;        /* models/, runs/, files/ */
    const char *python;      /* interpreter of Python graders; NULL: python3 on PATH */
    bool anonymous;          /* no key is asked for, on loopback alone */
    bool quiet;              /* no line a call on standard error */
    uint64_t max_json_bytes; /* 0: API_JSON_BYTES */
    uint64_t max_file_bytes; /* of one file; 0: API_FILE_BYTES */
    const char *public_url;  /* "http://127.0.0.1:8080"; NULL: as the request's Host says */
    bool tls;                /* it listens by TLS */
    /*
     * The operator's judges: name -> an address, a model of this server, or {"base_url", "model", "api_key_env"}; "*" is any name.
     * What a request says of addresses and variables is refused, unless request_addresses allows it: "hone.judges" of a
     * job, and graders of the type endpoint.
     */
    const json_t *judges;
    bool request_addresses;
    /* Variables whose values jobs may send to the addresses that they name, "A,B"; NULL: none. */
    const char *request_keys;
    const char *embedding_model; /* for graders; NULL: none */
    /* What jobs that say nothing of it are trained in, as this server computes; NULL: their own defaults. */
    const char *precision, *kv_cache;
    bool
        private_webhooks; /* webhooks may go to addresses of this machine and of private networks */
    /* Of every key that has none of its own; 0: none. */
    int64_t requests_per_minute, concurrent_requests;
    int64_t keep_answers_s; /* stored responses and chat completions go after that; 0: they stay */
};
struct api;
MUST_CHECK bool api_open(const struct api_options *opt, struct api **out, struct error *err);
/* Between http_server_drain and http_server_close: ends streams and answers whatever was kept. No call is kept after it. */
void api_stop(struct api *a);
void api_close(struct api *a); /* the HTTP server is closed; NULL is fine */
/* What /readyz and /metrics tell of, too; both outlive every call. NULL: there is none. */
struct worker_pool;
void api_watch(struct api *a, struct http_server *http, struct worker_pool *workers);
void api_drain(struct api *a); /* /readyz says so from now on */
/* For http_options. */
bool api_begin(void *api, struct http_exchange *x, struct http_plan *plan);
void api_handle(void *api, struct http_exchange *x);
void api_answered(void *api, const struct http_exchange *x);
void api_done(void *api, const struct http_exchange *x, int status, uint64_t bytes_sent);
struct str api_refusal(void *api, int status, const char *message, const struct error *why,
                       struct arena *a);

struct api_route;
struct limit_state;
struct arrival;
struct api_making;
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
    json_t *body;     /* of a JSON request: an object; NULL where none came. Released at the end */
    const char *target; /* for the audit log: the object's id; NULL: id[0] or the answer's "id" */
    struct limit_state *limit; /* what is left of the key's requests; NULL: no limit */
    atomic_bool gone; /* of a call that was kept: its client has left, or the server stops */
    struct api_call *next_later, **at_later;
    bool is_later;           /* in the list of kept calls, which the two above link: api_later.c */
    bool counted;            /* among the key's concurrent requests */
    struct arrival *arrival; /* of an upload to a project with a quota; else NULL */
    struct api_making *making; /* of a call that makes something once: api_once.c */
    const char *new_id;        /* what it makes, and when it was first asked for */
    int64_t new_at;
};
/* When what is stored of an answer goes (keep_answers_s); 0: never. */
static inline int64_t api_answer_expires(const struct api_call *c, int64_t created_at)
{
    return c->opt->keep_answers_s > 0 ? created_at + c->opt->keep_answers_s : 0;
}

typedef bool api_fn(struct api_call *c, struct error *err);
struct api_route {
    enum http_method method;
    const char *path; /* "/v1/files/{}/content" */
    unsigned scope;   /* enum scope; 0: open to everyone */
    enum http_body
        body; /* HTTP_BODY_MEMORY: JSON, which may be missing: a route that needs it says so with api_need_body */
    api_fn *fn;
    const char *action; /* what the audit log calls it; NULL: not logged (reading) */
    uint64_t max_bytes; /* of the body; 0: the kind's */
};
struct api_table {
    const struct api_route *routes;
    size_t n;
};
extern const struct api_table *const api_tables[];
extern const size_t n_api_tables;
/*
 * The route of this path with this method: of the pattern with the fewest {}, whatever methods others know; HEAD is GET's. NULL and
 * *allow "" for a path that is nobody's; NULL and "GET, HEAD, POST, OPTIONS" for one that knows other methods. id: what stands for each {}. ERR_INVALID: a segment that cannot be decoded.
 */
MUST_CHECK bool api_find_route(enum http_method method, struct str path, struct arena *a,
                               const struct api_route **out, const char **allow, struct str id[3],
                               struct error *err);

/* The address that clients take, as --public-url, else this request's Host, says: "http://127.0.0.1:8080/v1". */
const char *api_base_url(const struct api_call *c);
/* Its client has sent it before, and heard no answer. */
bool api_is_retry(const struct api_call *c);

/* ---- answers; each call gets one. Always true, so that a route can end with it; the call is gone then ---- */

bool api_reply(struct api_call *c, int status, json_t *body); /* body is taken */
/* {"object":"list","data":[...],"first_id","last_id","has_more"}; data is taken, its objects have "id". */
bool api_reply_list(struct api_call *c, json_t *data, bool has_more);
bool api_reply_error(struct api_call *c, const struct error *err);
/* For routes that answer by http.h itself (files, streams): the headers that every answer has; returns how many. */
#define API_MAX_HEADERS 10
size_t api_headers(struct api_call *c, struct http_pair out[API_MAX_HEADERS]);
/* What api_reply does for an action, for routes that answer by themselves. outcome: "ok" or an error's code. */
void api_audit(struct api_call *c, const char *target, const char *outcome);

/*
 * Keeps the call, and runs fn in a thread of the grading pool (grading_pool.h), where it may take minutes; fn answers or fails as a
 * route's function does. A route ends with it. c->gone is set when the client leaves.
 */
MUST_CHECK bool api_later(struct api_call *c, api_fn *fn, struct error *err);

/*
 * Makes something once, though its request may come again while it is made, here or at another server of the same store: with the
 * same Idempotency-Key, or, as the official client does, with x-stainless-retry-count and the same body. The later ones wait,
 * and get the same. What failed is forgotten, so that another try begins anew. A route ends with it; the call has a body.
 */
struct api_maker {
    const char *prefix; /* of its id */
    int status;         /* of its answer: 200 or 201 */
    /* What is there of this id, as it is answered, a new reference; NULL: nothing. */
    bool (*find)(struct api_call *c, struct str id, json_t **answer, struct error *err);
    /* Makes it, as c->new_id and c->new_at, in a thread of the grading pool. With an id that is there already it fails. */
    bool (*make)(struct api_call *c, json_t **answer, struct error *err);
};
MUST_CHECK bool api_make_once(struct api_call *c, const struct api_maker *maker, struct error *err);

/* ---- what a call says ---- */

/* The body is there: fails with ERR_INVALID otherwise. */
MUST_CHECK bool api_need_body(const struct api_call *c, struct error *err);
/*
 * limit, after, order, metadata[k] of the query into a page; def: limit where none is given, more than most is most. Fails with
 * the parameter's name. order: asc, desc, ascending, descending.
 */
MUST_CHECK bool api_page(struct api_call *c, size_t def, size_t most, bool ascending,
                         struct store_page *out, struct error *err);
/* Answers with a page of these, each as fn has it: a new tree, with its "id". Fails with nothing answered. */
typedef json_t *api_document_fn(const struct document *d);
MUST_CHECK bool api_reply_documents(struct api_call *c, const struct document_filter *f,
                                    const struct store_page *page, api_document_fn *fn,
                                    struct error *err);
/* metadata of a body: at most 16 pairs, keys of 1..64 characters, texts of at most 512; null and missing: none. */
MUST_CHECK bool api_metadata(const json_t *body, struct arena *a, struct label **out, size_t *n,
                             struct error *err);
json_t *api_json_of_labels(const struct label *labels, size_t n); /* n == 0: null */
json_t *api_json_of(const char *text); /* a stored JSON text as a tree; null for NULL */
char *api_text_of(const json_t *value, struct arena *a); /* and back, compact */
json_t *api_or_null(const char *text);                   /* a text, or null for NULL */
json_t *api_time_or_null(int64_t seconds);               /* null for 0 */
/* A text member of a body; needed: it must be there. *out NULL where it is missing or null. At most most bytes, no control characters. */
MUST_CHECK bool api_text(const json_t *body, const char *key, bool needed, size_t most,
                         struct arena *a, const char **out, struct error *err);

/* ---- models and graders ---- */

/*
 * The model of this name as this project sees it: a base in HOME/models, or a tuned model of its own or shared with it.
 * ERR_NOT_FOUND, "model", code model_not_found.
 */
MUST_CHECK bool api_model(struct api_call *c, struct str name, struct engine_model *out,
                          struct error *err);
MUST_CHECK bool api_model_of(struct api *a, const char *project_id, struct str name,
                             struct arena *arena, struct engine_model *out, struct error *err);
/* The names in HOME/models in order. */
struct api_base {
    const char *name;
    int64_t created_at;
};
MUST_CHECK bool api_bases(struct api *a, struct arena *arena, struct api_base **out, size_t *n,
                          struct error *err);

/* grade_defaults with the operator's settings, and services over the engine as this project may use it; they live in the arena. */
struct grade_options;
void api_grade_options(struct api *a, const char *project_id, struct arena *arena,
                       struct grade_options *out);

/*
 * Opens a grader of a request's, for a call in api_later: one Python worker, no cache, given up when the client leaves; timeout_s of
 * one Python call. hone: of a job, for its shadows, judges and embedding model, or NULL. where: the path of spec in the request, for err->param. ERR_INVALID for what the request
 * can mend, be it a model that is not there. The call outlives the grader.
 */
struct grader;
MUST_CHECK bool api_open_grader(struct api_call *c, const json_t *spec, const json_t *hone,
                                double timeout_s, const char *where, struct grader **out,
                                struct error *err);

/* A key was revoked or changed: what is remembered of keys (for API_KEY_SECONDS at most) is forgotten. */
#define API_KEY_SECONDS 5.0
void api_forget_keys(struct api *a);
#endif
