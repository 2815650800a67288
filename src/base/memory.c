/*
 * memory.c - what the kernel says.
 */
#include "base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
            *left = fmin(*left, fmax(0, max - used));
        char *slash = strrchr(dir, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

double memory_available(void)
{
    static const char name[] = "MemAvailable:";
    double available = HUGE_VAL, most, left;
    char line[256];
    FILE *f = fopen("/proc/meminfo", "re");

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, sizeof name - 1) == 0)
            available = strtod(line + sizeof name - 1, NULL) * 1024;
    if (f != NULL)
        fclose(f);
    ask_groups(&most, &left);
    available = fmin(available, left);
    return isfinite(available) ? available : 0;
}

double memory_total(void)
{
    const double all = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);
    double most, left;

    ask_groups(&most, &left);
    return fmin(all, most);
}
