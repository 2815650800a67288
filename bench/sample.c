/*
 * sample.c - how fast answers are sampled: N at a time behind one prompt, as llama-batched-bench -pps measures it.
 *
 *     bench_sample MODEL [answers 32] [prompt tokens 128] [new tokens 64] [repetitions 3]
 *
 * Random prompt tokens, temperature 1, no end token. Answers that begin alike share rows until they part; "rows" says
 * how many were really computed.
 */
#include "base/clock.h"
#include "base/parallel.h"
#include "sample/engine.h"

#include <stdio.h>
#include <stdlib.h>

static size_t number(int argc, char **argv, int i, size_t def)
{
    return argc > i ? strtoul(argv[i], NULL, 10) : def;
}

int main(int argc, char **argv)
{
    const size_t n = number(argc, argv, 2, 32), n_prompt = number(argc, argv, 3, 128),
                 n_new = number(argc, argv, 4, 64);
    struct arena a = {0};
    struct model *m = NULL;
    struct engine *e = NULL;
    struct error err;

    if (argc < 2 || !model_open(argv[1], n_prompt + n_new, &m, &err)) {
        fprintf(stderr, "bench_sample: %s\n", argc < 2 ? "which model?" : err.message);
        return 1;
    }
    const struct engine_options eo = engine_defaults(m);
    m->config.n_eos = 0;
    token_id *prompt = ARENA_ARRAY(&a, token_id, n_prompt);
    for (size_t i = 0; i < n_prompt; i++)
        prompt[i] =
            (token_id)philox_below(1, PHILOX_TEST, 0, (uint32_t)i, (uint32_t)m->config.vocab);
    if (!engine_open(m, model_files_tokenizer(m->files), &eo, &e, &err)) {
        fprintf(stderr, "bench_sample: %s\n", err.message);
        return 1;
    }
    for (size_t r = 0; r < number(argc, argv, 5, 3); r++) {
        struct sample_request q = {.prompt = prompt,
                                   .n_prompt = n_prompt,
                                   .n_samples = 1,
                                   .max_tokens = 1,
                                   .pick = pick_defaults(),
                                   .seed = r,
                                   .purpose = PHILOX_TEST};
        struct sample **samples;
        double began = clock_seconds();
        bool ok = engine_run(e, NULL, &q, 1, NULL, &samples, &err);
        const double reading = clock_seconds() - began;
        const struct engine_counts before = engine_counts(e);

        q.n_samples = n;
        q.max_tokens = n_new;
        began = clock_seconds();
        ok = ok && engine_run(e, NULL, &q, 1, NULL, &samples, &err);
        const double all = clock_seconds() - began;
        if (!ok) {
            fprintf(stderr, "bench_sample: %s\n", err.message);
            return 1;
        }
        printf(
            "sample machine=%s threads=%d answers=%zu prompt=%zu new=%zu prompt_tok_s=%.0f decode_tok_s=%.1f rows=%zu seconds=%.2f\n",
            ops_machine(), parallel_threads(), n, n_prompt, n_new, (double)n_prompt / reading,
            (double)(n * n_new) / (all - reading), engine_counts(e).rows - before.rows - n_prompt,
            all);
        fflush(stdout);
    }
    engine_close(e);
    model_close(m);
    arena_release(&a);
    return 0;
}
