#include "grade/model_grader.h"

#include "base/clock.h"
#include "base/size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_QUESTIONS 3
#define DEFAULT_ASK_S 600.0
#define MAX_QUOTE ((size_t)4096) /* bytes of a reply that is shown to its judge again */

enum content_kind {
    CONTENT_TEXT,
    CONTENT_IMAGE,
    CONTENT_AUDIO,
};
struct model_content {
    enum content_kind kind;
    const struct template *text; /* or an image's address, or audio as base64 */
    const char *option;          /* an image's detail, audio's format; or NULL */
};
struct model_message {
    const char *role;
    size_t n;
    const struct model_content *contents;
};

/* ---- opening ---- */

/* One of the words in the list, which NULL ends. */
static bool is_word(const json_t *v, const char *const *words)
{
    for (; json_is_string(v) && *words != NULL; words++)
        if (str_is(json_str(v), *words))
            return true;
    return false;
}

static bool open_template(struct grader *g, const json_t *v, const char *param,
                          const struct template **out, struct error *err)
{
    if (!json_is_string(v))
        return fail_param(err, ERR_INVALID, param, "%s: expected a string, found %s", param,
                          v == NULL ? "nothing" : json_kind(v));
    return template_compile(&g->arena, json_str(v), param, out, err);
}

static bool open_image(struct grader *g, const json_t *v, const char *path,
                       struct model_content *out, struct error *err)
{
    static const char *const details[] = {"auto", "low", "high", "original", NULL};
    const json_t *detail = json_object_get(v, "detail"), *file = json_object_get(v, "file_id");
    const char *param = arena_printf(&g->arena, "%s.file_id", path);

    if (file != NULL && !json_is_null(file))
        return fail_param(err, ERR_UNSUPPORTED, param,
                          "%s: an image is given by its image_url; files cannot be named here",
                          param);
    param = arena_printf(&g->arena, "%s.detail", path);
    if (detail != NULL && !json_is_null(detail) && !is_word(detail, details))
        return fail_param(err, ERR_INVALID, param, "%s: expected auto, low or high", param);
    out->kind = CONTENT_IMAGE;
    out->option = json_string_value(detail);
    return open_template(g, json_object_get(v, "image_url"),
                         arena_printf(&g->arena, "%s.image_url", path), &out->text, err);
}

static bool open_audio(struct grader *g, const json_t *v, const char *path,
                       struct model_content *out, struct error *err)
{
    static const char *const formats[] = {"mp3", "wav", NULL};
    const json_t *audio = json_object_get(v, "input_audio"),
                 *format = json_object_get(audio, "format");
    const char *param = arena_printf(&g->arena, "%s.input_audio.format", path);

    if (!is_word(format, formats))
        return fail_param(err, ERR_INVALID, param, "%s: expected \"mp3\" or \"wav\"", param);
    out->kind = CONTENT_AUDIO;
    out->option = json_string_value(format);
    return open_template(g, json_object_get(audio, "data"),
                         arena_printf(&g->arena, "%s.input_audio.data", path), &out->text, err);
}

/* A string, or a part with a type. */
static bool open_content(struct grader *g, const json_t *v, const char *path,
                         struct model_content *out, struct error *err)
{
    const char *param = arena_printf(&g->arena, "%s.type", path);
    const json_t *type = json_object_get(v, "type");

    if (json_is_string(v))
        return open_template(g, v, path, &out->text, err);
    if (!json_is_object(v))
        return fail_param(err, ERR_INVALID, path,
                          "%s: expected a string or a part such as {\"type\":\"input_text\","
                          "\"text\":\"...\"}, found %s",
                          path, v == NULL ? "nothing" : json_kind(v));
    if (str_is(json_str(type), "input_text") || str_is(json_str(type), "output_text"))
        return open_template(g, json_object_get(v, "text"),
                             arena_printf(&g->arena, "%s.text", path), &out->text, err);
    if (str_is(json_str(type), "input_image"))
        return open_image(g, v, path, out, err);
    if (str_is(json_str(type), "input_audio"))
        return open_audio(g, v, path, out, err);
    return fail_param(err, ERR_INVALID, param,
                      "%s: expected input_text, output_text, input_image or input_audio, found %s",
                      param,
                      json_is_string(type) ? json_string_value(type)
                      : type == NULL       ? "nothing"
                                           : json_kind(type));
}

