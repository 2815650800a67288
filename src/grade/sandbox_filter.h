/*
 * sandbox_filter.h - the system calls that a grader has no use for.
 */
#ifndef HONE_GRADE_SANDBOX_FILTER_H
#define HONE_GRADE_SANDBOX_FILTER_H

#include "base/buf.h"

/*
 * outer, for the whole sandbox: no mounts, namespaces, tracing, kernel keys, anonymous files, shared memory, networks,
 *   extended attributes, nothing that sets what another process runs under; bare (no namespaces around it): also no
 *   signals, nothing that changes a file by name.
 * inner, for the process that grades: also no new process or program, no socket, no signal. It is loaded once an
 *   answer, so it is small.
 * Both as the kernel's instructions.
 */
MUST_CHECK bool filter_outer(bool bare, struct buf *out, struct error *err);
MUST_CHECK bool filter_inner(struct buf *out, struct error *err);
#endif
