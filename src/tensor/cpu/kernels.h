/*
 * kernels.h - the innermost loops, in one table per machine type; the best that this machine runs is picked at start.
 *
 * Every table computes the same bits. That is possible because each result is defined as a fixed sequence of IEEE
 * operations that no vector width can see:
 *
 *   chain     a product's element is one chain of fused multiply-adds over k = 0, 1, 2, ...: acc = fma(a[k], b[k], acc).
 *             Vectors lie across the 16 outputs of a panel, never along the sum. Blocking only parks acc in memory.
 *   lanes     a sum over a row is 16 partial sums, element i going to lane i % 16, joined as a tree (i + 8, i + 4, ...).
 *   exp       one polynomial in fused multiply-adds (kernel_exp of plain.c); no library function that differs by version.
 *
 * plain.c states each of them in C; the twins are tested to be equal to it bit for bit.
 */
#ifndef HONE_TENSOR_CPU_KERNELS_H
#define HONE_TENSOR_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PANEL 16 /* outputs of a packed panel, and lanes of a sum */
#define SOFTMAX_BLOCK                                                                              \
    256 /* vocabulary entries of one partial sum in a softmax over the vocabulary */

/* How the weights of one panel are kept: [k][PANEL], with scales where the format has them; whole numbers four of k together, as
   instructions that multiply bytes want them. */
enum pack_kind {
    PACK_F32,  /* float [k][16] */
    PACK_F16,  /* uint16 [k][16] */
    PACK_BF16, /* uint16 [k][16] */
    PACK_Q8,   /* per block of 16 k: float d[16]; int8 q[k / 4][16][k % 4];  value = q * d */
    PACK_Q4, /* per block of 32 k: float d[16], m[16]; uint8 q[k / 8][16][k % 4], k % 8 < 4 in the low half of a byte, the rest
                  in the high;  value = fma(q, d, m) */
    PACK_Q5, /* as PACK_Q4, and uint8 fifth[16][k % 4], k / 4 the number of the bit;  value = fma(q, d, m) */
    PACK_Q2, /* per block of 16 k: float d[16], m[16]; uint8 q[16][k % 4], from bit k / 4 * 2 on;  value = fma(q, d, m) */
    PACK_F8, /* per block of 16 k: float d[16]; uint8 e4m3 [k][16];  value = e4m3 * d */
};

#define CACHED_BLOCK 32 /* values that share a step in a cache of bytes */
#define F16_LARGEST 65504.0f

struct adamw_numbers {
    float lr, beta1, beta2, eps, wd, clip, c1, c2;
};

/* n panels of 16 outputs each, of whole numbers, bytes apart */
struct panels {
    enum pack_kind kind;
    const void *first;
    size_t bytes, n;
};

struct rounded;
struct rounded_kernels {
    /* to's row from x[to->k] */
    void (*round_row)(const float *x, const struct rounded *to, size_t row);
    /* c[i * c_i + j] (+)= rows row .. row + m - 1 of x times all outputs of the panels: see rounded.h */
    void (*gemm)(const struct panels *w, const struct rounded *x, size_t row, size_t m, float *c,
                 size_t c_i, bool accumulate);
};

/*
 * Products of bfloats, summed in floats: gradients by the frozen weights that they meet, where a model's precision is int8. Both are
 * rounded to the nearest bfloat, to the even one of two; the sum is a chain as of gemm, over an even k, but a number below
 * 2^-126 in size counts as 0 (of its sign) wherever it is read or comes out, which is decided behind the rounding of a sum. That is what
 * VDPBF16PS computes, the upper half of a pair first (Intel 64 and IA-32 Software Developer's Manual, volume 2).
 */
struct bf16_kernels {
    size_t bytes; /* of a value as this machine multiplies it: 2; or 4, a float that is a bfloat */
    /* a row of n values as they are multiplied, and a zero behind an odd n */
    void (*row)(size_t n, const float *x, void *out);
    /* what struct kernels' unpack_across tells: values of PANEL outputs by PANEL k, as they are multiplied */
    void (*across)(enum pack_kind kind, const void *panel, size_t k0, size_t n_k, void *out);
    /* c[i * c_i + j] = chain over k, an even number of values, of row i of a, a_i values from row to row, and of the n columns
       of b, b_panel values from panel to panel: rows of across for each k; from c's old value when accumulate. */
    void (*gemm)(size_t m, size_t n, size_t k, const void *a, size_t a_i, const void *b,
                 size_t b_panel, float *c, size_t c_i, bool accumulate);
};

struct kernels {
    const char *name; /* "plain", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx" */
    const struct rounded_kernels *bytes;
    const struct bf16_kernels *bf16;

    /*
     * c[i * c_i + j] = chain over k of a[i * a_i + k * a_k] * b[j / PANEL * b_panel + k * b_k + j % PANEL], for i < m
     * and j < n; from c's old value when accumulate, else from 0. b has PANEL readable floats at each k of each panel.
     */
    void (*gemm)(size_t m, size_t n, size_t k, const float *a, size_t a_i, size_t a_k,
                 const float *b, size_t b_k, size_t b_panel, float *c, size_t c_i, bool accumulate);
    /* Panels that gemm works on side by side, 1 or 2: what is cut into pieces is best cut so. */
    size_t gemm_panels;

    /* out[k][PANEL] = values k0 .. k0 + n_k - 1 of a packed panel; k0 and n_k multiples of 16
       or reaching the padded end. */
    void (*unpack)(enum pack_kind kind, const void *panel, size_t k0, size_t n_k, float *out);
    /* The same values, of at most PANEL k, turned: out[j][k - k0] for the panel's output j; 0 behind the last k. */
    void (*unpack_across)(enum pack_kind kind, const void *panel, size_t k0, size_t n_k,
                          float out[PANEL * PANEL]);

