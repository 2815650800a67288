/*
 * episodes.c - for each answer the calls of its turn that are under way, and those that were answered.
 */
#include "train/episodes.h"
#include "base/size.h"
#include "sample/turn.h"

#include <stdlib.h>
#include <string.h>

struct turn_call {
    struct tool_ask ask;
    struct arena arena; /* of the thread that asks */
    char call_id[TOOL_ID_BYTES];
};

struct played { /* an answer */
    size_t row, sample, n_turns, room;
    struct turn_call *calls; /* [n_calls] of this turn */
    size_t n_calls, n_open;
    json_t *done;
    struct episode told;
};

struct episodes {
    struct episodes_options opt;
    struct arena arena, scratch;
    struct played *all;                   /* [n_rows, n_samples] */
    struct tool_ask *known, **last_known; /* answered by the record */
    bool failed;
    struct error err;
};

#define ROOM_FOR_TOOLS 1024

size_t tools_room(size_t asked, size_t positions)
{
    return asked > 0 ? asked : size_min(ROOM_FOR_TOOLS, size_max(1, positions / 4));
}

struct episodes *episodes_open(const struct episodes_options *opt)
{
    struct episodes *e = calloc(1, sizeof *e);

    if (e == NULL)
        abort(); /* a few hundred bytes */
    e->opt = *opt;
    e->last_known = &e->known;
    e->all = ARENA_ARRAY(&e->arena, struct played, opt->n_rows * opt->n_samples);
    for (size_t i = 0; i < opt->n_rows * opt->n_samples; i++)
        e->all[i] = (struct played){.row = i / opt->n_samples, .sample = i % opt->n_samples};
    return e;
}

/* Its calls came back; or nobody asks for them any more. */
static void forget_calls(struct played *x)
{
    for (size_t i = 0; i < x->n_calls; i++)
        arena_release(&x->calls[i].arena);
    x->n_calls = x->n_open = 0;
}

void episodes_close(struct episodes *e)
{
    if (e == NULL)
        return;
    tool_servers_drop(e->opt.tools->servers);
    for (size_t i = 0; i < e->opt.n_rows * e->opt.n_samples; i++) {
        forget_calls(&e->all[i]);
        json_decref(e->all[i].done);
    }
    arena_release(&e->arena);
    arena_release(&e->scratch);
    free(e);
}

static const struct dataset_row *row_of(const struct episodes *e, const struct played *x)
{
    return &e->opt.data->rows[e->opt.items[x->row]];
}

/* An item may come twice in a step, at the end of an epoch; its answers are then the same, and their calls others. */
static size_t times_before(const struct episodes *e, size_t row)
{
    size_t n = 0;

    for (size_t i = 0; i < row; i++)
        n += e->opt.items[i] == e->opt.items[row];
    return n;
}

static struct tool_key key_of(const struct episodes *e, const struct played *x, size_t call)
{
    return (struct tool_key){.use = e->opt.use,
                             .step = e->opt.step,
                             .item = e->opt.items[x->row],
                             .again = times_before(e, x->row),
                             .sample = x->sample,
                             .turn = x->n_turns,
                             .call = call};
}

/* ---- out ---- */

static void send(struct episodes *e, struct played *x, size_t i)
{
    const struct tools *t = e->opt.tools;
    const struct tool_key key = key_of(e, x, i);
    struct tool_ask *ask = &x->calls[i].ask;
    const bool known = t->record != NULL && tool_record_find(t->record, &key, ask);

    if (!known && (t->record == NULL || !tool_record_is_done(t->record))) {
        ask->next = NULL;
        tool_servers_put(t->servers, ask);
        return;
    }
    if (!known) {
        ask->end = TOOL_LOST;
        ask->output = STR("the run that is done again has no record of this call");
    }
    ask->next = NULL;
    *e->last_known = ask;
    e->last_known = &ask->next;
}

static void begin_calls(struct episodes *e, struct played *x, const struct tool_calls *calls)
{
    const struct tool_key key = key_of(e, x, 0);
    const char *trace = arena_printf(&e->arena, "%s-%zu-%zu-%zu", tool_use_name(key.use), key.step,
                                     key.item, key.sample);

    if (key.again > 0)
        trace = arena_printf(&e->arena, "%s-again-%zu", trace, key.again);
    x->calls = ARENA_ARRAY(&e->arena, struct turn_call, calls->n);
    x->n_calls = x->n_open = calls->n;
    for (size_t i = 0; i < calls->n; i++) {
        struct turn_call *c = &x->calls[i];

        tool_call_id(str_of(trace), x->n_turns, i, c->call_id);
        c->ask = (struct tool_ask){.name = arena_str(&c->arena, calls->calls[i].name),
                                   .arguments = arena_str(&c->arena, calls->calls[i].arguments),
                                   .call_id = str_of(c->call_id),
                                   .trace_id = str_of(trace),
                                   .arena = &c->arena,
                                   .ctx = x};
    }
    for (size_t i = 0; i < calls->n; i++)
        send(e, x, i);
}

bool episodes_goes_on(struct episodes *e, size_t row, size_t sample, const struct sample *s)
{
    struct played *x = &e->all[row * e->opt.n_samples + sample];
    const struct tools *t = e->opt.tools;
    struct tool_calls calls;
    struct answer answer;

    if (e->failed || x->n_turns + 1 >= tool_servers_max_steps(t->servers))
        return false;
    arena_reset(&e->scratch);
    prompter_answer_tools(e->opt.prompter, s, row_of(e, x)->tools, 0, &e->scratch, &answer, &calls);
    for (size_t i = 0; i < calls.n; i++)
        if (!calls.calls[i].whole || !tool_servers_has(t->servers, calls.calls[i].name))
            return false;
    if (calls.n == 0)
        return false;
    x->room = t->max_given - s->n_given;
    begin_calls(e, x, &calls);
    return true;
}

