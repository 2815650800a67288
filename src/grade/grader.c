#include "grade/grader.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "base/size.h"
#include "base/utf8.h"
#include "grade/formula.h"
#include "grade/grade_cache.h"
#include "grade/grader_internal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_MODELS 256 /* names of models that replied */
#define ASKED_AT_ONCE                                                                              \
    16 /* models and endpoints: enough to keep a server's batch full, and polite */

static const struct grader_type *const types[] = {
    &grader_string_check, &grader_text_similarity, &grader_python, &grader_score_model,
    &grader_label_model,  &grader_endpoint,        NULL,
};

struct grade_options grade_defaults(void)
{
    return (struct grade_options){.timeout_s = 120,
                                  .memory_bytes = (size_t)2 << 30,
                                  .ask_timeout_s = 600,
                                  .cache_bytes = (size_t)64 << 20};
}

/* ---- what the types use ---- */

const char *part_param(struct grader *g, const struct grader_part *part, const char *key)
{
    return arena_printf(&g->arena, "%s%s", part->path, key);
}

bool part_str(struct grader *g, const struct grader_part *part, const char *key, struct str *out,
              struct error *err)
{
    const json_t *v = json_object_get(part->spec, key);
    const char *param = part_param(g, part, key);

    if (v == NULL)
        return fail_param(err, ERR_INVALID, param,
                          "%s: a %s grader needs a string here, and it is missing", param,
                          part->type->name);
    if (!json_is_string(v))
        return fail_param(err, ERR_INVALID, param, "%s: expected a string, found %s", param,
                          json_kind(v));
    *out = json_str(v);
    return true;
}

bool part_template(struct grader *g, const struct grader_part *part, const char *key,
                   const struct template **out, struct error *err)
{
    struct str text = STR("");

    return part_str(g, part, key, &text, err) &&
           template_compile(&g->arena, text, part_param(g, part, key), out, err);
}

static void write_value(struct buf *b, const char *key, const json_t *value)
{
    buf_text(b, key);
    if (value == NULL)
        buf_text(b, "null");
    else
        json_write(b, value, NULL);
}

void part_write_call(struct buf *b, struct grade_scope *s)
{
    buf_text(b, "\"sample\":{\"output_text\":");
    json_write_string(b, s->output_text, false);
    write_value(b, ",\"output_json\":", scope_json(s));
    write_value(b, ",\"output_tools\":", s->sample->output_tools);
    write_value(b, ",\"output_audio\":", NULL);
    write_value(b, ",\"choices\":", scope_choices(s));
    buf_text(b, "},\"item\":");
    if (s->item == NULL)
        buf_text(b, "{}");
    else
        json_write(b, s->item, NULL);
}

void part_fail(struct part_result *out, unsigned flag, const char *why)
{
    size_t n = strlen(why);

    out->score = 0;
    out->flags |= flag;
    if (out->details_size == 0)
        return;
    n = size_min(n, out->details_size - 1);
    while (n > 0 && ((unsigned char)why[n] & 0xc0) == 0x80)
        n--; /* not inside a character */
    memcpy(out->details, why, n);
    out->details[n] = '\0';
}

/* ---- opening ---- */

static const struct grader_type *type_of(struct str name)
{
    for (const struct grader_type *const *type = types; *type != NULL; type++)
        if (str_is(name, (*type)->name))
            return *type;
    return NULL;
}

/*
 * Whether a part's scores are kept. "deterministic" of its spec decides, else its type: a key of hone's own, which the
 * service tolerates. string_check is done before its answer's key is computed.
 */
static bool choose_cached(struct grader *g, struct grader_part *part, struct error *err)
{
    const json_t *said = json_object_get(part->spec, "deterministic");
    const char *param = part_param(g, part, "deterministic");

    if (said != NULL && !json_is_null(said) && !json_is_boolean(said))
        return fail_param(err, ERR_INVALID, param, "%s: expected true or false, found %s", param,
                          json_kind(said));
    part->is_cached = g->options.cache_bytes > 0 && part->type != &grader_string_check &&
                      (json_is_boolean(said)
                           ? json_is_true(said)
                           : part->type->deterministic == NULL || part->type->deterministic(part));
    if (part->is_cached && g->cache == NULL)
        g->cache = grade_cache_open(g->options.cache_bytes);
    return !part->is_cached || g->cache != NULL ||
           fail(err, ERR_NO_MEMORY, "no memory to keep scores in");
}

