#include "store/key_uses.h"
#include "base/size.h"

#include <pthread.h>
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
    pthread_t writer;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t more;
    struct use waiting[WAITING];
    size_t n;
    bool ends;
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

static void *write_them(void *ctx)
{
    struct key_uses *u = ctx;
    struct batch b;

    for (;;) {
        struct error ignored = {0};

        pthread_mutex_lock(&u->lock);
        while (u->n == 0 && !u->ends)
            pthread_cond_wait(&u->more, &u->lock);
        b.n = u->n;
        memcpy(b.use, u->waiting, b.n * sizeof *b.use);
        u->n = 0;
        const bool ends = u->ends;
        pthread_mutex_unlock(&u->lock);
        if (b.n > 0 && !db_write(u->db, put, &b, &ignored))
            b.n = 0; /* the next use tells it again */
        if (ends)
            return NULL;
    }
}

bool key_uses_open(struct db_pool *p, struct key_uses **out, struct error *err)
{
    struct key_uses *u = calloc(1, sizeof *u);

    if (u == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to open the store");
    u->db = p;
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->more, NULL);
    if (pthread_create(&u->writer, NULL, write_them, u) != 0) {
        free(u);
        return fail(err, ERR_IO, "the system gives no more threads");
    }
    *out = u;
    return true;
}

void key_uses_close(struct key_uses *u)
{
    if (u == NULL)
        return;
    pthread_mutex_lock(&u->lock);
    u->ends = true;
    pthread_cond_signal(&u->more);
    pthread_mutex_unlock(&u->lock);
    pthread_join(u->writer, NULL);
    pthread_cond_destroy(&u->more);
    pthread_mutex_destroy(&u->lock);
    free(u);
}

void key_uses_note(struct key_uses *u, const char *key_id, int64_t at)
{
    size_t i = 0;

    pthread_mutex_lock(&u->lock);
    while (i < u->n && strcmp(u->waiting[i].id, key_id) != 0)
        i++;
    if (i == u->n && u->n < WAITING && strlen(key_id) < ID_BYTES) {
        snprintf(u->waiting[i].id, ID_BYTES, "%s", key_id);
        u->waiting[i].at = at;
        u->n++;
        pthread_cond_signal(&u->more);
    }
    pthread_mutex_unlock(&u->lock);
}
