/*
 * run_warnings.c - most events are metrics: only a line that may be a warning becomes a tree.
 */
#include "job/run_warnings.h"
#include "base/file.h"
#include "base/limits.h"
#include "text/json.h"

#define MOST_WARNINGS 200
#define MOST_BYTES ((size_t)1 << 30)

/* ---- examples ---- */

static bool take(struct str s, size_t *at, const char *text)
{
    const struct str t = str_of(text);

    if (*at > s.len || !str_starts(str_from(s, *at), t))
        return false;
    *at += t.len;
    return true;
}

static bool take_count(struct str s, size_t *at, size_t *out)
{
    const size_t from = *at;

    *out = 0;
    while (*at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9' && *at - from < 12)
        *out = 10 * *out + (size_t)(s.ptr[(*at)++] - '0');
    return *at > from;
}

/* " (1) step 7, item 3, sample 5, reward 1.00, shadow 0.20: \"...\"" from *at on. */
static bool take_example(struct str s, size_t *at, size_t number, struct run_example *out)
{
    struct run_example e = {0};
    size_t i = *at, n;

    if (!take(s, &i, " (") || !take_count(s, &i, &n) || n != number || !take(s, &i, ") step ") ||
        !take_count(s, &i, &e.step) || !take(s, &i, ", item ") || !take_count(s, &i, &e.item) ||
        !take(s, &i, ", sample ") || !take_count(s, &i, &e.sample) || !take(s, &i, ", "))
        return false;
    const size_t told = i, quote = str_find(s, STR(": \""), i);
    if (quote == s.len)
        return false;
    e.told = (struct str){s.ptr + told, quote - told};
    const size_t text = quote + 3;
    for (i = text; i < s.len && s.ptr[i] != '"'; i++)
        i += s.ptr[i] == '\\' && i + 1 < s.len;
    if (i >= s.len)
        return false;
    e.text = (struct str){s.ptr + text, i - text};
    *at = i + 1;
    *out = e;
    return true;
}

void run_warning_split(struct str message, struct run_warning *out)
{
    size_t at = str_find(message, STR(" (1) step "), 0), lead = at;

    out->n_examples = 0;
    while (at < message.len && out->n_examples < RUN_WARNING_EXAMPLES &&
           take_example(message, &at, out->n_examples + 1, &out->example[out->n_examples]))
        out->n_examples++;
    if (out->n_examples == 0)
        lead = message.len;
    out->message = (struct str){message.ptr, lead};
}

/* ---- events ---- */

struct warnings {
    struct arena *a;
    struct run_warning *list; /* [MOST_WARNINGS], oldest kind first */
    struct str *shape;
    size_t n;
};

/* Without its numbers: what differs in these alone is of one kind. */
static struct str shape_of(struct arena *a, struct str level, struct str message)
{
    char *text = arena_alloc(a, level.len + message.len + 1);
    size_t n = level.len;

    memcpy(text, level.ptr, level.len);
    for (size_t i = 0; i < message.len; i++)
        if ((message.ptr[i] < '0' || message.ptr[i] > '9') && message.ptr[i] != '.')
            text[n++] = message.ptr[i];
    return (struct str){text, n};
}

static void add_event(struct warnings *w, const json_t *event)
{
    const struct str level = json_str(json_object_get(event, "level"));
    const struct str message = json_str(json_object_get(event, "message"));
    const json_int_t told =
        json_integer_value(json_object_get(json_object_get(event, "data"), "step"));
    const size_t step = told > 0 ? (size_t)told : 0;
    struct run_warning x = {0};
    size_t i = 0;

    if ((!str_is(level, "warn") && !str_is(level, "error")) || message.len == 0)
        return;
    run_warning_split(arena_str(w->a, message), &x);
    const struct str shape = shape_of(w->a, level, x.message);
    while (i < w->n && !str_eq(w->shape[i], shape))
        i++;
    if (i == MOST_WARNINGS)
        return;
    x.first_step = i < w->n ? w->list[i].first_step : step;
    x.n = i < w->n ? w->list[i].n + 1 : 1;
    x.last_step = step;
    x.level = arena_str(w->a, level);
    x.id = arena_str(w->a, json_str(json_object_get(event, "id")));
    x.created_at = json_integer_value(json_object_get(event, "created_at"));
    w->n += i == w->n;
    w->shape[i] = shape;
    w->list[i] = x;
}

static void add_line(struct warnings *w, struct str line)
{
    struct error ignored;
    json_t *event = NULL;

    if (line.len > LIMIT_LINE_BYTES || (str_find(line, STR("\"warn\""), 0) == line.len &&
                                        str_find(line, STR("\"error\""), 0) == line.len))
        return;
    if (json_parse(line, "an event", &event, &ignored))
        add_event(w, event);
    json_decref(event);
}

/* Those that were told last come first. */
static void newest_first(struct run_warning *list, size_t n)
{
    for (size_t i = 1; i < n; i++) { /* a few kinds */
        const struct run_warning x = list[i];
        size_t k = i;

        for (; k > 0 && list[k - 1].last_step <= x.last_step; k--)
            list[k] = list[k - 1];
        list[k] = x;
    }
}

bool run_warnings_read(const char *dir, struct arena *a, struct run_warning **out, size_t *n,
                       struct error *err)
{
    struct warnings w = {.a = a,
                         .list = ARENA_ARRAY(a, struct run_warning, MOST_WARNINGS),
                         .shape = ARENA_ARRAY(a, struct str, MOST_WARNINGS)};
    const char *path = file_join(a, dir, "events.jsonl");
    struct str all = {0};

    if (file_exists(path) && !file_read(path, MOST_BYTES, a, &all, err))
        return false;
    for (size_t at = 0; at < all.len;) {
        const char *end = memchr(all.ptr + at, '\n', all.len - at);

        if (end == NULL)
            break;
        add_line(&w, (struct str){all.ptr + at, (size_t)(end - all.ptr) - at});
        at = (size_t)(end - all.ptr) + 1;
    }
    newest_first(w.list, w.n);
    *out = w.list;
    *n = w.n;
    return true;
}
