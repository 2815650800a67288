/*
 * pull.h - a model of a hub or of a web address becomes a model in the store.
 *
 *     ORG/NAME[@REVISION]                  a repository of the Hugging Face hub, or of whatever stands at the endpoint
 *     ENDPOINT/ORG/NAME[/tree/REVISION], ENDPOINT/ORG/NAME/resolve/REVISION/FILE          the same, as a browser shows it
 *     https://host/x.gguf                  a file
 *     https://host/folder                  a folder that has config.json and what belongs to it
 *
 * What hone needs is chosen, not everything that a repository has: the weights (model.safetensors, or the shards that its index names), config,
 * tokenizer and template; or one GGUF file. It comes over several connections in pieces, into a hidden folder beside the models:
 *
 *     HOME/models/.pull-NAME/files/...     bytes where they belong; a file has its length from the beginning
 *                           /records/...   how much of each piece is there, and of what file it is a part (pull_part.c)
 *                           /lock
 *
 * so a break, a kill or Ctrl-C costs what was on the way, and the same call goes on. A file that is another one by now (another
 * hash; where none is told another ETag, date or length) is begun anew. When all is there and its hashes hold, files/, or the
 * GGUF in it, is renamed to its place in the store: a model there is whole. HOME/models/.pulled/NAME.json says where it came from.
 *
 * Hashes are those of the hub's listing: SHA-256 of large files, git's SHA-1 of small ones. Of other addresses the length is
 * what can be checked, and that the model opens (check).
 */
#ifndef HONE_JOB_PULL_H
#define HONE_JOB_PULL_H

#include "base/arena.h"

#include <stdatomic.h>
#include <stdint.h>

#define PULL_CONNECTIONS 4
#define PULL_PIECE_BYTES ((uint64_t)64 << 20)

struct pull_item {
    const char *name;
    uint64_t size_bytes;
};

enum pull_event {
    PULL_CHOICES,  /* items: the files that one must be chosen of */
    PULL_PLAN,     /* items: what is fetched; bytes of total_bytes are there already */
    PULL_PROGRESS, /* about five times a second */
    PULL_CHECKED,  /* name: all of it is there, and its hash, where one is known, is right */
    PULL_WAITS,    /* text: what went wrong and is tried again */
};
struct pull_news {
    enum pull_event event;
    size_t n_items;
    const struct pull_item *items;
    uint64_t bytes, total_bytes;
    double bytes_per_s;  /* of the last seconds; 0: not known yet */
    double seconds_left; /* -1: not known */
    const char *name, *text;
};
typedef void pull_news_fn(void *ctx, const struct pull_news *news);
/*
 * Whether hone can use the model at path (all of it is there), or, with whole false, what a folder's config.json says, asked before the
 * weights are fetched. A failure ends the pull, and what is there is kept.
 */
typedef bool pull_check_fn(void *ctx, const char *path, bool whole, struct error *err);

struct pull_request {
    const char *home;
    const char *source; /* one of the above */
    const char
        *file; /* which GGUF: a part of its name, or a pattern with * and ?; NULL: the only one */
    const char *name; /* in the store; NULL: the repository's, the file's or the folder's own */
    const char
        *endpoint; /* "https://huggingface.co"; http is allowed, for whoever names it wants it so */
    const char *token;      /* for the endpoint alone; NULL: none */
    const char *token_from; /* where it stands, for messages: "HF_TOKEN", a file */
    bool offline;           /* nothing may be fetched */
    size_t n_connections;   /* 0: PULL_CONNECTIONS */
    uint64_t piece_bytes;   /* 0: PULL_PIECE_BYTES; a record that is there keeps its own */
    const atomic_bool *stop;
    pull_news_fn *tell; /* in the calling thread */
    pull_check_fn *check;
    void *ctx;
};
struct pull_result {
    const char *name, *place;
    const char *revision; /* the commit of a hub's, or NULL */
    size_t n_files;
    uint64_t size_bytes, fetched_bytes;
    bool was_there; /* nothing was asked of anyone */
    bool verified;  /* by hashes that the hub told */
};
/*
 * Fails with
 *   ERR_INVALID    a source or name that is none, a name that is taken by something else, a file name that leaves the folder,
 *                  several files to choose from, a certificate that does not hold, access that is refused
 *   ERR_NOT_FOUND  no such repository, revision or file
 *   ERR_LIMIT      too little room on the disk
 *   ERR_CORRUPT    a hash or length that is not the one told, again after fetching anew; a listing that is none
 *   ERR_IO         no connection, after several tries; a disk that is full
 *   ERR_CANCELLED  *stop was set; or it is offline
 * Whatever is there by then is kept, and the message says so.
 */
MUST_CHECK bool pull(const struct pull_request *rq, struct arena *a, struct pull_result *out,
                     struct error *err);
#endif
