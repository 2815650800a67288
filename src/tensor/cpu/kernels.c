/*
 * kernels.c - picks the table of kernels that this machine runs best.
 */
#include "tensor/cpu/kernels_internal.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#include <string.h>

static const struct kernels *found[7];
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

/*
 * Whether there are tiles, and Linux lets this process use them: it has to be asked, once, before any thread does (its
 * Documentation/arch/x86/xstate.rst). What it grants holds for threads to come and after a fork, not after an exec.
 */
static bool has_amx(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILECFG = 17, XFEATURE_XTILEDATA = 18 };
    const unsigned both = 1u << XFEATURE_XTILECFG | 1u << XFEATURE_XTILEDATA;
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) ||
        !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & 1u << 24) || !(d & 1u << 25))
        return false; /* tiles, and those of bytes */
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & both) == both &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}

/* A table that multiplies bytes in its own way, and bfloats if bf16 is not NULL, and computes all else like another. */
static const struct kernels *like(const struct kernels *other, struct kernels *to, const char *name,
                                  const struct rounded_kernels *bytes,
                                  const struct bf16_kernels *bf16)
{
    *to = *other;
    to->name = name;
    to->bytes = bytes;
    if (bf16 != NULL)
        to->bf16 = bf16;
    return to;
}
#endif

__attribute__((constructor)) static void look(void)
{
    found[n_found++] = &kernels_plain;
#if defined(__x86_64__)
    static struct kernels avxvnni, avx512vnni, avx512bf16, amx;
    static struct rounded_kernels rounded_amx;

    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
        found[n_found++] = &kernels_avx2;
        if (has_avxvnni())
            found[n_found++] = like(&kernels_avx2, &avxvnni, "avxvnni", &rounded_avxvnni, NULL);
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
        found[n_found++] = &kernels_avx512;
        if (__builtin_cpu_supports("avx512vnni")) {
            const struct rounded_kernels *vnni = &rounded_avx512vnni;

            found[n_found++] = like(&kernels_avx512, &avx512vnni, "avx512vnni", vnni, NULL);
            if (__builtin_cpu_supports("avx512bf16")) {
                found[n_found++] =
                    like(&kernels_avx512, &avx512bf16, "avx512bf16", vnni, &bf16_avx512);
                if (has_amx()) {
                    rounded_amx = *vnni;
                    rounded_amx.gemm = gemm_rounded_amx;
                    found[n_found++] =
                        like(&kernels_avx512, &amx, "amx", &rounded_amx, &bf16_avx512);
                }
            }
        }
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
