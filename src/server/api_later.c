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

static void run(void *ctx, bool stopping)
{
    const struct later *l = ctx; /* in the call's arena: not to be read once it is answered */
    struct api_call *c = l->call;
    struct error err = {0};

    if (stopping || atomic_load(&c->gone))
        (void)fail_code(&err, ERR_CANCELLED, "unavailable", "",
                        "the server is stopping: try again in a moment");
    else if (l->fn(c, &err))
        return;
    api_reply_error(c, &err);
}

bool api_later(struct api_call *c, api_fn *fn, struct error *err)
{
    struct later *l = ARENA_NEW(c->arena, struct later);

    *l = (struct later){c, fn};
    http_keep(c->x, gone, c);
    return grading_pool_put(c->api->grading, c->who.project_id != NULL ? c->who.project_id : "",
                            run, l, err);
}
