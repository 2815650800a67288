/*
 * pull_internal.h - the parts of pull.h: what is named, what it consists of, a file that comes in pieces, and the connections.
 */
#ifndef HONE_JOB_PULL_INTERNAL_H
#define HONE_JOB_PULL_INTERNAL_H

#include "base/download.h"
#include "base/file.h"
#include "base/limits.h"
#include "job/pull.h"
#include "text/json.h"

/* ---- what is named (pull_source.c) ---- */

enum pull_kind { PULL_HUB, PULL_URL_FILE, PULL_URL_FOLDER };
struct pull_source {
    enum pull_kind kind;
    const char *shown;           /* "ORG/NAME", or the address without its query: for messages */
    const char *repo, *revision; /* of a hub */
    const char *file;            /* that the address names, or the caller; or NULL */
    const char *url;             /* of a file or folder */
    const char *endpoint;        /* without a slash at its end */
    const char *token, *token_from;
    const char *own_name; /* in the store, unless another is given */
};
MUST_CHECK bool pull_source_read(const struct pull_request *rq, struct arena *a,
                                 struct pull_source *out, struct error *err);
/* text with everything but letters, digits and "-._~" as %XX; a slash stays one where keep_slash. */
const char *pull_encode(const char *text, bool keep_slash, struct arena *a);
const char *pull_url_of(const struct pull_source *s, const char *commit, const char *path,
                        struct arena *a);
/* Says what a status other than 200 and 206 means of what ("config.json"; NULL: of the whole); always false. */
bool pull_refused(const struct pull_source *s, const char *what, const struct download_reply *r,
                  struct error *err);

/* ---- what it consists of (pull_list.c) ---- */

struct pull_file {
    const char *path; /* where it is, seen from the repository or folder */
    const char *name; /* below files/ */
    const char *url;
    uint64_t size;
    char sha256[65], git_sha1[41]; /* "": not told */
    char validator
        [200]; /* of an address: ETag or date; "": none, so that what was begun cannot be gone on with */
};
struct pull_list {
    struct pull_file *file; /* in an arena of the caller's */
    size_t n, cap;
};
struct pull_file *pull_list_add(struct pull_list *l, struct arena *a);
struct pull_file *pull_list_find(const struct pull_list *l, const char *path);
/* Whether a file of that name stays in the folder it is put into: no "..", no "/" at the front, no control characters. */
bool pull_path_is_safe(struct str path);
/*
 * Adds the files of a page of the hub's tree: [{"type":"file","path","size","oid","lfs":{"oid","size"}}, ...]. Fails with ERR_CORRUPT for
 * what is none, ERR_INVALID for a path that leaves the folder, ERR_LIMIT.
 */
MUST_CHECK bool pull_list_page(struct pull_list *l, const json_t *page, const char *what,
                               struct arena *a, struct error *err);
/* The address in <...> of a Link header's rel="next"; false: there is none. */
bool pull_next_page(struct str head, struct str *url);

/* What is fetched of it; the weights of an index are known only when that is there. */
struct pull_choice {
    bool gguf, indexed;
    struct pull_list files; /* all but weights, or the GGUF */
    struct pull_list weights;
};
MUST_CHECK bool pull_choose(const struct pull_source *s, const struct pull_list *all,
                            const struct pull_request *rq, struct arena *a, struct pull_choice *out,
                            struct error *err);
/* The names in the weight_map of an index, each once, in alphabetical order. */
MUST_CHECK bool pull_index_names(const json_t *index, const char *what, struct arena *a,
                                 const char ***out, size_t *n, struct error *err);
/* What a folder of a model may have beside its weights, config.json first. */
extern const char *const pull_small_names[];
extern const size_t n_pull_small_names;

/* ---- a file that comes in pieces (pull_part.c) ---- */

struct pull_part {
    const struct pull_file *file;
    const char *path, *record_path;
    int fd, record_fd; /* -1: closed */
    uint64_t piece_bytes;
    size_t n_pieces;
    uint64_t *done; /* [n_pieces] bytes that are there, from the piece's beginning on */
    bool checked;   /* all are there, and the hash is right */
    /* of pull_fetch.c */
    bool *busy; /* [n_pieces] */
    size_t n_busy;
    bool whole;          /* the server knows no ranges: one connection at a time, for all of it */
    bool at_check, told; /* told: that it is checked */
    const char *led_to;  /* where the address led to last time, or NULL */
    unsigned n_anew;     /* how often it was begun anew */
};
/* The file and its record below dir, gone on with where they are those of file, else empty. */
MUST_CHECK bool pull_part_open(struct pull_part *p, const char *dir, const struct pull_file *file,
                               uint64_t piece_bytes, struct arena *a, struct error *err);
void pull_part_close(struct pull_part *p); /* all zeros is fine */
uint64_t pull_part_piece_size(const struct pull_part *p, size_t piece);
uint64_t pull_part_there(const struct pull_part *p); /* bytes */
/*
 * n bytes that stand at pos in the file: what is there already is passed over, the rest is written and recorded. pos is not behind the
 * bytes that are there of its piece. *added: how many are new.
 */
MUST_CHECK bool pull_part_put(struct pull_part *p, uint64_t pos, const char *bytes, size_t n,
                              uint64_t *added, struct error *err);
/* Nothing of it is there any more; it was not checked. */
MUST_CHECK bool pull_part_anew(struct pull_part *p, struct error *err);
/*
 * Reads the file, whose bytes are all there. *right: its hash is the one told, where one is; then it is on the disk, and its record says
 * that it was checked; p->checked is the caller's to set. Fails with ERR_INVALID for a pointer of Git LFS in its place.
 */
MUST_CHECK bool pull_part_check(struct pull_part *p, const atomic_bool *stop, bool *right,
                                struct error *err);

/* ---- the connections (pull_fetch.c) ---- */

struct pull_fetch {
    const struct pull_request *rq;
    const struct pull_source *source;
    struct http *http;
    const char *dir;        /* .pull-NAME */
    uint64_t fetched_bytes; /* out */
};
/* All files, whose urls and sizes are known, into dir/files, checked. */
MUST_CHECK bool pull_fetch_all(struct pull_fetch *f, const struct pull_list *files, struct arena *a,
                               struct error *err);
/* A listing in one go, tried again where that may help; a status other than 200 is a failure. */
MUST_CHECK bool pull_get_text(const struct pull_request *rq, const struct pull_source *s,
                              struct http *h, const char *url, size_t max_bytes, struct arena *a,
                              struct download_reply *out, struct error *err);
/* Length and validator of what is at file->url. *there: false where it is not (404, and 403 where optional). */
MUST_CHECK bool pull_probe(const struct pull_request *rq, const struct pull_source *s,
                           struct http *h, struct pull_file *file, bool optional, bool *there,
                           struct arena *a, struct error *err);
#endif
