#include "grade/template.h"

#include "base/limits.h"
#include "base/size.h"

#include <stdlib.h>
#include <utf8proc.h>

#define MAX_STEPS 32 /* of one path */

enum sample_field {
    FIELD_TEXT,
    FIELD_JSON,
    FIELD_TOOLS,
    FIELD_CHOICES,
    FIELD_AUDIO,
};
static const char *const sample_fields[] = {
    [FIELD_TEXT] = "output_text", [FIELD_JSON] = "output_json",   [FIELD_TOOLS] = "output_tools",
    [FIELD_CHOICES] = "choices",  [FIELD_AUDIO] = "output_audio",
};

struct step {
    struct str key; /* a key, or, where ptr is NULL, the index */
    size_t index;
};
struct path {
    struct str source; /* as written, for messages */
    bool of_sample;
    enum sample_field field; /* of a sample; its key is not among the steps */
    size_t n_steps;
    const struct step *steps;
};
struct piece {
    struct str literal;
    const struct path *path; /* or NULL: the literal */
};
struct template
{
    size_t n_pieces;
    struct piece *pieces;
};

/* ---- the scope ---- */

struct str grade_utf8(struct arena *a, struct str text)
{
    size_t bad = 0;
    utf8proc_int32_t c;

    for (size_t i = 0; i < text.len;) {
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.ptr + i,
                                                    (utf8proc_ssize_t)(text.len - i), &c);

        bad += n <= 0;
        i += n <= 0 ? 1 : (size_t)n;
    }
    if (bad == 0)
        return text;
    char *out = arena_alloc(a, text.len + 2 * bad + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len;) {
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.ptr + i,
                                                    (utf8proc_ssize_t)(text.len - i), &c);

        memcpy(out + len, n <= 0 ? "\xef\xbf\xbd" : text.ptr + i, n <= 0 ? 3 : (size_t)n);
        len += n <= 0 ? 3 : (size_t)n;
        i += n <= 0 ? 1 : (size_t)n;
    }
    return (struct str){out, len};
}

void scope_init(struct grade_scope *s, const json_t *item, const struct grade_sample *sample,
                struct arena *a)
{
    *s = (struct grade_scope){.item = item, .sample = sample, .arena = a};
    s->output_text = grade_utf8(a, sample->output_text);
    if (s->output_text.ptr == NULL)
        s->output_text = STR("");
}

void scope_release(struct grade_scope *s)
{
    json_decref(s->choices);
    json_decref(s->parsed);
    s->choices = s->parsed = NULL;
}

const json_t *scope_choices(struct grade_scope *s)
{
    const bool calls = json_array_size(s->sample->output_tools) > 0;
    json_t *message;

    if (s->choices != NULL)
        return s->choices;
    message = json_pack("{s:s, s:o, s:n}", "role", "assistant", "content",
                        calls && s->output_text.len == 0
                            ? json_null()
                            : json_stringn_nocheck(s->output_text.ptr, s->output_text.len),
                        "refusal");
    /* a deep copy: the list may be in use by other threads, which must not see its count change */
    if (calls)
        json_object_set_new(message, "tool_calls", json_deep_copy(s->sample->output_tools));
    s->choices = json_pack("[{s:i, s:s, s:o}]", "index", 0, "finish_reason",
                           s->sample->truncated ? "length"
                           : calls              ? "tool_calls"
                                                : "stop",
                           "message", message);
    if (s->choices == NULL)
        abort(); /* a few hundred bytes cannot be had */
    return s->choices;
}

/* Most answers are words: no reader is set up to see that they do not begin as JSON does. */
static bool may_be_json(struct str text)
{
    size_t at = 0;

    while (at < text.len && strchr(" \t\r\n", text.ptr[at]) != NULL && text.ptr[at] != '\0')
        at++;
    return at < text.len && text.ptr[at] != '\0' &&
           strchr("{[\"-0123456789tfn", text.ptr[at]) != NULL;
}

