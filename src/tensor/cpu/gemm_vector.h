/*
 * gemm_vector.h - a product in tiles whose sums are all in registers, written once in the words of simd_*.h. Whoever includes it
 * defines GEMM_STEP(x, w, sum): what a step along k adds to a sum, x and w being words of 32 bits: a float, or a pair of bfloats.
 */
/* m rows of n_panels panels: every sum in a register. */
SIMD void tile(const size_t m, const size_t n_panels, size_t k, const float *a, size_t a_i,
               size_t a_k, const float *b, size_t b_k, size_t b_panel, float *c, size_t c_i,
               bool accumulate)
{
    v16 acc[2][GEMM_ROWS], w[2];

#pragma GCC unroll 2
    for (size_t p = 0; p < n_panels; p++) {
#pragma GCC unroll 16
        for (size_t i = 0; i < m; i++)
            acc[p][i] = accumulate ? v_load(c + i * c_i + p * PANEL) : v_zero();
    }
    for (size_t t = 0; t < k; t++) {
#pragma GCC unroll 2
        for (size_t p = 0; p < n_panels; p++)
            w[p] = v_load(b + p * b_panel);
#pragma GCC unroll 16
        for (size_t i = 0; i < m; i++) {
            const v16 x = v_set(a[i * a_i]);

#pragma GCC unroll 2
            for (size_t p = 0; p < n_panels; p++)
                acc[p][i] = GEMM_STEP(x, w[p], acc[p][i]);
        }
        a += a_k;
        b += b_k;
    }
#pragma GCC unroll 2
    for (size_t p = 0; p < n_panels; p++) {
#pragma GCC unroll 16
        for (size_t i = 0; i < m; i++)
            v_store(c + i * c_i + p * PANEL, acc[p][i]);
    }
}

typedef void tile_fn(size_t k, const float *a, size_t a_i, size_t a_k, const float *b, size_t b_k,
                     size_t b_panel, float *c, size_t c_i, bool accumulate);

/* A function for each shape, never inlined: in one large one the registers would not be enough for the addresses. */
#define TILE(m, n_panels)                                                                          \
    static __attribute__((noinline)) void tile_##m##_##n_panels(                                   \
        size_t k, const float *a, size_t a_i, size_t a_k, const float *b, size_t b_k,              \
        size_t b_panel, float *c, size_t c_i, bool accumulate)                                     \
    {                                                                                              \
        tile(m, n_panels, k, a, a_i, a_k, b, b_k, b_panel, c, c_i, accumulate);                    \
    }
#define TILE_NAME(m, n_panels) tile_##m##_##n_panels,
#define ROWS_TO_3(x, n) x(1, n) x(2, n) x(3, n)
#define ROWS_TO_6(x, n) ROWS_TO_3(x, n) x(4, n) x(5, n) x(6, n)
#define ROWS_TO_14(x, n)                                                                           \
    ROWS_TO_6(x, n) x(7, n) x(8, n) x(9, n) x(10, n) x(11, n) x(12, n) x(13, n) x(14, n)
#if GEMM_ROWS == 6
#define ONE_PANEL(x) ROWS_TO_6(x, 1)
#define TWO_PANELS(x) ROWS_TO_3(x, 2)
#elif GEMM_ROWS == 14
#define ONE_PANEL(x) ROWS_TO_14(x, 1)
#define TWO_PANELS(x) ROWS_TO_14(x, 2)
#endif
ONE_PANEL(TILE)
TWO_PANELS(TILE)
static tile_fn *const tiles[2][GEMM_ROWS] = {{ONE_PANEL(TILE_NAME)}, {TWO_PANELS(TILE_NAME)}};

static void whole_panels(size_t n_panels, size_t m, size_t k, const float *a, size_t a_i,
                         size_t a_k, const float *b, size_t b_k, size_t b_panel, float *c,
                         size_t c_i, bool accumulate)
{
    /* as even as can be: a last tile of a few rows would wait for its own sums */
    for (size_t n = (m + GEMM_ROWS - 1) / GEMM_ROWS; n > 0; n--) {
        const size_t rows = (m + n - 1) / n;

        tiles[n_panels - 1][rows - 1](k, a, a_i, a_k, b, b_k, b_panel, c, c_i, accumulate);
        m -= rows;
        a += rows * a_i;
        c += rows * c_i;
    }
}

static void vector_gemm(size_t m, size_t n, size_t k, const float *a, size_t a_i, size_t a_k,
                        const float *b, size_t b_k, size_t b_panel, float *c, size_t c_i,
                        bool accumulate)
{
    while (n >= PANEL) {
        /* few rows of one panel would wait for their own sums */
        const size_t panels = n >= 2 * PANEL && m <= GEMM_FEW ? 2 : 1;

        whole_panels(panels, m, k, a, a_i, a_k, b, b_k, b_panel, c, c_i, accumulate);
        n -= panels * PANEL;
        b += panels * b_panel;
        c += panels * PANEL;
    }
    for (size_t i = 0; n > 0 && i < m; i++) { /* the last, narrow panel: through a whole one */
        float row[PANEL] = {0};

        memcpy(row, c + i * c_i, n * sizeof *c);
        whole_panels(1, 1, k, a + i * a_i, a_i, a_k, b, b_k, 0, row, PANEL, accumulate);
        memcpy(c + i * c_i, row, n * sizeof *c);
    }
}