/* ---- back ---- */

static struct str too_long(struct episodes *e, struct str output)
{
    return str_of(arena_printf(
        &e->scratch, "Error: the output has %zu bytes, which is more than there is room for.",
        output.len));
}

/* The ids as templates want them: the strictest takes nine letters and digits. */
static struct str short_id(struct str id)
{
    return str_from(id, id.len - size_min(id.len, 9));
}

static bool render(struct episodes *e, const struct played *x, const struct tool_result *results,
                   struct prompt *out)
{
    const struct dataset_row *row = row_of(e, x);
    json_t *vars = effort_variables(e->opt.effort, e->opt.prompter, NULL);
    const bool ok = prompter_tool_turn(e->opt.prompter, row->messages, row->tools, vars, results,
                                       x->n_calls, &e->scratch, out, &e->err);

    json_decref(vars);
    if (!ok)
        (void)fail_while(&e->err, "rendering what a tool said for %s, line %zu", e->opt.data->path,
                         row->line);
    return ok;
}

/* A result that cannot be guarded (it has all of the characters that would mark it) is told as that. */
static bool render_said(struct episodes *e, const struct played *x, struct tool_result *results,
                        struct prompt *out)
{
    if (render(e, x, results, out))
        return true;
    if (e->err.kind != ERR_INVALID)
        return false;
    for (size_t i = 0; i < x->n_calls; i++)
        results[i].output = STR("Error: the output holds what looks like special tokens.");
    return render(e, x, results, out);
}

/* What was called and what the model was told stands in the answer's own list. */
static void note(struct episodes *e, struct played *x, const struct tool_result *results)
{
    if (x->done == NULL)
        x->done = json_array();
    x->told.calls = x->done;
    for (size_t i = 0; i < x->n_calls; i++) {
        const struct tool_ask *ask = &x->calls[i].ask;
        json_t *one = json_pack("{s:i, s:s%, s:s%, s:s}", "turn", (int)x->n_turns, "name",
                                ask->name.ptr, ask->name.len, "arguments", ask->arguments.ptr,
                                ask->arguments.len, "end", tool_end_name(ask->end));

        json_object_set_new(one, "output",
                            json_stringn(results[i].output.ptr, results[i].output.len));
        json_array_append_new(x->done, one);
        x->told.n_calls++;
        x->told.n_refused += ask->end == TOOL_REFUSED;
        x->told.seconds += ask->seconds;
        if (ask->end == TOOL_LOST && x->told.lost == NULL)
            x->told.lost = arena_printf(&e->arena, "%.64s: " STR_FMT,
                                        arena_text(&e->scratch, ask->name), STR_ARG(ask->output));
    }
}

/* All calls of the turn came back. */
static void finish_turn(struct episodes *e, struct played *x, struct given *out)
{
    struct tool_result *results;
    struct prompt prompt = {0};

    arena_reset(&e->scratch);
    results = ARENA_ARRAY(&e->scratch, struct tool_result, x->n_calls);
    for (size_t i = 0; i < x->n_calls; i++)
        results[i] = (struct tool_result){.name = x->calls[i].ask.name,
                                          .call_id = short_id(x->calls[i].ask.call_id),
                                          .output = x->calls[i].ask.output};
    bool ok = !e->failed && render_said(e, x, results, &prompt);
    if (ok && prompt.n > x->room) {
        for (size_t i = 0; i < x->n_calls; i++)
            results[i].output = too_long(e, results[i].output);
        ok = render(e, x, results, &prompt);
    }
    e->failed = e->failed || !ok;
    note(e, x, results);
    *out = (struct given){.request = x->row,
                          .sample = x->sample,
                          .tokens = prompt.tokens,
                          .n = prompt.n,
                          .thinking = prompt.thinking,
                          .ends = !ok || x->told.lost != NULL || prompt.n > x->room,
                          .end = !ok || x->told.lost != NULL ? SAMPLE_CANCELLED : SAMPLE_LENGTH};
    x->n_turns++;
    forget_calls(x);
}

#define WAIT_SECONDS 0.1 /* before a stop is looked for */

static struct tool_ask *next_answer(struct episodes *e, bool wait, bool *known)
{
    struct tool_ask *ask = e->known;

    *known = ask != NULL;
    if (ask == NULL)
        return tool_servers_get(e->opt.tools->servers, wait ? WAIT_SECONDS : 0);
    e->known = ask->next;
    if (e->known == NULL)
        e->last_known = &e->known;
    return ask;
}

bool episodes_given(struct episodes *e, bool wait, struct given *out)
{
    struct tool_ask *ask;
    bool known;

    while ((ask = next_answer(e, wait, &known)) != NULL) {
        struct played *x = ask->ctx;
        size_t i = 0;

        while (&x->calls[i].ask != ask)
            i++;
        const struct tool_key key = key_of(e, x, i);
        if (!known && e->opt.tools->record != NULL && !e->failed)
            e->failed = !tool_record_put(e->opt.tools->record, &key, ask, &e->err);
        if (--x->n_open > 0)
            continue;
        finish_turn(e, x, out);
        return true;
    }
    return false;
}

bool episodes_ok(const struct episodes *e, struct error *err)
{
    if (e->failed)
        *err = e->err;
    return !e->failed;
}

struct episode episodes_of(const struct episodes *e, size_t row, size_t sample)
{
    return e->all[row * e->opt.n_samples + sample].told;
}
