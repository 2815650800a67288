/*
 * roof.c - spells of work by the clock, on all threads at once; and the loops of plain C.
 */
#include "tensor/roof.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/size.h"
#include "tensor/cpu/kernels.h"
#include "tensor/cpu/roof_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TIMES 40
#define WARM_UP 15
#define SPELL_S 0.006 /* short, so that beside other programs some are left alone */

/* ---- plain C ---- */

static double plain_read(const void *at)
{
    const unsigned char *p = at;
    size_t sum[4] = {0}, word;

    for (size_t i = 0; i < ROOF_CHUNK; i += sizeof sum)
        for (size_t k = 0; k < 4; k++) {
            memcpy(&word, p + i + k * sizeof word, sizeof word);
            sum[k] += word;
        }
    __asm__ volatile("" : : "r"(sum[0] + sum[1] + sum[2] + sum[3]));
    return (double)ROOF_CHUNK;
}

static double plain_f32(void)
{
    enum { SUMS = 8, ROUNDS = 4000 };
    volatile float near_one = 1.0000001f, small = 1e-9f;
    const float x = near_one, y = small;
    float sum[SUMS] = {0};

    for (int n = 0; n < ROUNDS; n++)
        for (int i = 0; i < SUMS; i++)
            sum[i] = fmaf(sum[i], x, y);
    for (int i = 0; i < SUMS; i++)
        near_one = sum[i];
    return 2.0 * SUMS * ROUNDS;
}

static double plain_int8(void)
{
    enum { BYTES = 4096, ROUNDS = 8 };
    static const signed char a[BYTES] = {1, 2, 3}, b[BYTES] = {3, 2, 1};
    const signed char *x = a, *y = b;
    int sum = 0;

    for (int n = 0; n < ROUNDS; n++) {
        __asm__ volatile("" : "+r"(x), "+r"(y)); /* not known to be the same as before */
        for (int i = 0; i < BYTES; i++)
            sum += x[i] * y[i];
    }
    __asm__ volatile("" : : "r"(sum));
    return 2.0 * BYTES * ROUNDS;
}

const struct roof_loops *roof_loops_plain(const char *kernels)
{
    static const struct roof_loops plain = {"plain",   plain_read, plain_f32,
                                            plain_f32, plain_int8, plain_int8};

    return strcmp(kernels, plain.kernels) == 0 ? &plain : NULL;
}

/* ---- by the clock ---- */

struct spell { /* of one thread; in a cache line of its own */
    double began, ended, work;
    size_t at; /* the chunk that is read next */
    char apart[64 - 3 * sizeof(double) - sizeof(size_t)];
};

struct measuring {
    double (*read)(const void *at);
    double (*multiply)(void); /* where read is NULL */
    const unsigned char *buffer;
    size_t n_chunks, n_threads;
    struct spell *spells; /* [n_threads] */
};

static void do_spell(void *ctx, size_t unit, int thread)
{
    const struct measuring *m = ctx;
    const size_t first = m->n_chunks * unit / m->n_threads,
                 end = m->n_chunks * (unit + 1) / m->n_threads;
    struct spell s = {.at = m->spells[unit].at, .began = clock_seconds()};

    (void)thread;
    do {
        if (m->read != NULL) {
            s.work += m->read(m->buffer + (first + s.at) * ROOF_CHUNK);
            s.at = first + s.at + 1 < end ? s.at + 1 : 0;
        } else {
            s.work += m->multiply();
        }
        s.ended = clock_seconds();
    } while (s.ended < s.began + SPELL_S);
    m->spells[unit] = s;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* The first ones warm up: threads wake, clocks rise. */
static struct roof_rate rate_of(struct measuring *m)
{
    double rates[TIMES];

    for (int t = -WARM_UP; t < TIMES; t++) {
        double began = HUGE_VAL, ended = 0, work = 0;

        parallel_for(m->n_threads, do_spell, m);
        for (size_t i = 0; i < m->n_threads; i++) {
            began = fmin(began, m->spells[i].began);
            ended = fmax(ended, m->spells[i].ended);
            work += m->spells[i].work;
        }
        if (t >= 0)
            rates[t] = work / (ended - began);
    }
    qsort(rates, TIMES, sizeof *rates, by_size);
    return (struct roof_rate){
        .best = rates[TIMES - 1], .median = rates[TIMES / 2], .least = rates[0]};
}

bool roof_measure(size_t buffer_bytes, struct roof *out, struct error *err)
{
    const char *name = kernels()->name;
    const struct roof_loops *plain = roof_loops_plain(name),
                            *l = plain != NULL ? plain : roof_loops_x86(name);
    const size_t n_threads = (size_t)parallel_threads(),
                 least = size_max(ROOF_LEAST_BYTES, n_threads * ROOF_CHUNK);
    struct measuring m = {.n_chunks = size_max(buffer_bytes, least) / ROOF_CHUNK,
                          .n_threads = n_threads};
    const size_t size = size_round_up(m.n_chunks * ROOF_CHUNK, MEMORY_HUGE_PAGE);

    if (l == NULL) /* in a release there is none: the tests ask for each table of kernels */
        return fail(err, ERR_UNSUPPORTED,
                    "what this machine can do at most is not known for the kernels \"%s\"", name);
    unsigned char *buffer = memory_take(size);
    m.spells = calloc(n_threads, sizeof *m.spells);
    if (buffer == NULL || m.spells == NULL) {
        free(buffer);
        free(m.spells);
        return fail(err, ERR_NO_MEMORY, "no memory for reading %zu bytes again and again", size);
    }
    memset(buffer, 1, size);
    m.buffer = buffer;
    out->buffer_bytes = m.n_chunks * ROOF_CHUNK;
    m.read = l->read;
    out->read = rate_of(&m);
    m.read = NULL;
    m.multiply = l->f32;
    out->f32 = rate_of(&m);
    m.multiply = l->bf16;
    out->bf16 = l->bf16 == l->f32 ? out->f32 : rate_of(&m);
    m.multiply = l->int8;
    out->int8 = rate_of(&m);
    m.multiply = l->int8_wide;
    out->int8_wide = l->int8_wide == l->int8 ? out->int8 : rate_of(&m);
    free(buffer);
    free(m.spells);
    return true;
}
