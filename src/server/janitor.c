/*
 * janitor.c - sweeps, waits.
 */
#include "server/janitor.h"
#include "base/background.h"
#include "store/creations.h"
#include "store/documents.h"
#include "store/files.h"
#include "store/jobs.h"
#include "text/log.h"

#include <stdlib.h>

struct janitor {
    struct store *store;
    double seconds;
    struct background thread;
};

static double sweep(void *ctx)
{
    struct janitor *j = ctx;
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
    return j->seconds;
}

bool janitor_open(struct store *s, double seconds, struct janitor **out, struct error *err)
{
    struct janitor *j = calloc(1, sizeof *j);

    if (j == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the janitor");
    j->store = s;
    j->seconds = seconds > 0 ? seconds : 60;
    if (!background_start(&j->thread, sweep, j, "the janitor", err)) {
        free(j);
        return false;
    }
    *out = j;
    return true;
}

void janitor_close(struct janitor *j)
{
    if (j == NULL)
        return;
    background_release(&j->thread);
    free(j);
}
