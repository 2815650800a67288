/*
 * tool_record.c - a file of lines, and those of a run that goes on in a table by what call they are of.
 */
#include "train/tool_record.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

struct line {
    struct tool_key key;
    struct str name, arguments, output;
    enum tool_end end;
    double seconds;
    struct line *next; /* in its place of the table */
};

struct tool_record {
    char *path; /* NULL: of a run that is done */
    struct arena arena;
    struct line **table; /* [n_table], a power of two */
    size_t n_table;
    struct buf out;
    size_t len;        /* of the file */
    size_t step_begin; /* where the step that is under way begins */
    bool begun;        /* a step of this process; before, of the one that is done again */
};

const char *tool_use_name(enum tool_use u)
{
    static const char *const names[] = {"train", "valid", "likeliest"};

    return names[u];
}

bool tool_record_is_done(const struct tool_record *r)
{
    return r->path == NULL;
}

static size_t place_of(const struct tool_record *r, const struct tool_key *k)
{
    const size_t parts[] = {(size_t)k->use, k->step, k->item, k->sample,
                            k->turn,        k->call, k->again};
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < COUNT_OF(parts); i++)
        h = (h ^ parts[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 32) & (r->n_table - 1);
}

static bool same_key(const struct tool_key *a, const struct tool_key *b)
{
    return a->use == b->use && a->step == b->step && a->item == b->item && a->sample == b->sample &&
           a->turn == b->turn && a->call == b->call && a->again == b->again;
}

/* ---- reading ---- */

static bool read_count(const json_t *v, const char *key, const char *what, size_t *out,
                       struct error *err)
{
    int64_t n;

    if (!json_get_int(v, key, what, -1, 0, INT64_C(1) << 40, &n, err))
        return false;
    if (n < 0)
        return fail(err, ERR_CORRUPT, "%s: \"%s\" is missing", what, key);
    *out = (size_t)n;
    return true;
}

static bool read_names(const json_t *v, const char *what, struct line *l, struct error *err)
{
    const struct str use = json_str(json_object_get(v, "use")),
                     end = json_str(json_object_get(v, "end"));
    bool known = false;

    for (enum tool_use u = TOOL_TRAIN; u < N_TOOL_USES; u++)
        if (str_is(use, tool_use_name(u))) {
            l->key.use = u;
            known = true;
        }
    if (!known)
        return fail(err, ERR_CORRUPT, "%s: \"use\" is none of what calls are made for", what);
    for (enum tool_end e = TOOL_SAID; e <= TOOL_LOST; e++)
        if (str_is(end, tool_end_name(e))) {
            l->end = e;
            return true;
        }
    return fail(err, ERR_CORRUPT, "%s: \"end\" is none of the ends of a call", what);
}

static bool read_line(struct tool_record *r, struct str text, const char *what, size_t from,
                      struct error *err)
{
    struct line l = {0};
    json_t *v = NULL;
    bool ok = json_parse(text, what, &v, err) && read_count(v, "step", what, &l.key.step, err) &&
              read_count(v, "item", what, &l.key.item, err) &&
              read_count(v, "again", what, &l.key.again, err) &&
              read_count(v, "sample", what, &l.key.sample, err) &&
              read_count(v, "turn", what, &l.key.turn, err) &&
              read_count(v, "call", what, &l.key.call, err) && read_names(v, what, &l, err) &&
              json_get_str(v, "name", what, &l.name, err) &&
              json_get_str(v, "arguments", what, &l.arguments, err) &&
              json_get_str(v, "output", what, &l.output, err) &&
              json_get_double(v, "seconds", what, 0, &l.seconds, err);

    if (ok && l.key.step < from)
        r->step_begin = r->len;
    if (ok && l.key.step >= from) {
        struct line *kept = ARENA_NEW(&r->arena, struct line),
                    **at = &r->table[place_of(r, &l.key)];

        *kept = l;
        kept->name = arena_str(&r->arena, l.name);
        kept->arguments = arena_str(&r->arena, l.arguments);
        kept->output = arena_str(&r->arena, l.output);
        kept->next = *at; /* the newest line of a call stands first */
        *at = kept;
    }
    json_decref(v);
    return ok;
}

static size_t count_lines(struct str text)
{
    size_t n = 0;

    for (size_t at = 0; (at = str_find(text, STR("\n"), at)) < text.len; at++)
        n++;
    return n;
}

