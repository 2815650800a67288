/*
 * roof_x86.c - the loops of roof.c in the vector instructions of x86-64.
 *
 * Products are written as instructions, for a compiler would see that nobody wants them. Ten sums go on side by side: more than
 * a multiplication takes cycles, times two that begin in each. Every function names the instructions that it may use, so that
 * this file needs no flags of its own; it is called where the kernels of its name run.
 */
#include "tensor/cpu/roof_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define ROUNDS 2000
#define SUMS 10
#define EACH_SUM(x, ...)                                                                           \
    x(0, __VA_ARGS__) x(1, __VA_ARGS__) x(2, __VA_ARGS__) x(3, __VA_ARGS__) x(4, __VA_ARGS__)      \
        x(5, __VA_ARGS__) x(6, __VA_ARGS__) x(7, __VA_ARGS__) x(8, __VA_ARGS__) x(9, __VA_ARGS__)

/* ---- reading ---- */

#define AHEAD 4096 /* bytes: further than the machine itself looks ahead */

AVX2 static double read_avx2(const void *at)
{
    const char *p = at;
    __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                      _mm256_setzero_si256()};

    for (size_t i = 0; i < ROOF_CHUNK; i += sizeof sum) {
        _mm_prefetch(p + i + AHEAD, _MM_HINT_T0);
        _mm_prefetch(p + i + AHEAD + 64, _MM_HINT_T0);
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++)
            sum[k] = _mm256_xor_si256(
                sum[k], _mm256_load_si256((const __m256i *)(const void *)(p + i + k * 32)));
    }
#pragma GCC unroll 4
    for (size_t k = 0; k < 4; k++)
        __asm__ volatile("" : : "x"(sum[k]));
    return (double)ROOF_CHUNK;
}

AVX512 static double read_avx512(const void *at)
{
    const char *p = at;
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                      _mm512_setzero_si512()};

    for (size_t i = 0; i < ROOF_CHUNK; i += sizeof sum) {
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++) {
            _mm_prefetch(p + i + AHEAD + k * 64, _MM_HINT_T0);
            sum[k] = _mm512_xor_si512(sum[k], _mm512_load_si512(p + i + k * 64));
        }
    }
#pragma GCC unroll 4
    for (size_t k = 0; k < 4; k++)
        __asm__ volatile("" : : "v"(sum[k]));
    return (double)ROOF_CHUNK;
}

/* ---- multiplying ---- */

#define BEGIN(i, type, set1) type sum##i = set1(i);
#define MULTIPLY(i, reg, code, ...) __asm__ volatile(code : "+" reg(sum##i) : __VA_ARGS__);
#define KEEP(i, reg) __asm__ volatile("" : : reg(sum##i));
/* Each sum is a vector of that type in registers of the constraint reg, %0 in the code; behind it are what else it reads. */
#define MULTIPLY_LOOP(type, set1, reg, code, ...)                                                  \
    EACH_SUM(BEGIN, type, set1)                                                                    \
    for (int n = 0; n < ROUNDS; n++) {                                                             \
        EACH_SUM(MULTIPLY, reg, code, __VA_ARGS__)                                                 \
    }                                                                                              \
    EACH_SUM(KEEP, reg)

AVX2 static double f32_avx2(void)
{
    const __m256 x = _mm256_set1_ps(1.0000001f), y = _mm256_set1_ps(1e-9f);

    MULTIPLY_LOOP(__m256, _mm256_set1_ps, "x", "vfmadd213ps %1, %2, %0", "x"(y), "x"(x))
    return 2.0 * 8 * SUMS * ROUNDS;
}

AVX512 static double f32_avx512(void)
{
    const __m512 x = _mm512_set1_ps(1.0000001f), y = _mm512_set1_ps(1e-9f);

    MULTIPLY_LOOP(__m512, _mm512_set1_ps, "v", "vfmadd213ps %1, %2, %0", "v"(y), "v"(x))
    return 2.0 * 16 * SUMS * ROUNDS;
}

AVX512 static double bf16_avx512(void)
{
    const __m512i x = _mm512_set1_epi16(0x3f80), w = _mm512_set1_epi16(0x3080); /* 1, 2^-30 */

    MULTIPLY_LOOP(__m512, _mm512_set1_ps, "v", "vdpbf16ps %2, %1, %0", "v"(w), "v"(x))
    return 2.0 * 32 * SUMS * ROUNDS;
}

/* Products of small bytes as kernels_rounded_avx2.c sums them: in pairs, in 16 bits. */
AVX2 static double int8_avx2(void)
{
    const __m256i x = _mm256_set1_epi8(3), w = _mm256_set1_epi8(1);

    MULTIPLY_LOOP(__m256i, _mm256_set1_epi16, "x",
                  "vpmaddubsw %2, %1, %%ymm15\n\tvpaddw %%ymm15, %0, %0", "x"(w), "x"(x)
                  : "xmm15")
    return 2.0 * 32 * SUMS * ROUNDS;
}

