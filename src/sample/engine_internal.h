/*
 * engine_internal.h - what the engine's sources share: requests in flight and the places where their answers grow.
 */
#ifndef HONE_SAMPLE_ENGINE_INTERNAL_H
#define HONE_SAMPLE_ENGINE_INTERNAL_H

#include "sample/draft.h"
#include "sample/engine.h"
#include "sample/prefix.h"
#include "sample/rules.h"

#define LOGIT_ROWS ENGINE_LOGIT_ROWS

/* A place in the tree where at least one answer still grows. */
struct node {
    struct engine_ticket *ticket;
    struct kv_segment *seg;
    const token_id
        *pending; /* tokens whose rows are to be computed: of the prompt, or the newest */
    size_t n_pending;
    size_t n_now; /* so many of them in this round */
    token_id newest;
    uint32_t *who; /* samples that came this way */
    size_t n_who;
    size_t n;                    /* tokens of these samples so far */
    const struct drafted *draft; /* [n_draft] guesses for what follows, in this round */
    size_t n_draft;
    struct saved_row **draft_rows; /* [n_draft] where their rows are kept, or NULL */
    struct thought thought;
    struct allowed allowed;
    struct given *given; /* [n_who] it waits for what its samples are given; NULL: it does not */
    size_t n_waiting;    /* of them that nothing has come for */
};

/* Its pending tokens are read in pieces, with those of prompts: more than the newest one. */
static inline bool node_reads(const struct node *n)
{
    return n->n == 0 || n->n_pending > 1;
}

struct engine_ticket {
    struct engine_ticket
        *next; /* in the engine's list of those that wait, or of those that are in */
    enum { TICKET_WAITS, TICKET_IN, TICKET_DONE } state;
    bool cancelled; /* during a turn: gone at its end */
    struct engine *engine;
    struct arena own, *arena; /* where all of it lies: its own, or that of the engine's run */
    const struct adapter *adapter;
    struct sample_request q;
    struct engine_calls calls;
    struct sample *samples; /* [q.n_samples] */
    struct answer_rules rules;
    struct node **nodes, **next_nodes; /* [n_samples] growing ones, in the order they came to be */
    size_t n_nodes, n_growing;         /* places, and answers there */
    size_t n_pages;                    /* of the cache, at most */
    size_t n_cached;                   /* tokens of the prompt that were known */
    struct draft_index *guesses;       /* from when it is let in; NULL: nothing is drafted */
};

struct ticket_list {
    struct engine_ticket *first, **last;
};

struct engine {
    const struct model *model;
    const struct tokenizer *tokenizer;
    struct engine_options opt;
    struct kv_pool *pool;
    struct prefix_cache *prefixes; /* NULL: none are kept */
    struct workspace *work;
    struct arena run, round;
    struct picker *pickers;             /* one a thread */
    struct constraint_scratch *scratch; /* one a thread, open from the first constraint on */
    int n_pickers;
    float *logits;
    size_t ld;
    struct engine_counts counts;
    struct draft_odds odds; /* what was learned of guesses, and of the time of a pass */
    struct pace pace;
    double run_tokens, run_ends; /* drawn in runs, and those that ended an answer; old ones fade */

    struct ticket_list waiting; /* the oldest first */
    struct ticket_list in;      /* those of an adapter lie together */
    size_t n_tickets;           /* of both */
    size_t n_growing;           /* answers of those that are in */
    size_t pages_promised;      /* the most that those can still need */
    bool in_turn;
    bool idle; /* in the last round there was nothing to compute */

    /* of engine_run alone */
    const struct engine_hooks *hooks; /* NULL: none is going on */
    struct kv_segment *trunk; /* tokens that the first prompts begin with, computed once; or NULL */
    const token_id *trunk_tokens;
};

/* ---- engine_answer.c ---- */

/* Whether a sample that just got its newest token ends with it. */
bool answer_ends(const struct node *n, struct sample *s, enum sample_end *why);
/* Whether the node writes a token of its own now instead of drawing: the budget of thinking is used up. */
bool node_injects(const struct node *n);
/* Rules out what a constrained node must not draw. */
void node_mask(struct engine *e, const struct node *n, int thread, float *logits);

/* ---- engine.c ---- */

/* Ends a ticket where it stands: out of its list, its places given back. */
void ticket_drop(struct engine_ticket *t);
/* Whether beginnings of texts are kept: not in a run, whose adapter changes after it, nor where the base changes. */
bool engine_keeps(const struct engine *e);
MUST_CHECK bool engine_fits_positions(const struct engine *e, const struct sample_request *q,
                                      struct error *err);
/* Puts a ticket among those that wait; its engine, arena, adapter, request and calls are there. */
MUST_CHECK bool ticket_begin(struct engine_ticket *t, const struct engine_ticket *before, bool save,
                             struct error *err);
/* The trunk, where the prompt begins so and has a token more; else NULL. */
struct kv_segment *engine_trunk_of(const struct engine *e, const struct sample_request *q);

/* ---- engine_run.c ---- */

/* Places for m rows, as far as there is room; NULL where none are wanted. */
struct saved_row **engine_take_rows(struct engine *e, size_t m);

/* ---- engine_draft.c ---- */

/* Guesses for the nodes of this round, as many as pay, or as the options say; m: rows without them. */
void draft_round(struct engine *e, size_t m);
/* Takes them all back; none of their rows is computed yet. */
void draft_drop(struct engine *e);

/* ---- engine_round.c ---- */

/* What a sample of the ticket that waits is given. */
void engine_give(struct engine_ticket *t, const struct given *g);
/* Computes the rows of all who are in, the prompts' as far as they come; lets all draw; calls back. */
MUST_CHECK bool engine_round(struct engine *e, struct error *err);
#endif
