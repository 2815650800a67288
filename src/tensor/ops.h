/*
 * ops.h - the operations that a model is made of, each divided over threads by its outputs.
 *
 * Every result is the fixed sequence of operations that cpu/kernels.h defines: a row's values depend on that row alone,
 * never on the rows beside it, on the number of threads or on the machine type. Pointers are row-major; ld is the
 * distance between rows in floats. All outputs belong to the caller.
 */
#ifndef HONE_TENSOR_OPS_H
#define HONE_TENSOR_OPS_H

#include "base/arena.h"
#include "tensor/dtype.h"
#include "tensor/rounded.h"

/* A weight matrix [N, K] laid out in panels of 16 outputs, in the number format it came in. */
struct packed {
    size_t n, k;
    size_t n_panels; /* N / 16, rounded up; outputs past N are zero */
    size_t panel_bytes;
    int kind;            /* enum pack_kind */
    unsigned char *data; /* owned by whoever gave the memory */
};

/* Lays w out anew; ERR_NO_MEMORY where the arena cannot grow. F32 and block formats keep every value exactly. */
MUST_CHECK bool pack_matrix(const struct matrix_view *w, struct arena *a, struct packed *out,
                            const char *name, struct error *err);
/* The same for a matrix of floats that changes: pack_room once, pack_floats whenever w [N, K] (rows ld apart) has changed. */
MUST_CHECK bool pack_room(size_t n, size_t k, struct arena *a, struct packed *out,
                          struct error *err);
void pack_floats(const float *w, size_t ld, struct packed *out);
size_t pack_bytes(enum dtype t, size_t n, size_t k); /* memory that pack_matrix takes */

/* y[M, N] (+)= x[M, K] W^T */
void matmul(const struct packed *w, size_t m, const float *x, size_t ldx, float *y, size_t ldy,
            bool accumulate);
/* Whether the weights are whole numbers with scales, which rounded rows can be multiplied with. */
bool packed_is_whole(const struct packed *w);
bool packed_is_wide(const struct packed *w); /* of these, numbers of more than five bits */
/* Room for at most m rows of at most k values each; then, of each use, x[M, K] rounded (see rounded.h). */
struct rounded rounded_room(size_t m, size_t k, struct arena *a);
void round_rows(size_t m, size_t k, const float *x, size_t ldx, struct rounded *out);
/* y[M, N] (+)= x W^T with rounded rows; w is whole. */
void matmul_rounded(const struct packed *w, const struct rounded *x, float *y, size_t ldy,
                    bool accumulate);

/* How a product is cut into units of a block of rows by a group of panels. */
struct division {
    size_t n_row_blocks, row_block, group, n_units;
};
/* One of several products that the threads divide together. */
struct matmul_part {
    const struct packed *w;
    size_t m, ldx, ldy;
    const float *x;
    const struct rounded *rounded; /* the same rows, taken instead of x where w is whole; or NULL */
    size_t first_rounded;          /* which of these is x's first */
    float *y;                      /* [M, N] (+)= x W^T, then times scale */
    float scale;                   /* 1 where it accumulates */
    bool accumulate;
    struct division by; /* found by matmul_parts */
};
/* Outputs of one are not another's inputs. */
void matmul_parts(struct matmul_part *parts, size_t n);
/* dx[M, K] (+)= dy[M, N] W */
void matmul_back_x(const struct packed *w, size_t m, const float *dy, size_t lddy, float *dx,
                   size_t lddx, bool accumulate);
/* The same, dy and W rounded to bfloats first, as struct bf16_kernels of cpu/kernels.h defines it. */
void matmul_back_x_bf16(const struct packed *w, size_t m, const float *dy, size_t lddy, float *dx,
                        size_t lddx, bool accumulate);
/* c[M, N] (+)= a[M, K] b[K, N] for plain floats, K a chain from first to last: with a[i, k] at a + i * a_i + k * a_k.
   Rows of b must have 15 readable floats behind their last. */
void matmul_floats(size_t m, size_t n, size_t k, const float *a, size_t a_i, size_t a_k,
                   const float *b, size_t ldb, float *c, size_t ldc, bool accumulate);

