/*
 * grading_pool.c - a queue in the order of coming, from which a thread takes the first task that may run now.
 */
#include "server/grading_pool.h"
#include "base/size.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 32

struct task {
    struct task *next;
    grading_fn *fn;
    void *ctx;
    char project[72];
};
struct grading_pool {
    size_t n_threads, max_waiting;
    pthread_t thread[MAX_THREADS];
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct task *first, **last;
    size_t n_waiting;
    const struct task *running[MAX_THREADS]; /* or NULL */
    bool stopping;
};

static size_t n_running(const struct grading_pool *p, const char *project)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_threads; i++)
        n += p->running[i] != NULL && strcmp(p->running[i]->project, project) == 0;
    return n;
}

/* Out of the queue; NULL: none may run. */
static struct task *take(struct grading_pool *p)
{
    const size_t share = p->n_threads > 1 ? p->n_threads - 1 : 1;

    for (struct task **at = &p->first; *at != NULL; at = &(*at)->next) {
        struct task *t = *at;

        if (!p->stopping && n_running(p, t->project) >= share)
            continue;
        *at = t->next;
        if (*at == NULL)
            p->last = at;
        p->n_waiting--;
        return t;
    }
    return NULL;
}

struct place {
    struct grading_pool *pool;
    size_t i;
};

static void *work(void *arg)
{
    struct place *place = arg;
    struct grading_pool *p = place->pool;
    const size_t i = place->i;

    free(place);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct task *t = take(p);

        if (t == NULL) {
            if (p->stopping)
                break;
            pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        const bool stopping = p->stopping;
        p->running[i] = t;
        pthread_mutex_unlock(&p->lock);
        t->fn(t->ctx, stopping);
        pthread_mutex_lock(&p->lock);
        p->running[i] = NULL;
        free(t);
        pthread_cond_broadcast(&p->changed); /* another of this project's may run now */
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

bool grading_pool_open(const struct grading_options *opt, struct grading_pool **out,
                       struct error *err)
{
    const size_t n = size_min(opt != NULL && opt->n_threads > 0 ? opt->n_threads : 4, MAX_THREADS);
    struct grading_pool *p = calloc(1, sizeof *p);

    if (p == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the threads that grade");
    p->max_waiting = opt != NULL && opt->max_waiting > 0 ? opt->max_waiting : 64;
    p->last = &p->first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    pthread_mutex_lock(&p->lock); /* nobody looks at n_threads before it is final */
    for (; p->n_threads < n; p->n_threads++) {
        struct place *place = malloc(sizeof *place);

        if (place != NULL)
            *place = (struct place){p, p->n_threads};
        if (place == NULL || pthread_create(&p->thread[p->n_threads], NULL, work, place) != 0) {
            free(place);
            break;
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (p->n_threads < n) {
        grading_pool_close(p);
        return fail(err, ERR_IO, "the system gives no thread for grading");
    }
    *out = p;
    return true;
}

void grading_pool_stop(struct grading_pool *p)
{
    pthread_mutex_lock(&p->lock);
    const bool already = p->stopping;
    p->stopping = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; !already && i < p->n_threads; i++)
        pthread_join(p->thread[i], NULL);
}

void grading_pool_close(struct grading_pool *p)
{
    if (p == NULL)
        return;
    grading_pool_stop(p);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

bool grading_pool_put(struct grading_pool *p, const char *project, grading_fn *fn, void *ctx,
                      struct error *err)
{
    struct task *t = calloc(1, sizeof *t);
    bool ok = true;

    if (t == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a task");
    *t = (struct task){.fn = fn, .ctx = ctx};
    snprintf(t->project, sizeof t->project, "%s", project);
    pthread_mutex_lock(&p->lock);
    if (p->stopping || p->n_waiting >= p->max_waiting) {
        ok =
            fail_code(err, ERR_LIMIT, "rate_limit_exceeded", "",
                      "%zu requests that grade are waiting already: try again later", p->n_waiting);
    } else {
        *p->last = t;
        p->last = &t->next;
        p->n_waiting++;
        pthread_cond_signal(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    if (!ok)
        free(t);
    return ok;
}
