/*
 * reinforce.c - one step after another: draw prompts, sample and grade, weigh, differentiate, update, tell.
 *
 *     prompts (seeded order) -> answers -> kept groups -> advantages -> passes over the tree -> AdamW -> guard
 */
#include "train/reinforce.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/size.h"
#include "train/answers.h"
#include "train/check.h"
#include "train/checkpoint.h"
#include "train/epoch.h"
#include "train/explain.h"
#include "train/gradient.h"
#include "train/groups.h"
#include "train/ledger.h"
#include "train/memory_need.h"
#include "train/memory_plan.h"
#include "train/preflight.h"
#include "train/trained.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct loop {
    const struct reinforce_inputs *in;
    struct recipe recipe; /* with what was measured filled in */
    struct engine *engine;
    struct grade_queue *queue;
    struct saved_pool *saved; /* activations: of what was sampled, until it is trained on */
    struct history *history;  /* what the prompts of both files were answered before */
    struct trained trained;
    char rank_note[256]; /* why the adapter has another rank than the job says; "" */
    struct train_state state;
    struct references references; /* of the training rows */
    struct tools tools;           /* servers NULL: there are none */
    struct arena run, step;
    struct epoch epoch;
    uint64_t total_steps;
    size_t longest_prompt;
    struct prompts { /* of all rows */
        size_t n, n_tokens, trunk;
        token_id *first; /* the first one's tokens */
    } prompts;
    struct memory_work memory;
    struct memory_plan plan;
    struct memory_watch watch;
    double began;
    uint64_t began_at_step;
};

MUST_CHECK static bool tell(const struct loop *l, struct error *err, enum event_level level,
                            const char *fmt, ...) PRINTF_LIKE(4, 5);
static bool tell(const struct loop *l, struct error *err, enum event_level level, const char *fmt,
                 ...)
{
    const struct progress_sink *sink = l->in->sink;
    char text[1024];
    va_list ap;

    if (sink == NULL || sink->event == NULL)
        return true;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return sink->event(sink->ctx, level, text, err);
}

/* ---- which prompts ---- */

/* Row of the cursor-th prompt: each epoch goes through all rows in an order of its own. */
static size_t row_at(struct loop *l, uint64_t cursor)
{
    const size_t n = l->in->train->n_rows;

    return epoch_rows(&l->epoch, l->recipe.seed, cursor / n, n, &l->run)[cursor % n];
}

/* ---- one step's groups ---- */

/* A group whose rewards are all equal teaches nothing: another prompt takes its place. */
static bool is_flat(void *ctx, const struct answers *x, size_t row)
{
    const struct loop *l = ctx;
    float *reward = malloc(x->n_samples * sizeof *reward);

    if (reward == NULL)
        abort();
    for (size_t s = 0; s < x->n_samples; s++)
        reward[s] = (float)x->slots[row * x->n_samples + s].grade.reward;
    const bool kept = advantage_group_is_kept(&l->recipe.advantage, x->n_samples, reward);
    free(reward);
    if (!kept) /* room for what comes */
        answers_forget(x, row, l->saved);
    return !kept;
}

/*
 * Rows computed for the groups, as if those that took the place of flat ones had been sampled after all the others, in
 * portions. The size of groups is fitted to it (fit_group): it must not depend on what was sampled at the same time.
 */
static size_t rows_in_portions(const struct loop *l, const struct groups *g, size_t answer_rows)
{
    const size_t b = l->recipe.batch_size, most = b * l->recipe.refill;
    size_t rows = answer_rows;

    for (size_t from = 0, n_kept = 0, n; from < g->n; from += n) {
        n = size_min(b - n_kept, most - from);
        rows += answers_prompt_rows(g->all[0].x, from, n);
        for (size_t i = from; i < from + n; i++)
            n_kept += g->all[i].kept;
    }
    return rows;
}

static const struct tools *tools_of(const struct loop *l)
{
    return l->tools.servers != NULL ? &l->tools : NULL;
}

/*
 * Samples prompts until B groups have spread, or the refill is used up. A flat group is followed by the next prompt at once,
 * while others still grow. That is no other choice than waiting for all would make: with f flat groups known, B + f
 * prompts at least are needed in the end, whatever the others turn out to be, and they are the first B + f of the order.
 */
