/*
 * pattern.c - one pass over the pattern; what is not known to mean the same is refused by name.
 */
#include "text/pattern.h"
#include "base/size.h"
#include "base/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* members of a class */
#define SPACE "\\t-\\r\\x{85}\\p{Z}"
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define ONIG_WORD                                                                                  \
    WORD "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}" /* outside a class it has these, inside not */
#define HEX "0-9a-fA-F"

#define MATCH_STEPS ((size_t)10000000) /* of one match: PCRE2's own limit, and */
#define MATCH_STEPS_PER_BYTE 8         /* more for a long text */
#define MATCH_HEAP_KIB (1u << 20)      /* of the interpreter, where there is no machine code */

struct rewrite {
    struct str in;
    size_t at;
    struct buf out;
    struct error *err;
};

static bool refuse(struct rewrite *r, size_t from, const char *why)
{
    const size_t n = r->at > from ? r->at - from : 1;

    return fail(r->err, ERR_UNSUPPORTED, "the pattern has \"" STR_FMT "\" at byte %zu: %s",
                (int)(n < r->in.len - from ? n : r->in.len - from), r->in.ptr + from, from, why);
}

static bool looking_at(const struct rewrite *r, const char *text)
{
    return str_starts(str_from(r->in, r->at), str_of(text));
}

/* \p{Name}, \P{Name}, \p{^Name}: r->at is behind the p. */
static bool rewrite_property(struct rewrite *r, size_t from)
{
    const struct str rest = str_from(r->in, r->at);
    const size_t end = str_find(rest, STR("}"), 0);

    if (rest.len == 0 || rest.ptr[0] != '{' || end == rest.len || end < 2)
        return refuse(r, from, "a property is written \\p{Name}");
    struct str name = {rest.ptr + 1, end - 1};
    const bool negated = name.ptr[0] == '^';

    if (negated)
        name = str_from(name, 1);
    /* one or two letters are a general category; a longer name can only be a script here */
    buf_str(&r->out, (struct str){r->in.ptr + from, 2});
    buf_text(&r->out, negated ? "{^" : "{");
    buf_text(&r->out, name.len > 2 ? "sc:" : "");
    buf_str(&r->out, name);
    buf_char(&r->out, '}');
    r->at += end + 1;
    return true;
}

static bool is_hex(struct str s)
{
    size_t n = 0;

    while (n < s.len && strchr("0123456789abcdefABCDEF", s.ptr[n]) != NULL && s.ptr[n] != '\0')
        n++;
    return n == s.len && n > 0;
}

/* \x{...}, \xHH, \uHHHH: r->at is behind the letter. */
static bool rewrite_number(struct rewrite *r, size_t from, char letter)
{
    const struct str rest = str_from(r->in, r->at);
    struct str digits = {rest.ptr, letter == 'u' ? 4 : 2};
    size_t used = digits.len;

    if (letter == 'x' && rest.len > 0 && rest.ptr[0] == '{') {
        const size_t end = str_find(rest, STR("}"), 0);

        digits = (struct str){rest.ptr + 1, end - 1};
        used = end + 1;
    }
    if (used > rest.len || !is_hex(digits) || digits.len > 6)
        return refuse(r, from, "a code point is written \\x{12AB}, \\u12AB or \\x12");
    if (letter == 'x' && used == 2 && digits.ptr[0] > '7')
        return refuse(r, from, "it is half of a character");
    buf_text(&r->out, "\\x{");
    buf_str(&r->out, digits);
    buf_char(&r->out, '}');
    r->at += used;
    return true;
}

/* What a letter behind a backslash means, inside a class and outside; NULL: not offered there. */
static const struct {
    char letter;
    const char *outside, *inside;
} escapes[] = {
    {'s', "[" SPACE "]", SPACE},
    {'S', "[^" SPACE "]", "\\x{180E}\\S"}, /* within a class a set cannot be turned round */
    {'w', "[" ONIG_WORD "]", WORD},
    {'W', "[^" ONIG_WORD "]", NULL},
    {'h', "[" HEX "]", NULL},
    {'H', "[^" HEX "]", NULL},
    {'d', "\\p{Nd}", "\\p{Nd}"},
    {'D', "\\P{Nd}", "\\P{Nd}"},
    {'b', "(?:(?<=[" ONIG_WORD "])(?![" ONIG_WORD "])|(?<![" ONIG_WORD "])(?=[" ONIG_WORD "]))",
     "\\x08"},
    {'B', "(?:(?<=[" ONIG_WORD "])(?=[" ONIG_WORD "])|(?<![" ONIG_WORD "])(?![" ONIG_WORD "]))",
     NULL},
    {'t', "\\t", "\\t"},
    {'n', "\\n", "\\n"},
    {'r', "\\r", "\\r"},
    {'f', "\\f", "\\f"},
    {'v', "\\x0b", "\\x0b"},
    {'a', "\\x07", "\\x07"},
    {'e', "\\x1b", "\\x1b"},
    {'A', "\\A", NULL},
    {'z', "\\z", NULL},
};