static bool open_message(struct grader *g, const json_t *v, const char *path,
                         struct model_message *out, struct error *err)
{
    static const char *const roles[] = {"user", "assistant", "system", "developer", NULL};
    const json_t *role = json_object_get(v, "role"), *type = json_object_get(v, "type"),
                 *content = json_object_get(v, "content");
    const char *param = arena_printf(&g->arena, "%s.role", path);

    if (!json_is_object(v))
        return fail_param(err, ERR_INVALID, path, "%s: expected a message, found %s", path,
                          json_kind(v));
    if (!is_word(role, roles))
        return fail_param(err, ERR_INVALID, param,
                          "%s: expected user, assistant, system or developer", param);
    param = arena_printf(&g->arena, "%s.type", path);
    if (type != NULL && !json_is_null(type) && !str_is(json_str(type), "message"))
        return fail_param(err, ERR_INVALID, param, "%s: the type of a message is \"message\"",
                          param);
    param = arena_printf(&g->arena, "%s.content", path);
    out->role = str_is(json_str(role), "developer") ? "system" : json_string_value(role);
    out->n = json_is_array(content) ? json_array_size(content) : 1;
    if (out->n == 0)
        return fail_param(err, ERR_INVALID, param, "%s: a message without content says nothing",
                          param);
    struct model_content *contents = ARENA_ARRAY(&g->arena, struct model_content, out->n);
    out->contents = contents;
    if (!json_is_array(content))
        return open_content(g, content, param, contents, err);
    for (size_t i = 0; i < out->n; i++)
        if (!open_content(g, json_array_get(content, i),
                          arena_printf(&g->arena, "%s[%zu]", param, i), &contents[i], err))
            return false;
    return true;
}

static bool open_messages(struct grader *g, struct grader_part *part, struct model_grader *out,
                          struct error *err)
{
    const json_t *input = json_object_get(part->spec, "input");
    const char *param = part_param(g, part, "input");

    if (!json_is_array(input) || json_array_size(input) == 0)
        return fail_param(err, ERR_INVALID, param, "%s: expected a list of messages, found %s",
                          param,
                          input == NULL          ? "nothing"
                          : json_is_array(input) ? "an empty one"
                                                 : json_kind(input));
    out->n_messages = json_array_size(input);
    struct model_message *messages = ARENA_ARRAY(&g->arena, struct model_message, out->n_messages);
    out->messages = messages;
    for (size_t i = 0; i < out->n_messages; i++)
        if (!open_message(g, json_array_get(input, i), arena_printf(&g->arena, "%s[%zu]", param, i),
                          &messages[i], err))
            return false;
    return true;
}

/* A number within [min, max] under key, null, or nothing. */
static bool check_number(struct grader *g, const json_t *params, const char *path, const char *key,
                         bool whole, double min, double max, struct error *err)
{
    const json_t *v = json_object_get(params, key);
    const char *param = arena_printf(&g->arena, "%s.%s", path, key);
    const double x = json_number_value(v);

    if (v == NULL || json_is_null(v))
        return true;
    if (whole ? !json_is_integer(v) : !json_is_number(v))
        return fail_param(err, ERR_INVALID, param, "%s: expected %s, found %s", param,
                          whole ? "a whole number" : "a number", json_kind(v));
    if (!(x >= min && x <= max))
        return fail_param(err, ERR_INVALID, param, "%s: %g is not within %g and %g", param, x, min,
                          max);
    return true;
}

static bool open_sampling(struct grader *g, struct grader_part *part, struct model_grader *out,
                          struct error *err)
{
    static const char *const efforts[] = {"none", "minimal", "low", "medium",
                                          "high", "xhigh",   "max", NULL};
    const json_t *params = json_object_get(part->spec, "sampling_params"),
                 *effort = json_object_get(params, "reasoning_effort");
    const char *path = part_param(g, part, "sampling_params"),
               *param = arena_printf(&g->arena, "%s.reasoning_effort", path);

    if (params == NULL || json_is_null(params))
        return true;
    if (!json_is_object(params))
        return fail_param(err, ERR_INVALID, path, "%s: expected an object, found %s", path,
                          json_kind(params));
    if (effort != NULL && !json_is_null(effort) && !is_word(effort, efforts))
        return fail_param(err, ERR_INVALID, param,
                          "%s: expected none, minimal, low, medium, high, xhigh or max", param);
    out->sampling = params;
    return check_number(g, params, path, "seed", true, -0x1p63, 0x1p63, err) &&
           check_number(g, params, path, "temperature", false, 0, 2, err) &&
           check_number(g, params, path, "top_p", false, 0, 1, err) &&
           check_number(g, params, path, "max_completions_tokens", true, 1, 0x1p31, err) &&
           check_number(g, params, path, "max_completion_tokens", true, 1, 0x1p31, err) &&
           check_number(g, params, path, "max_tokens", true, 1, 0x1p31, err);
}

