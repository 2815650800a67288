/*
 * rollout_line.c - written by hand rather than through a tree: there are thousands of numbers a step.
 */
#include "job/rollout_line.h"
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The shortest digits that read back to the same 32-bit number. */
static void write_float(struct buf *b, float x)
{
    char text[32];

    if (!isfinite(x)) {
        buf_text(b, "null");
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x) /* NOLINT: equal bits are what is asked for */
            break;
    }
    buf_text(b, text);
    if (text[strcspn(text, ".e")] == '\0')
        buf_text(b, ".0");
}

/* How many bytes at the end of s begin a character that is not complete. */
static size_t incomplete_tail(struct str s)
{
    for (size_t back = 1; back <= 3 && back <= s.len; back++) {
        const unsigned char c = (unsigned char)s.ptr[s.len - back];

        if ((c & 0xC0) == 0x80)
            continue;
        return (c >= 0xF0 && back < 4) || (c >= 0xE0 && c < 0xF0 && back < 3) ||
                       (c >= 0xC0 && c < 0xE0 && back < 2)
                   ? back
                   : 0;
    }
    return 0;
}

/* The text of each token; a character made by several tokens stands with the last of them. */
static void write_pieces(struct buf *b, const struct rollout *r,
                         const struct rollout_tokens *tokens)
{
    struct buf held;

    buf_init(&held, LIMIT_LINE_BYTES);
    buf_text(b, ",\"pieces\":[");
    for (size_t i = 0; i < r->n_tokens; i++) {
        buf_str(&held, tokens->text(tokens->ctx, r->tokens[i]));
        const struct str all = buf_view(&held);
        const size_t wait = i + 1 < r->n_tokens ? incomplete_tail(all) : 0;
        char rest[4];

        if (i > 0)
            buf_char(b, ',');
        json_write_string(b, (struct str){all.ptr, all.len - wait}, false);
        memcpy(rest, all.ptr + all.len - wait, wait);
        buf_clear(&held);
        buf_put(&held, rest, wait);
    }
    buf_char(b, ']');
    buf_release(&held);
}

static void write_first_of_group(struct buf *b, const struct rollout *r)
{
    json_t *value;
    const char *key;
    bool first = true;

    buf_text(b, ",\"prompt\":");
    json_write_string(b, r->prompt, false);
    if (!json_is_object(r->row))
        return;
    buf_text(b, ",\"reference\":{");
    json_object_foreach((json_t *)(uintptr_t)r->row, key, value)
    {
        if (strcmp(key, "messages") == 0 || strcmp(key, "tools") == 0)
            continue;
        if (!first)
            buf_char(b, ',');
        first = false;
        json_write_string(b, str_of(key), false);
        buf_char(b, ':');
        json_write(b, value, NULL);
    }
    buf_char(b, '}');
}

static bool is_shadow(const struct metrics_graders *graders, size_t i)
{
    return graders->shadow != NULL && graders->shadow[i];
}

/* Of the rewarded graders, or of the shadows: there a failure is no 0. */
static bool write_scores(struct buf *b, const char *key, bool shadows, const struct grade_result *g,
                         const struct metrics_graders *graders)
{
    bool first = true;

    for (size_t i = 0; i < g->n_parts && i < graders->n; i++) {
        if (is_shadow(graders, i) != shadows)
            continue;
        if (first)
            buf_printf(b, ",\"%s\":{", key);
        else
            buf_char(b, ',');
        first = false;
        json_write_string(b, str_of(graders->name[i]), false);
        buf_char(b, ':');
        if (shadows && !grade_part_measured(g, i))
            buf_text(b, "null");
        else
            json_write_double(b, g->part[i]);
    }
    if (!first)
        buf_char(b, '}');
    return !first;
}

static void write_grade(struct buf *b, const struct grade_result *g,
                        const struct metrics_graders *graders)
{
    bool first = true;

    buf_text(b, ",\"reward\":");
    json_write_double(b, g->reward);
    if (!write_scores(b, "scores", false, g, graders))
        buf_text(b, ",\"scores\":{}");
    (void)write_scores(b, "shadow_scores", true, g, graders);
    buf_text(b, ",\"errors\":[");
    for (size_t bit = 0; grade_flag_name(bit) != NULL; bit++) {
        if (((g->flags >> bit) & 1) == 0)
            continue;
        buf_printf(b, "%s\"%s\"", first ? "" : ",", grade_flag_name(bit));
        first = false;
    }
    buf_char(b, ']');
    if (g->details[0] != '\0') {
        buf_text(b, ",\"details\":");
        json_write_string(b, (struct str){g->details, strnlen(g->details, sizeof g->details)},
                          false);
    }
    if (g->shadow_details[0] != '\0') {
        buf_text(b, ",\"shadow_details\":");
        json_write_string(b, str_of(g->shadow_details), false);
    }
}

