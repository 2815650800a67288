/*
 * habits.c - reads an answer once for each of its habits; equal answers of a row are read once.
 */
#include "train/habits.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/json.h"
#include "train/answers.h"

#include <string.h>
#include <utf8proc.h>

#define NGRAM ((size_t)4)

static const char *const names[N_HABITS] = {
    [HABIT_ANSWER_TOKENS] = "answer_tokens",
    [HABIT_THINKING_TOKENS] = "thinking_tokens",
    [HABIT_LINES] = "lines",
    [HABIT_JSON] = "json_share",
    [HABIT_MARKUP] = "markup_share",
    [HABIT_SYMBOLS] = "symbols_share",
    [HABIT_ENDED] = "ended_share",
    [HABIT_EMPTY] = "empty_share",
    [HABIT_REPETITION] = "repetition",
    [HABIT_DISTINCT] = "distinct_share",
    [HABIT_COMMON] = "common_share",
};

const char *habit_name(enum habit h)
{
    return names[h];
}

/* ---- one answer ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct str trimmed(struct str s)
{
    while (s.len > 0 && is_space(s.ptr[0]))
        s = str_from(s, 1);
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool is_json(struct str s)
{
    struct error ignored;
    json_t *v = NULL;

    if (s.len == 0 || (s.ptr[0] != '{' && s.ptr[0] != '['))
        return false;
    const bool ok = json_parse(s, "an answer", &v, &ignored);
    json_decref(v);
    return ok;
}

/* A heading, an item of a list, or a fence begins here (CommonMark 0.31, sections 4.2, 4.5 and 5.2). */
static bool begins_markup(struct str line)
{
    size_t n = 0;

    while (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
        n++;
    line = str_from(line, n);
    if (str_starts(line, STR("```")) || str_starts(line, STR("~~~")))
        return true;
    for (n = 0; n < line.len && line.ptr[n] == '#';)
        n++;
    if (n == 0 && line.len > 0 && strchr("-*+", line.ptr[0]) != NULL && line.ptr[0] != '\0')
        n = 1;
    if (n == 0) {
        while (n < line.len && n < 9 && line.ptr[n] >= '0' && line.ptr[n] <= '9')
            n++;
        n = n > 0 && n < line.len && (line.ptr[n] == '.' || line.ptr[n] == ')') ? n + 1 : 0;
    }
    return n > 0 && n < 11 && n < line.len && line.ptr[n] == ' ';
}

static void read_lines(struct str s, double *n_lines, bool *markup)
{
    size_t from = 0;

    *n_lines = 0;
    *markup = false;
    while (s.len > 0 && from <= s.len) {
        const size_t end = str_find(s, STR("\n"), from);

        *markup = *markup || begins_markup((struct str){s.ptr + from, end - from});
        ++*n_lines;
        from = end + 1;
    }
}

/* Letters with the marks upon them (categories L and M) are not counted; what is no UTF-8 is. */
static double symbols_share(struct str s)
{
    size_t at = 0, all = 0, symbols = 0;

    while (at < s.len) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.ptr + at,
                                                    (utf8proc_ssize_t)(s.len - at), &c);

        at += n > 0 ? (size_t)n : 1;
        const utf8proc_category_t k = n > 0 ? utf8proc_category(c) : UTF8PROC_CATEGORY_CN;
        if ((n == 1 && is_space((char)c)) ||
            (k >= UTF8PROC_CATEGORY_ZS && k <= UTF8PROC_CATEGORY_ZP))
            continue;
        all++;
        symbols += !(k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_ME);
    }
    return all > 0 ? (double)symbols / (double)all : 0;
}

static uint64_t mixed(uint64_t h, uint64_t x)
{
    return (h ^ x) * 0x100000001b3u; /* FNV-1a, on words */
}

static double repetition(const int32_t *tokens, size_t n)
{
    struct arena a = {0};
    size_t room = 16, different = 0;

    if (n < NGRAM)
        return 0;
    const size_t n_grams = n - NGRAM + 1;
    while (room < 2 * n_grams)
        room *= 2;
    uint32_t *seen = ARENA_ARRAY(&a, uint32_t, room); /* where such a run begins, + 1 */
    for (size_t i = 0; i < n_grams; i++) {
        uint64_t h = 0xcbf29ce484222325u;

        for (size_t k = 0; k < NGRAM; k++)
            h = mixed(h, (uint32_t)tokens[i + k]);
        size_t at = (size_t)(h ^ h >> 32) & (room - 1);
        while (seen[at] != 0 &&
               memcmp(tokens + seen[at] - 1, tokens + i, NGRAM * sizeof *tokens) != 0)
            at = (at + 1) & (room - 1);
        different += seen[at] == 0;
        if (seen[at] == 0)
            seen[at] = (uint32_t)i + 1;
    }
    arena_release(&a);
    return 1 - (double)different / (double)n_grams;
}

