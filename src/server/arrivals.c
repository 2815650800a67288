/*
 * arrivals.c - a list of the projects to which something is on its way; the lock is held for a few comparisons.
 */
#include "server/arrivals.h"
#include "base/str.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#define N_CHAINS 256

struct arriving {
    struct arriving *next;
    size_t n;      /* uploads that are running; freed with the last */
    int64_t bytes; /* that they have brought, all together */
    char id[];
};

struct arrivals {
    pthread_mutex_t lock; /* guards chain and all that is in it */
    struct arriving *chain[N_CHAINS];
    size_t n;
};

struct arrivals *arrivals_open(void)
{
    struct arrivals *all = calloc(1, sizeof *all);

    if (all == NULL)
        abort(); /* a few kilobytes */
    pthread_mutex_init(&all->lock, NULL);
    return all;
}

void arrivals_close(struct arrivals *all)
{
    if (all == NULL)
        return;
    assert(all->n == 0);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

/* Where the project stands in its chain, or where it would. */
static struct arriving **place_of(struct arrivals *all, const char *id)
{
    struct arriving **at = &all->chain[str_hash(str_of(id)) % N_CHAINS];

    while (*at != NULL && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    return at;
}

void arrival_begin(struct arrivals *all, const char *project_id, struct arrival *out)
{
    pthread_mutex_lock(&all->lock);
    struct arriving **at = place_of(all, project_id);

    if (*at == NULL) {
        *at = calloc(1, sizeof **at + strlen(project_id) + 1);
        if (*at == NULL)
            abort();
        memcpy((*at)->id, project_id, strlen(project_id) + 1);
        all->n++;
    }
    (*at)->n++;
    *out = (struct arrival){.all = all, .project = *at};
    pthread_mutex_unlock(&all->lock);
}

/* The lock is held. To this upload the others' bytes are what uploads in progress have announced: they come first. */
static bool fits(const struct arrival *a, int64_t bytes, struct error *err)
{
    struct store_room r = a->room;

    r.uploads += a->project->bytes - a->bytes;
    return store_room_fits(&r, a->bytes + bytes, err);
}

bool arrival_fits(const struct arrival *a, int64_t bytes, struct error *err)
{
    pthread_mutex_lock(&a->all->lock);
    const bool ok = fits(a, bytes, err);
    pthread_mutex_unlock(&a->all->lock);
    return ok;
}

bool arrival_take(struct arrival *a, int64_t bytes, struct error *err)
{
    pthread_mutex_lock(&a->all->lock);
    const bool ok = fits(a, bytes, err);
    if (ok) {
        a->bytes += bytes;
        a->project->bytes += bytes;
    }
    pthread_mutex_unlock(&a->all->lock);
    return ok;
}

void arrival_end(struct arrival *a)
{
    struct arrivals *all = a->all;

    if (all == NULL)
        return;
    pthread_mutex_lock(&all->lock);
    struct arriving *p = a->project;
    p->bytes -= a->bytes;
    if (--p->n == 0) {
        *place_of(all, p->id) = p->next;
        free(p);
        all->n--;
    }
    pthread_mutex_unlock(&all->lock);
    *a = (struct arrival){0};
}

size_t arrivals_n_projects(struct arrivals *all)
{
    pthread_mutex_lock(&all->lock);
    const size_t n = all->n;
    pthread_mutex_unlock(&all->lock);
    return n;
}
