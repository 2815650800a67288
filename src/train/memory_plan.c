/*
 * memory_plan.c - parts from shapes and counts; what is left over goes to the cache, then to kept rows.
 */
#include "train/memory_plan.h"
#include "base/memory.h"
#include "base/size.h"
#include "model/kv.h"
#include "sample/engine.h"
#include "train/answers.h"
#include "train/evaluate.h"
#include "train/memory_need.h"
#include "train/preflight.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SLACK 1.05 /* a peak may be so many times the planned one */
#define SPARE 32e6 /* and the machine keeps so much for itself */

void memory_work_look(struct memory_work *w)
{
    const double resident = memory_resident();

    w->process = fmax(0, resident - (double)model_bytes(w->model));
    w->room = resident + memory_available();
}

/* ---- the cache ---- */

struct asked { /* answers that are sampled in one go */
    size_t rows, samples, tokens;
};

static double own_prompt(const struct memory_work *w)
{
    return fmax(0, w->mean_prompt - (double)w->trunk);
}

/*
 * Pages of one prompt's answers as they come to be: a place where answers part begins a page, most of them at the first tokens, so
 * that a part of the answers shares it.
 */
#define PARTING 0.25
static double pages_taken(const struct memory_work *w, const struct asked *a)
{
    const double prompt = ceil(own_prompt(w) / KV_PAGE);

    if (a->samples == 1)
        return prompt + (double)a->tokens / KV_PAGE;
    return prompt + (double)a->samples * (ceil((double)(a->tokens - 1) / KV_PAGE) + PARTING);
}

/* As many as they are let in for: engine.c. */
static double pages_promised(const struct memory_work *w, const struct asked *a)
{
    return floor(w->mean_prompt / KV_PAGE) + 1 +
           (double)a->samples * (double)(a->tokens / KV_PAGE + 2);
}

/* Prompts whose answers grow at one time. */
static double prompts_at_once(const struct memory_work *w, const struct asked *a, double max_pages)
{
    const double live = floor((double)w->recipe->max_live / (double)a->samples);
    const double fit = floor(max_pages / pages_promised(w, a));

    return fmax(1, fmin((double)a->rows, fmin(live, fit)));
}

static size_t samples_of(const struct memory_work *w)
{
    return w->recipe->group_size > 0 ? w->recipe->group_size : 16;
}

/* Everything that a job of reinforcement samples; how many. */
static size_t all_asked(const struct memory_work *w, struct asked out[3])
{
    const struct recipe *r = w->recipe;
    const size_t tokens =
        (r->max_tokens > 0 ? r->max_tokens : PREFLIGHT_TOKENS) + r->max_tool_tokens;
    const size_t valid = size_min(EVALUATE_ROWS, w->n_valid);
    size_t n = 0;

    out[n++] = (struct asked){size_max(1, r->batch_size), samples_of(w), tokens};
    if (valid > 0) {
        out[n++] = (struct asked){valid, size_max(1, r->eval_samples), tokens};
        out[n++] = (struct asked){valid, 1, tokens};
    }
    return n;
}

/* Bytes of the cache at its fullest, where no more than kv_bytes are handed out at a time. */
static double cache_bytes(const struct memory_work *w, double kv_bytes)
{
    const double page = (double)kv_page_bytes(&w->model->config);
    struct asked asked[3];
    double most = 0;

    if (w->recipe->method != METHOD_REINFORCEMENT) { /* the pages of a pass */
        const double rows = (double)memory_pass_rows(w->recipe, w->longest);

        return page * (rows / KV_PAGE + 2 * ceil(rows / (double)size_max(1, w->longest)));
    }
    for (size_t n = all_asked(w, asked), i = 0; i < n; i++)
        most =
            fmax(most, prompts_at_once(w, &asked[i], kv_bytes / page) * pages_taken(w, &asked[i]));
    return page * (most + ceil((double)w->trunk / KV_PAGE));
}

/* ---- what is kept ---- */

static double rows_of_step(const struct memory_work *w)
{
    const struct recipe *r = w->recipe;
    struct recipe settled = *r;

    if (r->method != METHOD_REINFORCEMENT) /* of one pass, then of the next */
        return (double)memory_pass_rows(r, w->longest);
    settled.group_size = samples_of(w);
    settled.max_tokens = r->max_tokens > 0 ? r->max_tokens : PREFLIGHT_TOKENS;
    const double group = (double)memory_group_rows(&settled, size_max(1, (size_t)w->mean_prompt));
    return (double)size_max(1, r->batch_size) * (group - (double)w->trunk) + (double)w->trunk;
}

