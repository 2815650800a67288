#include "grade/chat_reply.h"

#include "base/size.h"
#include "grade/template.h"

#include <stdio.h>

#define MAX_MESSAGE 200
#define MAX_REPLY_BYTES ((size_t)16 << 20) /* of the text */

/* ---- errors ---- */

/* At most max bytes of s in a, control characters as blanks. */
static struct str printable(struct str s, size_t max, struct arena *a)
{
    size_t n = size_min(s.len, max);

    while (n > 0 && n < s.len && ((unsigned char)s.ptr[n] & 0xc0) == 0x80)
        n--; /* not inside a character */
    char *out = arena_text(a, (struct str){s.ptr, n});
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            out[i] = ' ';
    return (struct str){out, n};
}

/* The string under one of the keys that servers use for what went wrong; "" where there is none. */
static struct str sentence_of(const json_t *v)
{
    static const char *const keys[] = {"message", "error", "detail"};

    if (json_is_string(v))
        return json_str(v);
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const struct str s = json_str(json_object_get(v, keys[i]));

        if (s.len > 0)
            return s;
    }
    return STR("");
}

static struct str without(struct str s, struct str secret, struct arena *a)
{
    size_t at = 0, found = str_find(s, secret, 0);
    struct buf b;

    if (found == s.len)
        return s;
    buf_init(&b, 4 * s.len); /* "..." for one byte at least */
    for (; at < s.len; found = str_find(s, secret, at)) {
        buf_put(&b, s.ptr + at, found - at);
        if (found < s.len)
            buf_text(&b, "...");
        at = found < s.len ? found + secret.len : s.len;
    }
    const struct str out = arena_str(a, buf_view(&b));
    buf_release(&b);
    return out;
}

/* "sk-12***yz": what a server half hides is half a secret. */
static struct str without_masked(struct str s, struct arena *a)
{
    struct buf b;

    if (str_find(s, STR("***"), 0) == s.len)
        return s;
    buf_init(&b, 2 * s.len);
    for (size_t at = 0; at < s.len;) {
        size_t end = at;

        while (end < s.len && strchr(" \t\r\n\"'", s.ptr[end]) == NULL)
            end++;
        const struct str word = {s.ptr + at, end - at};
        buf_str(&b, str_find(word, STR("***"), 0) < word.len ? STR("...") : word);
        if (end < s.len)
            buf_char(&b, s.ptr[end++]);
        at = end;
    }
    const struct str out = arena_str(a, buf_view(&b));
    buf_release(&b);
    return out;
}

struct chat_error chat_error_of(struct str body, struct chat_secrets secrets, struct arena *a)
{
    const struct str text = grade_utf8(a, body);
    struct chat_error out = {STR(""), STR("")};
    json_t *v = NULL;

    if (json_parse(text, "an error", &v, NULL)) {
        const json_t *error = json_object_get(v, "error");

        if (json_is_array(v)) /* Google's servers: a list of one */
            error = json_object_get(json_array_get(v, 0), "error");
        out.message = sentence_of(error);
        if (out.message.len == 0)
            out.message = sentence_of(v);
        out.code = printable(json_str(json_object_get(error, "code")), MAX_MESSAGE, a);
    }
    if (out.message.len == 0)
        out.message = text;
    for (size_t i = 0; i < secrets.n; i++) /* before it is cut: half a secret is one, too */
        out.message = without(out.message, secrets.of[i], a);
    out.message = printable(without_masked(out.message, a), MAX_MESSAGE, a);
    json_decref(v);
    return out;
}

/* ---- completions ---- */

static uint32_t count_of(const json_t *usage, const char *key)
{
    const json_int_t n = json_integer_value(json_object_get(usage, key));

    return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* The text of a content that is a string, or a list of parts of which some have one. */
static bool text_of(const json_t *content, struct arena *a, struct str *out, struct error *err)
{
    struct buf b;
    const json_t *part;
    size_t i;

    if (json_is_string(content)) {
        *out = arena_str(a, json_str(content));
        return true;
    }
    if (!json_is_array(content))
        return fail(err, ERR_CORRUPT, "the reply has no text: its content is %s",
                    content == NULL ? "missing" : json_kind(content));
    buf_init(&b, MAX_REPLY_BYTES);
    json_array_foreach(content, i, part) buf_str(&b, json_str(json_object_get(part, "text")));
    const bool ok = buf_ok(&b, "the reply", err);
    if (ok)
        *out = arena_str(a, buf_view(&b));
    buf_release(&b);
    return ok;
}

static bool read_completion(const json_t *v, const char *model, struct arena *a,
                            struct grade_reply *out, struct error *err)
{
    const json_t *choice = json_array_get(json_object_get(v, "choices"), 0),
                 *message = json_object_get(choice, "message"),
                 *usage = json_object_get(v, "usage");
    const struct str end = json_str(json_object_get(choice, "finish_reason")),
                     refusal = json_str(json_object_get(message, "refusal")),
                     who = json_str(json_object_get(v, "model"));
    struct grade_reply r = {
        .usage = {.prompt = count_of(usage, "prompt_tokens"),
                  .completion = count_of(usage, "completion_tokens"),
                  .cached =
                      count_of(json_object_get(usage, "prompt_tokens_details"), "cached_tokens")}};

    if (!json_is_object(message))
        return fail(err, ERR_CORRUPT,
                    "the reply is no chat completion: it has no choices[0].message");
    snprintf(r.model, sizeof r.model, "%s",
             printable(who.len > 0 ? who : str_of(model), sizeof r.model - 1, a).ptr);
    if (refusal.len > 0) {
        r.refused = true;
        r.text = arena_str(a, refusal);
    } else if (str_is(end, "content_filter")) {
        r.refused = true;
        r.text = STR("the reply was stopped by the server's content filter");
    } else if (str_is(end, "length")) {
        return fail(err, ERR_LIMIT,
                    "the reply was cut at the token limit after %u tokens; give it more with "
                    "max_completions_tokens in sampling_params, or ask for less",
                    r.usage.completion);
    } else if (!text_of(json_object_get(message, "content"), a, &r.text, err)) {
        return false;
    }
    *out = r;
    return true;
}

bool chat_reply_parse(struct str body, const char *model, struct chat_secrets secrets,
                      struct arena *a, struct grade_reply *out, struct error *err)
{
    json_t *v = NULL;
    bool ok;

    if (!json_parse(grade_utf8(a, body), "the reply", &v, NULL)) /* it would quote the body */
        return fail(err, ERR_CORRUPT, "the reply is not JSON");
    if (json_object_get(v, "choices") == NULL && json_object_get(v, "error") != NULL)
        ok = fail(err, ERR_CORRUPT, "the reply is an error: " STR_FMT,
                  STR_ARG(chat_error_of(body, secrets, a).message));
    else
        ok = read_completion(v, model, a, out, err);
    json_decref(v);
    return ok;
}
