/*
 * janitor.c - sweeps, waits.
 */
#include "server/janitor.h"
#include "base/condition.h"
#include "store/creations.h"
#include "store/documents.h"
#include "store/files.h"
#include "store/jobs.h"
#include "text/log.h"

#include <stdlib.h>

struct janitor {
    struct store *store;
    double seconds;
    pthread_t thread;
    pthread_mutex_t lock; /* guards stop */
    pthread_cond_t changed;
    bool stop;
};

static void sweep(struct janitor *j)
{
    struct error err = {0};
    size_t files = 0, documents = 0;
    int64_t now;

    if (!store_now(j->store, &now, &err) || !files_sweep(j->store, 0, &files, &err) ||
        !documents_sweep(j->store, now, &documents, &err) ||
        !creations_sweep(j->store, now, &err) || !workers_sweep(j->store, now, &err))
        log_line(LOG_ERROR, "janitor", "not swept", "%s", err.message);
    else if (files + documents > 0)
        log_line(LOG_INFO, "janitor", "swept", "%zu files and %zu documents had expired", files,
                 documents);
}

static void *keep_house(void *ctx)
{
    struct janitor *j = ctx;

    pthread_mutex_lock(&j->lock);
    while (!j->stop) {
        pthread_mutex_unlock(&j->lock);
        sweep(j);
        pthread_mutex_lock(&j->lock);
        if (!j->stop)
            condition_wait_for(&j->changed, &j->lock, j->seconds);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

bool janitor_open(struct store *s, double seconds, struct janitor **out, struct error *err)
{
    struct janitor *j = calloc(1, sizeof *j);

    if (j == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the janitor");
    j->store = s;
    j->seconds = seconds > 0 ? seconds : 60;
    pthread_mutex_init(&j->lock, NULL);
    condition_init(&j->changed);
    if (pthread_create(&j->thread, NULL, keep_house, j) != 0) {
        free(j);
        return fail(err, ERR_NO_MEMORY, "no thread can be started for the janitor");
    }
    *out = j;
    return true;
}

void janitor_close(struct janitor *j)
{
    if (j == NULL)
        return;
    pthread_mutex_lock(&j->lock);
    j->stop = true;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->lock);
    free(j);
}
