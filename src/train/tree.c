/*
 * tree.c - a trie of tokens, then runs of it without a fork as segments.
 */
#include "train/tree.h"
#include "base/size.h"

#include <string.h>

struct node { /* one row; node 0 stands before the first token */
    token_id token;
    uint32_t child, last_child, next; /* first child, last child, next sibling; 0: none */
    uint32_t target, last_target;     /* first and last of its targets + 1; 0: none */
    uint32_t row;
    struct saved_row *known;
};

struct link { /* a target while the trie grows */
    struct target t;
    uint32_t next; /* + 1 */
};

struct trie {
    struct node *nodes;
    struct link *links;
    uint32_t n_nodes, n_links;
    uint32_t *path; /* [n_path] of each token of each answer: its link, or NO_TARGET */
    size_t n_path;
};

static uint32_t step_to(struct trie *t, uint32_t at, token_id token)
{
    for (uint32_t c = t->nodes[at].child; c != 0; c = t->nodes[c].next)
        if (t->nodes[c].token == token)
            return c;
    const uint32_t fresh = t->n_nodes++;
    t->nodes[fresh] = (struct node){.token = token};
    if (t->nodes[at].child == 0)
        t->nodes[at].child = fresh;
    else
        t->nodes[t->nodes[at].last_child].next = fresh;
    t->nodes[at].last_child = fresh;
    return fresh;
}

static void note_known(struct trie *t, uint32_t at, struct saved_row *const *rows, size_t i)
{
    if (rows != NULL && t->nodes[at].known == NULL)
        t->nodes[at].known = rows[i];
}

/* The k-th token of an answer of g, drawn behind node `at`. Returns the link. */
static uint32_t add_target(struct trie *t, uint32_t at, const struct tree_group *g,
                           const struct tree_answer *s, size_t k)
{
    const token_id id = s->tokens[k];
    struct node *n = &t->nodes[at];

    for (uint32_t l = n->target; l != 0; l = t->links[l - 1].next) {
        struct target *x = &t->links[l - 1].t;

        if (x->id == id) {
            x->count++;
            x->coefficient += s->coefficient;
            return l - 1;
        }
    }
    const uint32_t fresh = ++t->n_links;
    t->links[fresh - 1] = (struct link){.t = {.id = id,
                                              .count = 1,
                                              .answer = (uint32_t)(s - g->answers),
                                              .at = (uint32_t)k,
                                              .group = g,
                                              .coefficient = s->coefficient,
                                              .sampled = s->logprobs[k]}};
    if (n->target == 0)
        n->target = fresh;
    else
        t->links[n->last_target - 1].next = fresh;
    n->last_target = fresh;
    return fresh - 1;
}

static struct trie trie_of(const struct tree_group *groups, size_t n_groups, struct arena *a)
{
    struct trie t = {.n_nodes = 1};
    size_t most = 1, targets = 0;

    for (size_t g = 0; g < n_groups; g++) {
        most += groups[g].n_prompt;
        for (size_t i = 0; i < groups[g].n_answers; i++) {
            most += groups[g].answers[i].n;
            targets += groups[g].answers[i].n;
        }
    }
    t.nodes = ARENA_ARRAY(a, struct node, most);
    t.links = ARENA_ARRAY(a, struct link, targets + 1);
    t.path = ARENA_ARRAY(a, uint32_t, targets + 1);
    for (size_t g = 0; g < n_groups; g++) {
        struct saved_row *const *rows = groups[g].anew == NULL ? groups[g].prompt_rows : NULL;
        uint32_t prompt_end = 0;

        for (size_t i = 0; i < groups[g].n_prompt; i++) {
            prompt_end = step_to(&t, prompt_end, groups[g].prompt[i]);
            note_known(&t, prompt_end, rows, i);
        }
        for (size_t i = 0; i < groups[g].n_answers; i++) {
            const struct tree_answer *s = &groups[g].answers[i];
            uint32_t at = prompt_end;

            for (size_t k = 0; k < s->n; k++) {
                t.path[t.n_path++] = s->masked == NULL || !s->masked[k]
                                         ? add_target(&t, at, &groups[g], s, k)
                                         : NO_TARGET;
                if (k + 1 == s->n)
                    break; /* after the last token nothing is asked */
                at = step_to(&t, at, s->tokens[k]);
                note_known(&t, at, groups[g].anew == s ? NULL : s->rows, k);
            }
        }
    }
    return t;
}

size_t tree_rows(const struct tree_group *groups, size_t n_groups, struct arena *a)
{
    return trie_of(groups, n_groups, a).n_nodes - 1;
}

struct emit { /* where to go on: a node whose children begin segments under seg */
    uint32_t node;
    struct kv_segment *seg;
    size_t end; /* positions up to and with seg's last */
};

