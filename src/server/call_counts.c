/*
 * call_counts.c - one table, as large as there are routes; a lock for a few additions.
 */
#include "server/call_counts.h"
#include "base/size.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_STATUSES 12 /* of one route: more are counted together as 0 */

static const double bounds[] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                0.5,   1,     2.5,  5,     10,   30,  60};
#define N_BOUNDS COUNT_OF(bounds)

struct counted {
    struct {
        int status;
        uint64_t n;
    } by_status[MOST_STATUSES];
    uint64_t within[N_BOUNDS + 1], n; /* the last: slower */
    double seconds;
};

struct call_counts {
    pthread_mutex_t lock; /* guards all below */
    size_t n_routes;      /* one more than there are: calls of no route */
    struct counted *of;
};

static size_t n_all_routes(void)
{
    size_t n = 0;

    for (size_t t = 0; t < n_api_tables; t++)
        n += api_tables[t]->n;
    return n;
}

/* Its place among all; behind the last where it is none. */
static size_t place_of(const struct api_route *route)
{
    size_t n = 0;

    for (size_t t = 0; t < n_api_tables; t++) {
        const struct api_table *table = api_tables[t];

        if (route >= table->routes && route < table->routes + table->n)
            return n + (size_t)(route - table->routes);
        n += table->n;
    }
    return n;
}

struct call_counts *call_counts_open(void)
{
    struct call_counts *c = calloc(1, sizeof *c);

    if (c == NULL)
        abort(); /* some ten kilobytes */
    c->n_routes = n_all_routes() + 1;
    c->of = calloc(c->n_routes, sizeof *c->of);
    if (c->of == NULL)
        abort();
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void call_counts_close(struct call_counts *c)
{
    if (c == NULL)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->of);
    free(c);
}

void call_counts_add(struct call_counts *c, const struct api_route *route, int status,
                     double seconds)
{
    struct counted *k = &c->of[place_of(route)];
    size_t s = 0, b = 0;

    while (b < N_BOUNDS && seconds > bounds[b])
        b++;
    pthread_mutex_lock(&c->lock);
    while (s + 1 < MOST_STATUSES && k->by_status[s].n > 0 && k->by_status[s].status != status)
        s++;
    k->by_status[s].status = k->by_status[s].n > 0 && k->by_status[s].status != status ? 0 : status;
    k->by_status[s].n++;
    k->within[b]++;
    k->n++;
    k->seconds += seconds;
    pthread_mutex_unlock(&c->lock);
}

/* ---- in the text format ---- */

static const char *const methods[] = {
    [HTTP_GET] = "GET",
    [HTTP_POST] = "POST",
    [HTTP_DELETE] = "DELETE",
    [HTTP_PUT] = "PUT",
};

static const char *labels_of(size_t place, struct arena *a)
{
    for (size_t t = 0; t < n_api_tables; t++) {
        if (place < api_tables[t]->n) {
            const struct api_route *r = &api_tables[t]->routes[place];

            return arena_printf(a, "method=\"%s\",route=\"%s\"", methods[r->method], r->path);
        }
        place -= api_tables[t]->n;
    }
    return "method=\"\",route=\"\"";
}

static void write_times(const struct counted *k, const char *labels, struct buf *out)
{
    const char *name = "hone_http_request_duration_seconds";
    uint64_t sum = 0;

    for (size_t b = 0; b < N_BOUNDS; b++) {
        sum += k->within[b];
        buf_printf(out, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, labels, bounds[b], sum);
    }
    buf_printf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, k->n);
    buf_printf(out, "%s_sum{%s} %.6f\n%s_count{%s} %" PRIu64 "\n", name, labels, k->seconds, name,
               labels, k->n);
}

void call_counts_write(struct call_counts *c, struct buf *out)
{
    struct arena a = {0};
    struct counted *copy = ARENA_ARRAY(&a, struct counted, c->n_routes);

    pthread_mutex_lock(&c->lock);
    memcpy(copy, c->of, c->n_routes * sizeof *copy);
    pthread_mutex_unlock(&c->lock);
    buf_text(out, "# HELP hone_http_requests_total Calls that are over.\n"
                  "# TYPE hone_http_requests_total counter\n");
    for (size_t i = 0; i < c->n_routes; i++)
        for (size_t s = 0; s < MOST_STATUSES && copy[i].by_status[s].n > 0; s++)
            buf_printf(out, "hone_http_requests_total{%s,status=\"%d\"} %" PRIu64 "\n",
                       labels_of(i, &a), copy[i].by_status[s].status, copy[i].by_status[s].n);
    buf_text(out, "# HELP hone_http_request_duration_seconds From the request line to the end of "
                  "the answer.\n# TYPE hone_http_request_duration_seconds histogram\n");
    for (size_t i = 0; i < c->n_routes; i++)
        if (copy[i].n > 0)
            write_times(&copy[i], labels_of(i, &a), out);
    arena_release(&a);
}
