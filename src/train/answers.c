/*
 * answers.c - render, sample, and grade each answer the moment it ends.
 */
#include "train/answers.h"
#include "base/clock.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL_SECONDS 30 /* of waiting for grades alone, before an event tells of it */

bool answers_prompt(const struct prompter *p, const struct dataset_row *row, enum effort effort,
                    struct arena *a, struct prompt *out, struct error *err)
{
    json_t *vars = effort_variables(effort, p, NULL);
    const bool ok = prompter_render(p, row->messages, row->tools, vars, a, out, err);

    json_decref(vars);
    return ok;
}

/* A budget that the job gives in tokens and that of its effort both hold. */
static struct thinking_options thinking_of(const struct prompter *p, const struct prompt *to,
                                           enum effort effort)
{
    const struct effort_budgets budgets = effort_budgets_default();
    struct thinking_options t = prompter_thinking(p, to);
    const size_t own = t.budget;

    effort_apply(effort, &budgets, p, &t);
    if (own > 0 && (t.budget == 0 || own < t.budget))
        t.budget = own;
    return t;
}

struct answers_options answers_of_step(const struct recipe *r, uint32_t step,
                                       const atomic_bool *stop)
{
    return (struct answers_options){
        .n_samples = r->group_size,
        .max_tokens = r->max_tokens,
        .effort = effort_of(str_of(r->reasoning_effort)),
        .pick = {.temperature = (float)r->temperature, .top_p = 1, .repetition_penalty = 1},
        .seed = r->seed,
        .purpose = PHILOX_TOKEN,
        .step = step,
        .stop = stop};
}

struct row_state {
    size_t n_ended, n_asked; /* answers; those that were given to the graders */
    atomic_size_t n_graded;
    bool whole; /* all are graded, and what depends on all of them is done */
};

struct portion {
    const struct prompter *p;
    const struct dataset *d;
    struct grade_queue *queue;
    struct arena *a;
    struct answers *x;
    const struct answers_options *opt;
    const struct progress_sink *sink;
    struct sample_request *requests;
    struct episodes *episodes; /* NULL: nothing can be called */
    struct row_state *rows;
    size_t n_most, n_wanted;           /* rows; x->n_rows have begun */
    struct constraint_scratch scratch; /* where answers are held to a form */
    double seconds_waiting;
    bool failed;
    struct error *err;
};

static struct sample *copied(const struct sample *s, struct arena *a)
{
    struct sample *c = ARENA_NEW(a, struct sample);

    *c = *s;
    c->tokens = ARENA_ARRAY(a, token_id, s->n);
    c->logprobs = ARENA_ARRAY(a, float, s->n);
    c->injected = ARENA_ARRAY(a, bool, s->n);
    memcpy(c->tokens, s->tokens, s->n * sizeof *s->tokens);
    memcpy(c->logprobs, s->logprobs, s->n * sizeof *s->logprobs);
    memcpy(c->injected, s->injected, s->n * sizeof *s->injected);
    if (s->rows != NULL) {
        c->rows = ARENA_ARRAY(a, struct saved_row *, s->n);
        saved_places(c->rows, s->rows, s->n);
    }
    return c;
}

/* A copy of the engine's array: it is the same for all samples of a prompt. */
static void keep_prompt_rows(struct answers *x, size_t row, const struct sample *s, struct arena *a)
{
    const size_t n = x->prompts[row].n;

    x->prompt_rows[row] = ARENA_ARRAY(a, struct saved_row *, n);
    saved_places(x->prompt_rows[row], s->prompt_rows, n);
}

/* The places are empty afterwards: a row that is free may be somebody else's soon. */
static void give_rows(struct saved_pool *save, struct saved_row **rows, size_t from, size_t n)
{
    for (size_t i = from; i < n; i++)
        saved_give(save, rows[i]);
}

static void clear_rows(struct saved_row **rows, size_t from, size_t n)
{
    for (size_t i = from; i < n; i++)
        rows[i] = NULL;
}

