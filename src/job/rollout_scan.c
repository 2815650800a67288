/*
 * rollout_scan.c - one pass over the bytes, which stops where a member does.
 */
#include "job/rollout_scan.h"
#include "base/size.h"
#include "base/utf8.h"
#include "grade/grader.h"

#include <math.h>
#include <stdlib.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t past_blanks(struct str s, size_t at)
{
    while (at < s.len && is_blank(s.ptr[at]))
        at++;
    return at;
}

/* Past the text that begins with the quote at `at`; 0 where it does not end. */
static size_t past_text(struct str s, size_t at)
{
    for (at++; at < s.len; at++) {
        if (s.ptr[at] == '\\')
            at++;
        else if (s.ptr[at] == '"')
            return at + 1;
    }
    return 0;
}

/* Past a list or an object; *n: its values. 0 where it does not end. */
static size_t past_nested(struct str s, size_t at, size_t *n)
{
    const size_t inner = past_blanks(s, at + 1);
    size_t depth = 0, commas = 0;

    while (at < s.len) {
        switch (s.ptr[at]) {
        case '"':
            at = past_text(s, at);
            if (at == 0)
                return 0;
            continue;
        case '[':
        case '{':
            depth++;
            break;
        case ']':
        case '}':
            if (--depth == 0) {
                *n = at == inner ? 0 : commas + 1;
                return at + 1;
            }
            break;
        case ',':
            commas += depth == 1;
            break;
        default:
            break;
        }
        at++;
    }
    return 0;
}

static size_t past_value(struct str s, size_t at, size_t *n)
{
    *n = 0;
    if (at >= s.len)
        return 0;
    if (s.ptr[at] == '"')
        return past_text(s, at);
    if (s.ptr[at] == '[' || s.ptr[at] == '{')
        return past_nested(s, at, n);
    const size_t from = at;
    while (at < s.len && s.ptr[at] != ',' && s.ptr[at] != '}' && s.ptr[at] != ']' &&
           !is_blank(s.ptr[at]))
        at++;
    return at > from ? at : 0;
}

bool rollout_scan_next(struct str line, size_t *at, struct rollout_member *out)
{
    size_t i = past_blanks(line, *at);

    if (i >= line.len || line.ptr[i] != (*at == 0 ? '{' : ','))
        return false;
    i = past_blanks(line, i + 1);
    if (i >= line.len || line.ptr[i] != '"')
        return false;
    const size_t key = i + 1, key_end = past_text(line, i);
    if (key_end == 0)
        return false;
    i = past_blanks(line, key_end);
    if (i >= line.len || line.ptr[i] != ':')
        return false;
    const size_t value = past_blanks(line, i + 1);
    const size_t end = past_value(line, value, &out->n);
    if (end == 0)
        return false;
    out->key = (struct str){line.ptr + key, key_end - 1 - key};
    out->value = (struct str){line.ptr + value, end - value};
    *at = end;
    return true;
}

struct str rollout_scan_find(struct str line, const char *key)
{
    struct rollout_member m;

    for (size_t at = 0; rollout_scan_next(line, &at, &m);)
        if (str_is(m.key, key))
            return m.value;
    return (struct str){0};
}

/* ---- texts ---- */

static bool is_text(struct str value)
{
    return value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
}

static bool four_digits(struct str s, size_t at, uint32_t *out)
{
    uint32_t x = 0;

    for (size_t i = at; i < at + 4; i++) {
        const int d = i < s.len ? hex_digit(s.ptr[i]) : -1;

        if (d < 0)
            return false;
        x = x << 4 | (uint32_t)d;
    }
    *out = x;
    return true;
}

/* What stands behind a backslash at s.ptr[at]; past it, or 0. */
static size_t put_escape(struct str s, size_t at, struct buf *out)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char utf8[4];
    uint32_t c, low;

    if (at >= s.len)
        return 0;
    const char *name = s.ptr[at] != '\0' ? strchr(names, s.ptr[at]) : NULL;
    if (name != NULL) {
        buf_char(out, meant[name - names]);
        return at + 1;
    }
    if (s.ptr[at] != 'u' || !four_digits(s, at + 1, &c))
        return 0;
    at += 5;
    if (c >= 0xD800 && c < 0xDC00) {
        if (at + 6 > s.len || s.ptr[at] != '\\' || s.ptr[at + 1] != 'u' ||
            !four_digits(s, at + 2, &low) || low < 0xDC00 || low > 0xDFFF)
            return 0;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        at += 6;
    } else if (c >= 0xDC00 && c < 0xE000) {
        return 0;
    }
    buf_put(out, utf8, utf8_write(c, utf8));
    return at;
}

void rollout_scan_text(struct str value, struct buf *out)
{
    if (!is_text(value))
        return;
    const struct str s = {value.ptr + 1, value.len - 2};
    for (size_t at = 0; at < s.len;) {
        const char *slash = memchr(s.ptr + at, '\\', s.len - at);
        const size_t plain = slash == NULL ? s.len - at : (size_t)(slash - s.ptr) - at;

        buf_put(out, s.ptr + at, plain);
        at += plain;
        if (slash == NULL || (at = put_escape(s, at + 1, out)) == 0)
            return;
    }
}

