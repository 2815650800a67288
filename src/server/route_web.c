/*
 * route_web.c - the dashboard: web/ as it was compiled in. What it shows it asks of the API, as any other client.
 *
 * Its pages hold what models and strangers wrote, and API keys: so a browser is told to run nothing but these files, to speak to nobody
 * but this server, and to take no text for HTML (Trusted Types).
 */
#include "base/sha256.h"
#include "base/size.h"
#include "server/api.h"
#include "server/routes.h"
#include "server/web_files.h"

#define TEXT(s)                                                                                    \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

static const char *type_of(struct str path)
{
    static const struct {
        struct str end;
        const char *type;
    } types[] = {
        {TEXT(".html"), "text/html; charset=utf-8"},
        {TEXT(".css"), "text/css; charset=utf-8"},
        {TEXT(".js"), "text/javascript; charset=utf-8"},
        {TEXT(".svg"), "image/svg+xml"},
    };

    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (str_ends(path, types[i].end))
            return types[i].type;
    return "application/octet-stream";
}

static const struct web_file *find(struct str path)
{
    for (size_t i = 0; i < n_web_files; i++)
        if (str_is(path, web_files[i].path))
            return &web_files[i];
    return NULL;
}

/* Whether one of the tags of If-None-Match is this one, in quotes; W/ in front of it makes no difference here. */
static bool has_it(const struct http_exchange *x, struct str tag)
{
    const struct str known = http_header(x, "if-none-match");

    return str_find(known, tag, 0) < known.len || str_is(known, "*");
}

static bool serve(struct api_call *c, struct str path, struct error *err)
{
    const struct web_file *f = find(path);

    if (f == NULL)
        return fail_code(err, ERR_NOT_FOUND, "unknown_url", "",
                         "the dashboard has no file of that name");
    const struct str bytes = {f->bytes, (size_t)(f->end - f->bytes)};
    const struct str tag =
        str_of(arena_printf(c->arena, "\"%.32s\"", sha256_of(bytes.ptr, bytes.len).hex));
    const struct http_pair headers[] = {
        {STR("etag"), tag},
        {STR("cache-control"),
         STR("no-cache")}, /* kept, and asked for anew: a new program shows at once */
        {STR("content-security-policy"),
         STR("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
             "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
             "require-trusted-types-for 'script'")},
        {STR("x-content-type-options"), STR("nosniff")},
        {STR("referrer-policy"), STR("no-referrer")},
    };

    if (has_it(c->x, tag))
        http_answer(c->x, 304, NULL, (struct str){0}, headers, COUNT_OF(headers));
    else
        http_answer(c->x, 200, type_of(path), bytes, headers, COUNT_OF(headers));
    return true;
}

static bool page(struct api_call *c, struct error *err)
{
    return serve(c, STR("index.html"), err);
}

static bool file(struct api_call *c, struct error *err)
{
    return serve(c, c->id[0], err);
}

static bool file_in_folder(struct api_call *c, struct error *err)
{
    return serve(
        c,
        str_of(arena_printf(c->arena, STR_FMT "/" STR_FMT, STR_ARG(c->id[0]), STR_ARG(c->id[1]))),
        err);
}

static const struct api_route routes[] = {
    {HTTP_GET, "/", 0, HTTP_BODY_NONE, page, NULL, 0},
    {HTTP_GET, "/web/{}", 0, HTTP_BODY_NONE, file, NULL, 0},
    {HTTP_GET, "/web/{}/{}", 0, HTTP_BODY_NONE, file_in_folder, NULL, 0},
};
const struct api_table web_routes = {routes, COUNT_OF(routes)};
