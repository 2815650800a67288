/*
 * rollout_json.c - members go over as they stand; only those that are shown are parsed.
 */
#include "server/rollout_json.h"
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"

/* In the order in which they are told. */
static const struct member {
    const char *key;
    bool is_text;   /* it may be cut */
    bool whole;     /* of one alone, not in a list */
    bool of_prompt; /* it stands with the first of the group */
} members[] = {
    {.key = "prompt", .is_text = true, .of_prompt = true},
    {.key = "reference", .of_prompt = true},
    {.key = "thinking", .is_text = true},
    {.key = "answer", .is_text = true},
    {.key = "tool_calls"},
    {.key = "truncated"},
    {.key = "lost"},
    {.key = "reward"},
    {.key = "scores"},
    {.key = "shadow_scores"},
    {.key = "errors"},
    {.key = "details", .is_text = true},
    {.key = "shadow_details", .is_text = true},
    {.key = "advantage"},
    {.key = "trained"},
    {.key = "samples"},
    {.key = "tokens", .whole = true},
    {.key = "logprobs", .whole = true},
    {.key = "pieces", .whole = true},
    {.key = "injected", .whole = true},
    {.key = "tool_steps", .whole = true},
};

static json_t *parsed(struct str value)
{
    struct error ignored;
    json_t *v = NULL;

    return json_parse(value, "a member", &v, &ignored) ? v : json_null();
}

json_t *rollout_text_json(struct str value, size_t most, bool *cut)
{
    struct buf text;

    if (value.len <= most)
        return parsed(value);
    buf_init(&text, LIMIT_LINE_BYTES);
    rollout_scan_text(value, &text);
    const struct str all = buf_view(&text), first = utf8_cut(all, most);
    json_t *v = json_stringn(first.ptr, first.len);
    *cut = *cut || first.len < all.len;
    buf_release(&text);
    return v != NULL ? v : json_null();
}

static json_t *member_json(const struct member *m, struct str value, bool whole, bool *cut)
{
    if (whole)
        return parsed(value);
    if (m->is_text)
        return rollout_text_json(value, ROLLOUT_TEXT_BYTES, cut);
    if (value.len <= 8 * ROLLOUT_TEXT_BYTES)
        return parsed(value);
    *cut = true; /* half an object is none */
    return json_null();
}

/* The values of those members that are to be shown. */
static void find_members(const struct rollout_shown *s, struct str *value)
{
    struct rollout_member m;

    for (size_t of_prompt = 0; of_prompt < 2; of_prompt++) {
        const struct str line = of_prompt ? s->prompt_line : s->line;

        for (size_t at = 0; line.ptr != NULL && rollout_scan_next(line, &at, &m);)
            for (size_t i = 0; i < COUNT_OF(members); i++)
                if (members[i].of_prompt == (of_prompt == 1) && str_is(m.key, members[i].key))
                    value[i] = m.value;
    }
}

json_t *rollout_json(const struct rollout_shown *s)
{
    struct str value[COUNT_OF(members)] = {{0}};
    struct rollout_figures f = {0};
    bool cut;

    (void)rollout_scan_figures(s->line, &f); /* the index has read it before */
    cut = (f.flags & ROLLOUT_CUT) != 0;
    find_members(s, value);
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "object", "fine_tuning.job.rollout", "id",
        s->id, "split", s->valid ? "valid" : "train", "step", (json_int_t)f.step, "item",
        (json_int_t)f.item, "sample", (json_int_t)f.sample, "count", (json_int_t)f.count,
        "n_tokens", (json_int_t)f.n_tokens, "thinking_tokens", (json_int_t)f.n_thinking);

    for (size_t i = 0; i < COUNT_OF(members); i++)
        if (value[i].ptr != NULL && (s->whole || !members[i].whole))
            json_object_set_new(o, members[i].key,
                                member_json(&members[i], value[i], s->whole, &cut));
    json_object_set_new(o, "cut", json_boolean(cut));
    return o;
}
