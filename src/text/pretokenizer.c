/*
 * pretokenizer.c - the steps nest: each piece that one finds goes through the next at once, so no list of pieces is
 * kept.
 */
#include "text/pretokenizer.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MATCH_STEPS ((size_t)10000000) /* of one match: PCRE2's own limit, and */
#define MATCH_STEPS_PER_BYTE 8         /* more for a long text */
#define MATCH_HEAP_KIB (1u << 20)      /* of the interpreter, where there is no machine code */

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

bool pretokenizer_prefix_blank(struct pretokenizer *p, struct error *err)
{
    if (!has_room(p, err))
        return false;
    p->steps[p->n_steps++] = (struct pretokenizer_step){.code = NULL};
    return true;
}

struct run {
    const struct pretokenizer *p;
    piece_fn *fn;
    void *ctx;
    struct error *err;
    pcre2_match_data *match; /* read before the next step matches, so one does for all */
    pcre2_match_context *limits;
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

static int match_at(const struct run *run, const struct pretokenizer_step *step, struct str text,
                    size_t at)
{
    PCRE2_SPTR p = (PCRE2_SPTR)text.ptr;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;

    if (step->has_jit)
        rc = pcre2_jit_match(step->code, p, text.len, at, PCRE2_NO_UTF_CHECK, run->match,
                             run->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its way back on the heap */
        rc = pcre2_match(step->code, p, text.len, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, run->match,
                         run->limits);
    return rc;
}

static bool match_failed(int rc, struct error *err)
{
    char why[160] = "";

    pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
    return fail(err, rc == PCRE2_ERROR_NOMEMORY ? ERR_NO_MEMORY : ERR_LIMIT,
                "the tokenizer's pattern does not get through the text: %s", why);
}

/* Finds the matches as Oniguruma's iterator does: an empty one right behind the last match does not count. */
static bool split(struct run *run, size_t i_step, struct str text)
{
    const struct pretokenizer_step *step = &run->p->steps[i_step];
    struct cut cut = {.run = run, .step = i_step, .text = text};
    size_t done = 0, at = 0;
    bool any = false;

    while (at <= text.len) {
        const int rc = match_at(run, step, text, at);

        if (rc == PCRE2_ERROR_NOMATCH)
            break;
        if (rc < 0)
            return match_failed(rc, run->err);
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(run->match);
        const size_t from = v[0], to = v[1];

        if (from == to && any && from == done) {
            if (at == text.len)
                break;
            (void)utf8_next(text, &at);
            continue;
        }
        if ((done < from && !take_part(&cut, done, from, false)) ||
            !take_part(&cut, from, to, true))
            return false;
        done = at = to;
        any = true;
    }
    return (done == text.len || take_part(&cut, done, text.len, false)) && release_held(&cut);
}

static bool prefix_blank(struct run *run, size_t step, struct str text)
{
    struct buf b;

    if (text.len > 0 && text.ptr[0] == ' ')
        return run_step(run, step + 1, text);
    buf_init(&b, text.len + 1);
    buf_char(&b, ' ');
    buf_str(&b, text);
    const bool ok = (!b.overflowed || fail(run->err, ERR_NO_MEMORY,
                                           "no memory for %zu bytes of text", text.len + 1)) &&
                    run_step(run, step + 1, buf_view(&b));
    buf_release(&b);
    return ok;
}

static bool run_step(struct run *run, size_t step, struct str text)
{
    if (step == run->p->n_steps)
        return run->fn(run->ctx, text, run->err);
    return run->p->steps[step].code == NULL ? prefix_blank(run, step, text)
                                            : split(run, step, text);
}

/*
 * A run of blanks that no line end follows costs the known patterns some two steps a blank; what costs many times
 * that is a pattern that tries every way through the text.
 */
static bool set_limits(struct run *run, size_t len, struct error *err)
{
    const size_t steps = size_min(MATCH_STEPS + MATCH_STEPS_PER_BYTE * len, UINT32_MAX);

    run->match = pcre2_match_data_create(1, NULL);
    run->limits = pcre2_match_context_create(NULL);
    if (run->match == NULL || run->limits == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to match a pattern");
    pcre2_set_match_limit(run->limits, (uint32_t)steps);
    pcre2_set_heap_limit(run->limits, MATCH_HEAP_KIB);
    return true;
}

bool pretokenizer_run(const struct pretokenizer *p, struct str text, piece_fn *fn, void *ctx,
                      struct error *err)
{
    struct run run = {.p = p, .fn = fn, .ctx = ctx, .err = err};
    const bool ok = set_limits(&run, text.len, err) && (text.len == 0 || run_step(&run, 0, text));

    pcre2_match_context_free(run.limits);
    pcre2_match_data_free(run.match);
    return ok;
}