/* Row by row, see cpu/kernels.h. r[M] receives what the backward needs. */
void rms_norm(size_t m, size_t n, const float *x, size_t ldx, const float *w, float eps, float *y,
              size_t ldy, float *r);
/* The same, and what else is done to such a row while it is near: copy[M, N] = x, and y rounded; each where it is not NULL. */
void rms_norm_and(size_t m, size_t n, const float *x, const float *w, float eps, float *y, float *r,
                  float *copy, struct rounded *rounded);
void rms_norm_back(size_t m, size_t n, const float *x, size_t ldx, const float *w, const float *r,
                   const float *dy, size_t lddy, float *dx, size_t lddx);
/* dw[N] += sum over rows of dy * x * r, a chain over rows */
void rms_norm_back_w(size_t m, size_t n, const float *x, size_t ldx, const float *r,
                     const float *dy, size_t lddy, float *dw);
/* A row's mean is taken away, it is divided by its deviation, and each column scaled by w[N] and moved by b[N]; y may be
   x. */
void layer_norm(size_t m, size_t n, const float *x, size_t ldx, const float *w, const float *b,
                float eps, float *y, size_t ldy);
void gelu(size_t m, size_t n, const float *x, float *y); /* with erf; y may be x */
void swiglu(size_t m, size_t n, const float *gate, const float *up, float *y);
/* The same, and y rounded. */
void swiglu_and(size_t m, size_t n, const float *gate, const float *up, float *y,
                struct rounded *rounded);
void swiglu_back(size_t m, size_t n, const float *gate, const float *up, const float *dy,
                 float *dgate, float *dup);
/* The same with GELU, by tanh, in the place of SiLU. */
void geglu_and(size_t m, size_t n, const float *gate, const float *up, float *y,
               struct rounded *rounded);
void geglu_back(size_t m, size_t n, const float *gate, const float *up, const float *dy,
                float *dgate, float *dup);
/* The same with gpt-oss's clamped gate. */
void clamped_and(size_t m, size_t n, const float *gate, const float *up, float *y,
                 struct rounded *rounded);
void clamped_back(size_t m, size_t n, const float *gate, const float *up, const float *dy,
                  float *dgate, float *dup);
/* x = cap * tanh(x / cap) */
void soft_cap_rows(size_t m, size_t n, float cap, float *x, size_t ldx);
void add_rows(size_t m, size_t n, const float *x, size_t ldx, float *y, size_t ldy); /* y += x */
void scale_rows(size_t m, size_t n, float s, float *x, size_t ldx);
/* y[M, N] += b[N] */
void add_to_rows(size_t m, size_t n, const float *b, float *y, size_t ldy);
/* Rotates the first D values of the n_heads heads of each row of all parts; cos_, sin_ [positions, D/2]; pos[M]. */
struct heads {
    size_t n_heads;
    float *x;
    size_t ldx;
    size_t width; /* from head to head; 0: D */
};
void rope_rows(size_t m, size_t d, const float *cos_, const float *sin_, const uint32_t *pos,
               bool back, const struct heads *parts, size_t n_parts);
/* One row of one part, in the calling thread. */
void rope_row(size_t d, const float *cos_, const float *sin_, uint32_t pos, bool back,
              size_t n_heads, size_t width, float *x);

/*
 * The softmax over a vocabulary row: max, and block sums whose running total is the normaliser, in this order, in float:
 * total = ((s0 + s1) + s2) + ... Every caller - sampling, scoring, training - goes through these two.
 */
struct softmax_row {
    float max, total;
    float log_total; /* natural log of total */
};
struct softmax_row softmax_row_of(size_t v, const float *logits, float inv_t,
                                  float *block_sums /* [V / 256, rounded up] */);
/* ln p of one entry */
float softmax_logp(const struct softmax_row *s, float logit, float inv_t);
size_t softmax_blocks(size_t v);
/* Entropy of the row in nats; work [V] receives exp((logit - max) * inv_t). */
float softmax_entropy(const struct softmax_row *s, size_t v, const float *logits, float inv_t,
                      float *work);

/* The name of the kernels in force: "avx512", "avx2", "plain". */
const char *ops_machine(void);
bool ops_choose_machine(const char *name); /* NULL: the best; false where it does not run here */
#endif