static bool sample_groups(struct loop *l, struct groups *g, struct step_metrics *m,
                          struct error *err)
{
    const size_t b = l->recipe.batch_size, most = b * l->recipe.refill;
    struct answers_options opt =
        answers_of_step(&l->recipe, (uint32_t)l->state.step + 1, l->in->stop);
    const struct engine_counts before = engine_counts(l->engine);
    size_t *items = ARENA_ARRAY(&l->step, size_t, most);
    struct answers *x = ARENA_NEW(&l->step, struct answers);

    opt.want_entropy = true;
    opt.known = l->in->known;
    opt.save = l->saved;
    opt.save_leave = l->plan.leave;
    opt.history = l->history;
    opt.tools = tools_of(l);
    opt.again = is_flat;
    opt.again_ctx = l;
    opt.n_first = b;
    opt.late = l->in->late_refill;
    saved_clear(l->saved);
    if (!memory_watch_step(&l->watch, err))
        return false;
    g->all = ARENA_ARRAY(&l->step, struct group, most);
    for (size_t i = 0; i < most; i++)
        items[i] = row_at(l, l->state.cursor + i);
    if (!answers_get(l->engine, l->trained.adapter, l->in->prompter, l->in->train, items, most,
                     l->queue, &opt, l->in->sink, &l->step, x, err))
        return false;
    l->state.cursor += x->n_rows;
    m->seconds_sampling += x->seconds_sampling;
    m->seconds_grading_wait += x->seconds_waiting;
    groups_take(&l->recipe, x, g, l->saved, &l->step);
    const struct engine_counts after = engine_counts(l->engine);
    m->tokens_prompt = after.prompt_tokens - before.prompt_tokens;
    m->rows_sampled = rows_in_portions(l, g, after.rows - before.rows - m->tokens_prompt);
    m->passes_sampled = after.passes - before.passes;
    m->rows_drafted = after.drafted - before.drafted;
    m->rows_accepted = after.accepted - before.accepted;
    return true;
}

/* ---- one step's update ---- */

static double learning_rate(const struct loop *l)
{
    const double full =
        l->recipe.learning_rate * l->recipe.learning_rate_multiplier * l->state.rate_scale;
    const double t = (double)l->state.step + 1, warm = (double)l->recipe.warmup_steps;

    return t < warm ? full * t / warm : full;
}

static bool guard(struct loop *l, const struct gradient *x, const struct trained_groups *t,
                  float inv_t, struct step_metrics *m, struct error *err)
{
    if (!gradient_kl(x, t->all, t->n, inv_t, &m->kl, err))
        return false;
    if (l->recipe.kl_undo > 0 && (m->kl > l->recipe.kl_undo || isnan(m->kl))) {
        optimizer_undo(&l->trained.optimizer, l->trained.values);
        trained_changed(&l->trained);
        m->rolled_back = true;
        l->state.rate_scale *= 0.5;
        return tell(
            l, err, EVENT_WARN,
            "Step %zu moved the model too far (KL %.3f, above %.3f): undone, and the learning rate is halved.",
            m->step, m->kl, l->recipe.kl_undo);
    } else if (l->recipe.kl_slow > 0 && m->kl > l->recipe.kl_slow) {
        l->state.rate_scale *= 0.5;
        return tell(
            l, err, EVENT_INFO,
            "Step %zu moved the model by KL %.3f, above %.3f: the next learning rate is halved.",
            m->step, m->kl, l->recipe.kl_slow);
    } else {
        l->state.rate_scale = fmin(1, l->state.rate_scale * 1.1);
    }
    return true;
}

/* Exploration is paid for while the answers' entropy is below the floor: the coefficient follows the lack. */
static float entropy_price(struct loop *l, double entropy)
{
    const double lack = l->recipe.entropy_floor - entropy;

    if (l->recipe.entropy_floor <= 0 || l->recipe.entropy_bonus <= 0)
        return 0;
    l->state.entropy_bonus += 0.1 * l->recipe.entropy_bonus * (lack > 0 ? 1 : -1);
    l->state.entropy_bonus = fmin(l->recipe.entropy_bonus, fmax(0, l->state.entropy_bonus));
    return (float)l->state.entropy_bonus;
}

/*
 * Answers that share their tokens share their cost, and a large group finds the rare right answer: the group doubles
 * while its answers cost less than its prompt, and goes back towards its first size when they cost several times as much.
 * The rule sees the step's rows alone, so that a run and its resumption agree.
 */
