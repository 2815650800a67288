/*
 * route_machine.c - who works for this server, and what it runs on.
 *
 * Workers are everybody's; which job one works on is told to the job's project alone. Of the machine nothing is told that names a
 * file, an address or another project's work.
 */
#include "base/memory.h"
#include "base/size.h"
#include "job/model_store.h"
#include "sample/machine.h"
#include "server/api_internal.h"
#include "server/routes.h"
#include "server/worker_pool.h"

#include <math.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- workers ---- */

static json_t *worker_json(struct api_call *c, const struct worker_row *w, struct error *err)
{
    const bool works = w->job_id != NULL && w->job_id[0] != '\0';
    struct job_row job = {0};
    json_t *doing = json_null();

    if (works) {
        if (jobs_get(c->store, c->who.project_id, str_of(w->job_id), c->arena, &job, err))
            doing = json_pack("{s:s, s:s, s:I, s:I}", "id", job.id, "status", job.status, "step",
                              (json_int_t)job.step, "total_steps", (json_int_t)job.total_steps);
        else if (err->kind != ERR_NOT_FOUND) /* which it is where the job is another project's */
            return NULL;
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I}", "object", "worker", "id",
                     w->name, "machine", w->machine, "version", w->version, "status",
                     works ? "working" : "waiting", "job", doing, "memory_bytes",
                     (json_int_t)w->memory_bytes, "started_at", (json_int_t)w->started_at,
                     "seen_at", (json_int_t)w->seen_at);
}

static bool list_workers(struct api_call *c, struct error *err)
{
    struct worker_row *rows;
    size_t n;

    if (!workers_list(c->store, c->arena, &rows, &n, err))
        return false;
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++) {
        struct error why = {0};
        json_t *w = worker_json(c, &rows[i], &why);

        if (w == NULL) {
            json_decref(data);
            *err = why;
            return false;
        }
        json_array_append_new(data, w);
    }
    return api_reply_list(c, data, false);
}

/* ---- the machine ---- */

static json_t *known(double x)
{
    return isfinite(x) && x >= 0 ? json_integer((json_int_t)x) : json_null();
}

static json_t *kernels_json(void)
{
    json_t *all = json_array();
    struct buf list;

    buf_init(&list, 1 << 10);
    machine_list_kernels(&list);
    for (struct str rest = buf_view(&list); rest.len > 0;) {
        const size_t end = str_find(rest, STR(", "), 0);

        json_array_append_new(all, json_stringn(rest.ptr, end));
        rest = end < rest.len ? str_from(rest, end + 2) : (struct str){0};
    }
    buf_release(&list);
    return all;
}

static json_t *cpu_json(void)
{
    double load;
    const long n = sysconf(_SC_NPROCESSORS_ONLN);

    return json_pack("{s:I, s:o, s:s, s:o}", "cores", (json_int_t)n, "load",
                     getloadavg(&load, 1) == 1 ? json_real(load) : json_null(), "kernels",
                     machine_kernels(), "kernels_available", kernels_json());
}

static json_t *disk_json(const char *home)
{
    struct statvfs v;

    if (statvfs(home, &v) != 0)
        return json_pack("{s:n, s:n}", "total_bytes", "free_bytes");
    return json_pack("{s:o, s:o}", "total_bytes", known((double)v.f_blocks * (double)v.f_frsize),
                     "free_bytes", known((double)v.f_bavail * (double)v.f_frsize));
}

static json_t *engine_json(const struct engine_client *e)
{
    if (e == NULL)
        return json_null();
    const struct engine_figures f = engine_client_figures(e);
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "alive", f.alive, "starts",
                     (json_int_t)f.starts, "open_requests", (json_int_t)f.open, "requests",
                     (json_int_t)f.asked, "tokens_prompt", (json_int_t)f.tokens_prompt,
                     "tokens_cached", (json_int_t)f.tokens_cached, "tokens_sampled",
                     (json_int_t)f.tokens_sampled, "resident_bytes",
                     known((double)f.resident_bytes));
}

static json_t *workers_json(struct api *a)
{
    struct worker_pool *pool = atomic_load(&a->workers);
    size_t alive = 0, starts = 0;

    if (pool != NULL)
        worker_pool_counts(pool, &alive, &starts);
    return json_pack("{s:I, s:I}", "alive", (json_int_t)alive, "starts", (json_int_t)starts);
}

/* Bases: what jobs made is told to their projects, by /v1/models. */
static bool models_json(struct api_call *c, json_t **out, struct error *err)
{
    struct model_entry *all;
    size_t n;

    if (!model_store_list(c->opt->home, c->arena, &all, &n, err))
        return false;
    *out = json_array();
    for (size_t i = 0; i < n; i++)
        if (all[i].base == NULL)
            json_array_append_new(*out, json_pack("{s:s, s:I, s:I}", "id", all[i].name, "bytes",
                                                  (json_int_t)all[i].size_bytes, "created_at",
                                                  (json_int_t)all[i].created_at));
    return true;
}

static bool tell_machine(struct api_call *c, struct error *err)
{
    struct utsname host;
    json_t *models;

    if (!models_json(c, &models, err))
        return false;
    json_t *memory =
        json_pack("{s:o, s:o, s:o}", "total_bytes", known(memory_total()), "available_bytes",
                  known(memory_available()), "server_bytes", known(memory_resident()));
    return api_reply(
        c, 200,
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "object", "machine", "version",
                  HONE_VERSION, "architecture", uname(&host) == 0 ? host.machine : "unknown", "cpu",
                  cpu_json(), "memory", memory, "disk", disk_json(c->opt->home), "engine",
                  engine_json(c->opt->engine), "workers", workers_json(c->api), "models", models));
}

static const struct api_route routes[] = {
    {HTTP_GET, "/v1/workers", SCOPE_TRAIN, HTTP_BODY_NONE, list_workers, NULL, 0},
    {HTTP_GET, "/v1/machine", SCOPE_TRAIN, HTTP_BODY_NONE, tell_machine, NULL, 0},
};
const struct api_table machine_routes = {routes, COUNT_OF(routes)};
