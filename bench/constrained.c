/*
 * constrained.c - sampling with a constraint beside sampling without: bench_constrained MODEL [ANSWERS [TOKENS [ROUNDS]]]
 *
 * ANSWERS answers of TOKENS tokens each, in turn without a constraint, with one that is met for the first time (cold: masks
 * are found) and once more (warm). Prints milliseconds of processor time for each row, the median of ROUNDS.
 */
#include "base/size.h"
#include "sample/engine.h"
#include "text/json_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MOST_ROUNDS 101

/* Long enough that no answer ends: objects in a list, with text, a label and a score each. */
static const char schema_text[] =
    "{\"type\":\"array\",\"minItems\":1000,\"items\":{\"type\":\"object\",\"properties\":{\"why\":{\"type\":\"string\","
    "\"maxLength\":60},\"label\":{\"enum\":[\"good\",\"bad\"]},\"score\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1}},"
    "\"required\":[\"why\",\"label\",\"score\"]}}";

static void need(bool ok, const struct error *err)
{
    if (ok)
        return;
    fprintf(stderr, "bench_constrained: %s\n", err->message);
    exit(1);
}

static struct constraint *open_constraint(const struct vocabulary *v)
{
    struct constraint *c = NULL;
    struct grammar *g = NULL;
    struct error err = {0};
    json_t *schema = NULL;

    need(json_parse(str_of(schema_text), "the schema", &schema, &err) &&
             json_schema_grammar(schema, "the schema", &g, &err) && constraint_open(g, v, &c, &err),
         &err);
    json_decref(schema);
    return c;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Of all threads, so that what else runs does not count. */
static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Milliseconds of processor time for each row computed: answers that are equal so far are one row, and have one mask. */
static double time_of(struct engine *e, const struct sample_request *q, bool *early)
{
    struct sample **samples;
    struct error err = {0};
    const size_t rows = engine_counts(e).rows;
    const double before = seconds();

    need(engine_run(e, NULL, q, 1, NULL, &samples, &err), &err);
    *early = samples[0][0].n < q->max_tokens;
    return (seconds() - before) * 1e3 / (double)(engine_counts(e).rows - rows);
}

int main(int argc, char **argv)
{
    static double ms[3][MOST_ROUNDS];
    static const char *const names[] = {"without", "cold", "warm"};
    struct model *m = NULL;
    struct engine *e = NULL;
    struct vocabulary *v = NULL;
    struct error err = {0};

    if (argc < 2) {
        fprintf(stderr, "usage: bench_constrained MODEL [ANSWERS [TOKENS [ROUNDS]]]\n");
        return 2;
    }
    const size_t n_answers = argc > 2 ? strtoul(argv[2], NULL, 10) : 1,
                 n_tokens = argc > 3 ? strtoul(argv[3], NULL, 10) : 64,
                 n_rounds = size_min(argc > 4 ? strtoul(argv[4], NULL, 10) : 5, MOST_ROUNDS);
    need(model_open(argv[1], 0, &m, &err), &err);
    const struct tokenizer *t = model_files_tokenizer(m->files);
    const struct engine_options opt = engine_defaults(m);
    struct token_list prompt = {0};
    need(engine_open(m, t, &opt, &e, &err) &&
             vocabulary_open(t, m->config.vocab, m->config.eos, m->config.n_eos, &v, &err) &&
             tokenizer_encode(t, STR("Judge each answer, and say why."), false, &prompt, &err),
         &err);
    for (size_t i = 0, seed = 0; i < n_rounds; seed++) {
        struct constraint *c = open_constraint(v);
        struct sample_request q = {.prompt = prompt.ids,
                                   .n_prompt = prompt.n,
                                   .n_samples = n_answers,
                                   .max_tokens = n_tokens,
                                   .pick = pick_defaults(),
                                   .purpose = PHILOX_BENCH,
                                   .seed = seed};
        bool early = false;

        for (int what = 0; what < 3 && (!early || n_answers > 1); what++) {
            q.constraint = what > 0 ? c : NULL;
            ms[what][i] = time_of(e, &q, &early);
        }
        i += !early || n_answers > 1; /* one answer alone has to be as long as the others */
        constraint_close(c);
    }
    for (int what = 0; what < 3; what++) {
        qsort(ms[what], n_rounds, sizeof ms[what][0], by_size);
        printf("%-8s %3zu answers  median %7.3f  least %7.3f ms a row\n", names[what], n_answers,
               ms[what][n_rounds / 2], ms[what][0]);
    }
    token_list_release(&prompt);
    vocabulary_close(v);
    engine_close(e);
    model_close(m);
    return 0;
}
