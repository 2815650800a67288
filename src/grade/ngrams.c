/*
 * ngrams.c - BLEU, GLEU and ROUGE: how many words, pairs of words, ... of the input the reference has, too.
 *
 * Words and n-grams become numbers by one means, a word_tree: a word is the node that its letters lead to, an n-gram the
 * node that its first n - 1 words' node and its last word lead to. So equal n-grams are equal numbers, counted in an
 * array; time and memory are proportional to the text for each n.
 */
#include "grade/similarity_internal.h"

#include "base/size.h"
#include "text/jinja_unicode.h"

#include <math.h>

/* ---- words ---- */

struct words {
    uint32_t *word; /* [n] equal numbers are equal words */
    uint32_t *gram; /* [n] the n-gram that begins here; first the root, which is the empty one */
    size_t n;
    uint32_t node; /* of the word that is being spelt, 0 for none */
    enum word_kind last;
};
typedef void put_fn(struct words *w, struct word_tree *t, uint32_t c);

static void put(struct words *w, struct word_tree *t, enum word_kind kind, uint32_t c)
{
    if (kind != w->last && w->node != 0) {
        w->word[w->n++] = w->node;
        w->node = 0;
    }
    w->last = kind;
    if (kind != WORD_BLANK)
        w->node = word_tree_follow(t, w->node, c);
}

static void put_as_it_is(struct words *w, struct word_tree *t, uint32_t c)
{
    put(w, t, word_kind_of(c), c);
}

/* [a-z0-9]+ of Python's str.lower */
static void put_small_ascii(struct words *w, struct word_tree *t, uint32_t c)
{
    uint32_t small[3];
    const size_t n = jinja_map_case(JINJA_LOWER, c, small);

    for (size_t i = 0; i < n; i++) {
        const bool keep =
            (small[i] >= 'a' && small[i] <= 'z') || (small[i] >= '0' && small[i] <= '9');

        put(w, t, keep ? WORD_LETTER : WORD_BLANK, small[i]);
    }
}

/* ---- two texts ---- */

struct pair {
    struct words input, reference;
    struct word_tree tree;
    uint32_t *left; /* [nodes + 1] how many of an n-gram of the reference are not yet used up */
    size_t order;   /* n of the n-grams that pair_step counted last */
};

static bool pair_init(struct pair *p, struct str input, struct str reference, put_fn *put_one,
                      struct arena *a, struct error *err)
{
    const struct str text[2] = {input, reference};
    struct words *const out[2] = {&p->input, &p->reference};
    const uint32_t *c[2];
    size_t n_c[2];

    memset(p, 0, sizeof *p);
    for (int i = 0; i < 2; i++) {
        c[i] = similarity_code_points(text[i], a, &n_c[i], err);
        if (c[i] == NULL)
            return false;
    }
    if (!word_tree_init(&p->tree, n_c[0] + n_c[1], a, err))
        return false;
    p->left = arena_try(a, n_c[0] + n_c[1] + 1, sizeof *p->left, "counts of n-grams", err);
    for (int i = 0; i < 2; i++) {
        out[i]->word = arena_try(a, n_c[i] + 1, sizeof(uint32_t), "the words of a text", err);
        out[i]->gram = arena_try(a, n_c[i] + 1, sizeof(uint32_t), "the n-grams of a text", err);
        if (p->left == NULL || out[i]->word == NULL || out[i]->gram == NULL)
            return false;
        for (size_t k = 0; k < n_c[i]; k++)
            put_one(out[i], &p->tree, c[i][k]);
        put(out[i], &p->tree, WORD_BLANK, ' '); /* ends the last word */
    }
    return true;
}

static size_t n_grams(const struct words *w, size_t order)
{
    return w->n < order ? 0 : w->n - order + 1;
}

static void lengthen_grams(struct words *w, size_t order, struct word_tree *t)
{
    for (size_t i = 0; i < n_grams(w, order); i++)
        w->gram[i] = word_tree_follow(t, w->gram[i], w->word[i + order - 1]);
}