/* Rows of the largest forward pass that something is computed in. */
static size_t forward_rows(const struct memory_work *w, bool recomputes)
{
    const size_t most = engine_defaults(w->model).prefill_rows;
    struct asked asked[3];
    double rows = (double)w->trunk;

    if (w->recipe->method != METHOD_REINFORCEMENT)
        return memory_pass_rows(w->recipe, w->longest);
    if (recomputes)
        rows = (double)memory_pass_rows(w->recipe, w->longest);
    for (size_t n = all_asked(w, asked), i = 0; i < n; i++) {
        const double live = fmin((double)(asked[i].rows * asked[i].samples),
                                 fmax((double)asked[i].samples, (double)w->recipe->max_live));

        rows = fmax(rows, fmax(live, fmin((double)most, (double)asked[i].rows * own_prompt(w))));
    }
    return (size_t)rows;
}

/* Answers with their grades, and the samples they were made of; their texts are told and forgotten. */
static double answers_bytes(const struct memory_work *w)
{
    const double a_token = 2 * (sizeof(token_id) + sizeof(float) + 1 + sizeof(void *));
    struct asked asked[3];
    double most = 0;

    if (w->recipe->method != METHOD_REINFORCEMENT)
        return 0;
    for (size_t n = all_asked(w, asked), i = 0; i < n; i++)
        most = fmax(most, (double)(asked[i].rows * asked[i].samples) *
                              (sizeof(struct answer_slot) + (double)asked[i].tokens * a_token));
    return most * (double)size_max(1, w->recipe->refill);
}

/* As many lean rows as leave none of the step's without a place, the rest of kept to whole ones; how many are lean. */
static double share_out(struct memory_plan *p, double row, double lean_row, double rows)
{
    const double whole = fmax(0, (p->kept - rows * lean_row) / (row - lean_row));
    const double n = floor(fmin(rows - floor(whole), p->kept / lean_row));

    p->lean = n * lean_row;
    return n;
}

struct memory_plan memory_plan_of(const struct memory_work *w)
{
    const struct recipe *r = w->recipe;
    const struct model_config *c = &w->model->config;
    const struct memory_need need = memory_need_of(w->model, NULL, r, w->longest);
    const double row = (double)saved_row_bytes(c, r->lora_rank), rows = rows_of_step(w);
    const double lean_row = (double)saved_lean_bytes(c);
    const size_t pass_rows = memory_pass_rows(r, w->longest);
    const bool reinforcement = r->method == METHOD_REINFORCEMENT;
    const double most_kv = (double)engine_defaults(w->model).kv_bytes;
    /* rows that are computed anew in every step, and those that sampling leaves free for them, where all others are kept */
    const double leave =
        reinforcement ? (double)(w->longest + r->max_tokens + r->max_tool_tokens) : 0;
    struct memory_plan p = {.process = w->process,
                            .model = need.model,
                            .trained = need.trained,
                            .answers = answers_bytes(w),
                            .room = w->room,
                            .kept_all = row * (rows + leave)};

    p.least = need.model + need.trained + need.pass + need.answers + p.process + p.answers;
    const double spare = fmax(0, (p.room - SPARE) / SLACK - p.least);
    p.cache = cache_bytes(w, most_kv);
    p.kv_bytes = (size_t)most_kv;
    while (reinforcement && p.cache > need.answers + spare / 2 &&
           (double)p.kv_bytes / 2 > need.answers) {
        p.kv_bytes /= 2;
        p.cache = cache_bytes(w, (double)p.kv_bytes);
    }
    p.cache = fmax(p.cache, fmax(need.answers, w->cache_taken));
    p.kept = fmin(fmin(recipe_memory_bytes(r), p.kept_all),
                  fmax(0, spare - fmax(0, p.cache - need.answers)));
    p.recomputes = p.kept < row * (rows + leave);
    p.leave = p.recomputes ? 0 : (size_t)leave;
    const double n_lean = p.recomputes && reinforcement ? share_out(&p, row, lean_row, rows) : 0;
    const double n_whole = floor((p.kept - p.lean) / row);
    p.kept = row * n_whole + p.lean;
    /* of a pass so many are computed anew, and so many of these are not there yet */
    const double anew = !p.recomputes    ? 0
                        : !reinforcement ? (double)pass_rows
                                         : (double)pass_rows * fmax(0, 1 - n_whole / rows);
    const double there = fmin(anew, (double)pass_rows * n_lean / rows);
    p.pass = memory_logits_bytes(w->model) +
             (double)workspace_bytes_of(w->model, r->lora_rank, forward_rows(w, p.recomputes)) +
             memory_pass_bytes(w->model, r->lora_rank, pass_rows, (size_t)anew) - there * lean_row;
    p.peak = p.process + p.model + p.trained + p.pass + p.cache + p.answers + p.kept;
    return p;
}

bool memory_plan_open_saved(const struct memory_plan *p, const struct model_config *c, size_t rank,
                            struct saved_pool **out, struct error *err)
{
    struct saved_pool *pool = NULL;

