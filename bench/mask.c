/*
 * mask.c - what a constraint costs: bench_mask MODEL [SCHEMA.json]
 *
 * Walks through values with tokens drawn among the allowed, and times the mask of each: the first time a state is met
 * (cold), and on the same tokens once more (warm). One line a schema: microseconds at the median, the mean, the 99th of 100
 * and the longest, of processor time; then kilobytes. Without SCHEMA.json: a few of its own.
 */
#include "base/size.h"
#include "model/model_files.h"
#include "sample/constraint.h"
#include "text/json_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_STEPS 4096

static const char *const schemas[][2] = {
    {"label", ("{\"enum\":[\"good\",\"bad\",\"neither\"]}")},
    {"verdict",
     ("{\"type\":\"object\",\"properties\":{\"steps\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
      "\"properties\":{\"description\":{\"type\":\"string\"},\"conclusion\":{\"type\":\"string\"}},"
      "\"required\":[\"description\",\"conclusion\"],\"additionalProperties\":false}},\"result\":{\"type\":"
      "\"number\"}},\"required\":[\"steps\",\"result\"],\"additionalProperties\":false}")},
    {"lengths",
     ("{\"type\":\"object\",\"properties\":{\"why\":{\"type\":\"string\",\"maxLength\":200},\"short\":"
      "{\"type\":\"string\",\"maxLength\":10},\"score\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":7}},"
      "\"required\":[\"why\",\"short\",\"score\"]}")},
    {"union",
     ("{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"a\"},"
      "\"text\":{\"type\":\"string\"}},\"required\":[\"kind\",\"text\"]},{\"type\":\"object\",\"properties\":{\"kind\":"
      "{\"const\":\"b\"},\"text\":{\"type\":\"string\",\"maxLength\":50},\"n\":{\"type\":\"integer\"}},\"required\":"
      "[\"kind\",\"text\",\"n\"]}]}}")},
    {"ranked",
     ("{\"type\":\"array\",\"items\":{\"enum\":[\"BRCA1\",\"BRCA2\",\"TP53\",\"EGFR\",\"KRAS\",\"MYC\",\"PTEN\",\"CFTR"
      "\",\"HBB\",\"APOE\",\"FMR1\",\"HTT\"]},\"uniqueItems\":true,\"minItems\":12,\"maxItems\":12}")},
    {"pattern",
     ("{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{2}-\\\\d{4,8}$\"},\"m"
      "ail\":{\"type\":\"string\",\"format\":\"email\"},\"when\":{\"type\":\"string\",\"format\":\"date-time\"},\"n"
      "ote\":{\"type\":\"string\",\"pattern\":\"^[^<>]*$\",\"maxLength\":120}},\"required\":[\"id\",\"mail\",\"wh"
      "en\",\"note\"],\"additionalProperties\":false}")},
    {"nested",
     ("{\"type\":\"object\",\"properties\":{\"group0\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"proper"
      "ties\":{\"part0\":{\"$ref\":\"#/$defs/l0\"},\"part1\":{\"$ref\":\"#/$defs/l1\"},\"part2\":{\"$ref\":\"#/$d"
      "efs/l2\"},\"part3\":{\"$ref\":\"#/$defs/l3\"}},\"required\":[\"part0\",\"part1\",\"part2\",\"part3\"]},\"m"
      "inItems\":1,\"maxItems\":3},\"group1\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":"
      "{\"part0\":{\"$ref\":\"#/$defs/l1\"},\"part1\":{\"$ref\":\"#/$defs/l2\"},\"part2\":{\"$ref\":\"#/$defs/l3"
      "\"},\"part3\":{\"$ref\":\"#/$defs/l4\"}},\"required\":[\"part0\",\"part1\",\"part2\",\"part3\"]},\"minItem"
      "s\":1,\"maxItems\":3},\"group2\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"part"
      "0\":{\"$ref\":\"#/$defs/l2\"},\"part1\":{\"$ref\":\"#/$defs/l3\"},\"part2\":{\"$ref\":\"#/$defs/l4\"},\"pa"
      "rt3\":{\"$ref\":\"#/$defs/l5\"}},\"required\":[\"part0\",\"part1\",\"part2\",\"part3\"]},\"minItems\":1,\""
      "maxItems\":3},\"group3\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"part0\":{\"$"
      "ref\":\"#/$defs/l3\"},\"part1\":{\"$ref\":\"#/$defs/l4\"},\"part2\":{\"$ref\":\"#/$defs/l5\"},\"part3\":{"
      "\"$ref\":\"#/$defs/l0\"}},\"required\":[\"part0\",\"part1\",\"part2\",\"part3\"]},\"minItems\":1,\"maxIte"
      "ms\":3},\"group4\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"part0\":{\"$ref\":\""
      "#/$defs/l4\"},\"part1\":{\"$ref\":\"#/$defs/l5\"},\"part2\":{\"$ref\":\"#/$defs/l0\"},\"part3\":{\"$ref\""
      ":\"#/$defs/l1\"}},\"required\":[\"part0\",\"part1\",\"part2\",\"part3\"]},\"minItems\":1,\"maxItems\":3}"
      ",\"group5\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"part0\":{\"$ref\":\"#/$def"
      "s/l5\"},\"part1\":{\"$ref\":\"#/$defs/l0\"},\"part2\":{\"$ref\":\"#/$defs/l1\"},\"part3\":{\"$ref\":\"#/$d"
      "efs/l2\"}},\"required\":[\"part0\",\"part1\",\"part2\",\"part3\"]},\"minItems\":1,\"maxItems\":3}},\"req"
      "uired\":[\"group0\",\"group1\",\"group2\",\"group3\",\"group4\",\"group5\"],\"$defs\":{\"l0\":{\"type\":\"ob"
      "ject\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":40},\"kind\":{\"enum\":[\"a0\",\"b\",\"c\""
      "]},\"share\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},\"n\":{\"type\":\"integer\",\"multipleOf\":"
      "5},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"^[a-z]+(-[a-z]+)*$\"},\"maxI"
      "tems\":4}},\"required\":[\"name\",\"kind\",\"share\",\"n\",\"tags\"]},\"l1\":{\"type\":\"object\",\"properti"
      "es\":{\"name\":{\"type\":\"string\",\"maxLength\":41},\"kind\":{\"enum\":[\"a1\",\"b\",\"c\"]},\"share\":{\"ty"
      "pe\":\"number\",\"minimum\":0,\"maximum\":2},\"n\":{\"type\":\"integer\",\"multipleOf\":6},\"tags\":{\"typ"
      "e\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"^[a-z]+(-[a-z]+)*$\"},\"maxItems\":4}},\"requ"
      "ired\":[\"name\",\"kind\",\"share\",\"n\",\"tags\"]},\"l2\":{\"type\":\"object\",\"properties\":{\"name\":{\"t"
      "ype\":\"string\",\"maxLength\":42},\"kind\":{\"enum\":[\"a2\",\"b\",\"c\"]},\"share\":{\"type\":\"number\",\"m"
      "inimum\":0,\"maximum\":3},\"n\":{\"type\":\"integer\",\"multipleOf\":7},\"tags\":{\"type\":\"array\",\"ite"
      "ms\":{\"type\":\"string\",\"pattern\":\"^[a-z]+(-[a-z]+)*$\"},\"maxItems\":4}},\"required\":[\"name\",\""
      "kind\",\"share\",\"n\",\"tags\"]},\"l3\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\""
      "maxLength\":43},\"kind\":{\"enum\":[\"a3\",\"b\",\"c\"]},\"share\":{\"type\":\"number\",\"minimum\":0,\"maxi"
      "mum\":4},\"n\":{\"type\":\"integer\",\"multipleOf\":8},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"st"
      "ring\",\"pattern\":\"^[a-z]+(-[a-z]+)*$\"},\"maxItems\":4}},\"required\":[\"name\",\"kind\",\"share\",\""
      "n\",\"tags\"]},\"l4\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":44},"
      "\"kind\":{\"enum\":[\"a4\",\"b\",\"c\"]},\"share\":{\"type\":\"number\",\"minimum\":0,\"maximum\":5},\"n\":{\"t"
      "ype\":\"integer\",\"multipleOf\":9},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\""
      ":\"^[a-z]+(-[a-z]+)*$\"},\"maxItems\":4}},\"required\":[\"name\",\"kind\",\"share\",\"n\",\"tags\"]},\"l5"
      "\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":45},\"kind\":{\"enum\":"
      "[\"a5\",\"b\",\"c\"]},\"share\":{\"type\":\"number\",\"minimum\":0,\"maximum\":6},\"n\":{\"type\":\"integer\","
      "\"multipleOf\":10},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"^[a-z]+(-[a-"
      "z]+)*$\"},\"maxItems\":4}},\"required\":[\"name\",\"kind\",\"share\",\"n\",\"tags\"]}}}")},
    {"object", ("{\"type\":\"object\"}")},
};

