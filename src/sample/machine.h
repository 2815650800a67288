/*
 * machine.h - what computes here, as words: for those who see no tensor.
 */
#ifndef HONE_SAMPLE_MACHINE_H
#define HONE_SAMPLE_MACHINE_H

#include "base/buf.h"

/* The kernels in force: "plain", "avx2", "avx512". */
const char *machine_kernels(void);
/* The names of all that this machine runs: "plain, avx2, avx512". */
void machine_list_kernels(struct buf *out);
/* name NULL: the best. Fails with ERR_UNSUPPORTED where this machine does not run them. Before anything is computed. */
MUST_CHECK bool machine_choose_kernels(const char *name, struct error *err);
#endif
