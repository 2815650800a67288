/*
 * retrace.c - one answer at a time is followed; its states are left at the places that are asked about.
 */
#include "train/retrace.h"
#include "base/parallel.h"
#include "sample/rules.h"

#include <stdlib.h>

struct place { /* before a token */
    const struct answer_rules *rules;
    struct sample so_far;
    struct thought thought;
    struct allowed allowed;
};

struct retrace {
    struct arena arena;
    struct constraint_scratch *scratch; /* one a thread */
    int n_scratch;
    struct place *places;
    struct place at; /* where the answer that is followed stands */
};

static const struct answer_rules *rules_in(const struct train_tree *t)
{
    for (size_t i = 0; i < t->n_targets; i++)
        if (t->targets[i].group->rules != NULL)
            return t->targets[i].group->rules;
    return NULL;
}

struct retrace *retrace_open(const struct train_tree *t, size_t most)
{
    const struct answer_rules *rules = rules_in(t);
    struct error err;

    if (rules == NULL)
        return NULL;
    struct retrace *r = calloc(1, sizeof *r);

    if (r == NULL)
        abort();
    r->n_scratch = parallel_threads();
    r->scratch = ARENA_ARRAY(&r->arena, struct constraint_scratch, (size_t)r->n_scratch);
    for (int i = 0; i < r->n_scratch; i++)
        if (!constraint_scratch_open(&r->scratch[i], rules->constraint, &err))
            abort();
    r->places = ARENA_ARRAY(&r->arena, struct place, most);
    for (size_t i = 0; i < most; i++)
        r->places[i].allowed.state = ARENA_NEW(&r->arena, struct grammar_state);
    r->at.allowed.state = ARENA_NEW(&r->arena, struct grammar_state);
    return r;
}

void retrace_close(struct retrace *r)
{
    if (r == NULL)
        return;
    for (int i = 0; i < r->n_scratch; i++)
        constraint_scratch_close(&r->scratch[i]);
    arena_release(&r->arena);
    free(r);
}

static void begin(struct place *p, const struct answer_rules *rules, const struct tree_answer *a)
{
    struct grammar_state *state = p->allowed.state;

    *p = (struct place){.rules = rules,
                        .so_far = {.tokens = (token_id *)(uintptr_t)a->tokens,
                                   .injected = (bool *)(uintptr_t)a->masked},
                        .thought = thought_begin(&rules->thinking),
                        .allowed = {.state = state, .alive = true}};
    grammar_begin(state);
}

static void step(struct retrace *r)
{
    struct place *p = &r->at;

    p->so_far.n++;
    const struct thought after = thought_after(p->rules, p->thought, &p->so_far);
    p->allowed.alive = value_after(p->rules, &r->scratch[0], p->thought, after, p->allowed,
                                   &p->so_far, p->allowed.state);
    p->thought = after;
}

void retrace_to(struct retrace *r, size_t i, const struct target *x)
{
    struct place *to = &r->places[i];
    struct grammar_state *state = to->allowed.state;

    to->rules = x->group->rules;
    if (to->rules == NULL)
        return;
    const struct tree_answer *a = &x->group->answers[x->answer];

    if (r->at.rules != to->rules || r->at.so_far.tokens != a->tokens || r->at.so_far.n > x->at)
        begin(&r->at, to->rules, a);
    while (r->at.so_far.n < x->at)
        step(r);
    *to = r->at;
    to->allowed.state = state;
    if (r->at.allowed.alive)
        grammar_copy(state, r->at.allowed.state);
}

void retrace_mask(const struct retrace *r, size_t i, int thread, float *logits)
{
    const struct place *p = &r->places[i];

    if (p->rules != NULL)
        answer_mask(p->rules, &r->scratch[thread], &p->thought, &p->allowed, &p->so_far, logits);
}
