/*
 * memory.h - how much memory there is, how much this process has, and large blocks of it.
 */
#ifndef HONE_BASE_MEMORY_H
#define HONE_BASE_MEMORY_H

#include <stddef.h>

/*
 * Bytes that could be taken without anybody swapping: the system's estimate (MemAvailable of /proc/meminfo), or what the
 * control group leaves where that is less (memory.max less memory.current, files that it could drop not counted), or the
 * process's own limits (RLIMIT_AS, RLIMIT_DATA). Infinite where none says.
 */
double memory_available(void);
/* Bytes of the machine, or of the control group (memory.max) or the process's limits where those let it have less. */
double memory_total(void);

double memory_resident(void); /* of this process, files that are mapped included; 0: not known */
double memory_peak(void);     /* the most that was, since the process began or memory_peak_forget */
/* The peak is counted anew from here on, where the system lets a process do so. */
void memory_peak_forget(void);

/*
 * From now on what is freed goes back to the system: blocks of 4 MiB and more at once, of the rest all but a few. By
 * itself glibc would keep up to 32 MiB a block and 64 MiB in all for next time. Once, before anything large is taken.
 */
void memory_hold_little(void);

#define MEMORY_HUGE_PAGE ((size_t)2 << 20)
/*
 * A block whose bytes are undefined, at a multiple of 64; free() takes it back. NULL: there is no memory. One of 4 MiB and more
 * begins at a multiple of MEMORY_HUGE_PAGE and lies in pages of that size where the system has them, but for a rest at its end:
 * what is read from end to end again and again is found faster there.
 */
void *memory_take(size_t bytes);
#endif