/* Up to and with the last line break: len. */
static bool read_all(struct tool_record *r, const char *path, size_t from, struct error *err)
{
    struct file_map map;
    struct arena a = {0};
    size_t n = 0;
    bool ok = true;

    if (!file_map_open(path, &map, err))
        return false;
    const struct str text = {(const char *)map.ptr, map.len};
    r->n_table = 16;
    while (r->n_table < count_lines(text))
        r->n_table *= 2;
    r->table = ARENA_ARRAY(&r->arena, struct line *, r->n_table);
    for (size_t at = 0, end; ok && (end = str_find(text, STR("\n"), at)) < text.len; at = r->len) {
        arena_reset(&a);
        r->len = end + 1;
        ok = read_line(r, (struct str){text.ptr + at, end - at},
                       arena_printf(&a, "%s, line %zu", path, ++n), from, err);
    }
    file_map_close(&map);
    arena_release(&a);
    return ok;
}

static struct tool_record *new_record(void)
{
    struct tool_record *r = calloc(1, sizeof *r);

    if (r == NULL)
        abort(); /* a few hundred bytes */
    r->n_table = 1;
    r->table = ARENA_ARRAY(&r->arena, struct line *, 1);
    buf_init(&r->out, LIMIT_LINE_BYTES);
    return r;
}

bool tool_record_open(const char *path, bool fresh, size_t from, struct tool_record **out,
                      struct error *err)
{
    struct tool_record *r = new_record();
    bool ok = true;

    r->path = arena_text(&r->arena, str_of(path));
    if (file_exists(path))
        ok = fresh ? file_cut(path, 0, err)
                   : read_all(r, path, from, err) && file_cut(path, r->len, err);
    if (!ok) {
        tool_record_close(r);
        return fail_while(err, "reading what tools said in this run");
    }
    *out = r;
    return true;
}

bool tool_record_open_done(const char *path, struct tool_record **out, struct error *err)
{
    struct tool_record *r = new_record();

    if (file_exists(path) && !read_all(r, path, 0, err)) {
        tool_record_close(r);
        return fail_while(err, "reading what tools said in a run");
    }
    *out = r;
    return true;
}

void tool_record_close(struct tool_record *r)
{
    if (r == NULL)
        return;
    buf_release(&r->out);
    arena_release(&r->arena);
    free(r);
}

bool tool_record_find(const struct tool_record *r, const struct tool_key *k, struct tool_ask *ask)
{
    for (const struct line *l = r->table[place_of(r, k)]; l != NULL; l = l->next) {
        if (!same_key(&l->key, k))
            continue;
        if (!str_eq(l->name, ask->name) || !str_eq(l->arguments, ask->arguments))
            return false; /* another call stood there: its answer says nothing of this one */
        ask->end = l->end;
        ask->output = arena_str(ask->arena, l->output);
        ask->seconds = l->seconds;
        return true;
    }
    return false;
}

/* ---- writing ---- */

static void put_text(struct buf *b, const char *key, struct str s)
{
    buf_printf(b, ",\"%s\":", key);
    json_write_string(b, s, false);
}

bool tool_record_put(struct tool_record *r, const struct tool_key *k, const struct tool_ask *ask,
                     struct error *err)
{
    struct buf *b = &r->out;

    if (r->path == NULL)
        return true;
    buf_clear(b);
    buf_printf(b,
               "{\"step\":%zu,\"use\":\"%s\",\"item\":%zu,\"again\":%zu,\"sample\":%zu,"
               "\"turn\":%zu,\"call\":%zu",
               k->step, tool_use_name(k->use), k->item, k->again, k->sample, k->turn, k->call);
    put_text(b, "name", ask->name);
    put_text(b, "arguments", ask->arguments);
    put_text(b, "end", str_of(tool_end_name(ask->end)));
    put_text(b, "output", ask->output);
    buf_printf(b, ",\"seconds\":%.6f}\n", ask->seconds);
    if (!buf_ok(b, "what a tool said", err) || !file_append(r->path, buf_view(b), err))
        return false;
    r->len += b->len;
    return true;
}

void tool_record_begin_step(struct tool_record *r)
{
    if (r->begun)
        r->step_begin = r->len;
    r->begun = true;
}

bool tool_record_undo_step(struct tool_record *r, struct error *err)
{
    return r->path == NULL || !file_exists(r->path) || file_cut(r->path, r->step_begin, err);
}
