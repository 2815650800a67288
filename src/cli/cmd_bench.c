/*
 * cmd_bench.c - how fast a model samples and trains on this machine.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"
#include "sample/machine.h"
#include "train/speed.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

struct part {
    bool wanted;
    struct speed_case size;
    struct speed_time *times; /* [rounds] */
};

struct bench {
    struct cli *c;
    struct session s;
    struct part parts[N_SPEED_PARTS];
    size_t rounds;
    double load_before, load_after;
};

/* ---- what is asked ---- */

static bool want_part(struct bench *b, struct str name, struct error *err)
{
    const char *names[N_SPEED_PARTS];

    for (int p = 0; p < N_SPEED_PARTS; p++) {
        names[p] = speed_part_name((enum speed_part)p);
        if (str_is(name, names[p])) {
            b->parts[p].wanted = true;
            return true;
        }
    }
    const char *near = closest_word(arena_text(b->c->arena, name), N_SPEED_PARTS, names);
    if (near != NULL)
        return misuse(b->c, err, "--parts has \"%.*s\"; did you mean \"%s\"?",
                      (int)size_min(name.len, 100), name.ptr, near);
    return misuse(b->c, err, "--parts has \"%.*s\"; there are prefill, sample, train and step",
                  (int)size_min(name.len, 100), name.ptr);
}

static bool read_parts(struct bench *b, struct error *err)
{
    const char *text = option_text(b->c->options, OPT_PARTS);
    assert(text != NULL); /* it has a default */
    const struct str list = str_of(text);

    for (size_t at = 0; at <= list.len;) {
        const size_t end = str_find(list, STR(","), at);

        if (!want_part(b, (struct str){list.ptr + at, end - at}, err))
            return false;
        at = end + 1;
    }
    return true;
}

static void read_sizes(struct bench *b)
{
    const struct options *o = b->c->options;

    b->rounds = (size_t)option_int(o, OPT_ROUNDS);
    for (int p = 0; p < N_SPEED_PARTS; p++) {
        struct speed_case *k = &b->parts[p].size;

        *k = speed_defaults((enum speed_part)p);
        if (option_given(o, OPT_PROMPT) && p != SPEED_TRAIN)
            k->prompt_tokens = (size_t)option_int(o, OPT_PROMPT);
        if (option_given(o, OPT_N_ANSWERS) && p != SPEED_PREFILL)
            *(p == SPEED_TRAIN ? &k->n_prompts : &k->n_answers) =
                (size_t)option_int(o, OPT_N_ANSWERS);
        if (option_given(o, OPT_TOKENS) && p != SPEED_PREFILL)
            k->answer_tokens = (size_t)option_int(o, OPT_TOKENS);
        b->parts[p].times = ARENA_ARRAY(b->c->arena, struct speed_time, b->rounds);
    }
}

/* ---- what came out ---- */

/* Processes that want to run, over the last minute; below 0 where the machine does not tell. */
static double machine_load(void)
{
    double load;

    return getloadavg(&load, 1) == 1 ? load : -1;
}

struct spread {
    double median, least, most;
};

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

typedef double speed_fn(const struct speed_time *t);

static double tokens_per_second(const struct speed_time *t)
{
    return (double)t->tokens / t->seconds;
}

static double seconds(const struct speed_time *t)
{
    return t->seconds;
}

static double sampling_seconds(const struct speed_time *t)
{
    return t->sampling_s;
}

static double training_seconds(const struct speed_time *t)
{
    return t->training_s;
}

static double update_seconds(const struct speed_time *t)
{
    return t->update_s;
}

static struct spread spread_of(const struct bench *b, int part, speed_fn *fn)
{
    const size_t n = b->rounds;
    double *x = ARENA_ARRAY(b->c->arena, double, n);

    for (size_t i = 0; i < n; i++)
        x[i] = fn(&b->parts[part].times[i]);
    qsort(x, n, sizeof *x, by_size);
    return (struct spread){
        .median = (x[(n - 1) / 2] + x[n / 2]) / 2, .least = x[0], .most = x[n - 1]};
}

/* ---- for scripts ---- */