/* A new part for spec; key is its name in the map of parts called group, or NULL. */
static bool part_open(struct grader *g, const json_t *spec, const char *group, const char *key,
                      struct error *err)
{
    struct grader_part *part = &g->parts[g->n_parts];
    const char *path = key == NULL ? "" : arena_printf(&g->arena, "%s.%s.", group, key);
    const char *param = arena_printf(&g->arena, "%stype", path);
    const json_t *type = json_object_get(spec, "type"), *name = json_object_get(spec, "name");

    if (!json_is_object(spec))
        return fail_param(
            err, ERR_INVALID, key == NULL ? "grader" : arena_printf(&g->arena, "%s.%s", group, key),
            "a grader is an object with a \"type\", and %s is %s",
            key == NULL ? "this" : arena_printf(&g->arena, "%s.%s", group, key), json_kind(spec));
    *part = (struct grader_part){.path = path, .spec = spec, .type = type_of(json_str(type))};
    if (!json_is_string(type))
        return fail_param(err, ERR_INVALID, param,
                          "%s: expected a string such as \"string_check\", found %s", param,
                          type == NULL ? "nothing" : json_kind(type));
    if (str_is(json_str(type), "multi"))
        return fail_param(err, ERR_INVALID, param, "%s: a multi grader cannot stand inside another",
                          param);
    if (part->type == NULL)
        return fail_param(err, ERR_INVALID, param,
                          "%s: \"%.64s\" is no grader; there are string_check, text_similarity, "
                          "python, score_model, label_model, endpoint, multi",
                          param, json_string_value(type));
    param = arena_printf(&g->arena, "%sname", path);
    if (name != NULL && !json_is_null(name) && !json_is_string(name))
        return fail_param(err, ERR_INVALID, param, "%s: expected a string, found %s", param,
                          json_kind(name));
    if (!json_is_string(name) && key == NULL && part->type->needs_name)
        return fail_param(err, ERR_INVALID, param,
                          "%s: a %s grader needs a name, and it is missing", param,
                          part->type->name);
    part->name = key != NULL            ? key
                 : json_is_string(name) ? json_string_value(name)
                                        : part->type->name;
    if (!part->type->open(g, part, err))
        return false;
    g->n_parts++; /* from here on grader_close closes it */
    return choose_cached(g, part, err);
}

/* The members of a multi: a map, or a list of graders that carry their names (as one page of the API shows them). */
static bool members_open(struct grader *g, struct error *err)
{
    json_t *members = json_object_get(g->spec, "graders");
    const size_t n = json_is_object(members) ? json_object_size(members) : json_array_size(members);
    const char *key;
    json_t *value;
    size_t i;

    if (!json_is_object(members) && !json_is_array(members))
        return fail_param(err, ERR_INVALID, "graders",
                          "graders: expected a map of names to graders, found %s",
                          members == NULL ? "nothing" : json_kind(members));
    if (n == 0)
        return fail_param(err, ERR_INVALID, "graders",
                          "graders: a multi grader needs at least one grader");
    if (n > GRADE_MAX_PARTS)
        return fail_param(err, ERR_LIMIT, "graders",
                          "graders: %zu graders are more than a multi may have (%d)", n,
                          GRADE_MAX_PARTS);
    if (json_is_object(members)) {
        json_object_foreach(members, key,
                            value) if (!part_open(g, value, "graders", key, err)) return false;
        return true;
    }
    json_array_foreach(members, i, value)
    {
        key = json_string_value(json_object_get(value, "name"));
        if (key == NULL)
            return fail_param(err, ERR_INVALID, "graders",
                              "graders: grader %zu of the list has no name", i);
        for (size_t j = 0; j < g->n_parts; j++)
            if (str_is(str_of(g->parts[j].name), key))
                return fail_param(err, ERR_INVALID, "graders",
                                  "graders: two graders of the list are named \"%.64s\"", key);
        if (!part_open(g, value, "graders", key, err))
            return false;
    }
    return true;
}

