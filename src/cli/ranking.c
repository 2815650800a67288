/*
 * ranking.c - names out of JSON, or in the order in which a text first mentions them.
 */
#include "cli/ranking.h"
#include "base/size.h"
#include "cli/item_path.h"

#include <ctype.h>
#include <stdlib.h>

static bool is_text_path(const char *path)
{
    return strcmp(path, "text") == 0 || strcmp(path, "sample.output_text") == 0;
}

bool ranking_check(const struct ranking_options *o, struct error *err)
{
    if (o->ranked == NULL)
        return true;
    if (!is_text_path(o->ranked) && !item_path_begins(o->ranked, "sample.output_json"))
        return fail_param(err, ERR_INVALID, "ranked",
                          "--ranked is \"%.100s\", text or sample.output_json.KEY was expected",
                          o->ranked);
    if (!item_path_begins(o->reference, "item"))
        return fail_param(
            err, ERR_INVALID, "reference",
            "--reference is \"%.100s\", a key of the row such as item.gene was expected",
            o->reference);
    if (is_text_path(o->ranked) && (o->among == NULL || !item_path_begins(o->among, "item")))
        return fail_param(
            err, ERR_INVALID, "among",
            "--ranked text needs --among with a list of the row, such as item.candidates");
    return true;
}

bool ranking_check_item(const struct ranking_options *o, const json_t *item, const char *what,
                        struct error *err)
{
    if (o->ranked == NULL)
        return true;
    const json_t *reference = item_path_get(item, "item", o->reference);
    if (!json_is_string(reference))
        return fail_param(err, ERR_INVALID, "reference",
                          "%s: %s is %s, which --reference reads as a text", what, o->reference,
                          reference == NULL ? "missing" : json_kind(reference));
    const json_t *among = is_text_path(o->ranked) ? item_path_get(item, "item", o->among) : NULL;
    if (is_text_path(o->ranked) && !json_is_array(among))
        return fail_param(err, ERR_INVALID, "among", "%s: %s is %s, which --among reads as a list",
                          what, o->among, among == NULL ? "missing" : json_kind(among));
    return true;
}

/* ---- names ---- */

static bool same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static bool same_name(struct str a, struct str b)
{
    a = str_trim(a, STR_SPACE);
    b = str_trim(b, STR_SPACE);
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (!same_letter(a.ptr[i], b.ptr[i]))
            return false;
    return true;
}

/* Where in a list a name stands, repetitions and empty names not counted. */
static size_t place_in(const struct str *names, size_t n, struct str name)
{
    size_t place = 0;

    for (size_t i = 0; i < n; i++) {
        bool seen = str_trim(names[i], STR_SPACE).len == 0;

        for (size_t k = 0; k < i && !seen; k++)
            seen = same_name(names[k], names[i]);
        place += !seen;
        if (!seen && same_name(names[i], name))
            return place;
    }
    return 0;
}

/* ---- out of JSON ---- */

/* The answer as JSON; where it is more than that, from the first brace to the last. A new tree, or NULL. */
static json_t *json_of(struct str answer)
{
    json_t *value = json_loadb(answer.ptr, answer.len, JSON_DECODE_ANY, NULL);
    const char *open = answer.len > 0 ? memchr(answer.ptr, '{', answer.len) : NULL;
    const char *close = answer.len > 0 ? memrchr(answer.ptr, '}', answer.len) : NULL;

    if (value == NULL && open != NULL && close > open)
        value = json_loadb(open, (size_t)(close - open) + 1, 0, NULL);
    return value;
}

static size_t place_in_json(const char *path, struct str answer, struct str name, struct arena *a)
{
    json_t *value = json_of(answer);
    const json_t *list = item_path_get(value, "sample.output_json", path);
    const size_t n = json_array_size(list);
    struct str *names = ARENA_ARRAY(a, struct str, n + 1);

    for (size_t i = 0; i < n; i++)
        names[i] = json_str(json_array_get(list, i));
    const size_t place = place_in(names, n, name);
    json_decref(value);
    return place;
}

/* ---- out of text ---- */

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || (unsigned char)c >= 0x80;
}

/* Where text first mentions name as words of its own; SIZE_MAX: nowhere. */
static size_t first_mention(struct str text, struct str name)
{
    name = str_trim(name, STR_SPACE);
    for (size_t i = 0; name.len > 0 && i + name.len <= text.len; i++) {
        size_t k = 0;

        if ((i > 0 && in_word(text.ptr[i - 1])) ||
            (i + name.len < text.len && in_word(text.ptr[i + name.len])))
            continue;
        while (k < name.len && same_letter(text.ptr[i + k], name.ptr[k]))
            k++;
        if (k == name.len)
            return i;
    }
    return SIZE_MAX;
}

/* One more than the candidates that are mentioned before it. */
static size_t place_in_text(const json_t *among, struct str answer, struct str name,
                            struct arena *a)
{
    const size_t n = json_array_size(among), at = first_mention(answer, name);
    struct str *before = ARENA_ARRAY(a, struct str, n + 1);
    size_t n_before = 0;

    if (at == SIZE_MAX)
        return 0;
    for (size_t i = 0; i < n; i++) {
        const struct str other = json_str(json_array_get(among, i));
        bool seen = same_name(other, name) || first_mention(answer, other) >= at;

        for (size_t k = 0; k < n_before && !seen; k++)
            seen = same_name(before[k], other);
        if (!seen)
            before[n_before++] = other;
    }
    return n_before + 1;
}

size_t ranking_place(const struct ranking_options *o, const json_t *item, struct str answer,
                     struct arena *a)
{
    const struct str name = json_str(item_path_get(item, "item", o->reference));

    return is_text_path(o->ranked)
               ? place_in_text(item_path_get(item, "item", o->among), answer, name, a)
               : place_in_json(o->ranked, answer, name, a);
}