AVX512 static double int8_avx512(void)
{
    const __m512i x = _mm512_set1_epi8(3), w = _mm512_set1_epi8(1);

    MULTIPLY_LOOP(__m512i, _mm512_set1_epi16, "v",
                  "vpmaddubsw %2, %1, %%zmm15\n\tvpaddw %%zmm15, %0, %0", "v"(w), "v"(x)
                  : "xmm15")
    return 2.0 * 64 * SUMS * ROUNDS;
}

/*
 * Signed bytes by signed bytes have no instruction before VNNI: the sign goes over to the other side, and a pair, up to 128 * 127 twice,
 * fills its 16 bits. Two instructions multiply then, of the four that all kernels known have (halves of bytes, or widening to 16 bits, take as many).
 */
AVX2 static double int8_wide_avx2(void)
{
    const __m256i x = _mm256_set1_epi8(3), w = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);

    MULTIPLY_LOOP(__m256i, _mm256_set1_epi32, "x",
                  "vpsignb %1, %2, %%ymm15\n\tvpmaddubsw %%ymm15, %1, %%ymm15\n\t"
                  "vpmaddwd %3, %%ymm15, %%ymm15\n\tvpaddd %%ymm15, %0, %0",
                  "x"(w), "x"(x), "x"(ones)
                  : "xmm15")
    return 2.0 * 32 * SUMS * ROUNDS;
}

AVX512 static double int8_wide_avx512(void)
{
    const __m512i x = _mm512_set1_epi8(3), w = _mm512_set1_epi8(1), ones = _mm512_set1_epi16(1);

    MULTIPLY_LOOP(__m512i, _mm512_set1_epi32, "v",
                  "vpsubb %2, %1, %%zmm15\n\tvpmaddubsw %%zmm15, %1, %%zmm15\n\t"
                  "vpmaddwd %3, %%zmm15, %%zmm15\n\tvpaddd %%zmm15, %0, %0",
                  "v"(w), "v"(x), "v"(ones)
                  : "xmm15")
    return 2.0 * 64 * SUMS * ROUNDS;
}

AVX2 static double int8_avxvnni(void)
{
    const __m256i x = _mm256_set1_epi8(3), w = _mm256_set1_epi8(1);

    MULTIPLY_LOOP(__m256i, _mm256_set1_epi32, "x", "%{vex%} vpdpbusd %2, %1, %0", "x"(w), "x"(x))
    return 2.0 * 32 * SUMS * ROUNDS;
}

AVX512 static double int8_avx512vnni(void)
{
    const __m512i x = _mm512_set1_epi8(3), w = _mm512_set1_epi8(1);

    MULTIPLY_LOOP(__m512i, _mm512_set1_epi32, "v", "vpdpbusd %2, %1, %0", "v"(w), "v"(x))
    return 2.0 * 64 * SUMS * ROUNDS;
}

/*
 * Tiles as kernels_rounded_amx.c has them: 16 rows of 32 bytes, for a block of 32 has a scale of its own. The table "amx" is offered
 * where the system has let the process use tiles.
 */
__attribute__((target("amx-tile,amx-int8"))) static double int8_amx(void)
{
    static const struct {
        uint8_t palette, start_row, unused[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1,
                .row_bytes = {64, 64, 64, 64, 32, 32, 64, 64},
                .rows = {16, 16, 16, 16, 16, 16, 8, 8}};

    _tile_loadconfig(&shapes);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int n = 0; n < ROUNDS; n++) {
        _tile_dpbsud(0, 4, 6);
        _tile_dpbsud(1, 5, 6);
        _tile_dpbsud(2, 4, 7);
        _tile_dpbsud(3, 5, 7);
    }
    _tile_release();
    return 2.0 * 4 * 16 * 16 * 32 * ROUNDS;
}

const struct roof_loops *roof_loops_x86(const char *kernels)
{
    static const struct roof_loops all[] = {
        {"avx2", read_avx2, f32_avx2, f32_avx2, int8_avx2, int8_wide_avx2},
        {"avxvnni", read_avx2, f32_avx2, f32_avx2, int8_avxvnni, int8_avxvnni},
        {"avx512", read_avx512, f32_avx512, f32_avx512, int8_avx512, int8_wide_avx512},
        {"avx512vnni", read_avx512, f32_avx512, f32_avx512, int8_avx512vnni, int8_avx512vnni},
        {"avx512bf16", read_avx512, f32_avx512, bf16_avx512, int8_avx512vnni, int8_avx512vnni},
        {"amx", read_avx512, f32_avx512, bf16_avx512, int8_amx, int8_amx},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(kernels, all[i].kernels) == 0)
            return &all[i];
    return NULL;
}
#else
const struct roof_loops *roof_loops_x86(const char *kernels)
{
    (void)kernels;
    return NULL;
}
#endif
