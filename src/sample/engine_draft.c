/*
 * engine_draft.c - guesses for a round: from texts for what is drawn, and what will be written for the model as it is.
 *
 * Only nodes that are through with their prompt have guesses, all their answers the same. A node's rows are its newest token's and
 * those of its guesses, one behind the other; engine_round.c draws from each where the draws before it went that way.
 */
#include "base/size.h"
#include "sample/engine_internal.h"

#define LARGE_PASS                                                                                 \
    256 /* rows of a pass from which on nobody looks for guesses: it waits for no memory */
#define AUTO_MOST 16 /* guesses behind one answer */

/* What is written for the model next is known. */
static size_t written(const struct node *n, size_t most, struct drafted *out)
{
    const struct thinking_options *t = &n->ticket->q.thinking;
    const size_t k = size_min(most, t->n_close_ids - n->thought.n_injected);

    for (size_t i = 0; i < k; i++)
        out[i] =
            (struct drafted){.id = t->close_ids[n->thought.n_injected + i], .kind = DRAFT_WRITTEN};
    return k;
}

/* Nothing is guessed behind what may be an answer's last token: no row of it would be used. */
static size_t guess(const struct engine *e, const struct node *n, size_t most, struct drafted *out)
{
    const struct engine_ticket *t = n->ticket;
    const struct thinking_options *thinking = &t->q.thinking;
    size_t k = 0;

    most = size_min(most, t->q.max_tokens - 1 - n->n);
    if (node_injects(n))
        return written(n, most, out);
    if (n->thought.state == THOUGHT_OPEN && thinking->n_close_ids > 0 && thinking->budget > n->n)
        most = size_min(most, thinking->budget - n->n);
    most = draft_guess(t->guesses, n->who[0], most, out);
    while (k < most && !config_is_end(&e->model->config, out[k].id))
        k++;
    return k;
}

/*
 * What a token sooner saves of a pass. Where more waits, or people do, each node counts the same; in the tail of a run only
 * the last to end does.
 */
static float worth_of(struct engine *e, const struct node *n, size_t n_nodes)
{
    if (e->hooks == NULL || e->waiting.first != NULL)
        return 1 / (float)n_nodes;
    if (e->run_tokens > 20000) {
        e->run_tokens /= 2;
        e->run_ends /= 2;
    }
    return draft_worth_of_last(n_nodes, n->ticket->q.max_tokens - n->n,
                               (e->run_ends + 1) / (e->run_tokens + 50));
}

void draft_round(struct engine *e, size_t m)
{
    const bool forced = e->opt.draft != DRAFT_AUTO;
    const size_t most = forced ? size_min(e->opt.draft, DRAFT_MOST) : AUTO_MOST;
    size_t n = 0, k = 0;

    if (most == 0 || (!forced && m >= LARGE_PASS))
        return;
    for (const struct engine_ticket *t = e->in.first; t != NULL; t = t->next)
        n += t->n_nodes;
    struct draft_offer *offers = ARENA_ARRAY(&e->round, struct draft_offer, n);
    struct node **nodes = ARENA_ARRAY(&e->round, struct node *, n);
    for (const struct engine_ticket *t = e->in.first; t != NULL; t = t->next) {
        for (size_t i = 0; t->guesses != NULL && i < t->n_nodes; i++) {
            struct node *x = t->nodes[i];
            struct drafted *out;

            if (x->n == 0)
                continue;
            out = ARENA_ARRAY(&e->round, struct drafted, most);
            nodes[k] = x;
            offers[k++] = (struct draft_offer){.guesses = out,
                                               .n = guess(e, x, most, out),
                                               .several = x->n_who > 1,
                                               .worth = worth_of(e, x, n)};
        }
    }
    draft_odds_age(&e->odds);
    if (!forced)
        draft_choose(&e->odds, &e->pace, e->opt.prefill_rows - size_min(m, e->opt.prefill_rows),
                     offers, k, &e->round);
    for (size_t i = 0; i < k; i++) {
        nodes[i]->draft = offers[i].guesses;
        nodes[i]->n_draft = offers[i].n;
    }
}

void draft_drop(struct engine *e)
{
    for (const struct engine_ticket *t = e->in.first; t != NULL; t = t->next) {
        for (size_t i = 0; i < t->n_nodes; i++) {
            struct node *n = t->nodes[i];

            n->n_draft = 0;
            kv_segment_cut(e->pool, n->seg, n->seg->len); /* the room that was made for them */
        }
    }
}