static unsigned char lower(char c)
{
    const unsigned char u = (unsigned char)c;

    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

static bool contains(struct str s, struct str needle)
{
    if (needle.len == 0)
        return true;
    if (needle.len > s.len)
        return false;
    const unsigned char first = lower(needle.ptr[0]);
    for (size_t i = 0; i + needle.len <= s.len; i++) {
        size_t k = 1;

        if (lower(s.ptr[i]) != first)
            continue;
        while (k < needle.len && lower(s.ptr[i + k]) == lower(needle.ptr[k]))
            k++;
        if (k == needle.len)
            return true;
    }
    return false;
}

bool rollout_scan_says(struct str value, struct str needle, struct buf *scratch)
{
    if (!is_text(value))
        return false;
    if (memchr(value.ptr, '\\', value.len) == NULL)
        return contains((struct str){value.ptr + 1, value.len - 2}, needle);
    buf_clear(scratch);
    rollout_scan_text(value, scratch);
    return contains(buf_view(scratch), needle);
}

/* Letters, digits and blanks are never escaped by us; others need the texts themselves. */
bool rollout_scan_may_say(struct str line, struct str needle)
{
    for (size_t i = 0; i < needle.len; i++)
        if (needle.ptr[i] != ' ' && (lower(needle.ptr[i]) < 'a' || lower(needle.ptr[i]) > 'z') &&
            (needle.ptr[i] < '0' || needle.ptr[i] > '9'))
            return true;
    return contains(line, needle);
}

/* ---- figures ---- */

static bool read_count(struct str v, uint32_t *out)
{
    uint64_t x = 0;

    if (v.len == 0 || v.len > 10)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] < '0' || v.ptr[i] > '9')
            return false;
        x = 10 * x + (uint64_t)(v.ptr[i] - '0');
    }
    if (x > UINT32_MAX)
        return false;
    *out = (uint32_t)x;
    return true;
}

/* A number, 0 where it is none: what is kept can be sorted. */
static float read_number(struct str v)
{
    char text[64], *end;

    if (v.len == 0 || v.len >= sizeof text)
        return 0;
    memcpy(text, v.ptr, v.len);
    text[v.len] = '\0';
    const float x = strtof(text, &end);
    return *end == '\0' && isfinite(x) ? x : 0;
}

static uint16_t read_errors(struct str v)
{
    uint16_t bits = 0;

    if (v.len <= 2)
        return 0;
    for (size_t i = 0; i < 16 && grade_flag_name(i) != NULL; i++) {
        const char *name = grade_flag_name(i);
        const size_t n = strlen(name);
        size_t at = str_find(v, str_of(name), 0);

        for (; at < v.len; at = str_find(v, str_of(name), at + 1))
            if (at > 0 && at + n < v.len && v.ptr[at - 1] == '"' && v.ptr[at + n] == '"')
                bits |= (uint16_t)(1u << i);
    }
    return bits;
}

static bool says_nothing(struct str v)
{
    for (size_t i = 1; i + 1 < v.len; i++) {
        if (v.ptr[i] == '\\' && i + 2 < v.len && strchr("nrt", v.ptr[i + 1]) != NULL)
            i++;
        else if (v.ptr[i] != ' ')
            return false;
    }
    return true;
}

enum { HAS_STEP = 1, HAS_ITEM = 2, HAS_SAMPLE = 4, HAS_REWARD = 8, HAS_ALL = 15 };

/* The members that are whole numbers; what they are among HAS_... */
static unsigned take_count(const struct rollout_member *m, struct rollout_figures *f)
{
    const struct {
        const char *key;
        uint32_t *to;
        unsigned has;
    } counts[] = {{"step", &f->step, HAS_STEP},
                  {"item", &f->item, HAS_ITEM},
                  {"sample", &f->sample, HAS_SAMPLE},
                  {"count", &f->count, 0},
                  {"thinking_tokens", &f->n_thinking, 0}};

    for (size_t i = 0; i < COUNT_OF(counts); i++)
        if (str_is(m->key, counts[i].key) && read_count(m->value, counts[i].to))
            return counts[i].has;
    return 0;
}

static void take_flags(const struct rollout_member *m, struct rollout_figures *f)
{
    const bool on = str_is(m->value, "true");

    if (str_is(m->key, "truncated"))
        f->flags |= on ? ROLLOUT_TRUNCATED : 0;
    else if (str_is(m->key, "trained"))
        f->flags |= on ? ROLLOUT_TRAINED : 0;
    else if (str_is(m->key, "cut"))
        f->flags |= on ? ROLLOUT_CUT : 0;
    else if (str_is(m->key, "lost"))
        f->flags |= ROLLOUT_LOST;
    else if (str_is(m->key, "prompt"))
        f->flags |= ROLLOUT_PROMPT;
    else if (str_is(m->key, "answer"))
        f->flags |= says_nothing(m->value) ? ROLLOUT_EMPTY : 0;
}

bool rollout_scan_figures(struct str line, struct rollout_figures *out)
{
    struct rollout_figures f = {.count = 1};
    struct rollout_member m;
    unsigned has = 0;

    for (size_t at = 0; rollout_scan_next(line, &at, &m);) {
        if (str_is(m.key, "tokens"))
            f.n_tokens = (uint32_t)size_min(m.n, UINT32_MAX);
        else if (str_is(m.key, "reward")) {
            f.reward = read_number(m.value);
            has |= HAS_REWARD;
        } else if (str_is(m.key, "advantage"))
            f.advantage = read_number(m.value);
        else if (str_is(m.key, "errors"))
            f.errors = read_errors(m.value);
        else {
            has |= take_count(&m, &f);
            take_flags(&m, &f);
        }
    }
    if (has != HAS_ALL)
        return false;
    f.count = f.count == 0 ? 1 : f.count;
    *out = f;
    return true;
}