/* Of this thread, so that what else runs does not count. */
static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void print_times(const char *name, const char *what, double *us, size_t n, size_t kept)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += us[i];
    qsort(us, n, sizeof *us, by_size);
    printf("%-10s %-5s %6zu masks  median %8.1f  mean %8.1f  p99 %8.1f  max %8.1f us   %zu KB\n",
           name, what, n, us[n / 2], sum / (double)n, us[n * 99 / 100], us[n - 1], kept / 1024);
}

static void fail_with(const struct error *err)
{
    fprintf(stderr, "bench_mask: %s\n", err->message);
    exit(1);
}

static void measure(const char *name, const json_t *schema, const struct vocabulary *v,
                    size_t n_ids, const struct tokenizer *t)
{
    static double us[MAX_STEPS];
    static token_id drawn[MAX_STEPS];
    struct constraint_scratch scratch;
    struct constraint *c = NULL;
    struct grammar *g = NULL;
    struct error err = {0};
    float *logits = calloc(n_ids, sizeof *logits);
    size_t n = 0;
    uint64_t dice = 1;

    const double before = seconds();
    if (!json_schema_grammar(schema, "schema", &g, &err) || !constraint_open(g, v, &c, &err) ||
        !constraint_scratch_open(&scratch, c, &err))
        fail_with(&err);
    printf("%-10s opened in %.0f us, %zu KB\n", name, (seconds() - before) * 1e6,
           constraint_bytes(c) / 1024);
    for (int warm = 0; warm < 2; warm++) {
        struct grammar_state at;

        grammar_begin(&at);
        for (size_t i = 0; warm ? i < n : i < MAX_STEPS; i++) {
            const double start = seconds();
            constraint_mask(c, &scratch, &at, logits);
            us[i] = (seconds() - start) * 1e6;
            for (size_t tries = 0; !warm;
                 tries++) { /* short tokens are likelier, or nothing would ever end */
                dice = dice * 6364136223846793005u + 1442695040888963407u;
                const size_t id = (size_t)(dice >> 33) % n_ids;
                const struct str b = tokenizer_bytes(t, (token_id)id);

                if (logits[id] > CONSTRAINT_NEVER && (b.len < 2 || (dice >> 20) % 3 == 0)) {
                    drawn[i] = (token_id)id;
                    break;
                }
            }
            memset(logits, 0, n_ids * sizeof *logits);
            n = warm ? n : i + 1;
            if (!constraint_accepts(c, &scratch, &at, drawn[i])) {
                fprintf(stderr, "bench_mask: a token that was allowed is not accepted\n");
                exit(1);
            }
            if (tokenizer_is_special(t, drawn[i]))
                grammar_begin(&at);
        }
        print_times(name, warm ? "warm" : "cold", us, n, constraint_bytes(c));
    }
    free(logits);
    constraint_scratch_close(&scratch);
    constraint_close(c);
}