static void fit_group(struct loop *l, const struct groups *g, size_t rows_sampled)
{
    double prompts = 0;

    if (!l->recipe.group_auto)
        return;
    for (size_t i = 0; i < g->n; i++)
        prompts += (double)g->all[i].x->prompts[g->all[i].row].n;
    if ((double)rows_sampled < 2 * prompts)
        l->recipe.group_size = preflight_group_size(&l->recipe, 2 * l->recipe.group_size);
    else if ((double)rows_sampled > 4 * prompts)
        l->recipe.group_size = preflight_group_size(&l->recipe, l->recipe.group_size / 2);
    l->state.group_size = l->recipe.group_size;
}

struct passing {
    const struct loop *l;
    const struct trained_groups *t;
};

/* What was saved of groups that are done is room for the next pass. */
static bool on_passed(void *ctx, size_t first, size_t n, struct error *err)
{
    const struct passing *p = ctx;
    const struct progress_sink *sink = p->l->in->sink;

    (void)err;
    for (size_t i = first; i < first + n; i++)
        answers_forget(p->t->from[i]->x, p->t->from[i]->row, p->l->saved);
    if (sink != NULL && sink->tick != NULL)
        sink->tick(sink->ctx, "training", first + n, p->t->n);
    return true;
}

static bool update(struct loop *l, const struct groups *g, struct step_metrics *m,
                   struct error *err)
{
    const double began = clock_seconds();
    const struct trained_groups t = groups_trained(&l->recipe, g, m, &l->step);
    const struct loss_options opt = {.inv_t = (float)(1 / l->recipe.temperature),
                                     .n = t.n_tokens,
                                     .entropy_bonus = entropy_price(l, m->entropy)};
    struct passing passing = {.l = l, .t = &t};
    const struct gradient gradient = {.model = l->in->model,
                                      .adapter = l->trained.adapter,
                                      .engine = l->engine,
                                      .saved = l->saved,
                                      .pass_rows = l->recipe.pass_rows,
                                      .passed = on_passed,
                                      .ctx = &passing};
    struct loss_sums sums = {0};
    bool ok = true;

    m->learning_rate = learning_rate(l);
    if (t.n == 0)
        return true;
    if (!gradient_add(&gradient, t.all, t.n, &opt, &sums, &m->tokens_trained, err))
        return false;
    m->loss = sums.loss;
    m->max_dlogp = sums.max_dlogp;
    l->state.max_dlogp = fmax(l->state.max_dlogp, sums.max_dlogp);
    if (sums.max_dlogp != 0 &&
        !tell(
            l, err, EVENT_ERROR,
            "Step %zu: a token was sampled and trained with log-probabilities that differ by %g; they must be equal. This is a defect of hone.",
            m->step, sums.max_dlogp))
        return false;
    m->grad_norm = optimizer_step(&l->trained.optimizer, m->learning_rate, l->trained.values,
                                  l->trained.grads);
    trained_changed(&l->trained);
    if (!isfinite(m->grad_norm))
        ok = tell(l, err, EVENT_WARN,
                  "Step %zu: the gradient is not a finite number; nothing was changed.", m->step);
    else
        ok = guard(l, &gradient, &t, opt.inv_t, m, err);
    fit_group(l, g, m->rows_sampled);
    l->state.trained_tokens += (uint64_t)t.n_tokens;
    m->seconds_training += clock_seconds() - began;
    return ok;
}

/* ---- validation and checkpoints ---- */

static bool validate(struct loop *l, size_t step, struct step_metrics *m, struct error *err)
{
    const struct reinforce_inputs *in = l->in;
    struct arena a = {0};
    struct evaluate_options opt = {
        .n_samples = l->recipe.eval_samples,
        .max_tokens = l->recipe.max_tokens,
        .effort = effort_of(str_of(l->recipe.reasoning_effort)),
        .pick = {.temperature = (float)l->recipe.temperature, .top_p = 1, .repetition_penalty = 1},
        .seed = l->recipe.seed,
        .purpose = PHILOX_EVAL,
        .step = (uint32_t)step,
        .stop = in->stop,
        .history = l->history,
        .tools = tools_of(l),
        .known = in->known};
    struct evaluate_result sampled, greedy = {.reward_mean = (double)NAN};
    bool ok = evaluate(l->engine, l->trained.adapter, in->prompter, in->valid, in->grader, &opt,
                       in->sink, &a, &sampled, err);

    opt.greedy = true;
    ok = ok && (in->known != NULL || evaluate(l->engine, l->trained.adapter, in->prompter,
                                              in->valid, in->grader, &opt, NULL, &a, &greedy, err));
    if (ok) {
        m->has_valid = true;
        m->valid_mean_reward = sampled.reward_mean;
        m->valid_ci95 = sampled.reward_ci95;
        m->valid_greedy_reward = greedy.reward_mean;
        m->valid_completion_tokens_mean = sampled.completion_tokens_mean;
        m->valid_reasoning_tokens_mean = sampled.reasoning_tokens_mean;
        memcpy(m->valid_grader_errors, sampled.grader_errors, sizeof m->valid_grader_errors);
        memcpy(m->grader_valid_mean, sampled.part_mean, sizeof m->grader_valid_mean);
        memcpy(m->valid_habit, sampled.habit, sizeof m->valid_habit);
        m->seconds_eval = sampled.seconds + greedy.seconds;
    }
    arena_release(&a);
    if (ok && sampled.n_lost > 0)
        ok = tell(
            l, err, EVENT_WARN,
            "Validation after step %zu: tools did not answer in %zu answers, which count as the others to their row or as 0. The first: %s",
            step, sampled.n_lost, sampled.first_lost);
    return ok;
}