/*
 * Goes on to n-grams of the next order, first 1, and gives how many are common: each counts as often as in the text
 * where it is rarer.
 */
static size_t pair_step(struct pair *p)
{
    size_t common = 0;

    p->order++;
    word_tree_clear(&p->tree);
    lengthen_grams(&p->reference, p->order, &p->tree);
    lengthen_grams(&p->input, p->order, &p->tree);
    memset(p->left, 0, (p->tree.n_nodes + 1) * sizeof *p->left);
    for (size_t i = 0; i < n_grams(&p->reference, p->order); i++)
        p->left[p->reference.gram[i]]++;
    for (size_t i = 0; i < n_grams(&p->input, p->order); i++)
        if (p->left[p->input.gram[i]] > 0) {
            p->left[p->input.gram[i]]--;
            common++;
        }
    return common;
}

/* ---- bleu, gleu ---- */

#define MAX_ORDER 4 /* of both */

bool similarity_bleu(struct str input, struct str reference, struct arena *a, double *out,
                     struct error *err)
{
    struct pair p;
    double log_sum = 0;

    if (!pair_init(&p, input, reference, put_as_it_is, a, err))
        return false;
    for (size_t order = 1; order <= MAX_ORDER; order++) {
        const size_t common = pair_step(&p);

        if (order == 1 && common == 0) {
            *out = 0;
            return true;
        }
        log_sum += log((common == 0 ? 0.1 : (double)common) /
                       (double)size_max(n_grams(&p.input, order), 1));
    }
    const double length = (double)p.input.n, wanted = (double)p.reference.n;
    *out = (length > wanted ? 1 : exp(1 - wanted / length)) * exp(log_sum / MAX_ORDER);
    return true;
}

bool similarity_gleu(struct str input, struct str reference, struct arena *a, double *out,
                     struct error *err)
{
    struct pair p;
    size_t common = 0, n_input = 0, n_reference = 0;

    if (!pair_init(&p, input, reference, put_as_it_is, a, err))
        return false;
    for (size_t order = 1; order <= MAX_ORDER; order++) {
        common += pair_step(&p);
        n_input += n_grams(&p.input, order);
        n_reference += n_grams(&p.reference, order);
    }
    *out = common == 0 ? 0 : (double)common / (double)size_max(n_input, n_reference);
    return true;
}

/* ---- rouge ---- */

/* The harmonic mean of precision and recall. */
static double f1(size_t common, size_t n_input, size_t n_reference)
{
    if (common == 0)
        return 0;
    const double precision = (double)common / (double)n_input;
    const double recall = (double)common / (double)n_reference;
    return 2 * precision * recall / (precision + recall);
}

static bool rouge_n(size_t n, struct str input, struct str reference, struct arena *a, double *out,
                    struct error *err)
{
    struct pair p;
    size_t common = 0;

    if (!pair_init(&p, input, reference, put_small_ascii, a, err))
        return false;
    while (p.order < n)
        common = pair_step(&p);
    *out = f1(common, n_grams(&p.input, n), n_grams(&p.reference, n));
    return true;
}

#define ROUGE_N(n)                                                                                 \
    bool similarity_rouge_##n(struct str input, struct str reference, struct arena *a,             \
                              double *out, struct error *err)                                      \
    {                                                                                              \
        return rouge_n(n, input, reference, a, out, err);                                          \
    }
ROUGE_N(1)
ROUGE_N(2)
ROUGE_N(3)
ROUGE_N(4)
ROUGE_N(5)

bool similarity_rouge_l(struct str input, struct str reference, struct arena *a, double *out,
                        struct error *err)
{
    struct pair p;

    if (!pair_init(&p, input, reference, put_small_ascii, a, err))
        return false;
    *out = f1(similarity_common_length(p.input.word, p.input.n, p.reference.word, p.reference.n, a),
              p.input.n, p.reference.n);
    return true;
}