void answers_forget(const struct answers *x, size_t row, struct saved_pool *save)
{
    const struct answer_slot *slots = x->slots + row * x->n_samples;
    const size_t shared = slots[0].sample->n_shared;

    if (save == NULL)
        return;
    give_rows(save, x->prompt_rows[row], shared, x->prompts[row].n);
    clear_rows(x->prompt_rows[row], shared, x->prompts[row].n);
    for (size_t s = 0; s < x->n_samples; s++)
        give_rows(save, slots[s].sample->rows, 0, slots[s].sample->n);
    for (size_t s = 0; s < x->n_samples; s++)
        clear_rows(slots[s].sample->rows, 0, slots[s].sample->n);
}

size_t answers_prompt_rows(const struct answers *x, size_t from, size_t n)
{
    struct arena a = {0};
    struct sample_request *q = ARENA_ARRAY(&a, struct sample_request, n);
    size_t rows = 0;

    for (size_t i = 0; i < n; i++) {
        q[i].prompt = x->prompts[from + i].tokens;
        q[i].n_prompt = x->prompts[from + i].n;
        rows += q[i].n_prompt;
    }
    const size_t common = engine_common_tokens(q, n);
    arena_release(&a);
    return common > 0 ? rows - (n - 1) * common : rows;
}

static bool same_calls(const struct grade_sample *a, const struct grade_sample *b)
{
    return json_array_size(a->output_tools) == 0
               ? json_array_size(b->output_tools) == 0
               : json_equal(a->output_tools, b->output_tools) != 0;
}

/* The first answer of the row that says the same; the sample itself where there is none. */
static size_t first_alike(const struct answers *x, size_t row, size_t sample)
{
    const struct answer_slot *slots = x->slots + row * x->n_samples;

    for (size_t i = 0; i < x->n_samples; i++)
        if (i != sample && slots[i].sample != NULL && slots[i].same_as == i &&
            slots[i].episode.lost == NULL &&
            slots[i].input.truncated == slots[sample].input.truncated &&
            slots[i].input.unanswered == slots[sample].input.unanswered &&
            str_eq(slots[i].answer.text, slots[sample].answer.text) &&
            same_calls(&slots[i].input, &slots[sample].input))
            return i;
    return sample;
}

static bool same_tokens(const struct sample *a, const struct sample *b)
{
    return a->n == b->n && a->end == b->end &&
           memcmp(a->tokens, b->tokens, a->n * sizeof *a->tokens) == 0;
}

static void forget_json(void *v)
{
    json_decref(v);
}

/* Those of an answer's earlier turns, then those of its last. */
static struct tool_calls all_calls(const struct episode *ep, const struct tool_calls *last,
                                   struct arena *a)
{
    const size_t n = ep != NULL ? json_array_size(ep->calls) : 0;
    struct tool_calls all = {.calls = ARENA_ARRAY(a, struct tool_call, n + last->n)};

    for (; all.n < n; all.n++) {
        const json_t *c = json_array_get(ep->calls, all.n);

        all.calls[all.n] =
            (struct tool_call){.name = json_str(json_object_get(c, "name")),
                               .arguments = json_str(json_object_get(c, "arguments")),
                               .whole = true};
    }
    for (size_t i = 0; i < last->n; i++)
        all.calls[all.n++] = last->calls[i];
    return all;
}

struct grade_sample answers_input(const struct prompter *p, const struct dataset_row *row,
                                  const struct sample *s, const struct episode *episode,
                                  struct arena *a, struct answer *answer)
{
    const bool truncated = s->end == SAMPLE_LENGTH;
    struct tool_calls calls;
    json_t *tools = NULL;

    prompter_answer_tools(p, s, row->tools, 0, a, answer, &calls);
    if (json_array_size(row->tools) > 0) {
        calls = all_calls(episode, &calls, a);
        tools = tool_calls_json(&calls, str_of(arena_printf(a, "row %zu", row->line)), 0);
        arena_defer(a, forget_json, tools);
    }
    return (struct grade_sample){.output_text = answer->text,
                                 .output_tools = tools,
                                 .truncated = truncated,
                                 .unanswered = !truncated && s->n_thinking > 0 &&
                                               answer->text.len == 0 && calls.n == 0};
}