    /* What a cache keeps of a value, and what it reads as from then on: the rule stands in model/kv.h. */
    /* y = x as F16: to the nearest, at most F16_LARGEST in size; NaN where x is not finite */
    void (*to_f16)(size_t n, const float *x, uint16_t *y);
    /* a block as whole numbers q, -127..127; returns its step, as F16: NaN where a value is not finite */
    uint16_t (*to_q8)(const float x[CACHED_BLOCK], int8_t q[CACHED_BLOCK]);
    /* out[k][16] = q[k][16] * step[k / CACHED_BLOCK][16], for k < n */
    void (*from_q8_across)(size_t n, const int8_t *q, const uint16_t *step, float *out);
    /* out[16][n] = q[16][n] * step[k / CACHED_BLOCK][16], k along n; n a multiple of 16 */
    void (*from_q8_along)(size_t n, const int8_t *q, const uint16_t *step, float *out);

    /* out[16][16] = in[16][16] transposed, rows in_ld and out_ld floats apart */
    void (*transpose)(const float *in, size_t in_ld, float *out, size_t out_ld);

    /* y = x * (1 / sqrt(mean(x^2) + eps)) * w; returns the factor 1 / sqrt(...). Zhang, Sennrich, arXiv:1910.07467. */
    float (*rms_norm)(size_t n, const float *x, const float *w, float eps, float *y);
    /* dx += the gradient of rms_norm at x for dy, with r the factor that the forward returned */
    void (*rms_norm_back)(size_t n, const float *x, const float *w, float r, const float *dy,
                          float *dx);

    /* y = gate * sigmoid(gate) * up. Shazeer, arXiv:2002.05202. */
    void (*swiglu)(size_t n, const float *gate, const float *up, float *y);
    void (*swiglu_back)(size_t n, const float *gate, const float *up, const float *dy, float *dgate,
                        float *dup);

    /* y = gelu(gate) * up with GELU's form by tanh, x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)): Hendrycks, Gimpel,
       arXiv:1606.08415; Shazeer, arXiv:2002.05202. */
    void (*geglu)(size_t n, const float *gate, const float *up, float *y);
    void (*geglu_back)(size_t n, const float *gate, const float *up, const float *dy, float *dgate,
                       float *dup);

    /* y = (u + 1) * g * sigmoid(1.702 g) with g = min(gate, 7), u = up within -7 .. 7 (gpt-oss, arXiv:2508.10925) */
    void (*clamped)(size_t n, const float *gate, const float *up, float *y);
    void (*clamped_back)(size_t n, const float *gate, const float *up, const float *dy,
                         float *dgate, float *dup);

    /* x = cap * tanh(x * s), as cap * (2 / (1 + e^(-2 s x)) - 1): within (-cap, cap), and NaN where x is */
    void (*soft_cap)(size_t n, float s, float cap, float *x);
    /* d *= 1 - (y / cap)^2: the gradient at s * x from that at y = soft_cap(x) */
    void (*soft_cap_back)(size_t n, float cap, const float *y, float *d);

    /* y = (x - mean(x)) * (1 / sqrt(mean((x - mean(x))^2) + eps)) * w + b; y may be x. Ba, Kiros, Hinton,
       arXiv:1607.06450. */
    void (*layer_norm)(size_t n, const float *x, const float *w, const float *b, float eps,
                       float *y);
    /* y = x * P(X <= x) for X ~ N(0, 1), GELU with erf: within 6e-8 and half a unit in the last place; y may be x.
       Hendrycks, Gimpel, arXiv:1606.08415. */
    void (*gelu)(size_t n, const float *x, float *y);

    /* rotates pairs (x[i], x[i + n/2]) by the angles whose cosines and sines are given [n/2]; back: the other way */
    void (*rope)(size_t n, const float *cos_, const float *sin_, bool back, float *x);

    void (*add)(size_t n, const float *x, float *y);        /* y += x */
    void (*scale)(size_t n, float s, float *x);             /* x *= s */
    float (*dot)(size_t n, const float *x, const float *y); /* lanes */
    float (*max)(size_t n, const float *x); /* -inf for n = 0; never -0; NaN is passed over */

    /* x = exp((x - max) * scale), returns their sum (lanes) */
    float (*exp_sum)(size_t n, float max, float scale, float *x);
    /* sum of exp((x - max) * inv_t), one partial sum (lanes) per SOFTMAX_BLOCK values; x unchanged */
    void (*exp_block_sums)(size_t n, float max, float inv_t, const float *x, float *sums);
    /* y = exp((x - max) * inv_t) */
    void (*exp_to)(size_t n, float max, float inv_t, const float *x, float *y);
    /* p = p * (c0 + c1 * logit): the dense part of d loss / d logits, with the entropy's where c1 is not 0 */
    void (*dense_back)(size_t n, float c0, float c1, const float *logit, float *p);
    /* ds = p * (dp - delta) * s : the softmax's backward of one attention row */
    void (*softmax_back)(size_t n, const float *p, const float *dp, float delta, float s,
                         float *ds);

    /*
     * AdamW (Loshchilov, Hutter, arXiv:1711.05101) on n values: g *= clip; m, v updated; w -= lr * (mhat /
     * (sqrt(vhat) + eps) + wd * w). c1 = 1 / (1 - beta1^t), c2 = 1 / (1 - beta2^t).
     */
    void (*adamw)(size_t n, const struct adamw_numbers *a, const float *g, float *m, float *v,
                  float *w);
};

/* The table in force. kernels_choose(NULL) picks the best; a name picks that one, false where it does not run here. */
const struct kernels *kernels(void);
bool kernels_choose(const char *name);
/* All that this machine runs, plain first. */
size_t kernels_available(const struct kernels *const **out);
#endif