/* Which answer it is; the line begins. */
static void write_head(struct buf *b, const struct rollout *r)
{
    buf_printf(b, "{\"step\":%zu,\"item\":%zu,\"sample\":%zu", r->step, r->item, r->sample);
    if (r->n_alike > 1) {
        buf_printf(b, ",\"count\":%zu,\"samples\":[", r->n_alike);
        for (size_t i = 0; i < r->n_alike; i++)
            buf_printf(b, "%s%zu", i > 0 ? "," : "", r->alike[i]);
        buf_char(b, ']');
    }
}

static void write_said(struct buf *b, const struct rollout *r, struct str thinking,
                       struct str answer)
{
    buf_printf(b, ",\"thinking_tokens\":%zu,\"thinking\":", r->n_thinking_tokens);
    json_write_string(b, thinking, false);
    buf_text(b, ",\"answer\":");
    json_write_string(b, answer, false);
}

/* What became of it; the line ends. */
static void write_end(struct buf *b, const struct rollout *r, const struct metrics_graders *graders)
{
    buf_printf(b, ",\"truncated\":%s", r->truncated ? "true" : "false");
    write_grade(b, r->grade, graders);
    buf_text(b, ",\"advantage\":");
    write_float(b, r->advantage);
    buf_printf(b, ",\"trained\":%s}\n", r->trained ? "true" : "false");
}

/* Where tokens stand that the model did not draw, as [first, n]. */
static void write_injected(struct buf *b, const struct rollout *r)
{
    const char *before = "";

    buf_text(b, ",\"injected\":[");
    for (size_t i = 0, n; i < r->n_tokens; i += n) {
        for (n = 1; i + n < r->n_tokens && r->injected[i + n] == r->injected[i];)
            n++;
        if (!r->injected[i])
            continue;
        buf_printf(b, "%s[%zu,%zu]", before, i, n);
        before = ",";
    }
    buf_char(b, ']');
}

/* What tools were to the answer. */
static void write_tools(struct buf *b, const struct rollout *r)
{
    if (r->tool_calls != NULL) {
        buf_text(b, ",\"tool_calls\":");
        json_write(b, r->tool_calls, NULL);
    }
    if (r->tool_steps != NULL) {
        buf_text(b, ",\"tool_steps\":");
        json_write(b, r->tool_steps, NULL);
        write_injected(b, r);
    }
    if (r->lost != NULL) {
        buf_text(b, ",\"lost\":");
        json_write_string(b, str_of(r->lost), false);
    }
}

static void write_whole(struct buf *b, const struct rollout *r,
                        const struct metrics_graders *graders, const struct rollout_tokens *tokens)
{
    write_head(b, r);
    if (r->sample == 0)
        write_first_of_group(b, r);
    buf_text(b, ",\"tokens\":[");
    for (size_t i = 0; i < r->n_tokens; i++)
        buf_printf(b, "%s%d", i > 0 ? "," : "", (int)r->tokens[i]);
    buf_text(b, "],\"logprobs\":[");
    for (size_t i = 0; i < r->n_tokens; i++) {
        if (i > 0)
            buf_char(b, ',');
        write_float(b, r->logprobs[i]);
    }
    buf_char(b, ']');
    if (tokens->text != NULL)
        write_pieces(b, r, tokens);
    write_said(b, r, r->thinking, r->answer);
    write_tools(b, r);
    write_end(b, r, graders);
}

#define CUT_BYTES ((size_t)64 << 10) /* of a text that is not kept whole */

static void write_cut(struct buf *b, const struct rollout *r, const struct metrics_graders *graders)
{
    write_head(b, r);
    buf_text(b, ",\"cut\":true");
    if (r->sample == 0) {
        buf_text(b, ",\"prompt\":");
        json_write_string(b, utf8_cut(r->prompt, CUT_BYTES), false);
    }
    buf_text(b, ",\"tokens\":[],\"logprobs\":[]");
    write_said(b, r, utf8_cut(r->thinking, CUT_BYTES), utf8_cut(r->answer, CUT_BYTES));
    write_end(b, r, graders);
}

#define VALUES_OF_TOKEN 3 /* its id, its log-probability and its piece */

void rollout_line(struct buf *b, const struct rollout *r, const struct metrics_graders *graders,
                  const struct rollout_tokens *tokens)
{
    buf_clear(b);
    if (r->n_tokens <= LIMIT_JSON_VALUES / (VALUES_OF_TOKEN + 1))
        write_whole(b, r, graders, tokens);
    if (b->len > 0 && !b->overflowed)
        return;
    buf_clear(b);
    write_cut(b, r, graders);
}

size_t rollout_line_samples(const json_t *line)
{
    return size_max(1, json_array_size(json_object_get(line, "samples")));
}