/* An answer that equals another of its row has that one's grade, for which nobody was asked again. */
static void take_over(struct answer_slot *slot, const struct answer_slot *first)
{
    slot->grade = first->grade;
    slot->grade.n_cached = slot->grade.n_asked_cache;
    memset(slot->grade.part_usage, 0, sizeof slot->grade.part_usage);
}

/* Which of equal answers ended first, and was graded, is a matter of chance: the lowest stands for them. */
static void share_grades(const struct answers *x, size_t row)
{
    struct answer_slot *slots = x->slots + row * x->n_samples;

    for (size_t low = 0; low < x->n_samples; low++) {
        const size_t first = slots[low].same_as;

        if (first <= low) /* it stands for itself, or for none */
            continue;
        slots[low].grade = slots[first].grade;
        for (size_t i = low; i < x->n_samples; i++)
            if (slots[i].same_as == first)
                slots[i].same_as = low;
    }
    for (size_t i = 0; i < x->n_samples; i++)
        if (slots[i].same_as != i)
            take_over(&slots[i], &slots[slots[i].same_as]);
}

/* Parts the samples of a row into sets of equal tokens. */
static void find_alike(const struct answers *x, size_t row, struct arena *a)
{
    const size_t n = x->n_samples;
    struct answer_slot *slots = x->slots + row * n;
    size_t *next = ARENA_ARRAY(a, size_t, n);

    for (size_t s = 0; s < n; s++) {
        const size_t *set = next;

        if (slots[s].n_alike > 0)
            continue;
        for (size_t i = s; i < n; i++)
            if (slots[i].n_alike == 0 && same_tokens(slots[i].sample, slots[s].sample))
                *next++ = i;
        for (const size_t *i = set; i < next; i++) {
            slots[*i].alike = set;
            slots[*i].n_alike = (size_t)(next - set);
        }
    }
}

static bool is_known(const struct portion *po, size_t row, size_t sample, struct grade_result *out)
{
    const struct known_grades *k = po->opt->known;

    return k != NULL && k->get(k->ctx, po->opt->step, po->opt->purpose == PHILOX_EVAL,
                               po->x->items[row], sample, out);
}

/* What an answer called, for as long as the answer itself. */
static struct episode episode_kept(const struct portion *po, size_t row, size_t sample)
{
    struct episode ep = {0};

    if (po->episodes == NULL)
        return ep;
    ep = episodes_of(po->episodes, row, sample);
    if (ep.calls != NULL)
        arena_defer(po->a, forget_json, json_incref((json_t *)(uintptr_t)ep.calls));
    if (ep.lost != NULL)
        ep.lost = arena_text(po->a, str_of(ep.lost));
    return ep;
}

static bool on_goes_on(void *ctx, size_t row, size_t sample, const struct sample *s)
{
    const struct portion *po = ctx;

    return episodes_goes_on(po->episodes, row, sample, s);
}

static bool on_given(void *ctx, bool wait, struct given *out)
{
    const struct portion *po = ctx;

    return episodes_given(po->episodes, wait, out);
}

/*
 * Nobody knows what an answer would have been whose tool did not answer: it has the mean reward of the others, so that it
 * weighs nothing in its group.
 */
static void reward_lost(const struct answers *x, size_t row)
{
    struct answer_slot *slots = x->slots + row * x->n_samples;
    double sum = 0;
    size_t n = 0;

    for (size_t s = 0; s < x->n_samples; s++) {
        sum += slots[s].episode.lost == NULL ? slots[s].grade.reward : 0;
        n += slots[s].episode.lost == NULL;
    }
    for (size_t s = 0; s < x->n_samples; s++)
        if (slots[s].episode.lost != NULL)
            slots[s].grade = (struct grade_result){.reward = n > 0 ? sum / (double)n : 0};
}