/* Puts a step among the best, if it is; a later one must be better, not equal. */
static bool among_best(struct train_state *s, uint64_t step, double reward, size_t keep)
{
    size_t at = 0;

    while (at < s->n_best && s->best_reward[at] >= reward)
        at++;
    if (at >= size_min(keep, CHECKPOINT_BEST))
        return false;
    const size_t n = size_min(s->n_best + 1, size_min(keep, CHECKPOINT_BEST));
    for (size_t i = n - 1; i > at; i--) {
        s->best_step[i] = s->best_step[i - 1];
        s->best_reward[i] = s->best_reward[i - 1];
    }
    s->best_step[at] = step;
    s->best_reward[at] = reward;
    s->n_best = n;
    return true;
}

#define SOLVED_STEPS                                                                               \
    10 /* in a row without a prompt to learn from, all of them right: the rest would be the same */

/* All steps are done, or there is nothing left to learn. */
static bool is_over(const struct loop *l)
{
    return l->state.step >= l->total_steps || l->state.solved_steps >= SOLVED_STEPS;
}

static bool save(struct loop *l, const struct step_metrics *m, bool best, struct error *err)
{
    const bool stays = best || is_over(l);
    const struct checkpoint_parts parts = {.adapter = l->trained.adapter,
                                           .model = l->in->model,
                                           .optimizer = &l->trained.optimizer,
                                           .state = &l->state,
                                           .stays = stays};
    const struct progress_sink *sink = l->in->sink;
    const char *dir = NULL;
    bool ok = (sink == NULL || sink->before_checkpoint == NULL ||
               sink->before_checkpoint(sink->ctx, (size_t)l->state.step, err)) &&
              checkpoint_save(l->in->run_dir, &parts, &l->step, &dir, err) &&
              checkpoint_prune(l->in->run_dir, &l->state, l->recipe.keep_best,
                               l->recipe.keep_optimizer, err);

    if (ok && sink != NULL && sink->checkpoint != NULL) {
        const struct checkpoint_info info = {.step = (size_t)l->state.step,
                                             .best = best,
                                             .stays = stays,
                                             .dir = dir,
                                             .valid_mean_reward =
                                                 m->has_valid ? m->valid_mean_reward : (double)NAN};

        ok = sink->checkpoint(sink->ctx, &info, err);
    }
    return ok;
}

/* ---- the whole ---- */

/* A step that is given up has not happened: the steps before are not done twice. */
static bool give_up(struct loop *l, const struct train_state *before, struct error *err)
{
    const struct step_metrics none = {0};
    struct error ignored;

    l->state = *before;
    if ((err->kind == ERR_CANCELLED || err->kind == ERR_LIMIT) &&
        before->step > checkpoint_last(l->in->run_dir))
        (void)!save(l, &none, false, &ignored);
    return false;
}

/* Rewards of 0 that stand for failures would be learned from. */
static bool grader_works(const struct loop *l, const struct step_metrics *m, struct error *err)
{
    if ((double)m->n_grader_failed <= l->recipe.max_grader_errors * (double)m->n_samples)
        return true;
    return tell(l, err, EVENT_ERROR, "The grader's first failure in step %zu: %s", m->step,
                m->grader_failure) &&
           fail(
               err, ERR_LIMIT,
               "step %zu: the grader failed on %zu of %zu answers, more than max_grader_errors (%g of them) allows: mend it in a new run, or go on where the cause lay outside of it",
               m->step, m->n_grader_failed, m->n_samples, l->recipe.max_grader_errors);
}