/* From a node on, down to where it forks or ends, as one segment; returns the last node. */
static uint32_t emit_segment(const struct trie *t, uint32_t at, struct train_tree *out,
                             struct kv_segment *seg)
{
    size_t n = 0;

    for (;;) {
        t->nodes[at].row = (uint32_t)out->m;
        out->known[out->m] = t->nodes[at].known;
        out->tokens[out->m++] = t->nodes[at].token;
        n++;
        const uint32_t c = t->nodes[at].child;
        if (c == 0 || t->nodes[c].next != 0)
            break;
        at = c;
    }
    out->spans[out->n_spans++] = (struct span){.seg = seg, .n_rows = n};
    return at;
}

bool tree_build(const struct tree_group *groups, size_t n_groups, struct kv_pool *pool,
                struct arena *a, struct train_tree *out, struct error *err)
{
    const struct trie t = trie_of(groups, n_groups, a);
    struct train_tree tree = {.tokens = ARENA_ARRAY(a, token_id, t.n_nodes),
                              .known = ARENA_ARRAY(a, struct saved_row *, t.n_nodes),
                              .spans = ARENA_ARRAY(a, struct span, t.n_nodes),
                              .targets = ARENA_ARRAY(a, struct target, t.n_links + 1)};
    struct emit *stack = ARENA_ARRAY(a, struct emit, t.n_nodes);
    size_t n_stack = 0;
    bool ok = true;

    /* depth first, children in the order they came: a stack of nodes still to be begun, last one first */
    uint32_t *turned = ARENA_ARRAY(a, uint32_t, t.n_nodes);
    struct emit at = {0};
    for (;;) {
        size_t n = 0;

        for (uint32_t c = t.nodes[at.node].child; c != 0; c = t.nodes[c].next)
            turned[n++] = c;
        while (n > 0)
            stack[n_stack++] = (struct emit){.node = turned[--n], .seg = at.seg, .end = at.end};
        if (n_stack == 0)
            break;
        at = stack[--n_stack];
        struct kv_segment *seg = kv_segment_new_at(pool, at.seg, at.end);
        const size_t before = tree.m;
        at.node = emit_segment(&t, at.node, &tree, seg);
        at.seg = seg;
        at.end += tree.m - before;
    }
    uint32_t *place = ARENA_ARRAY(a, uint32_t, t.n_links + 1); /* of each link's target */
    for (uint32_t i = 1; i < t.n_nodes; i++) {
        for (uint32_t l = t.nodes[i].target; l != 0; l = t.links[l - 1].next) {
            struct target x = t.links[l - 1].t;

            place[l - 1] = (uint32_t)tree.n_targets;

            x.row = t.nodes[i].row;
            tree.n_tokens += x.count;
            tree.targets[tree.n_targets++] = x;
        }
    }
    tree.path = t.path;
    for (size_t i = 0; i < t.n_path; i++)
        if (t.path[i] != NO_TARGET)
            t.path[i] = place[t.path[i]];
    for (size_t i = 0; ok && i < tree.n_spans; i++)
        ok = kv_segment_reserve(pool, tree.spans[i].seg, tree.spans[i].n_rows, err);
    if (!ok) {
        tree_release(&tree, pool);
        return false;
    }
    *out = tree;
    return true;
}

void tree_measure(const struct train_tree *t, const struct tree_group *groups, size_t n_groups,
                  struct answer_logp *answers)
{
    const uint32_t *path = t->path;

    for (size_t g = 0; g < n_groups; g++) {
        for (size_t i = 0; i < groups[g].n_answers; i++) {
            struct answer_logp m = {0};

            for (size_t k = 0; k < groups[g].answers[i].n; k++, path++) {
                if (*path == NO_TARGET)
                    continue;
                m.logp += (double)t->targets[*path].logp;
                m.n++;
                m.n_top += t->targets[*path].top;
            }
            *answers++ = m;
        }
    }
}

void tree_weigh(struct train_tree *t, const struct tree_group *groups, size_t n_groups,
                const float *coefficients)
{
    const uint32_t *path = t->path;

    for (size_t i = 0; i < t->n_targets; i++)
        t->targets[i].coefficient = 0;
    for (size_t g = 0; g < n_groups; g++)
        for (size_t i = 0; i < groups[g].n_answers; i++, coefficients++)
            for (size_t k = 0; k < groups[g].answers[i].n; k++, path++)
                if (*path != NO_TARGET)
                    t->targets[*path].coefficient += *coefficients;
}

void tree_release(struct train_tree *t, struct kv_pool *pool)
{
    for (size_t i = 0; i < t->n_spans; i++)
        kv_segment_release(pool, t->spans[i].seg);
    t->n_spans = 0;
}

struct batch tree_batch(const struct train_tree *t)
{
    return (struct batch){.m = t->m, .tokens = t->tokens, .spans = t->spans, .n_spans = t->n_spans};
}
