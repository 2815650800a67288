/*
 * store.c - the home, the database in it, and names for what is new.
 */
#include "store/store.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/size.h"
#include "store/key_uses.h"
#include "store/schema.h"
#include "store/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define ID_LETTERS 24 /* 62^24: 142 bits */

static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
#define N_LETTERS (sizeof letters - 1)

struct store {
    struct arena arena;
    char *home;
    struct db_pool *db;
    struct key_uses *uses;
};

static bool make_home(struct store *s, struct error *err)
{
    struct arena *a = &s->arena;
    const char *slash = strrchr(s->home, '/');
    struct str parent = {s->home, slash != NULL ? (size_t)(slash - s->home) : 0};

    return (parent.len == 0 || file_make_dirs(arena_text(a, parent), err)) &&
           file_make_private(s->home, err) &&
           file_make_private(file_join(a, s->home, "files"), err) &&
           file_make_private(file_join(a, s->home, "runs"), err);
}

bool store_open(const struct store_options *opt, struct store **out, struct error *err)
{
    struct store *s = calloc(1, sizeof *s);
    const struct db_options db = {.n_connections = opt->n_connections, .durable = true};
    size_t len = strlen(opt->home);

    if (s == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to open the store");
    while (len > 1 && opt->home[len - 1] == '/')
        len--;
    s->home = arena_text(&s->arena, (struct str){opt->home, len});
    const char *url = opt->database != NULL ? opt->database
                                            : arena_printf(&s->arena, "sqlite:%s/hone.db", s->home);
    bool ok = make_home(s, err) && db_pool_open(url, &db, &s->db, err) &&
              db_migrate(s->db, schema_migrations, schema_n_migrations, err) &&
              store_identify(s, err) && key_uses_open(s->db, &s->uses, err);
    if (ok)
        *out = s;
    else
        store_close(s);
    return ok;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    key_uses_close(s->uses);
    db_pool_close(s->db);
    arena_release(&s->arena);
    free(s);
}

struct db_pool *store_db(struct store *s)
{
    return s->db;
}

const char *store_home(const struct store *s)
{
    return s->home;
}

struct key_uses *store_key_uses(struct store *s)
{
    return s->uses;
}

static bool ask_something(struct db *db, void *ctx, struct error *err)
{
    (void)ctx;
    return db_run(db, "SELECT count(*) FROM schema_migrations", NULL, 0, NULL, NULL, NULL, err);
}

bool store_ping(struct store *s, struct error *err)
{
    return db_read(s->db, ask_something, NULL, err);
}

/* ---- ids ---- */

void store_random_text(char *out, size_t n)
{
    unsigned char bytes[64];
    size_t done = 0;

    while (done < n) {
        const ssize_t got = getrandom(bytes, sizeof bytes, 0);

        if (got < 0 && errno != EINTR)
            abort(); /* a system without random numbers has no secrets */
        for (ssize_t i = 0; i < got && done < n; i++)
            if (bytes[i] < 256 / N_LETTERS * N_LETTERS) /* else the first letters come more often */
                out[done++] = letters[bytes[i] % N_LETTERS];
    }
    out[n] = '\0';
}

char *store_new_id(const char *prefix, struct arena *a)
{
    char text[ID_LETTERS + 1];

    store_random_text(text, ID_LETTERS);
    return arena_printf(a, "%s%s", prefix, text);
}

char *store_id_of(const char *prefix, struct str text, struct arena *a)
{
    struct sha256_ctx ctx;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char id[ID_LETTERS + 1];

    sha256_init(&ctx);
    sha256_update(&ctx, text.len, (const uint8_t *)text.ptr);
    sha256_digest(&ctx, sizeof digest, digest);
    for (size_t i = 0; i < ID_LETTERS; i++)
        id[i] = letters[digest[i] % N_LETTERS];
    id[ID_LETTERS] = '\0';
    return arena_printf(a, "%s%s", prefix, id);
}

bool store_id_is(struct str id, const char *prefix)
{
    const struct str p = str_of(prefix);

    if (!str_starts(id, p))
        return false;
    const struct str rest = str_from(id, p.len);
    for (size_t i = 0; i < rest.len; i++)
        if (rest.ptr[i] == '\0' ||
            (strchr(letters, rest.ptr[i]) == NULL && rest.ptr[i] != '-' && rest.ptr[i] != '_'))
            return false;
    return rest.len >= 1 && rest.len <= 64;
}