void habits_of_answer(struct str text, const int32_t *tokens, size_t n, size_t n_thinking,
                      bool ended, double out[N_ANSWER_HABITS])
{
    const struct str s = trimmed(text);
    bool markup;

    n_thinking = size_min(n, n_thinking);
    out[HABIT_ANSWER_TOKENS] = (double)(n - n_thinking);
    out[HABIT_THINKING_TOKENS] = (double)n_thinking;
    read_lines(s, &out[HABIT_LINES], &markup);
    out[HABIT_JSON] = is_json(s);
    out[HABIT_MARKUP] = markup;
    out[HABIT_SYMBOLS] = symbols_share(s);
    out[HABIT_ENDED] = ended;
    out[HABIT_EMPTY] = s.len == 0;
    out[HABIT_REPETITION] = n > n_thinking ? repetition(tokens + n_thinking, n - n_thinking) : 0;
}

/* ---- one prompt's ---- */

void habits_of_row(const struct answers *x, size_t row, double *of_answer, double out[N_HABITS])
{
    const size_t n = x->n_samples;
    const struct answer_slot *slots = x->slots + row * n;
    struct arena a = {0};
    double *all = of_answer != NULL ? of_answer : ARENA_ARRAY(&a, double, n *N_ANSWER_HABITS);

    memset(out, 0, N_HABITS * sizeof *out);
    for (size_t s = 0; s < n; s++) {
        const struct sample *sample = slots[s].sample;
        const size_t like = slots[s].n_alike > 0 ? slots[s].alike[0] : s;
        double *mine = all + s * N_ANSWER_HABITS;

        if (like < s)
            memcpy(mine, all + like * N_ANSWER_HABITS, N_ANSWER_HABITS * sizeof *mine);
        else
            habits_of_answer(slots[s].answer.text, sample->tokens + sample->turn,
                             sample->n - sample->turn, sample->n_thinking,
                             sample->end != SAMPLE_LENGTH, mine);
        for (size_t h = 0; h < N_ANSWER_HABITS; h++)
            out[h] += mine[h] / (double)n;
        size_t before = 0;
        while (!str_eq(slots[before].answer.text, slots[s].answer.text))
            before++;
        out[HABIT_DISTINCT] += (before == s ? 1.0 : 0.0) / (double)n;
    }
    arena_release(&a);
}

/* ---- over prompts ---- */

uint64_t answer_hash(struct str text)
{
    const uint64_t h = str_hash(text);

    return h != 0 ? h : 1;
}

void common_answers_init(struct common_answers *c, size_t most, struct arena *a)
{
    size_t room = 16;

    while (room < 2 * most)
        room *= 2;
    *c = (struct common_answers){.hash = ARENA_ARRAY(a, uint64_t, room),
                                 .count = ARENA_ARRAY(a, size_t, room),
                                 .first = ARENA_ARRAY(a, size_t, room),
                                 .mask = room - 1};
}

void common_answers_put(struct common_answers *c, const struct answers *x, size_t row)
{
    for (size_t s = 0; s < x->n_samples; s++) {
        const uint64_t h = answer_hash(x->slots[row * x->n_samples + s].answer.text);
        size_t at = (size_t)(h ^ h >> 32) & c->mask;

        while (c->hash[at] != 0 && c->hash[at] != h)
            at = (at + 1) & c->mask;
        if (c->hash[at] == 0) {
            c->hash[at] = h;
            c->first[at] = c->n_different++;
        }
        c->count[at]++;
        c->n_all++;
    }
}

uint64_t common_answers_most(const struct common_answers *c, double *share)
{
    size_t best = 0;

    for (size_t i = 1; i <= c->mask; i++)
        if (c->count[i] > c->count[best] ||
            (c->count[i] == c->count[best] && c->count[i] > 0 && c->first[i] < c->first[best]))
            best = i;
    *share = c->n_all > 0 ? (double)c->count[best] / (double)c->n_all : 0;
    return c->hash[best];
}

double common_answers_share(uint64_t hash, const struct answers *x, size_t row)
{
    size_t n = 0;

    for (size_t s = 0; s < x->n_samples; s++)
        n += answer_hash(x->slots[row * x->n_samples + s].answer.text) == hash;
    return (double)n / (double)x->n_samples;
}