    if (!saved_pool_open(c, rank, (size_t)(p->kept - p->lean), &pool, err))
        return false;
    if (p->lean > 0 && !saved_pool_add_lean(pool, c, (size_t)p->lean, err)) {
        saved_pool_close(pool);
        return false;
    }
    *out = pool;
    return true;
}

/* ---- telling ---- */

void memory_plan_words(const struct memory_plan *p, char *text, size_t size)
{
    char peak[32], room[32], model[32], trained[32], pass[32], cache[32], kept[32], rest[32],
        all[32];
    char there[64] = "", share[96] = "";

    if (isfinite(p->room))
        snprintf(there, sizeof there, " of the %s there are", memory_words(p->room, room));
    if (p->recomputes)
        snprintf(share, sizeof share, " (of %s; the rest is computed again)",
                 memory_words(p->kept_all, all));
    snprintf(text, size,
             "at most %s%s: the model %s, what is trained %s, a training pass %s, keys and "
             "values %s, kept activations %s%s, the program, data and answers %s; graders run "
             "beside it.",
             memory_words(p->peak, peak), there, memory_words(p->model, model),
             memory_words(p->trained, trained), memory_words(p->pass, pass),
             memory_words(p->cache, cache), memory_words(p->kept, kept), share,
             memory_words(p->process + p->answers, rest));
}

json_t *memory_plan_json(const struct memory_plan *p)
{
    const double room = isfinite(p->room) ? p->room : 0; /* JSON has no infinite numbers */
    const struct {
        const char *name;
        double x;
    } all[] = {{"peak", p->peak},       {"least", p->least},       {"room", room},
               {"process", p->process}, {"model", p->model},       {"trained", p->trained},
               {"pass", p->pass},       {"cache", p->cache},       {"answers", p->answers},
               {"kept", p->kept},       {"kept_all", p->kept_all}, {"lean", p->lean}};
    json_t *o = json_object();

    for (size_t i = 0; i < COUNT_OF(all); i++)
        json_object_set_new(o, all[i].name, json_integer((json_int_t)all[i].x));
    json_object_set_new(o, "recomputes", json_boolean(p->recomputes));
    return o;
}

static bool say(const struct progress_sink *sink, enum event_level level, const char *text,
                struct error *err)
{
    return sink == NULL || sink->event == NULL || sink->event(sink->ctx, level, text, err);
}

bool memory_plan_tell(const struct memory_plan *p, const struct progress_sink *sink,
                      struct error *err)
{
    char words[480], text[512], least[32], room[32];

    memory_plan_words(p, words, sizeof words);
    snprintf(text, sizeof text, "Memory: %s", words);
    if (!say(sink, EVENT_INFO, text, err))
        return false;
    if (p->least <= p->room)
        return true;
    snprintf(text, sizeof text,
             "The job needs at least %s of memory, and only %s are free now: where nothing else "
             "gives any back, the system may end it.",
             memory_words(p->least, least), memory_words(p->room, room));
    return say(sink, EVENT_WARN, text, err);
}

/* ---- while it runs ---- */

bool memory_watch_step(struct memory_watch *w, struct error *err)
{
    const double left = memory_available(), has = memory_resident();
    const double kept = (double)saved_pool_bytes(w->saved);
    const struct memory_plan *p = w->plan;
    char now[48], words[32], most[32], text[256];

    if (has <= 0) /* the system does not tell */
        return true;
    /* what the run may still take beside kept rows */
    const double rest = fmax(0, p->peak - p->kept - fmax(0, has - kept)) + SPARE;
    const double may = fmax(0, kept + left - rest);
    const bool was_cut = saved_pool_was_cut(w->saved);
    saved_pool_leave(w->saved, rest);
    if (may < (double)saved_pool_most(w->saved))
        saved_pool_shrink(w->saved, (size_t)may);
    else if (!was_cut)
        return true;
    if (w->told)
        return true;
    w->told = true;
    if (isfinite(left))
        snprintf(now, sizeof now, "%s are left", memory_words(left, words));
    else
        snprintf(now, sizeof now, "the system gives no more");
    snprintf(text, sizeof text,
             "Memory is short: %s. From now on activations of at most %s are kept, and the rest is "
             "computed again, which takes longer and changes no result.",
             now, memory_words((double)saved_pool_most(w->saved), most));
    return say(w->sink, EVENT_WARN, text, err);
}

bool memory_watch_end(const struct memory_watch *w, struct error *err)
{
    char planned[32], peak[32], text[160];

    snprintf(text, sizeof text, "Memory: %s were planned, %s was the most that it had.",
             memory_words(w->plan->peak, planned), memory_words(memory_peak(), peak));
    return say(w->sink, EVENT_INFO, text, err);
}
