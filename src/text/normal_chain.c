/*
 * normal_chain.c - each step reads what the one before it made, in one of two buffers, and writes into the other.
 */
#include "text/normal_chain.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/characters.h"
#include "text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

/* What a text of so many bytes may become: NFKD makes 11 of one, a Prepend a thousand. A pattern that matches the empty text puts its
 * replacement between all characters, and two such steps would make gigabytes of a page. */
#define MAX_NORMALIZED(bytes) (((size_t)4 << 10) + 64 * (bytes))

void normal_chain_release(struct normal_chain *n)
{
    for (size_t i = 0; i < n->n_steps; i++)
        pcre2_code_free(n->steps[i].code);
    *n = (struct normal_chain){0};
}

bool normal_chain_add(struct normal_chain *n, const struct normal_step *step, struct error *err)
{
    struct normal_step *last = n->n_steps == 0 ? NULL : &n->steps[n->n_steps - 1];

    if (step->kind == NORMAL_FORM && step->form == NORMAL_NONE)
        return true;
    if (step->kind == NORMAL_FORM && last != NULL && last->kind == NORMAL_FORM) {
        last->form = normal_form_then(last->form, step->form);
        return true;
    }
    if (n->n_steps == NORMAL_CHAIN_MAX_STEPS)
        return fail(err, ERR_LIMIT, "a normalizer of more than %d steps is not offered",
                    NORMAL_CHAIN_MAX_STEPS);
    n->steps[n->n_steps++] = *step;
    return true;
}

void normal_scratch_release(struct normal_scratch *s)
{
    bert_scratch_release(&s->bert);
    buf_release(&s->made[0]);
    buf_release(&s->made[1]);
}

static void put_char(struct buf *b, uint32_t c)
{
    char bytes[4];

    buf_put(b, bytes, utf8_write(c, bytes));
}

static void lower(struct str in, struct buf *out)
{
    for (size_t at = 0; at < in.len;) {
        uint32_t small[3];
        const uint32_t c = utf8_next(in, &at);

        if (c < 0x80) {
            buf_char(out, (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
            continue;
        }
        const size_t n = char_lower(c, small);
        for (size_t i = 0; i < n; i++)
            put_char(out, small[i]);
    }
}

/* Marks that came after Unicode 9, whose tables the reference has; found as those of normalizer.c. */
static const struct char_range young_marks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xAFA, 0xAFF},     {0xB55, 0xB55},     {0xC04, 0xC04},     {0xC3C, 0xC3C},
    {0xCF3, 0xCF3},     {0xD00, 0xD00},     {0xD3B, 0xD3C},     {0xD81, 0xD81},
    {0xEBA, 0xEBA},     {0xECE, 0xECE},     {0x1715, 0x1715},   {0x180F, 0x180F},
    {0x1ABF, 0x1ACE},   {0x1CF7, 0x1CF7},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},
    {0xA8FF, 0xA8FF},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x11073, 0x11074},
    {0x110C2, 0x110C2}, {0x11145, 0x11146}, {0x111C9, 0x111C9}, {0x111CE, 0x111CF},
    {0x11241, 0x11241}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x1182C, 0x1183A},
    {0x11930, 0x11935}, {0x11937, 0x11938}, {0x1193B, 0x1193E}, {0x11940, 0x11940},
    {0x11942, 0x11943}, {0x119D1, 0x119D7}, {0x119DA, 0x119E0}, {0x119E4, 0x119E4},
    {0x11A01, 0x11A0A}, {0x11A33, 0x11A39}, {0x11A3B, 0x11A3E}, {0x11A47, 0x11A47},
    {0x11A51, 0x11A5B}, {0x11A8A, 0x11A99}, {0x11D31, 0x11D36}, {0x11D3A, 0x11D3A},
    {0x11D3C, 0x11D3D}, {0x11D3F, 0x11D45}, {0x11D47, 0x11D47}, {0x11D8A, 0x11D8E},
    {0x11D90, 0x11D91}, {0x11D93, 0x11D97}, {0x11EF3, 0x11EF6}, {0x11F00, 0x11F01},
    {0x11F03, 0x11F03}, {0x11F34, 0x11F3A}, {0x11F3E, 0x11F42}, {0x13440, 0x13440},
    {0x13447, 0x13455}, {0x16F4F, 0x16F4F}, {0x16F7F, 0x16F87}, {0x16FE4, 0x16FE4},
    {0x16FF0, 0x16FF1}, {0x1CF00, 0x1CF2D}, {0x1CF30, 0x1CF46}, {0x1E08F, 0x1E08F},
    {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}};

static bool is_mark(uint32_t c)
{
    if (c < 0x300)
        return false;
    if (c == 0x1CF2 || c == 0x1CF3) /* letters since Unicode 12 */
        return true;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return !char_in(c, young_marks, COUNT_OF(young_marks));
    default:
        return false;
    }
}

static void unmark(struct str in, struct buf *out)
{
    for (size_t at = 0; at < in.len;) {
        const size_t from = at;

        if (!is_mark(utf8_next(in, &at)))
            buf_put(out, in.ptr + from, at - from);
    }
}

