/*
 * creations.h - what a request is making, so that the same request, sent again, does not make it twice.
 *
 *     begin --> MINE --(made)--> MADE             end(made): whoever asks for it again is told its id
 *       |         '----(failed)--> nothing        end(failed): whoever asks again begins anew
 *       '-----> BUSY, while another's lease holds; behind that, MINE again under the same id
 *
 * The id of what will be made is drawn with the reservation and stays with it: should one that was given up for dead come back,
 * both make the same row, and the second fails at it. Times are those of the database's clock, so several servers may share it.
 */
#ifndef HONE_STORE_CREATIONS_H
#define HONE_STORE_CREATIONS_H

#include "store/store.h"

struct creation_ask {
    const char *project_id;
    const char *name;   /* what the request is known by: its key, or what it says */
    const char *digest; /* of what it says: the same name with another is ERR_INVALID */
    bool again;         /* it may be one that was sent before; false: it is another */
    const char *
        awaited; /* the id that was BUSY when asked before, or NULL: a later one of that name is not meant */
    int64_t since_seconds; /* as old may the one before be */
    const char *id;        /* what would be made, where nobody has begun it */
    const char *holder;    /* whoever makes it: a process */
    int64_t lease_seconds;
};
enum creation_state { CREATION_MINE, CREATION_BUSY, CREATION_MADE };
struct creation {
    enum creation_state state;
    char *id;
    int64_t created_at; /* of the reservation */
    bool was_left;      /* MINE, after one that died at it: it may be there all the same */
};
MUST_CHECK bool creations_begin(struct store *s, const struct creation_ask *ask, struct arena *a,
                                struct creation *out, struct error *err);
/* Those of them that are still the holder's stay so for lease_seconds more. */
MUST_CHECK bool creations_renew(struct store *s, const char *holder, const char *const *ids,
                                size_t n, int64_t lease_seconds, struct error *err);
/* made: it is there, whoever made it. Otherwise forgotten, if it is still the holder's. */
MUST_CHECK bool creations_end(struct store *s, const char *holder, const char *id, bool made,
                              struct error *err);
/* Forgets those that are older than a day. */
#define CREATION_SECONDS ((int64_t)24 * 3600)
MUST_CHECK bool creations_sweep(struct store *s, int64_t now, struct error *err);
#endif
