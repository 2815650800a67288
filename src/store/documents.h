/*
 * documents.h - what the API only keeps, lists and gives back: stored completions, responses, evals, their runs and output
 * items, webhook endpoints, feedback.
 *
 * A document is JSON text under (kind, id), in a project, perhaps under a parent (a run under its eval), with a state that
 * can be asked for, labels (metadata), and a time at which it is to be forgotten.
 */
#ifndef HONE_STORE_DOCUMENTS_H
#define HONE_STORE_DOCUMENTS_H

#include "store/jobs.h"

struct document {
    int64_t seq;
    const char *
        kind; /* "chat.completion", "response", "eval", "eval.run", "eval.run.output_item", "webhook_endpoint", "feedback" */
    const char *id, *project_id, *parent;       /* parent may be NULL */
    const char *state;                          /* or NULL */
    const char *model;                          /* or NULL: for filters */
    const char *body;                           /* JSON */
    int64_t created_at, updated_at, expires_at; /* expires_at 0: never */
};
/* With an id that is there already: ERR_INVALID, unless the body is the same. */
MUST_CHECK bool documents_add(struct store *s, const struct document *d, const struct label *labels,
                              size_t n_labels, struct error *err);
MUST_CHECK bool documents_get(struct store *s, const char *kind, const char *project_id,
                              struct str id, struct arena *a, struct document *out,
                              struct error *err);
/* Its state alone, which does not read a body that may be large; *out NULL: it has none. */
MUST_CHECK bool documents_state(struct store *s, const char *kind, const char *project_id,
                                struct str id, struct arena *a, const char **out,
                                struct error *err);
MUST_CHECK bool documents_labels(struct store *s, const char *kind, const char *id, struct arena *a,
                                 struct label **out, size_t *n, struct error *err);
/*
 * In one transaction: fn sees the document and makes its new body, state and labels (or fails, and nothing changes). It may be
 * called more than once and in another thread (db_write), so it does nothing else; a is gone behind it.
 */
struct document_change {
    const char *body, *state; /* NULL: as it was */
    const struct label *labels;
    size_t n_labels;
    bool set_labels;
    bool stays; /* it does not expire any more */
};
typedef bool document_fn(void *ctx, const struct document *was, struct arena *a,
                         struct document_change *to, struct error *err);
MUST_CHECK bool documents_change(struct store *s, const char *kind, const char *project_id,
                                 struct str id, document_fn *fn, void *ctx, struct error *err);
/* Those of the ids that expire sooner than expires_at (0: never) expire then instead; one that is gone is passed over. */
MUST_CHECK bool documents_keep_until(struct store *s, const char *kind, const char *project_id,
                                     const char *const *ids, size_t n, int64_t expires_at,
                                     struct error *err);
struct document_filter {
    const char *kind, *project_id;         /* project_id NULL: all (for the server's own work) */
    const char *parent, *state, *model;    /* NULL: any */
    int64_t created_after, created_before; /* 0: any */
};
MUST_CHECK bool documents_list(struct store *s, const struct document_filter *f,
                               const struct store_page *page, struct arena *a,
                               struct document **out, size_t *n, bool *has_more, struct error *err);
/*
 * Calls fn with each of them, oldest first, a page at a time, for there may be more than memory holds; a is gone behind the page. fn
 * sets *enough to end it, or fails.
 */
typedef bool document_each_fn(void *ctx, const struct document *d, struct arena *a, bool *enough,
                              struct error *err);
MUST_CHECK bool documents_each(struct store *s, const struct document_filter *f,
                               document_each_fn *fn, void *ctx, struct error *err);
/* With everything below it. */
MUST_CHECK bool documents_delete(struct store *s, const char *kind, const char *project_id,
                                 struct str id, struct error *err);

/* Removes what has expired, with everything below it, and what was told to webhooks a month ago. n_removed may be NULL. */
MUST_CHECK bool documents_sweep(struct store *s, int64_t now, size_t *n_removed, struct error *err);

/*
 * Work on documents is leased as jobs are: takes one of kind in one of the states (comma list) whose lease has ended. Projects take
 * turns: the oldest of the project that has least being worked on, and of those the oldest of all.
 */
MUST_CHECK bool documents_take(struct store *s, const char *kind, const char *states,
                               const char *worker, int64_t lease_seconds, struct arena *a,
                               bool *found, struct document *out, struct error *err);
MUST_CHECK bool documents_renew(struct store *s, const char *kind, const char *id,
                                const char *worker, int64_t lease_seconds, struct error *err);

/* ---- webhooks: what is to be told to an address, until it has been ---- */

struct delivery {
    int64_t seq;
    char *id, *endpoint_id, *project_id, *body; /* id: "evt_..." */
    int64_t created_at, next_at, tries;
};
/*
 * One for every endpoint of the project that wants this type (endpoints are documents, the body's "event_types"); by event id:
 * told twice, it is one. now 0: by the database's clock.
 */
MUST_CHECK bool outbox_put(struct store *s, const char *project_id, const char *event_id,
                           const char *type, const char *body, int64_t now, struct error *err);
/* Leases up to limit that are due, for lease_seconds; tries counts this one. now 0: by the database's clock. */
MUST_CHECK bool outbox_take(struct store *s, int64_t now, int64_t lease_seconds, size_t limit,
                            struct arena *a, struct delivery **out, size_t *n, struct error *err);
MUST_CHECK bool outbox_done(struct store *s, int64_t seq, struct error *err);
MUST_CHECK bool outbox_later(struct store *s, int64_t seq, int64_t next_at, const char *why,
                             struct error *err); /* next_at 0: given up */
/* Forgets what was told or given up a month ago. */
MUST_CHECK bool outbox_sweep(struct store *s, int64_t now, struct error *err);
#endif
