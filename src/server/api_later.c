/*
 * api_later.c - calls that go on in a thread of the grading pool.
 */
#include "server/api_error.h"
#include "server/api_internal.h"
#include "server/grading_pool.h"

struct later {
    struct api_call *call;
    api_fn *fn;
};

static void gone(void *ctx, struct http_exchange *x)
{
    struct api_call *c = ctx;

    (void)x;
    atomic_store(&c->gone, true);
}

static void link_call(struct api_call *c)
{
    struct api *a = c->api;

    c->is_later = true;
    pthread_mutex_lock(&a->later_lock);
    c->next_later = a->later;
    c->at_later = &a->later;
    if (a->later != NULL)
        a->later->at_later = &c->next_later;
    a->later = c;
    if (atomic_load(&a->stopping)) /* those that were told to give up were told before */
        atomic_store(&c->gone, true);
    pthread_mutex_unlock(&a->later_lock);
}

void api_later_done(struct api_call *c)
{
    if (!c->is_later)
        return;
    pthread_mutex_lock(&c->api->later_lock);
    *c->at_later = c->next_later;
    if (c->next_later != NULL)
        c->next_later->at_later = c->at_later;
    pthread_mutex_unlock(&c->api->later_lock);
}

void api_later_give_up(struct api *a)
{
    pthread_mutex_lock(&a->later_lock);
    for (struct api_call *c = a->later; c != NULL; c = c->next_later)
        atomic_store(&c->gone, true);
    pthread_mutex_unlock(&a->later_lock);
}

bool api_fail_stopping(struct error *err)
{
    *err = (struct error){0};
    return fail_code(err, ERR_CANCELLED, "unavailable", "",
                     "the server is stopping: try again in a moment");
}

static void run(void *ctx, bool stopping)
{
    const struct later *l = ctx; /* in the call's arena: not to be read once it is answered */
    struct api_call *c = l->call;
    struct error err = {0};

    if (stopping || atomic_load(&c->gone))
        (void)api_fail_stopping(&err);
    else if (l->fn(c, &err))
        return;
    else if (atomic_load(&c->gone) && api_error_status(&err) >= 500)
        (void)api_fail_stopping(&err); /* it could not be done because it was interrupted */
    api_once_drop(c);
    api_reply_error(c, &err);
}

void api_later_keep(struct api_call *c)
{
    link_call(c);
    http_keep(c->x, gone, c);
}

bool api_later_put(struct api_call *c, api_fn *fn, struct error *err)
{
    struct later *l = ARENA_NEW(c->arena, struct later);

    *l = (struct later){c, fn};
    return grading_pool_put(c->api->grading, c->who.project_id != NULL ? c->who.project_id : "",
                            run, l, err);
}

bool api_later(struct api_call *c, api_fn *fn, struct error *err)
{
    api_later_keep(c);
    return api_later_put(c, fn, err);
}
