/*
 * pull_source.c - what a user names, the addresses that follow from it, and what a refusal there means.
 */
#include "base/buf.h"
#include "job/model_store.h"
#include "job/pull_internal.h"

#include <stdio.h>

/* ---- addresses ---- */

const char *pull_encode(const char *text, bool keep_slash, struct arena *a)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = arena_alloc(a, 3 * strlen(text) + 1), *to = out;

    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~", c) != NULL || (c == '/' && keep_slash)) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    *to = '\0';
    return out;
}

const char *pull_url_of(const struct pull_source *s, const char *commit, const char *path,
                        struct arena *a)
{
    if (s->kind != PULL_HUB)
        return arena_printf(a, "%s/%s", s->url, pull_encode(path, true, a));
    return arena_printf(a, "%s/%s/resolve/%s/%s", s->endpoint, s->repo,
                        pull_encode(commit, false, a), pull_encode(path, true, a));
}

/* ---- what is named ---- */

static bool is_repo_part(struct str s)
{
    if (s.len == 0 || s.len > 96 || s.ptr[0] == '.' || s.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') ||
              (s.ptr[i] >= '0' && s.ptr[i] <= '9') || strchr("-._", s.ptr[i]) != NULL))
            return false;
    return true;
}

/* The part of *s before its first sep, which both are cut off; all of it where there is none. */
static struct str take_until(struct str *s, char sep)
{
    const char c[] = {sep};
    const size_t end = str_find(*s, (struct str){c, 1}, 0);
    const struct str part = {s->ptr, end};

    *s = str_from(*s, end < s->len ? end + 1 : end);
    return part;
}

static bool no_source(const char *text, struct error *err)
{
    return fail(err, ERR_INVALID,
                "\"%.200s\" names no model: expected ORG/NAME of the hub, an https:// address of a "
                ".gguf file, or that of a folder with config.json",
                text);
}

static bool hub(const char *text, struct str org, struct str name, struct str revision,
                struct arena *a, struct pull_source *out, struct error *err)
{
    if (!is_repo_part(org) || !is_repo_part(name))
        return no_source(text, err);
    for (size_t i = 0; i < revision.len; i++)
        if ((unsigned char)revision.ptr[i] <= ' ' || revision.ptr[i] == 0x7f)
            return fail(err, ERR_INVALID,
                        "the revision behind \"@\" has a blank or a control "
                        "character in it");
    out->kind = PULL_HUB;
    out->own_name = arena_text(a, name);
    out->repo = arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(org), STR_ARG(name));
    out->revision = revision.len > 0 ? arena_text(a, revision) : "main";
    out->shown = out->repo;
    return true;
}

/* What a browser shows of a repository: ORG/NAME, and behind that tree/REV, blob/REV/FILE or resolve/REV/FILE. */
static bool hub_page(const char *text, struct str path, struct arena *a, struct pull_source *out,
                     struct error *err)
{
    const size_t query = str_find(path, STR("?"), 0);

    path.len = query;
    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    const struct str org = take_until(&path, '/'), name = take_until(&path, '/');
    const struct str verb = take_until(&path, '/'), revision = take_until(&path, '/');
    const bool of_file = str_is(verb, "blob") || str_is(verb, "resolve") || str_is(verb, "raw");

    if (verb.len > 0 && !str_is(verb, "tree") && !(of_file && path.len > 0))
        return no_source(text, err);
    if (of_file)
        out->file = arena_text(a, path);
    return hub(text, org, name, revision, a, out, err);
}

/* "x%20y" -> "x y"; a zero byte's sign, which would end the name, stays. */
static const char *plain_text(const char *text, struct arena *a)
{
    struct buf kept = {.max_bytes = SIZE_MAX};

    buf_replaced(&kept, str_of(text), STR("%00"), STR("%2500"));
    const struct str plain = arena_percent_decoded(a, buf_view(&kept));
    buf_release(&kept);
    return plain.ptr;
}

/* Where http is no https: only to this machine, where nobody stands between. */
static bool web(const char *text, struct arena *a, struct pull_source *out, struct error *err)
{
    struct str path = str_of(text);

    if (!http_check_url(text, "the address", err))
        return false;
    if (out->file != NULL)
        return fail(err, ERR_INVALID,
                    "--file chooses a file of a repository, and an address names what it is");
    if (strncmp(text, "https://", 8) != 0 && !download_is_loopback(text))
        return fail(err, ERR_INVALID,
                    "%s: over http anyone on the way could change the model: an https:// address "
                    "is needed",
                    http_place_of(text).text);
    path.len = str_find(path, STR("?"), 0);
    path.len = str_find(path, STR("#"), 0);
    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    out->shown = arena_text(a, path);
    out->own_name = plain_text(model_plain_name(out->shown, a), a);
    out->kind = str_ends(path, STR(".gguf")) ? PULL_URL_FILE : PULL_URL_FOLDER;
    /* a folder's files stand behind its path, where a query has no place */
    out->url = out->kind == PULL_URL_FILE ? arena_text(a, str_of(text)) : out->shown;
    return true;
}

