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

/* What the control groups of this process leave, from its own up to the root. */
static double left_by_groups(void)
{
    char dir[512] = "";
    double left = HUGE_VAL;
    FILE *f = fopen("/proc/self/cgroup", "re");

    if (f != NULL) {
        char line[600];

        while (fgets(line, sizeof line, f) != NULL)
            if (strncmp(line, "0::", 3) == 0 && strlen(line) < sizeof dir) /* version 2 */
                snprintf(dir, sizeof dir, "%s", line + 3);
        fclose(f);
    }
    dir[strcspn(dir, "\n")] = '\0';
    for (;;) {
        const double most = number_in(dir, "memory.max"), used = number_in(dir, "memory.current");

        if (isfinite(most) && isfinite(used))
            left = fmin(left, fmax(0, most - used));
        char *slash = strrchr(dir, '/');
        if (slash == NULL)
            return left;
        *slash = '\0';
    }
}

double memory_available(void)
{
    static const char name[] = "MemAvailable:";
    double available = HUGE_VAL;
    char line[256];
    FILE *f = fopen("/proc/meminfo", "re");

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, sizeof name - 1) == 0)
            available = strtod(line + sizeof name - 1, NULL) * 1024;
    if (f != NULL)
        fclose(f);
    available = fmin(available, left_by_groups());
    return isfinite(available) ? available : 0;
}

double memory_total(void)
{
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);
}