static bool rewrite_escape(struct rewrite *r, bool in_class)
{
    const size_t from = r->at++;

    if (r->at == r->in.len)
        return refuse(r, from, "nothing stands behind the backslash");
    const char c = r->in.ptr[r->at++];

    if (c == 'p' || c == 'P')
        return rewrite_property(r, from);
    if (c == 'x' || c == 'u')
        return rewrite_number(r, from, c);
    for (size_t i = 0; i < COUNT_OF(escapes); i++) {
        const char *text = in_class ? escapes[i].inside : escapes[i].outside;

        if (escapes[i].letter == c && text != NULL) {
            buf_text(&r->out, text);
            return true;
        }
    }
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return refuse(r, from, "not offered here");
    buf_char(
        &r->out,
        '\\'); /* it takes its meaning from any sign, and leaves a character past ASCII alone */
    buf_char(&r->out, c);
    return true;
}

/* r->at is on the opening bracket. */
static bool rewrite_class(struct rewrite *r)
{
    const size_t from = r->at;

    buf_char(&r->out, r->in.ptr[r->at++]);
    if (looking_at(r, "^"))
        buf_char(&r->out, r->in.ptr[r->at++]);
    if (looking_at(r, "]"))
        return refuse(r, from, "a class that begins with a bracket is not offered");
    while (r->at < r->in.len && r->in.ptr[r->at] != ']') {
        const char c = r->in.ptr[r->at];

        if (c == '[')
            return refuse(r, r->at, "a class within a class is not offered");
        if (looking_at(r, "&&"))
            return refuse(r, r->at, "the intersection of classes is not offered");
        if (c == '\\') {
            if (!rewrite_escape(r, true))
                return false;
        } else {
            buf_char(&r->out, c);
            r->at++;
        }
    }
    if (r->at == r->in.len)
        return refuse(r, from, "the class does not end");
    buf_char(&r->out, r->in.ptr[r->at++]);
    return true;
}

/*
 * Without regard to case Oniguruma lets one character stand for several, so that "ss" matches U+00DF. Patterns in
 * which that could happen are refused; none of the known ones has such a pair.
 */
static bool folds_one_by_one(struct rewrite *r)
{
    static const char pairs[][3] = {"ss", "st", "ff", "fi", "fl"};

    for (size_t at = 0; at < r->in.len; at++) {
        const unsigned char c = (unsigned char)r->in.ptr[at];

        r->at = at + 2;
        if (c == 0xC3 || c == 0xC4 || c == 0xC5 || c == 0xC7 || c == 0xCA || c == 0xCE ||
            c == 0xD6 || c == 0xE1 || c == 0xEF)
            return refuse(r, at, "without regard to case it may stand for several characters");
        for (size_t i = 0; at + 1 < r->in.len && i < COUNT_OF(pairs); i++)
            if ((c | 0x20) == pairs[i][0] && (r->in.ptr[at + 1] | 0x20) == pairs[i][1])
                return refuse(r, at, "without regard to case one character may stand for it");
    }
    r->at = 0;
    return true;
}

/* r->at is on "(?". */
static bool rewrite_group(struct rewrite *r)
{
    static const char *const known[] = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
    const size_t from = r->at;

    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (looking_at(r, known[i])) {
            buf_text(&r->out, known[i]);
            r->at += strlen(known[i]);
            return true;
        }
    }
    if (r->at == 0 &&
        looking_at(r, "(?i)")) { /* further in, engines disagree on how far it reaches */
        buf_text(&r->out, "(?i)");
        r->at += 4;
        return true;
    }
    r->at += 3;
    return refuse(r, from, "this kind of group is not offered");
}

/* r->at is on a brace: {n}, {n,}, {n,m} and {,m} are counts, all else is itself. */
static bool rewrite_brace(struct rewrite *r)
{
    const size_t from = r->at;
    size_t i = r->at + 1, n_digits = 0;

    for (bool comma = false; i < r->in.len && r->in.ptr[i] != '}'; i++) {
        const char c = r->in.ptr[i];

        if (c >= '0' && c <= '9')
            n_digits++;
        else if (c == ',' && !comma)
            comma = true;
        else
            break;
    }
    if (i == r->in.len || r->in.ptr[i] != '}' || n_digits == 0) {
        buf_text(&r->out, "\\{");
        r->at++;
        return true;
    }
    r->at = i + 1;
    if (looking_at(r, "+") || looking_at(r, "?"))
        return refuse(r, from, "a sign behind a count means different things to different engines");
    buf_text(&r->out, r->in.ptr[from + 1] == ',' ? "{0" : "{");
    buf_str(&r->out, (struct str){r->in.ptr + from + 1, i - from});
    return true;
}

