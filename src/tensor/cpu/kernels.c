/*
 * kernels.c - picks the table of kernels that this machine runs best.
 */
#include "tensor/cpu/kernels_internal.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <string.h>

static const struct kernels *found[4];
static size_t n_found;
static const struct kernels *chosen;

#if defined(__x86_64__)
/* not every compiler's __builtin_cpu_supports knows it */
static bool has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

__attribute__((constructor)) static void look(void)
{
    found[n_found++] = &kernels_plain;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
        found[n_found++] = &kernels_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        found[n_found++] = &kernels_avx512;
#endif
    chosen = found[n_found - 1];
}

const struct kernels *kernels(void)
{
    return chosen;
}

bool kernels_choose(const char *name)
{
    if (name == NULL) {
        chosen = found[n_found - 1];
        return true;
    }
    for (size_t i = 0; i < n_found; i++) {
        if (strcmp(found[i]->name, name) == 0) {
            chosen = found[i];
            return true;
        }
    }
    return false;
}

size_t kernels_available(const struct kernels *const **out)
{
    *out = found;
    return n_found;
}