/* What is measured beside: a map of names to graders. A multi is none, but its members can be. */
static bool shadows_open(struct grader *g, struct error *err)
{
    const char *key;
    json_t *value;

    g->n_rewarded = g->n_parts;
    if (g->shadows == NULL || json_is_null(g->shadows))
        return true;
    if (!json_is_object(g->shadows))
        return fail_param(err, ERR_INVALID, "shadow_graders",
                          "shadow_graders: expected a map of names to graders, found %s",
                          json_kind(g->shadows));
    if (json_object_size(g->shadows) > GRADE_MAX_PARTS - g->n_parts)
        return fail_param(err, ERR_LIMIT, "shadow_graders",
                          "shadow_graders: %zu beside %zu graders are more than there may be (%d)",
                          json_object_size(g->shadows), g->n_parts, GRADE_MAX_PARTS);
    json_object_foreach(g->shadows, key, value)
    {
        for (size_t i = 0; i < g->n_rewarded; i++)
            if (str_is(str_of(g->parts[i].name), key))
                return fail_param(
                    err, ERR_INVALID, "shadow_graders",
                    "shadow_graders: \"%.64s\" is the name of a grader that is rewarded", key);
        if (!part_open(g, value, "shadow_graders", key, err))
            return false;
        g->parts[g->n_parts - 1].is_shadow = true;
    }
    return true;
}

static bool multi_open(struct grader *g, struct error *err)
{
    const json_t *formula = json_object_get(g->spec, "calculate_output"),
                 *name = json_object_get(g->spec, "name");
    const char *names[GRADE_MAX_PARTS];

    if (name != NULL && !json_is_null(name) && !json_is_string(name))
        return fail_param(err, ERR_INVALID, "name", "name: expected a string, found %s",
                          json_kind(name));
    if (!members_open(g, err))
        return false;
    if (!json_is_string(formula))
        return fail_param(
            err, ERR_INVALID, "calculate_output",
            "calculate_output: expected a formula such as \"0.5 * a + 0.5 * b\", found %s",
            formula == NULL ? "nothing" : json_kind(formula));
    for (size_t i = 0; i < g->n_parts; i++)
        names[i] = g->parts[i].name;
    return formula_compile(&g->arena, json_str(formula), g->n_parts, names, &g->formula, err);
}

bool grader_read(const json_t *spec, const struct grade_options *opt, struct grader **out,
                 struct error *err)
{
    struct grader *g;
    bool ok;

    if (!json_is_object(spec))
        return fail_param(err, ERR_INVALID, "grader",
                          "a grader is an object with a \"type\", and this is %s",
                          spec == NULL ? "missing" : json_kind(spec));
    g = calloc(1, sizeof *g);
    if (g == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a grader");
    arena_init(&g->arena);
    pthread_mutex_init(&g->lock, NULL);
    g->options = opt == NULL ? grade_defaults() : *opt;
    g->spec = json_deep_copy(spec);
    g->shadows = json_deep_copy(g->options.shadows);
    g->options.shadows = NULL; /* the caller's */
    g->is_multi = str_is(json_str(json_object_get(g->spec, "type")), "multi");
    if (g->spec == NULL)
        ok = fail(err, ERR_NO_MEMORY, "no memory for a grader");
    else
        ok = (g->is_multi ? multi_open(g, err) : part_open(g, g->spec, "", NULL, err)) &&
             shadows_open(g, err);
    if (ok)
        *out = g;
    else
        grader_close(g);
    return ok;
}

static bool python_open(struct grader *g, struct error *err)
{
    size_t at_fault = SIZE_MAX;

    if (g->n_sources == 0)
        return true;
    if (python_pool_open(&g->options, g->n_sources, g->sources, &g->pool, &at_fault, err))
        return true;
    if (at_fault < g->n_sources) {
        const char *param = part_param(g, g->source_part[at_fault], "source");

        snprintf(err->param, sizeof err->param, "%s", param);
        return fail_while(err, "loading %s", param);
    }
    return false;
}

bool grader_open(const json_t *spec, const struct grade_options *opt, struct grader **out,
                 struct error *err)
{
    struct error unheard = {0};
    struct grader *g = NULL;