static bool rewrite(struct rewrite *r)
{
    while (r->at < r->in.len) {
        const char c = r->in.ptr[r->at];
        bool ok = true;

        if (c == '\\') {
            ok = rewrite_escape(r, false);
        } else if (c == '[') {
            ok = rewrite_class(r);
        } else if (c == '{') {
            ok = rewrite_brace(r);
        } else if (looking_at(r, "(?")) {
            ok = rewrite_group(r);
        } else if (looking_at(r, "(*")) {
            r->at += 2;
            ok = refuse(r, r->at - 2, "a group cannot begin with a star");
        } else {
            buf_char(&r->out, c);
            r->at++;
        }
        if (!ok)
            return false;
    }
    return buf_ok(&r->out, "the rewritten pattern", r->err);
}

static bool compile(struct str pattern, uint32_t options, pcre2_code **out, bool *has_jit,
                    struct error *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    int code = PCRE2_ERROR_NOMEMORY;
    PCRE2_SIZE at = 0;
    pcre2_code *re = NULL;

    if (context != NULL) {
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        re = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, PCRE2_UTF | options, &code, &at,
                           context);
        pcre2_compile_context_free(context);
    }
    if (re == NULL) {
        char why[160] = "";

        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return fail(err, ERR_UNSUPPORTED,
                    "the pattern is not one PCRE2 takes: %s, at byte %zu of " STR_FMT, why,
                    (size_t)at, (int)(pattern.len < 200 ? pattern.len : 200), pattern.ptr);
    }
    *has_jit = pcre2_jit_compile(re, PCRE2_JIT_COMPLETE) ==
               0; /* where memory may not be executed, without */
    *out = re;
    return true;
}

bool pattern_compile(struct str onig, pcre2_code **out, bool *has_jit, struct error *err)
{
    struct rewrite r = {.in = onig, .err = err};

    if (onig.len == 0)
        return fail(err, ERR_UNSUPPORTED, "the pattern is empty");
    if (onig.len > LIMIT_PATTERN_BYTES)
        return fail(err, ERR_LIMIT, "a pattern of %zu bytes is longer than the %zu allowed",
                    onig.len, LIMIT_PATTERN_BYTES);
    buf_init(&r.out, 64 * LIMIT_PATTERN_BYTES);
    const bool any_case = str_find(onig, STR("(?i"), 0) < onig.len;
    const bool ok = (!any_case || folds_one_by_one(&r)) && rewrite(&r) &&
                    compile(buf_view(&r.out), PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                            out, has_jit, err);
    buf_release(&r.out);
    return ok;
}

bool pattern_compile_text(struct str text, pcre2_code **out, bool *has_jit, struct error *err)
{
    if (text.len == 0)
        return fail(err, ERR_UNSUPPORTED, "the pattern is empty");
    if (text.len > LIMIT_PATTERN_BYTES)
        return fail(err, ERR_LIMIT, "a pattern of %zu bytes is longer than the %zu allowed",
                    text.len, LIMIT_PATTERN_BYTES);
    return compile(text, PCRE2_LITERAL, out, has_jit, err);
}

/*
 * A run of blanks that no line end follows costs the known patterns some two steps a blank; what costs many times
 * that is a pattern that tries every way through the text.
 */
bool pattern_matcher_init(struct pattern_matcher *m, size_t len, struct error *err)
{
    const size_t steps = size_min(MATCH_STEPS + MATCH_STEPS_PER_BYTE * len, UINT32_MAX);

    m->match = pcre2_match_data_create(1, NULL);
    m->limits = pcre2_match_context_create(NULL);
    if (m->match == NULL || m->limits == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to match a pattern");
    pcre2_set_match_limit(m->limits, (uint32_t)steps);
    pcre2_set_heap_limit(m->limits, MATCH_HEAP_KIB);
    return true;
}

void pattern_matcher_release(struct pattern_matcher *m)
{
    pcre2_match_context_free(m->limits);
    pcre2_match_data_free(m->match);
    *m = (struct pattern_matcher){0};
}

static int match_at(const struct pattern_matcher *m, pcre2_code *code, bool has_jit,
                    struct str text, size_t at)
{
    PCRE2_SPTR p = (PCRE2_SPTR)text.ptr;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;

    if (has_jit)
        rc = pcre2_jit_match(code, p, text.len, at, PCRE2_NO_UTF_CHECK, m->match, m->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its way back on the heap */
        rc = pcre2_match(code, p, text.len, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->match,
                         m->limits);
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
bool pattern_next(struct pattern_matcher *m, pcre2_code *code, bool has_jit, struct str text,
                  struct pattern_place *place, size_t *from, size_t *to, bool *found,
                  struct error *err)
{
    *found = false;
    while (place->at <= text.len) {
        const int rc = match_at(m, code, has_jit, text, place->at);

        if (rc == PCRE2_ERROR_NOMATCH)
            return true;
        if (rc < 0)
            return match_failed(rc, err);
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(m->match);

        if (v[0] == v[1] && place->any && v[0] == place->done) {
            if (place->at == text.len)
                return true;
            (void)utf8_next(text, &place->at);
            continue;
        }
        *from = v[0];
        *to = place->done = place->at = v[1];
        *found = place->any = true;
        return true;
    }
    return true;
}