static json_t *count_json(size_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *part_json(const struct bench *b, int p)
{
    const struct part *part = &b->parts[p];
    speed_fn *fn = p == SPEED_STEP ? seconds : tokens_per_second;
    const struct spread s = spread_of(b, p, fn);
    json_t *j = json_pack("{s:s, s:f, s:f, s:f}", "unit", p == SPEED_STEP ? "s" : "tok/s", "median",
                          s.median, "least", s.least, "most", s.most),
           *values = json_array();

    for (size_t i = 0; i < b->rounds; i++)
        json_array_append_new(values, json_real(fn(&part->times[i])));
    json_object_set_new(j, "values", values);
    if (p == SPEED_STEP) {
        double max_dlogp = 0;

        for (size_t i = 0; i < b->rounds; i++)
            max_dlogp = part->times[i].max_dlogp > max_dlogp ? part->times[i].max_dlogp : max_dlogp;
        json_object_set_new(j, "sampling_s", json_real(spread_of(b, p, sampling_seconds).median));
        json_object_set_new(j, "training_s", json_real(spread_of(b, p, training_seconds).median));
        json_object_set_new(j, "update_s", json_real(spread_of(b, p, update_seconds).median));
        json_object_set_new(j, "max_dlogp", json_real(max_dlogp));
        json_object_set_new(j, "prompts", count_json(part->size.n_prompts));
    }
    if (p == SPEED_TRAIN)
        json_object_set_new(j, "sequences", count_json(part->size.n_prompts));
    else
        json_object_set_new(j, "prompt_tokens", count_json(part->size.prompt_tokens));
    if (p == SPEED_SAMPLE || p == SPEED_STEP)
        json_object_set_new(j, "answers", count_json(part->size.n_answers));
    if (p != SPEED_PREFILL)
        json_object_set_new(j, "tokens", count_json(part->size.answer_tokens));
    if (p == SPEED_TRAIN || p == SPEED_STEP)
        json_object_set_new(j, "lora_rank", count_json(SPEED_RANK));
    json_object_set_new(j, "rows", count_json(part->times[0].rows));
    return j;
}

static long cores(void)
{
    return sysconf(_SC_NPROCESSORS_ONLN);
}

static json_t *load_json(double load)
{
    return load < 0 ? json_null() : json_real(load);
}

static json_t *as_json(const struct bench *b)
{
    json_t *parts = json_object();

    for (int p = 0; p < N_SPEED_PARTS; p++)
        if (b->parts[p].wanted)
            json_object_set_new(parts, speed_part_name((enum speed_part)p), part_json(b, p));
    return json_pack("{s:s, s:s, s:s, s:i, s:I, s:o, s:o, s:I, s:I, s:o}", "version", HONE_VERSION,
                     "model", b->s.ref.name, "kernels", machine_kernels(), "threads",
                     parallel_threads(), "cores", (json_int_t)cores(), "load_before",
                     load_json(b->load_before), "load_after", load_json(b->load_after), "seed",
                     (json_int_t)option_int(b->c->options, OPT_SEED), "rounds",
                     (json_int_t)b->rounds, "parts", parts);
}

/* ---- for people ---- */

static bool tell_machine(const struct bench *b, struct error *err)
{
    const int threads = parallel_threads();
    struct buf weights;

    buf_init(&weights, 64);
    put_bytes(&weights, (double)model_bytes(b->s.model));
    bool ok = out_printf(err, "%s (%s of weights), %s kernels, %d thread%s on %ld core%s",
                         b->s.ref.name, weights.ptr, machine_kernels(), threads,
                         threads == 1 ? "" : "s", cores(), cores() == 1 ? "" : "s");
    buf_release(&weights);
    if (ok && b->load_before >= 0)
        ok = out_printf(err, ", load %.1f", b->load_before);
    return ok && out_printf(err, "\n\n%-66s %10s %10s %10s\n", "", "median", "least", "most") &&
           out_flush(err);
}

static const char *what_part(const struct bench *b, int p)
{
    const struct speed_case *k = &b->parts[p].size;

    switch ((enum speed_part)p) {
    case SPEED_PREFILL:
        return arena_printf(b->c->arena, "reading a prompt of %zu tokens", k->prompt_tokens);
    case SPEED_SAMPLE:
        return arena_printf(b->c->arena, "%zu answers of %zu tokens behind one prompt of %zu",
                            k->n_answers, k->answer_tokens, k->prompt_tokens);
    case SPEED_TRAIN:
        return arena_printf(b->c->arena, "forward and backward, LoRA rank %d, %zu x %zu tokens",
                            SPEED_RANK, k->n_prompts, k->answer_tokens);
    default:
        return arena_printf(b->c->arena, "%zu prompts of %zu tokens, %zu answers of %zu to each",
                            k->n_prompts, k->prompt_tokens, k->n_answers, k->answer_tokens);
    }
}

static bool tell_part(const struct bench *b, int p, struct error *err)
{
    const bool step = p == SPEED_STEP;
    const struct spread s = spread_of(b, p, step ? seconds : tokens_per_second);
    const int digits = step ? s.median < 1 ? 3 : s.median < 100 ? 2 : 1 : s.median < 100 ? 1 : 0;

    return out_printf(err, "  %-8s %-55s %10.*f %10.*f %10.*f %s\n",
                      speed_part_name((enum speed_part)p), what_part(b, p), digits, s.median,
                      digits, s.least, digits, s.most, step ? "s" : "tok/s") &&
           (!step ||
            out_printf(err, "  %-8s of which sampling %.*f s, training %.*f s, the update %.*f s\n",
                       "", digits, spread_of(b, p, sampling_seconds).median, digits,
                       spread_of(b, p, training_seconds).median, digits,
                       spread_of(b, p, update_seconds).median)) &&
           out_flush(err);
}

static bool tell_end(const struct bench *b, struct error *err)
{
    struct buf hundred;
    bool ok = out_printf(err, "\nMeasured %zu time%s each, after one warm-up.", b->rounds,
                         b->rounds == 1 ? "" : "s");

    if (ok && b->parts[SPEED_STEP].wanted) {
        buf_init(&hundred, 64);
        put_seconds(&hundred, 100 * spread_of(b, SPEED_STEP, seconds).median);
        ok = out_printf(err,
                        " Fine-tuning is some hundred such steps, grading and validation "
                        "on top: 100 of them take %s here. hone check tells it for a job of yours.",
                        hundred.ptr);
        buf_release(&hundred);
    }
    if (ok && b->load_before > 0.5)
        ok = out_printf(err,
                        " Other programs were at work when this began (load %.1f): left alone, the "
                        "machine may be faster.",
                        b->load_before);
    return ok && out_printf(err, "\n");
}

/* ---- measuring ---- */

static bool measure_part(struct bench *b, struct speed *speed, int p, struct meter *meter,
                         struct error *err)
{
    struct speed_time t;

    for (size_t i = 0; i <= b->rounds; i++) {
        meter_show(meter, i, b->rounds + 1, speed_part_name((enum speed_part)p));
        if (!speed_measure(speed, (enum speed_part)p, &b->parts[p].size, &t, err))
            return false;
        if (i > 0) /* the first one warms up */
            b->parts[p].times[i - 1] = t;
    }
    meter_end(meter);
    return true;
}

static bool measure_all(struct bench *b, struct error *err)
{
    const struct speed_inputs in = {.model = b->s.model,
                                    .engine = b->s.engine,
                                    .adapter = b->s.adapter,
                                    .seed = (uint64_t)option_int(b->c->options, OPT_SEED),
                                    .stop = b->c->stop};
    struct meter meter = meter_start("rounds");
    struct speed *speed = NULL;
    bool ok = speed_open(&in, &speed, err);

    for (int p = 0; ok && p < N_SPEED_PARTS; p++)
        ok = !b->parts[p].wanted ||
             speed_check(b->s.model, (enum speed_part)p, &b->parts[p].size, err);
    b->load_before = machine_load();
    ok = ok && (b->c->json || tell_machine(b, err));
    for (int p = 0; ok && p < N_SPEED_PARTS; p++)
        if (b->parts[p].wanted)
            ok = measure_part(b, speed, p, &meter, err) && (b->c->json || tell_part(b, p, err));
    meter_end(&meter);
    b->load_after = machine_load();
    speed_close(speed);
    return ok;
}

static bool run(struct cli *c, struct error *err)
{
    struct bench b = {.c = c};
    bool ok = read_parts(&b, err);

    read_sizes(&b);
    ok = ok && session_open_options(c, false, &b.s, err) && measure_all(&b, err) &&
         (c->json ? out_json_new(as_json(&b), err) : tell_end(&b, err));
    session_close(&b.s);
    return ok;
}

static const enum option_id ids[] = {
    OPT_MODEL,  OPT_PARTS,   OPT_ROUNDS,    OPT_PROMPT,   OPT_N_ANSWERS, OPT_TOKENS,  OPT_SEED,
    OPT_DEVICE, OPT_THREADS, OPT_PRECISION, OPT_KV_CACHE, OPT_CONTEXT,   OPT_KERNELS, OPT_HOME};

const struct command cmd_bench = {
    .set =
        {.command = "bench",
         .args = "",
         .summary = "how fast a model samples and trains on this machine",
         .details =
             "Works on prompts of random tokens, with the code that trains: prefill "
             "reads a prompt; sample draws answers behind it, none of which ends early; "
             "train runs forward and backward with a LoRA adapter; step is one whole step "
             "of fine-tuning with 4 prompts: sampling, training, the update and the guard, without "
             "a grader. Leave the machine alone meanwhile.",
         .examples = "  hone bench --model model.gguf\n"
                     "  hone bench --model model.gguf --parts sample,step --rounds 5 --json\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