bool model_grader_open(struct grader *g, struct grader_part *part, struct model_grader *out,
                       struct error *err)
{
    const struct grade_services *services = g->options.services;
    const char *param = part_param(g, part, "model");
    struct str model = STR("");

    *out = (struct model_grader){0};
    if (!part_str(g, part, "model", &model, err) || !open_messages(g, part, out, err) ||
        !open_sampling(g, part, out, err))
        return false;
    if (model.len == 0)
        return fail_param(err, ERR_INVALID, param, "%s: this names no model", param);
    out->model = json_string_value(json_object_get(part->spec, "model"));
    if (services == NULL || services->ask == NULL)
        return fail_param(err, ERR_UNSUPPORTED, param,
                          "%s: %s asks the model \"%.64s\", and no judge is set; name one with "
                          "--judge, or in hone.judges of the job",
                          param, part->type->name, out->model);
    if (services->can_ask != NULL && !services->can_ask(services->ask_ctx, out->model, err)) {
        if (err != NULL)
            snprintf(err->param, sizeof err->param, "%s", param);
        return false;
    }
    return true;
}

bool model_grader_deterministic(const struct grader_part *part)
{
    const struct model_grader *m = part->state;
    const json_t *temperature = json_object_get(m->sampling, "temperature");

    return json_is_number(temperature) && json_number_value(temperature) == 0;
}

json_t *model_grader_form(json_t *result)
{
    /* result last: the verdict follows from the steps, and not the steps from the verdict */
    json_t *form = json_pack(
        "{s:s, s:{s:s, s:b, s:{s:s, s:{s:{s:s, s:{s:s, s:{s:{s:s}, s:{s:s}}, s:[s,s], s:b}}, s:o}, "
        "s:[s,s], s:b}}}",
        "type", "json_schema", "json_schema", "name", "verdict", "strict", 1, "schema", "type",
        "object", "properties", "steps", "type", "array", "items", "type", "object", "properties",
        "description", "type", "string", "conclusion", "type", "string", "required", "description",
        "conclusion", "additionalProperties", 0, "result", result, "required", "steps", "result",
        "additionalProperties", 0);

    if (form == NULL)
        abort(); /* a few hundred bytes cannot be had */
    return form;
}

/* ---- the question ---- */

static json_t *text_value(struct str s)
{
    json_t *v = json_stringn_nocheck(s.ptr == NULL ? "" : s.ptr, s.len);

    if (v == NULL)
        abort(); /* memory is out for a text that is there already */
    return v;
}

static json_t *content_value(const struct model_content *c, struct str text)
{
    json_t *v = NULL;

    switch (c->kind) {
    case CONTENT_TEXT:
        v = json_pack("{s:s, s:o}", "type", "text", "text", text_value(text));
        break;
    case CONTENT_IMAGE:
        v = json_pack("{s:s, s:{s:o, s:s*}}", "type", "image_url", "image_url", "url",
                      text_value(text), "detail", c->option);
        break;
    case CONTENT_AUDIO:
        v = json_pack("{s:s, s:{s:o, s:s}}", "type", "input_audio", "input_audio", "data",
                      text_value(text), "format", c->option);
        break;
    }
    return v;
}

static void add_message(json_t *messages, const char *role, json_t *content)
{
    if (json_array_append_new(messages,
                              json_pack("{s:s, s:o}", "role", role, "content", content)) != 0)
        abort(); /* memory is out for a text that is there already */
}

static bool render(const struct model_message *m, struct grade_scope *s, json_t **out,
                   unsigned *flag, struct error *err)
{
    const bool plain = m->n == 1 && m->contents[0].kind == CONTENT_TEXT;
    json_t *list = plain ? NULL : json_array();

    for (size_t i = 0; i < m->n; i++) {
        struct str text;

        if (!template_render(m->contents[i].text, s, &text, flag, err)) {
            json_decref(list);
            return false;
        }
        if (plain)
            *out = text_value(text);
        else
            json_array_append_new(list, content_value(&m->contents[i], text));
    }
    if (!plain)
        *out = list;
    return true;
}

