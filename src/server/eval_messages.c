/*
 * eval_messages.c - templates are those of graders (grade/template.h), with the row alone.
 */
#include "server/eval_messages.h"
#include "base/size.h"
#include "grade/template.h"
#include "server/response_input.h"

#define PATH "data_source.input_messages"

/* ---- checked ---- */

static bool names_sample(struct str text)
{
    for (size_t at = str_find(text, STR("{{"), 0); at < text.len;
         at = str_find(text, STR("{{"), at + 2)) {
        size_t k = at + 2;

        while (k < text.len && text.ptr[k] == ' ')
            k++;
        if (str_starts(str_from(text, k), STR("sample")))
            return true;
    }
    return false;
}

static bool check_text(struct str text, struct arena *a, const char *param, struct error *err)
{
    const struct template *t;

    if (names_sample(text))
        return fail_param(err, ERR_INVALID, param,
                          "%s: {{sample...}} is not there yet when a model is asked: {{item...}} "
                          "was expected",
                          param);
    return template_compile(a, text, param, &t, err);
}

/* The text of a part; ptr NULL: it is none. */
static struct str part_text(const json_t *part)
{
    const struct str type = json_str(json_object_get(part, "type"));
    const json_t *text = json_object_get(part, "text");

    if (json_is_string(part))
        return json_str(part);
    if ((str_is(type, "input_text") || str_is(type, "output_text") || str_is(type, "text")) &&
        json_is_string(text))
        return json_str(text);
    return (struct str){0};
}

static bool check_part(const json_t *part, struct arena *a, const char *param, struct error *err)
{
    const struct str type = json_str(json_object_get(part, "type")), text = part_text(part);

    if (text.ptr != NULL)
        return check_text(text, a, param, err);
    if (str_is(type, "input_image") || str_is(type, "input_audio"))
        return fail_param(err, ERR_UNSUPPORTED, param,
                          "%s: " STR_FMT " is not offered: models of this server read text", param,
                          STR_ARG(type));
    return fail_param(err, ERR_INVALID, param,
                      "%s: expected a text or a part {\"type\":\"input_text\",\"text\"}", param);
}

static bool check_message(const json_t *m, struct arena *a, const char *param, struct error *err)
{
    static const char *const roles[] = {"user", "assistant", "system", "developer"};
    const json_t *content = json_object_get(m, "content");
    const struct str role = json_str(json_object_get(m, "role"));
    bool known = false, ok = true;

    for (size_t i = 0; i < COUNT_OF(roles); i++)
        known = known || str_is(role, roles[i]);
    if (!known)
        return fail_param(err, ERR_INVALID, param,
                          "%s: \"role\" is none of user, assistant, system, developer", param);
    if (!json_is_array(content))
        return check_part(content, a, param, err);
    for (size_t i = 0; ok && i < json_array_size(content); i++)
        ok = check_part(json_array_get(content, i), a, param, err);
    return ok;
}

bool eval_messages_check(const json_t *input, struct error *err)
{
    const struct str type = json_str(json_object_get(input, "type"));
    const json_t *list = json_object_get(input, "template");
    struct arena a = {0};
    bool ok = true;

    if (str_is(type, "item_reference"))
        return str_starts(json_str(json_object_get(input, "item_reference")), STR("item.")) ||
               fail_param(err, ERR_INVALID, PATH ".item_reference",
                          "\"item_reference\" is a path such as \"item.input\"");
    if (!str_is(type, "template"))
        return fail_param(err, ERR_INVALID, PATH ".type",
                          "\"type\" is neither \"template\" nor \"item_reference\"");
    if (json_array_size(list) == 0)
        return fail_param(err, ERR_INVALID, PATH ".template",
                          "\"template\" is a list of one message or more");
    for (size_t i = 0; ok && i < json_array_size(list); i++)
        ok = check_message(json_array_get(list, i), &a, arena_printf(&a, PATH ".template[%zu]", i),
                           err);
    arena_release(&a);
    return ok;
}

/* ---- filled in ---- */

static bool render(struct str text, const json_t *item, struct arena *a, struct str *out,
                   struct error *err)
{
    const struct grade_sample none = {0};
    const struct template *t;
    struct grade_scope scope;
    unsigned flag;