/* The same of tools: what is lost is not learned from, but where all is lost nothing is. */
static bool tools_work(const struct loop *l, const struct step_metrics *m, struct error *err)
{
    struct error ignored;

    if ((double)m->n_tool_lost <= l->recipe.max_grader_errors * (double)m->n_samples)
        return true;
    if (l->tools.record != NULL && !tool_record_undo_step(l->tools.record, &ignored))
        return fail(err, ignored.kind, "%s", ignored.message);
    return tell(l, err, EVENT_ERROR, "The first answer that was lost in step %zu: %s", m->step,
                m->tool_failure) &&
           fail(
               err, ERR_LIMIT,
               "step %zu: tools did not answer in %zu of %zu answers, more than max_grader_errors (%g of them) allows: see that their servers run, and go on",
               m->step, m->n_tool_lost, m->n_samples, l->recipe.max_grader_errors);
}

static bool one_step(struct loop *l, struct error *err)
{
    struct step_metrics m = {.step = (size_t)l->state.step + 1,
                             .total_steps = (size_t)l->total_steps,
                             .temperature = l->recipe.temperature,
                             .epoch = (size_t)(l->state.cursor / l->in->train->n_rows)};
    const struct train_state before = l->state;
    const double began = clock_seconds();
    struct groups g = {0};
    struct rusage usage;
    bool best = false;

    arena_reset(&l->step);
    if (l->tools.record != NULL)
        tool_record_begin_step(l->tools.record);
    if (!sample_groups(l, &g, &m, err))
        return give_up(l, &before, err);
    groups_measure(&g, l->in->grader, &m);
    if (!tools_work(l, &m, err) || !grader_works(l, &m, err))
        return give_up(l, &before, err);
    if (!groups_weigh(&l->recipe, &g, err) || !update(l, &g, &m, err))
        return false;
    if (l->state.step == 0)
        l->state.first_reward = m.train_mean_reward;
    l->state.step++;
    l->state.solved_steps =
        m.n_groups_all_one * 10 >= m.n_groups * 9 ? l->state.solved_steps + 1 : 0;
    const bool last = is_over(l);
    if (l->in->valid != NULL && (last || l->state.step % l->recipe.eval_interval == 0)) {
        if (!validate(l, (size_t)l->state.step, &m, err))
            return false;
        best = among_best(&l->state, l->state.step, m.valid_mean_reward, l->recipe.keep_best);
    }
    trained_sha256(&l->trained, m.adapter_sha256);
    const struct ledger_inputs ledger = {
        .groups = &g, .grader = l->in->grader, .references = &l->references};
    if (!explain_step(&m, &l->recipe, &l->state, l->in->sink, err) ||
        !ledger_step(&l->state.ledger, &ledger, &m, l->in->sink, &l->step, err))
        return false;
    getrusage(RUSAGE_SELF, &usage);
    m.peak_rss_bytes = (size_t)usage.ru_maxrss * 1024;
    m.seconds_total = clock_seconds() - began;
    m.seconds_left = (clock_seconds() - l->began) / (double)(l->state.step - l->began_at_step) *
                     (double)(l->total_steps - l->state.step);
    if (!groups_tell(&l->recipe, &g, l->in->train, &m, l->in->sink, err) ||
        (l->in->sink != NULL && l->in->sink->step != NULL &&
         !l->in->sink->step(l->in->sink->ctx, &m, err)))
        return false;
    if (last || best || l->state.step % l->recipe.checkpoint_interval == 0)
        return save(l, &m, best, err);
    return true;
}

#define HISTORY_BYTES ((size_t)16 << 20) /* two million tokens */

static bool set_up(struct loop *l, struct error *err)
{
    const struct reinforce_inputs *in = l->in;
    const struct trained_options opt = {.recipe = &l->recipe,
                                        .start = in->start,
                                        .base_name = in->base_name,
                                        .keep_old = l->recipe.kl_undo > 0};

    if (!trained_open(in->model, &opt, &l->run, &l->trained, err))
        return false;
    l->history = history_open(HISTORY_BYTES);
    references_find(in->train, in->grader, &l->run, &l->references);
    return grade_queue_open(in->grader, 0, &l->queue, err);
}

