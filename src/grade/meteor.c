/*
 * meteor.c - METEOR: which word of the input stands for which of the reference, and in how many pieces their order holds.
 *
 * nltk compares each word with each. Here a word is a number (word_tree), and each number has the list of the places where
 * the reference has it, the last first: nltk, too, takes words from the end. So all but the synonyms takes time
 * proportional to the texts, and these to the synonyms that the input's words have.
 */
#include "grade/porter.h"
#include "grade/similarity_internal.h"
#include "grade/wordnet.h"

#include "text/jinja_unicode.h"

/* ---- words ---- */

struct word {
    uint32_t *letter; /* [n_letters] in lower case, later of its stem */
    uint32_t n_letters;
    uint32_t node;  /* equal words, later equal stems, have equal ones */
    uint32_t match; /* 1 + the place of the other text's word that stands for it; 0: none */
};
struct text {
    struct word *word;
    size_t n;
    size_t n_letters;
};

#define SIGMA 0x3a3u       /* becomes one of two */
#define SMALL_SIGMA 0x3c3u /* inside a word */
#define FINAL_SIGMA 0x3c2u /* at its end */

/* Python's rule: a letter with case comes before in the word and none behind, whatever marks are between. */
static bool is_final(const uint32_t *c, size_t n, size_t at)
{
    size_t before = at, behind = at + 1;

    while (before > 0 && jinja_is_case_ignorable(c[before - 1]))
        before--;
    while (behind < n && jinja_is_case_ignorable(c[behind]))
        behind++;
    return before > 0 && jinja_is_cased(c[before - 1]) &&
           (behind == n || !jinja_is_cased(c[behind]));
}

/* Python's str.lower of c[0..n) to out, which has room for MOST_LOWER * n; gives how many there are. */
#define MOST_LOWER 3
static size_t lower(const uint32_t *c, size_t n, uint32_t *out)
{
    size_t n_out = 0;

    for (size_t i = 0; i < n; i++) {
        if (c[i] == SIGMA)
            out[n_out++] = is_final(c, n, i) ? FINAL_SIGMA : SMALL_SIGMA;
        else
            n_out += jinja_map_case(JINJA_LOWER, c[i], out + n_out);
    }
    return n_out;
}

static bool text_read(struct str s, struct arena *a, struct text *t, struct error *err)
{
    size_t n;
    const uint32_t *c = similarity_code_points(s, a, &n, err);
    uint32_t *letter =
        c == NULL ? NULL : arena_try(a, n + 1, MOST_LOWER * sizeof *letter, "a text's words", err);

    *t = (struct text){0};
    t->word = letter == NULL ? NULL : arena_try(a, n + 1, sizeof *t->word, "a text's words", err);
    if (t->word == NULL)
        return false;
    for (size_t from = 0, end; from < n; from = end) {
        const enum word_kind kind = word_kind_of(c[from]);

        for (end = from + 1; end < n && word_kind_of(c[end]) == kind; end++)
            ;
        if (kind != WORD_BLANK) {
            struct word *w = &t->word[t->n++];

            w->letter = letter + t->n_letters;
            w->n_letters = (uint32_t)lower(c + from, end - from, w->letter);
            t->n_letters += w->n_letters;
        }
    }
    return true;
}

/* ---- which word stands for which ---- */

struct pair {
    struct text input, reference;
    struct word_tree tree;
    uint32_t *
        last; /* [n_nodes + 1] of a node: 1 + the last place in the reference that is free and has it; 0: none */
    uint32_t *before; /* [reference.n] of a place: the next in its list */
};

static bool pair_init(struct pair *p, struct str input, struct str reference, struct arena *a,
                      struct error *err)
{
    if (!text_read(input, a, &p->input, err) || !text_read(reference, a, &p->reference, err))
        return false;
    const size_t n_letters = p->input.n_letters + p->reference.n_letters;

    if (!word_tree_init(&p->tree, n_letters, a, err))
        return false;
    p->last = arena_try(a, n_letters + 1, sizeof *p->last, "a table of words", err);
    p->before = arena_try(a, p->reference.n + 1, sizeof *p->before, "a table of words", err);
    return p->last != NULL && p->before != NULL;
}