    err = err == NULL ? &unheard : err;
    if (!grader_read(spec, opt, &g, err))
        return false;
    assert(g != NULL);
    if (!python_open(g, err)) {
        grader_close(g);
        return false;
    }
    *out = g;
    return true;
}

void grader_close(struct grader *g)
{
    if (g == NULL)
        return;
    python_pool_close(g->pool);
    for (size_t i = 0; i < g->n_parts; i++)
        if (g->parts[i].type->close != NULL)
            g->parts[i].type->close(&g->parts[i]);
    grade_cache_close(g->cache);
    json_decref(g->spec);
    json_decref(g->shadows);
    pthread_mutex_destroy(&g->lock);
    arena_release(&g->arena);
    free(g);
}

void grader_drop_cache(struct grader *g)
{
    for (size_t i = 0; i < g->n_parts; i++)
        g->parts[i].is_cached = false;
    grade_cache_close(g->cache);
    g->cache = NULL;
}

const json_t *grader_spec(const struct grader *g)
{
    return g->spec;
}

double spec_pass_threshold(const json_t *spec)
{
    const json_t *v = json_object_get(spec, "pass_threshold");

    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

double grader_pass_threshold(const struct grader *g)
{
    return spec_pass_threshold(g->spec);
}

size_t grader_count(const struct grader *g)
{
    return g->n_parts;
}

bool grader_is_shadow(const struct grader *g, size_t i)
{
    return g->parts[i].is_shadow;
}

const char *grader_name(const struct grader *g, size_t i)
{
    return g->parts[i].name;
}

const char *grader_type(const struct grader *g, size_t i)
{
    return g->parts[i].type->name;
}

const char *grader_model(const struct grader *g, size_t i)
{
    return g->parts[i].type->asks ? json_string_value(json_object_get(g->parts[i].spec, "model"))
                                  : NULL;
}

int grader_concurrency(const struct grader *g)
{
    const int cores = parallel_threads();

    for (size_t i = 0; i < g->n_parts; i++)
        if (g->parts[i].type->asks)
            return cores > ASKED_AT_ONCE ? cores : ASKED_AT_ONCE;
    return cores;
}

double grader_may_take_s(const struct grader *g, size_t i)
{
    return g->parts[i].type->asks               ? g->options.ask_timeout_s
           : g->parts[i].type == &grader_python ? g->options.timeout_s
                                                : 0;
}

bool grader_check_item(const struct grader *g, const json_t *item, const char *what,
                       struct error *err)
{
    for (size_t i = 0; i < g->n_parts; i++) {
        const struct grader_part *part = &g->parts[i];

        struct error missing = {0};

        if (!part->type->check_item(g, part, item, what, &missing))
            return fail(err, ERR_INVALID, "%.400s, which the grader \"%.64s\" reads",
                        missing.message, part->name);
    }
    return true;
}

/* ---- grading ---- */

static bool is_blank_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (strchr(" \t\r\n", s.ptr[i]) == NULL || s.ptr[i] == '\0')
            return false;
    return true;
}

/* The first failure's cause, with the part's name in front where there are several. */
static void keep_details(struct grade_result *out, const struct grader *g, size_t i,
                         const char *details)
{
    if (out->details[0] != '\0' || details[0] == '\0')
        return;
    struct part_result whole = {.details = out->details, .details_size = sizeof out->details};
    if (!g->is_multi) {
        part_fail(&whole, 0, details);
        return;
    }
    char named[sizeof out->details + 128];
    snprintf(named, sizeof named, "%.64s: %s", g->parts[i].name, details);
    part_fail(&whole, 0, named);
}

/* The grader's own copy of a model's name: results hold a pointer and not 64 bytes a part. */
static const char *model_name(struct grader *g, const char *name)
{
    struct grader_model *m;

    pthread_mutex_lock(&g->lock);
    for (m = g->models; m != NULL && strcmp(m->name, name) != 0;)
        m = m->next;
    if (m == NULL && g->n_models < MAX_MODELS) {
        m = ARENA_NEW(&g->arena, struct grader_model);
        snprintf(m->name, sizeof m->name, "%s", name);
        m->next = g->models;
        g->models = m;
        g->n_models++;
    }
    pthread_mutex_unlock(&g->lock);
    return m == NULL ? "others" : m->name; /* a server that says another name each time */
}

static void compute_part(struct grader *g, size_t i, struct grade_scope *s, struct part_result *r)
{
    g->parts[i].type->run(g, &g->parts[i], s, r);
    if (r->flags == 0 && !isfinite(r->score))
        part_fail(r, GRADE_OTHER_ERROR, "the score is not a finite number");
}

/* True: the score was known already. */
static bool run_part(struct grader *g, size_t i, struct grade_scope *s, struct part_result *r)
{
    if (!g->parts[i].is_cached) {
        compute_part(g, i, s, r);
        return false;
    }
    if (!s->has_key)
        grade_scope_key(s);
    if (grade_cache_get(g->cache, s, i, r))
        return true;
    compute_part(g, i, s, r);
    grade_cache_put(g->cache, s, i, r);
    return false;
}

/* ---- what Python parts print ---- */

/* Part i's room: its share of the caller's, from byte used on, below a line with its name where several parts print. */
static void room_open(const struct grader *g, size_t i, const struct grade_sample *sample,
                      size_t used, struct part_result *r)
{
    const size_t share = sample->printed_size / size_max(1, g->n_sources);
    const struct str name = str_of(g->parts[i].name);
    int title = 0;

    if (sample->printed == NULL || g->parts[i].type != &grader_python || share < 128)
        return;
    r->printed = sample->printed + used;
    if (g->n_sources > 1)
        title = snprintf(r->printed, share, "%.*s:\n",
                         (int)utf8_valid((struct str){name.ptr, size_min(name.len, 64)}), name.ptr);
    r->printed += title;
    r->printed_size = share - (size_t)title - 1; /* a line's end fits behind */
    r->printed[0] = '\0';
}

/* How much of the room is used now: nothing more, not even the line with the name, where the part printed nothing. */
static size_t room_close(const struct grade_sample *sample, size_t used,
                         const struct part_result *r)
{
    size_t n = r->printed == NULL ? 0 : strlen(r->printed);

    if (n == 0) {
        if (sample->printed != NULL && sample->printed_size > 0)
            sample->printed[used] = '\0';
        return used;
    }
    if (r->printed[n - 1] != '\n') {
        r->printed[n++] = '\n';
        r->printed[n] = '\0';
    }
    return (size_t)(r->printed - sample->printed) + n;
}

static void run_parts(struct grader *g, struct grade_scope *s, struct grade_result *out)
{
    size_t printed = 0;

    for (size_t i = 0; i < g->n_parts; i++) {
        const double start = clock_seconds();
        char details[sizeof out->details] = "";
        struct part_result r = {.details = details, .details_size = sizeof details};

        room_open(g, i, s->sample, printed, &r);
        if (s->sample->on_part != NULL)
            s->sample->on_part(s->sample->on_part_ctx, i);
        out->n_asked_cache += g->parts[i].is_cached;
        out->n_cached += run_part(g, i, s, &r);
        printed = room_close(s->sample, printed, &r);
        out->part[i] = r.flags == 0 ? r.score : 0;
        out->part_flags[i] = r.flags;
        out->part_seconds[i] = clock_seconds() - start;
        out->part_usage[i] = r.usage;
        if (r.model[0] != '\0') {
            memcpy(out->model, r.model, sizeof out->model);
            out->part_model[i] = model_name(g, r.model);
        }
        if (g->parts[i].is_shadow) {
            if (out->shadow_details[0] == '\0' && details[0] != '\0')
                snprintf(out->shadow_details, sizeof out->shadow_details, "%.64s: %.440s",
                         g->parts[i].name, details);
            continue;
        }
        out->flags |= r.flags;
        keep_details(out, g, i, details);
    }
}

/* An answer that was never given is not graded: "not equal to the wrong one" must not reward silence. */
static bool says_nothing(const struct grade_sample *sample, struct grade_result *out)
{
    const bool blank =
        is_blank_text(sample->output_text) && json_array_size(sample->output_tools) == 0;

    if (!blank || (!sample->truncated && !sample->unanswered))
        return false;
    out->flags =
        sample->truncated ? GRADE_TRUNCATED_OBSERVATION_ERROR : GRADE_UNRESPONSIVE_REWARD_ERROR;
    snprintf(out->details, sizeof out->details, "%s",
             sample->truncated ? "the sample was cut off at the token limit before an answer"
                               : "the sample ended without an answer");
    return true;
}

void grader_run(struct grader *g, const json_t *item, const struct grade_sample *sample,
                struct grade_result *out)
{
    const double start = clock_seconds();
    struct arena arena = {0};
    struct grade_scope scope;
    struct error err = {0};

    *out = (struct grade_result){.n_parts = g->n_parts};
    if (sample->printed != NULL && sample->printed_size > 0)
        sample->printed[0] = '\0';
    if (says_nothing(sample, out))
        return;
    scope_init(&scope, item, sample, &arena);
    run_parts(g, &scope, out);
    /* a part that failed makes the whole 0: with "1 - penalty" a crash of the penalty must not be the best answer */
    if (out->flags != 0) {
        out->reward = 0;
    } else if (!g->is_multi) {
        out->reward = out->part[0];
    } else if (!formula_run(g->formula, out->part, &out->reward, &err)) {
        out->reward = 0;
        out->flags |= GRADE_OTHER_ERROR;
        snprintf(out->details, sizeof out->details, "%s", err.message);
    }
    scope_release(&scope);
    arena_release(&arena);
    out->seconds = clock_seconds() - start;
}
