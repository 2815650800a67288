/*
 * pretokenizer.c - the steps nest: each piece that one finds goes through the next at once, so no list of pieces is
 * kept.
 */
#include "text/pretokenizer.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/characters.h"
#include "text/pattern.h"
#include "text/tokenizer_internal.h"
#include "text/wordpiece.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

void pretokenizer_release(struct pretokenizer *p)
{
    for (size_t i = 0; i < p->n_steps; i++)
        pcre2_code_free(p->steps[i].code);
    *p = (struct pretokenizer){0};
}

static bool has_room(const struct pretokenizer *p, struct error *err)
{
    return p->n_steps < PRETOKENIZER_MAX_STEPS ||
           fail(err, ERR_LIMIT, "a pre-tokenizer of more than %d steps is not offered",
                PRETOKENIZER_MAX_STEPS);
}

bool pretokenizer_split(struct pretokenizer *p, struct str pattern, enum split_behavior behavior,
                        bool invert, struct error *err)
{
    struct pretokenizer_step step = {.behavior = behavior, .invert = invert};

    if (!has_room(p, err) || !pattern_compile(pattern, &step.code, &step.has_jit, err))
        return false;
    p->steps[p->n_steps++] = step;
    return true;
}

bool pretokenizer_split_text(struct pretokenizer *p, struct str text, enum split_behavior behavior,
                             bool invert, struct error *err)
{
    struct pretokenizer_step step = {.behavior = behavior, .invert = invert};

    if (!has_room(p, err) || !pattern_compile_text(text, &step.code, &step.has_jit, err))
        return false;
    p->steps[p->n_steps++] = step;
    return true;
}

bool pretokenizer_add(struct pretokenizer *p, enum pretokenizer_kind kind,
                      enum split_behavior behavior, struct error *err)
{
    if (!has_room(p, err))
        return false;
    p->steps[p->n_steps++] = (struct pretokenizer_step){.kind = kind, .behavior = behavior};
    return true;
}

bool pretokenizer_metaspace(struct pretokenizer *p, struct str sign, enum metaspace_prefix prefix,
                            bool parts, struct error *err)
{
    size_t at = 0;

    if (sign.len > 0)
        (void)utf8_next(sign, &at);
    if (sign.len == 0 || at != sign.len)
        return fail(err, ERR_CORRUPT,
                    "the replacement of Metaspace is \"" STR_FMT "\", one character was expected",
                    (int)size_min(sign.len, 100), sign.ptr);
    if (!pretokenizer_add(p, PRE_METASPACE, SPLIT_ISOLATED, err))
        return false;
    struct pretokenizer_step *step = &p->steps[p->n_steps - 1];
    memcpy(step->sign, sign.ptr, sign.len);
    step->sign_bytes = sign.len;
    step->prefix = prefix;
    step->parts = parts;
    return true;
}

struct run {
    const struct pretokenizer *p;
    piece_fn *fn;
    void *ctx;
    struct error *err;
    struct pattern_matcher matcher; /* read before the next step matches, so one does for all */
    const char *first; /* a piece that begins here is what the whole text begins with */
    bool in_letters;   /* PRE_LETTERS is behind it */
};

/* One step at work on one text. */
struct cut {
    struct run *run;
    size_t step;
    struct str text;
    size_t held_from, held_to; /* a part that may still grow; empty: none */
    bool held_is_match, before_was_match;
};

static bool run_step(struct run *run, size_t step, struct str text);

static bool pass_on(struct cut *c, size_t from, size_t to)
{
    return from == to || run_step(c->run, c->step + 1, (struct str){c->text.ptr + from, to - from});
}

static bool release_held(struct cut *c)
{
    const size_t from = c->held_from, to = c->held_to;

    c->held_from = c->held_to = 0;
    return pass_on(c, from, to);
}

static bool hold(struct cut *c, size_t from, size_t to, bool is_match)
{
    if (!release_held(c))
        return false;
    c->held_from = from;
    c->held_to = to;
    c->held_is_match = is_match;
    return true;
}