static void on_done(void *ctx, size_t row, size_t sample, const struct sample *s)
{
    struct portion *po = ctx;
    struct answer_slot *slot = &po->x->slots[row * po->x->n_samples + sample];

    const struct dataset_row *from = &po->d->rows[po->x->items[row]];
    struct row_state *state = &po->rows[row];

    slot->sample = copied(s, po->a);
    slot->episode = episode_kept(po, row, sample);
    slot->input = answers_input(po->p, from, slot->sample, &slot->episode, po->a, &slot->answer);
    state->n_ended++;
    slot->same_as = sample;
    if (slot->episode.lost != NULL)
        return;
    slot->same_as = first_alike(po->x, row, sample);
    if (slot->same_as != sample || is_known(po, row, sample, &slot->grade))
        return;
    state->n_asked++;
    grade_queue_put_counted(po->queue, from->item, &slot->input, &slot->grade, &state->n_graded);
}

static void on_tick(void *ctx, size_t n_done, size_t n_total)
{
    const struct portion *po = ctx;

    if (po->sink != NULL && po->sink->tick != NULL)
        po->sink->tick(po->sink->ctx, "sampling", n_done, n_total);
}

/* ---- waiting for grades ---- */

struct patience {
    const struct grader *grader;
    const struct progress_sink *sink;
};

/* A name for a long wait, in the events. */
static void on_waiting(void *ctx, const struct grade_wait *w)
{
    const struct patience *p = ctx;
    struct error unheard = {0}; /* what is told beside the work does not end it */
    char text[320], limit[64] = "";

    if (w->may_take_s > 0)
        snprintf(limit, sizeof limit, ", of at most %.0f s a call", w->may_take_s);
    snprintf(
        text, sizeof text,
        "Waiting for grades: %zu answers have none yet; the grader \"%.64s\" (%s) has held one for %.0f s%s.",
        w->n_open, grader_name(p->grader, w->part), grader_type(p->grader, w->part), w->seconds,
        limit);
    if (!p->sink->event(p->sink->ctx, EVENT_WARN, text, &unheard))
        return;
}

bool answers_wait(struct grade_queue *q, const struct progress_sink *sink, const atomic_bool *stop)
{
    struct patience p = {.grader = grade_queue_grader(q), .sink = sink};
    const bool heard = sink != NULL && sink->event != NULL;
    const struct grade_waiter waiter = {
        .ctx = &p, .waiting = heard ? on_waiting : NULL, .first_s = TELL_SECONDS, .stop = stop};

    return grade_queue_wait(q, &waiter);
}

/* ---- row by row ---- */

/* The request for the next row. */
static bool begin_row(struct portion *po)
{
    const struct answers_options *opt = po->opt;
    struct answers *x = po->x;
    const size_t i = x->n_rows;
    const struct dataset_row *row = &po->d->rows[x->items[i]];
    struct prompt *prompt = &x->prompts[i];
    struct sample_request *q = &po->requests[i];

    if (!answers_prompt(po->p, row, opt->effort, po->a, prompt, po->err))
        return fail_while(po->err, "rendering %s, line %zu", po->d->path, row->line);
    *q = (struct sample_request){
        .prompt = prompt->tokens,
        .n_prompt = prompt->n,
        .n_samples = opt->n_samples,
        .max_tokens = opt->max_tokens,
        .max_given =
            po->episodes != NULL && json_array_size(row->tools) > 0 ? opt->tools->max_given : 0,
        .pick = opt->pick,
        .thinking = thinking_of(po->p, prompt, opt->effort),
        .constraint = prompter_held(po->p),
        .want_entropy = opt->want_entropy,
        .seed = opt->seed,
        .purpose = opt->purpose,
        .step = opt->step,
        .item = (uint32_t)x->items[i],
    };
    if (q->constraint != NULL && json_array_size(row->tools) > 0)
        return fail_param(po->err, ERR_UNSUPPORTED, "response_format",
                          "%s, line %zu has \"tools\": calls of them are not held to the job's "
                          "\"response_format\"; leave one of the two out",
                          po->d->path, row->line);
    if (x->rules != NULL)
        x->rules[i] =
            prompter_rules(po->p, &q->thinking, i > 0 ? &x->rules[0] : NULL, &po->scratch, po->a);
    q->before = history_find(opt->history, q->prompt, q->n_prompt, &q->n_before);
    x->n_rows++;
    return true;
}