static void number_words(struct text *t, struct word_tree *tree)
{
    for (size_t i = 0; i < t->n; i++) {
        struct word *w = &t->word[i];

        w->node = 0;
        for (size_t k = 0; w->match == 0 && k < w->n_letters; k++)
            w->node = word_tree_follow(tree, w->node, w->letter[k]);
    }
}

/* Numbers the words that are not matched yet, and lists those of the reference. */
static void list_words(struct pair *p)
{
    word_tree_clear(&p->tree);
    number_words(&p->input, &p->tree);
    number_words(&p->reference, &p->tree);
    memset(p->last, 0, (p->tree.n_nodes + 1) * sizeof *p->last);
    for (size_t j = 0; j < p->reference.n; j++) {
        const struct word *w = &p->reference.word[j];

        if (w->match == 0) {
            p->before[j] = p->last[w->node];
            p->last[w->node] = (uint32_t)j + 1;
        }
    }
}

/* Word i of the input stands for the place of the reference that is first in its list; 0: for none. */
static void match(struct pair *p, size_t i, uint32_t place)
{
    if (place == 0)
        return;
    struct word *w = &p->reference.word[place - 1];

    p->last[w->node] = p->before[place - 1];
    p->input.word[i].match = place;
    w->match = (uint32_t)i + 1;
}

static void match_equal(struct pair *p)
{
    list_words(p);
    for (size_t i = p->input.n; i-- > 0;)
        if (p->input.word[i].match == 0)
            match(p, i, p->last[p->input.word[i].node]);
}

static void stem_words(struct text *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->word[i].match == 0)
            t->word[i].n_letters = (uint32_t)porter_stem(t->word[i].letter, t->word[i].n_letters);
}

struct synonyms {
    const struct pair *p;
    uint32_t best; /* 1 + the last free place of the reference that has one of them; 0: none */
};

static void put_synonym(void *to, struct str name)
{
    struct synonyms *s = to;
    uint32_t node = 0;

    for (size_t i = 0; i < name.len; i++) {
        node = word_tree_find(&s->p->tree, node, (unsigned char)name.ptr[i]);
        if (node == 0)
            return;
    }
    if (s->p->last[node] > s->best)
        s->best = s->p->last[node];
}

/* The stems are listed: a stem of the input stands for a stem that is a synonym of it. */
static void match_synonyms(struct pair *p, const struct wordnet *wordnet)
{
    for (size_t i = p->input.n; i-- > 0;) {
        const struct word *w = &p->input.word[i];
        struct synonyms s = {p, 0};
        char ascii[256]; /* WordNet has no longer word */
        size_t n = 0;

        if (w->match != 0 || w->n_letters > sizeof ascii)
            continue;
        while (n < w->n_letters && w->letter[n] < 128) {
            ascii[n] = (char)w->letter[n];
            n++;
        }
        if (n < w->n_letters)
            continue;
        wordnet_synonyms(wordnet, (struct str){ascii, n}, put_synonym, &s);
        match(p, i, s.best);
    }
}

/* ---- the score ---- */

static double score(const struct pair *p)
{
    const double alpha = 0.9, gamma = 0.5; /* and beta is 3 */
    const struct word *w = p->input.word;
    size_t n_matches = 0, n_chunks = 0;

    for (size_t i = 0; i < p->input.n; i++)
        if (w[i].match != 0) {
            n_matches++;
            n_chunks += i == 0 || w[i - 1].match == 0 || w[i].match != w[i - 1].match + 1;
        }
    if (n_matches == 0)
        return 0;
    const double precision = (double)n_matches / (double)p->input.n;
    const double recall = (double)n_matches / (double)p->reference.n;
    const double mean = precision * recall / (alpha * precision + (1 - alpha) * recall);
    const double pieces = (double)n_chunks / (double)n_matches;

    return (1 - gamma * pieces * pieces * pieces) * mean;
}

bool similarity_meteor(struct str input, struct str reference, struct arena *a, double *out,
                       struct error *err)
{
    const struct wordnet *wordnet;
    struct pair p;

    if (!wordnet_shared(&wordnet, err) || !pair_init(&p, input, reference, a, err))
        return false;
    match_equal(&p);
    stem_words(&p.input);
    stem_words(&p.reference);
    match_equal(&p);
    match_synonyms(&p, wordnet);
    *out = score(&p);
    return true;
}

bool similarity_meteor_prepare(struct error *err)
{
    const struct wordnet *wordnet;

    return wordnet_shared(&wordnet, err);
}