/* Before anything of the job is taken: by what the recipe says so far. */
static bool plan_memory(struct loop *l, struct engine_options *eo, struct error *err)
{
    const struct reinforce_inputs *in = l->in;
    const size_t n_valid = in->valid != NULL ? in->valid->n_rows : 0;

    memory_peak_forget();
    l->memory =
        (struct memory_work){.model = in->model,
                             .recipe = &l->recipe,
                             .n_valid = n_valid,
                             .longest = l->longest_prompt,
                             .mean_prompt = (double)l->prompts.n_tokens / (double)l->prompts.n,
                             .trunk = l->prompts.trunk};
    memory_work_look(&l->memory);
    if (!memory_need_fits_here(in->model, &l->recipe, l->longest_prompt, l->memory.process,
                               memory_total(), err))
        return false;
    l->recipe.memory_bytes = recipe_memory_bytes(&l->recipe);
    l->plan = memory_plan_of(&l->memory);
    eo->kv_bytes = l->plan.kv_bytes;
    return true;
}

/* The recipe is settled: the plan that holds. */
static bool settle_memory(struct loop *l, struct error *err)
{
    const struct model *m = l->in->model;

    if (!memory_need_fits_here(m, &l->recipe, l->longest_prompt, l->memory.process, memory_total(),
                               err))
        return false;
    l->memory.cache_taken = (double)kv_pool_bytes(engine_pool(l->engine));
    l->plan = memory_plan_of(&l->memory);
    engine_limit(l->engine, l->plan.kv_bytes);
    if (!memory_plan_open_saved(&l->plan, &m->config, l->recipe.lora_rank, &l->saved, err))
        return false;
    l->watch = (struct memory_watch){.plan = &l->plan, .saved = l->saved, .sink = l->in->sink};
    return memory_plan_tell(&l->plan, l->in->sink, err);
}

static void note_prompt(struct loop *l, const struct prompt *p)
{
    struct prompts *all = &l->prompts;
    size_t same = 0;

    l->longest_prompt = size_max(l->longest_prompt, p->n);
    if (all->n == 0) {
        all->first = ARENA_ARRAY(&l->run, token_id, p->n);
        memcpy(all->first, p->tokens, p->n * sizeof *p->tokens);
        all->trunk = p->n - 1;
    }
    while (same < all->trunk && same + 1 < p->n && all->first[same] == p->tokens[same])
        same++;
    all->trunk = same;
    all->n++;
    all->n_tokens += p->n;
}

/* What an answer and what it is given may have at most. */
static size_t answer_tokens(const struct recipe *r)
{
    return size_max(1, r->max_tokens) + r->max_tool_tokens;
}

/* Rows whose prompt cannot be answered in the room there is are found before anything is spent. */
static bool check_prompts(struct loop *l, const struct dataset *d, struct error *err)
{
    struct arena a = {0};
    bool ok = true;

    for (size_t i = 0; ok && d != NULL && i < d->n_rows; i++) {
        struct prompt p;
        char what[320];

        arena_reset(&a);
        snprintf(what, sizeof what, "%.256s, line %zu", d->path, d->rows[i].line);
        ok = answers_prompt(l->in->prompter, &d->rows[i],
                            effort_of(str_of(l->recipe.reasoning_effort)), &a, &p, err) &&
             grader_check_item(l->in->grader, d->rows[i].item, what, err);
        const size_t most = l->recipe.max_prompt_tokens > 0 ? l->recipe.max_prompt_tokens
                                                            : l->in->model->max_positions - 1;
        if (ok && (p.n > most || p.n + answer_tokens(&l->recipe) > l->in->model->max_positions))
            ok = fail_param(
                err, ERR_LIMIT, "messages",
                "%s: the prompt has %zu tokens; with %zu for the answer%s, at most %zu fit", what,
                p.n, answer_tokens(&l->recipe),
                l->recipe.max_tool_tokens > 0 ? " and its tools (\"hone.max_tool_tokens\")" : "",
                size_min(most,
                         l->in->model->max_positions -
                             size_min(answer_tokens(&l->recipe), l->in->model->max_positions)));
        if (ok)
            note_prompt(l, &p);
    }
    arena_release(&a);
    return ok;
}

