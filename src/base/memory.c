/*
 * memory.c - what the kernel says, and what it gives.
 */
#include "base/memory.h"

#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* The number behind a name at the beginning of a line; infinite where there is none. */
static double number_after(const char *path, const char *name)
{
    const size_t len = strlen(name);
    double x = HUGE_VAL;
    char line[256];
    FILE *f = fopen(path, "re");

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, len) == 0)
            x = strtod(line + len, NULL);
    if (f != NULL)
        fclose(f);
    return x;
}

/* The number in a file of one number; infinite where it says "max" or there is none. */
static double number_in(const char *dir, const char *name)
{
    char path[640], line[64] = "", *end;

    snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return HUGE_VAL;
    const bool read = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    const double x = strtod(line, &end);
    return read && end != line && isfinite(x) ? x : HUGE_VAL;
}

/* Bytes of files that a group would drop before it went without. */
static double files_in(const char *dir)
{
    char path[640];

    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.stat", dir);
    const double active = number_after(path, "active_file "),
                 inactive = number_after(path, "inactive_file ");
    return (isfinite(active) ? active : 0) + (isfinite(inactive) ? inactive : 0);
}

/* What the control groups of this process allow, from its own up to the root: bytes in all, and those that are left. */
static void ask_groups(double *most, double *left)
{
    char dir[512] = "";
    FILE *f = fopen("/proc/self/cgroup", "re");

    *most = *left = HUGE_VAL;
    if (f != NULL) {
        char line[600];

        while (fgets(line, sizeof line, f) != NULL)
            if (strncmp(line, "0::", 3) == 0 && strlen(line) < sizeof dir) /* version 2 */
                snprintf(dir, sizeof dir, "%s", line + 3);
        fclose(f);
    }
    dir[strcspn(dir, "\n")] = '\0';
    for (;;) {
        const double max = number_in(dir, "memory.max"), used = number_in(dir, "memory.current");

        if (isfinite(max))
            *most = fmin(*most, max);
        if (isfinite(max) && isfinite(used))
            *left = fmin(*left, fmax(0, max - fmax(0, used - files_in(dir))));
        char *slash = strrchr(dir, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

/* Of /proc/self/status, which counts in KiB. */
static double status_bytes(const char *name)
{
    return number_after("/proc/self/status", name) * 1024;
}

/*
 * What the process's own limits allow, in all and beyond what it has. They count what is asked for and never touched, too: stacks,
 * the rests of blocks. That is up to 100 MB in 450 of a job; so a quarter is left to it.
 */
#define LIMIT_SHARE 0.75
static void ask_limits(double *most, double *left)
{
    static const struct {
        int what;
        const char *name;
    } limits[] = {{RLIMIT_AS, "VmSize:"}, {RLIMIT_DATA, "VmData:"}};

    *most = *left = HUGE_VAL;
    for (int i = 0; i < 2; i++) {
        struct rlimit r;

        if (getrlimit((__rlimit_resource_t)limits[i].what, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
            continue;
        const double used = status_bytes(limits[i].name);
        const double may = LIMIT_SHARE * (double)r.rlim_cur;
        *most = fmin(*most, may);
        if (isfinite(used))
            *left = fmin(*left, fmax(0, may - used));
    }
}

double memory_available(void)
{
    const double available = number_after("/proc/meminfo", "MemAvailable:") * 1024;
    double most, left, own;

    ask_groups(&most, &left);
    ask_limits(&most, &own);
    return fmin(available, fmin(left, own));
}

double memory_total(void)
{
    const double all = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);
    double most, own, left;

    ask_groups(&most, &left);
    ask_limits(&own, &left);
    return fmin(all, fmin(most, own));
}

double memory_resident(void)
{
    const double x = status_bytes("VmRSS:");

    return isfinite(x) ? x : 0;
}

double memory_peak(void)
{
    const double x = status_bytes("VmHWM:");

    return isfinite(x) ? x : 0;
}

void memory_peak_forget(void)
{
    const int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, "5", 1); /* where it is not allowed, the peak is the process's */
    close(fd);
}

void memory_hold_little(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
#endif
}

void *memory_take(size_t bytes)
{
    const bool large = bytes >= 2 * MEMORY_HUGE_PAGE;
    void *at;

    if (posix_memalign(&at, large ? MEMORY_HUGE_PAGE : 64, bytes) != 0)
        return NULL;
    if (large)
        (void)madvise(at, bytes / MEMORY_HUGE_PAGE * MEMORY_HUGE_PAGE, MADV_HUGEPAGE);
    return at;
}
