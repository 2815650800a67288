/*
 * normalizer.c - utf8proc decomposes and composes single characters; runs that need nothing are copied past it.
 *
 * utf8proc_map would do in one call, but it orders combining marks by exchanging neighbours, which takes hours for a
 * megabyte of alternating marks, and it takes the whole text as 32-bit numbers at once. So the text is cut in front of
 * characters that neither change nor join with what stands before them.
 */
#include "text/normalizer.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/characters.h"

#include <stdlib.h>
#include <utf8proc.h>

#define MAX_EXPANSION                                                                              \
    32 /* code points of one character's decomposition; the longest, U+FDFA, has 18 */

/*
 * Characters that came after Unicode 9, whose tables the reference has, and that have a decomposition or a combining class by
 * now, or are half of one that has (U+11930): to it they are letters like others. By comparing it with utf8proc 2.8,
 * character by character.
 */
static const struct char_range young[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},
    {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785}, {0x10787, 0x107B0},
    {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x11938, 0x11938},
    {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};

static bool is_young(int32_t c)
{
    return c >= 0x7FD && char_in((uint32_t)c, young, COUNT_OF(young));
}

static bool is_compatible(enum normal_form f)
{
    return f == NORMAL_NFKC || f == NORMAL_NFKD;
}

static bool is_composed(enum normal_form f)
{
    return f == NORMAL_NFC || f == NORMAL_NFKC;
}

enum normal_form normal_form_then(enum normal_form first, enum normal_form second)
{
    if (first == NORMAL_NONE || second == NORMAL_NONE)
        return first == NORMAL_NONE ? second : first;
    if (is_compatible(first) || is_compatible(second))
        return is_composed(second) ? NORMAL_NFKC : NORMAL_NFKD;
    return second;
}

void normalizer_release(struct normalizer *n)
{
    free(n->text);
    free(n->points);
    free(n->sorted);
    *n = (struct normalizer){0};
}

/* Does c stay as it is, and apart from what stands before it? Not all such characters are known here. */
static bool is_safe(enum normal_form f, uint32_t c)
{
    /* U+11A7 is where Hangul's trailing consonants are counted from, and none itself; utf8proc 2.8 loses it */
    return c < (f == NORMAL_NFC ? 0x300u : f == NORMAL_NFD ? 0xC0u : 0xA0u) || c == 0x11A7;
}

static bool text_put(struct normalizer *n, const char *p, size_t len, struct error *err)
{
    if (len > n->text_cap - n->text_len) {
        const size_t cap = size_max(n->text_len + len, n->text_cap + n->text_cap / 2 + 256);
        char *more = realloc(n->text, cap);

        if (more == NULL)
            return fail(err, ERR_NO_MEMORY, "no memory for %zu bytes of normalised text", cap);
        n->text = more;
        n->text_cap = cap;
    }
    if (len > 0)
        memcpy(n->text + n->text_len, p, len);
    n->text_len += len;
    return true;
}

static bool points_grow(struct normalizer *n, size_t need, struct error *err)
{
    if (need <= n->points_cap)
        return true;
    const size_t cap = size_max(need, n->points_cap * 2 + 256);
    int32_t *points = realloc(n->points, cap * sizeof *points);
    int32_t *sorted = points == NULL ? NULL : realloc(n->sorted, cap * sizeof *sorted);

    if (points != NULL)
        n->points = points;
    if (sorted == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to normalise %zu characters", cap);
    n->sorted = sorted;
    n->points_cap = cap;
    return true;
}

static unsigned class_of(int32_t c)
{
    return c < 0x300 || is_young(c) ? 0
                                    : (unsigned)utf8proc_get_property(c)->combining_class & 0xFF;
}

/* points[from..to) by class, equal ones staying in order. */
static void sort_by_class(struct normalizer *n, size_t from, size_t to)
{
    size_t at[257] = {0};

    for (size_t i = from; i < to; i++)
        at[class_of(n->points[i]) + 1]++;
    for (size_t c = 1; c < 257; c++)
        at[c] += at[c - 1];
    for (size_t i = from; i < to; i++)
        n->sorted[at[class_of(n->points[i])]++] = n->points[i];
    memcpy(n->points + from, n->sorted, (to - from) * sizeof *n->points);
}

/* The canonical ordering: each run of characters of a class other than 0 is sorted by it (Unicode 3.11, D109). */
static void order_marks(struct normalizer *n, size_t count)
{
    for (size_t from = 0, to; from < count; from = to) {
        bool in_order = true;

        to = from + 1;
        if (class_of(n->points[from]) == 0)
            continue;
        for (; to < count && class_of(n->points[to]) != 0; to++)
            in_order = in_order && class_of(n->points[to - 1]) <= class_of(n->points[to]);
        if (!in_order)
            sort_by_class(n, from, to);
    }
}

/* Nothing joins across a young character: points[0..count) is composed between them. Returns how many are left. */
static size_t compose(int32_t *points, size_t count)
{
    size_t done = 0;

    for (size_t from = 0, to; from < count; from = to) {
        for (to = from; to < count && !is_young(points[to]); to++)
            ;
        const utf8proc_ssize_t k =
            utf8proc_normalize_utf32(points + from, (utf8proc_ssize_t)(to - from),
                                     (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
        const size_t n = k < 0 ? to - from : (size_t)k;

        memmove(points + done, points + from, n * sizeof *points);
        done += n;
        if (to < count)
            points[done++] = points[to++];
    }
    return done;
}

/* s is cut where nothing joins across. */
static bool put_normalized(struct normalizer *n, enum normal_form f, struct str s,
                           struct error *err)
{
    const utf8proc_option_t how = (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
                                                      (is_compatible(f) ? UTF8PROC_COMPAT : 0));
    size_t count = 0;

    for (size_t at = 0; at < s.len;) {
        const int32_t c = (int32_t)utf8_next(s, &at);

        if (!points_grow(n, count + MAX_EXPANSION, err))
            return false;
        const utf8proc_ssize_t k =
            is_young(c) ? -1
                        : utf8proc_decompose_char(c, n->points + count, MAX_EXPANSION, how, NULL);
        if (k < 0 || k > MAX_EXPANSION)
            n->points[count++] = c;
        else
            count += (size_t)k;
    }
    order_marks(n, count);
    if (is_composed(f))
        count = compose(n->points, count);
    for (size_t i = 0; i < count; i++) {
        char bytes[4];

        if (!text_put(n, bytes, utf8_write((uint32_t)n->points[i], bytes), err))
            return false;
    }
    return true;
}

bool normalize(struct normalizer *n, enum normal_form form, struct str in, struct str *out,
               struct error *err)
{
    size_t at = 0, last = 0; /* last: where the last safe character before at begins */
    size_t done = 0;         /* in[0..done) has been written to n->text */

    n->text_len = 0;
    while (form != NORMAL_NONE && at < in.len) {
        size_t next = at;

        if (is_safe(form, utf8_next(in, &next))) {
            last = at;
            at = next;
            continue;
        }
        for (at = next; at < in.len; at = next) {
            next = at;
            if (is_safe(form, utf8_next(in, &next)))
                break;
        }
        /* what stands before last is as it was; last itself may take a mark from what follows it */
        if (!text_put(n, in.ptr + done, size_max(last, done) - done, err) ||
            !put_normalized(n, form,
                            (struct str){in.ptr + size_max(last, done), at - size_max(last, done)},
                            err))
            return false;
        done = last = at;
    }
    if (done == 0) {
        *out = in;
        return true;
    }
    if (!text_put(n, in.ptr + done, in.len - done, err))
        return false;
    *out = (struct str){n->text, n->text_len};
    return true;
}