const json_t *scope_json(struct grade_scope *s)
{
    if (s->sample->output_json != NULL)
        return s->sample->output_json;
    if (!s->was_parsed && may_be_json(s->output_text))
        s->parsed = json_loadb(s->output_text.ptr, s->output_text.len,
                               JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    s->was_parsed = true;
    return s->parsed;
}

/* ---- compiling ---- */

/* Takes the key at the front of *rest: up to the next dot or bracket. */
static bool take_key(struct str *rest, struct str *key)
{
    size_t n = 0;

    while (n < rest->len && rest->ptr[n] != '.' && rest->ptr[n] != '[' && rest->ptr[n] != ']')
        n++;
    *key = (struct str){rest->ptr, n};
    *rest = str_from(*rest, n);
    return n > 0;
}

/* Takes "[123]" from the front of *rest. */
static bool take_index(struct str *rest, size_t *index)
{
    size_t n = 1, value = 0;

    while (n < rest->len && rest->ptr[n] >= '0' && rest->ptr[n] <= '9' && n < 10)
        value = value * 10 + (size_t)(rest->ptr[n++] - '0');
    if (n == 1 || n >= rest->len || rest->ptr[n] != ']')
        return false;
    *rest = str_from(*rest, n + 1);
    *index = value;
    return true;
}

static bool take_steps(struct str *rest, struct step *steps, size_t *n)
{
    while (rest->len > 0) {
        struct step step = {0};

        if (*n == MAX_STEPS)
            return false;
        if (rest->ptr[0] == '.') {
            *rest = str_from(*rest, 1);
            if (!take_key(rest, &step.key))
                return false;
        } else if (rest->ptr[0] != '[' || !take_index(rest, &step.index)) {
            return false;
        }
        steps[(*n)++] = step;
    }
    return true;
}

static bool sample_field_of(struct str key, enum sample_field *field)
{
    for (size_t i = 0; i < COUNT_OF(sample_fields); i++)
        if (str_is(key, sample_fields[i])) {
            *field = (enum sample_field)i;
            return true;
        }
    return false;
}

static bool path_compile(struct arena *a, struct str source, const char *param,
                         const struct path **out, struct error *err)
{
    struct step steps[MAX_STEPS];
    struct path *p = ARENA_NEW(a, struct path);
    struct str rest = source, space;
    size_t n = 0;

    if (!take_key(&rest, &space))
        return fail_param(err, ERR_INVALID, param,
                          "%s: \"{{ " STR_FMT " }}\" names nothing; write {{ item.KEY }}", param,
                          STR_ARG(source));
    if (!str_is(space, "item") && !str_is(space, "sample"))
        return fail_param(err, ERR_INVALID, param,
                          "%s: \"{{ " STR_FMT " }}\" begins with \"" STR_FMT
                          "\"; only item and sample are known here",
                          param, STR_ARG(source), STR_ARG(space));
    if (!take_steps(&rest, steps, &n) || n == 0)
        return fail_param(err, ERR_INVALID, param,
                          "%s: \"{{ " STR_FMT
                          " }}\" is not a path such as item.a.b[0] or sample.output_text",
                          param, STR_ARG(source));
    p->source = source;
    p->of_sample = str_is(space, "sample");
    if (p->of_sample && !sample_field_of(steps[0].key, &p->field))
        return fail_param(err, ERR_INVALID, param,
                          "%s: \"{{ " STR_FMT
                          " }}\": a sample has output_text, output_json, output_tools, choices, "
                          "output_audio",
                          param, STR_ARG(source));
    p->n_steps = n - p->of_sample;
    struct step *kept = ARENA_ARRAY(a, struct step, p->n_steps + 1);
    memcpy(kept, steps + p->of_sample, p->n_steps * sizeof *steps);
    p->steps = kept;
    *out = p;
    return true;
}

bool template_compile(struct arena *a, struct str text, const char *param,
                      const struct template **out, struct error *err)
{
    struct template *t = ARENA_NEW(a, struct template);
    size_t n_open = 0;

    if (text.len > LIMIT_TEMPLATE_BYTES)
        return fail_param(err, ERR_LIMIT, param,
                          "%s: %zu bytes are more than a template may have (%zu)", param, text.len,
                          LIMIT_TEMPLATE_BYTES);
    for (size_t at = str_find(text, STR("{{"), 0); at < text.len;
         at = str_find(text, STR("{{"), at + 2))
        n_open++;
    t->pieces = ARENA_ARRAY(a, struct piece, 2 * n_open + 1);
    for (size_t at = 0; at < text.len;) {
        const size_t open = str_find(text, STR("{{"), at);

        if (open > at)
            t->pieces[t->n_pieces++].literal = (struct str){text.ptr + at, open - at};
        if (open == text.len)
            break;
        const size_t close = str_find(text, STR("}}"), open + 2);
        if (close == text.len)
            return fail_param(err, ERR_INVALID, param, "%s: the \"{{\" at byte %zu is never closed",
                              param, open);
        if (!path_compile(a,
                          str_trim((struct str){text.ptr + open + 2, close - open - 2}, " \t\n\r"),
                          param, &t->pieces[t->n_pieces++].path, err))
            return false;
        at = close + 2;
    }
    *out = t;
    return true;
}

/* ---- rendering ---- */

/* The member of *v that step names, or false. */
static bool follow(const struct step *step, const json_t **v)
{
    const json_t *next;

    if (step->key.ptr == NULL)
        next = json_array_get(*v, step->index);
    else
        next = json_is_object(*v) ? json_object_getn(*v, step->key.ptr, step->key.len) : NULL;
    if (next == NULL)
        return false;
    *v = next;
    return true;
}

/* How far v can be followed from step i on: n_steps when the path is there. */
static size_t follow_all(const struct path *p, size_t i, const json_t **v)
{
    while (i < p->n_steps && follow(&p->steps[i], v))
        i++;
    return i;
}

static bool tell_missing(const struct path *p, const char *what, size_t found, struct error *err)
{
    const char *end = p->source.ptr + p->source.len;

    if (found < p->n_steps && p->steps[found].key.ptr != NULL)
        end = p->steps[found].key.ptr + p->steps[found].key.len;
    return fail(err, ERR_INVALID, "%s has no %.*s", what, (int)(end - p->source.ptr),
                p->source.ptr);
}

static const json_t *sample_value(const struct path *p, struct grade_scope *s)
{
    switch (p->field) {
    case FIELD_JSON:
        return scope_json(s);
    case FIELD_TOOLS:
        return s->sample->output_tools;
    case FIELD_CHOICES:
        return scope_choices(s);
    case FIELD_TEXT:
    case FIELD_AUDIO:
        break;
    }
    return NULL;
}

/* A tool call's arguments are JSON in a string, and a path may go on within. The caller owns *out. */
static bool open_arguments(const struct path *p, size_t found, const json_t *v, json_t **out)
{
    struct error unheard;

    return (p->field == FIELD_TOOLS || p->field == FIELD_CHOICES) && found > 0 &&
           str_is(p->steps[found - 1].key, "arguments") && json_is_string(v) &&
           json_parse(json_str(v), "arguments", out, &unheard);
}

/* lasts: v lives as long as the scope. */
static bool value_text(const json_t *v, bool lasts, struct grade_scope *s, struct str *out,
                       unsigned *flag, struct error *err)
{
    struct buf b;
    bool ok;

    if (json_is_string(v)) {
        *out = lasts ? json_str(v) : arena_str(s->arena, json_str(v));
        return true;
    }
    buf_init(&b, LIMIT_RENDER_BYTES);
    json_write(&b, v, NULL);
    ok = buf_ok(&b, "a value in a grader's template", err);
    if (ok)
        *out = arena_str(s->arena, buf_view(&b));
    else
        *flag = GRADE_OTHER_ERROR;
    buf_release(&b);
    return ok;
}

static bool path_text(const struct path *p, struct grade_scope *s, struct str *out, unsigned *flag,
                      struct error *err)
{
    const json_t *v = p->of_sample ? sample_value(p, s) : s->item;
    const char *what = p->of_sample ? "the sample" : "the row";
    json_t *arguments = NULL;
    size_t found;
    bool ok;

    if (p->of_sample && p->field == FIELD_TEXT && p->n_steps == 0) {
        *out = s->output_text;
        return true;
    }
    *flag = GRADE_INVALID_VARIABLE_ERROR;
    if (p->of_sample && p->field == FIELD_JSON && v == NULL) {
        *flag = GRADE_SAMPLE_PARSE_ERROR;
        return fail(err, ERR_INVALID, "the grader reads " STR_FMT ", and the answer is not JSON",
                    STR_ARG(p->source));
    }
    if (v == NULL)
        return tell_missing(p, what, 0, err);
    found = follow_all(p, 0, &v);
    if (found < p->n_steps && open_arguments(p, found, v, &arguments)) {
        v = arguments;
        found = follow_all(p, found, &v);
    }
    ok = found < p->n_steps ? tell_missing(p, what, found, err)
                            : value_text(v, arguments == NULL, s, out, flag, err);
    json_decref(arguments);
    return ok;
}

bool template_render(const struct template *t, struct grade_scope *s, struct str *out,
                     unsigned *flag, struct error *err)
{
    struct buf b;
    bool ok = true;

    if (t->n_pieces == 0) {
        *out = STR("");
        return true;
    }
    if (t->n_pieces == 1 && t->pieces[0].path == NULL) {
        *out = t->pieces[0].literal;
        return true;
    }
    if (t->n_pieces == 1)
        return path_text(t->pieces[0].path, s, out, flag, err);
    buf_init(&b, LIMIT_RENDER_BYTES);
    for (size_t i = 0; ok && i < t->n_pieces; i++) {
        struct str text = t->pieces[i].literal;

        ok = t->pieces[i].path == NULL || path_text(t->pieces[i].path, s, &text, flag, err);
        if (ok)
            buf_str(&b, text);
    }
    if (ok && !buf_ok(&b, "a grader's template", err)) {
        *flag = GRADE_OTHER_ERROR;
        ok = false;
    }
    if (ok)
        *out = arena_str(s->arena, buf_view(&b));
    buf_release(&b);
    return ok;
}

bool template_check_item(const struct template *t, const json_t *item, const char *what,
                         struct error *err)
{
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct path *p = t->pieces[i].path;
        const json_t *v = item;

        if (p == NULL || p->of_sample)
            continue;
        const size_t found = follow_all(p, 0, &v);
        if (found < p->n_steps)
            return tell_missing(p, what, found, err);
    }
    return true;
}