/* The messages of a first question; the caller's. */
static bool render_all(const struct model_grader *m, struct grade_scope *s, json_t **out,
                       unsigned *flag, struct error *err)
{
    json_t *messages = json_array();

    for (size_t i = 0; i < m->n_messages; i++) {
        json_t *content = NULL;

        if (!render(&m->messages[i], s, &content, flag, err)) {
            json_decref(messages);
            return false;
        }
        add_message(messages, m->messages[i].role, content);
    }
    *out = messages;
    return true;
}

/* Shows the judge what it replied, and names the form. */
static void add_correction(json_t *messages, struct str reply, const char *form, struct arena *a)
{
    size_t n = size_min(reply.len, MAX_QUOTE);

    while (n > 0 && n < reply.len && ((unsigned char)reply.ptr[n] & 0xc0) == 0x80)
        n--; /* not inside a character */
    if (n > 0)
        add_message(messages, "assistant", text_value((struct str){reply.ptr, n}));
    add_message(
        messages, "user",
        text_value(str_of(arena_printf(
            a,
            "That is not in the form asked for. Reply with one JSON object and nothing else: "
            "{\"steps\": [{\"description\": \"...\", \"conclusion\": \"...\"}], \"result\": "
            "...}, where result is %s.",
            form))));
}

static uint32_t add_counts(uint32_t a, uint32_t b)
{
    return b > UINT32_MAX - a ? UINT32_MAX : a + b;
}

static void keep_usage(struct part_result *out, const struct grade_reply *r)
{
    out->usage.prompt = add_counts(out->usage.prompt, r->usage.prompt);
    out->usage.completion = add_counts(out->usage.completion, r->usage.completion);
    out->usage.cached = add_counts(out->usage.cached, r->usage.cached);
    memcpy(out->model, r->model, sizeof out->model);
}

static void ask(struct grader *g, const struct model_grader *m, json_t *messages, struct arena *a,
                struct part_result *out)
{
    const struct grade_services *services = g->options.services;
    const double ask_s = g->options.ask_timeout_s > 0 ? g->options.ask_timeout_s : DEFAULT_ASK_S;
    struct grade_question q = {.model = m->model,
                               .response_format = m->response_format,
                               .sampling = m->sampling,
                               .deadline = clock_seconds() + ask_s,
                               .stop = g->options.stop};
    struct error err = {0}; /* of the last reply that had no verdict */

    for (int i = 0; i < MAX_QUESTIONS && clock_seconds() < q.deadline; i++) {
        struct grade_reply r = {0};
        struct error no_reply = {0};

        q.messages = messages;
        if (!services->ask(services->ask_ctx, &q, a, &r, &no_reply)) {
            if (i > 0 && no_reply.kind == ERR_TIMEOUT)
                break;
            part_fail(out, GRADE_MODEL_SERVER_ERROR, no_reply.message);
            return;
        }
        keep_usage(out, &r);
        r.text = grade_utf8(a, r.text);
        if (r.refused) {
            part_fail(out, GRADE_MODEL_REFUSAL_ERROR,
                      arena_printf(a, "the judge declined: %.*s", (int)size_min(r.text.len, 900),
                                   r.text.ptr == NULL ? "" : r.text.ptr));
            return;
        }
        if (m->verdict(m, r.text, &out->score, &err))
            return;
        add_correction(messages, r.text, m->form, a);
    }
    part_fail(out, GRADE_MODEL_PARSE_ERROR,
              err.kind == ERR_NONE ? "there was no time to ask the judge" : err.message);
}

void model_grader_run(struct grader *g, const struct grader_part *part, struct grade_scope *s,
                      struct part_result *out)
{
    const struct model_grader *m = part->state;
    json_t *messages = NULL;
    struct error err = {0};
    unsigned flag = GRADE_OTHER_ERROR;

    if (!render_all(m, s, &messages, &flag, &err)) {
        part_fail(out, flag, err.message);
        return;
    }
    ask(g, m, messages, s->arena, out);
    json_decref(messages);
}

bool model_grader_check_item(const struct grader *g, const struct grader_part *part,
                             const json_t *item, const char *what, struct error *err)
{
    const struct model_grader *m = part->state;

    (void)g;
    for (size_t i = 0; i < m->n_messages; i++)
        for (size_t j = 0; j < m->messages[i].n; j++)
            if (!template_check_item(m->messages[i].contents[j].text, item, what, err))
                return false;
    return true;
}

void model_grader_close(const struct grader_part *part)
{
    const struct model_grader *m = part->state;

    json_decref(m->response_format);
}
