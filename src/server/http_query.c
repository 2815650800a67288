#include "server/http_query.h"

#include "base/utf8.h"

#include <strings.h>

bool http_decode(struct str in, bool plus_is_blank, struct arena *a, struct str *out)
{
    char *to = arena_alloc(a, in.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];

        if (c == '%') {
            const int high = in.len - i > 2 ? hex_digit(in.ptr[i + 1]) : -1;
            const int low = high < 0 ? -1 : hex_digit(in.ptr[i + 2]);

            if (low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        if (c == '\0')
            return false;
        to[n++] = c;
    }
    const struct str decoded = {to, n};
    if (utf8_valid(decoded) != n)
        return false;
    *out = decoded;
    return true;
}

bool http_split_target(struct str target, struct str *path, struct str *query)
{
    for (size_t i = 0; i < target.len; i++)
        if ((unsigned char)target.ptr[i] <= ' ' || target.ptr[i] == 0x7f || target.ptr[i] == '#')
            return false;
    const size_t scheme = target.len > 7 && strncasecmp(target.ptr, "http://", 7) == 0    ? 7
                          : target.len > 8 && strncasecmp(target.ptr, "https://", 8) == 0 ? 8
                                                                                          : 0;
    if (scheme > 0) {
        size_t at = scheme;

        while (at < target.len && target.ptr[at] != '/' && target.ptr[at] != '?')
            at++;
        target = str_from(target, at);
        if (at == scheme)
            return false; /* no host */
        if (target.len == 0 || target.ptr[0] == '?') {
            *path = STR("/");
            *query = target.len == 0 ? (struct str){0} : str_from(target, 1);
            return true;
        }
    }
    if (target.len == 0 || (target.ptr[0] != '/' && !str_is(target, "*")))
        return false;
    const size_t mark = str_find(target, STR("?"), 0);
    *path = (struct str){target.ptr, mark};
    *query = mark == target.len ? (struct str){0} : str_from(target, mark + 1);
    return true;
}

bool http_split_query(struct str query, size_t max, struct arena *a, struct http_pair **pairs,
                      size_t *n)
{
    size_t room = 0, count = 0;

    for (size_t i = 0; i < query.len; i++)
        room += query.ptr[i] == '&';
    if (room >= max)
        return false;
    struct http_pair *out = query.len == 0 ? NULL : ARENA_ARRAY(a, struct http_pair, room + 1);
    for (size_t at = 0; at < query.len;) {
        const size_t end = str_find(query, STR("&"), at);
        const struct str pair = {query.ptr + at, end - at};
        const size_t equals = str_find(pair, STR("="), 0);

        at = end + 1;
        if (pair.len == 0)
            continue;
        struct http_pair *p = &out[count];
        const struct str value =
            equals == pair.len ? STR("") : str_from(pair, equals + 1); /* "flag" is "flag=" */
        if (!http_decode((struct str){pair.ptr, equals}, true, a, &p->name) ||
            !http_decode(value, true, a, &p->value))
            return false;
        count++;
    }
    *pairs = out;
    *n = count;
    return true;
}

bool http_is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL)))
            return false;
    }
    return s.len > 0;
}

bool http_read_length(struct str s, uint64_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < s.len; i++) {
        const unsigned digit = (unsigned)(s.ptr[i] - '0');

        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (s.len == 0)
        return false;
    *out = value;
    return true;
}

static struct str find_pair(const struct http_pair *pairs, size_t n, const char *name,
                            bool any_case)
{
    const size_t len = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (pairs[i].name.len == len && (any_case ? strncasecmp(pairs[i].name.ptr, name, len)
                                                  : memcmp(pairs[i].name.ptr, name, len)) == 0)
            return pairs[i].value;
    return (struct str){0};
}

struct str http_header(const struct http_exchange *x, const char *name)
{
    return find_pair(x->headers, x->n_headers, name, true);
}

struct str http_query(const struct http_exchange *x, const char *name)
{
    return find_pair(x->query, x->n_query, name, false);
}
