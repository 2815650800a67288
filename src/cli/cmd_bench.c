/*
 * cmd_bench.c - how fast a model samples and trains on this machine, and how fast the machine would let it.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"
#include "sample/machine.h"
#include "train/speed_limit.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Answers that sampling is measured with, where it is not said with how many. */
static const size_t crowds[] = {1, 8, 32, 128};
#define N_CROWDS COUNT_OF(crowds)
#define MANY 128 /* answers that are shorter, for the sake of time */
#define SHORT 16
#define MOVED 0.15 /* a machine's rates that differ by more at the end are told */

struct phase {
    enum speed_part part;
    const char *name; /* "train", "sample-32" */
    struct speed_case size;
    struct speed_time *times; /* [rounds] */
};

struct bench {
    struct cli *c;
    struct session s;
    bool wanted[N_SPEED_PARTS];
    struct phase phases[N_SPEED_PARTS - 1 + N_CROWDS];
    size_t n_phases, rounds;
    struct roof roof, roof_after;
    double load_before, load_after;
    double peak_bytes; /* of memory, with the phases done */
};

/* ---- what is asked ---- */

static bool want_part(struct bench *b, struct str name, struct error *err)
{
    const char *names[N_SPEED_PARTS];

    for (int p = 0; p < N_SPEED_PARTS; p++) {
        names[p] = speed_part_name((enum speed_part)p);
        if (str_is(name, names[p])) {
            b->wanted[p] = true;
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

static void option_size(const struct options *o, enum option_id id, size_t *to)
{
    if (option_given(o, id))
        *to = (size_t)option_int(o, id);
}

/* Answers in groups that share a prompt, instead of sequences that share nothing. */
static bool read_groups(struct bench *b, struct speed_case *k, struct error *err)
{
    const struct options *o = b->c->options;
    const size_t answers = k->n_prompts, group = (size_t)option_int(o, OPT_GROUP);

    if (answers % group != 0)
        return misuse(b->c, err,
                      "%zu answers do not make groups of %zu: --answers is a multiple of --group",
                      answers, group);
    *k = (struct speed_case){answers / group, 192, group, 64};
    option_size(o, OPT_PROMPT, &k->prompt_tokens);
    option_size(o, OPT_TOKENS, &k->answer_tokens);
    return true;
}

static bool add_phase(struct bench *b, enum speed_part part, size_t crowd, struct error *err)
{
    const struct options *o = b->c->options;
    struct phase *x = &b->phases[b->n_phases++];
    struct speed_case *k = &x->size;

    *x = (struct phase){.part = part,
                        .name = speed_part_name(part),
                        .size = speed_defaults(part),
                        .times = ARENA_ARRAY(b->c->arena, struct speed_time, b->rounds)};
    switch (part) {
    case SPEED_PREFILL:
        option_size(o, OPT_PROMPT, &k->prompt_tokens);
        return true;
    case SPEED_SAMPLE:
        k->n_answers = crowd;
        k->answer_tokens =
            crowd >= MANY && !option_given(o, OPT_N_ANSWERS) ? SHORT : k->answer_tokens;
        x->name = arena_printf(b->c->arena, "%s-%zu", x->name, crowd);
        break;
    case SPEED_TRAIN:
        option_size(o, OPT_N_ANSWERS, &k->n_prompts);
        option_size(o, OPT_TOKENS, &k->answer_tokens);
        return !option_given(o, OPT_GROUP) || read_groups(b, k, err);
    default:
        option_size(o, OPT_N_ANSWERS, &k->n_answers);
    }
    option_size(o, OPT_PROMPT, &k->prompt_tokens);
    option_size(o, OPT_TOKENS, &k->answer_tokens);
    return true;
}

static bool read_phases(struct bench *b, struct error *err)
{
    const struct options *o = b->c->options;
    bool ok = read_parts(b, err);

    b->rounds = (size_t)option_int(o, OPT_ROUNDS);
    for (int p = 0; ok && p < N_SPEED_PARTS; p++) {
        if (!b->wanted[p])
            continue;
        if (p != SPEED_SAMPLE)
            ok = add_phase(b, (enum speed_part)p, 0, err);
        else if (option_given(o, OPT_N_ANSWERS))
            ok = add_phase(b, SPEED_SAMPLE, (size_t)option_int(o, OPT_N_ANSWERS), err);
        else
            for (size_t i = 0; ok && i < N_CROWDS; i++)
                ok = add_phase(b, SPEED_SAMPLE, crowds[i], err);
    }
    return ok;
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

static struct spread spread_of(const struct bench *b, const struct phase *p, speed_fn *fn)
{
    const size_t n = b->rounds;
    double *x = ARENA_ARRAY(b->c->arena, double, n);

    for (size_t i = 0; i < n; i++)
        x[i] = fn(&p->times[i]);
    qsort(x, n, sizeof *x, by_size);
    return (struct spread){
        .median = (x[(n - 1) / 2] + x[n / 2]) / 2, .least = x[0], .most = x[n - 1]};
}

static double measured_of(const struct phase *p, const struct speed_time *t)
{
    return p->part == SPEED_STEP ? t->seconds : tokens_per_second(t);
}

static struct spread measured(const struct bench *b, const struct phase *p)
{
    return spread_of(b, p, p->part == SPEED_STEP ? seconds : tokens_per_second);
}

static const char *unit_of(const struct phase *p)
{
    return p->part == SPEED_STEP ? "s" : "tok/s";
}

static struct speed_limit limit_of(const struct bench *b, const struct phase *p)
{
    return speed_limit_of(b->s.model, p->part, &p->size,
                          b->s.adapter != NULL ? b->s.adapter->rank : 0, &p->times[0], &b->roof);
}

/* Of the machine's limit, by the median. */
static double fraction_of(const struct bench *b, const struct phase *p)
{
    return limit_of(b, p).seconds / spread_of(b, p, seconds).median;
}

/* Most memory that the process had so far. */
static double peak_bytes(void)
{
    struct rusage u;

    return getrusage(RUSAGE_SELF, &u) == 0 ? (double)u.ru_maxrss * 1024 : 0;
}

/* ---- for scripts ---- */

static json_t *count_json(size_t n)
{
    return json_integer((json_int_t)n);
}

static void put_sizes(const struct phase *p, json_t *to)
{
    const struct speed_case *k = &p->size;
    const bool groups = p->part == SPEED_TRAIN && k->prompt_tokens > 1;

    if (p->part == SPEED_STEP)
        json_object_set_new(to, "prompts", count_json(k->n_prompts));
    if (p->part == SPEED_TRAIN)
        json_object_set_new(to, "sequences", count_json(k->n_prompts * k->n_answers));
    if (p->part != SPEED_TRAIN || groups)
        json_object_set_new(to, "prompt_tokens", count_json(k->prompt_tokens));
    if (groups)
        json_object_set_new(to, "group", count_json(k->n_answers));
    if (p->part == SPEED_SAMPLE || p->part == SPEED_STEP)
        json_object_set_new(to, "answers", count_json(k->n_answers));
    if (p->part != SPEED_PREFILL)
        json_object_set_new(to, "tokens", count_json(k->answer_tokens));
    if (p->part == SPEED_TRAIN || p->part == SPEED_STEP)
        json_object_set_new(to, "lora_rank", count_json(SPEED_RANK));
    json_object_set_new(to, "rows", count_json(p->times[0].rows));
}

static void put_step(const struct bench *b, const struct phase *p, json_t *to)
{
    double max_dlogp = 0;

    for (size_t i = 0; i < b->rounds; i++)
        max_dlogp = p->times[i].max_dlogp > max_dlogp ? p->times[i].max_dlogp : max_dlogp;
    json_object_set_new(to, "sampling_s", json_real(spread_of(b, p, sampling_seconds).median));
    json_object_set_new(to, "training_s", json_real(spread_of(b, p, training_seconds).median));
    json_object_set_new(to, "update_s", json_real(spread_of(b, p, update_seconds).median));
    json_object_set_new(to, "max_dlogp", json_real(max_dlogp));
    json_object_set_new(to, "kept_bytes", json_integer((json_int_t)p->times[0].kept_bytes));
}

static json_t *phase_json(const struct bench *b, const struct phase *p)
{
    const struct spread s = measured(b, p);
    const struct speed_limit limit = limit_of(b, p);
    struct speed_time at_limit = p->times[0];
    json_t *values = json_array();

    for (size_t i = 0; i < b->rounds; i++)
        json_array_append_new(values, json_real(measured_of(p, &p->times[i])));
    at_limit.seconds = limit.seconds;
    json_t *j = json_pack("{s:s, s:f, s:f, s:f, s:o, s:f, s:f, s:s, s:f, s:f, s:f, s:f, s:f}",
                          "unit", unit_of(p), "median", s.median, "least", s.least, "most", s.most,
                          "values", values, "limit", measured_of(p, &at_limit), "fraction",
                          fraction_of(b, p), "bound", limit.reads ? "read" : "multiply", "f32_ops",
                          limit.work.f32, "bf16_ops", limit.work.bf16, "int8_ops", limit.work.int8,
                          "int8_wide_ops", limit.work.int8_wide, "read_bytes", limit.work.bytes);
    if (p->part == SPEED_STEP)
        put_step(b, p, j);
    put_sizes(p, j);
    return j;
}

static json_t *rate_json(const struct roof_rate *r)
{
    return json_pack("{s:f, s:f, s:f}", "best", r->best, "median", r->median, "least", r->least);
}

static json_t *roof_json(const struct roof *r)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "buffer_bytes", (json_int_t)r->buffer_bytes,
                     "read_bytes_per_s", rate_json(&r->read), "f32_ops_per_s", rate_json(&r->f32),
                     "bf16_ops_per_s", rate_json(&r->bf16), "int8_ops_per_s", rate_json(&r->int8),
                     "int8_wide_ops_per_s", rate_json(&r->int8_wide));
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

    for (size_t i = 0; i < b->n_phases; i++)
        json_object_set_new(parts, b->phases[i].name, phase_json(b, &b->phases[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:o, s:o, s:I, s:I, s:f, s:o, s:o, s:o}",
                     "version", HONE_VERSION, "model", b->s.ref.name, "precision",
                     precision_name(b->s.model->precision), "kernels", machine_kernels(), "threads",
                     parallel_threads(), "cores", (json_int_t)cores(), "load_before",
                     load_json(b->load_before), "load_after", load_json(b->load_after), "seed",
                     (json_int_t)option_int(b->c->options, OPT_SEED), "rounds",
                     (json_int_t)b->rounds, "peak_bytes", b->peak_bytes, "roof",
                     roof_json(&b->roof), "roof_after", roof_json(&b->roof_after), "parts", parts);
}

/* ---- for people ---- */

static bool tell_machine(const struct bench *b, struct error *err)
{
    const int threads = parallel_threads();
    struct buf weights;

    buf_init(&weights, 64);
    put_bytes(&weights, (double)model_bytes(b->s.model));
    bool ok = out_printf(err, "%s (%s of weights) in %s, %s kernels, %d thread%s on %ld core%s",
                         b->s.ref.name, weights.ptr, precision_name(b->s.model->precision),
                         machine_kernels(), threads, threads == 1 ? "" : "s", cores(),
                         cores() == 1 ? "" : "s");
    buf_release(&weights);
    if (ok && b->load_before >= 0)
        ok = out_printf(err, ", load %.1f", b->load_before);
    return ok && out_printf(err, "\n") && out_flush(err);
}

static bool tell_roof(const struct bench *b, struct error *err)
{
    struct buf size;

    buf_init(&size, 64);
    put_bytes(&size, (double)b->roof.buffer_bytes);
    const bool ok = out_printf(
        err,
        "The machine reads %.1f GB/s (of %s, as much as the weights in their file), and multiplies "
        "%.0f GFLOP/s in f32,\n%.0f in bf16 and %.0f GOP/s in int8 (%.0f with weights of eight bits). What these rates allow is the limit of a part.\n"
        "\n%-66s %10s %10s %10s       %8s\n",
        b->roof.read.best / 1e9, size.ptr, b->roof.f32.best / 1e9, b->roof.bf16.best / 1e9,
        b->roof.int8.best / 1e9, b->roof.int8_wide.best / 1e9, "", "median", "least", "most",
        "of limit");
    buf_release(&size);
    return ok && out_flush(err);
}

static const char *what_phase(const struct bench *b, const struct phase *p)
{
    const struct speed_case *k = &p->size;
    struct arena *a = b->c->arena;

    switch (p->part) {
    case SPEED_PREFILL:
        return arena_printf(a, "reading a prompt of %zu tokens", k->prompt_tokens);
    case SPEED_SAMPLE:
        return arena_printf(a, "%zu answer%s of %zu tokens behind one prompt of %zu", k->n_answers,
                            k->n_answers == 1 ? "" : "s", k->answer_tokens, k->prompt_tokens);
    case SPEED_TRAIN:
        if (k->prompt_tokens > 1)
            return arena_printf(a, "%zu prompt%s of %zu, %zu answer%s of %zu tokens to each",
                                k->n_prompts, k->n_prompts == 1 ? "" : "s", k->prompt_tokens,
                                k->n_answers, k->n_answers == 1 ? "" : "s", k->answer_tokens);
        return arena_printf(a, "forward and backward, LoRA rank %d, %zu x %zu tokens", SPEED_RANK,
                            k->n_prompts, k->answer_tokens);
    default:
        return arena_printf(a, "%zu prompts of %zu tokens, %zu answers of %zu to each",
                            k->n_prompts, k->prompt_tokens, k->n_answers, k->answer_tokens);
    }
}

static bool tell_phase(const struct bench *b, const struct phase *p, struct error *err)
{
    const bool step = p->part == SPEED_STEP;
    const struct spread s = measured(b, p);
    const int digits = step ? s.median < 1 ? 3 : s.median < 100 ? 2 : 1 : s.median < 100 ? 1 : 0;

    return out_printf(err, "  %-10s %-53s %10.*f %10.*f %10.*f %-5s %6.1f %%\n", p->name,
                      what_phase(b, p), digits, s.median, digits, s.least, digits, s.most,
                      unit_of(p), 100 * fraction_of(b, p)) &&
           (!step ||
            out_printf(err,
                       "  %-10s of which sampling %.*f s, training %.*f s, the update %.*f s\n", "",
                       digits, spread_of(b, p, sampling_seconds).median, digits,
                       spread_of(b, p, training_seconds).median, digits,
                       spread_of(b, p, update_seconds).median)) &&
           out_flush(err);
}

static bool tell_hundred(const struct bench *b, struct error *err)
{
    struct buf hundred;
    bool ok = true;

    for (size_t i = 0; ok && i < b->n_phases; i++) {
        if (b->phases[i].part != SPEED_STEP)
            continue;
        buf_init(&hundred, 64);
        put_seconds(&hundred, 100 * measured(b, &b->phases[i]).median);
        ok = out_printf(err,
                        " Fine-tuning is some hundred such steps, grading and validation "
                        "on top: 100 of them take %s here. hone check tells it for a job of yours.",
                        hundred.ptr);
        buf_release(&hundred);
    }
    return ok;
}

static bool tell_moved(const char *what, const struct roof_rate *before,
                       const struct roof_rate *after, struct error *err)
{
    const double by = after->best / before->best - 1;

    return (by <= MOVED && by >= -MOVED) ||
           out_printf(err, " %s %.0f %% %s than at the beginning: take the shares with care.", what,
                      100 * (by < 0 ? -by : by), by < 0 ? "slower" : "faster");
}

static bool tell_end(const struct bench *b, struct error *err)
{
    struct buf peak;

    buf_init(&peak, 64);
    put_bytes(&peak, b->peak_bytes);
    bool ok =
        out_printf(err, "\nMeasured %zu time%s each, after one warm-up; %s of memory at most.",
                   b->rounds, b->rounds == 1 ? "" : "s", peak.ptr) &&
        tell_hundred(b, err) &&
        tell_moved("The machine now reads", &b->roof.read, &b->roof_after.read, err) &&
        tell_moved("The machine now multiplies", &b->roof.f32, &b->roof_after.f32, err);

    buf_release(&peak);
    if (ok && b->load_before > 0.5)
        ok = out_printf(err,
                        " Other programs were at work when this began (load %.1f): left alone, the "
                        "machine may be faster.",
                        b->load_before);
    return ok && out_printf(err, "\n");
}

/* ---- measuring ---- */

static bool measure_phase(struct bench *b, struct speed *speed, const struct phase *p,
                          struct meter *meter, struct error *err)
{
    struct speed_time t;

    for (size_t i = 0; i <= b->rounds; i++) {
        meter_show(meter, i, b->rounds + 1, p->name);
        if (!speed_measure(speed, p->part, &p->size, &t, err))
            return false;
        if (i > 0) /* the first one warms up */
            p->times[i - 1] = t;
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
                                    .memory_bytes = option_real(b->c->options, OPT_MEMORY_BYTES),
                                    .stop = b->c->stop};
    const size_t buffer = speed_limit_buffer(b->s.model);
    struct meter meter = meter_start("rounds");
    struct speed *speed = NULL;
    bool ok = speed_open(&in, &speed, err);

    for (size_t i = 0; ok && i < b->n_phases; i++)
        ok = speed_check(b->s.model, b->phases[i].part, &b->phases[i].size, err);
    b->load_before = machine_load();
    ok = ok && (b->c->json || tell_machine(b, err)) && roof_measure(buffer, &b->roof, err) &&
         (b->c->json || tell_roof(b, err));
    for (size_t i = 0; ok && i < b->n_phases; i++)
        ok = measure_phase(b, speed, &b->phases[i], &meter, err) &&
             (b->c->json || tell_phase(b, &b->phases[i], err));
    meter_end(&meter);
    b->load_after = machine_load();
    b->peak_bytes = peak_bytes();
    ok = ok && roof_measure(buffer, &b->roof_after, err);
    speed_close(speed);
    return ok;
}

static bool run(struct cli *c, struct error *err)
{
    struct bench b = {.c = c};
    const bool ok = read_phases(&b, err) && session_open_options(c, false, &b.s, err) &&
                    measure_all(&b, err) &&
                    (c->json ? out_json_new(as_json(&b), err) : tell_end(&b, err));

    session_close(&b.s);
    return ok;
}

static const enum option_id ids[] = {OPT_MODEL,     OPT_PARTS,   OPT_ROUNDS,  OPT_PROMPT,
                                     OPT_N_ANSWERS, OPT_TOKENS,  OPT_GROUP,   OPT_MEMORY_BYTES,
                                     OPT_SEED,      OPT_DEVICE,  OPT_THREADS, OPT_PRECISION,
                                     OPT_KV_CACHE,  OPT_CONTEXT, OPT_KERNELS, OPT_HOME};

const struct command cmd_bench = {
    .set =
        {.command = "bench",
         .args = "",
         .summary = "how fast a model samples and trains on this machine",
         .details =
             "Measures how fast the machine reads and multiplies, and then how much of that is used, on "
             "prompts of random tokens and with the code that trains: prefill "
             "reads a prompt; sample draws answers behind it, none of which ends early: 1, 8, 32 and 128 "
             "(of 16 tokens) at once; train runs forward and backward with a LoRA adapter, on sequences "
             "that share nothing, or with --group on answers that share prompts; step is one whole step "
             "of fine-tuning with 4 prompts: sampling, training, the update and the guard, without "
             "a grader. docs/PERFORMANCE.md says how a limit is reckoned. Leave the machine alone meanwhile.",
         .examples = "  hone bench --model model.gguf\n"
                     "  hone bench --model model.gguf --parts sample,step --rounds 5 --json\n"
                     "  hone bench --model model.gguf --parts train --group 8 --precision int8\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
