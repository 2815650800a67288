/*
 * kernels.c - picks the table of kernels that this machine runs best.
 */
#include "tensor/cpu/kernels_internal.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <string.h>

static const struct kernels *found[5];
static size_t n_found;
static const struct kernels *chosen;

#if defined(__x86_64__)
/* not every compiler's __builtin_cpu_supports knows these two */
static bool has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static bool has_avxvnni(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

/* A table that multiplies bytes with VNNI, and computes all else like another. */
static const struct kernels *with_vnni(struct kernels *to, const struct kernels *like,
                                       const char *name, const struct rounded_kernels *bytes)
{
    *to = *like;
    to->name = name;
    to->bytes = bytes;
    return to;
}
#endif

__attribute__((constructor)) static void look(void)
{
    found[n_found++] = &kernels_plain;
#if defined(__x86_64__)
    static struct kernels avxvnni, avx512vnni;

    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
        found[n_found++] = &kernels_avx2;
        if (has_avxvnni())
            found[n_found++] = with_vnni(&avxvnni, &kernels_avx2, "avxvnni", &rounded_avxvnni);
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
        found[n_found++] = &kernels_avx512;
        if (__builtin_cpu_supports("avx512vnni"))
            found[n_found++] =
                with_vnni(&avx512vnni, &kernels_avx512, "avx512vnni", &rounded_avx512vnni);
    }
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
