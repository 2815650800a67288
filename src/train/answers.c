/*
 * answers.c - render, sample, and grade each answer the moment it ends.
 */
#include "train/answers.h"
#include "base/clock.h"

#include <stdio.h>
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

struct portion {
    const struct prompter *p;
    const struct dataset *d;
    struct grade_queue *queue;
    struct arena *a;
    struct answers *x;
    const struct answers_options *opt;
    const struct progress_sink *sink;
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
static void keep_prompt_rows(struct answers *x, size_t row, struct sample *const *samples,
                             struct arena *a)
{
    const size_t n = x->prompts[row].n;

    x->prompt_rows[row] = ARENA_ARRAY(a, struct saved_row *, n);
    saved_places(x->prompt_rows[row], samples[row][0].prompt_rows, n);
}

void answers_forget(const struct answers *x, size_t row, struct saved_pool *save)
{
    const struct answer_slot *slots = x->slots + row * x->n_samples;

    if (save == NULL)
        return;
    for (size_t i = slots[0].sample->n_shared; i < x->prompts[row].n; i++)
        saved_give(save, x->prompt_rows[row][i]);
    for (size_t s = 0; s < x->n_samples; s++)
        for (size_t k = 0; k < slots[s].sample->n; k++)
            saved_give(save, slots[s].sample->rows[k]);
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
            slots[i].input.truncated == slots[sample].input.truncated &&
            slots[i].input.unanswered == slots[sample].input.unanswered &&
            str_eq(slots[i].answer.text, slots[sample].answer.text) &&
            same_calls(&slots[i].input, &slots[sample].input))
            return i;
    return sample;
}

static bool same_tokens(const struct sample *a, const struct sample *b)
{
    return a->n == b->n && memcmp(a->tokens, b->tokens, a->n * sizeof *a->tokens) == 0;
}

static void forget_json(void *v)
{
    json_decref(v);
}

struct grade_sample answers_input(const struct prompter *p, const struct dataset_row *row,
                                  const struct sample *s, struct arena *a, struct answer *answer)
{
    const bool truncated = s->end == SAMPLE_LENGTH;
    struct tool_calls calls;
    json_t *tools = NULL;

    prompter_answer_tools(p, s, row->tools, 0, a, answer, &calls);
    if (json_array_size(row->tools) > 0) {
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
static void take_over(const struct answers *x, size_t i)
{
    struct answer_slot *slot = &x->slots[i];
    const struct answer_slot *first = &x->slots[i / x->n_samples * x->n_samples + slot->same_as];

    if (slot == first)
        return;
    slot->grade = first->grade;
    slot->grade.n_cached = slot->grade.n_asked_cache;
    memset(slot->grade.part_usage, 0, sizeof slot->grade.part_usage);
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

static void on_done(void *ctx, size_t row, size_t sample, const struct sample *s)
{
    struct portion *po = ctx;
    struct answer_slot *slot = &po->x->slots[row * po->x->n_samples + sample];

    const struct dataset_row *from = &po->d->rows[po->x->items[row]];

    slot->sample = copied(s, po->a);
    slot->input = answers_input(po->p, from, slot->sample, po->a, &slot->answer);
    slot->same_as = first_alike(po->x, row, sample);
    if (slot->same_as == sample && !is_known(po, row, sample, &slot->grade))
        grade_queue_put(po->queue, from->item, &slot->input, &slot->grade);
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

bool answers_get(struct engine *e, const struct adapter *adapter, const struct prompter *p,
                 const struct dataset *d, const size_t *items, size_t n_rows,
                 struct grade_queue *queue, const struct answers_options *opt,
                 const struct progress_sink *sink, struct arena *a, struct answers *out,
                 struct error *err)
{
    struct answers x = {.n_rows = n_rows,
                        .n_samples = opt->n_samples,
                        .items = items,
                        .prompts = ARENA_ARRAY(a, struct prompt, n_rows),
                        .slots = ARENA_ARRAY(a, struct answer_slot, n_rows * opt->n_samples)};
    struct sample_request *requests = ARENA_ARRAY(a, struct sample_request, n_rows);
    struct portion po = {.p = p, .d = d, .queue = queue, .a = a, .x = &x, .opt = opt, .sink = sink};
    const struct engine_hooks hooks = {.ctx = &po,
                                       .done = on_done,
                                       .tick = on_tick,
                                       .stop = opt->stop,
                                       .save = opt->save,
                                       .save_leave = opt->save_leave};
    struct sample **samples;

    for (size_t i = 0; i < n_rows; i++) {
        const struct dataset_row *row = &d->rows[items[i]];

        if (!answers_prompt(p, row, opt->effort, a, &x.prompts[i], err))
            return fail_while(err, "rendering %s, line %zu", d->path, row->line);
        requests[i] = (struct sample_request){
            .prompt = x.prompts[i].tokens,
            .n_prompt = x.prompts[i].n,
            .n_samples = opt->n_samples,
            .max_tokens = opt->max_tokens,
            .pick = opt->pick,
            .thinking = thinking_of(p, &x.prompts[i], opt->effort),
            .want_entropy = opt->want_entropy,
            .seed = opt->seed,
            .purpose = opt->purpose,
            .step = opt->step,
            .item = (uint32_t)items[i],
        };
    }
    double began = clock_seconds();
    bool ok = engine_run(e, adapter, requests, n_rows, &hooks, &samples, err);
    x.seconds_sampling = clock_seconds() - began;
    began = clock_seconds();
    /* also after a failure: the slots are being written */
    if (!answers_wait(queue, sink, opt->stop) && ok)
        ok = fail(err, ERR_CANCELLED, "stopped on request while answers were being graded");
    x.seconds_waiting = clock_seconds() - began;
    for (size_t i = 0; ok && i < n_rows * opt->n_samples; i++)
        take_over(&x, i);
    for (size_t i = 0; ok && i < n_rows; i++)
        find_alike(&x, i, a);
    if (ok && opt->save != NULL) {
        x.prompt_rows = ARENA_ARRAY(a, struct saved_row **, n_rows);
        for (size_t i = 0; i < n_rows; i++)
            keep_prompt_rows(&x, i, samples, a);
    }
    if (ok)
        *out = x;
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
                            .n_thinking_tokens = slot->sample->n_thinking,
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
