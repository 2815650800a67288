#include "cli/grade_watch.h"

#include <string.h>
#include <sys/stat.h>

#define LOOK_SECONDS 0.2
#define SETTLE_SECONDS 0.05

static struct watch_stamp stamp_of(const char *path)
{
    struct stat s;

    if (stat(path, &s) != 0)
        return (struct watch_stamp){0};
    return (struct watch_stamp){s.st_dev, s.st_ino, s.st_size, s.st_mtim};
}

static bool same(const struct watch_stamp *a, const struct watch_stamp *b)
{
    return a->device == b->device && a->number == b->number && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool is_there(const struct watch_stamp *s)
{
    return s->number != 0;
}

void watch_look(struct watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        w->seen[i] = stamp_of(w->path[i]);
}

/* A signal may cut it short. */
static void sleep_for(double seconds)
{
    const struct timespec t = {.tv_nsec = (long)(seconds * 1e9)};

    nanosleep(&t, NULL);
}

/* Whether two looks, a moment apart, saw the same, and every file. */
static bool settled(struct watch *now)
{
    struct watch before = *now;
    bool ok = true;

    sleep_for(SETTLE_SECONDS);
    watch_look(now);
    for (size_t i = 0; i < now->n; i++)
        ok = ok && is_there(&now->seen[i]) && same(&now->seen[i], &before.seen[i]);
    return ok;
}

bool watch_wait(struct watch *w, const atomic_bool *stop)
{
    struct watch now = *w;
    bool any = false;

    while (!any) {
        if (atomic_load(stop))
            return false;
        sleep_for(LOOK_SECONDS);
        watch_look(&now);
        for (size_t i = 0; i < w->n; i++)
            any = any || (is_there(&now.seen[i]) && !same(&now.seen[i], &w->seen[i]));
    }
    while (!settled(&now))
        if (atomic_load(stop))
            return false;
    for (size_t i = 0; i < w->n; i++)
        now.is_changed[i] = !same(&now.seen[i], &w->seen[i]);
    *w = now;
    return true;
}