/* Control characters that SentencePiece's table of machine translation leaves out. */
static bool nmt_drops(uint32_t c)
{
    return (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
           c == 0x9F;
}

static bool nmt_blanks(uint32_t c)
{
    return c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 ||
           (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
           c == 0xFEFF || c == 0xFFFD;
}

static void nmt(struct str in, struct buf *out)
{
    for (size_t at = 0; at < in.len;) {
        const uint32_t c = utf8_next(in, &at);

        if (!nmt_drops(c))
            put_char(out, nmt_blanks(c) ? ' ' : c);
    }
}

static bool replace_pattern(const struct normal_step *step, struct str in, struct buf *out,
                            struct error *err)
{
    struct pattern_matcher m = {0};
    struct pattern_place place = {0};
    size_t done = 0, from, to;
    bool found = true, ok = pattern_matcher_init(&m, in.len, err);

    while (ok && found) {
        ok = pattern_next(&m, step->code, step->has_jit, in, &place, &from, &to, &found, err);
        if (ok && found) {
            buf_put(out, in.ptr + done, from - done);
            buf_str(out, step->to);
            done = to;
        }
    }
    if (ok)
        buf_put(out, in.ptr + done, in.len - done);
    pattern_matcher_release(&m);
    return ok;
}

/* The reference takes the right end's white space only from what is left of the text. */
static struct str strip(const struct normal_step *step, struct str in, bool *lost_head)
{
    size_t from = 0, to = in.len;

    for (size_t next = 0; step->left && from < in.len; from = next)
        if (!char_is_white(utf8_next(in, &next)))
            break;
    while (step->right && to > from) {
        size_t at = utf8_before(in, to);
        const size_t before = at;

        if (!char_is_white(utf8_next(in, &at)))
            break;
        to = before;
    }
    *lost_head = *lost_head || from > 0;
    return (struct str){in.ptr + from, to - from};
}

/* Steps that write a text anew, all but NORMAL_STRIP; in is not in out. */
static bool make(const struct normal_step *step, struct normal_scratch *s, struct str in,
                 struct buf *out, struct error *err)
{
    struct str text;

    switch (step->kind) {
    case NORMAL_FORM:
        if (!normalize(&s->bert.normalizer, step->form, in, &text, err))
            return false;
        buf_str(out, text);
        return true;
    case NORMAL_BERT:
        if (!bert_normalize(&step->bert, &s->bert, in, &text, err))
            return false;
        buf_str(out, text);
        return true;
    case NORMAL_LOWER:
        lower(in, out);
        return true;
    case NORMAL_UNMARKED:
        unmark(in, out);
        return true;
    case NORMAL_REPLACE:
        if (step->from.len == 0)
            return replace_pattern(step, in, out, err);
        buf_replaced(out, in, step->from, step->to);
        return true;
    case NORMAL_PREPEND:
        buf_str(out, step->to);
        buf_str(out, in);
        return true;
    case NORMAL_NMT:
        nmt(in, out);
        return true;
    case NORMAL_CHARSMAP:
        charsmap_apply(&step->map, in, out);
        return true;
    case NORMAL_STRIP:
        break;
    }
    return true;
}

/* Does the step leave nothing of what the text begins with? */
static bool drops_head(const struct normal_step *step, struct normal_scratch *s, struct str in)
{
    struct str head = {in.ptr, 0}, rest;

    (void)utf8_next(in, &head.len);
    switch (step->kind) {
    case NORMAL_UNMARKED:
        return is_mark(utf8_next(in, &(size_t){0}));
    case NORMAL_NMT:
        return nmt_drops(utf8_next(in, &(size_t){0}));
    case NORMAL_REPLACE:
        return step->to.len == 0 && step->from.len > 0 && str_starts(in, step->from);
    case NORMAL_BERT:
        return bert_normalize(&step->bert, &s->bert, head, &rest, NULL) && rest.len == 0;
    default:
        return false;
    }
}

bool normal_chain_run(const struct normal_chain *n, struct normal_scratch *s, struct str in,
                      struct str *out, bool *lost_head, struct error *err)
{
    bool lost = false;
    const size_t limit = MAX_NORMALIZED(in.len);
    size_t which = 0;

    if (lost_head != NULL)
        *lost_head = false;
    if (n->n_steps == 1 && n->steps[0].kind == NORMAL_FORM) /* nothing is copied */
        return normalize(&s->bert.normalizer, n->steps[0].form, in, out, err);
    if (n->n_steps == 1 && n->steps[0].kind == NORMAL_BERT && lost_head == NULL)
        return bert_normalize(&n->steps[0].bert, &s->bert, in, out, err);
    for (size_t i = 0; i < n->n_steps && in.len > 0; i++) {
        struct buf *made = &s->made[which];

        if (n->steps[i].kind == NORMAL_STRIP) {
            in = strip(&n->steps[i], in, &lost);
            continue;
        }
        lost = lost || (lost_head != NULL && drops_head(&n->steps[i], s, in));
        made->max_bytes = limit;
        buf_clear(made);
        if (!make(&n->steps[i], s, in, made, err) || !buf_ok(made, "the normalised text", err))
            return false;
        in = made->len == 0 ? STR("") : buf_view(made);
        which = !which;
    }
    *out = in;
    if (lost_head != NULL)
        *lost_head = lost;
    return true;
}