/* A part of the text, a match or what lies between two: parts come in order and leave nothing out. */
static bool take_part(struct cut *c, size_t from, size_t to, bool is_match)
{
    const struct pretokenizer_step *step = &c->run->p->steps[c->step];
    const bool before_was_match = c->before_was_match;

    is_match = is_match != step->invert;
    c->before_was_match = is_match;
    switch (step->behavior) {
    case SPLIT_ISOLATED:
        return pass_on(c, from, to);
    case SPLIT_REMOVED:
        return is_match || pass_on(c, from, to);
    case SPLIT_MERGED_WITH_PREVIOUS: /* the first match of a run joins what is before it */
        if (is_match && !before_was_match && c->held_to > c->held_from) {
            c->held_to = to;
            return true;
        }
        return hold(c, from, to, is_match);
    case SPLIT_MERGED_WITH_NEXT: /* the last match of a run joins what is behind it */
        if (!is_match && c->held_is_match && c->held_to > c->held_from) {
            c->held_to = to;
            c->held_is_match = false;
            return true;
        }
        return hold(c, from, to, is_match);
    case SPLIT_CONTIGUOUS: /* a run of matches is one piece */
        if (is_match == before_was_match && c->held_to > c->held_from) {
            c->held_to = to;
            return true;
        }
        return hold(c, from, to, is_match);
    }
    return true;
}

static bool split(struct run *run, size_t i_step, struct str text)
{
    const struct pretokenizer_step *step = &run->p->steps[i_step];
    struct cut cut = {.run = run, .step = i_step, .text = text};
    struct pattern_place place = {0};
    size_t done = 0, from, to;
    bool found;

    while (pattern_next(&run->matcher, step->code, step->has_jit, text, &place, &from, &to, &found,
                        run->err)) {
        if (!found)
            return (done == text.len || take_part(&cut, done, text.len, false)) &&
                   release_held(&cut);
        if ((done < from && !take_part(&cut, done, from, false)) ||
            !take_part(&cut, from, to, true))
            return false;
        done = to;
    }
    return false;
}

/* A text made anew goes through the next step; what began the whole text begins it still. */
static bool pass_made(struct run *run, size_t step, const struct buf *made, bool is_first)
{
    const char *before = run->first;

    if (made->overflowed)
        return fail(run->err, ERR_NO_MEMORY, "no memory for %zu bytes of text", made->len + 1);
    run->first = is_first ? made->ptr : before;
    const bool ok = run_step(run, step + 1, buf_view(made));
    run->first = before;
    return ok;
}

static bool prefix_blank(struct run *run, size_t step, struct str text)
{
    struct buf b;

    if (text.len > 0 && text.ptr[0] == ' ')
        return run_step(run, step + 1, text);
    buf_init(&b, text.len + 1);
    buf_char(&b, ' ');
    buf_str(&b, text);
    const bool ok = pass_made(run, step, &b, text.ptr == run->first);
    buf_release(&b);
    return ok;
}

static bool spell(struct run *run, size_t step, struct str text)
{
    struct buf b;
    char letter[4];

    buf_init(&b, 2 * text.len + 1); /* no letter has more bytes */
    for (size_t i = 0; i < text.len; i++)
        buf_put(&b, letter, utf8_write(byte_to_letter((unsigned char)text.ptr[i]), letter));
    run->in_letters = true;
    const bool ok = pass_made(run, step, &b, text.ptr == run->first);
    run->in_letters = false;
    buf_release(&b);
    return ok;
}

static bool give(struct run *run, struct str piece)
{
    struct buf b;

    if (!run->in_letters)
        return run->fn(run->ctx, piece, run->err);
    buf_init(&b, piece.len + 1);
    for (size_t at = 0; at < piece.len;)
        buf_char(&b, (char)letter_to_byte(utf8_next(piece, &at)));
    const bool ok = b.overflowed ? fail(run->err, ERR_NO_MEMORY, "no memory for %zu bytes of text",
                                        piece.len + 1)
                                 : run->fn(run->ctx, buf_view(&b), run->err);
    buf_release(&b);
    return ok;
}

/* From one sign to the next; what stands before the first one is a piece, too. */
static bool cut_at_signs(struct run *run, size_t i_step, struct str sign, struct str text)
{
    size_t from = 0;

    while (from < text.len) {
        const size_t to =
            str_find(text, sign, from + (str_starts(str_from(text, from), sign) ? sign.len : 0));

        if (!run_step(run, i_step + 1, (struct str){text.ptr + from, to - from}))
            return false;
        from = to;
    }
    return true;
}

