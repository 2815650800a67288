/*
 * api_access.c - a key becomes who asks. What the store said of a key holds for a few seconds, so that a busy client does not
 * cost a query a call; keys are remembered by their hash alone.
 */
#include "base/clock.h"
#include "base/sha256.h"
#include "base/size.h"
#include "server/api_internal.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define N_SLOTS 1024
#define MAX_KEY_BYTES 512

struct key_slot {
    char hash[65]; /* "": empty */
    double until;  /* clock_seconds() */
    char key_id[72], project_id[72], org_id[72], org_slug[72];
    struct access who; /* its numbers; the texts are above */
};
struct key_cache {
    pthread_mutex_t lock; /* guards slots */
    struct key_slot slots[N_SLOTS];
};

struct key_cache *key_cache_open(void)
{
    struct key_cache *k = calloc(1, sizeof *k);

    if (k == NULL)
        abort(); /* some hundred kilobytes */
    pthread_mutex_init(&k->lock, NULL);
    return k;
}

void key_cache_close(struct key_cache *k)
{
    if (k == NULL)
        return;
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void key_cache_clear(struct key_cache *k)
{
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < N_SLOTS; i++)
        k->slots[i].hash[0] = '\0';
    pthread_mutex_unlock(&k->lock);
}

static struct key_slot *slot_of(struct key_cache *k, const struct sha256_text *hash)
{
    return &k->slots[str_hash(str_of(hash->hex)) % N_SLOTS];
}

static bool recall(struct key_cache *k, const struct sha256_text *hash, struct arena *a,
                   struct access *out)
{
    struct key_slot *s = slot_of(k, hash);
    bool found = false;

    pthread_mutex_lock(&k->lock);
    if (strcmp(s->hash, hash->hex) == 0 && clock_seconds() < s->until) {
        *out = s->who;
        out->key_id = arena_text(a, str_of(s->key_id));
        out->project_id = arena_text(a, str_of(s->project_id));
        out->org_id = arena_text(a, str_of(s->org_id));
        out->org_slug = arena_text(a, str_of(s->org_slug));
        found = true;
    }
    pthread_mutex_unlock(&k->lock);
    return found;
}

static bool fits(const char *text, char *out, size_t size)
{
    return text != NULL && (size_t)snprintf(out, size, "%s", text) < size;
}

static void remember(struct key_cache *k, const struct sha256_text *hash, const struct access *who)
{
    struct key_slot *s = slot_of(k, hash);

    pthread_mutex_lock(&k->lock);
    s->hash[0] = '\0';
    s->who = *who;
    s->until = clock_seconds() + API_KEY_SECONDS;
    if (fits(who->key_id, s->key_id, sizeof s->key_id) &&
        fits(who->project_id, s->project_id, sizeof s->project_id) &&
        fits(who->org_id, s->org_id, sizeof s->org_id) &&
        fits(who->org_slug, s->org_slug, sizeof s->org_slug))
        memcpy(s->hash, hash->hex, sizeof s->hash);
    pthread_mutex_unlock(&k->lock);
}

/* ---- the key ---- */

/* ptr NULL: none was given. */
static struct str key_of(const struct http_exchange *x)
{
    const struct str bearer = http_header(x, "authorization"), plain = http_header(x, "api-key");

    if (bearer.ptr != NULL && bearer.len > 7 && strncasecmp(bearer.ptr, "Bearer ", 7) == 0)
        return str_trim(str_from(bearer, 7), " \t");
    if (plain.ptr != NULL && str_trim(plain, " \t").len > 0)
        return str_trim(plain, " \t");
    return (struct str){0};
}

static bool wrong_key(struct str key, struct error *err)
{
    char end[8] = "";

    if (key.ptr == NULL)
        return fail_code(err, ERR_INVALID, "invalid_api_key", "",
                         "no API key was given: send the header \"Authorization: Bearer KEY\"");
    /* its end, where it is long enough for that to tell little, and where it is plain text */
    for (size_t i = 0; key.len >= 16 && i < 4; i++) {
        const char ch = key.ptr[key.len - 4 + i];

        if (ch < 0x21 || ch > 0x7e) {
            end[0] = '\0';
            break;
        }
        end[i] = ch;
    }
    return fail_code(err, ERR_INVALID, "invalid_api_key", "",
                     "the API key ...%s is not known here, or was revoked", end);
}

static bool of_key(struct api_call *c, struct str key, struct error *err)
{
    const struct sha256_text hash = sha256_of(key.ptr, key.len);

    if (key.len > MAX_KEY_BYTES)
        return wrong_key(key, err);
    if (recall(c->api->keys, &hash, c->arena, &c->who))
        return true;
    if (!access_of_key(c->store, key, c->arena, &c->who, err)) {
        c->who = (struct access){0};
        return err->kind == ERR_NOT_FOUND || err->kind == ERR_INVALID ? wrong_key(key, err) : false;
    }
    remember(c->api->keys, &hash, &c->who);
    return true;
}

