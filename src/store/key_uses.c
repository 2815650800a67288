#include "store/key_uses.h"
#include "base/background.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>

#define WAITING 64
#define ID_BYTES 96

struct use {
    char id[ID_BYTES];
    int64_t at;
};

struct key_uses {
    struct db_pool *db;
    struct background writer; /* its lock guards all below */
    struct use waiting[WAITING];
    size_t n;
};

struct batch {
    struct use use[WAITING];
    size_t n;
};

static bool put(struct db *db, void *ctx, struct error *err)
{
    const struct batch *b = ctx;

    for (size_t i = 0; i < b->n; i++) {
        const struct db_value v[] = {db_text(b->use[i].id), db_int(b->use[i].at)};

        if (!db_run(db, "UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1 AND last_used_at < ?2",
                    v, COUNT_OF(v), NULL, NULL, NULL, err))
            return false;
    }
    return true;
}

static double write_them(void *ctx)
{
    struct key_uses *u = ctx;
    struct batch b;
    struct error ignored = {0};

    pthread_mutex_lock(&u->writer.lock);
    b.n = u->n;
    memcpy(b.use, u->waiting, b.n * sizeof *b.use);
    u->n = 0;
    pthread_mutex_unlock(&u->writer.lock);
    if (b.n > 0)
        (void)!db_write(u->db, put, &b, &ignored); /* the next use tells it again */
    return UNTIL_WOKEN;
}

bool key_uses_open(struct db_pool *p, struct key_uses **out, struct error *err)
{
    struct key_uses *u = calloc(1, sizeof *u);

    if (u == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to open the store");
    u->db = p;
    if (!background_start(&u->writer, write_them, u, "the uses of keys", err)) {
        free(u);
        return false;
    }
    *out = u;
    return true;
}

void key_uses_close(struct key_uses *u)
{
    if (u == NULL)
        return;
    background_stop(&u->writer);
    write_them(u); /* what came since its last round */
    background_release(&u->writer);
    free(u);
}

void key_uses_note(struct key_uses *u, const char *key_id, int64_t at)
{
    size_t i = 0;
    bool is_new = false;

    pthread_mutex_lock(&u->writer.lock);
    while (i < u->n && strcmp(u->waiting[i].id, key_id) != 0)
        i++;
    if (i == u->n && u->n < WAITING && strlen(key_id) < ID_BYTES) {
        snprintf(u->waiting[i].id, ID_BYTES, "%s", key_id);
        u->waiting[i].at = at;
        u->n++;
        is_new = true;
    }
    pthread_mutex_unlock(&u->writer.lock);
    if (is_new)
        background_wake(&u->writer);
}