    scope_init(&scope, item, &none, a);
    const bool ok =
        template_compile(a, text, PATH, &t, err) && template_render(t, &scope, out, &flag, err);
    scope_release(&scope);
    return ok;
}

/* One text stays a text; several become parts. */
static bool render_content(const json_t *content, const json_t *item, struct arena *a, json_t **out,
                           struct error *err)
{
    json_t *parts = json_array();
    struct str text;
    bool ok = true;

    if (!json_is_array(content)) {
        json_decref(parts);
        if (!render(part_text(content), item, a, &text, err))
            return false;
        *out = json_stringn(text.ptr != NULL ? text.ptr : "", text.len);
        return *out != NULL || fail(err, ERR_INVALID, "a message is no UTF-8");
    }
    for (size_t i = 0; ok && i < json_array_size(content); i++) {
        ok = render(part_text(json_array_get(content, i)), item, a, &text, err);
        if (ok)
            json_array_append_new(parts, json_pack("{s:s, s:s%}", "type", "text", "text",
                                                   text.ptr != NULL ? text.ptr : "", text.len));
    }
    if (ok)
        *out = parts;
    else
        json_decref(parts);
    return ok;
}

static bool fill(const json_t *list, const json_t *item, struct arena *a, json_t **out,
                 struct error *err)
{
    json_t *messages = json_array(), *content;
    bool ok = true;

    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);

        ok = render_content(json_object_get(m, "content"), item, a, &content, err);
        if (ok)
            json_array_append_new(
                messages,
                json_pack("{s:O, s:o}", "role", json_object_get(m, "role"), "content", content));
    }
    if (ok)
        *out = messages;
    else
        json_decref(messages);
    return ok;
}

static bool find(struct str path, const json_t *item, const json_t **out, struct error *err)
{
    const json_t *at = item;
    struct str rest = path;

    while (at != NULL && rest.len > 0) {
        const size_t dot = str_find(rest, STR("."), 0);

        at = json_object_getn(at, rest.ptr, dot);
        rest = str_from(rest, size_min(dot + 1, rest.len));
    }
    *out = at;
    return (at != NULL && at != item) ||
           fail_param(err, ERR_INVALID, PATH, "the row has no item." STR_FMT, STR_ARG(path));
}

static bool refer(const json_t *value, bool responses, json_t **out, struct error *err)
{
    json_t *items;

    if (json_is_string(value)) {
        *out = json_pack("[{s:s, s:O}]", "role", "user", "content", value);
        return true;
    }
    if (json_array_size(value) == 0)
        return fail_param(err, ERR_INVALID, PATH,
                          "what the row has there is %s: a text or a list of messages was expected",
                          json_kind(value));
    if (!responses) {
        *out = json_deep_copy(value);
        return true;
    }
    json_t *body = json_pack("{s:O}", "input", value);
    const bool ok = response_items(body, "row", NULL, NULL, &items, err);
    json_decref(body);
    if (ok) {
        *out = json_array();
        response_messages(items, *out);
        json_decref(items);
    }
    return ok;
}

bool eval_messages(const json_t *input, bool responses, const json_t *item, struct arena *a,
                   json_t **out, struct error *err)
{
    const json_t *reference = json_object_get(input, "item_reference"), *value;
    const struct str path =
        input == NULL ? STR("input") : str_from(json_str(reference), reference != NULL ? 5 : 0);

    if (str_is(json_str(json_object_get(input, "type")), "template"))
        return fill(json_object_get(input, "template"), item, a, out, err);
    return find(path, item, &value, err) && refer(value, responses, out, err);
}

/* ---- shown ---- */

static json_t *shown_text(const json_t *content)
{
    struct buf b;

    buf_init(&b, (size_t)64 << 20);
    if (!json_is_array(content))
        buf_str(&b, json_str(content));
    for (size_t i = 0; i < json_array_size(content); i++)
        buf_str(&b, part_text(json_array_get(content, i)));
    json_t *text = json_stringn(b.len > 0 ? b.ptr : "", b.len);
    buf_release(&b);
    return text;
}

json_t *eval_messages_shown(const json_t *messages)
{
    json_t *list = json_array(), *m;
    size_t i;

    json_array_foreach(messages, i, m) json_array_append_new(
        list, json_pack("{s:O?, s:o}", "role", json_object_get(m, "role"), "content",
                        shown_text(json_object_get(m, "content"))));
    return list;
}