int main(int argc, char **argv)
{
    struct model_files *f = NULL;
    struct vocabulary *v = NULL;
    struct error err = {0};
    json_t *schema = NULL;

    if (argc < 2) {
        fprintf(stderr, "usage: bench_mask MODEL [SCHEMA.json]\n");
        return 2;
    }
    if (!model_files_open(argv[1], &f, &err))
        fail_with(&err);
    const struct model_config *config = model_files_config(f);
    const struct tokenizer *t = model_files_tokenizer(f);
    const double before = seconds();
    if (!vocabulary_open(t, config->vocab, config->eos, config->n_eos, &v, &err))
        fail_with(&err);
    printf("vocabulary of %zu tokens: %.1f ms, %zu KB\n", config->vocab, (seconds() - before) * 1e3,
           vocabulary_bytes(v) / 1024);
    if (argc > 2) {
        if (!json_read_file(argv[2], &schema, &err))
            fail_with(&err);
        measure(argv[2], schema, v, config->vocab, t);
        json_decref(schema);
    }
    for (size_t i = 0; argc == 2 && i < COUNT_OF(schemas); i++) {
        if (!json_parse(str_of(schemas[i][1]), schemas[i][0], &schema, &err))
            fail_with(&err);
        measure(schemas[i][0], schema, v, config->vocab, t);
        json_decref(schema);
    }
    vocabulary_close(v);
    model_files_close(f);
    return 0;
}