bool pull_source_read(const struct pull_request *rq, struct arena *a, struct pull_source *out,
                      struct error *err)
{
    struct str endpoint = str_of(rq->endpoint), text = str_of(rq->source);

    while (endpoint.len > 0 && endpoint.ptr[endpoint.len - 1] == '/')
        endpoint.len--;
    *out = (struct pull_source){.endpoint = arena_text(a, endpoint),
                                .token = rq->token,
                                .token_from = rq->token_from != NULL ? rq->token_from : "HF_TOKEN",
                                .file = rq->file};
    if (!http_check_url(out->endpoint, "HF_ENDPOINT", err))
        return false;
    if (rq->token != NULL && !http_check_header("Authorization", rq->token, out->token_from, err))
        return false;
    if (str_starts(text, endpoint) && text.len > endpoint.len && text.ptr[endpoint.len] == '/')
        return hub_page(rq->source, str_from(text, endpoint.len + 1), a, out, err);
    if (strstr(rq->source, "://") != NULL)
        return web(rq->source, a, out, err);
    const struct str repo = take_until(&text, '@'), org = {repo.ptr, str_find(repo, STR("/"), 0)};
    if (org.len == repo.len)
        return no_source(rq->source, err);
    return hub(rq->source, org, str_from(repo, org.len + 1), text, a, out, err);
}

/* ---- refusals ---- */

static bool no_access(const struct pull_source *s, int status, bool gated, struct error *err)
{
    if (gated)
        return fail(err, ERR_INVALID,
                    "%s is gated (%d)%s%s%s: accept its licence at %s/%s, make a token at "
                    "%s/settings/tokens and give it in HF_TOKEN or by hf auth login",
                    s->shown, status, s->token != NULL ? ", and the account of the token in " : "",
                    s->token != NULL ? s->token_from : "",
                    s->token != NULL ? " may not read it" : "", s->endpoint, s->repo, s->endpoint);
    if (s->token != NULL)
        return fail(err, ERR_INVALID,
                    "%s: the hub refuses the token in %s (%d): is it still good, and may its "
                    "account read this model?",
                    s->shown, s->token_from, status);
    return fail(
        err, ERR_INVALID,
        "%s is not there, or it is private or gated (%d): check the name; of a gated one "
        "accept the licence at %s/%s; then give a token of %s/settings/tokens in HF_TOKEN or by "
        "hf auth login",
        s->shown, status, s->endpoint, s->repo, s->endpoint);
}

bool pull_refused(const struct pull_source *s, const char *what, const struct download_reply *r,
                  struct error *err)
{
    const int status = r->reply.status;
    struct str code = {0};

    if (s->kind != PULL_HUB || !download_same_origin(r->url, s->endpoint))
        return fail(
            err, status == 404 ? ERR_NOT_FOUND : ERR_IO, "%s%s%s: %s answers %d%s", s->shown,
            what != NULL ? ", " : "", what != NULL ? what : "", http_place_of(r->url).text, status,
            status == 404                    ? ": there is no such file"
            : status == 401 || status == 403 ? ": no access, and the hub's token is for its "
                                               "own host alone"
                                             : "");
    if (!http_head_value(r->reply.head, "x-error-code", &code))
        code = STR("");
    if (status == 401 || status == 403)
        return no_access(s, status, status == 403 || str_is(code, "GatedRepo"), err);
    if (status == 404 && str_is(code, "RevisionNotFound"))
        return fail(err, ERR_NOT_FOUND, "%s has no revision \"%s\"", s->shown, s->revision);
    if (status == 404 && what != NULL)
        return fail(err, ERR_NOT_FOUND, "%s has no file %s (404)", s->shown, what);
    if (status == 404)
        return fail(err, ERR_NOT_FOUND,
                    "there is no model %s in revision \"%s\" at %s (404): check its name", s->shown,
                    s->revision, http_place_of(s->endpoint).text);
    return fail(err, ERR_IO, "%s%s%s: the hub (%s) answers %d", s->shown, what != NULL ? ", " : "",
                what != NULL ? what : "", http_place_of(s->endpoint).text, status);
}
