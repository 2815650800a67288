/*
 * access.h - organisations, projects, API keys: who is asking, and what that key may do.
 *
 * Dates are by the database's clock, whichever server wrote them (rows_now): a key ends at one moment for all of them.
 *
 * A key is "sk-" and 48 letters and digits ("sk-admin-" where it has SCOPE_ADMIN); only its SHA-256 is kept, and it is looked
 * up by that: how long it takes tells nothing of a key. A key belongs to a project; one with SCOPE_ADMIN may act on all
 * of its organisation's projects. Names are 1 to 200 characters without control characters.
 */
#ifndef HONE_STORE_ACCESS_H
#define HONE_STORE_ACCESS_H

#include "store/store.h"

enum scope {
    SCOPE_USE = 1,   /* chat, responses, embeddings, models; read what these made */
    SCOPE_TRAIN = 2, /* files, jobs, graders, evals; and use */
    SCOPE_ADMIN = 4, /* keys, projects, members, permissions, audit; and all of the above */
};

/* By its name, "use", "train" or "admin"; 0: it is none. And the names of scopes, n of them. */
unsigned access_scope(struct str name);
size_t access_scope_names(unsigned scopes, const char *names[3]);

struct org {
    char *id, *name, *slug; /* slug stands in model names: ft:BASE:SLUG:SUFFIX:ID */
    int64_t created_at;
};
struct project {
    char *id, *org_id, *name;
    int64_t created_at;
    int64_t quota_bytes; /* of files; 0: none */
    int64_t archived_at; /* 0: it is in use; its keys are none any more */
};
struct api_key {
    char *id, *project_id, *name, *hint; /* hint: "sk-...abcd" */
    unsigned scopes;
    int64_t created_at, last_used_at, revoked_at, expires_at; /* 0: never */
    int64_t requests_per_minute, concurrent_requests;         /* 0: no limit */
};
struct access {                                    /* whoever asks */
    char *key_id, *project_id, *org_id, *org_slug; /* key_id NULL: without a key */
    unsigned scopes; /* with what they contain: SCOPE_ADMIN alone never stands here */
    int64_t requests_per_minute, concurrent_requests;
};

/* The first start: an organisation, a project, a key. *key in the arena, told only here; NULL where there was one already. */
MUST_CHECK bool access_begin(struct store *s, struct arena *a, char **key, struct error *err);
/* ERR_NOT_FOUND: no such key, or it was revoked. Notes when it was used, at most once a minute, and waits for no writer. */
MUST_CHECK bool access_of_key(struct store *s, struct str key, struct arena *a, struct access *out,
                              struct error *err);
/* Without a key, where the server was told to allow that: the first project, SCOPE_USE and SCOPE_TRAIN. */
MUST_CHECK bool access_anonymous(struct store *s, struct arena *a, struct access *out,
                                 struct error *err);

MUST_CHECK bool access_new_org(struct store *s, const char *name, struct arena *a, struct org *out,
                               struct error *err);
MUST_CHECK bool access_orgs(struct store *s, struct arena *a, struct org **out, size_t *n,
                            struct error *err);
MUST_CHECK bool access_new_project(struct store *s, const char *org_id, const char *name,
                                   struct arena *a, struct project *out, struct error *err);
MUST_CHECK bool access_projects(struct store *s, const char *org_id, struct arena *a,
                                struct project **out, size_t *n, struct error *err);
MUST_CHECK bool access_project(struct store *s, const char *id, struct arena *a,
                               struct project *out, struct error *err);
struct project_change {
    const char *name;    /* NULL: as it was */
    int64_t quota_bytes; /* -1: as it was */
    bool archive;        /* for good */
};
MUST_CHECK bool access_change_project(struct store *s, const char *id,
                                      const struct project_change *to, struct error *err);
/* Of its files; 0: none. */
MUST_CHECK bool access_set_quota(struct store *s, const char *project_id, int64_t quota_bytes,
                                 struct error *err);
/* At least one scope; limits of 0 are none. *secret, in the arena, is told only here. */
struct new_key {
    const char *project_id, *name;
    unsigned scopes;
    int64_t requests_per_minute, concurrent_requests;
    int64_t expires_at; /* 0: never */
};
MUST_CHECK bool access_new_key(struct store *s, const struct new_key *k, struct arena *a,
                               struct api_key *out, char **secret, struct error *err);
MUST_CHECK bool access_keys(struct store *s, const char *project_id, struct arena *a,
                            struct api_key **out, size_t *n, struct error *err);
/* Of all projects of an organisation, oldest first; revoked ones, too. */
MUST_CHECK bool access_org_keys(struct store *s, const char *org_id, struct arena *a,
                                struct api_key **out, size_t *n, struct error *err);
struct key_change { /* NULL, 0 and -1: as it was */
    const char *name;
    unsigned scopes;
    int64_t requests_per_minute, concurrent_requests, expires_at;
};
/* ERR_NOT_FOUND for a key of another project, or one that was revoked. */
MUST_CHECK bool access_change_key(struct store *s, const char *project_id, const char *id,
                                  const struct key_change *to, struct error *err);
/* From then on it is no key any more; revoking it again is fine. ERR_NOT_FOUND for a key of another project. */
MUST_CHECK bool access_revoke_key(struct store *s, const char *project_id, const char *id,
                                  struct error *err);

/* An organisation is invited: a code that can be used once, within a time, for an organisation, a project and a key of its own. */
struct invitation {
    char *id, *name, *note;
    int64_t created_at, expires_at, used_at; /* used_at 0: open */
    char *org_id;                            /* once used */
};
MUST_CHECK bool access_invite(struct store *s, const char *name, const char *note,
                              int64_t expires_at, struct arena *a, struct invitation *out,
                              char **code, struct error *err);
/* ERR_NOT_FOUND: no such code. ERR_INVALID: it was used, or it is too late. The key is one for the whole organisation. */
MUST_CHECK bool access_accept(struct store *s, struct str code, struct arena *a, struct org *org,
                              struct project *project, char **key, struct error *err);
/* ERR_NOT_FOUND: none of this id. ERR_INVALID: it was used. */
MUST_CHECK bool access_uninvite(struct store *s, const char *id, struct error *err);
MUST_CHECK bool access_invitations(struct store *s, struct arena *a, struct invitation **out,
                                   size_t *n, struct error *err);

/* The audit log only grows. No user's text, no key. Everything but action and outcome may be NULL; at 0: now. */
struct audit_entry {
    int64_t seq, at;
    const char *org_id, *project_id, *key_id, *action, *target, *outcome,
        *address; /* "fine_tuning.job.create", "ftjob-...", "ok" */
};
MUST_CHECK bool audit_put(struct store *s, const struct audit_entry *e, struct error *err);
/* Behind after_seq (0: from the beginning), oldest first, at most limit; org_id NULL: of all. */
MUST_CHECK bool audit_list(struct store *s, const char *org_id, int64_t after_seq, size_t limit,
                           struct arena *a, struct audit_entry **out, size_t *n, struct error *err);
/* The newest first, of an organisation. Lists are ids or actions with commas between, "" is all. */
struct audit_filter {
    const char *org_id, *actions, *projects, *keys, *targets;
    int64_t from, to;      /* of at, both in it */
    int64_t before, after; /* of seq, neither in it; 0 and INT64_MAX: all */
};
MUST_CHECK bool audit_find(struct store *s, const struct audit_filter *f, size_t limit,
                           struct arena *a, struct audit_entry **out, size_t *n, struct error *err);
#endif
