/*
 * memory.h - how much memory there is for what only makes things faster.
 */
#ifndef HONE_BASE_MEMORY_H
#define HONE_BASE_MEMORY_H

/*
 * Bytes that could be taken without anybody swapping: the system's estimate (MemAvailable of /proc/meminfo), or what the
 * control group leaves where that is less (memory.max, memory.current). 0 when neither says.
 */
double memory_available(void);
/* Bytes of the machine, or of the control group where that may have less (memory.max). */
double memory_total(void);
#endif