static bool metaspace(struct run *run, size_t i_step, struct str text)
{
    const struct pretokenizer_step *step = &run->p->steps[i_step];
    const struct str sign = {step->sign, step->sign_bytes};
    const bool is_first = text.ptr == run->first,
               prefix = (step->prefix == METASPACE_ALWAYS ||
                         (step->prefix == METASPACE_FIRST && is_first)) &&
                        text.len > 0 && text.ptr[0] != ' ' && !str_starts(text, sign);
    struct buf b;

    buf_init(&b, 4 * (text.len + 1));
    if (prefix)
        buf_str(&b, sign);
    for (size_t from = 0; from < text.len;) {
        const size_t to = str_find(text, STR(" "), from);

        buf_put(&b, text.ptr + from, to - from);
        if (to < text.len)
            buf_str(&b, sign);
        from = to + 1;
    }
    bool ok;
    if (!step->parts || b.overflowed) {
        ok = pass_made(run, i_step, &b, is_first);
    } else {
        const char *before = run->first;

        run->first = is_first ? b.ptr : before;
        ok = cut_at_signs(run, i_step, sign, buf_view(&b));
        run->first = before;
    }
    buf_release(&b);
    return ok;
}

/* What kind of part a character belongs to: 0 parts what is around it and goes. */
static unsigned part_of(enum pretokenizer_kind kind, uint32_t c)
{
    if (char_is_white(c))
        return 0;
    return kind == PRE_WORDS && !char_is_word(c) ? 2 : 1;
}

static bool cut_by_class(struct run *run, size_t i_step, struct str text)
{
    const enum pretokenizer_kind kind = run->p->steps[i_step].kind;
    unsigned before = 0;
    size_t from = 0;

    for (size_t at = 0; at < text.len;) {
        size_t next = at;
        const unsigned now = part_of(kind, utf8_next(text, &next));

        if (now != before) {
            if (before != 0 && !run_step(run, i_step + 1, (struct str){text.ptr + from, at - from}))
                return false;
            from = at;
            before = now;
        }
        at = next;
    }
    return before == 0 || run_step(run, i_step + 1, str_from(text, from));
}

static bool cut_at_punctuation(struct run *run, size_t i_step, struct str text)
{
    struct cut cut = {.run = run, .step = i_step, .text = text};
    size_t from = 0;

    for (size_t at = 0; at < text.len;) {
        size_t next = at;

        if (bert_is_punctuation(utf8_next(text, &next))) {
            if ((from < at && !take_part(&cut, from, at, false)) ||
                !take_part(&cut, at, next, true))
                return false;
            from = next;
        }
        at = next;
    }
    return (from == text.len || take_part(&cut, from, text.len, false)) && release_held(&cut);
}

struct bert_cut {
    struct run *run;
    size_t step;
};

static bool pass_word(void *ctx, struct str word, struct error *err)
{
    const struct bert_cut *c = ctx;

    (void)err; /* run->err, the same */
    return run_step(c->run, c->step + 1, word);
}

static bool run_step(struct run *run, size_t step, struct str text)
{
    if (step == run->p->n_steps)
        return give(run, text);
    switch (run->p->steps[step].kind) {
    case PRE_PATTERN:
        return split(run, step, text);
    case PRE_PREFIX_BLANK:
        return prefix_blank(run, step, text);
    case PRE_METASPACE:
        return metaspace(run, step, text);
    case PRE_WHITE:
    case PRE_WORDS:
        return cut_by_class(run, step, text);
    case PRE_PUNCTUATION:
        return cut_at_punctuation(run, step, text);
    case PRE_BERT:
        return bert_words(text, pass_word, &(struct bert_cut){run, step}, run->err);
    case PRE_LETTERS:
        return spell(run, step, text);
    }
    return true;
}

bool pretokenizer_run(const struct pretokenizer *p, struct str text, bool is_first, piece_fn *fn,
                      void *ctx, struct error *err)
{
    struct run run = {
        .p = p, .fn = fn, .ctx = ctx, .err = err, .first = is_first ? text.ptr : NULL};
    const bool ok = pattern_matcher_init(&run.matcher, text.len, err) &&
                    (text.len == 0 || run_step(&run, 0, text));

    pattern_matcher_release(&run.matcher);
    return ok;
}
