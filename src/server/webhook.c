/*
 * webhook.c - secrets, signatures, pauses.
 */
#include "server/webhook.h"
#include "base/size.h"

#include <inttypes.h>
#include <nettle/base64.h>
#include <nettle/hmac.h>
#include <stdlib.h>
#include <sys/random.h>

#define GIVE_UP_SECONDS (72 * 3600)
#define FIRST_PAUSE 5
#define LONGEST_PAUSE (6 * 3600)

const char *const webhook_event_types[] = {
    "fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled",
    "fine_tuning.job.paused",    "eval.run.succeeded",     "eval.run.failed",
    "eval.run.canceled",         "response.completed",     "response.failed",
    "response.cancelled",        "response.incomplete",
};
const size_t n_webhook_event_types = COUNT_OF(webhook_event_types);

bool webhook_is_type(struct str type)
{
    for (size_t i = 0; i < n_webhook_event_types; i++)
        if (str_is(type, webhook_event_types[i]))
            return true;
    return false;
}

char *webhook_new_secret(struct arena *a)
{
    uint8_t bytes[WEBHOOK_SECRET_BYTES];
    char text[BASE64_ENCODE_RAW_LENGTH(sizeof bytes) + 1];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        abort(); /* a secret that can be guessed is worse than none */
    base64_encode_raw(text, sizeof bytes, bytes);
    text[sizeof text - 1] = '\0';
    return arena_printf(a, "whsec_%s", text);
}

/* The key of a secret: what "whsec_" stands before, decoded. */
static bool key_of(struct str secret, struct arena *a, struct str *out)
{
    struct base64_decode_ctx ctx;
    size_t n;

    if (!str_starts(secret, STR("whsec_"))) {
        *out = secret;
        return secret.len > 0;
    }
    secret = str_from(secret, 6);
    uint8_t *bytes = arena_alloc(a, BASE64_DECODE_LENGTH(secret.len) + 1);
    n = BASE64_DECODE_LENGTH(secret.len);
    base64_decode_init(&ctx);
    if (!base64_decode_update(&ctx, &n, bytes, secret.len, secret.ptr) ||
        !base64_decode_final(&ctx) || n == 0)
        return false;
    *out = (struct str){(const char *)bytes, n};
    return true;
}

static bool sign(struct str secret, const char *head, struct str body, struct arena *a,
                 const char **out)
{
    struct hmac_sha256_ctx ctx;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char text[BASE64_ENCODE_RAW_LENGTH(sizeof digest) + 1];
    struct str key;

    if (!key_of(secret, a, &key))
        return false;
    hmac_sha256_set_key(&ctx, key.len, (const uint8_t *)key.ptr);
    hmac_sha256_update(&ctx, strlen(head), (const uint8_t *)head);
    hmac_sha256_update(&ctx, body.len, (const uint8_t *)body.ptr);
    hmac_sha256_digest(&ctx, sizeof digest, digest);
    base64_encode_raw(text, sizeof digest, digest);
    text[sizeof text - 1] = '\0';
    *out = arena_printf(a, "v1,%s", text);
    return true;
}

bool webhook_signature(const json_t *endpoint, const char *id, int64_t timestamp, struct str body,
                       int64_t now, struct arena *a, const char **out, struct error *err)
{
    const char *head = arena_printf(a, "%s.%" PRId64 ".", id, timestamp);
    const json_t *old = json_object_get(endpoint, "old_secret");
    const char *first, *second;

    if (!sign(json_str(json_object_get(endpoint, "secret")), head, body, a, &first))
        return fail(err, ERR_CORRUPT, "the webhook endpoint has no secret to sign with");
    *out = first;
    if (json_is_string(old) && json_integer_value(json_object_get(endpoint, "old_until")) > now &&
        sign(json_str(old), head, body, a, &second))
        *out = arena_printf(a, "%s %s", first, second);
    return true;
}

char *webhook_event(const char *id, const char *type, int64_t created_at, json_t *data,
                    struct arena *a)
{
    json_t *event = json_pack("{s:s, s:s, s:s, s:I, s:o}", "object", "event", "id", id, "type",
                              type, "created_at", (json_int_t)created_at, "data", data);
    struct buf b;

    buf_init(&b, 1 << 20);
    json_write(&b, event, NULL);
    char *text = arena_text(a, buf_view(&b));
    buf_release(&b);
    json_decref(event);
    return text;
}

int64_t webhook_pause(int64_t tries, int64_t created_at, int64_t now)
{
    int64_t pause = FIRST_PAUSE;

    for (int64_t i = 1; i < tries && pause < LONGEST_PAUSE; i++)
        pause *= 2;
    if (pause > LONGEST_PAUSE)
        pause = LONGEST_PAUSE;
    return now + pause - created_at > GIVE_UP_SECONDS ? 0 : pause;
}