/* All answers of the row are graded. */
static void finish_row(struct portion *po, size_t row)
{
    struct answers *x = po->x;

    po->rows[row].whole = true;
    share_grades(x, row);
    reward_lost(x, row);
    find_alike(x, row, po->a);
    if (po->opt->save != NULL)
        keep_prompt_rows(x, row, x->slots[row * x->n_samples].sample, po->a);
}

/* Rows of which all answers are graded by now, and how many they ask for. */
static void look_for_whole_rows(struct portion *po)
{
    for (size_t row = 0; row < po->x->n_rows; row++) {
        const struct row_state *s = &po->rows[row];

        if (s->whole || s->n_ended < po->x->n_samples || atomic_load(&s->n_graded) < s->n_asked)
            continue;
        finish_row(po, row);
        if (po->opt->again != NULL && po->opt->again(po->opt->again_ctx, po->x, row))
            po->n_wanted++;
    }
}

static size_t on_wanted(void *ctx, bool idle)
{
    struct portion *po = ctx;
    const bool begun = po->x->n_rows > 0;

    if (begun && po->opt->again != NULL && idle) { /* the last grades decide */
        const double began = clock_seconds();
        const bool stopped = !answers_wait(po->queue, po->sink, po->opt->stop);

        po->seconds_waiting += clock_seconds() - began;
        if (stopped)
            return po->x->n_rows;
    }
    if (begun && po->opt->again != NULL && (idle || !po->opt->late))
        look_for_whole_rows(po);
    while (!po->failed && po->x->n_rows < po->n_wanted && po->x->n_rows < po->n_most)
        po->failed = !begin_row(po);
    return po->x->n_rows;
}

/* What was answered helps to answer the same prompts again. */
static void remember(const struct answers *x, struct history *h)
{
    for (size_t i = 0; h != NULL && i < x->n_rows * x->n_samples; i++) {
        const struct prompt *p = &x->prompts[i / x->n_samples];
        const struct sample *s = x->slots[i].sample;

        if (x->slots[i].alike[0] == i % x->n_samples)
            history_add(
                h, p->tokens, p->n,
                &(struct draft_text){.tokens = s->tokens, .logprobs = s->logprobs, .n = s->n});
    }
}

/* Kilobytes each, and many may never be used: pages that the system gives when they are. */
static struct answer_slot *slots_for(size_t n, struct arena *a)
{
    struct answer_slot *slots = calloc(size_max(1, n), sizeof *slots);

    if (slots == NULL)
        abort();
    arena_defer(a, free, slots);
    return slots;
}

bool answers_get(struct engine *e, const struct adapter *adapter, const struct prompter *p,
                 const struct dataset *d, const size_t *items, size_t n_rows,
                 struct grade_queue *queue, const struct answers_options *opt,
                 const struct progress_sink *sink, struct arena *a, struct answers *out,
                 struct error *err)
{
    struct answers x = {.n_samples = opt->n_samples,
                        .items = items,
                        .prompts = ARENA_ARRAY(a, struct prompt, n_rows),
                        .slots = slots_for(n_rows * opt->n_samples, a)};
    struct portion po = {.p = p,
                         .d = d,
                         .queue = queue,
                         .a = a,
                         .x = &x,
                         .opt = opt,
                         .sink = sink,
                         .requests = ARENA_ARRAY(a, struct sample_request, n_rows),
                         .rows = ARENA_ARRAY(a, struct row_state, n_rows),
                         .n_most = n_rows,
                         .n_wanted = opt->again != NULL ? opt->n_first : n_rows,
                         .err = err};
    const struct engine_hooks hooks = {.ctx = &po,
                                       .done = on_done,
                                       .tick = on_tick,
                                       .stop = opt->stop,
                                       .wanted = on_wanted,
                                       .goes_on = opt->tools != NULL ? on_goes_on : NULL,
                                       .given = opt->tools != NULL ? on_given : NULL,
                                       .save = opt->save,
                                       .save_leave = opt->save_leave};
    struct sample **samples;