static void settle_steps(struct loop *l)
{
    const size_t rows = l->in->train->n_rows, b = l->recipe.batch_size;

    if (l->recipe.max_steps == 0 && l->recipe.n_epochs == 0)
        l->recipe.max_steps = 150;
    l->total_steps =
        l->recipe.max_steps > 0 ? l->recipe.max_steps : (l->recipe.n_epochs * rows + b - 1) / b;
    if (l->recipe.n_epochs == 0)
        l->recipe.n_epochs = size_max(1, (l->total_steps * b + rows - 1) / rows);
    if (l->recipe.eval_interval == 0)
        l->recipe.eval_interval = size_max(1, (size_t)l->total_steps / 10);
}

static bool tell_settled(const struct loop *l, struct error *err)
{
    const struct progress_sink *sink = l->in->sink;

    if (sink == NULL || sink->settled == NULL)
        return true;
    json_t *values = recipe_all(&l->recipe), *more = recipe_hyperparameters(&l->recipe);
    json_object_update_missing(values, more);
    json_decref(more);
    if (l->recipe.group_auto) /* of a run that goes on the size in use may be another */
        json_object_set_new(values, "group_size",
                            json_integer((json_int_t)preflight_group_size(&l->recipe, 0)));
    json_object_set_new(values, "total_steps", json_integer((json_int_t)l->total_steps));
    json_object_set_new(values, "memory_plan", memory_plan_json(&l->plan));
    const bool ok = sink->settled(sink->ctx, values, err);
    json_decref(values);
    return ok;
}

#define ROOM_FOR_CALLS 512 /* of tools, and for the answer */

/* Lengths are not measured where tools speak in between: a cut answer would say nothing of a whole one. */
static void settle_tools(struct recipe *r, const struct reinforce_inputs *in)
{
    const size_t positions = in->model->max_positions;

    if (in->tool_servers == NULL) {
        r->max_tool_tokens = 0;
        return;
    }
    r->max_tool_tokens = tools_room(r->max_tool_tokens, positions);
    if (r->max_tokens == 0)
        r->max_tokens = size_min(ROOM_FOR_CALLS, size_max(1, positions / 4));
}

/* What tools said in this run up to now, beside its checkpoints. at: the step that it goes on behind. */
static bool open_tools(struct loop *l, uint64_t at, struct error *err)
{
    const struct reinforce_inputs *in = l->in;

    if (in->tool_servers == NULL)
        return true;
    l->tools = (struct tools){.servers = in->tool_servers, .max_given = l->recipe.max_tool_tokens};
    if (in->tool_record != NULL)
        return tool_record_open_done(in->tool_record, &l->tools.record, err);
    return tool_record_open(file_join(&l->run, in->run_dir, TOOL_RECORD_FILE), !in->resume,
                            at > 0 ? (size_t)at + 1 : 0, &l->tools.record, err);
}

static bool begin(struct loop *l, struct error *err)
{
    const struct reinforce_inputs *in = l->in;
    const uint64_t at = in->resume ? checkpoint_last(in->run_dir) : 0;

    if (!open_tools(l, at, err))
        return false;

    l->state = (struct train_state){.rate_scale = 1};
    if (at > 0) {
        /* a kill may have come between a checkpoint and the removal of others */
        if (!checkpoint_load(in->run_dir, at, in->model, l->trained.adapter, &l->trained.optimizer,
                             &l->state, err) ||
            !checkpoint_prune(in->run_dir, &l->state, l->recipe.keep_best, l->recipe.keep_optimizer,
                              err))
            return false;
        trained_changed(&l->trained);
        l->recipe.max_tokens = (size_t)l->state.max_tokens;
        l->recipe.group_size = (size_t)l->state.group_size;
        l->recipe.group_auto = l->state.group_auto;
        if (in->sink != NULL && in->sink->rewind != NULL &&
            !in->sink->rewind(in->sink->ctx, (size_t)at, err))
            return false;
        return tell(l, err, EVENT_INFO, "Resumed after step %" PRIu64 ".", at) &&
               settle_memory(l, err) && tell_settled(l, err);
    }
    if (in->sink != NULL && in->sink->rewind != NULL && in->resume &&
        !in->sink->rewind(in->sink->ctx, 0, err))
        return false;
    if (!tell(l, err, EVENT_INFO,
              "Fine-tuning job started: %zu rows, %zu prompts a step, %" PRIu64 " steps.",
              in->train->n_rows, l->recipe.batch_size, l->total_steps) ||
        (l->rank_note[0] != '\0' && !tell(l, err, EVENT_INFO, "%s", l->rank_note)) ||
        !preflight_settle(l->engine, in, &l->recipe, err))
        return false;
    l->state.max_tokens = l->recipe.max_tokens;
    l->state.group_size = l->recipe.group_size;
    l->state.group_auto = l->recipe.group_auto;
    if (!settle_memory(l, err) || !tell_settled(l, err))
        return false;
    if (in->valid != NULL) {
        struct step_metrics m = {.total_steps = (size_t)l->total_steps};

        if (!validate(l, 0, &m, err))
            return false;
        l->state.base_valid_reward = m.valid_mean_reward;
        return tell(
            l, err, EVENT_INFO,
            "Before training, answers to the validation file earn %.3f +- %.3f (%.3f without chance).",
            m.valid_mean_reward, m.valid_ci95, m.valid_greedy_reward);
    }
    return true;
}