/* ---- without a key ---- */

static struct str host_part(struct str s)
{
    size_t i = 0;

    if (s.len > 0 && s.ptr[0] == '[') {
        while (i < s.len && s.ptr[i] != ']')
            i++;
        return (struct str){s.ptr, size_min(i + 1, s.len)};
    }
    while (i < s.len && s.ptr[i] != ':')
        i++;
    return (struct str){s.ptr, i};
}

/* 127.x.y.z, in digits: "127.0.0.1.example" is a name like any other. */
static bool is_127(struct str host)
{
    struct in_addr address;
    char text[16];

    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

static bool names_loopback(struct str host)
{
    const struct str h = host_part(host);

    return (h.len == 9 && strncasecmp(h.ptr, "localhost", 9) == 0) || is_127(h) ||
           str_is(h, "[::1]");
}

/* By a proxy, which may run here and stand for anyone. */
static bool was_passed_on(const struct http_exchange *x)
{
    static const char *const signs[] = {"forwarded", "x-forwarded-for", "x-forwarded-host",
                                        "x-real-ip", "via"};

    for (size_t i = 0; i < COUNT_OF(signs); i++)
        if (http_header(x, signs[i]).ptr != NULL)
            return true;
    return false;
}

/*
 * A web page must not act for whoever looks at it: a browser names the page's address in Origin, and a name that leads to
 * 127.0.0.1 only now (DNS rebinding) still stands in Host.
 */
bool api_is_this_machine(const struct http_exchange *x)
{
    const struct str origin = http_header(x, "origin"), host = http_header(x, "host");

    if (!x->loopback || host.ptr == NULL || !names_loopback(host) || was_passed_on(x))
        return false;
    if (origin.ptr == NULL)
        return true;
    return (str_starts(origin, STR("http://")) && str_eq(str_from(origin, 7), host)) ||
           (str_starts(origin, STR("https://")) && str_eq(str_from(origin, 8), host));
}

/* ---- organisation and project ---- */

static bool choose_project(struct api_call *c, struct error *err)
{
    const struct str org = http_header(c->x, "openai-organization"),
                     project = http_header(c->x, "openai-project");
    struct project p;

    if (org.len > 0 && !str_is(org, c->who.org_id) && !str_is(org, c->who.org_slug))
        return fail_code(err, ERR_INVALID, "mismatched_organization", "",
                         "the header OpenAI-Organization names another organisation than the "
                         "key's, %s",
                         c->who.org_id);
    if (project.len == 0 || str_is(project, c->who.project_id))
        return true;
    if ((c->who.scopes & SCOPE_ADMIN) != 0 && store_id_is(project, "") &&
        access_project(c->store, arena_text(c->arena, project), c->arena, &p, err) &&
        strcmp(p.org_id, c->who.org_id) == 0) {
        c->who.project_id = p.id;
        return true;
    }
    return fail_code(err, ERR_INVALID, "mismatched_project", "",
                     "the header OpenAI-Project names a project that this key has no access to");
}

static const char *scope_name(unsigned scope)
{
    return (scope & SCOPE_ADMIN) != 0 ? "admin" : (scope & SCOPE_TRAIN) != 0 ? "train" : "use";
}

bool api_is_operator(struct api_call *c, bool *is_operator, struct error *err)
{
    struct org *orgs;
    size_t n;

    if (!access_orgs(c->store, c->arena, &orgs, &n, err))
        return false;
    *is_operator = (c->who.scopes & SCOPE_ADMIN) != 0 && c->who.key_id != NULL && n > 0 &&
                   strcmp(orgs[0].id, c->who.org_id) == 0;
    return true;
}

bool api_admit(struct api_call *c, struct error *err)
{
    const struct str key = key_of(c->x);
    const bool may_be_anonymous = c->opt->anonymous && api_is_this_machine(c->x);

    if (key.ptr == NULL ? !may_be_anonymous && !wrong_key(key, err) : !of_key(c, key, err)) {
        /* clients refuse to start without a key: an open server takes any */
        if (key.ptr == NULL || !may_be_anonymous || err->code == NULL)
            return false;
        *err = (struct error){0};
    }
    if (c->who.project_id == NULL && !access_anonymous(c->store, c->arena, &c->who, err))
        return false;
    unsigned has = c->who.scopes;
    has |= (has & SCOPE_ADMIN) != 0 ? SCOPE_TRAIN : 0;
    has |= (has & SCOPE_TRAIN) != 0 ? SCOPE_USE : 0;
    if ((has & c->route->scope) != c->route->scope)
        return fail_code(err, ERR_INVALID, "missing_scope", "",
                         "this key may not do that: it lacks the scope \"%s\"",
                         scope_name(c->route->scope));
    return choose_project(c, err);
}
