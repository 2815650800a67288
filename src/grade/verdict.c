#include "grade/verdict.h"

#include "base/size.h"
#include "text/json.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

#define MAX_NUMBER 40 /* characters */
#define MAX_PREFIX 40 /* of "Final score:" */
/* bytes looked at for each byte of a reply: braces within braces must not cost their square */
#define WORK_FACTOR 4

static bool is_any(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static struct str strip(struct str s, const char *set)
{
    while (s.len > 0 && is_any(s.ptr[0], set))
        s = str_from(s, 1);
    while (s.len > 0 && is_any(s.ptr[s.len - 1], set))
        s.len--;
    return s;
}
#define BLANKS " \t\r\n"
#define DECORATION BLANKS "*_`\"'"

/* ---- JSON in the text ---- */

/* The last object with the member first or second; the caller's, or NULL. */
static json_t *find_object(struct str text, const char *first, const char *second)
{
    size_t work = WORK_FACTOR * text.len;
    json_t *found = NULL;

    for (size_t at = 0; at < text.len;) {
        const char *brace = memchr(text.ptr + at, '{', text.len - at);
        json_error_t error = {0};

        if (brace == NULL)
            break;
        at = (size_t)(brace - text.ptr);
        json_t *object =
            json_loadb(brace, text.len - at, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &error);
        const size_t looked_at = error.position > 0 ? (size_t)error.position : 1;

        if (json_object_get(object, first) != NULL || json_object_get(object, second) != NULL) {
            json_decref(found);
            found = json_incref(object);
        }
        at += object != NULL ? looked_at : 1;
        json_decref(object);
        if (looked_at > work)
            break;
        work -= looked_at;
    }
    return found;
}

/* ---- bare verdicts ---- */

static bool number_of(struct str s, double *out)
{
    char text[MAX_NUMBER + 1], *end;

    if (s.len == 0 || s.len > MAX_NUMBER)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_any(s.ptr[i], "0123456789+-.eE"))
            return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

/* "Final score: 7" without "Final score:"; a sentence with a colon in it stays as it is. */
static struct str without_prefix(struct str s)
{
    size_t n = 0;

    while (n < s.len && n < MAX_PREFIX &&
           ((s.ptr[n] >= 'a' && s.ptr[n] <= 'z') || (s.ptr[n] >= 'A' && s.ptr[n] <= 'Z') ||
            is_any(s.ptr[n], DECORATION)))
        n++;
    return n < s.len && is_any(s.ptr[n], ":=") ? str_from(s, n + 1) : s;
}

static struct str last_line(struct str s)
{
    s = strip(s, BLANKS);
    for (size_t i = s.len; i > 0; i--)
        if (s.ptr[i - 1] == '\n')
            return str_from(s, i);
    return s;
}

static struct str without_thinking(struct str s)
{
    for (size_t at = str_find(s, STR("</think>"), 0); at < s.len;
         at = str_find(s, STR("</think>"), 0))
        s = str_from(s, at + 8);
    return s;
}

/* What s says as it is, without decoration, without a prefix: whichever is_one takes first. */
typedef bool one_fn(const void *ctx, struct str s, void *out);
static bool bare(struct str s, one_fn *is_one, const void *ctx, void *out)
{
    const struct str plain = strip(s, BLANKS), undecorated = strip(s, DECORATION);

    return is_one(ctx, plain, out) || is_one(ctx, undecorated, out) ||
           is_one(ctx, strip(without_prefix(undecorated), DECORATION), out);
}

static bool is_number(const void *ctx, struct str s, void *out)
{
    (void)ctx;
    return number_of(s, out);
}

struct labels {
    size_t n;
    const struct str *labels;
};

static bool is_label(const void *ctx, struct str s, void *out)
{
    const struct labels *l = ctx;
    size_t *found = out, n_alike = 0;

    for (size_t i = 0; i < l->n; i++)
        if (str_eq(s, l->labels[i])) {
            *found = i;
            return true;
        }
    for (size_t i = 0; i < l->n; i++)
        if (s.len == l->labels[i].len && strncasecmp(s.ptr, l->labels[i].ptr, s.len) == 0) {
            *found = i;
            n_alike++;
        }
    return n_alike == 1;
}

/* ---- the verdict ---- */

static bool tell(struct error *err, const char *wanted, struct str reply)
{
    size_t n = size_min(reply.len, 200);

    while (n > 0 && n < reply.len && ((unsigned char)reply.ptr[n] & 0xc0) == 0x80)
        n--; /* not inside a character */
    return fail(err, ERR_CORRUPT, "the judge's reply has no %s for a result: \"%.*s\"%s", wanted,
                (int)n, reply.ptr, n < reply.len ? " ..." : "");
}

bool verdict_number(struct str reply, double *out, struct error *err)
{
    const struct str text = without_thinking(reply);
    json_t *object = find_object(text, "result", "score");
    bool ok;
    double x = 0;

    if (object != NULL) {
        const json_t *result = json_object_get(object, "result");

        result = result != NULL ? result : json_object_get(object, "score");
        ok = json_is_number(result) || bare(json_str(result), is_number, NULL, &x);
        if (ok && json_is_number(result))
            x = json_number_value(result);
    } else {
        ok = bare(text, is_number, NULL, &x) || bare(last_line(text), is_number, NULL, &x);
    }
    json_decref(object);
    if (!ok || !isfinite(x))
        return tell(err, "number", strip(text, BLANKS));
    *out = x;
    return true;
}

bool verdict_label(struct str reply, size_t n, const struct str *labels, size_t *out,
                   struct error *err)
{
    const struct str text = without_thinking(reply);
    const struct labels known = {n, labels};
    json_t *object = find_object(text, "result", "label");
    size_t found = 0;
    bool ok;

    if (object != NULL) {
        const json_t *result = json_object_get(object, "result");

        result = result != NULL ? result : json_object_get(object, "label");
        ok = bare(json_str(result), is_label, &known, &found);
    } else {
        ok =
            bare(text, is_label, &known, &found) || bare(last_line(text), is_label, &known, &found);
    }
    json_decref(object);
    if (!ok)
        return tell(err, "known label", strip(text, BLANKS));
    *out = found;
    return true;
}