static void result_of(const struct loop *l, struct reinforce_result *out)
{
    *out = (struct reinforce_result){.steps = (size_t)l->state.step,
                                     .first_reward = l->state.first_reward,
                                     .base_valid_reward = l->state.base_valid_reward,
                                     .max_dlogp = l->state.max_dlogp,
                                     .trained_tokens = (size_t)l->state.trained_tokens};
    if (l->state.n_best > 0) {
        out->best_step = (size_t)l->state.best_step[0];
        out->best_valid_reward = l->state.best_reward[0];
    }
    out->planned_bytes = l->plan.peak;
    out->peak_bytes = memory_peak();
    trained_sha256(&l->trained, out->adapter_sha256);
}

bool reinforce(const struct reinforce_inputs *in, struct reinforce_result *out, struct error *err)
{
    struct loop l = {.in = in, .recipe = *in->recipe};
    struct engine_options eo = engine_defaults(in->model);
    bool ok;

    eo.max_live = l.recipe.max_live;
    eo.draft = in->draft != NULL ? *in->draft : DRAFT_AUTO;
    trained_take_rank(in->start, &l.recipe, l.rank_note, sizeof l.rank_note);
    settle_steps(&l);
    settle_tools(&l.recipe, in);
    ok = check_prompts(&l, in->train, err) && check_prompts(&l, in->valid, err) &&
         plan_memory(&l, &eo, err) &&
         engine_open(in->model, prompter_tokenizer(in->prompter), &eo, &l.engine, err) &&
         set_up(&l, err) && begin(&l, err);
    l.began = clock_seconds();
    l.began_at_step = l.state.step;
    while (ok && !is_over(&l)) {
        ok = one_step(&l, err);
        if (ok && in->stop != NULL && atomic_load(in->stop) && !is_over(&l)) {
            const struct step_metrics none = {0};

            ok = (l.state.step <= checkpoint_last(in->run_dir) || save(&l, &none, false, err)) &&
                 fail(err, ERR_CANCELLED, "stopped on request after step %" PRIu64, l.state.step);
        }
    }
    if (ok && l.state.step < l.total_steps)
        ok = tell(&l, err, EVENT_INFO,
                  "Ended after step %" PRIu64 " of %" PRIu64
                  ": in %d steps running nearly every answer was right, nothing is left to learn.",
                  l.state.step, l.total_steps, SOLVED_STEPS);
    ok = ok && memory_watch_end(&l.watch, err);
    if (ok)
        result_of(&l, out);
    grade_queue_close(l.queue);
    history_close(l.history);
    tool_record_close(l.tools.record);
    engine_close(l.engine);
    saved_pool_close(l.saved);
    trained_close(&l.trained);
    arena_release(&l.step);
    arena_release(&l.run);
    return ok;
}

bool reinforce_check(const struct reinforce_inputs *in, struct check_report *out, struct error *err)
{
    struct loop l = {.in = in, .recipe = *in->recipe};
    struct engine_options eo = engine_defaults(in->model);
    bool ok;

    eo.max_live = l.recipe.max_live;
    trained_take_rank(in->start, &l.recipe, l.rank_note, sizeof l.rank_note);
    settle_steps(&l);
    settle_tools(&l.recipe, in);
    ok = check_prompts(&l, in->train, err) && check_prompts(&l, in->valid, err) &&
         plan_memory(&l, &eo, err) &&
         engine_open(in->model, prompter_tokenizer(in->prompter), &eo, &l.engine, err) &&
         check_job(l.engine, in, &l.recipe, (size_t)l.total_steps, out, err);
    if (ok) {
        out->plan = memory_plan_of(&l.memory);
        out->memory_bytes = out->plan.peak;
    }
    engine_close(l.engine);
    arena_release(&l.run);
    return ok;
}