    if (opt->save != NULL)
        x.prompt_rows = ARENA_ARRAY(a, struct saved_row **, n_rows);
    if (prompter_held(p) != NULL) {
        if (!constraint_scratch_open(&po.scratch, prompter_held(p), err))
            return false;
        x.rules = ARENA_ARRAY(a, struct answer_rules, n_rows);
    }
    if (opt->tools != NULL)
        po.episodes = episodes_open(
            &(struct episodes_options){.tools = opt->tools,
                                       .prompter = p,
                                       .data = d,
                                       .items = items,
                                       .n_rows = n_rows,
                                       .n_samples = opt->n_samples,
                                       .effort = opt->effort,
                                       .use = opt->purpose != PHILOX_EVAL ? TOOL_TRAIN
                                              : opt->pick.temperature > 0 ? TOOL_VALID
                                                                          : TOOL_LIKELIEST,
                                       .step = opt->step});
    double began = clock_seconds();
    bool ok = engine_run(e, adapter, po.requests, n_rows, &hooks, &samples, err) && !po.failed;
    x.seconds_sampling = clock_seconds() - began - po.seconds_waiting;
    began = clock_seconds();
    /* also after a failure: the slots are being written */
    if (!answers_wait(queue, sink, opt->stop) && ok)
        ok = fail(err, ERR_CANCELLED, "stopped on request while answers were being graded");
    x.seconds_waiting = clock_seconds() - began + po.seconds_waiting;
    ok = ok && (po.episodes == NULL || episodes_ok(po.episodes, err));
    episodes_close(po.episodes);
    constraint_scratch_close(&po.scratch);
    for (size_t i = 0; ok && i < x.n_rows; i++)
        if (!po.rows[i].whole)
            finish_row(&po, i);
    if (ok) {
        remember(&x, opt->history);
        *out = x;
    }
    return ok;
}

struct rollout answers_rollout(const struct answers *x, const struct dataset *d, size_t row,
                               size_t sample)
{
    const struct answer_slot *slot = &x->slots[row * x->n_samples + sample];

    return (struct rollout){.item = x->items[row],
                            .sample = sample,
                            .alike = slot->alike,
                            .n_alike = slot->n_alike,
                            .prompt = x->prompts[row].text,
                            .row = d->rows[x->items[row]].item,
                            .n_tokens = slot->sample->n,
                            .tokens = slot->sample->tokens,
                            .logprobs = slot->sample->logprobs,
                            .thinking = slot->answer.thinking,
                            .answer = slot->answer.text,
                            .tool_calls = slot->input.output_tools,
                            .tool_steps = slot->episode.calls,
                            .injected = slot->sample->injected,
                            .n_given = slot->sample->n_given,
                            .lost = slot->episode.lost,
                            .n_thinking_tokens =
                                slot->sample->n_thinking_before + slot->sample->n_thinking,
                            .truncated = slot->sample->end == SAMPLE_LENGTH,
                            .grade = &slot->grade};
}

bool answers_tell(const struct answers *x, const struct dataset *d, size_t step, bool valid,
                  const struct progress_sink *sink, struct error *err)
{
    for (size_t i = 0; i < x->n_rows; i++) {
        for (size_t s = 0; s < x->n_samples; s++) {
            struct rollout r = answers_rollout(x, d, i, s);

            r.step = step;
            r.valid = valid;
            if (!sink->rollout(sink->ctx, &r, err))
                return false;
        }
    }
    return true;
}
